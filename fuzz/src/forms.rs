//! Forms of every kind, and captured requests.

use bytes::Bytes;
use yizhan::http::form_data;
use yizhan::platform::alipay::form::{self as alipay, Form};
use yizhan::platform::capture;
use yizhan::platform::sorted_envelope::Fields;

use super::corpus;

/// `application/x-www-form-urlencoded`, by the three readers that there are.
pub fn form(input: &[u8]) {
    if let Ok(form) = Form::decode(input) {
        assert!(form.fields().len() > 0);
        let again = Form::decode(&form.encode()).expect("what was encoded");
        assert_eq!(again, form, "decoded, encoded, decoded");
        let names: std::collections::BTreeSet<&[u8]> = form.fields().map(|(name, _)| name).collect();
        assert_eq!(names.len(), form.fields().len(), "a name came twice");
        assert_eq!(alipay::sign_string(form.fields()), alipay::sign_string(form.fields().rev()), "the order of a body is signed");
        for charset in [encoding_rs::UTF_8, encoding_rs::GBK, encoding_rs::GB18030] {
            if let Some(texts) = form.texts(charset) {
                assert_eq!(texts.len(), form.fields().len());
            }
        }
    }
    let _ = Fields::of_form(input);
    if let Err(error) = Fields::of_body(input) {
        assert!(error.status() == 400 && error.to_string().len() < 200, "{error}");
    }
}

/// `multipart/form-data`; the first line is the content type.
pub fn multipart(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let Ok(content_type) = std::str::from_utf8(&input[..at]) else { return };
    let body = Bytes::copy_from_slice(input.get(at + 1..).unwrap_or_default());
    let Ok(fields) = form_data::parse(content_type, &body) else { return };
    assert!(fields.len() <= 64);
    let mut written = Vec::new();
    for field in &fields {
        assert!(!field.name.is_empty() && field.content.len() <= body.len());
        assert!(body.windows(field.content.len().max(1)).any(|window| window == field.content) || field.content.is_empty());
        let escaped = |text: &str| text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let file = field.file_name.as_deref().map(|name| format!("; filename=\"{}\"", escaped(name))).unwrap_or_default();
        written.extend(
            format!("--yizhan-fuzz-boundary\r\ncontent-disposition: form-data; name=\"{}\"{file}\r\n\r\n", escaped(&field.name))
                .into_bytes(),
        );
        written.extend_from_slice(&field.content);
        written.extend(b"\r\n");
    }
    written.extend(b"--yizhan-fuzz-boundary--\r\n");
    if !written.is_empty() && !fields.iter().any(|field| field.content.windows(22).any(|window| window == b"--yizhan-fuzz-boundary")) {
        let again = form_data::parse("multipart/form-data; boundary=yizhan-fuzz-boundary", &written.into());
        assert_eq!(again.as_ref(), Ok(&fields), "read, written, read");
    }
}

/// A request that somebody saved to a file.
pub fn capture(input: &[u8]) {
    match capture::read(input, None, &[], corpus::now()) {
        Ok(raw) => {
            assert!(raw.body.len() <= input.len());
            assert!(raw.headers.iter().all(|(name, _)| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase())));
            assert_eq!(Ok(&raw), capture::read(input, None, &[], corpus::now()).as_ref());
            // What was captured is opened or not, by each of them.
            for platform in ["baidu", "douyin", "kuaishou", "alipay"] {
                let _ = corpus::subjects(platform)[0].component.diagnose(&raw);
            }
        }
        Err(error) => assert!(error.to_string().len() < 4096 + input.len()),
    }
}
