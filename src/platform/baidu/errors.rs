//! Baidu's three ways of saying no (6): platform (`errno`), OAuth (`error`) and gateway (`error_code`), and what one can do about each.
//!
//! The numbers are read as they are meant on token calls: the same number can mean something else elsewhere.

use serde_json::{Map, Value};

use crate::platform::call::{ApiError, Class, Reply};
use crate::platform::loose;

/// Whose token the call carried: what "invalid token" asks us to renew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer {
    /// The TP's, or none.
    Component,
    /// An app's.
    Authorizer,
}

type Row<T> = (T, Class, Option<&'static str>);

const IP: Option<&str> = Some("add this service's public address to the IP whitelist in the TP's console");
const TICKET: Option<&str> = Some("wait for the next ticket; if it is refused too, compare `client_id` with the TP key in the console");
const CLIENT: Option<&str> = Some("compare `client_id` with the TP key in the console");
const PERMISSION: Option<&str> = Some("the merchant has not granted this permission set; ask for a new authorization");

/// Platform envelope (6.4 to 6.6).
const PLATFORM: &[Row<i64>] = &[
    (-1, Class::Retry, None),
    (500, Class::Retry, None),
    (501, Class::Retry, None),
    // A practitioner saw it for a wrong key and for a stale ticket.
    (502, Class::TicketInvalid, TICKET),
    (1000, Class::Retry, None),
    (5000, Class::Retry, None),
    (6002, Class::Retry, None),
    (40007, Class::Refuse, PERMISSION),
    (40008, Class::Configuration, IP),
    (45001, Class::Refuse, PERMISSION),
    (45002, Class::Refuse, PERMISSION),
    (50001, Class::TicketInvalid, TICKET),
    (50002, Class::Configuration, CLIENT),
    (50003, Class::TicketInvalid, TICKET),
    (50015, Class::Retry, None),
    (50029, Class::RateLimited, None),
    (50031, Class::Retry, None),
    (50032, Class::GrantGone, Some("the merchant has withdrawn its grant; ask for a new authorization")),
    (50050, Class::Retry, None),
    (50053, Class::Refuse, PERMISSION),
    (50057, Class::Refuse, PERMISSION),
    (69009, Class::Retry, None),
    (69011, Class::Retry, None),
    (69012, Class::Retry, None),
    (110_001, Class::Retry, None),
    (470_022, Class::Retry, None),
];

/// Of those that may pass the ones that say that a call was not taken up: something else is still at work (50015, 50031, 50050), the service
/// behind the call is away (69009 upload, 69011 audit, 69012 release), the app is still being made (470022). Not among them are errors inside
/// the vendor (500 and its like): they do not tell how far it came.
const NOT_TAKEN_UP: &[&str] = &["50015", "50031", "50050", "69009", "69011", "69012", "470022"];

/// Whether the vendor says that it did not take the call up.
pub(super) fn declines(error: &ApiError) -> bool {
    error.class == Class::Retry && NOT_TAKEN_UP.contains(&error.code.as_str())
}

/// Gateway envelope (6.3).
const GATEWAY: &[Row<i64>] = &[
    (1, Class::Retry, None),
    (2, Class::Retry, None),
    (4, Class::RateLimited, None),
    (5, Class::Configuration, IP),
    (17, Class::RateLimited, None),
    (18, Class::RateLimited, None),
    (19, Class::RateLimited, None),
    (101, Class::Configuration, CLIENT),
];

/// OAuth envelope (6.2). Which of these the TP grants return is not documented one by one: `invalid_grant` and every code that is not here
/// mean that the code or the refresh token is of no use any more. The answer does not tell which of the two was sent; the caller knows.
const OAUTH: &[Row<&str>] = &[
    ("invalid_grant", Class::CodeInvalid, None),
    ("invalid_client", Class::Configuration, CLIENT),
    ("unauthorized_client", Class::Configuration, CLIENT),
    ("unsupported_grant_type", Class::Refuse, None),
    ("slow_down", Class::RateLimited, None),
];

/// The object of a successful answer.
///
/// # Errors
/// The vendor's no, or [`ApiError::codeless`].
pub(super) fn read(reply: &Reply, bearer: Bearer) -> Result<Map<String, Value>, ApiError> {
    let Some(map) = loose::object(&reply.body) else { return Err(ApiError::codeless(reply, "JSON object")) };
    let said = loose::text_of(&map, &["error_description", "error_msg", "msg", "errMsg"]).unwrap_or_default();
    let no = |class, code: String, advice| Err(ApiError { class, code, message: loose::message(&said), advice });
    // A server in trouble names codes of its own making (`"error": "Internal Server Error"`): they say nothing of what was asked.
    let unlisted = |class| if reply.status >= 500 { Err(ApiError::codeless(reply, "result")) } else { Ok((class, None)) };
    if let Some(error) = map.get("error").and_then(Value::as_str) {
        let (class, advice) = listed(OAUTH, error).map_or_else(|| unlisted(Class::RefreshTokenInvalid), Ok)?;
        return no(class, loose::message(error), advice);
    }
    let renew = match bearer {
        Bearer::Component => Class::RenewComponentToken,
        Bearer::Authorizer => Class::RenewAuthorizerToken,
    };
    if let Some(code) = loose::integer_of(&map, &["error_code"]).filter(|code| *code != 0) {
        let known = if matches!(code, 110 | 111) { Some((renew, None)) } else { listed(GATEWAY, code) };
        let (class, advice) = known.map_or_else(|| unlisted(Class::Refuse), Ok)?;
        return no(class, code.to_string(), advice);
    }
    if let Some(code) = loose::integer_of(&map, &["errno"]).filter(|code| *code != 0) {
        let known = if (44001..=44004).contains(&code) { Some((renew, None)) } else { listed(PLATFORM, code) };
        let (class, advice) = known.map_or_else(|| unlisted(Class::Refuse), Ok)?;
        return no(class, code.to_string(), advice);
    }
    if reply.status >= 400 { Err(ApiError::codeless(reply, "result")) } else { Ok(map) }
}

fn listed<C: PartialEq>(rows: &[Row<C>], code: C) -> Option<(Class, Option<&'static str>)> {
    rows.iter().find(|(known, ..)| *known == code).map(|(_, class, advice)| (*class, *advice))
}
