//! Kuaishou's calls on behalf of a merchant and for the application itself (Kuaishou 5), as rows and the few steps that are not one call.
//!
//! Asked by the desk of operations through [`Operations`]. Rooms: `rows` (what can be called), `rules` (how each call looks on the wire, from
//! the settings), `request` (a row and parameters become a call), `read` (answers in normal names), `look_up` (what is asked before a deed
//! and after a lost answer). Much of this vendor's wire format is not published: such rows are switched off, and settings switch them on and
//! correct them. Never sends, never waits, never reads the clock.

mod look_up;
mod read;
mod request;
mod rows;
mod rules;

use serde_json::{Map, Value};

use super::Application;
use super::errors::Spent;
use crate::platform::call::{ApiError, Call, Class, Reply};
use crate::platform::operation::{Bearer, Caller, Earlier, LookedUp, Next, Operation, Operations, Params};
use look_up::Question;
use rules::key;
pub(super) use rules::{Calls, Carriage, Rule};

/// The members of an answer.
type Members = Map<String, Value>;

/// An operation on its way.
#[derive(Clone, Copy)]
struct Task<'a> {
    application: &'a Application,
    operation: &'a Operation,
    params: &'a Params,
    rule: &'a Rule,
}

impl<'a> Task<'a> {
    /// The task, unless what it needs is not configured: a row for several capabilities may have only some of them.
    fn of(application: &'a Application, operation: &'a Operation, params: &'a Params) -> Result<Self, ApiError> {
        let rule = application.calls.rule(&key(operation.name, params.text("capability").as_deref()));
        match rule.filter(|rule| rule.enabled) {
            Some(rule) => Ok(Self { application, operation, params, rule }),
            None => {
                let settings = rule.map(Rule::to_enable).unwrap_or_default();
                let message = format!("switched off; after checking it against the console's documentation, write: {settings}");
                Err(ApiError::new(Class::Configuration, "operation-not-configured", message))
            }
        }
    }

    fn spent(&self) -> Spent {
        match self.operation.bearer {
            Bearer::Authorizer(_) => Spent::AuthorizerToken,
            Bearer::Component(_) => Spent::ComponentToken,
        }
    }

    /// The members of an answer that says yes.
    fn accepted(&self, reply: &Reply) -> Result<Members, ApiError> {
        self.application.errors.read_reply(reply, self.spent(), "result")
    }

    fn next(self, replies: &[Reply], caller: Caller<'_>) -> Result<Next, ApiError> {
        let question = Question::before(self);
        let (before, replies) = match (question, replies.split_first()) {
            (None, _) => (None, replies),
            (Some(question), None) => return Ok(Next::Ask(Box::new(question.call(self, caller)?))),
            (Some(question), Some((first, rest))) => match self.accepted(first) {
                Ok(members) => (Some(members), rest),
                Err(error) if question.is_needed() || error.class != Class::Refuse => return Err(error),
                // It would only have helped after a lost answer.
                Err(_) => (None, rest),
            },
        };
        match replies.first() {
            None => Ok(Next::Call(Box::new(request::call(self, before.as_ref(), caller)?))),
            Some(reply) => Ok(Next::Done(Box::new(read::outcome(self, before.as_ref(), reply)?))),
        }
    }
}

impl Operations for Application {
    fn operations(&self) -> &[Operation] {
        self.calls.rows()
    }

    fn unready(&self, operation: &Operation, params: &Params) -> Option<String> {
        let rule = self.calls.rule(&key(operation.name, params.text("capability").as_deref()))?;
        (!rule.enabled).then(|| rule.to_enable())
    }

    fn next(&self, operation: &Operation, params: &Params, replies: &[Reply], caller: Caller<'_>) -> Next {
        Task::of(self, operation, params).and_then(|task| task.next(replies, caller)).unwrap_or_else(Next::Refused)
    }

    fn look_up(&self, operation: &Operation, params: &Params, _: &[Reply], caller: Caller<'_>) -> Option<Call> {
        let task = Task::of(self, operation, params).ok()?;
        Question::after(task)?.call(task, caller).ok()
    }

    fn looked_up(&self, operation: &Operation, params: &Params, replies: &[Reply], found: &Reply, earlier: Earlier) -> LookedUp {
        match Task::of(self, operation, params) {
            Ok(task) => look_up::meaning(task, replies, found, earlier),
            Err(_) => LookedUp::Unknown,
        }
    }
}
