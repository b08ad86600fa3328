//! Tokens and tickets, as other services fetch them.

use serde_json::json;
use yizhan::clock::Clock;
use yizhan::platform;

use super::{get, get_as, items, post, send, world_with_keys};
use crate::world::{KEY, World};

const MERCHANTS: [(&str, &str); 4] =
    [("baidu", "1452365"), ("douyin", "tt0123456789abcdef"), ("kuaishou", "ks700000000000000001"), ("alipay", "2021000000000003")];

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_the_contracts_members_and_a_tag_that_tells_nothing_of_it() {
    let world = World::new().await;
    for (platform, merchant) in MERCHANTS {
        world.granted(platform, merchant).await;
        let path = format!("/v1/components/{platform}/authorizers/{merchant}/token");
        let answer = get(&world, &path).await;
        let body = answer.json();
        let members: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["access_token", "generation", "expires_at", "expires_in", "component", "authorizer"]);
        let generation = body["generation"].as_u64().unwrap();
        let tag = answer.header("etag").to_owned();
        assert!(tag.starts_with(&format!("\"{generation}-")), "{tag}");
        assert!(answer.header("cache-control").starts_with("private, max-age="));
        assert_eq!(answer.header("vary"), "Authorization");

        for given in [tag.clone(), format!("W/{tag}"), format!("\"0-x\", {tag}"), String::from("*")] {
            let request = world.client.get(format!("{}{path}", world.base)).bearer_auth(KEY).header("if-none-match", &given);
            let held = send(request).await;
            assert_eq!((held.status, held.text.as_str(), held.header("etag")), (304, "", tag.as_str()), "{given}");
        }
        let request = world.client.get(format!("{}{path}", world.base)).bearer_auth(KEY).header("if-none-match", "\"0-x\"");
        assert_eq!(send(request).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_question_takes_a_short_way_and_is_answered_as_any_other() {
    let world = World::new().await;
    let ask = async |path: &str, id: &str| {
        let request = world.client.get(format!("{}{path}", world.base)).bearer_auth(KEY).header("x-request-id", id);
        let answer = send(request).await;
        let mut body = answer.json();
        // They may be asked in different seconds.
        body.as_object_mut().unwrap().remove("expires_in");
        let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        let told = ["etag", "vary", "content-type", "x-content-type-options", "x-request-id"].map(|name| answer.header(name).to_owned());
        (answer.status, body, names, told)
    };
    for (platform, merchant) in MERCHANTS {
        world.granted(platform, merchant).await;
        let of_merchant = format!("/v1/components/{platform}/authorizers/{merchant}/token");
        let of_component = format!("/v1/components/{platform}/token");
        for path in [of_merchant, of_component] {
            let plain = ask(&path, "req-7.a:b").await;
            let encoded = path.replace("token", "%74oken");
            for other in [format!("{path}?min_ttl=0"), format!("{path}?family=current"), format!("{path}?"), encoded] {
                assert_eq!(ask(&other, "req-7.a:b").await, plain, "{other}");
            }
        }
    }
    let path = "/v1/components/baidu/authorizers/1452365/token";
    let given = async |id: &str| ask(path, id).await.3.last().cloned().unwrap();
    assert_eq!(given("mine").await, "mine");
    let (first, second) = (given("not sane").await, given("not sane").await);
    assert!(first.starts_with("req_") && second.starts_with("req_") && first != second, "{first} {second}");
    for odd in ["/v1/components/baidu/authorizers/1452365/token/", "/v1/components/baidu/authorizers//token", "/v1/components//token"] {
        assert_eq!(get(&world, odd).await.status, 404, "{odd}");
    }
    for key in ["", "yzk_wrong"] {
        assert_eq!(get_as(&world, key, path).await.problem(), "unauthenticated");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_without_a_ticket_says_what_is_missing() {
    let world = World::new().await;
    // Kuaishou is asked for its first ticket at once.
    for platform in ["baidu", "douyin"] {
        for path in [format!("/v1/components/{platform}/token"), format!("/v1/components/{platform}/ticket")] {
            let answer = get(&world, &path).await;
            assert_eq!((answer.status, answer.problem().as_str()), (503, "no-ticket"), "{path}");
            assert!(!answer.header("retry-after").is_empty() && answer.json()["hint"].is_string(), "{}", answer.text);
        }
    }
    for path in ["/v1/components/alipay/token", "/v1/components/alipay/ticket"] {
        let answer = get(&world, path).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-applicable"), "{path}");
    }
    for path in
        ["/v1/components/nobody/token", "/v1/components/nobody/ticket", "/v1/components/nobody", "/v1/components/nobody/authorizers"]
    {
        assert_eq!(get(&world, path).await.problem(), "not-found", "{path}");
    }
    let unknown = get(&world, "/v1/components/douyin/authorizers/tt404/token").await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (409, "not-authorized"));
    assert_eq!(get(&world, "/v1/components/douyin/authorizers/tt404").await.problem(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_that_a_platform_does_not_keep_is_refused() {
    let world = World::new().await;
    for (platform, merchant) in MERCHANTS {
        world.granted(platform, merchant).await;
        let path = format!("/v1/components/{platform}/authorizers/{merchant}/token");
        let answer = get(&world, &format!("{path}?family=v1")).await;
        if platform == "douyin" {
            let current = get(&world, &format!("{path}?family=current")).await;
            assert_eq!((answer.status, current.status), (200, 200), "{}", answer.text);
            assert_ne!(answer.json()["access_token"], current.json()["access_token"]);
            assert_ne!(answer.header("etag"), current.header("etag"));
        } else {
            assert_eq!(answer.bad(), ["family"], "{platform}");
        }
        assert_eq!(get(&world, &format!("{path}?family=v9")).await.bad(), ["family"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_of_a_token_are_named() {
    let world = World::new().await;
    world.granted("douyin", "tt0123456789abcdef").await;
    let path = "/v1/components/douyin/authorizers/tt0123456789abcdef/token";
    assert_eq!(get(&world, &format!("{path}?min_ttl=soon&wait=1&colour=red")).await.bad(), ["min_ttl", "wait", "colour"]);
    assert_eq!(get(&world, &format!("{path}?min_ttl=99999999999")).await.bad(), ["min_ttl"]);
    assert_eq!(post(&world, &format!("{path}/report-invalid"), json!({})).await.bad(), ["generation"]);
    assert_eq!(post(&world, &format!("{path}/report-invalid"), json!({ "generation": "1", "why": 1 })).await.bad(), ["generation", "why"]);
    assert_eq!(post(&world, &format!("{path}/refresh"), json!({ "now": true })).await.bad(), ["now"]);
    assert_eq!(post(&world, &format!("{path}/refresh"), json!({ "give_up_answer": 1 })).await.bad(), ["give_up_answer"]);
    // Only what spends something keeps an answer.
    let of_component = post(&world, "/v1/components/douyin/token/refresh", json!({ "give_up_answer": true })).await;
    assert_eq!(of_component.bad(), ["give_up_answer"]);
    let renewed = post(&world, &format!("{path}/refresh"), json!({ "give_up_answer": true })).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_report_of_an_old_generation_renews_nothing() {
    let world = World::new().await;
    let token = world.granted("douyin", "tt0123456789abcdef").await;
    let path = "/v1/components/douyin/authorizers/tt0123456789abcdef/token";
    let generation = token["generation"].as_u64().unwrap();
    let newer = post(&world, &format!("{path}/report-invalid"), json!({ "generation": generation })).await.json();
    assert!(newer["generation"].as_u64().unwrap() > generation);
    let refreshes = world.simulator.counts("douyin").unwrap();
    let late = post(&world, &format!("{path}/report-invalid"), json!({ "generation": generation })).await.json();
    assert_eq!((&late["generation"], &late["access_token"]), (&newer["generation"], &newer["access_token"]));
    assert_eq!(format!("{refreshes:?}"), format!("{:?}", world.simulator.counts("douyin").unwrap()), "the vendor heard nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_is_answered_as_soon_as_there_is_a_newer_token() {
    let world = World::new().await;
    let token = world.granted("douyin", "tt0123456789abcdef").await;
    let path = "/v1/components/douyin/authorizers/tt0123456789abcdef/token";
    let generation = token["generation"].as_u64().unwrap();
    let poll = format!("{path}?after_generation={generation}&wait=30");
    let renew = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        post(&world, &format!("{path}/refresh"), json!({})).await
    };
    let (polled, refreshed) = tokio::join!(get(&world, &poll), renew);
    assert_eq!((polled.status, refreshed.status), (200, 200), "{} {}", polled.text, refreshed.text);
    assert_eq!(polled.json()["generation"], refreshed.json()["generation"]);
    assert!(polled.json()["generation"].as_u64().unwrap() > generation);
    let again = post(&world, &format!("{path}/refresh"), json!({})).await;
    assert_eq!((again.status, again.problem().as_str()), (429, "rate-limited"));
    assert!(!again.header("retry-after").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_ends_with_the_current_token_when_the_service_stops() {
    let mut world = World::new().await;
    let token = world.granted("douyin", "tt0123456789abcdef").await;
    let path = "/v1/components/douyin/authorizers/tt0123456789abcdef/token?after_generation=99&wait=47";
    let request = world.client.get(format!("{}{path}", world.base)).bearer_auth(KEY);
    let poll = tokio::spawn(send(request));
    let until = world.clock.now() + jiff::SignedDuration::from_secs(47);
    world.until("somebody polls", async || world.clock.is_awaited(until).then_some(())).await;
    let began = std::time::Instant::now();
    world.down().await;
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "an open poll holds nobody up");
    let polled = poll.await.unwrap();
    assert_eq!((polled.status, &polled.json()["access_token"]), (200, &token["access_token"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_is_in_the_audit_log_without_the_token() {
    let world = world_with_keys(&[("orders", &["tokens:read@douyin", "tickets:read"]), ("auditor", &["audit:read@baidu"])]).await;
    let merchant = "tt0123456789abcdef";
    world.granted("douyin", merchant).await;
    world.simulator.ticket("baidu").await.unwrap();
    let path = format!("/v1/components/douyin/authorizers/{merchant}/token");
    let mut token = String::new();
    for _ in 0..3 {
        token = get_as(&world, "yzk_orders", &path).await.json()["access_token"].as_str().unwrap().to_owned();
    }
    assert_eq!(get_as(&world, "yzk_orders", "/v1/components/baidu/ticket").await.status, 200);
    let read = world.until("the reads are written", async || {
        world.advance(std::time::Duration::from_secs(30));
        let answer = get(&world, "/v1/audit").await;
        assert!(!answer.text.contains(&token), "the token is in the audit log");
        let of_orders: Vec<_> = items(&answer).into_iter().filter(|read| read["key"] == "orders").collect();
        (of_orders.len() == 2).then_some(of_orders)
    });
    let read = read.await;
    let of_token = read.iter().find(|read| read["action"] == "token.read").unwrap();
    assert_eq!((&of_token["count"], &of_token["authorizer"], &of_token["remote"]), (&json!(3), &json!(merchant), &json!("127.0.0.1")));
    assert!(read.iter().any(|read| read["action"] == "ticket.read" && read["component"] == "baidu"));
    let seen = items(&get_as(&world, "yzk_auditor", "/v1/audit").await);
    assert!(!seen.is_empty() && seen.iter().all(|read| read["component"] == "baidu"), "{seen:?}");
    assert_eq!(items(&get_as(&world, "yzk_auditor", "/v1/audit?component=douyin").await).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn components_and_authorizers_show_their_state_and_no_secret() {
    let world = World::new().await;
    let mut secrets = Vec::new();
    for (platform, merchant) in MERCHANTS {
        let token = world.granted(platform, merchant).await;
        secrets.push(token["access_token"].as_str().unwrap().to_owned());
    }
    let list = get(&world, "/v1/components").await;
    assert_eq!(items(&list).len(), platform::ALL.len());
    for component in items(&list) {
        let name = component["name"].as_str().unwrap();
        assert_eq!(component["authorizers"], json!({ "pending": 0, "granted": 1, "revoked": 0 }), "{name}");
        assert_eq!(component["ticket"].is_null(), name == "alipay", "{name}: {component}");
        let authorizers = get(&world, &format!("/v1/components/{name}/authorizers")).await;
        let one = &items(&authorizers)[0];
        assert_eq!((&one["state"], &one["component"]), (&json!("granted"), &json!(name)));
        let alone = get(&world, &format!("/v1/components/{name}/authorizers/{}", one["app_id"].as_str().unwrap())).await;
        assert_eq!(alone.json()["app_id"], one["app_id"]);
        for text in [&list.text, &authorizers.text, &alone.text] {
            assert!(secrets.iter().all(|secret| !text.contains(secret)), "{name}: {text}");
        }
    }
}
