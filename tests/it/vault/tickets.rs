//! Tickets.

use yizhan::clock::Clock;
use yizhan::inbox::log::LogError;
use yizhan::vault::Want;
use yizhan::vault::shelf::ShelfError;

use super::vendor::Fault;
use super::*;

#[tokio::test]
async fn the_newest_ticket_by_the_vendors_time_wins() {
    let world = World::new().await;
    let keep = |text: &'static str, created: i64| {
        let ticket = ticket(text, start() + SignedDuration::from_secs(created));
        let vault = Arc::clone(&world.vault);
        let now = world.clock.now();
        async move { vault.keep(NAME, &ticket, now).await.unwrap() }
    };
    keep("second", 600).await;
    keep("first, late", 0).await;
    assert_eq!(world.vault.ticket(NAME).unwrap().value.expose(), "second");
    keep("third", 1200).await;
    assert_eq!(world.vault.ticket(NAME).unwrap().value.expose(), "third");
    let commits = world.shelf.counts().0;
    keep("third", 1200).await;
    assert_eq!(world.shelf.counts().0, commits, "a retry of the same ticket is not written again");
    let world = world.restart().await;
    assert_eq!(world.vault.ticket(NAME).unwrap().value.expose(), "third");
}

#[tokio::test]
async fn a_vendor_whose_clock_was_ahead_is_believed_again_once_its_last_ticket_is_old() {
    let world = World::new().await;
    let ahead = ticket("ahead", start() + SignedDuration::from_hours(2));
    world.vault.keep(NAME, &ahead, start()).await.unwrap();
    let mut kept = Vec::new();
    for minutes in [10, 20, 30, 40] {
        let at = start() + SignedDuration::from_mins(minutes);
        world.vault.keep(NAME, &ticket(&format!("after {minutes}"), at), at).await.unwrap();
        kept.push(world.vault.ticket(NAME).unwrap().value.expose().to_owned());
    }
    assert_eq!(kept, ["ahead", "after 20", "after 30", "after 40"], "two of its intervals later");
}

#[tokio::test]
async fn a_ticket_of_long_ago_takes_no_ones_place_however_late_it_is_opened() {
    let world = World::new().await;
    let now = start() + SignedDuration::from_hours(10);
    world.advance(10 * 3600);
    world.vault.keep(NAME, &ticket("newest", now), now).await.unwrap();
    let former = start() + SignedDuration::from_mins(50);
    // As a refused push that is opened again, then as a message that comes a second time while tickets stay away.
    world.vault.keep(NAME, &ticket("former", former), former).await.unwrap();
    world.advance(3600);
    world.vault.keep(NAME, &ticket("former", former), now + SignedDuration::from_hours(1)).await.unwrap();
    let held = world.vault.ticket(NAME).unwrap();
    assert_eq!((held.value.expose(), held.received_at), ("newest", now));
}

#[tokio::test]
async fn a_missing_ticket_is_named_with_what_to_check() {
    let world = World::new().await;
    let error = world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap_err();
    let VaultError::NoTicket { detail, hint } = error else { panic!("{error:?}") };
    assert_eq!(detail, "no ticket yet; Faketok sends one every 10 minutes; check the authorization-receive URL");
    assert!(hint.contains("https://post.example.com/callback/fake/authorization"), "{hint}");
    assert!(matches!(world.vault.ticket(NAME), Err(VaultError::NoTicket { .. })));
}

#[tokio::test]
async fn a_ticket_that_is_too_old_is_named_with_its_time() {
    let world = World::new().await;
    world.advance(600);
    world.ticket().await;
    world.advance(3 * 3600);
    let error = world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap_err();
    // 02:10 in UTC is 10:10 in China, as the vendor's console shows it.
    assert_eq!(error.to_string(), "no ticket since 10:10; Faketok sends one every 10 minutes; check the authorization-receive URL");
    world.advance(24 * 3600);
    let error = world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("no ticket since 2026-11-20 10:10;"), "{error}");
}

#[tokio::test]
async fn a_new_ticket_ends_the_waiting_at_once() {
    let world = World::new().await;
    assert!(world.vault.fresh(NAME, &COMPONENT, Want::default()).await.is_err());
    world.ticket().await;
    assert_eq!(world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap().generation, 1);
}

#[tokio::test]
async fn a_refused_ticket_is_not_tried_in_a_loop() {
    let world = World::new().await;
    world.ticket().await;
    for _ in 0..3 {
        world.vendor.fault("component_token", Fault::Says("ticket"));
    }
    for _ in 0..4 {
        let error = world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap_err();
        assert!(
            error.to_string().contains("Faketok refused the ticket of 10:00 (ticket: no)")
                || error.to_string().contains("refused the ticket")
        );
        world.advance(60);
    }
    world.ticket().await;
    assert!(world.vault.fresh(NAME, &COMPONENT, Want::default()).await.is_err(), "the second of the three refusals: one try per ticket");
    world.ticket().await;
    assert!(world.vault.fresh(NAME, &COMPONENT, Want::default()).await.is_err());
    world.advance(1);
    world.ticket().await;
    assert!(world.vault.fresh(NAME, &COMPONENT, Want::default()).await.is_ok());
}

#[tokio::test]
async fn a_ticket_that_is_not_durable_is_not_acknowledged() {
    let world = World::new().await;
    *world.shelf.broken.lock().unwrap() = Some(ShelfError::Full);
    let error = world.vault.keep(NAME, &world.vendor.ticket(), world.clock.now()).await.unwrap_err();
    assert!(matches!(error, LogError::Full));
    assert!(world.vault.ticket(NAME).is_err(), "nor used");
    assert!(world.vault.keep("other", &world.vendor.ticket(), world.clock.now()).await.is_err());
}

#[tokio::test]
async fn the_high_water_mark_only_rises_and_survives() {
    let world = World::new().await;
    assert_eq!(world.vault.high_water(), None);
    world.vault.remember_high_water(7).await.unwrap();
    world.vault.remember_high_water(5).await.unwrap();
    let commits = world.shelf.counts().0;
    world.vault.remember_high_water(7).await.unwrap();
    assert_eq!(world.shelf.counts().0, commits);
    let world = world.restart().await;
    let mark = world.vault.high_water().unwrap();
    assert_eq!((mark.sequence, mark.at), (7, start()));
}
