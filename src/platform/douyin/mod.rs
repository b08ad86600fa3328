//! Douyin (抖音): one third-party mini program application ("component"). The README beside this file lists sources and quirks.
//!
//! Section numbers in this folder are those of the protocol reference that the README summarises. "V1" and "V2" are the vendor's two generations.

mod catalogue;
mod diagnose;
mod errors;
mod operations;
mod proxy;
mod push;
mod tokens;
mod twin;

use std::sync::Arc;

use super::operation::{Operation, Operations};
use super::proxy::Proxied;
use super::sorted_envelope::{Layout, Sealing};
use super::{Component, Platform, Title, Twin, redirect};
use crate::platform::looks::{AuditLook, GrantList};
use crate::secret::Secret;
use crate::settings::{Problem, Settings};

/// The platform.
#[derive(Debug, Clone, Copy)]
pub struct Douyin;

impl Platform for Douyin {
    fn name(&self) -> &'static str {
        "douyin"
    }

    fn title(&self) -> Title {
        Title { zh: "抖音", en: "Douyin" }
    }

    fn component(&self, name: &str, settings: Settings) -> Result<Arc<dyn Component>, Vec<Problem>> {
        Ok(Arc::new(Application { name: name.to_owned(), of: read(settings)?, rows: operations::rows() }))
    }

    fn sample_settings(&self, vendor: &str) -> String {
        format!(
            r#"component_appid = "tt0123456789abcdef"
component_appsecret = "0123456789abcdef0123456789abcdef01234567"
token = "SampleDouyinToken"
encoding_aes_key = "abcdefghijklmnopqrstuvwxyz0123456789DOUYINa"
base_url = "{vendor}"
base_url_v1 = "{vendor}"
"#
        )
    }

    fn twin(&self, settings: Settings) -> Result<Box<dyn Twin>, Vec<Problem>> {
        Ok(Box::new(twin::DouyinTwin::new(read(settings)?)))
    }
}

/// A component at Douyin.
struct Application {
    name: String,
    of: Own,
    rows: Vec<Operation>,
}

impl Component for Application {
    fn name(&self) -> &str {
        &self.name
    }

    fn platform(&self) -> &'static dyn Platform {
        &Douyin
    }

    fn app_id(&self) -> &str {
        &self.of.component_appid
    }

    fn proxy(&self) -> Option<&dyn Proxied> {
        Some(self)
    }

    /// One version is in audit at a time (5.6).
    fn audit_look(&self) -> Option<AuditLook> {
        Some(AuditLook { operation: "package.list", by_version: false, has_stages: true, has_many: false, build: None })
    }

    /// 4.7.
    fn grant_list(&self) -> Option<GrantList> {
        Some(GrantList {
            operation: "authorization.list",
            page: "page",
            size: "size",
            most: 50,
            granted_at: "authorized_at",
            holds_all: true,
        })
    }

    fn operations(&self) -> &dyn Operations {
        self
    }
}

/// How a merchant is brought to the authorization page (4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// The vendor makes the link.
    GenLink,
    /// We build it around a pre-authorization code.
    Built,
}

/// What its settings say.
struct Own {
    /// Id of the component: behind every frame, `TpAppId` in events.
    component_appid: String,
    component_appsecret: Secret,
    sealing: Sealing,
    base_url: String,
    base_url_v1: String,
    style: Style,
    /// Overrides the service's own callback.
    redirect_uri: Option<String>,
    /// What the numbers of results say.
    status_map: catalogue::StatusMap,
    /// What the numbers of the short-video mount's status say.
    short_video_status: Vec<(i64, &'static str)>,
}

fn read(mut settings: Settings) -> Result<Own, Vec<Problem>> {
    // Read by the configuration already; known here so that a table from anywhere is accepted.
    settings.has("name");
    settings.has("platform");
    let component_appid = settings.text("component_appid").map(|id| id.trim().to_owned());
    let component_appsecret = settings.secret("component_appsecret");
    let sealing = Sealing::from_settings(&mut settings, Layout::Leading);
    let base_url = settings.url_or("base_url", "https://open.douyin.com");
    let base_url_v1 = settings.url_or("base_url_v1", "https://open.microapp.bytedance.com");
    let style = match settings.choice_or("authorization_link", "gen_link", &["gen_link", "built"]) {
        "built" => Style::Built,
        _ => Style::GenLink,
    };
    let redirect_uri = redirect::setting(&mut settings);
    let status_map = catalogue::StatusMap::read(&mut settings);
    let short_video_status = operations::short_video_status(&mut settings);
    let problems = settings.finish();
    match (component_appid, component_appsecret, sealing) {
        (Some(component_appid), Some(component_appsecret), Some(sealing)) if problems.is_empty() => Ok(Own {
            component_appid,
            component_appsecret,
            sealing,
            base_url,
            base_url_v1,
            style,
            redirect_uri,
            status_map,
            short_video_status,
        }),
        _ => Err(problems),
    }
}
