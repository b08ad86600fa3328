//! Where platforms push to, and what they hear.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use yizhan::platform::push::Door;
use yizhan::platform::twin::Verdict;
use yizhan::{platform, simulator::fault::PushFaults};

use super::{get, items, send};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_push_is_refused_and_never_acknowledged() {
    let world = World::new().await;
    let forms = [
        "",
        "{}",
        "[]",
        "nonsense",
        "{\"Encrypt\":\"AAAA\",\"MsgSignature\":\"00\",\"Nonce\":\"1\",\"TimeStamp\":1}",
        "a=1&sign=xx",
        "<xml/>",
    ];
    for component in platform::ALL.iter().map(|platform| platform.name()) {
        for door in ["authorization", "message", "message/anything", "message/deeper/still"] {
            for form in forms {
                let answer = send(world.client.post(format!("{}/callback/{component}/{door}", world.base)).body(form)).await;
                assert!((400..=401).contains(&answer.status), "{component} {door} {form}: {} {}", answer.status, answer.text);
                assert!(!answer.text.contains("success"), "{component} {form}");
                assert!(form.is_empty() || !answer.text.contains(form) || form == "{}" || form == "[]", "the body is shown");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_unknown_is_not_found() {
    let world = World::new().await;
    for path in ["/callback/nobody/authorization", "/callback/nobody/message", "/callback/BAIDU/message", "/callback//message"] {
        for method in [Method::GET, Method::POST] {
            let answer = send(world.client.request(method, format!("{}{path}", world.base)).body("success")).await;
            assert_eq!(answer.status, 404, "{path}");
            assert!(!answer.text.contains("success"), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_over_the_limit_is_refused_and_remembered_without_its_body() {
    let world = World::new().await;
    let limit = world.app().config.server.max_push_bytes;
    for size in [limit + 1, 3 * limit] {
        let answer = send(world.client.post(format!("{}/callback/douyin/message", world.base)).body(vec![b'x'; size])).await;
        assert_eq!(answer.status, 413, "{size}");
        assert!(!answer.text.contains("success"));
    }
    let kept = world
        .until("the refusal is kept", async || {
            let list = items(&get(&world, "/v1/rejected?component=douyin").await);
            (list.len() == 2).then_some(list)
        })
        .await;
    assert!(kept.iter().all(|one| one["reason"] == "too-large" && one["id"].as_str().unwrap().starts_with("rej_")), "{kept:?}");
    let answer = send(world.client.post(format!("{}/callback/douyin/message", world.base)).body(vec![b'x'; limit])).await;
    assert!((400..=401).contains(&answer.status), "a body of the limit is read: {}", answer.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_push_shows_its_reason_and_never_its_body() {
    let world = World::new().await;
    let push = world
        .simulator
        .say("douyin", Door::Message, &json!({ "Event": "SOMETHING", "marker": "visible-marker" }).to_string())
        .await
        .unwrap()
        .0;
    world.simulator.forge("douyin", &push).await.unwrap();
    let answer = world.until("the refusal is kept", async || {
        let answer = get(&world, "/v1/rejected").await;
        (!items(&answer).is_empty()).then_some(answer)
    });
    let answer = answer.await;
    let one = &items(&answer)[0];
    assert_eq!((&one["component"], &one["reason"]), (&json!("douyin"), &json!("bad-signature")));
    let mut members: Vec<&String> = one.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["component", "detail", "id", "reason", "received_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platforms_own_acknowledgement_goes_back_as_it_is() {
    let world = World::new().await;
    for platform in platform::ALL {
        let name = platform.name();
        world.simulator.fail_pushes(name, PushFaults::default()).unwrap();
        world.simulator.audit(name, "tt0123456789abcdef", "1.0.0", &Verdict::Passed).await.unwrap();
        let counts = world.simulator.counts(name).unwrap();
        assert!(counts.acknowledged >= 1 && counts.refused == 0, "{name}: {counts:?}");
    }
}

/// What is answered to these bytes on a connection of their own, and how soon.
async fn raw(world: &World, bytes: &[u8]) -> (String, Duration) {
    let began = Instant::now();
    let mut connection = TcpStream::connect(world.base.strip_prefix("http://").unwrap()).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = tokio::time::timeout(Duration::from_secs(30), connection.read(&mut answer)).await.unwrap().unwrap();
    (String::from_utf8_lossy(&answer[..length]).into_owned(), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_announces_too_much_is_told_so_without_waiting_for_it() {
    let world = World::new().await;
    let head = "POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\nbegun";
    let (answer, took) = raw(&world, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(took < world.app().config.server.client_timeout, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_answered_and_harms_nobody() {
    let world = World::new().await;
    let many_headers = format!("GET /healthz HTTP/1.1\r\n{}\r\n", (0..500).map(|n| format!("x-{n}: y\r\n")).collect::<String>());
    let post = "POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\n";
    for (bytes, status) in [
        (String::from("NONSENSE\r\n\r\n"), "400"),
        (many_headers, "431"),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "400"),
        (format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400"),
        (format!("{post}Content-Length: -1\r\n\r\n"), "400"),
        (format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), "400"),
    ] {
        let (answer, _) = raw(&world, bytes.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && !answer.contains("success"), "{bytes:.80}: {answer}");
    }
    assert_eq!(get(&world, "/healthz").await.status, 200);
}
