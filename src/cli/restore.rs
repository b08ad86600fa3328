//! `yizhan restore`: a backup becomes the store of this configuration, whole or not at all.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::backup::say_left_out;
use super::failure::{Failure, hinted};
use super::running::{Stop, Stoppable, stoppable};
use super::surroundings::Place;
use super::terminal::Terminal;
use super::whole_file::folder_of;
use crate::app::{self, Half};
use crate::clock::SystemClock;
use crate::config::Config;

/// Put a backup into the store of this configuration.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The service must not run. The master key of the backup's store must be `store.master_key` or among `store.previous_master_keys`: a backup under another key is refused, and nothing is changed, unless `--without-key` says that the key of its log is lost."
)]
pub struct Restore {
    /// A file that `yizhan backup` wrote.
    file: PathBuf,
    /// Move the store that is there aside and keep it. What it had acknowledged and the backup lacks is counted at the next start.
    #[arg(long)]
    replace: bool,
    /// Restore only this half, and leave the other as it is: the log holds events and deliveries, the vault tickets and tokens.
    #[arg(long, value_name = "HALF")]
    only: Option<Which>,
    /// Put the log back although the key of some of what is sealed in it is lost: that stays closed, everything else is there again. The service starts with
    /// it: it names and disables playbooks made by API that stay closed, and holds what comes for them, until they are put again or deleted; rollouts
    /// that stay closed rest until they are cancelled.
    #[arg(long)]
    without_key: bool,
}

/// A half of the store.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Which {
    /// Tickets, tokens, authorizers, subscriptions.
    Vault,
    /// Events and deliveries.
    Log,
}

impl Restore {
    /// Looks the backup through, then puts it in place.
    pub fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        stoppable(|stop| self.restored(terminal, place, stop))
    }

    fn restored(self, terminal: &Terminal, place: &Place, stop: &Stop) -> Result<(), Failure> {
        let config = place.config()?;
        let store = &config.store.path;
        let only = self.only.map(|which| match which {
            Which::Vault => Half::Vault,
            Which::Log => Half::Log,
        });
        let folder = only.map_or_else(|| store.clone(), |half| store.join(half.folder()));
        let is_there = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        if is_there && !self.replace {
            let hint = "`--replace` moves it aside and keeps it; or name another folder with [store] url";
            return Err(anyhow::Error::from(hinted(format!("there is something in {} already", folder.display()), hint)).into());
        }
        terminal.say("looking the backup through");
        let contents = app::look_through(self.archive(stop)?, only, self.without_key, &config)
            .map_err(|error| hinted(error.to_string(), error.hint()));
        let contents = contents.map_err(anyhow::Error::from)?;
        if !contents.left_out.is_empty() {
            say_left_out(terminal, &contents.left_out);
        }
        let acknowledged = if is_there { known(terminal, &config)? } else { 0 };

        let parent = folder_of(store);
        fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        // Beside its place, so that a restoration that breaks off leaves no store that looks whole.
        let beside = app::restoring(parent).with_context(|| format!("{} cannot be written", parent.display()))?;
        terminal.say(format!("restoring {} records", contents.records));
        let made = beside.path().join("store");
        let restored = app::restore(self.archive(stop)?, &made, only, acknowledged, &contents.lost_keys);
        let restored = restored.context("the backup could not be restored")?;
        stop.check()?;
        let made = only.map_or_else(|| made.clone(), |half| made.join(half.folder()));
        let aside = if is_there { Some(move_aside(&folder, store)?) } else { None };
        fs::create_dir_all(folder_of(&folder)).with_context(|| format!("{} cannot be made", folder.display()))?;
        put(&made, &folder)?;
        let aside = aside.map(|aside| aside.display().to_string());
        if terminal.json {
            terminal.json(&serde_json::json!({ "folder": folder.display().to_string(), "records": restored, "replaced": aside }))?;
        } else {
            terminal.data(format!("{}: {restored} records restored", folder.display()))?;
            if let Some(aside) = aside {
                terminal.data(format!("{aside}: what was there before"))?;
            }
        }
        Ok(())
    }

    fn archive(&self, stop: &Stop) -> anyhow::Result<BufReader<Stoppable<File>>> {
        let file = File::open(&self.file).with_context(|| format!("{} cannot be read", self.file.display()))?;
        Ok(BufReader::new(stop.over(file)))
    }
}

/// The newest sequence that the store in place is known to have acknowledged, as far as it can be read.
fn known(terminal: &Terminal, config: &Config) -> anyhow::Result<u64> {
    terminal.say("looking at what is there");
    match app::examine(config, Arc::new(SystemClock)) {
        Ok(found) => Ok(found.acknowledged),
        Err(error @ app::ExamineError::InUse(_)) => Err(error.into()),
        Err(error) => {
            terminal.say(format!("what is there cannot be looked at, so nothing that it lacks can be counted: {error}"));
            Ok(0)
        }
    }
}

/// Renames what is in place to a name that no folder has, beside the store.
fn move_aside(folder: &Path, store: &Path) -> anyhow::Result<PathBuf> {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    if folder != store {
        name.push(".");
        name.push(folder.file_name().unwrap_or_default());
    }
    let stem = name;
    for number in 1_u32.. {
        let mut name = stem.clone();
        name.push(format!(".replaced-{number}"));
        let aside = store.with_file_name(name);
        if !aside.exists() {
            fs::rename(folder, &aside).with_context(|| format!("{} cannot be moved aside", folder.display()))?;
            return Ok(aside);
        }
    }
    anyhow::bail!("{} cannot be moved aside", folder.display())
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
