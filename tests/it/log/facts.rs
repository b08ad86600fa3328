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
