//! What each operation of a rollout is given: the rollout's own words, the authorizer's variables, and what the platform said before.
//!
//! Variables that are parameters of a submission go there; those that hold domains are set as domains; all others are content of the
//! template (`ext`), beside what the variable `ext` itself says.

use serde_json::{Map, Value, json};

use super::hands::Given;
use super::record::{Item, Spec};
use super::route::Route;

/// Parameters that no variable sets: the rollout does, or they would change more than the version.
const OURS: &[&str] = &[
    "template_id",
    "version",
    "description",
    "package_id",
    "ext",
    "tag",
    "audit_way",
    "auto_online",
    "name",
    "english_name",
    "slogan",
    "intro",
    "icon",
    "category",
];

/// The variable that goes into `ext` as it is.
const EXT: &str = "ext";

/// The rollout's variables with the authorizer's own over them.
#[must_use]
pub fn overlaid(of_all: &Map<String, Value>, own: &Map<String, Value>) -> Map<String, Value> {
    let mut variables = of_all.clone();
    variables.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    variables
}

/// Everything that parameters are made from.
pub struct Filling<'a> {
    /// What was asked for.
    pub spec: &'a Spec,
    /// The platform's way.
    pub route: &'a Route,
    /// The authorizer.
    pub item: &'a Item,
    /// Its variables, overlaid, and with placeholders filled.
    pub variables: &'a Map<String, Value>,
    /// The description with placeholders filled.
    pub description: &'a str,
}

impl Filling<'_> {
    /// What a row takes of the rollout itself.
    fn own(&self, takes: &[&str]) -> Given {
        let all = [
            ("template_id", Some(self.spec.template_id.clone())),
            ("version", Some(Value::from(self.spec.version.as_str()))),
            ("description", Some(Value::from(self.description))),
            ("package_id", self.item.package_id.as_deref().map(Value::from)),
        ];
        let wanted = all.into_iter().filter(|(name, _)| takes.contains(name));
        wanted.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// For `package.upload`. `submission` are the parameters of `audit.submit`: variables of those names are no content.
    #[must_use]
    pub fn upload(&self, takes: &[&str], submission: &[&str]) -> Given {
        let mut given = self.own(takes);
        if takes.contains(&EXT) {
            let ext = self.ext(submission);
            if !ext.is_empty() {
                given.insert(EXT.to_owned(), Value::Object(ext));
            }
        }
        given
    }

    fn ext(&self, submission: &[&str]) -> Map<String, Value> {
        let is_parameter = |name: &str| submission.contains(&name) && !OURS.contains(&name);
        let is_domain = |name: &str| self.route.domains.iter().any(|domains| domains.variable == name);
        let content = self.variables.iter().filter(|(name, _)| *name != EXT && !is_parameter(name) && !is_domain(name));
        let content: Map<String, Value> = content.map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut ext = Map::new();
        if !content.is_empty() {
            ext.insert(EXT.to_owned(), Value::Object(content));
        }
        for (name, value) in self.variables.get(EXT).and_then(Value::as_object).into_iter().flatten() {
            match (ext.get_mut(name), value) {
                // What the variable `ext` says of its own `ext` stands beside the other variables.
                (Some(Value::Object(inner)), Value::Object(more)) if name == EXT => inner.extend(more.clone()),
                _ => drop(ext.insert(name.clone(), value.clone())),
            }
        }
        ext
    }

    /// For `audit.submit`.
    #[must_use]
    pub fn submission(&self, takes: &[&str]) -> Given {
        let mut given = self.own(takes);
        for (name, value) in self.route.defaults {
            given.insert((*name).to_owned(), Value::from(*value));
        }
        let fitting = self.variables.iter().filter(|(name, _)| takes.contains(&name.as_str()) && !OURS.contains(&name.as_str()));
        given.extend(fitting.map(|(name, value)| (name.clone(), value.clone())));
        given
    }

    /// For `package.release`, and for questions about the version.
    #[must_use]
    pub fn version(&self, takes: &[&str]) -> Given {
        let mut given = self.own(takes);
        given.remove("description");
        given
    }

    /// Operations that set domains before that deed, in order.
    #[must_use]
    pub fn domains(&self, deed: &str) -> Vec<(&'static str, Given)> {
        let mut calls = Vec::new();
        for domains in self.route.domains.iter().filter(|domains| domains.before == deed) {
            let Some(value) = self.variables.get(domains.variable).filter(|value| !is_empty(value)) else { continue };
            let one = |value: &Value| Given::from_iter([(domains.list.to_owned(), value.clone())]);
            match value {
                Value::Object(lists) => calls.push((domains.operation, lists.clone())),
                Value::Array(items) if domains.one_by_one => calls.extend(items.iter().map(|item| (domains.operation, one(item)))),
                Value::String(_) if !domains.one_by_one => calls.push((domains.operation, one(&json!([value])))),
                value => calls.push((domains.operation, one(value))),
            }
        }
        calls
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
