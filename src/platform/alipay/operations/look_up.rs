//! What became of a call whose answer was lost (Alipay 6: before repeating a write, query the state).
//!
//! Every `Once` row has a question here. What the question cannot tell stays unknown: the desk asks again and then says so.

use serde_json::{Value, json};

use super::super::content::{number, text};
use super::super::errors;
use super::rows::versions::STATES;
use super::steps::{BUILD, RULES, TRIAL};
use super::{Node, Task, read, request};
use crate::platform::call::{Call, Reply};
use crate::platform::loose;
use crate::platform::operation::{Caller, Earlier, LookedUp, Outcome};

const DETAIL: &str = "alipay.open.mini.version.detail.query";
const LIST: &str = "alipay.open.mini.version.list.query";
const MEMBERS: &str = "alipay.open.app.members.query";
const PROFILE: &str = "alipay.open.mini.baseinfo.query";

/// How an operation shows.
enum Trace {
    /// By the state of its version: in one of the first it took place, in one of the second it did not.
    State(&'static [&'static str], &'static [&'static str]),
    /// By the state of its version, and where that is the end of an audit by when it was handed in for it.
    Submitted,
    /// By the build of its version.
    Build,
    /// By the versions in development: when the version is gone from them, it took place.
    Deleted,
    /// By the state of the version that was in audit, which the parameters need not name: an audit that has just ended leaves the list of
    /// those in audit too.
    Withdrawn,
    /// By the trial version.
    TrialEnded,
    /// By the members of the role.
    MemberGone,
    /// By the rules of ordinary QR codes.
    RuleBound,
    RuleGone,
    /// By the base information.
    Profile,
}

const AUDITED: &[&str] = &["AUDIT_REJECT", "WAIT_RELEASE", "BASE_AUDIT_PASS", "PROMOTE_AUDIT_REJECT"];
const PASSED: &[&str] = &["WAIT_RELEASE", "BASE_AUDIT_PASS", "PROMOTE_AUDIT_REJECT"];
const RELEASABLE: &[&str] = &["WAIT_RELEASE", "BASE_AUDIT_PASS", "PROMOTE_AUDIT_REJECT", "GRAY"];

static TRACES: &[(&str, Trace)] = &[
    ("package.upload", Trace::Build),
    ("package.delete", Trace::Deleted),
    ("audit.submit", Trace::Submitted),
    ("audit.withdraw", Trace::Withdrawn),
    ("package.back_to_development", Trace::State(&["INIT"], AUDITED)),
    ("package.release", Trace::State(&["RELEASE"], RELEASABLE)),
    ("package.online", Trace::State(&["RELEASE"], RELEASABLE)),
    ("package.offline", Trace::State(&["OFFLINE"], &["RELEASE"])),
    ("package.rollback", Trace::State(&["OFFLINE"], &["RELEASE"])),
    ("package.gray_online", Trace::State(&["GRAY"], PASSED)),
    ("package.gray_cancel", Trace::State(PASSED, &["GRAY"])),
    ("trial.cancel", Trace::TrialEnded),
    ("member.remove", Trace::MemberGone),
    ("qrcode_rule.bind", Trace::RuleBound),
    ("qrcode_rule.unbind", Trace::RuleGone),
    ("profile.modify", Trace::Profile),
    ("profile.set_name", Trace::Profile),
    ("profile.set_icon", Trace::Profile),
    ("profile.set_intro", Trace::Profile),
    ("category.modify", Trace::Profile),
];

fn trace(operation: &str) -> Option<&'static Trace> {
    TRACES.iter().find(|(name, _)| *name == operation).map(|(_, trace)| trace)
}

impl Trace {
    fn method(&self) -> &'static str {
        match self {
            Self::State(..) | Self::Submitted => DETAIL,
            Self::Build => BUILD,
            Self::Deleted | Self::Withdrawn => LIST,
            Self::TrialEnded => TRIAL,
            Self::MemberGone => MEMBERS,
            Self::RuleBound | Self::RuleGone => RULES,
            Self::Profile => PROFILE,
        }
    }
}

/// The question.
pub fn question(task: Task<'_>, caller: Caller<'_>) -> Option<Call> {
    let trace = trace(task.operation.name)?;
    let ask = |content: Value| request::other(task, trace.method(), &content, caller);
    Some(match trace {
        Trace::State(..) | Trace::Submitted | Trace::Build | Trace::TrialEnded => request::about_version(task, trace.method(), caller),
        Trace::Deleted => request::versions(task, &["INIT"], caller),
        Trace::Withdrawn => request::versions(task, STATES, caller),
        Trace::MemberGone => ask(json!({"role": task.params.text("role")})),
        Trace::RuleBound | Trace::RuleGone => request::rules(task, 1, caller),
        Trace::Profile => ask(Value::Null),
    })
}

/// What the answer to the question says. `replies` are those before the lost one.
pub fn meaning(task: Task<'_>, replies: &[&Reply], found: &Reply, earlier: Earlier) -> LookedUp {
    let Some(trace) = trace(task.operation.name) else { return LookedUp::Unknown };
    let node = match task.node(trace.method(), found).and_then(errors::accepted) {
        Ok(node) => node,
        Err(error) if matches!(trace, Trace::Build) && replies.is_empty() && NO_BUILD.contains(&error.code.as_str()) => {
            return LookedUp::NotDone;
        }
        Err(error) => return LookedUp::refused(&error),
    };
    match trace {
        Trace::State(done, not_yet) => by_state(task, node, done, not_yet),
        Trace::Submitted => submitted(task, node, earlier),
        // A question about the build was lost, or the upload itself: either way the operation goes on from here.
        Trace::Build => LookedUp::Stands,
        Trace::Deleted => told(task, is_deleted(task, &node), node),
        Trace::Withdrawn => told(task, is_withdrawn(task, &node), node),
        Trace::TrialEnded => {
            let state = text(&node, "status").map(|status| read::trial_word(&status));
            told(task, state.map(|state| state == "none"), node)
        }
        Trace::MemberGone => told(task, Some(!has_member(task, &node)), node),
        Trace::RuleBound => rule_bound(task, node),
        Trace::RuleGone => told(task, rule_gone(task, &node), node),
        // That it does not show proves nothing: with a version online the change waits for an audit.
        Trace::Profile => told(task, is_profile(task, &node).then_some(true), node),
    }
}

/// The build that was to be made does not exist (Alipay 5.3).
const NO_BUILD: &[&str] = &["BUILD_VERSION_NOT_EXISTED", "POLLING_BUILD_VERSION_NOT_EXIST", "MINI_APP_PACKAGE_INFO_NOT_EXIST"];

/// `Some(true)`: it took place. `Some(false)`: it did not.
fn told(task: Task<'_>, is_done: Option<bool>, node: Node) -> LookedUp {
    match is_done {
        Some(true) => {
            // What the question brought is not what the operation answers: only its own members are told.
            let result = read::outcome(task.operation, task.params, Node::new()).result;
            LookedUp::Done(Box::new(Outcome { result, vendor: read::sealed(node), file: None }))
        }
        Some(false) => LookedUp::NotDone,
        None => LookedUp::Unknown,
    }
}

fn by_state(task: Task<'_>, node: Node, done: &[&str], not_yet: &[&str]) -> LookedUp {
    let state = text(&node, "status").unwrap_or_default();
    let given = task.params.text("gray_strategy");
    let is_other_share = given.is_some() && given != text(&node, "gray_strategy");
    let is_done = match () {
        // A wider share was asked for than is there.
        () if done.contains(&state.as_str()) => Some(!is_other_share),
        () if not_yet.contains(&state.as_str()) => Some(false),
        () => None,
    };
    told(task, is_done, node)
}

/// Whether a version was handed in for an audit. One that was audited before keeps the verdict of that until it is back in development, so a
/// state beyond `AUDITING` says that it was handed in, but not by this call.
fn submitted(task: Task<'_>, node: Node, earlier: Earlier) -> LookedUp {
    let state = text(&node, "status").unwrap_or_default();
    let is_done = match (state.as_str(), earlier) {
        ("AUDITING", _) => Some(true),
        ("INIT", _) => Some(false),
        ("AUDIT_REJECT" | "WAIT_RELEASE" | "BASE_AUDIT_PASS" | "GRAY" | "RELEASE", Earlier::Nothing(_)) => {
            let handed_in_at = node.get("gmt_apply_audit").and_then(loose::moment);
            handed_in_at.is_some_and(|at| earlier.may_have_made(at)).then_some(true)
        }
        // Whatever became of an earlier try, of a version that has passed nothing is left to submit.
        ("WAIT_RELEASE" | "BASE_AUDIT_PASS" | "GRAY", Earlier::MaybeSent(_)) => return passed(task, node, "approved"),
        ("RELEASE", Earlier::MaybeSent(_)) => return passed(task, node, "released"),
        _ => None,
    };
    told(task, is_done, node)
}

/// Done, and audited by now: not noted as a submission of now, whose end would be awaited once more.
fn passed(task: Task<'_>, node: Node, state: &str) -> LookedUp {
    let result = json!({"version": task.params.text("version"), "status": state});
    LookedUp::Done(Box::new(Outcome { result, vendor: read::sealed(node), file: None }))
}

/// The client that a version is for where nobody says so (Alipay 5.0).
const USUAL_CLIENT: &str = "com.alipay.alipaywallet";

/// State by version of the list, of the client that the parameters mean: another may have a version of the same number. `None`: it is no list.
fn versions(task: Task<'_>, node: &Node) -> Option<Vec<(String, String)>> {
    let Some(listed) = node.get("app_version_infos") else { return Some(Vec::new()) };
    let client = task.params.text("bundle_id").unwrap_or_else(|| USUAL_CLIENT.to_owned());
    let entries = listed.as_array()?.iter().filter_map(Value::as_object);
    let ours = entries.filter(|entry| text(entry, "bundle_id").is_none_or(|of| of == client));
    Some(ours.filter_map(|entry| Some((text(entry, "app_version")?, text(entry, "version_status").unwrap_or_default()))).collect())
}

fn is_deleted(task: Task<'_>, node: &Node) -> Option<bool> {
    let version = task.params.text("version")?;
    Some(!versions(task, node)?.iter().any(|(listed, _)| *listed == version))
}

/// One version at a time is in one of these (Alipay 5.1). Whatever was to be taken back is there still: in audit, or beyond it.
const NOT_WITHDRAWN: &[&str] = &["AUDITING", "AUDIT_REJECT", "WAIT_RELEASE", "GRAY"];

/// A version that is taken back is in development again. In any other state it was not: then the vendor refuses a second try with its reason.
fn is_withdrawn(task: Task<'_>, node: &Node) -> Option<bool> {
    let listed = versions(task, node)?;
    let is_in = |states: &[&str]| listed.iter().any(|(_, state)| states.contains(&state.as_str()));
    match task.params.text("version") {
        Some(version) => listed.iter().find(|(listed, _)| *listed == version).map(|(_, state)| state == "INIT"),
        None if is_in(NOT_WITHDRAWN) => Some(false),
        // It may have passed for the admission part only, and so may one before it.
        None if is_in(&["BASE_AUDIT_PASS"]) => None,
        // It may have gone online by itself, and what is in development be another.
        None if is_in(&["RELEASE"]) && is_in(&["INIT"]) => None,
        // With nothing in development it went online by itself.
        None => Some(is_in(&["INIT"])),
    }
}

fn has_member(task: Task<'_>, node: &Node) -> bool {
    let members = node.get("app_member_info_list").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    members.iter().filter_map(Value::as_object).any(|member| {
        ["user_id", "open_id"].iter().any(|name| task.params.text(name).is_some_and(|given| text(member, name).as_ref() == Some(&given)))
    })
}

/// Rules of the first page, and whether there are no more.
fn rules(node: &Node) -> (Vec<&Node>, bool) {
    let rules: Vec<&Node> =
        node.get("qr_code_route_groups").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).collect();
    let is_all = number(node, "total_items").is_some_and(|total| i64::try_from(rules.len()).is_ok_and(|seen| seen >= total));
    (rules, is_all)
}

fn rule_bound(task: Task<'_>, node: Node) -> LookedUp {
    let (rules, is_all) = rules(&node);
    let same = |rule: &&&Node| text(rule, "route_url") == task.params.text("url") && text(rule, "mode") == task.params.text("mode");
    match rules.iter().find(same) {
        Some(rule) => {
            let result = json!({"route_group": text(rule, "route_group")});
            LookedUp::Done(Box::new(Outcome { result, vendor: read::sealed(node), file: None }))
        }
        None => told(task, is_all.then_some(false), node),
    }
}

fn rule_gone(task: Task<'_>, node: &Node) -> Option<bool> {
    let (rules, is_all) = rules(node);
    let (group, url) = (task.params.text("route_group"), task.params.text("url"));
    let same = |rule: &&Node| match &group {
        Some(group) => text(rule, "route_group").as_ref() == Some(group),
        None => text(rule, "route_url") == url,
    };
    match rules.iter().any(same) {
        true => Some(false),
        false => is_all.then_some(true),
    }
}

/// Parameters of the base information and the members that show them. Categories are shown by name and an icon by an address, so a change
/// of those shows in nothing.
const SHOWN: &[(&str, &str)] = &[
    ("name", "app_name"),
    ("english_name", "app_english_name"),
    ("slogan", "app_slogan"),
    ("intro", "app_desc"),
    ("phone", "service_phone"),
    ("email", "service_email"),
];

fn is_profile(task: Task<'_>, node: &Node) -> bool {
    let given = task.operation.params.iter().filter(|param| task.params.get(param.name).is_some());
    let shows = |name: &str| {
        let shown = SHOWN.iter().find(|(known, _)| *known == name);
        shown.is_some_and(|(_, member)| text(node, member) == task.params.text(name))
    };
    given.clone().count() > 0 && given.clone().all(|param| shows(param.name))
}
