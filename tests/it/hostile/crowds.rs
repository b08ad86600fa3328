//! Many at once, and much at once: connections, headers and forms without measure cost a bounded amount.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use super::{connect, raw, status};
use crate::world::{Setting, World};

/// File descriptors of this process at most: both ends of every connection are in it.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    line.split_whitespace().nth(3).and_then(|word| word.parse().ok()).unwrap_or(1024)
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_are_served_while_thousands_of_connections_are_idle() {
    let world = World::new().await;
    let many = (descriptors().saturating_sub(200) / 2).min(4_000);
    assert!(many >= 300, "the limit of open files is too low for this test");
    let mut idle = Vec::with_capacity(many);
    for number in 0..many {
        let mut connection = connect(&world).await;
        if number % 2 == 0 {
            // Half of them have begun to say something.
            connection.write_all(b"GET /healthz HTTP/1.1\r\nHost:").await.unwrap();
        }
        idle.push(connection);
    }
    let began = Instant::now();
    world.simulator.audit("douyin", "tt0123456789abcdef", "1.0.0", &yizhan::platform::twin::Verdict::Passed).await.unwrap();
    assert!(world.simulator.counts("douyin").unwrap().acknowledged >= 1);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?} beside {many} idle connections", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_every_connection_loses_them_again() {
    let server = String::from("client_timeout = \"1s\"\nmax_connections = 40");
    let world = World::with(Setting { server, ..Setting::default() }).await;
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(connect(&world).await);
    }
    let began = Instant::now();
    world.simulator.audit("baidu", "tt0123456789abcdef", "1.0.0", &yizhan::platform::twin::Verdict::Passed).await.unwrap();
    let served = async || (world.simulator.counts("baidu").unwrap().acknowledged >= 1).then_some(());
    if served().await.is_none() {
        // The vendor gave up before the idle ones had gone: its next try comes through.
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.simulator.audit("baidu", "tt0123456789abcdef", "1.0.1", &yizhan::platform::twin::Verdict::Passed).await.unwrap();
    }
    world.until("the push is acknowledged", served).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_without_measure_are_refused() {
    let world = World::new().await;
    let post = "POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n";
    for (what, request) in [
        ("one long header", format!("{post}X-Long: {}\r\n\r\n", "a".repeat(1_000_000))),
        ("a long name", format!("{post}{}: a\r\n\r\n", "X".repeat(1_000_000))),
        ("a long address", format!("POST /callback/douyin/{} HTTP/1.1\r\n\r\n", "a".repeat(1_000_000))),
        ("a long query", format!("POST /callback/douyin/message?{} HTTP/1.1\r\n\r\n", "a=b&".repeat(250_000))),
        ("a long method", format!("{} / HTTP/1.1\r\n\r\n", "A".repeat(1_000_000))),
        ("many headers", format!("{post}{}\r\n", "A: b\r\n".repeat(100_000))),
    ] {
        let mut connection = connect(&world).await;
        let (mut reading, mut writing) = connection.split();
        // It may be closed while we still write.
        let write = writing.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answer);
        let both = async { tokio::join!(write, read) };
        let _ = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap_or_else(|_| panic!("{what}: neither answered nor closed"));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!([0, 400, 404, 405, 414, 431].contains(&status(&answer)) && !answer.contains("success"), "{what}: {answer:.200}");
    }
    assert_eq!(world.get("/v1/components").await.0, 200);
}

/// Before its signature is looked at, a form is taken apart: that must not cost more than its length allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_sixty_thousand_fields_is_refused_at_once() {
    let world = World::new().await;
    let mut body = String::from("sign=AA&sign_type=RSA2");
    let mut number = 0;
    while body.len() < world.app().config.server.max_push_bytes - 8 {
        body.push_str(&format!("&{number:x}="));
        number += 1;
    }
    let began = Instant::now();
    for door in ["message", "authorization"] {
        let head =
            format!("POST /callback/alipay/{door} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = raw(&world, format!("{head}{body}").as_bytes()).await;
        assert_eq!(status(&answer), 401, "{answer}");
    }
    // Comparing each name with each took more than a minute in this build.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?} for {number} fields", began.elapsed());
}
