//! Opening a push: form → signature → charset → application → version → content → meaning (Alipay 2).
//!
//! Both addresses take the same pushes: Alipay knows one application gateway only. The shape of [`Push::vendor`] is the form as a JSON
//! object in the order of the body, with `biz_content` as an object where it is one (JSON, decrypted JSON, or the elements of XML),
//! as text otherwise; tokens, codes and order tickets are sealed in it.

use std::borrow::Cow;

use encoding_rs::Encoding;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::catalogue::{self, NamedBy};
use super::form::{self, Form};
use super::settings::Application;
use super::{check, content, joins, notice, rules, xml};
use crate::clock::{Timestamp, china_time};
use crate::envelope::digest;
use crate::platform::loose::{self, text_of};
use crate::platform::push::{Acknowledgement, Opened, Push, PushError, Pushes, RawPush};

/// A verified form as text, its content opened.
pub(super) struct Verified {
    /// Every field as text, but `biz_content` as an object where it is one.
    pub fields: Map<String, Value>,
    /// Which field names the event.
    pub named_by: NamedBy,
    /// The vendor's name of the event, trimmed.
    pub name: String,
    /// When the platform sent it; when it came, where the platform does not say.
    pub sent_at: Timestamp,
}

impl Verified {
    /// The content's members; those of the form itself where the notice is flat.
    pub fn content(&self) -> &Map<String, Value> {
        loose::member(&self.fields, CONTENT).and_then(Value::as_object).unwrap_or(&self.fields)
    }
}

/// The field that holds the content.
const CONTENT: &str = "biz_content";

impl Pushes for Application {
    fn open(&self, raw: &RawPush) -> Result<Opened, PushError> {
        // A console or a person with a browser tries the address. The platform itself only posts: what a GET carries is not signed
        // (an order's `app_auth_code` may come that way, and comes again in a signed notice), so nothing of it is looked at.
        if raw.is_get {
            return Ok(Opened::Check(Acknowledgement::success()));
        }
        let form = decode(raw)?;
        rules::verify(&form, self.gateway.trust())?;
        let verified = self.read(&form, raw.received_at)?;
        if verified.named_by == NamedBy::Service && verified.name == check::SERVICE {
            check::read(verified.content(), self.gateway.app_id())?;
            return Ok(Opened::Check(self.check.success()));
        }
        let app_id = self.gateway.app_id();
        let (notice, authorizer, time) = notice::read(&verified, app_id);
        let push = Push {
            notice,
            authorizer,
            time,
            dedupe_key: dedupe_key(&verified),
            vendor: vendor(verified.fields),
            vendor_type: verified.name,
            acknowledgement: Acknowledgement::success(),
        };
        Ok(Opened::Push(Box::new(push)))
    }

    fn refusal(&self, raw: &RawPush, error: &PushError) -> Option<Acknowledgement> {
        // The check wants its signed failure, everything else the conventional negative answer (Alipay 2.2). The status stays that of the
        // contract, unlike the protocol's 200: a console that only looks at the status must not take it for a yes either.
        let is_check = decode(raw).is_ok_and(|form| form.ascii("service") == Some(check::SERVICE));
        if is_check {
            return Some(self.check.failure(error));
        }
        Some(Acknowledgement { status: error.status(), ..Acknowledgement::text("fail") })
    }
}

fn decode(raw: &RawPush) -> Result<Form, PushError> {
    Form::decode(&raw.body).map_err(|error| PushError::Malformed(error.to_string()))
}

impl Application {
    /// Reads a form whose signature holds.
    pub(super) fn read(&self, form: &Form, received_at: Timestamp) -> Result<Verified, PushError> {
        let malformed = |what: &str| PushError::Malformed(what.to_owned());
        let charset = charset(form)?;
        let texts = form.texts(charset).ok_or_else(|| malformed("a field is not text of the charset that the form names"))?;
        let mut fields: Map<String, Value> = texts.into_iter().map(|(name, value)| (name, Value::String(value))).collect();

        let (named_by, name) = name(&fields);
        if named_by != NamedBy::Service {
            // The check has its AppId inside.
            self.check_receiver(&fields)?;
        }
        check_version(named_by, &fields)?;

        let encrypted = match text_of(&fields, &["encrypt_type"]) {
            None => false,
            Some(kind) if kind.eq_ignore_ascii_case("AES") => true,
            Some(_) => return Err(PushError::Undecipherable(String::from("encrypt_type is not AES"))),
        };
        let sent_at = sent_at(&fields).unwrap_or(received_at);
        // What is in it takes its place.
        let Some(Value::String(text)) = fields.get_mut(CONTENT).filter(|text| text.as_str().is_some_and(|text| !text.trim().is_empty()))
        else {
            return Ok(Verified { fields, named_by, name, sent_at });
        };
        if encrypted {
            let key =
                self.gateway.content_key().ok_or_else(|| PushError::Undecipherable(String::from("AES content, and no aes_key is set")))?;
            let plain = key.open(text).ok_or_else(|| PushError::Undecipherable(String::from("aes_key does not open biz_content")))?;
            let plain = charset.decode_without_bom_handling_and_without_replacement(&plain).map(|text| text.into_owned());
            *text = plain.ok_or_else(|| malformed("the decrypted biz_content is not text of the charset that the form names"))?;
        }
        let inside = match named_by {
            NamedBy::Service => {
                let elements = xml::elements(text).map_err(|error| PushError::Malformed(format!("biz_content: {error}")))?;
                Some(elements).filter(Value::is_object)
            }
            NamedBy::Message | NamedBy::Notice => match loose::members(text) {
                Some(members) => Some(Value::Object(members)),
                _ if catalogue::row(named_by, &name).is_some() => return Err(malformed("biz_content is not a JSON object")),
                // What was signed may have gone on behind it, or have ended before: see `joins`.
                _ if !encrypted && joins::begins_as_document(form) && !is_document(text) => {
                    return Err(malformed("biz_content begins as JSON or XML, and is not whole"));
                }
                // An event that nobody described may hold anything: it stays text.
                _ => None,
            },
        };
        if let (Some(inside), Some(content)) = (inside, fields.get_mut(CONTENT)) {
            *content = inside;
        }
        Ok(Verified { fields, named_by, name, sent_at })
    }

    fn check_receiver(&self, fields: &Map<String, Value>) -> Result<(), PushError> {
        match text_of(fields, &["app_id"]) {
            Some(app_id) if app_id == self.gateway.app_id() => Ok(()),
            Some(_) => Err(PushError::WrongAppId(String::from("app_id is another application's"))),
            None => Err(PushError::WrongAppId(String::from("there is no app_id"))),
        }
    }
}

fn is_document(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok() || xml::elements(text).is_ok()
}

/// The charset that the form names. Where it names none it is UTF-8, or GBK when that does not fit (Alipay 2.2).
fn charset(form: &Form) -> Result<&'static Encoding, PushError> {
    let named = form.get("charset").map(String::from_utf8_lossy);
    let is_named = named.as_ref().is_some_and(|name| !name.trim().is_empty());
    match form::charset(named.as_deref()) {
        Some(charset) if is_named || form.texts(charset).is_some() => Ok(charset),
        Some(_) => Ok(encoding_rs::GBK),
        None => Err(PushError::Malformed(String::from("charset is neither UTF-8 nor of the GBK family"))),
    }
}

/// The order of Alipay 2.1: `service`, then `msg_method`, then `notify_type`; a form with none of them is kept all the same.
fn name(fields: &Map<String, Value>) -> (NamedBy, String) {
    let by = |field: &str| text_of(fields, &[field]).map(Cow::into_owned);
    if let Some(name) = by("service") {
        return (NamedBy::Service, name);
    }
    if let Some(name) = by("msg_method") {
        return (NamedBy::Message, name);
    }
    (NamedBy::Notice, by("notify_type").or_else(|| by("method")).unwrap_or_default())
}

fn check_version(named_by: NamedBy, fields: &Map<String, Value>) -> Result<(), PushError> {
    let known = match (named_by, text_of(fields, &["version"]).as_deref()) {
        (NamedBy::Service, _) | (_, None | Some("1.0")) => true,
        (NamedBy::Message, version) => version == Some("1.1"),
        (NamedBy::Notice, _) => false,
    };
    if known { Ok(()) } else { Err(PushError::Malformed(String::from("the envelope has a version that is not known here"))) }
}

fn sent_at(fields: &Map<String, Value>) -> Option<Timestamp> {
    let milliseconds = content::number(fields, "utc_timestamp").and_then(|ms| Timestamp::from_millisecond(ms).ok());
    milliseconds.or_else(|| text_of(fields, &["notify_time"]).and_then(|text| china_time(&text)))
}

/// Longest `notify_id` that is taken as a key; the reference knows 50 characters (Alipay 2.4). A longer one is hashed with the rest.
const LONGEST_ID: usize = 128;

/// `notify_id`, which stays over retries (Alipay 2.2); without one, a hash of the decrypted content. The signature stays out of it:
/// it changes with the platform's key. So does whatever the signature does not cover: the order of the body, empty fields, `sign_type`;
/// else a push could be sent again as another event by anybody who has seen it.
fn dedupe_key(verified: &Verified) -> String {
    if let Some(id) = content::text(&verified.fields, "notify_id").filter(|id| id.len() <= LONGEST_ID) {
        return id;
    }
    let mut signed: Vec<String> = verified
        .fields
        .iter()
        .filter(|(name, value)| !matches!(name.as_str(), "sign" | "sign_type" | "alipay_cert_sn") && value.as_str() != Some(""))
        .map(|(name, value)| format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    signed.sort_unstable();
    format!("sha256:{}", hex::encode(digest::sha256(&[signed.join("&").as_bytes()])))
}

pub(super) fn vendor(fields: Map<String, Value>) -> Value {
    let mut vendor = Value::Object(fields);
    content::seal_members(&mut vendor);
    vendor
}
