//! What a log holds and what of it cannot be read: for `check --store`. Reads everything once; changes nothing that matters, but opens the
//! engine, which may write: it is given a copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::Keyspace;

use super::days::{self, KEPT};
use super::journal::{self, End};
use super::{FjallLog, LogOptions, OpenError, Store, backup, guarded, meta, record, records};
use crate::clock::Clock;
use crate::fanout::delivery::DeliveryId;
use crate::store::at_rest::{AtRest, AtRestError};

/// Records named one by one; of more only the number is told.
const NAMED: usize = 20;

/// What was found.
#[derive(Debug, Default)]
pub struct LogState {
    /// Events that can be read.
    pub events: u64,
    /// The newest sequence that an event has.
    pub newest: u64,
    /// Records of other kinds that can be read.
    pub records: u64,
    /// Sequences without an event that nobody has counted as lost yet: first and last of each gap.
    pub missing: Vec<(u64, u64)>,
    /// Gaps that the service has counted as lost, with when it did.
    pub counted: Vec<(u64, u64, String)>,
    /// What cannot be read, in words.
    pub unreadable: Vec<String>,
    /// Records that no configured key opens, by the id of the key that sealed them.
    pub other_keys: BTreeMap<String, u64>,
    /// What looks odd and is none: the end of a journal that was being written.
    pub remarks: Vec<String>,
    /// Commits that the vault had.
    pub vault_commits: Option<u64>,
    /// The newest sequence that is known to have been acknowledged before a backup was put back.
    pub expected: u64,
}

/// Reads the log in that folder, which must be a copy.
///
/// # Errors
/// It does not open at all; [`LogState::unreadable`] of the journals is in the error.
pub fn examine(folder: &Path, at_rest: Arc<AtRest>, clock: Arc<dyn Clock>) -> Result<LogState, OpenError> {
    let mut state = LogState::default();
    journals(folder, &mut state)?;
    let opened = guarded(folder, || FjallLog::read(folder, at_rest, LogOptions::default(), clock));
    let store = match opened {
        Ok(Some((store, _))) => store,
        Ok(None) => return Err(OpenError::Version(folder.to_path_buf())),
        Err(OpenError::Damaged { path, detail }) => {
            state.unreadable.push(detail);
            return Err(OpenError::Damaged { path, detail: state.unreadable.join("; ") });
        }
        Err(error) => return Err(error),
    };
    guarded(folder, || read_all(&store, &mut state))?;
    let surplus = state.unreadable.len().saturating_sub(NAMED);
    if surplus > 0 {
        state.unreadable.truncate(NAMED);
        state.unreadable.push(format!("and {surplus} more"));
    }
    Ok(state)
}

pub(super) fn journals(folder: &Path, state: &mut LogState) -> Result<(), OpenError> {
    let io = |error| OpenError::Io { path: PathBuf::from(folder), error };
    let journals = journal::scan(folder).map_err(io)?;
    for (index, journal) in journals.iter().enumerate() {
        let name = journal.path.file_name().unwrap_or_default().to_string_lossy();
        let (batches, newest) = (journal.batches, index + 1 == journals.len());
        match journal.end {
            End::Whole => {}
            End::Damaged { at, behind } => state.unreadable.push(format!(
                "journal {name} cannot be read from byte {at} on; {batches} batches before that are whole, {behind} behind it are out of reach"
            )),
            End::Torn { at, .. } if !newest => {
                state.unreadable.push(format!("journal {name} ends early: it cannot be read from byte {at} on, after {batches} batches"));
            }
            End::Torn { at, refused } => {
                state.remarks.push(format!(
                    "the last batch of journal {name}, at byte {at}, is not whole: it was being written when the process or the machine stopped"
                ));
                if refused {
                    journal::cut(journal, at).map_err(io)?;
                }
            }
        }
    }
    Ok(())
}

fn read_all(store: &Store, state: &mut LogState) -> fjall::Result<()> {
    state.vault_commits = store.meta_number(meta::VAULT)?;
    state.expected = store.meta_number(meta::EXPECTED)?.unwrap_or_default();
    for guard in store.meta.prefix([meta::LOST]) {
        let (key, value) = guard.into_inner()?;
        if let Some((first, last)) = meta::read_lost(&key) {
            state.counted.push((first, last, String::from_utf8_lossy(&value).into_owned()));
        }
    }
    let mut before: Option<u64> = None;
    for day in store.days.all().iter() {
        // Retention takes single events out of the kept day; every other one holds an unbroken range.
        let is_kept = day.label == KEPT;
        entries(store, &day.events, &format!("event.{}", day.label), state, |state, key, value| {
            let Some(sequence) = record::last_number(key) else { return Some(String::from("a key that is no sequence")) };
            if let Some(before) = before.filter(|before| !is_kept && sequence > before + 1) {
                missing(state, before + 1, sequence - 1);
            }
            if !is_kept {
                before = Some(sequence);
            }
            state.newest = state.newest.max(sequence);
            let Some((event, sealed)) = record::read_event(sequence, &value) else { return Some(format!("event number {sequence}")) };
            state.events += 1;
            if sealed.is_empty() {
                return None;
            }
            store.unseal(event.id, &sealed).err().map(|error| format!("the sealed part of {}: {error}", event.id))
        });
        entries(store, &day.deliveries, &format!("delivery.{}", day.label), state, |state, key, value| {
            let id = DeliveryId(uuid::Uuid::from_slice(key).unwrap_or_default());
            if record::read_delivery(id, &value).is_none() {
                return Some(format!("delivery {id}"));
            }
            state.records += 1;
            None
        });
    }
    let is_by_day = |name: &str| name.starts_with("event.") || name.starts_with("delivery.");
    for (name, keyspace) in days::keyspaces(&store.db)?.into_iter().filter(|(name, _)| !is_by_day(name)) {
        entries(store, &keyspace, &name, state, |state, key, value| {
            if name == records::KEYSPACE
                && let Err(error) = store.has_its_form(key, &value)
            {
                return Some(format!("{} ({error})", records::named(key)));
            }
            state.records += 1;
            None
        });
    }
    Ok(())
}

/// Visits every entry; each block's checksum is looked at on the way. `visit` says what is wrong with an entry, which counts unless it is no more
/// than a key that is not configured: such are counted apart, because a backup mends none of them.
fn entries(
    store: &Store,
    keyspace: &Keyspace,
    name: &str,
    state: &mut LogState,
    mut visit: impl FnMut(&mut LogState, &[u8], bytes::Bytes) -> Option<String>,
) {
    let mut read = 0_u64;
    for guard in keyspace.iter() {
        match guard.into_inner() {
            Ok((key, value)) => {
                read += 1;
                let value = record::shared(value);
                let known = backup::sealed_in(name, &key, &value).map(|sealed| store.at_rest.knows(&sealed));
                let wrong = visit(state, &key, value);
                if let Some(Err(AtRestError::OtherKey(id))) = known {
                    *state.other_keys.entry(id).or_default() += 1;
                } else if let Some(wrong) = wrong {
                    state.unreadable.push(format!("{name}: {wrong} cannot be read"));
                }
            }
            Err(error) => {
                state.unreadable.push(format!("{name} cannot be read behind its first {read} records: {error}"));
                return;
            }
        }
    }
}

/// Notes a gap, without what was counted as lost before.
fn missing(state: &mut LogState, first: u64, last: u64) {
    if !state.counted.iter().any(|(from, to, _)| *from <= first && last <= *to) {
        state.missing.push((first, last));
    }
}
