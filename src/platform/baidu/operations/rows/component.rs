//! What the platform application does for itself: picture upload (5.3.1), templates and drafts (5.8), missed pushes (5.9).

use super::*;

fn paging() -> [Param; 2] {
    [
        param("page", Kind::Number(1, 100_000), query("page"), "页码，缺省 1", "page, 1 where absent", "1"),
        param("page_size", Kind::Number(1, 200), query("page_size"), "每页条数，缺省 10", "entries on a page, 10 where absent", "50"),
    ]
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        post("media.upload", "上传图片", "Upload a picture", TP, super::super::calls::PICTURES, "Baidu 5.3.1")
            .takes([
                must(param(
                    "file",
                    Kind::File(5 << 20),
                    Place::Part("multipartFile".into()),
                    "图片：bmp、jpeg、jpg、png",
                    "picture: bmp, jpeg, jpg, png",
                    "icon.png",
                )),
                param(
                    "type",
                    Kind::Number(1, 3),
                    Place::Part("type".into()),
                    "1 头像，2 类目资质，3 名称材料",
                    "1 icon, 2 qualification, 3 material for the name",
                    "1",
                ),
            ])
            .reads(read::url),
        get("template.list", "模板列表", "Templates", TP, "template/gettemplatelist", "Baidu 5.8").takes(paging()).reads(read::templates),
        get("template.drafts", "草稿箱列表", "Drafts", TP, "template/gettemplatedraftlist", "Baidu 5.8")
            .takes(paging())
            .reads(read::drafts),
        post("template.add", "草稿转为模板", "Make a draft a template", TP, "template/addtotemplate", "Baidu 5.8")
            .takes([
                must(param("draft_id", Kind::Digits, form("draft_id"), "草稿 ID", "id of the draft", "\"501\"")),
                must(param(
                    "description",
                    Kind::Text(30),
                    form("user_desc"),
                    "模板描述，不超过 30 字",
                    "description, at most 30 characters",
                    "商城模板",
                )),
            ])
            .before(Before::Templates)
            .once(Asks::Templates)
            .reads(read::template),
        post("template.delete", "删除模板", "Delete a template", TP, "template/deltemplate", "Baidu 5.8")
            .takes([must(param("template_id", Kind::Digits, form("template_id"), "模板 ID", "id of the template", "\"12\""))])
            .once(Asks::Templates),
        get("pushes.missed", "查询推送记录", "Pushes that were sent or missed", TP, "pushmsg/getmsg", "Baidu 5.9")
            .takes([
                param(
                    "start",
                    Kind::Number(0, 9_999_999_999),
                    query("start"),
                    "开始时间（Unix 秒），不早于一个月前",
                    "from, Unix seconds, at most a month ago",
                    "1795158000",
                ),
                param(
                    "end",
                    Kind::Number(0, 9_999_999_999),
                    query("end"),
                    "结束时间（Unix 秒），跨度不超过一周",
                    "until, Unix seconds, at most a week later",
                    "1795244400",
                ),
                param("push_type", Kind::Number(1, 2), query("push_type"), "1 全部，2 失败", "1 all, 2 failed", "2"),
                param("offset", Kind::Number(0, 1_000_000), query("offset"), "偏移，缺省 0", "offset, 0 where absent", "0"),
                param("count", Kind::Number(1, 100), query("count"), "条数，缺省 100", "entries, 100 where absent", "100"),
                param(
                    "id_list",
                    Kind::Texts(100),
                    Place::Own,
                    "消息 ID，给出时忽略其他条件",
                    "ids; nothing else matters then",
                    r#"["9001"]"#,
                ),
            ])
            .sends(Sends::Ids)
            .reads(read::missed),
    ]
}
