//! The vendor's own count of what must not be done twice: every accepted deed whose row says `Once`, by merchant and version.
//!
//! A provider that repeats such a deed after a crash or a lost answer is found out here, also where it never noticed itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Simulator, SimulatorError};
use crate::platform::Component;
use crate::platform::operation::Effect;
use crate::platform::twin::{About, Answer};

/// A deed and how often it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Deed {
    /// Whose mini program.
    pub authorizer: String,
    /// Normal name of the operation.
    pub operation: &'static str,
    /// The version that it was about, where it was about one.
    pub version: Option<String>,
    /// How often.
    pub times: u32,
}

/// One vendor's count.
#[derive(Default)]
pub(super) struct Ledger {
    /// Operations that must not be done twice.
    once: BTreeSet<&'static str>,
    times: BTreeMap<(String, &'static str, Option<String>), u32>,
}

impl Ledger {
    /// An empty one, for the operations of that component.
    pub(super) fn of(component: &dyn Component) -> Self {
        let rows = component.operations().operations().iter();
        Self { once: rows.filter(|row| row.effect == Effect::Once).map(|row| row.name).collect(), times: BTreeMap::new() }
    }

    /// Enters what was accepted.
    pub(super) fn enter(&mut self, answer: &Answer) {
        if let (true, Some(About { app_id, version })) = (answer.accepted && self.once.contains(answer.deed), &answer.about) {
            *self.times.entry((app_id.clone(), answer.deed, version.clone())).or_default() += 1;
        }
    }
}

impl Simulator {
    /// Every accepted deed that must not be done twice, in the order of merchants.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn ledger(&self, platform: &str) -> Result<Vec<Deed>, SimulatorError> {
        self.on(platform, |stage, _| {
            let deed = |((authorizer, operation, version), times): (&(String, &'static str, Option<String>), &u32)| Deed {
                authorizer: authorizer.clone(),
                operation,
                version: version.clone(),
                times: *times,
            };
            stage.ledger.times.iter().map(deed).collect()
        })
    }
}
