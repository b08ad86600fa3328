//! Constant-time comparison of what was sent with what was computed.

use subtle::ConstantTimeEq;

/// Compares two byte strings in time that depends on their lengths only.
#[must_use]
pub fn bytes(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Bytes of the longest digest that vendors sign with: SHA-256.
const LONGEST_DIGEST: usize = 32;

/// Compares a signature in hexadecimal with the digest it should be, ignoring the case of its letters.
#[must_use]
pub fn hex_digest(sent: &str, computed: &[u8]) -> bool {
    let mut decoded = [0; LONGEST_DIGEST];
    match decoded.get_mut(..computed.len()) {
        Some(decoded) => hex::decode_to_slice(sent.trim(), decoded).is_ok() && bytes(decoded, computed),
        None => false,
    }
}
