//! What the inbox counts. Handles are looked up once per component: a push counts several things, and a look-up by name costs more than the count.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::event_type::EventType;

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Stored now.
    Fresh,
    /// Stored before.
    Duplicate,
    /// A console tried the address out.
    Check,
    /// Not a push of this component.
    Refused,
    /// The store did not take it.
    Unavailable,
}

/// Part of the time a push takes.
#[derive(Debug, Clone, Copy)]
pub enum Phase {
    /// Verify, decrypt, read.
    Open,
    /// Until it is durable.
    Store,
    /// From the raw bytes to the acknowledgement.
    Total,
}

struct Outcomes {
    fresh: Counter,
    duplicate: Counter,
    check: Counter,
    refused: Counter,
    unavailable: Counter,
}

impl Outcomes {
    fn of(component: &str) -> Self {
        let outcome = |word: &'static str| counter!("yizhan_pushes_total", "component" => component.to_owned(), "outcome" => word);
        Self {
            fresh: outcome("fresh"),
            duplicate: outcome("duplicate"),
            check: outcome("check"),
            refused: outcome("refused"),
            unavailable: outcome("unavailable"),
        }
    }
}

struct Phases {
    open: Histogram,
    store: Histogram,
    total: Histogram,
}

/// The inbox's counters, made at the first push: by then a recorder is installed, if ever.
pub struct Meters {
    names: Vec<String>,
    outcomes: OnceLock<HashMap<String, Outcomes>>,
    phases: OnceLock<Phases>,
    events: RwLock<HashMap<String, HashMap<EventType, Counter>>>,
}

impl Meters {
    /// Counters for these components.
    pub fn new<'a>(components: impl Iterator<Item = &'a str>) -> Self {
        Self {
            names: components.map(str::to_owned).collect(),
            outcomes: OnceLock::new(),
            phases: OnceLock::new(),
            events: RwLock::default(),
        }
    }

    /// Counts a push.
    pub fn push(&self, component: &str, outcome: Outcome) {
        let all = self.outcomes.get_or_init(|| self.names.iter().map(|name| (name.clone(), Outcomes::of(name))).collect());
        let Some(outcomes) = all.get(component) else { return };
        let counter = match outcome {
            Outcome::Fresh => &outcomes.fresh,
            Outcome::Duplicate => &outcomes.duplicate,
            Outcome::Check => &outcomes.check,
            Outcome::Refused => &outcomes.refused,
            Outcome::Unavailable => &outcomes.unavailable,
        };
        counter.increment(1);
    }

    /// Counts a stored event.
    pub fn event(&self, component: &str, kind: EventType) {
        let known = self.events.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = known.get(component).and_then(|by_type| by_type.get(&kind)) {
            counter.increment(1);
            return;
        }
        drop(known);
        // Made when it is first counted: types that never came are not shown.
        let counter = counter!("yizhan_events_total", "component" => component.to_owned(), "type" => kind.as_str());
        counter.increment(1);
        let mut known = self.events.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(component.to_owned()).or_default().insert(kind, counter);
    }

    /// Records how long a part took.
    pub fn phase(&self, phase: Phase, took: Duration) {
        let phases = self.phases.get_or_init(|| {
            let phase = |word: &'static str| histogram!("yizhan_push_seconds", "phase" => word);
            Phases { open: phase("open"), store: phase("store"), total: phase("total") }
        });
        match phase {
            Phase::Open => phases.open.record(took),
            Phase::Store => phases.store.record(took),
            Phase::Total => phases.total.record(took),
        }
    }
}
