//! Renewing: a component's token from its ticket, an authorizer's from its refresh token, or from a code won back when that is lost.
//!
//! Spending a refresh token goes in steps, each durable before the next, so that a crash between any two loses nothing:
//! intent → call → raw answer → tokens (in one transaction with the end of the intent) → handed out. What a step leaves behind says
//! what comes next ([`next`]); start-up and a second try go the same way.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::outbound::SendError;
use crate::platform::token::{LostReply, Recovered, Refresh, Standing};
use crate::platform::{ApiError, AuthorizerTokens, Class};

use super::VaultError;
use super::authorizer::AuthorizerState;
use super::chamber::{Chamber, locked};
use super::fresh::Urge;
use super::held::Slot;
use super::keep::How;
use super::record::{Answer, CodeRecord, IntentRecord, Origin, Stage, TokenRecord, put, read, token_name, write};
use super::shelf::{Change, Kind, ShelfError};
use super::unread::Unread;

/// What comes next for a refresh token.
enum Next {
    /// Send it, for the how-manieth repetition.
    Send(u32),
    /// Read the answer that is stored.
    Read(Answer),
    /// It is spent or lost: ask for a new code.
    Recover,
}

/// Reads it off the intent that an earlier step left behind. Where nothing can be won back, the same refresh token is all there is to try.
fn next(intent: Option<IntentRecord>, lost: LostReply, can_recover: bool) -> Next {
    match intent {
        None => Next::Send(0),
        Some(IntentRecord { answer: Some(answer), .. }) => Next::Read(answer),
        Some(IntentRecord { repeats: 0, .. }) if lost == LostReply::RepeatThenRecover => Next::Send(1),
        Some(_) if can_recover => Next::Recover,
        Some(IntentRecord { repeats, .. }) => Next::Send(repeats.saturating_add(1)),
    }
}

/// How a person ends the wait for a key.
const WAY_OUT: &str = ", or given up by a forced renewal with `give_up_answer`";

impl Chamber {
    /// A new component token from the newest ticket. The ticket is not spent by this, so an unanswered call is simply made again.
    pub async fn renew_component(&self, slot: &Slot, seen: u64) -> Result<(), VaultError> {
        let (version, record) = self.token_record(slot).await?;
        if self.renewed_elsewhere(slot, &record, seen) {
            return Ok(());
        }
        let ticket = self.usable_ticket(self.clock.now())?;
        let Some(call) = self.component.component_token(slot.family, &ticket.value) else {
            return Err(VaultError::NotApplicable(format!("{} has no component token", self.title())));
        };
        let reply = self.send(&call).await.inspect_err(|error| self.count("component", outcome_of(error)))?;
        let at = self.clock.now();
        let token = match self.component.read_component_token(slot.family, &reply, at) {
            Ok(token) => token,
            Err(error) => {
                self.count("component", "refused");
                return Err(match error.class {
                    Class::TicketInvalid => self.ticket_refused(error),
                    _ => VaultError::VendorRefused(error),
                });
            }
        };
        let renewed =
            TokenRecord { generation: record.generation.saturating_add(1), access: Some(token), obtained_at: at, ..TokenRecord::default() };
        match self.commit(vec![Change::put_if(self.token_record_key(slot), version, write(&renewed)?)]).await {
            Ok(()) => self.publish(slot, &renewed),
            // Another process was faster; its token is as good.
            Err(ShelfError::Conflict) => self.publish(slot, &self.token_record(slot).await?.1),
            Err(error) => return Err(error.into()),
        }
        self.count("component", "ok");
        tracing::info!(component = self.name, generation = renewed.generation, "component token renewed");
        Ok(())
    }

    /// A new token of an authorizer.
    pub async fn renew_authorizer(self: &Arc<Self>, slot: &Slot, seen: u64, urge: Urge) -> Result<(), VaultError> {
        let _spending = self.spending.read().await;
        let _alone = self.locks.lock(&slot.app_id).await;
        self.leased(&token_name(slot.family, &slot.app_id), self.renew_authorizer_alone(slot, seen, urge)).await?;
        // Who insists has seen it refused, or wants another one.
        match urge.is_forced() && self.generation(slot.family, &slot.app_id) <= seen {
            true => Err(VaultError::VendorRefused(unchanged())),
            false => Ok(()),
        }
    }

    async fn renew_authorizer_alone(self: &Arc<Self>, slot: &Slot, seen: u64, urge: Urge) -> Result<(), VaultError> {
        let (_, record) = self.token_record(slot).await?;
        if self.renewed_elsewhere(slot, &record, seen) {
            return Ok(());
        }
        match self.board.read(super::Family::Current, &slot.app_id, |held| (held.state, held.revoked_at)) {
            Some((AuthorizerState::Granted, _)) => {}
            // Whoever insists has the vendor asked once more, where there is a way to ask.
            Some((AuthorizerState::Revoked, at)) => {
                return match urge.is_forced() && self.can_recover(slot).await? {
                    true => self.recover(slot).await,
                    false => Err(VaultError::Revoked { at }),
                };
            }
            _ if urge.is_forced() => {}
            _ => return Err(VaultError::NotAuthorized(format!("no grant of `{}` is held", slot.app_id))),
        }
        self.spend(slot, &record, urge).await
    }

    /// Whether the shelf holds a newer token than the caller saw: by another process, or while the caller waited.
    fn renewed_elsewhere(&self, slot: &Slot, record: &TokenRecord, seen: u64) -> bool {
        let now = self.clock.now();
        let valid = record.access.as_ref().is_some_and(|token| token.expires_at.is_none_or(|at| at > now));
        if record.generation <= seen || !valid {
            return false;
        }
        if self.generation(slot.family, &slot.app_id) < record.generation {
            self.publish(slot, record);
        }
        true
    }

    /// Carries the spending of a refresh token to its end, from wherever it stands.
    async fn spend(self: &Arc<Self>, slot: &Slot, record: &TokenRecord, urge: Urge) -> Result<(), VaultError> {
        let intent_key = self.intent_key(slot);
        let mut intent: Option<IntentRecord> = self.shelf.get(&intent_key).await?.as_ref().and_then(read);
        let Some(refresh) = &record.refresh else { return self.recover(slot).await };
        let (mut again, mut sent_with, mut pass_renewed, mut unanswered) = (None, None, false, 0_u8);
        loop {
            let asked_at = intent.as_ref().map_or_else(|| self.clock.now(), |intent| intent.at);
            let is_lost = intent.as_ref().is_some_and(|intent| intent.answer.is_none());
            let can_recover = is_lost && self.can_recover(slot).await?;
            let mut repeats = intent.as_ref().map_or(0, |intent| intent.repeats);
            let step = again.take().map_or_else(|| next(intent.take(), self.component.lost_reply(), can_recover), Next::Send);
            let answer = match step {
                Next::Recover => return self.recover(slot).await,
                Next::Read(answer) => answer,
                Next::Send(repetition) => {
                    repeats = repetition;
                    let pass = self.pass(slot.family).await?;
                    let call = match self.component.refresh(self.standing(slot.family, &pass), &slot.app_id, &refresh.value) {
                        Refresh::Spend(call) => call,
                        Refresh::Recover => return self.recover(slot).await,
                    };
                    sent_with = Some(pass);
                    let mut sent = IntentRecord { at: self.clock.now(), repeats, answer: None };
                    self.commit(vec![put(intent_key.clone(), &sent)?]).await?;
                    match self.send(&call).await {
                        Ok(reply) => {
                            sent.answer = Some(Answer::new(&reply, self.clock.now()));
                            self.keep_answer(put(intent_key.clone(), &sent)?).await?;
                            intent = Some(sent);
                        }
                        Err(error) if unanswered > 0 || matches!(error, SendError::NotSent { .. }) => {
                            self.count("authorizer", outcome_of(&error));
                            if repeats == 0 {
                                self.commit(vec![Change::remove(intent_key)]).await?;
                            }
                            return Err(error.into());
                        }
                        Err(error) => {
                            self.count("authorizer", "unknown");
                            self.doubt(slot);
                            unanswered += 1;
                            tracing::warn!(component = self.name, authorizer = %slot.app_id, %error, "a renewal was not answered");
                            intent = Some(sent);
                        }
                    }
                    continue;
                }
            };
            let Some(reply) = answer.reply() else {
                self.commit(vec![Change::remove(intent_key.clone())]).await?;
                continue;
            };
            let error = match self.component.read_tokens(slot.family, &reply, answer.at) {
                // Reading it again would tell the same for ever; ours may be spent.
                Ok(tokens) if !is_among(slot, &tokens) => another_authorizer(Class::RefreshTokenInvalid),
                Ok(tokens) => {
                    self.keep_renewed(slot, tokens, answer.at, How::Refreshed).await?;
                    self.count("authorizer", "ok");
                    return Ok(());
                }
                Err(error) => self.unless_young(&slot.app_id, None, asked_at, error).await?,
            };
            let unread = match self.unread(&error, answer.at, WAY_OUT) {
                // Only one that waited: what this very call was answered may be what can be read tomorrow.
                Some(Unread::Waits(_)) if urge == Urge::GivingUp && sent_with.is_none() => {
                    tracing::warn!(component = self.name, authorizer = %slot.app_id, %error, "an answer that cannot be read is given up on request");
                    Some(Unread::GivenUp)
                }
                unread => unread,
            };
            match unread {
                // The intent stays as it is. What is held may be replaced by what cannot be read.
                Some(Unread::Waits(error)) => {
                    self.count("authorizer", "unknown");
                    self.doubt(slot);
                    return Err(error);
                }
                // It stays on the shelf until another call is about to be sent.
                Some(Unread::GivenUp) => {
                    intent = Some(IntentRecord { at: asked_at, repeats, answer: None });
                    continue;
                }
                None => {}
            }
            match error.class {
                Class::RenewComponentToken if !pass_renewed => {
                    // The refresh token was not looked at.
                    pass_renewed = true;
                    again = Some(repeats);
                    self.unspent(slot, repeats).await?;
                    if let Some(pass) = sent_with.take() {
                        self.renew_pass(slot.family, &pass, error).await?;
                    }
                }
                Class::RefreshTokenInvalid | Class::CodeInvalid | Class::RenewAuthorizerToken => {
                    self.count("authorizer", "refused");
                    if !self.can_recover(slot).await? {
                        self.commit(vec![Change::remove(intent_key)]).await?;
                        return Err(VaultError::VendorRefused(lost(error)));
                    }
                    // Stays on record until it is won back: the token held may be dead already.
                    let spent = IntentRecord { at: self.clock.now(), repeats: repeats.max(1), answer: None };
                    self.commit(vec![put(intent_key, &spent)?]).await?;
                    self.doubt(slot);
                    tracing::warn!(component = self.name, authorizer = %slot.app_id, %error, "the refresh token was refused; asking for a new code");
                    return self.recover(slot).await;
                }
                Class::GrantGone => return Err(self.grant_is_gone(&slot.app_id, None, asked_at, &error).await),
                // A no that nobody knows, perhaps to this refresh token (Douyin 4.5, Baidu 8.2). To ask for a code costs nothing, and what is held stays
                // until a code has brought other tokens.
                Class::Refuse if self.component.recovers_wholly() && self.can_recover(slot).await? => {
                    self.count("authorizer", "refused");
                    self.unspent(slot, repeats).await?;
                    tracing::warn!(component = self.name, authorizer = %slot.app_id, %error, "a renewal was refused; asking for a new code");
                    return match self.recover(slot).await {
                        Err(VaultError::VendorRefused(_)) => Err(VaultError::VendorRefused(error)),
                        recovered => recovered,
                    };
                }
                _ => {
                    self.count("authorizer", "refused");
                    self.unspent(slot, repeats).await?;
                    return Err(VaultError::VendorRefused(error));
                }
            }
        }
    }

    /// Key of a slot's intent.
    pub fn intent_key(&self, slot: &Slot) -> super::shelf::RecordKey {
        self.key(Kind::Intent, &token_name(slot.family, &slot.app_id))
    }

    /// The refresh token was certainly not spent by the last call; an unanswered one before it stays on record.
    async fn unspent(&self, slot: &Slot, repeats: u32) -> Result<(), ShelfError> {
        let change = match repeats {
            0 => Change::remove(self.intent_key(slot)),
            repeats => put(self.intent_key(slot), &IntentRecord { at: self.clock.now(), repeats, answer: None })?,
        };
        self.commit(vec![change]).await
    }

    /// Stores a raw answer before it is read. One too large for the shelf is no answer of tokens as any vendor gives it; it is read at
    /// once, and a crash just then is handled as if it had never come.
    ///
    /// Waits for as long as the queue is full: the answer is nowhere else, and what it came for is spent. Whoever waits for this has an end of its own,
    /// and so has a stop (`server.shutdown_grace`).
    pub async fn keep_answer(&self, change: Change) -> Result<(), ShelfError> {
        loop {
            match self.commit(vec![change.clone()]).await {
                Err(ShelfError::Full) => {
                    tracing::warn!(component = self.name, "a vendor's answer waits to be stored: the write queue of the vault is full");
                }
                Err(ShelfError::TooLarge(bytes)) => {
                    tracing::warn!(component = self.name, bytes, "a vendor's answer is too large to be stored before it is read");
                    return Ok(());
                }
                stored => return stored,
            }
        }
    }

    /// The token held may have been replaced by a call that was never answered.
    pub fn doubt(&self, slot: &Slot) {
        self.board.change_known(slot, |held| held.doubtful = true);
    }

    /// Whether the platform can give a new code, or the tokens, of a standing grant.
    pub async fn can_recover(self: &Arc<Self>, slot: &Slot) -> Result<bool, VaultError> {
        let pass = self.pass(slot.family).await?;
        Ok(self.component.recover(self.standing(slot.family, &pass), &slot.app_id).is_some())
    }

    /// Whether there is anything to ask the vendor for an authorizer: a token is held for it, or the platform can give one.
    ///
    /// # Errors
    /// There is not: nothing would be sent, now or later.
    pub async fn has_a_way(&self, slot: &Slot) -> Result<(), VaultError> {
        if slot.is_component() || self.state_of(&slot.app_id) == Some(AuthorizerState::Granted) {
            return Ok(());
        }
        // Whether there is such a call depends on no token.
        let standing = Standing { family: slot.family, component_token: None, now: self.clock.now() };
        if self.component.recover(standing, &slot.app_id).is_some() {
            return Ok(());
        }
        match self.board.read(super::Family::Current, &slot.app_id, |held| (held.state, held.revoked_at)) {
            Some((AuthorizerState::Revoked, at)) => Err(VaultError::Revoked { at }),
            _ if self.token_record(slot).await?.1.refresh.is_some() || self.interrupted_recovery(slot).await?.is_some() => Ok(()),
            _ => Err(self.lost_for_good(slot)),
        }
    }

    fn lost_for_good(&self, slot: &Slot) -> VaultError {
        VaultError::NotAuthorized(format!(
            "no refresh token of `{}` is held and {} cannot give it back; its owner must authorize again",
            slot.app_id,
            self.title()
        ))
    }

    /// Wins a standing grant's tokens back: a new code, exchanged at once. Nothing is spent by asking, so it can be repeated.
    pub async fn recover(self: &Arc<Self>, slot: &Slot) -> Result<(), VaultError> {
        let _under_way = Recovering::of(self, slot);
        // One that was interrupted goes on. Boxed: a lost code's grant is won back by coming here.
        if let Some((hash, code)) = self.interrupted_recovery(slot).await? {
            return Box::pin(self.exchange_code(hash, code)).await.map(drop);
        }
        let mut pass_renewed = false;
        loop {
            let pass = self.pass(slot.family).await?;
            let Some(call) = self.component.recover(self.standing(slot.family, &pass), &slot.app_id) else {
                return Err(self.lost_for_good(slot));
            };
            let asked_at = self.clock.now();
            let reply = self.send(&call).await.inspect_err(|error| {
                self.count("authorizer", outcome_of(error));
                if matches!(error, SendError::NoAnswer { .. }) {
                    self.expect_echo(slot);
                }
            })?;
            let at = self.clock.now();
            let error = match self.component.read_recovered(slot.family, &slot.app_id, &reply, at) {
                Ok(Recovered::Tokens(tokens)) => {
                    self.keep_renewed(slot, vec![*tokens], at, How::Recovered).await?;
                    self.count("authorizer", "recovered");
                    return Ok(());
                }
                Ok(Recovered::Code(code)) => {
                    self.expect_echo(slot);
                    let hash = super::codes::hash_of(&self.name, code.value.expose());
                    let record = CodeRecord {
                        code,
                        family: slot.family,
                        origin: Origin::Recovery,
                        app_id: Some(slot.app_id.to_string()),
                        granted_at: at,
                        permissions: Vec::new(),
                        received_at: at,
                        bringer: None,
                        echo: false,
                        stage: Stage::Waiting,
                    };
                    self.replace_recovery(slot, hash, &record).await?;
                    return Box::pin(self.exchange_code(hash, record)).await.map(drop);
                }
                Err(error) => self.unless_young(&slot.app_id, None, asked_at, error).await?,
            };
            match error.class {
                Class::RenewComponentToken if !pass_renewed => {
                    pass_renewed = true;
                    self.renew_pass(slot.family, &pass, error).await?;
                }
                Class::GrantGone => return Err(self.grant_is_gone(&slot.app_id, None, asked_at, &error).await),
                _ => {
                    self.count("authorizer", "refused");
                    return Err(VaultError::VendorRefused(error));
                }
            }
        }
    }

    /// The vendor gave a code, or may have: a push with one is to be expected (Kuaishou 3.1.4, Douyin 4.6).
    fn expect_echo(&self, slot: &Slot) {
        locked(&self.recovered).insert(Arc::clone(&slot.app_id), self.clock.now());
    }

    /// Keeps what a refresh or a recovery brought for one slot, and ends its intent in the same transaction.
    async fn keep_renewed(&self, slot: &Slot, tokens: Vec<AuthorizerTokens>, at: Timestamp, how: How<'_>) -> Result<(), VaultError> {
        if !is_among(slot, &tokens) {
            return Err(VaultError::VendorRefused(another_authorizer(Class::Retry)));
        }
        let whose = |tokens: &AuthorizerTokens| tokens.app_id.clone().unwrap_or_else(|| slot.app_id.to_string());
        let tokens = tokens.into_iter().map(|tokens| (whose(&tokens), tokens)).collect::<Vec<_>>();
        self.keep_tokens(slot.family, tokens, at, how, Vec::new()).await
    }

    pub fn count(&self, kind: &'static str, outcome: &'static str) {
        metrics::counter!("yizhan_refreshes_total", "component" => self.name.clone(), "kind" => kind, "outcome" => outcome).increment(1);
    }
}

/// Whether tokens of that slot's authorizer are among them: it is meant where the answer does not say whose they are.
fn is_among(slot: &Slot, tokens: &[AuthorizerTokens]) -> bool {
    tokens.iter().any(|tokens| tokens.app_id.as_deref().is_none_or(|app_id| *app_id == *slot.app_id))
}

fn another_authorizer(class: Class) -> ApiError {
    ApiError::new(class, "another authorizer", "the vendor answered with the tokens of another authorizer")
}

/// The platform was asked for a token, and named the one that is held.
fn unchanged() -> ApiError {
    ApiError {
        advice: Some("if that token is refused, the merchant must authorize again"),
        ..ApiError::new(Class::Refuse, "unchanged", "the vendor names the token that is held already and gives no other")
    }
}

/// An error of a refresh token that cannot be won back, with what to do.
fn lost(mut error: ApiError) -> ApiError {
    error.advice = error.advice.or(Some("the refresh token is lost; the merchant must authorize again"));
    error
}

/// The word of the metric for a call without an answer.
pub(super) fn outcome_of(error: &SendError) -> &'static str {
    match error {
        SendError::NotSent { .. } => "unreachable",
        SendError::NoAnswer { .. } => "unknown",
    }
}

/// An authorizer whose code is being asked for.
struct Recovering<'a> {
    chamber: &'a Chamber,
    app_id: Arc<str>,
}

impl<'a> Recovering<'a> {
    fn of(chamber: &'a Chamber, slot: &Slot) -> Self {
        locked(&chamber.recovering).insert(Arc::clone(&slot.app_id));
        Self { chamber, app_id: Arc::clone(&slot.app_id) }
    }
}

impl Drop for Recovering<'_> {
    fn drop(&mut self) {
        locked(&self.chamber.recovering).remove(&self.app_id);
    }
}
