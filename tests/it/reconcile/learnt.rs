//! What the vault learns of a grant while it does something else: everybody hears of it, once.

use std::time::Duration;

use serde_json::json;
use yizhan::vault::LAG;

use super::{PLATFORMS, app_id, delivered, events, lose_pushes, patiently};
use crate::world::{Setting, World};

/// Nothing is asked by itself: what is found here is what the vault finds.
async fn world() -> World {
    World::with(Setting { extra: String::from("[reconcile]\nenabled = false\n"), ..Setting::default() }).await
}

/// A merchant withdraws, and the push of that is lost.
async fn withdraw_unheard(world: &World, platform: &str) {
    world.granted(platform, app_id(platform)).await;
    world.advance(LAG);
    lose_pushes(world, platform, true);
    world.simulator.revoke(platform, app_id(platform)).await.unwrap();
    lose_pushes(world, platform, false);
}

fn address(platform: &str) -> String {
    format!("/v1/components/{platform}/authorizers/{}", app_id(platform))
}

async fn told(world: &World, platform: &str) {
    world.until("the event", async || (!events(world, platform, "authorization.revoked").await.is_empty()).then_some(())).await;
    let told = events(world, platform, "authorization.revoked").await;
    assert_eq!(told.len(), 1, "{platform}");
    let data = &told[0]["data"];
    assert_eq!(
        (&told[0]["subject"], &told[0]["vendortype"], &data["derived"]),
        (&json!(app_id(platform)), &json!("token.refresh"), &json!(true))
    );
    assert!(data["vendor"]["code"].is_string(), "{platform}: {data}");
    assert_eq!(delivered(world, platform, "authorization.revoked").await.len(), 1, "{platform}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_found_by_a_renewal_is_an_event_once_and_a_new_grant_goes_on_as_ever() {
    let world = world().await;
    for platform in PLATFORMS {
        withdraw_unheard(&world, platform).await;
        let refresh = format!("{}/token/refresh", address(platform));
        let (status, body) = patiently(&world, world.post(&refresh, json!({}))).await;
        assert_eq!(status, 410, "{platform}: {body}");
        told(&world, platform).await;
        world.advance(Duration::from_secs(60));
        let (status, body) = patiently(&world, world.post(&refresh, json!({}))).await;
        assert_eq!(status, 410, "{platform}: {body}");
        world.advance(Duration::from_secs(60));
        world.granted(platform, app_id(platform)).await;
        assert_eq!(events(&world, platform, "authorization.revoked").await.len(), 1, "{platform}");
        // The next withdrawal is another one, and its push is heard.
        world.advance(Duration::from_secs(60));
        world.simulator.revoke(platform, app_id(platform)).await.unwrap();
        assert_eq!(events(&world, platform, "authorization.revoked").await.len(), 2, "{platform}");
        let token = format!("{}/token", address(platform));
        world.until("the end of the grant", async || (world.get(&token).await.0 == 410).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_an_operation_meets_reaches_the_vault_and_everybody() {
    let world = world().await;
    for (platform, path) in [
        ("baidu", "operations/package.list"),
        ("douyin", "operations/package.list"),
        ("kuaishou", "operations/package.list"),
        ("alipay", "operations/package.list"),
    ] {
        withdraw_unheard(&world, platform).await;
        let (status, body) = patiently(&world, world.post(&format!("{}/{path}", address(platform)), json!({}))).await;
        assert_eq!((status, &body["type"]), (410, &json!("/problems/revoked")), "{platform}: {body}");
        told(&world, platform).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_a_call_passed_on_meets_reaches_the_vault_and_everybody() {
    let world = world().await;
    withdraw_unheard(&world, "baidu").await;
    let (_, body) = patiently(&world, world.get(&format!("{}/proxy/rest/2.0/smartapp/package/get", address("baidu")))).await;
    assert!(body["error_code"].is_number(), "the vendor's own answer: {body}");
    told(&world, "baidu").await;
    assert_eq!(world.get(&format!("{}/token", address("baidu"))).await.0, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_push_of_a_withdrawal_that_was_found_tells_nothing_new() {
    let world = world().await;
    withdraw_unheard(&world, "douyin").await;
    let at = yizhan::clock::china_text(yizhan::clock::Clock::now(&*world.clock));
    let (status, _) = patiently(&world, world.post(&format!("{}/token/refresh", address("douyin")), json!({}))).await;
    assert_eq!(status, 410);
    told(&world, "douyin").await;
    world.advance(Duration::from_secs(600));
    let sample = yizhan::platform::named("douyin").unwrap().sample_settings("http://127.0.0.1:9");
    let component = sample.lines().find_map(|line| line.strip_prefix("component_appid = \"")).unwrap().trim_end_matches('"').to_owned();
    let push = json!({"AppId": app_id("douyin"), "TpAppId": component, "Event": "UNAUTHORIZED", "EventTime": at});
    let (_, answered) = world.simulator.say("douyin", yizhan::platform::Door::Authorization, &push.to_string()).await.unwrap();
    assert!(answered.acknowledged);
    assert_eq!(events(&world, "douyin", "authorization.revoked").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_was_given_up_by_mistake_is_told_when_it_is_back() {
    let world = world().await;
    world.granted("douyin", app_id("douyin")).await;
    world.advance(LAG);
    lose_pushes(&world, "douyin", true);
    world.simulator.revoke("douyin", app_id("douyin")).await.unwrap();
    let refresh = format!("{}/token/refresh", address("douyin"));
    assert_eq!(patiently(&world, world.post(&refresh, json!({}))).await.0, 410);
    told(&world, "douyin").await;
    world.advance(Duration::from_secs(90));
    // The merchant granted again, and that push is lost too, as is the one with the code that the question causes: that one would tell it.
    world.simulator.grant("douyin", app_id("douyin")).await.unwrap();
    let (status, body) = patiently(&world, world.post(&refresh, json!({}))).await;
    assert_eq!(status, 200, "{body}");
    lose_pushes(&world, "douyin", false);
    let derived = async || {
        let granted = events(&world, "douyin", "authorization.granted").await;
        granted.into_iter().filter(|event| event["data"]["derived"] == json!(true)).count()
    };
    world.until("the event", async || (derived().await == 1).then_some(())).await;
    delivered(&world, "douyin", "authorization.granted").await;
    assert_eq!((derived().await, world.get(&format!("{}/token", address("douyin"))).await.0), (1, 200));
}
