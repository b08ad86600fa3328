//! Records: JSON documents, each with a kind, a key and a version. What rollouts, runs and attributes are kept in.
//!
//! What providers write themselves lies sealed: variables, parameters and results may hold anything ([`SEALED`]).
//!
//! A group of [`Swap`]s is one transaction: all are written, durably, or none is, because one of them expected another version. The version of a
//! record counts its writes since it was made, from 1.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;
use std::sync::PoisonError;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::writer::{Group, Hindrance, Job};
use super::{FjallLog, Store, damaged, is_damage, malformed, meta, past};
use crate::attributes::Attributes;
use crate::inbox::LogError;
use crate::playbook::book::Stored;
use crate::playbook::run::Run;
use crate::reconcile::{LookState, Submission};
use crate::rollout::record::{Item, Rollout};
use crate::store::at_rest::AtRestError;
use crate::versions::Versions;

/// The keyspace of all of them.
pub const KEYSPACE: &str = "records";

/// Bytes of a key that the engine takes at most.
const LONGEST_KEY: usize = 65_535;

/// What a record is: the first byte of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A rollout.
    Rollout,
    /// One authorizer of a rollout.
    RolloutItem,
    /// A run of a playbook.
    Run,
    /// The versions that an authorizer has.
    Versions,
    /// Tags and variables of an authorizer.
    Attributes,
    /// Facts that were told of an authorizer: so that none is told twice.
    Fact,
    /// A submission whose end is awaited.
    Submission,
    /// When a component was last reconciled, and what that found.
    Look,
    /// A playbook made by API.
    Playbook,
}

/// All of them.
const KINDS: [Kind; 9] = [
    Kind::Rollout,
    Kind::RolloutItem,
    Kind::Run,
    Kind::Versions,
    Kind::Attributes,
    Kind::Fact,
    Kind::Submission,
    Kind::Look,
    Kind::Playbook,
];

/// Kinds whose records are sealed under the master key. What an earlier version wrote unsealed is read as it is, and sealed when it is written.
const SEALED: [Kind; 4] = [Kind::Attributes, Kind::Playbook, Kind::Run, Kind::Rollout];

/// Says of sealed records what they are; their key is the other part.
const RECORD: &str = "record";

/// A sealed record begins so; JSON never does.
const MARK: u8 = 1;

impl Kind {
    /// The first byte of its keys.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Rollout => b'r',
            Self::RolloutItem => b'i',
            Self::Run => b'u',
            Self::Versions => b'v',
            Self::Attributes => b'a',
            Self::Fact => b'f',
            Self::Submission => b's',
            Self::Look => b'l',
            Self::Playbook => b'p',
        }
    }

    /// What people call one.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::RolloutItem => "merchant of rollout",
            Self::Run => "run",
            Self::Versions => "versions of",
            Self::Attributes => "attributes of",
            Self::Fact => "fact about",
            Self::Submission => "submission of",
            Self::Look => "look at",
            Self::Playbook => "playbook",
        }
    }

    /// The key under which a record of this kind is kept. Parts are told apart by a zero byte, which no name holds.
    pub fn key(self, parts: &[&str]) -> Vec<u8> {
        let mut key = vec![self.byte()];
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                key.push(0);
            }
            key.extend_from_slice(part.as_bytes());
        }
        key
    }
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// That version.
    Version(u64),
    /// Whatever is there.
    Anything,
}

/// One write: the record's new content, or its removal.
#[derive(Debug, Clone)]
pub struct Swap {
    pub key: Vec<u8>,
    pub expect: Expect,
    pub value: Option<Bytes>,
}

impl Swap {
    /// Writes `record` under that key.
    pub fn put<T: Serialize>(key: Vec<u8>, expect: Expect, record: &T) -> Result<Self, LogError> {
        let value = serde_json::to_vec(record).map_err(|error| LogError::Failed(format!("a record cannot be written: {error}")))?;
        Ok(Self { key, expect, value: Some(value.into()) })
    }

    /// Removes what is under that key.
    pub fn remove(key: Vec<u8>, expect: Expect) -> Self {
        Self { key, expect, value: None }
    }

    pub fn weight(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len) + 16
    }
}

/// Versions that a batch leaves behind, before it is committed.
pub type Touched = HashMap<Vec<u8>, u64>;

/// A record with its version; its key without the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    pub key: Vec<u8>,
    pub version: u64,
    pub record: T,
}

/// What can be read of a page.
pub struct Readable<T> {
    /// By key; backwards from the last where the page was read so.
    pub found: Vec<Found<T>>,
    /// What cannot, in the same order, and why. Its version is 0 where that cannot be read either.
    pub closed: Vec<Found<LogError>>,
    /// The last key that was looked at; `None`: there was none, and the page before was the last one.
    pub last: Option<Vec<u8>>,
}

/// Unreadable records that are named in the log, each once in the life of a process.
const NAMED: usize = 1000;

/// Which of them were: lists and retention come by the same ones again and again.
#[derive(Debug, Default)]
pub struct Unread {
    /// Hashes of their keys, which may be long.
    named: HashSet<u64>,
    /// It was said that there are more.
    is_full: bool,
}

/// What is to be said of an unreadable record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    First,
    /// The first of those for which there is no room.
    OneTooMany,
    /// It was named, or it is one of those.
    Again,
}

impl Unread {
    fn meet(&mut self, key: &[u8]) -> Met {
        let hash = xxhash_rust::xxh3::xxh3_64(key);
        if self.named.contains(&hash) {
            return Met::Again;
        }
        if self.named.len() < NAMED {
            self.named.insert(hash);
            return Met::First;
        }
        if std::mem::replace(&mut self.is_full, true) { Met::Again } else { Met::OneTooMany }
    }
}

/// What is there of a kind, past what of it cannot be read.
pub struct Salvaged<T> {
    /// What can be read, by key.
    pub found: Vec<Found<T>>,
    /// What cannot, by key, and why. Its version is 0 where that cannot be read either.
    pub closed: Vec<Found<LogError>>,
    /// Stretches of which not even the keys can be read.
    pub left_out: u64,
}

/// Puts the swaps into the batch; `false`, and nothing is put, when one of them expected another version.
pub fn stage(store: &Store, group: &mut Group, swaps: Vec<Swap>) -> Result<bool, Hindrance> {
    let mut versions = Vec::with_capacity(swaps.len());
    for swap in &swaps {
        let version = match group.records.get(&swap.key) {
            Some(version) => *version,
            None => match store.records.get(&swap.key) {
                // Whoever expects anything writes over what is damaged, or removes it, too.
                Err(error) if swap.expect == Expect::Anything && is_damage(&error) => 0,
                read => read?.as_deref().and_then(split).map_or(0, |(version, _)| version),
            },
        };
        let fits = match swap.expect {
            Expect::Absent => version == 0,
            Expect::Version(expected) => version == expected,
            Expect::Anything => true,
        };
        if !fits {
            return Ok(false);
        }
        versions.push(version);
    }
    for (swap, version) in swaps.into_iter().zip(versions) {
        write(store, group, swap, version);
    }
    Ok(true)
}

/// Puts one into the batch whose record has that version.
pub fn write(store: &Store, group: &mut Group, swap: Swap, version: u64) {
    let next = match &swap.value {
        Some(value) => {
            let next = version.saturating_add(1);
            let stored = [next.to_be_bytes().as_slice(), value].concat();
            group.batch.insert(&store.records, swap.key.clone(), stored);
            next
        }
        None => {
            group.batch.remove(&store.records, swap.key.clone());
            0
        }
    };
    group.records.insert(swap.key, next);
}

fn is_sealed_kind(key: &[u8]) -> bool {
    key.first().is_some_and(|first| SEALED.iter().any(|kind| kind.byte() == *first))
}

/// What a key is called where people read it.
pub fn named(key: &[u8]) -> String {
    let Some((kind, rest)) = key.split_first() else { return String::from("a record without a key") };
    let kind = KINDS.iter().find(|known| known.byte() == *kind).map_or("a record of another kind", |kind| kind.as_str());
    let parts: Vec<_> = rest.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    format!("{kind} {}", parts.join(" "))
}

/// Where records under a prefix begin that stand behind a key.
fn behind(prefix: &[u8], after: Option<&[u8]>) -> Bound<Vec<u8>> {
    after.map_or_else(|| Bound::Included(prefix.to_vec()), |after| Bound::Excluded(after.to_vec()))
}

/// The version of a record, and what it holds.
pub fn split(value: &[u8]) -> Option<(u64, &[u8])> {
    let (version, record) = value.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*version), record))
}

/// The version of a record that is sealed, and what is; `None`: it is not.
pub fn sealed_part<'a>(key: &[u8], value: &'a [u8]) -> Option<(u64, &'a [u8])> {
    // Records of other kinds may begin with any byte.
    split(value).filter(|(_, record)| is_sealed_kind(key) && record.first() == Some(&MARK))
}

impl FjallLog {
    /// Writes all of them in one transaction, durable when it returns. `false`: one expected another version, and nothing was written.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn swap(&self, swaps: Vec<Swap>) -> Result<bool, LogError> {
        // The engine takes no longer one, and would end the committing thread over it.
        if let Some(long) = swaps.iter().map(|swap| swap.key.len()).find(|length| *length > LONGEST_KEY) {
            return Err(LogError::Damaged(format!("a record with a key of {long} bytes, more than {LONGEST_KEY}, cannot be written")));
        }
        let swaps = swaps.into_iter().map(|swap| self.store.sealed(swap)).collect::<Result<_, _>>()?;
        self.committer.ask(|answer| Job::Swap(swaps, answer)).await?
    }

    /// One record with its version.
    ///
    /// # Errors
    /// Damage.
    pub(super) fn record<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<(u64, T)>, LogError> {
        self.store.records.get(key).map_err(damaged)?.map(|value| self.store.opened(key, &value)).transpose()
    }
}

impl FjallLog {
    /// Tells a log of another master key from our own, by the first and the last record of each sealed kind: however much there is, no more is looked at.
    /// One that opens shows that it is ours. What was sealed under a key that was said to be lost shows nothing.
    ///
    /// # Errors
    /// [`LogError::OtherKey`]; damage.
    pub fn look_at_keys(&self) -> Result<(), LogError> {
        let lost = self.store.lost_keys()?;
        let mut foreign = None;
        for kind in SEALED {
            let mut of_kind = self.store.records.prefix(kind.key(&[]));
            for guard in [of_kind.next(), of_kind.next_back()].into_iter().flatten() {
                // A damaged one is named where it is read, and keeps nothing else from being read.
                let Ok((key, value)) = guard.into_inner() else { continue };
                let Some((_, sealed)) = sealed_part(&key, &value) else { continue };
                match self.store.at_rest.knows(sealed) {
                    Ok(()) => return Ok(()),
                    Err(AtRestError::OtherKey(id)) if !lost.contains(&id) => foreign = foreign.or(Some(id)),
                    Err(_) => {}
                }
            }
        }
        foreign.map_or(Ok(()), |id| Err(LogError::OtherKey(id)))
    }
}

impl Store {
    /// Master keys that were said to be lost: what they sealed is never read again.
    pub(super) fn lost_keys(&self) -> Result<HashSet<String>, LogError> {
        let lost = self.meta.get(meta::LOST_KEYS).map_err(damaged)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&lost).split(' ').map(str::to_owned).collect())
    }

    pub(super) fn sealed(&self, mut swap: Swap) -> Result<Swap, LogError> {
        if let Some(value) = swap.value.take_if(|_| is_sealed_kind(&swap.key)) {
            let sealed = self.at_rest.seal(RECORD, &swap.key, &value);
            swap.value = Some(sealed.map_err(|error| LogError::Failed(format!("a record: {error}")))?.into());
        }
        Ok(swap)
    }

    pub(super) fn opened<T: DeserializeOwned>(&self, key: &[u8], value: &[u8]) -> Result<(u64, T), LogError> {
        let (version, record) = split(value).ok_or_else(|| malformed("a record"))?;
        let read = if is_sealed_kind(key) && record.first() == Some(&MARK) {
            let opened = self.at_rest.open(RECORD, key, record).map_err(|error| match error {
                AtRestError::OtherKey(id) => LogError::OtherKey(id),
                error => LogError::Damaged(format!("a record: {error}")),
            })?;
            serde_json::from_slice(&opened)
        } else {
            serde_json::from_slice(record)
        };
        Ok((version, read.map_err(|_| malformed("a record"))?))
    }

    /// Whether a record can be read as what it is. Facts are no documents, and are whatever is there.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) fn has_its_form(&self, key: &[u8], value: &[u8]) -> Result<(), LogError> {
        let kind = KINDS.iter().find(|kind| key.first() == Some(&kind.byte()));
        match kind {
            Some(Kind::Rollout) => self.opened::<Rollout>(key, value).map(drop),
            Some(Kind::RolloutItem) => self.opened::<Item>(key, value).map(drop),
            Some(Kind::Run) => self.opened::<Run>(key, value).map(drop),
            Some(Kind::Versions) => self.opened::<Versions>(key, value).map(drop),
            Some(Kind::Attributes) => self.opened::<Attributes>(key, value).map(drop),
            Some(Kind::Submission) => self.opened::<Submission>(key, value).map(drop),
            Some(Kind::Look) => self.opened::<LookState>(key, value).map(drop),
            Some(Kind::Playbook) => self.opened::<Stored>(key, value).map(drop),
            Some(Kind::Fact) | None => Ok(()),
        }
    }

    /// The record sealed under the present master key; `None`: it is, or it is not sealed.
    ///
    /// # Errors
    /// No configured key opens it.
    pub fn resealed(&self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, AtRestError> {
        let Some((version, record)) = sealed_part(key, value) else { return Ok(None) };
        if !self.at_rest.is_outdated(record) {
            return Ok(None);
        }
        let sealed = self.at_rest.seal(RECORD, key, &self.at_rest.open(RECORD, key, record)?)?;
        Ok(Some([version.to_be_bytes().as_slice(), &sealed].concat()))
    }

    /// The same as [`Store::readable_under`] from the last key to the first: those before `before` only. So many records are looked at, at most, and
    /// `limit` of them found: with less than that, and something looked at, there may be more before it.
    pub(super) fn readable_back<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
        looked_at: usize,
    ) -> Result<Readable<T>, LogError> {
        let end = before.map_or_else(|| [prefix, &[u8::MAX]].concat(), <[u8]>::to_vec);
        let mut readable = Readable { found: Vec::new(), closed: Vec::new(), last: None };
        for guard in self.records.range(prefix.to_vec()..end).rev().take(looked_at) {
            if readable.found.len() >= limit {
                break;
            }
            let (key, value) = guard.into_inner().map_err(damaged)?;
            self.sort(&mut readable, &key, &value);
        }
        Ok(readable)
    }

    /// Puts a record where it belongs; one that cannot be read is named, the first time that it is met.
    fn sort<T: DeserializeOwned>(&self, readable: &mut Readable<T>, key: &[u8], value: &[u8]) {
        match self.opened(key, value) {
            Ok((version, record)) => readable.found.push(Found { key: key.to_vec(), version, record }),
            Err(error) => {
                self.name_unread(key, &error);
                let version = split(value).map_or(0, |(version, _)| version);
                readable.closed.push(Found { key: key.to_vec(), version, record: error });
            }
        }
        readable.last = Some(key.to_vec());
    }

    fn name_unread(&self, key: &[u8], error: &LogError) {
        let record = named(key);
        match self.unread.lock().unwrap_or_else(PoisonError::into_inner).meet(key) {
            Met::First => {
                tracing::error!(record, %error, "this cannot be read and is passed over; `yizhan check --store` names all of it");
            }
            Met::OneTooMany => {
                tracing::error!(record, %error, "more than {NAMED} records cannot be read: this and others are not named here, but by `yizhan check --store`");
            }
            Met::Again => tracing::debug!(record, %error, "this cannot be read and is passed over"),
        }
    }

    /// The same as [`Store::records_under`], without those that cannot be read.
    ///
    /// # Errors
    /// Damage of more than single records.
    pub(super) fn readable_under<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Readable<T>, LogError> {
        let mut readable = Readable { found: Vec::new(), closed: Vec::new(), last: None };
        for guard in self.records.range((behind(prefix, after), Bound::Unbounded)).take(limit) {
            let (key, value) = guard.into_inner().map_err(damaged)?;
            if !key.starts_with(prefix) {
                break;
            }
            self.sort(&mut readable, &key, &value);
        }
        Ok(readable)
    }

    /// All records whose keys begin with `prefix`, by key, past what of them cannot be read. Reads the disk: see [`super::aside`].
    ///
    /// # Errors
    /// A read failed for a reason that may pass: what is there must not be taken for lost.
    pub(super) fn salvaged<T: DeserializeOwned>(&self, prefix: &[u8]) -> Result<Salvaged<T>, LogError> {
        let (mut found, mut closed) = (Vec::new(), Vec::new());
        let left_out = past::under(&self.db.snapshot(), &self.records, prefix, |key, value| {
            match self.opened(key, value) {
                Ok((version, record)) => found.push(Found { key: key.to_vec(), version, record }),
                Err(error) => {
                    let version = split(value).map_or(0, |(version, _)| version);
                    closed.push(Found { key: key.to_vec(), version, record: error });
                }
            }
            Ok(())
        });
        let left_out = left_out.map_err(|error| LogError::Unread(error.to_string()))?;
        // Past damage they do not come in order.
        found.sort_by(|one: &Found<T>, other| one.key.cmp(&other.key));
        closed.sort_by(|one: &Found<LogError>, other| one.key.cmp(&other.key));
        Ok(Salvaged { found, closed, left_out })
    }

    /// Records whose keys begin with `prefix`, by key, those behind `after` only, at most `limit`. Reads the disk: see [`super::aside`].
    ///
    /// # Errors
    /// Damage.
    pub(super) fn records_under<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Found<T>>, LogError> {
        let mut found = Vec::new();
        for guard in self.records.range((behind(prefix, after), Bound::Unbounded)) {
            let (key, value) = guard.into_inner().map_err(damaged)?;
            if !key.starts_with(prefix) || found.len() >= limit {
                break;
            }
            let (version, record) = self.opened(&key, &value)?;
            found.push(Found { key: key.to_vec(), version, record });
        }
        Ok(found)
    }
}
