//! Operations carried out: parameters checked, tokens fetched, calls sent, and nothing done twice that must not be.
//!
//! Called by `http` and, later, playbooks and rollouts. The platform says what comes next ([`Operations::next`]); this room sends it,
//! renews a token that the vendor rejects once, repeats what may be repeated, and looks up what may not.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::outbound::{SendError, Vendors};
use crate::platform::call::Class;
use crate::platform::operation::{BadParam, Bearer, Caller, Effect, LookedUp, Next, Operation, Operations, Outcome, Params};
use crate::platform::{ApiError, Call, Component, Components, Reply, TokenKey};
use crate::vault::{Served, Vault, VaultError, Want};

/// Calls that one operation may take, polls included.
const MOST_CALLS: usize = 60;
/// Sends of one call that may be repeated.
const MOST_SENDS: u32 = 3;
/// Wait before a repetition; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Why an operation gave no result.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// No such component.
    #[error("there is no component of that name")]
    UnknownComponent,
    /// The platform has no such operation.
    #[error("{platform} has no operation `{name}`")]
    UnknownOperation {
        /// Platform.
        platform: &'static str,
        /// What was asked for.
        name: String,
    },
    /// The row is switched off; says which settings to write.
    #[error("{0}")]
    NotConfigured(String),
    /// It acts for a merchant, and none was named; or the other way round.
    #[error("{0}")]
    WrongAddress(&'static str),
    /// Parameters that do not fit.
    #[error("parameters do not fit")]
    Invalid(Vec<BadParam>),
    /// No token.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The vendor said no.
    #[error("the vendor refused: {0}")]
    Refused(ApiError),
    /// The vendor could not be reached; nothing was done, or it may be done again.
    #[error(transparent)]
    Unreachable(SendError),
    /// A call that must not be repeated was not answered, and its outcome could not be learnt.
    #[error("{sent} was sent once and not answered ({cause}); {looked_up}; it was not repeated")]
    OutcomeUnknown {
        /// What was sent: host and path.
        sent: String,
        /// Why there is no answer.
        cause: String,
        /// What was looked up and what came of it.
        looked_up: String,
    },
}

/// Carries operations out.
pub struct Desk {
    components: Components,
    vault: Arc<Vault>,
    vendors: Arc<dyn Vendors>,
    clock: Arc<dyn Clock>,
}

/// One operation on its way.
struct Errand<'a> {
    desk: &'a Desk,
    component: &'a Arc<dyn Component>,
    authorizer: Option<&'a str>,
    operation: &'a Operation,
    params: Params,
    replies: Vec<Reply>,
    renewed: bool,
}

/// The tokens of one step.
struct Tokens {
    component: Option<Served>,
    authorizer: Option<Served>,
}

impl Desk {
    /// Puts a desk together.
    #[must_use]
    pub fn new(components: Components, vault: Arc<Vault>, vendors: Arc<dyn Vendors>, clock: Arc<dyn Clock>) -> Self {
        Self { components, vault, vendors, clock }
    }

    /// Carries out one operation. `given` are the caller's parameters, checked here before anything is sent.
    ///
    /// # Errors
    /// See [`OperationError`].
    pub async fn carry_out(
        &self,
        component: &str,
        authorizer: Option<&str>,
        name: &str,
        given: Map<String, Value>,
    ) -> Result<Outcome, OperationError> {
        let component = self.components.named(component).ok_or(OperationError::UnknownComponent)?;
        let found = component.operations().operations().iter().find(|operation| operation.name == name);
        let operation =
            found.ok_or_else(|| OperationError::UnknownOperation { platform: component.platform().name(), name: name.to_owned() })?;
        if let Some(settings) = &operation.disabled {
            return Err(OperationError::NotConfigured(settings.clone()));
        }
        match (operation.bearer, authorizer) {
            (Bearer::Authorizer(_), None) => {
                return Err(OperationError::WrongAddress("this operation acts for a merchant: call it below /authorizers/{app id}"));
            }
            (Bearer::Component(_), Some(_)) => {
                return Err(OperationError::WrongAddress("this operation acts for the component itself: call it without an authorizer"));
            }
            _ => {}
        }
        let params = Params::check(operation, given).map_err(OperationError::Invalid)?;
        let errand = Errand { desk: self, component, authorizer, operation, params, replies: Vec::new(), renewed: false };
        let started = self.clock.now();
        let result = errand.run().await;
        let took = self.clock.now().duration_since(started).as_millis();
        match &result {
            Ok(_) => tracing::info!(component = component.name(), authorizer, operation = name, took_ms = took, "operation carried out"),
            Err(error) => {
                tracing::warn!(component = component.name(), authorizer, operation = name, took_ms = took, %error, "operation not carried out")
            }
        }
        result
    }
}

impl Errand<'_> {
    async fn run(mut self) -> Result<Outcome, OperationError> {
        for _ in 0..MOST_CALLS {
            let tokens = self.tokens().await?;
            let next = self.component.operations().next(self.operation, &self.params, &self.replies, self.caller(&tokens));
            let call = match next {
                Next::Done(outcome) => return Ok(*outcome),
                Next::Call(call) => call,
                Next::After(wait, call) => {
                    let until = self.desk.clock.now() + wait;
                    self.desk.clock.sleep_until(until).await;
                    call
                }
                Next::Refused(error) => {
                    self.renew(&tokens, error).await?;
                    continue;
                }
            };
            match self.send(&call, &tokens).await? {
                Sent::Reply(reply) => self.replies.push(reply),
                Sent::Found(outcome) => return Ok(*outcome),
            }
        }
        let cause = format!("the operation took more than {MOST_CALLS} calls");
        Err(OperationError::Unreachable(SendError::NoAnswer { target: self.operation.path.to_string(), cause }))
    }

    fn caller<'t>(&'t self, tokens: &'t Tokens) -> Caller<'t> {
        Caller {
            component_token: tokens.component.as_ref().map(|served| &served.token),
            authorizer: self.authorizer.zip(tokens.authorizer.as_ref().map(|served| &served.token)),
            now: self.desk.clock.now(),
        }
    }

    async fn tokens(&self) -> Result<Tokens, OperationError> {
        let (family, authorizer) = match (self.operation.bearer, self.authorizer) {
            (Bearer::Authorizer(family), Some(app_id)) => (family, Some(TokenKey::Authorizer { app_id: app_id.to_owned(), family })),
            (Bearer::Authorizer(family) | Bearer::Component(family), _) => (family, None),
        };
        let vault = &self.desk.vault;
        let component = match self.component.needs_component_token() {
            true => Some(vault.fresh(self.component.name(), &TokenKey::Component(family), Want::default()).await?),
            false => None,
        };
        let authorizer = match authorizer {
            Some(key) => Some(vault.fresh(self.component.name(), &key, Want::default()).await?),
            None => None,
        };
        Ok(Tokens { component, authorizer })
    }

    /// After a refusal: renews the token that was rejected, once, and takes the refused reply back so that its call is made again.
    async fn renew(&mut self, tokens: &Tokens, error: ApiError) -> Result<(), OperationError> {
        let family = match self.operation.bearer {
            Bearer::Authorizer(family) | Bearer::Component(family) => family,
        };
        let rejected = match (error.class, self.authorizer) {
            (Class::RenewAuthorizerToken, Some(app_id)) => {
                tokens.authorizer.as_ref().map(|held| (TokenKey::Authorizer { app_id: app_id.to_owned(), family }, held.generation))
            }
            (Class::RenewComponentToken, _) => tokens.component.as_ref().map(|held| (TokenKey::Component(family), held.generation)),
            _ => None,
        };
        match rejected {
            Some((key, generation)) if !self.renewed => {
                self.renewed = true;
                self.desk.vault.report_invalid(self.component.name(), &key, generation).await?;
                self.replies.pop();
                Ok(())
            }
            _ => Err(OperationError::Refused(error)),
        }
    }

    async fn send(&self, call: &Call, tokens: &Tokens) -> Result<Sent, OperationError> {
        let mut pause = FIRST_PAUSE;
        let mut sends = 0;
        loop {
            sends += 1;
            let error = match self.desk.vendors.send(call).await {
                Ok(reply) => return Ok(Sent::Reply(reply)),
                Err(error) => error,
            };
            if matches!(error, SendError::NoAnswer { .. }) && self.operation.effect == Effect::Once {
                match self.look_up(call, tokens, &error).await? {
                    Some(outcome) => return Ok(Sent::Found(outcome)),
                    None if sends >= MOST_SENDS => return Err(OperationError::Unreachable(error)),
                    None => {}
                }
            }
            if sends >= MOST_SENDS {
                return Err(OperationError::Unreachable(error));
            }
            let until = self.desk.clock.now() + pause;
            self.desk.clock.sleep_until(until).await;
            pause *= 2;
        }
    }

    /// Whether a call that was not answered took place: its outcome, or `None` when it certainly did not.
    async fn look_up(&self, call: &Call, tokens: &Tokens, lost: &SendError) -> Result<Option<Box<Outcome>>, OperationError> {
        let unknown =
            |looked_up: String| OperationError::OutcomeUnknown { sent: call.target().to_owned(), cause: lost.to_string(), looked_up };
        let component = self.component.operations();
        let Some(question) = component.look_up(self.operation, &self.params, &self.replies, self.caller(tokens)) else {
            return Err(unknown(String::from("this vendor has no way to look its outcome up")));
        };
        let mut pause = FIRST_PAUSE;
        for _ in 0..MOST_SENDS {
            if let Ok(found) = self.desk.vendors.send(&question).await {
                match component.looked_up(self.operation, &self.params, &self.replies, &found) {
                    LookedUp::Done(outcome) => return Ok(Some(outcome)),
                    LookedUp::NotDone => return Ok(None),
                    LookedUp::Unknown => {}
                }
            }
            let until = self.desk.clock.now() + pause;
            self.desk.clock.sleep_until(until).await;
            pause *= 2;
        }
        Err(unknown(format!("{} was asked {MOST_SENDS} times and did not tell", question.target())))
    }
}

/// What sending gave.
enum Sent {
    Reply(Reply),
    Found(Box<Outcome>),
}
