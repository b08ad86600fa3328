//! The port of this room: what it needs of a store, and what is kept there.

use serde::{Deserialize, Serialize};

use super::book::{Place, Submission};
use crate::clock::Timestamp;
use crate::inbox::LogError;
use crate::inbox::fact::{Subject, Told};

/// When a look last ran, and what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookState {
    /// When it last ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_at: Option<Timestamp>,
    /// Why it did not see everything, where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Calls to the vendor, that time.
    #[serde(default)]
    pub asked: u64,
    /// What it found that no push had told, that time.
    #[serde(default)]
    pub found: u64,
    /// The same since this component is here.
    #[serde(default)]
    pub found_in_all: u64,
    /// When it last saw everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_at: Option<Timestamp>,
    /// Acknowledged events since then were lost to damage: everything since is to be asked for again, not only what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_since: Option<Timestamp>,
}

/// Where submissions and looks are kept.
#[async_trait::async_trait]
pub trait Ledger: Send + Sync {
    /// Every submission of a component that waits.
    async fn submissions(&self, component: &str) -> Result<Vec<(Place, Submission)>, LogError>;

    /// Writes or removes (`None`) submissions in one transaction, durable when it returns.
    async fn write(&self, component: &str, changes: &[(Place, Option<Submission>)]) -> Result<(), LogError>;

    /// The facts told of an authorizer.
    async fn told(&self, component: &str, authorizer: &str, subject: Subject) -> Result<Vec<Told>, LogError>;

    /// The state of a look.
    async fn look(&self, component: &str, look: &str) -> Result<Option<LookState>, LogError>;

    /// Keeps it.
    async fn put_look(&self, component: &str, look: &str, state: &LookState) -> Result<(), LogError>;
}
