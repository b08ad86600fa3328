//! Journeys through a whole deployment, told over HTTP: pushes, tokens, deliveries, replays.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};
use yizhan::envelope::digest;
use yizhan::platform;
use yizhan::platform::twin::Verdict;

use crate::world::{Setting, World};

const APP_IDS: [(&str, &str); 4] =
    [("baidu", "1452365"), ("douyin", "tt0123456789abcdef"), ("kuaishou", "ks700000000000000001"), ("alipay", "2021000000000003")];

fn app_id(platform: &str) -> &'static str {
    APP_IDS.iter().find(|(name, _)| *name == platform).unwrap().1
}

fn fixture(path: &str) -> Value {
    let text = std::fs::read_to_string(format!("{}/fixtures/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_platform_from_ticket_to_revocation() {
    let world = World::new().await;
    for platform in platform::ALL {
        let (name, app) = (platform.name(), app_id(platform.name()));
        let token = world.granted(name, app).await;
        assert_eq!((token["component"].as_str(), token["authorizer"].as_str()), (Some(name), Some(app)));
        assert!(world.simulator.accepts(name, Some(app), token["access_token"].as_str().unwrap()).unwrap());
        world.simulator.revoke(name, app).await.unwrap();
        let address = format!("/v1/components/{name}/authorizers/{app}/token");
        world.until("410 after the revocation", async || (world.get(&address).await.0 == 410).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_vectors_go_through_the_running_service() {
    let vectors = fixture("journeys/real_vectors.json");
    let baidu = &vectors["baidu"];
    let douyin = &vectors["douyin"];
    let alipay = &vectors["alipay"];
    let key = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/keys/alipay/application.pem")).unwrap();
    let extra = format!(
        "[[components]]\nname = \"baidu-real\"\nplatform = \"baidu\"\ntp_id = \"{}\"\nclient_id = \"cccccccccccccccccccccccccccccccc\"\n\
         token = \"OurToken\"\nencoding_aes_key = \"{}\"\n\
         [[components]]\nname = \"douyin-real\"\nplatform = \"douyin\"\ncomponent_appid = \"{}\"\ncomponent_appsecret = \"s\"\n\
         token = \"{}\"\nencoding_aes_key = \"{}\"\n\
         [[components]]\nname = \"alipay-real\"\nplatform = \"alipay\"\napp_id = \"{}\"\napp_private_key = {}\nalipay_public_key = \"{}\"\n",
        baidu["tail"].as_str().unwrap(),
        baidu["encoding_aes_key"].as_str().unwrap(),
        douyin["component_appid"].as_str().unwrap(),
        douyin["token"].as_str().unwrap(),
        douyin["encoding_aes_key"].as_str().unwrap(),
        alipay["params"]["app_id"].as_str().unwrap(),
        json!(key),
        alipay["alipay_public_key_spki_b64"].as_str().unwrap(),
    );
    let world = World::with(Setting { extra, ..Setting::default() }).await;

    // Baidu's sample was signed with a token that was never published: signed here with ours.
    let envelope = &baidu["envelope"];
    let part = |name: &str| envelope[name].as_str().unwrap().as_bytes();
    let signature = hex::encode(digest::sorted_sha1([b"OurToken", part("TimeStamp"), part("Nonce"), part("Encrypt")]));
    let mut signed = envelope.clone();
    signed["MsgSignature"] = json!(signature);
    let douyin_body = json!({
        "Nonce": douyin["nonce"], "TimeStamp": douyin["timestamp"], "Encrypt": douyin["encrypt"], "MsgSignature": douyin["msg_signature"],
    });
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in alipay["params"].as_object().unwrap() {
        form.append_pair(name, value.as_str().unwrap());
    }
    let cases = [
        ("baidu-real", "authorization", "application/json", signed.to_string(), "ticket.received"),
        ("douyin-real", "authorization", "application/json", douyin_body.to_string(), "ticket.received"),
        ("alipay-real", "message", "application/x-www-form-urlencoded; charset=UTF-8", form.finish(), "vendor.other"),
    ];
    for (component, door, content_type, body, kind) in cases {
        let post = || async {
            let request = world.client.post(format!("{}/callback/{component}/{door}", world.base)).header("content-type", content_type);
            let response = request.body(body.clone()).send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        let answers = tokio::join!(post(), post(), post());
        for answer in [answers.0, answers.1, answers.2] {
            assert_eq!(answer, (200, String::from("success")), "{component}");
        }
        let (status, list) = world.get(&format!("/v1/events?component={component}")).await;
        let items = list["items"].as_array().unwrap();
        assert_eq!((status, items.len()), (200, 1), "{component}: {list}");
        assert_eq!(items[0]["type"], kind);
        let (_, ticket) = world.get(&format!("/v1/components/{component}/ticket")).await;
        if kind == "ticket.received" {
            let text = list.to_string();
            let ticket = ticket["ticket"].as_str().unwrap();
            assert!(!text.contains(ticket) && text.contains("[sealed]"), "{component}: the ticket is shown");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_callers_at_expiry_cause_one_renewal() {
    let world = World::new().await;
    for name in ["baidu", "douyin", "kuaishou"] {
        let app = app_id(name);
        let held = world.granted(name, app).await;
        world.simulator.ticket(name).await.unwrap();
        let renewals = || {
            let counts = world.simulator.counts(name).unwrap();
            counts.deed("refresh") + counts.deed("recover")
        };
        let before = renewals();
        // Half an hour on, what is held has less left than is asked for, and no background renewal is due yet.
        world.advance(Duration::from_secs(1900));
        world.simulator.ticket(name).await.unwrap();
        let min_ttl = if name == "baidu" { 2000 } else { 5400 };
        let address = format!("/v1/components/{name}/authorizers/{app}/token?min_ttl={min_ttl}");
        let answers = futures_util::future::join_all((0..200).map(|_| world.get(&address))).await;
        for (status, body) in &answers {
            assert_eq!(*status, 200, "{name}: {body}");
            assert_eq!(body["generation"].as_u64(), Some(held["generation"].as_u64().unwrap() + 1), "{name}: {body}");
        }
        assert_eq!(renewals() - before, 1, "{name}");

        let late = format!("/v1/components/{name}/authorizers/{app}/token/report-invalid");
        let (status, body) = world.post(&late, json!({"generation": held["generation"]})).await;
        assert_eq!((status, &body["generation"]), (200, &answers[0].1["generation"]), "{name}");
        assert_eq!(renewals() - before, 1, "{name}: a late report renewed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_is_down_for_an_hour_gets_everything_afterwards_in_order() {
    let world = World::with(Setting::default()).await;
    let mut ordered = World::with(Setting {
        subscriptions: Some(format!(
            "[[subscriptions]]\nname = \"ordered\"\nurl = \"{}\"\nsecret = \"{}\"\nevents = [\"audit.*\"]\nordering = \"authorizer\"\n",
            world.handler.url(),
            crate::world::SECRET
        )),
        ..Setting::default()
    })
    .await;
    world.handler.fail("baidu", u32::MAX);
    let mut expected: HashMap<String, Vec<String>> = HashMap::new();
    for number in 0..24 {
        let merchant = format!("10000{}", number % 3);
        let version = format!("1.0.{number}");
        let verdict = if number % 2 == 0 { Verdict::Passed } else { Verdict::Failed(String::from("no")) };
        let (_, answered) = ordered.simulator.audit("baidu", &merchant, &version, &verdict).await.unwrap();
        assert!(answered.acknowledged);
        expected.entry(merchant).or_default().push(version);
    }
    for minute in 0..60 {
        // The handler's clock must follow: it refuses timestamps that are far off.
        ordered.advance(Duration::from_secs(60));
        world.advance(Duration::from_secs(60));
        if minute == 30 {
            ordered.restart().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.handler.received().iter().all(|received| received.status == 503));
    world.handler.fail("baidu", 0);
    let taken = || world.handler.received().into_iter().filter(|received| received.status < 300).collect::<Vec<_>>();
    world
        .until("everything delivered", async || {
            ordered.advance(Duration::from_secs(300));
            world.advance(Duration::from_secs(300));
            (taken().iter().map(|received| received.id.clone()).collect::<HashSet<_>>().len() >= 24).then_some(())
        })
        .await;
    let mut seen: HashMap<String, Vec<String>> = HashMap::new();
    let mut ids = HashSet::new();
    // At least once: a lease that passed while the clock flew may have sent one twice.
    for received in taken().into_iter().filter(|received| ids.insert(received.id.clone())) {
        let version = received.event["data"]["version"].as_str().unwrap().to_owned();
        seen.entry(received.event["subject"].as_str().unwrap().to_owned()).or_default().push(version);
    }
    // One that the flying clock made too old on its way was refused by its handler, and came again: what was taken was verified.
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_never_ends_its_answer_delays_nobody() {
    let endless = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", endless.local_addr().unwrap());
    let dripping = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = endless.accept().await {
            open.push(tokio::spawn(async move {
                use tokio::io::AsyncWriteExt;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                for _ in 0..600 {
                    if stream.write_all(b"1\r\nx\r\n").await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }));
        }
    });
    let extra = format!(
        "[[subscriptions]]\nname = \"endless\"\nurl = \"{url}\"\nsecret = \"{}\"\nevents = [\"*\"]\ntimeout = \"30s\"\n",
        crate::world::SECRET
    );
    let world = World::with(Setting { extra, ..Setting::default() }).await;
    let started = std::time::Instant::now();
    for number in 0..50 {
        world.simulator.audit("baidu", app_id("baidu"), &format!("2.0.{number}"), &Verdict::Passed).await.unwrap();
    }
    world.until("all fifty at the good handler", async || (world.handler.received().len() >= 50).then_some(())).await;
    assert!(started.elapsed() < Duration::from_secs(10), "took {:?}", started.elapsed());
    dripping.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_exchanged_from_the_redirect_too_and_the_two_do_not_fight() {
    let world = World::new().await;
    for platform in platform::ALL {
        let (name, app) = (platform.name(), app_id(platform.name()));
        world.simulator.ticket(name).await.unwrap();
        let (status, link) = world.post(&format!("/v1/components/{name}/authorizations"), json!({})).await;
        assert_eq!(status, 200, "{name}: {link}");
        assert!(link["qr_svg"].as_str().unwrap().contains("<svg"), "{name}");
        let back = way_back(link["url"].as_str().unwrap());
        let (query, _) = world.simulator.grant(name, app).await.unwrap();
        let separator = if back.contains('?') { '&' } else { '?' };
        let address = format!("{back}{separator}{query}");
        let page = world.client.get(&address).send().await.unwrap();
        let status = page.status();
        let text = page.text().await.unwrap();
        assert_eq!(status, 200, "{name}: {address} {text}");
        let address = format!("/v1/components/{name}/authorizers/{app}/token");
        let token = world
            .until("a token", async || {
                let (status, body) = world.get(&address).await;
                (status == 200).then_some(body)
            })
            .await;
        assert!(world.simulator.accepts(name, Some(app), token["access_token"].as_str().unwrap()).unwrap(), "{name}");
    }
}

/// Where the vendor's page would send the browser back to: the `redirect_uri` inside a link, with its `state` where the platform echoes one.
pub fn way_back(link: &str) -> String {
    let link = url::Url::parse(link).unwrap();
    let query: HashMap<String, String> = link.query_pairs().into_owned().collect();
    if let Some(redirect) = query.get("redirect_uri") {
        return match query.get("state") {
            Some(state) => url::Url::parse_with_params(redirect, [("state", state)]).unwrap().into(),
            None => redirect.clone(),
        };
    }
    let data: Value = serde_json::from_str(&query["bizData"]).unwrap();
    let inner = &data["agentOpParam"];
    url::Url::parse_with_params(inner["redirectUri"].as_str().unwrap(), [("state", inner["state"].as_str().unwrap())]).unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_reordering_late_retries_and_forgeries_change_nothing() {
    use yizhan::simulator::fault::PushFaults;
    let world = World::new().await;
    for platform in platform::ALL {
        let (name, app) = (platform.name(), app_id(platform.name()));
        if name == "kuaishou" {
            // The service asks for its first ticket by itself.
            let arrived = async || {
                world.get("/v1/events?component=kuaishou").await.1["items"].as_array().filter(|items| !items.is_empty()).map(|_| ())
            };
            world.until("the first ticket", arrived).await;
        }
        let before = world.simulator.counts(name).unwrap();
        let faults = PushFaults { duplicates: 3, reorder: 4, forged: true, ..PushFaults::default() };
        world.simulator.fail_pushes(name, faults).unwrap();
        for number in 0..8 {
            // The reason tells them apart: Douyin's results carry no version.
            let verdict = Verdict::Failed(format!("reason {number}"));
            world.simulator.audit(name, app, &format!("3.0.{number}"), &verdict).await.unwrap();
        }
        let (_, list) = world.get(&format!("/v1/events?component={name}&type=audit.*")).await;
        assert_eq!(list["items"].as_array().unwrap().len(), 8, "{name}");
        let counts = world.simulator.counts(name).unwrap();
        assert_eq!((counts.acknowledged - before.acknowledged, counts.refused, counts.forged), (32, 8, 8), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_push_is_opened_again_once_the_key_is_mended() {
    let token = "SyntheticToken2024";
    let body = fixture("journeys/real_vectors.json")["baidu_synthetic"]["envelope"].to_string();
    let component = |key: &str| {
        format!(
            "[[components]]\nname = \"mended\"\nplatform = \"baidu\"\ntp_id = \"17328232\"\nclient_id = \"cccccccccccccccccccccccccccccccc\"\n\
             token = \"{token}\"\nencoding_aes_key = \"{key}\"\n"
        )
    };
    let wrong = base64::engine::general_purpose::STANDARD_NO_PAD.encode([9u8; 32]);
    let mut world = World::with(Setting { extra: component(&wrong), ..Setting::default() }).await;
    let response = world.client.post(format!("{}/callback/mended/message", world.base)).body(body).send().await.unwrap();
    assert_eq!(response.status(), 401);
    let rejected = world
        .until("kept among the rejected", async || {
            let (_, list) = world.get("/v1/rejected?component=mended").await;
            list["items"].as_array().filter(|items| !items.is_empty()).map(|items| items[0].clone())
        })
        .await;
    assert_eq!(rejected["reason"], "undecipherable");
    let (_, again) = world.post("/v1/rejected/reprocess", json!({"component": "mended"})).await;
    assert_eq!(again, json!({"accepted": 0, "still_refused": 1}));

    world.mend(&component(&wrong), &component("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")).await;
    let (_, again) = world.post("/v1/rejected/reprocess", json!({"component": "mended"})).await;
    assert_eq!(again, json!({"accepted": 1, "still_refused": 0}));
    let (_, list) = world.get("/v1/events?component=mended").await;
    assert_eq!(list["items"][0]["type"], "audit.failed");
    let (_, list) = world.get("/v1/rejected?component=mended").await;
    assert_eq!(list["items"], json!([]));
}
