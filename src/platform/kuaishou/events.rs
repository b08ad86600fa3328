//! What a decrypted Kuaishou message means: read with the tables of `vocabulary`, what nobody knows is kept as `vendor.other`.
//!
//! Called by `push` once a message is verified and decrypted. Remembers nothing: whether a recovered code is our own doing,
//! or a ticket older than the one held, is decided by those who hold codes and tickets.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::push::moment;
use super::vocabulary::{Field, Meaning, State, Vocabulary};
use super::{Application, first, later, number, text, word};
use crate::clock::Timestamp;
use crate::event_type::EventType;
use crate::platform::push::{Grant, Notice, Ticket};
use crate::platform::token::AuthorizationCode;
use crate::secret::Secret;

/// Members that may hold the rest of a message (3.2.1), searched after the top level.
static PLACES: &[&str] = &["data", "eventContent", "EventContent", "content", "auditResult", "auditResults", "AuditResults"];

/// What an audit's state is told as. An unknown state is told as a delay: nobody may release on it, and it is heard of.
static AUDIT_KINDS: &[(State, EventType)] = &[
    (State::Approved, EventType::AuditPassed),
    (State::Rejected, EventType::AuditFailed),
    (State::Pending, EventType::AuditDelayed),
    (State::Unknown, EventType::AuditDelayed),
    (State::Withdrawn, EventType::VendorOther),
];

/// What a capability's state is told as.
static CAPABILITY_KINDS: &[(State, EventType)] = &[
    (State::Approved, EventType::CapabilityGranted),
    (State::Rejected, EventType::CapabilityRejected),
    (State::Withdrawn, EventType::CapabilityRevoked),
    (State::Pending, EventType::VendorOther),
    (State::Unknown, EventType::VendorOther),
];

/// Capabilities by words in the event's name or in the capability's own (3.2.2).
static CAPABILITIES: &[(&str, &str)] = &[("VIDEO", "short_video"), ("LIVE", "live"), ("PHONE", "phone_number"), ("PUBLISH", "publish")];

/// A message that was read.
pub(super) struct Reading {
    pub(super) notice: Notice,
    pub(super) vendor_type: String,
    pub(super) authorizer: Option<String>,
    pub(super) time: Timestamp,
    /// The whole message, secrets sealed.
    pub(super) vendor: Value,
}

/// Reads a decrypted message. `sent_at` is the envelope's time, `received_at` ours.
pub(super) fn read(application: &Application, inner: Map<String, Value>, sent_at: Option<Timestamp>, received_at: Timestamp) -> Reading {
    let vocabulary = &application.vocabulary;
    let message = Message { vocabulary, places: places(&inner) };
    let vendor_type = message.text(Field::Event).unwrap_or_default().into_owned();
    let time = message.find(Field::Time).and_then(moment).or(sent_at).unwrap_or(received_at);
    // `appId` may be the application's own; then the authorizer is under another name, or not named.
    let authorizer = message.all(Field::Authorizer).filter_map(word).find(|id| *id != application.app_id).map(Cow::into_owned);
    if message.text(Field::Component).is_some_and(|id| id != application.app_id) {
        // 2.7: the documentation's samples show different ids, so the inner one only warns; the envelope's was checked.
        tracing::warn!(component = application.name, "a push names another componentAppId inside than outside");
    }

    let grant = || Grant { code: message.code(time.min(received_at)), tokens: None, permissions: Vec::new(), granted_at: time };
    let notice = match vocabulary.meaning(&vendor_type) {
        Meaning::Ticket => match message.text(Field::Ticket) {
            Some(ticket) => Notice::Ticket(Ticket { value: Secret::new(ticket), created_at: time }),
            None => {
                tracing::warn!(component = application.name, "a ticket event holds no ticket: name its member in fields.ticket");
                fact(EventType::VendorOther, Map::new())
            }
        },
        Meaning::Granted => Notice::Granted(grant()),
        Meaning::Recovered => Notice::Updated(grant()),
        Meaning::Revoked => Notice::Revoked { at: time },
        Meaning::Audit => message.audit(),
        Meaning::Capability => message.capability(&vendor_type),
        Meaning::Other => fact(EventType::VendorOther, Map::new()),
    };
    let mut vendor = Value::Object(inner);
    vocabulary.seal(&mut vendor);
    Reading { notice, vendor_type, authorizer, time, vendor }
}

fn fact(kind: EventType, data: Map<String, Value>) -> Notice {
    Notice::Fact { kind, data }
}

/// Lifetime of a code where the message names none (3.1.4, 4.8), in seconds.
const CODE_SECONDS: i64 = 3600;

/// A decrypted message with every place where its members may be.
struct Message<'a> {
    vocabulary: &'a Vocabulary,
    places: Vec<Cow<'a, Map<String, Value>>>,
}

impl Message<'_> {
    /// Everything that stands under one of the field's names. An earlier name in any place goes before a later one:
    /// a `result` at the top may be the envelope's, a `status` further down is the audit's.
    fn all(&self, field: Field) -> impl Iterator<Item = &Value> {
        self.vocabulary.names(field).flat_map(|name| self.places.iter().filter_map(move |place| first(place, &[name])))
    }

    fn find(&self, field: Field) -> Option<&Value> {
        self.all(field).next()
    }

    fn text(&self, field: Field) -> Option<Cow<'_, str>> {
        self.all(field).find_map(word)
    }

    fn code(&self, from: Timestamp) -> Option<AuthorizationCode> {
        let seconds = self.all(Field::CodeLifetime).find_map(number).filter(|seconds| *seconds > 0).unwrap_or(CODE_SECONDS);
        self.text(Field::Code).map(|code| AuthorizationCode { value: Secret::new(code), expires_at: later(from, seconds) })
    }

    /// 3.2.1.
    fn audit(&self) -> Notice {
        let status = self.text(Field::Status);
        let state = status.as_deref().map_or(State::Unknown, |status| self.vocabulary.audit_state(status));
        let mut data = Map::new();
        for (name, field) in [("version", Field::Version), ("package_id", Field::Package), ("audit_id", Field::AuditId)] {
            if let Some(text) = self.text(field) {
                data.insert(name.to_owned(), text.into());
            }
        }
        data.extend(self.reason(state, status.as_deref(), "audit.status_map"));
        if let Some(attachments) = self.find(Field::Attachments) {
            data.insert(String::from("attachments"), attachments.clone());
        }
        fact(told_as(state, AUDIT_KINDS), data)
    }

    /// 3.2.2.
    fn capability(&self, vendor_type: &str) -> Notice {
        let named = self.text(Field::Capability);
        let search = named.as_deref().unwrap_or(vendor_type).to_ascii_uppercase();
        let known = CAPABILITIES.iter().find(|(word, _)| search.contains(word)).map(|(_, capability)| Cow::Borrowed(*capability));
        let capability = known.or(named);

        let status = self.text(Field::Status);
        let name = capability.as_deref().unwrap_or_default();
        let state = status.as_deref().map_or(State::Unknown, |status| self.vocabulary.capability_state(name, status));
        let mut data = Map::new();
        if let Some(capability) = capability {
            data.insert(String::from("capability"), capability.into());
        }
        data.extend(self.reason(state, status.as_deref(), "capability.status_map"));
        fact(told_as(state, CAPABILITY_KINDS), data)
    }

    /// The vendor's reason, or how to make an unknown status known.
    fn reason(&self, state: State, status: Option<&str>, setting: &str) -> Option<(String, Value)> {
        let reason = match self.find(Field::Reason) {
            Some(Value::Array(lines)) => Some(lines.iter().filter_map(text).collect::<Vec<_>>().join("\n")),
            Some(other) => text(other),
            None => None,
        };
        let reason = reason.filter(|reason| !reason.is_empty()).or_else(|| {
            (state == State::Unknown).then(|| match status {
                Some(status) => format!("the status {status} is not known here; `{setting}` can name it"),
                None => String::from("the message names no status that is known here; `fields.status` can name it"),
            })
        });
        reason.map(|reason| (String::from("reason"), reason.into()))
    }
}

/// The message itself, then what stands in [`PLACES`] of it and of those: of a list the first element, of a text the JSON in it.
fn places(inner: &Map<String, Value>) -> Vec<Cow<'_, Map<String, Value>>> {
    fn below(object: &Map<String, Value>) -> impl Iterator<Item = Cow<'_, Map<String, Value>>> {
        PLACES.iter().filter_map(|name| object.get(*name)).filter_map(opened)
    }
    fn opened(value: &Value) -> Option<Cow<'_, Map<String, Value>>> {
        match value {
            Value::Object(object) => Some(Cow::Borrowed(object)),
            Value::Array(items) => items.first().and_then(Value::as_object).map(Cow::Borrowed),
            Value::String(text) if text.trim_start().starts_with('{') => serde_json::from_str(text).ok().map(Cow::Owned),
            _ => None,
        }
    }
    let mut places = vec![Cow::Borrowed(inner)];
    places.extend(below(inner));
    let second = places.len();
    for at in 1..second {
        let third: Vec<_> = match places.get(at) {
            Some(Cow::Borrowed(object)) => below(object).collect(),
            Some(Cow::Owned(object)) => below(object).map(|place| Cow::Owned(place.into_owned())).collect(),
            None => Vec::new(),
        };
        places.extend(third);
    }
    places
}

fn told_as(state: State, kinds: &[(State, EventType)]) -> EventType {
    kinds.iter().find(|(known, _)| *known == state).map_or(EventType::VendorOther, |(_, kind)| *kind)
}
