//! Places for what a caller may draw out: so many requests at a time in all, and so many of one key.
//!
//! A stream, a long poll and an answer passed on piece by piece last as long as whoever asked for them likes, on the connections on which pushes come;
//! a count of the whole log takes a core for as long as the log is. A handler takes a place before it begins, and gives it back by dropping it: with the
//! answer's body, where that is what lasts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All places for one sort of request.
pub struct Places {
    /// Those that are free.
    free: Arc<Semaphore>,
    /// How many of them one key may have.
    each: usize,
    /// Those that each key that ever took one may still take. Keys are those of the configuration, so there are no more of these than of them.
    of_keys: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// One place, taken as long as this lives.
#[derive(Debug)]
pub struct Place {
    _of_key: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    /// So many in all, at least one, and of these so many for one key.
    #[must_use]
    pub fn new(all: usize, each: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all.max(1))), each: each.max(1), of_keys: Mutex::default() }
    }

    /// A place for a request with that key; `None`: there is none for it now.
    pub fn take(&self, key: &str) -> Option<Place> {
        let of_key = self.of(key).try_acquire_owned().ok()?;
        let of_all = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(Place { _of_key: of_key, _of_all: of_all })
    }

    /// The same, once there is one; `None`: there was none for so long.
    pub async fn take_within(&self, key: &str, patience: Duration) -> Option<Place> {
        tokio::time::timeout(patience, self.next(key)).await.ok().flatten()
    }

    /// The next place for that key, whenever that is: first among its own, then among all keys. `None`, never: places are not closed.
    pub async fn next(&self, key: &str) -> Option<Place> {
        let of_key = self.of(key).acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(Place { _of_key: of_key, _of_all: of_all })
    }

    fn of(&self, key: &str) -> Arc<Semaphore> {
        let mut of_keys = self.of_keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_key) = of_keys.get(key) {
            return Arc::clone(of_key);
        }
        Arc::clone(of_keys.entry(key.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}
