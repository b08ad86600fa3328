//! What messages mean.

use super::*;

#[test]
fn names_are_told_apart_as_the_reference_says() {
    let cases = [
        ("COMPONENT_TICKET", "ticket.received"),
        ("AUTHORIZED", "authorization.granted"),
        ("authorize_success", "authorization.granted"),
        ("UNAUTHORIZED", "authorization.revoked"),
        ("CANCEL_AUTHORIZATION", "authorization.revoked"),
        ("UPDATE_AUTHORIZED", "authorization.updated"),
        ("RE_AUTHORIZATION_CODE", "authorization.updated"),
        ("RETRIEVE_AUTH_CODE", "authorization.updated"),
        ("APPLY_VIDEO_CAPABILITY", "capability.granted"),
        ("APPLY_CAPACITY", "capability.granted"),
        ("APPLY_PHONE", "capability.granted"),
        ("PACKAGE_AUDIT", "audit.passed"),
        ("APPLY_AUDIT", "audit.passed"),
        ("PAYMENT", "vendor.other"),
        ("POI_MERGE", "vendor.other"),
        ("SOMETHING_NEW", "vendor.other"),
        ("", "vendor.other"),
    ];
    for (name, kind) in cases {
        let plain = json!({ "event": name, "appId": "ks7", "componentTicket": "t-1", "authorizationCode": "c-1", "status": "SUCCESS" });
        let push = said("", &plain);
        assert_eq!(push.notice.kind().as_str(), kind, "{name}");
        assert_eq!((push.vendor_type.as_str(), push.authorizer.as_deref()), (name, Some("ks7")));
    }
}

#[test]
fn an_exact_name_in_the_settings_wins() {
    let lines = "events = { PRODUCT_AUDIT = \"other\", HELLO = \"code_recovered\" }";
    assert_eq!(said(lines, &json!({ "event": "PRODUCT_AUDIT", "status": 1 })).notice.kind(), EventType::VendorOther);
    assert_eq!(said(lines, &json!({ "event": "HELLO" })).notice.kind(), EventType::AuthorizationUpdated);
    assert_eq!(said(lines, &json!({ "event": "hello" })).notice.kind(), EventType::VendorOther);
}

#[test]
fn an_audit_is_passed_only_when_it_is_said_so() {
    let cases = [
        (json!(0), "audit.delayed"),
        (json!(1), "audit.passed"),
        (json!("1"), "audit.passed"),
        (json!(2), "audit.failed"),
        (json!(3), "vendor.other"),
        (json!(9), "audit.delayed"),
        (json!("AUDIT_PASS"), "audit.passed"),
        (json!("approved"), "audit.passed"),
        (json!("NOT_PASS"), "audit.failed"),
        (json!("UnPassed"), "audit.failed"),
        (json!("UNSUCCESSFUL"), "audit.failed"),
        (json!("DISAPPROVED"), "audit.failed"),
        (json!("REVOKE_SUCCESS"), "vendor.other"),
        (json!("?"), "audit.delayed"),
        (json!(null), "audit.delayed"),
    ];
    for (status, kind) in cases {
        let push = said("", &json!({ "event": "PACKAGE_AUDIT", "data": { "auditStatus": status }, "result": null }));
        assert_eq!(push.notice.kind().as_str(), kind, "{status}");
    }
}

#[test]
fn an_audit_says_its_version_and_reason_wherever_they_stand() {
    let plain = json!({
        "event": "PACKAGE_AUDIT", "appId": "ks7", "eventTime": "2026-11-20 15:04:05", "result": 1,
        "EventContent": { "auditResults": [{ "status": 2, "user_version": "1.0.3", "reason": ["blurred", "too loud"], "auditId": 9_007_199_254_740_993_i64 }] },
    });
    let push = said("", &plain);
    let expected = json!({ "version": "1.0.3", "audit_id": "9007199254740993", "reason": "blurred\ntoo loud" });
    assert_eq!(fact(&push), (EventType::AuditFailed, expected));
    assert_eq!(push.time, now());
    assert_eq!(push.vendor, plain);
}

#[test]
fn an_unknown_status_says_how_to_make_it_known_and_the_setting_does() {
    let plain = json!({ "event": "PACKAGE_AUDIT", "status": 7 });
    assert_eq!(fact(&said("", &plain)).1["reason"], "the status 7 is not known here; `audit.status_map` can name it");
    assert_eq!(fact(&said("audit.status_map = { 7 = \"approved\" }", &plain)).0, EventType::AuditPassed);
    assert_eq!(fact(&said("audit.status_map = { 1 = \"rejected\" }", &json!({ "event": "AUDIT", "status": 1 }))).0, EventType::AuditFailed);
    assert_eq!(fact(&said("fields = { status = [\"zt\"] }", &json!({ "event": "AUDIT", "status": 1, "zt": 2 }))).0, EventType::AuditFailed);
}

#[test]
fn a_capability_is_granted_only_by_words_or_settings() {
    let plain = json!({ "event": "APPLY_VIDEO_CAPABILITY", "status": 2, "reason": "fine" });
    assert_eq!(fact(&said("", &plain)), (EventType::VendorOther, json!({ "capability": "short_video", "reason": "fine" })));
    let lines = "capability.status_map = { \"short_video:2\" = \"approved\", 2 = \"rejected\" }";
    assert_eq!(fact(&said(lines, &plain)).0, EventType::CapabilityGranted);
    let other = json!({ "event": "APPLY_CAPACITY", "capacity_key": "live_mount", "status": 2 });
    assert_eq!(fact(&said(lines, &other)), (EventType::CapabilityRejected, json!({ "capability": "live" })));
    let closed = json!({ "event": "APPLY_PHONE_NUMBER_CAPABILITY", "status": "REVOKED" });
    assert_eq!(fact(&said("", &closed)).0, EventType::CapabilityRevoked);
}

#[test]
fn secrets_are_sealed_wherever_they_stand() {
    let plain = json!({
        "event": "AUTHORIZED", "AuthorizationCode": "code-secret-1", "data": { "list": [{ "authorization_code": "code-secret-2" }] },
        "content": "{\"component_ticket\":\"ticket-secret-3\",\"a\":1}", "preAuthCode": 5, "zzz": "code-secret-4", "note": "[not json",
    });
    let push = said("fields = { code = [\"zzz\"] }", &plain);
    let text = push.vendor.to_string();
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(push.vendor["content"], "{\"component_ticket\":\"[sealed]\",\"a\":1}");
    assert_eq!(push.vendor["note"], "[not json");
    let Notice::Granted(grant) = &push.notice else { panic!() };
    assert_eq!(grant.code.as_ref().unwrap().value.expose(), "code-secret-4");
    assert!(!format!("{push:?}").contains("secret"), "{push:?}");
}

#[test]
fn times_are_read_in_every_unit() {
    let at = |value: Value| said("", &json!({ "event": "UNAUTHORIZED", "eventTime": value })).time;
    let expected: Timestamp = "2021-07-08T10:41:52Z".parse().unwrap();
    for value in [json!(1_625_740_912_000_i64), json!(1_625_740_912), json!("1625740912000"), json!("2021-07-08 18:41:52")] {
        assert_eq!(at(value), expected);
    }
    // Nothing readable: the envelope's time, which the twin sets to now.
    for value in [json!(0), json!(-5), json!("soon"), json!({}), json!(i64::MAX), json!(1.5)] {
        assert_eq!(at(value), now());
    }
    let Notice::Revoked { at } = said("", &json!({ "event": "UNAUTHORIZED", "eventTime": 1_625_740_912 })).notice else { panic!() };
    assert_eq!(at, expected);
}

#[test]
fn our_own_id_is_not_taken_for_an_authorizer() {
    assert_eq!(said("", &json!({ "event": "AUTHORIZED", "appId": APP_ID, "authorized_app_id": "ks7" })).authorizer.as_deref(), Some("ks7"));
    assert_eq!(said("", &json!({ "event": "AUTHORIZED", "appId": APP_ID })).authorizer, None);
}

#[test]
fn a_grant_without_a_code_and_a_ticket_event_without_a_ticket_lose_nothing() {
    let Notice::Granted(grant) = said("", &json!({ "event": "AUTHORIZED", "appId": "ks7" })).notice else { panic!() };
    assert!(grant.code.is_none());
    assert_eq!(said("", &json!({ "event": "COMPONENT_TICKET" })).notice.kind(), EventType::VendorOther);
}

#[test]
fn a_lifetime_beyond_reason_does_not_overflow() {
    for lifetime in [json!(i64::MAX), json!(-1), json!("x")] {
        let plain = json!({ "event": "AUTHORIZED", "authorizationCode": "c", "expiresIn": lifetime, "eventTime": 253_402_200_000_000_i64 });
        let Notice::Granted(grant) = said("", &plain).notice else { panic!() };
        assert!(grant.code.unwrap().expires_at > now());
    }
}
