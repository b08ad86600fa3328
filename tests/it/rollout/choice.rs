//! For whom a rollout is, and what its dry run says of everybody else.

use std::sync::Arc;

use serde_json::{Value, json};
use yizhan::rollout::record::Spec;

use super::crash::{Fate, OPTIONS, Process, World as Disk, spec};
use super::stories::Deployment;
use yizhan::rollout::Rollouts;

async fn note(deployment: &Deployment, shop: &str, tags: &[&str], variables: Value) {
    let world = &deployment.world;
    let address = format!("{}/v1/components/{}/authorizers/{shop}/attributes", world.base, deployment.platform);
    let body = json!({"tags": tags, "variables": variables}).to_string();
    let put = world.client.put(address).bearer_auth(crate::world::KEY).header("content-type", "application/json").body(body);
    let (status, answer) = crate::world::answer(put).await;
    assert_eq!(status, 200, "{answer}");
}

async fn preview(deployment: &Deployment, more: Value) -> Value {
    let (status, answer) = deployment.world.post("/v1/rollouts", deployment.body(more)).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn partakers(preview: &Value) -> Vec<&str> {
    let items = preview["items"].as_array().unwrap().iter();
    items.filter(|item| item["stage"] == "queued").map(|item| item["authorizer"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn merchants_are_chosen_by_tag_and_by_the_version_that_they_have() {
    let deployment = Deployment::of("kuaishou").await;
    let [first, second, third] = deployment.shops;
    note(&deployment, first, &["north", "tea"], json!({})).await;
    note(&deployment, third, &["tea"], json!({})).await;
    let by_tag = preview(&deployment, json!({"authorizers": {"tag": "tea"}, "dry_run": true})).await;
    assert_eq!((partakers(&by_tag), &by_tag["total"]), (vec![first, third], &json!(2)));
    assert_eq!(preview(&deployment, json!({"authorizers": {"tag": "coffee"}, "dry_run": true})).await["total"], 0);

    deployment.release("1.0.0", &[second, third]).await;
    let by_version = preview(&deployment, json!({"authorizers": {"version": "1.0.0"}, "dry_run": true})).await;
    assert_eq!((partakers(&by_version), &by_version["total"]), (vec![second, third], &json!(2)), "{by_version}");

    // What the preview said is what happens.
    let id = deployment.begin(json!({"authorizers": {"version": "1.0.0"}, "until": "uploaded"})).await;
    let done = deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!((&done["counts"]["uploaded"], &done["total"]), (&json!(2), &json!(2)));
    // Released before, and not by what this rollout is for: nobody is chosen for a version that nobody has.
    assert_eq!(preview(&deployment, json!({"authorizers": {"version": "0.9"}, "dry_run": true})).await["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_every_missing_variable_of_every_merchant() {
    let deployment = Deployment::of("douyin").await;
    let [whole, lacks_one, lacks_all] = deployment.shops;
    note(&deployment, whole, &[], json!({"shop": "茶马驿站", "phone": "0871-0000"})).await;
    note(&deployment, lacks_one, &[], json!({"shop": "桥头店"})).await;
    let asked = json!({
        "description": "为${variables.shop}更新", "variables": {"contact": "${variables.phone}", "place": "${variables.shop}/${authorizer}"},
        "dry_run": true,
    });
    let told = preview(&deployment, asked.clone()).await;
    let reason = |shop: &str| {
        let items = told["items"].as_array().unwrap();
        items.iter().find(|item| item["authorizer"] == shop).unwrap()["reason"].clone()
    };
    assert_eq!(reason(whole), Value::Null);
    assert_eq!(reason(lacks_one), "has no value for variables.phone");
    assert_eq!(reason(lacks_all), "has no value for variables.phone, variables.shop");
    assert_eq!((&told["taking_part"], &told["skipped"]), (&json!(1), &json!(2)));

    // Begun all the same, the others are skipped with those words, and nobody's package has a gap in it.
    let mut body = asked;
    body["dry_run"] = json!(false);
    body["until"] = json!("uploaded");
    let id = deployment.begin(body).await;
    let done = deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!((&done["counts"]["uploaded"], &done["skipped"], &done["skips"][0]["count"]), (&json!(1), &json!(2), &json!(1)), "{done}");
    assert_eq!(deployment.item(&id, lacks_all).await["reason"], "has no value for variables.phone, variables.shop");
}

#[tokio::test]
async fn a_merchant_who_did_not_grant_development_takes_no_part_where_the_grant_tells() {
    for (platform, told) in [("douyin", true), ("kuaishou", true), ("baidu", false), ("alipay", false)] {
        let disk = Arc::new(Disk::default());
        disk.narrow.lock().unwrap().insert(String::from("shop-2"));
        let process = Arc::new(Process { world: disk, fate: Fate::after(usize::MAX), platform });
        let rollouts = Rollouts::open(process.clone(), process.clone(), process.clone(), process.clone(), OPTIONS).await.unwrap();
        let planned = rollouts.plan(&Spec { ..spec() }).await.unwrap();
        assert_eq!(planned[0].skip, None, "{platform}: nothing is known of its permissions");
        assert_eq!(planned[1].skip.as_deref(), told.then_some("permission 1 (开发管理权限) is not granted"), "{platform}");
    }
}

/// A few kilobytes of placeholders, of which a dry run says something for each merchant, and a rollout keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_the_first_of_thousands_of_missing_variables_and_mistakes() {
    let deployment = Deployment::of("douyin").await;
    let gaps: String = (0..3_000).map(|number| format!("${{variables.m{number}}}")).collect();
    for (text, begins) in [(gaps, "has no value for variables.m0, "), ("${!}".repeat(10_000), "ext")] {
        let told = preview(&deployment, json!({"variables": {"ext": {"title": text}}, "dry_run": true})).await;
        assert_eq!((&told["taking_part"], &told["skipped"]), (&json!(0), &json!(3)));
        for item in told["items"].as_array().unwrap() {
            let reason = item["reason"].as_str().unwrap();
            assert!(reason.starts_with(begins) && reason.len() < 2_000, "{} bytes: {reason:.200}", reason.len());
        }
    }
}
