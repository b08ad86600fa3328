//! Where the desk gets its tokens: one port, answered by the vault.

use crate::platform::TokenKey;
use crate::vault::{Served, Vault, VaultError, Want};

/// Gives tokens and hears which of them a vendor rejected.
#[async_trait::async_trait]
pub trait TokenSource: Send + Sync {
    /// A token that works, renewed first if needed.
    ///
    /// # Errors
    /// What is missing, by name.
    async fn fresh(&self, component: &str, key: &TokenKey) -> Result<Served, VaultError>;

    /// A vendor rejected that generation: gives another one.
    ///
    /// # Errors
    /// As [`TokenSource::fresh`].
    async fn report_invalid(&self, component: &str, key: &TokenKey, generation: u64) -> Result<Served, VaultError>;
}

#[async_trait::async_trait]
impl TokenSource for Vault {
    async fn fresh(&self, component: &str, key: &TokenKey) -> Result<Served, VaultError> {
        Self::fresh(self, component, key, Want::default()).await
    }

    async fn report_invalid(&self, component: &str, key: &TokenKey, generation: u64) -> Result<Served, VaultError> {
        Self::report_invalid(self, component, key, generation).await
    }
}

/// The tokens of one step.
pub(super) struct Tokens {
    pub component: Option<Served>,
    pub authorizer: Option<Served>,
}
