//! What waits: the keys of unfinished deliveries on disk, and per subscription a small line in memory that remembers what is claimed and
//! how far the disk was looked through. Millions may wait on disk; memory holds what is under way.
//!
//! On disk, in the keyspace `waiting`:
//! `w ‖ subscription ‖ sequence` → [`Entry`], every unfinished delivery, at most one per event and subscription;
//! `r ‖ subscription ‖ due ‖ sequence` → nothing, those of the retry lane;
//! `o ‖ subscription ‖ order ‖ sequence` → nothing, all of them, only for subscriptions that are claimed in order.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fjall::{Keyspace, Readable, Snapshot};

use super::meta;
use super::record::{self, Reader};
use crate::clock::Timestamp;
use crate::fanout::delivery::{DeliveryId, Lane};

/// Prefix of every unfinished delivery.
pub const WAITING: u8 = b'w';
const RETRY: u8 = b'r';
const ORDER: u8 = b'o';

/// Keys looked at in one claim: whatever waits, a claim is short; the next one goes on where it stopped.
const LOOKED_AT: usize = 4096;
/// Sequences remembered below the place where looking through the first lane has come to.
const BACK: usize = 10_000;

/// An unfinished delivery, as the queue needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which lane.
    pub lane: Lane,
    /// When it is due, as [`record::nanoseconds`].
    pub due: u64,
    /// Which delivery.
    pub id: DeliveryId,
    /// What keeps it in order, as [`record::order_of`].
    pub order: u64,
}

impl Entry {
    /// As bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(33);
        to.push(u8::from(self.lane == Lane::Retry));
        to.extend_from_slice(&self.due.to_be_bytes());
        to.extend_from_slice(self.id.0.as_bytes());
        to.extend_from_slice(&self.order.to_be_bytes());
        to
    }

    /// From bytes.
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut from = Reader(value);
        let lane = if from.byte()? == 0 { Lane::First } else { Lane::Retry };
        Some(Self { lane, due: from.number()?, id: DeliveryId(from.uuid()?), order: from.number()? })
    }
}

/// Key of an unfinished delivery.
pub fn waiting_key(subscription: &str, sequence: u64) -> Vec<u8> {
    record::numbered(WAITING, subscription, sequence)
}

/// Key of one in the retry lane.
pub fn retry_key(subscription: &str, due: u64, sequence: u64) -> Vec<u8> {
    let mut key = record::numbered(RETRY, subscription, due);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Key that keeps one in order.
pub fn order_key(subscription: &str, order: u64, sequence: u64) -> Vec<u8> {
    let mut key = record::numbered(ORDER, subscription, order);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// The keyspace `waiting` at one moment.
pub struct View<'a> {
    pub snapshot: &'a Snapshot,
    pub waiting: &'a Keyspace,
}

impl View<'_> {
    /// One unfinished delivery.
    pub fn entry(&self, subscription: &str, sequence: u64) -> fjall::Result<Option<Entry>> {
        Ok(self.snapshot.get(self.waiting, waiting_key(subscription, sequence))?.and_then(|value| Entry::read(&value)))
    }

    /// Unfinished deliveries of that subscription from that sequence on.
    pub fn entries(&self, subscription: &str, from: u64) -> impl Iterator<Item = fjall::Result<(u64, Entry)>> {
        let range = waiting_key(subscription, from)..=waiting_key(subscription, u64::MAX);
        self.snapshot.range(self.waiting, range).filter_map(|guard| match guard.into_inner() {
            Ok((key, value)) => Some(Ok((record::last_number(&key)?, Entry::read(&value)?))),
            Err(error) => Some(Err(error)),
        })
    }

    /// Retries from that place on, soonest first: when due, and which sequence.
    fn retries(&self, subscription: &str, from: (u64, u64)) -> impl Iterator<Item = fjall::Result<(u64, u64)>> {
        let range = retry_key(subscription, from.0, from.1)..=retry_key(subscription, u64::MAX, u64::MAX);
        self.snapshot.range(self.waiting, range).filter_map(|guard| match guard.key() {
            Ok(key) => {
                let (rest, sequence) = key.split_last_chunk::<8>()?;
                Some(Ok((record::last_number(rest)?, u64::from_be_bytes(*sequence))))
            }
            Err(error) => Some(Err(error)),
        })
    }

    /// The oldest unfinished sequence of that order.
    fn head(&self, subscription: &str, order: u64) -> fjall::Result<Option<u64>> {
        let range = order_key(subscription, order, 0)..=order_key(subscription, order, u64::MAX);
        let first = self.snapshot.range(self.waiting, range).next();
        Ok(first.map(fjall::Guard::key).transpose()?.and_then(|key| record::last_number(&key)))
    }
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    id: DeliveryId,
    until: Timestamp,
    order: u64,
    due: u64,
}

/// The line of one subscription.
#[derive(Default)]
pub struct Line {
    /// Unfinished deliveries.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
    /// Whether order keys are kept: once it was claimed in order, for good.
    pub ordered: bool,
    /// Whether every unfinished delivery has its order key.
    pub ordered_whole: bool,
    /// Whether the last claim asked for order.
    in_order: bool,
    /// Nothing unfinished is below: spares looking through what was deleted.
    floor: u64,
    /// First attempts below are claimed, finished, or in `back`.
    cursor: u64,
    /// First attempts below `cursor` that came back or were put there by a replay.
    back: BTreeSet<u64>,
    /// No unclaimed retry stands before this place.
    retry_floor: (u64, u64),
    claimed: HashMap<u64, Claim>,
    /// Orders of which something ended: their oldest may be claimable now.
    ready: VecDeque<u64>,
}

/// What a commit did to a delivery, for its line.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// It is finished.
    Ended(DeliveryId),
    /// It waits in the retry lane.
    Retries(DeliveryId, u64),
    /// It waits in the first lane, with a fresh schedule.
    Restarted,
}

impl Line {
    /// A line with counters as stored.
    pub fn stored(pending: u64, dead: u64, ordered: bool) -> Self {
        Self { pending, dead, ordered, ordered_whole: ordered, ..Self::default() }
    }

    /// Takes note of a commit.
    pub fn change(&mut self, sequence: u64, order: u64, change: Change) {
        match change {
            Change::Ended(id) => self.unclaim(sequence, id),
            Change::Retries(id, due) => {
                self.unclaim(sequence, id);
                self.retry_floor = self.retry_floor.min((due, sequence));
            }
            Change::Restarted => self.come_back(sequence),
        }
        if self.ordered {
            self.ready.push_back(order);
        }
    }

    /// A worker gives one back untried.
    pub fn release(&mut self, sequence: u64, id: DeliveryId) {
        if let Some(claim) = self.claimed.get(&sequence).copied().filter(|claim| claim.id == id) {
            self.claimed.remove(&sequence);
            self.give_back(sequence, claim);
        }
    }

    fn unclaim(&mut self, sequence: u64, id: DeliveryId) {
        if self.claimed.get(&sequence).is_some_and(|claim| claim.id == id) {
            self.claimed.remove(&sequence);
        }
    }

    /// Which lane it stood in is on disk: it is looked for in both.
    fn give_back(&mut self, sequence: u64, claim: Claim) {
        self.come_back(sequence);
        self.retry_floor = self.retry_floor.min((claim.due, sequence));
        if self.ordered {
            self.ready.push_back(claim.order);
        }
    }

    fn come_back(&mut self, sequence: u64) {
        self.floor = self.floor.min(sequence);
        if sequence < self.cursor {
            self.back.insert(sequence);
        }
        if self.back.len() > BACK {
            self.cursor = self.back.first().copied().unwrap_or(self.cursor);
            self.back.clear();
        }
    }

    fn expire(&mut self, now: Timestamp) {
        let over: Vec<_> =
            self.claimed.iter().filter(|(_, claim)| claim.until <= now).map(|(sequence, claim)| (*sequence, *claim)).collect();
        for (sequence, claim) in over {
            self.claimed.remove(&sequence);
            self.give_back(sequence, claim);
        }
    }

    /// Whether nothing older of the same order is unfinished, and nothing of it is under way.
    fn may_go(&self, view: &View<'_>, subscription: &str, sequence: u64, order: u64) -> fjall::Result<bool> {
        Ok(!self.claimed.values().any(|claim| claim.order == order) && view.head(subscription, order)?.is_none_or(|head| head == sequence))
    }

    /// The oldest unfinished delivery, or the place below which there is none.
    pub fn oldest(&mut self, view: &View<'_>, subscription: &str) -> fjall::Result<Option<Entry>> {
        match view.entries(subscription, self.floor).next().transpose()? {
            Some((sequence, entry)) => {
                self.floor = sequence;
                Ok(Some(entry))
            }
            None => Ok(None),
        }
    }
}

/// One claim.
pub struct Wish<'a> {
    pub subscription: &'a str,
    pub now: Timestamp,
    pub until: Timestamp,
    pub limit: usize,
    pub ordered: bool,
}

impl Line {
    /// Claims what is due in that lane, oldest event first.
    pub fn claim(&mut self, view: &View<'_>, lane: Lane, wish: &Wish<'_>) -> fjall::Result<Vec<(u64, DeliveryId)>> {
        self.expire(wish.now);
        if std::mem::replace(&mut self.in_order, wish.ordered) && !wish.ordered {
            // What was passed over for the sake of order is behind the cursor.
            self.cursor = self.floor;
        }
        let mut taken = Vec::new();
        match lane {
            Lane::First => self.claim_first(view, wish, &mut taken)?,
            Lane::Retry => self.claim_retries(view, wish, &mut taken)?,
        }
        if lane == Lane::First {
            taken.sort_unstable();
        }
        Ok(taken)
    }

    fn take(&mut self, wish: &Wish<'_>, sequence: u64, entry: Entry, taken: &mut Vec<(u64, DeliveryId)>) {
        self.claimed.insert(sequence, Claim { id: entry.id, until: wish.until, order: entry.order, due: entry.due });
        taken.push((sequence, entry.id));
    }

    /// Whether a delivery may be handed out now.
    fn fits(&self, view: &View<'_>, wish: &Wish<'_>, sequence: u64, entry: &Entry) -> fjall::Result<bool> {
        Ok(!self.claimed.contains_key(&sequence) && (!wish.ordered || self.may_go(view, wish.subscription, sequence, entry.order)?))
    }

    fn claim_first(&mut self, view: &View<'_>, wish: &Wish<'_>, taken: &mut Vec<(u64, DeliveryId)>) -> fjall::Result<()> {
        let mut candidates: BTreeSet<u64> = std::mem::take(&mut self.back);
        while let Some(order) = self.ready.pop_front() {
            if wish.ordered {
                candidates.extend(view.head(wish.subscription, order)?);
            }
        }
        while let Some(sequence) = candidates.pop_first() {
            if taken.len() >= wish.limit {
                candidates.insert(sequence);
                break;
            }
            // One that is not in this lane any more, or that must wait for an older one, is dropped here: the end of the older one names its order.
            if let Some(entry) = view.entry(wish.subscription, sequence)?.filter(|entry| entry.lane == Lane::First)
                && self.fits(view, wish, sequence, &entry)?
            {
                self.take(wish, sequence, entry, taken);
            }
        }
        self.back.extend(candidates);
        if taken.len() >= wish.limit {
            return Ok(());
        }
        let from = self.cursor.max(self.floor);
        for found in view.entries(wish.subscription, from).take(LOOKED_AT) {
            if taken.len() >= wish.limit {
                break;
            }
            let (sequence, entry) = found?;
            if entry.lane == Lane::First && self.fits(view, wish, sequence, &entry)? {
                self.take(wish, sequence, entry, taken);
            }
            self.cursor = sequence.saturating_add(1);
        }
        Ok(())
    }

    fn claim_retries(&mut self, view: &View<'_>, wish: &Wish<'_>, taken: &mut Vec<(u64, DeliveryId)>) -> fjall::Result<()> {
        let now = record::nanoseconds(wish.now);
        let mut first = true;
        for found in view.retries(wish.subscription, self.retry_floor).take(LOOKED_AT) {
            let (due, sequence) = found?;
            if std::mem::take(&mut first) {
                self.retry_floor = (due, sequence);
            }
            if due > now || taken.len() >= wish.limit {
                break;
            }
            let Some(mut entry) = view.entry(wish.subscription, sequence)? else { continue };
            let mut sequence = sequence;
            if wish.ordered
                && let Some(head) = view.head(wish.subscription, entry.order)?.filter(|head| *head != sequence)
                && let Some(oldest) = view.entry(wish.subscription, head)?.filter(|oldest| oldest.lane == Lane::Retry && oldest.due <= now)
            {
                // An older one of the same order is due as well: it goes first, wherever it stands.
                (sequence, entry) = (head, oldest);
            }
            if self.fits(view, wish, sequence, &entry)? {
                self.take(wish, sequence, entry, taken);
            }
        }
        if first {
            self.retry_floor = (u64::MAX, u64::MAX);
        }
        Ok(())
    }

    /// When something becomes claimable, what is claimed left out. A moment long past: look again now.
    pub fn next_due(&mut self, view: &View<'_>, subscription: &str) -> fjall::Result<Option<u64>> {
        if !self.back.is_empty() || (self.in_order && !self.ready.is_empty()) {
            return Ok(Some(0));
        }
        let from = self.cursor.max(self.floor);
        let mut looked_at = 0;
        for found in view.entries(subscription, from).take(LOOKED_AT) {
            let (sequence, entry) = found?;
            looked_at += 1;
            if entry.lane == Lane::First && !self.claimed.contains_key(&sequence) {
                return Ok(Some(entry.due));
            }
            self.cursor = sequence.saturating_add(1);
        }
        if looked_at == LOOKED_AT {
            return Ok(Some(0));
        }
        let mut first = true;
        for found in view.retries(subscription, self.retry_floor).take(LOOKED_AT) {
            let (due, sequence) = found?;
            if std::mem::take(&mut first) {
                self.retry_floor = (due, sequence);
            }
            if self.claimed.contains_key(&sequence) {
                continue;
            }
            if self.in_order {
                let Some(entry) = view.entry(subscription, sequence)? else { continue };
                if !self.may_go(view, subscription, sequence, entry.order)? {
                    continue;
                }
            }
            return Ok(Some(due));
        }
        if first {
            self.retry_floor = (u64::MAX, u64::MAX);
        }
        Ok(None)
    }
}

/// The lines of all subscriptions that ever had a delivery.
#[derive(Default)]
pub struct Lines(Mutex<HashMap<String, Arc<Mutex<Line>>>>);

impl Lines {
    fn map(&self) -> MutexGuard<'_, HashMap<String, Arc<Mutex<Line>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in a line with stored counters.
    pub fn put(&self, subscription: &str, line: Line) {
        self.map().insert(subscription.to_owned(), Arc::new(Mutex::new(line)));
    }

    /// The line of that subscription, if it ever had a delivery.
    pub fn named(&self, subscription: &str) -> Option<Arc<Mutex<Line>>> {
        self.map().get(subscription).cloned()
    }

    /// The line of that subscription, new when there is none.
    pub fn made(&self, subscription: &str) -> Arc<Mutex<Line>> {
        if let Some(line) = self.named(subscription) {
            return line;
        }
        self.map().entry(subscription.to_owned()).or_default().clone()
    }

    /// Names of all, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.map().keys().cloned().collect();
        names.sort_unstable();
        names
    }
}

/// Locks a line; a panic elsewhere leaves it usable.
pub fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lines {
    /// Reads the stored counters of every subscription.
    pub fn open(db: &fjall::Database, meta: &Keyspace, waiting: &Keyspace) -> fjall::Result<Self> {
        let lines = Self::default();
        for guard in meta.prefix([meta::LINE]) {
            let value = guard.value()?;
            if let Some((name, pending, dead, ordered)) = meta::read_line(&value) {
                if !ordered {
                    clear_order(db, waiting, name)?;
                }
                lines.put(name, Line::stored(pending, dead, ordered));
            }
        }
        Ok(lines)
    }
}

/// Removes what a crash left of order keys that were being built.
fn clear_order(db: &fjall::Database, waiting: &Keyspace, subscription: &str) -> fjall::Result<()> {
    let mut batch = db.batch();
    for guard in waiting.prefix(record::named(ORDER, subscription)) {
        batch.remove(waiting, guard.key()?);
    }
    batch.commit()
}
