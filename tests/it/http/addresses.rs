//! What holds for every address: one error body, ids, methods, limits, the operations room.

use reqwest::Method;
use serde_json::json;

use super::{ask, get, post, send};
use crate::world::{KEY, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_does_not_exist_is_not_found() {
    let world = World::new().await;
    for path in ["/", "/v1", "/v1/nothing", "/v1/events/", "/v2/events", "/assets/../yizhan.toml", "/%00", "/console"] {
        let answer = get(&world, path).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_an_address_does_not_have_is_told_which_it_has() {
    let world = World::new().await;
    for (method, path, allowed) in [
        (Method::POST, "/v1/events", "GET, HEAD"),
        (Method::DELETE, "/v1/replays", "POST"),
        (Method::PUT, "/v1/subscriptions/handler", "GET, HEAD, PATCH, DELETE"),
        (Method::PUT, "/callback/baidu/message", "GET, POST"),
        (Method::HEAD, "/authorize/baidu", "GET"),
        (Method::TRACE, "/healthz", "GET, HEAD"),
    ] {
        let answer = ask(&world, method.clone(), path).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allowed), "{method} {path}");
        if method != Method::HEAD {
            assert_eq!(answer.problem(), "method-not-allowed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_the_id_it_came_with_if_it_is_a_decent_one() {
    let world = World::new().await;
    let with_id = |id: &str| world.client.get(format!("{}/v1/nothing", world.base)).header("x-request-id", id);
    assert_eq!(send(with_id("order-17.a:b_c")).await.json()["request_id"], "order-17.a:b_c");
    for id in ["", "two words", "a\"b", "<script>", &"x".repeat(129), "caf\u{e9}"] {
        let answer = send(with_id(id)).await;
        assert!(answer.header("x-request-id").starts_with("req_"), "{id}: {}", answer.header("x-request-id"));
        answer.problem();
    }
    let (one, other) = (get(&world, "/healthz").await, get(&world, "/healthz").await);
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
    assert_eq!(one.header("x-content-type-options"), "nosniff");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_or_in_no_form_is_refused_by_its_name() {
    let world = World::new().await;
    let limit = world.app().config.server.max_body_bytes;
    let post = |body: Vec<u8>| send(world.client.post(format!("{}/v1/replays", world.base)).bearer_auth(KEY).body(body));
    let large = post(format!("{{\"subscription\":\"{}\"}}", "x".repeat(limit)).into_bytes()).await;
    assert_eq!((large.status, large.problem().as_str()), (413, "too-large"));
    for form in ["{", "[]", "nonsense", "{\"a\":\u{1}}"] {
        let answer = post(form.as_bytes().to_vec()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"), "{form}");
    }
    assert_eq!(post(vec![b'{', b'"', 0xff, b'"', b'}']).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_no_text_is_not_found() {
    let world = World::new().await;
    for path in ["/v1/components/%ff", "/v1/events/%ff%fe", "/callback/%ff/message", "/authorize/%ff"] {
        let answer = get(&world, path).await;
        assert!(answer.status == 404 || answer.status == 400, "{path}: {}", answer.status);
        assert!(!answer.text.contains("success"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operations_room_needs_no_key_and_names_the_part_that_fails() {
    let world = World::new().await;
    let open = |path: &str| send(world.client.get(format!("{}{path}", world.base)));
    assert_eq!(open("/healthz").await.status, 200);
    world.until("ready", async || (open("/readyz").await.status == 200).then_some(())).await;
    world.app().health.fails("disk", "it is full");
    let ready = open("/readyz").await;
    assert_eq!((ready.status, &ready.json()["disk"]), (503, &json!({ "ok": false, "detail": "it is full" })));
    assert_eq!(open("/healthz").await.status, 200, "alive all the same");
    world.app().health.works("disk");
    assert_eq!(open("/readyz").await.status, 200);

    post(&world, "/v1/replays", json!({})).await;
    let metrics = open("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain"));
    assert!(metrics.text.contains("yizhan_http_requests_total{route=\"/v1/replays\",status=\"422\"}"), "{}", metrics.text);
    get(&world, "/somewhere/over/the/rainbow").await;
    let metrics = open("/metrics").await.text;
    assert!(metrics.contains("route=\"unmatched\"") && !metrics.contains("rainbow"), "paths of strangers are no labels");
}
