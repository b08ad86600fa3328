//! A run: how far one playbook has come for one event. Durable before every deed that must not be done twice, and after every step.

use serde_json::Value;

use super::written;
use crate::clock::Timestamp;
use crate::envelope::digest;
use crate::inbox::{Event, EventId, LogError, Page};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Under way, or between two tries.
    Running,
    /// Waits for the time of day.
    WaitingForWindow,
    /// Waits for a person.
    WaitingForApproval,
    /// Every step is done.
    Done,
    /// Stopped; the reason says why. A retry of its delivery takes it up again.
    Failed,
    /// Stopped by a person for good.
    Cancelled,
}

impl State {
    /// Whether it goes on by itself.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::WaitingForWindow | Self::WaitingForApproval)
    }
}

/// One step of a run.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StepRecord {
    /// The operation, or `tell` and a robot's name.
    pub operation: String,
    /// Durable before an operation that must not be done twice is sent; taken back when it certainly was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Timestamp>,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Its result in normal names.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

/// One playbook for one event.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Run {
    /// `run_…`: of the event and the playbook's name, so there is one for both.
    pub id: String,
    /// The playbook.
    pub playbook: String,
    /// The event (`evt_…`).
    pub event_id: String,
    /// Its component.
    pub component: String,
    /// Its authorizer.
    pub authorizer: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Why it waits or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its steps.
    pub steps: Vec<StepRecord>,
    /// The playbook as it was when the run began, in its form as JSON: a run keeps the steps that it began with. `null` in runs of old.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub playbook_then: Value,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it came to stand as it does.
    pub updated_at: Timestamp,
}

/// The id of the run of that playbook for that event. Ids sort by the event's time.
#[must_use]
pub fn id(playbook: &str, event: EventId) -> String {
    let [a, b, c, d, ..] = digest::sha256(&[playbook.as_bytes()]);
    format!("run_{}{}", event.0.as_simple(), hex::encode([a, b, c, d]))
}

/// The event of the run with that id.
#[must_use]
pub fn event_of(id: &str) -> Option<EventId> {
    let event = id.strip_prefix("run_")?.get(..32)?;
    uuid::Uuid::try_parse(event).ok().map(EventId)
}

fn records(playbook: &super::Playbook) -> impl Iterator<Item = StepRecord> {
    playbook.steps.iter().map(|step| StepRecord { operation: step.name(), ..StepRecord::default() })
}

impl StepRecord {
    /// Whether it was begun, approved or done: then it is not another step's record any more.
    fn is_touched(&self) -> bool {
        self.begun_at.is_some() || self.done_at.is_some() || self.approved_by.is_some()
    }
}

impl Run {
    /// A run that is about to begin.
    #[must_use]
    pub fn new(playbook: &super::Playbook, event: &Event, now: Timestamp) -> Self {
        Self {
            id: id(&playbook.name, event.id),
            playbook: playbook.name.clone(),
            event_id: event.id.to_string(),
            component: event.component.clone(),
            authorizer: event.authorizer.clone(),
            state: State::Running,
            reason: None,
            steps: records(playbook).collect(),
            playbook_then: written::write(playbook),
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether it is bound to the steps it began with: one of them was begun, and nobody was told that it failed. One that failed is taken up
    /// again because somebody mended something, perhaps the playbook.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.state != State::Failed && self.steps.iter().any(StepRecord::is_touched)
    }

    /// Takes over a playbook as it is now for the steps that were not begun. `false`, and nothing changes: what was begun is no beginning of it.
    pub fn take_over(&mut self, playbook: &super::Playbook) -> bool {
        let touched = self.steps.iter().take_while(|step| step.is_touched()).count();
        let names = playbook.steps.iter().map(super::Step::name);
        if !self.steps.iter().take(touched).map(|step| step.operation.clone()).eq(names.take(touched)) {
            return false;
        }
        self.steps.truncate(touched);
        self.steps.extend(records(playbook).skip(touched));
        self.playbook_then = written::write(playbook);
        true
    }

    /// It is not tried any more, for that reason or the one that it has.
    pub fn give_up(&mut self, why: Option<&str>, now: Timestamp) {
        self.reason = why.map(|why| format!("it is not tried any more: {why}")).or(self.reason.take());
        (self.state, self.updated_at) = (State::Failed, now);
    }

    /// Whether anything of it was sent, or may have been.
    #[must_use]
    pub fn may_have_sent(&self) -> bool {
        self.steps.iter().any(|step| step.begun_at.is_some() || step.done_at.is_some())
    }

    /// The first step that is not done.
    #[must_use]
    pub fn next_step(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.done_at.is_none())
    }
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunFilter {
    /// Of one playbook.
    #[serde(default)]
    pub playbook: Option<String>,
    /// Of one component.
    #[serde(default)]
    pub component: Option<String>,
    /// Of one authorizer.
    #[serde(default)]
    pub authorizer: Option<String>,
    /// In that state.
    #[serde(default)]
    pub state: Option<State>,
}

impl RunFilter {
    /// Whether a run is wanted.
    #[must_use]
    pub fn wants(&self, run: &Run) -> bool {
        self.playbook.as_ref().is_none_or(|name| *name == run.playbook)
            && self.component.as_ref().is_none_or(|name| *name == run.component)
            && (self.authorizer.is_none() || self.authorizer == run.authorizer)
            && self.state.is_none_or(|state| state == run.state)
    }
}

/// Where runs are kept.
#[async_trait::async_trait]
pub trait RunLog: Send + Sync {
    /// One with its version.
    async fn run(&self, id: &str) -> Result<Option<(u64, Run)>, LogError>;
    /// Writes one, durable when it returns; `version` is the one it was read with, 0: it is new. `false`: somebody else wrote meanwhile.
    async fn save_run(&self, version: u64, run: &Run) -> Result<bool, LogError>;
    /// Newest event first, those behind the id `after` only, at most `limit`. Fewer than that, with a place to go on from, where much of what was looked at
    /// cannot be read.
    async fn runs(&self, after: Option<&str>, limit: usize) -> Result<Page<Run>, LogError>;
    /// Forgets runs that ended and were changed last before. Returns how many.
    async fn expunge_runs(&self, before: Timestamp) -> Result<u64, LogError>;
}
