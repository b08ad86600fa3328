//! `yizhan authorizers`: the merchants' mini programs of a component.

use serde_json::Value;

use super::client::{Query, Remote};
use super::events::list::{all_pages, text};
use super::failure::Failure;
use super::table::Table;
use super::terminal::Terminal;

/// List the authorizers of a component.
#[derive(Debug, clap::Args)]
pub struct Authorizers {
    /// Component name.
    component: String,
    /// How many at most.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

impl Authorizers {
    /// Lists them.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let list = all_pages(&client, &["v1", "components", &self.component, "authorizers"], Query::new(), self.limit).await?;
        if terminal.json {
            terminal.json(&list)?;
            return Ok(());
        }
        let mut table = Table::new(&["APP ID", "NAME", "STATE", "RELEASED", "IN AUDIT", "TOKEN UNTIL", "LAST EVENT"]);
        for item in &list.items {
            table.row([
                text(item, "app_id"),
                text(item, "name"),
                text(item, "state"),
                version(item, "released"),
                version(item, "in_audit"),
                text(item, "token_expires_at"),
                text(item, "last_event_at"),
            ]);
        }
        table.print(terminal)?;
        list.say_if_more(terminal);
        Ok(())
    }
}

/// The number of the version in that place; its package's id where the vendor told no number.
fn version(item: &Value, place: &str) -> String {
    let note = item.get("versions").and_then(|versions| versions.get(place)).cloned().unwrap_or_default();
    match text(&note, "version") {
        version if version.is_empty() => text(&note, "package_id"),
        version => version,
    }
}
