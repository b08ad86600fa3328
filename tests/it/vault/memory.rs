//! A shelf in memory, with leases between several holders, and a place to stop a process at any commit or call.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use uuid::Uuid;
use yizhan::clock::Timestamp;
use yizhan::vault::shelf::{Change, Clear, Kind, LARGEST_BODY, Record, RecordKey, ShelfError, TokenShelf};

/// Stops everything at its n-th step: what reaches it never comes back, as if the process had been killed there.
#[derive(Default)]
pub struct Stops {
    at: AtomicUsize,
    passed: AtomicUsize,
    stopped: AtomicBool,
    bell: Notify,
}

impl Stops {
    /// Stops at step `at`, counted from 1 and from now.
    pub fn set(&self, at: usize) {
        self.passed.store(0, Ordering::SeqCst);
        self.stopped.store(false, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
    }

    /// Never stops.
    pub fn clear(&self) {
        self.set(0);
    }

    /// One step.
    pub async fn pass(&self) {
        let passed = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if passed == self.at.load(Ordering::SeqCst) {
            self.stopped.store(true, Ordering::SeqCst);
            self.bell.notify_one();
        }
        if self.stopped.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when it stopped.
    pub async fn stopped(&self) {
        if !self.stopped.load(Ordering::SeqCst) {
            self.bell.notified().await;
        }
    }
}

type Records = BTreeMap<RecordKey, (u64, Clear)>;

#[derive(Default)]
pub struct MemoryShelf {
    records: Mutex<Records>,
    leases: Mutex<HashMap<String, (Uuid, Timestamp)>>,
    pub stops: Arc<Stops>,
    /// Answers every commit with this.
    pub broken: Mutex<Option<ShelfError>>,
    /// How often it did.
    pub refused: AtomicUsize,
    pub commits: AtomicUsize,
    pub reads: AtomicUsize,
}

impl MemoryShelf {
    /// Makes a record unreadable.
    pub fn damage(&self, key: &RecordKey) {
        let mut records = self.records.lock().unwrap();
        let (_, body) = records.get_mut(key).unwrap();
        *body = Clear::new(b"damaged".to_vec());
    }

    /// As a store that belongs to one process: what the killed one held is free at once.
    pub fn forget_leases(&self) {
        self.leases.lock().unwrap().clear();
    }

    pub fn names(&self, kind: Kind) -> Vec<String> {
        self.records.lock().unwrap().keys().filter(|key| key.kind == kind).map(|key| key.name.clone()).collect()
    }

    pub fn is_idle_since(&self, counts: (usize, usize)) -> bool {
        self.counts() == counts
    }

    pub fn counts(&self) -> (usize, usize) {
        (self.commits.load(Ordering::SeqCst), self.reads.load(Ordering::SeqCst))
    }
}

#[async_trait::async_trait]
impl TokenShelf for MemoryShelf {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, ShelfError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let records = self.records.lock().unwrap();
        Ok(records.get(key).map(|(version, body)| record(key, *version, body)))
    }

    async fn page(&self, kind: Kind, component: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>, ShelfError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let records = self.records.lock().unwrap();
        let of_kind = records.iter().filter(|(key, _)| key.kind == kind && key.component == component);
        let behind = of_kind.filter(|(key, _)| after.is_none_or(|after| key.name.as_str() > after));
        Ok(behind.take(limit).map(|(key, (version, body))| record(key, *version, body)).collect())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), ShelfError> {
        self.stops.pass().await;
        if let Some(error) = self.broken.lock().unwrap().clone() {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(error);
        }
        {
            let mut records = self.records.lock().unwrap();
            let mut next = records.clone();
            for change in changes {
                let version = next.get(&change.key).map_or(0, |(version, _)| *version);
                if change.expected.is_some_and(|expected| expected != version) {
                    return Err(ShelfError::Conflict);
                }
                match change.body {
                    Some(body) if body.len() > LARGEST_BODY => return Err(ShelfError::TooLarge(body.len())),
                    Some(body) => drop(next.insert(change.key, (version + 1, body))),
                    None => drop(next.remove(&change.key)),
                }
            }
            *records = next;
            self.commits.fetch_add(1, Ordering::SeqCst);
        }
        self.stops.pass().await;
        Ok(())
    }

    async fn lease(&self, name: &str, holder: Uuid, now: Timestamp, until: Timestamp) -> Result<Option<Timestamp>, ShelfError> {
        let mut leases = self.leases.lock().unwrap();
        if let Some((other, ends)) = leases.get(name)
            && *other != holder
            && *ends > now
        {
            return Ok(Some(*ends));
        }
        leases.insert(name.to_owned(), (holder, until));
        Ok(None)
    }
}

fn record(key: &RecordKey, version: u64, body: &Clear) -> Record {
    let readable = body.as_slice() != b"damaged";
    Record { name: key.name.clone(), version, body: readable.then(|| body.clone()) }
}
