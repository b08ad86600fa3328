//! What is sent verifies with an implementation that shares nothing with the product's: string, signature, decryption.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use yizhan::clock::china_time;
use yizhan::platform::call::{Body, Call};
use yizhan::platform::operation::{Bearer, Caller, Next, Params};
use yizhan::platform::token::Family;
use yizhan::secret::Secret;

use super::{SHOP, World, caller, certified, example, request};
use crate::alipay::{component, file, fixture, sample};

/// Every text that is sent, by name; files are left out, as the vendor leaves them out.
fn sent(call: &Call) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = call.query.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    match &call.body {
        Body::Form(fields) => texts.extend(fields.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()))),
        Body::Multipart(parts) => {
            let plain = parts.iter().filter(|part| part.file_name.is_none());
            texts.extend(plain.map(|part| (part.name.clone(), String::from_utf8(part.content.to_vec()).unwrap())));
        }
        other => panic!("{other:?}"),
    }
    texts
}

fn verifies(call: &Call) -> bool {
    let mut texts = sent(call);
    let sign = STANDARD.decode(texts.remove("sign").unwrap()).unwrap();
    let string = texts.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let pem = file("keys/alipay/application_public.pem");
    let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der).verify(string.as_bytes(), &sign).is_ok()
}

#[test]
fn every_row_is_signed_in_every_mode() {
    for toml in [sample(), certified(), format!("{}encrypt_calls = true\n", sample())] {
        let world = World::of(&toml);
        for row in world.component.operations().operations() {
            let params = Params::check(row, example(row)).unwrap();
            let Next::Call(call) = world.component.operations().next(row, &params, &[], caller(row, &world.token, super::now())) else {
                panic!()
            };
            assert!(verifies(&call), "{}", row.name);
            let texts = sent(&call);
            assert_eq!(texts.contains_key("app_cert_sn"), toml == certified(), "{}", row.name);
            let asks_for_itself = ["authorization.permissions", "message_topic.subscribe", "message_topic.unsubscribe"].contains(&row.name);
            let is_delegated = matches!(row.bearer, Bearer::Authorizer(_)) && !asks_for_itself;
            assert_eq!(texts.contains_key("app_auth_token"), is_delegated, "{}", row.name);
        }
    }
}

/// AES-128-CBC with a zero IV and PKCS#7, base64 (Alipay 1.4), by another library's code than the product's.
fn opened(sealed: &str, key: &str) -> String {
    use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
    use aws_lc_rs::iv::FixedLength;
    let key = UnboundCipherKey::new(&AES_128, &STANDARD.decode(key).unwrap()).unwrap();
    let mut text = STANDARD.decode(sealed).unwrap();
    let zero = DecryptionContext::Iv128(FixedLength::from(&[0; 16]));
    let plain = PaddedBlockDecryptingKey::cbc_pkcs7(key).unwrap().decrypt(&mut text, zero).unwrap();
    String::from_utf8(plain.to_vec()).unwrap()
}

#[test]
fn sealed_content_opens_to_what_is_sent_in_the_open_otherwise() {
    let (plain, sealed) = (World::new(), World::of(&format!("{}encrypt_calls = true\n", sample())));
    let mut opened_some = 0;
    for row in plain.component.operations().operations() {
        let params = Params::check(row, example(row)).unwrap();
        let texts = |world: &World| match world.component.operations().next(row, &params, &[], caller(row, &world.token, super::now())) {
            Next::Call(call) => sent(&call),
            other => panic!("{other:?}"),
        };
        let (plain, sealed) = (texts(&plain), texts(&sealed));
        match plain.get("biz_content").filter(|_| sealed.contains_key("encrypt_type")) {
            Some(content) => {
                assert_eq!(&opened(&sealed["biz_content"], "aa4BtZ4tspm2wnXLb1ThQA=="), content, "{}", row.name);
                assert_eq!((sealed["encrypt_type"].as_str(), plain.contains_key("encrypt_type")), ("AES", false));
                opened_some += 1;
            }
            None => assert!(!plain.contains_key("biz_content"), "{}: it has content and is not sealed", row.name),
        }
    }
    assert!(opened_some > 30, "{opened_some}");
}

#[test]
fn text_parts_are_signed_and_files_are_not() {
    let world = World::new();
    let row = world.row("audit.submit");
    let params = Params::check(&row, example(&row)).unwrap();
    let Next::Call(mut call) = world.component.operations().next(&row, &params, &[], caller(&row, &world.token, super::now())) else {
        panic!()
    };
    let Body::Multipart(parts) = &mut call.body else { panic!() };
    let picture = parts.iter_mut().find(|part| part.name == "first_screen_shot").unwrap();
    picture.content = bytes::Bytes::from_static(b"another picture");
    assert!(verifies(&call));
    let Body::Multipart(parts) = &mut call.body else { panic!() };
    let words = parts.iter_mut().find(|part| part.name == "version_desc").unwrap();
    words.content = bytes::Bytes::from_static(b"other words");
    assert!(!verifies(&call));
    assert!(call.timeout > yizhan::platform::call::ORDINARY_TIMEOUT);
}

/// The rows, given what the published requests say, give the published signatures to the letter.
#[test]
fn rows_make_the_published_requests() {
    let published = fixture("request/signed.json");
    let named = |name: &str| published["requests"].as_array().unwrap().iter().find(|request| request["name"] == name).unwrap().clone();
    let upload =
        json!({"template_id": "2021000000000002", "version": "0.0.1", "ext": {"extEnable": true, "ext": {"shopName": "测试门店"}}});
    for (name, toml) in [("rsa2", sample()), ("aes", format!("{}encrypt_calls = true\n", sample()))] {
        let request = named(name);
        assert_eq!(sent(&made(&toml, "package.upload", &upload, &request))["sign"], request["sign"], "{name}");
    }
    let request = named("multipart");
    let text = |name: &str| request["parameters"][name].clone();
    let change = json!({
        "name": text("app_name"), "slogan": text("app_slogan"), "phone": text("service_phone"),
        "icon": {"file_name": "logo.png", "content_base64": "iVBORw0KGgo="},
    });
    assert_eq!(sent(&made(&sample(), "profile.modify", &change, &request))["sign"], request["sign"]);
}

fn made(toml: &str, name: &str, params: &Value, request: &Value) -> Call {
    let component = component(toml);
    let row = component.operations().operations().iter().find(|row| row.name == name).unwrap();
    assert_eq!(row.bearer, Bearer::Authorizer(Family::Current));
    let params = Params::check(row, params.as_object().unwrap().clone()).unwrap();
    let parameter = |name: &str| request["parameters"][name].as_str().unwrap();
    let token = Secret::new(parameter("app_auth_token"));
    let caller = Caller { component_token: None, authorizer: Some((SHOP, &token)), now: china_time(parameter("timestamp")).unwrap() };
    match component.operations().next(row, &params, &[], caller) {
        Next::Call(call) => *call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_twin_refuses_a_multipart_call_that_was_changed_on_the_way() {
    let world = World::new();
    let row = world.row("profile.modify");
    let params = Params::check(&row, example(&row)).unwrap();
    let Next::Call(call) = world.component.operations().next(&row, &params, &[], caller(&row, &world.token, world.now())) else { panic!() };
    let sound = request(&call);
    let body = String::from_utf8_lossy(&sound.body).into_owned();
    for wrong in [
        body.replace("PostHouse", "GuestHouse"),
        body.replace("name=\"app_english_name\"", "name=\"app_id\""),
        body.replace("--b0undary--", ""),
        body.replace("Content-Disposition", "Content-Type"),
    ] {
        let answer = world.twin().answer(&yizhan::platform::twin::Request { body: wrong.into(), ..sound.clone() }, world.now());
        assert!(!answer.accepted);
    }
    assert!(world.twin().answer(&sound, world.now()).accepted);
}
