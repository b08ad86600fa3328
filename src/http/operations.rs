//! Operations for callers: what there is, and one carried out (contract 3). The desk decides everything; this reads the request, keeps
//! `Idempotency-Key`, and writes the answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::caller::{Caller, OperationsCall, Read};
use super::parameters::{self, Query};
use super::problem::{Kind, Problem};
use super::{Face, body, form_data, passage};
use crate::app::App;
use crate::operations::idempotency::{Answer, Begun, LONGEST_KEY, Slot, Ticket, fingerprint};
use crate::operations::{Checked, OperationError, sheet, text};
use crate::platform::operation::{Answers, Bearer, Effect, Operation, Outcome};
use crate::platform::{self, Family, Platform};
use crate::vault::audit::Reading;

/// Largest request: a file of the largest size that any row takes, in base64.
pub const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Time for a request with a file to arrive.
const UPLOAD_TIME: Duration = Duration::from_secs(60);

/// When to ask again about a request that is being carried out.
const STILL_WORKING: Duration = Duration::from_secs(2);

/// Which operation, from the path.
#[derive(Deserialize)]
pub struct Which {
    component: String,
    #[serde(default)]
    authorizer: Option<String>,
    operation: String,
}

/// One row, for callers.
#[derive(Serialize)]
pub struct OperationBody<'a> {
    operation: &'a str,
    platform: &'static str,
    title: TitleBody,
    token: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<Family>,
    method: &'static str,
    path: &'a str,
    effect: &'static str,
    answers: &'static str,
    reference: &'a str,
    enabled: bool,
    /// Which settings to write, where it is switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<&'a str>,
    parameters: Value,
    example: Map<String, Value>,
}

#[derive(Serialize)]
struct TitleBody {
    zh: &'static str,
    en: &'static str,
}

impl<'a> OperationBody<'a> {
    /// Of that row.
    #[must_use]
    pub fn new(platform: &'static dyn Platform, row: &'a Operation) -> Self {
        let (token, family) = match row.bearer {
            Bearer::Authorizer(family) => ("authorizer", family),
            Bearer::Component(family) => ("component", family),
        };
        Self {
            operation: row.name,
            platform: platform.name(),
            title: TitleBody { zh: row.title.zh, en: row.title.en },
            token,
            family: (family != Family::Current).then_some(family),
            method: row.method.as_str(),
            path: &row.path,
            effect: match row.effect {
                Effect::Read => "read",
                Effect::Repeatable => "repeatable",
                Effect::Once => "once",
            },
            answers: match row.answers {
                Answers::Json => "json",
                Answers::File => "file",
            },
            reference: row.reference,
            enabled: row.disabled.is_none(),
            settings: row.disabled.as_deref(),
            parameters: row.schema(),
            example: row.example(),
        }
    }
}

/// `GET /v1/operations`: those of every platform, of one (`platform`), or as one component's settings have them (`component`).
pub async fn list(caller: Caller<Read>, face: web::Data<Face>, mut query: Query) -> Result<HttpResponse, Problem> {
    let component = query.text("component");
    let platform = query.text("platform");
    if platform.as_deref().is_some_and(|name| platform::named(name).is_none()) {
        let known: Vec<_> = platform::ALL.iter().map(|platform| platform.name()).collect();
        query.refuse("platform", format!("is none of {}", known.join(", ")));
    }
    query.finish()?;
    let mut items = Vec::new();
    if let Some(name) = component {
        caller.must_reach(Some(&name))?;
        let component = face.component(&name)?;
        if platform.is_none_or(|wanted| wanted == component.platform().name()) {
            let rows = component.operations().operations().iter();
            items.extend(rows.map(|row| json!(OperationBody::new(component.platform(), row))));
        }
        return body::json(&json!({ "items": items }));
    }
    for sheet in sheet::all().iter().filter(|sheet| platform.as_deref().is_none_or(|wanted| wanted == sheet.platform.name())) {
        // Rows that somebody's settings correct are shown as the first component of that platform has them.
        let reach = caller.reach();
        let of_platform = |component: &&Arc<dyn platform::Component>| component.platform().name() == sheet.platform.name();
        let configured = face.app.config.components.iter().filter(of_platform).find(|component| reach.has(component.name()));
        let rows = configured.map_or(sheet.rows.as_slice(), |component| component.operations().operations());
        items.extend(rows.iter().map(|row| json!(OperationBody::new(sheet.platform, row))));
    }
    body::json(&json!({ "items": items }))
}

/// One call, read from its request.
struct Request {
    key_name: String,
    request_id: String,
    remote: IpAddr,
    which: Which,
    given: Map<String, Value>,
    idempotency_key: Option<String>,
    wants_json: bool,
}

/// `POST …/operations/{operation}`.
pub async fn call(
    caller: Caller<OperationsCall>,
    face: web::Data<Face>,
    which: web::Path<Which>,
    request: HttpRequest,
    query: Query,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let which = which.into_inner();
    let (_, row) = face.app.desk.row(&which.component, &which.operation)?;
    let client_timeout = face.app.config.server.client_timeout;
    let deadline = if row.takes_files() { client_timeout.max(UPLOAD_TIME) } else { client_timeout };
    let read = body::read(&request, &mut payload.into_inner(), MOST_BODY_BYTES, deadline, &face.callers).await;
    let (bytes, _share) = read.map_err(|why| why.problem(MOST_BODY_BYTES))?;
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = text(header::CONTENT_TYPE);
    let given = match form_data::is_form_data(content_type) {
        true => from_form(row, content_type, &bytes)?,
        false => parameters::object(&bytes)?,
    };
    let asked = Request {
        key_name: caller.name().to_owned(),
        request_id: passage::id_of(&request),
        remote: caller.remote,
        given,
        idempotency_key: idempotency_key(&request)?,
        wants_json: wants_json(text(header::ACCEPT)),
        which,
    };
    // A caller that goes away must not leave a lost answer without its look-up.
    let (answer, is_remembered) = face.through(|app| async move { attend(&app, asked).await }).await??;
    write(answer, is_remembered)
}

/// Parameters of a form, read by the row's schema; a field that comes several times is a list.
fn from_form(row: &Operation, content_type: &str, body: &Bytes) -> Result<Map<String, Value>, Problem> {
    let fields = form_data::parse(content_type, body).map_err(|error| Problem::new(Kind::BadRequest, error.to_string()))?;
    let mut given = Map::new();
    let mut bad = Vec::new();
    for field in fields {
        let schema = row.param(&field.name).map(|param| param.schema()).unwrap_or_default();
        let value = match std::str::from_utf8(&field.content) {
            _ if field.file_name.is_some() || text::is_file(&schema) => {
                let file_name = field.file_name.filter(|name| !name.is_empty()).unwrap_or_else(|| field.name.clone());
                text::file(&file_name, &field.content)
            }
            Ok(content) => text::value(&schema, content),
            Err(_) => {
                bad.push((field.name, String::from("is not UTF-8")));
                continue;
            }
        };
        match (given.get_mut(&field.name), value) {
            (None, value) => drop(given.insert(field.name, value)),
            (Some(Value::Array(items)), Value::Array(more)) => items.extend(more),
            (Some(_), _) => bad.push((field.name, String::from("is given twice"))),
        }
    }
    if bad.is_empty() { Ok(given) } else { Err(Problem::invalid(&bad)) }
}

/// `Idempotency-Key`, with or without the quotes of a structured field.
pub(super) fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut values = request.headers().get_all("idempotency-key");
    let (Some(value), None) = (values.next(), values.next()) else {
        return match request.headers().contains_key("idempotency-key") {
            true => Err(Problem::invalid(&[(String::from("Idempotency-Key"), String::from("is given twice"))])),
            false => Ok(None),
        };
    };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if (1..=LONGEST_KEY).contains(&text.len()) {
        return Ok(Some(text.to_owned()));
    }
    Err(Problem::invalid(&[(String::from("Idempotency-Key"), format!("is not 1 to {LONGEST_KEY} visible ASCII characters"))]))
}

/// Whether an `Accept` header wants JSON and nothing else.
#[must_use]
pub fn wants_json(accept: &str) -> bool {
    let ranges = accept.split(',').map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let ranges: Vec<String> = ranges.filter(|range| !range.is_empty()).collect();
    !ranges.is_empty() && ranges.iter().all(|range| range == "application/json" || range.ends_with("+json"))
}

/// Carries the request out. `true`: this is the answer of an earlier one under the same key.
async fn attend(app: &App, asked: Request) -> Result<(Answer, bool), Problem> {
    let Request { key_name, request_id, remote, which, given, idempotency_key, wants_json } = asked;
    let Which { component, authorizer, operation } = which;
    let slot = idempotency_key.map(|key| {
        let asked = serde_json::to_vec(&given).unwrap_or_default();
        let accept: &[u8] = if wants_json { b"json" } else { b"any" };
        let authorizer = authorizer.as_deref().unwrap_or_default();
        let request = fingerprint(&[component.as_bytes(), authorizer.as_bytes(), operation.as_bytes(), accept, &asked]);
        (Slot::of(&key_name, &key), request)
    });
    let checked = app.desk.check(&component, authorizer.as_deref(), &operation, given)?;
    let ticket = match slot {
        None => None,
        Some((slot, request)) => match app.idempotency.begin(slot, request).await? {
            Begun::Go(ticket) => Some(ticket),
            Begun::Interrupted(ticket) => Some(interrupted(app, ticket, &checked).await?),
            Begun::Answered(answer) => return remembered(answer).map(|answer| (answer, true)),
            Begun::Working => return Err(still_working()),
            Begun::Another => return Err(used_for_another()),
        },
    };
    tracing::info!(key = key_name, request_id, component, authorizer, operation, "operation called");
    app.audit.note(Reading {
        key: &key_name,
        action: &format!("operation:{operation}"),
        component: &component,
        authorizer: authorizer.as_deref(),
        generation: 0,
        remote,
    });
    let effect = checked.operation().effect;
    let result = app.desk.carry_out_checked(checked).await;
    let answer = match result {
        Ok(outcome) => Ok(answer(outcome, wants_json)?),
        Err(error) => {
            let is_in_doubt = error.is_in_doubt();
            Err((Problem::from(error), is_in_doubt))
        }
    };
    if let Some(ticket) = ticket {
        let settled = match &answer {
            // What may be repeated need not be remembered when it is too long.
            Ok(answer) if effect != Effect::Once && answer.is_too_long() => app.idempotency.released(ticket).await,
            Ok(answer) => app.idempotency.answered(ticket, answer.clone()).await,
            // Nobody knows whether it took place: under this key it is never done again.
            Err((problem, true)) => app.idempotency.answered(ticket, as_answer(problem)).await,
            Err((_, false)) => app.idempotency.released(ticket).await,
        };
        if let Err(error) = settled {
            tracing::error!(request_id, %error, "the answer to a request with an idempotency key is not remembered");
        }
    }
    answer.map(|answer| (answer, false)).map_err(|(problem, _)| problem)
}

/// A request that was under way when the service ended: what may be repeated is, and what may not is said to be unknown.
async fn interrupted(app: &App, ticket: Ticket, checked: &Checked<'_>) -> Result<Ticket, Problem> {
    if checked.operation().effect != Effect::Once {
        return if app.idempotency.take_over(&ticket).await? { Ok(ticket) } else { Err(still_working()) };
    }
    let problem = Problem::from(OperationError::OutcomeUnknown {
        sent: checked.operation().path.to_string(),
        cause: String::from("this service ended while it was at it"),
        looked_up: String::from("nothing was looked up"),
        may_show: false,
    });
    app.idempotency.answered(ticket, as_answer(&problem)).await?;
    Err(problem)
}

pub(super) fn still_working() -> Problem {
    Problem::new(Kind::Conflict, "a request with this Idempotency-Key is being carried out")
        .hint("send it again a little later: it is answered with the outcome")
        .retry_after(STILL_WORKING)
}

pub(super) fn used_for_another() -> Problem {
    Problem::invalid(&[(String::from("Idempotency-Key"), String::from("was used for another request within the last 24 hours"))])
}

pub(super) fn remembered(answer: Answer) -> Result<Answer, Problem> {
    if answer.body.is_some() {
        return Ok(answer);
    }
    Err(Problem::new(Kind::Conflict, "this request was carried out; its answer was too long to be remembered"))
}

pub(super) fn as_answer(problem: &Problem) -> Answer {
    let body = Value::Object(problem.body(None)).to_string().into_bytes();
    let status = problem.kind().status().as_u16();
    Answer { status, content_type: String::from("application/problem+json"), file_name: None, body: Some(body) }
}

/// A file goes out as itself, unless the caller accepts JSON only.
fn answer(outcome: Outcome, wants_json: bool) -> Result<Answer, Problem> {
    let mut members = json!({ "result": outcome.result, "vendor": outcome.vendor });
    match outcome.file {
        Some(file) if !wants_json => {
            let file_name = Some(file.name.unwrap_or_else(|| String::from("answer")));
            return Ok(Answer { status: 200, content_type: file.content_type, file_name, body: Some(file.content.into()) });
        }
        Some(file) => {
            let mut value = text::file(file.name.as_deref().unwrap_or("answer"), &file.content);
            if let Some(value) = value.as_object_mut() {
                value.insert(String::from("content_type"), Value::from(file.content_type));
            }
            if let Some(members) = members.as_object_mut() {
                members.insert(String::from("file"), value);
            }
        }
        None => {}
    }
    let body = serde_json::to_vec(&members).map_err(Problem::internal)?;
    Ok(Answer { status: 200, content_type: String::from("application/json"), file_name: None, body: Some(body) })
}

pub(super) fn write(answer: Answer, is_remembered: bool) -> Result<HttpResponse, Problem> {
    let status = StatusCode::from_u16(answer.status).map_err(Problem::internal)?;
    let mut response = HttpResponse::build(status);
    response.content_type(answer.content_type).insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(file_name) = answer.file_name {
        response.insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", plain_name(&file_name))));
    }
    if is_remembered {
        response.insert_header(("idempotency-replayed", "true"));
    }
    Ok(response.body(answer.body.unwrap_or_default()))
}

/// A file name for a header: what is not plain becomes `_`.
fn plain_name(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).take(100).collect();
    if plain.trim_matches(['.', '_']).is_empty() { String::from("answer") } else { plain }
}
