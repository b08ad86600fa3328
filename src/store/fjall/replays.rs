//! Replay jobs, and how their deliveries ended.

use super::writer::{Job, Put};
use super::{FjallLog, damaged, malformed, meta, record};
use crate::inbox::LogError;
use crate::inbox::replay::{MOST_ENDED, Replay, ReplayLog};

/// Jobs listed at most.
const LISTED: usize = 200;

#[async_trait::async_trait]
impl ReplayLog for FjallLog {
    async fn save(&self, replay: &Replay) -> Result<(), LogError> {
        let job = serde_json::to_vec(replay).map_err(|error| LogError::Failed(format!("a replay cannot be written: {error}")))?;
        let mut puts = vec![(self.store.meta.clone(), record::named(meta::REPLAY, &replay.id), Some(job.into()))];
        if replay.state.is_over() {
            puts.extend(self.crowded_out(&replay.id)?.iter().flat_map(|id| self.forgetting(id)));
        }
        self.committer.ask(|answer| Job::Put(puts, answer)).await
    }

    async fn replay(&self, id: &str) -> Result<Option<Replay>, LogError> {
        match self.store.meta.get(record::named(meta::REPLAY, id)).map_err(damaged)? {
            Some(job) => serde_json::from_slice(&job).map(Some).map_err(|_| malformed("a replay")),
            None => Ok(None),
        }
    }

    async fn replays(&self) -> Result<Vec<Replay>, LogError> {
        let mut all = self.all_replays()?;
        all.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        all.truncate(LISTED);
        Ok(all)
    }

    async fn live(&self) -> Result<Vec<Replay>, LogError> {
        Ok(self.all_replays()?.into_iter().filter(|replay| !replay.state.is_over()).collect())
    }

    async fn outcome(&self, id: &str) -> Result<(u64, u64), LogError> {
        let stored = self.store.meta.get(record::named(meta::OUTCOME, id)).map_err(damaged)?;
        Ok(stored.and_then(|value| meta::read_outcome(&value)).unwrap_or_default())
    }
}

impl FjallLog {
    /// All jobs that can be read.
    fn all_replays(&self) -> Result<Vec<Replay>, LogError> {
        let mut all = Vec::new();
        for guard in self.store.meta.prefix([meta::REPLAY]) {
            let (key, value) = guard.into_inner().map_err(damaged)?;
            match serde_json::from_slice(&value) {
                Ok(replay) => all.push(replay),
                Err(error) => {
                    let id = String::from_utf8_lossy(key.get(2..).unwrap_or_default()).into_owned();
                    tracing::error!(replay = id, %error, "damage: a replay does not have its form and is passed over");
                }
            }
        }
        Ok(all)
    }

    /// Of the jobs that are over, those that ended longest ago, down to as many as may be kept together with that one.
    fn crowded_out(&self, newest: &str) -> Result<Vec<String>, LogError> {
        // As long as there are few nothing is read of them.
        if self.store.meta.prefix([meta::REPLAY]).nth(MOST_ENDED - 1).is_none() {
            return Ok(Vec::new());
        }
        let mut ended = self.all_replays()?;
        ended.retain(|replay| replay.state.is_over() && replay.id != newest);
        let at = |replay: &Replay| replay.ended_at.unwrap_or(replay.created_at);
        ended.sort_by(|a, b| (at(b), &b.id).cmp(&(at(a), &a.id)));
        Ok(ended.into_iter().skip(MOST_ENDED - 1).map(|replay| replay.id).collect())
    }

    /// Forgets jobs that ended and were made before, and how deliveries ended of jobs that are not there any more: those
    /// that were under way were counted on.
    pub(super) async fn expunge_replays(&self, before: crate::clock::Timestamp) -> Result<(), LogError> {
        let over = |replay: &Replay| replay.created_at < before && replay.state.is_over();
        let gone: Vec<String> = self.all_replays()?.into_iter().filter(over).map(|replay| replay.id).collect();
        let mut puts: Vec<Put> = gone.iter().flat_map(|id| self.forgetting(id)).collect();
        for guard in self.store.meta.prefix([meta::OUTCOME]) {
            let outcome = guard.key().map_err(damaged)?.to_vec();
            let job: Vec<u8> = std::iter::once(meta::REPLAY).chain(outcome.iter().copied().skip(1)).collect();
            if !self.store.meta.contains_key(job).map_err(damaged)? {
                puts.push((self.store.meta.clone(), outcome, None));
            }
        }
        if puts.is_empty() {
            return Ok(());
        }
        self.committer.ask(|answer| Job::Put(puts, answer)).await
    }

    fn forgetting(&self, id: &str) -> [Put; 2] {
        [meta::REPLAY, meta::OUTCOME].map(|kind| (self.store.meta.clone(), record::named(kind, id), None))
    }
}
