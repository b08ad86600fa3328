//! When two facts are one: pure, every row of the rule.

use serde_json::json;
use yizhan::clock::Timestamp;
use yizhan::event_type::EventType;
use yizhan::inbox::fact::{Fact, Subject, Told};

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_795_158_000 + minute * 60).unwrap()
}

fn told(version: Option<&str>) -> Told {
    Told {
        kind: EventType::AuditFailed,
        version: version.map(str::to_owned),
        package_id: None,
        audit_id: None,
        at: at(0),
        learnt_at: at(0),
        since: None,
        derived: false,
        taken: false,
        sequence: 0,
    }
}

fn fact(told: Told) -> Fact {
    Fact { subject: Subject::Audit, authorizer: String::from("tt1"), always_stored: false, told }
}

/// A push of a verdict at that minute.
fn push(minute: i64, version: Option<&str>) -> Fact {
    fact(Told { at: at(minute), learnt_at: at(minute), ..told(version) })
}

/// A verdict found at that minute, of a submission of an earlier one.
fn found(submitted: i64, minute: i64) -> Fact {
    fact(Told { at: at(minute), learnt_at: at(minute), since: Some(at(submitted)), derived: true, ..told(Some("1.0.0")) })
}

fn is_told(before: &mut Vec<Told>, fact: &Fact) -> bool {
    fact.is_told(before).is_some()
}

#[test]
fn a_push_between_submission_and_finding_is_what_was_found_and_only_one_is() {
    let mut known = Vec::new();
    assert!(!is_told(&mut known, &found(10, 40)));
    assert!(is_told(&mut known, &push(20, None)), "the push names nothing but its time");
    assert!(!is_told(&mut known, &push(21, None)), "a second one is another fact");
    assert_eq!(known.len(), 2);
}

#[test]
fn a_push_from_before_the_submission_or_after_the_finding_is_new() {
    for minute in [5, 45] {
        let mut known = Vec::new();
        is_told(&mut known, &found(10, 40));
        assert!(!is_told(&mut known, &push(minute, Some("1.0.0"))), "{minute}");
    }
}

#[test]
fn pushes_are_never_held_against_each_other() {
    let mut known = Vec::new();
    assert!(!is_told(&mut known, &push(20, Some("1.0.0"))));
    assert!(!is_told(&mut known, &push(20, Some("1.0.0"))));
}

#[test]
fn what_differs_in_kind_or_in_an_id_is_another_fact() {
    let other = |change: fn(&mut Told)| {
        let mut fact = push(20, Some("1.0.0"));
        change(&mut fact.told);
        fact
    };
    for different in [
        other(|told| told.kind = EventType::AuditPassed),
        other(|told| told.version = Some(String::from("1.0.1"))),
        other(|told| told.package_id = Some(String::from("2"))),
        other(|told| told.audit_id = Some(String::from("2"))),
    ] {
        let mut earlier = found(10, 40);
        earlier.told.package_id = Some(String::from("1"));
        earlier.told.audit_id = Some(String::from("1"));
        let mut known = Vec::new();
        is_told(&mut known, &earlier);
        assert!(!is_told(&mut known, &different), "{different:?}");
    }
}

#[test]
fn the_number_of_an_audit_leaves_no_doubt_about_times() {
    let number = |mut fact: Fact| {
        fact.told.audit_id = Some(String::from("77"));
        fact
    };
    let mut known = Vec::new();
    is_told(&mut known, &number(found(10, 40)));
    assert!(is_told(&mut known, &number(push(400, Some("1.0.0")))), "a push that was late for hours");
}

#[test]
fn what_was_pushed_since_the_submission_is_not_found() {
    let mut known = Vec::new();
    is_told(&mut known, &push(20, None));
    assert!(is_told(&mut known, &found(10, 40)));
    assert!(!is_told(&mut known, &found(30, 60)), "a later submission");
    assert!(is_told(&mut known, &found(30, 90)), "found again");
    // The vendor's clock says before, ours says after: the zone of its times may be unknown, so it is told.
    let mut far = push(50, None);
    far.told.at = at(-400);
    assert!(!is_told(&mut known, &far));
    assert!(!is_told(&mut known, &found(45, 95)), "in doubt it is told");
}

#[test]
fn a_code_that_is_needed_is_stored_whatever_was_told() {
    let mut known = Vec::new();
    is_told(&mut known, &found(10, 40));
    let needed = Fact { always_stored: true, ..push(20, None) };
    assert!(!is_told(&mut known, &needed));
}

#[test]
fn only_the_last_ones_are_remembered_and_nonsense_is_no_fact() {
    let mut known = Vec::new();
    (0..100).for_each(|minute| assert!(!is_told(&mut known, &push(minute, None))));
    assert_eq!(known.len(), 16);
    assert_eq!(known.last().unwrap().at, at(99));
    let data = json!({"version": "1"}).as_object().unwrap().clone();
    let make = |authorizer: &str, kind| Fact::found(authorizer, kind, &data, at(0), None, at(0));
    assert!(make("tt1", EventType::BuildFailed).is_some());
    assert!(make("tt1", EventType::MessageReceived).is_none());
    assert!(make(&"x".repeat(129), EventType::AuditPassed).is_none(), "no app id is that long");
}

#[test]
fn a_withdrawal_that_was_found_before_a_newer_grant_came_is_not_told_after_it() {
    let grant = |kind, minute, derived: bool| Fact {
        subject: Subject::Grant,
        told: Told { kind, at: at(minute), learnt_at: at(minute), since: derived.then_some(at(0)), derived, ..told(None) },
        ..push(minute, None)
    };
    let granted = |minute| grant(EventType::AuthorizationGranted, minute, false);
    let gone = |minute| grant(EventType::AuthorizationRevoked, minute, true);
    let mut known = Vec::new();
    assert!(!is_told(&mut known, &granted(0)));
    assert!(!is_told(&mut known, &granted(30)));
    assert!(is_told(&mut known, &gone(20)), "the merchant granted after it was found");
    assert!(!is_told(&mut known, &gone(40)));
    assert!(is_told(&mut known, &gone(45)), "the same grant ends once");
    assert!(is_told(&mut known, &grant(EventType::AuthorizationRevoked, 35, false)), "the push of it");
}

#[test]
fn a_grant_that_a_browser_brought_is_the_one_that_a_push_tells_before_or_after() {
    let granted = EventType::AuthorizationGranted;
    // The browser came at 600; its grant is no older than 0, and it is told at 660.
    let came = || {
        let mut came = chapter(granted, 600, Some(0));
        came.told.learnt_at = at(11);
        came
    };
    for second in [500, 601] {
        let mut known = Vec::new();
        assert!(!is_told(&mut known, &chapter(granted, second, None)));
        assert!(is_told(&mut known, &came()), "pushed at {second}");
    }
    let mut known = Vec::new();
    assert!(!is_told(&mut known, &came()));
    assert!(is_told(&mut known, &came()), "told again");
    let late = |at_second| {
        let mut push = chapter(granted, at_second, None);
        push.told.learnt_at = at(60);
        push
    };
    assert!(is_told(&mut known, &late(598)), "its push, an hour late");
    assert!(!is_told(&mut known, &late(3000)), "the next grant");
    // The merchant granted again between the browser's return and the moment that was told, or soon after.
    for second in [631, 665] {
        let mut known = Vec::new();
        assert!(!is_told(&mut known, &came()));
        assert!(!is_told(&mut known, &late(second)), "pushed at {second}");
    }
}

#[test]
fn a_grant_that_a_list_tells_while_its_browsers_code_is_exchanged_is_one() {
    let (granted, revoked) = (EventType::AuthorizationGranted, EventType::AuthorizationRevoked);
    // The merchant granted at 590, or the list does not say when and was read at 603; the browser came at 600.
    let came = chapter(granted, 600, Some(0));
    let undated = Fact { told: Told { since: None, ..chapter(granted, 603, Some(0)).told }, ..came.clone() };
    for listed in [chapter(granted, 590, Some(590)), undated] {
        let mut known = Vec::new();
        assert!(!is_told(&mut known, &listed));
        assert!(is_told(&mut known, &came), "{listed:?}");
    }
    // Of long ago, of after that, or ended meanwhile: another one.
    for listed in [-100, 700] {
        let mut known = Vec::new();
        assert!(!is_told(&mut known, &chapter(granted, listed, Some(listed))));
        assert!(!is_told(&mut known, &came), "{listed}");
    }
    let mut known = Vec::new();
    assert!(!is_told(&mut known, &chapter(granted, 590, Some(590))));
    assert!(!is_told(&mut known, &chapter(revoked, 595, None)));
    assert!(!is_told(&mut known, &came));
    // Two ends that were found are two.
    let mut known = Vec::new();
    assert!(!is_told(&mut known, &chapter(revoked, 590, Some(100))));
    assert!(!is_told(&mut known, &chapter(revoked, 600, Some(590))));
}

#[test]
fn a_push_of_a_grant_or_end_after_the_opposite_is_not_what_was_found_before_that() {
    let (granted, revoked) = (EventType::AuthorizationGranted, EventType::AuthorizationRevoked);
    for (first, second) in [(granted, revoked), (revoked, granted)] {
        let mut known = Vec::new();
        assert!(!is_told(&mut known, &chapter(first, 600, Some(0))));
        assert!(!is_told(&mut known, &chapter(second, 610, None)));
        assert!(!is_told(&mut known, &chapter(first, 620, None)), "{first} once more");
        assert!(is_told(&mut known, &chapter(first, 598, None)), "{first} of before");
    }
}

/// What happened to a grant at that second: pushed then, or found then and so since an earlier one.
fn chapter(kind: EventType, second: i64, since: Option<i64>) -> Fact {
    let at = |second| at(0) + jiff::SignedDuration::from_secs(second);
    Fact {
        subject: Subject::Grant,
        told: Told { kind, at: at(second), learnt_at: at(second), since: since.map(at), derived: since.is_some(), ..told(None) },
        ..push(0, None)
    }
}

#[test]
fn a_push_of_an_earlier_grant_or_end_is_not_what_was_found_of_a_later_one() {
    let (granted, revoked) = (EventType::AuthorizationGranted, EventType::AuthorizationRevoked);
    // Withdrawn, granted again within seconds, and withdrawn unheard months later.
    let mut known = Vec::new();
    assert!(!is_told(&mut known, &chapter(revoked, 0, None)));
    assert!(!is_told(&mut known, &chapter(granted, 20, None)));
    let gone = chapter(revoked, 9_000_000, Some(20));
    assert!(!is_told(&mut known, &gone));
    assert!(is_told(&mut known, &gone), "told again, it is the same");
    // Granted, found gone within seconds, and back.
    let mut known = Vec::new();
    assert!(!is_told(&mut known, &chapter(granted, 0, None)));
    assert!(!is_told(&mut known, &chapter(revoked, 25, Some(0))));
    let back = chapter(granted, 500, Some(25));
    assert!(!is_told(&mut known, &back));
    assert!(is_told(&mut known, &back));
    // Without a word between them, the push is what was found, seconds or not.
    let mut known = Vec::new();
    assert!(!is_told(&mut known, &chapter(granted, 0, None)));
    assert!(is_told(&mut known, &chapter(granted, 500, Some(25))));
}
