//! Answers that are lost: the operation ends in the right state and the vendor acted once.

use serde_json::{Value, json};
use yizhan::clock::Timestamp;
use yizhan::platform::Reply;
use yizhan::platform::operation::{Earlier, LookedUp, Params};
use yizhan::platform::twin::Verdict;

use super::shop::{Failure, Loss, MERCHANT, Shop, params, picture};

/// Operations that must not be repeated, and where their main call goes.
const MAIN: &[(&str, &str)] = &[
    ("package.upload", "package/upload"),
    ("audit.submit", "package/submitaudit"),
    ("audit.withdraw", "package/withdraw"),
    ("package.release", "package/release"),
    ("package.rollback", "package/rollback"),
    ("profile.set_name", "app/setnicknamewithqual"),
    ("profile.set_icon", "app/modifyheadimage"),
    ("profile.set_intro", "app/modifysignature"),
    ("profile.correct", "app/offline/update"),
    ("category.add", "app/category/update"),
    ("category.modify", "app/category/update"),
    ("category.delete", "app/category/update"),
    ("phone_number.apply", "app/apply/mobileauth"),
    ("capability.apply", "app/apply/mobileauth"),
    ("template.add", "template/addtotemplate"),
    ("template.delete", "template/deltemplate"),
    ("server_domain.delete", "app/modifydomain"),
    ("webview_domain.delete", "app/modifywebviewdomain"),
    ("component_server_domain.delete", "tp/modifydomain"),
    ("component_webview_domain.delete", "tp/modifywebviewdomain"),
];

fn deed(name: &'static str) -> &'static str {
    match name {
        "category.add" | "category.delete" => "category.modify",
        "capability.apply" => "phone_number.apply",
        name => name,
    }
}

#[test]
fn a_lost_answer_is_looked_up_and_the_vendor_acts_once() {
    for &(name, path) in MAIN {
        let mut shop = Shop::open();
        shop.prepare(name);
        shop.lose = Some((path, Loss::Answer));
        let outcome = shop.example(name);
        assert!(shop.lose.is_none(), "{name}: nothing was lost");
        assert_eq!(shop.count(deed(name)), 1, "{name}: {:?}", shop.deeds);
        if name.starts_with("package.") || name.starts_with("audit.") {
            assert!(outcome.result["package_id"].is_string(), "{name}: {}", outcome.result);
        }
        if name == "template.add" {
            assert_eq!(outcome.result["template_id"], "14");
        }
    }
}

#[test]
fn a_call_that_never_arrived_is_made_again() {
    // Whether an upload arrived cannot be told soon, and corrections may not show: those two are not repeated.
    let silent = ["package.upload", "profile.correct"];
    for &(name, path) in MAIN.iter().filter(|(name, _)| !silent.contains(name)) {
        let mut shop = Shop::open();
        shop.prepare(name);
        shop.lose = Some((path, Loss::Call));
        shop.example(name);
        assert_eq!(shop.count(deed(name)), 1, "{name}: {:?}", shop.deeds);
    }
}

#[test]
fn what_cannot_be_looked_up_is_not_repeated() {
    for (name, path, loss) in [
        ("message.send", "message/custom/sendbytp", Loss::Answer),
        ("message.send", "message/custom/sendbytp", Loss::Call),
        ("traffic.appeal", "appflow/applyRecovery", Loss::Answer),
        ("package.upload", "package/upload", Loss::Call),
        ("profile.correct", "app/offline/update", Loss::Call),
    ] {
        let mut shop = Shop::open();
        shop.prepare(name);
        shop.lose = Some((path, loss));
        let example = Value::Object(shop.row(name).example());
        assert!(matches!(shop.carry(name, example), Err(Failure::Unknown)), "{name}");
        assert_eq!(shop.count(name), usize::from(loss == Loss::Answer), "{name}");
    }
}

#[test]
fn steps_before_and_after_the_main_call_may_be_repeated() {
    for (name, given, path, deed) in [
        ("audit.submit", json!({}), "package/get", "audit.submit"),
        ("package.upload", json!({"template_id": 12, "version": "1.0.9", "description": "d"}), "package/get", "package.upload"),
        ("profile.set_icon", json!({"icon": picture("icon.png")}), "upload/image", "profile.set_icon"),
        ("message.send", json!({"open_id": "o1", "msg_type": "image", "pic_url": picture("a.png")}), "upload/image", "message.send"),
        ("category.add", json!({"categories": [{"sub_category_id": 6}]}), "app/info", "category.modify"),
    ] {
        for loss in [Loss::Answer, Loss::Call] {
            let mut shop = Shop::open();
            shop.prepare(name);
            shop.lose = Some((path, loss));
            shop.done(name, given.clone());
            assert_eq!(shop.count(deed), 1, "{name}: {:?}", shop.deeds);
        }
    }
}

#[test]
fn polling_for_an_uploaded_package_survives_a_lost_answer() {
    let mut shop = Shop::open();
    shop.upload("1.0.0");
    shop.lose = Some(("package/upload", Loss::Answer));
    let second = shop.upload("1.0.0");
    let list = shop.done("package.list", json!({}));
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "the second package of a version is told from the first");
    assert_eq!(list["items"][1]["package_id"], second.as_str());
}

#[test]
fn a_release_that_another_one_refuses_stays_refused() {
    let mut shop = Shop::open();
    let id = shop.upload("1.0.0");
    shop.lose = Some(("package/release", Loss::Answer));
    let error = shop.refused("package.release", json!({"package_id": id}));
    assert_eq!((error.code.as_str(), shop.count("package.release")), ("69005", 0));
}

#[test]
fn a_deed_of_a_process_that_ended_is_not_sent_again_by_what_was_read_after_it() {
    let mut shop = Shop::open();
    let first = shop.approve("1.0.0");
    shop.done("package.release", json!({}));
    assert!(matches!(shop.resume("package.release", json!({"package_id": first})), Ok(outcome) if outcome.result["package_id"] == first));
    // Without a name it would be the one that waits now.
    shop.approve("1.1.0");
    assert!(matches!(shop.resume("package.release", json!({})), Err(Failure::Unknown)));
    assert_eq!(shop.count("package.release"), 1);
    shop.prepare("template.add");
    let template = Value::Object(shop.row("template.add").example());
    shop.done("template.add", template.clone());
    assert!(matches!(shop.resume("template.add", template), Err(Failure::Unknown)));
    assert_eq!(shop.count("template.add"), 1);
    shop.prepare("profile.set_icon");
    shop.done("profile.set_icon", json!({"icon": picture("icon.png")}));
    assert!(matches!(shop.resume("profile.set_icon", json!({"icon": picture("icon.png")})), Err(Failure::Unknown)));
    assert_eq!(shop.count("profile.set_icon"), 1);
}

#[test]
fn an_upload_that_was_not_taken_up_is_made_again_and_in_the_end_refused() {
    let given = || json!({"template_id": 12, "version": "1.0.0", "description": "d"});
    let no = |code: i64| ("package/upload", json!({"errno": code, "msg": "try again"}));
    for code in [69009, 50031, 50015, 50050] {
        let mut shop = Shop::open();
        shop.instead = vec![no(code)];
        let outcome = shop.carry("package.upload", given()).unwrap();
        assert!(outcome.result["package_id"].is_string(), "{code}: {}", outcome.result);
        assert_eq!(shop.count("package.upload"), 1, "{code}");

        shop.instead = vec![no(code); 9];
        let again = json!({"template_id": 12, "version": "1.0.1", "description": "d"});
        assert!(matches!(shop.carry("package.upload", again), Err(Failure::Refused(error)) if error.code == code.to_string()), "{code}");
        assert_eq!((shop.instead.len(), shop.count("package.upload")), (6, 1), "{code}: three tries");
    }
    // What an error inside the vendor did nobody knows.
    let mut shop = Shop::open();
    shop.instead = vec![no(500)];
    assert!(matches!(shop.carry("package.upload", given()), Err(Failure::Doubted)));
    assert_eq!(shop.count("package.upload"), 0);
}

#[test]
fn a_value_that_an_audit_refused_before_is_not_taken_for_the_same_handed_in_again() {
    for (name, path, field, event) in [
        ("profile.set_name", "app/setnicknamewithqual", "name", "APP_NAME_AUDIT_FAIL"),
        ("profile.set_intro", "app/modifysignature", "intro", "APP_DESC_AUDIT_FAIL"),
        ("profile.set_icon", "app/modifyheadimage", "icon", "APP_ICON_AUDIT_FAIL"),
    ] {
        let mut shop = Shop::open();
        let value = match field {
            "icon" => shop.done("media.upload", json!({"file": picture("icon.png")}))["url"].clone(),
            _ => json!("换马歇脚，信到人安"),
        };
        let given = json!({field: value});
        let busy = || (path, json!({"errno": 50015, "msg": "a task is running"}));
        shop.done(name, given.clone());
        shop.say(event, json!({"reason": "too plain"}));
        shop.instead = vec![busy()];
        shop.done(name, given.clone());
        assert_eq!((shop.instead.len(), shop.count(name)), (0, 2), "{name}: handed in again");
        shop.say(event, json!({"reason": "still too plain"}));
        shop.instead = vec![busy(); 9];
        assert_eq!(shop.refused(name, given.clone()).code, "50015", "{name}");
        assert_eq!((shop.instead.len(), shop.count(name)), (6, 2), "{name}: three tries");
        shop.instead.clear();
        // A rejection tells nothing of a call that was lost; what is in audit does.
        shop.lose = Some((path, Loss::Call));
        assert!(matches!(shop.carry(name, given.clone()), Err(Failure::Unknown)), "{name}");
        shop.lose = Some((path, Loss::Answer));
        shop.done(name, given);
        assert_eq!(shop.count(name), 3, "{name}");
    }
}

#[test]
fn a_package_that_was_judged_before_is_not_taken_for_submitted() {
    for verdict in [Verdict::Failed(String::from("too plain")), Verdict::Passed] {
        let mut shop = Shop::open();
        let id = shop.upload("1.0.0");
        shop.done("audit.submit", json!({"package_id": id}));
        shop.twin.audit(MERCHANT, "1.0.0", &verdict, shop.now);
        for given in [json!({"package_id": id}), json!({"package_id": id, "description": "d"}), json!({"version": "1.0.0"})] {
            shop.instead = vec![("package/submitaudit", json!({"errno": 69011, "msg": "audit service unavailable"})); 9];
            assert_eq!(shop.refused("audit.submit", given).code, "69011", "{verdict:?}");
            assert_eq!((shop.instead.len(), shop.count("audit.submit")), (6, 1), "{verdict:?}");
        }
    }
}

#[test]
fn a_verdict_shows_a_submission_only_where_the_package_was_read_before_and_stood_otherwise() {
    let shop = Shop::open();
    let row = shop.row("audit.submit");
    let list = |status: i64| {
        let body = json!({"errno": 0, "data": [{"package_id": 745_001, "version": "1.0.0", "status": status}]}).to_string();
        Reply { status: 200, content_type: String::from("application/json"), body: body.into() }
    };
    let told = |given: Value, before: &[Reply], now: i64| {
        let given = Params::check(&row, params(given)).unwrap();
        shop.component.operations().looked_up(&row, &given, before, &list(now), Earlier::Nothing(Timestamp::UNIX_EPOCH))
    };
    let (read, unread) = (|| json!({"version": "1.0.0"}), || json!({"package_id": 745_001, "description": "d"}));
    for verdict in [1, 5, 6] {
        assert!(matches!(told(read(), &[list(3)], verdict), LookedUp::Done(_)), "{verdict}: in development before");
        assert_eq!(told(read(), &[list(verdict)], verdict), LookedUp::Unknown, "{verdict}: so it was before");
        assert_eq!(told(unread(), &[], verdict), LookedUp::Unknown, "{verdict}: nobody looked before");
    }
    for (given, before) in [(read(), vec![list(5)]), (unread(), vec![])] {
        assert!(matches!(told(given.clone(), &before, 4), LookedUp::Done(_)));
        assert_eq!(told(given, &before, 3), LookedUp::NotDone);
    }
}

#[test]
fn a_submission_that_an_earlier_try_may_have_sent_is_settled_where_its_package_has_passed() {
    for (verdict, settled) in [(Verdict::Passed, Some("approved")), (Verdict::Failed(String::from("too plain")), None)] {
        let mut shop = Shop::open();
        let id = shop.upload("1.0.0");
        shop.done("audit.submit", json!({"package_id": id}));
        shop.twin.audit(MERCHANT, "1.0.0", &verdict, shop.now);
        for given in [json!({"version": "1.0.0"}), json!({"package_id": id}), json!({"package_id": id, "description": "d"})] {
            match (shop.resume("audit.submit", given.clone()), settled) {
                (Ok(outcome), Some(status)) => {
                    assert_eq!((&outcome.result["package_id"], &outcome.result["status"]), (&json!(id), &json!(status)), "{given}");
                }
                (Err(Failure::Unknown), None) => {}
                (other, _) => panic!("{verdict:?} {given}: {other:?}"),
            }
        }
        if settled.is_some() {
            shop.done("package.release", json!({"package_id": id}));
            let outcome = shop.resume("audit.submit", json!({"version": "1.0.0"})).unwrap();
            assert_eq!(outcome.result["status"], "online");
        }
        assert_eq!(shop.count("audit.submit"), 1, "{verdict:?}");
    }
}
