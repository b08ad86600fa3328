//! One merchant's mini program, as Douyin keeps it. It begins with one passed category and nothing else.

use std::collections::BTreeMap;

use serde_json::Value;

use super::capabilities::Capabilities;
use super::categories::Categories;
use super::domains::Domains;
use super::material::Material;
use super::packages::Packages;
use super::profile::Profile;
use crate::clock::Timestamp;
use crate::platform::twin::Request;

/// Everything about it.
pub(super) struct Merchant {
    pub profile: Profile,
    pub categories: Categories,
    pub server: Domains,
    pub webview: Domains,
    pub packages: Packages,
    pub capabilities: Capabilities,
    pub material: Material,
}

/// A call on its behalf.
pub(super) struct Asked<'a> {
    pub app_id: &'a str,
    pub component_appid: &'a str,
    /// Templates that the component has.
    pub templates: &'a [u64],
    pub request: &'a Request,
    /// The JSON body, null where there is none.
    pub body: Value,
    pub now: Timestamp,
}

impl Asked<'_> {
    /// A text of the body that is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The texts of a list of the body.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        self.body.get(name)?.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

impl Merchant {
    pub fn new(app_id: &str) -> Self {
        Self {
            profile: Profile::new(app_id),
            categories: Categories::default(),
            server: Domains::new(&["request", "socket", "upload", "download"]),
            webview: Domains::new(&["webview"]),
            packages: Packages::default(),
            capabilities: Capabilities::default(),
            material: Material::default(),
        }
    }

    /// Takes over what an event says was decided (3.2, 3.3).
    pub fn decided(&mut self, event: &Value) {
        let name = event.get("Event").and_then(Value::as_str).unwrap_or_default();
        let status = |member: &str| event.get(member).and_then(|result| result.get("status")).and_then(Value::as_i64);
        match name {
            "PACKAGE_AUDIT" => self.packages.decided(event.get("AuditResults")),
            "MODIFY_APP_NAME" => self.profile.decided("name", status("ModifyAppNameResults")),
            "MODIFY_APP_INTRO" => self.profile.decided("intro", status("ModifyAppIntroResults")),
            "MODIFY_APP_ICON" => self.profile.decided("icon", status("ModifyAppIconResults")),
            "MODIFY_APP_CATEGORY" => self.categories.decided(event.get("ModifyAppCategoryResults")),
            "PUBLISH_APP_CATEGORY_AUDIT_RESULT" => {
                self.categories.publication_decided(event.get("EventContent").and_then(|content| content.get("audit_state")));
            }
            "APPLY_VIDEO_CAPABILITY" => self.capabilities.decided("short_video", status("ApplyVideoCapabilityResults")),
            "APPLY_LIVE_CAPABILITY" => self.capabilities.decided("live", status("ApplyLiveCapabilityResults")),
            "APPLY_PHONE_NUMBER_CAPABILITY" => self.capabilities.decided("phone_number", status("ApplyPhoneNumberCapabilityResults")),
            "APPLY_CAPACITY" => {
                let key = event.get("EventContent").and_then(|content| content.get("capacity_key")).and_then(Value::as_str);
                self.capabilities.decided(key.unwrap_or_default(), status("EventContent"));
            }
            _ => {}
        }
    }
}

/// The merchant of that id, known from now on.
pub(super) fn known<'a>(merchants: &'a mut BTreeMap<String, Merchant>, app_id: &str) -> &'a mut Merchant {
    merchants.entry(app_id.to_owned()).or_insert_with(|| Merchant::new(app_id))
}
