//! Who hears of an event: subscriptions, their deliveries, and the workers that carry them.
//!
//! Every handler is a subscriber: a URL, the vault's exchange of a grant's code, later a playbook. All share outbox, retries, dead letters and replay.

pub mod delivery;
pub mod replays;
pub mod sink;
pub mod subscription;

use std::sync::Arc;
use std::time::Duration;

pub use delivery::{Delivery, DeliveryId, Outbox};
pub use subscription::{Subscription, SubscriptionBook};

use crate::event_type::{EventType, Glob};
use crate::inbox::log::{Audience, LogError};
use crate::secret::Secret;
use crate::shutdown::Shutdown;
use delivery::{Attempt, Depth};
use subscription::{Ordering, State};

/// A subscription to be made.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSubscription {
    /// Its name.
    pub name: String,
    /// Where events are posted.
    pub url: String,
    /// `whsec_…`; made up when absent.
    #[serde(default)]
    pub secret: Option<String>,
    /// Patterns of event types.
    pub events: Vec<Glob>,
    /// Component names; empty: all.
    #[serde(default)]
    pub components: Vec<String>,
    /// What is kept in order.
    #[serde(default)]
    pub ordering: Ordering,
    /// Deliveries under way at a time.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// Deliveries started per second.
    #[serde(default)]
    pub rate: Option<u32>,
    /// Its own retry table (`["5s", "30s"]`).
    #[serde(default)]
    pub retry: Option<Vec<String>>,
    /// Total time of one try (`"15s"`).
    #[serde(default)]
    pub timeout: Option<String>,
}

/// What changes of a subscription; absent members stay as they are.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionChange {
    /// Where events are posted.
    #[serde(default)]
    pub url: Option<String>,
    /// Patterns of event types.
    #[serde(default)]
    pub events: Option<Vec<Glob>>,
    /// Component names.
    #[serde(default)]
    pub components: Option<Vec<String>>,
    /// What is kept in order.
    #[serde(default)]
    pub ordering: Option<Ordering>,
    /// Deliveries under way at a time.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// Deliveries started per second; `0`: no limit.
    #[serde(default)]
    pub rate: Option<u32>,
    /// Its own retry table.
    #[serde(default)]
    pub retry: Option<Vec<String>>,
    /// Total time of one try.
    #[serde(default)]
    pub timeout: Option<String>,
}

/// Why a subscription was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// No subscription of that name.
    #[error("there is no subscription of that name")]
    Unknown,
    /// The name is taken.
    #[error("there is a subscription of that name already")]
    Taken,
    /// It comes from the configuration file.
    #[error("this subscription comes from the configuration file")]
    ReadOnly,
    /// Members that are not valid: name and why.
    #[error("invalid members")]
    Invalid(Vec<(String, String)>),
    /// The store does not answer.
    #[error("{0}")]
    Store(String),
}

impl From<LogError> for SubscriptionError {
    fn from(error: LogError) -> Self {
        Self::Store(error.to_string())
    }
}

/// All subscriptions, and the workers that deliver to them.
pub struct Fanout {}

impl Fanout {
    /// Subscriptions of file and API, by name.
    pub fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        unimplemented!()
    }

    /// One.
    pub fn subscription(&self, name: &str) -> Option<Arc<Subscription>> {
        unimplemented!()
    }

    /// How much waits for it.
    pub async fn depth(&self, name: &str) -> Result<Depth, SubscriptionError> {
        unimplemented!()
    }

    /// Makes one by API. The secret is shown to the caller once.
    pub async fn create(&self, new: NewSubscription) -> Result<(Arc<Subscription>, Secret), SubscriptionError> {
        unimplemented!()
    }

    /// Changes one made by API.
    pub async fn change(&self, name: &str, change: SubscriptionChange) -> Result<Arc<Subscription>, SubscriptionError> {
        unimplemented!()
    }

    /// Deletes one made by API and cancels what waits for it.
    pub async fn delete(&self, name: &str) -> Result<(), SubscriptionError> {
        unimplemented!()
    }

    /// Pauses, resumes (`Active`) or enables (`Active`) any subscription, the file's too.
    pub async fn set_state(&self, name: &str, state: State) -> Result<Arc<Subscription>, SubscriptionError> {
        unimplemented!()
    }

    /// A new secret; both sign for `overlap` (24 h; zero: the old one is compromised).
    pub async fn rotate_secret(&self, name: &str, overlap: Duration) -> Result<Secret, SubscriptionError> {
        unimplemented!()
    }

    /// Sends a made-up event (`yizhan.test` as its `vendortype`, type `vendor.other`) once, now, without storing it.
    pub async fn test(&self, name: &str) -> Result<Attempt, SubscriptionError> {
        unimplemented!()
    }

    /// Delivers until shutdown, then lets what is under way finish.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        unimplemented!()
    }
}

impl Audience for Fanout {
    fn subscribers(&self, component: &str, kind: EventType) -> Vec<String> {
        unimplemented!()
    }

    fn nudge(&self, subscribers: &[String]) {
        unimplemented!()
    }
}
