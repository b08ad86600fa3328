//! Names that change their mind between the check and the connection.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use yizhan::outbound::guard::Forbidden;
use yizhan::outbound::names::Lookup;
use yizhan::outbound::webhooks::{Post, PostError};
use yizhan::outbound::{Guard, Webhooks};

/// Answers the first question with the first list, the second with the second, and so on; the last for ever.
struct Fickle(Vec<Vec<IpAddr>>, AtomicUsize);

#[async_trait::async_trait]
impl Lookup for Fickle {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(name, "handler.example.com");
        let asked = self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0[asked.min(self.0.len() - 1)].clone())
    }
}

const OPEN: &str = "127.0.0.2";
const CLOSED: &str = "127.0.0.1";

/// Answers 204 to everybody who comes to that address, one request a connection; how many came.
async fn listen(address: &str, port: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((address, port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = connection.read(&mut [0; 4096]).await;
            let _ = connection.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        }
    });
    (port, came)
}

/// A client that may go to 127.0.0.2 and to no other private address, with that resolver; both addresses listen on one port.
async fn stage(answers: &[&[&str]]) -> (Webhooks, String, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (port, open) = listen(OPEN, 0).await;
    let (_, closed) = listen(CLOSED, port).await;
    let answers = answers.iter().map(|list| list.iter().map(|text| text.parse().unwrap()).collect()).collect();
    let guard = Guard::allowing(&[format!("{OPEN}/32").parse().unwrap()]);
    let client = Webhooks::looking_up(guard, Arc::new(Fickle(answers, AtomicUsize::new(0)))).unwrap();
    (client, format!("http://handler.example.com:{port}/hook"), open, closed)
}

async fn post(client: &Webhooks, url: &str) -> Result<u16, PostError> {
    let post = Post {
        to: &client.destination(url)?,
        content_type: "application/json",
        headers: &[],
        body: Bytes::from_static(b"{}"),
        timeout: Duration::from_secs(20),
    };
    client.post(post).await.map(|answer| answer.status)
}

#[tokio::test]
async fn a_name_that_turns_inwards_after_the_first_call_is_refused_at_the_second() {
    let (client, url, open, closed) = stage(&[&[OPEN], &[CLOSED]]).await;
    assert_eq!(post(&client, &url).await, Ok(204));
    let refused = post(&client, &url).await;
    assert!(matches!(refused, Err(PostError::Forbidden(Forbidden::Address { .. }))), "{refused:?}");
    assert_eq!((open.load(Ordering::SeqCst), closed.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn of_several_addresses_only_those_that_are_allowed_are_tried() {
    let (client, url, open, closed) = stage(&[&[CLOSED, "::1", OPEN, "169.254.169.254"]]).await;
    assert_eq!(post(&client, &url).await, Ok(204));
    assert_eq!((open.load(Ordering::SeqCst), closed.load(Ordering::SeqCst)), (1, 0));
}

/// The client connects to what was judged: it asks once for each connection, and never again in between.
#[tokio::test]
async fn what_was_judged_is_what_is_dialled() {
    let (client, url, open, closed) = stage(&[&[OPEN], &[OPEN], &[OPEN], &["::ffff:127.0.0.1"]]).await;
    for _ in 0..3 {
        assert_eq!(post(&client, &url).await, Ok(204));
    }
    assert!(post(&client, &url).await.is_err(), "mapped into IPv6 it is the same address");
    assert_eq!((open.load(Ordering::SeqCst), closed.load(Ordering::SeqCst)), (3, 0));
}
