//! What becomes of deliveries: settled, enqueued again, retried, cancelled. Each is part of a batch of [`Writer`].

use std::sync::Arc;

use super::days::{Day, index};
use super::lines::{Change, lock};
use super::record::{self, StoredDelivery};
use super::waiting::{self, Entry, View};
use super::writer::{Group, Hindrance, Writer};
use super::{records, survived};
use crate::clock::Timestamp;
use crate::fanout::delivery::{Attempt, Delivery, DeliveryId, Ended, Lane, Settlement, Status};
use crate::inbox::event::random_uuid_at;
use crate::inbox::{Event, EventId};

/// What follows a try.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// The handler took it.
    Delivered,
    /// Again at that time.
    Retry(Timestamp),
    /// The same, with a fresh schedule.
    Anew(Timestamp),
    /// Never again by itself.
    Dead,
}

/// Deliveries cancelled, or put in order, in one batch: pushes wait no longer for it.
const STRIDE: usize = 256;

/// Whether a try of a claimed delivery says what becomes of it. One that began before a retry or a replay was asked for does not: whoever asked wants
/// to see one that came after. Where nobody asked, it does whatever the clock says, which may have been set back meanwhile.
fn stands(stored: &StoredDelivery, claimed: &Delivery, began: Timestamp) -> bool {
    let due = stored.delivery.next_attempt_at;
    due == claimed.next_attempt_at || due.is_none_or(|due| began >= due)
}

/// A delivery that waits, and the day that holds what belongs to it.
type Waiting = (Arc<Day>, StoredDelivery);

/// An event, what stands in the queue of it, and the delivery that is.
type ToEnqueue = (Event, Option<Entry>, Option<Waiting>);

/// Some of what waits for a subscription, and where the rest begins.
type Part = (Vec<(u64, Entry)>, Option<u64>);

impl Writer {
    /// Whether that event belongs to a day that retention is dropping: as good as gone. What already waits of it has moved to the kept day, or will.
    fn is_closed(&self, sequence: u64) -> bool {
        self.store.days.of(sequence).is_some_and(|day| self.emptying.contains(&day.label))
    }

    fn put(group: &mut Group, day: &Day, stored: &StoredDelivery) {
        group.batch.insert(&day.deliveries, *stored.delivery.id.0.as_bytes(), record::write_delivery(stored));
    }

    /// A claimed delivery as it stands: as its record says, or as it was claimed while it has none.
    fn standing(&self, claimed: &Delivery, entry: Option<&Entry>) -> fjall::Result<Option<(Arc<Day>, StoredDelivery)>> {
        if entry.is_none_or(|entry| entry.id != claimed.id || entry.recorded) {
            return self.store.days.delivery(claimed.id);
        }
        let sequence = claimed.event_sequence;
        // Only what retention is at has two homes.
        let home = match self.store.days.of(sequence).filter(|day| day.label > self.store.closed()) {
            Some(day) => Some(day),
            None => self.store.days.home(sequence)?,
        };
        Ok(home.map(|day| (day, StoredDelivery { delivery: claimed.clone(), schedule: 0 })))
    }

    /// Records what becomes of a claimed delivery.
    pub fn settle(&mut self, group: &mut Group, ended: &Ended) -> Result<(), Hindrance> {
        let claimed = &ended.delivery;
        match &ended.settlement {
            Settlement::Delivered(attempt) => self.tried(group, claimed, attempt, Verdict::Delivered),
            Settlement::Retry(attempt, at) => self.tried(group, claimed, attempt, Verdict::Retry(*at)),
            Settlement::Gone(attempt, at) => self.tried(group, claimed, attempt, Verdict::Anew(*at)),
            Settlement::Dead(attempt) => self.tried(group, claimed, attempt, Verdict::Dead),
            Settlement::Deferred(tried_at, until) => self.defer(group, claimed, *tried_at, *until),
            Settlement::Released => Ok(()),
        }
    }

    /// Records a try of a claimed delivery, and what follows.
    fn tried(&mut self, group: &mut Group, claimed: &Delivery, attempt: &Attempt, verdict: Verdict) -> Result<(), Hindrance> {
        let Delivery { id, subscription, event_sequence: sequence, .. } = claimed;
        let (id, sequence) = (*id, *sequence);
        if !group.touch(subscription, sequence) {
            return Err(Hindrance::Conflict);
        }
        let entry = self.store.entry(subscription, sequence)?;
        let Some((day, mut stored)) = self.standing(claimed, entry.as_ref())? else { return Ok(()) };
        let waits = |entry: &Entry| entry.id == id && stored.delivery.status == Status::Pending && stands(&stored, claimed, attempt.at);
        let entry = entry.filter(waits);
        stored.tried(attempt.clone());
        // Cancelled or replaced while it was under way: the try is recorded, and whatever waits instead is looked at again.
        let Some(entry) = entry else {
            Self::put(group, &day, &stored);
            group.release(subscription, sequence, id);
            return Ok(());
        };
        match verdict {
            Verdict::Delivered => {
                stored.delivery.status = Status::Delivered;
                group.outcome(&self.store, stored.delivery.replay.as_deref(), 1, 0)?;
                self.end(group, &day, stored, &entry);
            }
            Verdict::Dead => self.bury(group, &day, stored, &entry)?,
            Verdict::Retry(at) | Verdict::Anew(at) => {
                if matches!(verdict, Verdict::Anew(_)) {
                    stored.schedule = stored.delivery.attempts.len();
                }
                stored.delivery.next_attempt_at = Some(at);
                Self::put(group, &day, &stored);
                let next = Entry { lane: Lane::Retry, due: record::nanoseconds(at), deferred: false, recorded: true, ..entry };
                self.put_waiting(group, subscription, sequence, Some(&entry), next);
                group.tell(subscription, sequence, entry.order, Change::Retries(id, next.due));
            }
        }
        Ok(())
    }

    /// Makes a delivery wait until then; nothing is recorded of the look at it that found it too early.
    fn defer(&mut self, group: &mut Group, claimed: &Delivery, tried_at: Timestamp, until: Timestamp) -> Result<(), Hindrance> {
        let Delivery { id, subscription, event_sequence: sequence, .. } = claimed;
        let (id, sequence) = (*id, *sequence);
        if !group.touch(subscription, sequence) {
            return Err(Hindrance::Conflict);
        }
        let entry = self.store.entry(subscription, sequence)?;
        let Some((day, mut stored)) = self.standing(claimed, entry.as_ref())? else { return Ok(()) };
        let waits = |entry: &Entry| entry.id == id && stored.delivery.status == Status::Pending && stands(&stored, claimed, tried_at);
        let Some(entry) = entry.filter(waits) else {
            group.release(subscription, sequence, id);
            return Ok(());
        };
        stored.delivery.next_attempt_at = Some(until);
        Self::put(group, &day, &stored);
        let next = Entry { lane: Lane::Retry, due: record::nanoseconds(until), deferred: true, recorded: true, ..entry };
        self.put_waiting(group, subscription, sequence, Some(&entry), next);
        group.tell(subscription, sequence, entry.order, Change::Retries(id, next.due));
        Ok(())
    }

    /// Writes a finished delivery and takes it out of what waits.
    fn end(&self, group: &mut Group, day: &Day, mut stored: StoredDelivery, entry: &Entry) {
        stored.delivery.next_attempt_at = None;
        Self::put(group, day, &stored);
        let Delivery { id, subscription, event_sequence, .. } = &stored.delivery;
        self.remove_waiting(group, subscription, *event_sequence, entry);
        group.count(subscription, -1, 0);
        group.tell(subscription, *event_sequence, entry.order, Change::Ended(*id));
    }

    /// Puts a delivery into the first lane, due at once; `entry` is what waits already under its event and subscription.
    fn begin(&self, group: &mut Group, day: &Day, stored: &StoredDelivery, entry: Option<&Entry>, now: Timestamp) {
        let Delivery { id, subscription, event_sequence, ordering_key, .. } = &stored.delivery;
        Self::put(group, day, stored);
        if entry.is_none() {
            group.count(subscription, 1, 0);
        }
        let order = record::order_of(ordering_key);
        let next = Entry { lane: Lane::First, due: record::nanoseconds(now), id: *id, order, deferred: false, recorded: true };
        self.put_waiting(group, subscription, *event_sequence, entry, next);
        group.tell(subscription, *event_sequence, next.order, Change::Restarted);
    }

    /// Enqueues stored events for a subscription; events that are gone are left out, and for one that was deleted all are.
    pub fn enqueue(
        &mut self,
        group: &mut Group,
        events: &[EventId],
        subscription: &str,
        replay: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryId>, Hindrance> {
        if self.store.lines.is_retired(subscription) {
            return Ok(Vec::new());
        }
        let mut found = Vec::with_capacity(events.len());
        for id in events {
            let sequence = survived(self.store.sequence_of(*id), format_args!("where {id} stands"))?.flatten();
            found.extend(sequence.filter(|sequence| !self.is_closed(*sequence)));
        }
        found.sort_unstable();
        found.dedup();
        // All or nothing: a job is only staged twice as a whole.
        for sequence in &found {
            if !group.touch(subscription, *sequence) {
                return Err(Hindrance::Conflict);
            }
        }
        // All is read before anything is written: a failed read leaves nothing of this job in the batch.
        let mut begun = Vec::with_capacity(found.len());
        for sequence in found {
            let read = self.to_enqueue(subscription, sequence);
            let Some((event, entry, waiting)) = survived(read, format_args!("event number {sequence}"))?.flatten() else { continue };
            let (day, stored) = match waiting {
                Some((day, mut stored)) => {
                    stored.restart(now);
                    if let Some(replay) = replay {
                        stored.delivery.replay = Some(replay.to_owned());
                    }
                    (Some(day), stored)
                }
                None => (None, StoredDelivery::fresh(DeliveryId(random_uuid_at(now)), &event, subscription, replay, now)),
            };
            begun.push((entry, day, stored));
        }
        let mut ids = Vec::with_capacity(begun.len());
        for (entry, day, stored) in begun {
            let Delivery { id, event_sequence: sequence, .. } = stored.delivery;
            match day {
                Some(day) => self.begin(group, &day, &stored, entry.as_ref(), now),
                None => {
                    let day = self.day(now).map_err(Hindrance::Store)?;
                    self.begin(group, &day, &stored, entry.as_ref(), now);
                    if let Some(home) = self.store.days.of(sequence) {
                        let key = [&[index::REPLAYED], sequence.to_be_bytes().as_slice(), id.0.as_bytes()].concat();
                        group.batch.insert(&home.index, key, record::NOTHING);
                    }
                }
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// An event that is to be enqueued, and what waits of it for that subscription already.
    fn to_enqueue(&self, subscription: &str, sequence: u64) -> fjall::Result<Option<ToEnqueue>> {
        let Some((event, _)) = self.store.days.event(sequence)?.and_then(|value| record::read_event(sequence, &value)) else {
            return Ok(None);
        };
        let entry = self.store.entry(subscription, sequence)?;
        let waiting = match &entry {
            Some(entry) => self.store.waiting_one(subscription, sequence, entry)?,
            None => None,
        };
        Ok(Some((event, entry, waiting)))
    }

    /// Makes one delivery due now, whatever its status.
    pub fn retry(&mut self, group: &mut Group, id: DeliveryId, now: Timestamp) -> Result<Option<Delivery>, Hindrance> {
        let Some((day, mut stored)) = self.store.delivery_of(id)? else { return Ok(None) };
        let (subscription, sequence) = (stored.delivery.subscription.clone(), stored.delivery.event_sequence);
        let home_goes = self.emptying.contains(&day.label);
        if self.store.lines.is_retired(&subscription) || home_goes || self.is_closed(sequence) || self.store.days.event(sequence)?.is_none()
        {
            return Ok(None);
        }
        if !group.touch(&subscription, sequence) {
            return Err(Hindrance::Conflict);
        }
        let entry = self.store.entry(&subscription, sequence)?;
        // Another delivery of the same event may wait: this one takes its place.
        let replaced = match entry.filter(|entry| entry.id != id) {
            Some(other) => self.store.waiting_one(&subscription, sequence, &other)?,
            None => None,
        };
        match stored.delivery.status {
            Status::Dead => {
                group.outcome(&self.store, stored.delivery.replay.as_deref(), 0, -1)?;
                group.batch.remove(&self.store.dead, *id.0.as_bytes());
                group.count(&subscription, 0, -1);
            }
            Status::Delivered => group.outcome(&self.store, stored.delivery.replay.as_deref(), -1, 0)?,
            Status::Pending | Status::Held | Status::Cancelled => {}
        }
        if let Some((day, mut replaced)) = replaced {
            replaced.delivery.status = Status::Cancelled;
            replaced.delivery.next_attempt_at = None;
            Self::put(group, &day, &replaced);
        }
        stored.restart(now);
        self.begin(group, &day, &stored, entry.as_ref(), now);
        Ok(Some(stored.delivery))
    }

    fn waiting_from(&self, subscription: &str, from: u64) -> fjall::Result<Part> {
        let snapshot = self.store.db.snapshot();
        let view = View { snapshot: &snapshot, waiting: &self.store.waiting };
        let found: Vec<_> = view.entries(subscription, from).take(STRIDE).collect::<Result<_, _>>()?;
        let next = if found.len() == STRIDE { found.last().map(|(sequence, _)| sequence + 1) } else { None };
        Ok((found, next))
    }

    /// Cancels some of what waits from that sequence on; how many, and where to go on.
    pub fn cancel(&mut self, group: &mut Group, subscription: &str, from: u64) -> Result<(u64, Option<u64>), Hindrance> {
        let (found, next) = self.waiting_from(subscription, from)?;
        for (sequence, _) in &found {
            if !group.touch(subscription, *sequence) {
                return Err(Hindrance::Conflict);
            }
        }
        let mut waiting = Vec::with_capacity(found.len());
        for (sequence, entry) in found {
            waiting.push((sequence, entry, self.to_cancel(subscription, sequence, &entry)?));
        }
        let mut cancelled = 0;
        for (sequence, entry, stored) in waiting {
            cancelled += 1;
            self.cancel_one(group, subscription, sequence, &entry, stored);
        }
        Ok((cancelled, next))
    }

    /// Takes out a waiting delivery whose event or record is gone.
    pub fn forget(&mut self, group: &mut Group, subscription: &str, sequence: u64, id: DeliveryId) -> Result<(), Hindrance> {
        if !group.touch(subscription, sequence) {
            return Err(Hindrance::Conflict);
        }
        let Some(entry) = self.store.entry(subscription, sequence)? else { return Ok(()) };
        // Another one may have been begun since it was looked for.
        if entry.id != id {
            return Ok(());
        }
        let stored = self.to_cancel(subscription, sequence, &entry)?;
        let event = self.event_of(stored.as_ref(), subscription, sequence, id)?;
        let run = self.store.given_up(group, subscription, event, "its event or its delivery is gone", self.store.clock.now())?;
        self.cancel_one(group, subscription, sequence, &entry, stored);
        if let Some((run, version)) = run {
            records::write(&self.store, group, run, version);
        }
        Ok(())
    }

    /// The event of a waiting delivery, as its record or the event itself tells; where neither can, of one that was made together with its event.
    fn event_of(&self, known: Option<&Waiting>, subscription: &str, sequence: u64, id: DeliveryId) -> fjall::Result<EventId> {
        if let Some((_, stored)) = known {
            return Ok(stored.delivery.event_id);
        }
        let event = survived(self.store.days.event(sequence), format_args!("event number {sequence}"))?.flatten();
        let event = event.and_then(|value| record::read_event(sequence, &value));
        Ok(event.map_or_else(|| record::event_of(id, subscription), |(event, _)| event.id))
    }

    /// Makes a waiting delivery a dead letter because it, or its event, cannot be read. What is not known of it any more is left open.
    pub fn spoilt(
        &mut self,
        group: &mut Group,
        subscription: &str,
        sequence: u64,
        id: DeliveryId,
        now: Timestamp,
    ) -> Result<(), Hindrance> {
        if !group.touch(subscription, sequence) {
            return Err(Hindrance::Conflict);
        }
        let Some(entry) = self.store.entry(subscription, sequence)? else { return Ok(()) };
        // Another one may have been begun since it was looked for.
        if entry.id != id {
            return Ok(());
        }
        let known = survived(self.store.waiting_one(subscription, sequence, &entry), format_args!("delivery {id}"))?.flatten();
        let event_id = self.event_of(known.as_ref(), subscription, sequence, id)?;
        let nameless = || {
            let delivery = Delivery {
                id: entry.id,
                event_id,
                event_sequence: sequence,
                subscription: subscription.to_owned(),
                ordering_key: String::new(),
                status: Status::Pending,
                attempts: Vec::new(),
                next_attempt_at: None,
                created_at: record::created(entry.id),
                replay: None,
            };
            Some((self.store.days.of(sequence)?, StoredDelivery { delivery, schedule: 0 }))
        };
        let Some((day, mut stored)) = known.or_else(nameless) else { return Ok(()) };
        let why = "the stored event cannot be read: it is damaged";
        let run = self.store.given_up(group, subscription, event_id, why, now)?;
        stored.tried(Attempt { at: now, status: None, duration_ms: 0, error: Some(why.to_owned()), answer: None });
        self.bury(group, &day, stored, &entry)?;
        if let Some((run, version)) = run {
            records::write(&self.store, group, run, version);
        }
        Ok(())
    }

    /// Makes a waiting delivery a dead letter.
    fn bury(&self, group: &mut Group, day: &Day, mut stored: StoredDelivery, entry: &Entry) -> fjall::Result<()> {
        stored.delivery.status = Status::Dead;
        let Delivery { id, subscription, event_sequence, replay, .. } = &stored.delivery;
        group.outcome(&self.store, replay.as_deref(), 0, 1)?;
        group.count(subscription, 0, 1);
        group.batch.insert(&self.store.dead, *id.0.as_bytes(), record::write_dead(*event_sequence, subscription));
        self.end(group, day, stored, entry);
        Ok(())
    }

    /// A waiting delivery that is to be cancelled; `None`: its event or record is gone or damaged.
    fn to_cancel(&self, subscription: &str, sequence: u64, entry: &Entry) -> fjall::Result<Option<Waiting>> {
        let waiting = self.store.waiting_one(subscription, sequence, entry);
        Ok(survived(waiting, format_args!("delivery {}", entry.id))?.flatten())
    }

    /// Cancels a waiting delivery; one of which nothing else is there is only taken out of the queue.
    fn cancel_one(&self, group: &mut Group, subscription: &str, sequence: u64, entry: &Entry, stored: Option<Waiting>) {
        if let Some((day, mut stored)) = stored {
            stored.delivery.status = Status::Cancelled;
            self.end(group, &day, stored, entry);
            return;
        }
        self.remove_waiting(group, subscription, sequence, entry);
        group.count(subscription, -1, 0);
        group.tell(subscription, sequence, entry.order, Change::Ended(entry.id));
    }

    /// Writes order keys for what waits from that sequence on; where to go on. From the first step on new deliveries get theirs too.
    pub fn order(&mut self, group: &mut Group, subscription: &str, from: u64) -> Result<Option<u64>, Hindrance> {
        let line = self.store.lines.made(subscription);
        lock(&line).ordered = true;
        let (found, next) = self.waiting_from(subscription, from)?;
        for (sequence, entry) in found {
            group.batch.insert(&self.store.waiting, waiting::order_key(subscription, entry.order, sequence), record::NOTHING);
        }
        // Stored as done only once all are written: after a crash in between it is done again.
        lock(&line).ordered_whole = next.is_none();
        group.count(subscription, 0, 0);
        Ok(next)
    }
}
