//! Douyin's calls on behalf of a merchant and for the component itself (5), as rows and the few steps that are not one call.
//!
//! Asked by the desk of operations through [`Operations`]. Rooms: `rows` (what can be called), `request` (a row and its parameters become a
//! call), `fit` (what a row's kinds cannot say), `steps` (what comes after which answer), `look_up` (after a lost answer), `read` and `versions`
//! (answers in normal names). Never sends, never waits, never reads the clock.

mod fit;
mod look_up;
mod read;
mod request;
mod rows;
mod steps;
mod versions;

use super::{Application, Own, errors};
use crate::platform::call::{ApiError, Call, Reply};
use crate::platform::operation::{BadParam, Caller, Earlier, LookedUp, Next, Operation, Operations, Params};

pub(super) use read::short_video_status;
pub(super) use rows::rows;

/// An operation on its way.
#[derive(Clone, Copy)]
struct Task<'a> {
    of: &'a Own,
    operation: &'a Operation,
    params: &'a Params,
}

impl Operations for Application {
    fn operations(&self) -> &[Operation] {
        &self.rows
    }

    fn misfits(&self, operation: &Operation, params: &Params) -> Vec<BadParam> {
        fit::misfits(operation, params)
    }

    fn next(&self, operation: &Operation, params: &Params, replies: &[Reply], caller: Caller<'_>) -> Next {
        steps::next(Task { of: &self.of, operation, params }, replies, caller)
    }

    fn declines(&self, _: &Operation, error: &ApiError) -> bool {
        errors::declines(error)
    }

    fn look_up(&self, operation: &Operation, params: &Params, _: &[Reply], caller: Caller<'_>) -> Option<Call> {
        look_up::question(Task { of: &self.of, operation, params }, caller)
    }

    fn looked_up(&self, operation: &Operation, params: &Params, replies: &[Reply], found: &Reply, earlier: Earlier) -> LookedUp {
        look_up::meaning(Task { of: &self.of, operation, params }, replies, found, earlier)
    }
}
