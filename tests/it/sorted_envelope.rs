//! What Baidu and Douyin are tested alike for, and the tools of their tests: fixtures, a component, a twin, and the wire between them.

use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use yizhan::clock::Timestamp;
use yizhan::platform::push::{Door, Notice, Opened, Push, PushError, RawPush};
use yizhan::platform::twin::{Answer, Outgoing, Request};
use yizhan::platform::{Body, Call, Component, Twin, named};
use yizhan::settings::{Problem, Settings, Surroundings};

/// Where the twins live in these tests.
pub const VENDOR: &str = "http://127.0.0.1:9/vendor";

pub fn settings(text: &str) -> Settings {
    Settings::parse(text, Surroundings::default()).unwrap()
}

pub fn component(platform: &str, text: &str) -> Arc<dyn Component> {
    named(platform).unwrap().component("shop", settings(text)).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The problems of these settings.
pub fn problems(platform: &str, text: &str) -> Vec<Problem> {
    named(platform).unwrap().component("shop", settings(text)).err().unwrap_or_default()
}

pub fn twin(platform: &str, text: &str) -> Box<dyn Twin> {
    named(platform).unwrap().twin(settings(text)).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A component and its twin, for the sample settings with these lines more.
pub fn pair(platform: &str, more: &str) -> (Arc<dyn Component>, Box<dyn Twin>) {
    let text = named(platform).unwrap().sample_settings(VENDOR) + more;
    (component(platform, &text), twin(platform, &text))
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn noon() -> Timestamp {
    at("2026-11-20T04:00:00Z")
}

pub fn post(door: Door, body: impl Into<Bytes>) -> RawPush {
    RawPush { door, is_get: false, headers: Vec::new(), query: String::new(), body: body.into(), received_at: noon() }
}

pub fn arrived(outgoing: &Outgoing, now: Timestamp) -> RawPush {
    RawPush { received_at: now, ..post(outgoing.door, outgoing.body.clone()) }
}

pub fn pushed(opened: Result<Opened, PushError>) -> Push {
    match opened {
        Ok(Opened::Push(push)) => *push,
        other => panic!("not a push: {other:?}"),
    }
}

/// What the component makes of a content that the vendor says.
pub fn said(component: &dyn Component, twin: &mut dyn Twin, content: &Value) -> Push {
    let outgoing = twin.say(Door::Message, &content.to_string(), noon());
    pushed(component.open(&arrived(&outgoing, noon())))
}

pub fn data(push: &Push) -> Value {
    match &push.notice {
        Notice::Fact { data, .. } => Value::Object(data.clone()),
        _ => json!({}),
    }
}

/// Sends a call to the twin, as the simulator's server would hand it over.
pub fn ask(twin: &mut dyn Twin, call: &Call, now: Timestamp) -> Answer {
    let encode = |fields: &[(String, yizhan::platform::Value)]| {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields {
            form.append_pair(name, value.expose());
        }
        form.finish()
    };
    let mut headers: Vec<_> = call.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    if matches!(call.body, Body::Json(_)) {
        headers.push((String::from("content-type"), String::from("application/json")));
    }
    let request = Request {
        method: call.method,
        path: call.url.strip_prefix(VENDOR).unwrap().to_owned(),
        query: encode(&call.query),
        headers,
        body: match &call.body {
            Body::Form(fields) => encode(fields).into(),
            Body::Json(text) => text.expose().to_owned().into(),
            Body::Empty | Body::Multipart(_) => Bytes::new(),
        },
    };
    twin.answer(&request, now)
}

/// One file of `fixtures/<platform>/push`.
pub struct Fixture {
    pub name: String,
    pub component: Arc<dyn Component>,
    pub raw: RawPush,
    pub expect: Value,
}

pub fn fixture(platform: &str, name: &str) -> Fixture {
    let path = format!("{}/fixtures/{platform}/push/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(file["origin"].as_str().is_some_and(|origin| !origin.is_empty()), "{name} says where it is from");
    // JSON's strings and truth values are TOML's as well.
    let text: String = file["settings"].as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let request = &file["request"];
    let raw = RawPush {
        door: serde_json::from_value(request["door"].clone()).unwrap(),
        is_get: request["method"] == "GET",
        headers: Vec::new(),
        query: request["query"].as_str().unwrap().to_owned(),
        body: request["body"].as_str().unwrap().to_owned().into(),
        received_at: noon(),
    };
    Fixture { name: name.to_owned(), component: component(platform, &text), raw, expect: file["expect"].clone() }
}

pub fn fixtures(platform: &str) -> Vec<Fixture> {
    let folder = format!("{}/fixtures/{platform}/push", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names.iter().map(|name| fixture(platform, name)).collect()
}

/// The secret that a notice carries.
fn secret(notice: &Notice) -> Option<&str> {
    match notice {
        Notice::Ticket(ticket) => Some(ticket.value.expose()),
        Notice::Granted(grant) | Notice::Updated(grant) => grant.code.as_ref().map(|code| code.value.expose()),
        _ => None,
    }
}

/// Opens every fixture of a platform and compares it with what it says itself. Gives their number.
pub fn every_fixture_opens_as_it_says(platform: &str) -> usize {
    let all = fixtures(platform);
    for Fixture { name, component, raw, expect } in &all {
        let opened = component.open(raw);
        if let Some(reason) = expect.get("refused") {
            assert_eq!(opened.err().map(|error| json!(error.reason())).as_ref(), Some(reason), "{name}");
            continue;
        }
        if let Some(answer) = expect.get("answer") {
            let Ok(Opened::Check(acknowledgement)) = opened else { panic!("{name}: {opened:?}") };
            assert_eq!(json!(String::from_utf8_lossy(&acknowledgement.body)), *answer, "{name}");
            continue;
        }
        let push = pushed(opened);
        assert_eq!(
            json!({
                "type": push.notice.kind(), "vendor_type": push.vendor_type, "authorizer": push.authorizer,
                "time": push.time.to_string(), "data": data(&push), "vendor": push.vendor, "secret": secret(&push.notice),
            }),
            json!({
                "type": expect["type"], "vendor_type": expect["vendor_type"], "authorizer": expect["authorizer"],
                "time": expect["time"], "data": expect["data"], "vendor": expect["vendor"], "secret": expect["secret"],
            }),
            "{name}"
        );
        assert_eq!(push.acknowledgement.body, "success", "{name}");
        assert_eq!((push.dedupe_key.len(), push.acknowledgement.status), (64, 200), "{name}");
    }
    all.len()
}

/// Flips each bit of the body in turn, signature and names among them. Gives the number of flips.
pub fn every_flipped_bit_is_refused(fixture: &Fixture) -> usize {
    let body = fixture.raw.body.to_vec();
    for bit in 0..body.len() * 8 {
        let mut flipped = body.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let text = String::from_utf8_lossy(&flipped).into_owned();
        let result = fixture.component.open(&RawPush { body: flipped.into(), ..fixture.raw.clone() });
        assert!(result.is_err(), "{}: bit {bit} of {text}", fixture.name);
    }
    body.len() * 8
}

/// Seals a content as the vendor of that twin, and gives the envelope to play with.
pub fn envelope(twin: &mut dyn Twin, content: &str) -> Value {
    serde_json::from_slice(&twin.say(Door::Message, content, noon()).body).unwrap()
}

/// A grant of `app_id`, told to the component.
pub fn granted(component: &dyn Component, twin: &mut dyn Twin, app_id: &str, now: Timestamp) -> (Push, String) {
    let story = twin.grant(app_id, now);
    let push = pushed(component.open(&arrived(&story.push.unwrap(), now)));
    (push, story.redirect_query)
}

pub const BOTH: [&str; 2] = ["baidu", "douyin"];

#[test]
fn numbers_in_the_envelope_are_signed_with_their_digits() {
    for platform in BOTH {
        let (component, mut twin) = pair(platform, "");
        let envelope = envelope(&mut *twin, r#"{"Event":"X"}"#);
        let text = |name: &str| envelope[name].as_str().unwrap().to_owned();
        let body = format!(
            r#" {{"More":[1],"Nonce":{},"TimeStamp":{},"Encrypt":"{}","MsgSignature":"{}"}}"#,
            text("Nonce"),
            text("TimeStamp"),
            // PHP escapes slashes; the value is what was signed.
            text("Encrypt").replace('/', r"\/"),
            text("MsgSignature").to_uppercase(),
        );
        assert_eq!(pushed(component.open(&post(Door::Message, body))).vendor_type, "X", "{platform}");
    }
}

#[test]
fn an_envelope_in_a_form_or_in_camel_case_is_understood() {
    for platform in BOTH {
        let (component, mut twin) = pair(platform, "");
        let envelope = envelope(&mut *twin, r#"{"Event":"X"}"#);
        let fields = ["Nonce", "TimeStamp", "Encrypt", "MsgSignature"].map(|name| (name, envelope[name].as_str().unwrap()));
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        assert_eq!(pushed(component.open(&post(Door::Message, form))).vendor_type, "X", "{platform}");
        let raw: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pushed(component.open(&post(Door::Message, raw.join("&")))).vendor_type, "X", "{platform}: unescaped");
        let camel =
            json!({"nonce": fields[0].1, "timeStamp": fields[1].1, "encrypt": fields[2].1, "msgSignature": fields[3].1}).to_string();
        assert_eq!(pushed(component.open(&post(Door::Message, camel))).vendor_type, "X", "{platform}: camel case");
    }
}

#[test]
fn what_is_no_envelope_is_malformed_and_what_is_not_signed_is_refused() {
    for platform in BOTH {
        let (component, mut twin) = pair(platform, "");
        let whole = envelope(&mut *twin, r#"{"Event":"X"}"#);
        let without = |name: &str| {
            let mut cut = whole.clone();
            cut.as_object_mut().unwrap().remove(name);
            cut.to_string().into_bytes()
        };
        let with = |name: &str, value: Value| {
            let mut changed = whole.clone();
            changed[name] = value;
            changed.to_string().into_bytes()
        };
        let doubled = whole.to_string().replacen('{', r#"{"Nonce":"1","#, 1).into_bytes();
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("nothing", Vec::new(), "malformed"),
            ("a list", b"[1]".to_vec(), "malformed"),
            ("half of it", whole.to_string().as_bytes()[..60].to_vec(), "malformed"),
            ("not UTF-8", vec![b'{', b'"', 0xff, b'"', b':', b'1', b'}'], "malformed"),
            ("two nonces", doubled, "malformed"),
            ("no Encrypt", without("Encrypt"), "malformed"),
            ("no TimeStamp", without("TimeStamp"), "malformed"),
            ("a truth value", with("Nonce", json!(true)), "malformed"),
            ("an empty Encrypt", with("Encrypt", json!("")), "malformed"),
            ("no MsgSignature", without("MsgSignature"), "bad-signature"),
            ("an empty signature", with("MsgSignature", json!("")), "bad-signature"),
            ("another nonce", with("Nonce", json!("1")), "bad-signature"),
        ];
        for (name, body, reason) in cases {
            let error = component.open(&post(Door::Message, body)).unwrap_err();
            assert_eq!(error.reason(), reason, "{platform}: {name}: {error}");
            assert!(component.refusal(&post(Door::Message, ""), &error).is_none());
        }
    }
}

/// Seals with other keys or ids than the component's, by changing lines of the sample settings.
fn twin_with(platform: &str, change: (&str, &str)) -> Box<dyn Twin> {
    let sample = named(platform).unwrap().sample_settings(VENDOR);
    let (key, value) = change;
    let lines: Vec<String> =
        sample.lines().map(|line| if line.starts_with(key) { format!("{key} = \"{value}\"") } else { line.to_owned() }).collect();
    twin(platform, &lines.join("\n"))
}

const OTHER_KEY: &str = "zyxwvutsrqponmlkjihgfedcba9876543210ABCDEFG";

#[test]
fn a_well_signed_push_under_another_key_is_undecipherable_until_that_key_is_the_previous_one() {
    for platform in BOTH {
        let mut old = twin_with(platform, ("encoding_aes_key", OTHER_KEY));
        let push = old.say(Door::Message, r#"{"Event":"X"}"#, noon());
        let (component, mut new) = pair(platform, "");
        assert_eq!(component.open(&arrived(&push, noon())).unwrap_err().reason(), "undecipherable", "{platform}");

        let (component, _) = pair(platform, &format!("previous_encoding_aes_key = \"{OTHER_KEY}\"\n"));
        assert_eq!(pushed(component.open(&arrived(&push, noon()))).vendor_type, "X", "{platform}: the old key");
        let push = new.say(Door::Message, r#"{"Event":"Y"}"#, noon());
        assert_eq!(pushed(component.open(&arrived(&push, noon()))).vendor_type, "Y", "{platform}: the new key");
    }
}

#[test]
fn ciphertexts_that_are_cut_or_hold_no_object_are_refused() {
    for platform in BOTH {
        let (component, mut twin) = pair(platform, "");
        for content in ["[1]", "no json", "{\"Event\":", ""] {
            let push = twin.say(Door::Message, content, noon());
            assert_eq!(component.open(&arrived(&push, noon())).unwrap_err().reason(), "malformed", "{platform}: {content}");
        }
        let push = twin.say(Door::Authorization, r#"{"MsgType":"ticket","Event":"push"}"#, noon());
        assert_eq!(component.open(&arrived(&push, noon())).unwrap_err().reason(), "malformed", "{platform}: no ticket in it");
    }
}

#[test]
fn a_retry_has_another_ciphertext_and_the_same_dedupe_key() {
    for platform in BOTH {
        let (component, mut twin) = pair(platform, "");
        let first = twin.ticket(noon()).unwrap();
        let retry = twin.reseal(&first, at("2026-11-20T04:01:00Z"));
        assert_ne!(first.body, retry.body);
        let keys = [&first, &retry].map(|push| pushed(component.open(&arrived(push, noon()))).dedupe_key);
        assert_eq!(keys[0], keys[1], "{platform}");
        let next = twin.ticket(noon()).unwrap();
        assert_ne!(pushed(component.open(&arrived(&next, noon()))).dedupe_key, keys[0], "{platform}");

        let forged = twin.forge(&first);
        assert_eq!(component.open(&arrived(&forged, noon())).unwrap_err().reason(), "bad-signature", "{platform}");
        assert!(twin.acknowledged(&first, 200, b"success"));
        for (status, body) in [(200, &b"success\n"[..]), (200, b"\"success\""), (503, b"success"), (200, b"")] {
            assert!(!twin.acknowledged(&first, status, body), "{platform}");
        }
    }
}

#[test]
fn a_message_is_known_by_its_id_and_keeps_all_64_bits_of_it() {
    for platform in BOTH {
        let (component, mut twin) = pair(platform, "");
        let message = |id: Value, text: &str| json!({"ToUserName": "app", "FromUserName": "openid", "CreateTime": "1577364225", "MsgType": "Text", "Content": text, "MsgId": id});
        let first = said(&*component, &mut *twin, &message(json!(9_133_504_853_504_535_288_u64), "hello"));
        assert_eq!(first.vendor["MsgId"].to_string(), "9133504853504535288");
        assert_eq!(first.vendor_type, "Text");
        assert_eq!(first.authorizer.as_deref(), Some("app"));
        assert_eq!(data(&first), json!({"from": "openid", "kind": "text", "text": "hello"}));
        assert_eq!(first.time, at("2019-12-26T12:43:45Z"));
        let again = said(&*component, &mut *twin, &message(json!("9133504853504535288"), "hello, spelt otherwise"));
        let other = said(&*component, &mut *twin, &message(json!(9_133_504_853_504_535_289_u64), "hello"));
        assert_eq!(first.dedupe_key, again.dedupe_key);
        assert_ne!(first.dedupe_key, other.dedupe_key);
    }
}

#[test]
fn codes_and_tickets_in_unknown_events_are_sealed_at_any_depth() {
    for platform in BOTH {
        let (component, mut twin) = pair(platform, "");
        let push = said(
            &*component,
            &mut *twin,
            &json!({"Event": "NEVER_SEEN", "a": [[{"authorizationCode": "c1"}]], "b": {"Ticket": "t1"}, "AUTHORIZATIONCODE": 5, "keep": "c2"}),
        );
        assert_eq!(push.notice.kind().as_str(), "vendor.other");
        let sealed = json!({"Event": "NEVER_SEEN", "a": [[{"authorizationCode": "[sealed]"}]], "b": {"Ticket": "[sealed]"}, "AUTHORIZATIONCODE": "[sealed]", "keep": "c2"});
        assert_eq!(push.vendor, sealed, "{platform}");
    }
}

#[test]
fn what_the_component_prints_holds_no_secret() {
    for platform in BOTH {
        let (component, mut twin) = pair(platform, "");
        let ticket = twin.ticket(noon()).unwrap();
        let text: Value = serde_json::from_slice(&ticket.plain).unwrap();
        let opened = format!("{:?}", component.open(&arrived(&ticket, noon())));
        assert!(!opened.contains(text["Ticket"].as_str().unwrap()), "{opened}");
        let (push, _) = granted(&*component, &mut *twin, "1452365", noon());
        let Notice::Granted(grant) = &push.notice else { panic!("{push:?}") };
        assert!(!format!("{push:?}").contains(grant.code.as_ref().unwrap().value.expose()));
    }
}

#[test]
fn a_diagnosis_names_the_step_that_fails() {
    for (platform, id) in [("baidu", "tp_id"), ("douyin", "component_appid")] {
        let (component, mut twin) = pair(platform, "");
        let ticket = twin.ticket(noon()).unwrap();
        let whole = component.diagnose(&arrived(&ticket, noon()));
        assert!(whole.opens && whole.proposal.is_empty() && whole.steps.iter().all(|step| step.ok), "{platform}: {whole:?}");
        assert_eq!(whole.content.unwrap()["Ticket"], "[sealed]");

        let failing = |twin: &mut dyn Twin| {
            let push = twin.say(Door::Message, r#"{"Event":"X"}"#, noon());
            let diagnosis = component.diagnose(&arrived(&push, noon()));
            let step = diagnosis.steps.iter().find(|step| !step.ok).map_or("", |step| step.step.as_str()).to_owned();
            (diagnosis.opens, diagnosis.proposal, step)
        };
        let (opens, proposal, step) = failing(&mut *twin_with(platform, ("token", "AnotherToken")));
        assert!(!opens && proposal.is_empty() && step.starts_with("signature"), "{platform}: {step}");
        let (opens, proposal, step) = failing(&mut *twin_with(platform, ("encoding_aes_key", OTHER_KEY)));
        assert!(!opens && proposal.is_empty() && step.starts_with("decrypt with `encoding_aes_key`"), "{platform}: {step}");

        let mut other = twin_with(platform, (id, "99999999"));
        let member = if platform == "baidu" { "tpAppId" } else { "TpAppId" };
        let push = other.say(Door::Message, &json!({"Event": "X", member: "99999999"}).to_string(), noon());
        assert_eq!(component.open(&arrived(&push, noon())).unwrap_err().reason(), "wrong-app-id");
        let diagnosis = component.diagnose(&arrived(&push, noon()));
        assert_eq!((diagnosis.opens, diagnosis.proposal), (true, vec![format!("{id} = \"99999999\"")]), "{platform}");

        let nonsense = component.diagnose(&post(Door::Message, "[]"));
        assert!(!nonsense.opens, "{nonsense:?}");
        let nothing = component.diagnose(&post(Door::Message, ""));
        assert!(!nothing.opens && nothing.steps.len() == 1, "{nothing:?}");
    }
}

#[test]
fn the_neighbours_layout_is_recognised() {
    let key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
    let baidu = format!("tp_id = \"1\"\nclient_id = \"k\"\ntoken = \"t\"\nencoding_aes_key = \"{key}\"\n");
    let mut douyin =
        twin("douyin", &format!("component_appid = \"tt1\"\ncomponent_appsecret = \"s\"\ntoken = \"t\"\nencoding_aes_key = \"{key}\"\n"));
    let push = douyin.say(Door::Message, r#"{"Event":"X"}"#, noon());
    let diagnosis = component("baidu", &baidu).diagnose(&arrived(&push, noon()));
    assert!(!diagnosis.opens);
    assert!(diagnosis.steps.iter().any(|step| step.detail.contains("another platform's layout")), "{diagnosis:?}");
}

#[test]
fn every_wrong_setting_is_told_at_once() {
    for platform in BOTH {
        let sample = named(platform).unwrap().sample_settings(VENDOR);
        assert!(problems(platform, &sample).is_empty());
        assert!(problems(platform, &format!("name = \"shop\"\nplatform = \"{platform}\"\n{sample}")).is_empty());
        let at: Vec<String> = problems(platform, "").into_iter().map(|problem| problem.at).collect();
        assert_eq!(at.len(), 4, "{platform}: {at:?}");
        let wrong = format!(
            "{}previous_encoding_aes_key = \"short\"\nredirect_uri = \"ftp://x\"\nencoding_aes_kye = \"\"\n",
            sample.replace("encoding_aes_key = \"abc", "encoding_aes_key = \"")
        );
        let wrong = problems(platform, &wrong);
        let told: Vec<(&str, &str)> = wrong.iter().map(|problem| (problem.at.as_str(), problem.message.as_str())).collect();
        assert_eq!(
            told,
            [
                ("encoding_aes_key", "has 40 characters instead of 43"),
                ("previous_encoding_aes_key", "has 5 characters instead of 43"),
                ("redirect_uri", "is not an http or https address"),
                ("encoding_aes_kye", "is not a known key"),
            ],
            "{platform}"
        );
        assert!(wrong.iter().all(|problem| !problem.hint.is_empty()));
    }
    let told = problems(
        "baidu",
        "tp_id = \"abc\"\nclient_id = \"k\"\ntoken = \"t\"\nencoding_aes_key = \"abcdefghijklmnopqrstuvwxyz0123456789ABC@EFG\"\n",
    );
    assert_eq!(told.iter().map(|problem| problem.at.as_str()).collect::<Vec<_>>(), ["tp_id", "encoding_aes_key"]);
}

#[test]
fn a_browser_comes_back_with_code_and_mark() {
    let now = noon();
    for platform in BOTH {
        let (component, _) = pair(platform, "");
        for query in ["state=m-_1&authorization_code=c1&expires_in=60", "?state=m-_1?authorization_code=c1&expires_in=60"] {
            let returned = component.returned(query, now).unwrap();
            assert_eq!((returned.code.value.expose(), returned.state.as_deref()), ("c1", Some("m-_1")), "{platform}");
            assert_eq!(returned.code.expires_at, at("2026-11-20T04:01:00Z"));
        }
        // What cannot be true is not believed: a query is anybody's to write.
        for seconds in ["soon", "0", "-1", "3601", "9999999999"] {
            let bare = component.returned(&format!("authorization_code=c1&expires_in={seconds}"), now).unwrap();
            assert_eq!((bare.code.expires_at, bare.state), (at("2026-11-20T05:00:00Z"), None), "{platform}: {seconds}");
        }
        for query in ["", "state=x", "authorization_code="] {
            let error = component.returned(query, now).unwrap_err();
            assert_eq!(error.class, yizhan::platform::Class::Refuse);
        }
    }
}

#[test]
fn a_vendors_words_lose_what_looks_like_a_token() {
    use yizhan::platform::loose::message;
    let said = "refresh token 46.0123456789abcdef0123456789abcdef.315360000.1851504148.x is 无效";
    assert_eq!(message(said), "refresh token [redacted] is 无效");
    assert_eq!(message("Access token invalid or no longer valid"), "Access token invalid or no longer valid");
    assert_eq!(message(&"long ".repeat(200)).chars().count(), 301);
}

#[test]
fn too_many_calls_are_told_as_such() {
    use yizhan::platform::token::Standing;
    use yizhan::platform::{Class, Reply};
    for platform in BOTH {
        let (component, mut twin) = pair(platform, "");
        for family in component.families() {
            let call = component.recover(Standing { family: *family, component_token: None, now: noon() }, "1").unwrap();
            let path = call.url.strip_prefix(VENDOR).unwrap().to_owned();
            let request = Request { method: call.method, path, query: String::new(), headers: Vec::new(), body: Bytes::new() };
            let bare = Reply { status: 429, content_type: String::new(), body: Bytes::from_static(b"{}") };
            for reply in [twin.rate_limited(&request, noon()).reply, bare] {
                let error = component.read_recovered(*family, "1", &reply, noon()).unwrap_err();
                assert_eq!(error.class, Class::RateLimited, "{platform}: {error}");
            }
        }
    }
}

#[test]
fn a_twin_forgets_only_what_can_no_longer_work() {
    use yizhan::platform::issued::{Issued, State};
    let (now, soon, late) = (noon(), at("2026-11-20T05:00:00Z"), at("2026-11-20T06:00:00Z"));
    let mut issued = Issued::default();
    for number in 0..20_000 {
        issued.issue(format!("short {number}"), (), soon, now);
    }
    issued.issue(String::from("once"), (), late, now);
    issued.issue(String::from("long"), (), late, now);
    issued.spend("once");
    for number in 0..20_000 {
        issued.issue(format!("later {number}"), (), late, soon);
    }
    assert_eq!(issued.state("long", soon), State::Good);
    assert_eq!(issued.state("later 0", soon), State::Good);
    assert!([State::Used, State::Unknown].contains(&issued.state("once", soon)));
    assert!([State::Expired, State::Unknown].contains(&issued.state("short 1", soon)));
    issued.shorten("long", soon);
    assert_eq!(issued.state("long", soon), State::Expired);
    issued.withdraw("long");
    assert_eq!(issued.state("long", now), State::Unknown);
}
