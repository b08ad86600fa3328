//! Answers in normal names, read leniently: under several spellings, at the top or under `data`. What an answer does not hold, the result
//! does not hold either.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::rows::KINDS;
use super::rules::Rule;
use super::{Members, Task};
use crate::clock::{Timestamp, china_rfc3339};
use crate::platform::call::{ApiError, Reply};
use crate::platform::kuaishou::vocabulary::State;
use crate::platform::kuaishou::{first, number, text};
use crate::platform::operation::{FileAnswer, Outcome};

const VERSION: &[&str] = &["version", "userVersion", "user_version"];
const DESCRIPTION: &[&str] = &["summary", "userDesc", "user_desc", "desc", "description"];
const CREATED: &[&str] = &["ctime", "createTime", "create_time"];
const STATUS: &[&str] = &["status", "auditStatus", "audit_status"];
const REASON: &[&str] = &["reason", "rejectReason", "reject_reason"];

/// The three groups of a list of versions (5.3.6), by the word that `trial.qrcode` has for them.
const GROUPS: &[(&str, &[&str])] = &[
    ("current", &["current", "online", "release", "onlineVersion", "online_version"]),
    ("audit", &["audit", "auditVersion", "audit_version"]),
    ("latest", &["latest", "dev", "develop", "devVersion", "development", "dev_version"]),
];

/// Members of single answers that have a normal name.
const SINGLE: &[(&str, &[&str])] = &[
    ("package_id", &["package_id", "packageId"]),
    ("audit_id", &["audit_id", "auditId"]),
    ("application_id", &["application_id", "applicationId", "apply_id", "applyId"]),
    ("template_id", &["template_id", "templateId"]),
    ("image_id", &["imgId", "img_id", "imageId", "image_id"]),
];

/// The outcome of an answer to the operation's main call.
pub fn outcome(task: Task<'_>, before: Option<&Members>, reply: &Reply) -> Result<Outcome, ApiError> {
    if task.operation.name == "trial.qrcode"
        && let Some(content_type) = picture(&reply.content_type, &reply.body)
    {
        let vendor = json!({"content_type": content_type, "bytes": reply.body.len()});
        return Ok(code(content_type, reply.body.clone(), vendor));
    }
    let members = task.accepted(reply)?;
    Ok(said(task, before, members))
}

/// The outcome of the members of an answer that said yes.
pub fn said(task: Task<'_>, before: Option<&Members>, members: Members) -> Outcome {
    let result = match task.operation.name {
        "trial.qrcode" => return trial(task, members),
        "package.list" => json!({"items": versions(task, task.rule, &members)}),
        "template.list" | "template.drafts" => json!({"items": templates(task.rule, &members)}),
        "capability.status" | "phone_number.status" => Value::Object(capability(task, &members)),
        "capability.apply" => with_ids(&members, json!({"capability": task.params.text("capability")})),
        "package.upload" => with_ids(&members, json!({"version": task.params.text("version")})),
        "audit.submit" => with_ids(&members, versioned(task, before, "latest", "in_audit")),
        "audit.withdraw" => with_ids(&members, versioned(task, before, "audit", "withdrawn")),
        "package.release" => with_ids(&members, versioned(task, before, "audit", "released")),
        name if name.starts_with("server_domain.") => {
            let lists = KINDS.into_iter().filter_map(|kind| Some((kind.to_owned(), json!(given(task, &members, kind)?))));
            Value::Object(lists.collect())
        }
        name if name.starts_with("webview_domain.") => match webview(task, &members) {
            Some(domains) => json!({ "domains": domains }),
            None => json!({}),
        },
        _ => with_ids(&members, json!({})),
    };
    Outcome { result, vendor: Value::Object(members), file: None }
}

/// The version that a deed was about, where the list was read before it, and what it is now.
fn versioned(task: Task<'_>, before: Option<&Members>, stage: &str, status: &str) -> Value {
    let mut result = json!({ "status": status });
    let item = before.and_then(|before| staged(task, before, stage));
    if let (Some(members), Some(version)) = (result.as_object_mut(), item.and_then(|item| item.get("version").cloned())) {
        members.insert(String::from("version"), version);
    }
    result
}

fn with_ids(members: &Members, mut result: Value) -> Value {
    if let Some(result) = result.as_object_mut() {
        for (normal, names) in SINGLE {
            if let Some(id) = find(members, names).and_then(text) {
                result.insert((*normal).to_owned(), id.into());
            }
        }
    }
    result
}

/// A member under one of these names, at the top or under `data`.
fn find<'a>(members: &'a Members, names: &[&str]) -> Option<&'a Value> {
    first(members, names).or_else(|| first(members.get("data")?.as_object()?, names))
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The list of server domains of that kind, where the answer has one.
fn given(task: Task<'_>, members: &Members, kind: &str) -> Option<Vec<String>> {
    find(members, &[task.rule.field(kind)]).and_then(texts)
}

/// The same; none where there is none.
pub fn domains(task: Task<'_>, members: &Members, kind: &str) -> Vec<String> {
    given(task, members, kind).unwrap_or_default()
}

/// The list of webview domains: the member of the settings, else the first list of texts. `action` may be one and is none (5.1).
pub fn webview(task: Task<'_>, members: &Members) -> Option<Vec<String>> {
    let named = task.rule.list_field.as_deref().and_then(|name| find(members, &[name]));
    if let Some(list) = named.and_then(texts) {
        return Some(list);
    }
    let scan = |members: &Members| members.iter().filter(|(name, _)| *name != "action").find_map(|(_, value)| texts(value));
    scan(members).or_else(|| match members.get("data")? {
        Value::Object(data) => scan(data),
        list => texts(list),
    })
}

/// The first list of objects, under the name of the settings before all others.
fn objects<'a>(rule: &Rule, members: &'a Members) -> Vec<&'a Members> {
    fn list(value: &Value) -> Option<&Vec<Value>> {
        value.as_array().filter(|items| items.iter().all(Value::is_object))
    }
    let named = rule.list_field.as_deref().and_then(|name| find(members, &[name])).and_then(list);
    let inner = || match members.get("data")? {
        Value::Object(data) => data.values().find_map(list),
        other => list(other),
    };
    let found = named.or_else(|| members.values().find_map(list)).or_else(inner);
    found.into_iter().flatten().filter_map(Value::as_object).collect()
}

/// Seconds or milliseconds.
fn moment(value: &Value) -> Option<Value> {
    /// Beyond the year 5000 in seconds: then it counts milliseconds.
    const LAST_SECOND: i64 = 100_000_000_000;
    let at = number(value)?;
    let at = if at > LAST_SECOND { Timestamp::from_millisecond(at) } else { Timestamp::from_second(at) };
    Some(china_rfc3339(at.ok()?).into())
}

fn templates(rule: &Rule, members: &Members) -> Vec<Value> {
    let item = |object: &Members| {
        let mut item = Map::new();
        for (normal, names) in [
            ("template_id", &["template_id", "templateId"][..]),
            ("draft_id", &["draft_id", "draftId"]),
            ("version", VERSION),
            ("description", DESCRIPTION),
            ("app_id", &["app_id", "appId", "source_app_id"]),
            ("name", &["name", "app_name", "appName"]),
        ] {
            if let Some(found) = first(object, names).and_then(text) {
                item.insert(normal.to_owned(), found.into());
            }
        }
        if let Some(at) = first(object, CREATED).and_then(moment) {
            item.insert(String::from("created_at"), at);
        }
        Value::Object(item)
    };
    objects(rule, members).into_iter().map(item).collect()
}

/// The ids of the templates of an answer to `template.list`.
pub fn template_ids(rule: &Rule, members: &Members) -> Vec<String> {
    let id = |item: Value| item.get("template_id").and_then(text);
    templates(rule, members).into_iter().filter_map(id).collect()
}

/// The versions of a list in three groups, or of a plain list.
pub fn versions(task: Task<'_>, rule: &Rule, members: &Members) -> Vec<Members> {
    let group = |names: &[&str]| find(members, names).and_then(Value::as_object).filter(|group| !group.is_empty());
    let grouped: Vec<_> = GROUPS.iter().filter_map(|(stage, names)| Some(version(task, rule, Some(stage), group(names)?))).collect();
    if grouped.is_empty() {
        return objects(rule, members).into_iter().map(|object| version(task, rule, None, object)).collect();
    }
    grouped
}

/// The version of that group.
pub fn staged(task: Task<'_>, members: &Members, stage: &str) -> Option<Members> {
    let rule = task.application.calls.rule("package.list")?;
    versions(task, rule, members).into_iter().find(|item| item.get("stage").and_then(Value::as_str) == Some(stage))
}

fn version(task: Task<'_>, rule: &Rule, stage: Option<&str>, object: &Members) -> Members {
    let mut item = Members::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            item.insert(name.to_owned(), value);
        }
    };
    let plain = |names: &[&str]| first(object, names).and_then(text).map(Value::from);
    put("stage", stage.map(Value::from));
    put("version", plain(VERSION));
    let raw = at_path(rule, object).or_else(|| first(object, STATUS)).and_then(text);
    let audited = |raw: String| {
        let word = rule.state(&raw).unwrap_or_else(|| task.application.vocabulary.audit_state(&raw).word());
        if word == State::Pending.word() { "in_audit" } else { word }
    };
    put(
        "status",
        match stage {
            Some("current") => Some("released".into()),
            Some("latest") => Some("developing".into()),
            _ => raw.clone().map(|raw| audited(raw).into()),
        },
    );
    put("vendor_status", raw.filter(|_| !matches!(stage, Some("current" | "latest"))).map(Value::from));
    put("reason", plain(REASON));
    put("description", plain(DESCRIPTION));
    put("created_at", first(object, CREATED).and_then(moment));
    if let Some(rollback) = object.get("rollback").and_then(Value::as_object) {
        put("can_rollback", first(rollback, &["can_rollback", "canRollback"]).cloned());
        put("rollback_to", first(rollback, &["last_version", "lastVersion"]).and_then(text).map(Value::from));
    }
    item
}

fn at_path<'a>(rule: &Rule, object: &'a Members) -> Option<&'a Value> {
    let (name, rest) = rule.status_path.split_first()?;
    rest.iter().try_fold(object.get(name)?, |value, name| value.get(name))
}

/// Where a capability stands (5.4). A number that nobody mapped is `unknown`: the numbers differ from one capability to the next.
pub fn capability(task: Task<'_>, members: &Members) -> Members {
    let capability = task.params.text("capability").unwrap_or_else(|| String::from("phone_number"));
    let raw = match task.rule.status_path.is_empty() {
        true => find(members, STATUS),
        false => at_path(task.rule, members),
    };
    let raw = raw.and_then(text);
    let rules = task.application.calls.rule(&super::key("capability.status", Some(&capability)));
    let word = raw.as_deref().map_or("unknown", |raw| {
        let set = rules.and_then(|rule| rule.state(raw));
        set.unwrap_or_else(|| task.application.vocabulary.capability_state(&capability, raw).word())
    });
    let mut result = Members::from_iter([(String::from("capability"), capability.into()), (String::from("status"), word.into())]);
    if let Some(raw) = raw {
        result.insert(String::from("vendor_status"), raw.into());
    }
    if let Some(reason) = find(members, REASON).and_then(text) {
        result.insert(String::from("reason"), reason.into());
    }
    result
}

/// The content type of a picture: what the vendor says, or what its first bytes say.
fn picture(content_type: &str, body: &[u8]) -> Option<String> {
    const BEGINNINGS: &[(&[u8], &str)] = &[(b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif")];
    let seen = || BEGINNINGS.iter().find(|(beginning, _)| body.starts_with(beginning)).map(|(_, kind)| (*kind).to_owned());
    if content_type.starts_with("image/") { Some(content_type.to_owned()) } else { seen() }
}

fn code(content_type: String, content: Bytes, vendor: Value) -> Outcome {
    let result = json!({"content_type": content_type, "bytes": content.len()});
    Outcome { result, vendor, file: Some(FileAnswer { name: None, content_type, content }) }
}

/// A trial code in JSON (5.3.4): its address, or the picture itself as base64.
fn trial(task: Task<'_>, members: Members) -> Outcome {
    fn strings(value: &Value) -> Vec<&str> {
        match value {
            Value::String(text) => vec![text],
            Value::Array(items) => items.iter().flat_map(strings).collect(),
            Value::Object(members) => members.values().flat_map(strings).collect(),
            _ => Vec::new(),
        }
    }
    let named = task.rule.list_field.as_deref().and_then(|name| find(&members, &[name])).and_then(Value::as_str);
    let all = named.into_iter().chain(members.values().flat_map(strings));
    let mut address = None;
    for text in all {
        if text.starts_with("https://") || text.starts_with("http://") {
            address.get_or_insert_with(|| text.to_owned());
        }
        let plain = text.split_once(";base64,").map_or(text, |(_, plain)| plain);
        let content: Option<Vec<u8>> = STANDARD.decode(plain.trim()).ok();
        if let Some((content_type, content)) = content.and_then(|content| Some((picture("", &content)?, content))) {
            return code(content_type, content.into(), Value::Object(members));
        }
    }
    Outcome { result: address.map_or_else(|| json!({}), |url| json!({ "url": url })), vendor: Value::Object(members), file: None }
}
