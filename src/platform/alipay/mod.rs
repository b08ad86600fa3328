//! Alipay (支付宝): pushes are signed forms, calls are signed with the application's key, and there is neither ticket nor component token.
//!
//! The [`Component`] of this vendor is [`settings::Application`]. Rooms: `settings`, `trust`, `certificate`, `der` (keys);
//! `form`, `rules`, `joins`, `content`, `push`, `notice`, `catalogue`, `check`, `xml` (what arrives); `gateway`, `reply`, `errors` (calls);
//! `business` (what refusals mean); `tokens`, `link` (grants); `operations` (everything else); `diagnose`; `twin`. README.md beside this file names the vendor's pages and quirks.

mod business;
pub mod catalogue;
pub mod certificate;
pub mod check;
pub mod content;
mod der;
mod diagnose;
pub mod errors;
pub mod form;
pub mod gateway;
mod joins;
mod link;
mod notice;
pub mod operations;
mod proxy;
mod push;
pub mod reply;
pub mod rules;
pub mod settings;
mod tokens;
mod trust;
mod twin;
pub mod xml;

use std::sync::Arc;

use super::operation::Operations;
use super::proxy::Proxied;
use super::{Component, Platform, Title, Twin};
use crate::platform::looks::{AuditLook, GrantList, ProfileLook};
use crate::settings::{Problem, Settings};
use settings::Application;

pub use trust::{OwnCertificates, Trust, TrustedKey};

/// The platform.
#[derive(Debug, Clone, Copy)]
pub struct Alipay;

/// Keys made for tests and for the simulator, used nowhere else.
const SAMPLE_APPLICATION_KEY: &str = include_str!("../../../fixtures/keys/alipay/application.pem");
const SAMPLE_PLATFORM_KEY: &str = include_str!("../../../fixtures/keys/alipay/platform.pem");
const SAMPLE_PLATFORM_PUBLIC_KEY: &str = include_str!("../../../fixtures/keys/alipay/platform_public.pem");

impl Platform for Alipay {
    fn name(&self) -> &'static str {
        "alipay"
    }

    fn title(&self) -> Title {
        Title { zh: "支付宝", en: "Alipay" }
    }

    fn component(&self, name: &str, mut settings: Settings) -> Result<Arc<dyn Component>, Vec<Problem>> {
        let application = settings::application(name, &mut settings);
        let problems = settings.finish();
        match application {
            Some(application) if problems.is_empty() => Ok(Arc::new(application)),
            _ => Err(problems),
        }
    }

    fn sample_settings(&self, vendor: &str) -> String {
        format!(
            "app_id = \"2021000000000001\"\n\
             app_private_key = '''\n{SAMPLE_APPLICATION_KEY}'''\n\
             alipay_public_key = '''\n{SAMPLE_PLATFORM_PUBLIC_KEY}'''\n\
             aes_key = \"aa4BtZ4tspm2wnXLb1ThQA==\"\n\
             base_url = \"{vendor}/gateway.do\"\n\
             auth_url = \"{vendor}/page/message/tasksDetail\"\n\
             twin_private_key = '''\n{SAMPLE_PLATFORM_KEY}'''\n"
        )
    }

    fn twin(&self, mut settings: Settings) -> Result<Box<dyn Twin>, Vec<Problem>> {
        let application = settings::application("twin", &mut settings);
        let key = settings::twin_key(&mut settings, application.as_ref());
        let problems = settings.finish();
        match (application, key) {
            (Some(application), Some(key)) if problems.is_empty() => Ok(Box::new(twin::AlipayTwin::new(application, key))),
            _ => Err(problems),
        }
    }
}

impl Component for Application {
    fn name(&self) -> &str {
        &self.name
    }

    fn platform(&self) -> &'static dyn Platform {
        &Alipay
    }

    fn app_id(&self) -> &str {
        self.gateway.app_id()
    }

    /// One version is under way at a time (Alipay 5.1). No message tells how a build ended (3.1).
    fn audit_look(&self) -> Option<AuditLook> {
        Some(AuditLook {
            operation: "package.get",
            by_version: true,
            has_stages: false,
            has_many: false,
            build: Some("package.build_status"),
        })
    }

    /// No message tells it (Alipay 5.7): what was approved is in force, and what was refused shows nowhere.
    fn profile_look(&self) -> Option<ProfileLook> {
        Some(ProfileLook {
            operation: "profile.get",
            changes: &["profile.modify", "profile.set_name", "profile.set_intro"],
            shows: &["name", "english_name", "slogan", "intro", "phone", "email"],
        })
    }

    /// The mini programs among those that granted (Alipay 4.6).
    fn grant_list(&self) -> Option<GrantList> {
        Some(GrantList {
            operation: "authorization.list",
            page: "page_no",
            size: "page_size",
            most: 50,
            granted_at: "granted_at",
            holds_all: self.links.are_for_mini_programs_only(),
        })
    }

    fn operations(&self) -> &dyn Operations {
        self
    }

    fn proxy(&self) -> Option<&dyn Proxied> {
        Some(self)
    }
}
