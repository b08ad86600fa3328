//! Secrets on disk: sealed under the master key with AES-256-GCM, with the key's id, a random nonce, and the record's kind and key
//! as associated data, so that a sealed record moved elsewhere does not open.
//!
//! Layout: `version 1 ‖ key id 4 ‖ nonce 12 ‖ ciphertext and tag`. The key id is the start of SHA-256 over the key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use zeroize::Zeroizing;

use crate::envelope::digest;
use crate::secret::Secret;

const VERSION: u8 = 1;
const HEAD: usize = 1 + 4 + 12;

/// What to do about [`AtRestError::OtherKey`].
pub const OTHER_KEY: &str = "set `store.master_key` to the key it was sealed with, or add that key to `store.previous_master_keys`";

/// Why something sealed could not be sealed or opened.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum AtRestError {
    /// The master key is not 32 bytes of base64.
    #[error("the master key is not 32 bytes in base64")]
    Key,
    /// Sealed with a key that is not configured.
    #[error("sealed under another master key (id {0})")]
    OtherKey(String),
    /// Damaged, or moved from another record.
    #[error("the sealed record is damaged or belongs elsewhere")]
    Damaged,
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    Randomness,
}

/// The key ring: one key that seals, and former ones that only open.
pub struct AtRest {
    current: ([u8; 4], LessSafeKey),
    former: Vec<([u8; 4], LessSafeKey)>,
}

impl AtRest {
    /// Takes the master key and former ones, each 32 bytes in base64.
    ///
    /// # Errors
    /// [`AtRestError::Key`].
    pub fn new(master_key: &Secret, former: &[Secret]) -> Result<Self, AtRestError> {
        Ok(Self { current: key(master_key)?, former: former.iter().map(key).collect::<Result<_, _>>()? })
    }

    /// Seals `plain` as the record `key` of that `kind`.
    ///
    /// # Errors
    /// [`AtRestError::Randomness`].
    pub fn seal(&self, kind: &str, record: &[u8], plain: &[u8]) -> Result<Vec<u8>, AtRestError> {
        let mut nonce = [0u8; 12];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| AtRestError::Randomness)?;
        let (id, key) = &self.current;
        let mut body = plain.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated(kind, record)), &mut body)
            .map_err(|_| AtRestError::Randomness)?;
        let mut sealed = Vec::with_capacity(HEAD + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(id);
        sealed.extend_from_slice(&nonce);
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Opens what [`AtRest::seal`] made for the same kind and record.
    ///
    /// # Errors
    /// Another key's, or damaged.
    pub fn open(&self, kind: &str, record: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AtRestError> {
        let (head, body) = sealed.split_at_checked(HEAD).ok_or(AtRestError::Damaged)?;
        let (Some((&VERSION, rest)), mut body) = (head.split_first(), Zeroizing::new(body.to_vec())) else {
            return Err(AtRestError::Damaged);
        };
        let (id, nonce) = rest.split_at_checked(4).ok_or(AtRestError::Damaged)?;
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| AtRestError::Damaged)?;
        let length = self
            .key_of(id)?
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(associated(kind, record)), &mut body)
            .map_err(|_| AtRestError::Damaged)?
            .len();
        body.truncate(length);
        Ok(body)
    }

    /// Whether a key of this ring made it, as its head says; nothing is opened.
    ///
    /// # Errors
    /// [`AtRestError::OtherKey`]; [`AtRestError::Damaged`] when it is too short to say so.
    pub fn knows(&self, sealed: &[u8]) -> Result<(), AtRestError> {
        self.key_of(sealed.get(1..5).ok_or(AtRestError::Damaged)?).map(drop)
    }

    fn key_of(&self, id: &[u8]) -> Result<&LessSafeKey, AtRestError> {
        let mut all = std::iter::once(&self.current).chain(&self.former);
        let found = all.find(|(known, _)| known.as_slice() == id).map(|(_, key)| key);
        found.ok_or_else(|| AtRestError::OtherKey(hex::encode(id)))
    }

    /// Whether a sealed record was made with a former key and should be sealed again.
    #[must_use]
    pub fn is_outdated(&self, sealed: &[u8]) -> bool {
        sealed.get(1..5) != Some(self.current.0.as_slice())
    }
}

fn key(secret: &Secret) -> Result<([u8; 4], LessSafeKey), AtRestError> {
    let bytes = Zeroizing::new(crate::envelope::cbc::KEY_BASE64.decode(secret.expose()).map_err(|_| AtRestError::Key)?);
    let [a, b, c, d, ..] = digest::sha256(&[&bytes]);
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| AtRestError::Key)?;
    Ok(([a, b, c, d], LessSafeKey::new(key)))
}

fn associated(kind: &str, record: &[u8]) -> Vec<u8> {
    [kind.as_bytes(), &[0], record].concat()
}
