//! Answers in normal names. Ids keep all their digits as text, times are RFC 3339, states are words; whatever is missing is left out.

use base64::Engine;
use serde_json::{Map, Value as Json, json};

use super::Task;
use super::fit;
use super::steps::Progress;
use super::versions::{chosen, packages, stage};
use crate::platform::loose;
use crate::platform::operation::FileAnswer;
use crate::settings::Settings;

pub(super) type Data = Map<String, Json>;

/// Marks a permission set that the vendor says is not granted.
pub(super) const NOT_GRANTED: &str = "not granted";
/// Marks a change that had nothing to change.
pub(super) const UNCHANGED: &str = "unchanged";

/// Why there is no result.
pub(super) enum Missing {
    /// The answer lacks what it must hold.
    Member(&'static str),
    /// There is no such version.
    Package,
}

const IN_AUDIT: &[(i64, &str)] = &[(1, "in_audit"), (2, "passed"), (3, "failed"), (4, "expired")];
const APP: &[(i64, &str)] = &[(0, "unreleased"), (1, "released"), (2, "offline")];
const RATING: &[(i64, &str)] = &[(1, "unrated"), (2, "being_rated"), (3, "rated")];
/// The numberings of capabilities but that of the short-video mount, which settings may say (5.7, 5.8).
const CAPACITY: &[(i64, &str)] =
    &[(1, "applying"), (2, "granted"), (3, "rejected"), (4, "closed"), (5, "banned"), (6, "can_apply"), (7, "cannot_apply")];
const LIVE_OR_PHONE: &[(i64, &str)] =
    &[(0, "none"), (1, "can_apply"), (2, "cannot_apply"), (3, "applying"), (4, "granted"), (5, "rejected"), (6, "closed")];

/// What V1's pages say of the short-video mount; that V2's numbers are the same nobody has verified (5.7).
const SHORT_VIDEO: &[(i64, &str)] =
    &[(1, "applying"), (2, "granted"), (3, "rejected"), (4, "closed"), (5, "can_apply"), (6, "cannot_apply")];

/// What the numbers of the short-video mount's status say: `short_video_status` of the settings, in place of what V1's pages say.
pub(in crate::platform::douyin) fn short_video_status(settings: &mut Settings) -> Vec<(i64, &'static str)> {
    if !settings.has("short_video_status") {
        return SHORT_VIDEO.to_vec();
    }
    let mut map = settings.table("short_video_status");
    let words: Vec<&'static str> = SHORT_VIDEO.iter().map(|(_, word)| *word).collect();
    let mut numbers = Vec::new();
    for key in map.keys() {
        let word = map.choice_or(&key, "applying", &words);
        match key.parse() {
            Ok(number) => numbers.push((number, word)),
            Err(_) => map.problem(
                &key,
                "is no number of Douyin's",
                "write numbers and what they say, as in { 1 = \"applying\", 2 = \"granted\" }",
            ),
        }
    }
    settings.problems(map.finish());
    numbers
}

pub(super) fn result(task: Task<'_>, data: &Data, progress: &Progress<'_>) -> Result<(Json, Option<FileAnswer>), Missing> {
    let params = task.params;
    let before = progress.answers.first().map_or(data, |(_, before)| before);
    let version = |name: &str| stage(before, name).and_then(|package| loose::text_of(package, &["version"]));
    let done = match task.operation.name {
        "authorization.permissions" => permissions(progress),
        "authorization.list" => json!({
            "items": items(data, &["auth_app_list"], |app| told([
                ("app_id", text(app, &["auth_appid"])), ("authorized_at", time(app, &["auth_time"])),
            ])),
            "total": loose::integer_of(data, &["total"]),
        }),
        "profile.get" => profile(data),
        "profile.check_name" => json!({"usable": true}),
        "profile.set_name" => json!({"name": params.get("name"), "status": "in_audit"}),
        "profile.set_intro" => json!({"intro": params.get("intro"), "status": "in_audit"}),
        "profile.set_icon" => json!({"status": "in_audit"}),
        "quality.rating" => {
            told([("status", word(data, &["status"], RATING)), ("rating", text(data, &["qualityRating", "quality_rating"]))])
        }
        "quality.credit_score" => {
            json!({"score": loose::integer_of(data, &["credit_score", "creditScore"]).ok_or(Missing::Member("`credit_score`"))?})
        }
        "trial_operation.get" => trial(data),
        "media.upload" | "component_media.upload" => json!({"path": text(data, &["path"]).ok_or(Missing::Member("`path`"))?}),
        "trial.qrcode" => json!({"url": text(data, &["qr_code_url"]).ok_or(Missing::Member("`qr_code_url`"))?}),
        "qrcode.create" => return code(data),
        "webview_domain.check_file" => return check_file(data),
        "category.catalogue" => json!({"items": items(data, &["category_list"], catalogued)}),
        "category.list" => json!({
            "items": items(data, &["app_category_audit_info"], category),
            "remaining_times": loose::integer_of(data, &["remaining_times"]),
            "change_limit": loose::integer_of(data, &["category_change_limit"]),
            "limit": loose::integer_of(data, &["category_limit"]),
        }),
        "category.published" => published(data),
        "category.add" | "category.modify" | "category.publish" => json!({"status": "in_audit"}),
        "server_domain.get" => {
            let list = |name: &str, scheme: &str| Json::from(urls(data, name, scheme));
            let (https, wss) = ("https", "wss");
            json!({"request": list("request", https), "socket": list("socket", wss), "upload": list("upload", https), "download": list("download", https)})
        }
        "webview_domain.get" => json!({"domains": urls(data, "webview", "https")}),
        "package.upload" => json!({"version": params.get("version"), "status": "uploaded"}),
        "package.list" => json!({"items": packages(data)}),
        "package.get" => chosen(task, data).ok_or(Missing::Package)?,
        "audit.hosts" => {
            json!({"hosts": list(data, &["host_names", "hostNames"]), "released_hosts": list(data, &["released_host_names", "releasedHostNames"])})
        }
        "audit.submit" => {
            let of = if params.text("audit_way").as_deref() == Some("1") { "audit" } else { "latest" };
            json!({"version": version(of), "hosts": params.get("hosts"), "status": "in_audit"})
        }
        "audit.withdraw" => json!({"version": version("audit"), "status": "withdrawn"}),
        "package.release" => json!({"version": version("audit"), "status": "released"}),
        "package.rollback" => {
            let rollback = stage(before, "current").and_then(|current| current.get("rollback")).and_then(Json::as_object);
            json!({"version": rollback.and_then(|rollback| text(rollback, &["last_version"])), "status": "released"})
        }
        "capability.apply" | "live_component.apply" | "phone_number.apply" => json!({"status": "applying"}),
        "capability.status" => state(data, if task.is_short_video() { &task.of.short_video_status } else { CAPACITY })?,
        "live_component.status" | "phone_number.status" => state(data, LIVE_OR_PHONE)?,
        "capability.list" => json!({"items": items(data, &["app_capacity_info_list"], |one| {
            let mut one = one.clone();
            if let Some(key) = one.remove("capacity_key") {
                one.insert(String::from("capability"), key);
            }
            Json::Object(one)
        })}),
        "template.list" => json!({"items": items(data, &["template_list"], template)}),
        "template.drafts" => json!({"items": items(data, &["tpl_app_list"], draft)}),
        "template.add" => {
            let after = progress.answers.last().map_or(data, |(_, after)| after);
            json!({"template_id": added_template(task, progress, after)})
        }
        "template.delete" => json!({}),
        name if name.contains("_domain.") => json!({"changed": !data.contains_key(UNCHANGED)}),
        _ => json!({}),
    };
    Ok((done, None))
}

/// What one read of each permission set said (1.3).
fn permissions(progress: &Progress<'_>) -> Json {
    let sets = [("1", "开发管理权限"), ("2", "基本信息设置权限"), ("3", "运营管理权限")];
    let told = sets.iter().zip(&progress.answers);
    let items: Vec<_> =
        told.map(|((id, name), (_, data))| json!({"id": id, "name": name, "granted": !data.contains_key(NOT_GRANTED)})).collect();
    json!({"items": items})
}

fn profile(data: &Data) -> Json {
    let pending = |of: &str, member: &str| {
        audits(data, of).map(|(_, info)| {
            told([
                ("value", text(info, &[member])),
                ("status", word(info, &[&format!("{member}_audit_state")], IN_AUDIT)),
                ("remaining_times", loose::integer_of(info, &["remaining_times"]).map(Json::from)),
                ("reason", text(info, &["reason"])),
                ("advice", text(info, &["advice"])),
            ])
        })
    };
    told([
        ("app_id", text(data, &["app_id"])),
        ("name", text(data, &["app_name"])),
        ("intro", text(data, &["app_intro"])),
        ("icon", text(data, &["app_icon"])),
        ("status", word(data, &["app_state"], APP)),
        ("name_audit", pending("new_name_audit_info", "new_name")),
        ("intro_audit", pending("new_intro_audit_info", "new_intro")),
        ("icon_audit", pending("new_icon_audit_info", "new_icon")),
        ("categories", data.contains_key("app_categories_audit_info").then(|| items(data, &["app_categories_audit_info"], category))),
        (
            "subject",
            data.get("subject_audit_info").and_then(Json::as_object).map(|subject| {
                told([
                    ("name", text(subject, &["subject_name"])),
                    ("type", word(subject, &["subject_type"], &[(0, "personal"), (1, "enterprise")])),
                ])
            }),
        ),
    ])
}

fn trial(data: &Data) -> Json {
    let flag = |map: &Data, name: &str| loose::integer_of(map, &[name]).map(|flag| Json::from(flag == 1));
    let limits = data.get("trial_limit_info").and_then(Json::as_object).map(|limits| {
        told([
            ("capability", flag(limits, "is_capability_limited")),
            ("payment", flag(limits, "is_payment_restricted")),
            ("traffic", flag(limits, "is_traffic_limited")),
        ])
    });
    told([
        ("on_trial", flag(data, "is_trial")),
        ("score", loose::integer_of(data, &["app_credit_score"]).map(Json::from)),
        ("pass_score", loose::integer_of(data, &["trial_pass_score"]).map(Json::from)),
        ("limited", limits),
        ("tasks", data.get("trial_task_info").filter(|tasks| tasks.is_array()).cloned()),
    ])
}

fn code(data: &Data) -> Result<(Json, Option<FileAnswer>), Missing> {
    let text = data.get("img").and_then(Json::as_str).ok_or(Missing::Member("`img`"))?;
    let text = text.rsplit_once("base64,").map_or(text, |(_, text)| text).trim();
    let content = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| Missing::Member("readable `img`"))?;
    let content_type = fit::content_type(&content).to_owned();
    let result = json!({"content_type": content_type, "bytes": content.len()});
    Ok((result, Some(FileAnswer { name: None, content_type, content: content.into() })))
}

fn check_file(data: &Data) -> Result<(Json, Option<FileAnswer>), Missing> {
    let name = loose::text_of(data, &["file_name"]).ok_or(Missing::Member("`file_name`"))?.into_owned();
    // Exactly as it came: the vendor compares it byte by byte.
    let content = data.get("file_content").and_then(Json::as_str).ok_or(Missing::Member("`file_content`"))?.to_owned();
    let result = json!({"file_name": name, "content": content});
    Ok((result, Some(FileAnswer { name: Some(name), content_type: String::from("text/plain"), content: content.into() })))
}

fn catalogued(one: &Data) -> Json {
    let certification = one.get("certification").and_then(Json::as_object);
    told([
        ("id", text(one, &["id"])),
        ("name", text(one, &["name"])),
        ("level", loose::integer_of(one, &["level"]).map(Json::from)),
        ("first_id", text(one, &["fpid"]).filter(|id| id != "0")),
        ("second_id", text(one, &["spid"]).filter(|id| id != "0")),
        (
            "materials",
            certification.map(|certification| {
                items(certification, &["list"], |proof| told([("id", text(proof, &["id"])), ("name", text(proof, &["name"]))]))
            }),
        ),
        ("relation", certification.and_then(|certification| certification.get("relation")).filter(|relation| relation.is_array()).cloned()),
        ("explanation", certification.and_then(|certification| text(certification, &["explanation"]))),
    ])
}

fn category(one: &Data) -> Json {
    told([
        ("category", text(one, &["category", "app_category"])),
        ("name", text(one, &["category_name", "app_category_name"])),
        ("status", word(one, &["category_audit_state", "app_category_audit_state"], IN_AUDIT)),
        ("reason", text(one, &["reason"])),
        (
            "materials",
            one.get("category_cert").filter(|cert| cert.is_array()).map(|_| {
                items(one, &["category_cert"], |cert| {
                    told([
                        ("id", text(cert, &["id"])),
                        ("name", text(cert, &["name"])),
                        ("files", Some(Json::from(list(cert, &["path_list"])))),
                    ])
                })
            }),
        ),
    ])
}

fn published(data: &Data) -> Json {
    let audit = data.get("online_audit_info").and_then(Json::as_object);
    let pair = |one: &Data| told([("category", text(one, &["category_id"])), ("name", text(one, &["category_name"]))]);
    told([
        ("items", Some(items(data, &["online_categories"], pair))),
        (
            "audit",
            audit.map(|audit| {
                told([
                    ("categories", Some(items(audit, &["audit_categories"], pair))),
                    ("status", word(audit, &["audit_state"], IN_AUDIT)),
                    ("reason", loose::words_of(audit, &["audit_reason"]).map(Json::from)),
                ])
            }),
        ),
    ])
}

fn template(one: &Data) -> Json {
    told([
        ("template_id", text(one, &["template_id"])),
        ("version", text(one, &["user_version"])),
        ("description", text(one, &["user_desc"])),
        ("created_at", time(one, &["create_time"])),
    ])
}

fn draft(one: &Data) -> Json {
    told([
        ("app_id", text(one, &["tpl_app_id"])),
        ("name", text(one, &["app_name"])),
        ("draft_id", text(one, &["draft_id"])),
        ("version", text(one, &["user_version"])),
        ("description", text(one, &["user_desc"])),
        ("developer", text(one, &["nick_name"])),
        ("created_at", time(one, &["create_time"])),
    ])
}

/// The template that a draft became: not there before, with the draft's version and description, the newest of those (5.11).
pub(super) fn added_template(task: Task<'_>, progress: &Progress<'_>, after: &Data) -> Option<String> {
    let [(_, drafts), (_, before), ..] = progress.answers.as_slice() else { return None };
    let id = |template: &Data| loose::text_of(template, &["template_id"]).map(|id| id.into_owned());
    let known: Vec<_> = entries(before, &["template_list"]).filter_map(id).collect();
    let draft_id = task.params.text("draft_id");
    let draft = entries(drafts, &["tpl_app_list"]).find(|app| loose::text_of(app, &["draft_id"]).map(|id| id.into_owned()) == draft_id);
    let alike = |template: &Data| {
        draft.is_none_or(|draft| {
            ["user_version", "user_desc"].iter().all(|name| loose::text_of(draft, &[name]) == loose::text_of(template, &[name]))
        })
    };
    entries(after, &["template_list"])
        .filter(|template| alike(template) && id(template).is_some_and(|id| !known.contains(&id)))
        .max_by_key(|template| loose::integer_of(template, &["create_time"]))
        .and_then(id)
}

fn state(data: &Data, words: &[(i64, &str)]) -> Result<Json, Missing> {
    let status = word(data, &["status"], words).ok_or(Missing::Member("`status`"))?;
    Ok(told([("status", Some(status)), ("reason", text(data, &["reason"]))]))
}

/// What is in audit of the basic information: its state and the whole.
pub(super) fn audits<'a>(data: &'a Data, of: &str) -> Option<(Option<i64>, &'a Data)> {
    let info = data.get(of).and_then(Json::as_object)?;
    let state = info.iter().find(|(name, _)| name.ends_with("_audit_state")).and_then(|(_, state)| loose::integer(state));
    Some((state, info))
}

/// The objects of a list; lists may be null.
pub(super) fn entries<'a>(data: &'a Data, names: &[&str]) -> impl Iterator<Item = &'a Data> {
    loose::find(data, names).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_object)
}

fn items(data: &Data, names: &[&str], one: impl Fn(&Data) -> Json) -> Json {
    entries(data, names).map(one).collect()
}

/// The texts of a list.
pub(super) fn list(data: &Data, names: &[&str]) -> Vec<String> {
    let texts = loose::find(data, names).and_then(Json::as_array).into_iter().flatten();
    texts.filter_map(loose::text).map(|text| text.into_owned()).collect()
}

/// Hosts with the scheme that they are used with.
fn urls(data: &Data, name: &str, scheme: &str) -> Vec<String> {
    list(data, &[name]).into_iter().map(|host| if host.contains("://") { host } else { format!("{scheme}://{host}") }).collect()
}

pub(super) fn text(data: &Data, names: &[&str]) -> Option<Json> {
    loose::text_of(data, names).map(|text| Json::from(text.into_owned()))
}

pub(super) fn time(data: &Data, names: &[&str]) -> Option<Json> {
    loose::moment_of(data, names).map(|time| Json::from(time.to_string()))
}

/// The word for a number; an unknown number as its digits.
pub(super) fn word(data: &Data, names: &[&str], words: &[(i64, &str)]) -> Option<Json> {
    let number = loose::integer_of(data, names)?;
    Some(words.iter().find(|(known, _)| *known == number).map_or_else(|| Json::from(number.to_string()), |(_, word)| Json::from(*word)))
}

/// An object of what is there.
pub(super) fn told<const N: usize>(members: [(&str, Option<Json>); N]) -> Json {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
}
