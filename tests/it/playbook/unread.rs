//! Stored playbooks that cannot be read: they are disabled and named, what comes for them is held, and they can be written again or deleted.

use reqwest::Method;
use serde_json::{Value, json};
use yizhan::platform::twin::Verdict;

use crate::log::damage::{replace, replace_by_sealed};
use crate::world::World;

const APP: &str = "1452365";

fn playbook(approval: bool) -> Value {
    json!({"on": "audit.failed", "components": ["baidu"], "steps": [{"operation": "package.list", "approval": approval}]})
}

async fn audited(world: &World, version: &str) {
    world.simulator.audit("baidu", APP, version, &Verdict::Failed(String::from("why"))).await.unwrap();
}

async fn deliveries(world: &World, status: &str, count: usize) {
    let address = format!("/v1/deliveries?subscription=look&status={status}");
    let as_many = async || (world.get(&address).await.1["items"].as_array().unwrap().len() == count).then_some(());
    world.until(&format!("{count} {status}"), as_many).await;
}

/// A service that starts on a log in which the playbook `look` cannot be read, with the run of one event of which somebody must approve.
async fn harmed(is_sealed: bool) -> World {
    let mut world = World::new().await;
    world.granted("baidu", APP).await;
    for name in ["look", "other"] {
        let (status, made) = world.ask(Method::PUT, &format!("/v1/playbooks/{name}"), playbook(name == "look")).await;
        assert_eq!(status, 201, "{made}");
    }
    audited(&world, "1.0.0").await;
    let waits = async || world.get("/v1/runs?playbook=look&state=waiting_for_approval").await.1["items"].get(0).cloned();
    world.until("the run waits", waits).await;
    world.down().await;
    let log = world.store().join("log");
    match is_sealed {
        true => replace_by_sealed(&log, b"plook", &json!({})),
        false => replace(&log, "records", b"plook", b"rot"),
    }
    world.up().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_that_cannot_be_read_is_disabled_and_what_comes_for_it_is_held_until_it_is_written_again() {
    for is_sealed in [false, true] {
        let mut world = harmed(is_sealed).await;
        let (status, list) = world.get("/v1/playbooks").await;
        let [look, other] = [&list["items"][0], &list["items"][1]];
        assert_eq!(
            (status, &look["name"], &look["state"], &look["source"]),
            (200, &json!("look"), &json!("disabled"), &json!("api")),
            "{list}"
        );
        assert_eq!((&look["on"], &look["steps"]), (&json!(["audit.failed"]), &json!([])), "{list}");
        let why = look["mistakes"][0]["problem"].as_str().unwrap();
        assert!(why.starts_with("it cannot be read: ") && why.contains(if is_sealed { "another master key" } else { "damaged" }), "{why}");
        assert_eq!((&other["name"], &other["state"]), (&json!("other"), &json!("active")), "{list}");
        assert_eq!(&world.get("/v1/playbooks/look").await.1, look);
        assert_eq!(world.get("/v1/subscriptions/look").await.1["state"], "disabled");
        assert_eq!(world.post("/v1/subscriptions/look/resume", json!({})).await.0, 409, "nobody carries it");
        let mut named = playbook(false);
        named["name"] = json!("look");
        assert_eq!(world.post("/v1/playbooks", named).await.0, 409, "its name is taken");

        // What waited and what comes is held, over a restart too, and the run is not given up.
        audited(&world, "1.0.1").await;
        deliveries(&world, "held", 2).await;
        world.restart().await;
        deliveries(&world, "held", 2).await;
        deliveries(&world, "cancelled", 0).await;
        assert_eq!(world.get("/v1/runs?playbook=look&state=waiting_for_approval").await.1["items"].as_array().unwrap().len(), 1);
        let ran = async || (world.get("/v1/runs?playbook=other&state=done").await.1["items"].as_array().unwrap().len() == 2).then_some(());
        world.until("the other playbook ran", ran).await;

        let (status, written) = world.ask(Method::PUT, "/v1/playbooks/look", playbook(false)).await;
        assert_eq!((status, &written["state"], written.get("mistakes")), (201, &json!("active"), None), "{written}");
        let ran = async || world.get("/v1/runs?playbook=look&state=done").await.1["items"].get(0).cloned();
        world.until("what was held ran", ran).await;
        deliveries(&world, "pending", 1).await;
        world.restart().await;
        assert_eq!(world.get("/v1/playbooks/look").await.1["state"], "active");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_that_cannot_be_read_is_deleted_with_what_waits_for_it_though_a_run_cannot_be_read_either() {
    let mut world = harmed(true).await;
    let run = world.get("/v1/runs?playbook=other").await.1["items"][0]["id"].as_str().unwrap().to_owned();
    world.down().await;
    replace_by_sealed(&world.store().join("log"), format!("u{run}").as_bytes(), &json!({}));
    world.up().await;
    let (status, answer) = world.ask(Method::DELETE, "/v1/playbooks/look", json!({})).await;
    assert_eq!(status, 204, "{answer}");
    deliveries(&world, "cancelled", 1).await;
    assert_eq!((world.get("/v1/playbooks/look").await.0, world.get("/v1/subscriptions/look").await.0), (404, 404));
    assert_eq!(world.get("/v1/runs?playbook=look").await.1["items"][0]["state"], "cancelled");
    world.restart().await;
    assert_eq!(world.get("/v1/playbooks").await.1["items"].as_array().unwrap().len(), 1);
    let (status, made) = world.ask(Method::PUT, "/v1/playbooks/look", playbook(false)).await;
    assert_eq!((status, &made["state"]), (201, &json!("active")), "{made}");
}
