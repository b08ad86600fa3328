//! `yizhan check`: everything that is wrong with the configuration, at once, each with what to do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::failure::{Failure, hinted, problem_text};
use super::surroundings::{Place, variables};
use super::terminal::{Look, Terminal};
use crate::app::{self, Conflicts, ExamineError};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::platform::Component;
use crate::settings::Problem;
use crate::vault::Mistaken;

/// Say everything that is wrong with the configuration.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0: the service can start with it; 2: it cannot. Warnings do not change the exit code.\nThe store is held against it too (master key, components, names of subscriptions and playbooks), but only while no service has it open: otherwise a warning says so.\nWith --store: 0 whole, 1 damaged or not to be read."
)]
pub struct Check {
    /// Read the whole store too, and say what of it is damaged or lost. The service must not run; the store is not changed.
    #[arg(long)]
    store: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    file: Option<String>,
    problems: &'a [Problem],
    warnings: &'a [Problem],
    components: &'a [Addresses],
}

/// What to type into a platform's console.
#[derive(Serialize)]
struct Addresses {
    component: String,
    platform: &'static str,
    authorization: String,
    message: String,
    authorized: String,
    /// Of the page that merchants come from.
    domain: String,
}

impl Addresses {
    fn of(config: &Config) -> Vec<Self> {
        let url = url::Url::parse(&config.server.public_url).ok();
        let domain = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
        let one = |component: &Arc<dyn Component>| {
            let base = format!("{}/callback/{}", config.server.public_url, component.name());
            Self {
                component: component.name().to_owned(),
                platform: component.platform().name(),
                authorization: format!("{base}/authorization"),
                message: format!("{base}/message"),
                authorized: format!("{base}/authorized"),
                domain: domain.to_owned(),
            }
        };
        config.components.iter().map(one).collect()
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\n{} ({}), for the platform's console:\n  authorization events  {}\n  messages and events   {}\n  redirect of a grant   {}\n  domain of grants      {}",
            self.component, self.platform, self.authorization, self.message, self.authorized, self.domain
        )
    }
}

impl Check {
    /// Reads the configuration and tries its store's folder.
    pub fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let file = place.file();
        let (problems, warnings, components) = match Config::load(file.as_deref(), variables()) {
            Ok(config) => {
                let (mut problems, mut warnings) = (Vec::from_iter(unwritable(&config.store.path)), config.warnings());
                if problems.is_empty() && !self.store {
                    hold_against_store(&config, &mut problems, &mut warnings)?;
                }
                (problems, warnings, Addresses::of(&config))
            }
            Err(mut problems) => {
                // What is wrong with the rest does not keep the folder from being tried: whoever mends it would only then hear of this.
                let folder = Config::store_folder(file.as_deref(), variables());
                problems.extend(folder.and_then(|folder| unwritable(&folder)));
                (problems, Vec::new(), Vec::new())
            }
        };
        if self.store && problems.is_empty() {
            return examine(terminal, &place.config()?);
        }
        if terminal.json {
            let name = file.as_ref().map(|file| file.display().to_string());
            terminal.json(&Report {
                ok: problems.is_empty(),
                file: name,
                problems: &problems,
                warnings: &warnings,
                components: &components,
            })?;
            return if problems.is_empty() { Ok(()) } else { Err(Failure::Told(2)) };
        }
        for warning in &warnings {
            terminal.say(format!("{} {}", terminal.paint_talk(Look::Warning, "warning:"), problem_text(None, warning).trim_end()));
        }
        if !problems.is_empty() {
            return Err(Failure::Configuration { file, problems });
        }
        let name = file.map_or_else(|| String::from("the built-in defaults and the environment"), |file| file.display().to_string());
        let count = if components.len() == 1 { String::from("1 component") } else { format!("{} components", components.len()) };
        terminal.data(format!("{} {name}: {count}", terminal.paint(Look::Good, "ok")))?;
        for addresses in components {
            terminal.data(addresses.to_string())?;
        }
        Ok(())
    }
}

/// Reads the store and tells what is damaged.
fn examine(terminal: &Terminal, config: &Config) -> Result<(), Failure> {
    let folder = config.store.path.display();
    terminal.say(format!("reading the whole store in {folder}"));
    let found = app::examine(config, Arc::new(SystemClock)).map_err(|error| hinted(error.to_string(), error.hint()));
    let found = found.map_err(anyhow::Error::from)?;
    if terminal.json {
        terminal.json(&serde_json::json!({ "ok": found.damage.is_empty(), "store": folder.to_string(), "found": found }))?;
    } else {
        for remark in &found.remarks {
            terminal.data(format!("note: {remark}"))?;
        }
        for finding in &found.damage {
            terminal.data(format!(
                "{} {}: {}\n  hint: {}",
                terminal.paint(Look::Bad, "damaged"),
                finding.part,
                finding.message,
                finding.hint
            ))?;
        }
        let count =
            format!("{} events, {} other records of the log, {} of the vault", found.events, found.log_records, found.vault_records);
        match found.damage.len() {
            0 => terminal.data(format!("{} {folder}: {count}", terminal.paint(Look::Good, "whole")))?,
            _ => terminal.data(format!("{folder}: {count} can be read"))?,
        }
    }
    if found.damage.is_empty() { Ok(()) } else { Err(Failure::Told(1)) }
}

/// Says what of the store would keep the service from starting with this configuration, or would be left alone by it.
fn hold_against_store(config: &Config, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) -> Result<(), Failure> {
    let told = |at: &str, message: String, hint: &str| Problem { at: at.to_owned(), line: None, message, hint: hint.to_owned() };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    match runtime.block_on(app::conflicts(config)) {
        Ok(None) => {}
        Ok(Some(found)) => {
            let at = |component: &str| format!("components.{component}");
            let Conflicts { identities, claimed } = found;
            problems.extend(identities.mistaken.iter().map(|one| told(&at(&one.component), one.to_string(), Mistaken::HINT)));
            let (refused, succeeded): (Vec<_>, Vec<_>) = claimed.iter().partition(|one| one.is_refused());
            problems.extend(refused.into_iter().map(|one| told(&one.place(), one.to_string(), one.hint())));
            warnings.extend(succeeded.into_iter().map(|one| told(&one.place(), one.to_string(), one.hint())));
            warnings.extend(identities.forgotten.iter().map(|one| told(&at(&one.component), one.to_string(), &one.hint())));
        }
        Err(ExamineError::InUse(folder)) => {
            let message = format!("is in use ({}), so that nothing in it was held against this configuration", folder.display());
            warnings.push(told("store.url", message, "`yizhan check` says more while no service runs on it"));
        }
        Err(error @ ExamineError::OtherKey(_)) => {
            problems.push(told("store.master_key", format!("does not open the store: {error}"), error.hint()));
        }
        Err(error @ ExamineError::Damaged(_)) => {
            problems.push(told("store.url", format!("cannot be opened: {error}"), error.hint()));
        }
        Err(error) => {
            let message = format!("could not be looked at, so that nothing in it was held against this configuration: {error}");
            warnings.push(told("store.url", message, error.hint()));
        }
    }
    Ok(())
}

/// Whether files can be made where the store is, or would be.
fn unwritable(folder: &Path) -> Option<Problem> {
    // An empty path is the present folder.
    let present = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    let nearest = folder.ancestors().map(present).find(|path| path.exists())?;
    let tried = if nearest.is_dir() { tempfile::tempfile_in(&nearest).map(drop) } else { Err(std::io::ErrorKind::NotADirectory.into()) };
    tried.err().map(|error| Problem {
        at: String::from("store.url"),
        line: None,
        message: format!("cannot be written: {}: {error}", nearest.display()),
        hint: String::from("give the user that runs the service a folder of its own, or name another one"),
    })
}
