//! Runs of playbooks, one record each, by id: ids sort by the time of their event.

use super::records::{Expect, Kind, Readable, Swap};
use super::writer::{Group, Hindrance};
use super::{FjallLog, Store, aside, survived};
use crate::clock::Timestamp;
use crate::inbox::{EventId, LogError};
use crate::playbook::run::{self, Run, RunLog, State};

/// Runs looked at, and forgotten, at a time.
const STRIDE: usize = 256;

#[async_trait::async_trait]
impl RunLog for FjallLog {
    async fn run(&self, id: &str) -> Result<Option<(u64, Run)>, LogError> {
        self.record(&Kind::Run.key(&[id]))
    }

    async fn save_run(&self, version: u64, run: &Run) -> Result<bool, LogError> {
        let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
        self.swap(vec![Swap::put(Kind::Run.key(&[&run.id]), expect, run)?]).await
    }

    async fn runs(&self, after: Option<&str>, limit: usize) -> Result<Vec<Run>, LogError> {
        let before = after.map(|after| Kind::Run.key(&[after]));
        aside(&self.store, move |store| {
            let found = store.records_back::<Run>(&Kind::Run.key(&[]), before.as_deref(), limit)?;
            Ok(found.into_iter().map(|found| found.record).collect())
        })
        .await
    }

    async fn expunge_runs(&self, before: Timestamp) -> Result<u64, LogError> {
        let (mut gone, mut after) = (0, None);
        loop {
            let from: Option<Vec<u8>> = after.take();
            let prefix = Kind::Run.key(&[]);
            let Readable { found, last } =
                aside(&self.store, move |store| store.readable_under::<Run>(&prefix, from.as_deref(), STRIDE)).await?;
            let Some(last) = last else { return Ok(gone) };
            let over = |run: &Run| run.updated_at < before && matches!(run.state, State::Done | State::Failed | State::Cancelled);
            for found in found.into_iter().filter(|found| over(&found.record)) {
                // One that was taken up again meanwhile stays.
                gone += u64::from(self.swap(vec![Swap::remove(found.key, Expect::Version(found.version))]).await?);
            }
            after = Some(last);
        }
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
