//! What the vendors saw and did, counted.

use std::collections::BTreeMap;

use super::{Simulator, lock};
use crate::clock::Timestamp;
use crate::platform::Method;
use crate::platform::twin::{Answer, Request};

/// Calls kept.
const KEPT: usize = 10_000;

/// One call that reached a vendor.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// When, by the vendor's clock.
    pub at: Timestamp,
    /// Which vendor.
    pub platform: String,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path, without the query.
    pub path: String,
    /// What the vendor did ([`Answer::deed`]).
    pub deed: &'static str,
    /// Whether it accepted.
    pub accepted: bool,
}

/// What one vendor counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Requests sent to the provider, copies and forgeries among them.
    pub pushes: u64,
    /// Copies and repetitions of a push sent before.
    pub duplicates: u64,
    /// Forgeries sent.
    pub forged: u64,
    /// Pushes that the provider acknowledged.
    pub acknowledged: u64,
    /// Pushes that the provider did not acknowledge, forgeries among them.
    pub refused: u64,
    /// Pushes lost on purpose.
    pub lost: u64,
    /// Accepted calls by deed.
    pub deeds: BTreeMap<&'static str, u64>,
    /// Refused calls by deed.
    pub refusals: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Accepted calls of that deed.
    #[must_use]
    pub fn deed(&self, deed: &str) -> u64 {
        self.deeds.get(deed).copied().unwrap_or_default()
    }
}

impl Simulator {
    pub(super) fn note(&self, platform: &str, request: &Request, answer: &Answer) {
        let mut journal = lock(&self.journal);
        if journal.len() >= KEPT {
            journal.drain(..KEPT / 10);
        }
        journal.push(Entry {
            at: self.now(),
            platform: platform.to_owned(),
            method: match request.method {
                Method::Get => "GET",
                Method::Post => "POST",
            },
            path: request.path.clone(),
            deed: answer.deed,
            accepted: answer.accepted,
        });
    }
}
