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

/// Puts an archive back into `folder`, which must be empty or not exist. Returns how many records it held. Blocks.
/// When it fails, the folder is to be thrown away.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(from: impl Read, folder: &Path) -> Result<u64, RestoreError> {
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(RestoreError::NotEmpty(folder.display().to_string()));
    }
    let mut vault = VaultRestore::begin(&folder.join("vault")).map_err(RestoreError::Vault)?;
    let mut log = LogRestore::begin(&folder.join("log")).map_err(RestoreError::Log)?;
    let mut archive = ArchiveReader::new(from)?;
    let mut records = 0;
    while let Some(record) = archive.next()? {
        records += 1;
        let known = vault.put(&record.section, &record.key, &record.value).map_err(RestoreError::Vault)?
            || log.put(&record.section, &record.key, &record.value).map_err(RestoreError::Log)?;
        if !known {
            return Err(RestoreError::Unknown(record.section.to_string()));
        }
    }
    vault.finish().map_err(RestoreError::Vault)?;
    log.finish().map_err(RestoreError::Log)?;
    Ok(records)
}
