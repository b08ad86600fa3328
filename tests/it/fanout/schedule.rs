//! The schedule, as numbers.

use std::time::Duration;

use uuid::Uuid;
use yizhan::clock::Timestamp;
use yizhan::fanout::DeliveryId;
use yizhan::fanout::delivery::Lane;
use yizhan::fanout::schedule::{Pace, UnderWay, ahead, next_attempt, retry_after, room, turns};

const TABLE: [u64; 10] = [5, 30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600];

fn table() -> Vec<Duration> {
    TABLE.iter().map(|seconds| Duration::from_secs(*seconds)).collect()
}

fn now() -> Timestamp {
    "2026-11-20T08:00:00Z".parse().unwrap()
}

fn id(number: u128) -> DeliveryId {
    DeliveryId(Uuid::from_u128(number))
}

#[test]
fn each_wait_of_the_table_is_spread_by_a_tenth_at_most() {
    for (place, seconds) in TABLE.iter().enumerate() {
        let mut waits = std::collections::BTreeSet::new();
        for number in 0..200 {
            let at = next_attempt(&table(), place + 1, id(number), now(), None).unwrap();
            let wait = at.duration_since(now()).as_millis();
            let base = i128::from(*seconds) * 1000;
            assert!((base * 9 / 10..=base * 11 / 10).contains(&wait), "{wait} of {base}");
            waits.insert(wait);
        }
        assert!(waits.len() > 50, "200 deliveries come back at {} moments", waits.len());
    }
}

#[test]
fn after_the_last_wait_it_is_dead() {
    assert_eq!(next_attempt(&table(), 11, id(1), now(), None), None);
    // Its table was made shorter in the meantime.
    assert_eq!(next_attempt(&table(), 40, id(1), now(), None), None);
    assert_eq!(next_attempt(&[], 1, id(1), now(), None), None);
}

#[test]
fn the_later_of_table_and_retry_after_is_obeyed_up_to_a_day() {
    let in_seconds = |seconds: i64| now() + jiff::SignedDuration::from_secs(seconds);
    let wait = |failed, wish| next_attempt(&table(), failed, id(1), now(), Some(in_seconds(wish))).unwrap().duration_since(now()).as_secs();
    assert_eq!(wait(1, 3600), 3600);
    assert!(wait(4, 1) >= 540);
    assert_eq!(wait(1, 10 * 86_400), 86_400);
    assert!(wait(1, -50) >= 4);
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    assert_eq!(retry_after("120", now()), Some("2026-11-20T08:02:00Z".parse().unwrap()));
    assert_eq!(retry_after(" 0 ", now()), Some(now()));
    assert_eq!(retry_after("Fri, 20 Nov 2026 08:05:00 GMT", now()), Some("2026-11-20T08:05:00Z".parse().unwrap()));
    assert_eq!(retry_after("99999999999999999999999", now()), Some("2026-11-21T08:00:00Z".parse().unwrap()));
    for nonsense in ["", "soon", "-5", "1.5", "Fri, 99 Nov 2026 08:05:00 GMT"] {
        assert_eq!(retry_after(nonsense, now()), None, "{nonsense}");
    }
}

#[test]
fn no_lane_takes_the_last_slot() {
    let under_way = |first, retry| UnderWay { first, retry };
    assert_eq!(room(Lane::First, 8, under_way(0, 0), usize::MAX), 7);
    assert_eq!(room(Lane::First, 8, under_way(7, 0), usize::MAX), 0);
    assert_eq!(room(Lane::Retry, 8, under_way(7, 0), usize::MAX), 1);
    assert_eq!(room(Lane::First, 8, under_way(0, 7), usize::MAX), 1);
    assert_eq!(room(Lane::Retry, 8, under_way(0, 0), 3), 3);
    assert_eq!(room(Lane::First, 1, under_way(0, 0), usize::MAX), 1);
    assert_eq!(room(Lane::First, 1, under_way(0, 1), usize::MAX), 0);
    // A subscription whose concurrency was made smaller while more were under way.
    assert_eq!(room(Lane::First, 2, under_way(3, 3), usize::MAX), 0);
}

#[test]
fn every_fourth_time_a_retry_goes_first() {
    let first_asked: Vec<Lane> = (0..8).map(|pass| turns(pass)[0].0).collect();
    assert_eq!(first_asked.iter().filter(|lane| **lane == Lane::Retry).count(), 2);
}

#[test]
fn a_pace_is_kept_over_a_minute() {
    for rate in [1, 7, 100, 1000] {
        let mut pace = Pace::new(Some(rate), now());
        let (mut at, mut started) = (now(), 0usize);
        let end = now() + jiff::SignedDuration::from_secs(60);
        while at < end {
            let allowed = pace.allowed(at);
            assert!(allowed > 0);
            pace.took(allowed, at);
            started += allowed;
            at = pace.next().max(at);
            assert!(pace.allowed(at) > 0, "rate {rate}: nothing is allowed at the time that was promised");
        }
        let most = usize::try_from(rate).unwrap() * 60;
        assert!((most..=most + most / 50 + 1).contains(&started), "rate {rate}: {started}");
    }
    assert_eq!(Pace::new(None, now()).allowed(now()), usize::MAX);
}

#[test]
fn idle_time_is_not_saved_up() {
    let mut pace = Pace::new(Some(10), now());
    pace.took(1, now());
    assert_eq!(pace.allowed(now()), 0);
    assert_eq!(pace.allowed(now() + jiff::SignedDuration::from_secs(3600)), 1);
}

#[test]
fn a_clock_that_was_set_back_stops_nobody() {
    let mut pace = Pace::new(Some(1), now() + jiff::SignedDuration::from_secs(3600));
    pace.took(1, now() + jiff::SignedDuration::from_secs(3600));
    assert_eq!(pace.allowed(now()), 1);
    pace.took(1, now());
    assert_eq!((pace.allowed(now()), pace.next()), (0, now() + jiff::SignedDuration::from_secs(1)));
}

#[test]
fn ahead_is_claimed_only_for_a_handler_that_answers_and_never_more_than_there_are_slots() {
    assert_eq!([0, 1, 3, 100].map(|ended| ahead(16, ended)), [0, 2, 6, 15]);
    assert_eq!((ahead(1, 0), ahead(1, 9), ahead(2, usize::MAX)), (0, 1, 1));
}
