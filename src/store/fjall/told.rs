//! How facts are written. A pushed one is a note beside the key that its event has among its authorizer's; those of a subject of which something was
//! found by asking stand together, an entry each, oldest first.
//!
//! A note: `component, subject, entry`, each as `length 2 ‖ bytes`. Together: `1`, then per entry `length 2 ‖ flags ‖ sequence 8 ‖ at 12 ‖ learnt at 12 ‖ [since 12] ‖ kind, version, package id, audit id`, texts as
//! `length 2 ‖ bytes`. What does not have that form is as good as nothing: at worst a fact is told twice.

use super::record::Reader;
use crate::clock::Timestamp;
use crate::inbox::fact::{Fact, REMEMBERED, Subject, Told};

const FORM: u8 = 1;
const DERIVED: u8 = 1;
const TAKEN: u8 = 2;
const HAS_SINCE: u8 = 4;
/// Length of a text that is not there.
const NO_TEXT: u16 = u16::MAX;
/// Ids and versions are short; what is longer than this is as good as not told.
const LONGEST_TEXT: usize = 256;

/// What stands beside the key of an event that tells `fact`; what was found stands among the others of its subject.
pub fn note(component: &str, fact: &Fact) -> Vec<u8> {
    let mut to = Vec::new();
    if !fact.told.derived {
        for part in [component.as_bytes(), fact.subject.as_str().as_bytes(), &written(&fact.told)] {
            put(&mut to, part);
        }
    }
    to
}

/// The fact of a note, if it is about that subject, of an event with that sequence.
pub fn noted(note: &[u8], component: &str, subject: Subject, sequence: u64) -> Option<Told> {
    let mut from = Reader(note);
    let is_meant = short(&mut from)? == component.as_bytes() && short(&mut from)? == subject.as_str().as_bytes();
    let told = one(short(&mut from).filter(|_| is_meant)?)?;
    Some(Told { sequence, ..told })
}

/// What to write once `fact` is told with that sequence, and the sequence of the event that told it before.
pub fn remember(stored: &[u8], fact: &Fact, sequence: u64) -> (Vec<u8>, Option<u64>) {
    let entries = entries(stored);
    if !fact.could_be_told_by_pushes() && !entries.iter().any(|entry| entry.first().is_some_and(|flags| flags & DERIVED != 0)) {
        let mut to = vec![FORM];
        let surplus = (entries.len() + 1).saturating_sub(REMEMBERED);
        entries.iter().skip(surplus).for_each(|entry| put(&mut to, entry));
        put(&mut to, &written(&Told { sequence, ..fact.told.clone() }));
        return (to, None);
    }
    let mut told = read(stored);
    let told_by = fact.is_told(&mut told);
    if told_by.is_none()
        && let Some(newest) = told.last_mut()
    {
        newest.sequence = sequence;
    }
    (write(&told), told_by)
}

/// All of them, oldest first.
pub fn read(stored: &[u8]) -> Vec<Told> {
    entries(stored).into_iter().filter_map(one).collect()
}

/// All of them together.
pub fn write(told: &[Told]) -> Vec<u8> {
    let mut to = vec![FORM];
    told.iter().for_each(|told| put(&mut to, &written(told)));
    to
}

fn put(to: &mut Vec<u8>, entry: &[u8]) {
    // An entry holds four bounded texts and some numbers.
    let length = u16::try_from(entry.len()).unwrap_or_default();
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(entry);
}

fn entries(stored: &[u8]) -> Vec<&[u8]> {
    let mut from = Reader(stored);
    let mut found = Vec::with_capacity(REMEMBERED);
    if from.byte() != Some(FORM) {
        return found;
    }
    while let Some(entry) = short(&mut from) {
        found.push(entry);
    }
    found
}

fn short<'a>(from: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = u16::from_be_bytes(from.array()?);
    from.bytes(usize::from(length))
}

fn written(told: &Told) -> Vec<u8> {
    let mut to = Vec::with_capacity(96);
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    to.push(flag(told.derived, DERIVED) | flag(told.taken, TAKEN) | flag(told.since.is_some(), HAS_SINCE));
    to.extend_from_slice(&told.sequence.to_be_bytes());
    for at in [Some(told.at), Some(told.learnt_at), told.since].into_iter().flatten() {
        to.extend_from_slice(&at.as_second().to_be_bytes());
        to.extend_from_slice(&at.subsec_nanosecond().to_be_bytes());
    }
    for text in [Some(told.kind.as_str()), told.version.as_deref(), told.package_id.as_deref(), told.audit_id.as_deref()] {
        match text.filter(|text| text.len() <= LONGEST_TEXT) {
            Some(text) => put(&mut to, text.as_bytes()),
            None => to.extend_from_slice(&NO_TEXT.to_be_bytes()),
        }
    }
    to
}

fn one(entry: &[u8]) -> Option<Told> {
    let mut from = Reader(entry);
    let flags = from.byte()?;
    let sequence = from.number()?;
    let (at, learnt_at) = (from.time()?, from.time()?);
    let since: Option<Timestamp> = if flags & HAS_SINCE == 0 { None } else { Some(from.time()?) };
    let kind = text(&mut from)??.parse().ok()?;
    let (version, package_id, audit_id) = (text(&mut from)?, text(&mut from)?, text(&mut from)?);
    Some(Told {
        kind,
        version,
        package_id,
        audit_id,
        at,
        learnt_at,
        since,
        derived: flags & DERIVED != 0,
        taken: flags & TAKEN != 0,
        sequence,
    })
}

/// A text, or that there is none; `None` outside when the entry ends before it.
fn text(from: &mut Reader<'_>) -> Option<Option<String>> {
    let length = u16::from_be_bytes(from.array()?);
    if length == NO_TEXT {
        return Some(None);
    }
    let bytes = from.bytes(usize::from(length))?;
    Some(Some(std::str::from_utf8(bytes).ok()?.to_owned()))
}
