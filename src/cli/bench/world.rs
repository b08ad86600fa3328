//! Everything that a run needs: a folder, the vendors, the service, the bare server and the disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Plan;
use super::api::Api;
use super::figures::Timed;
use super::load::{self, Errand};
use super::parts::{Disk, Process};
use super::pushes::{Pushes, app_id};
use super::report;
use crate::cli::terminal::Terminal;
use crate::clock::SystemClock;
use crate::envelope::digest;
use crate::platform;
use crate::simulator::{Manners, Simulator};

/// Platforms whose merchants' tokens are exchanged by calls; sealing for them costs the load generator little.
const QUICK_TO_SEAL: [&str; 3] = ["baidu", "douyin", "kuaishou"];

/// The number of the first push that fills the store: far from those that are measured, so that no two pushes say the same within a second, as a
/// message that is repeated does.
const FILLED_FROM: usize = 1_000_000_000;

/// Pushes made ready at a time while the store is filled.
const BATCH: usize = 20_000;

/// Connections over which the store is filled, and grants under way at a time.
const FILLING: usize = 256;
const GRANTING: usize = 64;

/// Longest time that the exchange of one code may take on average.
const EXCHANGE: Duration = Duration::from_millis(30);

/// A run.
pub struct World {
    /// What is measured.
    pub plan: Plan,
    /// The configuration of the service.
    pub config: PathBuf,
    /// The API key of the run.
    pub key: String,
    /// The vendors.
    pub simulator: Arc<Simulator>,
    /// The service.
    pub service: Process,
    /// What it is held against.
    pub bare: Process,
    /// The service's API.
    pub api: Api,
    /// The bare server's addresses.
    pub bare_api: Api,
    /// An append-only file beside the store.
    pub disk: Disk,
    /// Pushes of all platforms.
    pub pushes: Pushes,
    /// Processor, memory, disk.
    pub machine: Value,
    /// Events stored by the run so far.
    pub stored: usize,
    terminal: Terminal,
    /// Goes last: until then a process may write into it.
    folder: TempDir,
}

impl World {
    /// Starts everything.
    pub async fn make(store: Option<&Path>, plan: Plan, terminal: &Terminal) -> anyhow::Result<Self> {
        let builder = |builder: &mut tempfile::Builder<'_, '_>| match store {
            Some(folder) => std::fs::create_dir_all(folder).and_then(|()| builder.tempdir_in(folder)),
            None => builder.tempdir(),
        };
        let folder = builder(tempfile::Builder::new().prefix("yizhan-bench-")).context("cannot make a folder for the store")?;
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = Simulator::start(free, Arc::new(SystemClock), Manners::default()).await?;
        let key = format!("yzk_{}", hex::encode(random()?));
        let config = folder.path().join("yizhan.toml");
        std::fs::write(&config, configuration(&key, &simulator)?)?;
        let service = Process::service(&config).await?;
        let bare = Process::bare(&config).await?;
        let api = Api::new(service.address, &key)?;
        let bare_api = Api::new(bare.address, &key)?;
        let disk = Disk::open(folder.path())?;
        let names: Vec<&str> = platform::ALL.iter().map(|platform| platform.name()).collect();
        let of_each = plan.authorizers / QUICK_TO_SEAL.len();
        let pushes = Pushes::of(&names, &|platform| simulator.vendor_url(platform), of_each)?;
        simulator.connect(&format!("http://{}", service.address));
        let machine = report::machine(folder.path());
        terminal.say(format!("service {} · ceiling {} · store in {}", service.address, bare.address, folder.path().display()));
        let world = Self {
            plan,
            config,
            key,
            simulator,
            service,
            bare,
            api,
            bare_api,
            disk,
            pushes,
            machine,
            stored: 0,
            terminal: *terminal,
            folder,
        };
        for platform in QUICK_TO_SEAL {
            let answered = world.simulator.ticket(platform).await?;
            ensure!(answered.is_some_and(|answered| answered.acknowledged), "the ticket of {platform} was not acknowledged");
        }
        Ok(world)
    }

    /// One line of talk.
    pub fn say(&self, line: &str) {
        self.terminal.say(line);
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Authorizers with their platforms, whose tokens are held.
    pub fn authorizers(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        (0..self.plan.authorizers).filter_map(|number| {
            let platform = *QUICK_TO_SEAL.get(number % QUICK_TO_SEAL.len())?;
            Some((platform, app_id(platform, number / QUICK_TO_SEAL.len())))
        })
    }

    /// Lets all merchants grant, and stores as many events as the plan wants.
    pub async fn fill(&mut self) -> anyhow::Result<()> {
        let all = self.plan.authorizers;
        self.say(&format!("{all} merchants grant …"));
        let progress = std::sync::Mutex::new((0_usize, self.terminal.progress()));
        let simulator = &self.simulator;
        futures_util::stream::iter(self.authorizers())
            .map(|(platform, app_id)| async move { simulator.grant(platform, &app_id).await.map_err(anyhow::Error::from) })
            .buffer_unordered(GRANTING)
            .try_for_each(|(_, answered)| {
                let mut progress = progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                progress.0 += 1;
                let line = format!("{} of {all} granted", progress.0);
                progress.1.at(&line);
                let held = answered.is_none_or(|answered| answered.acknowledged);
                std::future::ready(if held { Ok(()) } else { Err(anyhow::anyhow!("a grant was not acknowledged")) })
            })
            .await?;
        drop(progress);
        self.exchanged().await?;
        let missing = self.plan.events.saturating_sub(self.stored);
        self.say(&format!("storing {missing} events …"));
        self.store(missing).await
    }

    /// Waits until every code was exchanged: on a machine that does much else, a hundred thousand of them take many minutes.
    async fn exchanged(&self) -> anyhow::Result<()> {
        let patience = EXCHANGE * u32::try_from(self.plan.authorizers)? + Duration::from_secs(60);
        let progress = std::sync::Mutex::new(self.terminal.progress());
        self.api
            .until("every code was exchanged", patience, async || {
                let left = self.api.metric("yizhan_undelivered", "subscription=\"yizhan-vault\"").await?;
                progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).at(&format!("{left:.0} codes are not exchanged yet"));
                Ok(left < 0.5)
            })
            .await?;
        drop(progress);
        for (platform, app_id) in self.authorizers().step_by((self.plan.authorizers / 20).max(1)) {
            let token = format!("/v1/components/{platform}/authorizers/{app_id}/token");
            self.api.until("tokens are held", patience, async || Ok(self.api.get(&token).await.is_ok())).await?;
        }
        Ok(())
    }

    /// Stores so many events by pushing them. They are made while those before them are sent.
    pub async fn store(&mut self, count: usize) -> anyhow::Result<()> {
        let of_each = self.plan.authorizers / QUICK_TO_SEAL.len();
        let simulator = Arc::clone(&self.simulator);
        let mut pushes =
            Pushes::of(&QUICK_TO_SEAL, &|platform| simulator.vendor_url(platform), of_each)?.beginning_at(FILLED_FROM + self.stored);
        let (batches, mut made) = tokio::sync::mpsc::channel(1);
        let maker = tokio::task::spawn_blocking(move || {
            let mut left = count;
            while left > 0 {
                let batch = left.min(BATCH);
                left -= batch;
                if batches.blocking_send(pushes.requests(batch)).is_err() {
                    return;
                }
            }
        });
        let (mut done, mut progress) = (0, self.terminal.progress());
        while let Some(requests) = made.recv().await {
            let count = requests.len();
            self.push(requests, FILLING).await?;
            done += count;
            progress.at(&format!("{done} events stored"));
        }
        Ok(maker.await?)
    }

    /// Sends these pushes to the service.
    pub async fn push(&mut self, requests: Arc<[bytes::Bytes]>, connections: usize) -> anyhow::Result<Timed> {
        self.stored += requests.len();
        load::run(Errand { address: self.service.address, count: requests.len(), requests, connections }).await
    }

    /// Puts another process in the service's place, which has the same store.
    pub fn replace(&mut self, service: Process) -> anyhow::Result<Process> {
        self.api = Api::new(service.address, &self.key)?;
        self.simulator.connect(&format!("http://{}", service.address));
        Ok(std::mem::replace(&mut self.service, service))
    }

    /// Average size of a stored event, in bytes, of the newest ones.
    pub async fn event_bytes(&self) -> anyhow::Result<usize> {
        let page = self.api.get("/v1/events?limit=200").await?;
        let items = page.get("items").and_then(Value::as_array).context("the page has no items")?;
        let bytes: usize = items.iter().map(|item| item.to_string().len()).sum();
        Ok(bytes / items.len().max(1))
    }

    /// Makes a subscription to everything that goes to the bare server's handler.
    pub async fn subscribe(&self, name: &str, concurrency: usize) -> anyhow::Result<()> {
        let url = format!("http://{}/handler", self.bare.address);
        let body = json!({ "name": name, "url": url, "events": ["*"], "concurrency": concurrency });
        self.api.post("/v1/subscriptions", &body).await.map(drop)
    }

    /// Ends everything; the folder goes.
    pub fn end(self) {
        self.simulator.stop();
    }
}

/// The service's configuration: every default but what a run on one machine needs.
fn configuration(key: &str, simulator: &Simulator) -> anyhow::Result<String> {
    let hash = hex::encode(digest::sha256(&[key.as_bytes()]));
    let master_key = base64::engine::general_purpose::STANDARD.encode(random()?);
    Ok(format!(
        r#"
[server]
listen = "127.0.0.1:0"
public_url = "http://127.0.0.1"

[store]
url = "file:./store"
master_key = "{master_key}"
# So that retention can be measured too; nothing is as old as that before.
retention = "1h"
dedupe_retention = "1h"

[fanout]
allow_private = ["127.0.0.0/8"]

[[api_keys]]
name = "bench"
hash = "sha256:{hash}"
scopes = ["*"]

{components}"#,
        components = simulator.components_toml(),
    ))
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gave no randomness"))?;
    Ok(bytes)
}
