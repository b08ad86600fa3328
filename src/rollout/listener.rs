//! The subscriber through which rollouts hear of audits, builds, releases and withdrawals: their mail. What is lost with a crash is found by
//! asking the platform.

use std::sync::Arc;

use serde_json::Value;

use super::advance::On;
use super::whereabouts::as_text;
use super::{News, Rollouts};
use crate::clock::Clock;
use crate::event_type::EventType;
use crate::fanout::delivery::{Attempt, Claimed};
use crate::fanout::sink::{Outcome, Sink};
use crate::fanout::subscription::Subscription;
use crate::inbox::Event;

/// Its name among subscribers.
pub const SUBSCRIBER: &str = "yizhan-rollouts";

/// Hands events to rollouts.
pub struct Listener {
    rollouts: Arc<Rollouts>,
    clock: Arc<dyn Clock>,
}

impl Listener {
    /// What it hears of.
    pub const EVENTS: [&str; 4] = ["audit.*", "build.*", "release.changed", "authorization.revoked"];

    /// A sink for [`SUBSCRIBER`].
    #[must_use]
    pub fn new(rollouts: Arc<Rollouts>, clock: Arc<dyn Clock>) -> Self {
        Self { rollouts, clock }
    }
}

#[async_trait::async_trait]
impl Sink for Listener {
    async fn deliver(&self, _: &Subscription, claimed: &Claimed) -> Outcome {
        let event = &claimed.event;
        if let (Some(authorizer), Some(news)) = (&event.authorizer, read(event)) {
            self.rollouts.heard(&event.component, authorizer, &news);
        }
        Outcome::Delivered(Attempt { at: self.clock.now(), status: None, duration_ms: 0, error: None, answer: None })
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
