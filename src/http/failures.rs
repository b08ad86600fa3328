//! How the errors of the rooms are told to callers: which problem, with which hint, and what of it stays in the log.

use std::time::Duration;

use serde_json::json;

use super::problem::{Kind, Problem};
use crate::fanout::SubscriptionError;
use crate::fanout::replays::ReplayError;
use crate::inbox::LogError;
use crate::platform::{ApiError, Class};
use crate::vault::VaultError;

/// A ticket is pushed every ten minutes; asking once a minute finds it soon enough.
const NEXT_TICKET: Duration = Duration::from_secs(60);

/// When to come back after the vendor did not answer or was overloaded.
const VENDOR_PAUSE: Duration = Duration::from_secs(10);

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
            VaultError::VendorUnreachable(error) => Self::new(Kind::VendorUnreachable, error.to_string()).retry_after(VENDOR_PAUSE),
            VaultError::RateLimited(wait) => {
                Self::new(Kind::RateLimited, "this token was renewed a moment ago").hint("read it without renewing it").retry_after(wait)
            }
            VaultError::UnknownState => Self::new(Kind::Conflict, error.to_string()).hint("open /authorize/{component} for a new link"),
            VaultError::Store(cause) => Self::unavailable(cause),
        }
    }
}

/// The vendor's no, in its words and with our advice.
fn refused(refusal: &ApiError) -> Problem {
    let class = match refusal.class {
        Class::Retry => "retry",
        Class::RateLimited => "rate-limited",
        Class::RenewComponentToken => "component-token-invalid",
        Class::RenewAuthorizerToken => "authorizer-token-invalid",
        Class::TicketInvalid => "ticket-invalid",
        Class::CodeInvalid => "code-invalid",
        Class::RefreshTokenInvalid => "refresh-token-invalid",
        Class::GrantGone => "grant-gone",
        Class::Configuration => "configuration",
        Class::Refuse => "refused",
    };
    let vendor = json!({ "code": refusal.code, "message": refusal.message, "class": class, "advice": refusal.advice });
    let problem = Problem::new(Kind::VendorRefused, format!("the vendor answered {refusal}")).with("vendor", vendor);
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
        Self::unavailable(error)
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::UnknownSubscription(_) => {
                Self::invalid(&[(String::from("subscription"), String::from("is the name of no subscription"))])
            }
            ReplayError::Rate => Self::invalid(&[(String::from("rate"), String::from("is not between 1 and 10000"))]),
            ReplayError::Log(error) => error.into(),
        }
    }
}

impl From<SubscriptionError> for Problem {
    fn from(error: SubscriptionError) -> Self {
        match error {
            SubscriptionError::Unknown => Self::new(Kind::NotFound, error.to_string()),
            SubscriptionError::Taken => Self::new(Kind::Conflict, error.to_string()).hint("change it with PATCH, or choose another name"),
            SubscriptionError::ReadOnly => {
                Self::new(Kind::ReadOnly, error.to_string()).hint("change it in yizhan.toml; pausing, resuming and testing work here too")
            }
            SubscriptionError::Invalid(bad) => Self::invalid(&bad),
            SubscriptionError::Store(cause) => Self::unavailable(cause),
        }
    }
}
