//! Rollouts whose records, or those of their merchants, cannot be read: they are named, they rest, and everybody else goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::app;
use yizhan::clock::SystemClock;
use yizhan::config::Config;
use yizhan::platform::twin::Verdict;
use yizhan::rollout::Rollouts;
use yizhan::rollout::record::{Choice, RolloutId, Spec, State};
use yizhan::rollout::stage::Stage;
use yizhan::settings::Surroundings;
use yizhan::shutdown::Shutdown;

use super::crash::{Fate, OPTIONS, Process, World, spec};
use super::stories::Deployment;
use crate::log::damage::{replace, replace_by_sealed};
use crate::world::{Setting, configuration};

/// What `yizhan check --store` finds of a store that no service has open.
fn found(folder: &Path) -> String {
    let config = Config::parse(&configuration(folder, "http://127.0.0.1:1"), Surroundings::default()).unwrap();
    let found = tokio::task::block_in_place(|| app::examine(&config, Arc::new(SystemClock))).unwrap();
    found.damage.iter().map(|finding| finding.message.clone()).collect::<Vec<_>>().join("; ")
}

async fn preview(deployment: &Deployment, version: &str) -> Vec<(String, Option<String>)> {
    let body = deployment.body(json!({"version": version, "dry_run": true}));
    let (status, preview) = deployment.world.post("/v1/rollouts", body).await;
    assert_eq!(status, 200, "{preview}");
    let items = preview["items"].as_array().unwrap().iter();
    items.map(|item| (item["authorizer"].as_str().unwrap().to_owned(), item["reason"].as_str().map(str::to_owned))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_whose_record_is_damaged_has_failed_and_holds_up_nobody() {
    let mut deployment = Deployment::of("baidu").await;
    let [harmed, second, third] = deployment.shops;
    deployment.release("2.0.0", &deployment.shops.clone()).await;
    deployment.world.advance(Duration::from_secs(15));
    let id = deployment.begin(json!({})).await;
    deployment.until_count(&id, "in_audit", 3).await;
    deployment.world.down().await;
    let key = format!("i{id}\0{harmed}");
    replace(&deployment.world.store().join("log"), "records", key.as_bytes(), b"rot");
    let told = found(deployment.world.store());
    assert!(told.contains(&id) && told.contains(harmed), "{told}");
    deployment.world.up().await;

    let why = "its record cannot be read: how far it came is not known; look at the platform";
    let shown = deployment.show(&id).await;
    assert_eq!((&shown["state"], &shown["total"], &shown["counts"]["failed"]), (&json!("running"), &json!(3), &json!(1)), "{shown}");
    assert_eq!((&shown["reasons"][0]["reason"], &shown["reasons"][0]["example"]), (&json!(why), &json!(harmed)), "{shown}");
    let planned = preview(&deployment, "2.0.2").await;
    let reason = |planned: &[(String, Option<String>)], shop: &str| planned.iter().find(|(one, _)| one == shop).unwrap().1.clone();
    assert_eq!(reason(&planned, harmed), Some(format!("is in rollout {id}, where its record cannot be read")));
    assert_eq!(reason(&planned, second), Some(format!("is in rollout {id}")));

    // It passes like the others, and is not released: nobody knows that it was this rollout's.
    for shop in [harmed, second, third] {
        deployment.judge(shop, Verdict::Passed).await;
    }
    let shown = deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!((&shown["counts"]["released"], &shown["counts"]["failed"]), (&json!(2), &json!(1)), "{shown}");
    assert_eq!((deployment.online(harmed).await, deployment.online(second).await), (vec!["2.0.0".into()], vec!["2.0.1".into()]));
    let shown = deployment.steer(&id, "retry").await;
    assert_eq!(shown["counts"]["failed"], 1, "what nobody knows is not tried again: {shown}");
    deployment.until(&id, "done again", |shown| shown["state"] == "done").await;
    deployment.steer(&id, "rollback").await;
    let shown = deployment.until(&id, "taken back", |shown| shown["rolling_back"] == false && shown["rolled_back"] == 2).await;
    assert_eq!(deployment.item(&id, harmed).await["reason"], why, "{shown}");
    assert_eq!(reason(&preview(&deployment, "2.0.2").await, harmed), None, "it is free once the rollout is over");

    deployment.world.restart().await;
    assert_eq!(deployment.item(&id, harmed).await["reason"], why);
    deployment.world.down().await;
    assert!(found(deployment.world.store()).contains(harmed), "it stays as it is, and is named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_whose_record_cannot_be_read_rests_until_it_is_cancelled() {
    for is_sealed in [false, true] {
        let mut deployment = Deployment::of("baidu").await;
        let [first, second, third] = deployment.shops;
        let resting = deployment.begin(json!({"authorizers": [first, second]})).await;
        deployment.until_count(&resting, "in_audit", 2).await;
        let other = deployment.begin(json!({"authorizers": [third]})).await;
        deployment.until_count(&other, "in_audit", 1).await;
        deployment.world.down().await;
        let (log, key) = (deployment.world.store().join("log"), format!("r{resting}"));
        match is_sealed {
            true => replace_by_sealed(&log, key.as_bytes(), &json!({})),
            false => replace(&log, "records", key.as_bytes(), b"rot"),
        }
        let told = found(deployment.world.store());
        assert!(told.contains(if is_sealed { "under another master key" } else { &resting }), "{told}");
        deployment.world.up().await;

        for shop in [first, second, third] {
            deployment.judge(shop, Verdict::Passed).await;
        }
        deployment.until(&other, "done", |shown| shown["state"] == "done").await;
        let shown = deployment.show(&resting).await;
        assert_eq!((&shown["state"], &shown["counts"]["in_audit"], &shown["total"]), (&json!("stopped"), &json!(2), &json!(2)), "{shown}");
        assert!(shown["reason"].as_str().unwrap().starts_with("its record cannot be read ("), "{shown}");
        assert_eq!((shown.get("component"), shown.get("version")), (None, None), "what nobody knows is not made up: {shown}");
        assert!(deployment.online(first).await.is_empty(), "nothing is released by guess");
        let (_, list) = deployment.world.get("/v1/rollouts").await;
        let listed: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|rollout| &rollout["id"]).collect();
        assert_eq!(listed, [&json!(other), &json!(resting)]);
        for how in ["pause", "resume", "retry", "rollback"] {
            let (status, refused) = deployment.world.post(&format!("/v1/rollouts/{resting}/{how}"), json!({})).await;
            assert_eq!(status, 409, "{how}: {refused}");
        }
        let why = format!("is in rollout {resting}, whose record cannot be read; cancel that one to go on without it");
        let planned = preview(&deployment, "2.0.2").await;
        assert_eq!(planned, [(first, Some(&why)), (second, Some(&why)), (third, None)].map(|(shop, why)| (shop.to_owned(), why.cloned())));

        let shown = deployment.steer(&resting, "cancel").await;
        assert_eq!((&shown["state"], &shown["counts"]["cancelled"]), (&json!("cancelled"), &json!(2)), "{shown}");
        deployment.world.restart().await;
        let shown = deployment.show(&resting).await;
        assert_eq!((&shown["state"], shown.get("component")), (&json!("cancelled"), None), "{shown}");
        assert!(shown["reason"].as_str().unwrap().starts_with("its record cannot be read ("), "{shown}");
        let (status, refused) = deployment.world.post(&format!("/v1/rollouts/{resting}/rollback"), json!({})).await;
        assert_eq!(status, 409, "{refused}");
        assert!(preview(&deployment, "2.0.2").await.iter().all(|(_, why)| why.is_none()), "who was in it is free");
        deployment.world.down().await;
        assert_eq!(found(deployment.world.store()), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_ended_and_cannot_be_read_keeps_nobody_back_and_is_expunged_in_its_time() {
    let mut deployment = Deployment::with("kuaishou", "retention = \"2d\"", Setting::default()).await;
    let [first, ..] = deployment.shops;
    let over = deployment.release("2.0.1", &[first]).await;
    deployment.world.down().await;
    replace(&deployment.world.store().join("log"), "records", format!("r{over}").as_bytes(), b"rot");
    deployment.world.up().await;
    let shown = deployment.show(&over).await;
    assert_eq!((&shown["state"], &shown["counts"]["released"]), (&json!("stopped"), &json!(1)), "{shown}");
    assert!(preview(&deployment, "2.0.2").await.iter().all(|(_, why)| why.is_none()));
    deployment.world.advance(Duration::from_secs(50 * 3600));
    let gone = async || {
        deployment.world.advance(Duration::from_secs(60));
        (deployment.world.get(&format!("/v1/rollouts/{over}")).await.0 == 404).then_some(())
    };
    deployment.world.until("it is gone", gone).await;
}

async fn opened(world: &Arc<World>) -> (Arc<Process>, Arc<Rollouts>) {
    let process = Arc::new(Process { world: world.clone(), fate: Fate::after(usize::MAX), platform: "douyin" });
    let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process.clone(), OPTIONS).await.unwrap();
    (process, rollouts)
}

async fn done(world: &World, id: RolloutId) {
    let waited = async {
        while world.rollouts.lock().unwrap()[&id].record.state != State::Done {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waited).await.is_ok(), "waited too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn merchants_that_damage_hides_are_named_where_the_rollout_named_them() {
    let world = Arc::new(World::default());
    let these = Choice::These(["shop-1", "shop-2"].map(String::from).to_vec());
    let id = opened(&world).await.1.create(Spec { authorizers: these, ..spec() }, None).await.unwrap().id;
    world.hidden.lock().unwrap().insert(String::from("shop-1"));
    let (_, rollouts) = opened(&world).await;
    let items = rollouts.items(id).await.unwrap();
    let hidden = items.iter().find(|item| item.authorizer == "shop-1").unwrap();
    assert_eq!((hidden.stage, hidden.is_unread, hidden.place), (Stage::Failed, true, 0), "its place is the one that nobody else has");
    let running = tokio::spawn(rollouts.clone().run(Shutdown::default()));
    done(&world, id).await;
    running.abort();
    let stages: Vec<Stage> = rollouts.items(id).await.unwrap().iter().map(|item| item.stage).collect();
    assert!(stages.contains(&Stage::Released) && stages.contains(&Stage::Failed), "{stages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_of_which_nobody_can_say_who_is_missing_stops_until_a_person_resumes_it() {
    let world = Arc::new(World::default());
    let id = opened(&world).await.1.create(spec(), None).await.unwrap().id;
    world.hidden.lock().unwrap().insert(String::from("shop-1"));
    let (_, rollouts) = opened(&world).await;
    let progress = rollouts.progress(id).await.unwrap();
    assert_eq!((progress.rollout.state, progress.total), (State::Stopped, 1));
    assert!(progress.rollout.reason.unwrap().contains("cannot be read"));
    let planned = rollouts.plan(&Spec { version: String::from("2.0.2"), ..spec() }).await.unwrap();
    let why = format!("may be in rollout {id}, of which some merchants cannot be read; cancel that one to go on without it");
    assert_eq!(planned[0].skip, Some(why));
    let running = tokio::spawn(rollouts.clone().run(Shutdown::default()));
    rollouts.resume(id).await.unwrap();
    done(&world, id).await;
    running.abort();
    assert_eq!(rollouts.items(id).await.unwrap().len(), 1);
    assert!(rollouts.plan(&Spec { version: String::from("2.0.2"), ..spec() }).await.unwrap().iter().all(|planned| planned.skip.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_was_resumed_although_it_is_not_whole_goes_on_over_restarts_until_more_of_it_is_hidden() {
    for how in ["resume", "retry"] {
        let world = Arc::new(World::default());
        let id = opened(&world).await.1.create(spec(), None).await.unwrap().id;
        world.hidden.lock().unwrap().insert(String::from("shop-1"));
        let (_, rollouts) = opened(&world).await;
        match how {
            "resume" => rollouts.resume(id).await.unwrap(),
            _ => drop(rollouts.retry(id).await.unwrap()),
        }
        for _ in 0..2 {
            let (_, rollouts) = opened(&world).await;
            let shown = rollouts.progress(id).await.unwrap().rollout;
            assert_eq!(shown.state, State::Running, "{how}");
            assert!(shown.reason.unwrap().contains("cannot be read"), "{how}: it is said all the same");
        }
        world.hidden.lock().unwrap().insert(String::from("shop-2"));
        let (_, rollouts) = opened(&world).await;
        let shown = rollouts.progress(id).await.unwrap().rollout;
        assert_eq!((shown.state, shown.goes_on_with), (State::Stopped, Some(1)), "{how}: a person has not seen that");
        rollouts.resume(id).await.unwrap();
        assert_eq!(opened(&world).await.1.find(id).await.unwrap().unwrap().state, State::Running, "{how}");
    }
}
