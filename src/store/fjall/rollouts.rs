//! Rollouts and their items as records. The items of a new rollout are written before it: a rollout that is there has all of them.
//!
//! What cannot be read is handed out as such ([`Rollout::unread`], [`Item::unread`]): it says so to whoever asks for it, and stays on the disk as it is.

use std::collections::BTreeSet;
use std::io;

use serde::de::IgnoredAny;

use super::records::{Expect, Found, Kind, Salvaged, Swap, split};
use super::{FjallLog, Store, aside, damaged, is_damage, past};
use crate::inbox::LogError;
use crate::rollout::record::{Item, Rollout, RolloutId};
use crate::rollout::shelf::{Items, Kept, RolloutLog};

/// Records written at a time.
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

/// What was written last must be named where its version cannot be read: then whatever is there is written over.
fn expected(version: u64) -> Expect {
    if version == 0 { Expect::Anything } else { Expect::Version(version) }
}

impl Store {
    fn rollouts(&self) -> Result<Vec<Kept<Rollout>>, LogError> {
        let prefix = Kind::Rollout.key(&[]);
        let Salvaged { found, closed, left_out } = self.salvaged::<Rollout>(&prefix)?;
        let id_of = |key: &[u8]| std::str::from_utf8(key.get(prefix.len()..)?).ok()?.parse::<RolloutId>().ok();
        let unread = closed.into_iter().filter_map(|one| Some((id_of(&one.key)?, one.version, one.record.to_string())));
        let mut all: Vec<_> = unread
            .map(|(id, version, why)| Kept { version, record: Rollout::unread(id, &why) })
            .chain(found.into_iter().map(kept))
            .collect();
        if left_out > 0 {
            let known: BTreeSet<_> = all.iter().map(|kept| kept.record.id).collect();
            // What stands beside damage is read one by one. Merchants without a rollout are what a creation left that broke off.
            for id in self.rollouts_of_items()?.into_iter().filter(|id| !known.contains(id)) {
                all.extend(self.rollout(id)?);
            }
        }
        all.sort_by_key(|kept| kept.record.id);
        Ok(all)
    }

    fn rollout(&self, id: RolloutId) -> Result<Option<Kept<Rollout>>, LogError> {
        let key = rollout_key(id);
        let (version, error) = match self.records.get(&key).map_err(damaged) {
            Ok(None) => return Ok(None),
            Ok(Some(value)) => match self.opened(&key, &value) {
                Ok((version, record)) => return Ok(Some(Kept { version, record })),
                Err(error) => (split(&value).map_or(0, |(version, _)| version), error),
            },
            Err(error) => (0, error),
        };
        match error {
            LogError::Damaged(_) | LogError::OtherKey(_) => Ok(Some(Kept { version, record: Rollout::unread(id, &error.to_string()) })),
            error => Err(error),
        }
    }

    /// Those that have merchants: each of them had a record.
    fn rollouts_of_items(&self) -> Result<BTreeSet<RolloutId>, LogError> {
        let prefix = Kind::RolloutItem.key(&[]);
        let mut ids = BTreeSet::new();
        let read = past::under(&self.db.snapshot(), &self.records, &prefix, |key, _| {
            let id = key.get(prefix.len()..).and_then(|rest| std::str::from_utf8(rest.split(|byte| *byte == 0).next()?).ok());
            ids.extend(id.and_then(|id| id.parse::<RolloutId>().ok()));
            Ok::<_, io::Error>(())
        });
        read.map_err(|error| LogError::Unread(error.to_string()))?;
        Ok(ids)
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
        self.swap(vec![Swap::put(rollout_key(rollout.id), expected(if_version), rollout)?]).await
    }

    async fn save(&self, id: RolloutId, item: &Item, if_version: u64) -> Result<bool, LogError> {
        self.swap(vec![Swap::put(item_key(id, &item.authorizer), expected(if_version), item)?]).await
    }

    async fn remove(&self, id: RolloutId, if_version: u64) -> Result<bool, LogError> {
        let key = rollout_key(id);
        let version = match self.store.records.get(&key) {
            Err(error) if if_version == 0 && is_damage(&error) => Some(0),
            read => read.map_err(damaged)?.map(|value| split(&value).map_or(0, |(version, _)| version)),
        };
        if version != Some(if_version) {
            return Ok(false);
        }
        // The rollout goes last: what is left of it is found by it.
        let prefix = item_key(id, "");
        let items = aside(&self.store, move |store| store.salvaged::<IgnoredAny>(&prefix)).await?;
        let keys: Vec<_> = items.found.into_iter().map(|one| one.key).chain(items.closed.into_iter().map(|one| one.key)).collect();
        for portion in keys.chunks(PORTION) {
            self.swap(portion.iter().map(|key| Swap::remove(key.clone(), Expect::Anything)).collect()).await?;
        }
        self.swap(vec![Swap::remove(key, expected(if_version))]).await
    }

    async fn rollout(&self, id: RolloutId) -> Result<Option<Kept<Rollout>>, LogError> {
        self.store.rollout(id)
    }

    async fn rollouts(&self) -> Result<Vec<Kept<Rollout>>, LogError> {
        aside(&self.store, Store::rollouts).await
    }

    async fn items(&self, id: RolloutId) -> Result<Items, LogError> {
        let prefix = item_key(id, "");
        aside(&self.store, move |store| {
            let Salvaged { found, closed, left_out } = store.salvaged::<Item>(&prefix)?;
            let unread = closed.into_iter().map(|one| {
                let authorizer = String::from_utf8_lossy(one.key.get(prefix.len()..).unwrap_or_default()).into_owned();
                Kept { version: one.version, record: Item::unread(authorizer, id.made_at()) }
            });
            let mut items: Vec<_> = unread.chain(found.into_iter().map(kept)).collect();
            items.sort_by(|one, other| one.record.authorizer.cmp(&other.record.authorizer));
            Ok(Items { items, is_whole: left_out == 0 })
        })
        .await
    }
}
