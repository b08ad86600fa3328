//! Carries out bulk replays: looks through the log at the job's rate, enqueues what fits, remembers how far it came.

use std::sync::Arc;

use crate::inbox::event::EventFilter;
use crate::inbox::log::LogError;
use crate::inbox::replay::{Replay, ReplayState};
use crate::shutdown::Shutdown;

/// The replay jobs.
pub struct Replays {}

impl Replays {
    /// How many events fit: the preview.
    pub async fn preview(&self, filter: &EventFilter) -> Result<u64, LogError> {
        unimplemented!()
    }

    /// Makes a job and starts it.
    pub async fn start(&self, filter: EventFilter, subscription: Option<String>, rate: u32) -> Result<Replay, LogError> {
        unimplemented!()
    }

    /// One job with deliveries delivered and dead.
    pub async fn replay(&self, id: &str) -> Result<Option<(Replay, u64, u64)>, LogError> {
        unimplemented!()
    }

    /// Pauses, resumes or cancels; `None` when there is no such job. A finished job stays as it is.
    pub async fn set_state(&self, id: &str, state: ReplayState) -> Result<Option<Replay>, LogError> {
        unimplemented!()
    }

    /// Carries out what runs, and what ran before a restart, until shutdown.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        unimplemented!()
    }
}
