//! Holds a playbook against the components' rows when it is loaded: all mistakes at once, each with its place.
//!
//! Asked by `config`. Pure. What only a run can know (which variables a merchant has) is said by the run before anything is sent.

use serde_json::Value;

use super::{Deed, Playbook, Step};
use crate::event_type::Glob;
use crate::placeholder::{self, Template};
use crate::platform::Component;
use crate::platform::operation::{Bearer, Kind, Operation};

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `on`, `steps[0].operation`, `steps[1].with.version`.
    pub at: String,
    /// Why, and what would be right.
    pub reason: String,
}

/// A name that would hide an address.
const CHECK: &str = "check";
/// Longest name of a playbook, and as much of other words as a message repeats.
const MOST_NAME_BYTES: usize = 64;
/// Patterns of event types, and names of variables that its steps need.
const MOST_PATTERNS: usize = 32;
const MOST_VARIABLES: usize = 256;
/// Mistakes that are told: a text of a megabyte has room for a hundred thousand, each of which is held against those before it.
pub(super) const MOST_MISTAKES: usize = 100;
/// Bytes of a value with placeholders at most, as it is written. A constant may be longer: it holds a picture, and is used once.
const MOST_TEMPLATE_BYTES: usize = crate::attributes::MOST_BYTES;

/// What the events of an audit tell of the step that follows them: of which operation, for which parameter, and where it stands.
const TOLD_BY_AUDITS: [(&str, &str, &str); 1] = [("package.release", "version", "event.data.version")];

/// A parameter that a step may leave out where its platform requires it: the event tells it. With the place where it does.
#[must_use]
pub fn told(operation: &str) -> Option<(&'static str, &'static str)> {
    TOLD_BY_AUDITS.iter().find(|(name, ..)| *name == operation).map(|(_, parameter, place)| (*parameter, *place))
}

/// What playbooks are held against.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// All components of this deployment.
    pub components: &'a [&'a dyn Component],
    /// Names of its robots.
    pub robots: &'a [String],
}

/// Every mistake.
#[must_use]
pub fn mistakes(playbook: &Playbook, scope: &Scope<'_>) -> Vec<Mistake> {
    let components = scope.components;
    let mut found = Found(Vec::new());
    let name = &playbook.name;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    if name.is_empty() || name.len() > MOST_NAME_BYTES || name.trim() != name || !name.chars().all(plain) || name.starts_with("yizhan-") {
        found.add("name", format!("is no name: 1 to {MOST_NAME_BYTES} bytes of letters, digits, spaces, `-`, `_` and `.`, not `yizhan-…`"));
    }
    if matches!(name.as_str(), "." | "..") {
        found.add("name", "consists of dots alone, which is no address");
    }
    if name == CHECK {
        found.add("name", format!("is a word of the API: /v1/playbooks/{CHECK}"));
    }
    if playbook.on.is_empty() {
        found.add("on", "names no event type");
    }
    if playbook.on.len() > MOST_PATTERNS {
        found.add("on", format!("holds more than {MOST_PATTERNS} patterns"));
    }
    for glob in playbook.on.iter().filter(|glob| glob.as_str().len() > MOST_NAME_BYTES || !glob.wants_any()) {
        found.add("on", format!("{:?} matches no event type", shortened(glob.as_str())));
    }
    for path in playbook.when.keys().filter(|path| !placeholder::is_name(path)) {
        found.add(format!("when.{path}"), "is no path into the event; write authorizer or data.version");
    }
    for unknown in playbook.components.iter().filter(|name| !components.iter().any(|component| component.name() == name.as_str())) {
        found.add("components", format!("there is no component {:?}", shortened(unknown)));
    }
    if playbook.components.len() > components.len() {
        found.add("components", "names more than there are");
    }
    let needed = playbook.variables().len();
    if needed > MOST_VARIABLES {
        found.add("steps", format!("need {needed} variables of each merchant, at most {MOST_VARIABLES} are possible"));
    }
    let concerned: Vec<&dyn Component> = components
        .iter()
        .copied()
        .filter(|component| playbook.components.is_empty() || playbook.components.iter().any(|name| name == component.name()))
        .collect();
    if playbook.steps.is_empty() {
        found.add("steps", "is empty: write what is to be done");
    }
    for (index, step) in playbook.steps.iter().enumerate() {
        check_step(&mut found, (index, step), &playbook.on, &concerned, scope.robots);
    }
    found.0
}

struct Found(Vec<Mistake>);

impl Found {
    fn add(&mut self, at: impl Into<String>, reason: impl Into<String>) {
        let mistake = Mistake { at: at.into(), reason: reason.into() };
        if self.0.len() < MOST_MISTAKES && !self.0.contains(&mistake) {
            self.0.push(mistake);
        }
    }
}

/// Foreign text in a message: its beginning.
fn shortened(text: &str) -> String {
    text.chars().take(MOST_NAME_BYTES).collect()
}

fn check_step(found: &mut Found, (index, step): (usize, &Step), on: &[Glob], components: &[&dyn Component], robots: &[String]) {
    let at = format!("steps[{index}]");
    for (place, template) in step.templates() {
        let names = template.names();
        let bytes = if names.is_empty() { 0 } else { template.written().to_string().len() };
        if bytes > MOST_TEMPLATE_BYTES {
            found.add(
                format!("{at}.{place}"),
                format!("is {bytes} bytes with its placeholders, at most {MOST_TEMPLATE_BYTES} are possible"),
            );
        }
        for reason in names.into_iter().filter_map(|path| reference(path, index)) {
            found.add(format!("{at}.{place}"), reason);
        }
    }
    let asked = match &step.deed {
        Deed::Operation(operation) => operation,
        Deed::Tell(tell) => {
            if !robots.contains(&tell.robot) {
                let known = if robots.is_empty() { String::from("none is configured") } else { format!("known: {}", robots.join(", ")) };
                found.add(format!("{at}.tell"), format!("there is no robot {:?}; {known} ([[robots]])", shortened(&tell.robot)));
            }
            return;
        }
    };
    if asked.name.is_empty() {
        found.add(format!("{at}.operation"), "is missing: write operation = \"…\" or tell = \"robot\"");
        return;
    }
    let told = told(&asked.name).filter(|_| on.iter().all(|glob| glob.as_str().starts_with("audit."))).map(|(parameter, _)| parameter);
    for component in components {
        let platform = component.platform().name();
        let rows = component.operations().operations();
        let Some(row) = rows.iter().find(|row| row.name == asked.name) else {
            let name = shortened(&asked.name);
            let reason = match crate::operations::nearest(rows, &asked.name) {
                Some(nearest) => format!("{platform} has no operation {name:?}; did you mean `{nearest}`?"),
                None => format!("{platform} has no operation {name:?}; name the `components` that have it"),
            };
            found.add(format!("{at}.operation"), reason);
            continue;
        };
        if let Some(settings) = &row.disabled {
            found.add(format!("{at}.operation"), format!("is switched off on {platform}: {settings}"));
        }
        check_parameters(found, &format!("{at}.with"), (asked, told), row, platform);
    }
}

fn check_parameters(found: &mut Found, at: &str, (step, told): (&super::Operation, Option<&str>), row: &Operation, platform: &str) {
    for name in step.with.keys().filter(|name| row.param(name).is_none()) {
        let known: Vec<_> = row.params.iter().map(|param| param.name).collect();
        found.add(format!("{at}.{name}"), format!("is no parameter of {} on {platform}; known: {}", row.name, known.join(", ")));
    }
    for param in &row.params {
        let Some(template) = step.with.get(param.name) else {
            if param.required && told != Some(param.name) {
                let example = format!("write with = {{ {} = … }}, as deploy/playbooks/{platform}.toml does for its steps", param.name);
                found.add(format!("{at}.{}", param.name), format!("is required on {platform}: {}; {example}", param.title.en));
            }
            continue;
        };
        let reason = match (template.constant(), template.whole()) {
            (Some(value), _) => param.check(&value).err(),
            // Whatever stands there: the run sees its kind.
            (None, Some(_)) => None,
            (None, None) => misshapen(template, param.kind),
        };
        if let Some(reason) = reason {
            found.add(format!("{at}.{}", param.name), format!("{reason} ({platform})"));
        }
    }
}

/// What is wrong with a value that has gaps, whatever they are filled with.
fn misshapen(template: &Template, kind: Kind) -> Option<String> {
    let filled = template.fill(&|_| Some(Value::from("1"))).ok()?;
    let fits = match filled {
        Value::String(_) => matches!(kind, Kind::Text(_) | Kind::Digits | Kind::Word(_) | Kind::Picture(_)),
        Value::Array(_) => matches!(kind, Kind::Texts(_) | Kind::Objects(_)),
        Value::Object(_) => matches!(kind, Kind::Object | Kind::File(_) | Kind::Picture(_)),
        _ => false,
    };
    (!fits).then(|| format!("must be {}", kind.words()))
}

/// What is wrong with a name in the step of that index.
fn reference(path: &str, index: usize) -> Option<String> {
    let (root, rest) = placeholder::split(path);
    match root {
        "event" | "variables" if !rest.is_empty() => None,
        "event" | "variables" => Some(format!("`${{{path}}}` does not say what of it: write ${{{root}.name}}")),
        "authorizer" | "component" if rest.is_empty() => None,
        "steps" => match placeholder::split(rest).0.parse::<usize>() {
            Ok(number) if (1..=index).contains(&number) => None,
            Ok(number) if number > index => Some(format!("`${{{path}}}` comes later: only steps before this one have a result")),
            _ => Some(format!("`${{{path}}}` is no step: they are numbered from 1")),
        },
        _ => Some(format!("`${{{path}}}` is unknown; known: event.…, authorizer, component, variables.…, steps.N.…")),
    }
}

/// Whether a row acts for the merchant; else for the component itself.
#[must_use]
pub fn for_authorizer(row: &Operation) -> bool {
    matches!(row.bearer, Bearer::Authorizer(_))
}
