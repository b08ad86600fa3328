//! Alipay changes its certificate: the new one is fetched, held against the root, and the operation goes on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use yizhan::clock::{Clock, Timestamp};
use yizhan::envelope::rsa2::PrivateKey;
use yizhan::operations::{Desk, OperationError, TokenSource};
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::alipay::certificate::sn;
use yizhan::platform::alipay::reply::root_node;
use yizhan::platform::operation::{Next, Params};
use yizhan::platform::{Call, Class, Components, Reply, TokenKey};
use yizhan::secret::Secret;
use yizhan::vault::{Served, VaultError};

use super::{SHOP, World, caller, certified};
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

/// A vendor that answers what it was told to, and remembers what it was asked with which token.
struct Script {
    answers: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<String>>,
    tokens: Mutex<u64>,
    now: Mutex<Timestamp>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, asked: Mutex::default(), tokens: Mutex::new(1), now: Mutex::new(valid()) })
    }

    async fn ask(self: &Arc<Self>, name: &str, params: Value) -> Result<Value, OperationError> {
        let desk = Desk::new(Components::new(vec![component(&certified())]), self.clone(), self.clone(), self.clone());
        desk.carry_out("alipay", Some(SHOP), name, params.as_object().unwrap().clone()).await.map(|outcome| outcome.result)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Vendors for Script {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let value = |name: &str| call.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.expose());
        let method = value("method").unwrap().rsplit('.').next().unwrap().to_owned();
        self.asked.lock().unwrap().push(format!("{method} {}", value("app_auth_token").unwrap_or("-")));
        let answer = self.answers.lock().unwrap().pop_front();
        answer.ok_or_else(|| SendError::NoAnswer { target: call.target().to_owned(), cause: String::from("reset") })
    }
}

#[async_trait::async_trait]
impl TokenSource for Script {
    async fn fresh(&self, _: &str, _: &TokenKey) -> Result<Served, VaultError> {
        let generation = *self.tokens.lock().unwrap();
        Ok(Served { token: Secret::new(format!("token-{generation}")), generation, expires_at: None, cache_for: Duration::ZERO })
    }

    async fn report_invalid(&self, component: &str, key: &TokenKey, _: u64) -> Result<Served, VaultError> {
        *self.tokens.lock().unwrap() += 1;
        self.fresh(component, key).await
    }
}

#[async_trait::async_trait]
impl Clock for Script {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let mut now = self.now.lock().unwrap();
        *now = at.max(*now);
    }
}

const OFFLINE: &str = "alipay.open.mini.version.offline";

/// An answer to taking a version offline, signed with the new certificate.
fn answered(number: &str, node: Value) -> Reply {
    signed_reply(OFFLINE, &node.to_string(), "platform_next", Some(number))
}

#[tokio::test]
async fn a_token_that_is_rejected_beside_an_unknown_certificate_is_renewed_and_the_call_repeated() {
    let certificate = file("keys/alipay/alipay_next.crt");
    let number = sn(&certificate).unwrap();
    let rejected = answered(&number, json!({"code": "20001", "msg": "m", "sub_code": "aop.invalid-app-auth-token", "sub_msg": "w"}));
    let done = answered(&number, json!({"code": "10000", "msg": "Success"}));
    let brought = || brought(&certificate, "platform_next", &number);
    let script = Script::of([rejected, brought(), done, brought()]);
    let result = script.ask("package.offline", json!({"version": "0.0.1"})).await.unwrap();
    assert_eq!(result, json!({"version": "0.0.1", "status": "offline"}));
    assert_eq!(script.asked(), ["offline token-1", "download -", "offline token-2", "download -"]);
}

#[tokio::test]
async fn a_no_beside_an_unknown_certificate_is_the_vendors_no() {
    let certificate = file("keys/alipay/alipay_next.crt");
    let number = sn(&certificate).unwrap();
    let no = answered(&number, json!({"code": "40004", "msg": "m", "sub_code": "APP_VERSION_NOT_EXIST", "sub_msg": "w"}));
    let script = Script::of([no, brought(&certificate, "platform_next", &number)]);
    let error = script.ask("package.offline", json!({"version": "0.0.1"})).await.unwrap_err();
    assert!(matches!(&error, OperationError::Refused(error) if error.code == "APP_VERSION_NOT_EXIST"), "{error:?}");
}

#[tokio::test]
async fn a_deed_whose_answer_cannot_be_believed_or_read_is_not_done_again() {
    let certificate = file("keys/alipay/alipay_next.crt");
    let number = sn(&certificate).unwrap();
    let done = || answered(&number, json!({"code": "10000", "msg": "Success"}));
    let other = brought(&file("keys/alipay/alipay.crt"), "platform", &number);
    for script in [Script::of([done(), other]), Script::of([done()])] {
        let error = script.ask("package.offline", json!({"version": "0.0.1"})).await.unwrap_err();
        assert!(matches!(&error, OperationError::OutcomeUnknown { .. }), "{error:?}");
        assert_eq!(script.asked().iter().filter(|asked| asked.starts_with("offline")).count(), 1);
    }
}
