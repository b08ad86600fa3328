//! Phone number permission (5.6), traffic and violations (5.7).

use super::*;

/// Baidu has one capability to apply for by API; `capability.*` is the same as `phone_number.*` (5.6).
fn capability() -> Param {
    must(param("capability", Kind::Word(&["phone_number"]), Place::Own, "能力", "capability", "phone_number"))
}

fn application() -> [Param; 4] {
    [
        must(param(
            "reason",
            Kind::Number(0, 2),
            form("reason"),
            "0 登录，1 收货联系，2 其他",
            "0 login, 1 delivery contact, 2 other",
            "1",
        )),
        must(param(
            "used_scene",
            Kind::Number(0, 5),
            form("used_scene"),
            "0 网上购物，1 账号内容同步，2 票务预订，3 业务办理，4 信息查询，5 预约",
            "0 shopping, 1 content of the account, 2 tickets, 3 business, 4 information, 5 appointment",
            "0",
        )),
        // The document allows 500 characters, a library's example 212 (conflict 15).
        must(param("scene_desc", Kind::Text(200), form("scene_desc"), "使用场景说明", "where and how it is used", "下单后填写收货电话")),
        must(param(
            "scene_demo",
            PICTURE,
            form("scene_demo"),
            "场景截图",
            "picture of the place where it is used",
            "https://b.bdstatic.com/sample/scene.png",
        )),
    ]
}

pub(super) fn rows() -> Vec<Row> {
    let apply = |name, zh, en| post(name, zh, en, APP, "app/apply/mobileauth", "Baidu 5.6").once(Asks::Phone);
    let status = |name, zh, en| get(name, zh, en, APP, "app/get/mobileauthstatus", "Baidu 5.6").reads(read::phone);
    vec![
        apply("phone_number.apply", "申请获取用户手机号权限", "Apply for users' phone numbers").takes(application()),
        post("phone_number.cancel", "取消获取用户手机号权限", "Give up users' phone numbers", APP, "app/cancel/mobileauth", "Baidu 5.6"),
        status("phone_number.status", "查询获取用户手机号权限", "State of the phone number permission"),
        apply("capability.apply", "申请能力", "Apply for a capability").takes([capability()]).takes(application()),
        status("capability.status", "查询能力状态", "State of a capability").takes([capability()]),
        post("traffic.pause", "流量下线", "Take traffic offline", APP, "appflow/control", "Baidu 5.7")
            .fixed(&[("type", "2")])
            .already(&[110_005]),
        post("traffic.resume", "流量上线", "Take traffic online", APP, "appflow/control", "Baidu 5.7")
            .fixed(&[("type", "1")])
            .already(&[110_004]),
        post("traffic.appeal", "申请解除流量封禁", "Appeal against closed traffic", APP, "appflow/applyRecovery", "Baidu 5.7")
            .takes([must(param(
                "audit_desc",
                Kind::Text(100),
                form("audit_desc"),
                "整改说明，1 至 100 字",
                "what was mended, 1 to 100 characters",
                "已按要求整改",
            ))])
            .once(Asks::Nothing),
        get("violation.list", "查询违规详情", "Violations", APP, "app/violation", "Baidu 5.7").reads(read::violations),
    ]
}
