//! Codes and states in memory: what waits, what was used, which links are open. Bounded, because strangers can make them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::envelope::{digest, equal};
use crate::platform::token::Family;

use super::VaultError;
use super::chamber::{Chamber, locked};
use super::record::{Asker, Origin, UsedRecord};
use super::schedule::{CodeHash, between, later};

/// When to come back to a full room.
const CROWDED_FOR: Duration = Duration::from_secs(60);

/// Used codes remembered per component.
const USED_KEPT: usize = 10_000;

/// How long a used code is remembered: longer than any code lives.
const USED_FOR: Duration = Duration::from_secs(26 * 3600);

impl Asker {
    /// Open links of theirs at a time, per component.
    const fn most(self) -> usize {
        match self {
            Self::Visitor => 10_000,
            Self::Caller => 20_000,
        }
    }
}

/// How long a link's state is good.
pub(super) const STATE_FOR: Duration = Duration::from_secs(24 * 3600);

/// When the record of a state that was taken is removed, if it is still there: whoever took it removes it sooner, together with keeping a code.
const LEFT_FOR: Duration = Duration::from_secs(600);

/// Codes of browsers that wait at a time per component, where their authorizers are not known: each holds up all renewals while it is
/// exchanged, and anybody can make one up.
const WAITING_AT_MOST: usize = 32;

/// The same for those that came with a `state` of ours. They have a room of their own, which strangers cannot fill without asking for a link
/// each time.
const INVITED_AT_MOST: usize = 256;

/// A code that waits for its tokens, as memory knows it.
#[derive(Clone)]
pub(super) struct WaitingCode {
    pub app_id: Option<Arc<str>>,
    pub family: Family,
    pub origin: Origin,
    pub invited: bool,
    pub granted_at: Timestamp,
    pub received_at: Timestamp,
    pub expires_at: Timestamp,
    /// Whether the alarm before its expiry was given.
    pub warned: bool,
}

/// A browser's code that is let in: counted from now on, though it is not kept yet.
pub(super) struct Entering {
    chamber: Arc<Chamber>,
    hash: CodeHash,
}

impl Entering {
    /// Lets a code in if there is room for it. One that waits already takes none.
    pub fn of(chamber: &Arc<Chamber>, hash: CodeHash, invited: bool) -> Result<Self, VaultError> {
        let mut entering = locked(&chamber.entering);
        let codes = locked(&chamber.codes);
        let waits = |code: &WaitingCode| code.origin == Origin::Redirect && code.app_id.is_none() && code.invited == invited;
        let waiting = codes.values().filter(|code| waits(code)).count();
        let coming = entering.iter().filter(|(hash, came_invited)| **came_invited == invited && !codes.contains_key(*hash)).count();
        let most = if invited { INVITED_AT_MOST } else { WAITING_AT_MOST };
        if !codes.contains_key(&hash) && waiting + coming >= most {
            tracing::warn!(component = chamber.name, waiting, "a browser's code was turned away: too many wait to be exchanged");
            return Err(VaultError::Crowded(CROWDED_FOR));
        }
        entering.insert(hash, invited);
        Ok(Self { chamber: Arc::clone(chamber), hash })
    }
}

impl Drop for Entering {
    fn drop(&mut self) {
        locked(&self.chamber.entering).remove(&self.hash);
    }
}

/// The name of a code or state.
pub(super) fn hash_of(component: &str, text: &str) -> CodeHash {
    let mut hash = CodeHash::default();
    let whole = digest::sha256(&[component.as_bytes(), &[0], text.as_bytes()]);
    hash.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    hash
}

/// Codes that were exchanged, newest last.
#[derive(Default)]
pub(super) struct UsedCodes {
    by_hash: HashMap<CodeHash, UsedRecord>,
    order: VecDeque<(Timestamp, CodeHash)>,
}

impl UsedCodes {
    /// What is known of a code.
    pub fn get(&self, hash: &CodeHash) -> Option<&UsedRecord> {
        self.by_hash.get(hash)
    }

    /// Remembers one.
    pub fn insert(&mut self, hash: CodeHash, used: UsedRecord) {
        self.order.push_back((used.at, hash));
        self.by_hash.insert(hash, used);
    }

    /// Whether there are so many that those above the limit should go soon.
    pub fn is_crowded(&self) -> bool {
        self.order.len() > 2 * USED_KEPT
    }

    /// Forgets those that are too old or too many; their hashes.
    pub fn expunge(&mut self, now: Timestamp) -> Vec<CodeHash> {
        let mut gone = Vec::new();
        while let Some((at, hash)) = self.order.front().copied() {
            if self.order.len() <= USED_KEPT && later(at, USED_FOR) > now {
                break;
            }
            self.order.pop_front();
            // Remembered again since: a later entry of the order stands for it.
            if self.by_hash.get(&hash).is_some_and(|used| used.at == at) {
                self.by_hash.remove(&hash);
                gone.push(hash);
            }
        }
        gone
    }
}

/// Open links of a component.
#[derive(Default)]
pub(super) struct States {
    by_hash: HashMap<CodeHash, OpenLink>,
    /// Oldest first. Each asker's have an order of their own, so that none pushes out another's. `None`: those of former builds, which did not
    /// note who had asked; there will be no more of them, and they go with their age.
    orders: HashMap<Option<Asker>, BTreeSet<(Timestamp, CodeHash)>>,
    /// Those of which the record may still be there, and since when, oldest first: whoever takes one removes its record, but not where the code
    /// that came with it was known already.
    left: VecDeque<(Timestamp, CodeHash)>,
}

/// A state that somebody took, and what is needed to put it back.
pub(super) struct Taken {
    pub name: CodeHash,
    link: OpenLink,
}

struct OpenLink {
    /// SHA-256 of the state.
    whole: [u8; 32],
    created_at: Timestamp,
    asker: Option<Asker>,
}

impl States {
    /// Remembers one whose record is there.
    pub fn restore(&mut self, name: CodeHash, whole: [u8; 32], created_at: Timestamp, asker: Option<Asker>) {
        self.by_hash.insert(name, OpenLink { whole, created_at, asker });
        self.orders.entry(asker).or_default().insert((created_at, name));
    }

    /// Whether there is room for one more: visitors' newest take the place of their oldest, callers' wait for their oldest to end.
    ///
    /// # Errors
    /// How long that is.
    pub fn has_room(&self, asker: Asker, now: Timestamp) -> Result<(), Duration> {
        let order = self.orders.get(&Some(asker)).filter(|order| order.len() >= asker.most());
        match order.and_then(|order| order.first()) {
            Some((oldest, _)) if asker == Asker::Caller && later(*oldest, STATE_FOR) > now => Err(between(now, later(*oldest, STATE_FOR))),
            _ => Ok(()),
        }
    }

    /// Remembers one; the name of the one whose place it took.
    ///
    /// # Errors
    /// As [`States::has_room`].
    pub fn insert(&mut self, name: CodeHash, whole: [u8; 32], now: Timestamp, asker: Asker) -> Result<Option<CodeHash>, Duration> {
        self.has_room(asker, now)?;
        let order = self.orders.entry(Some(asker)).or_default();
        let gone = if order.len() >= asker.most() { order.pop_first().map(|(_, name)| name) } else { None };
        if let Some(gone) = &gone {
            self.by_hash.remove(gone);
        }
        self.restore(name, whole, now, Some(asker));
        Ok(gone)
    }

    /// Takes a state away if it is known and young enough: whoever comes second finds nothing.
    pub fn take(&mut self, component: &str, text: &str, now: Timestamp) -> Option<Taken> {
        let name = hash_of(component, text);
        let link = self.by_hash.get(&name)?;
        if !equal::bytes(&link.whole, &digest::sha256(&[text.as_bytes()])) || later(link.created_at, STATE_FOR) <= now {
            return None;
        }
        let link = self.forget(&name)?;
        self.left.push_back((now, name));
        Some(Taken { name, link })
    }

    /// What was taken could not be made use of: its record is still there.
    pub fn put_back(&mut self, taken: Taken) {
        let Taken { name, link } = taken;
        self.left.retain(|(_, left)| *left != name);
        self.restore(name, link.whole, link.created_at, link.asker);
    }

    /// One could not be kept, nor the record removed of the one whose place it took.
    pub fn take_back(&mut self, name: &CodeHash, pushed_out: Option<CodeHash>, now: Timestamp) {
        self.forget(name);
        self.left.extend(pushed_out.map(|name| (now, name)));
    }

    fn forget(&mut self, name: &CodeHash) -> Option<OpenLink> {
        let link = self.by_hash.remove(name)?;
        if let Some(order) = self.orders.get_mut(&link.asker) {
            order.remove(&(link.created_at, *name));
        }
        Some(link)
    }

    /// Forgets those that are too old, and visitors' that are too many because another build kept more; the names of records to remove.
    pub fn expunge(&mut self, now: Timestamp) -> Vec<CodeHash> {
        let mut gone = Vec::new();
        while let Some((_, name)) = self.left.pop_front_if(|(at, _)| later(*at, LEFT_FOR) <= now) {
            gone.push(name);
        }
        for (asker, order) in &mut self.orders {
            let most = if *asker == Some(Asker::Visitor) { Asker::Visitor.most() } else { usize::MAX };
            while order.first().is_some_and(|(at, _)| order.len() > most || later(*at, STATE_FOR) <= now) {
                let Some((_, name)) = order.pop_first() else { break };
                self.by_hash.remove(&name);
                gone.push(name);
            }
        }
        gone
    }
}
