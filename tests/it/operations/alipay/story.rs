//! A version's life, with the vendor's own refusals for everything out of order.

use serde_json::json;
use yizhan::platform::twin::Verdict;
use yizhan::platform::{Class, Reply};

use super::{Failure, SHOP, TEMPLATE, World, certified, submission};

fn version(number: &str) -> serde_json::Value {
    json!({"version": number})
}

fn life(world: World) {
    let uploaded =
        world.done("package.upload", json!({"template_id": 2_021_000_000_000_002_u64, "version": "0.0.1", "ext": {"ext": {"shop": 1}}}));
    assert_eq!(uploaded, json!({"version": "0.0.1", "status": "created"}));
    assert_eq!(world.pauses(), 1, "the build is asked for once, after a pause");
    assert_eq!(world.done("package.list", json!({}))["items"][0]["status"], "developing");
    world.advance(jiff::SignedDuration::from_secs(5));
    assert_eq!(world.refused("package.release", version("0.0.1")), "CAN_NOT_ONLINE_WITHOUT_AUDIT");
    assert_eq!(world.done("audit.submit", submission("0.0.1"))["status"], "in_audit");
    assert_eq!(world.refused("audit.submit", submission("0.0.1")), "SUBMIT_REPEAT");

    // Rejected, sent back, submitted again, withdrawn and submitted once more.
    world.twin().audit(SHOP, "0.0.1", &Verdict::Failed(String::from("图标不清晰")), world.now());
    let reason = world.done("audit.reason", version("0.0.1"));
    assert_eq!((&reason["status"], &reason["reason"]), (&json!("rejected"), &json!("图标不清晰")));
    world.done("package.back_to_development", version("0.0.1"));
    world.submit("0.0.1");
    world.done("audit.withdraw", json!({}));
    assert_eq!(world.status("0.0.1"), "developing");
    world.submit("0.0.1");
    world.approve("0.0.1");
    assert_eq!(world.status("0.0.1"), "approved");

    // One version at a time.
    world.upload("0.0.2");
    assert_eq!(world.refused("audit.submit", submission("0.0.2")), "CAN_NOT_SUBMIT_WITH_AUDIT_GRAY");
    world.done("package.gray_online", json!({"version": "0.0.1", "gray_strategy": "p30"}));
    assert_eq!(world.refused("package.gray_online", json!({"version": "0.0.1", "gray_strategy": "p10"})), "GRAY_STRATEGY_NOT_ALLOW_REDUCE");
    assert_eq!(world.done("package.release", version("0.0.1")), json!({"version": "0.0.1", "status": "released"}));
    assert_eq!(world.refused("package.rollback", version("0.0.1")), "CAN_NOT_ROLLBACK_WITHOUT_OFFLINE");
    world.submit("0.0.2");
    world.approve("0.0.2");
    world.done("package.online", version("0.0.2"));
    assert_eq!((world.status("0.0.1"), world.status("0.0.2")), (json!("offline"), json!("released")));
    world.done("package.rollback", version("0.0.2"));
    assert_eq!((world.status("0.0.1"), world.status("0.0.2")), (json!("released"), json!("offline")));
    assert_eq!(world.refused("package.rollback", version("0.0.1")), "CAN_NOT_CONTINUOUS_ROLLBACK");
    world.done("package.offline", version("0.0.1"));
    assert_eq!(world.refused("package.offline", version("0.0.1")), "CAN_NOT_OFFLINE_WITHOUT_ONLINE");
    assert_eq!((world.seen("package.release"), world.seen("package.rollback")), (2, 1));
}

#[test]
fn a_version_lives_from_upload_to_rollback_in_key_mode() {
    life(World::new());
}

#[test]
fn a_version_lives_from_upload_to_rollback_in_certificate_mode() {
    life(World::of(&certified()));
}

#[test]
fn a_version_lives_from_upload_to_rollback_with_encrypted_calls() {
    life(World::of(&format!("{}encrypt_calls = true\n", super::sample())));
}

#[test]
fn versions_that_cannot_be_are_refused_with_advice() {
    let world = World::new();
    world.upload("0.1.0");
    let upload = |version: &str| match world.call("package.upload", json!({"template_id": TEMPLATE, "version": version})) {
        Err(Failure::Refused(error)) => (error.code, error.class, error.advice.unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    let (code, class, advice) = upload("0.1.0");
    assert_eq!((code.as_str(), class), ("VERSION_HAS_EXISTED", Class::Refuse));
    assert!(advice.contains("greater"));
    assert_eq!(upload("0.0.9").0, "LARGER_VERSION_HAS_EXISTED");
    assert_eq!(upload("one").0, "INVALID_VERSION");
    assert_eq!(world.refused("package.upload", json!({"template_id": "1", "version": "0.2.0"})), "CODE_TEMPLATE_NOT_EXIST");
    for number in 2..=20 {
        world.upload(&format!("0.{number}.0"));
    }
    assert_eq!(world.refused("package.upload", json!({"template_id": TEMPLATE, "version": "0.21.0"})), "DEV_VERSION_EXCEED_MAX_COUNT");
    world.done("package.delete", version("0.1.0"));
    world.upload("0.21.0");
}

#[test]
fn what_comes_before_the_end_of_a_scan_is_told_to_come_again() {
    let world = World::new();
    let row = world.row("audit.submit");
    let params = yizhan::platform::operation::Params::check(&row, submission("0.0.1").as_object().unwrap().clone()).unwrap();
    for code in
        ["CAN_NOT_SUBMIT_WITHOUT_SCAN_PASS", "CAN_NOT_SET_WITHOUT_SCAN_PASS", "CAN_NOT_DELETE_WITH_SCANNING", "CODE_TEMPLATE_NOT_SAFE"]
    {
        let node = json!({"code": "40004", "msg": "Business Failed", "sub_code": code, "sub_msg": ""}).to_string();
        let reply = super::certificates::signed_reply(&row.path, &node, "platform", None);
        match world.component.operations().next(&row, &params, &[reply], super::caller(&row, &world.token, world.now())) {
            yizhan::platform::operation::Next::Refused(error) => assert_eq!((error.class, error.code.as_str()), (Class::Retry, code)),
            other => panic!("{code}: {other:?}"),
        }
    }

    // The desk itself comes again for a while, after a look that shows that nothing was done.
    world.done("package.upload", json!({"template_id": TEMPLATE, "version": "0.0.1"}));
    assert_eq!(world.done("package.get", version("0.0.1"))["scan_result"], "NAN");
    assert_eq!(world.refused("trial.create", version("0.0.1")), "CAN_NOT_SET_WITHOUT_SCAN_PASS");
    world.submit("0.0.1");
    assert_eq!((world.done("package.get", version("0.0.1"))["scan_result"].as_str(), world.seen("audit.submit")), (Some("True"), 1));
}

#[test]
fn a_trial_is_waited_for_and_made_twice_without_harm() {
    let world = World::new();
    world.upload("0.0.1");
    world.pauses();
    let trial = world.done("trial.qrcode", version("0.0.1"));
    assert_eq!((trial["status"].as_str(), world.pauses()), (Some("ready"), 1));
    assert!(trial["qrcode_url"].as_str().unwrap().contains("0.0.1"));
    assert_eq!(world.done("trial.create", version("0.0.1")), json!({"already": true}));
    assert_eq!(world.done("trial.qrcode", version("0.0.1"))["status"], "ready");
    assert_eq!(world.refused("package.delete", version("0.0.1")), "CAN_NOT_DELETE_WITH_EXPERIENCE");
    world.done("trial.cancel", version("0.0.1"));
    assert_eq!(world.done("trial.status", version("0.0.1")), json!({"status": "none"}));
}

#[test]
fn members_come_and_go() {
    let world = World::new();
    let guest = json!({"account": "guest@example.com", "role": "EXPERIENCER"});
    assert_eq!(world.done("member.add", guest.clone()), json!({}));
    assert_eq!(world.done("member.add", guest), json!({"already": true}));
    let listed = world.done("member.list", json!({"role": "EXPERIENCER"}));
    let number = listed["items"][0]["user_id"].clone();
    assert_eq!(number, "2088000000000002");
    world.done("member.remove", json!({"user_id": number, "role": "EXPERIENCER"}));
    assert_eq!(world.refused("member.remove", json!({"user_id": number, "role": "EXPERIENCER"})), "ROLE_NOT_EXSIT");
    for guest in 0..30 {
        world.done("member.add", json!({"account": format!("guest{guest}@example.com"), "role": "DEVELOPER"}));
    }
    assert_eq!(world.refused("member.add", json!({"account": "late@example.com", "role": "DEVELOPER"})), "ROLE_OVER_LIMIT");
    assert!(matches!(world.call("member.list", json!({"role": "HORSE"})), Err(Failure::Bad(bad)) if bad[0].name == "role"));
}

#[test]
fn twenty_rules_are_bound_and_all_are_listed() {
    let world = World::new();
    let rule = |number: u32| json!({"url": format!("https://example.com/t/{number}"), "mode": "EXACT", "path": "pages/index/index"});
    assert_eq!(world.refused("qrcode_rule.bind", rule(1)), "ONLINE_VERSION_NOT_EXIST");
    world.publish("0.0.1");
    for number in 1..=20 {
        assert_eq!(world.done("qrcode_rule.bind", rule(number))["route_group"], format!("route-{number}"));
    }
    assert_eq!(world.refused("qrcode_rule.bind", rule(20)), "ROUTE_RULE_CONFLICT");
    assert_eq!(world.refused("qrcode_rule.bind", rule(21)), "ROUTE_OVER_LIMIT");
    let listed = world.done("qrcode_rule.list", json!({}));
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["total"]), (20, &json!(20)));
    assert_eq!(listed["items"][19]["url"], "https://example.com/t/20");
    assert_eq!(world.seen("qrcode_rule.list"), 2, "two pages");
    world.done("qrcode_rule.unbind", json!({"route_group": "route-3"}));
    assert_eq!(world.refused("qrcode_rule.unbind", json!({"route_group": "route-3"})), "ROUTE_GROUP_NOT_EXIST");
    assert_eq!(world.refused("qrcode_rule.unbind", json!({})), "INVALID_PARAM");
}

#[test]
fn base_information_changes_at_once_or_after_an_audit() {
    let world = World::new();
    world.done("profile.set_name", json!({"name": "驿站小店"}));
    let icon = json!({"icon": {"file_name": "logo.png", "content_base64": "iVBORw0KGgo="}});
    world.done("profile.set_icon", icon);
    world.done("category.modify", json!({"categories": ["XS1007_XS2059_XS3062"]}));
    let profile = world.done("profile.get", json!({}));
    assert_eq!((&profile["name"], &profile["icon"]), (&json!("驿站小店"), &json!("https://example.com/logo.png")));
    assert_eq!(world.done("category.list", json!({}))["items"], json!(["购物_便利店_小卖部"]));
    world.publish("0.0.1");
    assert_eq!(world.refused("profile.modify", json!({"name": "又一家"})), "CANNOT_MODIFY_NAME_AFTER_ONLINE");
    world.done("profile.modify", json!({"slogan": "换马歇脚，信到人安"}));
    assert_eq!(world.refused("profile.modify", json!({"phone": "010-11111111"})), "MINI_APP_INFO_AUDIT_CONTAINS");
    assert_ne!(world.done("profile.get", json!({}))["slogan"], "换马歇脚，信到人安");
    world.advance(jiff::SignedDuration::from_mins(11));
    assert_eq!(world.done("profile.get", json!({}))["slogan"], "换马歇脚，信到人安");
    assert_eq!(world.refused("profile.modify", json!({})), "MODIFY_PARAMS_ARE_BLANK");
    assert_eq!(world.refused("profile.modify", json!({"slogan": "短"})), "INVALID_MINI_APP_SLOGAN_LENGTH");
}

#[test]
fn a_merchant_who_withdrew_is_refused_with_a_renewal() {
    let world = World::new();
    world.twin().revoke(SHOP, world.now());
    match world.call("package.list", json!({})) {
        Err(Failure::Refused(error)) => assert_eq!(error.class, Class::RenewAuthorizerToken),
        other => panic!("{other:?}"),
    }
    match world.call("authorization.permissions", json!({})) {
        Err(Failure::Refused(error)) => assert_eq!(error.class, Class::RenewAuthorizerToken),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.done("template.list", json!({}))["items"][0]["template_id"], TEMPLATE, "which needs no merchant");
}

#[test]
fn a_list_of_grants_shows_no_tokens() {
    let world = World::new();
    let outcome = world.call("authorization.list", json!({})).unwrap();
    assert_eq!(outcome.result["items"][0]["app_id"], SHOP);
    assert_eq!(outcome.vendor["app_auth_list"][0]["mini_app_token"], "[sealed]");
}

#[test]
fn a_list_of_grants_comes_in_pages() {
    let world = World::new();
    for other in ["2021000000000007", "2021000000000008", "2021000000000009"] {
        world.twin().grant(other, world.now());
    }
    let page = |given: serde_json::Value| {
        let result = world.done("authorization.list", given);
        let ids = result["items"].as_array().unwrap().iter().map(|item| item["app_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        (ids, result["total"].clone())
    };
    let all = page(json!({})).0;
    assert_eq!(all.len(), 4);
    assert_eq!(page(json!({"page_no": 1, "page_size": 3})), (all[..3].to_vec(), json!(4)));
    assert_eq!(page(json!({"page_no": 2, "page_size": 3})), (all[3..].to_vec(), json!(4)));
    assert_eq!(page(json!({"page_no": 3, "page_size": 3})), (Vec::new(), json!(4)));
    assert_eq!(page(json!({"app_id": SHOP, "page_no": 1, "page_size": 3})), (vec![SHOP.to_owned()], json!(1)));
}

#[test]
fn a_list_of_grants_tells_their_times_however_they_are_written() {
    let world = World::new();
    let row = world.row("authorization.list");
    let params = yizhan::platform::operation::Params::check(&row, serde_json::Map::new()).unwrap();
    let granted_at = |written: serde_json::Value| {
        let list = json!({"code": "10000", "app_auth_list": [{"auth_app_id": SHOP, "auth_time": written}], "total_items": 1}).to_string();
        let reply = super::certificates::signed_reply(&row.path, &list, "platform", None);
        match world.component.operations().next(&row, &params, &[reply], super::caller(&row, &world.token, world.now())) {
            yizhan::platform::operation::Next::Done(outcome) => outcome.result["items"][0]["granted_at"].clone(),
            other => panic!("{other:?}"),
        }
    };
    for written in [json!("2024-05-01 12:00:00"), json!(1_714_536_000_000_u64), json!("1714536000000"), json!(1_714_536_000)] {
        assert_eq!(granted_at(written.clone()), "2024-05-01T12:00:00+08:00", "{written}");
    }
    assert_eq!(granted_at(json!("in spring")), "in spring", "better shown than hidden");
}

#[test]
fn a_build_that_fails_or_does_not_end_is_told() {
    use yizhan::platform::operation::{Next, Params};
    let world = World::new();
    let row = world.row("package.upload");
    let params = Params::check(&row, json!({"template_id": TEMPLATE, "version": "0.0.1"}).as_object().unwrap().clone()).unwrap();
    let answer = |method: &str, build: &str, create: &str| -> Reply {
        let node = json!({"code": "10000", "msg": "Success", "build_status": build, "create_status": create}).to_string();
        super::certificates::signed_reply(method, &node, "platform", None)
    };
    let upload = answer("alipay.open.mini.version.upload", "0", "0");
    let next = |polls: &[Reply]| {
        let replies: Vec<Reply> = std::iter::once(upload.clone()).chain(polls.iter().cloned()).collect();
        world.component.operations().next(&row, &params, &replies, super::caller(&row, &world.token, world.now()))
    };
    let build = "alipay.open.mini.version.build.query";
    assert!(matches!(next(&[]), Next::After(..)));
    assert!(matches!(next(&[answer(build, "3", "3")]), Next::Refused(error) if error.code == "build-failed"));
    assert!(matches!(next(&[answer(build, "2", "5")]), Next::Refused(error) if error.code == "build-timed-out"));
    let building = answer(build, "1", "1");
    assert!(matches!(next(&vec![building.clone(); 44]), Next::After(..)));
    match next(&vec![building; 45]) {
        Next::Done(outcome) => assert_eq!(outcome.result["status"], "building"),
        other => panic!("{other:?}"),
    }
}
