//! The event: one verified, decrypted push in the normal vocabulary, kept as the exact CloudEvents JSON that is listed and delivered.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::event_type::{EventType, Glob};

/// `evt_` and a UUIDv7 in hexadecimal: unique, ordered by time, no dots, nothing of the user in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{}", self.0.as_simple())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text.strip_prefix("evt_").unwrap_or_default()).map(Self)
    }
}

/// One stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Dense sequence, from 1, in the order of acceptance; 0 before it is stored.
    pub sequence: u64,
    /// Its id.
    pub id: EventId,
    /// Component name.
    pub component: String,
    /// Platform name.
    pub platform: String,
    /// App id of the authorizer, where there is one (`subject`).
    pub authorizer: Option<String>,
    /// Normal type.
    pub kind: EventType,
    /// The vendor's time.
    pub time: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
    /// The CloudEvents 1.0 JSON, exactly as listed and delivered.
    pub body: Bytes,
}

/// Which events. Empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventFilter {
    /// Component names (glob).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Glob>,
    /// Platform name (glob).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Glob>,
    /// Authorizer's app id (glob; without `*` an index answers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorizer: Option<Glob>,
    /// Type (glob; here `*` matches tickets too).
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Glob>,
    /// Received at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Received before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// With at least one delivery in that status (`pending`, `delivered`, `dead`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<crate::fanout::delivery::Status>,
    /// Text that the event's JSON contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
}

impl EventFilter {
    /// Whether an event fits, all but `status`, which only the log can know.
    #[must_use]
    pub fn fits(&self, event: &Event) -> bool {
        let glob = |glob: &Option<Glob>, name: &str| glob.as_ref().is_none_or(|glob| glob.matches(name));
        glob(&self.component, &event.component)
            && glob(&self.platform, &event.platform)
            && glob(&self.authorizer, event.authorizer.as_deref().unwrap_or_default())
            && glob(&self.kind, event.kind.as_str())
            && self.since.is_none_or(|since| event.received_at >= since)
            && self.until.is_none_or(|until| event.received_at < until)
            && self.q.as_ref().is_none_or(|q| String::from_utf8_lossy(&event.body).contains(q.as_str()))
    }
}
