//! Facts: what an event says has happened, so that what a vendor pushed and what was found by asking it are told once.
//!
//! Made by [`super::Inbox`] for the few kinds of events that asking can find too: the end of an audit, of a build, of a change of the
//! profile, a grant, a withdrawal.
//! The log keeps the last facts of each authorizer and asks [`Fact::is_told`] in the batch that stores the event. Pure; reads no clock.
//!
//! What tells two facts of one kind apart, by vendor. An audit may fail, be submitted again and fail again, with the same version.
//! - Baidu: the push names package and version since about 2020, earlier ones neither (Baidu 3.2); the list names both, no time of the end.
//! - Douyin: the push names nothing but its time (Douyin 3.2); the list names the version in audit.
//! - Kuaishou: whatever the push has of version, package and audit id (Kuaishou 3.2.1); the list names the version.
//! - Alipay: the push names the version (Alipay 3.4); the query also says when it was submitted and when its audit ended.
//! - Grants: every push has a time; the lists of Douyin and Alipay say when each merchant granted.
//!
//! So ids decide where both sides have them, and time does where they do not: a verdict lies between its submission and the moment it was
//! found; a grant or its end came no later than it was met, however much later that is told. A push is never held against another push (the
//! vendor's own identity of a message is for that), and at most one push is taken for a fact that was found. Where that leaves a doubt, the
//! push is a new event: told twice is better than not told.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::{SLACK, Timestamp};
use crate::event_type::EventType;
use crate::platform::push::Notice;
use crate::platform::{LONGEST_APP_ID, Push};

/// Facts of one subject remembered of one authorizer.
pub const REMEMBERED: usize = 16;

/// What a fact is about. Facts are held against those of the same subject, component and authorizer only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The audit of a code package.
    Audit,
    /// The making of a code package.
    Build,
    /// The audit of a change of the profile.
    Profile,
    /// A merchant's grant.
    Grant,
}

impl Subject {
    /// Its word in keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Build => "build",
            Self::Profile => "profile",
            Self::Grant => "grant",
        }
    }

    /// What events of that type are about, where asking could find the same.
    #[must_use]
    pub const fn of(kind: EventType) -> Option<Self> {
        match kind {
            EventType::AuditPassed | EventType::AuditFailed => Some(Self::Audit),
            EventType::BuildSucceeded | EventType::BuildFailed => Some(Self::Build),
            EventType::ProfilePassed | EventType::ProfileFailed => Some(Self::Profile),
            EventType::AuthorizationGranted | EventType::AuthorizationRevoked => Some(Self::Grant),
            _ => None,
        }
    }
}

/// A fact as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What happened.
    pub kind: EventType,
    /// Version of the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The vendor's number of the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_id: Option<String>,
    /// The vendor's number of the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
    /// When it happened, by the vendor's clock.
    pub at: Timestamp,
    /// When it was received or found.
    pub learnt_at: Timestamp,
    /// It did not happen before this: when the package was submitted, when the merchant granted. Known of what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Found by asking.
    pub derived: bool,
    /// A push was taken for it; a second one is another fact.
    #[serde(default)]
    pub taken: bool,
    /// Sequence of its event.
    #[serde(default)]
    pub sequence: u64,
}

/// A fact on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub subject: Subject,
    /// Whom it is about.
    pub authorizer: String,
    /// Remembered, but its event is stored whatever was told before: the push brings a code or tokens that are not held, and its event is
    /// the way to the vault. So a grant that was found may be told once more.
    pub always_stored: bool,
    /// All else.
    pub told: Told,
}

impl Fact {
    /// The fact that a push tells, if it is one that asking could find too.
    #[must_use]
    pub fn pushed(push: &Push, received_at: Timestamp, always_stored: bool) -> Option<Self> {
        let data = match &push.notice {
            Notice::Fact { data, .. } => Some(data),
            _ => None,
        };
        let kind = push.notice.kind();
        // What is longer is no app id, and would be a long key.
        let authorizer = push.authorizer.clone().filter(|authorizer| authorizer.len() <= LONGEST_APP_ID)?;
        let subject = Subject::of(kind)?;
        let told = Told { derived: false, ..told(kind, data, push.time, received_at) };
        Some(Self { subject, authorizer, always_stored, told })
    }

    /// The fact that was found by asking; `None` for a kind that is never derived.
    #[must_use]
    pub fn found(
        authorizer: &str,
        kind: EventType,
        data: &Map<String, Value>,
        at: Timestamp,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Self> {
        let told = Told { since, derived: true, ..told(kind, Some(data), at, now) };
        let subject = Subject::of(kind).filter(|_| authorizer.len() <= LONGEST_APP_ID)?;
        Some(Self { subject, authorizer: authorizer.to_owned(), always_stored: false, told })
    }

    /// Whether pushes may have told it: it was found. What is pushed is only held against what was found.
    #[must_use]
    pub fn could_be_told_by_pushes(&self) -> bool {
        self.told.derived
    }

    /// Whether this was told before; remembers it either way. The sequence of the event that told it.
    pub fn is_told(&self, before: &mut Vec<Told>) -> Option<u64> {
        let new = &self.told;
        let is_chapter = self.subject == Subject::Grant;
        let same = before.iter().enumerate().rev().find(|(place, known)| {
            let after = before.get(place.saturating_add(1)..).unwrap_or_default();
            is_same(known, new) && !(is_chapter && is_of_a_former_chapter(known, after, new))
        });
        let same = same.map(|(place, _)| place).filter(|_| !self.always_stored);
        if let Some(same) = same.and_then(|place| before.get_mut(place)) {
            same.taken |= !new.derived;
            return Some(same.sequence);
        }
        if let Some(later) = before.iter().rev().find(|known| is_over(known, new)) {
            return Some(later.sequence);
        }
        before.push(new.clone());
        let over = before.len().saturating_sub(REMEMBERED);
        before.drain(..over);
        None
    }
}

fn told(kind: EventType, data: Option<&Map<String, Value>>, at: Timestamp, learnt_at: Timestamp) -> Told {
    let text = |name: &str| data.and_then(|data| data.get(name)).and_then(Value::as_str).map(str::to_owned);
    let (version, package_id, audit_id) = (text("version"), text("package_id"), text("audit_id"));
    Told { kind, version, package_id, audit_id, at, learnt_at, since: None, derived: false, taken: false, sequence: 0 }
}

/// Whether two ids may be of the same thing: where both are known, they are the same.
pub fn agree(one: &Option<String>, other: &Option<String>) -> bool {
    one.as_ref().zip(other.as_ref()).is_none_or(|(one, other)| one == other)
}

/// Whether both may be about the same package: no id that both have differs.
fn may_be_of_one(known: &Told, new: &Told) -> bool {
    // Baidu's builds in development may carry a `d` before their version.
    let plain = |version: &Option<String>| version.as_ref().map(|version| version.strip_prefix('d').unwrap_or(version).to_owned());
    agree(&known.audit_id, &new.audit_id)
        && agree(&known.package_id, &new.package_id)
        && agree(&plain(&known.version), &plain(&new.version))
}

/// Whether `new` is what `known` told.
fn is_same(known: &Told, new: &Told) -> bool {
    if known.kind != new.kind || !may_be_of_one(known, new) {
        return false;
    }
    let is_not_before =
        |at: Timestamp, since: Option<Timestamp>| since.is_none_or(|since| at.saturating_add(SLACK).is_ok_and(|at| at >= since));
    let is_not_after = |at: Timestamp, end: Timestamp| end.saturating_add(SLACK).is_ok_and(|end| at <= end);
    match (known.derived, new.derived) {
        (false, false) => false,
        // One push at most, for a verdict that lies between the submission and the moment it was found. An audit ends once:
        // with its number there is no doubt.
        (true, false) => {
            let is_one_audit = known.audit_id.is_some() && known.audit_id == new.audit_id;
            // What a browser brought is told a minute later: the merchant may have granted again by then, and that push has the newer tokens.
            let end = if Subject::of(known.kind) == Some(Subject::Grant) { known.at } else { known.learnt_at };
            !known.taken && (is_one_audit || (is_not_before(new.at, known.since) && is_not_after(new.at, end)))
        }
        // By our time of receipt too: the zone of some vendors' times is nowhere stated.
        (false, true) => is_not_before(known.at, new.since) && is_not_before(known.learnt_at, new.since),
        // A list and a browser may tell of one grant. Of two ends that were found neither is dated by the vendor.
        (true, true) => {
            let is_dated_grant = new.kind == EventType::AuthorizationGranted && new.since.is_some();
            known.since == new.since || (is_dated_grant && is_not_before(known.at, new.since) && is_not_after(known.at, new.at))
        }
    }
}

/// Whether the opposite came between what was told of a grant and `new`: up to the time since which that was found to be so, or that of the
/// push; ever, where both were found and not at once. Then what was told, however close, was an earlier grant or an earlier end. `after` came
/// after it.
fn is_of_a_former_chapter(known: &Told, after: &[Told], new: &Told) -> bool {
    let end = match (known.derived, new.derived) {
        (false, true) => new.since,
        (true, false) => Some(new.at),
        (true, true) if known.since != new.since => Some(Timestamp::MAX),
        _ => None,
    };
    end.is_some_and(|end| after.iter().any(|other| other.kind != new.kind && other.at <= end))
}

/// Whether a withdrawal that was found is over by the time it is told: a merchant who granted after it was found is not gone. Both times
/// are ours.
fn is_over(known: &Told, new: &Told) -> bool {
    new.derived && (new.kind, known.kind) == (EventType::AuthorizationRevoked, EventType::AuthorizationGranted) && known.learnt_at >= new.at
}

/// Whether one of these has been told.
#[must_use]
pub fn has_ended(told: &[Told], candidates: &[Fact]) -> bool {
    candidates.iter().any(|new| told.iter().any(|known| is_same(known, &new.told)))
}

/// Whether that is what was told last of its package, whenever that was.
#[must_use]
pub fn shows_the_last(before: &[Told], kind: EventType, data: &Map<String, Value>) -> bool {
    let shown = told(kind, Some(data), Timestamp::MIN, Timestamp::MIN);
    before.iter().rfind(|known| may_be_of_one(known, &shown)).is_some_and(|known| known.kind == kind)
}
