//! From a template to an online version and back, as the vendor tells it; and what it says to those who skip a step.

use serde_json::{Value, json};
use yizhan::platform::twin::Verdict;

use super::shop::{MERCHANT, Shop};
use crate::sorted_envelope::{arrived, data, pushed};

fn statuses(shop: &mut Shop) -> Vec<(String, String)> {
    let list = shop.done("package.list", json!({}));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list["items"].as_array().unwrap().iter().map(|item| (text(&item["version"]), text(&item["status"]))).collect()
}

fn is(version: &str, status: &str) -> (String, String) {
    (version.to_owned(), status.to_owned())
}

#[test]
fn a_version_is_uploaded_audited_released_and_taken_back() {
    let mut shop = Shop::open();
    let first = shop.upload("1.0.0");
    assert_eq!(shop.waited.as_secs(), 3, "the package is waited for");
    assert_eq!(statuses(&mut shop), [is("1.0.0", "development")]);

    // As a playbook does: neither id nor version is known to it.
    let submitted = shop.done("audit.submit", json!({}));
    assert_eq!(submitted, json!({"package_id": first, "version": "1.0.0", "status": "in_audit"}));
    let push = shop.twin.audit(MERCHANT, "1.0.0", &Verdict::Failed(String::from("blurred")), shop.now);
    let event = pushed(shop.component.open(&arrived(&push, shop.now)));
    assert_eq!(data(&event), json!({"version": "1.0.0", "package_id": first, "reason": "blurred"}));
    let list = shop.done("package.list", json!({}));
    assert_eq!((&list["items"][0]["status"], &list["items"][0]["reason"]), (&json!("rejected"), &json!("blurred")));

    let second = shop.upload("1.0.1");
    assert_ne!(first, second);
    shop.done("audit.submit", json!({"version": "1.0.1", "description": "better"}));
    let withdrawn = shop.done("audit.withdraw", json!({}));
    assert_eq!(withdrawn["status"], "development");
    shop.done("audit.submit", json!({"package_id": second, "description": "better"}));
    shop.twin.audit(MERCHANT, "1.0.1", &Verdict::Passed, shop.now);
    assert_eq!(shop.done("package.release", json!({})), json!({"package_id": second, "version": "1.0.1", "status": "online"}));

    let third = shop.release("1.0.2");
    assert_eq!(statuses(&mut shop), [is("1.0.0", "rejected"), is("1.0.2", "online")]);
    let back = shop.done("package.rollback", json!({}));
    assert_eq!(back, json!({"package_id": third, "version": "1.0.2", "status": "rolling_back", "rollback_version": "1.0.1"}));
    assert_eq!(statuses(&mut shop), [is("1.0.0", "rejected"), is("1.0.2", "rolling_back")]);
    shop.now = shop.now.checked_add(jiff::SignedDuration::from_secs(6)).unwrap();
    assert_eq!(statuses(&mut shop), [is("1.0.0", "rejected"), is("1.0.1", "online")]);
    assert_eq!(shop.done("package.get", json!({}))["version"], "1.0.1");
}

#[test]
fn who_skips_a_step_hears_the_vendors_code() {
    let mut shop = Shop::open();
    for (name, words) in [
        ("audit.submit", "in development"),
        ("audit.withdraw", "in audit"),
        ("package.release", "passed its audit"),
        ("package.rollback", "online"),
    ] {
        let error = shop.refused(name, json!({}));
        assert!(error.code == "69005" && error.message.contains(words) && error.advice.is_some(), "{name}: {error:?}");
        let error = shop.refused(name, json!({"package_id": "9"}));
        assert_eq!(error.code, "69005", "{name}");
    }
    shop.upload("1.0.0");
    assert_eq!(shop.refused("package.release", json!({"version": "1.0.0"})).code, "69005", "not audited yet");
    assert_eq!(shop.refused("audit.withdraw", json!({"version": "1.0.0"})).code, "69005");
    assert!(shop.refused("audit.submit", json!({"version": "3"})).message.contains("\"3\""));
    shop.release("1.0.1");
    assert_eq!(shop.refused("package.rollback", json!({})).code, "69005", "nothing to go back to");
    assert_eq!(shop.refused("package.upload", json!({"template_id": "99", "version": "2", "description": "d"})).code, "69006");
    assert_eq!(shop.refused("package.get", json!({"package_id": 4})).code, "69005");
}

#[test]
fn name_and_category_must_have_passed() {
    let mut shop = Shop::open();
    shop.upload("1.0.0");
    shop.say("APP_NAME_CLEAR", json!({"reason": "too late"}));
    assert_eq!(shop.refused("audit.submit", json!({})).code, "69001");
    shop.done(
        "category.add",
        json!({"categories": [{"sub_category_id": 197, "qualis": [{"id": 1, "addr": "https://b.bdstatic.com/q.png"}]}]}),
    );
    shop.say("APP_CATEGORY_AUDIT_PASS", json!({}));
    shop.done("category.delete", json!({"categories": [{"sub_category_id": 197}, {"sub_category_id": 301}]}));
    let error = shop.refused("audit.submit", json!({}));
    assert_eq!((error.code.as_str(), error.advice.is_some()), ("69003", true));
}

#[test]
fn submissions_run_out() {
    let mut shop = Shop::open();
    let id = shop.upload("1.0.0");
    let quota = shop.done("audit.quota", json!({}));
    let left = quota["remaining"].as_i64().unwrap();
    for _ in 0..left {
        shop.done("audit.submit", json!({"package_id": id, "description": "d"}));
        shop.done("audit.withdraw", json!({"package_id": id}));
    }
    assert_eq!(shop.done("audit.quota", json!({}))["remaining"], 0);
    let error = shop.refused("audit.submit", json!({"package_id": id, "description": "d"}));
    assert_eq!((error.code.as_str(), error.advice.is_some()), ("69013", true));
    let at_once = json!({"template_id": 12, "version": "2", "description": "d", "ext": {"directCommit": true}});
    assert_eq!(shop.refused("package.upload", at_once).code, "69013");
}

#[test]
fn a_package_submitted_at_once_is_in_audit_when_it_appears() {
    let mut shop = Shop::open();
    let given = json!({"template_id": 12, "version": "2", "description": "d", "ext": {"directCommit": true, "extAppid": "666"}});
    assert_eq!(shop.done("package.upload", given)["status"], "in_audit");
}

#[test]
fn a_dead_token_is_renewed_and_the_call_made_once_more() {
    let mut shop = Shop::open();
    shop.upload("1.0.0");
    shop.twin.expire_tokens(Some(MERCHANT));
    shop.done("audit.submit", json!({}));
    assert_eq!(shop.count("audit.submit"), 1);
    // The picture travels with the platform application's token, the change with the merchant's.
    shop.twin.expire_tokens(None);
    shop.done("profile.set_icon", json!({"icon": super::shop::picture("icon.png")}));
    shop.twin.revoke(MERCHANT, shop.now);
    let row = shop.row("service.pause");
    let params = yizhan::platform::operation::Params::check(&row, Default::default()).unwrap();
    let yizhan::platform::operation::Next::Call(call) = shop.component.operations().next(&row, &params, &[], shop.caller(&row)) else {
        panic!()
    };
    let answer = shop.twin.answer(&super::shop::request(&call), shop.now);
    assert!(!answer.accepted && String::from_utf8_lossy(&answer.reply.body).contains("110"), "a withdrawn grant ends its tokens");
}

#[test]
fn qr_codes_are_of_the_stage_that_is_asked_for() {
    let mut shop = Shop::open();
    assert!(shop.refused("trial.qrcode", json!({})).message.contains("in development"));
    assert_eq!(shop.refused("trial.qrcode", json!({"stage": "current"})).code, "470020");
    let first = shop.release("1.0.0");
    let second = shop.upload("1.0.1");
    for (stage, id) in [("latest", Some(second.as_str())), ("current", None)] {
        shop.calls.clear();
        let outcome = shop.carry("trial.qrcode", json!({"stage": stage})).unwrap();
        let sent = shop.calls.last().unwrap().query.iter().find(|(name, _)| name == "package_id").map(|(_, id)| id.expose().to_owned());
        assert_eq!(sent.as_deref(), id, "{stage}");
        let file = outcome.file.unwrap();
        assert!(file.content_type == "image/png" && file.content.starts_with(b"\x89PNG"));
    }
    shop.done("audit.submit", json!({"package_id": second, "description": "d"}));
    assert_eq!(shop.done("trial.qrcode", json!({"stage": "audit"}))["file_name"], "qrcode.png");
    assert_eq!(shop.refused("trial.qrcode", json!({"package_id": "1"})).code, "470019");
    assert_eq!(shop.misfits("trial.qrcode", json!({"package_id": first, "width": 100})), ["width"]);
}
