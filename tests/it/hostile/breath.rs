//! Many requests in one breath: each is answered, one after the other, and those that must wait cost no more than the bytes that they are.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::{connect, connect_from_afar, raw, status, until_closed};
use crate::world::World;

/// The statuses of all answers in hundreds.
fn statuses(answers: &str) -> Vec<u16> {
    answers.match_indices("HTTP/1.1 ").map(|(at, _)| status(&answers[at..]) / 100).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_one_breath_are_answered_one_after_the_other() {
    let world = World::new().await;
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    // A body is no head, whatever stands in it.
    let body = format!("{get}\r\n\r\n{get}");
    let post = format!("POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let in_chunks = format!(
        "POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0A;word=\"x\"\r\n0123456789\r\n",
        body.len()
    );
    let in_chunks = [format!("{in_chunks}0\r\n\r\n"), format!("{in_chunks}000\r\nTrailer: a\r\nOther: b\r\n\r\n")].concat();
    let bare_lines = "GET /healthz HTTP/1.1\nHost: x\n\n";
    let empty = "POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    for (what, breath, expected) in [
        ("heads", format!("{}{last}", get.repeat(30)), vec![2; 31]),
        ("lines between heads", format!("{get}\r\n\r\n{get}\n{last}"), vec![2; 3]),
        ("bare lines", format!("{bare_lines}{bare_lines}{last}"), vec![2; 3]),
        ("bodies", format!("{get}{post}{get}{empty}{post}{last}"), vec![2, 4, 2, 4, 4, 2]),
        ("chunks", format!("{get}{in_chunks}{get}{in_chunks}{post}{last}"), vec![2, 4, 4, 2, 4, 4, 4, 2]),
    ] {
        for portion in [breath.len(), 1, 7, 50, 200] {
            let mut connection = connect(&world).await;
            connection.set_nodelay(true).unwrap();
            let (mut reading, mut writing) = connection.split();
            let write = async {
                for part in breath.as_bytes().chunks(portion) {
                    writing.write_all(part).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let mut answers = Vec::new();
            let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answers);
            let both = async { tokio::join!(write, read) };
            let ((), read) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap_or_else(|_| panic!("{what} by {portion}"));
            read.unwrap();
            let answers = String::from_utf8_lossy(&answers);
            assert_eq!(statuses(&answers), expected, "{what} by {portion}");
            assert_eq!(answers.matches("connection: close").count(), 1, "{what} by {portion}");
        }
    }
    let mut connection = connect(&world).await;
    connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n").await.unwrap();
    assert_eq!(statuses(&until_closed(&mut connection).await), [2, 4]);
}

/// A body that comes together with its head is handed on with it. What is no announcement, or one that can be read in two ways, lets nothing past.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_come_with_their_heads_end_where_they_were_announced_to() {
    let world = World::new().await;
    let last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (announcement, body, expected) in [
        ("Content-Length: 5", "GET /", vec![4, 2]),
        ("content-length:5", "\r\n\r\n\n", vec![4, 2]),
        ("CONTENT-LENGTH:\t 5 ", "12345", vec![4, 2]),
        ("Content-Length: 5\r\nTransfer-Encodin: chunked", "12345", vec![4, 2]),
        ("Content-Length: 0", "", vec![4, 2]),
        ("X-Content-Length: 5\r\nContent-Lengt: 5\r\nContent-Length-: 5\r\nCookie: Content-Length: 5", "", vec![4, 2]),
        ("Transfer-Encoding: chunked", "5\r\n12345\r\n0\r\n\r\n", vec![4, 2]),
        ("Content-Length: +5", "12345", vec![4]),
        ("Content-Length: 5, 5", "12345", vec![4]),
        ("Content-Length: -5", "", vec![4]),
        ("Content-Length: 99999999999999999999", "12345", vec![4]),
        ("Content-Length : 5", "12345", vec![4]),
        (" Content-Length: 5", "12345", vec![4]),
        ("X: y\r\n Content-Length: 5", "12345", vec![4]),
        ("Content-Length: 5\r\nContent-Length: 5", "12345", vec![4]),
        ("Content-Length: 5\r\ncontent-length: 0", "12345", vec![4]),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n", vec![4]),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n", vec![4]),
        ("Transfer-Encoding: identity\r\nContent-Length: 5", "12345", vec![4]),
    ] {
        let request = format!("POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\n{announcement}\r\n\r\n{body}{last}");
        assert_eq!(statuses(&raw(&world, request.as_bytes()).await), expected, "{announcement}");
        // One byte of it comes later.
        let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n{request}");
        let before_last = request.len() - last.len();
        let mut connection = connect(&world).await;
        for part in [&request[..before_last.saturating_sub(1)], &request[before_last.saturating_sub(1)..]] {
            // The other end may have closed.
            let _ = connection.write_all(part.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let answers = [&[2], expected.as_slice()].concat();
        assert_eq!(statuses(&until_closed(&mut connection).await), answers, "{announcement}, cut");
    }
}

/// Memory of this process in KB, and its processor's time so far in hundredths of a second.
fn spent() -> (usize, usize) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap();
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<usize>().ok()).unwrap();
    let status = read("status");
    let memory = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let stat = read("stat");
    let mut times = stat.rsplit(") ").next().unwrap().split(' ').skip(11);
    (number(memory.split_whitespace().nth(1)), number(times.next()) + number(times.next()))
}

/// Requests of eighteen bytes that wait behind answers which nobody reads: as objects they were hundreds of times as large, and kept a core busy.
#[tokio::test(flavor = "multi_thread")]
async fn short_requests_behind_answers_that_nobody_reads_take_little_memory_and_no_time() {
    let world = World::new().await;
    let chunked = "POST /callback/douyin/message HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let breath =
        format!("{}{}", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(4_000), "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(15_000));
    let (before, _) = spent();
    let mut crowd = Vec::new();
    for number in 0..40 {
        let mut connection = connect_from_afar(&world).await;
        if number % 2 == 0 {
            connection.write_all(chunked.as_bytes()).await.unwrap();
        }
        // What the other end does not read in time stays here.
        let _ = tokio::time::timeout(Duration::from_millis(50), connection.write_all(breath.as_bytes())).await;
        crowd.push(connection);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (held, rested) = spent();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (_, worked) = spent();
    assert!(held.saturating_sub(before) < 60_000, "{} KB are held for forty connections", held - before);
    assert!(worked - rested < 100, "{} hundredths of a second of the processor in two seconds of rest", worked - rested);
    drop(crowd);
    assert_eq!(world.get("/v1/components").await.0, 200);
}
