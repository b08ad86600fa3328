//! Keyspaces by day. A day holds events, their index keys and the deliveries made on it, each in a keyspace of its own, so that retention drops
//! three keyspaces instead of deleting a million keys. Sequences run through the days without going back: a day holds one unbroken range of them.
//!
//! The first of all days is *kept*: what retention found still waiting for its handler moves there.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, Readable, Snapshot};

use super::record::{self, StoredDelivery};
use super::{is_damage, meta, past, postings, survived};
use crate::clock::Timestamp;
use crate::fanout::delivery::DeliveryId;
use crate::inbox::EventId;

/// Label of the day that holds what outlived its own.
pub const KEPT: u32 = 0;
const SECONDS: i64 = 86_400;

/// Prefixes of a day's index keyspace. Each key ends in the event's sequence unless it says otherwise.
pub mod index {
    /// `id` → sequence, of the ids that marks do not tell (`seen.rs`): those of kept events, those that former versions gave.
    pub const ID: u8 = b'i';
    /// Authorizer's app id → the fact that a push told (`told.rs`), or nothing.
    pub const AUTHORIZER: u8 = b'a';
    /// Component → more sequences (`postings.rs`).
    pub const COMPONENT: u8 = b'c';
    /// Type → more sequences.
    pub const KIND: u8 = b't';
    /// `sequence ‖ delivery id`: deliveries that a replay made.
    pub const REPLAYED: u8 = b'd';
    /// Events received long before the newest one that was received before them.
    pub const LATE: u8 = b'l';
    /// `minute` → first sequence received in it or later.
    pub const MINUTE: u8 = b'm';
    /// `moment ‖ number` → a read of a token.
    pub const READ: u8 = b'u';
}

/// One day.
pub struct Day {
    /// Days since 1970 of the newest event in it; [`KEPT`] for the first.
    pub label: u32,
    /// Its first sequence.
    pub first: u64,
    /// `sequence` → event.
    pub events: Keyspace,
    /// See [`index`].
    pub index: Keyspace,
    /// `id` → delivery.
    pub deliveries: Keyspace,
    /// Behind its last event, as it was noted before the next day went; see [`Day::note_end`].
    noted: OnceLock<u64>,
    /// The same, once its last event was looked for; the last of all numbers where that is damaged.
    found: OnceLock<u64>,
}

/// The day of a moment.
pub fn label(at: Timestamp) -> u32 {
    u32::try_from(at.as_second().div_euclid(SECONDS)).unwrap_or_default().max(KEPT + 1)
}

/// The end of the day of that label: every event in it was received before.
pub fn end(label: u32) -> Timestamp {
    Timestamp::from_second((i64::from(label) + 1) * SECONDS).unwrap_or(Timestamp::MAX)
}

const MIB: u64 = 1024 * 1024;

fn kind(keyspace: &str) -> &str {
    keyspace.split('.').next().unwrap_or_default()
}

/// Bytes of a keyspace's writes that are held in memory before they go to a table. Small on purpose: all of them together are most of the memory that
/// the log takes (a third more than is counted here), and they must be replayed after a crash. Events come in order and are never merged, so that a
/// table is as large as what was held; of `meta` the same few keys are written again and again.
pub fn held_for_writing(keyspace: &str) -> u64 {
    match kind(keyspace) {
        "event" => 8 * MIB,
        "meta" => MIB,
        _ => 4 * MIB,
    }
}

/// How each kind of keyspace is laid out on the disk. The engine's limit of what is held is not to be reached: `memory` comes first.
pub fn options(keyspace: &str) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default().max_memtable_size(2 * held_for_writing(keyspace));
    let packed = CompressionPolicy::all(CompressionType::Lz4);
    // Where keys come in any order, new tables are merged with all that is there. Eight of them at a time halve how often; smaller ones bound how long
    // a merge takes, and what waits for it meanwhile stays in memory.
    let merged = Arc::new(Leveled::default().with_l0_threshold(8).with_table_target_size(16 * MIB));
    match kind(keyspace) {
        // Bodies of one vendor resemble each other: a block holds several. They are only asked for when they are there, and come in order, so that one
        // table at most can hold what is asked for: a filter would only be built, held and asked in vain.
        "event" => options
            .data_block_size_policy(BlockSizePolicy::all(8 * 1024))
            .data_block_compression_policy(packed)
            .filter_policy(FilterPolicy::disabled())
            .expect_point_read_hits(true),
        // Walked along, and next to never asked for one key.
        "index" => options.data_block_compression_policy(packed).filter_policy(FilterPolicy::disabled()).compaction_strategy(merged),
        "delivery" | "records" => options.data_block_compression_policy(packed).compaction_strategy(merged),
        _ => options.compaction_strategy(merged),
    }
}

/// Opens or makes a keyspace.
pub fn keyspace(db: &Database, name: &str) -> fjall::Result<Keyspace> {
    db.keyspace(name, || options(name))
}

/// All keyspaces of a log, by name.
pub fn keyspaces(db: &Database) -> fjall::Result<Vec<(String, Keyspace)>> {
    let mut names: Vec<String> = db.list_keyspace_names().iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names.into_iter().map(|name| keyspace(db, &name).map(|keyspace| (name, keyspace))).collect()
}

impl Day {
    /// Opens or makes the day of that label.
    pub fn open(db: &Database, label: u32, first: u64) -> fjall::Result<Arc<Self>> {
        let part = |kind: &str| keyspace(db, &format!("{kind}.{label}"));
        let (events, index, deliveries) = (part("event")?, part("index")?, part("delivery")?);
        Ok(Arc::new(Self { label, first, events, index, deliveries, noted: OnceLock::new(), found: OnceLock::new() }))
    }

    /// Behind its last event, or `next`, where the next day begins. They differ once a later day was dropped while this one had to stay: what waits of the
    /// other stands between them, in the kept day. `newest` is the newest sequence that is durable: up to the first one of the next day, some of this one
    /// may be under way.
    pub fn end(&self, next: u64, newest: u64) -> u64 {
        if self.label == KEPT || newest < next {
            return next;
        }
        // Whoever needs what cannot be read for now hears of it; others are not kept from the rest.
        self.behind().map_or(next, |end| next.min(end))
    }

    /// Behind its last event; the last of all numbers where that is damaged. `None`: it cannot be read for now.
    fn behind(&self) -> Option<u64> {
        if let Some(end) = self.noted.get().or(self.found.get()) {
            return Some(*end);
        }
        let last = self.events.last_key_value().map(fjall::Guard::key).transpose();
        let end = match survived(last, format_args!("the last event of day {}", self.label)) {
            Ok(Some(last)) => last.map_or(self.first, |key| record::last_number(&key).map_or(u64::MAX, |last| last.saturating_add(1))),
            Ok(None) => u64::MAX,
            Err(_) => return None,
        };
        Some(*self.found.get_or_init(|| end))
    }

    /// Notes where it ends while the next day, which begins with `next`, is still there to tell: its own last event may be damaged one day. What is to be
    /// written under [`meta::day_end`]; `None`: nothing, because it is noted, or cannot be read for now.
    pub fn note_end(&self, next: u64) -> Option<u64> {
        if self.label == KEPT || self.noted.get().is_some() {
            return None;
        }
        let end = self.behind()?.min(next);
        self.noted.set(end).ok().map(|()| end)
    }

    /// The event of that sequence as stored.
    pub fn event(&self, sequence: u64) -> fjall::Result<Option<Bytes>> {
        Ok(self.events.get(sequence.to_be_bytes())?.map(record::shared))
    }

    fn sequence_of(&self, id: EventId) -> fjall::Result<Option<u64>> {
        let mut key = [0; 17];
        if let Some((kind, rest)) = key.split_first_mut() {
            *kind = index::ID;
            rest.copy_from_slice(id.0.as_bytes());
        }
        Ok(self.index.get(key)?.and_then(|value| record::last_number(&value)))
    }
}

/// The minute of that moment, counted from 1970 as [`index::MINUTE`] has it.
pub fn minute(at: Timestamp) -> u64 {
    u64::try_from(at.as_second().div_euclid(60)).unwrap_or_default()
}

/// First sequence of a minute in that range, the first or the last of them.
pub fn checkpoint(snapshot: &Snapshot, day: &Keyspace, from: u64, below: u64, last: bool) -> fjall::Result<Option<u64>> {
    let key = |minute: u64| [&[index::MINUTE], minute.to_be_bytes().as_slice()].concat();
    let mut range = snapshot.range(day, key(from)..key(below));
    let found = if last { range.next_back() } else { range.next() };
    let value = found.map(fjall::Guard::value).transpose()?;
    Ok(value.and_then(|value| record::last_number(&value)))
}

/// The newest sequence of a day whose last event cannot be read, as the lists of components have it, in which each event is.
///
/// # Errors
/// That one, where something is missing of the lists too: nobody knows then which sequences were given.
fn newest_listed(db: &Database, label: u32, error: fjall::Error) -> fjall::Result<u64> {
    let index = keyspace(db, &format!("index.{label}"))?;
    let mut newest = None;
    let take = |key: &[u8], others: &[u8]| {
        newest = newest.max(postings::listed(key, others).next_back());
        Ok(())
    };
    let left_out = past::under(&db.snapshot(), &index, &[index::COMPONENT], take)?;
    let Some(newest) = newest.filter(|_| left_out == 0) else { return Err(error) };
    tracing::error!(
        %error,
        newest,
        "damage: the newest events of day {label} cannot be read; how many there were is known; `yizhan check --store` names all of it"
    );
    Ok(newest)
}

/// All days, oldest first; the kept one is always there.
pub struct Days(RwLock<Arc<Vec<Arc<Day>>>>);

impl Days {
    /// Opens every day of the store. Returns the newest sequence too, which is at least the one that is `remembered`.
    pub fn open(db: &Database, meta: &Keyspace, remembered: u64) -> fjall::Result<(Self, u64)> {
        let labels = |name: &str| name.strip_prefix("event.").and_then(|label| label.parse().ok());
        let mut labels: Vec<u32> = db.list_keyspace_names().iter().filter_map(|name| labels(name)).filter(|label| *label != KEPT).collect();
        labels.sort_unstable();
        let number =
            |guard: Option<fjall::Guard>| guard.map(fjall::Guard::key).transpose().map(|key| key.and_then(|key| record::last_number(&key)));
        // First of all: a day may begin with something that is no event, and where that one begins hangs on it. It must be known: no sequence may be
        // given twice.
        let mut newest = None;
        for label in labels.iter().rev() {
            newest = match number(keyspace(db, &format!("event.{label}"))?.last_key_value()) {
                Err(error) if is_damage(&error) => Some(newest_listed(db, *label, error)?),
                read => read?,
            };
            if newest.is_some() {
                break;
            }
        }
        let newest = newest.unwrap_or_default().max(remembered);
        let (mut days, mut next) = (Vec::new(), None);
        for label in labels.into_iter().rev() {
            let probe = keyspace(db, &format!("event.{label}"))?;
            let begins = match survived(number(probe.first_key_value()), format_args!("the first event of day {label}"))? {
                Some(first) => first,
                // The first event of a day has an entry of its minute, too.
                None => checkpoint(&db.snapshot(), &keyspace(db, &format!("index.{label}"))?, 0, u64::MAX, false)?,
            };
            // A day without events begins where the next one begins, so that no sequence is looked for in it.
            let first = begins.or(next).unwrap_or(newest + 1);
            next = Some(first);
            let day = Day::open(db, label, first)?;
            let noted = survived(meta.get(meta::day_end(label)), format_args!("where day {label} ends"))?.flatten();
            // A crash may have left the note of a former day of that label, which a clock that was set back has used again.
            if let Some(end) = noted.and_then(|value| record::last_number(&value)).filter(|end| *end > first) {
                day.noted.get_or_init(|| end);
            }
            days.push(day);
        }
        days.push(Day::open(db, KEPT, 0)?);
        days.reverse();
        Ok((Self(RwLock::new(Arc::new(days))), newest))
    }

    /// All of them as of now.
    pub fn all(&self) -> Arc<Vec<Arc<Day>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The end of the newest minute in which an event was received, where that event itself cannot tell.
    pub fn newest_minute(&self) -> fjall::Result<Timestamp> {
        for day in self.all().iter().rev() {
            let last = day.index.prefix([index::MINUTE]).next_back().map(fjall::Guard::key).transpose();
            let last = survived(last, format_args!("the last minute of day {}", day.label))?.flatten();
            if let Some(minute) = last.and_then(|key| record::last_number(&key)) {
                let second = i64::try_from(minute.saturating_add(1).saturating_mul(60)).unwrap_or(i64::MAX);
                return Ok(Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH));
            }
        }
        Ok(Timestamp::UNIX_EPOCH)
    }

    /// Label of the oldest, the kept one left out.
    pub fn oldest(&self) -> Option<u32> {
        self.all().iter().map(|day| day.label).find(|label| *label != KEPT)
    }

    /// Label of the newest behind which others went.
    pub fn newest_noted(&self) -> Option<u32> {
        self.all().iter().rev().find(|day| day.noted.get().is_some()).map(|day| day.label)
    }

    /// The newest, unless it is the kept one.
    pub fn current(&self) -> Option<Arc<Day>> {
        self.all().last().filter(|day| day.label != KEPT).cloned()
    }

    /// The kept one.
    pub fn kept(&self) -> Option<Arc<Day>> {
        self.all().first().cloned()
    }

    /// The day that holds that sequence, if it still exists.
    pub fn of(&self, sequence: u64) -> Option<Arc<Day>> {
        let all = self.all();
        let after = all.partition_point(|day| day.first <= sequence);
        after.checked_sub(1).and_then(|at| all.get(at)).cloned()
    }

    /// Appends a new day.
    pub fn push(&self, day: Arc<Day>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Vec::clone(&all);
        next.push(day);
        *all = Arc::new(next);
    }

    /// Takes a day out.
    pub fn remove(&self, label: u32) -> Option<Arc<Day>> {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Vec::clone(&all);
        let at = next.iter().position(|day| day.label == label)?;
        let day = next.remove(at);
        *all = Arc::new(next);
        Some(day)
    }

    /// The event of that sequence as stored. What moved to the kept day is found there.
    pub fn event(&self, sequence: u64) -> fjall::Result<Option<Bytes>> {
        let Some(day) = self.of(sequence) else { return Ok(None) };
        match day.event(sequence)? {
            None if day.label != KEPT => self.kept().map_or(Ok(None), |kept| kept.event(sequence)),
            found => Ok(found),
        }
    }

    /// Days in the order in which something of that moment is most likely found: its own and later ones, then older ones, newest first.
    fn likely(&self, milliseconds: u64) -> Vec<Arc<Day>> {
        let all = self.all();
        let label = i64::try_from(milliseconds / 1000).ok().and_then(|second| Timestamp::from_second(second).ok()).map_or(KEPT, label);
        let at = all.partition_point(|day| day.label < label);
        let (older, newer) = all.split_at(at);
        newer.iter().chain(older.iter().rev()).cloned().collect()
    }

    /// The sequence of an event whose id is in an index.
    pub fn indexed(&self, id: EventId) -> fjall::Result<Option<u64>> {
        for day in self.likely(record::milliseconds(id.0)) {
            if let Some(sequence) = day.sequence_of(id)? {
                return Ok(Some(sequence));
            }
        }
        Ok(None)
    }

    /// The day whose keyspaces hold what belongs to that event: the kept one, once it moved there, or its own. `None`: it is gone.
    pub fn home(&self, sequence: u64) -> fjall::Result<Option<Arc<Day>>> {
        for day in self.kept().into_iter().chain(self.of(sequence)) {
            if day.events.contains_key(sequence.to_be_bytes())? {
                return Ok(Some(day));
            }
        }
        Ok(None)
    }

    /// A delivery that is on record, with the day that holds it.
    pub fn delivery(&self, id: DeliveryId) -> fjall::Result<Option<(Arc<Day>, StoredDelivery)>> {
        for day in self.likely(record::milliseconds(id.0)) {
            if let Some(stored) = day.deliveries.get(id.0.as_bytes())?.and_then(|value| record::read_delivery(id, &value)) {
                return Ok(Some((day, stored)));
            }
        }
        Ok(None)
    }
}
