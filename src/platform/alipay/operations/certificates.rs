//! Answers signed with a certificate that the settings do not know: Alipay hands it out, and it is believed when its chain ends at a
//! configured root (Alipay 1.4).
//!
//! The answers so far are gone through in order. One that names an unknown certificate is followed by the answer to its download, which is
//! signed with the very certificate it brings; so not that signature counts, only the chain.

use serde_json::{Value, json};

use super::super::certificate::{self, CertificateError};
use super::super::content::text;
use super::super::errors;
use super::super::gateway::Request;
use super::super::reply::{Members, root_node};
use super::super::settings::Application;
use super::super::trust::TrustedKey;
use super::Node;
use crate::clock::Timestamp;
use crate::platform::call::{ApiError, Call, Class, Reply};

const DOWNLOAD: &str = "alipay.open.app.alipaycert.download";

/// What there is to go on with.
pub enum Hearing<'a> {
    /// The answers of the operation itself, and the keys that came between them.
    Heard { replies: Vec<&'a Reply>, downloaded: Vec<TrustedKey> },
    /// The last answer names this certificate, and nobody knows it yet.
    Unknown(String),
    /// The certificate will not do.
    Refused(ApiError),
}

/// Goes through the answers. With `now`, certificates must be valid then.
pub fn hear<'a>(application: &Application, replies: &'a [Reply], now: Option<Timestamp>) -> Hearing<'a> {
    let mut heard = Vec::new();
    let mut downloaded = Vec::new();
    let mut rest = replies.iter();
    while let Some(reply) = rest.next() {
        heard.push(reply);
        let Some(sn) = application.gateway.unknown_certificate(reply, &downloaded) else { continue };
        let Some(brought) = rest.next() else { return Hearing::Unknown(sn) };
        match key(application, &sn, brought, now) {
            Ok(key) => downloaded.push(key),
            Err(error) => return Hearing::Refused(error),
        }
    }
    Hearing::Heard { replies: heard, downloaded }
}

/// Which answer a refusal is about: the operation's own last one, not the certificate that only helped to read it; the certificate, where
/// that will not do.
pub fn refused(application: &Application, replies: &[Reply], now: Timestamp) -> usize {
    let last = replies.len().saturating_sub(1);
    match hear(application, replies, Some(now)) {
        Hearing::Heard { replies: heard, .. } => {
            heard.last().and_then(|own| replies.iter().position(|reply| std::ptr::eq(reply, *own))).unwrap_or(last)
        }
        Hearing::Unknown(_) | Hearing::Refused(_) => last,
    }
}

/// Asks for a certificate.
pub fn download(application: &Application, sn: &str, now: Timestamp) -> Call {
    application.gateway.call(Request::biz(DOWNLOAD, json!({"alipay_cert_sn": sn}).to_string()), now)
}

fn key(application: &Application, sn: &str, reply: &Reply, now: Option<Timestamp>) -> Result<TrustedKey, ApiError> {
    let node = unverified(reply).ok_or_else(|| ApiError::unreadable(reply, "certificate"))?;
    let content = text(&node, "alipay_cert_content").ok_or_else(|| errors::refused(&node))?;
    let roots = application.gateway.trust().own().map(|own| own.roots.as_slice()).unwrap_or_default();
    let key = certificate::downloaded(&content, sn, roots, now).map_err(unbelieved)?;
    Ok(TrustedKey { sn: Some(sn.to_owned()), key })
}

/// The node of the answer to a download, whoever signed it.
fn unverified(reply: &Reply) -> Option<Node> {
    let members = Members::read(std::str::from_utf8(&reply.body).ok()?).ok()?;
    match serde_json::from_str(members.raw(&root_node(DOWNLOAD)).or_else(|| members.raw("error_response"))?).ok()? {
        Value::Object(node) => Some(node),
        _ => None,
    }
}

fn unbelieved(error: CertificateError) -> ApiError {
    ApiError {
        class: Class::Configuration,
        code: String::from("unknown-certificate"),
        message: format!("the answer is signed with a certificate that cannot be believed: {error}"),
        advice: Some("download alipay_cert and alipay_root_cert again from the console of this application"),
    }
}
