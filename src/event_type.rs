//! The normal vocabulary of events (contract 4) and the patterns by which subscriptions choose from it.

use std::fmt;
use std::str::FromStr;

macro_rules! event_types {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A normal event type.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventType { $($(#[doc = $doc])+ $variant,)+ }

        impl EventType {
            /// Every type, in the contract's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name in events, filters and subscriptions.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl FromStr for EventType {
            type Err = UnknownEventType;
            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name { $($name => Ok(Self::$variant),)+ _ => Err(UnknownEventType) }
            }
        }
    };
}

event_types! {
    /// A ticket came; delivered only to subscriptions that name it.
    TicketReceived = "ticket.received",
    /// A merchant granted.
    AuthorizationGranted = "authorization.granted",
    /// A merchant changed its grant.
    AuthorizationUpdated = "authorization.updated",
    /// A merchant withdrew.
    AuthorizationRevoked = "authorization.revoked",
    /// A code package passed.
    AuditPassed = "audit.passed",
    /// A code package failed.
    AuditFailed = "audit.failed",
    /// The audit takes longer.
    AuditDelayed = "audit.delayed",
    /// A package was built.
    BuildSucceeded = "build.succeeded",
    /// A package could not be built.
    BuildFailed = "build.failed",
    /// Online, offline, rolled back.
    ReleaseChanged = "release.changed",
    /// Name, icon or introduction passed.
    ProfilePassed = "profile.passed",
    /// Name, icon or introduction failed.
    ProfileFailed = "profile.failed",
    /// A category passed.
    CategoryPassed = "category.passed",
    /// A category failed.
    CategoryFailed = "category.failed",
    /// A capability was granted.
    CapabilityGranted = "capability.granted",
    /// A capability was refused.
    CapabilityRejected = "capability.rejected",
    /// A capability was withdrawn.
    CapabilityRevoked = "capability.revoked",
    /// The service is paused.
    ServicePaused = "service.paused",
    /// The service is back.
    ServiceResumed = "service.resumed",
    /// The platform took it offline.
    ServiceSuspended = "service.suspended",
    /// The platform warns.
    ServiceWarned = "service.warned",
    /// The subject's certification changed.
    CertificationChanged = "certification.changed",
    /// A customer wrote.
    MessageReceived = "message.received",
    /// Anything else: kept, delivered, never dropped.
    VendorOther = "vendor.other",
}

/// That is not a normal event type.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("unknown event type")]
pub struct UnknownEventType;

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for EventType {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for EventType {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(from)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// A glob over names: `*` stands for any run of characters, everything else for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(from = "String")]
pub struct Glob(String);

impl From<String> for Glob {
    fn from(pattern: String) -> Self {
        Self::new(pattern)
    }
}

impl Glob {
    /// A pattern; every text is one. A run of stars is one star: it means the same, and whoever writes sixty thousand would have each of them looked at for
    /// each event.
    pub fn new(pattern: impl Into<String>) -> Self {
        let (mut pattern, mut is_star) = (pattern.into(), false);
        pattern.retain(|c| {
            let repeats = is_star && c == '*';
            is_star = c == '*';
            !repeats
        });
        Self(pattern)
    }

    /// The pattern's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `name` fits, without recursion. However long the pattern is: each piece between two stars takes something of the name, and the
    /// first that finds nothing ends it.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return rest.ends_with(piece);
            }
            match rest.find(piece) {
                Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        true
    }

    /// Whether a subscription with this pattern wants events of that type: a ticket must be named in full.
    #[must_use]
    pub fn wants(&self, kind: EventType) -> bool {
        match kind {
            EventType::TicketReceived => self.0 == kind.as_str(),
            _ => self.matches(kind.as_str()),
        }
    }

    /// Whether this pattern can match any event type at all.
    #[must_use]
    pub fn wants_any(&self) -> bool {
        EventType::ALL.iter().any(|kind| self.wants(*kind))
    }
}
