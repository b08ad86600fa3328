//! Runs of playbooks: listed, looked at step by step, approved, cancelled.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::body::moment;
use super::caller::{Caller, EventsRead, Permission, PlaybooksWrite};
use super::list::{Listing, gather};
use super::parameters::{Nothing, Query};
use super::problem::{Kind, Problem};
use super::{Face, body};
use crate::clock::Timestamp;
use crate::fanout::subscription::Origin;
use crate::inbox::{EventId, Position};
use crate::playbook::run::{Run, RunFilter, State, StepRecord};

/// A run as callers see it: without the playbook's text, which may hold what not everybody who reads events should see.
#[derive(Serialize)]
struct RunBody<'a> {
    id: &'a str,
    playbook: &'a str,
    event_id: &'a str,
    component: &'a str,
    authorizer: Option<&'a str>,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    steps: &'a [StepRecord],
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> RunBody<'a> {
    fn new(run: &'a Run) -> Self {
        Self {
            id: &run.id,
            playbook: &run.playbook,
            event_id: &run.event_id,
            component: &run.component,
            authorizer: run.authorizer.as_deref(),
            state: run.state,
            reason: run.reason.as_deref(),
            steps: &run.steps,
            created_at: moment(run.created_at),
            updated_at: moment(run.updated_at),
        }
    }
}

const STATES: &str = "running, waiting_for_window, waiting_for_approval, done, failed, cancelled";

/// `GET /v1/runs`.
pub async fn list(caller: Caller<EventsRead>, face: web::Data<Face>, mut query: Query) -> Result<HttpResponse, Problem> {
    let filter = RunFilter {
        playbook: query.text("playbook"),
        component: query.text("component"),
        authorizer: query.text("authorizer"),
        state: query.word("state", STATES),
    };
    let listing = Listing::<RunFilter>::read("runs", query, filter)?;
    let reach = caller.reach();
    let fetch = async |after: Option<&Position>, limit: usize| face.app.runs.runs(after.map(|after| after.0.as_str()), limit).await;
    let keep = async |run: &Run| Ok(listing.filter.wants(run) && reach.has(&run.component));
    let page = gather(listing.limit, listing.after.as_ref(), fetch, keep).await?;
    let items: Vec<RunBody<'_>> = page.items.iter().map(RunBody::new).collect();
    listing.answer(&items, page.next.as_ref())
}

/// `GET /v1/runs/{id}`.
pub async fn one(caller: Caller<EventsRead>, face: web::Data<Face>, id: web::Path<String>, query: Query) -> Result<HttpResponse, Problem> {
    query.finish()?;
    body::json(&RunBody::new(&known(&caller, &face, &id).await?.1))
}

/// `POST /v1/runs/{id}/approve`.
pub async fn approve(
    caller: Caller<PlaybooksWrite>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    let (version, mut run) = known(&caller, &face, &id).await?;
    let playbook = run.playbook.clone();
    let waiting = run.next_step().filter(|_| run.state == State::WaitingForApproval);
    let Some(step) = waiting.and_then(|index| run.steps.get_mut(index)) else {
        return Err(Problem::new(Kind::Conflict, "this run does not wait for approval"));
    };
    if !is_playbook(&face, &playbook) {
        return Err(Problem::new(Kind::Conflict, format!("the playbook `{playbook}` of this run is not there any more"))
            .hint("cancel the run, or bring the playbook back and approve it then"));
    }
    step.approved_by = Some(caller.name().to_owned());
    (run.state, run.reason) = (State::Running, None);
    keep(&face, version, &mut run).await?;
    tracing::info!(run = run.id, key = caller.name(), "step approved");
    // Lost by a crash here, the approval is found at the next look.
    if let Ok(event) = run.event_id.parse::<EventId>() {
        face.through(move |app| async move { app.fanout.send(&[event], &playbook, None).await }).await??;
    }
    body::json(&RunBody::new(&run))
}

/// `POST /v1/runs/{id}/cancel`.
pub async fn cancel(
    caller: Caller<PlaybooksWrite>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    let (version, mut run) = known(&caller, &face, &id).await?;
    if run.state == State::Done {
        return Err(Problem::new(Kind::Conflict, "this run is done already"));
    }
    (run.state, run.reason) = (State::Cancelled, Some(format!("cancelled by {}", caller.name())));
    keep(&face, version, &mut run).await?;
    tracing::info!(run = run.id, key = caller.name(), "run cancelled");
    // Lost by a crash here, what waits finds the run cancelled when it is due.
    if let Ok(event) = run.event_id.parse::<EventId>()
        && is_playbook(&face, &run.playbook)
    {
        let playbook = run.playbook.clone();
        face.through(move |app| async move { app.fanout.withdraw(event, &playbook).await }).await??;
    }
    body::json(&RunBody::new(&run))
}

/// Whether it is there, and no subscription that has its name since: that one is sent nothing of its runs, and loses nothing with them.
fn is_playbook(face: &Face, name: &str) -> bool {
    face.app.fanout.subscription(name).is_some_and(|one| one.origin == Origin::Playbook)
}

async fn known<P: Permission>(caller: &Caller<P>, face: &Face, id: &str) -> Result<(u64, Run), Problem> {
    let found = if id.contains('\0') { None } else { face.app.runs.run(id).await? };
    let (version, run) = found.filter(|(_, run)| caller.reach().has(&run.component)).ok_or_else(|| Problem::no_such("run", id))?;
    Ok((version, run))
}

async fn keep(face: &Face, version: u64, run: &mut Run) -> Result<(), Problem> {
    run.updated_at = face.app.clock.now();
    if face.app.runs.save_run(version, run).await? {
        return Ok(());
    }
    Err(Problem::new(Kind::Conflict, "the run moved on meanwhile: look again"))
}
