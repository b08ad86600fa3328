//! Token and keys of one component: what verifies and opens an envelope, and what seals one for twins.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use super::fields::{Echo, Fields};
use crate::clock::Timestamp;
use crate::envelope::{cbc, digest, equal};
use crate::platform::push::{Door, PushError};
use crate::platform::twin::Outgoing;
use crate::secret::Secret;
use crate::settings::Settings;

/// Where the initialisation vector comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The key's first 16 bytes (Baidu 2.4, WeChat).
    KeyPrefix,
    /// The ciphertext's first 16 bytes (Douyin 2.4).
    Leading,
}

/// An AES key and the setting that holds it.
struct Key {
    setting: &'static str,
    bytes: Zeroizing<Vec<u8>>,
}

/// What opens and seals a component's envelopes.
pub struct Sealing {
    token: Secret,
    key: Key,
    previous: Option<Key>,
    layout: Layout,
}

/// A decrypted frame. Wiped when dropped: tickets and codes are in it.
pub struct Plain {
    data: Zeroizing<Vec<u8>>,
    body: Range<usize>,
    tail: Range<usize>,
}

impl Plain {
    /// The message: JSON.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.data.get(self.body.clone()).unwrap_or_default()
    }

    /// The receiver's id behind it; may be empty.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        self.data.get(self.tail.clone()).unwrap_or_default()
    }
}

const KEY: &str = "encoding_aes_key";
const PREVIOUS: &str = "previous_encoding_aes_key";

impl Sealing {
    /// Reads `token`, `encoding_aes_key` and `previous_encoding_aes_key`. `None` when one of them is missing or wrong, which is recorded.
    pub fn from_settings(settings: &mut Settings, layout: Layout) -> Option<Self> {
        let token = settings.secret("token");
        let key = settings.secret(KEY).and_then(|text| parse(settings, KEY, &text));
        let previous = match settings.optional_secret(PREVIOUS) {
            Some(text) => Some(parse(settings, PREVIOUS, &text)?),
            None => None,
        };
        Some(Self { token: token?, key: key?, previous, layout })
    }

    /// Checks the signature of a push and gives its ciphertext.
    ///
    /// # Errors
    /// The first check that failed: a missing field or the signature.
    pub fn verified<'f>(&self, fields: &'f Fields<'_>) -> Result<&'f str, PushError> {
        let encrypt = required("Encrypt", fields.encrypt.as_deref())?;
        let timestamp = required("TimeStamp", fields.timestamp.as_deref())?;
        let nonce = required("Nonce", fields.nonce.as_deref())?;
        let Some(sent) = fields.signature.as_deref() else {
            return Err(PushError::BadSignature(String::from("`MsgSignature` is missing")));
        };
        self.check(sent, [timestamp.as_bytes(), nonce.as_bytes(), encrypt.as_bytes()])?;
        Ok(encrypt)
    }

    /// Checks the signature of an echo request (Baidu 7.2: without the `echoStr`) and gives what to answer.
    ///
    /// # Errors
    /// [`PushError::BadSignature`].
    pub fn echoed(&self, echo: &Echo<'_>) -> Result<String, PushError> {
        let (Some(sent), Some(timestamp), Some(nonce)) = (&echo.signature, &echo.timestamp, &echo.nonce) else {
            return Err(PushError::BadSignature(String::from("an echo request without `signature`, `timestamp` or `nonce`")));
        };
        self.check(sent, [timestamp.as_bytes(), nonce.as_bytes(), b""])?;
        Ok(echo.text.clone().into_owned())
    }

    fn check(&self, sent: &str, [a, b, c]: [&[u8]; 3]) -> Result<(), PushError> {
        // Vendors write lower case; a client may write upper case. Mixed case is neither: a digit was changed on the way.
        let mixed = sent.bytes().any(|c| c.is_ascii_uppercase()) && sent.bytes().any(|c| c.is_ascii_lowercase());
        let computed = digest::sorted_sha1([self.token.expose().as_bytes(), a, b, c]);
        if equal::hex_digest(sent, &computed) && !mixed {
            return Ok(());
        }
        Err(PushError::BadSignature(format!(
            "it does not match the configured `token` ({} characters were sent, 40 are usual)",
            sent.len()
        )))
    }

    /// Opens a ciphertext with the current key and gives it to `read`; where either fails, with the previous key.
    ///
    /// # Errors
    /// [`PushError::Undecipherable`], or what `read` objects to. Of two errors the one that got further.
    pub fn open<T>(&self, encrypt: &str, mut read: impl FnMut(&Plain) -> Result<T, PushError>) -> Result<T, PushError> {
        let mut attempt = |key: &Key| decrypt(encrypt, key, self.layout).and_then(|plain| read(&plain));
        let Some(previous) = &self.previous else { return attempt(&self.key) };
        let first = match attempt(&self.key) {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        match (attempt(previous), &first) {
            (Ok(opened), _) => Ok(opened),
            (Err(second), PushError::Undecipherable(_)) => Err(second),
            (Err(_), _) => Err(first),
        }
    }

    /// The settings that hold keys, the current one first, with what each makes of a ciphertext in that layout.
    pub(super) fn attempts(&self, encrypt: &str, layout: Layout) -> Vec<(&'static str, Result<Plain, PushError>)> {
        let keys = [Some(&self.key), self.previous.as_ref()];
        keys.into_iter().flatten().map(|key| (key.setting, decrypt(encrypt, key, layout))).collect()
    }

    /// The layout of this platform.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Seals `plain` as the vendor would, padded to `pad_to`, with fresh randomness. For twins.
    #[must_use]
    pub fn seal(&self, door: Door, plain: &str, receiver: &str, pad_to: u8, now: Timestamp) -> Outgoing {
        let frame = cbc::framed(&letters(), plain.as_bytes(), receiver.as_bytes());
        let leading = uuid::Uuid::new_v4().into_bytes();
        let iv = match self.layout {
            Layout::KeyPrefix => self.key.bytes.get(..cbc::BLOCK).unwrap_or_default(),
            Layout::Leading => leading.as_slice(),
        };
        // The key was checked when the settings were read, and the padding is a whole number of blocks: this cannot fail.
        let sealed = cbc::encrypt(&self.key.bytes, iv, &frame, pad_to).unwrap_or_default();
        let encrypt = match self.layout {
            Layout::KeyPrefix => STANDARD.encode(&sealed),
            Layout::Leading => STANDARD.encode([iv, &sealed].concat()),
        };
        let timestamp = now.as_second().to_string();
        let nonce = (uuid::Uuid::new_v4().as_u128() % 10_000_000_000).to_string();
        let signature = digest::sorted_sha1([self.token.expose().as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), encrypt.as_bytes()]);
        let body = json!({"Nonce": nonce, "TimeStamp": timestamp, "Encrypt": encrypt, "MsgSignature": hex::encode(signature)});
        Outgoing {
            door,
            headers: vec![(String::from("content-type"), String::from("application/json"))],
            body: body.to_string().into(),
            plain: plain.as_bytes().to_vec().into(),
            message_id: None,
        }
    }

    /// The same push with one digit of its signature changed. For twins.
    #[must_use]
    pub fn forge(push: &Outgoing) -> Outgoing {
        let mut envelope: serde_json::Value = serde_json::from_slice(&push.body).unwrap_or_default();
        if let Some(serde_json::Value::String(signature)) = envelope.get_mut("MsgSignature") {
            let changed = if signature.ends_with('0') { '1' } else { '0' };
            signature.pop();
            signature.push(changed);
        }
        Outgoing { body: envelope.to_string().into(), ..push.clone() }
    }
}

fn parse(settings: &mut Settings, setting: &'static str, text: &Secret) -> Option<Key> {
    let length = text.expose().trim_end_matches('=').chars().count();
    match cbc::key(text.expose()) {
        Ok(bytes) if bytes.len() == 32 && length == 43 => Some(Key { setting, bytes: Zeroizing::new(bytes) }),
        _ => {
            let message = if length == 43 {
                String::from("holds characters that no such key has")
            } else {
                format!("has {length} characters instead of 43")
            };
            settings.problem(setting, message, "copy the message encryption key from the vendor's console: exactly 43 letters and digits");
            None
        }
    }
}

fn required<'f>(name: &str, value: Option<&'f str>) -> Result<&'f str, PushError> {
    value.filter(|text| !text.is_empty()).ok_or_else(|| PushError::Malformed(format!("`{name}` is missing")))
}

fn decrypt(encrypt: &str, key: &Key, layout: Layout) -> Result<Plain, PushError> {
    let undecipherable = |error: cbc::CbcError| PushError::Undecipherable(format!("with `{}`: {error}", key.setting));
    let mut data = Zeroizing::new(decode(encrypt)?);
    let (iv, start) = match layout {
        Layout::KeyPrefix => (key.bytes.first_chunk::<{ cbc::BLOCK }>().copied(), 0),
        Layout::Leading => (data.first_chunk::<{ cbc::BLOCK }>().copied(), cbc::BLOCK),
    };
    let length = data.len();
    let (Some(iv), Some(sealed)) = (iv, data.get_mut(start..)) else {
        return Err(undecipherable(cbc::CbcError::CiphertextLength(length)));
    };
    cbc::decrypt_in_place(&key.bytes, &iv, sealed).map_err(undecipherable)?;
    let frame = cbc::frame(cbc::unpad(sealed)).map_err(undecipherable)?;
    let body = start + cbc::BLOCK + 4;
    let tail = body + frame.body.len();
    let end = tail + frame.tail.len();
    Ok(Plain { body: body..tail, tail: tail..end, data })
}

/// Standard base64; white space is dropped where there is some (Douyin 2.4).
fn decode(encrypt: &str) -> Result<Vec<u8>, PushError> {
    cbc::KEY_BASE64
        .decode(encrypt)
        .or_else(|_| cbc::KEY_BASE64.decode(encrypt.split_ascii_whitespace().collect::<String>()))
        .map_err(|_| PushError::Undecipherable(format!("`Encrypt` ({} characters) is not base64", encrypt.len())))
}

/// Sixteen random letters and digits.
fn letters() -> [u8; cbc::BLOCK] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789AZ";
    uuid::Uuid::new_v4().into_bytes().map(|byte| ALPHABET.get(usize::from(byte % 64)).copied().unwrap_or(b'A'))
}
