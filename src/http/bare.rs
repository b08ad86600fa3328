//! The ceiling that `yizhan bench` holds the service against: a server with the same settings whose handlers do nothing but what HTTP asks of them.
//!
//! Started by `cli::bench` in a process of its own, on the loopback address. It knows no room, stores nothing and checks no key; no service runs it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{App as Site, HttpRequest, HttpResponse, HttpResponseBuilder, HttpServer, dev, web};
use tokio::sync::Notify;

use super::routes::TOKEN_OF_AUTHORIZER;
use crate::config;

/// What questions for a token are answered: taken over from a real answer of the service, so that both send the same bytes.
struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: web::Bytes,
}

/// What the handlers share.
struct Bare {
    answer: OnceLock<Answer>,
    began: Instant,
    /// Deliveries answered.
    taken: AtomicU64,
    /// When the last of them came, in nanoseconds since `began`.
    last: AtomicU64,
    came: Notify,
}

/// Names of headers that `PUT /answer` takes over, each with this before its name.
const TAKEN_OVER: &str = "answer-";

/// Longest wait of `/taken`.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bare server on a bound listener.
///
/// # Errors
/// Those of the sockets.
pub fn server(settings: &config::Server, listener: TcpListener) -> io::Result<(SocketAddr, dev::Server)> {
    let address = listener.local_addr()?;
    let bare =
        Bare { answer: OnceLock::new(), began: Instant::now(), taken: AtomicU64::new(0), last: AtomicU64::new(0), came: Notify::new() };
    let bare = web::Data::new(bare);
    let site = move || {
        Site::new()
            .app_data(bare.clone())
            .route("/callback/{component}/{door}", web::post().to(push))
            .route(TOKEN_OF_AUTHORIZER, web::get().to(answer))
            .route("/answer", web::put().to(learn))
            .route("/handler", web::post().to(take))
            .route("/taken/{count}", web::get().to(taken))
    };
    let server = HttpServer::new(site)
        .workers(super::workers())
        .max_connections(super::of_worker(settings.max_connections))
        .keep_alive(super::KEEP_ALIVE)
        .client_request_timeout(settings.client_timeout)
        .client_disconnect_timeout(super::GOODBYE)
        .shutdown_timeout(settings.shutdown_grace.as_secs().max(1))
        .disable_signals();
    Ok((address, server.listen(listener)?.run()))
}

/// Reads the body and answers what a platform wants to hear.
async fn push(_body: web::Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("success")
}

/// Answers what it was told to.
async fn answer(bare: web::Data<Bare>) -> HttpResponse {
    let Some(answer) = bare.answer.get() else { return HttpResponse::NotFound().finish() };
    let mut response = HttpResponseBuilder::new(answer.status);
    for (name, value) in &answer.headers {
        response.insert_header((name.clone(), value.clone()));
    }
    response.body(answer.body.clone())
}

/// Learns its answer, once.
async fn learn(request: HttpRequest, body: web::Bytes, bare: web::Data<Bare>) -> HttpResponse {
    let headers = request.headers().iter().filter_map(|(name, value)| {
        let name = HeaderName::try_from(name.as_str().strip_prefix(TAKEN_OVER)?).ok()?;
        Some((name, value.clone()))
    });
    let answer = Answer { status: StatusCode::OK, headers: headers.collect(), body };
    if bare.answer.set(answer).is_ok() { HttpResponse::NoContent().finish() } else { HttpResponse::Conflict().finish() }
}

/// Takes a delivery.
async fn take(_body: web::Bytes, bare: web::Data<Bare>) -> HttpResponse {
    bare.last.store(since(&bare), Ordering::Relaxed);
    bare.taken.fetch_add(1, Ordering::Release);
    bare.came.notify_waiters();
    HttpResponse::Ok().finish()
}

/// Once so many deliveries were taken in all: how many there were, the present moment and the last one's, in nanoseconds.
async fn taken(count: web::Path<u64>, bare: web::Data<Bare>) -> HttpResponse {
    let wanted = *count;
    let enough = async {
        loop {
            let came = bare.came.notified();
            let taken = bare.taken.load(Ordering::Acquire);
            if taken >= wanted {
                return taken;
            }
            came.await;
        }
    };
    let taken = tokio::time::timeout(PATIENCE, enough).await.unwrap_or_else(|_| bare.taken.load(Ordering::Acquire));
    let last = bare.last.load(Ordering::Relaxed);
    HttpResponse::Ok().json(serde_json::json!({ "taken": taken, "last_ns": last, "now_ns": since(&bare) }))
}

fn since(bare: &Bare) -> u64 {
    u64::try_from(bare.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
