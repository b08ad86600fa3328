//! Stores that former builds left: this build finds in them what was in them, and goes on where they stopped.
//!
//! Each folder of `fixtures/stores` is the store of a small deployment as a build left it, with `left.json` beside the files: when that was, what was
//! answered about everything in it, and some of what the vendors had pushed. A build that writes anything in another way adds its own:
//! `YIZHAN_KEEP_STORE=fixtures/stores/<date> cargo nextest run -E 'test(former_stores::)'`, and never changes those that are there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Map, Value, json};
use yizhan::clock::Clock;
use yizhan::platform::push::Door;
use yizhan::platform::twin::{Outgoing, Verdict};

use crate::world::{SECRET, Setting, World, configuration, copy_all};

/// Platform, a merchant that stays, and one that goes.
const MERCHANTS: [(&str, &str, &str); 4] = [
    ("baidu", "1452365", "1452366"),
    ("douyin", "tt0123456789abcdef", "tt0123456789abcde0"),
    ("kuaishou", "ks700000000000000001", "ks700000000000000002"),
    ("alipay", "2021000000000003", "2021000000000004"),
];

/// What is noted beside the files.
const LEFT: &str = "left.json";

/// Nobody listens there.
const CLOSED: &str = "http://127.0.0.1:9/";

fn setting() -> Setting {
    let shut = format!(
        "[[subscriptions]]\nname = \"shut\"\nurl = \"{CLOSED}\"\nsecret = \"{SECRET}\"\nevents = [\"authorization.granted\"]\nretry = [\"1s\"]\n"
    );
    Setting { extra: shut, ..Setting::default() }
}

fn items(list: &Value) -> &Vec<Value> {
    assert!(list["next_cursor"].is_null(), "the list does not fit on one page: {list}");
    list["items"].as_array().unwrap_or_else(|| panic!("{list}"))
}

/// A deployment in which a little of everything has happened, and what the vendors pushed about audits.
async fn lived() -> (World, Vec<(&'static str, Outgoing)>) {
    let world = World::with(setting()).await;
    let later = json!({ "name": "later", "url": CLOSED, "secret": SECRET, "events": ["*"] });
    assert_eq!(world.post("/v1/subscriptions", later).await.0, 201);
    assert_eq!(world.post("/v1/subscriptions/later/pause", json!({})).await.0, 200);
    let look = json!({
        "on": "audit.failed", "components": ["baidu"],
        "steps": [{ "operation": "package.list" }, { "operation": "profile.get", "approval": true }],
    });
    assert_eq!(world.ask(Method::PUT, "/v1/playbooks/look", look).await.0, 201);

    let mut pushed = Vec::new();
    for (platform, stays, goes) in MERCHANTS {
        world.granted(platform, goes).await;
        world.granted(platform, stays).await;
        world.simulator.revoke(platform, goes).await.unwrap();
        let (passed, _) = world.simulator.audit(platform, stays, "1.0.0", &Verdict::Passed).await.unwrap();
        let (failed, _) = world.simulator.audit(platform, stays, "1.0.1", &Verdict::Failed(String::from("名称不符"))).await.unwrap();
        world.simulator.forge(platform, &failed).await.unwrap();
        pushed.extend([(platform, passed), (platform, failed)]);
        let attributes = json!({ "tags": ["pilot"], "variables": { "city": "杭州" } });
        assert_eq!(world.ask(Method::PUT, &format!("/v1/components/{platform}/authorizers/{stays}/attributes"), attributes).await.0, 200);
    }
    let rollout = json!({
        "component": "baidu", "authorizers": ["1452365"], "template_id": "12", "version": "2.0.1", "description": "值夜提醒上线，另有收信与换马两项改进，请在白天测试。",
    });
    let (status, rollout) = world.post("/v1/rollouts", rollout).await;
    assert_eq!(status, 202, "{rollout}");
    let id = rollout["id"].as_str().unwrap();
    assert_eq!(world.post(&format!("/v1/rollouts/{id}/pause"), json!({})).await.0, 200);

    let several = [
        ("nothing left for the handler", "/v1/deliveries?subscription=handler&status=pending", 0),
        ("dead letters", "/v1/deliveries?subscription=shut&status=dead", 8),
        ("a run that waits", "/v1/runs?state=waiting_for_approval", 1),
    ];
    for (what, address, count) in several {
        world
            .until(what, async || {
                world.advance(Duration::from_millis(200));
                (items(&world.get(address).await.1).len() == count).then_some(())
            })
            .await;
    }
    let replay = json!({ "filter": { "type": "audit.passed" }, "subscription": "later" });
    let (status, replay) = world.post("/v1/replays", replay).await;
    assert_eq!(status, 202, "{replay}");
    let replay = format!("/v1/replays/{}", replay["id"].as_str().unwrap());
    world
        .until("the replay is done", async || {
            world.advance(Duration::from_millis(200));
            (world.get(&replay).await.1["state"] == "done").then_some(())
        })
        .await;
    (world, pushed)
}

/// What is answered about everything that is kept, but for the read audit: to ask for tokens writes into it.
async fn answers(world: &World) -> Map<String, Value> {
    let mut addresses = vec![String::from("/v1/components")];
    for (platform, stays, _) in MERCHANTS {
        let of = format!("/v1/components/{platform}");
        let ticket = (platform != "alipay").then(|| format!("{of}/ticket"));
        let token = (platform != "alipay").then(|| format!("{of}/token"));
        addresses.extend(ticket.into_iter().chain(token));
        addresses.push(format!("{of}/authorizers?limit=200"));
        addresses.push(format!("{of}/attributes"));
        addresses.push(format!("{of}/authorizers/{stays}/token"));
    }
    let mut found = Map::new();
    for address in addresses {
        let (status, answer) = world.get(&address).await;
        assert_eq!(status, 200, "{address}: {answer}");
        found.insert(address, answer);
    }
    for list in ["events", "deliveries", "subscriptions", "rollouts", "playbooks", "runs", "rejected"] {
        let address = format!("/v1/{list}?limit=200");
        let (status, answer) = world.get(&address).await;
        assert_eq!(status, 200, "{address}: {answer}");
        for item in items(&answer) {
            let Some(id) = item["id"].as_str().or_else(|| item["name"].as_str()) else { continue };
            let more = (list == "rollouts").then(|| format!("/v1/rollouts/{id}/items"));
            let each = (list != "rejected").then(|| format!("/v1/{list}/{id}"));
            for address in each.into_iter().chain(more) {
                let (status, answer) = world.get(&address).await;
                assert_eq!(status, 200, "{address}: {answer}");
                found.insert(address, answer);
            }
        }
        found.insert(address, answer);
    }
    found
}

/// Takes away what depends on where and when the service runs and on what it has just asked vendors.
fn without_surroundings(answer: &mut Value) {
    match answer {
        Value::Object(members) => {
            members.retain(|name, _| !["callbacks", "reconcile", "url", "age_seconds", "expires_in", "warnings"].contains(&name.as_str()));
            members.values_mut().for_each(without_surroundings);
        }
        Value::Array(items) => items.iter_mut().for_each(without_surroundings),
        _ => {}
    }
}

/// The first thing that was there and is not there any more: what a later build answers may say more.
fn missing(before: &Value, now: &Value) -> Option<String> {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => before
            .iter()
            .find_map(|(name, before)| missing(before, now.get(name).unwrap_or(&Value::Null)).map(|missing| format!(".{name}{missing}"))),
        (Value::Array(before), Value::Array(now)) if before.len() == now.len() => {
            let mut each = before.iter().zip(now).enumerate();
            each.find_map(|(place, (before, now))| missing(before, now).map(|missing| format!("[{place}]{missing}")))
        }
        (before, now) => (before != now).then(|| format!(": {before} became {now}")),
    }
}

/// Writes what [`is_found`] needs beside the files of the store.
fn note(store: &Path, at: &str, answers: Map<String, Value>, pushed: &[(&str, Outgoing)]) {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let pushes: Vec<_> = pushed
        .iter()
        .map(|(platform, push)| {
            assert_eq!(push.door, Door::Message);
            json!({ "platform": platform, "headers": push.headers, "body": text(&push.body), "plain": text(&push.plain), "message_id": push.message_id })
        })
        .collect();
    let left = json!({
        "empty_folders": empty_folders(store, Path::new("")),
        "origin": "made: a store that the tests of this project wrote; everything in it is made up",
        "left_at": at, "pushed": pushes, "answers": answers,
    });
    fs::write(store.join(LEFT), serde_json::to_string_pretty(&left).unwrap() + "\n").unwrap();
}

/// Folders without anything in them, which nobody keeps who keeps files.
fn empty_folders(store: &Path, within: &Path) -> Vec<PathBuf> {
    let entries: Vec<_> = fs::read_dir(store.join(within)).unwrap().map(Result::unwrap).collect();
    let folders = entries.iter().filter(|entry| entry.file_type().unwrap().is_dir());
    match entries.is_empty() {
        true => vec![within.to_owned()],
        false => folders.flat_map(|entry| empty_folders(store, &within.join(entry.file_name()))).collect(),
    }
}

fn push(noted: &Value) -> Outgoing {
    let text = |name: &str| Bytes::from(noted[name].as_str().unwrap().to_owned());
    let pair = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned());
    Outgoing {
        door: Door::Message,
        headers: noted["headers"].as_array().unwrap().iter().map(pair).collect(),
        body: text("body"),
        plain: text("plain"),
        message_id: noted["message_id"].as_str().map(str::to_owned),
    }
}

/// Everything that was left in that store is found in it, and work goes on.
async fn is_found(store: &Path) {
    let copy = tempfile::tempdir().unwrap();
    copy_all(store, copy.path());
    let left: Value = serde_json::from_slice(&fs::read(copy.path().join(LEFT)).unwrap()).unwrap();
    fs::remove_file(copy.path().join(LEFT)).unwrap();
    for folder in left["empty_folders"].as_array().unwrap() {
        fs::create_dir_all(copy.path().join(folder.as_str().unwrap())).unwrap();
    }
    let at = left["left_at"].as_str().unwrap().parse().unwrap();
    let mut world = World::with(Setting { left: Some((copy.path().to_owned(), at)), ..setting() }).await;
    for (address, before) in left["answers"].as_object().unwrap() {
        let (status, now) = world.get(address).await;
        assert_eq!(status, 200, "{address}: {now}");
        assert_eq!(missing(before, &now), None, "{address}");
    }

    // What was pushed before is known again.
    let newest = async |world: &World| world.get("/v1/events?limit=1").await.1["items"][0]["id"].clone();
    let before = newest(&world).await;
    for noted in left["pushed"].as_array().unwrap() {
        let answered = world.simulator.repeat(noted["platform"].as_str().unwrap(), &push(noted)).await.unwrap();
        assert_eq!(answered.status, 200, "{answered:?}");
    }
    assert_eq!(newest(&world).await, before);

    // What is new is stored and handed on.
    for (platform, stays, _) in MERCHANTS {
        world.simulator.audit(platform, stays, "9.0.0", &Verdict::Passed).await.unwrap();
        let event = newest(&world).await;
        assert_ne!(event, before);
        world.until("the handler has it", async || world.handler.received().iter().any(|one| event == *one.id).then_some(())).await;
    }

    // What waited is delivered, and what was given up can be tried again.
    let of_later = |status: &str| format!("/v1/deliveries?subscription=later&status={status}&limit=200");
    let held = items(&world.get(&of_later("held")).await.1).len();
    assert!(held > 20, "{held}");
    let dead = world.get("/v1/deliveries?subscription=shut&status=dead").await.1;
    for address in ["/v1/subscriptions/later", "/v1/subscriptions/shut"] {
        let (status, changed) = world.ask(Method::PATCH, address, json!({ "url": world.handler.url() })).await;
        // Those of the configuration are changed there.
        assert_eq!(status == 200, address.ends_with("later"), "{address}: {changed}");
    }
    assert_eq!(world.post("/v1/subscriptions/later/resume", json!({})).await.0, 200);
    let all = async || (items(&world.get(&of_later("delivered")).await.1).len() >= held).then_some(());
    world.until("all that was held is delivered", all).await;
    let id = dead["items"][0]["id"].as_str().unwrap();
    assert_eq!(world.post(&format!("/v1/deliveries/{id}/retry"), json!({})).await.0, 202);

    world.down().await;
    let file = world.store().with_extension("toml");
    fs::write(&file, format!("{}{}", configuration(world.store(), "http://127.0.0.1:1"), world.simulator.components_toml())).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_yizhan")).args(["check", "--store", "--json", "--config"]).arg(&file).output().unwrap();
    fs::remove_file(&file).unwrap();
    assert!(checked.status.success(), "{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_this_build_leaves_is_found_whole() {
    let (mut world, pushed) = lived().await;
    // Asked after a start: what is answered then is what the store holds.
    world.restart().await;
    let mut answers = answers(&world).await;
    world.app().write_out().await;
    world.restart().await;
    let audit = "/v1/audit?limit=200";
    answers.shift_insert(0, String::from(audit), world.get(audit).await.1);
    answers.values_mut().for_each(without_surroundings);
    let at = world.clock.now().to_string();
    world.down().await;
    note(world.store(), &at, answers, &pushed);
    if let Some(keep) = std::env::var_os("YIZHAN_KEEP_STORE") {
        let keep = Path::new(env!("CARGO_MANIFEST_DIR")).join(keep);
        assert!(!keep.exists(), "{} is there already", keep.display());
        copy_all(world.store(), &keep);
    }
    is_found(world.store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_former_builds_left_are_found_whole() {
    let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/stores");
    let mut found = 0;
    for store in fs::read_dir(stores).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        is_found(&store).await;
        found += 1;
    }
    assert!(found > 0);
}
