//! Who read which token when: kept without the token, written in the background. The first of a minute is written within seconds, its repeats are
//! counted and written when the minute is over; what makes a vendor do something is noted before the vendor is asked, and written at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;
use tokio::sync::Notify;

use crate::clock::{Clock, Timestamp};
use crate::inbox::log::{LogError, Page, Position};
use crate::shutdown::Shutdown;

/// Reads of one token by one key from one address within a minute: the first of them, or its repeats.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Read {
    /// Name of the API key.
    pub key: String,
    /// What was done: `token.read`, `token.report_invalid`, `token.refresh`, `ticket.read`, `operation:package.release`, `proxy:POST`,
    /// `subscription.rotate_secret:agency overlap=0s`.
    pub action: String,
    /// Component name; empty where it was about none.
    pub component: String,
    /// The authorizer's app id; absent for the component's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorizer: Option<String>,
    /// Generation that was handed out; 0 where none was, as of what a vendor is asked to do.
    pub generation: u64,
    /// The caller's address.
    pub remote: String,
    /// First of them.
    pub at: Timestamp,
    /// How many.
    pub count: u64,
}

/// Where reads are kept.
#[async_trait::async_trait]
pub trait ReadLog: Send + Sync {
    /// Appends some.
    async fn append(&self, reads: Vec<Read>) -> Result<(), LogError>;
    /// A page, newest first.
    async fn reads(&self, component: Option<&str>, after: Option<&Position>, limit: usize) -> Result<Page<Read>, LogError>;
}

/// One read, borrowed from the request that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading<'a> {
    /// Name of the API key.
    pub key: &'a str,
    /// What was done; see [`Read::action`].
    pub action: &'a str,
    /// Component name.
    pub component: &'a str,
    /// The authorizer's app id; `None` for the component's own.
    pub authorizer: Option<&'a str>,
    /// Generation that was handed out; see [`Read::generation`].
    pub generation: u64,
    /// The caller's address, without its port.
    pub remote: IpAddr,
}

impl Read {
    fn of(reading: Reading<'_>, at: Timestamp) -> Self {
        Self {
            key: reading.key.to_owned(),
            action: reading.action.to_owned(),
            component: reading.component.to_owned(),
            authorizer: reading.authorizer.map(str::to_owned),
            generation: reading.generation,
            remote: reading.remote.to_string(),
            at,
            count: 1,
        }
    }
}

impl Reading<'_> {
    /// Everything of it in one piece, which no other reading has: what is counted is found by it with one comparison.
    fn write(self, to: &mut Vec<u8>) {
        to.clear();
        for text in [self.key, self.action, self.component, self.authorizer.unwrap_or_default()] {
            to.extend_from_slice(text.as_bytes());
            // Of no text in UTF-8.
            to.push(0xff);
        }
        to.push(u8::from(self.authorizer.is_some()));
        to.extend_from_slice(&self.generation.to_be_bytes());
        match self.remote {
            IpAddr::V4(address) => to.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => to.extend_from_slice(&address.octets()),
        }
    }
}

const SHARDS: usize = 16;

/// Reads counted together.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// How often what is counted is looked through.
const WRITTEN_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// What is noted most and can wait for the next round; everything else is written at once.
const READ: &str = "token.read";

/// Different reads held in memory at most, while the log does not take them. More are dropped, and said to be.
const KEPT: usize = 100_000;

thread_local! {
    /// Where a reading is written out to be looked for.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A read whose minute runs.
struct Running {
    /// When its minute began.
    began: Timestamp,
    /// When the first came that is not written yet.
    at: Timestamp,
    /// How many are not written yet.
    count: u64,
    /// Whether the first of the minute was handed to the log.
    is_told: bool,
    /// All the rest of it, which is looked at only to be written.
    read: Box<Read>,
}

impl Running {
    /// What is to be written of it.
    fn tell(&mut self) -> Option<Read> {
        self.is_told = true;
        let count = std::mem::take(&mut self.count);
        (count > 0).then(|| Read { at: self.at, count, ..(*self.read).clone() })
    }
}

#[derive(Default)]
struct Shard {
    /// By all that makes a reading one.
    running: HashMap<Box<[u8]>, Running>,
    /// The same of what is written at once: alike are only those that come while the log is at it.
    urgent: HashMap<Box<[u8]>, Running>,
    /// Those whose minute is over, and those that the log did not take.
    ended: Vec<Read>,
}

/// Which reads are to be written.
enum Due {
    /// Urgent ones alone.
    Urgent,
    /// Those too of which nothing was written yet.
    New,
    /// Those too whose minute began then or before.
    Ended(Timestamp),
    /// All.
    All,
}

/// Counts reads in memory and writes them behind the readers' backs: a read never waits for the log.
pub struct ReadAudit {
    log: Arc<dyn ReadLog>,
    clock: Arc<dyn Clock>,
    shards: Vec<Mutex<Shard>>,
    /// Something is to be written at once.
    urgent: Notify,
    /// One at a time: what is on its way to the log is in no shard, and who looks for it waits until it is there.
    writing: tokio::sync::Mutex<()>,
    held: AtomicUsize,
    dropped: AtomicU64,
}

impl ReadAudit {
    /// An empty one; [`ReadAudit::run`] writes.
    #[must_use]
    pub fn new(log: Arc<dyn ReadLog>, clock: Arc<dyn Clock>) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        let (urgent, writing) = (Notify::new(), tokio::sync::Mutex::default());
        Self { log, clock, shards, urgent, writing, held: AtomicUsize::new(0), dropped: AtomicU64::new(0) }
    }

    /// Notes one read. Nothing is copied when the same read was noted within the last minute.
    pub fn note(&self, reading: Reading<'_>) {
        self.note_at(reading, self.clock.now());
    }

    /// The same for who knows what time it is.
    pub fn note_at(&self, reading: Reading<'_>, now: Timestamp) {
        WRITTEN.with_borrow_mut(|written| {
            reading.write(written);
            self.count(written, reading, now);
        });
        if reading.action != READ {
            self.urgent.notify_one();
        }
    }

    fn count(&self, written: &[u8], reading: Reading<'_>, now: Timestamp) {
        let Some(shard) = self.shard(written) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let running = if reading.action == READ { &mut shard.running } else { &mut shard.urgent };
        let alike = running.get_mut(written);
        if let Some(running) = alike
            && now.duration_since(running.began).abs() < WINDOW
        {
            if running.count == 0 {
                running.at = now;
            }
            running.count = running.count.saturating_add(1);
            return;
        }
        if self.held.load(Ordering::Relaxed) >= KEPT {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let new = Running { began: now, at: now, count: 1, is_told: false, read: Box::new(Read::of(reading, now)) };
        self.held.fetch_add(1, Ordering::Relaxed);
        if let Some(mut over) = running.insert(Box::from(written), new) {
            match over.tell() {
                Some(read) => shard.ended.push(read),
                None => _ = self.held.fetch_sub(1, Ordering::Relaxed),
            }
        }
    }

    fn shard(&self, written: &[u8]) -> Option<&Mutex<Shard>> {
        // Which one it is tells nobody anything, so any hash will do.
        let hash = xxhash_rust::xxh3::xxh3_64(written);
        self.shards.get(usize::try_from(hash & 0xffff).ok()? % SHARDS)
    }

    /// Writes every few seconds, what is urgent at once, and everything at shutdown.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let soon = || self.clock.now().checked_add(WRITTEN_EVERY).unwrap_or(Timestamp::MAX);
        let mut next = soon();
        while !shutdown.is_requested() {
            tokio::select! {
                biased;
                () = self.clock.sleep_until(next) => {
                    let ended = self.clock.now().checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
                    self.write(Due::Ended(ended)).await;
                    next = soon();
                }
                () = self.urgent.notified() => self.write(Due::Urgent).await,
                () = shutdown.requested() => {}
            }
        }
        self.flush().await;
    }

    /// Writes the reads of which nothing was written yet.
    pub async fn write_new(&self) {
        self.write(Due::New).await;
    }

    /// Writes everything that is counted, running minutes too.
    pub async fn flush(&self) {
        self.write(Due::All).await;
    }

    /// What the log does not take is kept for the next time.
    async fn write(&self, due: Due) {
        let _alone = self.writing.lock().await;
        let mut reads = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            self.held.fetch_sub(shard.ended.len().saturating_add(shard.urgent.len()), Ordering::Relaxed);
            reads.append(&mut shard.ended);
            reads.extend(shard.urgent.drain().filter_map(|(_, mut urgent)| urgent.tell()));
            if matches!(due, Due::Urgent) {
                continue;
            }
            shard.running.retain(|_, running| {
                let is_over = match due {
                    Due::Urgent | Due::New => false,
                    Due::Ended(until) => running.began <= until,
                    Due::All => true,
                };
                if is_over || !running.is_told {
                    reads.extend(running.tell());
                }
                if is_over {
                    self.held.fetch_sub(1, Ordering::Relaxed);
                }
                !is_over
            });
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::error!(reads = dropped, "reads of tokens were not recorded: too many different ones at a time");
        }
        if reads.is_empty() {
            return;
        }
        reads.sort_by_key(|read| read.at);
        if let Err(error) = self.log.append(reads.clone()).await {
            tracing::error!(%error, reads = reads.len(), "reads of tokens could not be recorded; trying again");
            self.put_back(reads);
        }
    }

    /// Keeps them for the next time. Which shard has them does not matter: nothing is counted on top of them.
    fn put_back(&self, reads: Vec<Read>) {
        let Some(shard) = self.shards.first() else { return };
        self.held.fetch_add(reads.len(), Ordering::Relaxed);
        shard.lock().unwrap_or_else(PoisonError::into_inner).ended.extend(reads);
    }
}
