//! Vendor calls that have no row, passed on with a token of ours.
//!
//! Called by `http`. The platform says which paths there are and where the token goes (`platform::proxy`). A call is sent once; only when the
//! vendor refused it for its token, before acting on it, is it sent a second time with a new one, provided that its body was kept.

use std::sync::Arc;

use bytes::Bytes;

use super::TokenSource;
use crate::clock::Clock;
use crate::outbound::SendError;
use crate::outbound::relay::{self, Load, Passed, Passing, Pieces, Relay};
use crate::platform::call::{Class, Fields};
use crate::platform::operation::{Bearer, Caller};
use crate::platform::proxy::{self, NotProxied, Proxied, Request};
use crate::platform::{Component, Components, Reply, TokenKey, Value};
use crate::vault::{Served, VaultError};

/// Methods that are passed on.
pub const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// A body of at most so many bytes is kept for a second sending.
pub const KEPT_BYTES: usize = 256 * 1024;

/// An answer of at most so many bytes is looked at: a refusal is never longer.
const LOOKED_AT_BYTES: usize = 64 * 1024;

/// Request headers that are passed on. The caller's key, cookies and what proxies add stay here; so does `accept-encoding`, because an
/// answer that is compressed could not be looked at.
const REQUEST_HEADERS: &[&str] = &["accept", "accept-language", "content-type", "if-modified-since", "if-none-match", "range"];

/// Answer headers that are not passed on: those of one connection, and those that speak for the vendor's own site.
const KEPT_BACK: &[&str] = &[
    "alt-svc",
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why something was not passed on.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No such component.
    #[error("there is no component of that name")]
    UnknownComponent,
    /// The platform passes nothing on.
    #[error("nothing is passed on to {0}")]
    NotApplicable(&'static str),
    /// The path or a parameter.
    #[error(transparent)]
    NotProxied(#[from] NotProxied),
    /// The body must be kept whole there and is longer than that many bytes.
    #[error("the body is over {0} bytes")]
    TooLarge(usize),
    /// No token.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The vendor could not be reached, or did not answer.
    #[error(transparent)]
    Unreachable(#[from] SendError),
}

/// What came with a request.
pub enum Incoming {
    /// All of it, at most [`KEPT_BYTES`].
    Whole(Bytes),
    /// More, piece by piece.
    Streamed {
        /// `Content-Length`, where it is known.
        length: Option<u64>,
        /// The pieces.
        pieces: Pieces,
    },
}

/// A request to pass on.
pub struct Asked {
    /// One of [`METHODS`].
    pub method: String,
    /// The path at the vendor as it came, with its leading slash.
    pub path: String,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// Headers as they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Incoming,
}

/// Passes calls on.
pub struct Proxy {
    components: Components,
    tokens: Arc<dyn TokenSource>,
    relay: Arc<dyn Relay>,
    clock: Arc<dyn Clock>,
}

impl Proxy {
    /// Puts a proxy together.
    #[must_use]
    pub fn new(components: Components, tokens: Arc<dyn TokenSource>, relay: Arc<dyn Relay>, clock: Arc<dyn Clock>) -> Self {
        Self { components, tokens, relay, clock }
    }

    /// Whether that path is one that is passed on for that component.
    #[must_use]
    pub fn knows(&self, component: &str, path: &str) -> bool {
        let proxied = self.components.named(component).and_then(|component| component.proxy());
        proxied.is_some_and(|proxied| proxy::path(path).is_ok_and(|path| proxied.lane(path).is_ok()))
    }

    /// Passes one call on. The answer's headers are those that may be passed back.
    ///
    /// # Errors
    /// See [`ProxyError`]. Whatever the vendor answers is no error.
    pub async fn pass(&self, component: &str, authorizer: Option<&str>, asked: Asked) -> Result<Passed, ProxyError> {
        let component = self.components.named(component).ok_or(ProxyError::UnknownComponent)?;
        let proxied = component.proxy().ok_or(ProxyError::NotApplicable(component.platform().name()))?;
        let path = proxy::path(&asked.path)?;
        let key = key(component.as_ref(), proxied.lane(path)?.bearer(authorizer.is_some()), authorizer);
        let mut load = match asked.body {
            Incoming::Whole(bytes) => Kept::Whole(bytes),
            Incoming::Streamed { .. } if proxied.reads_body() => return Err(ProxyError::TooLarge(KEPT_BYTES)),
            Incoming::Streamed { length, pieces } => Kept::Once(Load::Streamed { length, pieces }),
        };
        let journey = Journey { proxied, component: component.as_ref(), authorizer, path, headers: &asked.headers, query: &asked.query };
        loop {
            let held = match &key {
                Some(key) => Some(self.tokens.fresh(component.name(), key).await?),
                None => None,
            };
            let (sent, left) = load.take();
            let passing = journey.passing(&asked.method, sent, held.as_ref(), self.clock.now())?;
            let mut passed = self.relay.pass(passing).await?;
            let rejected = journey.rejects_token(&mut passed).await;
            if let (true, Some(key), Some(held)) = (rejected, &key, &held) {
                // Also where this call cannot be sent again: the next one gets a token that works.
                let renewed = self.tokens.report_invalid(component.name(), key, held.generation).await;
                if let (Some(left), Ok(_)) = (left, renewed) {
                    load = left;
                    continue;
                }
            }
            return Ok(cleaned(passed, held.as_ref()));
        }
    }
}

/// The token that a request carries; none where calls are signed with the component's own key.
fn key(component: &dyn Component, bearer: Bearer, authorizer: Option<&str>) -> Option<TokenKey> {
    match (bearer, authorizer) {
        (Bearer::Authorizer(family), Some(app_id)) => Some(TokenKey::Authorizer { app_id: app_id.to_owned(), family }),
        (Bearer::Component(family), _) if component.needs_component_token() => Some(TokenKey::Component(family)),
        _ => None,
    }
}

/// What may still be sent.
enum Kept {
    Whole(Bytes),
    /// Of kept bytes that were sent once already, or a stream: this is the last time.
    Once(Load),
}

impl Kept {
    /// What to send now, and what is left for a second time.
    fn take(self) -> (Load, Option<Self>) {
        match self {
            Self::Whole(bytes) => (Load::Whole(bytes.clone()), Some(Self::Once(Load::Whole(bytes)))),
            Self::Once(load) => (load, None),
        }
    }
}

/// What stays the same when a call is sent a second time.
struct Journey<'a> {
    proxied: &'a dyn Proxied,
    component: &'a dyn Component,
    authorizer: Option<&'a str>,
    path: &'a str,
    headers: &'a [(String, String)],
    query: &'a [(String, String)],
}

impl Journey<'_> {
    fn passing(&self, method: &str, load: Load, held: Option<&Served>, now: crate::clock::Timestamp) -> Result<Passing, ProxyError> {
        let content_type = self.headers.iter().find(|(name, _)| name == "content-type").map_or("", |(_, value)| value.as_str());
        let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let body = match &load {
            Load::Whole(bytes) => Some(bytes.as_ref()),
            _ => None,
        };
        let token = held.map(|served| &served.token);
        let caller =
            Caller { component_token: if self.authorizer.is_none() { token } else { None }, authorizer: self.authorizer.zip(token), now };
        let request = Request { path: self.path, query: self.query, content_type: &content_type, body };
        let dressed = self.proxied.dress(request, caller)?;
        let is_made = dressed.body.is_some();
        let passed_on = |name: &str| REQUEST_HEADERS.contains(&name) && !(is_made && name == "content-type");
        let mut headers: Fields = Vec::new();
        headers.extend(
            self.headers.iter().filter(|(name, _)| passed_on(name)).map(|(name, value)| (name.clone(), Value::from(value.as_str()))),
        );
        headers.extend(dressed.headers);
        let (method, load) = match dressed.body {
            Some(body) => ("POST", Load::Made(body)),
            None => (method, load),
        };
        tracing::debug!(component = self.component.name(), authorizer = self.authorizer, path = self.path, "passing a vendor call on");
        Ok(Passing { method: method.to_owned(), url: dressed.url, query: dressed.query, headers, load })
    }

    /// Whether the answer is a refusal of the token. What is read of it for that is put back. That a grant is gone is said of the token
    /// only where that is the merchant's own; the vault finds out with a renewal whether it is so.
    async fn rejects_token(&self, passed: &mut Passed) -> bool {
        let content_type = passed.header("content-type").unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !(content_type.is_empty() || content_type.ends_with("json") || content_type.starts_with("text/")) {
            return false;
        }
        let pieces = std::mem::replace(&mut passed.pieces, relay::one_piece(Bytes::new()));
        match relay::whole(pieces, LOOKED_AT_BYTES).await {
            Ok(body) => {
                passed.pieces = relay::one_piece(body.clone());
                match self.proxied.rejects_token(self.path, &Reply { status: passed.status, content_type, body }) {
                    Some(Class::GrantGone) => self.authorizer.is_some(),
                    rejected => rejected.is_some(),
                }
            }
            Err(pieces) => {
                passed.pieces = pieces;
                false
            }
        }
    }
}

/// The answer without headers that are not for the caller, nor any that repeats the token (a redirect to the same address, for one).
fn cleaned(mut passed: Passed, held: Option<&Served>) -> Passed {
    let named: Vec<String> =
        passed.header("connection").unwrap_or_default().split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    let repeats_token = |value: &[u8]| {
        held.is_some_and(|held| {
            let token = held.token.expose().as_bytes();
            !token.is_empty() && value.windows(token.len()).any(|window| window == token)
        })
    };
    passed.headers.retain(|(name, value)| !KEPT_BACK.contains(&name.as_str()) && !named.contains(name) && !repeats_token(value));
    passed
}
