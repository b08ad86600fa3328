//! Alipay changes its certificate: the new one is fetched, held against the root, and the operation goes on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use yizhan::clock::Timestamp;
use yizhan::envelope::rsa2::PrivateKey;
use yizhan::platform::alipay::certificate::sn;
use yizhan::platform::alipay::reply::root_node;
use yizhan::platform::operation::{Next, Params};
use yizhan::platform::{Class, Reply};

use super::{World, caller, certified};
use crate::alipay::{component, file};

const DOWNLOAD: &str = "alipay.open.app.alipaycert.download";
const BUILD: &str = "alipay.open.mini.version.build.query";
const UPLOAD: &str = "alipay.open.mini.version.upload";

/// An answer as the platform signs it with that key of the fixtures.
pub fn signed_reply(method: &str, node: &str, key: &str, number: Option<&str>) -> Reply {
    let sign = PrivateKey::read(&file(&format!("keys/alipay/{key}.pem"))).unwrap().sign(node.as_bytes());
    let number = number.map(|number| format!(",\"alipay_cert_sn\":\"{number}\"")).unwrap_or_default();
    let body = format!("{{\"{}\":{node}{number},\"sign\":\"{sign}\"}}", root_node(method));
    Reply { status: 200, content_type: String::from("application/json"), body: body.into() }
}

fn brought(certificate: &str, key: &str, number: &str) -> Reply {
    let node = json!({"code": "10000", "msg": "Success", "alipay_cert_content": STANDARD.encode(certificate)}).to_string();
    signed_reply(DOWNLOAD, &node, key, Some(number))
}

fn next(name: &str, params: &Value, replies: &[Reply]) -> Next {
    let world = World::of(&certified());
    let component = component(&certified());
    let row = world.row(name);
    let params = Params::check(&row, params.as_object().unwrap().clone()).unwrap();
    component.operations().next(&row, &params, replies, caller(&row, &world.token, valid()))
}

/// A time at which the certificates of the fixtures are valid.
fn valid() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn built(key: &str, number: &str) -> Reply {
    let node = json!({"code": "10000", "msg": "Success", "build_status": "2", "create_status": "6"}).to_string();
    signed_reply(BUILD, &node, key, Some(number))
}

#[test]
fn an_unknown_certificate_is_fetched_and_believed() {
    let certificate = file("keys/alipay/alipay_next.crt");
    let number = sn(&certificate).unwrap();
    let ask = json!({"version": "0.0.1"});
    let answer = built("platform_next", &number);
    let Next::Ask(call) = next("package.build_status", &ask, std::slice::from_ref(&answer)) else { panic!("no call") };
    let value = |name: &str| call.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.expose().to_owned());
    assert_eq!((value("method").as_deref(), value("app_auth_token")), (Some(DOWNLOAD), None));
    match next("package.build_status", &ask, &[answer, brought(&certificate, "platform_next", &number)]) {
        Next::Done(outcome) => assert_eq!(outcome.result["status"], "created"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_upload_goes_on_after_the_certificate() {
    let certificate = file("keys/alipay/alipay_next.crt");
    let number = sn(&certificate).unwrap();
    let upload = json!({"template_id": super::TEMPLATE, "version": "0.0.1"});
    let node = json!({"code": "10000", "msg": "Success", "build_status": "1", "create_status": "1"}).to_string();
    let begun = signed_reply(UPLOAD, &node, "platform_next", Some(&number));
    let brought = brought(&certificate, "platform_next", &number);
    assert!(matches!(next("package.upload", &upload, &[begun.clone(), brought.clone()]), Next::After(..)));
    assert!(matches!(next("package.upload", &upload, &[begun, brought, built("platform_next", &number)]), Next::Done(_)));
}

#[test]
fn a_certificate_that_cannot_be_believed_stops_the_operation() {
    let certificate = file("keys/alipay/alipay_next.crt");
    let number = sn(&certificate).unwrap();
    let ask = json!({"version": "0.0.1"});
    let refused = |replies: &[Reply]| match next("package.build_status", &ask, replies) {
        Next::Refused(error) => error,
        other => panic!("{other:?}"),
    };
    let answer = built("platform_next", &number);
    // Another certificate than was asked for, none at all, and a right one with an answer that it did not sign.
    let other = refused(&[answer.clone(), brought(&file("keys/alipay/alipay.crt"), "platform", &number)]);
    assert_eq!((other.class, other.code.as_str()), (Class::Configuration, "unknown-certificate"));
    refused(&[answer.clone(), brought("nothing", "platform_next", &number)]);
    refused(&[answer, signed_reply(DOWNLOAD, "{\"code\":\"40004\",\"sub_code\":\"X\"}", "platform_next", Some(&number))]);
    let forged = refused(&[built("platform", &number), brought(&certificate, "platform_next", &number)]);
    assert_eq!(forged.code, "bad-signature");
}
