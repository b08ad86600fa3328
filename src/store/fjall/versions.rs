//! Versions of authorizers: one record each, under `component` and `app id`.

use super::records::{Expect, Kind, Swap};
use super::{FjallLog, aside};
use crate::inbox::LogError;
use crate::versions::{Change, Kept, VersionShelf, Versions};

#[async_trait::async_trait]
impl VersionShelf for FjallLog {
    async fn get(&self, component: &str, authorizer: &str) -> Result<Option<Kept>, LogError> {
        let found = self.record(&Kind::Versions.key(&[component, authorizer]))?;
        Ok(found.map(|(revision, versions)| Kept { versions, revision }))
    }

    async fn put_all(&self, changes: &[Change<'_>]) -> Result<bool, LogError> {
        let swap = |change: &Change<'_>| {
            let key = Kind::Versions.key(&[change.component, change.authorizer]);
            Swap::put(key, change.over.map_or(Expect::Absent, Expect::Version), &change.versions)
        };
        self.swap(changes.iter().map(swap).collect::<Result<_, _>>()?).await
    }

    async fn page(&self, component: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Versions)>, LogError> {
        let prefix = Kind::Versions.key(&[component, ""]);
        let after = after.map(|after| Kind::Versions.key(&[component, after]));
        let begins = prefix.len();
        let found = aside(&self.store, move |store| store.records_under::<Versions>(&prefix, after.as_deref(), limit)).await?;
        let app_id = |key: &[u8]| String::from_utf8_lossy(key.get(begins..).unwrap_or_default()).into_owned();
        Ok(found.into_iter().map(|found| (app_id(&found.key), found.record)).collect())
    }
}
