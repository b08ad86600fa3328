//! Domains (5.5) of a merchant's app and of the platform application itself, and the verification file.

use super::*;

/// Domains of one kind (5.5).
const MOST: u32 = 20;

fn server_domains() -> [Param; 4] {
    let of = |name, field, zh, en, example| param(name, Kind::Texts(MOST), joined(field), zh, en, example);
    [
        of("request", "request_domain", "request 合法域名", "request domains, https", r#"["https://api.example.com"]"#),
        of("socket", "socket_domain", "socket 合法域名", "socket domains, wss", r#"["wss://socket.example.com"]"#),
        of("upload", "upload_domain", "upload 合法域名", "upload domains, https", r#"["https://upload.example.com"]"#),
        of("download", "download_domain", "download 合法域名", "download domains, https", r#"["https://download.example.com"]"#),
    ]
}

fn webview_domains() -> [Param; 1] {
    let (zh, en) = ("业务域名", "webview domains, https");
    [must(param("domains", Kind::Texts(MOST), joined("web_view_domain"), zh, en, r#"["https://www.example.com"]"#))]
}

/// Get, add, set and delete of one list of domains.
struct Family {
    names: [&'static str; 4],
    zh: [&'static str; 4],
    en: [&'static str; 4],
    bearer: Bearer,
    path: &'static str,
    reference: &'static str,
    reads: fn(&Value) -> Value,
}

const ACTIONS: [&[(&str, &str)]; 4] = [&[("action", "get")], &[("action", "add")], &[("action", "set")], &[("action", "delete")]];

impl Family {
    fn rows(self, params: impl Fn() -> Vec<Param>) -> [Row; 4] {
        let [get, add, set, delete] = self.names;
        let ([get_zh, add_zh, set_zh, delete_zh], [get_en, add_en, set_en, delete_en]) = (self.zh, self.en);
        let [get_action, add_action, set_action, delete_action] = ACTIONS;
        let row = |name, zh, en, action| post(name, zh, en, self.bearer, self.path, self.reference).fixed(action);
        [
            row(get, get_zh, get_en, get_action).read_only().reads(self.reads),
            row(add, add_zh, add_en, add_action).takes(params()),
            row(set, set_zh, set_en, set_action).takes(params()),
            // A second deletion is refused, so a lost answer is looked up.
            row(delete, delete_zh, delete_en, delete_action).takes(params()).once(Asks::Domains),
        ]
    }
}

pub(super) fn rows() -> Vec<Row> {
    let server = Family {
        names: ["server_domain.get", "server_domain.add", "server_domain.set", "server_domain.delete"],
        zh: ["查询服务器域名", "添加服务器域名", "覆盖服务器域名", "删除服务器域名"],
        en: ["Server domains", "Add server domains", "Replace the server domains", "Delete server domains"],
        bearer: APP,
        path: "app/modifydomain",
        reference: "Baidu 5.5.1",
        reads: read::server_domains,
    };
    let webview = Family {
        names: ["webview_domain.get", "webview_domain.add", "webview_domain.set", "webview_domain.delete"],
        zh: ["查询业务域名", "添加业务域名", "覆盖业务域名", "删除业务域名"],
        en: ["Webview domains", "Add webview domains", "Replace the webview domains", "Delete webview domains"],
        bearer: APP,
        path: "app/modifywebviewdomain",
        reference: "Baidu 5.5.2",
        reads: read::webview_domains,
    };
    let own_server = Family {
        names: [
            "component_server_domain.get",
            "component_server_domain.add",
            "component_server_domain.set",
            "component_server_domain.delete",
        ],
        zh: ["查询第三方平台服务器域名", "添加第三方平台服务器域名", "覆盖第三方平台服务器域名", "删除第三方平台服务器域名"],
        en: [
            "Server domains of the platform application",
            "Add server domains to the platform application",
            "Replace the server domains of the platform application",
            "Delete server domains of the platform application",
        ],
        bearer: TP,
        path: "tp/modifydomain",
        reference: "Baidu 5.5.3",
        reads: read::server_domains,
    };
    let own_webview = Family {
        names: [
            "component_webview_domain.get",
            "component_webview_domain.add",
            "component_webview_domain.set",
            "component_webview_domain.delete",
        ],
        zh: ["查询第三方平台业务域名", "添加第三方平台业务域名", "覆盖第三方平台业务域名", "删除第三方平台业务域名"],
        en: [
            "Webview domains of the platform application",
            "Add webview domains to the platform application",
            "Replace the webview domains of the platform application",
            "Delete webview domains of the platform application",
        ],
        bearer: TP,
        path: "tp/modifywebviewdomain",
        reference: "Baidu 5.5.3",
        reads: read::webview_domains,
    };
    let copies = [
        post(
            "server_domain.copy",
            "复制第三方平台的服务器域名",
            "Give the app all server domains of the platform application",
            APP,
            "app/modifydomain",
            "Baidu 5.5",
        ),
        post(
            "webview_domain.copy",
            "复制第三方平台的业务域名",
            "Give the app all webview domains of the platform application",
            APP,
            "app/modifywebviewdomain",
            "Baidu 5.5",
        ),
    ];
    let check_file = get(
        "webview_domain.check_file",
        "下载业务域名校验文件",
        "Verification file of webview domains",
        TP,
        "tp/download/domaincer",
        "Baidu 5.5.3",
    )
    .file("bd_mapp_domaincer.txt");
    let mut rows: Vec<Row> = Vec::new();
    rows.extend(server.rows(|| server_domains().into()));
    rows.extend(webview.rows(|| webview_domains().into()));
    rows.extend(copies);
    rows.extend(own_server.rows(|| server_domains().into()));
    rows.extend(own_webview.rows(|| webview_domains().into()));
    rows.push(check_file);
    rows
}
