//! The one error body: `application/problem+json` (RFC 9457), as contract 3 words it.
//!
//! Handlers return a [`Problem`]; `passage` writes it out with the request's id and logs its cause once. A 5xx whose reason is ours
//! tells the caller an id and nothing else.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::{Map, Value, json};

pub use super::kind::Kind;
use crate::platform::ApiError;

/// An answer that is no success.
#[derive(Debug, Clone)]
pub struct Problem(Box<Content>);

#[derive(Debug, Clone)]
struct Content {
    kind: Kind,
    /// What is wrong this time, for the caller.
    detail: String,
    /// What to do next, for the caller.
    hint: Option<String>,
    /// Where waiting helps.
    retry_after: Option<Duration>,
    /// Further members.
    members: Map<String, Value>,
    /// For `Allow`.
    allow: Option<String>,
    /// For the log only.
    cause: Option<String>,
    /// The vendor's no that this tells of.
    refusal: Option<ApiError>,
}

impl Problem {
    /// A problem of that kind; `detail` is shown to the caller.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let members = Map::new();
        let detail = detail.into();
        Self(Box::new(Content { kind, detail, hint: None, retry_after: None, members, allow: None, cause: None, refusal: None }))
    }

    /// With what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// With `Retry-After`, in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// With a further member.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// With the vendor's no that it tells of, for pages, which tell it in other words.
    #[must_use]
    pub fn of_refusal(mut self, refusal: &ApiError) -> Self {
        self.0.refusal = Some(refusal.clone());
        self
    }

    /// Not found: no `what` is called `name`.
    #[must_use]
    pub fn no_such(what: &str, name: &str) -> Self {
        let name = shortened(name);
        Self::new(Kind::NotFound, format!("there is no {what} `{name}`"))
    }

    /// Not found: no such address.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::new(Kind::NotFound, "there is nothing at this address")
    }

    /// The address has other methods.
    #[must_use]
    pub fn wrong_method(allowed: &[Method]) -> Self {
        let allowed = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let mut problem = Self::new(Kind::WrongMethod, format!("this address answers to {allowed}"));
        problem.0.allow = Some(allowed);
        problem
    }

    /// Parameters or members that are not valid: name and why, all of them, or the first where somebody made up endlessly many.
    #[must_use]
    pub fn invalid(bad: &[(String, String)]) -> Self {
        let more = bad.len().saturating_sub(MOST_NAMED);
        let bad = bad.iter().take(MOST_NAMED).map(|(name, why)| (shortened(name), why));
        let mut detail = bad.clone().map(|(name, why)| format!("`{name}` {why}")).collect::<Vec<_>>().join("; ");
        if more > 0 {
            detail.push_str(&format!("; and {more} more"));
        }
        let named = bad.map(|(name, why)| json!({ "name": name, "problem": why })).collect();
        Self::new(Kind::InvalidParameter, detail).with("parameters", Value::Array(named))
    }

    /// The store does not answer; `cause` goes to the log only.
    #[must_use]
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        let mut problem =
            Self::new(Kind::Unavailable, "the store does not take or give anything right now").retry_after(Duration::from_secs(5));
        problem.0.cause = Some(cause.to_string());
        problem
    }

    /// Our fault; `cause` goes to the log only.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        let mut problem = Self::new(Kind::Internal, "the operator finds the reason in the log under this request's id");
        problem.0.cause = Some(cause.to_string());
        problem
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What is wrong, for the caller.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What to do next.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// How long to wait.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// A further member.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.0.members.get(name)
    }

    /// The vendor's no that it tells of.
    #[must_use]
    pub fn refusal(&self) -> Option<&ApiError> {
        self.0.refusal.as_ref()
    }

    /// What the log should say and the caller should not read.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The members of the body, with the id under which the log knows the request.
    #[must_use]
    pub fn body(&self, request_id: Option<&str>) -> Map<String, Value> {
        let content = &self.0;
        let mut body = Map::new();
        body.insert("type".into(), format!("/problems/{}", content.kind.slug()).into());
        body.insert("title".into(), content.kind.title().into());
        body.insert("status".into(), content.kind.status().as_u16().into());
        body.insert("detail".into(), content.detail.as_str().into());
        if let Some(hint) = &content.hint {
            body.insert("hint".into(), hint.as_str().into());
        }
        if let Some(id) = request_id {
            body.insert("request_id".into(), id.into());
        }
        body.extend(content.members.clone());
        body
    }

    /// The answer, with that body.
    #[must_use]
    pub fn answer(&self, request_id: Option<&str>) -> HttpResponse {
        let content = &self.0;
        let body = self.body(request_id);
        let mut answer = HttpResponseBuilder::new(content.kind.status());
        answer.content_type("application/problem+json").insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(wait) = content.retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds_up(wait)));
        }
        if let Some(allow) = &content.allow {
            answer.insert_header((header::ALLOW, allow.as_str()));
        }
        if content.kind == Kind::Unauthenticated {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"yizhan\""));
        }
        answer.body(Value::Object(body).to_string())
    }
}

/// Parameters or members that one answer names as not valid.
const MOST_NAMED: usize = 100;

/// Characters of somebody's own word that an answer or a log line repeats.
const MOST_REPEATED: usize = 128;

/// The beginning of a word that somebody made up: whoever says something endless is not answered, or logged, as endlessly.
#[must_use]
pub fn shortened(word: &str) -> Cow<'_, str> {
    match word.char_indices().nth(MOST_REPEATED).and_then(|(end, _)| word.get(..end)) {
        Some(beginning) => Cow::Owned(format!("{beginning}…")),
        None => Cow::Borrowed(word),
    }
}

/// Whole seconds, rounded up and never 0: a caller that waits them has waited long enough.
#[must_use]
pub fn seconds_up(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.slug(), self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.kind.status()
    }

    fn error_response(&self) -> HttpResponse {
        self.answer(None)
    }
}
