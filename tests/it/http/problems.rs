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
