//! Tricks with paths: whatever is written into one, it is another's component for nobody, a file for nobody and another host for nobody.

use yizhan::envelope::digest;

use super::{raw, status};
use crate::world::{KEY, Setting, World};

/// What stands in the place of a name.
const TRICKS: &[&str] = &[
    "..",
    ".",
    "%2e%2e",
    "%2E%2E%2F",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2f",
    "%5c..%5c",
    "\\..\\",
    "%00",
    "douyin%00",
    "douyin%2f",
    "douyin%2ftoken",
    "douyin%3b",
    "douyin;a=b",
    "douyin%20",
    "%20douyin",
    "DOUYIN",
    "douyi%6e%00",
    "%c0%ae%c0%ae",
    "%ff%fe",
    "douyin%e2%80%ae",
    "%ef%bd%84ouyin",
    "douyin%0d%0aX-Injected:%20yes",
    "%252e%252e",
    "%25",
    "*",
    "'%20or%20'1'='1",
    "${jndi:ldap://x}",
    "<script>",
];

fn request(method: &str, path: &str, key: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Length: 0\r\n\r\n")
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_name_is_another_component_or_a_file() {
    let world = World::new().await;
    for trick in TRICKS {
        for path in [
            format!("/callback/{trick}/message"),
            format!("/callback/{trick}/authorized"),
            format!("/authorize/{trick}"),
            format!("/v1/components/{trick}"),
            format!("/v1/components/{trick}/token"),
            format!("/v1/components/douyin/authorizers/{trick}/token"),
            format!("/v1/events/{trick}"),
            format!("/v1/deliveries/{trick}"),
            format!("/v1/subscriptions/{trick}"),
            format!("/v1/replays/{trick}"),
            format!("/assets/{trick}"),
            format!("/{trick}/etc/passwd"),
            format!("//{trick}"),
        ] {
            for method in ["GET", "POST"] {
                let answer = raw(&world, &request(method, &path, KEY)).await;
                // 409 and 410: nobody of that name was ever granted anything.
                assert!([400, 401, 404, 405, 409, 410, 422].contains(&status(&answer)), "{method} {path}: {answer:.300}");
                let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                assert!(
                    !head.to_ascii_lowercase().contains("x-injected") && !answer.contains("root:") && !answer.contains("success"),
                    "{path}"
                );
                // A page shows no mark-up that came in the address.
                assert!(!head.contains("text/html") || !body.contains("<script>"), "{path}");
            }
        }
    }
}

/// As long as an address may be, and longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_very_long_name_is_nobodys_and_harms_nothing() {
    let world = World::new().await;
    for long in ["x".repeat(65_470), "x".repeat(70_000)] {
        for path in [
            format!("/callback/{long}/message"),
            format!("/authorize/{long}"),
            format!("/v1/components/{long}"),
            format!("/v1/components/douyin/authorizers/{long}"),
            format!("/v1/components/douyin/authorizers/{long}/token"),
            format!("/v1/components/douyin/authorizers/{long}/attributes"),
            format!("/v1/components/douyin/authorizers/{long}/versions"),
            format!("/v1/events/{long}"),
            format!("/v1/events?authorizer={long}"),
            format!("/v1/events?type={long}"),
            format!("/v1/events?component={long}"),
            format!("/v1/deliveries?subscription={long}"),
            format!("/v1/deliveries/{long}"),
            format!("/v1/subscriptions/{long}"),
            format!("/v1/playbooks/{long}"),
            format!("/v1/runs?playbook={long}"),
            format!("/v1/runs/{long}"),
            format!("/v1/replays/{long}"),
            format!("/v1/rollouts/{long}"),
            format!("/v1/audit?component={long}"),
            format!("/v1/rejected?component={long}"),
            format!("/v1/components/douyin/attributes?tag={long}"),
        ] {
            for method in ["GET", "POST", "PUT", "DELETE"] {
                let answer = raw(&world, &request(method, &path, KEY)).await;
                assert!((200..500).contains(&status(&answer)), "{method} {path:.60}: {answer:.300}");
            }
        }
    }
    assert_eq!(world.get("/readyz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_key_reaches_no_other_component_by_any_spelling() {
    let narrow = "yzk_00000000000000000000000000000000000000000000000000000000000000aa";
    let hash = hex::encode(digest::sha256(&[narrow.as_bytes()]));
    let extra = format!("[[api_keys]]\nname = \"narrow\"\nhash = \"sha256:{hash}\"\nscopes = [\"*@douyin\"]\n");
    let world = World::with(Setting { extra, ..Setting::default() }).await;
    world.granted("baidu", "17000000").await;
    for path in [
        "/v1/components/baidu/token",
        "/v1/components/douyin/../baidu/token",
        "/v1/components/douyin/%2e%2e/baidu/token",
        "/v1/components/douyin%2f..%2fbaidu/token",
        "/v1/components/bai%64u/token",
        "/v1/components/%62aidu/token",
        "/v1/components/baidu%00/token",
        "/v1/components//baidu/token",
        "//v1/components/baidu/token",
        "/v1//components/baidu/token",
        "/v1/components/douyin/authorizers/../../baidu/authorizers/17000000/token",
        "/v1/components/baidu/authorizers/17000000/token",
        "/v1/components/baidu/authorizers/1700000%30/token",
        "/v1/components/baidu/ticket",
        "/v1/components/baidu/proxy/rest/2.0/smartapp/tp/app/info",
        "http://x/v1/components/baidu/token",
    ] {
        let answer = raw(&world, &request("GET", path, narrow)).await;
        assert!([400, 403, 404].contains(&status(&answer)), "{path}: {answer:.300}");
        assert!(!answer.contains("access_token") && !answer.contains("\"ticket\""), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_a_plain_path_is_passed_on_to_a_vendor() {
    let world = World::new().await;
    world.granted("douyin", "tt0123456789abcdef").await;
    let proxy = "/v1/components/douyin/authorizers/tt0123456789abcdef/proxy";
    let began = world.simulator.journal().len();
    for path in [
        "/..%2f..%2f",
        "/../../token",
        "/api/../api/tpapp/v2/x",
        "/api/%2e%2e/token",
        "/api/apps/v1/%2e%2e/%2e%2e/oauth/x",
        "//evil.example.com/api/x",
        "/@evil.example.com/api",
        "/api@evil.example.com/",
        "/http://evil.example.com/",
        "/api//x",
        "/api/x%00",
        "/api/x%0d%0aHost:%20evil",
        "/api/x%3fcomponent_access_token=mine",
        "/api/x%23",
        "/api/x;a=b",
        "/api\\..\\x",
        "/api/%e4%b8%ad",
        "/api/...",
        "/",
        "",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let answer = raw(&world, &request(method, &format!("{proxy}{path}"), KEY)).await;
            assert!([400, 404, 405, 422].contains(&status(&answer)), "{method} {path}: {answer:.300}");
        }
    }
    let journal = world.simulator.journal();
    assert_eq!(journal.len(), began, "{:?}", &journal[began..]);
}
