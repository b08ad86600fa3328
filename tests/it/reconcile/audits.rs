//! Audits whose end nobody told.

use std::time::Duration;

use serde_json::{Map, Value, json};
use yizhan::clock::{Clock, Timestamp};
use yizhan::event_type::EventType;
use yizhan::inbox::Finding;
use yizhan::operations::OperationError;
use yizhan::platform::looks::AuditLook;
use yizhan::platform::operation::Outcome;
use yizhan::platform::push::Door;
use yizhan::platform::twin::Verdict;
use yizhan::reconcile::audits::{Answer, read};
use yizhan::reconcile::{Awaited, Submission};
use yizhan::simulator::fault::{CallFault, CallTrouble};

use super::{PLATFORMS, app_id, delivered, done, events, lose_pushes, patiently, reconcile, refuse_unheard, submit};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_whose_push_was_lost_is_found_by_itself_told_once_and_delivered_once() {
    let world = World::new().await;
    for platform in PLATFORMS {
        world.granted(platform, app_id(platform)).await;
        submit(&world, platform, false).await;
        refuse_unheard(&world, platform, "no licence").await;
        world.advance(Duration::from_secs(20 * 60));
        assert_eq!(events(&world, platform, "audit.*").await, Vec::<Value>::new(), "{platform}: not asked for yet");
        world.advance(Duration::from_secs(15 * 60));
        let found = world
            .until("the verdict", async || {
                world.advance(Duration::from_secs(1));
                events(&world, platform, "audit.failed").await.pop()
            })
            .await;
        assert_eq!(found["subject"], app_id(platform));
        let data = &found["data"];
        assert_eq!(
            (&data["derived"], &data["version"], &data["reason"]),
            (&json!(true), &json!("1.0.0"), &json!("no licence")),
            "{platform}"
        );
        assert!(data["vendor"].to_string().contains("no licence"), "{platform}: the vendor's answer");
        assert_eq!(delivered(&world, platform, "audit.failed").await.len(), 1, "{platform}");

        let again = reconcile(&world, platform).await;
        assert_eq!((&again["audits"]["found"], &again["audits"]["waiting"]), (&json!(0), &json!(0)), "{platform}: {again}");
        let (_, state) = world.get(&format!("/v1/components/{platform}")).await;
        assert_eq!(state["reconcile"]["audits"]["found_in_all"], 1, "{platform}");
        assert_eq!(events(&world, platform, "audit.*").await.len(), 1, "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_a_clock_which_was_ahead_put_off_is_made_once_it_is_right() {
    let ahead = jiff::SignedDuration::from_hours(40 * 24);
    for platform in PLATFORMS {
        let world = World::new().await;
        world.granted(platform, app_id(platform)).await;
        submit(&world, platform, false).await;
        world.clock.step(ahead);
        // Nothing is known of its end, and the next look is planned.
        world
            .until("a look", async || {
                let (_, state) = world.get(&format!("/v1/components/{platform}")).await;
                world.advance(Duration::from_secs(1));
                let next = state["reconcile"]["audits"]["next_at"].as_str()?.parse::<Timestamp>().unwrap();
                (next > world.clock.now()).then_some(())
            })
            .await;
        world.clock.step(-ahead);
        refuse_unheard(&world, platform, "no licence").await;
        world.advance(Duration::from_secs(65 * 60));
        world
            .until("the verdict", async || {
                world.advance(Duration::from_secs(1));
                events(&world, platform, "audit.failed").await.pop()
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_one_host_rejected_unheard_is_found_as_failed_with_its_hosts() {
    let world = World::new().await;
    let app = app_id("douyin");
    world.granted("douyin", app).await;
    done(&world, "douyin", "package.upload", json!({"template_id": "9133504853504530001", "version": "1.0.0", "description": "d"})).await;
    done(&world, "douyin", "audit.submit", json!({"hosts": ["douyin", "toutiao"]})).await;
    world.advance(Duration::from_secs(60));
    lose_pushes(&world, "douyin", true);
    let verdict = json!({"AppId": app, "Event": "PACKAGE_AUDIT", "AuditResults": [
        {"hostName": "douyin", "status": 1, "reason": null}, {"hostName": "toutiao", "status": 0, "reason": ["no licence", "no name"]},
    ]});
    world.simulator.say("douyin", Door::Message, &verdict.to_string()).await.unwrap();
    lose_pushes(&world, "douyin", false);
    assert_eq!(reconcile(&world, "douyin").await["audits"]["found"], 1);
    assert_eq!(events(&world, "douyin", "audit.passed").await, Vec::<Value>::new());
    let found = events(&world, "douyin", "audit.failed").await.pop().unwrap();
    let hosts = json!([{"host": "抖音", "status": "passed"}, {"host": "今日头条", "status": "failed"}]);
    assert_eq!((&found["data"]["reason"], &found["data"]["hosts"]), (&json!("no licence; no name"), &hosts), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_comes_after_its_verdict_was_found_is_acknowledged_and_makes_no_second_event() {
    let mut world = World::new().await;
    for platform in PLATFORMS {
        world.granted(platform, app_id(platform)).await;
        submit(&world, platform, false).await;
        let push = refuse_unheard(&world, platform, "no licence").await;
        world.advance(Duration::from_secs(300));
        let looks = reconcile(&world, platform).await;
        assert_eq!(looks["audits"]["found"], 1, "{platform}: {looks}");
        // What was told is known after a restart too.
        world.restart().await;
        for _ in 0..2 {
            assert!(world.simulator.repeat(platform, &push).await.unwrap().acknowledged, "{platform}");
        }
        assert_eq!(events(&world, platform, "audit.*").await.len(), 1, "{platform}");
        assert_eq!(delivered(&world, platform, "audit.*").await.len(), 1, "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_was_pushed_is_neither_asked_for_nor_told_again() {
    let world = World::new().await;
    for platform in PLATFORMS {
        world.granted(platform, app_id(platform)).await;
        submit(&world, platform, false).await;
        let (_, answered) = world.simulator.audit(platform, app_id(platform), "1.0.0", &Verdict::Passed).await.unwrap();
        assert!(answered.acknowledged);
        let looks = reconcile(&world, platform).await;
        assert_eq!((&looks["audits"]["asked"], &looks["audits"]["found"]), (&json!(0), &json!(0)), "{platform}: {looks}");
        assert_eq!(looks["audits"]["waiting"], 0, "{platform}: nothing is waited for any more");
        let told = events(&world, platform, "audit.*").await;
        assert_eq!((told.len(), &told[0]["data"]["derived"]), (1, &Value::Null), "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_version_refused_again_is_told_again_pushed_or_found() {
    let world = World::new().await;
    for platform in PLATFORMS {
        world.granted(platform, app_id(platform)).await;
        submit(&world, platform, false).await;
        refuse_unheard(&world, platform, "first").await;
        world.advance(Duration::from_secs(60));
        assert_eq!(reconcile(&world, platform).await["audits"]["found"], 1, "{platform}: found");

        submit(&world, platform, true).await;
        let verdict = Verdict::Failed(String::from("second"));
        let (_, answered) = world.simulator.audit(platform, app_id(platform), "1.0.0", &verdict).await.unwrap();
        assert!(answered.acknowledged);
        assert_eq!(reconcile(&world, platform).await["audits"]["found"], 0, "{platform}: pushed");

        submit(&world, platform, true).await;
        refuse_unheard(&world, platform, "third").await;
        world.advance(Duration::from_secs(60));
        assert_eq!(reconcile(&world, platform).await["audits"]["found"], 1, "{platform}: found after a push like it");

        let told: Vec<(Value, bool)> = events(&world, platform, "audit.failed")
            .await
            .iter()
            .map(|event| (event["data"]["reason"].clone(), event["data"]["derived"] == true))
            .collect();
        assert_eq!(told, [(json!("first"), true), (json!("second"), false), (json!("third"), true)], "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_is_not_waited_for() {
    let world = World::new().await;
    for platform in PLATFORMS {
        world.granted(platform, app_id(platform)).await;
        submit(&world, platform, false).await;
        let (_, before) = world.get(&format!("/v1/components/{platform}")).await;
        assert_eq!(before["reconcile"]["audits"]["waiting"], 1, "{platform}");
        done(&world, platform, "audit.withdraw", json!({})).await;
        let (_, after) = world.get(&format!("/v1/components/{platform}")).await;
        assert_eq!(after["reconcile"]["audits"]["waiting"], 0, "{platform}");
        assert_eq!(reconcile(&world, platform).await["audits"]["asked"], 0, "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_submission_is_not_waited_for_and_hides_no_earlier_one() {
    let world = World::new().await;
    world.granted("kuaishou", app_id("kuaishou")).await;
    let path = format!("/v1/components/kuaishou/authorizers/{}/operations/audit.submit", app_id("kuaishou"));
    let waiting = async || world.get("/v1/components/kuaishou").await.1["reconcile"]["audits"]["waiting"].clone();
    assert_ne!(world.post(&path, json!({})).await.0, 200, "nothing is uploaded");
    assert_eq!(waiting().await, 0);
    submit(&world, "kuaishou", false).await;
    assert_ne!(world.post(&path, json!({})).await.0, 200, "one is in audit already");
    assert_eq!(waiting().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_of_which_nobody_knows_is_waited_for_though_the_next_one_is_refused() {
    let world = World::new().await;
    world.granted("kuaishou", app_id("kuaishou")).await;
    done(&world, "kuaishou", "package.upload", json!({"template_id": 12, "version": "1.0.0", "description": "spring"})).await;
    let fail = |matching: &str, trouble: CallTrouble, times: u32| {
        world.simulator.fail_calls("kuaishou", CallFault { matching: matching.to_owned(), trouble, times }).unwrap();
    };
    fail("/package/audit", CallTrouble::LostAnswer, 1);
    // It is asked for once before the submission, then for what became of it.
    fail("/package/versions", CallTrouble::SlowMs(1), 1);
    fail("/package/versions", CallTrouble::NotHeard, 4);
    let path = format!("/v1/components/kuaishou/authorizers/{}/operations/audit.submit", app_id("kuaishou"));
    let (status, told) = patiently(&world, world.post(&path, json!({}))).await;
    assert_eq!((status, told["type"].as_str()), (504, Some("/problems/outcome-unknown")), "{told}");
    let waiting = async || world.get("/v1/components/kuaishou").await.1["reconcile"]["audits"]["waiting"].clone();
    assert_eq!(waiting().await, 1);
    let (status, refused) = patiently(&world, world.post(&path, json!({}))).await;
    assert_eq!(status, 502, "it is in audit already: {refused}");
    assert_eq!(waiting().await, 1, "the first one");
    refuse_unheard(&world, "kuaishou", "too plain").await;
    world.advance(Duration::from_secs(60));
    assert_eq!(reconcile(&world, "kuaishou").await["audits"]["found"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_a_vendor_in_trouble_took_all_the_same_is_waited_for() {
    let world = World::new().await;
    for (platform, call, list) in [("baidu", "package/submitaudit", "package/get"), ("kuaishou", "/package/audit", "/package/versions")] {
        world.granted(platform, app_id(platform)).await;
        let upload = json!({"template_id": 12, "version": "1.0.0", "description": "spring"});
        done(&world, platform, "package.upload", upload).await;
        // The list is read before the submission, and does not tell afterwards.
        for (matching, trouble, times) in
            [(call, CallTrouble::DoneAndBusy, 1), (list, CallTrouble::SlowMs(1), 1), (list, CallTrouble::NotHeard, 4)]
        {
            world.simulator.fail_calls(platform, CallFault { matching: matching.to_owned(), trouble, times }).unwrap();
        }
        let path = format!("/v1/components/{platform}/authorizers/{}/operations/audit.submit", app_id(platform));
        let (status, told) = patiently(&world, world.post(&path, json!({}))).await;
        assert_eq!((status, told["type"].as_str()), (504, Some("/problems/outcome-unknown")), "{platform}: {told}");
        assert_eq!(world.simulator.call_faults(platform).unwrap(), [], "{platform}");
        let (_, state) = world.get(&format!("/v1/components/{platform}")).await;
        assert_eq!(state["reconcile"]["audits"]["waiting"], 1, "{platform}");
        refuse_unheard(&world, platform, "too plain").await;
        world.advance(Duration::from_secs(60));
        assert_eq!(reconcile(&world, platform).await["audits"]["found"], 1, "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_from_before_a_submission_that_may_not_have_arrived_is_not_told_again() {
    let world = World::new().await;
    for (platform, call, list) in [("baidu", "package/submitaudit", "package/get"), ("kuaishou", "/package/audit", "/package/versions")] {
        world.granted(platform, app_id(platform)).await;
        submit(&world, platform, false).await;
        let first = Verdict::Failed(String::from("first"));
        assert!(world.simulator.audit(platform, app_id(platform), "1.0.0", &first).await.unwrap().1.acknowledged);
        world.advance(Duration::from_secs(60));
        let mut given = json!({});
        if platform == "baidu" {
            // The same package again, named by its id: nothing is read before it.
            given = done(&world, platform, "package.list", json!({})).await;
            given = json!({"package_id": given["result"]["items"][0]["package_id"], "description": "again"});
        } else {
            let upload = json!({"template_id": 12, "version": "1.0.0", "description": "spring"});
            done(&world, platform, "package.upload", upload).await;
        }
        let submit_in_doubt = async |trouble: CallTrouble| {
            let mut faults = vec![(call, trouble, 1)];
            if platform != "baidu" {
                faults.push((list, CallTrouble::SlowMs(1), 1));
            }
            faults.push((list, CallTrouble::NotHeard, 4));
            for (matching, trouble, times) in faults {
                world.simulator.fail_calls(platform, CallFault { matching: matching.to_owned(), trouble, times }).unwrap();
            }
            let path = format!("/v1/components/{platform}/authorizers/{}/operations/audit.submit", app_id(platform));
            let (status, told) = patiently(&world, world.post(&path, given.clone())).await;
            assert_eq!((status, told["type"].as_str()), (504, Some("/problems/outcome-unknown")), "{platform}: {told}");
            assert_eq!(world.simulator.call_faults(platform).unwrap(), [], "{platform}");
            world.advance(Duration::from_secs(60));
        };
        let looks = async |found: u64, waiting: u64| {
            let looks = reconcile(&world, platform).await;
            let audits = &looks["audits"];
            let seen = (&audits["asked"], &audits["found"], &audits["waiting"]);
            assert_eq!(seen, (&json!(1), &json!(found), &json!(waiting)), "{platform}: {looks}");
            world.advance(Duration::from_secs(60));
        };
        submit_in_doubt(CallTrouble::NotHeard).await;
        looks(0, 1).await;
        assert_eq!(events(&world, platform, "audit.*").await.len(), 1, "{platform}");
        if platform == "baidu" {
            continue;
        }

        // One that arrived is seen in audit, and then the same verdict is another one.
        submit_in_doubt(CallTrouble::LostAnswer).await;
        looks(0, 1).await;
        refuse_unheard(&world, platform, "second").await;
        looks(1, 0).await;
        let told: Vec<_> = events(&world, platform, "audit.failed").await.iter().map(|event| event["data"]["reason"].clone()).collect();
        assert_eq!(told, ["first", "second"], "{platform}");
    }
}

fn at_alipay() -> Map<String, Value> {
    let given = json!({"version": "1.0.0", "region": "CHINA", "description": "Letters, horses, a lamp at night, and a warm soup."});
    given.as_object().unwrap().clone()
}

/// Uploaded, built and scanned: ready to be submitted.
async fn upload_at_alipay(world: &World) {
    done(world, "alipay", "package.upload", json!({"template_id": "2021000000000002", "version": "1.0.0"})).await;
    world.advance(Duration::from_secs(60));
}

/// A submission at Alipay that the service does not outlive: it ends before it hears of an answer.
async fn submit_interrupted(world: &mut World, trouble: CallTrouble) {
    let accepted = |world: &World| world.simulator.journal().iter().filter(|entry| entry.deed == "audit.submit" && entry.accepted).count();
    let expected = accepted(world) + usize::from(trouble != CallTrouble::NotHeard);
    world.simulator.fail_calls("alipay", CallFault { matching: String::from("audit.apply"), trouble, times: 1 }).unwrap();
    let is_sent = || world.simulator.call_faults("alipay").unwrap().is_empty() && accepted(world) == expected;
    tokio::select! {
        outcome = world.app().desk.carry_out("alipay", Some(app_id("alipay")), "audit.submit", at_alipay()) => panic!("{outcome:?}"),
        () = world.until("the submission", async || is_sent().then_some(())) => {}
    }
    world.restart().await;
}

/// The same submission by the next process, which cannot know whether it was sent.
async fn submit_once_more(world: &World) -> Result<Outcome, OperationError> {
    let desk = &world.app().desk;
    let checked = desk.check("alipay", Some(app_id("alipay")), "audit.submit", at_alipay()).unwrap();
    patiently(world, desk.resume(checked, world.simulator.now())).await
}

async fn looks_at_alipay(world: &World, found: u64, waiting: u64) {
    let looks = reconcile(world, "alipay").await;
    assert_eq!((&looks["audits"]["found"], &looks["audits"]["waiting"]), (&json!(found), &json!(waiting)), "{looks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_between_a_submission_that_was_interrupted_and_its_second_try_is_found() {
    let mut world = World::new().await;
    world.granted("alipay", app_id("alipay")).await;
    upload_at_alipay(&world).await;
    submit_interrupted(&mut world, CallTrouble::SlowMs(60_000)).await;
    world.advance(Duration::from_secs(300));
    refuse_unheard(&world, "alipay", "too plain").await;
    world.advance(Duration::from_secs(300));
    // The vendor shows a verdict, which may be one on an earlier submission for all that its list of states tells.
    assert!(submit_once_more(&world).await.unwrap_err().is_in_doubt());
    world.advance(Duration::from_secs(60));
    looks_at_alipay(&world, 1, 0).await;
    let told = events(&world, "alipay", "audit.*").await;
    assert_eq!((told.len(), &told[0]["data"]["reason"]), (1, &json!("too plain")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_from_before_a_submission_that_was_interrupted_is_not_taken_for_its_own_at_the_second_try() {
    let mut world = World::new().await;
    world.granted("alipay", app_id("alipay")).await;
    submit(&world, "alipay", false).await;
    let verdict = Verdict::Failed(String::from("first"));
    assert!(world.simulator.audit("alipay", app_id("alipay"), "1.0.0", &verdict).await.unwrap().1.acknowledged);
    world.advance(Duration::from_secs(300));
    submit_interrupted(&mut world, CallTrouble::NotHeard).await;
    world.advance(Duration::from_secs(300));
    assert!(submit_once_more(&world).await.unwrap_err().is_in_doubt());
    world.advance(Duration::from_secs(60));
    looks_at_alipay(&world, 0, 1).await;
    assert_eq!(events(&world, "alipay", "audit.*").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_submission_that_was_interrupted_is_not_that_of_a_second_one_made_in_its_stead() {
    let mut world = World::new().await;
    let app = app_id("alipay");
    world.granted("alipay", app).await;
    upload_at_alipay(&world).await;
    submit_interrupted(&mut world, CallTrouble::SlowMs(60_000)).await;
    world.advance(Duration::from_secs(300));
    let verdict = Verdict::Failed(String::from("first"));
    assert!(world.simulator.audit("alipay", app, "1.0.0", &verdict).await.unwrap().1.acknowledged);
    world.advance(Duration::from_secs(300));
    // Taken back without an operation of ours: the vendor shows that nothing is handed in, and so it is.
    let path = format!("/v1/components/alipay/authorizers/{app}/proxy/alipay.open.mini.version.audited.cancel");
    let (status, told) = world.post(&path, json!({"app_version": "1.0.0"})).await;
    assert!(status == 200 && told.to_string().contains("10000"), "{told}");
    assert!(submit_once_more(&world).await.is_ok());
    world.advance(Duration::from_secs(300));
    refuse_unheard(&world, "alipay", "second").await;
    world.advance(Duration::from_secs(60));
    looks_at_alipay(&world, 1, 0).await;
    let told: Vec<_> = events(&world, "alipay", "audit.failed").await.iter().map(|event| event["data"]["reason"].clone()).collect();
    assert_eq!(told, ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_alipay_a_verdict_from_before_a_submission_that_never_arrived_is_not_told_again() {
    let world = World::new().await;
    let app = app_id("alipay");
    world.granted("alipay", app).await;
    submit(&world, "alipay", false).await;
    assert!(world.simulator.audit("alipay", app, "1.0.0", &Verdict::Passed).await.unwrap().1.acknowledged);
    let submissions = || world.simulator.journal().iter().filter(|entry| entry.deed == "audit.submit" && entry.accepted).count();
    let given = json!({"version": "1.0.0", "region": "CHINA", "description": "Letters, horses, a lamp at night, and a warm soup."});
    let path = format!("/v1/components/alipay/authorizers/{app}/operations/audit.submit");
    for unheard in [0, 4] {
        world.advance(Duration::from_secs(300));
        for (matching, times) in [("audit.apply", 1), ("version.detail.query", unheard)].into_iter().filter(|(_, times)| *times > 0) {
            let fault = CallFault { matching: String::from(matching), trouble: CallTrouble::NotHeard, times };
            world.simulator.fail_calls("alipay", fault).unwrap();
        }
        let (status, told) = patiently(&world, world.post(&path, given.clone())).await;
        assert_eq!((status, told["type"].as_str()), (504, Some("/problems/outcome-unknown")), "{told}");
        assert_eq!((world.simulator.call_faults("alipay").unwrap(), submissions()), (Vec::new(), 1));
        world.advance(Duration::from_secs(60));
        let looks = reconcile(&world, "alipay").await;
        let audits = &looks["audits"];
        assert_eq!((&audits["asked"], &audits["found"], &audits["waiting"]), (&json!(1), &json!(0), &json!(1)), "{looks}");
        assert_eq!(events(&world, "alipay", "audit.*").await.len(), 1, "{unheard}");
    }

    // The end of one that arrives is told as ever.
    submit(&world, "alipay", true).await;
    refuse_unheard(&world, "alipay", "too plain").await;
    world.advance(Duration::from_secs(60));
    let looks = reconcile(&world, "alipay").await;
    assert_eq!((&looks["audits"]["found"], &looks["audits"]["waiting"]), (&json!(1), &json!(0)), "{looks}");
    let told: Vec<_> = events(&world, "alipay", "audit.*").await.iter().map(|event| event["type"].clone()).collect();
    assert_eq!((told.len(), submissions()), (2, 2), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_finds_its_package_passed_submits_nothing_and_tells_nothing_again() {
    let world = World::new().await;
    let app = app_id("baidu");
    world.granted("baidu", app).await;
    submit(&world, "baidu", false).await;
    assert!(world.simulator.audit("baidu", app, "1.0.0", &Verdict::Passed).await.unwrap().1.acknowledged);
    assert_eq!(reconcile(&world, "baidu").await["audits"]["waiting"], 0);
    world.advance(Duration::from_secs(3600));
    let submissions = || world.simulator.journal().iter().filter(|entry| entry.path.contains("package/submitaudit")).count();
    let before = submissions();
    let given = json!({"version": "1.0.0"}).as_object().unwrap().clone();
    let running = world.app();
    let checked = running.desk.check("baidu", Some(app), "audit.submit", given).unwrap();
    let outcome = patiently(&world, running.desk.resume(checked, world.simulator.now())).await.unwrap();
    assert_eq!((&outcome.result["version"], &outcome.result["status"]), (&json!("1.0.0"), &json!("approved")));
    assert_eq!(submissions(), before);
    let (_, authorizer) = world.get(&format!("/v1/components/baidu/authorizers/{app}")).await;
    let versions = &authorizer["versions"];
    assert_eq!((&versions["approved"]["version"], &versions["in_audit"]), (&json!("1.0.0"), &Value::Null), "{authorizer}");
    world.advance(Duration::from_secs(60));
    let looks = reconcile(&world, "baidu").await;
    assert_eq!((&looks["audits"]["found"], &looks["audits"]["waiting"]), (&json!(0), &json!(0)), "{looks}");
    assert_eq!(events(&world, "baidu", "audit.*").await.len(), 1);
}

/// A process that dies after the event and before the submission is forgotten leaves both; one that dies before the event leaves the submission.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_between_finding_and_storing_loses_nothing_and_tells_nothing_twice() {
    let mut world = World::new().await;
    let app = app_id("douyin");
    world.granted("douyin", app).await;
    done(&world, "douyin", "package.upload", json!({"template_id": "9133504853504530001", "version": "1.0.0", "description": "d"})).await;
    world.advance(Duration::from_secs(60));
    let submitted_at = world.clock.now();
    let path = format!("/v1/components/douyin/authorizers/{app}/operations/audit.submit");
    assert_eq!(world.post(&path, json!({"hosts": ["douyin"]})).await.0, 200);
    refuse_unheard(&world, "douyin", "no licence").await;

    // Asked, and the service ends before the answer is there.
    let slow = yizhan::simulator::fault::CallFault {
        matching: String::from("package_version/versions"),
        trouble: yizhan::simulator::fault::CallTrouble::SlowMs(3_600_000),
        times: 1,
    };
    world.simulator.fail_calls("douyin", slow).unwrap();
    world.advance(Duration::from_secs(31 * 60));
    world
        .until("the question", async || {
            world.simulator.journal().iter().any(|entry| entry.path.contains("package_version/versions")).then_some(())
        })
        .await;
    world.restart().await;
    // The service asks again as soon as it has started: it may find the audit's end before this does.
    // Found and stored, and the service ends before it forgets the submission.
    let component = world.app().config.components.named("douyin").unwrap().clone();
    let finding = || Finding {
        authorizer: app,
        kind: EventType::AuditFailed,
        data: json!({"version": "1.0.0", "reason": "no licence"}).as_object().unwrap().clone(),
        asked: "package.list",
        vendor: json!({}),
        at: world.clock.now(),
        since: Some(submitted_at),
    };
    world.app().inbox.derive(component.as_ref(), finding()).await.unwrap();
    assert!(world.app().inbox.derive(component.as_ref(), finding()).await.unwrap().is_none());
    assert_eq!(events(&world, "douyin", "audit.*").await.len(), 1);
    drop(component);
    world.restart().await;
    let looks = reconcile(&world, "douyin").await;
    assert_eq!((&looks["audits"]["found"], &looks["audits"]["waiting"]), (&json!(0), &json!(0)), "{looks}");
    assert_eq!(delivered(&world, "douyin", "audit.*").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_does_not_answer_is_asked_again_and_nothing_is_lost() {
    let world = World::new().await;
    world.granted("douyin", app_id("douyin")).await;
    submit(&world, "douyin", false).await;
    refuse_unheard(&world, "douyin", "no licence").await;
    let outage = yizhan::simulator::fault::CallFault {
        matching: String::from("package_version/versions"),
        trouble: yizhan::simulator::fault::CallTrouble::NotHeard,
        times: 3,
    };
    world.simulator.fail_calls("douyin", outage).unwrap();
    let looks = reconcile(&world, "douyin").await;
    assert_eq!(looks["audits"]["found"], 0);
    assert!(looks["audits"]["error"].is_string(), "{looks}");
    assert_eq!(looks["audits"]["waiting"], 1);
    assert_eq!(reconcile(&world, "douyin").await["audits"]["found"], 1);
    lose_pushes(&world, "douyin", false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_that_withdraws_during_its_audit_leaves_the_look_whole_and_is_asked_for_when_it_is_back() {
    let world = World::new().await;
    let app = app_id("douyin");
    world.granted("douyin", app).await;
    submit(&world, "douyin", false).await;
    world.simulator.revoke("douyin", app).await.unwrap();
    let address = format!("/v1/components/douyin/authorizers/{app}/token");
    world.until("the revocation", async || (world.get(&address).await.0 == 410).then_some(())).await;
    world.advance(Duration::from_secs(60));
    let looks = reconcile(&world, "douyin").await;
    let audits = &looks["audits"];
    assert_eq!((&audits["error"], &audits["asked"], &audits["waiting"]), (&Value::Null, &json!(0), &json!(0)), "{looks}");
    assert!(audits["complete_at"].is_string(), "{looks}");

    refuse_unheard(&world, "douyin", "no licence").await;
    world.granted("douyin", app).await;
    let waiting = world.get("/v1/components/douyin").await.1["reconcile"]["audits"]["waiting"].clone();
    assert_eq!(waiting, json!(1), "it was kept");
    assert_eq!(reconcile(&world, "douyin").await["audits"]["found"], 1);
}

fn submission(version: Option<&str>, package_id: Option<&str>) -> Submission {
    let at: Timestamp = "2026-11-20T07:00:00Z".parse().unwrap();
    let (version, package_id) = (version.map(str::to_owned), package_id.map(str::to_owned));
    Submission {
        awaited: Awaited::Audit,
        version,
        package_id,
        audit_id: None,
        wanted: Map::new(),
        submitted_at: at,
        seen_in_audit: false,
        looks: 0,
        next_look_at: at,
    }
}

fn kind(answer: &Answer) -> Option<(EventType, &Map<String, Value>)> {
    match answer {
        Answer::Ended { kind, data, .. } => Some((*kind, data)),
        _ => None,
    }
}

#[test]
fn answers_of_every_shape_are_read() {
    let list = AuditLook { operation: "package.list", by_version: false, has_stages: false, has_many: true, build: None };
    let staged = AuditLook { has_stages: true, has_many: false, ..list };
    let one = AuditLook { by_version: true, has_many: false, ..list };

    let packages = json!({"items": [
        {"package_id": "1", "version": "1.0.0", "status": "rejected", "reason": "r"},
        {"package_id": "2", "version": "1.0.0", "status": "in_audit"},
    ]});
    assert_eq!(read(list, &submission(Some("1.0.0"), Some("2")), &packages), Answer::InAudit, "another package of the same version");
    assert_eq!(kind(&read(list, &submission(None, Some("1")), &packages)).unwrap().0, EventType::AuditFailed);
    assert_eq!(read(list, &submission(None, Some("3")), &packages), Answer::Open, "not listed");
    assert_eq!(read(list, &submission(None, None), &packages), Answer::Open, "nobody can say which");

    let stages = json!({"items": [
        {"stage": "latest", "version": "1.0.1", "status": "uploaded"},
        {"stage": "audit", "version": "1.0.0", "status": "passed", "hosts_passed": ["a"], "hosts_failed": ["b"], "reason": "r"},
    ]});
    let answer = read(staged, &submission(Some("1.0.0"), None), &stages);
    let (told, data) = kind(&answer).unwrap();
    assert_eq!(told, EventType::AuditFailed, "one host refused it");
    assert_eq!(data["hosts"], json!([{"host": "a", "status": "passed"}, {"host": "b", "status": "failed"}]));
    assert_eq!(read(staged, &submission(Some("1.0.1"), None), &stages), Answer::Open, "the stage of audits shows another version");
    let released = json!({"items": [{"stage": "current", "version": "1.0.0", "status": "released"}]});
    assert_eq!(kind(&read(staged, &submission(Some("1.0.0"), None), &released)).unwrap().0, EventType::AuditPassed);
    assert_eq!(read(staged, &submission(None, None), &released), Answer::Open);

    let detail = |status: &str| json!({"version": "1.0.0", "status": status, "audited_at": "2026-11-20T16:00:00+08:00", "submitted_at": "2026-11-20T15:30:00+08:00"});
    match read(one, &submission(Some("1.0.0"), None), &detail("approved")) {
        Answer::Ended { kind: EventType::AuditPassed, at, since, .. } => {
            assert_eq!(at, Some("2026-11-20T08:00:00Z".parse().unwrap()));
            assert_eq!(since, "2026-11-20T07:30:00Z".parse::<Timestamp>().unwrap(), "submitted again elsewhere");
        }
        other => panic!("{other:?}"),
    }
    let later = |seconds: i64| {
        let at = "2026-11-20T08:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds);
        read(one, &Submission { submitted_at: at, ..submission(Some("1.0.0"), None) }, &detail("approved"))
    };
    assert_eq!(later(31), Answer::Open, "the end of an earlier one");
    assert!(kind(&later(30)).is_some(), "clocks differ");
    assert_eq!(read(one, &submission(Some("1.0.0"), None), &detail("developing")), Answer::TakenBack);
    assert_eq!(read(one, &submission(Some("1.0.0"), None), &detail("something new")), Answer::Open);
    for nonsense in [json!(null), json!([]), json!({"items": "none"}), json!({"items": [1, null]}), json!("text")] {
        assert_eq!(read(list, &submission(Some("1.0.0"), None), &nonsense), Answer::Open, "{nonsense}");
    }

    let build = Submission { awaited: Awaited::Build, ..submission(Some("1.0.0"), None) };
    assert_eq!(kind(&read(one, &build, &json!({"status": "created"}))).unwrap().0, EventType::BuildSucceeded);
    assert_eq!(kind(&read(one, &build, &json!({"status": "timed_out"}))).unwrap().0, EventType::BuildFailed);
    assert_eq!(read(one, &build, &json!({"status": "queued"})), Answer::Open);
}
