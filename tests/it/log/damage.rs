//! Damage of single records: each is named, kept and passed over, and nothing else is held up by it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fjall::Database;
use jiff::SignedDuration;
use yizhan::event_type::Glob;
use yizhan::fanout::Outbox;
use yizhan::fanout::delivery::{DeliveryFilter, Lane, Status};
use yizhan::inbox::log::Rejected;
use yizhan::inbox::{EventFilter, EventLog, LogError, Rejections};
use yizhan::playbook::Playbook;
use yizhan::playbook::run::{Run, RunLog, State};
use yizhan::store::archive::{ArchiveReader, ArchiveWriter};
use yizhan::store::fjall::{FjallLog, LogMoment, LogOptions, LogRestore, OpenError, is_damage};

use super::world::{Ports, World, arrival, key, keys};

const DAY: i64 = 86_400;
/// A byte of a table behind its first blocks and before its last, where it holds dozens of our events.
const MIDDLE: u64 = 40_000;

/// Names of the keyspaces of that kind, in order.
pub fn keyspaces(world: &World, kind: &str) -> Vec<String> {
    let db = Database::builder(world.folder.path().join("log")).open().unwrap();
    let mut names: Vec<String> = db.list_keyspace_names().iter().map(ToString::to_string).filter(|name| name.starts_with(kind)).collect();
    names.sort();
    names.retain(|name| name != &format!("{kind}.0"));
    names
}

/// Puts rubbish in place of the record under that key.
fn spoil(world: &World, keyspace: &str, key: &[u8]) {
    replace(&world.folder.path().join("log"), keyspace, key, b"rot");
}

/// Puts that in place of the record under that key, in the log of that folder.
pub fn replace(log: &Path, keyspace: &str, key: &[u8], value: &[u8]) {
    let db = Database::builder(log).open().unwrap();
    let keyspace = db.keyspace(keyspace, Default::default).unwrap();
    assert!(keyspace.contains_key(key).unwrap());
    keyspace.insert(key, value).unwrap();
    db.persist(fjall::PersistMode::SyncAll).unwrap();
}

/// Puts in its place what another master key sealed, as if by a service that had that one.
pub fn replace_by_sealed(log: &Path, key: &[u8], record: &serde_json::Value) {
    let sealed = super::world::at_rest(9).seal("record", key, record.to_string().as_bytes()).unwrap();
    replace(log, "records", key, &[3_u64.to_be_bytes().as_slice(), &sealed].concat());
}

/// Writes a keyspace out to its tables and flips bits in each, from that byte on.
pub fn rot(world: &World, keyspace: &str, at: u64) {
    rot_in(&world.folder.path().join("log"), keyspace, at);
}

/// The same in those tables that are so long.
pub fn rot_where_there_is(world: &World, keyspace: &str, at: u64) {
    for table in tables(&world.folder.path().join("log"), keyspace) {
        if std::fs::metadata(&table).unwrap().len() > at + 16 {
            flip(&table, at);
        }
    }
}

/// The same in the log of that folder.
pub fn rot_in(log: &Path, keyspace: &str, at: u64) {
    for table in tables(log, keyspace) {
        flip(&table, at);
    }
}

/// Writes a keyspace out to its tables, and names them.
pub fn tables(log: &Path, keyspace: &str) -> Vec<PathBuf> {
    let folder = {
        let db = Database::builder(log).open().unwrap();
        let keyspace = db.keyspace(keyspace, Default::default).unwrap();
        keyspace.rotate_memtable_and_wait().unwrap();
        keyspace.path().to_path_buf().join("tables")
    };
    let tables: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!tables.is_empty(), "nothing was written to {}", folder.display());
    tables
}

fn flip(file: &Path, at: u64) {
    let mut file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let mut bytes = [0; 16];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut bytes).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&bytes.map(|byte| !byte)).unwrap();
}

/// A text that does not pack.
fn noise(number: u32) -> String {
    (0..40)
        .map(|part| uuid::Uuid::from_u128(u128::from(number) * 7919 + part).as_simple().to_string())
        .map(|text| yizhan_hash(&text))
        .collect()
}

fn yizhan_hash(text: &str) -> String {
    yizhan::envelope::digest::sha256(&[text.as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub async fn stored(log: &Ports, from: u32, to: u32, subscribers: &[&str]) {
    for number in from..to {
        let mut one = arrival(&number.to_string(), Some("tt1"), log.now(), subscribers);
        one.event.body = Bytes::from(format!("{{\"data\":\"{number}\",\"noise\":\"{}\"}}", noise(number)));
        log.put_arrival(one).await;
    }
}

pub async fn works(log: &Ports, key: &str) {
    let event = log.put(key, None, &["bot"]).await;
    assert!(log.events.event(event.id).await.unwrap().is_some(), "the log still writes");
}

pub fn opened(world: &World) -> (Arc<FjallLog>, Ports) {
    let log = world.open();
    let ports = world.ports(&log);
    (log, ports)
}

#[tokio::test]
async fn damaged_events_are_passed_over_by_whoever_follows_and_by_lists() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 100, &["bot"]).await;
    drop((log, ports));
    let name = keyspaces(&world, "event").remove(0);
    rot(&world, &name, MIDDLE);
    spoil(&world, &name, &60_u64.to_be_bytes());

    let (log, ports) = opened(&world);
    let (mut events, mut unreadable, mut from) = (Vec::new(), Vec::new(), 0);
    loop {
        let stretch = log.following(from, 7).await.unwrap();
        assert!(stretch.events.len() + stretch.unreadable.len() <= 7);
        events.extend(stretch.events);
        unreadable.extend(stretch.unreadable);
        from = stretch.reached;
        if !stretch.more {
            break;
        }
    }
    assert_eq!(from, 100);
    assert!(unreadable.ends_with(&[60]) && (2..10).contains(&unreadable.len()), "{unreadable:?}");
    assert_eq!(events.len() + unreadable.len(), 100, "each is there or named");
    assert!(events.iter().all(|event| key(event) == (event.sequence - 1).to_string()));

    let mut newest_first: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    newest_first.reverse();
    for filter in every_way() {
        assert_eq!(listed(&log, &filter).await, newest_first, "{filter:?}");
    }
    assert!(log.last_received("douyin", Some("tt1")).await.unwrap().is_some());
    let pending = EventFilter { status: Some(Status::Pending), ..EventFilter::default() };
    assert_eq!(log.count(&pending).await.unwrap(), u64::try_from(events.len()).unwrap());
    for filter in [DeliveryFilter::default(), DeliveryFilter { status: Some(Status::Pending), ..DeliveryFilter::default() }] {
        assert_eq!(log.deliveries(&filter, None, 200).await.unwrap().items.len(), events.len(), "{filter:?}");
    }
    works(&ports, "new").await;
}

#[tokio::test]
async fn a_delivery_whose_record_is_damaged_is_passed_over_by_lists() {
    let world = World::new();
    let (log, ports) = opened(&world);
    let mut events = Vec::new();
    for key in ["a", "b", "c"] {
        events.push(ports.put(key, Some("tt1"), &[]).await.id);
    }
    let replayed = log.enqueue(&events, "bot", None, ports.now()).await.unwrap();
    drop((log, ports));
    spoil(&world, &keyspaces(&world, "delivery")[0], replayed[1].0.as_bytes());

    let (log, _ports) = opened(&world);
    let of = |event: usize| DeliveryFilter { event: Some(events[event].to_string()), ..DeliveryFilter::default() };
    for (filter, wanted) in [(DeliveryFilter::default(), vec![replayed[2], replayed[0]]), (of(0), vec![replayed[0]]), (of(1), vec![])] {
        let listed: BTreeSet<_> = log.deliveries(&filter, None, 9).await.unwrap().items.iter().map(|delivery| delivery.id).collect();
        assert_eq!(listed, wanted.into_iter().collect(), "{filter:?}");
    }
}

#[tokio::test]
async fn where_an_index_is_damaged_every_event_is_looked_at() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 100, &["bot"]).await;
    ports.advance(DAY);
    stored(&ports, 100, 2000, &["bot"]).await;
    let other = arrival("other", Some("tt2"), ports.now(), &["bot"]);
    ports.put_arrival(other).await;
    drop((log, ports));
    for name in keyspaces(&world, "index") {
        // Lists of components and of types stand there, authorizers, and minutes.
        for at in [100, 4_000, 12_000] {
            rot_where_there_is(&world, &name, at);
        }
    }

    let (log, ports) = opened(&world);
    let all: Vec<u64> = (1..=2001).rev().collect();
    for filter in every_way() {
        let wanted = if filter.authorizer.is_some() { &all[1..] } else { &all[..] };
        let listed = listed(&log, &filter).await;
        let wrong = listed.iter().zip(wanted).find(|(listed, wanted)| listed != wanted);
        assert_eq!((listed.len(), wrong), (wanted.len(), None), "{filter:?}");
    }
    for (component, authorizer) in [("douyin", None), ("douyin", Some("tt1")), ("douyin", Some("tt3"))] {
        log.last_received(component, authorizer).await.unwrap();
    }
    works(&ports, "new").await;
}

/// One filter for each way along which events are looked for: all events of the tests here fit.
fn every_way() -> [EventFilter; 6] {
    let of = |text: &str| Some(Glob::new(text));
    let (long_ago, late) = ("2020-01-01T00:00:00Z".parse().unwrap(), "2100-01-01T00:00:00Z".parse().unwrap());
    [
        EventFilter::default(),
        EventFilter { kind: of("audit.passed"), ..EventFilter::default() },
        EventFilter { authorizer: of("tt1"), ..EventFilter::default() },
        EventFilter { component: of("douyin"), ..EventFilter::default() },
        EventFilter { status: Some(Status::Pending), ..EventFilter::default() },
        EventFilter { since: Some(long_ago), until: Some(late), ..EventFilter::default() },
    ]
}

/// Sequences of all events that fit, page by page.
async fn listed(log: &FjallLog, filter: &EventFilter) -> Vec<u64> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = EventLog::page(log, filter, after.as_ref(), 20).await.unwrap();
        listed.extend(page.items.iter().map(|event| event.sequence));
        after = page.next;
        if after.is_none() {
            return listed;
        }
    }
}

#[tokio::test]
async fn a_log_opens_though_the_first_events_of_a_day_cannot_be_read() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 20, &[]).await;
    ports.advance(DAY);
    stored(&ports, 20, 40, &[]).await;
    drop((log, ports));
    for name in keyspaces(&world, "event") {
        rot(&world, &name, 120);
    }
    let (log, ports) = opened(&world);
    let stretch = log.following(0, 100).await.unwrap();
    assert_eq!((stretch.events.len() + stretch.unreadable.len(), stretch.reached), (40, 40));
    assert!(stretch.unreadable.contains(&1) && stretch.unreadable.contains(&21), "{:?}", stretch.unreadable);
    works(&ports, "new").await;
    assert_eq!(log.last_sequence(), 41);
}

#[tokio::test]
async fn a_log_opens_though_its_newest_events_cannot_be_read_and_gives_no_sequence_twice() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 100, &["bot"]).await;
    drop((log, ports));
    let folder = world.folder.path().join("log");
    let [table] = <[PathBuf; 1]>::try_from(tables(&folder, &keyspaces(&world, "event")[0])).unwrap();
    let whole = std::fs::read(&table).unwrap();
    // From the end towards the beginning, until the last block of events is met: behind it stand only the lists of blocks, without which nothing opens.
    let mut newest = None;
    for place in (1..whole.len() / 512).rev() {
        std::fs::write(&table, &whole).unwrap();
        flip(&table, u64::try_from(place * 512).unwrap());
        let Ok(log) = FjallLog::open(&folder, super::world::at_rest(7), LogOptions::default(), world.clock.clone()) else { continue };
        let stretch = log.following(0, 200).await.unwrap();
        assert_eq!((stretch.events.len() + stretch.unreadable.len(), stretch.reached, log.last_sequence()), (100, 100, 100));
        if stretch.unreadable.contains(&100) {
            newest = Some(stretch.unreadable);
            break;
        }
    }
    let unreadable = newest.expect("a place at which the newest event is damaged and the log opens");

    // Where the lists are damaged too, nobody knows which sequences were given.
    let index = keyspaces(&world, "index").remove(0);
    rot(&world, &index, 60);
    let refused = FjallLog::open(&folder, super::world::at_rest(7), LogOptions::default(), world.clock.clone());
    assert!(matches!(refused.err(), Some(OpenError::Damaged { .. })));
    // Flipped back.
    rot(&world, &index, 60);

    let (log, ports) = opened(&world);
    let readable = listed(&log, &EventFilter::default()).await;
    assert_eq!(readable, (1..=100).rev().filter(|sequence| !unreadable.contains(sequence)).collect::<Vec<u64>>());
    assert_eq!(ports.put("new", Some("tt1"), &["bot"]).await.sequence, 101);
    drop((log, ports));
    let (_log, ports) = opened(&world);
    assert_eq!(ports.put("newer", Some("tt1"), &["bot"]).await.sequence, 102, "though what came since can be read");
}

#[tokio::test]
async fn what_must_read_a_damaged_record_fails_alone() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 100, &["bot"]).await;
    let events = log.following(0, 100).await.unwrap().events;
    let deliveries = log.deliveries(&DeliveryFilter::default(), None, 100).await.unwrap().items;
    drop((log, ports));
    let name = keyspaces(&world, "event").remove(0);
    rot(&world, &name, MIDDLE);

    let (log, ports) = opened(&world);
    let unreadable = log.following(0, 100).await.unwrap().unreadable[0];
    let damaged = events.iter().find(|event| event.sequence == unreadable).unwrap();
    let delivery = deliveries.iter().find(|delivery| delivery.event_sequence == unreadable).unwrap();
    assert_eq!(log.enqueue(&[damaged.id, events[99].id], "bot", None, ports.now()).await.unwrap().len(), 1, "the other one is sent");
    works(&ports, "after a replay").await;
    assert!(matches!(log.retry(delivery.id, ports.now()).await, Err(LogError::Damaged(_)) | Ok(None)));
    works(&ports, "after a retry").await;
    assert_eq!(log.cancel_all("bot").await.unwrap(), 102);
    assert_eq!(log.depth("bot").await.unwrap().pending, 0);
    works(&ports, "after all was cancelled").await;
    assert!(log.failed().borrow().is_none());
}

#[tokio::test]
async fn a_waiting_delivery_whose_event_is_damaged_is_a_dead_letter_and_holds_back_nobody() {
    let world = World::new();
    let (log, ports) = opened(&world);
    for key in ["a", "b"] {
        ports.put(key, Some("tt1"), &["bot"]).await;
    }
    drop((log, ports));
    let name = keyspaces(&world, "event").remove(0);
    spoil(&world, &name, &1_u64.to_be_bytes());

    let (log, ports) = opened(&world);
    assert!(ports.claim("bot", Lane::First, 9, true).await.is_empty(), "the second waits for the first");
    works(&ports, "c").await;
    assert_eq!(keys(&ports.claim("bot", Lane::First, 9, true).await), ["b", "c"]);
    let depth = log.depth("bot").await.unwrap();
    assert_eq!((depth.pending, depth.dead), (2, 1));
    let dead = DeliveryFilter { status: Some(Status::Dead), ..DeliveryFilter::default() };
    let dead = log.deliveries(&dead, None, 9).await.unwrap().items;
    assert_eq!((dead.len(), dead[0].event_sequence), (1, 1));
    assert!(dead[0].attempts[0].error.as_ref().unwrap().contains("damaged"));
    assert!(log.retry(dead[0].id, ports.now()).await.unwrap().is_some(), "a person may try it again");
}

#[tokio::test]
async fn a_run_whose_event_or_delivery_is_damaged_has_failed_and_says_why() {
    let world = World::new();
    let (log, ports) = opened(&world);
    let subscribed: [(_, &[&str]); 4] =
        [(State::Running, &["book"]), (State::WaitingForApproval, &[]), (State::Cancelled, &["book"]), (State::Running, &["book"])];
    let (mut runs, mut events) = (Vec::new(), Vec::new());
    for (number, (state, subscribers)) in subscribed.into_iter().enumerate() {
        let event = ports.put(&number.to_string(), Some("tt1"), subscribers).await;
        let (name, on) = (String::from("book"), vec![Glob::new("audit.*")]);
        let book = Playbook { name, on, components: Vec::new(), when: BTreeMap::new(), steps: Vec::new() };
        let run = Run { state, reason: Some(String::from("system busy")), ..Run::new(&book, &event, ports.now()) };
        assert!(log.save_run(0, &run).await.unwrap());
        runs.push(run.id);
        events.push(event.id);
    }
    let replayed = log.enqueue(&events[1..2], "book", None, ports.now()).await.unwrap()[0];
    drop((log, ports));
    spoil(&world, &keyspaces(&world, "delivery")[0], replayed.0.as_bytes());
    for sequence in [1_u64, 3] {
        spoil(&world, &keyspaces(&world, "event")[0], &sequence.to_be_bytes());
    }

    let (log, ports) = opened(&world);
    assert_eq!(keys(&ports.first("book", 9).await), ["3"]);
    works(&ports, "whatever was begun is done").await;
    let mut found = Vec::new();
    for id in &runs {
        let (version, run) = log.run(id).await.unwrap().unwrap();
        found.push((version, run.state, run.reason.unwrap()));
    }
    let expected = [
        (2, State::Failed, "it is not tried any more: the stored event cannot be read: it is damaged"),
        (2, State::Failed, "it is not tried any more: its event or its delivery is gone"),
        (1, State::Cancelled, "system busy"),
        (1, State::Running, "system busy"),
    ];
    assert_eq!(found, expected.map(|(version, state, reason)| (version, state, reason.to_owned())));
}

#[tokio::test]
async fn a_push_is_taken_in_though_nobody_can_say_any_more_whether_it_came_before() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 3, &[]).await;
    drop((log, ports));
    let name = keyspaces(&world, "seen").remove(0);
    rot(&world, &name, 120);
    let (log, ports) = opened(&world);
    ports.advance(1);
    stored(&ports, 0, 4, &[]).await;
    assert_eq!((log.last_sequence(), log.failed().borrow().is_none()), (7, true), "told twice is better than not told");
}

/// Two days that are over. What waits of the first, for `bot`, is harmed in its middle; of the ten of the second, for `other`, so many are delivered.
async fn two_days(world: &World, delivered: usize) {
    let (log, ports) = opened(world);
    stored(&ports, 0, 50, &["bot"]).await;
    ports.advance(DAY);
    stored(&ports, 50, 60, &["other"]).await;
    for claimed in ports.first("other", delivered).await {
        ports.deliver(&claimed).await;
    }
    ports.advance(60 * DAY);
    drop((log, ports));
    let name = keyspaces(world, "event").remove(0);
    rot(world, &name, MIDDLE);
}

#[tokio::test]
async fn retention_keeps_a_day_of_which_something_that_waits_cannot_be_read_and_goes_on() {
    let world = World::new();
    two_days(&world, 10).await;

    let (log, ports) = opened(&world);
    works(&ports, "today").await;
    let readable = log.following(0, 1).await.unwrap().events.remove(0);
    for round in 0..2 {
        let expunged = log.expunge(ports.now() - SignedDuration::from_hours(24 * 30)).await.unwrap();
        assert_eq!(expunged.events, if round == 0 { 10 } else { 0 }, "the second day goes");
        assert_eq!(log.whole_from(), 61, "a reader of the day that is kept is told that the second one is missing");
        let again = log.enqueue(&[readable.id], "third", None, ports.now()).await.unwrap();
        assert_eq!(again.len(), 1, "round {round}: what can be read is sent again");
        assert!(log.retry(again[0], ports.now()).await.unwrap().is_some(), "round {round}");
        works(&ports, &format!("after round {round}")).await;
    }
    assert!(log.failed().borrow().is_none());
    let waiting = keys(&ports.first("bot", 100).await);
    assert!(waiting.len() > 20 && waiting.contains(&String::from("49")), "what can be read is still delivered: {waiting:?}");
}

#[tokio::test]
async fn what_waits_of_a_day_that_went_is_in_its_place_though_an_older_one_is_kept() {
    let world = World::new();
    two_days(&world, 8).await;

    let (log, ports) = opened(&world);
    works(&ports, "today").await;
    assert_eq!(log.following(0, 100).await.unwrap().reached, 61);
    assert_eq!(log.expunge(ports.now() - SignedDuration::from_hours(24 * 30)).await.unwrap().events, 8);
    all_in_their_places(&log).await;
    drop((log, ports));
    let (log, ports) = opened(&world);
    all_in_their_places(&log).await;
    assert_eq!(keys(&ports.first("other", 9).await), ["58", "59"]);
}

#[tokio::test]
async fn what_waits_of_a_day_that_went_is_in_its_place_though_the_last_event_of_an_older_one_is_damaged() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 49, &["bot"]).await;
    let mut last = arrival("49", None, ports.now(), &["bot"]);
    last.event.body = Bytes::from(format!("{{\"data\":\"49\",\"noise\":\"{}\"}}", (50..66).map(noise).collect::<String>()));
    ports.put_arrival(last).await;
    ports.advance(DAY);
    stored(&ports, 50, 60, &["other"]).await;
    for claimed in ports.first("other", 8).await {
        ports.deliver(&claimed).await;
    }
    ports.advance(60 * DAY);
    drop((log, ports));
    for table in tables(&world.folder.path().join("log"), &keyspaces(&world, "event")[0]) {
        // The last event fills the last block of events; behind that stand a few kilobytes that say where what is.
        flip(&table, std::fs::metadata(&table).unwrap().len() - 12_000);
    }

    let (log, ports) = opened(&world);
    works(&ports, "today").await;
    assert_eq!(log.following(0, 100).await.unwrap().unreadable.last(), Some(&50), "the damage is seen while both days are there");
    assert_eq!(log.expunge(ports.now() - SignedDuration::from_hours(24 * 30)).await.unwrap().events, 8);
    last_in_their_places(&log).await;
    drop((log, ports));
    let (log, ports) = opened(&world);
    last_in_their_places(&log).await;
    assert_eq!(keys(&ports.first("other", 9).await), ["58", "59"]);
}

/// Of 61 events, 51 to 58 are gone and some up to 50, the last of their day, are damaged.
async fn last_in_their_places(log: &FjallLog) {
    let all = log.following(0, 100).await.unwrap();
    assert_eq!((all.events.len() + all.unreadable.len(), all.unreadable.last(), all.reached), (53, Some(&50), 61));
    assert_eq!(all.events.iter().rev().take(3).map(key).collect::<Vec<_>>(), ["today", "59", "58"]);
    let kind = EventFilter { kind: Some(Glob::new("audit.passed")), ..EventFilter::default() };
    let listed = EventLog::page(log, &kind, None, 3).await.unwrap().items;
    assert_eq!(listed.iter().map(key).collect::<Vec<_>>(), ["today", "59", "58"]);
    assert_eq!(log.count(&kind).await.unwrap(), 53);
    assert_eq!(log.whole_from(), 61, "a reader of the day that is kept is told that the second one is missing");
}

#[tokio::test]
async fn what_a_replay_made_of_a_day_that_went_is_listed_though_an_older_one_is_kept() {
    let world = World::new();
    two_days(&world, 10).await;
    let (log, ports) = opened(&world);
    works(&ports, "today").await;
    let event = log.following(58, 1).await.unwrap().events.remove(0);
    let replayed = log.enqueue(&[event.id], "third", None, ports.now()).await.unwrap();
    let of_event = DeliveryFilter { event: Some(event.id.to_string()), ..DeliveryFilter::default() };
    let of_event = async || log.deliveries(&of_event, None, 9).await.unwrap().items;
    assert_eq!(of_event().await.len(), 2);
    assert_eq!(log.expunge(ports.now() - SignedDuration::from_hours(24 * 30)).await.unwrap().events, 9);
    let listed = of_event().await;
    assert_eq!(listed.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), replayed, "the one that waits");
}

/// Of 61 events, 51 to 58 are gone and some up to 50 are damaged.
async fn all_in_their_places(log: &FjallLog) {
    let all = log.following(0, 100).await.unwrap();
    assert_eq!((all.events.len() + all.unreadable.len(), all.reached), (53, 61));
    assert!(all.unreadable.iter().all(|sequence| *sequence <= 50), "{:?}", all.unreadable);
    assert_eq!(all.events.iter().rev().take(4).map(key).collect::<Vec<_>>(), ["today", "59", "58", "49"]);
    let some = log.following(59, 100).await.unwrap().events;
    assert_eq!(some.iter().map(key).collect::<Vec<_>>(), ["59", "today"], "from the middle of them on");

    let kind = EventFilter { kind: Some(Glob::new("audit.passed")), ..EventFilter::default() };
    for filter in [&EventFilter::default(), &kind] {
        let (mut listed, mut after) = (Vec::new(), None);
        for _ in 0..4 {
            let page = EventLog::page(log, filter, after.as_ref(), 1).await.unwrap();
            listed.extend(page.items.iter().map(key));
            after = page.next;
        }
        assert_eq!(listed, ["today", "59", "58", "49"]);
    }
    assert_eq!(log.count(&kind).await.unwrap(), 53);
}

#[tokio::test]
async fn retention_keeps_what_may_be_awaited_where_that_is_damaged_and_removes_the_rest() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 100, &[]).await;
    stored(&ports, 100, 500, &["bot"]).await;
    let first = log.following(0, 1).await.unwrap().events.remove(0);
    ports.advance(DAY);
    stored(&ports, 500, 510, &[]).await;
    stored(&ports, 510, 520, &["other"]).await;
    // Made on the second day of an event of the first.
    let replayed = log.enqueue(&[first.id], "third", None, ports.now()).await.unwrap().remove(0);
    ports.advance(60 * DAY);
    drop((log, ports));
    rot(&world, "waiting", 6000);

    let (log, ports) = opened(&world);
    works(&ports, "today").await;
    let before = ports.now() - SignedDuration::from_hours(24 * 30);
    assert_eq!(log.expunge(before).await.unwrap().events, 109, "of both days goes what nobody can wait for");
    assert_eq!(log.expunge(before).await.unwrap().events, 0);
    assert!(log.failed().borrow().is_none());
    drop((log, ports));
    assert_eq!(keyspaces(&world, "event").len(), 1, "today's");

    let (log, ports) = opened(&world);
    let all = log.following(0, 1000).await.unwrap();
    let expected: Vec<u64> = [1].into_iter().chain(101..=500).chain(511..=521).collect();
    assert_eq!((all.events.iter().map(|event| event.sequence).collect::<Vec<_>>(), all.unreadable.len()), (expected, 0));
    assert_eq!(keys(&ports.first("bot", 3).await), ["100", "101", "102"]);
    assert_eq!(ports.first("other", 99).await.len(), 10, "what waits for others is still delivered");
    assert_eq!(ports.first("third", 9).await.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), [replayed]);
    works(&ports, "new").await;
}

#[tokio::test]
async fn retention_removes_a_day_whose_deliveries_cannot_be_counted() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 5, &["bot"]).await;
    let claimed = ports.first("bot", 5).await;
    for one in &claimed {
        ports.deliver(one).await;
    }
    ports.advance(60 * DAY);
    drop((log, ports));
    let name = keyspaces(&world, "delivery").remove(0);
    spoil(&world, &name, claimed[2].delivery.id.0.as_bytes());

    let (log, ports) = opened(&world);
    works(&ports, "today").await;
    let expunged = log.expunge(ports.now() - SignedDuration::from_hours(24 * 30)).await.unwrap();
    assert_eq!((expunged.events, expunged.deliveries), (5, 0), "they could not be counted, and are gone all the same");
    assert_eq!(log.count(&EventFilter::default()).await.unwrap(), 1);
    let delivered = DeliveryFilter { status: Some(Status::Delivered), ..DeliveryFilter::default() };
    assert!(log.deliveries(&delivered, None, 9).await.unwrap().items.is_empty());
    assert!(ports.claim("bot", Lane::Retry, 9, false).await.is_empty());
}

#[tokio::test]
async fn a_retirement_ends_though_what_waits_under_the_name_is_damaged() {
    let world = World::new();
    let (log, ports) = opened(&world);
    stored(&ports, 0, 400, &["bot"]).await;
    log.retire("bot", ports.now()).await.unwrap();
    drop((log, ports));
    rot(&world, "waiting", 6000);
    let (log, ports) = opened(&world);
    let cancelled = log.cancel_all("bot").await.unwrap();
    assert!((200..400).contains(&cancelled), "{cancelled}");
    log.reinstate("bot").await.unwrap();
    assert!(log.names().await.unwrap().iter().all(|known| known.retired_at.is_none()));
    works(&ports, "new").await;
}

#[test]
fn only_what_no_second_try_mends_is_damage() {
    use std::io::{Error, ErrorKind};
    let io = |error: Error| [fjall::Error::Storage(fjall::LsmError::Io(Error::from(error.kind()))), fjall::Error::Io(error)];
    for kind in [ErrorKind::UnexpectedEof, ErrorKind::InvalidData, ErrorKind::NotFound] {
        assert!(io(Error::from(kind)).iter().all(is_damage), "{kind}");
    }
    // EIO, ENOMEM, ENFILE, EMFILE.
    for number in [5, 12, 23, 24] {
        let error = Error::from_raw_os_error(number);
        assert!(!io(error).iter().any(is_damage), "{number}");
    }
    assert!(is_damage(&fjall::Error::Storage(fjall::LsmError::InvalidTrailer)));
    assert!(is_damage(&fjall::Error::Storage(fjall::LsmError::Unrecoverable)));
    assert!(!is_damage(&fjall::Error::Poisoned));
}

#[tokio::test]
async fn refused_pushes_are_listed_past_a_damaged_one() {
    let world = World::new();
    let (log, ports) = opened(&world);
    for number in 0..4 {
        let rejected = Rejected {
            id: format!("rej_{number:04}"),
            component: String::from("douyin"),
            received_at: ports.now(),
            reason: String::from("bad-signature"),
            detail: String::new(),
        };
        log.keep(rejected, None).await.unwrap();
    }
    drop((log, ports));
    spoil(&world, "rejected", b"mrej_0002");
    let (log, _ports) = opened(&world);
    let page = Rejections::page(&*log, None, None, 2).await.unwrap();
    let rest = Rejections::page(&*log, None, page.next.as_ref(), 9).await.unwrap();
    let listed: Vec<_> = page.items.iter().chain(&rest.items).map(|one| one.id.as_str()).collect();
    assert_eq!(listed, ["rej_0003", "rej_0001", "rej_0000"]);
    assert_eq!(log.ids(None).await.unwrap(), ["rej_0000", "rej_0001", "rej_0003"]);
}

#[tokio::test]
async fn a_stretch_of_large_events_is_bounded_in_bytes() {
    let world = World::new();
    let (log, ports) = opened(&world);
    for number in 0..12 {
        let mut one = arrival(&number.to_string(), None, ports.now(), &[]);
        one.event.body = Bytes::from(vec![b'x'; 1 << 20]);
        ports.put_arrival(one).await;
    }
    let (mut from, mut stretches) = (0, Vec::new());
    loop {
        let stretch = log.following(from, 1000).await.unwrap();
        (from, _) = (stretch.reached, stretches.push(stretch.events.len()));
        if !stretch.more {
            break;
        }
    }
    assert_eq!((stretches, from), (vec![4, 4, 4], 12));
}

/// Every record of a backup, by section and key.
fn records(archive: &[u8]) -> BTreeMap<(String, Vec<u8>), Vec<u8>> {
    let mut archive = ArchiveReader::new(archive).unwrap();
    let mut records = BTreeMap::new();
    while let Some(record) = archive.next().unwrap() {
        let before = records.insert((record.section.to_string(), record.key), record.value);
        assert!(before.is_none(), "each once");
    }
    records
}

/// A backup of the log in that folder, which nobody has open, and what it lacks.
fn backed_up(world: &World) -> (Vec<u8>, Vec<(String, u64)>) {
    let mut bytes = Vec::new();
    let mut archive = ArchiveWriter::new(&mut bytes).unwrap();
    let moment = LogMoment::of(&world.folder.path().join("log")).unwrap();
    let left_out = moment.write(&mut archive).unwrap();
    archive.finish().unwrap();
    (bytes, left_out)
}

/// That backup, put back beside the log.
fn restored(world: &World, backup: &[u8]) -> PathBuf {
    let folder = world.folder.path().join("restored");
    let mut restore = LogRestore::begin(&folder).unwrap();
    let mut archive = ArchiveReader::new(backup).unwrap();
    while let Some(record) = archive.next().unwrap() {
        assert!(restore.put(&record.section, &record.key, &record.value).unwrap());
    }
    restore.finish(0).unwrap();
    folder
}

#[tokio::test]
async fn a_backup_holds_all_of_a_damaged_log_but_what_is_damaged() {
    for (kind, at, most) in [("event", MIDDLE, 8), ("waiting", 6000, 300), ("index", 600, 400), ("delivery", 600, 100), ("seen", 2500, 300)]
    {
        let world = World::new();
        let (log, ports) = opened(&world);
        stored(&ports, 0, 400, &["bot"]).await;
        for claimed in ports.first("bot", 100).await {
            ports.deliver(&claimed).await;
        }
        drop((log, ports));
        let (whole, left_out) = backed_up(&world);
        assert_eq!(left_out, [], "{kind}");
        let whole = records(&whole);
        let name = if kind == "waiting" { kind.to_owned() } else { keyspaces(&world, kind).remove(0) };
        rot(&world, &name, at);

        let (damaged, left_out) = backed_up(&world);
        let damaged = records(&damaged);
        assert_eq!(left_out, [(name, 1)]);
        let missing: Vec<_> = whole.keys().filter(|key| !damaged.contains_key(*key)).collect();
        assert!((1..=most).contains(&missing.len()), "{kind}: {} of {} are missing", missing.len(), whole.len());
        assert!(missing.iter().all(|(section, _)| section.contains(kind)), "{kind}");
        assert!(damaged.iter().all(|(key, value)| whole.get(key) == Some(value)), "{kind}");
        let (log, _) = opened(&world);
        let unreadable = log.following(0, 400).await.unwrap().unreadable;
        assert_eq!(unreadable.len(), if kind == "event" { missing.len() } else { 0 }, "of the events exactly those that cannot be read");
    }
}

#[tokio::test]
async fn damage_in_several_places_hides_nothing_between_them_from_a_backup() {
    for (kind, places, most) in [
        // Two in the middle; the first block, the last one and one in between.
        ("event", &[Ok(MIDDLE), Ok(5 * MIDDLE)][..], 16),
        ("event", &[Ok(MIDDLE), Err(12_000)], 16),
        ("event", &[Ok(120), Ok(MIDDLE), Err(12_000)], 24),
        ("waiting", &[Ok(120), Ok(5000)], 300),
        ("delivery", &[Ok(120), Ok(3000)], 150),
    ] {
        let world = World::new();
        let (log, ports) = opened(&world);
        stored(&ports, 0, 300, &["bot"]).await;
        // The last event fills the last block of events; behind that stand a few kilobytes that say where what is.
        let mut last = arrival("300", None, ports.now(), &["bot"]);
        last.event.body = Bytes::from(format!("{{\"data\":\"300\",\"noise\":\"{}\"}}", (301..317).map(noise).collect::<String>()));
        ports.put_arrival(last).await;
        for claimed in ports.first("bot", 200).await {
            ports.deliver(&claimed).await;
        }
        drop((log, ports));
        let whole = records(&backed_up(&world).0);
        let name = if kind == "waiting" { kind.to_owned() } else { keyspaces(&world, kind).remove(0) };
        for table in tables(&world.folder.path().join("log"), &name) {
            let length = std::fs::metadata(&table).unwrap().len();
            places.iter().for_each(|place| flip(&table, place.unwrap_or_else(|from_end| length - from_end)));
        }
        let (backup, left_out) = backed_up(&world);
        let damaged = records(&backup);
        let missing: Vec<_> = whole.keys().filter(|key| !damaged.contains_key(*key)).collect();
        assert!((2..=most).contains(&missing.len()), "{kind} {places:?}: {} of {} are missing", missing.len(), whole.len());
        assert!(damaged.iter().all(|(key, value)| whole.get(key) == Some(value)), "{kind}");
        assert!(left_out.len() == 1 && left_out[0].0 == name, "{left_out:?}");
        // Where the newest event or the first of what waits is damaged, the log does not open.
        if kind == "event" && places.iter().all(Result::is_ok) {
            let (log, _) = opened(&world);
            let unreadable = log.following(0, 400).await.unwrap().unreadable;
            assert_eq!(unreadable.len(), missing.len(), "exactly those that cannot be read");
        }
        let log = world.open_at(&restored(&world, &backup));
        assert_eq!(log.following(0, 400).await.unwrap().events.len(), if kind == "event" { 301 - missing.len() } else { 301 });
        works(&world.ports(&log), "new").await;
    }
}

#[tokio::test]
async fn a_log_that_ends_the_engine_wherever_tables_are_merged_is_mended_by_a_backup_of_itself() {
    let world = World::new();
    let folder = world.folder.path().join("log");
    // Keys of messages come in any order: eight such tables are merged.
    let seen = || tables(&folder, &keyspaces(&world, "seen")[0]);
    for round in 0..7 {
        let (log, ports) = opened(&world);
        stored(&ports, round * 20, round * 20 + 20, &["bot"]).await;
        drop((log, ports));
        seen();
    }
    flip(&seen()[0], 60);
    let mut ended = Vec::new();
    for life in 0..6 {
        let (log, ports) = opened(&world);
        for number in 0..100 {
            let pushed = ports.events.accept(arrival(&format!("again {life} {number}"), None, ports.now(), &[])).await;
            if pushed.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ended.extend(log.failed().borrow().clone());
        drop((log, ports));
        seen();
    }
    assert!(ended.len() > 1, "a life that meets it ends, and the next one does: {ended:?}");
    assert!(ended.iter().all(|why| why.contains("`yizhan backup --offline FILE`")), "{ended:?}");

    let (backup, left_out) = backed_up(&world);
    assert!(left_out.iter().all(|(keyspace, stretches)| keyspace.starts_with("seen.") && *stretches == 1), "{left_out:?}");
    let log = world.open_at(&restored(&world, &backup));
    let ports = world.ports(&log);
    let stretch = log.following(0, 2000).await.unwrap();
    let kept: Vec<_> = stretch.events.iter().map(key).filter(|key| !key.starts_with("again")).collect();
    assert_eq!((kept, stretch.unreadable.len()), ((0..140).map(|number| number.to_string()).collect(), 0));
    for round in 0..20 {
        works(&ports, &format!("after {round}")).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(log.depth("bot").await.unwrap().pending, 160);
    assert!(log.failed().borrow().is_none());
}
