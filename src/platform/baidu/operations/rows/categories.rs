//! Categories (5.4). The vendor knows one call that overwrites the whole set; add, modify and delete read it first.

use super::*;

const PATH: &str = "app/category/update";
const WITH_MATERIALS: &str =
    r#"[{"sub_category_id":197,"qualis":[{"id":1,"addr":"https://b.bdstatic.com/sample/qualification.png"}]},{"sub_category_id":6}]"#;

fn categories(example: &'static str) -> Param {
    let zh = "类目，至多 5 个：sub_category_id，需要资质时 qualis：[{id, addr：图片地址或文件}]";
    let en = "at most five: sub_category_id and, where materials are needed, qualis: [{id, addr: address or file}]";
    must(param("categories", Kind::Objects(5), Place::Own, zh, en, example))
}

fn category_type() -> Param {
    must(param("category_type", Kind::Number(1, 2), query("category_type"), "1 个人，2 企业", "1 personal, 2 enterprise", "2"))
}

fn change(name: &'static str, zh: &'static str, en: &'static str, sends: Sends, example: &'static str) -> Row {
    post(name, zh, en, APP, PATH, "Baidu 5.4.2").takes([categories(example)]).before(Before::Info).sends(sends).once(Asks::Info)
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        get("category.catalogue", "类目字典", "Categories there are", APP, "app/category/list", "Baidu 5.4.1")
            .takes([category_type()])
            .reads(read::catalogue),
        get(
            "component_category.catalogue",
            "类目字典（第三方平台凭证）",
            "Categories there are, without a merchant",
            TP,
            "app/category/list",
            "Baidu 5.4.1",
        )
        .takes([category_type()])
        .reads(read::catalogue),
        get("category.list", "查询已设置的类目", "Categories of the mini program", APP, "app/info", "Baidu 4.8").reads(read::categories),
        change("category.add", "添加类目", "Add categories", Sends::AddCategories, WITH_MATERIALS),
        change("category.modify", "修改类目资质", "Change the materials of categories", Sends::ModifyCategories, WITH_MATERIALS),
        change("category.delete", "删除类目", "Delete categories", Sends::DeleteCategories, r#"[{"sub_category_id":6}]"#),
    ]
}
