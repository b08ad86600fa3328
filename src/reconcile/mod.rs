//! What a lost push would have told: found by asking the vendors, and told as events marked as derived, never twice.
//!
//! Four looks at each component, as far as its vendor has them: the vendor's list of missed pushes (`missed`), the end of audits and builds
//! that take too long (`audits`, of what the [`Book`] heard at the desk; what others are answered counts too, `overheard`), the list of grants (`grants`), and the age of the newest ticket.
//! What the vault finds of a grant while it renews tokens is told from here as well (`learnt`).
//! Run by `app` as one worker, at once after a loss of events; by `http` for a person. What is found goes through [`Inbox`], which knows
//! what was told before. Sends nothing itself (the desk does), and gives up nobody on one look.

pub mod audits;
mod book;
mod grants;
mod learnt;
mod ledger;
mod missed;
mod overheard;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

pub use book::{Awaited, Book, Place, Submission};
pub use ledger::{Ledger, LookState};

use crate::clock::{Clock, Timestamp};
use crate::inbox::{Inbox, LogError};
use crate::operations::Desk;
use crate::platform::looks::MISSED_PUSHES;
use crate::platform::{Component, Components};
use crate::shutdown::Shutdown;
use crate::vault::Vault;
use crate::versions::VersionShelf;

/// `[reconcile]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether anything is asked by itself.
    pub enabled: bool,
    /// How often the list of missed pushes is read.
    pub missed_every: Duration,
    /// How often the list of grants is read.
    pub grants_every: Duration,
    /// How long after its submission a package in audit is first asked for.
    pub audit_after: Duration,
    /// The pauses after that grow up to this.
    pub audit_longest_pause: Duration,
    /// So long is an end waited for.
    pub audit_give_up: Duration,
    /// How long the log knows a message again.
    pub remembered: Duration,
}

/// One kind of look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Look {
    /// The age of the newest ticket.
    Tickets,
    /// The vendor's list of missed pushes.
    MissedPushes,
    /// Audits and builds that take too long.
    Audits,
    /// The vendor's list of grants.
    Grants,
}

impl Look {
    /// Its word in answers, metrics and keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tickets => "tickets",
            Self::MissedPushes => "missed_pushes",
            Self::Audits => "audits",
            Self::Grants => "grants",
        }
    }
}

/// How often the age of tickets is looked at. Asks nobody: the vault itself asks a vendor to push tickets where that exists.
const TICKETS_EVERY: Duration = Duration::from_secs(60);
/// More than a clock that is right is set back by.
const SLACK: Duration = Duration::from_secs(60);
/// The first pause after a look that failed; doubled each time, up to the look's own interval.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// A vendor that wants tickets asked for is asked again after this many of its intervals; then one is overdue.
const OVERDUE_AFTER: u32 = 2;

/// What a look came to.
#[derive(Debug, Default)]
struct Report {
    /// Calls to the vendor.
    asked: u64,
    /// What was found that nobody had told.
    found: u64,
    /// The first thing that kept it from seeing everything.
    error: Option<String>,
}

impl Report {
    fn fail(&mut self, error: impl std::fmt::Display) {
        self.error.get_or_insert(error.to_string());
    }
}

/// A look as people see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// When it last ran and what came of it.
    pub state: LookState,
    /// When it runs next; `None`: when something waits for it.
    pub next_at: Option<Timestamp>,
    /// Submissions whose end is awaited ([`Look::Audits`] only), without those of merchants that withdrew.
    pub waiting: usize,
}

/// What is held of one look.
#[derive(Debug, Default)]
struct Held {
    state: LookState,
    next_at: Option<Timestamp>,
    /// Failures one after the other.
    failures: u32,
}

/// One component's part.
struct Corner {
    component: Arc<dyn Component>,
    looks: Mutex<BTreeMap<Look, Held>>,
    /// Merchants that the last whole list lacked, and since when.
    missing: Mutex<HashMap<String, Timestamp>>,
    /// Merchants that the last list held and whose code was given up, and when their tokens were last asked for.
    given_up: Mutex<HashMap<String, Timestamp>>,
    /// What is wrong with its tickets.
    remark: Mutex<Option<String>>,
    /// One look at a time.
    looking: tokio::sync::Mutex<()>,
    /// The round that somebody asked for and that waits for its turn: who asks meanwhile joins it.
    waiting: Mutex<Option<watch::Receiver<()>>>,
}

/// The rooms that this one works with.
pub struct Doors {
    /// Carries out what is asked.
    pub desk: Arc<Desk>,
    /// Takes what is found.
    pub inbox: Arc<Inbox>,
    /// Knows our merchants and wins tokens back.
    pub vault: Arc<Vault>,
    /// Knows what is in audit by what was heard.
    pub versions: Arc<dyn VersionShelf>,
    /// Keeps submissions and looks.
    pub ledger: Arc<dyn Ledger>,
    /// Hears of submissions; the desk's observer.
    pub book: Arc<Book>,
}

/// Asks the vendors.
pub struct Reconcile {
    desk: Arc<Desk>,
    inbox: Arc<Inbox>,
    vault: Arc<Vault>,
    versions: Arc<dyn VersionShelf>,
    ledger: Arc<dyn Ledger>,
    book: Arc<Book>,
    clock: Arc<dyn Clock>,
    options: Options,
    corners: Vec<Arc<Corner>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reconcile {
    /// Over these components, as the ledger has their looks. With `lost_since`, acknowledged events since then were lost: every look is due
    /// at once, and the vendors' lists are read from there. That is durable when this returns.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        doors: Doors,
        components: &Components,
        options: Options,
        clock: Arc<dyn Clock>,
        lost_since: Option<Timestamp>,
    ) -> Result<Arc<Self>, LogError> {
        let Doors { desk, inbox, vault, versions, ledger, book } = doors;
        let now = clock.now();
        let mut corners = Vec::new();
        for component in components.iter() {
            let mut looks = BTreeMap::new();
            for look in looks_at(component.as_ref()) {
                let mut state = ledger.look(component.name(), look.as_str()).await?.unwrap_or_default();
                if let (Look::MissedPushes, Some(lost)) = (look, lost_since) {
                    state.lost_since = Some(state.lost_since.map_or(lost, |since| since.min(lost)));
                    ledger.put_look(component.name(), look.as_str(), &state).await?;
                }
                looks.insert(look, Held { state, next_at: Some(now), failures: 0 });
            }
            corners.push(Arc::new(Corner {
                component: Arc::clone(component),
                looks: Mutex::new(looks),
                missing: Mutex::default(),
                given_up: Mutex::default(),
                remark: Mutex::default(),
                looking: tokio::sync::Mutex::default(),
                waiting: Mutex::default(),
            }));
        }
        Ok(Arc::new(Self { desk, inbox, vault, versions, ledger, book, clock, options, corners }))
    }

    /// Looks until shutdown, at every component by itself.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let loops = self.corners.iter().map(|corner| {
            let (me, shutdown) = (&self, shutdown.clone());
            // Only questions are under way, and what was found is durable or found again.
            async move {
                tokio::select! {
                    () = me.keep(corner), if me.options.enabled => {}
                    () = me.listen(corner) => {}
                    () = shutdown.requested() => {}
                }
            }
        });
        futures_util::future::join_all(loops).await;
    }

    async fn keep(self: &Arc<Self>, corner: &Corner) {
        let component = corner.component.name();
        if let Err(error) = audits::adopt(self, corner).await {
            tracing::warn!(component, %error, "versions in audit could not be read: those submitted before are not asked for");
        }
        let mut news = self.book.news();
        loop {
            news.mark_unchanged();
            let now = self.clock.now();
            let due = self.times(corner, now).into_iter().filter(|(_, at)| at.is_some_and(|at| at <= now)).map(|(look, _)| look);
            for look in due.collect::<Vec<_>>() {
                let _alone = corner.looking.lock().await;
                self.look(corner, look, false).await;
            }
            let next = self.times(corner, self.clock.now()).into_iter().filter_map(|(_, at)| at).min().unwrap_or(Timestamp::MAX);
            // The book lives as long as this worker: an error cannot come.
            tokio::select! {
                () = self.clock.sleep_until(next) => {}
                _ = news.changed() => {}
            }
        }
    }

    /// No look is put off further than this, unless the clock was ahead when it was.
    fn furthest(&self, now: Timestamp) -> Timestamp {
        let Options { missed_every, grants_every, audit_after, audit_longest_pause, .. } = &self.options;
        let longest = [TICKETS_EVERY, *missed_every, *grants_every, *audit_after, *audit_longest_pause].into_iter().max();
        now.checked_add(longest.unwrap_or_default().saturating_add(SLACK)).unwrap_or(Timestamp::MAX)
    }

    /// When each look is due. Audits are due when the first submission is, but not while the vendor cannot be asked.
    fn times(&self, corner: &Corner, now: Timestamp) -> Vec<(Look, Option<Timestamp>)> {
        let furthest = self.furthest(now);
        let waits = self.book.next(corner.component.name(), now, furthest);
        let next_at = |held: &Held| held.next_at.map(|at| if at > furthest { now } else { at });
        let time = |(look, held): (&Look, &Held)| match look {
            Look::Audits if held.failures == 0 => (*look, waits),
            Look::Audits => (*look, waits.max(next_at(held))),
            look => (*look, next_at(held)),
        };
        locked(&corner.looks).iter().map(time).collect()
    }

    /// Runs every look at a component now, whatever is due, after what is under way, and answers with what came of it. However many ask, one round
    /// waits at most. Works where reconciling by itself is switched off.
    pub async fn now(self: &Arc<Self>, component: &str) -> Option<Vec<(Look, Looked)>> {
        let corner = Arc::clone(self.corners.iter().find(|corner| corner.component.name() == component)?);
        let mut round = locked(&corner.waiting).get_or_insert_with(|| self.round(&corner)).clone();
        // An error says that it is over: nothing is ever sent.
        let _ = round.changed().await;
        self.looked(component)
    }

    /// A round of all looks, in a task of its own: what was begun ends even if nobody waits for it any more. When it has ended, so has the channel.
    fn round(self: &Arc<Self>, corner: &Arc<Corner>) -> watch::Receiver<()> {
        let (me, corner) = (Arc::clone(self), Arc::clone(corner));
        let (running, round) = watch::channel(());
        tokio::spawn(async move {
            let _running = running;
            let _alone = corner.looking.lock().await;
            // Who asks from now on wants to know what is then.
            drop(locked(&corner.waiting).take());
            if let Err(error) = audits::adopt(&me, &corner).await {
                tracing::warn!(component = corner.component.name(), %error, "versions in audit could not be read");
            }
            let looks: Vec<Look> = locked(&corner.looks).keys().copied().collect();
            for look in looks {
                me.look(&corner, look, true).await;
            }
        });
        round
    }

    /// What each look at a component came to.
    #[must_use]
    pub fn looked(&self, component: &str) -> Option<Vec<(Look, Looked)>> {
        let corner = self.corners.iter().find(|corner| corner.component.name() == component)?;
        let times: BTreeMap<Look, Option<Timestamp>> = self.times(corner, self.clock.now()).into_iter().collect();
        // Of a merchant that withdrew nothing can be asked: what it submitted is kept for the day it is back, and until then nobody waits for it.
        let waiting = self.book.waiting(component, |authorizer| !self.vault.has_withdrawn(component, authorizer));
        let shown = |(look, held): (&Look, &Held)| {
            let waiting = if *look == Look::Audits { waiting } else { 0 };
            let next_at = times.get(look).copied().flatten().filter(|_| self.options.enabled);
            (*look, Looked { state: held.state.clone(), next_at, waiting })
        };
        Some(locked(&corner.looks).iter().map(shown).collect())
    }

    /// What people should know of components whose tickets are overdue, for `/readyz`.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let remarks: Vec<String> = self.corners.iter().filter_map(|corner| locked(&corner.remark).clone()).collect();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }

    /// One look; `now`: whatever is due.
    async fn look(&self, corner: &Corner, look: Look, now: bool) {
        let component = corner.component.name();
        let before = locked(&corner.looks).get(&look).map(|held| held.state.clone()).unwrap_or_default();
        let began = self.clock.now();
        let report = match (look, self.hindrance(corner)) {
            (Look::Tickets, _) => self.tickets(corner),
            (_, Some(hindrance)) => Report { error: Some(hindrance), ..Report::default() },
            (Look::MissedPushes, None) => self.missed(corner, &before).await,
            (Look::Audits, None) => self.audits(corner, now).await,
            (Look::Grants, None) => self.grants(corner).await,
        };
        let is_whole = report.error.is_none();
        let outcome = if is_whole { "ok" } else { "incomplete" };
        metrics::counter!("yizhan_reconcile_looks_total", "component" => component.to_owned(), "look" => look.as_str(), "outcome" => outcome)
            .increment(1);
        metrics::counter!("yizhan_reconcile_found_total", "component" => component.to_owned(), "look" => look.as_str())
            .increment(report.found);
        match (&report.error, look) {
            (Some(error), Look::MissedPushes | Look::Audits | Look::Grants) if report.asked > 0 => {
                tracing::warn!(component, look = look.as_str(), found = report.found, error, "a look did not see everything");
            }
            _ if report.found > 0 => {
                tracing::info!(component, look = look.as_str(), found = report.found, "found what pushes had not told")
            }
            _ => {}
        }
        let state = LookState {
            ran_at: Some(began),
            error: report.error,
            asked: report.asked,
            found: report.found,
            found_in_all: before.found_in_all.saturating_add(report.found),
            complete_at: if is_whole { Some(began) } else { before.complete_at },
            lost_since: before.lost_since.filter(|_| !is_whole),
        };
        // The age of a ticket is looked at every minute and never asked for after a restart: nothing of it is kept.
        if look != Look::Tickets
            && let Err(error) = self.ledger.put_look(component, look.as_str(), &state).await
        {
            tracing::warn!(component, look = look.as_str(), %error, "when this look ran was not kept");
        }
        let mut looks = locked(&corner.looks);
        let held = looks.entry(look).or_default();
        held.failures = if is_whole || look == Look::Tickets { 0 } else { held.failures.saturating_add(1) };
        held.next_at = began.checked_add(self.pause(look, held.failures)).ok();
        held.state = state;
    }

    fn pause(&self, look: Look, failures: u32) -> Duration {
        let every = match look {
            Look::Tickets => TICKETS_EVERY,
            Look::MissedPushes => self.options.missed_every,
            Look::Audits => self.options.audit_after,
            Look::Grants => self.options.grants_every,
        };
        match failures.checked_sub(1) {
            None => every,
            Some(before) => FIRST_PAUSE.saturating_mul(1 << before.min(16)).min(every),
        }
    }

    /// Why the vendor cannot be asked anything: there is no ticket to get a token with. Saves calls that can only fail.
    fn hindrance(&self, corner: &Corner) -> Option<String> {
        let component = corner.component.as_ref();
        if !component.needs_component_token() {
            return None;
        }
        let state = self.vault.component_state(component.name()).ok()?;
        let now = self.clock.now();
        let has_token = state.tokens.iter().any(|token| token.expires_at.is_none_or(|at| at > now));
        (!has_token && state.ticket_received_at.is_none()).then(|| String::from("waits for the first ticket"))
    }

    /// The age of the newest ticket. Where the vendor wants to be asked for tickets (Kuaishou 4.2) the vault does it, as often as it may.
    fn tickets(&self, corner: &Corner) -> Report {
        let component = corner.component.as_ref();
        let Some(rule) = component.ticket_rule() else { return Report::default() };
        let (now, name) = (self.clock.now(), component.name());
        let Ok(state) = self.vault.component_state(name) else { return Report::default() };
        let since = state.ticket_received_at.or(state.watched_since);
        let age = since.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default()).unwrap_or_default();
        let error = (age > rule.every.saturating_mul(OVERDUE_AFTER)).then(|| {
            let what = if state.ticket_received_at.is_some() { "no new ticket" } else { "no ticket" };
            let asked = state.tickets_asked_at.map(|at| format!("; the platform was asked to push at {at}")).unwrap_or_default();
            format!("{what} for {} minutes{asked}", age.as_secs() / 60)
        });
        let before = std::mem::replace(&mut *locked(&corner.remark), error.as_ref().map(|error| format!("{name}: {error}")));
        if let (None, Some(error)) = (before, &error) {
            tracing::warn!(component = name, error, "tickets are overdue: check the authorization-receive URL");
        }
        Report { error, ..Report::default() }
    }
}

/// The looks that a component's vendor allows.
fn looks_at(component: &dyn Component) -> Vec<Look> {
    let has_missed = component.operations().operations().iter().any(|row| row.name == MISSED_PUSHES);
    let looks = [
        (Look::Tickets, component.ticket_rule().is_some()),
        (Look::MissedPushes, has_missed),
        (Look::Audits, component.audit_look().is_some()),
        (Look::Grants, component.grant_list().is_some()),
    ];
    looks.into_iter().filter(|(_, has)| *has).map(|(look, _)| look).collect()
}
