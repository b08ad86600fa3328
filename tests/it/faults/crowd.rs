//! Everybody at once: the same push ten thousand times, and more pushes than the disk takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use yizhan::platform::twin::Verdict;

use super::station::{Start, Station, mark};
use super::steps::Meddler;
use super::times;

/// The very first copies race each other: nothing of it is stored when they come.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_copies_of_one_push_at_once_are_one_event() {
    let copies = times(2000, 10_000);
    let mut station = Station::at(None).await;
    let verdict = Verdict::Failed(String::from("mark-first-"));
    let (push, unheard) = station.simulator.audit("douyin", "1000001", "1.0.0", &verdict).await.unwrap();
    assert_eq!(unheard.status, 0, "nobody listens yet");
    station.start().await;
    let senders: Vec<_> = (0..copies)
        .map(|_| {
            let (simulator, push) = (station.simulator.clone(), push.clone());
            tokio::spawn(async move { simulator.repeat("douyin", &push).await.unwrap() })
        })
        .collect();
    let mut acknowledged = 0;
    for sender in senders {
        let answered = sender.await.unwrap();
        // More than may wait, or more than the system lets connect at once, is turned away; nobody is told a lie.
        assert!(answered.acknowledged || [0, 503].contains(&answered.status), "{answered:?}");
        acknowledged += u64::from(answered.acknowledged);
    }
    assert!(acknowledged * 10 > copies * 9, "{acknowledged} of {copies}");
    let (_, page) = station.get("/v1/events?type=audit.*&limit=500").await;
    let events = page["items"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{page}");
    assert_eq!(mark(&events[0]), "mark-first-");
    let delivered = || station.handler.received().iter().filter(|one| one.event["id"] == events[0]["id"]).count();
    until("delivery", async || delivered() > 0).await;
    println!("{copies} copies at once, {acknowledged} acknowledged, 1 event, {} deliveries", delivered());
    assert_eq!(delivered(), 1);
}

/// While the disk holds a sync back, more pushes come than may wait: those are refused at once and never answered well, and however many more
/// come, memory stays where it was. Once the disk goes on, everything that waited is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_memory_stays_bounded() {
    let (_meddler, station, held_back) = beside_a_disk_that_can_be_held_back().await;
    let before = station.resident();
    std::fs::write(&held_back, "").unwrap();

    let (refused, others) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let wave = |pushes: u64| {
        let sent: Vec<_> = (0..pushes)
            .map(|_| {
                let (simulator, ledger) = (station.simulator.clone(), station.ledger.clone());
                let (refused, others) = (refused.clone(), others.clone());
                tokio::spawn(async move {
                    let answered = ledger.answered(&simulator, "douyin").await;
                    match answered.status {
                        200 => assert!(answered.acknowledged),
                        503 => drop(refused.fetch_add(1, Ordering::Relaxed)),
                        _ => drop(others.fetch_add(1, Ordering::Relaxed)),
                    }
                })
            })
            .collect();
        sent
    };
    // A group is at the disk, a queue is behind it.
    const ROOM: u64 = 1024 + 4096;
    let first = wave(ROOM + 500);
    until("refusals", async || refused.load(Ordering::Relaxed) >= 400).await;
    let full = station.resident();
    let more = times(1000, 4000);
    for _ in 0..more / 500 {
        for push in wave(500) {
            push.await.unwrap();
        }
    }
    let still_full = station.resident();
    let turned_away = refused.load(Ordering::Relaxed);
    assert!(turned_away >= more + 400, "{turned_away}");
    assert_eq!(station.ledger.count(), 0, "nothing is acknowledged while nothing is on the disk");
    std::fs::remove_file(&held_back).unwrap();
    for push in first {
        push.await.unwrap();
    }
    let stored = station.ledger.count() as u64;
    println!(
        "{stored} stored, {turned_away} refused; resident {before} KiB before, {full} KiB when full, {still_full} KiB after {more} more"
    );
    // Where everything is slow, a few connections break before their push is read.
    let others = others.load(Ordering::Relaxed);
    assert!(others * 100 <= stored + turned_away, "almost each push is answered: {others} are not");
    // The service's own writes wait in the same queue.
    assert!(stored > 4000, "{stored} stored");
    // Thousands of connections that wait take their buffers; those that are turned away leave nothing behind.
    assert!(full < before + 256 * 1024, "{before} KiB, then {full} KiB");
    assert!(still_full < full + 32 * 1024, "{full} KiB, then {still_full} KiB");
    let account = station.account().await;
    assert!(account.stored <= account.acknowledged + others as usize, "nothing that was refused is stored: {account}");
    account.settle("after a full queue");
}

/// A service that runs, and a file: while that is there, no sync of the log ends.
async fn beside_a_disk_that_can_be_held_back() -> (Meddler, Station, PathBuf) {
    let meddler = Meddler::new();
    let mut station = Station::at(None).await;
    station.start().await;
    station.stop().await;
    let store = station.store.to_str().unwrap().to_owned();
    let held_back = station.beside("held-back");
    let environment = meddler.environment(&store, ".jnl", "fdatasync", "slow", 1);
    let mut environment = environment.each();
    environment.push(("MEDDLE_WHILE", held_back.to_str().unwrap()));
    assert!(matches!(station.try_start(&environment).await, Start::Ready));
    (meddler, station, held_back)
}

/// More strangers connect than the process may have files open, and say nothing: whoever has something to say comes through between them, and the store
/// has the files that it needs for what must be written out.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_leave_the_store_its_files() {
    let mut station = Station::at(None).await;
    station.limits = Some("-n 600");
    assert!(matches!(station.try_start(&[("YIZHAN__SERVER__CLIENT_TIMEOUT", "1s")]).await, Start::Ready));
    assert!(station.talk().contains("it takes 150 connections at a time in place of 8192"), "{}", station.talk());
    let address = station.base.strip_prefix("http://").unwrap().to_owned();
    let crowd: Vec<_> = (0..800)
        .map(|_| {
            let address = address.clone();
            tokio::spawn(async move {
                loop {
                    if let Ok(mut silent) = tokio::net::TcpStream::connect(&address).await {
                        // Until the service has had enough of it.
                        drop(silent.read(&mut [0]).await);
                    }
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // More than is held in memory, several times.
    for _ in 0..times(12, 40) {
        let wave = (0..30).map(|_| station.ledger.answered_at_length(&station.simulator, "douyin", 20_000));
        drop(futures_util::future::join_all(wave).await);
        assert_eq!(station.ended(), None, "{}", station.talk());
    }
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
    println!("{} acknowledged beside {} silent connections", station.ledger.count(), crowd.len());
    assert!(station.ledger.count() > 0);
    until("the service by itself", async || station.get("/readyz").await.0 == 200).await;
    station.account().await.settle("after the strangers have gone");
}

/// A shell lets its processes have fewer files open than they may have if they ask.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_open_files_is_raised_as_far_as_it_may_be() {
    let mut station = Station::at(None).await;
    station.limits = Some("-S -n 400");
    station.start().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", station.pid())).unwrap();
    let of_files: Vec<&str> = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(of_files[0], of_files[1], "{limits}");
    assert_ne!(of_files[0], "400", "{limits}");
}

async fn until(what: &str, reached: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(25);
    while !reached().await {
        assert!(Instant::now() < deadline, "no {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A disk that does not answer ends no commit, so that no count tells of it: what is under way is told, in `/readyz` and to Prometheus.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_does_not_answer_is_told_while_it_does_not() {
    let (_meddler, station, held_back) = beside_a_disk_that_can_be_held_back().await;
    assert_eq!(station.get("/readyz").await.0, 200);
    std::fs::write(&held_back, "").unwrap();

    let push = tokio::spawn({
        let (simulator, ledger) = (station.simulator.clone(), station.ledger.clone());
        async move { ledger.answered(&simulator, "douyin").await }
    });
    until("a store that does not answer", async || station.get("/readyz").await.0 == 503).await;
    let (_, ready) = station.get("/readyz").await;
    assert!(ready["log"]["detail"].as_str().unwrap().contains("its disk does not answer"), "{ready}");
    let metrics = station.client.get(format!("{}/metrics", station.base)).send().await.unwrap().bytes().await.unwrap();
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    let running = metrics.lines().find_map(|line| line.strip_prefix("yizhan_commit_running_seconds{store=\"log\"} ")).unwrap();
    assert!(running.parse::<f64>().unwrap() >= 10.0, "{running}");

    std::fs::remove_file(&held_back).unwrap();
    until("a store that answers again", async || station.get("/readyz").await.0 == 200).await;
    push.await.unwrap();
}
