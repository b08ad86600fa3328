//! Server domains and webview domains of an authorizer (5.3). One address for each kind; `action` says what is done.

use super::{MERCHANT, Names, may, must, with};
use crate::platform::call::Method::Post;
use crate::platform::operation::{Effect, Kind, Operation, Param, Place};

/// Domains of one kind.
const MOST: u32 = 20;
const SERVER: &str = "/api/apps/v2/domain/modify_server_domain/";
const WEBVIEW: &str = "/api/apps/v2/domain/modify_webview_domain/";

fn row(names: Names, path: &'static str, effect: Effect) -> Operation {
    super::row(names, MERCHANT, Post, path, effect, "Douyin 5.3")
}

fn lists() -> Vec<Param> {
    let list = |names: Names, example: &'static str| may(names, Kind::Texts(MOST), Place::Own, example);
    vec![
        list(("request", "request 域名", "Domains for requests"), r#"["https://api.shop.example.com"]"#),
        list(("socket", "socket 域名", "Domains for sockets"), r#"["wss://ws.shop.example.com"]"#),
        list(("upload", "上传域名", "Domains for uploads"), r#"["https://up.shop.example.com"]"#),
        list(("download", "下载域名", "Domains for downloads"), r#"["https://cdn.shop.example.com"]"#),
    ]
}

fn domains() -> [Param; 1] {
    [must(("domains", "业务域名", "Webview domains"), Kind::Texts(MOST), Place::Own, r#"["https://m.shop.example.com"]"#)]
}

pub(super) fn rows() -> Vec<Operation> {
    // A repeated addition or replacement finds nothing to do; a repeated deletion is refused, so its outcome is looked up.
    vec![
        row(("server_domain.get", "查询服务器域名", "Server domains"), SERVER, Effect::Read),
        with(row(("server_domain.add", "添加服务器域名", "Add server domains"), SERVER, Effect::Repeatable), lists()),
        with(row(("server_domain.set", "覆盖服务器域名", "Replace server domains"), SERVER, Effect::Repeatable), lists()),
        with(row(("server_domain.delete", "删除服务器域名", "Delete server domains"), SERVER, Effect::Once), lists()),
        row(("webview_domain.get", "查询业务域名", "Webview domains"), WEBVIEW, Effect::Read),
        with(row(("webview_domain.add", "添加业务域名", "Add webview domains"), WEBVIEW, Effect::Repeatable), domains()),
        with(row(("webview_domain.set", "覆盖业务域名", "Replace webview domains"), WEBVIEW, Effect::Repeatable), domains()),
        with(row(("webview_domain.delete", "删除业务域名", "Delete webview domains"), WEBVIEW, Effect::Once), domains()),
    ]
}
