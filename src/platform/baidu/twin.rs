//! Baidu, pretended: issues tickets, keeps tokens and codes with Baidu's lifetimes and single use, says no in Baidu's three shapes.
//!
//! Where Baidu leaves something open (8.2), the twin does what is hardest for a provider: a new token ends the former one at once.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Own;
use crate::clock::{Timestamp, china_text};
use crate::platform::call::Method;
use crate::platform::issued::{Issued, State};
use crate::platform::loose::after;
use crate::platform::push::Door;
use crate::platform::sorted_envelope::{self, Sealing};
use crate::platform::twin::{Answer, GrantStory, Outgoing, Request, Twin, Verdict};

/// Baidu pads to this many bytes (2.4).
const PAD_TO: u8 = 32;

/// Baidu's side of one TP.
pub(super) struct BaiduTwin {
    of: Own,
    tickets: Issued<()>,
    /// TP tokens.
    tokens: Issued<()>,
    token: Option<String>,
    pre_auth_codes: Issued<()>,
    /// Authorization codes with the app they are for.
    codes: Issued<String>,
    access: Issued<String>,
    refresh: Issued<String>,
    apps: HashMap<String, App>,
    packages: u64,
}

/// A merchant's mini program with a standing grant, and its newest tokens.
#[derive(Default)]
struct App {
    access: Option<String>,
    refresh: Option<String>,
}

/// A no: HTTP status and body.
struct No(u16, Value);

fn platform(errno: i64, msg: &str) -> No {
    No(200, json!({"errno": errno, "msg": msg, "requestId": Uuid::new_v4().simple().to_string()}))
}

fn gateway(code: i64, msg: &str) -> No {
    No(200, json!({"error_code": code, "error_msg": msg}))
}

fn oauth(error: &str, description: &str) -> No {
    No(400, json!({"error": error, "error_description": description}))
}

fn text() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Token text as Baidu writes it (4.0).
fn token_text(prefix: u8, seconds: i64, now: Timestamp) -> String {
    format!("{prefix}.{}.{seconds}.{}.{}-17328", text(), now.as_second() + seconds, Uuid::new_v4().as_u128() % 10_000_000_000)
}

/// An app id as Baidu writes it: a number where it is one.
fn app_number(app_id: &str) -> Value {
    app_id.parse::<i64>().map_or_else(|_| Value::from(app_id), Value::from)
}

impl BaiduTwin {
    pub(super) fn new(of: Own) -> Self {
        Self {
            of,
            tickets: Issued::default(),
            tokens: Issued::default(),
            token: None,
            pre_auth_codes: Issued::default(),
            codes: Issued::default(),
            access: Issued::default(),
            refresh: Issued::default(),
            apps: HashMap::new(),
            packages: 745_000,
        }
    }

    fn code(&mut self, app_id: &str, seconds: i64, now: Timestamp) -> String {
        let code = text();
        self.codes.issue(code.clone(), app_id.to_owned(), after(now, seconds), now);
        code
    }

    /// A platform event about an app, with these members more.
    fn event(&mut self, door: Door, app_id: &str, event: &str, more: Value, now: Timestamp) -> Outgoing {
        let tp_id = app_number(&self.of.tp_id);
        let mut body = json!({"appId": app_number(app_id), "tpAppId": tp_id, "eventTime": china_text(now), "event": event});
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        self.say(door, &body.to_string(), now)
    }

    fn forget_tokens(&mut self, app_id: &str) {
        if let Some(app) = self.apps.get_mut(app_id) {
            app.access.take().inspect(|token| self.access.withdraw(token));
            app.refresh.take().inspect(|token| self.refresh.withdraw(token));
        }
    }

    /// Checks the TP token that a call carries.
    fn tp(&self, request: &Request, now: Timestamp) -> Result<(), No> {
        bearer(&self.tokens, request, now)
    }

    fn component_token(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        if request.query_value("client_id").as_deref() != Some(self.of.client_id.as_str()) {
            return Err(platform(50002, "client_id not exist"));
        }
        let ticket = request.query_value("ticket").unwrap_or_default();
        self.tickets.good(&ticket, now).map_err(|_| platform(50003, "ticket is invalid"))?;
        if let Some(former) = self.token.take() {
            self.tokens.withdraw(&former);
        }
        let seconds = 2_592_000;
        let token = token_text(42, seconds, now);
        self.tokens.issue(token.clone(), (), after(now, seconds), now);
        self.token = Some(token.clone());
        Ok(success(json!({"access_token": token, "expires_in": seconds, "scope": "smartapp_tp_smtapp_common public"})))
    }

    fn pre_auth_code(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        self.tp(request, now)?;
        let code = text() + &text();
        self.pre_auth_codes.issue(code.clone(), (), after(now, 1200), now);
        Ok(success(json!({"pre_auth_code": code, "expires_in": 1200})))
    }

    fn exchange(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        self.tp(request, now)?;
        let code = request.query_value("code").ok_or_else(|| oauth("invalid_request", "code is missing"))?;
        let app_id = match self.codes.good(&code, now) {
            Ok(app_id) => app_id.clone(),
            Err(_) => return Err(oauth("invalid_grant", "Invalid authorization code: unknown, expired or used")),
        };
        self.codes.spend(&code);
        Ok(self.pair(&app_id, now))
    }

    fn refresh(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        self.tp(request, now)?;
        let token = request.query_value("refresh_token").ok_or_else(|| oauth("invalid_request", "refresh_token is missing"))?;
        let app_id = match self.refresh.good(&token, now) {
            Ok(app_id) => app_id.clone(),
            Err(_) => return Err(oauth("expired_token", "refresh token has been used")),
        };
        self.refresh.spend(&token);
        Ok(self.pair(&app_id, now))
    }

    /// A new pair; the former access token dies, the former refresh token stays known as used.
    fn pair(&mut self, app_id: &str, now: Timestamp) -> Value {
        let (access, refresh) = (token_text(45, 3600, now), token_text(46, 315_360_000, now));
        self.access.issue(access.clone(), app_id.to_owned(), after(now, 3600), now);
        self.refresh.issue(refresh.clone(), app_id.to_owned(), after(now, 315_360_000), now);
        let app = self.apps.entry(app_id.to_owned()).or_default();
        if let Some(former) = app.access.replace(access.clone()) {
            self.access.withdraw(&former);
        }
        if let Some(former) = app.refresh.replace(refresh.clone()) {
            self.refresh.spend(&former);
        }
        json!({"access_token": access, "refresh_token": refresh, "expires_in": 3600})
    }

    fn retrieve(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        self.tp(request, now)?;
        let app_id = request.form_value("app_id").ok_or_else(|| gateway(100, "Invalid parameter"))?;
        if !self.apps.contains_key(&app_id) {
            return Err(platform(50032, "no authorization relation"));
        }
        let code = self.code(&app_id, 18_000, now);
        Ok(success(json!({"authorization_code": code, "expires_in": 18_000})))
    }

    fn info(&self, request: &Request, now: Timestamp) -> Result<Value, No> {
        bearer(&self.access, request, now)?;
        let token = request.query_value("access_token").unwrap_or_default();
        let app_id = self.access.good(&token, now).cloned().unwrap_or_default();
        let scopes = ["开发管理权限", "基本信息设置权限"].map(|name| json!({"scope_name": name, "type": 0}));
        Ok(success(json!({
            "app_id": app_number(&app_id), "app_name": format!("Sample app {app_id}"), "app_key": "sampleAppKey",
            "auth_info": scopes, "status": 1,
        })))
    }

    fn page(&self, request: &Request, now: Timestamp) -> Result<Value, No> {
        let code = request.query_value("pre_auth_code").unwrap_or_default();
        let ours = request.query_value("client_id").as_deref() == Some(self.of.client_id.as_str());
        let back = request.query_value("redirect_uri").ok_or_else(|| platform(40001, "redirect_uri is missing"))?;
        match self.pre_auth_codes.state(&code, now) {
            State::Good if ours => Ok(success(json!({"redirect_uri": back}))),
            _ => Err(platform(40003, "page error, try later")),
        }
    }
}

/// Checks the token in the query against those handed out.
fn bearer<W>(issued: &Issued<W>, request: &Request, now: Timestamp) -> Result<(), No> {
    let token = request.query_value("access_token").ok_or_else(|| gateway(100, "Invalid parameter"))?;
    match issued.state(&token, now) {
        State::Good => Ok(()),
        State::Expired => Err(gateway(111, "Access token expired")),
        State::Used | State::Unknown => Err(gateway(110, "Access token invalid or no longer valid")),
    }
}

fn success(data: Value) -> Value {
    json!({"errno": 0, "msg": "success", "data": data})
}

impl Twin for BaiduTwin {
    fn ticket(&mut self, now: Timestamp) -> Option<Outgoing> {
        let ticket = text();
        let lifetime = i64::try_from(self.of.ticket_lifetime.max(Duration::from_mins(10)).as_secs()).unwrap_or(i64::MAX);
        self.tickets.issue(ticket.clone(), (), after(now, lifetime), now);
        let body = json!({
            "Ticket": ticket, "FromUserName": "SmartAPP", "CreateTime": now.as_second(), "MsgType": "ticket", "Event": "push",
        });
        Some(self.say(Door::Authorization, &body.to_string(), now))
    }

    fn grant(&mut self, app_id: &str, now: Timestamp) -> GrantStory {
        let event = if self.apps.contains_key(app_id) { "UPDATE_AUTHORIZED" } else { "AUTHORIZED" };
        self.apps.entry(app_id.to_owned()).or_default();
        let pushed = self.code(app_id, 60, now);
        let returned = self.code(app_id, 3600, now);
        let more = json!({"authorizationCode": pushed, "authorizationCodeExpiresIn": 60});
        let push = self.event(Door::Authorization, app_id, event, more, now);
        GrantStory { push: Some(push), redirect_query: format!("authorization_code={returned}&expires_in=3600") }
    }

    fn revoke(&mut self, app_id: &str, now: Timestamp) -> Option<Outgoing> {
        self.forget_tokens(app_id);
        self.codes.withdraw_all(|of| of == app_id);
        self.apps.remove(app_id)?;
        Some(self.event(Door::Authorization, app_id, "UNAUTHORIZED", json!({}), now))
    }

    fn audit(&mut self, app_id: &str, version: &str, verdict: &Verdict, now: Timestamp) -> Outgoing {
        self.packages += 1;
        let package = json!({"packageId": self.packages, "packageVersion": version});
        match verdict {
            Verdict::Passed => self.event(Door::Message, app_id, "PACKAGE_AUDIT_PASS", package, now),
            Verdict::Failed(reason) => {
                let failed = json!({"packageId": self.packages, "packageVersion": version, "reason": reason});
                self.event(Door::Message, app_id, "PACKAGE_AUDIT_FAIL", failed, now)
            }
        }
    }

    fn say(&mut self, door: Door, plain: &str, now: Timestamp) -> Outgoing {
        self.of.sealing.seal(door, plain, &self.of.tp_id, PAD_TO, now)
    }

    fn reseal(&mut self, push: &Outgoing, now: Timestamp) -> Outgoing {
        self.say(push.door, &String::from_utf8_lossy(&push.plain), now)
    }

    fn forge(&mut self, push: &Outgoing) -> Outgoing {
        Sealing::forge(push)
    }

    fn acknowledged(&self, _push: &Outgoing, status: u16, body: &[u8]) -> bool {
        sorted_envelope::acknowledged(status, body)
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Answer {
        let grant_type = request.query_value("grant_type");
        let (deed, result) = match (request.method, request.path.trim_end_matches('/'), grant_type.as_deref()) {
            (Method::Get, "/public/2.0/smartapp/auth/tp/token", _) => ("component_token", self.component_token(request, now)),
            (Method::Get, "/rest/2.0/smartapp/tp/createpreauthcode", _) => ("link", self.pre_auth_code(request, now)),
            (Method::Get, "/rest/2.0/oauth/token", Some("app_to_tp_authorization_code")) => ("exchange", self.exchange(request, now)),
            (Method::Get, "/rest/2.0/oauth/token", Some("app_to_tp_refresh_token")) => ("refresh", self.refresh(request, now)),
            (Method::Get, "/rest/2.0/oauth/token", _) => ("other", Err(oauth("unsupported_grant_type", "unknown grant_type"))),
            (Method::Post, "/rest/2.0/smartapp/auth/retrieve/authorizationcode", _) => ("recover", self.retrieve(request, now)),
            (Method::Get, "/rest/2.0/smartapp/app/info", _) => ("info", self.info(request, now)),
            (Method::Get, "/mappconsole/tp/authorization", _) => ("other", self.page(request, now)),
            _ => ("other", Err(gateway(3, "Unsupported openapi method"))),
        };
        match result {
            Ok(body) => Answer::json(deed, true, 200, &body),
            Err(No(status, body)) => Answer::json(deed, false, status, &body),
        }
    }

    fn rate_limited(&mut self, _request: &Request, _now: Timestamp) -> Answer {
        let No(status, body) = gateway(4, "Open api request limit reached");
        Answer::json("other", false, status, &body)
    }

    fn expire_tokens(&mut self, app_id: Option<&str>) {
        match app_id {
            None => {
                self.token.take().inspect(|token| self.tokens.withdraw(token));
            }
            Some(app_id) => {
                let token = self.apps.get_mut(app_id).and_then(|app| app.access.take());
                token.inspect(|token| self.access.withdraw(token));
            }
        }
    }

    fn accepts(&self, app_id: Option<&str>, token: &str, now: Timestamp) -> bool {
        match app_id {
            None => self.tokens.state(token, now) == State::Good,
            Some(app_id) => self.access.good(token, now).is_ok_and(|of| of == app_id),
        }
    }
}
