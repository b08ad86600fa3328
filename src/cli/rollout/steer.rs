//! `yizhan rollout pause|resume|cancel|retry`.

use serde_json::json;

use super::progress::Progress;
use crate::cli::client::Remote;
use crate::cli::failure::Failure;
use crate::cli::terminal::{Terminal, plain};

/// Which rollout.
#[derive(Debug, clap::Args)]
pub struct One {
    /// Its id (`rol_…`).
    id: String,
    #[command(flatten)]
    remote: Remote,
}

/// End it for good where it stands.
#[derive(Debug, clap::Args)]
pub struct Cancel {
    #[command(flatten)]
    one: One,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl One {
    /// Does that to it.
    pub async fn run(self, terminal: &Terminal, verb: &'static str) -> Result<(), Failure> {
        let answer = self.remote.client()?.post(&["v1", "rollouts", &self.id, verb], &json!({})).await?;
        if terminal.json {
            return Ok(terminal.json(&answer)?);
        }
        terminal.data(plain(&match Progress::read(&answer) {
            Ok(progress) => format!("{}: {}", self.id, progress.headline()),
            Err(_) => format!("{}: {verb} done", self.id),
        }))?;
        Ok(())
    }
}

impl Cancel {
    /// Ends it.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        terminal.confirm(&format!("cancel {} for good? What it did stays done.", plain(&self.one.id)), self.yes)?;
        self.one.run(terminal, "cancel").await
    }
}
