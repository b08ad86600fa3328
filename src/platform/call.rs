//! An HTTP exchange with a vendor as data: [`Call`] out, [`Reply`] back, [`ApiError`] when the vendor says no.
//!
//! Everything prints redacted: values in queries and bodies are never shown, only their names.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::secret::Secret;

/// HTTP methods that vendors use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
}

impl Method {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A value that may be secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Shown to nobody either, but not wiped.
    Plain(String),
    /// A token, ticket, code or key.
    Secret(Secret),
}

impl Value {
    /// The text to send.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => write!(f, "{text:?}"),
            Self::Secret(_) => f.write_str("[redacted]"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl From<&Secret> for Value {
    fn from(secret: &Secret) -> Self {
        Self::Secret(secret.clone())
    }
}

impl From<Secret> for Value {
    fn from(secret: Secret) -> Self {
        Self::Secret(secret)
    }
}

/// Names with values, in the order in which they are sent.
pub type Fields = Vec<(String, Value)>;

/// What a call carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// `application/x-www-form-urlencoded`, UTF-8.
    Form(Fields),
    /// `application/json`, the exact text.
    Json(Value),
    /// `multipart/form-data`.
    Multipart(Vec<Part>),
}

/// One part of a multipart body.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// Field name.
    pub name: String,
    /// File name, for files.
    pub file_name: Option<String>,
    /// Content type, for files.
    pub content_type: Option<String>,
    /// Content.
    pub content: Bytes,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{} bytes]", self.name, self.content.len())
    }
}

/// One request to a vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Scheme, host and path, without a query.
    pub url: String,
    /// Query parameters, unencoded.
    pub query: Fields,
    /// Headers, names in lower case.
    pub headers: Fields,
    /// Body.
    pub body: Body,
    /// Total time for connecting, sending and reading the whole answer.
    pub timeout: Duration,
}

/// Time a vendor is given for an ordinary call.
pub const ORDINARY_TIMEOUT: Duration = Duration::from_secs(10);

impl Call {
    /// A `GET` of `url` with nothing else.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// A `POST` to `url` with an empty body.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new(Method::Post, url)
    }

    /// A call with that method.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), query: Vec::new(), headers: Vec::new(), body: Body::Empty, timeout: ORDINARY_TIMEOUT }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a header; the name in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Sets a JSON body from a value without secrets.
    #[must_use]
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.body(Body::Json(Value::Plain(value.to_string())))
    }

    /// Host and path, for logs: a vendor call's query never reaches one.
    #[must_use]
    pub fn target(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest)
    }
}

/// What a vendor answered. Prints its status and length only: the body may hold tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Content type, lower case, without parameters; empty when there was none.
    pub content_type: String,
    /// The raw body.
    pub body: Bytes,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({} {} {} bytes)", self.status, self.content_type, self.body.len())
    }
}

/// What one can do about a vendor's no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Try again later, with backoff: overload, internal error, unreadable answer.
    Retry,
    /// Try again much later.
    RateLimited,
    /// The component's token was refused: renew it, then repeat once.
    RenewComponentToken,
    /// The authorizer's token was refused: renew it, then repeat once.
    RenewAuthorizerToken,
    /// The ticket was refused: wait for the next one.
    TicketInvalid,
    /// The code is unknown, expired or used.
    CodeInvalid,
    /// The refresh token is unknown, expired or used: recover.
    RefreshTokenInvalid,
    /// The grant no longer stands: the authorizer is revoked.
    GrantGone,
    /// Wrong id, secret, key or IP list: an operator must act.
    Configuration,
    /// No, for good: parameters, permissions, state, quota.
    Refuse,
}

/// A vendor's no, in its words and in ours.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// What one can do.
    pub class: Class,
    /// The vendor's code, as text (`40037`, `aop.invalid-app-auth-token`, `http 502`).
    pub code: String,
    /// The vendor's words; holds no secret.
    pub message: String,
    /// What to do next, where the reference explains the code.
    pub advice: Option<&'static str>,
}

/// Codes of our own, beside `http …`, for answers that cannot be read or believed (Alipay signs its answers).
const UNREADABLE: &[&str] = &["unreadable", "repeated-name", "unsigned", "unknown-certificate", "bad-signature", "undecipherable"];

/// Those of them that another key in our settings may open: by itself the answer is whole.
const KEYLESS: &[&str] = &["unknown-certificate", "bad-signature", "undecipherable"];

/// Further codes of our own, for what a browser brought and for what we miss in an answer: no vendor said so.
const OURS: &[&str] =
    &["no-code", "overlong-code", "wrong-app-id", "time", "no-answer", "no-pre-auth-code", "no app id", "another authorizer"];

impl ApiError {
    /// An error without advice.
    pub fn new(class: Class, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class, code: code.into(), message: message.into(), advice: None }
    }

    /// An answer without the vendor's code: [`ApiError::unreadable`], or too many calls where the status says so.
    #[must_use]
    pub fn codeless(reply: &Reply, what: &str) -> Self {
        match reply.status {
            429 => Self::new(Class::RateLimited, "http 429", "too many requests"),
            _ => Self::unreadable(reply, what),
        }
    }

    /// The answer is not what the vendor's reference promises. Never holds any of the body.
    #[must_use]
    pub fn unreadable(reply: &Reply, what: &str) -> Self {
        Self::new(Class::Retry, format!("http {}", reply.status), format!("the answer holds no {what}"))
    }

    /// Whether the answer could not be read, or not be believed: nobody knows what the vendor did.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        (self.class == Class::Retry && self.code.starts_with("http ")) || UNREADABLE.contains(&self.code.as_str())
    }

    /// Whether a vendor named this code, or somebody here did for want of one.
    #[must_use]
    pub fn is_vendors_word(&self) -> bool {
        !(self.is_unreadable() || self.code.starts_with("http ") || OURS.contains(&self.code.as_str()))
    }

    /// Whether no vendor answered in its own words, but something before it refused the call as it was written (a gateway's page with 414): the same
    /// call will fare no better. Not where the status tells of us (401, 403, 404, 407), which an operator may mend, or says to come back (408, 425, 429).
    #[must_use]
    pub fn is_turned_away(&self) -> bool {
        let status = self.code.strip_prefix("http ").and_then(|status| status.parse::<u16>().ok());
        status.is_some_and(|status| (400..500).contains(&status) && !matches!(status, 401 | 403 | 404 | 407 | 408 | 425 | 429))
    }

    /// Whether the answer lacks nothing but the right key on our side: once an operator has put that right, the same answer can be read.
    #[must_use]
    pub fn lacks_key(&self) -> bool {
        self.class == Class::Configuration && KEYLESS.contains(&self.code.as_str())
    }
}
