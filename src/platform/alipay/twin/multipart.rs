//! Takes a `multipart/form-data` body apart: text parts, which are signed like fields, and files, which are not (Alipay 1.5).
//!
//! For the twin only. Anything that is not well-formed is `None`.

/// Text parts with their values, and files with their names.
pub struct Parts {
    pub texts: Vec<(String, String)>,
    pub files: Vec<(String, String)>,
}

/// Reads a body of that content type.
pub fn parts(content_type: &str, body: &[u8]) -> Option<Parts> {
    let boundary = content_type.split(';').find_map(|item| item.trim().strip_prefix("boundary="))?.trim_matches('"');
    let mark = format!("--{boundary}");
    let mut read = Parts { texts: Vec::new(), files: Vec::new() };
    let mut rest = body.strip_prefix(mark.as_bytes())?;
    let between = format!("\r\n{mark}");
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = find(part, between.as_bytes())?;
        let (part, after) = part.split_at_checked(end)?;
        let split = find(part, b"\r\n\r\n")?;
        let (head, content) = part.split_at_checked(split)?;
        let content = content.get(4..)?;
        let head = std::str::from_utf8(head).ok()?.lines().find(|line| line.starts_with("Content-Disposition: form-data; "))?;
        let name = quoted(head, "name")?;
        match quoted(head, "filename") {
            Some(file) => read.files.push((name, file)),
            None => read.texts.push((name, String::from_utf8(content.to_vec()).ok()?)),
        }
        rest = after.get(between.len()..)?;
    }
    rest.starts_with(b"--").then_some(read)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn quoted(head: &str, name: &str) -> Option<String> {
    let opening = format!("; {name}=\"");
    let (_, after) = head.split_once(opening.as_str())?;
    after.split_once('"').map(|(value, _)| value.to_owned())
}
