//! Text that must not be seen: tickets, tokens, codes, keys.
//!
//! A [`Secret`] prints as `[redacted]`, is wiped when dropped, compares in constant time and is serialised only
//! where a field says so with `#[serde(with = "crate::secret::exposed")]`, which is reserved to records that are sealed.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A secret text. Cloning copies it; each copy wipes itself.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes ownership of the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. The caller must not print, log or store it unsealed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True when there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
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
