//! Who hears of an event: subscriptions, their deliveries, and the workers that carry them.
//!
//! Every handler is a subscriber: a URL, the vault's exchange of a grant's code, a playbook. All share outbox, retries, dead letters and replay.
//!
//! `inbox` asks [`Audience::subscribers`] who must hear of a push and writes their deliveries with the event; [`Fanout::run`] gives every
//! subscription a worker that claims, carriers that try, and rounds in which what ended is settled. A worker knows no other: a slow subscriber delays
//! nobody. Everything that must survive is in the outbox and the book; a worker can be killed at any line.

mod again;
mod carrier;
pub mod delivery;
pub mod follower;
mod opening;
mod register;
pub mod replays;
mod roster;
pub mod rules;
pub mod schedule;
mod settling;
pub mod signature;
pub mod sink;
pub mod subscription;
mod watching;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::{NoContext, Uuid};

pub use again::RetryError;
pub use delivery::{Delivery, DeliveryId, Outbox};
pub use opening::ClaimedName;
pub use register::{NewSubscription, SubscriptionChange, SubscriptionError};
pub use subscription::{Subscription, SubscriptionBook};

use crate::clock::{Clock, Timestamp};
use crate::event_type::EventType;
use crate::inbox::log::{Audience, LogError};
use crate::inbox::{Event, EventId};
use crate::outbound::Guard;
use crate::secret::Secret;
use crate::shutdown::Shutdown;
use delivery::{Attempt, Claimed, Depth, Status};
use opening::Ours;
use roster::{Bell, Roster};
use rules::Rules;
use sink::Sink;
use subscription::{BookError, Origin};

/// What an operator chose for all subscriptions.
#[derive(Debug, Clone)]
pub struct Options {
    /// Waits before the second, third, … attempt, where a subscription has no table of its own.
    pub retry: Vec<Duration>,
    /// Total time of one try, where a subscription has none of its own.
    pub timeout: Duration,
    /// Deliveries of one subscription under way at a time, where one made by API does not say.
    pub concurrency: u32,
    /// Time that claimed deliveries have to finish at shutdown.
    pub grace: Duration,
    /// Names of all components.
    pub components: Vec<String>,
    /// Where subscribers may live; the same as the webhook sink's.
    pub guard: Guard,
}

/// Who carries deliveries.
#[derive(Clone)]
pub struct Sinks {
    /// To URLs.
    pub webhook: Arc<dyn Sink>,
    /// Our own subscribers, each with its sink. They stand beside those of file and API.
    pub internal: Vec<Subscriber>,
    /// Names of playbooks' subscriptions whose playbooks cannot be read: they stand as they are stored, disabled, and hold what comes for them.
    pub held: Vec<String>,
}

/// One of our own: hidden ([`Origin::Internal`]) or shown ([`Origin::Playbook`]).
#[derive(Clone)]
pub struct Subscriber {
    /// What it wants.
    pub subscription: Subscription,
    /// What carries its deliveries.
    pub sink: Arc<dyn Sink>,
}

/// Why fan-out cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Subscriptions of the file that are not valid: name, member, why.
    #[error("{}", invalid_text(.0))]
    Invalid(Vec<(String, String, String)>),
    /// Names of the configuration under which a subscription made by API is stored.
    #[error("{}", claimed_text(.0))]
    Claimed(Vec<ClaimedName>),
    /// Stored subscriptions cannot be read or written.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The outbox does not answer.
    #[error(transparent)]
    Outbox(#[from] LogError),
}

fn invalid_text(problems: &[(String, String, String)]) -> String {
    let lines: Vec<String> = problems.iter().map(|(name, member, why)| format!("subscription `{name}`: `{member}` {why}")).collect();
    lines.join("; ")
}

fn claimed_text(claimed: &[ClaimedName]) -> String {
    let lines: Vec<String> = claimed.iter().map(|one| format!("`{}` {one}", one.place())).collect();
    lines.join("; ")
}

/// All subscriptions, and the workers that deliver to them.
pub struct Fanout {
    /// Read by every push: the lock is held for one clone of a pointer.
    roster: RwLock<Arc<Roster>>,
    /// Counts rosters, so that [`Fanout::run`] hires workers for new subscriptions.
    rosters: watch::Sender<u64>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    book: Arc<dyn SubscriptionBook>,
    outbox: Arc<dyn Outbox>,
    webhook: Arc<dyn Sink>,
    /// Sinks of our own subscribers, by name.
    ours: RwLock<HashMap<String, Arc<dyn Sink>>>,
    options: Options,
    clock: Arc<dyn Clock>,
    /// Secrets of the file, by subscription.
    file_secrets: HashMap<String, Secret>,
}

impl Fanout {
    /// Brings together the subscriptions of the file and the stored ones, and adds our own. What the file no longer has is forgotten, and
    /// what waited for it cancelled. `stored` is what the book holds: whoever starts has read it already, for the names that are taken.
    ///
    /// # Errors
    /// A subscription of the file is not valid or has the name of one made by API, or the store does not answer.
    pub async fn open(
        book: Arc<dyn SubscriptionBook>,
        outbox: Arc<dyn Outbox>,
        stored: Vec<Subscription>,
        from_file: Vec<Subscription>,
        sinks: Sinks,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, OpenError> {
        let rules = Rules { components: &options.components, guard: &options.guard };
        let mut invalid = Vec::new();
        for one in &from_file {
            invalid.extend(rules.problems(one).into_iter().map(|(member, why)| (one.name.clone(), member, why)));
            if one.keys.iter().any(|key| signature::is_weak(&key.secret)) {
                tracing::warn!(subscription = one.name, "the secret holds fewer than 24 bytes; make a longer one");
            }
        }
        let Sinks { webhook, internal, held } = sinks;
        let (ours, sinks): (Vec<_>, HashMap<_, _>) = internal
            .into_iter()
            .map(|Subscriber { subscription, sink }| {
                let name = subscription.name.clone();
                (subscription, (name, sink))
            })
            .unzip();
        let taken = |one: &&Subscription| from_file.iter().any(|of_file| of_file.name == one.name);
        for one in ours.iter().filter(taken) {
            invalid.push((one.name.clone(), String::from("name"), String::from("is the name of a subscription and of a playbook")));
        }
        if !invalid.is_empty() {
            return Err(OpenError::Invalid(invalid));
        }
        let standing = opening::standing(&*book, &*outbox, stored, &from_file, Ours { standing: &ours, held: &held }, clock.now()).await?;
        for one in standing.iter().filter(|one| one.origin == Origin::Api) {
            for (member, why) in rules.problems(one) {
                tracing::warn!(subscription = one.name, member, why, "a stored subscription no longer fits the configuration");
            }
        }
        let roster = Roster::new(standing, &options.components);
        let first_key = |one: Subscription| one.keys.into_iter().next().map(|key| (one.name, key.secret));
        Ok(Arc::new(Self {
            roster: RwLock::new(Arc::new(roster)),
            rosters: watch::Sender::new(0),
            changing: tokio::sync::Mutex::new(()),
            book,
            outbox,
            webhook,
            ours: RwLock::new(sinks),
            options,
            clock,
            file_secrets: from_file.into_iter().filter_map(first_key).collect(),
        }))
    }

    /// Subscriptions of file and API and playbooks, by name.
    pub fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        let roster = self.roster();
        roster.entries().map(|entry| &entry.subscription).filter(|one| one.origin != Origin::Internal).cloned().collect()
    }

    /// One.
    pub fn subscription(&self, name: &str) -> Option<Arc<Subscription>> {
        self.roster().shown(name).cloned()
    }

    /// How much waits for it; for our own subscribers too.
    ///
    /// # Errors
    /// It is unknown.
    pub async fn depth(&self, name: &str) -> Result<Depth, SubscriptionError> {
        if self.roster().entry(name).is_none() {
            return Err(SubscriptionError::Unknown);
        }
        Ok(self.outbox.depth(name).await?)
    }

    /// Sends a made-up event (`yizhan.test` as its `vendortype`, type `vendor.other`) once, now, without storing it. The answer changes
    /// nothing, whatever it is.
    ///
    /// # Errors
    /// It is unknown, or a playbook.
    pub async fn test(&self, name: &str) -> Result<Attempt, SubscriptionError> {
        let subscription = self.subscription(name).ok_or(SubscriptionError::Unknown)?;
        if subscription.origin == Origin::Playbook {
            return Err(SubscriptionError::Playbook);
        }
        let claimed = made_up(name, self.clock.now());
        let outcome = self.webhook.deliver(&subscription, &claimed).await;
        Ok(outcome.attempt().clone())
    }

    /// Delivers until shutdown, then lets what is under way finish.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut news = self.rosters.subscribe();
        let mut workers = JoinSet::new();
        let mut hired: HashMap<String, (tokio::task::Id, Arc<Bell>)> = HashMap::new();
        let mut watching = std::pin::pin!(watching::watch(&self, &shutdown));
        loop {
            self.hire(&mut hired, &mut workers, &shutdown);
            tokio::select! {
                () = shutdown.requested() => break,
                // The sender lives as long as `self`.
                _ = news.changed() => {}
                () = &mut watching => break,
                Some(ended) = workers.join_next_with_id() => if let Err(error) = ended {
                    tracing::error!(%error, "a worker of the fan-out failed; another takes its place");
                    hired.retain(|_, (worker, _)| *worker != error.id());
                }
            }
        }
        while workers.join_next().await.is_some() {}
    }

    /// Starts a worker for every subscription that has none.
    fn hire(self: &Arc<Self>, hired: &mut HashMap<String, (tokio::task::Id, Arc<Bell>)>, workers: &mut JoinSet<()>, shutdown: &Shutdown) {
        let roster = self.roster();
        let ours = self.ours.read().unwrap_or_else(PoisonError::into_inner).clone();
        hired.retain(|name, (_, bell)| roster.entry(name).is_some_and(|entry| Arc::ptr_eq(&entry.bell, bell)));
        for entry in roster.entries() {
            let name = &entry.subscription.name;
            let sink = match entry.subscription.origin {
                Origin::Internal | Origin::Playbook => ours.get(name),
                Origin::File | Origin::Api => Some(&self.webhook),
            };
            let Some(sink) = sink.filter(|_| !hired.contains_key(name)) else { continue };
            let work = worker::work(Arc::clone(self), name.clone(), Arc::clone(&entry.bell), Arc::clone(sink), shutdown.clone());
            hired.insert(name.clone(), (workers.spawn(work).id(), Arc::clone(&entry.bell)));
        }
    }

    fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, roster: Roster) {
        let former = std::mem::replace(&mut *self.roster.write().unwrap_or_else(PoisonError::into_inner), Arc::new(roster));
        // Workers of deleted subscriptions must notice.
        for entry in former.entries() {
            if self.roster().entry(&entry.subscription.name).is_none() {
                entry.bell.0.notify_one();
            }
        }
        self.rosters.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn ring(&self, name: &str) {
        if let Some(entry) = self.roster().entry(name) {
            entry.bell.0.notify_one();
        }
    }

    /// Names of the subscriptions of file and API, and of playbooks, that want it: whom a replay to "all that match" reaches. The vault is left out: the codes of
    /// old grants are spent.
    pub(crate) fn matching(&self, event: &Event) -> Vec<String> {
        let roster = self.roster();
        let names = roster.subscribers(&event.component, event.kind);
        names.into_iter().filter(|name| roster.shown(name).is_some()).collect()
    }
}

impl Audience for Fanout {
    fn subscribers(&self, component: &str, kind: EventType) -> Vec<String> {
        self.roster().subscribers(component, kind)
    }

    fn nudge(&self, subscribers: &[String]) {
        let roster = self.roster();
        let entries = subscribers.iter().filter_map(|name| roster.entry(name));
        // The worker of one that holds its events has nothing to do; it is rung when that changes.
        for entry in entries.filter(|entry| entry.subscription.state == subscription::State::Active) {
            entry.bell.0.notify_one();
        }
    }
}

/// The event of [`Fanout::test`].
fn made_up(subscription: &str, now: Timestamp) -> Claimed {
    let id = || {
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, u32::try_from(now.subsec_nanosecond()).unwrap_or_default()))
    };
    let event_id = EventId(id());
    let body = serde_json::json!({
        "specversion": "1.0",
        "id": event_id.to_string(),
        "source": "/components/yizhan",
        "type": EventType::VendorOther.as_str(),
        "time": crate::clock::china_rfc3339(now),
        "datacontenttype": "application/json",
        "platform": "yizhan",
        "vendortype": "yizhan.test",
        "receivedat": now.to_string(),
        "data": { "vendor": { "message": "a test of this subscription; nothing happened" } },
    });
    let event = Event {
        sequence: 0,
        id: event_id,
        component: String::from("yizhan"),
        platform: String::from("yizhan"),
        authorizer: None,
        kind: EventType::VendorOther,
        time: now,
        received_at: now,
        body: body.to_string().into(),
    };
    let delivery = Delivery {
        id: DeliveryId(id()),
        event_id,
        event_sequence: 0,
        subscription: subscription.to_owned(),
        ordering_key: String::from("yizhan/"),
        status: Status::Pending,
        attempts: Vec::new(),
        next_attempt_at: Some(now),
        created_at: now,
        replay: None,
    };
    Claimed { delivery, event, sealed: None }
}
