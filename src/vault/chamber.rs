//! One component's part of the vault: its tokens in memory, what is due, what is under way, and the few steps that all rooms of the
//! vault share: reading a record, committing, sending, publishing a token.
//!
//! Rule of the house: memory follows the shelf. A token is published ([`Chamber::publish`]) only after the commit that holds it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock, Semaphore, watch};
use uuid::Uuid;

use crate::clock::{Clock, Timestamp};
use crate::outbound::{SendError, Vendors};
use crate::platform::token::{Family, Renewal, Standing, TokenKey};
use crate::platform::{Call, Class, Component, Reply};
use crate::secret::Secret;
use crate::shutdown::Shutdown;

use super::authorizer::AuthorizerState;
use super::codes::{States, UsedCodes, WaitingCode};
use super::flight::{Flights, Locks};
use super::held::{Board, Held, Slot};
use super::marks::Marks;
use super::record::{AuthorizerRecord, Bringer, TokenRecord, key, read, token_name};
use super::schedule::{CodeHash, Item, RATE_PAUSE, SLACK, Schedule, backoff, goes_on, is_ahead, later, renew_at};
use super::shares::Shares;
use super::shelf::{Change, Kind, RecordKey, ShelfError, TokenShelf};
use super::ticket::TicketDesk;
use super::{Exchanged, VaultError};

/// Vendor calls of one component under way at a time, all causes together.
const SENDS: usize = 64;

/// Links for strangers being asked for at a time.
const VISITING: usize = 16;

/// Least time between two tries that callers cause while a renewal fails.
pub(super) const COOLING: Duration = Duration::from_secs(5);

/// Longest time one process may work on a name before another may try: all calls of one renewal with their timeouts.
const LEASE: Duration = Duration::from_secs(90);

/// Something that fails, and since when.
#[derive(Clone)]
pub(super) struct Trouble {
    pub since: Timestamp,
    pub failures: u32,
    pub last_at: Timestamp,
    pub error: VaultError,
}

impl Trouble {
    /// Until when the vendor wants to hear no more of it, where it said that it is asked too often.
    fn limited_until(&self, now: Timestamp) -> Option<Timestamp> {
        let is_limited = is_rate_limit(&self.error) && goes_on(self.last_at, RATE_PAUSE, now);
        is_limited.then(|| later(self.last_at, RATE_PAUSE))
    }
}

/// A renewal that callers forced.
pub(super) struct Forced {
    /// When that was.
    pub since: Timestamp,
    /// How much later the next one may be.
    pub interval: Duration,
    /// Why nothing came of it: what callers who come too early are told. `None`: it is under way or done.
    pub failed: Option<VaultError>,
}

/// The component's own token, as a call needs it.
pub(super) struct Pass {
    /// `None` where the platform has no component token.
    pub token: Option<Secret>,
    /// Its generation: a refusal renews it only if it is still this one.
    pub generation: u64,
}

/// One component's part of the vault.
pub(super) struct Chamber {
    pub component: Arc<dyn Component>,
    pub name: String,
    pub shelf: Arc<dyn TokenShelf>,
    pub vendors: Arc<dyn Vendors>,
    pub clock: Arc<dyn Clock>,
    /// Renewals run here, not on the runtime of whoever asks: an HTTP worker's ends when its thread does.
    pub runtime: Handle,
    /// The address that the vendor pushes tickets and grants to, for hints.
    pub authorization_url: String,
    /// This process, as the holder of leases.
    pub holder: Uuid,
    /// When this process began to wait for tickets; at the latest now, whatever the clock showed then.
    opened_at: Mutex<Timestamp>,
    /// The latest second that the clock showed when something was noted.
    latest: AtomicI64,
    pub board: Board,
    pub schedule: Mutex<Schedule>,
    /// The wish to stop, as far as it was told.
    pub stopping: Mutex<Shutdown>,
    /// Something became due earlier.
    pub wake: Notify,
    /// Counts publications: long polls wait for it.
    pub published: watch::Sender<u64>,
    pub renewals: Flights<Slot, Result<(), VaultError>>,
    pub exchanges: Flights<CodeHash, Result<Exchanged, VaultError>>,
    /// One spending of refresh tokens or codes at a time per authorizer.
    pub locks: Locks,
    /// Spending for a known authorizer shares this; a code whose authorizer is unknown until it is exchanged takes it alone. Otherwise
    /// two exchanges for one authorizer could be committed in another order than the vendor did them, and dead tokens be kept.
    pub spending: RwLock<()>,
    pub sends: Semaphore,
    pub tickets: TicketDesk,
    pub troubles: Mutex<HashMap<Item, Trouble>>,
    /// Renewals that callers forced, while the next ones are too early.
    pub forced: Mutex<HashMap<Slot, Forced>>,
    /// Authorizers whose code is being asked for: the push that this causes is no news.
    pub recovering: Mutex<HashSet<Arc<str>>>,
    /// When a vendor last answered such an asking with a code, or may have without our hearing of it, by app id. Its push may still be on
    /// its way, whatever became of that code.
    pub recovered: Mutex<HashMap<Arc<str>, Timestamp>>,
    pub codes: Mutex<HashMap<CodeHash, WaitingCode>>,
    /// Browsers' codes that are let in and not kept yet, and who brings them. Locked before `codes`.
    pub entering: Mutex<HashMap<CodeHash, Bringer>>,
    /// Links that strangers were given of late, and codes of theirs that were let in.
    pub visits: Mutex<Shares>,
    pub returns: Mutex<Shares>,
    /// Links that strangers may have us ask the vendor for at a time: far fewer than `sends`, of which the rest is for renewals and callers.
    pub visiting: Semaphore,
    /// Codes of strangers are exchanged one after the other, each of which holds up all renewals: so it does for one exchange at most, however many wait.
    pub turn: tokio::sync::Mutex<()>,
    /// One browser at a time brings a code that is not kept yet, by the code's name.
    pub arrivals: Locks,
    pub used: Mutex<UsedCodes>,
    pub states: Mutex<States>,
    pub marks: Arc<Marks>,
    /// Authorizers of which something was found that is no event yet.
    pub untold: watch::Sender<BTreeSet<String>>,
    /// Records that could not be opened.
    pub damaged: Mutex<Vec<String>>,
    pub served: metrics::Counter,
}

/// What a chamber is made of.
pub(super) struct Parts {
    pub component: Arc<dyn Component>,
    pub shelf: Arc<dyn TokenShelf>,
    pub vendors: Arc<dyn Vendors>,
    pub clock: Arc<dyn Clock>,
    pub runtime: Handle,
    pub public_url: String,
    pub holder: Uuid,
    pub marks: Arc<Marks>,
}

impl Chamber {
    /// An empty one; [`Chamber::load`] fills it from the shelf.
    pub fn new(parts: Parts) -> Self {
        let name = parts.component.name().to_owned();
        Self {
            authorization_url: format!("{}/callback/{name}/authorization", parts.public_url.trim_end_matches('/')),
            opened_at: Mutex::new(parts.clock.now()),
            latest: AtomicI64::new(i64::MIN),
            board: Board::new(),
            schedule: Mutex::default(),
            stopping: Mutex::default(),
            wake: Notify::new(),
            published: watch::Sender::new(0),
            renewals: Flights::new(),
            exchanges: Flights::new(),
            locks: Locks::default(),
            spending: RwLock::default(),
            sends: Semaphore::new(SENDS),
            tickets: TicketDesk::default(),
            troubles: Mutex::default(),
            forced: Mutex::default(),
            recovering: Mutex::default(),
            recovered: Mutex::default(),
            codes: Mutex::default(),
            entering: Mutex::default(),
            visits: Mutex::default(),
            returns: Mutex::default(),
            visiting: Semaphore::new(VISITING),
            turn: tokio::sync::Mutex::default(),
            arrivals: Locks::default(),
            used: Mutex::default(),
            states: Mutex::default(),
            marks: parts.marks,
            untold: watch::Sender::default(),
            damaged: Mutex::default(),
            served: metrics::counter!("yizhan_tokens_served_total", "component" => name.clone()),
            component: parts.component,
            shelf: parts.shelf,
            vendors: parts.vendors,
            clock: parts.clock,
            runtime: parts.runtime,
            holder: parts.holder,
            name,
        }
    }

    /// When this process opened the component.
    pub fn opened_at(&self) -> Timestamp {
        *locked(&self.opened_at)
    }

    /// The time, for something that is noted.
    pub fn present(&self) -> Timestamp {
        let now = self.clock.now();
        self.latest.fetch_max(now.as_second(), Ordering::AcqRel);
        now
    }

    /// Notices a clock that was set back since something was noted.
    pub fn heed_clock(&self, now: Timestamp) {
        let latest = self.latest.swap(now.as_second(), Ordering::AcqRel);
        if Timestamp::from_second(latest).is_ok_and(|latest| is_ahead(latest, now)) {
            self.set_back(now);
        }
    }

    /// The clock was set back: what was noted of the time while it was ahead is no reason to wait. Tokens that came then are due, as is what
    /// failed then; how long tickets have been missing counts from now.
    fn set_back(&self, now: Timestamp) {
        let dated = |noted: &mut Timestamp| *noted = if is_ahead(*noted, now) { now } else { *noted };
        dated(&mut locked(&self.opened_at));
        if let Some(ticket) = locked(&self.tickets.newest).as_mut() {
            dated(&mut ticket.received_at);
        }
        let far = locked(&self.schedule).beyond_backoff(now);
        let mut due = 0_usize;
        for item in far {
            let is_due = match &item {
                Item::Token(slot) => {
                    let is_doubtful = |held: &Held| held.doubtful || held.is_undated(now);
                    locked(&self.troubles).contains_key(&item) || self.board.read(slot.family, &slot.app_id, is_doubtful).unwrap_or(true)
                }
                // One that waits is tried again at short intervals.
                Item::Code(_) => true,
            };
            if is_due {
                due += 1;
                self.due(item, now);
            }
        }
        tracing::warn!(component = self.name, due, "the clock was set back; what waits by a time from then is due");
    }

    /// The vendor's name, for sentences.
    pub fn title(&self) -> &'static str {
        self.component.platform().title().en
    }

    /// A key of this component.
    pub fn key(&self, kind: Kind, name: &str) -> RecordKey {
        key(kind, &self.name, name)
    }

    /// When a slot's token is renewed.
    pub fn renewal(&self, slot: &Slot) -> Renewal {
        self.component.renewal(&token_key(slot))
    }

    /// Commits; waits a little while the queue is full, because what comes from a vendor must not be lost for a busy disk.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), ShelfError> {
        for _ in 0..200_u8 {
            match self.shelf.commit(changes.clone()).await {
                Err(ShelfError::Full) => self.clock.sleep_until(later(self.clock.now(), Duration::from_millis(25))).await,
                answer => return answer,
            }
        }
        Err(ShelfError::Full)
    }

    /// A slot's token record with its version (0 and an empty one where there is none). Of a damaged one only the version is known,
    /// which bounds its generation from above: generations go on from there and never back.
    pub async fn token_record(&self, slot: &Slot) -> Result<(u64, TokenRecord), ShelfError> {
        let Some(found) = self.shelf.get(&self.token_record_key(slot)).await? else { return Ok((0, TokenRecord::default())) };
        let record = read(&found).unwrap_or_else(|| TokenRecord { generation: found.version, ..TokenRecord::default() });
        Ok((found.version, record))
    }

    pub fn token_record_key(&self, slot: &Slot) -> RecordKey {
        self.key(Kind::Token, &token_name(slot.family, &slot.app_id))
    }

    /// An authorizer's record with its version, 0 where there is none. A damaged one reads as what the board knows.
    pub async fn authorizer_record(&self, app_id: &str) -> Result<(u64, Option<AuthorizerRecord>), ShelfError> {
        let Some(found) = self.shelf.get(&self.key(Kind::Authorizer, app_id)).await? else { return Ok((0, None)) };
        let record = read(&found).unwrap_or_else(|| AuthorizerRecord {
            state: self.state_of(app_id).unwrap_or(AuthorizerState::Pending),
            ..AuthorizerRecord::pending(self.clock.now())
        });
        Ok((found.version, Some(record)))
    }

    /// Where an authorizer's grant stands; `None`: unknown.
    pub fn state_of(&self, app_id: &str) -> Option<AuthorizerState> {
        self.board.read(Family::Current, app_id, |held| held.state)
    }

    /// Sends one call. None any more once the service is asked to stop: what is under way ends with the answer to its last one, and the next start goes
    /// on from there.
    pub async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        // Never closed, so a permit always comes.
        let _permit = self.sends.acquire().await;
        if locked(&self.stopping).is_requested() {
            return Err(SendError::NotSent { target: call.target().to_owned(), cause: String::from("the service is stopping") });
        }
        self.vendors.send(call).await
    }

    /// With what the vendor is asked.
    pub fn standing<'a>(&self, family: Family, pass: &'a Pass) -> Standing<'a> {
        Standing { family, component_token: pass.token.as_ref(), now: self.clock.now() }
    }

    /// Puts a committed token before everybody: memory, schedule, long polls.
    pub fn publish(&self, slot: &Slot, record: &TokenRecord) {
        let expires_at = record.access.as_ref().and_then(|token| token.expires_at);
        let refresh_expires_at = record.refresh.as_ref().and_then(|token| token.expires_at);
        let now = self.present();
        let renew_at = record
            .access
            .is_some()
            .then(|| renew_at(slot, record.generation, record.obtained_at, expires_at, refresh_expires_at, self.renewal(slot)))
            .flatten()
            // It came while the clock was ahead, perhaps long ago.
            .map(|at| if is_ahead(record.obtained_at, now) { now } else { at });
        self.board.change(slot, |held| {
            held.token = record.access.as_ref().map(|token| token.value.clone());
            held.generation = held.generation.max(record.generation);
            held.expires_at = expires_at;
            held.obtained_at = record.obtained_at;
            held.renew_at = renew_at;
            held.has_refresh = record.refresh.is_some();
            held.doubtful = false;
        });
        locked(&self.schedule).set(Item::Token(slot.clone()), renew_at);
        self.published.send_modify(|count| *count = count.wrapping_add(1));
        self.wake.notify_one();
    }

    /// Makes an item due, though not before the vendor wants to hear of it again.
    pub fn due(&self, item: Item, at: Timestamp) {
        let now = self.present();
        let limited_until = locked(&self.troubles).get(&item).and_then(|trouble| trouble.limited_until(now));
        let at = limited_until.map_or(at, |until| at.max(until));
        locked(&self.schedule).set(item, Some(at));
        self.wake.notify_one();
    }

    /// Remembers how a try ended, and when the next one is due if it failed.
    pub fn note<T>(&self, item: &Item, result: &Result<T, VaultError>) {
        let now = self.present();
        let Err(error) = result else {
            if locked(&self.troubles).remove(item).is_some() {
                tracing::info!(component = self.name, what = %self.words_for(item), "works again");
            }
            return;
        };
        let failures = {
            let mut troubles = locked(&self.troubles);
            let trouble =
                troubles.entry(item.clone()).or_insert_with(|| Trouble { since: now, failures: 0, last_at: now, error: error.clone() });
            trouble.failures = trouble.failures.saturating_add(1);
            trouble.last_at = now;
            trouble.error = error.clone();
            trouble.failures
        };
        if self.is_kept(item) {
            let wait = if is_rate_limit(error) { backoff(failures).max(RATE_PAUSE) } else { backoff(failures) };
            self.due(item.clone(), later(now, wait));
            let of_component = matches!(item, Item::Token(slot) if slot.is_component());
            if matches!(error, VaultError::NoTicket { .. }) && !of_component {
                // Said once, by the component token; not once for each authorizer.
                tracing::debug!(component = self.name, what = %self.words_for(item), failures, again_in = ?wait, %error, "failed");
            } else {
                tracing::warn!(component = self.name, what = %self.words_for(item), failures, again_in = ?wait, %error, "failed");
            }
        } else {
            locked(&self.troubles).remove(item);
            tracing::warn!(component = self.name, what = %self.words_for(item), %error, "failed");
        }
    }

    /// Whether an item is worth another try of its own accord.
    fn is_kept(&self, item: &Item) -> bool {
        match item {
            Item::Token(slot) if slot.is_component() => true,
            Item::Token(slot) => self.state_of(&slot.app_id) == Some(AuthorizerState::Granted),
            Item::Code(hash) => locked(&self.codes).contains_key(hash),
        }
    }

    fn words_for(&self, item: &Item) -> String {
        match item {
            Item::Token(slot) if slot.is_component() => String::from("component token"),
            Item::Token(slot) => format!("token of {}", slot.app_id),
            Item::Code(hash) => match locked(&self.codes).get(hash).and_then(|code| code.app_id.clone()) {
                Some(app_id) => format!("code of {app_id}"),
                None => String::from("code of an authorizer not known yet"),
            },
        }
    }

    /// The last error, while it is too early for callers to cause another try.
    pub fn cooling(&self, item: &Item) -> Option<VaultError> {
        let troubles = locked(&self.troubles);
        let trouble = troubles.get(item)?;
        let pause = if is_rate_limit(&trouble.error) { RATE_PAUSE } else { COOLING };
        goes_on(trouble.last_at, pause, self.clock.now()).then(|| trouble.error.clone())
    }

    /// The vendor's word that it is asked too often, while it wants to be left alone with that item: also by those who insist.
    pub fn limited(&self, item: &Item) -> Option<VaultError> {
        self.cooling(item).filter(is_rate_limit)
    }

    /// Does some work under the lease on a name.
    pub async fn leased<T>(&self, name: &str, work: impl Future<Output = Result<T, VaultError>>) -> Result<T, VaultError> {
        self.lease(name).await?;
        let result = work.await;
        self.release(name).await;
        result
    }

    /// Asks for the lease and waits while another process has it.
    async fn lease(&self, name: &str) -> Result<(), ShelfError> {
        loop {
            let now = self.clock.now();
            match self.shelf.lease(&format!("{}/{name}", self.name), self.holder, now, later(now, LEASE)).await? {
                None => return Ok(()),
                // Taken by a clock that was ahead. It only saves work.
                Some(until) if until > later(now, LEASE.saturating_add(SLACK)) => return Ok(()),
                Some(until) => self.clock.sleep_until(until.min(later(now, Duration::from_millis(250)))).await,
            }
        }
    }

    /// Gives a lease back. Failing is harmless: it ends by itself.
    async fn release(&self, name: &str) {
        let now = self.clock.now();
        if let Err(error) = self.shelf.lease(&format!("{}/{name}", self.name), self.holder, now, now).await {
            tracing::warn!(component = self.name, %error, "a lease could not be given back");
        }
    }
}

fn is_rate_limit(error: &VaultError) -> bool {
    matches!(error, VaultError::VendorRefused(refusal) if refusal.class == Class::RateLimited)
}

/// The key by which platforms know a slot.
pub(super) fn token_key(slot: &Slot) -> TokenKey {
    if slot.is_component() {
        TokenKey::Component(slot.family)
    } else {
        TokenKey::Authorizer { app_id: slot.app_id.to_string(), family: slot.family }
    }
}

/// The lock, whatever happened to its last holder: nothing here is left half changed.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
