//! What belongs to the third-party application: templates, grants, message topics (Alipay 4.1, 4.3, 4.6, 5.10, 5.12).

use super::{client, json, must, param, row, text};
use crate::platform::operation::{Effect, Kind, Operation, Param, Place};

pub fn rows() -> Vec<Operation> {
    let mut rows = templates();
    rows.extend(grants());
    rows.extend(topics());
    rows
}

fn template(name: &'static str) -> Param {
    param(name, Kind::Digits, text(name), ("模板 APPID", "id of the template"), "\"2021000000000002\"")
}

fn page(name: &'static str) -> Param {
    param(name, Kind::Number(1, 100_000), json(name), ("页码，从一起", "page, from 1"), "1")
}

fn page_size() -> Param {
    param("page_size", Kind::Number(1, 50), json("page_size"), ("每页条数", "entries of a page"), "20")
}

fn app_id(place: Place) -> Param {
    param("app_id", Kind::Digits, place, ("商户小程序 APPID", "id of the merchant's mini program"), "\"2021000000000003\"")
}

fn templates() -> Vec<Operation> {
    vec![
        row("template.list", ("模板列表", "templates"), "alipay.open.mini.templatelist.query", Effect::Read, "Alipay 5.10")
            .of_the_application(),
        row(
            "template.usage",
            ("使用模板的小程序", "who uses a template"),
            "alipay.open.mini.template.usage.query",
            Effect::Read,
            "Alipay 5.10",
        )
        .of_the_application()
        .taking([
            must(template("template_id")),
            param("template_version", Kind::Text(64), json("template_version"), ("模板版本", "version of the template"), "0.0.1"),
            page("page_num"),
            page_size(),
            client(),
        ]),
        row(
            "template.instances",
            ("由模板创建的小程序", "mini programs made from templates"),
            "alipay.open.mini.instantiate.query",
            Effect::Read,
            "Alipay 5.10",
        )
        .of_the_application()
        .taking([
            template("template_id"),
            app_id(text("mini_app_id")),
            param("mini_app_name", Kind::Text(40), json("mini_app_name"), ("名称", "name"), "驿站小店"),
            param("query_full", Kind::Flag, json("query_full"), ("查询全部信息", "all there is to know"), "true"),
            page("page_no"),
            page_size(),
        ]),
    ]
}

fn grants() -> Vec<Operation> {
    vec![
        row(
            "authorization.permissions",
            ("授权状态与已授权接口", "state of the grant and what it covers"),
            "alipay.open.auth.token.app.query",
            Effect::Read,
            "Alipay 4.3",
        ),
        row(
            "authorization.merchant",
            ("授权商户信息", "the merchant who granted"),
            "alipay.open.auth.isv.query",
            Effect::Read,
            "Alipay 4.6",
        ),
        row(
            "authorization.list",
            ("已授权小程序", "mini programs that granted"),
            "alipay.open.mini.appauth.query",
            Effect::Read,
            "Alipay 4.6",
        )
        .of_the_application()
        .taking([app_id(text("auth_app_id")), page("page_no"), page_size()]),
        row(
            "authorization.invite",
            ("邀请授权", "invite a merchant to grant"),
            "alipay.open.auth.appauth.invite.create",
            Effect::Repeatable,
            "Alipay 4.1",
        )
        .of_the_application()
        .taking([
            must(app_id(text("auth_app_id"))),
            param(
                "redirect_url",
                Kind::Text(500),
                json("redirect_url"),
                ("授权回调地址", "where the browser comes back to"),
                "https://shop.example.com/granted",
            ),
            param(
                "state",
                Kind::Text(100),
                json("state"),
                ("原样带回，Base64；回到本服务时不填", "comes back, base64; not where that is this service"),
                "eWl6aGFu",
            ),
        ]),
    ]
}

fn topics() -> Vec<Operation> {
    let topic = || {
        let title = ("消息名", "name of the message");
        must(param("topic", Kind::Text(128), json("topic"), title, "alipay.open.mini.version.audit.passed"))
    };
    let tag = || param("tag", Kind::Text(64), json("tag"), ("标签", "tag"), "shop");
    vec![
        row(
            "message_topic.subscribe",
            ("订阅消息", "subscribe to a message"),
            "alipay.open.app.message.topic.subscribe",
            Effect::Repeatable,
            "Alipay 5.12",
        )
        .taking([
            topic(),
            must(param("comm_type", Kind::Word(&["HTTP", "WEBSOCKET"]), json("comm_type"), ("通道", "channel"), "HTTP")),
            tag(),
        ]),
        row(
            "message_topic.unsubscribe",
            ("取消订阅消息", "end a subscription to a message"),
            "alipay.open.app.message.topic.unsubscribe",
            Effect::Repeatable,
            "Alipay 5.12",
        )
        .taking([topic(), tag()]),
    ]
}
