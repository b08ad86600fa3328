//! What can go wrong on request: with calls that reach the vendor, and with pushes on their way to the provider.

use std::time::Duration;

/// How a call goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallTrouble {
    /// The vendor does nothing and answers with this HTTP status.
    Status(u16),
    /// The vendor does what was asked, but the connection breaks before the answer.
    LostAnswer,
    /// The vendor does what was asked and answers only after this many milliseconds.
    SlowMs(u64),
    /// The vendor does nothing and the connection breaks.
    NotHeard,
    /// The vendor does what was asked and answers with something unreadable.
    Garbage,
    /// The vendor refuses because it was asked too often, in its own way.
    RateLimited,
    /// The vendor does what was asked and answers in its own way that it is in trouble and may be asked again.
    DoneAndBusy,
}

/// Trouble for the next calls of a kind.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallFault {
    /// Calls whose path and query contain this; empty: every call.
    #[serde(default)]
    pub matching: String,
    /// What happens.
    pub trouble: CallTrouble,
    /// How many calls it hits.
    #[serde(default = "one")]
    pub times: u32,
}

fn one() -> u32 {
    1
}

/// Trouble with pushes, until set to something else.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushFaults {
    /// Copies sent beside each push, sealed afresh, at the same time.
    pub duplicates: u32,
    /// Pushes held back until this many wait, then sent newest first.
    pub reorder: usize,
    /// A forged copy is sent before each push.
    pub forged: bool,
    /// Every n-th push is lost: never sent, never repeated. 0: none.
    pub lose_every: u32,
    /// Pushes lost like that among a hundred; which ones follows from their number, so a run can be repeated.
    pub lose_percent: u8,
    /// Each push is sent again after this many milliseconds although it was acknowledged.
    pub late_retry_ms: Option<u64>,
}

impl PushFaults {
    /// When the late retry comes.
    #[must_use]
    pub fn late_retry(&self) -> Option<Duration> {
        self.late_retry_ms.map(Duration::from_millis)
    }
}
