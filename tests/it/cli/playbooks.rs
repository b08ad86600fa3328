//! `yizhan playbooks` and `yizhan runs`.

use serde_json::{Value, json};

use super::run;
use super::service::{StandIn, ok, problem};
use crate::world::configuration;

const COMPONENT: &str = "[[components]]\nname = \"baidu\"\nplatform = \"baidu\"\ntp_id = \"1\"\nclient_id = \"c\"\ntoken = \"t\"\n\
    encoding_aes_key = \"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG\"\n";

const GOOD: &str = "[[playbooks]]\nname = \"look\"\non = \"audit.failed\"\ncomponents = [\"baidu\"]\n\
    steps = [{ operation = \"package.upload\", with = { template_id = 12, version = \"1\", description = \"${variables.shop}\" } }]\n";

const WRONG: &str =
    "[[playbooks]]\nname = \"look\"\non = \"nothing\"\nsteps = [\n  { operation = \"package.uplod\" },\n  { tell = \"nobody\" },\n]\n";

fn folder(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{}{COMPONENT}{more}", configuration(&folder.path().join("store"), "http://127.0.0.1:1"));
    std::fs::write(folder.path().join("yizhan.toml"), text).unwrap();
    std::fs::write(folder.path().join("good.toml"), GOOD).unwrap();
    std::fs::write(folder.path().join("wrong.toml"), WRONG).unwrap();
    folder
}

#[test]
fn a_check_of_a_file_names_every_mistake_with_its_line() {
    let folder = folder("");
    let ran = run(folder.path(), &["playbooks", "check", "wrong.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    for told in ["matches no event type", "package.uplod", "wrong.toml, line 5", "there is no robot \"nobody\"", "wrong.toml, line 6"] {
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
    let ran = run(folder.path(), &["playbooks", "check", "wrong.toml", "--json"]);
    assert_eq!(
        (ran.code, ran.json()["ok"].as_bool(), ran.json()["problems"].as_array().unwrap().len()),
        (2, Some(false), 3),
        "{}",
        ran.out
    );
    let ran = run(folder.path(), &["playbooks", "check", "good.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok look: 1 step\n"), "{}", ran.err);
    assert!(ran.err.contains("not looked at"), "{}", ran.err);
    let ran = run(folder.path(), &["playbooks", "check", "missing.toml"]);
    assert!(ran.code == 2 && ran.err.contains("cannot read the file missing.toml"), "{}", ran.err);
}

#[test]
fn a_check_without_a_file_is_of_the_configuration() {
    assert_eq!(run(folder(GOOD).path(), &["playbooks", "check"]).out, "ok look: 1 step\n");
    let ran = run(folder(WRONG).path(), &["playbooks", "check"]);
    assert!(ran.code == 2 && ran.err.contains("did you mean `package.upload`?"), "{}", ran.err);
}

fn lacking() -> Value {
    json!({"playbook": {}, "authorizers": 3, "lacking": 1, "items": [{"component": "baidu", "authorizer": "100001", "variables": ["shop"]}]})
}

#[test]
fn with_a_service_the_merchants_that_lack_a_variable_are_named() {
    let folder = folder("");
    let service = StandIn::json(lacking());
    let ran = service.run_in(folder.path(), &["playbooks", "check", "good.toml"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.out.contains("look: 1 of 3 merchants lack a variable") && ran.out.contains("100001") && ran.out.contains("shop"),
        "{}",
        ran.out
    );
    assert_eq!(service.lines(), ["POST /v1/playbooks/check"]);
    let sent: Value = serde_json::from_str(&service.asked()[0].body).unwrap();
    assert_eq!(sent["steps"][0]["with"]["description"], "${variables.shop}");
    let service = StandIn::json(lacking());
    let ran = service.run_in(folder.path(), &["playbooks", "check", "good.toml", "--json"]);
    assert_eq!((ran.code, &ran.json()["merchants"][0]["items"][0]["authorizer"]), (1, &json!("100001")), "{}", ran.out);
}

const TWO: &str = "[[robots]]\nname = \"ops\"\nkind = \"feishu\"\nurl = \"https://open.feishu.cn/open-apis/bot/v2/hook/x\"\n\
    [[playbooks]]\nname = \"look\"\non = \"audit.failed\"\nsteps = [{ operation = \"profile.get\" }, { tell = \"ops\" }]\n\
    [[playbooks]]\nname = \"other\"\non = \"audit.passed\"\nsteps = [{ operation = \"profile.get\" }]\n";

fn no_such_robot() -> super::service::Answer {
    let detail = "`steps[1].tell` there is no robot \"ops\"; none is configured";
    problem(422, json!({"title": "A parameter is not valid", "detail": detail, "request_id": "req_1"}))
}

#[test]
fn a_service_that_does_not_know_a_new_robot_yet_makes_a_file_no_less_right() {
    let folder = folder("");
    std::fs::write(folder.path().join("two.toml"), TWO).unwrap();
    let service = StandIn::answering([no_such_robot(), ok(json!({"authorizers": 3, "lacking": 0, "items": []}))]);
    let ran = service.run_in(folder.path(), &["playbooks", "check", "two.toml"]);
    assert_eq!(ran.code, 1, "not everything was looked at: {}", ran.err);
    assert_eq!(ran.out, "ok look: 2 steps\nok other: 1 step\nother: 0 of 3 merchants lack a variable\n", "{}", ran.err);
    assert!(ran.err.starts_with("look: the service does not say") && ran.err.contains("there is no robot \"ops\""), "{}", ran.err);
    assert!(ran.err.contains("\nhint: it is right by the configuration here") && ran.err.contains("after a restart"), "{}", ran.err);

    let service = StandIn::answering([no_such_robot(), ok(json!({"authorizers": 3, "lacking": 0, "items": []}))]);
    let report = service.run_in(folder.path(), &["playbooks", "check", "two.toml", "--json"]).json();
    assert_eq!((&report["ok"], &report["problems"], &report["playbooks"]), (&json!(false), &json!([]), &json!(["look", "other"])));
    assert_eq!((&report["unsaid"][0]["playbook"], &report["merchants"][0]["playbook"]), (&json!("look"), &json!("other")), "{report}");
}

#[test]
fn what_is_known_here_is_told_also_where_no_service_answers() {
    let folder = folder("");
    std::fs::write(folder.path().join("two.toml"), TWO).unwrap();
    let nobody = ["--url", "http://127.0.0.1:1", "--key", "yzk_x"];
    let ran = run(folder.path(), &[&["playbooks", "check", "two.toml"], &nobody[..]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (1, "ok look: 2 steps\nok other: 1 step\n"), "{}", ran.err);
    assert!(ran.err.starts_with("look, other: the service does not say") && ran.err.contains("cannot be reached"), "{}", ran.err);
    assert_eq!(ran.err.matches("hint: is the service running").count(), 1, "{}", ran.err);
    let report = run(folder.path(), &[&["playbooks", "check", "two.toml", "--json"], &nobody[..]].concat()).json();
    assert_eq!(report["unsaid"].as_array().unwrap().len(), 2, "{report}");
}

#[test]
fn without_a_configuration_the_service_says_what_is_wrong_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    // Robots' addresses are secrets of the service.
    std::fs::write(
        folder.path().join("two.toml"),
        TWO.replace("\"https://open.feishu.cn/open-apis/bot/v2/hook/x\"", "{ env = \"ROBOT\" }"),
    )
    .unwrap();
    std::fs::write(folder.path().join("good.toml"), GOOD).unwrap();

    let service = StandIn::json(json!({"name": "look"}));
    let ran = service.run_in(folder.path(), &["playbooks", "put", "good.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "look: written\n"), "{}", ran.err);
    assert_eq!((service.lines()[0].as_str(), ran.err.contains("no usable configuration here")), ("PUT /v1/playbooks/look", true));
    let sent: Value = serde_json::from_str(&service.asked()[0].body).unwrap();
    assert_eq!((&sent["on"], &sent["steps"][0]["with"]["template_id"]), (&json!("audit.failed"), &json!(12)), "{sent}");

    let ran = StandIn::answering([no_such_robot()]).run_in(folder.path(), &["playbooks", "put", "two.toml"]);
    assert!(ran.code == 2 && ran.err.contains("there is no robot \"ops\""), "{}", ran.err);

    let refusing = || StandIn::answering([no_such_robot(), ok(json!({"authorizers": 3, "lacking": 0, "items": []}))]);
    let ran = refusing().run_in(folder.path(), &["playbooks", "check", "two.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(ran.err.contains("`playbooks.look` is refused by the service: ") && ran.err.contains("no robot"), "{}", ran.err);
    let ran = refusing().run_in(folder.path(), &["playbooks", "check", "two.toml", "--json"]);
    assert_eq!((ran.code, &ran.json()["problems"][0]["at"]), (2, &json!("playbooks.look")), "{}", ran.out);
    let ran = StandIn::json(lacking()).run_in(folder.path(), &["playbooks", "check", "good.toml"]);
    assert!(ran.code == 1 && ran.out.starts_with("ok look: 1 step\n") && ran.out.contains("100001"), "{}{}", ran.out, ran.err);
}

#[test]
fn a_file_that_is_none_is_told_before_a_configuration_that_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("odd.toml"), "[[playbooks]]\non = \"x\"\nstep = []\n").unwrap();
    std::fs::write(folder.path().join("good.toml"), GOOD).unwrap();
    for (arguments, told) in [
        (["playbooks", "put", "missing.toml"], "cannot read the file missing.toml"),
        (["playbooks", "check", "missing.toml"], "cannot read the file missing.toml"),
        (["playbooks", "put", "odd.toml"], "`playbooks[0].step` is not a known key"),
        (["playbooks", "check", "odd.toml"], "`playbooks[0].name` is missing"),
        // Neither a service nor a configuration.
        (["playbooks", "check", "good.toml"], "`store.master_key` the environment variable YIZHAN_MASTER_KEY is not set"),
    ] {
        let ran = run(folder.path(), &arguments);
        assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains(told), "{arguments:?}: {}", ran.err);
    }
    let ran = run(folder.path(), &["playbooks", "check", "good.toml", "--json"]);
    assert_eq!((ran.code, &ran.json()["problems"][0]["at"]), (2, &json!("store.master_key")), "{}", ran.out);
}

#[test]
fn playbooks_are_put_listed_shown_and_deleted() {
    let folder = folder("");
    let shown =
        json!({"name": "look", "on": ["audit.failed"], "components": [], "when": {}, "steps": [{}], "source": "api", "state": "active"});
    let service =
        StandIn::answering([ok(shown.clone()), ok(json!({"items": [shown.clone()]})), ok(shown), (204, "text/plain", Vec::new())]);
    let ran = service.run_in(folder.path(), &["playbooks", "put", "good.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "look: written\n"), "{}", ran.err);
    let ran = service.run(&["playbooks", "list"]);
    assert!(ran.out.contains("look") && ran.out.contains("audit.failed") && ran.out.contains("all"), "{}", ran.out);
    assert_eq!(service.run(&["playbooks", "show", "look", "--json"]).json()["source"], "api");
    let ran = service.run(&["playbooks", "delete", "look", "--yes"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "look: deleted\n"), "{}", ran.err);
    let lines = ["PUT /v1/playbooks/look", "GET /v1/playbooks?limit=100", "GET /v1/playbooks/look", "DELETE /v1/playbooks/look"];
    assert_eq!(service.lines(), lines);
}

#[test]
fn runs_are_listed_shown_approved_and_cancelled() {
    let of = |state: &str| {
        json!({
            "id": "run_1", "playbook": "look", "event_id": "evt_1", "component": "baidu", "authorizer": "100001", "state": state,
            "reason": "step 2 (package.release) waits for approval",
            "steps": [{"operation": "package.list", "done_at": "2026-11-20T08:00:00Z", "result": {"version": "1"}}, {"operation": "package.release"}],
            "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z",
        })
    };
    let service = StandIn::answering([
        ok(json!({"items": [of("waiting_for_approval")]})),
        ok(of("waiting_for_approval")),
        ok(of("running")),
        ok(of("cancelled")),
    ]);
    let ran = service.run(&["runs", "list", "--playbook", "look", "--state", "waiting_for_approval"]);
    assert!(ran.out.contains("run_1") && ran.out.contains("1/2"), "{}", ran.out);
    let ran = service.run(&["runs", "show", "run_1"]);
    assert!(ran.out.contains("waits for approval") && ran.out.contains("package.release"), "{}", ran.out);
    assert_eq!(service.run(&["runs", "approve", "run_1", "--json"]).json()["state"], "running");
    let ran = service.run(&["runs", "cancel", "run_1", "--yes"]);
    assert!(ran.code == 0 && ran.out.contains("cancelled"), "{}", ran.err);
    let lines = [
        "GET /v1/runs?playbook=look&state=waiting_for_approval&limit=100",
        "GET /v1/runs/run_1",
        "POST /v1/runs/run_1/approve",
        "POST /v1/runs/run_1/cancel",
    ];
    assert_eq!(service.lines(), lines);
    assert_eq!(StandIn::answering([]).run(&["runs", "cancel", "run_1"]).code, 2, "nobody is asked where no terminal is");
}
