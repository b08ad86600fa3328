//! `ANY …/proxy/{path}`: any other vendor call with a token of ours. Both bodies pass through piece by piece.
//!
//! `operations::proxy` decides what is passed on; this turns the request into it and the answer back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::caller::{Caller, ProxyCall};
use super::places::Place;
use super::problem::{Kind, Problem};
use super::{Face, passage};
use crate::operations::proxy::{Asked, Incoming, KEPT_BYTES, ProxyError};
use crate::outbound::relay::Passed;
use crate::vault::audit::Reading;

/// Longest request body that is passed on.
pub const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Pieces of a request that wait for the vendor.
const WAITING_PIECES: usize = 8;

/// Path segments before the vendor's own: `v1/components/{c}/proxy` and `v1/components/{c}/authorizers/{a}/proxy`.
const SEGMENTS: (usize, usize) = (4, 6);

/// `ANY …/proxy/{path}`.
pub async fn pass(
    caller: Caller<ProxyCall>,
    face: web::Data<Face>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let part = |name: &str| request.match_info().get(name).map(str::to_owned);
    let component = part("component").unwrap_or_default();
    face.component(&component)?;
    let authorizer = part("authorizer");
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > MOST_BODY_BYTES)) {
        return Err(too_large());
    }
    // Both bodies last as long as the caller takes over them.
    let place = face.last(caller.name())?;
    let flood = Arc::new(AtomicBool::new(false));
    let body = incoming(payload.into_inner(), length, face.app.config.server.client_timeout, Arc::clone(&flood)).await?;
    let path = vendor_path(request.uri().path(), authorizer.is_some());
    let asked = Asked {
        method: request.method().as_str().to_owned(),
        path: path.clone(),
        query: url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect(),
        headers: request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect(),
        body,
    };
    let (key, request_id, method) = (caller.name(), passage::id_of(&request), request.method().as_str());
    // The path is the vendor's, held against its form; without a query it holds nothing secret. One that is refused is the caller's own.
    let path = if face.app.proxy.knows(&component, &path) { path.as_str() } else { "" };
    // Before anything is sent: a caller whose connection breaks takes with it what comes after.
    tracing::info!(key, request_id, component, authorizer, method, path, "proxy called");
    face.app.audit.note(Reading {
        key,
        action: &format!("proxy:{method}"),
        component: &component,
        authorizer: authorizer.as_deref(),
        generation: 0,
        remote: caller.remote,
    });
    match face.app.proxy.pass(&component, authorizer.as_deref(), asked).await {
        Ok(passed) => write(passed, place),
        Err(ProxyError::Unreachable(_)) if flood.load(Ordering::Relaxed) => Err(too_large()),
        Err(error) => Err(error.into()),
    }
}

fn too_large() -> Problem {
    Problem::new(Kind::TooLarge, format!("the body is over {MOST_BODY_BYTES} bytes"))
}

/// The vendor's path as it came, not decoded, with its leading slash.
#[must_use]
pub fn vendor_path(path: &str, for_authorizer: bool) -> String {
    let before = if for_authorizer { SEGMENTS.1 } else { SEGMENTS.0 };
    format!("/{}", path.trim_start_matches('/').splitn(before + 1, '/').nth(before).unwrap_or_default())
}

/// What came: all of it where it is short enough to be kept, else its beginning with the rest behind it. `flood` is set when it never ends.
async fn incoming(mut payload: Payload, length: Option<u64>, patience: Duration, flood: Arc<AtomicBool>) -> Result<Incoming, Problem> {
    let mut kept = BytesMut::new();
    // For all of it together, as with every other body: a byte now and then must not hold a connection.
    let deadline = tokio::time::Instant::now() + patience;
    while kept.len() <= KEPT_BYTES {
        match tokio::time::timeout_at(deadline, payload.next()).await {
            Err(_) => return Err(Problem::new(Kind::TooSlow, "the body did not arrive in time")),
            Ok(None) => return Ok(Incoming::Whole(kept.freeze())),
            Ok(Some(Err(_))) => return Err(Problem::new(Kind::BadRequest, "the body did not arrive whole")),
            Ok(Some(Ok(piece))) => kept.extend_from_slice(&piece),
        }
    }
    let (to_vendor, pieces) = mpsc::channel::<io::Result<Bytes>>(WAITING_PIECES);
    // A server's payload stays on its thread; the client that sends to the vendor may be on another.
    actix_web::rt::spawn(async move {
        let mut read = kept.len();
        let mut next = Ok(kept.freeze());
        loop {
            let is_last = next.is_err();
            if to_vendor.send(next).await.is_err() || is_last {
                return;
            }
            next = match tokio::time::timeout(patience, payload.next()).await {
                Err(_) => Err(io::Error::other("the request's body stopped coming")),
                Ok(None) => return,
                Ok(Some(Err(_))) => Err(io::Error::other("the request's body broke off")),
                Ok(Some(Ok(piece))) => {
                    read = read.saturating_add(piece.len());
                    if read > MOST_BODY_BYTES {
                        flood.store(true, Ordering::Relaxed);
                        Err(io::Error::other("the request's body is too long"))
                    } else {
                        Ok(piece)
                    }
                }
            };
        }
    });
    let pieces = stream::unfold(pieces, |mut pieces| async move { pieces.recv().await.map(|piece| (piece, pieces)) });
    Ok(Incoming::Streamed { length, pieces: Box::pin(pieces) })
}

fn write(passed: Passed, place: Place) -> Result<HttpResponse, Problem> {
    let mut response = HttpResponse::build(StatusCode::from_u16(passed.status).map_err(Problem::internal)?);
    // Without a content type an answer above 400 would be taken for the server's own.
    if passed.header("content-type").is_none() {
        response.insert_header((header::CONTENT_TYPE, "application/octet-stream"));
    }
    if passed.header("cache-control").is_none() {
        response.insert_header((header::CACHE_CONTROL, "no-store"));
    }
    for (name, value) in &passed.headers {
        response.append_header((name.as_str(), value.as_ref()));
    }
    let pieces = passed.pieces.inspect(move |_| {
        let _taken = &place;
    });
    Ok(response.streaming(pieces))
}
