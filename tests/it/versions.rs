//! Versions of authorizers: what follows from news, whatever their order, and where they are kept.

use serde_json::json;
use yizhan::clock::Timestamp;
use yizhan::event_type::EventType;
use yizhan::inbox::Event;
use yizhan::versions::{Change, News, Standing, VersionBook, VersionNote, VersionShelf, Versions};

use crate::log::world::{World, arrival};

fn at(minute: u32) -> Timestamp {
    format!("2026-11-20T{:02}:{:02}:00Z", minute / 60, minute % 60).parse().unwrap()
}

fn note(version: &str, minute: u32) -> VersionNote {
    VersionNote { version: Some(version.to_owned()), at: at(minute), ..VersionNote::default() }
}

fn unnamed(minute: u32) -> VersionNote {
    VersionNote { at: at(minute), ..VersionNote::default() }
}

fn package(id: &str, minute: u32) -> VersionNote {
    VersionNote { package_id: Some(id.to_owned()), at: at(minute), ..VersionNote::default() }
}

fn after(news: &[News]) -> Versions {
    news.iter().fold(Versions::default(), |versions, news| versions.learn(news))
}

/// The numbers in released, previous, approved, in audit, uploaded.
fn numbers(versions: &Versions) -> [&str; 5] {
    let slots = [&versions.released, &versions.previous, &versions.approved, &versions.in_audit, &versions.uploaded];
    slots.map(|slot| slot.as_ref().map_or("-", |note| note.version.as_deref().unwrap_or("?")))
}

#[test]
fn a_version_goes_from_its_upload_to_its_release_and_back() {
    let mut news = vec![News::Uploaded(note("1", 0)), News::Submitted(unnamed(1))];
    assert_eq!(numbers(&after(&news)), ["-", "-", "-", "1", "1"], "a submission that names nothing is of what was uploaded last");
    news.push(News::Passed(note("1", 2)));
    assert_eq!(numbers(&after(&news)), ["-", "-", "1", "-", "1"]);
    news.push(News::Released(unnamed(3)));
    assert_eq!(numbers(&after(&news)), ["1", "-", "-", "-", "1"]);
    news.extend([News::Uploaded(note("2", 20)), News::Submitted(note("2", 21)), News::Failed(unnamed(22))]);
    assert_eq!(numbers(&after(&news)), ["1", "-", "-", "-", "2"]);
    news.extend([News::Submitted(note("2", 23)), News::Passed(note("2", 24)), News::Released(note("2", 25))]);
    assert_eq!(numbers(&after(&news)), ["2", "1", "-", "-", "2"]);
    news.push(News::RolledBack(at(26), None));
    assert_eq!(numbers(&after(&news)), ["1", "-", "-", "-", "2"]);
    news.push(News::RolledBack(at(27), None));
    assert_eq!(after(&news).released, None, "to what, nobody told");
    let told = [News::Released(note("1", 0)), News::RolledBack(at(1), Some(note("0", 1)))];
    assert_eq!(numbers(&after(&told)), ["0", "-", "-", "-", "-"]);
    let offline = [News::Released(note("1", 0)), News::Offline(note("2", 1)), News::Offline(note("1", 2))];
    assert_eq!(numbers(&after(&offline[..2]))[0], "1", "another version went offline");
    assert_eq!(after(&offline).released, None);
}

#[test]
fn news_told_twice_changes_nothing() {
    let news = [
        News::Uploaded(note("1", 0)),
        News::Submitted(note("1", 1)),
        News::Passed(note("1", 2)),
        News::Released(note("1", 3)),
        News::Listed(vec![(Standing::Released, note("1", 4))]),
        News::Seen(Standing::Released, note("1", 5)),
        News::Offline(note("1", 6)),
    ];
    for told in 0..news.len() {
        let once = after(&news[..=told]);
        assert_eq!(once.clone().learn(&news[told]), once, "{:?}", news[told]);
    }
    let released = after(&news[..6]);
    assert_eq!(released.released.as_ref().unwrap().at, at(3), "a look does not make it newer");
}

#[test]
fn late_news_and_news_of_another_version_changes_nothing() {
    let standing = after(&[News::Submitted(note("2", 60))]);
    for news in [
        News::Failed(note("1", 61)),
        News::Withdrawn(note("1", 61)),
        // The first submission of the same version failed an hour ago; its push comes only now.
        News::Failed(note("2", 1)),
        News::Passed(note("2", 1)),
        News::Submitted(note("1", 1)),
        News::Passed(unnamed(1)),
    ] {
        assert_eq!(standing.clone().learn(&news), standing, "{news:?}");
    }
    let clock_behind = standing.learn(&News::Passed(note("2", 55)));
    assert_eq!(numbers(&clock_behind)[2..], ["2", "-", "-"], "a vendor's clock may be some minutes behind");
    let released = after(&[News::Released(note("2", 60))]);
    for news in [News::Passed(note("2", 59)), News::Released(note("1", 1)), News::RolledBack(at(1), None)] {
        assert_eq!(released.clone().learn(&news), released, "{news:?}");
    }
    assert_eq!(after(&[News::Passed(unnamed(1))]), Versions::default());
}

#[test]
fn an_event_that_names_no_version_is_not_about_what_was_submitted_after_it_came() {
    let standing = after(&[News::Submitted(note("1", 0)), News::Released(note("1", 5)), News::Submitted(note("2", 6))]);
    for news in [News::Passed(unnamed(4)), News::Failed(unnamed(4))] {
        // The log was read late: what passed was version 1.
        assert_eq!(standing.clone().hear(&news, at(5)), standing, "{news:?}");
        assert_eq!(numbers(&standing.clone().hear(&news, at(7)))[3], "-", "{news:?}: whatever the vendor's clock says");
    }
    assert_eq!(numbers(&standing.clone().hear(&News::Passed(note("2", 4)), at(5)))[2..4], ["2", "-"], "this one names it");
}

#[test]
fn ids_and_numbers_of_one_package_come_together() {
    let uploaded = VersionNote { package_id: Some(String::from("77")), ..note("1.0", 0) };
    let versions = after(&[
        News::Uploaded(uploaded),
        News::Submitted(VersionNote { audit_id: Some(String::from("5")), ..package("77", 1) }),
        News::Passed(note("1.0", 2)),
    ]);
    let approved = versions.approved.clone().unwrap();
    let told = (approved.version.as_deref(), approved.package_id.as_deref(), approved.audit_id.as_deref());
    assert_eq!(told, (Some("1.0"), Some("77"), Some("5")));
    let other = versions.learn(&News::Withdrawn(package("78", 3)));
    assert!(other.approved.is_some());
}

#[test]
fn a_list_mends_whatever_was_missed() {
    let missed = after(&[News::Submitted(note("2", 1)), News::Released(note("1", 0))]);
    let list = vec![
        (Standing::Elsewhere, package("9", 5)),
        (Standing::Released, VersionNote { package_id: Some(String::from("8")), ..note("2", 5) }),
        (Standing::Uploaded, VersionNote { package_id: Some(String::from("10")), ..note("4", 5) }),
        (Standing::Uploaded, VersionNote { package_id: Some(String::from("11")), ..note("5", 5) }),
        (Standing::Uploaded, VersionNote { package_id: Some(String::from("9")), ..note("3", 5) }),
    ];
    let mended = missed.clone().learn(&News::Listed(list));
    assert_eq!(numbers(&mended), ["2", "-", "-", "-", "5"]);
    assert_eq!(missed.clone().learn(&News::Listed(Vec::new())), missed, "a list of nothing tells nothing");
    let seen = missed.learn(&News::Seen(Standing::Approved, note("2", 3)));
    assert_eq!(numbers(&seen), ["1", "-", "2", "-", "-"]);
    assert_eq!(numbers(&seen.learn(&News::Seen(Standing::Elsewhere, note("2", 4))))[2], "-");
}

#[tokio::test]
async fn versions_survive_the_process_and_nobody_overwrites_anybody() {
    let world = World::new();
    let versions = after(&[News::Uploaded(note("1", 0))]);
    {
        let log = world.open();
        assert_eq!(VersionShelf::get(&*log, "shop", "tt1").await.unwrap(), None);
        let put = |component, authorizer, versions: &Versions, over| Change { component, authorizer, versions: versions.clone(), over };
        let none = Versions::default();
        assert!(log.put_all(&[put("shop", "tt1", &versions, None)]).await.unwrap());
        assert!(!log.put_all(&[put("shop", "tt1", &none, None)]).await.unwrap(), "it is there already");
        let both = [put("shop", "tt2", &none, None), put("shop", "tt1", &none, Some(2))];
        assert!(!log.put_all(&both).await.unwrap(), "another revision: neither is written");
        assert_eq!(VersionShelf::get(&*log, "shop", "tt2").await.unwrap(), None);
        let all = [put("shop", "tt3", &versions, None), put("shop", "tt2", &versions, None), put("shop2", "tt0", &versions, None)];
        assert!(log.put_all(&all).await.unwrap());
    }
    let log = world.open();
    let kept = VersionShelf::get(&*log, "shop", "tt1").await.unwrap().unwrap();
    assert_eq!((kept.versions, kept.revision), (versions.clone(), 1));
    let names = async |after: Option<&str>, limit| {
        let page = VersionShelf::page(&*log, "shop", after, limit).await.unwrap();
        page.into_iter().map(|(app_id, _)| app_id).collect::<Vec<_>>()
    };
    assert_eq!(names(None, 2).await, ["tt1", "tt2"]);
    assert_eq!(names(Some("tt2"), 2).await, ["tt3"], "and nothing of another component");
    assert_eq!(names(Some("tt3"), 2).await, Vec::<String>::new());
}

#[tokio::test]
async fn events_are_noted_for_their_authorizer_even_when_many_come_at_once() {
    let world = World::new();
    let log = world.open();
    let book = VersionBook::new(log.clone());
    let event = |kind: EventType, authorizer: Option<&str>, data: serde_json::Value| Event {
        kind,
        body: json!({"data": data}).to_string().into(),
        ..arrival("", authorizer, at(0), &[]).event
    };
    let passed: Vec<_> = (0..20)
        .map(|number| event(EventType::AuditPassed, Some("tt1"), json!({"version": format!("1.0.{number}"), "package_id": null})))
        .collect();
    let heard = futures_util::future::join_all(passed.iter().map(|event| book.heard(std::slice::from_ref(event)))).await;
    assert!(heard.into_iter().all(|heard| heard.is_ok()));
    assert!(VersionShelf::get(&*log, "douyin", "tt1").await.unwrap().unwrap().revision >= 1);
    book.heard(&[event(EventType::ReleaseChanged, Some("tt1"), json!({"version": "1.0.3", "state": "online"}))]).await.unwrap();
    assert_eq!(numbers(&book.of("douyin", "tt1").await.unwrap())[0], "1.0.3");
    let together = [("1", "tt3"), ("2", "tt4"), ("3", "tt3")];
    let together = together.map(|(version, authorizer)| event(EventType::AuditPassed, Some(authorizer), json!({"version": version})));
    book.heard(&together).await.unwrap();
    for (authorizer, approved) in [("tt3", "3"), ("tt4", "2")] {
        assert_eq!(numbers(&book.of("douyin", authorizer).await.unwrap())[2], approved, "the last one that was told");
    }
    for odd in [
        event(EventType::AuditPassed, None, json!({"version": "1"})),
        event(EventType::AuditPassed, Some("tt2"), json!("no object")),
        event(EventType::AuditPassed, Some("tt2"), json!({"version": ["1"]})),
        event(EventType::ReleaseChanged, Some("tt2"), json!({"version": "1"})),
        event(EventType::BuildSucceeded, Some("tt2"), json!({"version": " "})),
        event(EventType::TicketReceived, Some("tt2"), json!({"version": "1"})),
        event(EventType::AuditPassed, Some("t\0t"), json!({"version": "1"})),
    ] {
        book.heard(&[odd]).await.unwrap();
    }
    assert_eq!(VersionShelf::get(&*log, "douyin", "tt2").await.unwrap(), None);
}
