//! `yizhan runs`: how far playbooks have come, step by step; a step that waits for a person is approved here.

use serde_json::Value;

use super::client::{Query, Remote};
use super::events::list::{all_pages, text};
use super::failure::Failure;
use super::one::{Cancel, One};
use super::table::Table;
use super::terminal::{Terminal, plain};

/// Runs of playbooks.
#[derive(Debug, clap::Subcommand)]
pub enum Runs {
    /// List runs, newest event first.
    List(List),
    /// Print one run with its steps.
    Show(One),
    /// Approve the step that a run waits with.
    Approve(One),
    /// Stop a run for good; what it did stays done.
    Cancel(Cancel),
}

/// List runs, newest event first.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Of that playbook.
    #[arg(long)]
    playbook: Option<String>,
    /// Of that component.
    #[arg(long)]
    component: Option<String>,
    /// Of that authorizer (app id).
    #[arg(long)]
    authorizer: Option<String>,
    /// In that state: running, waiting_for_window, waiting_for_approval, done, failed, cancelled.
    #[arg(long)]
    state: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

impl Runs {
    /// Carries it out.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(terminal).await,
            Self::Show(one) => {
                let run = one.remote.client()?.get(&["v1", "runs", &one.id], &Query::new()).await?;
                tell(terminal, &run)
            }
            Self::Approve(one) => tell(terminal, &one.ask("runs", "approve").await?),
            Self::Cancel(cancel) => tell(terminal, &cancel.confirmed(terminal).await?.ask("runs", "cancel").await?),
        }
    }
}

impl List {
    async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let given = [("playbook", self.playbook), ("component", self.component), ("authorizer", self.authorizer), ("state", self.state)];
        let query: Query = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let list = all_pages(&self.remote.client()?, &["v1", "runs"], query, self.limit).await?;
        if terminal.json {
            return Ok(terminal.json(&list)?);
        }
        let mut table = Table::new(&["UPDATED", "PLAYBOOK", "COMPONENT", "AUTHORIZER", "STATE", "STEPS", "ID", "REASON"]);
        for run in &list.items {
            let [updated, playbook, component, authorizer, state, id, reason] =
                ["updated_at", "playbook", "component", "authorizer", "state", "id", "reason"].map(|member| text(run, member));
            table.row([updated, playbook, component, authorizer, state, steps(run), id, reason]);
        }
        table.print(terminal)?;
        list.say_if_more(terminal);
        Ok(())
    }
}

/// How many steps are done, of how many.
fn steps(run: &Value) -> String {
    let all = run.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    format!("{}/{}", all.iter().filter(|step| step.get("done_at").is_some_and(Value::is_string)).count(), all.len())
}

fn tell(terminal: &Terminal, run: &Value) -> Result<(), Failure> {
    if terminal.json {
        return Ok(terminal.json(run)?);
    }
    let of = |member: &str| text(run, member);
    terminal.data(plain(&format!("{}  {}  {}", of("id"), of("playbook"), of("state"))))?;
    terminal.data(plain(&format!("{} {}, event {}, updated {}", of("component"), of("authorizer"), of("event_id"), of("updated_at"))))?;
    if !of("reason").is_empty() {
        terminal.data(plain(&of("reason")))?;
    }
    let mut table = Table::new(&["STEP", "OPERATION", "BEGUN", "DONE", "APPROVED BY", "RESULT"]);
    for (index, step) in run.get("steps").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let [operation, begun, done, approved, result] =
            ["operation", "begun_at", "done_at", "approved_by", "result"].map(|member| text(step, member));
        table.row([(index + 1).to_string(), operation, begun, done, approved, result.chars().take(RESULT).collect()]);
    }
    table.print(terminal)?;
    Ok(())
}

/// Characters of a result in a table; `--json` shows all of it.
const RESULT: usize = 80;
