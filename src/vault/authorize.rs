//! Grants: the link a merchant opens, the browser that comes back, the push that says so, the withdrawal.
//!
//! A link carries a `state`: unguessable, good for 24 hours and for one return. A return with an unknown one is refused. Those of links that callers
//! made are kept; those of visits to the public page, which anybody can make, are `marks`, of which only those that came back are remembered.
//! A return without one is exchanged: some platforms cannot carry it, and Alipay's service market sends browsers that never saw our link.
//! Nothing is believed of such a return but what the vendor answers to its code, and only few of them wait at a time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::Timestamp;
use crate::envelope::digest;
use crate::platform::push::Grant;
use crate::platform::token::{Family, Link, LinkRequest, Returned};
use crate::platform::{ApiError, Class, LONGEST_APP_ID, LONGEST_CODE};

use super::authorizer::AuthorizerState;
use super::chamber::{Chamber, locked};
use super::codes::{Entering, STATE_FOR, State, Taken, hash_of};
use super::marks::random;
use super::record::{Bringer, Inviter, SpentRecord, StateRecord, put};
use super::schedule::{CodeHash, later};
use super::shares::Network;
use super::shelf::{Change, Kind, RecordKey, ShelfError};
use super::waiting::Brought;
use super::{Exchanged, VaultError};

/// When to come back for a link while the vendor is slow to give those that others asked for.
const VISIT_PAUSE: Duration = Duration::from_secs(10);

/// Who asks for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Somebody who opened the public page, at that address: anybody can, as often as he likes. Such links are kept nowhere.
    Visitor(IpAddr),
    /// A caller with an API key, who passes it on to a merchant. As many are kept as are promised.
    Caller,
}

impl Chamber {
    /// A link for one merchant. It is good for as long as its state at most, whatever the vendor says of its page.
    pub async fn link(self: &Arc<Self>, redirect_uri: &str, asker: Asker) -> Result<Link, VaultError> {
        let made_at = self.clock.now();
        let (state, _visiting) = match asker {
            Asker::Visitor(address) => {
                // First, so that who is turned away here has used up nothing.
                let visiting = self.visiting.try_acquire().map_err(|_| VaultError::Overrun(VISIT_PAUSE))?;
                locked(&self.visits).take(Network::of(address), made_at).map_err(VaultError::Overrun)?;
                (self.marks.make(&self.name, made_at)?, Some(visiting))
            }
            Asker::Caller => {
                // Before the vendor is asked for anything.
                locked(&self.states).has_room(made_at).map_err(VaultError::Invited)?;
                (fresh_state()?, None)
            }
        };
        let request = LinkRequest { redirect_uri: redirect_uri.to_owned(), state };
        let mut pass_renewed = false;
        let link = loop {
            let pass = self.pass(Family::Current).await?;
            let prepared = match self.component.prepare_link(self.standing(Family::Current, &pass), &request) {
                Some(call) => Some(self.send(&call).await?),
                None => None,
            };
            match self.component.link(&request, prepared.as_ref(), self.clock.now()) {
                Ok(link) => break link,
                Err(error) if error.class == Class::RenewComponentToken && !pass_renewed => {
                    pass_renewed = true;
                    self.renew_pass(Family::Current, &pass, error).await?;
                }
                Err(error) => return Err(VaultError::VendorRefused(error)),
            }
        };
        if asker == Asker::Caller {
            self.keep_state(&request.state, made_at).await?;
        }
        tracing::info!(component = self.name, "authorization link made");
        let state_ends = later(made_at, STATE_FOR);
        Ok(Link { expires_at: Some(link.expires_at.map_or(state_ends, |at| at.min(state_ends))), ..link })
    }

    /// Keeps the state of a caller's link.
    async fn keep_state(&self, state: &str, made_at: Timestamp) -> Result<(), VaultError> {
        let (name, whole) = (hash_of(&self.name, state), digest::sha256(&[state.as_bytes()]));
        let record = StateRecord { hash: hex::encode(whole), created_at: made_at, asker: Some(Inviter::Caller) };
        let mut changes = vec![put(self.state_key(&name), &record)?];
        // Before its record, so that however many come at once there are never more records than are remembered.
        let ended = locked(&self.states).insert(name, whole, made_at).map_err(VaultError::Invited)?;
        changes.extend(ended.iter().map(|name| Change::remove(self.state_key(name))));
        if let Err(error) = self.commit(changes).await {
            locked(&self.states).take_back(&name, ended, self.clock.now());
            return Err(error.into());
        }
        Ok(())
    }

    /// A browser came back.
    pub async fn returned(self: &Arc<Self>, query: &str, from: IpAddr) -> Result<Exchanged, VaultError> {
        let now = self.clock.now();
        let returned = self.component.returned(query, now).map_err(VaultError::VendorRefused)?;
        if returned.code.value.expose().len() > LONGEST_CODE {
            let error = ApiError::new(Class::Refuse, "overlong-code", "the code that the browser brought is longer than any is");
            return Err(VaultError::VendorRefused(error));
        }
        let me = Arc::clone(self);
        let came = self.carry_out(async move { me.arrived(returned, Network::of(from), now).await }).await?;
        // A page that is loaded again after a withdrawal says nothing of a grant that is gone: what helps is to authorize once more.
        let stands = |app_id: &String| self.state_of(app_id) != Some(AuthorizerState::Revoked);
        match came {
            Exchanged::Already(authorizers) => match authorizers.into_iter().filter(stands).collect::<Vec<_>>() {
                gone if gone.is_empty() => Err(VaultError::UnknownState),
                standing => Ok(Exchanged::Already(standing)),
            },
            Exchanged::Authorizers(_) => Ok(came),
        }
    }

    /// A browser's code. A page loaded again brings the same one, and a state that is gone: it shows what becomes of the code.
    async fn arrived(self: &Arc<Self>, returned: Returned, network: Network, now: Timestamp) -> Result<Exchanged, VaultError> {
        let hash = hash_of(&self.name, returned.code.value.expose());
        let is_kept = || locked(&self.codes).contains_key(&hash);
        // Some browsers load a page twice at once: one keeps the code, and the other finds it kept, or what came of that.
        let _first = if is_kept() { None } else { Some(self.arrivals.lock(&hex::encode(hash)).await).filter(|_| !is_kept()) };
        let is_known = is_kept();
        let used = locked(&self.used).get(&hash).cloned();
        if let Some(used) = used {
            return Ok(Exchanged::Already(used.authorizers));
        }
        let state = returned.state.as_ref().map(|text| (text, self.marks.made_at(&self.name, text)));
        let believed = self.clock.believed();
        let inviter = state.and_then(|(text, made_at)| locked(&self.states).inviter(&self.name, text, made_at, believed));
        if state.is_some() && inviter.is_none() && !is_known {
            return Err(VaultError::UnknownState);
        }
        // Before the state is taken: who is turned away comes back with it.
        let bringer = Bringer { inviter, network };
        let _entering = Entering::of(self, hash, bringer)?;
        if !is_known && inviter != Some(Inviter::Caller) {
            locked(&self.returns).take(network, now).map_err(VaultError::Overrun)?;
        }
        let taken = state.and_then(|(text, made_at)| locked(&self.states).take(&self.name, text, made_at, believed));
        if state.is_some() && taken.is_none() && !is_known {
            return Err(VaultError::UnknownState);
        }
        // The state goes and the code stays in one transaction: a crash loses neither.
        let state = taken.as_ref().map(|taken| self.gone(taken)).transpose()?;
        let came = self.take_code(returned.code, Some(Brought { bringer, state }), None, now, &[]).await;
        if let (Err(VaultError::Store(_)), Some(taken)) = (&came, taken)
            && !is_kept()
        {
            // Nothing was kept: the same page, loaded again, is to find what it needs.
            locked(&self.states).put_back(taken);
        }
        came
    }

    /// What says on the shelf that a state was taken.
    fn gone(&self, taken: &Taken) -> Result<Change, ShelfError> {
        match taken.what {
            State::Kept(_) => Ok(Change::remove(self.state_key(&taken.name))),
            State::Mark(made_at) => put(self.state_key(&taken.name), &SpentRecord { made_at }),
        }
    }

    pub fn state_key(&self, name: &CodeHash) -> RecordKey {
        self.key(Kind::State, &hex::encode(name))
    }

    /// A grant came by push.
    pub async fn granted(self: &Arc<Self>, app_id: Option<&str>, grant: &Grant) -> Result<Exchanged, VaultError> {
        let named = grant.tokens.as_ref().and_then(|tokens| tokens.app_id.as_deref());
        if [app_id, named].into_iter().flatten().any(|app_id| app_id.is_empty() || app_id.len() > LONGEST_APP_ID || app_id.contains('\0')) {
            return Err(VaultError::NotAuthorized(String::from("the grant names an app id that cannot be one")));
        }
        let (me, app_id, grant) = (Arc::clone(self), app_id.map(str::to_owned), grant.clone());
        self.carry_out(async move {
            match (grant.tokens.is_some(), &grant.code, app_id) {
                (true, _, app_id) => me.keep_sent(app_id, grant).await,
                (false, Some(code), app_id) => {
                    let code = code.clone();
                    me.take_code(code, None, app_id.as_deref(), grant.granted_at, &grant.permissions).await
                }
                (false, None, Some(app_id)) => me.keep_permissions(app_id, grant).await,
                (false, None, None) => Err(VaultError::NotAuthorized(String::from("the grant names neither a code nor an app id"))),
            }
        })
        .await
    }

    /// As a task of its own: what was begun is finished even if the caller goes away, so that memory follows the shelf.
    pub async fn carry_out<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, VaultError>> + Send + 'static,
    ) -> Result<T, VaultError> {
        self.runtime.spawn(work).await.unwrap_or_else(|_| Err(VaultError::Store(String::from("the work was interrupted"))))
    }
}

/// 32 random bytes as base64url text.
fn fresh_state() -> Result<String, VaultError> {
    random::<32>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}
