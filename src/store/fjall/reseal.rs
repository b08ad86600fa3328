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
    /// A record that no configured key opens, or a log that cannot write.
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
        let mut resealed = 0;
        while let Some(place) = places.pop_front() {
            let (done, next) = self.committer.ask(|answer| Job::Reseal(place, answer)).await???;
            resealed += done;
            places.extend(next);
        }
        Ok(resealed)
    }
}

/// What a step did, and where it goes on; or why a record could not be opened, which ends no more than the step.
pub type Resealed = Result<(u64, Option<Place>), LogError>;

/// Carries out one step.
pub fn carry_out(store: &Store, group: &mut Group, place: Place) -> Result<Resealed, Hindrance> {
    let mut done = 0;
    match place {
        Place::Grants { label, from, end } => {
            let Some(day) = store.days.all().iter().find(|day| day.label == label).cloned() else { return Ok(Ok((0, None))) };
            let mut looked_at = 0;
            for guard in store.db.snapshot().range(&day.index, from..end.clone()) {
                let (key, others) = guard.into_inner()?;
                if looked_at >= STRIDE {
                    return Ok(Ok((done, Some(Place::Grants { label, from: key.to_vec(), end }))));
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
                        Ok(sealed) => group.batch.insert(&day.events, sequence.to_be_bytes(), record::write_event(&event, &sealed)),
                        Err(error) => return Ok(Err(LogError::Damaged(format!("the sealed part of {}: {error}", event.id)))),
                    }
                    done += 1;
                }
            }
        }
        Place::Rejected { from } => {
            for (looked_at, guard) in store.db.snapshot().range(&store.rejected, from..rejected::sealed_end()).enumerate() {
                let (key, sealed) = guard.into_inner()?;
                if looked_at >= STRIDE {
                    return Ok(Ok((done, Some(Place::Rejected { from: key.to_vec() }))));
                }
                if !store.at_rest.is_outdated(&sealed) {
                    continue;
                }
                match store.reseal_rejected(&key, &sealed) {
                    Ok(sealed) => group.batch.insert(&store.rejected, key, sealed),
                    Err(error) => return Ok(Err(LogError::Damaged(format!("a refused push: {error}")))),
                }
                done += 1;
            }
        }
        Place::Records { from } => {
            for (looked_at, guard) in store.db.snapshot().range(&store.records, from..).enumerate() {
                let (key, value) = guard.into_inner()?;
                if looked_at >= STRIDE {
                    return Ok(Ok((done, Some(Place::Records { from: key.to_vec() }))));
                }
                match store.resealed(&key, &value) {
                    Ok(None) => continue,
                    Ok(Some(sealed)) => group.batch.insert(&store.records, key, sealed),
                    Err(error) => return Ok(Err(LogError::Damaged(format!("a record: {error}")))),
                }
                done += 1;
            }
        }
    }
    Ok(Ok((done, None)))
}
