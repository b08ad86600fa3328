//! The vendors' clock: the given one, displaced by jumps.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::Notify;

use super::lock;
use crate::clock::{Clock, Look, Timestamp};

/// A clock that can be away from the one below it.
pub struct JumpingClock {
    below: Arc<dyn Clock>,
    away: Mutex<Away>,
    jumped: Notify,
}

/// How far it is away from the one below.
#[derive(Default, Clone, Copy)]
struct Away {
    by: SignedDuration,
    /// Time that passed beyond what the one below counts.
    leapt: Duration,
}

impl JumpingClock {
    /// A clock that agrees with `below` until it jumps.
    #[must_use]
    pub fn over(below: Arc<dyn Clock>) -> Self {
        Self { below, away: Mutex::default(), jumped: Notify::new() }
    }

    /// Jumps by `by`, backwards when negative.
    pub fn jump(&self, by: SignedDuration) {
        self.go(by, Duration::ZERO);
    }

    /// So much time passes at once: no clock was set.
    pub fn pass(&self, by: Duration) {
        self.go(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX), by);
    }

    fn go(&self, by: SignedDuration, leapt: Duration) {
        let mut away = lock(&self.away);
        away.by += by;
        away.leapt += leapt;
        drop(away);
        self.jumped.notify_waiters();
    }
}

#[async_trait::async_trait]
impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        self.below.now() + lock(&self.away).by
    }

    fn passed(&self) -> Duration {
        self.below.passed() + lock(&self.away).leapt
    }

    fn look(&self) -> Look {
        // Nobody moves it between the two.
        let away = lock(&self.away);
        let Look { wall, passed } = self.below.look();
        Look { wall: wall + away.by, passed: passed + away.leapt }
    }

    async fn sleep_until(&self, at: Timestamp) {
        while self.now() < at {
            let jumped = self.jumped.notified();
            let below = at - lock(&self.away).by;
            tokio::select! {
                () = self.below.sleep_until(below) => {}
                () = jumped => {}
            }
        }
    }
}
