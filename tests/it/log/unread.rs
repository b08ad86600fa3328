//! Records past damage of whole blocks: what can be read is there, and what cannot is told by whatever still names it.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use yizhan::inbox::{EventId, Position};
use yizhan::playbook::book::{PlaybookShelf, Stored};
use yizhan::playbook::run::{self, Run, RunLog};
use yizhan::rollout::record::{Item, Rollout, RolloutId};
use yizhan::rollout::shelf::RolloutLog;

use super::damage::{rot_in, tables};
use super::world::{World, arrival, at_rest, start};
use crate::hostile::lines::Written;

/// So long that few records fill a block.
fn noise(number: u128) -> String {
    let part = |part: u128| (number * 7919 + part + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (0..60).map(|number| uuid::Uuid::from_u128(part(number)).as_simple().to_string()).collect()
}

fn id(number: u128) -> RolloutId {
    RolloutId(uuid::Uuid::from_u128((0x0190_c0de_0000_7000_8000 << 48) | number))
}

fn rollout(number: u128) -> Rollout {
    let at = start().to_string();
    serde_json::from_value(json!({
        "id": id(number), "state": "running", "created_at": at, "updated_at": at,
        "spec": {"component": "douyin", "authorizers": "all", "template_id": 12, "version": "2.0.1", "description": noise(number), "concurrency": 8},
    }))
    .unwrap()
}

#[tokio::test]
async fn rollouts_and_merchants_past_damaged_blocks_are_there_and_the_others_are_told() {
    let mut met = [false; 3];
    for part in [1, 5, 6, 7, 9, 11] {
        let world = World::new();
        let log = world.open();
        for number in 0..40 {
            let shops = (0..2).map(|shop| Item { reason: Some(noise(number * 2 + shop)), ..Item::queued(format!("tt{shop}"), 0, start()) });
            log.create(&rollout(number), &shops.collect::<Vec<_>>()).await.unwrap();
            let stored = Stored { written: json!({"text": noise(number)}), updated_at: start() };
            log.put_playbook(&format!("look{number:02}"), &stored).await.unwrap();
        }
        drop(log);
        let folder = world.folder.path().join("log");
        let length = std::fs::metadata(&tables(&folder, "records")[0]).unwrap().len();
        rot_in(&folder, "records", length / 12 * part);

        let log = world.open();
        let all = log.rollouts().await.unwrap();
        let ids: Vec<_> = all.iter().map(|kept| kept.record.id).collect();
        assert_eq!(ids, (0..40).map(id).collect::<Vec<_>>(), "{part}: each is there, or its merchants tell of it");
        let unread = all.iter().filter(|kept| kept.record.is_unread).count();
        let (mut hidden, mut holed) = (0, 0);
        for number in 0..40 {
            let found = log.items(id(number)).await.unwrap();
            hidden += 2 - found.items.len();
            holed += usize::from(!found.is_whole);
            assert!(found.is_whole == (found.items.len() == 2), "{part}: {number}");
        }
        let shelved = log.playbooks().await.unwrap();
        let lost = 40 - shelved.playbooks.len();
        assert_eq!(shelved.is_whole, lost == 0, "{part}");
        assert!((1..12).contains(&(unread + hidden + lost)), "{part}: {unread} rollouts, {hidden} merchants, {lost} playbooks");
        met = [met[0] || unread > 0, met[1] || holed > 0, met[2] || lost > 0];

        // What is damaged can be written over, and removed.
        for kept in all.iter().filter(|kept| kept.record.is_unread) {
            assert!(log.save_rollout(&kept.record, kept.version).await.unwrap());
            let again = log.rollout(kept.record.id).await.unwrap().unwrap();
            assert!(again.record.is_unread && again.version == 1, "{again:?}");
        }
        for number in (0..40).filter(|number| shelved.playbooks.iter().all(|(name, _)| *name != format!("look{number:02}"))) {
            log.remove_playbook(&format!("look{number:02}")).await.unwrap();
        }
    }
    assert_eq!(met, [true; 3], "rollouts, merchants and playbooks were met");
}

/// A run of a playbook that has ended, for that event.
fn run_of(playbook: &str, event: EventId) -> Run {
    let at = start().to_string();
    serde_json::from_value(json!({
        "id": run::id(playbook, event), "playbook": playbook, "event_id": event.to_string(), "component": "douyin", "authorizer": "tt1", "state": "done",
        "steps": [], "created_at": at, "updated_at": at,
    }))
    .unwrap()
}

/// Writes runs into the log of that folder, as they are.
fn write_runs(log: &Path, runs: impl Iterator<Item = (String, Vec<u8>)>) {
    let db = fjall::Database::builder(log).open().unwrap();
    let records = db.keyspace("records", Default::default).unwrap();
    for (id, value) in runs {
        records.insert([b"u", id.as_bytes()].concat(), [1_u64.to_be_bytes().as_slice(), &value].concat()).unwrap();
    }
    db.persist(fjall::PersistMode::SyncAll).unwrap();
}

#[tokio::test]
async fn unreadable_runs_are_named_once_each_and_the_list_goes_on_past_them_page_by_page() {
    const UNREAD: u64 = 2500;
    let written = Written::default();
    // The log of everything, in a process of its own; where another test was first, nothing.
    let is_ours = tracing::subscriber::set_global_default(written.subscriber("error")).is_ok();
    let world = World::new();
    let event = |second: u64| EventId::of_message(start() + Duration::from_secs(second), &[7; 16]);
    let log = world.open();
    assert!(log.save_run(0, &run_of("oldest", event(0))).await.unwrap());
    drop(log);
    let rotten = (1..=UNREAD).map(|second| (run::id("rotten", event(second)), b"rot".to_vec()));
    write_runs(&world.folder.path().join("log"), rotten);
    let log = world.open();
    for _ in 0..2 {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = log.runs(after.as_deref(), 10).await.unwrap();
            pages += 1;
            found.extend(page.items.into_iter().map(|run| run.playbook));
            let Some(Position(next)) = page.next else { break };
            after = Some(next);
        }
        assert_eq!((found, pages), (vec![String::from("oldest")], 2), "a page looks at no more than it is worth");
    }
    assert_eq!(log.expunge_runs(start()).await.unwrap(), 0);
    let text = written.text();
    let named = text.lines().filter(|line| line.contains("is passed over")).count();
    let more = text.lines().filter(|line| line.contains("more than 1000 records cannot be read")).count();
    assert!(!is_ours || (named, more) == (1000, 1), "{named} {more}");
}

#[tokio::test]
async fn an_unreadable_run_goes_once_its_time_is_over_and_its_event_is_gone() {
    let world = World::new();
    let log = world.open();
    let kept = world.ports(&log).put_arrival(arrival("kept", Some("tt1"), start(), &[])).await.id;
    drop(log);
    let id_at = |second: u64, byte: u8| EventId::of_message(start() + Duration::from_secs(second), &[byte; 16]);
    let (gone, young) = (id_at(1, 1), id_at(7200, 2));
    let sealed = |event| {
        let id = run::id("sealed", event);
        let key = [b"u", id.as_bytes()].concat();
        (id, at_rest(9).seal("record", &key, b"{}").unwrap())
    };
    let rotten = |event| (run::id("rotten", event), b"rot".to_vec());
    write_runs(&world.folder.path().join("log"), [rotten(gone), rotten(kept), rotten(young), sealed(gone)].into_iter());
    let log = world.open();
    assert_eq!(log.expunge_runs(start() + Duration::from_secs(3600)).await.unwrap(), 1);
    assert_eq!(log.run(&run::id("rotten", gone)).await.unwrap(), None);
    for (why, id) in [
        ("its event may be tried or replayed", run::id("rotten", kept)),
        ("its time is not over", run::id("rotten", young)),
        ("its master key may come back", run::id("sealed", gone)),
    ] {
        assert!(log.run(&id).await.is_err(), "{why}");
    }
    assert_eq!(log.expunge_runs(start() + Duration::from_secs(3600)).await.unwrap(), 0);
}
