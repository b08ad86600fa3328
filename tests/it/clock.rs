//! The machine's clock, and what becomes of sleepers when somebody sets it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use jiff::SignedDuration;
use yizhan::clock::{Clock, ManualClock, StandingClock, Timestamp, sleep_by};
use yizhan::simulator::clock::JumpingClock;

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

fn start() -> Timestamp {
    "2026-11-20T07:00:00Z".parse().unwrap()
}

/// A clock that stood at `known` when the last process ended.
fn standing(known: Option<Timestamp>) -> (Arc<ManualClock>, StandingClock) {
    let wall = Arc::new(ManualClock::starting_at(start()));
    let clock = StandingClock::over(wall.clone());
    assert_eq!(clock.believed(), Timestamp::MIN, "nothing is old before it is known what time it was");
    clock.start(known);
    (wall, clock)
}

const DAYS: SignedDuration = SignedDuration::from_hours(40 * 24);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

#[test]
fn time_that_passes_is_believed_however_long_nobody_looks() {
    let (wall, clock) = standing(None);
    wall.advance(DAYS);
    assert_eq!(clock.believed(), start() + DAYS);
    wall.step(MINUTE * 4);
    assert_eq!(clock.believed(), start() + DAYS + MINUTE * 4, "as a time server sets it");
    wall.step(-DAYS);
    assert_eq!(clock.believed(), wall.now(), "what is younger than it is drops nothing");
    assert_eq!(clock.remark(), None);
}

#[test]
fn time_that_passes_while_somebody_looks_is_believed() {
    let by_hand = Arc::new(ManualClock::starting_at(start()));
    let leaping = Arc::new(JumpingClock::over(by_hand.clone()));
    let clock = Arc::new(StandingClock::over(leaping.clone()));
    clock.start(None);
    let (looking, begun) = (clock.clone(), Arc::new(Barrier::new(2)));
    let looks = begun.clone();
    let looker = std::thread::spawn(move || {
        looks.wait();
        while looking.believed() < start() + DAYS {}
    });
    begun.wait();
    for _ in 0..4000 {
        by_hand.advance(MINUTE * 10);
        leaping.pass(Duration::from_secs(600));
        assert_eq!(clock.remark(), None);
    }
    looker.join().unwrap();
}

#[test]
fn a_clock_that_goes_forward_at_once_is_believed_after_an_hour() {
    let (wall, clock) = standing(None);
    wall.step(DAYS);
    assert_eq!(clock.believed(), start());
    wall.advance(MINUTE * 59);
    assert_eq!(clock.believed(), start() + MINUTE * 59, "meanwhile time goes on as it did");
    let remark = clock.remark().unwrap();
    assert!(remark.contains("960") && remark.contains("2026-12-30T08:00:00Z"), "{remark}");
    wall.advance(MINUTE);
    assert_eq!(clock.believed(), wall.now());
    assert_eq!(clock.remark(), None);
}

#[test]
fn a_clock_that_moves_meanwhile_has_to_stand_anew() {
    let (wall, clock) = standing(None);
    wall.step(DAYS);
    clock.believed();
    wall.advance(MINUTE * 50);
    wall.step(-MINUTE * 10);
    clock.believed();
    wall.advance(MINUTE * 50);
    assert_eq!(clock.believed(), start() + MINUTE * 100);
    wall.step(-DAYS + MINUTE * 10);
    assert_eq!(clock.believed(), wall.now(), "it is back");
    assert_eq!(clock.remark(), None);
}

#[test]
fn a_start_holds_the_clock_against_what_the_store_knows() {
    let (wall, clock) = standing(Some(start() - SignedDuration::from_hours(24)));
    assert_eq!(clock.believed(), wall.now(), "a night");
    let (wall, clock) = standing(Some(start() - DAYS));
    assert_eq!(clock.believed(), start() - DAYS);
    wall.advance(MINUTE * 60);
    assert_eq!(clock.believed(), wall.now(), "the service was stopped for so long");
    let (wall, clock) = standing(Some(start() + DAYS));
    assert_eq!(clock.believed(), wall.now());
}

#[tokio::test]
async fn a_clock_moved_by_hand_that_is_set_back_makes_nobody_sleep_longer() {
    let wall = Arc::new(ManualClock::starting_at(start()));
    let sleeper = tokio::spawn({
        let wall = wall.clone();
        async move { wall.sleep_until(start() + MINUTE).await }
    });
    while !wall.is_awaited(start() + MINUTE) {
        tokio::task::yield_now().await;
    }
    wall.step(-DAYS);
    wall.advance(MINUTE);
    sleeper.await.unwrap();
}
