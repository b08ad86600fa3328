//! A delivery: one event on its way to one subscription; and the outbox that keeps it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::inbox::log::{LogError, Page, Position};
use crate::inbox::{Event, EventFilter, EventId};
use crate::secret::Secret;

/// `dlv_` and a UUIDv7 in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(pub Uuid);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dlv_{}", self.0.as_simple())
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DeliveryId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text.strip_prefix("dlv_").unwrap_or_default()).map(Self)
    }
}

/// Where a delivery stands. `Held` is never stored: it is how `Pending` reads while its subscription is paused or disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for its first or next attempt.
    Pending,
    /// Waits for its subscription to be resumed.
    Held,
    /// The handler answered 2xx.
    Delivered,
    /// Every attempt of the schedule failed.
    Dead,
    /// Taken back by a person, or its subscription was deleted.
    Cancelled,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// HTTP status, where one came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took.
    pub duration_ms: u64,
    /// What went wrong, where no status came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// First bytes of the answer as text, at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// One event on its way to one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The event.
    pub event_id: EventId,
    /// The event's sequence.
    pub event_sequence: u64,
    /// Subscription name.
    pub subscription: String,
    /// `component/authorizer` of the event: what `ordering = "authorizer"` keeps in order. Events without an authorizer use `component/`.
    pub ordering_key: String,
    /// Where it stands.
    pub status: Status,
    /// Every try, oldest first.
    pub attempts: Vec<Attempt>,
    /// When it is tried next; `None` when it is finished.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// The replay job that enqueued it, if one did.
    pub replay: Option<String>,
}

/// A delivery handed to a worker, with everything that the try needs.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The delivery.
    pub delivery: Delivery,
    /// Its event.
    pub event: Event,
    /// What travels sealed beside the event, opened. For internal subscribers only: webhooks never see it.
    pub sealed: Option<Secret>,
}

/// Which deliveries to claim: first attempts are claimed apart from retries, so that retries never starve them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Never tried.
    First,
    /// Tried before and due again.
    Retry,
}

/// What becomes of a claimed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Delivered.
    Delivered(Attempt),
    /// Failed; again at that time.
    Retry(Attempt, Timestamp),
    /// The handler said that it is gone. Due at that time with a fresh schedule: what holds it is the state of its subscription.
    Gone(Attempt, Timestamp),
    /// Failed for the last time.
    Dead(Attempt),
    /// Tried at the first time, and it is too early: again at the second. No failed attempt, so nothing of the schedule is used up.
    Deferred(Timestamp, Timestamp),
    /// Not tried after all (shutdown, pause): back as it was.
    Released,
}

/// A claimed delivery with what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The delivery, as it was claimed.
    pub delivery: Delivery,
    /// What becomes of it.
    pub settlement: Settlement,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryFilter {
    /// Status; `Held` is turned by the caller into `Pending` with `subscriptions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// One subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// One event (`evt_…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Enqueued at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Enqueued before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How much waits for one subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Deliveries not finished.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
}

/// Of what waits for one subscription, what its handler told to wait ([`Settlement::Deferred`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deferred {
    /// How many wait so and are not due yet.
    pub count: u64,
    /// Since when the oldest of the others waits.
    pub oldest_other_at: Option<Timestamp>,
}

/// Counts tries of a subscription's deliveries that ended so: `delivered`, `failed`, `dead` or `gone`. Whoever ends one counts it: its carrier, or the
/// outbox where it can be handed to none.
pub fn tries_counted(subscription: &str, outcome: &'static str) -> metrics::Counter {
    metrics::counter!("yizhan_deliveries_total", "subscription" => subscription.to_owned(), "outcome" => outcome)
}

/// A name for which deliveries were made once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The name.
    pub subscription: String,
    /// Deliveries not finished.
    pub pending: u64,
    /// When it was [retired](Outbox::retire), if it is.
    pub retired_at: Option<Timestamp>,
}

/// Whether an event, with all its deliveries, is wanted. They are looked up only for a filter that asks for a status; without one there are none here.
pub type Wanted = Arc<dyn Fn(&Event, &[Delivery]) -> bool + Send + Sync>;

/// Where deliveries are kept.
#[async_trait::async_trait]
pub trait Outbox: Send + Sync {
    /// Hands out deliveries of a subscription that are due, oldest event first, each to one caller only, until it is settled or `lease` passes
    /// (a crash gives them back). With `ordered`, a delivery is handed out only when no older unfinished one with the same
    /// `ordering_key` exists: a failing event holds back only its own authorizer.
    async fn claim(
        &self,
        subscription: &str,
        lane: Lane,
        now: Timestamp,
        lease: Duration,
        limit: usize,
        ordered: bool,
    ) -> Result<Vec<Claimed>, LogError>;

    /// Records tries of claimed deliveries and what follows. Durable when it returns; concurrent calls are committed in groups.
    async fn settle_all(&self, ended: Arc<[Ended]>) -> Result<(), LogError>;

    /// The same for one.
    async fn settle(&self, claimed: &Delivery, settlement: Settlement) -> Result<(), LogError> {
        self.settle_all(Arc::new([Ended { delivery: claimed.clone(), settlement }])).await
    }

    /// Enqueues stored events for a subscription (a replay), due at once. A delivery of the same event to the same subscription that still waits
    /// is replaced: it becomes due at once with a fresh schedule. Returns what was enqueued: nothing for a name that was retired.
    async fn enqueue(
        &self,
        events: &[EventId],
        subscription: &str,
        replay: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryId>, LogError>;

    /// When the next delivery of that subscription can be claimed: when it is due, or its claim runs out.
    async fn next_due(&self, subscription: &str) -> Result<Option<Timestamp>, LogError>;

    /// How much waits for it. From memory.
    async fn depth(&self, subscription: &str) -> Result<Depth, LogError>;

    /// When the oldest delivery that waits for it was enqueued. Looks at thousands of them: for whoever tells it to people.
    async fn oldest(&self, subscription: &str) -> Result<Option<Timestamp>, LogError>;

    /// How much of what waits was told to wait. Looks at every waiting delivery: for playbooks, of which few wait.
    async fn deferred(&self, subscription: &str, now: Timestamp) -> Result<Deferred, LogError>;

    /// Makes one delivery due now, whatever its status, with a fresh schedule. `None` when there is none of that id, its event is gone, or the name of
    /// its subscription was retired.
    async fn retry(&self, id: DeliveryId, now: Timestamp) -> Result<Option<Delivery>, LogError>;

    /// Every name for which deliveries were made once. From memory.
    async fn names(&self) -> Result<Vec<Known>, LogError>;

    /// Retires the name of a subscription that is deleted. Durable when it returns: from then on nothing comes to wait under that name, whichever
    /// pushes and replays are under way. What waits already is [cancelled](Outbox::cancel_all) next; after a crash in between [`Outbox::names`] tells
    /// that it is still to be.
    async fn retire(&self, subscription: &str, now: Timestamp) -> Result<(), LogError>;

    /// Takes a name into use. Of one that was retired what is left is cancelled first; of any other, what waits goes to whoever bears it from now on.
    async fn reinstate(&self, subscription: &str) -> Result<(), LogError>;

    /// Cancels one delivery, where it still waits. Durable when it returns.
    async fn withdraw(&self, delivery: &Delivery) -> Result<(), LogError>;

    /// Cancels everything that waits for a subscription. Returns how many.
    async fn cancel_all(&self, subscription: &str) -> Result<u64, LogError>;

    /// One delivery.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, LogError>;

    /// How many events fit and are wanted by somebody who is shown each with all its deliveries. One whose deliveries cannot be read is not counted.
    async fn count_events(&self, filter: &EventFilter, wanted: Wanted) -> Result<u64, LogError>;

    /// A page, newest first.
    async fn deliveries(&self, filter: &DeliveryFilter, after: Option<&Position>, limit: usize) -> Result<Page<Delivery>, LogError>;
}
