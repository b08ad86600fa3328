//! Subscriptions: those of the file to look at, pause and test; those of the API to make, change and delete as well.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::body::moment;
use super::caller::{Caller, SubscriptionsWrite};
use super::deliveries::AttemptBody;
use super::list::{Listing, slice};
use super::parameters::{Members, Query};
use super::problem::Problem;
use super::{Face, body};
use crate::clock::Timestamp;
use crate::event_type::Glob;
use crate::fanout::subscription::{Ordering, Origin, State, Subscription};
use crate::fanout::{NewSubscription, SubscriptionChange, SubscriptionError};
use crate::settings;
use crate::vault::audit::Reading;

/// How long both secrets sign after a rotation, unless the caller says less.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

#[derive(Serialize)]
struct SubscriptionBody {
    name: String,
    url: String,
    events: Vec<Glob>,
    components: Vec<String>,
    ordering: Ordering,
    concurrency: u32,
    rate: Option<u32>,
    retry: Option<Vec<String>>,
    timeout: Option<String>,
    origin: Origin,
    state: State,
    held: u64,
    oldest_held_at: Option<Timestamp>,
    created_at: Timestamp,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize)]
struct SecretBody<'a> {
    name: &'a str,
    secret: &'a str,
    /// Until when the former secret signs too.
    former_until: Timestamp,
}

/// `GET /v1/subscriptions`.
pub async fn list(caller: Caller<SubscriptionsWrite>, face: web::Data<Face>, query: Query) -> Result<HttpResponse, Problem> {
    caller.must_reach(None)?;
    let listing = Listing::<()>::read("subscriptions", query, ())?;
    let all = face.app.fanout.subscriptions().into_iter().filter(|subscription| subscription.origin != Origin::Internal).collect();
    let page = slice(all, |subscription| &subscription.name, listing.after.as_ref(), listing.limit);
    let mut items = Vec::with_capacity(page.items.len());
    for subscription in &page.items {
        items.push(write(&face, subscription).await?);
    }
    listing.answer(&items, page.next.as_ref())
}

/// `GET /v1/subscriptions/{name}`.
pub async fn one(
    caller: Caller<SubscriptionsWrite>,
    face: web::Data<Face>,
    name: web::Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    caller.must_reach(None)?;
    query.finish()?;
    let subscription = face.app.fanout.subscription(&name).filter(|subscription| subscription.origin != Origin::Internal);
    let subscription = subscription.ok_or_else(|| Problem::no_such("subscription", &name))?;
    body::json(&write(&face, &subscription).await?)
}

/// `POST /v1/subscriptions`.
pub async fn create(
    caller: Caller<SubscriptionsWrite>,
    face: web::Data<Face>,
    query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    caller.must_reach(None)?;
    query.finish()?;
    let new = NewSubscription {
        name: members.need("name").unwrap_or_default(),
        url: members.need("url").unwrap_or_default(),
        secret: members.take("secret"),
        events: members.need("events").unwrap_or_default(),
        components: components(&face, &mut members).unwrap_or_default(),
        ordering: members.take("ordering").unwrap_or_default(),
        concurrency: members.take("concurrency"),
        rate: members.take("rate"),
        retry: members.take("retry"),
        timeout: members.take("timeout"),
    };
    members.finish()?;
    let (subscription, secret) = face.through(|app| async move { app.fanout.create(new).await }).await??;
    tracing::info!(subscription = subscription.name, key = caller.name(), "subscription made");
    let mut written = write(&face, &subscription).await?;
    written.secret = Some(secret.expose().to_owned());
    let mut answer = body::json_with(StatusCode::CREATED, &written)?;
    if let Ok(location) = header::HeaderValue::from_str(&format!("/v1/subscriptions/{}", subscription.name)) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(answer)
}

/// `PATCH /v1/subscriptions/{name}`.
pub async fn change(
    caller: Caller<SubscriptionsWrite>,
    face: web::Data<Face>,
    name: web::Path<String>,
    query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    caller.must_reach(None)?;
    query.finish()?;
    let change = SubscriptionChange {
        url: members.take("url"),
        events: members.take("events"),
        components: components(&face, &mut members),
        ordering: members.take("ordering"),
        concurrency: members.take("concurrency"),
        rate: members.take_or_null("rate"),
        retry: members.take_or_null("retry"),
        timeout: members.take_or_null("timeout"),
    };
    members.finish()?;
    let name = name.into_inner();
    let subscription = face.through(|app| async move { app.fanout.change(&name, change).await }).await??;
    tracing::info!(subscription = subscription.name, key = caller.name(), "subscription changed");
    body::json(&write(&face, &subscription).await?)
}

/// `DELETE /v1/subscriptions/{name}`.
pub async fn remove(
    caller: Caller<SubscriptionsWrite>,
    face: web::Data<Face>,
    name: web::Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    caller.must_reach(None)?;
    query.finish()?;
    let named = name.clone();
    face.through(|app| async move { app.fanout.delete(&named).await }).await??;
    tracing::info!(subscription = %name, key = caller.name(), "subscription deleted");
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/subscriptions/{name}/test`.
pub async fn test(
    caller: Caller<SubscriptionsWrite>,
    face: web::Data<Face>,
    name: web::Path<String>,
    query: Query,
    members: Members,
) -> Result<HttpResponse, Problem> {
    caller.must_reach(None)?;
    query.finish()?;
    members.finish()?;
    let name = name.into_inner();
    let attempt = face.through(|app| async move { app.fanout.test(&name).await }).await??;
    body::json(&AttemptBody::from(&attempt))
}

/// `POST /v1/subscriptions/{name}/pause`.
pub async fn pause(
    caller: Caller<SubscriptionsWrite>,
    face: web::Data<Face>,
    name: web::Path<String>,
    query: Query,
    members: Members,
) -> Result<HttpResponse, Problem> {
    set(&caller, &face, &name, query, members, State::Paused).await
}

/// `POST /v1/subscriptions/{name}/resume` and `/enable`.
pub async fn resume(
    caller: Caller<SubscriptionsWrite>,
    face: web::Data<Face>,
    name: web::Path<String>,
    query: Query,
    members: Members,
) -> Result<HttpResponse, Problem> {
    set(&caller, &face, &name, query, members, State::Active).await
}

/// `POST /v1/subscriptions/{name}/rotate-secret`; `{"overlap":"0s"}` when the former secret is known to others.
pub async fn rotate_secret(
    caller: Caller<SubscriptionsWrite>,
    face: web::Data<Face>,
    name: web::Path<String>,
    query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    caller.must_reach(None)?;
    query.finish()?;
    let overlap = members.take::<String>("overlap").map(|text| settings::duration(&text).filter(|overlap| *overlap <= OVERLAP));
    if overlap == Some(None) {
        members.refuse("overlap", "is no length of time up to 24h");
    }
    members.finish()?;
    let overlap = overlap.flatten().unwrap_or(OVERLAP);
    let (named, key, remote) = (name.clone(), caller.name().to_owned(), caller.reader().remote);
    // Noted with it: whoever hangs up before the answer has rotated it all the same.
    let rotated = face.through(move |app| async move {
        let secret = app.fanout.rotate_secret(&named, overlap).await?;
        tracing::info!(subscription = %named, key, "signing secret rotated");
        let action = format!("subscription.rotate_secret:{named} overlap={}s", overlap.as_secs());
        app.audit.note(Reading { key: &key, action: &action, component: "", authorizer: None, generation: 0, remote });
        Ok::<_, SubscriptionError>(secret)
    });
    let secret = rotated.await??;
    let former_until = moment(face.app.clock.now().checked_add(overlap).unwrap_or(Timestamp::MAX));
    body::json(&SecretBody { name: &name, secret: secret.expose(), former_until })
}

async fn set(
    caller: &Caller<SubscriptionsWrite>,
    face: &Face,
    name: &str,
    query: Query,
    members: Members,
    state: State,
) -> Result<HttpResponse, Problem> {
    caller.must_reach(None)?;
    query.finish()?;
    members.finish()?;
    let named = name.to_owned();
    let subscription = face.through(move |app| async move { app.fanout.set_state(&named, state).await }).await??;
    tracing::info!(subscription = name, key = caller.name(), state = ?state, "subscription changed");
    body::json(&write(face, &subscription).await?)
}

/// The member `subscription` of a replay: one that a person may send to. Ours among them would spend a code again.
pub fn target(face: &Face, members: &mut Members) -> Option<String> {
    let name = members.take::<String>("subscription")?;
    let known = face.app.fanout.subscription(&name).is_some_and(|subscription| subscription.origin != Origin::Internal);
    if !known {
        members.refuse("subscription", "is the name of no subscription");
    }
    Some(name)
}

/// The member `components`; a name that no component has would never hear of anything.
fn components(face: &Face, members: &mut Members) -> Option<Vec<String>> {
    let names = members.take::<Vec<String>>("components")?;
    let unknown: Vec<&str> = names.iter().map(String::as_str).filter(|name| face.app.config.components.named(name).is_none()).collect();
    if !unknown.is_empty() {
        members.refuse("components", format!("names unknown components: {}", unknown.join(", ")));
    }
    Some(names)
}

async fn write(face: &Face, subscription: &Subscription) -> Result<SubscriptionBody, Problem> {
    // An active subscription holds nothing: what waits for it is on its way.
    let held = match subscription.state {
        State::Active => 0,
        State::Paused | State::Disabled => face.app.fanout.depth(&subscription.name).await?.pending,
    };
    let oldest_held_at = if held > 0 { face.app.outbox.oldest(&subscription.name).await? } else { None };
    Ok(SubscriptionBody {
        name: subscription.name.clone(),
        url: subscription.url.clone(),
        events: subscription.events.clone(),
        components: subscription.components.clone(),
        ordering: subscription.ordering,
        concurrency: subscription.concurrency,
        rate: subscription.rate,
        retry: subscription.retry.as_ref().map(|waits| waits.iter().copied().map(body::duration).collect()),
        timeout: subscription.timeout.map(body::duration),
        origin: subscription.origin,
        state: subscription.state,
        held,
        oldest_held_at: oldest_held_at.map(moment),
        created_at: moment(subscription.created_at),
        secret: None,
    })
}
