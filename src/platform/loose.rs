//! JSON as vendors write it: numbers as text and text as numbers, a name spelt in two ways, text that holds JSON again, secrets in between.
//!
//! Called by the platforms' `push.rs` and `tokens.rs`. It never fails on odd data: what cannot be read is absent.

use std::borrow::Cow;
use std::fmt;

use jiff::SignedDuration;
use jiff::tz::Offset;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::call::{ApiError, Reply};
use super::push::SEALED;
use crate::clock::{CHINA, Timestamp, local_time};
use crate::secret::Secret;

/// A JSON object, or nothing.
#[must_use]
pub fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    // Bytes are checked once, and not text by text.
    members(std::str::from_utf8(bytes).ok()?)
}

/// The same of a text.
#[must_use]
pub fn members(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok().map(|Roomy(members)| members)
}

/// An object with room for the members of most, so that they need not be moved while it is read.
struct Roomy(Map<String, Value>);

const USUAL_MEMBERS: usize = 12;

impl<'de> Deserialize<'de> for Roomy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Roomy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Roomy, A::Error> {
                let mut roomy = Map::with_capacity(USUAL_MEMBERS);
                while let Some((name, value)) = members.next_entry()? {
                    roomy.insert(name, value);
                }
                Ok(Roomy(roomy))
            }
        }
        from.deserialize_map(Members)
    }
}

/// Members up to which a name is compared with each of them: most names differ in their lengths already, and hashing one takes longer.
const FEW: usize = 24;

/// The member of that name.
#[must_use]
pub fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if map.len() > FEW {
        return map.get(name);
    }
    map.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// The first of these members that is there and not null.
#[must_use]
pub fn find<'a>(map: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| member(map, name).filter(|value| !value.is_null()))
}

/// Text, or a number as its digits; trimmed, absent when empty. Ids of 64 bits keep all their digits.
#[must_use]
pub fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.trim())).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// [`text`] of the first of these members.
#[must_use]
pub fn text_of<'a>(map: &'a Map<String, Value>, names: &[&str]) -> Option<Cow<'a, str>> {
    find(map, names).and_then(text)
}

/// A whole number, also from text or a truth value.
#[must_use]
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(i64::from(*flag)),
        _ => None,
    }
}

/// [`integer`] of the first of these members.
#[must_use]
pub fn integer_of(map: &Map<String, Value>, names: &[&str]) -> Option<i64> {
    find(map, names).and_then(integer)
}

/// Unix seconds (number or digits; milliseconds where they can be nothing else) or a local Chinese time.
#[must_use]
pub fn moment(value: &Value) -> Option<Timestamp> {
    moment_at(value, CHINA)
}

/// [`moment`] with local times at another offset.
#[must_use]
pub fn moment_at(value: &Value, zone: Offset) -> Option<Timestamp> {
    /// Seconds of the year 5138; anything above must be milliseconds.
    const LARGEST_SECONDS: i64 = 100_000_000_000;
    match integer(value) {
        Some(number) if number > LARGEST_SECONDS => Timestamp::from_millisecond(number).ok(),
        Some(number) => Timestamp::from_second(number).ok(),
        None => value.as_str().and_then(|text| local_time(text, zone)),
    }
}

/// [`moment`] of the first of these members.
#[must_use]
pub fn moment_of(map: &Map<String, Value>, names: &[&str]) -> Option<Timestamp> {
    find(map, names).and_then(moment)
}

/// `seconds` after `now`; the end of time where that is too far.
#[must_use]
pub fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// A positive lifetime in seconds from the first of these members, or `default`.
#[must_use]
pub fn lifetime_of(map: &Map<String, Value>, names: &[&str], default: i64) -> i64 {
    integer_of(map, names).filter(|seconds| *seconds > 0).unwrap_or(default)
}

/// Words for people out of anything: text, lists of text, text that holds a JSON list or object. Joined with `; `, absent when there are none.
#[must_use]
pub fn words(value: &Value) -> Option<String> {
    fn gather(value: &Value, depth: u8, into: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                let text = text.trim();
                if depth > 0
                    && text.starts_with(['[', '{'])
                    && let Ok(inner @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(text)
                {
                    gather(&inner, depth - 1, into);
                } else if !text.is_empty() {
                    into.push(text.to_owned());
                }
            }
            Value::Number(number) => into.push(number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| gather(item, depth, into)),
            Value::Object(map) => map.values().for_each(|item| gather(item, depth, into)),
            Value::Null | Value::Bool(_) => {}
        }
    }
    let mut found = Vec::new();
    gather(value, 2, &mut found);
    // Mostly there is one.
    if found.len() < 2 { found.pop() } else { Some(found.join("; ")) }
}

/// [`words`] of the first of these members.
#[must_use]
pub fn words_of(map: &Map<String, Value>, names: &[&str]) -> Option<String> {
    find(map, names).and_then(words)
}

/// Takes a secret out of the first of these members and leaves [`SEALED`] in its place. Absent when there is no text in it.
pub fn take_secret(map: &mut Map<String, Value>, names: &[&str]) -> Option<Secret> {
    let name = names.iter().find(|name| map.get(**name).is_some_and(|value| !value.is_null()))?;
    let secret = match std::mem::replace(map.get_mut(*name)?, Value::String(SEALED.to_owned())) {
        Value::String(text) if text.trim().len() == text.len() => Secret::new(text),
        Value::String(text) => Secret::new(text.trim()),
        Value::Number(number) => Secret::new(number.to_string()),
        _ => return None,
    };
    if secret.is_empty() { None } else { Some(secret) }
}

/// Takes a secret that an answer must hold.
///
/// # Errors
/// [`ApiError::unreadable`] when it is not there.
pub fn required_secret(map: &mut Map<String, Value>, name: &str, reply: &Reply) -> Result<Secret, ApiError> {
    take_secret(map, &[name]).ok_or_else(|| ApiError::unreadable(reply, &format!("`{name}`")))
}

/// Members that hold a ticket or an authorization code, whatever their case, wherever they stand.
const SECRET_MEMBERS: [&str; 5] =
    ["ticket", "authorizationcode", "createauthorizationcode", "authorization_code", "create_authorization_code"];

/// Replaces every ticket and code that is left in `map`, at any depth, with [`SEALED`].
pub fn seal(map: &mut Map<String, Value>) {
    fn inside(value: &mut Value) {
        match value {
            Value::Object(inner) => seal(inner),
            Value::Array(items) => items.iter_mut().for_each(inside),
            _ => {}
        }
    }
    for (name, value) in map.iter_mut() {
        match value {
            Value::String(_) | Value::Number(_) if SECRET_MEMBERS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) => {
                *value = Value::String(SEALED.to_owned());
            }
            value => inside(value),
        }
    }
}

/// A vendor's message, fit for logs and errors: at most 300 characters, and nothing that looks like a token, a ticket or a code.
#[must_use]
pub fn message(said: &str) -> String {
    const LONGEST: usize = 300;
    /// Tickets and codes have 32 characters and more; words have fewer.
    const SUSPICIOUS: usize = 24;
    let tokenish = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '/' | '=');
    let mut clean = String::new();
    let mut rest = said.trim();
    while let Some(first) = rest.chars().next() {
        let end = if tokenish(first) { rest.find(|c| !tokenish(c)) } else { rest.find(tokenish) };
        let (run, behind) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""));
        let secret = tokenish(first) && run.len() >= SUSPICIOUS && run.contains(|c: char| c.is_ascii_digit());
        clean.push_str(if secret { "[redacted]" } else { run });
        rest = behind;
    }
    if clean.chars().count() > LONGEST {
        clean = clean.chars().take(LONGEST).chain(['…']).collect();
    }
    clean
}
