//! How each call looks on the wire: `[components.operations."package.upload"]` over what the reference knows or predicts (appendix A).
//!
//! What nobody has verified is switched off until an operator who has checked it against the console's documentation switches it on.

use std::borrow::Cow;

use serde_json::Value;

use super::rows;
use crate::platform::call::Method;
use crate::platform::operation::{Kind, Operation, Place};
use crate::settings::Settings;

/// Where a call carries its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    Json,
    Form,
    Query,
}

const CARRIAGES: &[(&str, Carriage)] = &[("json", Carriage::Json), ("form", Carriage::Form), ("query", Carriage::Query)];

/// States of a capability's status map (5.4), and those of an audit (3.2.1).
const CAPABILITY_STATES: &[&str] = &["can_apply", "cannot_apply", "pending", "approved", "rejected", "closed", "unknown"];
const AUDIT_STATES: &[&str] = &["pending", "approved", "rejected", "withdrawn", "unknown"];

/// Paths that a call may have (appendix A).
const PREFIXES: [&str; 2] = ["/openapi/mp/", "/mp/tp/"];

/// What the reference says about a call.
struct Known {
    key: &'static str,
    method: Method,
    /// Empty where not even a prediction exists.
    path: &'static str,
    carriage: Carriage,
    /// Whether somebody has seen it work, or the vendor documents it.
    enabled: bool,
    /// Whether a repetition would be a second deed: then it must be a `POST`.
    once: bool,
    /// Normal names with the vendor's.
    fields: &'static [(&'static str, &'static str)],
    /// The member that holds the list, where there is a name to begin with.
    list: Option<&'static str>,
}

const fn read(key: &'static str, path: &'static str) -> Known {
    Known { key, method: Method::Get, path, carriage: Carriage::Query, enabled: false, once: false, fields: &[], list: None }
}

const fn deed(key: &'static str, path: &'static str, fields: &'static [(&'static str, &'static str)]) -> Known {
    Known { key, method: Method::Post, path, carriage: Carriage::Json, enabled: false, once: true, fields, list: None }
}

const DOMAINS: &[(&str, &str)] =
    &[("request", "request"), ("socket", "socket"), ("upload", "upload_file"), ("download", "download_file"), ("udp", "udp")];

/// Section 5.0, in its order. The predicted paths put this vendor's prefix before a sibling's last segments: placeholders, all of them.
static KNOWN: &[Known] = &[
    Known { enabled: true, fields: DOMAINS, ..deed("server_domain", "/openapi/mp/auth/app/server_domain", &[]) },
    Known { enabled: true, list: Some("webview"), ..deed("webview_domain", "/openapi/mp/auth/app/webview_domain", &[]) },
    deed(
        "package.upload",
        "/openapi/mp/auth/package/upload",
        &[("template_id", "template_id"), ("version", "user_version"), ("description", "user_desc"), ("ext", "ext_json")],
    ),
    deed("audit.submit", "/openapi/mp/auth/package/audit", &[("description", "audit_note")]),
    deed("audit.withdraw", "/openapi/mp/auth/package/revoke_audit", &[]),
    Known { once: false, ..deed("trial.qrcode", "/openapi/mp/auth/app/qrcode", &[("stage", "version"), ("path", "path")]) },
    read("package.list", "/openapi/mp/auth/package/versions"),
    deed("package.release", "/openapi/mp/auth/package/release", &[]),
    deed("package.rollback", "/openapi/mp/auth/package/rollback", &[]),
    deed("capability.apply.short_video", "/openapi/mp/auth/operation/video_application", &[("reason", "intro")]),
    deed("capability.apply.live", "/openapi/mp/auth/operation/live_application", &[("reason", "intro")]),
    deed("capability.apply.publish", "", &[("reason", "reason")]),
    deed("phone_number.apply", "/openapi/mp/auth/operation/phone_number_application", &[("reason", "description")]),
    read("capability.status.short_video", "/openapi/mp/auth/operation/video_application_status"),
    read("capability.status.live", "/openapi/mp/auth/operation/live_application_status"),
    read("capability.status.publish", ""),
    read("phone_number.status", "/openapi/mp/auth/operation/phone_number_application_status"),
    read("template.list", "/openapi/mp/tp/template/get_tpl_list"),
    read("template.drafts", "/openapi/mp/tp/template/get_draft_list"),
    deed("template.add", "/openapi/mp/tp/template/add_tpl", &[("draft_id", "draft_id")]),
    deed("template.delete", "/openapi/mp/tp/template/del_tpl", &[("template_id", "template_id")]),
    Known {
        enabled: true,
        once: false,
        carriage: Carriage::Query,
        ..deed("media.upload", "/openapi/mp/tp/file/img/uploadWithUrl", &[("url", "url")])
    },
];

/// Which rule an operation goes by: domains have one for all four, the phone number is one of the capabilities.
pub fn key(operation: &str, capability: Option<&str>) -> String {
    match (operation.split_once('.'), capability) {
        (Some((kind @ ("server_domain" | "webview_domain"), _)), _) => kind.to_owned(),
        (Some(("capability", verb)), Some("phone_number")) => format!("phone_number.{verb}"),
        (Some(("capability", _)), Some(capability)) => format!("{operation}.{capability}"),
        _ => operation.to_owned(),
    }
}

/// How one call looks.
#[derive(Debug)]
pub struct Rule {
    pub key: &'static str,
    pub enabled: bool,
    pub method: Method,
    pub path: String,
    pub carriage: Carriage,
    /// Normal names with the vendor's.
    fields: Vec<(&'static str, String)>,
    /// Members that every call carries besides.
    pub extra: Vec<(String, Value)>,
    /// The member of the answer that holds the list, and of a change the member that carries it.
    pub list_field: Option<String>,
    /// Where an answer holds a status.
    pub status_path: Vec<String>,
    status_map: Vec<(String, &'static str)>,
    /// Whether ids are sent as text.
    pub ids_as_text: bool,
    /// Whether domains are sent without scheme, port and path.
    pub normalize: bool,
    /// Whether it is known, or the operator says, to be right.
    verified: bool,
}

impl Rule {
    fn read(known: &Known, settings: &mut Settings) -> Self {
        let mut table = settings.table(known.key);
        let enabled = table.flag_or("enabled", known.enabled);
        let method = match table.choice_or("method", known.method.as_str(), &["GET", "POST"]) {
            "GET" => Method::Get,
            _ => Method::Post,
        };
        if known.once && method == Method::Get {
            // After a lost answer a GET is sent again without a question.
            table.problem("method", "must be POST: this call changes something", "take the line out, or write \"POST\"");
        }
        let path = table.text_or("path", known.path);
        if !fits(&path, enabled) {
            table.problem("path", "is no path that may be called", "write one that begins with /openapi/mp/ or /mp/tp/, without a query");
        }
        let standard = if method == Method::Get { Carriage::Query } else { known.carriage };
        let word = CARRIAGES.iter().find(|(_, carriage)| *carriage == standard).map_or("json", |(word, _)| word);
        let body = table.choice_or("body", word, &["json", "form", "query"]);
        let carriage = CARRIAGES.iter().find(|(word, _)| *word == body).map_or(standard, |(_, carriage)| *carriage);
        if method == Method::Get && carriage != Carriage::Query {
            table.problem("body", "does not go with a GET", "write \"query\", or method = \"POST\"");
        }
        let mut names = table.table("fields");
        let fields = known.fields.iter().map(|(normal, vendor)| (*normal, names.text_or(normal, vendor))).collect();
        table.problems(names.finish());
        let mut more = table.table("extra");
        let extra = more.keys().into_iter().filter_map(|name| more.json(&name).map(|value| (name, value))).collect();
        table.problems(more.finish());
        let list_field = table.optional_text("list_field").or_else(|| known.list.map(str::to_owned));
        let status_path = table.texts("status_path");
        let mut map = table.table("status_map");
        let states = if known.key == "package.list" { AUDIT_STATES } else { CAPABILITY_STATES };
        let status_map = map.keys().into_iter().map(|status| (status.clone(), map.choice_or(&status, "unknown", states))).collect();
        table.problems(map.finish());
        let ids_as_text = table.choice_or("id_type", "number", &["number", "string"]) == "string";
        let normalize = table.flag_or("normalize", true);
        let verified = table.flag_or("verified", known.enabled);
        settings.problems(table.finish());
        Self {
            key: known.key,
            enabled,
            method,
            path,
            carriage,
            fields,
            extra,
            list_field,
            status_path,
            status_map,
            ids_as_text,
            normalize,
            verified,
        }
    }

    /// The vendor's name of a parameter.
    pub fn field<'a>(&'a self, normal: &'a str) -> &'a str {
        self.fields.iter().find(|(name, _)| *name == normal).map_or(normal, |(_, vendor)| vendor)
    }

    /// The normal name of a member.
    pub fn normal<'a>(&'a self, vendor: &'a str) -> &'a str {
        self.fields.iter().find(|(_, name)| name == vendor).map_or(vendor, |(normal, _)| normal)
    }

    /// Where a parameter goes; what is made from several, or into several, is placed by `request`.
    pub fn place(&self, normal: &'static str, kind: Kind) -> Place {
        let name = Cow::Owned(self.field(normal).to_owned());
        match (kind, self.carriage) {
            (Kind::Object | Kind::Texts(_), _) => Place::Own,
            (_, Carriage::Json) => Place::Json(name),
            (_, Carriage::Form) => Place::Form(name),
            (_, Carriage::Query) => Place::Query(name),
        }
    }

    /// What the status map says.
    pub fn state(&self, status: &str) -> Option<&'static str> {
        self.status_map.iter().find(|(known, _)| known == status).map(|(_, word)| *word)
    }

    /// The line that switches it on.
    pub fn to_enable(&self) -> String {
        let path = if self.path.is_empty() { "/openapi/mp/…" } else { &self.path };
        format!("operations.\"{}\" = {{ enabled = true, method = \"{}\", path = \"{path}\" }}", self.key, self.method.as_str())
    }
}

/// Whether a path may be called; a call that is switched off may have none. The token calls are the vault's alone.
fn fits(path: &str, enabled: bool) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/_-.".contains(&b);
    let climbs = path.split('/').any(|segment| segment == ".." || segment == ".");
    let known = PREFIXES.iter().any(|prefix| path.len() > prefix.len() && path.starts_with(prefix)) && !path.starts_with("/mp/tp/oauth/");
    (path.is_empty() && !enabled) || (known && !climbs && path.bytes().all(plain))
}

/// All calls of a component.
#[derive(Debug)]
pub struct Calls {
    rules: Vec<Rule>,
    rows: Vec<Operation>,
}

impl Calls {
    pub fn read(settings: &mut Settings) -> Self {
        let rules: Vec<_> = KNOWN.iter().map(|known| Rule::read(known, settings)).collect();
        let rows = rows::rows(&rules);
        Self { rules, rows }
    }

    /// Says which calls are made although nobody has said that they are right.
    pub fn warn(&self, component: &str) {
        let unsure: Vec<_> = self.rules.iter().filter(|rule| rule.enabled && !rule.verified).map(|rule| rule.key).collect();
        if !unsure.is_empty() {
            tracing::warn!(component, operations = unsure.join(", "), "operations are switched on that are not marked as verified");
        }
    }

    pub fn rows(&self) -> &[Operation] {
        &self.rows
    }

    pub fn rule(&self, key: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.key == key)
    }

    /// The call that is made with that method and path, also where nobody has switched it on: the vendor's side has no such switch.
    pub fn at(&self, method: Method, path: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.method == method && rule.path == path)
    }
}
