//! Events: accepted through the committing thread, read by id, by sequence and by filter.
//!
//! A page walks newest to oldest along the narrowest index that the filter allows (authorizer, type, component; else everything) and looks at a bounded
//! number of events, so a page is quick whatever the filter; one that ends early says where the next one starts. `since` and `until` are found through
//! the first sequence of each minute.

use std::ops::ControlFlow;

use bytes::Bytes;
use fjall::{Keyspace, Readable, Snapshot};

use super::answers::Asker;
use super::days::{Day, KEPT, index};
use super::lines::lock;
use super::passing::Passing;
use super::postings;
use super::record;
use super::turns::{self, Awaited, aside};
use super::waiting;
use super::writer::{Incoming, Job};
use super::{FjallLog, Store, damaged, malformed, survived, told, unread};
use crate::clock::Timestamp;
use crate::event_type::Glob;
use crate::fanout::delivery::{Status, Wanted};
use crate::inbox::log::{Expunged, Stretch};
use crate::inbox::{Accepted, Arrival, Event, EventFilter, EventId, EventLog, LogError, Page, Position, message_hash};

/// Events looked at for one page; with `status` each costs several reads.
const LOOKED_AT: usize = 20_000;
const LOOKED_AT_WITH_STATUS: usize = 2_000;
/// Deliveries of one status up to which their events are gathered instead of looked for.
const FEW: u64 = 20_000;
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
                let fits = found.certain || found.readable(store)?.is_some_and(|event| store.fits(&filter, &event).unwrap_or_default());
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
                let (key, value) = guard.into_inner().map_err(damaged)?;
                let sequence = match authorizer {
                    Some(_) => record::last_number(&key),
                    None => postings::listed(&key, &value).next_back(),
                };
                let Some((event, _)) = sequence.map(|sequence| self.store.event(sequence)).transpose()?.flatten() else { continue };
                // Two components may know an authorizer of the same id.
                if event.component == component {
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

/// One event that a walk came by.
struct Found<'a> {
    sequence: u64,
    /// The event as stored, where the walk had it in hand.
    value: Option<Bytes>,
    day: &'a Day,
    /// Its index says all that the filter asks.
    certain: bool,
}

impl Found<'_> {
    /// The event, unless it is damaged: that keeps back none of the others.
    fn readable(&self, store: &Store) -> Result<Option<Event>, LogError> {
        match self.read(store) {
            Ok(event) => Ok(Some(event)),
            Err(LogError::Damaged(error)) => {
                tracing::error!(event.sequence = self.sequence, error, "damage: an event cannot be read and is left out of a list");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn read(&self, store: &Store) -> Result<Event, LogError> {
        let value = match &self.value {
            Some(value) => value.clone(),
            None => match self.day.event(self.sequence).map_err(damaged)? {
                Some(value) => value,
                None => store.days.event(self.sequence).map_err(damaged)?.ok_or_else(|| malformed("the index of events"))?,
            },
        };
        Ok(record::read_event(self.sequence, &value).ok_or_else(|| malformed("an event"))?.0)
    }
}

/// Which index is walked along.
enum Way {
    /// Every event.
    All,
    /// Keys of the index that begin so, one for each event.
    Index(Vec<u8>),
    /// Lists of events whose keys begin so.
    Lists(Vec<u8>),
}

fn exact(glob: &Option<Glob>) -> Option<&str> {
    glob.as_ref().map(Glob::as_str).filter(|text| !text.contains('*') && !text.is_empty())
}

impl Way {
    /// The narrowest for that filter, and whether it says all that the filter asks.
    fn of(filter: &EventFilter) -> (Self, bool) {
        let alone = |used: [bool; 3]| {
            let EventFilter { component, platform, authorizer, kind, since, until, status, q, within } = filter;
            let asked = [authorizer.is_some(), kind.is_some(), component.is_some()];
            let others = platform.is_some() || since.is_some() || until.is_some() || status.is_some() || q.is_some() || within.is_some();
            asked == used && !others
        };
        if let Some(authorizer) = exact(&filter.authorizer) {
            (Self::Index(record::named(index::AUTHORIZER, authorizer)), alone([true, false, false]))
        } else if let Some(kind) = exact(&filter.kind) {
            (Self::Lists(record::named(index::KIND, kind)), alone([false, true, false]))
        } else if let Some(component) = exact(&filter.component) {
            (Self::Lists(record::named(index::COMPONENT, component)), alone([false, false, true]))
        } else {
            (Self::All, alone([false, false, false]))
        }
    }

    /// Sequences from `from` to below `below` in that day, newest first.
    fn along<'a>(
        &self,
        snapshot: &Snapshot,
        day: &'a Day,
        from: u64,
        below: u64,
        certain: bool,
    ) -> Box<dyn Iterator<Item = Result<Found<'a>, LogError>> + 'a> {
        let found = move |sequence, value| Found { sequence, value, day, certain };
        match self {
            Self::All => {
                let range = from.to_be_bytes()..below.to_be_bytes();
                Box::new(snapshot.range(&day.events, range).rev().map(move |guard| {
                    let (key, value) = guard.into_inner().map_err(damaged)?;
                    Ok(found(record::last_number(&key).ok_or_else(|| malformed("the key of an event"))?, Some(record::shared(value))))
                }))
            }
            Self::Index(prefix) => {
                let key = |number: u64| [prefix.as_slice(), &number.to_be_bytes()].concat();
                Box::new(snapshot.range(&day.index, key(from)..key(below)).rev().map(move |guard| {
                    let key = guard.key().map_err(damaged)?;
                    Ok(found(record::last_number(&key).ok_or_else(|| malformed("the index of events"))?, None))
                }))
            }
            Self::Lists(prefix) => Box::new(postings::lists(snapshot, day, prefix, from, below).flat_map(move |guard| {
                let (sequences, error) = match guard.into_inner() {
                    Ok((key, others)) => (Some(postings::listed(&key, &others)), None),
                    Err(error) => (None, Some(Err(damaged(error)))),
                };
                let sequences = sequences.into_iter().flat_map(Iterator::rev).filter(move |one| (from..below).contains(one));
                sequences.map(move |sequence| Ok(found(sequence, None))).chain(error)
            })),
        }
    }
}

fn minute(at: Timestamp) -> u64 {
    u64::try_from(at.as_second().div_euclid(60)).unwrap_or_default()
}

/// First sequence of a minute in that range, the first or the last of them.
fn checkpoint(snapshot: &Snapshot, day: &Keyspace, from: u64, below: u64, last: bool) -> Result<Option<u64>, LogError> {
    let key = |minute: u64| [&[index::MINUTE], minute.to_be_bytes().as_slice()].concat();
    let mut range = snapshot.range(day, key(from)..key(below));
    let found = if last { range.next_back() } else { range.next() };
    let value = found.map(fjall::Guard::value).transpose().map_err(damaged)?;
    Ok(value.and_then(|value| record::last_number(&value)))
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
            if let Some(first) = checkpoint(&snapshot, &day.index, 0, minute(at), true)? {
                return Ok(first.saturating_sub(1));
            }
        }
        Ok(0)
    }

    /// Comes by every event below `below` that may fit, newest first.
    fn walk(
        &self,
        filter: &EventFilter,
        below: u64,
        mut visit: impl FnMut(Found<'_>) -> Result<ControlFlow<()>, LogError>,
    ) -> Result<(), LogError> {
        let (way, certain) = Way::of(filter);
        let days = self.days.all();
        let snapshot = self.db.snapshot();
        if let Some(sequences) = filter.status.map_or(Ok(None), |status| self.few(&snapshot, status))? {
            for sequence in sequences.into_iter().filter(|sequence| *sequence < below) {
                let Some(day) = self.days.of(sequence) else { continue };
                let Some(value) = self.days.event(sequence).map_err(damaged)? else { continue };
                if visit(Found { sequence, value: Some(value), day: &day, certain: false })?.is_break() {
                    return Ok(());
                }
            }
            return Ok(());
        }
        let Some(kept) = days.first() else { return Ok(()) };
        let (mut end, newest) = (u64::MAX, *self.newest.borrow());
        for day in days.iter().rev() {
            let next = std::mem::replace(&mut end, day.first);
            let below = below.min(next);
            let behind = day.end(next, newest);
            let moved = (behind < below).then(|| way.along(&snapshot, kept, behind, below, certain));
            for found in moved.into_iter().flatten() {
                if visit(found?)?.is_break() {
                    return Ok(());
                }
            }
            let until = match filter.until {
                // Behind that place only late ones were received before `until`.
                Some(until) => checkpoint(&snapshot, &day.index, minute(until) + 3, u64::MAX, false)?.unwrap_or(u64::MAX).min(below),
                None => below,
            };
            let since = match filter.since {
                Some(since) => checkpoint(&snapshot, &day.index, 0, minute(since), true)?,
                None => None,
            };
            let late = Way::Index(vec![index::LATE]);
            let late = (until < below).then(|| late.along(&snapshot, day, until, below, false)).into_iter().flatten();
            for found in late.chain(way.along(&snapshot, day, since.unwrap_or_default(), until, certain)) {
                if visit(found?)?.is_break() {
                    return Ok(());
                }
            }
            if since.is_some() && day.label != KEPT {
                // Whatever is older was received before.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sequences of the events with a delivery of that status, newest first, if there are few.
    fn few(&self, snapshot: &Snapshot, status: Status) -> Result<Option<Vec<u64>>, LogError> {
        let lines = self.lines.names().into_iter().filter_map(|name| self.lines.named(&name));
        let (pending, dead) = lines.fold((0, 0), |(pending, dead), line| {
            let line = lock(&line);
            (pending + line.pending, dead + line.dead)
        });
        let mut sequences: Vec<u64> = match status {
            Status::Dead if dead <= FEW => {
                let guards = snapshot.iter(&self.dead).map(|guard| guard.value().map_err(damaged));
                guards
                    .filter_map(|value| value.map(|value| record::read_dead(&value).map(|(sequence, _)| sequence)).transpose())
                    .collect::<Result<_, _>>()?
            }
            Status::Pending | Status::Held if pending <= FEW => {
                let guards = snapshot.prefix(&self.waiting, [waiting::WAITING]).map(|guard| guard.key().map_err(damaged));
                guards.filter_map(|key| key.map(|key| record::last_number(&key)).transpose()).collect::<Result<_, _>>()?
            }
            _ => return Ok(None),
        };
        sequences.sort_unstable_by(|a, b| b.cmp(a));
        sequences.dedup();
        Ok(Some(sequences))
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
            count += u64::from(found.readable(self)?.is_some_and(|event| is_wanted(&event).unwrap_or_default()));
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
