//! Deliveries: each event on its way to each subscription, with every attempt. Dead letters are those with `status=dead`.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::body::moment;
use super::caller::{Caller, EventsRead, EventsReplay, Permission, Reach};
use super::events::STATUSES;
use super::list::{Listing, gather};
use super::parameters::{Nothing, Query};
use super::problem::Problem;
use super::{Face, body};
use crate::clock::Timestamp;
use crate::fanout::RetryError;
use crate::fanout::delivery::{Attempt, Delivery, DeliveryFilter, DeliveryId, Status};
use crate::fanout::subscription::State;
use crate::inbox::{EventId, LogError, Page};

#[derive(Serialize)]
struct DeliveryBody<A> {
    id: String,
    event_id: String,
    subscription: String,
    status: Status,
    /// All of them, or in lists their number.
    attempts: A,
    next_attempt_at: Option<Timestamp>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<String>,
}

/// One try.
#[derive(Serialize)]
pub struct AttemptBody {
    at: Timestamp,
    status: Option<u16>,
    duration_ms: u64,
    error: Option<String>,
    answer: Option<String>,
}

impl From<&Attempt> for AttemptBody {
    fn from(attempt: &Attempt) -> Self {
        Self {
            at: moment(attempt.at),
            status: attempt.status,
            duration_ms: attempt.duration_ms,
            error: attempt.error.clone(),
            answer: attempt.answer.clone(),
        }
    }
}

/// Whether a subscription holds what waits for it. One that is unknown (ours, or deleted) does not.
pub fn is_held(face: &Face, subscription: &str) -> bool {
    face.app.fanout.subscription(subscription).is_some_and(|subscription| subscription.state != State::Active)
}

/// `GET /v1/deliveries`.
pub async fn list(caller: Caller<EventsRead>, face: web::Data<Face>, mut query: Query) -> Result<HttpResponse, Problem> {
    let filter = DeliveryFilter {
        status: query.word("status", STATUSES),
        subscription: query.text("subscription"),
        event: query.text("event"),
        since: query.time("since"),
        until: query.time("until"),
    };
    if filter.event.as_ref().is_some_and(|id| id.parse::<EventId>().is_err()) {
        query.refuse("event", "is no event id");
    }
    let listing = Listing::read("deliveries", query, filter)?;
    let page = page(&face, &caller.reach(), &listing).await?;
    let items: Vec<_> = page.items.iter().map(|delivery| write(&face, delivery, delivery.attempts.len())).collect();
    listing.answer(&items, page.next.as_ref())
}

/// `GET /v1/deliveries/{id}`.
pub async fn one(caller: Caller<EventsRead>, face: web::Data<Face>, id: web::Path<String>, query: Query) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let delivery = find(&face, &caller, &id).await?;
    body::json(&in_full(&face, &delivery))
}

/// `POST /v1/deliveries/{id}/retry`.
pub async fn retry(
    caller: Caller<EventsReplay>,
    face: web::Data<Face>,
    id: web::Path<String>,
    _: Nothing,
) -> Result<HttpResponse, Problem> {
    let found = find(&face, &caller, &id).await?;
    let event = face.app.log.event(found.event_id).await?.ok_or(RetryError::Gone(found.id))?;
    let delivery = face.through(|app| async move { app.fanout.retry(&found, &event).await }).await??;
    tracing::info!(delivery.id = %delivery.id, subscription = delivery.subscription, key = caller.name(), "delivery retried on request");
    body::json_with(StatusCode::ACCEPTED, &in_full(&face, &delivery))
}

async fn find<P: Permission>(face: &Face, caller: &Caller<P>, id: &str) -> Result<Delivery, Problem> {
    let delivery = match id.parse::<DeliveryId>() {
        Ok(parsed) => face.app.outbox.delivery(parsed).await?,
        Err(_) => None,
    };
    delivery.filter(|delivery| caller.reach().has(component(delivery))).ok_or_else(|| Problem::no_such("delivery", id))
}

/// The component of a delivery's event: what stands before the first slash of its ordering key, which no component's name contains.
fn component(delivery: &Delivery) -> &str {
    delivery.ordering_key.split('/').next().unwrap_or_default()
}

/// A page of those that the caller may see; the outbox knows neither components nor `held`.
async fn page(face: &Face, reach: &Reach, listing: &Listing<DeliveryFilter>) -> Result<Page<Delivery>, LogError> {
    let wanted = listing.filter.status;
    let mut filter = listing.filter.clone();
    if wanted == Some(Status::Held) {
        filter.status = Some(Status::Pending);
    }
    gather(
        listing.limit,
        listing.after.as_ref(),
        async |after, limit| face.app.outbox.deliveries(&filter, after, limit).await,
        async |delivery: &Delivery| Ok(reach.has(component(delivery)) && wanted.is_none_or(|wanted| wanted == status(face, delivery))),
    )
    .await
}

fn status(face: &Face, delivery: &Delivery) -> Status {
    match delivery.status {
        Status::Pending if is_held(face, &delivery.subscription) => Status::Held,
        status => status,
    }
}

fn in_full(face: &Face, delivery: &Delivery) -> DeliveryBody<Vec<AttemptBody>> {
    write(face, delivery, delivery.attempts.iter().map(AttemptBody::from).collect())
}

fn write<A>(face: &Face, delivery: &Delivery, attempts: A) -> DeliveryBody<A> {
    DeliveryBody {
        id: delivery.id.to_string(),
        event_id: delivery.event_id.to_string(),
        subscription: delivery.subscription.clone(),
        status: status(face, delivery),
        attempts,
        next_attempt_at: delivery.next_attempt_at.map(moment),
        created_at: moment(delivery.created_at),
        replay: delivery.replay.clone(),
    }
}
