//! The port to a store: where rollouts and their items are kept. Implemented by `store`.

use super::record::{Item, Rollout, RolloutId};
use crate::inbox::LogError;

/// A record with the version that the next write must name.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept<T> {
    /// Counts its writes, from 1; 0: it cannot be read, and neither can how often it was written.
    pub version: u64,
    /// What it is.
    pub record: T,
}

/// The merchants of a rollout.
#[derive(Debug, Clone, Default)]
pub struct Items {
    /// By app id; those whose records cannot be read among them ([`Item::unread`]), with the version 0 where that cannot be read either.
    pub items: Vec<Kept<Item>>,
    /// Whether these are all: `false` where damage hides even whose records it has made unreadable.
    pub is_whole: bool,
}

/// Where rollouts are kept. One method, one transaction, durable when it returns; a version makes every save optimistic.
#[async_trait::async_trait]
pub trait RolloutLog: Send + Sync {
    /// Writes a new rollout with its items: all of them are there, or the rollout is not.
    ///
    /// # Errors
    /// The store's.
    async fn create(&self, rollout: &Rollout, items: &[Item]) -> Result<(), LogError>;

    /// Writes a rollout. `false`: it does not have that version any more, and nothing was written. The version 0 is that of whatever is there.
    ///
    /// # Errors
    /// The store's.
    async fn save_rollout(&self, rollout: &Rollout, if_version: u64) -> Result<bool, LogError>;

    /// Writes one item. `false`: it does not have that version any more, and nothing was written.
    ///
    /// # Errors
    /// The store's.
    async fn save(&self, id: RolloutId, item: &Item, if_version: u64) -> Result<bool, LogError>;

    /// Removes a rollout with its items; one that was being removed when the process ended is still there, and is removed again. `false`: it
    /// does not have that version any more, and nothing was removed.
    ///
    /// # Errors
    /// The store's.
    async fn remove(&self, id: RolloutId, if_version: u64) -> Result<bool, LogError>;

    /// One rollout; [`Rollout::unread`] where its record cannot be read.
    ///
    /// # Errors
    /// The store's, where another try may mend it.
    async fn rollout(&self, id: RolloutId) -> Result<Option<Kept<Rollout>>, LogError>;

    /// All rollouts, oldest first; those among them whose records cannot be read.
    ///
    /// # Errors
    /// The store's, where another try may mend it.
    async fn rollouts(&self) -> Result<Vec<Kept<Rollout>>, LogError>;

    /// The items of a rollout.
    ///
    /// # Errors
    /// The store's, where another try may mend it.
    async fn items(&self, id: RolloutId) -> Result<Items, LogError>;
}
