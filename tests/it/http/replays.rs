//! Bulk replays.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::{ask, delivered, failed_audit, get, items, post, post_as, world_with_keys};
use crate::world::{KEY, SECRET, World};

async fn world_with_delivered_events(count: usize) -> World {
    let world = World::new().await;
    for number in 0..count {
        failed_audit(&world, "douyin", &format!("1.0.{number}")).await;
    }
    delivered(&world, count).await;
    // A replay takes what was received before it.
    world.advance(Duration::from_secs(1));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_counts_and_makes_nothing() {
    let world = world_with_delivered_events(3).await;
    let preview = post(&world, "/v1/replays", json!({ "filter": { "type": "audit.*" }, "dry_run": true })).await;
    assert_eq!((preview.status, preview.json()), (200, json!({ "matched": 3 })));
    assert_eq!(world.handler.received().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_tells_how_far_it_is() {
    let world = world_with_delivered_events(3).await;
    let body = json!({ "filter": { "component": "douyin", "since": "2026-11-20T00:00:00Z" }, "subscription": "handler", "rate": 1000 });
    let started = post(&world, "/v1/replays", body).await;
    let id = started.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((started.status, &started.json()["matched"]), (202, &json!(3)), "{}", started.text);
    assert_eq!(started.header("location"), format!("/v1/replays/{id}"));
    let done = world
        .until("done and delivered", async || {
            world.advance(Duration::from_millis(100));
            let replay = get(&world, &format!("/v1/replays/{id}")).await.json();
            (replay["state"] == "done" && replay["delivered"] == 3).then_some(replay)
        })
        .await;
    assert_eq!((&done["enqueued"], &done["dead"], &done["rate"]), (&json!(3), &json!(0), &json!(1000)));
    assert_eq!(world.handler.received().len(), 6);
    for verb in ["pause", "resume", "cancel"] {
        assert_eq!(post(&world, &format!("/v1/replays/{id}/{verb}"), json!({})).await.problem(), "conflict", "{verb}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_paused_resumed_and_cancelled() {
    let world = world_with_delivered_events(3).await;
    let started = post(&world, "/v1/replays", json!({ "filter": {}, "rate": 1 })).await;
    let id = started.json()["id"].as_str().unwrap().to_owned();
    for (verb, state) in [("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("cancel", "cancelled"), ("cancel", "cancelled")]
    {
        let answer = post(&world, &format!("/v1/replays/{id}/{verb}"), json!({})).await;
        assert_eq!((answer.status, &answer.json()["state"]), (200, &json!(state)), "{verb}: {}", answer.text);
    }
    assert_eq!(post(&world, &format!("/v1/replays/{id}/resume"), json!({})).await.problem(), "conflict");
    for verb in ["pause", "resume", "cancel"] {
        assert_eq!(post(&world, &format!("/v1/replays/rpl_nothing/{verb}"), json!({})).await.problem(), "not-found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_everything_must_be_said_and_bad_members_are_named() {
    let world = World::new().await;
    assert_eq!(post(&world, "/v1/replays", json!({})).await.bad(), ["filter"]);
    let body =
        json!({ "filter": { "type": 1, "status": "held", "colour": 1 }, "subscription": "nobody", "rate": "fast", "dry_run": "yes" });
    let mut bad = post(&world, "/v1/replays", body).await.bad();
    bad.sort();
    assert_eq!(bad, ["dry_run", "filter.colour", "filter.status", "filter.type", "rate", "subscription"]);
    for rate in [0, 10_001] {
        assert_eq!(post(&world, "/v1/replays", json!({ "filter": {}, "rate": rate })).await.bad(), ["rate"]);
        assert_eq!(post(&world, "/v1/replays", json!({ "filter": {}, "rate": rate, "dry_run": true })).await.bad(), ["rate"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_counted_for_whom_the_replay_is() {
    let world = World::new().await;
    let make = async |name: &str| {
        let body = json!({ "name": name, "url": world.handler.url(), "events": ["audit.*"] });
        assert_eq!(post(&world, "/v1/subscriptions", body).await.status, 201);
    };
    make("former").await;
    assert_eq!(post(&world, "/v1/subscriptions/former/pause", json!({})).await.status, 200);
    failed_audit(&world, "douyin", "first").await;
    delivered(&world, 1).await;
    make("later").await;
    let counted = async |status: &str, to: Option<&str>| {
        let body = json!({ "filter": { "type": "audit.*", "status": status }, "subscription": to, "dry_run": true });
        post(&world, "/v1/replays", body).await.json()["matched"].as_u64().unwrap()
    };
    assert_eq!((counted("delivered", None).await, counted("delivered", Some("handler")).await), (1, 1));
    assert_eq!((counted("delivered", Some("later")).await, counted("pending", Some("later")).await), (0, 0), "what others have is theirs");
    assert_eq!(ask(&world, Method::DELETE, "/v1/subscriptions/former").await.status, 204);
    assert_eq!(counted("cancelled", Some("later")).await, 1, "it may take the place of one that is gone");
    assert_eq!((counted("cancelled", Some("handler")).await, counted("cancelled", None).await), (0, 0));
}

/// A world in which `agency` hears of Baidu's audits alone, with a key for the replays of Douyin's events.
async fn world_with_agency() -> World {
    let world =
        world_with_keys(&[("narrow", &["events:replay@douyin"]), ("reading", &["events:replay@douyin", "events:read@douyin"])]).await;
    let agency = json!({ "name": "agency", "url": world.handler.url(), "secret": SECRET, "events": ["audit.*"], "components": ["baidu"] });
    assert_eq!(post(&world, "/v1/subscriptions", agency).await.status, 201);
    world.granted("douyin", "tt0123456789abcdef").await;
    failed_audit(&world, "douyin", "douyin's").await;
    failed_audit(&world, "baidu", "baidu's").await;
    world.until("everybody has heard", async || items(&get(&world, "/v1/deliveries?status=pending").await).is_empty().then_some(())).await;
    world.advance(Duration::from_secs(1));
    world
}

/// How many a replay matched and how many deliveries it enqueued, once it is done.
async fn outcome(world: &World, key: &str, body: serde_json::Value) -> (u64, u64) {
    let started = post_as(world, key, "/v1/replays", body).await;
    assert_eq!(started.status, 202, "{}", started.text);
    let address = format!("/v1/replays/{}", started.json()["id"].as_str().unwrap());
    let done = async || {
        world.advance(Duration::from_millis(100));
        let replay = get(world, &address).await.json();
        (replay["state"] == "done").then_some(replay)
    };
    let done = world.until("done", done).await;
    (done["matched"].as_u64().unwrap(), done["enqueued"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_to_a_subscription_passes_over_what_that_one_does_not_want() {
    let world = world_with_agency().await;
    let of = async || items(&get(&world, "/v1/deliveries?subscription=agency").await).len();
    assert_eq!(of().await, 1, "baidu's audit");
    // Everything of Douyin's: a ticket, a grant, an audit.
    let all = json!({ "filter": {}, "subscription": "agency" });
    let counted = post_as(&world, "yzk_narrow", "/v1/replays", json!({ "filter": {}, "subscription": "agency", "dry_run": true })).await;
    assert_eq!(counted.json(), json!({ "matched": 0 }));
    assert_eq!(outcome(&world, "yzk_narrow", all.clone()).await, (0, 0));
    assert_eq!(of().await, 1, "nothing was sent");
    // Whoever may send everything sends it what it wants, and no ticket to one that names none.
    assert_eq!(outcome(&world, KEY, all).await, (1, 1));
    let tickets = json!({ "filter": { "type": "ticket.received" }, "subscription": "handler" });
    assert_eq!(outcome(&world, KEY, tickets).await, (0, 0), "`*` does not name them");
    let delivered = json!({ "filter": { "status": "delivered" }, "subscription": "handler", "dry_run": true });
    assert_eq!(post(&world, "/v1/replays", delivered).await.json(), json!({ "matched": 3 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_is_not_sent_to_a_subscription_that_does_not_want_it() {
    let world = world_with_agency().await;
    for (list, subscription) in
        [("component=douyin&type=audit.*", "agency"), ("component=douyin&type=authorization.*", "agency"), ("type=ticket.*", "handler")]
    {
        let event = items(&get(&world, &format!("/v1/events?{list}")).await)[0]["id"].as_str().unwrap().to_owned();
        let address = format!("/v1/events/{event}/replay");
        for key in ["yzk_narrow", KEY] {
            let refused = post_as(&world, key, &address, json!({ "subscription": subscription })).await;
            assert_eq!(refused.bad(), ["subscription"], "{list}");
            assert!(refused.json()["hint"].as_str().unwrap().contains(&format!("`components` of `{subscription}`")), "{}", refused.text);
        }
        let sent = items(&get(&world, &format!("/v1/deliveries?event={event}&subscription={subscription}")).await);
        assert!(sent.is_empty(), "{list}: {sent:?}");
        assert_eq!(post_as(&world, "yzk_narrow", &address, json!({})).await.status, 202, "to all that want it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_read_events_cannot_learn_by_counting_what_they_hold() {
    let world = world_with_agency().await;
    for dry_run in [true, false] {
        let body = json!({ "filter": { "q": "douyin's" }, "dry_run": dry_run });
        let refused = post_as(&world, "yzk_narrow", "/v1/replays", body.clone()).await;
        assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"), "{}", refused.text);
        assert!(refused.json()["detail"].as_str().unwrap().contains("events:read@douyin"), "{}", refused.text);
        assert!(post_as(&world, "yzk_reading", "/v1/replays", body).await.status < 300);
    }
    let other = json!({ "filter": { "component": "douyin" }, "dry_run": true });
    assert_eq!(post_as(&world, "yzk_narrow", "/v1/replays", other).await.status, 200, "without `q` it tells nothing of what events hold");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cancelled_with_a_former_name_is_sent_to_the_new_one_that_wants_it() {
    let world = world_with_agency().await;
    assert_eq!(post(&world, "/v1/subscriptions/agency/pause", json!({})).await.status, 200);
    failed_audit(&world, "baidu", "held").await;
    assert_eq!(ask(&world, Method::DELETE, "/v1/subscriptions/agency").await.status, 204);
    for (name, component, count) in [("elsewhere", "douyin", 0), ("renamed", "baidu", 1)] {
        let body = json!({ "name": name, "url": world.handler.url(), "secret": SECRET, "events": ["audit.*"], "components": [component] });
        assert_eq!(post(&world, "/v1/subscriptions", body).await.status, 201);
        world.advance(Duration::from_secs(1));
        let body = json!({ "filter": { "status": "cancelled" }, "subscription": name });
        assert_eq!(outcome(&world, KEY, body).await, (count, count), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_starts_replay_after_replay_is_told_which_are_in_the_way() {
    let world = world_with_agency().await;
    let all = json!({ "filter": {}, "rate": 1 });
    let start = async || post_as(&world, "yzk_narrow", "/v1/replays", all.clone()).await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..yizhan::fanout::replays::MOST_OF_ONE {
        let started = start().await;
        assert_eq!(started.status, 202, "{}", started.text);
        ids.insert(started.json()["id"].as_str().unwrap().to_owned());
    }
    let refused = start().await;
    assert_eq!((refused.status, refused.problem().as_str(), refused.header("retry-after")), (429, "rate-limited", "60"));
    let named: Vec<_> = refused.json()["replays"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    assert_eq!(named.iter().cloned().collect::<std::collections::BTreeSet<_>>(), ids);
    let others = json!({ "filter": { "component": "baidu" }, "rate": 1 });
    assert_eq!(post(&world, "/v1/replays", others).await.status, 202, "nobody else's");
    let address = format!("/v1/replays/{}/cancel", named[0]);
    assert_eq!(post_as(&world, "yzk_narrow", &address, json!({})).await.status, 200);
    assert_eq!(start().await.status, 202);
}
