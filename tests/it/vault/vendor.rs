//! A pretended platform: a component that builds and reads plain JSON calls, and the vendor that answers them with the strictest habits
//! known of the real ones: codes and refresh tokens work once, a refresh kills the former access token at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;
use yizhan::clock::{Clock, ManualClock, Timestamp};
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::diagnose::{Diagnose, Diagnosis};
use yizhan::platform::push::{Pushes, Ticket};
use yizhan::platform::token::{
    Identity, Link, LinkRequest, LostReply, Permission, Recovered, Refresh, RefreshToken, Renewal, Returned, Standing, TicketRule, Tokens,
};
use yizhan::platform::{
    ApiError, AuthorizationCode, AuthorizerTokens, Call, Class, Component, Family, Opened, Platform, PushError, RawPush, Reply, Title,
    Token, TokenKey, Twin,
};
use yizhan::secret::Secret;
use yizhan::settings::{Problem, Settings};

use super::NAME;
use super::memory::Stops;

/// How the pretended platform differs from its plainest form.
#[derive(Clone)]
pub struct Habits {
    pub lost_reply: LostReply,
    /// Renewal asks for a new code instead of spending the refresh token.
    pub renews_by_recovery: bool,
    pub can_recover: bool,
    /// A code that a recovery asks for is pushed, too.
    pub echoes: bool,
    /// The exchange does not say whose the tokens are.
    pub anonymous: bool,
    pub starts_tickets: bool,
    pub has_tickets: bool,
    pub has_state: bool,
    pub families: &'static [Family],
    /// Life of an authorizer's token.
    pub life: Option<i64>,
    pub renewal: Renewal,
    /// Apps that one code stands for besides its own.
    pub batch: &'static [&'static str],
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            lost_reply: LostReply::Recover,
            renews_by_recovery: false,
            can_recover: true,
            echoes: true,
            anonymous: false,
            starts_tickets: false,
            has_tickets: true,
            has_state: true,
            families: &[Family::Current],
            life: Some(7200),
            renewal: Renewal { ahead: Duration::from_secs(600), overlap: Duration::from_secs(120), exercise: None },
            batch: &[],
        }
    }
}

pub struct FakePlatform;

impl Platform for FakePlatform {
    fn name(&self) -> &'static str {
        "fake"
    }
    fn title(&self) -> Title {
        Title { zh: "假", en: "Faketok" }
    }
    fn component(&self, _name: &str, _settings: Settings) -> Result<Arc<dyn Component>, Vec<Problem>> {
        Err(Vec::new())
    }
    fn sample_settings(&self, _vendor: &str) -> String {
        String::new()
    }
    fn twin(&self, _settings: Settings) -> Result<Box<dyn Twin>, Vec<Problem>> {
        Err(Vec::new())
    }
}

pub struct FakeComponent {
    pub habits: Habits,
    /// The newest of the vendor's certificates in our settings.
    pub certificate: u64,
}

/// What an operator is told to do about an unknown certificate.
pub const APPEND: &str = "append the certificate";

impl FakeComponent {
    /// The answer's JSON, if its certificate is known.
    fn believed(&self, reply: &Reply) -> Result<Json, ApiError> {
        let unsigned: Json = serde_json::from_slice(&reply.body).unwrap_or_default();
        if unsigned["certificate"].as_u64().is_some_and(|number| number > self.certificate) {
            let unknown = ApiError::new(Class::Configuration, "unknown-certificate", "the answer is signed by nobody known");
            return Err(ApiError { advice: Some(APPEND), ..unknown });
        }
        body(reply)
    }
}

impl Pushes for FakeComponent {
    fn open(&self, _raw: &RawPush) -> Result<Opened, PushError> {
        Err(PushError::Malformed(String::from("not in these tests")))
    }
}

impl Diagnose for FakeComponent {
    fn diagnose(&self, _raw: &RawPush) -> Diagnosis {
        Diagnosis { steps: Vec::new(), opens: false, proposal: Vec::new(), content: None }
    }
}

impl Component for FakeComponent {
    fn name(&self) -> &str {
        NAME
    }
    fn platform(&self) -> &'static dyn Platform {
        &FakePlatform
    }
    fn app_id(&self) -> &str {
        "tp1"
    }
}

fn call(deed: &str, family: Family) -> Call {
    Call::get(format!("http://vendor/{deed}")).query("family", if family == Family::V1 { "v1" } else { "current" })
}

fn with_pass(call: Call, standing: Standing<'_>) -> Call {
    match standing.component_token {
        Some(token) => call.query("pass", token),
        None => call,
    }
}

/// The answer's JSON, or the error in it.
fn body(reply: &Reply) -> Result<Json, ApiError> {
    let json: Json = serde_json::from_slice(&reply.body).map_err(|_| ApiError::unreadable(reply, "JSON"))?;
    let Some(error) = json["error"].as_str() else { return Ok(json) };
    let class = match error {
        "pass" => Class::RenewComponentToken,
        "ticket" => Class::TicketInvalid,
        "code" => Class::CodeInvalid,
        "refresh" => Class::RefreshTokenInvalid,
        "gone" => Class::GrantGone,
        "busy" => Class::Retry,
        "slower" => Class::RateLimited,
        _ => Class::Refuse,
    };
    Err(ApiError::new(class, error, "no"))
}

fn expiry(json: &Json, now: Timestamp) -> Option<Timestamp> {
    Some(now + SignedDuration::from_secs(json["expires_in"].as_i64()?))
}

fn tokens(json: &Json, now: Timestamp) -> AuthorizerTokens {
    AuthorizerTokens {
        app_id: json["app_id"].as_str().map(str::to_owned),
        access: Token { value: Secret::new(json["token"].as_str().unwrap()), expires_at: expiry(json, now) },
        refresh: json["refresh"]
            .as_str()
            .map(|text| RefreshToken { value: Secret::new(text), expires_at: Some(now + SignedDuration::from_hours(24 * 30)) }),
        permissions: Some(vec![Permission { id: String::from("1"), name: String::from("all") }]),
    }
}

impl Tokens for FakeComponent {
    fn families(&self) -> &'static [Family] {
        self.habits.families
    }
    fn ticket_rule(&self) -> Option<TicketRule> {
        self.habits.has_tickets.then_some(TicketRule { every: Duration::from_secs(600), lifetime: Duration::from_secs(3 * 3600) })
    }
    fn start_tickets(&self) -> Option<Call> {
        self.habits.starts_tickets.then(|| call("start_tickets", Family::Current))
    }
    fn renewal(&self, _key: &TokenKey) -> Renewal {
        self.habits.renewal
    }
    fn component_token(&self, family: Family, ticket: &Secret) -> Option<Call> {
        self.habits.has_tickets.then(|| call("component_token", family).query("ticket", ticket))
    }
    fn read_component_token(&self, _family: Family, reply: &Reply, now: Timestamp) -> Result<Token, ApiError> {
        let json = body(reply)?;
        Ok(Token { value: Secret::new(json["token"].as_str().unwrap()), expires_at: expiry(&json, now) })
    }
    fn exchange(&self, standing: Standing<'_>, code: &Secret) -> Call {
        with_pass(call("exchange", standing.family).query("code", code), standing)
    }
    fn refresh(&self, standing: Standing<'_>, app_id: &str, refresh_token: &Secret) -> Refresh {
        if self.habits.renews_by_recovery {
            return Refresh::Recover;
        }
        Refresh::Spend(with_pass(call("refresh", standing.family).query("app", app_id).query("refresh", refresh_token), standing))
    }
    fn read_tokens(&self, _family: Family, reply: &Reply, now: Timestamp) -> Result<Vec<AuthorizerTokens>, ApiError> {
        let json = self.believed(reply)?;
        match json["tokens"].as_array() {
            Some(several) => Ok(several.iter().map(|one| tokens(one, now)).collect()),
            None => Ok(vec![tokens(&json, now)]),
        }
    }
    fn recover(&self, standing: Standing<'_>, app_id: &str) -> Option<Call> {
        self.habits.can_recover.then(|| with_pass(call("recover", standing.family).query("app", app_id), standing))
    }
    fn read_recovered(&self, _family: Family, _app_id: &str, reply: &Reply, now: Timestamp) -> Result<Recovered, ApiError> {
        let json = self.believed(reply)?;
        Ok(Recovered::Code(AuthorizationCode {
            value: Secret::new(json["code"].as_str().unwrap()),
            expires_at: expiry(&json, now).unwrap(),
        }))
    }
    fn recovery_echoes(&self) -> bool {
        self.habits.echoes
    }
    fn lost_reply(&self) -> LostReply {
        self.habits.lost_reply
    }
    fn identify(&self, standing: Standing<'_>, access_token: &Secret) -> Option<Call> {
        Some(with_pass(call("identify", standing.family).query("token", access_token), standing))
    }
    fn read_identity(&self, reply: &Reply) -> Result<Identity, ApiError> {
        let json = body(reply)?;
        let app_id = json["app_id"].as_str().unwrap().to_owned();
        Ok(Identity { name: Some(format!("shop {app_id}")), app_id, permissions: None })
    }
    fn prepare_link(&self, standing: Standing<'_>, _request: &LinkRequest) -> Option<Call> {
        Some(with_pass(call("link", standing.family), standing))
    }
    fn link(&self, request: &LinkRequest, prepared: Option<&Reply>, now: Timestamp) -> Result<Link, ApiError> {
        let json = body(prepared.unwrap())?;
        let url =
            format!("https://vendor/page?pre={}&back={}&state={}", json["pre"].as_str().unwrap(), request.redirect_uri, request.state);
        Ok(Link { url, mobile_url: None, batch_url: None, expires_at: expiry(&json, now) })
    }
    fn returned(&self, query: &str, now: Timestamp) -> Result<Returned, ApiError> {
        let fields: HashMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let code = fields.get("code").ok_or_else(|| ApiError::new(Class::Refuse, "no code", "the query holds no code"))?;
        Ok(Returned {
            code: AuthorizationCode { value: Secret::new(code.as_str()), expires_at: now + SignedDuration::from_hours(1) },
            state: fields.get("state").filter(|_| self.habits.has_state).cloned(),
        })
    }
}

/// What goes wrong with the next call of a deed.
#[derive(Clone)]
pub enum Fault {
    /// No connection.
    NotSent,
    /// It never reached the vendor, but we cannot know.
    LostBefore,
    /// The vendor did it, and the answer never came.
    LostAfter,
    /// The vendor says no with this word.
    Says(&'static str),
    /// A page of something on the way, which did not pass the call on.
    Page,
    /// A page of a gateway before the vendor, which refuses the call with that status.
    Gateway(u16),
    /// The vendor did it, and answers as if it had been asked about that app.
    Mistakes(&'static str),
    /// The vendor did it, and its answer was altered on the way: no certificate will ever verify it.
    Altered,
    /// The vendor did it, and nothing is heard until that closes; then, that the answer never came.
    Hangs(Arc<Semaphore>),
}

#[derive(Default)]
struct State {
    serial: u64,
    ticket: Option<String>,
    passes: Vec<(String, Timestamp)>,
    /// Access and refresh token by app and family.
    held: HashMap<(String, String), (String, Timestamp, String)>,
    codes: HashMap<String, (String, Timestamp)>,
    standing: Vec<String>,
    /// Codes given back and not pushed yet.
    echoes: Vec<AuthorizationCode>,
    deeds: BTreeMap<String, usize>,
    calls: BTreeMap<String, usize>,
    faults: HashMap<String, VecDeque<Fault>>,
}

pub struct FakeVendor {
    pub habits: Habits,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
    /// Calls wait here; open unless a test closes it.
    pub gate: Arc<Semaphore>,
    pub stops: Mutex<Option<Arc<Stops>>>,
    /// The newest of its certificates in our settings, from the next start on.
    pub configured: AtomicU64,
    /// Number of the certificate that answers about merchants' tokens are signed with.
    certificate: AtomicU64,
    waiting: AtomicUsize,
}

const OPEN: usize = 1 << 20;

impl FakeVendor {
    pub fn new(habits: Habits, clock: Arc<ManualClock>) -> Self {
        Self {
            habits,
            clock,
            state: Mutex::default(),
            gate: Arc::new(Semaphore::new(OPEN)),
            stops: Mutex::default(),
            configured: AtomicU64::new(1),
            certificate: AtomicU64::new(1),
            waiting: AtomicUsize::new(0),
        }
    }

    /// No call is answered any more.
    pub fn close(&self) {
        self.gate.forget_permits(OPEN);
    }

    pub fn open(&self) {
        self.gate.add_permits(OPEN);
    }

    /// The next call of that deed goes wrong.
    pub fn fault(&self, deed: &str, fault: Fault) {
        self.state.lock().unwrap().faults.entry(deed.to_owned()).or_default().push_back(fault);
    }

    /// Nothing goes wrong with that deed any more.
    pub fn mend(&self, deed: &str) {
        self.state.lock().unwrap().faults.remove(deed);
    }

    /// How often the vendor did that.
    pub fn deeds(&self, deed: &str) -> usize {
        self.state.lock().unwrap().deeds.get(deed).copied().unwrap_or(0)
    }

    /// How often the vendor was asked for that, whatever it answered.
    pub fn calls(&self, deed: &str) -> usize {
        self.state.lock().unwrap().calls.get(deed).copied().unwrap_or(0)
    }

    /// The vendor signs with another certificate from now on.
    pub fn change_certificate(&self) {
        self.certificate.fetch_add(1, Ordering::SeqCst);
    }

    /// An operator appends the vendor's certificate to our settings, for the next start.
    pub fn append_certificate(&self) {
        self.configured.store(self.certificate.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Faults that were not met yet.
    pub fn remaining(&self, deed: &str) -> usize {
        self.state.lock().unwrap().faults.get(deed).map_or(0, VecDeque::len)
    }

    /// Calls that wait at the gate.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub fn ticket(&self) -> Ticket {
        let mut state = self.state.lock().unwrap();
        let text = state.next("ticket");
        state.ticket = Some(text.clone());
        Ticket { value: Secret::new(text), created_at: self.clock.now() }
    }

    /// A merchant grants: all former tokens of that app die.
    pub fn grant(&self, app_id: &str) -> AuthorizationCode {
        let mut state = self.state.lock().unwrap();
        state.standing.push(app_id.to_owned());
        state.held.retain(|(app, _), _| app != app_id);
        let now = self.clock.now();
        state.code(app_id, now)
    }

    /// Another code of the same grant.
    pub fn another_code(&self, app_id: &str) -> AuthorizationCode {
        let now = self.clock.now();
        self.state.lock().unwrap().code(app_id, now)
    }

    /// What the vendor pushes because codes were given back.
    pub fn echoes(&self) -> Vec<AuthorizationCode> {
        std::mem::take(&mut self.state.lock().unwrap().echoes)
    }

    pub fn revoke(&self, app_id: &str) {
        let mut state = self.state.lock().unwrap();
        state.standing.retain(|app| app != app_id);
        state.held.retain(|(app, _), _| app != app_id);
        state.codes.retain(|_, (app, _)| app != app_id);
    }

    /// Every component token dies at once.
    pub fn kill_passes(&self) {
        self.state.lock().unwrap().passes.clear();
    }

    /// The refresh token of that app is lost to us.
    pub fn kill_refresh_token(&self, app_id: &str) {
        for ((app, _), held) in &mut self.state.lock().unwrap().held {
            if app == app_id {
                held.2 = String::from("another");
            }
        }
    }

    pub fn accepts(&self, app_id: &str, token: &Secret) -> bool {
        self.accepts_in(app_id, "current", token)
    }

    pub fn accepts_in(&self, app_id: &str, family: &str, token: &Secret) -> bool {
        let state = self.state.lock().unwrap();
        let held = state.held.get(&(app_id.to_owned(), family.to_owned()));
        held.is_some_and(|(access, until, _)| access == token.expose() && *until > self.clock.now())
    }

    fn answer(&self, call: &Call) -> Json {
        let value = |name: &str| call.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.expose().to_owned()).unwrap_or_default();
        let deed = call.url.rsplit('/').next().unwrap();
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap();
        if deed == "component_token" {
            if Some(value("ticket")) != state.ticket {
                return json!({"error": "ticket"});
            }
            *state.deeds.entry(deed.to_owned()).or_default() += 1;
            let token = state.next("pass");
            state.passes.push((token.clone(), now + SignedDuration::from_secs(7200)));
            return json!({"token": token, "expires_in": 7200});
        }
        if deed == "start_tickets" {
            *state.deeds.entry(deed.to_owned()).or_default() += 1;
            return json!({});
        }
        let pass = value("pass");
        if self.habits.has_tickets && !state.passes.iter().any(|(token, until)| *token == pass && *until > now) {
            return json!({"error": "pass"});
        }
        let family = value("family");
        let life = self.habits.life;
        let answer = match deed {
            "exchange" => match state.codes.remove(&value("code")) {
                Some((app, until)) if until > now => {
                    if self.habits.batch.is_empty() {
                        state.issue(&app, &family, now, life, self.habits.anonymous)
                    } else {
                        let apps = std::iter::once(app.as_str()).chain(self.habits.batch.iter().copied());
                        let tokens: Vec<Json> = apps.map(|app| state.issue(app, &family, now, life, false)).collect();
                        json!({"tokens": tokens})
                    }
                }
                _ => json!({"error": "code"}),
            },
            "refresh" => {
                let app = value("app");
                let held = state.held.get(&(app.clone(), family.clone())).map(|(_, _, refresh)| refresh.clone());
                if !state.standing.contains(&app) {
                    json!({"error": "gone"})
                } else if held == Some(value("refresh")) {
                    state.issue(&app, &family, now, life, self.habits.anonymous)
                } else {
                    json!({"error": "refresh"})
                }
            }
            "recover" => {
                let app = value("app");
                if state.standing.contains(&app) {
                    let code = state.code(&app, now);
                    state.echoes.push(code.clone());
                    json!({"code": code.value.expose(), "expires_in": 3600})
                } else {
                    json!({"error": "gone"})
                }
            }
            "identify" => {
                let token = value("token");
                match state.held.iter().find(|(_, (access, ..))| *access == token) {
                    Some(((app, _), _)) => json!({"app_id": app}),
                    None => json!({"error": "no"}),
                }
            }
            "link" => json!({"pre": state.next("pre"), "expires_in": 600}),
            other => panic!("unknown deed {other}"),
        };
        if answer.get("error").is_none() {
            *state.deeds.entry(deed.to_owned()).or_default() += 1;
        }
        answer
    }
}

impl State {
    fn next(&mut self, what: &str) -> String {
        self.serial += 1;
        format!("{what}-{}", self.serial)
    }

    fn code(&mut self, app_id: &str, now: Timestamp) -> AuthorizationCode {
        let (text, until) = (self.next("code"), now + SignedDuration::from_hours(1));
        self.codes.insert(text.clone(), (app_id.to_owned(), until));
        AuthorizationCode { value: Secret::new(text), expires_at: until }
    }

    fn issue(&mut self, app_id: &str, family: &str, now: Timestamp, life: Option<i64>, anonymous: bool) -> Json {
        let (access, refresh) = (self.next("access"), self.next("refresh"));
        let until = life.map_or(Timestamp::MAX, |life| now + SignedDuration::from_secs(life));
        self.held.insert((app_id.to_owned(), family.to_owned()), (access.clone(), until, refresh.clone()));
        let mut answer = json!({"token": access, "refresh": refresh, "expires_in": life});
        if !anonymous {
            answer["app_id"] = json!(app_id);
        }
        answer
    }
}

#[async_trait::async_trait]
impl Vendors for FakeVendor {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let stops = self.stops.lock().unwrap().clone();
        if let Some(stops) = &stops {
            stops.pass().await;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.acquire().await.unwrap());
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        let deed = call.url.rsplit('/').next().unwrap().to_owned();
        let fault = {
            let mut state = self.state.lock().unwrap();
            *state.calls.entry(deed.clone()).or_default() += 1;
            state.faults.get_mut(&deed).and_then(VecDeque::pop_front)
        };
        let lost = SendError::NoAnswer { target: deed.clone(), cause: String::from("timed out") };
        let altered = matches!(fault, Some(Fault::Altered));
        let mut answer = match fault {
            Some(Fault::NotSent) => return Err(SendError::NotSent { target: deed, cause: String::from("refused") }),
            Some(Fault::LostBefore) => return Err(lost),
            Some(Fault::LostAfter) => {
                self.answer(call);
                return Err(lost);
            }
            Some(Fault::Hangs(until)) => {
                self.answer(call);
                until.acquire().await.unwrap_err();
                return Err(lost);
            }
            Some(Fault::Page) => {
                return Ok(Reply { status: 502, content_type: String::from("text/html"), body: "<html>bad gateway</html>".into() });
            }
            Some(Fault::Gateway(status)) => {
                return Ok(Reply { status, content_type: String::from("text/html"), body: "<html>no</html>".into() });
            }
            Some(Fault::Says(word)) => json!({"error": word}),
            Some(Fault::Mistakes(app_id)) => {
                let mut answer = self.answer(call);
                answer["app_id"] = json!(app_id);
                answer
            }
            Some(Fault::Altered) | None => self.answer(call),
        };
        if ["exchange", "refresh", "recover"].contains(&deed.as_str()) {
            answer["certificate"] = json!(if altered { u64::MAX } else { self.certificate.load(Ordering::SeqCst) });
        }
        if let Some(stops) = &stops {
            stops.pass().await;
        }
        Ok(Reply { status: 200, content_type: String::from("application/json"), body: answer.to_string().into() })
    }
}
