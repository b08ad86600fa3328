//! Operations carried out: parameters checked, tokens fetched, calls sent, and nothing done twice that must not be.
//!
//! Called by `http` and, later, playbooks and rollouts. The platform says what comes next ([`Operations::next`]); [`Desk`] sends it, renews
//! a token that the vendor rejects, repeats what may be repeated, and looks up what may not. [`proxy`] passes on what has no row;
//! [`idempotency`] remembers what callers asked for under a key of their own; [`page`] writes the rows for people.
//! Never speaks HTTP itself (`outbound` does) and never logs a parameter.

mod errand;
pub mod idempotency;
pub mod page;
pub mod proxy;
pub mod sheet;
pub mod text;
mod tokens;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::clock::{Clock, Timestamp};
use crate::outbound::{SendError, Vendors};
use crate::platform::operation::{BadParam, Bearer, Earlier, Effect, Operation, Outcome, Params};
use crate::platform::{ApiError, Component, Components};
use crate::vault::VaultError;
use errand::Errand;
pub use tokens::TokenSource;

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
        /// The one that is written most like it.
        nearest: Option<&'static str>,
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
    /// The vendor said no for now to a call that must not be repeated and that it may have carried out all the same, and its record did not
    /// tell. Whoever can look again later may do it then.
    #[error("{sent} was sent and answered with {refusal}, which does not tell whether it was done; {looked_up}; it was not repeated")]
    Doubted {
        /// What was sent: host and path.
        sent: String,
        /// The vendor's no.
        refusal: ApiError,
        /// What was looked up and what came of it.
        looked_up: String,
    },
    /// The vendor could not be reached; nothing was done, or it may be done again.
    #[error(transparent)]
    Unreachable(SendError),
    /// A call that must not be repeated was not answered, and its outcome could not be learnt.
    #[error("{sent} was sent and not answered for certain ({cause}); {looked_up}; it was not repeated")]
    OutcomeUnknown {
        /// What was sent: host and path.
        sent: String,
        /// Why there is no answer.
        cause: String,
        /// What was looked up and what came of it.
        looked_up: String,
        /// Asking later may tell: the vendor could not be asked what came of it, or what would show may still come.
        may_show: bool,
    },
}

impl OperationError {
    /// Whether something that must not be done twice was sent, and nobody knows whether it was done.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. } | Self::Doubted { .. })
    }
}

/// What was carried out.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// Component name.
    pub component: &'a str,
    /// For whom; `None`: for the component itself.
    pub authorizer: Option<&'a str>,
    /// Normal name.
    pub operation: &'static str,
    /// What was asked for.
    pub params: &'a Params,
    /// What it gave, in normal names.
    pub result: &'a Value,
    /// The vendor's answer.
    pub vendor: &'a Value,
    /// When it was answered.
    pub at: Timestamp,
}

/// What is about to be sent, or was sent in vain.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// Component name.
    pub component: &'a str,
    /// For whom; `None`: for the component itself.
    pub authorizer: Option<&'a str>,
    /// Normal name.
    pub operation: &'static str,
    /// What is asked for.
    pub params: &'a Params,
    /// When.
    pub at: Timestamp,
    /// What may have been sent of it before.
    pub earlier: Earlier,
}

/// Who hears of everything that was carried out, before the caller does.
#[async_trait::async_trait]
pub trait Observer: Send + Sync {
    /// An operation that is not only a question is about to be sent. What the observer writes is durable when it returns, so that a process
    /// that ends in the middle leaves word of it. Heard a second time, with nothing earlier, where the vendor's record shows that what may have been sent
    /// before did not take place: it begins anew.
    async fn begins(&self, _tried: Tried<'_>) {}

    /// It gave no result. `nothing_done`: it certainly did not take place.
    async fn failed(&self, _tried: Tried<'_>, _nothing_done: bool) {}

    /// An operation gave a result. What the observer writes is durable when it returns; its own troubles are its own.
    async fn carried_out(&self, done: Observed<'_>);
}

/// Carries operations out.
pub struct Desk {
    components: Components,
    tokens: Arc<dyn TokenSource>,
    vendors: Arc<dyn Vendors>,
    clock: Arc<dyn Clock>,
    /// In the order in which they were given.
    observers: Vec<Arc<dyn Observer>>,
}

impl Desk {
    /// Puts a desk together.
    #[must_use]
    pub fn new(components: Components, tokens: Arc<dyn TokenSource>, vendors: Arc<dyn Vendors>, clock: Arc<dyn Clock>) -> Self {
        Self { components, tokens, vendors, clock, observers: Vec::new() }
    }

    /// The same with somebody more who hears of everything that was carried out.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// The platform of a component.
    #[must_use]
    pub fn platform_of(&self, component: &str) -> Option<&'static str> {
        self.components.named(component).map(|component| component.platform().name())
    }

    /// The row of that name at a component.
    ///
    /// # Errors
    /// [`OperationError::UnknownComponent`], [`OperationError::UnknownOperation`].
    pub fn row(&self, component: &str, name: &str) -> Result<(&Arc<dyn Component>, &Operation), OperationError> {
        let component = self.components.named(component).ok_or(OperationError::UnknownComponent)?;
        let rows = component.operations().operations();
        let operation = rows.iter().find(|operation| operation.name == name).ok_or_else(|| OperationError::UnknownOperation {
            platform: component.platform().name(),
            name: name.to_owned(),
            nearest: nearest(rows, name),
        })?;
        Ok((component, operation))
    }

    /// Holds a request against its row without sending anything.
    ///
    /// # Errors
    /// Everything that is wrong with it: see [`OperationError`] up to [`OperationError::Invalid`].
    pub fn check(
        &self,
        component: &str,
        authorizer: Option<&str>,
        name: &str,
        given: Map<String, Value>,
    ) -> Result<Checked<'_>, OperationError> {
        let (component, operation) = self.row(component, name)?;
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
        let misfits = component.operations().misfits(operation, &params);
        if !misfits.is_empty() {
            return Err(OperationError::Invalid(misfits));
        }
        if let Some(settings) = component.operations().unready(operation, &params) {
            return Err(OperationError::NotConfigured(settings));
        }
        Ok(Checked { component, authorizer: authorizer.map(str::to_owned), operation, params })
    }

    /// Carries out one operation. `given` are the caller's parameters, checked here before anything is sent. Dropping the future leaves a
    /// lost answer without its look-up: whoever may go away lets this run in a task of its own.
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
        let checked = self.check(component, authorizer, name, given)?;
        self.carry_out_checked(checked).await
    }

    /// Carries out what [`Desk::check`] has passed.
    ///
    /// # Errors
    /// See [`OperationError`].
    pub async fn carry_out_checked(&self, checked: Checked<'_>) -> Result<Outcome, OperationError> {
        let began = self.clock.now();
        self.note(checked, Earlier::Nothing(began)).await
    }

    /// The same for a request that an earlier process may have sent, at `since` or later, before it ended: what must not be done twice is looked up before
    /// it is sent.
    ///
    /// # Errors
    /// See [`OperationError`]; [`OperationError::OutcomeUnknown`] where the vendor has no way to tell.
    pub async fn resume(&self, checked: Checked<'_>, since: Timestamp) -> Result<Outcome, OperationError> {
        self.note(checked, Earlier::MaybeSent(since)).await
    }

    async fn note(&self, checked: Checked<'_>, earlier: Earlier) -> Result<Outcome, OperationError> {
        let (component, authorizer, name) = (checked.component.name(), checked.authorizer.clone(), checked.operation.name);
        let started = self.clock.now();
        let is_question = checked.operation.effect == Effect::Read;
        let mut errand = Errand::new(self, checked, earlier);
        if !is_question {
            self.begins(errand.tried(started)).await;
        }
        let result = errand.run().await;
        let at = self.clock.now();
        for observer in &self.observers {
            let tried = errand.tried(started);
            match &result {
                Ok(outcome) => {
                    let Tried { component, authorizer, operation, params, .. } = tried;
                    let done = Observed { component, authorizer, operation, params, result: &outcome.result, vendor: &outcome.vendor, at };
                    observer.carried_out(done).await;
                }
                Err(error) if !is_question => observer.failed(tried, !error.is_in_doubt()).await,
                Err(_) => {}
            }
        }
        let took_ms = i64::try_from(at.duration_since(started).as_millis()).unwrap_or(i64::MAX);
        match &result {
            Ok(_) => tracing::info!(component, authorizer, operation = name, took_ms, "operation carried out"),
            Err(error) if error.is_in_doubt() => {
                tracing::error!(component, authorizer, operation = name, took_ms, %error, "the outcome of an operation is unknown");
            }
            Err(error) => tracing::warn!(component, authorizer, operation = name, took_ms, %error, "operation not carried out"),
        }
        result
    }

    async fn begins(&self, tried: Tried<'_>) {
        for observer in &self.observers {
            observer.begins(tried).await;
        }
    }
}

/// A request that fits its row.
pub struct Checked<'a> {
    component: &'a Arc<dyn Component>,
    authorizer: Option<String>,
    operation: &'a Operation,
    params: Params,
}

impl Checked<'_> {
    /// The row.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        self.operation
    }
}

/// How alike two names must be for one to be taken for the other misspelt, and how long such a name is at most: none of ours is half as long, and
/// to compare an endless one takes as long.
const LIKENESS: f64 = 0.8;
const LONGEST_MISSPELT: usize = 64;

/// The row that is written most like that name.
#[must_use]
pub fn nearest(rows: &[Operation], name: &str) -> Option<&'static str> {
    if name.len() > LONGEST_MISSPELT {
        return None;
    }
    let likeness = |row: &Operation| strsim::jaro_winkler(row.name, name);
    let nearest = rows.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(nearest) >= LIKENESS).then_some(nearest.name)
}
