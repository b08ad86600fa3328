//! What Baidu's answers say, in normal names: ids as text with all their digits, lists as `items`, numbers of states as words.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::packages;
use crate::platform::loose;

/// The object, or the first of a list; empty where there is none.
fn object(data: &Value) -> Map<String, Value> {
    let data = data.as_array().and_then(|items| items.first()).unwrap_or(data);
    data.as_object().cloned().unwrap_or_default()
}

fn inner(of: &Map<String, Value>, name: &str) -> Map<String, Value> {
    of.get(name).map(object).unwrap_or_default()
}

fn text(of: &Map<String, Value>, names: &[&str]) -> Option<String> {
    loose::text_of(of, names).map(Cow::into_owned)
}

fn word(of: &Map<String, Value>, names: &[&str], words: &[(i64, &'static str)]) -> Option<&'static str> {
    let number = loose::integer_of(of, names)?;
    Some(words.iter().find(|(known, _)| *known == number).map_or("unknown", |(_, word)| *word))
}

fn items(list: Option<&Value>, read: impl Fn(&Map<String, Value>) -> Value) -> Vec<Value> {
    // Lists sometimes come as an object keyed by id (5.4.1).
    match list {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_object).map(read).collect(),
        Some(Value::Object(items)) => items.values().filter_map(Value::as_object).map(read).collect(),
        _ => Vec::new(),
    }
}

const AUDIT: &[(i64, &str)] = &[(1, "in_audit"), (2, "passed"), (3, "failed")];
const APP: &[(i64, &str)] = &[
    (-1, "blocked"),
    (1, "normal"),
    (2, "in_audit"),
    (4, "service_paused"),
    (5, "forced_offline"),
    (6, "to_be_corrected"),
    (7, "traffic_offline"),
];

/// Changes that go to audit answer its number, as an object or a list of one (5.3.3, conflict 13).
pub(super) fn examined(data: &Value) -> Value {
    text(&object(data), &["examine_id"]).map_or_else(|| json!({}), |id| json!({"audit_id": id}))
}

/// `app/info` (4.8).
pub(super) fn profile(data: &Value) -> Value {
    let info = &object(data);
    let subject = &inner(info, "qualification");
    let audit = &inner(info, "audit_info");
    let changes = [("name", "audit_app_name"), ("intro", "audit_app_desc"), ("icon", "audit_photo_addr")];
    let in_audit: Vec<Value> = changes
        .iter()
        .filter_map(|(field, name)| {
            let status = word(audit, &[&format!("{name}_status")], AUDIT)?;
            let reason = text(audit, &[&format!("{name}_reason")]);
            Some(json!({"field": field, "value": text(audit, &[name]), "status": status, "reason": reason}))
        })
        .collect();
    let counts = &inner(info, "modify_count");
    let left = |name: &str| {
        let count = |what: &str| loose::integer_of(counts, &[&format!("{name}_modify_{what}")]);
        Some(count("quota")?.saturating_sub(count("used").unwrap_or_default()))
    };
    json!({
        "app_id": text(info, &["app_id"]),
        "app_key": text(info, &["app_key"]),
        "name": text(info, &["app_name"]),
        "intro": text(info, &["app_desc"]),
        "icon": info.get("photo_addr").and_then(picture),
        "status": word(info, &["status"], APP),
        "web_status": word(info, &["web_status"], &[(0, "never"), (1, "on"), (2, "off")]),
        "base_library": text(info, &["min_swan_version"]),
        "subject": {
            "name": text(subject, &["name"]),
            "type": word(subject, &["type"], &[(1, "person"), (2, "company"), (3, "government"), (4, "media"), (5, "other")]),
            // Misspelt in samples and in one library (conflict 5).
            "status": word(subject, &["status", "satus"], &[(1, "passed"), (2, "in_audit"), (3, "failed")]),
        },
        "categories": categories(data).get("items"),
        "permissions": permissions(data).get("items"),
        "audits": in_audit,
        "changes_left": {"name": left("name"), "intro": left("signature"), "icon": left("image"), "category": left("category")},
        "offline": info.get("app_offline_info").cloned().unwrap_or_else(|| json!([])),
    })
}

/// An address, or JSON text like `[{"cover":"https://…"}]`.
fn picture(value: &Value) -> Option<String> {
    let text = loose::text(value)?;
    match serde_json::from_str::<Value>(&text) {
        Ok(inner @ (Value::Array(_) | Value::Object(_))) => loose::words(&inner),
        _ => Some(text.into_owned()),
    }
}

/// `auth_info` of `app/info`: names only, the vendor has no ids for them (1.3).
pub(super) fn permissions(data: &Value) -> Value {
    let read = |scope: &Map<String, Value>| {
        let of = word(scope, &["type"], &[(0, "app"), (1, "account")]);
        json!({"name": text(scope, &["scope_name"]), "of": of})
    };
    json!({"items": items(object(data).get("auth_info"), read)})
}

/// `category` of `app/info`.
pub(super) fn categories(data: &Value) -> Value {
    let read = |category: &Map<String, Value>| {
        let parent = &inner(category, "parent");
        json!({
            "sub_category_id": text(category, &["category_id"]),
            "name": text(category, &["category_name"]),
            "parent_id": text(parent, &["category_id"]),
            "parent_name": text(parent, &["category_name"]),
            "status": word(category, &["audit_status"], AUDIT),
            "reason": text(category, &["reason"]),
        })
    };
    json!({"items": items(object(data).get("category"), read)})
}

/// The dictionary, one item for each category that can be set (5.4.1). `materials`: alternatives, each a list of what it takes.
pub(super) fn catalogue(data: &Value) -> Value {
    let mut found = Vec::new();
    for parent in packages::entries(data) {
        found.extend(items(parent.get("sub_items"), |sub| {
            let asked = match sub.get("category_quali") {
                Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
                other => other.cloned().unwrap_or_default(),
            };
            let list = asked.get("list").and_then(Value::as_array).cloned().unwrap_or_default();
            // A flat list stands for alternatives of one item each (conflict 24).
            let materials: Vec<Value> = list.into_iter().map(|item| if item.is_array() { item } else { json!([item]) }).collect();
            json!({
                "sub_category_id": text(sub, &["id"]),
                "name": text(sub, &["category_name"]),
                "parent_id": text(parent, &["id"]),
                "parent_name": text(parent, &["category_name"]),
                "needs_materials": loose::integer_of(sub, &["need_quali"]).unwrap_or_default() == 1,
                "materials": materials,
            })
        }));
    }
    json!({"items": found})
}

pub(super) fn checked_name(data: &Value) -> Value {
    const RESULTS: &[(i64, &str)] =
        &[(0, "passed"), (1, "duplicate"), (2, "sensitive"), (3, "brand"), (4, "contains_brand"), (5, "high_traffic")];
    let data = &object(data);
    let list = |name: &str| data.get(name).cloned().unwrap_or_else(|| json!([]));
    json!({
        "status": word(data, &["checkResult"], RESULTS),
        "words": list("checkWords"),
        "required_fields": list("requiredFields"),
        "optional_fields": list("optionalFields"),
    })
}

pub(super) fn base_library(data: &Value) -> Value {
    let version = |item: &Map<String, Value>| json!({"version": text(item, &["version"])});
    json!({"version": text(&object(data), &["now_version"]), "items": items(object(data).get("items"), version)})
}

/// Lists of texts, or texts joined with commas (5.5).
fn domains(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(joined)) => joined.split(',').map(str::trim).filter(|domain| !domain.is_empty()).map(str::to_owned).collect(),
        Some(Value::Array(list)) => list.iter().filter_map(loose::text).map(Cow::into_owned).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn server_domains(data: &Value) -> Value {
    let of = |name: &str| domains(object(data).get(name));
    json!({
        "request": of("request_domain"), "socket": of("socket_domain"), "upload": of("upload_domain"), "download": of("download_domain"),
    })
}

pub(super) fn webview_domains(data: &Value) -> Value {
    json!({"domains": domains(data.get("web_view_domain").or(Some(data)))})
}

/// One package (5.2.2).
pub(super) fn entry(entry: &Map<String, Value>) -> Value {
    json!({
        "package_id": packages::id(entry),
        "version": text(entry, &["version"]),
        "description": text(entry, &["version_desc"]),
        "status": packages::state(entry),
        "reason": loose::words_of(entry, &["msg", "upload_err_msg"]),
        "rollback_version": text(entry, &["rollback_version"]),
        "template_id": text(entry, &["template_id"]),
        "committed_at": packages::committed_at(entry),
    })
}

pub(super) fn packages(data: &Value) -> Value {
    json!({"items": items(Some(data), entry)})
}

pub(super) fn package(data: &Value) -> Value {
    entry(&object(data))
}

pub(super) fn quota(data: &Value) -> Value {
    let data = &object(data);
    let left = loose::integer_of(data, &["remain_times"]);
    json!({
        "period": word(data, &["quota_type"], &[(2, "week")]),
        "quota": loose::integer_of(data, &["quota_times"]),
        "remaining": left.filter(|left| *left >= 0),
        "unlimited": left == Some(-1),
    })
}

pub(super) fn phone(data: &Value) -> Value {
    const STATES: &[(i64, &str)] = &[(0, "none"), (1, "in_audit"), (2, "rejected"), (3, "granted")];
    json!({"capability": "phone_number", "status": word(&object(data), &["status"], STATES), "reason": text(&object(data), &["reason"])})
}

pub(super) fn violations(data: &Value) -> Value {
    let read = |problem: &Map<String, Value>| {
        let pictures = |name: &str| {
            let told = text(problem, &[name]).unwrap_or_default();
            serde_json::from_str::<Value>(&told).unwrap_or_else(|_| json!(domains(Some(&Value::from(told.as_str())))))
        };
        json!({
            "task_id": text(problem, &["taskId"]),
            "description": text(problem, &["problemDesc"]),
            "path": text(problem, &["problemPath"]),
            "reason": text(problem, &["auditReason"]),
            "pictures": pictures("screenShot"),
            "audit_pictures": pictures("auditShot"),
        })
    };
    json!({"items": items(object(data).get("problemDetails"), read)})
}

/// The address of an uploaded picture: `data` itself (5.3.1).
pub(super) fn address(data: &Value) -> Option<String> {
    loose::text(data).map(Cow::into_owned).or_else(|| text(&object(data), &["url"]))
}

pub(super) fn url(data: &Value) -> Value {
    json!({"url": address(data)})
}

fn library(data: &Value, id: &str) -> Value {
    let read = |entry: &Map<String, Value>| {
        json!({
            (id): text(entry, &[id]),
            "version": text(entry, &["user_version"]),
            "description": text(entry, &["user_desc"]),
            "created_at": loose::moment_of(entry, &["create_time"]),
            "web_status": entry.get("web_status"),
        })
    };
    json!({"items": items(object(data).get("list"), read), "count": loose::integer_of(&object(data), &["count"])})
}

pub(super) fn templates(data: &Value) -> Value {
    library(data, "template_id")
}

pub(super) fn drafts(data: &Value) -> Value {
    library(data, "draft_id")
}

pub(super) fn template(data: &Value) -> Value {
    json!({"template_id": text(&object(data), &["template_id"])})
}

/// `content` stays sealed as the vendor sealed it (5.9).
pub(super) fn missed(data: &Value) -> Value {
    let read = |push: &Map<String, Value>| {
        let status = word(push, &["status"], &[(0, "pending"), (1, "pushed"), (2, "failed")]);
        json!({"id": text(push, &["id"]), "status": status, "content": text(push, &["content"])})
    };
    json!({"items": items(object(data).get("list"), read), "count": loose::integer_of(&object(data), &["count"])})
}
