//! Subscriptions: who wants which events, where they are sent, and in what state they are.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::event_type::{EventType, Glob};
use crate::secret::{Secret, exposed};

/// How many keys sign at a time at most.
pub const MOST_LIVE_KEYS: usize = 4;

/// Name of the vault's own subscriber to `authorization.*`. Names that start with `yizhan-` are ours.
pub const VAULT: &str = "yizhan-vault";

/// Where a subscription comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The configuration file: settings are read-only, only its state is stored.
    File,
    /// The API.
    Api,
    /// Ours ([`VAULT`]): never listed among subscriptions, its deliveries are.
    Internal,
    /// A playbook: shown, paused, resumed and replayed to like any; what it does is changed where playbooks are.
    Playbook,
}

/// What keeps deliveries of one subscription in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// Nothing: as many at a time as `concurrency` allows.
    #[default]
    None,
    /// One at a time and in order per authorizer.
    Authorizer,
}

/// Whether it is delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Delivered to.
    #[default]
    Active,
    /// Stopped by a person; holds its events.
    Paused,
    /// Stopped because the handler answered 410; holds its events until enabled.
    Disabled,
}

/// One signing key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SigningKey {
    /// `whsec_<base64>`.
    #[serde(with = "exposed")]
    pub secret: Secret,
    /// Signs until then; `None` for the current one.
    pub until: Option<Timestamp>,
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Subscription {
    /// Unique name: letters, digits, `-`, `_`, `.`, at most 64.
    pub name: String,
    /// Where from.
    pub origin: Origin,
    /// Where events are posted.
    pub url: String,
    /// Keys that sign, newest first.
    pub keys: Vec<SigningKey>,
    /// Patterns of event types; at least one.
    pub events: Vec<Glob>,
    /// Component names; empty: all.
    pub components: Vec<String>,
    /// What is kept in order.
    pub ordering: Ordering,
    /// Deliveries under way at a time.
    pub concurrency: u32,
    /// Deliveries started per second at most; `None`: no limit.
    pub rate: Option<u32>,
    /// Its own retry table; `None`: `[fanout] retry`.
    pub retry: Option<Vec<Duration>>,
    /// Total time of one try; `None`: `[fanout] timeout`.
    pub timeout: Option<Duration>,
    /// Whether it is delivered to.
    pub state: State,
    /// When it was made; for the file's, when it was first seen.
    pub created_at: Timestamp,
}

impl Subscription {
    /// Whether it wants an event of that type from that component.
    #[must_use]
    pub fn wants(&self, component: &str, kind: EventType) -> bool {
        (self.components.is_empty() || self.components.iter().any(|name| name == component))
            && self.events.iter().any(|pattern| pattern.wants(kind))
    }

    /// Secrets that sign at that moment, newest first, at most [`MOST_LIVE_KEYS`].
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        live(self.keys.iter().map(|key| (key.until, &key.secret)), now)
    }

    /// One of ours, hidden, for those patterns of event types from all components. It has no address: a sink of its own carries its deliveries.
    #[must_use]
    pub fn internal(name: impl Into<String>, events: impl IntoIterator<Item = Glob>, now: Timestamp) -> Self {
        Self {
            name: name.into(),
            origin: Origin::Internal,
            url: String::new(),
            keys: Vec::new(),
            events: events.into_iter().collect(),
            components: Vec::new(),
            ordering: Ordering::None,
            concurrency: 16,
            rate: None,
            retry: None,
            timeout: Some(Duration::from_secs(120)),
            state: State::Active,
            created_at: now,
        }
    }

    /// The vault's own ([`VAULT`]). Its retries are dense, because a code may live for as little as a minute; they go on for a day,
    /// because a vendor may be away for long and Alipay sends tokens outright.
    #[must_use]
    pub fn vault(now: Timestamp) -> Self {
        Self {
            // A grant that cannot be exchanged must not hold back the next one, which brings a new code.
            ordering: Ordering::None,
            retry: Some(VAULT_RETRY.iter().map(|seconds| Duration::from_secs(*seconds)).collect()),
            ..Self::internal(VAULT, [Glob::new("authorization.*")], now)
        }
    }
}

/// Of keys with their ends, newest first, those that sign at that moment, at most [`MOST_LIVE_KEYS`].
pub fn live<K>(keys: impl Iterator<Item = (Option<Timestamp>, K)>, now: Timestamp) -> impl Iterator<Item = K> {
    keys.filter(move |(until, _)| until.is_none_or(|until| until > now)).take(MOST_LIVE_KEYS).map(|(_, key)| key)
}

/// Waits between attempts to hand over a grant, in seconds.
const VAULT_RETRY: [u64; 19] = [1, 2, 5, 10, 20, 40, 60, 60, 120, 120, 300, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 43_200];

/// Why subscriptions could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("the subscription could not be stored: {0}")]
pub struct BookError(pub String);

/// Where subscriptions made by API, and states and rotated keys of all, are kept, sealed.
#[async_trait::async_trait]
pub trait SubscriptionBook: Send + Sync {
    /// All of them.
    async fn load(&self) -> Result<Vec<Subscription>, BookError>;
    /// Stores one durably, new or changed.
    async fn put(&self, subscription: &Subscription) -> Result<(), BookError>;
    /// Forgets one.
    async fn remove(&self, name: &str) -> Result<(), BookError>;
}
