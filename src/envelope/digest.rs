//! Signatures made with a plain hash: sorted SHA-1 (Baidu, Douyin, later WeChat) and hash over body and token (Kuaishou).

use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// SHA-1 over the concatenation of `parts` sorted in byte order: `MsgSignature` of Baidu and Douyin.
#[must_use]
pub fn sorted_sha1<const N: usize>(mut parts: [&[u8]; N]) -> [u8; 20] {
    parts.sort_unstable();
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// SHA-1 over the concatenation of `parts` in the order given.
#[must_use]
pub fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    joined::<Sha1>(parts).into()
}

/// MD5 over the concatenation of `parts`. Only for vendors' signatures; not collision resistant.
#[must_use]
pub fn md5(parts: &[&[u8]]) -> [u8; 16] {
    joined::<Md5>(parts).into()
}

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    joined::<Sha256>(parts).into()
}

/// A digest as text: two digits in lower case for each byte.
#[must_use]
pub fn hex(digest: &[u8]) -> String {
    let mut text = vec![0; digest.len() * 2];
    // As much room as is needed, and nothing but digits: neither can fail.
    let _ = hex::encode_to_slice(digest, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

fn joined<D: Digest>(parts: &[&[u8]]) -> sha1::digest::Output<D> {
    let mut hash = D::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
}
