//! The way back from an authorization page at vendors that know no `state`: Baidu (4.4) and Douyin (4.3).
//!
//! Our mark travels as a parameter of our own inside `redirect_uri`. Called by the platforms' `mod.rs` and `tokens.rs`.

use super::call::{ApiError, Class, Reply};
use super::loose::after;
use super::token::{AuthorizationCode, Returned};
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::settings::Settings;

/// Name of our parameter.
pub const STATE: &str = "state";

/// Reads the optional setting `redirect_uri`; a wrong one is a recorded problem.
pub fn setting(settings: &mut Settings) -> Option<String> {
    let text = settings.optional_text("redirect_uri")?;
    match url::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() && url.fragment().is_none() => Some(text),
        _ => {
            settings.problem(
                "redirect_uri",
                "is not an http or https address",
                "write it in full and on the authorization domain of the console, or take it out to use the service's own callback",
            );
            None
        }
    }
}

/// The answer that a link is built from.
///
/// # Errors
/// [`Class::Retry`] when nobody asked for it.
pub fn prepared(reply: Option<&Reply>) -> Result<&Reply, ApiError> {
    reply.ok_or_else(|| ApiError::new(Class::Retry, "no-answer", "a link needs the vendor's answer to the call that prepares it"))
}

/// `redirect_uri` with our mark in it.
#[must_use]
pub fn with_state(redirect_uri: &str, state: &str) -> String {
    let joint = if redirect_uri.contains('?') { '&' } else { '?' };
    let state: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
    format!("{redirect_uri}{joint}{STATE}={state}")
}

/// Reads what a browser brings back: `authorization_code`, perhaps `expires_in` (else, and at most, `default_seconds`: anybody can write
/// a query, and what it says is how long its code is tried), perhaps our mark.
/// A vendor that ignores the question mark that is already there and writes a second one is understood.
///
/// # Errors
/// [`Class::Refuse`] when no code is in it.
pub fn returned(query: &str, default_seconds: i64, now: Timestamp) -> Result<Returned, ApiError> {
    let value = |name: &str| value(query, name);
    let Some(code) = value("authorization_code") else {
        return Err(ApiError {
            class: Class::Refuse,
            code: String::from("no-code"),
            message: String::from("the browser came back without an `authorization_code`"),
            advice: Some("open a new authorization link and finish the grant there"),
        });
    };
    let seconds = value("expires_in")
        .and_then(|text| text.parse().ok())
        .filter(|seconds| (1..=default_seconds).contains(seconds))
        .unwrap_or(default_seconds);
    Ok(Returned { code: AuthorizationCode { value: Secret::new(code), expires_at: after(now, seconds) }, state: value(STATE) })
}

/// A parameter of what a browser brings back, where it is not empty.
#[must_use]
pub fn value(query: &str, name: &str) -> Option<String> {
    let query = query.trim_start_matches('?').replace('?', "&");
    let mut parameters = url::form_urlencoded::parse(query.as_bytes());
    parameters.find(|(named, value)| named == name && !value.is_empty()).map(|(_, value)| value.into_owned())
}
