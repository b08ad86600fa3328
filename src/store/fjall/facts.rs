//! Which facts were told of an authorizer, and which of them tell the same: asked in the batch that stores an event.
//!
//! A push only writes its note ([`told::note`]), which goes with its event: pushes are not held against each other. Where something is found by asking,
//! a record is made of the last facts of that subject, and from then on its pushes are held against that.

use std::collections::HashSet;

use fjall::Keyspace;
use xxhash_rust::xxh3::xxh3_64;

use super::days::index;
use super::record;
use super::records::{self, Kind};
use super::writer::{Group, Writer};
use super::{Store, told};
use crate::inbox::fact::{Fact, REMEMBERED, Subject, Told};

/// Events of an authorizer that are looked at for what pushes told: its facts are few among its messages and orders at times.
const LOOKED_AT: usize = 4096;

/// The key of the record of a subject's facts.
pub fn key(component: &str, authorizer: &str, subject: Subject) -> Vec<u8> {
    Kind::Fact.key(&[component, authorizer, subject.as_str()])
}

/// Subjects of which something was found, by the hash of their record's key: two of one hash only cost a look that finds nothing.
pub struct Found(HashSet<u64>);

impl Found {
    /// Those of a store.
    pub fn open(records: &Keyspace) -> fjall::Result<Self> {
        records.prefix([Kind::Fact.byte()]).map(|guard| guard.key().map(|key| xxh3_64(&key))).collect::<Result<_, _>>().map(Self)
    }
}

impl Writer {
    /// Remembers a fact that the next sequence tells; the sequence of the event that told it before, if one did.
    pub fn tell(&mut self, group: &mut Group, fact: &Fact, component: &str) -> fjall::Result<Option<u64>> {
        let was_found = fact.could_be_told_by_pushes();
        if !was_found && self.found.0.is_empty() {
            group.tells = true;
            return Ok(None);
        }
        let key = key(component, &fact.authorizer, fact.subject);
        let hash = xxh3_64(&key);
        if !was_found && !self.found.0.contains(&hash) {
            group.tells = true;
            return Ok(None);
        }
        self.found.0.insert(hash);
        let stored = match group.facts.remove(&key) {
            Some(stored) => Some(stored),
            None => self.store.records.get(&key)?.map(|value| value.to_vec()),
        };
        let (version, before) = match stored.as_deref().and_then(records::split) {
            Some((version, facts)) => (version, facts.to_vec()),
            None => (0, told::write(&self.store.noted(component, &fact.authorizer, fact.subject)?)),
        };
        let (facts, told_by) = told::remember(&before, fact, self.sequence + 1);
        let stored = [version.saturating_add(1).to_be_bytes().as_slice(), &facts].concat();
        group.batch.insert(&self.store.records, key.as_slice(), stored.as_slice());
        group.facts.insert(key, stored);
        Ok(told_by)
    }
}

impl Store {
    /// The last facts told of that subject, oldest first.
    pub fn told(&self, component: &str, authorizer: &str, subject: Subject) -> fjall::Result<Vec<Told>> {
        let stored = self.records.get(key(component, authorizer, subject))?;
        match stored.as_deref().and_then(records::split) {
            Some((_, facts)) => Ok(told::read(facts)),
            None => self.noted(component, authorizer, subject),
        }
    }

    /// The last facts that pushes told, oldest first.
    fn noted(&self, component: &str, authorizer: &str, subject: Subject) -> fjall::Result<Vec<Told>> {
        let prefix = record::named(index::AUTHORIZER, authorizer);
        let days = self.days.all();
        let newest_first = days.iter().rev().flat_map(|day| day.index.prefix(&prefix).rev());
        let mut found = Vec::new();
        for guard in newest_first.take(LOOKED_AT) {
            let (key, note) = guard.into_inner()?;
            let sequence = record::last_number(&key).unwrap_or_default();
            found.extend(told::noted(&note, component, subject, sequence));
            if found.len() == REMEMBERED {
                break;
            }
        }
        // The first of all days holds what outlived its own: it may stand in two of them while it is moved.
        found.sort_by_key(|told: &Told| told.sequence);
        found.dedup_by_key(|told| told.sequence);
        Ok(found)
    }
}
