//! The vendors' clock: the given one, displaced by jumps.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::Notify;

use super::lock;
use crate::clock::{Clock, Timestamp};

/// A clock that can be away from the one below it.
pub struct JumpingClock {
    below: Arc<dyn Clock>,
    away: Mutex<SignedDuration>,
    /// Time that passed beyond what the one below counts.
    leapt: Mutex<Duration>,
    jumped: Notify,
}

impl JumpingClock {
    /// A clock that agrees with `below` until it jumps.
    #[must_use]
    pub fn over(below: Arc<dyn Clock>) -> Self {
        Self { below, away: Mutex::new(SignedDuration::ZERO), leapt: Mutex::default(), jumped: Notify::new() }
    }

    /// Jumps by `by`, backwards when negative.
    pub fn jump(&self, by: SignedDuration) {
        *lock(&self.away) += by;
        self.jumped.notify_waiters();
    }

    /// So much time passes at once: no clock was set.
    pub fn pass(&self, by: Duration) {
        *lock(&self.leapt) += by;
        self.jump(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX));
    }
}

#[async_trait::async_trait]
impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        self.below.now() + *lock(&self.away)
    }

    fn passed(&self) -> Duration {
        self.below.passed() + *lock(&self.leapt)
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
