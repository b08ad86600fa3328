//! Events and deliveries, listed and shown.

use std::collections::BTreeMap;

use serde_json::json;
use yizhan::fanout::delivery::DeliveryFilter;
use yizhan::http::list::Listing;
use yizhan::http::parameters::Query;
use yizhan::inbox::{EventFilter, Position};
use yizhan::platform::twin::Verdict;

use super::{Answer, delivered, failed_audit, get, items, post};
use crate::world::World;

async fn world_with_events(count: usize) -> World {
    let world = World::new().await;
    for number in 0..count {
        failed_audit(&world, "douyin", &format!("1.0.{number}")).await;
    }
    world
}

/// The reasons, newest first.
fn reasons(answer: &Answer) -> Vec<String> {
    items(answer).iter().map(|event| event["data"]["reason"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_newest_first_and_stay_whole_while_new_events_arrive() {
    let world = world_with_events(5).await;
    let first = get(&world, "/v1/events?limit=2&type=audit.*").await;
    assert_eq!(reasons(&first), ["1.0.4", "1.0.3"]);
    failed_audit(&world, "douyin", "2.0.0").await;
    world.simulator.ticket("douyin").await.unwrap();
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let second = get(&world, &format!("/v1/events?limit=2&cursor={cursor}")).await;
    assert_eq!(reasons(&second), ["1.0.2", "1.0.1"], "the cursor carries the filter");
    let cursor = second.json()["next_cursor"].as_str().unwrap().to_owned();
    let last = get(&world, &format!("/v1/events?limit=2&cursor={cursor}")).await;
    assert_eq!(reasons(&last), ["1.0.0"]);
    assert!(last.json().get("next_cursor").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_the_same_bytes_in_a_list_alone_and_at_the_handler() {
    let world = world_with_events(1).await;
    let list = get(&world, "/v1/events?type=audit.*").await;
    let id = items(&list)[0]["id"].as_str().unwrap().to_owned();
    let one = get(&world, &format!("/v1/events/{id}")).await;
    assert_eq!(list.text, format!("{{\"items\":[{}]}}", one.text));
    let received = world.handler.wait_for(|received| received.first().map(|first| first.event.clone())).await.unwrap();
    assert_eq!(received, one.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_and_bad_ones_are_named() {
    let world = world_with_events(3).await;
    world.simulator.audit("baidu", "1452365", "9.0.0", &Verdict::Passed).await.unwrap();
    for (query, count) in [
        ("type=audit.*", 4),
        ("component=douyin", 3),
        ("component=*&type=audit.*", 4),
        ("platform=baidu", 1),
        ("type=audit.passed", 1),
        ("component=douyin&type=ticket.*", 0),
        ("authorizer=tt0123456789abcdef", 3),
        ("authorizer=tt*", 3),
        ("q=9.0.0", 1),
        ("type=audit.*&since=2026-11-20T07:00:00Z", 4),
        ("until=2026-11-20T07:00:00Z", 0),
        ("type=audit.*&since=2026-11-20T15:00:00+08:00", 4),
        ("component=douyin&q=1.0.1", 1),
        ("status=dead", 0),
    ] {
        assert_eq!(items(&get(&world, &format!("/v1/events?{query}")).await).len(), count, "{query}");
    }
    assert_eq!(
        get(&world, "/v1/events?limit=x&since=then&status=lost&colour=red&cursor=zz").await.bad(),
        ["since", "status", "limit", "cursor", "colour"]
    );
    assert_eq!(get(&world, "/v1/events?component=a&component=b").await.bad(), ["component"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    let world = World::new().await;
    for path in [
        "/v1/events/evt_0",
        "/v1/events/x",
        "/v1/deliveries/dlv_0190c0de00007000800000000000000a",
        "/v1/replays/rpl_1",
        "/v1/subscriptions/x",
    ] {
        assert_eq!(get(&world, path).await.problem(), "not-found", "{path}");
    }
    assert_eq!(post(&world, "/v1/deliveries/dlv_0190c0de00007000800000000000000a/retry", json!({})).await.problem(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_listed_with_the_number_of_its_attempts_and_shown_with_all() {
    let world = world_with_events(1).await;
    let listed = world
        .until("delivered", async || items(&get(&world, "/v1/deliveries?subscription=handler&status=delivered").await).into_iter().next())
        .await;
    assert_eq!(listed["attempts"], 1);
    let id = listed["id"].as_str().unwrap();
    let one = get(&world, &format!("/v1/deliveries/{id}")).await.json();
    assert_eq!((&one["status"], &one["attempts"][0]["status"], &one["event_id"]), (&json!("delivered"), &json!(204), &listed["event_id"]));
    assert_eq!(one["next_attempt_at"], json!(null));
    let again = post(&world, &format!("/v1/deliveries/{id}/retry"), json!({})).await;
    assert_eq!(again.status, 202, "{}", again.text);
    world.handler.wait_for(|received| (received.len() == 2).then_some(())).await.unwrap();
    assert_eq!(get(&world, "/v1/deliveries?event=nonsense&status=x").await.bad(), ["status", "event"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_paused_subscription_holds_reads_held_and_counts_on_it() {
    let world = World::new().await;
    assert_eq!(post(&world, "/v1/subscriptions/handler/pause", json!({})).await.json()["state"], "paused");
    for number in 0..3 {
        failed_audit(&world, "douyin", &format!("1.0.{number}")).await;
    }
    let held = items(&get(&world, "/v1/deliveries?status=held").await);
    assert_eq!(held.len(), 3);
    assert!(held.iter().all(|one| one["status"] == "held" && one["subscription"] == "handler"));
    assert_eq!(items(&get(&world, "/v1/deliveries?status=pending").await).len(), 0);
    assert_eq!(items(&get(&world, "/v1/events?status=held").await).len(), 3);
    assert_eq!(items(&get(&world, "/v1/events?status=pending").await).len(), 0);
    let page = get(&world, "/v1/deliveries?status=held&limit=2").await;
    assert_eq!(items(&page).len(), 2);
    let next = page.json()["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(items(&get(&world, &format!("/v1/deliveries?cursor={next}")).await).len(), 1);
    let subscription = get(&world, "/v1/subscriptions/handler").await.json();
    assert_eq!((&subscription["held"], &subscription["oldest_held_at"]), (&json!(3), &json!("2026-11-20T07:00:00Z")));

    assert_eq!(post(&world, "/v1/subscriptions/handler/resume", json!({})).await.json()["state"], "active");
    world.handler.wait_for(|received| (received.len() == 3).then_some(())).await.unwrap();
    assert_eq!(items(&get(&world, "/v1/deliveries?status=held").await).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_is_replayed_to_whom_is_named_or_to_all_that_match() {
    let world = world_with_events(1).await;
    delivered(&world, 1).await;
    let id = items(&get(&world, "/v1/events?type=audit.*").await)[0]["id"].as_str().unwrap().to_owned();
    let named = post(&world, &format!("/v1/events/{id}/replay"), json!({ "subscription": "handler" })).await;
    assert_eq!((named.status, &named.json()["deliveries"][0]["subscription"]), (202, &json!("handler")), "{}", named.text);
    delivered(&world, 2).await;
    let all = post(&world, &format!("/v1/events/{id}/replay"), json!({})).await;
    assert_eq!(all.json()["deliveries"].as_array().unwrap().len(), 1);
    delivered(&world, 3).await;
    let received = world.handler.received();
    assert!(received.iter().all(|one| one.id == id), "the same webhook-id every time");
    let wrong = post(&world, &format!("/v1/events/{id}/replay"), json!({ "subscription": "nobody", "colour": 1 })).await;
    assert_eq!(wrong.bad(), ["subscription", "colour"]);
    assert_eq!(post(&world, &format!("/v1/events/{id}/replay"), json!({ "subscription": "yizhan-vault" })).await.bad(), ["subscription"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_position_is_a_bad_cursor_and_no_fault_of_the_store() {
    let world = World::new().await;
    for (path, cursor) in ["", "x", "-1", "\0", "99999999999999999999999"].into_iter().flat_map(|after| {
        let after = Position(after.to_owned());
        let nothing = || Query::parse("");
        [
            ("/v1/events", Listing::read("events", nothing(), EventFilter::default()).unwrap().cursor(&after).unwrap()),
            ("/v1/deliveries", Listing::read("deliveries", nothing(), DeliveryFilter::default()).unwrap().cursor(&after).unwrap()),
            (
                "/v1/audit",
                Listing::read("audit", nothing(), BTreeMap::from([(String::from("component"), None::<()>)]))
                    .unwrap()
                    .cursor(&after)
                    .unwrap(),
            ),
        ]
    }) {
        assert_eq!(get(&world, &format!("{path}?cursor={cursor}")).await.bad(), ["cursor"], "{path}");
    }
}
