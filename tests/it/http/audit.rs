//! What a caller has a vendor do is in the audit, whether or not the caller hears what came of it.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use yizhan::simulator::fault::{CallFault, CallTrouble};

use super::{get, items, post_as, world_with_keys};
use crate::hostile::lines::Written;
use crate::world::World;

const MERCHANT: &str = "1452365";
const AUTHORIZER: &str = "/v1/components/baidu/authorizers/1452365";
/// The key of the caller whose deeds are looked at.
const CALLER: &str = "yzk_orders";

async fn world() -> World {
    let world = world_with_keys(&[("orders", &["tokens:read", "tokens:force", "proxy:call"])]).await;
    world.granted("baidu", MERCHANT).await;
    world
}

fn upset(world: &World, matching: &str, trouble: CallTrouble, times: u32) {
    world.simulator.fail_calls("baidu", CallFault { matching: matching.to_owned(), trouble, times }).unwrap();
}

/// What the audit says of the caller: action and generation, in order, each of which it says once.
async fn noted(world: &World) -> Vec<(String, u64)> {
    let of_caller = |entry: &Value| {
        assert_eq!((&entry["component"], &entry["authorizer"], &entry["count"]), (&json!("baidu"), &json!(MERCHANT), &json!(1)));
        (entry["action"].as_str().unwrap().to_owned(), entry["generation"].as_u64().unwrap())
    };
    let entries = items(&get(world, "/v1/audit").await);
    let mut noted: Vec<_> = entries.iter().filter(|entry| entry["key"] == "orders").map(of_caller).collect();
    noted.sort();
    noted
}

/// Posts that, and is gone as soon as the vendor has done what it leads to, without an answer.
async fn post_and_go(world: &World, path: &str, deed: &str) {
    let done = || world.simulator.counts("baidu").unwrap().deed(deed);
    let before = done();
    let address = world.base.strip_prefix("http://").unwrap();
    let mut caller = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {CALLER}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    caller.write_all(request.as_bytes()).await.unwrap();
    world.until("the vendor acts", async || (done() > before).then_some(())).await;
    // Reset, so that the server knows at once that nobody waits.
    caller.set_zero_linger().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_passed_on_is_noted_though_its_caller_is_gone_before_the_answer() {
    let log = Written::default();
    // The log of everything, in a process of its own; where another test was first, nothing.
    let is_ours = tracing::subscriber::set_global_default(log.subscriber("info")).is_ok();
    let world = world().await;
    upset(&world, "app/pause", CallTrouble::SlowMs(60_000), 1);
    post_and_go(&world, &format!("{AUTHORIZER}/proxy/rest/2.0/smartapp/app/pause"), "service.pause").await;
    assert_eq!(noted(&world).await, [(String::from("proxy:POST"), 0)]);
    let text = log.text();
    let line = text.lines().find(|line| line.contains("key=\"orders\"")).unwrap_or_default();
    assert!(!is_ours || line.contains("proxy called") && line.contains("path=\"/rest/2.0/smartapp/app/pause\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_renewal_is_noted_though_its_caller_is_gone_before_the_answer() {
    let world = world().await;
    upset(&world, "app_to_tp_refresh_token", CallTrouble::SlowMs(60_000), 1);
    post_and_go(&world, &format!("{AUTHORIZER}/token/refresh"), "refresh").await;
    assert_eq!(noted(&world).await, [(String::from("token.refresh"), 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_was_asked_for_is_noted_though_it_fails() {
    for (path, body, action) in [
        ("refresh", json!({}), "token.refresh"),
        ("refresh", json!({ "give_up_answer": true }), "token.refresh"),
        ("report-invalid", json!({ "generation": 1 }), "token.report_invalid"),
    ] {
        let world = world().await;
        upset(&world, "", CallTrouble::Garbage, 1000);
        let answer = post_as(&world, CALLER, &format!("{AUTHORIZER}/token/{path}"), body).await;
        assert!(answer.status >= 500, "{} {}", answer.status, answer.text);
        assert_eq!(noted(&world).await, [(action.to_owned(), 0)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_renewal_hands_out_is_noted_as_read() {
    for (path, body, action) in
        [("refresh", json!({}), "token.refresh"), ("report-invalid", json!({ "generation": 1 }), "token.report_invalid")]
    {
        let world = world().await;
        let answer = post_as(&world, CALLER, &format!("{AUTHORIZER}/token/{path}"), body).await;
        assert_eq!(answer.json()["generation"], 2, "{}", answer.text);
        assert_eq!(noted(&world).await, [(String::from("token.read"), 2), (action.to_owned(), 0)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_before_a_vendor_is_asked_is_not_noted() {
    let world = world().await;
    let refreshes = || world.simulator.counts("baidu").unwrap().deed("refresh");
    for (address, body, status) in [
        (format!("{AUTHORIZER}/token/report-invalid"), json!({ "generation": 7 }), 200),
        (String::from("/v1/components/baidu/authorizers/404/token/report-invalid"), json!({ "generation": 1 }), 409),
        (String::from("/v1/components/alipay/token/refresh"), json!({}), 404),
        (String::from("/v1/components/alipay/token/report-invalid"), json!({ "generation": 1 }), 404),
    ] {
        let answer = post_as(&world, CALLER, &address, body).await;
        assert_eq!(answer.status, status, "{address}: {}", answer.text);
    }
    assert_eq!((noted(&world).await, refreshes()), (vec![(String::from("token.read"), 1)], 0), "the token that is held was handed out");

    assert_eq!(post_as(&world, CALLER, &format!("{AUTHORIZER}/token/refresh"), json!({})).await.status, 200);
    let expected = [("token.read", 1), ("token.read", 2), ("token.refresh", 0)].map(|(action, generation)| (action.to_owned(), generation));
    assert_eq!((noted(&world).await, refreshes()), (expected.to_vec(), 1));
    // Too soon after that one.
    for (path, body) in [("refresh", json!({})), ("report-invalid", json!({ "generation": 2 }))] {
        let answer = post_as(&world, CALLER, &format!("{AUTHORIZER}/token/{path}"), body).await;
        assert_eq!(answer.status, 429, "{}", answer.text);
    }
    assert_eq!((noted(&world).await, refreshes()), (expected.to_vec(), 1));
}
