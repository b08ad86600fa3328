//! How requests for operations are read: forms, `Accept`, vendors' paths.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use yizhan::http::form_data::{self, Field, Unreadable};
use yizhan::http::operations::wants_json;
use yizhan::http::proxy::vendor_path;
use yizhan::operations::text;

const TYPE: &str = "multipart/form-data; charset=utf-8; boundary=\"cut here\"";

fn parse(body: &str) -> Result<Vec<Field>, Unreadable> {
    form_data::parse(TYPE, &Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn a_form_with_a_file_is_taken_apart() {
    let body = "--cut here\r\nContent-Disposition: form-data; name=\"version\"\r\n\r\n1.0.3\r\n\
                --cut here\r\ncontent-type: image/png\r\ncontent-disposition: form-data; filename=\"a;b%22.png\"; name=icon\r\n\r\n\
                \r\n--cut her\r\n\r\n--cut here--\r\nbehind";
    let fields = parse(body).unwrap();
    assert_eq!(fields.len(), 2);
    assert_eq!(
        (fields[0].name.as_str(), fields[0].file_name.as_deref(), fields[0].content.as_ref()),
        ("version", None, b"1.0.3".as_slice())
    );
    assert_eq!((fields[1].name.as_str(), fields[1].file_name.as_deref()), ("icon", Some("a;b\".png")));
    assert_eq!(fields[1].content.as_ref(), b"\r\n--cut her\r\n", "what looks like a boundary and is none is content");
}

#[test]
fn a_preamble_an_empty_part_and_no_parts_at_all_are_fine() {
    let fields = parse("hello\r\n--cut here \r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--cut here--").unwrap();
    assert_eq!((fields.len(), fields[0].content.len()), (1, 0));
    assert_eq!(parse("--cut here--\r\n").unwrap(), []);
}

#[test]
fn a_form_that_is_broken_is_refused() {
    for body in
        ["", "--cut here", "--cut here\r\n", "--cut here\r\nContent-Disposition: form-data; name=a\r\n\r\nx", "--other\r\n\r\n--other--"]
    {
        assert_eq!(parse(body), Err(Unreadable::Broken), "{body:?}");
    }
    for head in
        ["X: y", "Content-Disposition: form-data", "Content-Disposition: form-data; name=\"\"", "Content-Disposition: form-data; name=\"a"]
    {
        assert_eq!(parse(&format!("--cut here\r\n{head}\r\n\r\nx\r\n--cut here--")), Err(Unreadable::Nameless), "{head}");
    }
    let many = "--cut here\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n".repeat(65) + "--cut here--";
    assert_eq!(parse(&many), Err(Unreadable::TooMany));
    let body = Bytes::from_static(b"--x--");
    for kind in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"x"] {
        assert_eq!(form_data::parse(kind, &body), Err(Unreadable::NoBoundary), "{kind}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_parser_stumble(pieces in prop::collection::vec(prop_oneof![
        Just("--cut here".to_owned()), Just("\r\n".to_owned()), Just("--".to_owned()), Just("Content-Disposition: form-data; name=a".to_owned()), ".{0,4}"
    ], 0..12), kind in ".{0,30}") {
        let body = pieces.concat();
        let _ = parse(&body);
        let _ = form_data::parse(&format!("multipart/form-data;{kind}"), &Bytes::from(body));
    }

    #[test]
    fn what_a_form_holds_comes_out(content in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assume!(!content.windows(12).any(|window| window == b"\r\n--cut here"));
        let mut body = b"--cut here\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n".to_vec();
        body.extend_from_slice(&content);
        body.extend_from_slice(b"\r\n--cut here--\r\n");
        let fields = form_data::parse(TYPE, &Bytes::from(body)).unwrap();
        prop_assert_eq!(fields[0].content.as_ref(), content.as_slice());
    }
}

#[test]
fn json_only_is_what_names_nothing_else() {
    for accept in ["application/json", "Application/JSON; q=0.9", "application/json, application/problem+json"] {
        assert!(wants_json(accept), "{accept}");
    }
    for accept in ["", "*/*", "application/json, */*;q=0.1", "image/png", "image/*, application/json"] {
        assert!(!wants_json(accept), "{accept}");
    }
}

#[test]
fn a_vendors_path_is_what_stands_behind_proxy_as_it_came() {
    assert_eq!(vendor_path("/v1/components/c/proxy/rest/2.0/x", false), "/rest/2.0/x");
    assert_eq!(vendor_path("/v1/components/c/authorizers/a/proxy/api/apps/v1/", true), "/api/apps/v1/");
    assert_eq!(vendor_path("/v1/components/c/proxy/%2e%2e/x", false), "/%2e%2e/x");
    assert_eq!(vendor_path("/v1/components/c/proxy//evil.example/x", false), "//evil.example/x");
    assert_eq!(vendor_path("/v1/components/c/proxy", false), "/");
    assert_eq!(vendor_path("/v1/components/proxy/proxy/proxy/x", false), "/proxy/x");
}

#[test]
fn text_is_read_by_the_schema_and_what_does_not_fit_stays_text() {
    let value = |schema: serde_json::Value, text: &str| text::value(&schema, text);
    assert_eq!(value(json!({"type": "string"}), "12"), json!("12"));
    assert_eq!(value(json!({"type": ["string", "integer"]}), "9133504853504535288"), json!("9133504853504535288"));
    assert_eq!(value(json!({"type": "integer"}), "12"), json!(12));
    assert_eq!(value(json!({"type": "integer"}), "twelve"), json!("twelve"));
    assert_eq!(value(json!({"type": "boolean"}), "true"), json!(true));
    assert_eq!(value(json!({"type": "boolean"}), "1"), json!("1"));
    let texts = json!({"type": "array", "items": {"type": "string"}});
    assert_eq!(value(texts.clone(), "https://a.example, https://b.example"), json!(["https://a.example", "https://b.example"]));
    assert_eq!(value(texts.clone(), "[\"a,b\"]"), json!(["a,b"]));
    assert_eq!(value(texts, ""), json!([]));
    let objects = json!({"type": "array", "items": {"type": "object"}});
    assert_eq!(value(objects.clone(), "{\"a\":1}"), json!([{"a": 1}]));
    assert_eq!(value(objects, "nonsense"), json!("nonsense"));
    assert_eq!(value(json!({"type": "object"}), "{\"a\":1}"), json!({"a": 1}));
}
