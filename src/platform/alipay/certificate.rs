//! Certificate mode: serial numbers as Alipay computes them (1.4), keys out of certificates, and the check of a chain.
//!
//! Called by `settings` for the three files of the console, and for a certificate that Alipay hands out later
//! ([`downloaded`]). Never fetches anything.

use base64::Engine;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::der;
use crate::clock::Timestamp;
use crate::envelope::cbc::KEY_BASE64;
use crate::envelope::digest;
use crate::envelope::rsa2::PublicKey;

/// Why a certificate will not do.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum CertificateError {
    /// No `BEGIN CERTIFICATE` block that can be decoded.
    #[error("holds no certificate in PEM form")]
    NotPem,
    /// A block is no X.509 certificate.
    #[error("holds a block that is no X.509 certificate")]
    NotX509,
    /// The key inside is not RSA.
    #[error("holds a certificate without an RSA key of 2048 to 8192 bits")]
    NotRsa,
    /// No block of the root file is signed with RSA.
    #[error("holds no certificate that is signed with RSA")]
    NoRsaRoot,
    /// The one who issued it is not there.
    #[error("the certificate that issued it is not at hand")]
    NoIssuer,
    /// The one who issued it did not sign this.
    #[error("its signature is not its issuer's")]
    Forged,
    /// Not yet, or no longer.
    #[error("it is not valid at this time")]
    OutOfTime,
    /// It is another one than was asked for.
    #[error("it has another serial number")]
    OtherSerial,
}

/// SHA-256 with RSA, the one signature that certificates of this build's chain may have.
const SHA256_WITH_RSA: &str = "1.2.840.113549.1.1.11";

/// The RSA family of signature algorithms: only such blocks count in the root's serial number (Alipay 1.4).
const RSA_FAMILY: &str = "1.2.840.113549.1.1.";

/// Longest chain that is followed.
const LONGEST_CHAIN: usize = 6;

/// The certificates of a PEM text in file order, as DER.
///
/// # Errors
/// [`CertificateError::NotPem`].
pub fn blocks(pem: &str) -> Result<Vec<Vec<u8>>, CertificateError> {
    let mut blocks = Vec::new();
    let mut rest = pem;
    while let Some((_, after)) = rest.split_once("-----BEGIN CERTIFICATE-----") {
        let (body, after) = after.split_once("-----END CERTIFICATE-----").ok_or(CertificateError::NotPem)?;
        let bare: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        blocks.push(KEY_BASE64.decode(bare).map_err(|_| CertificateError::NotPem)?);
        rest = after;
    }
    if blocks.is_empty() { Err(CertificateError::NotPem) } else { Ok(blocks) }
}

/// What a serial number is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The issuer in the manner of RFC 2253: last name first, commas without blanks.
    pub issuer: String,
    /// The number the issuer gave it, in decimal.
    pub serial: String,
    /// The algorithm it is signed with, as a dotted object identifier.
    pub algorithm: String,
}

impl Issued {
    /// Reads the beginning of a certificate; whatever follows the issuer is not looked at.
    ///
    /// # Errors
    /// [`CertificateError::NotX509`].
    pub fn read(certificate: &[u8]) -> Result<Self, CertificateError> {
        let read = || {
            let outer = der::expect(certificate, der::SEQUENCE)?;
            let signed = der::expect(outer.content, der::SEQUENCE)?;
            let rest = der::expect(signed.content, der::VERSION).map_or(signed.content, |version| version.rest);
            let serial = der::expect(rest, der::INTEGER)?;
            let algorithm = der::expect(serial.rest, der::SEQUENCE)?;
            let issuer = der::expect(algorithm.rest, der::SEQUENCE)?;
            Some(Self {
                issuer: distinguished_name(issuer.content),
                serial: der::decimal(serial.content),
                algorithm: der::oid(der::expect(algorithm.content, der::OID)?.content),
            })
        };
        read().ok_or(CertificateError::NotX509)
    }

    /// The serial number (SN) that Alipay knows it by: MD5 over issuer and number, in hexadecimal.
    #[must_use]
    pub fn sn(&self) -> String {
        hex::encode(digest::md5(&[self.issuer.as_bytes(), self.serial.as_bytes()]))
    }
}

/// `app_cert_sn` or `alipay_cert_sn`: of the first certificate of a PEM text.
///
/// # Errors
/// The text holds none.
pub fn sn(pem: &str) -> Result<String, CertificateError> {
    let blocks = blocks(pem)?;
    Ok(Issued::read(blocks.first().ok_or(CertificateError::NotPem)?)?.sn())
}

/// `alipay_root_cert_sn`: those of all blocks that are signed with RSA, in file order. Blocks that cannot be read are passed over,
/// as the official clients do: one of the present file is SM2.
///
/// # Errors
/// The text holds none of that kind.
pub fn root_sn(pem: &str) -> Result<String, CertificateError> {
    let issued = blocks(pem)?.into_iter().filter_map(|block| Issued::read(&block).ok());
    let numbers: Vec<String> = issued.filter(|issued| issued.algorithm.starts_with(RSA_FAMILY)).map(|issued| issued.sn()).collect();
    if numbers.is_empty() { Err(CertificateError::NoRsaRoot) } else { Ok(numbers.join("_")) }
}

/// The key inside a certificate, whether it certifies others, and its SN.
///
/// # Errors
/// It is no certificate, or its key is not RSA.
pub fn key(certificate: &[u8]) -> Result<(PublicKey, bool, String), CertificateError> {
    let parsed = parse(certificate)?;
    let key = PublicKey::from_der(parsed.public_key().raw).map_err(|_| CertificateError::NotRsa)?;
    Ok((key, parsed.is_ca(), Issued::read(certificate)?.sn()))
}

fn parse(certificate: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    X509Certificate::from_der(certificate).map(|(_, parsed)| parsed).map_err(|_| CertificateError::NotX509)
}

/// Follows `leaf` through `others` up to one of `roots`, which are trusted as they are. With `now`, everything below the root must be valid then.
///
/// # Errors
/// [`CertificateError::NoIssuer`], [`CertificateError::Forged`], [`CertificateError::OutOfTime`].
pub fn chain(leaf: &[u8], others: &[Vec<u8>], roots: &[Vec<u8>], now: Option<Timestamp>) -> Result<(), CertificateError> {
    // Blocks that cannot be parsed (SM2) can issue nothing here.
    let roots: Vec<X509Certificate<'_>> = roots.iter().filter_map(|root| parse(root).ok()).collect();
    let others: Vec<X509Certificate<'_>> = others.iter().filter_map(|other| parse(other).ok()).filter(|other| other.is_ca()).collect();
    let leaf = parse(leaf)?;
    let mut present = &leaf;
    for _ in 0..LONGEST_CHAIN {
        if let Some(now) = now {
            let at = ASN1Time::from_timestamp(now.as_second()).map_err(|_| CertificateError::OutOfTime)?;
            if !present.validity().is_valid_at(at) {
                return Err(CertificateError::OutOfTime);
            }
        }
        let named = |issuer: &&X509Certificate<'_>| issuer.subject().as_raw() == present.issuer().as_raw();
        let mut known = false;
        for root in roots.iter().filter(named) {
            known = true;
            if signed_by(present, root) {
                return Ok(());
            }
        }
        let mut next = None;
        for other in others.iter().filter(named) {
            known = true;
            if signed_by(present, other) {
                next = Some(other);
            }
        }
        present = match (next, known) {
            (Some(next), _) => next,
            (None, true) => return Err(CertificateError::Forged),
            (None, false) => return Err(CertificateError::NoIssuer),
        };
    }
    Err(CertificateError::NoIssuer)
}

fn signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    certificate.signature_algorithm.algorithm.to_id_string() == SHA256_WITH_RSA
        && PublicKey::from_der(issuer.public_key().raw)
            .is_ok_and(|key| key.verify_bytes(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data))
}

/// The key of a certificate that `alipay.open.app.alipaycert.download` gave (`alipay_cert_content`, base64 of a PEM file) for an SN
/// that the settings do not know. It is believed only when its chain ends at a configured root, and with `now` only at that time.
///
/// # Errors
/// What is wrong with it.
pub fn downloaded(content: &str, sn: &str, roots: &[Vec<u8>], now: Option<Timestamp>) -> Result<PublicKey, CertificateError> {
    let bare: String = content.chars().filter(|c| !c.is_whitespace()).collect();
    let file = KEY_BASE64.decode(bare).map_err(|_| CertificateError::NotPem)?;
    let blocks = blocks(&String::from_utf8_lossy(&file))?;
    let (leaf, others) = blocks.split_first().ok_or(CertificateError::NotPem)?;
    let (key, _, found) = key(leaf)?;
    if found != sn {
        return Err(CertificateError::OtherSerial);
    }
    chain(leaf, others, roots, now)?;
    Ok(key)
}

/// Attribute types that RFC 2253 gives a short name; all others are written as their number.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

fn distinguished_name(content: &[u8]) -> String {
    let mut names: Vec<String> = der::all(content)
        .filter(|set| set.tag == der::SET)
        .map(|set| der::all(set.content).filter_map(|pair| attribute(pair.content)).collect::<Vec<_>>().join("+"))
        .collect();
    names.reverse();
    names.join(",")
}

fn attribute(pair: &[u8]) -> Option<String> {
    let kind = der::expect(pair, der::OID)?;
    let value = der::first(kind.rest)?;
    let dotted = der::oid(kind.content);
    Some(match SHORT_NAMES.iter().find(|(oid, _)| *oid == dotted) {
        Some((_, short)) => format!("{short}={}", escaped(&text(value.tag, value.content))),
        None => format!("{dotted}=#{}", hex::encode(kind.rest)),
    })
}

fn text(tag: u8, content: &[u8]) -> String {
    if tag == der::BMP_TEXT {
        let units: Vec<u16> = content.chunks_exact(2).map(|pair| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte))).collect();
        return String::from_utf16_lossy(&units);
    }
    String::from_utf8_lossy(content).into_owned()
}

/// Escapes as RFC 2253 2.4 says.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (index, c) in text.chars().enumerate() {
        let edge_blank = c == ' ' && (index == 0 || index == last);
        if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') || edge_blank || (c == '#' && index == 0) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
