//! What time it is, as an argument: the system's clock, or one that a test moves by hand.
//!
//! The only room that reads the system's time. Everybody else is handed a [`Clock`] or a [`Timestamp`].

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use jiff::Timestamp;
use jiff::{
    SignedDuration,
    fmt::temporal::DateTimePrinter,
    tz::{self, TimeZone},
};
use tokio::sync::watch;

mod standing;

pub use standing::StandingClock;

/// A moment by both clocks: the one that can be set, and the one that nobody sets.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// What the wall clock shows.
    pub wall: Timestamp,
    /// See [`Clock::passed`].
    pub passed: Duration,
}

/// A source of time that can be waited on.
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// How much time has passed since some moment, by a clock that nobody sets. Of a clock that nobody sets, its own.
    fn passed(&self) -> Duration {
        Duration::try_from(self.now().duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default()
    }
    /// [`Clock::now`] and [`Clock::passed`] of one moment.
    fn look(&self) -> Look {
        Look { wall: self.now(), passed: self.passed() }
    }
    /// The present for whoever drops something because of its age: [`Clock::now`], but earlier while that cannot be believed (see [`StandingClock`]).
    fn believed(&self) -> Timestamp {
        self.now()
    }
    /// Returns once [`Clock::now`] is `at` or later, or when as much time has passed as there was until then: a clock that is set back
    /// meanwhile makes nobody wait longer than was meant.
    async fn sleep_until(&self, at: Timestamp);
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

/// Longest single sleep: a wall clock that is set forward is noticed within this time.
const LONGEST_NAP: Duration = Duration::from_secs(5);

#[async_trait::async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn passed(&self) -> Duration {
        /// Stands still while the machine sleeps, too: the wall clock of one that wakes has gone forward at once, which is as good as unknown.
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }

    async fn sleep_until(&self, at: Timestamp) {
        sleep_by(|| self.now(), at).await;
    }
}

/// Sleeps by a wall clock that may be set while one sleeps: forward is noticed within [`LONGEST_NAP`], and backward costs nothing, because the
/// time that passes is measured beside it.
pub async fn sleep_by(wall: impl Fn() -> Timestamp, at: Timestamp) {
    let until = |now: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
    let (meant, began) = (until(wall()), Instant::now());
    let mut left = meant;
    while !left.is_zero() {
        tokio::time::sleep(left.min(LONGEST_NAP)).await;
        left = until(wall()).min(meant.saturating_sub(began.elapsed()));
    }
}

/// A clock that stands still until it is moved; sleepers wake as soon as their time is reached.
#[derive(Debug)]
pub struct ManualClock {
    moved: watch::Sender<Look>,
    moving: Mutex<()>,
    /// Moments that sleepers wait for, each as often as there are, so that a story can go on once somebody sleeps.
    awaited: Mutex<Vec<Timestamp>>,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn starting_at(now: Timestamp) -> Self {
        let moved = Look { wall: now, passed: Duration::ZERO };
        Self { moved: watch::Sender::new(moved), moving: Mutex::new(()), awaited: Mutex::default() }
    }

    /// Whether somebody sleeps until exactly that moment.
    #[must_use]
    pub fn is_awaited(&self, at: Timestamp) -> bool {
        self.awaited().contains(&at)
    }

    fn awaited(&self) -> MutexGuard<'_, Vec<Timestamp>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time passes: the clock moves by `by`. Time does not pass backwards; a negative `by` sets the clock back.
    pub fn advance(&self, by: SignedDuration) {
        self.move_by(by, Duration::try_from(by).unwrap_or_default());
    }

    /// Somebody sets the clock by `by`, forward or back, and no time passes.
    pub fn step(&self, by: SignedDuration) {
        self.move_by(by, Duration::ZERO);
    }

    fn move_by(&self, by: SignedDuration, passed: Duration) {
        let _alone = self.moving.lock();
        let former = *self.moved.borrow();
        self.moved.send_replace(Look { wall: former.wall + by, passed: former.passed.saturating_add(passed) });
    }
}

#[async_trait::async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.look().wall
    }

    fn passed(&self) -> Duration {
        self.look().passed
    }

    fn look(&self) -> Look {
        *self.moved.borrow()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let mut seen = self.moved.subscribe();
        let began = *seen.borrow();
        let meant = Duration::try_from(at.duration_since(began.wall)).unwrap_or_default();
        let is_over = |moved: &Look| moved.wall >= at || moved.passed.saturating_sub(began.passed) >= meant;
        self.awaited().push(at);
        let _sleeping = Sleeping { clock: self, at };
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = seen.wait_for(is_over).await;
    }
}

/// One sleeper, until it wakes or is dropped.
struct Sleeping<'a> {
    clock: &'a ManualClock,
    at: Timestamp,
}

impl Drop for Sleeping<'_> {
    fn drop(&mut self) {
        let mut awaited = self.clock.awaited();
        if let Some(index) = awaited.iter().position(|at| *at == self.at) {
            awaited.swap_remove(index);
        }
    }
}

/// Clocks of vendors and ours may differ by this much, and vendors cut their times to seconds.
pub const SLACK: SignedDuration = SignedDuration::from_secs(30);

/// The offset of China Standard Time, in which all four vendors write their times.
pub const CHINA: tz::Offset = tz::offset(8);

/// Reads a vendor's zone-less local time (`2019-01-14 12:45:10`, also with `/` or `T`) as China Standard Time.
#[must_use]
pub fn china_time(text: &str) -> Option<Timestamp> {
    local_time(text, CHINA)
}

/// [`china_time`] at another offset.
#[must_use]
pub fn local_time(text: &str, zone: tz::Offset) -> Option<Timestamp> {
    let text = text.trim().replace('/', "-").replace(' ', "T");
    let local: jiff::civil::DateTime = text.parse().ok()?;
    TimeZone::fixed(zone).to_timestamp(local).ok()
}

/// Reads an offset from UTC as RFC 3339 writes it: `+08:00`, `Z`. None on earth is above 14 hours.
#[must_use]
pub fn offset(text: &str) -> Option<tz::Offset> {
    let text = text.trim();
    if !text.starts_with(['+', '-', 'Z']) || text.len() > "+08:00".len() {
        return None;
    }
    let offset = jiff::fmt::temporal::Pieces::parse(&format!("2000-01-01T00:00{text}")).ok()?.to_numeric_offset()?;
    (offset.seconds().abs() <= 14 * 3600).then_some(offset)
}

/// Writes a moment as vendors do: `2019-01-14 12:45:10`, China Standard Time.
#[must_use]
pub fn china_text(at: Timestamp) -> String {
    local_text(at, CHINA)
}

/// [`china_text`] at another offset.
#[must_use]
pub fn local_text(at: Timestamp, zone: tz::Offset) -> String {
    zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Writes a moment as RFC 3339 in UTC, always with three decimals: `2026-11-20T07:04:05.120Z`.
#[must_use]
pub fn utc_rfc3339(at: Timestamp) -> String {
    const MILLISECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    MILLISECONDS.timestamp_to_string(&at)
}

/// Writes a moment as RFC 3339 with the China offset, seconds precision: `2026-11-20T15:04:05+08:00`.
#[must_use]
pub fn china_rfc3339(at: Timestamp) -> String {
    const SECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
    SECONDS.timestamp_with_offset_to_string(&at, CHINA)
}
