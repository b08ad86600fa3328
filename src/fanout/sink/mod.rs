//! Where deliveries go: one try each. The schedule decides about more.

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
    /// It never will (410): the subscription is to be disabled, the delivery held.
    Gone(Attempt),
}

/// One kind of handler.
#[async_trait::async_trait]
pub trait Sink: Send + Sync {
    /// One try, bounded in time.
    async fn deliver(&self, subscription: &Subscription, claimed: &Claimed) -> Outcome;
}
