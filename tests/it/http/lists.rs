//! Limits, cursors and narrowed pages.

use std::cell::Cell;

use serde_json::Value;
use yizhan::event_type::Glob;
use yizhan::http::list::{Listing, MOST, USUAL, gather, slice};
use yizhan::http::parameters::Query;
use yizhan::http::problem::Problem;
use yizhan::inbox::{EventFilter, Page, Position};

fn read(query: &str, filter: EventFilter) -> Result<Listing<EventFilter>, Problem> {
    Listing::read("events", Query::parse(query), filter)
}

fn audits() -> EventFilter {
    EventFilter { kind: Some(Glob::new("audit.*")), component: Some(Glob::new("douyin")), ..EventFilter::default() }
}

fn named(problem: &Problem, parameter: &str) -> bool {
    problem.kind().status() == 422 && problem.detail().contains(&format!("`{parameter}`"))
}

#[test]
fn a_limit_above_the_maximum_is_the_maximum() {
    assert_eq!(read("limit=100000", EventFilter::default()).unwrap().limit, MOST);
    assert_eq!(read("limit=99999999999999999999", EventFilter::default()).unwrap_err().kind().status(), 422);
    assert_eq!(read("limit=7", EventFilter::default()).unwrap().limit, 7);
    assert_eq!(read("", EventFilter::default()).unwrap().limit, USUAL);
}

#[test]
fn a_limit_that_is_no_number_is_named() {
    for limit in ["x", "-1", "0", "1.5", ""] {
        assert!(named(&read(&format!("limit={limit}"), EventFilter::default()).unwrap_err(), "limit"), "{limit:?}");
    }
}

#[test]
fn a_cursor_carries_the_filters_it_was_made_with() {
    let first = read("limit=2", audits()).unwrap();
    let cursor = first.cursor(&Position("17".into())).unwrap();
    let second = read(&format!("cursor={cursor}"), EventFilter::default()).unwrap();
    assert_eq!(second.filter, audits());
    assert_eq!(second.after, Some(Position("17".into())));
    let repeated = read(&format!("cursor={cursor}"), audits()).unwrap();
    assert_eq!(repeated, second);
}

#[test]
fn a_cursor_beside_other_filters_is_refused() {
    let cursor = read("", audits()).unwrap().cursor(&Position("17".into())).unwrap();
    let other = EventFilter { component: Some(Glob::new("baidu")), ..EventFilter::default() };
    assert!(named(&read(&format!("cursor={cursor}"), other).unwrap_err(), "cursor"));
}

#[test]
fn a_cursor_of_another_list_is_refused() {
    let cursor =
        Listing::<EventFilter>::read("others", Query::parse(""), EventFilter::default()).unwrap().cursor(&Position("17".into())).unwrap();
    assert!(named(&read(&format!("cursor={cursor}"), EventFilter::default()).unwrap_err(), "cursor"));
}

#[test]
fn a_damaged_cursor_is_refused_at_every_place() {
    let cursor = read("", audits()).unwrap().cursor(&Position("17".into())).unwrap();
    for at in 0..cursor.len() {
        let mut damaged: Vec<u8> = cursor.bytes().collect();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        let damaged = String::from_utf8(damaged).unwrap();
        assert!(named(&read(&format!("cursor={damaged}"), EventFilter::default()).unwrap_err(), "cursor"), "byte {at}");
        assert!(named(&read(&format!("cursor={}", &cursor[..at.max(1)]), EventFilter::default()).unwrap_err(), "cursor"), "cut at {at}");
    }
    for nonsense in ["%20", "%00%00", "%C3%28", "e30"] {
        assert!(named(&read(&format!("cursor={nonsense}"), EventFilter::default()).unwrap_err(), "cursor"), "{nonsense}");
    }
}

#[tokio::test]
async fn a_page_has_a_next_cursor_only_when_more_follows() {
    let listing = read("", EventFilter::default()).unwrap();
    let text = async |answer: actix_web::HttpResponse| {
        String::from_utf8(actix_web::body::to_bytes(answer.into_body()).await.unwrap().to_vec()).unwrap()
    };
    let last = text(listing.answer(&[1, 2], None).unwrap()).await;
    assert_eq!(last, r#"{"items":[1,2]}"#);
    let more: Value = serde_json::from_str(&text(listing.answer(&["a"], Some(&Position("5".into()))).unwrap()).await).unwrap();
    assert_eq!(
        read(&format!("cursor={}", more["next_cursor"].as_str().unwrap()), EventFilter::default()).unwrap().after,
        Some(Position("5".into()))
    );
}

#[tokio::test]
async fn items_that_are_json_go_out_byte_for_byte() {
    let listing = read("", EventFilter::default()).unwrap();
    let items: [&[u8]; 2] = [b"{\"n\": 12345678901234567890123}", "{\"b\":\"\u{4e2d}\\u4e2d\"}".as_bytes()];
    let answer = listing.answer_verbatim(items.into_iter(), None).unwrap();
    let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
    assert_eq!(body, "{\"items\":[{\"n\": 12345678901234567890123},{\"b\":\"\u{4e2d}\\u4e2d\"}]}".as_bytes());
}

/// A store of the numbers below `end`, whose positions are numbers.
async fn numbers(end: u32, after: Option<&Position>, limit: usize) -> Result<Page<u32>, ()> {
    let start = after.map_or(0, |position| position.0.parse().unwrap());
    let items: Vec<u32> = (start..end).take(limit).collect();
    let next = items.last().map(|last| last + 1).filter(|next| *next < end).map(|next| Position(next.to_string()));
    Ok(Page { items, next })
}

#[tokio::test]
async fn a_narrowed_list_shows_each_item_once_over_all_pages() {
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page =
            gather(4, after.as_ref(), async |after, limit| numbers(100, after, limit).await, async |n: &u32| Ok(n.is_multiple_of(7)))
                .await
                .unwrap();
        assert!(page.items.len() <= 4);
        seen.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, (0..100).filter(|n| n % 7 == 0).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_of_rare_items_looks_at_a_bounded_number() {
    let looked_at = Cell::new(0);
    let keep = async |_: &u32| {
        looked_at.set(looked_at.get() + 1);
        Ok(false)
    };
    let page = gather(500, None, async |after, limit| numbers(1_000_000, after, limit).await, keep).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_some(), "an empty page that goes on");
    assert!(looked_at.get() <= 5_500, "{}", looked_at.get());
}

/// A store that looks at only so much for one page goes no further because nobody wants what it found.
#[tokio::test]
async fn a_page_that_the_store_ends_early_ends_there() {
    let asked = Cell::new(0);
    let fetch = async |_: Option<&Position>, _: usize| {
        asked.set(asked.get() + 1);
        Ok::<_, ()>(Page { items: Vec::<u32>::new(), next: Some(Position(asked.get().to_string())) })
    };
    let page = gather(50, None, fetch, async |_: &u32| Ok(true)).await.unwrap();
    assert_eq!((asked.get(), page.items.len(), page.next), (1, 0, Some(Position("1".into()))));
}

#[test]
fn what_is_in_memory_is_paged_by_name() {
    let names = || vec!["delta", "alpha", "charlie", "bravo"];
    let first = slice(names(), |name| name, None, 2);
    assert_eq!(first.items, ["alpha", "bravo"]);
    let gone_meanwhile = names().into_iter().filter(|name| *name != "bravo").collect();
    let second = slice(gone_meanwhile, |name| name, first.next.as_ref(), 2);
    assert_eq!((second.items, second.next), (vec!["charlie", "delta"], None));
}
