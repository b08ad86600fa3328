//! The vendor's side of the same contract: what the simulator hosts and tests talk to.
//!
//! A twin is a state machine: `answer` takes a request and changes state, the story methods (`grant`, `audit`, …) do what a merchant,
//! an auditor or the platform would do and return what the vendor would push. It keeps no time of its own and sends nothing.

use bytes::Bytes;

use super::call::{Method, Reply};
use super::push::Door;
use super::quota::AuditQuota;
use crate::clock::Timestamp;

/// A request that reached the vendor.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path below the twin's base address, with its leading slash.
    pub path: String,
    /// Raw query string.
    pub query: String,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// Raw body.
    pub body: Bytes,
}

impl Request {
    /// First header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// First query parameter of that name, decoded.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
    }

    /// First field of that name in a form body, decoded as UTF-8.
    #[must_use]
    pub fn form_value(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(&self.body).find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
    }

    /// The body as JSON, `Null` when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A push on its way from the vendor to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Which of the provider's addresses.
    pub door: Door,
    /// Headers to send, content type among them.
    pub headers: Vec<(String, String)>,
    /// The sealed body.
    pub body: Bytes,
    /// What is inside, so that a retry can be sealed afresh (new nonce, new ciphertext, same content) with [`Twin::reseal`].
    pub plain: Bytes,
    /// The vendor's message id, where its envelope has one; kept over retries.
    pub message_id: Option<String>,
}

/// What a merchant's grant gives.
#[derive(Debug, Clone)]
pub struct GrantStory {
    /// The push, where the vendor sends one.
    pub push: Option<Outgoing>,
    /// Query string with which the merchant's browser comes back to `redirect_uri`.
    pub redirect_query: String,
}

/// How an audit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Passed.
    Passed,
    /// Failed, with the auditor's words.
    Failed(String),
}

/// A version that waits for an auditor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Whose.
    pub app_id: String,
    /// Which.
    pub version: String,
    /// Since when: submitted again, it is another submission.
    pub since: Timestamp,
}

/// Whom and what an accepted call was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The merchant's mini program.
    pub app_id: String,
    /// The version of it, where the call was about one.
    pub version: Option<String>,
}

/// What a request led to.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The answer.
    pub reply: Reply,
    /// Pushes that the request causes (a recovered code, a started ticket).
    pub pushes: Vec<Outgoing>,
    /// What the vendor did, for counting: `component_token`, `exchange`, `refresh`, `recover`, `link`, `start_tickets`, `info`, or `other`.
    pub deed: &'static str,
    /// Whether the vendor accepted the call.
    pub accepted: bool,
    /// Whom it was about; `None` for what was refused, and for what concerns no merchant.
    pub about: Option<About>,
}

impl Answer {
    /// A JSON answer without pushes.
    #[must_use]
    pub fn json(deed: &'static str, accepted: bool, status: u16, body: &serde_json::Value) -> Self {
        let reply = Reply { status, content_type: String::from("application/json"), body: body.to_string().into() };
        Self { reply, pushes: Vec::new(), deed, accepted, about: None }
    }
}

/// The vendor, pretended. Lifetimes, single use and error codes are the vendor's own (each protocol's sections 4 and 6).
pub trait Twin: Send {
    /// Makes a new ticket and its push; `None` where there are no tickets.
    fn ticket(&mut self, now: Timestamp) -> Option<Outgoing>;

    /// A merchant's mini program `app_id` grants all permissions (again, where it had).
    fn grant(&mut self, app_id: &str, now: Timestamp) -> GrantStory;

    /// The merchant withdraws: its tokens and codes die.
    fn revoke(&mut self, app_id: &str, now: Timestamp) -> Option<Outgoing>;

    /// A code package of `app_id` was audited.
    fn audit(&mut self, app_id: &str, version: &str, verdict: &Verdict, now: Timestamp) -> Outgoing;

    /// Versions that wait for an auditor now, in the order of their app ids.
    fn in_audit(&mut self, now: Timestamp) -> Vec<Submission>;

    /// The vendor tells that an audit takes longer; `None` where no message for that is known.
    fn delay(&mut self, app_id: &str, version: &str, now: Timestamp) -> Option<Outgoing> {
        let _ = (app_id, version, now);
        None
    }

    /// Domains of its own that what `app_id` has online may call; `None` where the vendor does not bind them to a version.
    fn domains_online(&self, app_id: &str) -> Option<Vec<String>> {
        let _ = app_id;
        None
    }

    /// Sets how many versions are taken for audit from now on.
    fn limit_audits(&mut self, quota: AuditQuota, now: Timestamp);

    /// Any other push: `plain` is the content as the vendor would write it before sealing (JSON; for Alipay the form's fields as a JSON object).
    fn say(&mut self, door: Door, plain: &str, now: Timestamp) -> Outgoing;

    /// The same content again, as the vendor's retry would look.
    fn reseal(&mut self, push: &Outgoing, now: Timestamp) -> Outgoing;

    /// The same push with a signature that does not hold.
    fn forge(&mut self, push: &Outgoing) -> Outgoing;

    /// Whether the provider's answer counts as an acknowledgement of that push.
    fn acknowledged(&self, push: &Outgoing, status: u16, body: &[u8]) -> bool;

    /// Answers a call.
    fn answer(&mut self, request: &Request, now: Timestamp) -> Answer;

    /// Refuses a call because too many came, in the vendor's own way where it has one; nothing is done.
    fn rate_limited(&mut self, request: &Request, now: Timestamp) -> Answer {
        let _ = (request, now);
        let reply = Reply { status: 429, content_type: String::from("application/json"), body: Bytes::from_static(b"{}") };
        Answer { reply, pushes: Vec::new(), deed: "other", accepted: false, about: None }
    }

    /// How the vendor says in its own way that something inside it went wrong and that one may ask again; whether it did what was asked it does
    /// not say.
    fn in_trouble(&self, request: &Request) -> Reply;

    /// Makes every access token of `app_id` (or of the component, when `None`) invalid at once, as vendors sometimes do.
    fn expire_tokens(&mut self, app_id: Option<&str>);

    /// Whether `token` is a token that the vendor would accept now for that authorizer (or for the component, when `None`).
    fn accepts(&self, app_id: Option<&str>, token: &str, now: Timestamp) -> bool;
}
