//! Rollouts: one template version brought to many authorizers, through audit and release (contract 6).
//!
//! `http` makes and steers them; [`Rollouts::run`] works. What follows from what happened is a table ([`advance::TABLE`]), how platforms
//! differ is data ([`route::ROUTES`]). Owns the port [`shelf::RolloutLog`]. Driven by events (it is a subscriber, [`listener`]) and by asking
//! the platforms. Never sends what must not be done twice before a durable record says so, and never releases what it did not upload.

pub mod advance;
pub mod hands;
mod hold;
pub mod listener;
pub mod parameters;
pub mod plan;
pub mod record;
pub mod route;
pub mod settle;
pub mod shelf;
pub mod stage;
mod steer;
mod step;
mod unread;
pub mod waves;
pub mod whereabouts;
pub mod window;
mod worker;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::clock::{Clock, Timestamp};
use crate::inbox::LogError;
use crate::placeholder::{self, Filler, Template, Unfilled};
use crate::vault::VaultError;
use advance::On;
use hands::{Hands, Happened};
use hold::{Active, Entry, Floor, locked};
use plan::Merchants;
use record::{Rollout, RolloutId, Spec, State};
use settle::Waits;
use shelf::{Kept, RolloutLog};
pub use steer::{Asked, Group, Progress};

/// Settings of all rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Waits.
    pub waits: Waits,
    /// Authorizers of a rollout that are worked on at a time, unless it says otherwise.
    pub concurrency: u32,
    /// Authorizers of one component that are worked on at a time, over all its rollouts.
    pub most: u32,
    /// Steps of one component that are begun per second, over all its rollouts; `None`: any number.
    pub rate: Option<u32>,
    /// How long steps under way may take when the service stops.
    pub grace: Duration,
}

/// Why a rollout was not made or steered.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// There is none of that id.
    #[error("there is no such rollout")]
    Unknown,
    /// Its state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// What was asked for is not right: name and why, all of it.
    #[error("parameters do not fit")]
    Invalid(Vec<(String, String)>),
    /// The store's.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The vault's.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// All rollouts.
pub struct Rollouts {
    log: Arc<dyn RolloutLog>,
    hands: Arc<dyn Hands>,
    merchants: Arc<dyn Merchants>,
    clock: Arc<dyn Clock>,
    options: Options,
    floor: Mutex<Floor>,
    /// One change of a rollout's state at a time.
    changing: tokio::sync::Mutex<()>,
    /// One judgement at a time.
    reviewing: tokio::sync::Mutex<()>,
    bell: Notify,
}

/// The words of a rollout for one authorizer.
struct Words {
    variables: Map<String, Value>,
    description: String,
}

impl Rollouts {
    /// Takes up what an earlier process left. Nothing works before [`Rollouts::run`].
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        log: Arc<dyn RolloutLog>,
        hands: Arc<dyn Hands>,
        merchants: Arc<dyn Merchants>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Arc<Self>, LogError> {
        let rollouts = Self {
            log,
            hands,
            merchants,
            clock,
            options,
            floor: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            reviewing: tokio::sync::Mutex::default(),
            bell: Notify::new(),
        };
        for kept in rollouts.log.rollouts().await? {
            let is_over = match kept.record.state {
                _ if kept.record.rolling_back => false,
                State::Stopped if kept.record.is_unread => rollouts.rests(&kept.record).await?,
                State::Done => true,
                // Those who were at work on its items when it was cancelled may not have come to end them: the first review does.
                State::Cancelled => {
                    let (id, until) = (kept.record.id, kept.record.spec.until);
                    match rollouts.log.items(id).await {
                        Ok(found) => found.items.iter().all(|item| until.is_over(item.record.stage)),
                        // Nothing more is done for it anyway: that keeps no service from starting.
                        Err(error) => {
                            tracing::error!(rollout = %id, %error, "the merchants of a cancelled rollout cannot be read; it is taken for over");
                            true
                        }
                    }
                }
                _ => false,
            };
            if !is_over {
                rollouts.take_up(kept).await?;
            }
        }
        Ok(Arc::new(rollouts))
    }

    /// Names a rollout whose record cannot be read. Whether all of its merchants have ended, so that it keeps nobody from another one.
    async fn rests(&self, rollout: &Rollout) -> Result<bool, LogError> {
        let found = self.log.items(rollout.id).await?;
        let open = found.items.iter().filter(|kept| !rollout.spec.until.is_over(kept.record.stage)).count();
        tracing::error!(
            rollout = %rollout.id,
            merchants = found.items.len(),
            open,
            reason = rollout.reason,
            "a rollout cannot be read: it rests, and its open merchants are left out of others until it is cancelled"
        );
        Ok(open == 0 && found.is_whole && !found.items.iter().any(|kept| kept.record.is_unread))
    }

    /// Brings a rollout into memory.
    async fn take_up(&self, kept: Kept<Rollout>) -> Result<(), LogError> {
        let Kept { version, record: mut rollout } = kept;
        let (items, is_whole) = unread::complete(&rollout, self.log.items(rollout.id).await?);
        for item in items.iter().map(|kept| &kept.record).filter(|item| item.is_unread) {
            tracing::error!(
                rollout = %rollout.id,
                component = rollout.spec.component,
                authorizer = item.authorizer,
                "damage: the record of a merchant in a rollout cannot be read; nothing more is done for it"
            );
        }
        if !is_whole {
            tracing::error!(rollout = %rollout.id, component = rollout.spec.component, "damage: {}", unread::NOT_WHOLE);
            // How many of them failed, and whether those that went first arrived, nobody knows.
            let hides_more = rollout.goes_on_with.is_none_or(|known| u32::try_from(items.len()).is_ok_and(|found| found < known));
            if rollout.state == State::Running && hides_more {
                (rollout.state, rollout.reason) = (State::Stopped, Some(String::from(unread::NOT_WHOLE)));
            }
        }
        let entries = items.into_iter().map(|kept| (kept.record.authorizer.clone(), Entry::new(kept.record, kept.version))).collect();
        let now = self.clock.now();
        let active = Active { version, rollout, entries, is_whole, running: 0, next_step: now, visits: 0 };
        locked(&self.floor).active.entry(active.rollout.id).or_insert(active);
        Ok(())
    }

    /// Whether a rollout is at work on that authorizer: news of others are not worth reading.
    pub fn is_at_work_on(&self, component: &str, authorizer: &str) -> bool {
        let floor = locked(&self.floor);
        floor.active.values().any(|active| active.rollout.spec.component == component && active.entries.contains_key(authorizer))
    }

    /// Whether any rollout is.
    #[must_use]
    pub fn is_any_at_work(&self) -> bool {
        !locked(&self.floor).active.is_empty()
    }

    /// What an event says of an authorizer: told to whoever is at work on it. Rollouts that are not concerned do not hear of it.
    pub fn heard(&self, component: &str, authorizer: &str, news: &News) {
        let mut floor = locked(&self.floor);
        let of_component = floor.active.values_mut().filter(|active| active.rollout.spec.component == component);
        for active in of_component {
            let version = active.rollout.spec.version.clone();
            let until = active.rollout.spec.until;
            let Some(entry) = active.entries.get_mut(authorizer).filter(|entry| !until.is_over(entry.item.stage)) else { continue };
            // A build that this rollout did not begin, or has seen the end of, is none of its business.
            if news.on == On::Built && entry.item.begun.is_none() {
                continue;
            }
            if let Some(happened) = news.about(&version, entry.item.package_id.as_deref()) {
                entry.mail.push(happened);
            }
        }
        drop(floor);
        self.bell.notify_one();
    }

    /// The words of a rollout for one authorizer; what is missing for them, if anything is.
    async fn words(&self, spec: &Spec, id: Option<RolloutId>, authorizer: &str) -> Result<Result<Words, String>, LogError> {
        let own = match self.merchants.attributes(&spec.component, authorizer).await {
            Ok(attributes) => attributes.variables,
            Err(error @ (LogError::Damaged(_) | LogError::OtherKey(_))) => {
                let component = &spec.component;
                tracing::error!(component, authorizer, %error, "what is noted of a merchant cannot be read; replace it whole");
                return Ok(Err(String::from("its tags and variables cannot be read; replace them whole")));
            }
            Err(error) => return Err(error),
        };
        let variables = parameters::overlaid(&spec.variables, &own);
        let known = serde_json::json!({
            "authorizer": authorizer,
            "component": spec.component,
            "rollout": {"id": id.map_or_else(|| String::from("rol_"), |id| id.to_string()), "version": spec.version},
            "variables": variables,
        });
        let value_of = |name: &str| placeholder::at(&known, name);
        let mut filler = Filler::new(&value_of);
        let mut mistakes = Vec::new();
        let mut fill = |value: &Value| -> Option<Value> {
            match Template::parse(value) {
                Ok(template) => Some(filler.fill(&template)),
                Err(wrong) => {
                    mistakes.extend(wrong.iter().map(|mistake| format!("{} {}", mistake.at, mistake.reason).trim().to_owned()));
                    None
                }
            }
        };
        let filled = (fill(&Value::Object(variables)), fill(&Value::from(spec.description.as_str())));
        match filler.finish() {
            Ok(()) => {}
            Err(Unfilled::Missing(names)) => mistakes.push(format!("has no value for {}", placeholder::said(&names))),
            Err(Unfilled::TooLong) => mistakes.push(format!("variables and description: {}", Unfilled::TooLong)),
        }
        Ok(match filled {
            (Some(Value::Object(variables)), Some(description)) if mistakes.is_empty() => {
                Ok(Words { variables, description: whereabouts::as_text(&description).unwrap_or_default() })
            }
            _ => Err(mistakes.join("; ")),
        })
    }
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What happened, were it about our version.
    pub on: On,
    /// The reason, where one is given.
    pub reason: Option<String>,
    /// The version, where the event names one.
    pub version: Option<String>,
    /// The package, where the event names one.
    pub package_id: Option<String>,
    /// The vendor's time.
    pub at: Timestamp,
}

impl News {
    /// What it means for an authorizer with that version and package: nothing if it is about another one, a hint if it names none.
    fn about(&self, version: &str, package_id: Option<&str>) -> Option<Happened> {
        let happened = |on: On| Happened { reason: self.reason.clone(), ..Happened::from(on) };
        if self.on == On::Revoked {
            return Some(happened(On::Revoked));
        }
        match (self.package_id.as_deref().zip(package_id), self.version.as_deref()) {
            (Some((told, ours)), _) if told != ours => None,
            (Some(_), _) => Some(happened(self.on)),
            (None, Some(told)) if told == version => Some(happened(self.on)),
            (None, Some(_)) => None,
            (None, None) if self.on == On::Built => None,
            (None, None) => Some(On::Hinted.into()),
        }
    }
}

/// The id of a rollout made at that moment.
fn new_id(now: Timestamp) -> RolloutId {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    RolloutId(uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)))
}
