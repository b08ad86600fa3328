//! `GET /problems` and `GET /problems/{slug}`: what the `type` of an error leads to. Pages for people; programs go by the `type` itself.
//!
//! Every word comes from the table in `kind`. It knows nothing of any one request.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::pages::{self, ProblemPage, ProblemsPage, Referrer, Words};
use super::parameters::Query;
use super::problem::{Kind, Problem};

/// `GET /problems`.
pub async fn list(request: HttpRequest, mut query: Query) -> Result<HttpResponse, Problem> {
    let words = Words::for_browser(&request, query.text("lang").as_deref());
    pages::show(&ProblemsPage { words, root: "", kinds: Kind::ALL }, words, StatusCode::OK, Referrer::Nothing)
}

/// `GET /problems/{slug}`.
pub async fn one(request: HttpRequest, slug: web::Path<String>, mut query: Query) -> Result<HttpResponse, Problem> {
    let kind = Kind::named(&slug).ok_or_else(|| Problem::no_such("kind of problem", &slug).hint("GET /problems lists them"))?;
    let words = Words::for_browser(&request, query.text("lang").as_deref());
    let page = ProblemPage { words, root: "../", kind, said: words.of_kind(kind) };
    pages::show(&page, words, StatusCode::OK, Referrer::Nothing)
}
