//! Retention: days that are over are dropped as a whole, after what still waits for its handler has moved to the kept day.
//!
//! In small steps, each a batch of its own between the pushes. While a day is being emptied nothing new is enqueued of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fjall::{Keyspace, Readable};

use super::days::{self, Day, KEPT, index};
use super::passing::Passing;
use super::record;
use super::waiting::{self, Entry};
use super::writer::{Group, Hindrance, Job, Writer};
use super::{FjallLog, Store, aside, damaged, is_damage, meta, survived, unread};
use crate::clock::Timestamp;
use crate::fanout::delivery::{DeliveryId, Status};
use crate::inbox::log::Expunged;
use crate::inbox::{Event, LogError};

/// Waiting deliveries looked at, and kept events looked at, in one step.
const STRIDE: usize = 512;

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    /// Closes a day and moves what still waits of it, from that key of `waiting` on.
    Move {
        /// The day.
        label: u32,
        /// Where to go on.
        from: Vec<u8>,
    },
    /// The same where some of `waiting` cannot be read: of each event of the day from that sequence on it is asked who waits for it.
    Ask {
        /// The day.
        label: u32,
        /// Where to go on.
        from: u64,
    },
    /// Moves the unfinished deliveries of a day, from that one on: those of events of other days, too.
    Unfinished {
        /// The day.
        label: u32,
        /// Where to go on.
        from: Vec<u8>,
    },
    /// Lets a day be that cannot be emptied: what of it can be read is tried and sent again as before.
    Reopen {
        /// The day.
        label: u32,
    },
    /// Takes the dead letters of a day out of their index, from that one on.
    Bury {
        /// The day.
        label: u32,
        /// Where to go on.
        from: Vec<u8>,
    },
    /// Removes what replays delivered of a day's events, from that key of its index on.
    Replayed {
        /// The day.
        label: u32,
        /// Where to go on.
        from: Vec<u8>,
    },
    /// Drops a day.
    Drop {
        /// The day.
        label: u32,
    },
    /// Removes kept events for which nobody waits any more, from that sequence on.
    Sweep {
        /// Where to go on.
        from: u64,
    },
    /// Drops dedupe keys that are old enough.
    Marks {
        /// The present moment.
        now: Timestamp,
    },
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Progress {
    /// Events moved, or removed.
    pub events: u64,
    /// Deliveries removed.
    pub deliveries: u64,
    /// What could not be read.
    pub damaged: u64,
    /// Events that are kept because nobody can say whether they are awaited.
    pub doubted: u64,
    /// The same step again, from there on.
    pub next: Option<Step>,
}

impl FjallLog {
    pub(super) async fn expunge_before(&self, before: Timestamp) -> Result<Expunged, LogError> {
        let today = days::label(self.store.clock.believed());
        let mut expunged = Expunged::default();
        for day in self.store.days.all().iter() {
            // Today's stays whatever `before` says: pushes are being written into it.
            if day.label == KEPT || day.label >= today || days::end(day.label) > before {
                continue;
            }
            let moved = match self.carry_out(Step::Move { label: day.label, from: vec![waiting::WAITING] }).await {
                Err(LogError::Unread(error)) => {
                    tracing::error!(day = days::end(day.label).to_string(), error, "a day that is over is kept until it can be read");
                    self.carry_out(Step::Reopen { label: day.label }).await?;
                    // Some disks never read it again: later days go all the same, and what waits of them is found behind this one.
                    continue;
                }
                moved => moved?,
            };
            if moved.damaged > 0 {
                // What a person may still save is not thrown away; it is looked at again each time.
                tracing::error!(
                    day = days::end(day.label).to_string(),
                    damaged = moved.damaged,
                    "a day that is over is kept: something of it that waits for its handler cannot be read"
                );
                self.carry_out(Step::Reopen { label: day.label }).await?;
                continue;
            }
            if moved.doubted > 0 {
                tracing::error!(
                    day = days::end(day.label).to_string(),
                    events = moved.doubted,
                    "damage: nobody can say which events of a day that is over are awaited; those that may be are kept, and the day goes"
                );
            }
            let replayed = self.carry_out(Step::Replayed { label: day.label, from: vec![index::REPLAYED] }).await?;
            let counted = day.clone();
            let (events, deliveries) = aside(&self.store, move |store| {
                let events = store.db.snapshot().iter(&counted.events).count();
                // Only told: what cannot be read must not keep everything that is as old and older.
                let deliveries = store.finished_in(&counted).unwrap_or_else(|error| {
                    tracing::warn!(day = counted.label, %error, "deliveries of a day that is removed could not be counted");
                    0
                });
                Ok((u64::try_from(events).unwrap_or(u64::MAX), deliveries))
            })
            .await?;
            self.carry_out(Step::Bury { label: day.label, from: Vec::new() }).await?;
            // The newest sequence must be remembered before the event that carries it goes.
            self.continue_after(0).await?;
            self.carry_out(Step::Drop { label: day.label }).await?;
            expunged.events += events.saturating_sub(moved.events);
            expunged.deliveries += deliveries + replayed.deliveries;
        }
        let swept = self.carry_out(Step::Sweep { from: 0 }).await?;
        expunged.events += swept.events;
        expunged.deliveries += swept.deliveries;
        if swept.doubted > 0 {
            tracing::error!(
                events = swept.doubted,
                "damage: events are kept beyond their time, because nobody can say whether they are awaited"
            );
        }
        self.carry_out(Step::Marks { now: self.store.clock.believed() }).await?;
        self.expunge_rejected().await?;
        self.expunge_replays(before).await?;
        if expunged.events > 0 {
            self.let_go().await?;
        }
        self.tidy_all().await;
        Ok(expunged)
    }

    /// Lets the journals go that still hold what was dropped: a journal is deleted once every keyspace in it has written its memory out.
    async fn let_go(&self) -> Result<(), LogError> {
        let (keyspaces, _) = self.committer.ask(Job::Everything).await?;
        aside(&self.store, move |_| keyspaces.iter().try_for_each(|(_, keyspace)| keyspace.rotate_memtable().map(drop).map_err(damaged)))
            .await
    }

    async fn carry_out(&self, step: Step) -> Result<Progress, LogError> {
        let (mut done, mut next) = (Progress::default(), Some(step));
        while let Some(step) = next {
            let progress = self.committer.ask(|answer| Job::Retention(step, answer)).await??;
            done.events += progress.events;
            done.deliveries += progress.deliveries;
            done.damaged += progress.damaged;
            done.doubted += progress.doubted;
            next = progress.next;
        }
        Ok(done)
    }
}

impl Store {
    /// Whether any subscription waits for that event.
    fn is_awaited(&self, sequence: u64) -> fjall::Result<bool> {
        for subscription in self.lines.names() {
            if self.waiting.contains_key(waiting::waiting_key(&subscription, sequence))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Carries out one step in a batch of its own.
pub fn carry_out(writer: &mut Writer, group: &mut Group, step: Step) -> Result<Progress, Hindrance> {
    match step {
        Step::Move { label, from } => {
            writer.emptying.insert(label);
            writer.store.closed.fetch_max(label, Ordering::AcqRel);
            note_end(&writer.store, group, label);
            Ok(move_waiting(&writer.store, group, label, from)?)
        }
        Step::Ask { label, from } => Ok(move_awaited(&writer.store, group, label, from)?),
        Step::Unfinished { label, from } => Ok(move_unfinished(&writer.store, group, label, &from)?),
        Step::Reopen { label } => {
            writer.emptying.remove(&label);
            Ok(Progress::default())
        }
        Step::Bury { label, from } => Ok(bury(&writer.store, group, label, from)?),
        Step::Replayed { label, from } => Ok(remove_replayed(&writer.store, group, label, from)?),
        Step::Drop { label } => {
            let done = drop_day(&writer.store, group, label).map_err(Hindrance::Store)?;
            writer.emptying.remove(&label);
            Ok(done)
        }
        Step::Sweep { from } => Ok(sweep(&writer.store, group, from)?),
        Step::Marks { now } => {
            writer.seen.expunge(now, writer.store.days.oldest().unwrap_or(u32::MAX)).map_err(Hindrance::Store)?;
            Ok(Progress::default())
        }
    }
}

/// The day before this one had to stay: where it ends is known for certain only while this one is there.
fn note_end(store: &Store, group: &mut Group, label: u32) {
    let all = store.days.all();
    let Some((before, day)) = all.iter().zip(all.iter().skip(1)).find(|(_, day)| day.label == label) else { return };
    if let Some(end) = before.note_end(day.first) {
        group.batch.insert(&store.meta, meta::day_end(before.label), end.to_be_bytes());
    }
}

/// Keys of an event in a day's index, without those of replayed deliveries.
fn index_keys(event: &Event) -> Vec<Vec<u8>> {
    let mut keys = vec![
        [&[index::ID], event.id.0.as_bytes().as_slice()].concat(),
        record::numbered(index::COMPONENT, &event.component, event.sequence),
        record::numbered(index::KIND, event.kind.as_str(), event.sequence),
    ];
    keys.extend(event.authorizer.iter().map(|authorizer| record::numbered(index::AUTHORIZER, authorizer, event.sequence)));
    keys
}

fn replayed_keys(day: &Keyspace, sequence: u64) -> fjall::Result<Vec<Vec<u8>>> {
    let prefix = [&[index::REPLAYED], sequence.to_be_bytes().as_slice()].concat();
    day.prefix(prefix).map(|guard| guard.key().map(|key| key.to_vec())).collect()
}

/// The kept day, that day, and where it ends.
fn kept_and(store: &Store, label: u32) -> Option<(Arc<Day>, Arc<Day>, u64)> {
    let all = store.days.all();
    let at = all.iter().position(|day| day.label == label)?;
    let (kept, day) = (all.first()?.clone(), all.get(at)?.clone());
    let newest = *store.newest.borrow();
    // The last of all numbers where nobody knows: there is an end to those that were given.
    let end = day.end(all.get(at + 1).map_or(u64::MAX, |next| next.first), newest).min(newest.saturating_add(1));
    Some((kept, day, end))
}

fn move_waiting(store: &Store, group: &mut Group, label: u32, from: Vec<u8>) -> fjall::Result<Progress> {
    let mut progress = Progress::default();
    let Some((kept, day, end)) = kept_and(store, label) else { return Ok(progress) };
    let (kept, day) = (&*kept, &*day);
    let mut moved = std::collections::HashSet::new();
    for (looked_at, guard) in store.db.snapshot().range(&store.waiting, from..vec![waiting::WAITING + 1]).enumerate() {
        let Some((key, value)) = survived(guard.into_inner(), "what waits for handlers")? else {
            // Nobody can say what stands behind that, for whichever subscription; what waits for others must not be lost with it.
            progress.next = Some(Step::Ask { label, from: day.first });
            break;
        };
        if looked_at >= STRIDE {
            progress.next = Some(Step::Move { label, from: key.to_vec() });
            break;
        }
        let Some((sequence, entry)) = record::last_number(&key).zip(Entry::read(&value)) else { continue };
        let id = entry.id;
        if survived(move_delivery(group, kept, day, id), format_args!("delivery {id}"))?.is_none() {
            progress.damaged += 1;
        }
        if !(day.first..end).contains(&sequence) || !moved.insert(sequence) {
            continue;
        }
        match survived(move_event(group, kept, day, sequence), format_args!("event number {sequence}"))? {
            Some(events) => progress.events += events,
            None => progress.damaged += 1,
        }
    }
    Ok(progress)
}

/// A damaged block holds what waits of some events, and the table's filter says of nearly all others that they are not in it. So little is in doubt, and
/// that is kept: else one such block would keep every day.
fn move_awaited(store: &Store, group: &mut Group, label: u32, from: u64) -> fjall::Result<Progress> {
    let mut progress = Progress::default();
    let Some((kept, day, end)) = kept_and(store, label) else { return Ok(progress) };
    let (names, snapshot) = (store.lines.names(), store.db.snapshot());
    for (looked_at, (sequence, _)) in Passing::over(&snapshot, &day, from, end).enumerate() {
        if looked_at >= STRIDE {
            progress.next = Some(Step::Ask { label, from: sequence });
            return Ok(progress);
        }
        let (mut awaited, mut doubted) = (false, false);
        for name in &names {
            match store.entry(name, sequence) {
                Ok(None) => {}
                Ok(Some(Entry { id, .. })) => {
                    awaited = true;
                    if survived(move_delivery(group, &kept, &day, id), format_args!("delivery {id}"))?.is_none() {
                        progress.damaged += 1;
                    }
                }
                Err(error) if is_damage(&error) => doubted = true,
                Err(error) => return Err(error),
            }
        }
        if !awaited && !doubted {
            continue;
        }
        progress.doubted += u64::from(!awaited);
        match survived(move_event(group, &kept, &day, sequence), format_args!("event number {sequence}"))? {
            Some(events) => progress.events += events,
            None => progress.damaged += 1,
        }
    }
    progress.next = Some(Step::Unfinished { label, from: Vec::new() });
    Ok(progress)
}

fn move_unfinished(store: &Store, group: &mut Group, label: u32, from: &[u8]) -> fjall::Result<Progress> {
    let mut progress = Progress::default();
    let Some((kept, day, _)) = kept_and(store, label) else { return Ok(progress) };
    for (looked_at, guard) in store.db.snapshot().range(&day.deliveries, from..).enumerate() {
        let Some((key, value)) = survived(guard.into_inner(), "which deliveries of a day are unfinished")? else {
            progress.damaged += 1;
            break;
        };
        if looked_at >= STRIDE {
            progress.next = Some(Step::Unfinished { label, from: key.to_vec() });
            break;
        }
        let Ok(id) = uuid::Uuid::from_slice(&key).map(DeliveryId) else { continue };
        if record::read_delivery(id, &value).is_some_and(|stored| stored.delivery.status == Status::Pending) {
            move_delivery(group, &kept, &day, id)?;
        }
    }
    Ok(progress)
}

/// From one batch on it is there and no longer here, so that what becomes of it is written there.
fn move_delivery(group: &mut Group, kept: &Day, day: &Day, id: DeliveryId) -> fjall::Result<()> {
    if let Some(delivery) = day.deliveries.get(id.0.as_bytes())? {
        group.batch.insert(&kept.deliveries, *id.0.as_bytes(), delivery);
        group.batch.remove(&day.deliveries, *id.0.as_bytes());
    }
    Ok(())
}

/// Returns how many events are kept more than before: two subscriptions may wait for one, and meet it in different steps.
fn move_event(group: &mut Group, kept: &Day, day: &Day, sequence: u64) -> fjall::Result<u64> {
    let Some(value) = day.event(sequence)? else { return Ok(0) };
    let Some((event, _)) = record::read_event(sequence, &value) else { return Err(unread("an event")) };
    for key in index_keys(&event) {
        // The id and the lists of its day go with the day; what stands beside its authorizer goes with it.
        let value = match key.first() {
            Some(&index::ID) => Some(sequence.to_be_bytes().to_vec()),
            Some(&index::AUTHORIZER) => day.index.get(&key)?.map(|note| note.to_vec()),
            _ => Some(record::NOTHING.to_vec()),
        };
        if let Some(value) = value {
            group.batch.insert(&kept.index, key, value);
        }
    }
    for key in replayed_keys(&day.index, sequence)? {
        group.batch.insert(&kept.index, key, record::NOTHING);
    }
    let is_new = kept.event(sequence)?.is_none();
    group.batch.insert(&kept.events, sequence.to_be_bytes(), &*value);
    Ok(u64::from(is_new))
}

fn bury(store: &Store, group: &mut Group, label: u32, from: Vec<u8>) -> fjall::Result<Progress> {
    let mut progress = Progress::default();
    let Some(day) = store.days.all().iter().find(|day| day.label == label).cloned() else { return Ok(progress) };
    for (looked_at, guard) in store.db.snapshot().range(&store.dead, from..).enumerate() {
        let Some((key, value)) = survived(guard.into_inner(), "the index of dead letters")? else { break };
        if looked_at >= STRIDE {
            progress.next = Some(Step::Bury { label, from: key.to_vec() });
            break;
        }
        let Ok(id) = uuid::Uuid::from_slice(&key).map(DeliveryId) else { continue };
        if days::label(record::created(id)) > label {
            // Ids are in order of time: the rest is younger than the day.
            break;
        }
        if survived(day.deliveries.contains_key(&key), format_args!("delivery {id}"))?.unwrap_or_default()
            && let Some((_, subscription)) = record::read_dead(&value)
        {
            group.count(subscription, 0, -1);
            group.batch.remove(&store.dead, key);
        }
    }
    Ok(progress)
}

fn drop_day(store: &Store, group: &mut Group, label: u32) -> fjall::Result<Progress> {
    if let Some(day) = store.days.remove(label) {
        // The events last: their keyspace is what makes a day be found. If the process ends in between, the rest is dropped the next time.
        for part in [&day.index, &day.deliveries, &day.events] {
            store.db.delete_keyspace(Keyspace::clone(part))?;
        }
        group.batch.remove(&store.meta, meta::day_end(label));
    }
    Ok(Progress::default())
}

fn sweep(store: &Store, group: &mut Group, from: u64) -> fjall::Result<Progress> {
    let mut progress = Progress::default();
    let Some(kept) = store.days.kept() else { return Ok(progress) };
    for (looked_at, guard) in store.db.snapshot().range(&kept.events, from.to_be_bytes()..).enumerate() {
        let Some((key, value)) = survived(guard.into_inner(), "events that were kept beyond their time")? else { break };
        let Some(sequence) = record::last_number(&key) else { continue };
        if looked_at >= STRIDE {
            progress.next = Some(Step::Sweep { from: sequence });
            break;
        }
        match store.is_awaited(sequence) {
            Ok(false) => {}
            Ok(true) => continue,
            Err(error) if is_damage(&error) => {
                progress.doubted += 1;
                continue;
            }
            Err(error) => return Err(error),
        }
        let Some((event, _)) = record::read_event(sequence, &record::shared(value)) else { continue };
        // What is forgotten in part is forgotten wholly the next time.
        if let Some(deliveries) = survived(forget(store, group, &kept, &event), format_args!("what belongs to {}", event.id))? {
            progress.events += 1;
            progress.deliveries += deliveries;
        }
    }
    Ok(progress)
}

/// Removes a kept event with all that belongs to it; returns how many deliveries that were.
fn forget(store: &Store, group: &mut Group, kept: &Day, event: &Event) -> fjall::Result<u64> {
    let names = store.lines.names();
    let mut ids: Vec<DeliveryId> = names.iter().flat_map(|subscription| record::first_deliveries(event, subscription)).collect();
    for key in replayed_keys(&kept.index, event.sequence)? {
        ids.extend(key.last_chunk().map(|id| DeliveryId(uuid::Uuid::from_bytes(*id))));
        group.batch.remove(&kept.index, key);
    }
    let mut removed = 0;
    for id in ids {
        removed += u64::from(remove_finished(store, group, id)?);
    }
    for key in index_keys(event) {
        group.batch.remove(&kept.index, key);
    }
    group.batch.remove(&kept.events, event.sequence.to_be_bytes());
    Ok(removed)
}

/// Removes a finished delivery, wherever it is; `false` when there is none.
fn remove_finished(store: &Store, group: &mut Group, id: DeliveryId) -> fjall::Result<bool> {
    let Some((day, stored)) = store.days.delivery(id)?.filter(|(_, stored)| stored.delivery.status != Status::Pending) else {
        return Ok(false);
    };
    if stored.delivery.status == Status::Dead {
        group.count(&stored.delivery.subscription, 0, -1);
        group.batch.remove(&store.dead, *id.0.as_bytes());
    }
    group.batch.remove(&day.deliveries, *id.0.as_bytes());
    Ok(true)
}

/// Removes what replays delivered of a day's events on later days.
fn remove_replayed(store: &Store, group: &mut Group, label: u32, from: Vec<u8>) -> fjall::Result<Progress> {
    let mut progress = Progress::default();
    let Some(day) = store.days.all().iter().find(|day| day.label == label).cloned() else { return Ok(progress) };
    for (looked_at, guard) in store.db.snapshot().range(&day.index, from..vec![index::REPLAYED + 1]).enumerate() {
        let Some(key) = survived(guard.key(), "the index of what replays delivered")? else { break };
        if looked_at >= STRIDE {
            progress.next = Some(Step::Replayed { label, from: key.to_vec() });
            break;
        }
        if let Some(id) = key.last_chunk().map(|id| DeliveryId(uuid::Uuid::from_bytes(*id))) {
            let removed = survived(remove_finished(store, group, id), format_args!("delivery {id}"))?;
            progress.deliveries += u64::from(removed.unwrap_or_default());
        }
    }
    Ok(progress)
}
