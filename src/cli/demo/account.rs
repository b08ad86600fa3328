//! What became of every merchant of the demo's rollouts: the service's word held against the vendors' own count.

use std::collections::BTreeMap;

use serde_json::Value;

use super::story::at;
use crate::simulator::ledger::Deed;

/// Deeds of a life, in its order; none may happen twice.
const DEEDS: [&str; 3] = ["package.upload", "audit.submit", "package.release"];

/// Merchants by how they ended. Everybody is in exactly one of released, rejected, failed, skipped and lost.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// All of them.
    pub authorizers: u64,
    /// The new version is online.
    pub released: u64,
    /// The auditors said no.
    pub rejected: u64,
    /// It did not work.
    pub failed: u64,
    /// Took no part.
    pub skipped: u64,
    /// Deeds that the vendors accepted beyond the first of their kind.
    pub doubled: u64,
    /// At no end, or at one that the vendors know nothing of.
    pub lost: u64,
}

impl Account {
    /// Of one platform: its merchants, what the service says of them, and what the vendor counted.
    pub(super) fn of(merchants: &[String], items: &[Value], ledger: &[Deed]) -> Self {
        let mut deeds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut account = Self::default();
        for deed in ledger {
            deeds.entry(&deed.authorizer).or_default().push(deed.operation);
            account.doubled += u64::from(deed.times.saturating_sub(1));
        }
        for merchant in merchants {
            account.authorizers += 1;
            let item = items.iter().find(|item| at(item, "/authorizer") == merchant.as_str());
            let stage = item.and_then(|item| at(item, "/stage").as_str()).unwrap_or_default();
            let seen = deeds.get(merchant.as_str()).map(Vec::as_slice).unwrap_or_default();
            let count = match stage {
                "released" if did(seen, 3) => &mut account.released,
                "rejected" if did(seen, 2) => &mut account.rejected,
                "failed" if (0..DEEDS.len()).any(|steps| did(seen, steps)) => &mut account.failed,
                "skipped" if did(seen, 0) => &mut account.skipped,
                _ => &mut account.lost,
            };
            *count += 1;
        }
        account
    }

    /// All platforms together.
    pub(super) fn sum<'a>(accounts: impl Iterator<Item = &'a Self>) -> Self {
        accounts.fold(Self::default(), |sum, one| Self {
            authorizers: sum.authorizers + one.authorizers,
            released: sum.released + one.released,
            rejected: sum.rejected + one.rejected,
            failed: sum.failed + one.failed,
            skipped: sum.skipped + one.skipped,
            doubled: sum.doubled + one.doubled,
            lost: sum.lost + one.lost,
        })
    }

    /// Whether everybody is accounted for and nothing happened twice.
    pub(super) fn holds(&self) -> bool {
        let ended = self.released + self.rejected + self.failed + self.skipped;
        ended == self.authorizers && self.doubled == 0 && self.lost == 0
    }

    /// The counts with their names, in the order of the table.
    pub(super) fn counts(&self) -> [(&'static str, u64); 7] {
        [
            ("authorizers", self.authorizers),
            ("released", self.released),
            ("rejected", self.rejected),
            ("failed", self.failed),
            ("skipped", self.skipped),
            ("doubled", self.doubled),
            ("lost", self.lost),
        ]
    }
}

/// Whether exactly the first so many deeds of a life were done.
fn did(seen: &[&str], steps: usize) -> bool {
    seen.len() == steps && DEEDS.iter().take(steps).all(|deed| seen.contains(deed))
}
