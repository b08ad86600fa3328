//! Subscriptions made, changed, stopped and deleted while the service runs. Every change is durable before it is seen.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::rules::{Problems, Rules};
use super::subscription::{BookError, MOST_LIVE_KEYS, Ordering, Origin, SigningKey, State, Subscription};
use super::{Fanout, Subscriber, schedule, signature};
use crate::clock::Timestamp;
use crate::event_type::Glob;
use crate::inbox::log::LogError;
use crate::secret::Secret;

/// Each has a worker of its own.
const MOST_SUBSCRIPTIONS: usize = 1000;

/// Longest time that two secrets sign.
const MOST_OVERLAP: Duration = Duration::from_secs(7 * 24 * 3600);

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
    /// Deliveries started per second; `0`: no limit.
    #[serde(default)]
    pub rate: Option<u32>,
    /// Its own retry table (`["5s", "30s"]`).
    #[serde(default)]
    pub retry: Option<Vec<String>>,
    /// Total time of one try (`"15s"`).
    #[serde(default)]
    pub timeout: Option<String>,
}

/// What changes of a subscription; absent members stay as they are. Of the last three `None` inside takes the subscription's own away: what holds for all
/// of them is good for it again.
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
    /// Deliveries started per second; `0`, too: no limit.
    #[serde(default, deserialize_with = "given")]
    pub rate: Option<Option<u32>>,
    /// Its own retry table.
    #[serde(default, deserialize_with = "given")]
    pub retry: Option<Option<Vec<String>>>,
    /// Total time of one try.
    #[serde(default, deserialize_with = "given")]
    pub timeout: Option<Option<String>>,
}

/// A member that is there, `null` or not.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
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
    /// It has no address and no secret, and its settings are the playbook's.
    #[error("this subscription is a playbook")]
    Playbook,
    /// What it does cannot be read: nobody carries it.
    #[error("this subscription's playbook cannot be read: write the playbook again, or delete it")]
    Unread,
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

impl From<BookError> for SubscriptionError {
    fn from(error: BookError) -> Self {
        Self::Store(error.to_string())
    }
}

impl Fanout {
    /// Makes one by API. The secret is shown to the caller once.
    ///
    /// # Errors
    /// The name is taken, or every member that is not valid.
    pub async fn create(self: &Arc<Self>, new: NewSubscription) -> Result<(Arc<Subscription>, Secret), SubscriptionError> {
        self.alone(move |fanout| async move {
            if fanout.roster().entry(&new.name).is_some() {
                return Err(SubscriptionError::Taken);
            }
            let mut problems = Problems::default();
            if fanout.roster().entries().count() >= MOST_SUBSCRIPTIONS {
                problems.add("name", format!("there are {MOST_SUBSCRIPTIONS} subscriptions already"));
            }
            let secret = match new.secret {
                Some(text) => Secret::new(text),
                None => signature::generate().map_err(|error| SubscriptionError::Store(error.to_string()))?,
            };
            problems.chosen_secret(&secret);
            let subscription = Subscription {
                name: new.name,
                origin: Origin::Api,
                url: new.url,
                keys: vec![SigningKey { secret: secret.clone(), until: None }],
                events: new.events,
                components: new.components,
                ordering: new.ordering,
                concurrency: new.concurrency.unwrap_or(fanout.options.concurrency),
                rate: new.rate.filter(|rate| *rate > 0),
                retry: new.retry.map(|texts| problems.table(&texts)),
                timeout: new.timeout.and_then(|text| problems.span("timeout", &text)),
                state: State::Active,
                created_at: fanout.clock.now(),
            };
            fanout.hold_against_rules(&subscription, problems)?;
            fanout.outbox.reinstate(&subscription.name).await?;
            let subscription = fanout.keep(subscription).await?;
            tracing::info!(subscription = subscription.name, "subscription made");
            Ok((subscription, secret))
        })
        .await
    }

    /// Changes one made by API.
    ///
    /// # Errors
    /// It is unknown or the file's, or every member that is not valid.
    pub async fn change(self: &Arc<Self>, name: &str, change: SubscriptionChange) -> Result<Arc<Subscription>, SubscriptionError> {
        let name = name.to_owned();
        self.alone(move |fanout| async move {
            let mut one = fanout.changeable(&name)?;
            let mut problems = Problems::default();
            one.url = change.url.unwrap_or(one.url);
            one.events = change.events.unwrap_or(one.events);
            one.components = change.components.unwrap_or(one.components);
            one.ordering = change.ordering.unwrap_or(one.ordering);
            one.concurrency = change.concurrency.unwrap_or(one.concurrency);
            if let Some(rate) = change.rate {
                one.rate = rate.filter(|rate| *rate > 0);
            }
            if let Some(texts) = change.retry {
                one.retry = texts.map(|texts| problems.table(&texts));
            }
            if let Some(text) = change.timeout {
                one.timeout = text.and_then(|text| problems.span("timeout", &text));
            }
            fanout.hold_against_rules(&one, problems)?;
            let one = fanout.keep(one).await?;
            tracing::info!(subscription = name, "subscription changed");
            Ok(one)
        })
        .await
    }

    /// Deletes one made by API and cancels what waits for it; also what waits under a name that nobody bears, as after the vault was lost.
    ///
    /// # Errors
    /// It is unknown and nothing waits for it, or it is the file's.
    pub async fn delete(self: &Arc<Self>, name: &str) -> Result<(), SubscriptionError> {
        let name = name.to_owned();
        self.alone(move |fanout| async move {
            match fanout.roster().entry(&name) {
                Some(_) => drop(fanout.changeable(&name)?),
                None if fanout.outbox.depth(&name).await?.pending > 0 => {}
                None => return Err(SubscriptionError::Unknown),
            }
            let cancelled = fanout.let_go(&name).await?;
            tracing::info!(subscription = name, cancelled, "subscription deleted");
            Ok(())
        })
        .await
    }

    /// Carries out a change, one at a time, and to its end also where whoever asked for it goes away meanwhile.
    async fn alone<T, W>(self: &Arc<Self>, change: impl FnOnce(Arc<Self>) -> W + Send + 'static) -> Result<T, SubscriptionError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, SubscriptionError>> + Send + 'static,
    {
        let fanout = Arc::clone(self);
        let changed = tokio::spawn(async move {
            let _alone = fanout.changing.lock().await;
            change(Arc::clone(&fanout)).await
        });
        changed.await.unwrap_or_else(|error| Err(SubscriptionError::Store(format!("the change was interrupted: {error}"))))
    }

    /// Takes one out. Its name is retired first: a crash behind that is made up for at the next start, and nobody who is made under that name later
    /// hears of what was for this one. Returns how many deliveries were cancelled.
    async fn let_go(&self, name: &str) -> Result<u64, SubscriptionError> {
        // Never before it was made, though the clock was set back: the next start would take it for one that was made since.
        let made_at = self.roster().entry(name).map_or(Timestamp::MIN, |entry| entry.subscription.created_at);
        self.outbox.retire(name, self.clock.now().max(made_at)).await?;
        self.replace(self.roster().without(name, &self.options.components));
        self.book.remove(name).await?;
        Ok(self.outbox.cancel_all(name).await?)
    }

    /// Pauses, resumes (`Active`) or enables (`Active`) any subscription, the file's too.
    ///
    /// # Errors
    /// It is unknown.
    pub async fn set_state(self: &Arc<Self>, name: &str, state: State) -> Result<Arc<Subscription>, SubscriptionError> {
        let name = name.to_owned();
        self.alone(move |fanout| async move {
            let mut one = fanout.shown(&name)?;
            if one.origin == Origin::Playbook && state == State::Active && !fanout.is_carried(&name) {
                return Err(SubscriptionError::Unread);
            }
            one.state = state;
            let one = fanout.keep(one).await?;
            tracing::info!(subscription = name, ?state, "subscription's state set");
            Ok(one)
        })
        .await
    }

    /// A new secret; both sign for `overlap` (24 h; zero: the old one is compromised, and every other with it stops at once).
    ///
    /// # Errors
    /// It is unknown or a playbook, or `overlap` is longer than a week.
    pub async fn rotate_secret(self: &Arc<Self>, name: &str, overlap: Duration) -> Result<Secret, SubscriptionError> {
        let name = name.to_owned();
        self.alone(move |fanout| async move {
            let mut one = fanout.shown(&name)?;
            if one.origin == Origin::Playbook {
                return Err(SubscriptionError::Playbook);
            }
            if overlap > MOST_OVERLAP {
                return Err(SubscriptionError::Invalid(vec![(String::from("overlap"), String::from("is longer than 7d"))]));
            }
            let now = fanout.clock.now();
            let until = schedule::later(now, overlap);
            let secret = match one.keys.first() {
                Some(current) => signature::successor(&current.secret),
                None => signature::generate(),
            };
            let secret = secret.map_err(|error| SubscriptionError::Store(error.to_string()))?;
            for key in &mut one.keys {
                key.until = Some(key.until.unwrap_or(until).min(until));
            }
            // The file's own secret stays on record when it has expired: it is how the next start knows that it was rotated here.
            let of_file = fanout.file_secrets.get(&name);
            let mut live = 1;
            one.keys.retain(|key| {
                let lives = key.until.is_some_and(|until| until > now) && live < MOST_LIVE_KEYS;
                live += usize::from(lives);
                lives || Some(&key.secret) == of_file
            });
            one.keys.insert(0, SigningKey { secret: secret.clone(), until: None });
            fanout.keep(one).await?;
            tracing::info!(subscription = name, overlap_seconds = overlap.as_secs(), "secret rotated");
            Ok(secret)
        })
        .await
    }

    /// The handler at `url` said that it is gone: nothing is delivered until a person enables the subscription.
    pub(super) async fn disable(&self, name: &str, url: &str) {
        let _alone = self.changing.lock().await;
        // Changed, deleted or stopped in the meantime: that answer concerns nobody.
        let Ok(mut one) = self.shown(name) else { return };
        if one.url != url || one.state != State::Active {
            return;
        }
        one.state = State::Disabled;
        tracing::error!(subscription = name, "subscription disabled: its handler answered 410; its events are held until it is enabled");
        if let Err(error) = self.book.put(&one).await {
            tracing::error!(subscription = name, %error, "the disabled state is not stored; it is lost at the next start");
        }
        self.replace(self.roster().with(one, &self.options.components));
    }

    /// Takes in one more of ours while the service runs, or changes what it wants; a changed one keeps its state, its age and its sink.
    ///
    /// # Errors
    /// A subscription of file or API has its name.
    pub async fn enlist(self: &Arc<Self>, subscriber: Subscriber) -> Result<Arc<Subscription>, SubscriptionError> {
        self.alone(move |fanout| async move {
            let Subscriber { subscription, sink } = subscriber;
            let known = fanout.roster().entry(&subscription.name).map(|entry| Arc::clone(&entry.subscription));
            if known.as_ref().is_some_and(|known| known.origin != subscription.origin) {
                return Err(SubscriptionError::Taken);
            }
            let mut one = super::opening::remembering(subscription, known.as_deref());
            if known.is_none() {
                fanout.outbox.reinstate(&one.name).await?;
            } else if !fanout.is_carried(&one.name) && one.state == State::Disabled {
                // It was only because nobody carried it.
                one.state = State::Active;
            }
            fanout.ours.write().unwrap_or_else(PoisonError::into_inner).entry(one.name.clone()).or_insert(sink);
            if one.origin != Origin::Internal {
                fanout.book.put(&one).await?;
            }
            let name = one.name.clone();
            let standing = Arc::new(one.clone());
            fanout.replace(fanout.roster().with(one, &fanout.options.components));
            fanout.ring(&name);
            Ok(standing)
        })
        .await
    }

    /// Lets one of ours go and cancels what waits for it. Returns how many deliveries that were.
    ///
    /// # Errors
    /// It is unknown, or not one of ours.
    pub async fn dismiss(self: &Arc<Self>, name: &str) -> Result<u64, SubscriptionError> {
        let name = name.to_owned();
        self.alone(move |fanout| async move {
            let origin = fanout.roster().entry(&name).map(|entry| entry.subscription.origin).ok_or(SubscriptionError::Unknown)?;
            if !matches!(origin, Origin::Internal | Origin::Playbook) {
                return Err(SubscriptionError::Unknown);
            }
            let cancelled = fanout.let_go(&name).await?;
            fanout.ours.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
            Ok(cancelled)
        })
        .await
    }

    /// Whether one of ours has a sink.
    fn is_carried(&self, name: &str) -> bool {
        self.ours.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    /// One of file or API, to be changed.
    fn shown(&self, name: &str) -> Result<Subscription, SubscriptionError> {
        self.roster().shown(name).map(|one| Subscription::clone(one)).ok_or(SubscriptionError::Unknown)
    }

    /// One whose settings may be changed.
    fn changeable(&self, name: &str) -> Result<Subscription, SubscriptionError> {
        let one = self.shown(name)?;
        match one.origin {
            Origin::Api => Ok(one),
            Origin::Playbook => Err(SubscriptionError::Playbook),
            Origin::File | Origin::Internal => Err(SubscriptionError::ReadOnly),
        }
    }

    fn hold_against_rules(&self, one: &Subscription, mut problems: Problems) -> Result<(), SubscriptionError> {
        let rules = Rules { components: &self.options.components, guard: &self.options.guard };
        problems.0.extend(rules.problems(one));
        if problems.0.is_empty() { Ok(()) } else { Err(SubscriptionError::Invalid(problems.0)) }
    }

    /// Durable first, then seen, then its worker looks.
    async fn keep(&self, one: Subscription) -> Result<Arc<Subscription>, SubscriptionError> {
        self.book.put(&one).await?;
        let name = one.name.clone();
        self.replace(self.roster().with(one, &self.options.components));
        self.ring(&name);
        self.subscription(&name).ok_or(SubscriptionError::Unknown)
    }
}
