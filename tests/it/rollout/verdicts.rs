//! What Douyin says of one merchant alone, or of one host app alone, and what a rollout makes of it.

use serde_json::{Value, json};
use yizhan::platform::push::Door;
use yizhan::platform::twin::Verdict;
use yizhan::simulator::fault::PushFaults;

use super::stories::Deployment;

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_merchant_fails_and_the_others_go_on() {
    let deployment = Deployment::of("douyin").await;
    let banned = "ttbanned01";
    deployment.world.granted("douyin", banned).await;
    let others = &deployment.shops[..2];
    let id = deployment.begin(json!({"authorizers": [banned, others[0], others[1]]})).await;
    deployment.until_count(&id, "failed", 1).await;
    let item = deployment.item(&id, banned).await;
    assert!(item["reason"].as_str().unwrap().contains("28001016"), "{item}");
    deployment.until_count(&id, "in_audit", 2).await;
    for shop in others {
        deployment.judge(shop, Verdict::Passed).await;
    }
    let done = deployment.until(&id, "done", |shown| shown["state"] != "running").await;
    assert_eq!((&done["state"], &done["counts"]["released"], &done["counts"]["failed"]), (&json!("done"), &json!(2), &json!(1)), "{done}");
}

/// Two hosts let the version in audit pass, one does not (3.2).
fn verdict_of_hosts(shop: &str) -> String {
    let result = |host: &str, status: u8, reason: Value| json!({"hostName": host, "status": status, "reason": reason, "auditDetail": null});
    let results = [result("douyin", 1, Value::Null), result("douyin_lite", 1, json!([])), result("toutiao", 0, json!(["内容违规"]))];
    let event = json!({
        "AppId": shop, "AuditResults": results, "Event": "PACKAGE_AUDIT", "EventTime": "2026-11-20 15:04:05", "TpAppId": "tt0123456789abcdef",
    });
    event.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_one_host_rejected_is_not_released_whether_its_push_comes_or_is_lost() {
    let deployment = Deployment::of("douyin").await;
    let simulator = &deployment.world.simulator;
    let id = deployment.begin(json!({})).await;
    deployment.until_count(&id, "in_audit", 3).await;
    let [heard, unheard, passed] = deployment.shops;
    simulator.say("douyin", Door::Message, &verdict_of_hosts(heard)).await.unwrap();
    simulator.fail_pushes("douyin", PushFaults { lose_every: 1, ..PushFaults::default() }).unwrap();
    simulator.say("douyin", Door::Message, &verdict_of_hosts(unheard)).await.unwrap();
    simulator.fail_pushes("douyin", PushFaults::default()).unwrap();
    deployment.judge(passed, Verdict::Passed).await;

    let done = deployment.until(&id, "done", |shown| shown["state"] != "running").await;
    assert_eq!((&done["counts"]["released"], &done["counts"]["rejected"]), (&json!(1), &json!(2)), "{done}");
    for shop in [heard, unheard] {
        let item = deployment.item(&id, shop).await;
        assert_eq!(item["reason"], "内容违规", "{item}");
        assert!(deployment.online(shop).await.is_empty());
    }
    assert_eq!(deployment.online(passed).await, ["2.0.1"]);
    assert_eq!(deployment.deeds("package.release"), [1]);
}
