//! Calls passed through: both bodies piece by piece, over real sockets.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use yizhan::outbound::relay::{Load, Passing, Relay, one_piece, whole};
use yizhan::outbound::{HttpVendors, SendError};
use yizhan::platform::Value;
use yizhan::secret::Secret;

use super::receiver::{Manner, Receiver};

fn passing(url: String, load: Load) -> Passing {
    let headers = vec![(String::from("content-type"), Value::from("application/json"))];
    Passing {
        method: String::from("PUT"),
        url,
        query: vec![(String::from("access_token"), Value::from(Secret::new("t&k")))],
        headers,
        load,
    }
}

#[tokio::test]
async fn a_streamed_body_goes_out_and_the_answer_comes_back() {
    let mut vendor = Receiver::start(Manner::headed(299, "X-Trace: 1\r\n", "{\"ok\":1}")).await;
    let pieces = stream::iter(["{\"a\":", "1}"].map(|piece| Ok(Bytes::from_static(piece.as_bytes()))));
    let load = Load::Streamed { length: Some(7), pieces: Box::pin(pieces) };
    let passed = HttpVendors::new().unwrap().pass(passing(vendor.url("/rest/x"), load)).await.unwrap();
    assert_eq!((passed.status, passed.header("x-trace")), (299, Some("1")));
    let answer: Vec<u8> = passed.pieces.map(|piece| piece.unwrap().to_vec()).concat().await;
    assert_eq!(answer, b"{\"ok\":1}");
    let seen = vendor.next().await;
    assert_eq!(seen.line, "PUT /rest/x?access_token=t%26k HTTP/1.1");
    assert_eq!((seen.body.as_ref(), seen.header("content-type")), (b"{\"a\":1}".as_slice(), Some("application/json")));
    assert_eq!(seen.header("content-length"), Some("7"));
}

#[tokio::test]
async fn nobody_there_is_not_sent_and_shows_no_token() {
    let error =
        HttpVendors::new().unwrap().pass(passing(String::from("http://127.0.0.1:1/x"), Load::Whole(Bytes::new()))).await.err().unwrap();
    assert!(matches!(&error, SendError::NotSent { target, .. } if target == "127.0.0.1:1/x"), "{error:?}");
    assert!(!error.to_string().contains("t&k") && !error.to_string().contains("t%26k"));
}

#[tokio::test]
async fn what_was_read_ahead_is_put_back() {
    assert_eq!(whole(one_piece(Bytes::from_static(b"short")), 5).await.ok().unwrap(), "short");
    let pieces = stream::iter(["abc", "def", "ghi"].map(|piece| Ok(Bytes::from_static(piece.as_bytes()))));
    let Err(pieces) = whole(Box::pin(pieces), 4).await else { panic!("it is longer") };
    let all: Vec<u8> = pieces.map(|piece| piece.unwrap().to_vec()).concat().await;
    assert_eq!(all, b"abcdefghi");
    let broken = stream::iter([Ok(Bytes::from_static(b"abc")), Err(std::io::Error::other("reset"))]);
    let Err(pieces) = whole(Box::pin(broken), 100).await else { panic!("it is broken") };
    assert_eq!(pieces.map(|piece| piece.is_ok()).collect::<Vec<_>>().await, [true, false]);
}
