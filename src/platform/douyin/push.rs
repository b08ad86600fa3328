//! Opening Douyin's pushes (2, 3): tickets, grants, results per host app, capabilities, settlement, messages.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::Application;
use super::catalogue::{self, Meaning, Row, StatusMap};
use crate::clock::CHINA;
use crate::event_type::EventType;
use crate::platform::loose;
use crate::platform::push::{Acknowledgement, Opened, PushError, Pushes, RawPush};
use crate::platform::sorted_envelope::Fields;
use crate::platform::sorted_envelope::dialect::{Dialect, Field, Meant, filled};

/// Member names of Douyin's events (3).
const DIALECT: Dialect = Dialect {
    authorizer: "AppId",
    component: "TpAppId",
    event: &["Event"],
    time: &["EventTime", "CreateTime"],
    code: "AuthorizationCode",
    code_expires_in: "AuthorizationCodeExpiresIn",
    code_seconds: 3600,
    zone: CHINA,
};

impl Pushes for Application {
    fn open(&self, raw: &RawPush) -> Result<Opened, PushError> {
        // Whether the console tries an address out is unverified; answering costs nothing (2.5).
        if raw.is_get {
            return Ok(Opened::Check(Acknowledgement::success()));
        }
        let own = &self.of;
        let fields = Fields::of_body(&raw.body)?;
        let encrypt = own.sealing.verified(&fields)?;
        let push = own.sealing.open(encrypt, |plain| {
            if plain.tail() != own.component_appid.as_bytes() {
                return Err(PushError::WrongAppId(String::from("the id behind the frame is not `component_appid`")));
            }
            DIALECT.push(plain, &own.component_appid, raw.received_at, |vendor, event| meaning(vendor, event, &own.status_map))
        })?;
        Ok(Opened::Push(Box::new(push)))
    }
}

/// What an event means, by its row.
fn meaning(vendor: &Map<String, Value>, event: &str, status_map: &StatusMap) -> Meant {
    let Some(row) = catalogue::named(event) else { return Meant::other() };
    let read = match &row.meaning {
        Meaning::Granted => return Meant::Granted,
        Meaning::Updated => return Meant::Updated,
        Meaning::Revoked => return Meant::Revoked,
        Meaning::Fact(kind, fields) => return Meant::Fact(*kind, filled(vendor, fields)),
        Meaning::Status(_, _, fields) => status(vendor, row, status_map, fields),
        Meaning::Hosts => hosts(vendor, row),
        Meaning::Categories => categories(vendor, row),
        Meaning::PublishedCategories(_) => published_categories(vendor, row, status_map),
    };
    read.unwrap_or_else(Meant::other)
}

/// The member with the result; text that holds JSON is read too.
fn payload<'a>(vendor: &'a Map<String, Value>, row: &Row) -> Option<Cow<'a, Value>> {
    match vendor.get(row.payload)? {
        Value::String(text) => serde_json::from_str(text).ok().map(Cow::Owned),
        value => Some(Cow::Borrowed(value)),
    }
}

fn status(vendor: &Map<String, Value>, row: &Row, status_map: &StatusMap, fields: &[Field]) -> Option<Meant> {
    let payload = payload(vendor, row)?;
    let payload = payload.as_object()?;
    let kind = status_map.kind(row, loose::integer_of(payload, &["status"])?)?;
    Some(Meant::Fact(kind, filled(payload, fields)))
}

/// A version passes per host (3.2): one rejected host makes the whole a failure, so that nothing is released by mistake;
/// `hosts` tells them apart.
fn hosts(vendor: &Map<String, Value>, row: &Row) -> Option<Meant> {
    let payload = payload(vendor, row)?;
    let results: Vec<&Map<String, Value>> = payload.as_array()?.iter().filter_map(Value::as_object).collect();
    let (mut hosts, mut reasons, mut rejected, mut passed) = (Vec::new(), Vec::new(), 0, 0);
    for result in &results {
        let reason = loose::words_of(result, &["reason"]);
        let status = match loose::integer_of(result, &["status"])? {
            0 => "failed",
            1 => "passed",
            _ => "other",
        };
        let mut host = Map::new();
        host.insert(String::from("host"), json!(loose::text_of(result, &["hostName"]).unwrap_or_default()));
        host.insert(String::from("status"), json!(status));
        if let Some(reason) = &reason {
            host.insert(String::from("reason"), json!(reason));
        }
        hosts.push(Value::Object(host));
        match status {
            "failed" => {
                rejected += 1;
                // Hosts are mostly refused for the same words.
                reasons.extend(reason.filter(|reason| !reasons.contains(reason)));
            }
            "passed" => passed += 1,
            _ => {}
        }
    }
    let kind = match (rejected, passed) {
        (1.., _) => EventType::AuditFailed,
        (0, passed) if passed > 0 && passed == results.len() => EventType::AuditPassed,
        _ => return None,
    };
    let mut data = Map::new();
    if !reasons.is_empty() {
        data.insert(String::from("reason"), json!(reasons.join("; ")));
    }
    data.insert(String::from("hosts"), Value::Array(hosts));
    Some(Meant::Fact(kind, data))
}

/// One rejected category makes the whole a failure, which then names the rejected ones.
fn categories(vendor: &Map<String, Value>, row: &Row) -> Option<Meant> {
    let payload = payload(vendor, row)?;
    let results: Vec<(&Map<String, Value>, i64)> = payload
        .as_array()?
        .iter()
        .filter_map(Value::as_object)
        .map(|result| loose::integer_of(result, &["status"]).map(|status| (result, status)))
        .collect::<Option<_>>()?;
    let with = |wanted: i64| -> Vec<&Map<String, Value>> {
        results.iter().filter(|(_, status)| *status == wanted).map(|(result, _)| *result).collect()
    };
    let (rejected, passed) = (with(0), with(1));
    let (kind, chosen) = match (rejected.is_empty(), passed.len() == results.len() && !passed.is_empty()) {
        (false, _) => (EventType::CategoryFailed, rejected),
        (true, true) => (EventType::CategoryPassed, passed),
        (true, false) => return None,
    };
    let each = |members: &[&str]| -> Vec<String> { chosen.iter().filter_map(|result| loose::words_of(result, members)).collect() };
    Some(Meant::Fact(kind, category(each(&["category"]), each(&["reason"]))))
}

fn published_categories(vendor: &Map<String, Value>, row: &Row, status_map: &StatusMap) -> Option<Meant> {
    let payload = payload(vendor, row)?;
    let payload = payload.as_object()?;
    let kind = status_map.kind(row, loose::integer_of(payload, &["audit_state"])?)?;
    let listed = payload.get("audit_categories").and_then(Value::as_array).into_iter().flatten();
    let ids = listed.filter_map(Value::as_object).filter_map(|category| loose::words_of(category, &["category_id"])).collect();
    Some(Meant::Fact(kind, category(ids, loose::words_of(payload, &["audit_reason"]).into_iter().collect())))
}

fn category(categories: Vec<String>, reasons: Vec<String>) -> Map<String, Value> {
    let mut data = Map::new();
    for (name, texts) in [("category", categories), ("reason", reasons)] {
        if !texts.is_empty() {
            data.insert(name.to_owned(), Value::from(texts.join("; ")));
        }
    }
    data
}
