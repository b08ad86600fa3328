//! The keyspace `meta`: what is counted and remembered about the log as a whole.

use super::record::{self, Reader};
use crate::clock::Timestamp;

/// → the form of this store.
pub const FORMAT: &[u8] = b"format";
/// The form this build writes and reads.
pub const FORMAT_NOW: u8 = 1;
/// → which [`crate::inbox::EventLog::timeline`] its sequences are of. Not in logs that former builds made.
pub const TIMELINE: &[u8] = b"timeline";
/// → the newest sequence when days were dropped or skipped: never given again.
pub const SEQUENCE: &[u8] = b"sequence";
/// → commits that the vault had when the log was last told.
pub const VAULT: &[u8] = b"vault";
/// → the newest sequence that had been acknowledged when a backup was put back.
pub const EXPECTED: &[u8] = b"expected";
/// → ids of the master keys, in hex with a space between them, that a person said were lost when a backup was put back.
pub const LOST_KEYS: &[u8] = b"lost-keys";
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

/// `day` → behind its last event, of a day that had to stay when the next one was emptied.
const DAY_END: u8 = b'd';

/// Whether this build reads a store that says this of its form.
pub fn is_read(format: &[u8]) -> bool {
    format == [FORMAT_NOW]
}

/// A timeline that no log was on before.
pub fn new_timeline() -> [u8; 8] {
    uuid::Uuid::new_v4().as_u64_pair().0.to_be_bytes()
}

/// What is remembered of a subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineState {
    /// Unfinished deliveries.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
    /// Whether order keys are complete.
    pub ordered: bool,
    /// When it was deleted: nothing comes to wait for it any more.
    pub retired_at: Option<Timestamp>,
}

const ORDERED: u8 = 1;
const RETIRED: u8 = 2;

/// A subscription's state, then its name, which its key may hold only hashed.
pub fn line(name: &str, state: &LineState) -> Vec<u8> {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let mut to = Vec::with_capacity(17 + name.len());
    to.extend_from_slice(&state.pending.to_be_bytes());
    to.extend_from_slice(&state.dead.to_be_bytes());
    to.push(flag(state.ordered, ORDERED) | flag(state.retired_at.is_some(), RETIRED));
    to.extend(state.retired_at.map(|at| record::nanoseconds(at).to_be_bytes()).iter().flatten());
    to.extend_from_slice(name.as_bytes());
    to
}

/// Reads [`line`].
pub fn read_line(value: &[u8]) -> Option<(&str, LineState)> {
    let mut from = Reader(value);
    let (pending, dead, flags) = (from.number()?, from.number()?, from.byte()?);
    let retired_at = if flags & RETIRED == 0 { None } else { Some(record::moment(from.number()?)) };
    let state = LineState { pending, dead, ordered: flags & ORDERED != 0, retired_at };
    Some((std::str::from_utf8(from.0).ok()?, state))
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

/// Key of where the day of that label ends.
pub fn day_end(label: u32) -> Vec<u8> {
    [[DAY_END].as_slice(), &label.to_be_bytes()].concat()
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
