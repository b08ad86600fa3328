//! Keeping what came: tokens with their authorizers in one transaction; and giving up what was withdrawn.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::platform::push::Grant;
use crate::platform::token::{Family, Permission};
use crate::platform::{ApiError, AuthorizerTokens, Class};

use super::authorizer::AuthorizerState;
use super::chamber::{Chamber, locked};
use super::codes::hash_of;
use super::held::Slot;
use super::record::{AuthorizerRecord, FoundRecord, Origin, Standing, TokenRecord, UsedRecord, put, write};
use super::schedule::{CodeHash, Item, earlier, is_ahead, later};
use super::shelf::{Change, Kind, ShelfError};
use super::{Exchanged, VaultError};

/// Vendors may not know of a grant when they are asked about it so soon after it: their lists and answers lag behind their pushes.
pub const LAG: Duration = Duration::from_secs(600);

/// Tries to commit against the changes of other processes.
const ATTEMPTS: u8 = 8;

/// How tokens came.
#[derive(Clone, Copy)]
pub(super) enum How<'a> {
    /// A refresh token was spent: the grant is as it was.
    Refreshed,
    /// A merchant granted.
    Granted {
        /// The vendor's time of it, ours where only a browser came.
        at: Timestamp,
        /// What the push named.
        permissions: &'a [Permission],
        /// What brought word of it.
        way: Way,
    },
    /// We asked for them.
    Recovered,
}

/// How a grant came here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A push, with a code.
    Push,
    /// A merchant's browser, with a code: perhaps nobody else will ever tell of it.
    Browser,
    /// A push, with the tokens.
    Outright,
}

/// Who says that a grant is gone.
#[derive(Clone, Copy)]
enum Word<'a> {
    /// A push, with the vendor's time.
    Push,
    /// An answer to something else that was asked: to the code of a grant of that time, or to a refresh token.
    Answer { code_of: Option<Timestamp>, error: &'a ApiError },
}

impl Chamber {
    /// Makes tokens durable and publishes them. In the same transaction: their authorizers' states, the end of their intents and of
    /// recoveries' codes, and what `also` holds.
    pub async fn keep_tokens(
        &self,
        family: Family,
        tokens: Vec<(String, AuthorizerTokens)>,
        at: Timestamp,
        how: How<'_>,
        also: Vec<Change>,
    ) -> Result<(), VaultError> {
        for _ in 0..ATTEMPTS {
            let mut changes = also.clone();
            let mut kept: Vec<(Slot, TokenRecord, AuthorizerRecord, Vec<CodeHash>)> = Vec::with_capacity(tokens.len());
            for (app_id, tokens) in &tokens {
                let slot = self.board.slot(family, app_id);
                let (token_version, former) = self.token_record(&slot).await?;
                let record = renewed(former, tokens, at, how);
                changes.push(Change::put_if(self.token_record_key(&slot), token_version, write(&record)?));
                let (version, former) = self.authorizer_record(app_id).await?;
                let standing = self.standing_of(app_id, former.clone(), tokens, at, how);
                if former.is_none_or(|former| !former.is_same(&standing)) {
                    changes.push(Change::put_if(self.key(Kind::Authorizer, app_id), version, write(&standing)?));
                }
                changes.push(Change::remove(self.intent_key(&slot)));
                let recoveries = self.recoveries(&slot);
                changes.extend(recoveries.iter().map(|hash| Change::remove(self.key(Kind::Code, &hex::encode(hash)))));
                kept.push((slot, record, standing, recoveries));
            }
            match self.commit(changes).await {
                // Another process changed one of them: look again. What came last from the vendor is what it will accept.
                Err(ShelfError::Conflict) => continue,
                answer => answer?,
            }
            for (slot, record, standing, recoveries) in kept {
                self.publish_authorizer(&slot.app_id, &standing);
                self.publish(&slot, &record);
                recoveries.iter().for_each(|hash| self.forget_code(hash));
                tracing::info!(
                    component = self.name,
                    authorizer = %slot.app_id,
                    generation = record.generation,
                    expires_at = record.access.as_ref().and_then(|token| token.expires_at).map(tracing::field::display),
                    "token kept"
                );
            }
            return Ok(());
        }
        Err(VaultError::Store(String::from("another process kept changing the same authorizer")))
    }

    /// An authorizer after these tokens came.
    fn standing_of(
        &self,
        app_id: &str,
        former: Option<AuthorizerRecord>,
        tokens: &AuthorizerTokens,
        at: Timestamp,
        how: How<'_>,
    ) -> AuthorizerRecord {
        let is_stranger = former.is_none();
        let mut record = former.unwrap_or_else(|| AuthorizerRecord::pending(at));
        let now = self.clock.now();
        if let Some(permissions) = &tokens.permissions {
            record.permissions.clone_from(permissions);
        }
        // A vendor may push the code that a recovery asks for, and that push makes the authorizer pending meanwhile.
        let was_gone = record.found.as_ref().filter(|found| found.what == Standing::Gone).map(|found| found.at);
        match (how, record.state) {
            // The grant that stands was told, or is to be.
            (How::Granted { way: Way::Browser, .. }, AuthorizerState::Granted) => {}
            (How::Granted { way: Way::Browser, at, .. }, AuthorizerState::Pending) if self.was_announced(app_id, &record, at) => {
                record.overtaken()
            }
            (How::Granted { way: Way::Browser, at, .. }, _) => {
                // The merchant may have stayed a while on the vendor's page: a push of these minutes is of this grant.
                let since = record.revoked_at.or(was_gone).unwrap_or_else(|| earlier(at, LAG));
                record.ended_at = record.ended_at.max(was_gone);
                record.found = Some(FoundRecord::came(at, since));
            }
            (How::Granted { .. }, _) => record.overtaken(),
            // Nobody told of it, and somebody who knew of it asked for its token.
            (How::Recovered, _) if is_stranger => record.found = Some(FoundRecord::back(at, None)),
            // Told whether or not its end was: that may be in the log already, and not yet known here to be.
            (How::Recovered, state) if state == AuthorizerState::Revoked || (state == AuthorizerState::Pending && was_gone.is_some()) => {
                // The event of its end, should it come back only now, ends nothing that is newer.
                if record.dated_grant(now).is_none_or(|former| former < at) {
                    record.date(at, true);
                }
                record.ended_at = record.ended_at.max(was_gone);
                record.found = Some(FoundRecord::back(at, record.revoked_at.or(was_gone)));
            }
            _ => {}
        }
        if let How::Granted { at: granted_at, permissions, way } = how {
            if record.dated_grant(now).is_none_or(|former| former <= granted_at) {
                record.date(granted_at, way == Way::Browser);
            }
            if tokens.permissions.is_none() && !permissions.is_empty() {
                record.permissions = permissions.to_vec();
            }
        }
        record.begin_anew();
        record.state = AuthorizerState::Granted;
        record.updated_at = at;
        record
    }

    /// Whether an event told of the grant with which a browser came at `at`, of an authorizer that is pending: only an event makes it that. One that has
    /// been pending for long and of which no push's code waits any more granted again.
    fn was_announced(&self, app_id: &str, pending: &AuthorizerRecord, at: Timestamp) -> bool {
        pending.dated_grant(self.clock.now()).is_some_and(|told| later(told, LAG) > at)
            || !self.codes_where(|code| code.origin == Origin::Push && code.app_id.as_deref() == Some(app_id)).is_empty()
    }

    /// Shows an authorizer's state to readers, and what was found of it to whoever makes events of that.
    pub fn publish_authorizer(&self, app_id: &str, record: &AuthorizerRecord) {
        self.board.change(&Slot::authorizer(Family::Current, app_id), |held| {
            held.state = record.state;
            held.revoked_at = record.revoked_at;
        });
        let is_untold = record.untold().is_some();
        self.untold.send_if_modified(|untold| match is_untold {
            true => untold.insert(app_id.to_owned()),
            false => untold.remove(app_id),
        });
    }

    /// Tokens that the vendor sent outright (Alipay): kept if the grant is newer than what is held, or is the same and brings the refresh
    /// token that a recovery could not (Alipay 4.6).
    pub async fn keep_sent(self: Arc<Self>, app_id: Option<String>, grant: Grant) -> Result<Exchanged, VaultError> {
        let Some(tokens) = grant.tokens else { return Ok(Exchanged::Already(Vec::new())) };
        let Some(app_id) = tokens.app_id.clone().or(app_id) else {
            return Err(VaultError::NotAuthorized(String::from("the vendor sent tokens and did not say whose")));
        };
        let _spending = self.spending.read().await;
        let _alone = self.locks.lock(&app_id).await;
        let (_, known) = self.authorizer_record(&app_id).await?;
        let (_, held) = self.token_record(&Slot::authorizer(Family::Current, &app_id)).await?;
        let completes = held.refresh.is_none() && tokens.refresh.is_some();
        // Where no list said when the merchant granted, the time that is known is ours; the same access token is of the same grant.
        let is_held = held.access.as_ref().is_some_and(|access| access.value == tokens.access.value);
        let is_known = |at: Timestamp| if completes { at > grant.granted_at && !is_held } else { at >= grant.granted_at };
        if let Some(known) = known
            && (known.outlived(grant.granted_at)
                || known.showed_gone(grant.granted_at)
                || (known.state == AuthorizerState::Granted && known.dated_grant(self.clock.now()).is_some_and(is_known)))
        {
            return Ok(Exchanged::Already(vec![app_id]));
        }
        let how = How::Granted { at: grant.granted_at, permissions: &grant.permissions, way: Way::Outright };
        // Its code has done its duty: the browser that brings it is not to exchange it again.
        let used = UsedRecord { at: self.clock.now(), authorizers: vec![app_id.clone()] };
        let hash = grant.code.map(|code| hash_of(&self.name, code.value.expose()));
        let also = hash.map(|hash| put(self.key(Kind::Used, &hex::encode(hash)), &used)).transpose()?.into_iter().collect();
        self.keep_tokens(Family::Current, vec![(app_id.clone(), tokens)], self.clock.now(), how, also).await?;
        if let Some(hash) = hash {
            locked(&self.used).insert(hash, used);
        }
        Ok(Exchanged::Authorizers(vec![app_id]))
    }

    /// A push without code or tokens changes what a standing grant permits, and nothing else.
    pub async fn keep_permissions(self: Arc<Self>, app_id: String, grant: Grant) -> Result<Exchanged, VaultError> {
        let _spending = self.spending.read().await;
        let _alone = self.locks.lock(&app_id).await;
        let (version, known) = self.authorizer_record(&app_id).await?;
        let mut record = known.clone().unwrap_or_else(|| AuthorizerRecord::pending(grant.granted_at));
        if record.outlived(grant.granted_at) || record.dated_grant(self.clock.now()).is_some_and(|at| at > grant.granted_at) {
            return Ok(Exchanged::Already(vec![app_id]));
        }
        // The event of what was found here brings our own time back, which may lie ahead of what a push has said since.
        if record.granted_at != Some(grant.granted_at) && !record.is_own_grant(grant.granted_at) {
            record.date(grant.granted_at, false);
        }
        if !grant.permissions.is_empty() {
            record.permissions = grant.permissions;
        }
        if record.state == AuthorizerState::Revoked {
            record.state = AuthorizerState::Pending;
            record.overtaken();
        }
        record.updated_at = self.clock.now();
        self.commit(vec![Change::put_if(self.key(Kind::Authorizer, &app_id), version, write(&record)?)]).await?;
        self.publish_authorizer(&app_id, &record);
        if record.state == AuthorizerState::Pending {
            // Granted, and nothing came to exchange: asking is the only way to a token.
            self.recover(&Slot::authorizer(Family::Current, &app_id)).await?;
            return Ok(Exchanged::Authorizers(vec![app_id]));
        }
        Ok(Exchanged::Already(vec![app_id]))
    }

    /// A merchant withdrew at `at` by the vendor's clock.
    pub async fn withdraw(self: Arc<Self>, app_id: String, at: Timestamp) -> Result<(), VaultError> {
        let _spending = self.spending.read().await;
        let _alone = self.locks.lock(&app_id).await;
        let (version, known) = self.authorizer_record(&app_id).await?;
        if let Some(mut known) = known {
            // Told by us. By now the merchant may have granted again, by a clock that is behind ours.
            if known.is_own_word(at) {
                return Ok(());
            }
            let now = self.clock.now();
            if known.began_after(at, now) || known.outlived(at) || known.revoked_at == Some(at) {
                tracing::info!(component = self.name, authorizer = app_id, "a withdrawal older than what is known was ignored");
                if known.tell_again(at, now) {
                    self.commit(vec![Change::put_if(self.key(Kind::Authorizer, &app_id), version, write(&known)?)]).await?;
                    self.publish_authorizer(&app_id, &known);
                }
                return Ok(());
            }
        }
        self.give_up(&app_id, at, Word::Push).await?;
        tracing::info!(component = self.name, authorizer = app_id, "authorization withdrawn");
        Ok(())
    }

    /// The same error, to be tried again later where it says that a grant is gone which is so young that the vendor may not know of it yet
    /// (see [`LAG`]). One that it has given tokens for it knows: what counts is codes that wait, `code_of`, the time of the grant whose code
    /// was answered so, and a grant that came without a code and has no tokens yet. `asked_at` is when the vendor was asked.
    pub async fn unless_young(
        &self,
        app_id: &str,
        code_of: Option<Timestamp>,
        asked_at: Timestamp,
        error: ApiError,
    ) -> Result<ApiError, ShelfError> {
        if error.class != Class::GrantGone {
            return Ok(error);
        }
        let known = self.authorizer_record(app_id).await?.1;
        let now = self.clock.now();
        let pending = known.filter(|known| known.state == AuthorizerState::Pending).and_then(|known| known.dated_grant(now));
        let waiting = locked(&self.codes)
            .values()
            .filter(|code| code.app_id.as_deref() == Some(app_id) && code.origin != Origin::Recovery)
            .filter(|code| !(is_ahead(code.granted_at, now) && is_ahead(code.received_at, now)))
            .map(|code| code.granted_at)
            .max();
        if waiting.max(code_of).max(pending).is_none_or(|at| later(at, LAG) <= asked_at) {
            return Ok(error);
        }
        tracing::warn!(component = self.name, authorizer = app_id, %error, "the vendor does not know a grant of these minutes yet");
        Ok(ApiError { class: Class::Retry, ..error })
    }

    /// The vendor, asked at `at`, says that the grant no longer stands: `code_of` is the time of the grant whose code was answered so. What to
    /// tell whoever asked; everybody else hears of it by an event (see [`super::Vault::untold`]).
    pub async fn grant_is_gone(&self, app_id: &str, code_of: Option<Timestamp>, at: Timestamp, error: &ApiError) -> VaultError {
        self.count("authorizer", "refused");
        match self.board.read(Family::Current, app_id, |held| (held.state, held.revoked_at)) {
            None => return VaultError::NotAuthorized(format!("the vendor knows no grant of `{app_id}` ({error})")),
            // Known, unless this is a grant of its own.
            Some((AuthorizerState::Revoked, at)) if code_of.is_none() => return VaultError::Revoked { at },
            Some(_) => {}
        }
        if let Err(error) = self.give_up(app_id, at, Word::Answer { code_of, error }).await {
            return error;
        }
        tracing::warn!(component = self.name, authorizer = app_id, %error, "the vendor says that the authorization is gone");
        VaultError::Revoked { at: Some(at) }
    }

    /// Drops an authorizer's tokens and keeps their generations.
    async fn give_up(&self, app_id: &str, at: Timestamp, word: Word<'_>) -> Result<(), VaultError> {
        for _ in 0..ATTEMPTS {
            let (version, known) = self.authorizer_record(app_id).await?;
            let mut record = known.unwrap_or_else(|| AuthorizerRecord::pending(at));
            match word {
                Word::Push => record.overtaken(),
                Word::Answer { code_of, error } => {
                    // Of a grant that no push told, the exchange is all that is known.
                    let exchanged_at = self.token_record(&Slot::authorizer(Family::Current, app_id)).await?.1.exchanged_at;
                    let since = record.granted_at.max(code_of).or(exchanged_at);
                    let vendor = serde_json::json!({"code": error.code, "message": error.message});
                    record.found = Some(FoundRecord { what: Standing::Gone, at, since, vendor, told: false });
                }
            }
            record.state = AuthorizerState::Revoked;
            record.revoked_at = Some(at);
            record.revoked_by_push = matches!(word, Word::Push);
            record.updated_at = self.clock.now();
            let mut changes = vec![Change::put_if(self.key(Kind::Authorizer, app_id), version, write(&record)?)];
            let mut emptied = Vec::new();
            for family in self.component.families() {
                let slot = Slot::authorizer(*family, app_id);
                let (version, former) = self.token_record(&slot).await?;
                changes.push(Change::remove(self.intent_key(&slot)));
                if version > 0 {
                    let empty = TokenRecord { generation: former.generation, obtained_at: former.obtained_at, ..TokenRecord::default() };
                    changes.push(Change::put_if(self.token_record_key(&slot), version, write(&empty)?));
                    emptied.push((slot, empty));
                }
            }
            // Codes of this grant go with it; one of a later grant stays.
            let codes = self.codes_where(|code| {
                code.app_id.as_deref() == Some(app_id)
                    && (code.origin == Origin::Recovery || (record.revoked_by_push && code.granted_at <= at))
            });
            changes.extend(codes.iter().map(|hash| Change::remove(self.key(Kind::Code, &hex::encode(hash)))));
            match self.commit(changes).await {
                Err(ShelfError::Conflict) => continue,
                answer => answer?,
            }
            self.publish_authorizer(app_id, &record);
            emptied.iter().for_each(|(slot, empty)| self.publish(slot, empty));
            codes.iter().for_each(|hash| self.forget_code(hash));
            for family in self.component.families() {
                let item = Item::Token(Slot::authorizer(*family, app_id));
                locked(&self.troubles).remove(&item);
                locked(&self.schedule).set(item, None);
            }
            return Ok(());
        }
        Err(VaultError::Store(String::from("another process kept changing the same authorizer")))
    }

    /// Asks the vendor who the authorizer is, where it can tell: for people. Failing is not worth a second try.
    pub async fn introduce(self: &Arc<Self>, app_id: &str) -> Result<(), VaultError> {
        let key = crate::platform::TokenKey::Authorizer { app_id: app_id.to_owned(), family: Family::Current };
        let Some(served) = self.held(&key) else { return Ok(()) };
        let pass = self.pass(Family::Current).await?;
        let Some(call) = self.component.identify(self.standing(Family::Current, &pass), &served.token) else { return Ok(()) };
        let reply = self.send(&call).await?;
        let identity = self.component.read_identity(&reply).map_err(VaultError::VendorRefused)?;
        if identity.app_id != app_id {
            tracing::warn!(
                component = self.name,
                authorizer = app_id,
                told = identity.app_id,
                "the vendor names another app id for this token"
            );
            return Ok(());
        }
        let (version, Some(mut record)) = self.authorizer_record(app_id).await? else { return Ok(()) };
        record.name = identity.name.or(record.name);
        if let Some(permissions) = identity.permissions {
            record.permissions = permissions;
        }
        record.updated_at = self.clock.now();
        Ok(self.commit(vec![Change::put_if(self.key(Kind::Authorizer, app_id), version, write(&record)?)]).await?)
    }

    /// The same for one whose name nobody has told yet.
    pub async fn introduce_nameless(self: &Arc<Self>, app_id: &str) -> Result<(), VaultError> {
        match self.authorizer_record(app_id).await?.1 {
            Some(known) if known.name.is_none() => self.introduce(app_id).await,
            _ => Ok(()),
        }
    }
}

/// A token's record after new tokens came.
fn renewed(former: TokenRecord, tokens: &AuthorizerTokens, at: Timestamp, how: How<'_>) -> TokenRecord {
    // Looked up, not made: no newer one for anybody who saw this one refused.
    let is_same = matches!(how, How::Recovered) && former.access.as_ref().is_some_and(|access| access.value == tokens.access.value);
    TokenRecord {
        generation: former.generation.saturating_add(u64::from(!is_same)),
        access: Some(tokens.access.clone()),
        // Where none came with the answer, the former one was not replaced.
        refresh: tokens.refresh.clone().or(former.refresh),
        obtained_at: at,
        exchanged_at: match how {
            How::Granted { way: Way::Push | Way::Browser, .. } | How::Recovered => Some(at),
            How::Granted { way: Way::Outright, .. } | How::Refreshed => former.exchanged_at,
        },
        recovered_at: match how {
            How::Recovered => Some(at),
            How::Granted { .. } | How::Refreshed => former.recovered_at,
        },
    }
}

impl AuthorizerRecord {
    /// Whether nothing but the time of the change differs: not worth a write.
    fn is_same(&self, other: &Self) -> bool {
        self.state == other.state
            && self.permissions == other.permissions
            && self.granted_at == other.granted_at
            && self.is_own_date == other.is_own_date
            && self.ended_at == other.ended_at
            && self.revoked_at == other.revoked_at
            && self.found == other.found
            && self.name == other.name
    }
}
