//! Playbooks made by API, one record each, by name.

use super::records::{Expect, Kind, Swap};
use super::{FjallLog, aside};
use crate::inbox::LogError;
use crate::playbook::book::{PlaybookShelf, Shelved, Stored};

#[async_trait::async_trait]
impl PlaybookShelf for FjallLog {
    async fn playbooks(&self) -> Result<Shelved, LogError> {
        let prefix = Kind::Playbook.key(&[]);
        aside(&self.store, move |store| {
            let name = |key: Vec<u8>| String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
            let salvaged = store.salvaged::<Stored>(&prefix)?;
            Ok(Shelved {
                playbooks: salvaged.found.into_iter().map(|found| (name(found.key), found.record)).collect(),
                unread: salvaged.closed.into_iter().map(|closed| (name(closed.key), closed.record.to_string())).collect(),
                is_whole: salvaged.left_out == 0,
            })
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
