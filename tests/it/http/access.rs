//! Who may do what.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ask, failed_audit, get, get_as, items, post, post_as, send, world_with_keys};
use crate::log::world::arrival;
use crate::world::{KEY, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_address_of_the_service_api_needs_a_key() {
    let world = World::new().await;
    let read = [
        "/v1/components",
        "/v1/components/baidu",
        "/v1/components/baidu/ticket",
        "/v1/components/baidu/token",
        "/v1/components/baidu/authorizers",
        "/v1/components/baidu/authorizers/a",
        "/v1/components/baidu/authorizers/a/token",
        "/v1/events",
        "/v1/events/stream",
        "/v1/events/evt_1",
        "/v1/replays/rpl_1",
        "/v1/deliveries",
        "/v1/deliveries/dlv_1",
        "/v1/subscriptions",
        "/v1/subscriptions/handler",
        "/v1/rejected",
        "/v1/audit",
    ];
    let write = [
        "/v1/components/baidu/token/refresh",
        "/v1/components/baidu/token/report-invalid",
        "/v1/components/baidu/authorizations",
        "/v1/events/evt_1/replay",
        "/v1/components/baidu/authorizers/a/token/refresh",
        "/v1/replays",
        "/v1/replays/rpl_1/cancel",
        "/v1/deliveries/dlv_1/retry",
        "/v1/subscriptions",
        "/v1/subscriptions/handler/pause",
        "/v1/subscriptions/handler/rotate-secret",
        "/v1/rejected/reprocess",
    ];
    let calls = read.into_iter().map(|path| (Method::GET, path)).chain(write.into_iter().map(|path| (Method::POST, path)));
    for (method, path) in calls {
        let answer = send(world.client.request(method, format!("{}{path}", world.base))).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"), "{path}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_only_do_what_its_scopes_say() {
    let world = world_with_keys(&[("reader", &["read"])]).await;
    assert_eq!(get_as(&world, "yzk_reader", "/v1/components").await.status, 200);
    for path in
        ["/v1/components/baidu/token", "/v1/components/baidu/ticket", "/v1/events", "/v1/subscriptions", "/v1/audit", "/v1/rejected"]
    {
        let answer = get_as(&world, "yzk_reader", path).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{path}");
    }
    let answer = post_as(&world, "yzk_reader", "/v1/components/baidu/token/refresh", json!({})).await;
    assert_eq!(answer.status, 403);
    assert!(answer.json()["detail"].as_str().unwrap().contains("tokens:force@baidu"), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_key_sees_its_component_and_nothing_of_the_others() {
    let keys: &[&str] =
        &["read@douyin", "events:read@douyin", "events:replay@douyin", "audit:read@douyin", "tokens:read@douyin", "tickets:read@douyin"];
    let world = world_with_keys(&[("narrow", keys), ("two", &["events:read@douyin", "events:read@alipay"])]).await;
    for platform in ["baidu", "douyin"] {
        world.simulator.ticket(platform).await.unwrap();
        failed_audit(&world, platform, "a reason").await;
        assert_eq!(get(&world, &format!("/v1/components/{platform}/ticket")).await.status, 200);
    }
    failed_audit(&world, "alipay", "a reason").await;
    let narrow = async |path: &str| get_as(&world, "yzk_narrow", path).await;

    let components = items(&narrow("/v1/components").await);
    assert_eq!(components.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(), ["douyin"]);
    assert_eq!(narrow("/v1/components/baidu").await.status, 403);
    assert_eq!(narrow("/v1/components/nowhere").await.status, 403);
    assert_eq!(narrow("/v1/components/douyin/ticket").await.status, 200);
    assert_eq!(narrow("/v1/components/baidu/ticket").await.status, 403);

    let seen = items(&narrow("/v1/events").await);
    assert!(!seen.is_empty() && seen.iter().all(|event| event["source"] == "/components/douyin"));
    assert_eq!(items(&narrow("/v1/events?component=baidu").await).len(), 0);
    let seen = items(&get_as(&world, "yzk_two", "/v1/events?limit=1").await);
    assert_eq!(seen.len(), 1);
    let both = items(&get_as(&world, "yzk_two", "/v1/events").await);
    assert_eq!(both.len(), 3);
    assert!(both.iter().all(|event| event["source"] != "/components/baidu"));

    let foreign = items(&get(&world, "/v1/events?component=baidu&type=audit.*").await)[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(narrow(&format!("/v1/events/{foreign}")).await.problem(), "not-found");
    assert_eq!(post_as(&world, "yzk_narrow", &format!("/v1/events/{foreign}/replay"), json!({})).await.problem(), "not-found");
    let delivery = items(&get(&world, &format!("/v1/deliveries?event={foreign}")).await)[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(get(&world, &format!("/v1/deliveries/{delivery}")).await.status, 200);
    assert_eq!(narrow(&format!("/v1/deliveries/{delivery}")).await.problem(), "not-found");
    assert_eq!(items(&narrow(&format!("/v1/deliveries?event={foreign}")).await).len(), 0);

    let everything = post_as(&world, "yzk_narrow", "/v1/replays", json!({ "filter": {}, "dry_run": true })).await;
    assert_eq!(everything.json()["matched"], 2, "its own two events: {}", everything.text);
    let other = post_as(&world, "yzk_narrow", "/v1/replays", json!({ "filter": { "component": "baidu" }, "dry_run": true })).await;
    assert_eq!(other.problem(), "forbidden");
    let all = post_as(&world, "yzk_narrow", "/v1/replays", json!({ "filter": { "component": "*" }, "dry_run": true })).await;
    assert_eq!(all.problem(), "forbidden");
    assert_eq!(narrow("/v1/subscriptions").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_tries_key_after_key_is_damped_and_a_right_key_is_not() {
    let world = World::new().await;
    for number in 0..20 {
        assert_eq!(get_as(&world, &format!("yzk_guess{number}"), "/v1/events").await.status, 401, "{number}");
    }
    let damped = get_as(&world, "yzk_guess", "/v1/events").await;
    assert_eq!((damped.status, damped.problem().as_str(), damped.header("retry-after")), (429, "rate-limited", "60"));
    assert_eq!(get(&world, "/v1/events").await.status, 200);
    world.advance(std::time::Duration::from_secs(61));
    assert_eq!(get_as(&world, "yzk_guess", "/v1/events").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_read_from_the_authorization_header_in_the_usual_forms_only() {
    let world = World::new().await;
    let with = |value: String| world.client.get(format!("{}/v1/components", world.base)).header("authorization", value);
    assert_eq!(send(with(format!("bearer   {KEY}"))).await.status, 200);
    for value in [KEY.to_owned(), format!("Basic {KEY}"), String::from("Bearer"), String::from("Bearer "), format!("Bearer {KEY}x")] {
        assert_eq!(send(with(value.clone())).await.status, 401, "{value}");
    }
    let answer = send(world.client.get(format!("{}/v1/components?key={KEY}", world.base))).await;
    assert_eq!(answer.status, 401, "never from the query string");
    assert_eq!(ask(&world, Method::HEAD, "/v1/components").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_key_cannot_tell_what_is_anothers_from_what_is_not_there() {
    let keys: &[&str] = &["events:read@douyin", "events:replay@douyin", "playbooks:write@douyin"];
    let world = world_with_keys(&[("narrow", keys)]).await;
    failed_audit(&world, "baidu", "a reason").await;
    let event = items(&get(&world, "/v1/events").await)[0]["id"].as_str().unwrap().to_owned();
    let steps = json!([{"operation": "package.list"}]);
    let body = json!({"name": "theirs", "on": "audit.failed", "components": ["baidu"], "steps": steps.clone()});
    assert_eq!(post(&world, "/v1/playbooks", body).await.status, 201);
    for component in ["baidu", "douyin"] {
        let push = send(world.client.post(format!("{}/callback/{component}/message", world.base)).body("no push")).await;
        assert!((400..500).contains(&push.status), "{}", push.status);
    }
    // They are kept after they were answered.
    let both = async || Some(items(&get(&world, "/v1/rejected").await)).filter(|refused| refused.len() == 2);
    let refused = world.until("both", both).await;
    let refused_of = |name: &str| refused.iter().find(|one| one["component"] == name).map(|one| one["id"].clone()).unwrap();
    let ask = async |method: Method, path: &str, body: Value| {
        let request = world.client.request(method, format!("{}{path}", world.base)).bearer_auth("yzk_narrow");
        let answer = send(request.body(body.to_string())).await;
        let mut told = answer.json();
        told.as_object_mut().unwrap().shift_remove("request_id");
        (answer.status, told.to_string())
    };

    for method in [Method::GET, Method::DELETE] {
        let (theirs, nobodys) =
            (ask(method.clone(), "/v1/playbooks/theirs", json!({})), ask(method.clone(), "/v1/playbooks/others", json!({})));
        let (theirs, nobodys) = (theirs.await, nobodys.await);
        assert_eq!((theirs.0, theirs.1.replace("theirs", "others")), nobodys, "{method}");
        assert_eq!(nobodys.0, 404);
    }
    let mine = json!({"on": "audit.failed", "components": ["douyin"], "steps": steps});
    let (status, told) = ask(Method::PUT, "/v1/playbooks/theirs", mine).await;
    assert!(status == 409 && told.contains("there is a playbook of that name already") && !told.contains("baidu"), "{told}");
    assert_eq!(get(&world, "/v1/playbooks/theirs").await.json()["components"], json!(["baidu"]));

    let all = "/v1/rejected/reprocess";
    let (theirs, nobodys) =
        (ask(Method::POST, all, json!({"component": "baidu"})).await, ask(Method::POST, all, json!({"component": "other"})).await);
    assert_eq!((theirs.0, theirs.1.replace("baidu", "other")), nobodys);
    assert_eq!(nobodys.0, 403);
    for ids in [json!([refused_of("baidu")]), json!(["rej_00000000000000000000000000000000"])] {
        assert_eq!(ask(Method::POST, all, json!({"ids": ids})).await, (200, json!({"accepted": 0, "still_refused": 1}).to_string()));
    }
    let both = json!({"ids": [refused_of("douyin"), refused_of("baidu")]});
    assert_eq!(ask(Method::POST, all, both).await, (200, json!({"accepted": 0, "still_refused": 2}).to_string()));

    let greeting = async |last_seen: &str| {
        let request = world.client.get(format!("{}/v1/events/stream", world.base)).bearer_auth("yzk_narrow");
        let mut response = request.header("last-event-id", last_seen).send().await.unwrap();
        String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap()
    };
    // Of the same moment, but nobody's.
    let nobodys = format!("{}{}", &event[..event.len() - 4], if event.ends_with("0000") { "0001" } else { "0000" });
    let unknown = greeting(&nobodys).await;
    assert!(unknown.contains("not known here"), "{unknown}");
    assert_eq!(greeting(&event).await, unknown);
}

/// More events of another component than are looked at for one page of a narrowed list, all of which hold the word.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_page_ends_tells_a_narrowed_key_nothing_of_what_others_events_hold() {
    let world = world_with_keys(&[("narrow", &["events:read@baidu"]), ("two", &["events:read@baidu", "events:read@alipay"])]).await;
    let app = world.app();
    for number in 0..11 {
        let told = |other: i32| app.log.accept(arrival(&format!("the word {number} {other}"), Some("tt1"), app.clock.now(), &[]));
        assert!(join_all((0..500).map(told)).await.iter().all(Result::is_ok));
    }
    assert_eq!(items(&get(&world, "/v1/events?q=word&limit=1").await).len(), 1);
    for (key, asked) in [("narrow", "component=douyin"), ("narrow", "component=*"), ("two", "component=douyin"), ("two", "type=*")] {
        let page = async |q: &str| get_as(&world, &format!("yzk_{key}"), &format!("/v1/events?{asked}&limit=1&q={q}")).await.json();
        assert_eq!(page("word").await, page("nothing").await, "{key} {asked}");
    }
}
