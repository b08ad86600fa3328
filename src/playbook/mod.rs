//! Playbooks: built-in handlers. On some types of events, under conditions, operations are carried out in order, with parameters from the
//! configuration, the event, earlier results and what is noted about the merchant.
//!
//! A playbook is a subscription with a sink of its own ([`sink::Steps`]): the outbox gives it durability, retries, dead letters, pause and replay.
//! Its [`run::Run`] remembers which step is begun and which is done, so that neither a retry, a replay nor a crash does one twice.
//! This room never speaks to a vendor itself: steps go through [`sink::Hands`].

pub mod check;
pub mod run;
pub mod sink;
pub mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::event_type::Glob;
use crate::fanout::Subscription;
use crate::fanout::subscription::Origin;
use crate::placeholder::{self, Template};
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
    /// Normal name of the operation.
    pub operation: String,
    /// Its parameters.
    pub with: BTreeMap<String, Template>,
    /// Which item of the answer's `items` is the step's result; an answer without such an item fails the step.
    pub find: BTreeMap<String, Template>,
    /// When of the day it may be begun.
    pub window: Option<Window>,
    /// Whether a person must approve it first.
    pub approval: bool,
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
}

impl Step {
    /// Every name in its parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.with.values().chain(self.find.values()).flat_map(Template::names)
    }

    /// Templates filled: the parameters, or what an item must hold.
    ///
    /// # Errors
    /// Every name without a value.
    pub fn fill(
        templates: &BTreeMap<String, Template>,
        value_of: &dyn Fn(&str) -> Option<Value>,
    ) -> Result<Map<String, Value>, Vec<String>> {
        let (mut filled, mut missing) = (Map::new(), Vec::new());
        for (name, template) in templates {
            match template.fill(value_of) {
                Ok(value) => {
                    filled.insert(name.clone(), value);
                }
                Err(names) => missing.extend(names),
            }
        }
        missing.sort();
        missing.dedup();
        if missing.is_empty() { Ok(filled) } else { Err(missing) }
    }
}
