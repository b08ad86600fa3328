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
use crate::platform::operation::{BadParam, Caller, Earlier, LookedUp, Next, Operation, Operations, Params};
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

/// The operation that has Alipay ask a merchant (4.1).
const INVITE: &str = "authorization.invite";

const NOT_OURS: &str = "comes back with the merchant, and this service's own callback refuses one that it did not make: leave it out, \
                        or name an address of your own as redirect_url";

impl Operations for Application {
    fn operations(&self) -> &[Operation] {
        &self.rows
    }

    /// A `state` is good for whoever made it: this service's own callback takes the marks of its own links only, and would turn the merchant away.
    fn misfits(&self, operation: &Operation, params: &Params) -> Vec<BadParam> {
        let back = params.text("redirect_url").or_else(|| self.links.redirect_uri.clone());
        let ours = format!("/callback/{}/authorized", self.name);
        let comes_here = back.is_none_or(|back| back.split(['?', '#']).next().is_some_and(|address| address.ends_with(&ours)));
        match operation.name == INVITE && params.text("state").is_some() && comes_here {
            true => vec![BadParam { name: String::from("state"), reason: String::from(NOT_OURS) }],
            false => Vec::new(),
        }
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

    /// Every trace but that of a submission is a state, never a comparison: it tells the same whenever the call was sent.
    fn looked_up(&self, operation: &Operation, params: &Params, replies: &[Reply], found: &Reply, earlier: Earlier) -> LookedUp {
        // The time was held against the certificates when their answers were read.
        match certificates::hear(self, replies, None) {
            Hearing::Unknown(_) => LookedUp::Stands,
            Hearing::Refused(_) => LookedUp::Unknown,
            Hearing::Heard { replies, downloaded } => {
                look_up::meaning(Task { application: self, operation, params, downloaded: &downloaded }, &replies, found, earlier)
            }
        }
    }
}
