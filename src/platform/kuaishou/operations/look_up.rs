//! What is asked before a deed, and after its answer was lost (5.3: query the versions before repeating).
//!
//! A list of versions does not say which call made a version. So the list is read before the deed as well, where it is configured, and
//! what has changed since then is what the lost call did. What cannot be told stays unknown.

use serde_json::{Value, json};

use super::rules::{Rule, key};
use super::{Members, Task, read, request};
use crate::platform::call::{ApiError, Call, Class, Reply};
use crate::platform::operation::{Bearer, Caller, Earlier, Effect, LookedUp};
use crate::platform::token::Family;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The list of versions.
    Versions,
    /// The list of templates.
    Templates,
    /// Where a capability stands.
    Capability,
    /// The lists of domains.
    Domains,
}

impl Question {
    /// What is asked before an operation's main call.
    pub fn before(task: Task<'_>) -> Option<Self> {
        match task.operation.name {
            "server_domain.set" => {
                let names = super::rows::KINDS;
                let some = names.iter().any(|kind| task.params.get(kind).is_some());
                (some && names.iter().any(|kind| task.params.get(kind).is_none())).then_some(Self::Domains)
            }
            "template.delete" | "server_domain.delete" | "webview_domain.delete" | "capability.apply" | "phone_number.apply" => None,
            _ if task.operation.effect == Effect::Once => Self::after(task),
            _ => None,
        }
    }

    /// What is asked after its answer was lost; none where no such call is configured.
    pub fn after(task: Task<'_>) -> Option<Self> {
        if task.operation.effect != Effect::Once {
            return None;
        }
        let question = match task.operation.name.split_once('.')?.0 {
            "template" => Self::Templates,
            "capability" | "phone_number" => Self::Capability,
            "server_domain" | "webview_domain" => Self::Domains,
            _ => Self::Versions,
        };
        question.rule(task).map(|_| question)
    }

    /// Whether the operation cannot go on without the answer.
    pub fn is_needed(self) -> bool {
        self == Self::Domains
    }

    fn rule<'a>(self, task: Task<'a>) -> Option<&'a Rule> {
        let key = match self {
            Self::Versions => String::from("package.list"),
            Self::Templates => String::from("template.list"),
            Self::Capability => {
                let capability = task.params.text("capability").unwrap_or_else(|| String::from("phone_number"));
                key("capability.status", Some(&capability))
            }
            Self::Domains => task.rule.key.to_owned(),
        };
        task.application.calls.rule(&key).filter(|rule| rule.enabled)
    }

    pub fn call(self, task: Task<'_>, caller: Caller<'_>) -> Result<Call, ApiError> {
        let missing = || ApiError::new(Class::Configuration, "operation-not-configured", "what would be asked is switched off");
        let rule = self.rule(task).ok_or_else(missing)?;
        let content = if self == Self::Domains { request::action("get") } else { Members::new() };
        let bearer = match self {
            Self::Templates => Bearer::Component(Family::Current),
            _ => Bearer::Authorizer(Family::Current),
        };
        Ok(request::send(task, rule, bearer, content, caller))
    }
}

/// What the answer to the question means. `replies` begins with what was read before the deed.
pub fn meaning(task: Task<'_>, replies: &[Reply], found: &Reply, earlier: Earlier) -> LookedUp {
    let after = match task.accepted(found) {
        Ok(after) => after,
        Err(error) => return LookedUp::refused(&error),
    };
    // What may show the deed's own work is no list from before it: then nothing is compared with it.
    let asked = Question::before(task).filter(|_| !earlier.is_maybe_sent());
    let before = asked.and_then(|_| replies.first()).and_then(|reply| task.accepted(reply).ok());
    let took_place = match task.operation.name {
        "package.upload" if earlier.is_maybe_sent() => return uploaded_since(task, after, earlier),
        "template.delete" => gone(task, &after),
        "template.add" => return added(task, before.as_ref(), after),
        "capability.apply" | "phone_number.apply" => applied(task, &after),
        "server_domain.delete" | "webview_domain.delete" => domains_gone(task, &after),
        "audit.withdraw" if earlier.is_maybe_sent() => withdrawn(task, &after),
        _ => before.as_ref().and_then(|before| version_changed(task, before, &after)),
    };
    match took_place {
        Some(true) => done(task, before.as_ref(), after),
        Some(false) => LookedUp::NotDone,
        None => LookedUp::Unknown,
    }
}

/// The outcome of a deed that was found: its result in normal names, and the answer that showed it.
fn done(task: Task<'_>, before: Option<&Members>, after: Members) -> LookedUp {
    let mut outcome = match Question::after(task) {
        Some(Question::Domains) => read::said(task, before, after.clone()),
        _ => read::said(task, before, Members::new()),
    };
    outcome.vendor = Value::Object(after);
    LookedUp::Done(Box::new(outcome))
}

/// Whether the deed shows in the versions. `None`: the lists do not tell.
fn version_changed(task: Task<'_>, before: &Members, after: &Members) -> Option<bool> {
    let at = |members: &Members, stage: &str| read::staged(task, members, stage);
    let same = |stage: &str| at(before, stage) == at(after, stage);
    let text = |item: Option<Members>, name: &str| item.and_then(|item| Some(item.get(name)?.as_str()?.to_owned()));
    // An answer in which no group is known says nothing about any. Only one that lists nothing at all tells that nothing was uploaded.
    if ["current", "audit", "latest"].iter().all(|stage| at(after, stage).is_none()) && read_nothing(task, before) {
        return (task.operation.name == "package.upload" && lists_nothing(after)).then_some(false);
    }
    match task.operation.name {
        "package.upload" => {
            let latest = at(after, "latest");
            if text(latest.clone(), "version") != task.params.text("version") {
                Some(false)
            } else if !same("latest") {
                Some(true)
            } else {
                // The very same version was there before; only its time could tell that it is a new one.
                latest?.contains_key("created_at").then_some(false)
            }
        }
        "audit.submit" => Some(!same("audit")),
        "audit.withdraw" => Some(matches!(text(at(after, "audit"), "status").as_deref(), None | Some("withdrawn"))),
        "package.release" => Some(!same("current")),
        // A rollback may take minutes to show (5.3.7), so that it does not show says nothing.
        "package.rollback" => (!same("current")).then_some(true),
        _ => None,
    }
}

/// Whether an upload that another process may have sent took place: only the date of what is there now tells whose work it is.
fn uploaded_since(task: Task<'_>, after: Members, earlier: Earlier) -> LookedUp {
    let Some(latest) = read::staged(task, &after, "latest") else {
        let is_read = lists_nothing(&after) || ["current", "audit"].iter().any(|stage| read::staged(task, &after, stage).is_some());
        return if is_read { LookedUp::NotShown } else { LookedUp::Unknown };
    };
    let text = |name: &str| latest.get(name).and_then(Value::as_str);
    let made = text("created_at").and_then(|at| at.parse().ok());
    match made.map(|made| earlier.may_have_made(made)) {
        Some(true) if text("version") == task.params.text("version").as_deref() => done(task, None, after),
        Some(false) => LookedUp::NotShown,
        // Somebody has gone on to another version, or it has no date.
        _ => LookedUp::Unknown,
    }
}

/// Whether nothing is in audit any more, as the list of now says by itself. An answer in which no group is known says nothing.
fn withdrawn(task: Task<'_>, after: &Members) -> Option<bool> {
    match read::staged(task, after, "audit") {
        Some(audit) => Some(audit.get("status")?.as_str()? == "withdrawn"),
        None => ["current", "latest"].iter().any(|stage| read::staged(task, after, stage).is_some()).then_some(true),
    }
}

/// Whether the list held nothing before the deed that could be recognized.
fn read_nothing(task: Task<'_>, before: &Members) -> bool {
    task.application.calls.rule("package.list").is_none_or(|rule| read::versions(task, rule, before).is_empty())
}

/// Whether an answer holds nothing besides its own words: no object and no list with anything in it, whatever they may be called.
fn lists_nothing(members: &Members) -> bool {
    fn is_bare(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().all(is_bare),
            Value::Object(members) => members.values().all(is_bare),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    members.values().all(|value| is_bare(value) || !(value.is_object() || value.is_array()))
}

fn gone(task: Task<'_>, after: &Members) -> Option<bool> {
    let ids = read::template_ids(Question::Templates.rule(task)?, after);
    let id = task.params.text("template_id")?;
    Some(!ids.contains(&id))
}

fn added(task: Task<'_>, before: Option<&Members>, after: Members) -> LookedUp {
    let (Some(rule), Some(before)) = (Question::Templates.rule(task), before) else { return LookedUp::Unknown };
    let known = read::template_ids(rule, before);
    let new: Vec<String> = read::template_ids(rule, &after).into_iter().filter(|id| !known.contains(id)).collect();
    match new.as_slice() {
        [] => LookedUp::NotDone,
        [id] => {
            let mut outcome = read::said(task, None, Members::new());
            outcome.result = json!({ "template_id": id });
            outcome.vendor = Value::Object(after);
            LookedUp::Done(Box::new(outcome))
        }
        // Somebody else adds templates too.
        _ => LookedUp::Unknown,
    }
}

fn applied(task: Task<'_>, after: &Members) -> Option<bool> {
    let rule = Question::Capability.rule(task)?;
    let state = read::capability(Task { rule, ..task }, after);
    match state.get("status").and_then(Value::as_str)? {
        "pending" => Some(true),
        "can_apply" => Some(false),
        _ => None,
    }
}

fn domains_gone(task: Task<'_>, after: &Members) -> Option<bool> {
    if task.operation.name == "webview_domain.delete" {
        let held = read::webview(task, after)?;
        return Some(request::bare(task, "domains").ok()?.iter().all(|domain| !held.contains(domain)));
    }
    let mut gone = true;
    for kind in super::rows::KINDS {
        let held = read::domains(task, after, kind);
        gone &= request::bare(task, kind).ok()?.iter().all(|domain| !held.contains(domain));
    }
    Some(gone)
}
