//! `multipart/form-data` (RFC 7578) as browsers and curl write it, taken apart in memory: the caller has bounded the body already.
//!
//! Called by `operations` for uploads. Knows nothing of parameters.

use bytes::Bytes;

/// Parts of one body at most.
const MOST_PARTS: usize = 64;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Field name.
    pub name: String,
    /// File name; only files have one.
    pub file_name: Option<String>,
    /// Content.
    pub content: Bytes,
}

/// Why a body cannot be taken apart.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The content type names no boundary.
    #[error("the content type names no boundary")]
    NoBoundary,
    /// The body does not keep to its boundary, or ends early.
    #[error("the body is no whole multipart/form-data with that boundary")]
    Broken,
    /// A part has no name.
    #[error("a part has no name")]
    Nameless,
    /// Too many parts.
    #[error("the body has more than 64 parts")]
    TooMany,
}

/// Whether a content type is `multipart/form-data`.
#[must_use]
pub fn is_form_data(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("multipart/form-data")
}

/// Takes a body apart.
///
/// # Errors
/// What is wrong with it.
pub fn parse(content_type: &str, body: &Bytes) -> Result<Vec<Field>, Unreadable> {
    let boundary =
        parameter(content_type, "boundary").filter(|boundary| (1..=70).contains(&boundary.len())).ok_or(Unreadable::NoBoundary)?;
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first delimiter may stand at the very beginning, without its line break.
    let first = delimiter.get(2..).unwrap_or_default();
    let mut at = match body.starts_with(first) {
        true => first.len(),
        false => find(body, &delimiter, 0).ok_or(Unreadable::Broken)? + delimiter.len(),
    };
    let mut fields = Vec::new();
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(fields);
        }
        // Spaces may stand between a boundary and its line break (RFC 2046 5.1.1).
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if !rest.get(padding..).unwrap_or_default().starts_with(b"\r\n") {
            return Err(Unreadable::Broken);
        }
        let begin = at + padding + 2;
        let end = find(body, &delimiter, begin.saturating_sub(2)).ok_or(Unreadable::Broken)?;
        if fields.len() >= MOST_PARTS {
            return Err(Unreadable::TooMany);
        }
        fields.push(field(body, begin, end)?);
        at = end + delimiter.len();
    }
}

fn field(body: &Bytes, begin: usize, end: usize) -> Result<Field, Unreadable> {
    let part = body.get(begin..end).ok_or(Unreadable::Broken)?;
    let head_length = find(part, b"\r\n\r\n", 0).ok_or(Unreadable::Broken)?;
    let head = std::str::from_utf8(part.get(..head_length).unwrap_or_default()).map_err(|_| Unreadable::Broken)?;
    let disposition = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let disposition = disposition.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition")).map(|(_, value)| value);
    let disposition = disposition.last().ok_or(Unreadable::Nameless)?;
    let name = parameter(disposition, "name").filter(|name| !name.is_empty()).ok_or(Unreadable::Nameless)?;
    let file_name = parameter(disposition, "filename");
    Ok(Field { name, file_name, content: body.slice(begin + head_length + 4..end) })
}

/// A parameter of a header's value; quoted ones may hold semicolons. Browsers write quotes and line breaks as `%22`, `%0D`, `%0A`.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim();
        let after = after.trim_start();
        let (text, left) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"')?;
                (quoted.get(..end)?, quoted.get(end + 1..)?)
            }
            None => match after.split_once(';') {
                Some((text, _)) => (text.trim(), after.get(text.len()..)?),
                None => (after.trim(), ""),
            },
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"));
        }
        rest = left.trim_start().strip_prefix(';')?;
    }
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = from;
    while let Some(offset) = body.get(at..)?.iter().position(|byte| *byte == first) {
        at += offset;
        if body.get(at..)?.starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}
