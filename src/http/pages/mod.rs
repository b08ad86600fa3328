//! The pages: small, without script, in Chinese and English, on any phone. `authorize` fills those for merchants, `problems` those that
//! explain what an error means.

mod words;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

pub use words::{Words, is_no_judgement};

use super::kind::{Kind, Said};
use super::problem::Problem;
use crate::envelope::digest;

/// The one stylesheet, compiled in.
static STYLESHEET: &str = include_str!("yizhan.css");

/// No script, no foreign content, no frame; the pages need none.
const CONTENT_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page with the link.
#[derive(Template)]
#[template(path = "authorize.html", config = "src/http/askama.toml")]
pub struct AuthorizePage<'a> {
    pub words: &'static Words,
    /// The way from this page's address to the root of the site.
    pub root: &'static str,
    pub platform: &'static str,
    pub app_id: &'a str,
    /// The platform's authorization page.
    pub url: &'a str,
    /// SVG; empty when there is none.
    pub qr: &'a str,
    pub expires: Option<String>,
}

/// The page after a grant.
#[derive(Template)]
#[template(path = "returned.html", config = "src/http/askama.toml")]
pub struct ReturnedPage<'a> {
    pub words: &'static Words,
    pub root: &'static str,
    pub platform: &'static str,
    pub already: bool,
    pub authorizers: &'a [String],
}

/// The page after the consent to a registration.
#[derive(Template)]
#[template(path = "registered.html", config = "src/http/askama.toml")]
pub struct RegisteredPage {
    pub words: &'static Words,
    pub root: &'static str,
    pub platform: &'static str,
}

/// The page when something went wrong.
#[derive(Template)]
#[template(path = "trouble.html", config = "src/http/askama.toml")]
pub struct TroublePage<'a> {
    pub words: &'static Words,
    pub root: &'static str,
    pub said: &'a Said,
    /// Where a new attempt starts.
    pub again: Option<String>,
    /// The platform's code and words.
    pub vendor: Option<String>,
    pub request_id: &'a str,
}

/// The page that lists the kinds of problems.
#[derive(Template)]
#[template(path = "problems.html", config = "src/http/askama.toml")]
pub struct ProblemsPage {
    pub words: &'static Words,
    pub root: &'static str,
    pub kinds: &'static [Kind],
}

/// The page that explains one of them.
#[derive(Template)]
#[template(path = "problem.html", config = "src/http/askama.toml")]
pub struct ProblemPage {
    pub words: &'static Words,
    pub root: &'static str,
    pub kind: Kind,
    pub said: &'static Said,
}

/// What a page tells the site that its links lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referrer {
    /// Our origin: Baidu 4.3 and Douyin 4.3 refuse browsers that do not come from the registered domain.
    Origin,
    /// Nothing: the address held a code.
    Nothing,
}

/// Writes a page out, in that language.
///
/// # Errors
/// A template that cannot be written.
pub fn show(page: &impl Template, words: &Words, status: StatusCode, referrer: Referrer) -> Result<HttpResponse, Problem> {
    let html = page.render().map_err(Problem::internal)?;
    let referrer = match referrer {
        Referrer::Origin => "strict-origin-when-cross-origin",
        Referrer::Nothing => "no-referrer",
    };
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        .insert_header((header::REFERRER_POLICY, referrer))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_LANGUAGE, words.lang))
        .insert_header((header::VARY, "Accept-Language"))
        .body(html))
}

/// `GET /assets/yizhan.css`.
pub async fn stylesheet(request: HttpRequest) -> HttpResponse {
    let sum = digest::sha256(&[STYLESHEET.as_bytes()]);
    let tag = format!("\"{}\"", hex::encode(sum.first_chunk::<8>().copied().unwrap_or_default()));
    let held = request.headers().get(header::IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let mut answer = if held { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((header::ETAG, tag)).insert_header((header::CACHE_CONTROL, "public, max-age=3600"));
    if held { answer.finish() } else { answer.content_type("text/css; charset=utf-8").body(STYLESHEET) }
}

/// A QR code as SVG that can stand inside HTML; `None` when the text is too long for one.
#[must_use]
pub fn qr_code(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let image = code.render::<svg::Color<'_>>().min_dimensions(240, 240).quiet_zone(true).build();
    // An XML declaration has no place inside HTML, and SVG does not need one.
    image.find("<svg").and_then(|at| image.get(at..)).map(str::to_owned)
}
