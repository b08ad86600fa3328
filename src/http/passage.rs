//! What every request passes: it gets an id, problems are written out with that id, and one line and two metrics tell how it went.

use std::cell::{OnceCell, RefCell};
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use metrics::{Counter, Histogram};
use uuid::Uuid;

use super::caller::{self, KeyName};
use super::problem::{Kind, Problem, shortened};
use super::unread::Unread;
use super::{Face, connections};

/// Header that carries the id in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a caller.
const LONGEST_ID: usize = 128;

/// The label of requests that no route answers: their paths are the senders' and would be endless.
const NO_ROUTE: &str = "unmatched";

/// What is counted of one address. Each thread of the server has its own, with the counters at hand: looking one up by its name for each request,
/// and asking which route answered, cost more than answering with a token.
pub(super) struct Address {
    /// The route as it was registered.
    route: &'static str,
    seconds: OnceCell<Histogram>,
    answers: RefCell<Vec<(StatusCode, Counter)>>,
}

impl Address {
    /// Nothing was counted yet.
    pub fn of(route: &'static str) -> Self {
        Self { route, seconds: OnceCell::new(), answers: RefCell::default() }
    }

    /// Counts one answer.
    pub fn count(&self, status: StatusCode, took: Duration) {
        self.seconds.get_or_init(|| seconds(self.route)).record(took);
        let mut answers = self.answers.borrow_mut();
        match answers.iter().find(|(known, _)| *known == status) {
            Some((_, counter)) => counter.increment(1),
            None => {
                let counter = answered(self.route, status);
                counter.increment(1);
                answers.push((status, counter));
            }
        }
    }
}

fn seconds(route: &'static str) -> Histogram {
    metrics::histogram!("yizhan_http_seconds", "route" => route)
}

fn answered(route: &'static str, status: StatusCode) -> Counter {
    metrics::counter!("yizhan_http_requests_total", "route" => route, "status" => status.as_u16().to_string())
}

/// Under which id the log knows a request.
#[derive(Clone)]
struct RequestId(HeaderValue);

/// The id of a request.
pub(super) fn id_of(request: &HttpRequest) -> String {
    request.extensions().get::<RequestId>().map(|id| text(&id.0).to_owned()).unwrap_or_default()
}

/// The component that a request names, if there is one of that name: any other word in its place is the sender's own, and no log's.
pub(super) fn component_of(request: &HttpRequest) -> Option<&str> {
    let face = request.app_data::<web::Data<Face>>()?;
    request.match_info().get("component").filter(|name| face.app.config.components.named(name).is_some())
}

/// An id as text; sane ones and our own are nothing else.
fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}

/// Passes a request on and dresses its answer.
pub(super) async fn pass<B: MessageBody + 'static>(mut request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let id = named(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let unread = Unread::of(&mut request);

    let mut response = next.call(request).await?.map_into_boxed_body();
    let problem = problem_of(&response);
    if let Some(problem) = &problem {
        let allow = response.headers().get(header::ALLOW).cloned();
        response = response.into_response(problem.answer(Some(text(&id))));
        if let (Some(allow), false) = (allow, response.headers().contains_key(header::ALLOW)) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    dress(response.headers_mut(), id.clone());
    let is_known = response.request().extensions().contains::<KeyName>();
    if connections::ends_with(response.request(), response.response().body().size(), is_known) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    tell(&response, &id, problem.as_ref(), began);
    connections::is_answered(response.request(), is_known);
    Ok(match unread {
        Some(unread) => unread.held_by(response),
        None => response,
    })
}

/// The id under which a request is known: the one it was given, if that is sane, or a new one.
pub(super) fn named(headers: &HeaderMap) -> HeaderValue {
    headers.get(REQUEST_ID).filter(|given| is_sane(given)).map_or_else(new_id, HeaderValue::clone)
}

/// An id that a caller may give: short, and nothing that could disturb a log.
fn is_sane(id: &HeaderValue) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
}

/// `req_` and a UUIDv7.
fn new_id() -> HeaderValue {
    let mut id = *b"req_00000000000000000000000000000000";
    if let Some(digits) = id.get_mut(4..) {
        Uuid::now_v7().as_simple().encode_lower(digits);
    }
    HeaderValue::from_bytes(&id).unwrap_or_else(|_| HeaderValue::from_static("req_"))
}

/// The problem of an answer: a handler's own, or one made for what the server itself refused without a word.
fn problem_of(response: &ServiceResponse) -> Option<Problem> {
    let status = response.status();
    match response.response().error() {
        Some(error) => match error.as_error::<Problem>() {
            Some(problem) => Some(problem.clone()),
            None => Some(spoken_by_server(status)),
        },
        None if status.as_u16() >= 400 && !response.headers().contains_key(header::CONTENT_TYPE) => Some(spoken_by_server(status)),
        None => None,
    }
}

fn spoken_by_server(status: StatusCode) -> Problem {
    let kind = Kind::of_status(status);
    Problem::new(kind, status.canonical_reason().unwrap_or("refused").to_ascii_lowercase())
}

/// What every answer carries.
pub(super) fn dress(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn tell(response: &ServiceResponse, id: &HeaderValue, problem: Option<&Problem>, began: Instant) {
    let request = response.request();
    let took = began.elapsed();
    let route = match request.app_data::<Address>() {
        Some(address) => {
            address.count(response.status(), took);
            address.route
        }
        None => {
            seconds(NO_ROUTE).record(took);
            answered(NO_ROUTE, response.status()).increment(1);
            NO_ROUTE
        }
    };
    let status = response.status().as_u16();
    if status < 400 && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }

    let id = text(id);
    // The route, not the path: a path may hold a single-use mark, and the query string a code.
    let method = &*shortened(request.method().as_str());
    let component = component_of(request);
    let key = request.extensions().get::<KeyName>().map(|key| key.0.name.clone());
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if let Some(cause) = problem.and_then(Problem::cause) {
        tracing::error!(request_id = id, route, component, cause, "request failed");
    }
    let problem = problem.map(|problem| problem.kind().slug());
    if status < 400 {
        tracing::debug!(request_id = id, method, route, component, key, status, duration_ms, "request");
    } else {
        // Who knocks with wrong keys is told, so that a firewall can be told.
        let remote = matches!(status, 401 | 429).then(|| from(request)).flatten();
        tracing::info!(request_id = id, method, route, component, key, remote, status, problem, duration_ms, "request refused");
    }
}

/// The sender's address, as far as the trusted proxies tell it.
fn from(request: &HttpRequest) -> Option<String> {
    let face = request.app_data::<web::Data<Face>>()?;
    Some(caller::remote(request.head(), &face.app.config.server.trusted_proxies).to_string())
}
