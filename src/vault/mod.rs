//! What we hold for others: tickets, component tokens, authorizers and their tokens.
//!
//! [`Vault::fresh`] is the one door to a token. Called by `http`, `fanout`'s exchange sink and, later, operations; the inbox keeps
//! tickets through its own port. Never speaks HTTP itself (`outbound` does) and never writes a secret unsealed (the shelf seals).
//!
//! The rooms: [`shelf`] is the port to the store and `record` what is on it; `chamber` is one component's part, with `held` its tokens in
//! memory; `fresh` hands out, `refresh` renews, `waiting` keeps codes and `exchange` turns them into tokens, `unread` says what becomes of
//! answers that lack a key, `keep` writes tokens down, `found` says what answers showed of grants, `authorize` makes links, with `marks` that need not
//! be kept, and hears of grants, `ticket` keeps tickets; `schedule` says what is due when and `watch` does it; `shares` bounds what strangers use up;
//! `identity` keeps one application's records from another; [`audit`] counts who read what.
//!
//! Two promises. **Nothing is handed out that is not durable.** And **nothing single-use is spent without a durable word of it before,
//! and the vendor's raw answer is durable before it is read**: whatever is interrupted where, a valid token comes back without the
//! merchant.

pub mod audit;
mod authorize;
pub mod authorizer;
mod chamber;
mod codes;
mod exchange;
mod flight;
mod found;
mod fresh;
mod held;
mod identity;
mod keep;
mod load;
mod marks;
mod record;
mod refresh;
mod schedule;
mod shares;
pub mod shelf;
mod ticket;
mod unread;
mod waiting;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use authorize::Asker;
pub use authorizer::{Authorizer, AuthorizerState};
pub use found::Found;
pub use identity::{Application, Forgotten, Identities, Mistaken};
pub use keep::LAG;
pub use record::Standing;

use crate::clock::{Clock, Timestamp};
use crate::inbox::log::{Page, Position};
use crate::outbound::{SendError, Vendors};
use crate::platform::push::Grant;
use crate::platform::token::{Family, Link, TokenKey};
use crate::platform::{ApiError, Components};
use crate::secret::Secret;
use crate::shutdown::Shutdown;

use chamber::{Chamber, Parts, locked};
use fresh::{Urge, slot_of};
use held::Slot;
use marks::Marks;
use record::{AuthorizerRecord, HighWaterRecord, NoteRecord, key, put, read};
use shelf::{Kind, ShelfError, TokenShelf};

/// How fresh a token must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Want {
    /// At least this much left; renewed first if needed.
    pub min_ttl: Duration,
    /// Only one with a generation above this.
    pub after_generation: Option<u64>,
    /// How long to wait for that.
    pub wait: Duration,
}

/// Why a caller insists on another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insistence {
    /// [`Vault::report_invalid`] of that generation.
    Rejected(u64),
    /// [`Vault::refresh`].
    Anyway,
    /// [`Vault::refresh_anew`].
    GivingUp,
}

/// A token handed out.
#[derive(Debug, Clone)]
pub struct Served {
    /// Its text.
    pub token: Secret,
    /// Counts renewals of this token from 1; never goes back.
    pub generation: u64,
    /// When it dies by itself, where it does.
    pub expires_at: Option<Timestamp>,
    /// How long a caller may cache it: less than the overlap of old and new, and less than what is left.
    pub cache_for: Duration,
}

/// The newest ticket.
#[derive(Debug, Clone)]
pub struct HeldTicket {
    /// Its text.
    pub value: Secret,
    /// The vendor's time of it.
    pub created_at: Timestamp,
    /// When it came.
    pub received_at: Timestamp,
}

/// What people see of a token: all but the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenState {
    /// Its family.
    pub family: Family,
    /// Its generation.
    pub generation: u64,
    /// When it dies.
    pub expires_at: Option<Timestamp>,
    /// When it was got.
    pub obtained_at: Timestamp,
}

/// What people see of a component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComponentState {
    /// When the newest ticket came.
    pub ticket_received_at: Option<Timestamp>,
    /// When the newest ticket was made, by the vendor's clock.
    pub ticket_created_at: Option<Timestamp>,
    /// When we last asked the vendor to push tickets, where it wants that.
    pub tickets_asked_at: Option<Timestamp>,
    /// Since when this process waits for tickets.
    pub watched_since: Option<Timestamp>,
    /// The component's own tokens.
    pub tokens: Vec<TokenState>,
    /// Authorizers by state: pending, granted, revoked.
    pub authorizers: (u64, u64, u64),
    /// Codes waiting to be exchanged, and when the first of them dies.
    pub codes_waiting: u64,
    /// When the first waiting code dies.
    pub code_expires_at: Option<Timestamp>,
    /// What an operator should look at, in words.
    pub warnings: Vec<String>,
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchanged {
    /// Tokens of these authorizers are held now.
    Authorizers(Vec<String>),
    /// The code had been used by its twin (redirect or push) and the tokens are held.
    Already(Vec<String>),
}

/// How far the log had acknowledged events when the vault was last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HighWater {
    /// The last acknowledged sequence.
    pub sequence: u64,
    /// When that was.
    pub at: Timestamp,
}

impl HighWater {
    /// Name of the note that holds it.
    pub const NAME: &'static str = "high-water";

    /// The mark in that note's body.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice::<HighWaterRecord>(body).ok().map(|mark| Self { sequence: mark.sequence, at: mark.at })
    }
}

/// Why the vault has nothing to give.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// No such component.
    #[error("there is no component of that name")]
    UnknownComponent,
    /// The platform has no such thing; says what to use instead.
    #[error("{0}")]
    NotApplicable(String),
    /// No ticket, or only one that is too old; says since when and what to check.
    #[error("{detail}")]
    NoTicket {
        /// `no ticket since 02:10` and so on.
        detail: String,
        /// What to check.
        hint: String,
    },
    /// The authorizer is unknown, or its code is not exchanged yet.
    #[error("{0}")]
    NotAuthorized(String),
    /// The merchant withdrew.
    #[error("the authorization was revoked")]
    Revoked {
        /// When.
        at: Option<Timestamp>,
    },
    /// The vendor said no.
    #[error("the vendor refused: {0}")]
    VendorRefused(ApiError),
    /// The vendor could not be reached or did not answer.
    #[error(transparent)]
    VendorUnreachable(#[from] SendError),
    /// Asked too often; how long to wait.
    #[error("asked too often")]
    RateLimited(Duration),
    /// Too many browsers came back whose codes wait to be exchanged; how long to wait.
    #[error("too many authorizations wait to be completed")]
    Crowded(Duration),
    /// So many strangers come that those from there have had their share; how long to wait.
    #[error("too many come from this network at once")]
    Overrun(Duration),
    /// Callers have made as many links as are kept, and none of them has ended yet; how long until the first does.
    #[error("too many authorization links that were made over the API are still open")]
    Invited(Duration),
    /// A `state` that is unknown, used, or too old.
    #[error("the authorization was not started here, or its link was used already")]
    UnknownState,
    /// The store does not answer.
    #[error("the vault cannot be written: {0}")]
    Store(String),
}

impl From<ShelfError> for VaultError {
    fn from(error: ShelfError) -> Self {
        Self::Store(error.to_string())
    }
}

/// Why the vault does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The shelf.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Components under whose names the records of other applications are kept.
    #[error("{}", each(.0))]
    OtherApplication(Vec<Mistaken>),
}

impl From<ShelfError> for OpenError {
    fn from(error: ShelfError) -> Self {
        Self::Vault(error.into())
    }
}

fn each(mistaken: &[Mistaken]) -> String {
    mistaken.iter().map(|one| format!("component `{}` {one}", one.component)).collect::<Vec<_>>().join("; ")
}

/// Name of the note that says what time it was.
const PRESENT: &str = "present";

/// Longest that a long poll waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Tickets, tokens and authorizers of all components.
pub struct Vault {
    chambers: HashMap<String, Arc<Chamber>>,
    shelf: Arc<dyn TokenShelf>,
    clock: Arc<dyn Clock>,
    high_water: Mutex<Option<HighWater>>,
}

impl Vault {
    /// A vault with what the shelf holds for these components. Nothing is renewed by itself before [`Vault::run`].
    /// `public_url` is where platforms reach us, for hints. Renewals run on the runtime that this is called on.
    ///
    /// # Errors
    /// [`OpenError::OtherApplication`], and nothing was written; [`VaultError::Store`] when the shelf cannot be read at all. Single damaged
    /// records are logged and named in [`ComponentState::warnings`]; damaged tokens are won back like lost ones.
    pub async fn open(
        shelf: Arc<dyn TokenShelf>,
        components: Components,
        vendors: Arc<dyn Vendors>,
        clock: Arc<dyn Clock>,
        public_url: &str,
    ) -> Result<Arc<Self>, OpenError> {
        let identities = Identities::compare(&*shelf, &components).await?;
        if !identities.mistaken.is_empty() {
            return Err(OpenError::OtherApplication(identities.mistaken));
        }
        for forgotten in &identities.forgotten {
            tracing::warn!(
                component = forgotten.component,
                merchants = forgotten.merchants,
                hint = forgotten.hint(),
                "the component {forgotten}"
            );
        }
        identities.note(&*shelf).await?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| VaultError::Store(error.to_string()))?;
        let holder = uuid::Uuid::new_v4();
        let marks = Arc::new(Marks::of(&*shelf).await?);
        let mut chambers = HashMap::new();
        for component in components.iter() {
            let chamber = Chamber::new(Parts {
                component: Arc::clone(component),
                shelf: Arc::clone(&shelf),
                vendors: Arc::clone(&vendors),
                clock: Arc::clone(&clock),
                runtime: runtime.clone(),
                public_url: public_url.to_owned(),
                holder,
                marks: Arc::clone(&marks),
            });
            chambers.insert(component.name().to_owned(), Arc::new(chamber));
        }
        // At once: while what one has read is taken in, others read.
        futures_util::future::try_join_all(chambers.values().map(|chamber| chamber.load())).await?;
        let found = shelf.get(&key(Kind::Note, "", HighWater::NAME)).await?;
        let high_water = found.and_then(|record| HighWater::read(record.body.as_deref()?));
        Ok(Arc::new(Self { chambers, shelf, clock, high_water: Mutex::new(high_water) }))
    }

    /// Sends nothing more to any vendor from the moment at which that is asked for: what is under way ends with the answer to its last call, and the
    /// next start goes on from there.
    pub fn heed(&self, stopping: &Shutdown) {
        for chamber in self.chambers.values() {
            *chamber::locked(&chamber.stopping) = stopping.clone();
        }
    }

    fn chamber(&self, component: &str) -> Result<&Arc<Chamber>, VaultError> {
        self.chambers.get(component).ok_or(VaultError::UnknownComponent)
    }

    /// A token, renewed first if needed. A held token that is young enough is returned without touching a disk.
    ///
    /// `min_ttl` is met if it can be: when a renewal fails, the held token is served as long as it is valid. It counts up to three
    /// quarters of the token's life. With `after_generation`, waits up to `wait` (at most a minute) for a newer one and answers with the
    /// current one if none came; it causes no renewal by itself.
    ///
    /// # Errors
    /// What is missing, by name.
    pub async fn fresh(&self, component: &str, key: &TokenKey, want: Want) -> Result<Served, VaultError> {
        let chamber = self.chamber(component)?;
        chamber.check(key)?;
        let Some(after) = want.after_generation else {
            let served = chamber.ensure(key, want.min_ttl).await?;
            chamber.served.increment(1);
            return Ok(served);
        };
        let mut deadline = std::pin::pin!(self.clock.sleep_until(schedule::later(self.clock.now(), want.wait.min(LONGEST_WAIT))));
        let mut published = chamber.published.subscribe();
        let mut is_over = want.wait.is_zero();
        loop {
            let served = chamber.ensure(key, want.min_ttl).await?;
            if served.generation > after || is_over {
                chamber.served.increment(1);
                return Ok(served);
            }
            tokio::select! {
                _ = published.changed() => {}
                () = &mut deadline => is_over = true,
            }
        }
    }

    /// A token that is held, valid and not due for renewal: what [`Vault::fresh`] answers without waiting. `None` says nothing but that it should be asked.
    #[must_use]
    pub fn at_hand(&self, component: &str, key: &TokenKey) -> Option<Served> {
        let chamber = self.chamber(component).ok()?;
        chamber.check(key).ok()?;
        let served = chamber.at_hand(key)?;
        chamber.served.increment(1);
        Some(served)
    }

    /// A caller saw generation `generation` rejected: renews only if it is still the current one. Answers as [`Vault::fresh`].
    ///
    /// # Errors
    /// As [`Vault::fresh`]; [`VaultError::RateLimited`] when the current one was forced less than 30 s ago. If the renewal fails the
    /// reported token is not served again to this caller, and who forces it within 5 s more is told the same.
    pub async fn report_invalid(&self, component: &str, key: &TokenKey, generation: u64) -> Result<Served, VaultError> {
        self.insist(component, key, Insistence::Rejected(generation), || {}).await
    }

    /// Renews unconditionally; at most once per 30 s and token. Of an authorizer that we know no grant of, the vendor is asked
    /// for one: so a merchant that authorized before this service existed is taken over, where the platform can recover codes.
    ///
    /// # Errors
    /// As [`Vault::report_invalid`].
    pub async fn refresh(&self, component: &str, key: &TokenKey) -> Result<Served, VaultError> {
        self.insist(component, key, Insistence::Anyway, || {}).await
    }

    /// The same, and an answer to an earlier renewal that waits for a key of ours counts from now on as one that never came: the vendor is asked again at
    /// once, the way it is after a lost answer. The tokens in that answer are lost, so this is for one that no key will open.
    ///
    /// # Errors
    /// As [`Vault::refresh`].
    pub async fn refresh_anew(&self, component: &str, key: &TokenKey) -> Result<Served, VaultError> {
        self.insist(component, key, Insistence::GivingUp, || {}).await
    }

    /// One of these. `begins` is called before any vendor is asked, when a renewal begins for it or is joined; never where it is refused before, or where
    /// there is a newer token already. From then on the renewal goes on by itself, whatever becomes of the caller.
    ///
    /// # Errors
    /// As theirs.
    pub async fn insist(&self, component: &str, key: &TokenKey, how: Insistence, begins: impl FnOnce()) -> Result<Served, VaultError> {
        let chamber = self.chamber(component)?;
        chamber.check(key)?;
        let slot = slot_of(key);
        let generation = chamber.generation(slot.family, &slot.app_id);
        let urge = match how {
            Insistence::Anyway => Some(Urge::Forced),
            Insistence::GivingUp => Some(Urge::GivingUp),
            Insistence::Rejected(seen) if seen == generation && chamber.held(key).is_some() => {
                tracing::info!(component, authorizer = %slot.app_id, generation, "a token was reported as rejected");
                Some(Urge::Forced)
            }
            Insistence::Rejected(_) => None,
        };
        if let Some(urge) = urge {
            chamber.force_as(slot, generation, urge, begins).await?;
        }
        self.fresh(component, key, Want::default()).await
    }

    /// The newest ticket, however old.
    ///
    /// # Errors
    /// [`VaultError::NotApplicable`] where the platform has none; [`VaultError::NoTicket`] before the first came.
    pub fn ticket(&self, component: &str) -> Result<HeldTicket, VaultError> {
        let chamber = self.chamber(component)?;
        chamber.ticket_rule()?;
        let newest = locked(&chamber.tickets.newest).clone();
        newest.map_or_else(|| chamber.usable_ticket(self.clock.now()), Ok)
    }

    /// State of a component.
    ///
    /// # Errors
    /// [`VaultError::UnknownComponent`].
    pub fn component_state(&self, component: &str) -> Result<ComponentState, VaultError> {
        Ok(self.chamber(component)?.state())
    }

    /// A page of authorizers by app id.
    ///
    /// # Errors
    /// [`VaultError::UnknownComponent`], [`VaultError::Store`].
    pub async fn authorizers(&self, component: &str, after: Option<&Position>, limit: usize) -> Result<Page<Authorizer>, VaultError> {
        let chamber = self.chamber(component)?;
        let after = after.map(|position| position.0.as_str());
        let mut found = self.shelf.page(Kind::Authorizer, component, after, limit.saturating_add(1)).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|record| Position(record.name.clone()));
        let mut items = Vec::with_capacity(found.len());
        for found in &found {
            match read::<AuthorizerRecord>(found) {
                Some(record) => items.push(shown(component, &found.name, record)),
                // Damaged: what memory knows is still true.
                None => {
                    if let (_, Some(record)) = chamber.authorizer_record(&found.name).await? {
                        items.push(shown(component, &found.name, record));
                    }
                }
            }
        }
        Ok(Page { items, next })
    }

    /// One authorizer with the state of its tokens.
    ///
    /// # Errors
    /// [`VaultError::NotAuthorized`] when we know nothing of it.
    pub async fn authorizer(&self, component: &str, app_id: &str) -> Result<(Authorizer, Vec<TokenState>), VaultError> {
        let chamber = self.chamber(component)?;
        let (_, Some(record)) = chamber.authorizer_record(app_id).await? else {
            return Err(VaultError::NotAuthorized(format!("no authorizer `{app_id}` is known")));
        };
        Ok((shown(component, app_id, record), chamber.token_states(app_id)))
    }

    /// Authorizers of whom a code waits, which is exchanged or won back by itself. Who is not among them and
    /// [`AuthorizerState::Pending`] stays that until somebody has [`Vault::refresh`] ask for tokens, or its owner authorizes again.
    ///
    /// # Errors
    /// [`VaultError::UnknownComponent`].
    pub fn with_codes(&self, component: &str) -> Result<BTreeSet<Arc<str>>, VaultError> {
        Ok(self.chamber(component)?.with_codes())
    }

    /// Whether that authorizer is among them by now.
    ///
    /// # Errors
    /// [`VaultError::UnknownComponent`].
    pub fn has_code(&self, component: &str, app_id: &str) -> Result<bool, VaultError> {
        Ok(self.chamber(component)?.has_code(app_id))
    }

    /// Whether that merchant withdrew, as far as we know. From memory.
    #[must_use]
    pub fn has_withdrawn(&self, component: &str, app_id: &str) -> bool {
        self.chamber(component).is_ok_and(|chamber| chamber.state_of(app_id) == Some(AuthorizerState::Revoked))
    }

    /// A link for one merchant; `redirect_uri` is ours unless the component's settings name another.
    ///
    /// # Errors
    /// [`VaultError::Invited`], [`VaultError::Overrun`]; what is missing for it; [`VaultError::VendorRefused`] with
    /// [`crate::platform::Class::Configuration`] names a missing setting.
    pub async fn link(&self, component: &str, redirect_uri: &str, asker: Asker) -> Result<Link, VaultError> {
        self.chamber(component)?.link(redirect_uri, asker).await
    }

    /// A browser at that address came back with this query: exchanges the code. If that fails for now, the code is kept and tried again by itself. The
    /// same query again, as long as the code waits, joins its exchange.
    ///
    /// # Errors
    /// [`VaultError::UnknownState`], also when every authorizer that the code was exchanged for has withdrawn since; [`VaultError::Crowded`] and
    /// [`VaultError::Overrun`], and nothing was kept; [`VaultError::VendorRefused`] when no code is in it; why the exchange failed.
    pub async fn returned(&self, component: &str, query: &str, from: IpAddr) -> Result<Exchanged, VaultError> {
        self.chamber(component)?.returned(query, from).await
    }

    /// A grant came by push (its sealed part): exchanges its code or keeps its tokens. Idempotent; safe to repeat after a crash.
    ///
    /// # Errors
    /// Why it could not be done yet; the code is kept by then, and tried again by itself.
    pub async fn granted(&self, component: &str, app_id: Option<&str>, grant: &Grant) -> Result<Exchanged, VaultError> {
        self.chamber(component)?.granted(app_id, grant).await
    }

    /// A merchant withdrew at `at` by the vendor's clock; ignored when a newer grant is known.
    ///
    /// # Errors
    /// [`VaultError::Store`].
    pub async fn revoked(&self, component: &str, app_id: &str, at: Timestamp) -> Result<(), VaultError> {
        let chamber = self.chamber(component)?;
        chamber.carry_out(Arc::clone(chamber).withdraw(app_id.to_owned(), at)).await
    }

    /// Remembers durably how far the log has acknowledged events. Never goes back; nothing is written when nothing changed.
    ///
    /// # Errors
    /// [`VaultError::Store`].
    pub async fn remember_high_water(&self, sequence: u64) -> Result<(), VaultError> {
        if self.high_water().is_some_and(|mark| mark.sequence >= sequence) {
            return Ok(());
        }
        let at = self.clock.now();
        self.shelf.commit(vec![put(key(Kind::Note, "", HighWater::NAME), &HighWaterRecord { sequence, at })?]).await?;
        *locked(&self.high_water) = Some(HighWater { sequence, at });
        Ok(())
    }

    /// Remembers durably what time it is, as far as that is believed: the next start holds its clock against it. It goes back with the clock.
    ///
    /// # Errors
    /// [`VaultError::Store`].
    pub async fn remember_present(&self, at: Timestamp) -> Result<(), VaultError> {
        Ok(self.shelf.commit(vec![put(key(Kind::Note, "", PRESENT), &NoteRecord { at })?]).await?)
    }

    /// What time it was when that was last remembered.
    ///
    /// # Errors
    /// [`VaultError::Store`].
    pub async fn remembered_present(&self) -> Result<Option<Timestamp>, VaultError> {
        let found = self.shelf.get(&key(Kind::Note, "", PRESENT)).await?;
        Ok(found.as_ref().and_then(read::<NoteRecord>).map(|note| note.at))
    }

    /// How far the log had acknowledged events when it was last remembered.
    #[must_use]
    pub fn high_water(&self) -> Option<HighWater> {
        *locked(&self.high_water)
    }

    /// Finishes what a crash interrupted, then renews ahead of expiry until shutdown, and lets what is under way finish.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        watch::run(self.chambers.values().map(Arc::clone).collect(), shutdown).await;
    }
}

fn shown(component: &str, app_id: &str, record: AuthorizerRecord) -> Authorizer {
    Authorizer {
        component: component.to_owned(),
        app_id: app_id.to_owned(),
        name: record.name,
        state: record.state,
        permissions: record.permissions,
        granted_at: record.granted_at,
        revoked_at: record.revoked_at,
        updated_at: record.updated_at,
    }
}
