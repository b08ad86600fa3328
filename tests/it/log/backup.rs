//! Backups of the log, and what is put back from them.

use std::sync::Arc;

use serde_json::json;
use yizhan::attributes::{AttributeShelf, Attributes};
use yizhan::fanout::Outbox;
use yizhan::fanout::delivery::{DeliveryFilter, Status};
use yizhan::inbox::EventLog;
use yizhan::playbook::run::{Run, RunLog};
use yizhan::rollout::record::{Item, Rollout, RolloutId};
use yizhan::rollout::shelf::RolloutLog;
use yizhan::secret::Secret;
use yizhan::store::archive::{ArchiveReader, ArchiveWriter};
use yizhan::store::fjall::{FjallLog, LogRestore, OpenError};
use yizhan::versions::{Change, VersionNote, VersionShelf, Versions};

use super::world::{World, arrival, key, keys, start};

async fn backup_of(log: &Arc<FjallLog>) -> Vec<u8> {
    let log = log.clone();
    let written = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let mut archive = ArchiveWriter::new(&mut bytes).unwrap();
        log.moment().unwrap().write(&mut archive).unwrap();
        archive.finish().unwrap();
        bytes
    });
    written.await.unwrap()
}

/// Every record of a backup, but what the writer counts beside them.
fn records_of(backup: &[u8]) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut archive = ArchiveReader::new(backup).unwrap();
    let mut records = Vec::new();
    while let Some(record) = archive.next().unwrap() {
        if *record.section != *"log/meta" {
            records.push((record.section.to_string(), record.key.to_vec(), record.value.to_vec()));
        }
    }
    records
}

#[tokio::test]
async fn a_backup_keeps_rollouts_runs_versions_attributes_and_what_was_told() {
    let world = World::new();
    let log = world.open();
    let ports = world.ports(&log);
    let event = ports.put("one", Some("tt1"), &["bot"]).await;

    let at = start().to_string();
    let rollout: Rollout = serde_json::from_value(json!({
        "id": RolloutId(uuid::Uuid::from_u128(7)), "state": "running", "created_at": at, "updated_at": at,
        "spec": {"component": "douyin", "authorizers": {"tag": "gold"}, "template_id": 12, "version": "2.0.1", "description": "new", "concurrency": 8},
    }))
    .unwrap();
    let item = |authorizer: &str, stage: &str| -> Item {
        serde_json::from_value(json!({"authorizer": authorizer, "place": 1, "stage": stage, "since": at, "updated_at": at})).unwrap()
    };
    let items = [item("tt1", "queued"), item("tt2", "released")];
    log.create(&rollout, &items).await.unwrap();
    let run: Run = serde_json::from_value(json!({
        "id": "run_0001", "playbook": "release", "event_id": event.id.to_string(), "component": "douyin", "authorizer": "tt1", "state": "running",
        "steps": [{"operation": "package.release", "begun_at": at}], "created_at": at, "updated_at": at,
    }))
    .unwrap();
    assert!(log.save_run(0, &run).await.unwrap());
    let versions =
        Versions { released: Some(VersionNote { version: Some("2.0.0".into()), ..VersionNote::default() }), ..Versions::default() };
    assert!(log.put_all(&[Change { component: "douyin", authorizer: "tt1", versions: versions.clone(), over: None }]).await.unwrap());
    let noted = Attributes { tags: ["gold".into()].into(), variables: json!({"shop": "a"}).as_object().unwrap().clone() };
    AttributeShelf::put(&*log, "douyin", "tt1", &noted).await.unwrap();

    let backup = backup_of(&log).await;
    let restored = world.folder.path().join("restored");
    let mut restore = LogRestore::begin(&restored).unwrap();
    let mut archive = ArchiveReader::new(backup.as_slice()).unwrap();
    while let Some(record) = archive.next().unwrap() {
        assert!(restore.put(&record.section, &record.key, &record.value).unwrap(), "{}", record.section);
    }
    restore.finish(0).unwrap();
    let log = world.open_at(&restored);
    assert_eq!(log.rollout(rollout.id).await.unwrap().unwrap().record, rollout);
    assert_eq!(log.items(rollout.id).await.unwrap().items.into_iter().map(|kept| kept.record).collect::<Vec<_>>(), items);
    assert_eq!(log.run("run_0001").await.unwrap(), Some((1, run)));
    assert_eq!(VersionShelf::get(&*log, "douyin", "tt1").await.unwrap().unwrap().versions, versions);
    assert_eq!(AttributeShelf::get(&*log, "douyin", "tt1").await.unwrap(), noted);
    assert!(!log.save_run(0, &Run { id: "run_0001".into(), ..log.run("run_0001").await.unwrap().unwrap().1 }).await.unwrap());
    // Whatever else the log comes to keep.
    assert_eq!(records_of(&backup_of(&log).await), records_of(&backup));
}

#[tokio::test]
async fn a_backup_made_while_pushes_arrive_is_restored_whole() {
    let world = World::new();
    let log = world.open();
    let ports = world.ports(&log);
    for number in 0..40 {
        let mut arrival = arrival(&number.to_string(), Some("tt1"), ports.now(), &["bot", "yizhan-vault"]);
        arrival.sealed = (number == 7).then(|| Secret::new("the code"));
        ports.put_arrival(arrival).await;
        ports.advance(7200);
    }
    let claimed = ports.first("bot", 3).await;
    ports.deliver(&claimed[0]).await;
    ports.bury(&claimed[1]).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writing = {
        let (log, stop, now) = (log.clone(), stop.clone(), ports.now());
        tokio::spawn(async move {
            let mut number = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                log.accept(arrival(&format!("meanwhile {number}"), None, now, &["bot"])).await.unwrap();
                number += 1;
            }
            number
        })
    };
    let bytes = backup_of(&log).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);

    let restored = world.folder.path().join("restored");
    let mut restore = LogRestore::begin(&restored).unwrap();
    let mut archive = ArchiveReader::new(bytes.as_slice()).unwrap();
    while let Some(record) = archive.next().unwrap() {
        assert!(restore.put(&record.section, &record.key, &record.value).unwrap());
    }
    assert!(!restore.put("vault/tokens", b"a", b"b").unwrap());
    restore.finish(0).unwrap();
    assert!(matches!(LogRestore::begin(&restored).err(), Some(OpenError::NotEmpty(_))));

    let log = world.open_at(&restored);
    let ports = world.ports(&log);
    let events = log.following(0, 100_000).await.unwrap().events;
    assert_eq!(events.iter().take(40).map(key).collect::<Vec<_>>(), (0..40).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(events.len() as u64, log.last_sequence(), "one moment: no event without those before it");
    assert_eq!(log.depth("bot").await.unwrap().pending, log.last_sequence() - 2);
    let dead = DeliveryFilter { status: Some(Status::Dead), ..DeliveryFilter::default() };
    assert_eq!(log.deliveries(&dead, None, 9).await.unwrap().items.len(), 1);
    let vault = ports.first("yizhan-vault", 100).await;
    assert_eq!(vault[7].sealed.as_ref().unwrap().expose(), "the code");
    assert_eq!(keys(&ports.first("bot", 2).await), ["2", "3"]);
}

#[tokio::test]
async fn a_log_that_is_put_back_is_on_a_timeline_of_its_own() {
    let world = World::new();
    let log = world.open();
    world.ports(&log).put("one", None, &[]).await;
    let former = log.timeline();
    let backup = backup_of(&log).await;
    let restored = world.folder.path().join("restored");
    let mut restore = LogRestore::begin(&restored).unwrap();
    let mut archive = ArchiveReader::new(backup.as_slice()).unwrap();
    while let Some(record) = archive.next().unwrap() {
        assert_ne!(*record.key, *b"timeline");
        assert!(restore.put(&record.section, &record.key, &record.value).unwrap());
    }
    restore.finish(0).unwrap();
    drop(log);
    assert_eq!(world.open().timeline(), former, "a start changes nothing");
    let log = world.open_at(&restored);
    assert!(former.is_some() && log.timeline().is_some());
    assert_ne!(log.timeline(), former);
}
