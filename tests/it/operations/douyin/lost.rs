//! Answers that get lost: the right state in the end, and the vendor saw the deed once.

use serde_json::{Value, json};
use yizhan::platform::{ApiError, Class};

use super::{Failure, Loss, TEMPLATE, World, picture};

const BOTH: [Loss; 2] = [Loss::Answer, Loss::Call];

fn none() -> Value {
    json!({})
}

/// Carries out an operation whose first answer, or call, gets lost.
fn lost(world: &World, end: &'static str, loss: Loss, name: &str, params: Value) -> Value {
    world.lose(end, loss);
    let result = world.done(name, params);
    assert_eq!(world.unlost(), 0, "{name}: nothing was lost");
    result
}

#[test]
fn an_upload_happens_once() {
    for loss in BOTH {
        let world = World::new();
        world.upload("1.0.0");
        let params = json!({"template_id": TEMPLATE, "version": "1.0.0", "description": "the same version again"});
        let result = lost(&world, "package_version/upload", loss, "package.upload", params);
        assert_eq!(result, json!({"version": "1.0.0", "status": "uploaded"}));
        assert_eq!((world.stage("latest")["description"].as_str(), world.seen("package.upload")), (Some("the same version again"), 2));
    }
}

#[test]
fn a_submission_happens_once_and_is_taken_back_once() {
    for loss in BOTH {
        let world = World::new();
        world.upload("1.0.0");
        let result = lost(&world, "package_version/audit", loss, "audit.submit", json!({"hosts": ["douyin"]}));
        assert_eq!((&result["version"], &result["status"]), (&json!("1.0.0"), &json!("in_audit")));
        assert_eq!((world.stage("audit")["status"].clone(), world.seen("audit.submit")), (json!("in_audit"), 1));
        lost(&world, "revoke_audit", loss, "audit.withdraw", none());
        assert_eq!((world.stage("audit")["status"].clone(), world.seen("audit.withdraw")), (json!("withdrawn"), 1));
    }
}

#[test]
fn a_release_happens_once() {
    for loss in BOTH {
        let world = World::new();
        world.publish("1.0.0");
        world.upload("1.1.0");
        world.submit();
        world.approve();
        let result = lost(&world, "package_version/release", loss, "package.release", none());
        assert_eq!(result, json!({"version": "1.1.0", "status": "released"}));
        assert_eq!((world.stage("current")["version"].clone(), world.seen("package.release")), (json!("1.1.0"), 2));
    }
}

#[test]
fn a_rollback_happens_once_or_is_left_to_people() {
    for loss in BOTH {
        let world = World::new();
        world.publish("1.0.0");
        world.publish("1.1.0");
        world.lose("package_version/rollback", loss);
        let result = world.call("package.rollback", none());
        let now = world.stage("current")["version"].clone();
        match loss {
            Loss::Answer => {
                assert_eq!(result.unwrap().result, json!({"version": "1.0.0", "status": "released"}));
                assert_eq!((now, world.seen("package.rollback")), (json!("1.0.0"), 1));
            }
            // It takes minutes until the list shows a rollback: that it does not show one proves nothing.
            Loss::Call => {
                assert!(matches!(result, Err(Failure::OutcomeUnknown)));
                assert_eq!((now, world.seen("package.rollback")), (json!("1.1.0"), 0));
            }
        }
    }
}

#[test]
fn changes_of_the_profile_and_the_categories_happen_once() {
    for loss in BOTH {
        let world = World::new();
        lost(&world, "modify_app_name", loss, "profile.set_name", json!({"name": "a fine name"}));
        lost(&world, "modify_app_intro", loss, "profile.set_intro", json!({"intro": "a fine introduction"}));
        lost(&world, "modify_app_icon", loss, "profile.set_icon", json!({"icon": picture("i.png")}));
        let materials = json!([{"id": "5", "files": [picture("a.png")]}]);
        let categories = json!({"categories": [{"category": "188,189,190", "materials": materials}]});
        lost(&world, "add_categories", loss, "category.add", categories.clone());
        world.decide_category("188,189,190", 0);
        lost(&world, "supply_categories", loss, "category.modify", categories);
        world.decide_category("188,189,190", 1);
        lost(&world, "publish_category", loss, "category.publish", none());
        lost(&world, "del_categories", loss, "category.delete", json!({"categories": ["188,189,190"]}));
        let deeds = [
            "profile.set_name",
            "profile.set_intro",
            "profile.set_icon",
            "category.add",
            "category.modify",
            "category.publish",
            "category.delete",
        ];
        assert_eq!(deeds.map(|deed| world.seen(deed)), [1; 7]);
    }
}

#[test]
fn domains_templates_and_capabilities_change_once() {
    for loss in BOTH {
        let world = World::new();
        let domains = || json!({"domains": ["https://m.example.com"]});
        assert_eq!(lost(&world, "modify_webview_domain", loss, "webview_domain.add", domains())["changed"], loss == Loss::Call);
        lost(&world, "modify_webview_domain", loss, "webview_domain.delete", domains());
        let servers = || json!({"request": ["https://a.example.com"], "download": ["https://b.example.com"]});
        world.done("server_domain.add", servers());
        lost(&world, "modify_server_domain", loss, "server_domain.delete", servers());
        let added = lost(&world, "add_tpl", loss, "template.add", json!({"draft_id": "9133504853504540002"}));
        assert_eq!(added["template_id"], "9133504853504530002");
        lost(&world, "del_tpl", loss, "template.delete", added);
        let mount = json!({"capability": "short_video", "reason": "r", "anchor_text": "a", "materials": picture("p.png")});
        lost(&world, "apply_permission", loss, "capability.apply", mount);
        lost(&world, "apply_capacity", loss, "capability.apply", json!({"capability": "live", "reason": "r"}));
        let live = json!({"reason": "r", "firstLiveTime": 1, "liveFrequency": 2, "hasAdBudget": false});
        lost(&world, "live_application", loss, "live_component.apply", live);
        let phone = json!({"reason": 1, "scene": 2, "description": "long enough a text", "materials": picture("s.png")});
        lost(&world, "phone_number_application", loss, "phone_number.apply", phone);
        let deeds = [
            "webview_domain.delete",
            "server_domain.delete",
            "template.add",
            "template.delete",
            "live_component.apply",
            "phone_number.apply",
        ];
        assert_eq!(deeds.map(|deed| world.seen(deed)), [1; 6]);
        assert_eq!(world.seen("capability.apply"), 2);
    }
}

#[test]
fn lost_uploads_and_questions_are_simply_asked_again() {
    let world = World::new();
    lost(&world, "upload_material", Loss::Answer, "profile.set_icon", json!({"icon": picture("i.png")}));
    assert_eq!((world.seen("media.upload"), world.seen("profile.set_icon")), (2, 1));
    world.upload("1.0.0");
    lost(&world, "versions", Loss::Answer, "audit.submit", json!({"hosts": ["douyin"]}));
    assert_eq!(world.seen("audit.submit"), 1);
}

#[test]
fn failed_try_again_is_tried_again_and_an_unreadable_answer_is_looked_up() {
    let world = World::new();
    world.upload("1.0.0");
    world.answer_instead("package_version/audit", 200, r#"{"err_no":11300,"err_msg":"failed"}"#);
    world.done("audit.submit", json!({"hosts": ["douyin"]}));
    assert_eq!(world.seen("audit.submit"), 1);
    world.approve();
    world.answer_instead("package_version/release", 502, "<html>");
    world.done("package.release", none());
    assert_eq!((world.stage("current")["version"].clone(), world.seen("package.release")), (json!("1.0.0"), 1));
}

#[test]
fn failed_try_again_is_tried_again_too_where_the_list_does_not_tell_and_in_the_end_refused() {
    let rollback = "package_version/rollback";
    let published = || {
        let world = World::new();
        world.publish("1.0.0");
        world.publish("1.1.0");
        world.sent();
        world
    };
    let tries = |world: &World| world.sent().iter().filter(|call| call.url.trim_end_matches('/').ends_with(rollback)).count();
    let failed = r#"{"err_no":11500,"err_msg":"failed"}"#;

    let world = published();
    world.answer_instead(rollback, 200, failed);
    assert_eq!(world.done("package.rollback", none()), json!({"version": "1.0.0", "status": "released"}));
    assert_eq!((tries(&world), world.seen("package.rollback")), (2, 1));

    let world = published();
    (0..9).for_each(|_| world.answer_instead(rollback, 200, failed));
    assert_eq!(world.refused("package.rollback", none()), "11500");
    assert_eq!((tries(&world), world.seen("package.rollback")), (3, 0));

    // What an error inside the vendor did nobody knows.
    let world = published();
    world.answer_instead(rollback, 200, r#"{"err_no":28001005,"err_msg":"internal error"}"#);
    assert!(matches!(world.call("package.rollback", none()), Err(Failure::Doubted)));
    assert_eq!((tries(&world), world.seen("package.rollback")), (1, 0));
}

#[test]
fn only_the_codes_that_ask_for_another_try_say_that_nothing_was_taken_up() {
    let world = World::new();
    let row = world.row("package.rollback");
    let declines = |class: Class, code: &str| world.component.operations().declines(row, &ApiError::new(class, code, "no"));
    for code in ["11300", "11400", "11500", "11600", "21000", "21100", "21200"] {
        assert!(declines(Class::Retry, code), "{code}");
        assert!(!declines(Class::Refuse, code), "{code}");
    }
    for code in ["28001005", "28001006", "20000", "40000", "40045", "http 502", "11501"] {
        assert!(!declines(Class::Retry, code), "{code}");
    }
}

#[test]
fn a_deed_of_a_process_that_ended_is_never_sent_again_and_is_known_by_where_things_stand() {
    let world = World::new();
    world.publish("1.0.0");
    let upload = json!({"template_id": TEMPLATE, "version": "1.1.0", "description": "d"});
    world.done("package.upload", upload);
    // Not handed in: that does not show whether the call is on its way.
    assert!(matches!(world.resume("audit.submit", json!({"hosts": ["douyin"]})), Err(Failure::OutcomeUnknown)));
    world.submit();
    world.advance(10);
    let submitted = world.resume("audit.submit", json!({"hosts": ["douyin"]})).unwrap().result;
    assert_eq!((&submitted["version"], &submitted["status"]), (&json!("1.1.0"), &json!("in_audit")));
    world.approve();
    assert!(matches!(world.resume("package.release", none()), Err(Failure::OutcomeUnknown)), "nobody knows that it is this version");
    world.done("package.release", none());
    assert_eq!(world.resume("package.release", none()).unwrap().result, json!({"version": "1.1.0", "status": "released"}));
    world.done("profile.set_icon", json!({"icon": picture("i.png")}));
    assert!(matches!(world.resume("profile.set_icon", json!({"icon": picture("i.png")})), Err(Failure::OutcomeUnknown)));
    world.done("template.add", json!({"draft_id": "9133504853504540002"}));
    assert!(matches!(world.resume("template.add", json!({"draft_id": "9133504853504540002"})), Err(Failure::OutcomeUnknown)));
    // Another version has passed meanwhile: a release that was approved for the one before must not take it.
    world.upload("1.2.0");
    world.submit();
    world.approve();
    assert!(matches!(world.resume("package.release", none()), Err(Failure::OutcomeUnknown)));
    assert_eq!(world.stage("current")["version"], "1.1.0");
    let deeds = ["package.upload", "audit.submit", "package.release", "profile.set_icon", "template.add"];
    assert_eq!(deeds.map(|deed| world.seen(deed)), [3, 3, 2, 1, 1]);
}
