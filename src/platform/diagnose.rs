//! What `yizhan diagnose` asks of a platform: which key, token and variant open a captured push, or which step fails.

use super::push::RawPush;

/// One step of opening a push and how it went.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// What was tried: `signature sha1(body + token)`, `decrypt with previous_encoding_aes_key`, …
    pub step: String,
    /// Whether it held.
    pub ok: bool,
    /// What was seen; names and lengths, tickets and codes masked.
    pub detail: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnosis {
    /// Every step, in order.
    pub steps: Vec<Step>,
    /// Whether some combination opens it.
    pub opens: bool,
    /// Settings to write so that it opens (TOML lines of the component), empty when the present ones do.
    pub proposal: Vec<String>,
    /// The decrypted content with secrets masked, when it opens.
    pub content: Option<serde_json::Value>,
}

/// Tries everything that could open a push.
pub trait Diagnose: Send + Sync {
    /// All combinations that the vendor's reference allows, the configured one first.
    fn diagnose(&self, raw: &RawPush) -> Diagnosis;
}
