//! The tokens in memory: what [`super::Vault::fresh`] reads without touching a disk.
//!
//! Sharded by app id, so that readers of different authorizers do not meet, and readers of one meet only for a copy of its token.
//! A record holds what serving needs and nothing else: a hundred thousand of them fit into some 50 MiB. Refresh tokens, names and
//! permissions stay on the shelf.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

use crate::clock::Timestamp;
use crate::platform::token::Family;
use crate::secret::Secret;

use super::authorizer::AuthorizerState;
use super::schedule::{between, is_ahead, later};

const SHARDS: usize = 64;

/// Which token: the authorizer's app id, empty for the component's own. Cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot {
    pub family: Family,
    pub app_id: Arc<str>,
}

impl Slot {
    pub fn component(family: Family) -> Self {
        Self { family, app_id: Arc::from("") }
    }

    pub fn authorizer(family: Family, app_id: &str) -> Self {
        Self { family, app_id: Arc::from(app_id) }
    }

    pub fn is_component(&self) -> bool {
        self.app_id.is_empty()
    }
}

/// What is held for one slot.
#[derive(Clone)]
pub(super) struct Held {
    /// The access token; `None` while there is none.
    pub token: Option<Secret>,
    /// Counts renewals; never goes back.
    pub generation: u64,
    /// When the access token dies.
    pub expires_at: Option<Timestamp>,
    /// When it was got.
    pub obtained_at: Timestamp,
    /// When it should be renewed.
    pub renew_at: Option<Timestamp>,
    /// Whether there is a refresh token on the shelf.
    pub has_refresh: bool,
    /// A call that may have replaced it was never answered: asked for, it is settled first.
    pub doubtful: bool,
    /// Where the grant stands; of use only in the current family. `Granted` for components.
    pub state: AuthorizerState,
    /// When the grant was withdrawn.
    pub revoked_at: Option<Timestamp>,
}

impl Held {
    /// Nothing yet.
    pub fn empty(state: AuthorizerState) -> Self {
        Self {
            token: None,
            generation: 0,
            expires_at: None,
            obtained_at: Timestamp::default(),
            renew_at: None,
            has_refresh: false,
            doubtful: false,
            state,
            revoked_at: None,
        }
    }

    /// Whether there is a token that the vendor should still accept at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.token.is_some() && self.expires_at.is_none_or(|expires_at| expires_at > now)
    }

    /// Whether it came while our clock was ahead: it may have died meanwhile.
    pub fn is_undated(&self, now: Timestamp) -> bool {
        is_ahead(self.obtained_at, now)
    }

    /// When the access token dies, seen from `now`: one that is undated, as if it had just come at the latest.
    pub fn ends_at(&self, now: Timestamp) -> Option<Timestamp> {
        let end = self.expires_at?;
        Some(if self.is_undated(now) { end.min(later(now, between(self.obtained_at, end))) } else { end })
    }
}

type Shard = RwLock<HashMap<Arc<str>, Held>>;

/// All slots of one component.
pub(super) struct Board {
    hasher: RandomState,
    current: Vec<Shard>,
    v1: Vec<Shard>,
}

impl Board {
    pub fn new() -> Self {
        let shards = || std::iter::repeat_with(Shard::default).take(SHARDS).collect();
        Self { hasher: RandomState::new(), current: shards(), v1: shards() }
    }

    /// A slot that shares the text of its app id with the board, where the authorizer is known.
    pub fn slot(&self, family: Family, app_id: &str) -> Slot {
        let known = self.shard(Family::Current, app_id).and_then(|shard| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.get_key_value(app_id).map(|(known, _)| Arc::clone(known))
        });
        Slot { family, app_id: known.unwrap_or_else(|| Arc::from(app_id)) }
    }

    /// Reads one slot.
    pub fn read<R>(&self, family: Family, app_id: &str, read: impl FnOnce(&Held) -> R) -> Option<R> {
        let shard = self.shard(family, app_id)?.read().unwrap_or_else(PoisonError::into_inner);
        shard.get(app_id).map(read)
    }

    /// Changes one slot, made if there was none.
    pub fn change(&self, slot: &Slot, change: impl FnOnce(&mut Held)) {
        let Some(shard) = self.shard(slot.family, &slot.app_id) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        change(shard.entry(Arc::clone(&slot.app_id)).or_insert_with(|| Held::empty(AuthorizerState::Granted)));
    }

    /// Changes one slot if there is one.
    pub fn change_known(&self, slot: &Slot, change: impl FnOnce(&mut Held)) {
        let Some(shard) = self.shard(slot.family, &slot.app_id) else { return };
        if let Some(held) = shard.write().unwrap_or_else(PoisonError::into_inner).get_mut(&slot.app_id) {
            change(held);
        }
    }

    /// Looks at every authorizer of a family, shard by shard.
    pub fn each_authorizer(&self, family: Family, mut look: impl FnMut(&Arc<str>, &Held)) {
        for shard in self.shards(family) {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.iter().filter(|(app_id, _)| !app_id.is_empty()).for_each(|(app_id, held)| look(app_id, held));
        }
    }

    fn shards(&self, family: Family) -> &[Shard] {
        match family {
            Family::Current => &self.current,
            Family::V1 => &self.v1,
        }
    }

    fn shard(&self, family: Family, app_id: &str) -> Option<&Shard> {
        let hash = usize::try_from(self.hasher.hash_one(app_id) & 0xffff).ok()?;
        self.shards(family).get(hash % SHARDS)
    }
}
