//! `[[playbooks]]` of the file. What a playbook must be is `playbook`'s to say; places and hints for people who write files are ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::event_type::Glob;
use crate::fanout::Subscription;
use crate::placeholder::Template;
use crate::platform::Component;
use crate::playbook::{Condition, Playbook, Step, check};
use crate::settings::Settings;

const HINT: &str = "see docs/playbooks.md; `yizhan call COMPONENT --list` names the operations";

/// Reads all of them. `names` are those of all components, `components` those that are valid.
pub(super) fn read(
    root: &mut Settings,
    names: &BTreeSet<String>,
    components: &[Arc<dyn Component>],
    subscriptions: &[Subscription],
) -> Vec<Playbook> {
    let rows: Vec<&dyn Component> = components.iter().map(AsRef::as_ref).collect();
    let mut playbooks: Vec<Playbook> = Vec::new();
    for mut table in root.tables("playbooks") {
        let name = table.text("name").unwrap_or_default();
        if !name.is_empty() {
            table.rename(&format!("playbooks.{name}"));
        }
        let taken = subscriptions.iter().map(|one| &one.name).chain(playbooks.iter().map(|one| &one.name)).any(|other| *other == name);
        if taken && !name.is_empty() {
            table.problem("name", "is the name of another playbook or subscription too", "give each a name of its own");
        }
        let playbook = Playbook {
            name,
            on: table.texts("on").into_iter().map(Glob::new).collect(),
            components: table.texts("components"),
            when: conditions(&mut table),
            steps: steps(&mut table),
        };
        for mistake in check::mistakes(&playbook, &rows) {
            // A component whose own settings are wrong is told there.
            let named = mistake.at == "components" && playbook.components.iter().all(|name| names.contains(name));
            if !named && !table.is_faulty(&mistake.at) {
                table.problem(&mistake.at, mistake.reason, HINT);
            }
        }
        root.problems(table.finish());
        playbooks.push(playbook);
    }
    playbooks
}

fn conditions(table: &mut Settings) -> BTreeMap<String, Condition> {
    let Some(given) = table.json("when") else { return BTreeMap::new() };
    let Value::Object(given) = given else {
        table.problem("when", "is no table", "write when = { \"data.version\" = \"1.0.0\" }");
        return BTreeMap::new();
    };
    let condition = |value: Value| match value {
        Value::Object(map) if map.len() == 1 && map.get("exists").is_some_and(Value::is_boolean) => {
            Condition::Exists(map.get("exists") == Some(&Value::Bool(true)))
        }
        Value::Array(values) => Condition::OneOf(values),
        value => Condition::OneOf(vec![value]),
    };
    given.into_iter().map(|(path, value)| (path, condition(value))).collect()
}

fn steps(table: &mut Settings) -> Vec<Step> {
    let mut steps = Vec::new();
    for mut step in table.tables("steps") {
        let window = step.optional_text("window").and_then(|text| {
            let window = text.parse().ok();
            if window.is_none() {
                step.problem("window", "is no time of day", "write window = \"22:00-06:00\" (China time)");
            }
            window
        });
        steps.push(Step {
            operation: step.text("operation").unwrap_or_default(),
            with: templates(&mut step, "with"),
            find: templates(&mut step, "find"),
            window,
            approval: step.flag_or("approval", false),
        });
        table.problems(step.finish());
    }
    steps
}

fn templates(step: &mut Settings, key: &str) -> BTreeMap<String, Template> {
    let Some(given) = step.json(key) else { return BTreeMap::new() };
    let Value::Object(given) = given else {
        step.problem(key, "is no table", format!("write {key} = {{ name = \"value\" }}"));
        return BTreeMap::new();
    };
    let mut templates = BTreeMap::new();
    for (name, value) in given {
        match Template::parse(&value) {
            Ok(template) => {
                templates.insert(name, template);
            }
            Err(mistakes) => {
                for mistake in mistakes {
                    let inner = if mistake.at.is_empty() { String::new() } else { format!(".{}", mistake.at) };
                    step.problem(&format!("{key}.{name}{inner}"), mistake.reason, HINT);
                }
            }
        }
    }
    templates
}
