//! `yizhan reconcile`: asks a component's platform now for what lost pushes would have told, and shows what that found.

use serde_json::{Value, json};

use super::client::Remote;
use super::events::list::text;
use super::failure::Failure;
use super::table::Table;
use super::terminal::Terminal;

/// Ask a component's platform now for what lost pushes would have told.
#[derive(Debug, clap::Args)]
pub struct Reconcile {
    /// Component name.
    component: String,
    #[command(flatten)]
    remote: Remote,
}

impl Reconcile {
    /// Asks, and shows each look.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let answer: Value = client.post(&["v1", "components", &self.component, "reconcile"], &json!({})).await?;
        if terminal.json {
            terminal.json(&answer)?;
            return Ok(());
        }
        let mut table = Table::new(&["LOOK", "ASKED", "FOUND", "IN ALL", "WAITING", "NOT SEEN BECAUSE"]);
        let number = |look: &Value, member: &str| look.get(member).and_then(Value::as_u64).map(|n| n.to_string()).unwrap_or_default();
        for (name, look) in answer.get("looks").and_then(Value::as_object).into_iter().flatten() {
            table.row([
                name.clone(),
                number(look, "asked"),
                number(look, "found"),
                number(look, "found_in_all"),
                number(look, "waiting"),
                text(look, "error"),
            ]);
        }
        table.print(terminal)?;
        Ok(())
    }
}
