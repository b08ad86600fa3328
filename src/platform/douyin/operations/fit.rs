//! What the kinds of a row's parameters cannot say: the form of domains, categories, colours and files (5.2, 5.3, 5.5, 5.10).

use base64::Engine;
use serde_json::{Map, Value as Json};

use super::request::{SERVER_LISTS, SHORT_VIDEO, WEBVIEW_LISTS};
use crate::platform::operation::{BadParam, Operation, Params};

/// Everything that is wrong, at once.
pub(super) fn misfits(operation: &Operation, params: &Params) -> Vec<BadParam> {
    let mut bad = Vec::new();
    let mut say = |name: &str, reason: &str| bad.push(BadParam { name: name.to_owned(), reason: reason.to_owned() });
    match operation.name {
        "profile.set_intro" if params.text("intro").is_some_and(|intro| intro.chars().count() < 10) => {
            say("intro", "has fewer than 10 characters");
        }
        "phone_number.apply" if params.text("description").is_some_and(|text| text.chars().count() < 10) => {
            say("description", "has fewer than 10 characters");
        }
        "package.get" if params.get("stage").is_none() && params.get("version").is_none() => {
            say("stage", "either `stage` or `version` is needed");
        }
        "package.upload" if params.get("ext").and_then(|ext| ext.get("extEnable")).is_some_and(|flag| !flag.is_boolean()) => {
            say("ext", "its `extEnable` must be true or false");
        }
        "trial.qrcode" if params.text("path").is_some_and(|path| path.starts_with('/')) => say("path", "must not begin with a slash"),
        "qrcode.create" => {
            for name in ["color", "background"] {
                if params.text(name).is_some_and(|text| colour(&text).is_none()) {
                    say(name, "must be a colour such as #1a2b3c");
                }
            }
        }
        "live_component.apply" if params.get("hasAdBudget").and_then(Json::as_bool) == Some(true) => {
            for name in ["adBudgetAmount", "adPersonName"] {
                if params.get(name).is_none() {
                    say(name, "is required with a budget");
                }
            }
        }
        "capability.apply" | "capability.status" => capability(operation, params, &mut say),
        "media.upload" | "component_media.upload" => material(operation, params, &mut say),
        "category.add" | "category.modify" => categories(params, &mut say),
        _ => {}
    }
    if operation.name.contains("_domain.") && operation.params.iter().any(|param| param.name != "file") {
        domains(operation, params, &mut say);
    }
    for name in operation.params.iter().map(|param| param.name).filter(|name| matches!(*name, "template_id" | "draft_id")) {
        if params.text(name).is_some_and(|digits| digits.parse::<u64>().is_err()) {
            say(name, "has more than 64 bits");
        }
    }
    bad
}

fn capability(operation: &Operation, params: &Params, say: &mut impl FnMut(&str, &str)) {
    let capability = params.text("capability").unwrap_or_default();
    if capability == "phone_number" {
        say("capability", "has operations of its own here: phone_number.apply and phone_number.status");
    }
    if capability.is_empty() {
        say("capability", "is empty");
    }
    if operation.name != "capability.apply" {
        return;
    }
    let given = |name: &str| params.get(name).is_some();
    if capability == SHORT_VIDEO {
        for name in ["anchor_text", "materials"] {
            if !given(name) {
                say(name, "is required for short_video");
            }
        }
        if params.get("apply_info").and_then(Json::as_object).is_some_and(|info| !info.is_empty()) {
            say("apply_info", "is not for short_video");
        }
    } else if given("anchor_text") {
        say("anchor_text", "is for short_video only");
    }
}

/// Sizes and formats by use (5.10).
fn material(operation: &Operation, params: &Params, say: &mut impl FnMut(&str, &str)) {
    const MEGABYTE: usize = 1024 * 1024;
    let Some((_, content)) = params.file("file") else { return };
    let material_type = params.get("material_type").and_then(Json::as_i64).unwrap_or_default();
    let (most, pdf) = match (operation.name, material_type) {
        ("component_media.upload", 1) => (4, false),
        ("component_media.upload", _) => (2, false),
        (_, 5) => (5, false),
        (_, 6) => (1, false),
        (_, 7) => (4, false),
        (_, 8) => (4, true),
        _ => (2, false),
    };
    if content.len() > most * MEGABYTE {
        say("file", &format!("has {} bytes, at most {most} MB are possible for this use", content.len()));
    }
    match (content_type(&content), pdf) {
        ("application/pdf", true) | ("image/png" | "image/jpeg", false) => {}
        (_, true) => say("file", "must be a PDF for this use"),
        (_, false) => say("file", "must be a JPEG or PNG for this use"),
    }
}

fn categories(params: &Params, say: &mut impl FnMut(&str, &str)) {
    let name = "categories";
    for item in params.get(name).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_object) {
        if !item.get("category").and_then(Json::as_str).is_some_and(is_category) {
            say(name, "each needs a `category` such as \"188,189,190\"");
        }
        if let Some(unknown) = unknown(item, &["category", "materials"]) {
            say(name, &format!("`{unknown}` is unknown here; known: category, materials"));
        }
        match item.get("materials") {
            None => {}
            Some(Json::Array(materials)) => materials.iter().for_each(|material| certificate(material, say)),
            Some(_) => say(name, "`materials` must be a list"),
        }
    }
}

fn certificate(material: &Json, say: &mut impl FnMut(&str, &str)) {
    let good = material.as_object().is_some_and(|map| {
        let id = map.get("id").is_some_and(|id| id.is_string() || id.is_u64());
        let files = map
            .get("files")
            .and_then(Json::as_array)
            .is_some_and(|files| !files.is_empty() && files.iter().all(|file| file.is_string() || is_picture(file)));
        id && files && map.get("name").is_none_or(Json::is_string) && unknown(map, &["id", "name", "files"]).is_none()
    });
    if !good {
        say(
            "categories",
            "each of `materials` must be {id, name, files}; files are files of up to 2 MB or what `media.upload` gave for them",
        );
    }
}

/// A file of up to 2 MB, as parameters give it.
fn is_picture(file: &Json) -> bool {
    let content = file.get("content_base64").and_then(Json::as_str);
    let content = content.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let named = file.get("file_name").and_then(Json::as_str).is_some_and(|name| !name.is_empty());
    named && file.as_object().is_some_and(|map| map.len() == 2) && content.is_some_and(|content| content.len() <= 2 * 1024 * 1024)
}

fn unknown<'a>(map: &'a Map<String, Json>, known: &[&str]) -> Option<&'a str> {
    map.keys().map(String::as_str).find(|name| !known.contains(name))
}

/// Ids of up to three levels, joined with commas.
fn is_category(text: &str) -> bool {
    text.split(',').count() <= 3 && text.split(',').all(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

fn domains(operation: &Operation, params: &Params, say: &mut impl FnMut(&str, &str)) {
    let lists = if operation.name.starts_with("server") { SERVER_LISTS } else { WEBVIEW_LISTS };
    for (name, _) in lists {
        for url in params.texts(name).iter().filter(|url| host(url).is_none()) {
            say(name, &format!("`{url}` is no domain: a host name, with its scheme or without, without port and path"));
        }
    }
    if !lists.iter().any(|(name, _)| params.get(name).is_some()) {
        let names: Vec<_> = lists.iter().map(|(name, _)| *name).collect();
        say(names.first().copied().unwrap_or_default(), &format!("at least one of these is needed: {}", names.join(", ")));
    }
}

/// The bare host of a domain, which the vendor wants without scheme, port and path, and which is no address (5.3).
pub(super) fn host(url: &str) -> Option<String> {
    let bare = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    let label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty() && label.len() <= 63 && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    let top = bare.rsplit('.').next().is_some_and(|top| !top.bytes().all(|byte| byte.is_ascii_digit()));
    (bare.contains('.') && bare.len() <= 253 && top && bare.split('.').all(label)).then(|| bare.to_ascii_lowercase())
}

/// Red, green and blue of `#1a2b3c`.
pub(super) fn colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let [_, r, g, b] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some([r, g, b])
}

/// Content type by the first bytes.
pub(super) fn content_type(content: &[u8]) -> &'static str {
    match content {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'%', b'P', b'D', b'F', ..] => "application/pdf",
        _ => "application/octet-stream",
    }
}
