//! Reading an answer of Alipay's OpenAPI (1.6): the signature covers the raw text of the root node, so that text is cut out of the body
//! and never written anew.
//!
//! Called by `tokens` and by whatever else asked something with `gateway`. Nothing of an answer is used before its signature holds.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::errors;
use super::gateway::Gateway;
use super::trust::TrustedKey;
use crate::platform::call::{ApiError, Class, Reply};

/// Why an answer is not believed.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum ReplyError {
    /// Not a JSON object in UTF-8, or without the node that was asked for.
    #[error("the answer is not of the gateway's form")]
    Form,
    /// A top-level name comes twice: one could be signed and the other read.
    #[error("the answer repeats a top-level name")]
    Repeated,
    /// A success, or something encrypted, without `sign`.
    #[error("the answer is not signed")]
    Unsigned,
    /// It names a certificate that is not configured.
    #[error("the answer is signed with a certificate that is not configured")]
    UnknownCertificate,
    /// The signature does not hold.
    #[error("the answer's signature is not Alipay's")]
    BadSignature,
    /// No key, or not the right one.
    #[error("the answer's content cannot be decrypted")]
    Undecipherable,
}

impl From<ReplyError> for ApiError {
    fn from(error: ReplyError) -> Self {
        let (class, code, advice) = match error {
            ReplyError::Form => (Class::Retry, "unreadable", None),
            ReplyError::Repeated => (Class::Configuration, "repeated-name", Some("look for somebody between this service and Alipay")),
            ReplyError::Unsigned => (Class::Configuration, "unsigned", Some("look for somebody between this service and Alipay")),
            ReplyError::UnknownCertificate => (
                Class::Configuration,
                "unknown-certificate",
                Some("download alipayCertPublicKey_RSA2.crt from the console and put it below the old one in alipay_cert"),
            ),
            ReplyError::BadSignature => (
                Class::Configuration,
                "bad-signature",
                Some("compare alipay_public_key (or alipay_cert) with the console: it must be Alipay's key of this very application"),
            ),
            ReplyError::Undecipherable => {
                (Class::Configuration, "undecipherable", Some("compare aes_key with 接口内容加密方式 in the console"))
            }
        };
        Self { class, code: code.to_owned(), message: error.to_string(), advice }
    }
}

/// The top level of an answer: each name with the raw text of its value.
pub struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Takes an answer apart.
    ///
    /// # Errors
    /// [`ReplyError::Form`], [`ReplyError::Repeated`].
    pub fn read(body: &'a str) -> Result<Self, ReplyError> {
        let mut json = serde_json::Deserializer::from_str(body);
        let members = json.deserialize_map(Collect).map_err(|_| ReplyError::Form)?;
        json.end().map_err(|_| ReplyError::Form)?;
        for (index, (name, _)) in members.iter().enumerate() {
            if members.iter().skip(index + 1).any(|(other, _)| other == name) {
                return Err(ReplyError::Repeated);
            }
        }
        Ok(Self(members))
    }

    /// The raw text of a value, exactly as received.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, raw)| raw.get())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.raw(name).and_then(|raw| serde_json::from_str(raw).ok())
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

/// The name of the node that answers a method.
#[must_use]
pub fn root_node(method: &str) -> String {
    format!("{}_response", method.replace('.', "_"))
}

/// The node that answers when a call did not reach its method.
const ERROR_NODE: &str = "error_response";

impl Gateway {
    /// Verifies the answer to `method`, decrypts it where it is encrypted, and gives its members if the platform said yes.
    ///
    /// # Errors
    /// The vendor's no, or why the answer is not believed.
    pub fn read(&self, method: &str, reply: &Reply) -> Result<Map<String, Value>, ApiError> {
        self.heard(method, reply, &[]).and_then(errors::accepted)
    }

    /// The node of an answer, yes or no, verified with the configured keys and with those that were `downloaded` since.
    ///
    /// # Errors
    /// Why the answer is not believed.
    pub fn heard(&self, method: &str, reply: &Reply, downloaded: &[TrustedKey]) -> Result<Map<String, Value>, ApiError> {
        match self.verified_with(method, &reply.body, downloaded) {
            Ok(node) => Ok(node),
            // Business answers always come with 200: anything else is trouble on the way.
            Err(ReplyError::Form) if reply.status != 200 => Err(ApiError::unreadable(reply, "answer of the gateway")),
            Err(error) => Err(error.into()),
        }
    }

    /// The node of an answer, once its signature holds.
    ///
    /// # Errors
    /// Why the answer is not believed.
    pub fn verified(&self, method: &str, body: &[u8]) -> Result<Map<String, Value>, ReplyError> {
        self.verified_with(method, body, &[])
    }

    fn verified_with(&self, method: &str, body: &[u8], downloaded: &[TrustedKey]) -> Result<Map<String, Value>, ReplyError> {
        let body = std::str::from_utf8(body).map_err(|_| ReplyError::Form)?;
        let members = Members::read(body)?;
        let root = root_node(method);
        let raw = match (members.raw(&root), members.raw(ERROR_NODE)) {
            (Some(raw), None) | (None, Some(raw)) => raw,
            // Both: one of them was put there.
            (Some(_), Some(_)) => return Err(ReplyError::Repeated),
            (None, None) => return Err(ReplyError::Form),
        };
        let node: Value = serde_json::from_str(raw).map_err(|_| ReplyError::Form)?;
        let is_signed = members.raw("sign").is_some();
        if is_signed {
            self.verify(raw, &members, downloaded)?;
        }
        match node {
            Value::String(sealed) if is_signed => {
                let plain = self.content_key().and_then(|key| key.open(&sealed)).ok_or(ReplyError::Undecipherable)?;
                serde_json::from_slice(&plain).map_err(|_| ReplyError::Form)
            }
            Value::Object(node) if is_signed || !errors::is_success(&node) => Ok(node),
            Value::Object(_) | Value::String(_) => Err(ReplyError::Unsigned),
            _ => Err(ReplyError::Form),
        }
    }

    /// The number of a certificate that an answer names and nobody here knows; certificate mode only.
    #[must_use]
    pub fn unknown_certificate(&self, reply: &Reply, downloaded: &[TrustedKey]) -> Option<String> {
        let number = Members::read(std::str::from_utf8(&reply.body).ok()?).ok()?.text("alipay_cert_sn")?;
        let known = self.trust().named(Some(&number)).next().is_some() || downloaded.iter().any(|key| key.sn.as_ref() == Some(&number));
        Some(number).filter(|_| self.trust().own().is_some() && !known)
    }

    fn verify(&self, raw: &str, members: &Members<'_>, downloaded: &[TrustedKey]) -> Result<(), ReplyError> {
        let sign = members.text("sign").ok_or(ReplyError::BadSignature)?;
        let number = members.text("alipay_cert_sn");
        let later = downloaded.iter().filter(|key| number.is_some() && key.sn == number);
        let mut keys = self.trust().named(number.as_deref()).chain(later).peekable();
        if keys.peek().is_none() {
            return Err(ReplyError::UnknownCertificate);
        }
        // The official clients try again with slashes unescaped (Alipay 1.6, step 4).
        let unescaped = raw.contains("\\/").then(|| raw.replace("\\/", "/"));
        let holds = |text: &str, key: &TrustedKey| key.key.verify(text.as_bytes(), &sign);
        if keys.any(|key| holds(raw, key) || unescaped.as_deref().is_some_and(|text| holds(text, key))) {
            return Ok(());
        }
        Err(ReplyError::BadSignature)
    }
}
