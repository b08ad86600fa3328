//! Reads a captured push from a file, for `yizhan diagnose`: what somebody saved of a request that was refused.
//!
//! Three forms are understood: the raw HTTP request, a JSON object that names its parts, and the bare body with its headers given
//! beside it. Called by `cli`; opens nothing and never prints content.

use base64::Engine;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::push::{Door, RawPush};
use crate::clock::Timestamp;
use crate::envelope::cbc::KEY_BASE64;

/// Why a file is no captured push.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum CaptureError {
    /// Nothing is in it.
    #[error("the file is empty")]
    Empty,
    /// A header is not `Name: value`.
    #[error("{0}: a header is written as `Name: value`")]
    Header(String),
    /// The request's text ends before its headers do.
    #[error("the request has no blank line between its headers and its body")]
    NoBlankLine,
    /// Neither GET nor POST.
    #[error("the method is {0}; pushes are POST, checks of an address are GET")]
    Method(String),
    /// The body is shorter than it was when it came.
    #[error("the body holds {held} bytes, `content-length` says {announced}: the capture is cut short, or its line breaks were changed")]
    CutShort {
        /// Bytes in the file.
        held: usize,
        /// Bytes that came.
        announced: usize,
    },
    /// Chunks were not joined.
    #[error("the body is in chunks (`transfer-encoding`): save the request with its body joined")]
    Chunked,
    /// The body was compressed.
    #[error("the body is compressed (`content-encoding: {0}`): save the request with its body unpacked")]
    Compressed(String),
    /// A member of the JSON form is unknown or of the wrong type.
    #[error("`{0}`: the members of a capture are door, method, headers, query and body or body_base64")]
    Member(String),
    /// Both or neither of `body` and `body_base64`.
    #[error("a capture has either `body` or `body_base64`")]
    OneBody,
}

/// A header as `Name: value`, as `--header` takes it.
///
/// # Errors
/// Without a name or a colon.
pub fn header(text: &str) -> Result<(String, Vec<u8>), CaptureError> {
    header_line(text.as_bytes()).ok_or_else(|| CaptureError::Header(text.split(':').next().unwrap_or_default().trim().to_owned()))
}

fn header_line(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = std::str::from_utf8(name).ok()?.trim();
    let value = value.get(1..)?.trim_ascii();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then(|| (name.to_ascii_lowercase(), value.to_vec()))
}

/// Reads a captured push. `door` and `headers` come from the command line and win over what the file says; without any word
/// about the door it is [`Door::Message`]. `now` stands for the time of receipt.
///
/// # Errors
/// What is wrong with the file, naming the part.
pub fn read(file: &[u8], door: Option<Door>, headers: &[(String, Vec<u8>)], now: Timestamp) -> Result<RawPush, CaptureError> {
    if file.trim_ascii().is_empty() && headers.is_empty() {
        return Err(CaptureError::Empty);
    }
    let mut captured = match (named_parts(file), request_line(file)) {
        (Some(parts), _) => from_parts(&parts)?,
        (None, Some((line, rest))) => from_request(line, rest)?,
        (None, None) => Captured { body: Bytes::copy_from_slice(file), ..Captured::default() },
    };
    captured.headers.splice(0..0, headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    Ok(RawPush {
        door: door.or(captured.door).unwrap_or(Door::Message),
        is_get: captured.is_get,
        headers: captured.headers,
        query: captured.query,
        body: captured.body,
        received_at: now,
    })
}

#[derive(Default)]
struct Captured {
    door: Option<Door>,
    is_get: bool,
    headers: Vec<(String, Vec<u8>)>,
    query: String,
    body: Bytes,
}

/// The door by the end of an address's path.
fn door_of(path: &str) -> Option<Door> {
    let mut segments = path.split('/').rev();
    segments.find_map(|segment| match segment {
        "authorization" => Some(Door::Authorization),
        "message" => Some(Door::Message),
        _ => None,
    })
}

fn is_get(method: &str) -> Result<bool, CaptureError> {
    match method.to_ascii_uppercase().as_str() {
        "GET" => Ok(true),
        "POST" => Ok(false),
        _ => Err(CaptureError::Method(method.to_owned())),
    }
}

/// The file as an object with named parts; a bare JSON body has neither `headers` nor a body within.
fn named_parts(file: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(file).ok()? {
        Value::Object(parts) => {
            let is_capture = parts.contains_key("body_base64") || (parts.contains_key("headers") && parts.contains_key("body"));
            let names_all = parts.contains_key("body") && parts.keys().all(|name| PARTS.contains(&name.as_str()));
            (is_capture || names_all || parts.get("headers").is_some_and(Value::is_object)).then_some(parts)
        }
        _ => None,
    }
}

/// Members of the JSON form.
static PARTS: [&str; 6] = ["door", "method", "headers", "query", "body", "body_base64"];

fn from_parts(parts: &Map<String, Value>) -> Result<Captured, CaptureError> {
    let wrong = |name: &str| CaptureError::Member(name.to_owned());
    if let Some(unknown) = parts.keys().find(|name| !PARTS.contains(&name.as_str())) {
        return Err(wrong(unknown));
    }
    let text = |name: &str| match parts.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(wrong(name)),
    };
    let door = match text("door")? {
        None => None,
        Some("authorization") => Some(Door::Authorization),
        Some("message") => Some(Door::Message),
        Some(_) => return Err(wrong("door")),
    };
    let body = match (text("body")?, text("body_base64")?) {
        (Some(body), None) => Bytes::copy_from_slice(body.as_bytes()),
        (None, Some(body)) => {
            let joined: String = body.split_ascii_whitespace().collect();
            KEY_BASE64.decode(joined).map_err(|_| wrong("body_base64"))?.into()
        }
        _ => return Err(CaptureError::OneBody),
    };
    let mut headers = Vec::new();
    match parts.get("headers") {
        None | Some(Value::Null) => {}
        Some(Value::Object(named)) => {
            for (name, value) in named {
                let values = match value {
                    Value::Array(values) => values.as_slice(),
                    one => std::slice::from_ref(one),
                };
                for value in values {
                    let value = value.as_str().ok_or_else(|| wrong(&format!("headers.{name}")))?;
                    headers.push((name.to_ascii_lowercase(), value.as_bytes().to_vec()));
                }
            }
        }
        Some(_) => return Err(wrong("headers")),
    }
    let query = text("query")?.unwrap_or_default();
    Ok(Captured {
        door,
        is_get: text("method")?.map_or(Ok(false), is_get)?,
        headers,
        query: query.strip_prefix('?').unwrap_or(query).to_owned(),
        body,
    })
}

/// The first line of an HTTP request and what follows it.
fn request_line(file: &[u8]) -> Option<(&str, &[u8])> {
    let end = file.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = file.split_at_checked(end)?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let version = line.rsplit(' ').next()?;
    let is_request = line.split(' ').count() == 3 && version.starts_with("HTTP/");
    is_request.then_some((line, rest.get(1..).unwrap_or_default()))
}

fn from_request(line: &str, mut rest: &[u8]) -> Result<Captured, CaptureError> {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut captured = Captured { door: door_of(path), is_get: is_get(method)?, query: query.to_owned(), ..Captured::default() };
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, after) = match end {
            Some(end) => (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default()),
            // A GET may have been saved without the blank line.
            None if captured.is_get && rest.trim_ascii().is_empty() => return Ok(captured),
            None => return Err(CaptureError::NoBlankLine),
        };
        rest = after;
        if line.trim_ascii().is_empty() {
            break;
        }
        let named = header_line(line).ok_or_else(|| CaptureError::Header(String::from("a line of the request's head")))?;
        captured.headers.push(named);
    }
    let named =
        |name: &str| captured.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| std::str::from_utf8(value).ok());
    if named("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Err(CaptureError::Chunked);
    }
    if let Some(encoding) = named("content-encoding").filter(|value| !value.eq_ignore_ascii_case("identity")) {
        return Err(CaptureError::Compressed(encoding.to_owned()));
    }
    let announced: Option<usize> = named("content-length").and_then(|value| value.parse().ok());
    // Editors append a line break: what was announced is what was signed.
    let body = match announced {
        Some(announced) => rest.get(..announced).ok_or(CaptureError::CutShort { held: rest.len(), announced })?,
        None => rest,
    };
    captured.body = Bytes::copy_from_slice(body);
    Ok(captured)
}
