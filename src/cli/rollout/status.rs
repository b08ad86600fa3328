//! `yizhan rollout list` and `status`.

use serde_json::Value;

use super::progress::Progress;
use crate::cli::client::{Client, Query, Remote};
use crate::cli::events::list::{all_pages, text};
use crate::cli::failure::Failure;
use crate::cli::table::Table;
use crate::cli::terminal::{Terminal, plain};

/// List rollouts, newest first.
#[derive(Debug, clap::Args)]
pub struct List {
    /// How many at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

impl List {
    /// Lists them.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        all(&self.remote.client()?, terminal, self.limit).await
    }
}

/// Tell how far one is and where its merchants stand.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Its id (`rol_…`); without it, all rollouts are listed, newest first.
    id: Option<String>,
    /// List its merchants.
    #[arg(long, requires = "id")]
    items: bool,
    /// List its merchants at that stage: queued, uploading, …, released, failed, rejected, cancelled, skipped.
    #[arg(long, value_name = "STAGE", requires = "id")]
    stage: Option<String>,
    /// How many rollouts or merchants at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

impl Status {
    /// Tells it.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = self.remote.client()?;
        match self.id {
            None => all(&client, terminal, self.limit).await,
            Some(id) if self.items || self.stage.is_some() => items(&client, terminal, &id, self.stage, self.limit).await,
            Some(id) => one(&client, terminal, &id).await,
        }
    }
}

async fn all(client: &Client, terminal: &Terminal, limit: usize) -> Result<(), Failure> {
    let list = all_pages(client, &["v1", "rollouts"], Query::new(), limit).await?;
    if terminal.json {
        return Ok(terminal.json(&list)?);
    }
    let mut table = Table::new(&["ID", "STATE", "COMPONENT", "VERSION", "UNTIL", "ENDED", "CREATED"]);
    for item in &list.items {
        let [id, state, component, version, until, created] =
            ["id", "state", "component", "version", "until", "created_at"].map(|member| text(item, member));
        let ended = Progress::read(item).map(|progress| format!("{} of {}", progress.ended(), progress.total)).unwrap_or_default();
        table.row([id, state, component, version, until, ended, created]);
    }
    table.print(terminal)?;
    list.say_if_more(terminal);
    Ok(())
}

async fn one(client: &Client, terminal: &Terminal, id: &str) -> Result<(), Failure> {
    let answer = client.get(&["v1", "rollouts", id], &Query::new()).await?;
    if terminal.json {
        return Ok(terminal.json(&answer)?);
    }
    tell(terminal, &Progress::read(&answer)?, &answer)
}

/// Tells how far it is: state, stages, and why some failed, wait or take no part.
pub fn tell(terminal: &Terminal, progress: &Progress, answer: &Value) -> Result<(), Failure> {
    terminal.data(plain(&format!("{}  {}", progress.id, progress.headline())))?;
    terminal.data(format!("{} of {}: {}", progress.ended(), progress.total, progress.stages()))?;
    let mut table = Table::new(&["STAGE", "COUNT", "REASON", "FOR EXAMPLE"]);
    let groups = ["reasons", "waits", "skips"].into_iter().filter_map(|name| answer.get(name)?.as_array());
    let groups: Vec<&Value> = groups.flatten().collect();
    for group in &groups {
        table.row(["stage", "count", "reason", "example"].map(|member| text(group, member)));
    }
    if !groups.is_empty() {
        table.print(terminal)?;
    }
    Ok(())
}

async fn items(client: &Client, terminal: &Terminal, id: &str, stage: Option<String>, limit: usize) -> Result<(), Failure> {
    let query = stage.map(|stage| ("stage", stage)).into_iter().collect();
    let list = all_pages(client, &["v1", "rollouts", id, "items"], query, limit).await?;
    if terminal.json {
        return Ok(terminal.json(&list)?);
    }
    print_items(terminal, &list.items)?;
    list.say_if_more(terminal);
    Ok(())
}

/// Merchants as a table.
pub fn print_items(terminal: &Terminal, items: &[Value]) -> std::io::Result<()> {
    let mut table = Table::new(&["AUTHORIZER", "STAGE", "UPDATED", "REASON"]);
    for item in items {
        table.row(["authorizer", "stage", "updated_at", "reason"].map(|member| text(item, member)));
    }
    table.print(terminal)
}
