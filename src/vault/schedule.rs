//! When what is renewed: pure rules, and an index in memory of what is due when.
//!
//! The index holds one entry per token or code, so a hundred thousand authorizers cost one look at its start.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use jiff::SignedDuration;

use crate::clock::Timestamp;
use crate::platform::token::Renewal;

use super::held::Slot;

/// What can be due.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Item {
    /// A token to be renewed.
    Token(Slot),
    /// A code to be exchanged, by its hash.
    Code(CodeHash),
}

/// First half of SHA-256 over a code's text: names it without telling it.
pub(super) type CodeHash = [u8; 16];

/// What is due when.
#[derive(Default)]
pub(super) struct Schedule {
    by_time: BTreeSet<(Timestamp, Item)>,
    times: HashMap<Item, Timestamp>,
}

impl Schedule {
    /// Sets when an item is due; `None` takes it off.
    pub fn set(&mut self, item: Item, at: Option<Timestamp>) {
        let former = match at {
            Some(at) => self.times.insert(item.clone(), at),
            None => self.times.remove(&item),
        };
        if let Some(former) = former {
            self.by_time.remove(&(former, item.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, item));
        }
    }

    /// Takes off the first item if it is due.
    pub fn take_due(&mut self, now: Timestamp) -> Option<Item> {
        if self.by_time.first()?.0 > now {
            return None;
        }
        let (_, item) = self.by_time.pop_first()?;
        self.times.remove(&item);
        Some(item)
    }

    /// Items that are due later than anything is that failed.
    pub fn beyond_backoff(&self, now: Timestamp) -> Vec<Item> {
        let longest = BACKOFF.iter().copied().max().unwrap_or_default().max(RATE_PAUSE);
        let furthest = later(now, longest.saturating_add(SLACK));
        self.times.iter().filter(|(_, at)| **at > furthest).map(|(item, _)| item.clone()).collect()
    }

    /// When the next item is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

/// Waits between tries of something that fails (Kuaishou 4.7, good for all).
const BACKOFF: [Duration; 4] = [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(300)];

/// Least wait after the vendor said that it is asked too often (Kuaishou 6.3, good for all).
pub(super) const RATE_PAUSE: Duration = Duration::from_secs(60);

/// Wait after the `failures`-th failure in a row, from 1.
pub(super) fn backoff(failures: u32) -> Duration {
    let step = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    BACKOFF.get(step).or(BACKOFF.last()).copied().unwrap_or(Duration::from_secs(300))
}

/// When a token should be renewed: `ahead` before the access token dies or the refresh token does, whichever is first (an access token may
/// not die, or be said to outlive what renews it), and at least as often as the refresh token wants exercise. A little earlier, differently for each authorizer, so that those who
/// were granted together are not renewed together. Never before half of the lifetime is over, however large `ahead` is. A refresh token that was
/// dead already when the access token came (a recovery that brings no new one) renews nothing.
pub(super) fn renew_at(
    slot: &Slot,
    generation: u64,
    obtained_at: Timestamp,
    expires_at: Option<Timestamp>,
    refresh_expires_at: Option<Timestamp>,
    renewal: Renewal,
) -> Option<Timestamp> {
    let ahead_of = |end: Timestamp| {
        let half = later(obtained_at, unsigned(end.duration_since(obtained_at)) / 2);
        earlier(end, renewal.ahead + spread(slot, generation, renewal.ahead / 4)).max(half)
    };
    let renewed = expires_at.into_iter().chain(refresh_expires_at.filter(|end| *end > obtained_at)).min().map(ahead_of);
    let exercised = renewal.exercise.map(|every| later(obtained_at, every.saturating_sub(spread(slot, generation, every / 8))));
    match (renewed, exercised) {
        (Some(renewed), Some(exercised)) => Some(renewed.min(exercised)),
        (one, other) => one.or(other),
    }
}

/// More than a clock that is right is set back by.
pub(super) const SLACK: Duration = Duration::from_secs(60);

/// Whether a time that we noted by our own clock lies in the future: the clock was ahead then, and nobody knows when that was.
pub(super) fn is_ahead(noted: Timestamp, now: Timestamp) -> bool {
    // Nearly all of them lie behind us, and of a hundred thousand tokens each is asked about every few seconds.
    noted > now && noted > later(now, SLACK)
}

/// Whether a wait of `span` that began at `since` goes on. One that began while the clock was ahead is over.
pub(super) fn goes_on(since: Timestamp, span: Duration, now: Timestamp) -> bool {
    !is_ahead(since, now) && later(since, span) > now
}

/// A wait below `span`, the same for the same slot and generation: no randomness is needed to spread load.
pub(super) fn spread(slot: &Slot, generation: u64, span: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (slot, generation).hash(&mut hasher);
    let share = u32::try_from(hasher.finish() & 0xffff).unwrap_or(0);
    span / 0x1_0000 * share
}

/// `at + by`, at the end of time at the latest.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(signed(by)).unwrap_or(Timestamp::MAX)
}

/// `at - by`, at the beginning of time at the earliest.
pub(super) fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_sub(signed(by)).unwrap_or(Timestamp::MIN)
}

/// How long it is from `from` to `to`; zero when `to` is not later.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    unsigned(to.duration_since(from))
}

fn unsigned(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
