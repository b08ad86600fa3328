//! Alipay's calls on behalf of a merchant and for the application itself (Alipay 5), as rows and the few steps that are not one call.
//!
//! Asked by the desk of operations through [`Operations`]. Rooms: `rows` (what can be called), `request` (a row and parameters become a
//! call), `steps` (what comes after which answer), `read` (answers in normal names), `look_up` (after a lost answer), `certificates`
//! (an answer signed with a certificate nobody here knows yet). Never sends, never waits, never reads the clock.

mod certificates;
mod look_up;
mod read;
mod request;
mod rows;
mod steps;

use serde_json::{Map, Value};

use super::errors;
use super::settings::Application;
use super::trust::TrustedKey;
use crate::clock::Timestamp;
use crate::platform::call::{ApiError, Call, Reply};
use crate::platform::operation::{Caller, LookedUp, Next, Operation, Operations, Params};
use certificates::Hearing;

pub use rows::rows;

/// The members of an answer's node.
type Node = Map<String, Value>;

/// An operation on its way.
#[derive(Clone, Copy)]
struct Task<'a> {
    application: &'a Application,
    operation: &'a Operation,
    params: &'a Params,
    /// Keys of certificates that came on the way.
    downloaded: &'a [TrustedKey],
}

impl Task<'_> {
    /// The node of an answer to `method`, yes or no.
    fn node(&self, method: &str, reply: &Reply) -> Result<Node, ApiError> {
        self.application.gateway.heard(method, reply, self.downloaded)
    }

    /// The node of an answer to `method` that says yes.
    fn accepted(&self, method: &str, reply: &Reply) -> Result<Node, ApiError> {
        self.node(method, reply).and_then(errors::accepted)
    }
}

impl Operations for Application {
    fn operations(&self) -> &[Operation] {
        &self.rows
    }

    fn next(&self, operation: &Operation, params: &Params, replies: &[Reply], caller: Caller<'_>) -> Next {
        match certificates::hear(self, replies, Some(caller.now)) {
            Hearing::Unknown(sn) => Next::Ask(Box::new(certificates::download(self, &sn, caller.now))),
            Hearing::Refused(error) => Next::Refused(error),
            Hearing::Heard { replies, downloaded } => {
                steps::next(Task { application: self, operation, params, downloaded: &downloaded }, &replies, caller)
            }
        }
    }

    fn refused(&self, replies: &[Reply], now: Timestamp) -> usize {
        certificates::refused(self, replies, now)
    }

    fn look_up(&self, operation: &Operation, params: &Params, replies: &[Reply], caller: Caller<'_>) -> Option<Call> {
        match certificates::hear(self, replies, Some(caller.now)) {
            // What was lost is the certificate: asking for it again changes nothing.
            Hearing::Unknown(sn) => Some(certificates::download(self, &sn, caller.now)),
            Hearing::Refused(_) => None,
            Hearing::Heard { downloaded, .. } => {
                look_up::question(Task { application: self, operation, params, downloaded: &downloaded }, caller)
            }
        }
    }

    fn looked_up(&self, operation: &Operation, params: &Params, replies: &[Reply], found: &Reply) -> LookedUp {
        // The time was held against the certificates when their answers were read.
        match certificates::hear(self, replies, None) {
            Hearing::Unknown(_) => LookedUp::Stands,
            Hearing::Refused(_) => LookedUp::Unknown,
            Hearing::Heard { replies, downloaded } => {
                look_up::meaning(Task { application: self, operation, params, downloaded: &downloaded }, &replies, found)
            }
        }
    }
}
