//! What was found by asking the vendors: a part of a component's state, and `POST …/reconcile`, which asks them now.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::Face;
use super::body::{self, moment};
use super::caller::{Caller, OperationsCall};
use super::parameters::Nothing;
use super::problem::Problem;
use crate::clock::Timestamp;
use crate::reconcile::{Look, Looked};

/// One look at a vendor.
#[derive(Serialize)]
pub struct LookBody {
    ran_at: Option<Timestamp>,
    complete_at: Option<Timestamp>,
    next_at: Option<Timestamp>,
    asked: u64,
    found: u64,
    found_in_all: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Every look at a component by its name.
pub type Looks = BTreeMap<&'static str, LookBody>;

/// The looks at a component.
pub fn looks(looked: Option<Vec<(Look, Looked)>>) -> Looks {
    let body = |(look, looked): (Look, Looked)| {
        let Looked { state, next_at, waiting } = looked;
        let body = LookBody {
            ran_at: state.ran_at.map(moment),
            complete_at: state.complete_at.map(moment),
            next_at: next_at.map(moment),
            asked: state.asked,
            found: state.found,
            found_in_all: state.found_in_all,
            waiting: (look == Look::Audits).then_some(waiting),
            error: state.error,
        };
        (look.as_str(), body)
    };
    looked.into_iter().flatten().map(body).collect()
}

#[derive(Serialize)]
struct ReconciledBody<'a> {
    component: &'a str,
    looks: Looks,
}

/// `POST /v1/components/{c}/reconcile`: every look now; answers when they are done.
pub async fn run(_: Caller<OperationsCall>, face: web::Data<Face>, name: web::Path<String>, _: Nothing) -> Result<HttpResponse, Problem> {
    let component = face.component(&name)?;
    let named = component.name().to_owned();
    let looked = face.through(|app| async move { app.reconcile.now(&named).await }).await?;
    body::json(&ReconciledBody { component: component.name(), looks: looks(looked) })
}
