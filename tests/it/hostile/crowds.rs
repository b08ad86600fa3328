//! Many at once, and much at once: connections, headers and forms without measure cost a bounded amount.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use yizhan::envelope::digest;
use yizhan::platform::twin::Verdict;

use super::{connect, connect_from_afar, raw, status, until_closed};
use crate::world::{KEY, Setting, World};

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
    world.simulator.audit("douyin", "tt0123456789abcdef", "1.0.0", &Verdict::Passed).await.unwrap();
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
    world.simulator.audit("baidu", "tt0123456789abcdef", "1.0.0", &Verdict::Passed).await.unwrap();
    let served = async || (world.simulator.counts("baidu").unwrap().acknowledged >= 1).then_some(());
    if served().await.is_none() {
        // The vendor gave up before the idle ones had gone: its next try comes through.
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.simulator.audit("baidu", "tt0123456789abcdef", "1.0.1", &Verdict::Passed).await.unwrap();
    }
    world.until("the push is acknowledged", served).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

/// Whoever asks for something now and then on as many connections as there are keeps nobody out: once most of them are taken, each is closed after its
/// answer.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_keeps_every_connection_busy_now_and_then_keeps_nobody_out() {
    let server = String::from("max_connections = 40");
    let world = World::with(Setting { server, ..Setting::default() }).await;
    let mut kept = Vec::new();
    for _ in 0..60 {
        let mut connection = connect(&world).await;
        let (mut answer, asked) = ([0; 1024], b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n");
        connection.write_all(asked).await.unwrap();
        let read = tokio::time::timeout(Duration::from_secs(20), connection.read(&mut answer)).await.expect("an answer").unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        let is_closed = answer.contains("connection: close");
        kept.push((connection, is_closed));
    }
    let closed = kept.iter().filter(|(_, is_closed)| *is_closed).count();
    assert!((29..=32).contains(&(60 - closed)), "{closed} of sixty are closed");
    world.simulator.audit("baidu", "tt0123456789abcdef", "1.0.0", &Verdict::Passed).await.unwrap();
    assert_eq!(world.simulator.counts("baidu").unwrap().acknowledged, 1);
}

/// Whoever begins a request and stops, on as many connections as there are and again when one is closed, has two seconds for it where others wait.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_begins_and_stops_on_every_connection_gives_way() {
    let server = String::from("max_connections = 40\nclient_timeout = \"60s\"");
    let world = World::with(Setting { server, ..Setting::default() }).await;
    // A caller's stream, older than any of them.
    world.granted("douyin", "tt0123456789abcdef").await;
    let mut stream = world.client.get(format!("{}/v1/events/stream", world.base)).bearer_auth(KEY).send().await.unwrap();
    let address = world.base.strip_prefix("http://").unwrap().to_owned();
    let crowd: Vec<_> = (0..60)
        .map(|number| {
            let address = address.clone();
            tokio::spawn(async move {
                loop {
                    let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
                    let begun = [
                        "GET /healthz HTTP/1.1\r\nHost:",
                        "POST /callback/douyin/message HTTP/1.1\r\nHost: h\r\nContent-Length: 90\r\n\r\nx",
                    ];
                    drop(connection.write_all(begun[number % 2].as_bytes()).await);
                    drop(connection.read(&mut [0; 64]).await);
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    for mark in ["first", "second", "third"] {
        let (began, verdict) = (Instant::now(), Verdict::Failed(mark.to_owned()));
        world.simulator.audit("douyin", "tt0123456789abcdef", "1.0.0", &verdict).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    }
    assert!(world.simulator.counts("douyin").unwrap().acknowledged >= 3);
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
    let mut told = String::new();
    while !told.contains("third") {
        let piece = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await.expect("the stream goes on").unwrap().unwrap();
        told.push_str(&String::from_utf8_lossy(&piece));
    }
}

/// Large bodies that stop before their end: together they may not take more memory than there is room for, and what is small needs none of it.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_that_never_end_take_no_more_memory_than_there_is_room_for() {
    let server = String::from("client_timeout = \"8s\"");
    let world = World::with(Setting { server, ..Setting::default() }).await;
    let mut connections = Vec::new();
    for _ in 0..320 {
        connections.push(connect(&world).await);
    }
    let senders = connections.into_iter().map(|mut connection| async move {
        let head = "POST /callback/douyin/authorization HTTP/1.1\r\nHost: here\r\nContent-Length: 262144\r\n\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&vec![b'x'; 262_000]).await.unwrap();
        let mut answer = vec![0; 512];
        let read = connection.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned()
    });
    let senders = tokio::spawn(futures_util::future::join_all(senders));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    world.simulator.audit("douyin", "tt0123456789abcdef", "1.0.0", &Verdict::Passed).await.unwrap();
    assert_eq!(world.simulator.counts("douyin").unwrap().acknowledged, 1, "a push of the usual size");
    let answers = senders.await.unwrap();
    let of = |status: &str| answers.iter().filter(|answer| answer.contains(status)).count();
    // There is room for 64 MiB, and each may have 16 KiB without.
    assert_eq!(of(" 503 ") + of(" 408 "), 320, "{answers:?}");
    assert!((200..300).contains(&of(" 408 ")), "{} waited for their end", of(" 408 "));
    let large = Verdict::Failed("x".repeat(20_000));
    world.simulator.audit("douyin", "tt0123456789abcdef", "1.0.1", &large).await.unwrap();
    assert_eq!(world.simulator.counts("douyin").unwrap().acknowledged, 2, "there is room again");
}

/// Heads that never end are in the same room; while there is none for them, their connections end.
#[tokio::test(flavor = "multi_thread")]
async fn long_heads_take_no_more_memory_than_there_is_room_for() {
    let server = String::from("client_timeout = \"6s\"");
    let world = World::with(Setting { server, ..Setting::default() }).await;
    let long = |bytes: usize| format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}", "a".repeat(bytes));
    let answer = async |bytes: usize| {
        let mut connection = connect(&world).await;
        connection.write_all(long(bytes).as_bytes()).await.unwrap();
        let _ = connection.write_all(b"\r\n\r\n").await;
        let mut answer = vec![0; 64];
        let read = connection.read(&mut answer).await.unwrap_or_default();
        status(&String::from_utf8_lossy(&answer[..read]))
    };
    assert_eq!((answer(10_000).await, answer(100_000).await, answer(200_000).await), (200, 200, 431));
    let mut bodies = Vec::new();
    for _ in 0..300 {
        let mut connection = connect(&world).await;
        let head = "POST /callback/douyin/authorization HTTP/1.1\r\nHost: here\r\nContent-Length: 262144\r\n\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        // One that there is no room for is answered and closed.
        let _ = connection.write_all(&vec![b'x'; 262_000]).await;
        bodies.push(connection);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut heads = Vec::new();
    for _ in 0..10 {
        let mut connection = connect(&world).await;
        connection.write_all(long(100_000).as_bytes()).await.unwrap();
        heads.push(connection);
    }
    let mut ended = 0;
    for connection in &mut heads {
        let read = tokio::time::timeout(Duration::from_millis(300), connection.read(&mut [0; 64])).await;
        ended += usize::from(matches!(read, Ok(Err(_) | Ok(0))));
    }
    // A little is left for a few of them.
    assert!(ended >= 6, "{ended} of ten ended");
    assert_eq!(answer(10_000).await, 200, "a head of the usual size");
    drop(bodies);
    world.until("there is room again", async || (answer(100_000).await == 200).then_some(())).await;
}

/// A world of twenty connections, with keys for Douyin's events and tokens, each named as its text says.
async fn small_world() -> World {
    let key = |name: &str| {
        let hash = hex::encode(digest::sha256(&[format!("yzk_{name}").as_bytes()]));
        format!("[[api_keys]]\nname = \"{name}\"\nhash = \"sha256:{hash}\"\nscopes = [\"events:read@douyin\", \"tokens:read@douyin\"]\n")
    };
    let server = String::from("max_connections = 20");
    World::with(Setting { server, extra: ["one", "two", "three"].map(key).concat(), ..Setting::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_are_served_while_keys_open_as_many_streams_and_long_polls_as_they_like() {
    let world = small_world().await;
    let token = world.granted("douyin", "tt0123456789abcdef").await;
    let ask = async |key: &str, path: &str| {
        let request = world.client.get(format!("{}{path}", world.base)).bearer_auth(format!("yzk_{key}"));
        request.timeout(Duration::from_secs(60)).send().await.unwrap()
    };
    let stream = async |key: &str| ask(key, "/v1/events/stream").await;
    let of_merchant = "/v1/components/douyin/authorizers/tt0123456789abcdef/token";
    let poll = format!("{of_merchant}?after_generation={}&wait=60", token["generation"]);
    // Five for one key, ten in all, of twenty connections.
    let mut held = Vec::new();
    let mut polls = Vec::new();
    for _ in 0..4 {
        held.push(stream("one").await);
    }
    let request = world.client.get(format!("{}{poll}", world.base)).bearer_auth("yzk_one");
    polls.push(tokio::spawn(request.send()));
    world.until("the long poll takes the last place of its key", async || (stream("one").await.status() == 429).then_some(())).await;
    for path in ["/v1/events/stream", poll.as_str()] {
        let refused = ask("one", path).await;
        assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "10"), "{path}");
    }
    assert_eq!(ask("one", of_merchant).await.status(), 200, "what does not last is answered");
    for _ in 0..5 {
        held.push(stream("two").await);
    }
    assert!(held.iter().all(|answer| answer.status() == 200));
    for key in ["two", "three"] {
        assert_eq!(stream(key).await.status(), 429, "{key}");
    }
    let began = Instant::now();
    world.simulator.audit("douyin", "tt0123456789abcdef", "1.0.0", &Verdict::Passed).await.unwrap();
    assert!(world.simulator.counts("douyin").unwrap().acknowledged >= 1);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?} beside as many streams as may be", began.elapsed());

    // Whoever goes makes room: that is noticed with the next sign of life.
    polls.iter().for_each(tokio::task::JoinHandle::abort);
    held.clear();
    world
        .until("a place is free again", async || {
            world.advance(Duration::from_secs(16));
            (stream("three").await.status() == 200).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_and_never_reads_loses_the_connection() {
    let world = World::with(Setting { server: String::from("client_timeout = \"1s\""), ..Setting::default() }).await;
    let mut connection = connect_from_afar(&world).await;
    ask_without_end(&mut connection).await;
    let began = Instant::now();
    // Nothing is read: that it is closed shows when something is said.
    while !is_closed(&connection) {
        assert!(began.elapsed() < Duration::from_secs(60), "the connection is held for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
}

/// Sends requests for small answers, as many as the service reads while none is taken.
async fn ask_without_end(connection: &mut TcpStream) {
    let asked = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20_000);
    let _ = tokio::time::timeout(Duration::from_millis(50), connection.write_all(asked.as_bytes())).await;
}

/// Says a line end; whether nobody hears it any more.
fn is_closed(connection: &TcpStream) -> bool {
    connection.try_write(b"\r\n").is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
}

/// Whoever takes nothing of an answer, and goes on talking so that the system thinks it is alive, holds its connection as long as there are others.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_talks_and_never_reads_on_every_connection_gives_way() {
    let world = World::with(Setting { server: String::from("max_connections = 40"), ..Setting::default() }).await;
    let mut crowd = Vec::new();
    for _ in 0..60 {
        let mut connection = connect_from_afar(&world).await;
        ask_without_end(&mut connection).await;
        crowd.push(connection);
    }
    let talking = tokio::spawn(async move {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(8) {
            crowd.retain(|connection| !is_closed(connection));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        crowd.len()
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    let began = Instant::now();
    world.simulator.audit("baidu", "tt0123456789abcdef", "1.0.0", &Verdict::Passed).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(world.simulator.counts("baidu").unwrap().acknowledged, 1);
    let held = talking.await.unwrap();
    assert!((10..=32).contains(&held), "{held} of sixty hold their connection");
}

/// `/openapi.json` is large and needs no key: of those who ask for it and do not read it, few are given it at a time, and it is there for others once they
/// are gone.
#[tokio::test(flavor = "multi_thread")]
async fn few_are_given_a_large_answer_at_a_time() {
    let world = World::new().await;
    let (mut unread, mut refused) = (Vec::new(), 0);
    for _ in 0..80 {
        let mut connection = connect_from_afar(&world).await;
        connection.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut begun = [0; 12];
        connection.read_exact(&mut begun).await.unwrap();
        refused += usize::from(&begun == b"HTTP/1.1 503");
        unread.push(connection);
    }
    assert_eq!(refused, 80 - 64);
    let (status, problem) = world.get("/openapi.json").await;
    assert_eq!((status, problem["type"].as_str().map(|kind| kind.ends_with("unavailable"))), (503, Some(true)), "{problem}");
    drop(unread);
    world.until("the document is there again", async || (world.get("/openapi.json").await.0 == 200).then_some(())).await;
    // Whoever reads it gives it back at once.
    for _ in 0..130 {
        assert_eq!(world.get("/openapi.json").await.0, 200);
    }
}

/// The server library keeps the memory that a large request took for as long as its connection is open: 126 KB on each of three thousand were 0.4 GB.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_took_much_memory_is_closed_after_its_answer() {
    let world = World::new().await;
    let get = |more: &str| format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{more}\r\n");
    let keyed = |more: &str| format!("GET /v1/components HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n{more}\r\n");
    let push = |length: usize| {
        let head = format!("POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        format!("{head}{}", "x".repeat(length))
    };
    let in_chunks = |length: usize| {
        let head = "POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length))
    };
    let field = |length: usize| format!("X-Long: {}\r\n", "y".repeat(length));
    for (request, is_closed) in [
        (get(&field(10_000)), false),
        (get(&field(17_000)), true),
        (keyed(&field(10_000)), false),
        (keyed(&field(17_000)), true),
        (push(10_000), false),
        (push(17_000), true),
        (in_chunks(10_000), false),
        (in_chunks(17_000), true),
    ] {
        let mut connection = connect(&world).await;
        // After a small one, which leaves it open; and in two pieces, so that both count.
        connection.write_all(get("").as_bytes()).await.unwrap();
        let (first, second) = request.split_at(request.len() / 2);
        connection.write_all(first.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        connection.write_all(second.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let _ = connection.write_all(get("Connection: close\r\n").as_bytes()).await;
        let answers = until_closed(&mut connection).await;
        let (begin, length) = (request.lines().next().unwrap(), request.len());
        assert_eq!(answers.matches("HTTP/1.1 ").count(), if is_closed { 2 } else { 3 }, "{begin}, {length} bytes: {answers}");
        assert_eq!(answers.matches("connection: close").count(), 1, "{begin}, {length} bytes: {answers}");
    }
}

/// Large answers to callers come over one connection as often as they like, while there are few connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_was_given_a_large_answer_keeps_its_connection_while_there_are_few() {
    let server = String::from("max_connections = 40");
    let world = World::with(Setting { server, ..Setting::default() }).await;
    let ask = async |path: &str| {
        let mut connection = connect(&world).await;
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(connection.read_buf(&mut answer).await.unwrap() > 0, "{path} is not answered");
        }
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        (answer.contains("connection: close"), connection)
    };
    assert!(!ask("/v1/operations").await.0);
    let mut idle = Vec::new();
    for _ in 0..12 {
        idle.push(connect(&world).await);
    }
    // Until the service has taken all of them.
    world.until("a large answer ends its connection", async || ask("/v1/operations").await.0.then_some(())).await;
    assert!(!ask("/v1/components").await.0, "a small one does not");
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
