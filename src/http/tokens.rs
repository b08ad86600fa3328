//! Tokens and tickets for other services (contract 3, token body): the vault decides, this writes the answer and notes who read.

use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::body::{moment, second, seconds_left};
use super::caller::{Caller, Permission, TicketsRead, TokensForce, TokensRead};
use super::parameters::{Members, Query};
use super::problem::Problem;
use super::{Face, body};
use crate::clock::Timestamp;
use crate::envelope::digest;
use crate::platform::{Family, TokenKey};
use crate::vault::audit::Reading;
use crate::vault::{Served, Want};

/// Longest long poll, in seconds; whoever asks for more gets as much.
const LONGEST_WAIT: u64 = 60;

/// Most life that can be asked for, in seconds; no platform's token lives longer.
const LONGEST_LIFE: u64 = 366 * 86400;

/// Whose token, from the path.
#[derive(Deserialize)]
pub struct Whose {
    component: String,
    #[serde(default)]
    authorizer: Option<String>,
}

#[derive(Serialize)]
struct TokenBody<'a> {
    access_token: &'a str,
    generation: u64,
    expires_at: Option<Timestamp>,
    expires_in: Option<i64>,
    component: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<&'a str>,
}

#[derive(Serialize)]
struct TicketBody<'a> {
    ticket: &'a str,
    component: &'a str,
    created_at: Timestamp,
    received_at: Timestamp,
}

/// `GET …/token`.
pub async fn read(
    caller: Caller<TokensRead>,
    face: web::Data<Face>,
    whose: web::Path<Whose>,
    request: HttpRequest,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let key = key(&face, &whose, &mut query)?;
    let min_ttl = query.number("min_ttl");
    if min_ttl.is_some_and(|seconds| seconds > LONGEST_LIFE) {
        query.refuse("min_ttl", format!("is over {LONGEST_LIFE} seconds"));
    }
    let after_generation = query.number("after_generation");
    let wait = query.number("wait");
    if wait.is_some() && after_generation.is_none() {
        query.refuse("wait", "needs `after_generation`");
    }
    query.finish()?;
    let want = Want {
        min_ttl: Duration::from_secs(min_ttl.unwrap_or_default()),
        after_generation,
        wait: Duration::from_secs(wait.unwrap_or_default().min(LONGEST_WAIT)),
    };
    let served = face.app.vault.fresh(&whose.component, &key, want).await?;
    note(&face, &caller, "token.read", &whose, served.generation);
    hand_out(&face, &whose, &key, &served, Some(&request))
}

/// `POST …/token/report-invalid`.
pub async fn report_invalid(
    caller: Caller<TokensRead>,
    face: web::Data<Face>,
    whose: web::Path<Whose>,
    mut query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    let key = key(&face, &whose, &mut query)?;
    query.finish()?;
    let generation = members.need::<u64>("generation");
    members.finish()?;
    let served = face.app.vault.report_invalid(&whose.component, &key, generation.unwrap_or_default()).await?;
    note(&face, &caller, "token.report_invalid", &whose, served.generation);
    hand_out(&face, &whose, &key, &served, None)
}

/// `POST …/token/refresh`.
pub async fn refresh(
    caller: Caller<TokensForce>,
    face: web::Data<Face>,
    whose: web::Path<Whose>,
    mut query: Query,
    members: Members,
) -> Result<HttpResponse, Problem> {
    let key = key(&face, &whose, &mut query)?;
    query.finish()?;
    members.finish()?;
    let served = face.app.vault.refresh(&whose.component, &key).await?;
    tracing::info!(component = whose.component, authorizer = whose.authorizer, key = caller.name(), "token renewed on request");
    note(&face, &caller, "token.refresh", &whose, served.generation);
    hand_out(&face, &whose, &key, &served, None)
}

/// `GET /v1/components/{c}/ticket`.
pub async fn ticket(
    caller: Caller<TicketsRead>,
    face: web::Data<Face>,
    whose: web::Path<Whose>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    face.component(&whose.component)?;
    let held = face.app.vault.ticket(&whose.component)?;
    note(&face, &caller, "ticket.read", &whose, 0);
    body::json(&TicketBody {
        ticket: held.value.expose(),
        component: &whose.component,
        created_at: moment(held.created_at),
        received_at: moment(held.received_at),
    })
}

/// The token asked for; `family` is read from the query and must be one that the platform keeps.
fn key(face: &Face, whose: &Whose, query: &mut Query) -> Result<TokenKey, Problem> {
    let component = face.component(&whose.component)?;
    let family = query.word::<Family>("family", "`current`, `v1`").unwrap_or_default();
    if !component.families().contains(&family) {
        query.refuse("family", format!("is not kept by {}", component.platform().name()));
    }
    Ok(match &whose.authorizer {
        Some(app_id) => TokenKey::Authorizer { app_id: app_id.clone(), family },
        None => TokenKey::Component(family),
    })
}

/// The answer; `request` where `If-None-Match` may spare the body.
fn hand_out(face: &Face, whose: &Whose, key: &TokenKey, served: &Served, request: Option<&HttpRequest>) -> Result<HttpResponse, Problem> {
    let tag = entity_tag(served.generation, &whose.component, key);
    let held = request.and_then(|request| request.headers().get(header::IF_NONE_MATCH)).and_then(|value| value.to_str().ok());
    let is_held = held.is_some_and(|held| names(held, &tag));
    let mut answer = if is_held { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, format!("private, max-age={}", served.cache_for.as_secs())))
        .insert_header((header::VARY, "Authorization"));
    if is_held {
        return Ok(answer.finish());
    }
    let body = TokenBody {
        access_token: served.token.expose(),
        generation: served.generation,
        expires_at: served.expires_at.map(second),
        expires_in: served.expires_at.map(|at| seconds_left(face.app.clock.now(), at)),
        component: &whose.component,
        authorizer: whose.authorizer.as_deref(),
    };
    let body = serde_json::to_vec(&body).map_err(Problem::internal)?;
    Ok(answer.content_type("application/json").body(body))
}

/// `"17-…"`: the generation, and a mark of whose token it is. Never anything of the token.
fn entity_tag(generation: u64, component: &str, key: &TokenKey) -> String {
    let (app_id, family) = match key {
        TokenKey::Component(family) => ("", family),
        TokenKey::Authorizer { app_id, family } => (app_id.as_str(), family),
    };
    let family = match family {
        Family::Current => "current",
        Family::V1 => "v1",
    };
    let mark = digest::sha256(&[component.as_bytes(), b"\0", app_id.as_bytes(), b"\0", family.as_bytes()]);
    format!("\"{generation}-{}\"", digest::hex(mark.first_chunk::<5>().map_or(&[], <[u8; 5]>::as_slice)))
}

/// Whether an `If-None-Match` names that tag (weak comparison, RFC 9110 13.1.2).
fn names(header: &str, tag: &str) -> bool {
    header.split(',').map(str::trim).any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

fn note<P: Permission>(face: &Face, caller: &Caller<P>, action: &str, whose: &Whose, generation: u64) {
    let (key, component, authorizer) = (caller.name(), whose.component.as_str(), whose.authorizer.as_deref());
    face.app.audit.note(Reading { key, action, component, authorizer, generation, remote: caller.remote });
}
