//! Carries out bulk replays: looks through the log at the job's rate, enqueues what fits, remembers how far it came.
//!
//! The cursor is stored after each small batch. A crash between a batch and its cursor repeats that batch, which replaces what still waits:
//! at least once, as everywhere.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use uuid::{NoContext, Uuid};

use super::delivery::{Delivery, DeliveryFilter, Outbox, Status, Wanted};
use super::{Fanout, schedule};
use crate::clock::{Clock, Timestamp};
use crate::inbox::event::{Event, EventFilter, EventId};
use crate::inbox::log::{EventLog, LogError};
use crate::inbox::replay::{Replay, ReplayLog, ReplayState};
use crate::shutdown::Shutdown;

/// Slowest and fastest replay, events per second.
pub const RATES: RangeInclusive<u32> = 1..=10_000;

/// Events enqueued together at most.
const MOST_BATCH: u32 = 500;

/// Events read from the log at a time.
const LOOK_AT: usize = 500;

/// Jobs that run or are paused at a time.
pub const MOST_LIVE: usize = 100;
/// Of these, those whose filter names the same component.
pub const MOST_OF_ONE: usize = 25;

/// The log is in the order of acceptance, `until` goes by the time of receipt: these differ by as long as a push may wait for the store.
const OUT_OF_ORDER: Duration = Duration::from_secs(60);

/// Wait after the store did not answer.
const STORE_TROUBLE: Duration = Duration::from_secs(1);
/// How often is looked for jobs that nobody told of.
const LOOKED_EVERY: Duration = Duration::from_secs(60);

/// What was read of the log and not looked at yet, by sequence; `None` where it is damaged.
type Ahead = BTreeMap<u64, Option<Event>>;

/// Why a replay was not started.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No subscription of that name.
    #[error("there is no subscription `{0}`")]
    UnknownSubscription(String),
    /// The rate is 0 or above 10,000.
    #[error("the rate is not between 1 and 10000")]
    Rate,
    /// There are as many as may be that run or are paused: these, or these of that component.
    #[error("{} replays run or are paused already, and no more of them may", .0.len())]
    Crowded(Vec<Replay>),
    /// The store does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The replay jobs.
pub struct Replays {
    log: Arc<dyn EventLog>,
    jobs: Arc<dyn ReplayLog>,
    outbox: Arc<dyn Outbox>,
    fanout: Arc<Fanout>,
    clock: Arc<dyn Clock>,
    /// A batch and a person's word on the same job must not overwrite each other.
    writing: Mutex<()>,
    /// A job was started or resumed.
    started: Notify,
}

impl Replays {
    /// Jobs over that log, for the subscriptions of that fan-out.
    #[must_use]
    pub fn new(
        log: Arc<dyn EventLog>,
        jobs: Arc<dyn ReplayLog>,
        outbox: Arc<dyn Outbox>,
        fanout: Arc<Fanout>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { log, jobs, outbox, fanout, clock, writing: Mutex::new(()), started: Notify::new() }
    }

    /// How many events fit, of those that that subscription wants, or of all: the preview.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn preview(&self, filter: &EventFilter, subscription: Option<&str>) -> Result<u64, LogError> {
        let (fanout, named) = (Arc::clone(&self.fanout), subscription.map(str::to_owned));
        let wanted: Wanted = match (filter.status, named) {
            (None, None) => return self.log.count(filter).await,
            (None, Some(name)) => Arc::new(move |event, _| fanout.wants(&name, event)),
            (Some(status), named) => {
                Arc::new(move |event, deliveries| !fanout.missing(event, deliveries, stored(status), named.as_deref()).is_empty())
            }
        };
        self.outbox.count_events(filter, wanted).await
    }

    /// A job that is not begun yet, with what it matches. Nothing is lost with one that nobody waits for any more.
    ///
    /// # Errors
    /// The subscription is unknown, or the rate out of range.
    pub async fn plan(&self, filter: EventFilter, subscription: Option<String>, rate: u32) -> Result<Replay, ReplayError> {
        let target =
            subscription.as_ref().map(|name| self.fanout.subscription(name).ok_or_else(|| ReplayError::UnknownSubscription(name.clone())));
        let target = target.transpose()?;
        if !RATES.contains(&rate) {
            return Err(ReplayError::Rate);
        }
        let now = self.clock.now();
        let filter = EventFilter { until: Some(filter.until.map_or(now, |until| until.min(now))), ..filter };
        let matched = self.preview(&filter, subscription.as_deref()).await?;
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, u32::try_from(now.subsec_nanosecond()).unwrap_or_default()));
        Ok(Replay {
            id: format!("rpl_{}", id.as_simple()),
            filter,
            subscription,
            rate,
            state: ReplayState::Running,
            matched,
            enqueued: 0,
            unreadable: 0,
            cursor: 0,
            // One that was made while the clock was ahead must not count as made after its job.
            created_at: target.map_or(now, |one| now.max(one.created_at)),
            ended_at: None,
        })
    }

    /// Begins a job that was planned.
    ///
    /// # Errors
    /// There are as many as may be.
    pub async fn begin(&self, replay: Replay) -> Result<Replay, ReplayError> {
        let _alone = self.writing.lock().await;
        let mut live = self.jobs.live().await?;
        if live.len() < MOST_LIVE {
            // A key for one component's events must name it, and so fills no more than this.
            live.retain(|other| other.filter.component.is_some() && other.filter.component == replay.filter.component);
            if live.len() < MOST_OF_ONE {
                live.clear();
            }
        }
        if !live.is_empty() {
            return Err(ReplayError::Crowded(live));
        }
        self.jobs.save(&replay).await?;
        let Replay { id, matched, subscription, rate, .. } = &replay;
        tracing::info!(replay = id, matched, subscription, rate, "replay started");
        self.started.notify_one();
        Ok(replay)
    }

    /// One job with deliveries delivered and dead.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn replay(&self, id: &str) -> Result<Option<(Replay, u64, u64)>, LogError> {
        let Some(replay) = self.jobs.replay(id).await? else { return Ok(None) };
        let (delivered, dead) = self.jobs.outcome(id).await?;
        Ok(Some((replay, delivered, dead)))
    }

    /// Pauses, resumes or cancels; `None` when there is no such job. A finished job stays as it is, and nobody can finish one by word.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn set_state(&self, id: &str, state: ReplayState) -> Result<Option<Replay>, LogError> {
        let _alone = self.writing.lock().await;
        let Some(mut replay) = self.jobs.replay(id).await? else { return Ok(None) };
        if !replay.state.is_over() && state != ReplayState::Done && state != replay.state {
            self.turn(&mut replay, state);
            self.jobs.save(&replay).await?;
            tracing::info!(replay = id, ?state, "replay's state set");
        }
        // Also for one that runs already: whoever asks again may do so because nothing happens.
        self.started.notify_one();
        Ok(Some(replay))
    }

    fn turn(&self, job: &mut Replay, state: ReplayState) {
        job.state = state;
        job.ended_at = state.is_over().then(|| self.clock.now());
    }

    /// Carries out what runs, and what ran before a restart, until shutdown.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut working = JoinSet::new();
        let mut at_work: HashMap<tokio::task::Id, String> = HashMap::new();
        while !shutdown.is_requested() {
            let mut trouble = false;
            match self.jobs.live().await {
                Ok(live) => {
                    for Replay { id, .. } in live.into_iter().filter(|replay| replay.state == ReplayState::Running) {
                        if !at_work.values().any(|at_work| *at_work == id) {
                            let task = working.spawn(Arc::clone(&self).carry_out(id.clone(), shutdown.clone()));
                            at_work.insert(task.id(), id);
                        }
                    }
                }
                Err(error) => {
                    trouble = true;
                    tracing::warn!(%error, "cannot read the replay jobs; trying again");
                }
            }
            tokio::select! {
                () = self.started.notified() => {}
                Some(ended) = working.join_next_with_id() => {
                    at_work.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                // Every now and then in any case: whoever started one may have been interrupted before it was told here.
                () = self.wait(if trouble { STORE_TROUBLE } else { LOOKED_EVERY }) => {}
                () = shutdown.requested() => {}
            }
        }
        while working.join_next().await.is_some() {}
    }

    async fn wait(&self, span: Duration) {
        self.clock.sleep_until(schedule::later(self.clock.now(), span)).await;
    }

    /// Batch after batch until the job is done or stopped.
    async fn carry_out(self: Arc<Self>, id: String, shutdown: Shutdown) {
        let mut ahead = Ahead::new();
        // What was stored before is looked at whatever its time: while the clock was ahead, an event may have come that seems to be later than others
        // behind it.
        let stored = *self.log.newest().borrow();
        while !shutdown.is_requested() {
            let begun = self.clock.now();
            let next = match self.batch(&id, stored, &mut ahead).await {
                Ok(Some(span)) => schedule::later(begun, span),
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(replay = id, %error, "replay stopped by the store; trying again");
                    ahead.clear();
                    schedule::later(begun, STORE_TROUBLE)
                }
            };
            tokio::select! {
                () = self.clock.sleep_until(next) => {}
                () = shutdown.requested() => {}
            }
        }
    }

    /// One batch; nothing beyond the sequence `stored` needs be looked at once the job's time is over. Returns how long it may take at the job's rate,
    /// `None` when there is nothing more to do.
    async fn batch(&self, id: &str, stored: u64, ahead: &mut Ahead) -> Result<Option<Duration>, LogError> {
        let _alone = self.writing.lock().await;
        let Some(mut job) = self.jobs.replay(id).await?.filter(|job| job.state == ReplayState::Running) else { return Ok(None) };
        // One that was made since under the same name is another, and asked for nothing.
        let is_gone = |name: &String| self.fanout.subscription(name).is_none_or(|one| one.created_at > job.created_at);
        if job.subscription.as_ref().is_some_and(is_gone) {
            tracing::warn!(replay = id, subscription = job.subscription, "replay cancelled: its subscription was deleted");
            self.turn(&mut job, ReplayState::Cancelled);
            self.jobs.save(&job).await?;
            return Ok(None);
        }
        if ahead.is_empty() {
            let stretch = self.log.following(job.cursor, LOOK_AT).await?;
            ahead.extend(stretch.events.into_iter().map(|event| (event.sequence, Some(event))));
            ahead.extend(stretch.unreadable.into_iter().map(|sequence| (sequence, None)));
        }
        let size = usize::try_from((job.rate / 10).clamp(1, MOST_BATCH)).unwrap_or(1);
        let last = job.filter.until.map_or(Timestamp::MAX, |until| schedule::later(until, OUT_OF_ORDER));
        let mut fitting = Vec::new();
        let mut at_end = ahead.is_empty();
        while fitting.len() < size {
            let Some((sequence, event)) = ahead.pop_first() else { break };
            if sequence > stored && event.as_ref().is_some_and(|event| event.received_at > last) {
                at_end = true;
                break;
            }
            job.cursor = sequence;
            let names = match &event {
                Some(event) => self.addressees(&job, event).await,
                None => Err(LogError::Damaged(String::from("the event"))),
            };
            match names {
                Ok(Some(names)) => fitting.extend(event.map(|event| (event.id, names))),
                Ok(None) => {}
                // One that cannot be read, or whose deliveries cannot, keeps back none of the others.
                Err(LogError::Damaged(error)) => {
                    tracing::error!(replay = id, event.sequence = sequence, error, "an event is damaged, and is not sent again");
                    job.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        let fitted = u32::try_from(fitting.len()).unwrap_or(u32::MAX);
        job.enqueued += self.enqueue(&job, fitting).await?;
        if at_end {
            self.turn(&mut job, ReplayState::Done);
        }
        self.jobs.save(&job).await?;
        if at_end {
            tracing::info!(replay = id, enqueued = job.enqueued, unreadable = job.unreadable, "replay done");
            return Ok(None);
        }
        Ok(Some(Duration::from_secs(1).saturating_mul(fitted) / job.rate.max(1)))
    }

    /// Hands a batch to the outbox, per subscription in the order of the events.
    async fn enqueue(&self, job: &Replay, events: Vec<(EventId, Vec<String>)>) -> Result<u64, LogError> {
        let mut wanted: HashMap<String, Vec<EventId>> = HashMap::new();
        for (event, names) in events {
            for name in names {
                wanted.entry(name).or_default().push(event);
            }
        }
        let mut enqueued = 0u64;
        for (name, ids) in wanted {
            // `None`: deleted since it was looked up. A job for it alone ends with the next batch.
            let made = self.fanout.send(&ids, &name, Some(&job.id)).await?;
            enqueued += u64::try_from(made.map_or(0, |made| made.len())).unwrap_or_default();
        }
        Ok(enqueued)
    }

    /// Whom an event is sent to; `None` where it does not fit.
    async fn addressees(&self, job: &Replay, event: &Event) -> Result<Option<Vec<String>>, LogError> {
        if !job.filter.fits(event) {
            return Ok(None);
        }
        let subscription = job.subscription.as_deref();
        let Some(status) = job.filter.status else {
            return Ok(match subscription {
                Some(name) => self.fanout.wants(name, event).then(|| vec![name.to_owned()]),
                None => Some(self.fanout.matching(event)),
            });
        };
        let asked = DeliveryFilter { event: Some(event.id.to_string()), ..DeliveryFilter::default() };
        let (mut deliveries, mut after) = (Vec::new(), None);
        loop {
            let page = self.outbox.deliveries(&asked, after.as_ref(), LOOK_AT).await?;
            deliveries.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(Some(self.fanout.missing(event, &deliveries, stored(status), subscription)).filter(|names| !names.is_empty()))
    }
}

impl Fanout {
    /// Of the one named, if it wants the event, or else of all that match, those for which it stands in that status.
    ///
    /// What a subscription has a delivery of is judged by its own, and by nobody else's: a dead letter of another, or of ours, is no reason to send it
    /// again what it has. The one named may besides come in the place of those that are gone, as after a new name: where it has no delivery, those of names
    /// that nobody bears any more count for it.
    fn missing(&self, event: &Event, deliveries: &[Delivery], status: Status, subscription: Option<&str>) -> Vec<String> {
        let own = |name: &str| {
            let mut own = deliveries.iter().filter(|delivery| delivery.subscription == name).peekable();
            own.peek().is_some().then(|| own.any(|delivery| delivery.status == status))
        };
        let Some(name) = subscription else {
            return self.matching(event).into_iter().filter(|name| own(name) == Some(true)).collect();
        };
        if !self.wants(name, event) {
            return Vec::new();
        }
        let roster = self.roster();
        let is_gone = |delivery: &Delivery| roster.entry(&delivery.subscription).is_none();
        let wants = own(name).unwrap_or_else(|| deliveries.iter().any(|delivery| delivery.status == status && is_gone(delivery)));
        if wants { vec![name.to_owned()] } else { Vec::new() }
    }
}

/// As the outbox has it: held is how pending reads.
fn stored(status: Status) -> Status {
    if status == Status::Held { Status::Pending } else { status }
}
