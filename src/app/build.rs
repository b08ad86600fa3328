//! Opening the store and making the rooms.

use std::sync::Arc;

use super::{App, Health, Stores, Tasks};
use crate::clock::{Clock, StandingClock, Timestamp};
use crate::config::Config;
use crate::fanout::follower::{Follower, Shelves};
use crate::fanout::replays::Replays;
use crate::fanout::sink::Sink;
use crate::fanout::sink::exchange::Exchange;
use crate::fanout::sink::webhook::Webhook;
use crate::fanout::subscription::Origin;
use crate::fanout::{self, ClaimedName, Fanout, Sinks, Subscriber, Subscription, SubscriptionBook as _};
use crate::inbox::log::Tickets;
use crate::inbox::{EventLog, Inbox, LogError};
use crate::operations::Desk;
use crate::operations::idempotency::Idempotency;
use crate::operations::proxy::Proxy;
use crate::outbound::guard::Guard;
use crate::outbound::vendors::HttpVendors;
use crate::outbound::webhooks::Webhooks;
use crate::outbound::{ClientError, Vendors};
use crate::platform::Component;
use crate::playbook::Playbook;
use crate::playbook::book::{self, Book as PlaybookBook, Doors as PlaybookDoors, Entry, PlaybookShelf};
use crate::playbook::check::Scope;
use crate::playbook::sink::Steps;
use crate::reconcile::{Book, Doors, Reconcile};
use crate::robot::Robots;
use crate::rollout::plan::Known;
use crate::rollout::{self, Rollouts};
use crate::shutdown::Shutdown;
use crate::store::at_rest::{AtRest, AtRestError, OTHER_KEY};
use crate::store::fjall::{FjallLog, LogOptions};
use crate::store::sled::SledVault;
use crate::store::{fjall, sled};
use crate::telemetry;
use crate::vault::audit::ReadAudit;
use crate::vault::{self, Mistaken, Vault};
use crate::versions::{self, VersionBook};

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The master key.
    #[error(transparent)]
    Key(#[from] AtRestError),
    /// The vault's store.
    #[error("{0}")]
    VaultStore(sled::OpenError),
    /// The log's store.
    #[error("{0}")]
    LogStore(fjall::OpenError),
    /// The vault's records, or whose they are.
    #[error(transparent)]
    Vault(#[from] vault::OpenError),
    /// The subscriptions.
    #[error(transparent)]
    Fanout(#[from] fanout::OpenError),
    /// An HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Whose master key sealed the log.
    #[error("what is sealed in the log cannot be read: {0}")]
    Sealed(LogError),
    /// What is awaited of the vendors.
    #[error("what was submitted cannot be read: {0}")]
    Reconcile(LogError),
    /// The log after a loss.
    #[error("the log cannot go on after a loss: {0}")]
    Loss(LogError),
    /// How far our own readers of the log have come.
    #[error("how far the log was read cannot be told: {0}")]
    Followers(LogError),
    /// The playbooks that were made by API.
    #[error("the playbooks cannot be read: {0}")]
    Playbooks(LogError),
    /// The rollouts that an earlier process left.
    #[error("the rollouts cannot be read: {0}")]
    Rollouts(LogError),
}

/// What to do about a log of which no key opens anything: the key may be lost, and a former build may have put the log back without it.
const LOST_KEY: &str = "set `store.master_key` to the key it was sealed with, or add that key to `store.previous_master_keys`; if that key is lost, \
     `yizhan backup --offline FILE` and then `yizhan restore --only log --replace --without-key FILE` goes on without what it sealed";

impl BuildError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Key(_) => "`yizhan init` makes a key; `openssl rand -base64 32` does too",
            Self::VaultStore(error) => error.hint(),
            Self::LogStore(_) => "the message above says what to do",
            Self::Sealed(LogError::OtherKey(_)) => LOST_KEY,
            Self::Reconcile(LogError::OtherKey(_))
            | Self::Loss(LogError::OtherKey(_))
            | Self::Followers(LogError::OtherKey(_))
            | Self::Playbooks(LogError::OtherKey(_))
            | Self::Rollouts(LogError::OtherKey(_)) => OTHER_KEY,
            Self::Vault(vault::OpenError::OtherApplication(_)) => Mistaken::HINT,
            Self::Vault(_)
            | Self::Sealed(_)
            | Self::Loss(_)
            | Self::Rollouts(_)
            | Self::Playbooks(_)
            | Self::Reconcile(_)
            | Self::Followers(_) => "look at the log lines above; `yizhan restore` brings a backup back",
            Self::Fanout(fanout::OpenError::Claimed(_)) => ClaimedName::HINT,
            Self::Fanout(_) => "mend the subscription in the configuration",
            Self::Client(_) => "check the system's certificates",
        }
    }
}

impl App {
    /// Opens the store and makes every room. Nothing works by itself before [`App::work`], and nothing listens before `http::serve`.
    ///
    /// # Errors
    /// What is wrong; [`BuildError::hint`] says what to do.
    pub async fn build(config: Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>, BuildError> {
        let vendors = Arc::new(HttpVendors::new()?);
        Self::build_over(config, clock, vendors).await
    }

    /// The same with another way to the vendors for everything but what is passed through (`/proxy/`).
    ///
    /// # Errors
    /// As [`App::build`].
    pub async fn build_over(config: Config, clock: Arc<dyn Clock>, vendors: Arc<dyn Vendors>) -> Result<Arc<Self>, BuildError> {
        let metrics = telemetry::metrics();
        let steady = Arc::new(StandingClock::over(clock));
        let clock: Arc<dyn Clock> = steady.clone();
        let at_rest = super::at_rest(&config)?;
        let opened = tokio::join!(open_vault(&config, &at_rest, &vendors, &clock), open_log(&config, &at_rest, &clock));
        let ((shelf, vault), log) = (opened.0?, opened.1?);
        // Attributes and runs are first read when somebody asks for them: without this, a log that was put here under another key would show only then.
        log.look_at_keys().map_err(BuildError::Sealed)?;
        let stores = Stores { vault: shelf, log: Arc::clone(&log) };
        let health = Arc::new(Health::default());
        let components = config.components.clone();
        steady.start(latest_known(&vault, &log).await?);
        let lost = compare_with_mark(&vault, &log, &health)?;
        compare_with_commits(&stores, &health).await.map_err(BuildError::Loss)?;

        metrics::gauge!("process_start_time_seconds").set(clock.now().as_duration().as_secs_f64());
        let guard = Guard::allowing(&config.fanout.allow_private);
        let webhook = Webhook::new(Webhooks::new(guard.clone())?, Arc::clone(&clock), config.fanout.timeout);
        let exchange = Exchange::new(vault.clone(), Arc::clone(&clock));
        let exchange: Arc<dyn Sink> = Arc::new(exchange);
        let versions = Arc::new(VersionBook::new(log.clone()));
        let book = Book::open(log.clone(), config.components.clone(), config.reconcile.audit_after).await.map_err(BuildError::Reconcile)?;
        let desk = Desk::new(config.components.clone(), vault.clone(), vendors, Arc::clone(&clock));
        let desk = Arc::new(desk.observed_by(versions.clone()).observed_by(book.clone()));
        let known = Known { vault: vault.clone(), versions: versions.clone(), attributes: log.clone() };
        let rollouts = Rollouts::open(log.clone(), desk.clone(), Arc::new(known), Arc::clone(&clock), of_rollouts(&config)).await;
        let rollouts = rollouts.map_err(BuildError::Rollouts)?;
        let mut internal = vec![Subscriber { subscription: Subscription::vault(clock.now()), sink: exchange }];
        let followers = followers(&log, &rollouts, &versions, &clock).await.map_err(BuildError::Followers)?;
        let spoken = Webhooks::new(guard.clone())?;
        let robots = Arc::new(Robots::new(config.robots.iter().cloned(), spoken, config.fanout.timeout, Arc::clone(&clock)));
        let called = robots.names();
        let stored = stores.vault.load().await.map_err(fanout::OpenError::from)?;
        let standing = playbooks(&config, &stored, &*log, &called).await.map_err(BuildError::Playbooks)?;
        let each = standing.entries.values().map(|entry| Playbook::clone(&entry.playbook));
        let steps = Arc::new(Steps::new(each, desk.clone(), robots, log.clone(), log.clone(), Arc::clone(&clock)));
        let of_playbook = |entry: &Arc<Entry>| Subscriber { subscription: entry.playbook.subscription(clock.now()), sink: steps.clone() };
        internal.extend(standing.entries.values().map(of_playbook));
        let sinks = Sinks { webhook: Arc::new(webhook), internal, held: standing.unread.keys().cloned().collect() };
        let options = fanout::Options {
            retry: config.fanout.retry.clone(),
            timeout: config.fanout.timeout,
            concurrency: config.fanout.concurrency,
            grace: config.server.shutdown_grace,
            components: components.iter().map(|component| component.name().to_owned()).collect(),
            guard,
        };
        let from_file = config.subscriptions.clone();
        let fanout = Fanout::open(stores.vault.clone(), log.clone(), stored, from_file, sinks, options, Arc::clone(&clock)).await?;
        let doors = PlaybookDoors {
            shelf: log.clone(),
            runs: log.clone(),
            steps,
            fanout: fanout.clone(),
            components: config.components.clone(),
            robots: called,
            clock: Arc::clone(&clock),
        };
        let playbooks = Arc::new(PlaybookBook::new(standing, doors));
        let replays = Replays::new(log.clone(), log.clone(), log.clone(), fanout.clone(), Arc::clone(&clock));
        let tickets: Arc<dyn Tickets> = vault.clone();
        let inbox = Arc::new(Inbox::new(log.clone(), log.clone(), fanout.clone(), tickets, Arc::clone(&clock), components));
        book.tells(&inbox);
        let doors = Doors {
            desk: Arc::clone(&desk),
            inbox: Arc::clone(&inbox),
            vault: Arc::clone(&vault),
            versions: log.clone(),
            ledger: log.clone(),
            book,
        };
        let reconcile =
            Reconcile::open(doors, &config.components, config.reconcile.clone(), Arc::clone(&clock), lost.as_ref().map(|lost| lost.since))
                .await
                .map_err(BuildError::Reconcile)?;
        if let Some(lost) = lost {
            // Last: a start that ends before this finds the same loss again.
            log.continue_after(lost.acknowledged).await.map_err(BuildError::Loss)?;
        }
        let http = Arc::new(HttpVendors::new()?);
        let proxy = Proxy::new(config.components.clone(), vault.clone(), http, Arc::clone(&clock));
        let idempotency = Idempotency::new(stores.vault.clone(), Arc::clone(&clock));
        let audit = Arc::new(ReadAudit::new(log.clone(), Arc::clone(&clock)));
        health.works("vault");
        health.works("log");
        Ok(Arc::new(Self {
            config,
            clock,
            standing: steady,
            inbox,
            log: log.clone(),
            rejections: log.clone(),
            outbox: log.clone(),
            attributes: log.clone(),
            runs: log.clone(),
            playbooks,
            fanout,
            replays: Arc::new(replays),
            vault,
            desk,
            rollouts,
            versions,
            version_shelf: log.clone(),
            reconcile,
            followers: std::sync::Mutex::new(followers),
            proxy: Arc::new(proxy),
            idempotency: Arc::new(idempotency),
            audit,
            reads: log,
            metrics,
            health,
            shutdown: Shutdown::default(),
            tasks: Tasks::here(),
            stores,
        }))
    }
}

/// Who reads the log beside the subscribers.
async fn followers(
    log: &Arc<FjallLog>,
    rollouts: &Arc<Rollouts>,
    versions: &Arc<VersionBook>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Follower>, LogError> {
    let shelves = Shelves { log: log.clone(), marks: log.clone() };
    let of_rollouts = Arc::new(rollout::listener::Listener::new(Arc::clone(rollouts)));
    let of_versions = Arc::new(versions::Listener::new(Arc::clone(versions)));
    let (of_rollouts, of_versions) = tokio::try_join!(
        Follower::open(rollout::listener::FOLLOWER, rollout::listener::Listener::EVENTS, of_rollouts, shelves.clone(), Arc::clone(clock)),
        Follower::open(versions::FOLLOWER, versions::Listener::EVENTS, of_versions, shelves.clone(), Arc::clone(clock)),
    )?;
    Ok(vec![of_rollouts, of_versions])
}

/// The playbooks that there are: the configuration's and the stored ones. `stored` are the subscriptions of the vault: the log may have been put back to a
/// time when one of those that were made by API was a playbook's.
async fn playbooks(
    config: &Config,
    stored: &[Subscription],
    shelf: &dyn PlaybookShelf,
    robots: &[String],
) -> Result<book::Standing, LogError> {
    let components: Vec<&dyn Component> = config.components.iter().map(AsRef::as_ref).collect();
    let scope = Scope { components: &components, robots };
    // A stored one that was the file's is taken out of the book, or is there.
    let made = stored.iter().filter(|one| matches!(one.origin, Origin::Api | Origin::Playbook));
    let subscriptions: Vec<&Subscription> = config.subscriptions.iter().chain(made).collect();
    book::standing(shelf, &config.playbooks, &subscriptions, &scope).await
}

fn of_rollouts(config: &Config) -> rollout::Options {
    let settings = &config.rollout;
    let waits = rollout::settle::Waits { poll: settings.poll, quota: settings.quota_pause, longest: settings.longest_pause };
    let rate = (settings.rate > 0).then_some(settings.rate);
    rollout::Options { waits, concurrency: settings.concurrency, most: settings.most, rate, grace: config.server.shutdown_grace }
}

/// The vault's store, and the vault with all that memory holds of it.
async fn open_vault(
    config: &Config,
    at_rest: &Arc<AtRest>,
    vendors: &Arc<dyn Vendors>,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<SledVault>, Arc<Vault>), BuildError> {
    let store = SledVault::open(&config.store.path.join("vault"), Arc::clone(at_rest)).await.map_err(BuildError::VaultStore)?;
    let (components, vendors) = (config.components.clone(), Arc::clone(vendors));
    let vault = Vault::open(store.clone(), components, vendors, Arc::clone(clock), &config.server.public_url).await?;
    Ok((store, vault))
}

/// The log, opened while the vault is: each takes about a second where there is much.
async fn open_log(config: &Config, at_rest: &Arc<AtRest>, clock: &Arc<dyn Clock>) -> Result<Arc<FjallLog>, BuildError> {
    let options = LogOptions {
        cache_bytes: config.store.cache_bytes,
        dedupe_retention: config.store.dedupe_retention,
        rejected_keep: config.server.rejected_keep,
        rejected_retention: config.server.rejected_retention,
        ..LogOptions::default()
    };
    let (folder, at_rest, clock) = (config.store.path.join("log"), Arc::clone(at_rest), Arc::clone(clock));
    let ended = fjall::OpenError::Damaged { path: folder.clone(), detail: String::from("the opening thread ended early") };
    let opened = tokio::task::spawn_blocking(move || FjallLog::open(&folder, at_rest, options, clock)).await;
    opened.unwrap_or(Err(ended)).map_err(BuildError::LogStore)
}

/// The latest moment that the store knows of: the one that the last process remembered. What events show counts only where none did, because a
/// clock that was wrong when they came is in them.
async fn latest_known(vault: &Vault, log: &FjallLog) -> Result<Option<Timestamp>, BuildError> {
    let remembered = vault.remembered_present().await.map_err(vault::OpenError::from)?;
    let told = || log.last_event().ok().flatten().map(|(_, received_at)| received_at).max(vault.high_water().map(|mark| mark.at));
    Ok(remembered.or_else(told))
}

/// Acknowledged events that are not in the log.
struct Lost {
    /// Since when.
    since: Timestamp,
    /// The last one that was acknowledged.
    acknowledged: u64,
}

/// Holds the log against the mark of acknowledged events that the vault remembers: what is missing was lost to damage, and is said loudly.
fn compare_with_mark(vault: &Vault, log: &FjallLog, health: &Health) -> Result<Option<Lost>, BuildError> {
    metrics::gauge!("yizhan_events_lost").set(0.0);
    // A backup that was put back knows how far its predecessor had come.
    let expected = log.expected().map_err(BuildError::Loss)?;
    let mark = vault.high_water();
    let acknowledged = mark.map_or(0, |mark| mark.sequence).max(expected);
    let Some(lost) = fjall::missing_since(log.last_sequence(), acknowledged) else { return Ok(None) };
    let until = match mark {
        Some(mark) if mark.sequence >= expected => mark.at.to_string(),
        _ => String::from("the backup was put back"),
    };
    let last = log.last_event().ok().flatten().map(|(_, received_at)| received_at);
    let since = last.map_or_else(|| String::from("the beginning"), |received_at| received_at.to_string());
    tracing::error!(
        events = lost.events,
        since,
        until,
        "acknowledged events are missing from the log: it was damaged; restore a backup, or let the vendors repeat what they can"
    );
    health.note("log", format!("{} acknowledged events received between {since} and {until} were lost to damage", lost.events));
    metrics::gauge!("yizhan_events_lost").set(u32::try_from(lost.events).map_or(f64::from(u32::MAX), f64::from));
    Ok(Some(Lost { since: last.unwrap_or(Timestamp::UNIX_EPOCH), acknowledged }))
}

/// The same the other way round: the log remembers how many commits the vault had.
async fn compare_with_commits(stores: &Stores, health: &Health) -> Result<(), LogError> {
    let (present, remembered) = (stores.vault.commits(), stores.log.vault_commits()?.unwrap_or_default());
    let Some(lost) = remembered.checked_sub(present).filter(|lost| *lost > 0) else { return Ok(()) };
    tracing::error!(
        commits = lost,
        "the newest changes of the vault are missing: it was damaged, or an older one was put back; \
         tokens that are older than the vendor's are won back once they are refused, and tickets come by themselves"
    );
    health.note("vault", format!("the newest {lost} changes of tickets, tokens or subscriptions were lost to damage"));
    stores.log.remember_vault(present).await
}

/// The log as the port that rooms know.
impl Stores {
    pub(super) fn event_log(&self) -> Arc<dyn EventLog> {
        self.log.clone()
    }
}
