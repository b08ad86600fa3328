//! What we hold for others: tickets, component tokens, authorizers and their tokens.
//!
//! [`Vault::fresh`] is the one door to a token. Called by `http`, `fanout`'s exchange sink and, later, operations.

pub mod audit;
pub mod authorizer;

use std::sync::Arc;
use std::time::Duration;

pub use authorizer::{Authorizer, AuthorizerState};

use crate::clock::{Clock, Timestamp};
use crate::inbox::log::{Page, Position};
use crate::outbound::{SendError, Vendors};
use crate::platform::push::Grant;
use crate::platform::token::{Family, Link, TokenKey};
use crate::platform::{ApiError, Components};
use crate::secret::Secret;
use crate::shutdown::Shutdown;

/// How fresh a token must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Want {
    /// At least this much left; renewed first if needed.
    pub min_ttl: Duration,
    /// Only one with a generation above this.
    pub after_generation: Option<u64>,
    /// How long to wait for that.
    pub wait: Duration,
}

/// A token handed out.
#[derive(Debug, Clone)]
pub struct Served {
    /// Its text.
    pub token: Secret,
    /// Counts renewals of this token from 1; never goes back.
    pub generation: u64,
    /// When it dies by itself, where it does.
    pub expires_at: Option<Timestamp>,
    /// How long a caller may cache it: less than the overlap of old and new, and less than what is left.
    pub cache_for: Duration,
}

/// The newest ticket.
#[derive(Debug, Clone)]
pub struct HeldTicket {
    /// Its text.
    pub value: Secret,
    /// The vendor's time of it.
    pub created_at: Timestamp,
    /// When it came.
    pub received_at: Timestamp,
}

/// What people see of a token: all but the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenState {
    /// Its family.
    pub family: Family,
    /// Its generation.
    pub generation: u64,
    /// When it dies.
    pub expires_at: Option<Timestamp>,
    /// When it was got.
    pub obtained_at: Timestamp,
}

/// What people see of a component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComponentState {
    /// When the newest ticket came.
    pub ticket_received_at: Option<Timestamp>,
    /// When the newest ticket was made, by the vendor's clock.
    pub ticket_created_at: Option<Timestamp>,
    /// The component's own tokens.
    pub tokens: Vec<TokenState>,
    /// Authorizers by state: pending, granted, revoked.
    pub authorizers: (u64, u64, u64),
    /// Codes waiting to be exchanged, and when the first of them dies.
    pub codes_waiting: u64,
    /// When the first waiting code dies.
    pub code_expires_at: Option<Timestamp>,
    /// What an operator should look at, in words.
    pub warnings: Vec<String>,
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchanged {
    /// Tokens of these authorizers are held now.
    Authorizers(Vec<String>),
    /// The code had been used by its twin (redirect or push) and the tokens are held.
    Already(Vec<String>),
}

/// Why the vault has nothing to give.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// No such component.
    #[error("there is no component of that name")]
    UnknownComponent,
    /// The platform has no such thing; says what to use instead.
    #[error("{0}")]
    NotApplicable(String),
    /// No ticket, or only one that is too old; says since when and what to check.
    #[error("{detail}")]
    NoTicket {
        /// `no ticket since 02:10` and so on.
        detail: String,
        /// What to check.
        hint: String,
    },
    /// The authorizer is unknown, or its code is not exchanged yet.
    #[error("{0}")]
    NotAuthorized(String),
    /// The merchant withdrew.
    #[error("the authorization was revoked")]
    Revoked {
        /// When.
        at: Option<Timestamp>,
    },
    /// The vendor said no.
    #[error("the vendor refused: {0}")]
    VendorRefused(ApiError),
    /// The vendor could not be reached or did not answer.
    #[error(transparent)]
    VendorUnreachable(#[from] SendError),
    /// Asked too often; how long to wait.
    #[error("asked too often")]
    RateLimited(Duration),
    /// A `state` that is unknown, used or too old.
    #[error("the authorization was not started here, or its link was used already")]
    UnknownState,
    /// The store does not answer.
    #[error("the vault cannot be written: {0}")]
    Store(String),
}

/// Tickets, tokens and authorizers of all components.
pub struct Vault {}

impl Vault {
    /// A token, renewed first if needed. A held token that is young enough is returned without touching a disk.
    ///
    /// # Errors
    /// What is missing, by name.
    pub async fn fresh(&self, component: &str, key: &TokenKey, want: Want) -> Result<Served, VaultError> {
        unimplemented!()
    }

    /// A caller saw generation `generation` rejected: renews only if it is still the current one. Answers as [`Vault::fresh`].
    pub async fn report_invalid(&self, component: &str, key: &TokenKey, generation: u64) -> Result<Served, VaultError> {
        unimplemented!()
    }

    /// Renews unconditionally; at most once per 30 s and token.
    pub async fn refresh(&self, component: &str, key: &TokenKey) -> Result<Served, VaultError> {
        unimplemented!()
    }

    /// The newest ticket.
    pub fn ticket(&self, component: &str) -> Result<HeldTicket, VaultError> {
        unimplemented!()
    }

    /// State of a component.
    pub fn component_state(&self, component: &str) -> Result<ComponentState, VaultError> {
        unimplemented!()
    }

    /// A page of authorizers by app id.
    pub async fn authorizers(&self, component: &str, after: Option<&Position>, limit: usize) -> Result<Page<Authorizer>, VaultError> {
        unimplemented!()
    }

    /// One authorizer with the state of its tokens.
    pub async fn authorizer(&self, component: &str, app_id: &str) -> Result<(Authorizer, Vec<TokenState>), VaultError> {
        unimplemented!()
    }

    /// A link for one merchant; `redirect_uri` is ours unless the component's settings name another.
    pub async fn link(&self, component: &str, redirect_uri: &str) -> Result<Link, VaultError> {
        unimplemented!()
    }

    /// A browser came back with this query: exchanges the code.
    pub async fn returned(&self, component: &str, query: &str) -> Result<Exchanged, VaultError> {
        unimplemented!()
    }

    /// A grant came by push (its sealed part): exchanges its code or keeps its tokens. Idempotent; safe to repeat after a crash.
    pub async fn granted(&self, component: &str, app_id: Option<&str>, grant: &Grant) -> Result<Exchanged, VaultError> {
        unimplemented!()
    }

    /// A merchant withdrew at `at` by the vendor's clock; ignored when a newer grant is known.
    pub async fn revoked(&self, component: &str, app_id: &str, at: Timestamp) -> Result<(), VaultError> {
        unimplemented!()
    }

    /// Finishes what a crash interrupted, then renews ahead of expiry until shutdown.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        unimplemented!()
    }
}
