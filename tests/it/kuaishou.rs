//! Kuaishou: its pushes in every variant, its events, its tokens, its twin and its diagnosis.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::clock::Timestamp;
use yizhan::event_type::EventType;
use yizhan::platform::call::{Body, Class, Method};
use yizhan::platform::push::{Notice, Opened, Push, PushError, RawPush};
use yizhan::platform::token::{Family, LinkRequest, LostReply, Recovered, Refresh, Standing, TokenKey};
use yizhan::platform::twin::{Outgoing, Request, Twin, Verdict};
use yizhan::platform::{self, Call, Component, Door, Reply, capture};
use yizhan::secret::Secret;
use yizhan::settings::{Problem, Settings, Surroundings};

const APP_ID: &str = "ks600000000000000001";
const VENDOR: &str = "http://127.0.0.1:9/kuaishou";

fn now() -> Timestamp {
    "2026-11-20T07:04:05Z".parse().unwrap()
}

fn settings(text: &str) -> Settings {
    Settings::parse(text, Surroundings::default()).unwrap()
}

fn kuaishou() -> &'static dyn platform::Platform {
    platform::named("kuaishou").unwrap()
}

/// The sample's settings with these lines after them.
fn with(lines: &str) -> String {
    format!("{}{lines}\n", kuaishou().sample_settings(VENDOR))
}

fn component(lines: &str) -> Arc<dyn Component> {
    kuaishou().component("kuaishou", settings(&with(lines))).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn twin(lines: &str) -> Box<dyn Twin> {
    kuaishou().twin(settings(&with(lines))).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn problems(text: &str) -> Vec<Problem> {
    kuaishou().component("kuaishou", settings(text)).err().expect("settings with problems")
}

fn arrived(push: &Outgoing) -> RawPush {
    let headers = push.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    RawPush { door: push.door, is_get: false, headers, query: String::new(), body: push.body.clone(), received_at: now() }
}

fn open(component: &dyn Component, push: &Outgoing) -> Push {
    match component.open(&arrived(push)) {
        Ok(Opened::Push(push)) => *push,
        other => panic!("{other:?}"),
    }
}

/// What the component makes of this message.
fn said(lines: &str, plain: &Value) -> Push {
    open(&*component(lines), &twin(lines).say(Door::Message, &plain.to_string(), now()))
}

fn fact(push: &Push) -> (EventType, Value) {
    match &push.notice {
        Notice::Fact { kind, data } => (*kind, Value::Object(data.clone())),
        other => panic!("{other:?}"),
    }
}

mod pushes {
    use super::*;

    fn fixture(name: &str) -> Value {
        let path = format!("{}/fixtures/kuaishou/push/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn request(fixture: &Value) -> RawPush {
        capture::read(fixture["request"].to_string().as_bytes(), None, &[], now()).unwrap()
    }

    fn owner(fixture: &Value, lines: &str) -> Arc<dyn Component> {
        let text = format!("{}\n{lines}", toml::to_string(&fixture["settings"]).unwrap());
        kuaishou().component("kuaishou", settings(&text)).unwrap()
    }

    /// `every_platform` holds each sample to all that it says, under the default signature.
    #[test]
    fn a_sample_opens_under_each_signature_that_is_known_of_it() {
        for name in ["component-ticket", "authorized"] {
            let fixture = fixture(name);
            for (mode, signature) in fixture["signatures"].as_object().unwrap() {
                let component = owner(&fixture, &format!("push.signature_mode = \"{mode}\""));
                let mut raw = request(&fixture);
                raw.headers = vec![(String::from("kwaisign"), signature.as_str().unwrap().as_bytes().to_vec())];
                let Ok(Opened::Push(push)) = component.open(&raw) else { panic!("{name} under {mode}") };
                assert_eq!(push.vendor, fixture["expect"]["vendor"]);
                assert_eq!((push.acknowledgement.status, push.acknowledgement.content_type), (200, "application/json"));
                if let Notice::Granted(grant) = push.notice {
                    assert_eq!(grant.code.unwrap().expires_at.duration_since(grant.granted_at).as_secs(), 3600);
                }
            }
        }
    }

    #[test]
    fn a_changed_timestamp_breaks_the_signature() {
        let fixture = fixture("tampered");
        let component = owner(&fixture, "");
        let error = component.open(&request(&fixture)).unwrap_err();
        assert_eq!((error.reason(), error.status()), (fixture["expect"]["refused"].as_str().unwrap(), 401));
        let refusal = component.refusal(&request(&fixture), &error).unwrap();
        let body: Value = serde_json::from_slice(&refusal.body).unwrap();
        assert_eq!(refusal.status, 401);
        assert_eq!(body, json!({ "result": 10_000_006, "message_id": "00000000-0000-4000-8000-000000000001" }));
    }

    #[test]
    fn every_variant_that_can_be_set_opens_what_its_twin_seals() {
        let modes = [
            "sha1_body_token",
            "md5_body_token",
            "sha1_body_secret",
            "md5_body_secret",
            "sha256_body_token",
            "sha256_body_secret",
            "sha1_token_body",
            "md5_token_body",
            "sha256_token_body",
            "sha1_secret_body",
            "md5_secret_body",
            "sha256_secret_body",
            "any",
        ];
        let signed = modes.iter().map(|mode| format!("push.signature_mode = \"{mode}\""));
        let sealed = ["key_prefix", "zero", "cipher_prefix"].iter().flat_map(|iv| {
            ["raw_json", "framed", "auto"].map(|layout| format!("push.iv_mode = \"{iv}\"\npush.plaintext_layout = \"{layout}\""))
        });
        for lines in signed.chain(sealed) {
            let (component, mut twin) = (component(&lines), twin(&lines));
            // Twelve in a row show all of the twin's styles: padding to 16 and 32, both alphabets, with and without spaces.
            for _ in 0..12 {
                let push = twin.ticket(now()).unwrap();
                assert!(matches!(open(&*component, &push).notice, Notice::Ticket(_)), "{lines}");
            }
        }
    }

    #[test]
    fn a_layout_of_auto_reads_a_frame_too_even_one_that_begins_with_a_brace() {
        let (component, mut twin) = (component(""), twin("push.plaintext_layout = \"framed\""));
        for _ in 0..600 {
            assert!(matches!(open(&*component, &twin.ticket(now()).unwrap()).notice, Notice::Ticket(_)));
        }
    }

    #[test]
    fn a_padding_above_the_limit_is_undecipherable() {
        let strict = component("push.max_padding = 16");
        let mut twin = twin("");
        let refused = (0..12).filter(|_| strict.open(&arrived(&twin.ticket(now()).unwrap())).is_err()).count();
        assert!((1..12).contains(&refused), "{refused}");
    }

    #[test]
    fn the_former_key_still_opens_while_the_new_one_is_introduced() {
        let mut twin = twin("");
        let text = kuaishou().sample_settings(VENDOR).replace("encoding_aes_key", "previous_encoding_aes_key");
        let text = format!("{text}encoding_aes_key = \"ql1234fnhsjndyskemdlsowerfvmjhxswedfrtgbqwe\"\n");
        let component = kuaishou().component("kuaishou", settings(&text)).unwrap();
        open(&*component, &twin.ticket(now()).unwrap());
    }

    #[test]
    fn a_key_written_as_plain_characters_can_be_used() {
        let text = |line: &str| {
            kuaishou().sample_settings(VENDOR).replace("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "0123456789abcdef0123456789abcdef")
                + line
        };
        let raw = text("push.key_form = \"raw\"\n");
        let component = kuaishou().component("kuaishou", settings(&raw)).unwrap();
        open(&*component, &kuaishou().twin(settings(&raw)).unwrap().ticket(now()).unwrap());
    }

    #[test]
    fn a_repeat_has_the_same_key_and_other_bytes() {
        let (component, mut twin) = (component(""), twin(""));
        let first = twin.ticket(now()).unwrap();
        let again = twin.reseal(&first, now());
        assert_ne!(first.body, again.body);
        let (first, again) = (open(&*component, &first), open(&*component, &again));
        assert_eq!(first.dedupe_key, again.dedupe_key);
        assert_eq!(first.vendor, again.vendor);
        assert_eq!(first.acknowledgement, again.acknowledgement);
    }

    #[test]
    fn a_missing_header_is_a_bad_signature() {
        let mut raw = arrived(&twin("").ticket(now()).unwrap());
        raw.headers.retain(|(name, _)| name != "kwaisign");
        assert!(matches!(component("").open(&raw), Err(PushError::BadSignature(_))));
    }

    /// A body signed by the default recipe, whatever is in it.
    fn signed(body: &str) -> RawPush {
        let digest = yizhan::envelope::digest::sha1(&[body.as_bytes(), b"made_up_kuaishou_token"]);
        let headers = vec![(String::from("kwaisign"), hex::encode_upper(digest).into_bytes())];
        RawPush { door: Door::Message, is_get: false, headers, query: String::new(), body: body.to_owned().into(), received_at: now() }
    }

    #[test]
    fn what_is_signed_but_no_envelope_is_refused_with_the_reason() {
        let component = component("");
        let cases = [
            ("", "malformed"),
            ("[]", "malformed"),
            ("{\"encryptedMsg\":", "malformed"),
            ("{}", "malformed"),
            ("{\"encryptedMsg\":7,\"msgId\":\"1\",\"componentAppId\":\"ks600000000000000001\"}", "malformed"),
            ("{\"encryptedMsg\":\"AAAA\",\"componentAppId\":\"ks600000000000000001\"}", "malformed"),
            ("{\"encryptedMsg\":\"AAAA\",\"msgId\":\"1\"}", "malformed"),
            ("{\"encryptedMsg\":\"AAAA\",\"msgId\":\"1\",\"componentAppId\":\"ks1\"}", "wrong-app-id"),
            ("{\"encryptedMsg\":\"AAAA\",\"msgId\":\"1\",\"componentAppId\":\"ks600000000000000001\"}", "undecipherable"),
            ("{\"encryptedMsg\":\"\",\"msgId\":\"1\",\"componentAppId\":\"ks600000000000000001\"}", "undecipherable"),
            ("{\"encryptedMsg\":\"!\",\"msgId\":\"1\",\"componentAppId\":\"ks600000000000000001\"}", "undecipherable"),
            ("{\"message_id\":\"1\",\"app_id\":\"ks1\",\"event\":\"PAYMENT\",\"data\":{}}", "undecipherable"),
        ];
        for (body, reason) in cases {
            let error = component.open(&signed(body)).unwrap_err();
            assert_eq!(error.reason(), reason, "{body}");
            let refusal: Value = serde_json::from_slice(&component.refusal(&signed(body), &error).unwrap().body).unwrap();
            assert_eq!(refusal["result"], 10_000_006);
        }
    }

    #[test]
    fn a_frame_for_another_application_is_undecipherable() {
        let key = yizhan::envelope::cbc::key("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG").unwrap();
        let framed_for = |receiver: &str| {
            let frame = yizhan::envelope::cbc::framed(&[b'{'; 16], b"{\"event\":\"X\"}", receiver.as_bytes());
            let cipher = yizhan::envelope::cbc::encrypt(&key, &key[..16], &frame, 32).unwrap();
            let encrypted = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, cipher);
            signed(&json!({ "encryptedMsg": encrypted, "msgId": "1", "componentAppId": APP_ID }).to_string())
        };
        assert!(component("").open(&framed_for(APP_ID)).is_ok());
        assert!(matches!(component("").open(&framed_for("ks600000000000000002")), Err(PushError::Undecipherable(_))));
        assert!(matches!(component("").open(&framed_for("")), Err(PushError::Undecipherable(_))));
    }

    #[test]
    fn deep_nesting_is_malformed_and_not_a_crash() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(component("").open(&signed(&deep)), Err(PushError::Malformed(_))));
        let inner = format!("{{\"event\":\"X\",\"data\":{deep}}}");
        let push = twin("").say(Door::Message, &inner, now());
        assert!(matches!(component("").open(&arrived(&push)), Err(PushError::Undecipherable(_))));
    }

    #[test]
    fn an_id_with_quotes_is_escaped_in_the_acknowledgement() {
        let push = twin("").ticket(now()).unwrap();
        let mut envelope: Value = serde_json::from_slice(&push.body).unwrap();
        envelope["msgId"] = json!("a\"b\\c\n\u{7}");
        let Ok(Opened::Push(push)) = component("").open(&signed(&envelope.to_string())) else { panic!() };
        let answer: Value = serde_json::from_slice(&push.acknowledgement.body).unwrap();
        assert_eq!(answer, json!({ "result": 1, "message_id": "a\"b\\c\n\u{7}" }));
        assert_eq!(push.dedupe_key, "a\"b\\c\n\u{7}");
    }

    #[test]
    fn an_endless_id_makes_a_short_key_and_is_not_echoed_unsigned() {
        let push = twin("").ticket(now()).unwrap();
        let mut envelope: Value = serde_json::from_slice(&push.body).unwrap();
        envelope["msgId"] = json!("x".repeat(100_000));
        let raw = signed(&envelope.to_string());
        let Ok(Opened::Push(push)) = component("").open(&raw) else { panic!() };
        assert!(push.dedupe_key.starts_with("sha256:") && push.dedupe_key.len() < 80);
        let refusal = component("").refusal(&raw, &PushError::BadSignature(String::new())).unwrap();
        assert!(refusal.body.len() < 100);
    }

    #[test]
    fn refusals_follow_the_settings_and_never_acknowledge() {
        let component = component("push.reject_status = 200\npush.reject_result = 77");
        let refusal = component.refusal(&signed("{\"msgId\":5}"), &PushError::Malformed(String::new())).unwrap();
        assert_eq!((refusal.status, &*refusal.body), (200, br#"{"result":77,"message_id":5}"#.as_slice()));
        let problems = problems(&with("push.reject_result = 1"));
        assert_eq!((problems.len(), problems[0].at.as_str()), (1, "push.reject_result"));
    }

    #[test]
    fn age_matters_only_where_it_is_set() {
        let mut twin = twin("");
        let old = twin.ticket(now() - jiff::SignedDuration::from_hours(2)).unwrap();
        open(&*component(""), &old);
        let strict = component("push.max_age = \"1h\"");
        assert!(matches!(strict.open(&arrived(&old)), Err(PushError::BadSignature(_))));
        open(&*strict, &twin.ticket(now()).unwrap());
    }

    #[test]
    fn a_get_checks_the_address() {
        let raw = RawPush { is_get: true, ..signed("") };
        let Ok(Opened::Check(answer)) = component("").open(&raw) else { panic!() };
        assert_eq!(&*answer.body, b"success");
    }
}

mod events {
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
        assert_eq!(
            fact(&said("audit.status_map = { 1 = \"rejected\" }", &json!({ "event": "AUDIT", "status": 1 }))).0,
            EventType::AuditFailed
        );
        assert_eq!(
            fact(&said("fields = { status = [\"zt\"] }", &json!({ "event": "AUDIT", "status": 1, "zt": 2 }))).0,
            EventType::AuditFailed
        );
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
        assert_eq!(
            said("", &json!({ "event": "AUTHORIZED", "appId": APP_ID, "authorized_app_id": "ks7" })).authorizer.as_deref(),
            Some("ks7")
        );
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
            let plain =
                json!({ "event": "AUTHORIZED", "authorizationCode": "c", "expiresIn": lifetime, "eventTime": 253_402_200_000_000_i64 });
            let Notice::Granted(grant) = said("", &plain).notice else { panic!() };
            assert!(grant.code.unwrap().expires_at > now());
        }
    }
}

/// Carries a call to the twin, as `outbound` and the simulator do.
fn carried(call: &Call) -> Request {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &call.query {
        query.append_pair(name, value.expose());
    }
    assert_eq!(call.body, Body::Empty);
    let path = call.url.strip_prefix(VENDOR).unwrap().to_owned();
    Request { method: call.method, path, query: query.finish(), headers: Vec::new(), body: bytes::Bytes::new() }
}

fn reply(body: &Value) -> Reply {
    Reply { status: 200, content_type: String::from("application/json"), body: body.to_string().into() }
}

fn standing(token: &Secret) -> Standing<'_> {
    Standing { family: Family::Current, component_token: Some(token), now: now() }
}

mod tokens {
    use super::*;

    const COMPONENT: TokenKey = TokenKey::Component(Family::Current);

    /// A component that has its own token, and the vendor that gave it.
    fn at_work(lines: &str) -> (Arc<dyn Component>, Box<dyn Twin>, Secret) {
        let (component, mut twin) = (component(lines), twin(lines));
        let Notice::Ticket(ticket) = open(&*component, &twin.ticket(now()).unwrap()).notice else { panic!() };
        let call = component.component_token(Family::Current, &ticket.value).unwrap();
        let answer = twin.answer(&carried(&call), now());
        assert_eq!((answer.deed, answer.accepted), ("component_token", true));
        let token = component.read_component_token(Family::Current, &answer.reply, now()).unwrap();
        assert_eq!(token.expires_at.unwrap().duration_since(now()).as_secs(), 7200);
        assert!(twin.accepts(None, token.value.expose(), now()));
        (component, twin, token.value)
    }

    #[test]
    fn tickets_are_started_and_the_last_three_taken() {
        let (component, mut twin) = (component(""), twin(""));
        let call = component.start_tickets().unwrap();
        assert_eq!((call.method, call.target()), (Method::Get, "127.0.0.1:9/kuaishou/mp/tp/oauth/start_push_ticket"));
        let answer = twin.answer(&carried(&call), now());
        component.read_start_tickets(&answer.reply).unwrap();
        let Notice::Ticket(first) = open(&*component, &answer.pushes[0]).notice else { panic!() };
        for _ in 0..3 {
            twin.ticket(now());
        }
        let call = component.component_token(Family::Current, &first.value).unwrap();
        let answer = twin.answer(&carried(&call), now());
        let error = component.read_component_token(Family::Current, &answer.reply, now()).unwrap_err();
        assert_eq!(error.class, Class::TicketInvalid);
    }

    #[test]
    fn a_code_from_push_and_redirect_gives_tokens_once() {
        let (component, mut twin, token) = at_work("");
        let story = twin.grant("ks7", now());
        let Notice::Granted(grant) = open(&*component, &story.push.unwrap()).notice else { panic!() };
        let returned = component.returned(&format!("state=abc&{}", story.redirect_query), now()).unwrap();
        assert_eq!(returned.state.as_deref(), Some("abc"));
        assert_eq!(returned.code.value, grant.code.as_ref().unwrap().value);
        let call = component.exchange(standing(&token), &returned.code.value);
        let tokens = component.read_tokens(Family::Current, &twin.answer(&carried(&call), now()).reply, now()).unwrap();
        assert_eq!((tokens.len(), tokens[0].app_id.as_deref()), (1, Some("ks7")));
        assert_eq!(tokens[0].permissions.as_ref().unwrap()[0].id, "1");
        assert_eq!(tokens[0].access.expires_at.unwrap().duration_since(now()).as_secs(), 7200);
        assert_eq!(tokens[0].refresh.as_ref().unwrap().expires_at.unwrap().duration_since(now()).as_secs(), 2_592_000);
        assert!(tokens[0].access.value.expose().len() > 200);
        assert!(twin.accepts(Some("ks7"), tokens[0].access.value.expose(), now()));
        let again = twin.answer(&carried(&call), now());
        assert_eq!(component.read_tokens(Family::Current, &again.reply, now()).unwrap_err().class, Class::CodeInvalid);
    }

    #[test]
    fn by_default_a_token_is_renewed_through_a_recovered_code() {
        let (component, mut twin, token) = at_work("");
        twin.grant("ks7", now());
        assert!(matches!(component.refresh(standing(&token), "ks7", &Secret::new("r")), Refresh::Recover));
        assert_eq!(component.lost_reply(), LostReply::Recover);
        let call = component.recover(standing(&token), "ks7").unwrap();
        assert!(call.query.iter().any(|(name, _)| name == "authorized_app_id"));
        let answer = twin.answer(&carried(&call), now());
        let Recovered::Code(code) = component.read_recovered(Family::Current, "ks7", &answer.reply, now()).unwrap() else { panic!() };
        // The vendor tells us of our own doing with the same code: known by its hash, it is not exchanged again.
        let Notice::Updated(grant) = open(&*component, &answer.pushes[0]).notice else { panic!() };
        assert_eq!(grant.code.unwrap().value, code.value);
        let call = component.exchange(standing(&token), &code.value);
        component.read_tokens(Family::Current, &twin.answer(&carried(&call), now()).reply, now()).unwrap();
    }

    const ENDPOINT: &str = "refresh.strategy = \"endpoint_then_recover\"\nrefresh.path = \"/mp/tp/oauth/refresh_it\"\nrefresh.extra_query = { grant_type = \"refresh_token\" }";

    #[test]
    fn a_refresh_endpoint_is_used_once_it_is_set() {
        let (component, mut twin, token) = at_work(ENDPOINT);
        let code = component.returned(&twin.grant("ks7", now()).redirect_query, now()).unwrap().code.value;
        let call = component.exchange(standing(&token), &code);
        let first = component.read_tokens(Family::Current, &twin.answer(&carried(&call), now()).reply, now()).unwrap().remove(0);
        let Refresh::Spend(call) = component.refresh(standing(&token), "ks7", &first.refresh.unwrap().value) else { panic!() };
        let sent = carried(&call);
        assert_eq!((sent.path.as_str(), sent.query_value("grant_type").as_deref()), ("/mp/tp/oauth/refresh_it", Some("refresh_token")));
        let second = component.read_tokens(Family::Current, &twin.answer(&sent, now()).reply, now()).unwrap().remove(0);
        assert!(second.permissions.is_none());
        assert!(!twin.accepts(Some("ks7"), first.access.value.expose(), now()));
        let error = component.read_tokens(Family::Current, &twin.answer(&sent, now()).reply, now()).unwrap_err();
        assert_eq!(error.class, Class::RefreshTokenInvalid);
        assert!(component.recover(standing(&token), "ks7").is_some());
        let key = TokenKey::Authorizer { app_id: String::from("ks7"), family: Family::Current };
        assert_eq!(component.renewal(&key).exercise, Some(Duration::from_secs(604_800)));
    }

    #[test]
    fn strategies_and_their_times_follow_the_settings() {
        let alone = component(&ENDPOINT.replace("endpoint_then_recover", "endpoint"));
        assert!(alone.recover(standing(&Secret::new("t")), "ks7").is_none());
        let without_path = component("refresh.strategy = \"endpoint_then_recover\"");
        assert!(matches!(without_path.refresh(standing(&Secret::new("t")), "ks7", &Secret::new("r")), Refresh::Recover));
        let post = component(&format!("{ENDPOINT}\nrefresh.method = \"POST\"\nrefresh.token_param = \"rt\""));
        let Refresh::Spend(call) = post.refresh(standing(&Secret::new("t")), "ks7", &Secret::new("r")) else { panic!() };
        assert!(call.method == Method::Post && call.query.iter().any(|(name, _)| name == "rt"));
        let timed = component("refresh.margin = \"5m\"\nrefresh.min_interval = \"1m\"");
        assert_eq!(timed.renewal(&COMPONENT).ahead, Duration::from_secs(300));
        assert_eq!(timed.forced_renewal_interval(), Duration::from_secs(60));
    }

    #[test]
    fn a_dead_component_token_is_renewed_and_a_gone_grant_is_gone() {
        let (component, mut twin, token) = at_work("");
        let recover = |twin: &mut dyn Twin, at: Timestamp| {
            let answer = twin.answer(&carried(&component.recover(standing(&token), "ks7").unwrap()), at);
            component.read_recovered(Family::Current, "ks7", &answer.reply, at).unwrap_err().class
        };
        assert_eq!(recover(&mut *twin, now()), Class::GrantGone);
        assert_eq!(recover(&mut *twin, now() + jiff::SignedDuration::from_hours(3)), Class::RenewComponentToken);
        twin.expire_tokens(None);
        assert_eq!(recover(&mut *twin, now()), Class::RenewComponentToken);
    }

    #[test]
    fn a_withdrawal_kills_tokens_and_codes() {
        let (component, mut twin, token) = at_work("");
        let code = component.returned(&twin.grant("ks7", now()).redirect_query, now()).unwrap().code.value;
        let push = twin.revoke("ks7", now()).unwrap();
        assert!(matches!(open(&*component, &push).notice, Notice::Revoked { at } if at == now()));
        let call = component.exchange(standing(&token), &code);
        assert!(!twin.answer(&carried(&call), now()).accepted);
    }

    #[test]
    fn a_wrong_secret_is_a_matter_of_configuration() {
        let mut twin = twin("");
        let text = kuaishou().sample_settings(VENDOR).replace("made-up-kuaishou-app-secret", "another");
        let component = kuaishou().component("kuaishou", settings(&text)).unwrap();
        let answer = twin.answer(&carried(&component.start_tickets().unwrap()), now());
        assert_eq!(component.read_start_tickets(&answer.reply).unwrap_err().class, Class::Configuration);
    }

    #[test]
    fn an_old_authorizer_token_is_told_by_code_or_only_by_words() {
        let (component, mut twin, token) = at_work("");
        let code = component.returned(&twin.grant("ks7", now()).redirect_query, now()).unwrap().code.value;
        let call = component.exchange(standing(&token), &code);
        let access =
            component.read_tokens(Family::Current, &twin.answer(&carried(&call), now()).reply, now()).unwrap().remove(0).access.value;
        let mut domains = |body: Value, at: Timestamp, expire: bool| -> Value {
            if expire {
                twin.expire_tokens(Some("ks7"));
            }
            let query = format!("component_app_id={APP_ID}&authorizer_access_token={}", access.expose());
            let path = String::from("/openapi/mp/auth/app/server_domain");
            let request = Request { method: Method::Post, path, query, headers: Vec::new(), body: body.to_string().into() };
            serde_json::from_slice(&twin.answer(&request, at).reply.body).unwrap()
        };
        assert_eq!(domains(json!({ "action": "add", "request": ["a.example.com"] }), now(), false)["request"], json!(["a.example.com"]));
        assert_eq!(domains(json!({ "action": "delete", "request": ["b.example.com"] }), now(), false)["result"], 403_106);
        assert_eq!(domains(json!({ "action": "set", "udp": ["c.example.com"] }), now(), false)["request"], json!([]));
        assert_eq!(domains(json!({ "action": "get" }), now() + jiff::SignedDuration::from_hours(3), false)["result"], 100_200_108);
        let killed = domains(json!({ "action": "get" }), now(), true);
        assert!(killed["result"] != 100_200_108 && killed["error_msg"].as_str().unwrap().contains("已过期"));
    }

    #[test]
    fn codes_and_words_are_classified_by_the_settings() {
        let class =
            |lines: &str, body: Value| component(lines).read_recovered(Family::Current, "ks7", &reply(&body), now()).unwrap_err().class;
        let error = |code: i64, words: &str| json!({ "result": code, "errorMsg": words });
        assert_eq!(class("", error(42, "Component_Access_Token is INVALID")), Class::RenewComponentToken);
        assert_eq!(class("", error(42, "凭证已失效")), Class::RenewComponentToken);
        assert_eq!(class("errors.text_rule = false", error(42, "token expired")), Class::Refuse);
        assert_eq!(class("", error(42, "no")), Class::Refuse);
        assert_eq!(class("errors.component_token_invalid = [42, 43]", error(42, "no")), Class::RenewComponentToken);
        assert_eq!(class("", error(100_100_402, "no")), Class::RateLimited);
        assert_eq!(class("", error(100_200_500, "no")), Class::Retry);
        assert_eq!(class("errors.retryable = []", error(100_200_500, "no")), Class::Refuse);
        assert_eq!(class("", json!({ "result": "100200110", "error_msg": "x" })), Class::GrantGone);
        assert_eq!(class("", json!({ "errorMsg": "x" })), Class::Retry);
        assert_eq!(class("", json!([])), Class::Retry);
        assert_eq!(class("", json!({ "result": 1 })), Class::Retry);
        assert_eq!(problems(&with("errors.retryable = [\"x\"]"))[0].at, "errors.retryable");
    }

    #[test]
    fn a_status_speaks_where_no_list_does() {
        let class = |status: u16, body: &str| {
            let reply = Reply { status, content_type: String::new(), body: body.to_owned().into() };
            component("").read_start_tickets(&reply).unwrap_err().class
        };
        assert_eq!(class(429, "slow down"), Class::RateLimited);
        assert_eq!(class(429, "{\"result\":2}"), Class::RateLimited);
        assert_eq!(class(502, "<html>"), Class::Retry);
        assert_eq!(class(503, "{\"result\":2}"), Class::Retry);
    }

    #[test]
    fn an_error_never_repeats_a_secret() {
        let words = "component_access_token CgwIARAbGAEgASgBEj8K is invalid for ticket=23454090if0s9p0345";
        let error = component("").read_start_tickets(&reply(&json!({ "result": 5, "errorMsg": words }))).unwrap_err();
        assert_eq!(error.message, "component_access_token … is invalid for …");
    }

    #[test]
    fn both_spellings_of_an_answer_are_read() {
        let body = json!({ "result": "1", "authorizer_access_token": "a", "expires_in": "60", "authorizer_refresh_token": "r", "authorizer_app_id": "ks7" });
        let tokens = component("").read_tokens(Family::Current, &reply(&body), now()).unwrap().remove(0);
        assert_eq!((tokens.app_id.as_deref(), tokens.access.value.expose()), (Some("ks7"), "a"));
        assert_eq!(tokens.access.expires_at.unwrap().duration_since(now()).as_secs(), 60);
        assert!(tokens.refresh.unwrap().expires_at.is_none() && tokens.permissions.is_none());
    }
}

mod links {
    use super::*;

    fn request() -> LinkRequest {
        LinkRequest { redirect_uri: String::from("https://post.example.com/callback/kuaishou/authorized"), state: String::from("s-1_2") }
    }

    fn prepared() -> Reply {
        reply(&json!({ "result": 1, "preAuthCode": "pre+code/1", "expiresIn": 600 }))
    }

    #[test]
    fn a_link_carries_the_code_and_the_state_in_the_path() {
        let link = component("").link(&request(), Some(&prepared()), now()).unwrap();
        let url = url::Url::parse(&link.url).unwrap();
        let query: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(query["component_app_id"], APP_ID);
        assert_eq!(query["pre_auth_code"], "pre+code/1");
        assert_eq!(query["redirect_uri"], "https://post.example.com/callback/kuaishou/authorized/s-1_2");
        assert_eq!(link.expires_at.unwrap().duration_since(now()).as_secs(), 600);
    }

    #[test]
    fn the_state_can_travel_otherwise_and_the_redirect_can_be_another() {
        let redirect = |lines: &str| {
            let link = component(lines).link(&request(), Some(&prepared()), now()).unwrap();
            let url = url::Url::parse(&link.url).unwrap();
            url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned()
        };
        assert_eq!(redirect("auth.state_in = \"query\""), "https://post.example.com/callback/kuaishou/authorized?state=s-1_2");
        assert_eq!(redirect("auth.state_in = \"template\""), "https://post.example.com/callback/kuaishou/authorized");
        assert_eq!(redirect("auth.redirect_uri = \"https://a.example.com/x?y=1\""), "https://a.example.com/x/s-1_2?y=1");
        assert_eq!(
            redirect("auth.redirect_uri = \"https://a.example.com/x?y=1\"\nauth.state_in = \"query\""),
            "https://a.example.com/x?y=1&state=s-1_2"
        );
    }

    #[test]
    fn without_a_template_the_error_names_the_setting_and_keeps_the_code_to_itself() {
        let text: String =
            kuaishou().sample_settings(VENDOR).lines().filter(|line| !line.starts_with("auth.")).map(|line| format!("{line}\n")).collect();
        let component = kuaishou().component("kuaishou", settings(&text)).unwrap();
        let error = component.link(&request(), Some(&prepared()), now()).unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (Class::Configuration, "auth.page_url_template"));
        assert!(error.message.contains("2026-11-20T07:14:05Z"), "{}", error.message);
        assert!(!format!("{error:?}").contains("pre+code"));
    }

    #[test]
    fn a_refused_pre_auth_code_is_the_vendors_error() {
        let refused = reply(&json!({ "result": 100_200_109, "errorMsg": "no" }));
        assert_eq!(component("").link(&request(), Some(&refused), now()).unwrap_err().class, Class::GrantGone);
        assert!(component("").link(&request(), None, now()).is_err());
    }

    #[test]
    fn the_code_comes_back_under_several_names() {
        for name in ["authorization_code", "authorizationCode", "auth_code", "code"] {
            let returned = component("").returned(&format!("x=1&{name}=a%2Bb&expiresIn=60"), now()).unwrap();
            assert_eq!(returned.code.value.expose(), "a+b");
            assert_eq!(returned.code.expires_at.duration_since(now()).as_secs(), 60);
            assert_eq!(returned.state, None);
        }
        let own = component("auth.redirect_code_params = [\"c\"]");
        assert_eq!(own.returned("code=1&c=2", now()).unwrap().code.value.expose(), "2");
        for query in ["", "code=", "state=1", "%ff=%ff", "expires_in=5"] {
            assert_eq!(component("").returned(query, now()).unwrap_err().class, Class::Refuse);
        }
    }

    #[test]
    fn templates_that_cannot_work_are_refused() {
        let text: String =
            kuaishou().sample_settings(VENDOR).lines().filter(|line| !line.starts_with("auth.")).map(|line| format!("{line}\n")).collect();
        for template in [
            "https://x.example.com/",
            "https://x.example.com/?c={pre_auth_code}&d={nonsense}",
            "x?{pre_auth_code}",
            "ftp://x/{pre_auth_code}",
        ] {
            let problems = problems(&format!("{text}auth.page_url_template = \"{template}\"\n"));
            assert_eq!((problems.len(), problems[0].at.as_str()), (1, "auth.page_url_template"), "{template}");
        }
    }
}

mod configuration {
    use super::*;

    #[test]
    fn all_problems_come_at_once() {
        let text = "component_app_secret = \"s\"\nencoding_aes_key = \"short\"\ntokn = \"x\"\nbase_url = \"nowhere\"\n\
            push.signature_mode = \"guess\"\npush.max_padding = 64\nrefresh.strategy = \"endpoint\"\nevents = { A = \"b\" }\n\
            audit.status_map = { 1 = \"fine\" }\nfields = { eventt = [] }";
        let mut at: Vec<_> = problems(text).into_iter().map(|problem| problem.at).collect();
        at.sort();
        let expected = [
            "audit.status_map.1",
            "base_url",
            "component_app_id",
            "encoding_aes_key",
            "events.A",
            "fields.eventt",
            "push.max_padding",
            "push.signature_mode",
            "refresh.path",
            "token",
            "tokn",
        ];
        assert_eq!(at, expected);
    }

    #[test]
    fn a_refresh_path_elsewhere_is_refused() {
        assert_eq!(problems(&with("refresh.path = \"/elsewhere\""))[0].at, "refresh.path");
    }
}

mod twins {
    use super::*;

    #[test]
    fn a_twin_knows_an_acknowledgement_from_anything_else() {
        let mut twin = twin("");
        let push = twin.audit("ks7", "1.0.3", &Verdict::Failed(String::from("blurred")), now());
        let opened = open(&*component(""), &push);
        assert_eq!(fact(&opened), (EventType::AuditFailed, json!({ "version": "1.0.3", "reason": "blurred" })));
        assert!(twin.acknowledged(&push, 200, &opened.acknowledgement.body));
        for (status, body) in
            [(200, "success"), (200, "{\"result\":1,\"message_id\":\"other\"}"), (200, "{\"result\":10000006}"), (200, "")]
        {
            assert!(!twin.acknowledged(&push, status, body.as_bytes()));
        }
        assert!(!twin.acknowledged(&push, 500, &opened.acknowledgement.body));
    }

    #[test]
    fn a_forged_push_is_a_bad_signature() {
        let mut twin = twin("");
        let push = twin.ticket(now()).unwrap();
        let forged = twin.forge(&push);
        assert!(matches!(component("").open(&arrived(&forged)), Err(PushError::BadSignature(_))));
    }

    #[test]
    fn a_link_leads_to_a_page_while_its_code_lives() {
        let mut twin = twin("");
        let page = |query: &str| Request {
            method: Method::Get,
            path: String::from("/authorize"),
            query: query.to_owned(),
            headers: Vec::new(),
            body: bytes::Bytes::new(),
        };
        assert_eq!(twin.answer(&page("pre_auth_code=nonsense"), now()).reply.status, 400);
        assert_eq!(twin.answer(&Request { path: String::from("/nowhere"), ..page("") }, now()).reply.status, 404);
    }
}

mod diagnosis {
    use super::*;

    #[test]
    fn what_opens_needs_no_proposal_and_shows_no_secret() {
        let found = component("").diagnose(&arrived(&twin("").ticket(now()).unwrap()));
        assert!(found.opens && found.proposal.is_empty(), "{found:?}");
        assert!(found.steps.iter().all(|step| step.ok));
        assert_eq!(found.content.unwrap()["componentTicket"], "[sealed]");
    }

    #[test]
    fn whatever_variant_the_vendor_uses_is_found_and_its_proposal_opens_the_push() {
        let modes = ["md5_body_token", "sha1_body_secret", "md5_body_secret", "sha256_token_body", "md5_secret_body"];
        for mode in modes {
            for iv in ["key_prefix", "zero", "cipher_prefix"] {
                for layout in ["raw_json", "framed"] {
                    let theirs = format!("push.signature_mode = \"{mode}\"\npush.iv_mode = \"{iv}\"\npush.plaintext_layout = \"{layout}\"");
                    let push = twin(&theirs).ticket(now()).unwrap();
                    for ours in [
                        "",
                        "push.plaintext_layout = \"raw_json\"\npush.max_padding = 16",
                        "push.plaintext_layout = \"framed\"\npush.signature_mode = \"any\"",
                    ] {
                        let found = component(ours).diagnose(&arrived(&push));
                        assert!(found.opens, "{theirs} {found:?}");
                        let kept: Vec<&str> = ours
                            .lines()
                            .filter(|line| !found.proposal.iter().any(|new| new.split(' ').next() == line.split(' ').next()))
                            .collect();
                        open(&*component(&format!("{}\n{}", kept.join("\n"), found.proposal.join("\n"))), &push);
                    }
                }
            }
        }
    }

    #[test]
    fn a_key_in_plain_characters_is_found() {
        let text =
            kuaishou().sample_settings(VENDOR).replace("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "0123456789abcdef0123456789abcdef");
        let push = kuaishou().twin(settings(&format!("{text}push.key_form = \"raw\""))).unwrap().ticket(now()).unwrap();
        let found = kuaishou().component("kuaishou", settings(&text)).unwrap().diagnose(&arrived(&push));
        assert_eq!((found.opens, found.proposal), (true, vec![String::from("push.key_form = \"raw\"")]));
    }

    #[test]
    fn a_wrong_key_and_a_wrong_token_are_told_apart() {
        let push = arrived(&twin("").ticket(now()).unwrap());
        let other = |from: &str, to: &str| {
            kuaishou().component("kuaishou", settings(&kuaishou().sample_settings(VENDOR).replace(from, to))).unwrap()
        };
        let failed = |component: Arc<dyn Component>| {
            let found = component.diagnose(&push);
            assert!(!found.opens && found.proposal.is_empty());
            found.steps.last().unwrap().clone()
        };
        let wrong_key = failed(other("abcdefghijklm", "mlkjihgfedcba"));
        assert_eq!((wrong_key.step.as_str(), wrong_key.ok), ("decrypt", false));
        let wrong_token = other("made_up_kuaishou_token", "another").diagnose(&push);
        assert!(!wrong_token.opens && wrong_token.content.is_some());
        assert!(wrong_token.steps.iter().any(|step| step.step == "signature" && !step.ok));
        let wrong_id = other("ks600000000000000001", "ks600000000000000002").diagnose(&push);
        assert_eq!((wrong_id.opens, wrong_id.proposal), (true, vec![String::from("component_app_id = \"ks600000000000000001\"")]));
    }

    #[test]
    fn a_line_break_appended_by_an_editor_is_noticed() {
        let mut push = arrived(&twin("").ticket(now()).unwrap());
        push.body = [&push.body, b"\n".as_slice()].concat().into();
        assert!(component("").open(&push).is_err());
        let found = component("").diagnose(&push);
        assert!(found.opens && found.steps.iter().any(|step| step.ok && step.step.contains("without the white space")));
    }

    #[test]
    fn nothing_that_is_captured_makes_it_panic() {
        for (body, header) in [
            ("", None),
            ("", Some("")),
            ("{}", Some("zz")),
            ("{\"encryptedMsg\":\"*\",\"msgId\":\"1\",\"componentAppId\":\"x\"}", Some("ab")),
        ] {
            let headers = header.map(|value: &str| (String::from("kwaisign"), value.as_bytes().to_vec())).into_iter().collect();
            let raw = RawPush {
                door: Door::Message,
                is_get: false,
                headers,
                query: String::new(),
                body: body.to_owned().into(),
                received_at: now(),
            };
            assert!(!component("").diagnose(&raw).opens);
        }
    }
}
