//! Words without measure: an app id, a component, an operation, a method, a parameter that is 60 KB long goes into no answer, log or audit as it is.

use std::sync::Mutex;

use actix_web::http::Method;
use serde_json::Value;
use yizhan::http::routes;

use super::lines::Written;
use crate::world::{KEY, Setting, World};

/// What the server's own parser lets through.
const LENGTH: usize = 60_000;

/// No answer that repeats it, or a line, is as long.
const SHORT: usize = 2_000;

fn endless() -> String {
    "a".repeat(LENGTH)
}

/// Every address in which that is named, with that in its place, and everything else as it may be.
fn addresses(named: &str, word: &str) -> Vec<(Method, String)> {
    let found = Mutex::new(Vec::new());
    routes::every(&mut |path, entries| {
        if path.contains(named) {
            let path = path.replace(named, word).replace("{component}", "douyin").replace("{authorizer}", "tt1");
            let path = path
                .replace("{operation}", "package.list")
                .replace("{path:.*}", "api/apps/v1/x")
                .replace("{anything:.*}", "x")
                .replace("{state}", "x");
            assert!(!path.contains('{'), "{path:.200}");
            found.lock().unwrap().extend(entries.iter().flat_map(|entry| entry.methods).map(|method| (method.clone(), path.clone())));
        }
    });
    found.into_inner().unwrap()
}

async fn ask(world: &World, method: &Method, path: &str, key: Option<&str>) -> (u16, String) {
    let method = reqwest::Method::from_bytes(method.as_str().as_bytes()).unwrap();
    let mut request = world.client.request(method, format!("{}{path}", world.base)).header("content-type", "application/json").body("{}");
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The log of everything, in a process of its own; where another test was first, nothing.
fn log() -> Written {
    let log = Written::default();
    let _ = tracing::subscriber::set_global_default(log.subscriber("info"));
    log
}

fn all_lines_are_short(log: &Written) {
    for line in log.text().lines() {
        assert!(line.len() < SHORT, "{} bytes: {line:.300}", line.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_takes_an_app_id_that_cannot_be_one() {
    let log = log();
    let world = World::new().await;
    world.simulator.ticket("douyin").await.unwrap();
    let all = addresses("{authorizer}", &endless());
    assert!(all.len() > 10, "{all:?}");
    for (method, path) in &all {
        let short: String = path.chars().filter(|c| *c != 'a').collect();
        let (status, answer) = ask(&world, method, path, Some(KEY)).await;
        assert_eq!(status, 404, "{method} {short}: {answer:.300}");
        assert!(answer.len() < SHORT, "{method} {short}: {} bytes", answer.len());
        assert!(method.as_str() == "HEAD" || answer.contains("there is no authorizer `aaaa"), "{method} {short}: {answer:.300}");
        assert_eq!(ask(&world, method, path, None).await.0, 401, "{method} {short}: before anything else");
    }
    // As long as one may be, it is asked for.
    let (status, _) = ask(&world, &Method::GET, &format!("/v1/components/douyin/authorizers/{}/token", "a".repeat(128)), Some(KEY)).await;
    assert_eq!(status, 409);
    for odd in ["a%20b", "a%00b", "a%0ab", &"a".repeat(129)] {
        let (status, answer) = ask(&world, &Method::GET, &format!("/v1/components/douyin/authorizers/{odd}/token"), Some(KEY)).await;
        assert_eq!(status, 404, "{odd}: {answer}");
    }
    world.app().audit.flush().await;
    let (_, audit) = world.get("/v1/audit").await;
    assert_eq!(audit["items"], Value::Array(Vec::new()), "nobody's token was asked for");
    all_lines_are_short(&log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_in_the_place_of_a_component_is_hardly_repeated() {
    let log = log();
    let world = World::with(Setting { server: String::from("trusted_proxies = []"), ..Setting::default() }).await;
    for (method, path) in addresses("{component}", &endless()) {
        let short: String = path.chars().filter(|c| *c != 'a').collect();
        for key in [None, Some("yzk_wrong"), Some(KEY)] {
            let (status, answer) = ask(&world, &method, &path, key).await;
            assert!((400..500).contains(&status), "{method} {short}: {status} {answer:.300}");
            assert!(answer.len() < 5 * SHORT, "{method} {short}: {} bytes", answer.len());
        }
    }
    world.app().audit.flush().await;
    assert_eq!(world.get("/v1/audit").await.1["items"], Value::Array(Vec::new()));
    all_lines_are_short(&log);
    let text = log.text();
    assert!(text.is_empty() || (text.contains("request refused") && !text.contains("component=\"aaaa")), "{text:.2000}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_words_of_a_path_or_a_query_are_cut() {
    let log = log();
    let world = World::new().await;
    let endless = endless();
    let mut paths = vec![
        (Method::POST, format!("/v1/components/douyin/operations/{endless}")),
        (Method::GET, format!("/v1/components?{endless}=1")),
        (Method::GET, format!("/v1/operations?component={endless}")),
        (Method::GET, format!("/v1/operations?platform={endless}")),
        (Method::GET, format!("/problems/{endless}")),
        (Method::from_bytes("A".repeat(LENGTH).as_bytes()).unwrap(), String::from("/v1/components")),
    ];
    for id in ["{id}", "{name}"] {
        paths.extend(addresses(id, &endless));
    }
    for (method, path) in paths {
        let short: String = path.chars().filter(|c| *c != 'a').collect();
        let (status, answer) = ask(&world, &method, &path, Some(KEY)).await;
        assert!((400..500).contains(&status), "{method:.20} {short}: {status} {answer:.300}");
        assert!(answer.len() < SHORT, "{method:.20} {short}: {} bytes, {answer:.300}", answer.len());
    }
    all_lines_are_short(&log);
}

#[test]
fn what_is_cut_ends_between_characters() {
    use yizhan::http::problem::{Problem, shortened};
    assert_eq!(shortened(""), "");
    assert_eq!(shortened(&"字".repeat(128)), "字".repeat(128));
    assert_eq!(shortened(&"字".repeat(129)), format!("{}…", "字".repeat(128)));
    let problem = Problem::invalid(&[("字".repeat(500), String::from("is not a parameter of this address"))]);
    assert!(problem.detail().chars().count() < 200 && problem.member("parameters").unwrap().to_string().chars().count() < 250);
}
