//! What waits, on disk: the keys of unfinished deliveries. Millions may wait; [`super::lines`] holds in memory only what is under way.
//!
//! In the keyspace `waiting`:
//! `w ‖ subscription ‖ sequence` → [`Entry`], every unfinished delivery, at most one per event and subscription;
//! `r ‖ subscription ‖ due ‖ sequence` → nothing, those of the retry lane;
//! `o ‖ subscription ‖ order ‖ sequence` → nothing, all of them, only for subscriptions that are claimed in order.

use fjall::{Keyspace, Readable, Snapshot};

use super::record::{self, Reader};
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

/// The keyspace `waiting` at one moment.
pub struct View<'a> {
    pub snapshot: &'a Snapshot,
    pub waiting: &'a Keyspace,
}

impl View<'_> {
    /// One unfinished delivery.
    pub fn entry(&self, subscription: &str, sequence: u64) -> fjall::Result<Option<Entry>> {
        Ok(self.snapshot.get(self.waiting, waiting_key(subscription, sequence))?.and_then(|value| Entry::read(&value)))
    }

    /// Unfinished deliveries of that subscription from that sequence on.
    pub fn entries(&self, subscription: &str, from: u64) -> impl Iterator<Item = fjall::Result<(u64, Entry)>> {
        let range = waiting_key(subscription, from)..=waiting_key(subscription, u64::MAX);
        self.snapshot.range(self.waiting, range).filter_map(|guard| match guard.into_inner() {
            Ok((key, value)) => Some(Ok((record::last_number(&key)?, Entry::read(&value)?))),
            Err(error) => Some(Err(error)),
        })
    }

    /// Unfinished deliveries of that subscription of events from `from` to below `to`, newest event first.
    pub fn entries_back(&self, subscription: &str, from: u64, to: u64) -> impl Iterator<Item = fjall::Result<(u64, Entry)>> + 'static {
        let range = waiting_key(subscription, from)..waiting_key(subscription, to.max(from));
        self.snapshot.range(self.waiting, range).rev().filter_map(|guard| match guard.into_inner() {
            Ok((key, value)) => Some(Ok((record::last_number(&key)?, Entry::read(&value)?))),
            Err(error) => Some(Err(error)),
        })
    }

    /// Retries from that place on, soonest first: when due, and which sequence.
    pub fn retries(&self, subscription: &str, from: (u64, u64)) -> impl Iterator<Item = fjall::Result<(u64, u64)>> {
        let range = retry_key(subscription, from.0, from.1)..=retry_key(subscription, u64::MAX, u64::MAX);
        self.snapshot.range(self.waiting, range).filter_map(|guard| match guard.key() {
            Ok(key) => {
                let (rest, sequence) = key.split_last_chunk::<8>()?;
                Some(Ok((record::last_number(rest)?, u64::from_be_bytes(*sequence))))
            }
            Err(error) => Some(Err(error)),
        })
    }

    /// The oldest unfinished sequence of that order.
    pub fn head(&self, subscription: &str, order: u64) -> fjall::Result<Option<u64>> {
        let range = order_key(subscription, order, 0)..=order_key(subscription, order, u64::MAX);
        let first = self.snapshot.range(self.waiting, range).next();
        Ok(first.map(fjall::Guard::key).transpose()?.and_then(|key| record::last_number(&key)))
    }
}

/// Removes what a crash left of order keys that were being built.
pub fn clear_order(db: &fjall::Database, waiting: &Keyspace, subscription: &str) -> fjall::Result<()> {
    let mut batch = db.batch();
    for guard in waiting.prefix(record::named(ORDER, subscription)) {
        batch.remove(waiting, guard.key()?);
    }
    batch.commit()
}
