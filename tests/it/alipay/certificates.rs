//! Serial numbers, chains, and certificate mode.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use yizhan::clock::Timestamp;
use yizhan::envelope::rsa2::PrivateKey;
use yizhan::platform::alipay::certificate::{CertificateError, Issued, blocks, chain, downloaded, root_sn, sn};
use yizhan::platform::{Opened, PushError};

use super::{certified, component, file, fixture, post};

/// A time at which the certificates made for tests are valid, but for the one of a day.
fn valid() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

#[test]
fn serial_numbers_of_real_certificates_are_as_published() {
    let fixture = fixture("certificate/serial_numbers.json");
    for entry in fixture["certificates"].as_array().unwrap() {
        let pem = entry["certificate"].as_str().unwrap();
        let issued = Issued::read(&blocks(pem).unwrap()[0]).unwrap();
        assert_eq!(issued.issuer, entry["issuer"]);
        assert_eq!(issued.serial, entry["serial"]);
        assert_eq!(issued.algorithm, entry["algorithm"]);
        assert_eq!(sn(pem).unwrap(), entry["sn"]);
    }
}

#[test]
fn the_real_root_file_gives_the_published_number_past_its_sm2_block() {
    let fixture = fixture("certificate/serial_numbers.json");
    let bundle = fixture["root"]["bundle"].as_str().unwrap();
    assert_eq!(root_sn(bundle).unwrap(), fixture["root"]["sn"]);
    let all: Vec<String> = blocks(bundle).unwrap().iter().map(|block| Issued::read(block).unwrap().sn()).collect();
    let published: Vec<String> =
        fixture["root"]["members"].as_array().unwrap().iter().map(|m| m["sn"].as_str().unwrap().to_owned()).collect();
    assert_eq!(all, published);
}

#[test]
fn files_without_what_is_needed_are_named() {
    assert_eq!(sn("nothing"), Err(CertificateError::NotPem));
    assert_eq!(sn("-----BEGIN CERTIFICATE-----\nAAAA"), Err(CertificateError::NotPem));
    assert_eq!(sn("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"), Err(CertificateError::NotX509));
    let first = file("keys/alipay/roots.crt");
    let curve_only = first.split_inclusive("-----END CERTIFICATE-----").next().unwrap();
    assert_eq!(root_sn(curve_only), Err(CertificateError::NoRsaRoot));
    let cut = &blocks(&file("keys/alipay/alipay.crt")).unwrap()[0];
    for length in 0..cut.len() {
        let _ = Issued::read(&cut[..length]);
    }
}

#[test]
fn a_chain_is_followed_to_a_configured_root_only() {
    let read = |name: &str| blocks(&file(&format!("keys/alipay/{name}.crt"))).unwrap();
    let (alipay, roots, others) = (read("alipay"), read("roots"), read("other_root"));
    assert_eq!(chain(&alipay[0], &alipay, &roots, Some(valid())), Ok(()));
    assert_eq!(chain(&alipay[0], &[], &roots, Some(valid())), Err(CertificateError::NoIssuer));
    assert_eq!(chain(&alipay[0], &alipay, &others, Some(valid())), Err(CertificateError::Forged));
    assert_eq!(chain(&alipay[0], &alipay, &[], Some(valid())), Err(CertificateError::NoIssuer));
    let late: Timestamp = "2300-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(chain(&alipay[0], &alipay, &roots, Some(late)), Err(CertificateError::OutOfTime));
    let mut forged = alipay[0].clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(chain(&forged, &alipay, &roots, Some(valid())), Err(CertificateError::Forged));
    // A leaf may not certify others.
    let leaf_as_issuer = chain(&read("application")[0], &[alipay[0].clone()], &roots, Some(valid()));
    assert_eq!(leaf_as_issuer, Err(CertificateError::NoIssuer));
}

#[test]
fn a_downloaded_certificate_is_believed_if_it_is_the_right_one_and_its_chain_holds() {
    let roots = blocks(&file("keys/alipay/roots.crt")).unwrap();
    let next = file("keys/alipay/alipay_next.crt");
    let number = sn(&next).unwrap();
    let key = downloaded(&STANDARD.encode(&next), &number, &roots, Some(valid())).unwrap();
    assert_eq!(key, *PrivateKey::read(&file("keys/alipay/platform_next.pem")).unwrap().public());
    let other = sn(&file("keys/alipay/alipay.crt")).unwrap();
    assert_eq!(downloaded(&STANDARD.encode(&next), &other, &roots, Some(valid())), Err(CertificateError::OtherSerial));
    assert_eq!(downloaded("???", &number, &roots, Some(valid())), Err(CertificateError::NotPem));
    let strangers = blocks(&file("keys/alipay/other_root.crt")).unwrap();
    assert_eq!(downloaded(&STANDARD.encode(&next), &number, &strangers, Some(valid())), Err(CertificateError::Forged));
    let day = file("keys/alipay/alipay_day.crt");
    let late: Timestamp = "2027-11-20T04:00:00Z".parse().unwrap();
    assert_eq!(downloaded(&STANDARD.encode(&day), &sn(&day).unwrap(), &roots, Some(late)), Err(CertificateError::OutOfTime));
}

/// A push as certificate mode may send it, signed by either reading of `alipay_cert_sn`.
fn numbered(number: &str, key: &str, is_number_signed: bool) -> Vec<u8> {
    use yizhan::platform::alipay::form::Form;
    use yizhan::platform::alipay::rules::{CertificateNumber, Empties, Rule, Variant, sign};
    let mut form = Form::default();
    for (name, value) in
        [("msg_method", "alipay.x"), ("app_id", "2021000000000001"), ("notify_id", "1"), ("sign_type", "RSA2"), ("alipay_cert_sn", number)]
    {
        form.set(name, value);
    }
    let certificate_number = if is_number_signed { CertificateNumber::Kept } else { CertificateNumber::LeftOut };
    let key = PrivateKey::read(&file(key)).unwrap();
    sign(&mut form, Variant { rule: Rule::V1, empties: Empties::Kept, certificate_number }, &key);
    form.encode()
}

#[test]
fn in_certificate_mode_the_number_chooses_the_key_signed_or_not() {
    let component = component(&certified());
    let number = sn(&file("keys/alipay/alipay.crt")).unwrap();
    for is_number_signed in [true, false] {
        let push = numbered(&number, "keys/alipay/platform.pem", is_number_signed);
        assert!(matches!(component.open(&post(push)), Ok(Opened::Push(_))));
    }
    let next = sn(&file("keys/alipay/alipay_next.crt")).unwrap();
    let unknown = component.open(&post(numbered(&next, "keys/alipay/platform.pem", false))).unwrap_err();
    assert!(matches!(&unknown, PushError::BadSignature(why) if why.contains("not configured")), "{unknown}");
}

#[test]
fn during_a_change_the_new_certificate_stands_below_the_old_one() {
    let both = file("keys/alipay/alipay.crt") + &file("keys/alipay/alipay_next.crt");
    let toml = certified().replace("{ file = \"keys/alipay/alipay.crt\" }", &format!("'''\n{both}'''"));
    let component = component(&toml);
    for (certificate, key) in [("alipay", "platform"), ("alipay_next", "platform_next")] {
        let number = sn(&file(&format!("keys/alipay/{certificate}.crt"))).unwrap();
        let push = numbered(&number, &format!("keys/alipay/{key}.pem"), false);
        assert!(matches!(component.open(&post(push)), Ok(Opened::Push(_))));
        let crossed = if key == "platform" { "platform_next" } else { "platform" };
        assert!(component.open(&post(numbered(&number, &format!("keys/alipay/{crossed}.pem"), false))).is_err());
    }
}
