//! What a subscription must be: names, patterns, addresses and limits, all problems at once.
//!
//! Asked by [`super::Fanout`] for every subscription that is made or changed, and by `config` for those of the file.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::signature::{self, Signer};
use super::subscription::Subscription;
use crate::outbound::Guard;

/// Names that start so are ours.
pub const OUR_PREFIX: &str = "yizhan-";

const MOST_NAME_BYTES: usize = 64;
const MOST_PATTERNS: usize = 32;
const MOST_PATTERN_BYTES: usize = 64;
const CONCURRENCY: RangeInclusive<u32> = 1..=256;
const RATE: RangeInclusive<u32> = 1..=10_000;
const RETRIES: RangeInclusive<usize> = 1..=32;
const RETRY_WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(7 * 24 * 3600);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(120);

/// What subscriptions are held against.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Names of the components of this deployment.
    pub components: &'a [String],
    /// Where subscribers may live.
    pub guard: &'a Guard,
}

impl Rules<'_> {
    /// Every problem: the member's name and why. Empty: valid.
    #[must_use]
    pub fn problems(&self, subscription: &Subscription) -> Vec<(String, String)> {
        let mut problems = Problems::default();
        problems.check("name", name(&subscription.name));
        problems.check("url", self.guard.url(&subscription.url).map(drop).map_err(|why| why.to_string()));
        for key in &subscription.keys {
            problems.check("secret", Signer::new(&key.secret).map(drop).map_err(|why| why.to_string()));
        }
        if subscription.keys.is_empty() {
            problems.add("secret", "is missing");
        }
        if subscription.events.is_empty() {
            problems.add("events", "names no pattern; write [\"*\"] for all");
        }
        if subscription.events.len() > MOST_PATTERNS {
            problems.add("events", format!("holds more than {MOST_PATTERNS} patterns"));
        }
        for pattern in &subscription.events {
            if pattern.as_str().len() > MOST_PATTERN_BYTES || !pattern.wants_any() {
                problems.add("events", format!("{:?} matches no event type", shortened(pattern.as_str())));
            }
        }
        for component in &subscription.components {
            if !self.components.contains(component) {
                problems.add("components", format!("there is no component {:?}", shortened(component)));
            }
        }
        problems.within("concurrency", subscription.concurrency, &CONCURRENCY);
        if let Some(rate) = subscription.rate {
            problems.within("rate", rate, &RATE);
        }
        if let Some(retry) = &subscription.retry {
            problems.within("retry", retry.len(), &RETRIES);
            if retry.iter().any(|wait| !RETRY_WAIT.contains(wait)) {
                problems.add("retry", "a wait is not between 1ms and 7d");
            }
        }
        if subscription.timeout.is_some_and(|timeout| !TIMEOUT.contains(&timeout)) {
            problems.add("timeout", "is not between 50ms and 120s");
        }
        problems.0
    }
}

/// Problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(pub Vec<(String, String)>);

impl Problems {
    pub fn add(&mut self, member: &str, why: impl Into<String>) {
        self.0.push((member.to_owned(), why.into()));
    }

    fn check(&mut self, member: &str, result: Result<(), String>) {
        if let Err(why) = result {
            self.add(member, why);
        }
    }

    fn within<T: PartialOrd + std::fmt::Display>(&mut self, member: &str, value: T, range: &RangeInclusive<T>) {
        if !range.contains(&value) {
            self.add(member, format!("is not between {} and {}", range.start(), range.end()));
        }
    }

    /// A secret that somebody chose for a new subscription.
    pub fn chosen_secret(&mut self, secret: &crate::secret::Secret) {
        if signature::is_weak(secret) {
            self.add("secret", "holds fewer than 24 bytes");
        }
    }

    /// A span of time as text.
    pub fn span(&mut self, member: &str, text: &str) -> Option<Duration> {
        let span = crate::settings::duration(text);
        if span.is_none() {
            self.add(member, format!("{:?} is not a span of time; write 500ms, 15s, 2m, 1h", shortened(text)));
        }
        span
    }

    /// A retry table as texts.
    pub fn table(&mut self, texts: &[String]) -> Vec<Duration> {
        texts.iter().filter_map(|text| self.span("retry", text)).collect()
    }
}

/// Foreign text in a message: its beginning.
fn shortened(text: &str) -> String {
    text.chars().take(MOST_PATTERN_BYTES).collect()
}

fn name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MOST_NAME_BYTES {
        return Err(format!("is not 1 to {MOST_NAME_BYTES} characters long"));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err(String::from("holds other characters than letters, digits, `-`, `_` and `.`"));
    }
    // In a path they mean another address, so nobody could reach such a subscription any more.
    if matches!(name, "." | "..") {
        return Err(String::from("consists of dots alone"));
    }
    if name.starts_with(OUR_PREFIX) {
        return Err(format!("starts with `{OUR_PREFIX}`, which is reserved"));
    }
    Ok(())
}
