//! The outbox: claims from memory and disk, everything that changes through the committing thread.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::lines::{Wish, lock};
use super::record::{self, StoredDelivery};
use super::turns;
use super::waiting::{Entry, View};
use super::writer::Job;
use super::{FjallLog, Store, damaged, meta};
use crate::clock::Timestamp;
use crate::fanout::Outbox;
use crate::fanout::delivery::{
    Claimed, Deferred, Delivery, DeliveryFilter, DeliveryId, Depth, Ended, Known, Lane, Settlement, Wanted, tries_counted,
};
use crate::fanout::follower::Bookmarks;
use crate::inbox::{EventFilter, EventId, LogError, Page, Position};

/// Events enqueued in one batch: pushes wait no longer for it.
const ENQUEUED: usize = 128;
/// Waiting deliveries looked at for the oldest: more than one replay has enqueued ahead of its handler.
const LOOKED_AT_FOR_AGE: usize = 4096;
/// Waiting deliveries looked at for what is deferred; as many as a playbook may have waiting for people.
const LOOKED_AT: usize = 65_536;
/// Names of our own subscribers begin so; only they are given what travels sealed.
const OURS: &str = "yizhan-";

#[async_trait::async_trait]
impl Outbox for FjallLog {
    async fn claim(
        &self,
        subscription: &str,
        lane: Lane,
        now: Timestamp,
        lease: Duration,
        limit: usize,
        ordered: bool,
    ) -> Result<Vec<Claimed>, LogError> {
        let Some(line) = self.store.lines.named(subscription) else { return Ok(Vec::new()) };
        if ordered && !lock(&line).ordered_whole {
            self.put_in_order(subscription).await?;
        }
        let wish = Wish { subscription, now, passed: self.store.clock.passed(), lease, limit, ordered };
        let taken = {
            let mut line = lock(&line);
            // Taken under the lock, so that no commit is both missed here and told to the line before.
            let snapshot = self.store.db.snapshot();
            let view = View { snapshot: &snapshot, waiting: &self.store.waiting };
            line.claim(&view, lane, &wish).map_err(damaged)?
        };
        let mut claimed = Vec::with_capacity(taken.len());
        for (sequence, entry) in taken {
            let id = entry.id;
            match self.load(subscription, sequence, &entry) {
                Ok(Some(one)) => claimed.push(one),
                Ok(None) => {
                    tracing::warn!(subscription, delivery = %id, "a waiting delivery has no event any more and is cancelled");
                    // Where there is no room for that now, it is found again when its claim runs out; the others are handed out all the same.
                    let (answer, _) = oneshot::channel();
                    if let Err(error) = self.committer.put(Job::Forget { subscription: subscription.to_owned(), sequence, id, answer }) {
                        tracing::warn!(subscription, delivery = %id, %error, "it is not cancelled yet");
                    }
                }
                Err(LogError::Damaged(error)) => {
                    // It would hold back the others of its authorizer for ever. As a dead letter it is seen, and tried again once a backup is back.
                    tracing::error!(subscription, delivery.id = %id, error, "damage: a waiting delivery cannot be read, and is a dead letter now");
                    let name = subscription.to_owned();
                    let spoilt = self.committer.ask(|answer| Job::Spoilt { subscription: name, sequence, id, now, answer }).await?;
                    match spoilt {
                        // Nobody tries it, so nobody else counts it.
                        Ok(()) => tries_counted(subscription, "dead").increment(1),
                        Err(error) => {
                            tracing::error!(delivery.id = %id, %error, "it is not one yet: that is tried again when its claim runs out")
                        }
                    }
                }
                Err(error @ LogError::Unread(_)) => {
                    // What may pass costs nobody a delivery: the claim runs out, and it is tried again.
                    tracing::error!(subscription, delivery.id = %id, %error, "a waiting delivery is not handed out");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(claimed)
    }

    async fn settle_all(&self, ended: Arc<[Ended]>) -> Result<(), LogError> {
        let is_released = |one: &&Ended| one.settlement == Settlement::Released;
        // Claims live in memory, so there is nothing to write.
        for Ended { delivery, .. } in ended.iter().filter(is_released) {
            if let Some(line) = self.store.lines.named(&delivery.subscription) {
                lock(&line).release(delivery.event_sequence, delivery.id);
            }
        }
        if ended.iter().all(|one| is_released(&one)) {
            return Ok(());
        }
        self.committer.ask(|answer| Job::Settle { ended, from: 0, answer }).await
    }

    async fn enqueue(
        &self,
        events: &[EventId],
        subscription: &str,
        replay: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryId>, LogError> {
        let mut ids = Vec::with_capacity(events.len());
        for some in events.chunks(ENQUEUED) {
            let (events, subscription, replay) = (some.to_vec(), subscription.to_owned(), replay.map(str::to_owned));
            ids.extend(self.committer.ask(|answer| Job::Enqueue { events, subscription, replay, now, answer }).await??);
        }
        Ok(ids)
    }

    async fn next_due(&self, subscription: &str) -> Result<Option<Timestamp>, LogError> {
        let Some(line) = self.store.lines.named(subscription) else { return Ok(None) };
        let mut line = lock(&line);
        if line.pending == 0 {
            return Ok(None);
        }
        let snapshot = self.store.db.snapshot();
        let view = View { snapshot: &snapshot, waiting: &self.store.waiting };
        Ok(line.next_due(&view, subscription, self.store.clock.look()).map_err(damaged)?.map(record::moment))
    }

    async fn depth(&self, subscription: &str) -> Result<Depth, LogError> {
        let Some(line) = self.store.lines.named(subscription) else { return Ok(Depth::default()) };
        let line = lock(&line);
        Ok(Depth { pending: line.pending, dead: line.dead })
    }

    async fn oldest(&self, subscription: &str) -> Result<Option<Timestamp>, LogError> {
        let Some(line) = self.store.lines.named(subscription) else { return Ok(None) };
        let (pending, first) = {
            let mut line = lock(&line);
            if line.pending == 0 {
                return Ok(None);
            }
            let snapshot = self.store.db.snapshot();
            let view = View { snapshot: &snapshot, waiting: &self.store.waiting };
            (line.pending, line.oldest(&view, subscription).map_err(damaged)?)
        };
        let first = first.map(|(sequence, entry)| (sequence, record::created(entry.id)));
        let Some((sequence, created)) = first.filter(|_| pending > 1) else {
            return Ok(first.map(|(_, created)| created));
        };
        // What a replay put there is younger than what came by itself of later events.
        let subscription = subscription.to_owned();
        let oldest = turns::aside(&self.store, move |store| {
            let snapshot = store.db.snapshot();
            let view = View { snapshot: &snapshot, waiting: &store.waiting };
            view.entries(&subscription, sequence).take(LOOKED_AT_FOR_AGE).try_fold(created, |oldest, entry| {
                let (_, entry) = entry.map_err(damaged)?;
                Ok(oldest.min(record::created(entry.id)))
            })
        });
        oldest.await.map(Some)
    }

    async fn deferred(&self, subscription: &str, now: Timestamp) -> Result<Deferred, LogError> {
        let Some(line) = self.store.lines.named(subscription) else { return Ok(Deferred::default()) };
        if lock(&line).pending == 0 {
            return Ok(Deferred::default());
        }
        let (subscription, now) = (subscription.to_owned(), record::nanoseconds(now));
        turns::aside(&self.store, move |store| {
            let snapshot = store.db.snapshot();
            let view = View { snapshot: &snapshot, waiting: &store.waiting };
            let mut found = Deferred::default();
            for entry in view.entries(&subscription, 0).take(LOOKED_AT) {
                let (_, entry) = entry.map_err(damaged)?;
                match (entry.deferred, entry.due > now) {
                    (true, true) => found.count += 1,
                    // Its time has come: it is late only since then.
                    (true, false) => found.oldest_other_at = earlier(found.oldest_other_at, record::moment(entry.due)),
                    (false, _) => found.oldest_other_at = earlier(found.oldest_other_at, record::created(entry.id)),
                }
            }
            Ok(found)
        })
        .await
    }

    async fn retry(&self, id: DeliveryId, now: Timestamp) -> Result<Option<Delivery>, LogError> {
        self.committer.ask(|answer| Job::Retry(id, now, answer)).await?
    }

    async fn names(&self) -> Result<Vec<Known>, LogError> {
        let known = |subscription: String| {
            let state = lock(&self.store.lines.made(&subscription)).state();
            Known { subscription, pending: state.pending, retired_at: state.retired_at }
        };
        Ok(self.store.lines.names().into_iter().map(known).collect())
    }

    async fn retire(&self, subscription: &str, now: Timestamp) -> Result<(), LogError> {
        let subscription = subscription.to_owned();
        self.committer.ask(|answer| Job::Retire { subscription, at: Some(now), answer }).await
    }

    async fn reinstate(&self, subscription: &str) -> Result<(), LogError> {
        if !self.store.lines.is_retired(subscription) {
            return Ok(());
        }
        match self.cancel_all(subscription).await {
            Err(LogError::Damaged(error)) => {
                tracing::error!(
                    subscription,
                    error,
                    "damage: what waited for a deleted subscription cannot be cancelled; what of it can be read goes to the one that has its name now"
                );
            }
            done => drop(done?),
        }
        let subscription = subscription.to_owned();
        self.committer.ask(|answer| Job::Retire { subscription, at: None, answer }).await
    }

    async fn withdraw(&self, delivery: &Delivery) -> Result<(), LogError> {
        let Delivery { id, event_sequence: sequence, .. } = *delivery;
        let subscription = delivery.subscription.clone();
        self.committer.ask(|answer| Job::Forget { subscription, sequence, id, answer }).await?
    }

    async fn cancel_all(&self, subscription: &str) -> Result<u64, LogError> {
        let (mut cancelled, mut next) = (0, Some(0));
        while let Some(from) = next {
            let subscription = subscription.to_owned();
            let (some, rest) = self.committer.ask(|answer| Job::Cancel { subscription, from, answer }).await??;
            cancelled += some;
            next = rest;
        }
        Ok(cancelled)
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, LogError> {
        Ok(self.store.delivery(id)?.map(|stored| stored.delivery))
    }

    async fn count_events(&self, filter: &EventFilter, wanted: Wanted) -> Result<u64, LogError> {
        let filter = filter.clone();
        turns::count(&self.store, move |store, awaited| store.wanted(&filter, &wanted, awaited)).await
    }

    async fn deliveries(&self, filter: &DeliveryFilter, after: Option<&Position>, limit: usize) -> Result<Page<Delivery>, LogError> {
        let (filter, after) = (filter.clone(), after.cloned());
        let is_of_one_event = filter.event.is_some();
        let read = move |store: &Store| store.delivery_page(&filter, after.as_ref(), limit);
        if is_of_one_event { turns::aside(&self.store, read).await } else { turns::search(&self.store, read).await }
    }
}

#[async_trait::async_trait]
impl Bookmarks for FjallLog {
    async fn bookmark(&self, follower: &str) -> Result<Option<u64>, LogError> {
        let found = self.store.meta.get(record::named(meta::BOOKMARK, follower)).map_err(damaged)?;
        Ok(found.and_then(|value| record::last_number(&value)))
    }

    async fn keep_bookmark(&self, follower: &str, sequence: u64) -> Result<(), LogError> {
        let put = (self.store.meta.clone(), record::named(meta::BOOKMARK, follower), Some(Bytes::copy_from_slice(&sequence.to_be_bytes())));
        self.committer.ask(|answer| Job::Put(vec![put], answer)).await
    }
}

fn earlier(one: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(one.map_or(other, |one| one.min(other)))
}

impl FjallLog {
    /// Builds the order keys of a subscription that is claimed in order for the first time.
    async fn put_in_order(&self, subscription: &str) -> Result<(), LogError> {
        let mut next = Some(0);
        while let Some(from) = next {
            let subscription = subscription.to_owned();
            next = self.committer.ask(|answer| Job::Order { subscription, from, answer }).await??;
        }
        Ok(())
    }

    fn load(&self, subscription: &str, sequence: u64, entry: &Entry) -> Result<Option<Claimed>, LogError> {
        let Some((event, sealed)) = self.store.event(sequence)? else { return Ok(None) };
        let stored = match entry.recorded {
            true => self.store.days.delivery(entry.id).map_err(damaged)?.map(|(_, stored)| stored),
            false => Some(StoredDelivery::fresh(entry.id, &event, subscription, None, event.received_at)),
        };
        let Some(delivery) = stored.map(StoredDelivery::for_worker) else { return Ok(None) };
        let sealed = match sealed.is_empty() || !delivery.subscription.starts_with(OURS) {
            true => None,
            false => {
                // Without it the vault has nothing to exchange: what is handed over so would count as delivered, and the grant be lost.
                let named = |error| LogError::Damaged(format!("the sealed part of event {} cannot be opened: {error}", event.id));
                Some(self.store.unseal(event.id, &sealed).map_err(named)?)
            }
        };
        Ok(Some(Claimed { delivery, event, sealed }))
    }
}
