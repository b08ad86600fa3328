//! `check --store`: what the store holds, and what of it is damaged; and `check`: whether it is this configuration's. Both work on a copy, because
//! opening the engines writes: they cut what they take for a torn end. The copy is made of links where files never change, so it costs little room.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tempfile::TempDir;

use super::backup::Half;
use crate::clock::Clock;
use crate::config::Config;
use crate::fanout::subscription::{BookError, Origin};
use crate::fanout::{ClaimedName, SubscriptionBook as _};
use crate::store::at_rest::{AtRest, AtRestError, OTHER_KEY};
use crate::store::fjall::{self, LogState, missing_since};
use crate::store::sled::{self, SledVault, VaultState};
use crate::vault::Identities;
use crate::vault::shelf::ShelfError;

/// Something that is damaged or lost.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// `vault` or `log`.
    pub part: &'static str,
    /// What it is.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Examination {
    /// What is damaged or lost; empty when the store is whole.
    pub damage: Vec<Finding>,
    /// What looks odd and is none.
    pub remarks: Vec<String>,
    /// Records of the vault that can be read.
    pub vault_records: u64,
    /// Events that can be read.
    pub events: u64,
    /// Other records of the log that can be read.
    pub log_records: u64,
    /// The newest sequence that is known to have been acknowledged.
    pub acknowledged: u64,
}

/// Why the store could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// There is none.
    #[error("there is no store in {0}")]
    Absent(PathBuf),
    /// A service has it open.
    #[error("the store in {0} is in use by another process: stop it first")]
    InUse(PathBuf),
    /// The copy.
    #[error("a copy of the store to look at cannot be made in {0}: {1}")]
    Copy(PathBuf, io::Error),
    /// The master key.
    #[error(transparent)]
    Key(#[from] AtRestError),
    /// The vault was sealed under another master key.
    #[error("{0}")]
    OtherKey(sled::OpenError),
    /// The vault does not open and never will.
    #[error("{0}")]
    Damaged(sled::OpenError),
    /// The copy of the vault does not open, for a reason that is none of the store's.
    #[error("{0}")]
    Unopened(sled::OpenError),
    /// The vault's records.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// Its subscriptions.
    #[error("a stored subscription cannot be read: {}", .0.0)]
    Book(#[from] BookError),
}

impl ExamineError {
    /// What to do next; empty where the message says it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OtherKey(error) | Self::Damaged(error) | Self::Unopened(error) => error.hint(),
            Self::Copy(..) => "a copy of the vault and of what else changes must have room there, and this user the right to write",
            Self::Absent(_) | Self::InUse(_) | Self::Key(_) | Self::Shelf(_) | Self::Book(_) => "",
        }
    }
}

/// Begins the names of copies that are looked at beside the store.
const COPY: &str = ".yizhan-check-";

/// Begins the names of stores that are restored beside their place.
const RESTORE: &str = ".yizhan-restore-";

/// One as old as that is nobody's any more.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);

pub(super) const RESTORE_VAULT: &str = "`yizhan restore --only vault --replace FILE` puts the newest backup's vault in its place; without one, move the folder away and start: \
     tickets come by themselves, and tokens are won back where the platform can";
pub(super) const RESTORE_LOG: &str = "`yizhan backup --offline FILE` keeps all that can be read; `yizhan restore --only log --replace FILE` puts the newest backup's log in its place and keeps this one; what is missing then is counted";
const COUNTED: &str =
    "the service says the same when it starts and goes on; what is missing may be in a backup, and Baidu can repeat pushes";
const OLDER: &str =
    "the service says the same when it starts and goes on: tokens that are too old are won back once the vendor refuses them";

/// Reads the whole store of that configuration. Blocks, and takes as long as reading all of it does.
///
/// # Errors
/// See [`ExamineError`]; damage is no error.
pub fn examine(config: &Config, clock: Arc<dyn Clock>) -> Result<Examination, ExamineError> {
    let folder = &config.store.path;
    let at_rest = super::at_rest(config)?;
    if !Half::ALL.iter().any(|half| folder.join(half.folder()).exists()) {
        return Err(ExamineError::Absent(folder.clone()));
    }
    let beside = copied(folder, &Half::ALL)?;
    let mut found = Examination::default();
    let vault = vault(&mut found, folder, beside.path(), Arc::clone(&at_rest))?;
    let log = log(&mut found, folder, beside.path(), at_rest, clock);
    let mark = vault.as_ref().and_then(|vault| vault.high_water).map_or(0, |mark| mark.sequence);
    let (newest, expected) = log.as_ref().map_or((0, 0), |log| (log.newest, log.expected));
    found.acknowledged = mark.max(newest).max(expected);
    if let Some(log) = &log {
        let counted = log.counted.iter().map(|(_, last, _)| *last).max().unwrap_or_default();
        if let Some(lost) = missing_since(log.newest.max(counted), mark.max(expected)) {
            let message = format!("{} acknowledged events behind number {} are missing", lost.events, lost.after);
            found.damage.push(Finding { part: "log", message, hint: COUNTED });
        }
        let commits = vault.as_ref().map_or(0, |vault| vault.commits);
        let lost = log.vault_commits.unwrap_or_default().saturating_sub(commits);
        if vault.is_some() && lost > 0 {
            let message = format!("its newest {lost} changes are missing");
            found.damage.push(Finding { part: "vault", message, hint: OLDER });
        }
    }
    Ok(found)
}

/// What of a store does not go with a configuration.
#[derive(Debug)]
pub struct Conflicts {
    /// Whose records the components' names stand for.
    pub identities: Identities,
    /// Names that the configuration gives to something else than what is stored under them. One whose deletion was interrupted is among them:
    /// the log alone knows that, and the next start completes it.
    pub claimed: Vec<ClaimedName>,
}

/// Holds the store against the configuration: whether its master key opens the vault, and whose records are in it. `None`: there is no vault yet.
/// Must run on a runtime, of which it blocks a thread for as long as copying and opening the vault takes.
///
/// # Errors
/// See [`ExamineError`].
pub async fn conflicts(config: &Config) -> Result<Option<Conflicts>, ExamineError> {
    let at_rest = super::at_rest(config)?;
    let folder = config.store.path.join(Half::Vault.folder());
    if !folder.join("db").exists() {
        return Ok(None);
    }
    let beside = copied(&config.store.path, &[Half::Vault])?;
    let opened = SledVault::open(&beside.path().join(Half::Vault.folder()), at_rest).await;
    let vault = opened.map_err(|error| match error.of(&folder) {
        error @ sled::OpenError::OtherKey { .. } => ExamineError::OtherKey(error),
        error @ sled::OpenError::Damaged { .. } => ExamineError::Damaged(error),
        error => ExamineError::Unopened(error),
    })?;
    let identities = Identities::compare(&*vault, &config.components).await?;
    let subscriptions = config.subscriptions.iter().map(|one| (one.name.as_str(), Origin::File));
    let playbooks = config.playbooks.iter().map(|one| (one.name.as_str(), Origin::Playbook));
    let claimed = ClaimedName::among(&vault.load().await?, subscriptions.chain(playbooks));
    Ok(Some(Conflicts { identities, claimed }))
}

/// A copy of these halves beside the store, which nobody else has open meanwhile.
pub(super) fn copied(folder: &Path, halves: &[Half]) -> Result<TempDir, ExamineError> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error| ExamineError::Copy(parent.to_path_buf(), error);
    let beside = beside(parent, COPY).map_err(failed)?;
    // Of these halves alone: a service that starts meanwhile waits for the vault's, and only for that.
    let lock = |half: &Half| folder.join(half.folder()).join(half.lock());
    let locks = halves.iter().filter_map(|half| File::open(lock(half)).ok()).collect::<Vec<_>>();
    if locks.iter().any(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock))) {
        return Err(ExamineError::InUse(folder.to_owned()));
    }
    for half in halves {
        copy(&folder.join(half.folder()), &beside.path().join(half.folder()), false).map_err(failed)?;
    }
    Ok(beside)
}

/// A folder in `parent` in which a store is restored before it is put in its place there. Dropped, it is gone with all that is left in it.
///
/// # Errors
/// Of making it.
pub fn restoring(parent: &Path) -> io::Result<TempDir> {
    beside(parent, RESTORE)
}

fn beside(parent: &Path, prefix: &str) -> io::Result<TempDir> {
    clear_away(parent);
    tempfile::Builder::new().prefix(prefix).tempdir_in(parent)
}

/// Removes what a killed process left beside the store: it takes room, and is sealed under keys that may be forgotten by now.
fn clear_away(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let is_ours = |entry: &fs::DirEntry| [COPY, RESTORE].iter().any(|prefix| entry.file_name().to_string_lossy().starts_with(prefix));
    for entry in entries.filter_map(Result::ok).filter(is_ours) {
        let age = entry.metadata().and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > LEFT_BEHIND) {
            // Who may not remove it has other troubles.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// What no configured key opens: no damage that a backup mends.
fn other_keys(part: &'static str, state: &BTreeMap<String, u64>) -> impl Iterator<Item = Finding> {
    let message = |(id, count): (&String, &u64)| format!("{count} records were sealed under another master key (id {id})");
    state.iter().map(message).map(move |message| Finding { part, message, hint: OTHER_KEY })
}

fn vault(found: &mut Examination, store: &Path, beside: &Path, at_rest: Arc<AtRest>) -> Result<Option<VaultState>, ExamineError> {
    let damage = |message| Finding { part: "vault", message, hint: RESTORE_VAULT };
    let [of, copy] = [store, beside].map(|folder| folder.join(Half::Vault.folder()));
    if !copy.join("db").exists() {
        found.damage.push(damage(String::from("it is not there")));
        return Ok(None);
    }
    match sled::examine(&copy, at_rest) {
        Ok(mut state) => {
            found.vault_records = state.records;
            found.damage.extend(other_keys("vault", &state.other_keys));
            found.damage.extend(std::mem::take(&mut state.unreadable).into_iter().map(damage));
            Ok(Some(state))
        }
        Err(error @ sled::OpenError::OtherKey { .. }) => Err(ExamineError::OtherKey(error.of(&of))),
        Err(sled::OpenError::Damaged { cause, .. } | sled::OpenError::Unusable { cause, .. }) => {
            found.damage.push(damage(format!("it does not open: {cause}")));
            Ok(None)
        }
        Err(error) => {
            found.damage.push(damage(error.of(&of).to_string()));
            Ok(None)
        }
    }
}

fn log(found: &mut Examination, store: &Path, beside: &Path, at_rest: Arc<AtRest>, clock: Arc<dyn Clock>) -> Option<LogState> {
    let damage = |message| Finding { part: "log", message, hint: RESTORE_LOG };
    let [of, copy] = [store, beside].map(|folder| folder.join(Half::Log.folder()));
    if !copy.join("version").exists() {
        found.damage.push(damage(String::from("it is not there")));
        return None;
    }
    match fjall::examine(&copy, at_rest, clock) {
        Ok(mut state) => {
            (found.events, found.log_records) = (state.events, state.records);
            found.damage.extend(other_keys("log", &state.other_keys));
            found.damage.extend(std::mem::take(&mut state.unreadable).into_iter().map(damage));
            let missing = std::mem::take(&mut state.missing);
            found.damage.extend(missing.into_iter().map(|(first, last)| damage(format!("the events {first} to {last} are missing"))));
            found.remarks.append(&mut state.remarks);
            let counted =
                state.counted.iter().map(|(first, last, at)| format!("the events {first} to {last} were counted as lost at {at}"));
            found.remarks.extend(counted);
            Some(state)
        }
        Err(fjall::OpenError::Damaged { detail, .. }) => {
            found.damage.push(damage(format!("it does not open: {detail}")));
            None
        }
        Err(error) => {
            found.damage.push(damage(error.of(&of).to_string()));
            None
        }
    }
}

/// Copies a folder. Files in the engine's folders of tables never change once they are written: those are linked where the disk allows it.
fn copy(from: &Path, to: &Path, linked: bool) -> io::Result<()> {
    if !from.exists() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to, linked || entry.file_name() == "tables")?;
        } else if !linked || fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
