//! Codes and states in memory: what waits, what was used, which links are open. Bounded, because strangers can bring them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::envelope::{digest, equal};
use crate::platform::token::Family;

use super::VaultError;
use super::chamber::{Chamber, locked};
use super::record::{Bringer, Inviter, Origin, UsedRecord, is_strangers};
use super::schedule::{CodeHash, between, later};
use super::shares::is_fair;

/// When to come back to a full room.
const CROWDED_FOR: Duration = Duration::from_secs(60);

/// Used codes remembered per component.
const USED_KEPT: usize = 10_000;

/// How long a used code is remembered: longer than any code lives.
const USED_FOR: Duration = Duration::from_secs(26 * 3600);

/// Open links that callers made, at a time per component.
const INVITATIONS: usize = 20_000;

/// Visitors' marks that came back and are remembered per component. The oldest go where there are more: whoever brings so many gains that one of them
/// is good for another code that somebody made up.
const SPENT_KEPT: usize = 10_000;

/// How long a link's state is good.
pub(super) const STATE_FOR: Duration = Duration::from_secs(24 * 3600);

/// When the record of a state that was taken is removed, if it is still there: whoever took it removes it sooner, together with keeping a code.
const LEFT_FOR: Duration = Duration::from_secs(600);

/// Codes of browsers that wait at a time per component, where their authorizers are not known: without a `state` of ours, which anybody can make up;
/// with a visitor's, which costs a link each; and with a caller's, which strangers never see. Each has a room of its own.
const fn room_for(inviter: Option<Inviter>) -> usize {
    match inviter {
        None => 64,
        Some(Inviter::Visitor | Inviter::Caller) => 256,
    }
}

/// A code that waits for its tokens, as memory knows it.
#[derive(Clone)]
pub(super) struct WaitingCode {
    pub app_id: Option<Arc<str>>,
    pub family: Family,
    pub origin: Origin,
    pub bringer: Option<Bringer>,
    pub granted_at: Timestamp,
    pub received_at: Timestamp,
    pub expires_at: Timestamp,
    /// Whether the alarm before its expiry was given.
    pub warned: bool,
}

impl WaitingCode {
    /// As [`super::record::CodeRecord::is_strangers`].
    pub fn is_strangers(&self) -> bool {
        self.app_id.is_none() && is_strangers(self.origin, self.bringer)
    }
}

/// A browser's code that is let in: counted from now on, though it is not kept yet.
pub(super) struct Entering {
    chamber: Arc<Chamber>,
    hash: CodeHash,
}

impl Entering {
    /// Lets a code in if there is room for it. One that waits already takes none.
    pub fn of(chamber: &Arc<Chamber>, hash: CodeHash, bringer: Bringer) -> Result<Self, VaultError> {
        let mut entering = locked(&chamber.entering);
        let codes = locked(&chamber.codes);
        if !codes.contains_key(&hash) {
            let waiting = codes.values().filter(|code| code.origin == Origin::Redirect && code.app_id.is_none()).map(|code| code.bringer);
            let coming = entering.iter().filter(|(coming, _)| !codes.contains_key(*coming)).map(|(_, bringer)| Some(*bringer));
            let (mut held, mut of_network) = (0_usize, 0_usize);
            for other in waiting.chain(coming).filter(|other| other.and_then(|other| other.inviter) == bringer.inviter) {
                held += 1;
                of_network += usize::from(other.is_some_and(|other| other.network == bringer.network));
            }
            let left = room_for(bringer.inviter).saturating_sub(held);
            let is_let_in = if bringer.inviter == Some(Inviter::Caller) { left > 0 } else { is_fair(of_network, left) };
            if !is_let_in {
                tracing::warn!(
                    component = chamber.name,
                    waiting = held,
                    of_network,
                    "a browser's code was turned away: too many wait to be exchanged"
                );
                return Err(VaultError::Crowded(CROWDED_FOR));
            }
        }
        entering.insert(hash, bringer);
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

/// Links of a component: those that are kept and open, and those of visitors that were used.
#[derive(Default)]
pub(super) struct States {
    by_hash: HashMap<CodeHash, OpenLink>,
    /// Oldest first, each asker's in an order of their own. Only callers' become more. Visitors' are of former builds, which kept them, as are those
    /// of `None`, of whom nobody noted who had asked: they go with their age.
    orders: HashMap<Option<Inviter>, BTreeSet<(Timestamp, CodeHash)>>,
    /// Visitors' marks that came back, by when they were made.
    spent: BTreeSet<(Timestamp, CodeHash)>,
    /// Those of which the record may still be there, and since when, oldest first: whoever takes one removes its record, but not where the code
    /// that came with it was known already.
    left: VecDeque<(Timestamp, CodeHash)>,
}

/// A state that somebody took, and what is needed to put it back.
pub(super) struct Taken {
    pub name: CodeHash,
    pub what: State,
}

/// What a state was.
pub(super) enum State {
    /// One that is kept.
    Kept(OpenLink),
    /// A visitor's mark, made then.
    Mark(Timestamp),
}

pub(super) struct OpenLink {
    /// SHA-256 of the state.
    whole: [u8; 32],
    created_at: Timestamp,
    asker: Option<Inviter>,
}

impl OpenLink {
    fn is_of(&self, text: &str, now: Timestamp) -> bool {
        equal::bytes(&self.whole, &digest::sha256(&[text.as_bytes()])) && later(self.created_at, STATE_FOR) > now
    }
}

impl States {
    /// Remembers one whose record is there.
    pub fn restore(&mut self, name: CodeHash, whole: [u8; 32], created_at: Timestamp, asker: Option<Inviter>) {
        self.by_hash.insert(name, OpenLink { whole, created_at, asker });
        self.orders.entry(asker).or_default().insert((created_at, name));
    }

    /// Whether there is room for one more of a caller's: it waits for the oldest to end.
    ///
    /// # Errors
    /// How long that is.
    pub fn has_room(&self, now: Timestamp) -> Result<(), Duration> {
        let order = self.orders.get(&Some(Inviter::Caller)).filter(|order| order.len() >= INVITATIONS);
        match order.and_then(|order| order.first()) {
            Some((oldest, _)) if later(*oldest, STATE_FOR) > now => Err(between(now, later(*oldest, STATE_FOR))),
            _ => Ok(()),
        }
    }

    /// Remembers a caller's; the name of the one that ended and whose place it took.
    ///
    /// # Errors
    /// As [`States::has_room`].
    pub fn insert(&mut self, name: CodeHash, whole: [u8; 32], now: Timestamp) -> Result<Option<CodeHash>, Duration> {
        self.has_room(now)?;
        let order = self.orders.entry(Some(Inviter::Caller)).or_default();
        let gone = if order.len() >= INVITATIONS { order.pop_first().map(|(_, name)| name) } else { None };
        if let Some(gone) = &gone {
            self.by_hash.remove(gone);
        }
        self.restore(name, whole, now, Some(Inviter::Caller));
        Ok(gone)
    }

    /// Who asked for the link of that state, if it is one that can be taken; `made_at` as in [`States::take`].
    pub fn inviter(&self, component: &str, text: &str, made_at: Option<Timestamp>, now: Timestamp) -> Option<Inviter> {
        let name = hash_of(component, text);
        if let Some(made_at) = made_at {
            return self.is_unspent(name, made_at, now).then_some(Inviter::Visitor);
        }
        let link = self.by_hash.get(&name).filter(|link| link.is_of(text, now))?;
        Some(link.asker.unwrap_or(Inviter::Visitor))
    }

    fn is_unspent(&self, name: CodeHash, made_at: Timestamp, now: Timestamp) -> bool {
        later(made_at, STATE_FOR) > now && !self.spent.contains(&(made_at, name))
    }

    /// Takes a state away if it is known and young enough: whoever comes second finds nothing. `made_at` is when it was made, where it is a visitor's
    /// mark.
    pub fn take(&mut self, component: &str, text: &str, made_at: Option<Timestamp>, now: Timestamp) -> Option<Taken> {
        let name = hash_of(component, text);
        if let Some(made_at) = made_at {
            return self.is_unspent(name, made_at, now).then(|| {
                self.forget_oldest_spent(now);
                self.spend(name, made_at);
                Taken { name, what: State::Mark(made_at) }
            });
        }
        self.by_hash.get(&name).filter(|link| link.is_of(text, now))?;
        let link = self.forget(&name)?;
        self.left.push_back((now, name));
        Some(Taken { name, what: State::Kept(link) })
    }

    /// Remembers that a visitor's mark came back.
    pub fn spend(&mut self, name: CodeHash, made_at: Timestamp) {
        self.spent.insert((made_at, name));
    }

    fn forget_oldest_spent(&mut self, now: Timestamp) {
        if self.spent.len() >= SPENT_KEPT {
            self.left.extend(self.spent.pop_first().map(|(_, name)| (now, name)));
        }
    }

    /// What was taken could not be made use of: a record is still there, or is not there yet.
    pub fn put_back(&mut self, taken: Taken) {
        match taken.what {
            State::Kept(link) => {
                self.left.retain(|(_, left)| *left != taken.name);
                self.restore(taken.name, link.whole, link.created_at, link.asker);
            }
            State::Mark(made_at) => drop(self.spent.remove(&(made_at, taken.name))),
        }
    }

    /// One could not be kept, nor the record removed of the one whose place it took.
    pub fn take_back(&mut self, name: &CodeHash, ended: Option<CodeHash>, now: Timestamp) {
        self.forget(name);
        self.left.extend(ended.map(|name| (now, name)));
    }

    fn forget(&mut self, name: &CodeHash) -> Option<OpenLink> {
        let link = self.by_hash.remove(name)?;
        if let Some(order) = self.orders.get_mut(&link.asker) {
            order.remove(&(link.created_at, *name));
        }
        Some(link)
    }

    /// Forgets those that are too old; the names of records to remove.
    pub fn expunge(&mut self, now: Timestamp) -> Vec<CodeHash> {
        let mut gone = Vec::new();
        while let Some((_, name)) = self.left.pop_front_if(|(at, _)| later(*at, LEFT_FOR) <= now) {
            gone.push(name);
        }
        for order in self.orders.values_mut().chain([&mut self.spent]) {
            while order.first().is_some_and(|(at, _)| later(*at, STATE_FOR) <= now) {
                let Some((_, name)) = order.pop_first() else { break };
                self.by_hash.remove(&name);
                gone.push(name);
            }
        }
        gone
    }
}
