//! How a vendor is asked for what a lost push would have told: which operation shows it, and how its result is read.
//!
//! Data that a component gives ([`super::Component::audit_look`], [`super::Component::grant_list`]) and `reconcile` works through. The
//! operations are rows like any other; what they give is in the normal words.

/// How the end of an audit is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditLook {
    /// The operation: a list of packages, or one package.
    pub operation: &'static str,
    /// It wants the version.
    pub by_version: bool,
    /// Items of the list say which stage they are of; that of an audit is `audit`.
    pub has_stages: bool,
    /// Several packages of one mini program may be in audit at a time.
    pub has_many: bool,
    /// The operation that shows how a build ended, where that takes longer than an upload waits and no push tells.
    pub build: Option<&'static str>,
}

/// How the end of an audit of the profile is asked for, where no push tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileLook {
    /// The operation that shows the profile as it is in force.
    pub operation: &'static str,
    /// The operations that change it.
    pub changes: &'static [&'static str],
    /// Their parameters that its result shows under the same names; a change of others shows in nothing that could be compared.
    pub shows: &'static [&'static str],
}

/// The words that results of packages have for what became of an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It goes on.
    InAudit,
    /// Its word is not known.
    Unknown,
    /// It ended well; the package may be online by now, or offline again.
    Passed,
    /// It ended badly.
    Failed,
    /// It was taken back, or the package was never submitted.
    TakenBack,
}

const STANDS: &[(Stand, &[&str])] = &[
    (Stand::InAudit, &["in_audit"]),
    (Stand::Passed, &["approved", "passed", "online", "released", "gray", "rolling_back", "offline", "suspended"]),
    (Stand::Failed, &["rejected", "failed"]),
    (Stand::TakenBack, &["withdrawn", "development", "developing", "uploaded"]),
];

impl Stand {
    /// What a word says.
    #[must_use]
    pub fn of(word: &str) -> Self {
        STANDS.iter().find(|(_, words)| words.contains(&word)).map_or(Self::Unknown, |(stand, _)| *stand)
    }
}

/// A vendor's list of the merchants that stand in a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantList {
    /// The operation.
    pub operation: &'static str,
    /// Its parameter for the page, counted from 1.
    pub page: &'static str,
    /// Its parameter for the entries of a page.
    pub size: &'static str,
    /// The most entries that a page may have.
    pub most: u32,
    /// Where an item says when the merchant granted.
    pub granted_at: &'static str,
    /// Whoever may have granted is on it. Where that is not so, who is not on it has not withdrawn.
    pub holds_all: bool,
}

/// The operation that lists pushes which did not arrive, where a vendor has one.
pub const MISSED_PUSHES: &str = "pushes.missed";
