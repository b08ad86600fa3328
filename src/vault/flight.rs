//! One at a time: [`Flights`] lets everybody who wants the same thing share one piece of work, [`Locks`] lets one piece of work at a
//! time touch one authorizer.
//!
//! Work runs as a task of its own, so a caller that goes away never interrupts a renewal that others wait for or that has already
//! spent a refresh token.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, watch};

type UnderWay<K, T> = Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>;

/// Work under way, by what it is for.
pub(super) struct Flights<K, T> {
    under_way: UnderWay<K, T>,
    count: Arc<watch::Sender<usize>>,
}

impl<K: Eq + Hash + Clone + Send + 'static, T: Clone + Send + Sync + 'static> Flights<K, T> {
    pub fn new() -> Self {
        Self { under_way: Arc::default(), count: Arc::new(watch::Sender::new(0)) }
    }

    /// Waits for the work for `key` that is under way, or starts it. `None` if it ended without a result (it panicked, or the
    /// runtime is shutting down).
    pub async fn join<F>(&self, runtime: &Handle, key: K, work: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut landing = self.start(runtime, key, work);
        landing.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Starts the work for `key` unless it is under way.
    pub fn start<F>(&self, runtime: &Handle, key: K, work: impl FnOnce() -> F) -> watch::Receiver<Option<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = watch::channel(None);
        {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(landing) = under_way.get(&key) {
                return landing.clone();
            }
            under_way.insert(key.clone(), receiver.clone());
        }
        self.count.send_modify(|count| *count += 1);
        // Made outside the task: it must clean up even if the task never runs.
        let flight = Flight { under_way: Arc::clone(&self.under_way), key, count: Arc::clone(&self.count) };
        let work = work();
        runtime.spawn(async move {
            let result = work.await;
            // First off the board, then the result: who comes later sees what this work left behind.
            drop(flight);
            sender.send_replace(Some(result));
        });
        receiver
    }

    /// Whether work for `key` is under way.
    pub fn is_under_way(&self, key: &K) -> bool {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// Returns once nothing is under way.
    pub async fn idle(&self) {
        let mut count = self.count.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

struct Flight<K: Eq + Hash, T> {
    under_way: UnderWay<K, T>,
    key: K,
    count: Arc<watch::Sender<usize>>,
}

impl<K: Eq + Hash, T> Drop for Flight<K, T> {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}

type Doors = Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>;

/// A lock per name, kept only while somebody holds or wants it.
#[derive(Default)]
pub(super) struct Locks(Doors);

impl Locks {
    /// Waits until nobody else holds that name.
    pub async fn lock(&self, name: &str) -> Locked {
        let door = {
            let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(doors.entry(name.to_owned()).or_default())
        };
        let guard = door.lock_owned().await;
        Locked { guard: Some(guard), doors: Arc::clone(&self.0), name: name.to_owned() }
    }
}

/// A name held.
pub(super) struct Locked {
    guard: Option<OwnedMutexGuard<()>>,
    doors: Doors,
    name: String,
}

impl Drop for Locked {
    fn drop(&mut self) {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        if doors.get(&self.name).is_some_and(|door| Arc::strong_count(door) == 1) {
            doors.remove(&self.name);
        }
    }
}
