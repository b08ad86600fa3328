//! The envelope: signatures, keys, variants, acknowledgements and refusals.

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
        kuaishou().sample_settings(VENDOR).replace("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "0123456789abcdef0123456789abcdef") + line
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
