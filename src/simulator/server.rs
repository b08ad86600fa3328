//! The HTTP server: hands calls to the twins, with the trouble that was asked for.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use super::fault::CallTrouble;
use super::{Simulator, stage_door};
use crate::platform::twin::Request;
use crate::platform::{self, Method};

/// Largest body of a call; vendors take files of up to 50 MB.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

pub(super) fn start(simulator: Arc<Simulator>, listener: TcpListener) -> std::io::Result<()> {
    let data = web::Data::from(Arc::clone(&simulator));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(LARGEST_BODY))
            .service(web::scope("/_sim").configure(stage_door::routes))
            .default_service(web::to(call))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?
    .run();
    let handle = server.handle();
    tokio::spawn(server);
    tokio::spawn(async move {
        simulator.shutdown.requested().await;
        handle.stop(false).await;
    });
    Ok(())
}

async fn call(simulator: web::Data<Simulator>, http: HttpRequest, body: web::Bytes) -> HttpResponse {
    let path = http.path();
    let (name, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let method = match *http.method() {
        actix_web::http::Method::GET => Method::Get,
        actix_web::http::Method::POST => Method::Post,
        _ => return HttpResponse::MethodNotAllowed().finish(),
    };
    let Some(platform) = platform::named(name) else {
        return HttpResponse::NotFound().body("no such vendor here; the paths start with a platform's name\n");
    };
    let header = |(name, value): (&actix_web::http::header::HeaderName, &actix_web::http::header::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let request = Request {
        method,
        path: format!("/{rest}"),
        query: http.query_string().to_owned(),
        headers: http.headers().iter().filter_map(header).collect(),
        body,
    };
    let simulator = simulator.into_inner();
    let Ok(trouble) = simulator.on(platform.name(), |stage, _| trouble(&mut stage.call_faults, &request)) else {
        return HttpResponse::NotFound().finish();
    };
    match trouble {
        Some(CallTrouble::Status(status)) => {
            return HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)).finish();
        }
        Some(CallTrouble::NotHeard) => return broken(),
        _ => {}
    }
    let answer = simulator.on(platform.name(), |stage, now| {
        if trouble == Some(CallTrouble::RateLimited) {
            return stage.twin.rate_limited(&request, now);
        }
        let mut answer = stage.twin.answer(&request, now);
        let counts = if answer.accepted { &mut stage.counts.deeds } else { &mut stage.counts.refusals };
        *counts.entry(answer.deed).or_default() += 1;
        stage.ledger.enter(&answer);
        if trouble == Some(CallTrouble::DoneAndBusy) {
            answer.reply = stage.twin.in_trouble(&request);
        }
        answer
    });
    let Ok(answer) = answer else { return HttpResponse::NotFound().finish() };
    simulator.note(platform.name(), &request, &answer);
    if !answer.pushes.is_empty() {
        simulator.deliver_later(platform.name(), answer.pushes);
    }
    match trouble {
        Some(CallTrouble::LostAnswer) => return broken(),
        Some(CallTrouble::SlowMs(wait)) => tokio::time::sleep(Duration::from_millis(wait.min(60_000))).await,
        Some(CallTrouble::Garbage) => return HttpResponse::Ok().content_type("text/html").body("<html>bad gateway"),
        _ => {}
    }
    let status = StatusCode::from_u16(answer.reply.status).unwrap_or(StatusCode::OK);
    HttpResponse::build(status).content_type(answer.reply.content_type).body(answer.reply.body)
}

/// The trouble for this call, used up by one.
fn trouble(faults: &mut Vec<super::fault::CallFault>, request: &Request) -> Option<CallTrouble> {
    let text = format!("{}?{}", request.path, request.query);
    let body = String::from_utf8_lossy(&request.body);
    let hit = faults.iter_mut().find(|fault| fault.times > 0 && (text.contains(&fault.matching) || body.contains(&fault.matching)))?;
    hit.times -= 1;
    let trouble = hit.trouble.clone();
    faults.retain(|fault| fault.times > 0);
    Some(trouble)
}

/// A connection that ends in the middle of an answer.
fn broken() -> HttpResponse {
    let failing = futures_util::stream::once(async { Err::<web::Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset)) });
    HttpResponse::Ok().no_chunking(1_000_000).streaming(failing)
}
