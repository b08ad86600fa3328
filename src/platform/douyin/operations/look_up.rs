//! After a lost answer: what to ask, and whether its answer says that the call took place (5.6, 6.3).

use serde_json::{Map, Value as Json};

use super::Task;
use super::read::{added_template, audits, entries};
use super::request::{SERVER_LISTS, WEBVIEW_LISTS, hosts};
use super::steps::{Progress, procedure, progress};
use super::versions::stage;
use crate::platform::call::{Call, Reply};
use crate::platform::douyin::errors;
use crate::platform::loose;
use crate::platform::operation::{Caller, Earlier, LookedUp};

type Data = Map<String, Json>;

/// The question that tells. Only the row's own call is ever asked after: uploads and questions change nothing.
pub(super) fn question(task: Task<'_>, caller: Caller<'_>) -> Option<Call> {
    procedure(task.operation.name).look_up.map(|question| task.ask(question, caller))
}

pub(super) fn meaning(task: Task<'_>, replies: &[Reply], found: &Reply, earlier: Earlier) -> LookedUp {
    let progress = progress(task, replies);
    let now = match errors::read(found) {
        Ok(now) => now,
        Err(error) => return LookedUp::refused(&error),
    };
    let told = match earlier {
        Earlier::MaybeSent(_) if task.operation.name == "package.upload" => return uploaded_since(task, &now, earlier),
        Earlier::MaybeSent(_) if is_compared(task.operation.name) => stands(task, &now).then_some(true),
        _ => took_place(task, &progress, &now),
    };
    match told {
        Some(true) => LookedUp::Stands,
        Some(false) => LookedUp::NotDone,
        None => LookedUp::Unknown,
    }
}

/// Whether an operation is told by what has changed since before its call. Where the call may have been sent before that was read, nothing has
/// changed since then whatever it did.
fn is_compared(operation: &str) -> bool {
    matches!(operation, "audit.submit" | "package.release" | "package.rollback" | "profile.set_icon" | "template.add")
}

/// Whether where things stand shows, by itself, that there is nothing left to do. The contrary is no proof that it may be sent: a submission and
/// a release name no version, and what waits for them now may be another than the one that was meant.
fn stands(task: Task<'_>, now: &Data) -> bool {
    let version = |name: &str| stage(now, name).and_then(|one| loose::text_of(one, &["version"])).map(|version| version.into_owned());
    let number = |of: &str, member: &str| stage(now, of).and_then(|one| loose::integer_of(one, &[member]));
    let same = |one: &str, other: &str| version(one).is_some() && version(one) == version(other);
    match task.operation.name {
        // Another channel's version need not be the one that is listed.
        "audit.submit" if task.params.get("tag").is_some() => false,
        // A rejected version was handed in again: it is so no longer.
        "audit.submit" if task.params.text("audit_way").as_deref() == Some("1") => matches!(number("audit", "status"), Some(0 | 1)),
        "audit.submit" => {
            same("latest", "audit") && number("latest", "has_audit") != Some(0) && matches!(number("audit", "status"), Some(0..=2))
        }
        "package.release" => same("audit", "current") && number("audit", "has_publish") == Some(1),
        _ => false,
    }
}

/// Whether an upload that another process may have sent took place: only the date of what is there now tells whose work it is.
fn uploaded_since(task: Task<'_>, now: &Data, earlier: Earlier) -> LookedUp {
    // Another channel's version need not be the one that is listed.
    if task.params.get("tag").is_some() {
        return LookedUp::Unknown;
    }
    let Some(latest) = stage(now, "latest") else { return LookedUp::NotShown };
    let is_wanted = loose::text_of(latest, &["version"]).map(|version| version.into_owned()) == task.params.text("version");
    match loose::moment_of(latest, &["ctime"]).map(|made| earlier.may_have_made(made)) {
        Some(true) if is_wanted => LookedUp::Stands,
        Some(false) => LookedUp::NotShown,
        // Somebody has gone on to another version, or it has no date.
        _ => LookedUp::Unknown,
    }
}

/// Whether the call took place, from what was read before it and what is read now. `None`: it does not tell.
fn took_place(task: Task<'_>, progress: &Progress<'_>, now: &Data) -> Option<bool> {
    let nothing = Data::new();
    let before = progress.answers.last().map_or(&nothing, |(_, data)| data);
    let params = task.params;
    match task.operation.name {
        "package.upload" => {
            let (was, is) = (stage(before, "latest"), stage(now, "latest"));
            let ours = is.is_some_and(|is| loose::text_of(is, &["version"]).map(|v| v.into_owned()) == params.text("version"));
            match was == is {
                // Another channel's version need not be the one that is listed.
                true if params.get("tag").is_some() => None,
                true => Some(false),
                false if ours => Some(true),
                false => None,
            }
        }
        // A version in audit keeps the vendor from taking another: what is new is ours.
        "audit.submit" => Some(stage(before, "audit") != stage(now, "audit")),
        "audit.withdraw" => Some(stage(now, "audit").and_then(|audit| loose::integer_of(audit, &["status"])) == Some(3)),
        "package.release" => {
            let published = |data: &Data| stage(data, "audit").and_then(|audit| loose::integer_of(audit, &["has_publish"])) == Some(1);
            let same = stage(before, "current") == stage(now, "current");
            Some(!same || (published(now) && !published(before)))
        }
        "package.rollback" => {
            let version =
                |data: &Data| stage(data, "current").and_then(|current| loose::text_of(current, &["version"]).map(|v| v.into_owned()));
            let possible = |data: &Data| {
                let rollback = stage(data, "current").and_then(|current| current.get("rollback")).and_then(Json::as_object);
                rollback.and_then(|rollback| loose::integer_of(rollback, &["can_rollback"])) == Some(1)
            };
            match possible(before) {
                false => Some(false),
                true if version(before) != version(now) || !possible(now) => Some(true),
                // It takes effect after three to five minutes: until then the list does not tell.
                true => None,
            }
        }
        "profile.set_name" => Some(in_audit(now, "new_name_audit_info", "new_name", params.text("name"))),
        "profile.set_intro" => Some(in_audit(now, "new_intro_audit_info", "new_intro", params.text("intro"))),
        "profile.set_icon" => {
            let pending = |data: &Data| audits(data, "new_icon_audit_info").is_some_and(|(state, _)| state == Some(1));
            Some(pending(now) && !pending(before))
        }
        "category.add" | "category.modify" => {
            let given = params.get("categories").and_then(Json::as_array).into_iter().flatten();
            let given: Vec<_> = given.filter_map(|item| item.get("category").and_then(Json::as_str)).collect();
            let state = |category: &str| {
                let entry =
                    entries(now, &["app_category_audit_info"]).find(|entry| entry.get("category").and_then(Json::as_str) == Some(category));
                entry.and_then(|entry| loose::integer_of(entry, &["category_audit_state"]))
            };
            unanimous(given.iter().map(|category| matches!(state(category), Some(1 | 2))))
        }
        "category.delete" => {
            let kept: Vec<_> = entries(now, &["app_category_audit_info"]).filter_map(|entry| entry.get("category")?.as_str()).collect();
            unanimous(params.texts("categories").iter().map(|category| !kept.contains(&category.as_str())))
        }
        "category.publish" => {
            let audit = now.get("online_audit_info").and_then(Json::as_object);
            Some(audit.and_then(|audit| loose::integer_of(audit, &["audit_state"])) == Some(1))
        }
        "server_domain.delete" => deleted(task, now, SERVER_LISTS),
        "webview_domain.delete" => deleted(task, now, WEBVIEW_LISTS),
        "template.add" => Some(added_template(task, progress, now).is_some()),
        "template.delete" => {
            let id = params.text("template_id");
            Some(!entries(now, &["template_list"]).any(|template| loose::text_of(template, &["template_id"]).map(|t| t.into_owned()) == id))
        }
        "capability.apply" if task.is_short_video() => {
            let words = &task.of.short_video_status;
            let status = loose::integer_of(now, &["status"])?;
            words.iter().find(|(known, _)| *known == status).map(|(_, word)| matches!(*word, "applying" | "granted"))
        }
        // Applying or granted, in the two other numberings (5.7, 5.8).
        "capability.apply" => Some(matches!(loose::integer_of(now, &["status"])?, 1 | 2)),
        "live_component.apply" | "phone_number.apply" => Some(matches!(loose::integer_of(now, &["status"])?, 3 | 4)),
        _ => None,
    }
}

/// Whether this value is what is in audit.
fn in_audit(now: &Data, of: &str, member: &str, wanted: Option<String>) -> bool {
    audits(now, of).is_some_and(|(state, info)| {
        state == Some(1) && loose::text_of(info, &[member]).map(|value| value.into_owned()) == wanted.map(|wanted| wanted.trim().to_owned())
    })
}

/// All, none, or neither.
fn unanimous(votes: impl Iterator<Item = bool>) -> Option<bool> {
    let votes: Vec<_> = votes.collect();
    let first = *votes.first()?;
    votes.iter().all(|vote| *vote == first).then_some(first)
}

fn deleted(task: Task<'_>, now: &Data, lists: &[(&str, &str)]) -> Option<bool> {
    let gone = lists.iter().flat_map(|(ours, theirs)| {
        let kept: Vec<_> = now.get(*theirs).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
        hosts(task.params, ours).into_iter().map(move |host| !kept.contains(&host.as_str())).collect::<Vec<_>>()
    });
    unanimous(gone)
}
