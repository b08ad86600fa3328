//! `GET /v1/components`: what state our applications at the platforms are in, for people and alarms. Never a token.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::body::{moment, second, seconds_left};
use super::caller::{Caller, Read};
use super::list::{Listing, slice};
use super::parameters::Query;
use super::problem::Problem;
use super::reconcile::{self, Looks};
use super::{Face, body};
use crate::clock::Timestamp;
use crate::platform::{Component, Family};
use crate::vault::TokenState;

#[derive(Serialize)]
struct ComponentBody<'a> {
    name: &'a str,
    platform: &'static str,
    app_id: &'a str,
    ticket: Option<TicketState>,
    tokens: Vec<TokenBody>,
    authorizers: Authorizers,
    codes_waiting: u64,
    code_expires_at: Option<Timestamp>,
    last_event_at: Option<Timestamp>,
    callbacks: Callbacks,
    reconcile: Looks,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct TicketState {
    created_at: Option<Timestamp>,
    received_at: Timestamp,
    age_seconds: i64,
}

/// A token as people see it: all but the token.
#[derive(Serialize)]
pub struct TokenBody {
    family: Family,
    generation: u64,
    expires_at: Option<Timestamp>,
    expires_in: Option<i64>,
    obtained_at: Timestamp,
}

impl TokenBody {
    /// As it looks at `now`.
    pub fn new(token: &TokenState, now: Timestamp) -> Self {
        Self {
            family: token.family,
            generation: token.generation,
            expires_at: token.expires_at.map(second),
            expires_in: token.expires_at.map(|at| seconds_left(now, at)),
            obtained_at: moment(token.obtained_at),
        }
    }
}

#[derive(Serialize)]
struct Authorizers {
    pending: u64,
    granted: u64,
    revoked: u64,
}

/// What to type into the platform's console.
#[derive(Serialize)]
struct Callbacks {
    authorization: String,
    message: String,
    authorized: String,
    authorize: String,
}

/// `GET /v1/components`.
pub async fn list(caller: Caller<Read>, face: web::Data<Face>, query: Query) -> Result<HttpResponse, Problem> {
    let listing = Listing::<()>::read("components", query, ())?;
    let reach = caller.reach();
    let seen: Vec<&Arc<dyn Component>> = face.app.config.components.iter().filter(|component| reach.has(component.name())).collect();
    let page = slice(seen, |component| component.name(), listing.after.as_ref(), listing.limit);
    let mut items = Vec::with_capacity(page.items.len());
    for component in page.items {
        items.push(describe(&face, component.as_ref()).await?);
    }
    listing.answer(&items, page.next.as_ref())
}

/// `GET /v1/components/{c}`.
pub async fn one(_: Caller<Read>, face: web::Data<Face>, name: web::Path<String>, query: Query) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let component = face.component(&name)?;
    body::json(&describe(&face, component.as_ref()).await?)
}

async fn describe<'a>(face: &Face, component: &'a dyn Component) -> Result<ComponentBody<'a>, Problem> {
    let name = component.name();
    let now = face.app.clock.now();
    let state = face.app.vault.component_state(name)?;
    let (pending, granted, revoked) = state.authorizers;
    let base = format!("{}/callback/{name}", face.app.config.server.public_url);
    Ok(ComponentBody {
        name,
        platform: component.platform().name(),
        app_id: component.app_id(),
        ticket: state.ticket_received_at.map(|at| TicketState {
            created_at: state.ticket_created_at.map(moment),
            received_at: moment(at),
            age_seconds: seconds_left(at, now),
        }),
        tokens: state.tokens.iter().map(|token| TokenBody::new(token, now)).collect(),
        authorizers: Authorizers { pending, granted, revoked },
        codes_waiting: state.codes_waiting,
        code_expires_at: state.code_expires_at.map(second),
        last_event_at: face.app.log.last_received(name, None).await?.map(moment),
        callbacks: Callbacks {
            authorization: format!("{base}/authorization"),
            message: format!("{base}/message"),
            authorized: format!("{base}/authorized"),
            authorize: format!("{}/authorize/{name}", face.app.config.server.public_url),
        },
        reconcile: reconcile::looks(face.app.reconcile.looked(name)),
        warnings: state.warnings,
    })
}
