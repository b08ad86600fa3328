//! Operations of Alipay: every row against its snapshot and the twin, a version's life, lost answers, signatures.

mod certificates;
mod lost;
mod rows;
mod signing;
mod story;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use yizhan::clock::Timestamp;
use yizhan::platform::call::{ApiError, Body, Call, Fields, Part, Reply};
use yizhan::platform::operation::{BadParam, Bearer, Caller, Effect, LookedUp, Next, Operation, Outcome, Params};
use yizhan::platform::twin::{Answer, Request, Verdict};
use yizhan::platform::{Component, Twin};
use yizhan::secret::Secret;

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

/// A component, its vendor, and a desk that does what the service's own does.
pub struct World {
    pub component: std::sync::Arc<dyn Component>,
    pub twin: Box<dyn Twin>,
    pub token: Secret,
    pub now: Timestamp,
    /// Accepted calls by deed.
    pub deeds: BTreeMap<&'static str, u32>,
    pub waits: Vec<Duration>,
    /// Methods whose next answers get lost.
    pub losing: Vec<(&'static str, Loss)>,
}

impl World {
    pub fn new() -> Self {
        Self::of(&sample())
    }

    pub fn of(toml: &str) -> Self {
        let (component, mut twin) = (component(toml), twin(toml));
        let token = granted(&*component, &mut *twin);
        Self { component, twin, token, now: now(), deeds: BTreeMap::new(), waits: Vec::new(), losing: Vec::new() }
    }

    pub fn row(&self, name: &str) -> Operation {
        let rows = self.component.operations().operations();
        rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}")).clone()
    }

    /// As the desk: next step, send, look up what must not be repeated.
    pub fn call(&mut self, name: &str, params: Value) -> Result<Outcome, Failure> {
        let row = self.row(name);
        let params = Params::check(&row, params.as_object().unwrap().clone()).map_err(Failure::Bad)?;
        let (component, token, mut replies) = (self.component.clone(), self.token.clone(), Vec::new());
        let operations = component.operations();
        for _ in 0..60 {
            let caller = caller(&row, &token, self.now);
            let call = match operations.next(&row, &params, &replies, caller) {
                Next::Done(outcome) => return Ok(*outcome),
                Next::Refused(error) => return Err(Failure::Refused(error)),
                Next::Call(call) => call,
                Next::After(wait, call) => {
                    self.waits.push(wait);
                    self.now += jiff::SignedDuration::try_from(wait).unwrap();
                    call
                }
            };
            assert!(!format!("{call:?}").contains(token.expose()), "{name}: the token is printed");
            loop {
                if let Some(reply) = self.send(&call) {
                    replies.push(reply);
                    break;
                }
                if row.effect != Effect::Once {
                    continue;
                }
                let question = operations.look_up(&row, &params, &replies, caller).ok_or(Failure::OutcomeUnknown)?;
                let found = self.send(&question).ok_or(Failure::OutcomeUnknown)?;
                match operations.looked_up(&row, &params, &replies, &found) {
                    LookedUp::Done(outcome) => return Ok(*outcome),
                    LookedUp::Stands => {
                        replies.push(found);
                        break;
                    }
                    LookedUp::NotDone => {}
                    LookedUp::Unknown => return Err(Failure::OutcomeUnknown),
                }
            }
        }
        panic!("{name} does not end");
    }

    /// The vendor's code for what it refuses.
    pub fn refused(&mut self, name: &str, params: Value) -> String {
        match self.call(name, params) {
            Err(Failure::Refused(error)) => error.code,
            other => panic!("{name}: {other:?}"),
        }
    }

    pub fn done(&mut self, name: &str, params: Value) -> Value {
        self.call(name, params.clone()).unwrap_or_else(|failure| panic!("{name} {params}: {failure:?}")).result
    }

    fn send(&mut self, call: &Call) -> Option<Reply> {
        let method = call.query.iter().find(|(name, _)| name == "method").unwrap().1.expose().to_owned();
        let lost = self.losing.iter().position(|(losing, _)| method.ends_with(losing)).map(|at| self.losing.remove(at).1);
        if lost == Some(Loss::Call) {
            return None;
        }
        let answer = self.twin.answer(&request(call), self.now);
        self.count(&answer);
        lost.is_none().then_some(answer.reply)
    }

    fn count(&mut self, answer: &Answer) {
        if answer.accepted {
            *self.deeds.entry(answer.deed).or_default() += 1;
        }
    }

    pub fn seen(&self, deed: &str) -> u32 {
        self.deeds.get(deed).copied().unwrap_or_default()
    }

    pub fn status(&mut self, version: &str) -> Value {
        self.done("package.get", json!({"version": version}))["status"].clone()
    }

    pub fn upload(&mut self, version: &str) {
        self.done("package.upload", json!({"template_id": TEMPLATE, "version": version}));
    }

    pub fn submit(&mut self, version: &str) {
        self.done("audit.submit", submission(version));
    }

    pub fn approve(&mut self, version: &str) {
        self.twin.audit(SHOP, version, &Verdict::Passed, self.now);
    }

    /// From upload to release.
    pub fn publish(&mut self, version: &str) {
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
