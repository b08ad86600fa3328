//! What a rollout released is taken back: only that, and only where it is still what users see.

use std::time::Duration;

use serde_json::json;
use yizhan::platform;

use super::outage::Weather;
use super::stories::Deployment;
use crate::world::Setting;

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_takes_back_what_this_rollout_released_and_nothing_else() {
    for platform in platform::ALL {
        let name = platform.name();
        let deployment = Deployment::of(name).await;
        let [first, second, apart] = deployment.shops;
        deployment.release("2.0.0", &[first, second, apart]).await;
        let id = deployment.release("2.0.1", &[first, second]).await;
        // Somebody has gone on from there.
        deployment.release("2.0.2", &[second]).await;
        let online = async || {
            let mut all = Vec::new();
            for shop in deployment.shops {
                all.push(deployment.online(shop).await);
            }
            all
        };
        assert_eq!(online().await, [["2.0.1"], ["2.0.2"], ["2.0.0"]], "{name}");

        let begun = deployment.steer(&id, "rollback").await;
        assert_eq!(begun["rolling_back"], true, "{name}: {begun}");
        let after = deployment.until(&id, "rolled back", |shown| shown["rolling_back"] == false).await;
        assert_eq!((&after["rolled_back"], &after["counts"]["released"]), (&json!(1), &json!(2)), "{name}: {after}");
        let why = json!([{"reason": "version 2.0.1 is not what is online", "stage": "released", "count": 1, "example": second}]);
        assert_eq!((&after["rollback_failed"], &after["reasons"]), (&json!(1), &why), "{name}: {after}");
        let (taken, left) = (deployment.item(&id, first).await, deployment.item(&id, second).await);
        assert_eq!((&taken["rollback"], &taken["reason"]), (&json!("done"), &json!("rolled back")), "{name}");
        assert_eq!((&left["rollback"], &left["reason"]), (&json!("failed"), &json!("version 2.0.1 is not what is online")), "{name}");
        // A rollback may take minutes (Baidu 5.2, Douyin 5.6).
        deployment.world.advance(Duration::from_secs(600));
        assert_eq!(online().await, [["2.0.0"], ["2.0.2"], ["2.0.0"]], "{name}");
        assert_eq!(deployment.deeds("package.rollback"), [1], "{name}: one merchant, once");

        // Asked for again, there is nothing left to take back.
        deployment.steer(&id, "rollback").await;
        deployment.until(&id, "nothing more", |shown| shown["rolling_back"] == false).await;
        assert_eq!(deployment.deeds("package.rollback"), [1], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_in_the_middle_pauses_the_rollout_and_leaves_the_others_where_they_are() {
    let deployment = Deployment::of("kuaishou").await;
    let [first, second, _] = deployment.shops;
    deployment.release("2.0.0", &deployment.shops).await;
    deployment.world.advance(Duration::from_secs(15));
    let id = deployment.begin(json!({"canary": 1})).await;
    deployment.until_count(&id, "in_audit", 1).await;
    deployment.judge(first, yizhan::platform::twin::Verdict::Passed).await;
    deployment.until_count(&id, "released", 1).await;
    deployment.until_count(&id, "in_audit", 2).await;
    let paused = deployment.steer(&id, "rollback").await;
    assert_eq!((&paused["state"], &paused["rolling_back"]), (&json!("paused"), &json!(true)));
    deployment.until(&id, "rolled back", |shown| shown["rolling_back"] == false && shown["rolled_back"] == 1).await;
    assert_eq!(deployment.online(first).await, ["2.0.0"]);
    // Its audit ends: it is written down, and nothing is released while the rollout is paused.
    deployment.judge(second, yizhan::platform::twin::Verdict::Passed).await;
    deployment.until_count(&id, "approved", 1).await;
    for _ in 0..30 {
        deployment.world.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(deployment.online(second).await, ["2.0.0"]);
    deployment.steer(&id, "cancel").await;
    assert_eq!(deployment.show(&id).await["counts"]["cancelled"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_goes_on_only_after_everything_is_taken_back() {
    let weather = Weather::over("kuaishou");
    let deployment = Deployment::with("kuaishou", "", Setting { vendors: Some(weather.clone()), ..Setting::default() }).await;
    deployment.release("2.0.0", &deployment.shops).await;
    deployment.world.advance(Duration::from_secs(15));
    let id = deployment.begin(json!({"canary": 1})).await;
    deployment.until_count(&id, "in_audit", 1).await;
    deployment.judge(deployment.shops[0], yizhan::platform::twin::Verdict::Passed).await;
    deployment.until_count(&id, "released", 1).await;
    deployment.until_count(&id, "in_audit", 2).await;
    // Nobody answers: what was released stays there for now.
    weather.storm();
    deployment.steer(&id, "rollback").await;
    for how in ["resume", "retry"] {
        let (status, answer) = deployment.world.post(&format!("/v1/rollouts/{id}/{how}"), json!({})).await;
        assert_eq!(status, 409, "{how}: {answer}");
        assert!(answer.to_string().contains("wait until `rolling_back` is false"), "{how}: {answer}");
    }
    let shown = deployment.show(&id).await;
    assert_eq!((&shown["state"], &shown["rolling_back"]), (&json!("paused"), &json!(true)));
    weather.clear();
    deployment.until(&id, "rolled back", |shown| shown["rolling_back"] == false && shown["rolled_back"] == 1).await;
    assert_eq!(deployment.steer(&id, "resume").await["state"], "running");
}
