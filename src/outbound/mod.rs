//! The only place that speaks HTTP to others: vendors ([`Vendors::send`]) and, for `fanout`, subscribers.

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
