//! Douyin's shapes of no (6.1) and what one can do about each code (6.2).

use serde_json::{Map, Value};

use crate::platform::call::{ApiError, Class, Reply};
use crate::platform::loose;

type Row = (i64, Class, Option<&'static str>);

const IP: Option<&str> = Some("add this service's public address to the IP allow list in the component's console");
const COMPONENT: Option<&str> = Some("compare `component_appid` with the console");
const RETRIEVE: Option<&str> = Some("a new code is retrieved while the grant stands");

/// Codes that ask for something else than giving up. `Renew…` of the V2 gateway means the component's token on the calls made here.
const CODES: &[Row] = &[
    (28_001_003, Class::RenewComponentToken, None),
    (28_001_008, Class::RenewComponentToken, None),
    (28_001_005, Class::Retry, None),
    (28_001_006, Class::Retry, None),
    (28_001_014, Class::Configuration, Some("the component has no such capability; apply for it in the console")),
    (28_001_016, Class::Configuration, Some("the component is banned or offline; see the console")),
    (28_001_018, Class::Refuse, Some("the merchant has not granted this permission set; ask for a new authorization")),
    (28_003_017, Class::RateLimited, None),
    (28_005_079, Class::Configuration, IP),
    (20_000, Class::Retry, None),
    (40_000, Class::Retry, None),
    (40_003, Class::Configuration, COMPONENT),
    (40_006, Class::Configuration, IP),
    (40_007, Class::Configuration, IP),
    (40_009, Class::RenewComponentToken, None),
    (40_010, Class::RenewComponentToken, None),
    (40_018, Class::CodeInvalid, RETRIEVE),
    (40_020, Class::RenewAuthorizerToken, None),
    (40_021, Class::RefreshTokenInvalid, RETRIEVE),
    (40_022, Class::GrantGone, Some("the mini program is not authorized to this component; ask for a new authorization")),
    (40_036, Class::Refuse, Some("the merchant has not granted this permission set; ask for a new authorization")),
    (40_037, Class::TicketInvalid, Some("wait for the next ticket push; one comes every 10 minutes")),
    (40_038, Class::Configuration, Some("compare `component_appsecret` with the console")),
    (40_045, Class::Retry, None),
    (40_058, Class::Configuration, Some("publish the component to the whole network in the console first")),
];

/// The object with the result: `data` where the answer has one, else the answer itself (V1 and component tokens are flat).
///
/// # Errors
/// The vendor's no, or [`ApiError::codeless`].
pub(super) fn read(reply: &Reply) -> Result<Map<String, Value>, ApiError> {
    let Some(mut map) = loose::object(&reply.body) else { return Err(ApiError::codeless(reply, "JSON object")) };
    let data = match map.get_mut("data").map(Value::take) {
        Some(Value::Object(data)) => Some(data),
        _ => None,
    };
    let nested = |names: &[&str]| data.as_ref().and_then(|data| loose::integer_of(data, names));
    let code = loose::integer_of(&map, &["err_no", "errno", "errcode"]).or_else(|| nested(&["error_code"])).unwrap_or_default();
    if code == 0 {
        return if reply.status >= 400 { Err(ApiError::codeless(reply, "result")) } else { Ok(data.unwrap_or(map)) };
    }
    let said = loose::text_of(&map, &["err_msg", "message", "err_tips", "errmsg"])
        .or_else(|| data.as_ref().and_then(|data| loose::text_of(data, &["description"])))
        .unwrap_or_default();
    let (_, class, advice) = CODES.iter().find(|(known, ..)| *known == code).copied().unwrap_or((code, Class::Refuse, None));
    Err(ApiError { class, code: code.to_string(), message: loose::message(&said), advice })
}
