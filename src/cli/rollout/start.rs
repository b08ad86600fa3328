//! `yizhan rollout plan` and `start`: flags or a file become the body of `POST /v1/rollouts`. What is wrong with it, the service says.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::progress::groups;
use super::status::print_items;
use super::watch::watch;
use crate::cli::client::{Client, Remote};
use crate::cli::events::list::text;
use crate::cli::failure::{Failure, hinted};
use crate::cli::terminal::{Look, Terminal, plain};

/// What a rollout is to do: the members of its body.
#[derive(Debug, clap::Args)]
struct Wanted {
    /// Component name.
    component: Option<String>,
    /// A file with the members of the body: JSON, or TOML where its name ends in .toml. Flags stand over it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The template's id.
    #[arg(long, value_name = "ID")]
    template: Option<String>,
    /// The version text that the merchants get.
    #[arg(long, value_name = "VERSION")]
    release: Option<String>,
    /// What is new.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Everybody who granted.
    #[arg(long, group = "whom")]
    all: bool,
    /// This merchant; may be said several times.
    #[arg(long, group = "whom", value_name = "APP ID")]
    authorizer: Vec<String>,
    /// Those with this tag.
    #[arg(long, group = "whom")]
    tag: Option<String>,
    /// Those whose released version is this one.
    #[arg(long, group = "whom", value_name = "VERSION")]
    released: Option<String>,
    /// A variable of the template's parameters, as NAME=VALUE; JSON where it is JSON, else text. May be said several times.
    #[arg(long, value_name = "NAME=VALUE")]
    variable: Vec<String>,
    /// How far: uploaded, in_audit or released.
    #[arg(long, value_name = "STAGE")]
    until: Option<String>,
    /// Merchants worked on at a time.
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<u32>,
    /// Steps begun per second at most.
    #[arg(long, value_name = "NUMBER")]
    rate: Option<f64>,
    /// So many merchants must arrive before the others begin.
    #[arg(long, value_name = "NUMBER")]
    canary: Option<u32>,
    /// So many merchants begin together, the next ones when all of them have ended.
    #[arg(long, value_name = "NUMBER")]
    batch: Option<u32>,
    /// Stop when more than this percentage failed.
    #[arg(long, value_name = "PERCENT")]
    stop_above: Option<u8>,
    /// Hours in which it releases, China time, as in 22:00-06:00.
    #[arg(long, value_name = "HOURS")]
    window: Option<String>,
}

/// Say who would take part, and who would not and why; nothing is sent.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every parameter is checked and every missing variable is named, merchant by merchant. Merchants go to standard output; with\n\
    --json the service's whole answer does. For example:\n  \
    yizhan rollout plan douyin --template 9133504853504530001 --release 2.0.1 --description 'spring menu' --all\n  \
    yizhan rollout plan --file rollout.toml --json"
)]
pub struct Plan {
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    remote: Remote,
}

/// Begin a rollout.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What it would do is counted and asked about first; --yes does not ask. It runs in the service, whoever watches it.\n\
    For example:\n  \
    yizhan rollout start douyin --template 9133504853504530001 --release 2.0.1 --description 'spring menu' --tag north --canary 5\n  \
    yizhan rollout start --file rollout.toml --watch --yes"
)]
pub struct Start {
    #[command(flatten)]
    wanted: Wanted,
    /// Only say who takes part, and who does not and why: `rollout plan`.
    #[arg(long, conflicts_with = "watch")]
    dry_run: bool,
    /// Watch it until it ends.
    #[arg(long)]
    watch: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// A repeated request with the same key begins no second rollout.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Plan {
    /// Says it.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let body = self.wanted.body()?;
        tell_preview(terminal, &preview(&self.remote.client()?, body).await?)
    }
}

impl Start {
    /// Begins it.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let mut body = self.wanted.body()?;
        let client = self.remote.client()?;
        let is_dry = self.dry_run || body.get("dry_run") == Some(&Value::Bool(true));
        if is_dry || !self.yes {
            let preview = preview(&client, body.clone()).await?;
            if is_dry {
                return tell_preview(terminal, &preview);
            }
            let (partakers, skipped) = counted(&preview);
            let version = plain(&text(&Value::Object(body.clone()), "version"));
            let question = format!("bring {version} to {partakers} merchants ({skipped} take no part)?");
            terminal.confirm(&question, false).await?;
        }
        body.insert(String::from("dry_run"), false.into());
        let started = begin(&client, &Value::Object(body), self.idempotency_key.as_deref()).await?;
        let id = plain(&text(&started, "id"));
        if !self.watch {
            if terminal.json {
                terminal.json(&started)?
            } else {
                terminal.data(&id)?
            }
            terminal.say(terminal.paint_talk(Look::Faint, &format!("it runs in the service; see: yizhan rollout watch {id}")));
            return Ok(());
        }
        watch(terminal, &client, &id).await
    }
}

impl Wanted {
    /// The members of the body that were given.
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = match &self.file {
            Some(file) => read(file)?,
            None => Map::new(),
        };
        let whom = match (self.all, &self.tag, &self.released) {
            (true, ..) => Some(json!("all")),
            (_, Some(tag), _) => Some(json!({ "tag": tag })),
            (_, _, Some(version)) => Some(json!({ "version": version })),
            _ if !self.authorizer.is_empty() => Some(json!(self.authorizer)),
            _ => None,
        };
        let members = [
            ("component", self.component.as_ref().map(|text| json!(text))),
            ("template_id", self.template.as_ref().map(|text| json!(text))),
            ("version", self.release.as_ref().map(|text| json!(text))),
            ("description", self.description.as_ref().map(|text| json!(text))),
            ("authorizers", whom),
            ("until", self.until.as_ref().map(|text| json!(text))),
            ("concurrency", self.concurrency.map(|number| json!(number))),
            ("rate", self.rate.map(|number| json!(number))),
            ("canary", self.canary.map(|number| json!(number))),
            ("batch", self.batch.map(|number| json!(number))),
            ("stop_above_failed_percent", self.stop_above.map(|number| json!(number))),
            ("window", self.window.as_ref().map(|text| json!(text))),
        ];
        body.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        for variable in &self.variable {
            let (name, value) = variable.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                Failure::usage(format!("--variable: `{variable}` has no name"), "write NAME=VALUE, as in --variable shop=42")
            })?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
            match body.entry("variables").or_insert_with(|| json!({})) {
                Value::Object(variables) => drop(variables.insert(name.to_owned(), value)),
                _ => return Err(Failure::usage("`variables` in the file is no table", "write names with values")),
            }
        }
        let missing: Vec<&str> = NEEDED.iter().filter(|(name, _)| !body.contains_key(*name)).map(|(_, flag)| *flag).collect();
        if !missing.is_empty() {
            return Err(Failure::usage(format!("missing: {}", missing.join(", ")), "say them, or --file with a body that has them"));
        }
        Ok(body)
    }
}

const PATH: [&str; 2] = ["v1", "rollouts"];

/// Without these nobody can mean anything, and how they are said here.
const NEEDED: [(&str, &str); 5] = [
    ("component", "COMPONENT"),
    ("template_id", "--template"),
    ("version", "--release"),
    ("description", "--description"),
    ("authorizers", "whom (--all, --authorizer, --tag or --released)"),
];

fn read(file: &Path) -> Result<Map<String, Value>, Failure> {
    let shown = file.display();
    let content =
        std::fs::read_to_string(file).map_err(|error| Failure::usage(format!("--file {shown}: {error}"), "name a readable file"))?;
    let is_toml = file.extension().is_some_and(|extension| extension == "toml");
    let read = match is_toml {
        true => toml::from_str(&content).map_err(|error| error.to_string()),
        false => serde_json::from_str(&content).map_err(|error| error.to_string()),
    };
    read.map_err(|error| Failure::usage(format!("--file {shown}: {error}"), "write the members of POST /v1/rollouts; see `yizhan openapi`"))
}

/// What it would do, by the service's word.
async fn preview(client: &Client, mut body: Map<String, Value>) -> anyhow::Result<Value> {
    body.insert(String::from("dry_run"), true.into());
    client.preview(&PATH, &Value::Object(body)).await
}

async fn begin(client: &Client, body: &Value, key: Option<&str>) -> anyhow::Result<Value> {
    let headers: Vec<_> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
    let (_, answer) = client.post_any(&PATH, body, &headers).await?;
    let answer: Value = serde_json::from_slice(&answer).context("the answer is not JSON")?;
    if text(&answer, "id").is_empty() {
        return Err(hinted("the answer names no rollout", "see what there is: yizhan rollout status").into());
    }
    Ok(answer)
}

/// Those who take part, and those who do not.
fn counted(preview: &Value) -> (u64, u64) {
    let number = |name: &str| preview.get(name).and_then(Value::as_u64).unwrap_or_default();
    let skipped = number("skipped");
    (number("total").saturating_sub(skipped), skipped)
}

fn tell_preview(terminal: &Terminal, preview: &Value) -> Result<(), Failure> {
    if terminal.json {
        return Ok(terminal.json(preview)?);
    }
    let (partakers, skipped) = counted(preview);
    if let Some(items) = preview.get("items").and_then(Value::as_array) {
        print_items(terminal, items)?;
    }
    terminal.say(format!("{partakers} merchants take part, {skipped} do not; nothing was sent"));
    for (reason, count, example) in groups(preview, "reasons") {
        terminal.say(plain(&format!("  {count} × {reason} (for example {example})")));
    }
    Ok(())
}
