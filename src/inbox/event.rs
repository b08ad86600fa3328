//! The event: one verified, decrypted push in the normal vocabulary, kept as the exact CloudEvents JSON that is listed and delivered.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::envelope::digest;
use crate::event_type::{EventType, Glob};

/// A UUIDv7 of that moment; one before 1970 counts as 1970.
#[must_use]
pub fn uuid_at(at: Timestamp, rest: &[u8; 10]) -> Uuid {
    let milliseconds = u64::try_from(at.as_millisecond()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(milliseconds, rest).into_uuid()
}

/// A UUIDv7 of that moment, otherwise random.
#[must_use]
pub fn random_uuid_at(at: Timestamp) -> Uuid {
    let mut rest = [0; 10];
    rest.iter_mut().zip(Uuid::new_v4().into_bytes()).for_each(|(to, from)| *to = from);
    uuid_at(at, &rest)
}

/// What a message is known by: the first half of the SHA-256 of its dedupe key. Who could find two with the same half could as well sign with the
/// vendor's key.
pub type MessageHash = [u8; 16];

/// The hash of a message, of its dedupe key.
#[must_use]
pub fn message_hash(dedupe_key: &str) -> MessageHash {
    let hash = digest::sha256(&[dedupe_key.as_bytes()]);
    let mut half = [0; 16];
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    half
}

/// `evt_` and a UUIDv7 in hexadecimal: unique, ordered by time, no dots, nothing of the user in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub Uuid);

impl EventId {
    /// The id of the event that a message becomes. Where UUIDs are random, it has the beginning of the message's hash: a store that knows messages by
    /// their hashes finds events by their ids without an index of them.
    #[must_use]
    pub fn of_message(received_at: Timestamp, message: &MessageHash) -> Self {
        // The version takes half of the first byte, the variant a quarter of the third.
        let [a, b, c, d, e, f, g, h, i, j, ..] = *message;
        Self(uuid_at(received_at, &[i, h, j, a, b, c, d, e, f, g]))
    }

    /// When its message was received, to the millisecond.
    #[must_use]
    pub fn received_at(&self) -> Timestamp {
        let [a, b, c, d, e, f, ..] = *self.0.as_bytes();
        let milliseconds = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
    }

    /// The first bytes of the hash of its message, if it was made by [`EventId::of_message`].
    #[must_use]
    pub fn message_prefix(&self) -> [u8; 8] {
        let [_, _, _, _, _, _, _, h, _, a, b, c, d, e, f, g] = *self.0.as_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

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
    /// Of these components only: what whoever asks may see. Held against each event before anything else is, so that neither a count, nor where a page
    /// ends, tells of any other. It follows from the key, and stands in no request, cursor or record.
    #[serde(skip)]
    pub within: Option<Vec<String>>,
}

impl EventFilter {
    /// Whether an event fits, all but `status`, which only the log can know.
    #[must_use]
    pub fn fits(&self, event: &Event) -> bool {
        let glob = |glob: &Option<Glob>, name: &str| glob.as_ref().is_none_or(|glob| glob.matches(name));
        self.within.as_ref().is_none_or(|names| names.contains(&event.component))
            && glob(&self.component, &event.component)
            && glob(&self.platform, &event.platform)
            && glob(&self.authorizer, event.authorizer.as_deref().unwrap_or_default())
            && glob(&self.kind, event.kind.as_str())
            && self.since.is_none_or(|since| event.received_at >= since)
            && self.until.is_none_or(|until| event.received_at < until)
            && self.q.as_ref().is_none_or(|q| String::from_utf8_lossy(&event.body).contains(q.as_str()))
    }
}
