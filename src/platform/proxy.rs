//! Vendor calls that have no row: which paths of a vendor may be passed on, and where its token goes.
//!
//! Called by `operations::proxy`, which fetches the token and sends. Everything here is pure. Hosts are only ever those of the component's
//! settings, and a path is only ever a plain path: no scheme, no host, no dots, no escapes.

use super::call::{Body, Class, Fields, Reply, Value};
use super::operation::{Bearer, Caller};
use super::token::Family;

/// Where a lane's token goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Into the query, under that name.
    Query(&'static str),
    /// Into a header of that name (lower case).
    Header(&'static str),
    /// Where the platform's own [`Proxied::dress`] puts it.
    Own,
}

/// Paths of one vendor host that take their token in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane<'a> {
    /// How they begin.
    pub prefix: &'static str,
    /// The host, from the component's settings, without a trailing slash.
    pub base: &'a str,
    /// Which family of tokens.
    pub family: Family,
    /// Where an authorizer's token goes.
    pub authorizer: Carrier,
    /// Where the component's own token goes.
    pub component: Carrier,
    /// The query parameter that names the component, where there is one.
    pub id: Option<(&'static str, &'a str)>,
}

/// What a caller wants passed on.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The path at the vendor, checked by [`path`].
    pub path: &'a str,
    /// Query parameters, decoded.
    pub query: &'a [(String, String)],
    /// Media type of the body, lower case, without parameters; empty when there is none.
    pub content_type: &'a str,
    /// The body, where [`Proxied::reads_body`] asks for it; else it is passed on as it comes.
    pub body: Option<&'a [u8]>,
}

/// What is sent to the vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dressed {
    /// Scheme, host and path.
    pub url: String,
    /// Query, with the token where it belongs there.
    pub query: Fields,
    /// Headers of ours.
    pub headers: Fields,
    /// `Some`: sent with `POST` instead of the caller's body.
    pub body: Option<Body>,
}

/// Why something is not passed on.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum NotProxied {
    /// The path is none of those that are.
    #[error("{0}")]
    Path(String),
    /// A parameter that is filled in here, or that cannot be passed on.
    #[error("`{name}` {reason}")]
    Parameter {
        /// Its name; `body` for the body.
        name: String,
        /// Why.
        reason: String,
    },
}

/// How a platform's calls are passed on.
pub trait Proxied: Send + Sync {
    /// Its lanes; the first whose prefix fits counts.
    fn lanes(&self) -> Vec<Lane<'_>>;

    /// Paths below the lanes that are not passed on: they give or spend tokens, which the vault alone does.
    fn closed(&self) -> &'static [&'static str];

    /// Whether the body is read whole and sent in another form (Alipay signs it).
    fn reads_body(&self) -> bool {
        false
    }

    /// The request with its token.
    ///
    /// # Errors
    /// [`NotProxied`].
    fn dress(&self, request: Request<'_>, caller: Caller<'_>) -> Result<Dressed, NotProxied> {
        let lane = self.lane(request.path)?;
        lane.dress(request, caller)
    }

    /// How the vendor refused the call because of the token it carried, before acting on it: the token is to be renewed, or there is no
    /// grant behind it ([`Class::GrantGone`]). `None` for every other answer.
    fn rejects_token(&self, path: &str, reply: &Reply) -> Option<Class>;

    /// The lane of a path.
    ///
    /// # Errors
    /// [`NotProxied::Path`], naming those that there are.
    fn lane(&self, path: &str) -> Result<Lane<'_>, NotProxied> {
        if self.closed().iter().any(|prefix| path.starts_with(prefix)) {
            return Err(NotProxied::Path(String::from("this path gives or spends tokens: read them from …/token instead")));
        }
        let lanes = self.lanes();
        let found = lanes.iter().find(|lane| path.starts_with(lane.prefix)).copied();
        found.ok_or_else(|| {
            let known: Vec<_> = lanes.iter().map(|lane| format!("{}…", lane.prefix)).collect();
            NotProxied::Path(format!("this vendor's paths begin with {}", known.join(" or ")))
        })
    }
}

impl Lane<'_> {
    /// Whose token a request carries.
    #[must_use]
    pub fn bearer(&self, for_authorizer: bool) -> Bearer {
        if for_authorizer { Bearer::Authorizer(self.family) } else { Bearer::Component(self.family) }
    }

    fn dress(&self, request: Request<'_>, caller: Caller<'_>) -> Result<Dressed, NotProxied> {
        let mut dressed =
            Dressed { url: format!("{}{}", self.base, request.path), query: Fields::new(), headers: Fields::new(), body: None };
        let ours = [self.authorizer, self.component].into_iter().filter_map(|carrier| match carrier {
            Carrier::Query(name) => Some(name),
            Carrier::Header(_) | Carrier::Own => None,
        });
        let ours: Vec<_> = ours.chain(self.id.map(|(name, _)| name)).collect();
        if let Some((name, _)) = request.query.iter().find(|(name, _)| ours.contains(&name.as_str())) {
            return Err(NotProxied::Parameter { name: name.clone(), reason: String::from("is filled in here") });
        }
        dressed.query.extend(self.id.map(|(name, value)| (name.to_owned(), Value::from(value))));
        let (carrier, token) = match caller.authorizer {
            Some((_, token)) => (self.authorizer, Some(token)),
            None => (self.component, caller.component_token),
        };
        if let Some(token) = token {
            match carrier {
                Carrier::Query(name) => dressed.query.push((name.to_owned(), Value::from(token))),
                Carrier::Header(name) => dressed.headers.push((name.to_owned(), Value::from(token))),
                Carrier::Own => {}
            }
        }
        dressed.query.extend(request.query.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))));
        Ok(dressed)
    }
}

/// Longest path that is passed on.
const LONGEST_PATH: usize = 512;

/// Holds a path as it came (not decoded) against what may be passed on: letters, digits and `-`, `_`, `.`, `/` after a leading slash, no
/// empty, `.` or `..` segment but an empty last one. Vendors' paths have nothing else, so nothing can be hidden in an escape.
///
/// # Errors
/// [`NotProxied::Path`].
pub fn path(raw: &str) -> Result<&str, NotProxied> {
    let wrong = |reason: &str| Err(NotProxied::Path(reason.to_owned()));
    let Some(inner) = raw.strip_prefix('/') else { return wrong("the path must begin with a slash") };
    if raw.len() > LONGEST_PATH {
        return wrong("the path is too long");
    }
    if !raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte)) {
        return wrong("a vendor's path has only letters, digits, `-`, `_`, `.` and `/`; nothing is unescaped here");
    }
    let segments = inner.strip_suffix('/').unwrap_or(inner);
    if segments.split('/').any(|segment| segment.is_empty() || segment.bytes().all(|byte| byte == b'.')) {
        return wrong("the path has an empty segment or one of dots");
    }
    Ok(raw)
}
