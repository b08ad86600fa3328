//! The configuration as valid values: parsed strictly from `yizhan.toml`, environment overrides and secrets' sources, all problems at once.
//!
//! `deploy/yizhan.toml` is compiled in and read first, so the documented defaults are the defaults. Called by `cli` and tests; a platform
//! reads the settings of its own components. Prints no value and keeps no file open.

mod api_keys;
mod components;
mod include;
mod load;
mod playbooks;
mod robots;
mod sections;
mod snippet;
mod subscriptions;
mod warnings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::access::ApiKey;
use crate::fanout::Subscription;
use crate::platform::Components;
use crate::playbook::Playbook;
use crate::reconcile;
use crate::robot::Robot;
use crate::secret::Secret;
use crate::telemetry::Format;

pub use load::DEFAULTS;
pub use snippet::{Snippet, snippet, written};

/// Everything that a service needs to know.
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[store]`.
    pub store: Store,
    /// `[fanout]`.
    pub fanout: Fanout,
    /// `[rollout]`.
    pub rollout: Rollout,
    /// `[reconcile]`.
    pub reconcile: reconcile::Options,
    /// `[log]`.
    pub log: Log,
    /// `[[api_keys]]`.
    pub api_keys: Vec<ApiKey>,
    /// `[[components]]`.
    pub components: Components,
    /// `[[subscriptions]]`, with [`crate::fanout::subscription::Origin::File`]. Their `created_at` is the epoch: the fan-out knows
    /// when it saw each of them first.
    pub subscriptions: Vec<Subscription>,
    /// `[[robots]]`.
    pub robots: Vec<Robot>,
    /// `[[playbooks]]`.
    pub playbooks: Vec<Playbook>,
}

/// `[server]`.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What platforms and browsers see, without a trailing slash.
    pub public_url: String,
    /// Largest push, in bytes.
    pub max_push_bytes: usize,
    /// Largest body of the service API, in bytes.
    pub max_body_bytes: usize,
    /// Open connections at most.
    pub max_connections: usize,
    /// Time a client has to send its head and body.
    pub client_timeout: Duration,
    /// Time that claimed deliveries and requests have to finish at shutdown.
    pub shutdown_grace: Duration,
    /// Refused pushes kept at most.
    pub rejected_keep: usize,
    /// How long refused pushes are kept.
    pub rejected_retention: Duration,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// `[store]`.
#[derive(Debug, Clone)]
pub struct Store {
    /// Folder of the embedded store.
    pub path: PathBuf,
    /// Seals secrets at rest; 32 bytes, base64.
    pub master_key: Secret,
    /// Former master keys, which only open.
    pub previous_master_keys: Vec<Secret>,
    /// Events and finished deliveries older than this are expunged.
    pub retention: Duration,
    /// How long dedupe keys are kept at least, even if events go earlier.
    pub dedupe_retention: Duration,
    /// Memory for caches of the log, in bytes.
    pub cache_bytes: u64,
}

/// `[fanout]`.
#[derive(Debug, Clone)]
pub struct Fanout {
    /// Waits before the second, third, … attempt.
    pub retry: Vec<Duration>,
    /// Total time of one try, the answer's body included.
    pub timeout: Duration,
    /// Deliveries of one subscription under way at a time, unless it says otherwise.
    pub concurrency: u32,
    /// Private ranges that subscribers may live in.
    pub allow_private: Vec<IpNet>,
}

/// `[rollout]`.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// Before an audit is asked for the first time.
    pub poll: Duration,
    /// Before a quota that is used up is asked again.
    pub quota_pause: Duration,
    /// The longest pause before something is tried again, those that vendors ask for among them.
    pub longest_pause: Duration,
    /// Authorizers of a rollout that are worked on at a time, unless it says otherwise.
    pub concurrency: u32,
    /// Authorizers of one component that are worked on at a time, over all its rollouts.
    pub most: u32,
    /// Steps of one component begun per second, over all its rollouts; 0: any number.
    pub rate: u32,
    /// Rollouts that ended longer ago are expunged.
    pub retention: Duration,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: Format,
    /// What is logged, in the form of `RUST_LOG`.
    pub level: String,
}
