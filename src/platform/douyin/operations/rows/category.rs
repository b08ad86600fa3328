//! Service categories (5.2): list, add, audit, publish, audit, online.

use super::{MERCHANT, json, must, once, read, with};
use crate::platform::operation::{Kind, Operation, Param, Place};

/// Categories of a mini program.
const MOST: u32 = 5;

fn with_materials() -> Param {
    must(
        (
            "categories",
            "类目，每项为 {category: 三级类目 id, materials: [{id, name, files}]}，不需要资质时不写 materials",
            "Each {category: ids of three levels, materials: [{id, name, files}]}; without `materials` where none are asked for",
        ),
        Kind::Objects(MOST),
        Place::Own,
        r#"[{"category":"188,189,190","materials":[{"id":"5","name":"营业执照","files":[{"file_name":"licence.png","content_base64":"iVBORw0KGgo="}]}]}]"#,
    )
}

pub(super) fn rows() -> Vec<Operation> {
    vec![
        read(
            ("category.catalogue", "可选类目", "Available categories"),
            MERCHANT,
            "/api/apps/v1/category/get_all_categories/",
            "Douyin 5.2",
        ),
        read(("category.list", "已设置类目", "Set categories"), MERCHANT, "/api/apps/v1/category/get_audit_categories/", "Douyin 5.2"),
        read(
            ("category.published", "已发布类目", "Published categories"),
            MERCHANT,
            "/api/apps/v1/category/get_online_categories/",
            "Douyin 5.2",
        ),
        with(
            once(("category.add", "添加类目", "Add categories"), MERCHANT, "/api/apps/v1/category/add_categories/", "Douyin 5.2"),
            [with_materials()],
        ),
        with(
            once(
                ("category.modify", "补充被拒类目的资质", "Supplement rejected categories"),
                MERCHANT,
                "/api/apps/v1/category/supply_categories/",
                "Douyin 5.2",
            ),
            [with_materials()],
        ),
        with(
            once(("category.delete", "删除类目", "Delete categories"), MERCHANT, "/api/apps/v1/category/del_categories/", "Douyin 5.2"),
            [must(
                ("categories", "三级类目 id，逗号连接", "Ids of three levels, joined with commas"),
                Kind::Texts(MOST),
                json("categories"),
                r#"["188,189,190"]"#,
            )],
        ),
        once(("category.publish", "发布类目", "Publish the categories"), MERCHANT, "/api/apps/v1/category/publish_category/", "Douyin 5.2"),
    ]
}
