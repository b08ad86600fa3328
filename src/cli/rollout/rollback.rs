//! `yizhan rollout rollback`.

use serde_json::{Value, json};

use super::progress::Progress;
use super::watch::seen;
use crate::cli::client::{Client, Query, Remote};
use crate::cli::events::list::{all_pages, text};
use crate::cli::failure::Failure;
use crate::cli::table::Table;
use crate::cli::terminal::{Terminal, plain};

/// Take back what it released, where that is still online.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The platform goes back to the version before; some platforms take minutes, or refuse a second one soon after. The rollout is\n\
    paused meanwhile. Exit code 0: begun, or, with --watch, everything was taken back; 1: some could not be."
)]
pub struct Rollback {
    /// Its id (`rol_…`).
    id: String,
    /// Watch until everything is taken back.
    #[arg(long)]
    watch: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Rollback {
    /// Takes it back.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let id = plain(&self.id);
        if !self.yes {
            let progress = Progress::read(&client.get(&["v1", "rollouts", &self.id], &Query::new()).await?)?;
            let left = progress.at("released").saturating_sub(progress.rolled_back);
            let question = format!("take {} back from {left} merchants to which {id} released it?", plain(&progress.version));
            terminal.confirm(&question, false).await?;
        }
        let answer = client.post(&["v1", "rollouts", &self.id, "rollback"], &json!({})).await?;
        if self.watch {
            return watch(terminal, &client, &self.id).await;
        }
        if terminal.json {
            return Ok(terminal.json(&answer)?);
        }
        let progress = Progress::read(&answer)?;
        let Progress { id: of, rolled_back, rollback_failed, .. } = &progress;
        let failed = if *rollback_failed > 0 { format!(", {rollback_failed} not") } else { String::new() };
        terminal.data(plain(&format!("{of}: {}; {rolled_back} taken back{failed}", progress.headline())))?;
        if progress.rolling_back {
            terminal.say(format!("it goes on in the service; see: yizhan rollout status {id}"));
        }
        Ok(())
    }
}

async fn watch(terminal: &Terminal, client: &Client, id: &str) -> Result<(), Failure> {
    let Some((progress, _)) = seen(terminal, client, id, |progress| !progress.rolling_back).await? else { return Err(Failure::Told(1)) };
    let released = vec![("stage", String::from("released"))];
    let items = all_pages(client, &["v1", "rollouts", id, "items"], released, usize::MAX).await?.items;
    let left: Vec<&Value> = items.iter().filter(|item| text(item, "rollback") == "failed").collect();
    if !terminal.json {
        terminal.data(plain(&format!("{}: {} of {} taken back", progress.id, progress.rolled_back, progress.at("released"))))?;
        if !left.is_empty() {
            let mut table = Table::new(&["AUTHORIZER", "NOT TAKEN BACK BECAUSE"]);
            for item in &left {
                table.row(["authorizer", "reason"].map(|member| text(item, member)));
            }
            table.print(terminal)?;
        }
    }
    if left.is_empty() { Ok(()) } else { Err(Failure::Told(1)) }
}
