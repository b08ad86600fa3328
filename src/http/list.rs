//! Lists: a limit, a cursor that carries its filters, and pages narrowed to what a key may see.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::header;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::parameters::Query;
use super::problem::Problem;
use crate::envelope::digest;
use crate::inbox::{Page, Position};

/// Items of a page unless the caller says otherwise.
pub const USUAL: usize = 50;

/// Items of a page at most; whoever asks for more gets as many.
pub const MOST: usize = 500;

/// Items looked at for one page of a narrowed list. A page may end before it is full: its `next_cursor` goes on.
const LOOKED_AT_MOST: usize = 5_000;

/// Bytes that a page has beside its items, mostly: names, brackets and a cursor.
const BESIDE_ITEMS: usize = 512;

/// Bytes of the check before a cursor's JSON: a cursor that was cut, mixed up or edited is noticed.
const CHECK: usize = 6;

/// What a caller asked of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<F> {
    /// Name of the list, with whose it is; a cursor of another one is refused.
    list: Cow<'static, str>,
    /// The filters, the caller's or the cursor's.
    pub filter: F,
    /// Where the last page ended.
    pub after: Option<Position>,
    /// Items at most.
    pub limit: usize,
}

/// What a cursor holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor<F> {
    list: String,
    filter: F,
    after: Position,
}

impl<F: Serialize + DeserializeOwned + Default + PartialEq> Listing<F> {
    /// Reads `limit` and `cursor` and ends the reading of the query; `given` are the filters read from it before.
    /// Filters may be repeated beside the cursor that was made with them.
    ///
    /// # Errors
    /// `invalid-parameter`.
    pub fn read(list: impl Into<Cow<'static, str>>, mut query: Query, given: F) -> Result<Self, Problem> {
        let list = list.into();
        let limit = match query.number("limit") {
            Some(0) => {
                query.refuse("limit", "must be at least 1");
                USUAL
            }
            Some(limit) => usize::try_from(limit).unwrap_or(MOST).min(MOST),
            None => USUAL,
        };
        let Some(text) = query.text("cursor") else {
            query.finish()?;
            return Ok(Self { list, filter: given, after: None, limit });
        };
        let cursor = decode::<F>(&text).filter(|cursor| cursor.list == list);
        match &cursor {
            None => query.refuse("cursor", "is no cursor of this list"),
            Some(cursor) if given != F::default() && given != cursor.filter => {
                query.refuse("cursor", "was made with other filters than those beside it");
            }
            Some(_) => {}
        }
        query.finish()?;
        match cursor {
            Some(cursor) => Ok(Self { list, filter: cursor.filter, after: Some(cursor.after), limit }),
            None => Err(Problem::internal("a refused cursor was let through")),
        }
    }

    /// The cursor for what follows `after`.
    ///
    /// # Errors
    /// Filters that do not serialise, which none of ours is.
    pub fn cursor(&self, after: &Position) -> Result<String, Problem> {
        let cursor = serde_json::json!({ "list": self.list, "filter": self.filter, "after": after });
        let json = cursor.to_string();
        let mut bytes = check(json.as_bytes()).to_vec();
        bytes.extend_from_slice(json.as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// A page whose items are written as `T`.
    ///
    /// # Errors
    /// As [`Listing::cursor`].
    pub fn answer<T: Serialize>(&self, items: &[T], next: Option<&Position>) -> Result<HttpResponse, Problem> {
        let items = items.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>().map_err(Problem::internal)?;
        self.answer_verbatim(items.iter().map(Vec::as_slice), next)
    }

    /// A page whose items are JSON already and go out as they are.
    ///
    /// # Errors
    /// As [`Listing::cursor`].
    pub fn answer_verbatim<'a>(
        &self,
        items: impl Iterator<Item = &'a [u8]> + Clone,
        next: Option<&Position>,
    ) -> Result<HttpResponse, Problem> {
        let mut body = Vec::with_capacity(items.clone().map(|item| item.len() + 1).sum::<usize>() + BESIDE_ITEMS);
        body.extend_from_slice(b"{\"items\":[");
        for (index, item) in items.enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(item);
        }
        body.push(b']');
        if let Some(next) = next {
            body.extend_from_slice(format!(",\"next_cursor\":\"{}\"", self.cursor(next)?).as_bytes());
        }
        body.push(b'}');
        Ok(HttpResponse::Ok().content_type("application/json").insert_header((header::CACHE_CONTROL, "no-store")).body(body))
    }
}

fn check(json: &[u8]) -> [u8; CHECK] {
    digest::sha256(&[b"yizhan cursor", json]).first_chunk().copied().unwrap_or_default()
}

fn decode<F: DeserializeOwned>(text: &str) -> Option<Cursor<F>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (sum, json) = bytes.split_first_chunk::<CHECK>()?;
    if *sum != check(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Gathers a page of those items that `keep` wants from a store that cannot filter by it. `fetch` gives the store's pages; one with fewer items than
/// asked for and a place to go on from ends this one too.
///
/// # Errors
/// Those of `fetch` and `keep`.
pub async fn gather<T, E>(
    limit: usize,
    after: Option<&Position>,
    fetch: impl AsyncFn(Option<&Position>, usize) -> Result<Page<T>, E>,
    keep: impl AsyncFn(&T) -> Result<bool, E>,
) -> Result<Page<T>, E> {
    let mut kept = Vec::new();
    let mut after = after.cloned();
    let mut looked_at = 0usize;
    loop {
        // Never more than still fit: a page can only be continued from where the store's own page ended.
        let wanted = limit.saturating_sub(kept.len());
        let page = fetch(after.as_ref(), wanted).await?;
        looked_at = looked_at.saturating_add(page.items.len());
        // The store has looked at as much as one page is worth: whoever wants more asks for the next.
        let ended_early = page.items.len() < wanted;
        for item in page.items {
            if keep(&item).await? {
                kept.push(item);
            }
        }
        after = page.next;
        if after.is_none() || ended_early || kept.len() >= limit || looked_at >= LOOKED_AT_MOST {
            return Ok(Page { items: kept, next: after });
        }
    }
}

/// A page of things that are all in memory, by name. One that went away meanwhile leaves no gap.
pub fn slice<T>(mut all: Vec<T>, name: impl Fn(&T) -> &str, after: Option<&Position>, limit: usize) -> Page<T> {
    if let Some(Position(last)) = after {
        all.retain(|item| name(item) > last.as_str());
    }
    all.sort_by(|one, other| name(one).cmp(name(other)));
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|item| Position(name(item).to_owned()));
    Page { items: all, next }
}
