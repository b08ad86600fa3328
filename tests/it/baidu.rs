//! Baidu: fixtures, the whole catalogue, echo, tokens, and a story between component and twin.

use serde_json::{Value, json};
use yizhan::clock::Timestamp;
use yizhan::platform::push::{Door, Notice, Opened, RawPush};
use yizhan::platform::token::{Family, LinkRequest, LostReply, Recovered, Refresh, Standing, TokenKey};
use yizhan::platform::{Class, Reply};
use yizhan::secret::Secret;

use crate::sorted_envelope::*;

#[test]
fn every_fixture_opens_to_its_expectation() {
    assert!(every_fixture_opens_as_it_says("baidu") >= 12);
}

#[test]
fn every_flipped_bit_of_an_envelope_is_refused() {
    for name in ["ticket_sample", "authorized"] {
        assert!(every_flipped_bit_is_refused(&fixture("baidu", name)) > 2000);
    }
}

#[test]
fn every_event_of_the_catalogue_has_its_normal_type() {
    let (component, mut twin) = pair("baidu", "");
    let capability = |name: &str| json!({"capability": name, "reason": "r"});
    let field = |name: &str| json!({"field": name, "reason": "r"});
    let none = || json!({});
    let reason = || json!({"reason": "r"});
    let package = json!({"version": "1.3.46", "package_id": "745815", "reason": "r"});
    let table: Vec<(&str, &str, Value)> = vec![
        ("AUTHORIZED", "authorization.granted", none()),
        ("UPDATE_AUTHORIZED", "authorization.updated", none()),
        ("UNAUTHORIZED", "authorization.revoked", none()),
        ("REGISTER_AUTH_SUCCESS", "vendor.other", none()),
        ("ACCOUNT_AND_APP_CREATE_AUDIT_PASS", "authorization.granted", none()),
        ("ACCOUNT_AND_APP_CREATE_AUDIT_FAIL", "vendor.other", none()),
        ("APP_CREATE_FAIL", "vendor.other", none()),
        ("CREATE_APP_AUTH_CANCEL", "vendor.other", none()),
        ("APP_CREATE_SUCCESS_AND_AUTH_FAIL", "vendor.other", none()),
        ("PACKAGE_AUDIT_PASS", "audit.passed", package.clone()),
        ("PACKAGE_AUDIT_FAIL", "audit.failed", package),
        ("APP_NAME_AUDIT_PASS", "profile.passed", field("name")),
        ("APP_NAME_AUDIT_FAIL", "profile.failed", field("name")),
        ("APP_ICON_AUDIT_PASS", "profile.passed", field("icon")),
        ("APP_ICON_AUDIT_FAIL", "profile.failed", field("icon")),
        ("APP_DESC_AUDIT_PASS", "profile.passed", field("intro")),
        ("APP_DESC_AUDIT_FAIL", "profile.failed", field("intro")),
        ("APP_CATEGORY_AUDIT_PASS", "category.passed", reason()),
        ("APP_CATEGORY_AUDIT_FAIL", "category.failed", reason()),
        ("APP_NAME_CLEAR", "profile.failed", field("name")),
        ("APP_SERVER_PAUSE", "service.paused", reason()),
        ("APP_SERVER_RESUME", "service.resumed", reason()),
        ("APP_FORCE_OFFLINE", "service.suspended", reason()),
        ("TIME_LIMIT_RECTIFY_NOTIFY", "service.warned", reason()),
        ("FLOW_CLOSE_NOTIFY", "service.suspended", reason()),
        ("FLOW_CLOSE_AUDIT_PASS", "service.resumed", reason()),
        ("FLOW_CLOSE_AUDIT_FAIL", "service.suspended", reason()),
        ("BASE_INFO_OFFLINE_AUDIT_SUCCESS", "profile.passed", field("basic_info")),
        ("BASE_INFO_OFFLINE_AUDIT_FAIL", "profile.failed", field("basic_info")),
        ("ANNUAL_REVIEW_PENDING", "service.warned", reason()),
        ("ANNUAL_REVIEW_OVERDUE", "service.warned", reason()),
        ("ANNUAL_REVIEW_PASS", "certification.changed", none()),
        ("APPLY_APP_MOBILE_AUTH_REJECT", "capability.rejected", capability("phone_number")),
        ("APP_MOBILE_AUTH_CANCEL", "capability.revoked", capability("phone_number")),
        ("ADVANCED_AUDIT_CHANGED", "certification.changed", none()),
        ("AUDIT_SUB_CHAIN_PASS", "capability.granted", capability("sub_chain")),
        ("AUDIT_SUB_CHAIN_FAILED", "capability.rejected", capability("sub_chain")),
        ("BRAND_WORD_AUDIT_SUCCESS", "capability.granted", capability("brand_word")),
        ("BRAND_WORD_AUDIT_FAIL", "capability.rejected", capability("brand_word")),
        ("APP_SEARCH_PATH_AUDIT_PASS", "capability.granted", capability("search_path")),
        ("APP_SEARCH_PATH_AUDIT_SUCCESS", "capability.granted", capability("search_path")),
        ("APP_SEARCH_PATH_AUDIT_FAIL", "capability.rejected", capability("search_path")),
        ("APP_PAYMENT_CREATE_ACCOUNT_PASS", "capability.granted", capability("payment_account")),
        ("APP_PAYMENT_CREATE_ACCOUNT_FAIL", "capability.rejected", capability("payment_account")),
        ("APP_PAYMENT_UPDATE_DEVELOP_CONFIG_PASS", "capability.granted", capability("payment_config")),
        ("APP_PAYMENT_UPDATE_DEVELOP_CONFIG_FAIL", "capability.rejected", capability("payment_config")),
        ("APP_PAYMENT_CREATE_PAYMENT_PASS", "capability.granted", capability("payment")),
        ("APP_PAYMENT_CREATE_PAYMENT_FAIL", "capability.rejected", capability("payment")),
        ("APP_PAY_CLOSE", "capability.revoked", capability("payment")),
        ("ARTICLE_MOUNT_AUDIT_SUCCESS", "capability.granted", capability("article_mount")),
        ("ARTICLE_MOUNT_AUDIT_FAIL", "capability.rejected", capability("article_mount")),
        ("SERVER_RESOURCE_PASS", "capability.granted", capability("server_resource")),
        ("SERVER_RESOURCE_REJECT", "capability.rejected", capability("server_resource")),
        ("SERVER_RESOURCE_WAIT", "vendor.other", none()),
        ("SERVER_RESOURCE_CANCEL", "vendor.other", none()),
        ("SERVER_RESOURCE_DELIVER_WAIT", "vendor.other", none()),
        ("SERVER_RESOURCE_DELETE", "vendor.other", none()),
        ("BATCH_TASK_UPLOAD_PACKAGE_SUCCESS", "build.succeeded", json!({"version": "1.3.46"})),
        ("BATCH_TASK_UPLOAD_PACKAGE_FAIL", "build.failed", json!({"version": "1.3.46", "reason": "r"})),
        ("BATCH_TASK_UPLOAD_RELEASE_SUCCESS", "release.changed", json!({"version": "1.3.46", "state": "online"})),
        ("BATCH_TASK_UPLOAD_RELEASE_FAIL", "vendor.other", none()),
        ("BATCH_TASK_UPLOAD_SUBMIT_AUDIT_FAIL", "vendor.other", none()),
        ("BATCH_UPLOAD_SUBMIT_SUCCESS", "vendor.other", none()),
        ("BATCH_UPLOAD_SUBMIT_FAIL", "vendor.other", none()),
        ("AN_EVENT_OF_NEXT_YEAR", "vendor.other", none()),
    ];
    for (event, kind, expected) in table {
        let body = json!({
            "appId": 1_452_365, "tpAppId": 17_328_232, "eventTime": "2019-01-14 12:45:10", "event": event,
            "packageId": 745_815, "packageVersion": "1.3.46", "reason": "r",
        });
        let push = said(&*component, &mut *twin, &body);
        assert_eq!((push.notice.kind().as_str(), data(&push)), (kind, expected), "{event}");
        assert_eq!((push.vendor_type.as_str(), push.authorizer.as_deref()), (event, Some("1452365")));
        assert_eq!(push.time, at("2019-01-14T04:45:10Z"));
        assert_eq!(push.vendor, body, "{event} is kept as it was");
    }
}

#[test]
fn sloppy_samples_are_read() {
    let (component, mut twin) = pair("baidu", "");
    let offline = json!({"appId": "1452365", "tpAppId": "17328232", "event": " base_info_offline_audit_fail", "reson": "blurred"});
    let push = said(&*component, &mut *twin, &offline);
    assert_eq!((push.notice.kind().as_str(), data(&push)), ("profile.failed", json!({"field": "basic_info", "reason": "blurred"})));
    assert_eq!((push.vendor_type.as_str(), push.authorizer.as_deref()), ("base_info_offline_audit_fail", Some("1452365")));
    assert_eq!(push.time, noon(), "without a time of its own: that of receipt");
    assert_eq!(push.vendor["event"], " base_info_offline_audit_fail");

    let ticket = said(&*component, &mut *twin, &json!({"MsgType": "TICKET", "Event": "push", "CreateTime": "1535551395", "Ticket": "t"}));
    let Notice::Ticket(ticket) = ticket.notice else { panic!() };
    assert_eq!((ticket.value.expose(), ticket.created_at), ("t", Timestamp::from_second(1_535_551_395).unwrap()));

    let coupon =
        json!({"ToUserName": "5", "FromUserName": "o", "CreateTime": "1577364225", "MsgType": "event", "Event": "user_get_coupon"});
    let push = said(&*component, &mut *twin, &coupon);
    assert_eq!(
        (push.notice.kind().as_str(), push.vendor_type.as_str(), push.authorizer.as_deref()),
        ("vendor.other", "user_get_coupon", Some("5"))
    );
    let image = json!({"ToUserName": "5", "FromUserName": "o", "CreateTime": 1_577_364_225, "MsgType": "image", "PicUrl": "u", "MsgId": 1});
    assert_eq!(data(&said(&*component, &mut *twin, &image)), json!({"from": "o", "kind": "image"}));
    assert_eq!(said(&*component, &mut *twin, &json!({"a": 1})).vendor_type, "unknown");
}

#[test]
fn the_withdrawn_phone_number_that_is_named_like_an_approval_never_reads_as_granted() {
    let (component, mut twin) = pair("baidu", "");
    let mut kind = |body: Value| said(&*component, &mut *twin, &body).notice.kind();
    assert_eq!(kind(json!({"event": "APPLY_APP_MOBILE_AUTH_PASS"})).as_str(), "capability.granted");
    assert_eq!(kind(json!({"event": "APPLY_APP_MOBILE_AUTH_PASS", "reason": " "})).as_str(), "capability.granted");
    assert_eq!(kind(json!({"event": "APPLY_APP_MOBILE_AUTH_PASS", "reason": "subject changed"})).as_str(), "capability.revoked");
    assert_eq!(kind(json!({"event": "APPLY_APP_MOBILE_AUTH_PASS", "reson": "subject changed"})).as_str(), "capability.revoked");
}

#[test]
fn a_created_app_brings_its_code() {
    let (component, mut twin) = pair("baidu", "");
    let push = said(
        &*component,
        &mut *twin,
        &json!({"event": "ACCOUNT_AND_APP_CREATE_AUDIT_PASS", "appId": 7, "appKey": "k", "authorizationCode": "c1", "authorizationCodeExpiresIn": "1800"}),
    );
    let Notice::Granted(grant) = push.notice else { panic!() };
    let code = grant.code.unwrap();
    assert_eq!((code.value.expose(), code.expires_at), ("c1", at("2026-11-20T04:30:00Z")));
    assert_eq!(push.vendor["authorizationCode"], "[sealed]");
    let register = json!({"event": "REGISTER_AUTH_SUCCESS", "authorizationCode": "c1", "createAuthorizationCode": "c2", "userId": "u"});
    let push = said(&*component, &mut *twin, &register);
    let sealed =
        json!({"event": "REGISTER_AUTH_SUCCESS", "authorizationCode": "[sealed]", "createAuthorizationCode": "[sealed]", "userId": "u"});
    assert_eq!(push.vendor, sealed);
}

#[test]
fn codes_of_a_registration_are_told_only_where_the_settings_say_so() {
    let agreed = json!({"event": "REGISTER_AUTH_SUCCESS", "authorizationCode": "c1", "createAuthorizationCode": "c2", "userId": "u"});
    let void = json!({"event": "CREATE_APP_AUTH_CANCEL", "createAuthorizationCode": "c2"});
    let data = |settings: &str, body: &Value| {
        let (component, mut twin) = pair("baidu", settings);
        let push = said(&*component, &mut *twin, body);
        assert!(push.vendor["createAuthorizationCode"] == "[sealed]", "{}", push.vendor);
        let Notice::Fact { kind, data } = push.notice else { panic!("{:?}", push.notice) };
        assert_eq!(kind.as_str(), "vendor.other");
        Value::Object(data)
    };
    assert_eq!((data("", &agreed), data("", &void)), (json!({}), json!({})));
    let on = "register_codes = true\n";
    assert_eq!(data(on, &agreed), json!({"authorization_code": "c1", "create_authorization_code": "c2"}));
    assert_eq!(data(on, &void), json!({"create_authorization_code": "c2"}));
    let (component, mut twin) = pair("baidu", on);
    let granted = said(&*component, &mut *twin, &json!({"event": "AUTHORIZED", "appId": 7, "authorizationCode": "c1"}));
    assert_eq!(granted.vendor["authorizationCode"], "[sealed]", "of registrations alone");
}

#[test]
fn a_browser_that_agreed_to_a_registration_brings_no_grant() {
    let (component, _) = pair("baidu", "");
    assert!(
        component.is_registration("create_authorization_code=c2") && component.is_registration("?state=s?create_authorization_code=c2")
    );
    assert!(component.is_registration("authorization_code=c1&create_authorization_code=c2"));
    for granted in ["authorization_code=c1&expires_in=3600", "create_authorization_code=&authorization_code=c1", ""] {
        assert!(!component.is_registration(granted), "{granted}");
    }
}

#[test]
fn times_of_events_are_read_in_the_zone_that_the_settings_name() {
    let body = json!({"event": "UNAUTHORIZED", "appId": 7, "eventTime": "2026-11-20 04:00:00"});
    for (settings, moment) in [
        ("", "2026-11-19T20:00:00Z"),
        ("event_zone = \"+08:00\"\n", "2026-11-19T20:00:00Z"),
        ("event_zone = \"Z\"\n", "2026-11-20T04:00:00Z"),
        ("event_zone = \"+00:00\"\n", "2026-11-20T04:00:00Z"),
        ("event_zone = \"-03:30\"\n", "2026-11-20T07:30:00Z"),
    ] {
        let (component, mut twin) = pair("baidu", settings);
        let push = said(&*component, &mut *twin, &body);
        assert!(matches!(push.notice, Notice::Revoked { at: told } if told == at(moment)), "{settings}: {:?}", push.notice);
        let unix = said(&*component, &mut *twin, &json!({"MsgType": "event", "Event": "X", "CreateTime": 1_600_000_000}));
        assert_eq!(unix.time.as_second(), 1_600_000_000, "{settings}");
        twin.grant("7", noon());
        let revoked = twin.revoke("7", noon()).unwrap();
        let revoked = pushed(component.open(&arrived(&revoked, noon())));
        assert_eq!(revoked.time, noon(), "{settings}: the twin writes in the same zone");
    }
    for wrong in ["CST", "8", "+8", "+25:00", "Asia/Shanghai", ":00Z", "Z[Asia/Shanghai]", ""] {
        let text = format!("{}event_zone = \"{wrong}\"\n", yizhan::platform::named("baidu").unwrap().sample_settings(VENDOR));
        let problems = problems("baidu", &text);
        assert!(problems.len() == 1 && format!("{problems:?}").contains("event_zone"), "{wrong}: {problems:?}");
    }
}

#[test]
fn another_id_behind_the_frame_is_refused_only_where_the_settings_say_so() {
    let sample = |id: &str| {
        format!("tp_id = \"{id}\"\nclient_id = \"k\"\ntoken = \"t\"\nencoding_aes_key = \"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG\"\n")
    };
    let push = twin("baidu", &sample("2")).say(Door::Message, r#"{"event":"X"}"#, noon());
    assert!(component("baidu", &sample("1")).open(&arrived(&push, noon())).is_ok());
    let strict = sample("1") + "strict_tail = true\n";
    assert_eq!(component("baidu", &strict).open(&arrived(&push, noon())).unwrap_err().reason(), "wrong-app-id");
    let named = json!({"event": "X", "tpAppId": "1"}).to_string();
    let push = twin("baidu", &sample("2")).say(Door::Message, &named, noon());
    let diagnosis = component("baidu", &strict).diagnose(&arrived(&push, noon()));
    assert_eq!((diagnosis.opens, diagnosis.proposal), (true, vec![String::from("strict_tail = false")]));
}

#[test]
fn the_consoles_echo_is_answered_wherever_its_parameters_travel() {
    let token = "token = \"SyntheticToken2024\"\n";
    let component = component(
        "baidu",
        &format!("tp_id = \"1\"\nclient_id = \"k\"\nencoding_aes_key = \"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG\"\n{token}"),
    );
    let form = "signature=5b7dfddfa2fbf214f1d99c689cd8682d072431f5&timestamp=1600000000&nonce=123456789&echoStr=echo-4f9a";
    let body = |json: Value| post(Door::Message, json.to_string());
    let get = |query: &str| RawPush { is_get: true, query: query.to_owned(), ..post(Door::Message, "") };
    let answered = |raw: &RawPush| match component.open(raw) {
        Ok(Opened::Check(answer)) => String::from_utf8(answer.body.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    let signature = "5b7dfddfa2fbf214f1d99c689cd8682d072431f5";
    assert_eq!(answered(&get(form)), "echo-4f9a");
    assert_eq!(answered(&RawPush { query: form.to_owned(), ..post(Door::Message, "") }), "echo-4f9a");
    assert_eq!(answered(&post(Door::Message, form)), "echo-4f9a");
    assert_eq!(
        answered(&body(json!({"signature": signature, "timestamp": 1_600_000_000, "nonce": "123456789", "echoStr": "echo-4f9a"}))),
        "echo-4f9a"
    );
    assert_eq!(answered(&body(json!({"signature": signature, "timestamp": "1600000000", "nonce": 123_456_789, "echostr": 17}))), "17");
    assert_eq!(answered(&get("")), "success", "a console that only looks whether somebody answers");
    assert!(component.diagnose(&get(form)).opens);

    for wrong in [form.replace("5b7d", "5b7e"), form.replace("nonce=1", "nonce=2"), String::from("echoStr=x")] {
        for raw in [get(&wrong), post(Door::Message, wrong.clone())] {
            let error = component.open(&raw).unwrap_err();
            assert_eq!((error.reason(), error.status()), ("bad-signature", 401), "{wrong}");
            assert!(!component.diagnose(&raw).opens);
        }
    }
}

fn reply(body: &Value) -> Reply {
    Reply { status: 200, content_type: String::from("application/json"), body: body.to_string().into() }
}

#[test]
fn calls_are_as_documented_and_print_no_secret() {
    let (component, _) = pair("baidu", "");
    let tp = Secret::new("42.secret");
    let standing = Standing { family: Family::Current, component_token: Some(&tp), now: noon() };
    let request = LinkRequest { redirect_uri: String::from("https://post.example.com/cb"), state: String::from("m-_1") };
    let Refresh::Spend(refresh) = component.refresh(standing, "1452365", &Secret::new("46.secret")) else { panic!() };
    let calls = [
        component.component_token(Family::Current, &Secret::new("secret-ticket")).unwrap(),
        component.exchange(standing, &Secret::new("secret-code")),
        refresh,
        component.recover(standing, "1452365").unwrap(),
        component.identify(standing, &Secret::new("45.secret")).unwrap(),
        component.prepare_link(standing, &request).unwrap(),
    ];
    let printed: Vec<String> =
        calls.iter().map(|call| format!("{:?} {} {:?} {:?}", call.method, call.target(), call.query, call.body)).collect();
    assert_eq!(
        printed,
        [
            r#"Get 127.0.0.1:9/vendor/public/2.0/smartapp/auth/tp/token [("client_id", "sampleTpKey0123456789abcdefghijk"), ("ticket", [redacted])] Empty"#,
            r#"Get 127.0.0.1:9/vendor/rest/2.0/oauth/token [("access_token", [redacted]), ("grant_type", "app_to_tp_authorization_code"), ("code", [redacted])] Empty"#,
            r#"Get 127.0.0.1:9/vendor/rest/2.0/oauth/token [("access_token", [redacted]), ("grant_type", "app_to_tp_refresh_token"), ("refresh_token", [redacted])] Empty"#,
            r#"Post 127.0.0.1:9/vendor/rest/2.0/smartapp/auth/retrieve/authorizationcode [("access_token", [redacted])] Form([("app_id", "1452365")])"#,
            r#"Get 127.0.0.1:9/vendor/rest/2.0/smartapp/app/info [("access_token", [redacted])] Empty"#,
            r#"Get 127.0.0.1:9/vendor/rest/2.0/smartapp/tp/createpreauthcode [("access_token", [redacted])] Empty"#,
        ]
    );
    assert!(calls.iter().all(|call| !format!("{call:?}").contains("secret")));
    let prepared = reply(&json!({"errno": 0, "msg": "success", "data": {"pre_auth_code": "p+1", "expires_in": 1200}}));
    let link = component.link(&request, Some(&prepared), noon()).unwrap();
    assert_eq!(
        link.url,
        "http://127.0.0.1:9/vendor/mappconsole/tp/authorization?client_id=sampleTpKey0123456789abcdefghijk&redirect_uri=https%3A%2F%2Fpost.example.com%2Fcb%3Fstate%3Dm-_1&pre_auth_code=p%2B1"
    );
    assert_eq!(link.expires_at, Some(at("2026-11-20T04:20:00Z")));
    assert_eq!(component.link(&request, None, noon()).unwrap_err().class, Class::Retry);
    let (own, _) = pair("baidu", "redirect_uri = \"https://own.example.com/back?x=1\"\n");
    assert!(
        own.link(&request, Some(&prepared), noon())
            .unwrap()
            .url
            .contains("redirect_uri=https%3A%2F%2Fown.example.com%2Fback%3Fx%3D1%26state%3Dm-_1&")
    );
}

#[test]
fn lifetimes_come_from_the_answer_or_from_the_reference() {
    let (component, _) = pair("baidu", "ticket_lifetime = \"10m\"\n");
    let dies = |body: Value| component.read_component_token(Family::Current, &reply(&body), noon()).unwrap().expires_at.unwrap();
    assert_eq!(dies(json!({"errno": "0", "data": {"access_token": "42.x", "expires_in": "60"}})), at("2026-11-20T04:01:00Z"));
    assert_eq!(dies(json!({"errno": 0, "data": {"access_token": "42.x"}})), at("2026-12-20T04:00:00Z"));
    assert_eq!(dies(json!({"errno": 0, "data": {"access_token": "42.x", "expires_in": i64::MAX}})), Timestamp::MAX);
    let nested = reply(&json!({"data": {"access_token": "45.x", "refresh_token": "46.x", "expires_in": 3600}}));
    let tokens = component.read_tokens(Family::Current, &nested, noon()).unwrap();
    assert_eq!((tokens[0].access.expires_at, &tokens[0].app_id), (Some(at("2026-11-20T05:00:00Z")), &None));
    assert_eq!(tokens[0].refresh.as_ref().unwrap().expires_at.unwrap(), at("2036-11-17T04:00:00Z"));

    assert_eq!(component.ticket_rule().unwrap().lifetime.as_secs(), 600);
    assert_eq!(component.renewal(&TokenKey::Component(Family::Current)).ahead.as_secs(), 7 * 86_400);
    let authorizer = TokenKey::Authorizer { app_id: String::from("1"), family: Family::Current };
    assert_eq!(component.renewal(&authorizer).ahead.as_secs(), 600);
    assert_eq!(component.lost_reply(), LostReply::RepeatThenRecover);
    assert_eq!(component.families(), [Family::Current]);
}

#[test]
fn every_kind_of_no_says_what_can_be_done() {
    let (component, _) = pair("baidu", "");
    let oauth = |error: &str| json!({"error": error, "error_description": "words"});
    let gateway = |code: i64| json!({"error_code": code, "error_msg": "words"});
    let platform = |code: Value| json!({"errno": code, "msg": "words"});
    let table = [
        (oauth("invalid_grant"), Class::CodeInvalid, "invalid_grant"),
        (oauth("expired_token"), Class::RefreshTokenInvalid, "expired_token"),
        (oauth("invalid_request"), Class::RefreshTokenInvalid, "invalid_request"),
        (oauth("invalid_client"), Class::Configuration, "invalid_client"),
        (oauth("unsupported_grant_type"), Class::Refuse, "unsupported_grant_type"),
        (gateway(110), Class::RenewComponentToken, "110"),
        (gateway(111), Class::RenewComponentToken, "111"),
        (gateway(2), Class::Retry, "2"),
        (gateway(4), Class::RateLimited, "4"),
        (gateway(5), Class::Configuration, "5"),
        (gateway(100), Class::Refuse, "100"),
        (platform(json!(44003)), Class::RenewComponentToken, "44003"),
        (platform(json!("50003")), Class::TicketInvalid, "50003"),
        (platform(json!(502)), Class::TicketInvalid, "502"),
        (platform(json!(50002)), Class::Configuration, "50002"),
        (platform(json!(40008)), Class::Configuration, "40008"),
        (platform(json!(50032)), Class::GrantGone, "50032"),
        (platform(json!(50029)), Class::RateLimited, "50029"),
        (platform(json!(-1)), Class::Retry, "-1"),
        (platform(json!(45000)), Class::Refuse, "45000"),
    ];
    for (body, class, code) in table {
        let error = component.read_tokens(Family::Current, &reply(&body), noon()).unwrap_err();
        assert_eq!((error.class, error.code.as_str(), error.message.as_str()), (class, code, "words"));
    }
    let identity = component.read_identity(&reply(&gateway(110))).unwrap_err();
    assert_eq!(identity.class, Class::RenewAuthorizerToken);
    for (status, body) in [
        (502, "<html>"),
        (200, ""),
        (200, "[]"),
        (200, "{}"),
        (200, r#"{"errno":0,"data":""}"#),
        (500, r#"{"errno":0,"data":{"access_token":"a","refresh_token":"b"}}"#),
        // Codes that a server in trouble made up.
        (500, r#"{"status":500,"error":"Internal Server Error","path":"/rest/2.0/oauth/token"}"#),
        (502, r#"{"error_code":70001,"error_msg":"upstream"}"#),
        (503, r#"{"errno":503,"msg":"busy"}"#),
    ] {
        let odd = Reply { status, content_type: String::new(), body: body.into() };
        assert_eq!(component.read_tokens(Family::Current, &odd, noon()).unwrap_err().class, Class::Retry, "{body}");
        assert!(component.read_component_token(Family::Current, &odd, noon()).is_err());
        assert!(component.read_recovered(Family::Current, "1", &odd, noon()).is_err());
        assert!(component.read_identity(&odd).is_err());
    }
}

/// Ticket, link, grant, exchange from push and redirect, refresh, loss, recovery, revocation.
#[test]
fn the_whole_story_of_a_merchant() {
    let (component, mut twin) = pair("baidu", "");
    let twin = &mut *twin;
    let now = noon();
    let ticket = |push| match pushed(component.open(&arrived(&push, now))).notice {
        Notice::Ticket(ticket) => ticket.value,
        other => panic!("{other:?}"),
    };
    let stale = ask(twin, &component.component_token(Family::Current, &Secret::new("no-ticket")).unwrap(), now);
    assert_eq!(component.read_component_token(Family::Current, &stale.reply, now).unwrap_err().class, Class::TicketInvalid);
    let ticket = ticket(twin.ticket(now).unwrap());
    let call = component.component_token(Family::Current, &ticket).unwrap();
    let answer = ask(twin, &call, now);
    assert_eq!((answer.deed, answer.accepted), ("component_token", true));
    let tp = component.read_component_token(Family::Current, &answer.reply, now).unwrap().value;
    assert!(tp.expose().starts_with("42.") && twin.accepts(None, tp.expose(), now));
    let standing = Standing { family: Family::Current, component_token: Some(&tp), now };

    let request = LinkRequest { redirect_uri: String::from("https://post.example.com/cb"), state: String::from("m") };
    let prepared = ask(twin, &component.prepare_link(standing, &request).unwrap(), now);
    let link = component.link(&request, Some(&prepared.reply), now).unwrap();
    let (path, query) = link.url.split_once('?').unwrap();
    let mut page = yizhan::platform::Call::get(path);
    page.query = url::form_urlencoded::parse(query.as_bytes()).map(|(n, v)| (n.into_owned(), v.into_owned().into())).collect();
    assert!(ask(twin, &page, now).accepted, "the merchant's browser gets the page");
    assert!(!ask(twin, &page, at("2026-11-20T04:20:00Z")).accepted, "but not after twenty minutes");

    let (push, redirect) = granted(&*component, twin, "1452365", now);
    let Notice::Granted(grant) = push.notice else { panic!() };
    let code = grant.code.unwrap();
    assert_eq!(code.expires_at, at("2026-11-20T04:01:00Z"));
    let exchange = component.exchange(standing, &code.value);
    let first = component.read_tokens(Family::Current, &ask(twin, &exchange, now).reply, now).unwrap().remove(0);
    let spent = component.read_tokens(Family::Current, &ask(twin, &exchange, now).reply, now).unwrap_err();
    assert_eq!(spent.class, Class::CodeInvalid, "a code works once");
    let info = ask(twin, &component.identify(standing, &first.access.value).unwrap(), now);
    let identity = component.read_identity(&info.reply).unwrap();
    assert_eq!((identity.app_id.as_str(), identity.permissions.unwrap().len()), ("1452365", 2));

    let returned = component.returned(&format!("state=m&{redirect}"), now).unwrap();
    let second = ask(twin, &component.exchange(standing, &returned.code.value), now);
    let second = component.read_tokens(Family::Current, &second.reply, now).unwrap().remove(0);
    assert!(!twin.accepts(Some("1452365"), first.access.value.expose(), now));
    assert!(twin.accepts(Some("1452365"), second.access.value.expose(), now));

    let refresh = |token: &Secret| match component.refresh(standing, "1452365", token) {
        Refresh::Spend(call) => call,
        Refresh::Recover => panic!(),
    };
    let old = second.refresh.unwrap().value;
    let third = component.read_tokens(Family::Current, &ask(twin, &refresh(&old), now).reply, now).unwrap().remove(0);
    let again = component.read_tokens(Family::Current, &ask(twin, &refresh(&old), now).reply, now).unwrap_err();
    assert_eq!((again.class, again.code.as_str()), (Class::RefreshTokenInvalid, "expired_token"));
    assert!(twin.accepts(Some("1452365"), third.access.value.expose(), now));

    let recover = component.recover(standing, "1452365").unwrap();
    let answer = ask(twin, &recover, now);
    assert!(answer.pushes.is_empty());
    let Recovered::Code(code) = component.read_recovered(Family::Current, "1452365", &answer.reply, now).unwrap() else { panic!() };
    assert_eq!(code.expires_at, at("2026-11-20T09:00:00Z"));
    let fourth = ask(twin, &component.exchange(standing, &code.value), now);
    let fourth = component.read_tokens(Family::Current, &fourth.reply, now).unwrap().remove(0);
    let later = at("2026-11-20T05:00:00Z");
    let expired = ask(twin, &component.identify(standing, &fourth.access.value).unwrap(), later);
    assert_eq!(component.read_identity(&expired.reply).unwrap_err().code, "111");
    twin.expire_tokens(Some("1452365"));
    assert!(!twin.accepts(Some("1452365"), fourth.access.value.expose(), now));

    let (update, _) = granted(&*component, twin, "1452365", now);
    assert!(matches!(update.notice, Notice::Updated(_)));
    let revoked = pushed(component.open(&arrived(&twin.revoke("1452365", now).unwrap(), now)));
    assert!(matches!(revoked.notice, Notice::Revoked { at } if at == now));
    assert!(twin.revoke("1452365", now).is_none());
    let gone = component.read_recovered(Family::Current, "1452365", &ask(twin, &recover, now).reply, now).unwrap_err();
    assert_eq!(gone.class, Class::GrantGone);

    twin.expire_tokens(None);
    let refused = component.read_tokens(Family::Current, &ask(twin, &refresh(&fourth.refresh.unwrap().value), now).reply, now).unwrap_err();
    assert_eq!(refused.class, Class::RenewComponentToken);
}

#[test]
fn audits_come_with_their_package() {
    use yizhan::platform::twin::Verdict;
    let (component, mut twin) = pair("baidu", "");
    let passed = twin.audit("1452365", "1.0.3", &Verdict::Passed, noon());
    let failed = twin.audit("1452365", "1.0.3", &Verdict::Failed(String::from("名称过长")), noon());
    let passed = pushed(component.open(&arrived(&passed, noon())));
    let failed = pushed(component.open(&arrived(&failed, noon())));
    assert_eq!((passed.notice.kind().as_str(), data(&passed)["version"].as_str()), ("audit.passed", Some("1.0.3")));
    assert_eq!((failed.notice.kind().as_str(), data(&failed)["reason"].as_str()), ("audit.failed", Some("名称过长")));
}

#[test]
fn an_unknown_address_or_method_is_the_gateways_no() {
    let (component, mut twin) = pair("baidu", "");
    let mut call = component.recover(Standing { family: Family::Current, component_token: None, now: noon() }, "1").unwrap();
    let refused = ask(&mut *twin, &call, noon());
    assert_eq!(component.read_recovered(Family::Current, "1", &refused.reply, noon()).unwrap_err().code, "110");
    call.method = yizhan::platform::Method::Get;
    let refused = ask(&mut *twin, &call, noon());
    assert_eq!(component.read_recovered(Family::Current, "1", &refused.reply, noon()).unwrap_err().code, "3");
}
