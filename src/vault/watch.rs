//! The vault's worker: renews what is due, for idle authorizers too; measures; warns. One loop per component.
//!
//! The loop is dull: what is due comes from `schedule`, the work is done by `fresh` and `exchange`, which also say when a failure is
//! due again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock::Timestamp;
use crate::platform::token::Family;
use crate::shutdown::Shutdown;

use super::authorizer::AuthorizerState;
use super::chamber::{Chamber, locked};
use super::exchange::ECHO;
use super::fresh::Urge;
use super::held::Slot;
use super::record::Origin;
use super::schedule::{Item, between, earlier, goes_on, later};
use super::shelf::{Change, Kind};
use super::ticket::minutes;
use super::{ComponentState, TokenState};

/// Renewals under way at a time per component, so that a slow vendor is not made slower.
const PER_COMPONENT: usize = 8;

/// Renewals under way at a time in all.
const IN_ALL: usize = 32;

/// How often is measured and warned.
const EVERY: Duration = Duration::from_secs(5);

/// How often old codes and states are forgotten.
const CLEANED_EVERY: Duration = Duration::from_secs(600);

/// Records removed in one commit, so that no other waits long for it.
const CLEANED_AT_ONCE: usize = 256;

/// A code this close to its end is an alarm; sooner for codes that live shorter.
const CODE_ALARM: Duration = Duration::from_secs(600);

/// So long before its end that a code is not exchanged is alarming: of one that lives a minute half of that, for it is waiting all of its life.
fn alarm(code: &super::codes::WaitingCode) -> Duration {
    CODE_ALARM.min(between(code.received_at, code.expires_at) / 2)
}

/// Runs all chambers until shutdown, then waits for what is under way.
pub(super) async fn run(chambers: Vec<Arc<Chamber>>, shutdown: Shutdown) {
    let in_all = Arc::new(Semaphore::new(IN_ALL));
    let loops = chambers.iter().map(|chamber| {
        let (chamber, in_all, shutdown) = (Arc::clone(chamber), Arc::clone(&in_all), shutdown.clone());
        async move { tokio::join!(chamber.work(&in_all, &shutdown), chamber.observe(&shutdown), chamber.tend(&shutdown)) }
    });
    futures_util::future::join_all(loops).await;
    for chamber in chambers {
        chamber.renewals.idle().await;
        chamber.exchanges.idle().await;
    }
}

impl Chamber {
    /// Measures, and notices a clock that was set back. Waits for nobody: what is stuck must show.
    async fn observe(&self, shutdown: &Shutdown) {
        while !shutdown.is_requested() {
            let now = self.clock.now();
            self.heed_clock(now);
            self.measure(now);
            self.pause(shutdown).await;
        }
    }

    /// Asks for tickets where the vendor wants to be asked, and tidies up. Apart from the renewals, which may wait for a vendor.
    async fn tend(&self, shutdown: &Shutdown) {
        let mut cleaned_at = None;
        while !shutdown.is_requested() {
            let now = self.clock.now();
            if self.wants_start(now) {
                self.start_tickets().await;
            }
            if cleaned_at.is_none_or(|at| later(at, CLEANED_EVERY) <= now) || locked(&self.used).is_crowded() {
                cleaned_at = Some(now);
                self.clean(now).await;
            }
            self.pause(shutdown).await;
        }
    }

    async fn pause(&self, shutdown: &Shutdown) {
        tokio::select! {
            () = self.clock.sleep_until(later(self.clock.now(), EVERY)) => {}
            () = shutdown.requested() => {}
        }
    }

    async fn work(self: &Arc<Self>, in_all: &Arc<Semaphore>, shutdown: &Shutdown) {
        let own = Arc::new(Semaphore::new(PER_COMPONENT));
        while !shutdown.is_requested() {
            let now = self.clock.now();
            let due = locked(&self.schedule).take_due(now);
            if let Some(item) = due {
                // Permits of semaphores that are never closed always come.
                let permits = async { (Arc::clone(&own).acquire_owned().await, Arc::clone(in_all).acquire_owned().await) };
                let permits = tokio::select! {
                    permits = permits => permits,
                    () = shutdown.requested() => return,
                };
                let me = Arc::clone(self);
                self.runtime.spawn(async move {
                    me.carry_out_due(item).await;
                    drop(permits);
                });
                continue;
            }
            let next = locked(&self.schedule).next();
            tokio::select! {
                () = self.clock.sleep_until(next.unwrap_or(Timestamp::MAX)) => {}
                () = self.wake.notified() => {}
                () = shutdown.requested() => {}
            }
        }
    }

    /// How it ends is noted where it is done, with what follows.
    async fn carry_out_due(self: &Arc<Self>, item: Item) {
        match item {
            Item::Token(slot) => {
                let seen = self.generation(slot.family, &slot.app_id);
                let _ = self.renew(slot, seen, Urge::Due).await;
            }
            Item::Code(hash) => drop(self.exchange(hash).await),
        }
    }

    /// Forgets codes and states that are too old or too many.
    async fn clean(&self, now: Timestamp) {
        locked(&self.recovered).retain(|_, at| goes_on(*at, ECHO, now));
        // What is dropped from the shelf for its age is not dropped by a clock that is wrong for a moment.
        let believed = self.clock.believed();
        let mut gone: Vec<Change> = Vec::new();
        gone.extend(locked(&self.used).expunge(believed).iter().map(|hash| Change::remove(self.key(Kind::Used, &hex::encode(hash)))));
        gone.extend(locked(&self.states).expunge(believed).iter().map(|name| Change::remove(self.state_key(name))));
        for some in gone.chunks(CLEANED_AT_ONCE) {
            if let Err(error) = self.commit(some.to_vec()).await {
                tracing::warn!(component = self.name, %error, "old codes and states were not forgotten; they will be after the next start");
                return;
            }
        }
    }

    /// Sets the gauges and gives the alarm for codes.
    fn measure(&self, now: Timestamp) {
        let label = || self.name.clone();
        if self.component.ticket_rule().is_some() {
            // Before the first one, the age counts from the start, so that the alarm for a missing ticket works then too.
            let newest = locked(&self.tickets.newest).as_ref().map_or(self.opened_at(), |ticket| ticket.received_at);
            metrics::gauge!("yizhan_ticket_age_seconds", "component" => label()).set(between(newest, now).as_secs_f64());
        }
        let (mut own, mut others) = (None, None);
        for family in self.component.families() {
            own = soonest(own, self.board.read(*family, "", |held| held.ends_at(now)).flatten());
            self.board.each_authorizer(*family, |_, held| {
                if held.token.is_some() {
                    others = soonest(others, held.ends_at(now));
                }
            });
        }
        for (kind, end) in [("component", own), ("authorizer", others)] {
            // With no token there is no end, and the last one's must not go on standing there. Where there never is one, there is no gauge.
            if kind == "authorizer" || self.component.needs_component_token() {
                let left = end.map_or(f64::INFINITY, |end| seconds_until(end, now));
                metrics::gauge!("yizhan_token_expires_seconds", "component" => label(), "kind" => kind).set(left);
            }
        }
        let (mut waiting, mut first_end) = (0_u32, None);
        for code in locked(&self.codes).values_mut().filter(|code| code.origin != Origin::Recovery) {
            waiting = waiting.saturating_add(1);
            first_end = soonest(first_end, Some(code.expires_at));
            if !code.warned && earlier(code.expires_at, alarm(code)) <= now {
                code.warned = true;
                tracing::warn!(
                    component = self.name,
                    authorizer = code.app_id.as_deref(),
                    expires_at = %code.expires_at,
                    "a code is about to expire unexchanged"
                );
            }
        }
        metrics::gauge!("yizhan_codes_waiting", "component" => label()).set(f64::from(waiting));
        // Without a code there is no end to fear: an alarm on a small value must not fire.
        let left = first_end.map_or(f64::INFINITY, |end| seconds_until(end, now));
        metrics::gauge!("yizhan_code_expires_seconds", "component" => label()).set(left);
    }

    /// What people see of this component.
    pub fn state(&self) -> ComponentState {
        let now = self.clock.now();
        let mut authorizers = (0, 0, 0);
        self.board.each_authorizer(Family::Current, |_, held| match held.state {
            AuthorizerState::Pending => authorizers.0 += 1,
            AuthorizerState::Granted => authorizers.1 += 1,
            AuthorizerState::Revoked => authorizers.2 += 1,
        });
        let (mut codes_waiting, mut code_expires_at, mut alarming) = (0, None, None);
        for code in locked(&self.codes).values().filter(|code| code.origin != Origin::Recovery) {
            codes_waiting += 1;
            code_expires_at = soonest(code_expires_at, Some(code.expires_at));
            if earlier(code.expires_at, alarm(code)) <= now {
                alarming = soonest(alarming, Some(code.expires_at));
            }
        }
        let ticket = locked(&self.tickets.newest).clone();
        ComponentState {
            ticket_received_at: ticket.as_ref().map(|ticket| ticket.received_at),
            ticket_created_at: ticket.as_ref().map(|ticket| ticket.created_at),
            tickets_asked_at: *locked(&self.tickets.started_at),
            watched_since: Some(self.opened_at()),
            tokens: self.token_states(""),
            authorizers,
            codes_waiting,
            code_expires_at,
            warnings: self.warnings(now, alarming),
        }
    }

    /// What people see of a slot's tokens in all families.
    pub fn token_states(&self, app_id: &str) -> Vec<TokenState> {
        let now = self.clock.now();
        let state = |family: &Family| {
            self.board
                .read(*family, app_id, |held| {
                    held.token.is_some().then_some(TokenState {
                        family: *family,
                        generation: held.generation,
                        expires_at: held.ends_at(now),
                        obtained_at: held.obtained_at,
                    })
                })
                .flatten()
        };
        self.component.families().iter().filter_map(state).collect()
    }

    /// `alarming` is the end of the first code that is about to expire.
    fn warnings(&self, now: Timestamp, alarming: Option<Timestamp>) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Ok(rule) = self.ticket_rule() {
            let newest = locked(&self.tickets.newest).as_ref().map(|ticket| ticket.received_at);
            let age = between(newest.unwrap_or(self.opened_at()), now);
            if age > rule.every * 2 {
                warnings.push(format!(
                    "{} for {} minutes; {} sends one every {} minutes; check the authorization-receive URL ({})",
                    if newest.is_some() { "no new ticket" } else { "no ticket" },
                    minutes(age),
                    self.title(),
                    minutes(rule.every),
                    self.authorization_url
                ));
            }
        }
        if let Some(end) = alarming {
            warnings.push(match between(now, end) {
                Duration::ZERO => {
                    String::from("a grant's code expired before it could be exchanged; it is being won back where the platform can")
                }
                left => format!("a grant's code expires unexchanged in {} s", left.as_secs()),
            });
        }
        warnings.extend(self.failing());
        let damaged = locked(&self.damaged);
        if let Some(first) = damaged.first() {
            warnings.push(format!("{} records of the vault are damaged, the first is `{first}`; what can be won back is", damaged.len()));
        }
        warnings
    }

    /// What fails, in words: the component's token by itself, authorizers together by their reason.
    fn failing(&self) -> Vec<String> {
        let troubles = locked(&self.troubles);
        let mut warnings = Vec::new();
        let mut authorizers: HashMap<String, (usize, Timestamp, Arc<str>)> = HashMap::new();
        for (item, trouble) in troubles.iter() {
            match item {
                Item::Token(slot) if slot.is_component() => {
                    warnings.push(format!("the component token cannot be renewed since {}: {}", trouble.since, trouble.error));
                }
                Item::Token(Slot { app_id, .. }) => {
                    let entry = authorizers.entry(trouble.error.to_string()).or_insert((0, trouble.since, Arc::clone(app_id)));
                    entry.0 += 1;
                    entry.1 = entry.1.min(trouble.since);
                }
                Item::Code(_) => {
                    let whose = Arc::from("a grant's code");
                    let entry = authorizers.entry(trouble.error.to_string()).or_insert((0, trouble.since, whose));
                    entry.0 += 1;
                    entry.1 = entry.1.min(trouble.since);
                }
            }
        }
        warnings.extend(authorizers.into_iter().map(|(error, (count, since, first))| match count {
            1 => format!("{first} fails since {since}: {error}"),
            count => format!("{count} authorizers (one is {first}) fail since {since}: {error}"),
        }));
        warnings.sort();
        warnings
    }
}

fn soonest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Seconds left, negative when it is over.
fn seconds_until(end: Timestamp, now: Timestamp) -> f64 {
    end.duration_since(now).as_secs_f64()
}
