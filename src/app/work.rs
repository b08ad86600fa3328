//! What works by itself: renewals, deliveries, replays, retention, the high-water mark, and the watch over the disk.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::App;
use crate::clock::Timestamp;
use crate::shutdown::Shutdown;

/// How often the newest acknowledged sequence is remembered.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// What a worker has beyond the grace of a stop to write down where it stands.
const LEEWAY: Duration = Duration::from_secs(2);
/// How often retention looks for what is old.
const EXPUNGE_EVERY: Duration = Duration::from_secs(3600);

/// The workers. They end when [`App::shutdown`] is requested.
pub struct Work {
    workers: JoinSet<()>,
    disk: Arc<Mutex<Option<String>>>,
}

impl Work {
    /// Returns once every worker has ended. The cause, if it was a failed write or sync, which is final: exit with a code of its own.
    pub async fn finished(mut self) -> Option<String> {
        while let Some(ended) = self.workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a worker ended early");
            }
        }
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl App {
    /// Starts the workers.
    pub fn work(self: &Arc<Self>) -> Work {
        let disk = Arc::new(Mutex::new(None));
        let mut workers = JoinSet::new();
        let mut start = |name: &'static str, worker: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let (health, shutdown, grace) = (Arc::clone(&self.health), self.shutdown.clone(), self.config.server.shutdown_grace);
            health.works(name);
            workers.spawn(async move {
                // A panic in a worker is a bug: it is told, and the service is not ready any more.
                let mut worker = tokio::spawn(worker);
                let ended = tokio::select! {
                    ended = &mut worker => ended,
                    () = overdue(&shutdown, grace) => {
                        worker.abort();
                        tracing::warn!(worker = name, "a worker did not end within `server.shutdown_grace`; the next start goes on with what it did");
                        return;
                    }
                };
                if let Err(error) = ended {
                    tracing::error!(worker = name, %error, "a worker broke");
                    health.fails(name, "the worker broke; restart the service");
                } else if !shutdown.is_requested() {
                    health.fails(name, "the worker ended early; restart the service");
                }
            });
        };
        self.vault.heed(&self.shutdown);
        start("renewals", Box::pin(Arc::clone(&self.vault).run(self.shutdown.clone())));
        start("deliveries", Box::pin(Arc::clone(&self.fanout).run(self.shutdown.clone())));
        start("replays", Box::pin(Arc::clone(&self.replays).run(self.shutdown.clone())));
        start("rollouts", Box::pin(Arc::clone(&self.rollouts).run(self.shutdown.clone())));
        let followers = std::mem::take(&mut *self.followers.lock().unwrap_or_else(PoisonError::into_inner));
        let following = futures_util::future::join_all(followers.into_iter().map(|follower| follower.run(self.shutdown.clone())));
        start("followers", Box::pin(async move { drop(following.await) }));
        start("audit", Box::pin(Arc::clone(&self.audit).run(self.shutdown.clone())));
        start("reconcile", Box::pin(Arc::clone(&self.reconcile).run(self.shutdown.clone())));
        start("high-water", Box::pin(Arc::clone(self).remember()));
        start("retention", Box::pin(Arc::clone(self).expunge()));
        start("disk", Box::pin(Arc::clone(self).watch_disk(Arc::clone(&disk))));
        Work { workers, disk }
    }

    /// Makes the next start quick: what the log holds in memory goes to its tables. For a stop in good order, once every worker has ended.
    pub async fn write_out(&self) {
        if let Err(error) = self.stores.log.write_out().await {
            tracing::warn!(%error, "what the log holds in memory was not written to its tables; the next start takes it from the journals");
        }
    }

    /// Remembers the newest acknowledged sequence, and how many commits the vault had, once a second and at the end.
    async fn remember(self: Arc<Self>) {
        let (mut remembered, mut commits) = (0, 0);
        loop {
            let stopping = self.shutdown.is_requested();
            let newest = self.stores.log.last_sequence();
            if newest > remembered {
                match self.vault.remember_high_water(newest).await {
                    Ok(()) => remembered = newest,
                    Err(error) => tracing::warn!(%error, "the newest sequence was not remembered"),
                }
            }
            // And the vault's commits in the log: neither store can lose its end unnoticed.
            let present = self.stores.vault.commits();
            if present > commits {
                match self.stores.log.remember_vault(present).await {
                    Ok(()) => commits = present,
                    Err(error) => tracing::warn!(%error, "the vault's commits were not remembered"),
                }
            }
            if stopping {
                return;
            }
            self.rest(MARK_EVERY).await;
        }
    }

    /// Seals again what a former master key sealed in the log; the vault does so by itself.
    async fn reseal(&self) {
        if self.config.store.previous_master_keys.is_empty() {
            return;
        }
        let resealed = tokio::select! {
            resealed = self.stores.log.reseal() => resealed,
            // The next start goes on with it.
            () = self.shutdown.requested() => return,
        };
        match resealed {
            Ok(records) => tracing::info!(records, "all records of the log are sealed under the present master key"),
            Err(error) => {
                tracing::error!(%error, "records of the log could not be sealed under the present master key; the next start tries again")
            }
        }
    }

    /// Removes what is older than the retention, once everything is sealed as it should be: what retention moves must not slip through. A clock that
    /// went forward at once says nothing of anything's age before it has stood so for a while: every age is by [`crate::clock::Clock::believed`].
    async fn expunge(self: Arc<Self>) {
        self.reseal().await;
        let looked = metrics::gauge!("yizhan_retention_timestamp_seconds");
        loop {
            let began = self.clock.now();
            let believed = self.clock.believed();
            if let Err(error) = self.vault.remember_present(believed).await {
                tracing::warn!(%error, "the time was not remembered for the next start");
            }
            let before = believed.checked_sub(self.config.store.retention).unwrap_or(Timestamp::MIN);
            match self.stores.event_log().expunge(before).await {
                Ok(expunged) if expunged.events > 0 => {
                    tracing::info!(events = expunged.events, deliveries = expunged.deliveries, %before, "old events expunged");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "old events could not be expunged"),
            }
            match self.playbooks.end_forsaken(before).await {
                Ok(0) => {}
                Ok(runs) => tracing::warn!(runs, "runs whose playbook is not in the configuration any more were stopped"),
                Err(error) => tracing::warn!(%error, "runs without a playbook could not be stopped"),
            }
            if let Err(error) = self.runs.expunge_runs(before).await {
                tracing::warn!(%error, "old runs of playbooks could not be expunged");
            }
            let before = believed.checked_sub(self.config.rollout.retention).unwrap_or(Timestamp::MIN);
            match self.rollouts.expunge(before).await {
                Ok(0) => {}
                Ok(rollouts) => tracing::info!(rollouts, %before, "old rollouts expunged"),
                Err(error) => tracing::warn!(%error, "old rollouts could not be expunged"),
            }
            if let Err(error) = self.idempotency.forget().await {
                tracing::warn!(%error, "requests of yesterday could not be forgotten");
            }
            looked.set(began.as_duration().as_secs_f64());
            self.rest(EXPUNGE_EVERY).await;
            if self.shutdown.is_requested() {
                return;
            }
        }
    }

    /// A failed write or sync is final: nothing is acknowledged any more, and the process is to end.
    async fn watch_disk(self: Arc<Self>, found: Arc<Mutex<Option<String>>>) {
        let (part, cause) = tokio::select! {
            cause = failure(self.stores.vault.failed()) => ("vault", cause),
            cause = failure(self.stores.log.failed()) => ("log", cause),
            () = self.shutdown.requested() => return,
        };
        tracing::error!(store = part, cause, "the store cannot be written any more; nothing is acknowledged, the process ends");
        self.health.fails(part, format!("cannot be written: {cause}"));
        *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{part}: {cause}"));
        self.shutdown.request();
    }

    async fn rest(&self, time: Duration) {
        let until = self.clock.now() + time;
        tokio::select! {
            () = self.clock.sleep_until(until) => {}
            () = self.shutdown.requested() => {}
        }
    }
}

/// Returns when a worker should have ended long since.
async fn overdue(shutdown: &Shutdown, grace: Duration) {
    shutdown.requested().await;
    tokio::time::sleep(grace.saturating_add(LEEWAY)).await;
}

/// The cause, once a store has failed.
async fn failure(mut failed: watch::Receiver<Option<String>>) -> String {
    match failed.wait_for(Option::is_some).await {
        Ok(cause) => cause.clone().unwrap_or_default(),
        Err(_) => String::from("the committing thread ended"),
    }
}
