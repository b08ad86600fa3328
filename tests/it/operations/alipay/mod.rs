//! Operations of Alipay: every row against its snapshot and the twin, a version's life, lost answers, signatures.

mod certificates;
mod lost;
mod rows;
mod signing;
mod story;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Map, Value, json};
use yizhan::clock::{Clock, Timestamp};
use yizhan::operations::{Desk, OperationError, TokenSource};
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::call::{ApiError, Body, Call, Fields, Part, Reply};
use yizhan::platform::operation::{BadParam, Bearer, Caller, Earlier, LookedUp, Operation, Outcome, Params};
use yizhan::platform::twin::{Request, Verdict};
use yizhan::platform::{Component, Components, TokenKey, Twin};
use yizhan::secret::Secret;
use yizhan::vault::{Served, VaultError};

use crate::alipay::{certified, component, now, sample, twin};

pub const SHOP: &str = "2021000000000003";
pub const TEMPLATE: &str = "2021000000000002";

/// What a lost answer looks like.
#[derive(Clone, Copy, PartialEq)]
pub enum Loss {
    /// The vendor acted.
    Answer,
    /// It never arrived.
    Call,
}

pub enum Failure {
    Bad(Vec<BadParam>),
    Refused(ApiError),
    OutcomeUnknown,
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bad(bad) => write!(f, "bad: {bad:?}"),
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::OutcomeUnknown => f.write_str("outcome unknown"),
        }
    }
}

/// The vendor, a line to it that loses what it is told to lose, the merchant's token, and a clock that leaps.
pub struct Vendor {
    twin: Mutex<Box<dyn Twin>>,
    token: Secret,
    now: Mutex<Timestamp>,
    pauses: Mutex<Vec<Duration>>,
    /// Accepted calls by deed.
    deeds: Mutex<BTreeMap<&'static str, u32>>,
    /// Methods whose next answers get lost.
    losing: Mutex<Vec<(&'static str, Loss)>>,
    /// A version whose audit ends well when a call gets lost.
    ending: Mutex<Option<String>>,
}

#[async_trait::async_trait]
impl Vendors for Vendor {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        assert!(!format!("{call:?}").contains(self.token.expose()), "the token is printed");
        let method = call.query.iter().find(|(name, _)| name == "method").unwrap().1.expose().to_owned();
        let mut losing = self.losing.lock().unwrap();
        let lost = losing.iter().position(|(losing, _)| method.ends_with(losing)).map(|at| losing.remove(at).1);
        let no_answer = || SendError::NoAnswer { target: call.target().to_owned(), cause: String::from("reset") };
        if lost == Some(Loss::Call) {
            if let Some(version) = self.ending.lock().unwrap().take() {
                self.twin.lock().unwrap().audit(SHOP, &version, &Verdict::Passed, self.now());
            }
            return Err(no_answer());
        }
        let answer = self.twin.lock().unwrap().answer(&request(call), self.now());
        if answer.accepted {
            *self.deeds.lock().unwrap().entry(answer.deed).or_default() += 1;
        }
        if lost.is_some() { Err(no_answer()) } else { Ok(answer.reply) }
    }
}

#[async_trait::async_trait]
impl TokenSource for Vendor {
    async fn fresh(&self, _: &str, key: &TokenKey) -> Result<Served, VaultError> {
        assert!(matches!(key, TokenKey::Authorizer { app_id, .. } if app_id == SHOP), "Alipay's applications have no token");
        Ok(Served { token: self.token.clone(), generation: 1, expires_at: None, cache_for: Duration::ZERO })
    }

    async fn report_invalid(&self, component: &str, key: &TokenKey, _: u64) -> Result<Served, VaultError> {
        self.fresh(component, key).await
    }
}

#[async_trait::async_trait]
impl Clock for Vendor {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let mut now = self.now.lock().unwrap();
        self.pauses.lock().unwrap().push(at.duration_since(*now).unsigned_abs());
        *now = at.max(*now);
    }
}

/// The service's desk before that vendor.
pub struct World {
    pub component: Arc<dyn Component>,
    pub token: Secret,
    vendor: Arc<Vendor>,
    desk: Desk,
}

impl World {
    pub fn new() -> Self {
        Self::of(&sample())
    }

    pub fn of(toml: &str) -> Self {
        let (component, mut twin) = (component(toml), twin(toml));
        let token = granted(&*component, &mut *twin);
        let vendor = Arc::new(Vendor {
            twin: Mutex::new(twin),
            token: token.clone(),
            now: Mutex::new(now()),
            pauses: Mutex::default(),
            deeds: Mutex::default(),
            losing: Mutex::default(),
            ending: Mutex::default(),
        });
        let desk = Desk::new(Components::new(vec![component.clone()]), vendor.clone(), vendor.clone(), vendor.clone());
        Self { component, token, vendor, desk }
    }

    pub fn twin(&self) -> MutexGuard<'_, Box<dyn Twin>> {
        self.vendor.twin.lock().unwrap()
    }

    pub fn now(&self) -> Timestamp {
        self.vendor.now()
    }

    pub fn advance(&self, by: jiff::SignedDuration) {
        *self.vendor.now.lock().unwrap() += by;
    }

    /// How often the desk has waited since it was asked last.
    pub fn pauses(&self) -> usize {
        std::mem::take(&mut *self.vendor.pauses.lock().unwrap()).len()
    }

    pub fn lose(&self, method: &'static str, loss: Loss) {
        self.vendor.losing.lock().unwrap().push((method, loss));
    }

    /// The audit of that version ends when the next call gets lost.
    pub fn ends_with_next_loss(&self, version: &str) {
        *self.vendor.ending.lock().unwrap() = Some(version.to_owned());
    }

    /// What is asked after a lost answer, and what that answer to it says.
    pub fn look_up(&self, name: &str, params: Value, node: Value) -> (Value, &'static str) {
        let (asked, answered) = self.looked_up(name, params, node, Earlier::Nothing(self.now()));
        let answered = match answered {
            LookedUp::Done(_) => "done",
            LookedUp::NotDone => "not done",
            LookedUp::NotShown => "not shown",
            LookedUp::Unknown => "unknown",
            LookedUp::Later => "later",
            LookedUp::Stands => "stands",
        };
        (asked, answered)
    }

    /// The same where something may have been sent before.
    pub fn looked_up(&self, name: &str, params: Value, node: Value, earlier: Earlier) -> (Value, LookedUp) {
        let (row, operations) = (self.row(name), self.component.operations());
        let params = Params::check(&row, params.as_object().unwrap().clone()).unwrap();
        let call = operations.look_up(&row, &params, &[], caller(&row, &self.token, self.now())).unwrap();
        let Body::Form(fields) = &call.body else { panic!("{call:?}") };
        let value = |fields: &Fields, name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.expose().to_owned());
        let asked = serde_json::from_str(&value(fields, "biz_content").unwrap()).unwrap();
        let answer = certificates::signed_reply(&value(&call.query, "method").unwrap(), &node.to_string(), "platform", None);
        (asked, operations.looked_up(&row, &params, &[], &answer, earlier))
    }

    /// What was to be lost and was not.
    pub fn unlost(&self) -> usize {
        self.vendor.losing.lock().unwrap().len()
    }

    pub fn row(&self, name: &str) -> Operation {
        let rows = self.component.operations().operations();
        rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}")).clone()
    }

    pub fn call(&self, name: &str, params: Value) -> Result<Outcome, Failure> {
        let authorizer = matches!(self.row(name).bearer, Bearer::Authorizer(_)).then_some(SHOP);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let given = params.as_object().unwrap().clone();
        runtime.block_on(self.desk.carry_out("alipay", authorizer, name, given)).map_err(|error| match error {
            OperationError::Invalid(bad) => Failure::Bad(bad),
            OperationError::Refused(error) => Failure::Refused(error),
            OperationError::OutcomeUnknown { .. } => Failure::OutcomeUnknown,
            other => panic!("{name}: {other:?}"),
        })
    }

    /// The vendor's code for what it refuses.
    pub fn refused(&self, name: &str, params: Value) -> String {
        match self.call(name, params) {
            Err(Failure::Refused(error)) => error.code,
            other => panic!("{name}: {other:?}"),
        }
    }

    pub fn done(&self, name: &str, params: Value) -> Value {
        self.call(name, params.clone()).unwrap_or_else(|failure| panic!("{name} {params}: {failure:?}")).result
    }

    pub fn seen(&self, deed: &str) -> u32 {
        self.vendor.deeds.lock().unwrap().get(deed).copied().unwrap_or_default()
    }

    pub fn status(&self, version: &str) -> Value {
        self.done("package.get", json!({"version": version}))["status"].clone()
    }

    /// To the end of the scan that follows the build.
    pub fn upload(&self, version: &str) {
        self.done("package.upload", json!({"template_id": TEMPLATE, "version": version}));
        self.advance(jiff::SignedDuration::from_secs(5));
    }

    pub fn submit(&self, version: &str) {
        self.done("audit.submit", submission(version));
    }

    pub fn approve(&self, version: &str) {
        self.twin().audit(SHOP, version, &Verdict::Passed, self.now());
    }

    /// From upload to release.
    pub fn publish(&self, version: &str) {
        self.upload(version);
        self.submit(version);
        self.approve(version);
        self.done("package.release", json!({"version": version}));
    }
}

pub fn submission(version: &str) -> Value {
    json!({"version": version, "description": "收信、换马、点灯三项服务上线，另有值夜提醒。", "region": "CHINA", "service_phone": "010-12345678"})
}

pub fn caller<'a>(row: &Operation, token: &'a Secret, now: Timestamp) -> Caller<'a> {
    let authorizer = matches!(row.bearer, Bearer::Authorizer(_)).then_some((SHOP, token));
    Caller { component_token: None, authorizer, now }
}

/// The token of a merchant who grants everything.
pub fn granted(component: &dyn Component, twin: &mut dyn Twin) -> Secret {
    use yizhan::platform::push::{Notice, Opened};
    let push = twin.grant(SHOP, now()).push.unwrap();
    let Opened::Push(push) = component.open(&crate::alipay::arrived(&push)).unwrap() else { panic!("a check") };
    let Notice::Granted(grant) = push.notice else { panic!("no grant") };
    grant.tokens.unwrap().access.value
}

fn encoded(fields: &Fields) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.iter().map(|(name, value)| (name, value.expose()))).finish()
}

/// The call as it would reach the vendor.
pub fn request(call: &Call) -> Request {
    let (kind, body) = match &call.body {
        Body::Form(fields) => (String::from("application/x-www-form-urlencoded; charset=utf-8"), encoded(fields).into_bytes()),
        Body::Multipart(parts) => (String::from("multipart/form-data; boundary=b0undary"), multipart(parts)),
        other => panic!("{other:?}"),
    };
    Request {
        method: call.method,
        path: String::from("/gateway.do"),
        query: encoded(&call.query),
        headers: vec![(String::from("content-type"), kind)],
        body: body.into(),
    }
}

fn multipart(parts: &[Part]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(format!("--b0undary\r\nContent-Disposition: form-data; name=\"{}\"", part.name).as_bytes());
        if let Some(file) = &part.file_name {
            body.extend_from_slice(format!("; filename=\"{file}\"\r\nContent-Type: {}", part.content_type.as_ref().unwrap()).as_bytes());
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(&part.content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b0undary--\r\n");
    body
}

pub fn example(row: &Operation) -> Map<String, Value> {
    row.example()
}
