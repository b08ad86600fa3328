//! What arrives, what it turns out to be, and what the vendor wants to hear back.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::token::{AuthorizationCode, AuthorizerTokens, Permission};
use crate::clock::Timestamp;
use crate::event_type::EventType;
use crate::secret::Secret;

/// Which of the two addresses a push came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// `…/authorization`: tickets, grants, revocations.
    Authorization,
    /// `…/message`: results, states, messages; Alipay's application gateway.
    Message,
}

/// A request as it came, byte for byte. Signatures cover bytes, so nothing here was parsed; it can be opened again at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPush {
    /// The address it came to.
    pub door: Door,
    /// `true` for `GET` (a console's check of the URL), `false` for `POST`.
    pub is_get: bool,
    /// Header names in lower case with their values as bytes; only those a platform may need are kept.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The raw query string, without the question mark.
    pub query: String,
    /// The raw body.
    pub body: Bytes,
    /// When it came.
    pub received_at: Timestamp,
}

impl RawPush {
    /// The first header of that name (given in lower case) that is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

/// What opening a request gave.
#[derive(Debug, Clone)]
pub enum Opened {
    /// A verified, decrypted push: to be stored, then acknowledged.
    Push(Box<Push>),
    /// The console tries the address out: answered at once, nothing is stored.
    Check(Acknowledgement),
}

/// A verified, decrypted push.
#[derive(Debug, Clone)]
pub struct Push {
    /// What it means to us.
    pub notice: Notice,
    /// The vendor's own name for it, as sent (`PACKAGE_AUDIT`), trimmed.
    pub vendor_type: String,
    /// App id of the authorizer it is about, where it says so.
    pub authorizer: Option<String>,
    /// The vendor's time of the event; time of receipt where the vendor gives none.
    pub time: Timestamp,
    /// The platform's own identity of this message, equal for every retry of it and for nothing else:
    /// made from decrypted content or the vendor's message id, never from ciphertext.
    pub dedupe_key: String,
    /// The decrypted body, complete and unchanged but for secrets, which read `"[sealed]"`. XML is given as the JSON of its elements.
    pub vendor: Value,
    /// What the vendor wants to hear once the push is durable.
    pub acknowledgement: Acknowledgement,
}

/// What a sealed member of [`Push::vendor`] reads.
pub const SEALED: &str = "[sealed]";

/// What a push means to us.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A new ticket: goes to the vault before its event is stored.
    Ticket(Ticket),
    /// A merchant granted permissions.
    Granted(Grant),
    /// A merchant changed its permissions, or a code was recovered for a standing grant.
    Updated(Grant),
    /// A merchant withdrew; `at` is the vendor's time, so that a late retry does not revoke a newer grant.
    Revoked {
        /// When, by the vendor's clock.
        at: Timestamp,
    },
    /// Everything else: its normal type and the normal fields of `data` (contract 4), without `vendor`.
    Fact {
        /// Normal type.
        kind: EventType,
        /// Normal fields, in the order in which people should read them.
        data: Map<String, Value>,
    },
}

impl Notice {
    /// The normal event type.
    #[must_use]
    pub fn kind(&self) -> EventType {
        match self {
            Self::Ticket(_) => EventType::TicketReceived,
            Self::Granted(_) => EventType::AuthorizationGranted,
            Self::Updated(_) => EventType::AuthorizationUpdated,
            Self::Revoked { .. } => EventType::AuthorizationRevoked,
            Self::Fact { kind, .. } => *kind,
        }
    }
}

/// A component's ticket.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Its text.
    pub value: Secret,
    /// The vendor's time of making it. The newest by this time wins; a late retry never replaces a newer one.
    pub created_at: Timestamp,
}

/// What a grant brings. It travels sealed beside the event to the vault's exchange worker.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Grant {
    /// The code to exchange, where one came.
    pub code: Option<AuthorizationCode>,
    /// The tokens themselves, where the vendor sends them outright (Alipay).
    pub tokens: Option<AuthorizerTokens>,
    /// Permissions named by the push; often unknown until the exchange.
    pub permissions: Vec<Permission>,
    /// The vendor's time of the grant.
    pub granted_at: Timestamp,
}

/// An answer to a vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub content_type: &'static str,
    /// The exact bytes.
    pub body: Bytes,
}

impl Acknowledgement {
    /// `200`, `text/plain`, the seven bytes `success`.
    #[must_use]
    pub fn success() -> Self {
        Self::text("success")
    }

    /// `200` with this text.
    #[must_use]
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self { status: 200, content_type: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// Why a push was refused. Details name fields and lengths, never content.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum PushError {
    /// Not in the envelope's form: not JSON, a field missing, not UTF-8.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The signature is missing or does not match.
    #[error("bad signature: {0}")]
    BadSignature(String),
    /// Verified, but meant for another application.
    #[error("wrong app id: {0}")]
    WrongAppId(String),
    /// Verified, but no key of ours opens it.
    #[error("undecipherable: {0}")]
    Undecipherable(String),
}

impl PushError {
    /// The word of contract 3 (`/v1/rejected`).
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::BadSignature(_) => "bad-signature",
            Self::WrongAppId(_) => "wrong-app-id",
            Self::Undecipherable(_) => "undecipherable",
        }
    }

    /// HTTP status of contract 2.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            _ => 401,
        }
    }
}

/// How a component reads its pushes.
pub trait Pushes: Send + Sync {
    /// Verifies, decrypts and reads one request. Same input, same answer; the signature is checked before anything else is looked at.
    ///
    /// # Errors
    /// The first check that failed.
    fn open(&self, raw: &RawPush) -> Result<Opened, PushError>;

    /// Opens an entry of the vendor's own list of pushes, for vendors that keep one (Baidu 2.8): what [`Pushes::open`] would have given for
    /// the push. `entry` is an item of the result of `pushes.missed`. There is no signature to check; the list came over a call of ours.
    ///
    /// # Errors
    /// There is no such list, or the entry cannot be opened.
    fn open_listed(&self, entry: &Value, received_at: Timestamp) -> Result<Push, PushError> {
        let _ = (entry, received_at);
        Err(PushError::Malformed(String::from("this platform has no list of pushes")))
    }

    /// What a refused push is answered, where the vendor's protocol or the settings want more than the plain status of
    /// [`PushError::status`]. The body must never be mistakable for an acknowledgement.
    fn refusal(&self, raw: &RawPush, error: &PushError) -> Option<Acknowledgement> {
        let _ = (raw, error);
        None
    }
}
