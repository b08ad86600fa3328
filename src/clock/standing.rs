//! Whether the wall clock can be believed, for those who forget by age: what was dropped because a clock was wrong for seconds does not come back
//! when it is right again.
//!
//! [`StandingClock`] is laid over the clock of a whole service. Everybody else reads [`Clock::now`], right or wrong; who drops something for its age
//! reads [`Clock::believed`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use super::{Clock, Look, Timestamp};

/// A step forward that is more than what setting a clock in good order takes, and than what passes between two looks.
const STEP: SignedDuration = SignedDuration::from_mins(5);

/// How long a clock must have stood after such a step: a machine that starts with a wrong clock hears of the right time within minutes.
const STANDS_AFTER: Duration = Duration::from_secs(3600);

/// How far the clock may be beyond what the store knows when a service starts. Two starts are apart by an upgrade, a repair or a night; what is
/// kept for the shortest time, the answers of requests with an `Idempotency-Key`, is kept for a day.
const APART: SignedDuration = SignedDuration::from_hours(24);

/// A clock with a memory of where it stood.
pub struct StandingClock {
    below: Arc<dyn Clock>,
    /// `None` before [`StandingClock::start`]: nothing is old then.
    belief: Mutex<Option<Belief>>,
}

impl Look {
    /// What the wall clock shows at `passed` if nobody sets it.
    fn onward(self, passed: Duration) -> Timestamp {
        self.wall.saturating_add(passed.saturating_sub(self.passed)).unwrap_or(Timestamp::MAX)
    }
}

/// What is believed.
#[derive(Debug, Clone, Copy)]
struct Belief {
    /// The last look of all.
    last: Look,
    /// The last look that was believed.
    good: Look,
    /// Since when, by the clock that nobody sets, the wall clock stands where it is not believed.
    doubted_since: Option<Duration>,
}

/// What a look changed.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// The clock went forward by so much at once.
    Ahead(SignedDuration),
    /// It is back.
    Back,
    /// It has stood long enough.
    Stands,
}

impl Belief {
    /// At a start: `known` is the latest moment that the store knows of, `None` for a new one.
    fn starting(look: Look, known: Option<Timestamp>) -> (Self, Option<News>) {
        match known {
            Some(known) if look.wall.duration_since(known) > APART => {
                let good = Look { wall: known, ..look };
                (Self { last: look, good, doubted_since: Some(look.passed) }, Some(News::Ahead(look.wall.duration_since(known))))
            }
            _ => (Self { last: look, good: look, doubted_since: None }, None),
        }
    }

    /// Takes a look: the present as far as it is believed, and what that changed.
    fn look(&mut self, look: Look) -> (Timestamp, Option<News>) {
        let step = look.wall.duration_since(self.last.onward(look.passed));
        self.last = look;
        let present = self.good.onward(look.passed);
        let news = match self.doubted_since {
            None if step > STEP => {
                self.doubted_since = Some(look.passed);
                Some(News::Ahead(step))
            }
            None => None,
            Some(_) if look.wall.duration_since(present) <= STEP => Some(News::Back),
            Some(_) if step.abs() > STEP => {
                self.doubted_since = Some(look.passed);
                None
            }
            Some(since) => (look.passed.saturating_sub(since) >= STANDS_AFTER).then_some(News::Stands),
        };
        if matches!(news, Some(News::Back | News::Stands)) {
            self.doubted_since = None;
        }
        if self.doubted_since.is_some() {
            return (present.min(look.wall), news);
        }
        self.good = look;
        (look.wall, news)
    }
}

impl StandingClock {
    /// Over that clock. Until [`StandingClock::start`] nothing is old.
    #[must_use]
    pub fn over(below: Arc<dyn Clock>) -> Self {
        Self { below, belief: Mutex::default() }
    }

    /// Begins to believe the clock, unless it is far beyond `known`, the latest moment that the store knows of: no clock of this process was
    /// there to see whether time passed or the clock is wrong.
    pub fn start(&self, known: Option<Timestamp>) {
        let (belief, news) = Belief::starting(self.below.look(), known);
        if let Some(News::Ahead(by)) = news {
            tracing::warn!(
                ahead = format!("{by:#}"),
                stands_at = %self.stands_at(&belief),
                "the clock is far beyond the last moment that the store knows of: what is kept for a time is not dropped by it until it has stood for an hour; \
                 check the clock, unless the service was stopped for so long"
            );
        }
        *self.belief() = Some(belief);
    }

    /// What people should know while the clock is not believed.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let look = self.below.look();
        let belief = *self.belief();
        let belief = belief.filter(|belief| belief.doubted_since.is_some())?;
        let by = look.wall.duration_since(belief.good.onward(look.passed));
        Some(format!(
            "the clock went forward by {by:#} at once: what is kept for a time is not dropped by it before {}; check the clock",
            self.stands_at(&belief)
        ))
    }

    /// When the clock will have stood long enough, by itself.
    fn stands_at(&self, belief: &Belief) -> Timestamp {
        let until = belief.doubted_since.map_or(Duration::ZERO, |since| since.saturating_add(STANDS_AFTER));
        self.below.look().onward(until)
    }

    fn belief(&self) -> MutexGuard<'_, Option<Belief>> {
        self.belief.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        self.below.now()
    }

    fn passed(&self) -> Duration {
        self.below.passed()
    }

    fn look(&self) -> Look {
        self.below.look()
    }

    fn believed(&self) -> Timestamp {
        let mut held = self.belief();
        let Some(belief) = held.as_mut() else { return Timestamp::MIN };
        // Under the lock: of two looks the later one comes last.
        let (present, news) = belief.look(self.below.look());
        let belief = *belief;
        drop(held);
        match news {
            Some(News::Ahead(by)) => tracing::warn!(
                ahead = format!("{by:#}"),
                stands_at = %self.stands_at(&belief),
                "the clock went forward at once: what is kept for a time is not dropped by it until it has stood for an hour; check the clock"
            ),
            Some(News::Back) => tracing::info!("the clock is back; nothing was dropped while it was ahead"),
            Some(News::Stands) => tracing::info!("the clock has stood for an hour since it went forward, and is believed"),
            None => {}
        }
        present
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.below.sleep_until(at).await;
    }
}
