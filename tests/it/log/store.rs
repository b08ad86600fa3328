//! The log in fjall: what only a store with a folder can show. Crashes, damage, disk space.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use yizhan::event_type::Glob;
use yizhan::fanout::Outbox;
use yizhan::fanout::delivery::Lane;
use yizhan::inbox::log::Rejected;
use yizhan::inbox::{Accepted, EventFilter, EventLog, LogError, Rejections};
use yizhan::platform::RawPush;
use yizhan::platform::push::Door;
use yizhan::store::fjall::{FjallLog, LogOptions, Lost, OpenError, missing_since};
use yizhan::vault::audit::{Read, ReadLog};

use super::damage::keyspaces;
use super::world::{World, arrival, at_rest, key, keys, start};

/// How much of a file is written: the journal is made 64 MiB long in advance, and the rest stays a hole.
pub fn written(bytes: &[u8]) -> &[u8] {
    const BLOCK: usize = 1 << 16;
    let blocks = bytes.chunks(BLOCK).rposition(|block| block != &[0; BLOCK][..block.len()]).map_or(0, |last| last + 1);
    &bytes[..bytes.len().min(blocks * BLOCK)]
}

fn copy_file(from: &Path, to: &Path) {
    let bytes = std::fs::read(from).unwrap();
    std::fs::write(to, written(&bytes)).unwrap();
    std::fs::File::options().write(true).open(to).unwrap().set_len(bytes.len() as u64).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { copy(&entry.path(), &target) } else { copy_file(&entry.path(), &target) }
    }
}

fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => disk_bytes(&entry.path()),
            Ok(data) => data.blocks() * 512,
            // Deleted meanwhile.
            Err(_) => 0,
        })
        .sum()
}

#[tokio::test]
async fn a_copy_of_the_folder_taken_without_shutdown_holds_everything_acknowledged() {
    let world = World::new();
    let log = world.open();
    let ports = world.ports(&log);
    let mut stored = Vec::new();
    for number in 0..50 {
        stored.push(ports.put(&number.to_string(), Some("tt1"), &["bot", "ordered"]).await);
        ports.advance(3600);
    }
    let claimed = ports.first("bot", 4).await;
    ports.deliver(&claimed[0]).await;
    ports.bury(&claimed[1]).await;
    ports.fail(&claimed[2], 5).await;
    let ordered = ports.claim("ordered", Lane::First, 9, true).await;
    ports.fail(&ordered[0], 5).await;

    let crashed = world.folder.path().join("crashed");
    copy(&world.folder.path().join("log"), &crashed);
    drop((ports, log));
    let log = world.open_at(&crashed);
    let ports = world.ports(&log);
    assert_eq!(log.last_sequence(), 50);
    assert_eq!(log.last_event().unwrap(), Some((50, stored[49].received_at)));
    assert_eq!(*log.newest().borrow(), 50);
    assert_eq!(log.following(0, 100).await.unwrap().events, stored);
    for event in &stored {
        assert_eq!(log.event(event.id).await.unwrap().as_ref(), Some(event));
        let again = arrival(&key(event), None, ports.now(), &[]);
        assert_eq!(log.accept(again).await.unwrap(), Accepted::Seen, "dedupe keys are there too");
    }
    let depth = log.depth("bot").await.unwrap();
    assert_eq!((depth.pending, depth.dead), (48, 1));
    assert_eq!(keys(&ports.first("bot", 2).await), ["3", "4"], "what was claimed at the crash is given back");
    ports.advance(5);
    assert_eq!(keys(&ports.claim("bot", Lane::Retry, 9, false).await), ["2"]);
    assert!(ports.claim("ordered", Lane::First, 9, true).await.is_empty());
    assert_eq!(keys(&ports.claim("ordered", Lane::Retry, 9, true).await), ["0"]);
    assert_eq!(ports.put("after", None, &[]).await.sequence, 51);
}

#[tokio::test]
async fn a_clock_that_is_set_forward_hands_nothing_out_twice() {
    let world = World::new();
    let log = world.open();
    let ports = world.ports(&log);
    ports.put("a", None, &["bot"]).await;
    assert_eq!(keys(&ports.first("bot", 9).await), ["a"]);
    ports.clock.step(jiff::SignedDuration::from_hours(1));
    assert!(ports.first("bot", 9).await.is_empty(), "whoever tries it is at it");
    assert_eq!(log.next_due("bot").await.unwrap(), Some(ports.now() + Duration::from_secs(60)), "its worker looks then");
    ports.clock.step(-jiff::SignedDuration::from_hours(2));
    ports.advance(61);
    assert_eq!(keys(&ports.first("bot", 9).await), ["a"], "a minute has passed, whatever the clock says");
}

#[tokio::test]
async fn a_log_that_was_closed_is_opened_again_as_it_was() {
    let world = World::new();
    for round in 0..4 {
        let log = world.open();
        let ports = world.ports(&log);
        assert_eq!(log.last_sequence(), round * 10);
        for number in 0..10 {
            ports.put(&format!("{round}.{number}"), Some("tt1"), &["bot"]).await;
        }
        let filter = EventFilter { authorizer: Some(Glob::new("tt1")), ..EventFilter::default() };
        assert_eq!(log.count(&filter).await.unwrap(), (round + 1) * 10);
        assert_eq!(log.depth("bot").await.unwrap().pending, (round + 1) * 10);
        ports.advance(50_000);
    }
}

#[tokio::test]
async fn after_a_start_a_new_event_is_not_hidden_behind_what_waits_for_its_retry() {
    let world = World::new();
    {
        let log = world.open();
        let ports = world.ports(&log);
        let pushes: Vec<_> = (0..6000)
            .map(|number| {
                let log = log.clone();
                tokio::spawn(async move { log.accept(arrival(&number.to_string(), Some("tt1"), start(), &["bot"])).await })
            })
            .collect();
        for push in pushes {
            // A queue that is full for a moment loses one; as many others wait.
            let _ = push.await.unwrap();
        }
        let failing: Vec<_> = ports
            .first("bot", 10_000)
            .await
            .into_iter()
            .map(|one| {
                let ports = ports.clone();
                tokio::spawn(async move { ports.fail(&one, 3600).await })
            })
            .collect();
        for one in failing {
            one.await.unwrap();
        }
    }
    let log = world.open();
    let ports = world.ports(&log);
    ports.put("new", Some("tt2"), &["bot"]).await;
    assert_eq!(keys(&ports.first("bot", 10).await), ["new"], "in the first claim");
    assert_eq!(
        log.next_due("bot").await.unwrap(),
        Some(start() + SignedDuration::from_secs(60)),
        "the claim of the new one runs out first"
    );
    ports.advance(3600);
    assert_eq!(ports.claim("bot", Lane::Retry, 100, false).await.len(), 100);
}

#[tokio::test]
async fn a_full_queue_is_told_at_once() {
    let mut world = World::new();
    world.options = LogOptions { queue: 1, group: 1, ..LogOptions::default() };
    let log = world.open();
    let pushes: Vec<_> = (0..300)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move { log.accept(arrival(&number.to_string(), None, start(), &[])).await })
        })
        .collect();
    let (mut stored, mut full) = (0, 0);
    for push in pushes {
        match push.await.unwrap() {
            Ok(Accepted::Fresh(_)) => stored += 1,
            Err(LogError::Full) => full += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(full > 0 && stored > 0);
    assert_eq!(log.count(&EventFilter::default()).await.unwrap(), stored, "what was refused is not stored");
}

/// What waits for the disk is bounded by its bytes, and these are no lighter than others.
#[tokio::test]
async fn reads_weigh_what_their_texts_do() {
    let world = World::new();
    let log = world.open();
    let read = Read {
        key: String::from("bots"),
        action: String::from("token.read"),
        component: String::from("douyin"),
        authorizer: Some("a".repeat(4 << 20)),
        generation: 1,
        remote: String::from("127.0.0.1"),
        at: start(),
        count: 1,
    };
    let reads: Vec<_> = std::iter::repeat_n(read, 20).collect();
    let appending: Vec<_> =
        reads.into_iter().map(|read| (log.clone(), read)).map(|(log, read)| async move { log.append(vec![read]).await }).collect();
    let appending = futures_util::future::join_all(appending);
    let pushed = log.accept(arrival("one", None, start(), &[]));
    let (appended, pushed) = tokio::join!(appending, pushed);
    assert!(appended.into_iter().all(|appended| appended.is_ok()));
    assert!(matches!(pushed, Err(LogError::Full)), "80 MiB before it, and room for 32");
}

fn refused(number: usize, component: &str) -> Rejected {
    Rejected {
        id: format!("rej_{number:05}"),
        component: component.to_owned(),
        received_at: start(),
        reason: String::from("bad-signature"),
        detail: String::new(),
    }
}

fn raw_of(body: Vec<u8>) -> RawPush {
    RawPush { door: Door::Message, is_get: false, headers: Vec::new(), query: String::new(), body: body.into(), received_at: start() }
}

#[tokio::test]
async fn refused_pushes_stay_bounded_though_the_queue_has_no_room_for_some() {
    let mut world = World::new();
    world.options = LogOptions { queue: 1, group: 1, rejected_keep: 5, ..LogOptions::default() };
    let log = world.open();
    let flood: Vec<_> = (0..300)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move { log.keep(refused(number, ["douyin", "baidu"][number % 2]), None).await })
        })
        .collect();
    let mut full = 0;
    for one in flood {
        full += usize::from(matches!(one.await.unwrap(), Err(LogError::Full)));
    }
    assert!(full > 0);
    for number in 300..305 {
        log.keep(refused(number, "douyin"), None).await.unwrap();
    }
    let kept = log.ids(None).await.unwrap();
    assert_eq!(kept.len(), 5, "{kept:?}");
    drop(log);
    assert_eq!(world.open().ids(None).await.unwrap(), kept);
}

/// Refused pushes come in the order of their keys and go in it, which the engine by itself never gives back.
#[tokio::test]
async fn the_space_of_refused_pushes_that_made_room_is_given_back() {
    let mut world = World::new();
    world.options = LogOptions { rejected_keep: 4, surplus_bytes: 2 << 20, ..LogOptions::default() };
    let log = world.open();
    let on_disk = || {
        let tables = world.folder.path().join("log/keyspaces");
        let mut folders = vec![tables];
        let mut bytes = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.metadata() {
                    Ok(what) if what.is_dir() => folders.push(entry.path()),
                    Ok(what) => bytes += what.len(),
                    Err(_) => {}
                }
            }
        }
        bytes
    };
    let mut noise = 1_u64;
    // Fewer tables than the engine merges by itself.
    for number in 0..28 {
        // Nothing that could be compressed.
        let body: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 56) as u8
        })
        .take(1 << 20)
        .collect();
        log.keep(refused(number, "douyin"), Some(raw_of(body))).await.unwrap();
        if number % 4 == 3 {
            log.write_out().await.unwrap();
        }
    }
    let stands = on_disk();
    assert!(stands < 20 << 20, "{stands} bytes of 29 million stand on the disk");
    let kept = log.ids(None).await.unwrap();
    assert_eq!(kept.len(), 4);
    for id in kept {
        assert_eq!(Rejections::open(&*log, &id).await.unwrap().unwrap().1.body.len(), 1 << 20);
    }
}

#[tokio::test]
async fn a_page_of_refused_pushes_that_ends_early_leaves_none_out() {
    const LOOKED_AT: usize = 20_000;
    let mut world = World::new();
    world.options = LogOptions { queue: 2 * LOOKED_AT, rejected_keep: 2 * LOOKED_AT, ..LogOptions::default() };
    let log = world.open();
    let keeping: Vec<_> = (0..=LOOKED_AT)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move { log.keep(refused(number, if number == 0 { "baidu" } else { "douyin" }), None).await })
        })
        .collect();
    for one in keeping {
        one.await.unwrap().unwrap();
    }
    let page = Rejections::page(&*log, Some("baidu"), None, 10).await.unwrap();
    assert!(page.items.is_empty(), "as many as are looked at for one page are of another component");
    let page = Rejections::page(&*log, Some("baidu"), page.next.as_ref(), 10).await.unwrap();
    assert_eq!(page.items, [refused(0, "baidu")]);
    assert!(page.next.is_none());
}

#[tokio::test]
async fn a_claim_is_handed_out_though_there_is_no_room_to_cancel_what_is_gone() {
    let mut world = World::new();
    let log = world.open();
    for key in 0..100 {
        world.ports(&log).put(&key.to_string(), None, &["bot"]).await;
    }
    drop(log);
    let day = keyspaces(&world, "event").remove(0);
    {
        let db = fjall::Database::builder(world.folder.path().join("log")).open().unwrap();
        let events = db.keyspace(&day, Default::default).unwrap();
        for sequence in 2..100_u64 {
            events.remove(sequence.to_be_bytes()).unwrap();
        }
        db.persist(fjall::PersistMode::SyncAll).unwrap();
    }
    world.options = LogOptions { queue: 1, group: 1, ..LogOptions::default() };
    let log = world.open();
    let claimed = log.claim("bot", Lane::First, start(), Duration::from_secs(60), 200, false).await.unwrap();
    assert_eq!(keys(&claimed), ["0", "99"]);
}

#[tokio::test]
async fn a_second_process_is_turned_away() {
    let world = World::new();
    let _log = world.open();
    let second = FjallLog::open(&world.folder.path().join("log"), at_rest(7), LogOptions::default(), world.clock.clone());
    assert!(matches!(second.err(), Some(OpenError::Locked(_))));
}

#[tokio::test]
async fn damage_is_reported_with_what_to_do_and_never_a_panic() {
    let world = World::new();
    {
        let log = world.open();
        let ports = world.ports(&log);
        for number in 0..50 {
            ports.put(&number.to_string(), Some("tt1"), &["bot"]).await;
        }
    }
    let whole = world.folder.path().join("log");
    let mut files = Vec::new();
    let mut folders = vec![whole.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    let mut refused = 0;
    for (number, file) in files.iter().enumerate() {
        let damaged = world.folder.path().join(format!("damaged-{number}"));
        copy(&whole, &damaged);
        let target = damaged.join(file.strip_prefix(&whole).unwrap());
        let mut start = vec![0; 4096.min(std::fs::metadata(&target).unwrap().len() as usize)];
        let damaged_file = std::fs::File::options().read(true).write(true).open(&target).unwrap();
        damaged_file.read_exact_at(&mut start, 0).unwrap();
        start.iter_mut().for_each(|byte| *byte ^= 0x55);
        damaged_file.write_all_at(&start, 0).unwrap();
        match FjallLog::open(&damaged, at_rest(7), LogOptions::default(), world.clock.clone()) {
            Ok(_) => {}
            Err(error) => {
                refused += 1;
                assert!(matches!(error, OpenError::Damaged { .. } | OpenError::Version(_) | OpenError::Io { .. }), "{error:?}");
            }
        }
    }
    assert!(refused > 0, "{} files", files.len());
}

#[test]
fn lost_events_are_found_by_the_high_water_mark() {
    assert_eq!(missing_since(10, 10), None);
    assert_eq!(missing_since(11, 10), None, "the mark is written once a second: the log may be ahead");
    assert_eq!(missing_since(7, 10), Some(Lost { events: 3, after: 7 }));
}

#[tokio::test]
async fn after_a_loss_no_sequence_is_given_twice() {
    let world = World::new();
    let log = world.open();
    let ports = world.ports(&log);
    ports.put("a", None, &["bot"]).await;
    log.continue_after(40).await.unwrap();
    assert_eq!(ports.put("b", None, &["bot"]).await.sequence, 41);
    drop((ports, log));
    let log = world.open();
    let ports = world.ports(&log);
    assert_eq!(ports.put("c", None, &["bot"]).await.sequence, 42);
    assert_eq!(keys(&ports.first("bot", 9).await), ["a", "b", "c"]);
    assert_eq!(log.following(1, 9).await.unwrap().events.len(), 2);
}

#[tokio::test]
async fn a_day_that_begins_with_no_event_takes_nothing_from_the_days_before_it() {
    let world = World::new();
    {
        let log = world.open();
        let ports = world.ports(&log);
        for name in ["a", "b", "c"] {
            ports.put(name, Some("tt1"), &["bot"]).await;
        }
        ports.advance(86_400);
        // The next day is opened for a read of a token, and the service is started again before anything is pushed.
        let read = Read {
            key: String::from("bots"),
            action: String::from("token.read"),
            component: String::from("douyin"),
            authorizer: None,
            generation: 1,
            remote: String::from("127.0.0.1"),
            at: ports.now(),
            count: 1,
        };
        log.append(vec![read]).await.unwrap();
    }
    let log = world.open();
    let ports = world.ports(&log);
    assert_eq!(log.following(0, 9).await.unwrap().events.len(), 3);
    assert_eq!(keys(&ports.first("bot", 9).await), ["a", "b", "c"]);
    assert_eq!(ports.put("d", None, &["bot"]).await.sequence, 4);
    drop((ports, log));
    let log = world.open();
    assert_eq!(log.following(0, 9).await.unwrap().events.len(), 4);
}

#[tokio::test]
async fn retention_gives_disk_space_back() {
    let world = World::new();
    let log = world.open();
    let ports = world.ports(&log);
    let folder = world.folder.path().join("log");
    // Bodies that cannot be compressed.
    let mut noise = 1u64;
    let mut body = |length: usize| {
        let next = || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 33).to_string().into_bytes()
        };
        std::iter::repeat_with(next).flatten().take(length).collect::<Vec<u8>>()
    };
    for day in 0..3 {
        let mut pushes = Vec::new();
        for number in 0..300 {
            let mut arrival = arrival(&format!("{day}.{number}"), Some("tt1"), ports.now(), &["bot"]);
            arrival.event.body = body(100_000).into();
            let log = log.clone();
            pushes.push(tokio::spawn(async move { log.accept(arrival).await.unwrap() }));
        }
        for push in pushes {
            assert!(matches!(push.await.unwrap(), Accepted::Fresh(_)));
        }
        loop {
            let claimed = ports.first("bot", 100).await;
            if claimed.is_empty() {
                break;
            }
            let done: Vec<_> = claimed
                .into_iter()
                .map(|one| {
                    let ports = ports.clone();
                    tokio::spawn(async move { ports.deliver(&one).await })
                })
                .collect();
            for one in done {
                one.await.unwrap();
            }
        }
        ports.advance(86_400);
    }
    let before = disk_bytes(&folder);
    // 90 MB of bodies, a little less where the engine has compressed them already.
    assert!(before > 80_000_000, "{before}");
    let expunged = log.expunge(ports.now() - SignedDuration::from_hours(1)).await.unwrap();
    assert_eq!((expunged.events, expunged.deliveries), (900, 900));
    assert_eq!(log.count(&EventFilter::default()).await.unwrap(), 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    let after = loop {
        let after = disk_bytes(&folder);
        // The active journal of at most 64 MiB stays.
        if after < 70_000_000 || Instant::now() > deadline {
            break after;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(after < 70_000_000, "{before} bytes before, {after} after");
}

#[tokio::test]
async fn what_is_held_for_writing_goes_to_tables_however_much_comes() {
    let world = World::new();
    let log = world.open();
    let ports = world.ports(&log);
    for round in 0..8 {
        let mut pushes = Vec::new();
        for number in 0..100 {
            let mut arrival = arrival(&format!("{round}.{number}"), Some("tt1"), ports.now(), &[]);
            arrival.event.body = vec![b'x'; 100_000].into();
            let log = log.clone();
            pushes.push(tokio::spawn(async move { log.accept(arrival).await.unwrap() }));
        }
        for push in pushes {
            assert!(matches!(push.await.unwrap(), Accepted::Fresh(_)));
        }
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    // 80 MB came. What a keyspace holds at most is 16 MiB, and what is being written out comes to that.
    while log.held_bytes() > 20 * 1024 * 1024 {
        assert!(Instant::now() < deadline, "{} bytes are held in memory", log.held_bytes());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Two hundred pushes at once, of which every second platform hangs up before its answer: the others have theirs.
async fn some_hang_up() {
    let world = World::new();
    let log = world.open();
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move { log.accept(arrival(&format!("{number}"), Some("tt1"), start(), &[])).await })
        })
        .collect();
    tokio::task::yield_now().await;
    for task in tasks.iter().step_by(2) {
        task.abort();
    }
    for task in tasks.into_iter().skip(1).step_by(2) {
        let answered = tokio::time::timeout(std::time::Duration::from_secs(20), task).await.expect("no answer").unwrap();
        assert!(matches!(answered.unwrap(), Accepted::Fresh(_)));
    }
}

#[tokio::test]
async fn who_hangs_up_takes_no_answer_of_its_thread_along() {
    some_hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_hangs_up_takes_no_answer_of_many_threads_along() {
    some_hang_up().await;
}

#[tokio::test]
async fn a_retired_name_is_retired_after_a_crash_too() {
    let world = World::new();
    let log = world.open();
    let ports = world.ports(&log);
    ports.put("a", None, &["bot", "other"]).await;
    log.retire("bot", ports.now()).await.unwrap();
    let crashed = world.folder.path().join("crashed");
    copy(&world.folder.path().join("log"), &crashed);
    drop((ports, log));
    let log = world.open_at(&crashed);
    let ports = world.ports(&log);
    ports.put("b", None, &["bot", "other"]).await;
    let known: Vec<_> = log.names().await.unwrap().into_iter().map(|one| (one.pending, one.retired_at)).collect();
    assert_eq!(known, [(1, Some(start())), (2, None)]);
}
