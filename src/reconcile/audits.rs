//! Audits (and builds) that should have ended: each is asked for, first a while after its submission, then with growing pauses.
//!
//! What a push has told meanwhile is not asked for. An end that was found is an event before its submission is forgotten, so a process that
//! dies between the two finds it again, and the log knows it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Map, Value, json};

use super::book::{Awaited, Place, Submission};
use super::{Corner, Reconcile, Report};
use crate::clock::{SLACK, Timestamp};
use crate::event_type::EventType;
use crate::inbox::fact::{self, Fact, Subject};
use crate::inbox::{Finding, LogError};
use crate::operations::OperationError;
use crate::platform::looks::{AuditLook, Stand};
use crate::platform::loose;
use crate::vault::VaultError;

/// Submissions of one look.
const MOST: usize = 2000;

/// Questions under way at a time per component, so that a slow vendor is not made slower.
const AT_A_TIME: usize = 4;

/// What became of one submission.
enum Became {
    /// It was known by now.
    Told,
    /// It was found, and is an event.
    Found,
    /// It goes on, as far as can be told.
    Open,
    /// It is one of which nobody knew whether it took place, and its audit goes on: it did.
    Seen,
    /// It was taken back, or never took place.
    TakenBack,
    /// Nobody waits for it any more.
    GivenUp,
    /// The merchant withdrew, and with that nobody may ask. It is kept for one that comes back while its audit goes on; that it cannot be asked for is no
    /// error, which would hide others and leave the look incomplete until it is given up.
    Withdrawn,
    /// The vendor could not be asked.
    Unasked(OperationError),
    /// The store did not take it.
    Unstored(LogError),
}

/// What the vendor's answer says of a submission.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It ended: the type of event, its normal fields, when (where the vendor says), and not before when.
    Ended {
        /// Type.
        kind: EventType,
        /// Normal fields.
        data: Map<String, Value>,
        /// The vendor's time of the end.
        at: Option<Timestamp>,
        /// The vendor's time of the submission, where it is later than what we know.
        since: Timestamp,
    },
    /// It goes on.
    InAudit,
    /// The answer does not show it.
    Open,
    /// It was taken back.
    TakenBack,
}

impl Reconcile {
    /// Asks for those that are due; for all that wait, when a person asked.
    pub(super) async fn audits(&self, corner: &Corner, all: bool) -> Report {
        let name = corner.component.name();
        let Some(look) = corner.component.audit_look() else { return Report::default() };
        let by = if all { Timestamp::MAX } else { self.clock.now() };
        let due = self.book.due(name, by, self.furthest(self.clock.now()), MOST);
        let mut report = Report::default();
        let mut asking = futures_util::stream::iter(due)
            .map(|(place, submission)| async move {
                let became = self.ask(corner, look, &place, &submission).await;
                (place, submission, became)
            })
            .buffer_unordered(AT_A_TIME);
        while let Some((place, submission, became)) = asking.next().await {
            report.asked += u64::from(!matches!(became, Became::Told | Became::GivenUp | Became::Withdrawn));
            let keep = match became {
                Became::Found => {
                    report.found += 1;
                    None
                }
                Became::Told | Became::TakenBack => None,
                Became::GivenUp => {
                    tracing::warn!(component = name, authorizer = place.authorizer, submitted_at = %submission.submitted_at, "the end of a submission is not waited for any more");
                    None
                }
                Became::Open | Became::Withdrawn => Some(self.later(&submission)),
                Became::Seen => Some(Submission { seen_in_audit: true, ..self.later(&submission) }),
                Became::Unasked(error) => {
                    report.error.get_or_insert(format!("{}: {error}", place.authorizer));
                    Some(self.later(&submission))
                }
                Became::Unstored(error) => {
                    report.error.get_or_insert(error.to_string());
                    continue;
                }
            };
            if let Err(error) = self.book.replace(name, &place, &submission, keep).await {
                report.error.get_or_insert(error.to_string());
            }
        }
        report
    }

    /// The same submission, due after a pause that grows with every look.
    fn later(&self, submission: &Submission) -> Submission {
        let looks = submission.looks.saturating_add(1);
        let pause = self.options.audit_after.saturating_mul(1 << looks.saturating_sub(1).min(16));
        let pause = pause.min(self.options.audit_longest_pause).max(Duration::from_secs(60));
        let next_look_at = self.clock.now().checked_add(pause).unwrap_or(Timestamp::MAX);
        Submission { looks, next_look_at, ..submission.clone() }
    }

    async fn ask(&self, corner: &Corner, look: AuditLook, place: &Place, submission: &Submission) -> Became {
        let name = corner.component.name();
        let authorizer = place.authorizer.as_str();
        let subject = match submission.awaited {
            Awaited::Audit => Subject::Audit,
            Awaited::Build => Subject::Build,
            Awaited::Profile => Subject::Profile,
        };
        let told = match self.ledger.told(name, authorizer, subject).await {
            Ok(told) if fact::has_ended(&told, &candidates(authorizer, submission, self.clock.now())) => return Became::Told,
            Ok(told) => told,
            Err(error) => return Became::Unstored(error),
        };
        let over = submission.submitted_at.checked_add(self.options.audit_give_up).unwrap_or(Timestamp::MAX);
        if over <= self.clock.believed() {
            return Became::GivenUp;
        }
        let (operation, by_version) = match (submission.awaited, look.build, corner.component.profile_look()) {
            (Awaited::Build, Some(build), _) => (build, true),
            (Awaited::Profile, _, Some(profile)) => (profile.operation, false),
            _ => (look.operation, look.by_version),
        };
        let _asking = self.book.asks(name, authorizer);
        let params: Map<String, Value> =
            submission.version.iter().filter(|_| by_version).map(|version| (String::from("version"), json!(version))).collect();
        let outcome = match self.desk.carry_out(name, Some(authorizer), operation, params).await {
            Ok(outcome) => outcome,
            Err(OperationError::Vault(VaultError::Revoked { .. })) => return Became::Withdrawn,
            Err(error) => return Became::Unasked(error),
        };
        let is_in_doubt = place.is_in_doubt() && !submission.seen_in_audit;
        match read(look, submission, &outcome.result) {
            // Else it is another that is in audit, and its end is told as that one's.
            Answer::InAudit if is_in_doubt && !self.book.accepted(name, authorizer).iter().any(|(_, other)| other.may_be(submission)) => {
                Became::Seen
            }
            Answer::InAudit | Answer::Open => Became::Open,
            Answer::TakenBack => Became::TakenBack,
            // It may never have taken place, and then the vendor still shows the verdict on an earlier one. Without a time of that nothing tells them apart.
            Answer::Ended { kind, data, at: None, .. } if is_in_doubt && fact::shows_the_last(&told, kind, &data) => Became::Open,
            Answer::Ended { kind, data, at, since } => {
                let at = at.unwrap_or_else(|| self.clock.now());
                let finding = Finding { authorizer, kind, data, asked: operation, vendor: outcome.vendor, at, since: Some(since) };
                match self.inbox.derive(corner.component.as_ref(), finding).await {
                    Ok(Some(_)) => Became::Found,
                    Ok(None) => Became::Told,
                    Err(error) => Became::Unstored(error),
                }
            }
        }
    }
}

/// What its end would be, either way.
fn candidates(authorizer: &str, submission: &Submission, now: Timestamp) -> Vec<Fact> {
    let kinds = match submission.awaited {
        Awaited::Audit => [EventType::AuditPassed, EventType::AuditFailed],
        Awaited::Build => [EventType::BuildSucceeded, EventType::BuildFailed],
        Awaited::Profile => [EventType::ProfilePassed, EventType::ProfileFailed],
    };
    let data = ids(submission);
    kinds.into_iter().filter_map(|kind| Fact::found(authorizer, kind, &data, now, Some(submission.submitted_at), now)).collect()
}

fn ids(submission: &Submission) -> Map<String, Value> {
    let ids = [("version", &submission.version), ("package_id", &submission.package_id), ("audit_id", &submission.audit_id)];
    ids.into_iter().filter_map(|(name, id)| Some((name.to_owned(), json!(id.as_ref()?)))).collect()
}

type Members = Map<String, Value>;

fn text(item: &Members, name: &str) -> Option<String> {
    loose::words_of(item, &[name])
}

/// What the answer says of that submission. Pure.
#[must_use]
pub fn read(look: AuditLook, submission: &Submission, result: &Value) -> Answer {
    match submission.awaited {
        Awaited::Audit => {}
        Awaited::Build => return built(submission, result),
        Awaited::Profile => return changed(submission, result),
    }
    let items: Vec<&Members> = match result.get("items").and_then(Value::as_array) {
        Some(items) => items.iter().filter_map(Value::as_object).collect(),
        None => result.as_object().into_iter().collect(),
    };
    let Some(item) = chosen(look, submission, &items) else { return Answer::Open };
    let failed_hosts = item.get("hosts_failed").and_then(Value::as_array).is_some_and(|hosts| !hosts.is_empty());
    let kind = match Stand::of(item.get("status").and_then(Value::as_str).unwrap_or_default()) {
        Stand::InAudit => return Answer::InAudit,
        Stand::Unknown => return Answer::Open,
        // A submission whose answer never came may not have taken place; one that did was taken back.
        Stand::TakenBack => return Answer::TakenBack,
        // As in the push: one rejected host makes the whole a failure, so that nothing is released by mistake.
        Stand::Passed if failed_hosts => EventType::AuditFailed,
        Stand::Passed => EventType::AuditPassed,
        Stand::Failed => EventType::AuditFailed,
    };
    let mut data = Members::new();
    for (name, known) in [("version", &submission.version), ("package_id", &submission.package_id), ("audit_id", &submission.audit_id)] {
        if let Some(id) = known.clone().or_else(|| text(item, name)) {
            data.insert(name.to_owned(), Value::from(id));
        }
    }
    if let Some(reason) = text(item, "reason").filter(|reason| kind == EventType::AuditFailed && !reason.is_empty()) {
        data.insert(String::from("reason"), Value::from(reason));
    }
    let of = |name: &str, status: &str| -> Vec<Value> {
        let hosts = item.get(name).and_then(Value::as_array).into_iter().flatten();
        hosts.map(|host| json!({"host": host, "status": status})).collect()
    };
    let hosts = [of("hosts_passed", "passed"), of("hosts_failed", "failed")].concat();
    if !hosts.is_empty() {
        data.insert(String::from("hosts"), Value::from(hosts));
    }
    let moment = |name: &str| text(item, name).and_then(|at| at.parse::<Timestamp>().ok());
    let at = moment("audited_at");
    // What ended before the submission is an earlier audit, and was told as that one's end: of this one nothing shows yet.
    if at.is_some_and(|at| at.saturating_add(SLACK).is_ok_and(|at| at < submission.submitted_at)) {
        return Answer::Open;
    }
    // Where the vendor's submission is a later one than ours, somebody submitted again elsewhere.
    let since = moment("submitted_at").map_or(submission.submitted_at, |at| at.max(submission.submitted_at));
    Answer::Ended { kind, data, at, since }
}

/// The item that is about the submission: by package, else by version in the stage of audits, else by version alone (a package that was
/// released has left that stage).
fn chosen<'i>(look: AuditLook, submission: &Submission, items: &[&'i Members]) -> Option<&'i Members> {
    let is_version = |item: &&&Members| match (&submission.version, text(item, "version")) {
        (Some(ours), Some(listed)) => listed == *ours || listed.strip_prefix('d') == Some(ours),
        (None, _) => true,
        (Some(_), None) => false,
    };
    if let Some(package_id) = &submission.package_id {
        return items.iter().find(|item| text(item, "package_id").as_ref() == Some(package_id)).copied();
    }
    let is_audit = |item: &&&Members| item.get("stage").and_then(Value::as_str) == Some("audit");
    match look.has_stages {
        true => {
            let in_stage = items.iter().find(|item| is_audit(item) && is_version(item));
            let released = || items.iter().filter(|_| submission.version.is_some()).find(|item| is_released(item) && is_version(item));
            in_stage.or_else(released).copied()
        }
        // Neither package nor version: nothing in a list of many could be told to be it.
        false if submission.version.is_none() && items.len() > 1 => None,
        false => items.iter().find(is_version).copied(),
    }
}

fn is_released(item: &Members) -> bool {
    item.get("stage").and_then(Value::as_str) == Some("current")
}

/// A change that is in force was approved. That it is not says nothing: it may be in audit, or refused.
fn changed(submission: &Submission, result: &Value) -> Answer {
    let plain = |value: Option<&Value>| value.and_then(Value::as_str).map(|text| text.trim().to_owned());
    let shows = |(name, wanted): (&String, &Value)| plain(result.get(name)).is_some_and(|shown| Some(shown) == plain(Some(wanted)));
    if submission.wanted.is_empty() || !submission.wanted.iter().all(shows) {
        return Answer::Open;
    }
    let fields: Vec<&str> = submission.wanted.keys().map(String::as_str).collect();
    let data = Members::from_iter([(String::from("field"), Value::from(fields.join(", ")))]);
    Answer::Ended { kind: EventType::ProfilePassed, data, at: None, since: submission.submitted_at }
}

fn built(submission: &Submission, result: &Value) -> Answer {
    let word = result.get("status").and_then(Value::as_str).unwrap_or_default();
    let (kind, reason) = match word {
        "created" => (EventType::BuildSucceeded, None),
        "failed" => (EventType::BuildFailed, Some("the platform could not build the version")),
        "timed_out" => (EventType::BuildFailed, Some("the platform gave up building the version")),
        _ => return Answer::Open,
    };
    let mut data = ids(submission);
    data.extend(reason.map(|reason| (String::from("reason"), Value::from(reason))));
    Answer::Ended { kind, data, at: None, since: submission.submitted_at }
}

/// So long must a version be in audit by what we heard before it is taken for a submission that nobody noted.
pub(super) async fn adopt(reconcile: &Arc<Reconcile>, corner: &Corner) -> Result<(), LogError> {
    const PAGE: usize = 500;
    let component = corner.component.as_ref();
    if component.audit_look().is_none() {
        return Ok(());
    }
    let mut after: Option<String> = None;
    loop {
        let page = reconcile.versions.page(component.name(), after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(app_id, _)| app_id.clone());
        for (app_id, versions) in page {
            let Some(note) = versions.in_audit else { continue };
            let next_look_at = note.at.checked_add(reconcile.options.audit_after).unwrap_or(Timestamp::MAX);
            let submission = Submission {
                awaited: Awaited::Audit,
                version: note.version,
                package_id: note.package_id,
                audit_id: note.audit_id,
                wanted: Map::new(),
                submitted_at: note.at,
                seen_in_audit: false,
                looks: 0,
                next_look_at,
            };
            reconcile.book.adopt(component, &app_id, submission).await?;
        }
        if is_last {
            return Ok(());
        }
    }
}
