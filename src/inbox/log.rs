//! The ports of the inbox: what it needs of a store, and of those who know the audience and hold the tickets.

use crate::clock::Timestamp;
use crate::event_type::EventType;
use crate::platform::RawPush;
use crate::platform::push::{Grant, Ticket};
use crate::secret::Secret;

use super::event::{Event, EventFilter, EventId};
use super::fact::Fact;

/// Why the log did not answer.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The queue of the committing thread is full: answer 503 and never `success`.
    #[error("the write queue is full")]
    Full,
    /// A sync failed or the committing thread is gone: final for this process.
    #[error("the log cannot write any more: {0}")]
    Failed(String),
    /// Something stored could not be read, and never will be.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// Something stored was sealed under a master key that is not configured; its id.
    #[error("a record of the log was sealed under another master key (id {0})")]
    OtherKey(String),
    /// A read failed for a reason that may pass (no descriptor, no memory, the disk did not answer): nothing is known of what is stored. Try again.
    #[error("the log cannot be read just now: {0}")]
    Unread(String),
    /// As many others look through the log as may at a time. Nothing is wrong with it: ask again.
    #[error("as many others look through the log as may at a time")]
    Crowded,
    /// A page was to go on from a position that none ended at: somebody made up a cursor.
    #[error("no page ends at that position")]
    NoPosition,
}

/// An event on its way into the log, with everything that must become durable together with it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The event; its sequence is given by the log.
    pub event: Event,
    /// `component` and the platform's own dedupe key; seen before means stored before.
    pub dedupe_key: String,
    /// What travels sealed beside the event, for internal subscribers only (a grant's code or tokens, as JSON).
    pub sealed: Option<Secret>,
    /// Names of the subscriptions that must hear of it; one delivery each.
    pub subscribers: Vec<String>,
    /// What it says has happened, where asking the vendor could find the same: told before means [`Accepted::Seen`].
    pub fact: Option<Fact>,
}

/// What became of an arrival. Both mean: durable, acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Stored now, with this sequence.
    Fresh(u64),
    /// Stored before.
    Seen,
}

/// Where a page ended, opaque to all but the store that made it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Position(pub String);

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<Position>,
}

/// A stretch of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Its events, oldest first.
    pub events: Vec<Event>,
    /// Sequences of events that damage made unreadable; the log has told of each.
    pub unreadable: Vec<u64>,
    /// Up to which sequence these are all.
    pub reached: u64,
    /// Whether there was more behind that.
    pub more: bool,
}

/// What retention removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expunged {
    /// Events.
    pub events: u64,
    /// Finished deliveries.
    pub deliveries: u64,
}

/// Where events are kept. One method, one transaction.
#[async_trait::async_trait]
pub trait EventLog: Send + Sync {
    /// Stores event, dedupe key, fact, index keys, sealed part and deliveries in one atomic batch and returns once it is durable.
    /// Concurrent calls are committed in groups.
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, LogError>;

    /// One event.
    async fn event(&self, id: EventId) -> Result<Option<Event>, LogError>;

    /// A page, newest first. Positions stay valid while newer events arrive.
    async fn page(&self, filter: &EventFilter, after: Option<&Position>, limit: usize) -> Result<Page<Event>, LogError>;

    /// What was stored behind that sequence, oldest first: for live streams and replays. At most `limit` events, and no more bytes of them than one may
    /// hold in memory.
    async fn following(&self, sequence: u64, limit: usize) -> Result<Stretch, LogError>;

    /// A sequence behind which everything stands that was received at that moment or later; and some of what was before, at the latest of a minute before.
    async fn sequence_before(&self, at: Timestamp) -> Result<u64, LogError>;

    /// The sequence from which on retention has taken nothing away. From memory.
    fn whole_from(&self) -> u64;

    /// How many events fit. Looks at all of them, as few others do at a time, and as long as it is waited for.
    async fn count(&self, filter: &EventFilter) -> Result<u64, LogError>;

    /// The newest sequence, and news of every later one.
    fn newest(&self) -> tokio::sync::watch::Receiver<u64>;

    /// On which timeline its sequences are. A log that is made, or put back from a backup, begins another one, because it gives sequences a second time: what
    /// was noted of one timeline says nothing on another. `None`: a former build made the log, and it was never put back. From memory.
    fn timeline(&self) -> Option<u64>;

    /// When the newest event of that authorizer (or, without one, of the component) was received. `None` where there is none, or damage hides which it is.
    async fn last_received(&self, component: &str, authorizer: Option<&str>) -> Result<Option<Timestamp>, LogError>;

    /// Removes events received before `before`, their dedupe keys and their finished deliveries; deliveries that still wait keep their events.
    async fn expunge(&self, before: Timestamp) -> Result<Expunged, LogError>;
}

/// A push that was refused, as people see it. Its bytes stay sealed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rejected {
    /// `rej_…`.
    pub id: String,
    /// Component name.
    pub component: String,
    /// When it came.
    pub received_at: Timestamp,
    /// `bad-signature`, `wrong-app-id`, `undecipherable`, `malformed`, `too-large`.
    pub reason: String,
    /// More, without content.
    pub detail: String,
}

/// Where refused pushes are kept: bounded in number and time; the oldest go first, of the component that has most of them. Kept for people and not promised durable:
/// storing one must never slow or fail the answer.
#[async_trait::async_trait]
pub trait Rejections: Send + Sync {
    /// Keeps one. `raw` is `None` when it was too large to keep.
    async fn keep(&self, rejected: Rejected, raw: Option<RawPush>) -> Result<(), LogError>;
    /// A page, newest first.
    async fn page(&self, component: Option<&str>, after: Option<&Position>, limit: usize) -> Result<Page<Rejected>, LogError>;
    /// One with its bytes; `None` when it is gone or had none.
    async fn open(&self, id: &str) -> Result<Option<(Rejected, RawPush)>, LogError>;
    /// Ids of all kept, oldest first, of one component or all.
    async fn ids(&self, component: Option<&str>) -> Result<Vec<String>, LogError>;
    /// Removes one after it was reprocessed.
    async fn remove(&self, id: &str) -> Result<(), LogError>;
}

/// Who must hear of an event. Answered by `fanout`.
pub trait Audience: Send + Sync {
    /// Names of the subscriptions that want it, paused and disabled ones too: they hold.
    fn subscribers(&self, component: &str, kind: EventType) -> Vec<String>;
    /// Events were stored for these: wake their workers.
    fn nudge(&self, subscribers: &[String]);
}

/// Who keeps tickets. Answered by `vault`.
#[async_trait::async_trait]
pub trait Tickets: Send + Sync {
    /// Keeps a ticket durably, unless a newer one is kept already.
    async fn keep(&self, component: &str, ticket: &Ticket, received_at: Timestamp) -> Result<(), LogError>;

    /// Whether the tokens of that grant or of a later one are held by now, and a refresh token if that grant brings one. From memory. While they
    /// are not, what the grant brings may not be lost.
    fn has_tokens(&self, component: &str, authorizer: &str, grant: &Grant) -> bool;
}
