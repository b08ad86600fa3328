//! `yizhan check`: everything that is wrong with the configuration, at once, each with what to do.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::failure::{Failure, problem_text};
use super::surroundings::{Place, variables};
use super::terminal::{Look, Terminal};
use crate::config::Config;
use crate::settings::Problem;

/// Say everything that is wrong with the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 0: the service can start with it; 2: it cannot. Warnings do not change the exit code.")]
pub struct Check {}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    file: Option<String>,
    problems: &'a [Problem],
    warnings: &'a [Problem],
}

impl Check {
    /// Reads the configuration and tries its store's folder.
    pub fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let file = place.file();
        let (problems, warnings, components) = match Config::load(file.as_deref(), variables()) {
            Ok(config) => (unwritable(&config.store.path).into_iter().collect(), config.warnings(), config.components.iter().count()),
            Err(problems) => (problems, Vec::new(), 0),
        };
        if terminal.json {
            let name = file.as_ref().map(|file| file.display().to_string());
            terminal.json(&Report { ok: problems.is_empty(), file: name, problems: &problems, warnings: &warnings })?;
            return if problems.is_empty() { Ok(()) } else { Err(Failure::Told(2)) };
        }
        for warning in &warnings {
            terminal.say(format!("{} {}", terminal.paint_talk(Look::Warning, "warning:"), problem_text(None, warning).trim_end()));
        }
        if !problems.is_empty() {
            return Err(Failure::Configuration { file, problems });
        }
        let name = file.map_or_else(|| String::from("the built-in defaults and the environment"), |file| file.display().to_string());
        let components = if components == 1 { String::from("1 component") } else { format!("{components} components") };
        terminal.data(format!("{} {name}: {components}", terminal.paint(Look::Good, "ok")))?;
        Ok(())
    }
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
