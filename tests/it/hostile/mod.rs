//! Strangers at the door: what they may try over the network against the running service, and what must hold whatever they do.
//!
//! What is tested elsewhere is not repeated here: forged, flipped and cut pushes in `every_platform::forgery`, broken HTTP in
//! `http::callbacks`, spellings of private addresses in `outbound::guard`, redirects in `outbound::webhooks`, crashes in `process`.
//! `SECURITY.md` says which test stands for which promise, `docs/hostile-input.md` what was found.

mod breath;
mod comparisons;
mod crowds;
mod guesses;
pub mod lines;
mod names;
mod paths;
mod repeats;
mod secrets;
mod slow;
mod stripped;
mod visits;
mod words;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::world::World;

/// A connection of one's own.
async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.base.strip_prefix("http://").unwrap()).await.unwrap()
}

/// A connection whose other end seems far away: on the loopback address the system takes all of an answer at once, however little the other end reads.
async fn connect_from_afar(world: &World) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket2::SockRef::from(&socket).set_tcp_mss(536).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(world.base.strip_prefix("http://").unwrap().parse().unwrap()).await.unwrap()
}

/// Everything that comes until the service closes the connection. Fails when it does not within 20 s.
async fn until_closed(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut answer)).await;
    // A reset is an end too.
    let _ = read.expect("the service does not close the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The answer to these bytes, sent at once on a connection of their own that asks to be closed.
async fn raw(world: &World, request: &[u8]) -> String {
    let mut connection = connect(world).await;
    connection.write_all(request).await.unwrap();
    until_closed(&mut connection).await
}

/// The status of an answer; 0 where there was none.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Every test that the two documents name exists: `room`, `room::part` or `room::part::test`.
#[test]
fn the_tests_that_the_documents_name_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for document in ["SECURITY.md", "docs/hostile-input.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let words = text.split('`').skip(1).step_by(2);
        for name in words.filter(|word| word.contains("::") && word.chars().all(|c| c.is_ascii_lowercase() || "_:0123456789".contains(c))) {
            let parts: Vec<&str> = name.split("::").collect();
            let file = |parts: &[&str]| {
                let path = root.join("tests/it").join(parts.join("/"));
                [path.with_extension("rs"), path.join("mod.rs")].iter().find_map(|path| std::fs::read_to_string(path).ok())
            };
            let (last, before) = parts.split_last().unwrap();
            let is_test = file(before).is_some_and(|text| {
                text.contains(&format!("fn {last}(")) || (parts[0] == "fuzz" && text.lines().any(|line| line.trim() == format!("{last},")))
            });
            assert!(is_test || file(&parts).is_some(), "{document} names `{name}`, which does not exist");
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}
