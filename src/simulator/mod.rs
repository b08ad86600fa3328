//! The vendors, pretended: one HTTP server that hosts every twin, posts their pushes to a provider, and misbehaves on request.
//!
//! Used by `yizhan simulate`, by the demo and by tests. It knows `platform` and `clock` only and reaches the provider by HTTP, as a vendor would.
//! Each platform lives below its own path (`/baidu/…`), which replaces the vendor's hosts in the component's settings;
//! `/_sim/…` is the stage door: stories, faults, the clock, the journal.

pub mod auditors;
pub mod clock;
pub mod crowd;
pub mod fault;
mod journal;
pub mod ledger;
mod post;
mod server;
mod stage_door;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Clock, Timestamp};
use crate::platform::quota::AuditQuota;
use crate::platform::twin::{GrantStory, Outgoing, Verdict};
use crate::platform::{self, Door, Platform, Twin};
use crate::settings::{Problem, Settings, Surroundings};
use crate::shutdown::Shutdown;

use clock::JumpingClock;
use fault::{CallFault, PushFaults};
pub use journal::{Counts, Entry};
use ledger::Ledger;

/// How a simulator behaves when nobody asks for faults.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// Times an unacknowledged push is repeated. Vendors repeat three times and more; without retries a lost acknowledgement would lose the push.
    pub retries: u32,
    /// Wait before a repetition, by the simulator's clock.
    pub retry_after: Duration,
    /// How often tickets are pushed by themselves; `None`: only when asked.
    pub ticket_every: Option<Duration>,
}

impl Default for Manners {
    fn default() -> Self {
        Self { retries: 3, retry_after: Duration::from_secs(2), ticket_every: None }
    }
}

/// One vendor on the stage.
struct Stage {
    twin: Box<dyn Twin>,
    call_faults: Vec<CallFault>,
    push_faults: PushFaults,
    held_back: Vec<Outgoing>,
    sent: Vec<Outgoing>,
    counts: Counts,
    /// Pushes that were about to leave, those that got lost among them.
    departed: u64,
    desk: auditors::Desk,
    ledger: Ledger,
}

/// The running simulator. Dropping it leaves the server running until [`Simulator::stop`].
pub struct Simulator {
    address: SocketAddr,
    clock: Arc<JumpingClock>,
    manners: Manners,
    provider: Mutex<Option<String>>,
    stages: BTreeMap<&'static str, Mutex<Stage>>,
    journal: Mutex<Vec<Entry>>,
    /// Wakes auditors who had nothing to do.
    employed: Notify,
    client: reqwest::Client,
    shutdown: Shutdown,
}

/// Why a simulator did not start or a story could not be told.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(reqwest::Error),
    /// A twin refuses its own sample settings.
    #[error("the twin of {0} refuses its settings: {1}")]
    Settings(&'static str, Problems),
    /// No such platform.
    #[error("there is no platform `{0}` here")]
    UnknownPlatform(String),
    /// No provider was connected.
    #[error("no provider is connected; tell the simulator its address first")]
    NoProvider,
}

/// Problems on one line.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, problem)| write!(f, "{}{problem}", if index == 0 { "" } else { "; " }))
    }
}

/// How the provider answered one push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// HTTP status; 0 when no answer came.
    pub status: u16,
    /// Whether that counts as an acknowledgement at this vendor.
    pub acknowledged: bool,
}

impl Simulator {
    /// Starts every twin on one server. `listen` may have port 0.
    ///
    /// # Errors
    /// The address is taken, or a twin's settings are wrong.
    pub async fn start(listen: SocketAddr, clock: Arc<dyn Clock>, manners: Manners) -> Result<Arc<Self>, SimulatorError> {
        let listener = std::net::TcpListener::bind(listen).map_err(|error| SimulatorError::Listen(listen, error))?;
        let address = listener.local_addr().map_err(|error| SimulatorError::Listen(listen, error))?;
        let mut stages = BTreeMap::new();
        for platform in platform::ALL {
            let name = platform.name();
            let sample = format!("{}\n{}", platform.sample_settings(&vendor_url(address, name)), platform.sample_switches());
            let settings = || parsed(&sample, name);
            let refused = |problems| SimulatorError::Settings(name, Problems(problems));
            let twin = platform.twin(settings()?).map_err(refused)?;
            let component = platform.component(name, settings()?).map_err(refused)?;
            let stage = Stage {
                twin,
                call_faults: Vec::new(),
                push_faults: PushFaults::default(),
                held_back: Vec::new(),
                sent: Vec::new(),
                counts: Counts::default(),
                departed: 0,
                desk: auditors::Desk::default(),
                ledger: Ledger::of(component.as_ref()),
            };
            stages.insert(name, Mutex::new(stage));
        }
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(SimulatorError::Client)?;
        let simulator = Arc::new(Self {
            address,
            clock: Arc::new(JumpingClock::over(clock)),
            manners,
            provider: Mutex::new(None),
            stages,
            journal: Mutex::new(Vec::new()),
            employed: Notify::new(),
            client,
            shutdown: Shutdown::default(),
        });
        server::start(Arc::clone(&simulator), listener).map_err(|error| SimulatorError::Listen(listen, error))?;
        for platform in platform::ALL {
            tokio::spawn(Arc::clone(&simulator).audit_by_themselves(platform.name()));
        }
        if let Some(every) = manners.ticket_every {
            tokio::spawn(Arc::clone(&simulator).push_tickets(every));
        }
        Ok(simulator)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base address that replaces a vendor's hosts.
    #[must_use]
    pub fn vendor_url(&self, platform: &str) -> String {
        vendor_url(self.address, platform)
    }

    /// A `[[components]]` table for each platform, with the keys its twin uses; components are named after their platforms.
    #[must_use]
    pub fn components_toml(&self) -> String {
        let table = |platform: &&dyn Platform| {
            let settings = platform.sample_settings(&self.vendor_url(platform.name()));
            let switches = platform.sample_switches();
            format!("[[components]]\nname = \"{0}\"\nplatform = \"{0}\"\n{settings}{switches}\n", platform.name())
        };
        platform::ALL.iter().map(table).collect()
    }

    /// Tells the twins where pushes go: the provider's address without a trailing slash.
    pub fn connect(&self, provider: &str) {
        *lock(&self.provider) = Some(provider.trim_end_matches('/').to_owned());
    }

    /// The vendors' time, which may have jumped away from the provider's.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the vendors' clock, backwards when negative.
    pub fn jump(&self, by: jiff::SignedDuration) {
        self.clock.jump(by);
    }

    /// Pushes a new ticket; `None` where the platform has none.
    ///
    /// # Errors
    /// Unknown platform, or no provider.
    pub async fn ticket(&self, platform: &str) -> Result<Option<Answered>, SimulatorError> {
        match self.on(platform, |stage, now| stage.twin.ticket(now))? {
            Some(push) => self.deliver(platform, push).await.map(Some),
            None => Ok(None),
        }
    }

    /// A merchant grants. The push, where there is one, is sent; the query string with which the browser comes back is returned.
    ///
    /// # Errors
    /// Unknown platform, or no provider.
    pub async fn grant(&self, platform: &str, app_id: &str) -> Result<(String, Option<Answered>), SimulatorError> {
        let GrantStory { push, redirect_query } = self.on(platform, |stage, now| stage.twin.grant(app_id, now))?;
        let answered = match push {
            Some(push) => Some(self.deliver(platform, push).await?),
            None => None,
        };
        Ok((redirect_query, answered))
    }

    /// A merchant grants, and the vendor tells the browser only, as some do of grants by a link (Alipay 3.1). The query string of the browser's return.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn grant_unpushed(&self, platform: &str, app_id: &str) -> Result<String, SimulatorError> {
        self.on(platform, |stage, now| stage.twin.grant(app_id, now).redirect_query)
    }

    /// A merchant withdraws.
    ///
    /// # Errors
    /// Unknown platform, or no provider.
    pub async fn revoke(&self, platform: &str, app_id: &str) -> Result<Option<Answered>, SimulatorError> {
        match self.on(platform, |stage, now| stage.twin.revoke(app_id, now))? {
            Some(push) => self.deliver(platform, push).await.map(Some),
            None => Ok(None),
        }
    }

    /// An audit ends. Returns the push too, so that it can be repeated or forged.
    ///
    /// # Errors
    /// Unknown platform, or no provider.
    pub async fn audit(
        &self,
        platform: &str,
        app_id: &str,
        version: &str,
        verdict: &Verdict,
    ) -> Result<(Outgoing, Answered), SimulatorError> {
        let push = self.on(platform, |stage, now| stage.twin.audit(app_id, version, verdict, now))?;
        let answered = self.deliver(platform, push.clone()).await?;
        Ok((push, answered))
    }

    /// Any other push; `plain` as [`Twin::say`] wants it.
    ///
    /// # Errors
    /// Unknown platform, or no provider.
    pub async fn say(&self, platform: &str, door: Door, plain: &str) -> Result<(Outgoing, Answered), SimulatorError> {
        let push = self.on(platform, |stage, now| stage.twin.say(door, plain, now))?;
        let answered = self.deliver(platform, push.clone()).await?;
        Ok((push, answered))
    }

    /// The same content again, sealed afresh, as a vendor's retry.
    ///
    /// # Errors
    /// Unknown platform, or no provider.
    pub async fn repeat(&self, platform: &str, push: &Outgoing) -> Result<Answered, SimulatorError> {
        let again = self.on(platform, |stage, now| {
            stage.counts.duplicates += 1;
            stage.twin.reseal(push, now)
        })?;
        self.post(platform, &again).await
    }

    /// The same push with a signature that does not hold.
    ///
    /// # Errors
    /// Unknown platform, or no provider.
    pub async fn forge(&self, platform: &str, push: &Outgoing) -> Result<Answered, SimulatorError> {
        let forged = self.on(platform, |stage, _| {
            stage.counts.forged += 1;
            stage.twin.forge(push)
        })?;
        self.post(platform, &forged).await
    }

    /// Makes access tokens invalid at once: an authorizer's, or the component's.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn expire_tokens(&self, platform: &str, app_id: Option<&str>) -> Result<(), SimulatorError> {
        self.on(platform, |stage, _| stage.twin.expire_tokens(app_id))
    }

    /// Whether the vendor would accept that token now.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn accepts(&self, platform: &str, app_id: Option<&str>, token: &str) -> Result<bool, SimulatorError> {
        self.on(platform, |stage, now| stage.twin.accepts(app_id, token, now))
    }

    /// Domains of its own that what a merchant has online may call; `None` where the vendor does not bind them to a version.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn domains_online(&self, platform: &str, app_id: &str) -> Result<Option<Vec<String>>, SimulatorError> {
        self.on(platform, |stage, _| stage.twin.domains_online(app_id))
    }

    /// Asks for trouble with calls.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn fail_calls(&self, platform: &str, fault: CallFault) -> Result<(), SimulatorError> {
        self.on(platform, |stage, _| stage.call_faults.push(fault))
    }

    /// Trouble with calls that was asked for and has not happened yet.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn call_faults(&self, platform: &str) -> Result<Vec<CallFault>, SimulatorError> {
        self.on(platform, |stage, _| stage.call_faults.clone())
    }

    /// Asks for trouble with pushes, from now on; the default asks for none.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn fail_pushes(&self, platform: &str, faults: PushFaults) -> Result<(), SimulatorError> {
        self.on(platform, |stage, _| stage.push_faults = faults)
    }

    /// Sets how many versions a vendor takes for audit from now on; the default is any number.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn limit_audits(&self, platform: &str, quota: AuditQuota) -> Result<(), SimulatorError> {
        self.on(platform, |stage, now| stage.twin.limit_audits(quota, now))
    }

    /// What one vendor counted.
    ///
    /// # Errors
    /// Unknown platform.
    pub fn counts(&self, platform: &str) -> Result<Counts, SimulatorError> {
        self.on(platform, |stage, _| stage.counts.clone())
    }

    /// Every call that reached a vendor, oldest first, at most the last 10,000.
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        lock(&self.journal).clone()
    }

    /// Stops the server.
    pub fn stop(&self) {
        self.shutdown.request();
    }

    async fn push_tickets(self: Arc<Self>, every: Duration) {
        while !self.shutdown.is_requested() {
            if lock(&self.provider).is_some() {
                for platform in platform::ALL {
                    if let Err(error) = self.ticket(platform.name()).await {
                        tracing::warn!(platform = platform.name(), %error, "ticket not pushed");
                    }
                }
            }
            let wake = self.clock.now() + every;
            tokio::select! {
                () = self.clock.sleep_until(wake) => {}
                () = self.shutdown.requested() => return,
            }
        }
    }

    fn on<T>(&self, platform: &str, act: impl FnOnce(&mut Stage, Timestamp) -> T) -> Result<T, SimulatorError> {
        let stage = self.stages.get(platform).ok_or_else(|| SimulatorError::UnknownPlatform(platform.to_owned()))?;
        let now = self.clock.now();
        Ok(act(&mut lock(stage), now))
    }
}

fn vendor_url(address: SocketAddr, platform: &str) -> String {
    format!("http://{address}/{platform}")
}

fn parsed(text: &str, platform: &'static str) -> Result<Settings, SimulatorError> {
    Settings::parse(text, Surroundings::default()).map_err(|problem| SimulatorError::Settings(platform, Problems(vec![problem])))
}

/// A number that is the same for the same words in every run and on every machine, and otherwise anything (FNV-1a, then stirred).
fn scatter(words: &[&str]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

/// A lock whose holder panicked is taken all the same: the stage keeps whatever state it had.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
