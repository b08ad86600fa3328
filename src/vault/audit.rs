//! Who read which token when: kept without the token, repeats within a minute counted, written in the background.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;

use crate::clock::{Clock, Timestamp};
use crate::inbox::log::{LogError, Page, Position};
use crate::shutdown::Shutdown;

/// Reads of one token by one key from one address within a minute.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Read {
    /// Name of the API key.
    pub key: String,
    /// What was done: `token.read`, `token.report_invalid`, `token.refresh`, `ticket.read`, `operation:package.release`, `proxy:POST`.
    pub action: String,
    /// Component name.
    pub component: String,
    /// The authorizer's app id; absent for the component's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorizer: Option<String>,
    /// Generation that was handed out.
    pub generation: u64,
    /// The caller's address.
    pub remote: String,
    /// First read.
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
    /// Generation that was handed out; 0 for tickets.
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

    /// Whether it is the same but for the caller's address.
    fn is(&self, reading: Reading<'_>) -> bool {
        self.key == reading.key
            && self.action == reading.action
            && self.component == reading.component
            && self.authorizer.as_deref() == reading.authorizer
            && self.generation == reading.generation
    }
}

const SHARDS: usize = 16;

/// Reads counted together.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// How often what is counted is looked through.
const WRITTEN_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// Different reads held in memory at most, while the log does not take them. More are dropped, and said to be.
const KEPT: usize = 100_000;

/// Reads that are being counted, with the address that each came from: it becomes a text only once.
type Shard = Mutex<HashMap<u64, Vec<(IpAddr, Read)>>>;

/// Counts reads in memory and writes them behind the readers' backs: a read never waits for the log.
pub struct ReadAudit {
    log: Arc<dyn ReadLog>,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    shards: Vec<Shard>,
    held: AtomicUsize,
    dropped: AtomicU64,
}

impl ReadAudit {
    /// An empty one; [`ReadAudit::run`] writes.
    #[must_use]
    pub fn new(log: Arc<dyn ReadLog>, clock: Arc<dyn Clock>) -> Self {
        let shards = std::iter::repeat_with(Shard::default).take(SHARDS).collect();
        Self { log, clock, hasher: RandomState::new(), shards, held: AtomicUsize::new(0), dropped: AtomicU64::new(0) }
    }

    /// Notes one read. Nothing is copied when the same read was noted within the last minute.
    pub fn note(&self, reading: Reading<'_>) {
        let now = self.clock.now();
        let Some((hash, shard)) = self.shard(reading) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let alike = shard.entry(hash).or_default();
        let is_running = |(remote, read): &&mut (IpAddr, Read)| {
            *remote == reading.remote && read.is(reading) && now.duration_since(read.at).abs() < WINDOW
        };
        if let Some((_, read)) = alike.iter_mut().find(is_running) {
            read.count = read.count.saturating_add(1);
        } else if self.held.load(Ordering::Relaxed) < KEPT {
            alike.push((reading.remote, Read::of(reading, now)));
            self.held.fetch_add(1, Ordering::Relaxed);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn shard(&self, reading: Reading<'_>) -> Option<(u64, &Shard)> {
        let hash = self.hasher.hash_one(reading);
        let index = usize::try_from(hash & 0xffff).ok()? % SHARDS;
        Some((hash, self.shards.get(index)?))
    }

    /// Writes what is older than a minute every few seconds, and everything at shutdown.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        while !shutdown.is_requested() {
            let next = self.clock.now().checked_add(WRITTEN_EVERY).unwrap_or(Timestamp::MAX);
            tokio::select! {
                () = self.clock.sleep_until(next) => {
                    let ended = self.clock.now().checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
                    self.write(ended).await;
                }
                () = shutdown.requested() => {}
            }
        }
        self.flush().await;
    }

    /// Writes everything that is counted, running minutes too.
    pub async fn flush(&self) {
        self.write(Timestamp::MAX).await;
    }

    /// Writes reads that began at or before `until`; what the log does not take is kept for the next time.
    async fn write(&self, until: Timestamp) {
        let mut reads = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, alike| {
                reads.extend(alike.extract_if(.., |(_, read)| read.at <= until).map(|(_, read)| read));
                !alike.is_empty()
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
        self.held.fetch_sub(reads.len(), Ordering::Relaxed);
        if let Err(error) = self.log.append(reads.clone()).await {
            tracing::error!(%error, reads = reads.len(), "reads of tokens could not be recorded; trying again");
            self.put_back(reads);
        }
    }

    fn put_back(&self, reads: Vec<Read>) {
        for read in reads {
            // It was written from an address.
            let Ok(remote) = read.remote.parse() else { continue };
            let reading = Reading {
                key: &read.key,
                action: &read.action,
                component: &read.component,
                authorizer: read.authorizer.as_deref(),
                generation: read.generation,
                remote,
            };
            if let Some((hash, shard)) = self.shard(reading) {
                shard.lock().unwrap_or_else(PoisonError::into_inner).entry(hash).or_default().push((remote, read));
                self.held.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
