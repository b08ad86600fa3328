//! Gives back the disk's space of what was removed from keyspaces that stay. Those of days are dropped as a whole and need none of it.
//!
//! The engine merges tables by their sizes. Where much is written in the order of its keys and removed soon after, the marks that it was removed are small,
//! never move down to what they are of, and nothing is given back: refused pushes that were kept and made room for others stood on the disk for good,
//! four gigabytes of them after a minute of somebody's forgeries. So when a keyspace has become twice as large as it was when it held nothing but
//! what it should, it is merged as a whole.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::Keyspace;
use tokio::sync::Mutex;

use super::{FjallLog, aside, damaged};

/// What is known of the keyspaces that stay.
#[derive(Default)]
pub struct Tidiness {
    /// Bytes on the disk after a keyspace was merged as a whole last. Held while one is: one at a time.
    merged: Mutex<HashMap<String, u64>>,
    /// Bytes of refused pushes written since it was last asked how large they are on the disk.
    written: AtomicU64,
}

impl FjallLog {
    /// So many bytes of refused pushes more were written.
    pub(super) async fn tidy_rejected(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.tidiness.written.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) < self.store.options.surplus_bytes {
            return;
        }
        self.tidiness.written.store(0, Ordering::Relaxed);
        self.tidy(&self.store.rejected).await;
    }

    /// Looks through all that stay.
    pub(super) async fn tidy_all(&self) {
        for keyspace in [&self.store.waiting, &self.store.dead, &self.store.rejected, &self.store.records] {
            self.tidy(keyspace).await;
        }
    }

    /// Merges a keyspace whose tables hold much more than they should, unless that is under way.
    async fn tidy(&self, keyspace: &Keyspace) {
        let Ok(mut merged) = self.tidiness.merged.try_lock() else { return };
        let name = &**keyspace.name();
        let before = keyspace.disk_space();
        let should = merged.get(name).copied().unwrap_or_default();
        if before < should.saturating_mul(2).saturating_add(self.store.options.surplus_bytes) {
            return;
        }
        let merging = keyspace.clone();
        let after = aside(&self.store, move |_| {
            merging.major_compact().map_err(damaged)?;
            Ok(merging.disk_space())
        });
        match after.await {
            Ok(after) => {
                tracing::info!(keyspace = name, before, after, "the space of what was removed was given back");
                merged.insert(name.to_owned(), after);
            }
            // What is damaged stays as it is, and is not tried again by this process.
            Err(error) => {
                tracing::warn!(keyspace = name, %error, "the space of what was removed cannot be given back");
                merged.insert(name.to_owned(), u64::MAX / 2);
            }
        }
    }
}
