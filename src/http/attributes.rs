//! Tags and variables of merchants: read, noted, changed, for one or for many at once.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::caller::{AttributesWrite, Caller, Read};
use super::list::{Listing, gather};
use super::parameters::{Members, Query};
use super::problem::Problem;
use super::{Face, body};
use crate::attributes::{self, Attributes, Change, ChangeError};
use crate::inbox::{LogError, Page, Position};

/// Authorizers in one request at most.
const MOST_ITEMS: usize = 1000;

/// Authorizers read at a time, and the bytes of JSON with which a page ends: what is noted of one may be 64 KiB and more.
const PORTION: usize = 32;
const MOST_PAGE_BYTES: usize = 4 * 1024 * 1024;

#[derive(Serialize)]
struct AttributesBody<'a> {
    component: &'a str,
    authorizer: &'a str,
    #[serde(flatten)]
    attributes: &'a Attributes,
}

/// `GET /v1/components/{c}/authorizers/{a}/attributes`. Empty where nothing was noted.
pub async fn one(_: Caller<Read>, face: web::Data<Face>, path: web::Path<(String, String)>, query: Query) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let (component, authorizer) = whose(&face, path)?;
    let attributes = face.app.attributes.get(&component, &authorizer).await?;
    body::json(&AttributesBody { component: &component, authorizer: &authorizer, attributes: &attributes })
}

/// `PUT /v1/components/{c}/authorizers/{a}/attributes`.
pub async fn set(
    caller: Caller<AttributesWrite>,
    face: web::Data<Face>,
    path: web::Path<(String, String)>,
    query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let attributes =
        Attributes { tags: members.take("tags").unwrap_or_default(), variables: members.take("variables").unwrap_or_default() };
    members.finish()?;
    make(&caller, &face, whose(&face, path)?, Change::Replace(attributes)).await
}

/// `PATCH /v1/components/{c}/authorizers/{a}/attributes`.
pub async fn change(
    caller: Caller<AttributesWrite>,
    face: web::Data<Face>,
    path: web::Path<(String, String)>,
    query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    let merge = Change::Merge {
        add_tags: members.take("add_tags").unwrap_or_default(),
        remove_tags: members.take("remove_tags").unwrap_or_default(),
        variables: members.take("variables").unwrap_or_default(),
    };
    members.finish()?;
    make(&caller, &face, whose(&face, path)?, merge).await
}

/// `GET /v1/components/{c}/attributes`.
pub async fn list(_: Caller<Read>, face: web::Data<Face>, component: web::Path<String>, mut query: Query) -> Result<HttpResponse, Problem> {
    face.component(&component)?;
    let tag = query.text("tag");
    let listing = Listing::<Option<String>>::read(format!("attributes of {component}"), query, tag)?;
    let (component, tag) = (component.as_str(), &listing.filter);
    let fetch = async |after: Option<&Position>, limit: usize| page(&face, component, after, limit).await;
    let keep = async |(_, attributes): &(String, Attributes)| Ok(tag.as_ref().is_none_or(|tag| attributes.tags.contains(tag)));
    let page = gather(listing.limit, listing.after.as_ref(), fetch, keep).await?;
    let items: Vec<_> = page.items.iter().map(|(authorizer, attributes)| AttributesBody { component, authorizer, attributes }).collect();
    listing.answer(&items, page.next.as_ref())
}

/// Those of a page behind that one, by app id: so many, or fewer where they are large.
async fn page(face: &Face, component: &str, after: Option<&Position>, limit: usize) -> Result<Page<(String, Attributes)>, LogError> {
    let mut items: Vec<(String, Attributes)> = Vec::new();
    let mut bytes = 0usize;
    while items.len() < limit && bytes < MOST_PAGE_BYTES {
        let last = items.last().map(|(authorizer, _)| authorizer.as_str()).or(after.map(|after| after.0.as_str()));
        let wanted = PORTION.min(limit.saturating_sub(items.len()));
        let mut portion = face.app.attributes.page(component, last, wanted.saturating_add(1)).await?;
        let is_last = portion.len() <= wanted;
        portion.truncate(wanted);
        bytes += portion.iter().map(|(_, attributes)| serde_json::to_vec(attributes).map_or(0, |json| json.len())).sum::<usize>();
        items.extend(portion);
        if is_last {
            return Ok(Page { items, next: None });
        }
    }
    let next = items.last().map(|(authorizer, _)| Position(authorizer.clone()));
    Ok(Page { items, next })
}

/// `POST /v1/components/{c}/attributes`: many, all or none.
pub async fn set_many(
    caller: Caller<AttributesWrite>,
    face: web::Data<Face>,
    component: web::Path<String>,
    query: Query,
    mut members: Members,
) -> Result<HttpResponse, Problem> {
    query.finish()?;
    face.component(&component)?;
    let merge = match members.take::<String>("mode").as_deref() {
        None | Some("replace") => false,
        Some("merge") => true,
        Some(_) => {
            members.refuse("mode", "is none of replace, merge");
            false
        }
    };
    let items = members.need::<Vec<Map<String, Value>>>("items").unwrap_or_default();
    if items.len() > MOST_ITEMS {
        members.refuse("items", format!("are {}, at most {MOST_ITEMS} are possible in one request", items.len()));
    }
    let mut changes = Vec::with_capacity(items.len());
    let mut places = BTreeMap::new();
    for (index, item) in items.into_iter().take(MOST_ITEMS).enumerate() {
        let mut item = members.within(&format!("items[{index}]"), item);
        let authorizer = item.need::<String>("authorizer");
        if authorizer.as_ref().is_some_and(|authorizer| !attributes::is_authorizer(authorizer)) {
            item.refuse("authorizer", "is no app id");
        }
        let authorizer = authorizer.unwrap_or_default();
        if places.insert(authorizer.clone(), index).is_some() && !authorizer.is_empty() {
            item.refuse("authorizer", "is named twice");
        }
        let (tags, variables) = (item.take("tags").unwrap_or_default(), item.take("variables").unwrap_or_default());
        let change = match merge {
            true => Change::Merge { add_tags: tags, remove_tags: BTreeSet::new(), variables },
            false => Change::Replace(Attributes { tags, variables }),
        };
        members.absorb(item);
        changes.push((authorizer, change));
    }
    members.finish()?;
    let changed = face.app.attributes.change(&component, &changes).await;
    let changed = changed.map_err(|error| {
        refused(error, |authorizer, member| {
            places.get(authorizer).map_or_else(|| member.to_owned(), |index| format!("items[{index}].{member}"))
        })
    })?;
    tracing::info!(component = %component, authorizers = changed.len(), key = caller.name(), "attributes noted");
    body::json(&json!({"changed": changed.len()}))
}

fn whose(face: &Face, path: web::Path<(String, String)>) -> Result<(String, String), Problem> {
    let (component, authorizer) = path.into_inner();
    face.component(&component)?;
    Ok((component, authorizer))
}

async fn make(
    caller: &Caller<AttributesWrite>,
    face: &Face,
    (component, authorizer): (String, String),
    change: Change,
) -> Result<HttpResponse, Problem> {
    let changes = [(authorizer, change)];
    let changed = face.app.attributes.change(&component, &changes).await.map_err(|error| refused(error, |_, member| member.to_owned()))?;
    let [(authorizer, _)] = &changes;
    tracing::info!(component, authorizer, key = caller.name(), "attributes noted");
    let attributes = changed.into_iter().next().unwrap_or_default();
    body::json(&AttributesBody { component: &component, authorizer, attributes: &attributes })
}

fn refused(error: ChangeError, place: impl Fn(&str, &str) -> String) -> Problem {
    match error {
        ChangeError::Store(error) => error.into(),
        ChangeError::Invalid(bad) => {
            let bad: Vec<_> = bad.into_iter().map(|(authorizer, member, why)| (place(&authorizer, &member), why)).collect();
            Problem::invalid(&bad)
        }
    }
}
