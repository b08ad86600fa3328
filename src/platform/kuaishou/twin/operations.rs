//! What Kuaishou answers to the calls of section 5: domains, versions, capabilities, templates.
//!
//! It listens where the settings say that the calls are, and speaks the names that they say. What the vendor has not published follows
//! the reference's predictions; the codes for wrong order are this twin's own, because the vendor's are not known.

use serde_json::{Map, Value, json};

use super::calls::{BAD_PARAMETER, EXPIRED, Given, LIMITED, No, UNLISTED, given, parameter};
use super::{Merchant, Vendor};
use crate::clock::Timestamp;
use crate::platform::kuaishou::operations::{Carriage, Rule};
use crate::platform::kuaishou::{number, text};
use crate::platform::twin::{About, Request, Verdict};

/// The five sets of a mini program's server domains by their normal names (5.1).
const DOMAIN_KINDS: [&str; 5] = ["request", "socket", "upload", "download", "udp"];
const WEBVIEW: &str = "webview";

/// Of section 6.2.
const NO_SUCH_DOMAIN: i64 = 403_106;

/// Wrong order and the like; made up.
const NO_SUCH_TEMPLATE: i64 = 499_001;
const NO_SUCH_DRAFT: i64 = 499_002;
const NOTHING_TO_SUBMIT: i64 = 499_003;
const IN_AUDIT_ALREADY: i64 = 499_004;
const NOT_IN_AUDIT: i64 = 499_005;
const NOT_APPROVED: i64 = 499_006;
const NOTHING_BEFORE: i64 = 499_007;
const NO_SUCH_VERSION: i64 = 499_008;
const APPLIED_ALREADY: i64 = 499_009;

/// A picture of one point.
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A version of a mini program.
#[derive(Clone)]
struct Version {
    version: String,
    description: String,
    at: i64,
}

/// One in audit or audited: 0 pending, 1 approved, 2 rejected.
#[derive(Clone)]
struct Audited {
    version: Version,
    status: i64,
    reason: Option<String>,
    since: Timestamp,
}

/// The versions of a mini program.
#[derive(Default)]
pub(super) struct Versions {
    latest: Option<Version>,
    audit: Option<Audited>,
    current: Option<Version>,
    /// What a rollback returns to, once per release.
    former: Option<Version>,
}

impl Versions {
    /// The auditor's word; about another version than the one in audit it changes nothing.
    pub(super) fn judge(&mut self, version: &str, verdict: &Verdict) {
        if let Some(audit) = self.audit.as_mut().filter(|audit| audit.version.version == version && audit.status == 0) {
            (audit.status, audit.reason) = match verdict {
                Verdict::Passed => (1, None),
                Verdict::Failed(reason) => (2, Some(reason.clone())),
            };
        }
    }

    /// The version in audit, and since when it is.
    pub(super) fn in_audit(&self) -> Option<(&str, Timestamp)> {
        let audit = self.audit.as_ref().filter(|audit| audit.status == 0)?;
        Some((&audit.version.version, audit.since))
    }

    /// The version that something was done to just now.
    fn concerned(&self, deed: &str) -> Option<String> {
        let version = match deed {
            "package.upload" => self.latest.as_ref(),
            "audit.submit" => self.audit.as_ref().map(|audit| &audit.version),
            "package.release" | "package.rollback" => self.current.as_ref(),
            _ => None,
        };
        version.map(|version| version.version.clone())
    }

    fn list(&self) -> Value {
        let shown = |version: &Version| json!({"version": version.version, "summary": version.description, "ctime": version.at});
        let mut list = Map::new();
        if let Some(current) = &self.current {
            let mut shown = shown(current);
            let back = json!({"can_rollback": self.former.is_some(), "last_version": self.former.as_ref().map(|former| &former.version)});
            shown.as_object_mut().map(|members| members.insert(String::from("rollback"), back));
            list.insert(String::from("current"), shown);
        }
        if let Some(audit) = &self.audit {
            let mut shown = shown(&audit.version);
            if let Some(members) = shown.as_object_mut() {
                members.insert(String::from("status"), audit.status.into());
                members.insert(String::from("reason"), json!(audit.reason));
            }
            list.insert(String::from("audit"), shown);
        }
        if let Some(latest) = &self.latest {
            list.insert(String::from("latest"), shown(latest));
        }
        Value::Object(list)
    }
}

/// Templates and drafts of the application.
pub(super) struct Library {
    /// Id and version.
    templates: Vec<(i64, &'static str)>,
    drafts: Vec<(i64, &'static str)>,
    next: i64,
}

impl Default for Library {
    fn default() -> Self {
        Self { templates: vec![(12, "1.0.3")], drafts: vec![(31, "1.1.0"), (32, "1.2.0")], next: 13 }
    }
}

/// A call with its members under their normal names.
struct Asked {
    key: &'static str,
    content: Map<String, Value>,
}

impl Asked {
    fn read(rule: &Rule, request: &Request) -> Self {
        let pairs =
            |bytes: &[u8]| url::form_urlencoded::parse(bytes).map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
        let sent: Map<String, Value> = match rule.carriage {
            Carriage::Json => request.json().as_object().cloned().unwrap_or_default(),
            Carriage::Form => pairs(&request.body),
            Carriage::Query => pairs(request.query.as_bytes()),
        };
        let listed = |name: &str| rule.key == "webview_domain" && rule.list_field.as_deref() == Some(name);
        let normal = |name: &str| if listed(name) { WEBVIEW.to_owned() } else { rule.normal(name).to_owned() };
        Self { key: rule.key, content: sent.into_iter().map(|(name, value)| (normal(&name), value)).collect() }
    }

    fn text(&self, name: &str) -> Result<String, No> {
        let found = self.content.get(name).and_then(text).filter(|text| !text.is_empty());
        found.ok_or(No(BAD_PARAMETER, "a parameter is missing"))
    }

    fn id(&self, name: &str) -> Result<i64, No> {
        self.content.get(name).and_then(number).ok_or(No(BAD_PARAMETER, "an id is missing"))
    }

    /// The list of that kind, which every change must have, empty where nothing is to change (5.1).
    fn domains(&self, kind: &str) -> Result<Vec<String>, No> {
        let sent = match self.content.get(kind) {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
            other => other.cloned().unwrap_or_default(),
        };
        let listed = sent.as_array().and_then(|list| list.iter().map(|domain| domain.as_str().map(str::to_owned)).collect());
        listed.ok_or(No(BAD_PARAMETER, "a list of domains is missing"))
    }
}

impl Vendor {
    /// Answers a call of section 5: what it is called, and what it gives.
    pub(super) fn carried_out(&mut self, request: &Request, now: Timestamp, about: &mut Option<About>) -> (&'static str, Given) {
        let Some(rule) = self.application.calls.at(request.method, &request.path) else { return ("other", Err(No(404, "no such path"))) };
        let asked = Asked::read(rule, request);
        let list_field = rule.list_field.clone().unwrap_or_else(|| WEBVIEW.to_owned());
        let vendors: Vec<(&'static str, String)> = DOMAIN_KINDS.iter().map(|kind| (*kind, rule.field(kind).to_owned())).collect();
        let deed = deed(&asked);
        if asked.key.starts_with("template.") {
            return (deed, self.with_component_token(request, now).and_then(|()| self.library.answer(&asked)));
        }
        let (library, mut audits) = (std::mem::take(&mut self.library), std::mem::take(&mut self.audits));
        let answer = self.ours(request).and_then(|()| self.bearer(request, now)).and_then(|(app_id, merchant)| {
            let given = match asked.key {
                "server_domain" => merchant.change_domains(&asked, &vendors),
                "webview_domain" => merchant.change_domains(&asked, &[(WEBVIEW, list_field)]),
                "media.upload" => asked.text("url").and_then(|_| given(json!({"data": {"imgId": "image-1"}}))),
                "audit.submit" if audits.used_up(now) => Err(No(LIMITED, "request limit reached")),
                _ => merchant.answer(&asked, &library, now),
            }?;
            *about = Some(About { app_id: app_id.to_owned(), version: merchant.versions.concerned(deed) });
            Ok(given)
        });
        if deed == "audit.submit" && answer.is_ok() {
            audits.take();
        }
        (self.library, self.audits) = (library, audits);
        (deed, answer)
    }

    /// The merchant whose token a call carries.
    fn bearer(&mut self, request: &Request, now: Timestamp) -> Result<(&str, &mut Merchant), No> {
        let token = parameter(request, "authorizer_access_token")?;
        let killed = No(UNLISTED, "authorizer_access_token 已过期");
        let Some((app_id, merchant, expires_at)) = self.merchants.iter_mut().find_map(|(app_id, merchant)| {
            let expires_at = *merchant.access.get(&token)?;
            Some((app_id, merchant, expires_at))
        }) else {
            return Err(killed);
        };
        match expires_at {
            None => Err(killed),
            Some(at) if at <= now => Err(No(EXPIRED, "access_token expired")),
            Some(_) => Ok((app_id, merchant)),
        }
    }
}

/// The normal name of what a call does.
fn deed(asked: &Asked) -> &'static str {
    let action = asked.content.get("action").and_then(Value::as_str).unwrap_or_default();
    match (asked.key, action) {
        ("server_domain", "get") => "server_domain.get",
        ("server_domain", "add") => "server_domain.add",
        ("server_domain", "set") => "server_domain.set",
        ("server_domain", _) => "server_domain.delete",
        ("webview_domain", "get") => "webview_domain.get",
        ("webview_domain", "add") => "webview_domain.add",
        ("webview_domain", "set") => "webview_domain.set",
        ("webview_domain", _) => "webview_domain.delete",
        (key, _) if key.starts_with("capability.apply.") => "capability.apply",
        (key, _) if key.starts_with("capability.status.") => "capability.status",
        (key, _) => key,
    }
}

impl Merchant {
    fn change_domains(&mut self, asked: &Asked, kinds: &[(&'static str, String)]) -> Given {
        let action = asked.text("action")?;
        let lists: Vec<(&'static str, Vec<String>)> = match action.as_str() {
            "get" => Vec::new(),
            "add" | "delete" | "set" => kinds.iter().map(|(kind, _)| Ok((*kind, asked.domains(kind)?))).collect::<Result<_, No>>()?,
            _ => return Err(No(BAD_PARAMETER, "action")),
        };
        let is_held = |kind: &str, domain: &String| self.domains.get(kind).is_some_and(|held| held.contains(domain));
        if action == "delete" && lists.iter().any(|(kind, domains)| !domains.iter().all(|domain| is_held(kind, domain))) {
            return Err(No(NO_SUCH_DOMAIN, "domain does not exist"));
        }
        for (kind, domains) in lists {
            let held = self.domains.entry(kind).or_default();
            if action != "add" {
                held.retain(|domain| action == "delete" && !domains.contains(domain));
            }
            if action != "delete" {
                held.extend(domains);
                held.sort();
                held.dedup();
            }
        }
        let mut members = Map::from_iter([(String::from("action"), json!([action]))]);
        for (kind, vendor) in kinds {
            members.insert(vendor.clone(), self.domains.get(kind).cloned().unwrap_or_default().into());
        }
        Ok(members)
    }

    fn answer(&mut self, asked: &Asked, library: &Library, now: Timestamp) -> Given {
        let versions = &mut self.versions;
        let in_audit = versions.audit.as_ref().is_some_and(|audit| audit.status == 0);
        match asked.key {
            "package.upload" => {
                let template = asked.id("template_id")?;
                let (version, description) = (asked.text("version")?, asked.text("description")?);
                if serde_json::from_str::<Map<String, Value>>(&asked.text("ext")?).is_err() {
                    return Err(No(BAD_PARAMETER, "ext_json is no JSON"));
                }
                if !library.templates.iter().any(|(id, _)| *id == template) {
                    return Err(No(NO_SUCH_TEMPLATE, "template not found"));
                }
                versions.latest = Some(Version { version, description, at: now.as_second() });
                given(json!({}))
            }
            "audit.submit" => {
                let Some(latest) = versions.latest.clone() else { return Err(No(NOTHING_TO_SUBMIT, "no development version")) };
                if in_audit {
                    return Err(No(IN_AUDIT_ALREADY, "a version is in audit already"));
                }
                versions.audit = Some(Audited { version: latest, status: 0, reason: None, since: now });
                given(json!({}))
            }
            "audit.withdraw" if in_audit => {
                versions.audit = None;
                given(json!({}))
            }
            "audit.withdraw" => Err(No(NOT_IN_AUDIT, "nothing is in audit")),
            "package.release" => match versions.audit.take() {
                Some(audit) if audit.status == 1 => {
                    versions.former = versions.current.replace(audit.version);
                    given(json!({}))
                }
                other => {
                    versions.audit = other;
                    Err(No(NOT_APPROVED, "no approved version"))
                }
            },
            "package.rollback" => match versions.former.take() {
                Some(former) => {
                    versions.current = Some(former);
                    given(json!({}))
                }
                None => Err(No(NOTHING_BEFORE, "nothing to roll back to")),
            },
            "package.list" => given(json!({ "data": versions.list() })),
            "trial.qrcode" => {
                let exists = match asked.text("stage")?.as_str() {
                    "latest" => versions.latest.is_some(),
                    "audit" => versions.audit.is_some(),
                    "current" => versions.current.is_some(),
                    _ => return Err(No(BAD_PARAMETER, "version")),
                };
                if exists { given(json!({"data": {"qrcode": PICTURE}})) } else { Err(No(NO_SUCH_VERSION, "no such version")) }
            }
            key => match key.split_once("apply").or_else(|| key.split_once("status")) {
                Some((_, capability)) if key.contains("apply") => self.apply(capability),
                Some((_, capability)) => {
                    let status = self.capabilities.get(capability_name(capability)).copied().unwrap_or(1);
                    given(json!({"data": {"status": status}}))
                }
                None => Err(No(404, "no such call")),
            },
        }
    }

    fn apply(&mut self, capability: &str) -> Given {
        match self.capabilities.insert(capability_name(capability), 3) {
            Some(_) => Err(No(APPLIED_ALREADY, "applied for already")),
            None => given(json!({})),
        }
    }
}

/// What stands after the verb in a rule's key; nothing does for the phone number.
fn capability_name(rest: &str) -> &'static str {
    match rest {
        ".short_video" => "short_video",
        ".live" => "live",
        ".publish" => "publish",
        _ => "phone_number",
    }
}

impl Library {
    fn answer(&mut self, asked: &Asked) -> Given {
        let listed = |name: &str, items: &[(i64, &str)]| -> Value {
            let item =
                |(id, version): &(i64, &str)| json!({name: id, "user_version": version, "user_desc": "驿站", "create_time": 1_763_622_245});
            items.iter().map(item).collect()
        };
        match asked.key {
            "template.list" => given(json!({ "template_list": listed("template_id", &self.templates) })),
            "template.drafts" => given(json!({ "draft_list": listed("draft_id", &self.drafts) })),
            "template.add" => {
                let draft = asked.id("draft_id")?;
                let found = self.drafts.iter().find(|(id, _)| *id == draft).copied();
                let Some((_, version)) = found else { return Err(No(NO_SUCH_DRAFT, "draft not found")) };
                self.templates.push((self.next, version));
                self.next += 1;
                given(json!({}))
            }
            _ => {
                let template = asked.id("template_id")?;
                let before = self.templates.len();
                self.templates.retain(|(id, _)| *id != template);
                if self.templates.len() < before { given(json!({})) } else { Err(No(NO_SUCH_TEMPLATE, "template not found")) }
            }
        }
    }
}
