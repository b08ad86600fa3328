//! Facts as the log keeps them: written with their event, read as they were told, the newest sixteen of each subject.

use yizhan::clock::Timestamp;
use yizhan::event_type::EventType;
use yizhan::inbox::fact::{Fact, Subject, Told};
use yizhan::inbox::{Accepted, EventLog};
use yizhan::reconcile::Ledger;

use super::world::{World, arrival, start};

fn told(number: usize, derived: bool) -> Told {
    let at: Timestamp = start() + jiff::SignedDuration::from_secs(i64::try_from(number).unwrap());
    Told {
        kind: EventType::AuditFailed,
        version: number.is_multiple_of(2).then(|| format!("1.0.{number}")),
        package_id: number.is_multiple_of(3).then(|| number.to_string()),
        audit_id: Some(String::new()).filter(|_| number.is_multiple_of(5)),
        at,
        learnt_at: at + jiff::SignedDuration::from_nanos(123_456_789),
        since: derived.then(|| at - jiff::SignedDuration::from_hours(1)),
        derived,
        taken: false,
        sequence: 0,
    }
}

async fn tell(log: &dyn EventLog, number: usize, told: Told) -> Accepted {
    let fact = Fact { subject: Subject::Audit, authorizer: String::from("tt1"), always_stored: false, told };
    let mut arrival = arrival(&format!("{number}"), Some("tt1"), start(), &[]);
    arrival.fact = Some(fact);
    log.accept(arrival).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_are_read_as_they_were_told_and_the_newest_sixteen_are_kept() {
    let world = World::new();
    let log = world.open();
    for number in 1..=20 {
        assert!(matches!(tell(&*log, number, told(number, false)).await, Accepted::Fresh(_)));
    }
    let expected: Vec<Told> = (5..=20).map(|number| Told { sequence: u64::try_from(number).unwrap(), ..told(number, false) }).collect();
    assert_eq!(log.told("douyin", "tt1", Subject::Audit).await.unwrap(), expected);
    assert!(log.told("douyin", "tt2", Subject::Audit).await.unwrap().is_empty());
    drop(log);
    let log = world.open();
    assert_eq!(log.told("douyin", "tt1", Subject::Audit).await.unwrap(), expected, "after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_held_against_what_was_found_however_many_pushes_came_between() {
    let world = World::new();
    let log = world.open();
    let found = Told { audit_id: Some(String::from("a7")), ..told(1, true) };
    assert!(matches!(tell(&*log, 1, found.clone()).await, Accepted::Fresh(1)));
    for number in 2..=9 {
        let other = Told { audit_id: Some(format!("b{number}")), ..told(number, false) };
        assert!(matches!(tell(&*log, number, other).await, Accepted::Fresh(_)));
    }
    let pushed = Told { derived: false, since: None, ..found.clone() };
    assert_eq!(tell(&*log, 10, pushed.clone()).await, Accepted::Seen);
    let kept = log.told("douyin", "tt1", Subject::Audit).await.unwrap();
    assert_eq!(kept.len(), 9);
    assert_eq!(kept.first(), Some(&Told { taken: true, sequence: 1, ..found }));
    // At most one push is taken for what was found.
    assert!(matches!(tell(&*log, 11, pushed).await, Accepted::Fresh(10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_any_length_does_not_spoil_the_others() {
    let world = World::new();
    let log = world.open();
    for (number, length) in [(1, 256), (2, 257), (3, 70_000)] {
        let long = Told { version: Some("9".repeat(length)), package_id: Some(String::from("7")), ..told(1, false) };
        assert!(matches!(tell(&*log, number, long).await, Accepted::Fresh(_)));
    }
    let kept = log.told("douyin", "tt1", Subject::Audit).await.unwrap();
    let versions: Vec<Option<usize>> = kept.iter().map(|told| told.version.as_ref().map(String::len)).collect();
    assert_eq!(versions, [Some(256), None, None], "what is that long is no version");
    assert!(kept.iter().all(|told| told.package_id.as_deref() == Some("7")));
}

fn push(number: usize, version: &str) -> Told {
    Told { version: Some(version.to_owned()), package_id: None, audit_id: None, ..told(number, false) }
}

/// Found after that push, about the same.
fn finding(push: &Told) -> Told {
    let since = push.at - jiff::SignedDuration::from_secs(60);
    Told { learnt_at: push.learnt_at + jiff::SignedDuration::from_secs(60), since: Some(since), derived: true, ..push.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_held_against_what_pushes_told_before_and_after_a_restart() {
    let world = World::new();
    let log = world.open();
    for number in 1..=20 {
        assert!(matches!(tell(&*log, number, push(number, &format!("2.0.{number}"))).await, Accepted::Fresh(_)));
    }
    assert_eq!(tell(&*log, 31, finding(&push(20, "2.0.20"))).await, Accepted::Seen);
    assert!(matches!(tell(&*log, 32, finding(&push(21, "2.0.21"))).await, Accepted::Fresh(21)), "no push told it");
    drop(log);
    let log = world.open();
    assert_eq!(tell(&*log, 33, finding(&push(19, "2.0.19"))).await, Accepted::Seen);
    assert_eq!(tell(&*log, 34, push(21, "2.0.21")).await, Accepted::Seen, "it was found before it came");
    assert_eq!(log.told("douyin", "tt1", Subject::Audit).await.unwrap().last().unwrap().sequence, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_together_with_its_push_is_told_once() {
    let world = World::new();
    let log = world.open();
    for round in 0..50 {
        let version = format!("3.0.{round}");
        let (pushed, found) = (push(round, &version), finding(&push(round, &version)));
        let (one, other) = (format!("{round}"), format!("{round} again"));
        let arrive = async |mark: &str, told: Told| {
            let mut arrival = arrival(mark, Some("tt7"), start(), &[]);
            arrival.fact = Some(Fact { subject: Subject::Audit, authorizer: String::from("tt7"), always_stored: false, told });
            log.accept(arrival).await.unwrap()
        };
        let both = <[Accepted; 2]>::from(tokio::join!(arrive(&one, pushed), arrive(&other, found)));
        assert_eq!(both.iter().filter(|accepted| **accepted == Accepted::Seen).count(), 1, "round {round}: {both:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorizer_of_two_components_has_two_lives() {
    let world = World::new();
    let log = world.open();
    assert!(matches!(tell(&*log, 1, push(1, "1.0.0")).await, Accepted::Fresh(_)));
    let mut other = arrival("other", Some("tt1"), start(), &[]);
    other.event.component = String::from("second");
    other.fact =
        Some(Fact { subject: Subject::Audit, authorizer: String::from("tt1"), always_stored: false, told: finding(&push(1, "1.0.0")) });
    assert!(matches!(log.accept(other).await.unwrap(), Accepted::Fresh(2)));
    assert_eq!(log.told("second", "tt1", Subject::Audit).await.unwrap().len(), 1);
    assert!(log.told("douyin", "tt1", Subject::Build).await.unwrap().is_empty(), "and what is another subject is not held against it");
}
