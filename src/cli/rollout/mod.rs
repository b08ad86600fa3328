//! `yizhan rollout`: bring one template version to many merchants, watch how far it is, steer it, and take it back.
//!
//! Speaks the service API like any other caller. The rollout lives in the service: nothing here needs to keep running.

pub mod board;
pub mod progress;
mod rollback;
mod start;
mod status;
mod steer;
mod watch;

use super::failure::Failure;
use super::one::{Cancel, One};
use super::terminal::Terminal;
use steer::steer;

/// Bring one template version to many merchants.
#[derive(Debug, clap::Subcommand)]
pub enum Rollout {
    /// Say who would take part, and who would not and why; nothing is sent.
    Plan(Box<start::Plan>),
    /// Begin a rollout.
    Start(Box<start::Start>),
    /// List rollouts, newest first.
    List(status::List),
    /// Tell how far one is and where its merchants stand.
    Status(status::Status),
    /// Watch a rollout until it ends.
    Watch(watch::Watch),
    /// Begin no further step; what is under way ends.
    Pause(One),
    /// Go on after a pause, or after it stopped itself.
    Resume(One),
    /// End it for good where it stands.
    Cancel(Cancel),
    /// Try again for those merchants where it failed.
    Retry(One),
    /// Take back what it released, where that is still online.
    Rollback(rollback::Rollback),
}

impl Rollout {
    /// Carries it out.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::Plan(command) => command.run(terminal).await,
            Self::Start(command) => command.run(terminal).await,
            Self::List(command) => command.run(terminal).await,
            Self::Status(command) => command.run(terminal).await,
            Self::Watch(command) => command.run(terminal).await,
            Self::Pause(one) => steer(terminal, one, "pause").await,
            Self::Resume(one) => steer(terminal, one, "resume").await,
            Self::Cancel(cancel) => steer(terminal, cancel.confirmed(terminal).await?, "cancel").await,
            Self::Retry(one) => steer(terminal, one, "retry").await,
            Self::Rollback(command) => command.run(terminal).await,
        }
    }
}
