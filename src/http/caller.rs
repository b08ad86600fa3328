//! Permission in a handler's signature: `Caller<EventsRead>` is somebody with a key of ours that has that scope for the component in the path,
//! and the authorizer in the path, where there is one, has an id that can be one.
//!
//! A handler without a component in its path asks [`Caller::reach`] which components the key is narrowed to, and shows only those.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use actix_web::dev::{Payload, RequestHead};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use ipnet::IpNet;

use super::Face;
use super::connections;
use super::problem::{Kind, Problem, shortened};
use crate::access::{ApiKey, Scope};
use crate::attributes::is_authorizer;
use crate::envelope::{digest, equal};

/// What every key begins with, so that a leaked one is recognised.
const PREFIX: &str = "yzk_";

/// Which addresses a request came by.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Longer texts are no keys of ours and not worth hashing.
const LONGEST: usize = 256;

/// The keys of the configuration, found by the SHA-256 of their text.
pub struct Keyring(HashMap<[u8; 32], Arc<ApiKey>>);

impl Keyring {
    /// These keys.
    #[must_use]
    pub fn new(keys: &[ApiKey]) -> Self {
        Self(keys.iter().map(|key| (key.hash, Arc::new(key.clone()))).collect())
    }

    /// The key with that text. What is compared is a digest that the sender cannot steer, and the last comparison takes the same time whatever it finds.
    #[must_use]
    pub fn named_by(&self, text: &str) -> Option<&Arc<ApiKey>> {
        if !text.starts_with(PREFIX) || text.len() > LONGEST {
            return None;
        }
        let hash = digest::sha256(&[text.as_bytes()]);
        self.0.get(&hash).filter(|key| equal::bytes(&key.hash, &hash))
    }

    /// The key that an `Authorization` header shows.
    pub(super) fn shown(&self, authorization: &HeaderValue) -> Option<&Arc<ApiKey>> {
        std::str::from_utf8(authorization.as_bytes()).ok().and_then(bearer).and_then(|text| self.named_by(text))
    }
}

/// A scope as a type.
pub trait Permission: 'static {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {$(
        $(#[doc = $doc])+
        pub struct $name;

        impl Permission for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )+};
}

permissions! {
    /// `read`
    Read,
    /// `tokens:read`
    TokensRead,
    /// `tokens:force`
    TokensForce,
    /// `tickets:read`
    TicketsRead,
    /// `authorizations:create`
    AuthorizationsCreate,
    /// `events:read`
    EventsRead,
    /// `events:replay`
    EventsReplay,
    /// `subscriptions:write`
    SubscriptionsWrite,
    /// `operations:call`
    OperationsCall,
    /// `proxy:call`
    ProxyCall,
    /// `attributes:write`
    AttributesWrite,
    /// `playbooks:write`
    PlaybooksWrite,
    /// `rollouts:write`
    RolloutsWrite,
    /// `audit:read`
    AuditRead,
    /// `store:backup`
    StoreBackup,
}

/// Components that a key may see or act on, for one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All, and what belongs to none.
    All,
    /// Only these.
    Only(Vec<String>),
}

impl Reach {
    /// Whether that component is within.
    #[must_use]
    pub fn has(&self, component: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| name == component),
        }
    }

    /// The only component, where there is but one.
    #[must_use]
    pub fn only_one(&self) -> Option<&str> {
        match self {
            Self::Only(names) => match names.as_slice() {
                [name] => Some(name),
                _ => None,
            },
            Self::All => None,
        }
    }
}

/// Somebody who may do `P`.
pub struct Caller<P> {
    key: Arc<ApiKey>,
    /// The caller's address.
    pub remote: IpAddr,
    may: PhantomData<P>,
}

/// Who reads, for the audit.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    /// Name of the key.
    pub key: &'a str,
    /// The caller's address.
    pub remote: IpAddr,
}

impl<P: Permission> Caller<P> {
    /// Who this is, for the audit.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { key: self.name(), remote: self.remote }
    }

    /// Name of the key, for the audit.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Components that this key reaches with this scope.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match self.key.components(P::SCOPE) {
            None => Reach::All,
            Some(names) => Reach::Only(names.into_iter().map(str::to_owned).collect()),
        }
    }

    /// Goes on only if the key reaches that component (`None`: what belongs to no single one).
    ///
    /// # Errors
    /// `forbidden`.
    pub fn must_reach(&self, component: Option<&str>) -> Result<(), Problem> {
        if self.key.may(P::SCOPE, component) { Ok(()) } else { Err(forbidden(P::SCOPE, component)) }
    }
}

impl Caller<EventsReplay> {
    /// Goes on only if the key may read the events of that component as well (`None`: of all).
    ///
    /// # Errors
    /// `forbidden`.
    pub fn must_read(&self, component: Option<&str>) -> Result<(), Problem> {
        if self.key.may(Scope::EventsRead, component) { Ok(()) } else { Err(forbidden(Scope::EventsRead, component)) }
    }
}

fn forbidden(scope: Scope, component: Option<&str>) -> Problem {
    let needed = component.map_or_else(|| scope.to_string(), |component| format!("{scope}@{}", shortened(component)));
    Problem::new(Kind::Forbidden, format!("this API key lacks the scope `{needed}`"))
        .hint("add the scope to the key in yizhan.toml, or use another key")
}

impl<P: Permission> FromRequest for Caller<P> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admit(request))
    }
}

/// The name of the key that a request came with, for the access log.
#[derive(Clone)]
pub(super) struct KeyName(pub Arc<ApiKey>);

fn admit<P: Permission>(request: &HttpRequest) -> Result<Caller<P>, Problem> {
    let face = request.app_data::<web::Data<Face>>().ok_or_else(|| Problem::internal("the face is not registered"))?;
    let remote = remote(request.head(), &face.app.config.server.trusted_proxies);
    let authorization = request.headers().get(header::AUTHORIZATION).ok_or_else(|| {
        Problem::new(Kind::Unauthenticated, "the request has no API key")
            .hint("send `Authorization: Bearer yzk_…`; `yizhan keys new` makes a key")
    })?;
    let Some(key) = face.keys.shown(authorization) else {
        // A right key is never held up by somebody else's wrong ones behind the same address: guessing 256 bits is hopeless anyway,
        // what is damped is the noise.
        return Err(match face.wrong_keys.count(remote, face.app.clock.now()) {
            Ok(()) => {
                Problem::new(Kind::Unauthenticated, "this API key is not known here").hint("`[[api_keys]]` of yizhan.toml names the keys")
            }
            Err(wait) => Problem::new(Kind::RateLimited, "too many wrong API keys from this address").retry_after(wait),
        });
    };
    connections::has_spoken(request);
    request.extensions_mut().insert(KeyName(Arc::clone(key)));
    let permitted = match request.match_info().get("component") {
        Some(component) if key.may(P::SCOPE, Some(component)) => Ok(()),
        Some(component) => Err(forbidden(P::SCOPE, Some(component))),
        None if key.components(P::SCOPE).is_none_or(|names| !names.is_empty()) => Ok(()),
        None => Err(forbidden(P::SCOPE, None)),
    };
    permitted?;
    // Here for every address that names one: what no app id can be goes into no audit, log or store.
    if let Some(authorizer) = request.match_info().get("authorizer").filter(|authorizer| !is_authorizer(authorizer)) {
        return Err(Problem::no_such("authorizer", authorizer));
    }
    Ok(Caller { key: Arc::clone(key), remote, may: PhantomData })
}

/// The credentials of a Bearer header; the scheme's name is read without regard to case (RFC 9110 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, credentials) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credentials.trim())
}

/// The caller's address. Where the peer is a trusted proxy, it is the last entry of `X-Forwarded-For` that no trusted proxy accounts for:
/// what stands before that one is the caller's own word and counts for nothing.
#[must_use]
pub(super) fn remote(request: &RequestHead, proxies: &[IpNet]) -> IpAddr {
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut remote = request.peer_addr.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip().to_canonical());
    if !is_proxy(&remote) {
        return remote;
    }
    // Entry by entry: what the caller wrote need be no text, and must not take the proxy's word with it.
    let headers: Vec<&[u8]> = request.headers().get_all(FORWARDED_FOR).map(HeaderValue::as_bytes).collect();
    for entry in headers.iter().rev().flat_map(|list| list.rsplit(|byte| *byte == b',')) {
        if !is_proxy(&remote) {
            break;
        }
        let Some(address) = std::str::from_utf8(entry).ok().and_then(|entry| address(entry.trim())) else { break };
        remote = address;
    }
    remote
}

/// An entry, which some proxies write with a port.
fn address(entry: &str) -> Option<IpAddr> {
    let address = entry.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}
