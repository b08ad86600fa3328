//! `call` and `openapi`.

use std::fs;

use serde_json::{Value, json};

use super::run;
use super::service::{StandIn, ok};

fn rows() -> Value {
    let row = |name: &str, token: &str, answers: &str, properties: Value, required: Value, example: Value| {
        json!({
            "operation": name, "platform": "douyin", "title": {"zh": "做", "en": "do it"}, "token": token, "method": "POST", "path": "/x",
            "effect": "once", "answers": answers, "reference": "1", "enabled": name != "thing.off", "settings": "enabled = true",
            "parameters": {"type": "object", "required": required, "properties": properties}, "example": example,
        })
    };
    let file = json!({"type": "object", "properties": {"file_name": {}, "content_base64": {}}});
    let upload = json!({
        "template_id": {"type": ["string", "integer"]}, "version": {"type": "string"}, "ext": {"type": "object"},
        "hosts": {"type": "array", "items": {"type": "string"}}, "icon": file,
    });
    let example = json!({"template_id": "12", "version": "1.0 beta", "icon": {"file_name": "a.png", "content_base64": "AA=="}});
    json!({"items": [
        row("package.upload", "authorizer", "json", upload, json!(["template_id"]), example),
        row("qrcode.create", "authorizer", "file", json!({}), json!([]), json!({})),
        row("thing.off", "component", "json", json!({}), json!([]), json!({})),
    ]})
}

#[test]
fn values_are_read_by_the_rows_schema() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("logo.png"), b"\x89PNG").unwrap();
    let service = StandIn::answering([ok(rows()), ok(json!({"result": {"package_id": "7"}, "vendor": {"err_no": 0}}))]);
    let ran = service.run_in(
        folder.path(),
        &[
            "call",
            "douyin",
            "tt01",
            "package.upload",
            "template_id=9133504853504535288",
            "version=1.0.3",
            "hosts=a,b",
            "ext={\"a\":1}",
            "unheard=of",
            "--file",
            "icon=logo.png",
            "--idempotency-key",
            "k1",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json(), json!({"package_id": "7"}), "people read the result");
    let asked = service.asked();
    assert_eq!(asked[0].line, "GET /v1/operations?component=douyin");
    assert_eq!(asked[1].line, "POST /v1/components/douyin/authorizers/tt01/operations/package.upload");
    let body: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(
        body,
        json!({"template_id": "9133504853504535288", "version": "1.0.3", "hosts": ["a", "b"], "ext": {"a": 1}, "unheard": "of",
            "icon": {"file_name": "logo.png", "content_base64": "iVBORw=="}})
    );
    let header = |name: &str| asked[1].headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    assert_eq!((header("idempotency-key"), header("accept")), (Some("k1"), Some("application/json")));
}

#[test]
fn json_shows_the_vendors_answer_too() {
    let answer = json!({"result": {}, "vendor": {"errno": 0}});
    let service = StandIn::answering([ok(rows()), ok(answer.clone())]);
    assert_eq!(service.run(&["--json", "call", "douyin", "tt01", "package.upload"]).json(), answer);
}

#[test]
fn a_file_goes_to_output_or_to_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let service = StandIn::answering([ok(rows()), (200, "image/png", b"\x89PNG".to_vec())]);
    let ran = service.run_in(folder.path(), &["call", "douyin", "tt01", "qrcode.create", "--output", "qr.png"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(ran.err.contains("4 bytes written to qr.png"));
    assert_eq!(fs::read(folder.path().join("qr.png")).unwrap(), b"\x89PNG");
    let service = StandIn::answering([ok(rows()), (200, "text/plain", b"check".to_vec())]);
    assert_eq!(service.run(&["call", "douyin", "tt01", "qrcode.create"]).out, "check");
    let with_file =
        json!({"result": {}, "vendor": {}, "file": {"file_name": "a", "content_base64": "iVBORw==", "content_type": "image/png"}});
    let service = StandIn::answering([ok(rows()), ok(with_file)]);
    let ran = service.run_in(folder.path(), &["--json", "call", "douyin", "tt01", "qrcode.create", "--output", "again.png"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(fs::read(folder.path().join("again.png")).unwrap(), b"\x89PNG");
}

#[test]
fn an_answer_of_somebody_else_is_no_outcome_of_an_operation() {
    let folder = tempfile::tempdir().unwrap();
    let page = || (200, "text/html; charset=utf-8", b"\x1b[2J<html>welcome".to_vec());
    let commands: [(&[&str], _); 8] = [
        (&["package.upload"], page()),
        (&["package.upload", "--json"], page()),
        (&["package.upload", "--output", "it"], page()),
        (&["package.upload"], (200, "image/png", b"\x89PNG".to_vec())),
        (&["package.upload"], (204, "", Vec::new())),
        (&["package.upload"], (200, "application/json", b"[1]".to_vec())),
        (&["qrcode.create"], page()),
        (&["qrcode.create", "--json", "--output", "it"], (200, "image/png", b"\x89PNG".to_vec())),
    ];
    for (arguments, answer) in commands {
        let service = StandIn::answering([ok(rows()), answer]);
        let ran = service.run_in(folder.path(), &[&["call", "douyin", "tt01"], arguments].concat());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{arguments:?}");
        assert!(ran.err.starts_with("error: the answer is ") && ran.err.contains("hint: does --url name"), "{arguments:?} {}", ran.err);
        assert!(!folder.path().join("it").exists(), "{arguments:?}");
    }
}

#[test]
fn list_and_example_show_what_there_is() {
    let service = StandIn::json(rows());
    let ran = service.run(&["call", "douyin", "--list"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("package.upload") && ran.out.contains("template_id [version] [ext] [hosts] [icon]"), "{}", ran.out);
    assert!(ran.out.contains("do it (off)"), "{}", ran.out);
    let service = StandIn::json(rows());
    let ran = service.run(&["call", "douyin", "package.upload", "--example"]);
    assert_eq!(ran.json()["template_id"], "12");
    assert!(
        ran.err.contains("yizhan call douyin AUTHORIZER package.upload template_id=12 'version=1.0 beta' --file icon=a.png"),
        "{}",
        ran.err
    );
    let service = StandIn::json(rows());
    assert!(service.run(&["call", "douyin", "thing.off", "--example"]).err.contains("enabled = true"));
}

#[test]
fn wrong_use_is_told_before_anything_is_called() {
    for (arguments, told) in [
        (&["call", "douyin", "package.upload"][..], "acts for a merchant"),
        (&["call", "douyin", "tt01", "thing.off"], "leave the authorizer out"),
        (&["call", "douyin", "tt01", "package.uplaod"], "no operation"),
        (&["call", "douyin", "tt01", "package.upload", "icon=x"], "--file icon=PATH"),
        (&["call", "douyin", "tt01", "package.upload", "version=1", "version=2"], "given twice"),
        (&["call", "douyin", "tt01", "package.upload", "--file", "icon"], "icon=logo.png"),
    ] {
        let service = StandIn::json(rows());
        let ran = service.run(arguments);
        assert_eq!((ran.code, service.lines().len()), (2, 1), "{arguments:?} {}", ran.err);
        assert!(ran.err.contains(told), "{arguments:?} {}", ran.err);
    }
    for arguments in
        [&["call", "douyin"][..], &["call", "douyin", "a", "b", "c"], &["call", "douyin", "x=1"], &["call", "douyin", "a", "--list"]]
    {
        let service = StandIn::json(rows());
        let ran = service.run(arguments);
        assert_eq!((ran.code, service.lines().len()), (2, 0), "{arguments:?} {}", ran.err);
    }
}

#[test]
fn a_refusal_shows_the_vendors_code_and_an_exit_code() {
    let problem = json!({"type": "/problems/vendor-refused", "title": "The vendor refused", "status": 502, "detail": "the vendor answered 40007: no",
        "vendor": {"code": "40007", "message": "no", "class": "refuse", "advice": null}});
    let service = StandIn::answering([ok(rows()), (502, "application/problem+json", problem.to_string().into_bytes())]);
    let ran = service.run(&["call", "douyin", "tt01", "package.upload"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("40007") && ran.err.contains("refuse"), "{}", ran.err);
}

#[test]
fn wrong_use_that_the_service_notices_is_exit_code_2() {
    for (status, code) in [(400, 2), (422, 2), (404, 1), (409, 1), (429, 1), (503, 1)] {
        let problem = json!({"type": "/problems/x", "title": "No", "status": status, "detail": "`version` is missing"});
        let service = StandIn::answering([ok(rows()), (status, "application/problem+json", problem.to_string().into_bytes())]);
        let ran = service.run(&["call", "douyin", "tt01", "package.upload"]);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{status}: {}", ran.err);
    }
}

#[test]
fn openapi_and_the_page_need_no_service() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["openapi"]);
    assert_eq!((ran.code, ran.json()["openapi"].as_str()), (0, Some("3.1.0")), "{}", ran.err);
    let ran = run(folder.path(), &["openapi", "--markdown"]);
    assert!(ran.out.starts_with("# Operations"), "{}", ran.out);
    assert_eq!(ran.out, yizhan::operations::page::markdown(&yizhan::operations::sheet::all()));
}
