//! Subscriptions on the vault's store: they hold signing keys, so they are sealed like tokens.

use zeroize::Zeroizing;

use crate::fanout::subscription::{BookError, Subscription, SubscriptionBook};
use crate::vault::shelf::ShelfError;

use super::{Job, RawChange, SledVault, raw_key};

/// Kind of the records, in keys and as associated data of the seal.
const SUBSCRIPTION: &str = "subscription";

#[async_trait::async_trait]
impl SubscriptionBook for SledVault {
    async fn load(&self) -> Result<Vec<Subscription>, BookError> {
        self.read(|reader| {
            let prefix = raw_key(SUBSCRIPTION, "", "");
            let mut subscriptions = Vec::new();
            for entry in reader.tree.scan_prefix(&prefix) {
                let (raw, value) = entry.map_err(|error| ShelfError::Damaged(error.to_string()))?;
                let name = String::from_utf8_lossy(raw.strip_prefix(prefix.as_slice()).unwrap_or_default()).into_owned();
                let record = reader.record(SUBSCRIPTION, &raw, name, &value);
                let read = record.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
                subscriptions.push(read.ok_or_else(|| ShelfError::Damaged(format!("subscription `{}`", record.name)))?);
            }
            Ok(subscriptions)
        })
        .await
        .map_err(refused)
    }

    async fn put(&self, subscription: &Subscription) -> Result<(), BookError> {
        let body = serde_json::to_vec(subscription).map(Zeroizing::new).map_err(|error| BookError(error.to_string()))?;
        self.change(&subscription.name, Some(body)).await
    }

    async fn remove(&self, name: &str) -> Result<(), BookError> {
        self.change(name, None).await
    }
}

impl SledVault {
    async fn change(&self, name: &str, body: Option<Zeroizing<Vec<u8>>>) -> Result<(), BookError> {
        let change = RawChange::new(SUBSCRIPTION, raw_key(SUBSCRIPTION, "", name), None, body).map_err(refused)?;
        self.submit(|answer| Job::Change(vec![change], answer)).await.map_err(refused)
    }
}

fn refused(error: ShelfError) -> BookError {
    BookError(error.to_string())
}
