//! The vault's store: one sled tree, one committing thread, every commit followed by our own `sync_data`.
//!
//! Opened by `app`; called through the ports [`TokenShelf`] and [`SubscriptionBook`]. Every value is sealed under the master key;
//! nothing here ever logs a value. The folder belongs to one process: sled locks its file.
//!
//! Key: `kind ‖ 0 ‖ component ‖ 0 ‖ name`. Value: `version (8 bytes, big endian) ‖ sealed body`; the seal binds key and version.
//! All records are in one tree because a batch over several trees is not atomic in sled 0.34.

mod book;
mod committer;

use std::fs::{self, File};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::store::at_rest::{AtRest, AtRestError};
use crate::vault::shelf::{Change, Kind, LARGEST_BODY, Record, RecordKey, ShelfError, TokenShelf};

use committer::{Committer, Job, RawChange};

/// Memory that sled may use for pages. The vault keeps what is read often in its own memory.
const CACHE_BYTES: u64 = 16 << 20;

/// Commits that may wait for the committing thread.
const QUEUE: usize = 4096;

/// Kind of the record that says which layout the store has, and proves at open that the master key is the right one.
const FORMAT: &str = "format";

/// A file that is made once the store holds its format record. Sled opens as a new, empty store when the start of its file is lost:
/// with this file there, that is damage.
const MADE: &str = "vault.made";

/// What the format record holds.
const LAYOUT: &[u8] = b"yizhan vault 1";

/// Why the vault's store does not open, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or its files cannot be used.
    #[error("cannot open the vault in `{folder}`: {cause}")]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        cause: String,
    },
    /// Another process has it open.
    #[error("the vault in `{folder}` is in use by another process")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// What is stored cannot be read.
    #[error("the vault in `{folder}` is damaged: {cause}")]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// What was seen.
        cause: String,
    },
    /// It was sealed under another master key.
    #[error("the vault in `{folder}` was sealed under another master key (id {id})")]
    OtherKey {
        /// The folder.
        folder: PathBuf,
        /// Id of that key.
        id: String,
    },
}

impl OpenError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unusable { .. } => "check that the folder exists, belongs to this user, and that the disk is neither full nor read-only",
            Self::InUse { .. } => "stop the other process, or give this one a folder of its own (`store.url`)",
            Self::Damaged { .. } => {
                "keep a copy of the folder, then restore the newest backup (`yizhan restore`); \
                 without one, move the folder away and start: tickets come back by themselves within minutes, \
                 and authorizers are won back by `POST …/token/refresh` where the platform can recover a lost token"
            }
            Self::OtherKey { .. } => {
                "set `store.master_key` to the key it was sealed with, or add that key to `store.previous_master_keys`"
            }
        }
    }
}

/// The vault's store in one folder.
pub struct SledVault {
    tree: sled::Tree,
    at_rest: Arc<AtRest>,
    jobs: Option<mpsc::Sender<Job>>,
    failure: watch::Receiver<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

impl SledVault {
    /// Opens the store, or makes it. Records sealed under a former master key are sealed again in the background.
    ///
    /// # Errors
    /// What is wrong; [`OpenError::hint`] says what to do.
    pub async fn open(folder: &Path, at_rest: Arc<AtRest>) -> Result<Arc<Self>, OpenError> {
        let folder = folder.to_owned();
        let unusable = OpenError::Unusable { folder: folder.clone(), cause: String::from("the opening thread ended early") };
        tokio::task::spawn_blocking(move || Self::open_now(&folder, at_rest)).await.map_err(|_| unusable)?
    }

    fn open_now(folder: &Path, at_rest: Arc<AtRest>) -> Result<Arc<Self>, OpenError> {
        let unusable = |cause: &dyn std::fmt::Display| OpenError::Unusable { folder: folder.to_owned(), cause: cause.to_string() };
        let damaged = |cause: String| OpenError::Damaged { folder: folder.to_owned(), cause };
        fs::create_dir_all(folder).map_err(|error| unusable(&error))?;
        // No background flusher: this file alone says what is durable when.
        let settings = sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        // Sled 0.34 panics on some kinds of damage instead of answering with an error.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| settings.open().and_then(|db| db.open_tree("vault"))));
        let tree = match opened {
            Ok(Ok(tree)) => tree,
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
                return Err(OpenError::InUse { folder: folder.to_owned() });
            }
            Ok(Err(sled::Error::Io(error))) => return Err(unusable(&error)),
            Ok(Err(error)) => return Err(damaged(error.to_string())),
            Err(panic) => return Err(damaged(words_of(panic.as_ref()))),
        };
        // The same file that sled writes to, opened once more for our own sync.
        let data = File::open(folder.join("db")).map_err(|error| unusable(&error))?;
        let committer = Committer::new(tree.clone(), data, Arc::clone(&at_rest));
        Self::check_format(folder, &committer)?;
        sync_folder(folder).map_err(|error| unusable(&error))?;

        let (jobs, queue) = mpsc::channel(QUEUE);
        let (failed, failure) = watch::channel(None);
        let thread = std::thread::Builder::new()
            .name(String::from("vault-commit"))
            .spawn(move || committer.run(queue, &failed))
            .map_err(|error| unusable(&error))?;
        Ok(Arc::new(Self { tree, at_rest, jobs: Some(jobs), failure, thread: Some(thread) }))
    }

    /// Writes the format record into a new store; reads it in an old one, which proves the master key.
    fn check_format(folder: &Path, committer: &Committer) -> Result<(), OpenError> {
        let key = raw_key(FORMAT, "", "");
        let damaged = |cause: String| OpenError::Damaged { folder: folder.to_owned(), cause };
        let stored = std::panic::catch_unwind(AssertUnwindSafe(|| committer.tree.get(&key)))
            .map_err(|panic| damaged(words_of(panic.as_ref())))?
            .map_err(|error| damaged(error.to_string()))?;
        let Some(stored) = stored else {
            if folder.join(MADE).exists() || !committer.tree.is_empty() {
                return Err(damaged(String::from("its format record is missing")));
            }
            let unusable = |cause: String| OpenError::Unusable { folder: folder.to_owned(), cause };
            let change = RawChange { kind: FORMAT, key, expected: Some(0), body: Some(Zeroizing::new(LAYOUT.to_vec())) };
            committer.commit_one(change).map_err(|error| unusable(error.to_string()))?;
            return File::create(folder.join(MADE)).and_then(|made| made.sync_all()).map_err(|error| unusable(error.to_string()));
        };
        let (version, sealed) = split(&stored).ok_or_else(|| damaged(String::from("its format record is too short")))?;
        match committer.at_rest.open(FORMAT, &bound(&key, version), sealed) {
            Ok(layout) if layout.as_slice() == LAYOUT => Ok(()),
            Ok(_) => Err(damaged(String::from("its layout is unknown; it may have been written by a newer version"))),
            Err(AtRestError::OtherKey(id)) => Err(OpenError::OtherKey { folder: folder.to_owned(), id }),
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    /// Returns the cause once a write or sync has failed: final for this process. Never returns while all is well.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or_default(),
            Err(_) => String::from("the committing thread ended"),
        }
    }

    /// Every key with its sealed value, for a backup while the store is in use. Later changes may or may not be in it;
    /// each record is whole, and records of one commit are either all new or all old only if nothing is written meanwhile.
    pub fn export(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), ShelfError>> + Send + use<> {
        self.tree.iter().map(|entry| match entry {
            Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
            Err(error) => Err(ShelfError::Damaged(error.to_string())),
        })
    }

    /// Puts keys with sealed values back as [`SledVault::export`] gave them; durable when it returns. For a restore into a new store
    /// that nobody uses yet.
    ///
    /// # Errors
    /// As [`TokenShelf::commit`].
    pub async fn import(&self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), ShelfError> {
        self.submit(|answer| Job::Import { entries, answer }).await
    }

    async fn submit(&self, job: impl FnOnce(oneshot::Sender<Result<(), ShelfError>>) -> Job) -> Result<(), ShelfError> {
        if let Some(cause) = self.failure.borrow().as_ref() {
            return Err(ShelfError::Failed(cause.clone()));
        }
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.try_send(job(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ShelfError::Full,
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        metrics::gauge!("yizhan_queue_depth", "queue" => "vault")
            .set(f64::from(u32::try_from(jobs.max_capacity() - jobs.capacity()).unwrap_or(u32::MAX)));
        answered.await.map_err(|_| ended())?
    }

    /// Reads on a thread that may block; a panic of sled is damage.
    async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Reader) -> Result<T, ShelfError> + Send + 'static) -> Result<T, ShelfError> {
        let reader = Reader { tree: self.tree.clone(), at_rest: Arc::clone(&self.at_rest) };
        tokio::task::spawn_blocking(move || {
            std::panic::catch_unwind(AssertUnwindSafe(|| read(&reader)))
                .unwrap_or_else(|panic| Err(ShelfError::Damaged(words_of(panic.as_ref()))))
        })
        .await
        .map_err(|error| ShelfError::Failed(error.to_string()))?
    }
}

impl Drop for SledVault {
    /// Lets the thread finish what waits, so that the folder can be opened again at once.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[async_trait::async_trait]
impl TokenShelf for SledVault {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, ShelfError> {
        let (kind, raw, name) = (key.kind.as_str(), raw_key(key.kind.as_str(), &key.component, &key.name), key.name.clone());
        self.read(move |reader| {
            let stored = reader.tree.get(&raw).map_err(|error| ShelfError::Damaged(error.to_string()))?;
            Ok(stored.map(|value| reader.record(kind, &raw, name, &value)))
        })
        .await
    }

    async fn page(&self, kind: Kind, component: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>, ShelfError> {
        let prefix = raw_key(kind.as_str(), component, "");
        let after = after.map(|name| [prefix.as_slice(), name.as_bytes()].concat());
        self.read(move |reader| {
            let start = after.clone().unwrap_or_else(|| prefix.clone());
            let mut records = Vec::new();
            for entry in reader.tree.range(start..) {
                let (raw, value) = entry.map_err(|error| ShelfError::Damaged(error.to_string()))?;
                let Some(name) = raw.strip_prefix(prefix.as_slice()) else { break };
                if records.len() >= limit {
                    break;
                }
                if after.as_deref() == Some(raw.as_ref()) {
                    continue;
                }
                records.push(reader.record(kind.as_str(), &raw, String::from_utf8_lossy(name).into_owned(), &value));
            }
            Ok(records)
        })
        .await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), ShelfError> {
        let changes = changes
            .into_iter()
            .map(|change| {
                let kind = change.key.kind.as_str();
                RawChange::new(kind, raw_key(kind, &change.key.component, &change.key.name), change.expected, change.body)
            })
            .collect::<Result<_, _>>()?;
        self.submit(|answer| Job::Commit { changes, answer }).await
    }

    /// Granted always: the file lock makes this process the only one.
    async fn lease(&self, _name: &str, _holder: Uuid, _now: Timestamp, _until: Timestamp) -> Result<Option<Timestamp>, ShelfError> {
        Ok(None)
    }
}

struct Reader {
    tree: sled::Tree,
    at_rest: Arc<AtRest>,
}

impl Reader {
    fn record(&self, kind: &str, raw: &[u8], name: String, value: &[u8]) -> Record {
        let Some((version, sealed)) = split(value) else {
            tracing::error!(kind, "a record of the vault is too short to be one");
            return Record { name, version: 0, body: None };
        };
        let body = match self.at_rest.open(kind, &bound(raw, version), sealed) {
            Ok(body) => Some(body),
            Err(error) => {
                tracing::error!(kind, name, %error, "a record of the vault cannot be opened");
                None
            }
        };
        Record { name, version, body }
    }
}

impl RawChange {
    fn new(kind: &'static str, key: Vec<u8>, expected: Option<u64>, body: Option<Zeroizing<Vec<u8>>>) -> Result<Self, ShelfError> {
        match &body {
            Some(body) if body.len() > LARGEST_BODY => Err(ShelfError::TooLarge(body.len())),
            _ => Ok(Self { kind, key, expected, body }),
        }
    }
}

fn raw_key(kind: &str, component: &str, name: &str) -> Vec<u8> {
    [kind.as_bytes(), &[0], component.as_bytes(), &[0], name.as_bytes()].concat()
}

/// What the seal is bound to: a sealed body neither opens under another key nor as another version.
fn bound(key: &[u8], version: u64) -> Vec<u8> {
    [key, &version.to_be_bytes()].concat()
}

fn split(value: &[u8]) -> Option<(u64, &[u8])> {
    let (version, sealed) = value.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*version), sealed))
}

fn ended() -> ShelfError {
    ShelfError::Failed(String::from("the committing thread ended"))
}

/// What a panic said.
fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| String::from("the store stopped without a word"))
}

/// Makes the file's names durable: a folder is a file too.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()?;
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}
