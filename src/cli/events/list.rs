//! `yizhan events list`, and how lists of the service are read page by page.

use serde::Serialize;
use serde_json::Value;

use super::Which;
use crate::cli::client::{Client, Query, Remote};
use crate::cli::failure::Failure;
use crate::cli::table::Table;
use crate::cli::terminal::{Look, Terminal};

/// List events, newest first.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    which: Which,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Where an earlier list ended (`next_cursor`).
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl List {
    /// Lists them.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let mut query = self.which.query()?;
        query.extend(self.cursor.map(|cursor| ("cursor", cursor)));
        let list = all_pages(&self.remote.client()?, &["v1", "events"], query, self.limit).await?;
        if terminal.json {
            terminal.json(&list)?;
            return Ok(());
        }
        let mut table = Table::new(&["RECEIVED", "TYPE", "COMPONENT", "AUTHORIZER", "VENDOR TYPE", "ID"]);
        for event in &list.items {
            let [received, kind, authorizer, vendor, id] =
                ["receivedat", "type", "subject", "vendortype", "id"].map(|member| text(event, member));
            table.row([received, kind, component(event), authorizer, vendor, id]);
        }
        table.print(terminal)?;
        list.say_if_more(terminal);
        Ok(())
    }
}

/// A list as far as it was read.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// The items.
    pub items: Vec<Value>,
    /// Where the next page starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Listed {
    /// Tells people that they do not see everything.
    pub fn say_if_more(&self, terminal: &Terminal) {
        if self.next_cursor.is_some() {
            terminal.say(terminal.paint_talk(Look::Faint, "there are more: say --limit with a larger number"));
        }
    }
}

/// One page.
pub async fn page(client: &Client, path: &[&str], query: &Query, cursor: Option<&str>, limit: usize) -> anyhow::Result<Listed> {
    let mut query: Query = match cursor {
        // A cursor carries the filters it was made with.
        Some(cursor) => vec![("cursor", cursor.to_owned())],
        None => query.clone(),
    };
    query.push(("limit", limit.to_string()));
    let mut body = client.get(path, &query).await?;
    let items = match body.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => anyhow::bail!("the answer is not a list"),
    };
    let next_cursor = Some(text(&body, "next_cursor")).filter(|cursor| !cursor.is_empty());
    anyhow::ensure!(next_cursor.is_none() || next_cursor.as_deref() != cursor, "the list goes round in a circle");
    Ok(Listed { items, next_cursor })
}

/// Largest page that the service gives.
pub const LARGEST: usize = 500;

/// As many pages as `limit` items need.
pub async fn all_pages(client: &Client, path: &[&str], query: Query, limit: usize) -> anyhow::Result<Listed> {
    let mut list = page(client, path, &query, None, limit.clamp(1, LARGEST)).await?;
    while list.items.len() < limit
        && let Some(cursor) = list.next_cursor.take()
    {
        let next = page(client, path, &query, Some(&cursor), (limit - list.items.len()).min(LARGEST)).await?;
        list.items.extend(next.items);
        list.next_cursor = next.next_cursor;
    }
    Ok(list)
}

/// A member as text; empty when it is absent or null.
pub fn text(item: &Value, member: &str) -> String {
    match item.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The component of an event.
pub fn component(event: &Value) -> String {
    let source = text(event, "source");
    source.strip_prefix("/components/").unwrap_or(&source).to_owned()
}
