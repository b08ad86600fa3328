//! The keyspace `meta`: what is counted and remembered about the log as a whole.

use super::record::Reader;

/// → the form of this store.
pub const FORMAT: &[u8] = b"format";
/// The form this build writes and reads.
pub const FORMAT_NOW: u8 = 1;
/// → the newest sequence when days were dropped or skipped: never given again.
pub const SEQUENCE: &[u8] = b"sequence";
/// `subscription` → its counters.
pub const LINE: u8 = b'n';
/// `replay id` → deliveries delivered and dead.
pub const OUTCOME: u8 = b'o';
/// `replay id` → the job as JSON.
pub const REPLAY: u8 = b'r';

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

/// Deliveries of a replay: delivered, dead.
pub fn outcome(delivered: u64, dead: u64) -> Vec<u8> {
    [delivered.to_be_bytes(), dead.to_be_bytes()].concat()
}

/// Reads [`outcome`].
pub fn read_outcome(value: &[u8]) -> Option<(u64, u64)> {
    let mut from = Reader(value);
    Some((from.number()?, from.number()?))
}
