//! The machine's clock, and what becomes of sleepers when somebody sets it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use yizhan::clock::{Timestamp, sleep_by};

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nobody_sleep_longer() {
    let start: Timestamp = "2026-11-20T07:00:00Z".parse().unwrap();
    let is_set = AtomicBool::new(false);
    // The first look is before somebody sets it an hour back, every other after.
    let wall = || if is_set.swap(true, Ordering::SeqCst) { start - SignedDuration::from_hours(1) } else { start };
    let slept = tokio::time::timeout(Duration::from_secs(5), sleep_by(wall, start + SignedDuration::from_millis(20))).await;
    assert!(slept.is_ok());
}

#[tokio::test]
async fn a_moment_that_is_over_is_not_waited_for() {
    let now: Timestamp = "2026-11-20T07:00:00Z".parse().unwrap();
    for at in [now, Timestamp::MIN] {
        sleep_by(|| now, at).await;
    }
}
