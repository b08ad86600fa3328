//! Playbooks made by API, one record each, by name.

use super::records::{Expect, Kind, Swap};
use super::{FjallLog, aside};
use crate::inbox::LogError;
use crate::playbook::book::{PlaybookShelf, Stored};

/// More than there may be.
const ALL: usize = 100_000;

#[async_trait::async_trait]
impl PlaybookShelf for FjallLog {
    async fn playbooks(&self) -> Result<Vec<(String, Stored)>, LogError> {
        let prefix = Kind::Playbook.key(&[]);
        aside(&self.store, move |store| {
            let name = |key: Vec<u8>| String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
            let found = store.records_under::<Stored>(&prefix, None, ALL)?;
            Ok(found.into_iter().map(|found| (name(found.key), found.record)).collect())
        })
        .await
    }

    async fn put_playbook(&self, name: &str, stored: &Stored) -> Result<(), LogError> {
        self.swap(vec![Swap::put(Kind::Playbook.key(&[name]), Expect::Anything, stored)?]).await.map(drop)
    }

    async fn remove_playbook(&self, name: &str) -> Result<(), LogError> {
        self.swap(vec![Swap::remove(Kind::Playbook.key(&[name]), Expect::Anything)]).await.map(drop)
    }
}
