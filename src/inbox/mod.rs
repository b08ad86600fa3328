//! What arrived. [`Inbox::accept`] is the one door: open the push → (a ticket into the vault) → store event, dedupe key and deliveries
//! in one durable batch → acknowledge. Nothing else happens in the request; everything later is a worker that can be killed at any line.
//!
//! Called by `http` for pushes and by `reconcile` for facts found by polling. Never sends anything to anybody.

pub mod event;
pub mod log;
pub mod replay;

pub use event::{Event, EventFilter, EventId};
pub use log::{Accepted, Arrival, EventLog, LogError, Page, Position, Rejections};

use crate::platform::{Acknowledgement, Component, PushError, RawPush};

/// Why a push is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not a push of this component; kept among the rejected. The answer is what the platform or the contract wants.
    #[error("{0}")]
    Refused(PushError, Option<Acknowledgement>),
    /// The store did not take it: 503, never `success`.
    #[error("the push could not be stored: {0}")]
    Unavailable(#[from] LogError),
}

/// What reprocessing the rejected gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reprocessed {
    /// Opened and stored now.
    pub accepted: u64,
    /// Refused again.
    pub still_refused: u64,
}

/// The door.
pub struct Inbox {}

impl Inbox {
    /// Opens a push, makes it durable, and says what to answer.
    pub async fn accept(&self, component: &dyn Component, raw: RawPush) -> Result<Acknowledgement, Refusal> {
        unimplemented!()
    }

    /// A push over the size limit: remembered among the rejected without its body.
    pub async fn too_large(&self, component: &dyn Component) {
        unimplemented!()
    }

    /// Opens rejected pushes again: those of `ids`, or of a component, or all.
    pub async fn reprocess(&self, component: Option<&str>, ids: Option<&[String]>) -> Result<Reprocessed, LogError> {
        unimplemented!()
    }
}
