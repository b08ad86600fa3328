//! RSA2 (SHA-256 with RSA, PKCS#1 v1.5), the signature of Alipay: keys in the forms the consoles hand out, sign, verify.
//!
//! Called by `platform::alipay`. There is no SHA-1 here at all, so nothing that is sent can choose it.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::cbc::KEY_BASE64;

/// Why a text is not the key it should be. Never says anything of its content.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// Neither PEM nor base64.
    #[error("is neither PEM nor base64")]
    NotBase64,
    /// A private key was wanted.
    #[error("is not an RSA private key (PKCS#1 or PKCS#8) of 2048 to 8192 bits")]
    NotPrivate,
    /// A public key was wanted.
    #[error("is not an RSA public key (SubjectPublicKeyInfo or PKCS#1) of 2048 to 8192 bits")]
    NotPublic,
    /// A PEM block of another kind: a certificate, a public key in place of a private one.
    #[error("is a PEM block of another kind")]
    OtherKind,
}

/// The DER inside one PEM block, or of bare base64 over any number of lines. `kinds` are the labels that will do.
fn der(text: &str, kinds: &[&str]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = text.trim();
    let body = match text.strip_prefix("-----BEGIN ") {
        None => text,
        Some(armoured) => {
            let (label, rest) = armoured.split_once("-----").ok_or(KeyError::NotBase64)?;
            if !kinds.contains(&label) {
                return Err(KeyError::OtherKind);
            }
            rest.split_once("-----END ").map(|(body, _)| body).ok_or(KeyError::NotBase64)?
        }
    };
    let bare: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_whitespace()).collect());
    match KEY_BASE64.decode(bare.as_bytes()) {
        Ok(der) if !der.is_empty() => Ok(Zeroizing::new(der)),
        _ => Err(KeyError::NotBase64),
    }
}

/// A private key. Prints as `[redacted]`.
pub struct PrivateKey {
    pair: RsaKeyPair,
    public: PublicKey,
}

impl PrivateKey {
    /// Reads PKCS#8 or PKCS#1, as PEM or as bare base64.
    ///
    /// # Errors
    /// What it is instead.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let der = der(text, &["PRIVATE KEY", "RSA PRIVATE KEY"])?;
        // Bare base64 does not say which of the two it is: the platform's key tool hands out both (Alipay 1.3).
        let pair = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).map_err(|_| KeyError::NotPrivate)?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::NotPrivate)?;
        let public = PublicKey::from_der(spki.as_ref())?;
        Ok(Self { pair, public })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs; the signature in padded standard base64. Should the library fail, which it does not for a key that was read,
    /// the text is empty and no verifier takes it.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        match self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature) {
            Ok(()) => STANDARD.encode(signature),
            Err(_) => String::new(),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A public key.
#[derive(Clone)]
pub struct PublicKey {
    parsed: ParsedPublicKey,
    spki: Vec<u8>,
}

impl PublicKey {
    /// Reads SubjectPublicKeyInfo or PKCS#1, as PEM or as bare base64.
    ///
    /// # Errors
    /// What it is instead.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        Self::from_der(&der(text, &["PUBLIC KEY", "RSA PUBLIC KEY"])?)
    }

    /// Reads the same from DER.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let parsed = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).map_err(|_| KeyError::NotPublic)?;
        let key = aws_lc_rs::rsa::PublicKey::from_der(der).map_err(|_| KeyError::NotPublic)?;
        let spki: PublicKeyX509Der<'_> = key.as_der().map_err(|_| KeyError::NotPublic)?;
        Ok(Self { parsed, spki: spki.as_ref().to_vec() })
    }

    /// Bare base64 of the SubjectPublicKeyInfo, one line: the form in which consoles show keys.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.spki)
    }

    /// Whether `signature` (padded standard base64, nothing around it, no surplus bits) is this key's over `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &str) -> bool {
        STANDARD.decode(signature).is_ok_and(|signature| self.verify_bytes(message, &signature))
    }

    /// The same for a signature in bytes, as certificates hold it.
    #[must_use]
    pub fn verify_bytes(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bytes)", self.spki.len())
    }
}
