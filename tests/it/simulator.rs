//! The pretended vendors at scale: crowds, auditors who work by themselves, pushes that get lost, quotas, and the count of deeds.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::simulator::crowd::app_ids;

use crate::world::{World, answer};

const PLATFORMS: [&str; 4] = ["baidu", "douyin", "kuaishou", "alipay"];

/// What somebody outside asks of the simulator.
async fn direct(world: &World, path: &str, body: Value) -> (u16, Value) {
    let request = world.client.post(format!("http://{}/_sim/{path}", world.simulator.address()));
    answer(request.header("content-type", "application/json").body(body.to_string())).await
}

async fn ledger(world: &World, platform: &str) -> Vec<Value> {
    let (status, list) = answer(world.client.get(format!("http://{}/_sim/{platform}/ledger", world.simulator.address()))).await;
    assert_eq!(status, 200);
    list.as_array().unwrap().clone()
}

/// An operation; time passes while the service waits for the vendor.
async fn operate(world: &World, platform: &str, app_id: &str, operation: &str, parameters: Value) -> (u16, Value) {
    let path = format!("/v1/components/{platform}/authorizers/{app_id}/operations/{operation}");
    let mut asked = std::pin::pin!(world.post(&path, parameters));
    loop {
        tokio::select! {
            answered = &mut asked => return answered,
            () = tokio::time::sleep(Duration::from_millis(10)) => world.advance(Duration::from_secs(1)),
        }
    }
}

fn upload(platform: &str, version: &str) -> Value {
    match platform {
        "alipay" => json!({"template_id": "2021000000000002", "version": version}),
        "douyin" => json!({"template_id": "9133504853504530001", "version": version, "description": "spring"}),
        _ => json!({"template_id": 12, "version": version, "description": "spring"}),
    }
}

fn submission(platform: &str, version: &str) -> Value {
    match platform {
        "baidu" => json!({"version": version}),
        "douyin" => json!({"hosts": ["douyin"]}),
        "kuaishou" => json!({}),
        _ => json!({"version": version, "region": "CHINA", "description": "Letters, horses, a lamp at night, and a warm soup."}),
    }
}

/// Merchants of a platform, with tokens.
async fn crowd(world: &World, platform: &str, count: usize) -> Vec<String> {
    world.simulator.ticket(platform).await.unwrap();
    let (status, told) = direct(world, &format!("{platform}/crowd"), json!({"count": count})).await;
    assert_eq!((status, told["acknowledged"].as_u64()), (200, Some(count as u64)), "{platform}: {told}");
    let merchants: Vec<String> = serde_json::from_value(told["app_ids"].clone()).unwrap();
    for merchant in &merchants {
        let address = format!("/v1/components/{platform}/authorizers/{merchant}/token");
        world.until(&format!("a token of {merchant}"), async || (world.get(&address).await.0 == 200).then_some(())).await;
    }
    merchants
}

async fn submit(world: &World, platform: &str, app_id: &str, version: &str) {
    let (status, body) = operate(world, platform, app_id, "package.upload", upload(platform, version)).await;
    assert_eq!(status, 200, "{platform} upload: {body}");
    let (status, body) = operate(world, platform, app_id, "audit.submit", submission(platform, version)).await;
    assert_eq!(status, 200, "{platform} submit: {body}");
}

/// The events of that kind at a component: whose, and with which reason.
async fn events(world: &World, platform: &str, kind: &str) -> BTreeSet<(String, String)> {
    let (_, page) = world.get(&format!("/v1/events?component={platform}&type={kind}&limit=500")).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    page["items"].as_array().unwrap().iter().map(|event| (text(&event["subject"]), text(&event["data"]["reason"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_grants_at_once_and_every_merchant_has_a_token() {
    let world = World::new().await;
    for platform in PLATFORMS {
        let merchants = crowd(&world, platform, 12).await;
        assert_eq!(merchants, app_ids(platform, 12, None));
        assert_eq!(merchants.iter().collect::<BTreeSet<_>>().len(), 12);
        let (_, told) = direct(&world, &format!("{platform}/crowd"), json!({"count": 2, "prefix": "77"})).await;
        assert_eq!(told["app_ids"], json!(["77000001", "77000002"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auditors_end_audits_by_themselves_the_same_way_in_every_run() {
    let world = World::new().await;
    let mut verdicts = Vec::new();
    for platform in PLATFORMS {
        let merchants = crowd(&world, platform, 6).await;
        for merchant in &merchants {
            submit(&world, platform, merchant, "2.0.0").await;
        }
        let auditors = json!({"after_ms": 3_600_000, "reject_percent": 40, "delay_percent": 100, "reasons": ["甲", "乙"]});
        assert_eq!(direct(&world, &format!("{platform}/auditors"), auditors).await.0, 200);
        let halfway = if platform == "kuaishou" { 6 } else { 0 };
        world.advance(Duration::from_secs(1900));
        world
            .until("what is told half-way", async || {
                world.advance(Duration::from_millis(100));
                (events(&world, platform, "audit.delayed").await.len() == halfway).then_some(())
            })
            .await;
        assert_eq!(events(&world, platform, "audit.passed").await.len(), 0, "{platform}: too early");
        world.advance(Duration::from_secs(1800));
        let (passed, failed) = world
            .until("all verdicts", async || {
                world.advance(Duration::from_millis(100));
                let (passed, failed) = (events(&world, platform, "audit.passed").await, events(&world, platform, "audit.failed").await);
                (passed.len() + failed.len() == 6).then_some((passed, failed))
            })
            .await;
        assert!(failed.iter().all(|(_, reason)| reason == "甲" || reason == "乙"), "{platform}: {failed:?}");
        let passed: Vec<usize> = (0..6).filter(|at| passed.iter().any(|(whose, _)| *whose == merchants[*at])).collect();
        verdicts.push((platform, passed));
    }
    // Who passes follows from app id and version alone.
    assert_eq!(
        verdicts,
        [("baidu", vec![1, 2, 3]), ("douyin", vec![1, 3, 4, 5]), ("kuaishou", vec![0, 2, 4, 5]), ("alipay", vec![0, 3, 5]),]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_audits_until_somebody_is_employed_and_again_after_he_left() {
    let world = World::new().await;
    let merchants = crowd(&world, "douyin", 2).await;
    submit(&world, "douyin", &merchants[0], "2.0.0").await;
    world.advance(Duration::from_secs(1000));
    assert_eq!(direct(&world, "douyin/auditors", json!({"after_ms": 0})).await.0, 200);
    world.until("a verdict", async || (events(&world, "douyin", "audit.*").await.len() == 1).then_some(())).await;
    let left = world.client.delete(format!("http://{}/_sim/douyin/auditors", world.simulator.address()));
    assert_eq!(answer(left).await.0, 200);
    submit(&world, "douyin", &merchants[1], "2.0.0").await;
    world.advance(Duration::from_secs(60));
    assert_eq!(direct(&world, "douyin/auditors", json!({"after_ms": 86_400_000})).await.0, 200);
    world.advance(Duration::from_secs(60));
    assert_eq!(events(&world, "douyin", "audit.*").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_pushes_never_comes_and_is_counted() {
    let world = World::new().await;
    for platform in PLATFORMS {
        crowd(&world, platform, 1).await;
        let before = world.simulator.counts(platform).unwrap();
        assert_eq!(direct(&world, &format!("{platform}/push-faults"), json!({"lose_percent": 20})).await.0, 200);
        let merchants = app_ids(platform, 1, None);
        for number in 0..100 {
            let body = json!({"app_id": merchants[0], "version": format!("1.0.{number}"), "reason": format!("reason {number}")});
            assert_eq!(direct(&world, &format!("{platform}/audit"), body).await.0, 200);
        }
        let after = world.simulator.counts(platform).unwrap();
        let (lost, acknowledged) = (after.lost - before.lost, after.acknowledged - before.acknowledged);
        assert_eq!(lost + acknowledged, 100, "{platform}");
        assert!((8..=32).contains(&lost), "{platform}: {lost} of 100 lost");
        assert_eq!(events(&world, platform, "audit.failed").await.len() as u64, acknowledged, "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_audits_runs_out_in_the_vendors_words_and_comes_back() {
    let world = World::new().await;
    for (platform, code) in [("baidu", "69013"), ("douyin", "28003017"), ("kuaishou", "100100402"), ("alipay", "SYSTEM_LIMIT")] {
        let merchants = crowd(&world, platform, 3).await;
        for merchant in &merchants {
            let (status, body) = operate(&world, platform, merchant, "package.upload", upload(platform, "2.0.0")).await;
            assert_eq!(status, 200, "{platform}: {body}");
        }
        let quota = json!({"audits": 1, "every_ms": 7_200_000});
        assert_eq!(direct(&world, &format!("{platform}/quota"), quota).await.0, 200);
        let submit = async |at: usize| operate(&world, platform, &merchants[at], "audit.submit", submission(platform, "2.0.0")).await;
        assert_eq!(submit(0).await.0, 200, "{platform}");
        let (status, refused) = submit(1).await;
        assert_eq!(refused["vendor"]["code"], code, "{platform}: {status} {refused}");
        world.advance(Duration::from_secs(7200));
        let (status, taken) = submit(1).await;
        assert_eq!(status, 200, "{platform}: {taken}");
        assert_ne!(submit(2).await.0, 200, "{platform}");
        assert_eq!(direct(&world, &format!("{platform}/quota"), json!({})).await.0, 200);
        assert_eq!(submit(2).await.0, 200, "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn baidu_tells_how_many_audits_are_left() {
    let world = World::new().await;
    let merchants = crowd(&world, "baidu", 1).await;
    let left = async || operate(&world, "baidu", &merchants[0], "audit.quota", json!({})).await.1["vendor"]["data"]["remain_times"].clone();
    assert_eq!(left().await, 10);
    assert_eq!(direct(&world, "baidu/quota", json!({"audits": 0})).await.0, 200);
    assert_eq!(left().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deeds_that_must_not_be_done_twice_are_counted_by_merchant_and_version() {
    let world = World::new().await;
    for platform in PLATFORMS {
        let merchant = crowd(&world, platform, 1).await.remove(0);
        submit(&world, platform, &merchant, "2.0.0").await;
        let (status, _) = operate(&world, platform, &merchant, "audit.submit", submission(platform, "2.0.0")).await;
        assert_ne!(status, 200, "{platform}: in audit already");
        let verdict = json!({"app_id": merchant, "version": "2.0.0"});
        assert_eq!(direct(&world, &format!("{platform}/audit"), verdict).await.0, 200);
        let release = if matches!(platform, "baidu" | "alipay") { json!({"version": "2.0.0"}) } else { json!({}) };
        let (status, body) = operate(&world, platform, &merchant, "package.release", release).await;
        assert_eq!(status, 200, "{platform}: {body}");
        let once = |operation: &str| json!({"authorizer": merchant, "operation": operation, "version": "2.0.0", "times": 1});
        assert_eq!(ledger(&world, platform).await, ["audit.submit", "package.release", "package.upload"].map(once), "{platform}");
    }
    let twice = app_ids("douyin", 1, None).remove(0);
    for _ in 0..2 {
        assert_eq!(operate(&world, "douyin", &twice, "package.upload", upload("douyin", "2.0.1")).await.0, 200);
    }
    let doubled: Vec<Value> = ledger(&world, "douyin").await.into_iter().filter(|deed| deed["times"] != 1).collect();
    assert_eq!(doubled, [json!({"authorizer": twice, "operation": "package.upload", "version": "2.0.1", "times": 2})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stage_door_does_not_understand_is_refused() {
    let world = World::new().await;
    for (path, body) in [
        ("baidu/crowd", json!({})),
        ("baidu/crowd", json!({"count": 100_001})),
        ("baidu/crowd", json!({"count": -1})),
        ("baidu/crowd", json!({"count": 1, "suffix": "x"})),
        ("baidu/auditors", json!({"after": "1s"})),
        ("baidu/auditors", json!({"reject_percent": 300})),
        ("baidu/quota", json!({"audits": "many"})),
        ("baidu/push-faults", json!({"lose_percent": -1})),
    ] {
        let (status, answered) = direct(&world, path, body.clone()).await;
        assert_eq!(status, 400, "{path} {body}: {answered}");
    }
    for path in ["nobody/crowd", "nobody/auditors", "nobody/quota", "nobody/push-faults"] {
        let body = if path.ends_with("crowd") { json!({"count": 1}) } else { json!({}) };
        assert_eq!(direct(&world, path, body).await.0, 404, "{path}");
    }
    assert_eq!(answer(world.client.get(format!("http://{}/_sim/nobody/ledger", world.simulator.address()))).await.0, 404);
    world.simulator.connect("http://127.0.0.1:9");
    let (status, told) = direct(&world, "alipay/crowd", json!({"count": 3})).await;
    assert_eq!((status, told["acknowledged"].as_u64()), (200, Some(0)), "{told}");
}
