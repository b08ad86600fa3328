//! What a provider notes about its merchants: rules, the store's record of it, and the addresses.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use yizhan::attributes::{AttributeShelf, Attributes, Change, ChangeError};
use yizhan::envelope::digest;

use crate::log::world::World as Log;
use crate::world::{KEY, Setting, World, answer};

fn attributes(tags: &[&str], variables: Value) -> Attributes {
    Attributes { tags: tags.iter().map(ToString::to_string).collect(), variables: variables.as_object().unwrap().clone() }
}

#[test]
fn what_may_be_noted() {
    let long = "长".repeat(65);
    let many: serde_json::Map<String, Value> = (0..129).map(|number| (format!("v{number}"), json!(1))).collect();
    for (given, bad) in [
        (attributes(&["gold", "华东 区"], json!({"shop": "小店", "a-b_1": [1], "店": {"x": null}})), &[][..]),
        (attributes(&["", " x", &long, "a\nb"], json!({})), &["tags", "tags", "tags", "tags"]),
        (attributes(&[], json!({"a.b": 1, "": 1, "a b": 1, long.as_str(): 1})), &["variables", "variables", "variables", "variables"]),
        (attributes(&[], Value::Object(many)), &["variables"]),
        (attributes(&[], json!({"x": "y".repeat(64 * 1024)})), &["variables"]),
    ] {
        let problems: Vec<String> = given.problems().into_iter().map(|(member, _)| member).collect();
        assert_eq!(problems, bad, "{:?}", given.tags);
    }
}

#[test]
fn a_merge_adds_takes_away_and_leaves_the_rest() {
    let before = attributes(&["gold", "old"], json!({"shop": "a", "city": "b"}));
    let merge = Change::Merge {
        add_tags: BTreeSet::from([String::from("new")]),
        remove_tags: BTreeSet::from([String::from("old")]),
        variables: json!({"shop": "c", "city": null, "x": 1}).as_object().unwrap().clone(),
    };
    assert_eq!(merge.apply(before.clone()), attributes(&["gold", "new"], json!({"shop": "c", "x": 1})));
    assert_eq!(Change::Replace(attributes(&["t"], json!({"a": null}))).apply(before), attributes(&["t"], json!({})));
}

#[tokio::test]
async fn they_are_kept_over_a_restart_and_listed_by_app_id() {
    let world = Log::new();
    let log = world.open();
    let noted = |number: u32| attributes(&["t"], json!({"n": number}));
    let all: Vec<_> = (0..5).map(|number| (format!("tt{number}"), Change::Replace(noted(number)))).collect();
    log.change("douyin", &all).await.unwrap();
    log.put("douyin2", "tt0", &noted(9)).await.unwrap();
    log.put("douyin", "tt3", &Attributes::default()).await.unwrap();
    drop(log);
    let log = world.open();
    assert_eq!(log.get("douyin", "tt4").await.unwrap(), noted(4));
    assert!(log.get("douyin", "tt3").await.unwrap().is_empty());
    let page = log.page("douyin", Some("tt0"), 2).await.unwrap();
    assert_eq!(page, [(String::from("tt1"), noted(1)), (String::from("tt2"), noted(2))]);
    assert_eq!(log.page("douyin", Some("tt2"), 9).await.unwrap(), [(String::from("tt4"), noted(4))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_are_all_kept() {
    let world = Log::new();
    let log = world.open();
    let changes = (0..12).map(|number| {
        let log = log.clone();
        let variables = json!({format!("v{number}"): number}).as_object().unwrap().clone();
        tokio::spawn(async move {
            let merge = Change::Merge { add_tags: BTreeSet::new(), remove_tags: BTreeSet::new(), variables };
            log.change("douyin", &[(String::from("tt1"), merge)]).await.unwrap();
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap();
    }
    assert_eq!(log.get("douyin", "tt1").await.unwrap().variables.len(), 12);
}

#[tokio::test]
async fn of_many_all_are_noted_or_none() {
    let world = Log::new();
    let log = world.open();
    let fits = (String::from("tt1"), Change::Replace(attributes(&["t"], json!({}))));
    let bad = (String::from("tt2"), Change::Replace(attributes(&[""], json!({"a b": 1}))));
    match log.change("douyin", &[fits.clone(), bad]).await {
        Err(ChangeError::Invalid(bad)) => {
            let bad: Vec<_> = bad.iter().map(|(whose, member, _)| (whose.as_str(), member.as_str())).collect();
            assert_eq!(bad, [("tt2", "tags"), ("tt2", "variables")]);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(log.change("douyin", &[fits.clone(), fits]).await, Err(ChangeError::Invalid(_))));
    assert!(log.page("douyin", None, 9).await.unwrap().is_empty());
}

async fn ask(world: &World, key: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
    answer(world.client.request(method, format!("{}{path}", world.base)).bearer_auth(key).body(body.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_merchants_is_filled_by_its_addresses() {
    let hash = hex::encode(digest::sha256(&[b"yzk_reader"]));
    let extra = format!("[[api_keys]]\nname = \"reader\"\nhash = \"sha256:{hash}\"\nscopes = [\"read\"]\n");
    let world = World::with(Setting { extra, ..Setting::default() }).await;
    let one = "/v1/components/douyin/authorizers/tt1/attributes";
    let (status, body) = ask(&world, KEY, Method::PUT, one, json!({"tags": ["gold"], "variables": {"shop": "小店"}})).await;
    assert_eq!((status, &body["tags"], &body["variables"]), (200, &json!(["gold"]), &json!({"shop": "小店"})), "{body}");
    let (_, body) = ask(&world, KEY, Method::PATCH, one, json!({"add_tags": ["east"], "variables": {"n": 2, "shop": null}})).await;
    assert_eq!(body, json!({"component": "douyin", "authorizer": "tt1", "tags": ["east", "gold"], "variables": {"n": 2}}));
    assert_eq!(ask(&world, "yzk_reader", Method::GET, one, json!({})).await.1, body);
    assert_eq!(ask(&world, "yzk_reader", Method::PUT, one, json!({})).await.0, 403);

    let many = "/v1/components/douyin/attributes";
    let items =
        json!({"mode": "merge", "items": [{"authorizer": "tt1", "tags": ["new"]}, {"authorizer": "tt2", "variables": {"shop": "b"}}]});
    assert_eq!(ask(&world, KEY, Method::POST, many, items).await, (200, json!({"changed": 2})));
    let (_, page) = world.get(&format!("{many}?limit=1")).await;
    assert_eq!(page["items"][0]["tags"], json!(["east", "gold", "new"]), "{page}");
    let (_, next) = world.get(&format!("{many}?cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((next["items"][0]["authorizer"].as_str(), next.get("next_cursor")), (Some("tt2"), None), "{next}");
    let (_, tagged) = world.get(&format!("{many}?tag=gold")).await;
    assert_eq!(tagged["items"].as_array().unwrap().len(), 1);
    let items = json!({"mode": "merge", "items": [{"authorizer": "tt2", "tags": ["new"]}]});
    ask(&world, KEY, Method::POST, many, items).await;
    let (_, first) = world.get(&format!("{many}?tag=new&limit=1")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = world.get(&format!("{many}?cursor={cursor}")).await;
    assert_eq!(second["items"][0]["authorizer"], "tt2", "the cursor carries the tag: {second}");
    let (status, other) = world.get(&format!("/v1/components/baidu/attributes?cursor={cursor}")).await;
    assert_eq!(status, 422, "a cursor of another component: {other}");

    let bad =
        json!({"mode": "x", "nope": 1, "items": [{"authorizer": "a b", "tags": 3}, {"authorizer": "tt1", "x": 1}, {"authorizer": "tt1"}]});
    let (status, body) = ask(&world, KEY, Method::POST, many, bad).await;
    let mut names: Vec<_> = body["parameters"].as_array().unwrap().iter().map(|bad| bad["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(status, 422);
    assert_eq!(names, ["items[0].authorizer", "items[0].tags", "items[1].x", "items[2].authorizer", "mode", "nope"]);
    let (status, body) = ask(&world, KEY, Method::POST, many, json!({"items": [{"authorizer": "tt9", "variables": {"a b": 1}}]})).await;
    assert_eq!((status, &body["parameters"][0]["name"]), (422, &json!("items[0].variables")), "{body}");
    for nobody in ["", " ", "a\u{0}b"] {
        let (status, body) = ask(&world, KEY, Method::POST, many, json!({"items": [{"authorizer": nobody, "tags": ["x"]}]})).await;
        assert_eq!((status, &body["parameters"][0]["name"]), (422, &json!("items[0].authorizer")), "{nobody:?}");
    }
    for path in ["/v1/components/nope/attributes", "/v1/components/douyin/authorizers/a%00b/attributes"] {
        assert_eq!(world.get(path).await.0, 404, "{path}");
    }
}

/// What is noted of one merchant may be 64 KiB; a page of five hundred of them would be 32 MB.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_merchants_of_whom_much_is_noted_ends_earlier() {
    let world = World::new().await;
    let many = "/v1/components/douyin/attributes";
    let merchants: Vec<_> = (0..140).map(|number| format!("tt{number:03}")).collect();
    for some in merchants.chunks(10) {
        let items: Vec<_> = some.iter().map(|app_id| json!({"authorizer": app_id, "variables": {"x": "y".repeat(60_000)}})).collect();
        assert_eq!(ask(&world, KEY, Method::POST, many, json!({"items": items})).await.0, 200);
    }
    let (mut seen, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let (_, page) = world.get(&format!("{many}?limit=500{cursor}")).await;
        assert!(page.to_string().len() < 7_000_000, "{} bytes", page.to_string().len());
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["authorizer"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((seen, pages), (merchants, 2));
}
