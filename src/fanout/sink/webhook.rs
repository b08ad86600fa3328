//! The handler behind a URL: posts the event's exact bytes with Standard Webhooks headers and reads the answer's meaning.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Outcome, Sink};
use crate::clock::{Clock, Timestamp};
use crate::fanout::delivery::{Attempt, Claimed};
use crate::fanout::schedule;
use crate::fanout::signature::{self, Signer};
use crate::fanout::subscription::{Subscription, live};
use crate::outbound::Webhooks;
use crate::outbound::guard::Forbidden;
use crate::outbound::webhooks::{Answer, Destination, Post, PostError};

const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Characters of the answer that are kept for people.
const KEPT_CHARACTERS: usize = 256;

/// Posts to subscribers.
pub struct Webhook {
    client: Arc<Webhooks>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl Webhook {
    /// `timeout` is the total time of one try where the subscription has none of its own.
    #[must_use]
    pub fn new(client: Webhooks, clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        Self { client: Arc::new(client), clock, timeout }
    }

    fn handler(&self, subscription: &Subscription) -> Handler {
        Handler {
            client: Arc::clone(&self.client),
            clock: Arc::clone(&self.clock),
            destination: self.client.destination(&subscription.url),
            signers: subscription.keys.iter().map(|key| (key.until, Signer::new(&key.secret).ok())).collect(),
            name: Bytes::copy_from_slice(subscription.name.as_bytes()),
            timeout: subscription.timeout.unwrap_or(self.timeout),
        }
    }
}

#[async_trait::async_trait]
impl Sink for Webhook {
    async fn deliver(&self, subscription: &Subscription, claimed: &Claimed) -> Outcome {
        self.handler(subscription).outcome(claimed).await
    }

    fn made_ready(&self, subscription: &Subscription) -> Option<Arc<dyn Sink>> {
        Some(Arc::new(self.handler(subscription)))
    }
}

/// The handler of one subscription.
struct Handler {
    client: Arc<Webhooks>,
    clock: Arc<dyn Clock>,
    destination: Result<Destination, Forbidden>,
    /// Until when each key signs, newest first.
    signers: Vec<(Option<Timestamp>, Option<Signer>)>,
    name: Bytes,
    timeout: Duration,
}

#[async_trait::async_trait]
impl Sink for Handler {
    async fn deliver(&self, _: &Subscription, claimed: &Claimed) -> Outcome {
        self.outcome(claimed).await
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the subscription has no key that signs")]
    NoKey,
    #[error(transparent)]
    Post(#[from] PostError),
}

impl Handler {
    async fn outcome(&self, claimed: &Claimed) -> Outcome {
        // This attempt's time, not the event's: a handler refuses what was signed long ago.
        let at = self.clock.now();
        let begun = Instant::now();
        let answer = self.post(claimed, at).await;
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

    async fn post(&self, claimed: &Claimed, now: Timestamp) -> Result<Answer, Failure> {
        let id = claimed.event.id.to_string();
        let timestamp = now.as_second().to_string();
        let signers = live(self.signers.iter().map(|(until, signer)| (*until, signer)), now).flatten();
        let signature = signature::header(signers, &id, &timestamp, &claimed.event.body);
        if signature.is_empty() {
            return Err(Failure::NoKey);
        }
        let attempt = match claimed.delivery.attempts.len() {
            0 => Bytes::from_static(b"1"),
            failed => failed.saturating_add(1).to_string().into(),
        };
        let post = Post {
            to: self.destination.as_ref().map_err(|why| PostError::from(why.clone()))?,
            content_type: CONTENT_TYPE,
            headers: &[
                ("webhook-id", id.into()),
                ("webhook-timestamp", timestamp.into()),
                ("webhook-signature", signature.into()),
                ("yizhan-attempt", attempt),
                ("yizhan-subscription", self.name.clone()),
            ],
            body: claimed.event.body.clone(),
            timeout: self.timeout,
        };
        Ok(self.client.post(post).await?)
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
