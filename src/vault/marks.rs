//! Marks of visitors' links: the `state` of a link that anybody can ask for is kept nowhere. It says when it was made, and a MAC says that this was
//! here, for that component. So however many visit the public page, none of them ends another one's link; only those that come back are remembered.
//!
//! The key is the store's own: made when the store is, kept among its notes, sealed there like every secret. Called by `authorize`.

use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::envelope::equal;
use crate::secret::Secret;

use super::VaultError;
use super::record::{MarkKeyRecord, key, read, write};
use super::shelf::{Change, Kind, ShelfError, TokenShelf};

/// Name of the note that holds the key.
const NOTE: &str = "mark-key";

/// Bytes of the key, and of a mark: when it was made (milliseconds, 8 bytes), 8 random ones, and 16 of the MAC.
const KEY: usize = 32;
const MARK: usize = 32;
const MOMENT: usize = 8;
const HEAD: usize = 16;

/// Makes marks, and knows its own again.
pub(super) struct Marks(hmac::Key);

impl Marks {
    /// Those of a shelf. A key that cannot be read gives way to a new one: links that visitors have open end, and nothing else.
    pub async fn of(shelf: &dyn TokenShelf) -> Result<Self, VaultError> {
        loop {
            let note = key(Kind::Note, "", NOTE);
            let found = shelf.get(&note).await?;
            if let Some(marks) = found.as_ref().and_then(read::<MarkKeyRecord>).and_then(|record| Self::with(&record.key)) {
                return Ok(marks);
            }
            if found.is_some() {
                tracing::warn!("the key of visitors' links cannot be read: a new one is made, and the links that they have open end");
            }
            let bytes = Zeroizing::new(random::<KEY>()?);
            let record = MarkKeyRecord { key: Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())) };
            match shelf.commit(vec![Change::put_if(note, found.map_or(0, |found| found.version), write(&record)?)]).await {
                Ok(()) => return Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice()))),
                // Another process made one.
                Err(ShelfError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn with(key: &Secret) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(key.expose()).map(Zeroizing::new).ok().filter(|bytes| bytes.len() == KEY)?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// A new mark, as base64url text: of the length of those that are kept.
    pub fn make(&self, component: &str, now: Timestamp) -> Result<String, VaultError> {
        let mut mark = Vec::with_capacity(MARK);
        mark.extend(now.as_millisecond().to_be_bytes());
        mark.extend(random::<{ HEAD - MOMENT }>()?);
        let mac = self.mac(component, &mark);
        mark.extend(mac.as_ref().iter().take(MARK - HEAD));
        Ok(URL_SAFE_NO_PAD.encode(mark))
    }

    /// When that mark was made; `None`: not here, or for another component. Each mark has one spelling.
    pub fn made_at(&self, component: &str, text: &str) -> Option<Timestamp> {
        let mark = URL_SAFE_NO_PAD.decode(text).ok().filter(|mark| mark.len() == MARK)?;
        let (head, sent) = mark.split_at_checked(HEAD)?;
        let mac = self.mac(component, head);
        if !equal::bytes(sent, mac.as_ref().get(..sent.len())?) {
            return None;
        }
        Timestamp::from_millisecond(i64::from_be_bytes(*head.first_chunk::<MOMENT>()?)).ok()
    }

    fn mac(&self, component: &str, head: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        // The head has one length, so nothing can be moved between the two.
        context.update(head);
        context.update(component.as_bytes());
        context.sign()
    }
}

/// So many random bytes.
pub(super) fn random<const BYTES: usize>() -> Result<[u8; BYTES], VaultError> {
    let mut bytes = [0_u8; BYTES];
    rand::fill(&mut bytes).map_err(|_| VaultError::Store(String::from("the system gave no randomness")))?;
    Ok(bytes)
}
