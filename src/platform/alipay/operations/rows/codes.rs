//! QR codes of the mini program, and ordinary QR codes that open it (Alipay 5.11).

use super::{json, must, param, row, text};
use crate::platform::operation::{Effect, Kind, Operation, Param};

pub fn rows() -> Vec<Operation> {
    let path = || param("path", Kind::Text(256), json("url_param"), ("页面路径", "page"), "pages/index/index");
    let query = || param("query", Kind::Text(256), json("query_param"), ("启动参数", "query for its start"), "from=poster");
    let color = || param("color", Kind::Text(10), json("color"), ("圆码颜色", "colour of the round code"), "0x00BFFF");
    vec![
        row(
            "qrcode.create",
            ("小程序码", "QR code of the mini program"),
            "alipay.open.app.qrcode.create",
            Effect::Repeatable,
            "Alipay 5.11",
        )
        .taking([
            must(path()),
            must(query()),
            must(param("description", Kind::Text(32), json("describe"), ("码下文字", "text below the code"), "驿站小店")),
            color(),
            param("size", Kind::Word(&["s", "m", "l"]), json("size"), ("尺寸", "size"), "m"),
        ]),
        row(
            "qrcode.create_temporary",
            ("临时小程序码", "QR code that ends"),
            "alipay.open.app.qrcode.temporary.create",
            Effect::Repeatable,
            "Alipay 5.11",
        )
        .taking([
            must(path()),
            query(),
            color(),
            param("qrcode_type", Kind::Text(32), json("qrcode_type"), ("码类型", "kind of code"), "SQUARE"),
            param("timeout", Kind::Number(1, 7200), json("timeout"), ("有效秒数", "seconds until it ends"), "600"),
        ]),
        row(
            "qrcode_rule.bind",
            ("关联普通二维码", "bind an ordinary QR code"),
            "alipay.open.mini.qrcode.bind",
            Effect::Once,
            "Alipay 5.11",
        )
        .taking([
            must(url()),
            must(param(
                "mode",
                Kind::Word(&["EXACT", "FUZZY"]),
                json("mode"),
                ("匹配方式：全等、前缀", "how it matches: the whole address, or its beginning"),
                "EXACT",
            )),
            must(param("path", Kind::Text(256), json("page_redirection"), ("打开的页面", "page that opens"), "pages/index/index")),
            param(
                "route_pattern",
                Kind::Text(512),
                json("route_pattern"),
                ("已创建的规则样式", "a pattern made before"),
                "https://example.com/t/{0}",
            ),
        ]),
        row("qrcode_rule.unbind", ("取消关联", "unbind"), "alipay.open.mini.qrcode.unbind", Effect::Once, "Alipay 5.11").taking([
            param(
                "route_group",
                Kind::Text(64),
                json("route_group"),
                ("规则编号，与 url 二选一", "id of the rule, or else url"),
                "route-1",
            ),
            url(),
        ]),
        row("qrcode_rule.list", ("关联规则列表", "rules, all of them"), "alipay.open.mini.qrcode.query", Effect::Read, "Alipay 5.11"),
        row(
            "qrcode_rule.create_pattern",
            ("创建普通二维码规则样式", "make a pattern for rules"),
            "alipay.open.mini.qrcode.pattern.create",
            Effect::Repeatable,
            "Alipay 5.11",
        )
        .taking([
            must(param(
                "invoke_type",
                Kind::Word(&["DELEGATE", "MERCHANT", "ISV"]),
                json("invoke_type"),
                ("调用方式", "whose hosts count"),
                "DELEGATE",
            )),
            must(param(
                "pattern_url",
                Kind::Text(512),
                json("pattern_url"),
                ("带变量的地址", "address with variables"),
                "https://example.com/t/{0}",
            )),
            param("template_id", Kind::Digits, text("template_id"), ("模板 APPID", "id of the template"), "\"2021000000000002\""),
        ]),
    ]
}

fn url() -> Param {
    let title = ("二维码的地址", "address in the QR code");
    param("url", Kind::Text(512), json("route_url"), title, "https://example.com/t/1")
}
