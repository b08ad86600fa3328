//! `/_sim/…`: how a person or a test from outside directs the simulator over HTTP. JSON in, JSON out.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use super::auditors::Auditors;
use super::fault::{CallFault, PushFaults};
use super::{Simulator, SimulatorError};
use crate::platform::quota::AuditQuota;
use crate::platform::twin::Verdict;
use crate::platform::{self, Door};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("", web::get().to(overview))
        .route("/journal", web::get().to(journal))
        .route("/clock", web::post().to(clock))
        .route("/provider", web::post().to(provider))
        .route("/{platform}/ticket", web::post().to(ticket))
        .route("/{platform}/grant", web::post().to(grant))
        .route("/{platform}/crowd", web::post().to(crowd))
        .route("/{platform}/revoke", web::post().to(revoke))
        .route("/{platform}/audit", web::post().to(audit))
        .route("/{platform}/auditors", web::post().to(auditors))
        .route("/{platform}/auditors", web::delete().to(no_auditors))
        .route("/{platform}/quota", web::post().to(quota))
        .route("/{platform}/ledger", web::get().to(ledger))
        .route("/{platform}/say", web::post().to(say))
        .route("/{platform}/expire-tokens", web::post().to(expire_tokens))
        .route("/{platform}/call-faults", web::post().to(call_faults))
        .route("/{platform}/push-faults", web::post().to(push_faults));
}

/// Merchants that one call can make grant.
const LARGEST_CROWD: u32 = 100_000;

type Sim = web::Data<Simulator>;
type Name = web::Path<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorizer {
    app_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Granting {
    app_id: String,
    /// `false`: only the browser is told.
    #[serde(default = "yes")]
    push: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaybeAuthorizer {
    app_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Audit {
    app_id: String,
    version: String,
    /// Absent: passed. Present: failed, with these words.
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Crowd {
    count: u32,
    prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    door: Door,
    content: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jump {
    seconds: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    url: String,
}

async fn overview(simulator: Sim) -> HttpResponse {
    let vendors: serde_json::Map<_, _> = platform::ALL
        .iter()
        .filter_map(|platform| {
            let counts = simulator.counts(platform.name()).ok()?;
            Some((platform.name().to_owned(), json!({"url": simulator.vendor_url(platform.name()), "counts": counts})))
        })
        .collect();
    HttpResponse::Ok().json(json!({"now": simulator.now(), "vendors": vendors}))
}

async fn journal(simulator: Sim) -> HttpResponse {
    HttpResponse::Ok().json(json!({"items": simulator.journal()}))
}

async fn clock(simulator: Sim, body: web::Json<Jump>) -> HttpResponse {
    simulator.jump(jiff::SignedDuration::from_secs(body.seconds));
    HttpResponse::Ok().json(json!({"now": simulator.now()}))
}

async fn provider(simulator: Sim, body: web::Json<Provider>) -> HttpResponse {
    simulator.connect(&body.url);
    HttpResponse::NoContent().finish()
}

async fn ticket(simulator: Sim, platform: Name) -> HttpResponse {
    answered(simulator.ticket(&platform).await.map(|answered| json!({"acknowledged": answered.map(|a| a.acknowledged)})))
}

async fn grant(simulator: Sim, platform: Name, body: web::Json<Granting>) -> HttpResponse {
    let told = match body.push {
        true => simulator.grant(&platform, &body.app_id).await,
        false => simulator.grant_unpushed(&platform, &body.app_id).map(|query| (query, None)),
    };
    answered(told.map(|(query, answered)| json!({"redirect_query": query, "acknowledged": answered.map(|a| a.acknowledged)})))
}

async fn crowd(simulator: Sim, platform: Name, body: web::Json<Crowd>) -> HttpResponse {
    if body.count > LARGEST_CROWD {
        return HttpResponse::BadRequest().json(json!({"detail": format!("at most {LARGEST_CROWD} merchants at once")}));
    }
    answered(simulator.crowd(&platform, body.count, body.prefix.as_deref()).await.map(|crowd| json!(crowd)))
}

async fn auditors(simulator: Sim, platform: Name, body: web::Json<Auditors>) -> HttpResponse {
    answered(simulator.employ(&platform, Some(body.into_inner())).map(|()| json!({})))
}

async fn no_auditors(simulator: Sim, platform: Name) -> HttpResponse {
    answered(simulator.employ(&platform, None).map(|()| json!({})))
}

async fn quota(simulator: Sim, platform: Name, body: web::Json<AuditQuota>) -> HttpResponse {
    answered(simulator.limit_audits(&platform, body.into_inner()).map(|()| json!({})))
}

async fn ledger(simulator: Sim, platform: Name) -> HttpResponse {
    answered(simulator.ledger(&platform).map(|deeds| json!(deeds)))
}

async fn revoke(simulator: Sim, platform: Name, body: web::Json<Authorizer>) -> HttpResponse {
    let told = simulator.revoke(&platform, &body.app_id).await;
    answered(told.map(|answered| json!({"acknowledged": answered.map(|a| a.acknowledged)})))
}

async fn audit(simulator: Sim, platform: Name, body: web::Json<Audit>) -> HttpResponse {
    let body = body.into_inner();
    let verdict = body.reason.map_or(Verdict::Passed, Verdict::Failed);
    let told = simulator.audit(&platform, &body.app_id, &body.version, &verdict).await;
    answered(told.map(|(_, answered)| json!({"acknowledged": answered.acknowledged})))
}

async fn say(simulator: Sim, platform: Name, body: web::Json<Said>) -> HttpResponse {
    let told = simulator.say(&platform, body.door, &body.content.to_string()).await;
    answered(told.map(|(_, answered)| json!({"acknowledged": answered.acknowledged})))
}

async fn expire_tokens(simulator: Sim, platform: Name, body: web::Json<MaybeAuthorizer>) -> HttpResponse {
    answered(simulator.expire_tokens(&platform, body.app_id.as_deref()).map(|()| json!({})))
}

async fn call_faults(simulator: Sim, platform: Name, body: web::Json<CallFault>) -> HttpResponse {
    answered(simulator.fail_calls(&platform, body.into_inner()).map(|()| json!({})))
}

async fn push_faults(simulator: Sim, platform: Name, body: web::Json<PushFaults>) -> HttpResponse {
    answered(simulator.fail_pushes(&platform, body.into_inner()).map(|()| json!({})))
}

fn answered(told: Result<serde_json::Value, SimulatorError>) -> HttpResponse {
    match told {
        Ok(body) => HttpResponse::Ok().json(body),
        Err(error @ SimulatorError::UnknownPlatform(_)) => HttpResponse::NotFound().json(json!({"detail": error.to_string()})),
        Err(error) => HttpResponse::Conflict().json(json!({"detail": error.to_string()})),
    }
}
