//! `yizhan playbooks`: those that a service has, and everything that is wrong with those of a file before anybody runs them.

use std::path::PathBuf;

use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Client, Query, Remote};
use super::events::list::{all_pages, text};
use super::failure::{Failure, hint_of, is_invalid, is_temporary};
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
    A FILE needs no configuration here then: the service says what is wrong with it.\n\
    Exit code 0: all is right; 1: merchants lack variables, or the service does not say; 2: there are mistakes.")]
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

/// What was read here.
struct Found {
    /// The playbooks as the service takes them.
    playbooks: Vec<Value>,
    /// Everything that is wrong.
    problems: Vec<Problem>,
    /// The file that the problems are of.
    file: Option<PathBuf>,
    /// Why the playbooks of a file could not be held against a configuration here, where they could not: what a service says of them is all
    /// that is known.
    unheld: Option<Vec<Problem>>,
}

impl Found {
    /// Reads the playbooks of a file, or of the configuration.
    fn read(file: Option<&PathBuf>, place: &Place) -> Self {
        let configuration = Config::load(place.file().as_deref(), variables());
        let written = |playbooks: &[Playbook]| playbooks.iter().map(written::write).collect();
        let Some(file) = file else {
            let (playbooks, problems) = match configuration {
                Ok(config) => (written(&config.playbooks), Vec::new()),
                // Everything else that is wrong with the configuration is `yizhan check`'s to say, as long as playbooks could be held against it.
                Err(problems) => (Vec::new(), problems),
            };
            return Self { playbooks, problems, file: place.file(), unheld: None };
        };
        let surroundings = Surroundings { variables: std::sync::Arc::new(variables()), ..Surroundings::default() };
        let (playbooks, problems, unheld) = match configuration {
            Ok(config) => {
                let found = config::snippet(&config, file, &surroundings);
                (written(&found.playbooks), found.problems, None)
            }
            Err(unusable) => match config::written(file, &surroundings) {
                Ok(sources) => (sources.into_iter().map(Value::Object).collect(), Vec::new(), Some(unusable)),
                Err(problems) => (Vec::new(), problems, None),
            },
        };
        Self { playbooks, problems, file: Some(file.clone()), unheld }
    }

    fn names(&self) -> Vec<&str> {
        self.playbooks.iter().map(name_of).collect()
    }

    /// Says who is going to find mistakes.
    fn say_if_unheld(&self, terminal: &Terminal) {
        if self.unheld.is_some() {
            terminal.say("there is no usable configuration here: the service alone says what is wrong");
        }
    }
}

fn name_of(playbook: &Value) -> &str {
    playbook.get("name").and_then(Value::as_str).unwrap_or_default()
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
    /// Those of which the service could not say which merchants lack what.
    #[serde(skip_serializing_if = "<[Unsaid]>::is_empty")]
    unsaid: &'a [Unsaid],
}

/// A playbook of which the service could not say which merchants lack a variable.
#[derive(Serialize)]
struct Unsaid {
    playbook: String,
    error: String,
    hint: String,
}

/// What a service said.
#[derive(Default)]
struct Said {
    /// By playbook, which merchants lack what.
    merchants: Vec<Value>,
    unsaid: Vec<Unsaid>,
}

impl Check {
    async fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let mut found = Found::read(self.file.as_ref(), place);
        let client = self.remote.optional()?;
        if client.is_none()
            && let Some(unusable) = found.unheld.take()
        {
            // Nobody can say anything of them.
            (found.problems, found.file) = (unusable, place.file());
        }
        let said = match client {
            Some(client) if found.problems.is_empty() => {
                found.say_if_unheld(terminal);
                Some(ask(&client, &mut found).await)
            }
            _ => None,
        };
        let lacks = |one: &Value| one.get("lacking").and_then(Value::as_u64).unwrap_or_default() > 0;
        let is_open = said.as_ref().is_some_and(|said| said.merchants.iter().any(lacks) || !said.unsaid.is_empty());
        if terminal.json {
            let ok = found.problems.is_empty() && !is_open;
            let merchants = said.as_ref().map(|said| said.merchants.as_slice());
            let unsaid = said.as_ref().map(|said| said.unsaid.as_slice()).unwrap_or_default();
            terminal.json(&Report { ok, playbooks: found.names(), problems: &found.problems, merchants, unsaid })?;
            return match (found.problems.is_empty(), is_open) {
                (false, _) => Err(Failure::Told(2)),
                (true, true) => Err(Failure::Told(1)),
                (true, false) => Ok(()),
            };
        }
        if !found.problems.is_empty() {
            return Err(Failure::Configuration { file: found.file, problems: found.problems });
        }
        // What is known here is told whatever the service says. Of what could not be held against anything here nothing is.
        for playbook in found.playbooks.iter().filter(|playbook| found.unheld.is_none() || !is_unsaid(said.as_ref(), playbook)) {
            let count = playbook.get("steps").and_then(Value::as_array).map_or(0, Vec::len);
            let steps = if count == 1 { "step" } else { "steps" };
            terminal.data(plain(&format!("{} {}: {count} {steps}", terminal.paint(Look::Good, "ok"), name_of(playbook))))?;
        }
        let Some(said) = said else {
            terminal.say("merchants' variables were not looked at: that takes a running service (YIZHAN_API_KEY, --url)");
            return Ok(());
        };
        tell(terminal, &said.merchants, self.limit)?;
        for unsaid in said.unsaid.chunk_by(|one, next| one.error == next.error) {
            let names = unsaid.iter().map(|one| one.playbook.as_str()).collect::<Vec<_>>().join(", ");
            for Unsaid { error, hint, .. } in unsaid.iter().take(1) {
                terminal.say(format!("{}: the service does not say which merchants lack a variable: {error}", plain(&names)));
                if !hint.is_empty() {
                    terminal.say(format!("hint: {hint}"));
                }
            }
        }
        if is_open { Err(Failure::Told(1)) } else { Ok(()) }
    }
}

fn is_unsaid(said: Option<&Said>, playbook: &Value) -> bool {
    said.is_some_and(|said| said.unsaid.iter().any(|unsaid| unsaid.playbook == name_of(playbook)))
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

/// The configuration here has what the service does not know.
const RESTART: &str =
    "it is right by the configuration here, and the service runs with another one: new robots and components it knows after a restart";

/// Asks the service who lacks a variable. What is wrong by its word alone is a mistake where nothing could be held against a configuration here.
async fn ask(client: &Client, found: &mut Found) -> Said {
    let mut said = Said::default();
    let mut waiting = found.playbooks.iter();
    for playbook in waiting.by_ref() {
        let error = match client.preview(&["v1", "playbooks", "check"], playbook).await {
            Ok(mut answer) => {
                if let Some(members) = answer.as_object_mut() {
                    members.insert(String::from("playbook"), Value::from(name_of(playbook)));
                }
                said.merchants.push(answer);
                continue;
            }
            Err(error) => error,
        };
        let unsaid = |playbook: &Value, hint: &str| Unsaid {
            playbook: name_of(playbook).to_owned(),
            error: format!("{error:#}"),
            hint: hint.to_owned(),
        };
        match (is_invalid(&error), &found.unheld) {
            (true, Some(_)) => found.problems.push(Problem {
                at: format!("playbooks.{}", name_of(playbook)),
                line: None,
                message: format!("is refused by the service: {error:#}"),
                hint: hint_of(&error).to_owned(),
            }),
            (true, None) => said.unsaid.push(unsaid(playbook, RESTART)),
            (false, _) => said.unsaid.push(unsaid(playbook, hint_of(&error))),
        }
        if is_temporary(&error) {
            // The others would fare no better.
            said.unsaid.extend(waiting.map(|left| unsaid(left, hint_of(&error))));
            break;
        }
    }
    said
}

impl Put {
    async fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let found = Found::read(Some(&self.file), place);
        if !found.problems.is_empty() {
            return Err(Failure::Configuration { file: found.file, problems: found.problems });
        }
        let client = self.remote.client()?;
        found.say_if_unheld(terminal);
        let mut written = Vec::new();
        for playbook in &found.playbooks {
            let name = name_of(playbook);
            written.push(client.ask(Method::PUT, &["v1", "playbooks", name], playbook).await?);
            if !terminal.json {
                terminal.data(plain(&format!("{name}: written")))?;
            }
        }
        if terminal.json {
            terminal.json(&json!({"items": written}))?;
        }
        Ok(())
    }
}
