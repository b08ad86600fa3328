//! A merchant's mini program as the vault knows it.

use crate::clock::Timestamp;
use crate::platform::token::Permission;

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizerState {
    /// A grant came, its code is not exchanged yet.
    Pending,
    /// Tokens are held.
    Granted,
    /// The merchant withdrew, or the vendor says that the grant is gone.
    Revoked,
}

/// A merchant's mini program.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Authorizer {
    /// Component name.
    pub component: String,
    /// App id at the vendor.
    pub app_id: String,
    /// Name for people, where known.
    pub name: Option<String>,
    /// Where the grant stands.
    pub state: AuthorizerState,
    /// What was granted, as the vendor names it.
    pub permissions: Vec<Permission>,
    /// The vendor's time of the newest grant.
    pub granted_at: Option<Timestamp>,
    /// The vendor's time of the withdrawal.
    pub revoked_at: Option<Timestamp>,
    /// Last change of this record.
    pub updated_at: Timestamp,
}
