//! Deliveries as people list them: of an event, dead ones, waiting ones, all.
//!
//! Dead letters have an index; what waits is gathered from the queue while it is not too much; everything else is looked through newest first, a bounded
//! number at a time. A delivery to which nothing has happened yet has no record: it is read from the queue and its event ([`Entry::recorded`]).

use std::iter::Peekable;
use std::sync::Arc;

use fjall::{Readable, Snapshot, UserKey, UserValue};
use uuid::Uuid;

use super::around::{Around, Order};
use super::days::{Day, index};
use super::lines::lock;
use super::record::{self, StoredDelivery};
use super::waiting::{Entry, View, waiting_key};
use super::{Store, damaged, malformed, survived, unread};
use crate::clock::Timestamp;
use crate::fanout::delivery::{Delivery, DeliveryFilter, DeliveryId, Status};
use crate::inbox::{Event, EventId, LogError, Page, Position};

/// Deliveries looked at for one page.
const LOOKED_AT: usize = 20_000;
/// Waiting deliveries up to which they are gathered and sorted.
const GATHERED: u64 = 50_000;

/// Where a page ended: the day it had come to, and there the last delivery on record and the last one without, by sequence and id. Days are named because
/// a clock that was set back may put an older id into a newer day.
#[derive(Debug, Clone, Copy)]
struct Place {
    day: u32,
    record: Uuid,
    queue: (u64, Uuid),
}

impl Place {
    /// Before the first delivery of a day.
    const fn top(day: u32) -> Self {
        Self { day, record: Uuid::max(), queue: (u64::MAX, Uuid::max()) }
    }

    fn read(position: &Position) -> Option<Self> {
        let mut parts = position.0.split('.');
        let mut place = Self::top(parts.next()?.parse().ok()?);
        place.record = Uuid::try_parse(parts.next()?).ok()?;
        if let Some(sequence) = parts.next() {
            place.queue = (sequence.parse().ok()?, Uuid::try_parse(parts.next()?).ok()?);
        }
        Some(place)
    }

    fn write(self) -> Position {
        let Self { day, record, queue: (sequence, id) } = self;
        Position(format!("{day}.{}.{sequence}.{}", record.as_simple(), id.as_simple()))
    }
}

fn fits(filter: &DeliveryFilter, delivery: &Delivery) -> bool {
    let status = filter.status.map(|status| if status == Status::Held { Status::Pending } else { status });
    status.is_none_or(|status| delivery.status == status)
        && filter.subscription.as_ref().is_none_or(|name| delivery.subscription == *name)
        && filter.since.is_none_or(|since| delivery.created_at >= since)
        && filter.until.is_none_or(|until| delivery.created_at < until)
}

/// Fills a page with what comes, newest first.
struct Filling<'a> {
    filter: &'a DeliveryFilter,
    limit: usize,
    looked_at: usize,
    page: Page<Delivery>,
    last: Option<Place>,
}

impl Filling<'_> {
    /// Looks at one, with which it comes to that place; `false` once the page is full.
    fn look(&mut self, place: Place, delivery: Delivery) -> bool {
        if fits(self.filter, &delivery) {
            if self.page.items.len() >= self.limit {
                self.page.next = self.last.map(Place::write);
                return false;
            }
            self.page.items.push(delivery);
            self.last = Some(place);
        }
        self.pass(place)
    }

    /// Comes by one; `false` once it has come by enough for one page.
    fn pass(&mut self, place: Place) -> bool {
        self.looked_at += 1;
        if self.looked_at >= LOOKED_AT.max(self.limit) {
            self.page.next = Some(place.write());
            return false;
        }
        true
    }
}

/// The queue of one subscription from the newest event to the oldest.
type Queue<'a> = Peekable<Box<dyn Iterator<Item = fjall::Result<(u64, Entry)>> + 'a>>;

/// What waits of a range of events, for several subscriptions, newest event first.
struct Queues<'a>(Vec<(&'a str, Queue<'a>)>);

impl<'a> Queues<'a> {
    fn of(names: &'a [String], view: &'a View<'_>, from: u64, to: u64, below: (u64, Uuid)) -> Self {
        let queue = |name: &'a String| -> (&'a str, Queue<'a>) {
            let is_behind =
                move |found: &fjall::Result<(u64, Entry)>| !found.as_ref().is_ok_and(|(sequence, entry)| (*sequence, entry.id.0) >= below);
            let entries: Box<dyn Iterator<Item = _> + 'a> =
                Box::new(view.entries_back(name, from, to.saturating_sub(1).min(below.0)).filter(is_behind));
            (name, entries.peekable())
        };
        Self(names.iter().map(queue).collect())
    }

    /// The next one: of which subscription, which event, what.
    fn take(&mut self) -> fjall::Result<Option<(&'a str, u64, Entry)>> {
        let mut newest: Option<(u64, Uuid, usize)> = None;
        for (at, (_, queue)) in self.0.iter_mut().enumerate() {
            match queue.peek() {
                Some(Ok((sequence, entry))) => newest = newest.max(Some((*sequence, entry.id.0, at))),
                // Taken below, where the error is told.
                Some(Err(_)) => newest = Some((u64::MAX, Uuid::max(), at)),
                None => {}
            }
        }
        let Some((name, queue)) = newest.and_then(|(_, _, at)| self.0.get_mut(at)) else { return Ok(None) };
        let name = *name;
        Ok(queue.next().transpose()?.map(|(sequence, entry)| (name, sequence, entry)))
    }
}

impl Store {
    /// One delivery.
    pub fn delivery(&self, id: DeliveryId) -> Result<Option<StoredDelivery>, LogError> {
        Ok(self.delivery_of(id).map_err(damaged)?.map(|(_, stored)| stored))
    }

    /// One delivery, with the day that holds what belongs to it.
    pub fn delivery_of(&self, id: DeliveryId) -> fjall::Result<Option<(Arc<Day>, StoredDelivery)>> {
        if let Some(found) = self.days.delivery(id)? {
            return Ok(Some(found));
        }
        for name in self.lines.names().iter().filter(|name| self.waits(name)) {
            let Some(sequence) = self.sequence_of(record::event_of(id, name))? else { continue };
            if let Some(entry) = self.entry(name, sequence)?.filter(|entry| entry.id == id) {
                return self.waiting_one(name, sequence, &entry);
            }
        }
        // Or it was tried for the first time meanwhile.
        self.days.delivery(id)
    }

    /// What waits for that subscription of that event, with the day that holds what belongs to it; `None`: its event or its record is gone.
    pub fn waiting_one(&self, subscription: &str, sequence: u64, entry: &Entry) -> fjall::Result<Option<(Arc<Day>, StoredDelivery)>> {
        if entry.recorded {
            return self.days.delivery(entry.id);
        }
        let Some(day) = self.days.home(sequence)? else { return Ok(None) };
        let event = day.event(sequence)?.and_then(|value| record::read_event(sequence, &value));
        Ok(event.map(|(event, _)| (day, StoredDelivery::fresh(entry.id, &event, subscription, None, event.received_at))))
    }

    /// What waits for that subscription of that event.
    pub fn entry(&self, subscription: &str, sequence: u64) -> fjall::Result<Option<Entry>> {
        Ok(self.waiting.get(waiting_key(subscription, sequence))?.and_then(|value| Entry::read(&value)))
    }

    fn waits(&self, subscription: &str) -> bool {
        self.lines.named(subscription).is_some_and(|line| lock(&line).pending > 0)
    }

    /// Every delivery of an event that can be read, unsorted: those made with it have computed ids, those of replays are indexed. What is damaged is named.
    ///
    /// # Errors
    /// One could not be read for now.
    pub fn deliveries_of(&self, event: &Event) -> Result<Vec<StoredDelivery>, LogError> {
        let is_readable = |found: &Result<_, LogError>| match found {
            Err(LogError::Damaged(error)) => {
                tracing::error!(event.sequence, error, "damage: a delivery of an event cannot be read and is passed over");
                false
            }
            _ => true,
        };
        self.found_deliveries(event).into_iter().filter(is_readable).collect()
    }

    fn found_deliveries(&self, event: &Event) -> Vec<Result<StoredDelivery, LogError>> {
        let mut found = Vec::new();
        let recorded = |id| self.days.delivery(id).map(|found| found.map(|(_, stored)| stored)).map_err(damaged).transpose();
        for subscription in self.lines.names() {
            let entry = if self.waits(&subscription) { self.entry(&subscription, event.sequence) } else { Ok(None) };
            match entry {
                Ok(Some(entry)) if !entry.recorded => {
                    found.push(Ok(StoredDelivery::fresh(entry.id, event, &subscription, None, event.received_at)));
                    continue;
                }
                Ok(_) => {}
                Err(error) => found.push(Err(damaged(error))),
            }
            found.extend(record::first_deliveries(event, &subscription).into_iter().filter_map(recorded));
        }
        match self.replayed(event.sequence) {
            Ok(ids) => found.extend(ids.into_iter().filter_map(recorded)),
            Err(error) => found.push(Err(error)),
        }
        found
    }

    /// Deliveries of an event that replays made.
    pub fn replayed(&self, sequence: u64) -> Result<Vec<DeliveryId>, LogError> {
        let prefix = [&[index::REPLAYED], sequence.to_be_bytes().as_slice()].concat();
        let mut found = std::collections::BTreeSet::new();
        // An event that moved to the kept day took them with it, and an older day that had to stay answers for its sequence.
        for day in self.days.kept().into_iter().chain(self.days.of(sequence)) {
            for guard in day.index.prefix(&prefix) {
                found.extend(guard.key().map_err(damaged)?.last_chunk().map(|id| DeliveryId(Uuid::from_bytes(*id))));
            }
        }
        Ok(found.into_iter().collect())
    }

    /// A page, newest first.
    pub fn delivery_page(&self, filter: &DeliveryFilter, after: Option<&Position>, limit: usize) -> Result<Page<Delivery>, LogError> {
        let after = match after {
            None => None,
            Some(position) => Some(Place::read(position).ok_or(LogError::NoPosition)?),
        };
        let page = Page { items: Vec::new(), next: None };
        let mut filling = Filling { filter, limit: limit.max(1), looked_at: 0, page, last: None };
        let below = after.map_or(Uuid::max(), |place| place.record);
        if let Some(event) = &filter.event {
            let event = event.parse::<EventId>().ok().map(|id| self.sequence_of(id)).transpose().map_err(damaged)?.flatten();
            if let Some((event, _)) = event.map(|sequence| self.event(sequence)).transpose()?.flatten() {
                let all = self.deliveries_of(&event)?.into_iter().map(|stored| stored.delivery).collect();
                self.sorted(&mut filling, all, below);
            }
        } else if filter.status == Some(Status::Dead) {
            self.dead_ones(&mut filling, below)?;
        } else if matches!(filter.status, Some(Status::Pending | Status::Held)) && self.pending(filter) <= GATHERED {
            let all = self.waiting_ones(filter)?;
            self.sorted(&mut filling, all, below);
        } else {
            self.looked_through(&mut filling, after)?;
        }
        Ok(filling.page)
    }

    fn sorted(&self, filling: &mut Filling<'_>, mut all: Vec<Delivery>, below: Uuid) {
        all.retain(|delivery| delivery.id.0 < below);
        all.sort_unstable_by_key(|delivery| std::cmp::Reverse(delivery.id));
        for delivery in all {
            let place = Place { record: delivery.id.0, ..Place::top(0) };
            if !filling.look(place, delivery) {
                return;
            }
        }
    }

    fn dead_ones(&self, filling: &mut Filling<'_>, below: Uuid) -> Result<(), LogError> {
        let snapshot = self.db.snapshot();
        let end = uuid_ceiling(filling.filter.until).min(below);
        let (from, to) = (Uuid::nil().into_bytes().to_vec(), before(end));
        for found in Around::over(&snapshot, &self.dead, from, to, Order::Backwards).readable(made_between) {
            let (key, value) = found.map_err(damaged)?;
            let Some((id, (_, subscription))) = Uuid::from_slice(&key).ok().zip(record::read_dead(&value)) else { continue };
            if filling.filter.subscription.as_ref().is_some_and(|name| name != subscription) {
                // Those of others are looked at too, and a page is bounded.
                if !filling.pass(Place { record: id, ..Place::top(0) }) {
                    return Ok(());
                }
                continue;
            }
            if uuid_floor(filling.filter.since).is_some_and(|since| id < since) {
                return Ok(());
            }
            let stored =
                survived(self.days.delivery(DeliveryId(id)), format_args!("delivery {}", DeliveryId(id))).map_err(damaged)?.flatten();
            if let Some((_, stored)) = stored
                && !filling.look(Place { record: id, ..Place::top(0) }, stored.delivery)
            {
                return Ok(());
            }
        }
        Ok(())
    }

    fn pending(&self, filter: &DeliveryFilter) -> u64 {
        match &filter.subscription {
            Some(name) => self.lines.named(name).map_or(0, |line| lock(&line).pending),
            None => self.lines.names().iter().filter_map(|name| self.lines.named(name)).map(|line| lock(&line).pending).sum(),
        }
    }

    /// Subscriptions that the filter lets pass for which something waits.
    fn awaiting(&self, filter: &DeliveryFilter) -> Vec<String> {
        let mut names = self.lines.names();
        names.retain(|name| filter.subscription.as_ref().is_none_or(|wanted| wanted == name) && self.waits(name));
        names
    }

    fn waiting_ones(&self, filter: &DeliveryFilter) -> Result<Vec<Delivery>, LogError> {
        let snapshot = self.db.snapshot();
        let view = View { snapshot: &snapshot, waiting: &self.waiting };
        let mut all = Vec::new();
        for name in self.awaiting(filter) {
            for found in view.entries(&name, 0) {
                let (sequence, entry) = found.map_err(damaged)?;
                all.extend(self.readable_waiting_one(&name, sequence, &entry)?);
            }
        }
        Ok(all)
    }

    /// What waits, unless its event is damaged, which is named.
    fn readable_waiting_one(&self, subscription: &str, sequence: u64, entry: &Entry) -> Result<Option<Delivery>, LogError> {
        let found = survived(self.waiting_one(subscription, sequence, entry), format_args!("event number {sequence}")).map_err(damaged)?;
        Ok(found.flatten().map(|(_, stored)| stored.delivery))
    }

    fn looked_through(&self, filling: &mut Filling<'_>, after: Option<Place>) -> Result<(), LogError> {
        // Before the snapshot: what begins to wait in between is newer than both.
        let names = match filling.filter.status {
            None | Some(Status::Pending | Status::Held) => self.awaiting(filling.filter),
            Some(Status::Delivered | Status::Dead | Status::Cancelled) => Vec::new(),
        };
        let snapshot = self.db.snapshot();
        let days = self.days.all();
        let mut end = u64::MAX;
        for day in days.iter().rev() {
            let sequences = (day.first, std::mem::replace(&mut end, day.first));
            if after.is_none_or(|after| day.label <= after.day) {
                let place = after.filter(|after| after.day == day.label).unwrap_or(Place::top(day.label));
                if !self.looked_through_day(filling, &snapshot, day, sequences, &names, place)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Looks through the records of a day and through what waits of its events without one, each from its newest on; `false` once the page is full.
    fn looked_through_day(
        &self,
        filling: &mut Filling<'_>,
        snapshot: &Snapshot,
        day: &Day,
        (first, end): (u64, u64),
        names: &[String],
        mut place: Place,
    ) -> Result<bool, LogError> {
        let (since, until) = (uuid_floor(filling.filter.since).unwrap_or(Uuid::nil()), uuid_ceiling(filling.filter.until));
        let (from, to) = (since.into_bytes().to_vec(), before(until.min(place.record)));
        let read = |found: fjall::Result<_>| {
            let (key, value): (UserKey, UserValue) = found?;
            let id = DeliveryId(Uuid::from_slice(&key).unwrap_or_default());
            let read = record::read_delivery(id, &value).ok_or_else(|| unread("a delivery"));
            // One that does not have its form keeps back none of the others.
            Ok(survived(read, format_args!("delivery {id}"))?.map(|stored| stored.delivery))
        };
        let passed = Around::over(snapshot, &day.deliveries, from, to, Order::Backwards).readable(made_between);
        let mut records = passed.filter_map(|found| read(found).map_err(damaged).transpose());
        let view = View { snapshot, waiting: &self.waiting };
        let mut queues = Queues::of(names, &view, first, end, place.queue);
        let (mut record, mut waiting) = (records.next().transpose()?, queues.take().map_err(damaged)?);
        loop {
            let is_waiting = match (&record, &waiting) {
                (Some(record), Some((_, _, entry))) => entry.id > record.id,
                (record, _) => record.is_none(),
            };
            if !is_waiting {
                let Some(delivery) = std::mem::replace(&mut record, records.next().transpose()?) else { return Ok(true) };
                place.record = delivery.id.0;
                if !filling.look(place, delivery) {
                    return Ok(false);
                }
                continue;
            }
            let Some((name, sequence, entry)) = std::mem::replace(&mut waiting, queues.take().map_err(damaged)?) else { return Ok(true) };
            place.queue = (sequence, entry.id.0);
            let is_asked_for = !entry.recorded && (since..until).contains(&entry.id.0);
            let found = if is_asked_for { self.readable_waiting_one(name, sequence, &entry)? } else { None };
            let goes_on = match found {
                Some(delivery) => filling.look(place, delivery),
                // On record, or not asked for, or its event is damaged: whoever claims it cancels it.
                None => filling.pass(place),
            };
            if !goes_on {
                return Ok(false);
            }
        }
    }

    /// Deliveries of a day, finished ones only.
    pub fn finished_in(&self, day: &Day) -> Result<u64, LogError> {
        let mut finished = 0;
        for guard in self.db.snapshot().iter(&day.deliveries) {
            let (key, value) = guard.into_inner().map_err(damaged)?;
            let id = DeliveryId(Uuid::from_slice(&key).map_err(|_| malformed("the key of a delivery"))?);
            let stored = record::read_delivery(id, &value).ok_or_else(|| malformed("a delivery"))?;
            finished += u64::from(stored.delivery.status != Status::Pending);
        }
        Ok(finished)
    }
}

/// The key before that of the delivery of that id.
fn before(id: Uuid) -> Vec<u8> {
    id.as_u128().saturating_sub(1).to_be_bytes().to_vec()
}

/// Names what is damaged between two ids of deliveries.
fn made_between(from: &[u8], to: &[u8]) -> String {
    let moment = |key: &[u8]| key.first_chunk().map_or(Timestamp::MAX, |id| record::created(DeliveryId(Uuid::from_bytes(*id))));
    format!("some deliveries made from {} to {}", moment(from), moment(to))
}

/// The lowest id of a moment: ids know milliseconds only, and the filter looks again.
fn uuid_floor(at: Option<Timestamp>) -> Option<Uuid> {
    let milliseconds = u64::try_from(at?.as_millisecond()).ok()?;
    Some(Uuid::from_u128(u128::from(milliseconds) << 80))
}

/// Above every id of a moment.
fn uuid_ceiling(at: Option<Timestamp>) -> Uuid {
    let after = at.and_then(|at| at.checked_add(std::time::Duration::from_millis(1)).ok());
    uuid_floor(after).unwrap_or(Uuid::max())
}
