//! Code of one mini program: test version, audit version, online version, the one before (5.6).

use serde_json::{Value, json};

use super::desk::{No, PARAMETER, Said};
use super::merchant::Asked;
use crate::clock::Timestamp;
use crate::platform::loose;

/// Seconds between submissions and between rollbacks.
const BETWEEN_SUBMISSIONS: i64 = 10;
const BETWEEN_ROLLBACKS: i64 = 600;
/// Hosts that audit, with the names that people see.
const HOSTS: &[(&str, &str)] = &[("douyin", "抖音"), ("douyin_lite", "抖音极速版"), ("toutiao", "今日头条")];

/// Status numbers of an audit.
const IN_AUDIT: i64 = 0;
const PASSED: i64 = 1;
const REJECTED: i64 = 2;
const WITHDRAWN: i64 = 3;

#[derive(Clone)]
struct Package {
    version: String,
    summary: String,
    made_at: Timestamp,
    hosts: Vec<String>,
    /// Those of the hosts that rejected it, with their reasons.
    refused: Vec<(String, Value)>,
}

impl Package {
    /// Hosts that show it once it is released.
    fn passed(&self) -> Vec<String> {
        self.hosts.iter().filter(|host| !self.refused_by().contains(host)).cloned().collect()
    }

    fn refused_by(&self) -> Vec<String> {
        self.refused.iter().map(|(host, _)| host.clone()).collect()
    }

    fn reasons(&self) -> Value {
        let seen =
            |(host, reason): &(String, Value)| display(std::slice::from_ref(host)).first().map(|seen| ((*seen).to_owned(), reason.clone()));
        if self.refused.is_empty() { Value::Null } else { self.refused.iter().filter_map(seen).collect() }
    }
}

struct Audit {
    package: Package,
    status: i64,
    published: bool,
}

/// All versions.
#[derive(Default)]
pub(super) struct Packages {
    latest: Option<Package>,
    latest_submitted: bool,
    audit: Option<Audit>,
    current: Option<Package>,
    /// The online version before the present one, until it was gone back to.
    former: Option<Package>,
    submitted_at: Option<Timestamp>,
    rolled_back_at: Option<Timestamp>,
}

fn within(since: Option<Timestamp>, seconds: i64, now: Timestamp) -> bool {
    since.is_some_and(|since| now.duration_since(since).as_secs() < seconds)
}

impl Packages {
    /// 0 not released, 1 released.
    pub fn state(&self) -> i64 {
        i64::from(self.current.is_some())
    }

    pub fn upload(&mut self, asked: &Asked<'_>) -> Said {
        let id = asked.body.get("template_id").and_then(Value::as_u64).ok_or(PARAMETER)?;
        if !asked.templates.contains(&id) {
            return Err(No(40_029, "template not found"));
        }
        let (Some(version), Some(summary), Some(ext)) = (asked.text("user_version"), asked.text("user_desc"), asked.text("ext_json"))
        else {
            return Err(PARAMETER);
        };
        let ext: Value = serde_json::from_str(ext).map_err(|_| PARAMETER)?;
        if !ext.get("extEnable").is_some_and(Value::is_boolean) || ext.get("extAppid").and_then(Value::as_str) != Some(asked.app_id) {
            return Err(PARAMETER);
        }
        self.latest = Some(Package {
            version: version.to_owned(),
            summary: summary.to_owned(),
            made_at: asked.now,
            hosts: Vec::new(),
            refused: Vec::new(),
        });
        self.latest_submitted = false;
        Ok(Value::Null)
    }

    pub fn hosts(&self) -> Value {
        let names: Vec<_> = HOSTS.iter().map(|(name, _)| *name).collect();
        json!({"host_names": names, "released_host_names": self.current.as_ref().map(Package::passed)})
    }

    pub fn submit(&mut self, asked: &Asked<'_>) -> Said {
        let hosts = asked.texts("host_names").filter(|hosts| !hosts.is_empty()).ok_or(PARAMETER)?;
        if hosts.iter().any(|host| !HOSTS.iter().any(|(name, _)| name == host)) {
            return Err(PARAMETER);
        }
        if within(self.submitted_at, BETWEEN_SUBMISSIONS, asked.now) {
            return Err(No(11_301, "too frequent"));
        }
        if self.audit.as_ref().is_some_and(|audit| audit.status == IN_AUDIT) {
            return Err(No(11_303, "another version is in audit"));
        }
        let again = asked.body.get("audit_way").and_then(Value::as_i64) == Some(1);
        let package = match again {
            true => self.audit.as_ref().filter(|audit| audit.status == REJECTED).map(|audit| audit.package.clone()),
            false => self.latest.clone(),
        };
        let package = package.ok_or(No(11_302, "no test version"))?;
        self.latest_submitted |= !again;
        self.submitted_at = Some(asked.now);
        let package = Package { hosts, made_at: asked.now, refused: Vec::new(), ..package };
        self.audit = Some(Audit { package, status: IN_AUDIT, published: false });
        Ok(Value::Null)
    }

    pub fn withdraw(&mut self) -> Said {
        match self.audit.as_mut() {
            Some(audit) if audit.status == IN_AUDIT => {
                audit.status = WITHDRAWN;
                Ok(Value::Null)
            }
            Some(audit) if audit.status == WITHDRAWN => Err(No(11_601, "already withdrawn")),
            _ => Err(No(11_603, "already decided")),
        }
    }

    /// Hosts that audit the version in audit.
    pub fn audited_by(&self) -> Option<Vec<String>> {
        self.audit.as_ref().filter(|audit| audit.status == IN_AUDIT).map(|audit| audit.package.hosts.clone())
    }

    /// What the hosts said of the version in audit (3.2). One that lets it pass is enough for it to be released, there alone.
    pub fn decided(&mut self, results: Option<&Value>) {
        let Some(audit) = self.audit.as_mut().filter(|audit| audit.status == IN_AUDIT) else { return };
        let results: Vec<_> = results.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).collect();
        if results.is_empty() {
            return;
        }
        for result in results {
            let host = loose::text_of(result, &["hostName"]).unwrap_or_default();
            if loose::integer_of(result, &["status"]) == Some(0) && audit.package.hosts.iter().any(|of| *of == host) {
                let reason = result.get("reason").cloned().unwrap_or_default();
                audit.package.refused.push((host.into_owned(), reason));
            }
        }
        audit.status = if audit.package.passed().is_empty() { REJECTED } else { PASSED };
    }

    /// The version in audit, and since when it is.
    pub fn in_audit(&self) -> Option<(&str, Timestamp)> {
        let audit = self.audit.as_ref().filter(|audit| audit.status == IN_AUDIT)?;
        Some((&audit.package.version, audit.package.made_at))
    }

    /// The version that something was done to just now.
    pub fn concerned(&self, deed: &str) -> Option<String> {
        let package = match deed {
            "package.upload" => self.latest.as_ref(),
            "audit.submit" | "audit.withdraw" => self.audit.as_ref().map(|audit| &audit.package),
            "package.release" | "package.rollback" => self.current.as_ref(),
            _ => None,
        };
        package.map(|package| package.version.clone())
    }

    pub fn release(&mut self) -> Said {
        match self.audit.as_mut() {
            Some(audit) if audit.status == IN_AUDIT => Err(No(11_403, "still in audit")),
            Some(audit) if audit.status == PASSED && !audit.published => {
                audit.published = true;
                self.former = self.current.replace(audit.package.clone());
                Ok(Value::Null)
            }
            _ => Err(No(11_402, "no audit version")),
        }
    }

    pub fn rollback(&mut self, now: Timestamp) -> Said {
        if within(self.rolled_back_at, BETWEEN_ROLLBACKS, now) {
            return Err(No(11_501, "too frequent"));
        }
        let former = self.former.take().ok_or(No(10_003, "no record"))?;
        self.current = Some(former);
        self.rolled_back_at = Some(now);
        Ok(Value::Null)
    }

    pub fn qr_code(&self, asked: &Asked<'_>) -> Said {
        let stage = asked.text("version").ok_or(PARAMETER)?;
        let there = match stage {
            "latest" => self.latest.is_some(),
            "audit" => self.audit.is_some(),
            "current" => self.current.is_some(),
            _ => return Err(PARAMETER),
        };
        if asked.text("path").is_some_and(|path| path.starts_with('/')) {
            return Err(PARAMETER);
        }
        match there {
            true => Ok(json!({"qr_code_url": format!("https://qr.example.com/{}/{stage}.png", asked.app_id)})),
            false => Err(No(40_030, "no QR code for that stage")),
        }
    }

    pub fn versions(&self) -> Value {
        let latest =
            self.latest.as_ref().map(|package| told(package, json!({"has_audit": i64::from(self.latest_submitted), "screenshot": ""})));
        let audit = self.audit.as_ref().map(|audit| {
            let approved = if audit.status == PASSED { display(&audit.package.passed()) } else { Vec::new() };
            let reason = match audit.status {
                REJECTED => audit.package.refused.first().and_then(|(_, reason)| loose::words(reason)),
                _ => None,
            };
            // The vendor's own sample mixes the two spellings (5.6).
            let more = json!({
                "status": audit.status, "approved_apps": approved, "has_publish": i64::from(audit.published), "is_illegal_version": false,
                "reason": reason.unwrap_or_default(), "reason_detail": audit.package.reasons(), "attachInfo": null,
            });
            told(&audit.package, more)
        });
        let current = self.current.as_ref().map(|package| {
            let last = self.former.as_ref().map_or("", |former| former.version.as_str());
            let more = json!({
                "approved_apps": display(&package.passed()), "not_approved_apps": display(&package.refused_by()), "has_down": 0,
                "reason_detail": package.reasons(),
                "rollback": {"can_rollback": self.former.is_some(), "last_version": last},
            });
            told(package, more)
        });
        json!({"latest": latest, "audit": audit, "current": current, "gray": null})
    }
}

fn display(hosts: &[String]) -> Vec<&'static str> {
    HOSTS.iter().filter(|(name, _)| hosts.iter().any(|host| host == name)).map(|(_, seen)| *seen).collect()
}

/// A version with what its stage has more.
fn told(package: &Package, more: Value) -> Value {
    let mut told = json!({
        "version": package.version, "summary": package.summary, "ctime": package.made_at.as_second(), "categories": ["示例"],
        "developer_id": "1", "developer_name": "provider", "developer_avatar": null, "version_tag": "",
    });
    if let (Value::Object(told), Value::Object(more)) = (&mut told, more) {
        told.extend(more);
    }
    told
}
