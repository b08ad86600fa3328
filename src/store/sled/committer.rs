//! The one thread that writes to the vault's store: takes everything that waits, applies it as one batch, flushes, syncs the data file,
//! answers everybody. Under no load a single commit goes at once; under load groups form by themselves.
//!
//! A failed write or sync is final: the kernel may have dropped the pages, so a later success would prove nothing.

use std::collections::HashMap;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use zeroize::Zeroizing;

use crate::store::at_rest::AtRest;
use crate::vault::shelf::ShelfError;

use super::{bound, split, words_of};

/// Most jobs in one batch.
const GROUP: usize = 512;

/// Records looked at in one go while former seals are replaced.
const RESEAL_CHUNK: usize = 256;

/// One change, with its key as it is stored.
pub(super) struct RawChange {
    pub kind: &'static str,
    pub key: Vec<u8>,
    pub expected: Option<u64>,
    pub body: Option<Zeroizing<Vec<u8>>>,
}

/// What the thread is asked to do.
pub(super) enum Job {
    /// All changes or none.
    Commit { changes: Vec<RawChange>, answer: oneshot::Sender<Result<(), ShelfError>> },
    /// Sealed values as they were exported.
    Import { entries: Vec<(Vec<u8>, Vec<u8>)>, answer: oneshot::Sender<Result<(), ShelfError>> },
}

/// A batch in the making, with the versions it will leave behind.
#[derive(Default)]
struct Group {
    batch: sled::Batch,
    versions: HashMap<Vec<u8>, u64>,
    waiting: Vec<oneshot::Sender<Result<(), ShelfError>>>,
}

pub(super) struct Committer {
    pub tree: sled::Tree,
    pub at_rest: Arc<AtRest>,
    data: File,
}

impl Committer {
    pub fn new(tree: sled::Tree, data: File, at_rest: Arc<AtRest>) -> Self {
        Self { tree, at_rest, data }
    }

    /// One change outside the thread, before it runs.
    pub fn commit_one(&self, change: RawChange) -> Result<(), ShelfError> {
        let mut group = Group::default();
        self.add(&mut group, vec![change])?;
        self.write(group.batch).map_err(ShelfError::Failed)
    }

    /// Works until nobody can send any more.
    pub fn run(self, mut queue: mpsc::Receiver<Job>, failed: &watch::Sender<Option<String>>) {
        let mut reseal = Some(Vec::new());
        loop {
            let first = match &reseal {
                None => queue.blocking_recv(),
                Some(_) => match queue.try_recv() {
                    Ok(job) => Some(job),
                    Err(mpsc::error::TryRecvError::Disconnected) => None,
                    Err(mpsc::error::TryRecvError::Empty) => {
                        reseal = self.reseal(reseal.take().unwrap_or_default());
                        continue;
                    }
                },
            };
            let Some(first) = first else { return };
            let began = Instant::now();
            let mut group = Group::default();
            self.take(&mut group, first);
            while group.waiting.len() < GROUP {
                let Ok(job) = queue.try_recv() else { break };
                self.take(&mut group, job);
            }
            if group.waiting.is_empty() {
                continue;
            }
            let size = group.waiting.len();
            let written = std::panic::catch_unwind(AssertUnwindSafe(|| self.write(group.batch)))
                .unwrap_or_else(|panic| Err(words_of(panic.as_ref())));
            metrics::histogram!("yizhan_commit_seconds", "store" => "vault").record(began.elapsed().as_secs_f64());
            metrics::histogram!("yizhan_commit_group", "store" => "vault").record(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
            if let Err(cause) = &written {
                tracing::error!(cause, "the vault's store cannot be written any more; restart the service after mending the disk");
                failed.send_replace(Some(cause.clone()));
            }
            let answer = written.map_err(ShelfError::Failed);
            for waiting in group.waiting {
                let _ = waiting.send(answer.clone());
            }
            if answer.is_err() {
                Self::refuse(queue, &answer);
                return;
            }
        }
    }

    /// Answers everything that still comes.
    fn refuse(mut queue: mpsc::Receiver<Job>, failure: &Result<(), ShelfError>) {
        queue.close();
        while let Some(Job::Commit { answer, .. } | Job::Import { answer, .. }) = queue.blocking_recv() {
            let _ = answer.send(failure.clone());
        }
    }

    /// Adds a job to the group, or answers at once why not.
    fn take(&self, group: &mut Group, job: Job) {
        match job {
            Job::Import { entries, answer } => {
                for (key, value) in entries {
                    group.versions.insert(key.clone(), split(&value).map_or(0, |(version, _)| version));
                    group.batch.insert(key, value);
                }
                group.waiting.push(answer);
            }
            Job::Commit { changes, answer } => {
                let added = std::panic::catch_unwind(AssertUnwindSafe(|| self.add(group, changes)))
                    .unwrap_or_else(|panic| Err(ShelfError::Damaged(words_of(panic.as_ref()))));
                match added {
                    Ok(()) => group.waiting.push(answer),
                    Err(error) => drop(answer.send(Err(error))),
                }
            }
        }
    }

    /// Adds all changes to the group, or none. Versions count the changes of the group that are not written yet.
    fn add(&self, group: &mut Group, changes: Vec<RawChange>) -> Result<(), ShelfError> {
        let mut prepared: Vec<(Vec<u8>, u64, Option<Vec<u8>>)> = Vec::with_capacity(changes.len());
        for change in changes {
            let pending = prepared.iter().rev().find(|(key, ..)| *key == change.key).map(|(_, version, _)| *version);
            let version = match pending.or_else(|| group.versions.get(&change.key).copied()) {
                Some(version) => version,
                None => self.version(&change.key)?,
            };
            if change.expected.is_some_and(|expected| expected != version) {
                return Err(ShelfError::Conflict);
            }
            match change.body {
                None => prepared.push((change.key, 0, None)),
                Some(body) => {
                    let version = version.saturating_add(1);
                    let value = self.sealed(change.kind, &change.key, version, &body)?;
                    prepared.push((change.key, version, Some(value)));
                }
            }
        }
        for (key, version, value) in prepared {
            match value {
                Some(value) => group.batch.insert(key.clone(), value),
                None => group.batch.remove(key.clone()),
            }
            group.versions.insert(key, version);
        }
        Ok(())
    }

    fn version(&self, key: &[u8]) -> Result<u64, ShelfError> {
        let stored = self.tree.get(key).map_err(|error| ShelfError::Damaged(error.to_string()))?;
        Ok(stored.and_then(|value| split(&value).map(|(version, _)| version)).unwrap_or(0))
    }

    fn sealed(&self, kind: &str, key: &[u8], version: u64, body: &[u8]) -> Result<Vec<u8>, ShelfError> {
        let sealed = self.at_rest.seal(kind, &bound(key, version), body).map_err(|error| ShelfError::Unsealed(error.to_string()))?;
        Ok([version.to_be_bytes().as_slice(), &sealed].concat())
    }

    /// The batch on the disk. Sled's own flush stops at `sync_file_range`, which survives no power cut.
    fn write(&self, batch: sled::Batch) -> Result<(), String> {
        self.tree.apply_batch(batch).map_err(|error| error.to_string())?;
        self.tree.flush().map_err(|error| error.to_string())?;
        self.data.sync_data().map_err(|error| format!("fdatasync: {error}"))
    }

    /// Seals the next records behind `after` again if a former master key sealed them. Where it got to, `None` at the end.
    /// Not synced: what is lost is simply sealed again at the next start, and the next commit syncs it anyway.
    fn reseal(&self, after: Vec<u8>) -> Option<Vec<u8>> {
        std::panic::catch_unwind(AssertUnwindSafe(|| self.reseal_chunk(&after))).unwrap_or_else(|panic| {
            tracing::error!(cause = words_of(panic.as_ref()), "records of the vault could not be sealed under the new master key");
            None
        })
    }

    fn reseal_chunk(&self, after: &[u8]) -> Option<Vec<u8>> {
        let mut batch = sled::Batch::default();
        let (mut last, mut replaced) = (None, 0_u32);
        for entry in self.tree.range(after..).take(RESEAL_CHUNK + 1) {
            let (key, value) = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::error!(%error, "a record of the vault could not be read");
                    return None;
                }
            };
            if key.as_ref() == after {
                continue;
            }
            last = Some(key.to_vec());
            if let Some(value) = self.resealed(&key, &value) {
                batch.insert(key, value);
                replaced += 1;
            }
        }
        if replaced > 0 {
            if let Err(error) = self.tree.apply_batch(batch) {
                tracing::error!(%error, "records of the vault could not be sealed under the new master key");
                return None;
            }
            tracing::info!(records = replaced, "records of the vault were sealed under the new master key");
        }
        last
    }

    /// The value sealed under the current key; `None` when it is already, or cannot be opened (reading it says so).
    fn resealed(&self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let (version, sealed) = split(value)?;
        if !self.at_rest.is_outdated(sealed) {
            return None;
        }
        let kind = std::str::from_utf8(key.split(|byte| *byte == 0).next()?).ok()?;
        let body = self.at_rest.open(kind, &bound(key, version), sealed).ok()?;
        self.sealed(kind, key, version, &body).ok()
    }
}
