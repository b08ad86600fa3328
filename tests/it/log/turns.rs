//! Who reads, and how many at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use yizhan::fanout::Outbox;
use yizhan::fanout::delivery::Wanted;
use yizhan::inbox::{EventFilter, EventLog, LogError};

use super::world::World;

/// Whoever comes by waits until it is opened, and is counted.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    came: AtomicU64,
}

impl Gate {
    fn pass(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// Opens it when the story ends, also where it ends badly: threads that wait for it would hold up the end.
struct Ends(Arc<Gate>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.open();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_count_at_a_time_lists_go_on_and_nobody_counts_for_those_who_hung_up() {
    let world = World::new();
    let log = world.open();
    let ports = world.ports(&log);
    for number in 0..50 {
        ports.put(&number.to_string(), Some("tt1"), &[]).await;
    }
    let gate = Arc::new(Gate::default());
    let _ends = Ends(Arc::clone(&gate));
    let counting = || {
        let (log, gate) = (Arc::clone(&log), Arc::clone(&gate));
        let wanted: Wanted = Arc::new(move |_, _| {
            gate.pass();
            true
        });
        tokio::spawn(async move { log.count_events(&EventFilter::default(), wanted).await })
    };
    let (one, other) = (counting(), counting());
    while gate.came.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(log.count(&EventFilter::default()).await, Err(LogError::Crowded)), "a third waits for a while only");
    for filter in [EventFilter::default(), EventFilter { q: Some(String::from("data")), ..EventFilter::default() }] {
        assert_eq!(log.page(&filter, None, 10).await.unwrap().items.len(), 10, "{filter:?}");
    }
    one.abort();
    assert!(one.await.unwrap_err().is_cancelled());
    gate.open();
    assert_eq!(other.await.unwrap().unwrap(), 50);
    for _ in 0..2 {
        assert_eq!(log.count(&EventFilter::default()).await.unwrap(), 50, "both turns are given back");
    }
    assert_eq!(gate.came.load(Ordering::SeqCst), 51, "the one that was given up ended with the event it was at");
}

/// Threads of this process.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_readers_does_not_become_a_crowd_of_threads() {
    let world = World::new();
    let log = world.open();
    let ports = world.ports(&log);
    for number in 0..200 {
        ports.put(&number.to_string(), Some("tt1"), &["bot"]).await;
    }
    let filter = EventFilter { q: Some(String::from("what no event holds")), ..EventFilter::default() };
    let before = threads();
    let pages = (0..300).map(|_| log.page(&filter, None, 10));
    for page in futures_util::future::join_all(pages).await {
        assert!(page.unwrap().items.is_empty());
    }
    // Threads that read stay for a while when they have nothing to do. A few more come than there are turns: one that has just given back its own is not
    // free yet for the next reader.
    assert!(threads() <= before + 32, "{} threads after {before}", threads());
}
