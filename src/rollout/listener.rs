//! Reads the log for rollouts, which hear so of audits, builds, releases and withdrawals: their mail. What is lost with a crash is found by asking
//! the platform.

use std::sync::Arc;

use serde_json::Value;

use super::advance::On;
use super::whereabouts::as_text;
use super::{News, Rollouts};
use crate::event_type::EventType;
use crate::fanout::follower;
use crate::inbox::{Event, LogError};

/// Its name among followers of the log.
pub const FOLLOWER: &str = "rollouts";

/// Hands events to rollouts.
pub struct Listener {
    rollouts: Arc<Rollouts>,
}

impl Listener {
    /// What it hears of.
    pub const EVENTS: [&str; 4] = ["audit.*", "build.*", "release.changed", "authorization.revoked"];

    /// For [`FOLLOWER`].
    #[must_use]
    pub fn new(rollouts: Arc<Rollouts>) -> Self {
        Self { rollouts }
    }
}

#[async_trait::async_trait]
impl follower::Listener for Listener {
    async fn hear(&self, events: &[Event]) -> Result<(), LogError> {
        for event in events {
            if let Some(authorizer) = &event.authorizer
                && self.rollouts.is_at_work_on(&event.component, authorizer)
                && let Some(news) = read(event)
            {
                self.rollouts.heard(&event.component, authorizer, &news);
            }
        }
        Ok(())
    }

    fn is_listening(&self) -> bool {
        self.rollouts.is_any_at_work()
    }
}

/// What an event tells rollouts.
#[must_use]
pub fn read(event: &Event) -> Option<News> {
    let body: Value = serde_json::from_slice(&event.body).ok()?;
    let text = |name: &str| body.pointer("/data").and_then(|data| data.get(name)).and_then(as_text);
    let (on, reason) = match event.kind {
        EventType::AuditPassed => (On::Passed, None),
        EventType::AuditFailed => (On::Rejected, Some(text("reason").unwrap_or_else(|| String::from("the auditors gave no reason")))),
        EventType::AuditDelayed => (On::Delayed, text("reason")),
        EventType::ReleaseChanged if text("state").as_deref() == Some("online") => (On::Released, None),
        EventType::BuildSucceeded | EventType::BuildFailed => (On::Built, None),
        EventType::AuthorizationRevoked => (On::Revoked, Some(String::from("the merchant withdrew the grant"))),
        _ => return None,
    };
    Some(News { on, reason, version: text("version"), package_id: text("package_id"), at: event.time })
}
