//! How the errors of the rooms are told to callers: which problem, with which hint, and what of it stays in the log.

use std::time::Duration;

use serde_json::json;

use super::problem::{Kind, Problem, shortened};
use crate::fanout::replays::ReplayError;
use crate::fanout::{RetryError, SubscriptionError};
use crate::inbox::LogError;
use crate::operations::OperationError;
use crate::operations::idempotency::ShelfError;
use crate::operations::proxy::ProxyError;
use crate::outbound::SendError;
use crate::platform::proxy::NotProxied;
use crate::platform::{ApiError, Class};
use crate::playbook::book::BookError;
use crate::playbook::lacking::LackingError;
use crate::rollout::RolloutError;
use crate::vault::VaultError;

/// A ticket is pushed every ten minutes; asking once a minute finds it soon enough.
const NEXT_TICKET: Duration = Duration::from_secs(60);

/// When to come back after the vendor did not answer or was overloaded.
const VENDOR_PAUSE: Duration = Duration::from_secs(10);

/// When to come back after too many looked through the log.
const CROWDED_PAUSE: Duration = Duration::from_secs(5);

/// When to come back after too many replays ran.
const REPLAYS_PAUSE: Duration = Duration::from_secs(60);

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::UnknownComponent => Self::new(Kind::NotFound, error.to_string()),
            VaultError::NotApplicable(why) => Self::new(Kind::NotApplicable, why),
            VaultError::NoTicket { detail, hint } => Self::new(Kind::NoTicket, detail).hint(hint).retry_after(NEXT_TICKET),
            VaultError::NotAuthorized(why) => {
                Self::new(Kind::NotAuthorized, why).hint("let the merchant open /authorize/{component}, then ask again")
            }
            VaultError::Revoked { at } => {
                let detail = at.map_or_else(|| String::from("the merchant withdrew"), |at| format!("the merchant withdrew at {at}"));
                Self::new(Kind::Revoked, detail).hint("a new authorization by the merchant brings it back")
            }
            VaultError::VendorRefused(refusal) => refused(&refusal),
            VaultError::VendorUnreachable(error) => unreachable(&error),
            VaultError::RateLimited(wait) => {
                Self::new(Kind::RateLimited, "this token was renewed a moment ago").hint("read it without renewing it").retry_after(wait)
            }
            VaultError::Crowded(wait) => Self::new(Kind::RateLimited, error.to_string())
                .hint("load this page again in a minute; the component's state says why authorizations wait")
                .retry_after(wait),
            VaultError::Overrun(wait) => Self::new(Kind::RateLimited, error.to_string())
                .hint("load this page again in a minute; behind a reverse proxy, name it in `server.trusted_proxies`")
                .retry_after(wait),
            VaultError::Invited(wait) => Self::new(Kind::RateLimited, error.to_string())
                .hint("they end when they are used, or after 24 hours; merchants can also be sent to /authorize/{component}, which needs no link")
                .retry_after(wait),
            VaultError::UnknownState => Self::new(Kind::Conflict, error.to_string()).hint("open /authorize/{component} for a new link"),
            VaultError::Store(cause) => Self::unavailable(cause),
        }
    }
}

impl From<BookError> for Problem {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Unknown => Self::new(Kind::NotFound, error.to_string()),
            BookError::Taken(why) => Self::new(Kind::Conflict, why),
            BookError::ReadOnly => {
                Self::new(Kind::ReadOnly, error.to_string()).hint("change it in the configuration, or choose another name")
            }
            BookError::Invalid(mistakes) => {
                let bad: Vec<_> = mistakes.into_iter().map(|mistake| (mistake.at, mistake.reason)).collect();
                Self::invalid(&bad).hint("docs/playbooks.md; GET /v1/operations names the operations and their parameters")
            }
            BookError::Store(cause) => Self::unavailable(cause),
        }
    }
}

impl From<LackingError> for Problem {
    fn from(error: LackingError) -> Self {
        match error {
            LackingError::Vault(error) => error.into(),
            LackingError::Store(error) => error.into(),
        }
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::UnknownComponent | OperationError::WrongAddress(_) => Self::new(Kind::NotFound, error.to_string()),
            OperationError::UnknownOperation { platform, name, nearest } => {
                let error = OperationError::UnknownOperation { platform, name: shortened(&name).into_owned(), nearest };
                let hint = nearest.map(|nearest| format!("did you mean `{nearest}`? GET /v1/operations lists them"));
                let others = || String::from("GET /v1/operations lists them; others go through …/proxy/{path}");
                Self::new(Kind::NotFound, error.to_string()).hint(hint.unwrap_or_else(others))
            }
            OperationError::NotConfigured(settings) => {
                Self::new(Kind::OperationNotConfigured, "its wire format is not verified, so it is switched off until it is configured")
                    .with("settings", json!(settings))
                    .hint(settings)
            }
            OperationError::Invalid(bad) => Self::invalid(&bad.into_iter().map(|bad| (bad.name, bad.reason)).collect::<Vec<_>>()),
            OperationError::Vault(error) => error.into(),
            OperationError::Refused(refusal) => refused(&refusal),
            OperationError::Unreachable(error) => unreachable(&error),
            OperationError::OutcomeUnknown { ref sent, ref cause, ref looked_up, .. } => unknown(&error, sent, cause, looked_up),
            OperationError::Doubted { ref sent, ref refusal, ref looked_up } => {
                // Without the class, which says "retry": the vendor means the call, and we do not know that it is harmless.
                let vendor = json!({ "code": refusal.code, "message": refusal.message });
                unknown(&error, sent, &format!("the vendor answered {refusal}"), looked_up).with("vendor", vendor)
            }
        }
    }
}

impl From<ProxyError> for Problem {
    fn from(error: ProxyError) -> Self {
        match error {
            ProxyError::UnknownComponent => Self::new(Kind::NotFound, error.to_string()),
            ProxyError::NotApplicable(_) => Self::new(Kind::NotApplicable, error.to_string()),
            ProxyError::NotProxied(NotProxied::Path(reason)) => Self::invalid(&[(String::from("path"), reason)]),
            ProxyError::NotProxied(NotProxied::Parameter { name, reason }) => Self::invalid(&[(name, reason)]),
            ProxyError::TooLarge(_) => Self::new(Kind::TooLarge, error.to_string()),
            ProxyError::Vault(error) => error.into(),
            ProxyError::Unreachable(error) => unreachable(&error),
        }
    }
}

impl From<ShelfError> for Problem {
    fn from(error: ShelfError) -> Self {
        Self::unavailable(error)
    }
}

fn unreachable(error: &SendError) -> Problem {
    Problem::new(Kind::VendorUnreachable, error.to_string()).retry_after(VENDOR_PAUSE)
}

/// Nobody knows whether it was done. Never with a time to come back: done again it may be done twice.
fn unknown(error: &OperationError, sent: &str, cause: &str, looked_up: &str) -> Problem {
    Problem::new(Kind::OutcomeUnknown, error.to_string())
        .with("sent", json!(sent))
        .with("cause", json!(cause))
        .with("looked_up", json!(looked_up))
        .hint("look at the vendor's console, or ask with the operation's list or get, before it is done again")
}

/// The vendor's no, in its words and with our advice.
fn refused(refusal: &ApiError) -> Problem {
    let class = match refusal.class {
        Class::Retry => "retry",
        Class::RateLimited => "rate-limited",
        Class::RenewComponentToken | Class::RenewAuthorizerToken => "renew",
        Class::TicketInvalid => "ticket-invalid",
        Class::CodeInvalid => "code-invalid",
        Class::RefreshTokenInvalid => "refresh-token-invalid",
        Class::GrantGone => "grant-gone",
        Class::Configuration => "configuration",
        Class::Refuse => "refuse",
    };
    let vendor = json!({ "code": refusal.code, "message": refusal.message, "class": class, "advice": refusal.advice });
    let problem = Problem::new(Kind::VendorRefused, format!("the vendor answered {refusal}")).with("vendor", vendor).of_refusal(refusal);
    let problem = match refusal.advice {
        Some(advice) => problem.hint(advice),
        None => problem,
    };
    match refusal.class {
        Class::Retry => problem.retry_after(VENDOR_PAUSE),
        Class::RateLimited | Class::TicketInvalid => problem.retry_after(NEXT_TICKET),
        _ => problem,
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Crowded => Self::new(Kind::RateLimited, error.to_string())
                .hint("ask again in a moment, for less if you can")
                .retry_after(CROWDED_PAUSE),
            LogError::NoPosition => Self::invalid(&[(String::from("cursor"), String::from("is no cursor of this list"))]),
            error => Self::unavailable(error),
        }
    }
}

impl From<RetryError> for Problem {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::NoSubscription(_) => {
                Self::new(Kind::Conflict, error.to_string()).hint("replay the event to a subscription that is there")
            }
            RetryError::Unwanted { ref subscription, .. } => Self::new(Kind::Conflict, error.to_string()).hint(format!(
                "have `events` and `components` of `{subscription}` say that it wants such events, or replay the event without naming a subscription: then all \
                 that want it get it"
            )),
            RetryError::Gone(_) => Self::new(Kind::NotFound, error.to_string()),
            RetryError::Log(error) => error.into(),
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::UnknownSubscription(_) => {
                Self::invalid(&[(String::from("subscription"), String::from("is the name of no subscription"))])
            }
            ReplayError::Rate => Self::invalid(&[(String::from("rate"), String::from("is not between 1 and 10000"))]),
            ReplayError::Crowded(_) => Self::new(Kind::RateLimited, error.to_string())
                .hint("wait until some are done, or end some with POST /v1/replays/{id}/cancel")
                .retry_after(REPLAYS_PAUSE),
            ReplayError::Log(error) => error.into(),
        }
    }
}

impl From<RolloutError> for Problem {
    fn from(error: RolloutError) -> Self {
        match error {
            RolloutError::Unknown => Self::new(Kind::NotFound, error.to_string()),
            RolloutError::Conflict(why) => Self::new(Kind::Conflict, why).hint("GET /v1/rollouts/{id} shows where it stands"),
            RolloutError::Invalid(bad) => Self::invalid(&bad),
            RolloutError::Log(error) => error.into(),
            RolloutError::Vault(error) => error.into(),
        }
    }
}

impl From<SubscriptionError> for Problem {
    fn from(error: SubscriptionError) -> Self {
        match error {
            SubscriptionError::Unknown => Self::new(Kind::NotFound, error.to_string()),
            SubscriptionError::Taken => Self::new(Kind::Conflict, error.to_string()).hint("change it with PATCH, or choose another name"),
            SubscriptionError::ReadOnly => Self::new(Kind::ReadOnly, error.to_string())
                .hint("change it in yizhan.toml; pausing, resuming, testing and rotating its secret work here too"),
            SubscriptionError::Playbook => Self::new(Kind::ReadOnly, error.to_string())
                .hint("change it at /v1/playbooks or in the configuration; pausing, resuming and replaying work here"),
            SubscriptionError::Unread => Self::new(Kind::Conflict, error.to_string()).hint("GET /v1/playbooks says why it cannot be read"),
            SubscriptionError::Invalid(bad) => Self::invalid(&bad),
            SubscriptionError::Store(cause) => Self::unavailable(cause),
        }
    }
}
