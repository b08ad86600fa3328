//! The live stream.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{failed_audit, get, items};
use crate::world::{KEY, World, configuration};

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

/// All that is sent at once.
async fn beginning(world: &World, last_event_id: Option<&str>) -> String {
    let mut request = world.client.get(format!("{}/v1/events/stream", world.base)).bearer_auth(KEY);
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let mut response = request.send().await.unwrap();
    String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_says_nothing_starts_from_now_and_the_gap_is_named() {
    let world = World::new().await;
    failed_audit(&world, "douyin", "0.0.1").await;
    for unknown in ["nonsense", "evt_", "seq_", "seq_99999", "seq_-1"] {
        let first = beginning(&world, Some(unknown)).await;
        assert!(first.contains(": the Last-Event-ID is not known here"), "{unknown}: {first}");
        assert!(first.contains("event: gap\ndata: {") && first.contains("\"reason\":\"unknown-id\""), "{unknown}: {first}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_no_event_comes_back_to_where_it_was() {
    let world = World::new().await;
    failed_audit(&world, "douyin", "0.0.1").await;
    let first = beginning(&world, None).await;
    let id = first.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id to come back with").to_owned();
    failed_audit(&world, "douyin", "1.0.0").await;
    let mut reader = Reader::open(&world, "?type=audit.*", Some(&id)).await;
    assert_eq!(reader.event().await.1["data"]["reason"], "1.0.0", "it came during the break");
    // A sign of life moves the place on, though nothing was for this reader.
    let mut reader = Reader::open(&world, "?type=service.*", None).await;
    failed_audit(&world, "douyin", "1.0.1").await;
    let beat = async {
        loop {
            world.advance(Duration::from_secs(16));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let message = tokio::select! { message = reader.message() => message.unwrap(), () = beat => unreachable!() };
    let place = |text: &str| text.lines().find_map(|line| line.strip_prefix("id: seq_")).map(sequence).unwrap();
    assert!(place(&message) > place(&first), "{message}");
}

/// The id of a place that a greeting gives.
fn place_in(greeting: &str) -> String {
    greeting.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id to come back with").to_owned()
}

/// The sequence at the end of such an id.
fn sequence(place: &str) -> u64 {
    place.rsplit('_').next().unwrap().parse().unwrap()
}

fn backup_of(world: &World) -> Vec<u8> {
    let mut backup = Vec::new();
    tokio::task::block_in_place(|| world.app().backup(&mut backup)).unwrap();
    backup
}

/// Starts the service on that backup, where its own store is lost with all that it had acknowledged since.
async fn put_back(world: &mut World, backup: &[u8]) {
    world.down().await;
    std::fs::remove_dir_all(world.store()).unwrap();
    let beside = tempfile::tempdir().unwrap();
    let config = format!("{}{}", configuration(world.store(), "http://127.0.0.1:1"), world.simulator.components_toml());
    std::fs::write(beside.path().join("yizhan.toml"), config).unwrap();
    std::fs::write(beside.path().join("backup"), backup).unwrap();
    let restored = Command::new(env!("CARGO_BIN_EXE_yizhan")).args(["restore", "backup"]).current_dir(beside.path()).output().unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    world.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_a_log_that_is_no_more_is_a_gap_where_a_backup_was_put_back() {
    let mut world = World::new().await;
    failed_audit(&world, "douyin", "kept").await;
    let backup = backup_of(&world);
    for reason in ["lost", "lost too"] {
        failed_audit(&world, "douyin", reason).await;
    }
    let former = place_in(&beginning(&world, None).await);
    put_back(&mut world, &backup).await;
    for number in 0..8 {
        failed_audit(&world, "douyin", &number.to_string()).await;
    }
    assert!(*world.app().log.newest().borrow() > sequence(&former), "its sequence was given a second time");
    for id in [&former, &format!("seq_{}", sequence(&former))] {
        let first = beginning(&world, Some(id)).await;
        assert!(first.contains("event: gap\n") && first.contains("\"reason\":\"unknown-id\""), "{id}: {first}");
    }
    let present = place_in(&beginning(&world, None).await);
    failed_audit(&world, "douyin", "new").await;
    world.restart().await;
    let mut reader = Reader::open(&world, "?type=audit.*", Some(&present)).await;
    assert_eq!(reader.event().await.1["data"]["reason"], "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_a_former_build_gave_holds_until_the_log_is_put_back() {
    let mut world = World::new().await;
    failed_audit(&world, "douyin", "first").await;
    world.down().await;
    {
        let db = fjall::Database::builder(world.store().join("log")).open().unwrap();
        let meta = db.keyspace("meta", Default::default).unwrap();
        assert!(meta.contains_key("timeline").unwrap());
        meta.remove("timeline").unwrap();
        db.persist(fjall::PersistMode::SyncAll).unwrap();
    }
    world.up().await;
    let place = place_in(&beginning(&world, None).await);
    assert_eq!(place, format!("seq_{}", sequence(&place)));
    failed_audit(&world, "douyin", "second").await;
    let mut reader = Reader::open(&world, "?type=audit.*", Some(&place)).await;
    assert_eq!(reader.event().await.1["data"]["reason"], "second");
    drop(reader);
    let backup = backup_of(&world);
    put_back(&mut world, &backup).await;
    let first = beginning(&world, Some(&place)).await;
    assert!(first.contains("\"reason\":\"unknown-id\""), "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_retention_has_taken_is_a_gap_and_all_that_is_left_follows() {
    let world = World::new().await;
    failed_audit(&world, "douyin", "old").await;
    let taken = items(&get(&world, "/v1/events?type=audit.*").await)[0]["id"].as_str().unwrap().to_owned();
    let place = beginning(&world, None).await.lines().find_map(|line| line.strip_prefix("id: ").map(str::to_owned)).unwrap();
    failed_audit(&world, "douyin", "old too").await;
    world.advance(Duration::from_secs(40 * 86_400));
    failed_audit(&world, "douyin", "new").await;
    let before = world.app().clock.now() - jiff::SignedDuration::from_hours(24 * 30);
    world
        .until("retention has taken the old ones", async || {
            // What still waits for the handler is kept until it has it, which may take a second try.
            world.advance(Duration::from_secs(10));
            world.app().log.expunge(before).await.unwrap();
            (items(&get(&world, "/v1/events?type=audit.*").await).len() == 1).then_some(())
        })
        .await;
    for id in [taken, place] {
        let mut reader = Reader::open(&world, "?type=audit.*", Some(&id)).await;
        let gap = reader.message().await.unwrap();
        assert!(gap.starts_with("event: gap\n") && gap.contains("\"reason\":\"expunged\""), "{id}: {gap}");
        assert_eq!(reader.event().await.1["data"]["reason"], "new", "{id}");
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
        assert!(message.starts_with(": still here\nid: seq_"), "{message}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_last_event_id_whose_place_cannot_be_read_is_resumed_from_its_time_or_from_now() {
    let mut world = World::new().await;
    failed_audit(&world, "douyin", "first").await;
    let first = items(&get(&world, "/v1/events?type=audit.*").await)[0]["id"].as_str().unwrap().to_owned();
    failed_audit(&world, "douyin", "second").await;
    for (kind, is_resumed) in [("seen.", true), ("index.", false)] {
        world.down().await;
        let log = world.store().join("log");
        let names: Vec<String> = {
            let db = fjall::Database::builder(&log).open().unwrap();
            db.list_keyspace_names().iter().map(ToString::to_string).filter(|name| name.starts_with(kind) && name != "index.0").collect()
        };
        names.iter().for_each(|name| crate::log::damage::rot_in(&log, name, 120));
        world.up().await;
        let mut reader = Reader::open(&world, "?type=audit.*", Some(&first)).await;
        if is_resumed {
            while reader.event().await.1["data"]["reason"] != "second" {}
        } else {
            let gap = reader.message().await.unwrap();
            assert!(gap.starts_with("event: gap\n") && gap.contains("\"reason\":\"damaged\""), "{gap}");
        }
        drop(reader);
    }
}
