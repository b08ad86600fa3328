//! Versions and their life, from upload to rollback, and the experience version (Alipay 5.1 to 5.6).

use super::profile::{category, email, english_name, icon, intro, name, phone, slogan};
use super::{AUDITED_CLIENTS, CLIENTS, MEBIBYTE, client, json, must, param, part, row, text, version};
use crate::platform::operation::{Effect, Kind, Operation, Param, Place};

/// Every state of a version (Alipay 5.1).
pub const STATES: &[&str] =
    &["INIT", "AUDITING", "AUDIT_REJECT", "WAIT_RELEASE", "BASE_AUDIT_PASS", "GRAY", "RELEASE", "OFFLINE", "AUDIT_OFFLINE"];

const DETAIL: &str = "alipay.open.mini.version.detail.query";
const ONLINE: &str = "alipay.open.mini.version.online";

pub fn rows() -> Vec<Operation> {
    let mut rows = making();
    rows.extend(releasing());
    rows.extend(trying());
    rows
}

fn making() -> Vec<Operation> {
    vec![
        row(
            "package.upload",
            ("由模板构建版本", "build a version from a template"),
            "alipay.open.mini.version.upload",
            Effect::Once,
            "Alipay 5.2",
        )
        .taking([
            must(param("template_id", Kind::Digits, text("template_id"), ("模板 APPID", "id of the template"), "\"2021000000000002\"")),
            must(version(json("app_version"))),
            param(
                "template_version",
                Kind::Text(64),
                json("template_version"),
                ("模板版本，默认最新上架的", "version of the template, by default the newest online"),
                "0.0.1",
            ),
            param(
                "ext",
                Kind::Object,
                Place::Own,
                ("ext.json 的内容；extEnable 自动补上", "content of ext.json; extEnable is filled in"),
                "{\"ext\":{\"shopName\":\"驿站小店\"}}",
            ),
            client(),
        ]),
        row(
            "package.build_status",
            ("查询构建状态", "state of a build"),
            "alipay.open.mini.version.build.query",
            Effect::Read,
            "Alipay 5.3",
        )
        .taking([must(version(json("app_version"))), client()]),
        row("package.list", ("版本列表", "versions"), "alipay.open.mini.version.list.query", Effect::Read, "Alipay 5.3").taking([
            param(
                "version_status",
                Kind::Texts(9),
                Place::Own,
                ("只要这些状态的版本", "only those in these states"),
                "[\"INIT\",\"RELEASE\"]",
            ),
            client(),
        ]),
        row("package.get", ("版本详情", "one version"), DETAIL, Effect::Read, "Alipay 5.3")
            .taking([must(version(json("app_version"))), client()]),
        row("package.delete", ("删除版本", "delete a version"), "alipay.open.mini.version.delete", Effect::Once, "Alipay 5.5")
            .taking([must(version(json("app_version"))), client()]),
        row("audit.submit", ("提交审核", "submit for audit"), "alipay.open.mini.version.audit.apply", Effect::Once, "Alipay 5.4")
            .taking(submission()),
        row("audit.withdraw", ("撤销审核", "withdraw from audit"), "alipay.open.mini.version.audit.cancel", Effect::Once, "Alipay 5.5")
            .taking([version(json("app_version")), client()]),
        row("audit.reason", ("审核结果与驳回原因", "outcome of an audit and its reasons"), DETAIL, Effect::Read, "Alipay 5.3")
            .taking([must(version(json("app_version"))), client()]),
        row(
            "package.back_to_development",
            ("退回开发", "back to development"),
            "alipay.open.mini.version.audited.cancel",
            Effect::Once,
            "Alipay 5.5",
        )
        .taking([must(version(json("app_version"))), client()]),
    ]
}

fn submission() -> Vec<Param> {
    let mut params = vec![
        must(version(part("app_version"))),
        must(param(
            "description",
            Kind::Text(500),
            part("version_desc"),
            ("版本描述，汉字计二，至少三十", "description, at least 30; a Chinese character counts two"),
            "驿站小店第一版：收信、换马、点灯三项服务上线，另有值夜提醒。",
        )),
        must(param(
            "region",
            Kind::Word(&["GLOBAL", "CHINA", "LOCATION"]),
            part("region_type"),
            ("服务区域", "region that is served"),
            "CHINA",
        )),
        param(
            "service_region_info",
            Kind::Objects(100),
            part("service_region_info"),
            ("服务的省市区，region 为 LOCATION 时", "provinces, cities and areas, for LOCATION"),
            "[{\"province_code\":\"310000\",\"city_code\":\"310100\",\"area_code\":\"310101\"}]",
        ),
        phone("service_phone"),
        email("service_email"),
        name(),
        english_name(),
        slogan(),
        intro(),
        icon(),
        category(),
        param("remark", Kind::Text(500), part("memo"), ("给审核员的备注", "remark for the auditor"), "请在白天测试"),
        // The vendor's name is misspelt.
        param("test_account", Kind::Text(64), part("test_accout"), ("测试账号", "test account"), "auditor"),
        param("test_password", Kind::Text(64), part("test_password"), ("测试密码", "its password"), "lamp-and-horse"),
        param(
            "test_file_name",
            Kind::File(10 * MEBIBYTE),
            part("test_file_name"),
            ("测试附件 zip 或 rar", "test material, zip or rar"),
            "test.zip",
        ),
        param("license_no", Kind::Text(64), part("license_no"), ("营业执照号", "number of the licence"), "\"910000000000000000\""),
        param("license_name", Kind::Text(128), part("license_name"), ("营业执照名称", "name on the licence"), "某某商贸有限公司"),
        param(
            "license_valid_date",
            Kind::Text(10),
            part("license_valid_date"),
            ("执照有效期，9999-12-31 为长期", "end of the licence; 9999-12-31 for none"),
            "9999-12-31",
        ),
    ];
    params.extend(PICTURES.iter().map(|(name, title)| param(name, Kind::File(4 * MEBIBYTE), part(name), *title, "picture.png")));
    params.extend([
        param(
            "audit_rule",
            Kind::Word(&["BASE_PROMOTE"]),
            part("audit_rule"),
            ("分准入与推广两部分审核", "audit admission and promotion apart"),
            "BASE_PROMOTE",
        ),
        param("auto_online", Kind::Flag, part("auto_online"), ("通过后自动上架", "release by itself once passed"), "false"),
        param("speed_up", Kind::Flag, part("speed_up"), ("加急审核", "use an entitlement for a faster audit"), "false"),
        param("bundle_id", Kind::Word(AUDITED_CLIENTS), part("bundle_id"), ("客户端类型", "client"), "com.alipay.alipaywallet"),
    ]);
    params
}

const PICTURES: &[(&str, (&str, &str))] = &[
    ("first_license_pic", ("执照图片一", "licence, picture 1")),
    ("second_license_pic", ("执照图片二", "licence, picture 2")),
    ("third_license_pic", ("执照图片三", "licence, picture 3")),
    ("fourth_license_pic", ("执照图片四", "licence, picture 4")),
    ("fifth_license_pic", ("执照图片五", "licence, picture 5")),
    ("out_door_pic", ("门头照", "the shop from outside")),
    ("first_special_license_pic", ("特许资质图片一", "special licence, picture 1")),
    ("second_special_license_pic", ("特许资质图片二", "special licence, picture 2")),
    ("third_special_license_pic", ("特许资质图片三", "special licence, picture 3")),
    ("first_screen_shot", ("截图一", "screen shot 1")),
    ("second_screen_shot", ("截图二", "screen shot 2")),
    ("third_screen_shot", ("截图三", "screen shot 3")),
    ("fourth_screen_shot", ("截图四", "screen shot 4")),
    ("fifth_screen_shot", ("截图五", "screen shot 5")),
];

fn releasing() -> Vec<Operation> {
    vec![
        row("package.release", ("上架", "release"), ONLINE, Effect::Once, "Alipay 5.5").taking(release()),
        // The same call under the vendor's word for it.
        row(
            "package.online",
            ("上架（同 package.release）", "put online, the same as package.release"),
            ONLINE,
            Effect::Once,
            "Alipay 5.5",
        )
        .taking(release()),
        row("package.offline", ("下架", "take offline"), "alipay.open.mini.version.offline", Effect::Once, "Alipay 5.5")
            .taking([must(version(json("app_version"))), client()]),
        row("package.rollback", ("回滚", "roll back"), "alipay.open.mini.version.rollback", Effect::Once, "Alipay 5.5").taking([
            must(param("version", Kind::Text(64), json("app_version"), ("当前线上版本", "the version that is online now"), "0.0.1")),
            client(),
        ]),
        row("package.gray_online", ("灰度上架", "gray release"), "alipay.open.mini.version.gray.online", Effect::Once, "Alipay 5.5")
            .taking([
                must(version(json("app_version"))),
                must(param(
                    "gray_strategy",
                    Kind::Word(&["p10", "p30", "p50"]),
                    json("gray_strategy"),
                    ("灰度比例，只能加大", "share of users in percent; may only grow"),
                    "p10",
                )),
                client(),
            ]),
        row("package.gray_cancel", ("结束灰度", "end a gray release"), "alipay.open.mini.version.gray.cancel", Effect::Once, "Alipay 5.5")
            .taking([must(version(json("app_version"))), client()]),
    ]
}

fn release() -> Vec<Param> {
    vec![
        must(version(json("app_version"))),
        param(
            "permit_registration_limit_release",
            Kind::Flag,
            json("permit_registration_limit_release"),
            ("未备案时受限上架", "release with limits while the ICP filing is missing"),
            "true",
        ),
        param("downgrade", Kind::Flag, json("downgrade"), ("性能优先于覆盖", "performance before coverage"), "false"),
        param("bundle_id", Kind::Word(CLIENTS), json("bundle_id"), ("客户端类型", "client"), "com.alipay.alipaywallet"),
    ]
}

fn trying() -> Vec<Operation> {
    const CREATE: &str = "alipay.open.mini.experience.create";
    let takes = || [must(version(json("app_version"))), client()];
    vec![
        row(
            "trial.qrcode",
            ("体验码：设体验版并等到可用", "QR code of the trial version, made and waited for"),
            CREATE,
            Effect::Repeatable,
            "Alipay 5.6",
        )
        .taking(takes()),
        row("trial.create", ("设为体验版", "make the trial version"), CREATE, Effect::Repeatable, "Alipay 5.6").taking(takes()),
        row("trial.cancel", ("取消体验版", "end the trial version"), "alipay.open.mini.experience.cancel", Effect::Once, "Alipay 5.6")
            .taking(takes()),
        row(
            "trial.status",
            ("体验版状态与二维码", "state and QR code of the trial version"),
            "alipay.open.mini.experience.query",
            Effect::Read,
            "Alipay 5.6",
        )
        .taking(takes()),
    ]
}
