//! The version list in normal names: test version, audit version, gradual and online version (5.6).

use serde_json::Value as Json;

use super::Task;
use super::read::{Data, list, text, time, told, word};
use crate::platform::loose;

const PACKAGE: &[(i64, &str)] = &[(0, "in_audit"), (1, "passed"), (2, "failed"), (3, "withdrawn")];
/// The stages of the version list, in the order of their lives.
const STAGES: [&str; 4] = ["latest", "audit", "gray", "current"];

/// One stage of a version list.
pub(super) fn stage<'a>(data: &'a Data, name: &str) -> Option<&'a Data> {
    data.get(name).and_then(Json::as_object)
}

/// The versions that there are, one for each stage.
pub(super) fn packages(data: &Data) -> Vec<Json> {
    STAGES.iter().filter_map(|name| stage(data, name).map(|package| self::package(name, package))).collect()
}

fn package(stage: &str, of: &Data) -> Json {
    let flag = |names: &[&str]| loose::integer_of(of, names).map(|flag| Json::from(flag == 1));
    let status = match stage {
        "audit" => word(of, &["status"], PACKAGE),
        "current" if loose::integer_of(of, &["has_down"]) == Some(1) => Some(Json::from("offline")),
        "current" => Some(Json::from("released")),
        "latest" => Some(Json::from("uploaded")),
        _ => None,
    };
    let rollback = of.get("rollback").and_then(Json::as_object).map(|rollback| {
        told([
            ("possible", loose::integer_of(rollback, &["can_rollback"]).map(|flag| Json::from(flag == 1))),
            ("version", text(rollback, &["last_version"])),
        ])
    });
    let hosts = |names: &[&str]| loose::find(of, names).is_some().then(|| list(of, names));
    let reasons = loose::find(of, &["reason_detail", "reasonDetail"]).and_then(Json::as_object);
    let passed = hosts(&["approved_apps", "approvedApps"]);
    let refused = reasons.map(|reasons| refused(reasons, passed.as_deref().unwrap_or_default())).unwrap_or_default();
    // The audit stage has no list of the hosts that rejected a version: it gives their reasons, by host (5.6).
    let by_reasons = || (stage == "audit" && !refused.is_empty()).then(|| refused.iter().map(|(host, _)| host.clone()).collect());
    let failed = hosts(&["not_approved_apps", "notApprovedApps"]).or_else(by_reasons);
    told([
        ("stage", Some(Json::from(stage))),
        ("version", text(of, &["version"])),
        ("description", text(of, &["summary"])),
        ("status", status),
        ("created_at", time(of, &["ctime"])),
        ("tag", text(of, &["version_tag"])),
        ("was_submitted", flag(&["has_audit"])),
        ("was_released", flag(&["has_publish"])),
        ("taken_down", flag(&["is_illegal_version"])),
        ("hosts_passed", passed.map(Json::from)),
        ("hosts_failed", failed.map(Json::from)),
        ("reason", text(of, &["reason"]).or_else(|| together(refused))),
        ("reasons", reasons.cloned().map(Json::from)),
        ("rollback", rollback),
    ])
}

/// Hosts that did not let a version pass, with their words.
fn refused(reasons: &Data, passed: &[String]) -> Vec<(String, String)> {
    let of = |(host, reason): (&String, &Json)| Some((host.clone(), loose::words(reason)?));
    reasons.iter().filter_map(of).filter(|(host, _)| !passed.contains(host)).collect()
}

/// The words of all of them; hosts mostly refuse for the same.
fn together(refused: Vec<(String, String)>) -> Option<Json> {
    let mut words: Vec<String> = Vec::new();
    for (_, reason) in refused {
        if !words.contains(&reason) {
            words.push(reason);
        }
    }
    (!words.is_empty()).then(|| Json::from(words.join("; ")))
}

/// The version that the parameters name: by stage, by number, or both.
pub(super) fn chosen(task: Task<'_>, data: &Data) -> Option<Json> {
    let fits = |package: &Json, name: &str, member: &str| {
        task.params.text(name).is_none_or(|wanted| package.get(member).and_then(Json::as_str) == Some(&wanted))
    };
    // The one furthest in its life first.
    packages(data).into_iter().rev().find(|package| fits(package, "stage", "stage") && fits(package, "version", "version"))
}
