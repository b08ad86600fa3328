//! Who carries the deliveries of one subscription. A carrier has one of its slots: it tries a delivery, hands on what follows, and takes the next one
//! of those that were claimed ahead, so that a quick handler never waits for a claim.
//!
//! Hired by [`super::worker`], which alone claims. A carrier knows no schedule: what follows from a try is worked out from it and the subscription.

use std::collections::{HashMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Histogram, histogram};
use tokio::sync::mpsc;

use super::delivery::{Claimed, Delivery, Ended, Lane, Settlement, tries_counted};
use super::roster::Bell;
use super::sink::{Outcome, Sink};
use super::subscription::Subscription;
use super::{Fanout, schedule};
use crate::clock::Timestamp;
use crate::shutdown::Shutdown;

/// What a worker is told.
pub(super) enum News {
    /// A slot is free.
    Free(Lane),
    /// Of what was claimed ahead, half is left.
    Half,
    /// The outbox knows of some tries; with the times of the next ones.
    Settled(Vec<Timestamp>),
}

/// A subscription as it is now, with its sink made ready for it.
pub(super) struct Errand {
    pub subscription: Arc<Subscription>,
    sink: Arc<dyn Sink>,
}

impl Errand {
    pub fn new(subscription: Arc<Subscription>, sink: &Arc<dyn Sink>) -> Arc<Self> {
        let sink = sink.made_ready(&subscription).unwrap_or_else(|| Arc::clone(sink));
        Arc::new(Self { subscription, sink })
    }
}

/// First attempts that have no slot yet, oldest first.
#[derive(Default)]
struct Ahead {
    waiting: VecDeque<Claimed>,
    /// When so many are left, the worker is told.
    half: usize,
}

/// What the worker of a subscription shares with its carriers.
pub(super) struct Team {
    pub fanout: Arc<Fanout>,
    pub name: String,
    bell: Arc<Bell>,
    shutdown: Shutdown,
    /// Tries under way are to end at once.
    pub give_up: Shutdown,
    meters: Meters,
    ahead: Mutex<Ahead>,
    /// Tries that ended since [`Team::ended`] was asked last.
    ended: AtomicUsize,
    settling: mpsc::Sender<Ended>,
    tell: mpsc::UnboundedSender<News>,
}

impl Team {
    pub fn new(
        fanout: &Arc<Fanout>,
        name: &str,
        bell: &Arc<Bell>,
        shutdown: &Shutdown,
        settling: mpsc::Sender<Ended>,
        tell: mpsc::UnboundedSender<News>,
    ) -> Arc<Self> {
        Arc::new(Self {
            fanout: Arc::clone(fanout),
            name: name.to_owned(),
            bell: Arc::clone(bell),
            shutdown: shutdown.clone(),
            give_up: Shutdown::default(),
            meters: Meters::of(name),
            ahead: Mutex::default(),
            ended: AtomicUsize::new(0),
            settling,
            tell,
        })
    }

    /// The subscription as it is now; `None` when it was deleted, even if another of its name was made.
    pub fn current(&self) -> Option<Arc<Subscription>> {
        let roster = self.fanout.roster();
        roster.entry(&self.name).filter(|entry| Arc::ptr_eq(&entry.bell, &self.bell)).map(|entry| Arc::clone(&entry.subscription))
    }

    /// Tries that ended since this was asked last.
    pub fn ended(&self) -> usize {
        self.ended.swap(0, Ordering::Relaxed)
    }

    /// How many were claimed ahead and have no slot yet.
    pub fn ahead(&self) -> usize {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }

    /// Adds what was claimed and takes out the oldest, as many as there are slots for.
    pub fn line_up(&self, claimed: Vec<Claimed>, slots: usize) -> Vec<Claimed> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.waiting.extend(claimed);
        let slots = slots.min(ahead.waiting.len());
        let starting = ahead.waiting.drain(..slots).collect();
        ahead.half = ahead.waiting.len() / 2;
        starting
    }

    /// Gives back what has no slot yet, untried.
    pub async fn give_back(&self) {
        let waiting = std::mem::take(&mut self.ahead.lock().unwrap_or_else(PoisonError::into_inner).waiting);
        if waiting.is_empty() {
            return;
        }
        let released = waiting.into_iter().map(|claimed| Ended { delivery: claimed.delivery, settlement: Settlement::Released });
        if let Err(error) = self.fanout.outbox.settle_all(released.collect()).await {
            tracing::warn!(subscription = self.name, %error, "deliveries are not given back; they will be when their claims run out");
        }
    }

    /// The next first attempt, while the subscription is as it was.
    fn next(&self, errand: &Errand) -> Option<Claimed> {
        let goes_on = !self.shutdown.is_requested() && self.current().is_some_and(|current| Arc::ptr_eq(&current, &errand.subscription));
        if !goes_on {
            return None;
        }
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let next = ahead.waiting.pop_front()?;
        let is_half = ahead.waiting.len() == ahead.half;
        drop(ahead);
        if is_half {
            self.news(News::Half);
        }
        Some(next)
    }

    fn news(&self, news: News) {
        // Nobody listens any more when the worker has ended.
        let _ = self.tell.send(news);
    }

    /// What a carrier does: one try, and one after another of those claimed ahead.
    pub async fn carry(self: Arc<Self>, errand: Arc<Errand>, lane: Lane, first: Claimed) {
        let _slot = Slot { team: &self, lane };
        let mut given_up = pin!(self.give_up.requested());
        let mut next = Some(first);
        while let Some(claimed) = next {
            let Some(settlement) = self.tried(&errand, &claimed, given_up.as_mut()).await else {
                self.hand_on(claimed, Settlement::Released).await;
                return;
            };
            self.hand_on(claimed, settlement).await;
            self.ended.fetch_add(1, Ordering::Relaxed);
            next = match lane {
                Lane::First => self.next(&errand),
                Lane::Retry => None,
            };
        }
    }

    async fn hand_on(&self, claimed: Claimed, settlement: Settlement) {
        let ended = Ended { delivery: claimed.delivery, settlement };
        if let Err(mpsc::error::SendError(ended)) = self.settling.send(ended).await {
            tracing::error!(delivery.id = %ended.delivery.id, "delivery not settled; it will be made again");
        }
    }

    /// One try and what follows from it; `None` when it was given up.
    async fn tried(&self, errand: &Errand, claimed: &Claimed, given_up: Pin<&mut impl Future<Output = ()>>) -> Option<Settlement> {
        let begun = Instant::now();
        let outcome = tokio::select! {
            biased;
            outcome = errand.sink.deliver(&errand.subscription, claimed) => outcome,
            () = given_up => return None,
        };
        let settlement = self.judge(&errand.subscription, claimed, outcome, begun.elapsed()).await;
        if let Settlement::Dead(attempt) = &settlement {
            errand.sink.gave_up(claimed, attempt).await;
        }
        Some(settlement)
    }

    /// What follows from a try, with its one log line and its metrics.
    async fn judge(&self, subscription: &Subscription, claimed: &Claimed, outcome: Outcome, took: Duration) -> Settlement {
        let Claimed { delivery, event, .. } = claimed;
        let now = self.fanout.clock.now();
        let tries = delivery.attempts.len().saturating_add(1);
        let (word, settlement) = match outcome {
            Outcome::Delivered(attempt) => ("delivered", Settlement::Delivered(attempt)),
            Outcome::Failed(attempt, not_before) => {
                let table = subscription.retry.as_ref().unwrap_or(&self.fanout.options.retry);
                match schedule::next_attempt(table, tries, delivery.id, now, not_before) {
                    Some(at) => ("failed", Settlement::Retry(attempt, at)),
                    None => ("dead", Settlement::Dead(attempt)),
                }
            }
            Outcome::Deferred(attempt, until) => {
                // Neither a success nor a failure: no metric counts it.
                tracing::info!(
                    subscription = subscription.name,
                    delivery.id = %delivery.id,
                    event.id = %delivery.event_id,
                    reason = attempt.answer,
                    next_attempt_at = %until,
                    "delivery waits"
                );
                return Settlement::Deferred(attempt.at, until);
            }
            Outcome::Refused(attempt) => ("dead", Settlement::Dead(attempt)),
            Outcome::Gone(attempt) => {
                self.fanout.disable(&subscription.name, &subscription.url).await;
                // People see why it is held, and what follows once the subscription is enabled has the whole schedule.
                ("gone", Settlement::Gone(attempt, now))
            }
        };
        self.meters.tried(word, took);
        if tries == 1 && delivery.replay.is_none() && word == "delivered" {
            self.meters.lag.record(now.duration_since(event.received_at).as_secs_f64().max(0.0));
        }
        note(delivery, &settlement, word, took);
        settlement
    }
}

/// Tells that a slot is free, whatever became of its carrier.
struct Slot<'a> {
    team: &'a Team,
    lane: Lane,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.team.news(News::Free(self.lane));
    }
}

/// What is counted of one subscription's tries. Its handles are at hand: a look-up by name for each try costs more than the try's signature.
struct Meters {
    subscription: String,
    outcomes: Mutex<HashMap<&'static str, Counter>>,
    seconds: Histogram,
    lag: Histogram,
}

impl Meters {
    fn of(subscription: &str) -> Self {
        Self {
            subscription: subscription.to_owned(),
            outcomes: Mutex::default(),
            seconds: histogram!("yizhan_delivery_seconds", "subscription" => subscription.to_owned()),
            lag: histogram!("yizhan_delivery_lag_seconds"),
        }
    }

    fn tried(&self, outcome: &'static str, took: Duration) {
        self.seconds.record(took.as_secs_f64());
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        // Made when it first happens: outcomes that never were are not shown.
        let made = || tries_counted(&self.subscription, outcome);
        outcomes.entry(outcome).or_insert_with(made).increment(1);
    }
}

/// One line per try.
fn note(delivery: &Delivery, settlement: &Settlement, outcome: &str, took: Duration) {
    let (attempt, next) = match settlement {
        Settlement::Delivered(attempt) | Settlement::Dead(attempt) => (Some(attempt), None),
        Settlement::Retry(attempt, at) | Settlement::Gone(attempt, at) => (Some(attempt), Some(at.to_string())),
        Settlement::Deferred(_, at) => (None, Some(at.to_string())),
        Settlement::Released => (None, None),
    };
    let status = attempt.and_then(|attempt| attempt.status);
    let error = attempt.and_then(|attempt| attempt.error.as_deref());
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                subscription = delivery.subscription,
                delivery.id = %delivery.id,
                event.id = %delivery.event_id,
                attempt = delivery.attempts.len().saturating_add(1),
                status,
                error,
                duration_ms,
                next_attempt_at = next,
                outcome,
                "delivery tried"
            )
        };
    }
    match settlement {
        Settlement::Delivered(_) | Settlement::Deferred(..) => line!(info),
        Settlement::Retry(..) | Settlement::Gone(..) | Settlement::Released => line!(warn),
        Settlement::Dead(_) => line!(error),
    }
}
