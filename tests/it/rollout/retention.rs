//! Rollouts that ended long ago are gone, with their items; others stay.

use std::time::Duration;

use serde_json::json;

use super::stories::Deployment;
use crate::world::Setting;

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_ended_long_ago_is_expunged_and_one_that_waits_is_not() {
    let mut deployment = Deployment::with("kuaishou", "retention = \"2d\"", Setting::default()).await;
    let [first, second, third] = deployment.shops;
    let over = deployment.begin(json!({"authorizers": [first], "until": "uploaded"})).await;
    deployment.until(&over, "done", |shown| shown["state"] == "done").await;
    let waiting = deployment.begin(json!({"authorizers": [second]})).await;
    deployment.until_count(&waiting, "in_audit", 1).await;
    let list = async |deployment: &Deployment| {
        let (_, list) = deployment.world.get("/v1/rollouts").await;
        list["items"].as_array().unwrap().iter().map(|rollout| rollout["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Retention looks every hour.
    deployment.world.advance(Duration::from_secs(40 * 3600));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(list(&deployment).await, [waiting.clone(), over.clone()], "younger than two days");
    deployment.world.advance(Duration::from_secs(10 * 3600));
    let gone = async || {
        deployment.world.advance(Duration::from_secs(60));
        (deployment.world.get(&format!("/v1/rollouts/{over}")).await.0 == 404).then_some(())
    };
    deployment.world.until("the older rollout is gone", gone).await;
    assert_eq!(deployment.world.get(&format!("/v1/rollouts/{over}/items")).await.0, 404);
    deployment.world.restart().await;
    assert_eq!(list(&deployment).await, [waiting]);
    // Its merchant is free for others.
    let (_, preview) = deployment
        .world
        .post("/v1/rollouts", deployment.body(json!({"authorizers": [third, second], "version": "2.0.3", "dry_run": true})))
        .await;
    assert_eq!(preview["taking_part"], 1, "{preview}");
}
