//! Every call of Kuaishou as a row (Kuaishou 5): what it is called and what it takes. How it looks on the wire is in `rules`.
//!
//! Lengths are those of the sibling platform whose calls these are predicted from, where the reference names one; else wide ones.

use std::borrow::Cow;

use super::rules::{Rule, key};
use crate::platform::Title;
use crate::platform::call::Method;
use crate::platform::operation::{Answers, Bearer, Effect, Kind, Operation, Param, Place};
use crate::platform::token::Family;

/// The four capabilities (5.4).
pub const CAPABILITIES: &[&str] = &["short_video", "live", "publish", "phone_number"];

/// Which version a trial code leads to (5.3.4).
const STAGES: &[&str] = &["latest", "audit", "current"];

/// The normal names of the five lists of server domains, in the vendor's order.
pub const KINDS: [&str; 5] = ["request", "socket", "upload", "download", "udp"];

const EXAMPLES: [&str; 5] = [
    "[\"https://api.example.com\"]",
    "[\"wss://push.example.com\"]",
    "[\"https://up.example.com\"]",
    "[\"https://down.example.com\"]",
    "[\"udp://voice.example.com\"]",
];

const TITLES: [(&str, &str); 5] = [
    ("request 合法域名", "domains for requests"),
    ("socket 合法域名", "domains for web sockets"),
    ("uploadFile 合法域名", "domains for uploads"),
    ("downloadFile 合法域名", "domains for downloads"),
    ("udp 合法域名", "domains for UDP"),
];

/// No count is documented; far more than anybody has.
const MOST_DOMAINS: u32 = 200;

/// All rows, in the order in which people are shown them.
pub fn rows(rules: &[Rule]) -> Vec<Operation> {
    let sheet = Sheet(rules);
    [sheet.domains(), sheet.versions(), sheet.capabilities(), sheet.templates()].concat()
}

struct Sheet<'a>(&'a [Rule]);

/// A parameter before it is known where it goes.
struct Wanted {
    name: &'static str,
    kind: Kind,
    required: bool,
    title: (&'static str, &'static str),
    example: &'static str,
}

fn may(name: &'static str, kind: Kind, title: (&'static str, &'static str), example: &'static str) -> Wanted {
    Wanted { name, kind, required: false, title, example }
}

fn must(name: &'static str, kind: Kind, title: (&'static str, &'static str), example: &'static str) -> Wanted {
    Wanted { required: true, ..may(name, kind, title, example) }
}

impl Sheet<'_> {
    fn row(
        &self,
        name: &'static str,
        (zh, en): (&'static str, &'static str),
        effect: Effect,
        reference: &'static str,
        wanted: Vec<Wanted>,
    ) -> Operation {
        // A row for all capabilities is switched on with the first of them.
        let keys: Vec<String> = match name.starts_with("capability.") {
            true => CAPABILITIES.iter().map(|capability| key(name, Some(capability))).collect(),
            false => vec![key(name, None)],
        };
        let rules: Vec<&Rule> = keys.iter().filter_map(|key| self.0.iter().find(|rule| rule.key == key)).collect();
        let rule = rules.iter().find(|rule| rule.enabled).or_else(|| rules.first()).copied();
        let disabled = !rules.iter().any(|rule| rule.enabled);
        let lines = || rules.iter().map(|rule| rule.to_enable()).collect::<Vec<_>>().join("\n");
        let param = |wanted: Wanted| Param {
            name: wanted.name,
            kind: wanted.kind,
            required: wanted.required,
            place: match rule {
                Some(rule) if wanted.name != "capability" && rules.len() == 1 => rule.place(wanted.name, wanted.kind),
                _ => Place::Own,
            },
            title: Title { zh: wanted.title.0, en: wanted.title.1 },
            example: wanted.example,
        };
        Operation {
            name,
            title: Title { zh, en },
            bearer: Bearer::Authorizer(Family::Current),
            method: rule.map_or(Method::Post, |rule| rule.method),
            path: Cow::Owned(rule.map(|rule| rule.path.clone()).unwrap_or_default()),
            params: wanted.into_iter().map(param).collect(),
            effect,
            answers: if name == "trial.qrcode" { Answers::File } else { Answers::Json },
            reference,
            disabled: disabled.then(lines),
        }
    }

    fn domains(&self) -> Vec<Operation> {
        let lists = || {
            let of = |at: usize| Some(may(KINDS.get(at)?, Kind::Texts(MOST_DOMAINS), *TITLES.get(at)?, EXAMPLES.get(at)?));
            (0..KINDS.len()).filter_map(of).collect::<Vec<_>>()
        };
        let domains = || vec![must("domains", Kind::Texts(MOST_DOMAINS), ("业务域名", "webview domains"), "[\"https://www.example.com\"]")];
        let (server, webview) = ("Kuaishou 5.1", "Kuaishou 5.2");
        vec![
            self.row("server_domain.get", ("查询服务器域名", "server domains"), Effect::Read, server, Vec::new()),
            self.row("server_domain.add", ("添加服务器域名", "add server domains"), Effect::Repeatable, server, lists()),
            self.row(
                "server_domain.set",
                ("覆盖服务器域名，未给的列表保持不变", "replace server domains; lists that are not given stay"),
                Effect::Repeatable,
                server,
                lists(),
            ),
            self.row("server_domain.delete", ("删除服务器域名", "delete server domains"), Effect::Once, server, lists()),
            self.row("webview_domain.get", ("查询业务域名", "webview domains"), Effect::Read, webview, Vec::new()),
            self.row("webview_domain.add", ("添加业务域名", "add webview domains"), Effect::Repeatable, webview, domains()),
            self.row("webview_domain.set", ("覆盖业务域名", "replace webview domains"), Effect::Repeatable, webview, domains()),
            self.row("webview_domain.delete", ("删除业务域名", "delete webview domains"), Effect::Once, webview, domains()),
        ]
    }

    fn versions(&self) -> Vec<Operation> {
        vec![
            self.row(
                "package.upload",
                ("由模板上传代码", "upload code from a template"),
                Effect::Once,
                "Kuaishou 5.3.1",
                vec![
                    must("template_id", Kind::Digits, ("模板编号", "id of the template"), "12"),
                    must("version", Kind::Text(64), ("版本号", "version"), "1.0.3"),
                    must("description", Kind::Text(200), ("版本描述", "what is new"), "值夜提醒上线"),
                    may(
                        "ext",
                        Kind::Object,
                        ("ext_json 的内容；extEnable 与 extAppid 自动补上", "content of ext_json; extEnable and extAppid are filled in"),
                        "{\"ext\":{\"shopName\":\"驿站小店\"}}",
                    ),
                ],
            ),
            self.row("package.list", ("版本列表", "versions"), Effect::Read, "Kuaishou 5.3.6", Vec::new()),
            self.row(
                "audit.submit",
                ("提交审核", "submit for audit"),
                Effect::Once,
                "Kuaishou 5.3.2",
                vec![
                    may("description", Kind::Text(200), ("给审核员的说明", "note for the auditor"), "收信、换马、点灯"),
                    materials("{\"testAccount\":\"guest\"}"),
                ],
            ),
            self.row("audit.withdraw", ("撤回审核", "withdraw from audit"), Effect::Once, "Kuaishou 5.3.3", Vec::new()),
            self.row(
                "trial.qrcode",
                ("体验二维码", "trial QR code"),
                Effect::Repeatable,
                "Kuaishou 5.3.4",
                vec![
                    may("stage", Kind::Word(STAGES), ("哪个版本，默认最新", "which version, by default the latest"), "latest"),
                    may("path", Kind::Text(512), ("页面路径与参数", "page and query"), "pages/index/index?from=trial"),
                ],
            ),
            self.row("package.release", ("发布", "release"), Effect::Once, "Kuaishou 5.3.5", Vec::new()),
            self.row("package.rollback", ("回滚", "roll back"), Effect::Once, "Kuaishou 5.3.7", Vec::new()),
        ]
    }

    fn capabilities(&self) -> Vec<Operation> {
        let capability = || must("capability", Kind::Word(CAPABILITIES), ("能力", "which capability"), "short_video");
        let reason = || may("reason", Kind::Text(300), ("申请说明", "what it is for"), "在短视频里挂载驿站的换马页面");
        vec![
            self.row(
                "capability.apply",
                ("申请能力", "apply for a capability"),
                Effect::Once,
                "Kuaishou 5.4",
                vec![capability(), reason(), materials("{\"anchorText\":\"换马\",\"imagePath\":\"image-1\"}")],
            ),
            self.row("capability.status", ("能力状态", "state of a capability"), Effect::Read, "Kuaishou 5.4", vec![capability()]),
            self.row(
                "phone_number.apply",
                ("申请获取手机号", "apply for phone numbers"),
                Effect::Once,
                "Kuaishou 5.4",
                vec![
                    may("reason", Kind::Text(200), ("申请说明", "what it is for"), "登录驿站后查看自己的马匹与信件"),
                    materials("{\"reason\":1,\"scene\":1,\"imagePaths\":[\"image-1\"]}"),
                ],
            ),
            self.row("phone_number.status", ("手机号能力状态", "state of phone numbers"), Effect::Read, "Kuaishou 5.4", Vec::new()),
            self.row(
                "media.upload",
                ("以地址上传图片", "upload an image by its address"),
                Effect::Repeatable,
                "Kuaishou 5.6",
                vec![must("url", Kind::Text(2048), ("图片地址", "address of the image"), "https://www.example.com/scene.png")],
            ),
        ]
    }

    fn templates(&self) -> Vec<Operation> {
        let of_the_component = |row: Operation| Operation { bearer: Bearer::Component(Family::Current), ..row };
        let draft = vec![must("draft_id", Kind::Digits, ("草稿编号", "id of the draft"), "31")];
        let template = vec![must("template_id", Kind::Digits, ("模板编号", "id of the template"), "12")];
        let rows = vec![
            self.row("template.list", ("模板列表", "templates"), Effect::Read, "Kuaishou 5.5", Vec::new()),
            self.row("template.drafts", ("草稿列表", "drafts"), Effect::Read, "Kuaishou 5.5", Vec::new()),
            self.row("template.add", ("草稿添加为模板", "make a draft a template"), Effect::Once, "Kuaishou 5.5", draft),
            self.row("template.delete", ("删除模板", "delete a template"), Effect::Once, "Kuaishou 5.5", template),
        ];
        rows.into_iter().map(of_the_component).collect()
    }
}

/// What the console's documentation asks for, by the vendor's names.
fn materials(example: &'static str) -> Wanted {
    may(
        "materials",
        Kind::Object,
        ("平台要求的其他字段，原样传递", "further members that the vendor asks for, passed on as they are"),
        example,
    )
}
