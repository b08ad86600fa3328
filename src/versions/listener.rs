//! The subscriber that tells the version book of events: with the same durability and retries as any delivery.

use std::sync::Arc;
use std::time::Instant;

use super::VersionBook;
use crate::clock::Clock;
use crate::fanout::delivery::{Attempt, Claimed};
use crate::fanout::sink::{Outcome, Sink};
use crate::fanout::subscription::Subscription;

/// Its name among subscribers.
pub const SUBSCRIBER: &str = "yizhan-versions";

/// Hands events to the version book.
pub struct Listener {
    book: Arc<VersionBook>,
    clock: Arc<dyn Clock>,
}

impl Listener {
    /// What it hears of.
    pub const EVENTS: [&str; 3] = ["audit.*", "build.*", "release.changed"];

    /// A sink for [`SUBSCRIBER`].
    #[must_use]
    pub fn new(book: Arc<VersionBook>, clock: Arc<dyn Clock>) -> Self {
        Self { book, clock }
    }
}

#[async_trait::async_trait]
impl Sink for Listener {
    async fn deliver(&self, _: &Subscription, claimed: &Claimed) -> Outcome {
        let at = self.clock.now();
        let begun = Instant::now();
        let heard = self.book.heard(&claimed.event).await;
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let attempt = Attempt { at, status: None, duration_ms, error: None, answer: None };
        match heard {
            Ok(()) => Outcome::Delivered(attempt),
            Err(error) => Outcome::Failed(Attempt { error: Some(error.to_string()), ..attempt }, None),
        }
    }
}
