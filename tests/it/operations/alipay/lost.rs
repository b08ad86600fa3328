//! Answers that get lost: the right state in the end, and the vendor saw the deed once.

use serde_json::{Value, json};
use yizhan::clock::china_text;
use yizhan::platform::operation::{Earlier, LookedUp};

use super::{Failure, Loss, TEMPLATE, World, submission};

/// Carries out an operation whose first answer, or call, gets lost.
fn lost(world: &World, method: &'static str, loss: Loss, name: &str, params: Value) -> Value {
    world.lose(method, loss);
    let result = world.done(name, params);
    assert_eq!(world.unlost(), 0, "{name}: nothing was lost");
    result
}

#[test]
fn an_upload_goes_on_to_its_build() {
    for loss in [Loss::Answer, Loss::Call] {
        let world = World::new();
        let params = json!({"template_id": TEMPLATE, "version": "0.0.1"});
        let result = lost(&world, "version.upload", loss, "package.upload", params);
        assert_eq!(result, json!({"version": "0.0.1", "status": "created"}));
        assert_eq!(world.seen("package.upload"), 1);
    }
    let world = World::new();
    let result = lost(&world, "build.query", Loss::Answer, "package.upload", json!({"template_id": TEMPLATE, "version": "0.0.1"}));
    assert_eq!((result["status"].as_str(), world.seen("package.upload")), (Some("created"), 1));
}

#[test]
fn a_submission_happens_once() {
    for loss in [Loss::Answer, Loss::Call] {
        let world = World::new();
        world.upload("0.0.1");
        let result = lost(&world, "audit.apply", loss, "audit.submit", submission("0.0.1"));
        assert_eq!((&result["version"], &result["status"]), (&json!("0.0.1"), &json!("in_audit")));
        assert_eq!((world.status("0.0.1"), world.seen("audit.submit")), (json!("in_audit"), 1));
    }
}

#[test]
fn an_earlier_verdict_is_none_on_a_submission_that_never_arrived() {
    let world = World::new();
    world.upload("0.0.1");
    world.submit("0.0.1");
    world.approve("0.0.1");
    world.advance(jiff::SignedDuration::from_mins(10));
    world.lose("audit.apply", Loss::Call);
    let outcome = world.call("audit.submit", submission("0.0.1"));
    assert!(matches!(outcome, Err(Failure::OutcomeUnknown)), "{outcome:?}");
    assert_eq!((world.unlost(), world.seen("audit.submit")), (0, 1));
}

#[test]
fn a_verdict_shows_a_submission_of_now_by_its_time_and_one_that_may_be_older_where_it_passed() {
    let world = World::new();
    let (now, ago) = (world.now(), |seconds: i64| china_text(world.now() - jiff::SignedDuration::from_secs(seconds)));
    let told = |status: &str, applied: Option<String>, earlier: Earlier| {
        let node = json!({"code": "10000", "app_version": "0.0.1", "status": status, "gmt_apply_audit": applied});
        match world.looked_up("audit.submit", submission("0.0.1"), node, earlier).1 {
            LookedUp::Done(outcome) => outcome.result["status"].as_str().unwrap().to_owned(),
            other => format!("{other:?}"),
        }
    };
    for status in ["AUDIT_REJECT", "WAIT_RELEASE", "BASE_AUDIT_PASS", "GRAY", "RELEASE"] {
        for (applied, expected) in [(Some(ago(20)), "in_audit"), (Some(ago(40)), "Unknown"), (None, "Unknown")] {
            assert_eq!(told(status, applied, Earlier::Nothing(now)), expected, "{status}");
        }
        let expected = match status {
            "AUDIT_REJECT" => "Unknown",
            "RELEASE" => "released",
            _ => "approved",
        };
        assert_eq!(told(status, Some(ago(40)), Earlier::MaybeSent(now)), expected, "{status}");
    }
    for earlier in [Earlier::Nothing(now), Earlier::MaybeSent(now)] {
        assert_eq!(told("AUDITING", None, earlier), "in_audit");
        assert_eq!(told("INIT", Some(ago(40)), earlier), "NotDone", "it is back in development");
        assert_eq!(told("OFFLINE", None, earlier), "Unknown");
    }
}

#[test]
fn a_release_and_a_rollback_happen_once() {
    for loss in [Loss::Answer, Loss::Call] {
        let world = World::new();
        world.publish("0.0.1");
        world.upload("0.0.2");
        world.submit("0.0.2");
        world.approve("0.0.2");
        lost(&world, "version.online", loss, "package.release", json!({"version": "0.0.2"}));
        assert_eq!((world.status("0.0.2"), world.seen("package.release")), (json!("released"), 2));
        let result = lost(&world, "version.rollback", loss, "package.rollback", json!({"version": "0.0.2"}));
        assert_eq!(result, json!({"version": "0.0.2", "status": "offline"}));
        assert_eq!((world.status("0.0.1"), world.status("0.0.2")), (json!("released"), json!("offline")));
        assert_eq!(world.seen("package.rollback"), 1);
        lost(&world, "version.offline", loss, "package.offline", json!({"version": "0.0.1"}));
        assert_eq!((world.status("0.0.1"), world.seen("package.offline")), (json!("offline"), 1));
    }
}

#[test]
fn what_is_under_way_is_taken_back_once() {
    for loss in [Loss::Answer, Loss::Call] {
        let world = World::new();
        let version = || json!({"version": "0.0.1"});
        world.upload("0.0.1");
        world.submit("0.0.1");
        lost(&world, "audit.cancel", loss, "audit.withdraw", json!({}));
        assert_eq!((world.status("0.0.1"), world.seen("audit.withdraw")), (json!("developing"), 1));
        world.submit("0.0.1");
        world.approve("0.0.1");
        let gray = json!({"version": "0.0.1", "gray_strategy": "p10"});
        lost(&world, "gray.online", loss, "package.gray_online", gray);
        let wider = json!({"version": "0.0.1", "gray_strategy": "p30"});
        lost(&world, "gray.online", loss, "package.gray_online", wider);
        assert_eq!((world.done("package.get", version())["gray_strategy"].as_str(), world.seen("package.gray_online")), (Some("p30"), 2));
        lost(&world, "gray.cancel", loss, "package.gray_cancel", version());
        assert_eq!((world.status("0.0.1"), world.seen("package.gray_cancel")), (json!("approved"), 1));
        lost(&world, "audited.cancel", loss, "package.back_to_development", version());
        assert_eq!((world.status("0.0.1"), world.seen("package.back_to_development")), (json!("developing"), 1));
        world.done("trial.create", version());
        lost(&world, "experience.cancel", loss, "trial.cancel", version());
        assert_eq!(world.seen("trial.cancel"), 1);
        lost(&world, "version.delete", loss, "package.delete", version());
        assert_eq!((world.done("package.list", json!({}))["items"].as_array().unwrap().len(), world.seen("package.delete")), (0, 1));
    }
}

/// The audit ends between a withdrawal that never arrived and the question after it.
#[test]
fn an_audit_that_ends_meanwhile_is_not_taken_for_withdrawn() {
    let refusals = [(json!({}), "AUDITING_VERSION_NOT_EXIST"), (json!({"version": "0.0.1"}), "INVALID_VERSION_STATUS")];
    for (params, refusal) in refusals {
        let world = World::new();
        world.upload("0.0.1");
        world.submit("0.0.1");
        world.lose("audit.cancel", Loss::Call);
        world.ends_with_next_loss("0.0.1");
        assert_eq!(world.refused("audit.withdraw", params.clone()), refusal, "{params}");
        assert_eq!((world.status("0.0.1"), world.seen("audit.withdraw")), (json!("approved"), 0));
    }
}

#[test]
fn what_became_of_a_version_is_asked_for_its_client() {
    let world = World::new();
    let client = "com.alipay.iot.xpaas";
    for (name, version, listed, expected) in [
        (
            "package.delete",
            json!("0.0.1"),
            json!([{"app_version": "0.0.1", "bundle_id": "com.alipay.alipaywallet", "version_status": "INIT"}]),
            "done",
        ),
        ("package.delete", json!("0.0.1"), json!([{"app_version": "0.0.1", "bundle_id": client, "version_status": "INIT"}]), "not done"),
        ("package.delete", json!("0.0.1"), json!([{"app_version": "0.0.1", "version_status": "INIT"}]), "not done"),
        (
            "audit.withdraw",
            Value::Null,
            json!([{"app_version": "0.0.1", "bundle_id": client, "version_status": "INIT"}, {"app_version": "0.0.2", "bundle_id": "com.alipay.alipaywallet", "version_status": "AUDITING"}]),
            "done",
        ),
        ("audit.withdraw", Value::Null, json!([{"app_version": "0.0.1", "bundle_id": client, "version_status": "AUDITING"}]), "not done"),
        (
            "audit.withdraw",
            Value::Null,
            json!([{"app_version": "0.0.1", "bundle_id": client, "version_status": "BASE_AUDIT_PASS"}]),
            "unknown",
        ),
        ("audit.withdraw", Value::Null, json!([{"app_version": "0.0.1", "bundle_id": client, "version_status": "RELEASE"}]), "not done"),
        (
            "audit.withdraw",
            Value::Null,
            json!([{"app_version": "0.0.1", "bundle_id": client, "version_status": "RELEASE"}, {"app_version": "0.0.2", "bundle_id": client, "version_status": "INIT"}]),
            "unknown",
        ),
        (
            "audit.withdraw",
            json!("0.0.1"),
            json!([{"app_version": "0.0.1", "bundle_id": client, "version_status": "BASE_AUDIT_PASS"}]),
            "not done",
        ),
        ("audit.withdraw", json!("0.0.1"), json!([]), "unknown"),
    ] {
        let mut params = json!({"bundle_id": client});
        if version.is_string() {
            params["version"] = version;
        }
        let (asked, answered) = world.look_up(name, params, json!({"code": "10000", "app_version_infos": listed}));
        assert_eq!((asked["bundle_id"].as_str(), answered), (Some(client), expected), "{name} {listed}");
    }
}

#[test]
fn rules_and_members_change_once() {
    for loss in [Loss::Answer, Loss::Call] {
        let world = World::new();
        world.publish("0.0.1");
        let rule = json!({"url": "https://example.com/t/1", "mode": "EXACT", "path": "pages/index/index"});
        let bound = lost(&world, "qrcode.bind", loss, "qrcode_rule.bind", rule);
        assert_eq!((bound["route_group"].as_str(), world.seen("qrcode_rule.bind")), (Some("route-1"), 1));
        lost(&world, "qrcode.unbind", loss, "qrcode_rule.unbind", json!({"route_group": "route-1"}));
        assert_eq!(world.seen("qrcode_rule.unbind"), 1);
        world.done("member.add", json!({"account": "guest@example.com", "role": "DEVELOPER"}));
        lost(&world, "members.delete", loss, "member.remove", json!({"user_id": "2088000000000002", "role": "DEVELOPER"}));
        assert_eq!(world.seen("member.remove"), 1);
    }
}

#[test]
fn a_change_that_shows_is_known_and_one_that_does_not_stays_unknown() {
    let world = World::new();
    lost(&world, "baseinfo.modify", Loss::Answer, "profile.set_name", json!({"name": "驿站小店"}));
    assert_eq!(world.seen("profile.modify"), 1);
    world.publish("0.0.1");
    world.lose("baseinfo.modify", Loss::Answer);
    let waiting = world.call("profile.modify", json!({"slogan": "换马歇脚，信到人安"}));
    assert!(matches!(waiting, Err(Failure::OutcomeUnknown)), "it waits for an audit, so the base information does not show it");
    assert_eq!(world.seen("profile.modify"), 2, "it was not repeated");
}

#[test]
fn a_lost_introduction_shows_and_is_known() {
    let world = World::new();
    lost(
        &world,
        "baseinfo.modify",
        Loss::Answer,
        "profile.set_intro",
        json!({"intro": "替信使换马，为旅人点灯，夜里也有人值守的小驿站。"}),
    );
    assert_eq!(world.seen("profile.modify"), 1);
}

#[test]
fn an_icon_and_categories_show_in_nothing_so_that_a_lost_answer_stays_unknown_and_nothing_is_repeated() {
    for loss in [Loss::Answer, Loss::Call] {
        for (name, params) in [
            ("profile.set_icon", json!({"icon": {"file_name": "logo.png", "content_base64": "iVBORw0KGgo="}})),
            ("category.modify", Value::Object(World::new().row("category.modify").example())),
            (
                "profile.modify",
                json!({"slogan": "换马歇脚，信到人安", "icon": {"file_name": "logo.png", "content_base64": "iVBORw0KGgo="}}),
            ),
        ] {
            let world = World::new();
            world.lose("baseinfo.modify", loss);
            let outcome = world.call(name, params);
            assert!(matches!(outcome, Err(Failure::OutcomeUnknown)), "{name}: {outcome:?}");
            assert_eq!((world.unlost(), world.seen("profile.modify")), (0, u32::from(loss == Loss::Answer)), "{name}");
        }
    }
}
