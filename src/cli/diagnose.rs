//! `yizhan diagnose`: which key, token and variant open a captured push, or exactly which step fails.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::failure::{Failure, hinted};
use super::surroundings::Place;
use super::terminal::{Look, Terminal, plain};
use crate::clock::{Clock, SystemClock};
use crate::platform::diagnose::Diagnosis;
use crate::platform::{Component, Door, capture};

/// Say which key, token and variant open a captured push, or which step fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "FILE is a saved HTTP request, a JSON object with headers, query and body (or body_base64), or the bare body with \
    its headers given by --header. Exit code 0: something opens it; 1: nothing does.")]
pub struct Diagnose {
    /// The captured push; - for standard input.
    file: PathBuf,
    /// Only with the keys of this component; without it with those of every component.
    #[arg(long)]
    component: Option<String>,
    /// Which address it came to, where the file does not say.
    #[arg(long, value_enum)]
    door: Option<Address>,
    /// A header that came with it: `Name: value`. Can be given again.
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
}

/// The two addresses of a component.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Address {
    /// …/authorization.
    Authorization,
    /// …/message.
    Message,
}

/// What `--json` prints, per component.
#[derive(serde::Serialize)]
struct Found<'a> {
    component: &'a str,
    platform: &'a str,
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
}

impl Diagnose {
    /// Tries everything and tells each step.
    pub fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let config = place.config()?;
        let components: Vec<&Arc<dyn Component>> = match &self.component {
            Some(name) => vec![config.components.named(name).ok_or_else(|| {
                let known: Vec<&str> = config.components.iter().map(|component| component.name()).collect();
                Failure::usage(format!("there is no component `{name}`"), format!("components: {}", known.join(", ")))
            })?],
            None => config.components.iter().collect(),
        };
        if components.is_empty() {
            return Err(Failure::usage("the configuration has no components", "add the application whose push this is as [[components]]"));
        }
        let door = self.door.map(|door| match door {
            Address::Authorization => Door::Authorization,
            Address::Message => Door::Message,
        });
        let headers = self.header.iter().map(|text| capture::header(text)).collect::<Result<Vec<_>, _>>();
        let headers = headers.map_err(|error| Failure::usage(format!("--header: {error}"), "write --header 'KwaiSign: 0123'"))?;
        let raw = capture::read(&read(&self.file)?, door, &headers, SystemClock.now())
            .map_err(|error| hinted(format!("{}: {error}", self.file.display()), "save it again as it came, byte for byte"))
            .map_err(anyhow::Error::from)?;

        let found: Vec<(&Arc<dyn Component>, Diagnosis)> =
            components.into_iter().map(|component| (component, component.diagnose(&raw))).collect();
        let opens = found.iter().any(|(_, diagnosis)| diagnosis.opens);
        if terminal.json {
            let all: Vec<Found<'_>> = found
                .iter()
                .map(|(component, diagnosis)| Found { component: component.name(), platform: component.platform().name(), diagnosis })
                .collect();
            terminal.json(&serde_json::json!({ "opens": opens, "components": all }))?;
        } else {
            // Where one opens it, the failures of the others say nothing.
            for (component, diagnosis) in found.iter().filter(|(_, diagnosis)| diagnosis.opens || !opens) {
                tell(terminal, component.as_ref(), diagnosis)?;
            }
        }
        if opens { Ok(()) } else { Err(Failure::Told(1)) }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
        return Ok(bytes);
    }
    std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

fn tell(terminal: &Terminal, component: &dyn Component, diagnosis: &Diagnosis) -> std::io::Result<()> {
    let title = format!("{} ({})", component.name(), component.platform().title().en);
    terminal.data(terminal.paint(Look::Strong, &title))?;
    for step in &diagnosis.steps {
        let mark = if step.ok { terminal.paint(Look::Good, "ok  ") } else { terminal.paint(Look::Bad, "no  ") };
        terminal.data(format!("  {mark}{}: {}", plain(&step.step), plain(&step.detail)))?;
    }
    if let Some(content) = &diagnosis.content {
        terminal.data("  content, secrets masked:")?;
        for line in format!("{content:#}").lines() {
            terminal.data(format!("    {line}"))?;
        }
    }
    match (diagnosis.opens, diagnosis.proposal.is_empty()) {
        (true, true) => terminal.data("  It opens with the present settings."),
        (true, false) => terminal.data("  It opens with other settings. Write for this component:"),
        (false, true) => terminal.data("  Nothing opens it."),
        (false, false) => terminal.data("  Nothing opens it. Try for this component:"),
    }?;
    diagnosis.proposal.iter().try_for_each(|line| terminal.data(format!("    {}", plain(line))))
}
