//! What is stored of a rollout: the rollout as it was asked for, and one item for each authorizer. Stored types are no API types.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::settle::SLACK;
use super::stage::{Goal, Stage};
use super::window::Window;
use crate::clock::Timestamp;

/// `rol_` and a UUIDv7 in hexadecimal: later ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RolloutId(pub Uuid);

impl RolloutId {
    /// When it was given.
    #[must_use]
    pub fn made_at(self) -> Timestamp {
        let (seconds, nanos) = self.0.get_timestamp().map(|at| at.to_unix()).unwrap_or_default();
        let moment = i64::try_from(seconds).ok().zip(i32::try_from(nanos).ok());
        moment.and_then(|(seconds, nanos)| Timestamp::new(seconds, nanos).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rol_{}", self.0.as_simple())
    }
}

impl fmt::Debug for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RolloutId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text.strip_prefix("rol_").unwrap_or_default()).map(Self)
    }
}

impl serde::Serialize for RolloutId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for RolloutId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whom a rollout is for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Everybody who granted.
    All,
    /// These app ids.
    These(Vec<String>),
    /// Those with this tag.
    Tag(String),
    /// Those whose released version is this one.
    Version(String),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Spec {
    /// Component name.
    pub component: String,
    /// For whom.
    pub authorizers: Choice,
    /// The template, a number or its digits, as it was given.
    pub template_id: Value,
    /// The version to make of it.
    pub version: String,
    /// What is new.
    pub description: String,
    /// Variables of everybody; each authorizer's own stand over them.
    #[serde(default)]
    pub variables: Map<String, Value>,
    /// How far it goes.
    #[serde(default)]
    pub until: Goal,
    /// Authorizers worked on at a time.
    pub concurrency: u32,
    /// Steps begun per second at most.
    #[serde(default)]
    pub rate: Option<f64>,
    /// So many must arrive before the others begin; 0: none.
    #[serde(default)]
    pub canary: u32,
    /// So many begin together, the next ones when all of them have ended; 0: all.
    #[serde(default)]
    pub batch: u32,
    /// It stops when more than this share of those that were let begin failed.
    #[serde(default)]
    pub stop_above_failed_percent: Option<u8>,
    /// When it releases; `None`: at any time.
    #[serde(default)]
    pub window: Option<Window>,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// At work.
    Running,
    /// A person paused it.
    Paused,
    /// It paused itself; the reason says why. Resumed by a person.
    Stopped,
    /// Every authorizer has come to its end.
    Done,
    /// A person ended it.
    Cancelled,
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One rollout.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rollout {
    /// Its id.
    pub id: RolloutId,
    /// What was asked for.
    pub spec: Spec,
    /// Where it stands.
    pub state: State,
    /// Why it stopped.
    #[serde(default)]
    pub reason: Option<String>,
    /// Whether what it released is being rolled back.
    #[serde(default)]
    pub rolling_back: bool,
    /// Failures up to here do not stop it (again): a person has seen them and resumed it.
    #[serde(default)]
    pub forgiven: u32,
    /// How many of its merchants there were when a person had it go on although damage hid the others: as long as it hides no more, that does not stop it
    /// (again).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_on_with: Option<u32>,
    /// Under what an `Idempotency-Key` remembers the request that made it: found again after a crash in between.
    #[serde(default)]
    pub request: Option<String>,
    /// Whether its record could not be read: nothing is known of what was asked for, and `spec` is empty. Written where a person cancelled it so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unread: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
}

/// How far taking back a release has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollback {
    /// Asked for.
    Wanted,
    /// Sent, or about to be.
    Begun,
    /// Taken back.
    Done,
    /// Not taken back; the reason says why.
    Failed,
}

/// One authorizer of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Item {
    /// Its app id.
    pub authorizer: String,
    /// Its place: lower ones begin earlier.
    pub place: u32,
    /// Where it stands.
    pub stage: Stage,
    /// The stage in which it failed or was cancelled. Former builds noted it of failures only.
    #[serde(default)]
    pub stopped_at: Option<Stage>,
    /// Why it ended, or what it waits for; the vendor's words where there are any.
    #[serde(default)]
    pub reason: Option<String>,
    /// The vendor's number of the package.
    #[serde(default)]
    pub package_id: Option<String>,
    /// The vendor's number of the audit.
    #[serde(default)]
    pub audit_id: Option<String>,
    /// When a deed was begun of which nothing is known yet. Durable before the deed is sent.
    #[serde(default)]
    pub begun: Option<Timestamp>,
    /// Uploads that this rollout has begun: then a version that is there is this rollout's.
    #[serde(default)]
    pub uploads: u32,
    /// Not before.
    #[serde(default)]
    pub wake_at: Option<Timestamp>,
    /// Failures in a row that pass by themselves: each makes the next pause longer.
    #[serde(default)]
    pub failures: u32,
    /// Those among them of a token that had just been renewed: each has cost a renewal.
    #[serde(default)]
    pub token_refusals: u32,
    /// Taking its release back.
    #[serde(default)]
    pub rollback: Option<Rollback>,
    /// Whether its record cannot be read: it stays on the disk as it is, and nothing is done for it.
    #[serde(skip)]
    pub is_unread: bool,
    /// When it came into its stage.
    pub since: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
}

impl Item {
    /// What was noted while the clock was ahead is taken for noted now: how long ago that was nobody knows, and nothing is waited for that long.
    pub(super) fn date(&mut self, now: Timestamp) {
        let dated = |noted: Timestamp| if noted > now.saturating_add(SLACK).unwrap_or(Timestamp::MAX) { now } else { noted };
        self.begun = self.begun.map(dated);
        self.since = dated(self.since);
    }

    /// Whether it was cancelled after its release was begun and before anybody knew what came of it: it may be online.
    pub(super) fn is_lost_sight_of(&self) -> bool {
        self.stage == Stage::Cancelled && self.stopped_at == Some(Stage::Releasing) && self.begun.is_some()
    }

    /// One whose turn has not come.
    #[must_use]
    pub fn queued(authorizer: String, place: u32, now: Timestamp) -> Self {
        Self {
            authorizer,
            place,
            stage: Stage::Queued,
            stopped_at: None,
            reason: None,
            package_id: None,
            audit_id: None,
            begun: None,
            uploads: 0,
            wake_at: None,
            failures: 0,
            token_refusals: 0,
            rollback: None,
            is_unread: false,
            since: now,
            updated_at: now,
        }
    }

    /// One that takes no part.
    #[must_use]
    pub fn skipped(authorizer: String, place: u32, reason: String, now: Timestamp) -> Self {
        Self { stage: Stage::Skipped, reason: Some(reason), ..Self::queued(authorizer, place, now) }
    }
}
