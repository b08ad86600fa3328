//! Where platforms push to (contract 2): the raw request goes to the inbox as it came, its answer goes back as it is.
//!
//! Nothing of the body, the query or the headers is parsed or logged here.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use super::Face;
use super::body::{self, Unread};
use super::problem::Problem;
use crate::inbox::Refusal;
use crate::platform::{Acknowledgement, Door, RawPush};

/// Headers kept with a push at most, and bytes of a value at most: platforms sign with one or two short ones.
const MOST_HEADERS: usize = 64;
const LONGEST_VALUE: usize = 4096;

/// Headers that are for a server and not part of a push.
const NOT_KEPT: &[&str] = &["authorization", "connection", "content-length", "cookie", "host", "proxy-authorization", "transfer-encoding"];

/// When a platform should send again what could not be stored. They keep to their own schedules; a proxy between may obey.
const SEND_AGAIN: Duration = Duration::from_secs(5);

/// `/callback/{component}/authorization`.
pub async fn authorization(face: web::Data<Face>, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    receive(&face, &request, payload, Door::Authorization).await
}

/// `/callback/{component}/message` and everything below.
pub async fn message(face: web::Data<Face>, request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Problem> {
    receive(&face, &request, payload, Door::Message).await
}

async fn receive(face: &Face, request: &HttpRequest, payload: web::Payload, door: Door) -> Result<HttpResponse, Problem> {
    let component = face.component(request.match_info().get("component").unwrap_or_default())?;
    let server = &face.app.config.server;
    let read = body::read(request, &mut payload.into_inner(), server.max_push_bytes, server.client_timeout, &face.strangers).await;
    let (body, _share) = match read {
        Ok(read) => read,
        Err(Unread::TooLarge) => {
            face.app.inbox.too_large(component.as_ref()).await;
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "refused: too-large\n"));
        }
        Err(Unread::TooSlow) => return Ok(plain(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n")),
        Err(Unread::Broken) => return Ok(plain(StatusCode::BAD_REQUEST, "the body did not arrive whole\n")),
        Err(Unread::Crowded) => {
            face.app.inbox.crowded_out(component.as_ref());
            return Ok(not_stored());
        }
    };
    let push = RawPush {
        door,
        is_get: request.method() == actix_web::http::Method::GET,
        headers: headers(request),
        query: request.query_string().to_owned(),
        body,
        received_at: face.app.clock.now(),
    };
    Ok(match face.app.inbox.accept(component.as_ref(), push).await {
        Ok(acknowledgement) | Err(Refusal::Refused(_, Some(acknowledgement))) => answer(acknowledgement),
        Err(Refusal::Refused(error, None)) => {
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED);
            plain(status, &format!("refused: {}\n", error.reason()))
        }
        // The inbox has said why, once.
        Err(Refusal::Unavailable(_)) => not_stored(),
    })
}

fn not_stored() -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .content_type("text/plain; charset=utf-8")
        .insert_header(body::retry_after(SEND_AGAIN))
        .body("not stored, please send again\n")
}

/// What the platform's signature may need: names in lower case, values as bytes, bounded.
fn headers(request: &HttpRequest) -> Vec<(String, Vec<u8>)> {
    request
        .headers()
        .iter()
        .filter(|(name, value)| !NOT_KEPT.contains(&name.as_str()) && value.len() <= LONGEST_VALUE)
        .take(MOST_HEADERS)
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

fn answer(acknowledgement: Acknowledgement) -> HttpResponse {
    let status = StatusCode::from_u16(acknowledgement.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponseBuilder::new(status).insert_header((header::CONTENT_TYPE, acknowledgement.content_type)).body(acknowledgement.body)
}

fn plain(status: StatusCode, text: &str) -> HttpResponse {
    HttpResponseBuilder::new(status).content_type("text/plain; charset=utf-8").body(text.to_owned())
}
