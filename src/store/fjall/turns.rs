//! Who reads aside, and how many at a time: each such read has a thread to itself, and whoever asks chooses how many there are to be.
//!
//! Four sorts, by how much they look at. Whoever looks at more waits for more: first among those of its sort, then for a thread.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Store;
use crate::inbox::LogError;

/// Threads that read aside at a time.
const THREADS: usize = 32;
/// Threads that count the whole log at a time, whoever asked: each keeps a core busy for as long as the log is.
const COUNTING_THREADS: usize = 2;
/// How long a search waits for its turn.
const SEARCH_PATIENCE: Duration = Duration::from_secs(10);
/// How long a count does.
const COUNT_PATIENCE: Duration = Duration::from_secs(2);

/// Turns of those who read.
pub struct Turns {
    /// For reads of any sort.
    threads: Arc<Semaphore>,
    /// For those who read a page that its index tells: little work each, and all of it the processor's. One more than there are cores, so that one that
    /// waits for the disk leaves no core idle; with as many threads as there are requests, each took its turns of some milliseconds, and one page in a
    /// hundred waited for several of them.
    pages: Arc<Semaphore>,
    /// For those who look through thousands of records for what fits; as many, and not the same, so that they hold up no page that is at hand.
    searches: Arc<Semaphore>,
    /// For those who look at everything.
    counts: Arc<Semaphore>,
}

impl Turns {
    /// None is taken.
    pub fn new() -> Self {
        let busy = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) + 1;
        let [threads, pages, searches, counts] =
            [THREADS.max(3 * busy), busy, busy, COUNTING_THREADS].map(|turns| Arc::new(Semaphore::new(turns)));
        Self { threads, pages, searches, counts }
    }
}

/// Whoever waits for a count. What is asked for by nobody any more need not be counted to its end.
pub struct Awaited(Weak<()>);

impl Awaited {
    /// Whether nobody waits any more: the request was broken off, or the service stops.
    pub fn is_given_up(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// Reads a bounded number of records, away from the threads that serve requests.
pub async fn aside<T: Send + 'static>(
    store: &Arc<Store>,
    read: impl FnOnce(&Store) -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    // Never closed.
    let thread = Arc::clone(&store.turns.threads).acquire_owned().await.ok();
    let store = Arc::clone(store);
    // The thread's own, not its asker's: it goes on though that one hangs up.
    let reading = move || {
        let found = read(&store);
        drop(thread);
        found
    };
    match tokio::task::spawn_blocking(reading).await {
        Ok(done) => done,
        Err(error) => Err(LogError::Damaged(format!("reading failed: {error}"))),
    }
}

/// Reads a page that its index tells: whoever comes first is served first.
pub async fn page<T: Send + 'static>(
    store: &Arc<Store>,
    read: impl FnOnce(&Store) -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    let turn = Arc::clone(&store.turns.pages).acquire_owned().await.ok();
    holding(store, turn, read).await
}

/// Looks through a bounded number of records, thousands, for what fits.
///
/// # Errors
/// [`LogError::Crowded`], and those of `read`.
pub async fn search<T: Send + 'static>(
    store: &Arc<Store>,
    read: impl FnOnce(&Store) -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    let turn = within(&store.turns.searches, SEARCH_PATIENCE).await?;
    holding(store, Some(turn), read).await
}

/// Looks at everything, however much that is, as long as somebody waits for it: `read` asks now and then whether that is so.
///
/// # Errors
/// [`LogError::Crowded`], and those of `read`.
pub async fn count<T: Send + 'static>(
    store: &Arc<Store>,
    read: impl FnOnce(&Store, &Awaited) -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    let turn = within(&store.turns.counts, COUNT_PATIENCE).await?;
    // Dropped with this future, which is dropped with its request.
    let here = Arc::new(());
    let awaited = Awaited(Arc::downgrade(&here));
    let counted = holding(store, Some(turn), move |store| read(store, &awaited)).await;
    drop(here);
    counted
}

async fn holding<T: Send + 'static>(
    store: &Arc<Store>,
    turn: Option<OwnedSemaphorePermit>,
    read: impl FnOnce(&Store) -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    aside(store, move |store| {
        let found = read(store);
        drop(turn);
        found
    })
    .await
}

async fn within(turns: &Arc<Semaphore>, patience: Duration) -> Result<OwnedSemaphorePermit, LogError> {
    let turn = tokio::time::timeout(patience, Arc::clone(turns).acquire_owned()).await;
    turn.ok().and_then(Result::ok).ok_or(LogError::Crowded)
}
