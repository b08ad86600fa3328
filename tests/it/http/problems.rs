//! The one error body.

use std::collections::BTreeSet;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::{Method, header};
use serde_json::{Value, json};
use yizhan::fanout::SubscriptionError;
use yizhan::http::problem::{Kind, Problem};
use yizhan::inbox::LogError;
use yizhan::outbound::SendError;
use yizhan::platform::{ApiError, Class};
use yizhan::vault::VaultError;

use super::{get, send};
use crate::world::World;

async fn body(answer: HttpResponse) -> Value {
    serde_json::from_slice(&actix_web::body::to_bytes(answer.into_body()).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_problem_is_written_as_the_contract_words_it() {
    let problem =
        Problem::new(Kind::NoTicket, "no ticket since 02:10").hint("check the address").retry_after(Duration::from_millis(59_001));
    let answer = problem.answer(Some("req_7"));
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), "application/problem+json");
    assert_eq!(answer.headers().get(header::RETRY_AFTER).unwrap(), "60");
    assert_eq!(
        body(answer).await,
        json!({
            "type": "/problems/no-ticket", "title": "There is no usable ticket", "status": 503, "detail": "no ticket since 02:10",
            "hint": "check the address", "request_id": "req_7",
        })
    );
}

#[test]
fn every_kind_has_a_name_of_its_own_and_an_error_status() {
    let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    for kind in Kind::ALL {
        assert!(kind.status().is_client_error() || kind.status().is_server_error(), "{kind:?}");
        assert!(!kind.title().contains("success") && !kind.slug().contains("success"), "{kind:?} could be taken for an acknowledgement");
    }
}

#[tokio::test]
async fn every_bad_parameter_is_named() {
    let problem =
        Problem::invalid(&[("limit".into(), "is no whole number".into()), ("colour".into(), "is not a parameter of this address".into())]);
    let body = body(problem.answer(None)).await;
    assert_eq!(body["status"], 422);
    assert_eq!(body["parameters"][0]["name"], "limit");
    assert_eq!(body["parameters"][1]["name"], "colour");
    assert!(body["detail"].as_str().unwrap().contains("`colour`"));
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let answer = Problem::wrong_method(&[Method::GET, Method::HEAD]).answer(None);
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers().get(header::ALLOW).unwrap(), "GET, HEAD");
}

#[test]
fn a_missing_key_is_told_the_scheme() {
    let answer = Problem::new(Kind::Unauthenticated, "no key").answer(None);
    assert!(answer.headers().get(header::WWW_AUTHENTICATE).unwrap().to_str().unwrap().starts_with("Bearer"));
}

#[tokio::test]
async fn what_broke_inside_is_for_the_log_and_not_for_the_caller() {
    for problem in [
        Problem::internal("the secret cause"),
        Problem::from(LogError::Failed("the secret cause".into())),
        Problem::from(VaultError::Store("the secret cause".into())),
        Problem::from(SubscriptionError::Store("the secret cause".into())),
    ] {
        assert!(problem.cause().unwrap().contains("the secret cause"));
        assert!(!body(problem.answer(Some("req_7"))).await.to_string().contains("secret cause"));
    }
}

#[test]
fn whoever_comes_when_too_many_look_through_the_log_is_told_to_come_back() {
    let problem = Problem::from(LogError::Crowded);
    assert_eq!((problem.kind(), problem.wait().is_some(), problem.cause()), (Kind::RateLimited, true, None));
}

#[test]
fn each_failure_of_the_vault_is_the_problem_of_the_contract() {
    let refusal = |class| VaultError::VendorRefused(ApiError::new(class, "40037", "no"));
    let cases = [
        (VaultError::UnknownComponent, "not-found", 404, false),
        (VaultError::NotApplicable("Alipay has no ticket".into()), "not-applicable", 404, false),
        (VaultError::NoTicket { detail: "none".into(), hint: "look".into() }, "no-ticket", 503, true),
        (VaultError::NotAuthorized("unknown".into()), "not-authorized", 409, false),
        (VaultError::Revoked { at: None }, "revoked", 410, false),
        (refusal(Class::Refuse), "vendor-refused", 502, false),
        (refusal(Class::RateLimited), "vendor-refused", 502, true),
        (SendError::NoAnswer { target: "host/path".into(), cause: "timeout".into() }.into(), "vendor-unreachable", 504, true),
        (VaultError::RateLimited(Duration::from_secs(30)), "rate-limited", 429, true),
        (VaultError::UnknownState, "conflict", 409, false),
        (VaultError::Store("disk".into()), "unavailable", 503, true),
    ];
    for (error, slug, status, waits) in cases {
        let problem = Problem::from(error);
        assert_eq!((problem.kind().slug(), problem.kind().status().as_u16(), problem.wait().is_some()), (slug, status, waits));
    }
}

#[tokio::test]
async fn the_vendors_own_code_and_words_are_inside() {
    let error = ApiError { advice: Some("renew the secret"), ..ApiError::new(Class::Configuration, "40013", "invalid appid") };
    let body = body(Problem::from(VaultError::VendorRefused(error)).answer(None)).await;
    assert_eq!(
        body["vendor"],
        json!({ "code": "40013", "message": "invalid appid", "class": "configuration", "advice": "renew the secret" })
    );
    assert_eq!(body["hint"], "renew the secret");
}

#[test]
fn every_kind_says_in_both_languages_what_is_wrong_and_what_to_do() {
    let is_chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    let mut said = BTreeSet::new();
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.slug()), Some(*kind));
        let (en, zh) = (kind.english(), kind.chinese());
        assert_eq!(en.title, kind.title(), "answers and pages have one title");
        for text in [en.title, en.what, en.next] {
            assert!(!text.is_empty() && !is_chinese(text) && said.insert(text), "{kind:?}: {text}");
        }
        for text in [zh.title, zh.what, zh.next] {
            assert!(is_chinese(text) && said.insert(text), "{kind:?}: {text}");
        }
        for text in [en.what, en.next, zh.what, zh.next] {
            assert!(text.ends_with(['.', '。']), "{kind:?}: {text}");
        }
    }
    assert_eq!(Kind::named("nothing"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_an_error_leads_to_a_page_that_explains_it() {
    let world = World::new().await;
    let open = async |path: &str, language: &str| {
        send(world.client.get(format!("{}{path}", world.base)).header("accept-language", language)).await
    };
    let error = get(&world, "/v1/components/nobody").await.json();
    let page = open(error["type"].as_str().unwrap(), "en").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text.contains(error["title"].as_str().unwrap()), "{}", page.text);

    for (language, lang) in [("zh-CN,zh;q=0.9", "zh-CN"), ("en", "en")] {
        let list = open("/problems", language).await;
        assert_eq!((list.status, list.header("content-language")), (200, lang));
        assert!(list.text.contains("href=\"assets/yizhan.css\""));
        for kind in Kind::ALL {
            let said = if lang == "en" { kind.english() } else { kind.chinese() };
            let link = format!("problems/{}?lang={lang}", kind.slug());
            assert!(list.text.contains(&format!("href=\"{link}\"")) && list.text.contains(said.title), "{kind:?}");
            // The other language is asked for by the browser: what was chosen stays.
            let page = open(&format!("/{link}"), if lang == "en" { "zh" } else { "en" }).await;
            assert_eq!((page.status, page.header("content-language")), (200, lang), "{kind:?}");
            let shown = page.text.replace("&#39;", "'");
            for text in [said.title, said.what, said.next, kind.slug()] {
                assert!(shown.contains(text), "{kind:?}: {text}");
            }
            assert!(page.text.contains(&kind.status().as_u16().to_string()) && page.text.contains("href=\"../assets/yizhan.css\""));
            assert!(!page.text.contains("style=") && !page.text.contains("<script"));
        }
    }
    for path in ["/problems/nothing", "/problems/%3Cscript%3E", "/problems/NO-TICKET", "/problems/", "/problems/no-ticket/"] {
        let nothing = open(path, "en").await;
        assert_eq!((nothing.status, nothing.problem().as_str()), (404, "not-found"), "{path}");
    }
}

#[test]
fn who_has_too_many_open_links_is_told_until_when_and_what_else_there_is() {
    let problem = Problem::from(VaultError::Invited(Duration::from_secs(3600)));
    assert_eq!((problem.kind(), problem.wait()), (Kind::RateLimited, Some(Duration::from_secs(3600))));
    assert!(problem.detail().contains("still open") && problem.advice().unwrap().contains("/authorize/{component}"));
}
