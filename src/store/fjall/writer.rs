//! The one writer of the log: everything that must be durable passes through [`Writer`], which turns a group of jobs into one atomic batch.
//!
//! Being alone, it reads before it writes without locks: whether a message was seen, where a delivery stands, how much waits. Jobs of one group
//! that touch the same delivery end up in two batches, so each sees what the one before it did.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Keyspace, OwnedWriteBatch, PersistMode, Snapshot};
use tokio::sync::oneshot;

use super::answers::{self, Asker};
use super::days;
use super::facts::Found;
use super::lines::{Change, lock};
use super::postings::Postings;
use super::record;
use super::records::{self, Swap, Touched};
use super::seen::Seen;
use super::{Store, damaged, meta, reseal, retention, survived};
use crate::clock::Timestamp;
use crate::fanout::delivery::{Delivery, DeliveryId, Ended};
use crate::inbox::fact::Fact;
use crate::inbox::{Accepted, EventId, LogError, MessageHash};
use crate::store::commit::Commit;
use crate::vault::audit::Read;

/// An arrival made ready outside the thread: encoded, sealed, hashed.
pub struct Incoming {
    pub mark: MessageHash,
    pub id: EventId,
    pub received_at: Timestamp,
    pub component: String,
    pub authorizer: Option<String>,
    pub kind: &'static str,
    /// The event as stored.
    pub value: Vec<u8>,
    /// What keeps its deliveries in order.
    pub order: u64,
    /// Per subscription its delivery.
    pub deliveries: Vec<(String, DeliveryId)>,
    /// What it tells, as it stands beside its authorizer's key.
    pub note: Vec<u8>,
    /// What it tells.
    pub fact: Option<Fact>,
}

impl Incoming {
    /// Whether it was found by asking.
    fn was_found(&self) -> bool {
        self.fact.as_ref().is_some_and(Fact::could_be_told_by_pushes)
    }
}

/// One put (or removal) of a generic write.
pub type Put = (Keyspace, Vec<u8>, Option<Bytes>);

/// To whoever asked for something that may meet damage.
pub type Answer<T> = oneshot::Sender<Result<T, LogError>>;

/// Why nothing is written once the engine has given up. It does so where it merges tables, too: such damage ends each life of a service soon after its start.
const ENDED: &str = "the engine writes no more: it met a damaged table, or a disk that failed, and said so in the log before this; where `yizhan check --store` \
     names damage, `yizhan backup --offline FILE` keeps all that can be read, and `yizhan restore --replace FILE` goes on from there";

/// What the thread is asked to do.
pub enum Job {
    /// Stores an event with everything that belongs to it.
    Accept(Box<Incoming>, Asker),
    /// Records tries of claimed deliveries, from that one on, and what follows.
    Settle { ended: Arc<[Ended]>, from: usize, answer: oneshot::Sender<()> },
    /// Enqueues stored events, few at a time.
    Enqueue { events: Vec<EventId>, subscription: String, replay: Option<String>, now: Timestamp, answer: Answer<Vec<DeliveryId>> },
    /// Makes one delivery due now.
    Retry(DeliveryId, Timestamp, Answer<Option<Delivery>>),
    /// Lets nothing come to wait for a subscription from that moment on; without one, lets it again.
    Retire { subscription: String, at: Option<Timestamp>, answer: oneshot::Sender<()> },
    /// Cancels some deliveries from that sequence on; answers how many and where to go on.
    Cancel { subscription: String, from: u64, answer: Answer<(u64, Option<u64>)> },
    /// Cancels a waiting delivery; one whose event or record is gone is taken out.
    Forget { subscription: String, sequence: u64, id: DeliveryId, answer: Answer<()> },
    /// Makes a waiting delivery that cannot be read a dead letter.
    Spoilt { subscription: String, sequence: u64, id: DeliveryId, now: Timestamp, answer: Answer<()> },
    /// Builds the order keys of a subscription from that sequence on; answers where to go on.
    Order { subscription: String, from: u64, answer: Answer<Option<u64>> },
    /// Writes as told.
    Put(Vec<Put>, oneshot::Sender<()>),
    /// Writes records, all or none.
    Swap(Vec<Swap>, Answer<bool>),
    /// Appends to the read audit.
    Reads(Vec<Read>, oneshot::Sender<()>),
    /// One step of retention, alone.
    Retention(retention::Step, Answer<retention::Progress>),
    /// One step of sealing again, alone.
    Reseal(reseal::Place, Answer<reseal::Resealed>),
    /// Every keyspace by name, and one moment of all of them: asked here, where none is dropped meanwhile.
    Everything(oneshot::Sender<(Vec<(String, Keyspace)>, Snapshot)>),
    /// Later sequences are above that one.
    ContinueAfter(u64, oneshot::Sender<()>),
}

/// What a batch does besides its puts, once it is durable.
#[derive(Default)]
pub struct Aftermath {
    answers: Vec<Box<dyn FnOnce() + Send>>,
    accepted: Vec<(Asker, Accepted)>,
    changes: Vec<(String, u64, u64, Change)>,
    releases: Vec<(String, u64, DeliveryId)>,
}

/// How deliveries of a replay ended.
struct Outcome {
    before: (u64, u64),
    change: (i64, i64),
}

/// A batch being filled.
pub struct Group {
    pub batch: OwnedWriteBatch,
    pub marks: HashSet<MessageHash>,
    /// Lists of its events.
    pub postings: Postings,
    touched: HashSet<(String, u64)>,
    /// Versions of the records that this batch writes.
    pub records: Touched,
    /// Records of facts as this batch writes them.
    pub facts: HashMap<Vec<u8>, Vec<u8>>,
    /// Whether it writes events that tell facts.
    pub tells: bool,
    /// Per subscription: change of pending, of dead.
    counts: HashMap<String, (i64, i64)>,
    /// Per replay: delivered and dead before this batch, and the change of both.
    outcomes: HashMap<String, Outcome>,
    after: Aftermath,
}

impl Group {
    fn new(store: &Store) -> Self {
        Self {
            batch: store.db.batch().durability(Some(PersistMode::SyncData)),
            marks: HashSet::new(),
            postings: Postings::default(),
            touched: HashSet::new(),
            records: Touched::new(),
            facts: HashMap::new(),
            tells: false,
            counts: HashMap::new(),
            outcomes: HashMap::new(),
            after: Aftermath::default(),
        }
    }

    /// Marks a delivery as written in this batch; `false` when it was already, and the batch must be committed before it is read.
    pub fn touch(&mut self, subscription: &str, sequence: u64) -> bool {
        self.touched.insert((subscription.to_owned(), sequence))
    }

    /// Counts what a job changes for a subscription.
    pub fn count(&mut self, subscription: &str, pending: i64, dead: i64) {
        if let Some(counts) = self.counts.get_mut(subscription) {
            counts.0 += pending;
            counts.1 += dead;
        } else {
            self.counts.insert(subscription.to_owned(), (pending, dead));
        }
    }

    /// Counts what a job changes for a replay, before it writes anything: the first job of a batch reads how many there were, and that may fail. A count
    /// that is damaged begins anew.
    pub fn outcome(&mut self, store: &Store, replay: Option<&str>, delivered: i64, dead: i64) -> fjall::Result<()> {
        let Some(replay) = replay else { return Ok(()) };
        let outcome = match self.outcomes.entry(replay.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let read = store.meta.get(record::named(meta::OUTCOME, replay));
                let before = survived(read, format_args!("how many deliveries of {replay} were made"))?.flatten();
                let before = before.and_then(|value| meta::read_outcome(&value)).unwrap_or_default();
                unknown.insert(Outcome { before, change: (0, 0) })
            }
        };
        outcome.change.0 += delivered;
        outcome.change.1 += dead;
        Ok(())
    }

    /// Tells the line of a subscription once this is durable.
    pub fn tell(&mut self, subscription: &str, sequence: u64, order: u64, change: Change) {
        self.after.changes.push((subscription.to_owned(), sequence, order, change));
    }

    /// Gives a claim back once this is durable.
    pub fn release(&mut self, subscription: &str, sequence: u64, id: DeliveryId) {
        self.after.releases.push((subscription.to_owned(), sequence, id));
    }

    /// Answers once this is durable.
    pub fn answer<T: Send + 'static>(&mut self, to: oneshot::Sender<T>, with: T) {
        // Whoever asked may have gone away: what was asked is done all the same.
        self.after.answers.push(Box::new(move || drop(to.send(with))));
    }
}

/// Why a job was not put into the batch. It has put nothing there: jobs read first, and then write.
pub enum Hindrance {
    /// It touches what the batch touches: commit first, then try again.
    Conflict,
    /// What it must read cannot be read, now or ever: it alone fails.
    Unread(fjall::Error),
    /// The store cannot write: that is final.
    Store(fjall::Error),
}

/// Jobs read with `?`; where they make a keyspace they say [`Hindrance::Store`].
impl From<fjall::Error> for Hindrance {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Poisoned => Self::Store(error),
            error => Self::Unread(error),
        }
    }
}

/// What to answer; `None` when the batch must be committed first.
fn staged<T>(done: Result<T, Hindrance>) -> fjall::Result<Option<Result<T, LogError>>> {
    match done {
        Ok(done) => Ok(Some(Ok(done))),
        Err(Hindrance::Conflict) => Ok(None),
        Err(Hindrance::Unread(error)) => {
            let error = damaged(error);
            tracing::error!(%error, "what was asked of the log cannot be done, because something of it cannot be read");
            Ok(Some(Err(error)))
        }
        Err(Hindrance::Store(error)) => Err(error),
    }
}

/// What a read takes: its texts, of which there are several, and what stands between them.
fn weight_of_read(read: &Read) -> usize {
    let texts = [&read.key, &read.action, &read.component, &read.remote];
    texts.into_iter().chain(&read.authorizer).map(String::len).sum::<usize>() + 256
}

/// The state of the thread.
pub struct Writer {
    pub store: Arc<Store>,
    pub seen: Seen,
    pub found: Found,
    /// The sequence given last.
    pub sequence: u64,
    /// The newest time of receipt so far.
    pub newest_receipt: Timestamp,
    /// Days that are being emptied: nothing new is enqueued of them. One that is kept because of damage is none of them.
    pub emptying: BTreeSet<u32>,
    /// Tells reads of the same moment apart.
    pub reads: u32,
}

impl Commit for Writer {
    type Job = Job;

    fn weight(job: &Job) -> usize {
        match job {
            Job::Accept(incoming, _) => incoming.value.len() + 256,
            Job::Put(puts, _) => puts.iter().map(|(_, key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum(),
            Job::Swap(swaps, _) => swaps.iter().map(Swap::weight).sum(),
            Job::Enqueue { events, .. } => events.len() * 256,
            Job::Reads(reads, _) => reads.iter().map(weight_of_read).sum(),
            Job::Settle { ended, .. } => ended.len() * 512,
            _ => 512,
        }
    }

    fn commit(&mut self, group: Vec<Job>) -> Result<(), String> {
        self.write(group).map_err(|error| match error {
            fjall::Error::Poisoned => ENDED.to_owned(),
            error => error.to_string(),
        })
    }
}

impl Writer {
    /// A writer that continues a store.
    pub fn new(store: Arc<Store>, seen: Seen, sequence: u64) -> fjall::Result<Self> {
        let newest = survived(store.days.event(sequence), format_args!("event number {sequence}, the newest"))?.flatten();
        let newest_receipt = match newest.and_then(|value| record::read_event(sequence, &value)) {
            Some((event, _)) => event.received_at,
            None => store.days.newest_minute()?,
        };
        let found = Found::open(&store.records)?;
        Ok(Self { store, seen, found, sequence, newest_receipt, emptying: BTreeSet::new(), reads: 0 })
    }

    fn write(&mut self, jobs: Vec<Job>) -> fjall::Result<()> {
        let mut group = Group::new(&self.store);
        for job in jobs {
            let mut next = Some(job);
            while let Some(job) = next.take() {
                // These read and write whole ranges: they have a batch of their own.
                let alone = matches!(job, Job::Order { .. } | Job::Retention(..) | Job::Reseal(..));
                if alone {
                    self.commit_batch(std::mem::replace(&mut group, Group::new(&self.store)))?;
                }
                next = self.stage(&mut group, job)?;
                if alone || next.is_some() {
                    self.commit_batch(std::mem::replace(&mut group, Group::new(&self.store)))?;
                }
            }
        }
        self.commit_batch(group)
    }

    /// Puts a job into the batch; gives it back when it touches what the batch touches, which must be committed first.
    fn stage(&mut self, group: &mut Group, job: Job) -> fjall::Result<Option<Job>> {
        match job {
            // What was found is held against what pushes told, those of this batch too.
            Job::Accept(incoming, answer) if group.tells && incoming.was_found() => return Ok(Some(Job::Accept(incoming, answer))),
            Job::Accept(incoming, answer) => match self.accept(group, *incoming) {
                Ok(accepted) => group.after.accepted.push((answer, accepted)),
                Err(Hindrance::Conflict) => {}
                Err(Hindrance::Unread(error)) => answer.refuse(damaged(error)),
                Err(Hindrance::Store(error)) => return Err(error),
            },
            Job::Settle { ended, mut from, answer } => {
                while let Some(one) = ended.get(from) {
                    // One whose record cannot be read is not settled; the others are.
                    if staged(self.settle(group, one))?.is_none() {
                        return Ok(Some(Job::Settle { ended, from, answer }));
                    }
                    from += 1;
                }
                group.answer(answer, ());
            }
            Job::Enqueue { events, subscription, replay, now, answer } => {
                match staged(self.enqueue(group, &events, &subscription, replay.as_deref(), now))? {
                    Some(ids) => group.answer(answer, ids),
                    None => return Ok(Some(Job::Enqueue { events, subscription, replay, now, answer })),
                }
            }
            Job::Retry(id, now, answer) => match staged(self.retry(group, id, now))? {
                Some(delivery) => group.answer(answer, delivery),
                None => return Ok(Some(Job::Retry(id, now, answer))),
            },
            Job::Retire { subscription, at, answer } => {
                // From here on for what comes behind this in the same batch, too.
                lock(&self.store.lines.made(&subscription)).retired_at = at;
                group.count(&subscription, 0, 0);
                group.answer(answer, ());
            }
            Job::Cancel { subscription, from, answer } => match staged(self.cancel(group, &subscription, from))? {
                Some(done) => group.answer(answer, done),
                None => return Ok(Some(Job::Cancel { subscription, from, answer })),
            },
            Job::Forget { subscription, sequence, id, answer } => match staged(self.forget(group, &subscription, sequence, id))? {
                Some(done) => group.answer(answer, done),
                None => return Ok(Some(Job::Forget { subscription, sequence, id, answer })),
            },
            Job::Spoilt { subscription, sequence, id, now, answer } => {
                match staged(self.spoilt(group, &subscription, sequence, id, now))? {
                    Some(done) => group.answer(answer, done),
                    None => return Ok(Some(Job::Spoilt { subscription, sequence, id, now, answer })),
                }
            }
            Job::Order { subscription, from, answer } => {
                if let Some(next) = staged(self.order(group, &subscription, from))? {
                    group.answer(answer, next);
                }
            }
            Job::Retention(step, answer) => {
                if let Some(done) = staged(retention::carry_out(self, group, step))? {
                    group.answer(answer, done);
                }
            }
            Job::Reseal(place, answer) => {
                if let Some(done) = staged(reseal::carry_out(&self.store, group, place))? {
                    group.answer(answer, done);
                }
            }
            Job::Put(puts, answer) => {
                for (keyspace, key, value) in puts {
                    match value {
                        Some(value) => group.batch.insert(&keyspace, key, &*value),
                        None => group.batch.remove(&keyspace, key),
                    }
                }
                group.answer(answer, ());
            }
            Job::Swap(swaps, answer) => {
                if let Some(written) = staged(records::stage(&self.store, group, swaps))? {
                    group.answer(answer, written);
                }
            }
            Job::Reads(reads, answer) => {
                self.append_reads(group, &reads)?;
                group.answer(answer, ());
            }
            Job::Everything(answer) => {
                group.answer(answer, (days::keyspaces(&self.store.db)?, self.store.db.snapshot()));
            }
            Job::ContinueAfter(sequence, answer) => {
                if sequence > self.sequence {
                    group.batch.insert(&self.store.meta, meta::lost(self.sequence, sequence), self.store.clock.now().to_string());
                }
                self.sequence = self.sequence.max(sequence);
                group.batch.insert(&self.store.meta, meta::SEQUENCE, self.sequence.to_be_bytes());
                group.answer(answer, ());
            }
        }
        Ok(None)
    }

    fn commit_batch(&mut self, mut group: Group) -> fjall::Result<()> {
        group.postings.write(&mut group.batch);
        let counts = std::mem::take(&mut group.counts);
        let mut totals = Vec::with_capacity(counts.len());
        for (subscription, (pending, dead)) in counts {
            let line = self.store.lines.made(&subscription);
            let before = lock(&line).state();
            let state = meta::LineState {
                pending: before.pending.saturating_add_signed(pending),
                dead: before.dead.saturating_add_signed(dead),
                ..before
            };
            group.batch.insert(&self.store.meta, record::named(meta::LINE, &subscription), meta::line(&subscription, &state));
            totals.push((line, state));
        }
        for (replay, Outcome { before, change }) in std::mem::take(&mut group.outcomes) {
            let outcome = meta::outcome(before.0.saturating_add_signed(change.0), before.1.saturating_add_signed(change.1));
            group.batch.insert(&self.store.meta, record::named(meta::OUTCOME, &replay), outcome);
        }
        group.batch.commit()?;

        for (line, state) in totals {
            let mut line = lock(&line);
            (line.pending, line.dead) = (state.pending, state.dead);
        }
        for (subscription, sequence, order, change) in group.after.changes {
            lock(&self.store.lines.made(&subscription)).change(sequence, order, change);
        }
        for (subscription, sequence, id) in group.after.releases {
            lock(&self.store.lines.made(&subscription)).release(sequence, id);
        }
        // Before the answers: whoever hears of an event finds it announced.
        self.store.newest.send_if_modified(|newest| std::mem::replace(newest, self.sequence) != self.sequence);
        answers::send(group.after.accepted);
        for answer in group.after.answers {
            answer();
        }
        Ok(())
    }
}
