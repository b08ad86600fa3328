//! The vault's store: one sled tree, one committing thread, every commit followed by our own `sync_data`.
//!
//! Opened by `app`; called through the ports [`TokenShelf`] and [`SubscriptionBook`]. Every value is sealed under the master key;
//! nothing here ever logs a value. The folder belongs to one process: sled locks its file.
//!
//! Key: `kind ‖ 0 ‖ component ‖ 0 ‖ name`. Value: `version (8 bytes, big endian) ‖ sealed body`; the seal binds key and version.
//! All records are in one tree because a batch over several trees is not atomic in sled 0.34.

mod backup;
mod book;
mod examine;
mod moment;
mod requests;
mod writer;

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::inbox::LogError;
use crate::store::at_rest::{AtRest, AtRestError, OTHER_KEY};
use crate::store::commit::{Committer, Limits, panic_text};
use crate::vault::shelf::{Change, Kind, Record, RecordKey, ShelfError, TokenShelf};

pub use backup::{VaultMoment, VaultRestore, is_known, is_read, sealed_part};
pub use examine::{VaultState, examine};
use writer::{Job, RawChange, Writer};

/// Memory that sled may use for pages. The vault keeps what is read often in its own memory.
const CACHE_BYTES: u64 = 8 << 20;

/// How often a record is looked up where it is wanted once. Sled 0.34 evicts only when the accesses to one of its 256 parts have filled a queue of
/// 64: whatever the size of the cache, the pages of the last 16,384 accesses stay in memory, which are those of a hundred thousand authorizers (some
/// 150 MiB). Looking up a page that is in memory costs about a microsecond, and fills the queue with one page instead of many.
const LOOKS: usize = 8;

/// What may wait for the committing thread, and how much it writes at a time.
const LIMITS: Limits = Limits { queue: 4096, queue_bytes: 16 << 20, group: 512, group_bytes: 1 << 20 };

/// How long a store that is in use is asked for again.
const LETTING_GO: Duration = Duration::from_secs(1);

/// Kind of the record that says which layout the store has, and proves at open that the master key is the right one.
const FORMAT: &str = "format";

/// Kind of the record whose version counts the commits: written with each of them, so that a vault that lost its end shows it.
const COMMITS: &str = "commits";

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
    /// A restore was asked for where something is.
    #[error("there is something in `{folder}` already")]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
}

impl OpenError {
    /// The same of that folder, when what was opened is a copy of it.
    #[must_use]
    pub fn of(self, folder: &Path) -> Self {
        let folder = folder.to_owned();
        match self {
            Self::Unusable { cause, .. } => Self::Unusable { folder, cause },
            Self::InUse { .. } => Self::InUse { folder },
            Self::Damaged { cause, .. } => Self::Damaged { folder, cause },
            Self::OtherKey { id, .. } => Self::OtherKey { folder, id },
            Self::NotEmpty { .. } => Self::NotEmpty { folder },
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unusable { .. } => "check that the folder exists, belongs to this user, and that the disk is neither full nor read-only",
            Self::InUse { .. } => "stop the other process, or give this one a folder of its own (`store.url`)",
            Self::Damaged { .. } => {
                "`yizhan check --store` says what is left; `yizhan restore --only vault --replace` puts the newest backup's in its place and keeps this one; \
                 without a backup, move the folder away and start: tickets come back by themselves within minutes, \
                 and authorizers are won back by `POST …/token/refresh` where the platform can recover a lost token"
            }
            Self::NotEmpty { .. } => "restore into an empty folder",
            Self::OtherKey { .. } => OTHER_KEY,
        }
    }
}

/// The vault's store in one folder.
pub struct SledVault {
    tree: sled::Tree,
    at_rest: Arc<AtRest>,
    committer: Committer<Job>,
    commits: Arc<AtomicU64>,
}

impl SledVault {
    /// Opens the store, or makes it. Records sealed under a former master key are sealed again in the background.
    ///
    /// # Errors
    /// What is wrong; [`OpenError::hint`] says what to do.
    pub async fn open(folder: &Path, at_rest: Arc<AtRest>) -> Result<Arc<Self>, OpenError> {
        let folder = folder.to_owned();
        let unusable = OpenError::Unusable { folder: folder.clone(), cause: String::from("the opening thread ended early") };
        let opened = tokio::task::spawn_blocking(move || Self::open_now(&folder, at_rest)).await.map_err(|_| unusable)??;
        let (opened, is_outdated) = opened;
        if is_outdated {
            tokio::spawn(reseal(Arc::downgrade(&opened)));
        }
        Ok(opened)
    }

    /// With whether former seals are left.
    fn open_now(folder: &Path, at_rest: Arc<AtRest>) -> Result<(Arc<Self>, bool), OpenError> {
        let unusable = |error: std::io::Error| OpenError::Unusable { folder: folder.to_owned(), cause: error.to_string() };
        make(folder, &at_rest)?;
        let (writer, is_outdated) = writer_in(folder, &at_rest)?;
        let tree = writer.tree.clone();
        let commits = guarded(folder, || tree.get(raw_key(COMMITS, "", "")))?;
        let commits = commits.and_then(|value| split(&value).map(|(version, _)| version)).unwrap_or_default();
        writer.commits.store(commits, Ordering::Release);
        let commits = Arc::clone(&writer.commits);
        let committer = Committer::start("vault", LIMITS, writer).map_err(unusable)?;
        Ok((Arc::new(Self { tree, at_rest, committer, commits }), is_outdated))
    }

    /// How many commits are durable, over the whole life of the store.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// What went wrong, once a write or sync has failed: final for this process.
    #[must_use]
    pub fn failed(&self) -> tokio::sync::watch::Receiver<Option<String>> {
        self.committer.failed()
    }

    /// How long the present commit takes already; zero where there is none.
    #[must_use]
    pub fn commits_for(&self) -> std::time::Duration {
        self.committer.commits_for()
    }

    async fn submit<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, ShelfError>>) -> Job) -> Result<T, ShelfError> {
        self.committer.ask_now(job).await.map_err(|error| match error {
            LogError::Full => ShelfError::Full,
            LogError::Failed(cause) => ShelfError::Failed(cause),
            error @ (LogError::NoPosition | LogError::Crowded | LogError::OtherKey(_) | LogError::Unread(_)) => {
                ShelfError::Failed(error.to_string())
            }
            LogError::Damaged(cause) => ShelfError::Damaged(cause),
        })?
    }

    /// Reads on a thread that may block.
    async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Reader) -> Result<T, ShelfError> + Send + 'static) -> Result<T, ShelfError> {
        let reader = self.reader();
        tokio::task::spawn_blocking(move || reader.guarded(read)).await.map_err(|error| ShelfError::Failed(error.to_string()))?
    }

    /// Reads on this thread: little.
    fn read_now<T>(&self, read: impl FnOnce(&Reader) -> Result<T, ShelfError>) -> Result<T, ShelfError> {
        self.reader().guarded(read)
    }

    fn reader(&self) -> Reader {
        Reader { tree: self.tree.clone(), at_rest: Arc::clone(&self.at_rest) }
    }
}

#[async_trait::async_trait]
impl TokenShelf for SledVault {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, ShelfError> {
        let (kind, raw) = (key.kind.as_str(), raw_key(key.kind.as_str(), &key.component, &key.name));
        // Here and now: one record takes some ten microseconds, less than the way to another thread and back. And dozens of threads that each read a
        // record at a time have taken memory for as many pages of the store.
        self.read_now(|reader| {
            let stored = look_up(&reader.tree, &raw).map_err(|error| ShelfError::Damaged(error.to_string()))?;
            Ok(stored.map(|value| reader.record(kind, &raw, key.name.clone(), &value)))
        })
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
                let name = String::from_utf8_lossy(name).into_owned();
                // A range is one access per page, so that reading the whole store at start would leave all of it in memory (see `LOOKS`).
                let _ = reader.tree.get(&raw);
                records.push(reader.record(kind.as_str(), &raw, name, &value));
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
        self.submit(|answer| Job::Change(changes, answer)).await
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
    /// A panic of sled is damage.
    fn guarded<T>(&self, read: impl FnOnce(&Self) -> Result<T, ShelfError>) -> Result<T, ShelfError> {
        catch_unwind(AssertUnwindSafe(|| read(self))).unwrap_or_else(|panic| Err(ShelfError::Damaged(panic_text(&*panic).to_owned())))
    }

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

/// Opens sled's tree. No background flusher: the committing thread alone says what is durable when.
fn tree_in(folder: &Path) -> Result<sled::Tree, OpenError> {
    let settings = sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let began = Instant::now();
    let mut repaired = false;
    loop {
        match guarded(folder, || settings.open().and_then(|db| db.open_tree("vault"))) {
            // Sled's own threads let go of the file a moment after a store was closed, also of the one that was made just now.
            Err(OpenError::InUse { .. }) if began.elapsed() < LETTING_GO => std::thread::sleep(Duration::from_millis(10)),
            Err(OpenError::Damaged { .. }) if !repaired && unfinished_snapshots_removed(folder) => repaired = true,
            opened => return opened,
        }
    }
}

/// Sled 0.34 writes a snapshot of its page table as `snap.….generating` and renames it. One that a kill left half written it takes for
/// the newest and calls it corrupt. It holds nothing of its own: the snapshot before it and the log beside it have everything.
/// Whether there was one.
fn unfinished_snapshots_removed(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let unfinished = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "generating"));
    let removed: Vec<_> = unfinished.filter(|path| fs::remove_file(path).is_ok()).collect();
    if !removed.is_empty() {
        tracing::warn!(folder = %folder.display(), "a snapshot of the vault was half written when its process ended; it is removed");
    }
    !removed.is_empty()
}

/// Sled 0.34 panics on some kinds of damage instead of answering with an error.
fn guarded<T>(folder: &Path, open: impl FnOnce() -> sled::Result<T>) -> Result<T, OpenError> {
    let folder = folder.to_owned();
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => Err(OpenError::InUse { folder }),
        Ok(Err(sled::Error::Io(error))) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Err(OpenError::Unusable { folder, cause: error.to_string() })
        }
        Ok(Err(error)) => Err(OpenError::Damaged { folder, cause: error.to_string() }),
        Err(panic) => Err(OpenError::Damaged { folder, cause: panic_text(&*panic).to_owned() }),
    }
}

/// With whether former seals are left.
fn writer_in(folder: &Path, at_rest: &Arc<AtRest>) -> Result<(Writer, bool), OpenError> {
    let unusable = |error: std::io::Error| OpenError::Unusable { folder: folder.to_owned(), cause: error.to_string() };
    let tree = tree_in(folder)?;
    let data = File::open(folder.join("db")).map_err(unusable)?;
    let writer = Writer::new(tree, data, Arc::clone(at_rest));
    let is_outdated = check_format(folder, &writer)?;
    sync_folder(folder).map_err(unusable)?;
    Ok((writer, is_outdated))
}

/// Makes a new vault beside its place and renames it: sled takes a folder that it had only begun to make for a damaged one.
fn make(folder: &Path, at_rest: &Arc<AtRest>) -> Result<(), OpenError> {
    let unusable = |error: std::io::Error| OpenError::Unusable { folder: folder.to_owned(), cause: error.to_string() };
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    let making = folder.with_extension("making");
    if making.exists() {
        fs::remove_dir_all(&making).map_err(unusable)?;
    }
    fs::create_dir_all(&making).map_err(unusable)?;
    drop(writer_in(&making, at_rest)?);
    if folder.exists() {
        fs::remove_dir(folder).map_err(unusable)?;
    }
    fs::rename(&making, folder).and_then(|()| sync_folder(folder)).map_err(unusable)
}

/// Whether this build reads a store of that layout.
fn reads(layout: &[u8]) -> bool {
    layout == LAYOUT
}

/// Writes the format record into a new store; reads it in an old one, which proves the master key. Whether that has a former seal.
fn check_format(folder: &Path, writer: &Writer) -> Result<bool, OpenError> {
    let key = raw_key(FORMAT, "", "");
    let damaged = |cause: &str| OpenError::Damaged { folder: folder.to_owned(), cause: cause.to_owned() };
    let unusable = |cause: String| OpenError::Unusable { folder: folder.to_owned(), cause };
    let made = folder.join(MADE);
    let Some(stored) = guarded(folder, || writer.tree.get(&key))? else {
        if made.exists() || !writer.tree.is_empty() {
            return Err(damaged("its format record is missing"));
        }
        let change = RawChange { kind: FORMAT, key, expected: Some(0), body: Some(Zeroizing::new(LAYOUT.to_vec())) };
        writer.write_one(change).map_err(unusable)?;
        return File::create(made).and_then(|made| made.sync_all()).map(|()| false).map_err(|error| unusable(error.to_string()));
    };
    if !made.exists() {
        // A crash came between the record and the file.
        File::create(made).and_then(|made| made.sync_all()).map_err(|error| unusable(error.to_string()))?;
    }
    let (version, sealed) = split(&stored).ok_or_else(|| damaged("its format record is too short"))?;
    match writer.at_rest.open(FORMAT, &bound(&key, version), sealed) {
        Ok(layout) if reads(&layout) => Ok(writer.at_rest.is_outdated(sealed)),
        Ok(_) => Err(damaged("its layout is unknown; it may have been written by a newer version")),
        Err(AtRestError::OtherKey(id)) => Err(OpenError::OtherKey { folder: folder.to_owned(), id }),
        Err(error) => Err(damaged(&error.to_string())),
    }
}

/// Seals what a former master key sealed under the present one, a few records at a time, between the commits of others.
async fn reseal(vault: Weak<SledVault>) {
    let mut after = Vec::new();
    while let Some(vault) = vault.upgrade() {
        match vault.submit(|answer| Job::Reseal(after.clone(), answer)).await {
            Ok(Some(last)) => after = last,
            Ok(None) => return,
            Err(ShelfError::Full) => tokio::task::yield_now().await,
            Err(error) => {
                tracing::error!(%error, "records of the vault could not be sealed under the present master key; the next start tries again");
                return;
            }
        }
    }
}

/// The value of that key, looked up [`LOOKS`] times.
fn look_up(tree: &sled::Tree, key: &[u8]) -> sled::Result<Option<sled::IVec>> {
    for _ in 1..LOOKS {
        tree.get(key)?;
    }
    tree.get(key)
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

/// Makes the file's names durable: a folder is a file too.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()?;
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}
