//! Packages as Baidu lists them (5.2.2): their states, finding the one that is meant, and waiting for one that was uploaded.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::rows::Before;
use super::steps::{Errand, Learnt};
use super::{calls, read};
use crate::clock::{Timestamp, china_time};
use crate::platform::call::{ApiError, Class, Reply};
use crate::platform::loose;
use crate::platform::operation::{Caller, Earlier, LookedUp, Next, Outcome, Params};

/// Values of `status`.
pub(super) const ONLINE: i64 = 1;
pub(super) const DEVELOPMENT: i64 = 3;
pub(super) const IN_AUDIT: i64 = 4;
pub(super) const FAILED: i64 = 5;
pub(super) const APPROVED: i64 = 6;
pub(super) const ROLLING_BACK: i64 = 8;

/// Values of `upload_status`.
const UPLOADING: i64 = 1;
const UPLOAD_FAILED: i64 = 3;

/// A package appears about three seconds after its upload.
const PAUSE: Duration = Duration::from_secs(3);
/// How often it is looked for.
const MOST_POLLS: usize = 20;

type Entry = Map<String, Value>;

/// The entries of a list.
pub(super) fn entries(list: &Value) -> impl Iterator<Item = &Entry> {
    list.as_array().into_iter().flatten().filter_map(Value::as_object)
}

/// Its id, with all digits; absent while it is being made.
pub(super) fn id(entry: &Entry) -> Option<String> {
    loose::text_of(entry, &["package_id"]).map(Cow::into_owned)
}

pub(super) fn status(entry: &Entry) -> Option<i64> {
    loose::integer_of(entry, &["status"])
}

/// Its state in normal words.
pub(super) fn state(entry: &Entry) -> &'static str {
    match (id(entry).is_some(), status(entry), loose::integer_of(entry, &["upload_status"])) {
        (false, _, Some(UPLOAD_FAILED)) => "upload_failed",
        (false, _, Some(UPLOADING)) => "uploading",
        (_, Some(ONLINE), _) => "online",
        (_, Some(DEVELOPMENT), _) => "development",
        (_, Some(IN_AUDIT), _) => "in_audit",
        (_, Some(FAILED), _) => "rejected",
        (_, Some(APPROVED), _) => "approved",
        (_, Some(ROLLING_BACK), _) => "rolling_back",
        _ => "unknown",
    }
}

/// When it was made. The zone is nowhere stated; read as China Standard Time.
pub(super) fn committed_at(entry: &Entry) -> Option<Timestamp> {
    china_time(&loose::text_of(entry, &["commit_time"])?)
}

/// Builds in development may carry a `d` before their version.
fn is_version(entry: &Entry, version: &str) -> bool {
    loose::text_of(entry, &["version"]).is_some_and(|listed| listed == version || listed.strip_prefix('d') == Some(version))
}

fn states(params: &Params, before: Before) -> &'static [i64] {
    match (before, params.text("stage").as_deref()) {
        (Before::Package(states), _) => states,
        (Before::Stage, Some("audit")) => &[IN_AUDIT, APPROVED, FAILED],
        (Before::Stage, Some("current")) => &[ONLINE],
        (Before::Stage, _) => &[DEVELOPMENT],
        _ => &[],
    }
}

/// The package that is meant: the one of `package_id`, else of `version`, else the newest of the wanted states.
pub(super) fn choose<'l>(list: &'l Value, params: &Params, before: Before) -> Option<&'l Entry> {
    if !matches!(before, Before::Package(_) | Before::Stage) {
        return None;
    }
    let listed = || entries(list).filter(|entry| id(entry).is_some());
    let newest = |entry: &&Entry| id(entry).and_then(|id| id.parse::<u64>().ok());
    if let Some(wanted) = params.text("package_id") {
        return listed().find(|entry| id(entry).as_deref() == Some(&wanted));
    }
    let wanted = states(params, before);
    let right = |entry: &&Entry| status(entry).is_some_and(|status| wanted.contains(&status));
    match params.text("version") {
        // In another state too: the vendor says then what is wrong with it.
        Some(version) => {
            let named = || listed().filter(|entry| is_version(entry, &version));
            named().filter(right).max_by_key(newest).or_else(|| named().max_by_key(newest))
        }
        None => listed().filter(right).max_by_key(newest),
    }
}

/// Why no package was found.
pub(super) fn missing(params: &Params, before: Before) -> String {
    match (params.text("version"), states(params, before)) {
        (Some(version), _) => format!("no package has the version {version:?}"),
        (None, [DEVELOPMENT]) => String::from("no package is in development"),
        (None, [APPROVED]) => String::from("no package has passed its audit and waits for release"),
        (None, [ONLINE]) => String::from("no package is online"),
        (None, _) => String::from("no package is in audit"),
    }
}

/// The result of an act on a package.
pub(super) fn acted_on(learnt: &Learnt, state: &str) -> Value {
    let found = learnt.package.as_ref();
    let package_id = learnt.params.text("package_id").or_else(|| found.and_then(id));
    let version =
        found.and_then(|entry| loose::text_of(entry, &["version"])).map(Cow::into_owned).or_else(|| learnt.params.text("version"));
    let mut result = json!({"package_id": package_id, "version": version, "status": state});
    if let (Value::Object(result), Some(former)) = (&mut result, found.and_then(|entry| loose::text_of(entry, &["rollback_version"]))) {
        result.insert(String::from("rollback_version"), Value::from(former));
    }
    result
}

/// Packages of that version: ids, being made, failed.
fn of_version(list: &Value, version: &str) -> (Vec<String>, usize, usize) {
    let of = || entries(list).filter(|entry| is_version(entry, version));
    let count = |wanted: &str| of().filter(|entry| state(entry) == wanted).count();
    (of().filter_map(id).collect(), count("uploading"), count("upload_failed"))
}

/// Whether an upload that another process may have sent took place. The list of now may show its work, so only dates tell which package is its.
fn uploaded_since(list: &Value, version: &str, vendor: Value, earlier: Earlier) -> LookedUp {
    let is_new = |entry: &&Entry| committed_at(entry).map(|at| earlier.may_have_made(at));
    let of = || entries(list).filter(|entry| is_version(entry, version));
    if let Some(made) = of().find(|entry| id(entry).is_some() && is_new(entry) == Some(true)) {
        return LookedUp::Done(Box::new(Outcome { result: read::entry(made), vendor, file: None }));
    }
    if entries(list).any(|entry| state(entry) == "uploading") {
        return LookedUp::Later;
    }
    // One without a date may be it; and where somebody has gone on to another version, it would only be in the way.
    let is_doubtful = |entry: &&Entry| match state(entry) {
        "development" => is_new(entry) != Some(false),
        _ => is_version(entry, version) && id(entry).is_some() && is_new(entry).is_none(),
    };
    if entries(list).any(|entry| is_doubtful(&entry)) { LookedUp::Unknown } else { LookedUp::NotShown }
}

impl Errand<'_> {
    /// After an upload was accepted: its package is waited for.
    pub(super) fn after_upload(&self, answer: &Reply, polls: &[Reply], learnt: &Learnt, caller: Caller<'_>) -> Result<Next, ApiError> {
        self.data(answer)?;
        let again = || Ok(Next::After(PAUSE, Box::new(self.reading(calls::PACKAGES, caller))));
        let Some(newest) = polls.last() else { return again() };
        let (list, vendor) = match self.data(newest) {
            Ok(told) => told,
            // The upload was accepted; a hiccup of the list does not change that.
            Err(error) if matches!(error.class, Class::Retry | Class::RateLimited) && polls.len() < MOST_POLLS => return again(),
            Err(error) => return Err(error),
        };
        let version = learnt.params.text("version").unwrap_or_default();
        let (known, _, failed_before) = of_version(learnt.before.as_ref().unwrap_or(&Value::Null), &version);
        let of = || entries(&list).filter(|entry| is_version(entry, &version));
        let done = |entry: &Entry| Ok(Next::Done(Box::new(Outcome { result: read::entry(entry), vendor: vendor.clone(), file: None })));
        if let Some(made) = of().find(|entry| id(entry).is_some_and(|id| !known.contains(&id))) {
            return done(made);
        }
        let (_, uploading, failed) = of_version(&list, &version);
        let given_up = polls.len() >= MOST_POLLS;
        if let Some(entry) = of().find(|entry| state(entry) == "upload_failed")
            && uploading == 0
            && (failed > failed_before || given_up)
        {
            let code = loose::text_of(entry, &["upload_err_code"]).map_or_else(|| String::from("-1"), Cow::into_owned);
            let said =
                loose::words_of(entry, &["upload_err_msg", "upload_status_desc"]).unwrap_or_else(|| String::from("the upload failed"));
            return Err(self.advised(ApiError::new(Class::Refuse, code, loose::message(&said))));
        }
        if !given_up {
            return again();
        }
        match of().find(|entry| id(entry).is_some()) {
            Some(entry) => done(entry),
            None => {
                let result = json!({"package_id": null, "version": version, "status": "uploading"});
                Ok(Next::Done(Box::new(Outcome { result, vendor, file: None })))
            }
        }
    }

    /// Whether an upload, a submission, a withdrawal, a release or a rollback took place.
    pub(super) fn package_looked_up(&self, learnt: &Learnt, list: &Value, vendor: Value, earlier: Earlier) -> LookedUp {
        if self.operation.name == "package.upload" {
            let version = learnt.params.text("version").unwrap_or_default();
            if earlier.is_maybe_sent() {
                return uploaded_since(list, &version, vendor, earlier);
            }
            let before = of_version(learnt.before.as_ref().unwrap_or(&Value::Null), &version);
            let now = of_version(list, &version);
            // An upload shows in the list only after a while: that it is not there yet does not prove that it never arrived.
            return if now != before { LookedUp::Stands } else { LookedUp::Unknown };
        }
        let Ok(Some(wanted)) = self.package_id(learnt) else { return LookedUp::Unknown };
        let listed = entries(list).find(|entry| id(entry).as_deref() == Some(&wanted));
        let another_online = entries(list).any(|entry| status(entry) == Some(ONLINE) && id(entry).as_deref() != Some(&wanted));
        // A verdict is one on this submission where the package stood otherwise before it; else it may be an earlier one.
        let (was, is) = (learnt.package.as_ref().and_then(status), listed.and_then(status));
        let has_changed = was.is_some() && was != is;
        match (self.operation.name, is) {
            // What was read in this try shows an earlier try's work already. Whatever became of that one, of a package that has passed nothing is left to
            // submit; one that failed may wait for a submission that never arrived.
            ("audit.submit", Some(APPROVED | ONLINE)) if earlier.is_maybe_sent() => {
                let result = acted_on(learnt, listed.map_or("unknown", state));
                LookedUp::Done(Box::new(Outcome { result, vendor, file: None }))
            }
            ("audit.submit", Some(FAILED | APPROVED | ONLINE)) if !has_changed => LookedUp::Unknown,
            ("audit.submit", Some(IN_AUDIT | FAILED | APPROVED | ONLINE))
            | ("audit.withdraw", Some(DEVELOPMENT))
            | ("package.release", Some(ONLINE))
            | ("package.rollback", Some(ROLLING_BACK)) => LookedUp::Done(Box::new(self.outcome(&Value::Null, vendor, learnt))),
            ("package.rollback", _) if another_online => LookedUp::Done(Box::new(self.outcome(&Value::Null, vendor, learnt))),
            ("audit.submit", Some(DEVELOPMENT))
            | ("audit.withdraw", Some(IN_AUDIT | FAILED | APPROVED))
            | ("package.release", Some(APPROVED | IN_AUDIT | DEVELOPMENT))
            | ("package.rollback", Some(ONLINE)) => LookedUp::NotDone,
            _ => LookedUp::Unknown,
        }
    }
}
