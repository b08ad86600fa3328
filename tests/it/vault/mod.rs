//! The vault: tickets, tokens, grants, what a crash leaves behind, and the stores under it.

mod audit;
mod clocks;
mod crash;
mod grants;
mod identity;
mod memory;
mod platforms;
mod shelf;
mod sled;
mod tickets;
mod tokens;
mod unread;
mod vendor;
mod visits;
mod worker;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use yizhan::clock::{Clock, ManualClock, Timestamp};
use yizhan::inbox::log::Tickets;
use yizhan::platform::push::{Grant, Ticket};
use yizhan::platform::{AuthorizationCode, Components, Family, TokenKey};
use yizhan::secret::Secret;
use yizhan::shutdown::Shutdown;
use yizhan::vault::shelf::TokenShelf;
use yizhan::vault::{Served, Vault, VaultError, Want};

use memory::MemoryShelf;
use vendor::{FakeComponent, FakeVendor, Habits};

/// Where browsers are in these tests, unless it matters.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// Name of the component in these tests.
const NAME: &str = "fake";

/// A vault on a shelf in memory with a pretended vendor and a clock moved by hand.
struct World {
    clock: Arc<ManualClock>,
    vendor: Arc<FakeVendor>,
    shelf: Arc<MemoryShelf>,
    vault: Arc<Vault>,
}

fn start() -> Timestamp {
    "2026-11-20T02:00:00Z".parse().unwrap()
}

fn token_of(app_id: &str) -> TokenKey {
    TokenKey::Authorizer { app_id: app_id.to_owned(), family: Family::Current }
}

fn min_ttl(seconds: u64) -> Want {
    Want { min_ttl: Duration::from_secs(seconds), ..Want::default() }
}

/// The vault's worker, at work.
struct Worker {
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Worker {
    fn of(vault: &Arc<Vault>) -> Self {
        let shutdown = Shutdown::default();
        let task = tokio::spawn(Arc::clone(vault).run(shutdown.clone()));
        Self { shutdown, task }
    }

    /// Works while time passes, so many seconds at each of so many steps.
    async fn over(vault: &Arc<Vault>, clock: &ManualClock, steps: usize, seconds: i64) {
        let worker = Self::of(vault);
        for _ in 0..steps {
            clock.advance(SignedDuration::from_secs(seconds));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        worker.stop().await;
    }

    async fn stop(self) {
        self.shutdown.request();
        self.task.await.unwrap();
    }
}

const COMPONENT: TokenKey = TokenKey::Component(Family::Current);

async fn open(shelf: Arc<dyn TokenShelf>, vendor: &Arc<FakeVendor>, clock: &Arc<ManualClock>) -> Arc<Vault> {
    let certificate = vendor.configured.load(Ordering::SeqCst);
    let component = Arc::new(FakeComponent { habits: vendor.habits.clone(), certificate });
    let components = Components::new(vec![component]);
    Vault::open(shelf, components, Arc::clone(vendor) as _, Arc::clone(clock) as _, "https://post.example.com").await.unwrap()
}

impl World {
    async fn new() -> Self {
        Self::with(Habits::default()).await
    }

    async fn with(habits: Habits) -> Self {
        let clock = Arc::new(ManualClock::starting_at(start()));
        let vendor = Arc::new(FakeVendor::new(habits, Arc::clone(&clock)));
        let shelf = Arc::new(MemoryShelf::default());
        let vault = open(Arc::clone(&shelf) as _, &vendor, &clock).await;
        Self { clock, vendor, shelf, vault }
    }

    /// With a ticket and one granted authorizer, `app1`.
    async fn granted() -> Self {
        Self::granted_with(Habits::default()).await
    }

    async fn granted_with(habits: Habits) -> Self {
        let world = Self::with(habits).await;
        world.ticket().await;
        world.grant("app1").await.unwrap();
        world
    }

    /// The process ends and starts again.
    async fn restart(self) -> Self {
        let Self { clock, vendor, shelf, vault } = self;
        drop(vault);
        let vault = open(Arc::clone(&shelf) as _, &vendor, &clock).await;
        Self { clock, vendor, shelf, vault }
    }

    fn work(&self) -> Worker {
        Worker::of(&self.vault)
    }

    fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    async fn ticket(&self) {
        let ticket = self.vendor.ticket();
        self.vault.keep(NAME, &ticket, self.clock.now()).await.unwrap();
    }

    /// A merchant grants, the push arrives.
    async fn grant(&self, app_id: &str) -> Result<yizhan::vault::Exchanged, VaultError> {
        let grant = self.pushed(app_id);
        self.vault.granted(NAME, Some(app_id), &grant).await
    }

    /// A merchant grants: what the push brings.
    fn pushed(&self, app_id: &str) -> Grant {
        Grant { code: Some(self.vendor.grant(app_id)), tokens: None, permissions: Vec::new(), granted_at: self.clock.now() }
    }

    async fn fresh(&self, app_id: &str) -> Result<Served, VaultError> {
        self.vault.fresh(NAME, &token_of(app_id), Want::default()).await
    }
}

fn code(text: &str, expires_at: Timestamp) -> AuthorizationCode {
    AuthorizationCode { value: Secret::new(text), expires_at }
}

fn ticket(text: &str, created_at: Timestamp) -> Ticket {
    Ticket { value: Secret::new(text), created_at }
}
