//! The twin's tokens: ticket → TP token → pre-authorization code → exchange → refresh → retrieve (4).

use serde_json::{Value, json};
use uuid::Uuid;

use super::no::{No, bearer, gateway, oauth, platform, success};
use super::{BaiduTwin, text};
use crate::clock::Timestamp;
use crate::platform::issued::State;
use crate::platform::loose::after;
use crate::platform::twin::Request;

/// Token text as Baidu writes it (4.0).
fn token_text(prefix: u8, seconds: i64, now: Timestamp) -> String {
    format!("{prefix}.{}.{seconds}.{}.{}-17328", text(), now.as_second() + seconds, Uuid::new_v4().as_u128() % 10_000_000_000)
}

impl BaiduTwin {
    /// Checks the TP token that a call carries.
    pub(super) fn tp(&self, request: &Request, now: Timestamp) -> Result<(), No> {
        bearer(&self.tokens, request, now)
    }

    pub(super) fn component_token(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
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

    pub(super) fn pre_auth_code(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        self.tp(request, now)?;
        let code = text() + &text();
        self.pre_auth_codes.issue(code.clone(), (), after(now, 1200), now);
        Ok(success(json!({"pre_auth_code": code, "expires_in": 1200})))
    }

    pub(super) fn exchange(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        self.tp(request, now)?;
        let code = request.query_value("code").ok_or_else(|| oauth("invalid_request", "code is missing"))?;
        let app_id = match self.codes.good(&code, now) {
            Ok(app_id) => app_id.clone(),
            Err(_) => return Err(oauth("invalid_grant", "Invalid authorization code: unknown, expired or used")),
        };
        self.codes.spend(&code);
        Ok(self.pair(&app_id, now))
    }

    pub(super) fn refresh(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
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

    pub(super) fn retrieve(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        self.tp(request, now)?;
        let app_id = request.form_value("app_id").ok_or_else(|| gateway(100, "Invalid parameter"))?;
        if !self.apps.contains_key(&app_id) {
            return Err(platform(50032, "no authorization relation"));
        }
        let code = self.code(&app_id, 18_000, now);
        Ok(success(json!({"authorization_code": code, "expires_in": 18_000})))
    }

    /// Whose token a call carries.
    pub(super) fn holder(&self, request: &Request, now: Timestamp) -> Result<String, No> {
        bearer(&self.access, request, now)?;
        let token = request.query_value("access_token").unwrap_or_default();
        Ok(self.access.good(&token, now).cloned().unwrap_or_default())
    }

    pub(super) fn info(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        let app_id = self.holder(request, now)?;
        Ok(success(self.program(&app_id).info()))
    }

    pub(super) fn page(&self, request: &Request, now: Timestamp) -> Result<Value, No> {
        let code = request.query_value("pre_auth_code").unwrap_or_default();
        let ours = request.query_value("client_id").as_deref() == Some(self.of.client_id.as_str());
        let back = request.query_value("redirect_uri").ok_or_else(|| platform(40001, "redirect_uri is missing"))?;
        match self.pre_auth_codes.state(&code, now) {
            State::Good if ours => Ok(success(json!({"redirect_uri": back}))),
            _ => Err(platform(40003, "page error, try later")),
        }
    }
}
