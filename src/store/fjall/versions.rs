//! Versions of authorizers: one record each, under `component` and `app id`.

use super::records::{Expect, Kind, Swap};
use super::{FjallLog, aside};
use crate::inbox::LogError;
use crate::versions::{Kept, VersionShelf, Versions};

#[async_trait::async_trait]
impl VersionShelf for FjallLog {
    async fn get(&self, component: &str, authorizer: &str) -> Result<Option<Kept>, LogError> {
        let found = self.record(&Kind::Versions.key(&[component, authorizer]))?;
        Ok(found.map(|(revision, versions)| Kept { versions, revision }))
    }

    async fn put(&self, component: &str, authorizer: &str, versions: &Versions, over: Option<u64>) -> Result<bool, LogError> {
        let expect = over.map_or(Expect::Absent, Expect::Version);
        self.swap(vec![Swap::put(Kind::Versions.key(&[component, authorizer]), expect, versions)?]).await
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
