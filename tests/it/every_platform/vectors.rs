//! Every fixture that is a push opens to what it says, or is refused as it says; no change of one bit makes it another.

use std::path::PathBuf;

use yizhan::platform::capture;

use super::*;

/// A push with its component and what it should come to.
struct Vector {
    name: String,
    component: Arc<dyn Component>,
    raw: RawPush,
    expect: Value,
}

/// The fixtures in `fixtures/{platform}/push`, in the order of their names.
fn vectors(name: &str) -> Vec<Vector> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).join("push");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| vector(platform::named(name).unwrap(), &file)).collect()
}

fn vector(platform: &'static dyn Platform, file: &std::path::Path) -> Vector {
    let fixture: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(fixture["origin"].as_str().is_some_and(|origin| origin.len() > 20), "{file:?} does not say where it comes from");
    // Settings are TOML, as a text or as the members of its table.
    let text = match &fixture["settings"] {
        Value::String(text) => text.clone(),
        members => toml::to_string(members).unwrap(),
    };
    Vector {
        name: format!("{}/{}", platform.name(), file.file_stem().unwrap().to_string_lossy()),
        component: component(platform, &text),
        raw: capture::read(fixture["request"].to_string().as_bytes(), None, &[], now()).unwrap(),
        expect: fixture["expect"].clone(),
    }
}

impl Vector {
    fn opens_as_it_says(&self) {
        let Self { name, expect, .. } = self;
        let push = match self.component.open(&self.raw) {
            Err(error) => return assert_eq!(error.reason(), expect["refused"], "{name}: {error}"),
            Ok(Opened::Check(answer)) => {
                assert!(expect["type"].is_null() && expect["refused"].is_null() && answer.status == 200, "{name}: {answer:?}");
                return assert!(expect["answer"].as_str().is_none_or(|text| text.as_bytes() == &*answer.body), "{name}: {answer:?}");
            }
            Ok(Opened::Push(push)) => push,
        };
        assert_eq!(push.notice.kind().as_str(), expect["type"], "{name}");
        let stated = |members: [&str; 2]| members.into_iter().find_map(|member| expect.get(member));
        assert_eq!(stated(["vendor_type", "vendortype"]), Some(&json!(push.vendor_type)), "{name}");
        assert_eq!(stated(["authorizer", "authorizer"]), Some(&json!(push.authorizer)), "{name}");
        for (member, value) in [("time", json!(push.time)), ("dedupe_key", json!(push.dedupe_key)), ("vendor", push.vendor.clone())] {
            assert_eq!(expect.get(member).unwrap_or(&value), &value, "{name}: {member}");
        }
        if let Some(secret) = expect["secret"].as_str() {
            assert!(!push.vendor.to_string().contains(secret), "{name}");
            let held = match &push.notice {
                Notice::Ticket(ticket) => ticket.value.expose(),
                Notice::Granted(grant) | Notice::Updated(grant) => grant.code.as_ref().unwrap().value.expose(),
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(held, secret, "{name}");
        }
        let answer = String::from_utf8(push.acknowledgement.body.to_vec()).unwrap();
        match expect.get("answer") {
            None => assert_eq!(answer, "success", "{name}"),
            Some(Value::String(text)) => assert_eq!(&answer, text, "{name}"),
            Some(json) => assert_eq!(&serde_json::from_str::<Value>(&answer).unwrap(), json, "{name}"),
        }
    }

    /// Flips every bit of the body and of the headers' values, one at a time; how many changes were tried.
    fn is_nothing_else_with_a_bit_flipped(&self) -> usize {
        let meant = essence(self.component.open(&self.raw));
        let body =
            (0..self.raw.body.len() * 8).map(|bit| RawPush { body: forgery::flipped(&self.raw.body, bit).into(), ..self.raw.clone() });
        let headers = (0..self.raw.headers.len()).flat_map(|header| {
            (0..self.raw.headers[header].1.len() * 8).map(move |bit| {
                let mut changed = self.raw.clone();
                changed.headers[header].1 = forgery::flipped(&self.raw.headers[header].1, bit);
                changed
            })
        });
        let mut tried = 0;
        for changed in body.chain(headers) {
            let read = essence(self.component.open(&changed));
            // Baidu signs a check's address but not its echo (Baidu 7.2); what is echoed is stored nowhere.
            let echoed = |essence: &Option<Value>| essence.as_ref().is_some_and(|essence| essence.get("check").is_some());
            assert!(
                read.is_none() || read == meant || (echoed(&read) && echoed(&meant)),
                "{}: change {tried} is opened as {read:?}",
                self.name
            );
            tried += 1;
        }
        tried
    }
}

fn all_hold(platform: &str, at_least: usize) {
    let vectors = vectors(platform);
    assert!(vectors.len() >= at_least, "{platform} has {} fixtures", vectors.len());
    let mut tried = 0;
    for vector in &vectors {
        vector.opens_as_it_says();
        tried += vector.is_nothing_else_with_a_bit_flipped();
    }
    assert!(tried > 1000 * at_least, "{platform}: only {tried} changes were tried");
}

#[test]
fn baidus_vectors_hold() {
    all_hold("baidu", 12);
}

#[test]
fn douyins_vectors_hold() {
    all_hold("douyin", 4);
}

#[test]
fn kuaishous_vectors_hold() {
    all_hold("kuaishou", 3);
}

#[test]
fn alipays_vectors_hold() {
    all_hold("alipay", 10);
}
