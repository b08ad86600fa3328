//! Kuaishou (快手): one third-party application of its open platform, read from its settings.
//!
//! `config` and `simulator` reach it through [`Platform`]. Much of this vendor's protocol is not published, so every choice that
//! nobody has verified is a setting; `README.md` beside this file says which and why. Nothing here sends, waits or reads the clock.

mod diagnose;
mod errors;
mod events;
mod operations;
mod proxy;
mod push;
mod seal;
mod tokens;
mod twin;
mod vocabulary;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::operation::Operations;
use super::proxy::Proxied;
use super::{Component, Platform, Title, Twin};
use crate::clock::Timestamp;
use crate::platform::looks::AuditLook;
use crate::platform::loose;
use crate::secret::Secret;
use crate::settings::{Problem, Settings};

/// The platform.
#[derive(Debug, Clone, Copy)]
pub struct Kuaishou;

/// The vendor's host.
const BASE_URL: &str = "https://open.kuaishou.com";

impl Platform for Kuaishou {
    fn name(&self) -> &'static str {
        "kuaishou"
    }

    fn title(&self) -> Title {
        Title { zh: "快手", en: "Kuaishou" }
    }

    fn component(&self, name: &str, settings: Settings) -> Result<Arc<dyn Component>, Vec<Problem>> {
        let application = Application::read(name, settings)?;
        Ok(Arc::new(application))
    }

    fn sample_settings(&self, vendor: &str) -> String {
        format!(
            r#"component_app_id = "ks600000000000000001"
component_app_secret = "made-up-kuaishou-app-secret"
token = "made_up_kuaishou_token"
encoding_aes_key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
base_url = "{vendor}"
auth.page_url_template = "{vendor}/authorize?component_app_id={{component_app_id}}&pre_auth_code={{pre_auth_code}}&redirect_uri={{redirect_uri}}"
"#
        )
    }

    fn sample_switches(&self) -> &'static str {
        r#"operations."package.upload" = { enabled = true }
operations."package.list" = { enabled = true }
operations."package.release" = { enabled = true }
operations."package.rollback" = { enabled = true }
operations."audit.submit" = { enabled = true }
operations."audit.withdraw" = { enabled = true }
operations."template.list" = { enabled = true }
"#
    }

    fn twin(&self, settings: Settings) -> Result<Box<dyn Twin>, Vec<Problem>> {
        let application = Application::read(self.name(), settings)?;
        Ok(Box::new(twin::Vendor::new(application)))
    }
}

/// One third-party application. Prints no secret.
#[derive(Debug)]
struct Application {
    /// Its name in this deployment.
    name: String,
    /// `component_app_id`: in every call and in every push.
    app_id: String,
    /// Proves us to the vendor where a token or ticket is asked for.
    app_secret: Secret,
    /// Signs pushes together with the body.
    token: Secret,
    /// The vendor's host, without a trailing slash.
    base_url: String,
    /// Opens pushes: the present key, then the former one while it is being changed in the console.
    keys: Vec<seal::Key>,
    /// The same keys as they were written, with their settings: `diagnose` tries to read them differently.
    key_texts: Vec<(&'static str, Secret)>,
    /// Which variant of the envelope the vendor uses.
    push: push::Rules,
    /// How events are named and read.
    vocabulary: vocabulary::Vocabulary,
    /// How links are built and what browsers bring back.
    auth: tokens::AuthRules,
    /// How authorizer tokens are renewed.
    refresh: tokens::RefreshRules,
    /// What the vendor's codes mean.
    errors: errors::Errors,
    /// What can be called on behalf of merchants, and how.
    calls: operations::Calls,
}

impl Application {
    fn read(name: &str, mut settings: Settings) -> Result<Self, Vec<Problem>> {
        // The configuration has read these two; here they are only known keys.
        settings.has("name");
        settings.has("platform");

        let app_id = settings.text("component_app_id");
        let app_secret = settings.secret("component_app_secret");
        let token = settings.secret("token");
        let encoding_aes_key = settings.secret("encoding_aes_key");
        let previous_encoding_aes_key = settings.optional_secret("previous_encoding_aes_key");
        let base_url = settings.url_or("base_url", BASE_URL);
        let push = section(&mut settings, "push", push::Rules::read);
        let auth = section(&mut settings, "auth", tokens::AuthRules::read);
        let refresh = section(&mut settings, "refresh", tokens::RefreshRules::read);
        let errors = section(&mut settings, "errors", errors::Errors::read);
        let calls = section(&mut settings, "operations", operations::Calls::read);
        let vocabulary = vocabulary::Vocabulary::read(&mut settings);

        let given = [("encoding_aes_key", encoding_aes_key), ("previous_encoding_aes_key", previous_encoding_aes_key)];
        let key_texts: Vec<_> = given.into_iter().filter_map(|(setting, text)| Some((setting, text?))).collect();
        let mut keys = Vec::with_capacity(2);
        for (setting, text) in &key_texts {
            match seal::Key::read(text, push.key_form) {
                Ok(key) => keys.push(key),
                Err(error) => settings.problem(setting, format!("is no key: {error}"), push.key_form.hint()),
            }
        }

        let problems = settings.finish();
        match (app_id, app_secret, token) {
            (Some(app_id), Some(app_secret), Some(token)) if problems.is_empty() => {
                let app_id = app_id.trim().to_owned();
                calls.warn(name);
                if !app_id.starts_with("ks") {
                    tracing::warn!(component = name, "component_app_id does not begin with ks, as Kuaishou's ids do");
                }
                Ok(Self {
                    name: name.to_owned(),
                    app_id,
                    app_secret,
                    token,
                    base_url,
                    keys,
                    key_texts,
                    push,
                    vocabulary,
                    auth,
                    refresh,
                    errors,
                    calls,
                })
            }
            _ => Err(problems),
        }
    }
}

impl Component for Application {
    fn name(&self) -> &str {
        &self.name
    }

    fn platform(&self) -> &'static dyn Platform {
        &Kuaishou
    }

    fn app_id(&self) -> &str {
        &self.app_id
    }

    /// As at the sibling platform (5.3.6); off until the settings switch the list on. There is no list of authorizers.
    fn audit_look(&self) -> Option<AuditLook> {
        Some(AuditLook { operation: "package.list", by_version: false, has_stages: true, has_many: false, build: None })
    }

    fn operations(&self) -> &dyn Operations {
        self
    }

    fn proxy(&self) -> Option<&dyn Proxied> {
        Some(self)
    }
}

/// Reads one table inside the component's.
fn section<T>(settings: &mut Settings, key: &str, read: fn(&mut Settings) -> T) -> T {
    let mut table = settings.table(key);
    let rules = read(&mut table);
    settings.problems(table.finish());
    rules
}

/// The first of these names that holds something: neither null nor an empty text.
fn first<'a, N: AsRef<str>>(object: &'a Map<String, Value>, names: &[N]) -> Option<&'a Value> {
    names.iter().filter_map(|name| loose::member(object, name.as_ref())).find(|value| match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        _ => true,
    })
}

/// A text, or a number as its digits; anything else is none.
fn text(value: &Value) -> Option<String> {
    word(value).map(Cow::into_owned)
}

/// [`text`], borrowed where it is one.
fn word(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.trim())),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// A whole number, or a text of digits.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Longest lifetime believed of an answer: ten years. Anything beyond is a mistake that must not overflow.
const LONGEST_LIFETIME_SECONDS: i64 = 315_360_000;

/// `seconds` after `at`; negative spans count as none.
fn later(at: Timestamp, seconds: i64) -> Timestamp {
    let span = jiff::SignedDuration::from_secs(seconds.clamp(0, LONGEST_LIFETIME_SECONDS));
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
