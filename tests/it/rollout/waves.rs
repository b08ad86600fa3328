//! Who begins when: canaries first, then batches; the stop rule; paces, of a rollout and of a component, and of a vendor.

use std::time::Duration;

use serde_json::{Value, json};
use yizhan::clock::Timestamp;
use yizhan::platform::twin::Verdict;
use yizhan::rollout::record::{Item, Rollout, RolloutId, Spec, State};
use yizhan::rollout::stage::Stage;
use yizhan::rollout::waves::{self, Verdict as Judgement};

use super::crash::spec;
use super::stories::Deployment;
use crate::world::Setting;

fn rollout(spec: Spec) -> Rollout {
    let now = Timestamp::UNIX_EPOCH;
    let (id, state) = (RolloutId(uuid::Uuid::nil()), State::Running);
    Rollout {
        id,
        spec,
        state,
        reason: None,
        rolling_back: false,
        forgiven: 0,
        goes_on_with: None,
        request: None,
        is_unread: false,
        created_at: now,
        updated_at: now,
    }
}

/// One item for each letter: queued, at work, released, failed, rejected, skipped.
fn items(stages: &str) -> Vec<Item> {
    let stage = |letter: char| match letter {
        'q' => Stage::Queued,
        'w' => Stage::InAudit,
        'r' => Stage::Released,
        'f' => Stage::Failed,
        'j' => Stage::Rejected,
        _ => Stage::Skipped,
    };
    let item =
        |(place, letter): (u32, char)| Item { stage: stage(letter), ..Item::queued(format!("shop-{place}"), place, Timestamp::UNIX_EPOCH) };
    (0_u32..).zip(stages.chars()).map(item).collect()
}

#[test]
fn the_canaries_begin_alone_then_one_batch_after_the_other() {
    // Canaries, batch, the items, the first place that must wait.
    for (canary, batch, stages, below) in [
        (0, 0, "qqqqqqqq", u32::MAX),
        (2, 0, "qqqqqqqq", 2),
        (2, 0, "rwqqqqqq", 2),
        (2, 0, "rrqqqqqq", u32::MAX),
        (2, 3, "rrqqqqqq", 5),
        (2, 3, "rrrrwqqq", 5),
        (2, 3, "rrrrrqqq", u32::MAX),
        (0, 3, "qqqqqqqq", 3),
        (0, 3, "rrwqqqqq", 3),
        (0, 3, "rfjqqqqq", 6),
        // Those who take no part leave their places to the next.
        (2, 0, "sqqqqqqq", 3),
        (0, 3, "srsrsrqqqq", 9),
        (9, 0, "qqq", u32::MAX),
    ] {
        let rollout = rollout(Spec { canary, batch, ..spec() });
        let items = items(stages);
        assert_eq!(waves::begins_below(&rollout, items.iter()), below, "{canary} {batch} {stages}");
    }
}

#[test]
fn a_rollout_stops_when_more_than_its_share_of_those_that_began_failed() {
    let of = |percent: Option<u8>, canary: u32, batch: u32, forgiven: u32, stages: &str| {
        let spec = Spec { stop_above_failed_percent: percent, canary, batch, ..spec() };
        let rollout = Rollout { forgiven, ..rollout(spec) };
        match waves::review(&rollout, items(stages).iter()) {
            Judgement::GoOn => String::from("goes on"),
            Judgement::Done => String::from("done"),
            Judgement::Stop(reason) => reason,
        }
    };
    assert_eq!(of(Some(25), 0, 4, 0, "frwwqqqq"), "goes on", "one of four is not more than a quarter");
    assert_eq!(of(Some(25), 0, 4, 0, "fjwwqqqq"), "2 of 4 failed, more than 25 %", "counted among those that were let begin, not all");
    assert_eq!(of(Some(25), 0, 0, 0, "fjwwqqqq"), "goes on", "without batches all were let begin");
    assert_eq!(of(Some(0), 0, 0, 0, "fwwwqqqq"), "1 of 8 failed, more than 0 %");
    assert_eq!(of(None, 0, 0, 0, "ffffffwq"), "goes on", "no rule");
    assert_eq!(of(Some(25), 0, 4, 2, "fjwwqqqq"), "goes on", "seen and resumed by a person");
    assert_eq!(of(Some(25), 0, 4, 2, "fjfffwww"), "5 of 8 failed, more than 25 %", "more of them since");
    assert_eq!(of(None, 2, 0, 0, "fwqqqqqq"), "1 of the 2 that went first failed", "a canary stops it without a rule");
    assert_eq!(of(None, 2, 0, 0, "rrfqqqqq"), "goes on");
    assert_eq!(of(Some(0), 0, 0, 0, "frrsrf"), "done", "there is nothing left to stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_goes_wrong_stops_the_rollout_before_the_next_one() {
    let deployment = Deployment::of("kuaishou").await;
    let [first, second, third] = deployment.shops;
    let id = deployment.begin(json!({"batch": 2, "stop_above_failed_percent": 40})).await;
    let shown = deployment.until_count(&id, "in_audit", 2).await;
    assert_eq!(shown["counts"]["queued"], 1, "{shown}");
    deployment.judge(first, Verdict::Failed(String::from("页面空白"))).await;
    let stopped = deployment.until(&id, "stopped", |shown| shown["state"] == "stopped").await;
    assert_eq!(stopped["reason"], "1 of 2 failed, more than 40 %");
    deployment.judge(second, Verdict::Passed).await;
    for _ in 0..60 {
        deployment.world.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(deployment.item(&id, third).await["stage"], "queued");
    assert_eq!(deployment.deeds("package.release").len(), 0, "what is stopped releases nothing");
    deployment.steer(&id, "resume").await;
    deployment.until_count(&id, "in_audit", 1).await;
    deployment.judge(third, Verdict::Passed).await;
    let done = deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!((&done["counts"]["released"], &done["counts"]["rejected"]), (&json!(2), &json!(1)));
}

/// How many have not begun, over those rollouts; once it is that many, and a while later still.
async fn queued(deployment: &Deployment, ids: &[String], wanted: u64) {
    let count = async || {
        let mut count = 0;
        for id in ids {
            count += deployment.show(id).await["counts"]["queued"].as_u64().unwrap();
        }
        count
    };
    deployment.world.until("steps begun", async || (count().await <= wanted).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(count().await, wanted, "no more than its pace");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_begins_no_more_steps_a_second_than_its_rate() {
    let deployment = Deployment::of("kuaishou").await;
    let ids = [deployment.begin(json!({"until": "uploaded", "rate": 0.1})).await];
    queued(&deployment, &ids, 2).await;
    deployment.world.advance(Duration::from_secs(9));
    queued(&deployment, &ids, 2).await;
    deployment.world.advance(Duration::from_secs(1));
    queued(&deployment, &ids, 1).await;
    deployment.world.advance(Duration::from_secs(10));
    queued(&deployment, &ids, 0).await;
    deployment.until(&ids[0], "done", |shown| shown["state"] == "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rollouts_of_a_component_together_keep_its_rate() {
    let deployment = Deployment::with("kuaishou", "rate = 1", Setting::default()).await;
    let mut ids = Vec::new();
    for shop in deployment.shops {
        ids.push(deployment.begin(json!({"until": "uploaded", "authorizers": [shop]})).await);
    }
    for left in [2, 1, 0] {
        queued(&deployment, &ids, left).await;
        deployment.world.advance(Duration::from_secs(1));
    }
    for id in &ids {
        deployment.until(id, "done", |shown| shown["state"] == "done").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn douyins_ten_seconds_between_submissions_are_waited_for() {
    let deployment = Deployment::of("douyin").await;
    let shop = deployment.shops[0];
    let operation = async |name: &str, body: Value| {
        let address = format!("/v1/components/douyin/authorizers/{shop}/operations/{name}");
        let (status, answer) = deployment.world.post(&address, body).await;
        assert_eq!(status, 200, "{name}: {answer}");
    };
    operation("package.upload", json!({"template_id": "9133504853504530001", "version": "1.9.9", "description": "by hand"})).await;
    operation("audit.submit", json!({"hosts": ["douyin"]})).await;
    operation("audit.withdraw", json!({})).await;
    // Somebody submitted by hand a moment ago: the vendor refuses the rollout's submission once, and takes it eleven seconds later.
    let id = deployment.begin(json!({"authorizers": [shop]})).await;
    let waiting = deployment
        .until(&id, "the refusal", |shown| {
            shown["waits"].as_array().unwrap().iter().any(|wait| wait["reason"].to_string().contains("11301"))
        })
        .await;
    assert_eq!(waiting["counts"]["submitting"], 1, "{waiting}");
    deployment.until_count(&id, "in_audit", 1).await;
    let journal = deployment.world.simulator.journal();
    let submissions: Vec<_> = journal.iter().filter(|entry| entry.deed == "audit.submit").collect();
    let accepted: Vec<bool> = submissions.iter().map(|entry| entry.accepted).collect();
    assert_eq!(accepted, [true, false, true], "it does not try before its time");
    assert!(submissions[2].at.duration_since(submissions[0].at).as_secs() >= 10);
    assert_eq!(deployment.deeds("audit.submit"), [1, 1], "of each version once");
}
