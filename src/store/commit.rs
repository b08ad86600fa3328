//! The committing thread: takes everything that waits in a bounded queue, makes it durable as one group, answers all.
//!
//! There is no timer: under no load a single write commits at once, under load groups form by themselves while the disk syncs.
//! A failed commit is final for the process: the kernel may have dropped the pages, so nobody can say what is on the disk. The queue closes,
//! everybody who waits or comes later hears [`LogError::Failed`], and [`Committer::failed`] tells the app to exit, so that a restart verifies.
//!
//! Knows nothing of what is written; the stores implement [`Commit`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::inbox::LogError;

/// What the thread does with a group.
pub trait Commit: Send + 'static {
    /// One write, with the means to answer whoever asked for it.
    type Job: Send + 'static;

    /// About how many bytes it writes.
    fn weight(job: &Self::Job) -> usize;

    /// Makes the whole group durable, then answers each; a job may be dropped unanswered only on failure.
    ///
    /// # Errors
    /// What failed; nothing is committed after that.
    fn commit(&mut self, group: Vec<Self::Job>) -> Result<(), String>;
}

/// Bounds of the queue and of a group.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Jobs that may wait.
    pub queue: usize,
    /// Bytes that may wait: a few large writes fill the queue as many small ones do, so that memory stays bounded.
    pub queue_bytes: usize,
    /// Jobs in one group.
    pub group: usize,
    /// Bytes in one group, reached or passed by its last job.
    pub group_bytes: usize,
}

/// What waits in the queue. Counted by whoever puts and whoever takes: while the disk hangs, the thread does too, and what piles up before it
/// must show.
struct Waiting {
    bytes: AtomicUsize,
    jobs: metrics::Gauge,
}

impl Waiting {
    fn new(store: &'static str) -> Self {
        let jobs = metrics::gauge!("yizhan_queue_depth", "queue" => store);
        jobs.set(0.0);
        Self { bytes: AtomicUsize::new(0), jobs }
    }

    /// One more; how many bytes waited before it.
    fn add(&self, bytes: usize) -> usize {
        self.jobs.increment(1.0);
        self.bytes.fetch_add(bytes, Ordering::AcqRel)
    }

    fn take(&self, jobs: usize, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.jobs.decrement(u32::try_from(jobs).unwrap_or(u32::MAX));
    }
}

/// Since when the thread is at its present commit. Asked by whoever must know of a disk that does not answer: the thread itself cannot say so then.
#[derive(Debug, Default)]
struct Present(Mutex<Option<Instant>>);

impl Present {
    fn set(&self, began: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }

    fn runs_for(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map_or(Duration::ZERO, |began| began.elapsed())
    }
}

/// The door to the thread. Dropping it finishes what waits and ends the thread.
pub struct Committer<J> {
    queue: Option<mpsc::Sender<J>>,
    weight: fn(&J) -> usize,
    waiting: Arc<Waiting>,
    present: Arc<Present>,
    queue_bytes: usize,
    thread: Option<JoinHandle<()>>,
    failure: watch::Receiver<Option<String>>,
}

impl<J: Send + 'static> Committer<J> {
    /// Starts the thread. `store` is its name in metrics (`log`, `vault`).
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start<C: Commit<Job = J>>(store: &'static str, limits: Limits, commit: C) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(limits.queue.max(1));
        let (failed, failure) = watch::channel(None);
        let waiting = Arc::new(Waiting::new(store));
        let left = Arc::clone(&waiting);
        let present = Arc::new(Present::default());
        let at = Arc::clone(&present);
        let run = move || {
            if let Err(why) = work(store, limits, commit, jobs, &left, &at, &failed) {
                tracing::error!(store, error = %why, "a commit failed: nothing is written any more, the service must be restarted");
            }
        };
        let thread = std::thread::Builder::new().name(format!("{store}-commit")).spawn(run)?;
        Ok(Self { queue: Some(queue), weight: C::weight, waiting, present, queue_bytes: limits.queue_bytes, thread: Some(thread), failure })
    }

    /// What went wrong, once something did.
    #[must_use]
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failure.clone()
    }

    /// How long the present commit takes already; zero where there is none. A disk that does not answer shows in it.
    #[must_use]
    pub fn commits_for(&self) -> Duration {
        self.present.runs_for()
    }

    /// Puts a job into the queue if there is room, without waiting for it.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`].
    pub fn put(&self, job: J) -> Result<(), LogError> {
        let bytes = (self.weight)(&job);
        let before = self.waiting.add(bytes);
        // One alone is always taken, however large it is.
        let sent = match &self.queue {
            _ if before > 0 && before.saturating_add(bytes) > self.queue_bytes => Err(LogError::Full),
            Some(queue) => queue.try_send(job).map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => LogError::Full,
                mpsc::error::TrySendError::Closed(_) => self.gone(),
            }),
            None => Err(self.gone()),
        };
        if sent.is_err() {
            self.waiting.take(1, bytes);
        }
        sent
    }

    /// A job for which there is room, counted.
    fn counted(&self, job: J) -> J {
        self.waiting.add((self.weight)(&job));
        job
    }

    /// Puts a job into the queue if there is room and waits for its answer.
    ///
    /// # Errors
    /// [`LogError::Full`] or [`LogError::Failed`].
    pub async fn ask_now<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> J) -> Result<T, LogError> {
        let (answer, answered) = oneshot::channel();
        self.put(job(answer))?;
        self.answer(answered).await
    }

    /// Waits for the answer to a job that was put into the queue.
    ///
    /// # Errors
    /// [`LogError::Failed`].
    pub async fn answer<T>(&self, answered: oneshot::Receiver<T>) -> Result<T, LogError> {
        match answered.await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.ended().await),
        }
    }

    /// Waits for room in the queue, then for the answer. For our own workers, which are few.
    ///
    /// # Errors
    /// [`LogError::Failed`].
    pub async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> J) -> Result<T, LogError> {
        let (answer, answered) = oneshot::channel();
        match &self.queue {
            // Counted once there is room: whoever goes away while waiting for it leaves nothing behind.
            Some(queue) => queue.reserve().await.map_err(|_| self.gone())?.send(self.counted(job(answer))),
            None => return Err(self.gone()),
        }
        self.answer(answered).await
    }

    /// As [`Committer::ask`], from a thread that may block.
    ///
    /// # Errors
    /// [`LogError::Failed`].
    pub fn ask_blocking<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> J) -> Result<T, LogError> {
        let (answer, answered) = oneshot::channel();
        match &self.queue {
            Some(queue) => queue.blocking_send(self.counted(job(answer))).map_err(|_| self.gone())?,
            None => return Err(self.gone()),
        }
        answered.blocking_recv().map_err(|_| self.gone())
    }

    /// A job was dropped unanswered: the thread is ending, and tells why before it has ended.
    async fn ended(&self) -> LogError {
        // An error means that it ended without a failure.
        let _ = self.failure.clone().wait_for(Option::is_some).await;
        self.gone()
    }

    fn gone(&self) -> LogError {
        LogError::Failed(self.failure.borrow().clone().unwrap_or_else(|| String::from("the committing thread has ended")))
    }
}

impl<J> Drop for Committer<J> {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic was caught and told inside the thread.
            let _ = thread.join();
        }
    }
}

fn work<C: Commit>(
    store: &'static str,
    limits: Limits,
    mut commit: C,
    mut jobs: mpsc::Receiver<C::Job>,
    waiting: &Waiting,
    present: &Present,
    failed: &watch::Sender<Option<String>>,
) -> Result<(), String> {
    let seconds = metrics::histogram!("yizhan_commit_seconds", "store" => store);
    let sizes = metrics::histogram!("yizhan_commit_group", "store" => store);
    while let Some(first) = jobs.blocking_recv() {
        let mut bytes = C::weight(&first);
        let mut group = vec![first];
        while group.len() < limits.group && bytes < limits.group_bytes {
            let Ok(job) = jobs.try_recv() else { break };
            bytes = bytes.saturating_add(C::weight(&job));
            group.push(job);
        }
        waiting.take(group.len(), bytes);
        sizes.record(u32::try_from(group.len()).unwrap_or(u32::MAX));
        let began = Instant::now();
        present.set(Some(began));
        let outcome = catch_unwind(AssertUnwindSafe(|| commit.commit(group)));
        present.set(None);
        seconds.record(began.elapsed());
        let why = match outcome {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => why,
            Err(panic) => format!("panic while committing: {}", panic_text(&*panic)),
        };
        // Before the queue closes, so that whoever is turned away finds the reason.
        failed.send_replace(Some(why.clone()));
        return Err(why);
    }
    Ok(())
}

/// What a panic said.
#[must_use]
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
