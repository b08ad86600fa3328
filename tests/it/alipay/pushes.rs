//! What arrives: the vectors, the rules, charsets, and everything that must be refused.

use serde_json::{Value, json};
use yizhan::event_type::EventType;
use yizhan::platform::alipay::catalogue::{CATALOGUE, Meaning, NamedBy};
use yizhan::platform::alipay::form::Form;
use yizhan::platform::{Component, Door, Notice, Opened, Push, PushError, RawPush};

use super::{arrived, component, fixture, now, post, sample, twin};

const PUSHES: [&str; 13] = [
    "gateway-check",
    "granted-v1",
    "granted-v2",
    "order-v2-real",
    "rejected-certified",
    "rejected-empty-dropped",
    "rejected-empty-kept",
    "rejected-encrypted",
    "rejected-v1",
    "rejected-v2",
    "rejected-with-addresses",
    "trade-v1-real",
    "unknown-without-id",
];

fn body(fixture: &Value) -> String {
    fixture["request"]["body"].as_str().unwrap().to_owned()
}

fn opener(fixture: &Value) -> std::sync::Arc<dyn Component> {
    component(fixture["settings"].as_str().unwrap())
}

fn opened(component: &dyn Component, raw: &RawPush) -> Push {
    match component.open(raw).unwrap() {
        Opened::Push(push) => *push,
        Opened::Check(_) => panic!("a check"),
    }
}

#[test]
fn every_vector_opens_to_what_it_says() {
    for name in PUSHES {
        let fixture = fixture(&format!("push/{name}.json"));
        let expect = &fixture["expect"];
        for door in [Door::Message, Door::Authorization] {
            let result = opener(&fixture).open(&RawPush { door, ..post(body(&fixture)) });
            match result.unwrap_or_else(|error| panic!("{name}: {error}")) {
                Opened::Check(answer) => {
                    assert_eq!(expect["check"], true, "{name}");
                    assert!(answer.body.starts_with(b"<?xml version=\"1.0\" encoding=\"GBK\"?><alipay><response><success>true</success>"));
                }
                Opened::Push(push) => {
                    assert_eq!(push.notice.kind().as_str(), expect["type"], "{name}");
                    assert_eq!(push.vendor_type, expect["vendortype"], "{name}");
                    assert_eq!(push.authorizer.as_deref(), expect["authorizer"].as_str(), "{name}");
                    assert_eq!(push.dedupe_key, expect["dedupe_key"], "{name}");
                    assert_eq!(push.acknowledgement.body, "success");
                }
            }
        }
    }
}

#[test]
fn one_changed_bit_anywhere_in_a_body_is_refused() {
    for name in PUSHES {
        let fixture = fixture(&format!("push/{name}.json"));
        let component = opener(&fixture);
        let body = body(&fixture).into_bytes();
        for place in 0..body.len() {
            for bit in 0..8 {
                let mut changed = body.clone();
                changed[place] ^= 1 << bit;
                assert!(component.open(&post(changed)).is_err(), "{name}: bit {bit} of byte {place}");
            }
        }
    }
}

#[test]
fn a_truncated_body_is_refused_wherever_it_ends() {
    let fixture = fixture("push/order-v2-real.json");
    let component = opener(&fixture);
    let body = body(&fixture).into_bytes();
    for length in 0..body.len() {
        assert!(component.open(&post(body[..length].to_vec())).is_err(), "{length} bytes");
    }
    assert!(matches!(component.open(&post(Vec::new())), Err(PushError::Malformed(_))));
}

#[test]
fn a_real_order_is_kept_whole_but_for_its_ticket() {
    let fixture = fixture("push/order-v2-real.json");
    let push = opened(&*opener(&fixture), &post(body(&fixture)));
    assert_eq!(push.vendor["contactor"], "技术支持测试的公司");
    assert_eq!(push.vendor["order_ticket"], "[sealed]");
    assert!(push.vendor["sign"].as_str().unwrap().starts_with("MsK5SCw8"));
    assert_eq!(push.time.to_string(), "2019-03-08T02:20:23Z");
    let Notice::Fact { kind, data } = push.notice else { panic!() };
    assert_eq!(kind, EventType::VendorOther);
    assert_eq!(
        Value::Object(data),
        json!({"order_id": "2019030800000018079639", "item": "58621634", "title": "麦禾商城模版", "merchant": "2088721996721370"})
    );
}

#[test]
fn an_order_without_sign_type_is_verified_as_rsa2() {
    let fixture = fixture("push/order-v2-real.json");
    let stripped = body(&fixture).replace("&sign_type=RSA2", "");
    opened(&*opener(&fixture), &post(stripped));
}

#[test]
fn plus_signs_that_became_blanks_in_the_signature_are_mended() {
    let fixture = fixture("push/order-v2-real.json");
    let bare = body(&fixture).replace("%2B", "+");
    assert_ne!(bare, body(&fixture));
    opened(&*opener(&fixture), &post(bare));
}

#[test]
fn a_pushed_sign_type_never_chooses_sha_1() {
    for name in ["order-v2-real", "rejected-v1"] {
        let fixture = fixture(&format!("push/{name}.json"));
        for other in ["RSA", "rsa2", "", "none"] {
            let weaker = body(&fixture).replace("sign_type=RSA2", &format!("sign_type={other}"));
            let refused = opener(&fixture).open(&post(weaker)).unwrap_err();
            assert!(matches!(refused, PushError::BadSignature(_)), "{refused}");
        }
    }
}

#[test]
fn a_field_that_comes_twice_is_refused() {
    let fixture = fixture("push/rejected-v1.json");
    for more in ["&app_id=2021000000000001", "&app%5Fid=2021000000000001", "&sign_type=RSA2", "&sign=x"] {
        let refused = opener(&fixture).open(&post(body(&fixture) + more)).unwrap_err();
        assert!(matches!(refused, PushError::Malformed(_)), "{more}: {refused}");
    }
}

#[test]
fn what_is_no_form_is_malformed() {
    let component = component(&sample());
    for body in [&b"{\"Encrypt\":\"x\"}"[..], b"a=%", b"a=%4", b"a=%zz", b"&&", b"a=1&&b=2", b"a=%3a&b=%3A"] {
        let refused = component.open(&post(body.to_vec())).unwrap_err();
        assert!(matches!(refused, PushError::Malformed(_)), "{}: {refused}", String::from_utf8_lossy(body));
        assert_eq!(refused.status(), 400);
    }
    assert!(matches!(component.open(&post("a=1")), Err(PushError::BadSignature(_))));
    assert!(matches!(component.open(&post("a=1&sign=%FF")), Err(PushError::BadSignature(_))));
}

#[test]
fn refusals_say_fail_with_the_contracts_status() {
    let component = component(&sample());
    let raw = post("msg_method=x&sign=AAAA");
    let error = component.open(&raw).unwrap_err();
    let answer = component.refusal(&raw, &error).unwrap();
    assert_eq!((answer.status, &answer.body[..]), (401, &b"fail"[..]));
    let check = post("service=alipay.service.check&sign=AAAA");
    let error = component.open(&check).unwrap_err();
    let answer = component.refusal(&check, &error).unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(answer.status, 401);
    assert!(text.contains("<response><success>false</success><error_code>VERIFY_FAILED</error_code><biz_content>MIIB"), "{text}");
}

#[test]
fn a_get_is_answered_and_nothing_of_it_is_believed() {
    let raw = RawPush { is_get: true, query: String::from("app_auth_code=x&app_id=1"), ..post("") };
    let Opened::Check(answer) = component(&sample()).open(&raw).unwrap() else { panic!() };
    assert_eq!(answer.body, "success");
}

fn said(fields: &Value) -> RawPush {
    arrived(&twin(&sample()).say(Door::Message, &fields.to_string(), now()))
}

#[test]
fn a_push_in_gbk_reads_like_one_in_utf_8() {
    let content = json!({"mini_app_id": "2021000000000003", "mini_app_version": "0.0.1", "audit_reason": "内容不完整"});
    let message = |charset: &str| {
        let fields = json!({"msg_method": "alipay.open.mini.version.audit.rejected", "charset": charset, "biz_content": content});
        opened(&*component(&sample()), &said(&fields))
    };
    let (gbk, utf8) = (message("GBK"), message("UTF-8"));
    assert_eq!(gbk.vendor["biz_content"], content);
    assert_eq!(gbk.vendor["biz_content"], utf8.vendor["biz_content"]);
    let Notice::Fact { kind, data } = gbk.notice else { panic!() };
    assert_eq!((kind, Value::Object(data)), (EventType::AuditFailed, json!({"version": "0.0.1", "reason": "内容不完整"})));
    assert_eq!(message("gb18030").vendor["biz_content"], content);
    assert_eq!(message("gb2312").vendor["biz_content"], content);
}

#[test]
fn bytes_that_are_not_of_the_charset_are_malformed() {
    let fields = json!({"msg_method": "alipay.x", "charset": "GBK", "biz_content": {"a": "内容"}});
    let gbk = twin(&sample()).say(Door::Message, &fields.to_string(), now());
    // The same bytes under another charset's name, signed so: only the charset is wrong.
    let mut form = Form::decode(&gbk.body).unwrap();
    form.set("charset", "UTF-8");
    let refused = component(&sample()).open(&post(resigned(form))).unwrap_err();
    assert!(matches!(refused, PushError::Malformed(_)), "{refused}");
    let mut form = Form::decode(&gbk.body).unwrap();
    form.set("charset", "EBCDIC");
    let refused = component(&sample()).open(&post(resigned(form))).unwrap_err();
    assert!(matches!(refused, PushError::Malformed(_)), "{refused}");
}

#[test]
fn without_a_charset_gbk_is_read_where_utf_8_does_not_fit() {
    for charset in ["GBK", "UTF-8"] {
        let fields = json!({"msg_method": "alipay.x", "charset": charset, "biz_content": {"name": "驿站"}});
        let mut form = Form::decode(&twin(&sample()).say(Door::Message, &fields.to_string(), now()).body).unwrap();
        form.set("charset", "");
        assert_eq!(opened(&*component(&sample()), &post(resigned(form))).vendor["biz_content"]["name"], "驿站");
    }
}

fn resigned(mut form: Form) -> Vec<u8> {
    use yizhan::envelope::rsa2::PrivateKey;
    use yizhan::platform::alipay::rules::{CertificateNumber, Empties, Rule, Variant, sign};
    let key = PrivateKey::read(&super::file("keys/alipay/platform.pem")).unwrap();
    sign(&mut form, Variant { rule: Rule::V1, empties: Empties::Kept, certificate_number: CertificateNumber::Kept }, &key);
    form.encode()
}

#[test]
fn another_applications_push_is_refused_after_its_signature_held() {
    let refused = component(&sample()).open(&said(&json!({"msg_method": "alipay.x", "app_id": "2021000000000009"}))).unwrap_err();
    assert!(matches!(refused, PushError::WrongAppId(_)), "{refused}");
    let refused = component(&sample()).open(&said(&json!({"msg_method": "alipay.x", "app_id": ""}))).unwrap_err();
    assert!(matches!(refused, PushError::WrongAppId(_)), "{refused}");
}

#[test]
fn an_unknown_version_of_the_envelope_is_refused() {
    for fields in [json!({"msg_method": "alipay.x", "version": "2.0"}), json!({"notify_type": "x", "version": "1.1"})] {
        assert!(matches!(component(&sample()).open(&said(&fields)), Err(PushError::Malformed(_))));
    }
    opened(&*component(&sample()), &said(&json!({"notify_type": "x", "version": ""})));
    opened(&*component(&sample()), &said(&json!({"msg_method": "alipay.x", "version": "1.0"})));
}

#[test]
fn aes_content_opens_with_the_right_key_only() {
    let fields = json!({
        "msg_method": "alipay.open.mini.version.audit.passed", "encrypt_type": "AES",
        "biz_content": {"mini_app_id": "2021000000000003", "mini_app_version": "1.2.3"},
    });
    let push = opened(&*component(&sample()), &said(&fields));
    assert_eq!(push.vendor["biz_content"]["mini_app_version"], "1.2.3");
    let refuse = |toml: String| component(&toml).open(&said(&fields)).unwrap_err();
    let without = sample().replace("aes_key = \"aa4BtZ4tspm2wnXLb1ThQA==\"\n", "");
    assert!(matches!(refuse(without), PushError::Undecipherable(_)));
    let other = sample().replace("aa4BtZ4tspm2wnXLb1ThQA==", "aYA0GP8JEW+D7/UFaskCWA==");
    assert!(matches!(refuse(other), PushError::Undecipherable(_)));
    let unknown = said(&json!({"msg_method": "alipay.x", "encrypt_type": "SM4", "biz_content": {"a": 1}}));
    assert!(matches!(component(&sample()).open(&unknown), Err(PushError::Undecipherable(_))));
}

#[test]
fn gbk_inside_of_aes_is_gbk() {
    let fields = json!({"msg_method": "alipay.x", "encrypt_type": "AES", "charset": "GBK", "biz_content": {"name": "驿站"}});
    assert_eq!(opened(&*component(&sample()), &said(&fields)).vendor["biz_content"]["name"], "驿站");
}

#[test]
fn a_grant_hands_over_code_and_tokens_and_shows_neither() {
    let fixture = fixture("push/granted-v1.json");
    let push = opened(&*opener(&fixture), &post(body(&fixture)));
    let Notice::Granted(grant) = &push.notice else { panic!() };
    let tokens = grant.tokens.as_ref().unwrap();
    assert_eq!(grant.granted_at.to_string(), "2024-05-01T04:00:00Z");
    assert_eq!(tokens.app_id.as_deref(), Some("2021000000000003"));
    assert_eq!(tokens.access.value.expose(), "202405BB00000000000000000000000000000X01");
    assert_eq!(tokens.access.expires_at, None);
    let refresh = tokens.refresh.as_ref().unwrap();
    assert_eq!(refresh.value.expose(), "202405BB00000000000000000000000000000X02");
    assert_eq!(refresh.expires_at.unwrap().to_string(), "2025-05-08T04:00:00Z");
    let code = grant.code.as_ref().unwrap();
    assert_eq!((code.value.expose(), code.expires_at.to_string().as_str()), ("00000000000000000000000000000X03", "2024-05-02T04:00:00Z"));
    let shown = push.vendor.to_string();
    assert!(!shown.contains("X01") && !shown.contains("X02") && !shown.contains("X03"), "{shown}");
    assert_eq!(push.vendor["biz_content"]["detail"]["app_auth_token"], "[sealed]");
    assert_eq!(push.vendor["biz_content"]["notify_context"]["trigger"], "appstore");
}

#[test]
fn a_plugins_grant_is_kept_but_its_tokens_displace_nothing() {
    let detail = json!({"app_id": "2021000000000777", "agent_app_id": "2021000000000001", "auth_app_id": "2021000000000003", "auth_time": 1, "app_auth_token": "secret-token"});
    let fields = json!({"notify_type": "open_app_auth_notify", "status": "execute_auth", "biz_content": {"detail": detail}});
    let push = opened(&*component(&sample()), &said(&fields));
    assert_eq!(push.notice.kind(), EventType::VendorOther);
    assert!(!push.vendor.to_string().contains("secret-token"));
}

#[test]
fn a_cancelled_authorization_is_dated_by_the_merchant_or_by_the_message() {
    let cancelled = |content: Value, more: &[(&str, &str)]| {
        let mut fields =
            json!({"msg_method": "alipay.open.auth.appauth.cancelled", "utc_timestamp": "1714536000123", "biz_content": content});
        for (name, value) in more {
            fields[*name] = json!(value);
        }
        opened(&*component(&sample()), &said(&fields))
    };
    let push = cancelled(json!({"auth_app_id": "2021000000000003", "cancel_time": 1714535999000i64}), &[]);
    assert_eq!(push.authorizer.as_deref(), Some("2021000000000003"));
    assert!(matches!(push.notice, Notice::Revoked { at } if at.as_millisecond() == 1_714_535_999_000));
    let push = cancelled(json!({"app_id": "2021000000000001"}), &[("msg_app_id", "2021000000000003")]);
    assert_eq!(push.authorizer.as_deref(), Some("2021000000000003"));
    assert!(matches!(push.notice, Notice::Revoked { at } if at.as_millisecond() == 1_714_536_000_123));
    // Nobody is named but ourselves: nobody is revoked.
    let push = cancelled(json!({"app_id": "2021000000000001"}), &[("msg_app_id", "2021000000000001")]);
    assert_eq!((push.authorizer, push.notice.kind()), (None, EventType::VendorOther));
}

#[test]
fn audits_carry_version_and_reason_also_from_memos() {
    let audit = |name: &str, content: Value| {
        let fields = json!({"msg_method": format!("alipay.open.mini.version.audit.{name}"), "biz_content": content});
        let Notice::Fact { kind, data } = opened(&*component(&sample()), &said(&fields)).notice else { panic!() };
        (kind.as_str(), Value::Object(data))
    };
    let passed = audit("passed", json!({"mini_app_id": "2021000000000003", "mini_app_version": "0.0.3"}));
    assert_eq!(passed, ("audit.passed", json!({"version": "0.0.3"})));
    let memos = json!({"memos": [{"memo": "图标不清晰"}, {"memo": "缺少说明"}]});
    let base_only = audit(
        "passed",
        json!({"mini_app_version": "0.0.4", "base_audit": "PASS", "promote_audit": "REJECT", "promote_audit_reason": memos}),
    );
    assert_eq!(base_only, ("audit.passed", json!({"version": "0.0.4", "reason": "图标不清晰\n缺少说明"})));
}

#[test]
fn every_row_of_the_catalogue_is_read_and_what_is_in_none_is_kept() {
    for row in CATALOGUE {
        let content = json!({"auth_app_id": "2021000000000003", "mini_app_id": "2021000000000003", "status": "AGREED", "detail": {
            "app_id": "2021000000000001", "auth_app_id": "2021000000000003", "app_auth_token": "t", "auth_time": "1714536000000"}});
        let fields = match row.named_by {
            NamedBy::Message => json!({"msg_method": row.name, "biz_content": content}),
            NamedBy::Notice => json!({"notify_type": row.name, "biz_content": content}),
            NamedBy::Service => json!({"service": row.name, "biz_content": "<XML><A>1</A></XML>"}),
        };
        let push = opened(&*component(&sample()), &said(&fields));
        assert_eq!(push.vendor_type, row.name);
        let wanted = match row.meaning {
            Meaning::Grant => EventType::AuthorizationGranted,
            Meaning::Revocation => EventType::AuthorizationRevoked,
            Meaning::AuditPassed => EventType::AuditPassed,
            Meaning::AuditRejected => EventType::AuditFailed,
            Meaning::Other(_) => EventType::VendorOther,
        };
        assert_eq!(push.notice.kind(), wanted, "{}", row.name);
    }
    let unknown = opened(&*component(&sample()), &said(&json!({"msg_method": " alipay.open.new.thing ", "biz_content": "plain words"})));
    assert_eq!((unknown.vendor_type.as_str(), unknown.notice.kind()), ("alipay.open.new.thing", EventType::VendorOther));
    assert_eq!(unknown.vendor["biz_content"], "plain words");
    let nameless = opened(&*component(&sample()), &said(&json!({"a": "b"})));
    assert_eq!(nameless.notice.kind(), EventType::VendorOther);
}

#[test]
fn a_known_message_with_unreadable_content_is_malformed() {
    let fields = json!({"msg_method": "alipay.open.mini.version.audit.passed", "biz_content": "{\"mini_app_id\":"});
    assert!(matches!(component(&sample()).open(&said(&fields)), Err(PushError::Malformed(_))));
}

#[test]
fn secrets_inside_of_json_texts_are_sealed_too() {
    let inner = json!({"app_auth_code": "secret-code"}).to_string();
    let fields = json!({"msg_method": "alipay.x", "isv_ticket": "secret-ticket", "biz_content": {"context": inner}});
    let shown = opened(&*component(&sample()), &said(&fields)).vendor.to_string();
    assert!(!shown.contains("secret-"), "{shown}");
    let broken = json!({"msg_method": "alipay.x", "biz_content": "{\"app_auth_token\":\"secret-token\""});
    let refused = component(&sample()).open(&said(&broken)).unwrap_err();
    assert!(matches!(&refused, PushError::Malformed(why) if why.contains("not whole")), "{refused}");
    let words = json!({"msg_method": "alipay.x", "biz_content": "see app_auth_token=secret-token"});
    let shown = opened(&*component(&sample()), &said(&words)).vendor.to_string();
    assert!(!shown.contains("secret-"), "{shown}");
}

/// A signed text as a form, cut at those of its ampersands; none where its names would not ascend, so that it would be signed as another text.
fn cut(text: &str, begins: impl Fn(usize) -> bool) -> Option<Vec<(String, String)>> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for (at, piece) in text.split('&').enumerate() {
        match fields.last_mut() {
            Some((_, value)) if !begins(at) => value.push_str(&format!("&{piece}")),
            before => {
                let (name, value) = piece.split_once('=')?;
                if before.is_some_and(|(before, _)| before.as_str() >= name) {
                    return None;
                }
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    Some(fields)
}

fn told(push: &Push) -> impl PartialEq + std::fmt::Debug + '_ {
    (format!("{:?}", push.notice), &push.vendor_type, &push.authorizer, push.time, &push.dedupe_key, &push.vendor)
}

/// Whoever has seen a push can send every form that has the text which Alipay signed.
#[test]
fn a_signed_text_opens_as_what_was_sent_or_not_at_all() {
    for name in PUSHES {
        let fixture = fixture(&format!("push/{name}.json"));
        let component = opener(&fixture);
        let Ok(Opened::Push(meant)) = component.open(&post(body(&fixture))) else { continue };
        let text = fixture["sign_string"].as_str().unwrap();
        let sent = Form::decode(body(&fixture).as_bytes()).unwrap().texts(encoding_rs::UTF_8).unwrap();
        let unsigned: Vec<_> = sent.into_iter().filter(|(name, value)| !text.contains(&format!("{name}={value}"))).collect();
        let pieces = text.split('&').count();
        let mut forms = 0;
        // All ampersands but up to three of them, or up to three alone.
        for (a, b, c) in (1..pieces).flat_map(|a| (a..pieces).flat_map(move |b| (b..pieces).map(move |c| (a, b, c)))) {
            for are_cut in [true, false] {
                let Some(mut fields) = cut(text, |at| [a, b, c].contains(&at) == are_cut) else { continue };
                fields.extend(unsigned.iter().cloned());
                forms += 1;
                let form = Form::of(&fields, encoding_rs::UTF_8).encode();
                match component.open(&post(form)) {
                    Ok(Opened::Push(push)) => assert_eq!(told(&push), told(&meant), "{name}: {a} {b} {c} {are_cut}"),
                    Ok(Opened::Check(_)) => panic!("{name}: a check"),
                    Err(_) => {}
                }
            }
        }
        assert!(forms > 50, "{name}: {forms}");
    }
}

/// What a merchant wrote and Alipay signed, cut so that it becomes fields, the last of which takes in the real ones.
#[test]
fn nobody_writes_fields_into_a_text_that_alipay_signs() {
    let written = "驿站&msg_app_id=2021000000000009&msg_method=alipay.open.auth.appauth.cancelled&notify_id=77&version=1.1&zzz=";
    let fields = json!({"notify_type": "servicemarket_order_notify", "contactor": written, "item_code": "1", "title": "t"});
    let sent = said(&fields);
    assert!(matches!(component(&sample()).open(&sent), Err(PushError::Malformed(_))));
    let mut form = Form::decode(&sent.body).unwrap().texts(encoding_rs::UTF_8).unwrap();
    let sign = form.pop_if(|(name, _)| name == "sign").unwrap();
    form.sort();
    let text = form.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let pieces: Vec<&str> = text.split('&').collect();
    let begun = |at: usize| at <= pieces.iter().position(|piece| *piece == "zzz=").unwrap();
    let mut cut = cut(&text, begun).unwrap();
    assert_eq!(cut.last().unwrap().0, "zzz");
    cut.push(sign);
    let refused = component(&sample()).open(&post(Form::of(&cut, encoding_rs::UTF_8).encode())).unwrap_err();
    assert!(matches!(&refused, PushError::Malformed(why) if why.contains("`zzz`")), "{refused}");
}

/// The end of base64 makes a name of everything before it, and the field behind it an empty one.
#[test]
fn a_name_stretches_over_no_value() {
    let sent = said(&json!({"msg_method": "alipay.x", "seal": "QUJDRA==", "biz_content": {"a": 1}}));
    let mut form = Form::decode(&sent.body).unwrap().texts(encoding_rs::UTF_8).unwrap();
    for (name, value) in &mut form {
        if let Some(rest) = value.strip_suffix('=').filter(|_| name == "seal") {
            (*name, *value) = (format!("seal={rest}"), String::new());
        }
    }
    let refused = component(&sample()).open(&post(Form::of(&form, encoding_rs::UTF_8).encode())).unwrap_err();
    assert!(matches!(&refused, PushError::Malformed(why) if why.contains("a name")), "{refused}");
}

/// The certificate's number may be unsigned: bytes in it that are no UTF-8 must not make GBK of everything else.
#[test]
fn what_is_not_signed_does_not_choose_the_charset() {
    let fixture = fixture("push/rejected-certified.json");
    for bytes in ["%B0%A1", "%FF", "%E9%A9%BF"] {
        let (before, _) =
            body(&fixture).rsplit_once("&alipay_cert_sn=").map(|(before, number)| (before.to_owned(), number.to_owned())).unwrap();
        let refused = opener(&fixture).open(&post(format!("{before}&alipay_cert_sn={bytes}"))).unwrap_err();
        assert!(matches!(refused, PushError::BadSignature(_)), "{refused}");
    }
}

#[test]
fn without_a_notify_id_the_content_is_the_identity_and_the_signature_is_not() {
    let one = said(&json!({"msg_method": "alipay.x", "notify_id": "", "utc_timestamp": "1714536000123", "biz_content": {"a": 1}}));
    let key = |raw: &RawPush| opened(&*component(&sample()), raw).dedupe_key;
    assert!(key(&one).starts_with("sha256:"));
    assert_eq!(key(&one), key(&one));
    let other = said(&json!({"msg_method": "alipay.x", "notify_id": "", "utc_timestamp": "1714536000123", "biz_content": {"a": 2}}));
    assert_ne!(key(&one), key(&other));
}

fn check(xml: &str) -> Result<Opened, PushError> {
    component(&sample()).open(&said(&json!({"service": "alipay.service.check", "biz_content": xml})))
}

#[test]
fn a_gateway_check_is_answered_with_signed_xml() {
    let xml =
        "<?xml version=\"1.0\" encoding=\"gbk\"?><XML><AppId><![CDATA[2021000000000001]]></AppId><EventType>verifygw</EventType></XML>";
    let Opened::Check(answer) = check(xml).unwrap() else { panic!() };
    assert_eq!(answer.content_type, "text/xml;charset=GBK");
    let published = fixture("request/gateway-check-answer.json");
    assert_eq!(answer.body, published["answer"].as_str().unwrap());
}

#[test]
fn a_check_that_is_not_one_is_refused() {
    let malformed = [
        "<!DOCTYPE XML [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><XML><EventType>&e;</EventType></XML>",
        "<!DOCTYPE XML SYSTEM \"http://127.0.0.1/x\"><XML><EventType>verifygw</EventType></XML>",
        "<XML><EventType>&verifygw;</EventType></XML>",
        "<XML><EventType>verifygw</EventType>",
        "<XML><EventType>verifygw</XML></EventType>",
        "<XML><EventType>follow</EventType></XML>",
        "<XML/><XML><EventType>verifygw</EventType></XML>",
        "verifygw",
    ];
    for xml in malformed {
        assert!(matches!(check(xml), Err(PushError::Malformed(_))), "{xml}");
    }
    let deep = "<a>".repeat(5000) + &"</a>".repeat(5000);
    assert!(matches!(check(&deep), Err(PushError::Malformed(_))));
    assert!(matches!(check("<XML><AppId>2021000000000009</AppId><EventType>verifygw</EventType></XML>"), Err(PushError::WrongAppId(_))));
}

#[test]
fn another_service_message_is_kept_as_the_json_of_its_elements() {
    let xml = "<XML><MsgType><![CDATA[text]]></MsgType><Text>a &lt; b &#65;</Text><Item>1</Item><Item>2</Item></XML>";
    let push = opened(&*component(&sample()), &said(&json!({"service": "alipay.mobile.public.message.notify", "biz_content": xml})));
    assert_eq!(push.notice.kind(), EventType::VendorOther);
    assert_eq!(push.vendor["biz_content"], json!({"XML": {"MsgType": "text", "Text": "a < b A", "Item": ["1", "2"]}}));
}
