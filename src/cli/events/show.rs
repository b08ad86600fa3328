//! `yizhan events show`.

use crate::cli::client::{Query, Remote};
use crate::cli::failure::Failure;
use crate::cli::terminal::Terminal;

/// Print one event in full.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The event (`evt_…`).
    id: String,
    #[command(flatten)]
    remote: Remote,
}

impl Show {
    /// Prints it; indented for people, on one line with `--json`.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let event = self.remote.client()?.get(&["v1", "events", &self.id], &Query::new()).await?;
        Ok(terminal.document(&event)?)
    }
}
