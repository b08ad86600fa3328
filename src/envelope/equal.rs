//! Constant-time comparison of what was sent with what was computed.

use subtle::ConstantTimeEq;

/// Compares two byte strings in time that depends on their lengths only.
#[must_use]
pub fn bytes(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Compares a signature in hexadecimal with the digest it should be, ignoring the case of its letters.
#[must_use]
pub fn hex_digest(sent: &str, computed: &[u8]) -> bool {
    match hex::decode(sent.trim()) {
        Ok(sent) => bytes(&sent, computed),
        Err(_) => false,
    }
}
