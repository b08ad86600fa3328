//! Operations of Douyin: every row against its snapshot and the twin, a version's life, lost answers, what does not fit.

mod lost;
mod rows;
mod story;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Map, Value, json};
use yizhan::clock::{Clock, Timestamp};
use yizhan::operations::{Desk, OperationError, TokenSource};
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::call::{ApiError, Body, Call, Fields, Part, Reply};
use yizhan::platform::operation::{BadParam, Bearer, Caller, Operation, Outcome};
use yizhan::platform::push::{Door, Notice};
use yizhan::platform::token::{Family, Recovered, Standing};
use yizhan::platform::twin::{Request, Verdict};
use yizhan::platform::{Component, Components, TokenKey, Twin};
use yizhan::secret::Secret;
use yizhan::vault::{Served, VaultError};

use crate::sorted_envelope::{VENDOR, arrived, noon, pair, pushed};

pub const SHOP: &str = "ttffff0123456789ab";
pub const TEMPLATE: &str = "9133504853504530001";

/// What a lost answer looks like.
#[derive(Clone, Copy, PartialEq)]
pub enum Loss {
    /// The vendor acted.
    Answer,
    /// It never arrived.
    Call,
}

#[derive(Debug)]
pub enum Failure {
    Bad(Vec<BadParam>),
    Refused(ApiError),
    OutcomeUnknown,
    /// Refused for now, and perhaps done all the same.
    Doubted,
}

/// The vendor, a line to it that loses what it is told to lose, our tokens, and a clock that leaps.
pub struct Vendor {
    component: Arc<dyn Component>,
    twin: Mutex<Box<dyn Twin>>,
    tokens: Mutex<BTreeMap<TokenKey, (Secret, u64)>>,
    now: Mutex<Timestamp>,
    /// Everything that was sent.
    sent: Mutex<Vec<Call>>,
    /// Accepted calls by deed.
    deeds: Mutex<BTreeMap<&'static str, u32>>,
    /// Ends of addresses whose next answers get lost.
    losing: Mutex<Vec<(&'static str, Loss)>>,
    /// Ends of addresses whose next answers are these.
    instead: Mutex<Vec<(&'static str, Reply)>>,
}

fn take<T>(from: &Mutex<Vec<(&'static str, T)>>, url: &str) -> Option<T> {
    let mut from = from.lock().unwrap();
    from.iter().position(|(end, _)| url.trim_end_matches('/').ends_with(end)).map(|at| from.remove(at).1)
}

#[async_trait::async_trait]
impl Vendors for Vendor {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let printed = format!("{call:?}");
        assert!(self.tokens.lock().unwrap().values().all(|(token, _)| !printed.contains(token.expose())), "a token is printed");
        self.sent.lock().unwrap().push(call.clone());
        let lost = take(&self.losing, &call.url);
        let no_answer = || SendError::NoAnswer { target: call.target().to_owned(), cause: String::from("reset") };
        if lost == Some(Loss::Call) {
            return Err(no_answer());
        }
        if let Some(reply) = take(&self.instead, &call.url) {
            return Ok(reply);
        }
        let answer = self.twin.lock().unwrap().answer(&request(call), self.now());
        if answer.accepted {
            *self.deeds.lock().unwrap().entry(answer.deed).or_default() += 1;
        }
        if lost.is_some() { Err(no_answer()) } else { Ok(answer.reply) }
    }
}

impl Vendor {
    fn exchange(&self, call: &Call) -> Reply {
        self.twin.lock().unwrap().answer(&request(call), self.now()).reply
    }

    /// A new token, as the vault would win one.
    fn win(&self, key: &TokenKey) -> Secret {
        let (component, now, family) = (&self.component, self.now(), key.family());
        let push = self.twin.lock().unwrap().ticket(now).unwrap();
        let Notice::Ticket(ticket) = pushed(component.open(&arrived(&push, now))).notice else { panic!("no ticket") };
        let reply = self.exchange(&component.component_token(family, &ticket.value).unwrap());
        let own = component.read_component_token(family, &reply, now).unwrap().value;
        let TokenKey::Authorizer { app_id, .. } = key else { return own };
        self.tokens.lock().unwrap().insert(TokenKey::Component(family), (own.clone(), 1));
        let standing = Standing { family, component_token: Some(&own), now };
        let reply = self.exchange(&component.recover(standing, app_id).unwrap());
        let Recovered::Code(code) = component.read_recovered(family, app_id, &reply, now).unwrap() else { panic!("no code") };
        let reply = self.exchange(&component.exchange(standing, &code.value));
        component.read_tokens(family, &reply, now).unwrap().remove(0).access.value
    }
}

#[async_trait::async_trait]
impl TokenSource for Vendor {
    async fn fresh(&self, component: &str, key: &TokenKey) -> Result<Served, VaultError> {
        let held = self.tokens.lock().unwrap().get(key).cloned();
        match held {
            Some((token, generation)) => Ok(Served { token, generation, expires_at: None, cache_for: Duration::ZERO }),
            None => self.report_invalid(component, key, 0).await,
        }
    }

    async fn report_invalid(&self, component: &str, key: &TokenKey, generation: u64) -> Result<Served, VaultError> {
        let token = self.win(key);
        self.tokens.lock().unwrap().insert(key.clone(), (token, generation + 1));
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
        *now = at.max(*now);
    }
}

/// The service's desk before that vendor.
pub struct World {
    pub component: Arc<dyn Component>,
    vendor: Arc<Vendor>,
    desk: Desk,
}

impl World {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With more settings of the component.
    pub fn with(settings: &str) -> Self {
        let (component, mut twin) = pair("douyin", settings);
        twin.grant(SHOP, noon());
        let vendor = Arc::new(Vendor {
            component: component.clone(),
            twin: Mutex::new(twin),
            tokens: Mutex::default(),
            now: Mutex::new(noon()),
            sent: Mutex::default(),
            deeds: Mutex::default(),
            losing: Mutex::default(),
            instead: Mutex::default(),
        });
        let desk = Desk::new(Components::new(vec![component.clone()]), vendor.clone(), vendor.clone(), vendor.clone());
        Self { component, vendor, desk }
    }

    pub fn twin(&self) -> MutexGuard<'_, Box<dyn Twin>> {
        self.vendor.twin.lock().unwrap()
    }

    pub fn now(&self) -> Timestamp {
        self.vendor.now()
    }

    pub fn advance(&self, seconds: i64) {
        *self.vendor.now.lock().unwrap() += jiff::SignedDuration::from_secs(seconds);
    }

    pub fn lose(&self, end: &'static str, loss: Loss) {
        self.vendor.losing.lock().unwrap().push((end, loss));
    }

    pub fn answer_instead(&self, end: &'static str, status: u16, body: impl Into<bytes::Bytes>) {
        let reply = Reply { status, content_type: String::from("application/json"), body: body.into() };
        self.vendor.instead.lock().unwrap().push((end, reply));
    }

    /// What was to be lost and was not.
    pub fn unlost(&self) -> usize {
        self.vendor.losing.lock().unwrap().len()
    }

    /// What was sent since this was asked last.
    pub fn sent(&self) -> Vec<Call> {
        std::mem::take(&mut *self.vendor.sent.lock().unwrap())
    }

    /// Every token that is held, in this text as `[token]`; the paths of uploads, which are random, as `[path]`.
    pub fn hidden(&self, text: &str) -> String {
        let mut hidden = text.to_owned();
        for (token, _) in self.vendor.tokens.lock().unwrap().values() {
            hidden = hidden.replace(token.expose(), "[token]");
        }
        while let Some(at) = hidden.find("\"material/") {
            hidden.replace_range(at + 1..at + "\"material/".len() + 32, "[path]");
        }
        hidden
    }

    pub fn rows(&self) -> &[Operation] {
        self.component.operations().operations()
    }

    pub fn row(&self, name: &str) -> &Operation {
        self.rows().iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"))
    }

    fn told(&self, name: &str, asked: impl Future<Output = Result<Outcome, OperationError>>) -> Result<Outcome, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(asked).map_err(|error| match error {
            OperationError::Invalid(bad) => Failure::Bad(bad),
            OperationError::Refused(error) => Failure::Refused(error),
            OperationError::OutcomeUnknown { .. } => Failure::OutcomeUnknown,
            OperationError::Doubted { .. } => Failure::Doubted,
            other => panic!("{name}: {other:?}"),
        })
    }

    fn authorizer(&self, name: &str) -> Option<&'static str> {
        matches!(self.row(name).bearer, Bearer::Authorizer(_)).then_some(SHOP)
    }

    pub fn call(&self, name: &str, params: Value) -> Result<Outcome, Failure> {
        let given = params.as_object().unwrap().clone();
        self.told(name, self.desk.carry_out("shop", self.authorizer(name), name, given))
    }

    /// What the next process does with what this one may have sent.
    pub fn resume(&self, name: &str, params: Value) -> Result<Outcome, Failure> {
        let checked = self.desk.check("shop", self.authorizer(name), name, params.as_object().unwrap().clone()).unwrap();
        self.told(name, self.desk.resume(checked, self.now()))
    }

    pub fn done(&self, name: &str, params: Value) -> Value {
        self.call(name, params.clone()).unwrap_or_else(|failure| panic!("{name} {params}: {failure:?}")).result
    }

    /// The vendor's code for what it refuses.
    pub fn refused(&self, name: &str, params: Value) -> String {
        match self.call(name, params) {
            Err(Failure::Refused(error)) => error.code,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The parameters that are named as bad.
    pub fn bad(&self, name: &str, params: Value) -> Vec<String> {
        match self.call(name, params) {
            Err(Failure::Bad(bad)) => bad.into_iter().map(|bad| bad.name).collect(),
            other => panic!("{name}: {other:?}"),
        }
    }

    pub fn seen(&self, deed: &str) -> u32 {
        self.vendor.deeds.lock().unwrap().get(deed).copied().unwrap_or_default()
    }

    pub fn upload(&self, version: &str) {
        self.done("package.upload", json!({"template_id": TEMPLATE, "version": version, "description": "d"}));
    }

    pub fn submit(&self) {
        self.advance(10);
        self.done("audit.submit", json!({"hosts": ["douyin", "toutiao"]}));
    }

    pub fn approve(&self) {
        self.twin().audit(SHOP, "", &Verdict::Passed, self.now());
    }

    /// From upload to release.
    pub fn publish(&self, version: &str) {
        self.upload(version);
        self.submit();
        self.approve();
        self.done("package.release", json!({}));
    }

    /// One stage of the version list.
    pub fn stage(&self, stage: &str) -> Value {
        self.done("package.get", json!({"stage": stage}))
    }

    /// The vendor says that, and means it.
    pub fn decide(&self, event: &str, mut more: Value) {
        more["AppId"] = json!(SHOP);
        more["Event"] = json!(event);
        let now = self.now();
        self.twin().say(Door::Message, &more.to_string(), now);
    }

    /// Decides on a category that was set.
    pub fn decide_category(&self, category: &str, status: i64) {
        self.decide("MODIFY_APP_CATEGORY", json!({"ModifyAppCategoryResults": [{"category": category, "status": status}]}));
    }
}

pub fn caller<'a>(row: &Operation, token: &'a Secret) -> Caller<'a> {
    let authorizer = matches!(row.bearer, Bearer::Authorizer(_)).then_some((SHOP, token));
    Caller { component_token: Some(token), authorizer, now: noon() }
}

pub fn picture(name: &str) -> Value {
    json!({"file_name": name, "content_base64": "iVBORw0KGgo="})
}

pub fn example(row: &Operation) -> Map<String, Value> {
    row.example()
}

pub fn is_v1(row: &Operation) -> bool {
    matches!(row.bearer, Bearer::Authorizer(Family::V1) | Bearer::Component(Family::V1))
}

fn encoded(fields: &Fields) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.iter().map(|(name, value)| (name, value.expose()))).finish()
}

/// The call as it would reach the vendor.
fn request(call: &Call) -> Request {
    let (kind, body) = match &call.body {
        Body::Empty => (String::new(), Vec::new()),
        Body::Json(text) => (String::from("application/json"), text.expose().as_bytes().to_vec()),
        Body::Multipart(parts) => (String::from("multipart/form-data; boundary=b0undary"), multipart(parts)),
        other => panic!("{other:?}"),
    };
    let mut headers: Vec<_> = call.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    headers.push((String::from("content-type"), kind));
    Request {
        method: call.method,
        path: call.url.strip_prefix(VENDOR).unwrap().to_owned(),
        query: encoded(&call.query),
        headers,
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
