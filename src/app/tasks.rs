//! Tasks for requests: work that goes on though whoever asked for it goes away.
//!
//! They run on the service's runtime, not on that of the thread that took the request: such a thread, and every connection to a vendor or a handler
//! that was opened on it, ends as soon as a stop finds it idle, while others still use the connection.

use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio_util::task::TaskTracker;

/// Tasks under way.
#[derive(Debug, Clone)]
pub struct Tasks {
    runtime: Handle,
    under_way: TaskTracker,
}

impl Tasks {
    /// On the runtime that this is called on; outside of one it panics.
    #[must_use]
    pub fn here() -> Self {
        Self { runtime: Handle::current(), under_way: TaskTracker::new() }
    }

    /// Carries out a task, to its end also where nobody waits for it any more.
    ///
    /// # Errors
    /// It panicked, or the service ended.
    pub async fn through<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Result<T, JoinError> {
        self.under_way.spawn_on(task, &self.runtime).await
    }

    /// Where they run.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Returns once none is under way. For a stop, when nobody is left who could start one.
    pub async fn finished(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }
}
