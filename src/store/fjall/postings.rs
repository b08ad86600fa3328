//! Which events are of a component, and which of a type: the events of one batch stand together in lists, one for each component and each type, so
//! that they cost few keys however many come at once.
//!
//! In a day's index: `kind ‖ name ‖ first sequence` → the others, as their distances from the first, 2 bytes each. Lists of one name do not overlap.

use std::collections::HashMap;
use std::sync::Arc;

use fjall::{Guard, OwnedWriteBatch, Readable, Snapshot};

use super::days::{Day, index};
use super::record;

/// The last sequence of a list is less than this behind its first.
const SPAN: u64 = 4096;

/// One list being written.
struct List {
    first: u64,
    others: Vec<u8>,
}

/// The lists of a batch.
#[derive(Default)]
pub struct Postings {
    day: Option<Arc<Day>>,
    components: HashMap<String, List>,
    kinds: HashMap<&'static str, List>,
}

impl Postings {
    /// Adds an event of that day; sequences come in order.
    pub fn add(&mut self, batch: &mut OwnedWriteBatch, day: &Arc<Day>, component: &str, kind: &'static str, sequence: u64) {
        if self.day.as_ref().is_none_or(|before| before.label != day.label) {
            self.write(batch);
            self.day = Some(day.clone());
        }
        if !self.components.get_mut(component).is_some_and(|list| list.took(sequence)) {
            let full = self.components.insert(component.to_owned(), List { first: sequence, others: Vec::new() });
            full.into_iter().for_each(|list| list.write(batch, day, index::COMPONENT, component));
        }
        if !self.kinds.get_mut(kind).is_some_and(|list| list.took(sequence)) {
            let full = self.kinds.insert(kind, List { first: sequence, others: Vec::new() });
            full.into_iter().for_each(|list| list.write(batch, day, index::KIND, kind));
        }
    }

    /// Puts all of them into the batch.
    pub fn write(&mut self, batch: &mut OwnedWriteBatch) {
        let Some(day) = self.day.take() else { return };
        for (component, list) in self.components.drain() {
            list.write(batch, &day, index::COMPONENT, &component);
        }
        for (kind, list) in self.kinds.drain() {
            list.write(batch, &day, index::KIND, kind);
        }
    }
}

impl List {
    fn took(&mut self, sequence: u64) -> bool {
        match u16::try_from(sequence.wrapping_sub(self.first)) {
            Ok(distance) if u64::from(distance) < SPAN => {
                self.others.extend_from_slice(&distance.to_be_bytes());
                true
            }
            _ => false,
        }
    }

    fn write(self, batch: &mut OwnedWriteBatch, day: &Day, kind: u8, name: &str) {
        batch.insert(&day.index, record::numbered(kind, name, self.first), self.others);
    }
}

/// The sequences of a list, in order.
pub fn listed(key: &[u8], others: &[u8]) -> impl DoubleEndedIterator<Item = u64> + use<> {
    let first = record::last_number(key).unwrap_or_default();
    let (distances, _) = others.as_chunks::<2>();
    let others: Vec<u64> = distances.iter().map(|distance| first + u64::from(u16::from_be_bytes(*distance))).collect();
    std::iter::once(first).chain(others)
}

/// Lists of that name in which sequences from `from` to below `below` may be, newest first.
pub fn lists(snapshot: &Snapshot, day: &Day, prefix: &[u8], from: u64, below: u64) -> impl Iterator<Item = Guard> + 'static {
    let key = |number: u64| [prefix, &number.to_be_bytes()].concat();
    snapshot.range(&day.index, key(from.saturating_sub(SPAN))..key(below)).rev()
}
