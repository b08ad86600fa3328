//! `diagnose`: which step fails, and what would mend it.

use serde_json::json;
use yizhan::platform::Door;
use yizhan::platform::diagnose::{Diagnosis, Step};

use super::{arrived, certified, component, fixture, now, post, sample, twin};

fn step<'a>(diagnosis: &'a Diagnosis, start: &str) -> &'a Step {
    diagnosis.steps.iter().find(|step| step.step.starts_with(start)).unwrap_or_else(|| panic!("{start}: {diagnosis:#?}"))
}

#[test]
fn a_good_push_names_the_rule_that_opens_it() {
    let fixture = fixture("push/order-v2-real.json");
    let diagnosis =
        component(fixture["settings"].as_str().unwrap()).diagnose(&post(fixture["request"]["body"].as_str().unwrap().to_owned()));
    assert!(diagnosis.opens);
    assert!(!step(&diagnosis, "signature V1").ok);
    assert!(step(&diagnosis, "signature V2").ok);
    assert!(step(&diagnosis, "open").detail.contains("servicemarket_order_notify"));
    assert_eq!(diagnosis.content.unwrap()["order_ticket"], "[sealed]");
    assert!(diagnosis.proposal.is_empty());
}

#[test]
fn each_failing_step_says_so() {
    let mut vendor = twin(&sample());
    let component = component(&sample());
    let good = vendor.say(Door::Message, &json!({"msg_method": "alipay.x", "biz_content": {"mini_app_id": "3"}}).to_string(), now());
    let forged = component.diagnose(&arrived(&vendor.forge(&good)));
    assert!(!forged.opens);
    assert!(forged.steps.iter().filter(|step| step.step.starts_with("signature")).all(|step| !step.ok));

    let weaker = String::from_utf8(good.body.to_vec()).unwrap().replace("sign_type=RSA2", "sign_type=RSA");
    assert!(step(&component.diagnose(&post(weaker)), "sign_type").detail.contains("RSA2"));

    let other = vendor.say(Door::Message, &json!({"msg_method": "alipay.x", "app_id": "2021000000000009"}).to_string(), now());
    let diagnosis = component.diagnose(&arrived(&other));
    assert!(!diagnosis.opens);
    assert_eq!(diagnosis.proposal, ["app_id = \"2021000000000009\""]);

    let sealed =
        vendor.say(Door::Message, &json!({"msg_method": "alipay.x", "encrypt_type": "AES", "biz_content": {"a": 1}}).to_string(), now());
    assert!(step(&component.diagnose(&arrived(&sealed)), "decrypt").ok);
    let wrong_key = super::component(&sample().replace("aa4BtZ4tspm2wnXLb1ThQA==", "aYA0GP8JEW+D7/UFaskCWA=="));
    assert!(!step(&wrong_key.diagnose(&arrived(&sealed)), "decrypt").ok);

    assert!(!step(&component.diagnose(&post("a=%")), "read the form").ok);
    let unsigned = component.diagnose(&post("a=1"));
    assert!(unsigned.steps.iter().any(|step| step.step == "sign" && !step.ok));
}

#[test]
fn a_dropped_empty_field_of_unknown_name_is_explained() {
    use yizhan::envelope::rsa2::PrivateKey;
    use yizhan::platform::alipay::form::Form;
    use yizhan::platform::alipay::rules::{CertificateNumber, Empties, Rule, Variant, sign};
    let mut form = Form::default();
    form.set("msg_method", "alipay.x");
    form.set("app_id", "2021000000000001");
    let key = PrivateKey::read(&super::file("keys/alipay/platform.pem")).unwrap();
    sign(&mut form, Variant { rule: Rule::V1, empties: Empties::Kept, certificate_number: CertificateNumber::Kept }, &key);
    form.set("brand_new", "");
    let diagnosis = component(&sample()).diagnose(&post(form.encode()));
    assert!(!diagnosis.opens);
    assert!(step(&diagnosis, "signature without any empty value").detail.contains("not accepted"));
}

#[test]
fn certificate_mode_is_diagnosed_too() {
    let push = twin(&certified()).say(Door::Message, &json!({"msg_method": "alipay.x"}).to_string(), now());
    assert!(component(&certified()).diagnose(&arrived(&push)).opens);
}
