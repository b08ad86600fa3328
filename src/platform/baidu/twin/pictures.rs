//! Pictures that the twin takes (5.3.1): form, size and, for every call that names one, origin.

use serde_json::Value;
use uuid::Uuid;

use super::no::{No, platform, success};
use crate::platform::twin::Request;

/// Where uploaded pictures are.
const HOST: &str = "https://b.bdstatic.com/";

/// The address of a new picture.
pub(super) fn upload(request: &Request) -> Result<Value, No> {
    let parts = parts(request);
    let part = |name: &str| parts.iter().find(|(header, _)| header.contains(&format!("name=\"{name}\"")));
    let Some((header, content)) = part("multipartFile") else { return Err(platform(40001, "param error: multipartFile")) };
    let name = header.split("filename=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_ascii_lowercase();
    let Some(ending) = ["bmp", "jpeg", "jpg", "png"].into_iter().find(|ending| name.ends_with(&format!(".{ending}"))) else {
        return Err(platform(47000, "image format is invalid"));
    };
    let limit = match part("type").map(|(_, kind)| kind.as_slice()) {
        None | Some(b"1") => 2 << 20,
        Some(b"2" | b"3") => 5 << 20,
        Some(_) => return Err(platform(40001, "param error: type")),
    };
    if content.len() > limit {
        return Err(platform(47003, "image size exceeded"));
    }
    Ok(success(Value::from(format!("{HOST}miniapp/{}.{ending}", Uuid::new_v4().simple()))))
}

/// Whether every address is one that an upload gave.
pub(super) fn ours<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Result<(), No> {
    match addresses.into_iter().all(|address| address.starts_with(HOST)) {
        true => Ok(()),
        false => Err(platform(47008, "image source is illegal")),
    }
}

/// Headers and content of every part of a multipart body.
fn parts(request: &Request) -> Vec<(String, Vec<u8>)> {
    let boundary = request.header("content-type").and_then(|kind| kind.split("boundary=").nth(1)).unwrap_or_default().trim_matches('"');
    let mark = format!("--{boundary}").into_bytes();
    let mut found = Vec::new();
    let mut rest: &[u8] = &request.body;
    while let Some(start) = find(rest, &mark) {
        rest = rest.get(start + mark.len()..).unwrap_or_default();
        let part = rest.get(..find(rest, &mark).unwrap_or(rest.len())).unwrap_or_default();
        if let Some(blank) = find(part, b"\r\n\r\n") {
            let header = String::from_utf8_lossy(part.get(..blank).unwrap_or_default()).into_owned();
            let content = part.get(blank + 4..).unwrap_or_default();
            found.push((header, content.strip_suffix(b"\r\n").unwrap_or(content).to_vec()));
        }
    }
    found
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() { None } else { text.windows(wanted.len()).position(|window| window == wanted) }
}
