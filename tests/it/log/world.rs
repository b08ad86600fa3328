//! A log in a temporary folder, and made-up events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use yizhan::clock::{ManualClock, Timestamp};
use yizhan::event_type::EventType;
use yizhan::fanout::Outbox;
use yizhan::fanout::delivery::{Attempt, Claimed, Lane, Settlement};
use yizhan::inbox::replay::ReplayLog;
use yizhan::inbox::{Accepted, Arrival, Event, EventId, EventLog, Rejections, message_hash};
use yizhan::secret::Secret;
use yizhan::store::at_rest::AtRest;
use yizhan::store::fjall::{FjallLog, LogOptions};
use yizhan::vault::audit::ReadLog;

/// Every port of a store, and the clock it was given.
#[derive(Clone)]
pub struct Ports {
    pub events: Arc<dyn EventLog>,
    pub outbox: Arc<dyn Outbox>,
    pub rejections: Arc<dyn Rejections>,
    pub replays: Arc<dyn ReplayLog>,
    pub reads: Arc<dyn ReadLog>,
    pub clock: Arc<ManualClock>,
}

pub fn start() -> Timestamp {
    "2026-11-20T07:04:05.12Z".parse().unwrap()
}

/// A master key.
pub fn key_of(byte: u8) -> Secret {
    use base64::Engine;
    Secret::new(base64::engine::general_purpose::STANDARD.encode([byte; 32]))
}

pub fn at_rest(byte: u8) -> Arc<AtRest> {
    Arc::new(AtRest::new(&key_of(byte), &[]).unwrap())
}

/// A folder with a log in it that can be closed and opened again.
pub struct World {
    pub folder: tempfile::TempDir,
    pub clock: Arc<ManualClock>,
    pub options: LogOptions,
}

impl World {
    pub fn new() -> Self {
        let options = LogOptions { rejected_keep: 5, ..LogOptions::default() };
        Self { folder: tempfile::tempdir().unwrap(), clock: Arc::new(ManualClock::starting_at(start())), options }
    }

    pub fn open(&self) -> Arc<FjallLog> {
        self.open_at(&self.folder.path().join("log"))
    }

    pub fn open_at(&self, folder: &std::path::Path) -> Arc<FjallLog> {
        FjallLog::open(folder, at_rest(7), self.options.clone(), self.clock.clone()).unwrap()
    }

    pub fn ports(&self, log: &Arc<FjallLog>) -> Ports {
        Ports {
            events: log.clone(),
            outbox: log.clone(),
            rejections: log.clone(),
            replays: log.clone(),
            reads: log.clone(),
            clock: self.clock.clone(),
        }
    }
}

/// An arrival about `authorizer` with that dedupe key, received at `at`.
pub fn arrival(key: &str, authorizer: Option<&str>, at: Timestamp, subscribers: &[&str]) -> Arrival {
    let event = Event {
        sequence: 0,
        id: EventId::of_message(at, &message_hash(&format!("douyin\n{key}"))),
        component: String::from("douyin"),
        platform: String::from("douyin"),
        authorizer: authorizer.map(str::to_owned),
        kind: EventType::AuditPassed,
        time: at,
        received_at: at,
        body: Bytes::from(format!("{{\"data\":\"{key}\"}}")),
    };
    Arrival {
        event,
        dedupe_key: format!("douyin\n{key}"),
        sealed: None,
        subscribers: subscribers.iter().map(ToString::to_string).collect(),
        fact: None,
    }
}

impl Ports {
    pub fn now(&self) -> Timestamp {
        yizhan::clock::Clock::now(&*self.clock)
    }

    /// Stores one and returns it as stored.
    pub async fn put(&self, key: &str, authorizer: Option<&str>, subscribers: &[&str]) -> Event {
        self.put_arrival(arrival(key, authorizer, self.now(), subscribers)).await
    }

    pub async fn put_arrival(&self, arrival: Arrival) -> Event {
        let mut event = arrival.event.clone();
        match self.events.accept(arrival).await.unwrap() {
            Accepted::Fresh(sequence) => event.sequence = sequence,
            Accepted::Seen => panic!("seen before"),
        }
        event
    }

    pub async fn claim(&self, subscription: &str, lane: Lane, limit: usize, ordered: bool) -> Vec<Claimed> {
        self.outbox.claim(subscription, lane, self.now(), Duration::from_secs(60), limit, ordered).await.unwrap()
    }

    /// Claims first attempts in no order.
    pub async fn first(&self, subscription: &str, limit: usize) -> Vec<Claimed> {
        self.claim(subscription, Lane::First, limit, false).await
    }

    pub fn attempt(&self, status: u16) -> Attempt {
        Attempt { at: self.now(), status: Some(status), duration_ms: 12, error: None, answer: Some(String::from("hm")) }
    }

    pub async fn deliver(&self, claimed: &Claimed) {
        self.outbox.settle(&claimed.delivery, Settlement::Delivered(self.attempt(200))).await.unwrap();
    }

    pub async fn fail(&self, claimed: &Claimed, again_in_seconds: i64) {
        let again = self.now() + jiff::SignedDuration::from_secs(again_in_seconds);
        self.outbox.settle(&claimed.delivery, Settlement::Retry(self.attempt(500), again)).await.unwrap();
    }

    pub async fn bury(&self, claimed: &Claimed) {
        self.outbox.settle(&claimed.delivery, Settlement::Dead(self.attempt(500))).await.unwrap();
    }

    pub fn advance(&self, seconds: i64) {
        self.clock.advance(jiff::SignedDuration::from_secs(seconds));
    }
}

/// The keys (bodies) of claimed deliveries.
pub fn keys(claimed: &[Claimed]) -> Vec<String> {
    claimed.iter().map(|one| key(&one.event)).collect()
}

/// The key with which a made-up event was made.
pub fn key(event: &Event) -> String {
    let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
    body["data"].as_str().unwrap().to_owned()
}
