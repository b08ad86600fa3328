//! Followers of the log: every event of their kinds, in order, across restarts and failures.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use yizhan::event_type::EventType;
use yizhan::fanout::follower::{Bookmarks, Follower, Listener, Shelves};
use yizhan::inbox::{Event, LogError};
use yizhan::shutdown::Shutdown;
use yizhan::store::fjall::FjallLog;

use super::world::{World, arrival};

/// Remembers what it was told, and refuses as often as it is told to.
struct Ear {
    heard: watch::Sender<Vec<u64>>,
    refuses: Mutex<u32>,
    is_deaf: AtomicBool,
    /// How often it was asked whether it listens.
    asked: watch::Sender<u32>,
}

impl Ear {
    fn new(refuses: u32) -> Arc<Self> {
        Arc::new(Self {
            heard: watch::Sender::default(),
            refuses: Mutex::new(refuses),
            is_deaf: false.into(),
            asked: watch::Sender::default(),
        })
    }

    /// The first so many that it heard, and any more.
    async fn until(&self, count: usize) -> Vec<u64> {
        let mut heard = self.heard.subscribe();
        let all = heard.wait_for(|heard| heard.len() >= count);
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("not told").unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Listener for Ear {
    async fn hear(&self, events: &[Event]) -> Result<(), LogError> {
        let mut refuses = self.refuses.lock().unwrap();
        if *refuses > 0 {
            *refuses -= 1;
            return Err(LogError::Full);
        }
        self.heard.send_modify(|heard| heard.extend(events.iter().map(|event| event.sequence)));
        Ok(())
    }

    fn is_listening(&self) -> bool {
        let is_listening = !self.is_deaf.load(Ordering::SeqCst);
        self.asked.send_modify(|asked| *asked += 1);
        is_listening
    }
}

/// A follower under way, and the ear that it tells.
struct Running {
    ear: Arc<Ear>,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn heard(&self, count: usize) -> Vec<u64> {
        self.ear.until(count).await
    }

    async fn stop(self) {
        self.shutdown.request();
        self.task.await.unwrap();
    }
}

async fn follow(world: &World, log: &Arc<FjallLog>) -> Running {
    follow_with(world, log, Ear::new(0)).await
}

async fn follow_with(world: &World, log: &Arc<FjallLog>, ear: Arc<Ear>) -> Running {
    let shelves = Shelves { log: log.clone(), marks: log.clone() };
    let follower = Follower::open("ear", ["audit.*"], ear.clone(), shelves, world.clock.clone()).await.unwrap();
    let shutdown = Shutdown::default();
    Running { task: tokio::spawn(follower.run(shutdown.clone())), shutdown, ear }
}

async fn put(world: &World, log: &Arc<FjallLog>, count: usize) {
    let ports = world.ports(log);
    for _ in 0..count {
        ports.put(&uuid::Uuid::new_v4().to_string(), Some("tt1"), &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_hears_events_of_its_kinds_in_order_and_no_delivery_is_written() {
    let world = World::new();
    let log = world.open();
    let running = follow(&world, &log).await;
    put(&world, &log, 3).await;
    let ports = world.ports(&log);
    let mut other = arrival("other", Some("tt1"), ports.now(), &[]);
    other.event.kind = EventType::AuthorizationGranted;
    ports.put_arrival(other).await;
    put(&world, &log, 600).await;
    let heard = running.heard(603).await;
    assert_eq!(heard, (1..=3).chain(5..=604).collect::<Vec<u64>>());
    assert!(ports.outbox.depth("ear").await.unwrap().pending == 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_while_nobody_listens_is_passed_over() {
    let world = World::new();
    let log = world.open();
    let ear = Ear::new(0);
    ear.is_deaf.store(true, Ordering::SeqCst);
    let running = follow_with(&world, &log, ear.clone()).await;
    let mut asked = ear.asked.subscribe();
    for looks in 1..=3 {
        tokio::time::timeout(Duration::from_secs(10), asked.wait_for(|asked| *asked >= looks)).await.unwrap().unwrap();
        put(&world, &log, 1).await;
    }
    tokio::time::timeout(Duration::from_secs(10), asked.wait_for(|asked| *asked >= 4)).await.unwrap().unwrap();
    ear.is_deaf.store(false, Ordering::SeqCst);
    put(&world, &log, 2).await;
    assert_eq!(running.heard(2).await, [4, 5]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_after_a_restart_where_it_was() {
    let world = World::new();
    let log = world.open();
    let running = follow(&world, &log).await;
    put(&world, &log, 2).await;
    running.heard(2).await;
    running.stop().await;
    put(&world, &log, 2).await;
    drop(log);
    let log = world.open();
    let running = follow(&world, &log).await;
    put(&world, &log, 1).await;
    assert_eq!(running.heard(3).await, [3, 4, 5]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_follower_of_a_name_hears_what_comes_from_now_on_even_if_it_is_killed_at_once() {
    let world = World::new();
    let log = world.open();
    put(&world, &log, 2).await;
    let running = follow(&world, &log).await;
    running.task.abort();
    put(&world, &log, 2).await;
    let running = follow(&world, &log).await;
    assert_eq!(running.heard(2).await, [3, 4]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_since_the_last_bookmark_is_heard_again_after_a_crash() {
    let world = World::new();
    let log = world.open();
    let running = follow(&world, &log).await;
    put(&world, &log, 2).await;
    running.heard(2).await;
    // The clock stands still, so the second has not passed.
    running.task.abort();
    let running = follow(&world, &log).await;
    assert_eq!(running.heard(2).await, [1, 2]);
    world.clock.advance(jiff::SignedDuration::from_secs(2));
    let kept = async {
        while log.bookmark("ear").await.unwrap() != Some(2) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), kept).await.expect("the place is not remembered");
    running.task.abort();
    let running = follow(&world, &log).await;
    put(&world, &log, 1).await;
    assert_eq!(running.heard(1).await, [3]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_taken_in_is_told_again_before_later_ones() {
    let world = World::new();
    let log = world.open();
    let running = follow_with(&world, &log, Ear::new(3)).await;
    put(&world, &log, 2).await;
    let patience = async {
        while running.ear.heard.borrow().len() < 2 {
            world.clock.advance(jiff::SignedDuration::from_millis(10));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), patience).await.expect("not told again");
    assert_eq!(running.heard(2).await, [1, 2]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_behind_the_newest_event_counts_only_up_to_it() {
    let world = World::new();
    let log = world.open();
    put(&world, &log, 1).await;
    log.keep_bookmark("ear", 40).await.unwrap();
    let running = follow(&world, &log).await;
    put(&world, &log, 1).await;
    assert_eq!(running.heard(1).await, [2]);
    running.stop().await;
}
