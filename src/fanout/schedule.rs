//! When a delivery is tried again, which lane may claim how much, and how fast: pure functions over numbers and times.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::rfc2822;

use super::delivery::{DeliveryId, Lane};
use crate::clock::Timestamp;
use crate::envelope::digest;

/// The longest `Retry-After` that is obeyed.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Longer than any try is waited for: a table's longest wait is a week, spread by a tenth. One that is due later was scheduled by a clock that was
/// ahead.
pub const LONGEST_WAIT: Duration = Duration::from_secs(8 * 86_400);

/// When the try after the `failed`-th failed one is made, `None` after the last of the table. The table's wait is spread by up to 10 %
/// to either side, so that what failed together does not come back together; a handler's `not_before` (see [`retry_after`]) is obeyed where
/// it is later.
/// `failed` counts the tries of the present schedule, which is what a worker is given; a retry by hand or a replay begins a fresh one.
#[must_use]
pub fn next_attempt(table: &[Duration], failed: usize, id: DeliveryId, now: Timestamp, not_before: Option<Timestamp>) -> Option<Timestamp> {
    let wait = spread(*table.get(failed.checked_sub(1)?)?, id, failed);
    let at = later(now, wait);
    Some(match not_before {
        Some(not_before) => at.max(not_before.min(later(now, MOST_RETRY_AFTER))),
        None => at,
    })
}

/// `wait` times 0.9 to 1.1. The choice is the delivery's id and the attempt, hashed: random enough to spread, the same in every run of a test.
fn spread(wait: Duration, id: DeliveryId, attempt: usize) -> Duration {
    let [a, b, ..] = digest::sha256(&[id.0.as_bytes(), &attempt.to_be_bytes()]);
    let per_mille = 900 + u32::from(u16::from_be_bytes([a, b])) * 200 / u32::from(u16::MAX);
    wait.checked_mul(per_mille).map_or(wait, |product| product / 1000)
}

/// `now` and a span later; the end of time instead of an overflow.
#[must_use]
pub fn later(now: Timestamp, span: Duration) -> Timestamp {
    now.saturating_add(span).unwrap_or(Timestamp::MAX)
}

/// Reads `Retry-After`: a number of seconds or an HTTP date. Anything else is no wish at all.
#[must_use]
pub fn retry_after(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds: as long as we wait at most.
        return Some(later(now, text.parse().map_or(MOST_RETRY_AFTER, Duration::from_secs)));
    }
    rfc2822::parse(text).ok().map(|date| date.timestamp())
}

/// Deliveries of one subscription under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// First attempts.
    pub first: usize,
    /// Retries.
    pub retry: usize,
}

impl UnderWay {
    /// The number of that lane.
    pub fn of(&mut self, lane: Lane) -> &mut usize {
        match lane {
            Lane::First => &mut self.first,
            Lane::Retry => &mut self.retry,
        }
    }
}

/// How many of a lane may start now. No lane takes the last slot, so that neither keeps the other out; where there is only one slot,
/// [`turns`] shares it over time.
#[must_use]
pub fn room(lane: Lane, concurrency: usize, under_way: UnderWay, allowed: usize) -> usize {
    let free = concurrency.saturating_sub(under_way.first + under_way.retry);
    let taken = match lane {
        Lane::First => under_way.first,
        Lane::Retry => under_way.retry,
    };
    free.min(width(concurrency).saturating_sub(taken)).min(allowed)
}

/// Slots that one lane may have.
fn width(concurrency: usize) -> usize {
    if concurrency > 1 { concurrency - 1 } else { concurrency }
}

/// How many first attempts may be claimed before there is a slot for them, where `ended` tries ended since that was asked last: none while a handler
/// hangs, and never more than there are slots, so that each of them is tried after one other at most and its claim lasts.
#[must_use]
pub fn ahead(concurrency: usize, ended: usize) -> usize {
    ended.saturating_mul(2).min(width(concurrency))
}

/// In which order the lanes are asked, and for how many at most. First attempts go first, but every fourth time one retry goes before them:
/// else a narrow rate or a single slot would be theirs alone.
#[must_use]
pub fn turns(pass: u32) -> &'static [(Lane, usize)] {
    if pass % 4 == 3 {
        &[(Lane::Retry, 1), (Lane::First, usize::MAX), (Lane::Retry, usize::MAX)]
    } else {
        &[(Lane::First, usize::MAX), (Lane::Retry, usize::MAX)]
    }
}

/// How much may be made up for at once when timers come late. Short, so that "per second at most" stays true to one part in a hundred.
const SLACK: SignedDuration = SignedDuration::from_millis(10);

/// Keeps starts at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time between two starts; zero: no limit.
    interval: SignedDuration,
    /// When the next start is due at that rate.
    due: Timestamp,
}

impl Pace {
    /// At most `rate` per second from `now` on; `None`: no limit.
    #[must_use]
    pub fn new(rate: Option<u32>, now: Timestamp) -> Self {
        Self { interval: interval(rate), due: now }
    }

    /// Takes over a changed rate.
    pub fn set_rate(&mut self, rate: Option<u32>) {
        self.interval = interval(rate);
    }

    /// How many may start now.
    #[must_use]
    pub fn allowed(&self, now: Timestamp) -> usize {
        if self.interval.is_zero() {
            return usize::MAX;
        }
        let slack = self.slack();
        let ahead = now.max(self.due_at(now)).duration_since(now);
        if ahead > slack {
            return 0;
        }
        let count = (slack - ahead).as_nanos() / self.interval.as_nanos();
        usize::try_from(count).map_or(1, |count| count + 1)
    }

    /// So many started.
    pub fn took(&mut self, count: usize, now: Timestamp) {
        let span = i32::try_from(count).ok().and_then(|count| self.interval.checked_mul(count)).unwrap_or(SignedDuration::ZERO);
        self.due = now.max(self.due_at(now)).saturating_add(span).unwrap_or(Timestamp::MAX);
    }

    /// When at least one may start.
    #[must_use]
    pub fn next(&self) -> Timestamp {
        self.due.saturating_sub(self.slack()).unwrap_or(self.due)
    }

    /// When the next start is due, seen from then. Further ahead than one start lies only what a clock that was set back since has left, or a lower
    /// rate: nobody waits for that.
    fn due_at(&self, now: Timestamp) -> Timestamp {
        let furthest = now.saturating_add(self.interval.saturating_add(SLACK)).unwrap_or(Timestamp::MAX);
        if self.due > furthest { now } else { self.due }
    }

    fn slack(&self) -> SignedDuration {
        SLACK.saturating_sub(self.interval).max(SignedDuration::ZERO)
    }
}

fn interval(rate: Option<u32>) -> SignedDuration {
    match rate {
        None | Some(0) => SignedDuration::ZERO,
        Some(rate) => SignedDuration::from_nanos(1_000_000_000 / i64::from(rate)),
    }
}
