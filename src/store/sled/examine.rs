//! What a vault's store holds and what of it cannot be read: for `check --store`. Opens the engine, which may write: it is given a copy.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::{OpenError, Reader, SledVault, raw_key, split};
use crate::store::at_rest::{AtRest, AtRestError};
use crate::store::commit::panic_text;
use crate::vault::HighWater;
use crate::vault::shelf::Kind;

/// What was found.
#[derive(Debug, Default)]
pub struct VaultState {
    /// Records that can be read.
    pub records: u64,
    /// Records that no configured key opens, by the id of the key that sealed them.
    pub other_keys: BTreeMap<String, u64>,
    /// What else cannot be read, in words.
    pub unreadable: Vec<String>,
    /// Commits it knows of.
    pub commits: u64,
    /// How far the log had acknowledged events when the vault was last told.
    pub high_water: Option<HighWater>,
}

/// Reads the vault in that folder, which must be a copy.
///
/// # Errors
/// It does not open at all.
pub fn examine(folder: &Path, at_rest: Arc<AtRest>) -> Result<VaultState, OpenError> {
    let (vault, _) = SledVault::open_now(folder, at_rest)?;
    let reader = Reader { tree: vault.tree.clone(), at_rest: Arc::clone(&vault.at_rest) };
    let mark = raw_key(Kind::Note.as_str(), "", HighWater::NAME);
    let mut state = VaultState { commits: vault.commits(), ..VaultState::default() };
    let mut unopened: BTreeMap<String, u64> = BTreeMap::new();
    let read = catch_unwind(AssertUnwindSafe(|| {
        for entry in reader.tree.iter() {
            let (raw, value) = entry.map_err(|error| error.to_string())?;
            let mut parts = raw.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            let (kind, component) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            match reader.record(&kind, &raw, String::from("record"), &value).body {
                Some(body) => {
                    state.records += 1;
                    if *raw == *mark {
                        state.high_water = HighWater::read(&body);
                    }
                }
                None if let Some(id) = other_key(&reader, &value) => *state.other_keys.entry(id).or_default() += 1,
                None => {
                    let of = if component.is_empty() { String::new() } else { format!(" of `{component}`") };
                    *unopened.entry(format!("{kind} records{of}")).or_default() += 1;
                }
            }
        }
        Ok::<(), String>(())
    }));
    let broken = match read {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(panic) => Some(panic_text(&*panic).to_owned()),
    };
    state.unreadable.extend(broken.map(|cause| format!("its records behind the first {} cannot be read: {cause}", state.records)));
    state.unreadable.extend(unopened.into_iter().map(|(what, count)| format!("{count} {what} cannot be opened")));
    Ok(state)
}

/// Id of the key that sealed it, when that is not configured.
fn other_key(reader: &Reader, value: &[u8]) -> Option<String> {
    match reader.at_rest.knows(split(value)?.1) {
        Err(AtRestError::OtherKey(id)) => Some(id),
        _ => None,
    }
}
