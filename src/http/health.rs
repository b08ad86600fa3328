//! `/healthz`, `/readyz` and `/metrics`: for supervisors, load balancers and Prometheus. No key, and nothing secret.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Face, body};

/// A commit that takes longer is of a disk that does not answer: the slowest of a disk that does take a second or two.
const LONGEST_COMMIT: Duration = Duration::from_secs(10);

/// The process answers.
pub async fn alive() -> Result<HttpResponse, Problem> {
    body::json(&json!({ "status": "alive" }))
}

/// Every part with its state, by name, and what people should know of it; 503 when any fails. A service that is asked to stop is not ready, so that balancers look elsewhere.
pub async fn ready(face: web::Data<Face>) -> Result<HttpResponse, Problem> {
    let mut parts = face.app.health.parts();
    for (part, time) in face.app.commits_for() {
        // A store that has failed has said why.
        if time > LONGEST_COMMIT && parts.get(part).is_none_or(Result::is_ok) {
            let why =
                format!("has been writing one commit for {} s: its disk does not answer, and nothing is acknowledged", time.as_secs());
            parts.insert(part, Err(why));
        }
    }
    if face.closing.is_requested() {
        parts.insert("shutdown", Err(String::from("the service is stopping")));
    }
    let status = if parts.values().all(Result::is_ok) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut remarks = face.app.health.remarks();
    remarks.extend(face.app.reconcile.remark().map(|remark| ("reconcile", remark)));
    remarks.extend(face.app.standing.remark().map(|remark| ("retention", remark)));
    let parts: BTreeMap<&str, Value> = parts
        .into_iter()
        .map(|(part, state)| {
            let (ok, detail) = match state {
                Ok(()) => (true, remarks.get(part).cloned()),
                Err(why) => (false, Some(why)),
            };
            (part, detail.map_or_else(|| json!({ "ok": ok }), |detail| json!({ "ok": ok, "detail": detail })))
        })
        .collect();
    body::json_with(status, &parts)
}

/// Prometheus text.
pub async fn metrics(face: web::Data<Face>) -> HttpResponse {
    for (store, time) in face.app.commits_for() {
        metrics::gauge!("yizhan_commit_running_seconds", "store" => store).set(time.as_secs_f64());
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(face.app.metrics.render())
}
