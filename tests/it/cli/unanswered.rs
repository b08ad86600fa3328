//! Commands against a service that takes what is sent, and does not answer or not to the end.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use yizhan::cli::client::{Client, Query, Remote};
use yizhan::cli::stream::Live;
use yizhan::cli::terminal::Terminal;

use super::{Ran, command};

/// What becomes of a connection once its request was read.
struct Turn {
    said: String,
    is_held: bool,
}

/// That is said, and the connection is closed.
fn closed(said: impl Into<String>) -> Turn {
    Turn { said: said.into(), is_held: false }
}

/// That is said, and nothing else ever comes.
fn held(said: impl Into<String>) -> Turn {
    Turn { said: said.into(), is_held: true }
}

/// The first line of a request, which is read whole.
fn asked(connection: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return head.lines().next().unwrap().to_owned();
            }
        }
        let mut piece = [0; 4096];
        let length = connection.read(&mut piece).unwrap();
        assert!(length > 0, "the request broke off");
        read.extend_from_slice(&piece[..length]);
    }
}

/// What was asked, and what is held open.
type Served = (Vec<String>, Vec<TcpStream>);

/// A service for as many connections, with one request each.
fn service(turns: Vec<Turn>) -> (SocketAddr, JoinHandle<Served>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut lines, mut open) = (Vec::new(), Vec::new());
        for turn in turns {
            let mut connection = listener.accept().unwrap().0;
            lines.push(asked(&mut connection));
            connection.write_all(turn.said.as_bytes()).unwrap();
            open.extend(turn.is_held.then_some(connection));
        }
        (lines, open)
    });
    (address, serving)
}

#[derive(Parser)]
struct Asking {
    #[command(flatten)]
    remote: Remote,
}

fn client(address: SocketAddr) -> Client {
    Asking::parse_from(["asking", "--url", &format!("http://{address}"), "--key", "yzk_test"]).remote.client().unwrap()
}

/// Within which a stream must begin here.
const OPENING: Duration = Duration::from_secs(2);
/// Much longer than any of this takes.
const FOR_EVER: Duration = Duration::from_secs(60);
/// A refusal that ends early.
const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nlater";

#[tokio::test]
async fn a_stream_that_does_not_begin_is_given_up() {
    for turn in [held(""), held(REFUSAL)] {
        let (address, serving) = service(vec![turn]);
        let (client, terminal) = (client(address), Terminal::new(false));
        let opened = tokio::time::timeout(FOR_EVER, Live::open(&client, &terminal, Query::new(), None, OPENING));
        let error = opened.await.expect("it is waited for for ever").err().unwrap();
        assert_eq!(error.to_string(), format!("http://{address} did not answer in time: nothing came within 2 s"));
        assert_eq!(serving.join().unwrap().0, ["GET /v1/events/stream HTTP/1.1"]);
    }
}

#[tokio::test]
async fn a_stream_that_does_not_begin_when_it_is_taken_up_is_tried_again() {
    let event = |number: u32| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\nid: evt_{number}\ndata: {number}\n\n")
    };
    let (address, serving) = service(vec![closed(event(1)), held(""), closed(event(2))]);
    let (client, terminal) = (client(address), Terminal::new(false));
    let mut live = Live::open(&client, &terminal, Query::new(), None, OPENING).await.unwrap();
    for number in ["1", "2"] {
        let frame = tokio::time::timeout(FOR_EVER, live.next()).await.expect("it is waited for for ever").unwrap();
        assert_eq!(frame.data, number);
    }
    assert_eq!(serving.join().unwrap().0.len(), 3);
}

fn answer(length: usize, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn run(address: SocketAddr, arguments: &[&str]) -> Ran {
    let url = format!("http://{address}");
    command(Path::new("."), arguments).env("YIZHAN_URL", url).env("YIZHAN_API_KEY", "yzk_test").output().unwrap().into()
}

#[test]
fn what_was_sent_and_not_answered_may_have_been_carried_out() {
    let send: Value = json!({"items": [{"operation": "message.send", "token": "authorizer", "answers": "json", "parameters": {}}]});
    let rows = || {
        let rows = send.to_string();
        closed(answer(rows.len(), &rows))
    };
    let call = ["call", "douyin", "tt01", "message.send"];
    let with_key = [&call[..], &["--idempotency-key", "k1"]].concat();
    for end in ["", &answer(100, "{\"result")] {
        for (before, arguments, hint) in [
            (vec![rows()], &call[..], "hint: look whether it was carried out before you repeat it; what is sent with `--idempotency-key`"),
            (vec![rows()], &with_key, "hint: repeat it with the same `--idempotency-key`"),
            (Vec::new(), &["deliveries", "retry", "dlv_1"], "hint: look whether it was carried out before you repeat it\n"),
        ] {
            let (address, serving) = service(before.into_iter().chain([closed(end)]).collect());
            let ran = run(address, arguments);
            assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{arguments:?}");
            assert!(ran.err.contains(": it may have been carried out (") && ran.err.contains(hint), "{arguments:?} {}", ran.err);
            assert!(!ran.err.contains("cannot be reached"), "{arguments:?} {}", ran.err);
            assert!(serving.join().unwrap().0.last().unwrap().starts_with("POST "), "{arguments:?}");
        }
    }
}

#[test]
fn what_asks_only_or_was_not_sent_is_not_said_to_have_been_carried_out() {
    let (address, serving) = service(vec![closed("")]);
    let ran = run(address, &["token", "douyin"]);
    assert!(ran.code == 1 && ran.err.contains("cannot be reached") && !ran.err.contains("carried out"), "{}", ran.err);
    drop(serving.join().unwrap());
    let ran = run(address, &["deliveries", "retry", "dlv_1"]);
    assert!(ran.code == 1 && ran.err.contains("cannot be reached") && !ran.err.contains("carried out"), "{}", ran.err);
}
