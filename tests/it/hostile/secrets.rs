//! Secrets are planted everywhere, the service lives through all that it can do, and then everything that it said or wrote is searched for
//! them: log lines of every level, HTTP answers, metrics, `Debug`, a backup, and the files on the disk; in plain, base64 and hexadecimal.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use yizhan::platform::{self, twin::Verdict};

use super::lines::Written;
use crate::world::{KEY, MASTER_KEY, SECRET, Setting, World};

/// Shorter texts occur by chance.
const TELLING: usize = 8;

/// What must not be found, with a name for people.
#[derive(Default)]
struct Planted(Vec<(String, String)>);

impl Planted {
    fn add(&mut self, name: impl Into<String>, text: &str) {
        if text.len() >= TELLING && !self.0.iter().any(|(_, known)| known == text) {
            self.0.push((name.into(), text.to_owned()));
        }
    }

    /// Every spelling of every secret. Of base64 the part that does not depend on what stands around it.
    fn spellings(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for (name, text) in &self.0 {
            let bytes = text.as_bytes();
            all.push((format!("{name}, plain"), bytes.to_vec()));
            all.push((format!("{name}, hexadecimal"), hex::encode(bytes).into_bytes()));
            all.push((format!("{name}, hexadecimal in capitals"), hex::encode_upper(bytes).into_bytes()));
            for shift in 0..3 {
                let within = [&vec![0; shift], bytes].concat();
                for encoded in [STANDARD.encode(&within), URL_SAFE_NO_PAD.encode(&within)] {
                    let inner = encoded.trim_end_matches('=');
                    let inner = inner.get(4..inner.len().saturating_sub(4)).unwrap_or_default();
                    if inner.len() >= 2 * TELLING {
                        all.push((format!("{name}, base64"), inner.as_bytes().to_vec()));
                    }
                }
            }
            // A key in base64 is a secret as bytes too.
            if let Ok(key) = STANDARD.decode(text)
                && key.len() >= 16
                && key.iter().any(|byte| *byte != key[0])
            {
                all.push((format!("{name}, bytes"), key));
            }
        }
        all
    }

    fn assert_absent(&self, place: &str, searched: &[u8]) {
        let spellings = self.spellings();
        let mut wrong = Vec::new();
        for (at, index) in found(searched, &spellings) {
            let around = String::from_utf8_lossy(&searched[at.saturating_sub(120)..(at + 20).min(searched.len())]).into_owned();
            wrong.push(format!("{} is in {place}: …{around}…", spellings[index].0));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// Where which of the spellings stands. One pass for all of them: a store has many bytes, and there are hundreds of spellings.
fn found(searched: &[u8], spellings: &[(String, Vec<u8>)]) -> Vec<(usize, usize)> {
    let pair = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
    let mut beginnings = vec![Vec::new(); 1 << 16];
    for (index, (_, spelling)) in spellings.iter().enumerate() {
        beginnings[pair(spelling)].push(index);
    }
    let mut found = Vec::new();
    for (at, window) in searched.windows(2).enumerate() {
        found.extend(
            beginnings[pair(window)].iter().filter(|index| searched[at..].starts_with(&spellings[**index].1)).map(|index| (at, *index)),
        );
    }
    found
}

#[test]
fn the_search_finds_what_is_planted_in_every_spelling() {
    let mut planted = Planted::default();
    planted.add("short", "1234567");
    planted.add("one", "abcdefghijklmnopqrstuvwxyz");
    planted.add("key", MASTER_KEY_LIKE);
    let spellings = planted.spellings();
    for hidden in [
        String::from("..abcdefghijklmnopqrstuvwxyz.."),
        hex::encode("xxabcdefghijklmnopqrstuvwxyzxx"),
        hex::encode_upper("abcdefghijklmnopqrstuvwxyz"),
        STANDARD.encode("abcdefghijklmnopqrstuvwxyz"),
        STANDARD.encode("{\"a\":\"abcdefghijklmnopqrstuvwxyz\"}"),
        URL_SAFE_NO_PAD.encode("?abcdefghijklmnopqrstuvwxyz?"),
    ] {
        assert!(!found(hidden.as_bytes(), &spellings).is_empty(), "{hidden}");
    }
    assert!(!found(&STANDARD.decode(MASTER_KEY_LIKE).unwrap(), &spellings).is_empty());
    assert!(found(b"1234567 abcdefghijklmnopqrstuvwxy", &spellings).is_empty());
}

/// 32 bytes, as a master key is written.
const MASTER_KEY_LIKE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The secret settings of a platform's sample.
fn of_settings(planted: &mut Planted, name: &str, sample: &str) {
    let table: toml::Table = toml::from_str(sample).unwrap();
    for (key, value) in &table {
        let hidden = ["secret", "key", "token"].iter().any(|word| key.contains(word)) && !key.contains("public");
        if let (true, Some(text)) = (hidden, value.as_str()) {
            // Of a PEM each line is telling.
            for line in text.lines().map(str::trim).filter(|line| !line.starts_with("-----")) {
                planted.add(format!("{name}.{key}"), line);
            }
        }
    }
}

async fn said(world: &World, answers: &mut Vec<u8>, method: &str, path: &str, body: &str) -> Value {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = world.client.request(method, format!("{}{path}", world.base)).bearer_auth(KEY);
    let answer = request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap();
    // The query is what we said ourselves.
    let asked = path.split('?').next().unwrap_or_default();
    answers.extend(format!("\n{asked} {:?}\n", answer.headers()).into_bytes());
    let body = answer.bytes().await.unwrap();
    answers.extend_from_slice(&body);
    serde_json::from_slice(&body).unwrap_or_default()
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

/// A robot that nobody answers for: every try fails, and the failure is told in many places.
const ROBOT: &str = r#"
[[robots]]
name = "ops"
kind = "dingtalk"
url = "http://127.0.0.1:9/robot/send?access_token=planted-in-the-address-of-a-robot"
secret = "SECplanted-for-signatures-of-a-robot"
[[playbooks]]
name = "tell"
on = ["audit.*"]
steps = [{ tell = "ops" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_found_in_anything_that_was_said_or_written() {
    let log = Written::default();
    // In a process of its own this is the log of everything; where another test was first, its log is that test's.
    let heard = tracing::subscriber::set_global_default(log.subscriber("trace")).is_ok();

    let mut planted = Planted::default();
    planted.add("API key", KEY);
    planted.add("subscription", SECRET.strip_prefix("whsec_").unwrap());
    planted.add("master key", MASTER_KEY);
    planted.add("robot's address", "planted-in-the-address-of-a-robot");
    planted.add("robot's secret", "SECplanted-for-signatures-of-a-robot");
    let mut world = World::with(Setting { extra: ROBOT.to_owned(), ..Setting::default() }).await;
    let mut answers = Vec::new();
    for platform in platform::ALL {
        let name = platform.name();
        of_settings(&mut planted, name, &platform.sample_settings(&world.simulator.vendor_url(name)));
        live(&world, name, &mut planted, &mut answers).await;
    }
    let made = said(&world, &mut Vec::new(), "POST", "/v1/subscriptions", &subscription(&world)).await;
    planted.add("new subscription", made["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap());
    let rotated = said(&world, &mut Vec::new(), "POST", "/v1/subscriptions/made/rotate-secret", "{}").await;
    planted.add("rotated subscription", rotated["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap());
    planted.add("wrong API key", "yzk_wrong-but-perhaps-only-misspelt");
    let wrong = world.client.get(format!("{}/v1/events", world.base)).bearer_auth("yzk_wrong-but-perhaps-only-misspelt");
    assert_eq!(wrong.send().await.unwrap().status(), 401);

    for path in [
        "/v1/components",
        "/v1/events?limit=500",
        "/v1/deliveries?limit=500",
        "/v1/audit?limit=500",
        "/v1/rejected",
        "/v1/runs",
        "/v1/rollouts",
        "/v1/subscriptions",
        "/v1/operations",
        "/openapi.json",
        "/metrics",
        "/readyz",
        "/healthz",
    ] {
        said(&world, &mut answers, "GET", path, "").await;
    }
    assert!(planted.0.len() > 30, "{} secrets were planted", planted.0.len());
    planted.assert_absent("HTTP answers", &answers);
    let config = &world.app().config;
    let debug = format!("{:?} {:?} {:?} {:?} {:?}", config.server, config.store, config.fanout, config.api_keys, config.subscriptions);
    planted.assert_absent("Debug", debug.as_bytes());

    let mut backup = Vec::new();
    said(&world, &mut backup, "GET", "/v1/backup", "").await;
    assert!(backup.len() > 10_000, "{}", String::from_utf8_lossy(&backup));
    planted.assert_absent("a backup", &backup);

    world.down().await;
    let mut written = Vec::new();
    files(world.store(), &mut written);
    assert!(written.len() > 3);
    for (name, bytes) in &written {
        planted.assert_absent(name, bytes);
    }
    if heard {
        let text = log.text();
        assert!(text.contains("a push was stored"), "{} bytes of log", text.len());
        planted.assert_absent("the log", text.as_bytes());
    }
}

fn subscription(world: &World) -> String {
    json!({ "name": "made", "url": world.handler.url(), "events": ["audit.*"] }).to_string()
}

/// One platform's whole life, what it is given along the way being planted.
async fn live(world: &World, name: &str, planted: &mut Planted, answers: &mut Vec<u8>) {
    let merchant = "yz0123456789abcdef";
    let token = world.granted(name, merchant).await;
    planted.add(format!("{name}: token"), token["access_token"].as_str().unwrap());
    for path in ["ticket", "token"] {
        let (_, body) = world.get(&format!("/v1/components/{name}/{path}")).await;
        for member in ["ticket", "access_token"] {
            planted.add(format!("{name}: {path}"), body[member].as_str().unwrap_or_default());
        }
    }
    let authorizer = format!("/v1/components/{name}/authorizers/{merchant}");
    let generation = json!({ "generation": token["generation"] }).to_string();
    for (path, body) in [("report-invalid", generation.as_str()), ("refresh", "{}")] {
        let renewed = said(world, &mut Vec::new(), "POST", &format!("{authorizer}/token/{path}"), body).await;
        planted.add(format!("{name}: renewed token"), renewed["access_token"].as_str().unwrap_or_default());
    }
    // A second merchant comes back by browser, with its code in the address.
    let (query, _) = world.simulator.grant(name, "yz0000000000000002").await.unwrap();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key.contains("code")) {
        planted.add(format!("{name}: {key}"), &value);
    }
    said(world, answers, "GET", &format!("/callback/{name}/authorized?{query}"), "").await;
    said(world, answers, "GET", &format!("/authorize/{name}"), "").await;
    let pushed = world.simulator.audit(name, merchant, "1.0.1", &Verdict::Failed(String::from("no icon"))).await;
    pushed.unwrap();
    let (said_push, _) = world.simulator.say(name, platform::Door::Message, "{\"event\":\"X\",\"msg_method\":\"x\"}").await.unwrap();
    world.simulator.forge(name, &said_push).await.unwrap();
    for (method, path) in [
        ("GET", format!("/v1/components/{name}")),
        ("GET", format!("/v1/components/{name}/authorizers")),
        ("GET", authorizer.clone()),
        ("POST", format!("{authorizer}/operations/no.such")),
        ("POST", format!("{authorizer}/operations/package.list")),
        ("POST", format!("{authorizer}/operations/app.info")),
        ("GET", format!("{authorizer}/proxy/nothing/of/that/kind")),
        ("POST", format!("/v1/components/{name}/authorizations")),
    ] {
        said(world, answers, method, &path, "{}").await;
    }
    world.simulator.revoke(name, "yz0000000000000002").await.unwrap();
    world.simulator.expire_tokens(name, None).unwrap();
    said(world, answers, "POST", &format!("{authorizer}/operations/package.list"), "{}").await;
}
