//! The versions that an authorizer has: which one is released, which waits in audit, which was uploaded last.
//!
//! Fed by [`Listener`] with events of audits, builds and releases, and by the desk ([`crate::operations::Observer`]) with what operations on
//! packages and audits gave; a `package.list` mends whatever was missed. Asked by `http`, playbooks and rollouts. Holds what we heard, and
//! never asks a vendor itself: whoever must be certain calls `package.list`.

mod listener;
mod news;
mod read;

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

/// Where they are kept.
#[async_trait::async_trait]
pub trait VersionShelf: Send + Sync {
    /// The versions of one authorizer; `None` when nothing was ever heard.
    async fn get(&self, component: &str, authorizer: &str) -> Result<Option<Kept>, LogError>;

    /// Writes them durably over that revision (`None`: nothing is kept yet). `false`: somebody else has written meanwhile.
    async fn put(&self, component: &str, authorizer: &str, versions: &Versions, over: Option<u64>) -> Result<bool, LogError>;

    /// Authorizers of a component with their versions, in the order of their app ids, those behind `after` only.
    async fn page(&self, component: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Versions)>, LogError>;
}

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

    /// What an event tells; durable when it returns. Told twice it changes nothing.
    ///
    /// # Errors
    /// The store's.
    pub async fn heard(&self, event: &Event) -> Result<(), LogError> {
        match &event.authorizer {
            Some(authorizer) => self.learn(&event.component, authorizer, &read::event(event)).await,
            None => Ok(()),
        }
    }

    async fn learn(&self, component: &str, authorizer: &str, news: &[News]) -> Result<(), LogError> {
        if news.is_empty() || authorizer.contains('\0') {
            return Ok(());
        }
        loop {
            let kept = self.shelf.get(component, authorizer).await?;
            let (before, revision) = kept.map_or_else(Default::default, |kept| (kept.versions, Some(kept.revision)));
            let after = news.iter().fold(before.clone(), |versions, news| versions.learn(news));
            if after == before || self.shelf.put(component, authorizer, &after, revision).await? {
                return Ok(());
            }
        }
    }
}

#[async_trait::async_trait]
impl Observer for VersionBook {
    async fn carried_out(&self, done: Observed<'_>) {
        let Some(authorizer) = done.authorizer else { return };
        let news = read::result(done.operation, done.params, done.result, done.at);
        if let Err(error) = self.learn(done.component, authorizer, &news).await {
            tracing::warn!(component = done.component, authorizer, operation = done.operation, %error, "the version was not noted");
        }
    }
}
