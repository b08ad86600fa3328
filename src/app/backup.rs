//! The whole store as one archive: written while the service runs, put back into an empty folder.

use std::io::{Read, Write};
use std::path::Path;

use super::App;
use crate::store::archive::{ArchiveError, ArchiveReader, ArchiveWriter};
use crate::store::fjall::{self, LogRestore};
use crate::store::sled::{self, VaultRestore};

impl App {
    /// Writes the archive. Blocks: call it from a thread that may. The vault goes first, so that its high-water mark
    /// is never above the log's newest event.
    ///
    /// # Errors
    /// Of reading the store or of writing.
    pub fn backup(&self, to: impl Write) -> std::io::Result<u64> {
        let mut archive = ArchiveWriter::new(to)?;
        self.stores.vault.backup(&mut archive)?;
        self.stores.log.backup(&mut archive)?;
        archive.finish()
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
    /// It holds something that this version does not know.
    #[error("the archive holds `{0}`, which this version does not know")]
    Unknown(String),
    /// The vault's store.
    #[error("{0}")]
    Vault(sled::OpenError),
    /// The log's store.
    #[error("{0}")]
    Log(fjall::OpenError),
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
}

/// Puts an archive, or that half of it, back into `folder`, which must be empty or not exist. Returns how many records it held. Blocks.
/// When it fails, the folder is to be thrown away. `acknowledged` is the newest sequence known to have been acknowledged, else 0: the next
/// start counts what is missing.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(from: impl Read, folder: &Path, only: Option<Half>, acknowledged: u64) -> Result<u64, RestoreError> {
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(RestoreError::NotEmpty(folder.display().to_string()));
    }
    let wanted = |half: Half| only.is_none_or(|only| only == half).then(|| folder.join(half.folder()));
    let mut vault = wanted(Half::Vault).map(|folder| VaultRestore::begin(&folder)).transpose().map_err(RestoreError::Vault)?;
    let mut log = wanted(Half::Log).map(|folder| LogRestore::begin(&folder)).transpose().map_err(RestoreError::Log)?;
    let mut archive = ArchiveReader::new(from)?;
    let mut records = 0;
    while let Some(record) = archive.next()? {
        let mut known = false;
        if let Some(vault) = &mut vault {
            known = vault.put(&record.section, &record.key, &record.value).map_err(RestoreError::Vault)?;
        }
        if let Some(log) = log.as_mut().filter(|_| !known) {
            known = log.put(&record.section, &record.key, &record.value).map_err(RestoreError::Log)?;
        }
        if !known && only.is_none() {
            return Err(RestoreError::Unknown(record.section.to_string()));
        }
        records += u64::from(known);
    }
    if let Some(vault) = vault {
        vault.finish().map_err(RestoreError::Vault)?;
    }
    if let Some(log) = log {
        log.finish(acknowledged).map_err(RestoreError::Log)?;
    }
    Ok(records)
}
