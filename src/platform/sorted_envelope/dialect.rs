//! From a decrypted JSON object to a [`Push`]: the part that both vendors write alike, with their own member names.
//!
//! What an event means is the platform's to say (its `catalogue.rs`); tickets and customer messages look the same at both.

use std::borrow::Cow;

use jiff::tz::Offset;
use serde_json::{Map, Value};

use super::Plain;
use crate::clock::Timestamp;
use crate::envelope::digest;
use crate::event_type::EventType;
use crate::platform::loose;
use crate::platform::push::{Acknowledgement, Grant, Notice, Push, PushError, Ticket};
use crate::platform::token::AuthorizationCode;

/// How one vendor names the members of its events.
pub struct Dialect {
    /// The authorizer's app id.
    pub authorizer: &'static str,
    /// The component's id.
    pub component: &'static str,
    /// The event's constant.
    pub event: &'static [&'static str],
    /// The event's time.
    pub time: &'static [&'static str],
    /// The authorization code.
    pub code: &'static str,
    /// The code's lifetime in seconds.
    pub code_expires_in: &'static str,
    /// That lifetime where the event does not say.
    pub code_seconds: i64,
    /// In which zone the event's time is written.
    pub zone: Offset,
}

/// What a platform event means.
pub enum Meant {
    /// A grant; its code is in the event.
    Granted,
    /// A changed grant; its code is in the event.
    Updated,
    /// The grant is gone.
    Revoked,
    /// A fact with its normal fields.
    Fact(EventType, Map<String, Value>),
}

impl Meant {
    /// Kept and delivered under its own name.
    #[must_use]
    pub fn other() -> Self {
        Self::Fact(EventType::VendorOther, Map::new())
    }
}

/// A normal field and where its text comes from.
pub enum Field {
    /// Always this.
    Said(&'static str, &'static str),
    /// The first of these members that is there.
    Of(&'static str, &'static [&'static str]),
}

/// The normal fields of a row, in its order; absent ones are left out.
#[must_use]
pub fn filled(from: &Map<String, Value>, fields: &[Field]) -> Map<String, Value> {
    let filled = fields.iter().filter_map(|field| match field {
        Field::Said(name, text) => Some(((*name).to_owned(), Value::from(*text))),
        Field::Of(name, members) => loose::words_of(from, members).map(|text| ((*name).to_owned(), Value::from(text))),
    });
    filled.collect()
}

impl Dialect {
    /// Reads what was decrypted, for the component with that id. `meaning` is asked for platform events.
    ///
    /// # Errors
    /// Not JSON, a ticket push without a ticket, or meant for another component.
    pub fn push(
        &self,
        plain: &Plain,
        component: &str,
        received_at: Timestamp,
        meaning: impl Fn(&Map<String, Value>, &str) -> Meant,
    ) -> Result<Push, PushError> {
        let Some(mut vendor) = loose::object(plain.body()) else {
            return Err(PushError::Malformed(String::from("what was decrypted is not a JSON object in UTF-8")));
        };
        let text = |member: &[&str]| loose::text_of(&vendor, member).map(Cow::into_owned);
        if loose::text_of(&vendor, &[self.component]).is_some_and(|named| named != component) {
            return Err(PushError::WrongAppId(format!("`{}` is not the configured id", self.component)));
        }
        let time = loose::find(&vendor, self.time).and_then(|time| loose::moment_at(time, self.zone)).unwrap_or(received_at);
        let authorizer = text(&[self.authorizer]);
        let addressee = text(&["ToUserName"]);
        let dedupe_key = dedupe_key(plain, loose::text_of(&vendor, &["MsgId"]).as_deref(), authorizer.as_deref().or(addressee.as_deref()));
        let (kind, event) = (text(&["MsgType"]), text(self.event));
        let is = |word: &str| kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case(word));

        let (notice, vendor_type, authorizer) = match (&kind, event) {
            (Some(kind), _) if is("ticket") => (ticket(&mut vendor, time)?, kind.clone(), None),
            // Only a customer's message has a sender and a type of its own.
            (Some(kind), _) if !is("event") && vendor.contains_key("FromUserName") => {
                (message(&vendor, kind), kind.clone(), authorizer.or(addressee))
            }
            (_, Some(event)) => {
                let notice = match meaning(&vendor, &event) {
                    Meant::Granted => Notice::Granted(self.grant(&mut vendor, time, received_at)),
                    Meant::Updated => Notice::Updated(self.grant(&mut vendor, time, received_at)),
                    Meant::Revoked => Notice::Revoked { at: time },
                    Meant::Fact(kind, data) => Notice::Fact { kind, data },
                };
                (notice, event, authorizer.or(addressee))
            }
            (_, None) => {
                let other = Notice::Fact { kind: EventType::VendorOther, data: Map::new() };
                (other, kind.unwrap_or_else(|| String::from("unknown")), authorizer)
            }
        };
        loose::seal(&mut vendor);
        let acknowledgement = Acknowledgement::success();
        Ok(Push { notice, vendor_type, authorizer, time, dedupe_key, vendor: Value::Object(vendor), acknowledgement })
    }

    /// The code's end is counted from receipt: the zone of the event's time is nowhere stated, and a code that is thought dead
    /// would never be tried.
    fn grant(&self, vendor: &mut Map<String, Value>, time: Timestamp, received_at: Timestamp) -> Grant {
        let seconds = loose::lifetime_of(vendor, &[self.code_expires_in], self.code_seconds);
        let code = loose::take_secret(vendor, &[self.code])
            .map(|value| AuthorizationCode { value, expires_at: loose::after(received_at, seconds) });
        Grant { code, tokens: None, permissions: Vec::new(), granted_at: time }
    }
}

fn ticket(vendor: &mut Map<String, Value>, created_at: Timestamp) -> Result<Notice, PushError> {
    match loose::take_secret(vendor, &["Ticket"]) {
        Some(value) => Ok(Notice::Ticket(Ticket { value, created_at })),
        None => Err(PushError::Malformed(String::from("a ticket push without `Ticket`"))),
    }
}

/// A customer's message.
fn message(vendor: &Map<String, Value>, kind: &str) -> Notice {
    let mut data = Map::new();
    if let Some(from) = loose::text_of(vendor, &["FromUserName"]) {
        data.insert(String::from("from"), Value::from(from));
    }
    data.insert(String::from("kind"), Value::from(kind.to_ascii_lowercase()));
    if let Some(Value::String(text)) = vendor.get("Content") {
        data.insert(String::from("text"), Value::from(text.as_str()));
    }
    Notice::Fact { kind: EventType::MessageReceived, data }
}

/// The vendor's message id with whom it is for, where there is one; else the decrypted text: events carry no id, and a retry
/// may be encrypted afresh.
fn dedupe_key(plain: &Plain, message_id: Option<&str>, receiver: Option<&str>) -> String {
    digest::hex(&match message_id {
        Some(id) => digest::sha256(&[b"MsgId\0", receiver.unwrap_or_default().as_bytes(), b"\0", id.as_bytes()]),
        None => digest::sha256(&[plain.body()]),
    })
}
