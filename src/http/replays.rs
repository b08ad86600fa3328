//! Bulk replays: by filter and time range, previewed, watched, paused, cancelled.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::body::moment;
use super::caller::{Caller, EventsReplay};
use super::parameters::{Members, Nothing, Query};
use super::problem::{Kind, Problem};
use super::subscriptions::target;
use super::{Face, body};
use crate::clock::Timestamp;
use crate::event_type::Glob;
use crate::fanout::delivery::Status;
use crate::fanout::replays::{RATES, ReplayError};
use crate::inbox::EventFilter;
use crate::inbox::replay::{Replay, ReplayState};

/// Events enqueued per second unless the caller says otherwise.
const USUAL_RATE: u32 = 100;

#[derive(Serialize)]
struct PreviewBody {
    matched: u64,
}

#[derive(Serialize)]
struct ReplayBody {
    id: String,
    state: ReplayState,
    matched: u64,
    enqueued: u64,
    delivered: u64,
    dead: u64,
    /// Events that damage made unreadable, and that were passed over.
    unreadable: u64,
    filter: EventFilter,
    subscription: Option<String>,
    rate: u32,
    created_at: Timestamp,
}

/// `POST /v1/replays`.
pub async fn create(
    caller: Caller<EventsReplay>,
    face: web::Data<Face>,
    query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let filter = filter(&mut members);
    let subscription = target(&face, &mut members);
    let rate = members.take::<u32>("rate").unwrap_or(USUAL_RATE);
    let dry_run = members.take::<bool>("dry_run").unwrap_or_default();
    members.finish()?;
    let filter = narrow(&caller, filter)?;
    // A dry run tells of everything that the real one would refuse.
    if !RATES.contains(&rate) {
        return Err(ReplayError::Rate.into());
    }
    let replays = &face.app.replays;
    if dry_run {
        let matched = face.counted(caller.name(), async { Ok(replays.preview(&filter, subscription.as_deref()).await?) }).await?;
        return body::json(&PreviewBody { matched });
    }
    let planned = face.counted(caller.name(), async { Ok(replays.plan(filter, subscription, rate).await?) }).await?;
    let begun = face.through(move |app| async move { app.replays.begin(planned).await }).await?;
    let replay = begun.map_err(|error| refused(&caller, error))?;
    tracing::info!(replay = replay.id, key = caller.name(), "replay asked for");
    let location = format!("/v1/replays/{}", replay.id);
    let mut answer = body::json_with(StatusCode::ACCEPTED, &write(replay, 0, 0))?;
    if let Ok(location) = header::HeaderValue::from_str(&location) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(answer)
}

/// Names the jobs that are in the way, those that the caller may see.
fn refused(caller: &Caller<EventsReplay>, error: ReplayError) -> Problem {
    let names = match &error {
        ReplayError::Crowded(live) => {
            let visible = live.iter().filter(|replay| caller.must_reach(replay.filter.component.as_ref().map(Glob::as_str)).is_ok());
            visible.map(|replay| replay.id.clone()).collect()
        }
        _ => Vec::new(),
    };
    let problem = Problem::from(error);
    if names.is_empty() { problem } else { problem.with("replays", names.into()) }
}

/// `GET /v1/replays/{id}`.
pub async fn one(
    caller: Caller<EventsReplay>,
    face: web::Data<Face>,
    id: web::Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let (replay, delivered, dead) = find(&caller, &face, &id).await?;
    body::json(&write(replay, delivered, dead))
}

/// `POST /v1/replays/{id}/cancel`.
pub async fn cancel(
    caller: Caller<EventsReplay>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    set(&caller, &face, &id, ReplayState::Cancelled).await
}

/// `POST /v1/replays/{id}/pause`.
pub async fn pause(
    caller: Caller<EventsReplay>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    set(&caller, &face, &id, ReplayState::Paused).await
}

/// `POST /v1/replays/{id}/resume`.
pub async fn resume(
    caller: Caller<EventsReplay>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    set(&caller, &face, &id, ReplayState::Running).await
}

async fn set(caller: &Caller<EventsReplay>, face: &Face, id: &str, state: ReplayState) -> Result<HttpResponse, Problem> {
    find(caller, face, id).await?;
    let named = id.to_owned();
    let set = face.through(move |app| async move { app.replays.set_state(&named, state).await }).await??;
    let replay = set.ok_or_else(|| Problem::no_such("replay", id))?;
    if replay.state != state {
        return Err(Problem::new(Kind::Conflict, format!("replay `{id}` is finished")).hint("start another one with POST /v1/replays"));
    }
    tracing::info!(replay = id, key = caller.name(), state = ?state, "replay changed");
    let (replay, delivered, dead) = find(caller, face, id).await?;
    body::json(&write(replay, delivered, dead))
}

/// A job that the caller may see: one that reaches beyond its key's components is told no differently from one that is not there.
async fn find(caller: &Caller<EventsReplay>, face: &Face, id: &str) -> Result<(Replay, u64, u64), Problem> {
    let found = face.app.replays.replay(id).await?;
    let visible = |replay: &Replay| caller.must_reach(replay.filter.component.as_ref().map(Glob::as_str)).is_ok();
    found.filter(|(replay, ..)| visible(replay)).ok_or_else(|| Problem::no_such("replay", id))
}

/// The member `filter`; it must be there, and may be empty: sending everything again should be said in so many words.
fn filter(members: &mut Members) -> EventFilter {
    let mut inner = members.need_object("filter");
    let filter = EventFilter {
        component: inner.take("component"),
        platform: inner.take("platform"),
        authorizer: inner.take("authorizer"),
        kind: inner.take("type"),
        since: inner.take("since"),
        until: inner.take("until"),
        status: inner.take("status"),
        q: inner.take("q"),
        within: None,
    };
    if filter.status == Some(Status::Held) {
        inner.refuse("status", "cannot be `held`: those are delivered when their subscription is resumed");
    }
    members.absorb(inner);
    filter
}

/// A key narrowed to components replays one of them at a time: the filter must name it, and where the key has but one it is filled in.
fn narrow(caller: &Caller<EventsReplay>, mut filter: EventFilter) -> Result<EventFilter, Problem> {
    if let (None, Some(only)) = (&filter.component, caller.reach().only_one()) {
        filter.component = Some(Glob::new(only));
    }
    let component = filter.component.as_ref().map(Glob::as_str);
    caller.must_reach(component)?;
    if filter.q.is_some() {
        // How many events hold a word tells what they hold, one guess after the other.
        caller.must_read(component).map_err(|problem| {
            problem
                .hint("`q` of a filter looks into events, which needs that scope too: add it to the key in yizhan.toml, or leave `q` out")
        })?;
    }
    Ok(filter)
}

fn write(replay: Replay, delivered: u64, dead: u64) -> ReplayBody {
    ReplayBody {
        id: replay.id,
        state: replay.state,
        matched: replay.matched,
        enqueued: replay.enqueued,
        delivered,
        dead,
        unreadable: replay.unreadable,
        filter: replay.filter,
        subscription: replay.subscription,
        rate: replay.rate,
        created_at: moment(replay.created_at),
    }
}
