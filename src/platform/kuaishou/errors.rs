//! What Kuaishou's codes and words mean (section 6). The third-party platform's own table is not public, so every list is a setting.

use serde_json::{Map, Value};

use super::{first, number, text};
use crate::platform::call::{ApiError, Class, Reply};
use crate::settings::Settings;

/// What a call was made with; the same code means different things about different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    /// Id and secret only.
    Nothing,
    /// The ticket.
    Ticket,
    /// The component token only.
    ComponentToken,
    /// The component token and a code.
    Code,
    /// The component token and a refresh token.
    RefreshToken,
    /// An authorizer's token only.
    AuthorizerToken,
}

/// One list of `[components.errors]`.
struct List {
    /// Its key.
    key: &'static str,
    class: Class,
    /// The codes of 6.3.
    codes: &'static [i64],
    /// The calls that it is about; all when empty.
    about: &'static [Spent],
    advice: Option<&'static str>,
}

/// 6.3, first match wins. Codes are those of the vendor's ordinary OAuth layer; whether they appear here is unverified.
static LISTS: &[List] = &[
    List { key: "ticket_invalid", class: Class::TicketInvalid, codes: &[], about: &[Spent::Ticket], advice: None },
    List {
        key: "refresh_token_invalid",
        class: Class::RefreshTokenInvalid,
        codes: &[100_200_113, 100_200_105],
        about: &[Spent::RefreshToken],
        advice: None,
    },
    List { key: "code_invalid", class: Class::CodeInvalid, codes: &[100_200_105], about: &[Spent::Code], advice: None },
    List {
        key: "component_token_invalid",
        class: Class::RenewComponentToken,
        codes: &[],
        about: &[Spent::ComponentToken, Spent::Code, Spent::RefreshToken],
        advice: None,
    },
    List {
        key: "authorizer_token_invalid",
        class: Class::RenewAuthorizerToken,
        codes: &[100_200_102, 100_200_108],
        about: &[Spent::AuthorizerToken],
        advice: None,
    },
    List {
        key: "authorization_gone",
        class: Class::GrantGone,
        codes: &[100_200_109, 100_200_110, 100_200_111],
        about: &[],
        advice: Some("the merchant has to authorize again"),
    },
    List {
        key: "bad_credentials",
        class: Class::Configuration,
        codes: &[100_200_101],
        about: &[],
        advice: Some("check component_app_id and component_app_secret against the console"),
    },
    List { key: "rate_limited", class: Class::RateLimited, codes: &[100_100_402], about: &[], advice: None },
    List { key: "retryable", class: Class::Retry, codes: &[100_200_500], about: &[], advice: None },
];

/// One line of the text rule: words that name a thing.
struct Words {
    named: &'static [&'static str],
    class: Class,
    about: &'static [Spent],
}

/// The text rule of 6.3, made exact by what the call carried; first match wins. It costs at most one needless renewal.
static TEXT_RULE: &[Words] = &[
    Words { named: &["ticket"], class: Class::TicketInvalid, about: &[Spent::Ticket] },
    Words { named: &["refresh_token", "refresh token", "refreshtoken"], class: Class::RefreshTokenInvalid, about: &[Spent::RefreshToken] },
    Words {
        named: &["authorization_code", "authorization code", "authorizationcode", "授权码"],
        class: Class::CodeInvalid,
        about: &[Spent::Code, Spent::RefreshToken],
    },
    Words {
        named: &["token", "凭据", "凭证"],
        class: Class::RenewComponentToken,
        about: &[Spent::ComponentToken, Spent::Code, Spent::RefreshToken],
    },
    Words { named: &["token", "凭据", "凭证"], class: Class::RenewAuthorizerToken, about: &[Spent::AuthorizerToken] },
];

/// What to do about codes in no list, where the reference explains them (6.2).
static ADVICE: &[(i64, &str)] = &[
    (403_106, "one of these domains is not set; see which are with `.get`"),
    (100_100_400, "a parameter is wrong: hold the row's settings against the console's documentation"),
    (100_200_100, "a parameter is missing or wrong: hold the row's settings against the console's documentation"),
    (100_200_106, "the merchant has not granted this permission"),
];

/// Words that say that the named thing no longer works.
static FAULTS: &[&str] = &["expire", "invalid", "illegal", "过期", "失效", "无效", "不正确", "错误"];

/// The lists of this application.
#[derive(Debug)]
pub(super) struct Errors {
    /// In the order of [`LISTS`].
    codes: Vec<Vec<i64>>,
    text_rule: bool,
}

impl Errors {
    pub(super) fn read(settings: &mut Settings) -> Self {
        Self { codes: LISTS.iter().map(|list| codes(settings, list)).collect(), text_rule: settings.flag_or("text_rule", true) }
    }

    /// The members of a successful answer (6.1); `what` names what it should hold. Success is `result` 1 and nothing else.
    pub(super) fn read_reply(&self, reply: &Reply, spent: Spent, what: &str) -> Result<Map<String, Value>, ApiError> {
        let object = match serde_json::from_slice(&reply.body) {
            Ok(Value::Object(object)) => object,
            _ => return Err(ApiError::codeless(reply, what)),
        };
        match first(&object, &["result"]).and_then(number) {
            Some(1) => Ok(object),
            Some(code) => Err(self.classify(code, &message(&object), reply.status, spent)),
            None => Err(ApiError::codeless(reply, "result")),
        }
    }

    fn classify(&self, code: i64, message: &str, status: u16, spent: Spent) -> ApiError {
        let about = |calls: &[Spent]| calls.is_empty() || calls.contains(&spent);
        let listed = LISTS.iter().zip(&self.codes).find(|(list, codes)| about(list.about) && codes.contains(&code)).map(|(list, _)| list);
        let class = match listed {
            Some(list) => list.class,
            None => self.by_text(message, about).unwrap_or(match status {
                429 => Class::RateLimited,
                500.. => Class::Retry,
                _ => Class::Refuse,
            }),
        };
        let explained = || ADVICE.iter().find(|(known, _)| *known == code).map(|(_, advice)| *advice);
        ApiError { class, code: code.to_string(), message: masked(message), advice: listed.and_then(|list| list.advice).or_else(explained) }
    }

    fn by_text(&self, message: &str, about: impl Fn(&[Spent]) -> bool) -> Option<Class> {
        let message = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if !self.text_rule || !says(FAULTS) {
            return None;
        }
        TEXT_RULE.iter().find(|words| about(words.about) && says(words.named)).map(|words| words.class)
    }
}

/// The list's codes: those of the settings, else those of 6.3.
fn codes(settings: &mut Settings, list: &List) -> Vec<i64> {
    if !settings.has(list.key) {
        return list.codes.to_vec();
    }
    let mut codes = Vec::new();
    for text in settings.texts(list.key) {
        match text.trim().parse() {
            Ok(code) => codes.push(code),
            Err(_) => settings.problem(list.key, "holds something that is no code", "write the vendor's numbers, as in [100200108]"),
        }
    }
    codes
}

/// The vendor's words; the two families of calls spell the member differently.
fn message(object: &Map<String, Value>) -> String {
    first(object, &["errorMsg", "error_msg", "message"]).and_then(text).unwrap_or_default()
}

/// From this length on a run of letters and digits may be a token, a ticket or a code that the vendor repeats in its message.
const TOKEN_LENGTH: usize = 16;

/// Longest message kept, in characters.
const LONGEST_MESSAGE: usize = 300;

/// The message without anything that could be a secret: long runs that hold a digit become dots. Names of parameters hold none.
fn masked(message: &str) -> String {
    let mut masked = String::new();
    let mut run = String::new();
    for c in message.chars().take(LONGEST_MESSAGE).map(Some).chain([None]) {
        match c {
            Some(c) if c.is_ascii_alphanumeric() || "-_+/=.".contains(c) => run.push(c),
            other => {
                let secret = run.len() >= TOKEN_LENGTH && run.contains(|c: char| c.is_ascii_digit());
                masked.push_str(if secret { "…" } else { &run });
                run.clear();
                masked.extend(other);
            }
        }
    }
    masked
}
