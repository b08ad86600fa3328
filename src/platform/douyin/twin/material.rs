//! Uploaded material, by the path under which it was filed, with the use it was uploaded for (5.10).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::desk::{No, PARAMETER, Said};
use crate::platform::twin::Request;

/// What one owner has uploaded.
#[derive(Default)]
pub(super) struct Material {
    filed: BTreeMap<String, u8>,
}

impl Material {
    pub fn upload(&mut self, request: &Request) -> Said {
        const MEGABYTE: usize = 1024 * 1024;
        let parts = parts(request).ok_or(PARAMETER)?;
        let part = |name: &str| parts.iter().find(|(known, _)| known == name).map(|(_, content)| content);
        let used_for = part("material_type").and_then(|text| std::str::from_utf8(text).ok()?.parse::<u8>().ok());
        let (Some(used_for @ 1..=8), Some(content)) = (used_for, part("material_file")) else { return Err(PARAMETER) };
        let most = match used_for {
            5 => 5,
            6 => 1,
            7 | 8 => 4,
            _ => 2,
        };
        if content.len() > most * MEGABYTE {
            return Err(No(40_031, "file too large"));
        }
        let formats: &[&[u8]] = if used_for == 8 { &[b"%PDF"] } else { &[b"\x89PNG", b"\xff\xd8\xff"] };
        if !formats.iter().any(|format| content.starts_with(format)) {
            return Err(No(40_032, "bad format"));
        }
        let path = format!("material/{}", Uuid::new_v4().simple());
        self.filed.insert(path.clone(), used_for);
        Ok(json!({"path": path}))
    }

    /// Whether that path was given for that use.
    pub fn has(&self, path: &str, used_for: u8) -> bool {
        self.filed.get(path) == Some(&used_for)
    }
}

/// The parts of a multipart body by name.
fn parts(request: &Request) -> Option<Vec<(String, Bytes)>> {
    let boundary = request.header("content-type")?.strip_prefix("multipart/form-data")?.split_once("boundary=")?.1.trim_matches('"');
    let boundary = format!("--{boundary}");
    let body = &request.body;
    let mut found = Vec::new();
    let mut from = position(body, boundary.as_bytes())?;
    loop {
        let start = from + boundary.len();
        if body.get(start..)?.starts_with(b"--") {
            return Some(found);
        }
        let end = start + position(body.get(start..)?, boundary.as_bytes())?;
        let part = body.get(start..end)?.strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
        let heads = position(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(part.get(..heads)?).into_owned();
        let name = head.split_once("name=\"")?.1.split_once('"')?.0.to_owned();
        found.push((name, Bytes::copy_from_slice(part.get(heads + 4..)?)));
        from = end;
    }
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
