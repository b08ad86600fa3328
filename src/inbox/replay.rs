//! Bulk replay: stored events sent again, as a durable job that can be watched, paused, cancelled and resumed after a restart.

use crate::clock::Timestamp;

use super::event::EventFilter;
use super::log::LogError;

/// Jobs kept that are over. Each is read where it is asked what runs.
pub const MOST_ENDED: usize = 1000;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// Enqueuing.
    Running,
    /// Stopped by a person; goes on when resumed.
    Paused,
    /// Everything that matched was enqueued.
    Done,
    /// Stopped by a person for good.
    Cancelled,
}

impl ReplayState {
    /// Whether it is over: done or cancelled.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

/// A replay job.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Replay {
    /// `rpl_…`.
    pub id: String,
    /// Which events; `until` is always set, at the latest to the moment of creation, so a replay never chases its own tail.
    pub filter: EventFilter,
    /// To whom; `None`: every subscription that matches each event.
    pub subscription: Option<String>,
    /// Events enqueued per second at most.
    pub rate: u32,
    /// Where it stands.
    pub state: ReplayState,
    /// Events that fit when it was made.
    pub matched: u64,
    /// Deliveries enqueued so far.
    pub enqueued: u64,
    /// Events that could not be read, and were passed over.
    #[serde(default)]
    pub unreadable: u64,
    /// Sequence of the last event looked at; the next pass starts behind it.
    pub cursor: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was over. Missing in what was stored before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// Where jobs are kept.
#[async_trait::async_trait]
pub trait ReplayLog: Send + Sync {
    /// Stores a job, new or changed, durably. With one that is over, those that ended longest ago are forgotten, down to [`MOST_ENDED`] with it.
    async fn save(&self, replay: &Replay) -> Result<(), LogError>;
    /// One job.
    async fn replay(&self, id: &str) -> Result<Option<Replay>, LogError>;
    /// All jobs, newest first, at most 200.
    async fn replays(&self) -> Result<Vec<Replay>, LogError>;
    /// All that run or are paused.
    async fn live(&self) -> Result<Vec<Replay>, LogError>;
    /// How many deliveries of that job were delivered and how many are dead.
    async fn outcome(&self, id: &str) -> Result<(u64, u64), LogError>;
}
