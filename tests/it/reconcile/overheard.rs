//! The end of an audit that somebody else's question showed is told to everybody, once.

use std::time::Duration;

use serde_json::{Value, json};
use yizhan::platform::twin::Verdict;
use yizhan::simulator::fault::{CallFault, CallTrouble};

use super::{PLATFORMS, app_id, delivered, done, events, lose_pushes, reconcile, submit};
use crate::rollout::stories::Deployment;
use crate::world::World;

/// Merchant, type, reason, whether it was found: of every event about an audit.
async fn ends(world: &World, platform: &str) -> Vec<(String, String, Value, bool)> {
    let read = |event: &Value| {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        (text("subject"), text("type"), event["data"]["reason"].clone(), event["data"]["derived"] == true)
    };
    let mut all: Vec<_> = events(world, platform, "audit.*").await.iter().map(read).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rollout_finds_by_asking_every_subscriber_hears_once() {
    for platform in PLATFORMS {
        let deployment = Deployment::of(platform).await;
        let (world, [passes, fails, told]) = (&deployment.world, deployment.shops);
        let id = deployment.begin(json!({})).await;
        deployment.until_count(&id, "in_audit", 3).await;
        // A vendor's times are of seconds, and what is asked too soon after a submission is not believed.
        world.advance(Duration::from_secs(90));
        deployment.judge(told, Verdict::Passed).await;
        lose_pushes(world, platform, true);
        // Baidu's own list of missed pushes cannot be had either.
        let no_list = CallFault { matching: String::from("pushmsg/getmsg"), trouble: CallTrouble::RateLimited, times: 10_000 };
        world.simulator.fail_calls(platform, no_list).unwrap();
        let verdict = Verdict::Failed(String::from("图标不清"));
        let (late, _) = world.simulator.audit(platform, fails, "2.0.1", &verdict).await.unwrap();
        deployment.judge(passes, Verdict::Passed).await;
        lose_pushes(world, platform, false);

        deployment.until(&id, "done", |shown| shown["state"] == "done").await;
        let lasted = world.app().clock.now().duration_since("2026-11-20T07:00:00Z".parse().unwrap());
        assert!(lasted.as_secs() < 25 * 60, "{platform}: reconciling asks by itself only after half an hour: {lasted}");
        let all = world
            .until("three ends", async || {
                world.advance(Duration::from_secs(1));
                let all = ends(world, platform).await;
                (all.len() >= 3).then_some(all)
            })
            .await;
        let expected = [
            (passes.to_owned(), String::from("audit.passed"), Value::Null, true),
            (fails.to_owned(), String::from("audit.failed"), json!("图标不清"), true),
            (told.to_owned(), String::from("audit.passed"), Value::Null, false),
        ];
        assert_eq!(all, expected, "{platform}");

        // The push that was lost comes after all: it is what was told.
        assert!(world.simulator.repeat(platform, &late).await.unwrap().acknowledged);
        let looks = reconcile(world, platform).await;
        assert_eq!((&looks["audits"]["found"], &looks["audits"]["waiting"]), (&json!(0), &json!(0)), "{platform}: {looks}");
        assert_eq!(ends(world, platform).await.len(), 3, "{platform}");
        assert_eq!(delivered(world, platform, "audit.*").await.len(), 3, "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_question_tells_everybody_too_but_not_before_the_answer_can_be_about_the_submission() {
    let world = World::new().await;
    for platform in PLATFORMS {
        world.granted(platform, app_id(platform)).await;
        submit(&world, platform, false).await;
        lose_pushes(&world, platform, true);
        let verdict = Verdict::Failed(String::from("no licence"));
        world.simulator.audit(platform, app_id(platform), "1.0.0", &verdict).await.unwrap();
        lose_pushes(&world, platform, false);
        let ask = async || {
            let (operation, body) =
                if platform == "alipay" { ("package.get", json!({"version": "1.0.0"})) } else { ("package.list", json!({})) };
            done(&world, platform, operation, body).await;
            ends(&world, platform).await.len()
        };
        if platform == "alipay" {
            // A question about another version says nothing of this one.
            let path = format!("/v1/components/alipay/authorizers/{}/operations/package.get", app_id(platform));
            assert_ne!(world.post(&path, json!({"version": "0.9.0"})).await.0, 200);
            assert_eq!(ends(&world, platform).await.len(), 0);
        }
        world.advance(Duration::from_secs(30));
        assert_eq!((ask().await, ask().await), (1, 1), "{platform}");
        assert_eq!(reconcile(&world, platform).await["audits"]["asked"], 0, "{platform}: nothing is left to ask");
    }
}
