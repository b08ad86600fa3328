//! Text that must not be seen: tickets, tokens, codes, keys.
//!
//! A [`Secret`] prints as `[redacted]`, is wiped when its last clone is dropped, compares in constant time and is serialised only
//! where a field says so with `#[serde(with = "crate::secret::exposed")]`, which is reserved to records that are sealed.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A secret text. Clones share it: there is one in memory, and it is wiped with the last of them.
#[derive(Clone, Default)]
pub struct Secret(Arc<Text>);

#[derive(Default)]
struct Text(Box<str>);

impl Drop for Text {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Secret {
    /// Takes ownership of the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self::from(text.into())
    }

    /// The text itself. The caller must not print, log or store it unsealed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0.0
    }

    /// True when there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl From<String> for Secret {
    fn from(mut text: String) -> Self {
        let secret = Self::from(text.as_str());
        // Taking its memory over would leave a copy behind wherever it has room to spare.
        text.zeroize();
        secret
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Arc::new(Text(Box::from(text))))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }
}

impl Eq for Secret {}

/// Serialises a [`Secret`] in clear. Only for records that are sealed before they are stored.
pub mod exposed {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Secret;

    /// Writes the text.
    pub fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    /// Reads the text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}
