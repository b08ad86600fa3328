//! `yizhan rollout`: bring one template version to many merchants, watch how far it is, and steer it.
//!
//! Speaks the service API like any other caller. The rollout lives in the service: nothing here needs to keep running.

mod board;
mod progress;
mod start;
mod status;
mod steer;
mod watch;

use super::failure::Failure;
use super::terminal::Terminal;

/// Bring one template version to many merchants.
#[derive(Debug, clap::Subcommand)]
pub enum Rollout {
    /// Begin a rollout, or say what it would do.
    Start(Box<start::Start>),
    /// List rollouts, or tell how far one is and where its merchants stand.
    Status(status::Status),
    /// Watch a rollout until it ends.
    Watch(watch::Watch),
    /// Begin no further step; what is under way ends.
    Pause(steer::One),
    /// Go on after a pause, or after it stopped itself.
    Resume(steer::One),
    /// End it for good where it stands.
    Cancel(steer::Cancel),
    /// Try again for those merchants where it failed.
    Retry(steer::One),
}

impl Rollout {
    /// Carries it out.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::Start(command) => command.run(terminal).await,
            Self::Status(command) => command.run(terminal).await,
            Self::Watch(command) => command.run(terminal).await,
            Self::Pause(command) => command.run(terminal, "pause").await,
            Self::Resume(command) => command.run(terminal, "resume").await,
            Self::Cancel(command) => command.run(terminal).await,
            Self::Retry(command) => command.run(terminal, "retry").await,
        }
    }
}
