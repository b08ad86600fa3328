//! Which keys of Alipay are believed: the one of key mode, or those of certificate mode by their serial numbers (1.4).
//!
//! Made by `settings`, asked by `push`, `reply` and `gateway`. Never changes after it was made.

use crate::envelope::rsa2::PublicKey;

/// A key of Alipay that is believed.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// `alipay_cert_sn` of the certificate it came in; `None` in key mode.
    pub sn: Option<String>,
    /// The key.
    pub key: PublicKey,
}

/// What certificate mode adds to every request, both signed.
#[derive(Debug, Clone)]
pub struct OwnCertificates {
    /// `app_cert_sn`.
    pub app_cert_sn: String,
    /// `alipay_root_cert_sn`.
    pub root_cert_sn: String,
    /// The certificates of the root file as DER: a certificate that Alipay hands out later is believed when its chain ends at one.
    pub roots: Vec<Vec<u8>>,
}

/// Whose signatures are believed.
#[derive(Debug, Clone)]
pub struct Trust {
    keys: Vec<TrustedKey>,
    own: Option<OwnCertificates>,
}

impl Trust {
    /// Key mode.
    #[must_use]
    pub fn key(key: PublicKey) -> Self {
        Self { keys: vec![TrustedKey { sn: None, key }], own: None }
    }

    /// Certificate mode; `keys` with their serial numbers, the first is the one in use.
    #[must_use]
    pub fn certificates(keys: Vec<TrustedKey>, own: OwnCertificates) -> Self {
        Self { keys, own: Some(own) }
    }

    /// What requests carry in certificate mode.
    #[must_use]
    pub fn own(&self) -> Option<&OwnCertificates> {
        self.own.as_ref()
    }

    /// All keys.
    #[must_use]
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The keys to try for something that names the certificate `sn`. Key mode knows no numbers: there the name is nothing to go by.
    pub fn named<'a>(&'a self, sn: Option<&'a str>) -> impl Iterator<Item = &'a TrustedKey> {
        self.keys.iter().filter(move |key| match (&key.sn, sn) {
            (Some(known), Some(sn)) => known == sn,
            _ => true,
        })
    }
}
