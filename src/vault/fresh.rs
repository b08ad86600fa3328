//! Handing out: what is held, whether it is good enough, and whom to wait for when it is not.
//!
//! A held token that is young enough is answered from memory. Everything else ends in [`Chamber::renew`], which all who want the same
//! token share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::platform::ApiError;
use crate::platform::token::{Family, TokenKey};

use super::authorizer::AuthorizerState;
use super::chamber::{COOLING, Chamber, Forced, Pass, locked, token_key};
use super::codes::WaitingCode;
use super::held::{Held, Slot};
use super::record::{Origin, token_name};
use super::schedule::{Item, between, goes_on, later};
use super::{Served, VaultError};

/// A token with less than this left is renewed before it is handed out, if it can be: a caller must have time to use it.
const FLOOR: Duration = Duration::from_secs(60);

/// Why a renewal is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urge {
    /// Somebody asks for the token.
    Asked,
    /// It is due.
    Due,
    /// Somebody insists: also authorizers that we do not know yet are asked for at the vendor.
    Forced,
    /// The same, and an answer that waits for a key is as if it had never come.
    GivingUp,
}

impl Urge {
    /// Whether somebody insists.
    pub fn is_forced(self) -> bool {
        matches!(self, Self::Forced | Self::GivingUp)
    }
}

/// What memory says about a slot.
enum Look {
    /// Good. `true`: but due for renewal, which the answer need not wait for.
    Good(Served, bool),
    /// Not good enough; with the generation that was looked at. Asked for later, it could be that of a renewal that has just ended, and the token would be
    /// renewed once more.
    Wanting(u64),
    /// Cannot be had.
    Missing(VaultError),
}

/// Where the result of a renewal appears.
type Landing = watch::Receiver<Option<Result<(), VaultError>>>;

impl Chamber {
    /// Whether this component has such a token at all.
    pub fn check(&self, key: &TokenKey) -> Result<(), VaultError> {
        if !self.component.families().contains(&key.family()) {
            return Err(VaultError::NotApplicable(format!("{} keeps one family of tokens only; leave `family` out", self.title())));
        }
        if matches!(key, TokenKey::Component(_)) && !self.component.needs_component_token() {
            return Err(VaultError::NotApplicable(format!(
                "{} has no component token: its calls are signed with the application's own key",
                self.title()
            )));
        }
        Ok(())
    }

    /// A token with at least `min_ttl` left, if it can be had; else the one held, as long as that is valid.
    pub async fn ensure(self: &Arc<Self>, key: &TokenKey, min_ttl: Duration) -> Result<Served, VaultError> {
        let (family, app_id) = names(key);
        let seen = match self.look(key, min_ttl) {
            Look::Good(served, aging) => {
                if aging {
                    self.renew_aside(Slot::authorizer(family, app_id), served.generation);
                }
                return Ok(served);
            }
            Look::Missing(error) => {
                // Who hears of a grant may ask at once: its exchange is waited for while it is under way.
                return if self.await_exchange(app_id).await { self.held(key).ok_or(error) } else { Err(error) };
            }
            Look::Wanting(seen) => seen,
        };
        let renewed = self.renew(Slot::authorizer(family, app_id), seen, Urge::Asked).await;
        // Whether or not it was renewed: what is held and valid now is what there is to give.
        match (self.held(key), renewed) {
            (Some(served), _) => Ok(served),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(VaultError::NotAuthorized(String::from("the token was withdrawn while it was renewed"))),
        }
    }

    /// What is held, if it is good and nothing need be done about it.
    pub fn at_hand(&self, key: &TokenKey) -> Option<Served> {
        match self.look(key, Duration::ZERO) {
            Look::Good(served, false) => Some(served),
            _ => None,
        }
    }

    /// Waits for an exchange of that authorizer's code; whether there was one.
    async fn await_exchange(self: &Arc<Self>, app_id: &str) -> bool {
        if self.state_of(app_id) != Some(AuthorizerState::Pending) {
            return false;
        }
        let codes = self.codes_where(|code| code.app_id.as_deref() == Some(app_id));
        let Some(hash) = codes.into_iter().find(|hash| self.exchanges.is_under_way(hash)) else { return false };
        // How it ended shows in what is held.
        drop(self.exchange(hash).await);
        true
    }

    fn look(&self, key: &TokenKey, min_ttl: Duration) -> Look {
        let (family, app_id) = names(key);
        let now = self.clock.now();
        let judge = |held: &Held| {
            let is_doubtful = held.doubtful || held.is_undated(now);
            if is_doubtful || !held.is_valid(now) || held.expires_at.is_some_and(|at| between(now, at) < needed(held, min_ttl)) {
                return Look::Wanting(held.generation);
            }
            let aging = held.renew_at.is_some_and(|at| at <= now);
            self.serve(key, held, now).map_or(Look::Wanting(held.generation), |served| Look::Good(served, aging))
        };
        if !app_id.is_empty() {
            // The grant stands in the current family: whoever asks for a token of that one needs no second look.
            let standing = self.board.read(Family::Current, app_id, |held| match held.state {
                AuthorizerState::Granted if family == Family::Current => Ok(judge(held)),
                state => Err((state, held.revoked_at)),
            });
            match standing {
                Some(Ok(look)) => return look,
                Some(Err((AuthorizerState::Granted, _))) => {}
                Some(Err((AuthorizerState::Revoked, at))) => return Look::Missing(VaultError::Revoked { at }),
                Some(Err((AuthorizerState::Pending, _))) => return Look::Missing(self.pending(app_id)),
                None => return Look::Missing(self.unknown(app_id)),
            }
        }
        self.board.read(family, app_id, judge).unwrap_or(Look::Wanting(0))
    }

    /// What is held and valid, however little is left.
    pub fn held(&self, key: &TokenKey) -> Option<Served> {
        let (family, app_id) = names(key);
        let now = self.clock.now();
        if !app_id.is_empty() && self.state_of(app_id) != Some(AuthorizerState::Granted) {
            return None;
        }
        self.board.read(family, app_id, |held| held.is_valid(now).then(|| self.serve(key, held, now)).flatten())?
    }

    fn serve(&self, key: &TokenKey, held: &Held, now: Timestamp) -> Option<Served> {
        let overlap = self.component.renewal(key).overlap;
        let expires_at = held.ends_at(now);
        let left = expires_at.map_or(overlap, |at| between(now, at));
        Some(Served {
            token: held.token.clone()?,
            generation: held.generation,
            expires_at,
            cache_for: overlap.min(left).saturating_sub(Duration::from_secs(1)),
        })
    }

    /// The generation held, 0 where there is none.
    pub fn generation(&self, family: Family, app_id: &str) -> u64 {
        self.board.read(family, app_id, |held| held.generation).unwrap_or(0)
    }

    /// Renews a token that is not newer than generation `seen`, together with all others who want that.
    pub async fn renew(self: &Arc<Self>, slot: Slot, seen: u64, urge: Urge) -> Result<(), VaultError> {
        if urge == Urge::Asked
            && !self.renewals.is_under_way(&slot)
            && let Some(error) = self.cooling(&Item::Token(slot.clone()))
        {
            return Err(error);
        }
        let landing = self.take_off(&slot, seen, urge);
        self.landed(&slot, landing).await
    }

    /// Starts a renewal, or joins the one under way.
    fn take_off(self: &Arc<Self>, slot: &Slot, seen: u64, urge: Urge) -> Landing {
        let (me, slot) = (Arc::clone(self), slot.clone());
        self.renewals.start(&self.runtime, slot.clone(), || me.renewed(slot, seen, urge))
    }

    /// Waits for a renewal's end.
    async fn landed(&self, slot: &Slot, mut landing: Landing) -> Result<(), VaultError> {
        let end = landing.wait_for(Option::is_some).await.ok().and_then(|result| result.clone());
        end.unwrap_or_else(|| {
            let lost = Err(VaultError::Store(String::from("the renewal was interrupted")));
            self.note(&Item::Token(slot.clone()), &lost);
            lost
        })
    }

    /// Renews without anybody waiting.
    fn renew_aside(self: &Arc<Self>, slot: Slot, seen: u64) {
        if self.cooling(&Item::Token(slot.clone())).is_none() {
            drop(self.take_off(&slot, seen, Urge::Due));
        }
    }

    /// The work itself. Boxed: renewing an authorizer's token may need the component's, which is renewed the same way.
    fn renewed(self: Arc<Self>, slot: Slot, seen: u64, urge: Urge) -> BoxFuture<'static, Result<(), VaultError>> {
        async move {
            let result = if slot.is_component() {
                self.leased(&token_name(slot.family, ""), self.renew_component(&slot, seen)).await
            } else {
                self.renew_authorizer(&slot, seen, urge).await
            };
            if let Err(error) = &result
                && urge.is_forced()
            {
                self.came_to_nothing(&slot, seen, error);
            }
            // A merchant that was taken over came without anything that says who it is.
            if result.is_ok()
                && slot.family == Family::Current
                && !slot.is_component()
                && let Err(error) = self.introduce_nameless(&slot.app_id).await
            {
                tracing::warn!(component = self.name, authorizer = %slot.app_id, %error, "the authorizer's name was not learnt");
            }
            self.note(&Item::Token(slot), &result);
            result
        }
        .boxed()
    }

    /// A renewal that callers forced left the token as it was: the interval is between renewals, and a failure holds the next one up no longer than any
    /// other does.
    fn came_to_nothing(&self, slot: &Slot, seen: u64, error: &VaultError) {
        if self.generation(slot.family, &slot.app_id) > seen {
            return;
        }
        let (now, interval) = (self.clock.now(), COOLING.min(self.component.forced_renewal_interval()));
        locked(&self.forced).insert(slot.clone(), Forced { since: now, interval, failed: Some(error.clone()) });
    }

    /// A renewal that somebody insists on, at most one per the platform's interval; who comes while one is under way joins it, who comes
    /// when a newer generation than `seen` is there has what it wants, and who comes at once after one that failed hears why it did.
    pub async fn force(self: &Arc<Self>, slot: Slot, seen: u64) -> Result<(), VaultError> {
        self.force_as(slot, seen, Urge::Forced, || {}).await
    }

    /// The same, for one of the reasons to insist. `begins` is called right before it starts or is joined.
    pub async fn force_as(self: &Arc<Self>, slot: Slot, seen: u64, urge: Urge, begins: impl FnOnce()) -> Result<(), VaultError> {
        self.has_a_way(&slot).await?;
        match self.insist(&slot, seen, urge, begins) {
            Ok(landing) => self.landed(&slot, landing).await,
            Err(_) if self.generation(slot.family, &slot.app_id) > seen => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Starts such a renewal or joins it. One lock is held from the look to the start: nobody can find the interval begun and the
    /// renewal that began it not yet under way.
    fn insist(self: &Arc<Self>, slot: &Slot, seen: u64, urge: Urge, begins: impl FnOnce()) -> Result<Landing, VaultError> {
        let mut forced = locked(&self.forced);
        if !self.renewals.is_under_way(slot) {
            if let Some(error) = self.limited(&Item::Token(slot.clone())) {
                return Err(error);
            }
            let now = self.clock.now();
            forced.retain(|_, last| goes_on(last.since, last.interval, now));
            if let Some(last) = forced.get(slot) {
                let left = between(now, later(last.since, last.interval));
                return Err(last.failed.clone().unwrap_or(VaultError::RateLimited(left)));
            }
            forced.insert(slot.clone(), Forced { since: now, interval: self.component.forced_renewal_interval(), failed: None });
        }
        begins();
        Ok(self.take_off(slot, seen, urge))
    }

    /// The component's own token for a call, renewed first if needed. `None` inside where the platform has none.
    pub async fn pass(self: &Arc<Self>, family: Family) -> Result<Pass, VaultError> {
        if !self.component.needs_component_token() {
            return Ok(Pass { token: None, generation: 0 });
        }
        let served = self.ensure(&TokenKey::Component(family), Duration::ZERO).await?;
        Ok(Pass { token: Some(served.token), generation: served.generation })
    }

    /// The vendor refused the component's token in a call with this error: renews it unless that happened meanwhile.
    pub async fn renew_pass(self: &Arc<Self>, family: Family, refused: &Pass, error: ApiError) -> Result<(), VaultError> {
        if !self.component.needs_component_token() {
            return Err(VaultError::VendorRefused(error));
        }
        if self.generation(family, "") != refused.generation {
            return Ok(());
        }
        match self.force(Slot::component(family), refused.generation).await {
            // A token that is half a minute old and refused again: another one would not help.
            Err(VaultError::RateLimited(_)) => Err(VaultError::VendorRefused(error)),
            renewed => renewed,
        }
    }

    fn unknown(&self, app_id: &str) -> VaultError {
        VaultError::NotAuthorized(format!(
            "no grant of `{app_id}` is known; send its owner an authorization link, \
             or, if it granted {} before this service existed, renew its token once by force",
            self.name
        ))
    }

    fn pending(&self, app_id: &str) -> VaultError {
        VaultError::NotAuthorized(if self.has_code(app_id) {
            format!(
                "`{app_id}` granted, but its code could not be exchanged yet; it is tried again by itself, \
                 the component's state says what is in the way"
            )
        } else {
            format!(
                "`{app_id}` granted, but no code of it waits to be exchanged; if this lasts, renew its token once by force, \
                 or have its owner authorize again"
            )
        })
    }

    /// Whether a code of that authorizer waits that is tried again by itself.
    pub fn has_code(&self, app_id: &str) -> bool {
        locked(&self.codes).values().any(|code| is_tried_again(code) && code.app_id.as_deref() == Some(app_id))
    }

    /// Authorizers of whom one does.
    pub fn with_codes(&self) -> BTreeSet<Arc<str>> {
        locked(&self.codes).values().filter(|code| is_tried_again(code)).filter_map(|code| code.app_id.clone()).collect()
    }
}

/// One that we asked for is not: it goes with the renewal of its token.
fn is_tried_again(code: &WaitingCode) -> bool {
    code.origin != Origin::Recovery
}

/// How much must be left. Never more than three quarters of the token's life: a caller who asks for more would renew it with every call.
fn needed(held: &Held, min_ttl: Duration) -> Duration {
    let life = held.expires_at.map_or(Duration::MAX, |at| between(held.obtained_at, at));
    min_ttl.max(FLOOR).min(life / 4 * 3)
}

/// Family and app id, empty for the component's own.
fn names(key: &TokenKey) -> (Family, &str) {
    (key.family(), key.authorizer().unwrap_or_default())
}

/// The slot of a key.
pub(super) fn slot_of(key: &TokenKey) -> Slot {
    let (family, app_id) = names(key);
    let slot = Slot::authorizer(family, app_id);
    debug_assert_eq!(&token_key(&slot), key, "an authorizer's app id is never empty");
    slot
}
