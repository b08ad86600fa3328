//! What `reconcile` keeps: submissions under `component`, `app id`, `slot`; the state of looks under `component`, `look`.

use super::records::{Expect, Kind, Readable, Swap};
use super::{FjallLog, aside, damaged};
use crate::inbox::LogError;
use crate::inbox::fact::{Subject, Told};
use crate::reconcile::{Ledger, LookState, Place, Submission};

/// Records read at a time.
const PAGE: usize = 1000;

#[async_trait::async_trait]
impl Ledger for FjallLog {
    async fn submissions(&self, component: &str) -> Result<Vec<(Place, Submission)>, LogError> {
        let prefix = Kind::Submission.key(&[component, ""]);
        aside(&self.store, move |store| {
            let mut all = Vec::new();
            let mut after: Option<Vec<u8>> = None;
            loop {
                // One that is damaged is not asked for, and keeps nothing from starting: its end may still come as a push.
                let Readable { found: page, last, .. } = store.readable_under::<Submission>(&prefix, after.as_deref(), PAGE)?;
                let is_last = last.is_none();
                after = last;
                all.extend(page.into_iter().filter_map(|found| {
                    let name = String::from_utf8_lossy(found.key.get(prefix.len()..)?).into_owned();
                    let (authorizer, slot) = name.split_once('\0')?;
                    Some((Place { authorizer: authorizer.to_owned(), slot: slot.to_owned() }, found.record))
                }));
                if is_last {
                    return Ok(all);
                }
            }
        })
        .await
    }

    async fn write(&self, component: &str, changes: &[(Place, Option<Submission>)]) -> Result<(), LogError> {
        let swap = |(place, submission): &(Place, Option<Submission>)| {
            let key = Kind::Submission.key(&[component, &place.authorizer, &place.slot]);
            match submission {
                Some(submission) => Swap::put(key, Expect::Anything, submission),
                None => Ok(Swap::remove(key, Expect::Anything)),
            }
        };
        self.swap(changes.iter().map(swap).collect::<Result<_, _>>()?).await.map(drop)
    }

    async fn told(&self, component: &str, authorizer: &str, subject: Subject) -> Result<Vec<Told>, LogError> {
        let (component, authorizer) = (component.to_owned(), authorizer.to_owned());
        aside(&self.store, move |store| store.told(&component, &authorizer, subject).map_err(damaged)).await
    }

    async fn look(&self, component: &str, look: &str) -> Result<Option<LookState>, LogError> {
        Ok(self.record(&Kind::Look.key(&[component, look]))?.map(|(_, state)| state))
    }

    async fn put_look(&self, component: &str, look: &str, state: &LookState) -> Result<(), LogError> {
        self.swap(vec![Swap::put(Kind::Look.key(&[component, look]), Expect::Anything, state)?]).await.map(drop)
    }
}
