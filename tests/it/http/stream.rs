//! The live stream.

use std::time::Duration;

use serde_json::Value;

use super::{failed_audit, get, items};
use crate::world::{KEY, World};

/// A reader of the stream.
struct Reader {
    response: reqwest::Response,
    text: String,
}

impl Reader {
    async fn open(world: &World, query: &str, last_event_id: Option<&str>) -> Self {
        let mut request = world.client.get(format!("{}/v1/events/stream{query}", world.base)).bearer_auth(KEY);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, "text/event-stream"));
        let mut reader = Self { response, text: String::new() };
        assert!(reader.message().await.unwrap().starts_with("retry: "));
        reader
    }

    /// The next message; `None` when the stream ended.
    async fn message(&mut self) -> Option<String> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let message = message.to_owned();
                self.text = rest.to_owned();
                return Some(message);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await.expect("a silent stream").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event: its id and itself.
    async fn event(&mut self) -> (String, Value) {
        loop {
            let message = self.message().await.expect("the stream ended");
            if let Some((id, data)) = message.split_once('\n')
                && let (Some(id), Some(data)) = (id.strip_prefix("id: "), data.strip_prefix("data: "))
            {
                return (id.to_owned(), serde_json::from_str(data).unwrap());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_as_they_are_stored_and_a_broken_stream_is_taken_up_again() {
    let world = World::new().await;
    failed_audit(&world, "douyin", "0.0.1").await;
    let mut reader = Reader::open(&world, "?component=douyin", None).await;
    failed_audit(&world, "douyin", "1.0.0").await;
    let (id, event) = reader.event().await;
    assert_eq!((event["id"].as_str(), event["data"]["reason"].as_str()), (Some(id.as_str()), Some("1.0.0")), "from now on");
    drop(reader);
    failed_audit(&world, "douyin", "1.0.1").await;
    failed_audit(&world, "douyin", "1.0.2").await;
    let mut reader = Reader::open(&world, "?component=douyin", Some(&id)).await;
    for version in ["1.0.1", "1.0.2"] {
        assert_eq!(reader.event().await.1["data"]["reason"], version);
    }
    failed_audit(&world, "douyin", "1.0.3").await;
    assert_eq!(reader.event().await.1["data"]["reason"], "1.0.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_what_is_streamed() {
    let world = World::new().await;
    let mut reader = Reader::open(&world, "?component=douyin&type=audit.*", None).await;
    failed_audit(&world, "baidu", "1.0.0").await;
    world.simulator.ticket("douyin").await.unwrap();
    failed_audit(&world, "douyin", "2.0.0").await;
    assert_eq!(reader.event().await.1["data"]["reason"], "2.0.0");
    assert_eq!(get(&world, "/v1/events/stream?q=x&limit=1").await.bad(), ["q", "limit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_last_event_starts_from_now_and_says_so() {
    let world = World::new().await;
    failed_audit(&world, "douyin", "0.0.1").await;
    for unknown in ["evt_0190c0de00007000800000000000000a", "nonsense", "evt_"] {
        let request = world.client.get(format!("{}/v1/events/stream", world.base)).bearer_auth(KEY).header("last-event-id", unknown);
        let mut response = request.send().await.unwrap();
        let first = String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
        assert!(first.contains(": the Last-Event-ID is not known here"), "{unknown}: {first}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_backlog_is_streamed_whole_and_in_order() {
    let world = World::new().await;
    failed_audit(&world, "douyin", "first").await;
    let first = items(&get(&world, "/v1/events?type=audit.*").await)[0]["id"].as_str().unwrap().to_owned();
    for number in 0..250 {
        failed_audit(&world, "douyin", &number.to_string()).await;
    }
    let mut reader = Reader::open(&world, "?type=audit.*", Some(&first)).await;
    for number in 0..250 {
        assert_eq!(reader.event().await.1["data"]["reason"], number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_gives_signs_of_life() {
    let world = World::new().await;
    let mut reader = Reader::open(&world, "?component=douyin", None).await;
    for _ in 0..2 {
        let beat = async {
            loop {
                world.advance(Duration::from_secs(16));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let message = tokio::select! { message = reader.message() => message.unwrap(), () = beat => unreachable!() };
        assert!(message.starts_with(':'), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_service_stops() {
    let mut world = World::new().await;
    let mut reader = Reader::open(&world, "?component=douyin", None).await;
    let began = std::time::Instant::now();
    world.restart().await;
    assert_eq!(reader.message().await, None);
    assert!(began.elapsed() < Duration::from_secs(10), "an open stream holds nobody up");
}
