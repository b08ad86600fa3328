//! How Alipay's authorizer tokens are asked for, renewed and won back (4). There is neither ticket nor component token: every call is
//! signed with the application's key.
//!
//! A refresh gives a new pair; the spent refresh token is superseded, and spending it again gives `REFRESH_TOKEN_NOT_VALID`. So when the
//! answer to a refresh is lost, it is repeated once (the first may never have arrived), and then the token is looked up among the
//! application's authorizations (4.6). That lookup brings no refresh token; the access token has no end of its own, so it serves
//! until the merchant authorizes again.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::content::{number, text};
use super::gateway::Request;
use super::link;
use super::notice;
use super::settings::Application;
use crate::clock::Timestamp;
use crate::platform::call::{self, ApiError, Call, Class, Reply};
use crate::platform::token::{
    AuthorizerTokens, Family, Link, LinkRequest, LostReply, Recovered, Refresh, Renewal, Returned, Standing, TicketRule, Token, TokenKey,
    Tokens,
};
use crate::secret::Secret;

/// Exchange and refresh.
pub const TOKEN: &str = "alipay.open.auth.token.app";

/// The application's authorizations.
pub const AUTHORIZATIONS: &str = "alipay.open.mini.appauth.query";

/// The refresh token lives 372 days; a month before its end it is used (Alipay 4.4).
const AHEAD: Duration = Duration::from_secs(30 * 24 * 3600);

impl Tokens for Application {
    fn ticket_rule(&self) -> Option<TicketRule> {
        None
    }

    fn renewal(&self, _key: &TokenKey) -> Renewal {
        // How long a replaced token still works is undocumented, so nobody may count on it.
        Renewal { ahead: AHEAD, overlap: Duration::ZERO, exercise: None }
    }

    fn component_token(&self, _family: Family, _ticket: &Secret) -> Option<Call> {
        None
    }

    fn read_component_token(&self, _family: Family, reply: &Reply, _now: Timestamp) -> Result<Token, ApiError> {
        Err(ApiError::unreadable(reply, "component token: Alipay has none"))
    }

    fn exchange(&self, standing: Standing<'_>, code: &Secret) -> Call {
        self.token_call(&json!({"grant_type": "authorization_code", "code": code.expose()}), standing.now)
    }

    fn refresh(&self, standing: Standing<'_>, _app_id: &str, refresh_token: &Secret) -> Refresh {
        Refresh::Spend(self.token_call(&json!({"grant_type": "refresh_token", "refresh_token": refresh_token.expose()}), standing.now))
    }

    fn read_tokens(&self, _family: Family, reply: &Reply, now: Timestamp) -> Result<Vec<AuthorizerTokens>, ApiError> {
        let node = self.gateway.read(TOKEN, reply)?;
        // The present shape is a list, one entry per application of a batch; the older one is flat (Alipay 8, conflict 5).
        let listed = node.get("tokens").and_then(Value::as_array).filter(|tokens| !tokens.is_empty());
        let tokens: Option<Vec<AuthorizerTokens>> = match listed {
            Some(tokens) => tokens.iter().map(|entry| notice::tokens(entry.as_object()?, now)).collect(),
            None => notice::tokens(&node, now).map(|tokens| vec![tokens]),
        };
        match tokens {
            Some(tokens) if tokens.iter().all(|tokens| tokens.app_id.is_some()) => Ok(tokens),
            _ => Err(ApiError::unreadable(reply, "app_auth_token with its auth_app_id")),
        }
    }

    fn recover(&self, standing: Standing<'_>, app_id: &str) -> Option<Call> {
        let content = json!({"auth_app_id": app_id, "page_no": 1, "page_size": 20}).to_string();
        self.recover_by_query.then(|| self.gateway.call(Request::biz(AUTHORIZATIONS, content), standing.now))
    }

    fn read_recovered(&self, _family: Family, app_id: &str, reply: &Reply, _now: Timestamp) -> Result<Recovered, ApiError> {
        let node = self.gateway.read(AUTHORIZATIONS, reply)?;
        // Of another kind of application the list says nothing.
        let (absent, words) = match self.links.are_for_mini_programs_only() {
            true => (Class::GrantGone, "the application holds no authorization of this mini program"),
            false => (Class::Refuse, "the application's mini programs lack it, which may be an application of another kind"),
        };
        recovered(&node, app_id, absent, words).map(|tokens| Recovered::Tokens(Box::new(tokens)))
    }

    fn recovers_wholly(&self) -> bool {
        false
    }

    fn lost_reply(&self) -> LostReply {
        LostReply::RepeatThenRecover
    }

    fn prepare_link(&self, _standing: Standing<'_>, _request: &LinkRequest) -> Option<Call> {
        None
    }

    fn link(&self, request: &LinkRequest, _prepared: Option<&Reply>, _now: Timestamp) -> Result<Link, ApiError> {
        Ok(self.links.link(self.gateway.app_id(), request))
    }

    fn returned(&self, query: &str, now: Timestamp) -> Result<Returned, ApiError> {
        link::returned(self.gateway.app_id(), query, now)
    }
}

impl Application {
    fn token_call(&self, content: &Value, now: Timestamp) -> Call {
        let content = call::Value::Secret(Secret::new(content.to_string()));
        self.gateway.call(Request::biz(TOKEN, content), now)
    }
}

/// The tokens of one mini program out of the list; `absent` and `words` are what it means that the whole list lacks it.
fn recovered(node: &Map<String, Value>, app_id: &str, absent: Class, words: &'static str) -> Result<AuthorizerTokens, ApiError> {
    let list = node.get("app_auth_list").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let entry = list.iter().filter_map(Value::as_object).find(|entry| text(entry, "auth_app_id").as_deref() == Some(app_id));
    let Some(entry) = entry else {
        // Should the filter be ignored and the list go on, absence from one page proves nothing; nor does a list without its length.
        let complete = number(node, "total_items").map(|total| i64::try_from(list.len()).is_ok_and(|seen| total <= seen));
        let (class, words) = match complete {
            Some(true) => (absent, words),
            None => (Class::Retry, "the list of authorizations does not say how long it is"),
            Some(false) => (Class::Refuse, "the list of authorizations is longer than what was asked for"),
        };
        return Err(ApiError { advice: Some("ask the merchant to authorize again"), ..ApiError::new(class, "not-in-list", words) });
    };
    let access = text(entry, "mini_app_token").ok_or_else(|| ApiError {
        advice: Some("ask the merchant to authorize again"),
        ..ApiError::new(Class::Refuse, "no-token", "the list of authorizations holds no mini_app_token")
    })?;
    Ok(AuthorizerTokens {
        app_id: Some(app_id.to_owned()),
        access: Token { value: Secret::new(access), expires_at: None },
        refresh: None,
        permissions: None,
    })
}
