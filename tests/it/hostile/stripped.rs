//! Signatures taken off, weakened or put elsewhere, and documents that want more than to be read: refused over the wire by every platform.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use yizhan::platform::twin::{Outgoing, Twin, Verdict};
use yizhan::platform::{self, Door, Platform};
use yizhan::settings::{Settings, Surroundings};

use crate::world::World;

fn twin(world: &World, platform: &'static dyn Platform) -> Box<dyn Twin> {
    let text = platform.sample_settings(&world.simulator.vendor_url(platform.name()));
    platform.twin(Settings::parse(&text, Surroundings::default()).unwrap()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Posts it; the status and the answer.
async fn send(world: &World, platform: &str, headers: &[(String, String)], body: Vec<u8>) -> (u16, String) {
    let mut request = world.client.post(format!("{}/callback/{platform}/message", world.base)).body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn form(push: &Outgoing) -> Vec<(String, String)> {
    url::form_urlencoded::parse(&push.body).into_owned().collect()
}

fn body(fields: &[(String, String)]) -> Vec<u8> {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes()
}

/// What was done, the headers and the body.
type Attempt = (String, Vec<(String, String)>, Vec<u8>);

/// All that somebody may do to the signature of a push without its key.
fn weakened(platform: &str, push: &Outgoing) -> Vec<Attempt> {
    let headers = push.headers.clone();
    let mut made = Vec::new();
    match platform {
        "alipay" => {
            let fields = form(push);
            let with = |name: &str, value: &str| {
                let mut fields: Vec<_> = fields.iter().filter(|(other, _)| other != name).cloned().collect();
                fields.push((name.to_owned(), value.to_owned()));
                body(&fields)
            };
            let without =
                |names: &[&str]| body(&fields.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect::<Vec<_>>());
            made.push((String::from("no sign"), headers.clone(), without(&["sign"])));
            made.push((String::from("neither sign nor sign_type"), headers.clone(), without(&["sign", "sign_type"])));
            for sign in ["", "AA==", "null", "0"] {
                made.push((format!("sign={sign}"), headers.clone(), with("sign", sign)));
            }
            for kind in ["RSA", "rsa2", "NONE", "MD5", "HMAC", "RSA2 ", "", "RSA2,RSA"] {
                made.push((format!("sign_type={kind}"), headers.clone(), with("sign_type", kind)));
            }
            made.push((String::from("sign_type twice"), headers.clone(), [push.body.as_ref(), b"&sign_type=RSA"].concat()));
            made.push((String::from("a field added"), headers, [push.body.as_ref(), b"&app_auth_token=mine"].concat()));
        }
        "kuaishou" => {
            let named: Vec<_> = headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("kwaisign")).cloned().collect();
            made.push((String::from("no signature"), named.clone(), push.body.to_vec()));
            for sign in ["", "0", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "d41d8cd98f00b204e9800998ecf8427e"] {
                let mut headers = named.clone();
                headers.push((String::from("kwaisign"), sign.to_owned()));
                made.push((format!("kwaisign: {sign}"), headers, push.body.to_vec()));
            }
            let sign = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("kwaisign")).map(|(_, value)| value.clone()).unwrap();
            made.push((
                String::from("a part of it"),
                [named, vec![(String::from("kwaisign"), sign[..20].to_owned())]].concat(),
                push.body.to_vec(),
            ));
        }
        _ => {
            let envelope: Value = serde_json::from_slice(&push.body).unwrap();
            let with = |name: &str, value: Value| {
                let mut envelope = envelope.clone();
                envelope[name] = value;
                envelope.to_string().into_bytes()
            };
            let sign = envelope["MsgSignature"].as_str().unwrap().to_owned();
            for value in [
                json!(null),
                json!(""),
                json!(0),
                json!(true),
                json!([sign.clone()]),
                json!({ "a": sign }),
                json!(sign[..20]),
                json!(format!("{sign}00")),
            ] {
                made.push((format!("MsgSignature: {value}"), headers.clone(), with("MsgSignature", value)));
            }
            made.push((String::from("no nonce"), headers.clone(), with("Nonce", json!(""))));
            made.push((String::from("nonce and time joined"), headers, with("Nonce", json!(null))));
        }
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_is_stripped_or_weakened_opens_nothing() {
    let world = World::new().await;
    for platform in platform::ALL {
        let (name, mut twin) = (platform.name(), twin(&world, *platform));
        let push = twin.audit("yz0123456789abcdef", "1.0.3", &Verdict::Passed, world.simulator.now());
        for (what, headers, body) in weakened(name, &push) {
            let (status, answer) = send(&world, name, &headers, body).await;
            assert!([400, 401].contains(&status) && !answer.contains("success"), "{name}: {what}: {status} {answer}");
        }
        let (_, list) = world.get(&format!("/v1/events?component={name}&type=audit.*")).await;
        assert!(list["items"].as_array().unwrap().is_empty(), "{name}");
        let (status, _) = send(&world, name, &push.headers, push.body.to_vec()).await;
        assert_eq!(status, 200, "{name}: the push itself is good");
    }
}

/// Alipay joins what it signs without any escape: two fields, joined into one, have the same signature.
#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_joined_into_one_are_no_new_event() {
    let world = World::new().await;
    let mut twin = twin(&world, platform::named("alipay").unwrap());
    let grant = twin.grant("yz0123456789abcdef", world.simulator.now()).push.unwrap();
    let mut fields: Vec<_> = form(&grant).into_iter().filter(|(name, _)| name != "sign" && name != "sign_type").collect();
    let signed: Vec<_> = form(&grant).into_iter().filter(|(name, _)| name == "sign" || name == "sign_type").collect();
    fields.sort();
    for at in 1..fields.len() {
        let mut joined = fields.clone();
        let (name, value) = joined.remove(at);
        joined[at - 1].1.push_str(&format!("&{name}={value}"));
        joined.extend(signed.clone());
        let (status, answer) = send(&world, "alipay", &grant.headers, body(&joined)).await;
        assert!([400, 401].contains(&status), "{name} in {}: {status} {answer}", joined[at - 1].0);
    }
    let (_, list) = world.get("/v1/events?component=alipay").await;
    assert!(list["items"].as_array().unwrap().is_empty(), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn xml_that_grows_or_fetches_is_refused_even_when_it_is_signed() {
    let world = World::new().await;
    let mut twin = twin(&world, platform::named("alipay").unwrap());
    let lol: String = (1..10).map(|n| format!("<!ENTITY lol{n} \"{}\">", format!("&lol{};", n - 1).repeat(10))).collect();
    let deep = format!("{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000));
    for (what, xml) in [
        ("billion laughs", format!("<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY lol0 \"lol\">{lol}]><XML><AppId>&lol9;</AppId></XML>")),
        ("quadratic", format!("<!DOCTYPE x [<!ENTITY a \"{}\">]><XML><AppId>{}</AppId></XML>", "a".repeat(10_000), "&a;".repeat(5_000))),
        ("a file", String::from("<!DOCTYPE x [<!ENTITY xxe SYSTEM \"file:///etc/passwd\">]><XML><AppId>&xxe;</AppId></XML>")),
        ("an address", format!("<!DOCTYPE x SYSTEM \"{}/healthz\"><XML><AppId>1</AppId></XML>", world.base)),
        ("a parameter", String::from("<!DOCTYPE x [<!ENTITY % p SYSTEM \"http://127.0.0.1:9/x.dtd\"> %p;]><XML/>")),
        ("an entity of nobody", String::from("<XML><AppId>&nobody;</AppId></XML>")),
        ("depth", deep),
    ] {
        let said = json!({ "service": "alipay.service.check", "charset": "UTF-8", "biz_content": xml });
        let push = twin.say(Door::Message, &said.to_string(), world.simulator.now());
        let began = Instant::now();
        let (status, answer) = send(&world, "alipay", &push.headers, push.body.to_vec()).await;
        assert!([400, 401].contains(&status), "{what}: {status} {answer}");
        assert!(!answer.contains("<success>true") && !answer.contains("root:") && !answer.contains("lollol"), "{what}: {answer}");
        assert!(began.elapsed() < Duration::from_secs(5), "{what}: {:?}", began.elapsed());
    }
}
