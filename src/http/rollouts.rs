//! Rollouts for callers: made, shown with their progress, paused, resumed, cancelled, tried again, rolled back (contract 3 and 6).

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::body::moment;
use super::caller::{Caller, Permission, Read, RolloutsWrite};
use super::list::{self, Listing};
use super::operations::{idempotency_key, remembered, still_working, used_for_another, write};
use super::parameters::{Members, Nothing, Query};
use super::problem::Problem;
use super::{Face, body};
use crate::app::App;
use crate::attributes::{MOST_BYTES, is_authorizer};
use crate::clock::Timestamp;
use crate::inbox::Position;
use crate::operations::idempotency::{Answer, Begun, Slot, fingerprint};
use crate::rollout::plan::Planned;
use crate::rollout::record::{Choice, Item, Rollback, RolloutId, Spec, State};
use crate::rollout::stage::{Goal, Stage};
use crate::rollout::{Asked, Group, Progress, RolloutError};

/// Authorizers that a list may name.
const MOST_AUTHORIZERS: usize = 20_000;
/// Authorizers of all its rollouts with which a page ends: each is looked at to tell how far its rollout is.
const MOST_OF_PAGE: u64 = 50_000;
/// Authorizers worked on at a time.
const MOST_CONCURRENCY: u32 = 256;
/// Steps begun a second.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

#[derive(Serialize)]
struct GroupBody<'a> {
    reason: &'a str,
    stage: Stage,
    count: u32,
    example: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

#[derive(Serialize)]
struct RolloutBody<'a> {
    id: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Absent where the record cannot be read.
    #[serde(flatten)]
    asked: Option<AskedBody<'a>>,
    rolling_back: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    counts: Map<String, Value>,
    skipped: u32,
    rolled_back: u32,
    rollback_failed: u32,
    total: u32,
    reasons: Vec<GroupBody<'a>>,
    skips: Vec<GroupBody<'a>>,
    waits: Vec<GroupBody<'a>>,
}

/// What was asked for.
#[derive(Serialize)]
struct AskedBody<'a> {
    component: &'a str,
    authorizers: Value,
    template_id: &'a Value,
    version: &'a str,
    description: &'a str,
    variables: Map<String, Value>,
    until: Goal,
    concurrency: u32,
    rate: Option<f64>,
    canary: u32,
    batch: u32,
    stop_above_failed_percent: Option<u8>,
    window: Option<String>,
}

#[derive(Serialize)]
struct ItemBody<'a> {
    authorizer: &'a str,
    stage: Stage,
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    package_id: Option<&'a str>,
    audit_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_at: Option<Stage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback: Option<Rollback>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wakes_at: Option<Timestamp>,
    updated_at: Timestamp,
}

/// `POST /v1/rollouts`.
pub async fn create(
    caller: Caller<RolloutsWrite>,
    face: web::Data<Face>,
    query: Query,
    request: HttpRequest,
    members: Members,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let key = idempotency_key(&request)?;
    let asked = members.text();
    let (spec, dry_run) = spec(members, face.app.config.rollout.concurrency)?;
    caller.must_reach(Some(&spec.component))?;
    face.component(&spec.component)?;
    if dry_run {
        let planned = face.counted(caller.name(), async { Ok(face.app.rollouts.plan(&spec).await?) }).await?;
        return body::json(&preview(&spec, &planned));
    }
    let slot = key.map(|key| (Slot::of(caller.name(), &key), fingerprint(&[b"POST /v1/rollouts", &asked])));
    tracing::info!(key = caller.name(), component = spec.component, version = spec.version, "rollout asked for");
    // A caller that goes away must not leave its key without an answer.
    let (answer, is_remembered) = face.through(|app| async move { attend(&app, spec, slot).await }).await??;
    let location = answer.body.as_deref().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let location = location.and_then(|body| Some(format!("/v1/rollouts/{}", body.get("id")?.as_str()?)));
    let mut response = write(answer, is_remembered)?;
    if let Some(location) = location.and_then(|location| header::HeaderValue::from_str(&location).ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Makes the rollout, once for each key. `true`: this is the answer to an earlier request under the same key.
async fn attend(app: &App, spec: Spec, slot: Option<(Slot, String)>) -> Result<(Answer, bool), Problem> {
    let ticket = match slot {
        None => None,
        Some((slot, request)) => match app.idempotency.begin(slot, request).await? {
            Begun::Go(ticket) | Begun::Interrupted(ticket) => Some(ticket),
            Begun::Answered(answer) => return remembered(answer).map(|answer| (answer, true)),
            Begun::Working => return Err(still_working()),
            Begun::Another => return Err(used_for_another()),
        },
    };
    let request = ticket.as_ref().map(|ticket| Asked { name: ticket.slot().as_str().to_owned(), since: ticket.begun_at() });
    let answer = make(app, spec, request).await;
    if let Some(ticket) = ticket {
        let settled = match &answer {
            Ok(answer) => app.idempotency.answered(ticket, answer.clone()).await,
            // The store's trouble, before the rollout was made or after: whoever repeats the request has it made, or hears of the one that was.
            Err(problem) if problem.kind().status().is_server_error() => app.idempotency.interrupted(ticket).await,
            Err(_) => app.idempotency.released(ticket).await,
        };
        if let Err(error) = settled {
            tracing::error!(%error, "the answer to a request with an idempotency key is not remembered");
        }
    }
    answer.map(|answer| (answer, false))
}

async fn make(app: &App, spec: Spec, request: Option<Asked>) -> Result<Answer, Problem> {
    let rollout = app.rollouts.create(spec, request).await?;
    let body = serde_json::to_vec(&describe(&app.rollouts.progress(rollout.id).await?)).map_err(Problem::internal)?;
    let status = StatusCode::ACCEPTED.as_u16();
    Ok(Answer { status, content_type: String::from("application/json"), file_name: None, body: Some(body) })
}

/// `GET /v1/rollouts`.
pub async fn list(caller: Caller<Read>, face: web::Data<Face>, query: Query) -> Result<HttpResponse, Problem> {
    let listing = Listing::<()>::read("rollouts", query, ())?;
    let reach = caller.reach();
    let mut all = face.app.rollouts.all().await?;
    all.retain(|rollout| reach.has(&rollout.spec.component));
    // Newest first; a cursor names the last one shown.
    if let Some(Position(last)) = &listing.after {
        all.retain(|rollout| rollout.id.to_string() < *last);
    }
    let known = all.len();
    let (mut progresses, mut looked_at) = (Vec::<Progress>::new(), 0u64);
    for rollout in all.into_iter().take(listing.limit) {
        if looked_at >= MOST_OF_PAGE {
            break;
        }
        let progress = face.app.rollouts.progress(rollout.id).await?;
        looked_at += u64::from(progress.total);
        progresses.push(progress);
    }
    let next = progresses.last().filter(|_| known > progresses.len()).map(|last| Position(last.rollout.id.to_string()));
    listing.answer(&progresses.iter().map(describe).collect::<Vec<_>>(), next.as_ref())
}

/// `GET /v1/rollouts/{id}`.
pub async fn one(caller: Caller<Read>, face: web::Data<Face>, id: web::Path<String>, query: Query) -> Result<HttpResponse, Problem> {
    query.finish()?;
    body::json(&describe(&find(&caller, &face, &id).await?))
}

/// `GET /v1/rollouts/{id}/items`.
pub async fn items(caller: Caller<Read>, face: web::Data<Face>, id: web::Path<String>, mut query: Query) -> Result<HttpResponse, Problem> {
    let stage = query.word::<Stage>("stage", &Stage::ALL.map(Stage::as_str).join(", "));
    let listing = Listing::<Option<Stage>>::read(format!("items of {id}"), query, stage)?;
    let progress = find(&caller, &face, &id).await?;
    let mut items = face.app.rollouts.items(progress.rollout.id).await?;
    items.retain(|item| listing.filter.is_none_or(|stage| item.stage == stage));
    let page = list::slice(items, |item| item.authorizer.as_str(), listing.after.as_ref(), listing.limit);
    let rollout = &progress.rollout;
    let version = (!rollout.is_unread).then_some(rollout.spec.version.as_str());
    listing.answer(&page.items.iter().map(|item| item_body(item, version)).collect::<Vec<_>>(), page.next.as_ref())
}

/// `POST /v1/rollouts/{id}/pause`.
pub async fn pause(
    caller: Caller<RolloutsWrite>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    steer(&caller, &face, &id, |app, id| async move { app.rollouts.pause(id).await }).await
}

/// `POST /v1/rollouts/{id}/resume`.
pub async fn resume(
    caller: Caller<RolloutsWrite>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    steer(&caller, &face, &id, |app, id| async move { app.rollouts.resume(id).await }).await
}

/// `POST /v1/rollouts/{id}/cancel`.
pub async fn cancel(
    caller: Caller<RolloutsWrite>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    steer(&caller, &face, &id, |app, id| async move { app.rollouts.cancel(id).await }).await
}

/// `POST /v1/rollouts/{id}/retry`.
pub async fn retry(
    caller: Caller<RolloutsWrite>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    steer(&caller, &face, &id, |app, id| async move { app.rollouts.retry(id).await.map(drop) }).await
}

/// `POST /v1/rollouts/{id}/rollback`.
pub async fn rollback(
    caller: Caller<RolloutsWrite>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    steer(&caller, &face, &id, |app, id| async move { app.rollouts.roll_back(id).await.map(drop) }).await
}

/// Does that to one, and shows how it stands then.
async fn steer<F>(
    caller: &Caller<RolloutsWrite>,
    face: &Face,
    id: &str,
    deed: impl FnOnce(Arc<App>, RolloutId) -> F,
) -> Result<HttpResponse, Problem>
where
    F: Future<Output = Result<(), RolloutError>> + Send + 'static,
{
    let found = find(caller, face, id).await?.rollout.id;
    tracing::info!(rollout = id, key = caller.name(), "rollout steered");
    // A connection that is reset must not leave what was written without what follows in memory.
    face.through(move |app| deed(app, found)).await??;
    body::json(&describe(&face.app.rollouts.progress(found).await?))
}

/// One that the caller may see: one of a component beyond its key's is told no differently from one that is not there.
async fn find<P: Permission>(caller: &Caller<P>, face: &Face, id: &str) -> Result<Progress, Problem> {
    let nobody = || Problem::no_such("rollout", id);
    let parsed: RolloutId = id.parse().map_err(|_| nobody())?;
    let progress = match face.app.rollouts.progress(parsed).await {
        Err(RolloutError::Unknown) => return Err(nobody()),
        told => told?,
    };
    if caller.must_reach(Some(&progress.rollout.spec.component)).is_ok() { Ok(progress) } else { Err(nobody()) }
}

/// Reads the body of a new rollout, and whether it is only to be tried out.
/// `concurrency` is what one has that names none.
///
/// # Errors
/// `invalid-parameter` with all that is wrong.
pub fn spec(mut members: Members, concurrency: u32) -> Result<(Spec, bool), Problem> {
    let component = members.need::<String>("component");
    let authorizers = members.need::<Value>("authorizers").and_then(|value| match choice(value) {
        Ok(choice) => Some(choice),
        Err(why) => {
            members.refuse("authorizers", why);
            None
        }
    });
    let template_id = members.need::<Value>("template_id").filter(|value| {
        let digits = |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = value.is_u64() || value.as_str().is_some_and(digits);
        if !fits {
            members.refuse("template_id", "is no whole number, nor its digits");
        }
        fits
    });
    let version = members.need::<String>("version").filter(|version| {
        let fits = (1..=64).contains(&version.chars().count());
        if !fits {
            members.refuse("version", "is not 1 to 64 characters long");
        }
        fits
    });
    let description = members.need::<String>("description").filter(|description| {
        let bytes = description.len();
        if bytes > MOST_BYTES {
            members.refuse("description", format!("is {bytes} bytes long, at most {MOST_BYTES} are possible"));
        }
        bytes <= MOST_BYTES
    });
    let variables = members.take::<Map<String, Value>>("variables").unwrap_or_default();
    // As of what is noted of one merchant.
    let bytes = serde_json::to_string(&variables).map_err(Problem::internal)?.len();
    if bytes > MOST_BYTES {
        members.refuse("variables", format!("are {bytes} bytes of JSON, at most {MOST_BYTES} are possible"));
    }
    let until = members.take::<Goal>("until").unwrap_or_default();
    let concurrency = bounded(&mut members, "concurrency", 1, MOST_CONCURRENCY).unwrap_or(concurrency);
    let canary = bounded(&mut members, "canary", 0, u32::MAX).unwrap_or_default();
    let batch = bounded(&mut members, "batch", 0, u32::MAX).unwrap_or_default();
    let percent = bounded(&mut members, "stop_above_failed_percent", 0, 100).and_then(|percent| u8::try_from(percent).ok());
    let rate = members.take::<f64>("rate").filter(|rate| {
        if !RATES.contains(rate) {
            members.refuse("rate", "is not from 0.001 to 1000 steps a second");
        }
        RATES.contains(rate)
    });
    let window = members.take::<String>("window").and_then(|text| match text.parse() {
        Ok(window) => Some(window),
        Err(error) => {
            members.refuse("window", format!("{error}"));
            None
        }
    });
    let dry_run = members.take::<bool>("dry_run").unwrap_or_default();
    members.finish()?;
    let whole = (component, authorizers, template_id, version, description);
    let (Some(component), Some(authorizers), Some(template_id), Some(version), Some(description)) = whole else {
        return Err(Problem::internal("a missing member was let through"));
    };
    let spec = Spec {
        component,
        authorizers,
        template_id,
        version,
        description,
        variables,
        until,
        concurrency,
        rate,
        canary,
        batch,
        stop_above_failed_percent: percent,
        window,
    };
    Ok((spec, dry_run))
}

fn bounded(members: &mut Members, name: &str, least: u32, most: u32) -> Option<u32> {
    let number = members.take::<u32>(name)?;
    if (least..=most).contains(&number) {
        return Some(number);
    }
    members.refuse(name, format!("is not from {least} to {most}"));
    None
}

/// `["app id", …]`, `"all"`, `{"tag": …}` or `{"version": …}`.
fn choice(value: Value) -> Result<Choice, String> {
    const FORMS: &str = "is none of a list of app ids, \"all\", {\"tag\": …}, {\"version\": …}";
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(|| FORMS.to_owned());
    let app_id = |(place, value): (usize, &Value)| match text(value)? {
        app_id if is_authorizer(&app_id) => Ok(app_id),
        _ => Err(format!("[{place}] is no app id: 1 to 128 characters, none of them white space")),
    };
    match &value {
        Value::String(word) if word == "all" => Ok(Choice::All),
        Value::Array(items) if items.is_empty() => Err(String::from("is empty")),
        Value::Array(items) if items.len() > MOST_AUTHORIZERS => Err(format!("names more than {MOST_AUTHORIZERS}")),
        Value::Array(items) => items.iter().enumerate().map(app_id).collect::<Result<_, _>>().map(Choice::These),
        Value::Object(members) if members.len() == 1 => match (members.get("tag"), members.get("version")) {
            (Some(tag), None) => text(tag).map(Choice::Tag),
            (None, Some(version)) => text(version).map(Choice::Version),
            _ => Err(FORMS.to_owned()),
        },
        _ => Err(FORMS.to_owned()),
    }
}

/// What a dry run answers.
fn preview(spec: &Spec, planned: &[Planned]) -> Value {
    let items: Vec<Value> = planned
        .iter()
        .map(|one| {
            let stage = if one.skip.is_some() { Stage::Skipped } else { Stage::Queued };
            json!({"authorizer": one.authorizer, "stage": stage, "reason": one.skip, "version": spec.version})
        })
        .collect();
    let skipped = planned.iter().filter(|one| one.skip.is_some()).count();
    let mut reasons: Vec<(&str, usize, &str)> = Vec::new();
    for one in planned {
        let Some(reason) = one.skip.as_deref() else { continue };
        match reasons.iter_mut().find(|(known, ..)| *known == reason) {
            Some((_, count, _)) => *count += 1,
            None => reasons.push((reason, 1, &one.authorizer)),
        }
    }
    let reasons: Vec<Value> =
        reasons.into_iter().map(|(reason, count, example)| json!({"reason": reason, "count": count, "example": example})).collect();
    json!({
        "dry_run": true,
        "component": spec.component,
        "version": spec.version,
        "until": spec.until,
        "total": planned.len(),
        "taking_part": planned.len().saturating_sub(skipped),
        "skipped": skipped,
        "reasons": reasons,
        "items": items,
    })
}

fn describe(progress: &Progress) -> RolloutBody<'_> {
    let rollout = &progress.rollout;
    let mut counts: Map<String, Value> =
        Stage::ALL.iter().zip(progress.counts).map(|(stage, count)| (stage.as_str().to_owned(), Value::from(count))).collect();
    let skipped = counts.shift_remove(Stage::Skipped.as_str()).and_then(|count| count.as_u64());
    RolloutBody {
        id: rollout.id.to_string(),
        state: rollout.state,
        reason: rollout.reason.as_deref(),
        asked: (!rollout.is_unread).then(|| asked(&rollout.spec)),
        rolling_back: rollout.rolling_back,
        created_at: moment(rollout.created_at),
        updated_at: moment(rollout.updated_at),
        counts,
        skipped: skipped.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        rolled_back: progress.rolled_back,
        rollback_failed: progress.rollback_failed,
        total: progress.total,
        reasons: groups(&progress.reasons),
        skips: groups(&progress.skips),
        waits: groups(&progress.waits),
    }
}

fn asked(spec: &Spec) -> AskedBody<'_> {
    AskedBody {
        component: &spec.component,
        authorizers: match &spec.authorizers {
            Choice::All => json!("all"),
            Choice::These(app_ids) => json!(app_ids.len()),
            Choice::Tag(tag) => json!({ "tag": tag }),
            Choice::Version(version) => json!({ "version": version }),
        },
        template_id: &spec.template_id,
        version: &spec.version,
        description: &spec.description,
        variables: spec.variables.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect(),
        until: spec.until,
        concurrency: spec.concurrency,
        rate: spec.rate,
        canary: spec.canary,
        batch: spec.batch,
        stop_above_failed_percent: spec.stop_above_failed_percent,
        window: spec.window.map(|window| window.to_string()),
    }
}

/// The password of a test account is for the auditors only.
fn masked(name: &str, value: &Value) -> Value {
    if name.contains("password") { Value::from("[sealed]") } else { value.clone() }
}

fn groups(groups: &[Group]) -> Vec<GroupBody<'_>> {
    groups.iter().map(group).collect()
}

fn group(group: &Group) -> GroupBody<'_> {
    let Group { reason, stage, count, example, until } = group;
    GroupBody { reason, stage: *stage, count: *count, example, until: until.map(moment) }
}

fn item_body<'a>(item: &'a Item, version: Option<&'a str>) -> ItemBody<'a> {
    ItemBody {
        authorizer: &item.authorizer,
        stage: item.stage,
        reason: item.reason.as_deref(),
        version,
        package_id: item.package_id.as_deref(),
        audit_id: item.audit_id.as_deref(),
        stopped_at: item.stopped_at,
        rollback: item.rollback,
        wakes_at: item.wake_at.map(moment),
        updated_at: moment(item.updated_at),
    }
}
