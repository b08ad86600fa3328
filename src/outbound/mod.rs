//! The only place that speaks HTTP to others: vendors ([`Vendors::send`], [`Relay::pass`]) and, for `fanout`, subscribers ([`Webhooks::post`]).
//!
//! Never follows a redirect, never uses a proxy of the environment, never logs a query, a header's value or a body.

pub mod guard;
pub mod names;
pub mod relay;
pub mod vendors;
pub mod webhooks;

use std::error::Error;
use std::time::Duration;

pub use guard::Guard;
pub use relay::Relay;
pub use vendors::HttpVendors;
pub use webhooks::Webhooks;

use crate::platform::{Call, Reply};

/// Why a call has no reply.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum SendError {
    /// Certainly not sent: no connection, name not found, TLS refused. Safe to repeat.
    #[error("cannot connect to {target}: {cause}")]
    NotSent {
        /// Host and path, no query.
        target: String,
        /// The cause in words, without addresses of secrets.
        cause: String,
    },
    /// Sent, or perhaps sent, and no whole answer came: the outcome is unknown.
    #[error("no answer from {target}: {cause}")]
    NoAnswer {
        /// Host and path, no query.
        target: String,
        /// The cause in words.
        cause: String,
    },
}

/// Sends calls to vendors.
#[async_trait::async_trait]
pub trait Vendors: Send + Sync {
    /// One exchange, bounded by the call's timeout and by 8 MiB of answer. Redirects are not followed.
    ///
    /// # Errors
    /// Whether it was certainly not sent, or its outcome is unknown.
    async fn send(&self, call: &Call) -> Result<Reply, SendError>;
}

/// The HTTP client could not be set up: no certificates of authorities on this machine, for one.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct ClientError(String);

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        Self(words(error))
    }
}

/// Connecting takes no longer than this, name look-up and TLS included. Shorter than an ordinary call's total time, so that a host which
/// does not answer at all is known as "not sent".
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What both clients have in common.
fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("yizhan/", env!("CARGO_PKG_VERSION")))
}

/// An error with its causes in one line, without the address: a query may hold a token.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
