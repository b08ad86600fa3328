//! The twin's basic information, categories, phone number permission, traffic and customer messages (5.3, 5.4, 5.6, 5.7, 5.10).

use serde_json::{Value, json};

use super::library::{CATEGORIES, Library};
use super::no::{No, platform, success};
use super::pictures;
use super::program::{Category, Program, QUOTAS};
use crate::platform::loose;
use crate::platform::twin::Request;

/// Base libraries there are.
const BASE_LIBRARIES: [&str; 3] = ["3.110.3", "3.105.10", "2.15.07"];
/// Customer messages after a user's last one.
const MOST_MESSAGES: u32 = 5;

fn field(request: &Request, name: &str) -> Result<String, No> {
    request.form_value(name).filter(|value| !value.is_empty()).ok_or_else(|| platform(40001, "param error"))
}

/// Addresses in JSON text of any shape.
fn addresses(text: Option<String>) -> Vec<String> {
    let value: Value = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let lists = value.as_object().into_iter().flat_map(|map| map.values()).filter_map(Value::as_array).flatten();
    lists.filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Program {
    /// Counts a change; refuses it where too many were made.
    fn spend(&mut self, what: &'static str, code: i64) -> Result<(), No> {
        let quota = QUOTAS.iter().find(|(known, _)| *known == what).map_or(0, |(_, quota)| *quota);
        let used = self.used.entry(what).or_default();
        if *used >= quota {
            return Err(platform(code, "limit of changes reached"));
        }
        *used += 1;
        Ok(())
    }

    fn change(&mut self, field: &'static str, value: String, what: &'static str, code: i64, library: &mut Library) -> Result<Value, No> {
        let current = match field {
            "app_name" => &self.name,
            "app_desc" => &self.intro,
            _ => &self.icon,
        };
        if *current == value {
            return Err(platform(50051, "same as the current value"));
        }
        if self.audits.get(field).is_some_and(|(_, reason)| reason.is_none()) {
            return Err(platform(50052, "in audit, do not edit again"));
        }
        self.spend(what, code)?;
        self.audits.insert(field, (value, None));
        Ok(success(json!({"examine_id": library.number()})))
    }

    pub(super) fn check_name(&self, request: &Request) -> Result<Value, No> {
        let name = request.query_value("app_name").filter(|name| !name.is_empty()).ok_or_else(|| platform(40001, "param error"))?;
        pictures::ours(addresses(request.query_value("qual_materials")).iter().map(String::as_str))?;
        let (result, words) = match name.as_str() {
            name if name.contains("taken") => (1, vec![]),
            name if name.contains("banned") => (2, vec!["banned"]),
            _ => (0, vec![]),
        };
        Ok(success(json!({"checkResult": result, "checkWords": words, "requiredFields": [], "optionalFields": [1, 2]})))
    }

    pub(super) fn set_name(&mut self, request: &Request, library: &mut Library) -> Result<Value, No> {
        let name = field(request, "nick_name")?;
        pictures::ours(addresses(request.form_value("qual_materials")).iter().map(String::as_str))?;
        if name.contains("taken") {
            return Err(platform(50024, "app name is taken"));
        }
        self.change("app_name", name, "name", 47004, library)
    }

    pub(super) fn set_icon(&mut self, request: &Request, library: &mut Library) -> Result<Value, No> {
        let icon = field(request, "image_url")?;
        pictures::ours([icon.as_str()])?;
        self.change("photo_addr", icon, "image", 47005, library)
    }

    pub(super) fn set_intro(&mut self, request: &Request, library: &mut Library) -> Result<Value, No> {
        self.change("app_desc", field(request, "signature")?, "signature", 47006, library)
    }

    /// After a forced offline (5.3.7).
    pub(super) fn correct(&mut self, request: &Request, library: &mut Library) -> Result<Value, No> {
        if !self.forced_offline {
            return Err(platform(40045, "app status is not suitable"));
        }
        let mut any = false;
        for field in ["app_name", "app_desc", "photo_addr"] {
            let Some(value) = request.form_value(field) else { continue };
            if field == "photo_addr" {
                pictures::ours([value.as_str()])?;
            }
            self.audits.insert(field, (value, None));
            any = true;
        }
        if !any {
            return Err(platform(40001, "param error"));
        }
        Ok(success(json!({"examine_id": library.number()})))
    }

    pub(super) fn set_categories(&mut self, request: &Request, library: &mut Library) -> Result<Value, No> {
        let sent: Option<Vec<Value>> = serde_json::from_str(&field(request, "categorys")?).ok();
        let sent = sent.ok_or_else(|| platform(50062, "categorys is malformed"))?;
        if sent.len() > 5 {
            return Err(platform(50060, "more than 5 categories"));
        }
        if self.categories.iter().any(|category| category.status == 1) {
            return Err(platform(45003, "a category is in audit"));
        }
        let mut wanted = Vec::new();
        for category in &sent {
            let id = category.get("sub_category_id").and_then(loose::integer).and_then(|id| u64::try_from(id).ok());
            let Some((id, _, needs)) = CATEGORIES.iter().find(|(known, ..)| Some(*known) == id) else {
                return Err(platform(50061, "category id is wrong"));
            };
            let qualis = category.get("qualis").and_then(Value::as_array);
            let sources: Vec<&str> = qualis.into_iter().flatten().filter_map(|quali| quali.get("addr")?.as_str()).collect();
            pictures::ours(sources.iter().copied())?;
            let approved = self.categories.iter().any(|known| known.id == *id && known.status == 2);
            if *needs && !approved && sources.is_empty() {
                return Err(platform(50063, "qualification is wrong"));
            }
            let status = if !sources.is_empty() || (*needs && !approved) { 1 } else { 2 };
            wanted.push(Category { id: *id, status, reason: None });
        }
        self.spend("category", 47007)?;
        self.categories = wanted;
        Ok(success(json!({"examine_id": library.number()})))
    }

    pub(super) fn base_library(&self) -> Value {
        let versions = BASE_LIBRARIES.map(|version| json!({"version": version}));
        success(json!({"now_version": self.base_library, "items": versions}))
    }

    pub(super) fn set_base_library(&mut self, request: &Request) -> Result<Value, No> {
        let version = field(request, "version")?;
        if !BASE_LIBRARIES.contains(&version.as_str()) {
            return Err(platform(470_021, "version is wrong"));
        }
        self.base_library = version;
        Ok(success(json!({})))
    }

    pub(super) fn set_web_status(&mut self, request: &Request) -> Result<Value, No> {
        self.web_status = match field(request, "web_status")?.as_str() {
            "1" => 1,
            "2" => 2,
            _ => return Err(platform(40001, "param error")),
        };
        Ok(success(json!({})))
    }

    pub(super) fn apply_phone(&mut self, request: &Request) -> Result<Value, No> {
        let number = |name: &str, most: u8| {
            field(request, name)?.parse::<u8>().ok().filter(|n| *n <= most).ok_or_else(|| platform(41000, "parameter type error"))
        };
        number("reason", 2)?;
        number("used_scene", 5)?;
        field(request, "scene_desc")?;
        pictures::ours([field(request, "scene_demo")?.as_str()])?;
        match self.phone.0 {
            1 => Err(platform(50052, "in audit, do not edit again")),
            3 => Err(platform(50051, "same as the current value")),
            _ => {
                self.phone = (1, None);
                Ok(success(json!({})))
            }
        }
    }

    pub(super) fn phone_status(&self) -> Value {
        success(json!({"status": self.phone.0, "reason": self.phone.1}))
    }

    pub(super) fn control_traffic(&mut self, request: &Request) -> Result<Value, No> {
        match (field(request, "type")?.as_str(), self.traffic_off) {
            ("1", _) if self.banned => return Err(platform(110_002, "no permission to open")),
            ("1", false) => return Err(platform(110_004, "traffic is open already")),
            ("1", true) => self.traffic_off = false,
            ("2", true) => return Err(platform(110_005, "traffic is offline already")),
            ("2", false) => self.traffic_off = true,
            _ => return Err(platform(40001, "param error")),
        }
        Ok(success(json!({})))
    }

    pub(super) fn appeal(&self, request: &Request) -> Result<Value, No> {
        if field(request, "audit_desc")?.chars().count() > 100 {
            return Err(platform(40001, "param error"));
        }
        match (self.banned, self.has_live_package()) {
            (false, _) => Err(platform(40045, "app status is not suitable")),
            (true, false) => Err(platform(40032, "no online or approved package")),
            (true, true) => Ok(success(json!({}))),
        }
    }

    pub(super) fn violations(&self) -> Value {
        let problem = json!({
            "taskId": 7001, "status": 0, "problemDesc": "sample problem", "problemPath": "pages/index/index",
            "screenShot": "[\"https://b.bdstatic.com/sample/problem.png\"]", "auditShot": "[]", "auditReason": "sample reason",
        });
        let problems = if self.banned || self.forced_offline { vec![problem] } else { Vec::new() };
        success(json!({"appId": super::app_number(&self.app_id), "problemDetails": problems}))
    }

    /// A user called `oGuest…` is one without a Baidu account.
    pub(super) fn send_message(&mut self, request: &Request) -> Result<Value, No> {
        let parameter = || platform(3001, "parameter error");
        let text = |name: &str| request.form_value(name).filter(|value| !value.is_empty()).ok_or_else(parameter);
        let (open_id, user_type) = (text("open_id")?, text("user_type")?);
        match text("msg_type")?.as_str() {
            "text" => drop(text("content")?),
            "image" => pictures::ours([text("pic_url")?.as_str()])?,
            _ => return Err(parameter()),
        }
        let right = if open_id.starts_with("oGuest") { "1" } else { "2" };
        if !open_id.starts_with('o') || user_type != right {
            return Err(platform(30022, "openid is wrong"));
        }
        let sent = self.messages.entry(open_id).or_default();
        if *sent >= MOST_MESSAGES {
            return Err(platform(90001, "limit of messages exceeded"));
        }
        *sent += 1;
        Ok(success(json!({})))
    }
}
