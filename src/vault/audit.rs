//! Who read which token when: kept without the token, repeats within a minute counted, written in the background.

use crate::clock::Timestamp;
use crate::inbox::log::{LogError, Page, Position};

/// Reads of one token by one key from one address within a minute.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Read {
    /// Name of the API key.
    pub key: String,
    /// What was done: `token.read`, `token.report_invalid`, `token.refresh`, `ticket.read`.
    pub action: String,
    /// Component name.
    pub component: String,
    /// The authorizer's app id; absent for the component's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorizer: Option<String>,
    /// Generation that was handed out.
    pub generation: u64,
    /// The caller's address.
    pub remote: String,
    /// First read.
    pub at: Timestamp,
    /// How many.
    pub count: u64,
}

/// Where reads are kept.
#[async_trait::async_trait]
pub trait ReadLog: Send + Sync {
    /// Appends some.
    async fn append(&self, reads: Vec<Read>) -> Result<(), LogError>;
    /// A page, newest first.
    async fn reads(&self, component: Option<&str>, after: Option<&Position>, limit: usize) -> Result<Page<Read>, LogError>;
}
