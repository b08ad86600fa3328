//! How many versions a vendor takes for audit in a period, as vendors limit it (Baidu 5.2.5, Douyin 6.2, Alipay 6).
//!
//! Kept by the twins only; who directs the simulator sets it. It holds no clock: the time is handed in.

use std::time::Duration;

use crate::clock::Timestamp;

/// How many versions of all merchants together are taken for audit; by default any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditQuota {
    /// Submissions taken in one period; absent: any number.
    pub audits: Option<u32>,
    /// Length of a period in milliseconds; absent: it does not end.
    pub every_ms: Option<u64>,
}

/// Counts against a quota.
#[derive(Debug, Clone, Default)]
pub struct AuditMeter {
    quota: AuditQuota,
    /// When the present period began.
    began: Timestamp,
    taken: u32,
}

impl AuditMeter {
    /// Sets the quota; a period begins now.
    pub fn set(&mut self, quota: AuditQuota, now: Timestamp) {
        *self = Self { quota, began: now, taken: 0 };
    }

    /// Submissions left in this period; `None`: any number.
    pub fn left(&mut self, now: Timestamp) -> Option<u32> {
        let audits = self.quota.audits?;
        let ended = |every_ms| self.began.checked_add(Duration::from_millis(every_ms)).is_ok_and(|end| end <= now);
        if self.quota.every_ms.is_some_and(ended) {
            (self.began, self.taken) = (now, 0);
        }
        Some(audits.saturating_sub(self.taken))
    }

    /// Whether no submission is left.
    pub fn used_up(&mut self, now: Timestamp) -> bool {
        self.left(now) == Some(0)
    }

    /// A submission was taken.
    pub fn take(&mut self) {
        self.taken = self.taken.saturating_add(1);
    }
}
