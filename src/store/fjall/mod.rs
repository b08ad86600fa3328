//! The log in fjall: events, deliveries, refused pushes, replay jobs and the read audit, behind the ports of `inbox`, `fanout` and `vault`.
//!
//! Opened by `app`. One thread writes (`writer`, through [`crate::store::commit`]); everybody reads. Keyspaces by day (`days`) make retention
//! cheap; what waits for its handler is on disk, not in memory (`waiting`). Never decides what happens to a delivery, and knows no vendor.
//!
//! Keyspaces: `event.D`, `index.D`, `delivery.D` for each day D, `seen.D.E` for the dedupe keys of days D to E, and `meta`, `waiting`, `dead`, `rejected`, `records`.

mod accept;
mod answers;
mod around;
mod attributes;
mod backup;
mod days;
mod deliveries;
mod events;
mod examine;
mod facts;
mod journal;
mod lines;
mod memory;
mod meta;
mod outbox;
mod passing;
mod past;
mod playbooks;
mod postings;
mod reads;
mod reconcile;
mod record;
mod records;
mod rejected;
mod replays;
mod reseal;
mod retention;
mod rollouts;
mod runs;
mod seen;
mod settle;
mod tidy;
mod told;
mod turns;
mod versions;
mod waiting;
mod walk;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fjall::{Database, Keyspace};
use tokio::sync::watch;

pub use backup::{LogMoment, LogRestore, is_known, is_read, sealed_part};
pub use examine::{LogState, examine};

use crate::clock::{Clock, Timestamp};
use crate::inbox::LogError;
use crate::store::at_rest::AtRest;
use crate::store::commit::{Committer, Limits, panic_text};
use turns::{Turns, aside};

/// How the log is opened.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Memory for caches, in bytes.
    pub cache_bytes: u64,
    /// How long a message is remembered at least, so that its repetition is not a new event.
    pub dedupe_retention: Duration,
    /// Refused pushes kept at most.
    pub rejected_keep: usize,
    /// How long refused pushes are kept.
    pub rejected_retention: Duration,
    /// How much of what was removed may still stand on the disk in a keyspace that stays (`tidy`), beside as much as it should hold.
    pub surplus_bytes: u64,
    /// Writes that may wait; one more is answered 503.
    pub queue: usize,
    /// Writes in one group.
    pub group: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            cache_bytes: 24 * 1024 * 1024,
            dedupe_retention: 7 * DAY,
            rejected_keep: 10_000,
            rejected_retention: 7 * DAY,
            surplus_bytes: 64 * 1024 * 1024,
            queue: 4096,
            group: 1024,
        }
    }
}

/// Bytes that may wait: a full queue of usual pushes is a fifth of that.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// Bytes in one group.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Room for the journal: what is in it must be replayed after a crash.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

/// Files kept open: a usual limit of a process is 1024, and connections need most of them.
const OPEN_FILES: usize = 256;

/// Threads that flush and compact. With more than one, fjall 3.1's first worker keeps itself free for flushes by putting compactions back into the
/// queue again and again while the others are busy, which took an eighth of the processor's time of a push (docs/bench.md). With one, its queue must
/// never be full: see `memory`.
const WORKERS: usize = 1;

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the log at {} is in use by another process: stop that one first", .0.display())]
    Locked(PathBuf),
    /// Its content is damaged.
    #[error(
        "the log at {} is damaged ({detail}): `yizhan check --store` says what is left; `yizhan restore --only log --replace` puts the newest \
         backup's in its place, or move that folder away and start with an empty one: platforms send unacknowledged pushes again, and Baidu can \
         repeat older ones",
        .path.display()
    )]
    Damaged {
        /// Its folder.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// Made by another version.
    #[error("the log at {} has a form that this build does not know: run the version that wrote it", .0.display())]
    Version(PathBuf),
    /// A folder or file cannot be used.
    #[error("the log at {} cannot be opened: {error}", .path.display())]
    Io {
        /// Its folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A restore was asked for where something is.
    #[error("there is a log at {} already: restore into an empty folder", .0.display())]
    NotEmpty(PathBuf),
}

impl OpenError {
    /// The same of that folder, when what was opened is a copy of it.
    #[must_use]
    pub fn of(self, folder: &Path) -> Self {
        let path = folder.to_owned();
        match self {
            Self::Locked(_) => Self::Locked(path),
            Self::Damaged { detail, .. } => Self::Damaged { path, detail },
            Self::Version(_) => Self::Version(path),
            Self::Io { error, .. } => Self::Io { path, error },
            Self::NotEmpty(_) => Self::NotEmpty(path),
        }
    }
}

/// What all parts of the log share.
struct Store {
    db: Database,
    meta: Keyspace,
    waiting: Keyspace,
    dead: Keyspace,
    rejected: Keyspace,
    records: Keyspace,
    days: days::Days,
    marks: seen::Marks,
    lines: lines::Lines,
    /// Days up to this one were emptied or are: nothing new is written into them, and what lies between them may be gone. Written by the committing thread.
    closed: AtomicU32,
    newest: watch::Sender<u64>,
    /// Read once: it never changes while a log is open.
    timeline: Option<u64>,
    at_rest: Arc<AtRest>,
    clock: Arc<dyn Clock>,
    options: LogOptions,
    /// How many read at a time.
    turns: Turns,
    /// Records that cannot be read and were named.
    unread: std::sync::Mutex<records::Unread>,
}

/// The log. Implements [`crate::inbox::EventLog`], [`crate::fanout::Outbox`], [`crate::inbox::Rejections`],
/// [`crate::inbox::replay::ReplayLog`], [`crate::attributes::AttributeShelf`] and [`crate::vault::audit::ReadLog`].
pub struct FjallLog {
    store: Arc<Store>,
    committer: Committer<writer::Job>,
    rejected: std::sync::Mutex<rejected::Kept>,
    tidiness: tidy::Tidiness,
    _memory: memory::Watch,
}

/// Events that damage took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub events: u64,
    /// The last sequence that is still there; everything behind it up to the mark is gone.
    pub after: u64,
}

/// Holds the newest stored sequence against the high-water mark that the vault remembers of acknowledged ones.
#[must_use]
pub fn missing_since(last: u64, mark: u64) -> Option<Lost> {
    mark.checked_sub(last).filter(|events| *events > 0).map(|events| Lost { events, after: last })
}

/// Opens a database, with panics of the engine caught: it panics on some kinds of damage.
fn guarded<T>(folder: &Path, open: impl FnOnce() -> Result<T, fjall::Error>) -> Result<T, OpenError> {
    let path = folder.to_path_buf();
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(fjall::Error::Locked)) => Err(OpenError::Locked(path)),
        Ok(Err(fjall::Error::InvalidVersion(_))) => Err(OpenError::Version(path)),
        Ok(Err(fjall::Error::Io(error))) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(OpenError::Io { path, error }),
        Ok(Err(error)) => Err(OpenError::Damaged { path, detail: error.to_string() }),
        Err(panic) => Err(OpenError::Damaged { path, detail: panic_text(&*panic).to_owned() }),
    }
}

fn database(folder: &Path, cache_bytes: u64) -> fjall::Result<Database> {
    Database::builder(folder)
        .worker_threads(WORKERS)
        .cache_size(cache_bytes)
        .max_journaling_size(JOURNAL_BYTES)
        .max_cached_files(Some(OPEN_FILES))
        .open()
}

impl FjallLog {
    /// Opens the log in that folder, or makes it.
    ///
    /// # Errors
    /// In use, damaged, of another version or unreadable; each says what to do.
    pub fn open(folder: &Path, at_rest: Arc<AtRest>, options: LogOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>, OpenError> {
        make(folder)?;
        look_at_journals(folder)?;
        let opened = guarded(folder, || Self::read(folder, at_rest, options, clock))?;
        let (store, writer) = opened.ok_or_else(|| OpenError::Version(folder.to_path_buf()))?;
        let limits = Limits { queue: store.options.queue, queue_bytes: QUEUE_BYTES, group: store.options.group, group_bytes: GROUP_BYTES };
        let rejected = guarded(folder, || rejected::Kept::open(&store))?;
        let io = |error| OpenError::Io { path: folder.to_path_buf(), error };
        let memory = memory::Watch::start(&store).map_err(io)?;
        let committer = Committer::start("log", limits, writer).map_err(io)?;
        let (rejected, tidiness) = (std::sync::Mutex::new(rejected), tidy::Tidiness::default());
        Ok(Arc::new(Self { store, committer, rejected, tidiness, _memory: memory }))
    }

    fn read(
        folder: &Path,
        at_rest: Arc<AtRest>,
        options: LogOptions,
        clock: Arc<dyn Clock>,
    ) -> fjall::Result<Option<(Arc<Store>, writer::Writer)>> {
        std::fs::create_dir_all(folder)?;
        let db = database(folder, options.cache_bytes)?;
        let part = |name: &str| days::keyspace(&db, name);
        let (meta, waiting, dead) = (part("meta")?, part("waiting")?, part("dead")?);
        let (rejected, records) = (part("rejected")?, part(records::KEYSPACE)?);
        match meta.get(meta::FORMAT)? {
            Some(format) if meta::is_read(&format) => {}
            Some(_) => return Ok(None),
            None => meta.insert(meta::FORMAT, [meta::FORMAT_NOW])?,
        }
        let remembered = meta.get(meta::SEQUENCE)?.and_then(|value| record::last_number(&value)).unwrap_or_default();
        let timeline = meta.get(meta::TIMELINE)?.and_then(|value| record::last_number(&value));
        let (days, sequence) = days::Days::open(&db, &meta, remembered)?;
        let lines = lines::Lines::open(&db, &meta, &waiting)?;
        let seen = seen::Seen::open(&db, options.dedupe_retention)?;
        let newest = watch::Sender::new(sequence);
        let marks = seen.marks();
        let closed = AtomicU32::new(days.newest_noted().unwrap_or(days::KEPT));
        let turns = Turns::new();
        let store = Arc::new(Store {
            db,
            meta,
            waiting,
            dead,
            rejected,
            records,
            days,
            marks,
            lines,
            closed,
            newest,
            timeline,
            at_rest,
            clock,
            options,
            turns,
            unread: std::sync::Mutex::default(),
        });
        let writer = writer::Writer::new(store.clone(), seen, sequence)?;
        Ok(Some((store, writer)))
    }

    /// The newest sequence: of an event that is on the disk.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        *self.store.newest.borrow()
    }

    /// The newest event that is still there: its sequence and when it was received.
    ///
    /// # Errors
    /// Damage.
    pub fn last_event(&self) -> Result<Option<(u64, Timestamp)>, LogError> {
        for day in self.store.days.all().iter().rev() {
            let Some(last) = day.events.last_key_value() else { continue };
            let (key, value) = last.into_inner().map_err(damaged)?;
            let sequence = record::last_number(&key).unwrap_or_default();
            return Ok(record::read_event(sequence, &record::shared(value)).map(|(event, _)| (sequence, event.received_at)));
        }
        Ok(None)
    }

    /// Gives later events sequences above that one: after a loss, so that no sequence stands for two events.
    ///
    /// # Errors
    /// The log cannot write.
    pub async fn continue_after(&self, sequence: u64) -> Result<(), LogError> {
        self.committer.ask(|answer| writer::Job::ContinueAfter(sequence, answer)).await
    }

    /// Up to which sequence events had been acknowledged when a backup was put back in place of this log's predecessor; 0 when none was.
    ///
    /// # Errors
    /// Damage.
    pub fn expected(&self) -> Result<u64, LogError> {
        Ok(self.store.meta_number(meta::EXPECTED).map_err(damaged)?.unwrap_or_default())
    }

    /// How many commits the vault had, when the log was last told.
    ///
    /// # Errors
    /// Damage.
    pub fn vault_commits(&self) -> Result<Option<u64>, LogError> {
        self.store.meta_number(meta::VAULT).map_err(damaged)
    }

    /// Remembers durably how many commits the vault has: the vault does the same for events, so that neither can lose its end unnoticed.
    ///
    /// # Errors
    /// The log cannot write.
    pub async fn remember_vault(&self, commits: u64) -> Result<(), LogError> {
        let put = (self.store.meta.clone(), meta::VAULT.to_vec(), Some(bytes::Bytes::copy_from_slice(&commits.to_be_bytes())));
        self.committer.ask(|answer| writer::Job::Put(vec![put], answer)).await
    }

    /// Why the log cannot write any more, once it cannot: the app exits then, so that a supervisor restarts and start-up verifies.
    #[must_use]
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.committer.failed()
    }

    /// How long the present commit takes already; zero where there is none.
    #[must_use]
    pub fn commits_for(&self) -> std::time::Duration {
        self.committer.commits_for()
    }

    /// Bytes held in memory until they are written to tables. All of them are in journals.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.store.db.write_buffer_size()
    }

    /// Bytes on disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.store.db.disk_space().unwrap_or_default()
    }
}

impl Store {
    /// The newest day that retention has been at since the start, or before it where one had to stay.
    fn closed(&self) -> u32 {
        self.closed.load(Ordering::Acquire)
    }

    fn meta_number(&self, key: &[u8]) -> fjall::Result<Option<u64>> {
        Ok(self.meta.get(key)?.and_then(|value| record::last_number(&value)))
    }
}

/// Makes a new log beside its place and renames it: the engine takes a folder that it had only begun to make for a broken one.
fn make(folder: &Path) -> Result<(), OpenError> {
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    let making = folder.with_extension("making");
    guarded(folder, || {
        if making.exists() {
            std::fs::remove_dir_all(&making)?;
        }
        std::fs::create_dir_all(&making)?;
        {
            let db = database(&making, LogOptions::default().cache_bytes)?;
            let meta = days::keyspace(&db, "meta")?;
            meta.insert(meta::FORMAT, [meta::FORMAT_NOW])?;
            meta.insert(meta::TIMELINE, meta::new_timeline())?;
            db.persist(fjall::PersistMode::SyncAll)?;
        }
        if folder.exists() {
            std::fs::remove_dir(folder)?;
        }
        std::fs::rename(&making, folder)?;
        match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => Ok(std::fs::File::open(parent)?.sync_all()?),
            _ => Ok(()),
        }
    })
}

/// Finds what the engine would drop without a word, or would not open for, before it does.
fn look_at_journals(folder: &Path) -> Result<(), OpenError> {
    let io = |error| OpenError::Io { path: folder.to_path_buf(), error };
    let journals = journal::scan(folder).map_err(io)?;
    for (index, journal) in journals.iter().enumerate() {
        match journal.end {
            journal::End::Damaged { at, behind } => {
                let detail =
                    format!("{} cannot be read from byte {at} on, and {behind} whole batches stand behind that", journal.path.display());
                return Err(OpenError::Damaged { path: folder.to_path_buf(), detail });
            }
            // Only the newest is written to; a torn end of another one is left to the engine to refuse.
            journal::End::Torn { at, refused: true } if index + 1 == journals.len() => {
                let bytes = journal::cut(journal, at).map_err(io)?;
                let kept = journal.path.with_extension("torn");
                tracing::warn!(
                    bytes,
                    kept = %kept.display(),
                    "the last batch of the log was half written when the power went, and is cut off; if any of it had been acknowledged, that is said next"
                );
            }
            journal::End::Torn { .. } | journal::End::Whole => {}
        }
    }
    Ok(())
}

/// Whether a failed read says that what is stored does not have its form, or is not there: what no second try mends. Where a file could not be opened
/// or read for another reason (EMFILE, ENOMEM, EIO), nothing is known of what stands in it. So is whatever later engines may tell.
#[must_use]
pub fn is_damage(error: &fjall::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};

    use fjall::LsmError as Tree;
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(Tree::Io(error)) => matches!(error.kind(), UnexpectedEof | InvalidData | NotFound),
        fjall::Error::Storage(error) => matches!(
            error,
            Tree::Decompress(_)
                | Tree::InvalidVersion(_)
                | Tree::Unrecoverable
                | Tree::ChecksumMismatch { .. }
                | Tree::InvalidTag(_)
                | Tree::InvalidTrailer
                | Tree::InvalidHeader(_)
                | Tree::Utf8(_)
        ),
        fjall::Error::JournalRecovery(_)
        | fjall::Error::InvalidVersion(_)
        | fjall::Error::Decompress(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::InvalidTag(_)
        | fjall::Error::Unrecoverable => true,
        _ => false,
    }
}

/// A failed read.
fn damaged(error: fjall::Error) -> LogError {
    match error {
        fjall::Error::Poisoned => LogError::Failed(error.to_string()),
        error if is_damage(&error) => LogError::Damaged(error.to_string()),
        error => LogError::Unread(error.to_string()),
    }
}

/// What was read; `None` where it is damaged, which is named and kept as it is. The committing thread reads so, and everybody who goes on past damage: what
/// one record lacks is no reason to let go of the others.
///
/// # Errors
/// The engine has failed to write, which is final; or the read failed for a reason that may pass: what is there must not be taken for lost.
fn survived<T>(read: fjall::Result<T>, what: impl std::fmt::Display) -> fjall::Result<Option<T>> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if !is_damage(&error) => Err(error),
        Err(error) => {
            tracing::error!(%what, %error, "damage: this cannot be read and is passed over; `yizhan check --store` names all of it");
            Ok(None)
        }
    }
}

/// The same for who reads with the engine's errors.
fn unread(what: &str) -> fjall::Error {
    fjall::Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("{what} does not have its form")))
}

/// A stored record that does not have its form.
fn malformed(what: &str) -> LogError {
    LogError::Damaged(format!("{what} does not have its form"))
}
