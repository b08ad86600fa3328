//! Where Douyin answers the calls of section 5: address by address, each with the normal name of what it does.

use serde_json::{Value, json};

use super::DouyinTwin;
use super::desk::{No, PARAMETER, Said, USED_UP};
use super::merchant::{Asked, Merchant, known};
use crate::clock::Timestamp;
use crate::platform::call::Method::{self, Get, Post};
use crate::platform::token::Family::{self, Current, V1};
use crate::platform::twin::{About, Request};

/// What an address does for a merchant.
type Served = fn(&mut Merchant, &Asked<'_>) -> Said;
type Address = (Method, &'static str, Family, &'static str, Served);

/// Mini programs with this in their id are banned: the gateway of V2 refuses whatever is asked with their tokens (6.2).
const BANNED: &str = "banned";

const ADDRESSES: &[Address] = &[
    (Get, "/api/apps/v2/basic_info/get_info", Current, "info", |of, asked| of.profile.info(asked, of.packages.state())),
    (Get, "/openapi/v1/microapp/app/info", V1, "info", |of, asked| of.profile.info(asked, of.packages.state())),
    (Get, "/api/apps/v2/basic_info/check_app_name", Current, "profile.check_name", |of, asked| of.profile.check_name(asked)),
    (Post, "/api/apps/v2/basic_info/modify_app_name", Current, "profile.set_name", |of, asked| of.profile.set_name(asked, &of.material)),
    (Post, "/api/apps/v2/basic_info/modify_app_intro", Current, "profile.set_intro", |of, asked| of.profile.set_intro(asked)),
    (Post, "/api/apps/v2/basic_info/modify_app_icon", Current, "profile.set_icon", |of, asked| of.profile.set_icon(asked, &of.material)),
    (Post, "/api/apps/v2/basic_info/get_qr_code", Current, "trial.qrcode", |of, asked| of.packages.qr_code(asked)),
    (Post, "/api/apps/v1/qrcode/create", Current, "qrcode.create", |_, asked| super::profile::code(asked)),
    (Get, "/api/apps/v1/category/get_all_categories", Current, "category.catalogue", |_, _| super::categories::catalogue()),
    (Get, "/api/apps/v1/category/get_audit_categories", Current, "category.list", |of, _| of.categories.list()),
    (Get, "/api/apps/v1/category/get_online_categories", Current, "category.published", |of, _| of.categories.published()),
    (Post, "/api/apps/v1/category/add_categories", Current, "category.add", |of, asked| of.categories.add(asked, &of.material)),
    (Post, "/api/apps/v1/category/supply_categories", Current, "category.modify", |of, asked| of.categories.supply(asked, &of.material)),
    (Post, "/api/apps/v1/category/del_categories", Current, "category.delete", |of, asked| of.categories.delete(asked)),
    (Post, "/api/apps/v1/category/publish_category", Current, "category.publish", |of, _| of.categories.publish()),
    (Post, "/api/apps/v2/domain/modify_server_domain", Current, "server_domain", |of, asked| of.server.modify(asked)),
    (Post, "/api/apps/v2/domain/modify_webview_domain", Current, "webview_domain", |of, asked| of.webview.modify(asked)),
    (Get, "/openapi/v1/microapp/app/quality_rating", V1, "quality.rating", |of, _| {
        Ok(match of.packages.state() {
            1 => json!({"status": 3, "qualityRating": "A"}),
            _ => json!({"status": 1, "qualityRating": ""}),
        })
    }),
    (Get, "/api/apps/v2/credit_score/get_credit_score", Current, "quality.credit_score", |_, _| Ok(json!({"credit_score": 100}))),
    (Get, "/api/apps/v2/trial/get_trial_info", Current, "trial_operation.get", |_, _| {
        Ok(json!({
            "is_trial": 0, "app_credit_score": 100, "trial_pass_score": 60, "trial_task_info": null,
            "trial_limit_info": {"is_capability_limited": 0, "is_payment_restricted": 0, "is_traffic_limited": 0},
        }))
    }),
    (Post, "/api/apps/v2/file/upload_material", Current, "media.upload", |of, asked| of.material.upload(asked.request)),
    (Post, "/openapi/v1/microapp/upload_material", V1, "media.upload", |of, asked| of.material.upload(asked.request)),
    (Post, "/api/apps/v1/package_version/upload", Current, "package.upload", |of, asked| of.packages.upload(asked)),
    (Get, "/api/apps/v1/package_version/versions", Current, "package.list", |of, _| Ok(of.packages.versions())),
    (Get, "/api/apps/v1/package_version/get_audit_hosts", Current, "audit.hosts", |of, _| Ok(of.packages.hosts())),
    (Post, "/api/apps/v2/package_version/audit", Current, "audit.submit", |of, asked| of.packages.submit(asked)),
    (Post, "/api/apps/v1/package_version/revoke_audit", Current, "audit.withdraw", |of, _| of.packages.withdraw()),
    (Post, "/api/apps/v1/package_version/release", Current, "package.release", |of, _| of.packages.release()),
    (Post, "/api/apps/v1/package_version/rollback", Current, "package.rollback", |of, asked| of.packages.rollback(asked.now)),
    (Post, "/aweme/apps/v1/video_mount/apply_permission", Current, "capability.apply", |of, asked| {
        of.capabilities.short_video(asked, &of.material)
    }),
    (Post, "/aweme/apps/v1/video_mount/query_apply_permission_status", Current, "capability.status", |of, asked| {
        of.capabilities.short_video_status(asked)
    }),
    (Post, "/api/apps/v1/capacity/apply_capacity", Current, "capability.apply", |of, asked| of.capabilities.apply(asked)),
    (Get, "/api/apps/v1/capacity/query_apply_status", Current, "capability.status", |of, asked| of.capabilities.status(asked)),
    (Get, "/api/apps/v1/capacity/query_capacity_list", Current, "capability.list", |of, _| Ok(of.capabilities.list())),
    (Post, "/openapi/v1/microapp/operation/live_application", V1, "live_component.apply", |of, asked| of.capabilities.live(asked)),
    (Get, "/openapi/v1/microapp/operation/live_application_status", V1, "live_component.status", |of, _| {
        Ok(of.capabilities.first_generation("live"))
    }),
    (Post, "/openapi/v1/microapp/operation/phone_number_application", V1, "phone_number.apply", |of, asked| {
        of.capabilities.phone_number(asked, &of.material)
    }),
    (Get, "/openapi/v1/microapp/operation/phone_number_application_status", V1, "phone_number.status", |of, _| {
        Ok(of.capabilities.first_generation("phone_number"))
    }),
];

impl DouyinTwin {
    /// Answers a call of section 5: what was done, in which generation, and what is said.
    pub(super) fn operate(
        &mut self,
        request: &Request,
        path: &str,
        now: Timestamp,
        about: &mut Option<About>,
    ) -> (&'static str, Family, Said) {
        let found = ADDRESSES.iter().find(|(method, address, ..)| *method == request.method && *address == path);
        let Some((_, _, family, deed, served)) = found else { return self.for_component(request, path, now) };
        let app_id = match self.merchant(*family, request, now) {
            Ok(app_id) => app_id,
            Err(no) => return (deed, *family, Err(no)),
        };
        let templates = self.templates.ids();
        let asked =
            Asked { app_id: &app_id, component_appid: &self.of.component_appid, templates: &templates, request, body: request.json(), now };
        let said = match family {
            V1 if request.query_value("component_appid").as_deref() != Some(self.of.component_appid.as_str()) => {
                Err(No(40_003, "component not found"))
            }
            Current if app_id.contains(BANNED) => Err(No(28_001_016, "application banned or offline")),
            _ if *deed == "audit.submit" && self.audits.used_up(now) => Err(USED_UP),
            _ => served(known(&mut self.merchants, &app_id), &asked),
        };
        let deed = domain_deed(deed, &asked.body);
        if said.is_ok() {
            if deed == "audit.submit" {
                self.audits.take();
            }
            let version = known(&mut self.merchants, &app_id).packages.concerned(deed);
            *about = Some(About { app_id, version });
        }
        let said = match family {
            Current => said,
            V1 => said.map(|data| json!({"errno": 0, "message": "success", "data": data})),
        };
        (deed, *family, said)
    }

    /// Calls for the component itself.
    fn for_component(&mut self, request: &Request, path: &str, now: Timestamp) -> (&'static str, Family, Said) {
        let deed = match (request.method, path) {
            (Get, "/api/tpapp/v2/template/get_tpl_app_list") => "template.drafts",
            (Get, "/api/tpapp/v2/template/get_tpl_list") => "template.list",
            (Post, "/api/tpapp/v2/template/add_tpl") => "template.add",
            (Post, "/api/tpapp/v2/template/del_tpl") => "template.delete",
            (Post, "/api/tpapp/v2/file/upload_material") => "component_media.upload",
            (Get, "/api/tpapp/v2/domain/get_webview_check_file_info") => "webview_domain.check_file",
            _ => return ("other", Current, Err(No(28_001_007, "no such address"))),
        };
        if let Err(no) = self.component(Current, request, now) {
            return (deed, Current, Err(no));
        }
        let body = request.json();
        let id = |name: &str| body.get(name).and_then(Value::as_u64).ok_or(PARAMETER);
        let said = match deed {
            "template.drafts" => Ok(self.templates.drafts()),
            "template.list" => Ok(self.templates.list()),
            "template.add" => id("draft_id").and_then(|id| self.templates.add(id, now)),
            "template.delete" => id("template_id").and_then(|id| self.templates.delete(id)),
            "component_media.upload" => self.templates.upload(request),
            _ => Ok(json!({"file_name": "douyin_check.txt", "file_content": format!("check-{}", self.of.component_appid)})),
        };
        (deed, Current, said)
    }
}

/// One address for four deeds: the body tells them apart.
fn domain_deed(deed: &'static str, body: &Value) -> &'static str {
    match (deed, body.get("action").and_then(Value::as_str).unwrap_or_default()) {
        ("server_domain", "get") => "server_domain.get",
        ("server_domain", "add") => "server_domain.add",
        ("server_domain", "set") => "server_domain.set",
        ("server_domain", "delete") => "server_domain.delete",
        ("webview_domain", "get") => "webview_domain.get",
        ("webview_domain", "add") => "webview_domain.add",
        ("webview_domain", "set") => "webview_domain.set",
        ("webview_domain", "delete") => "webview_domain.delete",
        ("server_domain" | "webview_domain", _) => "other",
        _ => deed,
    }
}
