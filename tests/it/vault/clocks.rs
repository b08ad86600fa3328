//! A clock that was ahead for a while: what was noted then is no reason to wait once it is right.

use std::time::Duration;

use yizhan::clock::Clock;
use yizhan::platform::{AuthorizerTokens, Token};
use yizhan::vault::Exchanged;

use super::vendor::Fault;
use super::*;

const AHEAD: SignedDuration = SignedDuration::from_hours(40 * 24);
const LIFE: SignedDuration = SignedDuration::from_hours(2);

impl World {
    /// The clock goes 40 days ahead, something happens, and it is right again.
    async fn ahead<T>(&self, meanwhile: impl Future<Output = T>) -> T {
        self.clock.step(AHEAD);
        let became = meanwhile.await;
        self.clock.step(-AHEAD);
        became
    }

    /// A ticket comes and the merchant's token, dead by that clock, is renewed.
    async fn renewed_ahead(&self) {
        self.ahead(async {
            self.ticket().await;
            self.fresh("app1").await.unwrap();
        })
        .await;
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(5), waiting).await.is_ok(), "{what}");
}

#[tokio::test]
async fn a_token_that_came_while_the_clock_was_ahead_is_renewed_when_it_is_asked_for() {
    let world = World::granted().await;
    world.renewed_ahead().await;
    let served = world.fresh("app1").await.unwrap();
    assert_eq!(served.generation, 3);
    assert!(served.expires_at.unwrap() <= world.clock.now() + LIFE, "{:?}", served.expires_at);
    assert_eq!(world.fresh("app1").await.unwrap().generation, 3, "once");
}

#[tokio::test]
async fn where_it_cannot_be_renewed_it_is_not_said_to_live_longer_than_tokens_do() {
    let world = World::granted().await;
    world.renewed_ahead().await;
    world.vendor.fault("refresh", Fault::NotSent);
    let served = world.fresh("app1").await.unwrap();
    assert_eq!(served.generation, 2);
    assert!(served.expires_at.unwrap() <= world.clock.now() + LIFE, "{:?}", served.expires_at);
    let (_, states) = world.vault.authorizer(NAME, "app1").await.unwrap();
    assert!(states[0].expires_at.unwrap() <= world.clock.now() + LIFE);
}

#[tokio::test]
async fn idle_merchants_are_renewed_after_a_clock_that_was_ahead_and_after_a_restart_too() {
    let world = World::granted().await;
    let worker = world.work();
    world.renewed_ahead().await;
    let renewed = world.vendor.deeds("refresh");
    world.advance(10);
    until("it is renewed by itself", || world.vendor.deeds("refresh") > renewed).await;
    worker.stop().await;
    world.renewed_ahead().await;
    let world = world.restart().await;
    let renewed = world.vendor.deeds("refresh");
    let worker = world.work();
    until("it is renewed by itself", || world.vendor.deeds("refresh") > renewed).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_renewal_that_failed_while_the_clock_was_ahead_is_tried_again_soon() {
    let world = World::granted().await;
    let fails = async {
        world.ticket().await;
        world.vendor.fault("refresh", Fault::Says("slower"));
        assert!(world.fresh("app1").await.is_err());
    };
    world.ahead(fails).await;
    assert_eq!(world.vault.refresh(NAME, &token_of("app1")).await.unwrap().generation, 2, "nobody waits for a pause of then");
    let fails = async {
        world.vendor.fault("refresh", Fault::Says("slower"));
        assert!(world.fresh("app1").await.is_err());
    };
    world.ahead(fails).await;
    let worker = world.work();
    until("it is tried again by itself", || world.vendor.deeds("refresh") == 2).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_token_reported_while_the_clock_was_ahead_can_be_reported_again() {
    let world = World::granted().await;
    world
        .ahead(async {
            world.ticket().await;
            let served = world.fresh("app1").await.unwrap();
            world.vault.report_invalid(NAME, &token_of("app1"), served.generation).await.unwrap();
        })
        .await;
    let generation = world.vault.refresh(NAME, &token_of("app1")).await.unwrap().generation;
    world.advance(31);
    assert_eq!(world.vault.report_invalid(NAME, &token_of("app1"), generation).await.unwrap().generation, generation + 1);
}

/// A world with a grant that came while the clock was ahead.
async fn granted_ahead() -> World {
    let world = World::new().await;
    world
        .ahead(async {
            world.ticket().await;
            world.grant("app1").await.unwrap();
        })
        .await;
    world
}

#[tokio::test]
async fn a_grant_after_an_exchange_of_a_clock_that_was_ahead_is_exchanged() {
    let world = granted_ahead().await;
    // Its token is renewed; when its code was exchanged still lies ahead.
    world.fresh("app1").await.unwrap();
    world.advance(600);
    assert_eq!(world.grant("app1").await.unwrap(), Exchanged::Authorizers(vec![String::from("app1")]));
}

#[tokio::test]
async fn a_withdrawal_after_a_grant_of_a_clock_that_was_ahead_counts() {
    let world = granted_ahead().await;
    world.fresh("app1").await.unwrap();
    world.advance(60);
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })));
}

/// A browser brought a grant while the clock was ahead; the event of that.
async fn come_back_ahead() -> (World, Grant) {
    let world = World::with(Habits { has_state: false, ..Habits::default() }).await;
    world
        .ahead(async {
            world.ticket().await;
            let code = world.vendor.grant("app1");
            world.vault.returned(NAME, &format!("code={}", code.value.expose()), STRANGER).await.unwrap();
        })
        .await;
    let found = world.vault.found(NAME, "app1").await.unwrap().unwrap();
    (world, Grant { code: None, tokens: None, permissions: Vec::new(), granted_at: found.at })
}

/// Tokens that a push brings now.
fn sent_now(world: &World) -> Grant {
    let access = Token { value: Secret::new("newer"), expires_at: None };
    let tokens = AuthorizerTokens { app_id: Some(String::from("app1")), access, refresh: None, permissions: None };
    Grant { code: None, tokens: Some(tokens), permissions: Vec::new(), granted_at: world.clock.now() }
}

#[tokio::test]
async fn a_withdrawal_after_a_browsers_grant_of_a_clock_that_was_ahead_counts() {
    let (world, event) = come_back_ahead().await;
    world.vault.granted(NAME, Some("app1"), &event).await.unwrap();
    world.advance(60);
    world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
    assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })));
}

#[tokio::test]
async fn newer_tokens_after_a_browsers_grant_of_a_clock_that_was_ahead_are_kept() {
    for is_told_first in [true, false] {
        let (world, event) = come_back_ahead().await;
        world.advance(60);
        let sent = sent_now(&world);
        let (first, second) = if is_told_first { (&event, &sent) } else { (&sent, &event) };
        world.vault.granted(NAME, Some("app1"), first).await.unwrap();
        assert_eq!(world.vault.has_tokens(NAME, "app1", &sent), !is_told_first, "nobody knows when those came that are held first");
        world.vault.granted(NAME, Some("app1"), second).await.unwrap();
        assert_eq!(world.fresh("app1").await.unwrap().token.expose(), "newer", "{is_told_first}");
        world.advance(60);
        world.vault.revoked(NAME, "app1", world.clock.now()).await.unwrap();
        assert!(matches!(world.fresh("app1").await, Err(VaultError::Revoked { .. })), "{is_told_first}");
    }
}

#[tokio::test]
async fn tickets_that_stay_away_after_a_clock_that_was_ahead_are_missed() {
    let world = World::new().await;
    let worker = world.work();
    world.ahead(world.ticket()).await;
    for _ in 0..200 {
        world.advance(10);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let state = world.vault.component_state(NAME).unwrap();
    assert!(state.warnings.iter().any(|warning| warning.contains("no new ticket for")), "{:?}", state.warnings);
    worker.stop().await;
}

#[tokio::test]
async fn codes_and_links_outlive_a_clock_that_is_ahead_for_seconds() {
    let world = World::granted().await;
    let clock = Arc::new(yizhan::clock::StandingClock::over(Arc::clone(&world.clock) as _));
    clock.start(None);
    let component = Arc::new(FakeComponent { habits: world.vendor.habits.clone(), certificate: 0 });
    let vault = Vault::open(
        Arc::clone(&world.shelf) as _,
        Components::new(vec![component]),
        Arc::clone(&world.vendor) as _,
        clock,
        "https://post.example.com",
    )
    .await
    .unwrap();
    let used = world.shelf.names(yizhan::vault::shelf::Kind::Used);
    assert_eq!(used.len(), 1);
    let worker = Worker::of(&vault);
    world.clock.step(AHEAD);
    for _ in 0..5 {
        world.advance(5);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(world.shelf.names(yizhan::vault::shelf::Kind::Used), used, "a code that was exchanged is remembered");
    worker.stop().await;
}
