//! Refused pushes: listed with the reason, never with their bodies, and opened again once the configuration is mended.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::body::moment;
use super::caller::{Caller, EventsRead, EventsReplay, Reach};
use super::list::{Listing, gather};
use super::parameters::{Members, Query};
use super::problem::Problem;
use super::{Face, body};
use crate::clock::Timestamp;
use crate::inbox::Reprocessed;
use crate::inbox::log::Rejected;

/// Ids in one request at most.
const MOST_IDS: usize = 1000;

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Filter {
    component: Option<String>,
}

#[derive(Serialize)]
struct RejectedBody {
    id: String,
    component: String,
    received_at: Timestamp,
    reason: String,
    detail: String,
}

#[derive(Serialize)]
struct ReprocessedBody {
    accepted: u64,
    still_refused: u64,
}

/// `GET /v1/rejected`.
pub async fn list(caller: Caller<EventsRead>, face: web::Data<Face>, mut query: Query) -> Result<HttpResponse, Problem> {
    let filter = Filter { component: query.text("component") };
    let listing = Listing::read("rejected", query, filter)?;
    let reach = caller.reach();
    let component = listing.filter.component.as_deref().or_else(|| reach.only_one());
    let page = gather(
        listing.limit,
        listing.after.as_ref(),
        async |after, limit| face.app.rejections.page(component, after, limit).await,
        async |rejected: &Rejected| Ok(reach.has(&rejected.component)),
    )
    .await?;
    let items: Vec<RejectedBody> = page.items.into_iter().map(write).collect();
    listing.answer(&items, page.next.as_ref())
}

/// `POST /v1/rejected/reprocess`: `{"component":…}` or `{"ids":[…]}` or nothing (all).
pub async fn reprocess(
    caller: Caller<EventsReplay>,
    face: web::Data<Face>,
    query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let component = members.take::<String>("component");
    let ids = members.take::<Vec<String>>("ids");
    if component.is_some() && ids.is_some() {
        members.refuse("ids", "cannot stand beside `component`");
    }
    if ids.as_ref().is_some_and(|ids| ids.len() > MOST_IDS) {
        members.refuse("ids", format!("holds more than {MOST_IDS}"));
    }
    members.finish()?;
    let done = match (component, ids, caller.reach()) {
        (Some(component), ..) => {
            caller.must_reach(Some(&component))?;
            face.component(&component)?;
            face.app.inbox.reprocess(Some(&component), None).await?
        }
        (None, Some(ids), reach) => {
            let (within, beyond) = within(&face, &reach, ids).await?;
            let done = face.app.inbox.reprocess(None, Some(&within)).await?;
            Reprocessed { still_refused: done.still_refused.saturating_add(beyond), ..done }
        }
        (None, None, Reach::All) => face.app.inbox.reprocess(None, None).await?,
        (None, None, Reach::Only(components)) => {
            let mut sum = Reprocessed::default();
            for component in &components {
                let done = face.app.inbox.reprocess(Some(component), None).await?;
                sum.accepted = sum.accepted.saturating_add(done.accepted);
                sum.still_refused = sum.still_refused.saturating_add(done.still_refused);
            }
            sum
        }
    };
    tracing::info!(key = caller.name(), accepted = done.accepted, still_refused = done.still_refused, "rejected pushes reprocessed");
    body::json(&ReprocessedBody { accepted: done.accepted, still_refused: done.still_refused })
}

/// Those ids that the key reaches, and how many it does not: they are counted like ids that are not there.
async fn within(face: &Face, reach: &Reach, ids: Vec<String>) -> Result<(Vec<String>, u64), Problem> {
    if *reach == Reach::All {
        return Ok((ids, 0));
    }
    let (mut within, mut beyond) = (Vec::with_capacity(ids.len()), 0u64);
    for id in ids {
        match face.app.rejections.open(&id).await? {
            Some((rejected, _)) if reach.has(&rejected.component) => within.push(id),
            _ => beyond = beyond.saturating_add(1),
        }
    }
    Ok((within, beyond))
}

fn write(rejected: Rejected) -> RejectedBody {
    RejectedBody {
        id: rejected.id,
        component: rejected.component,
        received_at: moment(rejected.received_at),
        reason: rejected.reason,
        detail: rejected.detail,
    }
}
