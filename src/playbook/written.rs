//! Playbooks as JSON: as the API takes and shows them, as they are stored, and as `config` hands over what stands in the file.
//!
//! Reading finds every mistake at once, those of [`super::check`] among them. Nothing is read that is not known.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::check::{self, Mistake, Scope};
use super::{Condition, Deed, Operation, Playbook, Step, Tell};
use crate::event_type::Glob;
use crate::placeholder::Template;

/// Steps of a playbook at most.
const MOST_STEPS: usize = 64;

/// Longest name of a member that may be a misspelt one.
const LONGEST_MISSPELT: usize = 64;

/// Members of a playbook.
pub const MEMBERS: &[&str] = &["name", "on", "components", "when", "steps"];
const OF_A_STEP: &[&str] = &["operation", "with", "find", "tell", "text", "window", "approval"];

/// Reads a playbook and holds it against the deployment.
///
/// # Errors
/// Every mistake, each with its place.
pub fn read(source: &Map<String, Value>, scope: &Scope<'_>) -> Result<Playbook, Vec<Mistake>> {
    let (playbook, mut mistakes) = parse(source);
    let unreadable: Vec<String> = mistakes.iter().map(|told| told.at.clone()).collect();
    for mistake in check::mistakes(&playbook, scope) {
        // What could not be read at all is told already.
        let within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if !unreadable.iter().any(|told| within(told, &mistake.at) || within(&mistake.at, told)) {
            mistakes.push(mistake);
        }
    }
    if mistakes.is_empty() { Ok(playbook) } else { Err(mistakes) }
}

/// Reads one that was read before: only its form.
///
/// # Errors
/// It is none.
pub fn reread(source: &Value) -> Result<Playbook, Vec<Mistake>> {
    let (playbook, mistakes) = parse(source.as_object().unwrap_or(&Map::new()));
    if mistakes.is_empty() { Ok(playbook) } else { Err(mistakes) }
}

/// The playbook as JSON; [`read`] gives the same again.
#[must_use]
pub fn write(playbook: &Playbook) -> Value {
    let templates = |templates: &BTreeMap<String, Template>| -> Map<String, Value> {
        templates.iter().map(|(name, template)| (name.clone(), template.written())).collect()
    };
    let step = |step: &Step| {
        let mut written = Map::new();
        let mut put = |name: &str, value: Value| drop(written.insert(name.to_owned(), value));
        match &step.deed {
            Deed::Operation(operation) => {
                put("operation", operation.name.as_str().into());
                for (name, part) in [("with", &operation.with), ("find", &operation.find)] {
                    if !part.is_empty() {
                        put(name, Value::Object(templates(part)));
                    }
                }
            }
            Deed::Tell(tell) => {
                put("tell", tell.robot.as_str().into());
                tell.text.iter().for_each(|text| put("text", text.written()));
            }
        }
        step.window.iter().for_each(|window| put("window", window.to_string().into()));
        if step.approval {
            put("approval", true.into());
        }
        Value::Object(written)
    };
    let condition = |condition: &Condition| match condition {
        Condition::Exists(wanted) => json!({ "exists": wanted }),
        Condition::OneOf(values) => match values.as_slice() {
            [one] if !one.is_array() && !one.is_object() => one.clone(),
            values => Value::from(values.to_vec()),
        },
    };
    json!({
        "name": playbook.name,
        "on": playbook.on.iter().map(Glob::as_str).collect::<Vec<_>>(),
        "components": playbook.components,
        "when": playbook.when.iter().map(|(path, one)| (path.clone(), condition(one))).collect::<Map<_, _>>(),
        "steps": playbook.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

/// A reader of one object that notes every mistake.
struct Reader<'a> {
    source: &'a Map<String, Value>,
    /// Stands before the names: empty, or `steps[0].`.
    within: String,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    fn wrong(&mut self, name: &str, reason: impl Into<String>) {
        if self.mistakes.len() < check::MOST_MISTAKES {
            self.mistakes.push(Mistake { at: format!("{}{name}", self.within), reason: reason.into() });
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.source.get(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.wrong(name, "must be text");
                None
            }
        }
    }

    /// A list of texts, or one text; what the environment gives is joined with commas.
    fn texts(&mut self, name: &str) -> Vec<String> {
        let parts = |text: &str| text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
        let read = match self.get(name) {
            None => Some(Vec::new()),
            Some(Value::String(text)) => Some(parts(text)),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Some(_) => None,
        };
        read.unwrap_or_else(|| {
            self.wrong(name, "must be a list of texts");
            Vec::new()
        })
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.get(name) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.wrong(name, "must be true or false");
                false
            }
        }
    }

    fn templates(&mut self, name: &str) -> BTreeMap<String, Template> {
        let given = match self.get(name) {
            None => return BTreeMap::new(),
            Some(Value::Object(given)) => given.clone(),
            Some(_) => {
                self.wrong(name, format!("is no table; write {name} = {{ name = \"value\" }}"));
                return BTreeMap::new();
            }
        };
        given.iter().filter_map(|(member, value)| Some((member.clone(), self.template(&format!("{name}.{member}"), value)?))).collect()
    }

    fn template(&mut self, place: &str, value: &Value) -> Option<Template> {
        match Template::parse(value) {
            Ok(template) => Some(template),
            Err(mistakes) => {
                for mistake in mistakes {
                    let inner = if mistake.at.is_empty() { String::new() } else { format!(".{}", mistake.at) };
                    self.wrong(&format!("{place}{inner}"), mistake.reason);
                }
                None
            }
        }
    }

    fn refuse_unknown(&mut self, known: &[&str]) {
        for name in self.source.keys().filter(|name| !known.contains(&name.as_str())) {
            if self.mistakes.len() >= check::MOST_MISTAKES {
                return;
            }
            // Of an endless one the comparison takes as long, and as much memory.
            let alike = known.iter().filter(|_| name.len() <= LONGEST_MISSPELT);
            let nearest = alike.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
            let hint = match nearest {
                Some((distance, known)) if distance <= 3 => format!("did you mean `{known}`?"),
                _ => format!("known here: {}", known.join(", ")),
            };
            let reason = format!("is not known; {hint}");
            self.mistakes.push(Mistake { at: format!("{}{name}", self.within), reason });
        }
    }
}

/// Reads the form; what cannot be read gets a stand-in beside its mistake.
fn parse(source: &Map<String, Value>) -> (Playbook, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let mut reader = Reader { source, within: String::new(), mistakes: &mut mistakes };
    reader.refuse_unknown(MEMBERS);
    let playbook = Playbook {
        name: reader.text("name").unwrap_or_default(),
        on: reader.texts("on").into_iter().map(Glob::new).collect(),
        components: reader.texts("components"),
        when: conditions(&mut reader),
        steps: steps(&mut reader),
    };
    (playbook, mistakes)
}

fn conditions(reader: &mut Reader<'_>) -> BTreeMap<String, Condition> {
    let given = match reader.get("when") {
        None => return BTreeMap::new(),
        Some(Value::Object(given)) => given.clone(),
        Some(_) => {
            reader.wrong("when", "is no table; write when = { \"data.version\" = \"1.0.0\" }");
            return BTreeMap::new();
        }
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

fn steps(reader: &mut Reader<'_>) -> Vec<Step> {
    let given = match reader.get("steps") {
        None => return Vec::new(),
        Some(Value::Array(given)) if given.len() <= MOST_STEPS => given.clone(),
        Some(Value::Array(_)) => {
            reader.wrong("steps", format!("are more than {MOST_STEPS}"));
            return Vec::new();
        }
        Some(_) => {
            reader.wrong("steps", "is no list of steps");
            return Vec::new();
        }
    };
    let mut steps = Vec::new();
    for (index, step) in given.iter().enumerate() {
        let Value::Object(source) = step else {
            reader.wrong(&format!("steps[{index}]"), "is no step; write { operation = \"…\" }");
            continue;
        };
        let mut inner = Reader { source, within: format!("{}steps[{index}].", reader.within), mistakes: &mut *reader.mistakes };
        steps.push(one_step(&mut inner));
    }
    steps
}

fn one_step(reader: &mut Reader<'_>) -> Step {
    reader.refuse_unknown(OF_A_STEP);
    let window = reader.text("window").and_then(|text| {
        let window = text.parse().ok();
        if window.is_none() {
            reader.wrong("window", "is no time of day; write \"22:00-06:00\" (China time)");
        }
        window
    });
    let approval = reader.flag("approval");
    let deed = match reader.text("tell") {
        Some(robot) => {
            for name in ["operation", "with", "find"].into_iter().filter(|name| reader.source.contains_key(*name)) {
                reader.wrong(name, "does not stand beside `tell`: make it a step of its own");
            }
            let text = reader.get("text").cloned();
            let text = text.and_then(|text| match text {
                Value::String(_) => reader.template("text", &text),
                _ => {
                    reader.wrong("text", "must be text");
                    None
                }
            });
            Deed::Tell(Tell { robot, text })
        }
        None => {
            if reader.source.contains_key("text") {
                reader.wrong("text", "stands beside `tell` only");
            }
            let name = reader.text("operation").unwrap_or_default();
            Deed::Operation(Operation { name, with: reader.templates("with"), find: reader.templates("find") })
        }
    };
    Step { deed, window, approval }
}
