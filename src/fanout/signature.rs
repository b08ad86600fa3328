//! Standard Webhooks: how a delivery is signed, and how a handler verifies it.
//!
//! The webhook sink signs. Handlers written in Rust, the demo's and those of tests among them, verify with [`verify`].
//! What is signed is `id.timestamp.body` over the exact bytes that are sent; nothing is ever serialised again to be signed.
//!
//! A secret is `whsec_` and the base64 of an HMAC-SHA256 key (signatures `v1`), or `whsk_` and the base64 of an Ed25519 seed, alone or followed
//! by its public key (signatures `v1a`, verified with `whpk_`).

use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::envelope::equal;
use crate::secret::Secret;

const SYMMETRIC: &str = "whsec_";
const PRIVATE: &str = "whsk_";
const PUBLIC: &str = "whpk_";

/// Length of a key that we make.
const KEY_BYTES: usize = 32;
const SEED_BYTES: usize = 32;

/// How far a handler's clock and ours may be apart, in either direction: what every reference library uses.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// Signatures in one header that are looked at; the rest is somebody's attempt to keep us busy.
const MOST_SIGNATURES: usize = 16;

/// Length of an entry with an HMAC: `v1,` and 44 characters.
const USUAL_ENTRY: usize = 47;

/// Why a text is no key.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// No known prefix.
    #[error("does not start with `whsec_`")]
    Prefix,
    /// Not base64 after the prefix.
    #[error("is not base64 after its prefix")]
    Base64,
    /// Empty, or longer than 64 bytes.
    #[error("holds {0} bytes, not 24 to 64")]
    Length(usize),
    /// Not an Ed25519 key, or its two halves do not belong together.
    #[error("is not an Ed25519 key")]
    Ed25519,
    /// A public key cannot sign.
    #[error("is a public key, which cannot sign")]
    Public,
    /// The system gave no randomness.
    #[error("cannot be made: the system gave no randomness")]
    Randomness,
}

enum Key {
    Symmetric(Box<hmac::Key>),
    Private(Box<Ed25519KeyPair>),
    Public(Vec<u8>),
}

/// A key that signs deliveries.
pub struct Signer(Key);

impl Signer {
    /// Reads a subscription's secret. Any length up to 64 bytes is taken, for secrets that were made elsewhere; see [`is_weak`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(secret: &Secret) -> Result<Self, KeyError> {
        match key(secret)? {
            Key::Public(_) => Err(KeyError::Public),
            key => Ok(Self(key)),
        }
    }

    /// One entry of `webhook-signature`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut entry = String::with_capacity(USUAL_ENTRY);
        self.append(&mut entry, id, timestamp, body);
        entry
    }

    fn append(&self, to: &mut String, id: &str, timestamp: &str, body: &[u8]) {
        match &self.0 {
            Key::Symmetric(key) => {
                to.push_str("v1,");
                STANDARD.encode_string(mac(key, id, timestamp, body), to);
            }
            Key::Private(pair) => {
                to.push_str("v1a,");
                STANDARD.encode_string(pair.sign(&signed(id, timestamp, body)), to);
            }
            // `new` lets none in.
            Key::Public(_) => {}
        }
    }
}

/// Whether a secret is shorter than the 24 bytes that the standard asks for.
#[must_use]
pub fn is_weak(secret: &Secret) -> bool {
    let text = secret.expose();
    text.strip_prefix(SYMMETRIC).and_then(|text| STANDARD.decode(text).ok()).is_some_and(|bytes| Zeroizing::new(bytes).len() < 24)
}

/// A new HMAC secret.
///
/// # Errors
/// [`KeyError::Randomness`].
pub fn generate() -> Result<Secret, KeyError> {
    let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Randomness)?;
    Ok(Secret::new(format!("{SYMMETRIC}{}", STANDARD.encode(bytes.as_slice()))))
}

/// A new secret of the same kind as `old`.
///
/// # Errors
/// [`KeyError::Randomness`].
pub fn successor(old: &Secret) -> Result<Secret, KeyError> {
    if !old.expose().starts_with(PRIVATE) {
        return generate();
    }
    let mut seed = Zeroizing::new([0u8; SEED_BYTES]);
    rand::fill(seed.as_mut_slice()).map_err(|_| KeyError::Randomness)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| KeyError::Ed25519)?;
    let whole = Zeroizing::new([seed.as_slice(), pair.public_key().as_ref()].concat());
    Ok(Secret::new(format!("{PRIVATE}{}", STANDARD.encode(whole.as_slice()))))
}

fn key(secret: &Secret) -> Result<Key, KeyError> {
    let text = secret.expose();
    let bytes = |text: &str| STANDARD.decode(text).map(Zeroizing::new).map_err(|_| KeyError::Base64);
    if let Some(text) = text.strip_prefix(SYMMETRIC) {
        let bytes = bytes(text)?;
        return match bytes.len() {
            1..=64 => Ok(Key::Symmetric(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))),
            length => Err(KeyError::Length(length)),
        };
    }
    if let Some(text) = text.strip_prefix(PRIVATE) {
        let bytes = bytes(text)?;
        let (seed, public) = bytes.split_at_checked(SEED_BYTES).ok_or(KeyError::Ed25519)?;
        let pair = match public.is_empty() {
            true => Ed25519KeyPair::from_seed_unchecked(seed),
            false => Ed25519KeyPair::from_seed_and_public_key(seed, public),
        };
        return pair.map(|pair| Key::Private(Box::new(pair))).map_err(|_| KeyError::Ed25519);
    }
    let text = text.strip_prefix(PUBLIC).ok_or(KeyError::Prefix)?;
    let bytes = bytes(text)?;
    if bytes.len() == SEED_BYTES { Ok(Key::Public(bytes.to_vec())) } else { Err(KeyError::Ed25519) }
}

fn signed(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

fn mac(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    context.sign()
}

/// The value of `webhook-signature`: one entry per key, newest first.
#[must_use]
pub fn header<'a>(signers: impl IntoIterator<Item = &'a Signer>, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut entries = String::with_capacity(USUAL_ENTRY);
    for signer in signers {
        if !entries.is_empty() {
            entries.push(' ');
        }
        signer.append(&mut entries, id, timestamp, body);
    }
    entries
}

/// The three headers of a delivery, as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
}

impl<'a> Headers<'a> {
    /// Picks them out of all headers of a request.
    ///
    /// # Errors
    /// One is missing or comes twice.
    pub fn pick(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Refused> {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let mut found: [Option<&str>; 3] = [None; 3];
        for (name, value) in all {
            for (known, place) in names.iter().zip(&mut found) {
                if known.eq_ignore_ascii_case(name) && place.replace(value).is_some() {
                    return Err(Refused::RepeatedHeader(known));
                }
            }
        }
        let [id, timestamp, signature] = found;
        let [id_name, timestamp_name, signature_name] = names;
        Ok(Self {
            id: id.ok_or(Refused::MissingHeader(id_name))?,
            timestamp: timestamp.ok_or(Refused::MissingHeader(timestamp_name))?,
            signature: signature.ok_or(Refused::MissingHeader(signature_name))?,
        })
    }
}

/// Why a delivery is not believed.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A header is missing.
    #[error("the header {0} is missing")]
    MissingHeader(&'static str),
    /// A header comes twice.
    #[error("the header {0} comes more than once")]
    RepeatedHeader(&'static str),
    /// The id is empty, too long or not visible ASCII.
    #[error("webhook-id is not 1 to 256 visible ASCII characters")]
    InvalidId,
    /// The timestamp is not a plain decimal number.
    #[error("webhook-timestamp is not a number of seconds")]
    InvalidTimestamp,
    /// Signed too long ago: perhaps a copy.
    #[error("webhook-timestamp is too old")]
    TooOld,
    /// Signed in the future: a clock is wrong.
    #[error("webhook-timestamp is in the future")]
    TooNew,
    /// No signature holds.
    #[error("no signature in webhook-signature holds")]
    BadSignature,
    /// A secret of ours is no key.
    #[error("the secret {0}")]
    Key(#[from] KeyError),
}

/// Verifies a delivery with any of these secrets, five minutes of tolerance. Whoever calls this looks the id up among those it has seen
/// only afterwards.
///
/// # Errors
/// The first check that failed.
pub fn verify(secrets: &[Secret], sent: Headers<'_>, body: &[u8], now: Timestamp) -> Result<(), Refused> {
    verify_within(secrets, sent, body, now, TOLERANCE)
}

/// [`verify`] with another tolerance; it is kept between 30 s and 600 s.
///
/// # Errors
/// The first check that failed.
pub fn verify_within(secrets: &[Secret], sent: Headers<'_>, body: &[u8], now: Timestamp, tolerance: Duration) -> Result<(), Refused> {
    if !(1..=256).contains(&sent.id.len()) || !sent.id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refused::InvalidId);
    }
    let at = seconds(sent.timestamp).ok_or(Refused::InvalidTimestamp)?;
    let tolerance = i64::try_from(tolerance.as_secs().clamp(30, 600)).unwrap_or(300);
    // Both fit: `at` has at most 16 digits.
    let age = now.as_second().saturating_sub(at);
    if age > tolerance {
        return Err(Refused::TooOld);
    }
    if age < -tolerance {
        return Err(Refused::TooNew);
    }
    let keys = secrets.iter().map(key).collect::<Result<Vec<_>, _>>()?;
    let entries = sent.signature.split(' ').take(MOST_SIGNATURES).filter_map(|entry| entry.split_once(','));
    for (version, signature) in entries {
        // The strict engine: surplus bits or missing padding are no signature.
        let Ok(signature) = STANDARD.decode(signature) else { continue };
        if keys.iter().any(|key| holds(key, version, &signature, sent, body)) {
            return Ok(());
        }
    }
    Err(Refused::BadSignature)
}

fn holds(key: &Key, version: &str, signature: &[u8], sent: Headers<'_>, body: &[u8]) -> bool {
    let asymmetric = |public: &[u8]| {
        version == "v1a" && UnparsedPublicKey::new(&ED25519, public).verify(&signed(sent.id, sent.timestamp, body), signature).is_ok()
    };
    match key {
        Key::Symmetric(key) => version == "v1" && equal::bytes(signature, mac(key, sent.id, sent.timestamp, body).as_ref()),
        Key::Private(pair) => asymmetric(pair.public_key().as_ref()),
        Key::Public(public) => asymmetric(public),
    }
}

/// `^[1-9][0-9]{0,15}$`: no sign, no leading zero, no fraction, nothing that overflows.
fn seconds(text: &str) -> Option<i64> {
    let plain = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if plain { text.parse().ok() } else { None }
}
