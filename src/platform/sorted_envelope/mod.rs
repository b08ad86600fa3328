//! The envelope that Baidu and Douyin share, and WeChat after them: a JSON object with `Nonce`, `TimeStamp`, `Encrypt` and `MsgSignature`,
//! signed with SHA-1 over the sorted values, around an AES-CBC frame that ends with the receiver's id (Baidu 2, Douyin 2).
//!
//! Called by those platforms' `push.rs`, `diagnose.rs` and `twin.rs`. It knows no event.

pub mod diagnose;
pub mod dialect;
mod fields;
mod sealing;

pub use fields::Fields;
pub use sealing::{Layout, Plain, Sealing};

/// Whether a provider's answer counts: `200` with the seven bytes `success` and nothing else (Baidu 2.5, Douyin 2.5). For twins.
#[must_use]
pub fn acknowledged(status: u16, body: &[u8]) -> bool {
    status == 200 && body == b"success"
}
