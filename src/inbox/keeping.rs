//! How much is kept of what is refused. Anybody can send it: a flood of forgeries must not cost memory, the disk, the log, nor another component's
//! refused pushes. Those that a mistyped key refuses are some kilobytes each; all of them are kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Refused pushes of one component on their way into the store.
const ON_THEIR_WAY: usize = 16;

/// The same of all components together: where many are flooded at once, pushes of the usual largest size leave half of the store's queue to genuine ones.
const ALL_ON_THEIR_WAY: usize = 64;

/// Bytes of one component's that are kept at once, and how many more with each second.
const AT_ONCE: u64 = 16 * 1024 * 1024;
const A_SECOND: u64 = 256 * 1024;

/// What each takes beside its body.
const BESIDE: u64 = 1024;

/// How often it is said that some are not kept.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// What may be kept of each component.
pub struct Keeping {
    components: HashMap<String, OfOne>,
    all: Arc<Semaphore>,
}

struct OfOne {
    rooms: Arc<Semaphore>,
    allowance: Mutex<Allowance>,
}

#[derive(Debug)]
struct Allowance {
    left: u64,
    /// When that was, by the clock that nobody sets.
    at: Duration,
    /// How many were not kept since it was said last, and when that was.
    unkept: u64,
    said_at: Option<Duration>,
}

/// One that is kept, as long as it is on its way.
#[derive(Debug)]
pub struct Room {
    _of_one: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Keeping {
    /// Of components of these names.
    pub fn of<'a>(components: impl Iterator<Item = &'a str>, now: Duration) -> Self {
        let of_one = || OfOne {
            rooms: Arc::new(Semaphore::new(ON_THEIR_WAY)),
            allowance: Mutex::new(Allowance { left: AT_ONCE, at: now, unkept: 0, said_at: None }),
        };
        Self { components: components.map(|name| (name.to_owned(), of_one())).collect(), all: Arc::new(Semaphore::new(ALL_ON_THEIR_WAY)) }
    }

    /// Room for one with a body of so many bytes.
    ///
    /// # Errors
    /// It is not kept; with how many were not since that was said last, where it is to be said now.
    pub fn room(&self, component: &str, bytes: usize, now: Duration) -> Result<Room, Option<u64>> {
        let Some(of_one) = self.components.get(component) else { return Err(None) };
        let mut allowance = of_one.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let rooms = [&of_one.rooms, &self.all].map(|rooms| Arc::clone(rooms).try_acquire_owned().ok());
        match rooms {
            [Some(of_one), Some(of_all)] if allowance.spend(bytes, now) => Ok(Room { _of_one: of_one, _of_all: of_all }),
            _ => Err(allowance.unkept(now)),
        }
    }
}

impl Allowance {
    fn spend(&mut self, bytes: usize, now: Duration) -> bool {
        let more = now.saturating_sub(self.at).as_nanos().saturating_mul(u128::from(A_SECOND)) / 1_000_000_000;
        self.left = self.left.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)).min(AT_ONCE);
        self.at = now;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(BESIDE);
        // One that is larger than all there may be takes all of it.
        let is_enough = self.left >= bytes.min(AT_ONCE);
        if is_enough {
            self.left = self.left.saturating_sub(bytes);
        }
        is_enough
    }

    fn unkept(&mut self, now: Duration) -> Option<u64> {
        self.unkept += 1;
        if self.said_at.is_some_and(|at| now.saturating_sub(at) < SAID_EVERY) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unkept))
    }
}
