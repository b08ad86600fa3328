//! API keys and what they may do: `yzk_…` keys known only by the SHA-256 of their text, and scopes that may be narrowed to a component.

use std::fmt;
use std::str::FromStr;

use crate::envelope::{digest, equal};

macro_rules! scopes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What a key may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Scope { $($(#[doc = $doc])+ $variant,)+ }

        impl Scope {
            /// Every scope.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name in configuration and documents.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

scopes! {
    /// States of components and authorizers.
    Read = "read",
    /// Access tokens.
    TokensRead = "tokens:read",
    /// Unconditional renewal.
    TokensForce = "tokens:force",
    /// Tickets.
    TicketsRead = "tickets:read",
    /// Authorization links.
    AuthorizationsCreate = "authorizations:create",
    /// Events and deliveries.
    EventsRead = "events:read",
    /// Sending again.
    EventsReplay = "events:replay",
    /// Subscriptions.
    SubscriptionsWrite = "subscriptions:write",
    /// Operations of vendors.
    OperationsCall = "operations:call",
    /// Any other vendor call.
    ProxyCall = "proxy:call",
    /// Tags and variables of merchants.
    AttributesWrite = "attributes:write",
    /// Playbooks and their runs.
    PlaybooksWrite = "playbooks:write",
    /// Rollouts.
    RolloutsWrite = "rollouts:write",
    /// The audit log.
    AuditRead = "audit:read",
    /// The whole store as one archive, secrets sealed.
    StoreBackup = "store:backup",
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A scope, perhaps for one component only: `tokens:read@douyin`. `*` is every scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// `None`: every scope.
    pub scope: Option<Scope>,
    /// `None`: every component, and what belongs to none.
    pub component: Option<String>,
}

/// That is not a scope.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("`{0}` is not a scope")]
pub struct UnknownScope(pub String);

impl FromStr for Permit {
    type Err = UnknownScope;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, component) = match text.split_once('@') {
            Some((name, component)) if !component.is_empty() => (name, Some(component.to_owned())),
            Some(_) => return Err(UnknownScope(text.to_owned())),
            None => (text, None),
        };
        let scope = match name {
            "*" => None,
            name => Some(Scope::ALL.iter().copied().find(|scope| scope.as_str() == name).ok_or_else(|| UnknownScope(text.to_owned()))?),
        };
        Ok(Self { scope, component })
    }
}

/// A key that may call us. The key's text is not known.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its name, for logs and the audit.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: [u8; 32],
    /// What it may do.
    pub permits: Vec<Permit>,
}

impl ApiKey {
    /// Whether `text` is this key, in constant time.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        equal::bytes(&digest::sha256(&[text.as_bytes()]), &self.hash)
    }

    /// Whether it may do this. `component` is `None` for what belongs to no single component; a narrowed permit does not reach there.
    #[must_use]
    pub fn may(&self, scope: Scope, component: Option<&str>) -> bool {
        self.permits.iter().any(|permit| {
            permit.scope.is_none_or(|permitted| permitted == scope)
                && match (&permit.component, component) {
                    (None, _) => true,
                    (Some(permitted), Some(component)) => permitted == component,
                    (Some(_), None) => false,
                }
        })
    }

    /// The components a list must be narrowed to for that scope; `None`: all.
    #[must_use]
    pub fn components(&self, scope: Scope) -> Option<Vec<&str>> {
        let permits = self.permits.iter().filter(|permit| permit.scope.is_none_or(|permitted| permitted == scope));
        permits.map(|permit| permit.component.as_deref()).collect()
    }
}
