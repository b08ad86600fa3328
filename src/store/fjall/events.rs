//! Events: accepted through the committing thread, read by id, by sequence and by filter.
//!
//! A page walks newest to oldest (`walk`) and looks at a bounded number of events, so it is quick whatever the filter; one that ends early says where the
//! next one starts.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::answers::Asker;
use super::days::{checkpoint, index, minute};
use super::passing::Passing;
use super::postings;
use super::record;
use super::turns::{self, Awaited, aside};
use super::walk::Way;
use super::writer::{Incoming, Job};
use super::{FjallLog, Store, damaged, malformed, survived, told, unread};
use crate::clock::Timestamp;
use crate::fanout::delivery::{Status, Wanted};
use crate::inbox::log::{Expunged, Stretch};
use crate::inbox::{Accepted, Arrival, Event, EventFilter, EventId, EventLog, LogError, Page, Position, message_hash};

/// Events looked at for one page; with `status` each costs several reads.
const LOOKED_AT: usize = 20_000;
const LOOKED_AT_WITH_STATUS: usize = 2_000;
/// Bytes of events handed out at a time: about so many.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Kind of record under which a sealed part is sealed.
const SEALED: &str = "event";

#[async_trait::async_trait]
impl EventLog for FjallLog {
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, LogError> {
        let incoming = Box::new(self.store.prepare(arrival)?);
        let answer = self.committer.ask_now(|answer| Job::Accept(incoming, Asker::here(answer))).await??;
        Ok(answer.accepted)
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, LogError> {
        match self.store.sequence_of(id).map_err(damaged)? {
            Some(sequence) => Ok(self.store.event(sequence)?.map(|(event, _)| event)),
            None => Ok(None),
        }
    }

    async fn page(&self, filter: &EventFilter, after: Option<&Position>, limit: usize) -> Result<Page<Event>, LogError> {
        let below = match after {
            None => u64::MAX,
            Some(Position(text)) => text.parse().map_err(|_| LogError::NoPosition)?,
        };
        let filter = filter.clone();
        // Where the index says which events are on the page, to read it is little work.
        let is_told = Way::of(&filter).1;
        let read = move |store: &Store| store.event_page(&filter, below, limit.max(1));
        if is_told { turns::page(&self.store, read).await } else { turns::search(&self.store, read).await }
    }

    async fn following(&self, sequence: u64, limit: usize) -> Result<Stretch, LogError> {
        if sequence >= self.last_sequence() {
            return Ok(Stretch { reached: sequence, ..Stretch::default() });
        }
        aside(&self.store, move |store| store.following(sequence, limit)).await
    }

    async fn sequence_before(&self, at: Timestamp) -> Result<u64, LogError> {
        aside(&self.store, move |store| store.sequence_before(at)).await
    }

    fn whole_from(&self) -> u64 {
        // A day that is kept because of damage may have lost its neighbours.
        let closed = self.store.closed();
        self.store.days.all().iter().find(|day| day.label > closed).map_or(self.last_sequence().saturating_add(1), |day| day.first)
    }

    async fn count(&self, filter: &EventFilter) -> Result<u64, LogError> {
        let filter = filter.clone();
        turns::count(&self.store, move |store, awaited| {
            let mut count = 0;
            store.walk(&filter, u64::MAX, |found| {
                if awaited.is_given_up() {
                    return Ok(ControlFlow::Break(()));
                }
                let fits = found.certain || found.readable(store)?.map_or(Ok(false), |event| store.fits(&filter, &event))?;
                count += u64::from(fits);
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(count)
        })
        .await
    }

    fn newest(&self) -> tokio::sync::watch::Receiver<u64> {
        self.store.newest.subscribe()
    }

    fn timeline(&self) -> Option<u64> {
        self.store.timeline
    }

    async fn last_received(&self, component: &str, authorizer: Option<&str>) -> Result<Option<Timestamp>, LogError> {
        let (kind, name) = match authorizer {
            Some(authorizer) => (index::AUTHORIZER, authorizer),
            None => (index::COMPONENT, component),
        };
        let prefix = record::named(kind, name);
        for day in self.store.days.all().iter().rev() {
            for guard in day.index.prefix(&prefix).rev() {
                let told =
                    survived(guard.into_inner(), format_args!("which events of day {} are of {name}", day.label)).map_err(damaged)?;
                // Nobody knows then which was the last.
                let Some((key, value)) = told else { return Ok(None) };
                let sequence = match authorizer {
                    Some(_) => record::last_number(&key),
                    None => postings::listed(&key, &value).next_back(),
                };
                let Some(sequence) = sequence else { continue };
                let value = survived(self.store.days.event(sequence), format_args!("event number {sequence}")).map_err(damaged)?;
                let event = value.flatten().and_then(|value| record::read_event(sequence, &value));
                // Two components may know an authorizer of the same id.
                if let Some((event, _)) = event.filter(|(event, _)| event.component == component) {
                    return Ok(Some(event.received_at));
                }
            }
        }
        Ok(None)
    }

    async fn expunge(&self, before: Timestamp) -> Result<Expunged, LogError> {
        self.expunge_before(before).await
    }
}

impl Store {
    /// Encodes an arrival, so that the committing thread only has to write it.
    fn prepare(&self, arrival: Arrival) -> Result<Incoming, LogError> {
        let Arrival { event, dedupe_key, sealed, mut subscribers, fact } = arrival;
        let note = fact.as_ref().map(|fact| told::note(&event.component, fact)).unwrap_or_default();
        let sealed = match &sealed {
            None => Vec::new(),
            Some(secret) => {
                self.seal(event.id, secret).map_err(|error| LogError::Failed(format!("the sealed part of an event: {error}")))?
            }
        };
        subscribers.sort_unstable();
        subscribers.dedup();
        let delivery = |subscription: String| (record::first_delivery(event.id, &subscription), subscription);
        let deliveries: Vec<_> = subscribers.into_iter().map(delivery).map(|(id, subscription)| (subscription, id)).collect();
        let order = match deliveries.is_empty() {
            true => 0,
            false => record::order_of(&record::ordering_key(&event.component, event.authorizer.as_deref())),
        };
        Ok(Incoming {
            mark: message_hash(&dedupe_key),
            id: event.id,
            received_at: event.received_at,
            kind: event.kind.as_str(),
            value: record::write_event(&event, &sealed),
            component: event.component,
            authorizer: event.authorizer,
            order,
            deliveries,
            note,
            fact,
        })
    }

    /// The sequence of an event.
    pub fn sequence_of(&self, id: EventId) -> fjall::Result<Option<u64>> {
        for sequence in self.marks.sequences(id.message_prefix())? {
            let event = self.days.event(sequence)?.and_then(|value| record::read_event(sequence, &value));
            if event.is_some_and(|(event, _)| event.id == id) {
                return Ok(Some(sequence));
            }
        }
        self.days.indexed(id)
    }

    /// The event of that sequence, and its sealed part as sealed.
    pub fn event(&self, sequence: u64) -> Result<Option<(Event, Bytes)>, LogError> {
        match self.days.event(sequence).map_err(damaged)? {
            Some(value) => record::read_event(sequence, &value).ok_or_else(|| malformed("an event")).map(Some),
            None => Ok(None),
        }
    }

    /// Seals what travels beside an event.
    pub fn seal(&self, id: EventId, secret: &crate::secret::Secret) -> Result<Vec<u8>, String> {
        self.at_rest.seal(SEALED, id.0.as_bytes(), secret.expose().as_bytes()).map_err(|error| error.to_string())
    }

    /// Opens the sealed part of an event.
    pub fn unseal(&self, id: EventId, sealed: &[u8]) -> Result<crate::secret::Secret, String> {
        let opened = self.at_rest.open(SEALED, id.0.as_bytes(), sealed).map_err(|error| error.to_string())?;
        std::str::from_utf8(&opened).map(crate::secret::Secret::from).map_err(|error| error.to_string())
    }

    fn following(&self, sequence: u64, limit: usize) -> Result<Stretch, LogError> {
        let newest = *self.newest.borrow();
        let mut stretch = Stretch { reached: sequence.max(newest), ..Stretch::default() };
        let (mut from, mut bytes) = (sequence.saturating_add(1), 0);
        let snapshot = self.db.snapshot();
        let days = self.days.all();
        let Some(kept) = days.first() else { return Ok(stretch) };
        for (day, next) in days.iter().zip(days.iter().skip(1).map(|day| day.first).chain([u64::MAX])) {
            if next <= from {
                continue;
            }
            // A day's own range only, and of the kept one what no other holds: what was moved there is met once.
            let end = day.end(next, newest);
            for found in Passing::over(&snapshot, day, from, end).chain(Passing::over(&snapshot, kept, from.max(end), next)) {
                if stretch.events.len() + stretch.unreadable.len() >= limit || bytes >= MOST_BYTES {
                    (stretch.reached, stretch.more) = (from.saturating_sub(1), true);
                    return Ok(stretch);
                }
                let (sequence, value) = found;
                let read = value.and_then(|value| record::read_event(sequence, &value).ok_or_else(|| unread("an event")));
                match survived(read, format_args!("event number {sequence}")).map_err(damaged)? {
                    Some((event, _)) => {
                        bytes += event.body.len();
                        stretch.events.push(event);
                    }
                    None => stretch.unreadable.push(sequence),
                }
                from = sequence.saturating_add(1);
            }
        }
        stretch.reached = stretch.reached.max(from.saturating_sub(1));
        Ok(stretch)
    }

    fn sequence_before(&self, at: Timestamp) -> Result<u64, LogError> {
        let snapshot = self.db.snapshot();
        for day in self.days.all().iter().rev() {
            // The first of the last minute before: of the minute itself only the first that came in it or later is known.
            if let Some(first) = checkpoint(&snapshot, &day.index, 0, minute(at), true).map_err(damaged)? {
                return Ok(first.saturating_sub(1));
            }
        }
        Ok(0)
    }

    fn fits(&self, filter: &EventFilter, event: &Event) -> Result<bool, LogError> {
        if !filter.fits(event) {
            return Ok(false);
        }
        let Some(status) = filter.status else { return Ok(true) };
        let status = if status == Status::Held { Status::Pending } else { status };
        Ok(self.deliveries_of(event)?.iter().any(|stored| stored.delivery.status == status))
    }

    /// How many events fit and are wanted, shown each with its deliveries as [`Wanted`] has them.
    pub fn wanted(&self, filter: &EventFilter, wanted: &Wanted, awaited: &Awaited) -> Result<u64, LogError> {
        let is_wanted = |event: &Event| -> Result<bool, LogError> {
            if !self.fits(filter, event)? {
                return Ok(false);
            }
            let deliveries: Vec<_> = match filter.status {
                Some(_) => self.deliveries_of(event)?.into_iter().map(|stored| stored.delivery).collect(),
                None => Vec::new(),
            };
            Ok(wanted(event, &deliveries))
        };
        let mut count = 0;
        self.walk(filter, u64::MAX, |found| {
            if awaited.is_given_up() {
                return Ok(ControlFlow::Break(()));
            }
            count += u64::from(found.readable(self)?.map_or(Ok(false), |event| is_wanted(&event))?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    fn event_page(&self, filter: &EventFilter, below: u64, limit: usize) -> Result<Page<Event>, LogError> {
        let (mut items, mut next, mut looked_at, mut bytes): (Vec<Event>, _, _, _) = (Vec::new(), None, 0, 0);
        let most = if filter.status.is_some() { LOOKED_AT_WITH_STATUS } else { LOOKED_AT };
        self.walk(filter, below, |found| {
            looked_at += 1;
            if looked_at > most.max(limit + 1) {
                next = Some(found.sequence.saturating_add(1));
                return Ok(ControlFlow::Break(()));
            }
            let Some(event) = found.readable(self)? else { return Ok(ControlFlow::Continue(())) };
            if found.certain || self.fits(filter, &event)? {
                if items.len() >= limit || bytes >= MOST_BYTES {
                    next = items.last().map(|event: &Event| event.sequence);
                    return Ok(ControlFlow::Break(()));
                }
                bytes += event.body.len();
                items.push(event);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Page { items, next: next.map(|below| Position(below.to_string())) })
    }
}
