//! Coming by the events of a day in their order, or against it, past what damage made unreadable.
//!
//! The engine's own iteration cannot be trusted once it has told an error: it drops what it had in hand, and may leave out the rest of a table. So from
//! there on events are asked for one by one, until one can be read again.

use bytes::Bytes;
use fjall::{Readable, Snapshot};

use super::days::{Day, KEPT};
use super::record;

/// Events of a day from one sequence to below another: each with what is stored, or why it cannot be read.
pub struct Passing<'a> {
    snapshot: &'a Snapshot,
    day: &'a Day,
    from: u64,
    to: u64,
    /// The engine's own iteration over what is left, until it tells an error.
    ahead: Option<fjall::Iter>,
}

impl<'a> Passing<'a> {
    pub fn over(snapshot: &'a Snapshot, day: &'a Day, from: u64, to: u64) -> Self {
        Self { snapshot, day, from, to: to.max(from), ahead: None }
    }

    /// The first, or the last, of those that are left, each asked for by itself.
    fn singly(&mut self, is_last: bool) -> Option<(u64, fjall::Result<Bytes>)> {
        while self.from < self.to {
            let sequence = if is_last { self.to - 1 } else { self.from };
            self.leave(sequence, is_last);
            match self.snapshot.get(&self.day.events, sequence.to_be_bytes()) {
                Ok(Some(value)) => return Some((sequence, Ok(record::shared(value)))),
                Ok(None) => {}
                Err(error) => {
                    if self.day.label == KEPT {
                        // Events stand far apart there, so nobody can say which of them are damaged: the rest of them is passed over as one.
                        self.from = self.to;
                    }
                    return Some((sequence, Err(error)));
                }
            }
        }
        None
    }

    /// That one is behind us, and all that come before it.
    fn leave(&mut self, sequence: u64, is_last: bool) {
        if is_last {
            self.to = sequence;
        } else {
            self.from = sequence.saturating_add(1);
        }
    }

    /// The next one from that end.
    fn pass(&mut self, is_last: bool) -> Option<(u64, fjall::Result<Bytes>)> {
        if self.from >= self.to {
            return None;
        }
        let range = self.from.to_be_bytes()..self.to.to_be_bytes();
        let ahead = self.ahead.get_or_insert_with(|| self.snapshot.range(&self.day.events, range));
        let found = if is_last { ahead.next_back() } else { ahead.next() };
        match found?.into_inner() {
            Ok((key, value)) => {
                let sequence = record::last_number(&key).unwrap_or(if is_last { self.to - 1 } else { self.from });
                self.leave(sequence, is_last);
                Some((sequence, Ok(record::shared(value))))
            }
            Err(_) => {
                self.ahead = None;
                self.singly(is_last)
            }
        }
    }
}

impl Iterator for Passing<'_> {
    type Item = (u64, fjall::Result<Bytes>);

    fn next(&mut self) -> Option<Self::Item> {
        self.pass(false)
    }
}

impl DoubleEndedIterator for Passing<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.pass(true)
    }
}
