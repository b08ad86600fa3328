//! Start-up: fills a chamber from the shelf, page by page, and makes due what a crash interrupted.

use crate::platform::token::Family;

use super::authorizer::AuthorizerState;
use super::chamber::{Chamber, locked};
use super::held::Slot;
use super::record::{AuthorizerRecord, CodeRecord, Origin, SpentRecord, StateRecord, TokenRecord, UsedRecord, read, token_of};
use super::schedule::{CodeHash, Item};
use super::shelf::{Kind, Record, ShelfError};

/// Records read in one go.
const PAGE: usize = 1000;

impl Chamber {
    /// Reads everything of this component that memory holds.
    pub async fn load(&self) -> Result<(), ShelfError> {
        self.load_ticket().await?;
        self.each(Kind::Authorizer, |found| self.load_authorizer(found)).await?;
        self.each(Kind::Token, |found| self.load_token(found)).await?;
        self.each(Kind::Intent, |found| {
            if let Some((family, app_id)) = token_of(&found.name) {
                self.unsettled(&Slot::authorizer(family, app_id));
            }
        })
        .await?;
        self.each(Kind::Code, |found| self.load_code(found)).await?;

        let mut used = Vec::new();
        self.each(Kind::Used, |found| used.extend(hash_in(found).zip(read::<UsedRecord>(found)))).await?;
        used.sort_by_key(|(_, record)| record.at);
        used.into_iter().for_each(|(hash, record)| locked(&self.used).insert(hash, record));

        self.each(Kind::State, |found| {
            let Some(name) = hash_in(found) else { return };
            if let Some(spent) = read::<SpentRecord>(found) {
                locked(&self.states).spend(name, spent.made_at);
            } else if let Some(record) = read::<StateRecord>(found)
                && let Some(whole) = hex::decode(&record.hash).ok().and_then(|bytes| bytes.try_into().ok())
            {
                locked(&self.states).restore(name, whole, record.created_at, record.asker);
            }
        })
        .await?;
        // The first component token, or the next, is fetched before anybody asks.
        if self.component.needs_component_token() && self.generation(Family::Current, "") == 0 {
            self.due(Item::Token(Slot::component(Family::Current)), self.opened_at());
        }
        let damaged = locked(&self.damaged).len();
        if damaged > 0 {
            tracing::error!(component = self.name, records = damaged, "records of the vault are damaged; what can be won back will be");
        }
        Ok(())
    }

    async fn each(&self, kind: Kind, mut take: impl FnMut(&Record)) -> Result<(), ShelfError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.shelf.page(kind, &self.name, after.as_deref(), PAGE).await?;
            for record in &page {
                if record.body.is_none() {
                    locked(&self.damaged).push(format!("{} {}", kind.as_str(), record.name));
                }
                take(record);
            }
            if page.len() < PAGE {
                return Ok(());
            }
            after = page.last().map(|record| record.name.clone());
        }
    }

    fn load_authorizer(&self, found: &Record) {
        // Of a damaged one we only know that it exists; if its token can be renewed, the grant stands.
        let damaged = || AuthorizerRecord { state: AuthorizerState::Granted, ..AuthorizerRecord::pending(self.opened_at()) };
        self.publish_authorizer(&found.name, &read(found).unwrap_or_else(damaged));
    }

    fn load_token(&self, found: &Record) {
        let Some((family, app_id)) = token_of(&found.name) else { return };
        let slot = self.board.slot(family, app_id);
        match read::<TokenRecord>(found) {
            Some(record) => self.publish(&slot, &record),
            None => {
                // Its version bounds its generation from above.
                self.publish(&slot, &TokenRecord { generation: found.version, ..TokenRecord::default() });
                self.unsettled(&slot);
            }
        }
    }

    fn load_code(&self, found: &Record) {
        let Some(hash) = hash_in(found) else { return };
        let Some(record) = read::<CodeRecord>(found) else { return };
        self.board_code(hash, &record);
        match (record.origin, &record.app_id) {
            // A recovery that stopped on its way goes on with its token's renewal.
            (Origin::Recovery, Some(app_id)) => self.unsettled(&Slot::authorizer(record.family, app_id)),
            _ => self.due(Item::Code(hash), self.opened_at()),
        }
    }

    /// What is held may have been replaced by a call whose answer we lost: to be settled before it is handed out.
    fn unsettled(&self, slot: &Slot) {
        let granted = slot.is_component() || self.state_of(&slot.app_id) == Some(AuthorizerState::Granted);
        if granted {
            self.doubt(slot);
            self.due(Item::Token(slot.clone()), self.opened_at());
        }
    }
}

fn hash_in(found: &Record) -> Option<CodeHash> {
    hex::decode(&found.name).ok()?.try_into().ok()
}
