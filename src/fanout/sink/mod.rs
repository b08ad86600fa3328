//! Where deliveries go: one try each. The schedule decides about more.

pub mod exchange;
pub mod webhook;

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::fanout::delivery::{Attempt, Claimed};
use crate::fanout::subscription::Subscription;

/// How one try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The handler took it.
    Delivered(Attempt),
    /// It did not: again later, not before `not_before` where the handler said so (`Retry-After`).
    Failed(Attempt, Option<Timestamp>),
    /// It is too early: again at that time, and this was no failed attempt. A playbook waits for a window or for a person so.
    Deferred(Attempt, Timestamp),
    /// It never will take this one: dead at once, for people to look at.
    Refused(Attempt),
    /// It never will take any (410): the subscription is to be disabled, the delivery held.
    Gone(Attempt),
}

impl Outcome {
    /// The try itself.
    #[must_use]
    pub fn attempt(&self) -> &Attempt {
        match self {
            Self::Delivered(attempt)
            | Self::Failed(attempt, _)
            | Self::Deferred(attempt, _)
            | Self::Refused(attempt)
            | Self::Gone(attempt) => attempt,
        }
    }
}

/// One kind of handler.
#[async_trait::async_trait]
pub trait Sink: Send + Sync {
    /// One try, bounded in time.
    async fn deliver(&self, subscription: &Subscription, claimed: &Claimed) -> Outcome;

    /// The same for this subscription alone, with all worked out that is the same for each of its tries; `None` where there is nothing of the kind.
    fn made_ready(&self, _: &Subscription) -> Option<Arc<dyn Sink>> {
        None
    }

    /// A delivery is given up after this last try of it. Told before that is durable: after a crash in between it is tried once more.
    async fn gave_up(&self, _: &Claimed, _: &Attempt) {}
}
