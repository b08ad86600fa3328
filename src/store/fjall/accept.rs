//! What an arrival writes: the event with its index keys, its dedupe key, its fact, and its deliveries. Part of a batch of [`Writer`].

use std::sync::Arc;

use super::days::{self, Day, index};
use super::lines::lock;
use super::record;
use super::survived;
use super::waiting::{self, Entry};
use super::writer::{Group, Hindrance, Incoming, Writer};
use crate::clock::Timestamp;
use crate::fanout::delivery::Lane;
use crate::inbox::Accepted;
use crate::vault::audit::Read;

/// An event received this much before the newest one so far is indexed as late.
const LATE_SECONDS: i64 = 120;

impl Writer {
    /// The day for something that happens at that moment; a new one begins a new range of sequences.
    pub fn day(&mut self, at: Timestamp) -> fjall::Result<Arc<Day>> {
        let label = days::label(at).max(self.store.closed() + 1);
        if let Some(day) = self.store.days.current().filter(|day| label <= day.label) {
            return Ok(day);
        }
        let day = Day::open(&self.store.db, label, self.sequence + 1)?;
        self.store.days.push(day.clone());
        Ok(day)
    }

    /// Stores an event, unless its message was stored or its fact was told before.
    pub fn accept(&mut self, group: &mut Group, incoming: Incoming) -> Result<Accepted, Hindrance> {
        let day = self.day(incoming.received_at).map_err(Hindrance::Store)?;
        // By its own time: a clock that was ahead for a while has left a day in the future, seen from which all that is remembered is too old. Nor by
        // that, while the clock is not believed.
        let seen_from = days::label(incoming.received_at.min(self.store.clock.believed())).min(day.label);
        // Where damage leaves a doubt, it is new: told twice is better than not told.
        let is_seen = group.marks.contains(&incoming.mark)
            || survived(self.seen.holds(&incoming.mark, seen_from), "which messages were stored before")?.unwrap_or_default();
        if is_seen {
            return Ok(Accepted::Seen);
        }
        if let Some(fact) = incoming.fact
            && let Some(told_by) = survived(self.tell(group, &fact, &incoming.component), "which facts were told before")?.flatten()
        {
            // The vendor's own retries of this message are seen by its mark from now on.
            let marks = self.seen.of(day.label).map_err(Hindrance::Store)?;
            group.marks.insert(incoming.mark);
            group.batch.insert(&marks, incoming.mark, told_by.to_be_bytes());
            return Ok(Accepted::Seen);
        }
        self.sequence += 1;
        let sequence = self.sequence;
        let number = sequence.to_be_bytes();
        let batch = &mut group.batch;
        let marks = self.seen.of(day.label).map_err(Hindrance::Store)?;
        group.marks.insert(incoming.mark);
        batch.insert(&marks, incoming.mark, number);
        batch.insert(&day.events, number, incoming.value);
        if !incoming.mark.starts_with(&incoming.id.message_prefix()) {
            let id = [&[index::ID], incoming.id.0.as_bytes().as_slice()].concat();
            batch.insert(&day.index, id, number);
        }
        group.postings.add(batch, &day, &incoming.component, incoming.kind, sequence);
        if let Some(authorizer) = &incoming.authorizer {
            batch.insert(&day.index, record::numbered(index::AUTHORIZER, authorizer, sequence), incoming.note);
        }
        let minute = |at: Timestamp| at.as_second().div_euclid(60);
        if minute(incoming.received_at) > minute(self.newest_receipt) || day.first == sequence {
            let minute = u64::try_from(minute(incoming.received_at.max(self.newest_receipt))).unwrap_or_default();
            batch.insert(&day.index, [&[index::MINUTE], minute.to_be_bytes().as_slice()].concat(), number);
        }
        if incoming.received_at.as_second() + LATE_SECONDS < self.newest_receipt.as_second() {
            batch.insert(&day.index, [&[index::LATE], number.as_slice()].concat(), record::NOTHING);
        }
        self.newest_receipt = self.newest_receipt.max(incoming.received_at);

        let due = record::nanoseconds(incoming.received_at);
        for (subscription, id) in incoming.deliveries {
            if self.store.lines.is_retired(&subscription) {
                // Deleted while the push was under way.
                continue;
            }
            let entry = Entry { lane: Lane::First, due, id, order: incoming.order, deferred: false, recorded: false };
            self.put_waiting(group, &subscription, sequence, None, entry);
            group.count(&subscription, 1, 0);
        }
        Ok(Accepted::Fresh(sequence))
    }

    /// Writes the keys of a delivery that waits; `before` is how it waited until now.
    pub fn put_waiting(&self, group: &mut Group, subscription: &str, sequence: u64, before: Option<&Entry>, entry: Entry) {
        let waiting = &self.store.waiting;
        group.batch.insert(waiting, waiting::waiting_key(subscription, sequence), entry.write());
        if let Some(before) = before.filter(|before| before.lane == Lane::Retry && (entry.lane != Lane::Retry || entry.due != before.due)) {
            group.batch.remove(waiting, waiting::retry_key(subscription, before.due, sequence));
        }
        if entry.lane == Lane::Retry {
            group.batch.insert(waiting, waiting::retry_key(subscription, entry.due, sequence), record::NOTHING);
        }
        if self.is_ordered(subscription) {
            group.batch.insert(waiting, waiting::order_key(subscription, entry.order, sequence), record::NOTHING);
        }
    }

    /// Removes the keys of a delivery that waited.
    pub fn remove_waiting(&self, group: &mut Group, subscription: &str, sequence: u64, entry: &Entry) {
        let waiting = &self.store.waiting;
        group.batch.remove(waiting, waiting::waiting_key(subscription, sequence));
        if entry.lane == Lane::Retry {
            group.batch.remove(waiting, waiting::retry_key(subscription, entry.due, sequence));
        }
        if self.is_ordered(subscription) {
            group.batch.remove(waiting, waiting::order_key(subscription, entry.order, sequence));
        }
    }

    fn is_ordered(&self, subscription: &str) -> bool {
        self.store.lines.named(subscription).is_some_and(|line| lock(&line).ordered)
    }

    /// Appends to the read audit.
    pub fn append_reads(&mut self, group: &mut Group, reads: &[Read]) -> fjall::Result<()> {
        for read in reads {
            let day = self.day(read.at)?;
            self.reads = self.reads.wrapping_add(1);
            let key = [&[index::READ], record::nanoseconds(read.at).to_be_bytes().as_slice(), &self.reads.to_be_bytes()].concat();
            // Names, numbers and a time: writing them as JSON cannot fail.
            group.batch.insert(&day.index, key, serde_json::to_vec(read).unwrap_or_default());
        }
        Ok(())
    }
}
