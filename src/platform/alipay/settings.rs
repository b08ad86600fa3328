//! An Alipay application's settings: what its console shows (Alipay 1.2), checked and parsed into keys and addresses.
//!
//! Called by `mod` for the component and for its twin. Every problem is recorded; no value of a key is ever in one.

use super::certificate::{self, CertificateError};
use super::check;
use super::content::ContentKey;
use super::gateway::Gateway;
use super::link::{Links, MINI_PROGRAM};
use super::operations;
use super::trust::{OwnCertificates, Trust, TrustedKey};
use crate::envelope::rsa2::{KeyError, PrivateKey, PublicKey};
use crate::platform::operation::Operation;
use crate::settings::Settings;

/// The production gateway (Alipay 1.5).
const GATEWAY: &str = "https://openapi.alipay.com/gateway.do";

/// The page on which merchants authorize (Alipay 4.1).
const AUTH_PAGE: &str = "https://b.alipay.com/page/message/tasksDetail";

/// The same in Alipay's own app; the encoded task is appended.
const MOBILE_AUTH_PAGE: &str = "alipays://platformapi/startapp?appId=2021003130652097&page=pages%2Fauthorize%2Findex%3FbizData%3D";

/// The page on which a merchant grants several applications at once (4.1, classic pages).
const BATCH_AUTH_PAGE: &str = "https://openauth.alipay.com/oauth2/appToAppBatchAuth.htm";

/// The three files of certificate mode.
const CERTIFICATES: [&str; 3] = ["app_cert", "alipay_cert", "alipay_root_cert"];

/// A third-party application at Alipay.
#[derive(Debug)]
pub struct Application {
    /// The component's name in this deployment.
    pub name: String,
    /// Whose calls are signed and whose signatures are believed; knows the application's id.
    pub gateway: Gateway,
    /// How merchants come to authorize.
    pub links: Links,
    /// Whether a lost token is looked up with `alipay.open.mini.appauth.query`, whose `mini_app_token` is unverified (Alipay 4.6).
    pub recover_by_query: bool,
    /// Whether the `biz_content` of operations is encrypted (Alipay 1.5). Tokens are always asked for without.
    pub encrypt_calls: bool,
    /// The two possible answers to a check of the gateway address.
    pub check: check::Answers,
    /// Its operations.
    pub rows: Vec<Operation>,
}

/// Reads everything. `None` when a problem makes it impossible; the caller ends with [`Settings::finish`] in any case.
pub fn application(name: &str, settings: &mut Settings) -> Option<Application> {
    let app_id = app_id(settings);
    let key = private_key(settings, "app_private_key");
    let trust = trust(settings, key.as_ref());
    let content_key = content_key(settings);
    let url = settings.url_or("base_url", GATEWAY);
    let links = links(settings);
    let recover_by_query = settings.flag_or("recover_by_query", true);
    let encrypt_calls = settings.flag_or("encrypt_calls", false);
    // Only the twin reads it; a component that is tried against the simulator has it too.
    settings.has("twin_private_key");
    let (app_id, key, trust) = (app_id?, key?, trust?);
    let check = check::Answers::signed(&key);
    let content_key = content_key?;
    if encrypt_calls && content_key.is_none() {
        settings.problem("encrypt_calls", "is on, and there is no aes_key", "set aes_key as in the console (接口内容加密方式)");
    }
    let gateway = Gateway::new(url, app_id, key, trust, content_key);
    Some(Application { name: name.to_owned(), gateway, links, recover_by_query, encrypt_calls, check, rows: operations::rows() })
}

/// The key with which the twin signs as Alipay.
pub fn twin_key(settings: &mut Settings, application: Option<&Application>) -> Option<PrivateKey> {
    let key = private_key(settings, "twin_private_key")?;
    if application.is_some_and(|application| application.gateway.trust().keys().first().is_none_or(|first| first.key != *key.public())) {
        settings.problem(
            "twin_private_key",
            "is not the private half of the Alipay key that the component trusts",
            "set alipay_public_key (or alipay_cert) to its public half",
        );
        return None;
    }
    Some(key)
}

fn app_id(settings: &mut Settings) -> Option<String> {
    let app_id = settings.text("app_id")?.trim().to_owned();
    if !app_id.bytes().all(|b| b.is_ascii_digit()) {
        settings.problem("app_id", "is not made of digits", "copy the 16 digits of the third-party application's APPID from the console");
        return None;
    }
    Some(app_id)
}

fn private_key(settings: &mut Settings, name: &str) -> Option<PrivateKey> {
    let text = settings.secret(name)?;
    match PrivateKey::read(text.expose()) {
        Ok(key) => Some(key),
        Err(error) => {
            let hint = match error {
                KeyError::OtherKind => "give the private key: BEGIN PRIVATE KEY or BEGIN RSA PRIVATE KEY",
                _ => "give the application's private key as PEM or as one line of base64, as the vendor's key tool saved it",
            };
            settings.problem(name, error.to_string(), hint);
            None
        }
    }
}

fn trust(settings: &mut Settings, own: Option<&PrivateKey>) -> Option<Trust> {
    let certificates: Vec<&str> = CERTIFICATES.into_iter().filter(|name| settings.has(name)).collect();
    match (settings.has("alipay_public_key"), certificates.is_empty()) {
        (true, true) => key_mode(settings, own),
        (false, false) => certificate_mode(settings, own),
        (true, false) => {
            let given = certificates.join(", ");
            settings.problem(
                "alipay_public_key",
                format!("is given together with {given}: the two modes exclude each other"),
                "keep alipay_public_key for key mode (公钥), or app_cert, alipay_cert and alipay_root_cert for certificate mode (公钥证书)",
            );
            None
        }
        (false, true) => {
            settings.problem(
                "alipay_public_key",
                "is missing, and so are the certificates: nothing of Alipay's could be verified",
                "key mode (公钥): add alipay_public_key; certificate mode (公钥证书): add app_cert, alipay_cert and alipay_root_cert",
            );
            None
        }
    }
}

fn key_mode(settings: &mut Settings, own: Option<&PrivateKey>) -> Option<Trust> {
    let text = settings.optional_secret("alipay_public_key")?;
    let key = match PublicKey::read(text.expose()) {
        Ok(key) => key,
        Err(error) => {
            let hint = match error {
                KeyError::OtherKind => "a certificate belongs into alipay_cert; here goes the public key (BEGIN PUBLIC KEY or bare base64)",
                _ => "copy 支付宝公钥 from the console, which shows it after the application's key was saved",
            };
            settings.problem("alipay_public_key", error.to_string(), hint);
            return None;
        }
    };
    // The usual mistake: the console shows both keys side by side.
    if own.is_some_and(|own| *own.public() == key) {
        settings.problem(
            "alipay_public_key",
            "is the application's own public key (应用公钥)",
            "copy 支付宝公钥 from the console instead: it is Alipay's key for this application",
        );
        return None;
    }
    Some(Trust::key(key))
}

fn certificate_mode(settings: &mut Settings, own: Option<&PrivateKey>) -> Option<Trust> {
    let [app, alipay, root] = CERTIFICATES.map(|name| settings.secret(name));
    let (app, alipay, root) = (app?, alipay?, root?);
    let app_cert_sn = app_cert_sn(settings, app.expose(), own);
    let root_cert_sn = noted(settings, "alipay_root_cert", certificate::root_sn(root.expose()));
    let roots = noted(settings, "alipay_root_cert", certificate::blocks(root.expose()));
    let keys = roots.as_ref().and_then(|roots| {
        let keys = alipay_keys(alipay.expose(), roots);
        noted(settings, "alipay_cert", keys)
    });
    Some(Trust::certificates(keys?, OwnCertificates { app_cert_sn: app_cert_sn?, root_cert_sn: root_cert_sn?, roots: roots? }))
}

fn noted<T>(settings: &mut Settings, name: &str, read: Result<T, CertificateError>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(error) => {
            let hint = match error {
                CertificateError::Forged => "download alipay_cert and alipay_root_cert again from the console of this application",
                CertificateError::NoRsaRoot => "give the file alipayRootCert.crt as the console hands it out, with all of its blocks",
                _ => "give the file as the console hands it out: one or more BEGIN CERTIFICATE blocks",
            };
            settings.problem(name, error.to_string(), hint);
            None
        }
    }
}

fn app_cert_sn(settings: &mut Settings, pem: &str, own: Option<&PrivateKey>) -> Option<String> {
    let key = certificate::blocks(pem).and_then(|blocks| certificate::key(blocks.first().ok_or(CertificateError::NotPem)?));
    let (key, _, sn) = noted(settings, "app_cert", key)?;
    if own.is_some_and(|own| *own.public() != key) {
        settings.problem(
            "app_cert",
            "is not the certificate of app_private_key",
            "download appCertPublicKey_….crt again, or give the private key whose request (CSR) was uploaded",
        );
        return None;
    }
    Some(sn)
}

/// The keys of Alipay's own certificates: the first block and every later one that is no authority, so that during a change the new
/// certificate can be written below the old one.
fn alipay_keys(pem: &str, roots: &[Vec<u8>]) -> Result<Vec<TrustedKey>, CertificateError> {
    let blocks = certificate::blocks(pem)?;
    let mut keys = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let (key, is_authority, sn) = certificate::key(block)?;
        if index > 0 && is_authority {
            continue;
        }
        // The file may come without the one in the middle; then there is nothing to follow, and the operator's word counts.
        match certificate::chain(block, &blocks, roots, None) {
            Ok(()) | Err(CertificateError::NoIssuer) => keys.push(TrustedKey { sn: Some(sn), key }),
            Err(error) => return Err(error),
        }
    }
    Ok(keys)
}

/// `Some(None)` without a key, `None` with a wrong one.
#[expect(clippy::option_option, reason = "absent and wrong are different things here")]
fn content_key(settings: &mut Settings) -> Option<Option<ContentKey>> {
    if !settings.has("aes_key") {
        return Some(None);
    }
    let text = settings.optional_secret("aes_key")?;
    match ContentKey::read(text.expose()) {
        Some(key) => Some(Some(key)),
        None => {
            settings.problem(
                "aes_key",
                "is not base64 of 16 bytes",
                "copy the key of 接口内容加密方式 from the console: 24 characters that end in ==",
            );
            None
        }
    }
}

fn links(settings: &mut Settings) -> Links {
    let redirect_uri = settings.has("redirect_uri").then(|| settings.url_or("redirect_uri", "https://example.com")).map(|read| {
        // The console compares it to the letter: a trailing slash is part of it.
        settings.optional_text("redirect_uri").unwrap_or(read)
    });
    let mut application_types = settings.texts("application_types");
    if application_types.is_empty() {
        application_types.push(String::from(MINI_PROGRAM));
    }
    Links {
        auth_url: settings.url_or("auth_url", AUTH_PAGE),
        mobile_auth_url: Some(settings.text_or("mobile_auth_url", MOBILE_AUTH_PAGE)).filter(|url| !url.is_empty()),
        batch_auth_url: Some(settings.text_or("batch_auth_url", BATCH_AUTH_PAGE)).filter(|url| !url.is_empty()),
        redirect_uri,
        application_types,
    }
}
