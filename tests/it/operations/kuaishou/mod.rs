//! Operations of Kuaishou: every row against its snapshot and the twin, settings that switch rows on, a version's life, lost answers.

mod rows;
mod settings;
mod story;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::clock::{Clock, Timestamp};
use yizhan::operations::{Desk, OperationError, TokenSource};
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::call::{Body, Call, Fields, Reply};
use yizhan::platform::operation::{Bearer, Caller, Operation, Outcome};
use yizhan::platform::token::{Family, Standing};
use yizhan::platform::twin::{Request, Verdict};
use yizhan::platform::{self, Component, Components, TokenKey, Twin};
use yizhan::secret::Secret;
use yizhan::settings::{Problem, Settings, Surroundings};
use yizhan::vault::{Served, VaultError};

pub const SHOP: &str = "ks700000000000000007";
const VENDOR: &str = "http://127.0.0.1:9/kuaishou";

/// Everything switched on where the reference predicts it to be.
pub const ALL_ON: &str = r#"
operations."package.upload" = { enabled = true }
operations."package.list" = { enabled = true }
operations."package.release" = { enabled = true }
operations."package.rollback" = { enabled = true }
operations."audit.submit" = { enabled = true }
operations."audit.withdraw" = { enabled = true }
operations."trial.qrcode" = { enabled = true }
operations."capability.apply.short_video" = { enabled = true }
operations."capability.apply.live" = { enabled = true }
operations."capability.apply.publish" = { enabled = true, path = "/openapi/mp/auth/operation/publish_application" }
operations."phone_number.apply" = { enabled = true }
operations."capability.status.short_video" = { enabled = true, status_map = { 1 = "can_apply", 3 = "pending" } }
operations."capability.status.live" = { enabled = true }
operations."capability.status.publish" = { enabled = true, path = "/openapi/mp/auth/operation/publish_application_status" }
operations."phone_number.status" = { enabled = true, status_path = ["data", "status"], status_map = { 3 = "pending" } }
operations."template.list" = { enabled = true }
operations."template.drafts" = { enabled = true }
operations."template.add" = { enabled = true }
operations."template.delete" = { enabled = true }
"#;

pub fn now() -> Timestamp {
    "2026-11-20T07:04:05Z".parse().unwrap()
}

fn kuaishou() -> &'static dyn platform::Platform {
    platform::named("kuaishou").unwrap()
}

fn read(lines: &str) -> Settings {
    Settings::parse(&format!("{}{lines}\n", kuaishou().sample_settings(VENDOR)), Surroundings::default()).unwrap()
}

pub fn component(lines: &str) -> Arc<dyn Component> {
    kuaishou().component("kuaishou", read(lines)).unwrap_or_else(|problems| panic!("{problems:?}"))
}

pub fn problems(lines: &str) -> Vec<Problem> {
    kuaishou().component("kuaishou", read(lines)).err().expect("settings with problems")
}

/// What a lost answer looks like.
#[derive(Clone, Copy, PartialEq)]
pub enum Loss {
    /// The vendor acted.
    Answer,
    /// It never arrived.
    Call,
}

/// The vendor, a line to it that loses what it is told to lose, tokens that are renewed, and a clock that leaps.
pub struct Vendor {
    twin: Mutex<Box<dyn Twin>>,
    component: Arc<dyn Component>,
    /// The component's token and the merchant's.
    tokens: Mutex<(Secret, Secret)>,
    renewals: Mutex<u64>,
    now: Mutex<Timestamp>,
    /// Accepted calls by deed.
    deeds: Mutex<BTreeMap<&'static str, u32>>,
    /// Ends of paths whose next answers get lost.
    losing: Mutex<Vec<(&'static str, Loss)>>,
}

#[async_trait::async_trait]
impl Vendors for Vendor {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let tokens = self.tokens.lock().unwrap().clone();
        let printed = format!("{call:?}");
        assert!(!printed.contains(tokens.0.expose()) && !printed.contains(tokens.1.expose()), "a token is printed");
        let mut losing = self.losing.lock().unwrap();
        let lost = losing.iter().position(|(losing, _)| call.url.ends_with(losing)).map(|at| losing.remove(at).1);
        let no_answer = || SendError::NoAnswer { target: call.target().to_owned(), cause: String::from("reset") };
        if lost == Some(Loss::Call) {
            return Err(no_answer());
        }
        let answer = self.twin.lock().unwrap().answer(&request(call), now());
        if answer.accepted {
            *self.deeds.lock().unwrap().entry(answer.deed).or_default() += 1;
        }
        if lost.is_some() { Err(no_answer()) } else { Ok(answer.reply) }
    }
}

#[async_trait::async_trait]
impl TokenSource for Vendor {
    async fn fresh(&self, _: &str, key: &TokenKey) -> Result<Served, VaultError> {
        let (component, merchant) = self.tokens.lock().unwrap().clone();
        let token = if matches!(key, TokenKey::Authorizer { .. }) { merchant } else { component };
        Ok(Served { token, generation: *self.renewals.lock().unwrap(), expires_at: None, cache_for: Duration::ZERO })
    }

    async fn report_invalid(&self, name: &str, key: &TokenKey, _: u64) -> Result<Served, VaultError> {
        *self.renewals.lock().unwrap() += 1;
        let tokens = obtained(&*self.component, &mut **self.twin.lock().unwrap());
        *self.tokens.lock().unwrap() = tokens;
        self.fresh(name, key).await
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

/// A component's token, and that of a merchant who grants everything.
fn obtained(component: &dyn Component, twin: &mut dyn Twin) -> (Secret, Secret) {
    let ticket = twin.ticket(now()).unwrap();
    let ticket: Value = serde_json::from_slice(&ticket.plain).unwrap();
    let ticket = Secret::new(ticket["componentTicket"].as_str().unwrap());
    let call = component.component_token(Family::Current, &ticket).unwrap();
    let token = component.read_component_token(Family::Current, &twin.answer(&request(&call), now()).reply, now()).unwrap().value;
    let story = twin.grant(SHOP, now());
    let code = story.redirect_query.split(['=', '&']).nth(1).unwrap().to_owned();
    let standing = Standing { family: Family::Current, component_token: Some(&token), now: now() };
    let call = component.exchange(standing, &Secret::new(code));
    let reply = twin.answer(&request(&call), now()).reply;
    let merchant = component.read_tokens(Family::Current, &reply, now()).unwrap().remove(0).access.value;
    (token, merchant)
}

/// The call as it would reach the vendor.
fn request(call: &Call) -> Request {
    let encoded = |fields: &Fields| {
        let pairs = fields.iter().map(|(name, value)| (name, value.expose()));
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    };
    let body = match &call.body {
        Body::Empty => String::new(),
        Body::Json(text) => text.expose().to_owned(),
        Body::Form(fields) => encoded(fields),
        other => panic!("{other:?}"),
    };
    let path = call.url.strip_prefix(VENDOR).unwrap().to_owned();
    Request { method: call.method, path, query: encoded(&call.query), headers: Vec::new(), body: body.into() }
}

/// The service's desk before that vendor.
pub struct World {
    pub component: Arc<dyn Component>,
    vendor: Arc<Vendor>,
    desk: Desk,
}

impl World {
    pub fn new() -> Self {
        Self::of(ALL_ON)
    }

    pub fn of(lines: &str) -> Self {
        let component = component(lines);
        let mut twin = kuaishou().twin(read(lines)).unwrap_or_else(|problems| panic!("{problems:?}"));
        let tokens = obtained(&*component, &mut *twin);
        let vendor = Arc::new(Vendor {
            twin: Mutex::new(twin),
            component: component.clone(),
            tokens: Mutex::new(tokens),
            renewals: Mutex::new(1),
            now: Mutex::new(now()),
            deeds: Mutex::default(),
            losing: Mutex::default(),
        });
        let desk = Desk::new(Components::new(vec![component.clone()]), vendor.clone(), vendor.clone(), vendor.clone());
        Self { component, vendor, desk }
    }

    pub fn twin(&self) -> MutexGuard<'_, Box<dyn Twin>> {
        self.vendor.twin.lock().unwrap()
    }

    pub fn renewals(&self) -> u64 {
        *self.vendor.renewals.lock().unwrap() - 1
    }

    /// The tokens, the component's and the merchant's.
    pub fn tokens(&self) -> (Secret, Secret) {
        self.vendor.tokens.lock().unwrap().clone()
    }

    pub fn lose(&self, path: &'static str, loss: Loss) {
        self.vendor.losing.lock().unwrap().push((path, loss));
    }

    pub fn row(&self, name: &str) -> Operation {
        let rows = self.component.operations().operations();
        rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}")).clone()
    }

    pub fn call(&self, name: &str, params: Value) -> Result<Outcome, OperationError> {
        let authorizer = matches!(self.row(name).bearer, Bearer::Authorizer(_)).then_some(SHOP);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.desk.carry_out("kuaishou", authorizer, name, params.as_object().unwrap().clone()))
    }

    /// What the next process does with what this one may have sent.
    pub fn resume(&self, name: &str, params: Value) -> Result<Outcome, OperationError> {
        let authorizer = matches!(self.row(name).bearer, Bearer::Authorizer(_)).then_some(SHOP);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let checked = self.desk.check("kuaishou", authorizer, name, params.as_object().unwrap().clone())?;
        runtime.block_on(self.desk.resume(checked, self.vendor.now()))
    }

    pub fn done(&self, name: &str, params: Value) -> Value {
        self.call(name, params.clone()).unwrap_or_else(|error| panic!("{name} {params}: {error:?}")).result
    }

    /// The vendor's code for what it refuses, or ours.
    pub fn refused(&self, name: &str, params: Value) -> String {
        match self.call(name, params) {
            Err(OperationError::Refused(error)) => error.code,
            other => panic!("{name}: {other:?}"),
        }
    }

    pub fn seen(&self, deed: &str) -> u32 {
        self.vendor.deeds.lock().unwrap().get(deed).copied().unwrap_or_default()
    }

    /// The version of that stage, `null` where there is none.
    pub fn stage(&self, stage: &str) -> Value {
        let items = self.done("package.list", json!({}))["items"].as_array().unwrap().clone();
        items.into_iter().find(|item| item["stage"] == stage).unwrap_or_default()
    }

    pub fn upload(&self, version: &str) {
        self.done("package.upload", json!({"template_id": 12, "version": version, "description": "驿站"}));
    }

    pub fn approve(&self, version: &str) {
        self.done("audit.submit", json!({}));
        self.twin().audit(SHOP, version, &Verdict::Passed, now());
    }

    /// From upload to release.
    pub fn publish(&self, version: &str) {
        self.upload(version);
        self.approve(version);
        self.done("package.release", json!({}));
    }
}

pub fn caller<'a>(row: &Operation, (component, merchant): &'a (Secret, Secret)) -> Caller<'a> {
    let authorizer = matches!(row.bearer, Bearer::Authorizer(_)).then_some((SHOP, merchant));
    Caller { component_token: Some(component), authorizer, now: now() }
}

/// An answer that says yes and nothing else.
pub fn nothing() -> Reply {
    Reply { status: 200, content_type: String::from("application/json"), body: "{\"result\":1}".into() }
}
