//! What is not one call: categories read and written, pictures uploaded before they are used, users' types tried.

use serde_json::{Value, json};
use yizhan::platform::push::{Door, Notice};

use super::shop::{MERCHANT, Shop, picture};
use crate::sorted_envelope::{arrived, data, pushed};

fn categories(shop: &mut Shop) -> Vec<(String, String)> {
    let list = shop.done("category.list", json!({}));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(|item| (text(&item["sub_category_id"]), text(&item["status"]))).collect()
}

fn sent(shop: &Shop, field: &str) -> Vec<String> {
    let form = |call: &yizhan::platform::Call| match &call.body {
        yizhan::platform::Body::Form(fields) => fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.expose().to_owned()),
        _ => None,
    };
    shop.calls.iter().filter_map(form).collect()
}

#[test]
fn categories_are_added_changed_and_deleted_as_a_whole_set() {
    let mut shop = Shop::open();
    let of = |id: &str, status: &str| (id.to_owned(), status.to_owned());
    assert_eq!(categories(&mut shop), [of("301", "passed")]);
    shop.done(
        "category.add",
        json!({"categories": [{"sub_category_id": "197", "qualis": [{"id": 1, "addr": picture("q.png")}]}, {"sub_category_id": 6}]}),
    );
    let set = sent(&shop, "categorys").remove(0);
    let set: Value = serde_json::from_str(&set).unwrap();
    assert_eq!(
        (&set[0], &set[1]["sub_category_id"], &set[2]),
        (&json!({"sub_category_id": 301}), &json!(197), &json!({"sub_category_id": 6}))
    );
    assert!(set[1]["qualis"][0]["addr"].as_str().unwrap().starts_with("https://"), "the file was uploaded and its address sent");
    assert_eq!(shop.count("media.upload"), 1);
    assert_eq!(categories(&mut shop), [of("301", "passed"), of("197", "in_audit"), of("6", "passed")]);

    let error = shop.refused("category.add", json!({"categories": [{"sub_category_id": 302}]}));
    assert_eq!((error.code.as_str(), error.advice.is_some()), ("45003", true), "an audit is open");
    shop.say("APP_CATEGORY_AUDIT_FAIL", json!({"reason": "blurred"}));
    shop.done(
        "category.modify",
        json!({"categories": [{"sub_category_id": 197, "qualis": [{"id": 1, "addr": "https://b.bdstatic.com/better.png"}]}]}),
    );
    shop.say("APP_CATEGORY_AUDIT_PASS", json!({}));
    assert_eq!(categories(&mut shop).len(), 3);

    shop.done("category.delete", json!({"categories": [{"sub_category_id": 197}]}));
    assert_eq!(categories(&mut shop), [of("301", "passed"), of("6", "passed")]);
    assert_eq!(shop.count("category.modify"), 3);
    assert_eq!(shop.refused("category.add", json!({"categories": [{"sub_category_id": 302}]})).code, "47007", "three changes are allowed");
}

#[test]
fn a_set_that_is_so_already_is_not_sent() {
    let mut shop = Shop::open();
    assert_eq!(shop.done("category.add", json!({"categories": [{"sub_category_id": 301}]})), json!({"unchanged": true}));
    assert_eq!(shop.done("category.delete", json!({"categories": [{"sub_category_id": 6}]})), json!({"unchanged": true}));
    assert_eq!(shop.count("category.modify"), 0);
}

#[test]
fn wrong_categories_are_refused_with_advice() {
    let mut shop = Shop::open();
    let add = |ids: &[i64]| json!({"categories": ids.iter().map(|id| json!({"sub_category_id": id})).collect::<Vec<_>>()});
    for (name, ids, code) in [
        ("category.add", &[302, 303, 304, 305, 6][..], "50060"),
        ("category.add", &[999], "50061"),
        ("category.add", &[197], "50063"),
        ("category.modify", &[6], "50061"),
    ] {
        let error = shop.refused(name, add(ids));
        assert_eq!((error.code.as_str(), error.advice.is_some()), (code, true), "{name}");
    }
    let foreign = json!({"categories": [{"sub_category_id": 197, "qualis": [{"id": 1, "addr": "https://elsewhere.example.com/q.png"}]}]});
    assert_eq!(shop.refused("category.add", foreign).code, "47008");
    assert_eq!(shop.misfits("category.add", add(&[1, 2, 3, 4, 5, 6])), ["categories"], "at most five");
    assert_eq!(
        shop.misfits("category.add", json!({"categories": [{"id": 1}, {"sub_category_id": 6, "qualis": [{"id": 1}]}]})),
        ["categories", "categories"]
    );
    let broken =
        json!({"categories": [{"sub_category_id": 6, "qualis": [{"id": 1, "addr": {"file_name": "a.png", "content_base64": "?"}}]}]});
    assert_eq!(shop.misfits("category.add", broken), ["categories"]);
}

#[test]
fn pictures_given_as_files_are_uploaded_first() {
    let mut shop = Shop::open();
    let materials = json!({"trademark": [picture("t.png"), "https://b.bdstatic.com/old.png"], "others": [picture("o.jpg")]});
    shop.done("profile.set_name", json!({"name": "sample shop", "materials": materials}));
    assert_eq!(shop.deeds, ["media.upload", "media.upload", "profile.set_name"]);
    let sent: Value = serde_json::from_str(&sent(&shop, "qual_materials")[0]).unwrap();
    assert_eq!(sent["trademark"][1], "https://b.bdstatic.com/old.png");
    assert!(sent["trademark"][0].as_str().unwrap().ends_with(".png") && sent["others"][0].as_str().unwrap().ends_with(".jpg"));

    shop.done("profile.set_icon", json!({"icon": picture("icon.png")}));
    assert_eq!(
        shop.refused("phone_number.apply", json!({"reason": 1, "used_scene": 0, "scene_desc": "d", "scene_demo": picture("demo.gif")}))
            .code,
        "47000"
    );
    shop.done("phone_number.apply", json!({"reason": 1, "used_scene": 0, "scene_desc": "d", "scene_demo": picture("demo.png")}));
    assert_eq!(shop.count("phone_number.apply"), 1);
    let url = shop.done("media.upload", json!({"file": picture("a.bmp"), "type": 2}))["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://"));
}

#[test]
fn a_name_goes_through_its_audit() {
    let mut shop = Shop::open();
    assert_eq!(shop.done("profile.check_name", json!({"name": "taken name"}))["status"], "duplicate");
    assert_eq!(shop.refused("profile.set_name", json!({"name": "taken name"})).code, "50024");
    shop.done("profile.set_name", json!({"name": "new name"}));
    let profile = shop.done("profile.get", json!({}));
    assert_eq!(profile["audits"], json!([{"field": "name", "value": "new name", "status": "in_audit", "reason": null}]));
    assert_eq!((&profile["changes_left"]["name"], &profile["subject"]["status"]), (&json!(4), &json!("passed")));
    assert_eq!(profile["icon"], "https://b.bdstatic.com/sample/first.png");
    assert_eq!(shop.refused("profile.set_name", json!({"name": "another name"})).code, "50052");
    shop.say("APP_NAME_AUDIT_PASS", json!({}));
    assert_eq!(shop.done("profile.get", json!({}))["name"], "new name");
    assert_eq!(shop.refused("profile.set_name", json!({"name": "new name"})).code, "50051");
    for turn in 0..4 {
        shop.done("profile.set_name", json!({"name": format!("name {turn}")}));
        shop.say("APP_NAME_AUDIT_FAIL", json!({"reason": "no"}));
    }
    assert_eq!(shop.refused("profile.set_name", json!({"name": "once more"})).code, "47004");
}

#[test]
fn texts_are_counted_as_the_vendor_counts() {
    let mut shop = Shop::open();
    assert_eq!(shop.misfits("profile.set_name", json!({"name": "邮"})), ["name"]);
    assert_eq!(shop.misfits("profile.set_name", json!({"name": "邮".repeat(16)})), ["name"]);
    assert_eq!(shop.misfits("profile.set_intro", json!({"intro": "too short"})), ["intro"]);
    assert_eq!(shop.misfits("profile.correct", json!({})), ["name"]);
    assert_eq!(shop.misfits("message.send", json!({"open_id": "o", "msg_type": "image"})), ["pic_url"]);
    assert_eq!(shop.misfits("pushes.missed", json!({"start": 1, "end": 700_000})), ["end"]);
    assert!(shop.calls.is_empty(), "nothing is sent");
}

#[test]
fn a_message_tries_both_kinds_of_user() {
    let mut shop = Shop::open();
    let text = |open_id: &str| json!({"open_id": open_id, "msg_type": "text", "content": "hello"});
    shop.done("message.send", text("o1"));
    shop.done("message.send", text("oGuest1"));
    assert_eq!(sent(&shop, "user_type"), ["2", "2", "1"]);
    let error = shop.refused("message.send", text("unknown"));
    assert_eq!((error.code.as_str(), error.advice.is_some()), ("30022", true));
    let fixed = json!({"open_id": "oGuest1", "msg_type": "text", "content": "hello", "user_type": 2});
    assert_eq!(shop.refused("message.send", fixed).code, "30022", "a given type is not changed");
    for _ in 0..4 {
        shop.done("message.send", text("o1"));
    }
    assert_eq!(shop.refused("message.send", text("o1")).code, "90001");
    let body = json!({"ToUserName": MERCHANT, "FromUserName": "o1", "CreateTime": 1, "MsgType": "text", "Content": "?", "MsgId": 5});
    shop.twin.say(Door::Message, &body.to_string(), shop.now);
    shop.done("message.send", text("o1"));
}

#[test]
fn phone_numbers_are_applied_for_granted_and_given_up() {
    let mut shop = Shop::open();
    let status = |shop: &mut Shop| shop.done("capability.status", json!({"capability": "phone_number"}))["status"].clone();
    assert_eq!(status(&mut shop), "none");
    shop.example("capability.apply");
    assert_eq!(status(&mut shop), "in_audit");
    assert_eq!(shop.refused("phone_number.apply", Value::Object(shop.row("phone_number.apply").example())).code, "50052");
    shop.say("APPLY_APP_MOBILE_AUTH_REJECT", json!({"reason": "unclear"}));
    assert_eq!(
        shop.done("phone_number.status", json!({})),
        json!({"capability": "phone_number", "status": "rejected", "reason": "unclear"})
    );
    shop.example("phone_number.apply");
    shop.say("APPLY_APP_MOBILE_AUTH_PASS", json!({}));
    assert_eq!(status(&mut shop), "granted");
    shop.done("phone_number.cancel", json!({}));
    assert_eq!(status(&mut shop), "none");
    assert_eq!(
        shop.misfits("capability.apply", json!({"capability": "live"})),
        ["capability", "reason", "used_scene", "scene_desc", "scene_demo"]
    );
}

#[test]
fn pausing_sends_its_event() {
    let mut shop = Shop::open();
    for (name, event, status) in [("service.pause", "service.paused", "service_paused"), ("service.resume", "service.resumed", "normal")] {
        let row = shop.row(name);
        let params = yizhan::platform::operation::Params::check(&row, Default::default()).unwrap();
        let yizhan::platform::operation::Next::Call(call) = shop.component.operations().next(&row, &params, &[], shop.caller(&row)) else {
            panic!()
        };
        let answer = shop.twin.answer(&super::shop::request(&call), shop.now);
        let push = pushed(shop.component.open(&arrived(&answer.pushes[0], shop.now)));
        assert!(matches!(push.notice, Notice::Fact { .. }) && data(&push) == json!({}));
        assert_eq!(push.notice.kind().as_str(), event);
        assert_eq!(shop.done("profile.get", json!({}))["status"], status);
    }
}
