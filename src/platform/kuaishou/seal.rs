//! How Kuaishou signs and seals a push (its reference 2.2 to 2.4), every unverified choice as a value.
//!
//! Called by `push` with the configured variant, by `diagnose` with all of them and by `twin` to seal. Knows no event.

use std::fmt;

use base64::Engine;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::envelope::cbc::{self, BLOCK, CbcError, KEY_BASE64};
use crate::envelope::{digest, equal};
use crate::platform::loose;
use crate::secret::Secret;

/// Which hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Md5,
    Sha256,
}

/// What is hashed together with the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum With {
    Token,
    Secret,
}

/// Which of the two comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    BodyFirst,
    BodyLast,
}

/// One way to sign a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recipe {
    /// As `push.signature_mode` names it.
    pub(super) name: &'static str,
    hash: Hash,
    with: With,
    order: Order,
}

const fn recipe(name: &'static str, hash: Hash, with: With, order: Order) -> Recipe {
    Recipe { name, hash, with, order }
}

/// The four of 2.2, in the order in which `any` tries them. The first is the default.
pub(super) static RECIPES: [Recipe; 4] = [
    recipe("sha1_body_token", Hash::Sha1, With::Token, Order::BodyFirst),
    recipe("md5_body_token", Hash::Md5, With::Token, Order::BodyFirst),
    recipe("sha1_body_secret", Hash::Sha1, With::Secret, Order::BodyFirst),
    recipe("md5_body_secret", Hash::Md5, With::Secret, Order::BodyFirst),
];

/// The others that appendix D asks to try. They can be set too, so that whatever `diagnose` finds can be written down.
pub(super) static RARE_RECIPES: [Recipe; 8] = [
    recipe("sha256_body_token", Hash::Sha256, With::Token, Order::BodyFirst),
    recipe("sha256_body_secret", Hash::Sha256, With::Secret, Order::BodyFirst),
    recipe("sha1_token_body", Hash::Sha1, With::Token, Order::BodyLast),
    recipe("md5_token_body", Hash::Md5, With::Token, Order::BodyLast),
    recipe("sha256_token_body", Hash::Sha256, With::Token, Order::BodyLast),
    recipe("sha1_secret_body", Hash::Sha1, With::Secret, Order::BodyLast),
    recipe("md5_secret_body", Hash::Md5, With::Secret, Order::BodyLast),
    recipe("sha256_secret_body", Hash::Sha256, With::Secret, Order::BodyLast),
];

impl Recipe {
    /// The digest, as bytes.
    pub(super) fn digest(&self, body: &[u8], token: &Secret, app_secret: &Secret) -> Vec<u8> {
        let key = match self.with {
            With::Token => token,
            With::Secret => app_secret,
        };
        let parts: [&[u8]; 2] = match self.order {
            Order::BodyFirst => [body, key.expose().as_bytes()],
            Order::BodyLast => [key.expose().as_bytes(), body],
        };
        match self.hash {
            Hash::Sha1 => digest::sha1(&parts).to_vec(),
            Hash::Md5 => digest::md5(&parts).to_vec(),
            Hash::Sha256 => digest::sha256(&parts).to_vec(),
        }
    }

    /// Whether `sent` (hexadecimal, any case) is this recipe's signature. Constant time.
    pub(super) fn holds(&self, sent: &str, body: &[u8], token: &Secret, app_secret: &Secret) -> bool {
        equal::hex_digest(sent, &self.digest(body, token, app_secret))
    }
}

/// How the key is written in the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyForm {
    /// Base64, 43 characters for 32 bytes.
    Base64,
    /// The characters themselves.
    Raw,
}

impl KeyForm {
    /// What to do about a key that does not fit.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Base64 => "copy it from the console again: base64 of 16, 24 or 32 bytes, usually 43 characters",
            Self::Raw => "copy it from the console again: with `push.key_form = \"raw\"` it has 16, 24 or 32 characters",
        }
    }
}

/// An AES key of 16, 24 or 32 bytes; prints nothing and is wiped when dropped.
pub(super) struct Key(Vec<u8>);

impl Key {
    /// Reads the console's text.
    pub(super) fn read(text: &Secret, form: KeyForm) -> Result<Self, CbcError> {
        match form {
            KeyForm::Base64 => cbc::key(text.expose()).map(Self),
            KeyForm::Raw => match text.expose().len() {
                16 | 24 | 32 => Ok(Self(text.expose().as_bytes().to_vec())),
                other => Err(CbcError::KeyLength(other)),
            },
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where the initialisation vector comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IvMode {
    KeyPrefix,
    Zero,
    CipherPrefix,
}

/// All of them with their names in `push.iv_mode`.
pub(super) static IV_MODES: [(&str, IvMode); 3] =
    [("key_prefix", IvMode::KeyPrefix), ("zero", IvMode::Zero), ("cipher_prefix", IvMode::CipherPrefix)];

/// What the unpadded plaintext looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The JSON object itself, else the frame.
    Auto,
    RawJson,
    /// 16 random bytes, big-endian length, JSON, component app id.
    Framed,
}

/// All of them with their names in `push.plaintext_layout`.
pub(super) static LAYOUTS: [(&str, Layout); 3] = [("auto", Layout::Auto), ("raw_json", Layout::RawJson), ("framed", Layout::Framed)];

/// One variant of the cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) iv: IvMode,
    pub(super) layout: Layout,
    /// Largest padding accepted, 16 to 32 bytes; sibling platforms pad to 32.
    pub(super) max_padding: u8,
}

/// Why a message could not be opened. Says nothing about its content.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealError {
    #[error("`encryptedMsg` is not base64")]
    Base64,
    #[error(transparent)]
    Cipher(#[from] CbcError),
    #[error("the padding does not hold (wrong key?)")]
    Padding,
    #[error("the decrypted text is not a JSON object")]
    Json,
    #[error("the decrypted frame does not hold")]
    Frame,
    #[error("the decrypted frame ends with another application's id")]
    Receiver,
}

/// Base64 as leniently as 2.3 asks: both alphabets, white space, any padding.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, SealError> {
    let plain = || {
        let mut bare = text.as_bytes().to_vec();
        bare.retain(|byte| !byte.is_ascii_whitespace());
        for byte in &mut bare {
            *byte = match *byte {
                b'-' => b'+',
                b'_' => b'/',
                other => other,
            };
        }
        bare
    };
    // Nearly all of them are standard base64.
    KEY_BASE64.decode(text).or_else(|_| KEY_BASE64.decode(plain())).map_err(|_| SealError::Base64)
}

/// Decrypts a decoded `encryptedMsg` and reads the object inside.
pub(super) fn open(key: &Key, variant: Variant, sealed: &[u8], app_id: &str) -> Result<Map<String, Value>, SealError> {
    let zero = [0; BLOCK];
    let (iv, cipher) = match variant.iv {
        IvMode::KeyPrefix => (key.0.get(..BLOCK).unwrap_or_default(), sealed),
        IvMode::Zero => (zero.as_slice(), sealed),
        IvMode::CipherPrefix => sealed.split_at_checked(BLOCK).ok_or(CbcError::CiphertextLength(sealed.len()))?,
    };
    let padded = cbc::decrypt(&key.0, iv, cipher)?;
    let plain = unpad(&padded, variant.max_padding).ok_or(SealError::Padding)?;
    match variant.layout {
        Layout::RawJson => object(plain),
        Layout::Framed => framed(plain, app_id),
        // A frame's random first byte can be a brace, so a failed reading as JSON does not settle it.
        Layout::Auto if plain.trim_ascii_start().starts_with(b"{") => {
            object(plain).or_else(|error| framed(plain, app_id).map_err(|_| error))
        }
        Layout::Auto => framed(plain, app_id),
    }
}

/// Strict PKCS#7 with blocks up to `max`: without a frame only the padding tells a wrong key from a right one.
fn unpad(padded: &[u8], max: u8) -> Option<&[u8]> {
    let last = *padded.last()?;
    if last == 0 || last > max {
        return None;
    }
    let (plain, padding) = padded.split_at_checked(padded.len().checked_sub(usize::from(last))?)?;
    padding.iter().all(|byte| *byte == last).then_some(plain)
}

fn object(text: &[u8]) -> Result<Map<String, Value>, SealError> {
    loose::object(text).ok_or(SealError::Json)
}

fn framed(plain: &[u8], app_id: &str) -> Result<Map<String, Value>, SealError> {
    let frame = cbc::frame(plain).map_err(|_| SealError::Frame)?;
    let object = object(frame.body)?;
    if frame.tail == app_id.as_bytes() { Ok(object) } else { Err(SealError::Receiver) }
}

/// Seals `plain` as the vendor would with this variant; `nonce` is used where the variant has something random.
pub(super) fn seal(key: &Key, variant: Variant, plain: &[u8], app_id: &str, nonce: &[u8; BLOCK], pad_to: u8) -> Result<Vec<u8>, SealError> {
    let framed = match variant.layout {
        Layout::Framed => cbc::framed(nonce, plain, app_id.as_bytes()),
        Layout::Auto | Layout::RawJson => plain.to_vec(),
    };
    let zero = [0; BLOCK];
    let iv = match variant.iv {
        IvMode::KeyPrefix => key.0.get(..BLOCK).unwrap_or_default(),
        IvMode::Zero => zero.as_slice(),
        IvMode::CipherPrefix => nonce.as_slice(),
    };
    let cipher = cbc::encrypt(&key.0, iv, &framed, pad_to)?;
    Ok(if variant.iv == IvMode::CipherPrefix { [nonce.as_slice(), &cipher].concat() } else { cipher })
}
