//! Deliveries as people list them: of an event, dead ones, waiting ones, all.
//!
//! Dead letters have an index; what waits is gathered from the queue while it is not too much; everything else is looked through newest first, a bounded
//! number at a time.

use fjall::Readable;
use uuid::Uuid;

use super::days::{Day, index};
use super::lines::lock;
use super::record::{self, StoredDelivery};
use super::waiting::{self, Entry};
use super::{Store, damaged, malformed};
use crate::fanout::delivery::{Delivery, DeliveryFilter, DeliveryId, Status};
use crate::inbox::{Event, EventId, LogError, Page, Position};

/// Deliveries looked at for one page.
const LOOKED_AT: usize = 20_000;
/// Waiting deliveries up to which they are gathered and sorted.
const GATHERED: u64 = 50_000;

/// Where a page ended: the day it had come to, and the last delivery. Days are named because a clock that was set back may put an older id into a newer day.
#[derive(Debug, Clone, Copy)]
struct Place {
    day: u32,
    id: Uuid,
}

impl Place {
    fn read(position: &Position) -> Option<Self> {
        let (day, id) = position.0.split_once('.')?;
        Some(Self { day: day.parse().ok()?, id: Uuid::try_parse(id).ok()? })
    }

    fn write(self) -> Position {
        Position(format!("{}.{}", self.day, self.id.as_simple()))
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
    /// Looks at one; `false` once the page is full.
    fn look(&mut self, day: u32, delivery: Delivery) -> bool {
        let place = Place { day, id: delivery.id.0 };
        if fits(self.filter, &delivery) {
            if self.page.items.len() >= self.limit {
                self.page.next = self.last.map(Place::write);
                return false;
            }
            self.page.items.push(delivery);
            self.last = Some(place);
        }
        self.looked_at += 1;
        if self.looked_at >= LOOKED_AT.max(self.limit) {
            self.page.next = Some(place.write());
            return false;
        }
        true
    }
}

impl Store {
    /// One delivery.
    pub fn delivery(&self, id: DeliveryId) -> Result<Option<StoredDelivery>, LogError> {
        Ok(self.days.delivery(id).map_err(damaged)?.map(|(_, stored)| stored))
    }

    /// Every delivery of an event, unsorted: those made with it have computed ids, those of replays are indexed.
    pub fn deliveries_of(&self, event: &Event) -> Result<Vec<StoredDelivery>, LogError> {
        let mut found = Vec::new();
        for subscription in self.lines.names() {
            found.extend(self.delivery(record::first_delivery(event.id, event.received_at, &subscription))?);
        }
        for id in self.replayed(event.sequence)? {
            found.extend(self.delivery(id)?);
        }
        Ok(found)
    }

    /// Deliveries of an event that replays made.
    pub fn replayed(&self, sequence: u64) -> Result<Vec<DeliveryId>, LogError> {
        let Some(day) = self.days.of(sequence) else { return Ok(Vec::new()) };
        let prefix = [&[index::REPLAYED], sequence.to_be_bytes().as_slice()].concat();
        let keys = day.index.prefix(prefix).map(|guard| guard.key().map_err(damaged));
        keys.filter_map(|key| key.map(|key| key.last_chunk().map(|id| DeliveryId(Uuid::from_bytes(*id)))).transpose()).collect()
    }

    /// A page, newest first.
    pub fn delivery_page(&self, filter: &DeliveryFilter, after: Option<&Position>, limit: usize) -> Result<Page<Delivery>, LogError> {
        let after = match after {
            None => None,
            Some(position) => Some(Place::read(position).ok_or_else(|| malformed("the position of a page"))?),
        };
        let page = Page { items: Vec::new(), next: None };
        let mut filling = Filling { filter, limit: limit.max(1), looked_at: 0, page, last: None };
        let below = after.map_or(Uuid::max(), |place| place.id);
        if let Some(event) = &filter.event {
            let event = event.parse::<EventId>().ok().map(|id| self.days.sequence_of(id)).transpose().map_err(damaged)?.flatten();
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
            if !filling.look(0, delivery) {
                return;
            }
        }
    }

    fn dead_ones(&self, filling: &mut Filling<'_>, below: Uuid) -> Result<(), LogError> {
        let snapshot = self.db.snapshot();
        let end = uuid_floor(filling.filter.until).map_or(below, |until| below.min(until));
        for guard in snapshot.range(&self.dead, ..end.into_bytes()).rev() {
            let (key, value) = guard.into_inner().map_err(damaged)?;
            let Some((id, (_, subscription))) = Uuid::from_slice(&key).ok().zip(record::read_dead(&value)) else { continue };
            if filling.filter.subscription.as_ref().is_some_and(|name| name != subscription) {
                continue;
            }
            if uuid_floor(filling.filter.since).is_some_and(|since| id < since) {
                return Ok(());
            }
            if let Some(stored) = self.delivery(DeliveryId(id))?
                && !filling.look(0, stored.delivery)
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

    fn waiting_ones(&self, filter: &DeliveryFilter) -> Result<Vec<Delivery>, LogError> {
        let prefix = match &filter.subscription {
            Some(name) => record::named(waiting::WAITING, name),
            None => vec![waiting::WAITING],
        };
        let mut all = Vec::new();
        for guard in self.db.snapshot().prefix(&self.waiting, prefix) {
            let value = guard.value().map_err(damaged)?;
            if let Some(stored) = Entry::read(&value).map(|entry| self.delivery(entry.id)).transpose()?.flatten() {
                all.push(stored.delivery);
            }
        }
        Ok(all)
    }

    fn looked_through(&self, filling: &mut Filling<'_>, after: Option<Place>) -> Result<(), LogError> {
        let snapshot = self.db.snapshot();
        for day in self.days.all().iter().rev().filter(|day| after.is_none_or(|after| day.label <= after.day)) {
            let below = after.filter(|after| after.day == day.label).map_or(Uuid::max(), |after| after.id);
            let end = uuid_floor(filling.filter.until).map_or(below, |until| below.min(until));
            let start = uuid_floor(filling.filter.since).unwrap_or(Uuid::nil());
            if start >= end {
                continue;
            }
            for guard in snapshot.range(&day.deliveries, start.into_bytes()..end.into_bytes()).rev() {
                let (key, value) = guard.into_inner().map_err(damaged)?;
                let id = DeliveryId(Uuid::from_slice(&key).map_err(|_| malformed("the key of a delivery"))?);
                let stored = record::read_delivery(id, &value).ok_or_else(|| malformed("a delivery"))?;
                if !filling.look(day.label, stored.delivery) {
                    return Ok(());
                }
            }
        }
        Ok(())
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

/// The lowest id of a moment, a millisecond early: ids know milliseconds only, and the filter looks again.
fn uuid_floor(at: Option<crate::clock::Timestamp>) -> Option<Uuid> {
    let milliseconds = u64::try_from(at?.as_millisecond()).ok()?;
    Some(Uuid::from_u128(u128::from(milliseconds) << 80))
}
