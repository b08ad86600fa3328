//! `yizhan authorizers`: the merchants' mini programs of a component, and what is noted about them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Query, Remote};
use super::events::list::{all_pages, text};
use super::failure::Failure;
use super::table::Table;
use super::terminal::Terminal;

/// List the authorizers of a component.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Authorizers {
    #[command(flatten)]
    list: List,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Tags and variables of authorizers: listed, shown, changed, or read from a file.
    Attributes(Attributes),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Component name.
    #[arg(required = true)]
    component: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, clap::Args)]
struct Attributes {
    /// Component name.
    component: String,
    /// App id; without one: all, or those of the file.
    app_id: Option<String>,
    /// Add a tag.
    #[arg(long, value_name = "TAG", requires = "app_id")]
    tag: Vec<String>,
    /// Take a tag away.
    #[arg(long, value_name = "TAG", requires = "app_id")]
    untag: Vec<String>,
    /// Set a variable: JSON, or else text.
    #[arg(long, value_name = "NAME=VALUE", requires = "app_id")]
    set: Vec<String>,
    /// Take a variable away.
    #[arg(long, value_name = "NAME", requires = "app_id")]
    unset: Vec<String>,
    /// Note what a file says, all of it or nothing per 1000: a JSON object {"authorizer", "tags", "variables"} on each line.
    #[arg(long, value_name = "FILE", conflicts_with = "app_id")]
    file: Option<PathBuf>,
    /// With --file: add to what is noted instead of replacing it.
    #[arg(long, requires = "file")]
    merge: bool,
    /// List only authorizers with this tag.
    #[arg(long, value_name = "TAG", conflicts_with_all = ["app_id", "file"])]
    tagged: Option<String>,
    /// How many to list at most.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

/// Authorizers that the service takes in one request.
const MOST_AT_ONCE: usize = 1000;

impl Authorizers {
    /// Lists them, or does what is said about them.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self.command {
            Some(Command::Attributes(attributes)) => attributes.run(terminal).await,
            None => self.list.run(terminal).await,
        }
    }
}

impl Attributes {
    async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        if let Some(file) = &self.file {
            let items = read(file)?;
            let client = self.remote.client()?;
            let mode = if self.merge { "merge" } else { "replace" };
            let mut changed = 0;
            let mut progress = terminal.progress();
            for some in items.chunks(MOST_AT_ONCE) {
                progress.at(&format!("{changed} of {} authorizers", items.len()));
                client.post(&["v1", "components", &self.component, "attributes"], &json!({"mode": mode, "items": some})).await?;
                changed += some.len();
            }
            drop(progress);
            if terminal.json {
                terminal.json(&json!({"changed": changed}))?;
            } else {
                terminal.data(format!("{changed} authorizers noted"))?;
            }
            return Ok(());
        }
        let mut variables = Map::new();
        for pair in &self.set {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("`{pair}` is no NAME=VALUE"), "write --set shop=小店 or --set count=3"))?;
            variables.insert(name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)));
        }
        variables.extend(self.unset.iter().map(|name| (name.clone(), Value::Null)));
        let client = self.remote.client()?;
        let Some(app_id) = &self.app_id else {
            let query: Query = self.tagged.into_iter().map(|tag| ("tag", tag)).collect();
            let list = all_pages(&client, &["v1", "components", &self.component, "attributes"], query, self.limit).await?;
            if terminal.json {
                terminal.json(&list)?;
                return Ok(());
            }
            let mut table = Table::new(&["APP ID", "TAGS", "VARIABLES"]);
            for item in &list.items {
                let tags: Vec<&str> = item["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                table.row([text(item, "authorizer"), tags.join(", "), text(item, "variables")]);
            }
            table.print(terminal)?;
            list.say_if_more(terminal);
            return Ok(());
        };
        let path = ["v1", "components", &self.component, "authorizers", app_id, "attributes"];
        let noted = if variables.is_empty() && self.tag.is_empty() && self.untag.is_empty() {
            client.get(&path, &Query::new()).await?
        } else {
            let change = json!({"add_tags": self.tag, "remove_tags": self.untag, "variables": variables});
            client.ask(Method::PATCH, &path, &change).await?
        };
        Ok(terminal.document(&noted)?)
    }
}

/// One JSON object per line, or one JSON list of them.
fn read(file: &Path) -> Result<Vec<Value>, Failure> {
    let content = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    if content.trim_start().starts_with('[') {
        let items = serde_json::from_str(&content).with_context(|| format!("{} is no JSON list", file.display()))?;
        return Ok(items);
    }
    let lines = content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let items: anyhow::Result<Vec<Value>> = lines
        .map(|(index, line)| serde_json::from_str(line).with_context(|| format!("{}, line {}: no JSON", file.display(), index + 1)))
        .collect();
    Ok(items?)
}

impl List {
    async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let component = self.component.unwrap_or_default();
        let list = all_pages(&client, &["v1", "components", &component, "authorizers"], Query::new(), self.limit).await?;
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
