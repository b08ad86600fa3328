//! Requests signed, answers verified: the vectors and what must be refused.

use bytes::Bytes;
use serde_json::{Value, json};
use yizhan::clock::china_time;
use yizhan::envelope::rsa2::PrivateKey;
use yizhan::platform::alipay::content::ContentKey;
use yizhan::platform::alipay::gateway::{Request, sign_string};
use yizhan::platform::alipay::reply::{Members, ReplyError, root_node};
use yizhan::platform::{Body, Call, Class, Part, Reply};
use yizhan::secret::Secret;

use super::{certified, file, fixture, parts, sample};

fn reply(body: impl Into<Bytes>) -> Reply {
    Reply { status: 200, content_type: String::from("application/json"), body: body.into() }
}

fn sign_of(call: &Call) -> &str {
    call.query.iter().find(|(name, _)| name == "sign").unwrap().1.expose()
}

#[test]
fn request_strings_and_signatures_are_as_published() {
    let key = PrivateKey::read(&file("keys/alipay/application.pem")).unwrap();
    let fixture = fixture("request/signed.json");
    for request in fixture["requests"].as_array().unwrap() {
        let parameters = request["parameters"].as_object().unwrap();
        let string = sign_string(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())));
        assert_eq!(string, request["sign_string"], "{}", request["name"]);
        assert_eq!(key.sign(string.as_bytes()), request["sign"], "{}", request["name"]);
    }
    let later = &fixture["version_3"];
    assert_eq!(key.sign(later["sign_string"].as_str().unwrap().as_bytes()), later["sign"]);
}

/// The gateway builds, from what a caller says, exactly the published requests.
#[test]
fn the_gateway_builds_the_published_requests() {
    let fixture = fixture("request/signed.json");
    let plain = parts(&sample());
    for published in fixture["requests"].as_array().unwrap() {
        let parameters = published["parameters"].as_object().unwrap();
        let text = |name: &str| parameters.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut request = if let Some(key) = published["aes_key"].as_str() {
            Request::sealed_biz(text("method"), published["plain_biz_content"].as_str().unwrap(), &ContentKey::read(key).unwrap())
        } else if text("biz_content").is_empty() {
            let fields = ["app_name", "app_slogan", "service_phone"].map(|name| (name.to_owned(), text(name).into()));
            Request::fields(text("method"), fields.into())
        } else {
            Request::biz(text("method"), text("biz_content"))
        };
        request = request.on_behalf_of(&Secret::new(text("app_auth_token")));
        for name in published["files"].as_array().unwrap() {
            request = request.file(Part {
                name: name.as_str().unwrap().to_owned(),
                file_name: Some(String::from("logo.png")),
                content_type: Some(String::from("image/png")),
                content: Bytes::from_static(b"\x89PNG\xff\x00"),
            });
        }
        // The published request of certificate mode has the real certificates' numbers, which these keys do not go with.
        if text("app_cert_sn").is_empty() {
            let call = plain.gateway.call(request, china_time(text("timestamp")).unwrap());
            assert_eq!(sign_of(&call), published["sign"], "{}", published["name"]);
            assert!(!format!("{call:?}").contains(text("app_auth_token")), "the token is never printed");
            let is_multipart = matches!(call.body, Body::Multipart(_));
            assert_eq!(is_multipart, !published["files"].as_array().unwrap().is_empty());
        }
    }
}

#[test]
fn certificate_mode_signs_both_numbers() {
    let application = parts(&certified());
    let call = application.gateway.call(Request::biz("alipay.x", "{}"), super::now());
    let value = |name: &str| call.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.expose().to_owned());
    let own = application.gateway.trust().own().unwrap();
    assert_eq!(value("app_cert_sn").as_ref(), Some(&own.app_cert_sn));
    assert_eq!(value("alipay_root_cert_sn").as_ref(), Some(&own.root_cert_sn));
    let Body::Form(fields) = &call.body else { panic!() };
    let string = sign_string(call.query.iter().chain(fields).map(|(name, value)| (name.as_str(), value.expose())));
    assert!(string.contains("alipay_root_cert_sn=") && string.contains("app_cert_sn="));
    assert!(application.gateway.key().public().verify(string.as_bytes(), sign_of(&call)));
}

#[test]
fn empty_parameters_are_neither_signed_nor_sent() {
    let application = parts(&sample());
    let fields = vec![(String::from("app_name"), "驿站".into()), (String::from("app_slogan"), "".into())];
    let call = application.gateway.call(Request::fields("alipay.x", fields), super::now());
    assert_eq!(call.body, Body::Form(vec![(String::from("app_name"), "驿站".into())]));
    assert_eq!(call.url, "http://127.0.0.1:9/alipay/gateway.do");
}

#[test]
fn the_signed_slice_is_the_raw_text_of_the_node() {
    for entry in fixture("reply/slices.json")["slices"].as_array().unwrap() {
        let body = entry["body"].as_str().unwrap();
        let members = Members::read(body).unwrap();
        assert_eq!(members.raw(entry["root_node"].as_str().unwrap()), entry["signed"].as_str(), "{body}");
    }
}

#[test]
fn answers_verify_as_published_and_a_changed_one_does_not() {
    for name in ["file-upload", "file-upload-tampered", "build-query", "build-query-encrypted"] {
        let fixture = fixture(&format!("reply/{name}.json"));
        let application = parts(fixture["settings"].as_str().unwrap());
        let root = fixture["root_node"].as_str().unwrap();
        let method = root.trim_end_matches("_response").replace('_', ".");
        assert_eq!(root_node(&method), root);
        let body = fixture["body"].as_str().unwrap();
        let read = application.gateway.verified(&method, body.as_bytes());
        match fixture["expect"]["node"].as_object() {
            Some(node) => {
                assert_eq!(read.as_ref(), Ok(node), "{name}");
                assert_eq!(Members::read(body).unwrap().raw(root), fixture["expect"]["signed"].as_str());
            }
            None => assert_eq!(read, Err(ReplyError::BadSignature), "{name}"),
        }
    }
}

#[test]
fn one_changed_bit_of_the_node_or_its_signature_is_refused() {
    let fixture = fixture("reply/file-upload.json");
    let application = parts(fixture["settings"].as_str().unwrap());
    let body = fixture["body"].as_str().unwrap().as_bytes().to_vec();
    for place in 0..body.len() {
        for bit in 0..8 {
            let mut changed = body.clone();
            changed[place] ^= 1 << bit;
            assert!(application.gateway.verified("alipay.open.file.upload", &changed).is_err(), "bit {bit} of byte {place}");
        }
    }
}

#[test]
fn a_repeated_or_escaped_name_is_refused() {
    let fixture = fixture("reply/file-upload.json");
    let application = parts(fixture["settings"].as_str().unwrap());
    let body = fixture["body"].as_str().unwrap();
    let read = |body: String| application.gateway.verified("alipay.open.file.upload", body.as_bytes());
    let other = "{\"alipay_open_file_upload_response\":{\"code\":\"10000\",\"file_id\":\"evil\"},";
    assert_eq!(read(body.replacen('{', other, 1)), Err(ReplyError::Repeated));
    assert_eq!(read(body.replacen('{', &other.replace("alipay_open", "\\u0061lipay_open"), 1)), Err(ReplyError::Repeated));
    assert_eq!(read(body.replacen('{', "{\"error_response\":{\"code\":\"40002\"},", 1)), Err(ReplyError::Repeated));
    assert_eq!(read(body.replacen('{', "{\"sign\":\"x\",", 1)), Err(ReplyError::Repeated));
    assert_eq!(read(format!("{body}{body}")), Err(ReplyError::Form));
    assert_eq!(read(String::from("[]")), Err(ReplyError::Form));
    assert_eq!(read(String::from("{}")), Err(ReplyError::Form));
    assert_eq!(application.gateway.verified("alipay.open.file.upload", b"\xff"), Err(ReplyError::Form));
    assert_eq!(application.gateway.verified("alipay.other", body.as_bytes()), Err(ReplyError::Form));
}

/// An answer as the platform signs it.
fn signed(method: &str, node: &str) -> String {
    let key = PrivateKey::read(&file("keys/alipay/platform.pem")).unwrap();
    format!("{{\"{}\":{node},\"sign\":\"{}\"}}", root_node(method), key.sign(node.as_bytes()))
}

#[test]
fn a_success_must_be_signed_and_a_refusal_need_not_be() {
    let application = parts(&sample());
    let success = json!({"alipay_x_response": {"code": "10000", "msg": "Success"}}).to_string();
    assert_eq!(application.gateway.verified("alipay.x", success.as_bytes()), Err(ReplyError::Unsigned));
    let sealed = json!({"alipay_x_response": "AAAA"}).to_string();
    assert_eq!(application.gateway.verified("alipay.x", sealed.as_bytes()), Err(ReplyError::Unsigned));
    let error = json!({"error_response": {"code": "40001", "msg": "Missing Required Arguments", "sub_code": "isv.missing-signature", "sub_msg": "缺少签名"}});
    let refused = application.gateway.read("alipay.x", &reply(error.to_string())).unwrap_err();
    assert_eq!((refused.class, refused.code.as_str(), refused.message.as_str()), (Class::Refuse, "isv.missing-signature", "缺少签名"));
    let lying = json!({"error_response": {"code": "40001"}, "sign": "AAAA"}).to_string();
    assert_eq!(application.gateway.verified("alipay.x", lying.as_bytes()), Err(ReplyError::BadSignature));
}

#[test]
fn a_signature_over_unescaped_slashes_holds() {
    let application = parts(&sample());
    let body = signed("alipay.x", "{\"code\":\"10000\",\"url\":\"http://a/b\"}").replace("http://a/b", "http:\\/\\/a\\/b");
    assert_eq!(application.gateway.verified("alipay.x", body.as_bytes()).unwrap()["url"], "http://a/b");
}

#[test]
fn an_answer_in_certificate_mode_names_its_certificate() {
    let application = parts(&certified());
    let number = application.gateway.trust().keys()[0].sn.clone().unwrap();
    let body = signed("alipay.x", "{\"code\":\"10000\"}");
    let with = |number: &str| body.replace(",\"sign\"", &format!(",\"alipay_cert_sn\":\"{number}\",\"sign\""));
    assert!(application.gateway.verified("alipay.x", with(&number).as_bytes()).is_ok());
    let refused = application.gateway.read("alipay.x", &reply(with("00"))).unwrap_err();
    assert_eq!((refused.class, refused.code.as_str()), (Class::Configuration, "unknown-certificate"));
    assert!(refused.advice.unwrap().contains("alipay_cert"));
}

#[test]
fn an_encrypted_answer_needs_the_right_key() {
    let fixture = fixture("reply/build-query-encrypted.json");
    let toml = fixture["settings"].as_str().unwrap().replace("aa4BtZ4tspm2wnXLb1ThQA==", "aYA0GP8JEW+D7/UFaskCWA==");
    let body = fixture["body"].as_str().unwrap();
    let read = parts(&toml).gateway.verified("alipay.open.mini.version.build.query", body.as_bytes());
    assert_eq!(read, Err(ReplyError::Undecipherable));
}

#[test]
fn content_encryption_is_as_published() {
    let fixture = fixture("reply/aes.json");
    let key = ContentKey::read(fixture["key"].as_str().unwrap()).unwrap();
    let plain = fixture["plain"].as_str().unwrap();
    assert_eq!(key.seal(plain.as_bytes()), fixture["sealed"]);
    assert_eq!(key.open(fixture["sealed"].as_str().unwrap()).unwrap(), plain.as_bytes());
    assert_eq!(ContentKey::read("aa4BtZ4tspm2wnXLb1ThQA==").unwrap().seal(b"test1234567"), "ILpoMowjIQjfYMR847rnFQ==");
    assert!(key.open("ILpoMowjIQjfYMR847rnFQ==").is_none());
    assert!(key.open("").is_none() && key.open("AAAA").is_none() && key.open("!").is_none());
    assert_eq!(format!("{key:?}"), "[redacted]");
    for wrong in ["", "c2hvcnQ=", "aa4BtZ4tspm2wnXLb1ThQA==aa4B", "ql1234fnhsjndyskemdlsowerfvmjhxswedfrtgbqwe"] {
        assert!(ContentKey::read(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn refusals_are_classed_by_their_sub_code() {
    let application = parts(&sample());
    let refused = |code: &str, sub_code: &str, words: &str| {
        let node = json!({"code": code, "msg": "m", "sub_code": sub_code, "sub_msg": words}).to_string();
        application.gateway.read("alipay.x", &reply(signed("alipay.x", &node))).unwrap_err()
    };
    for (code, sub_code, class) in [
        ("20000", "isp.unknow-error", Class::Retry),
        ("20000", "something.new", Class::Retry),
        ("20001", "aop.invalid-app-auth-token", Class::RenewAuthorizerToken),
        ("20001", "aop.invalid-app-auth-token-no-api", Class::Refuse),
        ("40002", "isv.invalid-signature", Class::Configuration),
        ("40003", "isv.invalid-auth-relations", Class::RenewAuthorizerToken),
        ("40004", "AUTH_CODE_NOT_EXIST", Class::CodeInvalid),
        ("40004", "APP_ID_NOT_CONSISTENT", Class::Refuse),
        ("40004", "AUTH_TOKEN_NOT_FOUND", Class::GrantGone),
        ("40004", "REFRESH_TOKEN_NOT_VALID", Class::RefreshTokenInvalid),
        ("40004", "NAME_TOO_LONG", Class::Refuse),
        ("40005", "isv.app-call-limited", Class::RateLimited),
        ("40006", "isv.insufficient-isv-permissions", Class::Configuration),
    ] {
        assert_eq!(refused(code, sub_code, "w").class, class, "{sub_code}");
    }
    assert_eq!(refused("40004", "unknown-sub-code", "未知的错误码AUTH_CODE_NOT_VALID").class, Class::CodeInvalid);
    let quoting = refused("40002", "isv.invalid-signature", "验签出错, 待验签串: app_auth_token=202405BBX01&app_id=1");
    assert!(!quoting.to_string().contains("202405BB"), "{quoting}");
}

#[test]
fn trouble_on_the_way_is_to_be_tried_again() {
    let application = parts(&sample());
    let bad = Reply { status: 502, content_type: String::from("text/html"), body: Bytes::from_static(b"<html>") };
    assert_eq!(application.gateway.read("alipay.x", &bad).unwrap_err().class, Class::Retry);
    assert_eq!(application.gateway.read("alipay.x", &reply("")).unwrap_err().class, Class::Retry);
}
