//! Reads that fail for a reason that may pass: nothing is known of what is stored then, so nothing of it is changed, and all of it is there again afterwards.

use std::path::{Path, PathBuf};

use fjall::Database;
use jiff::SignedDuration;
use yizhan::fanout::Outbox;
use yizhan::fanout::delivery::Lane;
use yizhan::inbox::replay::ReplayLog;
use yizhan::inbox::{EventFilter, EventLog, LogError};

use super::damage::{keyspaces, opened, tables};
use super::world::{World, key, keys};

const DAY: i64 = 86_400;

/// Tables that cannot be opened until this is dropped.
struct Withheld(Vec<PathBuf>);

impl Withheld {
    /// Each becomes a link to itself, so that whoever opens it is told ELOOP, which says nothing of what is stored. One that was read since the log was
    /// opened is open already.
    fn new(tables: &[PathBuf]) -> Self {
        for table in tables {
            std::fs::rename(table, aside(table)).unwrap();
            std::os::unix::fs::symlink(table, table).unwrap();
        }
        Self(tables.to_vec())
    }
}

impl Drop for Withheld {
    fn drop(&mut self) {
        for table in &self.0 {
            std::fs::rename(aside(table), table).unwrap();
        }
    }
}

fn aside(table: &Path) -> PathBuf {
    table.with_extension("aside")
}

fn log_of(world: &World) -> PathBuf {
    world.folder.path().join("log")
}

/// A log with one event of each of two days, and a delivery to `bot` that was tried once, of the event of the day whose place is told; the tables that
/// hold its record.
async fn two_days(world: &World, subscribers: [&[&str]; 2], tried: usize) -> Vec<PathBuf> {
    let (log, ports) = opened(world);
    for (number, subscribers) in subscribers.into_iter().enumerate() {
        ports.put(["a", "b"][number], None, subscribers).await;
        if number == tried {
            let claimed = ports.first("bot", 9).await;
            ports.fail(claimed.last().unwrap(), 60).await;
        }
        ports.advance(DAY);
    }
    drop((log, ports));
    let days = keyspaces(world, "delivery");
    tables(&log_of(world), &days[tried])
}

#[tokio::test]
async fn events_are_sent_again_all_or_none() {
    let world = World::new();
    let records = two_days(&world, [&[], &["bot"]], 1).await;
    let (log, ports) = opened(&world);
    let ids: Vec<_> = log.following(0, 9).await.unwrap().events.iter().map(|event| event.id).collect();
    {
        let _away = Withheld::new(&records);
        let done = log.enqueue(&ids, "bot", None, ports.now()).await;
        assert!(matches!(done, Err(LogError::Unread(_))), "{done:?}");
        assert_eq!(log.depth("bot").await.unwrap().pending, 1, "nothing was done of what failed");
    }
    assert_eq!(log.enqueue(&ids, "bot", None, ports.now()).await.unwrap().len(), 2);
    assert_eq!(log.depth("bot").await.unwrap().pending, 2);
}

#[tokio::test]
async fn what_waits_is_cancelled_all_or_none() {
    let world = World::new();
    let records = two_days(&world, [&["bot"], &["bot"]], 1).await;
    let (log, _ports) = opened(&world);
    {
        let _away = Withheld::new(&records);
        assert!(matches!(log.cancel_all("bot").await, Err(LogError::Unread(_))));
        assert_eq!(log.depth("bot").await.unwrap().pending, 2, "nothing was done of what failed");
    }
    assert_eq!(log.cancel_all("bot").await.unwrap(), 2);
}

#[tokio::test]
async fn retention_waits_with_later_days_for_one_that_cannot_be_read() {
    let world = World::new();
    let records = two_days(&world, [&["bot"], &["bot"]], 0).await;
    let (log, ports) = opened(&world);
    ports.advance(60 * DAY);
    ports.put("today", None, &[]).await;
    let before = ports.now() - SignedDuration::from_hours(24 * 30);
    let followed = async || {
        let events = log.following(0, 9).await.unwrap().events;
        events.iter().map(key).collect::<Vec<_>>()
    };
    {
        let _away = Withheld::new(&records);
        assert_eq!(log.expunge(before).await.unwrap().events, 0);
        assert_eq!(followed().await, ["a", "b", "today"], "what waits of a later day is in its place");
    }
    assert_eq!(log.expunge(before).await.unwrap().events, 0, "both days go, and what waits of them is kept");
    assert_eq!(followed().await, ["a", "b", "today"]);
    assert_eq!(log.count(&EventFilter::default()).await.unwrap(), 3);
    assert_eq!(keys(&ports.claim("bot", Lane::Retry, 9, false).await), ["a"]);
    assert_eq!(keys(&ports.first("bot", 9).await), ["b"]);
}

#[tokio::test]
async fn a_delivery_of_a_replay_whose_count_cannot_be_read_is_settled_later() {
    let world = World::new();
    let (log, ports) = opened(&world);
    let events = [ports.put("a", None, &[]).await.id, ports.put("b", None, &[]).await.id];
    log.enqueue(&events, "bot", Some("rpl_1"), ports.now()).await.unwrap();
    ports.deliver(&ports.first("bot", 1).await[0]).await;
    drop((log, ports));
    // The count in a table of its own: whatever else stands there would be read when the log is opened.
    let others = tables(&log_of(&world), "meta");
    {
        let db = Database::builder(log_of(&world)).open().unwrap();
        let meta = db.keyspace("meta", Default::default).unwrap();
        let (name, count) = meta.prefix([b'o']).next().unwrap().into_inner().unwrap();
        meta.insert(name, count).unwrap();
    }
    let mut counts = tables(&log_of(&world), "meta");
    counts.retain(|table| !others.contains(table));

    let (log, ports) = opened(&world);
    let claimed = ports.first("bot", 1).await;
    {
        let _away = Withheld::new(&counts);
        ports.deliver(&claimed[0]).await;
        assert_eq!(log.depth("bot").await.unwrap().pending, 1, "it is not settled");
        assert!(log.failed().borrow().is_none(), "and everything else goes on");
        ports.put("c", None, &["bot"]).await;
    }
    assert_eq!(log.outcome("rpl_1").await.unwrap(), (1, 0));
    ports.advance(61);
    let again = ports.first("bot", 1).await;
    assert_eq!(keys(&again), ["b"], "its claim ran out");
    ports.deliver(&again[0]).await;
    assert_eq!(log.outcome("rpl_1").await.unwrap(), (2, 0));
}
