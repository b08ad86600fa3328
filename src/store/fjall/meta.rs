//! The keyspace `meta`: what is counted and remembered about the log as a whole.

use super::record::Reader;

/// → the form of this store.
pub const FORMAT: &[u8] = b"format";
/// The form this build writes and reads.
pub const FORMAT_NOW: u8 = 1;
/// → the newest sequence when days were dropped or skipped: never given again.
pub const SEQUENCE: &[u8] = b"sequence";
/// → commits that the vault had when the log was last told.
pub const VAULT: &[u8] = b"vault";
/// → the newest sequence that had been acknowledged when a backup was put back.
pub const EXPECTED: &[u8] = b"expected";
/// `after ‖ up to` → when it was found that the events between were lost.
pub const LOST: u8 = b'l';
/// `subscription` → its counters.
pub const LINE: u8 = b'n';
/// `replay id` → deliveries delivered and dead.
pub const OUTCOME: u8 = b'o';
/// `replay id` → the job as JSON.
pub const REPLAY: u8 = b'r';

/// `follower` → the sequence up to which it has heard.
pub const BOOKMARK: u8 = b'b';

/// Counters of a subscription: unfinished, dead, and whether order keys are complete; then its name, which its key may hold only hashed.
pub fn line(name: &str, pending: u64, dead: u64, ordered: bool) -> Vec<u8> {
    let mut to = Vec::with_capacity(17 + name.len());
    to.extend_from_slice(&pending.to_be_bytes());
    to.extend_from_slice(&dead.to_be_bytes());
    to.push(u8::from(ordered));
    to.extend_from_slice(name.as_bytes());
    to
}

/// Reads [`line`]: name, unfinished, dead, ordered.
pub fn read_line(value: &[u8]) -> Option<(&str, u64, u64, bool)> {
    let mut from = Reader(value);
    let (pending, dead, ordered) = (from.number()?, from.number()?, from.byte()? != 0);
    Some((std::str::from_utf8(from.0).ok()?, pending, dead, ordered))
}

/// Key of events that were lost: those after `after`, up to `to`.
pub fn lost(after: u64, to: u64) -> Vec<u8> {
    [[LOST].as_slice(), &after.to_be_bytes(), &to.to_be_bytes()].concat()
}

/// Reads [`lost`]: the first and the last that was.
pub fn read_lost(key: &[u8]) -> Option<(u64, u64)> {
    let mut from = Reader(key);
    let (kind, after, to) = (from.byte()?, from.number()?, from.number()?);
    (kind == LOST && from.0.is_empty()).then_some((after.saturating_add(1), to))
}

/// Deliveries of a replay: delivered, dead.
pub fn outcome(delivered: u64, dead: u64) -> Vec<u8> {
    [delivered.to_be_bytes(), dead.to_be_bytes()].concat()
}

/// Reads [`outcome`].
pub fn read_outcome(value: &[u8]) -> Option<(u64, u64)> {
    let mut from = Reader(value);
    Some((from.number()?, from.number()?))
}
