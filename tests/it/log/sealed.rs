//! What is sealed in the log, and how it survives a change of the master key.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use yizhan::app::App;
use yizhan::attributes::{AttributeShelf, Attributes};
use yizhan::clock::SystemClock;
use yizhan::config::Config;
use yizhan::envelope::digest;
use yizhan::fanout::Outbox;
use yizhan::fanout::delivery::{DeliveryFilter, Status};
use yizhan::inbox::log::Rejected;
use yizhan::platform::{Door, RawPush};
use yizhan::playbook::book::{PlaybookShelf, Stored};
use yizhan::secret::Secret;
use yizhan::settings::Surroundings;
use yizhan::store::at_rest::AtRest;
use yizhan::store::fjall::FjallLog;

use super::world::{Ports, World, arrival, key_of, start};

/// Stores a grant and a refused push.
async fn fill(ports: &Ports) {
    let mut grant = arrival("grant", None, ports.now(), &["yizhan-vault"]);
    grant.event.kind = yizhan::event_type::EventType::AuthorizationGranted;
    grant.sealed = Some(Secret::new("a-very-secret-code"));
    ports.put_arrival(grant).await;
    let rejected = Rejected {
        id: String::from("rej_1"),
        component: String::from("douyin"),
        received_at: ports.now(),
        reason: String::from("bad-signature"),
        detail: String::new(),
    };
    ports.rejections.keep(rejected, Some(raw())).await.unwrap();
}

/// Notes something about a merchant, and a playbook with something of its own.
async fn note(log: &FjallLog) {
    log.put("douyin", "tt1", &noted()).await.unwrap();
    let stored = Stored { written: json!({"text": "a-very-secret-parameter"}), updated_at: start() };
    log.put_playbook("look", &stored).await.unwrap();
}

fn noted() -> Attributes {
    Attributes { variables: json!({"pin": "a-very-secret-variable"}).as_object().unwrap().clone(), ..Attributes::default() }
}

fn raw() -> RawPush {
    RawPush {
        door: Door::Message,
        is_get: false,
        headers: Vec::new(),
        query: String::new(),
        body: bytes::Bytes::from_static(b"a-very-secret-body"),
        received_at: start(),
    }
}

#[tokio::test]
async fn a_new_master_key_seals_again_what_the_former_one_sealed() {
    let world = World::new();
    {
        let log = world.open();
        fill(&world.ports(&log)).await;
        note(&log).await;
        assert_eq!(log.reseal().await.unwrap(), 0, "everything is under the present key");
    }
    let open = |at_rest: AtRest| {
        let folder = world.folder.path().join("log");
        FjallLog::open(&folder, at_rest.into(), world.options.clone(), world.clock.clone()).unwrap()
    };
    {
        let log = open(AtRest::new(&key_of(9), &[key_of(7)]).unwrap());
        assert_eq!(log.get("douyin", "tt1").await.unwrap(), noted(), "a former key still opens");
        assert_eq!(log.reseal().await.unwrap(), 4);
        assert_eq!(log.reseal().await.unwrap(), 0);
    }
    {
        let log = open(AtRest::new(&key_of(9), &[]).unwrap());
        let ports = world.ports(&log);
        assert_eq!(ports.first("yizhan-vault", 1).await[0].sealed.as_ref().unwrap().expose(), "a-very-secret-code");
        assert_eq!(ports.rejections.open("rej_1").await.unwrap().unwrap().1, raw());
        assert_eq!(log.get("douyin", "tt1").await.unwrap(), noted());
        assert_eq!(log.playbooks().await.unwrap().playbooks[0].1.written["text"], "a-very-secret-parameter");
    }
    {
        let log = open(AtRest::new(&key_of(3), &[]).unwrap());
        assert!(log.reseal().await.is_err(), "no key opens it");
        log.put("douyin", "tt2", &noted()).await.unwrap();
    }
    {
        let log = open(AtRest::new(&key_of(4), &[key_of(3)]).unwrap());
        let said = log.reseal().await.unwrap_err().to_string();
        assert!(said.contains("4 sealed records do not open") && said.contains("1 others were sealed again"), "{said}");
    }
    let log = open(AtRest::new(&key_of(4), &[]).unwrap());
    assert_eq!(log.get("douyin", "tt2").await.unwrap(), noted(), "what could be opened holds up nothing, and nothing holds it up");
    assert!(log.get("douyin", "tt1").await.is_err());
    world.ports(&log).put("after", None, &[]).await;
}

#[tokio::test]
async fn a_grant_whose_code_cannot_be_opened_is_a_dead_letter_until_it_can() {
    let world = World::new();
    let mut grant = arrival("grant", Some("tt1"), start(), &["yizhan-vault", "bot"]);
    grant.event.kind = yizhan::event_type::EventType::AuthorizationGranted;
    grant.sealed = Some(Secret::new("a-very-secret-code"));
    world.ports(&world.open()).put_arrival(grant).await;
    let open = |keys: &[Secret]| {
        let at_rest = AtRest::new(&key_of(9), keys).unwrap();
        FjallLog::open(&world.folder.path().join("log"), at_rest.into(), world.options.clone(), world.clock.clone()).unwrap()
    };
    let dead = {
        let log = open(&[]);
        let ports = world.ports(&log);
        assert!(ports.first("yizhan-vault", 9).await.is_empty(), "without its code it would count as delivered");
        assert_eq!(ports.first("bot", 9).await.len(), 1, "who is given no code misses none");
        let dead = DeliveryFilter { status: Some(Status::Dead), ..DeliveryFilter::default() };
        log.deliveries(&dead, None, 9).await.unwrap().items
    };
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].subscription.as_str(), dead[0].ordering_key.as_str(), dead[0].attempts.len()), ("yizhan-vault", "douyin/tt1", 1));
    let log = open(&[key_of(7)]);
    assert!(log.retry(dead[0].id, start()).await.unwrap().is_some());
    assert_eq!(world.ports(&log).first("yizhan-vault", 9).await[0].sealed.as_ref().unwrap().expose(), "a-very-secret-code");
}

#[tokio::test]
async fn nothing_secret_is_on_the_disk_in_clear() {
    let world = World::new();
    {
        let log = world.open();
        fill(&world.ports(&log)).await;
        note(&log).await;
    }
    let mut folders = vec![world.folder.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = std::fs::read(entry.path()).unwrap();
            assert!(!super::store::written(&bytes).windows(13).any(|part| part == b"a-very-secret"), "{:?}", entry.path());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_a_new_master_key_seals_its_whole_store_again() {
    let folder = tempfile::tempdir().unwrap();
    let build = async |keys: String| {
        let text = crate::world::configuration(folder.path(), "http://127.0.0.1:1");
        let text = text.replace(&format!("master_key = \"{}\"", crate::world::MASTER_KEY), &keys);
        App::build(Config::parse(&text, Surroundings::default()).unwrap(), Arc::new(SystemClock)).await.unwrap()
    };
    let present = format!("master_key = \"{}\"", key_of(2).expose());
    let app = build(format!("master_key = \"{}\"", key_of(1).expose())).await;
    app.attributes.put("douyin", "tt1", &noted()).await.unwrap();
    drop(app);

    let app = build(format!("{present}\nprevious_master_keys = [\"{}\"]", key_of(1).expose())).await;
    let work = app.work();
    let [a, b, c, d, ..] = digest::sha256(&[&[1; 32]]);
    let is_left = || {
        let mut whole = Vec::new();
        tokio::task::block_in_place(|| app.backup(&mut whole)).unwrap();
        whole.windows(5).any(|bytes| *bytes == [1, a, b, c, d])
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while is_left() {
        assert!(tokio::time::Instant::now() < deadline, "something is still sealed under the former key");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.shutdown.request();
    work.finished().await;
    drop(app);
    let app = build(present).await;
    assert_eq!(app.attributes.get("douyin", "tt1").await.unwrap(), noted(), "the former key is forgotten");
}
