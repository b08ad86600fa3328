//! The merchants' pages.

use std::collections::HashMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use yizhan::clock::{Clock, Timestamp};
use yizhan::platform;
use yizhan::simulator::fault::{CallFault, CallTrouble};

use super::{Answer, get, post, send};
use crate::world::World;

async fn open(world: &World, path: &str, languages: &str) -> Answer {
    send(world.client.get(format!("{}{path}", world.base)).header("accept-language", languages)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_leads_to_the_platform_in_the_browsers_language() {
    let world = World::new().await;
    for platform in platform::ALL {
        let name = platform.name();
        world.simulator.ticket(name).await.unwrap();
        let path = format!("/authorize/{name}");
        for (languages, query, lang, says) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", "", "zh-CN", platform.title().zh),
            ("en-US,en;q=0.9,zh;q=0.1", "", "en", platform.title().en),
            ("fr", "", "en", platform.title().en),
            ("en", "?lang=zh", "zh-CN", platform.title().zh),
            ("zh", "?lang=en", "en", platform.title().en),
            ("zh", "?lang=xx&utm_source=mail", "zh-CN", platform.title().zh),
        ] {
            let page = open(&world, &format!("{path}{query}"), languages).await;
            assert_eq!((page.status, page.header("content-language")), (200, lang), "{name} {languages} {query}: {}", page.text);
            assert!(page.text.contains(says), "{name}");
        }
        let page = open(&world, &path, "en").await;
        let link = page.text.split("class=\"button\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
        assert!(
            url::Url::parse(&link)
                .is_ok_and(|link| link.as_str().starts_with(&world.simulator.vendor_url(name)) || link.scheme() == "https"),
            "{link}"
        );
        assert!(page.text.contains("<svg") && !page.text.contains("<?xml"));
        assert_eq!(page.header("referrer-policy"), "strict-origin-when-cross-origin", "Baidu and Douyin look at the Referer");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe-inline"));
        assert!(!page.text.contains("style=") && !page.text.contains("<script") && !page.text.contains("rel=\"noreferrer"));
        assert_eq!(page.header("cache-control"), "no-store");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_lead_anywhere_says_what_to_do() {
    let world = World::new().await;
    let early = open(&world, "/authorize/baidu", "en").await;
    assert_eq!(early.status, 503, "no ticket yet");
    assert!(!early.header("retry-after").is_empty());
    assert!(early.header("content-type").starts_with("text/html"));
    assert!(early.text.contains("Try again in a few minutes") && early.text.contains(early.header("x-request-id")), "{}", early.text);
    let nobody = open(&world, "/authorize/nobody", "zh").await;
    assert_eq!(nobody.status, 404);
    assert!(nobody.text.contains("没有这个授权入口"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_that_comes_back_sees_the_result_and_never_the_code() {
    let world = World::new().await;
    for (name, merchant) in
        [("baidu", "1452365"), ("douyin", "tt0123456789abcdef"), ("kuaishou", "ks700000000000000001"), ("alipay", "2021000000000003")]
    {
        world.simulator.ticket(name).await.unwrap();
        let page = open(&world, &format!("/authorize/{name}"), "en").await;
        let link = page.text.split("class=\"button\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
        let back = way_back(&link);
        let (query, _) = world.simulator.grant(name, merchant).await.unwrap();
        let separator = if back.contains('?') { '&' } else { '?' };
        let address = format!("{back}{separator}{query}");
        let done = send(world.client.get(&address).header("accept-language", "en")).await;
        assert_eq!((done.status, done.header("referrer-policy")), (200, "no-referrer"), "{name}: {}", done.text);
        assert!(done.text.contains(merchant), "{name}: {}", done.text);
        for (_, value) in url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key.contains("code")) {
            assert!(!done.text.contains(&*value), "{name}: the code is shown");
        }
        let again = send(world.client.get(&address).header("accept-language", "en")).await;
        assert!(again.status < 500, "{name}: a reloaded page is no server error: {}", again.text);
        let css = world.client.get(url::Url::parse(&address).unwrap().join(stylesheet(&done)).unwrap());
        assert_eq!(send(css).await.status, 200, "{name}: {address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_agreed_to_a_registration_is_told_so_and_no_code_is_tried_or_shown() {
    let world = World::new().await;
    world.simulator.ticket("baidu").await.unwrap();
    for query in ["create_authorization_code=c0de2", "authorization_code=c0de1&create_authorization_code=c0de2"] {
        let page = open(&world, &format!("/callback/baidu/authorized?{query}"), "zh").await;
        assert_eq!((page.status, page.header("referrer-policy")), (200, "no-referrer"), "{}", page.text);
        assert!(page.text.contains("已同意注册") && !page.text.contains("c0de"), "{}", page.text);
        // Nobody else knows such a code.
        assert_eq!(open(&world, &format!("/callback/douyin/authorized?{}", "create_authorization_code=c0de2"), "zh").await.status, 400);
    }
    assert_eq!(world.simulator.counts("baidu").unwrap().refusals.get("exchange"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_back_with_nothing_or_nonsense_is_told_kindly() {
    let world = World::new().await;
    for platform in platform::ALL {
        let name = platform.name();
        world.simulator.ticket(name).await.unwrap();
        for path in ["", "?", "?error=denied", "?authorization_code=", "?code=x&state=y", "/some-mark", "/some-mark?auth_code=zzz"] {
            let page = open(&world, &format!("/callback/{name}/authorized{path}"), "zh").await;
            assert!((400..500).contains(&page.status), "{name} {path}: {} {}", page.status, page.text);
            assert!(page.header("content-type").starts_with("text/html") && page.text.contains("可以怎么做"), "{name} {path}");
            assert!(!page.text.contains("平台的答复") || path.contains("zzz"), "{name} {path}: no platform said anything");
            let again = page.text.split("class=\"button\" href=\"").nth(1).unwrap().split('"').next().unwrap();
            let address = url::Url::parse(&format!("{}/callback/{name}/authorized{path}", world.base)).unwrap().join(again).unwrap();
            assert_eq!(address.path(), format!("/authorize/{name}"), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_in_trouble_is_told_from_one_that_refuses() {
    let world = World::new().await;
    // Alipay's push brings the tokens outright: its merchants see that they are authorized.
    for (name, merchant) in [("baidu", "1452365"), ("douyin", "tt0123456789abcdef"), ("kuaishou", "ks700000000000000001")] {
        world.simulator.ticket(name).await.unwrap();
        let page = open(&world, &format!("/authorize/{name}"), "zh").await;
        let back = way_back(&link_on(&page));
        let trouble = CallFault { matching: String::new(), trouble: CallTrouble::Status(503), times: 1000 };
        world.simulator.fail_calls(name, trouble).unwrap();
        let (query, _) = world.simulator.grant(name, merchant).await.unwrap();
        let separator = if back.contains('?') { '&' } else { '?' };
        let address = format!("{back}{separator}{query}");
        // The same page loaded again says the same: its code is kept, and its state is gone.
        for _ in 0..2 {
            let page = send(world.client.get(&address).header("accept-language", "zh")).await;
            assert!(page.status >= 500, "{name}: {} {}", page.status, page.text);
            assert!(page.text.contains("暂时无法授权") && !page.text.contains("平台的答复"), "{name}: {}", page.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_missing_is_shown_to_no_merchant() {
    let mut world = World::new().await;
    world.simulator.ticket("kuaishou").await.unwrap();
    world.mend("auth.page_url_template", "# auth.page_url_template").await;
    let unset = open(&world, "/authorize/kuaishou", "zh").await;
    assert_eq!(unset.status, 502);
    assert!(unset.text.contains("暂时无法授权") && !unset.text.contains("page_url_template"), "{}", unset.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_the_platform_refuses_is_told_in_the_platforms_words() {
    let world = World::new().await;
    world.simulator.ticket("douyin").await.unwrap();
    let page = open(&world, "/callback/douyin/authorized?authorization_code=made-up", "zh").await;
    assert_eq!(page.status, 400);
    assert!(page.text.contains("平台没有接受这次授权") && page.text.contains("平台的答复"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_loaded_again_after_a_withdrawal_leads_to_a_new_authorization() {
    let world = World::new().await;
    let merchant = "tt0123456789abcdef";
    world.simulator.ticket("douyin").await.unwrap();
    let back = way_back(&link_on(&open(&world, "/authorize/douyin", "en").await));
    let (query, _) = world.simulator.grant("douyin", merchant).await.unwrap();
    let address = format!("{back}&{query}");
    assert_eq!(send(world.client.get(&address)).await.status, 200);
    world.advance(Duration::from_secs(60));
    world.app().vault.revoked("douyin", merchant, world.clock.now()).await.unwrap();
    let again = send(world.client.get(&address).header("accept-language", "en")).await;
    assert_eq!(again.status, 409, "{}", again.text);
    assert!(again.text.contains("no longer valid") && again.text.contains("authorize/douyin") && !again.text.contains(merchant));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_says_when_it_ends_and_its_code_leads_phones_where_they_are_let_in() {
    let world = World::new().await;
    for platform in platform::ALL {
        let name = platform.name();
        world.simulator.ticket(name).await.unwrap();
        let made = world.clock.now();
        let invitation = post(&world, &format!("/v1/components/{name}/authorizations"), json!({})).await.json();
        let ends: Timestamp = invitation["expires_at"].as_str().unwrap_or_else(|| panic!("{name}: {invitation}")).parse().unwrap();
        assert!(ends > made && ends <= world.clock.now() + SignedDuration::from_hours(24), "{name}: {ends}");
        // The page's own code leads to the page, except into the vendor's own app, where each link has a state of its own.
        let page = open(&world, &format!("/authorize/{name}"), "en").await;
        let code = invitation["qr_svg"].as_str().unwrap();
        assert_eq!(page.text.contains(code), invitation["mobile_url"].is_null(), "{name}");
        assert!(page.text.contains("Link valid until"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_not_opened_endlessly_by_one_address() {
    let world = World::new().await;
    world.simulator.ticket("douyin").await.unwrap();
    for _ in 0..60 {
        assert_eq!(open(&world, "/authorize/douyin", "en").await.status, 200);
    }
    let damped = open(&world, "/authorize/douyin", "en").await;
    assert_eq!(damped.status, 429);
    assert!(!damped.header("retry-after").is_empty() && damped.text.contains("Too many visits"));
    let other = world.client.get(format!("{}/authorize/douyin", world.base)).header("x-forwarded-for", "203.0.113.9, 198.51.100.7");
    assert_eq!(send(other).await.status, 200, "another caller behind the proxy on this machine");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stylesheet_is_kept_by_browsers() {
    let world = World::new().await;
    let css = get(&world, "/assets/yizhan.css").await;
    assert_eq!((css.status, css.header("content-type")), (200, "text/css; charset=utf-8"));
    let again = world.client.get(format!("{}/assets/yizhan.css", world.base)).header("if-none-match", css.header("etag"));
    assert_eq!(send(again).await.status, 304);
}

/// Where the page's button leads.
fn link_on(page: &Answer) -> String {
    page.text.split("class=\"button\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&")
}

fn stylesheet(page: &Answer) -> &str {
    page.text.split("rel=\"stylesheet\" href=\"").nth(1).unwrap().split('"').next().unwrap()
}

/// Where the vendor's page would send the browser back to.
pub fn way_back(link: &str) -> String {
    let link = url::Url::parse(link).unwrap();
    let query: HashMap<String, String> = link.query_pairs().into_owned().collect();
    if let Some(redirect) = query.get("redirect_uri") {
        return match query.get("state") {
            Some(state) => url::Url::parse_with_params(redirect, [("state", state)]).unwrap().into(),
            None => redirect.clone(),
        };
    }
    let data: Value = serde_json::from_str(&query["bizData"]).unwrap();
    let inner = &data["agentOpParam"];
    url::Url::parse_with_params(inner["redirectUri"].as_str().unwrap(), [("state", inner["state"].as_str().unwrap())]).unwrap().into()
}
