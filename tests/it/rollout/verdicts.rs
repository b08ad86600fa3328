//! What Douyin says of one merchant alone, or of one host app alone, and what a rollout makes of it.

use serde_json::json;

use super::stories::Deployment;
use yizhan::platform::twin::Verdict;

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
