//! Bulk replays.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::{ask, delivered, failed_audit, get, post};
use crate::world::World;

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
