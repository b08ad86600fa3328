//! What is inside a verified form: AES content (Alipay 1.5, 2.3), and the members that nobody may see.
//!
//! Called by `push`, `gateway`, `reply` and the twin.

use std::borrow::Cow;
use std::fmt;

use aes_block::BLOCK;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::envelope::cbc as aes_block;
use crate::platform::loose;
use crate::platform::push::SEALED;

/// The initialisation vector is sixteen zero bytes, always.
const IV: [u8; BLOCK] = [0; BLOCK];

/// The application's key of content encryption. Prints as `[redacted]`.
#[derive(Clone)]
pub struct ContentKey(Zeroizing<Vec<u8>>);

impl ContentKey {
    /// Reads base64 of 16 bytes; `None` when it is not that.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        aes_block::key(text).ok().filter(|key| key.len() == BLOCK).map(|key| Self(Zeroizing::new(key)))
    }

    /// Base64 of the ciphertext.
    #[must_use]
    pub fn seal(&self, plain: &[u8]) -> String {
        // Key and vector have the right lengths by construction, so this cannot fail.
        aes_block::encrypt(&self.0, &IV, plain, 16).map(|sealed| STANDARD.encode(sealed)).unwrap_or_default()
    }

    /// The plaintext of base64; `None` when it is not base64, not whole blocks, or its padding does not hold. Whoever calls has
    /// verified a signature over the ciphertext, so telling these apart would help nobody.
    #[must_use]
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let sealed = STANDARD.decode(sealed.replace(' ', "+").trim()).ok()?;
        let mut plain = aes_block::decrypt(&self.0, &IV, &sealed).ok()?;
        let pad = usize::from(*plain.last()?);
        let length = plain.len().checked_sub(pad)?;
        let padding = plain.get(length..)?;
        if pad == 0 || pad > BLOCK || padding.iter().any(|byte| usize::from(*byte) != pad) {
            return None;
        }
        plain.truncate(length);
        Some(plain)
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Members that are tokens, codes or tickets, wherever they stand (Alipay 3.2, 3.6, 4.2).
pub const SECRET_MEMBERS: &[&str] =
    &["app_auth_token", "app_refresh_token", "app_auth_code", "refresh_token", "mini_app_token", "isv_ticket", "order_ticket", "aes_key"];

/// Replaces every secret member by [`SEALED`], also in texts that are themselves JSON.
pub fn seal_members(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if SECRET_MEMBERS.contains(&name.as_str()) && !matches!(member, Value::Null) {
                    *member = Value::from(SEALED);
                } else {
                    seal_members(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(seal_members),
        // All of the names have an underscore, most texts have none.
        Value::String(text) if text.contains('_') && SECRET_MEMBERS.iter().any(|name| text.contains(name)) => {
            if let Ok(mut inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
                seal_members(&mut inner);
                *text = inner.to_string();
            } else if text.trim_start().starts_with(['{', '[']) || SECRET_MEMBERS.iter().any(|name| is_assigned(text, name)) {
                // JSON that is broken, or a form inside of a text: nobody can say where in it the secret ends.
                SEALED.clone_into(text);
            }
        }
        _ => {}
    }
}

/// Whether a text gives `name` a value, as JSON (`"name":`) or as a form (`name=`) would. Somebody who only speaks of it does not.
fn is_assigned(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let behind = text.get(at + name.len()..).unwrap_or_default().trim_start_matches(['"', '\\', '\'', ' ']);
        behind.starts_with(['=', ':'])
    })
}

/// A member as text: a string, or a number in its digits.
#[must_use]
pub fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    loose::text_of(members, &[name]).map(Cow::into_owned)
}

/// A member as a whole number; the platform writes some as text (Alipay 8, conflict 13).
#[must_use]
pub fn number(members: &Map<String, Value>, name: &str) -> Option<i64> {
    loose::text_of(members, &[name])?.parse().ok()
}
