//! Turning a code into tokens, step by durable step: sent → answered → kept; and what to do when a step fails or its answer is lost.
//!
//! What a step leaves behind says what comes next ([`next`]); start-up and a second try go the same way. `waiting` keeps the codes and
//! sees to it that only one exchange at a time could be the same authorizer's.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::outbound::SendError;
use crate::platform::token::{Family, LostReply};
use crate::platform::{ApiError, AuthorizerTokens, Class};

use super::authorizer::AuthorizerState;
use super::chamber::{Chamber, Pass, locked};
use super::held::Slot;
use super::keep::{How, Way};
use super::record::{Answer, CodeRecord, Origin, Stage, UsedRecord, put};
use super::schedule::{CodeHash, is_ahead, later};
use super::shelf::{Change, Kind};
use super::unread::Unread;
use super::{Exchanged, VaultError};

/// A push with a code that follows a recovery of ours this soon is its echo (Kuaishou 3.1.4).
pub(super) const ECHO: Duration = Duration::from_secs(600);

/// How long after its expiry a code is still tried, or its grant to be won back; and how long an answer waits that lacks a key.
pub(super) const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The same of a code that came with a stranger's browser: what a gateway never lets through would take others' room for a day.
const STRANGERS_GIVEN_UP_AFTER: Duration = Duration::from_secs(3600);

/// What comes next for a code.
enum Next {
    /// Send it, for the how-manieth repetition.
    Send(u32),
    /// Read the answer that is stored.
    Read(Answer),
    /// It is lost or too old: ask for a new one.
    Recover,
    /// Nothing can be done about it.
    GiveUp,
}

/// Reads it off the stage that an earlier step left behind.
fn next(record: &mut CodeRecord, lost: LostReply, can_recover: bool, now: Timestamp) -> Next {
    let expired = record.code.expires_at <= now;
    let patience = if record.is_strangers() { STRANGERS_GIVEN_UP_AFTER } else { GIVEN_UP_AFTER };
    match std::mem::replace(&mut record.stage, Stage::Lost) {
        Stage::Answered(answer) => Next::Read(answer),
        Stage::Waiting if !can_recover && later(record.code.expires_at, patience) <= now => Next::GiveUp,
        Stage::Waiting if !(expired && can_recover) => Next::Send(0),
        Stage::Sent { repeats: 0 } if lost == LostReply::RepeatThenRecover => Next::Send(1),
        _ if can_recover => Next::Recover,
        Stage::Sent { repeats } if !expired => Next::Send(repeats.saturating_add(1)),
        _ => Next::GiveUp,
    }
}

impl Chamber {
    /// Carries the exchange of a code to its end, from wherever it stands. The caller holds the authorizer's lock.
    pub async fn exchange_code(self: &Arc<Self>, hash: CodeHash, mut record: CodeRecord) -> Result<Exchanged, VaultError> {
        let slot = record.app_id.as_deref().map(|app_id| Slot::authorizer(record.family, app_id));
        let (mut again, mut sent_with, mut pass_renewed, mut unanswered) = (None::<u32>, None::<Pass>, false, 0_u8);
        let mut asked_at = None;
        loop {
            // A code is not given up by a clock that is wrong for a moment.
            let now = self.clock.believed();
            let can_recover = match &slot {
                Some(slot) if needs_recovery(&record, now) => self.can_recover(slot).await?,
                _ => false,
            };
            let mut repeats = if let Stage::Sent { repeats } = record.stage { repeats } else { 0 };
            let lost = self.component.lost_reply();
            let step = again.take().map_or_else(|| next(&mut record, lost, can_recover, now), Next::Send);
            let answer = match step {
                Next::Read(answer) => answer,
                Next::Recover => {
                    let lost = VaultError::NotAuthorized(String::from("the code was lost on its way, or is too old"));
                    return self.win_back(&hash, record, lost).await;
                }
                Next::GiveUp => {
                    self.drop_code(&hash).await?;
                    tracing::error!(component = self.name, "a code was lost on its way; the merchant must authorize again");
                    return Err(VaultError::NotAuthorized(String::from("the code was lost on its way; authorize again")));
                }
                Next::Send(repetition) => {
                    repeats = repetition;
                    let pass = self.pass(record.family).await?;
                    let call = self.component.exchange(self.standing(record.family, &pass), &record.code.value);
                    sent_with = Some(pass);
                    record.stage = Stage::Sent { repeats };
                    self.commit(vec![put(self.code_key(&hash), &record)?]).await?;
                    asked_at = Some(self.clock.now());
                    match self.send(&call).await {
                        Ok(reply) => {
                            record.stage = Stage::Answered(Answer::new(&reply, self.clock.now()));
                            self.keep_answer(put(self.code_key(&hash), &record)?).await?;
                        }
                        Err(error @ SendError::NotSent { .. }) => {
                            if repeats == 0 {
                                record.stage = Stage::Waiting;
                                self.commit(vec![put(self.code_key(&hash), &record)?]).await?;
                            }
                            return Err(error.into());
                        }
                        Err(error) => {
                            tracing::warn!(component = self.name, authorizer = record.app_id, %error, "an exchange was not answered");
                            if let (Origin::Recovery, Some(slot)) = (record.origin, &slot) {
                                self.doubt(slot);
                            }
                            unanswered += 1;
                            if unanswered > 1 || record.origin == Origin::Recovery {
                                return Err(error.into());
                            }
                        }
                    }
                    continue;
                }
            };
            let Some(reply) = answer.reply() else {
                self.drop_code(&hash).await?;
                return Err(VaultError::Store(String::from("the record of a code is damaged")));
            };
            let error = match self.component.read_tokens(record.family, &reply, answer.at) {
                Ok(tokens) => {
                    record.stage = Stage::Answered(answer);
                    return self.keep_exchanged(&hash, &record, tokens, asked_at).await;
                }
                Err(error) => error,
            };
            match self.unread(&error, answer.at, "") {
                // Its record stays as it is. What is held may be replaced by what cannot be read.
                Some(Unread::Waits(error)) => {
                    if let (Origin::Recovery, Some(slot)) = (record.origin, &slot) {
                        self.doubt(slot);
                    }
                    return Err(error);
                }
                Some(Unread::GivenUp) => {
                    record.stage = Stage::Lost;
                    continue;
                }
                None => {}
            }
            // Of an answer that an earlier process left behind, only the time when it came is known.
            let asked_at = asked_at.unwrap_or(answer.at);
            // A code that we asked for is of the grant that is known.
            let code_of = (record.origin != Origin::Recovery).then_some(record.granted_at);
            let error = match &record.app_id {
                Some(app_id) => self.unless_young(app_id, code_of.and(record.dated_grant(self.clock.now())), asked_at, error).await?,
                None => error,
            };
            // A made-up code may be such that a gateway never lets it through: it is not tried for a day, nor does it take a merchant's place.
            let error = match record.app_id {
                None if error.is_turned_away() => ApiError { class: Class::Refuse, ..error },
                _ => error,
            };
            match (error.class, &record.app_id) {
                (Class::RenewComponentToken, _) if !pass_renewed => {
                    // The code was not looked at.
                    pass_renewed = true;
                    again = Some(repeats);
                    record.stage = if repeats == 0 { Stage::Waiting } else { Stage::Sent { repeats } };
                    self.commit(vec![put(self.code_key(&hash), &record)?]).await?;
                    if let Some(pass) = sent_with.take() {
                        self.renew_pass(record.family, &pass, error).await?;
                    }
                }
                // Without an app id it came with a browser: anybody can make one up, and what the vendor refuses for good is not tried again.
                (Class::CodeInvalid | Class::RefreshTokenInvalid | Class::RenewAuthorizerToken, _) | (Class::Refuse, None) => {
                    return self.code_refused(&hash, record, error).await;
                }
                (Class::GrantGone, Some(app_id)) => {
                    self.drop_code(&hash).await?;
                    return Err(self.grant_is_gone(app_id, code_of, asked_at, &error).await);
                }
                _ => {
                    record.stage = if repeats == 0 { Stage::Waiting } else { Stage::Sent { repeats } };
                    self.commit(vec![put(self.code_key(&hash), &record)?]).await?;
                    return Err(VaultError::VendorRefused(error));
                }
            }
        }
    }

    /// An answer with tokens was read: finds out whose they are, where neither push nor answer said so, and keeps them. `asked_at` is when
    /// they were asked for, `None` where an earlier try did that and left the answer.
    async fn keep_exchanged(
        self: &Arc<Self>,
        hash: &CodeHash,
        record: &CodeRecord,
        tokens: Vec<AuthorizerTokens>,
        asked_at: Option<Timestamp>,
    ) -> Result<Exchanged, VaultError> {
        let mut named = Vec::with_capacity(tokens.len());
        for tokens in tokens {
            let app_id = match (&tokens.app_id, &record.app_id) {
                (Some(told), _) | (None, Some(told)) => told.clone(),
                (None, None) => match self.owner_of(record.family, &tokens).await {
                    // Its token is long dead by now, so the vendor will never say whose it was.
                    Err(error) if later(record.code.expires_at, GIVEN_UP_AFTER) <= self.clock.believed() => {
                        self.drop_code(hash).await?;
                        tracing::error!(
                            component = self.name,
                            %error,
                            "whose tokens a code brought could not be learnt for a day; the merchant must authorize again"
                        );
                        return Err(error);
                    }
                    owner => owner?,
                },
            };
            named.push((app_id, tokens));
        }
        if let Some(app_id) = &record.app_id
            && !named.iter().any(|(named, _)| named == app_id)
        {
            tracing::warn!(component = self.name, authorizer = app_id, "the vendor answered a code with the tokens of others");
        }
        let app_ids: Vec<String> = named.iter().map(|(app_id, _)| app_id.clone()).collect();
        let at = match &record.stage {
            Stage::Answered(answer) => answer.at,
            _ => self.clock.now(),
        };
        if asked_at.is_none() {
            named = self.unfollowed(record, named, at).await?;
        }
        let granted = |way| How::Granted { at: record.granted_at, permissions: &record.permissions, way };
        let how = match record.origin {
            Origin::Recovery => How::Recovered,
            Origin::Push => granted(Way::Push),
            Origin::Redirect => granted(Way::Browser),
        };
        let mut also = vec![Change::remove(self.code_key(hash))];
        let used = UsedRecord { at: self.clock.now(), authorizers: app_ids.clone() };
        // A recovery's code comes back only as an echo, which the token's record knows; remembering each would fill the shelf.
        if record.origin != Origin::Recovery {
            also.push(put(self.key(Kind::Used, &hex::encode(hash)), &used)?);
        }
        self.keep_tokens(record.family, named, at, how, also).await?;
        self.forget_code(hash);
        locked(&self.used).insert(*hash, used);
        if record.origin == Origin::Recovery {
            self.count("authorizer", "recovered");
        }
        Ok(Exchanged::Authorizers(app_ids))
    }

    /// Asks the vendor whose token this is. The answer to the exchange stays stored meanwhile, so this can be asked again.
    async fn owner_of(self: &Arc<Self>, family: Family, tokens: &AuthorizerTokens) -> Result<String, VaultError> {
        let pass = self.pass(family).await?;
        let Some(call) = self.component.identify(self.standing(family, &pass), &tokens.access.value) else {
            return Err(VaultError::VendorRefused(ApiError::new(
                Class::Refuse,
                "no app id",
                "the answer does not say whose the tokens are",
            )));
        };
        let reply = self.send(&call).await?;
        self.component.read_identity(&reply).map(|identity| identity.app_id).map_err(VaultError::VendorRefused)
    }

    /// The vendor refused a code: its twin was faster, or it is lost.
    async fn code_refused(self: &Arc<Self>, hash: &CodeHash, record: CodeRecord, error: ApiError) -> Result<Exchanged, VaultError> {
        let Some(app_id) = record.app_id.clone().filter(|_| record.origin != Origin::Recovery) else {
            self.drop_code(hash).await?;
            tracing::warn!(component = self.name, authorizer = record.app_id, %error, "a code was refused");
            return Err(VaultError::VendorRefused(error));
        };
        let slot = Slot::authorizer(record.family, &app_id);
        let (_, held) = self.token_record(&slot).await?;
        let now = self.clock.now();
        // The same grant's other code was exchanged: at about its time, or later.
        let twin = held.exchanged_at.is_some_and(|at| later(at, ECHO) > record.granted_at && !is_ahead(at, now));
        if twin && self.state_of(&app_id) == Some(AuthorizerState::Granted) && self.is_held(&slot, now) {
            return self.used_up(hash, vec![app_id]).await.map(Exchanged::Already);
        }
        if self.can_recover(&slot).await? {
            tracing::warn!(component = self.name, authorizer = app_id, %error, "a code was refused");
            return self.win_back(hash, record, VaultError::VendorRefused(error)).await;
        }
        self.drop_code(hash).await?;
        tracing::error!(component = self.name, authorizer = app_id, %error, "a code was refused; the merchant must authorize again");
        Err(VaultError::VendorRefused(error))
    }

    /// Replaces a lost code by one that we ask for, unless it may be the echo of such an asking; `lost` is what became of it.
    async fn win_back(self: &Arc<Self>, hash: &CodeHash, mut record: CodeRecord, lost: VaultError) -> Result<Exchanged, VaultError> {
        let Some(app_id) = record.app_id.clone() else {
            self.drop_code(hash).await?;
            return Err(VaultError::NotAuthorized(String::from("the code was lost on its way; authorize again")));
        };
        if record.origin != Origin::Recovery && later(record.code.expires_at, GIVEN_UP_AFTER) <= self.clock.believed() {
            self.drop_code(hash).await?;
            tracing::error!(
                component = self.name,
                authorizer = app_id,
                "a grant could not be won back for a day; its owner must authorize again"
            );
            return Err(VaultError::NotAuthorized(format!("the code of `{app_id}` expired; its owner must authorize again")));
        }
        if record.echo && self.is_seen_to(hash, &app_id) {
            // Never asked for because of an echo: each asking causes another one (Kuaishou 3.1.4).
            self.date_grant(&app_id, record.granted_at, false).await?;
            self.drop_code(hash).await?;
            locked(&self.used).insert(*hash, UsedRecord { at: self.clock.now(), authorizers: vec![app_id.clone()] });
            tracing::warn!(component = self.name, authorizer = app_id, error = %lost, "a code that came with a recovery of ours led nowhere");
            return Ok(Exchanged::Already(vec![app_id]));
        }
        // On record before the vendor is asked: this code itself is not to be sent again.
        record.stage = Stage::Lost;
        self.commit(vec![put(self.code_key(hash), &record)?]).await?;
        if record.echo && self.expects_echo(&app_id) {
            // Nobody else sees to this authorizer, so it may be a grant of its own. It waits until no echo can be taken for one.
            return Err(VaultError::NotAuthorized(format!("its code led nowhere ({lost}); another one is asked for in some minutes")));
        }
        match self.recover(&Slot::authorizer(record.family, &app_id)).await {
            Err(VaultError::VendorRefused(refusal)) if refusal.class == Class::CodeInvalid && record.origin != Origin::Recovery => {
                // Said of the one that was asked for, which is gone: what was pushed still waits, and asks once more.
                let why = format!("its code led nowhere ({lost}), nor did the one that was asked for in its place ({refusal})");
                return Err(VaultError::NotAuthorized(format!("{why}; another one is asked for")));
            }
            Err(error @ VaultError::Revoked { .. }) => {
                self.drop_code(hash).await?;
                return Err(error);
            }
            recovered => recovered?,
        }
        match record.origin {
            // Removed with the tokens that the recovery brought.
            Origin::Recovery => Ok(Exchanged::Authorizers(vec![app_id])),
            Origin::Push | Origin::Redirect => {
                self.date_grant(&app_id, record.granted_at, record.origin == Origin::Redirect).await?;
                let authorizers = self.used_up(hash, vec![app_id]).await?;
                Ok(Exchanged::Authorizers(authorizers))
            }
        }
    }
}

/// Whether it matters if the platform can give a new code: this one was sent and not answered, or is too old.
fn needs_recovery(record: &CodeRecord, now: Timestamp) -> bool {
    match record.stage {
        Stage::Sent { .. } | Stage::Lost => true,
        Stage::Waiting => record.code.expires_at <= now,
        Stage::Answered(_) => false,
    }
}
