//! The proxy: which paths, where the token goes, and when a call is sent a second time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use yizhan::clock::Timestamp;
use yizhan::operations::TokenSource;
use yizhan::operations::proxy::{Asked, Incoming, Proxy, ProxyError};
use yizhan::outbound::SendError;
use yizhan::outbound::relay::{Load, Passed, Passing, Relay, one_piece};
use yizhan::platform::operation::Caller;
use yizhan::platform::proxy::{NotProxied, Request, path};
use yizhan::platform::{self, Body, Component, Components, TokenKey};
use yizhan::secret::Secret;
use yizhan::settings::{Settings, Surroundings};
use yizhan::vault::{Served, VaultError};

use super::fake::Leaping;

const VENDOR: &str = "https://vendor.example";

fn component(name: &str) -> Arc<dyn Component> {
    let platform = platform::named(name).unwrap();
    let settings = Settings::parse(&platform.sample_settings(VENDOR), Surroundings::default()).unwrap();
    platform.component(name, settings).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn now() -> Timestamp {
    "2026-11-20T07:04:05Z".parse().unwrap()
}

/// Where the authorizer's token and the component's token stand in a call to that path.
fn dressed(platform: &str, path: &str) -> (String, String) {
    let component = component(platform);
    let proxied = component.proxy().unwrap();
    let token = Secret::new("tok-en");
    let write = |caller: Caller<'_>| {
        let query = [("a".to_owned(), "b c".to_owned())];
        let dressed = proxied.dress(Request { path, query: &query, content_type: "", body: None }, caller).unwrap();
        assert!(!format!("{dressed:?}").contains("tok-en"), "secrets are not shown");
        let show = |fields: &yizhan::platform::call::Fields| {
            fields.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect::<Vec<_>>().join("&")
        };
        format!("{}?{} {}", dressed.url, show(&dressed.query), show(&dressed.headers))
    };
    (
        write(Caller { component_token: None, authorizer: Some(("app1", &token)), now: now() }),
        write(Caller { component_token: Some(&token), authorizer: None, now: now() }),
    )
}

#[test]
fn each_vendors_token_stands_where_that_vendor_wants_it() {
    let (authorizer, component) = dressed("baidu", "/rest/2.0/smartapp/anything");
    assert_eq!(authorizer, "https://vendor.example/rest/2.0/smartapp/anything?access_token=tok-en&a=b c ");
    assert_eq!(component, authorizer);
    let (authorizer, component) = dressed("douyin", "/api/apps/v1/anything/");
    assert_eq!(authorizer, "https://vendor.example/api/apps/v1/anything/?a=b c access-token=tok-en");
    assert_eq!(component, authorizer);
    let (authorizer, component) = dressed("douyin", "/aweme/apps/v1/video_mount/anything/");
    assert_eq!(authorizer, "https://vendor.example/aweme/apps/v1/video_mount/anything/?a=b c access-token=tok-en");
    assert_eq!(component, authorizer);
    let (authorizer, component) = dressed("douyin", "/openapi/v1/microapp/anything");
    let ours = "https://vendor.example/openapi/v1/microapp/anything?component_appid=tt0123456789abcdef";
    assert_eq!(authorizer, format!("{ours}&authorizer_access_token=tok-en&a=b c "));
    assert_eq!(component, format!("{ours}&component_access_token=tok-en&a=b c "));
    let (authorizer, component) = dressed("kuaishou", "/openapi/mp/tp/anything");
    let ours = "https://vendor.example/openapi/mp/tp/anything?component_app_id=ks600000000000000001";
    assert_eq!(authorizer, format!("{ours}&authorizer_access_token=tok-en&a=b c "));
    assert_eq!(component, format!("{ours}&component_access_token=tok-en&a=b c "));
}

#[test]
fn an_alipay_method_is_signed_with_its_content() {
    let component = component("alipay");
    let proxied = component.proxy().unwrap();
    assert!(proxied.reads_body());
    let token = Secret::new("tok-en");
    let caller = Caller { component_token: None, authorizer: Some(("app1", &token)), now: now() };
    let ask = |content_type: &str, body: &str, query: &[(String, String)]| {
        let request = Request { path: "/alipay.open.mini.anything.query", query, content_type, body: Some(body.as_bytes()) };
        proxied.dress(request, caller)
    };
    let dressed = ask("application/json", "{\"a\":1}", &[]).unwrap();
    assert_eq!(dressed.url, "https://vendor.example/gateway.do");
    let value = |name: &str| dressed.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.expose().to_owned());
    assert_eq!(value("method").as_deref(), Some("alipay.open.mini.anything.query"));
    assert_eq!(value("app_auth_token").as_deref(), Some("tok-en"));
    assert!(value("sign").is_some());
    let Some(Body::Form(fields)) = dressed.body else { panic!() };
    assert_eq!((fields[0].0.as_str(), fields[0].1.expose()), ("biz_content", "{\"a\":1}"));
    for (content_type, body, query) in [
        ("application/json", "[1]", vec![]),
        ("text/plain", "x", vec![]),
        ("application/x-www-form-urlencoded", "sign=x", vec![]),
        ("", "", vec![("app_auth_token".to_owned(), "stolen".to_owned())]),
    ] {
        assert!(matches!(ask(content_type, body, &query), Err(NotProxied::Parameter { .. })), "{content_type} {body}");
    }
}

#[test]
fn only_plain_paths_of_known_lanes_are_passed_on() {
    for fine in ["/rest/2.0/smartapp/x", "/api/apps/v1/x/", "/alipay.open.mini.x", "/a-b_c"] {
        assert_eq!(path(fine).unwrap(), fine);
    }
    let long = format!("/{}", "a".repeat(600));
    for hidden in [
        "",
        "rest/x",
        "/",
        "//evil.example/x",
        "/rest//x",
        "/rest/../x",
        "/rest/./x",
        "/rest/.../x",
        "/rest/%2e%2e/x",
        "/rest/%2f/x",
        "/rest\\x",
        "/rest/x?y",
        "/rest/x#y",
        "/rest/x y",
        "/rest/@evil.example",
        "/rest/x:80",
        "https://evil.example/rest/x",
        "/rest/中",
        "/rest/x\n",
        &long,
    ] {
        assert!(path(hidden).is_err(), "{hidden:?}");
    }
    for (name, closed) in [
        ("baidu", ["/rest/2.0/oauth/token", "/public/2.0/smartapp/auth/tp/token", "/other"]),
        ("douyin", ["/openapi/v1/oauth/token", "/api/tpapp/v2/auth/get_auth_token/", "/v1"]),
        ("kuaishou", ["/mp/tp/oauth/access_token", "/openapi/developer/x", "/oauth2/access_token"]),
        ("alipay", ["/alipay.open.auth.token.app", "/gateway.do", "/anything"]),
    ] {
        let component = component(name);
        for closed in closed {
            assert!(component.proxy().unwrap().lane(closed).is_err(), "{name} {closed}");
        }
    }
}

#[test]
fn what_a_code_of_a_registration_is_for_may_be_asked() {
    let component = component("baidu");
    for open in ["auth/tp/authcodetoapp", "auth/tp/authcodetocustomerid", "account/register", "app/createbytp"] {
        assert!(component.proxy().unwrap().lane(&format!("/rest/2.0/smartapp/{open}")).is_ok(), "{open}");
    }
    assert!(component.proxy().unwrap().lane("/rest/2.0/smartapp/auth/retrieve/authorizationcode").is_err());
}

#[test]
fn a_caller_cannot_put_its_own_token_in() {
    for (name, path, parameter) in [
        ("baidu", "/rest/2.0/x", "access_token"),
        ("douyin", "/openapi/v1/x", "authorizer_access_token"),
        ("douyin", "/openapi/v1/x", "component_appid"),
        ("kuaishou", "/openapi/mp/x", "component_app_id"),
    ] {
        let component = component(name);
        let query = [(parameter.to_owned(), "mine".to_owned())];
        let caller = Caller { component_token: None, authorizer: None, now: now() };
        let refused = component.proxy().unwrap().dress(Request { path, query: &query, content_type: "", body: None }, caller);
        assert!(matches!(refused, Err(NotProxied::Parameter { name, .. }) if name == parameter), "{name}");
    }
}

/// A vendor at the end of a relay: answers what it is told to, in turn.
#[derive(Default)]
struct Line {
    answers: Mutex<Vec<(u16, &'static str, Bytes)>>,
    seen: Mutex<Vec<Seen>>,
}

struct Seen {
    url: String,
    token: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

#[async_trait::async_trait]
impl Relay for Line {
    async fn pass(&self, passing: Passing) -> Result<Passed, SendError> {
        let body = match passing.load {
            Load::Whole(bytes) => bytes.to_vec(),
            Load::Streamed { pieces, .. } => pieces.map(|piece| piece.unwrap().to_vec()).concat().await,
            Load::Made(body) => format!("{body:?}").into_bytes(),
        };
        let token = passing.query.iter().find(|(name, _)| name == "access_token").map(|(_, value)| value.expose().to_owned());
        self.seen.lock().unwrap().push(Seen {
            url: passing.url,
            token: token.unwrap_or_default(),
            headers: passing.headers.iter().map(|(name, _)| name.clone()).collect(),
            body,
        });
        let (status, kind, body) = self.answers.lock().unwrap().remove(0);
        let headers = [
            ("content-type", kind),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("set-cookie", "a=b"),
            ("location", "/again?access_token=token-1"),
            ("x-b3-traceid", "42"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), Bytes::from_static(value.as_bytes()))).into();
        Ok(Passed { status, headers, pieces: one_piece(body) })
    }
}

/// Tokens `token-1`, `token-2`, …
#[derive(Default)]
struct Held(Mutex<u64>);

#[async_trait::async_trait]
impl TokenSource for Held {
    async fn fresh(&self, _: &str, key: &TokenKey) -> Result<Served, VaultError> {
        if matches!(key, TokenKey::Authorizer { app_id, .. } if app_id == "gone") {
            return Err(VaultError::Revoked { at: None });
        }
        let generation = *self.0.lock().unwrap() + 1;
        Ok(Served { token: Secret::new(format!("token-{generation}")), generation, expires_at: None, cache_for: Duration::ZERO })
    }
    async fn report_invalid(&self, component: &str, key: &TokenKey, generation: u64) -> Result<Served, VaultError> {
        assert_eq!(generation, *self.0.lock().unwrap() + 1);
        *self.0.lock().unwrap() += 1;
        self.fresh(component, key).await
    }
}

const REJECTED: &str = "{\"error_code\":110,\"error_msg\":\"Access token invalid\"}";
const FINE: &str = "{\"errno\":0,\"data\":1}";

fn line(answers: &[(u16, &'static str, &'static str)]) -> (Proxy, Arc<Line>) {
    let line = Arc::new(Line::default());
    line.answers.lock().unwrap().extend(answers.iter().map(|(status, kind, body)| (*status, *kind, Bytes::from_static(body.as_bytes()))));
    let components = Components::new(vec![component("baidu"), component("alipay")]);
    (Proxy::new(components, Arc::new(Held::default()), line.clone(), Leaping::new()), line)
}

fn asked(body: Incoming) -> Asked {
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer yzk_secret"),
        ("cookie", "c"),
        ("x-forwarded-for", "1.2.3.4"),
        ("accept-encoding", "gzip"),
        ("host", "h"),
    ];
    Asked {
        method: String::from("POST"),
        path: String::from("/rest/2.0/smartapp/anything"),
        query: vec![(String::from("q"), String::from("1"))],
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body,
    }
}

fn whole(text: &'static str) -> Incoming {
    Incoming::Whole(Bytes::from_static(text.as_bytes()))
}

async fn body(passed: Passed) -> Vec<u8> {
    passed.pieces.map(|piece| piece.unwrap().to_vec()).concat().await
}

#[tokio::test]
async fn a_call_is_passed_on_and_its_answer_back() {
    let (proxy, line) = line(&[(418, "application/json", FINE)]);
    let passed = proxy.pass("baidu", Some("app1"), asked(whole("{}"))).await.unwrap();
    assert_eq!(passed.status, 418, "the vendor's status, whatever it is");
    let names: Vec<_> = passed.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-type", "x-b3-traceid"], "neither those of the connection, nor cookies, nor one with the token in it");
    assert_eq!(body(passed).await, FINE.as_bytes());
    let seen = line.seen.lock().unwrap();
    assert_eq!(seen[0].url, "https://vendor.example/rest/2.0/smartapp/anything");
    assert_eq!((seen[0].token.as_str(), seen[0].body.as_slice()), ("token-1", b"{}".as_slice()));
    assert_eq!(seen[0].headers, ["content-type"], "neither our key, nor cookies, nor what proxies add");
}

#[tokio::test]
async fn a_rejected_token_is_renewed_and_a_kept_body_sent_again_once() {
    let (proxy, line) = line(&[(200, "application/json", REJECTED), (200, "application/json", FINE)]);
    let passed = proxy.pass("baidu", Some("app1"), asked(whole("{}"))).await.unwrap();
    assert_eq!(body(passed).await, FINE.as_bytes());
    assert_eq!(line.seen.lock().unwrap().iter().map(|seen| seen.token.clone()).collect::<Vec<_>>(), ["token-1", "token-2"]);
}

#[tokio::test]
async fn a_grant_that_is_said_to_be_gone_is_for_the_vault_to_find_out() {
    const GONE: &str = "{\"errno\":50032,\"msg\":\"no authorization relation\"}";
    let (proxy, line) = line(&[(200, "application/json", GONE), (200, "application/json", FINE), (200, "application/json", GONE)]);
    let passed = proxy.pass("baidu", Some("app1"), asked(whole("{}"))).await.unwrap();
    assert_eq!(body(passed).await, FINE.as_bytes(), "it was not");
    // A call of the component's own token is about another's grant: its token is as good as ever.
    let passed = proxy.pass("baidu", None, asked(whole("{}"))).await.unwrap();
    assert_eq!(body(passed).await, GONE.as_bytes());
    assert_eq!(line.seen.lock().unwrap().iter().map(|seen| seen.token.clone()).collect::<Vec<_>>(), ["token-1", "token-2", "token-2"]);
}

#[tokio::test]
async fn a_second_rejection_is_the_answer() {
    let (proxy, line) = line(&[(200, "application/json", REJECTED), (200, "application/json", REJECTED)]);
    let passed = proxy.pass("baidu", Some("app1"), asked(whole("{}"))).await.unwrap();
    assert_eq!(body(passed).await, REJECTED.as_bytes());
    assert_eq!(line.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_streamed_body_is_sent_once_and_the_token_renewed_for_the_next() {
    let (proxy, line) = line(&[(200, "application/json", REJECTED), (200, "application/json", FINE)]);
    let pieces = stream::iter([Ok(Bytes::from_static(b"one ")), Ok(Bytes::from_static(b"two"))]);
    let streamed = Incoming::Streamed { length: None, pieces: Box::pin(pieces) };
    let passed = proxy.pass("baidu", Some("app1"), asked(streamed)).await.unwrap();
    assert_eq!(body(passed).await, REJECTED.as_bytes());
    proxy.pass("baidu", Some("app1"), asked(whole(""))).await.unwrap();
    let seen = line.seen.lock().unwrap();
    assert_eq!(seen[0].body, b"one two");
    assert_eq!(seen[1].token, "token-2");
}

#[tokio::test]
async fn a_file_or_a_long_answer_is_not_taken_for_a_refusal() {
    let long: &'static str = Box::leak(format!("{{\"error_code\":110,\"x\":\"{}\"}}", "y".repeat(70_000)).into_boxed_str());
    let (proxy, line) = line(&[(200, "image/png", REJECTED), (200, "application/json", long)]);
    for expected in [REJECTED, long] {
        let passed = proxy.pass("baidu", Some("app1"), asked(whole("{}"))).await.unwrap();
        assert_eq!(body(passed).await.len(), expected.len(), "complete");
    }
    assert_eq!(line.seen.lock().unwrap().iter().filter(|seen| seen.token == "token-1").count(), 2);
}

#[tokio::test]
async fn what_cannot_be_passed_on_is_never_sent() {
    let (proxy, line) = line(&[]);
    let refused = async |component: &str, authorizer: &str, path: &str| {
        let asked = Asked { path: path.to_owned(), ..asked(whole("")) };
        proxy.pass(component, Some(authorizer), asked).await.err().unwrap()
    };
    assert!(matches!(refused("nowhere", "app1", "/rest/x").await, ProxyError::UnknownComponent));
    assert!(matches!(refused("baidu", "app1", "/rest/../x").await, ProxyError::NotProxied(_)));
    for path in ["/rest/2.0/oauth/token", "/rest/2.0/smartapp/auth/retrieve/authorizationcode", "/rest/2.0/smartapp/auth/tp/token"] {
        assert!(matches!(refused("baidu", "app1", path).await, ProxyError::NotProxied(_)), "{path}");
    }
    assert!(matches!(refused("baidu", "gone", "/rest/x").await, ProxyError::Vault(VaultError::Revoked { .. })));
    let streamed = Incoming::Streamed { length: None, pieces: one_piece(Bytes::new()) };
    let asked = Asked { path: String::from("/alipay.x.y"), ..asked(streamed) };
    assert!(matches!(proxy.pass("alipay", None, asked).await, Err(ProxyError::TooLarge(_))));
    assert!(line.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_only_uses_a_token_is_passed_on() {
    let paths =
        ["/rest/2.0/oauth/getsessionkeybycode", "/rest/2.0/smartapp/auth/faceauthen", "/rest/2.0/smartapp/auth/paymentCertification"];
    let (proxy, line) = line(&[(200, "application/json", "{}"); 3]);
    for path in paths {
        let asked = Asked { path: path.to_owned(), ..asked(whole("")) };
        assert!(proxy.pass("baidu", Some("app1"), asked).await.is_ok(), "{path}");
    }
    assert_eq!(line.seen.lock().unwrap().len(), 3);
}
