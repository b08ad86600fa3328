//! Workers: claim, one try each, settle. The tests run on one thread, so that "nothing is tried" can be known by yielding.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::time::Duration;

use yizhan::event_type::EventType;
use yizhan::fanout::delivery::{Delivery, Status};
use yizhan::fanout::subscription::{Ordering, State, VAULT};
use yizhan::fanout::{RetryError, Subscription};
use yizhan::inbox::log::Audience as _;

use super::world::{Deed, World, soon, start_of_time, subscription};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn an_event_is_delivered_once() {
    let mut world = World::new(vec![subscription("bot")], |_, _| Deed::Take).await;
    world.push("bot", "tt1");
    let tried = world.next_try().await;
    assert_eq!((tried.sequence, tried.attempt), (1, 1));
    world.memory.until(|rows| rows[0].delivery.status == Status::Delivered).await;
    let rows = world.memory.rows.lock().unwrap().clone();
    assert_eq!((rows[0].delivery.attempts.len(), rows[0].delivery.next_attempt_at), (1, None));
    world.nothing_is_tried().await;
}

#[tokio::test]
async fn a_delivery_of_which_nobody_told_its_worker_is_found_after_a_minute() {
    let mut world = World::new(vec![subscription("bot")], |_, _| Deed::Take).await;
    world.nothing_is_tried().await;
    let event = world.memory.event("douyin", "tt1", yizhan::event_type::EventType::AuditPassed, start_of_time());
    world.memory.put(&event, "bot", start_of_time(), 0);
    world.nothing_is_tried().await;
    for _ in 0..6 {
        world.advance(seconds(15));
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(world.next_try().await.sequence, event.sequence);
}

#[tokio::test]
async fn what_waited_before_the_start_is_delivered_oldest_first() {
    let mut world = World::still(Arc::default(), vec![Subscription { concurrency: 1, ..subscription("bot") }], |_, _| Deed::Take).await;
    for authorizer in ["a", "b", "c", "d", "e"] {
        world.push("bot", authorizer);
    }
    world.run();
    let sequences: Vec<u64> = world.next_tries(5).await.iter().map(|tried| tried.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_failed_one_is_tried_again_at_its_time_and_is_dead_after_the_last() {
    let mut world = World::new(vec![subscription("bot")], |_, _| Deed::Fail).await;
    world.push("bot", "tt1");
    world.next_try().await;
    world.memory.until(|rows| rows[0].delivery.attempts.len() == 1).await;
    world.advance(seconds(8));
    world.nothing_is_tried().await;
    world.advance(seconds(4));
    assert_eq!(world.next_try().await.attempt, 2);
    world.memory.until(|rows| rows[0].delivery.attempts.len() == 2).await;
    world.advance(seconds(53));
    world.nothing_is_tried().await;
    world.advance(seconds(14));
    assert_eq!(world.next_try().await.attempt, 3);
    world.memory.until(|rows| rows[0].delivery.status == Status::Dead).await;
    world.advance(seconds(100_000));
    world.nothing_is_tried().await;
}

#[tokio::test]
async fn a_handler_that_says_when_is_obeyed() {
    let until = start_of_time() + jiff::SignedDuration::from_secs(300);
    let mut world = World::new(vec![subscription("bot")], move |_, _| Deed::FailUntil(until)).await;
    world.push("bot", "tt1");
    world.next_try().await;
    world.memory.until(|rows| rows[0].delivery.next_attempt_at == Some(until)).await;
    world.advance(seconds(299));
    world.nothing_is_tried().await;
    world.advance(seconds(1));
    assert_eq!(world.next_try().await.attempt, 2);
}

#[tokio::test]
async fn what_is_refused_for_good_is_dead_at_once() {
    let mut world = World::new(vec![subscription("bot")], |_, _| Deed::Refuse).await;
    world.push("bot", "tt1");
    world.next_try().await;
    world.memory.until(|rows| rows[0].delivery.status == Status::Dead).await;
}

#[tokio::test]
async fn a_slow_handler_delays_no_other() {
    let mut world =
        World::new(
            vec![subscription("quick"), subscription("slow")],
            |subscription, _| {
                if subscription.name == "slow" { Deed::Hang } else { Deed::Take }
            },
        )
        .await;
    for _ in 0..50 {
        world.push("slow", "tt1");
        world.push("quick", "tt1");
    }
    world.memory.until(|rows| rows.iter().filter(|row| row.delivery.status == Status::Delivered).count() == 50).await;
    let hanging = world.memory.rows.lock().unwrap().iter().filter(|row| row.claimed).count();
    // Three of its four slots: the last one is for retries.
    assert_eq!(hanging, 3);
    world.let_go();
    world.memory.until(|rows| rows.iter().all(|row| row.delivery.status == Status::Delivered)).await;
    world.next_tries(100).await;
}

#[tokio::test]
async fn hanging_retries_do_not_starve_first_attempts() {
    let mut world =
        World::still(
            Arc::default(),
            vec![subscription("bot")],
            |_, claimed| {
                if claimed.delivery.attempts.is_empty() { Deed::Take } else { Deed::Hang }
            },
        )
        .await;
    for _ in 0..20 {
        let event = world.memory.event("douyin", "tt1", yizhan::event_type::EventType::AuditPassed, start_of_time());
        world.memory.put(&event, "bot", start_of_time(), 1);
    }
    world.run();
    world.next_tries(3).await;
    world.nothing_is_tried().await;
    for _ in 0..10 {
        world.push("bot", "tt2");
        assert_eq!(world.next_try().await.attempt, 1);
    }
    world.memory.until(|rows| rows.iter().filter(|row| row.delivery.status == Status::Delivered).count() == 10).await;
}

#[tokio::test]
async fn hanging_first_attempts_do_not_starve_retries() {
    let mut world =
        World::still(
            Arc::default(),
            vec![subscription("bot")],
            |_, claimed| {
                if claimed.delivery.attempts.is_empty() { Deed::Hang } else { Deed::Take }
            },
        )
        .await;
    for failed in [0, 0, 0, 0, 0, 0, 1, 1, 1] {
        let event = world.memory.event("douyin", "tt1", yizhan::event_type::EventType::AuditPassed, start_of_time());
        world.memory.put(&event, "bot", start_of_time(), failed);
    }
    world.run();
    world.memory.until(|rows| rows.iter().filter(|row| row.delivery.status == Status::Delivered).count() == 3).await;
    world.next_tries(6).await;
}

#[tokio::test]
async fn a_retry_that_comes_due_while_first_attempts_hang_is_tried() {
    let mut world = World::new(vec![subscription("bot")], |_, claimed| match (claimed.event.sequence, claimed.delivery.attempts.len()) {
        (1, 0) => Deed::Fail,
        (1, _) => Deed::Take,
        _ => Deed::Hang,
    })
    .await;
    world.push("bot", "tt1");
    world.next_try().await;
    world.memory.until(|rows| rows[0].delivery.attempts.len() == 1).await;
    for _ in 0..10 {
        world.push("bot", "tt2");
    }
    world.next_tries(3).await;
    world.nothing_is_tried().await;
    world.advance(seconds(12));
    assert_eq!(world.next_try().await.sequence, 1);
    world.memory.until(|rows| rows[0].delivery.status == Status::Delivered).await;
}

#[tokio::test]
async fn a_retry_of_before_the_start_is_tried_in_the_middle_of_a_backlog() {
    let narrow = Subscription { rate: Some(1), ..subscription("bot") };
    let mut world = World::still(Arc::default(), vec![narrow], |_, _| Deed::Take).await;
    let old = world.memory.event("douyin", "tt1", yizhan::event_type::EventType::AuditPassed, start_of_time());
    world.memory.put(&old, "bot", start_of_time() + jiff::SignedDuration::from_secs(20), 1);
    for _ in 0..100 {
        world.push("bot", "tt2");
    }
    world.run();
    let mut retried_at = None;
    for second in 0..30 {
        if world.next_try().await.attempt == 2 {
            retried_at = Some(second);
        }
        world.nothing_is_tried().await;
        world.advance(seconds(1));
    }
    assert!(retried_at.is_some_and(|second| (20..25).contains(&second)), "{retried_at:?}");
}

#[tokio::test]
async fn one_slot_and_a_narrow_rate_are_shared() {
    let narrow = Subscription { concurrency: 1, rate: Some(1), ..subscription("bot") };
    let mut world = World::still(Arc::default(), vec![narrow], |_, _| Deed::Take).await;
    for failed in [0; 40].into_iter().chain([1; 40]) {
        let event = world.memory.event("douyin", "tt1", yizhan::event_type::EventType::AuditPassed, start_of_time());
        world.memory.put(&event, "bot", start_of_time(), failed);
    }
    world.run();
    let mut lanes = [0, 0];
    for _ in 0..16 {
        let tried = world.next_try().await;
        lanes[tried.attempt - 1] += 1;
        world.nothing_is_tried().await;
        world.advance(seconds(1));
    }
    assert_eq!(lanes, [12, 4]);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let mut world = World::new(vec![Subscription { rate: Some(2), concurrency: 8, ..subscription("bot") }], |_, _| Deed::Take).await;
    for _ in 0..5 {
        world.push("bot", "tt1");
    }
    let mut moments = vec![world.next_try().await.at];
    for _ in 0..4 {
        world.nothing_is_tried().await;
        world.advance(Duration::from_millis(500));
        moments.push(world.next_try().await.at);
    }
    assert_eq!(moments[4].duration_since(moments[0]).as_secs(), 2);
}

#[tokio::test]
async fn a_failing_event_holds_back_only_its_own_authorizer() {
    let ordered = Subscription { ordering: Ordering::Authorizer, concurrency: 8, ..subscription("bot") };
    let broken = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&broken);
    let mut world = World::new(vec![ordered], move |_, claimed| {
        let stuck = claimed.event.authorizer.as_deref() == Some("stuck");
        if stuck && down.load(Atomic::SeqCst) { Deed::Fail } else { Deed::Take }
    })
    .await;
    for _ in 0..4 {
        world.push("bot", "stuck");
        world.push("bot", "free");
    }
    world.memory.until(|rows| rows.iter().filter(|row| row.delivery.status == Status::Delivered).count() == 4).await;
    let tries = world.next_tries(5).await;
    let of = |name: &str| tries.iter().filter(|tried| tried.authorizer == name).map(|tried| tried.sequence).collect::<Vec<_>>();
    assert_eq!((of("stuck"), of("free")), (vec![1], vec![2, 4, 6, 8]));
    broken.store(false, Atomic::SeqCst);
    world.memory.until(|rows| rows[0].delivery.attempts.len() == 1).await;
    world.advance(seconds(12));
    world.memory.until(|rows| rows.iter().all(|row| row.delivery.status == Status::Delivered)).await;
    let sequences: Vec<u64> = world.next_tries(4).await.iter().map(|tried| tried.sequence).collect();
    assert_eq!(sequences, [1, 3, 5, 7]);
}

#[tokio::test]
async fn a_handler_that_was_down_for_an_hour_gets_everything_in_order_per_authorizer() {
    let table = vec![seconds(5), seconds(30), seconds(120), seconds(600), seconds(1800), seconds(3600), seconds(7200)];
    let ordered = Subscription { ordering: Ordering::Authorizer, concurrency: 8, retry: Some(table), ..subscription("bot") };
    let broken = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&broken);
    let mut world = World::new(vec![ordered], move |_, _| if down.load(Atomic::SeqCst) { Deed::Fail } else { Deed::Take }).await;
    for minute in 0..60 {
        world.push("bot", ["a", "b", "c"][minute % 3]);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        world.advance(seconds(60));
    }
    assert_eq!(world.memory.count(Status::Delivered), 0);
    while world.memory.count(Status::Pending) < 60 {
        tokio::task::yield_now().await;
    }
    broken.store(false, Atomic::SeqCst);
    for _ in 0..130 {
        world.advance(seconds(60));
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    world.memory.until(|rows| rows.iter().all(|row| row.delivery.status == Status::Delivered)).await;
    world.shutdown.request();
    let mut last = std::collections::HashMap::new();
    let mut tried = 0usize;
    while tried < world.memory.rows.lock().unwrap().iter().map(|row| row.delivery.attempts.len()).sum::<usize>() {
        let one = world.next_try().await;
        tried += 1;
        let before = last.insert(one.authorizer.clone(), one.sequence).unwrap_or_default();
        assert!(one.sequence >= before, "{} after {before}", one.sequence);
    }
    assert!(tried > 60);
}

#[tokio::test]
async fn a_paused_subscription_holds_and_delivers_in_order_when_it_is_resumed() {
    let mut world = World::new(vec![Subscription { concurrency: 1, ..subscription("bot") }], |_, _| Deed::Take).await;
    world.fanout.set_state("bot", State::Paused).await.unwrap();
    for _ in 0..5 {
        world.push("bot", "tt1");
    }
    world.nothing_is_tried().await;
    assert_eq!(world.fanout.depth("bot").await.unwrap().pending, 5);
    world.fanout.set_state("bot", State::Active).await.unwrap();
    let sequences: Vec<u64> = world.next_tries(5).await.iter().map(|tried| tried.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn what_is_under_way_when_it_is_paused_ends() {
    let mut world = World::new(vec![subscription("bot")], |_, _| Deed::Hang).await;
    world.push("bot", "tt1");
    world.next_try().await;
    world.fanout.set_state("bot", State::Paused).await.unwrap();
    world.push("bot", "tt1");
    world.let_go();
    world.memory.until(|rows| rows[0].delivery.status == Status::Delivered).await;
    world.nothing_is_tried().await;
    assert_eq!(world.memory.count(Status::Pending), 1);
}

#[tokio::test]
async fn a_handler_that_is_gone_disables_its_subscription_durably_and_loses_nothing() {
    let back = Arc::new(AtomicBool::new(false));
    let alive = Arc::clone(&back);
    let mut world =
        World::new(vec![subscription("bot")], move |_, _| if alive.load(Atomic::SeqCst) { Deed::Take } else { Deed::Gone }).await;
    world.push("bot", "tt1");
    world.next_try().await;
    world.memory.until(|rows| !rows[0].claimed).await;
    let gone = world.memory.rows.lock().unwrap()[0].delivery.clone();
    assert_eq!(
        (gone.status, gone.attempts.len(), gone.next_attempt_at),
        (Status::Pending, 1, Some(start_of_time())),
        "the answer is on record"
    );
    assert_eq!(world.fanout.subscription("bot").unwrap().state, State::Disabled);
    assert_eq!(world.memory.book.lock().unwrap()["bot"].state, State::Disabled);
    world.push("bot", "tt1");
    world.advance(seconds(1000));
    world.nothing_is_tried().await;
    assert_eq!(world.memory.count(Status::Pending), 2);
    // After a restart it is still disabled.
    let restarted = World::still(Arc::clone(&world.memory), vec![subscription("bot")], |_, _| Deed::Take).await;
    assert_eq!(restarted.fanout.subscription("bot").unwrap().state, State::Disabled);
    back.store(true, Atomic::SeqCst);
    world.fanout.set_state("bot", State::Active).await.unwrap();
    world.memory.until(|rows| rows.iter().all(|row| row.delivery.status == Status::Delivered)).await;
    assert_eq!(world.memory.rows.lock().unwrap()[0].delivery.attempts.len(), 2);
}

#[tokio::test]
async fn shutdown_waits_for_what_is_under_way_and_claims_no_more() {
    let mut world = World::still(Arc::default(), vec![Subscription { concurrency: 1, ..subscription("bot") }], |_, _| Deed::Hang).await;
    world.push("bot", "tt1");
    world.push("bot", "tt1");
    let running = world.run();
    world.next_try().await;
    world.shutdown.request();
    world.nothing_is_tried().await;
    assert!(!running.is_finished());
    world.let_go();
    soon(running).await.unwrap();
    assert_eq!((world.memory.count(Status::Delivered), world.memory.count(Status::Pending)), (1, 1));
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_period_is_given_back() {
    let mut world = World::still(Arc::default(), vec![subscription("bot")], |_, _| Deed::Hang).await;
    world.push("bot", "tt1");
    let running = world.run();
    world.next_try().await;
    world.shutdown.request();
    world.nothing_is_tried().await;
    world.advance(seconds(5));
    soon(running).await.unwrap();
    let rows = world.memory.rows.lock().unwrap().clone();
    assert_eq!((rows[0].claimed, rows[0].delivery.status, rows[0].delivery.attempts.len()), (false, Status::Pending, 0));
}

#[tokio::test]
async fn a_store_without_room_is_asked_again() {
    let mut world = World::new(vec![subscription("bot")], |_, _| Deed::Take).await;
    world.nothing_is_tried().await;
    world.memory.trouble.store(true, Atomic::SeqCst);
    world.push("bot", "tt1");
    world.nothing_is_tried().await;
    world.advance(seconds(1));
    world.next_try().await;
    world.memory.until(|rows| rows[0].delivery.status == Status::Delivered).await;
}

#[tokio::test]
async fn a_settlement_that_found_no_room_is_offered_again() {
    let mut world = World::new(vec![subscription("bot")], |_, _| Deed::Hang).await;
    world.push("bot", "tt1");
    world.next_try().await;
    world.memory.trouble.store(true, Atomic::SeqCst);
    world.let_go();
    world.nothing_is_tried().await;
    world.advance(seconds(1));
    world.memory.until(|rows| rows[0].delivery.status == Status::Delivered).await;
    world.nothing_is_tried().await;
}

#[tokio::test]
async fn a_sink_with_a_fault_does_not_lose_its_slot() {
    let mut world = World::new(vec![Subscription { concurrency: 1, ..subscription("bot") }], |_, claimed| {
        if claimed.event.sequence == 1 { Deed::Panic } else { Deed::Take }
    })
    .await;
    world.push("bot", "tt1");
    world.next_try().await;
    world.push("bot", "tt1");
    assert_eq!(world.next_try().await.sequence, 2);
}

#[tokio::test]
async fn a_subscription_made_while_running_gets_a_worker_and_a_deleted_one_loses_it() {
    let mut world = World::new(Vec::new(), |_, _| Deed::Take).await;
    world.nothing_is_tried().await;
    let new = |name: &str| {
        serde_json::from_value(serde_json::json!({"name": name, "url": "https://a.example.com/", "events": ["audit.*"]})).unwrap()
    };
    world.fanout.create(new("bot")).await.unwrap();
    world.push("bot", "tt1");
    world.next_try().await;
    world.memory.until(|rows| rows[0].delivery.status == Status::Delivered).await;
    world.fanout.delete("bot").await.unwrap();
    world.nothing_is_tried().await;
    world.push("bot", "tt1");
    world.nothing_is_tried().await;
    // Made again under the same name, it has another worker, which hears of nothing that was for the former one.
    world.fanout.create(new("bot")).await.unwrap();
    world.nothing_is_tried().await;
    world.push("bot", "tt2");
    assert_eq!(world.next_try().await.authorizer, "tt2");
}

#[tokio::test]
async fn waiting_for_the_right_time_is_no_failed_try() {
    let evening: yizhan::clock::Timestamp = "2026-11-20T14:00:00Z".parse().unwrap();
    let mut world = World::new(vec![subscription("bot")], move |_, claimed| match claimed.delivery.next_attempt_at {
        Some(at) if at >= evening => Deed::Fail,
        _ => Deed::Wait(evening),
    })
    .await;
    world.push("bot", "tt1");
    assert_eq!(world.next_try().await.attempt, 1);
    world.memory.until(|rows| rows[0].deferred && !rows[0].claimed).await;
    assert!(world.memory.rows.lock().unwrap()[0].delivery.attempts.is_empty());
    world.advance(seconds(6 * 3600 - 1));
    world.nothing_is_tried().await;
    world.advance(seconds(1));
    assert_eq!(world.next_try().await.attempt, 1, "the whole schedule is left");
    world.memory.until(|rows| rows[0].delivery.attempts.len() == 1 && rows[0].delivery.status == Status::Pending).await;
}

/// A handler that takes the first twenty at once and then hangs, with forty more waiting: some of them were claimed ahead.
async fn hanging_after_twenty() -> World {
    let mut world =
        World::still(
            Arc::default(),
            vec![subscription("bot")],
            |_, claimed| {
                if claimed.event.sequence <= 20 { Deed::Take } else { Deed::Hang }
            },
        )
        .await;
    for _ in 0..60 {
        world.push("bot", "tt1");
    }
    world.run();
    world.next_tries(23).await;
    world.memory.until(|rows| rows.iter().filter(|row| row.delivery.status == Status::Delivered).count() == 20).await;
    assert!((4..=6).contains(&claimed(&world)), "three are under way, up to as many were claimed ahead: {}", claimed(&world));
    world
}

fn claimed(world: &World) -> usize {
    world.memory.rows.lock().unwrap().iter().filter(|row| row.claimed && row.delivery.status == Status::Pending).count()
}

#[tokio::test]
async fn what_was_claimed_ahead_is_given_back_when_it_is_paused_and_tried_once_when_it_is_resumed() {
    let mut world = hanging_after_twenty().await;
    world.fanout.set_state("bot", State::Paused).await.unwrap();
    world.memory.until(|rows| rows.iter().filter(|row| row.claimed).count() == 3).await;
    world.let_go();
    world.memory.until(|rows| rows.iter().filter(|row| row.delivery.status == Status::Delivered).count() == 23).await;
    world.nothing_is_tried().await;
    world.fanout.set_state("bot", State::Active).await.unwrap();
    world.memory.until(|rows| rows.iter().all(|row| row.delivery.status == Status::Delivered)).await;
    world.next_tries(37).await;
    world.nothing_is_tried().await;
}

#[tokio::test]
async fn what_was_claimed_ahead_is_given_back_at_shutdown() {
    let mut world = hanging_after_twenty().await;
    world.shutdown.request();
    world.memory.until(|rows| rows.iter().filter(|row| row.claimed).count() == 3).await;
    world.let_go();
    world.memory.until(|rows| rows.iter().filter(|row| row.delivery.status == Status::Delivered).count() == 23).await;
    world.nothing_is_tried().await;
    assert_eq!(claimed(&world), 0);
}

#[tokio::test]
async fn what_was_claimed_ahead_goes_to_the_address_of_now() {
    let mut world = World::still(Arc::default(), Vec::new(), |subscription, claimed| {
        let is_old = subscription.url.contains("old");
        if is_old && claimed.event.sequence > 20 { Deed::Hang } else { Deed::Take }
    })
    .await;
    let new = serde_json::json!({"name": "bot", "url": "https://old.example.com/", "events": ["audit.*"]});
    world.fanout.create(serde_json::from_value(new).unwrap()).await.unwrap();
    for _ in 0..60 {
        world.push("bot", "tt1");
    }
    world.run();
    world.next_tries(23).await;
    let change = serde_json::json!({"url": "https://new.example.com/", "concurrency": 8});
    world.fanout.change("bot", serde_json::from_value(change).unwrap()).await.unwrap();
    world.memory.until(|rows| rows.iter().filter(|row| row.delivery.status == Status::Delivered).count() == 57).await;
    world.next_tries(37).await;
    world.let_go();
    world.memory.until(|rows| rows.iter().all(|row| row.delivery.status == Status::Delivered)).await;
}

#[tokio::test]
async fn nothing_is_claimed_ahead_where_order_is_kept() {
    let ordered = Subscription { ordering: Ordering::Authorizer, ..subscription("bot") };
    let mut world =
        World::still(Arc::default(), vec![ordered], |_, claimed| if claimed.event.sequence <= 20 { Deed::Take } else { Deed::Hang }).await;
    for number in 0..60 {
        world.push("bot", &format!("tt{number}"));
    }
    world.run();
    world.next_tries(23).await;
    world.memory.until(|rows| rows.iter().filter(|row| row.delivery.status == Status::Delivered).count() == 20).await;
    world.nothing_is_tried().await;
    assert_eq!(claimed(&world), 3);
}

#[tokio::test]
async fn what_is_asked_for_again_while_it_is_tried_is_tried_again_at_once() {
    for ordering in [Ordering::None, Ordering::Authorizer] {
        let subscribed = Subscription { ordering, ..subscription("bot") };
        let mut world = World::new(vec![subscribed], |_, _| Deed::Hang).await;
        world.push("bot", "tt1");
        let first = world.next_try().await;
        world.advance(Duration::from_secs(1));
        world.ask_again("bot");
        world.nothing_is_tried().await;
        world.let_go();
        // Nothing rings and no time passes but the end of the first try.
        let second = world.next_try().await;
        assert_eq!((second.sequence, second.at), (first.sequence, first.at + Duration::from_secs(1)), "{ordering:?}");
        world.memory.until(|rows| rows.iter().all(|row| row.delivery.status == Status::Delivered)).await;
    }
}

#[tokio::test]
async fn a_dead_delivery_to_the_vault_is_tried_again_when_somebody_asks() {
    let refuses = Arc::new(AtomicBool::new(true));
    let asked = refuses.clone();
    let mut world = World::new(Vec::new(), move |_, _| if asked.load(Atomic::SeqCst) { Deed::Refuse } else { Deed::Take }).await;
    let event = world.memory.event("douyin", "tt1", EventType::AuthorizationGranted, start_of_time());
    world.memory.put(&event, VAULT, start_of_time(), 0);
    world.fanout.nudge(&[String::from(VAULT)]);
    world.next_try().await;
    world.memory.until(|rows| rows[0].delivery.status == Status::Dead).await;
    let dead = world.memory.rows.lock().unwrap()[0].delivery.clone();
    refuses.store(false, Atomic::SeqCst);
    assert_eq!(world.fanout.retry(&dead, &event).await.unwrap().status, Status::Pending);
    world.next_try().await;
    world.memory.until(|rows| rows[0].delivery.status == Status::Delivered).await;

    assert!(world.fanout.send(&[event.id], VAULT, None).await.unwrap().is_none(), "no event is sent to it by hand");
    let gone = Delivery { subscription: String::from("gone"), ..dead };
    assert!(matches!(world.fanout.retry(&gone, &event).await, Err(RetryError::NoSubscription(_))));
}
