//! Alipay's OpenAPI, version 2, as data: a [`Request`] in, a signed [`Call`] out (1.5); `reply` reads the answer.
//!
//! Called by `tokens` and by whatever else asks Alipay something. Never sends. Layout as the official clients have it: common
//! parameters and `sign` in the query, everything else in the body.

use std::fmt;

use bytes::Bytes;

use super::content::ContentKey;
use super::form;
use super::trust::Trust;
use crate::clock::{Timestamp, china_text};
use crate::envelope::rsa2::PrivateKey;
use crate::platform::call::{Body, Call, Fields, Part, Value};
use crate::secret::Secret;

/// One application's way to Alipay: its own key, and whose answers it believes.
pub struct Gateway {
    url: String,
    app_id: String,
    key: PrivateKey,
    trust: Trust,
    content_key: Option<ContentKey>,
}

/// One call of a method.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    app_auth_token: Option<Secret>,
    fields: Fields,
    files: Vec<Part>,
}

impl Request {
    /// A call with `biz_content`, which is JSON text.
    pub fn biz(method: &str, content: impl Into<Value>) -> Self {
        Self::fields(method, vec![(String::from("biz_content"), content.into())])
    }

    /// A call with `biz_content` encrypted. The ciphertext is what gets signed; methods with files cannot be encrypted.
    #[must_use]
    pub fn sealed_biz(method: &str, content: &str, key: &ContentKey) -> Self {
        let sealed = (String::from("biz_content"), Value::from(key.seal(content.as_bytes())));
        Self::fields(method, vec![sealed, (String::from("encrypt_type"), Value::from("AES"))])
    }

    /// A call with parameters of its own at the top level, as the *multipart* methods have. An object is sent as its JSON text.
    #[must_use]
    pub fn fields(method: &str, fields: Fields) -> Self {
        Self { method: method.to_owned(), app_auth_token: None, fields, files: Vec::new() }
    }

    /// Adds a file. Its bytes are not signed.
    #[must_use]
    pub fn file(mut self, file: Part) -> Self {
        self.files.push(file);
        self
    }

    /// Acts for the merchant whose token this is.
    #[must_use]
    pub fn on_behalf_of(mut self, app_auth_token: &Secret) -> Self {
        self.app_auth_token = Some(app_auth_token.clone());
        self
    }
}

impl Gateway {
    /// Parts that `settings` has read.
    #[must_use]
    pub fn new(url: String, app_id: String, key: PrivateKey, trust: Trust, content_key: Option<ContentKey>) -> Self {
        Self { url, app_id, key, trust, content_key }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The application's id.
    #[must_use]
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// The application's key.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Whose signatures are believed.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The key of content encryption, where one is set.
    #[must_use]
    pub fn content_key(&self) -> Option<&ContentKey> {
        self.content_key.as_ref()
    }

    /// Signs a request; `now` becomes its `timestamp`. Parameters with empty values are neither signed nor sent.
    #[must_use]
    pub fn call(&self, request: Request, now: Timestamp) -> Call {
        let Request { method, app_auth_token, fields, files } = request;
        let mut query: Fields = [
            ("app_id", Value::from(self.app_id.as_str())),
            ("method", Value::from(method)),
            ("format", Value::from("JSON")),
            ("charset", Value::from("utf-8")),
            ("sign_type", Value::from("RSA2")),
            ("timestamp", Value::from(china_text(now))),
            ("version", Value::from("1.0")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Some(token) = app_auth_token {
            query.push((String::from("app_auth_token"), Value::from(token)));
        }
        if let Some(own) = self.trust.own() {
            query.push((String::from("app_cert_sn"), Value::from(own.app_cert_sn.as_str())));
            query.push((String::from("alipay_root_cert_sn"), Value::from(own.root_cert_sn.as_str())));
        }
        let fields: Fields = fields.into_iter().filter(|(_, value)| !value.expose().is_empty()).collect();
        let sign = self.key.sign(sign_string(query.iter().chain(&fields).map(|(name, value)| (name.as_str(), value.expose()))).as_bytes());
        query.push((String::from("sign"), Value::from(sign)));
        let body = if files.is_empty() { Body::Form(fields) } else { multipart(&fields, files) };
        Call { query, ..Call::post(&self.url) }.body(body)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("url", &self.url).field("app_id", &self.app_id).finish_non_exhaustive()
    }
}

/// The string that a request's signature covers: every text parameter but `sign` and the empty ones, unencoded, sorted (Alipay 1.5).
#[must_use]
pub fn sign_string<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let parameters = parameters.into_iter().filter(|(name, value)| *name != "sign" && !value.is_empty());
    let joined = form::sign_string(parameters.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    String::from_utf8(joined).unwrap_or_default()
}

fn multipart(fields: &Fields, files: Vec<Part>) -> Body {
    let text = |(name, value): &(String, Value)| Part {
        name: name.clone(),
        file_name: None,
        content_type: None,
        content: Bytes::copy_from_slice(value.expose().as_bytes()),
    };
    Body::Multipart(fields.iter().map(text).chain(files).collect())
}
