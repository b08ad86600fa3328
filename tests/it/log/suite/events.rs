//! Events: stored once, paged, filtered, followed.

use std::collections::HashSet;

use jiff::SignedDuration;
use yizhan::event_type::{EventType, Glob};
use yizhan::fanout::delivery::Status;
use yizhan::inbox::{Accepted, EventFilter, EventId, message_hash};

use super::{Ports, arrival, key};

pub async fn what_was_stored_is_read_back_unchanged(log: Ports) {
    let event = log.put("a", Some("tt1"), &[]).await;
    assert_eq!(log.events.event(event.id).await.unwrap(), Some(event.clone()));
    let mut odd = arrival("b", None, log.now(), &[]);
    odd.event.component = "界".repeat(300);
    odd.event.authorizer = Some("x".repeat(70_000));
    odd.event.time = "0001-01-01T00:00:00Z".parse().unwrap();
    let odd = log.put_arrival(odd).await;
    assert_eq!(log.events.event(odd.id).await.unwrap(), Some(odd.clone()));
    let filter = EventFilter { authorizer: Some(Glob::new("x".repeat(70_000))), ..EventFilter::default() };
    assert_eq!(log.events.page(&filter, None, 10).await.unwrap().items, std::slice::from_ref(&odd));
    assert_eq!(log.events.last_received(&odd.component, None).await.unwrap(), Some(odd.received_at));
    assert_eq!(log.events.event(EventId(uuid::Uuid::new_v4())).await.unwrap(), None);
    assert_eq!(odd.sequence, event.sequence + 1);
}

pub async fn duplicates_in_parallel_are_one_event(log: Ports) {
    let pushes = (0..200).map(|number| {
        let arrival = arrival(&format!("{}", number % 20), None, log.now(), &["bot"]);
        let events = log.events.clone();
        tokio::spawn(async move { events.accept(arrival).await.unwrap() })
    });
    let mut fresh = HashSet::new();
    for push in pushes.collect::<Vec<_>>() {
        if let Accepted::Fresh(sequence) = push.await.unwrap() {
            assert!(fresh.insert(sequence));
        }
    }
    assert_eq!(fresh.len(), 20);
    assert_eq!(log.events.count(&EventFilter::default()).await.unwrap(), 20);
    assert_eq!(log.outbox.depth("bot").await.unwrap().pending, 20);
    assert_eq!(log.events.accept(arrival("7", None, log.now(), &[])).await.unwrap(), Accepted::Seen);
}

pub async fn the_newest_sequence_is_announced(log: Ports) {
    let mut newest = log.events.newest();
    assert_eq!(*newest.borrow_and_update(), 0);
    log.put("a", None, &[]).await;
    newest.changed().await.unwrap();
    assert_eq!(*newest.borrow_and_update(), 1);
    assert_eq!(log.events.following(0, 10).await.unwrap().events.len(), 1);
}

pub async fn a_page_of_large_events_ends_before_it_is_full(log: Ports) {
    let large = bytes::Bytes::from(format!("\"{}\"", "x".repeat(500_000)));
    for number in 0..30 {
        let mut arrival = arrival(&number.to_string(), Some("tt1"), log.now(), &[]);
        arrival.event.body = large.clone();
        log.put_arrival(arrival).await;
    }
    for filter in [EventFilter::default(), EventFilter { authorizer: Some(Glob::new("tt1")), ..EventFilter::default() }] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = log.events.page(&filter, after.as_ref(), 500).await.unwrap();
            assert!((1..=10).contains(&page.items.len()), "{} of half a megabyte each", page.items.len());
            seen.extend(page.items.iter().map(|event| event.sequence));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(seen.iter().rev().copied().eq(1..=30), "{seen:?}");
    }
}

pub async fn pages_run_from_new_to_old_and_stay_stable_while_events_arrive(log: Ports) {
    for number in 0..7 {
        log.put(&number.to_string(), Some("tt1"), &[]).await;
    }
    for filter in [EventFilter::default(), EventFilter { authorizer: Some(Glob::new("tt1")), ..EventFilter::default() }] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = log.events.page(&filter, after.as_ref(), 3).await.unwrap();
            seen.extend(page.items.iter().map(key));
            log.put(&format!("new {} {:?}", seen.len(), filter.authorizer), Some("tt1"), &[]).await;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        seen.retain(|key| !key.starts_with("new"));
        assert_eq!(seen, ["6", "5", "4", "3", "2", "1", "0"]);
    }
    let all = log.events.count(&EventFilter::default()).await.unwrap() as usize;
    let page = log.events.page(&EventFilter::default(), None, all).await.unwrap();
    assert_eq!((page.items.len(), page.next), (all, None), "a page that holds everything is the last one");
}

pub async fn each_filter_finds_its_own(log: Ports) {
    for number in 0..30 {
        let mut arrival = arrival(&number.to_string(), Some(["tt1", "tt2", "tt3"][number % 3]), log.now(), &[]);
        if number % 5 == 0 {
            (arrival.event.component, arrival.event.platform) = (String::from("baidu-1"), String::from("baidu"));
        }
        if number % 7 == 0 {
            arrival.event.kind = EventType::AuditFailed;
        }
        if number == 4 {
            arrival.event.authorizer = None;
        }
        log.put_arrival(arrival).await;
        log.advance(60);
    }
    let glob = |text: &str| Some(Glob::new(text));
    let start = super::super::world::start();
    let at = |minute: i64| Some(start + SignedDuration::from_mins(minute));
    let all = EventFilter::default();
    let cases = [
        (all.clone(), 30),
        (EventFilter { authorizer: glob("tt1"), ..all.clone() }, 10),
        (EventFilter { authorizer: glob("tt*"), ..all.clone() }, 29),
        (EventFilter { authorizer: glob("nobody"), ..all.clone() }, 0),
        (EventFilter { component: glob("baidu-1"), ..all.clone() }, 6),
        (EventFilter { component: glob("baidu*"), ..all.clone() }, 6),
        (EventFilter { platform: glob("douyin"), ..all.clone() }, 24),
        (EventFilter { kind: glob("audit.failed"), ..all.clone() }, 5),
        (EventFilter { kind: glob("audit.*"), ..all.clone() }, 30),
        (EventFilter { kind: glob("audit.failed"), component: glob("baidu-1"), ..all.clone() }, 1),
        (EventFilter { kind: glob("audit.failed"), authorizer: glob("tt1"), ..all.clone() }, 2),
        (EventFilter { since: at(10), until: at(20), ..all.clone() }, 10),
        (EventFilter { since: at(10), until: at(20), authorizer: glob("tt2"), ..all.clone() }, 4),
        (EventFilter { since: at(29), ..all.clone() }, 1),
        (EventFilter { until: at(0), ..all.clone() }, 0),
        (EventFilter { q: Some(String::from("\"12\"")), ..all.clone() }, 1),
        (EventFilter { q: Some(String::from("nothing")), ..all.clone() }, 0),
    ];
    for (filter, expected) in cases {
        assert_eq!(log.events.count(&filter).await.unwrap(), expected, "{filter:?}");
        let page = log.events.page(&filter, None, 100).await.unwrap();
        assert_eq!(page.items.len() as u64, expected, "{filter:?}");
        assert!(page.items.iter().all(|event| filter.fits(event)) && page.next.is_none());
        assert!(page.items.is_sorted_by(|a, b| a.sequence > b.sequence));
    }
    assert_eq!(log.events.last_received("douyin", Some("tt1")).await.unwrap(), at(27));
    assert_eq!(log.events.last_received("baidu-1", Some("tt1")).await.unwrap(), at(15));
    assert_eq!(log.events.last_received("baidu-1", None).await.unwrap(), at(25));
    assert_eq!(log.events.last_received("kuaishou", None).await.unwrap(), None);
}

pub async fn times_are_found_also_where_an_event_came_late(log: Ports) {
    let start = log.now();
    for day in 0..4 {
        for number in 0..5 {
            log.put(&format!("{day}.{number}"), None, &[]).await;
            log.advance(600);
        }
        log.advance(86_400);
    }
    // A refused push of the first day, opened on the fifth.
    log.put_arrival(arrival("late", None, start + SignedDuration::from_mins(15), &[])).await;
    log.put("newest", None, &[]).await;
    let within = async |from: i64, to: i64| {
        let (since, until) = (start + SignedDuration::from_mins(from), start + SignedDuration::from_mins(to));
        let filter = EventFilter { since: Some(since), until: Some(until), ..EventFilter::default() };
        log.events.page(&filter, None, 100).await.unwrap().items.iter().map(key).collect::<Vec<_>>()
    };
    assert_eq!(within(10, 30).await, ["late", "0.2", "0.1"]);
    assert_eq!(within(0, 1).await, ["0.0"]);
    assert_eq!(within(11, 19).await, ["late"]);
    assert_eq!(within(24 * 60, 26 * 60).await, ["1.4", "1.3", "1.2", "1.1", "1.0"]);
}

pub async fn events_are_followed_from_any_sequence(log: Ports) {
    for number in 0..10 {
        log.put(&number.to_string(), None, &[]).await;
        log.advance(20_000);
    }
    let followed = log.events.following(0, 4).await.unwrap().events;
    assert_eq!(followed.iter().map(key).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    let followed = log.events.following(followed[3].sequence, 100).await.unwrap().events;
    assert_eq!(followed.iter().map(key).collect::<Vec<_>>(), ["4", "5", "6", "7", "8", "9"]);
    assert!(log.events.following(followed[5].sequence, 100).await.unwrap().events.is_empty());
    assert!(log.events.following(u64::MAX, 100).await.unwrap().events.is_empty());
}

pub async fn events_are_found_by_the_state_of_their_deliveries(log: Ports) {
    for number in 0..6 {
        log.put(&number.to_string(), None, &["bot"]).await;
    }
    log.put("unheard", None, &[]).await;
    let claimed = log.first("bot", 4).await;
    log.deliver(&claimed[0]).await;
    log.bury(&claimed[1]).await;
    log.fail(&claimed[2], 60).await;
    let with = async |status| {
        let filter = EventFilter { status: Some(status), ..EventFilter::default() };
        let page = log.events.page(&filter, None, 100).await.unwrap();
        assert_eq!(log.events.count(&filter).await.unwrap(), page.items.len() as u64);
        page.items.iter().map(key).collect::<Vec<_>>()
    };
    assert_eq!(with(Status::Delivered).await, ["0"]);
    assert_eq!(with(Status::Dead).await, ["1"]);
    assert_eq!(with(Status::Pending).await, ["5", "4", "3", "2"]);
    assert!(with(Status::Cancelled).await.is_empty());
}

pub async fn an_id_that_says_nothing_of_its_message_is_found_too(log: Ports) {
    let mut odd = arrival("a", Some("tt1"), log.now(), &["bot"]);
    odd.event.id = EventId(uuid::Uuid::now_v7());
    let odd = log.put_arrival(odd).await;
    let usual = log.put("b", Some("tt1"), &["bot"]).await;
    assert_eq!(log.events.event(odd.id).await.unwrap(), Some(odd.clone()));
    assert_eq!(log.events.event(usual.id).await.unwrap(), Some(usual.clone()));
    // Of the same message, but of another moment: no event has it.
    let later = EventId::of_message(log.now() + SignedDuration::from_secs(1), &message_hash("douyin\nb"));
    assert_eq!(later.message_prefix(), usual.id.message_prefix());
    assert_eq!(log.events.event(later).await.unwrap(), None);
    let claimed = log.first("bot", 2).await;
    assert_eq!(claimed.iter().map(|one| one.event.id).collect::<Vec<_>>(), [odd.id, usual.id]);
    for one in &claimed {
        assert_eq!(log.outbox.delivery(one.delivery.id).await.unwrap().unwrap(), one.delivery);
    }
}

pub async fn what_came_at_once_is_found_by_component_and_by_type(log: Ports) {
    const KINDS: [EventType; 3] = [EventType::AuditPassed, EventType::AuditFailed, EventType::AuthorizationRevoked];
    const COMPONENTS: [&str; 4] = ["douyin", "douyin2", "baidu", "alipay"];
    for round in 0..3 {
        let pushes = (0..240).map(|number| {
            let mut arrival = arrival(&format!("{round} {number}"), Some("tt1"), log.now(), &[]);
            arrival.event.component = COMPONENTS[number % 4].to_owned();
            arrival.event.kind = KINDS[number % 3];
            let events = log.events.clone();
            tokio::spawn(async move { events.accept(arrival).await.unwrap() })
        });
        for push in pushes.collect::<Vec<_>>() {
            push.await.unwrap();
        }
        log.put(&format!("alone {round}"), None, &[]).await;
        log.advance(3600);
    }
    let all = log.events.following(0, 1000).await.unwrap().events;
    let now = log.now();
    for (component, kind, since, until) in [
        (Some("douyin"), None, None, None),
        (Some("baidu"), None, Some(3), Some(1)),
        (None, Some(EventType::AuditFailed), None, None),
        (None, Some(EventType::AuditPassed), Some(2), None),
        (Some("alipay"), Some(EventType::AuthorizationRevoked), None, Some(2)),
        (Some("douy"), None, None, None),
    ] {
        let hours = |hours: Option<i64>| hours.map(|hours| now - SignedDuration::from_mins(hours * 60 + 1));
        let filter = EventFilter {
            component: component.map(Glob::new),
            kind: kind.map(|kind: EventType| Glob::new(kind.as_str())),
            since: hours(since),
            until: hours(until),
            ..EventFilter::default()
        };
        let mut expected: Vec<u64> = all.iter().filter(|event| filter.fits(event)).map(|event| event.sequence).collect();
        expected.reverse();
        assert_eq!(expected.is_empty(), component == Some("douy"), "{filter:?}");
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = log.events.page(&filter, after.as_ref(), 7).await.unwrap();
            found.extend(page.items.iter().map(|event| event.sequence));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!(log.events.count(&filter).await.unwrap(), expected.len() as u64, "{filter:?}");
    }
    let newest = all.iter().rfind(|event| event.component == "alipay").unwrap();
    assert_eq!(log.events.last_received("alipay", None).await.unwrap(), Some(newest.received_at));
}

pub async fn a_clock_that_was_ahead_for_a_while_makes_no_message_new(log: Ports) {
    let before = log.now();
    log.put("a", None, &[]).await;
    log.advance(400 * 86_400);
    log.put("ahead", None, &[]).await;
    log.clock.advance(SignedDuration::from_secs(60) - log.now().duration_since(before));
    let put = async |key: &str| log.events.accept(arrival(key, None, log.now(), &[])).await.unwrap();
    assert!(matches!(put("b").await, Accepted::Fresh(3)));
    for key in ["a", "ahead", "b"] {
        assert_eq!(put(key).await, Accepted::Seen, "{key}");
    }
}
