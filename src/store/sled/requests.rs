//! Requests with a key of their caller's, on the vault's store: answers may hold what a merchant would not see printed, so they are sealed
//! like tokens.

use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::operations::idempotency::{self, IdempotencyShelf, Remembered, Slot};
use crate::vault::shelf::{Record, ShelfError};

use super::{Job, RawChange, SledVault, raw_key};

/// Kind of the records, in keys and as associated data of the seal.
const REQUEST: &str = "request";

/// Attempts to be the first before it is said that the store is busy.
const MOST_CLAIMS: usize = 5;

/// Records removed in one commit.
const FORGOTTEN_AT_ONCE: usize = 256;

#[async_trait::async_trait]
impl IdempotencyShelf for SledVault {
    async fn claim(&self, slot: &Slot, fresh: Remembered, expired: Timestamp) -> Result<Option<Remembered>, idempotency::ShelfError> {
        for _ in 0..MOST_CLAIMS {
            let (version, found) = self.remembered(slot).await.map_err(refused)?;
            if let Some(found) = found.filter(|found| found.at > expired) {
                return Ok(Some(found));
            }
            match self.put(slot, Some(version), Some(&fresh)).await {
                Ok(()) => return Ok(None),
                // Somebody else was there first, and is found next.
                Err(ShelfError::Conflict) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Err(idempotency::ShelfError(String::from("too many requests with the same key at once")))
    }

    async fn settle(&self, slot: &Slot, remembered: Option<Remembered>) -> Result<(), idempotency::ShelfError> {
        self.put(slot, None, remembered.as_ref()).await.map_err(refused)
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, idempotency::ShelfError> {
        let old = self.read(move |reader| {
            let prefix = raw_key(REQUEST, "", "");
            let mut old = Vec::new();
            for entry in reader.tree.scan_prefix(&prefix) {
                let (raw, value) = entry.map_err(|error| ShelfError::Damaged(error.to_string()))?;
                let record = reader.record(REQUEST, &raw, String::from("request"), &value);
                // One that cannot be read is of no use to anybody.
                if read(&record).is_none_or(|found| found.at < before) {
                    old.push((raw.to_vec(), record.version));
                }
            }
            Ok(old)
        });
        let old = old.await.map_err(refused)?;
        let mut forgotten = 0;
        for some in old.chunks(FORGOTTEN_AT_ONCE) {
            let changes = some.iter().map(|(raw, version)| RawChange::new(REQUEST, raw.clone(), Some(*version), None));
            let changes = changes.collect::<Result<Vec<_>, _>>().map_err(refused)?;
            match self.submit(|answer| Job::Change(changes, answer)).await {
                Ok(()) => forgotten += u64::try_from(some.len()).unwrap_or(u64::MAX),
                // A key of them was used again this very moment: the rest goes next time.
                Err(ShelfError::Conflict) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(forgotten)
    }
}

impl SledVault {
    /// The record's version, 0 where there is none, and what it holds.
    async fn remembered(&self, slot: &Slot) -> Result<(u64, Option<Remembered>), ShelfError> {
        let raw = raw_key(REQUEST, "", slot.as_str());
        self.read(move |reader| {
            let value = reader.tree.get(&raw).map_err(|error| ShelfError::Damaged(error.to_string()))?;
            Ok(value.map_or((0, None), |value| {
                let record = reader.record(REQUEST, &raw, String::from("request"), &value);
                (record.version, read(&record))
            }))
        })
        .await
    }

    async fn put(&self, slot: &Slot, expected: Option<u64>, remembered: Option<&Remembered>) -> Result<(), ShelfError> {
        let body = remembered.map(serde_json::to_vec).transpose().map_err(|error| ShelfError::Unsealed(error.to_string()))?;
        let change = RawChange::new(REQUEST, raw_key(REQUEST, "", slot.as_str()), expected, body.map(Zeroizing::new))?;
        self.submit(|answer| Job::Change(vec![change], answer)).await
    }
}

fn read(record: &Record) -> Option<Remembered> {
    record.body.as_deref().and_then(|body| serde_json::from_slice(body).ok())
}

fn refused(error: ShelfError) -> idempotency::ShelfError {
    idempotency::ShelfError(error.to_string())
}
