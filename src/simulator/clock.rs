//! The vendors' clock: the given one, displaced by jumps.

use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use tokio::sync::Notify;

use super::lock;
use crate::clock::{Clock, Timestamp};

/// A clock that can be away from the one below it.
pub struct JumpingClock {
    below: Arc<dyn Clock>,
    away: Mutex<SignedDuration>,
    jumped: Notify,
}

impl JumpingClock {
    /// A clock that agrees with `below` until it jumps.
    #[must_use]
    pub fn over(below: Arc<dyn Clock>) -> Self {
        Self { below, away: Mutex::new(SignedDuration::ZERO), jumped: Notify::new() }
    }

    /// Jumps by `by`, backwards when negative.
    pub fn jump(&self, by: SignedDuration) {
        *lock(&self.away) += by;
        self.jumped.notify_waiters();
    }
}

#[async_trait::async_trait]
impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        self.below.now() + *lock(&self.away)
    }

    async fn sleep_until(&self, at: Timestamp) {
        while self.now() < at {
            let jumped = self.jumped.notified();
            let below = at - *lock(&self.away);
            tokio::select! {
                () = self.below.sleep_until(below) => {}
                () = jumped => {}
            }
        }
    }
}
