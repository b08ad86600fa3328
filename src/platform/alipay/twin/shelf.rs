//! What belongs to the third-party application at the pretended platform: its template, who uses it, grants and topics (Alipay 4, 5.10).

use serde_json::{Value, json};

use super::super::content::text;
use super::mini_program::{Done, Given, MiniProgram};
use super::{AlipayTwin, MERCHANT};
use crate::clock::Timestamp;

/// The one template.
pub const TEMPLATE: &str = "2021000000000002";
pub const TEMPLATE_VERSION: &str = "0.0.1";

pub fn templates(_: &mut AlipayTwin, _: &Given, _: Timestamp) -> Done {
    Ok(json!({"app_list": [{
        "mini_app_id": TEMPLATE, "app_name": "驿站模板", "logo_url": "https://example.com/template.png", "date_create": "2026-01-01 00:00:00",
        "version_list": [{"template_version": TEMPLATE_VERSION, "version_status": "RELEASE"}],
    }]}))
}

pub fn usage(twin: &mut AlipayTwin, given: &Given, _: Timestamp) -> Done {
    if text(given, "template_id").ok_or("TEMPLATE_ID_IS_BLANK")? != TEMPLATE {
        return Err("TEMPLATE_ID_ISVAPPID_NOT_MATCH");
    }
    let uses = |(app_id, program): (&String, &MiniProgram)| {
        program.versions.last().map(|version| json!({"mini_app_id": app_id, "app_version": version.number}))
    };
    Ok(json!({"template_usage_info_list": twin.programs.iter().filter_map(uses).collect::<Vec<_>>()}))
}

pub fn instances(twin: &mut AlipayTwin, given: &Given, _: Timestamp) -> Done {
    let wanted = text(given, "mini_app_id");
    let entry = |(app_id, program): (&String, &MiniProgram)| {
        let version = program.versions.last()?;
        Some(json!({
            "mini_app_id": app_id, "app_name": program.profile.get("app_name"), "status": "ON_LINE", "latest_version": version.number,
            "latest_version_status": version.state, "template_id": TEMPLATE, "template_version": version.template_version,
        }))
    };
    let named = twin.programs.iter().filter(|(app_id, _)| wanted.as_ref().is_none_or(|wanted| wanted == *app_id));
    let list: Vec<Value> = named.filter_map(entry).collect();
    Ok(json!({"total_items": list.len(), "page_no": 1, "page_size": 20, "instantiate_list": list}))
}

pub fn invite(_: &mut AlipayTwin, given: &Given, _: Timestamp) -> Done {
    let app_id = text(given, "auth_app_id").ok_or("APP_NOT_FOUND")?;
    Ok(json!({"task_page_url": format!("https://example.com/invite/{app_id}")}))
}

pub fn subscribe(twin: &mut AlipayTwin, given: &Given, now: Timestamp) -> Done {
    let topic = topic(given)?;
    let program = granted(twin, given, now)?;
    if !program.topics.contains(&topic) {
        program.topics.push(topic);
    }
    Ok(json!({}))
}

pub fn unsubscribe(twin: &mut AlipayTwin, given: &Given, now: Timestamp) -> Done {
    let topic = topic(given)?;
    granted(twin, given, now)?.topics.retain(|known| *known != topic);
    Ok(json!({}))
}

fn topic(given: &Given) -> Result<String, &'static str> {
    match text(given, "auth_type").as_deref() {
        Some("app_auth") => text(given, "topic").ok_or("INVALID_PARAMS"),
        _ => Err("INVALID_PARAMS"),
    }
}

fn granted<'t>(twin: &'t mut AlipayTwin, given: &Given, now: Timestamp) -> Result<&'t mut MiniProgram, &'static str> {
    let token = text(given, "auth_token").ok_or("INVALID_PARAMS")?;
    let holder = twin.book.holder(&token, now).ok_or("AUTH_TOKEN_NOT_EXISTED")?.to_owned();
    Ok(twin.programs.entry(holder).or_insert_with(MiniProgram::new))
}

/// Who granted, masked as the platform masks it.
pub fn merchant(program: &mut MiniProgram, _: &Given, _: Timestamp) -> Done {
    Ok(json!({
        "alipay_account": "way***@example.com", "merchant_app_name": program.profile.get("app_name"), "merchant_name": "沿**店", "merchant_pid": MERCHANT,
    }))
}
