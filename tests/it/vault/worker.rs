//! The worker: renews ahead, for idle authorizers too; asks for tickets; exchanges what waits.

use yizhan::clock::Clock;
use yizhan::platform::Class;
use yizhan::platform::token::Renewal;
use yizhan::vault::Want;
use yizhan::vault::shelf::{Change, Kind, RecordKey};

use super::vendor::Fault;
use super::*;

/// Waits for something that other tasks bring about, and says what is missing.
pub async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn idle_authorizers_are_renewed_ahead_of_expiry() {
    let world = World::granted().await;
    for app in ["app2", "app3"] {
        world.grant(app).await.unwrap();
    }
    let worker = world.work();
    world.advance(7200 - 601 - 200);
    world.ticket().await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.vendor.deeds("refresh"), 0, "too early");
    world.advance(201);
    until("three refreshes", || world.vendor.deeds("refresh") == 3).await;
    worker.stop().await;
    for app in ["app1", "app2", "app3"] {
        let served = world.fresh(app).await.unwrap();
        assert_eq!(served.generation, 2);
        assert!(world.vendor.accepts(app, &served.token));
    }
    assert_eq!(world.vendor.deeds("component_token"), 2);
}

#[tokio::test]
async fn the_first_ticket_brings_a_component_token_before_anybody_asks() {
    let world = World::new().await;
    let worker = world.work();
    world.ticket().await;
    until("a component token", || world.vendor.deeds("component_token") == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_failing_renewal_is_tried_again_with_growing_waits() {
    let world = World::granted().await;
    let worker = world.work();
    for _ in 0..3 {
        world.vendor.fault("refresh", Fault::Says("busy"));
    }
    world.ticket().await;
    world.advance(7200 - 600);
    let tries = |expected: usize| {
        let vendor = Arc::clone(&world.vendor);
        async move { until("a try", || vendor.remaining("refresh") == 3 - expected).await }
    };
    tries(1).await;
    for (wait, expected) in [(5, 2), (15, 3)] {
        world.advance(wait);
        tries(expected).await;
    }
    world.advance(60);
    until("a refresh", || world.vendor.deeds("refresh") == 1).await;
    worker.stop().await;
    assert_eq!(world.fresh("app1").await.unwrap().generation, 2);
    assert!(world.vault.component_state(NAME).unwrap().warnings.iter().all(|line| !line.contains("fails")));
}

fn is_too_often<T>(answer: &Result<T, VaultError>) -> bool {
    matches!(answer, Err(VaultError::VendorRefused(error)) if error.class == Class::RateLimited)
}

#[tokio::test]
async fn a_vendor_that_is_asked_too_often_for_tokens_is_left_alone_for_a_minute() {
    let world = World::granted().await;
    world.advance(2000);
    world.vendor.fault("refresh", Fault::Says("slower"));
    assert!(is_too_often(&world.vault.refresh(NAME, &token_of("app1")).await));
    let worker = world.work();
    world.advance(31);
    assert!(is_too_often(&world.vault.refresh(NAME, &token_of("app1")).await), "by force neither");
    world.advance(28);
    world.ticket().await;
    assert_eq!(world.vault.fresh(NAME, &token_of("app1"), min_ttl(7000)).await.unwrap().generation, 1, "renewed first, if that could be");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.vendor.calls("refresh"), 1);
    world.advance(1);
    until("a refresh", || world.vendor.deeds("refresh") == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_vendor_that_is_asked_too_often_to_exchange_is_left_alone_for_a_minute() {
    let world = World::new().await;
    world.ticket().await;
    let push = world.pushed("app1");
    world.vendor.fault("exchange", Fault::Says("slower"));
    let worker = world.work();
    for wait in [0, 30, 29] {
        world.advance(wait);
        assert!(is_too_often(&world.vault.granted(NAME, Some("app1"), &push).await));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(world.vendor.calls("exchange"), 1);
    world.advance(1);
    until("an exchange", || world.vendor.deeds("exchange") == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_waiting_code_is_exchanged_as_soon_as_a_ticket_comes() {
    let world = World::new().await;
    let worker = world.work();
    assert!(world.grant("app1").await.is_err());
    world.ticket().await;
    until("an exchange", || world.vendor.deeds("exchange") == 1).await;
    worker.stop().await;
    assert!(world.vendor.accepts("app1", &world.fresh("app1").await.unwrap().token));
    assert_eq!(world.vault.component_state(NAME).unwrap().codes_waiting, 0);
}

#[tokio::test]
async fn a_code_that_fails_is_tried_again_by_itself() {
    let world = World::new().await;
    world.ticket().await;
    let worker = world.work();
    world.vendor.fault("exchange", Fault::Says("busy"));
    assert!(world.grant("app1").await.is_err());
    world.advance(5);
    until("an exchange", || world.vendor.deeds("exchange") == 1).await;
    worker.stop().await;
    assert_eq!(world.fresh("app1").await.unwrap().generation, 1);
}

#[tokio::test]
async fn a_code_about_to_expire_is_a_warning() {
    let world = World::new().await;
    assert!(world.grant("app1").await.is_err());
    assert!(!world.vault.component_state(NAME).unwrap().warnings.iter().any(|line| line.contains("expires unexchanged")));
    world.advance(3600 - 300);
    let warnings = world.vault.component_state(NAME).unwrap().warnings;
    assert!(warnings.iter().any(|line| line.contains("a grant's code expires unexchanged in 300 s")), "{warnings:?}");
    assert!(warnings.iter().any(|line| line.starts_with("no ticket for 55 minutes; Faketok sends one every 10 minutes")), "{warnings:?}");
}

#[tokio::test]
async fn tickets_are_asked_for_where_the_vendor_wants_that_and_not_too_often() {
    let world = World::with(Habits { starts_tickets: true, ..Habits::default() }).await;
    let worker = world.work();
    until("a start", || world.vendor.deeds("start_tickets") == 1).await;
    world.advance(590);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.vendor.deeds("start_tickets"), 1);
    worker.stop().await;
    let world = world.restart().await;
    let worker = world.work();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.vendor.deeds("start_tickets"), 1, "a restart is no reason");
    world.advance(10);
    until("a second start", || world.vendor.deeds("start_tickets") == 2).await;
    world.ticket().await;
    world.advance(1499);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.vendor.deeds("start_tickets"), 2);
    world.advance(5);
    until("a third start", || world.vendor.deeds("start_tickets") == 3).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_token_without_an_end_is_renewed_for_its_refresh_token() {
    let habits = Habits {
        life: None,
        has_tickets: false,
        renewal: Renewal { ahead: Duration::from_secs(5 * 86400), overlap: Duration::from_secs(60), exercise: None },
        ..Habits::default()
    };
    let world = World::with(habits).await;
    world.grant("app1").await.unwrap();
    let worker = world.work();
    world.advance(23 * 86400);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.vendor.deeds("refresh"), 0);
    world.advance(2 * 86400);
    until("a refresh", || world.vendor.deeds("refresh") == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_refresh_token_is_exercised_even_if_the_access_token_lives_on() {
    let habits = Habits {
        life: None,
        renewal: Renewal {
            ahead: Duration::from_secs(86400),
            overlap: Duration::from_secs(60),
            exercise: Some(Duration::from_secs(7 * 86400)),
        },
        has_tickets: false,
        ..Habits::default()
    };
    let world = World::with(habits).await;
    world.grant("app1").await.unwrap();
    let worker = world.work();
    world.advance(7 * 86400);
    until("a refresh", || world.vendor.deeds("refresh") == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn at_shutdown_what_is_under_way_is_finished() {
    let world = World::granted().await;
    world.vendor.close();
    let vault = Arc::clone(&world.vault);
    let renewal = tokio::spawn(async move { vault.refresh(NAME, &token_of("app1")).await });
    let worker = world.work();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    worker.shutdown.request();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!worker.task.is_finished(), "a refresh token was spent and its answer is still to come");
    world.vendor.open();
    worker.task.await.unwrap();
    assert_eq!(renewal.await.unwrap().unwrap().generation, 2);
}

#[tokio::test]
async fn at_shutdown_what_has_not_begun_sends_nothing_and_is_kept() {
    let world = World::granted_with(Habits { has_state: false, ..Habits::default() }).await;
    world.vendor.close();
    let vault = Arc::clone(&world.vault);
    let renewal = tokio::spawn(async move { vault.refresh(NAME, &token_of("app1")).await });
    until("the renewal", || world.vendor.waiting() == 1).await;
    // A code without an app id waits until no refresh token is being spent.
    let (vault, code) = (Arc::clone(&world.vault), world.vendor.grant("app2"));
    let returned = tokio::spawn(async move { vault.returned(NAME, &format!("code={}", code.value.expose()), STRANGER).await });
    until("the code", || world.shelf.names(Kind::Code).len() == 1).await;
    let worker = world.work();
    world.vault.heed(&worker.shutdown);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    worker.shutdown.request();
    world.vendor.open();
    worker.task.await.unwrap();
    assert_eq!(renewal.await.unwrap().unwrap().generation, 2);
    assert!(returned.await.unwrap().is_err());
    assert_eq!((world.vendor.calls("exchange"), world.shelf.names(Kind::Code).len()), (1, 1));
}

#[tokio::test]
async fn renewals_of_many_are_bounded_and_all_are_done() {
    let world = World::new().await;
    world.ticket().await;
    for index in 0..60 {
        world.grant(&format!("app{index}")).await.unwrap();
    }
    world.advance(7000);
    world.ticket().await;
    world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap();
    world.vendor.close();
    let worker = world.work();
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
    assert!(world.vendor.waiting() <= 9, "{} at a time", world.vendor.waiting());
    world.vendor.open();
    until("all", || world.vendor.deeds("refresh") == 60).await;
    worker.stop().await;
}

#[tokio::test]
async fn the_clock_that_jumps_back_breaks_nothing() {
    let world = World::granted().await;
    let worker = world.work();
    world.advance(-7200);
    assert!(world.fresh("app1").await.is_ok());
    world.advance(2 * 7200);
    world.ticket().await;
    until("a refresh", || world.vendor.deeds("refresh") == 1).await;
    worker.stop().await;
    assert!(world.clock.now() > start());
}

#[tokio::test]
async fn used_codes_above_ten_thousand_are_forgotten_a_few_at_a_time() {
    let world = World::new().await;
    let used = |number: u32| {
        let at = world.clock.now() + SignedDuration::from_secs(i64::from(number) - 20_000);
        let body = serde_json::to_vec(&serde_json::json!({ "at": at.to_string(), "authorizers": ["app1"] })).unwrap();
        Change::put(RecordKey::new(Kind::Used, NAME, format!("{number:032x}")), body.into())
    };
    world.shelf.commit((0..12_000).map(used).collect()).await.unwrap();
    let world = world.restart().await;
    let before = world.shelf.counts().0;
    let worker = world.work();
    until("ten thousand are left", || world.shelf.names(Kind::Used).len() == 10_000).await;
    worker.stop().await;
    assert!(world.shelf.counts().0 >= before + 8, "no commit removes more than 256, so that others get between");
    assert!(world.shelf.names(Kind::Used).contains(&format!("{:032x}", 2000)), "the oldest went");
}

#[test]
fn the_gauges_move_while_the_vendor_does_not_answer_and_forget_tokens_that_are_gone() {
    let recorder = yizhan::telemetry::recorder();
    let handle = recorder.handle();
    let left = |kind: &str| {
        let text = handle.render();
        let name = format!("yizhan_token_expires_seconds{{component=\"fake\",kind=\"{kind}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).map(|left| left.parse::<f64>().unwrap())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let world = World::granted_with(Habits { starts_tickets: true, ..Habits::default() }).await;
            let worker = world.work();
            until("the first look", || left("authorizer") == Some(7200.0)).await;
            world.vendor.close();
            // No ticket for long: the vendor is asked for them and does not answer. Nor does it renew anything.
            world.advance(3600);
            until("a call that waits", || world.vendor.waiting() > 0).await;
            for seconds in [7190.0, 7250.0] {
                let by = seconds - 7200.0 + left("authorizer").unwrap();
                world.advance(by as i64);
                until("another look", || left("authorizer") == Some(7200.0 - seconds)).await;
            }
            world.vendor.open();
            world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
            world.advance(5);
            until("the last look", || left("authorizer") == Some(f64::INFINITY)).await;
            worker.stop().await;
        });
    });
}

#[tokio::test]
async fn a_token_that_is_said_to_outlive_its_refresh_token_is_renewed_while_that_lives() {
    const DAY: i64 = 24 * 3600;
    let world = World::granted_with(Habits { life: Some(4000 * DAY), ..Habits::default() }).await;
    world.advance(30 * DAY - 300);
    world.ticket().await;
    let worker = world.work();
    until("a refresh", || world.vendor.deeds("refresh") == 1).await;
    worker.stop().await;
}
