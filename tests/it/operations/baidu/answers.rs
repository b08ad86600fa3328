//! Domains, traffic, templates, missed pushes: what the vendor answers and how it reads.

use bytes::Bytes;
use serde_json::{Value, json};
use yizhan::platform::operation::{Next, Operation, Params};
use yizhan::platform::{Class, Reply};

use super::shop::{MERCHANT, Shop};

fn reply(kind: &str, body: impl Into<Bytes>) -> Reply {
    Reply { status: 200, content_type: kind.to_owned(), body: body.into() }
}

/// The vendor's answer to a single call, read.
fn read(name: &str, given: Value, answer: Reply) -> Next {
    let shop = Shop::open();
    let row: Operation = shop.row(name);
    let params = Params::check(&row, given.as_object().unwrap().clone()).unwrap();
    shop.component.operations().next(&row, &params, &[answer], shop.caller(&row))
}

fn result(name: &str, given: Value, data: Value) -> Value {
    match read(name, given, reply("application/json", json!({"errno": 0, "msg": "success", "data": data}).to_string())) {
        Next::Done(outcome) => outcome.result,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn domains_of_an_app_stay_within_those_of_the_platform_application() {
    let mut shop = Shop::open();
    shop.done(
        "server_domain.set",
        json!({"request": ["https://api.example.com", "https://cdn.example.com"], "socket": ["wss://example.com"]}),
    );
    shop.done("server_domain.add", json!({"upload": ["https://up.example.com"]}));
    shop.done("server_domain.delete", json!({"request": ["https://cdn.example.com"]}));
    let all = json!({
        "request": ["https://api.example.com"], "socket": ["wss://example.com"], "upload": ["https://up.example.com"], "download": [],
    });
    assert_eq!(shop.done("server_domain.get", json!({})), all);
    let error = shop.refused("server_domain.add", json!({"request": ["https://badexample.com"]}));
    assert_eq!((error.code.as_str(), error.advice.is_some()), ("470016", true));
    shop.done("component_server_domain.add", json!({"request": ["https://badexample.com"]}));
    shop.done("server_domain.add", json!({"request": ["https://badexample.com"]}));
    assert_eq!(shop.refused("server_domain.delete", json!({"request": ["https://other.example.com"]})).code, "470017");
    let error = shop.refused("component_server_domain.delete", json!({"request": ["https://other.example.com"]}));
    assert_eq!((error.code.as_str(), error.advice), ("50040", Some("the domain to delete is not set: get the list first")));
    shop.done("server_domain.copy", json!({}));
    let own = shop.done("component_server_domain.get", json!({}));
    assert_eq!(shop.done("server_domain.get", json!({})), own);

    shop.done("webview_domain.copy", json!({}));
    shop.done("webview_domain.delete", json!({"domains": ["https://example.com"]}));
    assert_eq!(shop.done("webview_domain.get", json!({})), json!({"domains": ["https://api.example.com"]}));
    shop.done("component_webview_domain.set", json!({"domains": ["https://shop.example.org"]}));
    assert_eq!(shop.done("component_webview_domain.get", json!({})), json!({"domains": ["https://shop.example.org"]}));
    let many: Vec<String> = (0..20).map(|n| format!("https://d{n}.example.org")).collect();
    assert_eq!(shop.refused("component_webview_domain.add", json!({"domains": many})).code, "50045");
}

#[test]
fn domains_are_scheme_and_host() {
    let mut shop = Shop::open();
    for wrong in [
        "api.example.com",
        "http://api.example.com",
        "https://a.example.com:8443",
        "https://a.example.com/",
        "https://10.0.0.1",
        "https://localhost",
        "https://",
        "https://openapi.baidu.com",
        "https://a.com,https://b.com",
    ] {
        assert_eq!(shop.misfits("server_domain.add", json!({"request": [wrong]})), ["request"], "{wrong}");
    }
    assert_eq!(
        shop.misfits("server_domain.set", json!({"socket": ["https://a.example.com"], "request": ["wss://a.example.com"]})),
        ["request", "socket"]
    );
    assert_eq!(shop.misfits("server_domain.set", json!({})), ["request"]);
    assert!(shop.misfits("webview_domain.add", json!({"domains": vec!["x"; 21]})).contains(&String::from("domains")));
    assert!(shop.calls.is_empty());
}

#[test]
fn the_verification_file_keeps_its_name() {
    let mut shop = Shop::open();
    let outcome = shop.carry("webview_domain.check_file", json!({})).unwrap();
    let file = outcome.file.unwrap();
    assert_eq!(
        (file.name.as_deref(), file.content.len(), file.content_type.as_str()),
        (Some("bd_mapp_domaincer.txt"), 32, "application/octet-stream")
    );
    assert_eq!(outcome.result["file_name"], "bd_mapp_domaincer.txt");
}

#[test]
fn a_file_that_is_none_is_refused() {
    let no = json!({"errno": 47002, "msg": "qrcode failed"}).to_string();
    for answer in [reply("application/json", no.clone()), reply("text/plain", no.clone()), reply("image/png", no)] {
        let Next::Refused(error) = read("qrcode.create", json!({}), answer) else { panic!() };
        assert_eq!(error.code, "47002");
    }
    for answer in [
        reply("text/html", "<html>"),
        reply("image/png", ""),
        Reply { status: 502, ..reply("image/png", "x") },
        reply("application/json", r#"{"errno":0}"#),
    ] {
        let Next::Refused(error) = read("qrcode.create", json!({}), answer) else { panic!() };
        assert_eq!(error.class, Class::Retry);
    }
}

#[test]
fn traffic_that_is_so_already_counts_as_done() {
    let mut shop = Shop::open();
    shop.done("traffic.pause", json!({}));
    shop.done("traffic.pause", json!({}));
    assert_eq!(shop.count("traffic.pause"), 1);
    assert_eq!(shop.done("profile.get", json!({}))["status"], "traffic_offline");
    shop.done("traffic.resume", json!({}));
    shop.done("traffic.resume", json!({}));
    shop.say("FLOW_CLOSE_NOTIFY", json!({"reason": "spam"}));
    let error = shop.refused("traffic.resume", json!({}));
    assert_eq!((error.code.as_str(), error.advice.is_some()), ("110002", true));
    assert_eq!(shop.refused("traffic.appeal", json!({"audit_desc": "mended"})).code, "40032");
    let violations = shop.done("violation.list", json!({}));
    assert_eq!(violations["items"][0]["pictures"], json!(["https://b.bdstatic.com/sample/problem.png"]));
    shop.release("1.0.0");
    shop.done("traffic.appeal", json!({"audit_desc": "mended"}));
    shop.say("FLOW_CLOSE_AUDIT_PASS", json!({}));
    assert_eq!(shop.refused("traffic.appeal", json!({"audit_desc": "mended"})).code, "40045");
    assert_eq!(shop.misfits("traffic.appeal", json!({"audit_desc": " "})), ["audit_desc"]);
}

#[test]
fn basic_information_is_corrected_after_a_forced_offline() {
    let mut shop = Shop::open();
    assert_eq!(shop.refused("profile.correct", json!({"name": "new name"})).code, "40045");
    shop.say("APP_FORCE_OFFLINE", json!({"offlineReason": 1, "illegalFields": "appName", "reason": "r"}));
    let profile = shop.done("profile.get", json!({}));
    assert_eq!((&profile["status"], &profile["offline"][0]["illegal_fields"]), (&json!("forced_offline"), &json!("appName")));
    shop.done("profile.correct", json!({"name": "new name"}));
    shop.say("BASE_INFO_OFFLINE_AUDIT_SUCCESS", json!({"examineId": 1}));
    let profile = shop.done("profile.get", json!({}));
    assert_eq!((&profile["status"], &profile["name"]), (&json!("normal"), &json!("new name")));
}

#[test]
fn a_draft_becomes_a_template_and_goes() {
    let mut shop = Shop::open();
    assert_eq!(shop.done("template.drafts", json!({}))["items"][0]["draft_id"], "501");
    assert_eq!(shop.done("template.add", json!({"draft_id": "501", "description": "shop 2"})), json!({"template_id": "14"}));
    let list = shop.done("template.list", json!({"page": 2, "page_size": 2}));
    assert_eq!(
        (&list["count"], &list["items"][0]["template_id"], &list["items"][0]["description"]),
        (&json!(3), &json!("14"), &json!("shop 2"))
    );
    shop.done("template.delete", json!({"template_id": 14}));
    assert_eq!(shop.done("template.list", json!({}))["count"], 2);
    assert_eq!(shop.refused("template.add", json!({"draft_id": 9, "description": "x"})).code, "40001");
    for _ in 0..48 {
        shop.done("template.add", json!({"draft_id": 501, "description": "x"}));
    }
    let error = shop.refused("template.add", json!({"draft_id": 501, "description": "x"}));
    assert_eq!((error.code.as_str(), error.advice.is_some()), ("2003", true));
}

#[test]
fn pushes_that_nobody_acknowledged_are_listed_and_open() {
    let mut shop = Shop::open();
    let seen = shop.twin.audit(MERCHANT, "1.0.0", &yizhan::platform::twin::Verdict::Passed, shop.now);
    assert!(shop.twin.acknowledged(&seen, 200, b"success"));
    let missed = shop.twin.audit(MERCHANT, "1.0.1", &yizhan::platform::twin::Verdict::Passed, shop.now);
    assert!(!shop.twin.acknowledged(&missed, 500, b""));
    let all = shop.done("pushes.missed", json!({}))["items"].as_array().unwrap().clone();
    let failed = shop.done("pushes.missed", json!({"push_type": 2}))["items"].as_array().unwrap().clone();
    assert_eq!(all.len(), failed.len() + 1);
    let last = failed.last().unwrap();
    assert_eq!(last["status"], "failed");
    let envelope: Value = serde_json::from_slice(&missed.body).unwrap();
    assert_eq!(last["content"], envelope["Encrypt"], "sealed as it was pushed");
    let one = shop.done("pushes.missed", json!({"id_list": [last["id"]]}));
    assert_eq!(one["items"][0], *last);
    assert_eq!(shop.done("pushes.missed", json!({"offset": 1, "count": 1}))["items"].as_array().unwrap().len(), 1);
}

#[test]
fn odd_answers_of_the_vendor_are_read() {
    let named = json!({"name": "sample"});
    assert_eq!(
        result("profile.set_name", named.clone(), json!([{"examine_id": 18_446_744_073_709_551_615_u64}])),
        json!({"audit_id": "18446744073709551615"})
    );
    for nothing in [json!(null), json!({}), json!([]), json!("")] {
        assert_eq!(result("profile.set_name", named.clone(), nothing), json!({}));
    }
    let categories = json!([{"id": 1, "category_name": "p", "sub_items": {
        "197": {"id": "197", "category_name": "c", "need_quali": "1", "category_quali": r#"{"list":[{"id":1,"must":1}]}"#},
        "6": {"id": 6, "category_name": "d", "need_quali": 0, "category_quali": ""},
    }}]);
    let read = result("category.catalogue", json!({"category_type": 2}), categories);
    assert_eq!(read["items"][0]["materials"], json!([[{"id": 1, "must": 1}]]));
    assert_eq!((&read["items"][0]["needs_materials"], &read["items"][1]["sub_category_id"]), (&json!(true), &json!("6")));
    let quota = result("audit.quota", json!({}), json!({"quota_type": 2, "quota_times": 5, "remain_times": -1}));
    assert_eq!(quota, json!({"period": "week", "quota": 5, "remaining": null, "unlimited": true}));
    let packages = json!([
        {"package_id": "9007199254740993", "status": 7, "version": "1", "commit_time": "2019/01/14 12:45:10"},
        {"version": "2", "upload_status": 3, "upload_err_msg": "no"},
    ]);
    let list = result("package.list", json!({}), packages);
    assert_eq!((&list["items"][0]["package_id"], &list["items"][0]["status"]), (&json!("9007199254740993"), &json!("unknown")));
    assert_eq!((&list["items"][0]["committed_at"], &list["items"][1]["status"]), (&json!("2019-01-14T04:45:10Z"), &json!("upload_failed")));
    let profile = result("profile.get", json!({}), json!({"photo_addr": "https://a/plain.png", "qualification": {"status": 2}}));
    assert_eq!((&profile["icon"], &profile["subject"]["status"]), (&json!("https://a/plain.png"), &json!("in_audit")));
    assert_eq!(
        result("webview_domain.get", json!({}), json!("https://a.example.com, https://b.example.com"))["domains"].as_array().unwrap().len(),
        2
    );
}

/// What comes next after an upload, given what the list says.
fn after_upload(before: Value, polls: &[Value]) -> Next {
    let shop = Shop::open();
    let row = shop.row("package.upload");
    let params =
        Params::check(&row, json!({"template_id": 12, "version": "1.0", "description": "d"}).as_object().unwrap().clone()).unwrap();
    let told = |data: &Value| reply("application/json", json!({"errno": 0, "data": data}).to_string());
    let mut replies = vec![told(&before), told(&json!({}))];
    replies.extend(polls.iter().map(told));
    shop.component.operations().next(&row, &params, &replies, shop.caller(&row))
}

#[test]
fn an_upload_that_failed_says_why() {
    let failed = json!([{"version": "1.0", "upload_status": 3, "upload_err_code": 69010, "upload_err_msg": "not parseable"}]);
    let Next::Refused(error) = after_upload(json!([]), std::slice::from_ref(&failed)) else { panic!() };
    assert_eq!((error.code.as_str(), error.message.as_str(), error.advice.is_some()), ("69010", "not parseable", true));
    assert!(matches!(after_upload(failed.clone(), std::slice::from_ref(&failed)), Next::After(..)), "an older failure is not this one's");
    let uploading = json!([{"version": "1.0", "upload_status": 1}]);
    assert!(matches!(after_upload(json!([]), &[uploading]), Next::After(..)));
}

#[test]
fn waiting_for_a_package_ends() {
    let never: Vec<Value> = vec![json!([{"version": "1.0", "upload_status": 1}]); 20];
    assert!(matches!(after_upload(json!([]), &never[1..]), Next::After(..)));
    let Next::Done(outcome) = after_upload(json!([]), &never) else { panic!() };
    assert_eq!(outcome.result, json!({"package_id": null, "version": "1.0", "status": "uploading"}));
}

#[test]
fn refusals_have_their_class() {
    for (body, class) in [
        (json!({"error_code": 110}), Class::RenewAuthorizerToken),
        (json!({"errno": 44003}), Class::RenewAuthorizerToken),
        (json!({"errno": 50032}), Class::GrantGone),
        (json!({"errno": 40008}), Class::Configuration),
        (json!({"errno": 69012}), Class::Retry),
        (json!({"error_code": 4}), Class::RateLimited),
        (json!({"errno": "69013"}), Class::Refuse),
    ] {
        let Next::Refused(error) = read("service.pause", json!({}), reply("application/json", body.to_string())) else { panic!("{body}") };
        assert_eq!(error.class, class, "{body}");
    }
    let Next::Refused(error) = read("template.list", json!({}), reply("application/json", r#"{"error_code":111}"#)) else { panic!() };
    assert_eq!(error.class, Class::RenewComponentToken);
}
