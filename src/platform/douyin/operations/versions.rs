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
    let hosts = |names: &[&str]| loose::find(of, names).is_some().then(|| list(of, names).into());
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
        ("hosts_passed", hosts(&["approved_apps", "approvedApps"])),
        ("hosts_failed", hosts(&["not_approved_apps", "notApprovedApps"])),
        ("reason", text(of, &["reason"])),
        ("reasons", of.get("reason_detail").or_else(|| of.get("reasonDetail")).filter(|reasons| reasons.is_object()).cloned()),
        ("rollback", rollback),
    ])
}

/// The version that the parameters name: by stage, by number, or both.
pub(super) fn chosen(task: Task<'_>, data: &Data) -> Option<Json> {
    let fits = |package: &Json, name: &str, member: &str| {
        task.params.text(name).is_none_or(|wanted| package.get(member).and_then(Json::as_str) == Some(&wanted))
    };
    // The one furthest in its life first.
    packages(data).into_iter().rev().find(|package| fits(package, "stage", "stage") && fits(package, "version", "version"))
}
