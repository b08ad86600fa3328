//! Answers that came and cannot be verified or deciphered yet: a platform changed its certificate, or a key of our settings is wrong.
//! What was spent for such an answer is spent, and the tokens may be in it; so it stays on the shelf as it is, and whoever tries again,
//! after a start with mended settings too, reads it without a call. An answer to a renewal that no key will ever open (it was altered on its way) a person
//! may give up: [`super::Vault::refresh_anew`].
//!
//! Asked by `refresh` and `exchange` about what they could not read. Sends nothing and writes nothing.

use crate::clock::Timestamp;
use crate::platform::{ApiError, AuthorizerTokens};

use super::VaultError;
use super::chamber::Chamber;
use super::exchange::GIVEN_UP_AFTER;
use super::held::Slot;
use super::record::CodeRecord;
use super::schedule::{is_ahead, later};
use super::shelf::ShelfError;

/// What becomes of an answer that lacks a key.
pub(super) enum Unread {
    /// It is read again; what to say until then.
    Waits(VaultError),
    /// Nobody found the key for a day: from now on it is as if it had never come.
    GivenUp,
}

impl Chamber {
    /// What becomes of an answer of that time which could not be read; `None` where no key of ours would help. `way_out` says how a person ends the wait.
    pub fn unread(&self, error: &ApiError, answered_at: Timestamp, way_out: &str) -> Option<Unread> {
        if !error.lacks_key() {
            return None;
        }
        if later(answered_at, GIVEN_UP_AFTER) <= self.clock.believed() {
            tracing::warn!(component = self.name, %error, "an answer that nobody could read for a day is given up");
            return Some(Unread::GivenUp);
        }
        let message = format!("{}; it is kept for a day and read as soon as the settings are mended{way_out}", error.message);
        Some(Unread::Waits(VaultError::VendorRefused(ApiError { message, ..error.clone() })))
    }

    /// Of tokens from an answer that waited since `answered_at`, those that nothing followed: a merchant who saw no success may have
    /// authorized once more, or withdrawn, and what the vendor said last is what it will accept.
    pub async fn unfollowed(
        &self,
        record: &CodeRecord,
        named: Vec<(String, AuthorizerTokens)>,
        answered_at: Timestamp,
    ) -> Result<Vec<(String, AuthorizerTokens)>, ShelfError> {
        let now = self.clock.now();
        let mut left = Vec::with_capacity(named.len());
        for (app_id, tokens) in named {
            let (_, held) = self.token_record(&Slot::authorizer(record.family, &app_id)).await?;
            // The same access token is of the same grant: a list of grants may have brought it without its refresh token (Alipay 4.6).
            let is_later = held.obtained_at > answered_at && (!is_ahead(held.obtained_at, now) || is_ahead(answered_at, now));
            let is_replaced = is_later && held.access.is_some_and(|access| access.value != tokens.access.value);
            let (_, known) = self.authorizer_record(&app_id).await?;
            if is_replaced || known.is_some_and(|known| known.outlived(record.granted_at)) {
                tracing::info!(component = self.name, authorizer = app_id, "tokens of an answer that waited were overtaken");
            } else {
                left.push((app_id, tokens));
            }
        }
        Ok(left)
    }
}
