//! Standard Webhooks, held against vectors of others and every refusal that the standard's readers agreed on.

use serde_json::Value;
use yizhan::clock::Timestamp;
use yizhan::fanout::signature::{self, Headers, KeyError, Refused, Signer};
use yizhan::secret::Secret;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../fixtures/standard_webhooks.json")).unwrap()
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap()
}

#[test]
fn every_vector_is_signed_as_others_sign_it() {
    let fixture = fixture();
    for row in fixture["signing"].as_array().unwrap() {
        let signer = Signer::new(&Secret::new(text(row, "secret"))).unwrap();
        let body = hex::decode(text(row, "body_hex")).unwrap();
        assert_eq!(signer.sign(text(row, "id"), text(row, "timestamp"), &body), text(row, "signature"), "{}", text(row, "name"));
    }
}

#[test]
fn every_row_gets_its_verdict() {
    let fixture = fixture();
    let rows = fixture["verifying"].as_array().unwrap();
    assert!(rows.len() > 40);
    for row in rows {
        let secrets: Vec<Secret> = row["secrets"].as_array().unwrap().iter().map(|secret| Secret::new(secret.as_str().unwrap())).collect();
        let headers = row["headers"].as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        let body = hex::decode(text(row, "body_hex")).unwrap();
        let now = Timestamp::from_second(row["now"].as_i64().unwrap()).unwrap();
        let verdict = Headers::pick(headers).and_then(|sent| signature::verify(&secrets, sent, &body, now));
        let found = match verdict {
            Ok(()) => None,
            Err(refused) => Some(format!("{refused:?}").split('(').next().unwrap().to_owned()),
        };
        assert_eq!(found.as_deref(), row["reason"].as_str(), "{}", text(row, "name"));
        assert_eq!(found.is_none(), text(row, "verdict") == "accept");
    }
}

#[test]
fn a_header_that_comes_twice_is_refused_whatever_its_case() {
    let sent = [("Webhook-Id", "a"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,"), ("WEBHOOK-ID", "a")];
    assert_eq!(Headers::pick(sent), Err(Refused::RepeatedHeader("webhook-id")));
    assert_eq!(Headers::pick(sent.into_iter().take(2)), Err(Refused::MissingHeader("webhook-signature")));
}

#[test]
fn tolerance_stays_between_half_a_minute_and_ten() {
    let secret = [signature::generate().unwrap()];
    let mark = Signer::new(&secret[0]).unwrap().sign("evt_1", "1700000000", b"x");
    let sent = Headers { id: "evt_1", timestamp: "1700000000", signature: &mark };
    let verdict = |seconds: i64, tolerance: u64| {
        let now = Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        signature::verify_within(&secret, sent, b"x", now, std::time::Duration::from_secs(tolerance))
    };
    assert_eq!(verdict(30, 0), Ok(()));
    assert_eq!(verdict(31, 0), Err(Refused::TooOld));
    assert_eq!(verdict(-600, 99_999), Ok(()));
    assert_eq!(verdict(-601, 99_999), Err(Refused::TooNew));
    // The ends of time overflow nothing.
    assert_eq!(signature::verify(&secret, sent, b"x", Timestamp::MIN), Err(Refused::TooNew));
    assert_eq!(signature::verify(&secret, sent, b"x", Timestamp::MAX), Err(Refused::TooOld));
}

#[test]
fn made_secrets_sign_and_differ() {
    let (one, other) = (signature::generate().unwrap(), signature::generate().unwrap());
    assert!(one != other);
    assert!(one.expose().starts_with("whsec_"));
    assert!(!signature::is_weak(&one));
    let asymmetric = Secret::new("whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=");
    let next = signature::successor(&asymmetric).unwrap();
    assert!(next.expose().starts_with("whsk_"));
    let mark = Signer::new(&next).unwrap().sign("evt_1", "1700000000", b"");
    let sent = Headers { id: "evt_1", timestamp: "1700000000", signature: &mark };
    assert_eq!(signature::verify(&[next], sent, b"", Timestamp::from_second(1_700_000_000).unwrap()), Ok(()));
}

#[test]
fn what_is_no_key_says_why() {
    let error = |text: &str| Signer::new(&Secret::new(text)).err();
    assert_eq!(error("c2VjcmV0"), Some(KeyError::Prefix));
    assert_eq!(error("whsec_%%"), Some(KeyError::Base64));
    assert_eq!(error("whsec_"), Some(KeyError::Length(0)));
    assert_eq!(error(&format!("whsec_{}", "AAAA".repeat(22))), Some(KeyError::Length(66)));
    assert_eq!(error("whsk_AAAA"), Some(KeyError::Ed25519));
    // The public half of another key.
    let crossed = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    assert_eq!(error(crossed), Some(KeyError::Ed25519));
    assert_eq!(error("whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="), Some(KeyError::Public));
    assert!(signature::is_weak(&Secret::new("whsec_AAAA")));
}
