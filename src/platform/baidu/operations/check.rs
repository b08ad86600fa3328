//! What parameters must fulfil beyond their kinds, so that nothing is sent in vain.

use base64::Engine;
use serde_json::Value;

use crate::platform::operation::{BadParam, Operation, Params};

/// Bytes of a picture inside materials (5.3.1).
const LARGEST_PICTURE: usize = 5 << 20;

pub(super) fn misfits(operation: &Operation, params: &Params) -> Vec<BadParam> {
    let mut bad = Vec::new();
    let mut say = |name: &str, reason: String| bad.push(BadParam { name: name.to_owned(), reason });
    for (name, least, most) in [("name", 3, 30), ("intro", 10, 56)] {
        if let Some(text) = params.text(name).filter(|_| operation.param(name).is_some()) {
            let width = width(&text);
            if !(least..=most).contains(&width) {
                say(name, format!("counts {width} characters, a Chinese one as 2; {least} to {most} are possible"));
            }
        }
    }
    for (name, scheme) in [("request", "https"), ("socket", "wss"), ("upload", "https"), ("download", "https"), ("domains", "https")] {
        for domain in params.texts(name) {
            if let Err(why) = domain_fits(&domain, scheme) {
                say(name, format!("{domain:?} {why}"));
            }
        }
    }
    let families = ["request", "socket", "upload", "download"];
    let empty = |name: &&str| params.get(name).is_none();
    let takes_servers = operation.param("request").is_some();
    if takes_servers && families.iter().all(empty) {
        say("request", String::from("one of request, socket, upload and download is required"));
    }
    if operation.name == "profile.correct" && ["name", "intro", "icon", "app_name_material"].iter().all(empty) {
        say("name", String::from("one of name, intro, icon and app_name_material is required: those that the vendor objects to"));
    }
    if operation.name == "message.send" {
        let needed = if params.text("msg_type").as_deref() == Some("image") { "pic_url" } else { "content" };
        if empty(&needed) {
            say(needed, String::from("is required for this msg_type"));
        }
    }
    for reason in params.get("categories").map(category_faults).unwrap_or_default() {
        say("categories", reason);
    }
    for name in ["materials", "categories"] {
        for reason in params.get(name).map(file_faults).unwrap_or_default() {
            say(name, reason);
        }
    }
    if operation.name == "traffic.appeal" && params.text("audit_desc").is_some_and(|text| text.trim().is_empty()) {
        say("audit_desc", String::from("is empty"));
    }
    if operation.name == "pushes.missed" {
        let seconds = |name: &str| params.get(name).and_then(Value::as_i64);
        if let (Some(start), Some(end)) = (seconds("start"), seconds("end"))
            && !(start..=start + 7 * 86_400).contains(&end)
        {
            say("end", String::from("must be at most a week after `start`"));
        }
    }
    bad
}

/// Characters as the vendor counts them: a Chinese one as two (5.3).
fn width(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

/// Scheme and host, nothing else (5.5, conflict 26).
fn domain_fits(domain: &str, scheme: &str) -> Result<(), String> {
    let Some(host) = domain.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")) else {
        return Err(format!("must begin with {scheme}://"));
    };
    if host.is_empty() || host.contains(['/', ':', '?', '#', ',', ' ', '@']) {
        return Err(String::from("must be scheme and host, without port or path"));
    }
    if host == "localhost" || host.parse::<std::net::IpAddr>().is_ok() {
        return Err(String::from("must be a domain, not an address"));
    }
    if host == "openapi.baidu.com" {
        return Err(String::from("is Baidu's own: call it from a server"));
    }
    Ok(())
}

fn category_faults(list: &Value) -> Vec<String> {
    let digits = |value: Option<&Value>| match value {
        Some(Value::Number(number)) => number.is_u64(),
        Some(Value::String(text)) => !text.is_empty() && text.len() <= 20 && text.bytes().all(|c| c.is_ascii_digit()),
        _ => false,
    };
    let mut faults = Vec::new();
    for (at, category) in list.as_array().into_iter().flatten().enumerate() {
        if !digits(category.get("sub_category_id")) {
            faults.push(format!("entry {at}: `sub_category_id` must be a number of the catalogue"));
        }
        match category.get("qualis") {
            None => {}
            Some(Value::Array(qualis)) if qualis.iter().all(|quali| digits(quali.get("id")) && quali.get("addr").is_some()) => {}
            Some(_) => faults.push(format!("entry {at}: `qualis` must be a list of {{\"id\": number, \"addr\": address or file}}")),
        }
    }
    if list.as_array().is_some_and(Vec::is_empty) {
        faults.push(String::from("is empty"));
    }
    faults
}

/// Files inside lists and objects.
fn file_faults(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(file_faults).collect(),
        Value::Object(map) if map.contains_key("content_base64") || map.contains_key("file_name") => {
            let name = map.get("file_name").and_then(Value::as_str).unwrap_or_default();
            let content = map.get("content_base64").and_then(Value::as_str);
            let content = content.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
            match content {
                Some(content) if content.len() > LARGEST_PICTURE => {
                    vec![format!("{name:?} has {} bytes, at most {LARGEST_PICTURE} are possible", content.len())]
                }
                Some(_) if !name.is_empty() && map.len() == 2 => Vec::new(),
                _ => vec![String::from("a file must be {\"file_name\": …, \"content_base64\": …}")],
            }
        }
        Value::Object(map) => map.values().flat_map(file_faults).collect(),
        _ => Vec::new(),
    }
}
