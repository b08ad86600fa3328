//! How a component's and its authorizers' tokens are asked for, read, and won back when lost.
//!
//! Everything here only builds a [`Call`] or reads a [`Reply`]; `vault` decides when, sends, stores, and counts generations.

use std::time::Duration;

use super::call::{ApiError, Call, Reply};
use crate::clock::Timestamp;
use crate::secret::{Secret, exposed};

/// Douyin keeps two families of tokens side by side; all others have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// The one to use.
    #[default]
    Current,
    /// Douyin's first generation, for calls that exist only there.
    V1,
}

/// Whose token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum TokenKey {
    /// The component's own.
    Component(Family),
    /// An authorizer's.
    Authorizer {
        /// Its app id at the vendor.
        app_id: String,
        /// Which family.
        family: Family,
    },
}

impl TokenKey {
    /// The family asked for.
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Self::Component(family) | Self::Authorizer { family, .. } => *family,
        }
    }

    /// The authorizer's app id; `None` for the component's own.
    #[must_use]
    pub fn authorizer(&self) -> Option<&str> {
        match self {
            Self::Component(_) => None,
            Self::Authorizer { app_id, .. } => Some(app_id),
        }
    }
}

/// An access token.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Token {
    /// Its text.
    #[serde(with = "exposed")]
    pub value: Secret,
    /// When it dies by itself; `None` where it lives until it is replaced or revoked (Alipay).
    pub expires_at: Option<Timestamp>,
}

/// A refresh token.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct RefreshToken {
    /// Its text.
    #[serde(with = "exposed")]
    pub value: Secret,
    /// When it dies by itself, where the vendor says so.
    pub expires_at: Option<Timestamp>,
}

/// What an exchange or a refresh gives.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct AuthorizerTokens {
    /// Whose, where the answer says so (Baidu's does not; see [`Tokens::identify`]).
    pub app_id: Option<String>,
    /// The access token.
    pub access: Token,
    /// The next refresh token; replaces the stored one.
    pub refresh: Option<RefreshToken>,
    /// What was granted, where the answer says so.
    pub permissions: Option<Vec<Permission>>,
}

/// One permission set as the vendor names it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Permission {
    /// The vendor's id, empty where it has none.
    pub id: String,
    /// The vendor's name, for display only.
    pub name: String,
}

/// A code that can be exchanged once, until it expires.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct AuthorizationCode {
    /// Its text.
    #[serde(with = "exposed")]
    pub value: Secret,
    /// When it dies.
    pub expires_at: Timestamp,
}

/// Who an authorizer's token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its app id.
    pub app_id: String,
    /// Its name, for people.
    pub name: Option<String>,
    /// What it granted, where the answer says so.
    pub permissions: Option<Vec<Permission>>,
}

/// How a platform's tickets behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketRule {
    /// How often one is pushed.
    pub every: Duration,
    /// How long one can be used; the vendor's word, or a cautious guess where it gives none.
    pub lifetime: Duration,
}

/// When a token is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Renewed when less than this is left of the access token. For tokens without an expiry: of the refresh token.
    pub ahead: Duration,
    /// How long the former token certainly still works after a renewal; bounds what callers may cache. Zero where it dies at once.
    pub overlap: Duration,
    /// The refresh token is used at least this often, also for authorizers nobody asks for. `None` where it need not be.
    pub exercise: Option<Duration>,
}

/// With what a vendor is asked.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Which family.
    pub family: Family,
    /// The component's token of that family; `None` only where [`Tokens::needs_component_token`] is false.
    pub component_token: Option<&'a Secret>,
    /// Now: for signatures that hold the time.
    pub now: Timestamp,
}

/// What to do when a call that spent a single-use refresh token or code was never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostReply {
    /// Ask for a new code ([`Tokens::recover`]) at once.
    Recover,
    /// Repeat with the same refresh token once, then recover.
    RepeatThenRecover,
}

/// How an authorizer's token is renewed.
#[derive(Debug, Clone)]
pub enum Refresh {
    /// By this call, which spends the refresh token.
    Spend(Call),
    /// By asking for a new code and exchanging it; no refresh token is spent (Kuaishou's default).
    Recover,
}

/// What a recovery brings.
#[derive(Debug, Clone)]
pub enum Recovered {
    /// A new code, to be exchanged.
    Code(AuthorizationCode),
    /// The tokens themselves.
    Tokens(Box<AuthorizerTokens>),
}

/// A request for an authorization link.
#[derive(Debug, Clone)]
pub struct LinkRequest {
    /// Where the browser comes back to: `{public_url}/callback/{component}/authorized`, unless the settings name another.
    pub redirect_uri: String,
    /// Our unguessable, single-use mark (base64url text); echoed where the platform can. Platforms without `state` put it into `redirect_uri`.
    pub state: String,
}

/// A link that a merchant opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// For a browser.
    pub url: String,
    /// For the vendor's own app, where that is another one; what the QR code holds.
    pub mobile_url: Option<String>,
    /// The page on which a merchant grants several of its applications at once, where the vendor has one: one code comes back,
    /// and is exchanged into a token for each.
    pub batch_url: Option<String>,
    /// When it dies; `None` where the vendor sets it no end. What the vault gives out ends with its `state` at the latest.
    pub expires_at: Option<Timestamp>,
}

/// What a browser brings back.
#[derive(Debug, Clone)]
pub struct Returned {
    /// The code.
    pub code: AuthorizationCode,
    /// Our mark, where it came back.
    pub state: Option<String>,
}

/// How a component's tokens are asked for and read. `families()[0]` is [`Family::Current`].
pub trait Tokens: Send + Sync {
    /// The families this platform keeps.
    fn families(&self) -> &'static [Family] {
        &[Family::Current]
    }

    /// How tickets behave; `None` where there are none (Alipay).
    fn ticket_rule(&self) -> Option<TicketRule>;

    /// The call that makes the vendor push tickets, where it wants one (Kuaishou).
    fn start_tickets(&self) -> Option<Call> {
        None
    }

    /// Reads the answer to [`Tokens::start_tickets`].
    ///
    /// # Errors
    /// The vendor's no.
    fn read_start_tickets(&self, reply: &Reply) -> Result<(), ApiError> {
        let _ = reply;
        Ok(())
    }

    /// Whether calls carry a component token at all. Without one (Alipay) they are signed with the application's key.
    fn needs_component_token(&self) -> bool {
        self.ticket_rule().is_some()
    }

    /// When that token is renewed.
    fn renewal(&self, key: &TokenKey) -> Renewal;

    /// Shortest time between two renewals of one token that callers force.
    fn forced_renewal_interval(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Ticket in, component token out. `None` where there is no component token.
    fn component_token(&self, family: Family, ticket: &Secret) -> Option<Call>;

    /// Reads the answer to [`Tokens::component_token`].
    ///
    /// # Errors
    /// The vendor's no.
    fn read_component_token(&self, family: Family, reply: &Reply, now: Timestamp) -> Result<Token, ApiError>;

    /// Exchanges a code.
    fn exchange(&self, standing: Standing<'_>, code: &Secret) -> Call;

    /// Renews an authorizer's token with its refresh token.
    fn refresh(&self, standing: Standing<'_>, app_id: &str, refresh_token: &Secret) -> Refresh;

    /// Reads the answer to [`Tokens::exchange`] or [`Tokens::refresh`]. Several for Alipay's batch authorization, at least one always.
    ///
    /// # Errors
    /// The vendor's no.
    fn read_tokens(&self, family: Family, reply: &Reply, now: Timestamp) -> Result<Vec<AuthorizerTokens>, ApiError>;

    /// Asks for a new code (or the tokens) of a standing grant whose refresh token was lost. `None` where that is impossible.
    fn recover(&self, standing: Standing<'_>, app_id: &str) -> Option<Call>;

    /// Reads the answer to [`Tokens::recover`].
    ///
    /// # Errors
    /// The vendor's no.
    fn read_recovered(&self, family: Family, app_id: &str, reply: &Reply, now: Timestamp) -> Result<Recovered, ApiError>;

    /// Whether what is won back has a refresh token too. Then it is also asked for after a refusal of a renewal that nobody knows.
    fn recovers_wholly(&self) -> bool {
        true
    }

    /// Whether the vendor pushes the code that a recovery asks for as if the merchant had granted (Douyin 4.6, Kuaishou 3.1.4). Where it does not, a push
    /// with a code that follows a recovery is always news.
    fn recovery_echoes(&self) -> bool {
        false
    }

    /// What to do when a spending call was never answered.
    fn lost_reply(&self) -> LostReply;

    /// Asks whose token this is, where the exchange does not say (Baidu).
    fn identify(&self, standing: Standing<'_>, access_token: &Secret) -> Option<Call> {
        let _ = (standing, access_token);
        None
    }

    /// Reads the answer to [`Tokens::identify`].
    ///
    /// # Errors
    /// The vendor's no.
    fn read_identity(&self, reply: &Reply) -> Result<Identity, ApiError> {
        Err(ApiError::unreadable(reply, "identity"))
    }

    /// Asks for what a link needs (pre-authorization code, or the link itself). `None` where a link can be built without asking.
    fn prepare_link(&self, standing: Standing<'_>, request: &LinkRequest) -> Option<Call>;

    /// Builds the link; `prepared` is the answer to [`Tokens::prepare_link`].
    ///
    /// # Errors
    /// The vendor's no; or [`super::Class::Configuration`] when a setting is missing, naming it.
    fn link(&self, request: &LinkRequest, prepared: Option<&Reply>, now: Timestamp) -> Result<Link, ApiError>;

    /// Whether a browser came back from its consent to a registration (Baidu 5.13): no grant of a mini program, and no code for the vault.
    fn is_registration(&self, _query: &str) -> bool {
        false
    }

    /// Reads the query string of a browser that came back.
    ///
    /// # Errors
    /// [`super::Class::Refuse`] when no code is in it.
    fn returned(&self, query: &str, now: Timestamp) -> Result<Returned, ApiError>;
}
