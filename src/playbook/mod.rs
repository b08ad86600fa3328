//! Playbooks: built-in handlers. On some types of events, under conditions, operations are carried out in order, with parameters from the
//! configuration, the event, earlier results and what is noted about the merchant; and people are told.
//!
//! A playbook is a subscription with a sink of its own ([`sink::Steps`]): the outbox gives it durability, retries, dead letters, pause and replay.
//! Its [`run::Run`] remembers which step is begun and which is done, so that neither a retry, a replay nor a crash does one twice.
//! [`book::Book`] holds those of the configuration and those made by API; [`written`] is their form as JSON.
//! This room never speaks to a vendor itself: steps go through [`sink::Hands`], messages through `robot`.

pub mod book;
pub mod check;
pub mod lacking;
pub mod run;
pub mod sink;
pub mod window;
pub mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::event_type::Glob;
use crate::fanout::Subscription;
use crate::fanout::subscription::Origin;
use crate::placeholder::{self, Filler, Template, Unfilled};
use window::Window;

/// Longest time of one run: many operations, each with its own limit. A claim must outlast it.
const LONGEST: Duration = Duration::from_secs(3600);

/// One playbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Playbook {
    /// Unique among playbooks and subscriptions.
    pub name: String,
    /// Patterns of event types.
    pub on: Vec<Glob>,
    /// Component names; empty: all.
    pub components: Vec<String>,
    /// What must hold of the event besides: a path (`authorizer`, `data.version`) and what stands there.
    pub when: BTreeMap<String, Condition>,
    /// What is done, in order; at least one.
    pub steps: Vec<Step>,
}

/// What must stand at a path of the event.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// One of these values.
    OneOf(Vec<Value>),
    /// Anything, or nothing.
    Exists(bool),
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is done.
    pub deed: Deed,
    /// When of the day it may be begun.
    pub window: Option<Window>,
    /// Whether a person must approve it first.
    pub approval: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// An operation of the vendor.
    Operation(Operation),
    /// A message to people.
    Tell(Tell),
}

/// An operation with its parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Operation {
    /// Its normal name.
    pub name: String,
    /// Its parameters.
    pub with: BTreeMap<String, Template>,
    /// Which item of the answer's `items` is the step's result; an answer without such an item fails the step.
    pub find: BTreeMap<String, Template>,
}

/// A message through a robot.
#[derive(Debug, Clone, PartialEq)]
pub struct Tell {
    /// Name of the robot.
    pub robot: String,
    /// What is said instead of the event's data.
    pub text: Option<Template>,
}

impl Playbook {
    /// As the fan-out knows it.
    #[must_use]
    pub fn subscription(&self, now: Timestamp) -> Subscription {
        let internal = Subscription::internal(self.name.clone(), self.on.iter().cloned(), now);
        Subscription { origin: Origin::Playbook, components: self.components.clone(), concurrency: 4, timeout: Some(LONGEST), ..internal }
    }

    /// Whether its conditions hold of an event, given as its CloudEvent.
    #[must_use]
    pub fn concerns(&self, event: &Value) -> bool {
        self.when.iter().all(|(path, condition)| {
            let path = if path == "authorizer" { "subject" } else { path };
            let found = placeholder::at(event, path);
            match condition {
                Condition::OneOf(values) => found.is_some_and(|found| values.contains(&found)),
                Condition::Exists(wanted) => found.is_some() == *wanted,
            }
        })
    }

    /// Variables of a merchant that its steps need, each once: `variables.shop.name` is `shop.name`.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<&str> {
        let names = self.steps.iter().flat_map(Step::names).map(placeholder::split);
        names.filter(|(root, rest)| *root == "variables" && !rest.is_empty()).map(|(_, rest)| rest).collect()
    }

    /// Whether it may concern that merchant, as far as its conditions say.
    #[must_use]
    pub fn concerns_authorizer(&self, app_id: &str) -> bool {
        let named = ["authorizer", "subject"].iter().filter_map(|path| self.when.get(*path));
        named.into_iter().all(|condition| match condition {
            Condition::OneOf(values) => values.iter().any(|value| value == app_id),
            Condition::Exists(wanted) => *wanted,
        })
    }
}

impl Step {
    /// How the step is called in runs: its operation, or `tell` and the robot's name.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.deed {
            Deed::Operation(operation) => operation.name.clone(),
            Deed::Tell(tell) => format!("tell {}", tell.robot),
        }
    }

    /// Every template in it, with its place.
    pub fn templates(&self) -> Vec<(String, &Template)> {
        match &self.deed {
            Deed::Operation(operation) => {
                let of = |part: &'static str, templates| {
                    let place = move |(name, template): (&String, _)| (format!("{part}.{name}"), template);
                    BTreeMap::iter(templates).map(place)
                };
                of("with", &operation.with).chain(of("find", &operation.find)).collect()
            }
            Deed::Tell(tell) => tell.text.iter().map(|text| (String::from("text"), text)).collect(),
        }
    }

    /// Every name in its parameters.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.templates().into_iter().flat_map(|(_, template)| template.names()).collect()
    }
}

/// Templates filled: the parameters, or what an item must hold.
///
/// # Errors
/// Every name without a value; or it is too long.
pub fn fill(templates: &BTreeMap<String, Template>, value_of: &dyn Fn(&str) -> Option<Value>) -> Result<Map<String, Value>, Unfilled> {
    let mut filler = Filler::new(value_of);
    let filled = templates.iter().map(|(name, template)| (name.clone(), filler.fill(template))).collect();
    filler.finish().map(|()| filled)
}
