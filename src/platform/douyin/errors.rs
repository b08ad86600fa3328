//! Douyin's shapes of no (6.1) and what one can do about each code (6.2).

use serde_json::{Map, Value};

use crate::platform::call::{ApiError, Class, Reply};
use crate::platform::loose;

type Row = (i64, Class, Option<&'static str>);

const IP: Option<&str> = Some("add this service's public address to the IP allow list in the component's console");
const COMPONENT: Option<&str> = Some("compare `component_appid` with the console");
const RETRIEVE: Option<&str> = Some("a new code is retrieved while the grant stands");

/// Codes that ask for something else than giving up. Those of the V2 gateway mean the component and its token; see [`to_a_merchant`].
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
    // Functions: "failed, try again" (6.3), limits of frequency and number, and what the merchant or the caller can do (5.1 to 5.8).
    (11_300, Class::Retry, None),
    (11_400, Class::Retry, None),
    (11_500, Class::Retry, None),
    (11_600, Class::Retry, None),
    (21_000, Class::Retry, None),
    (21_100, Class::Retry, None),
    (21_200, Class::Retry, None),
    (10_003, Class::Refuse, Some("there is nothing to go back to, or a rollback of this release was made already; see `package.list`")),
    (10_104, Class::Refuse, Some("the merchant's subject is banned; the merchant must act in the console")),
    (10_107, Class::Refuse, Some("the mini program is banned; the merchant must act in the console")),
    (10_108, Class::Refuse, Some("a template mini program cannot be submitted or released")),
    (10_109, Class::Refuse, Some("the name was reset; change it first with `profile.set_name`")),
    (11_301, Class::RateLimited, Some("wait 10 seconds between submissions")),
    (11_302, Class::Refuse, Some("there is no test version; upload one with `package.upload`")),
    (11_303, Class::Refuse, Some("another version is in audit; wait for its result or withdraw it with `audit.withdraw`")),
    (11_305, Class::Refuse, Some("the merchant's subject is not certified completely; the merchant must act in the console")),
    (11_401, Class::Refuse, Some("the version was taken down; submit it again with `audit.submit`")),
    (11_402, Class::Refuse, Some("there is no audited version; submit one with `audit.submit`")),
    (11_403, Class::Refuse, Some("the version is still in audit; wait for `audit.passed`")),
    (11_501, Class::RateLimited, Some("wait 10 minutes between rollbacks; one takes effect after 3 to 5 minutes")),
    (11_601, Class::Refuse, Some("the audit was withdrawn already")),
    (11_603, Class::Refuse, Some("the audit was decided already; see `package.list`")),
    (20_105, Class::Refuse, Some("no changes are left this month")),
    (21_001, Class::Refuse, Some("4 to 20 characters, a Chinese one counts 2; letters, digits, Chinese, the last one may be +")),
    (21_003, Class::Refuse, Some("the name is taken; choose another one")),
    (21_004, Class::Refuse, Some("a change is in audit already; wait for its result")),
    (21_006, Class::Refuse, Some("give proof of the brand or trademark as `materials` of `profile.set_name`")),
    (21_102, Class::Refuse, Some("a change is in audit already; wait for its result")),
    (21_202, Class::Refuse, Some("a change is in audit already; wait for its result")),
    (22_007, Class::Refuse, Some("the merchant's subject is not certified; the merchant must act in the console")),
    (21_303, Class::Refuse, Some("no changes of categories are left this month; see `category.list`")),
    (21_304, Class::Refuse, Some("a mini program has at most 5 categories; delete one first")),
    (21_306, Class::Refuse, Some("the category is set already; see `category.list`")),
    (21_307, Class::Refuse, Some("one passed category must stay")),
    (21_315, Class::Refuse, Some("leave `materials` out: this category asks for none")),
    (21_408, Class::Refuse, Some("every category must have passed before they are published; see `category.list`")),
    (40_023, Class::Refuse, Some("add the domain to the component's own domains in the console first; sub-domains of those are possible")),
    (40_024, Class::Refuse, Some("at most 20 domains of each kind are possible")),
    (40_025, Class::Refuse, Some("webview domains are for mini programs of enterprises only")),
    (40_026, Class::Refuse, Some("nothing to do: the domains are as asked for already")),
    (40_027, Class::Refuse, Some("a domain is a bare host name: no address, no port, no path")),
    (40_028, Class::Refuse, Some("a domain that is not set cannot be deleted; see the list first")),
    (40_029, Class::Refuse, Some("there is no such template; see `template.list`")),
    (40_030, Class::Refuse, Some("there is no version at that stage; see `package.list`")),
    (40_031, Class::Refuse, Some("the file is too large for this use")),
    (40_032, Class::Refuse, Some("the file has the wrong format for this use")),
    (40_033, Class::Refuse, Some("the material is not known any more; upload it again")),
    (40_034, Class::Refuse, Some("there is no such draft; see `template.drafts`")),
    (40_035, Class::Refuse, Some("there are 200 templates; delete one first with `template.delete`")),
    (28_001_019, Class::Refuse, Some("this capability is banned for the mini program")),
    (28_005_032, Class::Refuse, Some("applied for already; see the status")),
    (28_005_033, Class::Refuse, Some("the limit of applications is reached")),
    (28_005_034, Class::Refuse, Some("the mini program does not meet the conditions of this capability")),
    (28_005_105, Class::Refuse, Some("the material is not known any more; upload it again")),
];

/// Of those that may pass the ones with which a function says that it failed and may be called again (6.3). Not among them are errors inside the
/// vendor (28001005 and its like): they do not tell how far it came.
const FAILED: &[&str] = &["11300", "11400", "11500", "11600", "21000", "21100", "21200"];

/// Whether the vendor says that the call came to nothing.
pub(super) fn declines(error: &ApiError) -> bool {
    error.class == Class::Retry && FAILED.contains(&error.code.as_str())
}

/// Codes that name no application: in answer to a merchant's token they speak of its mini program, and concern nobody else (5.0).
const OF_A_MERCHANT: &[Row] = &[
    (28_001_014, Class::Refuse, Some("the mini program has no capability at all; the merchant must act in the console")),
    (28_001_016, Class::Refuse, Some("the mini program is banned or offline; the merchant must act in the console")),
];

/// What a no means in answer to a merchant's token.
pub(super) fn to_a_merchant(error: ApiError) -> ApiError {
    if let Some((_, class, advice)) = OF_A_MERCHANT.iter().find(|(code, ..)| error.code == code.to_string()) {
        return ApiError { class: *class, advice: *advice, ..error };
    }
    match error.class {
        // The gateway's codes name no token either: it is the one that the call carried.
        Class::RenewComponentToken => ApiError { class: Class::RenewAuthorizerToken, ..error },
        _ => error,
    }
}

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
    let (_, class, advice) = match CODES.iter().find(|(known, ..)| *known == code) {
        Some(known) => *known,
        // A server in trouble, whose codes say nothing of what was asked.
        None if reply.status >= 500 => return Err(ApiError::codeless(reply, "result")),
        None => (code, Class::Refuse, None),
    };
    Err(ApiError { class, code: code.to_string(), message: loose::message(&said), advice })
}
