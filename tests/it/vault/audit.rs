//! Who read what: counted within a minute, written in the background and at shutdown.

use std::sync::Mutex;

use yizhan::inbox::log::{LogError, Page, Position};
use yizhan::shutdown::Shutdown;
use yizhan::vault::audit::{Read, ReadAudit, ReadLog, Reading};

use super::*;

#[derive(Default)]
struct Kept {
    reads: Mutex<Vec<Read>>,
    fails: Mutex<bool>,
}

#[async_trait::async_trait]
impl ReadLog for Kept {
    async fn append(&self, reads: Vec<Read>) -> Result<(), LogError> {
        if *self.fails.lock().unwrap() {
            return Err(LogError::Full);
        }
        self.reads.lock().unwrap().extend(reads);
        Ok(())
    }
    async fn reads(&self, _component: Option<&str>, _after: Option<&Position>, _limit: usize) -> Result<Page<Read>, LogError> {
        Ok(Page { items: self.reads.lock().unwrap().clone(), next: None })
    }
}

impl Kept {
    /// Waits until it holds so many.
    async fn holds(&self, count: usize) {
        while self.reads.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    }
}

fn reading(remote: &str) -> Reading<'static> {
    Reading {
        key: "orders",
        action: "token.read",
        component: NAME,
        authorizer: Some("app1"),
        generation: 3,
        remote: remote.parse().unwrap(),
    }
}

#[tokio::test]
async fn repeats_within_a_minute_are_counted() {
    let (clock, log) = (Arc::new(ManualClock::starting_at(start())), Arc::new(Kept::default()));
    let audit = Arc::new(ReadAudit::new(Arc::clone(&log) as _, Arc::clone(&clock) as _));
    for _ in 0..100 {
        audit.note(reading("10.0.0.1"));
    }
    audit.note(reading("10.0.0.2"));
    clock.advance(SignedDuration::from_secs(59));
    audit.note(reading("10.0.0.1"));
    clock.advance(SignedDuration::from_secs(1));
    audit.note(reading("10.0.0.1"));
    audit.flush().await;
    let mut counts: Vec<_> = log.reads.lock().unwrap().iter().map(|read| (read.remote.clone(), read.at, read.count)).collect();
    counts.sort();
    let minute_later = start() + SignedDuration::from_secs(60);
    let expected = [("10.0.0.1", start(), 101), ("10.0.0.1", minute_later, 1), ("10.0.0.2", start(), 1)];
    assert_eq!(counts, expected.map(|(remote, at, count)| (remote.to_owned(), at, count)));
}

#[tokio::test]
async fn the_first_of_a_minute_is_written_within_seconds_and_its_repeats_when_it_is_over() {
    let (clock, log) = (Arc::new(ManualClock::starting_at(start())), Arc::new(Kept::default()));
    let audit = Arc::new(ReadAudit::new(Arc::clone(&log) as _, Arc::clone(&clock) as _));
    let shutdown = Shutdown::default();
    let task = tokio::spawn(Arc::clone(&audit).run(shutdown.clone()));
    audit.note(reading("10.0.0.1"));
    tokio::task::yield_now().await;
    clock.advance(SignedDuration::from_secs(5));
    log.holds(1).await;
    audit.note(reading("10.0.0.1"));
    audit.note(reading("10.0.0.1"));
    for _ in 0..11 {
        tokio::task::yield_now().await;
        clock.advance(SignedDuration::from_secs(5));
    }
    log.holds(2).await;
    audit.note(reading("10.0.0.2"));
    shutdown.request();
    task.await.unwrap();
    let counts: Vec<_> = log.reads.lock().unwrap().iter().map(|read| (read.at.duration_since(start()).as_secs(), read.count)).collect();
    assert_eq!(counts, [(0, 1), (5, 2), (60, 1)]);
}

#[tokio::test]
async fn what_makes_a_vendor_do_something_is_written_at_once() {
    let (clock, log) = (Arc::new(ManualClock::starting_at(start())), Arc::new(Kept::default()));
    let audit = Arc::new(ReadAudit::new(Arc::clone(&log) as _, Arc::clone(&clock) as _));
    let shutdown = Shutdown::default();
    let task = tokio::spawn(Arc::clone(&audit).run(shutdown.clone()));
    audit.note(Reading { action: "operation:package.release", ..reading("10.0.0.1") });
    // The clock stands still.
    log.holds(1).await;
    audit.note(Reading { action: "operation:package.release", ..reading("10.0.0.1") });
    log.holds(2).await;
    audit.note(reading("10.0.0.1"));
    shutdown.request();
    task.await.unwrap();
    assert_eq!(log.reads.lock().unwrap().iter().map(|read| read.count).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn what_is_urgent_again_and_again_holds_up_no_other() {
    let (clock, log) = (Arc::new(ManualClock::starting_at(start())), Arc::new(Kept::default()));
    let audit = Arc::new(ReadAudit::new(Arc::clone(&log) as _, Arc::clone(&clock) as _));
    let shutdown = Shutdown::default();
    let task = tokio::spawn(Arc::clone(&audit).run(shutdown.clone()));
    audit.note(reading("10.0.0.1"));
    for urgent in 1..=5 {
        audit.note(Reading { action: "ticket.read", ..reading("10.0.0.2") });
        log.holds(urgent).await;
        clock.advance(SignedDuration::from_secs(2));
    }
    let is_read = |read: &Read| read.action == "token.read";
    while !log.reads.lock().unwrap().iter().any(is_read) {
        tokio::task::yield_now().await;
    }
    shutdown.request();
    task.await.unwrap();
}

#[tokio::test]
async fn what_the_log_does_not_take_is_written_later() {
    let (clock, log) = (Arc::new(ManualClock::starting_at(start())), Arc::new(Kept::default()));
    let audit = ReadAudit::new(Arc::clone(&log) as _, clock as _);
    *log.fails.lock().unwrap() = true;
    audit.note(reading("10.0.0.1"));
    audit.flush().await;
    audit.note(reading("10.0.0.1"));
    *log.fails.lock().unwrap() = false;
    audit.flush().await;
    let total = || log.reads.lock().unwrap().iter().map(|read| read.count).sum::<u64>();
    assert_eq!(total(), 2);
    audit.flush().await;
    assert_eq!(total(), 2, "nothing is written twice");
}
