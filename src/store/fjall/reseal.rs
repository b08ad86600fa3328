//! After the master key changed: what is sealed under a former key is sealed again under the present one, so that the former can be forgotten.
//!
//! In small steps between the pushes, each a batch of its own. Asking again is safe and finds nothing.

use std::collections::VecDeque;

use fjall::Readable;

use super::days::index;
use super::postings;
use super::record;
use super::rejected;
use super::writer::{Group, Hindrance, Job};
use super::{FjallLog, Store};
use crate::event_type::EventType;
use crate::inbox::LogError;

/// Records looked at in one step.
const STRIDE: usize = 256;

/// Where sealed records are, from a key on.
#[derive(Debug, Clone)]
pub enum Place {
    /// Grants of a day, found through its index.
    Grants {
        /// The day.
        label: u32,
        /// Where to go on in its index.
        from: Vec<u8>,
        /// End of that type in its index.
        end: Vec<u8>,
    },
    /// Refused pushes.
    Rejected {
        /// Where to go on.
        from: Vec<u8>,
    },
    /// Records.
    Records {
        /// Where to go on.
        from: Vec<u8>,
    },
}

impl FjallLog {
    /// Seals everything again that is sealed under a former master key. Returns how many records that were.
    ///
    /// # Errors
    /// Records that no configured key opens, once all others are sealed again; or a log that cannot write.
    pub async fn reseal(&self) -> Result<u64, LogError> {
        let mut places = VecDeque::from([Place::Rejected { from: rejected::sealed_from() }, Place::Records { from: Vec::new() }]);
        for day in self.store.days.all().iter() {
            // Only grants travel with something sealed.
            for kind in [EventType::AuthorizationGranted, EventType::AuthorizationUpdated] {
                let range = [0, u64::MAX].map(|sequence| record::numbered(index::KIND, kind.as_str(), sequence));
                let [from, end] = range;
                places.push_back(Place::Grants { label: day.label, from, end });
            }
        }
        let (mut resealed, mut closed, mut why) = (0, 0_u64, None);
        while let Some(place) = places.pop_front() {
            let step = self.committer.ask(|answer| Job::Reseal(place, answer)).await??;
            resealed += step.done;
            closed = closed.saturating_add(step.closed);
            why = why.or(step.why);
            places.extend(step.next);
        }
        match why {
            Some(why) => Err(LogError::Damaged(format!(
                "{closed} sealed records do not open, the first: {why}; {resealed} others were sealed again"
            ))),
            None => Ok(resealed),
        }
    }
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Resealed {
    /// Records sealed again.
    done: u64,
    /// Records that do not open.
    closed: u64,
    /// Why the first of them does not.
    why: Option<String>,
    /// Where it goes on.
    next: Option<Place>,
}

impl Resealed {
    /// One that does not open holds up none of the others.
    fn closed(&mut self, why: String) {
        self.closed = self.closed.saturating_add(1);
        self.why.get_or_insert(why);
    }
}

/// Carries out one step.
pub fn carry_out(store: &Store, group: &mut Group, place: Place) -> Result<Resealed, Hindrance> {
    let mut step = Resealed::default();
    match place {
        Place::Grants { label, from, end } => {
            let Some(day) = store.days.all().iter().find(|day| day.label == label).cloned() else { return Ok(step) };
            let mut looked_at = 0;
            for guard in store.db.snapshot().range(&day.index, from..end.clone()) {
                let (key, others) = guard.into_inner()?;
                if looked_at >= STRIDE {
                    return Ok(Resealed { next: Some(Place::Grants { label, from: key.to_vec(), end }), ..step });
                }
                for sequence in postings::listed(&key, &others) {
                    looked_at += 1;
                    let Some((event, sealed)) = day.event(sequence)?.and_then(|value| record::read_event(sequence, &value)) else {
                        continue;
                    };
                    if sealed.is_empty() || !store.at_rest.is_outdated(&sealed) {
                        continue;
                    }
                    match store.unseal(event.id, &sealed).and_then(|secret| store.seal(event.id, &secret)) {
                        Ok(sealed) => {
                            group.batch.insert(&day.events, sequence.to_be_bytes(), record::write_event(&event, &sealed));
                            step.done += 1;
                        }
                        Err(error) => step.closed(format!("the sealed part of {}: {error}", event.id)),
                    }
                }
            }
        }
        Place::Rejected { from } => {
            for (looked_at, guard) in store.db.snapshot().range(&store.rejected, from..rejected::sealed_end()).enumerate() {
                let (key, sealed) = guard.into_inner()?;
                if looked_at >= STRIDE {
                    return Ok(Resealed { next: Some(Place::Rejected { from: key.to_vec() }), ..step });
                }
                if !store.at_rest.is_outdated(&sealed) {
                    continue;
                }
                match store.reseal_rejected(&key, &sealed) {
                    Ok(sealed) => {
                        group.batch.insert(&store.rejected, key, sealed);
                        step.done += 1;
                    }
                    Err(error) => step.closed(format!("a refused push: {error}")),
                }
            }
        }
        Place::Records { from } => {
            for (looked_at, guard) in store.db.snapshot().range(&store.records, from..).enumerate() {
                let (key, value) = guard.into_inner()?;
                if looked_at >= STRIDE {
                    return Ok(Resealed { next: Some(Place::Records { from: key.to_vec() }), ..step });
                }
                match store.resealed(&key, &value) {
                    Ok(None) => {}
                    Ok(Some(sealed)) => {
                        group.batch.insert(&store.records, key, sealed);
                        step.done += 1;
                    }
                    Err(error) => step.closed(format!("a record: {error}")),
                }
            }
        }
    }
    Ok(step)
}
