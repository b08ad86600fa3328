//! One operation on its way: which call comes next, what may be sent again, and what is asked after a lost answer.
//!
//! Called by [`Desk`]. The rule that everything here serves: a call that must not be done twice is sent again only when the vendor
//! certainly did not act on it, that is, when it was never sent or when the vendor's own record, asked twice, does not show it.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::tokens::Tokens;
use super::{Checked, Desk, OperationError, Tried};
use crate::clock::Timestamp;
use crate::outbound::SendError;
use crate::platform::call::{Class, Method};
use crate::platform::operation::{Bearer, Caller, Earlier, Effect, LookedUp, Next, Operation, Outcome, Params};
use crate::platform::{ApiError, Call, Component, Family, Reply, TokenKey};
use crate::vault::VaultError;

/// Calls that one operation may take, polls included.
const MOST_CALLS: usize = 60;
/// Time that one operation may take, waits included.
const MOST_TIME: SignedDuration = SignedDuration::from_mins(5);
/// Sends of one call that may be repeated.
const MOST_SENDS: u32 = 3;
/// Wait before a repetition; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Questions after one lost answer.
const MOST_QUESTIONS: u32 = 4;
/// Wait before each of them: a vendor may still be at work on a request whose connection broke.
const BEFORE_QUESTION: Duration = Duration::from_secs(2);
/// So often the vendor's record must not show a deed before it counts as not done.
const NOT_DONE_TWICE: u32 = 2;

/// What a call that is under way may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// May be repeated freely.
    Harmless,
    /// Must not take effect twice.
    Deed,
}

/// How a call ended.
enum Sent {
    /// With an answer, or with what stands in for it.
    Reply(Reply),
    /// It was lost, and the look-up knows the outcome.
    Found(Box<Outcome>),
}

/// What an earlier process may have sent shows within this time at every vendor, if it took place.
const SHOWS_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// Whether asking later may tell: no question after a lost answer was answered by something that does not tell.
type MayShow = bool;

/// What a look-up after a lost answer came to.
enum Found {
    Sent(Sent),
    NotDone,
    /// It did not tell; says what was asked, if there was a way to ask.
    Unknown(String, MayShow),
}

pub(super) struct Errand<'a> {
    desk: &'a Desk,
    component: &'a Arc<dyn Component>,
    authorizer: Option<String>,
    operation: &'a Operation,
    params: Params,
    replies: Vec<Reply>,
    /// The calls that were answered, one for each of the replies, with their sorts. As long as there is a deed among them, nothing that
    /// fails means "not done": the vendor has accepted it, or its answer could not be read yet.
    answered: Vec<(Box<Call>, Sort)>,
    earlier: Earlier,
    renewed_component: bool,
    renewed_authorizer: bool,
    /// Repetitions after refusals that may pass.
    repeated: u32,
}

impl<'a> Errand<'a> {
    pub(super) fn new(desk: &'a Desk, checked: Checked<'a>, earlier: Earlier) -> Self {
        let Checked { component, authorizer, operation, params } = checked;
        Self {
            desk,
            component,
            authorizer,
            operation,
            params,
            replies: Vec::new(),
            answered: Vec::new(),
            earlier,
            renewed_component: false,
            renewed_authorizer: false,
            repeated: 0,
        }
    }

    /// What observers hear of it.
    pub(super) fn tried(&self, at: Timestamp) -> Tried<'_> {
        let (component, authorizer) = (self.component.name(), self.authorizer.as_deref());
        Tried { component, authorizer, operation: self.operation.name, params: &self.params, at, earlier: self.earlier }
    }

    pub(super) async fn run(&mut self) -> Result<Outcome, OperationError> {
        let deadline = self.later(MOST_TIME);
        for _ in 0..MOST_CALLS {
            if self.desk.clock.now() >= deadline {
                break;
            }
            let tokens = match self.tokens().await {
                Ok(tokens) => tokens,
                Err(error) => return Err(self.broken_off(error)),
            };
            let next = self.component.operations().next(self.operation, &self.params, &self.replies, self.caller(&tokens));
            if let Next::Refused(error) = next {
                if let Some(outcome) = self.refused(&tokens, error).await? {
                    return Ok(*outcome);
                }
                continue;
            }
            let (call, sort) = match next {
                Next::Done(outcome) => return Ok(*outcome),
                // Refusals were dealt with above.
                Next::Refused(error) => return Err(OperationError::Refused(error)),
                Next::Call(call) => {
                    let harmless = self.operation.effect != Effect::Once || call.method == Method::Get;
                    (call, if harmless { Sort::Harmless } else { Sort::Deed })
                }
                Next::Ask(call) => (call, Sort::Harmless),
                Next::After(wait, call) => {
                    self.pause(wait).await;
                    (call, Sort::Harmless)
                }
            };
            let sent = match (sort, self.earlier) {
                (Sort::Deed, Earlier::MaybeSent(_)) => self.send_unless_done(&call, &tokens).await,
                _ => self.send(&call, sort, &tokens).await,
            };
            match sent {
                Ok(Sent::Reply(reply)) => self.took(call, sort, reply),
                Ok(Sent::Found(outcome)) => return Ok(*outcome),
                Err(error) => return Err(self.broken_off(error)),
            }
        }
        let cause = format!("the operation took more than {MOST_CALLS} calls or {} s", MOST_TIME.as_secs());
        Err(self.broken_off(OperationError::Unreachable(SendError::NoAnswer { target: self.operation.path.to_string(), cause })))
    }

    fn took(&mut self, call: Box<Call>, sort: Sort, reply: Reply) {
        self.replies.push(reply);
        self.answered.push((call, sort));
    }

    /// Takes the refused reply back, with what was asked because of it, so that its call is made again.
    fn take_back(&mut self, now: Timestamp) -> Option<(Box<Call>, Sort)> {
        let refused = self.component.operations().refused(&self.replies, now);
        self.replies.truncate(refused);
        let taken = self.answered.get(refused).cloned();
        self.answered.truncate(refused);
        taken
    }

    /// What a failure means: once a deed was accepted, "it may be done again" would be wrong.
    fn broken_off(&self, error: OperationError) -> OperationError {
        let may_pass = match &error {
            OperationError::Refused(refusal) | OperationError::Doubted { refusal, .. } => !matches!(refusal.class, Class::Refuse),
            OperationError::Vault(_) | OperationError::Unreachable(_) => true,
            _ => false,
        };
        match self.answered.iter().rfind(|(_, sort)| *sort == Sort::Deed) {
            Some((deed, _)) if may_pass => OperationError::OutcomeUnknown {
                sent: deed.target().to_owned(),
                cause: error.to_string(),
                looked_up: String::from("the vendor had answered it, and what came of it could not be learnt"),
                may_show: true,
            },
            _ => error,
        }
    }

    fn caller<'t>(&'t self, tokens: &'t Tokens) -> Caller<'t> {
        Caller {
            component_token: tokens.component.as_ref().map(|served| &served.token),
            authorizer: self.authorizer.as_deref().zip(tokens.authorizer.as_ref().map(|served| &served.token)),
            now: self.desk.clock.now(),
        }
    }

    fn family(&self) -> Family {
        match self.operation.bearer {
            Bearer::Authorizer(family) | Bearer::Component(family) => family,
        }
    }

    fn authorizer_key(&self) -> Option<TokenKey> {
        match self.operation.bearer {
            Bearer::Authorizer(family) => self.authorizer.clone().map(|app_id| TokenKey::Authorizer { app_id, family }),
            Bearer::Component(_) => None,
        }
    }

    async fn tokens(&self) -> Result<Tokens, OperationError> {
        let (source, name) = (&self.desk.tokens, self.component.name());
        let component = match self.component.needs_component_token() {
            true => Some(source.fresh(name, &TokenKey::Component(self.family())).await?),
            false => None,
        };
        let authorizer = match self.authorizer_key() {
            Some(key) => Some(source.fresh(name, &key).await?),
            None => None,
        };
        Ok(Tokens { component, authorizer })
    }

    /// The vendor's no to a call, most often the last: a rejected token is renewed, a passing trouble waited out, a doubtful one looked up;
    /// then the call is made again. `Some`: the look-up knows the outcome.
    async fn refused(&mut self, tokens: &Tokens, error: ApiError) -> Result<Option<Box<Outcome>>, OperationError> {
        let taken = self.take_back(self.desk.clock.now());
        let is_deed = matches!(taken, Some((_, Sort::Deed)));
        match error.class {
            // The vault does not believe a call that the grant is gone: it finds out with a renewal, and tells everybody if it is.
            Class::RenewAuthorizerToken | Class::RenewComponentToken | Class::GrantGone => {
                self.renew(tokens, error).await?;
                Ok(None)
            }
            Class::Retry => self.doubtful(tokens, error, taken).await,
            _ if error.is_unreadable() && is_deed => self.doubtful(tokens, error, taken).await,
            _ => Err(self.broken_off(OperationError::Refused(error))),
        }
    }

    async fn renew(&mut self, tokens: &Tokens, error: ApiError) -> Result<(), OperationError> {
        let (key, held, renewed) = match error.class {
            Class::RenewAuthorizerToken | Class::GrantGone => (self.authorizer_key(), &tokens.authorizer, &mut self.renewed_authorizer),
            _ => (Some(TokenKey::Component(self.family())), &tokens.component, &mut self.renewed_component),
        };
        match (key, held) {
            (Some(key), Some(held)) if !*renewed => {
                *renewed = true;
                match self.desk.tokens.report_invalid(self.component.name(), &key, held.generation).await {
                    Ok(_) => Ok(()),
                    // What the vault could not find out leaves the vendor's word as it is.
                    Err(other) if error.class == Class::GrantGone && !matches!(other, VaultError::Revoked { .. }) => {
                        Err(self.broken_off(OperationError::Refused(error)))
                    }
                    Err(other) => Err(self.broken_off(other.into())),
                }
            }
            _ => Err(self.broken_off(OperationError::Refused(error))),
        }
    }

    /// Overload, an internal error, an answer that cannot be read: of a deed it does not tell whether it took place.
    async fn doubtful(
        &mut self,
        tokens: &Tokens,
        error: ApiError,
        taken: Option<(Box<Call>, Sort)>,
    ) -> Result<Option<Box<Outcome>>, OperationError> {
        self.repeated += 1;
        let spent = self.repeated >= MOST_SENDS;
        if let Some((call, Sort::Deed)) = taken {
            let declined = self.component.operations().declines(self.operation, &error);
            let untold = match self.look_up(tokens).await {
                Found::Sent(Sent::Found(outcome)) => return Ok(Some(outcome)),
                Found::Sent(Sent::Reply(reply)) => {
                    self.took(call, Sort::Deed, reply);
                    return Ok(None);
                }
                Found::NotDone => None,
                // The vendor's own word is enough where its record does not speak against it.
                Found::Unknown(..) if declined => None,
                Found::Unknown(asked, may_show) => Some((asked, may_show)),
            };
            if let Some((looked_up, may_show)) = untold {
                let sent = call.target().to_owned();
                return Err(match error.is_unreadable() {
                    true => OperationError::OutcomeUnknown { sent, cause: format!("the vendor answered {error}"), looked_up, may_show },
                    false => self.broken_off(OperationError::Doubted { sent, refusal: error, looked_up }),
                });
            }
        }
        if spent {
            return Err(self.broken_off(OperationError::Refused(error)));
        }
        self.pause(FIRST_PAUSE * 2u32.saturating_pow(self.repeated)).await;
        Ok(None)
    }

    async fn send(&self, call: &Call, sort: Sort, tokens: &Tokens) -> Result<Sent, OperationError> {
        let mut pause = FIRST_PAUSE;
        let mut sends = 0;
        loop {
            sends += 1;
            let error = match self.desk.vendors.send(call).await {
                Ok(reply) => return Ok(Sent::Reply(reply)),
                Err(error) => error,
            };
            if sort == Sort::Deed && matches!(error, SendError::NoAnswer { .. }) {
                match self.look_up(tokens).await {
                    Found::Sent(sent) => return Ok(sent),
                    Found::NotDone => {}
                    Found::Unknown(looked_up, may_show) => {
                        let (sent, cause) = (call.target().to_owned(), error.to_string());
                        return Err(OperationError::OutcomeUnknown { sent, cause, looked_up, may_show });
                    }
                }
            }
            if sends >= MOST_SENDS {
                return Err(OperationError::Unreachable(error));
            }
            self.pause(pause).await;
            pause *= 2;
        }
    }

    /// Sends a deed that another process may have sent before: the vendor's record is asked first.
    async fn send_unless_done(&mut self, call: &Call, tokens: &Tokens) -> Result<Sent, OperationError> {
        match self.look_up(tokens).await {
            Found::Sent(sent) => Ok(sent),
            Found::NotDone => {
                let now = self.desk.clock.now();
                self.desk.begins(Tried { earlier: Earlier::Nothing(now), ..self.tried(now) }).await;
                // It has its own time to show.
                self.earlier = Earlier::MaybeSent(now);
                self.send(call, Sort::Deed, tokens).await
            }
            Found::Unknown(looked_up, may_show) => {
                let (sent, cause) = (call.target().to_owned(), String::from("it may have been sent before"));
                Err(OperationError::OutcomeUnknown { sent, cause, looked_up, may_show })
            }
        }
    }

    /// Asks the vendor whether the call that was just lost took place. `self.replies` are those before it.
    async fn look_up(&self, tokens: &Tokens) -> Found {
        let operations = self.component.operations();
        let Some(mut question) = operations.look_up(self.operation, &self.params, &self.replies, self.caller(tokens)) else {
            return Found::Unknown(NO_QUESTION.to_owned(), false);
        };
        let had_time = match self.earlier {
            Earlier::MaybeSent(since) => since.saturating_add(SHOWS_WITHIN).is_ok_and(|shown| shown <= self.desk.clock.now()),
            Earlier::Nothing(_) => false,
        };
        // Until an answer was heard that does not tell.
        let (mut not_done, mut may_show) = (0, true);
        for _ in 0..MOST_QUESTIONS {
            self.pause(BEFORE_QUESTION).await;
            // The token may have been renewed by somebody else meanwhile.
            let renewed = self.tokens().await.ok();
            let caller = self.caller(renewed.as_ref().unwrap_or(tokens));
            if let Some(again) = operations.look_up(self.operation, &self.params, &self.replies, caller) {
                question = again;
            }
            let Ok(found) = self.desk.vendors.send(&question).await else { continue };
            match operations.looked_up(self.operation, &self.params, &self.replies, &found, self.earlier) {
                LookedUp::Done(outcome) => return Found::Sent(Sent::Found(outcome)),
                LookedUp::Stands => return Found::Sent(Sent::Reply(found)),
                LookedUp::NotDone => not_done += 1,
                LookedUp::NotShown if had_time => not_done += 1,
                LookedUp::NotShown | LookedUp::Later => {}
                LookedUp::Unknown => may_show = false,
            }
            if not_done >= NOT_DONE_TWICE {
                return Found::NotDone;
            }
        }
        Found::Unknown(format!("{} was asked {MOST_QUESTIONS} times and did not tell", question.target()), may_show)
    }

    fn later(&self, by: SignedDuration) -> Timestamp {
        self.desk.clock.now().checked_add(by).unwrap_or(Timestamp::MAX)
    }

    async fn pause(&self, wait: Duration) {
        let wait = SignedDuration::try_from(wait).unwrap_or(MOST_TIME);
        self.desk.clock.sleep_until(self.later(wait)).await;
    }
}

const NO_QUESTION: &str = "this vendor has no way to look its outcome up";
