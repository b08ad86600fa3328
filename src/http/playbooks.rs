//! Playbooks for callers: looked at, checked, made, replaced, deleted. Those of the configuration are read-only.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use super::body::moment;
use super::caller::{Caller, PlaybooksWrite};
use super::list::{Listing, slice};
use super::parameters::{Members, Query};
use super::problem::Problem;
use super::{Face, body};
use crate::fanout::subscription::State;
use crate::playbook::Playbook;
use crate::playbook::book::{Behind, BookError, Entry, Source, TAKEN, Writing};
use crate::playbook::lacking::lacking;
use crate::playbook::written;

/// Merchants that lack a variable, named in one answer at most; all are counted.
const MOST_NAMED: usize = 1000;

/// `GET /v1/playbooks`.
pub async fn list(caller: Caller<PlaybooksWrite>, face: web::Data<Face>, query: Query) -> Result<HttpResponse, Problem> {
    let listing = Listing::<()>::read("playbooks", query, ())?;
    let seen = face.app.playbooks.all().into_iter().filter(|entry| reached(&caller, &entry.playbook).is_ok());
    let mut seen: Vec<(String, Value)> = seen.map(|entry| (entry.playbook.name.clone(), write(&face, &entry))).collect();
    if caller.must_reach(None).is_ok() {
        let unread = face.app.playbooks.unread().into_iter();
        seen.extend(unread.map(|(name, why)| (name.clone(), write_unread(&face, &name, &why))));
        seen.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    let page = slice(seen, |(name, _)| name, listing.after.as_ref(), listing.limit);
    listing.answer(&page.items.iter().map(|(_, written)| written).collect::<Vec<_>>(), page.next.as_ref())
}

/// `GET /v1/playbooks/{name}`.
pub async fn one(
    caller: Caller<PlaybooksWrite>,
    face: web::Data<Face>,
    name: web::Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    if let Some(why) = face.app.playbooks.unread().get(name.as_str()).filter(|_| caller.must_reach(None).is_ok()) {
        return body::json(&write_unread(&face, &name, why));
    }
    body::json(&write(&face, &*known(&caller, &face, &name)?))
}

/// `POST /v1/playbooks`.
pub async fn create(
    caller: Caller<PlaybooksWrite>,
    face: web::Data<Face>,
    query: Query,
    members: Members,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let playbook = face.app.playbooks.read(&members.all())?;
    reached(&caller, &playbook)?;
    let entry = face.through(|app| async move { app.playbooks.write(playbook, Writing::Create).await }).await??;
    tracing::info!(playbook = entry.playbook.name, key = caller.name(), "playbook made");
    made(&face, &entry)
}

/// `PUT /v1/playbooks/{name}`.
pub async fn put(
    caller: Caller<PlaybooksWrite>,
    face: web::Data<Face>,
    name: web::Path<String>,
    query: Query,
    members: Members,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let mut source = members.all();
    match source.get("name") {
        None | Some(Value::Null) => drop(source.insert(String::from("name"), Value::from(name.as_str()))),
        Some(given) if *given == name.as_str() => {}
        Some(_) => return Err(Problem::invalid(&[(String::from("name"), String::from("is another than that of the address"))])),
    }
    let before = face.app.playbooks.one(&name);
    // Whom one concerns that cannot be read nobody knows.
    let is_beyond = face.app.playbooks.unread().contains_key(name.as_str()) && caller.must_reach(None).is_err();
    if is_beyond || before.as_ref().is_some_and(|before| reached(&caller, &before.playbook).is_err()) {
        // As with any name that is taken; whose it is, is not told.
        return Err(BookError::Taken(TAKEN).into());
    }
    let playbook = face.app.playbooks.read(&source)?;
    reached(&caller, &playbook)?;
    let entry = face.through(|app| async move { app.playbooks.write(playbook, Writing::Replace).await }).await??;
    tracing::info!(playbook = entry.playbook.name, key = caller.name(), "playbook written");
    if before.is_some() { body::json(&write(&face, &entry)) } else { made(&face, &entry) }
}

/// `DELETE /v1/playbooks/{name}`. A stored one behind what has its name goes first: it would come back when the name is free again.
pub async fn remove(
    caller: Caller<PlaybooksWrite>,
    face: web::Data<Face>,
    name: web::Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let behind = match face.app.playbooks.behind(&name).await? {
        Some(Behind::Playbook(playbook)) => reached(&caller, &playbook).is_ok(),
        Some(Behind::Unreadable) => caller.must_reach(None).is_ok(),
        None => false,
    };
    let named = name.clone();
    if behind {
        face.through(|app| async move { app.playbooks.delete_behind(&named).await }).await??;
        tracing::info!(playbook = %name, key = caller.name(), "stored playbook deleted that did not stand");
        return Ok(HttpResponse::NoContent().finish());
    }
    known(&caller, &face, &name)?;
    let cancelled = face.through(|app| async move { app.playbooks.delete(&named).await }).await??;
    tracing::info!(playbook = %name, cancelled, key = caller.name(), "playbook deleted");
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/playbooks/check`: what is wrong with a playbook, and which merchants lack a variable that it needs. Nothing is written or sent.
pub async fn check(caller: Caller<PlaybooksWrite>, face: web::Data<Face>, query: Query, members: Members) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let playbook = face.app.playbooks.read(&members.all())?;
    let reach = caller.reach();
    let concerned = |name: &str| reach.has(name) && (playbook.components.is_empty() || playbook.components.iter().any(|one| one == name));
    let components: Vec<&str> = face.app.config.components.iter().map(|one| one.name()).filter(|name| concerned(name)).collect();
    let looking = async { Ok(lacking(&playbook, &components, &face.app.vault, face.app.attributes.as_ref(), MOST_NAMED).await?) };
    let found = face.counted(caller.name(), looking).await?;
    body::json(&json!({
        "playbook": written::write(&playbook), "authorizers": found.authorizers, "lacking": found.lacking, "items": found.first,
    }))
}

/// One that the key may see and change. One that concerns a component beyond the key's reach is told no differently from one that is not there.
fn known(caller: &Caller<PlaybooksWrite>, face: &Face, name: &str) -> Result<std::sync::Arc<Entry>, Problem> {
    let entry = face.app.playbooks.one(name).filter(|entry| reached(caller, &entry.playbook).is_ok());
    entry.ok_or_else(|| Problem::no_such("playbook", name))
}

fn reached(caller: &Caller<PlaybooksWrite>, playbook: &Playbook) -> Result<(), Problem> {
    if playbook.components.is_empty() {
        return caller.must_reach(None);
    }
    playbook.components.iter().try_for_each(|component| caller.must_reach(Some(component)))
}

fn made(face: &Face, entry: &Entry) -> Result<HttpResponse, Problem> {
    let mut answer = body::json_with(StatusCode::CREATED, &write(face, entry))?;
    let mut address = url::Url::parse("http://localhost/v1/playbooks").map_err(Problem::internal)?;
    if let Ok(mut segments) = address.path_segments_mut() {
        segments.push(&entry.playbook.name);
    }
    if let Ok(location) = header::HeaderValue::from_str(address.path()) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(answer)
}

/// The playbook as it is written, with where it comes from and how its subscription stands.
fn write(face: &Face, entry: &Entry) -> Value {
    let mut shown: Map<String, Value> = written::write(&entry.playbook).as_object().cloned().unwrap_or_default();
    shown.insert(String::from("source"), json!(entry.source));
    if let Some(subscription) = face.app.fanout.subscription(&entry.playbook.name) {
        shown.insert(String::from("state"), json!(subscription.state));
    }
    if let Some(at) = entry.updated_at {
        shown.insert(String::from("updated_at"), json!(moment(at)));
    }
    if !entry.mistakes.is_empty() {
        let told = entry.mistakes.iter().map(|mistake| json!({"at": mistake.at, "problem": mistake.reason}));
        shown.insert(String::from("mistakes"), told.collect());
    }
    Value::Object(shown)
}

/// What is known of one that cannot be read: its name, which events it asked for, and why.
fn write_unread(face: &Face, name: &str, why: &str) -> Value {
    let subscription = face.app.fanout.subscription(name);
    let (on, components) = subscription.as_ref().map(|one| (&one.events, &one.components)).unzip();
    json!({
        "name": name,
        "on": on.cloned().unwrap_or_default(),
        "components": components.cloned().unwrap_or_default(),
        "when": {},
        "steps": [],
        "source": Source::Api,
        "state": subscription.map_or(State::Disabled, |one| one.state),
        "mistakes": [{"at": "", "problem": format!("it cannot be read: {why}; write it again or delete it; what comes for it is held until then")}],
    })
}
