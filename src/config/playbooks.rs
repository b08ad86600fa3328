//! `[[playbooks]]` of the file. What a playbook must be is `playbook`'s to say; places and hints for people who write files are ours.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::platform::Component;
use crate::playbook::check::Scope;
use crate::playbook::{Playbook, written};
use crate::settings::Settings;

const HINT: &str = "see docs/playbooks.md; `yizhan call COMPONENT --list` names the operations";

/// What playbooks are held against.
pub(super) struct Around<'a> {
    /// Names of all components.
    pub names: &'a BTreeSet<String>,
    /// Those that are valid.
    pub components: &'a [Arc<dyn Component>],
    /// Names of robots.
    pub robots: &'a [String],
    /// Names of subscriptions and of playbooks that were read before.
    pub taken: BTreeSet<String>,
}

/// Reads all of them.
pub(super) fn read(root: &mut Settings, around: &mut Around<'_>) -> Vec<Playbook> {
    let rows: Vec<&dyn Component> = around.components.iter().map(AsRef::as_ref).collect();
    let scope = Scope { components: &rows, robots: around.robots };
    let mut playbooks = Vec::new();
    for mut table in root.tables("playbooks") {
        let name = table.text("name").unwrap_or_default();
        if !name.is_empty() {
            table.rename(&format!("playbooks.{name}"));
            if !around.taken.insert(name) {
                table.problem("name", "is the name of another playbook or subscription too", "give each a name of its own");
            }
        }
        let (source, lines) = source(&mut table);
        match written::read(&source, &scope) {
            Ok(playbook) => playbooks.push(playbook),
            Err(mistakes) => {
                // A component whose own settings are wrong is told there.
                let all_named = source
                    .get("components")
                    .and_then(Value::as_array)
                    .is_some_and(|given| given.iter().all(|name| name.as_str().is_some_and(|name| around.names.contains(name))));
                for mistake in mistakes.into_iter().filter(|mistake| !(mistake.at == "components" && all_named)) {
                    if !table.is_faulty(&mistake.at) {
                        table.problem_at(&mistake.at, line_of(&mistake.at, &lines), mistake.reason, HINT);
                    }
                }
            }
        }
        root.problems(table.finish());
    }
    playbooks
}

/// Those of a file as they are written, held against nothing but the form of a file.
pub(super) fn written(root: &mut Settings) -> Vec<Map<String, Value>> {
    let mut all = Vec::new();
    for mut table in root.tables("playbooks") {
        if let Some(name) = table.text("name") {
            table.rename(&format!("playbooks.{name}"));
        }
        all.push(source(&mut table).0);
        root.problems(table.finish());
    }
    all
}

/// The playbook as JSON, and the line of each step.
fn source(table: &mut Settings) -> (Map<String, Value>, Vec<Option<usize>>) {
    let mut source = Map::new();
    for key in written::MEMBERS.iter().filter(|key| **key != "steps") {
        if let Some(value) = table.json(key) {
            source.insert((*key).to_owned(), value);
        }
    }
    let (mut steps, mut lines) = (Vec::new(), Vec::new());
    for mut step in table.tables("steps") {
        lines.push(step.line());
        let members = step.keys().into_iter().filter_map(|key| Some((key.clone(), step.json(&key)?)));
        steps.push(Value::Object(members.collect()));
        table.problems(step.finish());
    }
    source.insert(String::from("steps"), Value::Array(steps));
    (source, lines)
}

/// The line of the step that a place is in.
fn line_of(at: &str, lines: &[Option<usize>]) -> Option<usize> {
    let (index, _) = at.strip_prefix("steps[")?.split_once(']')?;
    *lines.get(index.parse::<usize>().ok()?)?
}
