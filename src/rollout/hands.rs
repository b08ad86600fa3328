//! Through which a rollout acts: a port in front of the desk, and what its failures mean for a rollout.

use serde_json::{Map, Value};

use super::advance::On;
use super::route::Route;
use crate::clock::Timestamp;
use crate::operations::{Desk, OperationError};
use crate::platform::{ApiError, Class};
use crate::vault::VaultError;

/// Parameters of an operation.
pub type Given = Map<String, Value>;

/// Carries operations out. Answered by the desk; tests have others.
#[async_trait::async_trait]
pub trait Hands: Send + Sync {
    /// The platform of a component; `None`: there is no such component.
    fn platform(&self, component: &str) -> Option<&'static str>;

    /// Names of the parameters of an operation.
    ///
    /// # Errors
    /// It does not exist there, or is switched off.
    fn takes(&self, component: &str, operation: &str) -> Result<Vec<&'static str>, OperationError>;

    /// Holds parameters against the row; nothing is sent.
    ///
    /// # Errors
    /// Everything that is wrong.
    fn check(&self, component: &str, authorizer: &str, operation: &str, given: Given) -> Result<(), OperationError>;

    /// Carries it out and gives its result in normal names.
    ///
    /// # Errors
    /// The desk's.
    async fn carry_out(&self, component: &str, authorizer: &str, operation: &str, given: Given) -> Result<Value, OperationError>;

    /// The same for what another process may have sent, at `since` or later: what must not be done twice is looked up first.
    ///
    /// # Errors
    /// The desk's.
    async fn resume(
        &self,
        component: &str,
        authorizer: &str,
        operation: &str,
        given: Given,
        since: Timestamp,
    ) -> Result<Value, OperationError>;
}

#[async_trait::async_trait]
impl Hands for Desk {
    fn platform(&self, component: &str) -> Option<&'static str> {
        self.platform_of(component)
    }

    fn takes(&self, component: &str, operation: &str) -> Result<Vec<&'static str>, OperationError> {
        let (_, row) = self.row(component, operation)?;
        match &row.disabled {
            Some(settings) => Err(OperationError::NotConfigured(settings.clone())),
            None => Ok(row.params.iter().map(|param| param.name).collect()),
        }
    }

    fn check(&self, component: &str, authorizer: &str, operation: &str, given: Given) -> Result<(), OperationError> {
        Self::check(self, component, Some(authorizer), operation, given).map(drop)
    }

    async fn carry_out(&self, component: &str, authorizer: &str, operation: &str, given: Given) -> Result<Value, OperationError> {
        Ok(Self::carry_out(self, component, Some(authorizer), operation, given).await?.result)
    }

    async fn resume(
        &self,
        component: &str,
        authorizer: &str,
        operation: &str,
        given: Given,
        since: Timestamp,
    ) -> Result<Value, OperationError> {
        let checked = Self::check(self, component, Some(authorizer), operation, given)?;
        Ok(Self::resume(self, checked, since).await?.result)
    }
}

/// What happened, with what is to be remembered of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// What.
    pub on: On,
    /// Why; the vendor's words where there are any.
    pub reason: Option<String>,
    /// The package's number, where it was told.
    pub package_id: Option<String>,
    /// The audit's number, where it was told.
    pub audit_id: Option<String>,
    /// Not again before.
    pub until: Option<Timestamp>,
    /// Whether every authorizer of the component would have met with it: the vendor does not answer, or there is no ticket.
    pub of_component: bool,
    /// Whether the platform refused the authorizer's token, and refused it again after the desk had renewed it.
    pub of_token: bool,
}

impl From<On> for Happened {
    fn from(on: On) -> Self {
        Self { on, reason: None, package_id: None, audit_id: None, until: None, of_component: false, of_token: false }
    }
}

impl Happened {
    /// With the reason.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// With the package's number, if it was told.
    #[must_use]
    pub fn of_package(self, package_id: Option<String>) -> Self {
        Self { package_id, ..self }
    }

    /// Not again before that.
    #[must_use]
    pub fn not_before(self, until: Timestamp) -> Self {
        Self { until: Some(until), ..self }
    }
}

/// What a failed operation means for the authorizer.
#[must_use]
pub fn failed(error: &OperationError, route: &Route, now: Timestamp) -> Happened {
    let on = |on: On| Happened::from(on).because(error.to_string());
    match error {
        OperationError::UnknownComponent | OperationError::WrongAddress(_) | OperationError::UnknownOperation { .. } => on(On::Refused),
        OperationError::NotConfigured(_) => Happened::from(On::Refused).because("operation not configured"),
        OperationError::Invalid(bad) => {
            let words: Vec<String> = bad.iter().map(|bad| format!("`{}` {}", bad.name, bad.reason)).collect();
            Happened::from(On::Refused).because(words.join("; "))
        }
        OperationError::Unreachable(_) => Happened { of_component: true, ..on(On::Unreachable) },
        OperationError::OutcomeUnknown { may_show: true, .. } => Happened { of_component: true, ..on(On::Doubtful) },
        OperationError::OutcomeUnknown { .. } => on(On::Unknown),
        OperationError::Refused(refusal) if refusal.class == Class::RenewAuthorizerToken => {
            Happened { of_token: true, ..refused(refusal, route, now) }
        }
        OperationError::Refused(refusal) | OperationError::Doubted { refusal, .. } => refused(refusal, route, now),
        OperationError::Vault(error) => vault(error, route, now),
    }
}

fn refused(refusal: &ApiError, route: &Route, now: Timestamp) -> Happened {
    let happened = |on: On| Happened::from(on).because(words(refusal));
    if route.quota_codes.contains(&refusal.code.as_str()) {
        return happened(On::QuotaExhausted);
    }
    if let Some(seconds) = route.pause(&refusal.code) {
        return happened(On::RateLimited).not_before(later(now, seconds));
    }
    match refusal.class {
        // A token that stays refused after it was renewed, or a ticket: the next renewal or the next ticket mends it.
        Class::Retry | Class::RenewComponentToken | Class::RenewAuthorizerToken | Class::TicketInvalid | Class::RefreshTokenInvalid => {
            // A gateway that answers for the vendor, or without the vendor's form, does so to everybody.
            Happened { of_component: refusal.is_unreadable() || refusal.class == Class::TicketInvalid, ..happened(On::Unreachable) }
        }
        Class::RateLimited => happened(On::RateLimited),
        Class::GrantGone => happened(On::Revoked),
        Class::Configuration => happened(On::Blocked),
        Class::CodeInvalid | Class::Refuse => happened(On::Refused),
    }
}

fn vault(error: &VaultError, route: &Route, now: Timestamp) -> Happened {
    let on = |on: On| Happened::from(on).because(error.to_string());
    match error {
        VaultError::Revoked { .. } => Happened::from(On::Revoked).because("the merchant withdrew the grant"),
        VaultError::VendorRefused(refusal) => refused(refusal, route, now),
        VaultError::NoTicket { .. } | VaultError::VendorUnreachable(_) => Happened { of_component: true, ..on(On::Unreachable) },
        VaultError::Store(_) => on(On::Unreachable),
        VaultError::RateLimited(wait) | VaultError::Crowded(wait) | VaultError::Overrun(wait) | VaultError::Invited(wait) => {
            on(On::RateLimited).not_before(later(now, i64::try_from(wait.as_secs()).unwrap_or(60).saturating_add(1)))
        }
        VaultError::NotAuthorized(_) | VaultError::UnknownComponent | VaultError::NotApplicable(_) | VaultError::UnknownState => {
            on(On::Refused)
        }
    }
}

/// The vendor's words, by which failures are grouped: the same refusal of two merchants reads the same.
fn words(refusal: &ApiError) -> String {
    format!("{}: {}", refusal.code, refusal.message)
}

/// So many seconds later.
#[must_use]
pub fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
