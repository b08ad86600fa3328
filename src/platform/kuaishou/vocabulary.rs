//! The words of Kuaishou's events (section 3): names, fields and states as tables, each of which a setting can extend.
//!
//! Only the ticket's message is documented; everything else is expected by analogy. `events` reads messages with these tables.

use std::borrow::Cow;

use serde_json::Value;

use super::section;
use crate::platform::push::SEALED;
use crate::settings::Settings;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Ticket,
    Granted,
    Revoked,
    Recovered,
    Audit,
    Capability,
    Other,
}

/// The words of `[components.events]`.
static MEANINGS: &[(&str, Meaning)] = &[
    ("ticket", Meaning::Ticket),
    ("authorized", Meaning::Granted),
    ("unauthorized", Meaning::Revoked),
    ("code_recovered", Meaning::Recovered),
    ("audit", Meaning::Audit),
    ("capability", Meaning::Capability),
    ("other", Meaning::Other),
];

/// One line of 3.3: the upper-cased name contains all of `all`, one of `any` (when there are some), none of `none`.
struct Rule {
    all: &'static [&'static str],
    any: &'static [&'static str],
    none: &'static [&'static str],
    meaning: Meaning,
}

/// 3.3, first match wins. `PAYMENT`, `REFUND`, `SETTLE`, `PRODUCT_OPERATION`, `POI_MERGE` (3.4) and unknown names match none.
static RULES: &[Rule] = &[
    Rule { all: &["TICKET"], any: &[], none: &[], meaning: Meaning::Ticket },
    Rule { all: &["UNAUTH"], any: &[], none: &[], meaning: Meaning::Revoked },
    Rule { all: &["CANCEL", "AUTH"], any: &[], none: &[], meaning: Meaning::Revoked },
    Rule { all: &["AUTH"], any: &["UPDATE", "RECOVER", "RETRIEVE", "RE_AUTH"], none: &[], meaning: Meaning::Recovered },
    Rule { all: &["AUTHORIZ"], any: &[], none: &[], meaning: Meaning::Granted },
    Rule { all: &[], any: &["CAPABILITY", "CAPACITY"], none: &[], meaning: Meaning::Capability },
    Rule { all: &["APPLY"], any: &[], none: &["AUDIT"], meaning: Meaning::Capability },
    Rule { all: &["AUDIT"], any: &[], none: &[], meaning: Meaning::Audit },
];

impl Rule {
    fn fits(&self, name: &str) -> bool {
        self.all.iter().all(|word| name.contains(word))
            && (self.any.is_empty() || self.any.iter().any(|word| name.contains(word)))
            && !self.none.iter().any(|word| name.contains(word))
    }
}

/// A member that is looked up by several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Event,
    Component,
    Authorizer,
    Time,
    Ticket,
    Code,
    CodeLifetime,
    Version,
    Package,
    AuditId,
    Status,
    Reason,
    Attachments,
    Capability,
}

/// The names of section 3, in order, under the key of `[components.fields]` that puts others before them.
static FIELDS: &[(&str, Field, &[&str])] = &[
    ("event", Field::Event, &["event", "Event", "eventType", "event_type"]),
    ("component", Field::Component, &["componentAppId", "component_app_id", "tpAppId", "TpAppId"]),
    (
        "authorizer",
        Field::Authorizer,
        &["authorizerAppId", "authorizedAppId", "appId", "AppId", "authorizer_app_id", "authorized_app_id", "app_id"],
    ),
    ("time", Field::Time, &["eventTime", "EventTime", "event_time", "timestamp"]),
    ("ticket", Field::Ticket, &["componentTicket", "ComponentTicket", "component_ticket", "componentVerifyTicket"]),
    ("code", Field::Code, &["authorizationCode", "AuthorizationCode", "authorization_code"]),
    ("code_lifetime", Field::CodeLifetime, &["authorizationCodeExpiresIn", "AuthorizationCodeExpiresIn", "expiresIn", "expires_in"]),
    ("version", Field::Version, &["version", "userVersion", "user_version", "packageVersion"]),
    ("package", Field::Package, &["packageId", "package_id"]),
    ("audit_id", Field::AuditId, &["auditId", "audit_id"]),
    ("status", Field::Status, &["status", "auditStatus", "audit_status", "auditState", "result"]),
    ("reason", Field::Reason, &["reason", "rejectReason", "reject_reason", "auditReason", "message"]),
    ("attachments", Field::Attachments, &["detailFile", "attachInfo", "screenshot", "imageUrls"]),
    ("capability", Field::Capability, &["capability", "capabilityKey", "capability_key", "capacityKey", "capacity_key"]),
];

/// How an application ended, an audit's or a capability's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Approved,
    Rejected,
    Withdrawn,
    Unknown,
}

impl State {
    /// Its word in results; that of an audit under way is `in_audit` on every platform.
    pub(super) fn word(self) -> &'static str {
        STATES.iter().find(|(_, state)| *state == self).map_or("unknown", |(word, _)| word)
    }
}

/// The words of the status maps.
static STATES: &[(&str, State)] = &[
    ("pending", State::Pending),
    ("approved", State::Approved),
    ("rejected", State::Rejected),
    ("withdrawn", State::Withdrawn),
    ("unknown", State::Unknown),
];

/// An audit's numbers by analogy with the sibling platform (3.2.1).
static AUDIT_STATES: &[(&str, State)] = &[("0", State::Pending), ("1", State::Approved), ("2", State::Rejected), ("3", State::Withdrawn)];

/// States by words in the status, first match wins: `NOT_PASS` contains `PASS`, and `CANCEL_SUCCESS` is no success of the audit.
static STATE_WORDS: &[(&str, State)] = &[
    ("REJECT", State::Rejected),
    ("FAIL", State::Rejected),
    ("REFUSE", State::Rejected),
    ("NOT_PASS", State::Rejected),
    ("NOTPASS", State::Rejected),
    ("UNPASS", State::Rejected),
    ("UNSUCCESS", State::Rejected),
    ("NOT_APPROV", State::Rejected),
    ("UNAPPROV", State::Rejected),
    ("DISAPPROV", State::Rejected),
    ("REVOKE", State::Withdrawn),
    ("WITHDRAW", State::Withdrawn),
    ("CANCEL", State::Withdrawn),
    ("PASS", State::Approved),
    ("SUCCESS", State::Approved),
    ("APPROV", State::Approved),
];

/// How this application's events are named and read.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// `[components.events]`: exact names, which win over [`RULES`].
    events: Vec<(String, Meaning)>,
    /// Every field with the names to try: those of `[components.fields]`, then those of [`FIELDS`].
    fields: Vec<(Field, Vec<Cow<'static, str>>)>,
    /// `[components.audit.status_map]`, before [`AUDIT_STATES`].
    audit: Vec<(String, State)>,
    /// `[components.capability.status_map]`; its keys are `2` or `short_video:2`. There are no numbers by default (5.4).
    capability: Vec<(String, State)>,
}

impl Vocabulary {
    pub(super) fn read(settings: &mut Settings) -> Self {
        Self {
            events: section(settings, "events", |table| words(table, MEANINGS, "other")),
            fields: section(settings, "fields", |table| {
                FIELDS.iter().map(|(key, field, names)| (*field, all_names(table, key, names))).collect()
            }),
            audit: section(settings, "audit", status_map),
            capability: section(settings, "capability", status_map),
        }
    }

    /// The names to try for a field, those of the settings first.
    pub(super) fn names(&self, field: Field) -> impl Iterator<Item = &str> {
        let names = self.fields.iter().find(|(known, _)| *known == field).map(|(_, names)| names.as_slice());
        names.unwrap_or_default().iter().map(Cow::as_ref)
    }

    pub(super) fn meaning(&self, name: &str) -> Meaning {
        if let Some((_, meaning)) = self.events.iter().find(|(known, _)| known == name) {
            return *meaning;
        }
        let name = name.to_ascii_uppercase();
        RULES.iter().find(|rule| rule.fits(&name)).map_or(Meaning::Other, |rule| rule.meaning)
    }

    /// Replaces tickets, codes and tokens wherever they are in a message, also in JSON within a text; whether that changed anything.
    pub(super) fn seal(&self, value: &mut Value) -> bool {
        match value {
            Value::Object(members) => members.iter_mut().fold(false, |sealed, (name, member)| {
                if self.is_secret(name) && !member.is_null() {
                    let was_open = member.as_str() != Some(SEALED);
                    *member = Value::from(SEALED);
                    return sealed | was_open;
                }
                sealed | self.seal(member)
            }),
            Value::Array(items) => items.iter_mut().fold(false, |sealed, item| sealed | self.seal(item)),
            Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
                let Ok(mut inner) = serde_json::from_str::<Value>(text) else { return false };
                let sealed = self.seal(&mut inner);
                if sealed {
                    *text = inner.to_string();
                }
                sealed
            }
            _ => false,
        }
    }

    /// The state of an audit with this status.
    pub(super) fn audit_state(&self, status: &str) -> State {
        let set = self.audit.iter().find(|(known, _)| known == status).map(|(_, state)| *state);
        let number = || AUDIT_STATES.iter().find(|(known, _)| *known == status).map(|(_, state)| *state);
        set.or_else(number).unwrap_or_else(|| in_words(status))
    }

    /// The state of a capability with this status; a line for the capability wins over one for all.
    pub(super) fn capability_state(&self, capability: &str, status: &str) -> State {
        let keys = [format!("{capability}:{status}"), status.to_owned()];
        let set = keys.iter().find_map(|key| self.capability.iter().find(|(known, _)| known == key));
        set.map_or_else(|| in_words(status), |(_, state)| *state)
    }

    fn is_secret(&self, name: &str) -> bool {
        let plain = || name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
        // Most names are too short for most of them.
        SECRETS.iter().any(|secret| name.len() >= secret.len() && plain().eq(secret.bytes()))
            || [Field::Ticket, Field::Code].iter().any(|field| self.names(*field).any(|known| known == name))
    }
}

/// Names of secrets in lower case without separators.
static SECRETS: &[&str] = &[
    "ticket",
    "componentticket",
    "componentverifyticket",
    "authorizationcode",
    "preauthcode",
    "componentaccesstoken",
    "authorizeraccesstoken",
    "authorizerrefreshtoken",
];

fn all_names(table: &mut Settings, key: &str, names: &'static [&'static str]) -> Vec<Cow<'static, str>> {
    let own = table.texts(key).into_iter().map(Cow::Owned);
    own.chain(names.iter().copied().map(Cow::Borrowed)).collect()
}

fn status_map(table: &mut Settings) -> Vec<(String, State)> {
    section(table, "status_map", |map| words(map, STATES, "unknown"))
}

/// Reads a table whose keys are free and whose values are words of `known`.
fn words<T: Copy>(table: &mut Settings, known: &[(&'static str, T)], standard: &'static str) -> Vec<(String, T)> {
    let choices: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    let keys = table.keys();
    let chosen = keys.into_iter().filter_map(|key| {
        let word = table.choice_or(&key, standard, &choices);
        known.iter().find(|(known, _)| *known == word).map(|(_, value)| (key, *value))
    });
    chosen.collect()
}

/// The state by words in the status, where neither settings nor numbers know it.
fn in_words(status: &str) -> State {
    let status = status.to_ascii_uppercase();
    STATE_WORDS.iter().find(|(word, _)| status.contains(word)).map_or(State::Unknown, |(_, state)| *state)
}
