//! A mini program as Baidu keeps it, granted or not.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::app_number;
use super::packages::Package;

/// One mini program.
pub(super) struct Program {
    pub app_id: String,
    pub name: String,
    /// The name was not taken back.
    pub named: bool,
    pub intro: String,
    pub icon: String,
    /// Changes in audit or failed: field (`app_name`, `app_desc`, `photo_addr`) → value, and the auditor's words where it failed.
    pub audits: BTreeMap<&'static str, (String, Option<String>)>,
    /// Changes made: `name`, `signature`, `image`, `category`.
    pub used: BTreeMap<&'static str, i64>,
    pub categories: Vec<Category>,
    /// Request, socket, upload, download.
    pub server: [Vec<String>; 4],
    pub webview: Vec<String>,
    /// 0 none, 1 pending, 2 rejected, 3 granted.
    pub phone: (i64, Option<String>),
    pub packages: Vec<Package>,
    /// Submissions left.
    pub submissions: i64,
    pub paused: bool,
    pub forced_offline: bool,
    pub traffic_off: bool,
    /// The platform closed its traffic.
    pub banned: bool,
    pub web_status: i64,
    pub base_library: String,
    /// Messages sent to a user since the user's last one.
    pub messages: BTreeMap<String, u32>,
}

/// A category that is set.
pub(super) struct Category {
    pub id: u64,
    /// 1 in audit, 2 passed, 3 failed.
    pub status: i64,
    pub reason: Option<String>,
}

/// Submissions in a week.
pub(super) const SUBMISSIONS: i64 = 10;

/// How often things may be changed (4.8).
pub(super) const QUOTAS: [(&str, i64); 4] = [("name", 5), ("signature", 5), ("image", 5), ("category", 3)];

impl Program {
    pub(super) fn new(app_id: &str) -> Self {
        Self {
            app_id: app_id.to_owned(),
            name: format!("Sample app {app_id}"),
            named: true,
            intro: String::from("A sample mini program"),
            icon: String::from("https://b.bdstatic.com/sample/first.png"),
            audits: BTreeMap::new(),
            used: BTreeMap::new(),
            categories: vec![Category { id: 301, status: 2, reason: None }],
            server: Default::default(),
            webview: Vec::new(),
            phone: (0, None),
            packages: Vec::new(),
            submissions: SUBMISSIONS,
            paused: false,
            forced_offline: false,
            traffic_off: false,
            banned: false,
            web_status: 0,
            base_library: String::from("2.15.07"),
            messages: BTreeMap::new(),
        }
    }

    fn status(&self) -> i64 {
        match (self.forced_offline, self.paused, self.traffic_off || self.banned) {
            (true, ..) => 5,
            (_, true, _) => 4,
            (_, _, true) => 7,
            _ => 1,
        }
    }

    /// `app/info` (4.8).
    pub(super) fn info(&self) -> Value {
        let mut audit = serde_json::Map::new();
        for (field, (value, reason)) in &self.audits {
            audit.insert(format!("audit_{field}"), Value::from(value.as_str()));
            audit.insert(format!("audit_{field}_status"), Value::from(if reason.is_some() { 3 } else { 1 }));
            audit.insert(format!("audit_{field}_reason"), Value::from(reason.as_deref()));
        }
        let mut counts = serde_json::Map::new();
        for (what, quota) in QUOTAS {
            counts.insert(format!("{what}_modify_used"), Value::from(self.used.get(what).copied().unwrap_or_default()));
            counts.insert(format!("{what}_modify_quota"), Value::from(quota));
        }
        let category = |category: &Category| {
            json!({
                "category_id": category.id, "category_name": format!("Category {}", category.id), "audit_status": category.status,
                "reason": category.reason, "parent": {"category_id": 1, "category_name": "Sample parent"},
            })
        };
        let offline = match self.forced_offline {
            true => json!([{"offline_reason": 1, "illegal_fields": "appName"}]),
            false => json!([]),
        };
        let scopes = ["开发管理权限", "基本信息设置权限"].map(|name| json!({"scope_name": name, "type": 0}));
        json!({
            "app_id": app_number(&self.app_id), "app_name": self.name, "app_key": "sampleAppKey", "app_desc": self.intro,
            "photo_addr": json!([{"cover": self.icon}]).to_string(),
            "qualification": {"name": "Sample company", "type": 2, "satus": 1, "ad_type": 1, "ad_status": 1},
            "category": self.categories.iter().map(category).collect::<Vec<_>>(),
            "audit_info": audit, "modify_count": counts,
            "auth_info": scopes,
            "app_offline_info": offline, "min_swan_version": self.base_library, "status": self.status(), "web_status": self.web_status,
        })
    }
}
