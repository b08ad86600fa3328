//! Links that merchants open to authorize (Alipay 4.1), and the query with which their browser comes back (2.8).
//!
//! Called by `tokens`. The way back is not signed: what protects it is the unguessable, single-use `state`, and that only the exchange
//! of the code says who granted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::notice::CODE_LIFETIME;
use crate::clock::Timestamp;
use crate::platform::call::{ApiError, Class};
use crate::platform::token::{AuthorizationCode, Link, LinkRequest, Returned};
use crate::secret::Secret;

/// How merchants come to authorize.
#[derive(Debug, Clone)]
pub struct Links {
    /// The page for browsers.
    pub auth_url: String,
    /// What opens the same in Alipay's own app, up to the encoded task; `None` where it is switched off.
    pub mobile_auth_url: Option<String>,
    /// The page on which a merchant grants several applications at once; `None` where it is switched off.
    pub batch_auth_url: Option<String>,
    /// The authorization callback of the console, where it is not this service's own address. The console compares it to the letter,
    /// which is why nothing is ever added to it.
    pub redirect_uri: Option<String>,
    /// Kinds of applications a merchant can choose from.
    pub application_types: Vec<String>,
}

/// A mini program, among the kinds of applications (Alipay 4.1).
pub const MINI_PROGRAM: &str = "TINYAPP";

impl Links {
    /// Whether nothing but mini programs can be granted: only then does the list of mini programs (Alipay 4.6) hold everybody.
    #[must_use]
    pub fn are_for_mini_programs_only(&self) -> bool {
        self.application_types.iter().all(|kind| kind == MINI_PROGRAM)
    }

    /// The link for one merchant. Needs no asking, and the vendor sets it no end.
    pub fn link(&self, app_id: &str, request: &LinkRequest) -> Link {
        let redirect_uri = self.redirect_uri.as_deref().unwrap_or(&request.redirect_uri);
        // `state` must be standard base64 (4.1), which ours is not.
        let state = STANDARD.encode(&request.state);
        let task = json!({
            "platformCode": "O",
            "taskType": "INTERFACE_AUTH",
            "agentOpParam": {
                "redirectUri": redirect_uri,
                "appTypes": self.application_types,
                "isvAppId": app_id,
                "state": state,
            },
        })
        .to_string();
        // A page's script does not read a plus sign as a blank.
        let encoded = url::form_urlencoded::byte_serialize(task.as_bytes()).collect::<String>().replace('+', "%20");
        let joint = |page: &str| if page.contains('?') { '&' } else { '?' };
        let batch = |page: &String| {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("app_id", app_id)
                .append_pair("application_type", &self.application_types.join(","))
                .append_pair("redirect_uri", redirect_uri)
                .append_pair("state", &state)
                .finish();
            format!("{page}{}{query}", joint(page))
        };
        Link {
            url: format!("{}{}bizData={encoded}", self.auth_url, joint(&self.auth_url)),
            // Encoded once, as in the vendor's samples: it stands inside a value that is already encoded.
            mobile_url: self.mobile_auth_url.as_ref().map(|start| format!("{start}{encoded}")),
            batch_url: self.batch_auth_url.as_ref().map(batch),
            expires_at: None,
        }
    }
}

/// Reads the query of a browser that came back, or of the platform's own GET after an order, which has no `state`.
///
/// # Errors
/// [`Class::Refuse`] without a code, or with another application's id.
pub fn returned(app_id: &str, query: &str, now: Timestamp) -> Result<Returned, ApiError> {
    let value = |name: &str| {
        let found = url::form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
        found.filter(|value| !value.is_empty())
    };
    if value("app_id").is_some_and(|other| other != app_id) {
        return Err(ApiError::new(Class::Refuse, "wrong-app-id", "the browser came back to another application"));
    }
    let code = value("app_auth_code").ok_or_else(|| ApiError::new(Class::Refuse, "no-code", "the browser brought no app_auth_code"))?;
    let expires_at = now.checked_add(CODE_LIFETIME).map_err(|_| ApiError::new(Class::Refuse, "time", "the clock is out of range"))?;
    Ok(Returned { code: AuthorizationCode { value: Secret::new(code), expires_at }, state: value("state").map(|state| ours(&state)) })
}

/// Our mark out of the vendor's `state`; what is not of our making comes back as it is and matches nothing.
fn ours(state: &str) -> String {
    let decoded = STANDARD.decode(state.replace(' ', "+")).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| state.to_owned())
}
