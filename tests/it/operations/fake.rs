//! A made-up platform with a handful of operations, a vendor that can be told what goes wrong, and a clock that leaps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};
use yizhan::clock::{Clock, Timestamp};
use yizhan::operations::{Desk, OperationError, TokenSource};
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::call::{Call, Class, Method, Reply};
use yizhan::platform::diagnose::{Diagnose, Diagnosis};
use yizhan::platform::operation::{
    Answers, Bearer, Caller, Earlier, Effect, Kind, LookedUp, Next, Operation, Operations, Outcome, Param, Params, Place,
};
use yizhan::platform::push::Pushes;
use yizhan::platform::token::{
    Family, Link, LinkRequest, LostReply, Recovered, Refresh, Renewal, Returned, Standing, TicketRule, Token, TokenKey, Tokens,
};
use yizhan::platform::{Acknowledgement, ApiError, AuthorizerTokens, Component, Components, Opened, Platform, PushError, RawPush, Title};
use yizhan::secret::Secret;
use yizhan::vault::{Served, VaultError};

/// Name of the made-up component.
pub const SHOP: &str = "shop";
/// App id of a made-up merchant.
pub const MERCHANT: &str = "app1";

/// A component with made-up operations.
pub struct Fake {
    rows: Vec<Operation>,
    needs_component_token: bool,
}

fn row(name: &'static str, method: Method, path: &'static str, effect: Effect, bearer: Bearer) -> Operation {
    Operation {
        name,
        title: Title { zh: "做", en: "do" },
        bearer,
        method,
        path: path.into(),
        params: vec![Param {
            name: "count",
            kind: Kind::Number(1, 5),
            required: false,
            place: Place::Query("count".into()),
            title: Title { zh: "数", en: "count" },
            example: "3",
        }],
        effect,
        answers: Answers::Json,
        reference: "none",
        disabled: None,
    }
}

impl Fake {
    fn new(needs_component_token: bool) -> Self {
        let authorizer = Bearer::Authorizer(Family::Current);
        let mut off = row("thing.off", Method::Post, "/deed", Effect::Once, authorizer);
        off.disabled = Some(String::from("[components.shop.thing]\nenabled = true"));
        let rows = vec![
            row("thing.get", Method::Get, "/read", Effect::Read, authorizer),
            row("thing.set", Method::Post, "/deed", Effect::Repeatable, authorizer),
            row("thing.do", Method::Post, "/deed", Effect::Once, authorizer),
            row("thing.blind", Method::Post, "/deed", Effect::Once, authorizer),
            row("thing.build", Method::Post, "/deed", Effect::Once, authorizer),
            row("own.get", Method::Get, "/read", Effect::Read, Bearer::Component(Family::Current)),
            off,
        ];
        Self { rows, needs_component_token }
    }
}

fn call(row: &Operation, path: &str, caller: Caller<'_>) -> Box<Call> {
    let mut call = Call::new(if path == "/read" { Method::Get } else { row.method }, format!("https://vendor.example{path}"));
    if let Some((_, token)) = caller.authorizer {
        call = call.query("token", token);
    }
    if let Some(token) = caller.component_token {
        call = call.query("component_token", token);
    }
    Box::new(call)
}

fn done(vendor: Value) -> Box<Outcome> {
    Box::new(Outcome { result: json!({"ok": true}), vendor, file: None })
}

fn code(reply: &Reply) -> Option<i64> {
    serde_json::from_slice::<Value>(&reply.body).ok()?["code"].as_i64()
}

impl Operations for Fake {
    fn operations(&self) -> &[Operation] {
        &self.rows
    }

    fn next(&self, row: &Operation, _: &Params, replies: &[Reply], caller: Caller<'_>) -> Next {
        let Some(last) = replies.last() else { return Next::Call(call(row, &row.path, caller)) };
        let no = |class| Next::Refused(ApiError::new(class, "no", "no"));
        match code(last) {
            Some(0) if row.name == "thing.build" && replies.len() == 1 => Next::After(Duration::from_secs(1), call(row, "/poll", caller)),
            Some(0) => Next::Done(done(json!({"replies": replies.len()}))),
            Some(1) => no(Class::RenewAuthorizerToken),
            Some(2) => no(Class::Retry),
            Some(4) => no(Class::RenewComponentToken),
            Some(6) => no(Class::GrantGone),
            // Still building.
            Some(5) => Next::After(Duration::from_secs(1), call(row, "/poll", caller)),
            Some(_) => no(Class::Refuse),
            None => Next::Refused(ApiError::unreadable(last, "result")),
        }
    }

    fn look_up(&self, row: &Operation, _: &Params, _: &[Reply], caller: Caller<'_>) -> Option<Call> {
        (row.name != "thing.blind").then(|| *call(row, "/record", caller))
    }

    fn looked_up(&self, row: &Operation, _: &Params, _: &[Reply], found: &Reply, _: Earlier) -> LookedUp {
        let found: Value = serde_json::from_slice(&found.body).unwrap_or_default();
        match found["deeds"].as_u64() {
            None => LookedUp::Unknown,
            Some(0) => LookedUp::NotDone,
            Some(_) if row.name == "thing.build" => LookedUp::Stands,
            Some(_) => LookedUp::Done(done(json!({"looked_up": true}))),
        }
    }
}

impl Component for Fake {
    fn name(&self) -> &str {
        SHOP
    }
    fn platform(&self) -> &'static dyn Platform {
        yizhan::platform::named("douyin").unwrap()
    }
    fn app_id(&self) -> &str {
        "tt0"
    }
    fn operations(&self) -> &dyn Operations {
        self
    }
}

impl Pushes for Fake {
    fn open(&self, _: &RawPush) -> Result<Opened, PushError> {
        Err(PushError::Malformed(String::from("no pushes here")))
    }
    fn refusal(&self, _: &RawPush, _: &PushError) -> Option<Acknowledgement> {
        None
    }
}

impl Diagnose for Fake {
    fn diagnose(&self, _: &RawPush) -> Diagnosis {
        Diagnosis { steps: Vec::new(), opens: false, proposal: Vec::new(), content: None }
    }
}

impl Tokens for Fake {
    fn ticket_rule(&self) -> Option<TicketRule> {
        None
    }
    fn needs_component_token(&self) -> bool {
        self.needs_component_token
    }
    fn renewal(&self, _: &TokenKey) -> Renewal {
        Renewal { ahead: Duration::ZERO, overlap: Duration::ZERO, exercise: None }
    }
    fn component_token(&self, _: Family, _: &Secret) -> Option<Call> {
        None
    }
    fn read_component_token(&self, _: Family, reply: &Reply, _: Timestamp) -> Result<Token, ApiError> {
        Err(ApiError::unreadable(reply, "token"))
    }
    fn exchange(&self, _: Standing<'_>, _: &Secret) -> Call {
        Call::get("http://127.0.0.1/")
    }
    fn refresh(&self, _: Standing<'_>, _: &str, _: &Secret) -> Refresh {
        Refresh::Recover
    }
    fn read_tokens(&self, _: Family, reply: &Reply, _: Timestamp) -> Result<Vec<AuthorizerTokens>, ApiError> {
        Err(ApiError::unreadable(reply, "tokens"))
    }
    fn recover(&self, _: Standing<'_>, _: &str) -> Option<Call> {
        None
    }
    fn read_recovered(&self, _: Family, _: &str, reply: &Reply, _: Timestamp) -> Result<Recovered, ApiError> {
        Err(ApiError::unreadable(reply, "code"))
    }
    fn lost_reply(&self) -> LostReply {
        LostReply::Recover
    }
    fn prepare_link(&self, _: Standing<'_>, _: &LinkRequest) -> Option<Call> {
        None
    }
    fn link(&self, _: &LinkRequest, _: Option<&Reply>, _: Timestamp) -> Result<Link, ApiError> {
        unreachable!("no link is asked for here")
    }
    fn returned(&self, _: &str, _: Timestamp) -> Result<Returned, ApiError> {
        unreachable!("no browser comes back here")
    }
}

/// What happens to a call.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// It is carried out and answered with that code.
    Says(i64),
    /// It is refused with that code; nothing is done.
    Refuses(i64),
    /// The connection breaks after the vendor acted.
    LostAfter,
    /// The connection breaks before the vendor acted.
    LostBefore,
    /// There is no connection.
    NotSent,
    /// A gateway answers instead of the vendor, who acted (`true`) or did not.
    Gateway(bool),
}

/// The made-up vendor.
#[derive(Default)]
pub struct Vendor {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    deeds: u64,
    fates: VecDeque<Fate>,
    record_is_silent: bool,
    calls: Vec<String>,
    tokens: Vec<String>,
}

impl Vendor {
    pub fn deeds(&self) -> u64 {
        self.state.lock().unwrap().deeds
    }

    /// Paths that were called.
    pub fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    /// Authorizer tokens that came.
    pub fn tokens(&self) -> Vec<String> {
        self.state.lock().unwrap().tokens.clone()
    }

    pub fn silence_record(&self) {
        self.state.lock().unwrap().record_is_silent = true;
    }
}

#[async_trait::async_trait]
impl Vendors for Vendor {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let mut state = self.state.lock().unwrap();
        let path = call.url.strip_prefix("https://vendor.example").unwrap().to_owned();
        state.calls.push(path.clone());
        let token = call.query.iter().find(|(name, _)| name == "token").map(|(_, value)| value.expose().to_owned());
        state.tokens.extend(token);
        let reply =
            |body: String| Ok(Reply { status: 200, content_type: String::from("application/json"), body: body.into_bytes().into() });
        if path == "/record" {
            return reply(if state.record_is_silent { json!({}) } else { json!({"code": 0, "deeds": state.deeds}) }.to_string());
        }
        let target = || call.target().to_owned();
        let acts = path == "/deed";
        let act = |state: &mut State| state.deeds += u64::from(acts);
        match state.fates.pop_front().unwrap_or(Fate::Says(0)) {
            Fate::Says(code) => {
                act(&mut state);
                reply(json!({"code": code}).to_string())
            }
            Fate::Refuses(code) => reply(json!({"code": code}).to_string()),
            Fate::LostAfter => {
                act(&mut state);
                Err(SendError::NoAnswer { target: target(), cause: String::from("reset") })
            }
            Fate::LostBefore => Err(SendError::NoAnswer { target: target(), cause: String::from("reset") }),
            Fate::NotSent => Err(SendError::NotSent { target: target(), cause: String::from("refused") }),
            Fate::Gateway(acted) => {
                if acted {
                    act(&mut state);
                }
                Ok(Reply { status: 502, content_type: String::from("text/html"), body: "<html>".into() })
            }
        }
    }
}

/// Tokens `authorizer-1`, `authorizer-2`, …: a new one after each report.
#[derive(Default)]
pub struct Counter {
    generation: Mutex<u64>,
    pub reports: Mutex<Vec<(TokenKey, u64)>>,
    /// Why no new token can be had.
    pub ended: Mutex<Option<VaultError>>,
}

#[async_trait::async_trait]
impl TokenSource for Counter {
    async fn fresh(&self, component: &str, key: &TokenKey) -> Result<Served, VaultError> {
        assert_eq!(component, SHOP);
        if matches!(key, TokenKey::Authorizer { app_id, .. } if app_id != MERCHANT) {
            return Err(VaultError::NotAuthorized(String::from("unknown here")));
        }
        let generation = *self.generation.lock().unwrap() + 1;
        let whose = if matches!(key, TokenKey::Component(_)) { "component" } else { "authorizer" };
        let token = Secret::new(format!("{whose}-{generation}"));
        Ok(Served { token, generation, expires_at: None, cache_for: Duration::ZERO })
    }

    async fn report_invalid(&self, component: &str, key: &TokenKey, generation: u64) -> Result<Served, VaultError> {
        self.reports.lock().unwrap().push((key.clone(), generation));
        if let Some(ended) = self.ended.lock().unwrap().clone() {
            return Err(ended);
        }
        *self.generation.lock().unwrap() += 1;
        self.fresh(component, key).await
    }
}

/// A clock that is at once where somebody wants to sleep to.
pub struct Leaping(Mutex<Timestamp>);

impl Leaping {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Timestamp::from_second(1_800_000_000).unwrap())))
    }

    pub fn leap(&self, by: jiff::SignedDuration) {
        let mut now = self.0.lock().unwrap();
        *now += by;
    }
}

#[async_trait::async_trait]
impl Clock for Leaping {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
    async fn sleep_until(&self, at: Timestamp) {
        let mut now = self.0.lock().unwrap();
        *now = at.max(*now);
    }
}

/// A desk before the made-up vendor.
pub struct World {
    pub desk: Desk,
    pub vendor: Arc<Vendor>,
    pub tokens: Arc<Counter>,
    pub clock: Arc<Leaping>,
    began: Timestamp,
}

impl World {
    pub fn new(fates: &[Fate]) -> Self {
        Self::with(fates, false)
    }

    pub fn with(fates: &[Fate], needs_component_token: bool) -> Self {
        let vendor = Arc::new(Vendor::default());
        vendor.state.lock().unwrap().fates.extend(fates);
        let (tokens, clock) = (Arc::new(Counter::default()), Leaping::new());
        let components = Components::new(vec![Arc::new(Fake::new(needs_component_token))]);
        let desk = Desk::new(components, tokens.clone(), vendor.clone(), clock.clone());
        let began = clock.now();
        Self { desk, vendor, tokens, clock, began }
    }

    pub async fn ask(&self, operation: &str) -> Result<Outcome, OperationError> {
        self.desk.carry_out(SHOP, Some(MERCHANT), operation, Map::new()).await
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> i64 {
        self.clock.now().duration_since(self.began).as_secs()
    }
}
