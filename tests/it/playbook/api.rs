//! Playbooks by API: made, checked, replaced, deleted, and there again after a restart.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use yizhan::envelope::digest;
use yizhan::platform::twin::Verdict;
use yizhan::simulator::fault::{CallFault, CallTrouble};

use crate::world::{KEY, Setting, World, answer};

const APP: &str = "1452365";

async fn ask(world: &World, method: Method, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let request = world.client.request(method, format!("{}{path}", world.base)).bearer_auth(key);
    answer(request.header("content-type", "application/json").body(body.to_string())).await
}

async fn put(world: &World, name: &str, body: Value) -> (u16, Value) {
    ask(world, Method::PUT, &format!("/v1/playbooks/{name}"), KEY, &body).await
}

async fn delete(world: &World, name: &str) -> u16 {
    ask(world, Method::DELETE, &format!("/v1/playbooks/{name}"), KEY, &json!({})).await.0
}

fn look() -> Value {
    json!({"on": "audit.failed", "components": ["baidu"], "steps": [{"operation": "package.list"}]})
}

async fn run_of(world: &World, playbook: &str, state: &str) -> Value {
    let address = format!("/v1/runs?playbook={playbook}&state={state}");
    world.until("the run", async || world.get(&address).await.1["items"].get(0).cloned()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_of_the_api_works_at_once_and_after_a_restart_until_it_is_deleted() {
    let mut world = World::new().await;
    world.granted("baidu", APP).await;
    let (status, made) = put(&world, "look", look()).await;
    assert_eq!(
        (status, &made["source"], &made["state"], &made["on"]),
        (201, &json!("api"), &json!("active"), &json!(["audit.failed"])),
        "{made}"
    );
    world.simulator.audit("baidu", APP, "1.0.0", &Verdict::Failed(String::from("one"))).await.unwrap();
    let first = run_of(&world, "look", "done").await;

    let mut longer = look();
    longer["steps"] = json!([{"operation": "package.list"}, {"operation": "profile.get", "approval": true}]);
    let (status, changed) = put(&world, "look", longer.clone()).await;
    assert_eq!((status, changed["steps"].as_array().unwrap().len()), (200, 2), "{changed}");
    world.restart().await;
    let (status, shown) = world.get("/v1/playbooks/look").await;
    assert_eq!((status, &shown["steps"]), (200, &longer["steps"]), "{shown}");
    world.simulator.audit("baidu", APP, "1.0.1", &Verdict::Failed(String::from("two"))).await.unwrap();
    let waiting = run_of(&world, "look", "waiting_for_approval").await;
    assert_ne!(waiting["id"], first["id"]);

    assert_eq!(delete(&world, "look").await, 204);
    assert_eq!((delete(&world, "look").await, world.get("/v1/playbooks/look").await.0), (404, 404));
    assert_eq!(world.get("/v1/subscriptions/look").await.0, 404);
    let (_, ended) = world.get(&format!("/v1/runs/{}", waiting["id"].as_str().unwrap())).await;
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("cancelled"), &json!("its playbook was deleted")));
    let (_, cancelled) = world.get("/v1/deliveries?subscription=look&status=cancelled").await;
    assert_eq!(cancelled["items"].as_array().unwrap().len(), 1, "{cancelled}");
    world.restart().await;
    assert_eq!(world.get("/v1/playbooks/look").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_told_at_once_and_names_are_taken_once() {
    let extra = "[[playbooks]]\nname = \"of the file\"\non = [\"audit.failed\"]\ncomponents = [\"baidu\"]\nsteps = [{ operation = \"package.list\" }]\n";
    let world = World::with(Setting { extra: extra.to_owned(), ..Setting::default() }).await;
    let wrong = json!({
        "on": ["nothing.*"], "components": ["baidu", "nowhere"], "extra": 1,
        "steps": [
            {"operation": "package.uplod"},
            {"operation": "package.upload", "with": {"template_id": true, "version": "${steps.2.version}", "nope": 1}, "windw": "x"},
            {"tell": "nobody", "with": {}},
            "what",
        ],
    });
    let (status, refused) = put(&world, "wrong", wrong).await;
    assert_eq!((status, &refused["type"]), (422, &json!("/problems/invalid-parameter")));
    let places: Vec<&str> = refused["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    for place in [
        "on",
        "components",
        "extra",
        "steps[0].operation",
        "steps[1].with.template_id",
        "steps[1].with.version",
        "steps[1].with.nope",
        "steps[1].with.description",
        "steps[1].windw",
        "steps[2].tell",
        "steps[2].with",
        "steps[3]",
    ] {
        assert!(places.contains(&place), "{place}: {refused:#}");
    }
    assert!(refused.to_string().contains("did you mean `window`?"), "{refused:#}");
    assert_eq!(world.get("/v1/playbooks").await.1["items"].as_array().unwrap().len(), 1);

    let (status, shown) = world.get("/v1/playbooks/of%20the%20file").await;
    assert_eq!((status, &shown["source"]), (200, &json!("configuration")));
    let (status, refused) = put(&world, "of%20the%20file", look()).await;
    assert_eq!((status, &refused["type"]), (409, &json!("/problems/read-only")));
    assert_eq!(delete(&world, "of%20the%20file").await, 409);
    assert_eq!(put(&world, "handler", look()).await.0, 409, "a subscription has that name");
    let mut named = look();
    named["name"] = json!("look");
    assert_eq!(put(&world, "other", named.clone()).await.0, 422, "two names");
    assert_eq!(world.post("/v1/playbooks", named.clone()).await.0, 201);
    assert_eq!(world.post("/v1/playbooks", named.clone()).await.0, 409, "made once");
    assert_eq!(put(&world, "look", named).await.0, 200);
    let subscription = json!({"name": "look", "url": "https://a.example.com/", "events": ["*"]});
    assert_eq!(world.post("/v1/subscriptions", subscription).await.0, 409);
    named_check(&world).await;
    let (status, list) = world.get("/v1/playbooks?limit=1").await;
    assert_eq!((status, &list["items"][0]["name"], list["next_cursor"].is_string()), (200, &json!("look"), true), "{list}");
}

/// A name that is a word of the API would hide its playbook.
async fn named_check(world: &World) {
    let mut named = look();
    named["name"] = json!("check");
    assert_eq!(world.post("/v1/playbooks", named).await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_the_merchants_that_lack_a_variable_and_writes_nothing() {
    let narrow = "yzk_0000000000000000000000000000000000000000000000000000000000000002";
    let hash = hex::encode(digest::sha256(&[narrow.as_bytes()]));
    let extra = format!("[[api_keys]]\nname = \"narrow\"\nhash = \"sha256:{hash}\"\nscopes = [\"playbooks:write@baidu\"]\n");
    let world = World::with(Setting { extra, ..Setting::default() }).await;
    for app in ["100001", "100002", "100003"] {
        world.granted("baidu", app).await;
    }
    let noted = json!({"items": [
        {"authorizer": "100001", "variables": {"shop": {"name": "小店"}, "city": "x"}},
        {"authorizer": "100002", "variables": {"shop": {"title": "小店"}}},
    ]});
    assert_eq!(world.post("/v1/components/baidu/attributes", noted).await.0, 200);
    let upload = json!({"template_id": 12, "version": "1", "description": "${variables.shop.name} ${variables.city}"});
    let book =
        json!({"name": "up", "on": "audit.failed", "components": ["baidu"], "steps": [{"operation": "package.upload", "with": upload}]});
    let (status, found) = ask(&world, Method::POST, "/v1/playbooks/check", narrow, &book).await;
    let expected = json!([
        {"component": "baidu", "authorizer": "100002", "variables": ["city", "shop.name"]},
        {"component": "baidu", "authorizer": "100003", "variables": ["city", "shop.name"]},
    ]);
    assert_eq!((status, &found["authorizers"], &found["lacking"], &found["items"]), (200, &json!(3), &json!(2), &expected), "{found}");
    assert_eq!(world.get("/v1/playbooks").await.1["items"], json!([]));

    // A key for one component makes playbooks for that one only.
    assert_eq!(ask(&world, Method::PUT, "/v1/playbooks/up", narrow, &look()).await.0, 201);
    assert_eq!(
        ask(&world, Method::PUT, "/v1/playbooks/all", narrow, &json!({"on": "audit.failed", "steps": [{"operation": "package.list"}]}))
            .await
            .0,
        403
    );
    assert_eq!(
        put(&world, "douyin", json!({"on": "audit.failed", "components": ["douyin"], "steps": [{"operation": "package.list"}]})).await.0,
        201
    );
    assert_eq!(ask(&world, Method::DELETE, "/v1/playbooks/douyin", narrow, &json!({})).await.0, 404);
    let (_, list) = ask(&world, Method::GET, "/v1/playbooks", narrow, &json!({})).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_person_is_not_late() {
    let world = World::new().await;
    world.granted("baidu", APP).await;
    let waits = json!({"on": "audit.failed", "components": ["baidu"], "steps": [{"operation": "package.list", "approval": true}]});
    assert_eq!(put(&world, "patient", waits).await.0, 201);
    world.simulator.audit("baidu", APP, "1.0.0", &Verdict::Failed(String::from("one"))).await.unwrap();
    let run = run_of(&world, "patient", "waiting_for_approval").await;
    let gauge = async |name: &str| -> Option<f64> {
        let text = world.client.get(format!("{}/metrics", world.base)).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with(name) && line.contains("\"patient\""))?;
        line.rsplit(' ').next().unwrap().parse().ok()
    };
    // Longer than it is looked again for approval, so that the delivery is claimed and put back several times.
    for _ in 0..40 {
        world.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let deferred = world.app().outbox.deferred("patient", world.app().clock.now());
    world
        .until("nothing is late", async || {
            world.advance(Duration::from_secs(15));
            let late = [
                gauge("yizhan_oldest_undelivered_seconds").await,
                gauge("yizhan_undelivered").await,
                gauge("yizhan_past_due_deliveries").await,
            ];
            (late == [Some(0.0); 3]).then_some(())
        })
        .await;
    assert_eq!(deferred.await.unwrap().count, 1);
    let id = run["id"].as_str().unwrap();
    assert_eq!(world.post(&format!("/v1/runs/{id}/approve"), json!({})).await.0, 200);
    run_of(&world, "patient", "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_names_a_playbook_does_no_deeds_for_events_that_are_none_of_its() {
    let world = World::new().await;
    world.granted("baidu", APP).await;
    world.granted("douyin", "tt0123456789abcdef").await;
    let (status, made) = put(&world, "look", look()).await;
    assert_eq!(status, 201, "{made}");
    world.simulator.audit("baidu", APP, "1.0.0", &Verdict::Failed(String::from("one"))).await.unwrap();
    run_of(&world, "look", "done").await;
    // Those of another component, and grants: it is for failed audits at Baidu.
    world.simulator.audit("douyin", "tt0123456789abcdef", "1.0.0", &Verdict::Failed(String::from("two"))).await.unwrap();
    for list in ["component=douyin&type=audit.failed", "component=baidu&type=authorization.granted"] {
        let event = world.get(&format!("/v1/events?{list}")).await.1["items"][0]["id"].as_str().unwrap().to_owned();
        let (status, replayed) = world.post(&format!("/v1/events/{event}/replay"), json!({"subscription": "look"})).await;
        assert_eq!((status, &replayed["parameters"][0]["name"]), (422, &json!("subscription")), "{replayed}");
        // Nor is what such an event came to wait for before: the playbook itself looks whom it is for.
        let id = event.parse().unwrap();
        let sent = world.app().fanout.send(&[id], "look", None).await.unwrap().unwrap();
        let settled = world
            .until("the delivery", async || {
                let (_, shown) = world.get(&format!("/v1/deliveries/{}", sent[0])).await;
                (shown["status"] != "pending").then_some(shown)
            })
            .await;
        assert_eq!((&settled["status"], &settled["attempts"][0]["answer"]), (&json!("delivered"), &json!("it is not for such events")));
    }
    let (_, runs) = world.get("/v1/runs").await;
    assert_eq!(runs["items"].as_array().unwrap().len(), 1, "{runs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_playbook_that_is_gone_is_not_approved() {
    let extra = "[[playbooks]]\nname = \"patient\"\non = \"audit.failed\"\nsteps = [{ operation = \"package.list\", approval = true }]\n";
    let mut world = World::with(Setting { extra: extra.to_owned(), ..Setting::default() }).await;
    world.granted("baidu", APP).await;
    world.simulator.audit("baidu", APP, "1.0.0", &Verdict::Failed(String::from("one"))).await.unwrap();
    let run = run_of(&world, "patient", "waiting_for_approval").await;
    world.mend(extra, "").await;
    let approve = format!("/v1/runs/{}/approve", run["id"].as_str().unwrap());
    let (status, problem) = world.post(&approve, json!({})).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/conflict")), "{problem}");
    run_of(&world, "patient", "waiting_for_approval").await;
    let (_, waiting) = world.get("/v1/deliveries?subscription=patient&status=pending").await;
    assert!(waiting["items"].as_array().unwrap().is_empty(), "{waiting}");
    // Back again, it goes on where a person says so.
    world.mend("[[subscriptions]]", &format!("{extra}[[subscriptions]]")).await;
    assert_eq!(world.post(&approve, json!({})).await.0, 200);
    run_of(&world, "patient", "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_stored_playbook_is_never_sent_to_a_subscription_of_its_name() {
    let mut world = World::with(Setting { extra: String::from("# none yet\n"), ..Setting::default() }).await;
    world.granted("baidu", APP).await;
    let mut patient = look();
    patient["steps"] = json!([{"operation": "package.list", "approval": true}]);
    assert_eq!(put(&world, "tell", patient).await.0, 201);
    world.simulator.audit("baidu", APP, "1.0.0", &Verdict::Failed(String::from("one"))).await.unwrap();
    let run = run_of(&world, "tell", "waiting_for_approval").await;
    let of_file = "[[subscriptions]]\nname = \"tell\"\nurl = \"https://a.example.com/\"\nsecret = \"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\"\n\
        events = [\"audit.*\"]\n";
    world.mend("# none yet\n", of_file).await;
    assert_eq!(world.get("/v1/subscriptions/tell").await.1["origin"], "file");
    let deliveries = async |world: &World| {
        let items = world.get("/v1/deliveries?subscription=tell").await.1["items"].as_array().unwrap().clone();
        items.iter().map(|one| one["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(deliveries(&world).await, ["cancelled"]);
    let approve = format!("/v1/runs/{}/approve", run["id"].as_str().unwrap());
    let (status, problem) = world.post(&approve, json!({})).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/conflict")), "{problem}");
    assert_eq!(deliveries(&world).await, ["cancelled"]);
    // The playbook was only behind it, and its run goes on where a person says so.
    world.mend(of_file, "# none again\n").await;
    assert_eq!(world.post(&approve, json!({})).await.0, 200);
    run_of(&world, "tell", "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_playbook_that_left_the_configuration_stop_and_go_on_when_it_is_back() {
    let playbook =
        "[[playbooks]]\nname = \"ask\"\non = \"audit.failed\"\ncomponents = [\"baidu\"]\nsteps = [{ operation = \"package.list\" }]\n";
    let mut world = World::with(Setting { extra: playbook.to_owned(), ..Setting::default() }).await;
    world.granted("baidu", APP).await;
    let busy = CallFault { matching: String::from("package"), trouble: CallTrouble::RateLimited, times: 1 };
    world.simulator.fail_calls("baidu", busy).unwrap();
    world.simulator.audit("baidu", APP, "1.0.0", &Verdict::Failed(String::from("one"))).await.unwrap();
    let begun = world.until("the first try", async || {
        let run = run_of(&world, "ask", "running").await;
        run["reason"].is_string().then_some(run)
    });
    let begun = begun.await;
    world.mend(playbook, "# no playbook\n").await;
    let stopped = run_of(&world, "ask", "failed").await;
    assert_eq!((&stopped["id"], &stopped["reason"]), (&begun["id"], &json!("its playbook is not in the configuration any more")));
    world.mend("# no playbook\n", playbook).await;
    // What waited was cancelled with it: a person has it tried again.
    let (_, cancelled) = world.get("/v1/deliveries?subscription=ask&status=cancelled").await;
    let retry = format!("/v1/deliveries/{}/retry", cancelled["items"][0]["id"].as_str().unwrap());
    assert_eq!(world.post(&retry, json!({})).await.0 / 100, 2);
    assert_eq!(run_of(&world, "ask", "done").await["id"], begun["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_playbook_that_never_comes_back_is_forgotten() {
    let playbook = "[[playbooks]]\nname = \"ask\"\non = \"audit.failed\"\nsteps = [{ operation = \"package.list\", approval = true }]\n";
    let mut world = World::with(Setting { extra: playbook.to_owned(), ..Setting::default() }).await;
    world.granted("baidu", APP).await;
    world.simulator.audit("baidu", APP, "1.0.0", &Verdict::Failed(String::from("one"))).await.unwrap();
    run_of(&world, "ask", "waiting_for_approval").await;
    world.mend(playbook, "# no playbook\n").await;
    // It may wait for as long as anything is kept, and shows for as long again why it does no more.
    let states = async || {
        // The next hour comes also for whoever was not waiting for it when the time leapt.
        world.advance(Duration::from_secs(3600));
        let runs = world.get("/v1/runs?playbook=ask").await.1["items"].as_array().unwrap().clone();
        runs.into_iter().map(|run| run["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    world.advance(Duration::from_secs(31 * 86_400));
    world.until("its end", async || (states().await == ["failed"]).then_some(())).await;
    world.advance(Duration::from_secs(31 * 86_400));
    world.until("the end of its time", async || states().await.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_playbook_behind_the_configurations_is_deleted_by_its_name_and_does_not_come_back() {
    let narrow = "yzk_0000000000000000000000000000000000000000000000000000000000000002";
    let hash = hex::encode(digest::sha256(&[narrow.as_bytes()]));
    let key = format!("[[api_keys]]\nname = \"narrow\"\nhash = \"sha256:{hash}\"\nscopes = [\"playbooks:write@douyin\"]\n");
    let mut world = World::with(Setting { extra: format!("{key}# none yet\n"), ..Setting::default() }).await;
    for name in ["look", "tell"] {
        assert_eq!(put(&world, name, look()).await.0, 201);
    }
    let of_file = "[[playbooks]]\nname = \"look\"\non = [\"audit.passed\"]\nsteps = [{ operation = \"package.list\" }]\n\
        [[subscriptions]]\nname = \"tell\"\nurl = \"https://a.example.com/\"\nsecret = \"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\"\nevents = [\"*\"]\n";
    world.mend("# none yet\n", of_file).await;
    let shown = async |world: &World| {
        let (_, playbook) = world.get("/v1/playbooks/look").await;
        (playbook["source"].clone(), playbook["on"].clone(), world.get("/v1/subscriptions/tell").await.0)
    };
    let before = shown(&world).await;
    assert_eq!(before, (json!("configuration"), json!(["audit.passed"]), 200));
    // What a key does not reach is not there for it.
    for name in ["look", "tell"] {
        assert_eq!(ask(&world, Method::DELETE, &format!("/v1/playbooks/{name}"), narrow, &json!({})).await.0, 404);
        assert_eq!(delete(&world, name).await, 204, "{name}");
    }
    assert_eq!((delete(&world, "look").await, delete(&world, "tell").await), (409, 404), "there is none behind any more");
    assert_eq!(shown(&world).await, before, "what has the name stays");
    world.mend(of_file, "# none again\n").await;
    for name in ["look", "tell"] {
        assert_eq!(world.get(&format!("/v1/playbooks/{name}")).await.0, 404, "{name}");
    }
}

/// As much as a body may hold of what costs most to hold against the rest, or to name.
#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_without_measure_is_refused_in_few_words() {
    let world = World::new().await;
    let with = |member: &str, value: Value| {
        let mut body = look();
        body["name"] = json!("endless");
        body[member] = value;
        body
    };
    let many = |word: &str, count: usize| (0..count).map(|number| format!("{word}{number}")).collect::<Vec<_>>();
    let gaps: String = many("${variables.a", 300).iter().map(|gap| format!("{gap}}}")).collect();
    let bodies = [
        ("on", with("on", json!(many("audit.failed", 20_000)))),
        ("on", with("on", json!(vec!["audit.failed"; 33]))),
        ("on", with("on", json!([format!("*{}", "*a".repeat(60_000))]))),
        ("components", with("components", json!(many("b", 20_000)))),
        ("components", with("components", json!(vec!["baidu"; 20_000]))),
        ("steps[0].operation", with("steps", json!([{"operation": "a".repeat(500_000)}]))),
        ("steps[0].tell", with("steps", json!([{"tell": "a".repeat(500_000)}]))),
        ("steps", with("steps", json!([{"operation": "audit.submit", "with": {"description": gaps}}]))),
        (&*"a".repeat(128), with(&"a".repeat(500_000), json!(1))),
    ];
    for (named, body) in bodies {
        for path in ["/v1/playbooks/check", "/v1/playbooks"] {
            let (status, answer) = ask(&world, Method::POST, path, KEY, &body).await;
            let parameters = answer["parameters"].as_array().unwrap();
            assert_eq!(status, 422, "{named:.30} {path}");
            assert!(parameters[0]["name"].as_str().unwrap().starts_with(named), "{named:.30} {path}: {:.300}", parameters[0].to_string());
            assert!(parameters.len() <= 100 && answer.to_string().len() < 50_000, "{named:.30} {path}: {} bytes", answer.to_string().len());
        }
    }
    let members: serde_json::Map<_, _> = many("m", 20_000).into_iter().map(|name| (name, json!(1))).collect();
    let (status, answer) = ask(&world, Method::POST, "/v1/playbooks/check", KEY, &Value::Object(members)).await;
    assert_eq!((status, answer["parameters"].as_array().unwrap().len()), (422, 100));
}
