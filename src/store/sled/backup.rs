//! Backup of the vault's store while it runs, and its restoration into an empty folder, in the form of [`crate::store::archive`].
//! Everything stays sealed.
//!
//! A backup is of one moment: half a commit would be a code that counts as exchanged and a merchant who is not there, and nothing wins that back.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::store::archive::ArchiveWriter;
use crate::store::at_rest::{AtRest, AtRestError};

use super::moment::Moment;
use super::writer::Job;
use super::{MADE, OpenError, SledVault, bound, raw_key, reads, split, sync_folder, tree_in};
use crate::vault::HighWater;
use crate::vault::shelf::Kind;

/// Name of the section.
const SECTION: &str = "vault";

/// Records restored in one batch.
const BATCH: usize = 1000;

impl SledVault {
    /// Everything as it is now, to be written into a backup. Blocks: call it from a thread that may.
    ///
    /// # Errors
    /// The vault cannot write any more.
    pub fn moment(&self) -> std::io::Result<VaultMoment> {
        self.committer.ask_blocking(Job::Moment).map(VaultMoment).map_err(std::io::Error::other)
    }
}

/// A vault as it was at one moment. Until it is dropped, memory holds what is changed meanwhile.
pub struct VaultMoment(Moment);

impl VaultMoment {
    /// Writes everything, while the vault goes on working. Blocks.
    ///
    /// # Errors
    /// Of reading or writing.
    pub fn write<W: Write>(self, archive: &mut ArchiveWriter<W>) -> std::io::Result<()> {
        archive.section(SECTION)?;
        self.0.each(|key, value| archive.record(key, value))
    }
}

/// What is sealed in that record of an archive; `None` when it is not the vault's.
#[must_use]
pub fn sealed_part<'a>(section: &str, value: &'a [u8]) -> Option<&'a [u8]> {
    split(value).filter(|_| section == SECTION).map(|(_, sealed)| sealed)
}

/// Whether that section of an archive is the vault's.
#[must_use]
pub fn is_known(section: &str) -> bool {
    section == SECTION
}

/// Whether this build reads a vault with that record of an archive. `false` of the one that says that the vault has another layout, or nothing that can be
/// read. One that is sealed under a key that is missing says nothing yet.
#[must_use]
pub fn is_read(section: &str, key: &[u8], value: &[u8], at_rest: &AtRest) -> bool {
    if section != SECTION || key != raw_key(super::FORMAT, "", "") {
        return true;
    }
    let Some((version, sealed)) = split(value) else { return false };
    match at_rest.open(super::FORMAT, &bound(key, version), sealed) {
        Ok(layout) => reads(&layout),
        Err(error) => matches!(error, AtRestError::OtherKey(_)),
    }
}

/// A vault's store being restored.
pub struct VaultRestore {
    folder: PathBuf,
    tree: sled::Tree,
    batch: sled::Batch,
    waiting: usize,
    is_vault: bool,
}

impl VaultRestore {
    /// Begins to restore into that folder, which must be empty or not exist.
    ///
    /// # Errors
    /// [`OpenError::NotEmpty`], or what opening an empty store can meet.
    pub fn begin(folder: &Path) -> Result<Self, OpenError> {
        let unusable = |error: std::io::Error| OpenError::Unusable { folder: folder.to_owned(), cause: error.to_string() };
        fs::create_dir_all(folder).map_err(unusable)?;
        if fs::read_dir(folder).map_err(unusable)?.next().is_some() {
            return Err(OpenError::NotEmpty { folder: folder.to_owned() });
        }
        let tree = tree_in(folder)?;
        Ok(Self { folder: folder.to_owned(), tree, batch: sled::Batch::default(), waiting: 0, is_vault: false })
    }

    /// Puts in one record of an archive; `false` when its section is not the vault's.
    ///
    /// # Errors
    /// Of writing.
    pub fn put(&mut self, section: &str, key: &[u8], value: &[u8]) -> Result<bool, OpenError> {
        if section != SECTION {
            return Ok(false);
        }
        // The mark is of the log beside the store that the backup was taken of. The backup's own log is of the moment before its vault's, and may
        // lack what was acknowledged in between: that is newer than the backup, not lost to damage.
        if key == raw_key(Kind::Note.as_str(), "", HighWater::NAME) {
            return Ok(true);
        }
        self.is_vault |= key == raw_key(super::FORMAT, "", "");
        self.batch.insert(key, value);
        self.waiting += 1;
        if self.waiting >= BATCH {
            self.write()?;
        }
        Ok(true)
    }

    /// Makes it durable. Without this the folder is to be thrown away.
    ///
    /// # Errors
    /// Of writing; [`OpenError::Damaged`] when the archive held no vault.
    pub fn finish(mut self) -> Result<(), OpenError> {
        self.write()?;
        if !self.is_vault {
            return Err(OpenError::Damaged { folder: self.folder, cause: String::from("the backup holds no vault") });
        }
        self.tree.flush().map_err(|error| self.unusable(&error))?;
        let synced = File::open(self.folder.join("db"))
            .and_then(|data| data.sync_all())
            .and_then(|()| File::create(self.folder.join(MADE))?.sync_all())
            .and_then(|()| sync_folder(&self.folder));
        synced.map_err(|error| self.unusable(&error))
    }

    fn write(&mut self) -> Result<(), OpenError> {
        self.waiting = 0;
        let batch = std::mem::take(&mut self.batch);
        self.tree.apply_batch(batch).map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, cause: &dyn std::fmt::Display) -> OpenError {
        OpenError::Unusable { folder: self.folder.clone(), cause: cause.to_string() }
    }
}
