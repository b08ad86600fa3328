//! Posts to subscribers: guarded, bounded, over connections used again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use yizhan::outbound::guard::Forbidden;
use yizhan::outbound::webhooks::{Answer, Post, PostError};
use yizhan::outbound::{Guard, Webhooks};

use super::receiver::{Manner, Receiver};

fn open() -> Webhooks {
    Webhooks::new(Guard::allowing(&["127.0.0.0/8".parse().unwrap()])).unwrap()
}

async fn post(client: &Webhooks, url: &str, timeout: Duration) -> Result<Answer, PostError> {
    let headers = &[("webhook-id", Bytes::from_static(b"evt_1"))];
    let to = &client.destination(url)?;
    client.post(Post { to, content_type: "application/cloudevents+json", headers, body: Bytes::from_static(b"{}"), timeout }).await
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn every_status_is_an_answer_and_redirects_are_not_followed() {
    for status in [200, 204, 302, 307, 404, 410, 429, 500, 503] {
        let mut handler = Receiver::start(Manner::headed(status, "Location: /other\r\nRetry-After: 7\r\n", "")).await;
        let answer = post(&open(), &handler.url("/hook"), LONG).await.unwrap();
        assert_eq!((answer.status, answer.retry_after.as_deref()), (status, Some("7")));
        handler.next().await;
        assert!(handler.try_next().is_none());
    }
}

#[tokio::test]
async fn private_addresses_are_refused_before_and_after_resolving() {
    let mut handler = Receiver::start(Manner::status(200)).await;
    let port = handler.address.port();
    let closed = Webhooks::new(Guard::default()).unwrap();
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "localhost"] {
        let error = post(&closed, &format!("http://{host}:{port}/"), LONG).await.unwrap_err();
        assert!(matches!(error, PostError::Forbidden(Forbidden::Address { .. })), "{host}: {error:?}");
    }
    assert_eq!(handler.accepted(), 0);
    // The same name passes where the operator opened the range.
    assert_eq!(post(&open(), &format!("http://localhost:{port}/"), LONG).await.unwrap().status, 200);
    handler.next().await;
}

#[tokio::test]
async fn an_endless_body_is_dropped_and_its_status_counts() {
    let mut handler = Receiver::start(Manner::Endless("HTTP/1.1 200 OK\r\n\r\n")).await;
    let answer = post(&open(), &handler.url("/"), LONG).await.unwrap();
    assert_eq!((answer.status, answer.head.len()), (200, 16 * 1024));
    handler.closed().await;
}

#[tokio::test]
async fn dripping_and_hanging_end_at_the_deadline() {
    let manners = [
        (Manner::Dripping("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"), Some(200)),
        (Manner::Dripping("HTTP/1.1 200 OK\r\nX-Slow: "), None),
        (Manner::Hanging, None),
    ];
    for (manner, status) in manners {
        let mut handler = Receiver::start(manner).await;
        let begun = Instant::now();
        let timeout = Duration::from_millis(200);
        assert_eq!(post(&open(), &handler.url("/"), timeout).await, Err(PostError::TimedOut(timeout, status)));
        assert!(begun.elapsed() < Duration::from_secs(10));
        handler.closed().await;
    }
}

#[tokio::test]
async fn connections_are_used_again_and_a_broken_one_is_not() {
    let handler = Receiver::start(Manner::headed(200, "", "ok")).await;
    let client = open();
    for _ in 0..5 {
        post(&client, &handler.url("/"), LONG).await.unwrap();
    }
    assert_eq!(handler.accepted(), 1);
    let handler = Receiver::start(Manner::Closing).await;
    assert!(matches!(post(&client, &handler.url("/"), LONG).await, Err(PostError::Broken(_))));
    // The handler keeps the connection open and owes six bytes.
    let handler = Receiver::start(Manner::Answer(String::from("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"))).await;
    let answer = post(&client, &handler.url("/"), Duration::from_millis(300)).await;
    assert!(matches!(answer, Err(PostError::TimedOut(_, Some(200)))));
}

#[tokio::test]
async fn nobody_there_says_so_without_the_query() {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = post(&open(), &format!("http://{address}/?key=hush-hush"), LONG).await.unwrap_err();
    assert!(matches!(error, PostError::NoConnection(_)), "{error:?}");
    assert!(!error.to_string().contains("hush-hush"));
    assert!(matches!(post(&open(), "http://nowhere.invalid/", LONG).await, Err(PostError::NoConnection(_))));
}
