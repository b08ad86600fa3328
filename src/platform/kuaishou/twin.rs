//! Kuaishou, pretended: issues tickets, seals pushes and answers calls with the vendor's shapes, lifetimes and codes (appendix B).
//!
//! Hosted by `simulator` and talked to by tests. What the vendor has not published follows the same predictions as the component's side.
//! It holds no time and no randomness: names are digests of a counter, the moment and the made-up secret.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::push::SIGNATURE_HEADER;
use super::tokens::{
    ACCESS_TOKEN, AUTHORIZER_ACCESS_TOKEN, CODE_SECONDS, PRE_AUTH_CODE, PRE_AUTH_CODE_SECONDS, RE_AUTHORIZATION_CODE, START_PUSH_TICKET,
    TOKEN_SECONDS,
};
use super::{Application, later, number, seal};
use crate::clock::Timestamp;
use crate::envelope::digest;
use crate::platform::call::{Method, Reply};
use crate::platform::push::Door;
use crate::platform::twin::{Answer, GrantStory, Outgoing, Request, Twin, Verdict};

/// Tickets that are still taken (appendix B).
const TICKETS_TAKEN: usize = 3;
/// Lifetime of a refresh token, in seconds: 30 days.
const REFRESH_SECONDS: i64 = 2_592_000;
/// The five sets of a mini program's server domains (5.1).
const DOMAIN_KINDS: [&str; 5] = ["request", "socket", "upload_file", "download_file", "udp"];

/// Codes of section 6.2.
const BAD_PARAMETER: i64 = 100_200_100;
const BAD_CREDENTIALS: i64 = 100_200_101;
const DENIED: i64 = 100_200_102;
const WRONG_CODE: i64 = 100_200_105;
const EXPIRED: i64 = 100_200_108;
const CANCELLED: i64 = 100_200_109;
const REFRESH_EXPIRED: i64 = 100_200_113;
const NO_SUCH_DOMAIN: i64 = 403_106;
/// A code in no list, so that only its words say what to do.
const UNLISTED: i64 = 100_299_999;

/// The vendor's side of one application.
pub(super) struct Vendor {
    /// The same settings that the component has.
    application: Application,
    /// Everything made so far, for names that never repeat.
    made: u64,
    /// Tickets still taken, newest last.
    tickets: VecDeque<String>,
    /// Component tokens; `None` for those killed before their time.
    component_tokens: BTreeMap<String, Option<Timestamp>>,
    /// Pre-authorization codes.
    pre_auth_codes: BTreeMap<String, Timestamp>,
    /// Authorization codes that were not exchanged yet.
    codes: BTreeMap<String, Code>,
    /// Merchants' mini programs by app id.
    merchants: BTreeMap<String, Merchant>,
}

struct Code {
    app_id: String,
    expires_at: Timestamp,
}

#[derive(Default)]
struct Merchant {
    /// Whether the grant stands.
    granted: bool,
    /// Access tokens; `None` for those killed before their time.
    access: BTreeMap<String, Option<Timestamp>>,
    /// The one refresh token that works.
    refresh: Option<(String, Timestamp)>,
    /// Server domains by kind.
    domains: BTreeMap<&'static str, Vec<String>>,
}

/// The vendor's no.
struct No(i64, &'static str);

impl Vendor {
    pub(super) fn new(application: Application) -> Self {
        Self {
            application,
            made: 0,
            tickets: VecDeque::new(),
            component_tokens: BTreeMap::new(),
            pre_auth_codes: BTreeMap::new(),
            codes: BTreeMap::new(),
            merchants: BTreeMap::new(),
        }
    }

    /// 32 bytes that were not made before, also not by an earlier run.
    fn fresh(&mut self, now: Timestamp) -> [u8; 32] {
        self.made += 1;
        let secret = self.application.app_secret.expose().as_bytes();
        digest::sha256(&[secret, &self.made.to_be_bytes(), &now.as_nanosecond().to_be_bytes()])
    }

    /// A code or ticket.
    fn word(&mut self, now: Timestamp) -> String {
        hex::encode(self.fresh(now)).chars().take(40).collect()
    }

    /// A token as the vendor's look (1.3): base64url of a name and noise, more than 200 characters.
    fn token(&mut self, name: &str, now: Timestamp) -> String {
        let mut bytes = vec![0x0a, 0x16];
        bytes.extend_from_slice(name.as_bytes());
        for _ in 0..4 {
            bytes.extend(self.fresh(now));
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn new_ticket(&mut self, now: Timestamp) -> Outgoing {
        let ticket = self.word(now);
        self.tickets.push_back(ticket.clone());
        while self.tickets.len() > TICKETS_TAKEN {
            self.tickets.pop_front();
        }
        let members = json!({ "componentTicket": ticket, "expiresIn": 2400 });
        self.event(Door::Authorization, "COMPONENT_TICKET", members, now)
    }

    fn new_code(&mut self, app_id: &str, now: Timestamp) -> String {
        let code = self.word(now);
        self.codes.insert(code.clone(), Code { app_id: app_id.to_owned(), expires_at: later(now, CODE_SECONDS) });
        code
    }

    /// An authorization event with a code (3.1.2, 3.1.4).
    fn code_event(&mut self, event: &str, app_id: &str, code: &str, now: Timestamp) -> Outgoing {
        let members = json!({ "appId": app_id, "authorizationCode": code, "authorizationCodeExpiresIn": CODE_SECONDS });
        self.event(Door::Authorization, event, members, now)
    }

    fn event(&mut self, door: Door, event: &str, members: Value, now: Timestamp) -> Outgoing {
        let mut plain = json!({ "componentAppId": self.application.app_id, "event": event, "eventTime": now.as_millisecond() });
        if let (Value::Object(plain), Value::Object(members)) = (&mut plain, members) {
            plain.extend(members);
        }
        self.say(door, &plain.to_string(), now)
    }

    /// Seals `plain`. Retries look different each time: padding, alphabet and spacing vary with `self.made`, all of which 2.3 tolerates.
    fn sealed(&mut self, door: Door, plain: Bytes, message_id: String, now: Timestamp) -> Outgoing {
        let nonce = self.fresh(now);
        let nonce: [u8; 16] = std::array::from_fn(|at| nonce.get(at).copied().unwrap_or_default());
        let style = self.made;
        let rules = &self.application.push;
        let pad_to = if style.is_multiple_of(2) && rules.variant.max_padding == 32 { 32 } else { 16 };
        let sealed =
            self.application.keys.first().map(|key| seal::seal(key, rules.variant, &plain, &self.application.app_id, &nonce, pad_to));
        // The settings were read, so there is a key of a length that fits.
        let cipher = sealed.and_then(Result::ok).unwrap_or_default();
        let encrypted = if style.is_multiple_of(4) { URL_SAFE_NO_PAD.encode(cipher) } else { STANDARD.encode(cipher) };
        let envelope = json!({
            "encryptedMsg": encrypted,
            "msgId": message_id,
            "componentAppId": self.application.app_id,
            "timestamp": now.as_millisecond(),
        });
        let body = if style.is_multiple_of(3) { format!("{envelope:#}") } else { envelope.to_string() };
        self.signed(door, body.into(), plain, Some(message_id))
    }

    fn signed(&self, door: Door, body: Bytes, plain: Bytes, message_id: Option<String>) -> Outgoing {
        let Application { token, app_secret, push, .. } = &self.application;
        let signature = push.recipes.first().map(|recipe| hex::encode(recipe.digest(&body, token, app_secret))).unwrap_or_default();
        let headers = [("content-type", String::from("application/json; charset=utf-8")), (SIGNATURE_HEADER, signature)];
        Outgoing { door, headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(), body, plain, message_id }
    }
}

impl Twin for Vendor {
    fn ticket(&mut self, now: Timestamp) -> Option<Outgoing> {
        Some(self.new_ticket(now))
    }

    fn grant(&mut self, app_id: &str, now: Timestamp) -> GrantStory {
        self.merchants.entry(app_id.to_owned()).or_default().granted = true;
        let code = self.new_code(app_id, now);
        let push = self.code_event("AUTHORIZED", app_id, &code, now);
        GrantStory { push: Some(push), redirect_query: format!("authorization_code={code}&expires_in={CODE_SECONDS}") }
    }

    fn revoke(&mut self, app_id: &str, now: Timestamp) -> Option<Outgoing> {
        let merchant = self.merchants.get_mut(app_id)?;
        merchant.granted = false;
        merchant.access.clear();
        merchant.refresh = None;
        self.codes.retain(|_, code| code.app_id != app_id);
        Some(self.event(Door::Authorization, "UNAUTHORIZED", json!({ "appId": app_id }), now))
    }

    fn audit(&mut self, app_id: &str, version: &str, verdict: &Verdict, now: Timestamp) -> Outgoing {
        let members = match verdict {
            Verdict::Passed => json!({ "appId": app_id, "version": version, "status": 1 }),
            Verdict::Failed(reason) => json!({ "appId": app_id, "version": version, "status": 2, "reason": reason }),
        };
        self.event(Door::Message, "PACKAGE_AUDIT", members, now)
    }

    fn say(&mut self, door: Door, plain: &str, now: Timestamp) -> Outgoing {
        let id = self.fresh(now);
        let message_id: [u8; 16] = std::array::from_fn(|at| id.get(at).copied().unwrap_or_default());
        let message_id = uuid::Builder::from_random_bytes(message_id).into_uuid().to_string();
        self.sealed(door, Bytes::copy_from_slice(plain.as_bytes()), message_id, now)
    }

    fn reseal(&mut self, push: &Outgoing, now: Timestamp) -> Outgoing {
        let message_id = push.message_id.clone().unwrap_or_default();
        loop {
            // Six styles follow one another, so one that differs comes soon.
            let again = self.sealed(push.door, push.plain.clone(), message_id.clone(), now);
            if again.body != push.body {
                return again;
            }
        }
    }

    fn forge(&mut self, push: &Outgoing) -> Outgoing {
        let mut forged = push.clone();
        for (_, value) in forged.headers.iter_mut().filter(|(name, _)| name == SIGNATURE_HEADER) {
            // Every digit becomes another one.
            *value = value.chars().map(|c| if c == '0' { '1' } else { '0' }).collect();
        }
        forged
    }

    fn acknowledged(&self, push: &Outgoing, status: u16, body: &[u8]) -> bool {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let id = push.message_id.as_deref();
        status == 200 && answer.get("result").and_then(number) == Some(1) && answer.get("message_id").and_then(Value::as_str) == id
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Answer {
        let mut pushes = Vec::new();
        let refresh_path = self.application.refresh.endpoint.as_ref().map(|endpoint| endpoint.path.clone());
        let (deed, outcome) = match request.path.as_str() {
            START_PUSH_TICKET => ("start_tickets", self.start_tickets(request, &mut pushes, now)),
            ACCESS_TOKEN => ("component_token", self.component_token(request, now)),
            PRE_AUTH_CODE => ("link", self.pre_auth_code(request, now)),
            AUTHORIZER_ACCESS_TOKEN => ("exchange", self.exchange(request, now)),
            RE_AUTHORIZATION_CODE => ("recover", self.recover(request, &mut pushes, now)),
            "/openapi/mp/auth/app/server_domain" => ("other", self.server_domain(request, now)),
            "/authorize" => return page(request, &self.pre_auth_codes, now),
            path if refresh_path.as_deref() == Some(path) => ("refresh", self.refresh(request, now)),
            _ => {
                return Answer {
                    reply: reply(404, &json!({ "result": 404, "error_msg": "no such path" })),
                    pushes,
                    deed: "other",
                    accepted: false,
                };
            }
        };
        let accepted = outcome.is_ok();
        let message = if request.path.starts_with("/openapi/") { "error_msg" } else { "errorMsg" };
        let body = match outcome {
            // The vendor's samples carry words even beside a success; nobody may test for them.
            Ok(mut members) => {
                members.insert(String::from("result"), 1.into());
                members.insert(message.to_owned(), "成功".into());
                Value::Object(members)
            }
            Err(No(code, words)) => {
                let mut members = Map::new();
                members.insert(String::from("result"), code.into());
                members.insert(message.to_owned(), words.into());
                Value::Object(members)
            }
        };
        Answer { reply: reply(200, &body), pushes, deed, accepted }
    }

    fn expire_tokens(&mut self, app_id: Option<&str>) {
        let tokens = match app_id {
            None => Some(&mut self.component_tokens),
            Some(app_id) => self.merchants.get_mut(app_id).map(|merchant| &mut merchant.access),
        };
        tokens.into_iter().flat_map(BTreeMap::values_mut).for_each(|expires_at| *expires_at = None);
    }

    fn accepts(&self, app_id: Option<&str>, token: &str, now: Timestamp) -> bool {
        let tokens = match app_id {
            None => Some(&self.component_tokens),
            Some(app_id) => self.merchants.get(app_id).filter(|merchant| merchant.granted).map(|merchant| &merchant.access),
        };
        tokens.and_then(|tokens| tokens.get(token)).is_some_and(|expires_at| expires_at.is_some_and(|at| now < at))
    }
}

/// What a call gives, without `result` and message.
type Given = Result<Map<String, Value>, No>;

fn given(members: Value) -> Given {
    match members {
        Value::Object(members) => Ok(members),
        _ => Ok(Map::new()),
    }
}

/// The calls of section 4, in its order.
impl Vendor {
    fn start_tickets(&mut self, request: &Request, pushes: &mut Vec<Outgoing>, now: Timestamp) -> Given {
        self.with_secret(request)?;
        pushes.push(self.new_ticket(now));
        given(json!({}))
    }

    fn component_token(&mut self, request: &Request, now: Timestamp) -> Given {
        self.with_secret(request)?;
        let ticket = parameter(request, "component_verify_ticket")?;
        if !self.tickets.contains(&ticket) {
            return Err(No(DENIED, "component_verify_ticket is invalid"));
        }
        let token = self.token("ks.mp.saas.componentAT", now);
        self.component_tokens.insert(token.clone(), Some(later(now, TOKEN_SECONDS)));
        given(json!({ "componentAccessToken": token, "expiresIn": TOKEN_SECONDS }))
    }

    fn pre_auth_code(&mut self, request: &Request, now: Timestamp) -> Given {
        self.with_component_token(request, now)?;
        let code = self.word(now);
        self.pre_auth_codes.insert(code.clone(), later(now, PRE_AUTH_CODE_SECONDS));
        given(json!({ "preAuthCode": code, "expiresIn": PRE_AUTH_CODE_SECONDS }))
    }

    fn exchange(&mut self, request: &Request, now: Timestamp) -> Given {
        self.with_component_token(request, now)?;
        let code = parameter(request, "authorization_code")?;
        match self.codes.remove(&code) {
            Some(code) if now < code.expires_at => {
                let mut members = self.tokens(&code.app_id, now)?;
                let permission = json!([{ "id": 1, "category": "开发管理权限", "description": "帮助小程序进行功能开发和开发设置" }]);
                members.insert(String::from("authorizePermission"), permission);
                Ok(members)
            }
            _ => Err(No(WRONG_CODE, "authorization_code is invalid, used or expired")),
        }
    }

    /// The predicted refresh endpoint (4.7): single use, the former pair dies.
    fn refresh(&mut self, request: &Request, now: Timestamp) -> Given {
        self.with_component_token(request, now)?;
        let name = self.application.refresh.endpoint.as_ref().map(|endpoint| endpoint.token_param.clone()).unwrap_or_default();
        let sent = parameter(request, &name)?;
        let holder = self.merchants.iter().find(|(_, merchant)| {
            merchant.granted && merchant.refresh.as_ref().is_some_and(|(token, expires_at)| *token == sent && now < *expires_at)
        });
        match holder.map(|(app_id, _)| app_id.clone()) {
            Some(app_id) => self.tokens(&app_id, now),
            None => Err(No(REFRESH_EXPIRED, "refresh_token expired")),
        }
    }

    fn recover(&mut self, request: &Request, pushes: &mut Vec<Outgoing>, now: Timestamp) -> Given {
        self.with_component_token(request, now)?;
        let app_id = parameter(request, "authorized_app_id")?;
        if !self.merchants.get(&app_id).is_some_and(|merchant| merchant.granted) {
            return Err(No(CANCELLED, "authorization cancelled"));
        }
        let code = self.new_code(&app_id, now);
        pushes.push(self.code_event("UPDATE_AUTHORIZED", &app_id, &code, now));
        given(json!({ "authorizationCode": code, "expiresIn": CODE_SECONDS }))
    }

    /// A new pair; the former one dies.
    fn tokens(&mut self, app_id: &str, now: Timestamp) -> Given {
        let access = self.token("ks.mp.saas.accessToken", now);
        let refresh = self.token("ks.mp.saas.refreshTkn", now);
        let merchant = self.merchants.entry(app_id.to_owned()).or_default();
        merchant.access = BTreeMap::from([(access.clone(), Some(later(now, TOKEN_SECONDS)))]);
        merchant.refresh = Some((refresh.clone(), later(now, REFRESH_SECONDS)));
        given(json!({
            "authorizerAccessToken": access,
            "expiresIn": TOKEN_SECONDS,
            "authorizerRefreshToken": refresh,
            "refreshExpiresIn": REFRESH_SECONDS,
            "authorizerAppId": app_id,
        }))
    }

    /// 5.1, as far as tests of an authorizer's token need it.
    fn server_domain(&mut self, request: &Request, now: Timestamp) -> Given {
        self.ours(request)?;
        let token = parameter(request, "authorizer_access_token")?;
        let killed = No(UNLISTED, "authorizer_access_token 已过期");
        let Some((merchant, expires_at)) = self.merchants.values_mut().find_map(|merchant| {
            let expires_at = *merchant.access.get(&token)?;
            Some((merchant, expires_at))
        }) else {
            return Err(killed);
        };
        match expires_at {
            None => return Err(killed),
            Some(at) if at <= now => return Err(No(EXPIRED, "access_token expired")),
            Some(_) => {}
        }
        let body = request.json();
        let action = body.get("action").and_then(Value::as_str).unwrap_or_default();
        let named = |kind: &str| -> Vec<String> {
            let domains = body.get(kind).and_then(Value::as_array).into_iter().flatten();
            domains.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let absent = |kind: &&str| named(kind).iter().any(|domain| !merchant.domains.get(*kind).is_some_and(|held| held.contains(domain)));
        match action {
            "get" => {}
            "delete" if DOMAIN_KINDS.iter().any(absent) => return Err(No(NO_SUCH_DOMAIN, "domain does not exist")),
            "add" | "delete" | "set" => {
                for kind in DOMAIN_KINDS {
                    let domains = named(kind);
                    let held = merchant.domains.entry(kind).or_default();
                    if action != "add" {
                        held.retain(|domain| action == "delete" && !domains.contains(domain));
                    }
                    if action != "delete" {
                        held.extend(domains);
                        held.sort();
                        held.dedup();
                    }
                }
            }
            _ => return Err(No(BAD_PARAMETER, "action")),
        }
        let mut members = Map::new();
        for kind in DOMAIN_KINDS {
            members.insert(kind.to_owned(), merchant.domains.get(kind).cloned().unwrap_or_default().into());
        }
        Ok(members)
    }

    fn ours(&self, request: &Request) -> Result<(), No> {
        if parameter(request, "component_app_id")? == self.application.app_id {
            Ok(())
        } else {
            Err(No(BAD_CREDENTIALS, "client verification failed"))
        }
    }

    fn with_secret(&self, request: &Request) -> Result<(), No> {
        self.ours(request)?;
        let sent = parameter(request, "component_app_secret")?;
        if sent == self.application.app_secret.expose() { Ok(()) } else { Err(No(BAD_CREDENTIALS, "client verification failed")) }
    }

    fn with_component_token(&self, request: &Request, now: Timestamp) -> Result<(), No> {
        self.ours(request)?;
        let token = parameter(request, "component_access_token")?;
        match self.component_tokens.get(&token) {
            Some(Some(expires_at)) if now < *expires_at => Ok(()),
            Some(Some(_)) => Err(No(EXPIRED, "access_token expired")),
            Some(None) | None => Err(No(UNLISTED, "component_access_token 已失效")),
        }
    }
}

fn parameter(request: &Request, name: &str) -> Result<String, No> {
    request.query_value(name).filter(|value| !value.is_empty()).ok_or(No(BAD_PARAMETER, "a parameter is missing"))
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply { status, content_type: String::from("application/json"), body: body.to_string().into() }
}

/// The page on which a merchant would choose a mini program. Merchants are played by [`Twin::grant`].
fn page(request: &Request, codes: &BTreeMap<String, Timestamp>, now: Timestamp) -> Answer {
    let code = request.query_value("pre_auth_code").and_then(|code| codes.get(&code));
    let accepted = request.method == Method::Get && code.is_some_and(|expires_at| now < *expires_at);
    let (status, text) = if accepted { (200, "快手: choose a mini program") } else { (400, "快手: this link is no longer valid") };
    let reply = Reply { status, content_type: String::from("text/plain"), body: Bytes::from_static(text.as_bytes()) };
    Answer { reply, pushes: Vec::new(), deed: "other", accepted }
}
