//! Tokens and tickets for other services (contract 3, token body): the vault decides, this writes the answer and notes who read.
//!
//! What makes a vendor renew is noted before the vault is asked: the vendor may act though the caller is gone, or is told that it failed. That a token was
//! handed out for it is a read like any other, and noted as one.

use std::fmt::Write as _;
use std::time::Duration;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::body::{moment, second, seconds_left};
use super::caller::{Caller, Reader, TicketsRead, TokensForce, TokensRead};
use super::parameters::{Members, Query};
use super::problem::Problem;
use super::{Face, body};
use crate::clock::Timestamp;
use crate::platform::{Family, TokenKey};
use crate::vault::audit::Reading;
use crate::vault::{Insistence, Served, Want};

/// Longest long poll, in seconds; whoever asks for more gets as much.
const LONGEST_WAIT: u64 = 60;

/// Most life that can be asked for, in seconds; no platform's token lives longer.
const LONGEST_LIFE: u64 = 366 * 86400;

/// What a token's body takes beside the token, mostly.
const USUAL_BODY: usize = 256;

/// Longest entity tag: a generation of twenty digits and a mark of ten, with what stands about them.
const LONGEST_TAG: usize = 33;

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

/// What is asked for.
struct Asked {
    component: String,
    key: TokenKey,
}

impl Asked {
    fn whose(&self) -> (&str, &TokenKey) {
        (&self.component, &self.key)
    }
}

/// `GET …/token`.
pub async fn read(
    caller: Caller<TokensRead>,
    face: web::Data<Face>,
    whose: web::Path<Whose>,
    request: HttpRequest,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let asked = asked(&face, whose.into_inner(), &mut query)?;
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
    let vault = &face.app.vault;
    let _place = if want.wait.is_zero() { None } else { Some(face.last(caller.name())?) };
    let served = tokio::select! {
        biased;
        served = vault.fresh(&asked.component, &asked.key, want) => served?,
        // A server that stops waits for every request: one that waits for news is answered with what there is.
        () = face.closing.requested(), if !want.wait.is_zero() => {
            vault.fresh(&asked.component, &asked.key, Want { wait: Duration::ZERO, ..want }).await?
        }
    };
    hand_out(&face, caller.reader(), asked.whose(), &served, request.headers().get(header::IF_NONE_MATCH))
}

/// `POST …/token/report-invalid`.
pub async fn report_invalid(
    caller: Caller<TokensRead>,
    face: web::Data<Face>,
    whose: web::Path<Whose>,
    mut query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    let asked = asked(&face, whose.into_inner(), &mut query)?;
    query.finish()?;
    let generation = members.need::<u64>("generation");
    members.finish()?;
    let begins = || note(&face, caller.reader(), "token.report_invalid", (&asked.component, asked.key.authorizer()));
    let how = Insistence::Rejected(generation.unwrap_or_default());
    let served = face.app.vault.insist(&asked.component, &asked.key, how, begins).await?;
    hand_out(&face, caller.reader(), asked.whose(), &served, None)
}

/// `POST …/token/refresh`.
pub async fn refresh(
    caller: Caller<TokensForce>,
    face: web::Data<Face>,
    whose: web::Path<Whose>,
    mut query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    let asked = asked(&face, whose.into_inner(), &mut query)?;
    query.finish()?;
    // Only a renewal that spends something keeps an answer.
    let gives_up = asked.key.authorizer().is_some() && members.take::<bool>("give_up_answer").unwrap_or_default();
    members.finish()?;
    let (component, authorizer) = (asked.component.as_str(), asked.key.authorizer());
    tracing::info!(component, authorizer, key = caller.name(), gives_up, "token renewal asked for");
    let begins = || note(&face, caller.reader(), "token.refresh", (component, authorizer));
    let how = if gives_up { Insistence::GivingUp } else { Insistence::Anyway };
    let served = face.app.vault.insist(component, &asked.key, how, begins).await?;
    hand_out(&face, caller.reader(), asked.whose(), &served, None)
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
    note(&face, caller.reader(), "ticket.read", (&whose.component, None));
    body::json(&TicketBody {
        ticket: held.value.expose(),
        component: &whose.component,
        created_at: moment(held.created_at),
        received_at: moment(held.received_at),
    })
}

/// The token asked for; `family` is read from the query and must be one that the platform keeps.
fn asked(face: &Face, whose: Whose, query: &mut Query) -> Result<Asked, Problem> {
    let component = face.component(&whose.component)?;
    let family = query.word::<Family>("family", "`current`, `v1`").unwrap_or_default();
    if !component.families().contains(&family) {
        query.refuse("family", format!("is not kept by {}", component.platform().name()));
    }
    let key = match whose.authorizer {
        Some(app_id) => TokenKey::Authorizer { app_id, family },
        None => TokenKey::Component(family),
    };
    Ok(Asked { component: whose.component, key })
}

/// `GET …/token` of a token that is at hand, where the request is in order as far as it was looked at; `None`: ask [`read`].
pub(super) fn at_hand(face: &Face, reader: Reader<'_>, component: &str, authorizer: Option<&str>) -> Option<HttpResponse> {
    let key = match authorizer {
        Some(app_id) => TokenKey::Authorizer { app_id: app_id.to_owned(), family: Family::Current },
        None => TokenKey::Component(Family::Current),
    };
    let served = face.app.vault.at_hand(component, &key)?;
    hand_out(face, reader, (component, &key), &served, None).ok()
}

/// The answer, and a note of who had it; `held` is the `If-None-Match` that may spare the body.
fn hand_out(
    face: &Face,
    reader: Reader<'_>,
    (component, key): (&str, &TokenKey),
    served: &Served,
    held: Option<&HeaderValue>,
) -> Result<HttpResponse, Problem> {
    let authorizer = key.authorizer();
    let now = face.app.clock.now();
    let (generation, remote) = (served.generation, reader.remote);
    let reading = Reading { key: reader.key, action: "token.read", component, authorizer, generation, remote };
    face.app.audit.note_at(reading, now);
    let tag = entity_tag(served.generation, component, key);
    let is_held = held.and_then(|value| value.to_str().ok()).is_some_and(|held| names(held, &tag));
    let mut answer = if is_held { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, format!("private, max-age={}", served.cache_for.as_secs())))
        .insert_header((header::VARY, HeaderValue::from_static("Authorization")));
    if is_held {
        return Ok(answer.finish());
    }
    let token = served.token.expose();
    let mut body = Vec::with_capacity(USUAL_BODY + token.len());
    let content = TokenBody {
        access_token: token,
        generation: served.generation,
        expires_at: served.expires_at.map(second),
        expires_in: served.expires_at.map(|at| seconds_left(now, at)),
        component,
        authorizer,
    };
    serde_json::to_writer(&mut body, &content).map_err(Problem::internal)?;
    Ok(answer.insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json"))).body(body))
}

/// `"17-…"`: the generation, and a mark of whose token it is. Never anything of the token.
fn entity_tag(generation: u64, component: &str, key: &TokenKey) -> String {
    let app_id = key.authorizer().unwrap_or_default();
    let family = match key.family() {
        Family::Current => "current",
        Family::V1 => "v1",
    };
    let mut mark = Xxh3::new();
    for text in [component, app_id, family] {
        mark.update(text.as_bytes());
        mark.update(b"\0");
    }
    let mut tag = String::with_capacity(LONGEST_TAG);
    // A text takes everything.
    let _ = write!(tag, "\"{generation}-{:010x}\"", mark.digest() & 0xff_ffff_ffff);
    tag
}

/// Whether an `If-None-Match` names that tag (weak comparison, RFC 9110 13.1.2).
fn names(header: &str, tag: &str) -> bool {
    header.split(',').map(str::trim).any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

/// Notes who does what, without a generation that is handed out.
fn note(face: &Face, reader: Reader<'_>, action: &str, (component, authorizer): (&str, Option<&str>)) {
    face.app.audit.note(Reading { key: reader.key, action, component, authorizer, generation: 0, remote: reader.remote });
}
