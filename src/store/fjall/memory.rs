//! Keeps what the log holds in memory for writing small: says in time that a keyspace's writes go to a table of their own.
//!
//! The engine would do so itself, and its own limit stands behind ours ([`super::days::options`]). But fjall 3.1 asks its worker for it again with each
//! commit until it is done; while the worker compacts, a thousand such wishes fill its queue, and the worker, who must put the next step into the
//! same queue, waits for room in it for ever. From then on nothing is written out any more: memory and journals grow as long as the process lives.
//!
//! One thread, started and ended with the log. It never writes anything itself.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fjall::{AbstractTree as _, Keyspace};

use super::days;
use super::{FjallLog, Store, aside, damaged};
use crate::inbox::LogError;

/// How often is looked while something is written, and at rest. At the fastest, a megabyte is written in the first and the engine's own limit is not
/// reached in the second.
const BUSY: Duration = Duration::from_millis(25);
const REST: Duration = Duration::from_millis(400);

/// Longest time that a stop waits for what is written out.
const PATIENCE: Duration = Duration::from_secs(5);

/// The thread. Dropping it ends it.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(store: &Arc<Store>) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let store = Arc::downgrade(store);
        let run = move || {
            let (mut wait, mut before) = (BUSY, 0);
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let Some(held) = look(&store) else { return };
                wait = if held == before { wait.saturating_mul(2).min(REST) } else { BUSY };
                before = held;
            }
        };
        let thread = std::thread::Builder::new().name(String::from("log-memory")).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

/// Bytes that are held for writing; `None` once the log is closed.
fn look(store: &Weak<Store>) -> Option<u64> {
    let store = store.upgrade()?;
    let mut held = 0;
    for keyspace in store.keyspaces() {
        let bytes = keyspace.tree.active_memtable().size();
        held += bytes;
        if bytes > days::held_for_writing(keyspace.name())
            && let Err(error) = keyspace.rotate_memtable()
        {
            // The next commit fails as well, and says so to everybody.
            tracing::error!(keyspace = &**keyspace.name(), %error, "what is held for writing cannot be written out");
        }
    }
    Some(held)
}

impl FjallLog {
    /// Writes what is held in memory to tables, before a stop: the next start need not take it from the journals. Nothing is lost without.
    ///
    /// # Errors
    /// The log cannot write.
    pub async fn write_out(&self) -> Result<(), LogError> {
        aside(&self.store, |store| {
            let (keyspaces, began) = (store.keyspaces(), Instant::now());
            keyspaces.iter().try_for_each(|keyspace| keyspace.rotate_memtable().map(drop)).map_err(damaged)?;
            let is_done = || keyspaces.iter().all(|keyspace| keyspace.tree.sealed_memtable_count() == 0);
            while !is_done() && began.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        })
        .await
    }
}

impl Store {
    /// Every keyspace that is written to.
    fn keyspaces(&self) -> Vec<Keyspace> {
        let mut all = vec![self.meta.clone(), self.waiting.clone(), self.dead.clone(), self.rejected.clone(), self.records.clone()];
        all.extend(self.days.all().iter().flat_map(|day| [day.events.clone(), day.index.clone(), day.deliveries.clone()]));
        all.extend(self.marks.all());
        all
    }
}
