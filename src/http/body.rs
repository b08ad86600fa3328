//! Bodies in both directions: reading one with a limit and a deadline, and writing JSON with times as contract 3 wants them.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::Serialize;

use super::problem::{Kind, Problem, seconds_up};
use super::room::{Room, Share};
use super::{connections, wire};
use crate::clock::Timestamp;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Over the limit.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// The connection broke, or the framing is wrong.
    Broken,
    /// Too much of other bodies is held already.
    Crowded,
}

/// When there may be room again: every body must have come within some seconds, and is answered soon after.
const CROWDED: Duration = Duration::from_secs(5);

/// How much of a body over the limit is still read and thrown away, as a multiple of the limit, and for how long: an answer to a sender
/// that is still sending is often lost with the connection.
const PATIENCE: usize = 4;
const PATIENCE_TIME: Duration = Duration::from_secs(2);

/// Reads a body of at most `limit` bytes within `deadline`. The share of the room is to be held until the request is answered.
///
/// # Errors
/// Why not.
pub async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: usize,
    deadline: Duration,
    room: &Room,
) -> Result<(Bytes, Share), Unread> {
    let mut share = Share::default();
    let declared = wire::announced(request.head()).and_then(|length| usize::try_from(length).ok());
    if declared.is_none_or(|length| length <= limit) {
        let fill = fill(payload, limit, declared, room, &mut share);
        if let Some(body) = tokio::time::timeout(deadline, fill).await.map_err(|_| Unread::TooSlow)?? {
            connections::has_spoken(request);
            return Ok((body, share));
        }
    }
    // Whatever becomes of the rest, the answer is the same.
    let _ = tokio::time::timeout(PATIENCE_TIME, throw_away(payload, limit.saturating_mul(PATIENCE))).await;
    Err(Unread::TooLarge)
}

/// The whole body, or `None` once it is over the limit.
async fn fill(
    payload: &mut Payload,
    limit: usize,
    declared: Option<usize>,
    room: &Room,
    share: &mut Share,
) -> Result<Option<Bytes>, Unread> {
    // Most bodies come in one piece, which is taken as it is.
    let (mut first, mut body) = (Bytes::new(), BytesMut::new());
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        let length = first.len() + body.len();
        if length.saturating_add(chunk.len()) > limit {
            return Ok(None);
        }
        if !share.grow(room, chunk.len()) {
            return Err(Unread::Crowded);
        }
        if length == 0 {
            first = chunk;
            continue;
        }
        if !first.is_empty() {
            // Room for the whole of it at once, where that is known: to grow by doubling takes twice as much.
            body.reserve(declared.unwrap_or_default().max(length));
            body.extend_from_slice(&std::mem::take(&mut first));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(if body.is_empty() { first } else { body.freeze() }))
}

async fn throw_away(payload: &mut Payload, most: usize) {
    let mut thrown_away = 0usize;
    while let Some(Ok(chunk)) = payload.next().await {
        thrown_away = thrown_away.saturating_add(chunk.len());
        if thrown_away > most {
            return;
        }
    }
}

impl Unread {
    /// As the service API tells it.
    #[must_use]
    pub fn problem(self, limit: usize) -> Problem {
        match self {
            Self::TooLarge => Problem::new(Kind::TooLarge, format!("the body is over {limit} bytes")),
            Self::TooSlow => Problem::new(Kind::TooSlow, "the body did not arrive in time"),
            Self::Broken => Problem::new(Kind::BadRequest, "the body did not arrive whole"),
            Self::Crowded => Problem::new(Kind::Unavailable, "too many large bodies are on their way").retry_after(CROWDED),
        }
    }
}

/// `200` with JSON that nobody may keep.
pub fn json(value: &impl Serialize) -> Result<HttpResponse, Problem> {
    json_with(StatusCode::OK, value)
}

/// A status with JSON that nobody may keep.
pub fn json_with(status: StatusCode, value: &impl Serialize) -> Result<HttpResponse, Problem> {
    let body = serde_json::to_vec(value).map_err(Problem::internal)?;
    Ok(HttpResponse::build(status).content_type("application/json").insert_header((header::CACHE_CONTROL, "no-store")).body(body))
}

/// A moment for a body: UTC, at most milliseconds.
#[must_use]
pub fn moment(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// A moment for a body in whole seconds, rounded down: an expiry promised must not be late.
#[must_use]
pub fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_millisecond().div_euclid(1000)).unwrap_or(at)
}

/// Whole seconds from `now` until `at`, 0 when that is past.
#[must_use]
pub fn seconds_left(now: Timestamp, at: Timestamp) -> i64 {
    at.duration_since(now).as_secs().max(0)
}

/// A length of time as the configuration writes it: `15s`, `2m`, `1h`, `500ms`.
#[must_use]
pub fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    match (length.subsec_millis(), seconds) {
        (1.., _) => format!("{}ms", length.as_millis()),
        (_, 0) => String::from("0s"),
        (_, s) if s % 86400 == 0 => format!("{}d", s / 86400),
        (_, s) if s % 3600 == 0 => format!("{}h", s / 3600),
        (_, s) if s % 60 == 0 => format!("{}m", s / 60),
        (_, s) => format!("{s}s"),
    }
}

/// `Retry-After` in seconds, for answers that are no problems.
#[must_use]
pub fn retry_after(wait: Duration) -> (header::HeaderName, String) {
    (header::RETRY_AFTER, seconds_up(wait).to_string())
}
