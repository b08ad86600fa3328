//! What the vault learns of a grant while it does something else: everybody hears of it, once.

use std::time::Duration;

use serde_json::{Value, json};
use yizhan::vault::LAG;

use super::{PLATFORMS, app_id, delivered, events, lose_pushes, patiently};
use crate::journeys::way_back;
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

/// A merchant's browser comes back from the vendor's page with this query.
async fn comes_back(world: &World, platform: &str, query: &str) {
    let (status, link) = patiently(world, world.post(&format!("/v1/components/{platform}/authorizations"), json!({}))).await;
    assert_eq!(status, 200, "{platform}: {link}");
    let back = way_back(link["url"].as_str().unwrap());
    let separator = if back.contains('?') { '&' } else { '?' };
    let page = patiently(world, world.client.get(format!("{back}{separator}{query}")).send()).await.unwrap();
    assert_eq!(page.status(), 200, "{platform}");
    assert_eq!(world.get(&format!("{}/token", address(platform))).await.0, 200, "{platform}");
}

/// Time passes until the grant is told: once, and as found.
async fn told_as_found(world: &World, platform: &str) {
    world
        .until("the event", async || {
            world.advance(Duration::from_secs(1));
            (!events(world, platform, "authorization.granted").await.is_empty()).then_some(())
        })
        .await;
    let granted = events(world, platform, "authorization.granted").await;
    assert_eq!(
        (granted.len(), &granted[0]["subject"], &granted[0]["vendortype"], &granted[0]["data"]["derived"]),
        (1, &json!(app_id(platform)), &json!("token.exchange"), &json!(true)),
        "{platform}"
    );
    assert_eq!(delivered(world, platform, "authorization.granted").await.len(), 1, "{platform}");
    assert_eq!(world.get(&format!("{}/token", address(platform))).await.0, 200, "{platform}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_alipay_tells_the_browser_only_is_an_event() {
    let world = world().await;
    let stage_door = format!("http://{}/_sim/alipay/grant", world.simulator.address());
    let body = json!({"app_id": app_id("alipay"), "push": false}).to_string();
    let answer = world.client.post(stage_door).header("content-type", "application/json").body(body).send().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["acknowledged"], Value::Null);
    comes_back(&world, "alipay", answer["redirect_query"].as_str().unwrap()).await;
    assert!(events(&world, "alipay", "authorization.granted").await.is_empty());
    told_as_found(&world, "alipay").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_tokens_pushed_soon_after_a_browsers_grant_was_told_are_an_event_and_reach_the_vault() {
    let world = world().await;
    let query = world.simulator.grant_unpushed("alipay", app_id("alipay")).unwrap();
    comes_back(&world, "alipay", &query).await;
    told_as_found(&world, "alipay").await;
    world.advance(Duration::from_secs(5));
    // The vendor takes the former tokens for a while only, and their refresh token no more.
    world.simulator.grant("alipay", app_id("alipay")).await.unwrap();
    assert_eq!(events(&world, "alipay", "authorization.granted").await.len(), 2);
    let token = format!("{}/token", address("alipay"));
    world.until("the newer token", async || (world.get(&token).await.1["generation"] == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_whose_push_is_lost_is_told_after_the_browser_came_over_a_restart_and_its_late_push_is_no_other() {
    let mut world = world().await;
    let at = yizhan::clock::china_text(yizhan::clock::Clock::now(&*world.clock));
    for platform in PLATFORMS {
        world.simulator.ticket(platform).await.unwrap();
        let query = world.simulator.grant_unpushed(platform, app_id(platform)).unwrap();
        comes_back(&world, platform, &query).await;
    }
    world.restart().await;
    for platform in PLATFORMS {
        told_as_found(&world, platform).await;
    }
    let sample = yizhan::platform::named("douyin").unwrap().sample_settings("http://127.0.0.1:9");
    let component = sample.lines().find_map(|line| line.strip_prefix("component_appid = \"")).unwrap().trim_end_matches('"').to_owned();
    let push = json!({
        "AppId": app_id("douyin"), "TpAppId": component, "Event": "AUTHORIZED", "EventTime": at,
        "AuthorizationCode": "0123456789abcdef0123456789abcdef", "AuthorizationCodeExpiresIn": 3600,
    });
    let (_, answered) = world.simulator.say("douyin", yizhan::platform::Door::Authorization, &push.to_string()).await.unwrap();
    assert!(answered.acknowledged);
    assert_eq!(events(&world, "douyin", "authorization.granted").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_comes_after_the_browser_that_granted_again_is_not_the_last_word() {
    let world = world().await;
    world.granted("douyin", app_id("douyin")).await;
    world.advance(LAG);
    let withdrawn_at = yizhan::clock::china_text(yizhan::clock::Clock::now(&*world.clock));
    lose_pushes(&world, "douyin", true);
    world.simulator.revoke("douyin", app_id("douyin")).await.unwrap();
    lose_pushes(&world, "douyin", false);
    world.advance(Duration::from_secs(50));
    let query = world.simulator.grant_unpushed("douyin", app_id("douyin")).unwrap();
    comes_back(&world, "douyin", &query).await;
    let sample = yizhan::platform::named("douyin").unwrap().sample_settings("http://127.0.0.1:9");
    let component = sample.lines().find_map(|line| line.strip_prefix("component_appid = \"")).unwrap().trim_end_matches('"').to_owned();
    let push = json!({"AppId": app_id("douyin"), "TpAppId": component, "Event": "UNAUTHORIZED", "EventTime": withdrawn_at});
    let (_, answered) = world.simulator.say("douyin", yizhan::platform::Door::Authorization, &push.to_string()).await.unwrap();
    assert!(answered.acknowledged);
    world
        .until("the grant once more", async || {
            world.advance(Duration::from_secs(1));
            (events(&world, "douyin", "authorization.granted").await.len() == 2).then_some(())
        })
        .await;
    assert_eq!(delivered(&world, "douyin", "authorization.granted").await.len(), 2);
    let told = events(&world, "douyin", "*").await;
    let told: Vec<(&str, bool)> = told
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["data"]["derived"] == json!(true)))
        .filter(|(kind, _)| kind.starts_with("authorization."))
        .collect();
    assert_eq!(told, [("authorization.granted", false), ("authorization.revoked", false), ("authorization.granted", true)]);
    assert_eq!(world.get(&format!("{}/token", address("douyin"))).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_browser_and_push_tell_is_one_event() {
    let world = world().await;
    for platform in PLATFORMS {
        world.simulator.ticket(platform).await.unwrap();
        let (query, _) = world.simulator.grant(platform, app_id(platform)).await.unwrap();
        comes_back(&world, platform, &query).await;
    }
    for _ in 0..100 {
        world.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let untold = async |platform| world.app().vault.untold(platform).unwrap().borrow().is_empty();
    for platform in PLATFORMS {
        world
            .until("nothing left to tell", async || {
                world.advance(Duration::from_secs(1));
                untold(platform).await.then_some(())
            })
            .await;
        let granted = events(&world, platform, "authorization.granted").await;
        assert_eq!((granted.len(), &granted[0]["data"]["derived"]), (1, &Value::Null), "{platform}");
    }
}
