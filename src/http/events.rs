//! Stored events: listed and shown byte for byte as they are delivered, and sent again one at a time.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::caller::{Caller, EventsRead, EventsReplay, Permission, Reach};
use super::deliveries::is_held;
use super::list::{Listing, gather};
use super::parameters::{Members, Query};
use super::problem::Problem;
use super::subscriptions::target;
use super::{Face, body};
use crate::event_type::Glob;
use crate::fanout::delivery::{DeliveryFilter, Status};
use crate::inbox::{Event, EventFilter, EventId, LogError, Page};

/// Words of `status`.
pub const STATUSES: &str = "`pending`, `held`, `delivered`, `dead`, `cancelled`";

/// Deliveries of one event that are looked at to tell held ones from pending ones: as many as subscriptions, far below this.
const DELIVERIES_OF_AN_EVENT: usize = 500;

#[derive(Serialize)]
struct ReplayedBody {
    event_id: String,
    deliveries: Vec<Enqueued>,
}

#[derive(Serialize)]
struct Enqueued {
    id: String,
    subscription: String,
}

/// `GET /v1/events`.
pub async fn list(caller: Caller<EventsRead>, face: web::Data<Face>, mut query: Query) -> Result<HttpResponse, Problem> {
    let filter = filter(&mut query);
    let listing = Listing::read("events", query, filter)?;
    let page = page(&face, &caller.reach(), &listing).await?;
    listing.answer_verbatim(page.items.iter().map(|event| event.body.as_ref()), page.next.as_ref())
}

/// `GET /v1/events/{id}`.
pub async fn one(caller: Caller<EventsRead>, face: web::Data<Face>, id: web::Path<String>, query: Query) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let event = find(&face, &caller, &id).await?;
    Ok(HttpResponse::Ok().content_type("application/json").insert_header((header::CACHE_CONTROL, "no-store")).body(event.body))
}

/// `POST /v1/events/{id}/replay`.
pub async fn replay(
    caller: Caller<EventsReplay>,
    face: web::Data<Face>,
    id: web::Path<String>,
    query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let chosen = target(&face, &mut members);
    members.finish()?;
    let event = find(&face, &caller, &id).await?;
    let subscriptions = match chosen {
        Some(name) if face.app.fanout.wants(&name, &event) => vec![name],
        Some(name) => return Err(unwanted(&name, &event)),
        None => face.app.fanout.matching(&event),
    };
    let mut deliveries = Vec::with_capacity(subscriptions.len());
    for subscription in &subscriptions {
        let (id, named) = (event.id, subscription.clone());
        let ids = face.through(move |app| async move { app.fanout.send(&[id], &named, None).await }).await??;
        deliveries.extend(ids.into_iter().flatten().map(|id| Enqueued { id: id.to_string(), subscription: subscription.clone() }));
    }
    tracing::info!(event.id = %event.id, key = caller.name(), deliveries = deliveries.len(), "event replayed");
    body::json_with(StatusCode::ACCEPTED, &ReplayedBody { event_id: event.id.to_string(), deliveries })
}

/// Nobody is sent what it did not ask for, whoever says so.
fn unwanted(subscription: &str, event: &Event) -> Problem {
    let why = format!("wants no `{}` of component `{}`", event.kind.as_str(), event.component);
    Problem::invalid(&[(String::from("subscription"), why)]).hint(format!(
        "have `events` and `components` of `{subscription}` say that it wants such events, or leave `subscription` out: then all that want it get it"
    ))
}

/// One event that the caller may see. One it may not see is told no differently from one that is not there.
async fn find<P: Permission>(face: &Face, caller: &Caller<P>, id: &str) -> Result<Event, Problem> {
    let event = match id.parse::<EventId>() {
        Ok(parsed) => face.app.log.event(parsed).await?,
        Err(_) => None,
    };
    event
        .filter(|event| caller.reach().has(&event.component))
        .ok_or_else(|| Problem::no_such("event", id).hint("events older than the retention time are expunged"))
}

/// The filters of contract 3, from a query string.
pub fn filter(query: &mut Query) -> EventFilter {
    EventFilter {
        component: query.glob("component"),
        platform: query.glob("platform"),
        authorizer: query.glob("authorizer"),
        kind: query.glob("type"),
        since: query.time("since"),
        until: query.time("until"),
        status: query.word::<Status>("status", STATUSES),
        q: query.text("q"),
        within: None,
    }
}

/// A page of those that the caller may see. The log knows no `held`: that is `pending` while the subscription is not delivered to.
async fn page(face: &Face, reach: &Reach, listing: &Listing<EventFilter>) -> Result<Page<Event>, LogError> {
    let mut filter = listing.filter.clone();
    if let Reach::Only(names) = reach {
        let asked = |name: &&String| filter.component.as_ref().is_none_or(|asked| asked.matches(name));
        let seen: Vec<String> = names.iter().filter(asked).cloned().collect();
        match seen.as_slice() {
            [] => return Ok(Page { items: Vec::new(), next: None }),
            // Its index tells the page.
            [one] => filter.component = Some(Glob::new(one)),
            _ => filter.within = Some(seen),
        }
    }
    let wanted = filter.status;
    if wanted == Some(Status::Held) {
        filter.status = Some(Status::Pending);
    }
    let tells_held = matches!(wanted, Some(Status::Pending | Status::Held));
    gather(
        listing.limit,
        listing.after.as_ref(),
        async |after, limit| face.app.log.page(&filter, after, limit).await,
        async |event: &Event| Ok(!tells_held || waits(face, event, wanted == Some(Status::Held)).await?),
    )
    .await
}

/// Whether a delivery of that event waits: held by its subscription, or not.
async fn waits(face: &Face, event: &Event, held: bool) -> Result<bool, LogError> {
    let filter = DeliveryFilter { status: Some(Status::Pending), event: Some(event.id.to_string()), ..DeliveryFilter::default() };
    let page = face.app.outbox.deliveries(&filter, None, DELIVERIES_OF_AN_EVENT).await?;
    Ok(page.items.iter().any(|delivery| is_held(face, &delivery.subscription) == held))
}
