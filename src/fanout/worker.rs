//! The worker of one subscription: it claims deliveries and hires [carriers](super::carrier) for them. It only sleeps, calls and logs; what is decided
//! is decided in [`schedule`] and by the sink.
//!
//! A slot is free again when its try has ended; settling goes on beside it, so that the store can commit many settlements together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::carrier::{Errand, News, Team};
use super::delivery::Lane;
use super::roster::Bell;
use super::schedule::{self, Pace, UnderWay};
use super::settling;
use super::sink::Sink;
use super::subscription::{Ordering, State, Subscription};
use super::{Fanout, Options};
use crate::clock::Timestamp;
use crate::inbox::log::LogError;
use crate::shutdown::Shutdown;

/// When something is due but was not handed out (a claim looks at so many and no more, an older one of its authorizer is under way), it is
/// looked again after this, then after twice as long, up to [`LOOK_AGAIN`].
const LOOK_AGAIN_FIRST: Duration = Duration::from_millis(2);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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

    fn hear(&mut self, news: News) {
        match news {
            News::Free(lane) => {
                let count = self.under_way.of(lane);
                *count = count.saturating_sub(1);
            }
            News::Half => {}
            News::Settled(retries) => {
                self.retries.extend(retries);
                // The next ones of those authorizers may go, where order is kept; and what was asked for again meanwhile.
                self.open_eyes();
            }
        }
    }

    /// How many first attempts may be claimed before there is a slot for them: none where a rate, an order or a waiting retry may decide otherwise
    /// by then.
    fn ahead(&mut self, subscription: &Subscription, concurrency: usize, team: &Team) -> usize {
        let is_free = subscription.rate.is_none() && subscription.ordering == Ordering::None;
        if is_free && *self.lane(Lane::Retry) { schedule::ahead(concurrency, team.ended()) } else { 0 }
    }
}

/// Works until shutdown, or until the subscription is deleted.
pub(super) async fn work(fanout: Arc<Fanout>, name: String, bell: Arc<Bell>, sink: Arc<dyn Sink>, shutdown: Shutdown) {
    let (tell, told) = mpsc::unbounded_channel();
    let (ended, waiting) = mpsc::channel(settling::MOST_WAITING);
    let team = Team::new(&fanout, &name, &bell, &shutdown, ended, tell.clone());
    let give_up = team.give_up.clone();
    // Settling ends when the last one who could have tried something is gone.
    tokio::join!(lead(team, told, bell, sink, &shutdown), settling::settle(&fanout, &name, waiting, tell, &give_up));
}

/// Claims and hires.
async fn lead(team: Arc<Team>, mut told: mpsc::UnboundedReceiver<News>, bell: Arc<Bell>, sink: Arc<dyn Sink>, shutdown: &Shutdown) {
    let fanout = Arc::clone(&team.fanout);
    let mut carriers = JoinSet::new();
    let mut errand: Option<Arc<Errand>> = None;
    let mut mind = Mind {
        under_way: UnderWay::default(),
        pace: Pace::new(None, fanout.clock.now()),
        pass: 0,
        empty: [false; 2],
        patience: LOOK_AGAIN_FIRST,
        due: None,
        retries: BTreeSet::new(),
    };
    while !shutdown.is_requested() {
        let Some(subscription) = team.current() else { break };
        let known = errand.take().filter(|errand| Arc::ptr_eq(&errand.subscription, &subscription));
        if known.is_none() {
            // What was claimed ahead was claimed for a subscription that was another one then.
            team.give_back().await;
            mind.open_eyes();
            mind.pace.set_rate(subscription.rate);
        }
        let present = known.unwrap_or_else(|| Errand::new(subscription, &sink));
        let mut look_at = None;
        if present.subscription.state == State::Active {
            look_at = claim(&team, &present, &mut mind, &mut carriers).await.unwrap_or_else(|error| {
                tracing::warn!(subscription = team.name, %error, "cannot claim deliveries; trying again");
                Some(schedule::later(fanout.clock.now(), LOOK_AGAIN))
            });
        }
        errand = Some(present);
        tokio::select! {
            () = bell.0.notified() => mind.open_eyes(),
            Some(news) = told.recv() => {
                mind.hear(news);
                while let Ok(news) = told.try_recv() {
                    mind.hear(news);
                }
            }
            Some(_) = carriers.join_next() => while carriers.try_join_next().is_some() {},
            () = at(&fanout, look_at) => mind.open_eyes(),
            () = shutdown.requested() => {}
        }
    }
    team.give_back().await;
    finish(&team, carriers).await;
}

async fn at(fanout: &Fanout, time: Option<Timestamp>) {
    match time {
        Some(time) => fanout.clock.sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Claims what slots and rate allow and starts it. Returns when to look again, where nothing else will wake the worker.
async fn claim(team: &Arc<Team>, errand: &Arc<Errand>, mind: &mut Mind, carriers: &mut JoinSet<()>) -> Result<Option<Timestamp>, LogError> {
    let (fanout, subscription) = (&team.fanout, &errand.subscription);
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
        let slots = schedule::room(*lane, concurrency, mind.under_way, mind.pace.allowed(now)).min(*most);
        let limit = match lane {
            Lane::First => slots.saturating_add(mind.ahead(subscription, concurrency, team)).saturating_sub(team.ahead()),
            Lane::Retry => slots,
        };
        let mut claimed = Vec::new();
        if limit > 0 && !*mind.lane(*lane) {
            claimed = fanout.outbox.claim(&subscription.name, *lane, now, lease(subscription, &fanout.options), limit, ordered).await?;
            *mind.lane(*lane) = claimed.len() < limit;
        }
        if *lane == Lane::First {
            claimed = team.line_up(claimed, slots);
        }
        *mind.under_way.of(*lane) += claimed.len();
        mind.pace.took(claimed.len(), now);
        started += claimed.len();
        for one in claimed {
            carriers.spawn(Arc::clone(team).carry(Arc::clone(errand), *lane, one));
        }
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

/// A claim lasts longer than the try before it in its slot, its own try and its settlement; after a crash it gives the delivery back.
fn lease(subscription: &Subscription, options: &Options) -> Duration {
    subscription.timeout.unwrap_or(options.timeout).saturating_mul(2).saturating_add(Duration::from_secs(60))
}

/// Waits for what is under way; what does not end within the grace period is given back untried.
async fn finish(team: &Team, mut carriers: JoinSet<()>) {
    let fanout = &team.fanout;
    let until = schedule::later(fanout.clock.now(), fanout.options.grace);
    tokio::select! {
        () = async { while carriers.join_next().await.is_some() {} } => return,
        () = fanout.clock.sleep_until(until) => {}
    }
    tracing::warn!(subscription = team.name, deliveries = carriers.len(), "deliveries did not end within the grace period: given back");
    team.give_up.request();
    while carriers.join_next().await.is_some() {}
}
