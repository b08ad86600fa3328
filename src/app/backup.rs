//! The whole store as one archive: written while the service runs, put back into an empty folder.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;

use bytes::Bytes;

use super::App;
use super::examine::{ExamineError, RESTORE_LOG, RESTORE_VAULT, copied};
use crate::config::Config;
use crate::store::archive::{ArchiveError, ArchiveReader, ArchiveWriter, Record};
use crate::store::at_rest::{AtRestError, OTHER_KEY};
use crate::store::fjall::{self, LogMoment, LogRestore};
use crate::store::sled::{self, SledVault, VaultMoment, VaultRestore};

impl App {
    /// Writes the archive. Blocks: call it from a thread that may.
    ///
    /// Both halves are of moments before the first byte is written, so a slow reader changes nothing, and the log's is the earlier one: the vault has all
    /// that the log says was done to it. A vault that is a little ahead does no harm: what the log has it do again it knows (a code that was exchanged, a
    /// merchant who withdrew, a request that was answered). Of a log ahead of its vault nothing would be won back: a grant counts as delivered there, and
    /// whoever finds it in the vendor's list finds its event in the log already.
    ///
    /// What of the log is damaged is left out, and the archive says so ([`Contents::left_out`]).
    ///
    /// # Errors
    /// Of reading the store or of writing.
    pub fn backup(&self, to: impl Write) -> std::io::Result<u64> {
        let log = self.stores.log.moment()?;
        let vault = self.stores.vault.moment()?;
        write(vault, log, to)
    }
}

/// Name of the section that says what was left out of an archive.
const LEFT_OUT: &str = "left-out";

fn write(vault: VaultMoment, log: LogMoment, to: impl Write) -> std::io::Result<u64> {
    let mut archive = ArchiveWriter::new(to)?;
    vault.write(&mut archive)?;
    let left_out = log.write(&mut archive)?;
    if !left_out.is_empty() {
        archive.section(LEFT_OUT)?;
        for (keyspace, stretches) in left_out {
            archive.record(keyspace.as_bytes(), &stretches.to_be_bytes())?;
        }
    }
    archive.finish()
}

/// The same of the store of that configuration, which no service has open: for one that is damaged so that the service does not keep running on it. Must
/// run on a runtime, of which it blocks a thread for as long as reading everything takes.
///
/// # Errors
/// See [`OfflineError`].
pub async fn backup_offline(config: &Config, to: impl Write) -> Result<u64, OfflineError> {
    let store = &config.store.path;
    let at_rest = super::at_rest(config).map_err(ExamineError::from)?;
    let beside = copied(store, &Half::ALL)?;
    let [vault, log] = [Half::Vault, Half::Log].map(|half| (store.join(half.folder()), beside.path().join(half.folder())));
    let opened = SledVault::open(&vault.1, at_rest).await.map_err(|error| OfflineError::Vault(error.of(&vault.0)))?;
    let moment = LogMoment::of(&log.1).map_err(|error| OfflineError::Log(error.of(&log.0)))?;
    let vault = tokio::task::spawn_blocking(move || opened.moment()).await.map_err(std::io::Error::other)??;
    Ok(write(vault, moment, to)?)
}

/// Why there is no backup of a store that no service has open.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// It is in use, or cannot be copied.
    #[error(transparent)]
    Store(#[from] ExamineError),
    /// The vault does not open.
    #[error("the vault does not open: {0}")]
    Vault(sled::OpenError),
    /// The log does not open.
    #[error("the log does not open: {0}")]
    Log(fjall::OpenError),
    /// Of reading or writing.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl OfflineError {
    /// What to do next; empty where the message says it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Store(error) => error.hint(),
            Self::Vault(_) => RESTORE_VAULT,
            Self::Log(_) => RESTORE_LOG,
            Self::Io(_) => "",
        }
    }
}

/// Why an archive could not be put back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is a store already.
    #[error("there is a store in {0} already")]
    NotEmpty(String),
    /// The archive is damaged or not one of ours.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The master key of the configuration.
    #[error(transparent)]
    Key(#[from] AtRestError),
    /// No key of the configuration opens what is in it.
    #[error("the backup's {half} has {records} records that were sealed under another master key (id {ids})")]
    OtherKey {
        /// The half.
        half: Half,
        /// How many of its records.
        records: u64,
        /// Ids of the keys that are missing.
        ids: String,
    },
    /// It holds something that this version does not know.
    #[error("the archive holds `{0}`, which this version does not know")]
    Unknown(String),
    /// A half says that it has a form that this version does not read.
    #[error("the backup's {0} has a form that this version does not know")]
    Form(Half),
    /// The vault's store.
    #[error("{0}")]
    Vault(sled::OpenError),
    /// The log's store.
    #[error("{0}")]
    Log(fjall::OpenError),
}

impl RestoreError {
    /// What to do next; empty where the message says it.
    #[must_use]
    pub fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::Archive(_) => Cow::Borrowed("take the backup again; `yizhan backup` keeps only whole ones"),
            Self::OtherKey { half: Half::Log, .. } => {
                Cow::Owned(format!("{OTHER_KEY}; if that key is lost, `--without-key` restores everything that it did not seal"))
            }
            Self::OtherKey { half: Half::Vault, .. } => Cow::Borrowed(OTHER_KEY),
            Self::Unknown(_) | Self::Form(_) => Cow::Borrowed("restore it with the version that wrote it, or a newer one"),
            Self::Key(_) | Self::NotEmpty(_) | Self::Vault(_) | Self::Log(_) => Cow::default(),
        }
    }
}

/// A half of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Tickets, tokens, authorizers, subscriptions.
    Vault,
    /// Events and deliveries.
    Log,
}

impl Half {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Vault, Self::Log];

    /// Its folder within the store's.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Log => "log",
        }
    }

    /// The one whose section of an archive that is; `None`: neither's.
    fn of(section: &str) -> Option<Self> {
        let whose = section.split('/').next();
        Self::ALL.into_iter().find(|half| whose == Some(half.folder()))
    }

    /// The file in it that its engine locks.
    pub(super) fn lock(self) -> &'static str {
        match self {
            Self::Vault => "db",
            Self::Log => "lock",
        }
    }
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.folder())
    }
}

/// What an archive holds.
#[derive(Debug)]
pub struct Contents {
    /// How many records.
    pub records: u64,
    /// Ids of the master keys that are missing for some of its log: lost, as whoever restores it says.
    pub lost_keys: BTreeSet<String>,
    /// What it lacks because it could not be read when it was written: keyspaces of the log, with how many stretches of each.
    pub left_out: Vec<(String, u64)>,
}

/// What an archive says of what it lacks; `None`: this is a record of the store.
#[must_use]
pub fn left_out(record: &Record) -> Option<(String, u64)> {
    let stretches = record.value.as_slice().try_into().map(u64::from_be_bytes).unwrap_or_default();
    (&*record.section == LEFT_OUT).then(|| (String::from_utf8_lossy(&record.key).into_owned(), stretches))
}

/// Whether that section is put back where `only` is wanted.
fn is_wanted(section: &str, only: Option<Half>) -> bool {
    only.is_none_or(|only| Half::of(section) == Some(only))
}

/// Reads an archive to its end, without putting anything anywhere. What is to be put back must be known and of a form that this build reads.
/// Whether the keys of the configuration fit is asked of every sealed record that would be put back, not of one: a backup that was taken
/// while a new master key took over has two.
/// `without_key`: what no key opens in its log may stay closed.
///
/// # Errors
/// See [`RestoreError`].
pub fn look_through(from: impl Read, only: Option<Half>, without_key: bool, config: &Config) -> Result<Contents, RestoreError> {
    let at_rest = super::at_rest(config)?;
    let mut unknown = Half::ALL.map(|half| (half, 0_u64, BTreeSet::new()));
    let mut archive = ArchiveReader::new(from)?;
    let mut records = 0;
    let mut lacking = Vec::new();
    while let Some(record) = archive.next()? {
        if let Some(stretches) = left_out(&record) {
            lacking.push(stretches);
            continue;
        }
        records += 1;
        if !is_wanted(&record.section, only) {
            continue;
        }
        if !sled::is_known(&record.section) && !fjall::is_known(&record.section) {
            return Err(RestoreError::Unknown(record.section.to_string()));
        }
        let value = Bytes::from(record.value);
        for (half, count, ids) in &mut unknown {
            let is_read = match half {
                Half::Vault => sled::is_read(&record.section, &record.key, &value, &at_rest),
                Half::Log => fjall::is_read(&record.section, &record.key, &value),
            };
            if !is_read {
                return Err(RestoreError::Form(*half));
            }
            let sealed = match half {
                Half::Vault => sled::sealed_part(&record.section, &value).map(|sealed| value.slice_ref(sealed)),
                Half::Log => fjall::sealed_part(&record.section, &record.key, &value),
            };
            // One that is damaged was so in its store, which went on without it.
            if let Some(Err(AtRestError::OtherKey(id))) = sealed.map(|sealed| at_rest.knows(&sealed)) {
                *count += 1;
                ids.insert(id);
            }
        }
    }
    // A log opens without, and the rest of it is as good as ever; a vault does not.
    let refused = |(half, count, _): &(Half, u64, BTreeSet<String>)| *count > 0 && !(without_key && *half == Half::Log);
    if let Some((half, records, ids)) = unknown.iter().find(|one| refused(one)) {
        let ids = ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(RestoreError::OtherKey { half: *half, records: *records, ids });
    }
    Ok(Contents { records, lost_keys: unknown.into_iter().flat_map(|(_, _, ids)| ids).collect(), left_out: lacking })
}

/// Puts an archive, or that half of it, back into `folder`, which must be empty or not exist. Returns how many records it held. Blocks.
/// When it fails, the folder is to be thrown away. `acknowledged` is the newest sequence known to have been acknowledged, else 0: the next
/// start counts what is missing. `lost_keys` are those that the archive's log must do without.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(
    from: impl Read,
    folder: &Path,
    only: Option<Half>,
    acknowledged: u64,
    lost_keys: &BTreeSet<String>,
) -> Result<u64, RestoreError> {
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(RestoreError::NotEmpty(folder.display().to_string()));
    }
    let wanted = |half: Half| only.is_none_or(|only| only == half).then(|| folder.join(half.folder()));
    let mut vault = wanted(Half::Vault).map(|folder| VaultRestore::begin(&folder)).transpose().map_err(RestoreError::Vault)?;
    let mut log = wanted(Half::Log).map(|folder| LogRestore::begin(&folder)).transpose().map_err(RestoreError::Log)?;
    let mut archive = ArchiveReader::new(from)?;
    let mut records = 0;
    while let Some(record) = archive.next()? {
        if left_out(&record).is_some() {
            continue;
        }
        let mut known = false;
        if let Some(vault) = &mut vault {
            known = vault.put(&record.section, &record.key, &record.value).map_err(RestoreError::Vault)?;
        }
        if let Some(log) = log.as_mut().filter(|_| !known) {
            known = log.put(&record.section, &record.key, &record.value).map_err(RestoreError::Log)?;
        }
        if !known && is_wanted(&record.section, only) {
            return Err(RestoreError::Unknown(record.section.to_string()));
        }
        records += u64::from(known);
    }
    if let Some(vault) = vault {
        vault.finish().map_err(RestoreError::Vault)?;
    }
    if let Some(mut log) = log {
        log.without_keys(lost_keys).map_err(RestoreError::Log)?;
        log.finish(acknowledged).map_err(RestoreError::Log)?;
    }
    Ok(records)
}
