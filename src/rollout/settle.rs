//! What an event leaves on its item: the stage, the words, the time before which nothing is done. Pure.

use std::time::Duration;

use jiff::SignedDuration;

use super::advance::{Effect, On};
use super::hands::{Happened, later};
use super::record::Item;
use super::stage::Stage;
use crate::clock::Timestamp;

/// Waits of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Before an audit is asked for the first time; later ones are asked less often, see [`poll_after`].
    pub poll: Duration,
    /// Before a quota that is used up is asked again.
    pub quota: Duration,
    /// The longest pause before something is tried again, those that vendors ask for among them.
    pub longest: Duration,
}

/// More than a clock that is right is set back by.
pub const SLACK: Duration = Duration::from_secs(60);
/// The first pause after trouble, in seconds; doubled each time.
const FIRST_PAUSE: i64 = 5;
/// The first pause after the platform was asked too often.
const RATE_PAUSE: i64 = 30;
/// Before it is looked again whether a deed shows: a quarter of the time that it has lasted, within these seconds.
const LOOK_AGAIN: std::ops::RangeInclusive<i64> = 5..=60;
/// So many refusals of tokens that had just been renewed are the platform's last word.
const MOST_TOKEN_REFUSALS: u32 = 3;
/// What is said of one that was cancelled between a deed and its answer.
const IN_DOUBT: &str = "its last step was begun, and nobody knows what came of it";
/// An audit is asked at least once in so many of the first intervals.
const RAREST: u32 = 12;

impl Waits {
    /// When to try again after so many failures in a row; `first` in seconds.
    #[must_use]
    pub fn again(&self, now: Timestamp, first: i64, failures: u32) -> Timestamp {
        let doubled = 2_i64.saturating_pow(failures.saturating_sub(1)).saturating_mul(first);
        self.at_most(now, later(now, doubled))
    }

    /// No time that is waited for lies further ahead, unless the clock was ahead when it was noted.
    #[must_use]
    pub fn furthest(&self, now: Timestamp) -> Timestamp {
        let longest = self.longest.max(self.quota).max(self.poll.saturating_mul(RAREST)).saturating_add(SLACK);
        now.saturating_add(longest).unwrap_or(Timestamp::MAX)
    }

    /// That time, or the end of the longest pause where that comes before.
    #[must_use]
    pub fn at_most(&self, now: Timestamp, then: Timestamp) -> Timestamp {
        now.saturating_add(self.longest).unwrap_or(Timestamp::MAX).min(then)
    }
}

/// Until the next question about an audit that has lasted that long: a quarter of that time, within one to twelve intervals.
#[must_use]
pub fn poll_after(poll: Duration, lasted: SignedDuration) -> Duration {
    let quarter = Duration::try_from(lasted).unwrap_or_default() / 4;
    quarter.clamp(poll, poll.saturating_mul(RAREST))
}

/// Seconds until the next look for a deed that was begun so long ago.
#[must_use]
pub fn look_after(lasted: SignedDuration) -> i64 {
    (lasted.as_secs() / 4).clamp(*LOOK_AGAIN.start(), *LOOK_AGAIN.end())
}

/// Counts a refusal of a token that had just been renewed. Where that goes on, it is the merchant's grant that the platform means, or words
/// that only sounded like a token's: a further renewal would mend nothing and spend a refresh token.
#[must_use]
pub fn counted(item: &mut Item, happened: Happened) -> Happened {
    if !happened.of_token {
        return happened;
    }
    item.token_refusals = item.token_refusals.saturating_add(1);
    if item.token_refusals < MOST_TOKEN_REFUSALS { happened } else { Happened { on: On::Refused, ..happened } }
}

/// Writes down what happened. `to` and `then` are what [`super::advance::advance`] said.
pub fn settle(item: &mut Item, happened: &Happened, to: Stage, then: Effect, now: Timestamp, waits: Waits) {
    let from = item.stage;
    let after = |wait: Duration| now.saturating_add(wait).unwrap_or(Timestamp::MAX);
    let passes = matches!(happened.on, On::Unreachable | On::Doubtful | On::RateLimited);
    // What is only on the way to the next effect says nothing yet of what failed: it is about to be tried again.
    let goes_on = to == from && !matches!(then, Effect::Nothing | Effect::Wait | Effect::Onward);
    if passes {
        item.failures = item.failures.saturating_add(1);
    } else if !goes_on {
        (item.failures, item.token_refusals) = (0, 0);
    }
    if to != from {
        item.since = now;
        item.stopped_at = matches!(to, Stage::Failed | Stage::Cancelled).then_some(from);
    }
    let wait = match happened.on {
        On::Unreachable | On::Doubtful => Some(waits.again(now, FIRST_PAUSE, item.failures)),
        On::RateLimited => Some(waits.again(now, RATE_PAUSE, item.failures)),
        On::QuotaExhausted => Some(after(waits.quota)),
        On::TooSoon => Some(waits.at_most(now, later(now, look_after(now.duration_since(item.since))))),
        _ if to == Stage::InAudit && then == Effect::Wait => Some(after(poll_after(waits.poll, now.duration_since(item.since)))),
        _ => None,
    };
    item.wake_at = wait.map(|wait| happened.until.map_or(wait, |until| waits.at_most(now, until)));
    item.reason = match happened.on {
        // Nobody looks any more for what came of it.
        On::Cancelled if item.begun.is_some() => Some(IN_DOUBT.to_owned()),
        _ => happened.reason.clone(),
    };
    if let Some(package_id) = &happened.package_id {
        item.package_id = Some(package_id.clone());
    }
    if let Some(audit_id) = &happened.audit_id {
        item.audit_id = Some(audit_id.clone());
    }
    if matches!(happened.on, On::Stands | On::Released | On::Uploaded | On::Submitted) {
        item.begun = None;
    }
    item.stage = to;
    item.updated_at = now;
}
