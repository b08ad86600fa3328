//! Coming by the events that a filter may want, newest first, along the narrowest index that it allows (authorizer, type, component; else everything), and
//! past what damage made unreadable: of what is left nothing stays out. `since` and `until` are found through the first sequence of each minute.

use std::ops::ControlFlow;

use bytes::Bytes;
use fjall::{Readable, Snapshot};

use super::days::{Day, KEPT, checkpoint, index, minute};
use super::lines::lock;
use super::passing::Passing;
use super::postings;
use super::record;
use super::waiting;
use super::{Store, damaged, is_damage, malformed, survived};
use crate::event_type::Glob;
use crate::fanout::delivery::Status;
use crate::inbox::{Event, EventFilter, LogError};

/// Deliveries of one status up to which their events are gathered instead of looked for.
const FEW: u64 = 20_000;

/// One event that a walk came by.
pub struct Found<'a> {
    pub sequence: u64,
    /// The event as stored, where the walk had it in hand.
    value: Option<Bytes>,
    day: &'a Day,
    /// Its index says all that the filter asks.
    pub certain: bool,
}

impl Found<'_> {
    /// The event, unless it is damaged: that keeps back none of the others.
    pub fn readable(&self, store: &Store) -> Result<Option<Event>, LogError> {
        match self.read(store) {
            Ok(event) => Ok(Some(event)),
            Err(LogError::Damaged(error)) => {
                tracing::error!(event.sequence = self.sequence, error, "damage: an event cannot be read and is left out of a list");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn read(&self, store: &Store) -> Result<Event, LogError> {
        let value = match &self.value {
            Some(value) => value.clone(),
            None => match self.day.event(self.sequence).map_err(damaged)? {
                Some(value) => value,
                None => store.days.event(self.sequence).map_err(damaged)?.ok_or_else(|| malformed("the index of events"))?,
            },
        };
        Ok(record::read_event(self.sequence, &value).ok_or_else(|| malformed("an event"))?.0)
    }
}

/// Which index is walked along.
pub enum Way {
    /// Every event.
    All,
    /// Keys of the index that begin so, one for each event.
    Index(Vec<u8>),
    /// Lists of events whose keys begin so.
    Lists(Vec<u8>),
}

fn exact(glob: &Option<Glob>) -> Option<&str> {
    glob.as_ref().map(Glob::as_str).filter(|text| !text.contains('*') && !text.is_empty())
}

impl Way {
    /// The narrowest for that filter, and whether it says all that the filter asks.
    pub fn of(filter: &EventFilter) -> (Self, bool) {
        let alone = |used: [bool; 3]| {
            let EventFilter { component, platform, authorizer, kind, since, until, status, q, within } = filter;
            let asked = [authorizer.is_some(), kind.is_some(), component.is_some()];
            let others = platform.is_some() || since.is_some() || until.is_some() || status.is_some() || q.is_some() || within.is_some();
            asked == used && !others
        };
        if let Some(authorizer) = exact(&filter.authorizer) {
            (Self::Index(record::named(index::AUTHORIZER, authorizer)), alone([true, false, false]))
        } else if let Some(kind) = exact(&filter.kind) {
            (Self::Lists(record::named(index::KIND, kind)), alone([false, true, false]))
        } else if let Some(component) = exact(&filter.component) {
            (Self::Lists(record::named(index::COMPONENT, component)), alone([false, false, true]))
        } else {
            (Self::All, alone([false, false, false]))
        }
    }

    /// Sequences from `from` to below `below` in that day, newest first.
    fn along<'a>(
        &self,
        snapshot: &'a Snapshot,
        day: &'a Day,
        (from, below): (u64, u64),
        certain: bool,
    ) -> Box<dyn Iterator<Item = Result<Found<'a>, LogError>> + 'a> {
        let found = move |sequence, value| Found { sequence, value, day, certain };
        match self {
            Self::All => {
                Box::new(Passing::over(snapshot, day, from.max(day.first), below).rev().map(move |(sequence, value)| match value {
                    Ok(value) => Ok(found(sequence, Some(value))),
                    // Whoever wants to read it hears of the damage.
                    Err(error) if is_damage(&error) => Ok(found(sequence, None)),
                    Err(error) => Err(damaged(error)),
                }))
            }
            Self::Index(prefix) => {
                let key = |number: u64| [prefix.as_slice(), &number.to_be_bytes()].concat();
                Box::new(snapshot.range(&day.index, key(from)..key(below)).rev().map(move |guard| {
                    let key = guard.key().map_err(damaged)?;
                    Ok(found(record::last_number(&key).ok_or_else(|| malformed("the index of events"))?, None))
                }))
            }
            Self::Lists(prefix) => Box::new(postings::lists(snapshot, day, prefix, from, below).flat_map(move |guard| {
                let (sequences, error) = match guard.into_inner() {
                    Ok((key, others)) => (Some(postings::listed(&key, &others)), None),
                    Err(error) => (None, Some(Err(damaged(error)))),
                };
                let sequences = sequences.into_iter().flat_map(Iterator::rev).filter(move |one| (from..below).contains(one));
                sequences.map(move |sequence| Ok(found(sequence, None))).chain(error)
            })),
        }
    }
}

impl Store {
    /// Comes by every event below `below` that may fit, newest first; past damage, which is named.
    pub fn walk(
        &self,
        filter: &EventFilter,
        below: u64,
        mut visit: impl FnMut(Found<'_>) -> Result<ControlFlow<()>, LogError>,
    ) -> Result<(), LogError> {
        let (way, certain) = Way::of(filter);
        let days = self.days.all();
        let snapshot = self.db.snapshot();
        if let Some(sequences) = filter.status.map_or(Ok(None), |status| self.few(&snapshot, status))? {
            for sequence in sequences.into_iter().filter(|sequence| *sequence < below) {
                let Some(day) = self.days.of(sequence) else { continue };
                let value = match self.days.event(sequence) {
                    Ok(None) => continue,
                    Ok(value) => value,
                    Err(error) if is_damage(&error) => None,
                    Err(error) => return Err(damaged(error)),
                };
                if visit(Found { sequence, value, day: &day, certain: false })?.is_break() {
                    return Ok(());
                }
            }
            return Ok(());
        }
        let Some(kept) = days.first() else { return Ok(()) };
        let newest = *self.newest.borrow();
        let mut end = newest.saturating_add(1);
        for day in days.iter().rev() {
            let next = std::mem::replace(&mut end, day.first);
            let below = below.min(next);
            let behind = day.end(next, newest);
            if behind < below && self.stretch(&way, &snapshot, kept, (behind, below), certain, &mut visit)?.is_break() {
                return Ok(());
            }
            let place = |from, below, last| {
                let found = checkpoint(&snapshot, &day.index, from, below, last);
                survived(found, format_args!("where a minute of day {} begins", day.label)).map(Option::flatten).map_err(damaged)
            };
            let until = match filter.until {
                // Behind that place only late ones were received before `until`.
                Some(until) => place(minute(until) + 3, u64::MAX, false)?.unwrap_or(u64::MAX).min(below),
                None => below,
            };
            let since = match filter.since {
                Some(since) => place(0, minute(since), true)?,
                None => None,
            };
            let late = Way::Index(vec![index::LATE]);
            if until < below && self.stretch(&late, &snapshot, day, (until, below), false, &mut visit)?.is_break() {
                return Ok(());
            }
            if self.stretch(&way, &snapshot, day, (since.unwrap_or_default(), until), certain, &mut visit)?.is_break() {
                return Ok(());
            }
            if since.is_some() && day.label != KEPT {
                // Whatever is older was received before.
                return Ok(());
            }
        }
        Ok(())
    }

    /// The same in one day, along that way; where its index is damaged, past each event from there on.
    fn stretch(
        &self,
        way: &Way,
        snapshot: &Snapshot,
        day: &Day,
        (from, below): (u64, u64),
        certain: bool,
        visit: &mut dyn FnMut(Found<'_>) -> Result<ControlFlow<()>, LogError>,
    ) -> Result<ControlFlow<()>, LogError> {
        let mut reached = below;
        for found in way.along(snapshot, day, (from, below), certain) {
            match found {
                Ok(found) => {
                    reached = found.sequence;
                    if visit(found)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Err(LogError::Damaged(error)) if !matches!(way, Way::All) => {
                    tracing::error!(
                        day = day.label,
                        error,
                        "damage: an index of events cannot be read; all events below that place are looked at"
                    );
                    return self.stretch(&Way::All, snapshot, day, (from, reached), false, visit);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Sequences of the events with a delivery of that status, newest first, if there are few.
    fn few(&self, snapshot: &Snapshot, status: Status) -> Result<Option<Vec<u64>>, LogError> {
        let lines = self.lines.names().into_iter().filter_map(|name| self.lines.named(&name));
        let (pending, dead) = lines.fold((0, 0), |(pending, dead), line| {
            let line = lock(&line);
            (pending + line.pending, dead + line.dead)
        });
        let gathered: fjall::Result<Vec<u64>> = match status {
            Status::Dead if dead <= FEW => {
                let values = snapshot.iter(&self.dead).map(fjall::Guard::value);
                values.filter_map(|value| value.map(|value| record::read_dead(&value).map(|(sequence, _)| sequence)).transpose()).collect()
            }
            Status::Pending | Status::Held if pending <= FEW => {
                let keys = snapshot.prefix(&self.waiting, [waiting::WAITING]).map(fjall::Guard::key);
                keys.filter_map(|key| key.map(|key| record::last_number(&key)).transpose()).collect()
            }
            _ => return Ok(None),
        };
        // Where damage hides some of them, they are looked for event by event.
        let Some(mut sequences) = survived(gathered, "which deliveries wait or are dead").map_err(damaged)? else { return Ok(None) };
        sequences.sort_unstable_by(|a, b| b.cmp(a));
        sequences.dedup();
        Ok(Some(sequences))
    }
}
