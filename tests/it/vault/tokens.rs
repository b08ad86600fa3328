//! Handing out and renewing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use yizhan::clock::Clock;
use yizhan::platform::token::{LostReply, Renewal};
use yizhan::platform::{Class, Family, TokenKey};
use yizhan::vault::shelf::{Kind, RecordKey};
use yizhan::vault::{AuthorizerState, Insistence, Want};

use super::vendor::Fault;
use super::worker::until;
use super::*;

#[tokio::test]
async fn a_grant_becomes_a_token() {
    let world = World::granted().await;
    let served = world.fresh("app1").await.unwrap();
    assert!(world.vendor.accepts("app1", &served.token));
    assert_eq!(served.generation, 1);
    assert_eq!(served.expires_at, Some(start() + SignedDuration::from_secs(7200)));
    assert_eq!(served.cache_for, Duration::from_secs(119), "less than the overlap of old and new");
    let (authorizer, tokens) = world.vault.authorizer(NAME, "app1").await.unwrap();
    assert_eq!(authorizer.state, AuthorizerState::Granted);
    assert_eq!(authorizer.name.as_deref(), Some("shop app1"));
    assert_eq!(authorizer.permissions[0].name, "all");
    assert_eq!(tokens[0].generation, 1);
}

#[tokio::test]
async fn a_held_young_token_touches_no_shelf_and_no_vendor() {
    let world = World::granted().await;
    let before = world.shelf.counts();
    world.vendor.close();
    for _ in 0..1000 {
        assert_eq!(world.fresh("app1").await.unwrap().generation, 1);
    }
    assert!(world.shelf.is_idle_since(before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_at_expiry_cause_one_refresh() {
    let world = World::granted().await;
    world.advance(7200);
    let callers = (0..200).map(|_| {
        let vault = Arc::clone(&world.vault);
        tokio::spawn(async move { vault.fresh(NAME, &token_of("app1"), Want::default()).await.unwrap() })
    });
    for served in join_all(callers).await {
        let served = served.unwrap();
        assert_eq!(served.generation, 2);
        assert!(world.vendor.accepts("app1", &served.token));
    }
    assert_eq!(world.vendor.deeds("refresh"), 1);
    assert_eq!(world.vendor.deeds("component_token"), 2, "the component token had expired, too, and was renewed once");
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_interrupt_the_renewal() {
    let world = World::granted().await;
    world.advance(7200 - 30);
    world.vendor.close();
    let first = tokio::time::timeout(Duration::from_millis(20), world.fresh("app1")).await;
    assert!(first.is_err(), "nobody answered");
    world.vendor.open();
    assert_eq!(world.fresh("app1").await.unwrap().generation, 2);
    assert_eq!(world.vendor.deeds("refresh"), 1);
}

#[tokio::test]
async fn while_a_renewal_hangs_the_held_token_is_served() {
    let world = World::granted().await;
    world.advance(7200 - 300);
    world.vendor.close();
    for _ in 0..10 {
        assert_eq!(world.fresh("app1").await.unwrap().generation, 1);
    }
    world.vendor.open();
    let want = Want { after_generation: Some(1), wait: Duration::from_secs(30), ..Want::default() };
    let newer = world.vault.fresh(NAME, &token_of("app1"), want).await.unwrap();
    assert_eq!(newer.generation, 2, "the renewal had begun by itself");
    assert_eq!(world.vendor.deeds("refresh"), 1);
}

#[tokio::test]
async fn a_failing_renewal_serves_the_held_token_until_it_dies_and_then_says_why() {
    let world = World::granted().await;
    world.vendor.fault("component_token", Fault::NotSent);
    for _ in 0..10 {
        world.vendor.fault("refresh", Fault::Says("busy"));
    }
    world.advance(7200 - 1000);
    let short = world.vault.fresh(NAME, &token_of("app1"), min_ttl(1100)).await.unwrap();
    assert_eq!(short.generation, 1, "min_ttl was not possible");
    world.advance(999);
    assert_eq!(world.fresh("app1").await.unwrap().generation, 1);
    world.advance(1);
    let error = world.fresh("app1").await.unwrap_err();
    assert!(matches!(error, VaultError::VendorRefused(_) | VaultError::VendorUnreachable(_)), "{error}");
    let warnings = world.vault.component_state(NAME).unwrap().warnings;
    assert!(warnings.iter().any(|line| line.contains("app1 fails since")), "{warnings:?}");
}

#[tokio::test]
async fn callers_do_not_storm_a_vendor_that_fails() {
    let world = World::granted().await;
    world.advance(7200);
    for _ in 0..3 {
        world.vendor.fault("component_token", Fault::Says("busy"));
    }
    for _ in 0..50 {
        assert!(world.fresh("app1").await.is_err());
    }
    assert_eq!(world.vendor.deeds("component_token"), 1, "the one of the grant");
    world.advance(5);
    assert!(world.fresh("app1").await.is_err());
    world.advance(5);
    assert!(world.fresh("app1").await.is_err());
    world.advance(5);
    assert_eq!(world.fresh("app1").await.unwrap().generation, 2);
}

#[tokio::test]
async fn min_ttl_renews_a_token_that_has_less_left() {
    let world = World::granted().await;
    world.advance(3600);
    assert_eq!(world.vault.fresh(NAME, &token_of("app1"), min_ttl(3000)).await.unwrap().generation, 1);
    assert_eq!(world.vault.fresh(NAME, &token_of("app1"), min_ttl(4000)).await.unwrap().generation, 2);
    for _ in 0..5 {
        let served = world.vault.fresh(NAME, &token_of("app1"), min_ttl(1_000_000)).await.unwrap();
        assert_eq!(served.generation, 2, "more than the token's life cannot be had by renewing with every call");
    }
}

#[tokio::test]
async fn a_late_report_for_an_old_generation_renews_nothing() {
    let world = World::granted().await;
    let first = world.vault.report_invalid(NAME, &token_of("app1"), 1).await.unwrap();
    assert_eq!(first.generation, 2);
    assert!(world.vendor.accepts("app1", &first.token));
    for _ in 0..5 {
        let late = world.vault.report_invalid(NAME, &token_of("app1"), 1).await.unwrap();
        assert_eq!(late.generation, 2);
    }
    assert_eq!(world.vendor.deeds("refresh"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reports_of_the_current_generation_renew_once() {
    let world = World::granted().await;
    let reports = (0..100).map(|_| {
        let vault = Arc::clone(&world.vault);
        tokio::spawn(async move { vault.report_invalid(NAME, &token_of("app1"), 1).await })
    });
    for served in join_all(reports).await {
        assert_eq!(served.unwrap().unwrap().generation, 2);
    }
    assert_eq!(world.vendor.deeds("refresh"), 1);
}

#[tokio::test]
async fn forced_renewals_are_thirty_seconds_apart() {
    let world = World::granted().await;
    assert_eq!(world.vault.refresh(NAME, &token_of("app1")).await.unwrap().generation, 2);
    world.advance(10);
    let error = world.vault.refresh(NAME, &token_of("app1")).await.unwrap_err();
    assert!(matches!(error, VaultError::RateLimited(wait) if wait == Duration::from_secs(20)), "{error:?}");
    let error = world.vault.report_invalid(NAME, &token_of("app1"), 2).await.unwrap_err();
    assert!(matches!(error, VaultError::RateLimited(_)), "a report of the current one forces, too");
    world.advance(20);
    assert_eq!(world.vault.refresh(NAME, &token_of("app1")).await.unwrap().generation, 3);
}

#[tokio::test]
async fn a_forced_renewal_that_failed_says_why_for_five_seconds_and_holds_the_next_one_up_no_longer() {
    let world = World::granted().await;
    let key = token_of("app1");
    let is_busy = |error: &VaultError| matches!(error, VaultError::VendorRefused(refusal) if refusal.class == Class::Retry);
    world.vendor.fault("refresh", Fault::Says("busy"));
    let error = world.vault.refresh(NAME, &key).await.unwrap_err();
    assert!(is_busy(&error), "{error:?}");
    let asked = world.vendor.deeds("refresh");
    world.advance(4);
    for error in [world.vault.report_invalid(NAME, &key, 1).await.unwrap_err(), world.vault.refresh(NAME, &key).await.unwrap_err()] {
        assert!(is_busy(&error), "nothing was renewed: {error:?}");
    }
    assert_eq!(world.vendor.deeds("refresh"), asked, "and the vendor is let alone");
    world.advance(1);
    assert_eq!(world.vault.report_invalid(NAME, &key, 1).await.unwrap().generation, 2);
    let error = world.vault.refresh(NAME, &key).await.unwrap_err();
    assert!(matches!(error, VaultError::RateLimited(wait) if wait == Duration::from_secs(30)), "{error:?}");
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_a_newer_generation_exists() {
    let world = World::granted().await;
    let vault = Arc::clone(&world.vault);
    let want = Want { after_generation: Some(1), wait: Duration::from_secs(30), ..Want::default() };
    let poll = tokio::spawn(async move { vault.fresh(NAME, &token_of("app1"), want).await.unwrap() });
    tokio::task::yield_now().await;
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    assert_eq!(poll.await.unwrap().generation, 2);
}

#[tokio::test]
async fn a_long_poll_without_news_ends_with_the_current_token() {
    let world = World::granted().await;
    let vault = Arc::clone(&world.vault);
    let want = Want { after_generation: Some(1), wait: Duration::from_secs(30), ..Want::default() };
    let mut poll = tokio::spawn(async move { vault.fresh(NAME, &token_of("app1"), want).await.unwrap() });
    tokio::task::yield_now().await;
    world.advance(29);
    let early = tokio::time::timeout(Duration::from_millis(20), &mut poll).await;
    assert!(early.is_err(), "it waits for the whole time");
    world.advance(1);
    assert_eq!(poll.await.unwrap().generation, 1);
    assert_eq!(world.vendor.deeds("refresh"), 0);
}

#[tokio::test]
async fn a_refused_component_token_is_renewed_and_the_call_made_again() {
    let world = World::granted().await;
    world.vendor.kill_passes();
    assert_eq!(world.vault.refresh(NAME, &token_of("app1")).await.unwrap().generation, 2);
    assert_eq!((world.vendor.deeds("component_token"), world.vendor.deeds("refresh"), world.vendor.deeds("recover")), (2, 1, 0));
    assert!(world.shelf.names(Kind::Intent).is_empty());
}

#[tokio::test]
async fn a_component_token_that_is_refused_again_and_again_is_not_renewed_in_a_loop() {
    let world = World::granted().await;
    for _ in 0..20 {
        world.vendor.fault("refresh", Fault::Says("pass"));
    }
    for _ in 0..5 {
        let error = world.vault.refresh(NAME, &token_of("app1")).await.unwrap_err();
        assert!(matches!(error, VaultError::VendorRefused(_) | VaultError::RateLimited(_)), "{error:?}");
    }
    assert_eq!(world.vendor.deeds("component_token"), 2);
    assert_eq!(world.fresh("app1").await.unwrap().generation, 1);
}

#[tokio::test]
async fn a_lost_refresh_token_is_won_back() {
    let world = World::granted().await;
    world.vendor.kill_refresh_token("app1");
    let served = world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    assert_eq!(served.generation, 2);
    assert!(world.vendor.accepts("app1", &served.token));
    assert_eq!((world.vendor.deeds("recover"), world.vendor.deeds("exchange")), (1, 2));
    assert!(world.shelf.names(Kind::Code).is_empty() && world.shelf.names(Kind::Intent).is_empty());
}

#[tokio::test]
async fn a_renewal_that_is_refused_for_a_reason_that_nobody_knows_is_won_back_and_its_refresh_token_kept_until_then() {
    let world = World::granted().await;
    world.vendor.fault("refresh", Fault::Says("strange"));
    world.vendor.fault("recover", Fault::Says("stranger"));
    let error = world.vault.refresh(NAME, &token_of("app1")).await.unwrap_err();
    assert!(matches!(&error, VaultError::VendorRefused(error) if error.code == "strange"), "{error:?}");
    world.advance(60);
    world.vendor.fault("refresh", Fault::Says("strange"));
    assert_eq!(world.vault.refresh(NAME, &token_of("app1")).await.unwrap().generation, 2);
    assert_eq!((world.vendor.deeds("recover"), world.vendor.deeds("refresh")), (1, 0));
    world.advance(60);
    world.vendor.fault("refresh", Fault::Says("strange"));
    world.vendor.fault("recover", Fault::Says("stranger"));
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap_err();
    world.advance(60);
    assert_eq!(world.vault.refresh(NAME, &token_of("app1")).await.unwrap().generation, 3, "by the refresh token that was held");
    assert_eq!((world.vendor.deeds("recover"), world.vendor.deeds("refresh")), (1, 1));
}

#[tokio::test]
async fn a_lost_refresh_token_that_cannot_be_won_back_says_what_to_do() {
    let world = World::granted_with(Habits { can_recover: false, ..Habits::default() }).await;
    world.vendor.kill_refresh_token("app1");
    let error = world.vault.refresh(NAME, &token_of("app1")).await.unwrap_err();
    let VaultError::VendorRefused(error) = error else { panic!("{error:?}") };
    assert_eq!(error.advice, Some("the refresh token is lost; the merchant must authorize again"));
    assert_eq!(world.fresh("app1").await.unwrap().generation, 1, "what is held is served as long as it lives");
}

async fn an_unanswered_refresh(lost_reply: LostReply, fault: Fault) -> World {
    let world = World::granted_with(Habits { lost_reply, ..Habits::default() }).await;
    world.vendor.fault("refresh", fault);
    let served = world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    assert!(world.vendor.accepts("app1", &served.token));
    assert_eq!(served.generation, 2);
    assert!(world.shelf.names(Kind::Intent).is_empty());
    world
}

#[tokio::test]
async fn an_unanswered_refresh_is_recovered_at_once() {
    for fault in [Fault::LostBefore, Fault::LostAfter] {
        let world = an_unanswered_refresh(LostReply::Recover, fault).await;
        assert_eq!(world.vendor.deeds("recover"), 1);
    }
}

#[tokio::test]
async fn an_unanswered_refresh_is_repeated_once_where_that_is_the_rule() {
    let world = an_unanswered_refresh(LostReply::RepeatThenRecover, Fault::LostBefore).await;
    assert_eq!((world.vendor.deeds("refresh"), world.vendor.deeds("recover")), (1, 0));
    let world = an_unanswered_refresh(LostReply::RepeatThenRecover, Fault::LostAfter).await;
    assert_eq!((world.vendor.deeds("refresh"), world.vendor.deeds("recover")), (1, 1));
}

#[tokio::test]
async fn a_refresh_that_was_certainly_not_sent_leaves_nothing_behind() {
    let world = World::granted().await;
    world.vendor.fault("refresh", Fault::NotSent);
    assert!(matches!(world.vault.refresh(NAME, &token_of("app1")).await, Err(VaultError::VendorUnreachable(_))));
    assert!(world.shelf.names(Kind::Intent).is_empty());
    assert_eq!(world.fresh("app1").await.unwrap().generation, 1);
}

#[tokio::test]
async fn a_token_in_doubt_is_settled_before_it_is_served() {
    let world = World::granted().await;
    world.vendor.fault("refresh", Fault::LostAfter);
    world.vendor.fault("recover", Fault::NotSent);
    assert!(world.vault.refresh(NAME, &token_of("app1")).await.is_err());
    assert_eq!(world.fresh("app1").await.unwrap().generation, 1, "too early for another try: the held one is all there is");
    world.advance(5);
    let served = world.fresh("app1").await.unwrap();
    assert_eq!(served.generation, 2);
    assert!(world.vendor.accepts("app1", &served.token));
}

#[tokio::test]
async fn generations_go_on_after_a_restart() {
    let world = World::granted().await;
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    let before = world.fresh("app1").await.unwrap();
    let component = world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap();
    let world = world.restart().await;
    let after = world.fresh("app1").await.unwrap();
    assert_eq!((after.generation, &after.token), (2, &before.token));
    let again = world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap();
    assert_eq!((again.generation, again.token), (component.generation, component.token));
    world.advance(60);
    assert_eq!(world.vault.refresh(NAME, &token_of("app1")).await.unwrap().generation, 3);
}

#[tokio::test]
async fn a_damaged_token_is_won_back_and_its_generation_goes_on() {
    let world = World::granted().await;
    world.vault.refresh(NAME, &token_of("app1")).await.unwrap();
    world.shelf.damage(&RecordKey::new(Kind::Token, NAME, "current/app1"));
    let world = world.restart().await;
    let served = world.fresh("app1").await.unwrap();
    assert!(world.vendor.accepts("app1", &served.token));
    assert!(served.generation > 2);
    let warnings = world.vault.component_state(NAME).unwrap().warnings;
    assert!(warnings.iter().any(|line| line.contains("damaged") && line.contains("token current/app1")), "{warnings:?}");
}

#[tokio::test]
async fn both_families_are_kept_apart() {
    let world = World::granted_with(Habits { families: &[Family::Current, Family::V1], ..Habits::default() }).await;
    let v1 = TokenKey::Authorizer { app_id: String::from("app1"), family: Family::V1 };
    let old = world.vault.fresh(NAME, &v1, Want::default()).await.unwrap();
    assert!(world.vendor.accepts_in("app1", "v1", &old.token));
    let current = world.fresh("app1").await.unwrap();
    assert!(world.vendor.accepts("app1", &current.token));
    assert_eq!(world.vendor.deeds("recover"), 1, "the old family's code was asked for");
    let component = world.vault.fresh(NAME, &TokenKey::Component(Family::V1), Want::default()).await.unwrap();
    assert_eq!(component.generation, 1);
    let tokens = world.vault.authorizer(NAME, "app1").await.unwrap().1;
    assert_eq!(tokens.iter().map(|token| token.family).collect::<Vec<_>>(), [Family::Current, Family::V1]);
}

#[tokio::test]
async fn a_family_that_the_platform_does_not_keep_is_not_applicable() {
    let world = World::granted().await;
    let key = TokenKey::Component(Family::V1);
    assert!(matches!(world.vault.fresh(NAME, &key, Want::default()).await, Err(VaultError::NotApplicable(_))));
}

#[tokio::test]
async fn a_platform_without_tickets_has_neither_ticket_nor_component_token() {
    let habits = Habits {
        has_tickets: false,
        life: None,
        renewal: Renewal {
            ahead: Duration::from_secs(86400),
            overlap: Duration::from_secs(60),
            exercise: Some(Duration::from_secs(20 * 86400)),
        },
        ..Habits::default()
    };
    let world = World::with(habits).await;
    assert!(matches!(world.vault.ticket(NAME), Err(VaultError::NotApplicable(_))));
    assert!(matches!(world.vault.fresh(NAME, &COMPONENT, Want::default()).await, Err(VaultError::NotApplicable(_))));
    world.grant("app1").await.unwrap();
    let served = world.fresh("app1").await.unwrap();
    assert_eq!((served.expires_at, served.cache_for), (None, Duration::from_secs(59)));
}

#[tokio::test]
async fn unknown_components_and_authorizers_are_named() {
    let world = World::granted().await;
    assert!(matches!(world.vault.fresh("other", &COMPONENT, Want::default()).await, Err(VaultError::UnknownComponent)));
    let error = world.fresh("stranger").await.unwrap_err();
    assert!(matches!(&error, VaultError::NotAuthorized(words) if words.contains("stranger")), "{error}");
    assert!(matches!(world.vault.authorizer(NAME, "stranger").await, Err(VaultError::NotAuthorized(_))));
    assert_eq!(world.vendor.deeds("recover"), 0, "no stranger's question reaches the vendor");
}

#[tokio::test]
async fn an_authorizer_from_before_our_time_is_taken_over_by_force() {
    let world = World::new().await;
    world.ticket().await;
    drop(world.vendor.grant("old"));
    let served = world.vault.refresh(NAME, &token_of("old")).await.unwrap();
    assert!(world.vendor.accepts("old", &served.token));
    assert_eq!(world.vault.authorizer(NAME, "old").await.unwrap().0.state, AuthorizerState::Granted);
    let error = world.vault.refresh(NAME, &token_of("nobody")).await.unwrap_err();
    assert!(matches!(error, VaultError::NotAuthorized(_)), "{error:?}");
    assert!(matches!(world.vault.authorizer(NAME, "nobody").await, Err(VaultError::NotAuthorized(_))), "a stranger is not remembered");
    world.vendor.fault("exchange", Fault::LostAfter);
    drop(world.vendor.grant("older"));
    assert!(world.vault.refresh(NAME, &token_of("older")).await.is_err());
    assert!(matches!(world.fresh("older").await, Err(VaultError::NotAuthorized(_))));
    world.advance(30);
    assert!(world.vault.refresh(NAME, &token_of("older")).await.is_ok());
}

#[tokio::test]
async fn a_broken_shelf_hands_out_no_new_token() {
    let world = World::granted().await;
    *world.shelf.broken.lock().unwrap() = Some(yizhan::vault::shelf::ShelfError::Failed(String::from("disk")));
    let error = world.vault.refresh(NAME, &token_of("app1")).await.unwrap_err();
    assert!(matches!(error, VaultError::Store(_)), "{error:?}");
    assert_eq!(world.vendor.deeds("refresh"), 0, "without a durable intent nothing is spent");
    assert_eq!(world.fresh("app1").await.unwrap().generation, 1);
    assert!(world.vault.keep(NAME, &world.vendor.ticket(), world.clock.now()).await.is_err());
}

/// The disk is busy just then, and for minutes: the answer is nowhere else.
#[tokio::test]
async fn an_answer_with_new_tokens_is_kept_however_long_the_queue_is_full() {
    for deed in ["refresh", "exchange"] {
        let world = World::granted().await;
        world.vendor.close();
        let (vault, pushed) = (Arc::clone(&world.vault), world.pushed("app2"));
        let asked = tokio::spawn(async move {
            match deed {
                "refresh" => vault.refresh(NAME, &token_of("app1")).await.map(drop),
                _ => vault.granted(NAME, Some("app2"), &pushed).await.map(drop),
            }
        });
        until("the call", || world.vendor.waiting() == 1).await;
        let calls = world.vendor.calls(deed);
        *world.shelf.broken.lock().unwrap() = Some(yizhan::vault::shelf::ShelfError::Full);
        world.vendor.open();
        until("many tries to keep the answer", || {
            world.advance(1);
            assert!(!asked.is_finished(), "the answer to the {deed} is dropped after {:?} tries to keep it", world.shelf.refused);
            world.shelf.refused.load(Ordering::SeqCst) > 250
        })
        .await;
        *world.shelf.broken.lock().unwrap() = None;
        until("the end", || {
            world.advance(1);
            asked.is_finished()
        })
        .await;
        asked.await.unwrap().unwrap();
        let app = if deed == "refresh" { "app1" } else { "app2" };
        assert!(world.vendor.accepts(app, &world.fresh(app).await.unwrap().token));
        assert_eq!((world.vendor.calls(deed), world.vendor.calls("recover")), (calls + 1, 0), "nothing is sent again");
    }
}

#[tokio::test]
async fn two_processes_on_one_shelf_spend_a_refresh_token_once() {
    let world = World::granted().await;
    let other = open(Arc::clone(&world.shelf) as _, &world.vendor, &world.clock).await;
    world.advance(7190);
    world.vault.fresh(NAME, &COMPONENT, Want::default()).await.unwrap();
    let (one, two) = tokio::join!(world.fresh("app1"), async {
        let other = tokio::spawn(async move { other.fresh(NAME, &token_of("app1"), Want::default()).await });
        // The one that waits for the lease looks again a quarter of a second later.
        while !other.is_finished() {
            tokio::task::yield_now().await;
            world.clock.advance(SignedDuration::from_millis(5));
        }
        other.await.unwrap()
    });
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.generation, two.generation), (2, 2));
    assert_eq!(one.token, two.token);
    assert_eq!(world.vendor.deeds("refresh"), 1);
}

#[tokio::test]
async fn an_answer_with_the_tokens_of_another_is_not_read_for_ever() {
    for can_recover in [true, false] {
        let world = World::granted_with(Habits { can_recover, ..Habits::default() }).await;
        world.vendor.fault("refresh", Fault::Mistakes("app9"));
        let renewed = world.vault.refresh(NAME, &token_of("app1")).await;
        assert!(world.fresh("app9").await.is_err(), "nobody granted that");
        if can_recover {
            assert!(world.vendor.accepts("app1", &renewed.unwrap().token), "won back");
        } else {
            world.advance(60);
            world.ticket().await;
            let _ = world.vault.refresh(NAME, &token_of("app1")).await;
            assert!(world.shelf.names(Kind::Intent).is_empty(), "nothing is left to read again");
        }
    }
}

#[tokio::test]
async fn a_forced_renewal_begins_where_there_is_something_to_ask_and_nowhere_else() {
    for can_recover in [true, false] {
        let world = World::with(Habits { can_recover, ..Habits::default() }).await;
        world.ticket().await;
        world.vault.granted(NAME, Some("withdrawn"), &world.pushed("withdrawn")).await.unwrap();
        world.vendor.revoke("withdrawn");
        world.vault.revoked(NAME, "withdrawn", world.clock.now()).await.unwrap();
        for app in ["stranger", "withdrawn"] {
            let mut begun = 0;
            let refused = world.vault.insist(NAME, &token_of(app), Insistence::Anyway, || begun += 1).await;
            assert!(refused.is_err(), "{app}");
            assert_eq!(begun, u32::from(can_recover), "{app}: {refused:?}");
            if !can_recover {
                let is_fitting = match app {
                    "stranger" => matches!(refused, Err(VaultError::NotAuthorized(_))),
                    _ => matches!(refused, Err(VaultError::Revoked { at: Some(_) })),
                };
                assert!(is_fitting, "{app}: {refused:?}");
            }
        }
    }
}
