//! What the committing thread does for the vault: one batch per group, flushed by sled, then synced by us.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::store::at_rest::AtRest;
use crate::store::commit::Commit;
use crate::vault::shelf::{LARGEST_BODY, ShelfError};

use super::moment::{Moment, Watched};
use super::{COMMITS, FORMAT, bound, look_up, raw_key, split};

/// Records looked at in one go while former seals are replaced.
const RESEAL_CHUNK: usize = 256;

/// One change, with its key as it is stored.
pub(super) struct RawChange {
    pub kind: &'static str,
    pub key: Vec<u8>,
    pub expected: Option<u64>,
    pub body: Option<Zeroizing<Vec<u8>>>,
}

impl RawChange {
    pub fn new(kind: &'static str, key: Vec<u8>, expected: Option<u64>, body: Option<Zeroizing<Vec<u8>>>) -> Result<Self, ShelfError> {
        match &body {
            Some(body) if body.len() > LARGEST_BODY => Err(ShelfError::TooLarge(body.len())),
            _ => Ok(Self { kind, key, expected, body }),
        }
    }
}

/// Whoever waits for an answer.
type Asker<T> = oneshot::Sender<Result<T, ShelfError>>;

/// What the thread is asked to do.
pub(super) enum Job {
    /// All changes or none.
    Change(Vec<RawChange>, Asker<()>),
    /// The next records behind that key sealed again, if a former master key sealed them. Answers where it got to; `None` at the end.
    Reseal(Vec<u8>, Asker<Option<Vec<u8>>>),
    /// Everything as it is before this group.
    Moment(oneshot::Sender<Moment>),
}

/// The one who writes.
pub(super) struct Writer {
    pub tree: sled::Tree,
    pub at_rest: Arc<AtRest>,
    /// Key of the format record.
    format: Vec<u8>,
    /// Key of the record that counts commits.
    count: Vec<u8>,
    /// The file that sled writes to, opened once more for our own sync.
    data: File,
    /// Durable commits so far.
    pub commits: Arc<AtomicU64>,
    /// Moments that are being read.
    moments: Vec<Watched>,
}

/// A batch in the making, with the versions it will leave behind of all that it writes.
#[derive(Default)]
struct Group {
    batch: sled::Batch,
    versions: HashMap<Vec<u8>, u64>,
    is_empty: bool,
}

impl Group {
    fn put(&mut self, key: Vec<u8>, version: u64, value: Vec<u8>) {
        self.batch.insert(key.clone(), value);
        self.versions.insert(key, version);
        self.is_empty = false;
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.batch.remove(key.clone());
        self.versions.insert(key, 0);
        self.is_empty = false;
    }
}

type Resealing = (Asker<Option<Vec<u8>>>, Option<Vec<u8>>);

/// Everybody whose changes are in the batch.
#[derive(Default)]
struct Waiting {
    changes: Vec<Asker<()>>,
    /// With the key each got to.
    reseals: Vec<Resealing>,
}

impl Commit for Writer {
    type Job = Job;

    fn weight(job: &Job) -> usize {
        match job {
            Job::Change(changes, _) => changes.iter().map(|change| change.body.as_ref().map_or(0, |body| body.len())).sum(),
            Job::Reseal(..) => RESEAL_CHUNK * 1024,
            Job::Moment(_) => 0,
        }
    }

    fn commit(&mut self, jobs: Vec<Job>) -> Result<(), String> {
        let mut group = Group { is_empty: true, ..Group::default() };
        let mut waiting = Waiting::default();
        for job in jobs {
            match job {
                Job::Change(changes, answer) => match self.add(&mut group, changes) {
                    Ok(()) => waiting.changes.push(answer),
                    Err(error) => drop(answer.send(Err(error))),
                },
                Job::Reseal(after, answer) => match self.reseal(&mut group, &after) {
                    Ok(last) => waiting.reseals.push((answer, last)),
                    Err(error) => drop(answer.send(Err(error))),
                },
                Job::Moment(answer) => {
                    let (moment, watched) = Moment::of(&self.tree);
                    self.moments.push(watched);
                    // Whoever asked may have gone away.
                    drop(answer.send(moment));
                }
            }
        }
        if !group.is_empty {
            let count = RawChange { kind: COMMITS, key: self.count.clone(), expected: None, body: Some(Zeroizing::new(Vec::new())) };
            self.add(&mut group, vec![count]).map_err(|error| error.to_string())?;
            let commits = group.versions.get(&self.count).copied();
            self.moments.retain(|moment| moment.changes(&self.tree, group.versions.keys().map(Vec::as_slice)));
            self.write(group.batch)?;
            self.commits.store(commits.unwrap_or_default(), Ordering::Release);
        }
        waiting.changes.into_iter().for_each(|answer| drop(answer.send(Ok(()))));
        waiting.reseals.into_iter().for_each(|(answer, last)| drop(answer.send(Ok(last))));
        Ok(())
    }
}

impl Writer {
    pub fn new(tree: sled::Tree, data: File, at_rest: Arc<AtRest>) -> Self {
        Self {
            tree,
            at_rest,
            format: raw_key(FORMAT, "", ""),
            count: raw_key(COMMITS, "", ""),
            data,
            commits: Arc::default(),
            moments: Vec::new(),
        }
    }

    /// One change outside the thread, before it runs.
    pub fn write_one(&self, change: RawChange) -> Result<(), String> {
        let mut group = Group::default();
        self.add(&mut group, vec![change]).map_err(|error| error.to_string())?;
        self.write(group.batch)
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
                Some(value) => group.put(key, version, value),
                None => group.remove(key),
            }
        }
        Ok(())
    }

    fn version(&self, key: &[u8]) -> Result<u64, ShelfError> {
        let stored = look_up(&self.tree, key).map_err(damaged)?;
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

    fn reseal(&self, group: &mut Group, after: &[u8]) -> Result<Option<Vec<u8>>, ShelfError> {
        let mut last = None;
        for entry in self.tree.range(after..).take(RESEAL_CHUNK + 1) {
            let (key, value) = entry.map_err(damaged)?;
            if key.as_ref() == after {
                continue;
            }
            last = Some(key.to_vec());
            // What this group writes is sealed under the present key already.
            if !group.versions.contains_key(key.as_ref())
                && key != self.format
                && let Some((version, value)) = self.resealed(&key, &value)
            {
                group.put(key.to_vec(), version, value);
            }
        }
        // The format record goes last: as long as it has the former seal, others may have it.
        if last.is_none()
            && let Some(value) = self.tree.get(&self.format).map_err(damaged)?
            && let Some((version, value)) = self.resealed(&self.format, &value)
        {
            group.put(self.format.clone(), version, value);
            tracing::info!("all records of the vault are sealed under the present master key");
        }
        Ok(last)
    }

    /// The value sealed under the present key, with its version, which stays; `None` when it is already, or cannot be opened (reading it says so).
    fn resealed(&self, key: &[u8], value: &[u8]) -> Option<(u64, Vec<u8>)> {
        let (version, sealed) = split(value)?;
        if !self.at_rest.is_outdated(sealed) {
            return None;
        }
        let kind = std::str::from_utf8(key.split(|byte| *byte == 0).next()?).ok()?;
        let body = self.at_rest.open(kind, &bound(key, version), sealed).ok()?;
        self.sealed(kind, key, version, &body).ok().map(|value| (version, value))
    }
}

fn damaged(error: sled::Error) -> ShelfError {
    ShelfError::Damaged(error.to_string())
}
