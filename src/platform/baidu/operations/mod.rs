//! Baidu's follow-up calls (5): the rows, and how each is carried out.
//!
//! `rows` says what there is, `steps` what comes next, `calls` what is sent, `read` what an answer means, `lost` what became of a call whose
//! answer never came, `check` what parameters must still fulfil. Nothing here sends, waits or reads a clock.

mod advice;
mod calls;
mod categories;
mod check;
mod lost;
mod packages;
mod read;
mod rows;
mod steps;

use super::{Application, errors};
use crate::platform::call::{ApiError, Class};
use crate::platform::operation::{BadParam, Caller, Earlier, LookedUp, Next, Operation, Operations, Params};
use crate::platform::{Call, Reply};
use rows::{Plan, Row};
use steps::Errand;

/// The rows of a component, and their plans in the same order.
pub(super) struct Table {
    operations: Vec<Operation>,
    plans: Vec<Plan>,
}

impl Table {
    pub(super) fn new() -> Self {
        let (operations, plans) = rows::all().into_iter().map(|Row { operation, plan }| (operation, plan)).unzip();
        Self { operations, plans }
    }

    fn plan(&self, name: &str) -> Option<&Plan> {
        let at = self.operations.iter().position(|operation| operation.name == name)?;
        self.plans.get(at)
    }
}

impl Application {
    fn errand<'a>(&'a self, operation: &'a Operation, params: &'a Params) -> Option<Errand<'a>> {
        let plan = self.table.plan(operation.name)?;
        Some(Errand { base_url: &self.of.base_url, operation, plan, params })
    }
}

impl Operations for Application {
    fn operations(&self) -> &[Operation] {
        &self.table.operations
    }

    fn misfits(&self, operation: &Operation, params: &Params) -> Vec<BadParam> {
        check::misfits(operation, params)
    }

    fn next(&self, operation: &Operation, params: &Params, replies: &[Reply], caller: Caller<'_>) -> Next {
        match self.errand(operation, params) {
            Some(errand) => errand.next(replies, caller).unwrap_or_else(Next::Refused),
            None => Next::Refused(ApiError::new(Class::Refuse, "not-applicable", format!("no operation `{}` here", operation.name))),
        }
    }

    fn declines(&self, _: &Operation, error: &ApiError) -> bool {
        errors::declines(error)
    }

    fn look_up(&self, operation: &Operation, params: &Params, _: &[Reply], caller: Caller<'_>) -> Option<Call> {
        self.errand(operation, params)?.look_up(caller)
    }

    fn looked_up(&self, operation: &Operation, params: &Params, replies: &[Reply], found: &Reply, earlier: Earlier) -> LookedUp {
        self.errand(operation, params).map_or(LookedUp::Unknown, |errand| errand.looked_up(replies, found, earlier))
    }
}
