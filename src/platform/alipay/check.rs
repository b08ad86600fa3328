//! The check of the gateway address (Alipay 2.6): its two possible answers, signed once when the settings are read.
//!
//! Called by `push`. Since the signed text never depends on what came in, nobody can have anything else signed.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::envelope::rsa2::PrivateKey;
use crate::platform::push::{Acknowledgement, PushError};

/// The value of `service` that makes a form a check.
pub const SERVICE: &str = "alipay.service.check";

/// The answers.
#[derive(Debug, Clone)]
pub struct Answers {
    success: Bytes,
    failure: Bytes,
}

impl Answers {
    /// Signs both.
    #[must_use]
    pub fn signed(key: &PrivateKey) -> Self {
        let answer = |outcome: &str| {
            let content = format!("{outcome}<biz_content>{}</biz_content>", key.public().to_base64());
            let sign = key.sign(content.as_bytes());
            // Pure ASCII, so GBK is the same bytes.
            Bytes::from(format!(
                "<?xml version=\"1.0\" encoding=\"GBK\"?><alipay><response>{content}</response><sign>{sign}</sign><sign_type>RSA2</sign_type></alipay>"
            ))
        };
        Self {
            success: answer("<success>true</success>"),
            failure: answer("<success>false</success><error_code>VERIFY_FAILED</error_code>"),
        }
    }

    /// The address is ours.
    #[must_use]
    pub fn success(&self) -> Acknowledgement {
        Acknowledgement { status: 200, content_type: "text/xml;charset=GBK", body: self.success.clone() }
    }

    /// The check was not signed by Alipay: the protocol's own words, with the status of `error` instead of the protocol's 200.
    #[must_use]
    pub fn failure(&self, error: &PushError) -> Acknowledgement {
        Acknowledgement { status: error.status(), content_type: "text/xml;charset=GBK", body: self.failure.clone() }
    }
}

/// Whether a verified check is the one that is known, and for this application.
///
/// # Errors
/// It is another event, or for another application.
pub fn read(content: &Map<String, Value>, app_id: &str) -> Result<(), PushError> {
    let root = content.values().next();
    let member = |name: &str| root.and_then(|root| root.get(name)).and_then(Value::as_str);
    if !member("EventType").is_some_and(|event| event.eq_ignore_ascii_case("verifygw")) {
        return Err(PushError::Malformed(String::from("the gateway check has no EventType verifygw")));
    }
    match member("AppId") {
        None | Some("") => Ok(()),
        Some(other) if other == app_id => Ok(()),
        Some(_) => Err(PushError::WrongAppId(String::from("the gateway check names another AppId"))),
    }
}
