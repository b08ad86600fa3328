//! Kuaishou's push envelope: signature over the raw body, JSON around one encrypted member, an acknowledgement in JSON (2.1 to 2.7).
//!
//! What is inside is read by `events`. Nothing here remembers a push: sorting out repeats is the inbox's work, by `msgId`.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::seal::{self, IV_MODES, KeyForm, LAYOUTS, RARE_RECIPES, RECIPES, Recipe, Variant};
use super::{Application, events, first, number, text};
use crate::clock::{Timestamp, china_time};
use crate::envelope::digest;
use crate::platform::loose;
use crate::platform::push::{Acknowledgement, Opened, Push, PushError, Pushes, RawPush};
use crate::settings::Settings;

/// Which variant of the envelope the vendor uses: `[components.push]`.
#[derive(Debug)]
pub(super) struct Rules {
    /// Recipes that sign, in the order in which they are tried; one unless the mode is `any`.
    pub(super) recipes: &'static [Recipe],
    /// How the key's text is read.
    pub(super) key_form: KeyForm,
    /// How the message is encrypted.
    pub(super) variant: Variant,
    /// `result` of a refusal; never 1.
    reject_result: i64,
    /// HTTP status of a refusal, where it is not the contract's.
    reject_status: Option<u16>,
    /// Pushes older than this are refused; `None` takes any, because late retries are normal.
    max_age: Option<Duration>,
}

/// The answer that one implementation gives to a push it refuses; without a documented meaning (2.5).
const REJECT_RESULT: i64 = 10_000_006;

/// The word of `push.signature_mode` for the four recipes of 2.2 one after the other.
const ANY: &str = "any";

impl Rules {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let [standard, ..] = &RECIPES;
        let known = || RECIPES.iter().chain(&RARE_RECIPES);
        let words: Vec<&str> = known().map(|recipe| recipe.name).chain([ANY]).collect();
        let mode = settings.choice_or("signature_mode", standard.name, &words);
        let recipes = match mode {
            ANY => RECIPES.as_slice(),
            mode => std::slice::from_ref(known().find(|recipe| recipe.name == mode).unwrap_or(standard)),
        };

        let key_form = match settings.choice_or("key_form", "base64", &["base64", "raw"]) {
            "raw" => KeyForm::Raw,
            _ => KeyForm::Base64,
        };
        let variant = Variant {
            iv: chosen(settings, "iv_mode", &IV_MODES),
            layout: chosen(settings, "plaintext_layout", &LAYOUTS),
            max_padding: u8::try_from(settings.number_or("max_padding", 32, 16..=32)).unwrap_or(32),
        };

        let mut reject_result = settings.number_or("reject_result", REJECT_RESULT, 0..=i64::MAX);
        if reject_result == 1 {
            settings.problem("reject_result", "is 1, which acknowledges a push", format!("write another number, as {REJECT_RESULT}"));
            reject_result = REJECT_RESULT;
        }
        let reject_status =
            if settings.has("reject_status") { u16::try_from(settings.number_or("reject_status", 400, 200..=599)).ok() } else { None };
        let max_age = Some(settings.duration_or("max_age", Duration::ZERO)).filter(|age| !age.is_zero());
        Self { recipes, key_form, variant, reject_result, reject_status, max_age }
    }
}

/// Reads one word of a table; the first is the default.
fn chosen<T: Copy>(settings: &mut Settings, key: &str, table: &[(&'static str, T); 3]) -> T {
    let [(standard, value), ..] = *table;
    let word = settings.choice_or(key, standard, &table.map(|(word, _)| word));
    table.iter().find(|(known, _)| *known == word).map_or(value, |(_, value)| *value)
}

/// Name of the signature's header.
pub(super) const SIGNATURE_HEADER: &str = "kwaisign";

/// Longest message id that serves as dedupe key as it is; a longer one is hashed, so that keys of the store stay short.
const LONGEST_KEY: usize = 256;

/// Longest message id echoed in a refusal: what nobody signed is not repeated at length.
const LONGEST_ECHO: usize = 512;

impl Pushes for Application {
    fn open(&self, raw: &RawPush) -> Result<Opened, PushError> {
        if raw.is_get {
            return Ok(Opened::Check(Acknowledgement::success()));
        }
        self.verify(raw)?;
        let envelope = Envelope::read(&raw.body)?;
        if envelope.app_id != self.app_id {
            return Err(PushError::WrongAppId(String::from("`componentAppId` is not ours")));
        }
        self.check_age(&envelope, raw.received_at)?;
        let inner = self.decrypt(&envelope.encrypted)?;
        let reading = events::read(self, inner, envelope.timestamp, raw.received_at);
        Ok(Opened::Push(Box::new(Push {
            notice: reading.notice,
            vendor_type: reading.vendor_type,
            authorizer: reading.authorizer,
            time: reading.time,
            dedupe_key: dedupe_key(&envelope.message_id),
            vendor: reading.vendor,
            acknowledgement: acknowledgement(200, 1, envelope.message_id),
        })))
    }

    fn refusal(&self, raw: &RawPush, error: &PushError) -> Option<Acknowledgement> {
        let message_id = serde_json::from_slice(&raw.body)
            .ok()
            .and_then(|body: Value| body.get("msgId").cloned())
            .filter(|id| text(id).is_some_and(|id| id.len() <= LONGEST_ECHO))
            .unwrap_or_else(|| Value::String(String::new()));
        Some(acknowledgement(self.push.reject_status.unwrap_or_else(|| error.status()), self.push.reject_result, message_id))
    }
}

impl Application {
    /// 2.2: over the received bytes, before anything of them is read.
    fn verify(&self, raw: &RawPush) -> Result<(), PushError> {
        let Some(sent) = raw.header(SIGNATURE_HEADER) else {
            return Err(PushError::BadSignature(format!("no `{SIGNATURE_HEADER}` header")));
        };
        // `holds` compares in constant time; which recipe of several matched is no secret.
        match self.push.recipes.iter().find(|recipe| recipe.holds(sent, &raw.body, &self.token, &self.app_secret)) {
            Some(recipe) => {
                if self.push.recipes.len() > 1 {
                    tracing::info!(component = self.name, recipe = recipe.name, "signature recipe found: set push.signature_mode to it");
                }
                Ok(())
            }
            None => Err(PushError::BadSignature(format!("`{SIGNATURE_HEADER}` does not match the body"))),
        }
    }

    fn check_age(&self, envelope: &Envelope, received_at: Timestamp) -> Result<(), PushError> {
        let Some(max_age) = self.push.max_age else { return Ok(()) };
        let Some(sent_at) = envelope.timestamp else {
            return Err(PushError::Malformed(String::from("`timestamp` is missing, which `push.max_age` needs")));
        };
        let age = received_at.duration_since(sent_at);
        if age > SignedDuration::try_from(max_age).unwrap_or(SignedDuration::MAX) {
            return Err(PushError::BadSignature(format!("{} s old, more than `push.max_age` allows", age.as_secs())));
        }
        Ok(())
    }

    /// Tries the present key, then the former one; the present key's failure is the one reported.
    fn decrypt(&self, encrypted: &str) -> Result<Map<String, Value>, PushError> {
        let sealed = seal::decode(encrypted).map_err(|error| PushError::Undecipherable(error.to_string()))?;
        let mut failure = None;
        for key in &self.keys {
            match seal::open(key, self.push.variant, &sealed, &self.app_id) {
                Ok(inner) => return Ok(inner),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        Err(PushError::Undecipherable(failure.map_or_else(|| String::from("no key"), |error| error.to_string())))
    }
}

/// The request's body (2.1). Members that nobody knows are ignored.
pub(super) struct Envelope {
    pub(super) encrypted: String,
    /// As sent, so that it is echoed as it came.
    message_id: Value,
    pub(super) app_id: String,
    timestamp: Option<Timestamp>,
}

impl Envelope {
    pub(super) fn read(body: &[u8]) -> Result<Self, PushError> {
        let malformed = |what: &str| PushError::Malformed(what.to_owned());
        let Some(mut object) = loose::object(body) else {
            let is_json = serde_json::from_slice::<Value>(body).is_ok();
            return Err(malformed(if is_json { "the body is not a JSON object" } else { "the body is not JSON" }));
        };
        let Some(Value::String(encrypted)) = object.get_mut("encryptedMsg").map(Value::take) else {
            // 2.7: what ordinary mini programs receive is signed and answered by other rules, and is not for this address.
            return Err(if object.contains_key("message_id") && object.contains_key("app_id") {
                PushError::Undecipherable(String::from("a callback of an ordinary mini program: nothing in it is encrypted"))
            } else {
                malformed("`encryptedMsg` is missing or not a string")
            });
        };
        let app_id = object.get("componentAppId").and_then(text).ok_or_else(|| malformed("`componentAppId` is missing"))?;
        let message_id = object.get_mut("msgId").map(Value::take).filter(|id| text(id).is_some_and(|id| !id.is_empty()));
        Ok(Self {
            encrypted,
            message_id: message_id.ok_or_else(|| malformed("`msgId` is missing"))?,
            app_id,
            timestamp: first(&object, &["timestamp"]).and_then(moment),
        })
    }
}

/// Below this a number is seconds, from it on milliseconds (section 3): 1973 in milliseconds, the year 5138 in seconds.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

/// A moment: number in milliseconds or seconds, or local time as text.
pub(super) fn moment(value: &Value) -> Option<Timestamp> {
    match number(value) {
        Some(seconds @ 1..FIRST_MILLISECONDS) => Timestamp::from_second(seconds).ok(),
        Some(milliseconds @ FIRST_MILLISECONDS..) => Timestamp::from_millisecond(milliseconds).ok(),
        Some(_) => None,
        None => value.as_str().and_then(china_time),
    }
}

fn dedupe_key(message_id: &Value) -> String {
    let id = text(message_id).unwrap_or_default();
    if id.len() <= LONGEST_KEY { id } else { format!("sha256:{}", hex::encode(digest::sha256(&[id.as_bytes()]))) }
}

/// 2.5. The id changes its name on the way back: `msgId` comes, `message_id` goes.
fn acknowledgement(status: u16, result: i64, message_id: Value) -> Acknowledgement {
    let body = format!("{{\"result\":{result},\"message_id\":{message_id}}}");
    Acknowledgement { status, content_type: "application/json", body: body.into() }
}
