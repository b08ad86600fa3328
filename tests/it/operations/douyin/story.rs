//! What the twin tells: a version's life, and the vendor's codes for what comes in the wrong order.

use serde_json::{Value, json};
use yizhan::platform::Class;
use yizhan::platform::twin::Verdict;

use super::{Failure, Loss, SHOP, TEMPLATE, World, picture};

fn none() -> Value {
    json!({})
}

#[test]
fn a_version_goes_from_upload_to_rollback() {
    let world = World::new();
    let hosts = || json!({"hosts": ["douyin"]});
    assert_eq!(world.refused("audit.submit", hosts()), "11302", "nothing uploaded");
    assert_eq!(world.refused("trial.qrcode", json!({"stage": "latest"})), "40030");
    assert_eq!(world.refused("package.release", none()), "11402");
    assert_eq!(world.refused("package.rollback", none()), "10003");
    assert_eq!(world.refused("package.upload", json!({"template_id": 7, "version": "1", "description": "d"})), "40029");

    world.upload("1.0.0");
    assert_eq!(world.stage("latest")["version"], "1.0.0");
    assert_eq!(world.refused("audit.submit", json!({"hosts": ["nowhere"]})), "40001");
    assert_eq!(world.done("audit.submit", hosts()), json!({"version": "1.0.0", "hosts": ["douyin"], "status": "in_audit"}));
    assert_eq!(world.refused("audit.submit", hosts()), "11301", "within ten seconds");
    world.advance(10);
    assert_eq!(world.refused("audit.submit", hosts()), "11303");
    assert_eq!(world.refused("package.release", none()), "11403");
    assert_eq!(world.done("audit.withdraw", none())["status"], "withdrawn");
    assert_eq!(world.refused("audit.withdraw", none()), "11601");

    world.done("audit.submit", hosts());
    let failed = world.twin().audit(SHOP, "", &Verdict::Failed(String::from("no licence")), world.now());
    assert!(String::from_utf8_lossy(&failed.plain).contains(r#""hostName":"douyin""#), "the hosts of the submission");
    let audit = world.stage("audit");
    assert_eq!((&audit["status"], &audit["reason"]), (&json!("failed"), &json!("no licence")));
    assert_eq!(world.refused("audit.withdraw", none()), "11603");
    world.advance(10);
    let again = world.done("audit.submit", json!({"hosts": ["douyin"], "audit_way": 1}));
    assert_eq!((&again["version"], &again["status"]), (&json!("1.0.0"), &json!("in_audit")));
    world.approve();
    assert_eq!(world.done("package.release", none()), json!({"version": "1.0.0", "status": "released"}));
    assert_eq!(world.refused("package.release", none()), "11402", "it is released already");
    assert_eq!(world.refused("package.rollback", none()), "10003", "there is none before it");

    world.publish("1.1.0");
    assert_eq!(world.stage("current")["rollback"], json!({"possible": true, "version": "1.0.0"}));
    assert_eq!(world.done("package.rollback", none()), json!({"version": "1.0.0", "status": "released"}));
    assert_eq!(world.stage("current")["version"], "1.0.0");
    world.publish("1.2.0");
    match world.call("package.rollback", none()) {
        Err(Failure::Refused(error)) => {
            assert_eq!((error.code.as_str(), error.class), ("11501", Class::RateLimited));
            assert!(error.advice.unwrap().contains("10 minutes"));
        }
        other => panic!("{other:?}"),
    }
    world.advance(600);
    assert_eq!(world.done("package.rollback", none())["version"], "1.0.0");
    let seen = ["package.upload", "audit.submit", "audit.withdraw", "package.release", "package.rollback"].map(|deed| world.seen(deed));
    assert_eq!(seen, [3, 5, 1, 3, 2]);
}

#[test]
fn ids_keep_all_their_digits_and_ext_json_names_the_merchant() {
    let world = World::new();
    let id: u64 = TEMPLATE.parse().unwrap();
    for id in [json!(id), json!(TEMPLATE)] {
        let ext = json!({"extAppid": "ttsomebodyelse", "extPages": {"pages/a": {"title": "A"}}});
        world.done("package.upload", json!({"template_id": id, "version": "1", "description": "d", "ext": ext}));
        let sent = world.sent();
        let yizhan::platform::Body::Json(body) = &sent.last().unwrap().body else { panic!() };
        assert!(body.expose().contains(&format!("\"template_id\":{TEMPLATE},")), "{}", body.expose());
        let body: Value = serde_json::from_str(body.expose()).unwrap();
        let ext: Value = serde_json::from_str(body["ext_json"].as_str().unwrap()).unwrap();
        assert_eq!(ext, json!({"extEnable": true, "extAppid": SHOP, "extPages": {"pages/a": {"title": "A"}}}));
    }
    assert_eq!(world.done("template.list", none())["items"][0]["template_id"], TEMPLATE);
    let added = world.done("template.add", json!({"draft_id": "9133504853504540002"}));
    assert_eq!(added, json!({"template_id": "9133504853504530002"}));
    assert_eq!(world.refused("template.add", json!({"draft_id": 1})), "40034");
    world.done("template.delete", added);
    assert_eq!(world.refused("template.delete", json!({"template_id": "9133504853504530002"})), "40029");
}

#[test]
fn a_change_of_the_profile_is_audited_and_counted() {
    let world = World::new();
    let name = |name: &str| json!({"name": name});
    assert_eq!(world.refused("profile.check_name", name("ab")), "21001");
    assert_eq!(world.refused("profile.check_name", name("taken tea")), "21003");
    match world.call("profile.set_name", name("brand tea")) {
        Err(Failure::Refused(error)) => assert!(error.code == "21006" && error.advice.unwrap().contains("materials")),
        other => panic!("{other:?}"),
    }
    world.done("profile.set_name", json!({"name": "brand tea", "materials": picture("p.png")}));
    assert_eq!(world.refused("profile.set_name", name("other tea")), "21004");
    let audit = world.done("profile.get", none())["name_audit"].clone();
    assert_eq!(audit, json!({"value": "brand tea", "status": "in_audit", "remaining_times": 4}));
    world.decide("MODIFY_APP_NAME", json!({"ModifyAppNameResults": {"status": 1}}));
    assert_eq!(world.done("profile.get", none())["name"], "brand tea");
    assert_eq!(world.refused("profile.set_icon", json!({"icon": "material/unknown"})), "21101");
    for turn in 0..5 {
        world.done("profile.set_intro", json!({"intro": format!("a fine introduction {turn}")}));
        world.decide("MODIFY_APP_INTRO", json!({"ModifyAppIntroResults": {"status": 0}}));
    }
    assert_eq!(world.refused("profile.set_intro", json!({"intro": "a fine introduction"})), "20105");
    assert_eq!(world.done("profile.get", none())["intro_audit"]["status"], "failed");
}

#[test]
fn categories_are_added_audited_published_and_deleted() {
    let world = World::new();
    let with = |materials: Value| json!({"categories": [{"category": "188,189,190", "materials": materials}]});
    let proof = |id: &str| json!([{"id": id, "name": "n", "files": [picture("a.png"), picture("b.png")]}]);
    assert_eq!(world.refused("category.add", with(json!([]))), "21302");
    assert_eq!(world.refused("category.add", with(proof("6"))), "21302");
    assert_eq!(world.refused("category.add", json!({"categories": [{"category": "9,9,9"}]})), "21301");
    assert_eq!(world.refused("category.add", json!({"categories": [{"category": "1,2,3", "materials": proof("5")}]})), "21315");
    let unknown = json!([{"id": "5", "files": ["material/unknown"]}]);
    assert_eq!(world.refused("category.add", with(unknown)), "28005105");
    world.done("category.add", with(proof("5")));
    assert_eq!(world.seen("media.upload"), 6, "every file of a category is uploaded");
    assert_eq!(world.refused("category.add", with(proof("5"))), "21306");
    assert_eq!(world.refused("category.publish", none()), "21408");
    assert_eq!(world.refused("category.modify", with(proof("5"))), "21310");
    world.decide_category("188,189,190", 0);
    world.done("category.modify", with(proof("5")));
    world.decide_category("188,189,190", 1);
    world.done("category.publish", none());
    world.decide("PUBLISH_APP_CATEGORY_AUDIT_RESULT", json!({"EventContent": {"audit_state": 2}}));
    let published = world.done("category.published", none());
    assert_eq!((published["items"].as_array().unwrap().len(), &published["audit"]["status"]), (2, &json!("passed")));
    assert_eq!(world.refused("category.delete", json!({"categories": ["1,2,3", "188,189,190"]})), "21307");
    world.done("category.delete", json!({"categories": ["1,2,3"]}));
    assert_eq!(world.done("category.list", none())["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_rejected_category_is_handed_in_again_with_its_own_proofs_while_a_change_is_left() {
    let world = World::new();
    let with = |ids: &[&str]| {
        let materials: Vec<Value> = ids.iter().map(|id| json!({"id": id, "name": "n", "files": [picture("a.png")]})).collect();
        json!({"categories": [{"category": "188,189,190", "materials": materials}]})
    };
    world.done("category.add", with(&["5"]));
    world.decide_category("188,189,190", 0);
    assert_eq!(world.refused("category.modify", with(&["5", "6"])), "21309");
    world.done("category.modify", with(&["5"]));
    world.decide_category("188,189,190", 0);
    // The other four of the month.
    for _ in 0..4 {
        world.done("category.delete", json!({"categories": ["188,189,190"]}));
        world.done("category.add", with(&["5"]));
        world.decide_category("188,189,190", 0);
    }
    assert_eq!(world.refused("category.modify", with(&["5"])), "21303");
}

#[test]
fn domains_are_bare_hosts_at_the_vendor_and_have_a_scheme_here() {
    let world = World::new();
    let one = |url: &str| json!({"request": [url]});
    assert_eq!(world.done("server_domain.add", one("https://API.shop.example.com/")), json!({"changed": true}));
    assert_eq!(world.done("server_domain.add", one("api.shop.example.com")), json!({"changed": false}));
    assert_eq!(world.refused("server_domain.add", one("https://a.invalid")), "40023");
    assert_eq!(world.done("server_domain.get", none())["request"], json!(["https://api.shop.example.com"]));
    world.done("server_domain.set", json!({"request": ["https://b.example.com"], "socket": ["wss://s.example.com"]}));
    let held = world.done("server_domain.get", none());
    assert_eq!((&held["request"], &held["socket"]), (&json!(["https://b.example.com"]), &json!(["wss://s.example.com"])));
    assert_eq!(world.done("server_domain.set", held), json!({"changed": false}), "what was read can be set");
    assert_eq!(world.refused("server_domain.delete", one("c.example.com")), "40028");
    world.done("server_domain.delete", one("https://b.example.com"));
    world.done("webview_domain.set", json!({"domains": ["https://m.example.com"]}));
    assert_eq!(world.done("webview_domain.get", none()), json!({"domains": ["https://m.example.com"]}));
}

#[test]
fn capabilities_have_three_numberings_and_one_vocabulary() {
    let world = World::new();
    let status = |name: &str, capability: Option<&str>| {
        world.done(name, capability.map_or_else(none, |capability| json!({"capability": capability})))["status"].clone()
    };
    let short_video = || json!({"capability": "short_video", "reason": "r", "anchor_text": "a", "materials": picture("p.png")});
    assert_eq!(status("capability.status", Some("short_video")), "can_apply");
    assert_eq!(status("capability.status", Some("ma.jsapi.live_room_status")), "can_apply");
    assert_eq!(status("live_component.status", None), "can_apply");
    assert_eq!(world.done("capability.apply", short_video()), json!({"status": "applying"}));
    assert_eq!(world.refused("capability.apply", short_video()), "28005032");
    world.decide("APPLY_VIDEO_CAPABILITY", json!({"ApplyVideoCapabilityResults": {"status": 1}}));
    assert_eq!(status("capability.status", Some("short_video")), "granted");
    let params = json!({"capability": "live", "reason": "r", "materials": picture("p.png"), "apply_info": {"scene_desc": ["s"]}});
    world.done("capability.apply", params);
    world.decide("APPLY_CAPACITY", json!({"EventContent": {"capacity_key": "live_self_mount", "status": 0}}));
    assert_eq!(world.done("capability.status", json!({"capability": "live"}))["status"], "rejected");
    world.done("live_component.apply", json!({"reason": "r", "firstLiveTime": 1, "liveFrequency": 2, "hasAdBudget": false}));
    assert_eq!(status("live_component.status", None), "applying");
    world.done("phone_number.apply", json!({"reason": 1, "scene": 2, "description": "long enough a text", "materials": picture("s.png")}));
    world.decide("APPLY_PHONE_NUMBER_CAPABILITY", json!({"ApplyPhoneNumberCapabilityResults": {"status": 2}}));
    assert_eq!(status("phone_number.status", None), "closed");
}

#[test]
fn a_rejected_token_is_renewed_once_in_its_own_generation() {
    for name in ["package.list", "quality.rating", "live_component.status"] {
        let world = World::new();
        world.done(name, none());
        world.twin().expire_tokens(Some(SHOP));
        world.sent();
        world.done(name, none());
        assert_eq!(world.sent().len(), 2, "{name}");
    }
    let world = World::new();
    world.done("template.list", none());
    world.twin().expire_tokens(None);
    world.done("template.list", none());
    let unready = r#"{"err_no":28001008,"err_msg":"expired"}"#;
    world.answer_instead("versions", 200, unready);
    world.answer_instead("versions", 200, unready);
    assert_eq!(world.refused("package.list", none()), "28001008");
}

#[test]
fn a_permission_set_that_is_missing_is_told_and_refused_elsewhere() {
    let world = World::new();
    let no = r#"{"err_no":28001018,"err_msg":"not granted"}"#;
    world.answer_instead("query_apply_permission_status", 200, no);
    let granted: Vec<_> = world.done("authorization.permissions", none())["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|set| (set["id"].as_str().unwrap().to_owned(), set["granted"].as_bool().unwrap()))
        .collect();
    assert_eq!(granted, [("1", true), ("2", true), ("3", false)].map(|(id, granted)| (id.to_owned(), granted)));
    world.answer_instead("get_info", 200, no);
    match world.call("profile.get", none()) {
        Err(Failure::Refused(error)) => assert!(error.class == Class::Refuse && error.advice.unwrap().contains("permission set")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn odd_answers_are_read_as_what_they_are() {
    let world = World::new();
    world.answer_instead("get_webview_check_file_info", 404, "<html>");
    let file = world.call("webview_domain.check_file", none());
    assert!(file.is_err(), "the twin knows one spelling only");
    assert!(world.sent().iter().any(|call| call.url.contains("/doamin/")), "the other spelling was tried");
    world.answer_instead("/doamin/get_webview_check_file_info", 200, r#"{"err_no":0,"data":{"file_name":"a.txt","file_content":" x\n"}}"#);
    world.answer_instead("/domain/get_webview_check_file_info", 404, "");
    let file = world.call("webview_domain.check_file", none()).unwrap().file.unwrap();
    assert_eq!((file.name.as_deref(), &file.content[..]), (Some("a.txt"), &b" x\n"[..]));
    let mixed = r#"{"err_no":0,"data":{"latest":null,"audit":{"version":"1","ctime":1790000000,"status":9,"approvedApps":null,"has_publish":true,
        "reasonDetail":{"抖音":["r"]},"screenshot":["a"]},"gray":{"version":"0.9","host_gray_scale":{"douyin":10}}}}"#;
    world.answer_instead("versions", 200, mixed);
    let items = world.done("package.list", none())["items"].clone();
    assert_eq!(
        (&items[0]["status"], &items[0]["was_released"], &items[0]["reasons"]),
        (&json!("9"), &json!(true), &json!({"抖音": ["r"]}))
    );
    assert_eq!(items[1]["stage"], "gray");
    for body in [r#"{"err_no":0,"data":{}}"#, r#"{"err_no":0,"data":{"img":"***"}}"#] {
        for _ in 0..3 {
            world.answer_instead("qrcode/create", 200, body);
        }
        match world.call("qrcode.create", none()) {
            Err(Failure::Refused(error)) => assert_eq!(error.class, Class::Retry),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_ban_is_the_merchants_where_its_token_was_sent_and_the_components_where_that_was() {
    let world = World::new();
    for code in [28_001_014, 28_001_016] {
        let class_of = |end, name| {
            world.answer_instead(end, 200, json!({"err_no": code, "err_msg": "words", "log_id": "l", "data": {}}).to_string());
            match world.call(name, none()) {
                Err(Failure::Refused(error)) => (error.code, error.class, error.advice.unwrap()),
                other => panic!("{other:?}"),
            }
        };
        let merchants = class_of("/package_version/versions", "package.list");
        assert_eq!((merchants.0.as_str(), merchants.1), (code.to_string().as_str(), Class::Refuse));
        assert!(merchants.2.contains("the mini program"), "{}", merchants.2);
        let components = class_of("/template/get_tpl_list", "template.list");
        assert_eq!((components.0.as_str(), components.1), (code.to_string().as_str(), Class::Configuration));
        assert!(components.2.contains("the component"), "{}", components.2);
    }
}

#[test]
fn hosts_that_rejected_an_audited_version_are_known_by_their_reasons() {
    let world = World::new();
    let audit = |more: Value| {
        let mut audit = json!({"version": "1.0.0", "status": 1, "has_publish": 0, "reason": ""});
        audit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let list = json!({"err_no": 0, "err_msg": "", "log_id": "l", "data": {"latest": null, "audit": audit, "current": null}});
        world.answer_instead("/package_version/versions", 200, list.to_string());
        let told = world.done("package.list", none())["items"][0].clone();
        (told["hosts_passed"].clone(), told["hosts_failed"].clone(), told["reason"].clone())
    };
    let one = audit(json!({"approved_apps": ["抖音"], "reason_detail": {"今日头条": ["内容违规"], "抖音": ["see to it"], "西瓜视频": []}}));
    assert_eq!(one, (json!(["抖音"]), json!(["今日头条"]), json!("内容违规")));
    let camel = audit(json!({"approvedApps": ["抖音"], "reasonDetail": {"今日头条": ["a"], "西瓜视频": ["a"]}, "reason": "said"}));
    assert_eq!(camel, (json!(["抖音"]), json!(["今日头条", "西瓜视频"]), json!("said")));
    let none_rejected = audit(json!({"approved_apps": ["抖音"], "reason_detail": null}));
    assert_eq!(none_rejected, (json!(["抖音"]), Value::Null, Value::Null));
    let named = audit(json!({"approved_apps": [], "not_approved_apps": ["抖音"], "reason_detail": {}}));
    assert_eq!(named, (json!([]), json!(["抖音"]), Value::Null));
}

#[test]
fn settings_say_what_the_numbers_of_the_short_video_mount_mean() {
    let world = World::with("short_video_status = { 0 = \"can_apply\", 7 = \"applying\", 8 = \"granted\" }\n");
    let status = |number: i64, capability: &str, end| {
        let said = json!({"err_no": 0, "err_msg": "", "log_id": "l", "data": {"status": number, "reason": ""}});
        world.answer_instead(end, 200, said.to_string());
        world.done("capability.status", json!({"capability": capability}))["status"].clone()
    };
    let mount = |number| status(number, "short_video", "/query_apply_permission_status");
    assert_eq!([mount(0), mount(7), mount(8)], ["can_apply", "applying", "granted"]);
    assert_eq!(mount(2), "2", "in place of what is known, not beside it");
    assert_eq!(status(2, "video_self_mount", "/query_apply_status"), "granted", "others are as ever");
    for (wrong, named) in
        [("{ one = \"applying\" }", "one"), ("{ 1 = \"passed\" }", "1"), ("{}\nshort_video_state = {}", "short_video_state")]
    {
        let sample = yizhan::platform::named("douyin").unwrap().sample_settings(crate::sorted_envelope::VENDOR);
        let problems = crate::sorted_envelope::problems("douyin", &format!("{sample}short_video_status = {wrong}\n"));
        assert!(problems.len() == 1 && format!("{problems:?}").contains(named), "{wrong}: {problems:?}");
    }
}

#[test]
fn an_application_whose_answer_was_lost_is_read_in_the_numbers_of_the_settings() {
    let world = World::with("short_video_status = { 7 = \"applying\" }\n");
    let apply = json!({"capability": "short_video", "reason": "r", "anchor_text": "a", "materials": picture("p.png")});
    let said = json!({"err_no": 0, "err_msg": "", "log_id": "l", "data": {"status": 7, "reason": ""}});
    world.lose("/video_mount/apply_permission", Loss::Answer);
    for _ in 0..4 {
        world.answer_instead("/query_apply_permission_status", 200, said.to_string());
    }
    assert_eq!(world.done("capability.apply", apply)["status"], "applying");
    assert_eq!(world.seen("capability.apply"), 1);
}
