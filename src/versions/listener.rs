//! Reads the log for the version book.

use std::sync::Arc;

use super::VersionBook;
use crate::fanout::follower;
use crate::inbox::{Event, LogError};

/// Its name among followers of the log.
pub const FOLLOWER: &str = "versions";

/// Hands events to the version book.
pub struct Listener {
    book: Arc<VersionBook>,
}

impl Listener {
    /// What it hears of.
    pub const EVENTS: [&str; 3] = ["audit.*", "build.*", "release.changed"];

    /// For [`FOLLOWER`].
    #[must_use]
    pub fn new(book: Arc<VersionBook>) -> Self {
        Self { book }
    }
}

#[async_trait::async_trait]
impl follower::Listener for Listener {
    async fn hear(&self, events: &[Event]) -> Result<(), LogError> {
        self.book.heard(events).await
    }
}
