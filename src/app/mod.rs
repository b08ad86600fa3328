//! The service put together: the only place that names concrete parts.
//!
//! [`App::build`] opens the store and makes the rooms; [`App::work`] starts what works by itself; `http::serve` gives it a face.
//! Called by `cli` and tests.

mod backup;
mod build;
mod examine;
mod tasks;
mod work;

use std::sync::Arc;
use std::time::Duration;

pub use backup::{Contents, Half, OfflineError, RestoreError, backup_offline, left_out, look_through, restore};
pub use build::BuildError;
pub use examine::{Conflicts, Examination, ExamineError, Finding, conflicts, examine, restoring};
pub use tasks::Tasks;
pub use work::Work;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::attributes::AttributeShelf;
use crate::clock::{Clock, StandingClock};
use crate::config::Config;
use crate::fanout::follower::Follower;
use crate::fanout::replays::Replays;
use crate::fanout::{Fanout, Outbox};
use crate::inbox::{EventLog, Inbox, Rejections};
use crate::operations::Desk;
use crate::operations::idempotency::Idempotency;
use crate::operations::proxy::Proxy;
use crate::playbook::book::Book;
use crate::playbook::run::RunLog;
use crate::reconcile::Reconcile;
use crate::rollout::Rollouts;
use crate::shutdown::Shutdown;
use crate::store::at_rest::{AtRest, AtRestError};
use crate::store::fjall::FjallLog;
use crate::store::sled::SledVault;
use crate::vault::Vault;
use crate::vault::audit::{ReadAudit, ReadLog};
use crate::versions::{VersionBook, VersionShelf};

/// What seals and opens under the master keys of that configuration.
fn at_rest(config: &Config) -> Result<Arc<AtRest>, AtRestError> {
    AtRest::new(&config.store.master_key, &config.store.previous_master_keys).map(Arc::new)
}

/// Everything that the faces (`http`, `cli`) need, behind one shared handle.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The same, which knows whether it can be believed.
    pub standing: Arc<StandingClock>,
    /// Pushes.
    pub inbox: Arc<Inbox>,
    /// Stored events.
    pub log: Arc<dyn EventLog>,
    /// Refused pushes.
    pub rejections: Arc<dyn Rejections>,
    /// Deliveries.
    pub outbox: Arc<dyn Outbox>,
    /// Tags and variables of merchants.
    pub attributes: Arc<dyn AttributeShelf>,
    /// Runs of playbooks.
    pub runs: Arc<dyn RunLog>,
    /// Playbooks.
    pub playbooks: Arc<Book>,
    /// Subscriptions.
    pub fanout: Arc<Fanout>,
    /// Bulk replays.
    pub replays: Arc<Replays>,
    /// Tickets and tokens.
    pub vault: Arc<Vault>,
    /// Operations.
    pub desk: Arc<Desk>,
    /// Rollouts.
    pub rollouts: Arc<Rollouts>,
    /// Versions of authorizers, learnt from events and operations.
    pub versions: Arc<VersionBook>,
    /// The same, to page through.
    pub version_shelf: Arc<dyn VersionShelf>,
    /// What lost pushes would have told.
    pub reconcile: Arc<Reconcile>,
    /// Our own readers of the log, until they are started.
    followers: std::sync::Mutex<Vec<Follower>>,
    /// Other vendor calls.
    pub proxy: Arc<Proxy>,
    /// Requests with a key of the caller's.
    pub idempotency: Arc<Idempotency>,
    /// Notes who reads what.
    pub audit: Arc<ReadAudit>,
    /// Who read what.
    pub reads: Arc<dyn ReadLog>,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    /// State of the parts, for `/readyz`.
    pub health: Arc<Health>,
    /// The wish to stop.
    pub shutdown: Shutdown,
    /// What requests began.
    pub tasks: Tasks,
    /// The concrete stores, for what no port offers: failure of a sync, backup, the high-water mark.
    stores: Stores,
}

/// The two stores of this process.
struct Stores {
    vault: Arc<SledVault>,
    log: Arc<FjallLog>,
}

impl App {
    /// How long the present commit of each store takes already, by its name among the parts; zero where there is none.
    #[must_use]
    pub fn commits_for(&self) -> [(&'static str, Duration); 2] {
        [("vault", self.stores.vault.commits_for()), ("log", self.stores.log.commits_for())]
    }
}

/// Which parts work; `/readyz` is this.
#[derive(Debug, Default)]
pub struct Health {
    parts: std::sync::Mutex<std::collections::BTreeMap<&'static str, Result<(), String>>>,
    remarks: std::sync::Mutex<std::collections::BTreeMap<&'static str, String>>,
}

impl Health {
    /// A part works.
    pub fn works(&self, part: &'static str) {
        self.set(part, Ok(()));
    }

    /// A part does not work, and why.
    pub fn fails(&self, part: &'static str, why: impl Into<String>) {
        self.set(part, Err(why.into()));
    }

    fn set(&self, part: &'static str, state: Result<(), String>) {
        self.parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(part, state);
    }

    /// A part works, and there is something that people should know about it.
    pub fn note(&self, part: &'static str, remark: impl Into<String>) {
        self.remarks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(part, remark.into());
    }

    /// What people should know about parts that work.
    #[must_use]
    pub fn remarks(&self) -> std::collections::BTreeMap<&'static str, String> {
        self.remarks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Every part with its state.
    #[must_use]
    pub fn parts(&self) -> std::collections::BTreeMap<&'static str, Result<(), String>> {
        self.parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
