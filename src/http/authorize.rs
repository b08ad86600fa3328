//! A merchant's way: the page that leads to the platform (`/authorize/{component}`) and the one it comes back to with a code.
//!
//! The code goes to the vault and nowhere else: never onto a page, into a log, or by Referer to anybody.

use std::net::IpAddr;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::body;
use super::pages::{self, AuthorizePage, Referrer, RegisteredPage, ReturnedPage, TroublePage, Words};
use super::parameters::Query;
use super::problem::{Kind, Problem};
use super::{Face, caller, passage};
use crate::clock::china_text;
use crate::platform::{ApiError, Class};
use crate::vault::{Asker, Exchanged, VaultError};

/// `GET /authorize/{component}`.
pub async fn page(
    face: web::Data<Face>,
    request: HttpRequest,
    component: web::Path<String>,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let words = Words::for_browser(&request, query.text("lang").as_deref());
    match link(&face, &request, &component, words).await {
        Ok(page) => Ok(page),
        Err(problem) => trouble(&request, words, "../", &problem, problem.kind().status(), None),
    }
}

/// `GET /callback/{component}/authorized`, also with our mark in the path for platforms that echo none.
pub async fn returned(face: web::Data<Face>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let words = Words::for_browser(&request, None);
    let component = request.match_info().get("component").unwrap_or_default();
    let state = request.match_info().get("state");
    let root = if state.is_some() { "../../../" } else { "../../" };
    match exchange(&face, &request, component, state, words, root).await {
        Ok(page) => Ok(page),
        Err((problem, status)) => {
            let again = face.app.config.components.named(component).map(|_| format!("{root}authorize/{component}"));
            trouble(&request, words, root, &problem, status, again)
        }
    }
}

async fn link(face: &Face, request: &HttpRequest, component: &str, words: &'static Words) -> Result<HttpResponse, Problem> {
    let component = face.component(component)?;
    let from = visit(face, request)?;
    let name = component.name();
    let link = face.link(name, Asker::Visitor(from)).await?;
    // A phone that scans the platform's page out of a code comes without a Referer and is turned away (Baidu 4.3, Douyin 4.3),
    // so the code leads to this page unless the platform has an address for its own app.
    let here = face.page_address(name);
    let page = AuthorizePage {
        words,
        root: "../",
        platform: words.name(component.platform().title()),
        app_id: component.app_id(),
        url: &link.url,
        qr: &pages::qr_code(link.mobile_url.as_ref().unwrap_or(&here)).unwrap_or_default(),
        expires: link.expires_at.map(china_text),
    };
    pages::show(&page, words, StatusCode::OK, Referrer::Origin)
}

async fn exchange(
    face: &Face,
    request: &HttpRequest,
    component: &str,
    state: Option<&str>,
    words: &'static Words,
    root: &'static str,
) -> Result<HttpResponse, (Problem, StatusCode)> {
    let plain = |problem: Problem| {
        let status = problem.kind().status();
        (problem, status)
    };
    let component = face.component(component).map_err(plain)?;
    let from = visit(face, request).map_err(plain)?;
    let query = match state {
        Some(state) => with_state(request.query_string(), state),
        None => request.query_string().to_owned(),
    };
    let platform = words.name(component.platform().title());
    if component.is_registration(&query) {
        tracing::info!(component = component.name(), "a browser came back from a registration: its codes are pushed");
        return pages::show(&RegisteredPage { words, root, platform }, words, StatusCode::OK, Referrer::Nothing).map_err(plain);
    }
    let (authorizers, already) = match face.app.vault.returned(component.name(), &query, from).await {
        Ok(Exchanged::Authorizers(authorizers)) => (authorizers, false),
        Ok(Exchanged::Already(authorizers)) => (authorizers, true),
        Err(error) => {
            // A missing, used or refused code is what the browser brought, not what the platform did.
            let brought =
                matches!(&error, VaultError::VendorRefused(refusal) if matches!(refusal.class, Class::Refuse | Class::CodeInvalid));
            let problem = Problem::from(error);
            let status = if brought { StatusCode::BAD_REQUEST } else { problem.kind().status() };
            return Err((problem, status));
        }
    };
    let page = ReturnedPage { words, root, platform, already, authorizers: &authorizers };
    pages::show(&page, words, StatusCode::OK, Referrer::Nothing).map_err(plain)
}

/// The query as if the mark had come in it.
fn with_state(query: &str, state: &str) -> String {
    let mut writer = url::form_urlencoded::Serializer::new(query.to_owned());
    writer.append_pair("state", state).finish()
}

/// Nobody needs a key to open these pages, and each visit may cost a call to the vendor. From where it comes; the vault bounds what all of them cost.
fn visit(face: &Face, request: &HttpRequest) -> Result<IpAddr, Problem> {
    let remote = caller::remote(request.head(), &face.app.config.server.trusted_proxies);
    face.visits
        .count(remote, face.app.clock.now())
        .map_err(|wait| Problem::new(Kind::RateLimited, "too many visits from this address").retry_after(wait))?;
    Ok(remote)
}

/// The page that says what to do. It knows the request's id, so the operator finds the cause in the log.
fn trouble(
    request: &HttpRequest,
    words: &'static Words,
    root: &'static str,
    problem: &Problem,
    status: StatusCode,
    again: Option<String>,
) -> Result<HttpResponse, Problem> {
    let request_id = passage::id_of(request);
    let component = passage::component_of(request);
    if let Some(cause) = problem.cause() {
        tracing::error!(request_id, component, cause, "request failed");
    } else {
        tracing::warn!(request_id, component, problem = problem.kind().slug(), detail = problem.detail(), "a merchant could not authorize");
    }
    // Of the vendor's words only a refusal, and only what it said itself: our own settings and a merchant's cancelling are no answer of a platform's.
    let is_answer = |refusal: &&ApiError| refusal.is_vendors_word() && !pages::is_no_judgement(refusal.class);
    let vendor = problem.refusal().filter(is_answer).map(ToString::to_string);
    let page = TroublePage { words, root, said: words.trouble(problem), again, vendor, request_id: &request_id };
    let mut answer = pages::show(&page, words, status, Referrer::Nothing)?;
    if let Some(wait) = problem.wait() {
        let (name, value) = body::retry_after(wait);
        if let Ok(value) = header::HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    Ok(answer)
}
