//! What Alipay's refusals mean and what one can do about each (4.2, 4.3, 4.7, 6), as a table.
//!
//! Called by `reply` once a signature holds.

use serde_json::{Map, Value};

use super::business;
use super::content::text;
use crate::platform::call::{ApiError, Class};

/// One `sub_code`.
struct Row {
    code: &'static str,
    class: Class,
    advice: Option<&'static str>,
}

const fn row(code: &'static str, class: Class) -> Row {
    Row { code, class, advice: None }
}

const fn advised(code: &'static str, class: Class, advice: &'static str) -> Row {
    Row { code, class, advice: Some(advice) }
}

const REAUTHORIZE: &str = "ask the merchant to authorize again";
const OUR_SIGNATURE: &str = "first compare app_private_key with the application public key in the console, of this very app_id";

/// Codes that need more than refusing.
static SUB_CODES: &[Row] = &[
    // Codes and tokens (4.2).
    advised("AUTH_CODE_NOT_EXIST", Class::CodeInvalid, REAUTHORIZE),
    advised("AUTH_CODE_NOT_VALID", Class::CodeInvalid, REAUTHORIZE),
    advised("REFRESH_TOKEN_NOT_EXIST", Class::RefreshTokenInvalid, REAUTHORIZE),
    advised("REFRESH_TOKEN_NOT_VALID", Class::RefreshTokenInvalid, "it was used before, or the merchant authorized again or withdrew"),
    advised("REFRESH_TOKEN_TIME_OUT", Class::RefreshTokenInvalid, REAUTHORIZE),
    advised("AUTH_TOKEN_NOT_FOUND", Class::GrantGone, REAUTHORIZE),
    advised("APP_NOT_ISV", Class::Configuration, "app_id must be a third-party application (第三方应用)"),
    // Mostly a stranger's code, which no operator can mend: it is let go, and does not wait for a day among those of merchants.
    advised("APP_ID_NOT_CONSISTENT", Class::Refuse, "the code or token belongs to another third-party application"),
    // The query of a token (4.3).
    row("AUTH_TOKEN_NOT_EXISTED", Class::RenewAuthorizerToken),
    advised("AUTH_TOKEN_NOT_CONSISTENT", Class::Configuration, "the token belongs to another third-party application"),
    row("SYSTEM_ERROR", Class::Retry),
    // Calls on behalf of a merchant (4.7). Where the relation is said to be gone, a renewal finds out: it spends the refresh token,
    // and AUTH_TOKEN_NOT_FOUND says that nothing stands behind it.
    row("aop.invalid-app-auth-token", Class::RenewAuthorizerToken),
    row("aop.app-auth-token-time-out", Class::RenewAuthorizerToken),
    row("isv.invalid-auth-relations", Class::RenewAuthorizerToken),
    row("NO_AUTH_RELATION", Class::RenewAuthorizerToken),
    row("APP_TO_APP_AUTH_FAIL", Class::RenewAuthorizerToken),
    advised("aop.invalid-app-auth-token-no-api", Class::Refuse, "the merchant did not grant this method: ask it to authorize again"),
    advised("aop.no-product-reg-by-partner", Class::Refuse, "the merchant has not signed the product"),
    advised(
        "isv.insufficient-isv-permissions",
        Class::Configuration,
        "bind the product to the third-party application, then have the merchant authorize again",
    ),
    advised("isv.insufficient-user-permissions", Class::Refuse, "the merchant lacks the permission"),
    // The gateway (6).
    row("isp.unknow-error", Class::Retry),
    row("aop.unknow-error", Class::Retry),
    row("isv.app-call-limited", Class::RateLimited),
    row("isv.method-call-limited", Class::RateLimited),
    advised("isv.invalid-signature", Class::Configuration, OUR_SIGNATURE),
    advised("isv.missing-signature-key", Class::Configuration, "save the application's public key or certificate in the console"),
    advised("isv.missing-signature-config", Class::Configuration, "save the application's public key or certificate in the console"),
    advised("isv.invalid-app-id", Class::Configuration, "compare app_id with the console"),
    advised("isv.invalid-timestamp", Class::Configuration, "set this machine's clock"),
    advised("isv.app-cert-expired", Class::Configuration, "renew the application's certificate in the console"),
    advised("isv.access-forbidden", Class::Configuration, "put this service's address on the IP white list in the console"),
    advised("isv.missing-encrypt-key", Class::Configuration, "set the content encryption key in the console and here as aes_key"),
    advised("isv.decryption-error-not-valid-encrypt-key", Class::Configuration, "compare aes_key with the console"),
];

/// Codes of the gateway, where the `sub_code` is not in the table above.
static CODES: &[(&str, Class)] = &[("20000", Class::Retry), ("40005", Class::RateLimited)];

/// Whether the node says yes.
#[must_use]
pub fn is_success(node: &Map<String, Value>) -> bool {
    text(node, "code").as_deref() == Some("10000") && text(node, "sub_code").is_none()
}

/// The node, if it says yes.
///
/// # Errors
/// The vendor's no.
pub fn accepted(node: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    if is_success(&node) { Ok(node) } else { Err(refused(&node)) }
}

/// A node that says no, as an error.
#[must_use]
pub fn refused(node: &Map<String, Value>) -> ApiError {
    let code = text(node, "code").unwrap_or_default();
    let words = text(node, "sub_msg").or_else(|| text(node, "msg")).unwrap_or_default();
    let sub_code = match text(node, "sub_code") {
        // Codes that a method did not register come inside of the words (Alipay 6).
        Some(wrapped) if wrapped == "unknown-sub-code" => inner_code(&words).unwrap_or(wrapped),
        Some(sub_code) => sub_code,
        None => code.clone(),
    };
    let known =
        SUB_CODES.iter().find(|row| row.code == sub_code).map(|row| (row.class, row.advice)).or_else(|| business::meaning(&sub_code));
    let by_code = || CODES.iter().find(|(known, _)| *known == code).map_or(Class::Refuse, |(_, class)| *class);
    // To a wrong signature the gateway quotes the string it verified, tokens and all.
    let message = if sub_code == "isv.invalid-signature" || words.contains("_token=") || words.contains("biz_content=") {
        text(node, "msg").unwrap_or_default()
    } else {
        words
    };
    ApiError {
        class: known.map_or_else(by_code, |(class, _)| class),
        code: sub_code,
        message,
        advice: known.and_then(|(_, advice)| advice),
    }
}

fn inner_code(words: &str) -> Option<String> {
    let after = words.split_once("未知的错误码").map(|(_, after)| after)?;
    let code: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).collect();
    Some(code).filter(|code| !code.is_empty())
}
