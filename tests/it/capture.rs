//! Captured pushes, read from files.

use yizhan::clock::Timestamp;
use yizhan::platform::capture::{CaptureError, header, read};
use yizhan::platform::{Door, RawPush};

fn now() -> Timestamp {
    "2026-11-20T07:04:05Z".parse().unwrap()
}

fn captured(file: &str) -> Result<RawPush, CaptureError> {
    read(file.as_bytes(), None, &[], now())
}

#[test]
fn a_raw_request_is_read_with_either_line_break() {
    let text =
        "POST /callback/kuaishou/authorization?a=1&b=2 HTTP/1.1\nHost: post.example.com\nKwaiSign:  abc \nContent-Length: 7\n\n{\"a\":1}\n";
    for text in [text.to_owned(), text.replace('\n', "\r\n")] {
        let raw = captured(&text).unwrap();
        assert_eq!((raw.door, raw.is_get, raw.query.as_str()), (Door::Authorization, false, "a=1&b=2"));
        assert_eq!(raw.header("kwaisign"), Some("abc"));
        assert_eq!(&*raw.body, b"{\"a\":1}");
        assert_eq!(raw.received_at, now());
    }
}

#[test]
fn without_a_length_the_body_is_all_that_follows() {
    let raw = captured("POST /callback/x/message/extra HTTP/1.1\nA: b\n\nline one\n\nline two").unwrap();
    assert_eq!((raw.door, &*raw.body), (Door::Message, b"line one\n\nline two".as_slice()));
    let check = captured("GET /callback/x/message?echostr=1 HTTP/1.1\nHost: x\n").unwrap();
    assert!(check.is_get && check.body.is_empty());
}

#[test]
fn a_request_that_was_saved_badly_says_how() {
    let cases = [
        ("POST /x HTTP/1.1\nA: b", CaptureError::NoBlankLine),
        ("PUT /x HTTP/1.1\n\n", CaptureError::Method(String::from("PUT"))),
        ("POST /x HTTP/1.1\nContent-Length: 9\n\n{}", CaptureError::CutShort { held: 2, announced: 9 }),
        ("POST /x HTTP/1.1\nTransfer-Encoding: chunked\n\n2\r\n{}\r\n0\r\n\r\n", CaptureError::Chunked),
        ("POST /x HTTP/1.1\nContent-Encoding: gzip\n\nxx", CaptureError::Compressed(String::from("gzip"))),
        ("POST /x HTTP/1.1\nno colon\n\n{}", CaptureError::Header(String::from("a line of the request's head"))),
        ("", CaptureError::Empty),
        (" \n", CaptureError::Empty),
    ];
    for (text, error) in cases {
        assert_eq!(captured(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn named_parts_are_read() {
    let raw = captured(
        r#"{"door":"authorization","method":"post","headers":{"KwaiSign":"abc","X":["1","2"]},"query":"?a=1","body":"{\"x\": 1}"}"#,
    )
    .unwrap();
    assert_eq!((raw.door, raw.query.as_str(), raw.header("kwaisign")), (Door::Authorization, "a=1", Some("abc")));
    assert_eq!(raw.headers.len(), 3);
    assert_eq!(&*raw.body, b"{\"x\": 1}");
    let raw = captured("{\"method\":\"GET\",\"body_base64\":\"/wA=\\n\"}").unwrap();
    assert!(raw.is_get && raw.door == Door::Message);
    assert_eq!(&*raw.body, [0xff, 0]);
}

#[test]
fn parts_that_are_wrong_are_named() {
    let member = |name: &str| CaptureError::Member(name.to_owned());
    let cases = [
        (r#"{"headers":{},"body":"","doors":"x"}"#, member("doors")),
        (r#"{"headers":{},"body":"","door":"front"}"#, member("door")),
        (r#"{"headers":{"a":1},"body":""}"#, member("headers.a")),
        (r#"{"headers":[],"body":""}"#, member("headers")),
        (r#"{"headers":{},"body":7}"#, member("body")),
        (r#"{"body_base64":"*"}"#, member("body_base64")),
        (r#"{"headers":{},"body":"","body_base64":""}"#, CaptureError::OneBody),
        (r#"{"headers":{}}"#, CaptureError::OneBody),
        (r#"{"headers":{},"body":"","method":"PUT"}"#, CaptureError::Method(String::from("PUT"))),
    ];
    for (text, error) in cases {
        assert_eq!(captured(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn a_bare_body_takes_its_headers_from_the_command_line() {
    let headers = [header("KwaiSign: abc").unwrap()];
    for body in ["{\"encryptedMsg\":\"x\",\"msgId\":\"1\"}", "a=1&b=2", "<xml/>", "[1]"] {
        let raw = read(body.as_bytes(), Some(Door::Authorization), &headers, now()).unwrap();
        assert_eq!((raw.door, raw.header("kwaisign"), &*raw.body), (Door::Authorization, Some("abc"), body.as_bytes()));
    }
    let raw = read(b"POST /callback/x/message HTTP/1.1\nkwaisign: old\n\n{}", Some(Door::Authorization), &headers, now()).unwrap();
    assert_eq!((raw.door, raw.header("kwaisign")), (Door::Authorization, Some("abc")));
    assert!(header("no colon").is_err() && header(": x").is_err() && header("").is_err());
}

#[test]
fn bytes_that_are_no_text_are_a_body() {
    let raw = read(&[0xff, 0xfe, b'\n', 0], None, &[], now()).unwrap();
    assert_eq!(&*raw.body, [0xff, 0xfe, b'\n', 0]);
}
