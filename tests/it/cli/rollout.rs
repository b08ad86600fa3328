//! `rollout`: bodies from flags and files, previews, and how watching ends.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use yizhan::cli::rollout::board::Pace;
use yizhan::cli::rollout::progress::Progress;

use super::service::{Answer, StandIn, ok};
use super::{command, run};

const BEGIN: [&str; 7] = ["rollout", "start", "douyin", "--template", "9133504853504530001", "--release=2.0.1", "--description=spring"];

fn begin<'a>(more: &[&'a str]) -> Vec<&'a str> {
    BEGIN.iter().copied().chain(more.iter().copied()).collect()
}

fn body(asked: &super::service::Asked) -> Value {
    serde_json::from_str(&asked.body).unwrap()
}

fn progress(state: &str, counts: Value, skipped: u64) -> Value {
    let total = counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>() + skipped;
    json!({"id": "rol_1", "state": state, "component": "douyin", "template_id": 12, "version": "2.0.1", "until": "released",
        "counts": counts, "skipped": skipped, "total": total, "created_at": "2026-11-20T07:04:05Z",
        "reasons": [{"reason": "页面内容与类目不符", "count": 1, "example": "tt02"}]})
}

fn items(list: &[(&str, &str, &str)]) -> Answer {
    let item = |(authorizer, stage, reason): &(&str, &str, &str)| json!({"authorizer": authorizer, "stage": stage, "reason": reason, "version": "2.0.1", "updated_at": "2026-11-20T07:04:05Z"});
    ok(json!({"items": list.iter().map(item).collect::<Vec<_>>()}))
}

#[test]
fn every_member_of_the_body_has_a_flag() {
    let service = StandIn::answering([ok(json!({"id": "rol_1", "state": "running"}))]);
    let ran = service.run(&begin(&[
        "--authorizer",
        "tt01",
        "--authorizer",
        "tt02",
        "--variable",
        "shop=42",
        "--variable",
        "name=驿站",
        "--until",
        "in_audit",
        "--concurrency",
        "8",
        "--rate",
        "2.5",
        "--canary",
        "5",
        "--batch",
        "50",
        "--stop-above",
        "5",
        "--window",
        "22:00-06:00",
        "--idempotency-key",
        "k1",
        "--yes",
    ]));
    assert_eq!((ran.code, ran.out.as_str()), (0, "rol_1\n"), "{}", ran.err);
    assert!(ran.err.contains("yizhan rollout watch rol_1"), "{}", ran.err);
    let asked = service.asked();
    assert_eq!(asked[0].line, "POST /v1/rollouts");
    assert!(asked[0].headers.contains(&("idempotency-key".into(), "k1".into())));
    assert_eq!(
        body(&asked[0]),
        json!({"component": "douyin", "template_id": "9133504853504530001", "version": "2.0.1", "description": "spring",
            "authorizers": ["tt01", "tt02"], "variables": {"shop": 42, "name": "驿站"}, "until": "in_audit", "concurrency": 8, "rate": 2.5,
            "canary": 5, "batch": 50, "stop_above_failed_percent": 5, "window": "22:00-06:00", "dry_run": false})
    );
    for (flags, whom) in [
        (&["--all"][..], json!("all")),
        (&["--tag", "north"], json!({"tag": "north"})),
        (&["--released", "1.0.0"], json!({"version": "1.0.0"})),
    ] {
        let service = StandIn::answering([ok(json!({"id": "rol_1"}))]);
        assert_eq!(service.run(&begin(&[flags, &["--yes"]].concat())).code, 0);
        assert_eq!(body(&service.asked()[0])["authorizers"], whom);
    }
}

#[test]
fn a_file_gives_the_body_and_flags_stand_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "component = \"baidu\"\ntemplate_id = 12\nversion = \"1.0.0\"\ndescription = \"spring\"\nauthorizers = { tag = \"north\" }\n[variables]\nshop = 1\n";
    fs::write(folder.path().join("rollout.toml"), toml).unwrap();
    fs::write(
        folder.path().join("rollout.json"),
        r#"{"component":"baidu","template_id":12,"version":"1.0.0","description":"spring","authorizers":"all"}"#,
    )
    .unwrap();
    for (file, whom) in [("rollout.toml", json!({"tag": "north"})), ("rollout.json", json!("all"))] {
        let service = StandIn::answering([ok(json!({"id": "rol_1"}))]);
        let ran = service.run_in(folder.path(), &["rollout", "start", "--file", file, "--release", "1.0.1", "--yes", "--json"]);
        assert_eq!((ran.code, ran.json()["id"].as_str()), (0, Some("rol_1")), "{}", ran.err);
        let sent = body(&service.asked()[0]);
        assert_eq!((&sent["component"], &sent["template_id"], &sent["version"]), (&json!("baidu"), &json!(12), &json!("1.0.1")));
        assert_eq!(sent["authorizers"], whom);
    }
}

#[test]
fn a_dry_run_says_who_takes_no_part_and_why() {
    let preview = json!({"total": 3, "skipped": 1, "items": [
        {"authorizer": "tt01", "stage": "queued"}, {"authorizer": "tt02", "stage": "queued"},
        {"authorizer": "tt03", "stage": "skipped", "reason": "has 2.0.1 already"}]});
    let service = StandIn::json(preview.clone());
    let ran = service.run(&begin(&["--all", "--dry-run"]));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("tt03") && ran.out.contains("has 2.0.1 already"), "{}", ran.out);
    assert!(ran.err.contains("2 merchants take part, 1 do not; nothing was sent"), "{}", ran.err);
    assert_eq!(body(&service.asked()[0])["dry_run"], true);
    assert_eq!(service.lines().len(), 1);
    let service = StandIn::json(preview.clone());
    assert_eq!(service.run(&begin(&["--all", "--dry-run", "--json"])).json(), preview);
    let service = StandIn::json(preview);
    let ran = service.run(&begin(&["--all"]));
    assert_eq!((ran.code, service.lines().len()), (2, 1), "nobody can answer, so nothing begins: {}", ran.err);
    assert!(ran.err.contains("bring 2.0.1 to 2 merchants (1 take no part)?") && ran.err.contains("--yes"), "{}", ran.err);
}

#[test]
fn wrong_use_is_told_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("broken.toml"), "component = ").unwrap();
    fs::write(folder.path().join("list.json"), "[]").unwrap();
    for (arguments, told) in [
        (&["rollout", "start", "douyin"][..], "missing: --template, --release, --description, whom"),
        (&begin(&["--all", "--tag", "north"]), "cannot be used with"),
        (&begin(&["--all", "--dry-run", "--watch"]), "cannot be used with"),
        (&begin(&["--all", "--variable", "shop"]), "NAME=VALUE"),
        (&begin(&["--all", "--stop-above", "many"]), "invalid value"),
        (&["rollout", "start", "--file", "nowhere.toml"], "nowhere.toml"),
        (&["rollout", "start", "--file", "broken.toml"], "broken.toml"),
        (&["rollout", "start", "--file", "list.json"], "list.json"),
        (&["rollout", "status", "--items"], "required"),
        (&["rollout", "cancel", "rol_1"], "--yes"),
        (&["rollout", "watch"], "required"),
    ] {
        let service = StandIn::answering([]);
        let ran = service.run_in(folder.path(), arguments);
        assert_eq!((ran.code, service.lines().len()), (2, 0), "{arguments:?} {}", ran.err);
        assert!(ran.err.contains(told), "{arguments:?} {}", ran.err);
    }
    assert_eq!(run(folder.path(), &["rollout"]).code, 2);
}

#[test]
fn what_the_service_refuses_is_told_with_every_parameter() {
    let problem = json!({"type": "/problems/invalid-parameter", "title": "Parameters do not fit", "status": 422,
        "detail": "`window` is not two times of the day", "parameters": [{"name": "window", "reason": "is not two times of the day"}]});
    let service = StandIn::answering([(422, "application/problem+json", problem.to_string().into_bytes())]);
    let ran = service.run(&begin(&["--all", "--yes", "--window", "night"]));
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("`window` is not two times of the day"), "{}", ran.err);
}

#[test]
fn status_lists_rollouts_tells_one_and_lists_its_merchants() {
    let service = StandIn::json(json!({"items": [progress("running", json!({"queued": 1}), 0)]}));
    let ran = service.run(&["rollout", "status"]);
    assert!(ran.code == 0 && ran.out.contains("rol_1") && ran.out.contains("running"), "{}{}", ran.out, ran.err);
    let service = StandIn::json(progress("running", json!({"queued": 2, "in_audit": 3, "released": 4, "rejected": 1}), 2));
    let ran = service.run(&["rollout", "status", "rol_1"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("douyin 2.0.1 until released: running"), "{}", ran.out);
    assert!(ran.out.contains("7 of 12: queued 2 · in_audit 3 · released 4 · rejected 1 · skipped 2"), "{}", ran.out);
    assert!(ran.out.contains("页面内容与类目不符") && ran.out.contains("tt02"), "{}", ran.out);
    let service = StandIn::answering([items(&[("tt02", "rejected", "no\x1b[31m button")])]);
    let ran = service.run(&["rollout", "status", "rol_1", "--stage", "rejected"]);
    assert!(service.lines()[0].starts_with("GET /v1/rollouts/rol_1/items?stage=rejected"), "{:?}", service.lines());
    assert!(ran.out.contains("tt02") && !ran.out.contains('\x1b'), "{}", ran.out);
}

#[test]
fn steering_is_one_request_each() {
    for (arguments, line) in [
        (&["rollout", "pause", "rol_1"][..], "POST /v1/rollouts/rol_1/pause"),
        (&["rollout", "resume", "rol_1"], "POST /v1/rollouts/rol_1/resume"),
        (&["rollout", "retry", "rol_1"], "POST /v1/rollouts/rol_1/retry"),
        (&["rollout", "cancel", "rol_1", "--yes"], "POST /v1/rollouts/rol_1/cancel"),
    ] {
        let service = StandIn::json(progress("paused", json!({"queued": 1}), 0));
        let ran = service.run(arguments);
        assert_eq!((ran.code, service.lines()), (0, vec![line.to_owned()]), "{}", ran.err);
        assert!(ran.out.contains("rol_1: douyin 2.0.1 until released: paused"), "{}", ran.out);
    }
}

#[test]
fn watching_ends_with_the_rollout_and_says_how_it_went() {
    let service = StandIn::answering([
        ok(progress("running", json!({"in_audit": 2}), 0)),
        (503, "application/problem+json", b"{}".to_vec()),
        ok(progress("done", json!({"released": 2}), 1)),
    ]);
    let ran = service.run(&["rollout", "watch", "rol_1"]);
    assert_eq!(ran.code, 0, "those who take no part did not fail: {}", ran.err);
    assert!(ran.err.contains("running: 0 of 2; in_audit 2") && ran.err.contains("does not answer; asking again"), "{}", ran.err);
    assert!(ran.out.contains("done") && ran.out.contains("3 of 3: released 2 · skipped 1"), "{}", ran.out);

    let service = StandIn::answering([
        ok(progress("done", json!({"released": 1, "failed": 1, "rejected": 1}), 0)),
        items(&[("tt01", "failed", "too often")]),
        items(&[("tt02", "rejected", "no button")]),
    ]);
    assert_eq!(service.run(&["rollout", "watch", "rol_1"]).code, 1, "somebody failed");
    assert_eq!(service.lines().len(), 3, "the newest failures were looked up");

    for state in ["cancelled", "stopped"] {
        let service = StandIn::json(progress(state, json!({"queued": 2}), 0));
        let ran = service.run(&["rollout", "watch", "rol_1"]);
        assert_eq!((ran.code, ran.err.contains("yizhan rollout resume rol_1")), (1, state == "stopped"), "{}", ran.err);
    }
    let service = StandIn::answering([(404, "application/problem+json", json!({"title": "Not found"}).to_string().into_bytes())]);
    assert_eq!(service.run(&["rollout", "watch", "rol_1"]).code, 1, "an unknown rollout is not waited for");
}

#[test]
fn with_json_there_is_a_line_for_each_change() {
    let (first, last) = (progress("running", json!({"queued": 2}), 0), progress("done", json!({"released": 2}), 0));
    let service = StandIn::answering([ok(first.clone()), ok(first.clone()), ok(last.clone())]);
    let ran = service.run(&["rollout", "watch", "rol_1", "--json"]);
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ran.code, lines), (0, vec![first, last]), "{}", ran.err);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_watching_and_not_the_rollout() {
    let service = StandIn::answering((0..60).map(|_| ok(progress("running", json!({"queued": 2}), 0))));
    let folder = tempfile::tempdir().unwrap();
    let mut watching = command(folder.path(), &["rollout", "watch", "rol_1"]);
    let child =
        service.environment(&mut watching).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    while service.lines().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ran = super::Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 1, "nobody saw how it ended");
    assert!(ran.err.contains("come back with: yizhan rollout watch rol_1"), "{}", ran.err);
    assert!(service.lines().iter().all(|line| line.starts_with("GET ")), "{:?}", service.lines());
}

#[test]
fn the_time_that_is_left_goes_by_those_who_go_all_the_way() {
    let minute = Duration::from_secs(60);
    let begun = Instant::now();
    let at = |counts: Value, skipped: u64| Progress::read(&progress("running", counts, skipped)).unwrap();
    let mut pace = Pace::default();
    let first = at(json!({"queued": 100}), 0);
    // Within a minute eighty are refused or left out: nobody knows yet how long audits take.
    let second = at(json!({"queued": 18, "in_audit": 2, "failed": 40}), 40);
    pace.note(begun, first.gone_through());
    pace.note(begun + minute, second.gone_through());
    assert_eq!((second.ended(), pace.per_minute(), pace.left(&second)), (80, None, None));
    // In the next one one is released and one rejected by the auditors: eighteen more take nine such minutes and longer.
    let third = at(json!({"queued": 18, "released": 1, "rejected": 1, "failed": 40}), 40);
    pace.note(begun + minute * 2, third.gone_through());
    assert_eq!((third.ended(), pace.per_minute(), pace.left(&third)), (82, Some(1.0), Some(minute * 18)));
}
