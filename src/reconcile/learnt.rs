//! What the vault learnt of grants from answers to something else becomes an event like everything that is found: handlers hear of a
//! withdrawal whose push was lost, of a grant that was given up and stands after all, and of one that only a browser told.
//!
//! Runs whether or not anything is asked by itself: nobody is asked here.

use std::time::Duration;

use serde_json::Map;

use super::{Corner, Reconcile};
use crate::event_type::EventType;
use crate::inbox::{Finding, LogError};
use crate::vault::{Standing, VaultError};

/// Wait before what could not be told is told again.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Reconcile {
    /// Tells what the vault finds of a component's grants, as soon as it does. Ends never.
    pub(super) async fn listen(&self, corner: &Corner) {
        let component = corner.component.name();
        // The vault is of the same components and lives as long as this worker: errors cannot come.
        let Ok(mut untold) = self.vault.untold(component) else { return };
        loop {
            let Ok(authorizers) = untold.wait_for(|untold| !untold.is_empty()).await.map(|untold| untold.clone()) else { return };
            // What was found while something else was told is told at once.
            let mut is_all_told = true;
            for authorizer in authorizers {
                is_all_told &= self.tell(corner, &authorizer).await.unwrap_or_else(|error| {
                    tracing::warn!(component, authorizer, %error, "what was found of a grant could not be told; it is tried again");
                    false
                });
            }
            if !is_all_told {
                let now = self.clock.now();
                self.clock.sleep_until(now.checked_add(PAUSE).unwrap_or(now)).await;
            }
        }
    }

    /// Whether there was something to tell by now.
    async fn tell(&self, corner: &Corner, authorizer: &str) -> Result<bool, Untold> {
        let component = corner.component.name();
        let Some(found) = self.vault.found(component, authorizer).await? else { return Ok(false) };
        // What was asked stands in such an event where a push has the vendor's name of it.
        let (kind, asked) = match found.what {
            Standing::Gone => (EventType::AuthorizationRevoked, "token.refresh"),
            Standing::Back => (EventType::AuthorizationGranted, "token.refresh"),
            Standing::Came => (EventType::AuthorizationGranted, "token.exchange"),
        };
        let (vendor, at, since) = (found.vendor.clone(), found.at, found.since);
        self.inbox.derive(corner.component.as_ref(), Finding { authorizer, kind, data: Map::new(), asked, vendor, at, since }).await?;
        self.vault.told(component, authorizer, &found).await?;
        Ok(true)
    }
}
