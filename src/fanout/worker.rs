//! The worker of one subscription: claim, one try each, settle. It only sleeps, calls and logs; what is decided is decided in
//! [`schedule`] and by the sink.
//!
//! A slot is free again when its try has ended; settling goes on beside it, so that the store can commit many settlements together.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::delivery::{Claimed, Delivery, Lane, Settlement};
use super::roster::Bell;
use super::schedule::{self, Pace, UnderWay};
use super::sink::{Outcome, Sink};
use super::subscription::{Ordering, State, Subscription};
use super::{Fanout, Options};
use crate::clock::Timestamp;
use crate::inbox::log::LogError;
use crate::shutdown::Shutdown;

/// When something is due but was not handed out (a claim looks at so many and no more, an older one of its authorizer is under way), it is
/// looked again after this, then after twice as long, up to [`LOOK_AGAIN`].
const LOOK_AGAIN_FIRST: Duration = Duration::from_millis(2);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Settlements that may wait for the store beside the tries.
const MOST_SETTLING: usize = 256;

/// How often a settlement is offered to a store that has no room.
const SETTLE_TRIES: u32 = 8;

/// What a task tells its worker.
enum News {
    /// A try ended: its slot is free.
    TryEnded(Lane),
    /// The outbox knows; with the time of the next try, if there is one.
    Settled(Option<Timestamp>),
}

/// What a worker keeps in mind between two looks.
struct Mind {
    under_way: UnderWay,
    pace: Pace,
    pass: u32,
    /// Lanes that had nothing more to claim when last asked.
    empty: [bool; 2],
    /// Wait before the next look at what is due but was not handed out.
    patience: Duration,
    /// When the outbox will have something due, as it said when both lanes were empty.
    due: Option<Timestamp>,
    /// Retries that this worker decided on; the outbox cannot tell them from what an older delivery holds back.
    retries: BTreeSet<Timestamp>,
}

impl Mind {
    fn lane(&mut self, lane: Lane) -> &mut bool {
        let [first, retry] = &mut self.empty;
        match lane {
            Lane::First => first,
            Lane::Retry => retry,
        }
    }

    /// Something may have come.
    fn open_eyes(&mut self) {
        self.empty = [false; 2];
        self.due = None;
    }
}

/// Works until shutdown, or until the subscription is deleted.
pub(super) async fn work(fanout: Arc<Fanout>, name: String, bell: Arc<Bell>, sink: Arc<dyn Sink>, shutdown: Shutdown) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let give_up = Shutdown::default();
    let mut tasks = JoinSet::new();
    let now = fanout.clock.now();
    let mut mind = Mind {
        under_way: UnderWay::default(),
        pace: Pace::new(None, now),
        pass: 0,
        empty: [false; 2],
        patience: LOOK_AGAIN_FIRST,
        due: None,
        retries: BTreeSet::new(),
    };
    let meters = Arc::new(Meters::of(&name));
    while !shutdown.is_requested() {
        let Some(subscription) = current(&fanout, &name, &bell) else { break };
        mind.pace.set_rate(subscription.rate);
        let ordered = subscription.ordering == Ordering::Authorizer;
        let mut look_at = None;
        if subscription.state == State::Active {
            let settling_allows = tasks.len() < MOST_SETTLING;
            let start = |claimed: Claimed, lane: Lane| {
                let errand = Errand {
                    fanout: Arc::clone(&fanout),
                    sink: Arc::clone(&sink),
                    subscription: Arc::clone(&subscription),
                    meters: Arc::clone(&meters),
                    slot: Slot { lane, tell: tell.clone() },
                    give_up: give_up.clone(),
                };
                tasks.spawn(errand.run(claimed));
            };
            if settling_allows {
                look_at = claim(&fanout, &subscription, &mut mind, start).await.unwrap_or_else(|error| {
                    tracing::warn!(subscription = name, %error, "cannot claim deliveries; trying again");
                    Some(schedule::later(fanout.clock.now(), LOOK_AGAIN))
                });
            }
        }
        tokio::select! {
            () = bell.0.notified() => mind.open_eyes(),
            Some(news) = told.recv() => {
                hear(&mut mind, news, ordered);
                while let Ok(news) = told.try_recv() {
                    hear(&mut mind, news, ordered);
                }
            }
            Some(_) = tasks.join_next() => while tasks.try_join_next().is_some() {},
            () = at(&fanout, look_at) => mind.open_eyes(),
            () = shutdown.requested() => {}
        }
    }
    finish(&fanout, &name, tasks, &give_up).await;
    if !shutdown.is_requested() && fanout.roster().entry(&name).is_none() {
        // A push that was under way while the subscription was deleted may have left something behind.
        if let Err(error) = fanout.outbox.cancel_all(&name).await {
            tracing::warn!(subscription = name, %error, "cannot cancel what waits for a deleted subscription");
        }
    }
}

/// The subscription as it is now; `None` when it was deleted, even if another of its name was made.
fn current(fanout: &Fanout, name: &str, bell: &Arc<Bell>) -> Option<Arc<Subscription>> {
    fanout.roster().entry(name).filter(|entry| Arc::ptr_eq(&entry.bell, bell)).map(|entry| Arc::clone(&entry.subscription))
}

fn hear(mind: &mut Mind, news: News, ordered: bool) {
    match news {
        News::TryEnded(lane) => {
            let count = mind.under_way.of(lane);
            *count = count.saturating_sub(1);
        }
        News::Settled(retry_at) => {
            mind.retries.extend(retry_at);
            if ordered {
                // The next one of that authorizer may go.
                mind.open_eyes();
            }
        }
    }
}

async fn at(fanout: &Fanout, time: Option<Timestamp>) {
    match time {
        Some(time) => fanout.clock.sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Claims what slots and rate allow and starts it. Returns when to look again, where nothing else will wake the worker.
async fn claim(
    fanout: &Fanout,
    subscription: &Subscription,
    mind: &mut Mind,
    mut start: impl FnMut(Claimed, Lane),
) -> Result<Option<Timestamp>, LogError> {
    let now = fanout.clock.now();
    if mind.retries.first().is_some_and(|at| *at <= now) {
        mind.retries = mind.retries.split_off(&now);
        mind.retries.remove(&now);
        *mind.lane(Lane::Retry) = false;
        mind.due = None;
    }
    let turns = schedule::turns(mind.pass);
    if let Some((Lane::Retry, _)) = turns.first() {
        // Retries decided before the last start become due without anybody ringing, and while the first lane is full nobody asks the
        // outbox when.
        *mind.lane(Lane::Retry) = false;
    }
    let concurrency = usize::try_from(subscription.concurrency).unwrap_or(1);
    let ordered = subscription.ordering == Ordering::Authorizer;
    let mut started = 0;
    for (lane, most) in turns {
        let limit = schedule::room(*lane, concurrency, mind.under_way, mind.pace.allowed(now)).min(*most);
        if limit == 0 || *mind.lane(*lane) {
            continue;
        }
        let claimed = fanout.outbox.claim(&subscription.name, *lane, now, lease(subscription, &fanout.options), limit, ordered).await?;
        *mind.lane(*lane) = claimed.len() < limit;
        *mind.under_way.of(*lane) += claimed.len();
        mind.pace.took(claimed.len(), now);
        started += claimed.len();
        claimed.into_iter().for_each(|one| start(one, *lane));
    }
    if started > 0 {
        mind.pass = mind.pass.wrapping_add(1);
        mind.patience = LOOK_AGAIN_FIRST;
    }
    if mind.empty == [true; 2] {
        // Claims asked with the same `now` have found all that was due; what is due later is worth a timer.
        if mind.due.is_none() {
            let due = fanout.outbox.next_due(&subscription.name).await?;
            mind.due = match due {
                Some(due) if due <= now => {
                    let again = schedule::later(now, mind.patience);
                    mind.patience = mind.patience.saturating_mul(2).min(LOOK_AGAIN);
                    Some(again)
                }
                due => due,
            };
        }
        return Ok(mind.due.into_iter().chain(mind.retries.first().copied()).min());
    }
    // A lane has more: a slot that gets free wakes the worker; a rate does not, nor does a retry, which has a slot of its own.
    let paced = if mind.pace.allowed(now) == 0 { Some(mind.pace.next()) } else { None };
    Ok(paced.or_else(|| mind.retries.first().copied()))
}

/// A claim lasts longer than any try and its settlement; after a crash it gives the delivery back.
fn lease(subscription: &Subscription, options: &Options) -> Duration {
    subscription.timeout.unwrap_or(options.timeout).saturating_mul(2).saturating_add(Duration::from_secs(60))
}

/// Waits for what is under way; what does not end within the grace period is given back untried.
async fn finish(fanout: &Fanout, name: &str, mut tasks: JoinSet<()>, give_up: &Shutdown) {
    let until = schedule::later(fanout.clock.now(), fanout.options.grace);
    tokio::select! {
        () = async { while tasks.join_next().await.is_some() {} } => return,
        () = fanout.clock.sleep_until(until) => {}
    }
    tracing::warn!(subscription = name, deliveries = tasks.len(), "deliveries did not end within the grace period: given back");
    give_up.request();
    while tasks.join_next().await.is_some() {}
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
        let made = || counter!("yizhan_deliveries_total", "subscription" => self.subscription.clone(), "outcome" => outcome);
        outcomes.entry(outcome).or_insert_with(made).increment(1);
    }
}

/// Tells that the slot is free, whatever became of the try.
struct Slot {
    lane: Lane,
    tell: mpsc::UnboundedSender<News>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Nobody listens any more when the worker has ended.
        let _ = self.tell.send(News::TryEnded(self.lane));
    }
}

/// One claimed delivery and all it takes to try and settle it.
struct Errand {
    fanout: Arc<Fanout>,
    sink: Arc<dyn Sink>,
    subscription: Arc<Subscription>,
    meters: Arc<Meters>,
    slot: Slot,
    give_up: Shutdown,
}

impl Errand {
    async fn run(self, claimed: Claimed) {
        let begun = std::time::Instant::now();
        let outcome = tokio::select! {
            outcome = self.sink.deliver(&self.subscription, &claimed) => Some(outcome),
            () = self.give_up.requested() => None,
        };
        let settlement = match outcome {
            Some(outcome) => self.judge(&claimed, outcome, begun.elapsed()).await,
            None => Settlement::Released,
        };
        let retry_at = match &settlement {
            Settlement::Retry(_, at) | Settlement::Deferred(_, at) => Some(*at),
            _ => None,
        };
        let Self { fanout, slot, give_up, .. } = self;
        let tell = slot.tell.clone();
        drop(slot);
        settle(&fanout, &claimed, settlement, &give_up).await;
        // As in `Slot`.
        let _ = tell.send(News::Settled(retry_at));
    }

    /// What follows from a try, with its one log line and its metrics.
    async fn judge(&self, claimed: &Claimed, outcome: Outcome, took: Duration) -> Settlement {
        let Claimed { delivery, event, .. } = claimed;
        let subscription = &self.subscription;
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
            Outcome::Gone(_) => {
                self.fanout.disable(&subscription.name, &subscription.url).await;
                ("gone", Settlement::Released)
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

/// One line per try.
fn note(delivery: &Delivery, settlement: &Settlement, outcome: &str, took: Duration) {
    let (attempt, next) = match settlement {
        Settlement::Delivered(attempt) | Settlement::Dead(attempt) => (Some(attempt), None),
        Settlement::Retry(attempt, at) => (Some(attempt), Some(at.to_string())),
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
        Settlement::Retry(..) | Settlement::Released => line!(warn),
        Settlement::Dead(_) => line!(error),
    }
}

/// Offers the settlement to the outbox until it is taken. A settlement that is lost is a delivery that is made again: at least once.
async fn settle(fanout: &Fanout, claimed: &Claimed, settlement: Settlement, give_up: &Shutdown) {
    let mut wait = Duration::from_millis(50);
    for _ in 0..SETTLE_TRIES {
        match fanout.outbox.settle(&claimed.delivery, settlement.clone()).await {
            Ok(()) => return,
            Err(error @ LogError::Full) if !give_up.is_requested() => {
                tracing::warn!(delivery.id = %claimed.delivery.id, %error, "delivery not settled; trying again");
            }
            Err(error) => {
                tracing::error!(delivery.id = %claimed.delivery.id, %error, "delivery not settled; it will be made again");
                return;
            }
        }
        tokio::select! {
            () = fanout.clock.sleep_until(schedule::later(fanout.clock.now(), wait)) => {}
            () = give_up.requested() => {}
        }
        wait = wait.saturating_mul(2);
    }
    tracing::error!(delivery.id = %claimed.delivery.id, "delivery not settled; it will be made again");
}
