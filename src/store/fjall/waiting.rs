//! What waits, on disk: the keys of unfinished deliveries. Millions may wait; [`super::lines`] holds in memory only what is under way.
//!
//! In the keyspace `waiting`:
//! `w ‖ subscription ‖ sequence` → [`Entry`], every unfinished delivery, at most one per event and subscription;
//! `r ‖ subscription ‖ due ‖ sequence` → nothing, those of the retry lane;
//! `o ‖ subscription ‖ order ‖ sequence` → nothing, all of them, only for subscriptions that are claimed in order.

use fjall::{Keyspace, Readable, Snapshot, UserKey, UserValue};

use super::around::{Around, Order};
use super::record::{self, Reader};
use super::survived;
use crate::fanout::delivery::{DeliveryId, Lane};

/// Prefix of every unfinished delivery.
pub const WAITING: u8 = b'w';
const RETRY: u8 = b'r';
const ORDER: u8 = b'o';

/// An unfinished delivery, as the queue needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which lane.
    pub lane: Lane,
    /// When it is due, as [`record::nanoseconds`].
    pub due: u64,
    /// Which delivery.
    pub id: DeliveryId,
    /// What keeps it in order, as [`record::order_of`].
    pub order: u64,
    /// Whether it waits because its handler said so: until then it is not late.
    pub deferred: bool,
    /// Whether there is a record of it. There is none of one that was made together with its event before something happens to it: its event says all.
    pub recorded: bool,
}

impl Entry {
    /// As bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(33);
        to.push(match (self.lane, self.deferred) {
            (Lane::First, _) if self.recorded => 0,
            (Lane::First, _) => 3,
            (Lane::Retry, false) => 1,
            (Lane::Retry, true) => 2,
        });
        to.extend_from_slice(&self.due.to_be_bytes());
        to.extend_from_slice(self.id.0.as_bytes());
        to.extend_from_slice(&self.order.to_be_bytes());
        to
    }

    /// From bytes.
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut from = Reader(value);
        let kind = from.byte()?;
        let lane = if matches!(kind, 0 | 3) { Lane::First } else { Lane::Retry };
        let (due, id, order) = (from.number()?, DeliveryId(from.uuid()?), from.number()?);
        Some(Self { lane, due, id, order, deferred: kind == 2, recorded: kind != 3 })
    }
}

/// Key of an unfinished delivery.
pub fn waiting_key(subscription: &str, sequence: u64) -> Vec<u8> {
    record::numbered(WAITING, subscription, sequence)
}

/// Key of one in the retry lane.
pub fn retry_key(subscription: &str, due: u64, sequence: u64) -> Vec<u8> {
    let mut key = record::numbered(RETRY, subscription, due);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Key that keeps one in order.
pub fn order_key(subscription: &str, order: u64, sequence: u64) -> Vec<u8> {
    let mut key = record::numbered(ORDER, subscription, order);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// The keyspace `waiting` at one moment. What damage made unreadable of it is named and passed over: it holds back nothing that waits behind it.
pub struct View<'a> {
    pub snapshot: &'a Snapshot,
    pub waiting: &'a Keyspace,
}

impl<'a> View<'a> {
    /// One unfinished delivery.
    pub fn entry(&self, subscription: &str, sequence: u64) -> fjall::Result<Option<Entry>> {
        let value = self.snapshot.get(self.waiting, waiting_key(subscription, sequence));
        let value = survived(value, format_args!("what waits for {subscription} of event number {sequence}"))?.flatten();
        Ok(value.and_then(|value| Entry::read(&value)))
    }

    fn between<'b>(
        &self,
        from: Vec<u8>,
        to: Vec<u8>,
        order: Order,
        subscription: &'b str,
    ) -> impl Iterator<Item = fjall::Result<Passed>> + use<'a, 'b> {
        let number_at = from.len().saturating_sub(8);
        let what = move |from: &[u8], to: &[u8]| match (number(from, number_at), number(to, number_at)) {
            (Some(first), Some(last)) => format!("what waits for {subscription} of some events from number {first} to {last}"),
            _ => format!("what waits for {subscription} of some events"),
        };
        Around::over(self.snapshot, self.waiting, from, to, order).readable(what)
    }

    /// Unfinished deliveries of that subscription from that sequence on.
    pub fn entries<'b>(&self, subscription: &'b str, from: u64) -> impl Iterator<Item = fjall::Result<(u64, Entry)>> + use<'a, 'b> {
        let (from, to) = (waiting_key(subscription, from), waiting_key(subscription, u64::MAX));
        self.between(from, to, Order::Forwards, subscription).filter_map(read)
    }

    /// Unfinished deliveries of that subscription of events from `from` to `to`, newest event first.
    pub fn entries_back<'b>(
        &self,
        subscription: &'b str,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = fjall::Result<(u64, Entry)>> + use<'a, 'b> {
        let (from, to) = (waiting_key(subscription, from), waiting_key(subscription, to));
        self.between(from, to, Order::Backwards, subscription).filter_map(read)
    }

    /// Retries from that place on, soonest first: when due, and which sequence.
    pub fn retries<'b>(&self, subscription: &'b str, from: (u64, u64)) -> impl Iterator<Item = fjall::Result<(u64, u64)>> + use<'a, 'b> {
        let (from, to) = (retry_key(subscription, from.0, from.1), retry_key(subscription, u64::MAX, u64::MAX));
        let what = move |_: &[u8], _: &[u8]| format!("when some of what waits for {subscription} is to be tried again");
        Around::over(self.snapshot, self.waiting, from, to, Order::Forwards).readable(what).filter_map(|found| match found {
            Ok((key, _)) => {
                let (rest, sequence) = key.split_last_chunk::<8>()?;
                Some(Ok((record::last_number(rest)?, u64::from_be_bytes(*sequence))))
            }
            Err(error) => Some(Err(error)),
        })
    }

    /// The oldest unfinished delivery of that order, and of which sequence.
    pub fn head(&self, subscription: &str, order: u64) -> fjall::Result<Option<(u64, Entry)>> {
        let (from, to) = (order_key(subscription, order, 0), order_key(subscription, order, u64::MAX));
        for found in self.between(from, to, Order::Forwards, subscription) {
            let Some(sequence) = record::last_number(&found?.0) else { continue };
            // One that cannot be read holds back none of the others.
            if let Some(entry) = self.entry(subscription, sequence)? {
                return Ok(Some((sequence, entry)));
            }
        }
        Ok(None)
    }
}

type Passed = (UserKey, UserValue);

fn read(found: fjall::Result<Passed>) -> Option<fjall::Result<(u64, Entry)>> {
    match found {
        Ok((key, value)) => Some(Ok((record::last_number(&key)?, Entry::read(&value)?))),
        Err(error) => Some(Err(error)),
    }
}

/// The number that stands there in a key.
fn number(key: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(at..)?.first_chunk::<8>()?))
}

/// Removes what a crash left of order keys that were being built; damaged ones stay, and are passed over.
pub fn clear_order(db: &fjall::Database, waiting: &Keyspace, subscription: &str) -> fjall::Result<()> {
    let (snapshot, mut batch) = (db.snapshot(), db.batch());
    let (from, to) = (order_key(subscription, 0, 0), order_key(subscription, u64::MAX, u64::MAX));
    let what = |_: &[u8], _: &[u8]| format!("in which order some deliveries of {subscription} were to go");
    for found in Around::over(&snapshot, waiting, from, to, Order::Forwards).readable(what) {
        batch.remove(waiting, found?.0);
    }
    batch.commit()
}
