//! Authorization, name, icon, introduction, quality, credit, trial operation, material, codes to scan (5.1, 5.4, 5.5, 5.10).

use super::{MERCHANT, MERCHANT_V1, PICTURE, json, may, must, once, part, query, read, repeatable, with};
use crate::platform::operation::{Answers, Kind, Operation, Place};

/// Apps that can scan a mini program code (5.5).
const APPS: &[&str] = &["toutiao", "douyin", "douyin_lite", "douyin_search", "toutiao_lite", "all"];

pub(super) fn rows() -> Vec<Operation> {
    vec![
        // The vendor tells the granted sets at the exchange only: one harmless read of each set tells whether it stands (1.3).
        read(
            ("authorization.permissions", "查询授权的权限集", "Which permission sets are granted"),
            MERCHANT,
            "/api/apps/v1/package_version/versions/",
            "Douyin 1.3",
        ),
        read(("profile.get", "查询基本信息", "Basic information"), MERCHANT, "/api/apps/v2/basic_info/get_info/", "Douyin 5.1"),
        with(
            read(("profile.check_name", "检测名称", "Check a name"), MERCHANT, "/api/apps/v2/basic_info/check_app_name/", "Douyin 5.1"),
            [must(("name", "名称", "Name"), Kind::Text(20), query("app_name"), "示例茶铺")],
        ),
        with(
            once(("profile.set_name", "修改名称", "Change the name"), MERCHANT, "/api/apps/v2/basic_info/modify_app_name/", "Douyin 5.1"),
            [
                must(
                    ("name", "名称：4–20 个字符，汉字算 2 个", "Name: 4 to 20 characters, a Chinese one counts 2"),
                    Kind::Text(20),
                    json("new_name"),
                    "示例茶铺",
                ),
                may(
                    ("materials", "证明材料，检测名称返回 21006 时需要", "Proof, needed when the check says 21006"),
                    Kind::Picture(PICTURE),
                    json("material_file_path"),
                    r#"{"file_name":"trademark.png","content_base64":"iVBORw0KGgo="}"#,
                ),
            ],
        ),
        with(
            once(
                ("profile.set_intro", "修改简介", "Change the introduction"),
                MERCHANT,
                "/api/apps/v2/basic_info/modify_app_intro/",
                "Douyin 5.1",
            ),
            [must(
                ("intro", "简介，10–60 个字符", "Introduction, 10 to 60 characters"),
                Kind::Text(60),
                json("new_intro"),
                "手工茶饮，在线点单，到店自取。",
            )],
        ),
        with(
            once(("profile.set_icon", "修改图标", "Change the icon"), MERCHANT, "/api/apps/v2/basic_info/modify_app_icon/", "Douyin 5.1"),
            [must(
                ("icon", "图标，200 × 200 像素", "Icon, 200 by 200 pixels"),
                Kind::Picture(PICTURE),
                json("new_icon_path"),
                r#"{"file_name":"icon.png","content_base64":"iVBORw0KGgo="}"#,
            )],
        ),
        read(("quality.rating", "查询质量评级", "Quality rating"), MERCHANT_V1, "/openapi/v1/microapp/app/quality_rating", "Douyin 5.4"),
        read(("quality.credit_score", "查询信用分", "Credit score"), MERCHANT, "/api/apps/v2/credit_score/get_credit_score/", "Douyin 5.4"),
        read(("trial_operation.get", "查询试运营信息", "Trial operation"), MERCHANT, "/api/apps/v2/trial/get_trial_info/", "Douyin 5.4"),
        with(
            repeatable(("media.upload", "上传素材", "Upload material"), MERCHANT, "/api/apps/v2/file/upload_material/", "Douyin 5.10"),
            [
                must(
                    (
                        "material_type",
                        "用途：1 图标 2 类目资质 3 名称证明 4 落地页截图 5 场景图 6 分享模板 7 门店资质 8 合同",
                        "Use: 1 icon, 2 category, 3 name, 4 landing page, 5 scene, 6 share template, 7 licence, 8 contract",
                    ),
                    Kind::Number(1, 8),
                    part("material_type"),
                    "2",
                ),
                must(("file", "文件", "File"), Kind::File(5 * 1024 * 1024), part("material_file"), "licence.png"),
            ],
        ),
        with(
            repeatable(
                ("trial.qrcode", "获取各版本二维码", "QR code of a version"),
                MERCHANT,
                "/api/apps/v2/basic_info/get_qr_code/",
                "Douyin 5.5",
            ),
            [
                must(
                    ("stage", "版本：测试、审核、线上", "Version: test, in audit, online"),
                    Kind::Word(&["latest", "audit", "current"]),
                    json("version"),
                    "latest",
                ),
                may(
                    ("path", "页面，可带参数，开头没有斜杠", "Page with its parameters, without a leading slash"),
                    Kind::Text(1024),
                    json("path"),
                    "pages/index/index?from=qr",
                ),
            ],
        ),
        Operation { answers: Answers::File, ..code() },
    ]
}

fn code() -> Operation {
    with(
        repeatable(("qrcode.create", "生成小程序码", "Mini program code"), MERCHANT, "/api/apps/v1/qrcode/create/", "Douyin 5.5"),
        [
            may(("path", "页面", "Page"), Kind::Text(1024), Place::Own, "pages/shop/shop"),
            may(("query", "启动参数", "Start parameters"), Kind::Text(1024), Place::Own, "table=7"),
            may(("width", "宽度，像素", "Width in pixels"), Kind::Number(280, 1280), json("width"), "430"),
            may(("color", "线条颜色", "Colour of the lines"), Kind::Text(7), Place::Own, "#1a2b3c"),
            may(("background", "背景颜色", "Colour of the background"), Kind::Text(7), Place::Own, "#ffffff"),
            may(("app_name", "宿主端，默认今日头条", "Host app, Toutiao when left out"), Kind::Word(APPS), json("app_name"), "douyin"),
            may(("set_icon", "中间展示图标", "Icon in the centre"), Kind::Flag, json("set_icon"), "true"),
            may(
                ("is_circle_code", "抖音圆形码，颜色无效", "Circular code, ignores the colours"),
                Kind::Flag,
                json("is_circle_code"),
                "false",
            ),
        ],
    )
}
