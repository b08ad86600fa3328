//! Douyin's tokens (4), both generations: ticket → component token → link → exchange → refresh → retrieve.
//!
//! Tokens of the two generations never mix (4.4): [`Family::Current`] is V2, and V1 tokens are won with V1's retrieve and exchange.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Application, Style, errors};
use crate::clock::Timestamp;
use crate::platform::call::{ApiError, Body, Call, Method, Reply};
use crate::platform::token::{
    AuthorizationCode, AuthorizerTokens, Family, Link, LinkRequest, LostReply, Permission, Recovered, Refresh, RefreshToken, Renewal,
    Returned, Standing, TicketRule, Token, TokenKey, Tokens,
};
use crate::platform::{loose, redirect};
use crate::secret::Secret;

/// Lifetimes where an answer does not say (4.1).
const TOKEN_SECONDS: i64 = 7200;
const REFRESH_TOKEN_SECONDS: i64 = 2_592_000;
const CODE_SECONDS: i64 = 3600;
const PRE_AUTH_CODE_SECONDS: i64 = 600;
const LINK_SECONDS: i64 = 86_400;

const MINUTE: Duration = Duration::from_mins(1);

impl Application {
    /// A call with the component's token: V2 takes it in a header, V1 in the query beside the component's id (5.0).
    fn call(&self, standing: Standing<'_>, method: Method, v2: &str, v1: &str) -> Call {
        let token = standing.component_token.cloned().unwrap_or_default();
        match standing.family {
            Family::Current => Call::new(method, format!("{}{v2}", self.of.base_url)).header("access-token", token),
            Family::V1 => Call::new(method, format!("{}{v1}", self.of.base_url_v1))
                .query("component_appid", self.of.component_appid.as_str())
                .query("component_access_token", token),
        }
    }

    /// Exchange and refresh share one address in each generation (4.5).
    fn grant(&self, standing: Standing<'_>, grant_type: &str, name: &str, value: &Secret) -> Call {
        self.call(standing, Method::Get, "/api/tpapp/v2/auth/get_auth_token/", "/openapi/v1/oauth/token")
            .query("grant_type", grant_type)
            .query(name, value)
    }

    fn back(&self, request: &LinkRequest) -> String {
        redirect::with_state(self.of.redirect_uri.as_deref().unwrap_or(&request.redirect_uri), &request.state)
    }
}

impl Tokens for Application {
    fn families(&self) -> &'static [Family] {
        &[Family::Current, Family::V1]
    }

    fn ticket_rule(&self) -> Option<TicketRule> {
        Some(TicketRule { every: 10 * MINUTE, lifetime: Duration::from_hours(3) })
    }

    fn renewal(&self, key: &TokenKey) -> Renewal {
        match key {
            // A new token leaves the former one five minutes (4.2).
            TokenKey::Component(Family::Current) => Renewal { ahead: 10 * MINUTE, overlap: 5 * MINUTE, exercise: None },
            // The same token is answered while 30 minutes or more are left, so that what comes on top (at most a quarter) must not reach them; a former
            // one lives to its end (4.2).
            TokenKey::Component(Family::V1) => Renewal { ahead: 23 * MINUTE, overlap: 25 * MINUTE, exercise: None },
            // A refresh ends the former access token at once; a refresh token dies after 30 idle days (4.5).
            TokenKey::Authorizer { .. } => {
                Renewal { ahead: 10 * MINUTE, overlap: Duration::ZERO, exercise: Some(Duration::from_hours(7 * 24)) }
            }
        }
    }

    fn component_token(&self, family: Family, ticket: &Secret) -> Option<Call> {
        let url = match family {
            // Without `/api`, unlike every other V2 path (4.2).
            Family::Current => format!("{}/openapi/v2/auth/tp/token/", self.of.base_url),
            Family::V1 => format!("{}/openapi/v1/auth/tp/token", self.of.base_url_v1),
        };
        let call = Call::get(url).query("component_appid", self.of.component_appid.as_str());
        Some(call.query("component_appsecret", &self.of.component_appsecret).query("component_ticket", ticket))
    }

    fn read_component_token(&self, _family: Family, reply: &Reply, now: Timestamp) -> Result<Token, ApiError> {
        let mut data = errors::read(reply)?;
        token(&mut data, "component_access_token", reply, now)
    }

    fn exchange(&self, standing: Standing<'_>, code: &Secret) -> Call {
        self.grant(standing, "app_to_tp_authorization_code", "authorization_code", code)
    }

    fn refresh(&self, standing: Standing<'_>, _app_id: &str, refresh_token: &Secret) -> Refresh {
        Refresh::Spend(self.grant(standing, "app_to_tp_refresh_token", "authorizer_refresh_token", refresh_token))
    }

    fn read_tokens(&self, _family: Family, reply: &Reply, now: Timestamp) -> Result<Vec<AuthorizerTokens>, ApiError> {
        let mut data = errors::read(reply)?;
        let access = token(&mut data, "authorizer_access_token", reply, now)?;
        let seconds = loose::lifetime_of(&data, &["refresh_expires_in"], REFRESH_TOKEN_SECONDS);
        let refresh = RefreshToken {
            value: loose::required_secret(&mut data, "authorizer_refresh_token", reply)?,
            expires_at: Some(loose::after(now, seconds)),
        };
        // Both may be absent in the answer to a refresh (4.5).
        let app_id = loose::text_of(&data, &["authorizer_appid"]).map(std::borrow::Cow::into_owned);
        let permissions = data.get("authorize_permission").and_then(Value::as_array).map(|listed| {
            let sets = listed.iter().filter_map(Value::as_object);
            sets.map(|set| Permission {
                id: loose::text_of(set, &["id"]).unwrap_or_default().into_owned(),
                name: loose::text_of(set, &["description", "category"]).unwrap_or_default().into_owned(),
            })
            .collect()
        });
        Ok(vec![AuthorizerTokens { app_id, access, refresh: Some(refresh), permissions }])
    }

    fn recover(&self, standing: Standing<'_>, app_id: &str) -> Option<Call> {
        let call = self.call(standing, Method::Post, "/api/tpapp/v2/auth/retrieve_auth_code/", "/openapi/v1/auth/retrieve");
        Some(match standing.family {
            Family::Current => call.json(&json!({"authorization_appid": app_id})),
            Family::V1 => call.query("authorization_appid", app_id).body(Body::Json("{}".into())),
        })
    }

    fn read_recovered(&self, _family: Family, _app_id: &str, reply: &Reply, now: Timestamp) -> Result<Recovered, ApiError> {
        let mut data = errors::read(reply)?;
        let seconds = loose::lifetime_of(&data, &["expires_in"], CODE_SECONDS);
        let value = loose::required_secret(&mut data, "authorization_code", reply)?;
        Ok(Recovered::Code(AuthorizationCode { value, expires_at: loose::after(now, seconds) }))
    }

    /// 4.6.
    fn recovery_echoes(&self) -> bool {
        true
    }

    /// A refresh token works once and its answer may be lost with the token spent: never repeated (6.3).
    fn lost_reply(&self) -> LostReply {
        LostReply::Recover
    }

    fn prepare_link(&self, standing: Standing<'_>, request: &LinkRequest) -> Option<Call> {
        Some(match self.of.style {
            Style::GenLink => self
                .call(standing, Method::Post, "/api/tpapp/v3/auth/gen_link/", "/openapi/v2/auth/gen_link")
                .json(&json!({"link_type": 1, "redirect_uri": self.back(request)})),
            Style::Built => self
                .call(standing, Method::Post, "/api/tpapp/v3/auth/get_pre_auth_code/", "/openapi/v2/auth/pre_auth_code")
                .json(&json!({"pre_auth_code_type": 1})),
        })
    }

    fn link(&self, request: &LinkRequest, prepared: Option<&Reply>, now: Timestamp) -> Result<Link, ApiError> {
        let reply = redirect::prepared(prepared)?;
        let mut data = errors::read(reply)?;
        let (url, seconds) = match self.of.style {
            Style::GenLink => {
                let link = loose::text_of(&data, &["link"]).filter(|link| link.starts_with("https://") || link.starts_with("http://"));
                (link.ok_or_else(|| ApiError::unreadable(reply, "`link`"))?.into_owned(), LINK_SECONDS)
            }
            Style::Built => {
                let seconds = loose::lifetime_of(&data, &["expires_in"], PRE_AUTH_CODE_SECONDS);
                let query = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("component_appid", &self.of.component_appid)
                    .append_pair("pre_auth_code", loose::required_secret(&mut data, "pre_auth_code", reply)?.expose())
                    .append_pair("redirect_uri", &self.back(request))
                    .finish();
                (format!("{}/mappconsole/tp/authorization?{query}", self.of.base_url_v1), seconds)
            }
        };
        Ok(Link { url, mobile_url: None, batch_url: None, expires_at: Some(loose::after(now, seconds)) })
    }

    fn returned(&self, query: &str, now: Timestamp) -> Result<Returned, ApiError> {
        redirect::returned(query, CODE_SECONDS, now)
    }
}

fn token(data: &mut Map<String, Value>, name: &str, reply: &Reply, now: Timestamp) -> Result<Token, ApiError> {
    let seconds = loose::lifetime_of(data, &["expires_in"], TOKEN_SECONDS);
    Ok(Token { value: loose::required_secret(data, name, reply)?, expires_at: Some(loose::after(now, seconds)) })
}
