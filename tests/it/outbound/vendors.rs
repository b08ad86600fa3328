//! Calls to vendors: what is on the wire, and what is said when nothing comes back.

use std::time::Duration;

use yizhan::outbound::{HttpVendors, SendError, Vendors};
use yizhan::platform::call::Part;
use yizhan::platform::{Body, Call, Value};
use yizhan::secret::Secret;

use super::receiver::{Manner, Receiver};

fn vendors() -> HttpVendors {
    HttpVendors::new().unwrap()
}

#[tokio::test]
async fn a_get_carries_its_query_exactly() {
    let mut vendor = Receiver::start(Manner::headed(200, "Content-Type: Application/JSON; charset=utf-8\r\n", "{\"errno\":0}")).await;
    let call = Call::get(vendor.url("/rest/2.0/tp"))
        .query("access_token", Secret::new("a+b/c= d&e"))
        .query("名", "小程序'*~.-_")
        .header("access-token", Secret::new("tok"));
    let reply = vendors().send(&call).await.unwrap();
    assert_eq!((reply.status, reply.content_type.as_str(), reply.body.as_ref()), (200, "application/json", b"{\"errno\":0}".as_slice()));
    let seen = vendor.next().await;
    assert_eq!(seen.line, "GET /rest/2.0/tp?access_token=a%2Bb%2Fc%3D%20d%26e&%E5%90%8D=%E5%B0%8F%E7%A8%8B%E5%BA%8F%27%2A~.-_ HTTP/1.1");
    assert_eq!(seen.header("access-token"), Some("tok"));
    assert!(seen.header("user-agent").unwrap().starts_with("yizhan/"));
    assert_eq!(seen.header("accept-encoding"), None);
    assert!(seen.body.is_empty());
}

#[tokio::test]
async fn a_query_is_added_to_one_that_stands_in_the_address() {
    let mut vendor = Receiver::start(Manner::status(200)).await;
    vendors().send(&Call::get(vendor.url("/gateway.do?charset=utf-8")).query("a", "b")).await.unwrap();
    assert_eq!(vendor.next().await.line, "GET /gateway.do?charset=utf-8&a=b HTTP/1.1");
}

#[tokio::test]
async fn a_form_is_encoded_as_utf8_and_read_back_by_any_form_parser() {
    let mut vendor = Receiver::start(Manner::status(200)).await;
    let fields = vec![(String::from("biz_content"), Value::from("{\"名\":\"a b+c\"}")), (String::from("sign"), Value::from("x==&"))];
    vendors().send(&Call::post(vendor.url("/")).body(Body::Form(fields))).await.unwrap();
    let seen = vendor.next().await;
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded; charset=utf-8"));
    let read: Vec<(String, String)> = url::form_urlencoded::parse(&seen.body).into_owned().collect();
    assert_eq!(read, [("biz_content".into(), "{\"名\":\"a b+c\"}".into()), ("sign".into(), "x==&".into())]);
}

#[tokio::test]
async fn json_is_sent_as_it_is_and_a_header_of_the_call_wins() {
    let mut vendor = Receiver::start(Manner::status(200)).await;
    let text = "{\"template_id\": 9133504853504535288}";
    vendors().send(&Call::post(vendor.url("/")).body(Body::Json(text.into()))).await.unwrap();
    let seen = vendor.next().await;
    assert_eq!((seen.header("content-type"), seen.text()), (Some("application/json"), text));
    vendors().send(&Call::post(vendor.url("/")).body(Body::Json(text.into())).header("content-type", "text/plain")).await.unwrap();
    assert_eq!(vendor.next().await.header("content-type"), Some("text/plain"));
}

#[tokio::test]
async fn an_empty_post_says_its_length() {
    let mut vendor = Receiver::start(Manner::status(200)).await;
    vendors().send(&Call::post(vendor.url("/"))).await.unwrap();
    let seen = vendor.next().await;
    assert_eq!((seen.header("content-length"), seen.header("content-type")), (Some("0"), None));
}

#[tokio::test]
async fn multipart_is_written_as_browsers_do() {
    let mut vendor = Receiver::start(Manner::status(200)).await;
    let parts = vec![
        Part { name: "素材\"type".into(), file_name: None, content_type: None, content: "2".into() },
        Part {
            name: "file".into(),
            file_name: Some("图\r\n.png".into()),
            content_type: Some("image/png".into()),
            content: vec![0, 255, 13, 10].into(),
        },
    ];
    vendors().send(&Call::post(vendor.url("/")).body(Body::Multipart(parts))).await.unwrap();
    let seen = vendor.next().await;
    let boundary = seen.header("content-type").unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    let mut expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"素材%22type\"\r\n\r\n2\r\n--{boundary}\r\nContent-Disposition: form-data; \
         name=\"file\"; filename=\"图%0D%0A.png\"\r\nContent-Type: image/png\r\n\r\n"
    )
    .into_bytes();
    expected.extend([0, 255, 13, 10]);
    expected.extend(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(seen.body, expected);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_an_error_status_too() {
    let mut vendor = Receiver::start(Manner::headed(302, "Location: /elsewhere\r\n", "")).await;
    assert_eq!(vendors().send(&Call::get(vendor.url("/"))).await.unwrap().status, 302);
    vendor.next().await;
    assert!(vendor.try_next().is_none());
    let vendor = Receiver::start(Manner::headed(502, "", "bad gateway")).await;
    assert_eq!(vendors().send(&Call::get(vendor.url("/"))).await.unwrap().body.as_ref(), b"bad gateway");
}

#[tokio::test]
async fn connections_are_used_again() {
    let vendor = Receiver::start(Manner::headed(200, "", "ok")).await;
    let client = vendors();
    for _ in 0..5 {
        client.send(&Call::post(vendor.url("/")).json(&serde_json::json!({}))).await.unwrap();
    }
    assert_eq!(vendor.accepted(), 1);
}

async fn refused_port() -> String {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    format!("http://{address}/oauth?x=1")
}

#[tokio::test]
async fn what_was_certainly_not_sent_says_so() {
    let vendor = Receiver::start(Manner::status(200)).await;
    let not_http = vendor.url("/").replace("http://", "ftp://");
    // Plain HTTP is no TLS: the handshake fails before anything is sent.
    let not_tls = vendor.url("/").replace("http://", "https://");
    for url in [refused_port().await, "http://nowhere.invalid/x".into(), not_http, not_tls, "http://".into()] {
        let error = vendors().send(&Call::get(url.clone()).query("token", "hush-hush")).await.unwrap_err();
        assert!(matches!(error, SendError::NotSent { .. }), "{url}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hush-hush"), "{error}");
        assert!(!error.to_string().contains("x=1"));
    }
    let call = Call::get(vendor.url("/")).header("access-token", "a\nb");
    let error = vendors().send(&call).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent { .. }), "{error:?}");
}

#[tokio::test]
async fn what_may_have_arrived_is_not_called_unsent() {
    for manner in [
        Manner::Hanging,
        Manner::Closing,
        Manner::Dripping("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        Manner::Answer(String::from("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")),
        Manner::Answer(String::from("nonsense\r\n\r\n")),
        Manner::Endless("HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        let vendor = Receiver::start(manner.clone()).await;
        let mut call = Call::post(vendor.url("/token")).query("refresh_token", "hush-hush");
        call.timeout = if matches!(manner, Manner::Endless(_)) { Duration::from_secs(20) } else { Duration::from_millis(300) };
        let error = vendors().send(&call).await.unwrap_err();
        assert!(matches!(error, SendError::NoAnswer { .. }), "{manner:?}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hush-hush"), "{error}");
    }
}
