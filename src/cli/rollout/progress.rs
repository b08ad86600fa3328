//! How far a rollout is, as the service tells it, and as people read it.

use serde_json::Value;

use crate::cli::events::list::text;

/// The stages of a life, in its order (contract 6).
pub const STAGES: [&str; 11] =
    ["queued", "uploading", "uploaded", "submitting", "in_audit", "approved", "releasing", "released", "failed", "rejected", "cancelled"];

/// Words that several merchants share, as the service groups them: the words, how many, one of them.
pub fn groups(answer: &Value, name: &str) -> Vec<(String, u64, String)> {
    let groups = answer.get(name).and_then(Value::as_array).into_iter().flatten();
    let count = |group: &Value| group.get("count").and_then(Value::as_u64).unwrap_or_default();
    groups.map(|group| (text(group, "reason"), count(group), text(group, "example"))).collect()
}

/// A rollout with how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its id.
    pub id: String,
    /// `running`, `paused`, `stopped`, `done`, `cancelled`.
    pub state: String,
    /// Why it is in that state, where it says so.
    pub reason: String,
    /// Whose merchants.
    pub component: String,
    /// What they get.
    pub version: String,
    /// How far it takes them.
    pub until: String,
    /// Merchants by stage.
    counts: [u64; STAGES.len()],
    /// Merchants that take no part.
    pub skipped: u64,
    /// Merchants in all.
    pub total: u64,
    /// Whether what it released is being taken back.
    pub rolling_back: bool,
    /// Of those released, how many were taken back.
    pub rolled_back: u64,
    /// Of those released, how many could not be taken back.
    pub rollback_failed: u64,
}

impl Progress {
    /// Reads the service's answer.
    ///
    /// # Errors
    /// It is no rollout.
    pub fn read(answer: &Value) -> anyhow::Result<Self> {
        let id = text(answer, "id");
        anyhow::ensure!(!id.is_empty() && answer.get("counts").is_some_and(Value::is_object), "the answer is not a rollout");
        let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_u64).unwrap_or_default();
        let counts = answer.get("counts").cloned().unwrap_or_default();
        Ok(Self {
            id,
            state: text(answer, "state"),
            reason: text(answer, "reason"),
            component: text(answer, "component"),
            version: text(answer, "version"),
            until: text(answer, "until"),
            counts: STAGES.map(|stage| number(&counts, stage)),
            skipped: number(answer, "skipped"),
            total: number(answer, "total"),
            rolling_back: answer.get("rolling_back") == Some(&Value::Bool(true)),
            rolled_back: number(answer, "rolled_back"),
            rollback_failed: number(answer, "rollback_failed"),
        })
    }

    /// Merchants at that stage.
    pub fn at(&self, stage: &str) -> u64 {
        STAGES.iter().zip(self.counts).find(|(name, _)| **name == stage).map_or(0, |(_, count)| count)
    }

    /// Merchants where it did not work.
    pub fn unwell(&self) -> u64 {
        self.at("failed") + self.at("rejected")
    }

    /// Merchants that came to its end, and those whom the auditors turned away: it took its time with each of them.
    pub fn gone_through(&self) -> u64 {
        let reached: &[&str] = match self.until.as_str() {
            "uploaded" => &["uploaded", "released"],
            "in_audit" => &["in_audit", "approved", "released"],
            _ => &["released"],
        };
        reached.iter().map(|stage| self.at(stage)).sum::<u64>() + self.at("rejected")
    }

    /// Merchants for whom nothing more is to be done, those that take no part among them.
    pub fn ended(&self) -> u64 {
        self.gone_through() + self.at("failed") + self.at("cancelled") + self.skipped
    }

    /// Whether it ended, or waits until somebody looks at it: then nothing more happens by itself.
    pub fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "done" | "cancelled" | "stopped") && !self.rolling_back
    }

    /// Whether it ended and went well for everybody who takes part.
    pub fn went_well(&self) -> bool {
        self.state == "done" && self.unwell() == 0
    }

    /// What it is and how it stands.
    pub fn headline(&self) -> String {
        let because = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        format!("{} {} until {}: {}{because}", self.component, self.version, self.until, self.state)
    }

    /// Where the merchants stand, stages without anybody left out.
    pub fn stages(&self) -> String {
        let beside = [("skipped", self.skipped), ("rolled back", self.rolled_back), ("not rolled back", self.rollback_failed)];
        let named = STAGES.iter().copied().zip(self.counts).chain(beside);
        let some: Vec<String> = named.filter(|(_, count)| *count > 0).map(|(stage, count)| format!("{stage} {count}")).collect();
        if some.is_empty() { String::from("nobody takes part") } else { some.join(" · ") }
    }
}
