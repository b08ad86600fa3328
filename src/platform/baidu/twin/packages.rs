//! The twin's packages (5.2): they appear a while after their upload, are audited, released, rolled back after a delay.

use base64::Engine;
use serde_json::{Value, json};

use super::library::Library;
use super::no::{No, platform, success};
use super::program::{Program, SUBMISSIONS};
use crate::clock::{Timestamp, china_text};
use crate::platform::loose::after;
use crate::platform::quota::AuditMeter;
use crate::platform::twin::{Request, Submission, Verdict};

/// Seconds until an uploaded package is there.
const MAKING: i64 = 3;
/// Seconds that a rollback takes.
const ROLLING: i64 = 5;
/// A picture of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// Where a package stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Uploading,
    Development,
    InAudit,
    Failed,
    Passed,
    Online,
    RollingBack,
    /// Was online; shown to nobody.
    Former,
}

/// One package.
pub(super) struct Package {
    id: u64,
    version: String,
    description: String,
    pub stage: Stage,
    message: String,
    remark: String,
    committed: Timestamp,
    /// When the present stage ends by itself.
    until: Timestamp,
    submit_at_once: bool,
    /// When it was last submitted.
    submitted: Timestamp,
    template_id: String,
    /// The package that was online before it.
    former: Option<u64>,
}

impl Program {
    /// Lets time take effect.
    pub(super) fn settle(&mut self, now: Timestamp) {
        let mut back_online = None;
        for package in self.packages.iter_mut().filter(|package| package.until <= now) {
            match package.stage {
                Stage::Uploading if package.submit_at_once => {
                    package.stage = Stage::InAudit;
                    package.submitted = package.until;
                }
                Stage::Uploading => package.stage = Stage::Development,
                Stage::RollingBack => {
                    package.stage = Stage::Former;
                    back_online = package.former;
                }
                _ => {}
            }
        }
        if let Some(package) = self.packages.iter_mut().find(|package| Some(package.id) == back_online) {
            package.stage = Stage::Online;
        }
    }

    /// An auditor's verdict on the submitted package of that version: its id.
    pub(super) fn judge(&mut self, version: &str, verdict: &Verdict) -> Option<u64> {
        let package = self.packages.iter_mut().rev().find(|package| package.version == version && package.stage == Stage::InAudit)?;
        match verdict {
            Verdict::Passed => package.stage = Stage::Passed,
            Verdict::Failed(reason) => {
                package.stage = Stage::Failed;
                package.message.clone_from(reason);
            }
        }
        Some(package.id)
    }

    /// Packages that wait for an auditor.
    pub(super) fn in_audit(&mut self, now: Timestamp) -> Vec<Submission> {
        self.settle(now);
        let waiting = self.packages.iter().filter(|package| package.stage == Stage::InAudit);
        let submission =
            |package: &Package| Submission { app_id: self.app_id.clone(), version: package.version.clone(), since: package.submitted };
        waiting.map(submission).collect()
    }

    /// The version that a call names, by itself or by its package.
    pub(super) fn named_version(&self, request: &Request) -> Option<String> {
        let id = request.form_value("package_id");
        let package = || self.packages.iter().find(|package| id.as_ref().is_some_and(|id| *id == package.id.to_string()));
        request.form_value("user_version").or_else(|| package().map(|package| package.version.clone()))
    }

    pub(super) fn upload(
        &mut self,
        request: &Request,
        library: &mut Library,
        audits: &mut AuditMeter,
        now: Timestamp,
    ) -> Result<Value, No> {
        let field = |name: &str| request.form_value(name).filter(|value| !value.is_empty()).ok_or_else(|| platform(40001, "param error"));
        let (template_id, version, description) = (field("template_id")?, field("user_version")?, field("user_desc")?);
        let ext: Value = serde_json::from_str(&field("ext_json")?).map_err(|_| platform(69004, "ext_json cannot be parsed"))?;
        let ours = ext.get("extAppid").and_then(crate::platform::loose::text).is_some_and(|id| id == self.app_id);
        if !ours || !ext.get("extEnable").is_some_and(Value::is_boolean) {
            return Err(platform(40001, "param error: ext_json"));
        }
        if !library.has_template(&template_id) {
            return Err(platform(69006, "source template does not exist"));
        }
        let submit_at_once = ext.get("directCommit") == Some(&Value::Bool(true));
        if submit_at_once {
            self.submissible(audits, now)?;
            self.submissions -= 1;
            audits.take();
        }
        self.packages.push(Package {
            id: library.number(),
            version,
            description,
            stage: Stage::Uploading,
            message: String::new(),
            remark: String::new(),
            committed: now,
            until: after(now, MAKING),
            submit_at_once,
            submitted: now,
            template_id,
            former: None,
        });
        Ok(success(json!({})))
    }

    fn entry(&self, package: &Package) -> Option<Value> {
        let mut entry = serde_json::Map::new();
        let mut put = |name: &str, value: Value| drop(entry.insert(name.to_owned(), value));
        let common = json!({
            "version": package.version, "version_desc": package.description, "committer": "--", "msg": package.message,
            "remark": package.remark, "commit_time": china_text(package.committed).replace('-', "/"), "template_id": package.template_id,
        });
        for (name, value) in common.as_object().into_iter().flatten() {
            put(name, value.clone());
        }
        let status = match package.stage {
            Stage::Former => return None,
            Stage::Uploading => {
                put("upload_status", Value::from(1));
                put("upload_status_desc", Value::from("uploading"));
                return Some(Value::Object(entry));
            }
            Stage::Development => 3,
            Stage::InAudit => 4,
            Stage::Failed => 5,
            Stage::Passed => 6,
            Stage::Online => 1,
            Stage::RollingBack => 8,
        };
        put("package_id", Value::from(package.id));
        put("status", Value::from(status));
        if let Some(former) = self.packages.iter().find(|former| Some(former.id) == package.former) {
            put("rollback_version", Value::from(former.version.as_str()));
        }
        Some(Value::Object(entry))
    }

    pub(super) fn list(&self) -> Value {
        success(Value::Array(self.packages.iter().filter_map(|package| self.entry(package)).collect()))
    }

    pub(super) fn detail(&self, request: &Request) -> Result<Value, No> {
        let (id, kind) = (request.query_value("package_id"), request.query_value("type"));
        let online = Value::from(1);
        let found = self.packages.iter().rev().find_map(|package| {
            let entry = self.entry(package)?;
            let status = entry.get("status")?;
            let right = match (&id, &kind) {
                (Some(id), _) => *id == package.id.to_string(),
                (None, Some(kind)) => kind.parse::<i64>().ok() == status.as_i64(),
                (None, None) => *status == online,
            };
            right.then_some(entry)
        });
        found.map(success).ok_or_else(|| platform(69005, "package does not exist"))
    }

    fn package(&mut self, request: &Request, stage: Stage) -> Result<&mut Package, No> {
        let id = request.form_value("package_id").ok_or_else(|| platform(40001, "param error"))?;
        let found = self.packages.iter_mut().find(|package| package.id.to_string() == id && package.stage == stage);
        found.ok_or_else(|| platform(69005, "package does not exist"))
    }

    fn submissible(&self, audits: &mut AuditMeter, now: Timestamp) -> Result<(), No> {
        match (self.named, self.categories.iter().any(|category| category.status == 2)) {
            (false, true) => Err(platform(69001, "name has not passed its audit")),
            (true, false) => Err(platform(69002, "category has not passed its audit")),
            (false, false) => Err(platform(69003, "name and category have not passed their audits")),
            (true, true) if self.submissions < 1 || audits.used_up(now) => Err(platform(69013, "audit quota used up")),
            (true, true) => Ok(()),
        }
    }

    pub(super) fn submit(&mut self, request: &Request, audits: &mut AuditMeter, now: Timestamp) -> Result<Value, No> {
        let remark = request.form_value("remark").filter(|remark| !remark.is_empty());
        let (Some(remark), Some(_)) = (remark, request.form_value("content").filter(|content| !content.is_empty())) else {
            return Err(platform(40001, "param error"));
        };
        self.package(request, Stage::Development)?;
        self.submissible(audits, now)?;
        let package = self.package(request, Stage::Development)?;
        package.stage = Stage::InAudit;
        package.remark = remark;
        package.submitted = now;
        self.submissions -= 1;
        audits.take();
        Ok(success(json!({})))
    }

    pub(super) fn withdraw(&mut self, request: &Request) -> Result<Value, No> {
        self.package(request, Stage::InAudit)?.stage = Stage::Development;
        Ok(success(json!({})))
    }

    pub(super) fn release(&mut self, request: &Request) -> Result<Value, No> {
        let online = self.packages.iter_mut().find(|package| package.stage == Stage::Online);
        let former = online.as_ref().map(|package| package.id);
        let package = self.package(request, Stage::Passed)?;
        package.stage = Stage::Online;
        package.former = former;
        for package in self.packages.iter_mut().filter(|package| Some(package.id) == former) {
            package.stage = Stage::Former;
        }
        Ok(success(json!({})))
    }

    pub(super) fn rollback(&mut self, request: &Request, now: Timestamp) -> Result<Value, No> {
        let package = self.package(request, Stage::Online)?;
        if package.former.is_none() {
            return Err(platform(69005, "package does not exist"));
        }
        package.stage = Stage::RollingBack;
        package.until = after(now, ROLLING);
        Ok(success(json!({})))
    }

    pub(super) fn quota(&self, audits: &mut AuditMeter, now: Timestamp) -> Value {
        let left = audits.left(now).map_or(self.submissions, |left| self.submissions.min(left.into()));
        success(json!({"quota_type": 2, "quota_times": SUBMISSIONS, "remain_times": left}))
    }

    pub(super) fn qrcode(&self, request: &Request) -> Result<Vec<u8>, No> {
        let width = request.query_value("width").map_or(Ok(200), |width| width.parse::<u32>());
        if !width.is_ok_and(|width| (200..=1280).contains(&width)) {
            return Err(platform(470_018, "width is out of range"));
        }
        let right = match request.query_value("package_id") {
            None if self.packages.iter().any(|package| package.stage == Stage::Online) => true,
            None => return Err(platform(470_020, "no online package, package_id is needed")),
            Some(id) => self.packages.iter().any(|package| {
                let open = matches!(package.stage, Stage::Development | Stage::InAudit | Stage::Passed | Stage::Online);
                open && package.id.to_string() == id
            }),
        };
        if !right {
            return Err(platform(470_019, "package is not allowed"));
        }
        base64::engine::general_purpose::STANDARD.decode(PNG).map_err(|_| platform(47002, "qrcode failed"))
    }

    pub(super) fn has_live_package(&self) -> bool {
        self.packages.iter().any(|package| matches!(package.stage, Stage::Online | Stage::Passed))
    }
}
