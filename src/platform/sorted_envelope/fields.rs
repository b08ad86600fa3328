//! The outer object of a push: read in one pass, borrowed from the body wherever nothing is escaped.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::platform::push::PushError;

/// What a body or a query holds of an envelope or of an echo request. Everything is as sent: signatures cover the text.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    /// `Nonce`.
    pub nonce: Option<Cow<'a, str>>,
    /// `TimeStamp`.
    pub timestamp: Option<Cow<'a, str>>,
    /// `Encrypt`.
    pub encrypt: Option<Cow<'a, str>>,
    /// `MsgSignature`.
    pub signature: Option<Cow<'a, str>>,
    /// The console's check of an address (Baidu 7.2), where `echoStr` is there and `Encrypt` is not.
    pub echo: Option<Echo<'a>>,
}

/// A request that wants its `echoStr` back.
#[derive(Debug)]
pub struct Echo<'a> {
    /// What to answer.
    pub text: Cow<'a, str>,
    /// `signature`.
    pub signature: Option<Cow<'a, str>>,
    /// `timestamp`.
    pub timestamp: Option<Cow<'a, str>>,
    /// `nonce`.
    pub nonce: Option<Cow<'a, str>>,
}

/// Every name that may carry something. `RawValue` keeps the digits of a number as they were sent.
#[derive(serde::Deserialize)]
struct Json<'a> {
    #[serde(borrow, rename = "Nonce")]
    nonce: Option<&'a RawValue>,
    #[serde(borrow, rename = "TimeStamp")]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, rename = "Encrypt")]
    encrypt: Option<&'a RawValue>,
    #[serde(borrow, rename = "MsgSignature")]
    signature: Option<&'a RawValue>,
    #[serde(borrow, rename = "nonce")]
    camel_nonce: Option<&'a RawValue>,
    #[serde(borrow, rename = "timeStamp")]
    camel_timestamp: Option<&'a RawValue>,
    #[serde(borrow, rename = "encrypt")]
    camel_encrypt: Option<&'a RawValue>,
    #[serde(borrow, rename = "msgSignature")]
    camel_signature: Option<&'a RawValue>,
    #[serde(borrow, rename = "timestamp")]
    echo_timestamp: Option<&'a RawValue>,
    #[serde(borrow, rename = "signature")]
    echo_signature: Option<&'a RawValue>,
    #[serde(borrow, rename = "echoStr", alias = "echostr")]
    echo: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    /// Reads a body: a JSON object whatever the content type says, else a form with the same names (Baidu 2.1).
    ///
    /// # Errors
    /// [`PushError::Malformed`].
    pub fn of_body(body: &'a [u8]) -> Result<Self, PushError> {
        match body.trim_ascii_start().first() {
            None => Err(PushError::Malformed(String::from("the body is empty"))),
            Some(b'{') => Self::of_json(body),
            Some(_) => match Self::of_form(body) {
                Self { nonce: None, timestamp: None, encrypt: None, signature: None, echo: None } => {
                    Err(PushError::Malformed(String::from("the body is neither the envelope's JSON nor a form of its fields")))
                }
                fields => Ok(fields),
            },
        }
    }

    fn of_json(body: &'a [u8]) -> Result<Self, PushError> {
        let json: Json<'a> = serde_json::from_slice(body).map_err(|error| {
            // The error's own text may quote the body.
            PushError::Malformed(format!("the body is not the envelope's JSON (line {}, column {})", error.line(), error.column()))
        })?;
        // Names in camel case count only all together (Douyin 2.1): a body in which one letter was changed is not an envelope.
        let camel = json.encrypt.is_none() && json.signature.is_none() && json.timestamp.is_none() && json.nonce.is_none();
        if !camel {
            return Ok(Self {
                nonce: scalar("Nonce", json.nonce)?,
                timestamp: scalar("TimeStamp", json.timestamp)?,
                encrypt: scalar("Encrypt", json.encrypt)?,
                signature: scalar("MsgSignature", json.signature)?,
                echo: None,
            });
        }
        if let (Some(echo), None) = (json.echo, json.camel_encrypt) {
            let text = scalar("echoStr", Some(echo))?.unwrap_or_default();
            let echo = Echo {
                text,
                signature: scalar("signature", json.echo_signature)?,
                timestamp: scalar("timestamp", json.echo_timestamp)?,
                nonce: scalar("nonce", json.camel_nonce)?,
            };
            return Ok(Self { echo: Some(echo), ..Self::default() });
        }
        Ok(Self {
            nonce: scalar("nonce", json.camel_nonce)?,
            timestamp: scalar("timeStamp", json.camel_timestamp)?,
            encrypt: scalar("encrypt", json.camel_encrypt)?,
            signature: scalar("msgSignature", json.camel_signature)?,
            echo: None,
        })
    }

    /// Reads a form or a query string. The first of a name counts.
    #[must_use]
    pub fn of_form(form: &'a [u8]) -> Self {
        let mut fields = Self::default();
        let (mut echo, mut signature, mut timestamp, mut nonce) = (None, None, None, None);
        for (name, value) in url::form_urlencoded::parse(form) {
            let place = match name.as_ref() {
                "Nonce" => &mut fields.nonce,
                "TimeStamp" => &mut fields.timestamp,
                "Encrypt" => &mut fields.encrypt,
                "MsgSignature" => &mut fields.signature,
                "echoStr" | "echostr" => &mut echo,
                "signature" => &mut signature,
                "timestamp" => &mut timestamp,
                "nonce" => &mut nonce,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        match &mut fields.encrypt {
            // A sender that does not escape `+` in a form means a plus: base64 has no spaces.
            Some(encrypt) if encrypt.contains(' ') => *encrypt = Cow::Owned(encrypt.replace(' ', "+")),
            Some(_) => {}
            None => fields.echo = echo.map(|text| Echo { text, signature, timestamp, nonce }),
        }
        fields
    }
}

/// Text, or a number as its digits unchanged.
fn scalar<'a>(name: &str, raw: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, PushError> {
    let Some(raw) = raw.map(RawValue::get) else { return Ok(None) };
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Ok(Some(Cow::Borrowed(inner))),
        Some(_) => match serde_json::from_str(raw) {
            Ok(text) => Ok(Some(Cow::Owned(text))),
            Err(_) => Err(PushError::Malformed(format!("`{name}` is not valid text"))),
        },
        None if raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => Ok(Some(Cow::Borrowed(raw))),
        None => Err(PushError::Malformed(format!("`{name}` is neither text nor a number"))),
    }
}
