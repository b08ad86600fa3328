//! What people and merchants do in the middle of a rollout.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use yizhan::platform::twin::Verdict;
use yizhan::simulator::fault::PushFaults;

use super::stories::Deployment;
use crate::world::Setting;

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_and_a_withdrawal_end_their_own_merchants_only_and_what_was_released_is_taken_back() {
    let deployment = Deployment::of("douyin").await;
    let [passes, fails, withdraws] = deployment.shops;
    let id = deployment.begin(json!({})).await;
    deployment.until_count(&id, "in_audit", 3).await;
    deployment.judge(fails, Verdict::Failed(String::from("图标不清"))).await;
    deployment.world.simulator.revoke("douyin", withdraws).await.unwrap();
    deployment.judge(passes, Verdict::Passed).await;
    let done = deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!((&done["counts"]["released"], &done["counts"]["rejected"], &done["counts"]["failed"]), (&json!(1), &json!(1), &json!(1)));
    assert!(deployment.item(&id, fails).await["reason"].as_str().unwrap().contains("图标不清"));
    assert_eq!(deployment.item(&id, withdraws).await["reason"], "the merchant withdrew the grant");
    assert_eq!(done["reasons"].as_array().unwrap().len(), 2, "{done}");

    // There is nothing before the first release to go back to: the vendor says so, and nobody else is harmed.
    deployment.steer(&id, "rollback").await;
    let after = deployment.until(&id, "rolled back or refused", |shown| shown["rolling_back"] == false).await;
    assert_eq!(after["counts"]["released"], 1);
    assert_eq!(deployment.item(&id, passes).await["rollback"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rollout_does_nothing_and_a_cancelled_one_is_over() {
    let deployment = Deployment::of("kuaishou").await;
    let id = deployment.begin(json!({"concurrency": 1})).await;
    assert_eq!(deployment.steer(&id, "pause").await["state"], "paused");
    let (status, _) = deployment.world.post(&format!("/v1/rollouts/{id}/pause"), json!({})).await;
    assert_eq!(status, 409);
    let before = deployment.deeds("audit.submit").len();
    for _ in 0..40 {
        deployment.world.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(deployment.deeds("audit.submit").len() <= before + 1, "what was under way ends, nothing begins");
    deployment.steer(&id, "resume").await;
    deployment.until_count(&id, "in_audit", 3).await;
    let cancelled = deployment.steer(&id, "cancel").await;
    assert_eq!((&cancelled["state"], &cancelled["counts"]["cancelled"]), (&json!("cancelled"), &json!(3)));
    let (status, _) = deployment.world.post(&format!("/v1/rollouts/{id}/resume"), json!({})).await;
    assert_eq!(status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_wait_for_the_canary_and_a_canary_that_fails_stops_the_rollout() {
    let deployment = Deployment::of("douyin").await;
    let id = deployment.begin(json!({"canary": 1})).await;
    let shown = deployment.until_count(&id, "in_audit", 1).await;
    assert_eq!(shown["counts"]["queued"], 2);
    deployment.judge(deployment.shops[0], Verdict::Failed(String::from("不合规"))).await;
    let stopped = deployment.until(&id, "stopped", |shown| shown["state"] == "stopped").await;
    assert_eq!((&stopped["counts"]["queued"], stopped["reason"].as_str().unwrap()), (&json!(2), "1 of the 1 that went first failed"));
    deployment.steer(&id, "resume").await;
    deployment.until_count(&id, "in_audit", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_is_tried_again_does_not_stop_for_those_who_were_rejected() {
    let deployment = Deployment::of("kuaishou").await;
    let id = deployment.begin(json!({"canary": 1, "stop_above_failed_percent": 0})).await;
    deployment.until_count(&id, "in_audit", 1).await;
    deployment.judge(deployment.shops[0], Verdict::Failed(String::from("不合规"))).await;
    deployment.until(&id, "stopped", |shown| shown["state"] == "stopped").await;
    assert_eq!(deployment.steer(&id, "retry").await["state"], "running");
    let shown = deployment.until_count(&id, "in_audit", 2).await;
    assert_eq!((&shown["state"], &shown["counts"]["rejected"]), (&json!("running"), &json!(1)));
    // One more is one that nobody has seen.
    deployment.judge(deployment.shops[1], Verdict::Failed(String::from("不合规"))).await;
    deployment.until(&id, "stopped again", |shown| shown["state"] == "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_taken_away_during_the_audit_ends_nobody() {
    let deployment = Deployment::of("kuaishou").await;
    let shop = deployment.shops[0];
    let address = format!("/v1/components/kuaishou/authorizers/{shop}/attributes");
    let (status, answer) = deployment.world.ask(Method::PUT, &address, json!({"tags": [], "variables": {"shop": "驿站"}})).await;
    assert_eq!(status, 200, "{answer}");
    let id =
        deployment.begin(json!({"authorizers": [shop], "description": "${variables.shop}的新菜单，请在白天测试，另有两项改进。"})).await;
    deployment.until_count(&id, "in_audit", 1).await;
    assert_eq!(deployment.world.ask(Method::PUT, &address, json!({"tags": [], "variables": {}})).await.0, 200);
    deployment.judge(shop, Verdict::Passed).await;
    let done = deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!(done["counts"]["released"], 1, "{done} {:?}", deployment.items(&id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_wait_for_their_hours() {
    // The world begins at 15:00 in China.
    let deployment = Deployment::of("douyin").await;
    let id = deployment.begin(json!({"window": "15:30-15:40"})).await;
    deployment.until_count(&id, "in_audit", 3).await;
    for shop in deployment.shops {
        deployment.judge(shop, Verdict::Passed).await;
    }
    deployment.until_count(&id, "approved", 3).await;
    assert_eq!(deployment.deeds("package.release").len(), 0);
    deployment.world.simulator.ticket("douyin").await.unwrap();
    deployment.world.advance(Duration::from_secs(35 * 60));
    deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!(deployment.deeds("package.release"), [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_who_takes_part_and_why_others_do_not_and_asks_no_vendor() {
    let deployment = Deployment::of("alipay").await;
    let [first, second, _] = deployment.shops;
    deployment.world.simulator.revoke("alipay", second).await.unwrap();
    let address = format!("/v1/components/alipay/authorizers/{second}");
    deployment.world.until("the withdrawal", async || (deployment.world.get(&address).await.1["state"] == "revoked").then_some(())).await;
    let calls = deployment.world.simulator.journal().len();
    let asked = json!({"authorizers": [first, second, "2021000000009999"], "description": "短", "dry_run": true});
    let (status, answer) = deployment.world.post("/v1/rollouts", deployment.body(asked)).await;
    assert_eq!((status, &answer["taking_part"]), (200, &json!(1)), "{answer}");
    let asked = json!({"authorizers": [first], "description": "为${variables.shop}写的${variables.none}", "variables": {"shop": "驿站"}, "dry_run": true});
    let (_, answer) = deployment.world.post("/v1/rollouts", deployment.body(asked)).await;
    assert_eq!(answer["items"][0]["reason"], "has no value for variables.none");
    assert_eq!(deployment.world.simulator.journal().len(), calls, "a vendor was asked");
    let (_, list) = deployment.world.get("/v1/rollouts").await;
    assert_eq!(list["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_makes_one_rollout_and_what_is_wrong_is_named() {
    let deployment = Deployment::of("kuaishou").await;
    let world = &deployment.world;
    let post = async |body: Value| {
        let request = world.client.post(format!("{}/v1/rollouts", world.base)).bearer_auth(crate::world::KEY);
        crate::world::answer(request.header("idempotency-key", "spring").body(body.to_string())).await
    };
    let body = deployment.body(json!({"until": "uploaded"}));
    let (first, second) = (post(body.clone()).await, post(body).await);
    assert_eq!((first.0, second.0, &first.1["id"]), (202, 202, &second.1["id"]));
    let items = format!("/v1/rollouts/{}/items", first.1["id"].as_str().unwrap());
    deployment.until_count(first.1["id"].as_str().unwrap(), "uploaded", 3).await;
    let (_, page) = world.get(&format!("{items}?stage=uploaded&limit=2")).await;
    let (status, rest) = world.get(&format!("{items}?cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((status, rest["items"].as_array().map(Vec::len)), (200, Some(1)), "the cursor carries the stage: {rest}");
    assert_eq!(post(deployment.body(json!({}))).await.0, 422);
    let wrong = json!({"component": "kuaishou", "authorizers": 7, "template_id": "x", "window": "25:00-1", "speed": 9});
    let (status, answer) = world.post("/v1/rollouts", wrong).await;
    let named: Vec<&str> = answer["parameters"].as_array().unwrap().iter().map(|bad| bad["name"].as_str().unwrap()).collect();
    assert_eq!((status, named), (422, vec!["authorizers", "template_id", "version", "description", "window", "speed"]));
    for app_id in ["x".repeat(70_000), "x".repeat(129), String::from("ks71,ks72 ")] {
        let (status, answer) = world.post("/v1/rollouts", deployment.body(json!({"authorizers": ["ks71", app_id]}))).await;
        assert_eq!((status, &answer["parameters"][0]["name"]), (422, &json!("authorizers")), "{answer}");
        assert!(answer["parameters"][0]["problem"].as_str().unwrap_or_default().contains("[1] is no app id"), "{answer}");
    }
    let (status, _) = world.get("/healthz").await;
    assert_eq!(status, 200, "nothing of it reached the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_gone_on_without_a_rollout_since_it_failed_is_not_tried_again() {
    let deployment = Deployment::of("kuaishou").await;
    let [newer, older, _] = deployment.shops;
    let id = deployment.begin(json!({"template_id": 99})).await;
    deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    let failed = deployment.item(&id, newer).await;
    assert_eq!((&failed["stage"], &failed["stopped_at"]), (&json!("failed"), &json!("uploading")));

    // Another rollout is at work on one of them: two at once would take each other's package for their own.
    let other = deployment.begin(json!({"version": "3.0.1", "authorizers": [newer]})).await;
    let again = deployment.steer(&id, "retry").await;
    let in_other = format!("is in rollout {other}");
    let left_out = json!({"reason": in_other, "stage": "failed", "count": 1, "example": newer});
    assert!(again["reasons"].as_array().unwrap().contains(&left_out), "{again}");
    let done = deployment.until(&id, "done again", |shown| shown["state"] == "done").await;
    assert_eq!(done["counts"]["failed"], 3, "{done}");
    assert_eq!(deployment.item(&id, newer).await["reason"], json!(in_other));
    assert_eq!(deployment.item(&id, older).await["reason"], failed["reason"], "the others were tried");

    // It is released now. Another merchant got an older version meanwhile: that one is to have this.
    deployment.until_count(&other, "in_audit", 1).await;
    deployment.judge_version(newer, "3.0.1", Verdict::Passed).await;
    deployment.until(&other, "done", |shown| shown["state"] == "done").await;
    deployment.release("1.9.0", &[older]).await;
    let again = deployment.steer(&id, "retry").await;
    let left_out = json!({"reason": "has version 3.0.1 since", "stage": "failed", "count": 1, "example": newer});
    assert!(again["reasons"].as_array().unwrap().contains(&left_out), "{again}");
    deployment.until(&id, "done once more", |shown| shown["state"] == "done").await;
    assert_eq!(deployment.item(&id, older).await["reason"], failed["reason"]);
    assert_eq!(deployment.online(newer).await, ["3.0.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_would_be_too_long_are_refused_and_a_merchant_whose_would_be_takes_no_part() {
    let deployment = Deployment::of("douyin").await;
    let [first, second, _] = deployment.shops;
    let post = async |more: Value| deployment.world.post("/v1/rollouts", deployment.body(more)).await;
    for (name, long) in [("description", json!("字".repeat(22_000))), ("variables", json!({"a": "x".repeat(70_000)}))] {
        let (status, answer) = post(json!({name: long, "dry_run": true})).await;
        assert_eq!((status, &answer["parameters"][0]["name"]), (422, &json!(name)), "{answer}");
        assert!(answer["parameters"][0]["problem"].as_str().unwrap().ends_with("at most 65536 are possible"), "{answer}");
    }
    // One of them has noted a long text, which everybody's description names over and over.
    let address = format!("/v1/components/douyin/authorizers/{first}/attributes");
    let noted = json!({"tags": [], "variables": {"a": "x".repeat(60_000)}});
    assert_eq!(deployment.world.ask(Method::PUT, &address, noted).await.0, 200);
    let body = json!({"authorizers": [first, second], "description": "${variables.a}".repeat(1_500), "variables": {"a": ""}});
    let mut dry = body.clone();
    dry["dry_run"] = json!(true);
    let (status, preview) = post(dry).await;
    let why = "variables and description: its placeholders stand for more than 1048576 bytes";
    assert_eq!((status, &preview["items"][0]["reason"]), (200, &json!(why)), "{preview}");
    let id = deployment.begin(body).await;
    let item = deployment.item(&id, first).await;
    assert_eq!((&item["stage"], &item["reason"]), (&json!("skipped"), &json!(why)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_clock_that_was_ahead_put_off_goes_on_once_it_is_right() {
    let extra = String::from("[reconcile]\nenabled = false\n");
    let deployment = Deployment::with("kuaishou", "", Setting { extra, ..Setting::default() }).await;
    let [first, ..] = deployment.shops;
    let ahead = jiff::SignedDuration::from_hours(40 * 24);
    deployment.world.clock.step(ahead);
    deployment.world.simulator.ticket("kuaishou").await.unwrap();
    let id = deployment.begin(json!({"authorizers": [first]})).await;
    deployment.until_count(&id, "in_audit", 1).await;
    deployment.world.clock.step(-ahead);
    deployment.world.simulator.ticket("kuaishou").await.unwrap();
    // Only by asking, which it does every few minutes, does it hear of the end.
    let lost = PushFaults { lose_every: 1, ..PushFaults::default() };
    deployment.world.simulator.fail_pushes("kuaishou", lost).unwrap();
    deployment.judge(first, Verdict::Passed).await;
    deployment.until(&id, "done", |shown| shown["state"] == "done").await;
}
