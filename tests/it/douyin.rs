//! Douyin: fixtures, the whole catalogue, both token families, and a story between component and twin.

use serde_json::{Value, json};
use yizhan::platform::push::{Door, Notice, Opened, RawPush};
use yizhan::platform::token::{Family, LinkRequest, LostReply, Recovered, Refresh, Standing, TokenKey};
use yizhan::platform::twin::Verdict;
use yizhan::platform::{Call, Class, Component, Method, Reply, Twin};
use yizhan::secret::Secret;

use crate::sorted_envelope::*;

const APP: &str = "ttffff0123456789ab";

#[test]
fn every_fixture_opens_to_its_expectation() {
    assert!(every_fixture_opens_as_it_says("douyin") >= 4);
}

#[test]
fn every_flipped_bit_of_an_envelope_is_refused() {
    for name in ["ticket", "message_text"] {
        assert!(every_flipped_bit_is_refused(&fixture("douyin", name)) > 2000);
    }
}

#[test]
fn a_console_that_looks_whether_somebody_answers_is_answered() {
    let (component, _) = pair("douyin", "");
    let get = RawPush { is_get: true, ..post(Door::Message, "") };
    assert!(matches!(component.open(&get), Ok(Opened::Check(answer)) if answer.body == "success"));
}

#[test]
fn every_event_of_the_catalogue_has_its_normal_type() {
    let (component, mut twin) = pair("douyin", "");
    let none = || json!({});
    let host = |name: &str, status: i64, reason: Value| json!({"hostName": name, "status": status, "reason": reason, "auditDetail": null});
    let category = |ids: &str, status: i64, reason: &str| json!({"category": ids, "categoryName": "n", "status": status, "reason": reason});
    let content = |key: &str, value: &str, status: i64| json!({"EventContent": {key: value, "status": status, "reason": "r"}});
    let rejected = |key: &str, value: &str| json!({"EventContent": {key: value, "status": 0, "reject_reason_list": ["a", "b"]}});
    let published = |state: i64| {
        json!({"EventContent": {
            "audit_categories": [{"category_id": "188,189", "category_name": "n"}, {"category_id": "7", "category_name": "m"}],
            "audit_state": state,
            "audit_reason": r#"{"redundant_choice":["188"],"lack_choice":[],"other_reason":"no licence"}"#,
        }})
    };
    let result = |member: &str, status: i64| json!({member: {"status": status, "reason": "r"}});
    let table: Vec<(&str, Value, &str, Value)> = vec![
        ("AUTHORIZED", none(), "authorization.granted", none()),
        ("UNAUTHORIZED", none(), "authorization.revoked", none()),
        ("UPDATE_AUTHORIZED", none(), "authorization.updated", none()),
        ("SETTLE_APPLY", json!({"ApplyId": "1", "ApplyStatus": "fail", "FailReason": "r"}), "certification.changed", none()),
        ("SETTLE_VERIFY", json!({"ApplyId": "1", "VerifyStatus": "success"}), "certification.changed", none()),
        (
            "PACKAGE_AUDIT",
            json!({"AuditResults": [host("douyin", 1, Value::Null), host("xigua", 1, json!([]))]}),
            "audit.passed",
            json!({"hosts": [{"host": "douyin", "status": "passed"}, {"host": "xigua", "status": "passed"}]}),
        ),
        (
            "PACKAGE_AUDIT",
            json!({"AuditResults": [host("douyin", 1, Value::Null), host("xigua", 0, json!(["no", "way"])), host("huoshan", 0, json!(["no", "way"]))]}),
            "audit.failed",
            json!({"reason": "no; way", "hosts": [
                {"host": "douyin", "status": "passed"},
                {"host": "xigua", "status": "failed", "reason": "no; way"},
                {"host": "huoshan", "status": "failed", "reason": "no; way"},
            ]}),
        ),
        ("PACKAGE_AUDIT", json!({"AuditResults": [host("douyin", 7, Value::Null)]}), "vendor.other", none()),
        ("PACKAGE_AUDIT", json!({"AuditResults": null}), "vendor.other", none()),
        ("PACKAGE_AUDIT", json!({"AuditResults": []}), "vendor.other", none()),
        (
            "MODIFY_APP_NAME",
            json!({"ModifyAppNameResults": {"advice": "shorter", "reason": "r", "status": 0}}),
            "profile.failed",
            json!({"field": "name", "reason": "r", "advice": "shorter"}),
        ),
        (
            "MODIFY_APP_NAME",
            json!({"ModifyAppNameResults": {"advice": "", "reason": "", "status": "1"}}),
            "profile.passed",
            json!({"field": "name"}),
        ),
        ("MODIFY_APP_INTRO", result("ModifyAppIntroResults", 0), "profile.failed", json!({"field": "intro", "reason": "r"})),
        ("MODIFY_APP_ICON", result("ModifyAppIconResults", 1), "profile.passed", json!({"field": "icon", "reason": "r"})),
        ("MODIFY_APP_ICON", result("ModifyAppIconResults", 9), "vendor.other", none()),
        (
            "MODIFY_APP_CATEGORY",
            json!({"ModifyAppCategoryResults": [category("158,159,259", 1, "")]}),
            "category.passed",
            json!({"category": "158,159,259"}),
        ),
        (
            "MODIFY_APP_CATEGORY",
            json!({"ModifyAppCategoryResults": [category("1,2", 1, ""), category("3,4", 0, "no licence")]}),
            "category.failed",
            json!({"category": "3,4", "reason": "no licence"}),
        ),
        ("MODIFY_APP_CATEGORY", json!({"ModifyAppCategoryResults": []}), "vendor.other", none()),
        (
            "PUBLISH_APP_CATEGORY_AUDIT_RESULT",
            published(2),
            "category.passed",
            json!({"category": "188,189; 7", "reason": "188; no licence"}),
        ),
        (
            "PUBLISH_APP_CATEGORY_AUDIT_RESULT",
            published(3),
            "category.failed",
            json!({"category": "188,189; 7", "reason": "188; no licence"}),
        ),
        ("PUBLISH_APP_CATEGORY_AUDIT_RESULT", published(1), "vendor.other", none()),
        (
            "APP_NAME_RESET_NOTIFICATION",
            json!({"AppNameResetNotification": "reset after 30 days"}),
            "profile.failed",
            json!({"field": "name", "reason": "reset after 30 days"}),
        ),
        (
            "APPLY_VIDEO_CAPABILITY",
            result("ApplyVideoCapabilityResults", 1),
            "capability.granted",
            json!({"capability": "short_video", "reason": "r"}),
        ),
        (
            "APPLY_VIDEO_CAPABILITY",
            result("ApplyVideoCapabilityResults", 2),
            "capability.revoked",
            json!({"capability": "short_video", "reason": "r"}),
        ),
        (
            "APPLY_LIVE_CAPABILITY",
            result("ApplyLiveCapabilityResults", 0),
            "capability.rejected",
            json!({"capability": "live", "reason": "r"}),
        ),
        (
            "APPLY_PHONE_NUMBER_CAPABILITY",
            result("ApplyPhoneNumberCapabilityResults", 2),
            "capability.revoked",
            json!({"capability": "phone_number", "reason": "r"}),
        ),
        (
            "APPLY_SHARE_TEMPLATE",
            json!({"ApplyShareTemplateResults": {"templateId": "t", "status": 0, "reason": r#"["blurred","too long"]"#}}),
            "capability.rejected",
            json!({"capability": "share_template", "reason": "blurred; too long"}),
        ),
        (
            "APPLY_CAPACITY",
            content("capacity_key", "video_self_mount", 1),
            "capability.granted",
            json!({"capability": "video_self_mount", "reason": "r"}),
        ),
        ("APPLY_CAPACITY", content("capacity_key", "video_self_mount", 2), "vendor.other", none()),
        (
            "AWEME_PERMISSION_AUDIT_RESULT",
            rejected("permission_key", "p"),
            "capability.rejected",
            json!({"capability": "p", "reason": "a; b"}),
        ),
        ("SCOPE_QUOTA_AUDIT_RESULT", rejected("scope", "s"), "capability.rejected", json!({"capability": "s", "reason": "a; b"})),
        (
            "CREATE_SUBSCRIBE_NOTIFICATION_TEMPLATE_RESULT",
            rejected("title", "t"),
            "capability.rejected",
            json!({"capability": "subscribe_notification_template", "reason": "a; b"}),
        ),
        ("ALIAS_AUDIT_RESULT", content("alias", "a", 1), "profile.passed", json!({"field": "alias", "reason": "r"})),
        ("SEARCH_TAG_AUDIT_RESULT", content("search_tag", "a", 0), "profile.failed", json!({"field": "search_tag", "reason": "r"})),
        (
            "AWEME_VIDEO_KEYWORD_AUDIT_RESULT",
            rejected("keyword", "k"),
            "profile.failed",
            json!({"field": "video_keyword", "reason": "a; b"}),
        ),
        ("SELT_MOUNT_BIND", content("capacity_key", "k", 1), "vendor.other", none()),
        ("BIND_AWEME_USER", content("type", "k", 1), "vendor.other", none()),
        ("AN_EVENT_OF_NEXT_YEAR", json!({"EventContent": "?"}), "vendor.other", none()),
    ];
    for (event, payload, kind, expected) in table {
        let mut body = json!({"AppId": APP, "TpAppId": "tt0123456789abcdef", "EventTime": "2019-01-14 12:45:10", "Event": event});
        body.as_object_mut().unwrap().extend(payload.as_object().unwrap().clone());
        let push = said(&*component, &mut *twin, &body);
        assert_eq!((push.notice.kind().as_str(), data(&push)), (kind, expected), "{body}");
        assert_eq!((push.vendor_type.as_str(), push.authorizer.as_deref()), (event, Some(APP)));
        assert_eq!(push.time, at("2019-01-14T04:45:10Z"));
        assert_eq!(push.vendor, body, "{event} is kept as it was");
    }
}

#[test]
fn settings_say_what_unverified_numbers_mean() {
    let settings = "status_map.APPLY_CAPACITY = { 1 = \"passed\", 2 = \"closed\" }\n\
                    status_map.PUBLISH_APP_CATEGORY_AUDIT_RESULT = { 1 = \"passed\", 0 = \"rejected\" }\n";
    let (component, mut twin) = pair("douyin", settings);
    let mut kind = |event: &str, member: &str, number: i64| {
        let body = json!({"AppId": APP, "Event": event, "EventContent": {member: number}});
        said(&*component, &mut *twin, &body).notice.kind().as_str()
    };
    assert_eq!(kind("APPLY_CAPACITY", "status", 1), "capability.granted");
    assert_eq!(kind("APPLY_CAPACITY", "status", 2), "capability.revoked");
    assert_eq!(kind("APPLY_CAPACITY", "status", 0), "vendor.other", "in place of what is known, not beside it");
    assert_eq!(kind("SCOPE_QUOTA_AUDIT_RESULT", "status", 0), "capability.rejected", "others are as ever");
    assert_eq!(kind("PUBLISH_APP_CATEGORY_AUDIT_RESULT", "audit_state", 0), "category.failed");
    assert_eq!(kind("PUBLISH_APP_CATEGORY_AUDIT_RESULT", "audit_state", 2), "vendor.other");
}

#[test]
fn a_status_map_that_cannot_be_meant_is_refused() {
    for (wrong, named) in [
        ("status_map.APPLY_CAPACTIY = { 1 = \"passed\" }", "APPLY_CAPACTIY"),
        ("status_map.APPLY_CAPACITY = { one = \"passed\" }", "one"),
        ("status_map.APPLY_CAPACITY = { 1 = \"granted\" }", "1"),
        ("status_map.ALIAS_AUDIT_RESULT = { 2 = \"closed\" }", "2"),
    ] {
        let text = format!("{}{wrong}\n", yizhan::platform::named("douyin").unwrap().sample_settings(VENDOR));
        let problems = problems("douyin", &text);
        assert!(problems.len() == 1 && format!("{problems:?}").contains(named), "{wrong}: {problems:?}");
    }
}

#[test]
fn odd_but_possible_forms_are_read() {
    let (component, mut twin) = pair("douyin", "");
    let settled = said(&*component, &mut *twin, &json!({"TpAppId": "tt0123456789abcdef", "Event": "SETTLE_APPLY", "ApplyId": "1"}));
    assert_eq!(settled.authorizer, None);
    let text = json!({"Event": "APPLY_CAPACITY", "EventContent": r#"{"capacity_key":"k","status":1}"#});
    assert_eq!(data(&said(&*component, &mut *twin, &text)), json!({"capability": "k"}), "content as text");
    let code = json!({"Event": "AUTHORIZED", "AppId": APP, "AuthorizationCode": "c1", "AuthorizationCodeExpiresIn": "3600"});
    let push = said(&*component, &mut *twin, &code);
    let Notice::Granted(grant) = push.notice else { panic!() };
    assert_eq!(grant.code.unwrap().expires_at, at("2026-11-20T05:00:00Z"));
    assert_eq!(push.vendor["AuthorizationCode"], "[sealed]");
}

#[test]
fn another_component_behind_the_frame_or_in_the_event_is_refused() {
    let (component, mut twin) = pair("douyin", "");
    let push = twin.say(Door::Message, r#"{"Event":"X","TpAppId":"tt99"}"#, noon());
    assert_eq!(component.open(&arrived(&push, noon())).unwrap_err().reason(), "wrong-app-id");
}

fn reply(body: &Value) -> Reply {
    Reply { status: 200, content_type: String::from("application/json"), body: body.to_string().into() }
}

#[test]
fn calls_are_as_documented_in_both_families_and_print_no_secret() {
    let (component, _) = pair("douyin", "");
    let (built, _) = pair("douyin", "authorization_link = \"built\"\n");
    let token = Secret::new("clt.secret");
    let request = LinkRequest { redirect_uri: String::from("https://post.example.com/cb"), state: String::from("m-_1") };
    let calls = |family: Family| {
        let standing = Standing { family, component_token: Some(&token), now: noon() };
        let Refresh::Spend(refresh) = component.refresh(standing, APP, &Secret::new("isvrft.secret")) else { panic!() };
        [
            component.component_token(family, &Secret::new("secret-ticket")).unwrap(),
            component.exchange(standing, &Secret::new("secret-code")),
            refresh,
            component.recover(standing, APP).unwrap(),
            component.prepare_link(standing, &request).unwrap(),
            built.prepare_link(standing, &request).unwrap(),
        ]
    };
    let print = |call: &Call| {
        let text = format!("{:?} {} {:?} {:?} {:?}", call.method, call.target(), call.headers, call.query, call.body);
        for secret in ["secret-ticket", "secret-code", "clt.secret", "isvrft.secret", "0123456789abcdef0123456789abcdef01234567"] {
            assert!(!format!("{call:?}").contains(secret), "{text}");
        }
        text.replace("127.0.0.1:9/vendor", "")
    };
    assert_eq!(
        calls(Family::Current).iter().map(print).collect::<Vec<_>>(),
        [
            r#"Get /openapi/v2/auth/tp/token/ [] [("component_appid", "tt0123456789abcdef"), ("component_appsecret", [redacted]), ("component_ticket", [redacted])] Empty"#,
            r#"Get /api/tpapp/v2/auth/get_auth_token/ [("access-token", [redacted])] [("grant_type", "app_to_tp_authorization_code"), ("authorization_code", [redacted])] Empty"#,
            r#"Get /api/tpapp/v2/auth/get_auth_token/ [("access-token", [redacted])] [("grant_type", "app_to_tp_refresh_token"), ("authorizer_refresh_token", [redacted])] Empty"#,
            r#"Post /api/tpapp/v2/auth/retrieve_auth_code/ [("access-token", [redacted])] [] Json("{\"authorization_appid\":\"ttffff0123456789ab\"}")"#,
            r#"Post /api/tpapp/v3/auth/gen_link/ [("access-token", [redacted])] [] Json("{\"link_type\":1,\"redirect_uri\":\"https://post.example.com/cb?state=m-_1\"}")"#,
            r#"Post /api/tpapp/v3/auth/get_pre_auth_code/ [("access-token", [redacted])] [] Json("{\"pre_auth_code_type\":1}")"#,
        ]
    );
    assert_eq!(
        calls(Family::V1).iter().map(print).collect::<Vec<_>>(),
        [
            r#"Get /openapi/v1/auth/tp/token [] [("component_appid", "tt0123456789abcdef"), ("component_appsecret", [redacted]), ("component_ticket", [redacted])] Empty"#,
            r#"Get /openapi/v1/oauth/token [] [("component_appid", "tt0123456789abcdef"), ("component_access_token", [redacted]), ("grant_type", "app_to_tp_authorization_code"), ("authorization_code", [redacted])] Empty"#,
            r#"Get /openapi/v1/oauth/token [] [("component_appid", "tt0123456789abcdef"), ("component_access_token", [redacted]), ("grant_type", "app_to_tp_refresh_token"), ("authorizer_refresh_token", [redacted])] Empty"#,
            r#"Post /openapi/v1/auth/retrieve [] [("component_appid", "tt0123456789abcdef"), ("component_access_token", [redacted]), ("authorization_appid", "ttffff0123456789ab")] Json("{}")"#,
            r#"Post /openapi/v2/auth/gen_link [] [("component_appid", "tt0123456789abcdef"), ("component_access_token", [redacted])] Json("{\"link_type\":1,\"redirect_uri\":\"https://post.example.com/cb?state=m-_1\"}")"#,
            r#"Post /openapi/v2/auth/pre_auth_code [] [("component_appid", "tt0123456789abcdef"), ("component_access_token", [redacted])] Json("{\"pre_auth_code_type\":1}")"#,
        ]
    );

    let link = component.link(&request, Some(&reply(&json!({"err_no": 0, "data": {"link": "https://v.example/x"}}))), noon()).unwrap();
    assert_eq!((link.url.as_str(), link.expires_at), ("https://v.example/x", Some(at("2026-11-21T04:00:00Z"))));
    let odd = reply(&json!({"err_no": 0, "data": {"link": "javascript:alert(1)"}}));
    assert_eq!(component.link(&request, Some(&odd), noon()).unwrap_err().class, Class::Retry);
    let link =
        built.link(&request, Some(&reply(&json!({"err_no": 0, "data": {"pre_auth_code": "p", "expires_in": 600}}))), noon()).unwrap();
    assert_eq!(link.expires_at, Some(at("2026-11-20T04:10:00Z")));
    assert!(link.url.ends_with("/mappconsole/tp/authorization?component_appid=tt0123456789abcdef&pre_auth_code=p&redirect_uri=https%3A%2F%2Fpost.example.com%2Fcb%3Fstate%3Dm-_1"));
}

#[test]
fn answers_of_both_shapes_are_read() {
    let (component, _) = pair("douyin", "");
    let sample = json!({
        "authorizer_access_token": "isvact.x", "expires_in": 7200, "authorizer_refresh_token": "isvrft.x", "refresh_expires_in": "2592000",
        "authorizer_appid": APP, "authorize_permission": [{"id": 1, "category": "开发管理权限", "description": "d"}],
    });
    for body in [json!({"err_no": 0, "err_msg": "", "log_id": "l", "data": sample}), sample] {
        let tokens = component.read_tokens(Family::Current, &reply(&body), noon()).unwrap().remove(0);
        assert_eq!((tokens.access.value.expose(), tokens.access.expires_at), ("isvact.x", Some(at("2026-11-20T06:00:00Z"))));
        assert_eq!(tokens.refresh.unwrap().expires_at, Some(at("2026-12-20T04:00:00Z")));
        assert_eq!(tokens.app_id.as_deref(), Some(APP));
        let permissions = tokens.permissions.unwrap();
        assert_eq!((permissions[0].id.as_str(), permissions[0].name.as_str()), ("1", "d"));
    }
    let token =
        component.read_component_token(Family::Current, &reply(&json!({"component_access_token": "clt.x", "expires_in": 3600})), noon());
    assert_eq!(token.unwrap().expires_at, Some(at("2026-11-20T05:00:00Z")));
    for (key, ahead, overlap, exercise) in [
        (TokenKey::Component(Family::Current), 600, 300, None),
        (TokenKey::Component(Family::V1), 1380, 1500, None),
        (TokenKey::Authorizer { app_id: String::from(APP), family: Family::Current }, 600, 0, Some(604_800)),
    ] {
        let renewal = component.renewal(&key);
        assert_eq!((renewal.ahead.as_secs(), renewal.overlap.as_secs(), renewal.exercise.map(|e| e.as_secs())), (ahead, overlap, exercise));
    }
    assert_eq!(component.ticket_rule().unwrap().lifetime.as_secs(), 10_800);
    assert_eq!(component.lost_reply(), LostReply::Recover);
    assert_eq!(component.families(), [Family::Current, Family::V1]);
}

#[test]
fn every_kind_of_no_says_what_can_be_done() {
    let (component, _) = pair("douyin", "");
    let table = [
        (28_001_003, Class::RenewComponentToken),
        (28_001_008, Class::RenewComponentToken),
        (28_001_005, Class::Retry),
        (28_001_018, Class::Refuse),
        (28_003_017, Class::RateLimited),
        (28_005_079, Class::Configuration),
        (40_000, Class::Retry),
        (40_001, Class::Refuse),
        (40_003, Class::Configuration),
        (40_006, Class::Configuration),
        (40_009, Class::RenewComponentToken),
        (40_010, Class::RenewComponentToken),
        (40_018, Class::CodeInvalid),
        (40_020, Class::RenewAuthorizerToken),
        (40_021, Class::RefreshTokenInvalid),
        (40_022, Class::GrantGone),
        (40_037, Class::TicketInvalid),
        (40_038, Class::Configuration),
        (40_040, Class::Refuse),
        (40_045, Class::Retry),
        (40_058, Class::Configuration),
        (99_999, Class::Refuse),
    ];
    for (code, class) in table {
        let shapes = [
            json!({"err_no": code, "err_msg": "words", "log_id": "l", "data": {}}),
            json!({"errno": code.to_string(), "message": "words"}),
            json!({"data": {"error_code": code, "description": "words"}, "extra": {}}),
        ];
        for shape in shapes {
            let error = component.read_tokens(Family::Current, &reply(&shape), noon()).unwrap_err();
            assert_eq!((error.class, error.code, error.message.as_str()), (class, code.to_string(), "words"), "{shape}");
        }
    }
    for (status, body) in [
        (502, "<html>"),
        (200, ""),
        (200, "{}"),
        (200, r#"{"err_no":0,"data":null}"#),
        (500, r#"{"component_access_token":"x"}"#),
        (503, r#"{"err_no":503,"err_msg":"busy"}"#),
    ] {
        let odd = Reply { status, content_type: String::new(), body: body.into() };
        assert_eq!(component.read_component_token(Family::Current, &odd, noon()).unwrap_err().class, Class::Retry, "{body}");
        assert_eq!(component.read_tokens(Family::V1, &odd, noon()).unwrap_err().class, Class::Retry, "{body}");
        assert!(component.read_recovered(Family::Current, APP, &odd, noon()).is_err());
    }
}

/// A component's token of that family, won with a fresh ticket.
fn component_token(component: &dyn Component, twin: &mut dyn Twin, family: Family, now: yizhan::clock::Timestamp) -> Secret {
    let push = twin.ticket(now).unwrap();
    let Notice::Ticket(ticket) = pushed(component.open(&arrived(&push, now))).notice else { panic!() };
    let answer = ask(twin, &component.component_token(family, &ticket.value).unwrap(), now);
    component.read_component_token(family, &answer.reply, now).unwrap().value
}

#[test]
fn the_whole_story_of_a_merchant() {
    let (component, mut twin) = pair("douyin", "");
    let twin = &mut *twin;
    let now = noon();
    let stale = ask(twin, &component.component_token(Family::Current, &Secret::new("no-ticket")).unwrap(), now);
    assert_eq!(component.read_component_token(Family::Current, &stale.reply, now).unwrap_err().class, Class::TicketInvalid);
    let token = component_token(&*component, twin, Family::Current, now);
    assert!(token.expose().starts_with("clt.") && twin.accepts(None, token.expose(), now));
    let standing = Standing { family: Family::Current, component_token: Some(&token), now };

    let request = LinkRequest { redirect_uri: String::from("https://post.example.com/cb"), state: String::from("m") };
    let prepared = ask(twin, &component.prepare_link(standing, &request).unwrap(), now);
    assert_eq!((prepared.deed, prepared.accepted), ("link", true));
    let link = component.link(&request, Some(&prepared.reply), now).unwrap();
    let (path, query) = link.url.split_once('?').unwrap();
    let mut page = Call::get(path);
    page.query = url::form_urlencoded::parse(query.as_bytes()).map(|(n, v)| (n.into_owned(), v.into_owned().into())).collect();
    assert!(ask(twin, &page, now).accepted, "the merchant's browser gets the page");
    assert!(!ask(twin, &page, at("2026-11-21T04:00:00Z")).accepted, "but not after a day");

    let (push, redirect) = granted(&*component, twin, APP, now);
    let Notice::Granted(grant) = push.notice else { panic!() };
    let code = grant.code.unwrap();
    assert_eq!(component.returned(&redirect, now).unwrap().code.value, code.value, "push and redirect carry the same code");
    let exchange = component.exchange(standing, &code.value);
    let answer = ask(twin, &exchange, now);
    assert_eq!(answer.deed, "exchange");
    let first = component.read_tokens(Family::Current, &answer.reply, now).unwrap().remove(0);
    assert_eq!((first.app_id.as_deref(), first.permissions.unwrap().len()), (Some(APP), 3));
    assert!(first.access.value.expose().starts_with("isvact."));
    let spent = component.read_tokens(Family::Current, &ask(twin, &exchange, now).reply, now).unwrap_err();
    assert_eq!(spent.class, Class::CodeInvalid, "a code works once");

    let refresh = |token: &Secret| match component.refresh(standing, APP, token) {
        Refresh::Spend(call) => call,
        Refresh::Recover => panic!(),
    };
    let old = first.refresh.unwrap().value;
    let second = component.read_tokens(Family::Current, &ask(twin, &refresh(&old), now).reply, now).unwrap().remove(0);
    assert_eq!((second.app_id, second.permissions.is_none()), (None, true));
    assert!(!twin.accepts(Some(APP), first.access.value.expose(), now), "the former access token dies at once");
    assert!(twin.accepts(Some(APP), second.access.value.expose(), now));
    let again = component.read_tokens(Family::Current, &ask(twin, &refresh(&old), now).reply, now).unwrap_err();
    assert_eq!(again.class, Class::RefreshTokenInvalid);

    let recover = component.recover(standing, APP).unwrap();
    let answer = ask(twin, &recover, now);
    let Recovered::Code(code) = component.read_recovered(Family::Current, APP, &answer.reply, now).unwrap() else { panic!() };
    let Notice::Updated(update) = pushed(component.open(&arrived(&answer.pushes[0], now))).notice else { panic!() };
    assert_eq!(update.code.unwrap().value, code.value, "the retrieved code is pushed as well");
    let third = ask(twin, &component.exchange(standing, &code.value), now);
    let third = component.read_tokens(Family::Current, &third.reply, now).unwrap().remove(0);

    let info = |token: &Secret| Call::get(format!("{VENDOR}/api/apps/v2/basic_info/get_info/")).header("access-token", token.clone());
    assert!(ask(twin, &info(&third.access.value), now).accepted);
    let expired = ask(twin, &info(&third.access.value), at("2026-11-20T06:00:00Z"));
    assert!(String::from_utf8_lossy(&expired.reply.body).contains("28001008"));
    twin.expire_tokens(Some(APP));
    assert!(String::from_utf8_lossy(&ask(twin, &info(&third.access.value), now).reply.body).contains("28001003"));

    let list = Call::get(format!("{VENDOR}/api/tpapp/v2/auth/get_auth_app_list/")).header("access-token", token.clone());
    assert!(!ask(twin, &list.clone().query("page", "0").query("size", "50"), now).accepted);
    let listed: Value = serde_json::from_slice(&ask(twin, &list.query("page", "1").query("size", "50"), now).reply.body).unwrap();
    assert_eq!(listed["data"], json!({"auth_app_list": [{"auth_appid": APP, "auth_time": now.as_second()}], "total": 1}));

    let revoked = pushed(component.open(&arrived(&twin.revoke(APP, now).unwrap(), now)));
    assert!(matches!(revoked.notice, Notice::Revoked { at } if at == now));
    assert!(twin.revoke(APP, now).is_none());
    let gone = component.read_recovered(Family::Current, APP, &ask(twin, &recover, now).reply, now).unwrap_err();
    assert_eq!(gone.class, Class::GrantGone);
    let lost = component.read_tokens(Family::Current, &ask(twin, &refresh(&third.refresh.unwrap().value), now).reply, now).unwrap_err();
    assert_eq!(lost.class, Class::RefreshTokenInvalid);
    twin.expire_tokens(None);
    let refused = component.read_recovered(Family::Current, APP, &ask(twin, &recover, now).reply, now).unwrap_err();
    assert_eq!(refused.class, Class::RenewComponentToken);
}

#[test]
fn a_body_that_is_not_said_to_be_json_is_refused() {
    let (component, mut twin) = pair("douyin", "");
    let (twin, now) = (&mut *twin, noon());
    let request = LinkRequest { redirect_uri: String::from("https://post.example.com/cb"), state: String::from("m") };
    for (family, takes_charset) in [(Family::Current, false), (Family::V1, true)] {
        let token = component_token(&*component, twin, family, now);
        let call = component.prepare_link(Standing { family, component_token: Some(&token), now }, &request).unwrap();
        assert!(ask(twin, &call, now).accepted, "{family:?}: our own call");
        // A header that stands in the call goes before the usual one.
        let kinds = [
            ("application/json; charset=utf-8", takes_charset),
            ("text/plain; charset=gbk", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=b", false),
            ("", false),
        ];
        for (kind, is_taken) in kinds {
            let answer = ask(twin, &call.clone().header("content-type", kind), now);
            assert_eq!(answer.accepted, is_taken, "{family:?}: {kind}");
            assert_eq!(String::from_utf8_lossy(&answer.reply.body).contains("40001"), !is_taken, "{family:?}: {kind}");
        }
    }
}

#[test]
fn the_two_families_never_mix() {
    let (component, mut twin) = pair("douyin", "");
    let twin = &mut *twin;
    let now = noon();
    let current = component_token(&*component, twin, Family::Current, now);
    let v1 = component_token(&*component, twin, Family::V1, now);
    granted(&*component, twin, APP, now);
    let crossed = Standing { family: Family::V1, component_token: Some(&current), now };
    let refused =
        component.read_recovered(Family::V1, APP, &ask(twin, &component.recover(crossed, APP).unwrap(), now).reply, now).unwrap_err();
    assert_eq!((refused.class, refused.code.as_str()), (Class::RenewComponentToken, "40010"));

    let standing = Standing { family: Family::V1, component_token: Some(&v1), now };
    let answer = ask(twin, &component.recover(standing, APP).unwrap(), now);
    let Recovered::Code(code) = component.read_recovered(Family::V1, APP, &answer.reply, now).unwrap() else { panic!() };
    let other = Standing { family: Family::Current, component_token: Some(&current), now };
    let refused = component.read_tokens(Family::Current, &ask(twin, &component.exchange(other, &code.value), now).reply, now).unwrap_err();
    assert_eq!(refused.class, Class::CodeInvalid, "a code of V1 is none of V2");
    let tokens =
        component.read_tokens(Family::V1, &ask(twin, &component.exchange(standing, &code.value), now).reply, now).unwrap().remove(0);
    assert!(twin.accepts(Some(APP), tokens.access.value.expose(), now));
    let info = Call::new(Method::Get, format!("{VENDOR}/openapi/v1/microapp/app/info")).query("component_appid", "tt0123456789abcdef");
    assert!(ask(twin, &info.clone().query("authorizer_access_token", tokens.access.value.clone()), now).accepted);
    assert!(!ask(twin, &info.query("authorizer_access_token", "x"), now).accepted);
    let list = Call::get(format!("{VENDOR}/openapi/v1/tp/auth_app_list")).query("component_appid", "tt0123456789abcdef");
    let list = list.query("component_access_token", v1).query("page", "1").query("size", "1");
    let listed: Value = serde_json::from_slice(&ask(twin, &list, now).reply.body).unwrap();
    assert_eq!(listed["data"]["authAppList"][0]["authAppId"], APP);
}

#[test]
fn component_tokens_live_side_by_side_as_each_generation_says() {
    let (component, mut twin) = pair("douyin", "");
    let twin = &mut *twin;
    let now = noon();
    let first = component_token(&*component, twin, Family::Current, now);
    let second = component_token(&*component, twin, Family::Current, now);
    let in_four_minutes = at("2026-11-20T04:04:59Z");
    assert!(twin.accepts(None, first.expose(), in_four_minutes));
    assert!(!twin.accepts(None, first.expose(), at("2026-11-20T04:05:00Z")));
    let third = component_token(&*component, twin, Family::Current, now);
    assert!(!twin.accepts(None, first.expose(), now), "only the newest two are kept");
    assert!(twin.accepts(None, second.expose(), now) && twin.accepts(None, third.expose(), now));

    let first = component_token(&*component, twin, Family::V1, now);
    let same = component_token(&*component, twin, Family::V1, at("2026-11-20T05:29:59Z"));
    assert_eq!(first, same);
    let next = component_token(&*component, twin, Family::V1, at("2026-11-20T05:30:00Z"));
    assert_ne!(first, next);
    assert!(twin.accepts(None, first.expose(), at("2026-11-20T05:59:59Z")), "the former one lives to its end");
}

#[test]
fn a_ticket_lives_three_hours_and_the_secret_is_checked() {
    let (component, mut twin) = pair("douyin", "");
    let now = noon();
    let push = twin.ticket(now).unwrap();
    let Notice::Ticket(ticket) = pushed(component.open(&arrived(&push, now))).notice else { panic!() };
    assert_eq!(ticket.created_at, now);
    let call = component.component_token(Family::Current, &ticket.value).unwrap();
    assert!(ask(&mut *twin, &call, at("2026-11-20T06:59:59Z")).accepted);
    assert!(!ask(&mut *twin, &call, at("2026-11-20T07:00:00Z")).accepted);
    for (name, class) in [("component_appsecret", Class::Configuration), ("component_appid", Class::Configuration)] {
        let mut wrong = call.clone();
        wrong.query.iter_mut().filter(|(n, _)| n == name).for_each(|(_, value)| *value = "x".into());
        let reply = ask(&mut *twin, &wrong, now).reply;
        assert_eq!(component.read_component_token(Family::Current, &reply, now).unwrap_err().class, class);
    }
}

#[test]
fn audits_come_per_host() {
    let (component, mut twin) = pair("douyin", "");
    let passed = twin.audit(APP, "1.0.3", &Verdict::Passed, noon());
    let failed = twin.audit(APP, "1.0.3", &Verdict::Failed(String::from("名称过长")), noon());
    let passed = pushed(component.open(&arrived(&passed, noon())));
    let failed = pushed(component.open(&arrived(&failed, noon())));
    assert_eq!((passed.notice.kind().as_str(), data(&passed)["hosts"][0]["status"].as_str()), ("audit.passed", Some("passed")));
    assert_eq!((failed.notice.kind().as_str(), data(&failed)["reason"].as_str()), ("audit.failed", Some("名称过长")));
}
