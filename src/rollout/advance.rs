//! What follows from what happened: [`TABLE`], a pure table from a stage and an event in it to the next stage and the next effect.
//!
//! Asked by the worker after every effect and for every event; the worker decides only *when* (turns, windows, pauses). A pair that is in no
//! row changes nothing: news of something that is over.

use super::stage::Stage;

/// What happened to one authorizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    /// Its turn came: it may leave a stage in which it waits.
    Started,
    /// It is taken up again in the middle of a step of which nothing was sent, or nothing that took effect.
    Resumed,
    /// It is taken up again, and a deed was begun of which nobody knows what came.
    Interrupted,
    /// The platform has no such version, as it should be before the upload.
    Absent,
    /// The platform has such a version, and this rollout did not make it.
    Present,
    /// The deed that was begun shows at the platform.
    Stands,
    /// The deed that was begun does not show, and it would by now.
    Missing,
    /// It does not show yet, or is not finished.
    TooSoon,
    /// An event came that says how the making of the package ended.
    Built,
    /// The package was made.
    Uploaded,
    /// The auditors took it.
    Submitted,
    /// It passed.
    Passed,
    /// The auditors said no.
    Rejected,
    /// The audit takes longer than usual.
    Delayed,
    /// Still in audit.
    NotYet,
    /// An event came that does not say which version it is about.
    Hinted,
    /// It is no longer in audit although nobody decided: somebody withdrew it.
    Withdrawn,
    /// It is online.
    Released,
    /// The platform refused for good.
    Refused,
    /// A deed was sent, its outcome could not be learnt, and the platform, asked again, does not tell.
    Unknown,
    /// A deed was sent, its outcome could not be learnt, and asking later may tell.
    Doubtful,
    /// Nobody could be reached, or the platform is in trouble; nothing took effect.
    Unreachable,
    /// The platform was asked too often.
    RateLimited,
    /// The platform's quota is used up.
    QuotaExhausted,
    /// Something that only an operator can mend: the rollout stops.
    Blocked,
    /// The merchant withdrew the grant.
    Revoked,
    /// A person ended the rollout.
    Cancelled,
    /// A person wants a failed one tried again.
    Retried,
    /// A person wants back what was released, and one was cancelled while its release was in doubt.
    Sought,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing, for good.
    Nothing,
    /// Nothing until its time comes, or an event does.
    Wait,
    /// The next turn, if the rollout goes further than this.
    Onward,
    /// Ask whether the platform has the version, before anything is done.
    Look,
    /// Ask what came of a deed that was begun.
    LookBack,
    /// Set the domains that a version is built with, then make the package.
    Upload,
    /// Make it although that was begun before: the platform's record is asked first.
    UploadAgain,
    /// Set the other domains, then hand it to the auditors.
    Submit,
    /// Hand it in although that was begun before.
    SubmitAgain,
    /// Ask where the audit stands.
    Ask,
    /// Confirm that this version passed, then put it online.
    Release,
    /// Put it online although that was begun before.
    ReleaseAgain,
}

impl Effect {
    /// Whether it is a deed that must not be done twice.
    #[must_use]
    pub const fn is_deed(self) -> bool {
        matches!(self, Self::Upload | Self::UploadAgain | Self::Submit | Self::SubmitAgain | Self::Release | Self::ReleaseAgain)
    }

    /// Whether it needs the merchant's variables.
    #[must_use]
    pub const fn says_words(self) -> bool {
        matches!(self, Self::Upload | Self::UploadAgain | Self::Submit | Self::SubmitAgain)
    }
}

/// The stage afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// That one.
    Stage(Stage),
    /// The same.
    Same,
    /// The one in which it failed or was cancelled.
    WhereItStopped,
}

/// One row: in one of these stages, on that event, to that stage, then that effect.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// In one of these.
    pub from: &'static [Stage],
    /// When this happens.
    pub on: On,
    /// It goes there.
    pub to: To,
    /// And this is done.
    pub then: Effect,
}

const fn row(from: &'static [Stage], on: On, to: Stage, then: Effect) -> Row {
    Row { from, on, to: To::Stage(to), then }
}

const fn stay(from: &'static [Stage], on: On, then: Effect) -> Row {
    Row { from, on, to: To::Same, then }
}

const QUEUED: &[Stage] = &[Stage::Queued];
const UPLOADING: &[Stage] = &[Stage::Uploading];
const UPLOADED: &[Stage] = &[Stage::Uploaded];
const SUBMITTING: &[Stage] = &[Stage::Submitting];
const IN_AUDIT: &[Stage] = &[Stage::InAudit];
const APPROVED: &[Stage] = &[Stage::Approved];
const RELEASING: &[Stage] = &[Stage::Releasing];
const WORKING: &[Stage] = &[Stage::Uploading, Stage::Submitting, Stage::Releasing];
/// Stages in which a platform is asked or told something.
const CALLING: &[Stage] = &[Stage::Uploading, Stage::Submitting, Stage::InAudit, Stage::Releasing];
/// The same without the one that goes back to wait for a quota.
const CALLING_BUT_SUBMITTING: &[Stage] = &[Stage::Uploading, Stage::InAudit, Stage::Releasing];
const LIVE: &[Stage] =
    &[Stage::Queued, Stage::Uploading, Stage::Uploaded, Stage::Submitting, Stage::InAudit, Stage::Approved, Stage::Releasing];

/// All of it.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    // The package is made, unless the platform has that version already.
    row(QUEUED,     On::Started,        Stage::Uploading,  Effect::Look),
    stay(UPLOADING, On::Resumed,                           Effect::Look),
    stay(UPLOADING, On::Absent,                            Effect::Upload),
    row(UPLOADING,  On::Present,        Stage::Skipped,    Effect::Nothing),
    row(UPLOADING,  On::Uploaded,       Stage::Uploaded,   Effect::Onward),
    row(UPLOADING,  On::Stands,         Stage::Uploaded,   Effect::Onward),
    stay(UPLOADING, On::Missing,                           Effect::UploadAgain),
    stay(UPLOADING, On::Built,                             Effect::LookBack),

    // It is handed to the auditors.
    row(UPLOADED,   On::Started,        Stage::Submitting, Effect::Submit),
    stay(SUBMITTING, On::Resumed,                          Effect::Submit),
    row(SUBMITTING, On::Submitted,      Stage::InAudit,    Effect::Wait),
    row(SUBMITTING, On::Stands,         Stage::InAudit,    Effect::Ask),
    stay(SUBMITTING, On::Missing,                          Effect::SubmitAgain),
    row(SUBMITTING, On::QuotaExhausted, Stage::Uploaded,   Effect::Wait),

    // The audit: events and questions tell the same.
    stay(IN_AUDIT,  On::Started,                           Effect::Ask),
    stay(IN_AUDIT,  On::Hinted,                            Effect::Ask),
    stay(IN_AUDIT,  On::NotYet,                            Effect::Wait),
    stay(IN_AUDIT,  On::Delayed,                           Effect::Wait),
    row(IN_AUDIT,   On::Passed,         Stage::Approved,   Effect::Onward),
    row(IN_AUDIT,   On::Rejected,       Stage::Rejected,   Effect::Nothing),
    row(IN_AUDIT,   On::Withdrawn,      Stage::Failed,     Effect::Nothing),
    row(IN_AUDIT,   On::Released,       Stage::Released,   Effect::Nothing),

    // It is put online, after the platform has confirmed that this version passed.
    row(APPROVED,   On::Started,        Stage::Releasing,  Effect::Release),
    row(APPROVED,   On::Released,       Stage::Released,   Effect::Nothing),
    stay(RELEASING, On::Resumed,                           Effect::Release),
    row(RELEASING,  On::Released,       Stage::Released,   Effect::Nothing),
    row(RELEASING,  On::Stands,         Stage::Released,   Effect::Nothing),
    stay(RELEASING, On::Missing,                           Effect::ReleaseAgain),
    row(RELEASING,  On::NotYet,         Stage::InAudit,    Effect::Wait),
    row(RELEASING,  On::Rejected,       Stage::Rejected,   Effect::Nothing),
    row(RELEASING,  On::Withdrawn,      Stage::Failed,     Effect::Nothing),

    // What may happen in every step.
    stay(WORKING,   On::Interrupted,                       Effect::LookBack),
    stay(WORKING,   On::TooSoon,                           Effect::Wait),
    row(WORKING,    On::Unknown,        Stage::Failed,     Effect::Nothing),
    stay(WORKING,   On::Doubtful,                          Effect::Wait),
    row(CALLING,    On::Refused,        Stage::Failed,     Effect::Nothing),
    stay(CALLING,   On::Unreachable,                       Effect::Wait),
    stay(CALLING,   On::RateLimited,                       Effect::Wait),
    stay(CALLING,   On::Blocked,                           Effect::Wait),
    // An upload that submits at once meets with the quota too (Baidu 5.2.1).
    stay(CALLING_BUT_SUBMITTING, On::QuotaExhausted,       Effect::Wait),

    // What may happen at any time, and what a person decides.
    row(LIVE,       On::Revoked,        Stage::Failed,     Effect::Nothing),
    row(LIVE,       On::Cancelled,      Stage::Cancelled,  Effect::Nothing),
    Row { from: &[Stage::Failed], on: On::Retried, to: To::WhereItStopped, then: Effect::Onward },
    Row { from: &[Stage::Cancelled], on: On::Sought, to: To::WhereItStopped, then: Effect::Onward },
];

/// The stage and the effect that follow; `None`: nothing changes. `stopped_at` is the stage in which it failed or
/// was cancelled, where it was.
#[must_use]
pub fn advance(stage: Stage, on: On, stopped_at: Option<Stage>) -> Option<(Stage, Effect)> {
    let row = TABLE.iter().find(|row| row.on == on && row.from.contains(&stage))?;
    let to = match row.to {
        To::Stage(to) => to,
        To::Same => stage,
        To::WhereItStopped => stopped_at.unwrap_or(Stage::Queued),
    };
    Some((to, row.then))
}
