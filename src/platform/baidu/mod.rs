//! Baidu (百度): one third-party platform application ("TP") for smart mini programs. The README beside this file lists sources and quirks.
//!
//! Section numbers in this folder are those of the protocol reference that the README summarises.

mod catalogue;
mod diagnose;
mod errors;
mod operations;
mod proxy;
mod push;
mod tokens;
mod twin;

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::Offset;

use super::operation::Operations;
use super::proxy::Proxied;
use super::sorted_envelope::{Layout, Sealing};
use super::{Component, Platform, Title, Twin, redirect};
use crate::clock::{self, CHINA};
use crate::platform::looks::AuditLook;
use crate::settings::{Problem, Settings};

/// The platform.
#[derive(Debug, Clone, Copy)]
pub struct Baidu;

impl Platform for Baidu {
    fn name(&self) -> &'static str {
        "baidu"
    }

    fn title(&self) -> Title {
        Title { zh: "百度", en: "Baidu" }
    }

    fn component(&self, name: &str, settings: Settings) -> Result<Arc<dyn Component>, Vec<Problem>> {
        Ok(Arc::new(Application { name: name.to_owned(), of: read(settings)?, table: operations::Table::new() }))
    }

    fn sample_settings(&self, vendor: &str) -> String {
        format!(
            r#"tp_id = "17328232"
client_id = "sampleTpKey0123456789abcdefghijk"
token = "SampleBaiduToken"
encoding_aes_key = "abcdefghijklmnopqrstuvwxyz0123456789BAIDUab"
strict_tail = true
base_url = "{vendor}"
console_url = "{vendor}"
"#
        )
    }

    fn twin(&self, settings: Settings) -> Result<Box<dyn Twin>, Vec<Problem>> {
        Ok(Box::new(twin::BaiduTwin::new(read(settings)?)))
    }
}

/// A component at Baidu.
struct Application {
    name: String,
    of: Own,
    table: operations::Table,
}

impl Component for Application {
    fn name(&self) -> &str {
        &self.name
    }

    fn platform(&self) -> &'static dyn Platform {
        &Baidu
    }

    fn app_id(&self) -> &str {
        &self.of.tp_id
    }

    /// The TP id stands in no call, and where `strict_tail` is off nothing is held against it.
    fn calls_as(&self) -> &str {
        &self.of.client_id
    }

    /// Packages are listed with their states (5.2.2); there is no list of authorizers.
    fn audit_look(&self) -> Option<AuditLook> {
        Some(AuditLook { operation: "package.list", by_version: false, has_stages: false, has_many: true, build: None })
    }

    fn operations(&self) -> &dyn Operations {
        self
    }

    fn proxy(&self) -> Option<&dyn Proxied> {
        Some(self)
    }
}

/// What its settings say.
struct Own {
    /// Numeric id of the TP: behind every frame, `tpAppId` in events.
    tp_id: String,
    /// The TP key. Not secret: it stands in authorization links.
    client_id: String,
    sealing: Sealing,
    /// Refuses pushes with another id behind the frame. Off: what stands there in customer messages is unverified (2.4).
    strict_tail: bool,
    /// How long a ticket is tried. Baidu names no lifetime (3.1).
    ticket_lifetime: Duration,
    /// In which zone `eventTime` is written: nowhere stated (8.2).
    event_zone: Offset,
    /// Leaves the codes of registrations, which never expire, readable in events.
    register_codes: bool,
    base_url: String,
    console_url: String,
    /// Overrides the service's own callback.
    redirect_uri: Option<String>,
}

fn read(mut settings: Settings) -> Result<Own, Vec<Problem>> {
    // Read by the configuration already; known here so that a table from anywhere is accepted.
    settings.has("name");
    settings.has("platform");
    let tp_id = settings.text("tp_id").map(|id| id.trim().to_owned());
    if tp_id.as_deref().is_some_and(|id| !id.bytes().all(|c| c.is_ascii_digit())) {
        settings.problem(
            "tp_id",
            "is not a number",
            "copy the id of the third-party platform (8 to 10 digits), not the TP key, from the console",
        );
    }
    let client_id = settings.text("client_id").map(|key| key.trim().to_owned());
    let sealing = Sealing::from_settings(&mut settings, Layout::KeyPrefix);
    let strict_tail = settings.flag_or("strict_tail", false);
    let ticket_lifetime = settings.duration_or("ticket_lifetime", Duration::from_mins(30));
    let event_zone = event_zone(&mut settings);
    let register_codes = settings.flag_or("register_codes", false);
    let base_url = settings.url_or("base_url", "https://openapi.baidu.com");
    let console_url = settings.url_or("console_url", "https://smartprogram.baidu.com");
    let redirect_uri = redirect::setting(&mut settings);
    let problems = settings.finish();
    match (tp_id, client_id, sealing) {
        (Some(tp_id), Some(client_id), Some(sealing)) if problems.is_empty() => Ok(Own {
            tp_id,
            client_id,
            sealing,
            strict_tail,
            ticket_lifetime,
            event_zone,
            register_codes,
            base_url,
            console_url,
            redirect_uri,
        }),
        _ => Err(problems),
    }
}

fn event_zone(settings: &mut Settings) -> Offset {
    let text = settings.text_or("event_zone", "+08:00");
    clock::offset(&text).unwrap_or_else(|| {
        settings.problem("event_zone", "is no offset from UTC", "write hours and minutes, as in \"+08:00\", or \"Z\"");
        CHINA
    })
}
