//! Basic information, service, base library, web switch (5.3), customer messages (5.10).

use super::*;

/// Materials of a name, 5.3.3: `trademark`, `authorization`, `icpImg`, `ultimate`, `professional`, `others`, each a list of pictures.
fn materials(place: Place) -> Param {
    let (zh, en) = ("名称资质材料，每类为图片列表", "materials for the name: lists of pictures by kind");
    param("materials", Kind::Object, place, zh, en, r#"{"trademark":["https://b.bdstatic.com/sample/trademark.png"]}"#)
}

fn name(place: Place) -> Param {
    param("name", Kind::Text(30), place, "名称，3 至 30 个字符，汉字计 2", "name, 3 to 30 characters, a Chinese one counts 2", "邮驿示例")
}

fn intro(place: Place) -> Param {
    let (zh, en) = ("简介，10 至 56 个字符，汉字计 2", "introduction, 10 to 56 characters, a Chinese one counts 2");
    param("intro", Kind::Text(56), place, zh, en, "一个用于演示的小程序")
}

fn icon(place: Place) -> Param {
    let (zh, en) = ("头像，不超过 2 MB，建议 144×144", "icon, at most 2 MB, 144 by 144 pixels recommended");
    param("icon", Kind::Picture(2 << 20), place, zh, en, "https://b.bdstatic.com/sample/icon.png")
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        get("profile.get", "查询小程序基本信息", "Basic information of the mini program", APP, "app/info", "Baidu 4.8")
            .reads(read::profile),
        get("authorization.permissions", "查询授权的权限集", "Permission sets that the merchant granted", APP, "app/info", "Baidu 4.8")
            .reads(read::permissions),
        get("profile.check_name", "名称检测", "Check a name", APP, "app/checknamewithqual", "Baidu 5.3.2")
            .takes([must(name(query("app_name"))), materials(query("qual_materials"))])
            .picture("3")
            .reads(read::checked_name),
        post("profile.set_name", "修改名称", "Change the name", APP, "app/setnicknamewithqual", "Baidu 5.3.3")
            .takes([must(name(form("nick_name"))), materials(form("qual_materials"))])
            .picture("3")
            .once(Asks::Info),
        post("profile.set_icon", "修改头像", "Change the icon", APP, "app/modifyheadimage", "Baidu 5.3.4")
            .takes([must(icon(form("image_url")))])
            .picture("1")
            .once(Asks::Info),
        post("profile.set_intro", "修改简介", "Change the introduction", APP, "app/modifysignature", "Baidu 5.3.5")
            .takes([must(intro(form("signature")))])
            .once(Asks::Info),
        post(
            "profile.correct",
            "强制下线后修正基本信息",
            "Correct basic information after a forced offline",
            APP,
            "app/offline/update",
            "Baidu 5.3.7",
        )
        .takes([
            name(form("app_name")),
            intro(form("app_desc")),
            icon(form("photo_addr")),
            param(
                "app_name_material",
                Kind::Texts(10),
                joined("app_name_material"),
                "名称材料图片地址",
                "addresses of uploaded pictures for the name",
                r#"["https://b.bdstatic.com/sample/license.png"]"#,
            ),
        ])
        .picture("1")
        .once(Asks::Info),
        post("service.pause", "暂停服务", "Pause the service", APP, "app/pause", "Baidu 5.3.6"),
        post("service.resume", "恢复服务", "Resume the service", APP, "app/resume", "Baidu 5.3.6"),
        get("base_library.get", "查询最低基础库版本", "Minimum base library", APP, "app/getsupportversion", "Baidu 5.3.8")
            .reads(read::base_library),
        post("base_library.set", "设置最低基础库版本", "Set the minimum base library", APP, "app/setsupportversion", "Baidu 5.3.8")
            .takes([must(param("version", Kind::Text(20), form("version"), "基础库版本", "version of the base library", "3.110.3"))]),
        post("web_switch.set", "开启或关闭 Web 化", "Switch the web version on or off", APP, "app/modifywebstatus", "Baidu 5.3.9")
            .takes([must(param("web_status", Kind::Number(1, 2), form("web_status"), "1 开启，2 关闭", "1 on, 2 off", "1"))]),
        post("message.send", "发送客服消息", "Send a customer message", APP, "message/custom/sendbytp", "Baidu 5.10")
            .takes([
                must(param("open_id", Kind::Text(128), form("open_id"), "接收用户的 open_id", "the user's open_id", "oSampleOpenId0001")),
                must(param("msg_type", Kind::Word(&["text", "image"]), form("msg_type"), "消息类型", "kind of message", "text")),
                param("content", Kind::Text(2048), form("content"), "文本内容", "text, for `text`", "您的订单已发货"),
                param("pic_url", PICTURE, form("pic_url"), "图片", "picture, for `image`", "https://b.bdstatic.com/sample/reply.png"),
                param(
                    "user_type",
                    Kind::Number(1, 2),
                    form("user_type"),
                    "1 游客，2 百度账号；缺省先试 2 再试 1",
                    "1 guest, 2 Baidu account; absent: 2, then 1",
                    "2",
                ),
            ])
            .sends(Sends::Message)
            .once(Asks::Nothing),
    ]
}
