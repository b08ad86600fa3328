//! The versions that an authorizer has: which one is released, which waits in audit, which was uploaded last.
//!
//! Fed by [`Listener`] with events of audits, builds and releases, and by the desk ([`crate::operations::Observer`]) with what operations on
//! packages and audits gave; a `package.list` mends whatever was missed. Asked by `http`, playbooks and rollouts. Holds what we heard, and
//! never asks a vendor itself: whoever must be certain calls `package.list`.

mod listener;
mod news;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::inbox::{Event, LogError};
use crate::operations::{Observed, Observer};
pub use listener::{FOLLOWER, Listener};
pub use news::{News, Standing};

/// One version in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionNote {
    /// Its number (`1.0.3`), where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The vendor's id of the package, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_id: Option<String>,
    /// The vendor's id of the audit, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
    /// Since when it is there: the event's time, or when the operation was answered.
    #[serde(default)]
    pub at: Timestamp,
}

/// The versions of one authorizer, as far as we heard of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// What users get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<VersionNote>,
    /// What was released before it: what a rollback goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<VersionNote>,
    /// What has passed its audit and waits for its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<VersionNote>,
    /// What the vendor looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_audit: Option<VersionNote>,
    /// What was uploaded last, whatever has become of it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded: Option<VersionNote>,
}

/// What is kept of one authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its versions.
    pub versions: Versions,
    /// How often they were written: what the next write expects.
    pub revision: u64,
}

/// The versions that an authorizer has now, over those that were read.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The component that it authorized.
    pub component: &'a str,
    /// Its app id.
    pub authorizer: &'a str,
    /// What is kept from now on.
    pub versions: Versions,
    /// The revision that was read; `None`: nothing was kept.
    pub over: Option<u64>,
}

/// Where they are kept.
#[async_trait::async_trait]
pub trait VersionShelf: Send + Sync {
    /// The versions of one authorizer; `None` when nothing was ever heard.
    async fn get(&self, component: &str, authorizer: &str) -> Result<Option<Kept>, LogError>;

    /// Writes all of them durably or none. `false`: somebody else has written one of them meanwhile.
    async fn put_all(&self, changes: &[Change<'_>]) -> Result<bool, LogError>;

    /// Authorizers of a component with their versions, in the order of their app ids, those behind `after` only.
    async fn page(&self, component: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Versions)>, LogError>;
}

/// News, with when it was received; of our own operations it is not received.
type Told = (News, Option<Timestamp>);

/// Learns versions from what happens.
pub struct VersionBook {
    shelf: Arc<dyn VersionShelf>,
}

impl VersionBook {
    /// A book kept on that shelf.
    #[must_use]
    pub fn new(shelf: Arc<dyn VersionShelf>) -> Self {
        Self { shelf }
    }

    /// The versions of one authorizer; none at all when nothing was ever heard.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(&self, component: &str, authorizer: &str) -> Result<Versions, LogError> {
        Ok(self.shelf.get(component, authorizer).await?.map(|kept| kept.versions).unwrap_or_default())
    }

    /// What some events tell, oldest first; durable when it returns. Told twice they change nothing.
    ///
    /// # Errors
    /// The store's.
    pub async fn heard(&self, events: &[Event]) -> Result<(), LogError> {
        let mut news: BTreeMap<_, Vec<Told>> = BTreeMap::new();
        for event in events {
            if let Some(authorizer) = &event.authorizer {
                let told = read::event(event).into_iter().map(|news| (news, Some(event.received_at)));
                news.entry((event.component.as_str(), authorizer.as_str())).or_default().extend(told);
            }
        }
        self.learn(&news).await
    }

    /// Learns what is new of each authorizer (by component and app id).
    async fn learn(&self, news: &BTreeMap<(&str, &str), Vec<Told>>) -> Result<(), LogError> {
        loop {
            let mut changes = Vec::new();
            for ((component, authorizer), news) in news {
                if news.is_empty() || authorizer.contains('\0') {
                    continue;
                }
                let kept = match self.shelf.get(component, authorizer).await {
                    Err(LogError::Damaged(error)) => {
                        // One harmed record keeps back nobody else's news.
                        tracing::error!(
                            component,
                            authorizer,
                            error,
                            "damage: what is known of a merchant's versions cannot be read; news of it is passed over"
                        );
                        continue;
                    }
                    kept => kept?,
                };
                let (before, over) = kept.map_or_else(Default::default, |kept| (kept.versions, Some(kept.revision)));
                let versions = news.iter().fold(before.clone(), |versions, (news, received_at)| match received_at {
                    Some(received_at) => versions.hear(news, *received_at),
                    None => versions.learn(news),
                });
                if versions != before {
                    changes.push(Change { component, authorizer, versions, over });
                }
            }
            if changes.is_empty() || self.shelf.put_all(&changes).await? {
                return Ok(());
            }
        }
    }
}

#[async_trait::async_trait]
impl Observer for VersionBook {
    async fn carried_out(&self, done: Observed<'_>) {
        let Some(authorizer) = done.authorizer else { return };
        let news = read::result(done.operation, done.params, done.result, done.at).into_iter().map(|news| (news, None)).collect();
        if let Err(error) = self.learn(&BTreeMap::from([((done.component, authorizer), news)])).await {
            tracing::warn!(component = done.component, authorizer, operation = done.operation, %error, "the version was not noted");
        }
    }
}
