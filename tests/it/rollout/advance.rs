//! The table: a test for every row, no row in another's way, and no stage from which there is no way out.

use yizhan::rollout::advance::{Effect, On, TABLE, To, advance};
use yizhan::rollout::stage::{Goal, Stage};

use Stage::{Approved, Cancelled, Failed, InAudit, Queued, Rejected, Released, Releasing, Skipped, Submitting, Uploaded, Uploading};

const LIVE: [Stage; 7] = [Queued, Uploading, Uploaded, Submitting, InAudit, Approved, Releasing];

/// Where it is, what happens, where it is then, what is done.
#[rustfmt::skip]
const ROWS: &[(Stage, On, Stage, Effect)] = &[
    (Queued,     On::Started,        Uploading,  Effect::Look),
    (Uploading,  On::Resumed,        Uploading,  Effect::Look),
    (Uploading,  On::Absent,         Uploading,  Effect::Upload),
    (Uploading,  On::Present,        Skipped,    Effect::Nothing),
    (Uploading,  On::Uploaded,       Uploaded,   Effect::Onward),
    (Uploading,  On::Stands,         Uploaded,   Effect::Onward),
    (Uploading,  On::Missing,        Uploading,  Effect::UploadAgain),
    (Uploading,  On::Built,          Uploading,  Effect::LookBack),
    (Uploaded,   On::Started,        Submitting, Effect::Submit),
    (Submitting, On::Resumed,        Submitting, Effect::Submit),
    (Submitting, On::Submitted,      InAudit,    Effect::Wait),
    (Submitting, On::Stands,         InAudit,    Effect::Ask),
    (Submitting, On::Missing,        Submitting, Effect::SubmitAgain),
    (Submitting, On::QuotaExhausted, Uploaded,   Effect::Wait),
    (InAudit,    On::Started,        InAudit,    Effect::Ask),
    (InAudit,    On::Hinted,         InAudit,    Effect::Ask),
    (InAudit,    On::NotYet,         InAudit,    Effect::Wait),
    (InAudit,    On::Delayed,        InAudit,    Effect::Wait),
    (InAudit,    On::Passed,         Approved,   Effect::Onward),
    (InAudit,    On::Rejected,       Rejected,   Effect::Nothing),
    (InAudit,    On::Withdrawn,      Failed,     Effect::Nothing),
    (InAudit,    On::Released,       Released,   Effect::Nothing),
    (Approved,   On::Started,        Releasing,  Effect::Release),
    (Approved,   On::Released,       Released,   Effect::Nothing),
    (Releasing,  On::Resumed,        Releasing,  Effect::Release),
    (Releasing,  On::Released,       Released,   Effect::Nothing),
    (Releasing,  On::Stands,         Released,   Effect::Nothing),
    (Releasing,  On::Missing,        Releasing,  Effect::ReleaseAgain),
    (Releasing,  On::NotYet,         InAudit,    Effect::Wait),
    (Releasing,  On::Rejected,       Rejected,   Effect::Nothing),
    (Releasing,  On::Withdrawn,      Failed,     Effect::Nothing),
];

/// In each of these stages, on that event, the same stage or that one, then that.
#[rustfmt::skip]
const EVERYWHERE: &[(&[Stage], On, Option<Stage>, Effect)] = &[
    (&[Uploading, Submitting, Releasing],          On::Interrupted, None,            Effect::LookBack),
    (&[Uploading, Submitting, Releasing],          On::TooSoon,     None,            Effect::Wait),
    (&[Uploading, Submitting, Releasing],          On::Unknown,     Some(Failed),    Effect::Nothing),
    (&[Uploading, Submitting, Releasing],          On::Doubtful,    None,            Effect::Wait),
    (&[Uploading, Submitting, InAudit, Releasing], On::Refused,     Some(Failed),    Effect::Nothing),
    (&[Uploading, Submitting, InAudit, Releasing], On::Unreachable, None,            Effect::Wait),
    (&[Uploading, Submitting, InAudit, Releasing], On::RateLimited, None,            Effect::Wait),
    (&[Uploading, Submitting, InAudit, Releasing], On::Blocked,     None,            Effect::Wait),
    (&[Uploading, InAudit, Releasing],             On::QuotaExhausted, None,         Effect::Wait),
    (&LIVE,                                        On::Revoked,     Some(Failed),    Effect::Nothing),
    (&LIVE,                                        On::Cancelled,   Some(Cancelled), Effect::Nothing),
];

#[test]
fn every_row_leads_where_it_should() {
    for (from, on, to, then) in ROWS {
        assert_eq!(advance(*from, *on, None), Some((*to, *then)), "{from:?} {on:?}");
    }
    for (stages, on, to, then) in EVERYWHERE {
        for from in *stages {
            assert_eq!(advance(*from, *on, None), Some((to.unwrap_or(*from), *then)), "{from:?} {on:?}");
        }
    }
    for stopped_at in LIVE {
        assert_eq!(advance(Failed, On::Retried, Some(stopped_at)), Some((stopped_at, Effect::Onward)));
    }
    assert_eq!(advance(Failed, On::Retried, None), Some((Queued, Effect::Onward)));
    assert_eq!(advance(Cancelled, On::Sought, Some(Releasing)), Some((Releasing, Effect::Onward)));
}

#[test]
fn the_table_holds_nothing_but_what_is_tested() {
    let mut tested: Vec<(Stage, On)> = ROWS.iter().map(|(from, on, ..)| (*from, *on)).collect();
    tested.extend(EVERYWHERE.iter().flat_map(|(stages, on, ..)| stages.iter().map(|from| (*from, *on))));
    tested.extend([(Failed, On::Retried), (Cancelled, On::Sought)]);
    for row in TABLE {
        for from in row.from {
            assert!(tested.contains(&(*from, row.on)), "no test has {from:?} {:?}", row.on);
        }
    }
    let held: usize = TABLE.iter().map(|row| row.from.len()).sum();
    assert_eq!(held, tested.len(), "a test has what is in no row");
    for stage in Stage::ALL {
        for row in TABLE {
            let same = TABLE.iter().filter(|other| other.on == row.on && other.from.contains(&stage)).count();
            assert!(same <= 1, "{stage:?} {:?} stands in {same} rows", row.on);
        }
    }
}

#[test]
fn what_is_over_stays_over() {
    for stage in [Released, Rejected, Skipped] {
        assert!(stage.is_final());
        assert!(TABLE.iter().all(|row| advance(stage, row.on, None).is_none()), "{stage:?}");
    }
    let out_of = |stage: Stage| TABLE.iter().map(|row| row.on).filter(|on| advance(stage, *on, None).is_some()).collect::<Vec<On>>();
    assert_eq!(out_of(Failed), [On::Retried], "only a person brings a failed one back");
    assert_eq!(out_of(Cancelled), [On::Sought], "only a rollback looks for what came of a cancelled one");
}

#[test]
fn nothing_is_released_but_what_was_approved_and_nothing_submitted_but_what_was_uploaded() {
    for row in TABLE {
        for from in row.from {
            if matches!(row.then, Effect::Release | Effect::ReleaseAgain) {
                assert!(matches!(from, Approved | Releasing), "{row:?}");
            }
            if matches!(row.then, Effect::Submit | Effect::SubmitAgain) {
                assert!(matches!(from, Uploaded | Submitting), "{row:?}");
            }
            if matches!(row.then, Effect::Upload | Effect::UploadAgain) {
                assert!(*from == Uploading, "{row:?}");
            }
            // A deed is repeated only after a look at the platform.
            if matches!(row.then, Effect::UploadAgain | Effect::SubmitAgain | Effect::ReleaseAgain) {
                assert_eq!(row.on, On::Missing, "{row:?}");
            }
        }
        if row.to == To::Stage(Approved) {
            assert_eq!((row.from, row.on), (&[InAudit][..], On::Passed));
        }
    }
}

#[test]
fn a_goal_is_reached_at_its_stage() {
    let over = |goal: Goal| Stage::ALL.into_iter().filter(|stage| goal.is_reached(*stage)).collect::<Vec<_>>();
    assert_eq!(over(Goal::Uploaded), [Uploaded]);
    assert_eq!(over(Goal::InAudit), [InAudit, Approved, Released]);
    assert_eq!(over(Goal::Released), [Released]);
    assert!(Stage::ALL.into_iter().filter(|stage| stage.is_final()).all(|stage| Goal::Uploaded.is_over(stage)));
}
