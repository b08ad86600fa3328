//! Rollouts and their items as records. The items of a new rollout are written before it: a rollout that is there has all of them.

use super::records::{Expect, Found, Kind, Swap};
use super::{FjallLog, aside};
use crate::inbox::LogError;
use crate::rollout::record::{Item, Rollout, RolloutId};
use crate::rollout::shelf::{Kept, RolloutLog};

/// Records written or read at a time.
const PORTION: usize = 500;

fn rollout_key(id: RolloutId) -> Vec<u8> {
    Kind::Rollout.key(&[&id.to_string()])
}

fn item_key(id: RolloutId, authorizer: &str) -> Vec<u8> {
    Kind::RolloutItem.key(&[&id.to_string(), authorizer])
}

fn kept<T>(found: Found<T>) -> Kept<T> {
    Kept { version: found.version, record: found.record }
}

impl FjallLog {
    async fn all_under<T: serde::de::DeserializeOwned + Send + 'static>(&self, prefix: Vec<u8>) -> Result<Vec<Kept<T>>, LogError> {
        aside(&self.store, move |store| {
            let mut all = Vec::new();
            let mut after: Option<Vec<u8>> = None;
            loop {
                let found = store.records_under::<T>(&prefix, after.as_deref(), PORTION)?;
                let is_last = found.len() < PORTION;
                after = found.last().map(|found| found.key.clone());
                all.extend(found.into_iter().map(kept));
                if is_last {
                    return Ok(all);
                }
            }
        })
        .await
    }
}

#[async_trait::async_trait]
impl RolloutLog for FjallLog {
    async fn create(&self, rollout: &Rollout, items: &[Item]) -> Result<(), LogError> {
        for portion in items.chunks(PORTION) {
            let put = |item: &Item| Swap::put(item_key(rollout.id, &item.authorizer), Expect::Anything, item);
            self.swap(portion.iter().map(put).collect::<Result<_, _>>()?).await?;
        }
        self.swap(vec![Swap::put(rollout_key(rollout.id), Expect::Anything, rollout)?]).await.map(drop)
    }

    async fn save_rollout(&self, rollout: &Rollout, if_version: u64) -> Result<bool, LogError> {
        self.swap(vec![Swap::put(rollout_key(rollout.id), Expect::Version(if_version), rollout)?]).await
    }

    async fn save(&self, id: RolloutId, item: &Item, if_version: u64) -> Result<bool, LogError> {
        self.swap(vec![Swap::put(item_key(id, &item.authorizer), Expect::Version(if_version), item)?]).await
    }

    async fn remove(&self, id: RolloutId, if_version: u64) -> Result<bool, LogError> {
        let key = rollout_key(id);
        if self.record::<Rollout>(&key)?.is_none_or(|(version, _)| version != if_version) {
            return Ok(false);
        }
        // The rollout goes last: what is left of it is found by it.
        let items = self.all_under::<Item>(item_key(id, "")).await?;
        for portion in items.chunks(PORTION) {
            let remove = |kept: &Kept<Item>| Swap::remove(item_key(id, &kept.record.authorizer), Expect::Anything);
            self.swap(portion.iter().map(remove).collect()).await?;
        }
        self.swap(vec![Swap::remove(key, Expect::Version(if_version))]).await
    }

    async fn rollout(&self, id: RolloutId) -> Result<Option<Kept<Rollout>>, LogError> {
        Ok(self.record(&rollout_key(id))?.map(|(version, record)| Kept { version, record }))
    }

    async fn rollouts(&self) -> Result<Vec<Kept<Rollout>>, LogError> {
        self.all_under(Kind::Rollout.key(&[])).await
    }

    async fn items(&self, id: RolloutId) -> Result<Vec<Kept<Item>>, LogError> {
        self.all_under(item_key(id, "")).await
    }
}
