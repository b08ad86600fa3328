//! The CloudEvents JSON of an event (contract 4), written once, in the order in which people read it.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::clock::{Timestamp, china_rfc3339};
use crate::event_type::EventType;
use crate::platform::Push;
use crate::platform::push::Notice;

use super::EventId;

/// Room for most events, so that they need not be moved while they are written.
const USUAL_BYTES: usize = 2048;

#[derive(serde::Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: EventType,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: String,
    datacontenttype: &'static str,
    platform: &'static str,
    vendortype: &'a str,
    receivedat: String,
    data: Data<'a>,
}

/// Normal fields first, the vendor's body last.
struct Data<'a> {
    notice: &'a Notice,
    derived: bool,
    vendor: &'a Value,
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        match self.notice {
            Notice::Granted(grant) | Notice::Updated(grant) => map.serialize_entry("permissions", &grant.permissions)?,
            Notice::Fact { data, .. } => put_all(&mut map, data)?,
            Notice::Ticket(_) | Notice::Revoked { .. } => {}
        }
        if self.derived {
            map.serialize_entry("derived", &true)?;
        }
        map.serialize_entry("vendor", self.vendor)?;
        map.end()
    }
}

fn put_all<M: SerializeMap>(map: &mut M, data: &Map<String, Value>) -> Result<(), M::Error> {
    data.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))
}

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
    let envelope = Envelope {
        specversion: "1.0",
        id: id.to_string(),
        source: format!("/components/{component}"),
        kind: push.notice.kind(),
        subject: push.authorizer.as_deref(),
        time: china_rfc3339(push.time),
        datacontenttype: "application/json",
        platform,
        vendortype: &push.vendor_type,
        // Always three decimals: RFC 3339 in UTC with milliseconds.
        receivedat: format!("{received_at:.3}"),
        data: Data { notice: &push.notice, derived, vendor: &push.vendor },
    };
    serde_json::to_writer(&mut body, &envelope)?;
    Ok(body)
}
