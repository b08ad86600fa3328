//! The life of a version, domains, capabilities and templates; answers that get lost, tokens that are rejected.

use serde_json::{Value, json};
use yizhan::operations::OperationError;
use yizhan::platform::Reply;
use yizhan::platform::operation::{Next, Params};
use yizhan::platform::twin::Verdict;

use super::{Loss, SHOP, World, caller, now};

#[test]
fn a_version_goes_from_upload_to_rollback() {
    let world = World::new();
    assert_eq!(world.refused("audit.submit", json!({})), "499003");
    assert_eq!(world.refused("package.upload", json!({"template_id": 99, "version": "1.0.0", "description": "x"})), "499001");
    world.publish("1.0.0");
    assert_eq!(world.refused("package.rollback", json!({})), "499007");
    world.upload("1.1.0");
    assert_eq!(world.refused("package.release", json!({})), "499006");
    let submitted = world.done("audit.submit", json!({}));
    assert_eq!(submitted, json!({"status": "in_audit", "version": "1.1.0"}));
    assert_eq!(world.refused("audit.submit", json!({})), "499004");
    assert_eq!(world.stage("audit")["status"], "in_audit");
    assert_eq!(world.done("audit.withdraw", json!({}))["version"], "1.1.0");
    assert_eq!(world.refused("audit.withdraw", json!({})), "499005");
    world.done("audit.submit", json!({}));
    world.twin().audit(SHOP, "1.1.0", &Verdict::Failed(String::from("图标不清")), now());
    let audit = world.stage("audit");
    assert_eq!((&audit["status"], &audit["reason"], &audit["vendor_status"]), (&json!("rejected"), &json!("图标不清"), &json!("2")));
    world.approve("1.1.0");
    assert_eq!(world.done("package.release", json!({})), json!({"status": "released", "version": "1.1.0"}));
    let current = world.stage("current");
    assert_eq!((&current["version"], &current["can_rollback"], &current["rollback_to"]), (&json!("1.1.0"), &json!(true), &json!("1.0.0")));
    world.done("package.rollback", json!({}));
    assert_eq!((world.stage("current")["version"].as_str(), world.stage("audit")), (Some("1.0.0"), Value::Null));
}

#[test]
fn deeds_whose_answers_are_lost_happen_once() {
    for loss in [Loss::Answer, Loss::Call] {
        let world = World::new();
        world.publish("1.0.0");
        world.lose("/package/upload", loss);
        world.upload("1.1.0");
        world.lose("/package/audit", loss);
        assert_eq!(world.done("audit.submit", json!({})), json!({"status": "in_audit", "version": "1.1.0"}));
        world.lose("/package/revoke_audit", loss);
        world.done("audit.withdraw", json!({}));
        world.approve("1.1.0");
        world.lose("/package/release", loss);
        assert_eq!(world.done("package.release", json!({}))["version"], "1.1.0");
        let seen = ["package.upload", "audit.submit", "audit.withdraw", "package.release"].map(|deed| world.seen(deed));
        assert_eq!((seen, world.stage("current")["version"].as_str()), ([2, 3, 1, 2], Some("1.1.0")));
        world.lose("/template/add_tpl", loss);
        assert_eq!(world.seen("template.add"), 0);
        world.done("template.add", json!({"draft_id": 31}));
        world.lose("/template/del_tpl", loss);
        world.done("template.delete", json!({"template_id": "13"}));
        assert_eq!((world.seen("template.add"), world.seen("template.delete")), (1, 1));
        world.lose("/video_application", loss);
        world.done("capability.apply", json!({"capability": "short_video"}));
        assert_eq!(world.seen("capability.apply"), 1);
        world.done("server_domain.add", json!({"udp": ["voice.example.com"]}));
        world.lose("/server_domain", loss);
        world.done("server_domain.delete", json!({"udp": ["voice.example.com"]}));
        assert_eq!(world.seen("server_domain.delete"), 1);
    }
}

#[test]
fn the_first_upload_whose_answer_is_lost_happens_once_too() {
    for loss in [Loss::Answer, Loss::Call] {
        let world = World::new();
        world.lose("/package/upload", loss);
        world.upload("1.0.0");
        assert_eq!((world.seen("package.upload"), world.stage("latest")["version"].as_str()), (1, Some("1.0.0")));
    }
}

#[test]
fn a_rollback_that_does_not_show_stays_unknown_and_one_that_does_is_found() {
    for loss in [Loss::Answer, Loss::Call] {
        let world = World::new();
        world.publish("1.0.0");
        world.publish("1.1.0");
        world.lose("/package/rollback", loss);
        let outcome = world.call("package.rollback", json!({}));
        match loss {
            Loss::Answer => drop(outcome.unwrap()),
            Loss::Call => assert!(matches!(outcome, Err(OperationError::OutcomeUnknown { .. }))),
        }
        assert_eq!(world.seen("package.rollback"), u32::from(loss == Loss::Answer));
    }
}

#[test]
fn a_deed_of_a_process_that_ended_is_not_sent_again_by_a_comparison_with_the_list_of_now() {
    let world = World::new();
    world.publish("1.0.0");
    let (upload, draft) = (json!({"template_id": 12, "version": "1.1.0", "description": "驿站"}), json!({"draft_id": 31}));
    let unknown = |name: &str, params: &Value| {
        let outcome = world.resume(name, params.clone());
        assert!(matches!(outcome, Err(OperationError::OutcomeUnknown { .. })), "{name}: {outcome:?}");
    };
    world.done("package.upload", upload);
    world.done("audit.submit", json!({}));
    unknown("audit.submit", &json!({}));
    // A withdrawal shows by itself.
    world.done("audit.withdraw", json!({}));
    world.resume("audit.withdraw", json!({})).unwrap();
    world.approve("1.1.0");
    world.done("package.release", json!({}));
    unknown("package.release", &json!({}));
    world.done("template.add", draft.clone());
    unknown("template.add", &draft);
    // Another version has passed meanwhile.
    world.upload("1.2.0");
    world.approve("1.2.0");
    unknown("package.release", &json!({}));
    assert_eq!(world.stage("current")["version"], "1.1.0");
    let deeds = ["package.upload", "audit.submit", "audit.withdraw", "package.release", "template.add"];
    assert_eq!(deeds.map(|deed| world.seen(deed)), [3, 4, 1, 2, 1]);
}

#[test]
fn without_a_list_of_versions_a_lost_answer_stays_unknown() {
    let world = World::of("operations.\"package.upload\" = { enabled = true }");
    world.lose("/package/upload", Loss::Answer);
    let outcome = world.call("package.upload", json!({"template_id": 12, "version": "1.0.0", "description": "x"}));
    assert!(matches!(outcome, Err(OperationError::OutcomeUnknown { .. })), "{outcome:?}");
    assert_eq!(world.seen("package.upload"), 1);
}

#[test]
fn domains_lose_their_scheme_and_lists_that_are_not_given_stay() {
    let world = World::of("");
    world.done(
        "server_domain.add",
        json!({"request": ["https://a.example.com:8443/x?y", "a.example.com."], "udp": ["udp://b.example.com"]}),
    );
    let domains = world.done("server_domain.set", json!({"udp": ["c.example.com"]}));
    let expected = json!({"request": ["a.example.com"], "socket": [], "upload": [], "download": [], "udp": ["c.example.com"]});
    assert_eq!((&domains, &world.done("server_domain.get", json!({}))), (&expected, &expected));
    assert_eq!(world.refused("server_domain.delete", json!({"socket": ["wss://d.example.com"]})), "403106");
    assert_eq!(world.refused("server_domain.add", json!({})), "no-domains");
    assert_eq!(world.refused("server_domain.add", json!({"request": ["https:///x"]})), "no-domain");
    world.done("webview_domain.add", json!({"domains": ["https://www.example.com/"]}));
    assert_eq!(world.done("webview_domain.get", json!({})), json!({"domains": ["www.example.com"]}));
    let renamed = World::of("operations.webview_domain = { list_field = \"webview_domain\", normalize = false }");
    assert_eq!(
        renamed.done("webview_domain.set", json!({"domains": ["https://x.example.com"]}))["domains"],
        json!(["https://x.example.com"])
    );
}

#[test]
fn a_capability_has_the_state_that_the_settings_give_its_number() {
    let world = World::new();
    let state = |capability: &str| world.done("capability.status", json!({"capability": capability}));
    assert_eq!(state("short_video")["status"], "can_apply");
    world.done("phone_number.apply", json!({"reason": "登录"}));
    assert_eq!(world.done("phone_number.status", json!({}))["status"], "pending");
    assert_eq!(state("phone_number"), json!({"capability": "phone_number", "status": "pending", "vendor_status": "3"}));
    assert_eq!(state("live"), json!({"capability": "live", "status": "unknown", "vendor_status": "1"}), "nobody has mapped it");
}

#[test]
fn a_rejected_token_is_renewed_once() {
    let world = World::new();
    world.twin().expire_tokens(Some(SHOP));
    world.upload("1.0.0");
    assert_eq!((world.renewals(), world.seen("package.upload")), (1, 1));
    world.twin().expire_tokens(None);
    world.done("template.list", json!({}));
    assert_eq!(world.renewals(), 2);
}

#[test]
fn a_trial_code_comes_as_a_picture_an_address_or_base64() {
    let world = World::new();
    world.upload("1.0.0");
    let outcome = world.call("trial.qrcode", json!({})).unwrap();
    assert_eq!(outcome.file.unwrap().content_type, "image/png");
    assert_eq!(world.refused("trial.qrcode", json!({"stage": "audit"})), "499008");
    let row = world.row("trial.qrcode");
    let params = Params::check(&row, serde_json::Map::new()).unwrap();
    let tokens = world.tokens();
    let read = |content_type: &str, body: &'static [u8]| {
        let reply = Reply { status: 200, content_type: content_type.to_owned(), body: bytes::Bytes::from_static(body) };
        world.component.operations().next(&row, &params, &[reply], caller(&row, &tokens))
    };
    match read("image/jpeg", b"picture") {
        Next::Done(outcome) => assert_eq!(outcome.file.unwrap().content.as_ref(), b"picture"),
        other => panic!("{other:?}"),
    }
    match read("application/json", b"{\"result\":1,\"data\":\"https://example.com/code.png\"}") {
        Next::Done(outcome) => assert_eq!((outcome.result, outcome.file), (json!({"url": "https://example.com/code.png"}), None)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(read("application/json", b"{\"result\":42,\"error_msg\":\"no\"}"), Next::Refused(error) if error.code == "42"));
    assert!(matches!(read("text/html", b"<html>"), Next::Refused(_)));
}
