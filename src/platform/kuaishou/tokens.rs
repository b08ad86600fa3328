//! Kuaishou's tokens (section 4): every call is a GET with its parameters in the query, every answer JSON with `result` 1.
//!
//! By default an authorizer's token is renewed by recovering a code and exchanging it (4.7 `recover`): documented from end to end,
//! while the path of the refresh endpoint is not public. Which way is taken is a setting.

use std::time::Duration;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::errors::Spent;
use super::{Application, first, later, number, text};
use crate::clock::Timestamp;
use crate::platform::call::{ApiError, Call, Class, Method, Reply};
use crate::platform::token::{
    AuthorizationCode, AuthorizerTokens, Family, Link, LinkRequest, LostReply, Permission, Recovered, Refresh, RefreshToken, Renewal,
    Returned, Standing, TicketRule, Token, TokenKey, Tokens,
};
use crate::secret::Secret;
use crate::settings::Settings;

/// Where [`LinkRequest::state`] travels: `auth.state_in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StateIn {
    /// As the last segment of `redirect_uri`'s path: platforms of this family may drop what stands in its query.
    Path,
    /// As `state=` in `redirect_uri`'s query.
    Query,
    /// Only where the template has `{state}`.
    Template,
}

/// `[components.auth]`: the authorization page is not public, so its address is a setting without a default (4.6).
#[derive(Debug)]
pub(super) struct AuthRules {
    page_url_template: Option<String>,
    redirect_uri: Option<String>,
    redirect_code_params: Vec<String>,
    state_in: StateIn,
}

/// Names under which a browser may bring the code back (4.6).
static CODE_PARAMS: [&str; 4] = ["authorization_code", "authorizationCode", "auth_code", "code"];

/// The names that a template knows.
static PLACEHOLDERS: [&str; 4] = ["{component_app_id}", "{pre_auth_code}", "{redirect_uri}", "{state}"];

impl AuthRules {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let page_url_template = settings.optional_text("page_url_template").filter(|template| !template.trim().is_empty());
        if let Some(template) = &page_url_template {
            let filled = PLACEHOLDERS.iter().fold(template.clone(), |filled, placeholder| filled.replace(placeholder, "x"));
            if !template.contains("{pre_auth_code}") {
                settings.problem("page_url_template", "does not hold {pre_auth_code}", "add it where the vendor's page expects the code");
            } else if filled.contains(['{', '}']) {
                settings.problem("page_url_template", "holds a name that is not known", format!("known are {}", PLACEHOLDERS.join(", ")));
            } else if !url::Url::parse(&filled).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
                settings.problem("page_url_template", "is not an http or https address", "write it in full, with https://");
            }
        }
        let redirect_uri = if settings.has("redirect_uri") { Some(settings.url_or("redirect_uri", "https://localhost")) } else { None };
        let mut redirect_code_params = settings.texts("redirect_code_params");
        if redirect_code_params.is_empty() {
            redirect_code_params = CODE_PARAMS.map(str::to_owned).to_vec();
        }
        let state_in = match settings.choice_or("state_in", "path", &["path", "query", "template"]) {
            "query" => StateIn::Query,
            "template" => StateIn::Template,
            _ => StateIn::Path,
        };
        Self { page_url_template, redirect_uri, redirect_code_params, state_in }
    }

    /// Where the browser comes back to, with the state in it.
    fn redirect_uri(&self, request: &LinkRequest) -> String {
        let base = self.redirect_uri.as_deref().unwrap_or(&request.redirect_uri);
        // A state is base64url: nothing in it needs encoding.
        match self.state_in {
            StateIn::Template => base.to_owned(),
            StateIn::Query => format!("{base}{}state={}", if base.contains('?') { '&' } else { '?' }, request.state),
            StateIn::Path => match base.split_once('?') {
                Some((path, query)) => format!("{}/{}?{query}", path.trim_end_matches('/'), request.state),
                None => format!("{}/{}", base.trim_end_matches('/'), request.state),
            },
        }
    }
}

/// How an authorizer's token is renewed: `refresh.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Recover,
    Endpoint,
    EndpointThenRecover,
}

/// The refresh endpoint, whose path only the vendor's console knows.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) path: String,
    pub(super) method: Method,
    /// Name of the parameter that carries the refresh token.
    pub(super) token_param: String,
    /// Fixed parameters, as `grant_type`.
    extra_query: Vec<(String, String)>,
}

/// `[components.refresh]`.
#[derive(Debug)]
pub(super) struct RefreshRules {
    strategy: Strategy,
    pub(super) endpoint: Option<Endpoint>,
    /// Tokens are renewed when less than this is left.
    margin: Duration,
    /// How long a replaced authorizer token is trusted to work on.
    overlap: Duration,
    /// Shortest time between two renewals of one token that callers force.
    min_interval: Duration,
}

impl RefreshRules {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let strategy = match settings.choice_or("strategy", "recover", &["recover", "endpoint", "endpoint_then_recover"]) {
            "endpoint" => Strategy::Endpoint,
            "endpoint_then_recover" => Strategy::EndpointThenRecover,
            _ => Strategy::Recover,
        };
        let path = settings.optional_text("path").filter(|path| !path.is_empty());
        match &path {
            // Where it is, is not published (4.7): not even what it begins with.
            Some(path) if !is_path(path) => {
                settings.problem("path", "is no path", "copy it from the vendor's console, with its first slash, without host and query");
            }
            None if strategy == Strategy::Endpoint => {
                settings.problem("path", "is missing, and `strategy` needs it", "add the path, or set strategy = \"recover\"");
            }
            _ => {}
        }
        let method = match settings.choice_or("method", "GET", &["GET", "POST"]) {
            "POST" => Method::Post,
            _ => Method::Get,
        };
        let token_param = settings.text_or("token_param", "authorizer_refresh_token");
        let extra_query = super::section(settings, "extra_query", |table| {
            table.keys().into_iter().map(|key| (table.text_or(&key, ""), key)).map(|(value, key)| (key, value)).collect()
        });
        Self {
            strategy,
            endpoint: path.map(|path| Endpoint { path, method, token_param, extra_query }),
            margin: settings.duration_or("margin", Duration::from_secs(1200)),
            overlap: settings.duration_or("overlap", Duration::ZERO),
            min_interval: settings.duration_or("min_interval", Duration::from_secs(30)),
        }
    }

    /// The endpoint, where the strategy uses it.
    fn used(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref().filter(|_| self.strategy != Strategy::Recover)
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-.".contains(&b))
}

/// Paths of section 4.
pub(super) const START_PUSH_TICKET: &str = "/mp/tp/oauth/start_push_ticket";
pub(super) const ACCESS_TOKEN: &str = "/mp/tp/oauth/access_token";
pub(super) const PRE_AUTH_CODE: &str = "/mp/tp/oauth/pre_auth_code";
pub(super) const AUTHORIZER_ACCESS_TOKEN: &str = "/mp/tp/oauth/authorizer_access_token";
pub(super) const RE_AUTHORIZATION_CODE: &str = "/mp/tp/oauth/re_authorization_code";

/// Lifetime of component and authorizer tokens where an answer names none (4.3, 4.5), in seconds.
pub(super) const TOKEN_SECONDS: i64 = 7200;
/// Lifetime of a code (4.8), in seconds.
pub(super) const CODE_SECONDS: i64 = 3600;
/// Lifetime of a pre-authorization code (4.4), in seconds.
pub(super) const PRE_AUTH_CODE_SECONDS: i64 = 600;

/// With an endpoint, a refresh token of 30 days is used at least this often (4.9).
const EXERCISE: Duration = Duration::from_secs(7 * 86_400);

impl Application {
    fn call(&self, path: &str) -> Call {
        Call::get(format!("{}{path}", self.base_url)).query("component_app_id", self.app_id.as_str())
    }

    fn call_with_token(&self, path: &str, standing: Standing<'_>) -> Call {
        match standing.component_token {
            Some(token) => self.call(path).query("component_access_token", token),
            None => self.call(path),
        }
    }

    /// A secret member of an answer.
    fn secret(&self, reply: &Reply, object: &Map<String, Value>, name: &str) -> Result<Secret, ApiError> {
        let found = first(object, &spellings(name)).and_then(text);
        found.map(Secret::new).ok_or_else(|| ApiError::unreadable(reply, name))
    }
}

/// This family answers in camel case, `/openapi` in snake case; both are read everywhere (4.1).
fn spellings(name: &str) -> [String; 2] {
    let snake = name.chars().flat_map(|c| if c.is_ascii_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] }).collect();
    [name.to_owned(), snake]
}

/// A span of an answer in seconds, positive.
fn seconds(object: &Map<String, Value>, name: &str) -> Option<i64> {
    first(object, &spellings(name)).and_then(number).filter(|seconds| *seconds > 0)
}

/// `authorizePermission`: what the merchant ticked (4.5).
fn permissions(object: &Map<String, Value>) -> Option<Vec<Permission>> {
    let items = first(object, &spellings("authorizePermission"))?.as_array()?;
    let member = |item: &Value, name: &str| item.get(name).and_then(text).unwrap_or_default();
    Some(items.iter().map(|item| Permission { id: member(item, "id"), name: member(item, "category") }).collect())
}

impl Tokens for Application {
    fn ticket_rule(&self) -> Option<TicketRule> {
        // 8.2: the text says three hours, the sample 2400 s; the longer does no harm because the newest ticket is used.
        Some(TicketRule { every: Duration::from_secs(600), lifetime: Duration::from_secs(3 * 3600) })
    }

    fn start_tickets(&self) -> Option<Call> {
        Some(self.call(START_PUSH_TICKET).query("component_app_secret", &self.app_secret))
    }

    fn read_start_tickets(&self, reply: &Reply) -> Result<(), ApiError> {
        self.errors.read_reply(reply, Spent::Nothing, "result").map(|_| ())
    }

    fn renewal(&self, key: &TokenKey) -> Renewal {
        match key {
            // 4.3: older component tokens stay valid until their own expiry.
            TokenKey::Component(_) => {
                Renewal { ahead: self.refresh.margin, overlap: Duration::from_secs(TOKEN_SECONDS.unsigned_abs()), exercise: None }
            }
            TokenKey::Authorizer { .. } => {
                Renewal { ahead: self.refresh.margin, overlap: self.refresh.overlap, exercise: self.refresh.used().map(|_| EXERCISE) }
            }
        }
    }

    fn forced_renewal_interval(&self) -> Duration {
        self.refresh.min_interval
    }

    fn component_token(&self, _family: Family, ticket: &Secret) -> Option<Call> {
        let call = self.call(ACCESS_TOKEN).query("component_app_secret", &self.app_secret);
        Some(call.query("component_verify_ticket", ticket))
    }

    fn read_component_token(&self, _family: Family, reply: &Reply, now: Timestamp) -> Result<Token, ApiError> {
        let object = self.errors.read_reply(reply, Spent::Ticket, "componentAccessToken")?;
        let value = self.secret(reply, &object, "componentAccessToken")?;
        Ok(Token { value, expires_at: Some(later(now, seconds(&object, "expiresIn").unwrap_or(TOKEN_SECONDS))) })
    }

    fn exchange(&self, standing: Standing<'_>, code: &Secret) -> Call {
        self.call_with_token(AUTHORIZER_ACCESS_TOKEN, standing).query("authorization_code", code)
    }

    fn refresh(&self, standing: Standing<'_>, _app_id: &str, refresh_token: &Secret) -> Refresh {
        let Some(endpoint) = self.refresh.used() else { return Refresh::Recover };
        let mut call = self.call_with_token(&endpoint.path, standing).query(&endpoint.token_param, refresh_token);
        call.method = endpoint.method;
        for (name, value) in &endpoint.extra_query {
            call = call.query(name, value.as_str());
        }
        Refresh::Spend(call)
    }

    fn read_tokens(&self, _family: Family, reply: &Reply, now: Timestamp) -> Result<Vec<AuthorizerTokens>, ApiError> {
        // An answer does not say what it answers. Without an endpoint it can only be an exchange; with one, a code that failed is
        // told as a refresh token that failed, and both end in a recovery.
        let spent = if self.refresh.used().is_some() { Spent::RefreshToken } else { Spent::Code };
        let object = self.errors.read_reply(reply, spent, "authorizerAccessToken")?;
        let value = self.secret(reply, &object, "authorizerAccessToken")?;
        let refresh = self
            .secret(reply, &object, "authorizerRefreshToken")
            .ok()
            .map(|value| RefreshToken { value, expires_at: seconds(&object, "refreshExpiresIn").map(|seconds| later(now, seconds)) });
        Ok(vec![AuthorizerTokens {
            app_id: first(&object, &spellings("authorizerAppId")).and_then(text),
            access: Token { value, expires_at: Some(later(now, seconds(&object, "expiresIn").unwrap_or(TOKEN_SECONDS))) },
            refresh,
            permissions: permissions(&object),
        }])
    }

    fn recover(&self, standing: Standing<'_>, app_id: &str) -> Option<Call> {
        // `endpoint` alone is for those who want to see it fail; the other two may always win a code back.
        // 4.8 spells `authorized_`, not `authorizer_`.
        (self.refresh.strategy != Strategy::Endpoint)
            .then(|| self.call_with_token(RE_AUTHORIZATION_CODE, standing).query("authorized_app_id", app_id))
    }

    fn read_recovered(&self, _family: Family, _app_id: &str, reply: &Reply, now: Timestamp) -> Result<Recovered, ApiError> {
        let object = self.errors.read_reply(reply, Spent::ComponentToken, "authorizationCode")?;
        let value = self.secret(reply, &object, "authorizationCode")?;
        Ok(Recovered::Code(AuthorizationCode { value, expires_at: later(now, seconds(&object, "expiresIn").unwrap_or(CODE_SECONDS)) }))
    }

    /// 3.1.4.
    fn recovery_echoes(&self) -> bool {
        true
    }

    fn lost_reply(&self) -> LostReply {
        LostReply::Recover
    }

    fn prepare_link(&self, standing: Standing<'_>, _request: &LinkRequest) -> Option<Call> {
        Some(self.call_with_token(PRE_AUTH_CODE, standing))
    }

    fn link(&self, request: &LinkRequest, prepared: Option<&Reply>, now: Timestamp) -> Result<Link, ApiError> {
        let nothing = || ApiError::new(Class::Retry, "no-pre-auth-code", "the pre-authorization code was not asked for");
        let reply = prepared.ok_or_else(nothing)?;
        let object = self.errors.read_reply(reply, Spent::ComponentToken, "preAuthCode")?;
        let code = self.secret(reply, &object, "preAuthCode")?;
        let expires_at = later(now, seconds(&object, "expiresIn").unwrap_or(PRE_AUTH_CODE_SECONDS));
        let Some(template) = &self.auth.page_url_template else {
            // The code itself stays out: errors are logged, and whoever holds the code can bind a merchant to this application.
            return Err(ApiError {
                class: Class::Configuration,
                code: String::from("auth.page_url_template"),
                message: format!(
                    "the address of the vendor's authorization page is not set; a pre-authorization code was given, valid until {expires_at}"
                ),
                advice: Some(
                    "copy the page's address from the vendor's console into auth.page_url_template, with {pre_auth_code} where the code goes",
                ),
            });
        };
        let redirect_uri = self.auth.redirect_uri(request);
        let values = [self.app_id.as_str(), code.expose(), &redirect_uri, &request.state];
        let url = PLACEHOLDERS.iter().zip(values).fold(template.clone(), |url, (placeholder, value)| {
            url.replace(placeholder, &form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>())
        });
        Ok(Link { url, mobile_url: None, batch_url: None, expires_at: Some(expires_at) })
    }

    fn returned(&self, query: &str, now: Timestamp) -> Result<Returned, ApiError> {
        let found = |name: &str| {
            let value = form_urlencoded::parse(query.as_bytes()).find(|(known, value)| known == name && !value.is_empty());
            value.map(|(_, value)| value.into_owned())
        };
        let Some(code) = self.auth.redirect_code_params.iter().find_map(|name| found(name)) else {
            return Err(ApiError {
                class: Class::Refuse,
                code: String::from("no-code"),
                message: String::from("the address that the browser came back with holds no authorization code"),
                advice: Some(
                    "start again with a new link; if the vendor names the code differently, add the name to auth.redirect_code_params",
                ),
            });
        };
        let lifetime = ["expires_in", "expiresIn"].iter().find_map(|name| found(name)).and_then(|text| text.parse().ok());
        // At most the known one: anybody can write a query, and what it says is how long its code is tried.
        let expires_at = later(now, lifetime.filter(|seconds| (1..=CODE_SECONDS).contains(seconds)).unwrap_or(CODE_SECONDS));
        Ok(Returned { code: AuthorizationCode { value: Secret::new(code), expires_at }, state: found("state") })
    }
}
