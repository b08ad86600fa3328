//! The handler behind a URL: posts the event's exact bytes with Standard Webhooks headers and reads the answer's meaning.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Outcome, Sink};
use crate::clock::Clock;
use crate::fanout::delivery::{Attempt, Claimed};
use crate::fanout::schedule;
use crate::fanout::signature::{self, Signer};
use crate::fanout::subscription::Subscription;
use crate::outbound::Webhooks;
use crate::outbound::webhooks::{Answer, Post, PostError};

const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Characters of the answer that are kept for people.
const KEPT_CHARACTERS: usize = 256;

/// Posts to subscribers.
pub struct Webhook {
    client: Webhooks,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl Webhook {
    /// `timeout` is the total time of one try where the subscription has none of its own.
    #[must_use]
    pub fn new(client: Webhooks, clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        Self { client, clock, timeout }
    }

    async fn post(&self, subscription: &Subscription, claimed: &Claimed) -> Result<Answer, Failure> {
        let id = claimed.event.id.to_string();
        // This attempt's time, not the event's: a handler refuses what was signed long ago.
        let now = self.clock.now();
        let timestamp = now.as_second().to_string();
        let signers: Vec<Signer> = subscription.signing(now).filter_map(|secret| Signer::new(secret).ok()).collect();
        if signers.is_empty() {
            return Err(Failure::NoKey);
        }
        let signature = signature::header(&signers, &id, &timestamp, &claimed.event.body);
        let post = Post {
            url: &subscription.url,
            content_type: CONTENT_TYPE,
            headers: vec![
                ("webhook-id", id),
                ("webhook-timestamp", timestamp),
                ("webhook-signature", signature),
                ("yizhan-attempt", claimed.delivery.attempts.len().saturating_add(1).to_string()),
                ("yizhan-subscription", subscription.name.clone()),
            ],
            body: claimed.event.body.clone(),
            timeout: subscription.timeout.unwrap_or(self.timeout),
        };
        Ok(self.client.post(post).await?)
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the subscription has no key that signs")]
    NoKey,
    #[error(transparent)]
    Post(#[from] PostError),
}

#[async_trait::async_trait]
impl Sink for Webhook {
    async fn deliver(&self, subscription: &Subscription, claimed: &Claimed) -> Outcome {
        let at = self.clock.now();
        let begun = Instant::now();
        let answer = self.post(subscription, claimed).await;
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let attempt = Attempt { at, status: None, duration_ms, error: None, answer: None };
        match answer {
            Ok(answer) => {
                let not_before = answer.retry_after.as_deref().and_then(|text| schedule::retry_after(text, self.clock.now()));
                let attempt = Attempt { status: Some(answer.status), answer: shown(&answer.head), ..attempt };
                match answer.status {
                    200..=299 => Outcome::Delivered(attempt),
                    410 => Outcome::Gone(attempt),
                    _ => Outcome::Failed(attempt, not_before),
                }
            }
            Err(failure) => {
                let status = match failure {
                    Failure::Post(PostError::TimedOut(_, status)) => status,
                    _ => None,
                };
                Outcome::Failed(Attempt { status, error: Some(failure.to_string()), ..attempt }, None)
            }
        }
    }
}

/// First characters of an answer, without what would disturb a terminal or a page.
fn shown(head: &[u8]) -> Option<String> {
    let text: String = String::from_utf8_lossy(head)
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(KEPT_CHARACTERS)
        .collect();
    let text = text.trim();
    if text.is_empty() { None } else { Some(text.to_owned()) }
}
