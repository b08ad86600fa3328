//! Base information, categories and safe domains (Alipay 5.7, 5.8, 5.12).

use super::{MEBIBYTE, json, must, param, part, row};
use crate::platform::operation::{Effect, Kind, Operation, Param, Place};

const QUERY: &str = "alipay.open.mini.baseinfo.query";
const MODIFY: &str = "alipay.open.mini.baseinfo.modify";

pub fn rows() -> Vec<Operation> {
    vec![
        row("profile.get", ("查询基础信息", "base information"), QUERY, Effect::Read, "Alipay 5.7"),
        row("profile.modify", ("修改基础信息", "change base information"), MODIFY, Effect::Once, "Alipay 5.7").taking([
            name(),
            english_name(),
            slogan(),
            intro(),
            icon(),
            category(),
            phone("phone"),
            email("email"),
        ]),
        row("profile.set_name", ("修改名称", "change the name"), MODIFY, Effect::Once, "Alipay 5.7").taking([must(name())]),
        row("profile.set_icon", ("修改图标", "change the icon"), MODIFY, Effect::Once, "Alipay 5.7").taking([must(icon())]),
        row("profile.set_intro", ("修改简介", "change the introduction"), MODIFY, Effect::Once, "Alipay 5.7").taking([must(intro())]),
        row("profile.check_name", ("检测名称", "check a name"), "alipay.open.mini.baseinfo.name.check", Effect::Read, "Alipay 5.7")
            .taking([must(name())]),
        row("category.catalogue", ("可选类目", "categories to choose from"), "alipay.open.mini.category.query", Effect::Read, "Alipay 5.8")
            .taking([param(
                "is_filter",
                Kind::Flag,
                json("is_filter"),
                ("过滤不可用的类目", "hide those that this mini program may not use"),
                "true",
            )]),
        row(
            "category.requirements",
            ("类目要求", "what categories require"),
            "alipay.open.mini.category.require.query",
            Effect::Read,
            "Alipay 5.8",
        )
        .taking([must(param(
            "categories",
            Kind::Texts(5),
            json("category_code_list"),
            ("类目编码，各级以下划线连接", "codes, the ids of all levels joined with underscores"),
            "[\"XS1007_XS2059_XS3062\"]",
        ))]),
        row("category.list", ("已设类目", "categories that are set"), QUERY, Effect::Read, "Alipay 5.7"),
        row("category.modify", ("修改类目", "change the categories"), MODIFY, Effect::Once, "Alipay 5.7").taking([must(param(
            "categories",
            Kind::Texts(4),
            Place::Own,
            ("类目编码，一至四组，全部替换", "one to four codes, which replace all"),
            "[\"XS1007_XS2059_XS3062\"]",
        ))]),
        row("safe_domain.get", ("查询安全域名", "safe domains"), QUERY, Effect::Read, "Alipay 5.12"),
        row(
            "safe_domain.add",
            ("添加安全域名", "add a safe domain"),
            "alipay.open.mini.safedomain.create",
            Effect::Repeatable,
            "Alipay 5.12",
        )
        .taking([must(domain())]),
        row(
            "safe_domain.delete",
            ("删除安全域名", "delete a safe domain"),
            "alipay.open.mini.safedomain.delete",
            Effect::Repeatable,
            "Alipay 5.12",
        )
        .taking([must(domain())]),
    ]
}

pub fn name() -> Param {
    param("name", Kind::Text(40), part("app_name"), ("名称", "name"), "驿站小店")
}

pub fn english_name() -> Param {
    param("english_name", Kind::Text(30), part("app_english_name"), ("英文名称", "English name"), "PostHouse")
}

pub fn slogan() -> Param {
    param("slogan", Kind::Text(32), part("app_slogan"), ("标语", "slogan"), "换马歇脚，信到人安")
}

pub fn intro() -> Param {
    let example = "驿站小店替沿途的商家照看门户，收信、换马、点灯，风雨不误。";
    param("intro", Kind::Text(400), part("app_desc"), ("简介", "introduction"), example)
}

pub fn icon() -> Param {
    let title = ("图标，方形 jpg 或 png", "icon, a square jpg or png");
    param("icon", Kind::File(2 * MEBIBYTE), part("app_logo"), title, "logo.png")
}

pub fn category() -> Param {
    let title = ("类目编码，以分号连接", "category codes, joined with semicolons");
    param("category", Kind::Text(256), part("mini_category_ids"), title, "XS1007_XS2059_XS3062")
}

pub fn phone(name: &'static str) -> Param {
    param(name, Kind::Text(30), part("service_phone"), ("客服电话", "service phone"), "010-12345678")
}

pub fn email(name: &'static str) -> Param {
    param(name, Kind::Text(128), part("service_email"), ("客服邮箱", "service e-mail"), "service@example.com")
}

fn domain() -> Param {
    let title = ("域名，一次一个", "domain, one at a time");
    param("domain", Kind::Text(256), json("safe_domain"), title, "https://api.example.com")
}
