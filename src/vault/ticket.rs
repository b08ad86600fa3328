//! Tickets: the newest by the vendor's time is kept, durable before the push is acknowledged. And what to say when there is none.
//!
//! [`Vault`] answers the inbox's port [`Tickets`]; nothing here asks a vendor for anything but to begin pushing.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::{CHINA, Timestamp};
use crate::inbox::log::{LogError, Tickets};
use crate::platform::push::{Grant, Ticket};
use crate::platform::token::TicketRule;
use crate::platform::{ApiError, Class};

use super::chamber::{Chamber, locked};
use super::held::Held;
use super::record::{NoteRecord, TicketRecord, put, read};
use super::schedule::{Item, goes_on, is_ahead, later};
use super::shelf::{Kind, ShelfError};
use super::{HeldTicket, Slot, Vault, VaultError};

/// Name of the note that says when we last asked the vendor to push tickets.
const STARTED: &str = "start-tickets";

/// What is known of a component's tickets.
#[derive(Default)]
pub(super) struct TicketDesk {
    pub newest: Mutex<Option<HeldTicket>>,
    /// When the vendor refused the newest one, and how.
    refused: Mutex<Option<(Timestamp, ApiError)>>,
    /// When we last asked the vendor to begin pushing.
    pub started_at: Mutex<Option<Timestamp>>,
    /// One keeper at a time, so that memory and shelf agree about the newest.
    keeping: tokio::sync::Mutex<()>,
}

impl Chamber {
    /// Reads the newest ticket from the shelf, at start.
    pub async fn load_ticket(&self) -> Result<(), ShelfError> {
        if let Some(found) = self.shelf.get(&self.key(Kind::Ticket, "")).await? {
            match read::<TicketRecord>(&found) {
                Some(ticket) => {
                    // One that came while the clock was ahead: when that was is not known.
                    let received_at = if is_ahead(ticket.received_at, self.opened_at()) { self.opened_at() } else { ticket.received_at };
                    let held = HeldTicket { value: ticket.value, created_at: ticket.created_at, received_at };
                    *locked(&self.tickets.newest) = Some(held);
                }
                None => locked(&self.damaged).push(String::from("the ticket")),
            }
        }
        if let Some(note) = self.shelf.get(&self.key(Kind::Note, STARTED)).await? {
            *locked(&self.tickets.started_at) = read::<NoteRecord>(&note).map(|note| note.at);
        }
        Ok(())
    }

    /// Keeps a ticket unless a newer one is kept. One that came long ago is not newer than one that was made just now, whatever the vendor's clock showed
    /// then: the vendor may have set it back since. What was made long ago, a message that is repeated or opened late, takes no ticket's place.
    async fn keep_ticket(&self, ticket: &Ticket, received_at: Timestamp) -> Result<(), ShelfError> {
        let now = self.present().max(received_at);
        let _alone = self.tickets.keeping.lock().await;
        let kept = locked(&self.tickets.newest).clone();
        let stands = |kept: &HeldTicket| {
            self.ticket_rule()
                .is_ok_and(|rule| goes_on(kept.received_at, rule.every * 2, now) || later(ticket.created_at, rule.every * 2) <= now)
        };
        if let Some(kept) = kept
            && ((kept.created_at > ticket.created_at && stands(&kept))
                || (kept.created_at == ticket.created_at && kept.value == ticket.value))
        {
            return Ok(());
        }
        let record = TicketRecord { value: ticket.value.clone(), created_at: ticket.created_at, received_at };
        // Not the patient commit: a full queue is for the pushing vendor to hear, which sends again.
        self.shelf.commit(vec![put(self.key(Kind::Ticket, ""), &record)?]).await?;
        let held = HeldTicket { value: record.value, created_at: record.created_at, received_at };
        *locked(&self.tickets.newest) = Some(held);
        *locked(&self.tickets.refused) = None;
        self.ticket_came();
        Ok(())
    }

    /// What failed for want of a ticket is due again, and a component without a token gets one before anybody asks.
    fn ticket_came(&self) {
        let now = self.clock.now();
        let mut waiting: Vec<Item> = {
            let mut troubles = locked(&self.troubles);
            let waiting: Vec<_> = troubles
                .iter()
                .filter(|(_, trouble)| matches!(trouble.error, VaultError::NoTicket { .. }))
                .map(|(item, _)| item.clone())
                .collect();
            waiting.iter().for_each(|item| drop(troubles.remove(item)));
            waiting
        };
        for family in self.component.families() {
            let slot = Slot::component(*family);
            let held = self.board.read(*family, "", |held| held.is_valid(now)).unwrap_or(false);
            // Douyin's old family is only kept where somebody asked for it.
            if !held && *family == crate::platform::Family::Current {
                waiting.push(Item::Token(slot));
            }
        }
        waiting.into_iter().for_each(|item| self.due(item, now));
    }

    /// The newest ticket if the vendor may still take it.
    pub fn usable_ticket(&self, now: Timestamp) -> Result<HeldTicket, VaultError> {
        let rule = self.ticket_rule()?;
        let Some(ticket) = locked(&self.tickets.newest).clone() else { return Err(self.no_ticket(rule, None, now)) };
        if let Some((refused_at, error)) = locked(&self.tickets.refused).as_ref()
            && goes_on(*refused_at, rule.every, now)
        {
            return Err(VaultError::NoTicket {
                detail: format!("{} refused the ticket of {}: {error}", self.title(), clock_time(ticket.received_at, now)),
                hint: format!(
                    "a new one comes every {} minutes; if that is refused too, check the component's id and secret",
                    minutes(rule.every)
                ),
            });
        }
        // By our time of receipt: a vendor's clock that is wrong must not make every ticket too old.
        if later(ticket.received_at, rule.lifetime) <= now {
            return Err(self.no_ticket(rule, Some(ticket.received_at), now));
        }
        Ok(ticket)
    }

    /// The vendor refused the newest ticket: it is not tried again before the next one comes, or one ought to have come.
    pub fn ticket_refused(&self, error: ApiError) -> VaultError {
        let now = self.clock.now();
        *locked(&self.tickets.refused) = Some((now, error.clone()));
        self.usable_ticket(now).err().unwrap_or(VaultError::VendorRefused(error))
    }

    pub fn ticket_rule(&self) -> Result<TicketRule, VaultError> {
        self.component.ticket_rule().ok_or_else(|| {
            VaultError::NotApplicable(format!("{} has no tickets: its calls are signed with the application's own key", self.title()))
        })
    }

    fn no_ticket(&self, rule: TicketRule, since: Option<Timestamp>, now: Timestamp) -> VaultError {
        let since = since.map_or_else(|| String::from("no ticket yet"), |at| format!("no ticket since {}", clock_time(at, now)));
        VaultError::NoTicket {
            detail: format!(
                "{since}; {} sends one every {} minutes; check the authorization-receive URL",
                self.title(),
                minutes(rule.every)
            ),
            hint: format!(
                "in the vendor's console the authorization-receive URL must be {} and reachable from outside (times here are UTC+8)",
                self.authorization_url
            ),
        }
    }

    /// Whether the vendor should be asked to push tickets: it wants to be asked, none came for long, and we did not ask just now.
    pub fn wants_start(&self, now: Timestamp) -> bool {
        let Some(rule) = self.component.ticket_rule() else { return false };
        let newest = locked(&self.tickets.newest).as_ref().map(|ticket| ticket.received_at);
        let missing = newest.is_none_or(|at| !goes_on(at, rule.every * 5 / 2, now));
        let asked = locked(&self.tickets.started_at).is_some_and(|at| goes_on(at, rule.every, now));
        missing && !asked && self.component.start_tickets().is_some()
    }

    /// Asks the vendor to push tickets (Kuaishou 4.2), at most once per ticket interval, restarts included.
    pub async fn start_tickets(&self) {
        let Some(call) = self.component.start_tickets() else { return };
        let now = self.clock.now();
        *locked(&self.tickets.started_at) = Some(now);
        let noted = match put(self.key(Kind::Note, STARTED), &NoteRecord { at: now }) {
            Ok(note) => self.commit(vec![note]).await,
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            tracing::error!(component = self.name, %error, "tickets were not asked for");
            return;
        }
        let read = match self.send(&call).await {
            Ok(reply) => self.component.read_start_tickets(&reply).map_err(|error| {
                if error.class == Class::Configuration {
                    format!("{error} (check the component's id and secret)")
                } else {
                    error.to_string()
                }
            }),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(()) => tracing::info!(component = self.name, "asked the vendor to push tickets"),
            Err(error) => tracing::error!(component = self.name, error, "the vendor was asked to push tickets and did not agree"),
        }
    }
}

#[async_trait::async_trait]
impl Tickets for Vault {
    async fn keep(&self, component: &str, ticket: &Ticket, received_at: Timestamp) -> Result<(), LogError> {
        let chamber = self.chamber(component).map_err(|error| LogError::Failed(error.to_string()))?;
        chamber.keep_ticket(ticket, received_at).await.map_err(|error| match error {
            ShelfError::Full => LogError::Full,
            ShelfError::Damaged(cause) => LogError::Damaged(cause),
            other => LogError::Failed(other.to_string()),
        })
    }

    fn has_tokens(&self, component: &str, authorizer: &str, grant: &Grant) -> bool {
        let Ok(chamber) = self.chamber(component) else { return false };
        let now = self.clock.now();
        // What Alipay gives back lacks it (Alipay 4.6), and its push of the grant brings it.
        let brings_refresh = grant.tokens.as_ref().is_some_and(|tokens| tokens.refresh.is_some());
        // Those of a later grant are not held, whatever is. Of what came while the clock was ahead nobody knows when that was.
        let is_of_before = |held: &Held| match &grant.tokens {
            Some(tokens) => {
                held.token.as_ref() == Some(&tokens.access.value) || (!held.is_undated(now) && grant.granted_at < held.obtained_at)
            }
            None => grant.code.is_none() || (!held.is_undated(now) && grant.granted_at <= held.obtained_at),
        };
        let is_held = |held: &Held| held.is_valid(now) && (held.has_refresh || !brings_refresh) && is_of_before(held);
        chamber.board.read(crate::platform::Family::Current, authorizer, is_held).unwrap_or(false)
    }
}

/// `02:10`, with its date where that is not today; by China's clock, as the vendors' consoles show it.
fn clock_time(at: Timestamp, now: Timestamp) -> String {
    let (at, today) = (CHINA.to_datetime(at), CHINA.to_datetime(now).date());
    let form = if at.date() == today { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    at.strftime(form).to_string()
}

pub(super) fn minutes(duration: Duration) -> u64 {
    duration.as_secs() / 60
}
