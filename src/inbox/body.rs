//! The CloudEvents JSON of an event (contract 4), written once, in the order in which people read it.

use serde_json::{Map, Value};

use crate::clock::{Timestamp, china_rfc3339, utc_rfc3339};
use crate::platform::Push;
use crate::platform::push::Notice;

use super::EventId;

/// Room for most events, so that they need not be moved while they are written.
const USUAL_BYTES: usize = 2048;

/// The exact bytes that are stored, listed and delivered. `derived`: found by asking, no push brought it.
///
/// # Errors
/// Of writing JSON; names, texts and times cannot cause one.
pub fn write(
    component: &str,
    platform: &'static str,
    id: EventId,
    push: &Push,
    received_at: Timestamp,
    derived: bool,
) -> serde_json::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(USUAL_BYTES);
    let mut event = Object::begin(&mut body);
    event.plain("specversion", "1.0");
    event.plain("id", &id.to_string());
    event.text("source", &["/components/", component].concat())?;
    event.plain("type", push.notice.kind().as_str());
    if let Some(authorizer) = &push.authorizer {
        event.text("subject", authorizer)?;
    }
    event.plain("time", &china_rfc3339(push.time));
    event.plain("datacontenttype", "application/json");
    event.plain("platform", platform);
    event.text("vendortype", &push.vendor_type)?;
    event.plain("receivedat", &utc_rfc3339(received_at));

    // Normal fields first, the vendor's body last.
    let mut data = Object::begin(event.name("data"));
    match &push.notice {
        Notice::Granted(grant) | Notice::Updated(grant) => serde_json::to_writer(data.name("permissions"), &grant.permissions)?,
        Notice::Fact { data: fields, .. } => data.members(fields)?,
        Notice::Ticket(_) | Notice::Revoked { .. } => {}
    }
    if derived {
        data.name("derived").extend_from_slice(b"true");
    }
    value(data.name("vendor"), &push.vendor)?;
    data.end();
    event.end();
    Ok(body)
}

/// A JSON object under way. The bytes are those of `serde_json`, which looks at every byte of a text for itself: that took longer than
/// everything else that writing an event needs.
struct Object<'a> {
    to: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn begin(to: &'a mut Vec<u8>) -> Self {
        to.push(b'{');
        Self { to, is_empty: true }
    }

    /// Where the next member is written.
    fn next(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.to.push(b',');
        }
        self.to
    }

    /// Writes a name of ours, in which nothing is to be escaped; its value comes next.
    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        let to = self.next();
        quoted(to, name);
        to.push(b':');
        to
    }

    /// A text of ours, in which nothing is to be escaped.
    fn plain(&mut self, name: &'static str, value: &str) {
        quoted(self.name(name), value);
    }

    fn text(&mut self, name: &'static str, value: &str) -> serde_json::Result<()> {
        text(self.name(name), value)
    }

    fn members(&mut self, members: &Map<String, Value>) -> serde_json::Result<()> {
        members.iter().try_for_each(|(name, member)| {
            let to = self.next();
            text(to, name)?;
            to.push(b':');
            value(to, member)
        })
    }

    fn end(self) {
        self.to.push(b'}');
    }
}

fn value(to: &mut Vec<u8>, value: &Value) -> serde_json::Result<()> {
    match value {
        Value::String(words) => text(to, words),
        Value::Array(items) => array(to, items),
        Value::Object(members) => {
            let mut object = Object::begin(to);
            object.members(members)?;
            object.end();
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => serde_json::to_writer(to, value),
    }
}

fn array(to: &mut Vec<u8>, items: &[Value]) -> serde_json::Result<()> {
    to.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            to.push(b',');
        }
        value(to, item)?;
    }
    to.push(b']');
    Ok(())
}

fn text(to: &mut Vec<u8>, text: &str) -> serde_json::Result<()> {
    // Bytes between which nothing is decided are looked at together.
    let (strides, rest) = text.as_bytes().as_chunks::<8>();
    let is_escaped = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    let any = |stride: &[u8; 8]| stride.iter().fold(false, |found, byte| found | is_escaped(*byte));
    if strides.iter().any(any) || rest.iter().any(|byte| is_escaped(*byte)) {
        return serde_json::to_writer(to, text);
    }
    quoted(to, text);
    Ok(())
}

fn quoted(to: &mut Vec<u8>, text: &str) {
    to.push(b'"');
    to.extend_from_slice(text.as_bytes());
    to.push(b'"');
}
