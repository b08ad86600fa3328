//! Baidu's tokens (4): ticket → TP token → pre-authorization code and link → exchange → refresh → retrieve.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Application;
use super::errors::{self, Bearer};
use crate::clock::Timestamp;
use crate::platform::call::{ApiError, Body, Call, Reply, Value as Sent};
use crate::platform::token::{
    AuthorizationCode, AuthorizerTokens, Family, Identity, Link, LinkRequest, LostReply, Permission, Recovered, Refresh, RefreshToken,
    Renewal, Returned, Standing, TicketRule, Token, TokenKey, Tokens,
};
use crate::platform::{loose, redirect};
use crate::secret::Secret;

const DAY: i64 = 86_400;
/// Lifetimes where an answer does not say (4.9).
const TP_TOKEN_SECONDS: i64 = 30 * DAY;
const APP_TOKEN_SECONDS: i64 = 3600;
const REFRESH_TOKEN_SECONDS: i64 = 315_360_000;
const PRE_AUTH_CODE_SECONDS: i64 = 1200;
const REDIRECT_CODE_SECONDS: i64 = 3600;
const RETRIEVED_CODE_SECONDS: i64 = 18_000;

impl Application {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.of.base_url)
    }

    /// Code exchange and refresh share one address (4.5, 4.7).
    fn grant(&self, standing: Standing<'_>, grant_type: &str, name: &str, value: &Secret) -> Call {
        Call::get(self.url("/rest/2.0/oauth/token"))
            .query("access_token", bearer(standing))
            .query("grant_type", grant_type)
            .query(name, value)
    }
}

impl Tokens for Application {
    fn ticket_rule(&self) -> Option<TicketRule> {
        Some(TicketRule { every: Duration::from_mins(10), lifetime: self.of.ticket_lifetime })
    }

    fn renewal(&self, key: &TokenKey) -> Renewal {
        // Whether a new token ends the former one is unverified (8.2, 4): nobody may rely on an overlap.
        let ahead = match key {
            TokenKey::Component(_) => Duration::from_hours(7 * 24),
            TokenKey::Authorizer { .. } => Duration::from_mins(10),
        };
        Renewal { ahead, overlap: Duration::ZERO, exercise: None }
    }

    fn component_token(&self, _family: Family, ticket: &Secret) -> Option<Call> {
        let call = Call::get(self.url("/public/2.0/smartapp/auth/tp/token"));
        Some(call.query("client_id", self.of.client_id.as_str()).query("ticket", ticket))
    }

    fn read_component_token(&self, _family: Family, reply: &Reply, now: Timestamp) -> Result<Token, ApiError> {
        let mut data = data(reply, Bearer::Component)?;
        let seconds = loose::lifetime_of(&data, &["expires_in"], TP_TOKEN_SECONDS);
        let value = loose::required_secret(&mut data, "access_token", reply)?;
        Ok(Token { value, expires_at: Some(loose::after(now, seconds)) })
    }

    fn exchange(&self, standing: Standing<'_>, code: &Secret) -> Call {
        self.grant(standing, "app_to_tp_authorization_code", "code", code)
    }

    fn refresh(&self, standing: Standing<'_>, _app_id: &str, refresh_token: &Secret) -> Refresh {
        Refresh::Spend(self.grant(standing, "app_to_tp_refresh_token", "refresh_token", refresh_token))
    }

    fn read_tokens(&self, _family: Family, reply: &Reply, now: Timestamp) -> Result<Vec<AuthorizerTokens>, ApiError> {
        let mut data = data(reply, Bearer::Component)?;
        let seconds = loose::lifetime_of(&data, &["expires_in"], APP_TOKEN_SECONDS);
        let access =
            Token { value: loose::required_secret(&mut data, "access_token", reply)?, expires_at: Some(loose::after(now, seconds)) };
        let refresh = RefreshToken {
            value: loose::required_secret(&mut data, "refresh_token", reply)?,
            expires_at: Some(loose::after(now, REFRESH_TOKEN_SECONDS)),
        };
        Ok(vec![AuthorizerTokens { app_id: None, access, refresh: Some(refresh), permissions: None }])
    }

    fn recover(&self, standing: Standing<'_>, app_id: &str) -> Option<Call> {
        let call = Call::post(self.url("/rest/2.0/smartapp/auth/retrieve/authorizationcode"));
        let form = Body::Form(vec![(String::from("app_id"), app_id.into())]);
        Some(call.query("access_token", bearer(standing)).body(form))
    }

    fn read_recovered(&self, _family: Family, _app_id: &str, reply: &Reply, now: Timestamp) -> Result<Recovered, ApiError> {
        let mut data = data(reply, Bearer::Component)?;
        let seconds = loose::lifetime_of(&data, &["expires_in"], RETRIEVED_CODE_SECONDS);
        let value = loose::required_secret(&mut data, "authorization_code", reply)?;
        Ok(Recovered::Code(AuthorizationCode { value, expires_at: loose::after(now, seconds) }))
    }

    fn lost_reply(&self) -> LostReply {
        LostReply::RepeatThenRecover
    }

    fn identify(&self, _standing: Standing<'_>, access_token: &Secret) -> Option<Call> {
        Some(Call::get(self.url("/rest/2.0/smartapp/app/info")).query("access_token", access_token))
    }

    fn read_identity(&self, reply: &Reply) -> Result<Identity, ApiError> {
        let data = data(reply, Bearer::Authorizer)?;
        let Some(app_id) = loose::text_of(&data, &["app_id"]) else { return Err(ApiError::unreadable(reply, "`app_id`")) };
        let permissions = data.get("auth_info").and_then(Value::as_array).map(|scopes| {
            let names = scopes.iter().filter_map(Value::as_object).filter_map(|scope| loose::text_of(scope, &["scope_name"]));
            names.map(|name| Permission { id: String::new(), name: name.into_owned() }).collect()
        });
        Ok(Identity { app_id: app_id.into_owned(), name: loose::text_of(&data, &["app_name"]).map(Cow::into_owned), permissions })
    }

    fn prepare_link(&self, standing: Standing<'_>, _request: &LinkRequest) -> Option<Call> {
        Some(Call::get(self.url("/rest/2.0/smartapp/tp/createpreauthcode")).query("access_token", bearer(standing)))
    }

    fn link(&self, request: &LinkRequest, prepared: Option<&Reply>, now: Timestamp) -> Result<Link, ApiError> {
        let reply = redirect::prepared(prepared)?;
        let mut data = data(reply, Bearer::Component)?;
        let seconds = loose::lifetime_of(&data, &["expires_in"], PRE_AUTH_CODE_SECONDS);
        let code = loose::required_secret(&mut data, "pre_auth_code", reply)?;
        let back = redirect::with_state(self.of.redirect_uri.as_deref().unwrap_or(&request.redirect_uri), &request.state);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.of.client_id)
            .append_pair("redirect_uri", &back)
            .append_pair("pre_auth_code", code.expose())
            .finish();
        Ok(Link {
            url: format!("{}/mappconsole/tp/authorization?{query}", self.of.console_url),
            mobile_url: None,
            batch_url: None,
            expires_at: Some(loose::after(now, seconds)),
        })
    }

    /// Only a registration brings this code, with or without another one (4.4).
    fn is_registration(&self, query: &str) -> bool {
        redirect::value(query, "create_authorization_code").is_some()
    }

    fn returned(&self, query: &str, now: Timestamp) -> Result<Returned, ApiError> {
        redirect::returned(query, REDIRECT_CODE_SECONDS, now)
    }
}

/// The TP token of a call; without one the vendor refuses it.
fn bearer(standing: Standing<'_>) -> Sent {
    Sent::Secret(standing.component_token.cloned().unwrap_or_default())
}

/// `data` of the envelope, or the flat object that the OAuth address answers (4.5).
fn data(reply: &Reply, bearer: Bearer) -> Result<Map<String, Value>, ApiError> {
    let mut map = errors::read(reply, bearer)?;
    match map.get_mut("data").map(Value::take) {
        Some(Value::Object(inner)) => Ok(inner),
        _ => Ok(map),
    }
}
