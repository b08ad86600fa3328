//! What an event or an operation's result tells about versions, in the normal words of every platform.

use serde_json::{Map, Value};

use super::{News, Standing, VersionNote};
use crate::clock::Timestamp;
use crate::event_type::EventType;
use crate::inbox::Event;
use crate::platform::loose;
use crate::platform::operation::Params;

#[derive(serde::Deserialize)]
struct Body {
    #[serde(default)]
    data: Data,
}

/// What is read of an event's data. The rest, the vendor's whole body among it, is only passed over.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Data {
    version: Value,
    package_id: Value,
    audit_id: Value,
    state: Value,
}

impl Data {
    fn members(self) -> Map<String, Value> {
        let named = [("version", self.version), ("package_id", self.package_id), ("audit_id", self.audit_id), ("state", self.state)];
        named.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The words that results and lists have for where a version stands.
const WORDS: &[(Standing, &[&str])] = &[
    (Standing::Uploaded, &["development", "developing", "uploaded"]),
    (Standing::InAudit, &["in_audit"]),
    (Standing::Approved, &["approved", "passed"]),
    (Standing::Released, &["online", "released"]),
];

fn standing(members: &Map<String, Value>) -> Standing {
    let word = members.get("status").and_then(Value::as_str).unwrap_or_default();
    WORDS.iter().find(|(_, words)| words.contains(&word)).map_or(Standing::Elsewhere, |(standing, _)| *standing)
}

fn note(members: &Map<String, Value>, at: Timestamp) -> VersionNote {
    let text = |name: &str| loose::text_of(members, &[name]).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    VersionNote { version: text("version"), package_id: text("package_id"), audit_id: text("audit_id"), at }
}

/// What an event tells.
pub(super) fn event(event: &Event) -> Vec<News> {
    let about: fn(&Map<String, Value>, VersionNote) -> Option<News> = match event.kind {
        EventType::AuditPassed => |_, note| Some(News::Passed(note)),
        EventType::AuditFailed => |_, note| Some(News::Failed(note)),
        EventType::BuildSucceeded => |_, note| note.version.is_some().then_some(News::Uploaded(note)),
        EventType::BuildFailed => |_, note| note.version.is_some().then_some(News::Discarded(note)),
        EventType::ReleaseChanged => |data, note| match data.get("state").and_then(Value::as_str) {
            Some("online") => Some(News::Released(note)),
            Some("offline") => Some(News::Offline(note)),
            Some("rolled_back") => Some(News::RolledBack(note.at, None)),
            _ => None,
        },
        _ => return Vec::new(),
    };
    // The log holds what the inbox wrote; what cannot be read tells nothing.
    let Ok(Body { data }) = serde_json::from_slice(&event.body) else { return Vec::new() };
    let data = data.members();
    about(&data, note(&data, event.time)).into_iter().collect()
}

/// What the result of an operation tells, answered at that time.
pub(super) fn result(operation: &str, params: &Params, result: &Value, at: Timestamp) -> Vec<News> {
    let Some(members) = result.as_object() else { return Vec::new() };
    let asked = VersionNote { version: params.text("version"), package_id: params.text("package_id"), audit_id: None, at };
    let told = || note(members, at).or(asked.clone());
    match operation {
        "package.upload" if standing(members) == Standing::InAudit => vec![News::Uploaded(told()), News::Submitted(told())],
        "package.upload" => vec![News::Uploaded(told())],
        "package.delete" => vec![News::Discarded(told())],
        // One that an earlier try submitted may have passed by now.
        "audit.submit" => match standing(members) {
            passed @ (Standing::Approved | Standing::Released) => vec![News::Seen(passed, told())],
            _ => vec![News::Submitted(told())],
        },
        "audit.withdraw" | "package.back_to_development" => vec![News::Withdrawn(told())],
        "package.release" | "package.online" => vec![News::Released(told())],
        "package.offline" => vec![News::Offline(told())],
        "package.rollback" => vec![News::RolledBack(at, rolled_back_to(members, at))],
        "package.get" | "audit.reason" if told().version.is_some() => vec![News::Seen(standing(members), told())],
        "package.list" => {
            let items = members.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let all = items.iter().filter_map(Value::as_object).map(|item| (standing(item), note(item, at)));
            match params.is_empty() {
                true => vec![News::Listed(all.collect())],
                // A part of the list says nothing about what is not on it.
                false => all.map(|(standing, note)| News::Seen(standing, note)).collect(),
            }
        }
        _ => Vec::new(),
    }
}

/// Baidu names both versions, Douyin the one that is online afterwards, Alipay the one that is not (5.5), Kuaishou none.
fn rolled_back_to(members: &Map<String, Value>, at: Timestamp) -> Option<VersionNote> {
    let version = match loose::text_of(members, &["rollback_version"]) {
        Some(version) => Some(version),
        None if standing(members) == Standing::Released => loose::text_of(members, &["version"]),
        None => None,
    }?;
    Some(VersionNote { version: Some(version.into_owned()), at, ..VersionNote::default() })
}

impl VersionNote {
    /// What it lacks altogether is taken from what was asked for.
    fn or(self, asked: Self) -> Self {
        Self { version: self.version.or(asked.version), package_id: self.package_id.or(asked.package_id), ..self }
    }
}
