//! The vault as a subscriber of `authorization.*`: a grant's sealed code or tokens are handed to it, a withdrawal is told to it, with the
//! same durability and retries as any delivery.

use std::sync::Arc;
use std::time::Instant;

use super::{Outcome, Sink};
use crate::clock::{Clock, Timestamp};
use crate::event_type::EventType;
use crate::fanout::delivery::{Attempt, Claimed};
use crate::fanout::schedule;
use crate::fanout::subscription::Subscription;
use crate::platform::call::Class;
use crate::platform::push::Grant;
use crate::vault::{Exchanged, Vault, VaultError};

/// What this sink needs of the vault.
#[async_trait::async_trait]
pub trait Grants: Send + Sync {
    /// A grant came; see [`Vault::granted`].
    async fn granted(&self, component: &str, app_id: Option<&str>, grant: &Grant) -> Result<Exchanged, VaultError>;
    /// A merchant withdrew; see [`Vault::revoked`].
    async fn revoked(&self, component: &str, app_id: &str, at: Timestamp) -> Result<(), VaultError>;
}

#[async_trait::async_trait]
impl Grants for Vault {
    async fn granted(&self, component: &str, app_id: Option<&str>, grant: &Grant) -> Result<Exchanged, VaultError> {
        Self::granted(self, component, app_id, grant).await
    }

    async fn revoked(&self, component: &str, app_id: &str, at: Timestamp) -> Result<(), VaultError> {
        Self::revoked(self, component, app_id, at).await
    }
}

/// Hands grants and withdrawals to the vault.
pub struct Exchange {
    vault: Arc<dyn Grants>,
    clock: Arc<dyn Clock>,
}

impl Exchange {
    /// A sink for [`crate::fanout::subscription::VAULT`].
    #[must_use]
    pub fn new(vault: Arc<dyn Grants>, clock: Arc<dyn Clock>) -> Self {
        Self { vault, clock }
    }

    async fn hand_over(&self, claimed: &Claimed) -> Result<(), Trouble> {
        let event = &claimed.event;
        let app_id = event.authorizer.as_deref();
        match event.kind {
            EventType::AuthorizationGranted | EventType::AuthorizationUpdated => {
                // A change of permissions alone brings nothing to exchange.
                let Some(sealed) = &claimed.sealed else { return Ok(()) };
                // The parser's own words could quote what is sealed.
                let grant: Grant = serde_json::from_str(sealed.expose()).map_err(|_| Trouble::Unreadable)?;
                self.vault.granted(&event.component, app_id, &grant).await?;
            }
            EventType::AuthorizationRevoked => {
                let app_id = app_id.ok_or(Trouble::Nobody)?;
                self.vault.revoked(&event.component, app_id, event.time).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the sealed part of the event cannot be read")]
    Unreadable,
    #[error("the event does not say who withdrew")]
    Nobody,
    #[error(transparent)]
    Vault(#[from] VaultError),
}

#[async_trait::async_trait]
impl Sink for Exchange {
    async fn deliver(&self, _: &Subscription, claimed: &Claimed) -> Outcome {
        let at = self.clock.now();
        let begun = Instant::now();
        let result = self.hand_over(claimed).await;
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let attempt = Attempt { at, status: None, duration_ms, error: None, answer: None };
        match result {
            Ok(()) => Outcome::Delivered(attempt),
            Err(trouble) => outcome(attempt, &trouble, self.clock.now()),
        }
    }
}

/// What follows from the vault's answer: whatever time, a vendor or an operator can mend is tried again; what the vendor refused for good is
/// dead at once, so that somebody sees it.
fn outcome(attempt: Attempt, trouble: &Trouble, now: Timestamp) -> Outcome {
    let attempt = Attempt { error: Some(trouble.to_string()), ..attempt };
    let error = match trouble {
        Trouble::Unreadable | Trouble::Nobody => return Outcome::Refused(attempt),
        Trouble::Vault(error) => error,
    };
    match error {
        VaultError::RateLimited(wait) | VaultError::Crowded(wait) | VaultError::Overrun(wait) | VaultError::Invited(wait) => {
            Outcome::Failed(attempt, Some(schedule::later(now, *wait)))
        }
        VaultError::NoTicket { .. } | VaultError::VendorUnreachable(_) | VaultError::Store(_) | VaultError::NotAuthorized(_) => {
            Outcome::Failed(attempt, None)
        }
        VaultError::VendorRefused(refusal) => match refusal.class {
            Class::CodeInvalid | Class::GrantGone | Class::RefreshTokenInvalid | Class::Refuse => Outcome::Refused(attempt),
            Class::Retry
            | Class::RateLimited
            | Class::RenewComponentToken
            | Class::RenewAuthorizerToken
            | Class::TicketInvalid
            | Class::Configuration => Outcome::Failed(attempt, None),
        },
        // A newer withdrawal stands: there is nothing left to do.
        VaultError::Revoked { .. } => Outcome::Delivered(attempt),
        VaultError::UnknownComponent | VaultError::NotApplicable(_) | VaultError::UnknownState => Outcome::Refused(attempt),
    }
}
