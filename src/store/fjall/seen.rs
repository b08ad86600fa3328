//! Which messages were stored before: dedupe keys in a few keyspaces by time, so that old ones are dropped as a whole and a look-up asks few.
//!
//! They are the index of event ids too, which begin like the hash of their message ([`crate::inbox::EventId::of_message`]): they are kept as long as
//! the events are, but asked for repetitions no longer than they must be remembered.

use std::sync::{Arc, Mutex, PoisonError};

use fjall::{Database, Keyspace};

use super::days;
use super::record;
use crate::clock::Timestamp;
use crate::inbox::MessageHash as Mark;

/// Marks of the messages stored in some days.
struct Span {
    /// First day.
    from: u32,
    /// The day after the last.
    to: u32,
    marks: Keyspace,
}

/// The keyspaces of marks, for those who do not write them.
#[derive(Clone, Default)]
pub struct Marks(Arc<Mutex<Vec<Keyspace>>>);

impl Marks {
    /// All of them as of now.
    pub fn all(&self) -> Vec<Keyspace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sequences of the events whose messages have a hash that begins so, newest keyspace first: as a rule one at most.
    pub fn sequences(&self, prefix: [u8; 8]) -> fjall::Result<Vec<u64>> {
        let found = self.all().into_iter().rev().flat_map(|marks| marks.prefix(prefix));
        found.map(|guard| guard.value().map(|value| record::last_number(&value).unwrap_or_default())).collect()
    }

    fn set(&self, spans: &[Span]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = spans.iter().map(|span| span.marks.clone()).collect();
    }
}

/// All marks.
pub struct Seen {
    db: Database,
    /// Days in one keyspace: about a quarter of the time they are asked, so that a look-up asks about five.
    width: u32,
    /// Days after which a message needs not be remembered any more.
    days: u32,
    retention: std::time::Duration,
    /// Oldest first.
    spans: Vec<Span>,
    shown: Marks,
}

impl Seen {
    /// Opens every keyspace of marks.
    pub fn open(db: &Database, retention: std::time::Duration) -> fjall::Result<Self> {
        let days = u32::try_from(retention.as_secs().div_ceil(86_400)).unwrap_or(u32::MAX);
        let mut spans = Vec::new();
        for name in db.list_keyspace_names() {
            let parsed = name.strip_prefix("seen.").and_then(|rest| rest.split_once('.'));
            if let Some((from, to)) = parsed.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?))) {
                spans.push(Span { from, to, marks: days::keyspace(db, &name)? });
            }
        }
        spans.sort_by_key(|span| (span.from, span.to));
        let shown = Marks::default();
        shown.set(&spans);
        Ok(Self { db: db.clone(), width: days.div_ceil(4).max(1), days, retention, spans, shown })
    }

    /// What others see of its keyspaces, now and later.
    pub fn marks(&self) -> Marks {
        self.shown.clone()
    }

    /// Whether that message was stored, seen from that day.
    pub fn holds(&self, mark: &Mark, today: u32) -> fjall::Result<bool> {
        let must_be_remembered = |span: &&Span| span.to.saturating_add(self.days) >= today;
        // Newest first: most repetitions come soon.
        for span in self.spans.iter().rev().take_while(must_be_remembered) {
            if span.marks.contains_key(mark)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The keyspace for messages of that day.
    pub fn of(&mut self, label: u32) -> fjall::Result<Keyspace> {
        if let Some(span) = self.spans.iter().rev().find(|span| (span.from..span.to).contains(&label)) {
            return Ok(span.marks.clone());
        }
        let from = label - label % self.width;
        let to = from.saturating_add(self.width);
        let marks = days::keyspace(&self.db, &format!("seen.{from}.{to}"))?;
        self.spans.push(Span { from, to, marks: marks.clone() });
        self.spans.sort_by_key(|span| (span.from, span.to));
        self.shown.set(&self.spans);
        Ok(marks)
    }

    /// Drops what has been kept long enough. `oldest`: the first day of which events are left.
    pub fn expunge(&mut self, now: Timestamp, oldest: u32) -> fjall::Result<()> {
        let is_forgotten = |span: &Span| days::end(span.to.saturating_sub(1)).checked_add(self.retention).is_ok_and(|end| end <= now);
        let over = |span: &Span| is_forgotten(span) && span.to <= oldest;
        let mut kept = Vec::new();
        for span in std::mem::take(&mut self.spans) {
            if over(&span) { self.db.delete_keyspace(span.marks)? } else { kept.push(span) }
        }
        self.shown.set(&kept);
        self.spans = kept;
        Ok(())
    }
}
