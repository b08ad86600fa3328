//! What the vault learns of a grant without a push: that it is gone, that one given up stands after all, that a browser brought one. `keep` writes
//! it down in the transaction that changes the authorizer; here `reconcile` hears of it, makes an event of it, and says so.
//!
//! It is told at least once, and the log stores it once. Whatever a push says meanwhile is the later word, and leaves nothing to tell. What a
//! browser brought waits a little for its push; the log holds what is told of it against pushes that came before it, or come after.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::sync::watch;

use super::chamber::Chamber;
use super::record::{FoundRecord, Origin, Standing, write};
use super::shelf::{Change, Kind, ShelfError};
use super::{Vault, VaultError};
use crate::clock::Timestamp;

/// What an answer showed of a grant.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// That it is gone, back, or here.
    pub what: Standing,
    /// When it was found, by our clock.
    pub at: Timestamp,
    /// When the grant was made that is gone, or when it was given up that is back; no later than when a merchant granted who came. Where that is known.
    pub since: Option<Timestamp>,
    /// Of the vendor's answer, what people may see.
    pub vendor: Value,
}

impl Vault {
    /// Authorizers of which something was found that is no event yet, and news of that.
    ///
    /// # Errors
    /// [`VaultError::UnknownComponent`].
    pub fn untold(&self, component: &str) -> Result<watch::Receiver<BTreeSet<String>>, VaultError> {
        Ok(self.chamber(component)?.untold.subscribe())
    }

    /// What was found of that authorizer and is to be told. `None` also while its push may still come, and while a newer grant of it is being exchanged: how that ends is
    /// the later word.
    ///
    /// # Errors
    /// [`VaultError::UnknownComponent`], [`VaultError::Store`].
    pub async fn found(&self, component: &str, app_id: &str) -> Result<Option<Found>, VaultError> {
        let chamber = self.chamber(component)?;
        let is_news = |code: &super::codes::WaitingCode| code.origin == Origin::Push && code.app_id.as_deref() == Some(app_id);
        if !chamber.codes_where(is_news).is_empty() {
            return Ok(None);
        }
        let (_, record) = chamber.authorizer_record(app_id).await?;
        let found = record.as_ref().and_then(|record| record.untold()).filter(|found| found.is_due(chamber.clock.now()));
        Ok(found.map(|found| Found { what: found.what, at: found.at, since: found.since, vendor: found.vendor.clone() }))
    }

    /// It is an event now. Nothing happens if something else was found meanwhile.
    ///
    /// # Errors
    /// As [`Vault::found`]; then it is told again, which the log knows.
    pub async fn told(&self, component: &str, app_id: &str, found: &Found) -> Result<(), VaultError> {
        self.chamber(component)?.is_told(app_id, found).await
    }
}

impl Chamber {
    async fn is_told(&self, app_id: &str, told: &Found) -> Result<(), VaultError> {
        let _alone = self.locks.lock(app_id).await;
        loop {
            let (version, Some(mut record)) = self.authorizer_record(app_id).await? else { return Ok(()) };
            // The same grant is to be told again where the end of the one before it was heard late, maybe while this was told: then it follows another.
            let is_what_was_told = |found: &FoundRecord| (found.what, found.at, found.since) == (told.what, told.at, told.since);
            if record.untold().is_some_and(is_what_was_told) {
                record.overtaken();
                match self.commit(vec![Change::put_if(self.key(Kind::Authorizer, app_id), version, write(&record)?)]).await {
                    // Another process changed it: look again.
                    Err(ShelfError::Conflict) => continue,
                    answer => answer?,
                }
            }
            self.publish_authorizer(app_id, &record);
            return Ok(());
        }
    }
}
