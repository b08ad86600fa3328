//! Replay jobs, and how their deliveries ended.

use super::writer::Job;
use super::{FjallLog, damaged, malformed, meta, record};
use crate::inbox::LogError;
use crate::inbox::replay::{Replay, ReplayLog};

/// Jobs listed at most.
const LISTED: usize = 200;

#[async_trait::async_trait]
impl ReplayLog for FjallLog {
    async fn save(&self, replay: &Replay) -> Result<(), LogError> {
        let job = serde_json::to_vec(replay).map_err(|error| LogError::Failed(format!("a replay cannot be written: {error}")))?;
        let put = (self.store.meta.clone(), record::named(meta::REPLAY, &replay.id), Some(job.into()));
        self.committer.ask(|answer| Job::Put(vec![put], answer)).await
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

    /// Forgets jobs that ended and were made before.
    pub(super) async fn expunge_replays(&self, before: crate::clock::Timestamp) -> Result<(), LogError> {
        let over = |replay: &Replay| replay.created_at < before && replay.state.is_over();
        let mut puts = Vec::new();
        for replay in self.all_replays()?.iter().filter(|replay| over(replay)) {
            puts.extend([meta::REPLAY, meta::OUTCOME].map(|kind| (self.store.meta.clone(), record::named(kind, &replay.id), None)));
        }
        if puts.is_empty() {
            return Ok(());
        }
        self.committer.ask(|answer| Job::Put(puts, answer)).await
    }
}
