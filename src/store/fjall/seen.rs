//! Which messages were stored before: dedupe keys in a few keyspaces by time, so that old ones are dropped as a whole and a look-up asks few.

use std::sync::{Arc, Mutex, PoisonError};

use fjall::{Database, Keyspace};

use super::days;
use crate::clock::Timestamp;
use crate::envelope::digest;

/// A dedupe key as stored: the first half of its SHA-256. Who could find two with the same half could as well sign with the vendor's key.
pub type Mark = [u8; 16];

/// The mark of a dedupe key.
pub fn mark(dedupe_key: &str) -> Mark {
    let hash = digest::sha256(&[dedupe_key.as_bytes()]);
    let mut mark = [0; 16];
    mark.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    mark
}

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

    fn set(&self, spans: &[Span]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = spans.iter().map(|span| span.marks.clone()).collect();
    }
}

/// All marks.
pub struct Seen {
    db: Database,
    /// Days in one keyspace: about a quarter of the time they are kept, so that a look-up asks about five.
    width: u32,
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
        Ok(Self { db: db.clone(), width: days.div_ceil(4).max(1), retention, spans, shown })
    }

    /// What others see of its keyspaces, now and later.
    pub fn marks(&self) -> Marks {
        self.shown.clone()
    }

    /// Whether that message was stored.
    pub fn holds(&self, mark: &Mark) -> fjall::Result<bool> {
        // Newest first: most repetitions come soon.
        for span in self.spans.iter().rev() {
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

    /// Drops what has been kept long enough.
    pub fn expunge(&mut self, now: Timestamp) -> fjall::Result<()> {
        let over = |span: &Span| days::end(span.to.saturating_sub(1)).checked_add(self.retention).is_ok_and(|end| end <= now);
        let mut kept = Vec::new();
        for span in std::mem::take(&mut self.spans) {
            if over(&span) { self.db.delete_keyspace(span.marks)? } else { kept.push(span) }
        }
        self.shown.set(&kept);
        self.spans = kept;
        Ok(())
    }
}
