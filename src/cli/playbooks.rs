//! `yizhan playbooks`: those that a service has, and everything that is wrong with those of a file before anybody runs them.

use std::path::PathBuf;

use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Client, Query, Remote};
use super::events::list::{all_pages, text};
use super::failure::Failure;
use super::surroundings::{Place, variables};
use super::table::Table;
use super::terminal::{Look, Terminal, plain};
use crate::config::{self, Config};
use crate::playbook::{Playbook, written};
use crate::settings::{Problem, Surroundings};

/// Playbooks.
#[derive(Debug, clap::Subcommand)]
pub enum Playbooks {
    /// List the playbooks of a service.
    List(List),
    /// Print one playbook.
    Show(One),
    /// Say everything that is wrong with playbooks, and which merchants lack a variable that they need.
    Check(Check),
    /// Make or replace playbooks by API: all of a file.
    Put(Put),
    /// Delete a playbook made by API; its runs end where they stand.
    Delete(Delete),
}

/// List the playbooks of a service.
#[derive(Debug, clap::Args)]
pub struct List {
    /// How many at most.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

/// Which playbook.
#[derive(Debug, clap::Args)]
pub struct One {
    /// Its name.
    name: String,
    #[command(flatten)]
    remote: Remote,
}

/// Say everything that is wrong with playbooks.
#[derive(Debug, clap::Args)]
#[command(after_help = "With an API key (YIZHAN_API_KEY or --key) the running service is asked which merchants lack a variable.\n\
    Exit code 0: all is right; 1: merchants lack variables; 2: there are mistakes.")]
pub struct Check {
    /// A file with [[playbooks]], as in deploy/playbooks; without it, those of the configuration.
    file: Option<PathBuf>,
    /// Merchants without a variable that are listed at most; all are counted.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

/// Make or replace playbooks by API.
#[derive(Debug, clap::Args)]
pub struct Put {
    /// A file with [[playbooks]]. Its robots stay in the configuration: their addresses are secrets.
    file: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

/// Delete a playbook made by API.
#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    one: One,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Playbooks {
    /// Carries it out.
    pub async fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(terminal).await,
            Self::Show(one) => {
                let shown = one.remote.client()?.get(&["v1", "playbooks", &one.name], &Query::new()).await?;
                Ok(terminal.document(&shown)?)
            }
            Self::Check(check) => check.run(terminal, place).await,
            Self::Put(put) => put.run(terminal, place).await,
            Self::Delete(Delete { one, yes }) => {
                let question = format!("delete the playbook {}? What waits for it is cancelled, its runs end.", plain(&one.name));
                terminal.confirm(&question, yes).await?;
                one.remote.client()?.delete(&["v1", "playbooks", &one.name]).await?;
                if terminal.json {
                    return Ok(terminal.json(&json!({"deleted": one.name}))?);
                }
                Ok(terminal.data(plain(&format!("{}: deleted", one.name)))?)
            }
        }
    }
}

impl List {
    async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let list = all_pages(&self.remote.client()?, &["v1", "playbooks"], Query::new(), self.limit).await?;
        if terminal.json {
            return Ok(terminal.json(&list)?);
        }
        let words = |item: &Value, member: &str| {
            let all = item.get(member).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            all.collect::<Vec<_>>().join(", ")
        };
        let mut table = Table::new(&["NAME", "ON", "COMPONENTS", "STEPS", "SOURCE", "STATE", "MISTAKES"]);
        for item in &list.items {
            let count = |member: &str| item.get(member).and_then(Value::as_array).map_or(0, Vec::len);
            let components = Some(words(item, "components")).filter(|names| !names.is_empty()).unwrap_or_else(|| String::from("all"));
            let mistakes = Some(count("mistakes")).filter(|count| *count > 0).map(|count| count.to_string()).unwrap_or_default();
            let [name, source, state] = ["name", "source", "state"].map(|member| text(item, member));
            table.row([name, words(item, "on"), components, count("steps").to_string(), source, state, mistakes]);
        }
        table.print(terminal)?;
        list.say_if_more(terminal);
        Ok(())
    }
}

/// The playbooks of a file, or of the configuration, and everything that is wrong.
fn read(file: Option<&PathBuf>, place: &Place) -> Result<(Vec<Playbook>, Vec<Problem>), Failure> {
    let Some(file) = file else {
        return match Config::load(place.file().as_deref(), variables()) {
            Ok(config) => Ok((config.playbooks, Vec::new())),
            // Everything else that is wrong with the configuration is `yizhan check`'s to say, as long as playbooks could be held against it.
            Err(problems) => Ok((Vec::new(), problems)),
        };
    };
    let config = place.config()?;
    let surroundings = Surroundings { variables: std::sync::Arc::new(variables()), ..Surroundings::default() };
    let found = config::snippet(&config, file, &surroundings);
    Ok((found.playbooks, found.problems))
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    playbooks: Vec<&'a str>,
    problems: &'a [Problem],
    /// One for each playbook; absent where no service was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    merchants: Option<&'a [Value]>,
}

impl Check {
    async fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let (playbooks, problems) = read(self.file.as_ref(), place)?;
        let merchants = match self.remote.optional()? {
            Some(client) if problems.is_empty() => Some(ask(&client, &playbooks).await?),
            _ => None,
        };
        let lacking = merchants.iter().flatten().any(|one| one.get("lacking").and_then(Value::as_u64).unwrap_or_default() > 0);
        if terminal.json {
            let names = playbooks.iter().map(|one| one.name.as_str()).collect();
            let ok = problems.is_empty() && !lacking;
            terminal.json(&Report { ok, playbooks: names, problems: &problems, merchants: merchants.as_deref() })?;
            return match (problems.is_empty(), lacking) {
                (false, _) => Err(Failure::Told(2)),
                (true, true) => Err(Failure::Told(1)),
                (true, false) => Ok(()),
            };
        }
        if !problems.is_empty() {
            return Err(Failure::Configuration { file: self.file.or_else(|| place.file()), problems });
        }
        for playbook in &playbooks {
            let steps = if playbook.steps.len() == 1 { "step" } else { "steps" };
            terminal.data(plain(&format!("{} {}: {} {steps}", terminal.paint(Look::Good, "ok"), playbook.name, playbook.steps.len())))?;
        }
        let Some(merchants) = merchants else {
            terminal.say("merchants' variables were not looked at: that takes a running service (YIZHAN_API_KEY, --url)");
            return Ok(());
        };
        tell(terminal, &merchants, self.limit)?;
        if lacking { Err(Failure::Told(1)) } else { Ok(()) }
    }
}

/// Which merchants lack what, by playbook.
fn tell(terminal: &Terminal, merchants: &[Value], limit: usize) -> Result<(), Failure> {
    let mut table = Table::new(&["PLAYBOOK", "COMPONENT", "AUTHORIZER", "LACKS"]);
    let mut rows = 0;
    for one in merchants {
        let name = text(one, "playbook");
        let [asked, lacking] = ["authorizers", "lacking"].map(|member| text(one, member));
        terminal.data(plain(&format!("{name}: {lacking} of {asked} merchants lack a variable")))?;
        for item in one.get("items").and_then(Value::as_array).into_iter().flatten().take(limit.saturating_sub(rows)) {
            let names = item.get("variables").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            table.row([name.clone(), text(item, "component"), text(item, "authorizer"), names.collect::<Vec<_>>().join(", ")]);
            rows += 1;
        }
    }
    if rows > 0 {
        table.print(terminal)?;
        terminal.say("note them with: yizhan authorizers attributes COMPONENT APP_ID --set NAME=VALUE");
    }
    Ok(())
}

/// Asks the service who lacks a variable.
async fn ask(client: &Client, playbooks: &[Playbook]) -> Result<Vec<Value>, Failure> {
    let mut answers = Vec::new();
    for playbook in playbooks {
        let mut answer = client.post(&["v1", "playbooks", "check"], &written::write(playbook)).await?;
        if let Some(members) = answer.as_object_mut() {
            members.insert(String::from("playbook"), Value::from(playbook.name.as_str()));
        }
        answers.push(answer);
    }
    Ok(answers)
}

impl Put {
    async fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let (playbooks, problems) = read(Some(&self.file), place)?;
        if !problems.is_empty() {
            return Err(Failure::Configuration { file: Some(self.file), problems });
        }
        let client = self.remote.client()?;
        let mut written = Vec::new();
        for playbook in &playbooks {
            written.push(client.ask(Method::PUT, &["v1", "playbooks", &playbook.name], &written::write(playbook)).await?);
            if !terminal.json {
                terminal.data(plain(&format!("{}: written", playbook.name)))?;
            }
        }
        if terminal.json {
            terminal.json(&json!({"items": written}))?;
        }
        Ok(())
    }
}
