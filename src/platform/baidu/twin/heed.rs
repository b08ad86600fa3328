//! What an event that the twin says changes at the vendor: an audit that passed puts the new name in force, and so on (3.3 to 3.5, 3.8).

use serde_json::{Map, Value};

use super::BaiduTwin;
use super::program::Program;
use crate::platform::loose;

impl BaiduTwin {
    pub(super) fn heed(&mut self, plain: &str) {
        let Some(content) = loose::object(plain.as_bytes()) else { return };
        let Some(app_id) = loose::text_of(&content, &["appId", "ToUserName"]) else { return };
        let Some(program) = self.programs.get_mut(app_id.as_ref()) else { return };
        // A user who writes may be answered again.
        if let Some(from) = loose::text_of(&content, &["FromUserName"]) {
            program.messages.remove(from.as_ref());
        }
        if let Some(event) = loose::text_of(&content, &["event"]) {
            program.heed(&event, &content);
        }
    }
}

impl Program {
    fn heed(&mut self, event: &str, content: &Map<String, Value>) {
        let reason = loose::text_of(content, &["reason", "reson"]).map(|reason| reason.into_owned());
        let failed = || Some(reason.clone().unwrap_or_default());
        match event {
            "APP_NAME_AUDIT_PASS" => {
                self.put("app_name");
                self.named = true;
            }
            "APP_ICON_AUDIT_PASS" => self.put("photo_addr"),
            "APP_DESC_AUDIT_PASS" => self.put("app_desc"),
            "APP_NAME_AUDIT_FAIL" => self.refuse("app_name", failed()),
            "APP_ICON_AUDIT_FAIL" => self.refuse("photo_addr", failed()),
            "APP_DESC_AUDIT_FAIL" => self.refuse("app_desc", failed()),
            "APP_NAME_CLEAR" => self.named = false,
            "BASE_INFO_OFFLINE_AUDIT_SUCCESS" => {
                ["app_name", "photo_addr", "app_desc"].iter().for_each(|field| self.put(field));
                self.forced_offline = false;
            }
            "BASE_INFO_OFFLINE_AUDIT_FAIL" => ["app_name", "photo_addr", "app_desc"].iter().for_each(|field| self.refuse(field, failed())),
            "APP_CATEGORY_AUDIT_PASS" | "APP_CATEGORY_AUDIT_FAIL" => {
                for category in self.categories.iter_mut().filter(|category| category.status == 1) {
                    category.status = if event.ends_with("PASS") { 2 } else { 3 };
                    category.reason.clone_from(&reason);
                }
            }
            // The withdrawn permission may be named like the approval; then it has a reason (3.5).
            "APPLY_APP_MOBILE_AUTH_PASS" if reason.is_none() => self.phone = (3, None),
            "APPLY_APP_MOBILE_AUTH_REJECT" => self.phone = (2, reason),
            "APPLY_APP_MOBILE_AUTH_PASS" | "APP_MOBILE_AUTH_CANCEL" => self.phone = (0, None),
            "APP_SERVER_PAUSE" => self.paused = true,
            "APP_SERVER_RESUME" => self.paused = false,
            "APP_FORCE_OFFLINE" => self.forced_offline = true,
            "FLOW_CLOSE_NOTIFY" => self.banned = true,
            "FLOW_CLOSE_AUDIT_PASS" => self.banned = false,
            _ => {}
        }
    }

    /// A change that passed is in force.
    fn put(&mut self, field: &str) {
        let Some((value, _)) = self.audits.remove(field) else { return };
        match field {
            "app_name" => self.name = value,
            "app_desc" => self.intro = value,
            _ => self.icon = value,
        }
    }

    fn refuse(&mut self, field: &str, reason: Option<String>) {
        if let Some(audit) = self.audits.get_mut(field) {
            audit.1 = reason;
        }
    }
}
