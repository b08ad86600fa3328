//! Subscriptions by API.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use yizhan::platform::twin::Verdict;

use super::{Answer, ask, get, items, post, send};
use crate::world::{KEY, World};

async fn patch(world: &World, name: &str, body: Value) -> Answer {
    send(world.client.patch(format!("{}/v1/subscriptions/{name}", world.base)).bearer_auth(KEY).body(body.to_string())).await
}

fn bot(world: &World) -> Value {
    json!({ "name": "bot", "url": world.handler.url(), "events": ["audit.*"], "components": ["douyin"], "ordering": "authorizer", "retry": ["5s", "2m"] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_made_changed_and_deleted() {
    let world = World::new().await;
    let made = post(&world, "/v1/subscriptions", bot(&world)).await;
    assert_eq!((made.status, made.header("location")), (201, "/v1/subscriptions/bot"), "{}", made.text);
    assert!(made.json()["secret"].as_str().unwrap().starts_with("whsec_"));
    let seen = get(&world, "/v1/subscriptions/bot").await.json();
    assert!(seen.get("secret").is_none(), "the secret is shown once");
    assert_eq!(
        (&seen["state"], &seen["origin"], &seen["held"], &seen["oldest_held_at"]),
        (&json!("active"), &json!("api"), &json!(0), &json!(null))
    );
    assert_eq!((&seen["retry"], &seen["ordering"], &seen["components"]), (&json!(["5s", "2m"]), &json!("authorizer"), &json!(["douyin"])));
    assert_eq!(post(&world, "/v1/subscriptions", bot(&world)).await.problem(), "conflict");

    let changed = patch(&world, "bot", json!({ "events": ["*"], "timeout": "3s" })).await.json();
    assert_eq!((&changed["events"], &changed["timeout"], &changed["url"]), (&json!(["*"]), &json!("3s"), &seen["url"]));
    for (name, value) in [("rate", json!(5)), ("retry", json!(["1s"])), ("timeout", json!("3s"))] {
        assert_eq!(patch(&world, "bot", json!({ name: value })).await.json()[name], value);
        assert_eq!(patch(&world, "bot", json!({ "concurrency": 2 })).await.json()[name], value, "what is not named stays");
        assert_eq!(patch(&world, "bot", json!({ name: null })).await.json()[name], Value::Null, "null takes it away");
    }
    let names: Vec<Value> = items(&get(&world, "/v1/subscriptions").await).into_iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["bot", "handler"]);
    let page = get(&world, "/v1/subscriptions?limit=1").await;
    let next = page.json()["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(items(&get(&world, &format!("/v1/subscriptions?cursor={next}")).await)[0]["name"], "handler");

    let gone = ask(&world, Method::DELETE, "/v1/subscriptions/bot").await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(get(&world, "/v1/subscriptions/bot").await.problem(), "not-found");
    assert_eq!(ask(&world, Method::DELETE, "/v1/subscriptions/bot").await.problem(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_members_are_named_all_at_once() {
    let world = World::new().await;
    let mut bad = post(
        &world,
        "/v1/subscriptions",
        json!({ "name": 7, "events": "audit.*", "components": ["nobody"], "colour": 1, "ordering": "strict" }),
    )
    .await
    .bad();
    bad.sort();
    assert_eq!(bad, ["colour", "components", "events", "name", "ordering", "url"]);
    for (member, value) in [
        ("name", json!(".")),
        ("name", json!("..")),
        ("url", json!("https://bot.example.com/hook\r\nX-Evil: 1")),
        ("url", json!(" https://bot.example.com/hook")),
        ("url", json!("ftp://x")),
        ("events", json!([])),
        ("name", json!("a b")),
        ("secret", json!("short")),
        ("retry", json!(["soon"])),
    ] {
        let mut body = bot(&world);
        body[member] = value;
        let answer = post(&world, "/v1/subscriptions", body).await;
        assert!(answer.bad().iter().any(|name| name.starts_with(member)), "{member}: {}", answer.text);
    }
    assert_eq!(patch(&world, "handler", json!({ "name": "other" })).await.bad(), ["name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_of_the_file_is_read_only_but_can_be_paused_and_tested() {
    let world = World::new().await;
    assert_eq!(patch(&world, "handler", json!({ "events": ["*"] })).await.problem(), "read-only");
    assert_eq!(ask(&world, Method::DELETE, "/v1/subscriptions/handler").await.problem(), "read-only");
    assert_eq!(get(&world, "/v1/subscriptions/handler").await.json()["origin"], "file");
    for (verb, state) in [("pause", "paused"), ("resume", "active"), ("enable", "active")] {
        assert_eq!(post(&world, &format!("/v1/subscriptions/handler/{verb}"), json!({})).await.json()["state"], state, "{verb}");
    }
    let attempt = post(&world, "/v1/subscriptions/handler/test", json!({})).await;
    assert_eq!((attempt.status, &attempt.json()["status"]), (200, &json!(204)), "{}", attempt.text);
    for verb in ["pause", "resume", "enable", "test", "rotate-secret"] {
        assert_eq!(post(&world, &format!("/v1/subscriptions/nobody/{verb}"), json!({})).await.problem(), "not-found", "{verb}");
        assert_eq!(post(&world, &format!("/v1/subscriptions/yizhan-vault/{verb}"), json!({})).await.problem(), "not-found", "{verb}");
    }
    assert_eq!(get(&world, "/v1/subscriptions/yizhan-vault").await.problem(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_is_shown_once_and_both_sign_meanwhile() {
    let world = World::new().await;
    post(&world, "/v1/subscriptions", bot(&world)).await;
    let rotated = post(&world, "/v1/subscriptions/bot/rotate-secret", json!({})).await.json();
    assert!(rotated["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(rotated["former_until"], "2026-11-21T07:00:00Z");
    let compromised = post(&world, "/v1/subscriptions/bot/rotate-secret", json!({ "overlap": "0s" })).await.json();
    assert_eq!(compromised["former_until"], "2026-11-20T07:00:00Z");
    let audit = items(&get(&world, "/v1/audit").await);
    let noted: Vec<_> = audit.iter().map(|read| (read["action"].as_str().unwrap(), read["key"].as_str().unwrap())).collect();
    let rotations = ["subscription.rotate_secret:bot overlap=0s", "subscription.rotate_secret:bot overlap=86400s"];
    assert!(rotations.iter().all(|action| noted.contains(&(action, "test"))), "{noted:?}");
    for overlap in [json!("25h"), json!("long"), json!(5)] {
        assert_eq!(post(&world, "/v1/subscriptions/bot/rotate-secret", json!({ "overlap": overlap })).await.bad(), ["overlap"]);
    }
}

/// The merchant whose audit nobody hears of.
const APP: &str = "tt0123456789abcdef";

/// With a subscription `shut`, whose handler is not there, and an event that was given up for it.
async fn with_a_dead_letter() -> (World, Value) {
    let world = World::new().await;
    world.granted("douyin", APP).await;
    let shut = json!({ "name": "shut", "url": "http://127.0.0.1:9/", "events": ["audit.*"], "retry": ["1s"] });
    assert_eq!(post(&world, "/v1/subscriptions", shut).await.status, 201);
    world.simulator.audit("douyin", APP, "1.0.0", &Verdict::Passed).await.unwrap();
    let given_up = async || {
        world.advance(Duration::from_secs(1));
        items(&get(&world, "/v1/deliveries?subscription=shut&status=dead").await).first().cloned()
    };
    let dead = world.until("it is given up", given_up).await;
    (world, dead)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_tried_again_as_long_as_its_subscription_wants_it() {
    let (world, dead) = with_a_dead_letter().await;
    let id = dead["id"].as_str().unwrap();
    let retry = async || post(&world, &format!("/v1/deliveries/{id}/retry"), json!({})).await;
    let change = async |change| assert_eq!(patch(&world, "shut", change).await.status, 200);

    for unwanted in [json!({ "events": ["release.*"] }), json!({ "events": ["audit.*"], "components": ["baidu"] })] {
        change(unwanted).await;
        let refused = retry().await;
        assert_eq!((refused.status, refused.problem().as_str()), (409, "conflict"), "{}", refused.text);
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(detail, "the subscription `shut` wants no `audit.passed` of component `douyin`");
        assert!(refused.json()["hint"].as_str().unwrap().contains("`components` of `shut`"), "{}", refused.text);
        assert_eq!(get(&world, &format!("/v1/deliveries/{id}")).await.json()["status"], "dead");
    }
    change(json!({ "components": [] })).await;
    let retried = retry().await;
    assert_eq!(retried.status, 202, "{}", retried.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_subscription_left_alarms_nobody_and_is_not_tried_again() {
    let (world, dead) = with_a_dead_letter().await;
    assert_eq!(post(&world, "/v1/subscriptions/shut/pause", json!({})).await.status, 200);
    world.simulator.audit("douyin", APP, "1.0.1", &Verdict::Passed).await.unwrap();

    let undelivered = async |wanted: f64| {
        world.advance(Duration::from_secs(15));
        let text = world.client.get(format!("{}/metrics", world.base)).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with("yizhan_undelivered") && line.contains("\"shut\""))?;
        (line.rsplit(' ').next().unwrap().parse() == Ok(wanted)).then_some(())
    };
    world.until("one waits", async || undelivered(1.0).await).await;
    assert_eq!(ask(&world, Method::DELETE, "/v1/subscriptions/shut").await.status, 204);
    world.until("none waits", async || undelivered(0.0).await).await;
    let retried = post(&world, &format!("/v1/deliveries/{}/retry", dead["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(retried.problem(), "conflict", "{}", retried.text);
}
