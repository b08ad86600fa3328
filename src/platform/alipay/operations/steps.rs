//! What comes after which answer. Most rows are one call; an upload waits for its build, a trial code for its package, and the rules of
//! ordinary QR codes come in pages.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::content::{number, text};
use super::super::errors;
use super::{Node, Task, read, request};
use crate::platform::call::{ApiError, Class, Reply};
use crate::platform::operation::{Caller, Next, Outcome};

pub const UPLOAD: &str = "alipay.open.mini.version.upload";
pub const BUILD: &str = "alipay.open.mini.version.build.query";
pub const TRIAL: &str = "alipay.open.mini.experience.query";
pub const RULES: &str = "alipay.open.mini.qrcode.query";

/// Refusals that say that what was wanted is so already (Alipay 5.16, "treat as success"): operation and codes, in both spellings.
const ALREADY: &[(&str, &[&str])] = &[
    ("member.add", &["EXPERIENCER_ALREADY_EXIST", "EXPERIENCER_ALREADY_EXSIT", "DEVELOPER_ALREADY_EXSIT", "DEVELOPER_ALREADY_EXIST"]),
    ("safe_domain.add", &["SAFEDOMAIN_EXSIT", "SAFEDOMAIN_EXIST"]),
    ("trial.create", &["CAN_NOT_SET_EXP_REPEAT"]),
    ("trial.qrcode", &["CAN_NOT_SET_EXP_REPEAT"]),
];

/// Questions after a state that is on its way; then the operation ends with the state it saw last.
const MOST_POLLS: usize = 45;
/// The first of them come this often, and then every [`LATER`].
const SOON: Duration = Duration::from_secs(3);
const LATER: Duration = Duration::from_secs(5);
const SOON_POLLS: usize = 10;

/// Pages of rules that are asked for at most; twenty rules are two pages.
const MOST_PAGES: usize = 10;

/// The next step.
pub fn next(task: Task<'_>, replies: &[&Reply], caller: Caller<'_>) -> Next {
    let Some((first, later)) = replies.split_first() else {
        return Next::Call(Box::new(match task.operation.name {
            "qrcode_rule.list" => request::rules(task, 1, caller),
            _ => request::call(task, caller),
        }));
    };
    let step = match task.operation.name {
        "package.upload" => upload(task, first, later, caller),
        "trial.qrcode" => trial(task, first, later, caller),
        "qrcode_rule.list" => rules(task, replies, caller),
        _ => answered(task, first).map(|outcome| Next::Done(Box::new(outcome))),
    };
    step.unwrap_or_else(Next::Refused)
}

/// The outcome of an operation that is one call.
fn answered(task: Task<'_>, reply: &Reply) -> Result<Outcome, ApiError> {
    let node = task.node(&task.operation.path, reply)?;
    match errors::accepted(node.clone()) {
        Ok(node) => Ok(read::outcome(task.operation, task.params, node)),
        Err(error) if is_already(task.operation.name, &error) => {
            Ok(Outcome { result: json!({"already": true}), ..read::outcome(task.operation, task.params, node) })
        }
        Err(error) => Err(error),
    }
}

fn is_already(operation: &str, error: &ApiError) -> bool {
    ALREADY.iter().any(|(name, codes)| *name == operation && codes.contains(&error.code.as_str()))
}

fn poll_after(polls: usize) -> Duration {
    if polls < SOON_POLLS { SOON } else { LATER }
}

/// Where a build stands (Alipay 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    Queued,
    Building,
    Created,
    Failed,
    TimedOut,
}

impl Build {
    /// Reads an answer about a build.
    pub fn of(node: &Node) -> Self {
        let status = |name: &str| text(node, name).unwrap_or_default();
        let (build, create) = (status("build_status"), status("create_status"));
        let is = |value: &str| build == value || create == value;
        match () {
            () if create == "6" || read::flag(node.get("version_created")) == Some(true) => Self::Created,
            () if is("3") => Self::Failed,
            () if is("5") => Self::TimedOut,
            () if build == "0" && create == "0" => Self::Queued,
            () => Self::Building,
        }
    }

    /// Its normal name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Building => "building",
            Self::Created => "created",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

fn upload(task: Task<'_>, first: &Reply, polls: &[&Reply], caller: Caller<'_>) -> Result<Next, ApiError> {
    let node = match polls.last() {
        Some(last) => task.accepted(BUILD, last)?,
        // When the upload's own answer was lost, that of a question about the build stands here.
        None => task.accepted(UPLOAD, first).or_else(|error| match error.code.as_str() {
            "unreadable" => task.accepted(BUILD, first).map_err(|_| error),
            _ => Err(error),
        })?,
    };
    let refused = |code: &str, words: &str| ApiError {
        advice: Some("upload again with a greater version; the console shows the log of the build"),
        ..ApiError::new(Class::Refuse, code, words)
    };
    match Build::of(&node) {
        Build::Failed => Err(refused("build-failed", "the platform could not build the version")),
        Build::TimedOut => Err(refused("build-timed-out", "the platform gave up building the version")),
        Build::Queued | Build::Building if polls.len() < MOST_POLLS => {
            Ok(Next::After(poll_after(polls.len()), Box::new(request::about_version(task, BUILD, caller))))
        }
        _ => Ok(Next::Done(Box::new(read::outcome(task.operation, task.params, node)))),
    }
}

fn trial(task: Task<'_>, first: &Reply, polls: &[&Reply], caller: Caller<'_>) -> Result<Next, ApiError> {
    let question = || Box::new(request::about_version(task, TRIAL, caller));
    let Some(last) = polls.last() else {
        answered(task, first)?;
        return Ok(Next::Ask(question()));
    };
    let node = task.accepted(TRIAL, last)?;
    let is_ready = read::trial_word(&text(&node, "status").unwrap_or_default()) == "ready";
    match is_ready || polls.len() > MOST_POLLS {
        true => Ok(Next::Done(Box::new(read::outcome(task.operation, task.params, node)))),
        false => Ok(Next::After(poll_after(polls.len()), question())),
    }
}

fn rules(task: Task<'_>, pages: &[&Reply], caller: Caller<'_>) -> Result<Next, ApiError> {
    let nodes = pages.iter().map(|page| task.accepted(RULES, page)).collect::<Result<Vec<_>, _>>()?;
    let on_page = |node: &Node| node.get("qr_code_route_groups").and_then(Value::as_array).map(Vec::len).unwrap_or_default();
    let seen: usize = nodes.iter().map(on_page).sum();
    let total = nodes.last().and_then(|node| number(node, "total_items"));
    let goes_on =
        total.is_some_and(|total| i64::try_from(seen).is_ok_and(|seen| seen < total)) && nodes.last().is_some_and(|node| on_page(node) > 0);
    if goes_on && pages.len() < MOST_PAGES {
        return Ok(Next::Ask(Box::new(request::rules(task, pages.len() + 1, caller))));
    }
    let pages: Vec<Outcome> = nodes.into_iter().map(|node| read::outcome(task.operation, task.params, node)).collect();
    let items: Vec<Value> = pages.iter().filter_map(|page| page.result.get("items")?.as_array()).flatten().cloned().collect();
    let vendor = pages.into_iter().map(|page| page.vendor).collect();
    Ok(Next::Done(Box::new(Outcome { result: json!({"items": items, "total": total}), vendor: Value::Array(vendor), file: None })))
}
