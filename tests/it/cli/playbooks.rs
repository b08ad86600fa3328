//! `yizhan playbooks` and `yizhan runs`.

use serde_json::{Value, json};

use super::run;
use super::service::{StandIn, ok};
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
