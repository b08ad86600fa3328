//! Where one authorizer of a rollout stands (contract 6), and how far a rollout goes.

/// Where one authorizer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its turn has not come.
    Queued,
    /// The package is being made.
    Uploading,
    /// The package is there.
    Uploaded,
    /// It is being handed to the auditors.
    Submitting,
    /// The auditors have it.
    InAudit,
    /// It passed and waits to be released.
    Approved,
    /// It is being put online.
    Releasing,
    /// It is online.
    Released,
    /// Something was refused, or nobody knows what came of a step.
    Failed,
    /// The auditors said no.
    Rejected,
    /// A person ended the rollout before it came this far.
    Cancelled,
    /// It takes no part: the reason says why.
    Skipped,
}

impl Stage {
    /// Every stage, in the order of a life.
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Uploading,
        Self::Uploaded,
        Self::Submitting,
        Self::InAudit,
        Self::Approved,
        Self::Releasing,
        Self::Released,
        Self::Failed,
        Self::Rejected,
        Self::Cancelled,
        Self::Skipped,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Uploading => "uploading",
            Self::Uploaded => "uploaded",
            Self::Submitting => "submitting",
            Self::InAudit => "in_audit",
            Self::Approved => "approved",
            Self::Releasing => "releasing",
            Self::Released => "released",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// Whether a step is under way in it, as opposed to waiting for the next one.
    #[must_use]
    pub const fn is_working(self) -> bool {
        matches!(self, Self::Uploading | Self::Submitting | Self::Releasing)
    }

    /// Whether nothing follows it, however far the rollout goes.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Released | Self::Failed | Self::Rejected | Self::Cancelled | Self::Skipped)
    }

    /// Whether it counts against the stop rule.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Rejected)
    }
}

/// How far a rollout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The package is made.
    Uploaded,
    /// The auditors have it.
    InAudit,
    /// It is online.
    #[default]
    Released,
}

impl Goal {
    /// Whether an authorizer at that stage has come as far as it should.
    #[must_use]
    pub fn is_reached(self, stage: Stage) -> bool {
        match self {
            Self::Uploaded => stage == Stage::Uploaded,
            Self::InAudit => matches!(stage, Stage::InAudit | Stage::Approved | Stage::Released),
            Self::Released => stage == Stage::Released,
        }
    }

    /// Whether nothing more is to be done for an authorizer at that stage.
    #[must_use]
    pub fn is_over(self, stage: Stage) -> bool {
        stage.is_final() || self.is_reached(stage)
    }
}
