//! Backup of the log while it runs, and its restoration into an empty folder. Keyspace by keyspace, in the form of [`crate::store::archive`];
//! sections are called `log/` and the keyspace's name. What is sealed stays sealed.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Snapshot};

use super::writer::Job;
use super::{FjallLog, OpenError, database, days, guarded, meta, past, record, records, rejected};
use crate::store::archive::ArchiveWriter;

/// Prefix of the log's sections.
const SECTION: &str = "log/";
/// Bytes restored in one batch.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// First words of the names of our keyspaces.
const KINDS: [&str; 9] = ["meta", "waiting", "dead", "rejected", "records", "event", "index", "delivery", "seen"];

impl FjallLog {
    /// Everything as it is now, to be written into a backup. Blocks: call it from a thread that may.
    ///
    /// # Errors
    /// The log cannot write any more.
    pub fn moment(&self) -> std::io::Result<LogMoment> {
        let (keyspaces, snapshot) = self.committer.ask_blocking(Job::Everything).map_err(std::io::Error::other)?;
        Ok(LogMoment { keyspaces, snapshot })
    }
}

/// A log as it was at one moment. Until it is dropped, the disk keeps what is replaced, and days that retention drops.
pub struct LogMoment {
    keyspaces: Vec<(String, Keyspace)>,
    snapshot: Snapshot,
}

impl LogMoment {
    /// The log in that folder, which must be a copy that nobody else has open. No more of it is opened than what is to be copied, so that damage of which a
    /// service would not start does not keep it from being read.
    ///
    /// # Errors
    /// The engine does not open it, or it is of another form.
    pub fn of(folder: &Path) -> Result<Self, OpenError> {
        super::examine::journals(folder, &mut super::LogState::default())?;
        let db = guarded(folder, || database(folder, super::LogOptions::default().cache_bytes))?;
        let keyspaces = guarded(folder, || days::keyspaces(&db))?;
        let meta = keyspaces.iter().find(|(name, _)| name == "meta");
        // One that cannot be read is left out like anything else.
        match meta.map(|(_, meta)| meta.get(meta::FORMAT)) {
            Some(Ok(Some(format))) if !meta::is_read(&format) => Err(OpenError::Version(folder.to_path_buf())),
            _ => Ok(Self { keyspaces, snapshot: db.snapshot() }),
        }
    }

    /// Writes everything that can be read, while pushes go on arriving. What damage made unreadable is left out: by keyspace, how many stretches. Blocks.
    ///
    /// # Errors
    /// Of reading, where it may pass, or of writing.
    pub fn write<W: Write>(self, archive: &mut ArchiveWriter<W>) -> std::io::Result<Vec<(String, u64)>> {
        let mut left_out = Vec::new();
        for (name, keyspace) in self.keyspaces {
            archive.section(&format!("{SECTION}{name}"))?;
            let is_meta = name == "meta";
            let stretches = past::each(&self.snapshot, &keyspace, |key, value| {
                // What comes of a backup is on a timeline of its own, whichever build puts it back.
                if is_meta && key == meta::TIMELINE { Ok(()) } else { archive.record(key, value) }
            })?;
            if stretches > 0 {
                tracing::error!(keyspace = name, stretches, "damage: part of the log cannot be read and is left out of the backup");
                left_out.push((name, stretches));
            }
        }
        Ok(left_out)
    }
}

/// The keyspace of the log that a section of an archive holds; `None` when it is none of those that this build knows.
fn keyspace_of(section: &str) -> Option<&str> {
    section.strip_prefix(SECTION).filter(|name| KINDS.contains(&name.split('.').next().unwrap_or_default()))
}

/// Whether that section of an archive is one of the log's that this build knows.
#[must_use]
pub fn is_known(section: &str) -> bool {
    keyspace_of(section).is_some()
}

/// Whether this build reads a log with that record of an archive. `false` of the one that says that the log has another form.
#[must_use]
pub fn is_read(section: &str, key: &[u8], value: &[u8]) -> bool {
    keyspace_of(section) != Some("meta") || key != meta::FORMAT || meta::is_read(value)
}

/// What is sealed in that record of an archive; `None` when nothing is, or it is not the log's.
#[must_use]
pub fn sealed_part(section: &str, key: &[u8], value: &Bytes) -> Option<Bytes> {
    sealed_in(section.strip_prefix(SECTION)?, key, value)
}

/// The same of a record of that keyspace.
pub fn sealed_in(keyspace: &str, key: &[u8], value: &Bytes) -> Option<Bytes> {
    match keyspace.split('.').next()? {
        "event" => record::read_event(record::last_number(key)?, value).map(|(_, sealed)| sealed).filter(|sealed| !sealed.is_empty()),
        "rejected" => rejected::is_sealed(key).then(|| value.clone()),
        records::KEYSPACE => records::sealed_part(key, value).map(|(_, sealed)| value.slice_ref(sealed)),
        _ => None,
    }
}

/// A log being restored.
pub struct LogRestore {
    folder: PathBuf,
    db: Database,
    keyspaces: HashMap<String, Keyspace>,
    batch: OwnedWriteBatch,
    bytes: usize,
}

impl LogRestore {
    /// Begins to restore into that folder, which must be empty or not exist.
    ///
    /// # Errors
    /// [`OpenError::NotEmpty`], or what opening an empty log can meet.
    pub fn begin(folder: &Path) -> Result<Self, OpenError> {
        let io = |error| OpenError::Io { path: folder.to_path_buf(), error };
        std::fs::create_dir_all(folder).map_err(io)?;
        if std::fs::read_dir(folder).map_err(io)?.next().is_some() {
            return Err(OpenError::NotEmpty(folder.to_path_buf()));
        }
        let db = guarded(folder, || database(folder, super::LogOptions::default().cache_bytes))?;
        let batch = db.batch();
        Ok(Self { folder: folder.to_path_buf(), db, keyspaces: HashMap::new(), batch, bytes: 0 })
    }

    /// Puts in one record of an archive; `false` when its section is not one of the log's.
    ///
    /// # Errors
    /// Of writing.
    pub fn put(&mut self, section: &str, key: &[u8], value: &[u8]) -> Result<bool, OpenError> {
        let Some(name) = keyspace_of(section) else { return Ok(false) };
        // Of the vault beside the store that the backup was taken of. Former builds read the vault before the log: it may have had more commits then.
        if name == "meta" && key == meta::VAULT {
            return Ok(true);
        }
        let keyspace = self.keyspace(name)?;
        self.batch.insert(&keyspace, key, value);
        self.bytes += key.len() + value.len();
        if self.bytes >= BATCH_BYTES {
            self.bytes = 0;
            let batch = std::mem::replace(&mut self.batch, self.db.batch());
            guarded(&self.folder, || batch.commit())?;
        }
        Ok(true)
    }

    fn keyspace(&mut self, name: &str) -> Result<Keyspace, OpenError> {
        if let Some(keyspace) = self.keyspaces.get(name) {
            return Ok(keyspace.clone());
        }
        let keyspace = guarded(&self.folder, || days::keyspace(&self.db, name))?;
        self.keyspaces.insert(name.to_owned(), keyspace.clone());
        Ok(keyspace)
    }

    /// Notes that the keys of these ids are lost: what they sealed stays closed, and is no sign that the configured key is the wrong one.
    ///
    /// # Errors
    /// Of writing.
    pub fn without_keys(&mut self, ids: &BTreeSet<String>) -> Result<(), OpenError> {
        if !ids.is_empty() {
            let meta = self.keyspace("meta")?;
            self.batch.insert(&meta, meta::LOST_KEYS, ids.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
        }
        Ok(())
    }

    /// Makes it durable. Without this the folder is to be thrown away. `acknowledged` is the newest sequence that the log in whose place it
    /// comes is known to have acknowledged, 0 when nothing is known: the next start counts what is missing up to there.
    ///
    /// # Errors
    /// Of writing.
    pub fn finish(mut self, acknowledged: u64) -> Result<(), OpenError> {
        let meta = self.keyspace("meta")?;
        self.batch.insert(&meta, meta::TIMELINE, meta::new_timeline());
        if acknowledged > 0 {
            self.batch.insert(&meta, meta::EXPECTED, acknowledged.to_be_bytes());
        }
        let Self { folder, db, batch, .. } = self;
        guarded(&folder, || {
            batch.commit()?;
            db.persist(PersistMode::SyncAll)
        })
    }
}
