//! The life of a version at the pretended platform, with the platform's own refusals (Alipay 5.1 to 5.6).

use serde_json::{Value, json};

use super::super::content::text;
use super::mini_program::{Done, Given, MiniProgram, Version, units};
use super::shelf;
use crate::clock::{Timestamp, china_text};
use crate::platform::twin::{Submission, Verdict};

/// Versions in development that a mini program may have.
const MOST_IN_DEVELOPMENT: usize = 20;

/// States of which only one version may be at a time (Alipay 5.1).
const UNDER_WAY: &[&str] = &["AUDITING", "WAIT_RELEASE", "BASE_AUDIT_PASS", "AUDIT_REJECT", "GRAY"];

const PASSED: &[&str] = &["WAIT_RELEASE", "BASE_AUDIT_PASS"];

fn number(given: &Given) -> Result<String, &'static str> {
    text(given, "app_version").ok_or("APP_VERSION_IS_BLANK")
}

fn parts(number: &str) -> Option<[u32; 3]> {
    let parts = number
        .split('.')
        .map(|part| part.parse().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit())))
        .collect::<Option<Vec<u32>>>()?;
    parts.try_into().ok()
}

fn build_answer(is_built: bool) -> Value {
    match is_built {
        true => json!({"build_status": "2", "create_status": "6", "need_rotation": "false", "version_created": "true"}),
        false => json!({"build_status": "1", "create_status": "1", "need_rotation": "true", "version_created": "false"}),
    }
}

pub fn upload(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let template = text(given, "template_id").ok_or("TEMPLATE_ID_IS_BLANK")?;
    let number = number(given)?;
    if template != shelf::TEMPLATE {
        return Err("CODE_TEMPLATE_NOT_EXIST");
    }
    let template_version = text(given, "template_version").unwrap_or_else(|| shelf::TEMPLATE_VERSION.to_owned());
    if template_version != shelf::TEMPLATE_VERSION {
        return Err("TEMPLATE_NOT_ONLINE_OR_OFFLINE");
    }
    let wanted = parts(&number).ok_or("INVALID_VERSION")?;
    if given.get("ext").is_some_and(|ext| ext.as_str().is_none_or(|ext| !is_ext(ext))) {
        return Err("INVALID_EXT_JSON");
    }
    if program.version(&number).is_some() {
        return Err("VERSION_HAS_EXISTED");
    }
    if program.versions.iter().filter_map(|version| parts(&version.number)).any(|known| known >= wanted) {
        return Err("LARGER_VERSION_HAS_EXISTED");
    }
    if program.versions.iter().filter(|version| version.state == "INIT").count() >= MOST_IN_DEVELOPMENT {
        return Err("DEV_VERSION_EXCEED_MAX_COUNT");
    }
    program.versions.push(Version {
        number,
        state: "INIT",
        built_at: None,
        template_version,
        domains: program.domains.clone(),
        description: String::new(),
        remark: String::new(),
        releases_itself: false,
        gray_strategy: String::new(),
        reason: String::new(),
        created_at: now,
        submitted_at: None,
        audited_at: None,
        released_at: None,
        offline_at: None,
    });
    Ok(build_answer(false))
}

fn is_ext(ext: &str) -> bool {
    serde_json::from_str::<Value>(ext).is_ok_and(|ext| ext.get("extEnable").is_some_and(Value::is_boolean))
}

pub fn build(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let version = program.version(&number(given)?).ok_or("BUILD_VERSION_NOT_EXISTED")?;
    version.built_at.get_or_insert(now);
    Ok(build_answer(true))
}

pub fn list(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    // Without states the platform answers with nothing but the deprecated list (Alipay 5.3).
    let states = text(given, "version_status").unwrap_or_default();
    let entry = |version: &Version| {
        json!({
            "app_version": version.number, "bundle_id": "com.alipay.alipaywallet", "version_status": version.state,
            "version_description": version.description, "create_time": china_text(version.created_at),
        })
    };
    let wanted = program.versions.iter().rev().filter(|version| states.split(',').any(|state| state == version.state));
    Ok(json!({"app_version_infos": wanted.take(20).map(entry).collect::<Vec<_>>()}))
}

pub fn detail(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let number = number(given)?;
    let profile = program.profile.clone();
    let version = program.version(&number).ok_or("MINIAPP_VERSION_NOT_EXSIT")?;
    let mut answer = json!({
        "app_version": version.number, "status": version.state, "version_desc": version.description, "memo": version.remark,
        "scan_result": if version.is_scanned(now) { "True" } else { "NAN" }, "gmt_create": china_text(version.created_at),
        "service_region_type": "CHINA",
    });
    if let Some(members) = answer.as_object_mut() {
        members.extend(profile.into_iter().filter(|(name, _)| name != "category_names"));
        let times = [
            ("gmt_apply_audit", version.submitted_at),
            ("gmt_audit_end", version.audited_at),
            ("gmt_online", version.released_at),
            ("gmt_offline", version.offline_at),
        ];
        members.extend(times.into_iter().filter_map(|(name, at)| Some((name.to_owned(), Value::from(china_text(at?))))));
        for (name, value) in [("reject_reason", &version.reason), ("gray_strategy", &version.gray_strategy)] {
            if !value.is_empty() {
                members.insert(name.to_owned(), Value::from(value.as_str()));
            }
        }
    }
    Ok(answer)
}

pub fn delete(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let number = number(given)?;
    let is_trial = program.trial.as_ref().is_some_and(|(trial, _)| *trial == number);
    let version = program.version(&number).ok_or("MINI_APP_PACKAGE_INFO_NOT_EXIST")?;
    match () {
        () if version.state != "INIT" => return Err("CAN_NOT_DELETE_WITHOUT_DEV"),
        () if version.built_at.is_none() => return Err("CAN_NOT_DELETE_WITH_INSTANTIATE"),
        () if !version.is_scanned(now) => return Err("CAN_NOT_DELETE_WITH_SCANNING"),
        () if is_trial => return Err("CAN_NOT_DELETE_WITH_EXPERIENCE"),
        () => {}
    }
    program.versions.retain(|version| version.number != number);
    Ok(json!({}))
}

pub fn submit(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let number = number(given)?;
    let description = text(given, "version_desc").ok_or("VERSION_DESC_IS_BLANK")?;
    if !(30..=500).contains(&units(&description)) {
        return Err("INVALID_VERSION_DESC_LENGTH");
    }
    match text(given, "region_type").ok_or("REGION_TYPE_IS_BLANK")?.as_str() {
        "GLOBAL" | "CHINA" => {}
        "LOCATION" if text(given, "service_region_info").is_some_and(|list| serde_json::from_str::<Vec<Value>>(&list).is_ok()) => {}
        "LOCATION" => return Err("REGION_CODE_IS_BLANK"),
        _ => return Err("REGION_TYPE_IS_INVALID"),
    }
    if program.pending.is_some() {
        return Err("MINI_APP_INFO_AUDIT_CONTAINS");
    }
    let is_occupied = program.versions.iter().any(|version| version.number != number && UNDER_WAY.contains(&version.state));
    let is_online = program.is_online();
    let version = program.version(&number).ok_or("MINIAPP_VERSION_NOT_EXSIT")?;
    match () {
        () if version.state == "AUDITING" => return Err("SUBMIT_REPEAT"),
        () if version.state != "INIT" => return Err("CAN_NOT_SUBMIT_WITHOUT_INIT"),
        () if is_occupied => return Err("CAN_NOT_SUBMIT_WITH_AUDIT_GRAY"),
        () if !version.is_scanned(now) => return Err("CAN_NOT_SUBMIT_WITHOUT_SCAN_PASS"),
        () if is_online && given.contains_key("app_name") => return Err("CAN_NOT_MODIFY_NAME_ONCE_ONLINE"),
        () => {}
    }
    version.state = "AUDITING";
    version.description = description;
    version.remark = text(given, "memo").unwrap_or_default();
    version.releases_itself = text(given, "auto_online").as_deref() == Some("true");
    version.submitted_at = Some(now);
    Ok(json!({"speed_up": "false", "speed_up_memo": ""}))
}

/// Versions that wait for an auditor.
pub fn in_audit(app_id: &str, program: &MiniProgram) -> Vec<Submission> {
    let waiting = program.versions.iter().filter(|version| version.state == "AUDITING");
    let submission =
        |version: &Version| Some(Submission { app_id: app_id.to_owned(), version: version.number.clone(), since: version.submitted_at? });
    waiting.filter_map(submission).collect()
}

/// The auditor's word about a version; one that is not in audit stays as it is.
pub fn judge(program: &mut MiniProgram, number: &str, verdict: &Verdict, now: Timestamp) {
    let Some(version) = program.version(number).filter(|version| version.state == "AUDITING") else { return };
    version.audited_at = Some(now);
    let releases_itself = version.releases_itself;
    match verdict {
        Verdict::Passed => version.state = "WAIT_RELEASE",
        Verdict::Failed(words) => {
            version.state = "AUDIT_REJECT";
            version.reason.clone_from(words);
            return;
        }
    }
    if releases_itself {
        release(program, number, now);
    }
}

/// Safe domains of the version that is online.
pub fn domains_online(program: &MiniProgram) -> Vec<String> {
    program.versions.iter().filter(|version| version.state == "RELEASE").flat_map(|version| version.domains.clone()).collect()
}

fn release(program: &mut MiniProgram, number: &str, now: Timestamp) {
    for version in &mut program.versions {
        match version.number == number {
            true => {
                version.state = "RELEASE";
                version.released_at = Some(now);
            }
            false if version.state == "RELEASE" => {
                version.state = "OFFLINE";
                version.offline_at = Some(now);
            }
            false => {}
        }
    }
}

/// Moves a version from one of these states to another.
fn moved(program: &mut MiniProgram, number: &str, from: &[&str], to: &'static str, otherwise: &'static str) -> Done {
    let version = program.version(number).ok_or("MINI_APP_PACKAGE_INFO_NOT_EXIST")?;
    if !from.contains(&version.state) {
        return Err(otherwise);
    }
    version.state = to;
    Ok(json!({}))
}

pub fn withdraw(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let auditing = program.versions.iter().find(|version| version.state == "AUDITING").map(|version| version.number.clone());
    let number = text(given, "app_version").or(auditing).ok_or("AUDITING_VERSION_NOT_EXIST")?;
    moved(program, &number, &["AUDITING"], "INIT", "INVALID_VERSION_STATUS")
}

pub fn back_to_development(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let from = ["WAIT_RELEASE", "BASE_AUDIT_PASS", "AUDIT_REJECT"];
    moved(program, &number(given)?, &from, "INIT", "CAN_NOT_BACK_DEV_WITHOUT_AUDIT")
}

pub fn gray(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let number = number(given)?;
    let strategy = text(given, "gray_strategy").ok_or("GRAY_STRATEGY_IS_BLANK")?;
    if !["p10", "p30", "p50"].contains(&strategy.as_str()) {
        return Err("GRAY_STRATEGY_IS_INVALID");
    }
    let version = program.version(&number).ok_or("MINIAPP_VERSION_NOT_EXSIT")?;
    match version.state {
        "GRAY" if strategy < version.gray_strategy => return Err("GRAY_STRATEGY_NOT_ALLOW_REDUCE"),
        "GRAY" | "WAIT_RELEASE" | "BASE_AUDIT_PASS" => {}
        _ => return Err("CAN_NOT_GRAY_WITHOUT_AUDIT_PASS"),
    }
    version.state = "GRAY";
    version.gray_strategy = strategy;
    Ok(json!({}))
}

pub fn end_gray(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let number = number(given)?;
    moved(program, &number, &["GRAY"], "WAIT_RELEASE", "CAN_NOT_END_GRAY_WITHOUT_GRAY")?;
    if let Some(version) = program.version(&number) {
        version.gray_strategy.clear();
    }
    Ok(json!({}))
}

pub fn online(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let number = number(given)?;
    let version = program.version(&number).ok_or("MINI_APP_VERSION_NOT_EXIST")?;
    match version.state {
        "GRAY" => {}
        state if PASSED.contains(&state) => {}
        "INIT" | "AUDITING" | "AUDIT_REJECT" => return Err("CAN_NOT_ONLINE_WITHOUT_AUDIT"),
        _ => return Err("CAN_NOT_ONLINE_NOT_GRAY_OR_WAITRELEASE"),
    }
    version.gray_strategy.clear();
    program.is_rolled_back = false;
    release(program, &number, now);
    Ok(json!({}))
}

pub fn offline(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let number = number(given)?;
    if program.versions.iter().any(|version| version.state == "GRAY") {
        return Err("CAN_NOT_OFFLINE_WITH_GRAY");
    }
    moved(program, &number, &["RELEASE"], "OFFLINE", "CAN_NOT_OFFLINE_WITHOUT_ONLINE")?;
    if let Some(version) = program.version(&number) {
        version.offline_at = Some(now);
    }
    Ok(json!({}))
}

pub fn rollback(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let number = number(given)?;
    let online = program.version(&number).ok_or("MINI_APP_PACKAGE_INFO_NOT_EXIST")?;
    if online.state != "RELEASE" {
        return Err("CAN_NOT_ROLLBACK_WITHOUT_ONLINE");
    }
    if program.is_rolled_back {
        return Err("CAN_NOT_CONTINUOUS_ROLLBACK");
    }
    if program.versions.iter().any(|version| version.state == "GRAY") {
        return Err("CAN_NOT_ROLLBACK_WITH_GRAY");
    }
    let wanted = parts(&number);
    let former = program.versions.iter().filter(|version| version.state == "OFFLINE" && parts(&version.number) < wanted);
    let former = former.max_by_key(|version| parts(&version.number)).map(|version| version.number.clone());
    let former = former.ok_or("CAN_NOT_ROLLBACK_WITHOUT_OFFLINE")?;
    release(program, &former, now);
    program.is_rolled_back = true;
    Ok(json!({}))
}

pub fn make_trial(program: &mut MiniProgram, given: &Given, now: Timestamp) -> Done {
    let number = number(given)?;
    if program.trial.as_ref().is_some_and(|(trial, _)| *trial == number) {
        return Err("CAN_NOT_SET_EXP_REPEAT");
    }
    let version = program.version(&number).ok_or("MINI_APP_PACKAGE_INFO_NOT_EXIST")?;
    match () {
        () if version.state == "RELEASE" => return Err("CAN_NOT_SET_EXP_WITH_ONLINED_STATUS"),
        () if !version.is_scanned(now) => return Err("CAN_NOT_SET_WITHOUT_SCAN_PASS"),
        () => {}
    }
    program.trial = Some((number, 0));
    Ok(json!({}))
}

pub fn trial(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let number = number(given)?;
    program.version(&number).ok_or("MINI_APP_PACKAGE_INFO_NOT_EXIST")?;
    Ok(match &mut program.trial {
        // Packaging takes until the second question.
        Some((trial, asked @ 0)) if *trial == number => {
            *asked = 1;
            json!({"status": "expVersionPackaging"})
        }
        Some((trial, _)) if *trial == number => json!({
            "status": "expVersionPackged",
            "exp_qr_code_url": format!("https://example.com/trial/{number}.png"),
            "exp_schema_url": format!("alipays://platformapi/startapp?trial={number}"),
        }),
        _ => json!({"status": "notExpVersion"}),
    })
}

pub fn end_trial(program: &mut MiniProgram, given: &Given, _: Timestamp) -> Done {
    let number = number(given)?;
    program.version(&number).ok_or("MINI_APP_PACKAGE_INFO_NOT_EXIST")?;
    match program.trial.take_if(|(trial, _)| *trial == number) {
        Some(_) => Ok(json!({})),
        None => Err("CAN_NOT_CANCEL_EXP_WITH_INVALID_STATUS"),
    }
}
