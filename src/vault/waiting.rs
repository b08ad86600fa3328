//! Codes that wait: kept durably the moment they come, one exchange at a time for whoever brings them, remembered when used.
//!
//! The redirect and the push of one grant may carry the same code or two; our own recoveries cause pushes with codes, too. One rule
//! keeps them from fighting: tokens got by an exchange *after* a grant was made are that grant's tokens ([`Chamber::is_settled`]).
//! A code that is not settled is exchanged, and what came last from the vendor is kept. And a second: a push that may be what our own asking
//! for a code caused ([`Chamber::expects_echo`]) does not make us ask again while it may be that.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::clock::Timestamp;
use crate::platform::token::{AuthorizationCode, Family, Permission};

use super::authorizer::AuthorizerState;
use super::chamber::{Chamber, locked};
use super::codes::{WaitingCode, hash_of};
use super::exchange::ECHO;
use super::held::Slot;
use super::record::{AuthorizerRecord, Bringer, CodeRecord, Origin, Stage, UsedRecord, put, read, token_name, write};
use super::schedule::{CodeHash, Item, goes_on, is_ahead, later};
use super::shelf::{Change, Kind, RecordKey, ShelfError};
use super::{Exchanged, VaultError};

/// What came with a browser beside its code.
pub(super) struct Brought {
    pub bringer: Bringer,
    /// The end of its `state`.
    pub state: Option<Change>,
}

impl Chamber {
    /// A code came, by push or `brought` by a browser. Kept, in one transaction with the end of the `state` that came with it, then exchanged, together
    /// with whoever else brings the same one.
    pub async fn take_code(
        self: &Arc<Self>,
        code: AuthorizationCode,
        brought: Option<Brought>,
        app_id: Option<&str>,
        granted_at: Timestamp,
        permissions: &[Permission],
    ) -> Result<Exchanged, VaultError> {
        let origin = if brought.is_some() { Origin::Redirect } else { Origin::Push };
        let bringer = brought.as_ref().map(|brought| brought.bringer);
        let state = brought.and_then(|brought| brought.state);
        let hash = hash_of(&self.name, code.value.expose());
        let known = locked(&self.codes).get(&hash).cloned();
        match known {
            Some(WaitingCode { origin: Origin::Recovery, app_id: Some(whose), .. }) => {
                return self.take_echo(hash, &whose, granted_at, permissions).await;
            }
            Some(_) => {
                self.know_code(hash, app_id, state).await?;
                return self.exchange(hash).await;
            }
            None => {}
        }
        if let Some(used) = locked(&self.used).get(&hash) {
            return Ok(Exchanged::Already(used.authorizers.clone()));
        }
        if let Some(app_id) = app_id
            && origin == Origin::Push
            && let Some(authorizers) = self.is_settled(app_id, granted_at).await?
        {
            locked(&self.used).insert(hash, UsedRecord { at: self.clock.now(), authorizers: authorizers.clone() });
            return Ok(Exchanged::Already(authorizers));
        }
        let echo = origin == Origin::Push && app_id.is_some_and(|app_id| self.expects_echo(app_id));
        let echo_of = app_id.filter(|app_id| echo && locked(&self.recovering).contains(*app_id));
        let record = CodeRecord {
            code,
            family: Family::Current,
            origin,
            app_id: app_id.map(str::to_owned),
            granted_at,
            permissions: permissions.to_vec(),
            received_at: self.clock.now(),
            bringer,
            echo,
            stage: Stage::Waiting,
        };
        self.keep_code(hash, record, state).await?;
        if let Some(app_id) = echo_of {
            // Kept all the same: should the recovery come to nothing, this may be a grant of its own.
            return Ok(Exchanged::Already(vec![app_id.to_owned()]));
        }
        self.exchange(hash).await
    }

    /// A code that we asked for ourselves came back by push. Whoever asked goes on with it in his own time: to go on from here would be to ask
    /// again for each push that the asking causes (Kuaishou 3.1.4).
    async fn take_echo(
        self: &Arc<Self>,
        hash: CodeHash,
        app_id: &str,
        granted_at: Timestamp,
        permissions: &[Permission],
    ) -> Result<Exchanged, VaultError> {
        let seen_to = self.is_seen_to(&hash, app_id);
        if !seen_to && locked(&self.recovering).contains(app_id) {
            // Whether the asking led anywhere is known when it has ended: the push is handed over again.
            return Err(VaultError::NotAuthorized(format!("a code of `{app_id}` that was asked for is being exchanged")));
        }
        let found = if seen_to { None } else { self.shelf.get(&self.code_key(&hash)).await? };
        let Some(stored) = found.as_ref().and_then(read::<CodeRecord>) else {
            return Ok(Exchanged::Already(vec![app_id.to_owned()]));
        };
        if let Some(authorizers) = self.is_settled(app_id, granted_at).await? {
            return Ok(Exchanged::Already(authorizers));
        }
        // Who asked did so once, for an authorizer that nobody knew here. If this is its grant, it must not be lost.
        let (permissions, received_at) = (permissions.to_vec(), self.clock.now());
        let record = CodeRecord { origin: Origin::Push, granted_at, permissions, received_at, echo: true, ..stored };
        self.keep_code(hash, record, None).await?;
        self.exchange(hash).await
    }

    /// Exchanges a code that is kept, together with whoever else wants that.
    pub async fn exchange(self: &Arc<Self>, hash: CodeHash) -> Result<Exchanged, VaultError> {
        // A page that is loaded again, or a push that is repeated, is no reason to ask sooner.
        if !self.exchanges.is_under_way(&hash)
            && let Some(error) = self.limited(&Item::Code(hash))
        {
            return Err(error);
        }
        let me = Arc::clone(self);
        let flown = self.exchanges.join(&self.runtime, hash, || me.exchanged(hash)).await;
        flown.unwrap_or_else(|| {
            let lost = Err(VaultError::Store(String::from("the exchange was interrupted")));
            self.note(&Item::Code(hash), &lost);
            lost
        })
    }

    fn exchanged(self: Arc<Self>, hash: CodeHash) -> BoxFuture<'static, Result<Exchanged, VaultError>> {
        async move {
            let result = self.exchange_alone(hash).await;
            self.note(&Item::Code(hash), &result);
            if let Ok(Exchanged::Authorizers(app_ids)) = &result {
                for app_id in app_ids {
                    if let Err(error) = self.introduce(app_id).await {
                        tracing::warn!(component = self.name, authorizer = app_id, %error, "the authorizer's name was not learnt");
                    }
                }
            }
            result
        }
        .boxed()
    }

    /// Exchanges a code while nothing else is spent that could be the same authorizer's.
    async fn exchange_alone(self: &Arc<Self>, hash: CodeHash) -> Result<Exchanged, VaultError> {
        let code = locked(&self.codes).get(&hash).cloned();
        let is_strangers = code.as_ref().is_some_and(WaitingCode::is_strangers);
        match code.and_then(|code| code.app_id) {
            Some(app_id) => {
                let _spending = self.spending.read().await;
                let _alone = self.locks.lock(&app_id).await;
                self.leased(&token_name(Family::Current, &app_id), self.exchange_kept(hash)).await
            }
            None => {
                // Before the other lock: whoever waits for that one waits for one stranger at most.
                let _turn = if is_strangers { Some(self.turn.lock().await) } else { None };
                let _alone = self.spending.write().await;
                self.exchange_kept(hash).await
            }
        }
    }

    async fn exchange_kept(self: &Arc<Self>, hash: CodeHash) -> Result<Exchanged, VaultError> {
        // Whoever had the lock before may have done it.
        let used = locked(&self.used).get(&hash).cloned();
        if let Some(used) = used {
            return self.used_up(&hash, used.authorizers).await.map(Exchanged::Already);
        }
        let Some(found) = self.shelf.get(&self.code_key(&hash)).await? else {
            self.forget_code(&hash);
            return Err(VaultError::NotAuthorized(String::from("the code was withdrawn meanwhile")));
        };
        let Some(mut record) = read::<CodeRecord>(&found) else {
            self.drop_code(&hash).await?;
            return Err(VaultError::Store(String::from("the record of a code is damaged")));
        };
        if let (Origin::Recovery, Some(app_id)) = (record.origin, &record.app_id) {
            // Its push came in the moment in which it was put down as one that we had asked for: as in `take_echo`.
            if self.is_seen_to(&hash, app_id) {
                self.board_code(hash, &record);
                return Ok(Exchanged::Already(vec![app_id.clone()]));
            }
            (record.origin, record.echo) = (Origin::Push, true);
        }
        if record.origin == Origin::Push
            && matches!(record.stage, Stage::Waiting | Stage::Lost)
            && let Some(app_id) = &record.app_id
            && let Some(authorizers) = self.is_settled(app_id, record.granted_at).await?
        {
            return self.used_up(&hash, authorizers).await.map(Exchanged::Already);
        }
        self.exchange_code(hash, record).await
    }

    /// Whether a grant of that time needs no exchange: it was withdrawn later, or the tokens held were exchanged after it, or its push
    /// is the echo of a recovery of ours. The authorizers whose tokens are held.
    async fn is_settled(&self, app_id: &str, granted_at: Timestamp) -> Result<Option<Vec<String>>, VaultError> {
        let (_, Some(known)) = self.authorizer_record(app_id).await? else { return Ok(None) };
        if known.outlived(granted_at) {
            tracing::info!(component = self.name, authorizer = app_id, "a grant older than its withdrawal was ignored");
            return Ok(Some(Vec::new()));
        }
        let now = self.clock.now();
        if known.state != AuthorizerState::Granted || !self.is_held(&Slot::authorizer(Family::Current, app_id), now) {
            return Ok(None);
        }
        for family in self.component.families() {
            let (_, held) = self.token_record(&Slot::authorizer(*family, app_id)).await?;
            let echo = self.component.recovery_echoes() && held.recovered_at.is_some_and(|at| goes_on(at, ECHO, now));
            // What our clock showed while it was ahead is later than any grant.
            let exchanged = *family == Family::Current && held.exchanged_at.is_some_and(|at| at >= granted_at && !is_ahead(at, now));
            if echo || exchanged {
                self.date_grant(app_id, granted_at, false).await?;
                return Ok(Some(vec![app_id.to_owned()]));
            }
        }
        Ok(None)
    }

    /// A push or a browser told that a grant stood then, and its tokens came, or are held, in another way than by its code: a withdrawal before that,
    /// should it be heard only now, is the end of an earlier one.
    pub async fn date_grant(&self, app_id: &str, granted_at: Timestamp, is_own_date: bool) -> Result<(), ShelfError> {
        loop {
            let (version, Some(mut known)) = self.authorizer_record(app_id).await? else { return Ok(()) };
            let now = self.clock.now();
            if is_ahead(granted_at, now) || known.dated_grant(now).is_some_and(|former| former >= granted_at) {
                return Ok(());
            }
            known.date(granted_at, is_own_date);
            match self.commit(vec![Change::put_if(self.key(Kind::Authorizer, app_id), version, write(&known)?)]).await {
                // Another process changed it: look again.
                Err(ShelfError::Conflict) => {}
                answer => return answer,
            }
        }
    }

    /// Whether a push with a code of that authorizer may be what our own asking for one causes.
    pub fn expects_echo(&self, app_id: &str) -> bool {
        if !self.component.recovery_echoes() {
            return false;
        }
        let now = self.clock.now();
        locked(&self.recovering).contains(app_id) || locked(&self.recovered).get(app_id).is_some_and(|at| goes_on(*at, ECHO, now))
    }

    /// Whether an authorizer's tokens are tried for without that code: by their own schedule, or for another code that waits.
    pub fn is_seen_to(&self, hash: &CodeHash, app_id: &str) -> bool {
        let is_other = |(other, code): (&CodeHash, &WaitingCode)| {
            other != hash && code.origin != Origin::Recovery && code.app_id.as_deref() == Some(app_id)
        };
        self.state_of(app_id) == Some(AuthorizerState::Granted) || locked(&self.codes).iter().any(is_other)
    }

    pub fn is_held(&self, slot: &Slot, now: Timestamp) -> bool {
        self.board.read(slot.family, &slot.app_id, |held| held.is_valid(now) && !held.doubtful && !held.is_undated(now)).unwrap_or(false)
    }

    /// A code that is kept came again. If a redirect brought it without an app id, the push may say now whose it is.
    async fn know_code(&self, hash: CodeHash, app_id: Option<&str>, state: Option<Change>) -> Result<(), VaultError> {
        let mut changes = Vec::from_iter(state);
        let mut known = None;
        if let Some(app_id) = app_id
            && locked(&self.codes).get(&hash).is_some_and(|code| code.app_id.is_none())
            && !self.exchanges.is_under_way(&hash)
            && let Some(mut stored) = self.shelf.get(&self.code_key(&hash)).await?.as_ref().and_then(read::<CodeRecord>)
        {
            stored.app_id = Some(app_id.to_owned());
            changes.push(put(self.code_key(&hash), &stored)?);
            known = Some(stored);
        }
        if !changes.is_empty() {
            self.commit(changes).await?;
        }
        if let Some(stored) = known {
            self.board_code(hash, &stored);
        }
        Ok(())
    }

    /// Keeps a code durably before anything is done with it. The first word of an authorizer makes it pending.
    async fn keep_code(&self, hash: CodeHash, record: CodeRecord, state: Option<Change>) -> Result<(), VaultError> {
        let mut changes = Vec::from_iter(state);
        changes.push(put(self.code_key(&hash), &record)?);
        let mut pending = None;
        if let Some(app_id) = &record.app_id {
            let (version, known) = self.authorizer_record(app_id).await?;
            if known.as_ref().is_none_or(|known| known.state == AuthorizerState::Revoked) {
                let mut standing = known.unwrap_or_else(|| AuthorizerRecord::pending(record.received_at));
                standing.state = AuthorizerState::Pending;
                standing.date(record.granted_at, record.origin != Origin::Push);
                standing.begin_anew();
                standing.overtaken();
                standing.updated_at = record.received_at;
                changes.push(Change::put_if(self.key(Kind::Authorizer, app_id), version, write(&standing)?));
                pending = Some((app_id.clone(), standing));
            }
        }
        self.commit(changes).await?;
        // An exchange or a recovery may have ended meanwhile: its word is the later one.
        if let Some((app_id, standing)) = pending.filter(|(app_id, _)| self.state_of(app_id) != Some(AuthorizerState::Granted)) {
            self.publish_authorizer(&app_id, &standing);
        }
        self.board_code(hash, &record);
        Ok(())
    }

    /// Shows a code to the schedule, the alarm and the state of the component.
    pub fn board_code(&self, hash: CodeHash, record: &CodeRecord) {
        let waiting = WaitingCode {
            app_id: record.app_id.as_deref().map(Arc::from),
            family: record.family,
            origin: record.origin,
            bringer: record.bringer,
            granted_at: record.granted_at,
            received_at: record.received_at,
            expires_at: record.code.expires_at,
            warned: false,
        };
        locked(&self.codes).insert(hash, waiting);
        // Ours go with the renewal of their slot. Others a little later than at once: whoever brought them goes first.
        if record.origin != Origin::Recovery {
            self.due(Item::Code(hash), later(self.clock.now(), Duration::from_secs(1)));
        }
    }

    /// A recovery of that slot that stopped on its way: its code is not sent yet, or answered and not read.
    pub async fn interrupted_recovery(&self, slot: &Slot) -> Result<Option<(CodeHash, CodeRecord)>, ShelfError> {
        for hash in self.recoveries(slot) {
            let Some(record) = self.shelf.get(&self.code_key(&hash)).await?.as_ref().and_then(read::<CodeRecord>) else { continue };
            let usable = match record.stage {
                Stage::Waiting => record.code.expires_at > self.clock.now(),
                Stage::Answered(_) => true,
                Stage::Sent { .. } | Stage::Lost => false,
            };
            if usable {
                return Ok(Some((hash, record)));
            }
        }
        Ok(None)
    }

    /// A new code of our own asking takes the place of former ones that led nowhere.
    pub async fn replace_recovery(&self, slot: &Slot, hash: CodeHash, record: &CodeRecord) -> Result<(), ShelfError> {
        let former = self.recoveries(slot);
        let mut changes = vec![put(self.code_key(&hash), record)?];
        changes.extend(former.iter().filter(|former| **former != hash).map(|former| Change::remove(self.code_key(former))));
        self.commit(changes).await?;
        former.iter().for_each(|hash| self.forget_code(hash));
        self.board_code(hash, record);
        Ok(())
    }

    /// Codes that we asked for ourselves.
    pub fn recoveries(&self, slot: &Slot) -> Vec<CodeHash> {
        self.codes_where(|code| {
            code.origin == Origin::Recovery && code.family == slot.family && code.app_id.as_deref() == Some(&*slot.app_id)
        })
    }

    /// Codes that wait and fit.
    pub fn codes_where(&self, fits: impl Fn(&WaitingCode) -> bool) -> Vec<CodeHash> {
        locked(&self.codes).iter().filter(|(_, code)| fits(code)).map(|(hash, _)| *hash).collect()
    }

    /// A code needs no exchange any more: remembered as used, with whose it was.
    pub async fn used_up(&self, hash: &CodeHash, authorizers: Vec<String>) -> Result<Vec<String>, VaultError> {
        let used = UsedRecord { at: self.clock.now(), authorizers: authorizers.clone() };
        let remembered = put(self.key(Kind::Used, &hex::encode(hash)), &used)?;
        self.commit(vec![Change::remove(self.code_key(hash)), remembered]).await?;
        self.forget_code(hash);
        locked(&self.used).insert(*hash, used);
        Ok(authorizers)
    }

    pub async fn drop_code(&self, hash: &CodeHash) -> Result<(), ShelfError> {
        self.commit(vec![Change::remove(self.code_key(hash))]).await?;
        self.forget_code(hash);
        Ok(())
    }

    /// Takes a code out of memory.
    pub fn forget_code(&self, hash: &CodeHash) {
        locked(&self.codes).remove(hash);
        locked(&self.troubles).remove(&Item::Code(*hash));
        locked(&self.schedule).set(Item::Code(*hash), None);
    }

    pub fn code_key(&self, hash: &CodeHash) -> RecordKey {
        self.key(Kind::Code, &hex::encode(hash))
    }
}
