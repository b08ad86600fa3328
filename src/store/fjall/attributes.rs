//! Tags and variables of authorizers, one record each, by component and app id.

use super::records::{Expect, Kind, Swap};
use super::{FjallLog, aside};
use crate::attributes::{AttributeShelf, Attributes, Change, ChangeError};
use crate::inbox::LogError;

/// So often a change is made again because somebody else changed the same merchants meanwhile.
const TRIES: u32 = 16;

#[async_trait::async_trait]
impl AttributeShelf for FjallLog {
    async fn get(&self, component: &str, authorizer: &str) -> Result<Attributes, LogError> {
        let found = self.record(&Kind::Attributes.key(&[component, authorizer]))?;
        Ok(found.map(|(_, attributes)| attributes).unwrap_or_default())
    }

    async fn change(&self, component: &str, changes: &[(String, Change)]) -> Result<Vec<Attributes>, ChangeError> {
        let again = changes.iter().enumerate().filter(|(index, (one, _))| changes.iter().take(*index).any(|(other, _)| one == other));
        let twice = |(_, (authorizer, _)): (usize, &(String, Change))| {
            (authorizer.clone(), String::from("authorizer"), String::from("is named twice"))
        };
        let twice: Vec<_> = again.map(twice).collect();
        if !twice.is_empty() {
            return Err(ChangeError::Invalid(twice));
        }
        for _ in 0..TRIES {
            let (mut swaps, mut after, mut invalid) = (Vec::new(), Vec::new(), Vec::new());
            for (authorizer, change) in changes {
                let key = Kind::Attributes.key(&[component, authorizer]);
                let (expect, before) = match self.record::<Attributes>(&key) {
                    Ok(Some((version, before))) => (Expect::Version(version), before),
                    Ok(None) => (Expect::Absent, Attributes::default()),
                    // What is replaced whole need not be read.
                    Err(LogError::Damaged(_) | LogError::OtherKey(_)) if matches!(change, Change::Replace(_)) => {
                        (Expect::Anything, Attributes::default())
                    }
                    Err(error) => return Err(error.into()),
                };
                let attributes = change.apply(before);
                invalid.extend(attributes.problems().into_iter().map(|(member, why)| (authorizer.clone(), member, why)));
                match (attributes.is_empty(), expect) {
                    (true, Expect::Absent) => {}
                    (true, _) => swaps.push(Swap::remove(key, expect)),
                    (false, _) => swaps.push(Swap::put(key, expect, &attributes)?),
                }
                after.push(attributes);
            }
            if !invalid.is_empty() {
                return Err(ChangeError::Invalid(invalid));
            }
            if swaps.is_empty() || self.swap(swaps).await? {
                return Ok(after);
            }
        }
        Err(LogError::Full.into())
    }

    async fn page(&self, component: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Attributes)>, LogError> {
        let prefix = Kind::Attributes.key(&[component, ""]);
        let after = after.map(|after| Kind::Attributes.key(&[component, after]));
        let found = aside(&self.store, move |store| {
            let found = store.records_under::<Attributes>(&prefix, after.as_deref(), limit)?;
            let app_id = |key: Vec<u8>| String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
            Ok(found.into_iter().map(|found| (app_id(found.key), found.record)).collect())
        });
        found.await
    }
}
