//! `yizhan restore`: a backup becomes the store of this configuration, whole or not at all.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::backup::records;
use super::failure::{Failure, hinted};
use super::surroundings::Place;
use super::terminal::Terminal;
use super::whole_file::folder_of;
use crate::app;

/// Put a backup into the store of this configuration, which must not exist yet.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The service must not run. The master key of the backup's store must be `store.master_key` or among `store.previous_master_keys`."
)]
pub struct Restore {
    /// A file that `yizhan backup` wrote.
    file: PathBuf,
}

impl Restore {
    /// Looks the backup through, then puts it in place.
    pub fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let config = place.config()?;
        let folder = &config.store.path;
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            let hint = "move it away first, or name another folder with [store] url";
            return Err(anyhow::Error::from(hinted(format!("there is something in {} already", folder.display()), hint)).into());
        }
        terminal.say("looking the backup through");
        let expected = records(&self.file)?;

        let parent = folder_of(folder);
        fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        // Beside its place, so that a restoration that breaks off leaves no store that looks whole.
        let beside = tempfile::Builder::new()
            .prefix(".yizhan-restore-")
            .tempdir_in(parent)
            .with_context(|| format!("{} cannot be written", parent.display()))?;
        terminal.say(format!("restoring {expected} records"));
        let archive = BufReader::new(File::open(&self.file).with_context(|| format!("{} cannot be read", self.file.display()))?);
        app::restore(archive, &beside.path().join("store")).context("the backup could not be restored")?;
        put(&beside.path().join("store"), folder)?;
        if terminal.json {
            terminal.json(&serde_json::json!({ "folder": folder.display().to_string(), "records": expected }))?;
        } else {
            terminal.data(format!("{}: {expected} records restored", folder.display()))?;
        }
        Ok(())
    }
}

/// Renames the finished store into its place, over an empty folder, durably.
fn put(made: &Path, folder: &Path) -> anyhow::Result<()> {
    let put = || {
        if folder.exists() {
            fs::remove_dir(folder)?;
        }
        fs::rename(made, folder)?;
        File::open(folder_of(folder))?.sync_all()
    };
    put().with_context(|| format!("the store cannot be put into {}", folder.display()))
}
