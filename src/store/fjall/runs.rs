//! Runs of playbooks, one record each, by id: ids sort by the time of their event.

use super::records::{Expect, Kind, Swap};
use super::writer::{Group, Hindrance};
use super::{FjallLog, Store, aside, record, survived};
use crate::clock::Timestamp;
use crate::inbox::{EventId, EventLog, LogError, Page, Position};
use crate::playbook::run::{self, Run, RunLog, State};

/// Runs looked at, and forgotten, at a time.
const STRIDE: usize = 256;

/// Records looked at for one page, at most: those that cannot be read cost as much as others.
const LOOKED_AT: usize = 2_000;

#[async_trait::async_trait]
impl RunLog for FjallLog {
    async fn run(&self, id: &str) -> Result<Option<(u64, Run)>, LogError> {
        self.record(&Kind::Run.key(&[id]))
    }

    async fn save_run(&self, version: u64, run: &Run) -> Result<bool, LogError> {
        let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
        self.swap(vec![Swap::put(Kind::Run.key(&[&run.id]), expect, run)?]).await
    }

    async fn runs(&self, after: Option<&str>, limit: usize) -> Result<Page<Run>, LogError> {
        let before = after.map(|after| Kind::Run.key(&[after]));
        aside(&self.store, move |store| {
            // One more than is shown says whether there are more.
            let (most, looked_at) = (limit.saturating_add(1), LOOKED_AT.max(limit.saturating_add(1)));
            let read = store.readable_back::<Run>(&Kind::Run.key(&[]), before.as_deref(), most, looked_at)?;
            let is_cut = read.found.len().saturating_add(read.closed.len()) >= looked_at;
            let mut items: Vec<Run> = read.found.into_iter().map(|found| found.record).collect();
            let next = if items.len() > limit {
                items.truncate(limit);
                items.last().map(|run| run.id.clone())
            } else {
                read.last.filter(|_| is_cut).as_deref().and_then(id_in)
            };
            Ok(Page { items, next: next.map(Position) })
        })
        .await
    }

    async fn expunge_runs(&self, before: Timestamp) -> Result<u64, LogError> {
        let (mut gone, mut unread, mut after) = (0, 0_u64, None);
        let lost_keys = self.store.lost_keys()?;
        loop {
            let from: Option<Vec<u8>> = after.take();
            let prefix = Kind::Run.key(&[]);
            let page = aside(&self.store, move |store| store.readable_under::<Run>(&prefix, from.as_deref(), STRIDE)).await?;
            let Some(last) = page.last else { break };
            let over = |run: &Run| run.updated_at < before && matches!(run.state, State::Done | State::Failed | State::Cancelled);
            for found in page.found.into_iter().filter(|found| over(&found.record)) {
                // One that was taken up again meanwhile stays.
                gone += u64::from(self.swap(vec![Swap::remove(found.key, Expect::Version(found.version))]).await?);
            }
            for closed in page.closed {
                // A key that is only missing may come back.
                let is_lost = match &closed.record {
                    LogError::Damaged(_) => true,
                    LogError::OtherKey(id) => lost_keys.contains(id),
                    _ => false,
                };
                if is_lost && self.is_long_past(&closed.key, before).await {
                    unread += u64::from(self.swap(vec![Swap::remove(closed.key, Expect::Version(closed.version))]).await?);
                }
            }
            after = Some(last);
        }
        if unread > 0 {
            tracing::warn!(runs = unread, "runs that cannot be read were removed: their events are gone");
        }
        Ok(gone.saturating_add(unread))
    }
}

/// The id in a run's key.
fn id_in(key: &[u8]) -> Option<String> {
    let (_, id) = key.split_first()?;
    String::from_utf8(id.to_vec()).ok()
}

impl FjallLog {
    /// Whether the event of the run under that key came before that, and is not there any more. As long as it is, its delivery may be tried or replayed,
    /// and without the record that cannot be read would begin the run anew: what it did would be done twice.
    async fn is_long_past(&self, key: &[u8], before: Timestamp) -> bool {
        let Some(event) = id_in(key).as_deref().and_then(run::event_of) else { return false };
        let came = i64::try_from(record::milliseconds(event.0)).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        came.is_some_and(|came| came < before) && matches!(self.event(event).await, Ok(None))
    }
}

impl Store {
    /// What writes the run down as failed that a subscription has for an event, where its delivery ends because of damage: no sink hears of that. `None`:
    /// there is none under way. With its version, for [`super::records::write`].
    ///
    /// # Errors
    /// The batch writes that run, too; or the read fails for a reason that may pass.
    pub(super) fn given_up(
        &self,
        group: &Group,
        subscription: &str,
        event: EventId,
        why: &str,
        now: Timestamp,
    ) -> Result<Option<(Swap, u64)>, Hindrance> {
        let id = run::id(subscription, event);
        let key = Kind::Run.key(&[&id]);
        if group.records.contains_key(&key) {
            return Err(Hindrance::Conflict);
        }
        let Some(value) = survived(self.records.get(&key), &id)?.flatten() else { return Ok(None) };
        let failed = |(version, mut run): (u64, Run)| {
            // One that waits for a person as well: an approval could not send its event any more.
            if !run.state.is_open() {
                return Ok(None);
            }
            run.give_up(Some(why), now);
            let swap = self.sealed(Swap::put(key.clone(), Expect::Version(version), &run)?)?;
            Ok(Some((swap, version)))
        };
        Ok(self.opened(&key, &value).and_then(failed).unwrap_or_else(|error| {
            tracing::error!(run = id, %error, "a run that is not tried any more could not be written down as failed");
            None
        }))
    }
}
