//! Senders that take their time: every wait for them has an end, and nobody else waits meanwhile.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use super::{connect, status, until_closed};
use crate::world::{KEY, Setting, World};

/// What `client_timeout` is in these worlds, and how much later the end may come on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(2);
const AT_MOST: Duration = Duration::from_secs(15);

async fn impatient() -> World {
    World::with(Setting { server: String::from("client_timeout = \"2s\""), ..Setting::default() }).await
}

/// Sends these bytes at once, then one byte every 100 ms until nobody listens any more; the answer, and how long it took.
async fn drip(world: &World, at_once: &str, byte: &'static [u8]) -> (String, Duration) {
    let began = Instant::now();
    let connection = connect(world).await;
    let (mut reading, mut writing) = connection.into_split();
    writing.write_all(at_once.as_bytes()).await.unwrap();
    let dripping = tokio::spawn(async move {
        while writing.write_all(byte).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(30), read).await.unwrap_or_else(|_| panic!("the service never gives up: {at_once:?}"));
    dripping.abort();
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_is_cut_off() {
    let world = impatient().await;
    for begun in ["", "P", "POST /callback/douyin/message HTTP/1.1\r\n", "POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let (answer, took) = drip(&world, begun, b"a").await;
        assert!([0, 400, 408].contains(&status(&answer)), "{begun:?}: {answer}");
        assert!((TIMEOUT / 2..AT_MOST).contains(&took), "{begun:?}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_behind_another_request_that_drips_is_cut_off() {
    let world = impatient().await;
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx";
    for (begun, byte) in [(format!("{get}G"), b"E"), (format!("{post}{get}GET / HTTP/1.1\r\nX-Slow: "), b"a"), (get.to_owned(), b"\n")] {
        let (answer, took) = drip(&world, &begun, byte).await;
        assert!(answer.starts_with("HTTP/1.1 "), "{begun:?}: {answer}");
        assert!((TIMEOUT / 2..AT_MOST).contains(&took), "{begun:?}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed() {
    let world = impatient().await;
    let began = Instant::now();
    let answer = until_closed(&mut connect(&world).await).await;
    assert!([0, 408].contains(&status(&answer)), "{answer}");
    assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_not_waited_for() {
    let world = impatient().await;
    world.granted("douyin", "tt0123456789abcdef").await;
    let calls = world.simulator.journal().len();
    let of_merchant = "/v1/components/douyin/authorizers/tt0123456789abcdef";
    let addresses = [
        (String::from("/callback/douyin/message"), "Content-Length: 1000"),
        (String::from("/callback/alipay/message"), "Transfer-Encoding: chunked"),
        (String::from("/nowhere"), "Transfer-Encoding: chunked"),
        (String::from("/v1/replays"), "Content-Length: 1000"),
        (String::from("/v1/replays"), "Transfer-Encoding: chunked"),
        (format!("{of_merchant}/operations/package.upload"), "Content-Length: 1000"),
        (format!("{of_merchant}/proxy/api/apps/v1/slow/"), "Content-Length: 1000"),
    ];
    let each = addresses.iter().map(async |(path, length)| {
        let keyed = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json");
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{keyed}\r\n{length}\r\n\r\n");
        // A chunk of one byte at a time; as part of a body of known length it is six bytes like any other.
        let byte: &[u8] = if length.starts_with('T') { b"1\r\nx\r\n" } else { b" " };
        let (answer, took) = drip(&world, &head, byte).await;
        assert!([0, 400, 404, 408].contains(&status(&answer)) && !answer.contains("success"), "{path}: {answer}");
        assert!(took < AT_MOST, "{path}: {took:?}");
    });
    futures_util::future::join_all(each).await;
    assert_eq!(world.simulator.journal().len(), calls, "half a call reached the vendor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_ends_with_its_connection() {
    let world = impatient().await;
    for path in ["/callback/douyin/message", "/nowhere"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536)).leak().as_bytes();
        let (answer, took) = drip(&world, &head, chunk).await;
        assert!([0, 404, 408, 413].contains(&status(&answer)) && !answer.contains("success"), "{path}: {answer}");
        assert!(took < AT_MOST, "{path}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_that_was_read_leaves_its_connection_open() {
    let world = World::new().await;
    let mut connection = connect(&world).await;
    for close in ["", "Connection: close\r\n"] {
        let request =
            format!("POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\n{close}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
    }
    let both = until_closed(&mut connection).await;
    assert_eq!(both.matches("HTTP/1.1 400 ").count() + both.matches("HTTP/1.1 401 ").count(), 2, "{both}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_are_served_while_two_hundred_senders_drip() {
    let world = impatient().await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut connection = connect(&world).await;
        connection.write_all(b"POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{").await.unwrap();
        slow.push(connection);
    }
    let began = Instant::now();
    for platform in yizhan::platform::ALL.iter().map(|platform| platform.name()) {
        world.simulator.audit(platform, "tt0123456789abcdef", "1.0.0", &yizhan::platform::twin::Verdict::Passed).await.unwrap();
        assert!(world.simulator.counts(platform).unwrap().acknowledged >= 1, "{platform}");
    }
    assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
    for mut connection in slow {
        assert!([0, 408].contains(&status(&until_closed(&mut connection).await)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_nothing_holds_up_nobody() {
    let world = World::new().await;
    let mut deaf = Vec::new();
    for _ in 0..50 {
        let mut connection = connect(&world).await;
        for _ in 0..20 {
            // Pipelined, and the answers are never read.
            connection.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        }
        deaf.push(connection);
    }
    let began = Instant::now();
    assert_eq!(world.get("/v1/components").await.0, 200);
    world.simulator.audit("baidu", "tt0123456789abcdef", "1.0.0", &yizhan::platform::twin::Verdict::Passed).await.unwrap();
    assert!(world.simulator.counts("baidu").unwrap().acknowledged >= 1);
    assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
}
