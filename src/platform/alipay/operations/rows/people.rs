//! Members and content security (Alipay 5.9, 5.13).

use super::{json, must, param, row, text};
use crate::platform::operation::{Effect, Kind, Operation, Param};

pub fn rows() -> Vec<Operation> {
    let mut rows = vec![
        row("member.add", ("添加成员", "invite a member"), "alipay.open.app.members.create", Effect::Repeatable, "Alipay 5.9").taking([
            must(param(
                "account",
                Kind::Text(100),
                json("logon_id"),
                ("支付宝登录账号", "login of the person at Alipay"),
                "guest@example.com",
            )),
            must(role()),
        ]),
        row("member.remove", ("删除成员", "remove a member"), "alipay.open.app.members.delete", Effect::Once, "Alipay 5.9").taking([
            param(
                "user_id",
                Kind::Digits,
                text("user_id"),
                ("用户 2088 号，与 open_id 二选一", "number of the person, or else open_id"),
                "\"2088000000000002\"",
            ),
            param(
                "open_id",
                Kind::Text(128),
                json("open_id"),
                ("用户 open_id", "open id of the person"),
                "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5",
            ),
            must(role()),
        ]),
        row("member.list", ("成员列表", "members"), "alipay.open.app.members.query", Effect::Read, "Alipay 5.9").taking([must(role())]),
    ];
    rows.extend(screening());
    rows
}

fn role() -> Param {
    param(
        "role",
        Kind::Word(&["DEVELOPER", "EXPERIENCER"]),
        json("role"),
        ("角色：开发者、体验者", "role: developer, experiencer"),
        "EXPERIENCER",
    )
}

fn screening() -> Vec<Operation> {
    let word = |name: &'static str, title: (&'static str, &'static str), example: &'static str| {
        param(name, Kind::Text(128), json(name), title, example)
    };
    let urls = |name: &'static str, title: (&'static str, &'static str), example: &'static str| {
        param(name, Kind::Texts(100), json(name), title, example)
    };
    vec![
        row("content.check", ("文本内容安全", "check a text"), "alipay.security.risk.content.detect", Effect::Read, "Alipay 5.13")
            .taking([must(param("content", Kind::Text(20_000), json("content"), ("文本", "text"), "今日驿站有新马"))]),
        row(
            "content.analyze",
            ("内容安全分析", "have content analysed"),
            "alipay.security.risk.content.analyze",
            Effect::Repeatable,
            "Alipay 5.13",
        )
        .taking([
            param("account_type", Kind::Word(&["0", "1"]), json("account_type"), ("0 用户，1 商户", "0 a user, 1 a merchant"), "\"0\""),
            word("account_id", ("账号", "account"), "\"2088000000000002\""),
            word("app_name", ("业务名", "name of the application"), "yizhan"),
            word("app_scene", ("场景", "scene"), "comment"),
            word("app_main_scene", ("主场景", "main scene"), "shop"),
            word("app_main_scene_id", ("主场景编号", "its id"), "shop-1"),
            must(word("app_scene_data_id", ("内容编号", "id of the content"), "comment-1")),
            word("publish_date", ("发布时间", "when it is published"), "2026-11-20 12:00:00"),
            param("text", Kind::Text(20_000), json("text"), ("文本", "text"), "今日驿站有新马"),
            word("text_type", ("文本类型", "kind of the text"), "comment"),
            urls("link_urls", ("链接", "links"), "[\"https://example.com/\"]"),
            urls("picture_urls", ("图片", "pictures"), "[\"https://example.com/a.png\"]"),
            urls("audio_urls", ("音频", "sounds"), "[\"https://example.com/a.mp3\"]"),
            urls("video_urls", ("视频", "films"), "[\"https://example.com/a.mp4\"]"),
        ]),
        row(
            "content.result",
            ("内容安全分析结果", "result of an analysis"),
            "alipay.security.risk.content.result.get",
            Effect::Read,
            "Alipay 5.13",
        )
        .taking([
            must(word("event_id", ("分析编号", "id of the analysis"), "event-1")),
            word("app_scene", ("场景", "scene"), "comment"),
            word("app_scene_data_id", ("内容编号", "id of the content"), "comment-1"),
        ]),
        row(
            "content.sync_check",
            ("内容安全同步检测", "check a text or a picture by contract"),
            "alipay.security.risk.content.sync.detect",
            Effect::Read,
            "Alipay 5.13",
        )
        .taking([
            must(param("content_type", Kind::Word(&["TEXT", "PICTURE"]), json("content_type"), ("内容类型", "kind of content"), "TEXT")),
            must(param("data_list", Kind::Texts(1), json("data_list"), ("内容，一项", "the content, one item"), "[\"今日驿站有新马\"]")),
            must(word("channel", ("合约渠道", "channel of the contract"), "tinyapp-eco-open")),
            param("products", Kind::Texts(20), json("products"), ("合约产品", "products of the contract"), "[\"TJ_PORN_MC\"]"),
            word("tenants", ("租户", "tenant"), "yizhan"),
            word("request_id", ("请求编号", "id of the request"), "request-1"),
            param("user_id", Kind::Digits, text("user_id"), ("用户 2088 号", "number of the person"), "\"2088000000000002\""),
            word("open_id", ("用户 open_id", "open id of the person"), "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5"),
        ]),
    ]
}
