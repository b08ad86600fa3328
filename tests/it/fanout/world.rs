//! A world in memory: outbox, log, book and jobs that do what their ports promise, a sink that does what a test says, and a clock moved by hand.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;
use yizhan::clock::{Clock, ManualClock, Timestamp};
use yizhan::event_type::{EventType, Glob};
use yizhan::fanout::delivery::{
    Attempt, Claimed, Deferred, Delivery, DeliveryFilter, Depth, Ended, Known, Lane, Settlement, Status, Wanted,
};
use yizhan::fanout::sink::{Outcome, Sink};
use yizhan::fanout::subscription::{BookError, Ordering, Origin, SigningKey, State};
use yizhan::fanout::{DeliveryId, Fanout, Options, Outbox, Sinks, Subscriber, Subscription, SubscriptionBook};
use yizhan::inbox::log::{Accepted, Arrival, Audience, EventLog, Expunged, LogError, Page, Position, Stretch};
use yizhan::inbox::replay::{Replay, ReplayLog};
use yizhan::inbox::{Event, EventFilter, EventId};
use yizhan::outbound::Guard;
use yizhan::secret::Secret;
use yizhan::shutdown::Shutdown;

pub const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// One delivery as the outbox keeps it.
#[derive(Debug, Clone)]
pub struct Row {
    pub delivery: Delivery,
    pub event: Event,
    pub sealed: Option<Secret>,
    pub claimed: bool,
    pub deferred: bool,
}

/// Outbox and log in one, as in the real store.
#[derive(Default)]
pub struct Memory {
    pub rows: Mutex<Vec<Row>>,
    pub events: Mutex<Vec<Event>>,
    /// Sequences of events that cannot be read.
    pub damaged: Mutex<Vec<u64>>,
    pub jobs: Mutex<Vec<Replay>>,
    pub book: Mutex<HashMap<String, Subscription>>,
    pub retired: Mutex<HashMap<String, Timestamp>>,
    /// Nothing is cancelled any more: whoever asks for it waits, as if the process had ended there.
    pub broken_off: AtomicBool,
    /// What waits cannot be read.
    pub uncancellable: AtomicBool,
    /// Subscriptions whose oldest delivery was asked for.
    pub aged: Mutex<Vec<String>>,
    /// The next call to the outbox or the log fails.
    pub trouble: AtomicBool,
    changes: watch::Sender<u64>,
}

impl Memory {
    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn trouble(&self) -> Result<(), LogError> {
        if self.trouble.swap(false, Atomic::SeqCst) { Err(LogError::Full) } else { Ok(()) }
    }

    /// Waits until the rows are as wanted.
    pub async fn until(&self, wanted: impl Fn(&[Row]) -> bool) {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            loop {
                changes.borrow_and_update();
                if wanted(&self.rows.lock().unwrap()) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), waiting).await.is_err() {
            panic!("never came: {:#?}", self.rows.lock().unwrap());
        }
    }

    pub async fn until_job(&self, wanted: impl Fn(&Replay) -> bool) {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            loop {
                changes.borrow_and_update();
                if self.jobs.lock().unwrap().iter().any(&wanted) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), waiting).await.is_err() {
            panic!("never came: {:#?}", self.jobs.lock().unwrap());
        }
    }

    /// What the book holds.
    pub fn stored(&self) -> Vec<Subscription> {
        self.book.lock().unwrap().values().cloned().collect()
    }

    fn pending(&self, subscription: &str) -> u64 {
        let rows = self.rows.lock().unwrap();
        let waits = |row: &&Row| row.delivery.subscription == subscription && row.delivery.status == Status::Pending;
        u64::try_from(rows.iter().filter(waits).count()).unwrap()
    }

    pub fn count(&self, status: Status) -> usize {
        self.rows.lock().unwrap().iter().filter(|row| row.delivery.status == status).count()
    }

    /// An event in the log, received at `at`.
    pub fn event(&self, component: &str, authorizer: &str, kind: EventType, at: Timestamp) -> Event {
        let mut events = self.events.lock().unwrap();
        let sequence = u64::try_from(events.len()).unwrap() + 1;
        let event = Event {
            sequence,
            id: EventId(Uuid::from_u128(u128::from(sequence))),
            component: component.to_owned(),
            platform: component.to_owned(),
            authorizer: Some(authorizer.to_owned()),
            kind,
            time: at,
            received_at: at,
            body: format!("{{\"id\":{sequence},\"text\":\"小程序\"}}").into(),
        };
        events.push(event.clone());
        event
    }

    pub fn put(&self, event: &Event, subscription: &str, at: Timestamp, failed: usize) -> DeliveryId {
        let mut rows = self.rows.lock().unwrap();
        let id = DeliveryId(Uuid::from_u128(1_000_000 + u128::try_from(rows.len()).unwrap()));
        let attempts = vec![Attempt { at, status: Some(500), duration_ms: 1, error: None, answer: None }; failed];
        let delivery = Delivery {
            id,
            event_id: event.id,
            event_sequence: event.sequence,
            subscription: subscription.to_owned(),
            ordering_key: format!("{}/{}", event.component, event.authorizer.as_deref().unwrap_or_default()),
            status: Status::Pending,
            attempts,
            next_attempt_at: Some(at),
            created_at: at,
            replay: None,
        };
        rows.push(Row { delivery, event: event.clone(), sealed: None, claimed: false, deferred: false });
        drop(rows);
        self.changed();
        id
    }
}

#[async_trait]
impl Outbox for Memory {
    async fn claim(
        &self,
        subscription: &str,
        lane: Lane,
        now: Timestamp,
        _: Duration,
        limit: usize,
        ordered: bool,
    ) -> Result<Vec<Claimed>, LogError> {
        self.trouble()?;
        let mut rows = self.rows.lock().unwrap();
        let mut places: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].delivery.subscription == subscription).collect();
        places.sort_by_key(|at| rows[*at].delivery.event_sequence);
        let mut claimed = Vec::new();
        let mut busy: Vec<String> = Vec::new();
        for at in places {
            let row = &mut rows[at];
            if row.delivery.status != Status::Pending || claimed.len() == limit {
                continue;
            }
            let blocked = ordered && busy.contains(&row.delivery.ordering_key);
            busy.push(row.delivery.ordering_key.clone());
            let is_first = row.delivery.attempts.is_empty() && !row.deferred;
            let due = row.delivery.next_attempt_at.is_some_and(|at| at <= now);
            if row.claimed || blocked || !due || is_first != (lane == Lane::First) {
                continue;
            }
            row.claimed = true;
            claimed.push(Claimed { delivery: row.delivery.clone(), event: row.event.clone(), sealed: row.sealed.clone() });
        }
        Ok(claimed)
    }

    async fn settle_all(&self, ended: Arc<[Ended]>) -> Result<(), LogError> {
        if !ended.is_empty() {
            self.trouble()?;
        }
        let mut rows = self.rows.lock().unwrap();
        for Ended { delivery, settlement } in ended.iter().cloned() {
            let row = rows.iter_mut().find(|row| row.delivery.id == delivery.id).unwrap();
            row.claimed = false;
            if let Settlement::Delivered(attempt) | Settlement::Retry(attempt, _) | Settlement::Gone(attempt, _) | Settlement::Dead(attempt) =
                &settlement
                && row.delivery.next_attempt_at.is_some_and(|due| attempt.at < due)
            {
                // Asked for again while it was tried: that try does not stand for the next one.
                continue;
            }
            let (attempt, status, next) = match settlement {
                Settlement::Delivered(attempt) => (Some(attempt), Status::Delivered, None),
                Settlement::Retry(attempt, at) | Settlement::Gone(attempt, at) => (Some(attempt), Status::Pending, Some(at)),
                Settlement::Dead(attempt) => (Some(attempt), Status::Dead, None),
                Settlement::Deferred(_, until) => {
                    row.deferred = true;
                    (None, Status::Pending, Some(until))
                }
                Settlement::Released => (None, row.delivery.status, row.delivery.next_attempt_at),
            };
            row.delivery.attempts.extend(attempt);
            if row.delivery.status == Status::Pending {
                row.delivery.status = status;
                row.delivery.next_attempt_at = next;
            }
        }
        drop(rows);
        self.changed();
        Ok(())
    }

    async fn enqueue(
        &self,
        events: &[EventId],
        subscription: &str,
        replay: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryId>, LogError> {
        self.trouble()?;
        if self.retired.lock().unwrap().contains_key(subscription) {
            return Ok(Vec::new());
        }
        let known = self.events.lock().unwrap().clone();
        let mut ids = Vec::new();
        for event in known.iter().filter(|event| events.contains(&event.id)) {
            let id = self.put(event, subscription, now, 0);
            let mut rows = self.rows.lock().unwrap();
            rows.last_mut().unwrap().delivery.replay = replay.map(str::to_owned);
            ids.push(id);
        }
        Ok(ids)
    }

    async fn next_due(&self, subscription: &str) -> Result<Option<Timestamp>, LogError> {
        let rows = self.rows.lock().unwrap();
        let waiting = rows.iter().filter(|row| row.delivery.subscription == subscription && !row.claimed);
        Ok(waiting.filter(|row| row.delivery.status == Status::Pending).filter_map(|row| row.delivery.next_attempt_at).min())
    }

    async fn deferred(&self, _: &str, _: Timestamp) -> Result<Deferred, LogError> {
        Ok(Deferred::default())
    }

    async fn depth(&self, subscription: &str) -> Result<Depth, LogError> {
        let rows = self.rows.lock().unwrap();
        let mut depth = Depth::default();
        for row in rows.iter().filter(|row| row.delivery.subscription == subscription) {
            match row.delivery.status {
                Status::Pending => depth.pending += 1,
                Status::Dead => depth.dead += 1,
                _ => {}
            }
        }
        Ok(depth)
    }

    async fn oldest(&self, subscription: &str) -> Result<Option<Timestamp>, LogError> {
        self.aged.lock().unwrap().push(subscription.to_owned());
        self.changed();
        let rows = self.rows.lock().unwrap();
        let waiting = rows.iter().filter(|row| row.delivery.subscription == subscription && row.delivery.status == Status::Pending);
        Ok(waiting.map(|row| row.delivery.created_at).min())
    }

    async fn retry(&self, id: DeliveryId, now: Timestamp) -> Result<Option<Delivery>, LogError> {
        let mut rows = self.rows.lock().unwrap();
        let Some(row) = rows.iter_mut().find(|row| row.delivery.id == id) else { return Ok(None) };
        (row.delivery.status, row.delivery.next_attempt_at) = (Status::Pending, Some(now));
        let retried = row.delivery.clone();
        drop(rows);
        self.changed();
        Ok(Some(retried))
    }

    async fn names(&self) -> Result<Vec<Known>, LogError> {
        let retired = self.retired.lock().unwrap();
        let mut names: Vec<String> = self.rows.lock().unwrap().iter().map(|row| row.delivery.subscription.clone()).collect();
        names.extend(retired.keys().cloned());
        names.sort();
        names.dedup();
        let known = |subscription: String| Known {
            pending: self.pending(&subscription),
            retired_at: retired.get(&subscription).copied(),
            subscription,
        };
        Ok(names.into_iter().map(known).collect())
    }

    async fn retire(&self, subscription: &str, now: Timestamp) -> Result<(), LogError> {
        self.retired.lock().unwrap().insert(subscription.to_owned(), now);
        Ok(())
    }

    async fn reinstate(&self, subscription: &str) -> Result<(), LogError> {
        if self.retired.lock().unwrap().contains_key(subscription) {
            self.cancel_all(subscription).await?;
            self.retired.lock().unwrap().remove(subscription);
        }
        Ok(())
    }

    async fn withdraw(&self, delivery: &Delivery) -> Result<(), LogError> {
        for row in self.rows.lock().unwrap().iter_mut().filter(|row| row.delivery.id == delivery.id) {
            if row.delivery.status == Status::Pending {
                row.delivery.status = Status::Cancelled;
            }
        }
        self.changed();
        Ok(())
    }

    async fn cancel_all(&self, subscription: &str) -> Result<u64, LogError> {
        if self.uncancellable.load(Atomic::SeqCst) {
            return Err(LogError::Damaged(String::from("what waits")));
        }
        while self.broken_off.load(Atomic::SeqCst) {
            tokio::task::yield_now().await;
        }
        let mut count = 0;
        for row in self.rows.lock().unwrap().iter_mut().filter(|row| row.delivery.subscription == subscription) {
            if row.delivery.status == Status::Pending {
                row.delivery.status = Status::Cancelled;
                count += 1;
            }
        }
        self.changed();
        Ok(count)
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, LogError> {
        Ok(self.rows.lock().unwrap().iter().find(|row| row.delivery.id == id).map(|row| row.delivery.clone()))
    }

    async fn count_events(&self, filter: &EventFilter, wanted: Wanted) -> Result<u64, LogError> {
        let rows = self.rows.lock().unwrap().clone();
        let is_wanted = |event: &&Event| {
            let deliveries: Vec<_> = rows.iter().filter(|row| row.event.id == event.id).map(|row| row.delivery.clone()).collect();
            filter.fits(event) && wanted(event, &deliveries)
        };
        Ok(u64::try_from(self.events.lock().unwrap().iter().filter(is_wanted).count()).unwrap())
    }

    async fn deliveries(&self, filter: &DeliveryFilter, _: Option<&Position>, limit: usize) -> Result<Page<Delivery>, LogError> {
        let rows = self.rows.lock().unwrap();
        let fits = |row: &&Row| {
            filter.status.is_none_or(|status| row.delivery.status == status)
                && filter.subscription.as_ref().is_none_or(|name| row.delivery.subscription == *name)
                && filter.event.as_ref().is_none_or(|id| row.event.id.to_string() == *id)
        };
        Ok(Page { items: rows.iter().rev().filter(fits).take(limit).map(|row| row.delivery.clone()).collect(), next: None })
    }
}

#[async_trait]
impl EventLog for Memory {
    async fn accept(&self, _: Arrival) -> Result<Accepted, LogError> {
        Ok(Accepted::Seen)
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, LogError> {
        Ok(self.events.lock().unwrap().iter().find(|event| event.id == id).cloned())
    }

    async fn page(&self, _: &EventFilter, _: Option<&Position>, _: usize) -> Result<Page<Event>, LogError> {
        Ok(Page { items: Vec::new(), next: None })
    }

    async fn following(&self, sequence: u64, limit: usize) -> Result<Stretch, LogError> {
        self.trouble()?;
        let damaged = self.damaged.lock().unwrap().clone();
        let mut stretch = Stretch { reached: sequence, ..Stretch::default() };
        for event in self.events.lock().unwrap().iter().filter(|event| event.sequence > sequence).take(limit) {
            stretch.reached = event.sequence;
            match damaged.contains(&event.sequence) {
                true => stretch.unreadable.push(event.sequence),
                false => stretch.events.push(event.clone()),
            }
        }
        Ok(stretch)
    }

    async fn sequence_before(&self, _: Timestamp) -> Result<u64, LogError> {
        Ok(0)
    }

    fn whole_from(&self) -> u64 {
        1
    }

    async fn count(&self, filter: &EventFilter) -> Result<u64, LogError> {
        Ok(u64::try_from(self.events.lock().unwrap().iter().filter(|event| filter.fits(event)).count()).unwrap())
    }

    fn newest(&self) -> watch::Receiver<u64> {
        let newest = self.events.lock().unwrap().last().map_or(0, |event| event.sequence);
        watch::channel(newest).1
    }

    fn timeline(&self) -> Option<u64> {
        None
    }

    async fn last_received(&self, _: &str, _: Option<&str>) -> Result<Option<Timestamp>, LogError> {
        Ok(None)
    }

    async fn expunge(&self, _: Timestamp) -> Result<Expunged, LogError> {
        Ok(Expunged::default())
    }
}

#[async_trait]
impl ReplayLog for Memory {
    async fn save(&self, replay: &Replay) -> Result<(), LogError> {
        let mut jobs = self.jobs.lock().unwrap();
        jobs.retain(|job| job.id != replay.id);
        jobs.push(replay.clone());
        drop(jobs);
        self.changed();
        Ok(())
    }

    async fn replay(&self, id: &str) -> Result<Option<Replay>, LogError> {
        Ok(self.jobs.lock().unwrap().iter().find(|job| job.id == id).cloned())
    }

    async fn replays(&self) -> Result<Vec<Replay>, LogError> {
        let jobs = self.jobs.lock().unwrap();
        Ok(jobs.iter().rev().take(200).cloned().collect())
    }

    async fn live(&self) -> Result<Vec<Replay>, LogError> {
        let jobs = self.jobs.lock().unwrap();
        Ok(jobs.iter().filter(|job| !job.state.is_over()).cloned().collect())
    }

    async fn outcome(&self, id: &str) -> Result<(u64, u64), LogError> {
        let rows = self.rows.lock().unwrap();
        let of = |status| rows.iter().filter(|row| row.delivery.replay.as_deref() == Some(id) && row.delivery.status == status).count();
        Ok((u64::try_from(of(Status::Delivered)).unwrap(), u64::try_from(of(Status::Dead)).unwrap()))
    }
}

#[async_trait]
impl SubscriptionBook for Memory {
    async fn load(&self) -> Result<Vec<Subscription>, BookError> {
        Ok(self.stored())
    }

    async fn put(&self, subscription: &Subscription) -> Result<(), BookError> {
        self.book.lock().unwrap().insert(subscription.name.clone(), subscription.clone());
        self.changed();
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), BookError> {
        self.book.lock().unwrap().remove(name);
        Ok(())
    }
}

/// What the scripted handler does with one try.
#[derive(Debug, Clone)]
pub enum Deed {
    Take,
    Fail,
    FailUntil(Timestamp),
    Refuse,
    /// Not before then.
    Wait(Timestamp),
    Gone,
    /// Says nothing until [`World::let_go`].
    Hang,
    Panic,
}

type Script = dyn Fn(&Subscription, &Claimed) -> Deed + Send + Sync;

/// One try as the handler saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    pub subscription: String,
    pub authorizer: String,
    pub sequence: u64,
    pub attempt: usize,
    pub at: Timestamp,
}

struct Scripted {
    script: Arc<Script>,
    clock: Arc<ManualClock>,
    tell: mpsc::UnboundedSender<Try>,
    let_go: watch::Receiver<bool>,
}

#[async_trait]
impl Sink for Scripted {
    async fn deliver(&self, subscription: &Subscription, claimed: &Claimed) -> Outcome {
        let at = self.clock.now();
        let _ = self.tell.send(Try {
            subscription: subscription.name.clone(),
            authorizer: claimed.event.authorizer.clone().unwrap_or_default(),
            sequence: claimed.event.sequence,
            attempt: claimed.delivery.attempts.len() + 1,
            at,
        });
        let attempt = Attempt { at, status: Some(200), duration_ms: 1, error: None, answer: None };
        match (self.script)(subscription, claimed) {
            Deed::Take => Outcome::Delivered(attempt),
            Deed::Fail => Outcome::Failed(attempt, None),
            Deed::FailUntil(at) => Outcome::Failed(attempt, Some(at)),
            Deed::Wait(until) => Outcome::Deferred(attempt, until),
            Deed::Refuse => Outcome::Refused(attempt),
            Deed::Gone => Outcome::Gone(attempt),
            Deed::Panic => panic!("a sink with a fault"),
            Deed::Hang => {
                let _ = self.let_go.clone().wait_for(|go| *go).await;
                Outcome::Delivered(attempt)
            }
        }
    }
}

pub struct World {
    pub memory: Arc<Memory>,
    pub clock: Arc<ManualClock>,
    pub fanout: Arc<Fanout>,
    pub shutdown: Shutdown,
    tries: mpsc::UnboundedReceiver<Try>,
    let_go: watch::Sender<bool>,
}

pub fn start_of_time() -> Timestamp {
    "2026-11-20T08:00:00Z".parse().unwrap()
}

/// A subscription of the file with a short retry table: 10 s, 60 s, then dead.
pub fn subscription(name: &str) -> Subscription {
    Subscription {
        name: name.to_owned(),
        origin: Origin::File,
        url: String::from("https://handler.example.com/hook"),
        keys: vec![SigningKey { secret: Secret::new(SECRET), until: None }],
        events: vec![Glob::new("*")],
        components: Vec::new(),
        ordering: Ordering::None,
        concurrency: 4,
        rate: None,
        retry: None,
        timeout: None,
        state: State::Active,
        created_at: start_of_time(),
    }
}

pub fn options() -> Options {
    Options {
        retry: vec![Duration::from_secs(10), Duration::from_secs(60)],
        timeout: Duration::from_secs(15),
        concurrency: 4,
        grace: Duration::from_secs(5),
        components: vec![String::from("baidu"), String::from("douyin")],
        guard: Guard::default(),
    }
}

impl World {
    /// Nothing runs yet.
    pub async fn still(
        memory: Arc<Memory>,
        subscriptions: Vec<Subscription>,
        script: impl Fn(&Subscription, &Claimed) -> Deed + Send + Sync + 'static,
    ) -> Self {
        let clock = Arc::new(ManualClock::starting_at(start_of_time()));
        let (tell, tries) = mpsc::unbounded_channel();
        let (let_go, waits) = watch::channel(false);
        let sink: Arc<dyn Sink> = Arc::new(Scripted { script: Arc::new(script), clock: Arc::clone(&clock), tell, let_go: waits });
        let internal = vec![Subscriber { subscription: Subscription::vault(start_of_time()), sink: Arc::clone(&sink) }];
        let fanout = Fanout::open(
            Arc::clone(&memory) as _,
            Arc::clone(&memory) as _,
            memory.stored(),
            subscriptions,
            Sinks { webhook: sink, internal, held: Vec::new() },
            options(),
            Arc::clone(&clock) as _,
        )
        .await
        .unwrap();
        Self { memory, clock, fanout, shutdown: Shutdown::default(), tries, let_go }
    }

    /// Everything runs.
    pub async fn new(subscriptions: Vec<Subscription>, script: impl Fn(&Subscription, &Claimed) -> Deed + Send + Sync + 'static) -> Self {
        let world = Self::still(Arc::default(), subscriptions, script).await;
        world.run();
        world
    }

    pub fn run(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.fanout).run(self.shutdown.clone()))
    }

    /// An event of that authorizer, enqueued for that subscription, as an accepted push would do.
    pub fn push(&self, subscription: &str, authorizer: &str) -> Event {
        let event = self.memory.event("douyin", authorizer, EventType::AuditPassed, self.clock.now());
        self.memory.put(&event, subscription, self.clock.now(), 0);
        self.fanout.nudge(&[subscription.to_owned()]);
        event
    }

    /// Everything is asked for again, as by a replay.
    pub fn ask_again(&self, subscription: &str) {
        for row in self.memory.rows.lock().unwrap().iter_mut() {
            row.delivery.next_attempt_at = Some(self.clock.now());
        }
        self.fanout.nudge(&[subscription.to_owned()]);
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by.try_into().unwrap());
    }

    /// The next try that any handler saw.
    pub async fn next_try(&mut self) -> Try {
        tokio::time::timeout(Duration::from_secs(20), self.tries.recv()).await.expect("a delivery is tried").unwrap()
    }

    pub async fn next_tries(&mut self, count: usize) -> Vec<Try> {
        let mut tries = Vec::new();
        for _ in 0..count {
            tries.push(self.next_try().await);
        }
        tries
    }

    /// Nothing is tried, however often everybody else gets a turn.
    pub async fn nothing_is_tried(&mut self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.tries.try_recv().ok(), None);
    }

    /// Those that hang answer now.
    pub fn let_go(&self) {
        self.let_go.send_replace(true);
    }
}

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it ends")
}
