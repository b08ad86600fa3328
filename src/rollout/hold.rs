//! What the worker holds in memory: the rollouts at work with their items, who is busy with which, and the mail that came meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::hands::Happened;
use super::record::{Item, Rollout, RolloutId};
use super::shelf::RolloutLog;
use crate::clock::{Clock, Timestamp};
use crate::inbox::LogError;

/// One authorizer at work.
pub(super) struct Entry {
    /// As it is on the disk.
    pub item: Item,
    /// Its version there.
    pub version: u64,
    /// Whether a task is at work on it: at most one is.
    pub is_busy: bool,
    /// What came while somebody was at work on it, or was not told it yet.
    pub mail: Vec<Happened>,
    /// Not before, after the store refused.
    pub hold: Option<Timestamp>,
}

/// One rollout at work.
pub(super) struct Active {
    /// As it is on the disk.
    pub rollout: Rollout,
    /// Its version there.
    pub version: u64,
    /// By app id.
    pub entries: BTreeMap<String, Entry>,
    /// Whether these are all ([`super::shelf::Items::is_whole`]).
    pub is_whole: bool,
    /// Tasks at work.
    pub running: u32,
    /// When its rate allows the next step.
    pub next_step: Timestamp,
    /// People's requests under way: one that has ended stays as long as somebody is about to take it up again.
    pub visits: u32,
}

impl Active {
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.entries.values().map(|entry| &entry.item)
    }
}

/// A vendor that does not answer: nobody bothers it for a while, and then one asks for all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    /// Failures in a row.
    pub failures: u32,
    /// Nothing before.
    pub until: Timestamp,
    /// Whether somebody is asking for all.
    pub is_probed: bool,
}

/// All of it.
#[derive(Default)]
pub(super) struct Floor {
    pub active: BTreeMap<RolloutId, Active>,
    /// By component.
    pub outages: HashMap<String, Outage>,
    /// When the rate of all its rollouts allows the next step of a component.
    pub next_steps: HashMap<String, Timestamp>,
    /// Components that metrics were told of.
    pub measured: Vec<String>,
}

impl Floor {
    pub fn entry(&mut self, id: RolloutId, authorizer: &str) -> Option<&mut Entry> {
        self.active.get_mut(&id)?.entries.get_mut(authorizer)
    }

    /// Tasks at work for a component.
    pub fn running(&self, component: &str) -> u32 {
        self.active.values().filter(|active| active.rollout.spec.component == component).map(|active| active.running).sum()
    }
}

/// The lock; held for moments, never while something is waited for.
pub(super) fn locked(floor: &Mutex<Floor>) -> MutexGuard<'_, Floor> {
    floor.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A person's request that is under way; it ends when this is dropped.
pub(super) struct Visit<'a> {
    pub floor: &'a Mutex<Floor>,
    pub id: RolloutId,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if let Some(active) = locked(self.floor).active.get_mut(&self.id) {
            active.visits = active.visits.saturating_sub(1);
        }
    }
}

/// An item in the hands of the one task that is at work on it.
pub(super) struct Held<'a> {
    pub floor: &'a Mutex<Floor>,
    pub log: &'a dyn RolloutLog,
    pub clock: &'a dyn Clock,
    pub id: RolloutId,
    pub item: Item,
    pub version: u64,
}

impl Held<'_> {
    /// Makes the item durable as it is now, then known.
    ///
    /// # Errors
    /// The store's; somebody else's write, which no other process makes, is one.
    pub async fn save(&mut self) -> Result<(), LogError> {
        const BUSY: i64 = 1;
        loop {
            match self.log.save(self.id, &self.item, self.version).await {
                Ok(true) => break,
                Ok(false) => return Err(LogError::Damaged(String::from("an item of a rollout was written by somebody else"))),
                Err(LogError::Full) => self.clock.sleep_until(super::hands::later(self.clock.now(), BUSY)).await,
                Err(error) => return Err(error),
            }
        }
        self.version = self.version.saturating_add(1);
        if let Some(entry) = locked(self.floor).entry(self.id, &self.item.authorizer) {
            entry.item = self.item.clone();
            entry.version = self.version;
        }
        Ok(())
    }

    /// The next thing that came meanwhile.
    pub fn mail(&self) -> Option<Happened> {
        let mut floor = locked(self.floor);
        let entry = floor.entry(self.id, &self.item.authorizer)?;
        if entry.mail.is_empty() { None } else { Some(entry.mail.remove(0)) }
    }
}
