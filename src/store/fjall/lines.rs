//! The line of each subscription, in memory: what is claimed, and how far the disk was looked through, so that a claim looks at little
//! whatever waits. Rebuilt from counters at start; claims die with the process, which gives back what was under way.
//!
//! A line never writes. The committing thread tells it what became durable; workers claim through it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fjall::{Database, Keyspace};

use super::meta::{self, LineState};
use super::record;
use super::waiting::{self, Entry, View};
use crate::clock::{Look, Timestamp};
use crate::fanout::delivery::{DeliveryId, Lane};
use crate::fanout::schedule;

/// Keys looked at in one claim. A worker that finds less than it asked for believes that there is no more, so this is generous: it bounds what
/// the first claims after a start cost, when much waits that is not due.
const LOOKED_AT: usize = 65_536;
/// Sequences remembered below the place where looking through the first lane has come to.
const BACK: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Claim {
    id: DeliveryId,
    /// By the clock that nobody sets: one that goes forward at once hands nothing out twice.
    until: Duration,
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
    /// When its subscription was deleted: nothing comes to wait for it.
    pub retired_at: Option<Timestamp>,
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
    /// A line as it is remembered.
    pub fn stored(state: LineState) -> Self {
        let LineState { pending, dead, ordered, retired_at } = state;
        Self { pending, dead, ordered, ordered_whole: ordered, retired_at, ..Self::default() }
    }

    /// What is remembered of it.
    pub fn state(&self) -> LineState {
        LineState { pending: self.pending, dead: self.dead, ordered: self.ordered_whole, retired_at: self.retired_at }
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

    fn expire(&mut self, passed: Duration) {
        let over: Vec<_> =
            self.claimed.iter().filter(|(_, claim)| claim.until <= passed).map(|(sequence, claim)| (*sequence, *claim)).collect();
        for (sequence, claim) in over {
            self.claimed.remove(&sequence);
            self.give_back(sequence, claim);
        }
    }

    /// Whether nothing older of the same order is unfinished, and nothing of it is under way.
    fn may_go(&self, view: &View<'_>, subscription: &str, sequence: u64, order: u64) -> fjall::Result<bool> {
        Ok(!self.claimed.values().any(|claim| claim.order == order)
            && view.head(subscription, order)?.is_none_or(|(head, _)| head == sequence))
    }

    /// The unfinished delivery of the oldest event, and that one's number.
    pub fn oldest(&mut self, view: &View<'_>, subscription: &str) -> fjall::Result<Option<(u64, Entry)>> {
        match view.entries(subscription, self.floor).next().transpose()? {
            Some((sequence, entry)) => {
                self.floor = sequence;
                Ok(Some((sequence, entry)))
            }
            None => Ok(None),
        }
    }
}

/// One claim.
pub struct Wish<'a> {
    pub subscription: &'a str,
    pub now: Timestamp,
    /// The present by the clock that nobody sets, and how long the claim lasts by it.
    pub passed: Duration,
    pub lease: Duration,
    pub limit: usize,
    pub ordered: bool,
}

impl Line {
    /// Claims what is due in that lane, oldest event first.
    pub fn claim(&mut self, view: &View<'_>, lane: Lane, wish: &Wish<'_>) -> fjall::Result<Vec<(u64, Entry)>> {
        self.expire(wish.passed);
        if std::mem::replace(&mut self.in_order, wish.ordered) && !wish.ordered {
            // What was passed over for the sake of order is behind the cursor.
            self.cursor = self.floor;
        }
        let mut taken = Vec::new();
        let done = match lane {
            Lane::First => self.claim_first(view, wish, &mut taken),
            Lane::Retry => self.claim_retries(view, wish, &mut taken),
        };
        if let Err(error) = done {
            // Nobody is handed what was taken until then. What was in hand is looked for again from the beginning.
            for (sequence, entry) in taken {
                self.unclaim(sequence, entry.id);
            }
            (self.cursor, self.retry_floor) = (self.floor, (0, 0));
            return Err(error);
        }
        if lane == Lane::First {
            taken.sort_unstable_by_key(|(sequence, _)| *sequence);
        }
        Ok(taken)
    }

    fn take(&mut self, wish: &Wish<'_>, sequence: u64, entry: Entry, taken: &mut Vec<(u64, Entry)>) {
        let until = wish.passed.saturating_add(wish.lease);
        self.claimed.insert(sequence, Claim { id: entry.id, until, order: entry.order, due: entry.due });
        taken.push((sequence, entry));
    }

    /// Whether a delivery may be handed out now. Orders that must wait are put into `held`: the rest of them need no look.
    fn fits(&self, view: &View<'_>, wish: &Wish<'_>, sequence: u64, entry: &Entry, held: &mut HashSet<u64>) -> fjall::Result<bool> {
        if self.claimed.contains_key(&sequence) || held.contains(&entry.order) {
            return Ok(false);
        }
        if !wish.ordered {
            return Ok(true);
        }
        let goes = self.may_go(view, wish.subscription, sequence, entry.order)?;
        // Whether it goes or not: of its order nothing else goes now.
        held.insert(entry.order);
        Ok(goes)
    }

    fn claim_first(&mut self, view: &View<'_>, wish: &Wish<'_>, taken: &mut Vec<(u64, Entry)>) -> fjall::Result<()> {
        let mut held = HashSet::new();
        let mut candidates: BTreeSet<u64> = std::mem::take(&mut self.back);
        while let Some(order) = self.ready.pop_front() {
            if wish.ordered {
                candidates.extend(view.head(wish.subscription, order)?.map(|(head, _)| head));
            }
        }
        while let Some(sequence) = candidates.pop_first() {
            if taken.len() >= wish.limit {
                candidates.insert(sequence);
                break;
            }
            // One that is not in this lane any more, or that must wait for an older one, is dropped here: the end of the older one names its order.
            if let Some(entry) = view.entry(wish.subscription, sequence)?.filter(|entry| entry.lane == Lane::First)
                && self.fits(view, wish, sequence, &entry, &mut held)?
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
            if entry.lane == Lane::First && self.fits(view, wish, sequence, &entry, &mut held)? {
                self.take(wish, sequence, entry, taken);
            }
            self.cursor = sequence.saturating_add(1);
        }
        Ok(())
    }

    fn claim_retries(&mut self, view: &View<'_>, wish: &Wish<'_>, taken: &mut Vec<(u64, Entry)>) -> fjall::Result<()> {
        let now = record::nanoseconds(wish.now);
        let furthest = record::nanoseconds(schedule::later(wish.now, schedule::LONGEST_WAIT));
        let (mut first, mut held) = (true, HashSet::new());
        for found in view.retries(wish.subscription, self.retry_floor).take(LOOKED_AT) {
            let (due, sequence) = found?;
            if std::mem::take(&mut first) {
                self.retry_floor = (due, sequence);
            }
            if due > now || taken.len() >= wish.limit {
                break;
            }
            self.claim_retry(view, wish, sequence, &mut held, taken)?;
        }
        if first {
            self.retry_floor = (u64::MAX, u64::MAX);
            return Ok(());
        }
        // Those that a clock which was ahead put off stand behind all that wait.
        for found in view.retries(wish.subscription, (furthest, u64::MAX).max(self.retry_floor)).take(LOOKED_AT) {
            if taken.len() >= wish.limit {
                break;
            }
            self.claim_retry(view, wish, found?.1, &mut held, taken)?;
        }
        Ok(())
    }

    /// Claims one that is due, unless something else goes first.
    fn claim_retry(
        &mut self,
        view: &View<'_>,
        wish: &Wish<'_>,
        mut sequence: u64,
        held: &mut HashSet<u64>,
        taken: &mut Vec<(u64, Entry)>,
    ) -> fjall::Result<()> {
        let Some(mut entry) = view.entry(wish.subscription, sequence)? else { return Ok(()) };
        let furthest = schedule::later(wish.now, schedule::LONGEST_WAIT);
        let is_due = |entry: &Entry| entry.due <= record::nanoseconds(wish.now) || entry.due > record::nanoseconds(furthest);
        if wish.ordered
            && !held.contains(&entry.order)
            && let Some((head, oldest)) = view.head(wish.subscription, entry.order)?.filter(|(head, _)| *head != sequence)
            && oldest.lane == Lane::Retry
            && is_due(&oldest)
        {
            // An older one of the same order is due as well: it goes first, wherever it stands.
            (sequence, entry) = (head, oldest);
        }
        if self.fits(view, wish, sequence, &entry, held)? {
            self.take(wish, sequence, entry, taken);
        }
        Ok(())
    }

    /// When something becomes claimable; what is claimed, when its claim runs out: nobody else wakes for what its carrier let fall. A moment long past: look
    /// again now.
    pub fn next_due(&mut self, view: &View<'_>, subscription: &str, present: Look) -> fjall::Result<Option<u64>> {
        let unclaimed = self.next_unclaimed(view, subscription)?;
        let over = self.claimed.values().map(|claim| claim.until).min();
        let over = over.map(|until| record::nanoseconds(schedule::later(present.wall, until.saturating_sub(present.passed))));
        Ok(unclaimed.into_iter().chain(over).min())
    }

    fn next_unclaimed(&mut self, view: &View<'_>, subscription: &str) -> fjall::Result<Option<u64>> {
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

    /// Whether the subscription of that name was deleted.
    pub fn is_retired(&self, subscription: &str) -> bool {
        self.named(subscription).is_some_and(|line| lock(&line).retired_at.is_some())
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
    pub fn open(db: &Database, meta: &Keyspace, waiting: &Keyspace) -> fjall::Result<Self> {
        let lines = Self::default();
        for guard in meta.prefix([meta::LINE]) {
            let value = guard.value()?;
            if let Some((name, state)) = meta::read_line(&value) {
                if !state.ordered {
                    waiting::clear_order(db, waiting, name)?;
                }
                lines.put(name, Line::stored(state));
            }
        }
        Ok(lines)
    }
}
