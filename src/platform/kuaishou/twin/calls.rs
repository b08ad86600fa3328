//! What Kuaishou answers to the calls of section 4, and which room answers the rest.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Outgoing, Vendor};
use crate::clock::Timestamp;
use crate::platform::call::{Method, Reply};
use crate::platform::kuaishou::later;
use crate::platform::kuaishou::tokens::{
    ACCESS_TOKEN, AUTHORIZER_ACCESS_TOKEN, CODE_SECONDS, PRE_AUTH_CODE, PRE_AUTH_CODE_SECONDS, RE_AUTHORIZATION_CODE, START_PUSH_TICKET,
    TOKEN_SECONDS,
};
use crate::platform::twin::{About, Answer, Request};

/// Lifetime of a refresh token, in seconds: 30 days.
const REFRESH_SECONDS: i64 = 2_592_000;

/// Codes of section 6.2.
pub(super) const BAD_PARAMETER: i64 = 100_200_100;
const BAD_CREDENTIALS: i64 = 100_200_101;
const DENIED: i64 = 100_200_102;
const WRONG_CODE: i64 = 100_200_105;
pub(super) const EXPIRED: i64 = 100_200_108;
const CANCELLED: i64 = 100_200_109;
const REFRESH_EXPIRED: i64 = 100_200_113;
/// A code in no list, so that only its words say what to do.
pub(super) const UNLISTED: i64 = 100_299_999;
/// Too often, or too many.
pub(super) const LIMITED: i64 = 100_100_402;
pub(super) const INTERNAL: No = No(100_200_500, "internal error");

/// The vendor's no.
pub(super) struct No(pub(super) i64, pub(super) &'static str);

/// What a call gives, without `result` and message.
pub(super) type Given = Result<Map<String, Value>, No>;

pub(super) fn given(members: Value) -> Given {
    match members {
        Value::Object(members) => Ok(members),
        _ => Ok(Map::new()),
    }
}

/// The calls of section 4, in its order.
impl Vendor {
    pub(super) fn answered(&mut self, request: &Request, now: Timestamp) -> Answer {
        let (mut pushes, mut about): (_, Option<About>) = (Vec::new(), None);
        let refresh = self.application.refresh.endpoint.as_ref().map(|endpoint| (endpoint.method, endpoint.path.clone()));
        let is_refresh = |method, path: &str| refresh.as_ref().is_some_and(|(of, at)| (*of, at.as_str()) == (method, path));
        // Calls of section 4 are GET (4.1), the refresh is as the settings say.
        let (deed, outcome) = match (request.method, request.path.as_str()) {
            (Method::Get, START_PUSH_TICKET) => ("start_tickets", self.start_tickets(request, &mut pushes, now)),
            (Method::Get, ACCESS_TOKEN) => ("component_token", self.component_token(request, now)),
            (Method::Get, PRE_AUTH_CODE) => ("link", self.pre_auth_code(request, now)),
            (Method::Get, AUTHORIZER_ACCESS_TOKEN) => ("exchange", self.exchange(request, now)),
            (Method::Get, RE_AUTHORIZATION_CODE) => ("recover", self.recover(request, &mut pushes, now)),
            (_, "/authorize") => return page(request, &self.pre_auth_codes, now),
            (method, path) if is_refresh(method, path) => ("refresh", self.refresh(request, now)),
            (method, path) if self.application.calls.at(method, path).is_some() => self.carried_out(request, now, &mut about),
            _ => {
                return Answer {
                    reply: reply(404, &json!({ "result": 404, "error_msg": "no such path" })),
                    pushes,
                    deed: "other",
                    accepted: false,
                    about,
                };
            }
        };
        let accepted = outcome.is_ok();
        let reply = match outcome {
            // The vendor's samples carry words even beside a success; nobody may test for them.
            Ok(mut members) => {
                members.insert(String::from("result"), 1.into());
                members.insert(words_of(request).to_owned(), "成功".into());
                reply(200, &Value::Object(members))
            }
            Err(no) => refusal(request, no),
        };
        Answer { reply, pushes, deed, accepted, about }
    }

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

    pub(super) fn ours(&self, request: &Request) -> Result<(), No> {
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

    pub(super) fn with_component_token(&self, request: &Request, now: Timestamp) -> Result<(), No> {
        self.ours(request)?;
        let token = parameter(request, "component_access_token")?;
        match self.component_tokens.get(&token) {
            Some(Some(expires_at)) if now < *expires_at => Ok(()),
            Some(Some(_)) => Err(No(EXPIRED, "access_token expired")),
            Some(None) | None => Err(No(UNLISTED, "component_access_token 已失效")),
        }
    }
}

pub(super) fn parameter(request: &Request, name: &str) -> Result<String, No> {
    request.query_value(name).filter(|value| !value.is_empty()).ok_or(No(BAD_PARAMETER, "a parameter is missing"))
}

/// The member with the words; the two families of calls spell it differently.
fn words_of(request: &Request) -> &'static str {
    if request.path.starts_with("/openapi/") { "error_msg" } else { "errorMsg" }
}

pub(super) fn refusal(request: &Request, No(code, words): No) -> Reply {
    reply(200, &json!({ "result": code, (words_of(request)): words }))
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
    Answer { reply, pushes: Vec::new(), deed: "other", accepted, about: None }
}
