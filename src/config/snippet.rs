//! One file of playbooks held against a configuration that does not include it (yet), or read for a service that has the configuration:
//! `yizhan playbooks check FILE` and `put FILE`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Config, include, playbooks, robots};
use crate::outbound::Guard;
use crate::platform::Component;
use crate::playbook::Playbook;
use crate::settings::{Problem, Surroundings};

/// What a file holds.
pub struct Snippet {
    /// Its playbooks that are right.
    pub playbooks: Vec<Playbook>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// Reads the file as if the configuration included it. One that it includes already is read in its stead.
#[must_use]
pub fn snippet(config: &Config, file: &Path, surroundings: &Surroundings) -> Snippet {
    let mut included = match include::one(file, surroundings) {
        Ok(included) => included,
        Err(problem) => return Snippet { playbooks: Vec::new(), problems: vec![problem] },
    };
    let mut called: Vec<String> = config.robots.iter().map(|robot| robot.name.clone()).collect();
    let own = robots::read(&mut included.settings, &Guard::allowing(&config.fanout.allow_private), &[]);
    called.extend(own.into_iter().map(|robot| robot.name).filter(|name| !called.contains(name)).collect::<Vec<_>>());
    let components: Vec<Arc<dyn Component>> = config.components.iter().cloned().collect();
    let names: BTreeSet<String> = components.iter().map(|component| component.name().to_owned()).collect();
    let taken = config.subscriptions.iter().map(|one| one.name.clone()).collect();
    let mut around = playbooks::Around { names: &names, components: &components, robots: &called, taken };
    let playbooks = playbooks::read(&mut included.settings, &mut around);
    Snippet { playbooks, problems: included.finish() }
}

/// Reads the playbooks of a file as they are written, for a service that holds them against its own configuration. Robots are left aside: they are
/// the service's too, and their addresses are secrets that need not be known here.
///
/// # Errors
/// The file cannot be read, or is no file of playbooks.
pub fn written(file: &Path, surroundings: &Surroundings) -> Result<Vec<Map<String, Value>>, Vec<Problem>> {
    let mut included = include::one(file, surroundings).map_err(|problem| vec![problem])?;
    drop(included.settings.tables("robots"));
    let written = playbooks::written(&mut included.settings);
    let problems = included.finish();
    if problems.is_empty() { Ok(written) } else { Err(problems) }
}
