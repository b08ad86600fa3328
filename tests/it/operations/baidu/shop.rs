//! A component with its twin and a merchant, and a carrier between them that can lose answers.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use yizhan::clock::{Clock, Timestamp};
use yizhan::operations::{Desk, OperationError, TokenSource};
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::call::{ApiError, Body, Fields, Value as Sent};
use yizhan::platform::operation::{BadParam, Bearer, Caller, Operation, Outcome};
use yizhan::platform::push::{Door, Notice};
use yizhan::platform::token::{Family, Standing};
use yizhan::platform::twin::{Request, Verdict};
use yizhan::platform::{Call, Component, Components, Method, Reply, TokenKey, Twin};
use yizhan::secret::Secret;
use yizhan::vault::{Served, VaultError};

use crate::sorted_envelope::{VENDOR, arrived, noon, pair, pushed};

pub const MERCHANT: &str = "1452365";
const BOUNDARY: &str = "sample-boundary";

/// Why an operation gave no result.
#[derive(Debug)]
pub enum Failure {
    Invalid(Vec<BadParam>),
    Refused(ApiError),
    /// Refused for now, and perhaps done all the same.
    Doubted,
    /// A call that must not be repeated was lost, and nothing tells what became of it.
    Unknown,
}

/// What happens to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The vendor acts, its answer is lost.
    Answer,
    /// The vendor never hears of it.
    Call,
}

pub struct Shop {
    pub component: Arc<dyn Component>,
    pub twin: Box<dyn Twin>,
    pub now: Timestamp,
    pub tp: Secret,
    pub app: Secret,
    /// The next call to an address that ends so is lost.
    pub lose: Option<(&'static str, Loss)>,
    /// The next calls to addresses that end so are answered with this, and the vendor does nothing.
    pub instead: Vec<(&'static str, Value)>,
    /// Everything sent, in order.
    pub calls: Vec<Call>,
    /// What the vendor did, in order.
    pub deeds: Vec<&'static str>,
    /// How long was waited.
    pub waited: Duration,
}

/// The shop as the desk sees it: a vendor, a source of tokens and a clock that leaps.
struct Line(Mutex<Shop>);

impl Line {
    fn shop(&self) -> MutexGuard<'_, Shop> {
        self.0.lock().unwrap()
    }

    fn served(&self, key: &TokenKey) -> Served {
        let shop = self.shop();
        let token = if matches!(key, TokenKey::Component(_)) { &shop.tp } else { &shop.app };
        Served { token: token.clone(), generation: 1, expires_at: None, cache_for: Duration::ZERO }
    }
}

#[async_trait::async_trait]
impl Vendors for Line {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let lost = || SendError::NoAnswer { target: call.target().to_owned(), cause: String::from("reset") };
        self.shop().send(call).ok_or_else(lost)
    }
}

#[async_trait::async_trait]
impl TokenSource for Line {
    async fn fresh(&self, _: &str, key: &TokenKey) -> Result<Served, VaultError> {
        Ok(self.served(key))
    }

    async fn report_invalid(&self, _: &str, key: &TokenKey, _: u64) -> Result<Served, VaultError> {
        match key {
            TokenKey::Component(_) => self.shop().renew_tp(),
            TokenKey::Authorizer { .. } => self.shop().renew_app(),
        }
        Ok(self.served(key))
    }
}

#[async_trait::async_trait]
impl Clock for Line {
    fn now(&self) -> Timestamp {
        self.shop().now
    }

    async fn sleep_until(&self, at: Timestamp) {
        let mut shop = self.shop();
        let wait = at.duration_since(shop.now).unsigned_abs();
        shop.waited += wait;
        shop.now = shop.now.max(at);
    }
}

pub fn params(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub fn picture(name: &str) -> Value {
    json!({"file_name": name, "content_base64": "iVBORw0KGgo="})
}

impl Shop {
    fn empty() -> Self {
        let (component, twin) = pair("baidu", "");
        let secret = || Secret::new("");
        Self {
            component,
            twin,
            now: noon(),
            tp: secret(),
            app: secret(),
            lose: None,
            instead: Vec::new(),
            calls: Vec::new(),
            deeds: Vec::new(),
            waited: Duration::ZERO,
        }
    }

    pub fn open() -> Self {
        let mut shop = Self::empty();
        shop.renew_tp();
        shop.renew_app();
        shop.calls.clear();
        shop.deeds.clear();
        shop
    }

    pub fn renew_tp(&mut self) {
        let push = self.twin.ticket(self.now).unwrap();
        let Notice::Ticket(ticket) = pushed(self.component.open(&arrived(&push, self.now))).notice else { panic!() };
        let call = self.component.component_token(Family::Current, &ticket.value).unwrap();
        let reply = self.send(&call).unwrap();
        self.tp = self.component.read_component_token(Family::Current, &reply, self.now).unwrap().value;
    }

    pub fn renew_app(&mut self) {
        let story = self.twin.grant(MERCHANT, self.now);
        let code = self.component.returned(&story.redirect_query, self.now).unwrap().code.value;
        let standing = Standing { family: Family::Current, component_token: Some(&self.tp), now: self.now };
        let call = self.component.exchange(standing, &code);
        let reply = self.send(&call).unwrap();
        self.app = self.component.read_tokens(Family::Current, &reply, self.now).unwrap().remove(0).access.value;
    }

    pub fn row(&self, name: &str) -> Operation {
        self.component.operations().operations().iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}")).clone()
    }

    /// One exchange; nothing when it is lost.
    fn send(&mut self, call: &Call) -> Option<Reply> {
        self.calls.push(call.clone());
        let loss = self.lose.filter(|(ending, _)| call.url.ends_with(ending)).map(|(_, loss)| loss);
        if loss.is_some() {
            self.lose = None;
        }
        if loss == Some(Loss::Call) {
            return None;
        }
        if let Some(at) = self.instead.iter().position(|(ending, _)| call.url.ends_with(ending)) {
            let (_, body) = self.instead.remove(at);
            return Some(Reply { status: 200, content_type: String::from("application/json"), body: body.to_string().into() });
        }
        let answer = self.twin.answer(&request(call), self.now);
        if answer.accepted {
            self.deeds.push(answer.deed);
        }
        if loss.is_some() { None } else { Some(answer.reply) }
    }

    pub fn caller<'a>(&'a self, operation: &Operation) -> Caller<'a> {
        let authorizer = matches!(operation.bearer, Bearer::Authorizer(_)).then_some((MERCHANT, &self.app));
        Caller { component_token: Some(&self.tp), authorizer, now: self.now }
    }

    /// Carries an operation out at the service's desk.
    pub fn carry(&mut self, name: &str, given: Value) -> Result<Outcome, Failure> {
        self.at_the_desk(name, async |desk, authorizer| desk.carry_out("shop", authorizer, name, params(given)).await)
    }

    /// What the next process does with what this one may have sent.
    pub fn resume(&mut self, name: &str, given: Value) -> Result<Outcome, Failure> {
        let since = self.now;
        self.at_the_desk(name, async |desk, authorizer| desk.resume(desk.check("shop", authorizer, name, params(given))?, since).await)
    }

    fn at_the_desk(
        &mut self,
        name: &str,
        asks: impl AsyncFnOnce(&Desk, Option<&'static str>) -> Result<Outcome, OperationError>,
    ) -> Result<Outcome, Failure> {
        let authorizer = matches!(self.row(name).bearer, Bearer::Authorizer(_)).then_some(MERCHANT);
        let line = Arc::new(Line(Mutex::new(std::mem::replace(self, Self::empty()))));
        let desk = Desk::new(Components::new(vec![Arc::clone(&line.shop().component)]), line.clone(), line.clone(), line.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let told = runtime.block_on(asks(&desk, authorizer));
        drop(desk);
        *self = Arc::into_inner(line).unwrap().0.into_inner().unwrap();
        told.map_err(|error| match error {
            OperationError::Invalid(bad) => Failure::Invalid(bad),
            OperationError::Refused(error) => Failure::Refused(error),
            OperationError::Doubted { .. } => Failure::Doubted,
            OperationError::OutcomeUnknown { .. } => Failure::Unknown,
            other => panic!("{name}: {other:?}"),
        })
    }

    /// The result in normal names.
    pub fn done(&mut self, name: &str, given: Value) -> Value {
        self.carry(name, given).unwrap_or_else(|failure| panic!("{name}: {failure:?}")).result
    }

    /// The vendor's code.
    pub fn refused(&mut self, name: &str, given: Value) -> ApiError {
        match self.carry(name, given) {
            Err(Failure::Refused(error)) => error,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The names of parameters that do not fit.
    pub fn misfits(&mut self, name: &str, given: Value) -> Vec<String> {
        match self.carry(name, given) {
            Err(Failure::Invalid(bad)) => bad.into_iter().map(|bad| bad.name).collect(),
            other => panic!("{name}: {other:?}"),
        }
    }

    pub fn say(&mut self, event: &str, more: Value) {
        let mut body = json!({"appId": 1_452_365, "tpAppId": 17_328_232, "event": event});
        body.as_object_mut().unwrap().extend(params(more));
        self.twin.say(Door::Message, &body.to_string(), self.now);
    }

    /// A package of that version in development: its id.
    pub fn upload(&mut self, version: &str) -> String {
        let result = self.done("package.upload", json!({"template_id": 12, "version": version, "description": "d"}));
        result["package_id"].as_str().unwrap().to_owned()
    }

    pub fn approve(&mut self, version: &str) -> String {
        let id = self.upload(version);
        self.done("audit.submit", json!({"package_id": id, "description": "d"}));
        self.twin.audit(MERCHANT, version, &Verdict::Passed, self.now);
        id
    }

    pub fn release(&mut self, version: &str) -> String {
        let id = self.approve(version);
        self.done("package.release", json!({"package_id": id}));
        id
    }

    pub fn count(&self, deed: &str) -> usize {
        self.deeds.iter().filter(|done| **done == deed).count()
    }

    /// Brings about what the example of a row needs.
    pub fn prepare(&mut self, name: &str) {
        match name {
            "server_domain.delete" => drop(self.example("server_domain.add")),
            "webview_domain.delete" => drop(self.example("webview_domain.add")),
            "component_server_domain.delete" => drop(self.example("component_server_domain.add")),
            "component_webview_domain.delete" => drop(self.example("component_webview_domain.set")),
            "category.modify" | "category.delete" => {
                self.example("category.add");
                self.say("APP_CATEGORY_AUDIT_PASS", json!({}));
            }
            "package.get" | "audit.submit" | "trial.qrcode" => drop(self.upload("1.0.3")),
            "audit.withdraw" => {
                self.upload("1.0.3");
                self.done("audit.submit", json!({}));
            }
            "package.release" => drop(self.approve("1.0.3")),
            "package.rollback" => {
                self.approve("1.0.3");
                self.release("1.0.2");
                self.done("package.release", json!({"version": "1.0.3"}));
            }
            "qrcode.create" => drop(self.release("1.0.3")),
            "traffic.resume" => drop(self.example("traffic.pause")),
            "traffic.appeal" => {
                self.release("1.0.3");
                self.say("FLOW_CLOSE_NOTIFY", json!({}));
            }
            "profile.correct" => self.say("APP_FORCE_OFFLINE", json!({})),
            _ => {}
        }
        self.calls.clear();
        self.deeds.clear();
    }

    pub fn example(&mut self, name: &str) -> Outcome {
        let example = Value::Object(self.row(name).example());
        self.carry(name, example).unwrap_or_else(|failure| panic!("{name}: {failure:?}"))
    }
}

fn encoded(fields: &Fields) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        form.append_pair(name, value.expose());
    }
    form.finish()
}

/// The call as it reaches the vendor.
pub fn request(call: &Call) -> Request {
    let (kind, body): (String, Bytes) = match &call.body {
        Body::Empty => (String::new(), Bytes::new()),
        Body::Form(fields) => (String::from("application/x-www-form-urlencoded"), encoded(fields).into()),
        Body::Json(text) => (String::from("application/json"), text.expose().to_owned().into()),
        Body::Multipart(parts) => {
            let mut body = Vec::new();
            for part in parts {
                let file = part.file_name.as_ref().map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
                let header = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{}\"{file}\r\n\r\n", part.name);
                body.extend([header.as_bytes(), &part.content, b"\r\n"].concat());
            }
            body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
            (format!("multipart/form-data; boundary={BOUNDARY}"), body.into())
        }
    };
    Request {
        method: call.method,
        path: call.url.strip_prefix(VENDOR).unwrap().to_owned(),
        query: encoded(&call.query),
        headers: vec![(String::from("content-type"), kind)],
        body,
    }
}

/// A call as a text for people, without secrets.
pub fn written(call: &Call) -> String {
    let value = |name: &str, value: &Sent| match value {
        Sent::Secret(_) if name == "access_token" => String::from("[token]"),
        Sent::Secret(_) => String::from("[secret]"),
        Sent::Plain(text) => text.clone(),
    };
    let method = if call.method == Method::Get { "GET" } else { "POST" };
    let mut text = format!("{method} {}\n", call.url.replace(VENDOR, "https://openapi.baidu.com"));
    for (name, held) in &call.query {
        text += &format!("query {name}: {}\n", value(name, held));
    }
    for (name, held) in &call.headers {
        text += &format!("header {name}: {}\n", value(name, held));
    }
    match &call.body {
        Body::Empty => {}
        Body::Form(fields) => fields.iter().for_each(|(name, held)| text += &format!("form {name}: {}\n", value(name, held))),
        Body::Json(held) => text += &format!("json {}\n", value("", held)),
        Body::Multipart(parts) => {
            for part in parts {
                match &part.file_name {
                    Some(file) => {
                        text += &format!(
                            "part {}: {file} {} [{} bytes]\n",
                            part.name,
                            part.content_type.as_deref().unwrap_or("-"),
                            part.content.len()
                        );
                    }
                    None => text += &format!("part {}: {}\n", part.name, String::from_utf8_lossy(&part.content)),
                }
            }
        }
    }
    text
}
