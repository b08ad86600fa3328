//! Settings: both modes, and what is wrong said all at once.

use yizhan::platform::Platform;
use yizhan::platform::alipay::Alipay;
use yizhan::settings::Problem;

use super::{certified, component, sample, settings};

fn problems(toml: &str) -> Vec<Problem> {
    match Alipay.component("alipay", settings(toml)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    }
}

fn at(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.at.as_str()).collect()
}

#[test]
fn both_modes_are_read() {
    assert_eq!(component(&sample()).app_id(), "2021000000000001");
    assert_eq!(component(&certified()).app_id(), "2021000000000001");
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_nothing_is_shown() {
    let found = problems(
        "app_id = \"x1\"\napp_private_key = \"secret-text\"\nalipay_public_key = \"other-secret\"\naes_key = \"c2hvcnQ=\"\nbase_url = \"ftp://x\"\nbase_ur = 1\n",
    );
    assert_eq!(at(&found), ["app_id", "app_private_key", "alipay_public_key", "aes_key", "base_url", "base_ur"]);
    let shown = format!("{found:?}");
    assert!(!shown.contains("secret-text") && !shown.contains("other-secret") && !shown.contains("c2hvcnQ"), "{shown}");
    assert!(found.iter().all(|problem| !problem.hint.is_empty()));
    assert!(found[5].hint.contains("base_url"));
}

#[test]
fn neither_mode_and_both_modes_are_refused() {
    let key = "app_id = \"1\"\napp_private_key = { file = \"keys/alipay/application.pem\" }\n";
    let neither = problems(key);
    assert_eq!(at(&neither), ["alipay_public_key"]);
    assert!(neither[0].hint.contains("app_cert"));
    let both = problems(&(certified() + "alipay_public_key = { file = \"keys/alipay/platform_public.pem\" }\n"));
    assert_eq!(at(&both), ["alipay_public_key"]);
    assert!(both[0].message.contains("exclude"));
    let half = problems(&format!("{key}app_cert = {{ file = \"keys/alipay/application.crt\" }}\n"));
    assert_eq!(at(&half), ["alipay_cert", "alipay_root_cert"]);
}

#[test]
fn the_usual_mixed_up_keys_are_named() {
    let own = "app_id = \"1\"\napp_private_key = { file = \"keys/alipay/application.pem\" }\nalipay_public_key = { file = \"keys/alipay/application_public.pem\" }\n";
    let found = problems(own);
    assert_eq!(at(&found), ["alipay_public_key"]);
    assert!(found[0].message.contains("own public key"));
    let certificate = own.replace("application_public.pem", "alipay.crt");
    assert!(problems(&certificate)[0].hint.contains("alipay_cert"));
    let swapped = certified().replace("keys/alipay/application.crt", "keys/alipay/alipay.crt");
    assert_eq!(at(&problems(&swapped)), ["app_cert"]);
    let strangers = certified().replace("keys/alipay/roots.crt", "keys/alipay/other_root.crt");
    assert_eq!(at(&problems(&strangers)), ["alipay_cert"]);
}

#[test]
fn the_twin_wants_the_key_that_the_component_trusts() {
    let wrong = certified().replace("keys/alipay/platform.pem", "keys/alipay/platform_next.pem");
    let found = Alipay.twin(settings(&wrong)).err().unwrap();
    assert_eq!(at(&found), ["twin_private_key"]);
    let without = "app_id = \"1\"\napp_private_key = { file = \"keys/alipay/application.pem\" }\nalipay_public_key = { file = \"keys/alipay/platform_public.pem\" }\n";
    assert_eq!(at(&Alipay.twin(settings(without)).err().unwrap()), ["twin_private_key"]);
    assert!(problems(without).is_empty());
}
