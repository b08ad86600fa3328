//! The service as a process: it starts, is backed up, stops when asked, and is restored elsewhere.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use serde_json::json;
use yizhan::app::App;
use yizhan::attributes::{AttributeShelf, Attributes};
use yizhan::clock::SystemClock;
use yizhan::config::Config;
use yizhan::inbox::log::Tickets;
use yizhan::platform::push::Ticket;
use yizhan::playbook::book::{PlaybookShelf, Stored, Writing};
use yizhan::rollout::record::{Item, Rollout, State};
use yizhan::rollout::shelf::RolloutLog;
use yizhan::secret::Secret;
use yizhan::settings::Surroundings;
use yizhan::simulator::{Manners, Simulator};
use yizhan::store::archive::{ArchiveReader, ArchiveWriter};
use yizhan::store::at_rest::{AtRest, OTHER_KEY};
use yizhan::store::fjall::{FjallLog, LogOptions};

use super::{Ran, command, run};
use crate::log::damage::rot_in;
use crate::world::{MASTER_KEY, configuration, copy_all};

/// A running service.
struct Service {
    child: Child,
    base: String,
    /// Lines of standard error that nobody has read yet; kept open, so that the service can go on writing.
    talk: BufReader<std::process::ChildStderr>,
}

impl Service {
    fn start(folder: &Path) -> Self {
        Self::start_saying(folder, "error")
    }

    /// One whose log has lines of that level.
    fn start_saying(folder: &Path, level: &str) -> Self {
        let mut child = command(folder, &["serve"]);
        let mut child = child.env("YIZHAN__SERVER__LISTEN", "127.0.0.1:0").env("RUST_LOG", level).stderr(Stdio::piped()).spawn().unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        while !told.starts_with("listening on ") {
            told.clear();
            assert_ne!(talk.read_line(&mut told).unwrap(), 0, "the service ended: {:?}", child.wait());
        }
        let base = told.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, base, talk }
    }

    fn run(&self, folder: &Path, key: &str, arguments: &[&str]) -> Ran {
        command(folder, arguments).env("YIZHAN_URL", &self.base).env("YIZHAN_API_KEY", key).output().unwrap().into()
    }

    fn signal(&self) {
        assert!(std::process::Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
    }

    fn stop(mut self) -> Option<i32> {
        self.signal();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_is_backed_up_and_restored_elsewhere() {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let simulator = Simulator::start(free, Arc::new(SystemClock), Manners::default()).await.unwrap();
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = run(old.path(), &["init"]).out.trim().to_owned();
    let file = old.path().join("yizhan.toml");
    let narrow = run(old.path(), &["keys", "new", "--name", "narrow", "--scopes", "read", "--json"]).json();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}{}{}", narrow["config"].as_str().unwrap(), simulator.components_toml())).unwrap();

    let service = Service::start(old.path());
    simulator.connect(&service.base);
    simulator.ticket("douyin").await.unwrap();
    simulator.grant("douyin", "tt0123456789abcdef").await.unwrap();
    let token = service.run(old.path(), &key, &["token", "douyin", "--json"]);
    assert_eq!(token.code, 0, "{}", token.err);
    let busy = command(old.path(), &["serve"]).env("YIZHAN__SERVER__LISTEN", service.base.trim_start_matches("http://")).output().unwrap();
    assert_eq!(busy.status.code(), Some(1));
    assert!(String::from_utf8(busy.stderr).unwrap().contains("cannot listen on"));

    // Every event of the service, the newest first, as the commands see them.
    let events = |service: &Service, folder: &Path| service.run(folder, &key, &["events", "list", "--json"]).json()["items"].clone();
    let before = events(&service, old.path());
    assert!(before.as_array().unwrap().len() >= 2, "{before}");
    let backup = old.path().join("store.backup");
    let made = service.run(old.path(), &key, &["backup", backup.to_str().unwrap(), "--json"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.json()["records"].as_u64().unwrap() > 5, "{}", made.out);
    let refused = service.run(old.path(), narrow["key"].as_str().unwrap(), &["backup", "no.backup"]);
    assert!(refused.code == 1 && refused.err.contains("lacks the scope `store:backup`"), "{}", refused.err);
    assert_eq!(service.stop(), Some(0));

    std::fs::copy(&file, new.path().join("yizhan.toml")).unwrap();
    let restored = run(new.path(), &["restore", backup.to_str().unwrap(), "--json"]);
    assert_eq!((restored.code, &restored.json()["records"]), (0, &made.json()["records"]), "{}", restored.err);
    let again = run(new.path(), &["restore", backup.to_str().unwrap()]);
    assert_eq!(again.code, 1, "a store that is there is not overwritten");
    let service = Service::start(new.path());
    assert_eq!(events(&service, new.path()), before);
    let held = service.run(new.path(), &key, &["token", "douyin", "--json"]);
    assert_eq!(held.json()["access_token"], token.json()["access_token"], "the token is held, not fetched again");
    assert_eq!(service.stop(), Some(0));
    simulator.stop();
}

/// A pager, a terminal with Ctrl-S, a collector that hangs.
#[cfg(unix)]
#[test]
fn a_service_whose_log_nobody_reads_serves_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]);
    let mut service = Service::start_saying(folder.path(), "info");
    let address = service.base.strip_prefix("http://").unwrap().to_owned();
    let asked = |path: &str| {
        let mut connection = std::net::TcpStream::connect(&address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    // Without a key; each is told of in a line.
    for _ in 0..3000 {
        assert_eq!(asked("/v1/events"), "401");
    }
    assert_eq!(asked("/healthz"), "200");
    let mut told = String::new();
    while !told.contains("these lines were lost") {
        assert_ne!(service.talk.read_line(&mut told).unwrap(), 0, "{told}");
    }
    for _ in 0..3000 {
        assert_eq!(asked("/v1/events"), "401");
    }
    assert_eq!(service.stop(), Some(0), "nobody reads it again");
}

#[test]
fn what_is_no_whole_backup_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]);
    std::fs::write(folder.path().join("no.backup"), "nonsense, and long enough to be looked at").unwrap();
    let ran = run(folder.path(), &["restore", "no.backup"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("not a backup"), "{}", ran.err);
    assert!(!folder.path().join("yizhan-data").exists());
}

#[cfg(unix)]
#[test]
fn a_restoration_that_is_asked_to_stop_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]);
    let [pipe, next] = ["pipe", "next"].map(|name| folder.path().join(name));
    assert!(std::process::Command::new("mkfifo").args([&pipe, &next]).status().unwrap().success());
    let child = command(folder.path(), &["restore", "pipe"]).stderr(Stdio::piped()).spawn().unwrap();
    let begun = || {
        let mut archive = ArchiveWriter::new(std::fs::OpenOptions::new().write(true).open(&pipe).unwrap()).unwrap();
        archive.section("log/meta").unwrap();
        archive
    };
    // Looked through whole, then restored from another one that goes on until nobody reads it any more.
    let whole = begun();
    std::fs::rename(&next, &pipe).unwrap();
    whole.finish().unwrap();
    let mut archive = begun();
    let hidden = || {
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".yizhan-")).count()
    };
    assert_eq!(hidden(), 1);
    assert!(std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let failed = (0_u64..).find_map(|number| archive.record(&number.to_be_bytes(), &[0; 512]).err()).unwrap();
    assert_eq!(failed.kind(), std::io::ErrorKind::BrokenPipe);
    let ran = child.wait_with_output().unwrap();
    assert!(ran.status.code() == Some(1) && ran.stderr.ends_with(b"\ninterrupted\n"), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!((hidden(), folder.path().join("yizhan-data").exists()), (0, false));
}

#[cfg(unix)]
#[test]
fn what_a_killed_restoration_left_is_cleared_away_when_it_is_nobodys_any_more() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init"]);
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400);
    let left = |name: &str| {
        let place = folder.path().join(name);
        std::fs::create_dir_all(place.join("store/log")).unwrap();
        place
    };
    let places = [".yizhan-check-aaaaaa", ".yizhan-restore-aaaaaa", ".yizhan-restore-bbbbbb", ".yizhan-data"].map(left);
    for place in [&places[0], &places[1], &places[3]] {
        std::fs::File::open(place).unwrap().set_modified(old).unwrap();
    }
    let archive = ArchiveWriter::new(std::fs::File::create(folder.path().join("empty.yz")).unwrap()).unwrap();
    archive.finish().unwrap();
    let ran = run(folder.path(), &["restore", "empty.yz"]);
    assert_eq!(places.map(|place| place.exists()), [false, false, true, true], "{}", ran.err);
}

fn key_of(byte: u8) -> String {
    base64::engine::general_purpose::STANDARD.encode([byte; 32])
}

/// A configuration whose store is in `folder`, under these master keys, the present one first.
fn under(folder: &Path, keys: &[u8]) -> String {
    let key = |byte: &u8| json!(key_of(*byte)).to_string();
    let former = keys[1..].iter().map(key).collect::<Vec<_>>().join(", ");
    let keys = format!("master_key = {}\nprevious_master_keys = [{former}]", key(&keys[0]));
    configuration(&folder.join("store"), "http://127.0.0.1:1").replace(&format!("master_key = \"{MASTER_KEY}\""), &keys)
}

async fn built(text: &str) -> Arc<App> {
    App::build(Config::parse(text, Surroundings::default()).unwrap(), Arc::new(SystemClock)).await.unwrap()
}

/// A store under that key, with something in both of its halves, and a backup of it.
async fn backed_up(folder: &Path, key: u8) {
    let app = built(&under(folder, &[key])).await;
    app.attributes.put("douyin", "tt1", &Attributes { tags: ["gold".into()].into(), ..Attributes::default() }).await.unwrap();
    let mut archive = Vec::new();
    tokio::task::block_in_place(|| app.backup(&mut archive)).unwrap();
    std::fs::write(folder.join("backup.yz"), archive).unwrap();
}

/// Lets go of the store for good: the engines' threads do so a moment after the last handle is gone.
async fn released(folder: &Path) {
    let free = |path: &str| std::fs::File::open(folder.join("store").join(path)).unwrap().try_lock().is_ok();
    while !free("vault/db") || !free("log/lock") {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_another_master_key_is_refused_before_anything_is_moved() {
    let folder = tempfile::tempdir().unwrap();
    backed_up(folder.path(), 1).await;
    released(folder.path()).await;
    std::fs::rename(folder.path().join("store"), folder.path().join("former")).unwrap();
    let present = under(folder.path(), &[2]);
    let app = built(&present).await;
    app.attributes.put("douyin", "tt2", &Attributes::default()).await.unwrap();
    drop(app);
    released(folder.path()).await;

    std::fs::write(folder.path().join("yizhan.toml"), &present).unwrap();
    let entries = || {
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = entries();
    for half in [&["--only", "log"][..], &["--only", "vault"], &[]] {
        let refused = run(folder.path(), &[&["restore", "backup.yz", "--replace"], half].concat());
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{}", refused.err);
        assert!(refused.err.contains("sealed under another master key (id "), "{}", refused.err);
        assert!(refused.err.contains(&format!("hint: {OTHER_KEY}")), "in the words of every place that meets it: {}", refused.err);
        assert_eq!(
            refused.err.contains("`--without-key`"),
            half == &["--only", "log"][..],
            "only a log is worth anything without: {}",
            refused.err
        );
        assert_eq!(entries(), before, "nothing was moved");
    }
    let refused = run(folder.path(), &["restore", "backup.yz", "--replace", "--without-key"]);
    assert!(refused.code == 1 && refused.err.contains("the backup's vault has"), "a vault without its key is none: {}", refused.err);
    let forgiven = run(folder.path(), &["restore", "backup.yz", "--replace", "--without-key", "--only", "log"]);
    assert_eq!(forgiven.code, 0, "{}", forgiven.err);
    let app = built(&present).await;
    assert!(app.attributes.get("douyin", "tt1").await.is_err(), "it stays closed");
    let silver = Attributes { tags: ["silver".into()].into(), ..Attributes::default() };
    app.attributes.put("douyin", "tt1", &silver).await.unwrap();
    assert_eq!(app.attributes.get("douyin", "tt1").await.unwrap(), silver, "until it is replaced");
    drop(app);
    released(folder.path()).await;

    std::fs::write(folder.path().join("yizhan.toml"), under(folder.path(), &[2, 1])).unwrap();
    let restored = run(folder.path(), &["restore", "backup.yz", "--replace"]);
    assert_eq!(restored.code, 0, "{}", restored.err);
    let app = built(&under(folder.path(), &[2, 1])).await;
    assert!(app.attributes.get("douyin", "tt1").await.unwrap().tags.contains("gold"));
}

/// That backup with one record more, or with another value in the place of the one it has: the same section as a later build would write it.
fn rewritten(backup: &[u8], section: &str, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut from = ArchiveReader::new(backup).unwrap();
    let mut bytes = Vec::new();
    let mut to = ArchiveWriter::new(&mut bytes).unwrap();
    let mut open = String::new();
    while let Some(record) = from.next().unwrap() {
        if *record.section != *open {
            open = record.section.to_string();
            to.section(&open).unwrap();
        }
        if (&*record.section, record.key.as_slice()) != (section, key) {
            to.record(&record.key, &record.value).unwrap();
        }
    }
    to.section(section).unwrap();
    to.record(key, value).unwrap();
    to.finish().unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_form_that_this_build_does_not_know_is_refused_before_anything_is_moved() {
    let folder = tempfile::tempdir().unwrap();
    backed_up(folder.path(), 1).await;
    released(folder.path()).await;
    std::fs::write(folder.path().join("yizhan.toml"), under(folder.path(), &[1])).unwrap();
    let backup = std::fs::read(folder.path().join("backup.yz")).unwrap();
    let layout = |layout: &str| {
        let (key, version) = (b"format\0\0", 1_u64.to_be_bytes());
        let at_rest = AtRest::new(&Secret::new(key_of(1)), &[]).unwrap();
        let sealed = at_rest.seal("format", &[key.as_slice(), &version].concat(), layout.as_bytes()).unwrap();
        [version.as_slice(), &sealed].concat()
    };
    let entries = || {
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let restore = |written: &[u8], half: &[&str]| {
        std::fs::write(folder.path().join("backup.yz"), written).unwrap();
        run(folder.path(), &[&["restore", "backup.yz", "--replace"], half].concat())
    };
    let (all, log, vault) = (&[][..], &["--only", "log"][..], &["--only", "vault"][..]);
    let before = entries();
    for (section, key, value, concerned, word) in [
        ("log/novel", b"key".as_slice(), b"value".to_vec(), log, "`log/novel`"),
        ("vault/novel", b"key", b"value".to_vec(), vault, "`vault/novel`"),
        ("log/meta", b"format", vec![2], log, "the backup's log has a form"),
        ("vault", b"format\0\0", layout("yizhan vault 2"), vault, "the backup's vault has a form"),
    ] {
        let written = rewritten(&backup, section, key, &value);
        for half in [all, concerned] {
            let refused = restore(&written, half);
            assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{section} {half:?}: {}", refused.err);
            assert!(
                refused.err.contains(word) && refused.err.contains("hint: restore it with the version that wrote it"),
                "{}",
                refused.err
            );
            assert_eq!(entries(), before, "nothing was moved");
        }
    }
    // Of the other half nothing is wanted, and the forms of today are as good in whatever place they stand.
    for (written, half) in [
        (rewritten(&backup, "log/novel", b"key", b"value"), vault),
        (rewritten(&backup, "log/meta", b"format", &[2]), vault),
        (rewritten(&backup, "vault", b"format\0\0", &layout("yizhan vault 2")), log),
        (rewritten(&rewritten(&backup, "vault", b"format\0\0", &layout("yizhan vault 1")), "log/meta", b"format", &[1]), all),
    ] {
        let restored = restore(&written, half);
        assert_eq!(restored.code, 0, "{half:?}: {}", restored.err);
    }
    let app = built(&under(folder.path(), &[1])).await;
    assert!(app.attributes.get("douyin", "tt1").await.unwrap().tags.contains("gold"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_that_does_not_open_the_store_is_said_by_check_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    backed_up(folder.path(), 1).await;
    released(folder.path()).await;
    std::fs::write(folder.path().join("yizhan.toml"), under(folder.path(), &[2])).unwrap();
    for (arguments, code) in [(&["check"][..], 2), (&["check", "--store"], 1)] {
        let ran = run(folder.path(), arguments);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{}", ran.err);
        let vault = folder.path().join("store").join("vault");
        assert!(ran.err.contains(vault.to_str().unwrap()) && !ran.err.contains(".yizhan-check"), "{}", ran.err);
        assert!(ran.err.contains("hint: ") && ran.err.contains("`store.previous_master_keys`"), "{}", ran.err);
    }
    std::fs::write(folder.path().join("yizhan.toml"), under(folder.path(), &[2, 1])).unwrap();
    let ran = run(folder.path(), &["check"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_under_another_master_key_than_the_vault_is_told_from_a_damaged_one() {
    let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    {
        let at_rest = AtRest::new(&Secret::new(key_of(1)), &[]).unwrap();
        let log = FjallLog::open(&other.path().join("log"), at_rest.into(), LogOptions::default(), Arc::new(SystemClock)).unwrap();
        let stored = Stored { written: json!({}), updated_at: "2026-11-20T07:00:00Z".parse().unwrap() };
        log.put_playbook("look", &stored).await.unwrap();
    }
    let text = under(folder.path(), &[2]);
    drop(built(&text).await);
    released(folder.path()).await;
    let log = folder.path().join("store").join("log");
    std::fs::remove_dir_all(&log).unwrap();
    copy_all(&other.path().join("log"), &log);

    std::fs::write(folder.path().join("yizhan.toml"), &text).unwrap();
    let checked = run(folder.path(), &["check", "--store", "--json"]);
    let found = checked.json()["found"]["damage"].clone();
    assert_eq!((checked.code, found.as_array().unwrap().len(), &found[0]["part"]), (1, 1, &json!("log")), "{found}");
    assert!(found[0]["message"].as_str().unwrap().contains("under another master key (id "), "{found}");
    assert!(found[0]["hint"].as_str().unwrap().contains("`store.previous_master_keys`"), "{found}");
    let config = Config::parse(&text, Surroundings::default()).unwrap();
    let error = App::build(config, Arc::new(SystemClock)).await.err().unwrap();
    assert!(error.to_string().contains("under another master key") && error.hint().contains("`store.previous_master_keys`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_does_not_start_on_a_log_of_which_no_configured_key_opens_anything() {
    let gold = Attributes { tags: ["gold".into()].into(), ..Attributes::default() };
    let noted = |folder: &Path, key: u8| {
        let at_rest = AtRest::new(&Secret::new(key_of(key)), &[]).unwrap();
        FjallLog::open(&folder.join("store").join("log"), at_rest.into(), LogOptions::default(), Arc::new(SystemClock)).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    drop(built(&under(folder.path(), &[2])).await);
    released(folder.path()).await;
    for merchant in ["tt1", "tt2", "tt3"] {
        noted(folder.path(), 1).put("douyin", merchant, &gold).await.unwrap();
        released(folder.path()).await;
    }
    let config = Config::parse(&under(folder.path(), &[2]), Surroundings::default()).unwrap();
    let error = App::build(config, Arc::new(SystemClock)).await.err().unwrap();
    assert!(error.to_string().contains("under another master key (id "), "{error}");
    assert!(error.hint().starts_with(OTHER_KEY) && error.hint().contains("--without-key FILE"), "{}", error.hint());
    released(folder.path()).await;

    let app = built(&under(folder.path(), &[2, 1])).await;
    assert_eq!(app.attributes.get("douyin", "tt1").await.unwrap(), gold);
    drop(app);
    released(folder.path()).await;

    // A log of which some opens is this service's own: what was sealed under a key that is gone keeps nobody from the rest.
    noted(folder.path(), 3).put("douyin", "tt4", &gold).await.unwrap();
    released(folder.path()).await;
    noted(folder.path(), 2).put("douyin", "tt0", &gold).await.unwrap();
    released(folder.path()).await;
    let app = built(&under(folder.path(), &[2])).await;
    assert_eq!(app.attributes.get("douyin", "tt0").await.unwrap(), gold);
    assert!(app.attributes.get("douyin", "tt4").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_restored_without_its_key_starts_with_playbooks_and_rollouts_that_rest() {
    let folder = tempfile::tempdir().unwrap();
    let former = built(&under(folder.path(), &[1])).await;
    let source = json!({"name": "look", "on": "authorization.*", "steps": [{"operation": "package.list"}]});
    let playbook = former.playbooks.read(source.as_object().unwrap());
    let playbook = playbook.unwrap_or_else(|error| panic!("{error:?}"));
    former.playbooks.write(playbook, Writing::Create).await.unwrap();
    let mut archive = Vec::new();
    tokio::task::block_in_place(|| former.backup(&mut archive)).unwrap();
    drop(former);
    released(folder.path()).await;
    std::fs::write(folder.path().join("backup.yz"), archive).unwrap();
    {
        // Nobody here has merchants to roll anything out to.
        let at_rest = AtRest::new(&Secret::new(key_of(1)), &[]).unwrap();
        let log = FjallLog::open(&folder.path().join("store/log"), at_rest.into(), LogOptions::default(), Arc::new(SystemClock)).unwrap();
        let made = rollout();
        log.create(&made, &[Item::queued(String::from("tt1"), 0, made.created_at)]).await.unwrap();
    }
    released(folder.path()).await;
    std::fs::write(folder.path().join("yizhan.toml"), under(folder.path(), &[1])).unwrap();
    let backed_up = run(folder.path(), &["backup", "--offline", "log.yz"]);
    assert_eq!(backed_up.code, 0, "{}", backed_up.err);

    // The vault under the new key, the log under one that is gone.
    std::fs::remove_dir_all(folder.path().join("store")).unwrap();
    let present = under(folder.path(), &[2]);
    drop(built(&present).await);
    released(folder.path()).await;
    std::fs::write(folder.path().join("yizhan.toml"), &present).unwrap();
    let restored = run(folder.path(), &["restore", "log.yz", "--replace", "--only", "log", "--without-key"]);
    assert_eq!(restored.code, 0, "{}", restored.err);
    let app = built(&present).await;
    let unread = app.playbooks.unread();
    assert!(unread["look"].contains("under another master key (id "), "{unread:?}");
    let all = app.rollouts.all().await.unwrap();
    assert!(all.len() == 1 && all[0].is_unread && all[0].reason.as_ref().unwrap().contains("under another master key"), "{all:?}");
    app.rollouts.cancel(all[0].id).await.unwrap();
    app.playbooks.delete_behind("look").await.unwrap();
    drop(app);
    released(folder.path()).await;

    // A key that is neither is refused as ever, by the vault and by the log.
    let mistyped = Config::parse(&under(folder.path(), &[3]), Surroundings::default()).unwrap();
    let error = App::build(mistyped, Arc::new(SystemClock)).await.err().unwrap();
    assert!(error.to_string().contains("under another master key"), "{error}");
    let log = |key: u8| {
        let at_rest = AtRest::new(&Secret::new(key_of(key)), &[]).unwrap();
        FjallLog::open(&folder.path().join("store/log"), at_rest.into(), LogOptions::default(), Arc::new(SystemClock)).unwrap()
    };
    log(3).look_at_keys().unwrap_err();
    released(folder.path()).await;
    let app = built(&present).await;
    assert!(app.playbooks.unread().is_empty());
    assert_eq!(app.rollouts.all().await.unwrap()[0].state, State::Cancelled);
}

fn rollout() -> Rollout {
    serde_json::from_value(json!({
        "id": "rol_0190c0de00007000800000000000abcd", "state": "running", "created_at": "2026-11-20T07:00:00Z",
        "updated_at": "2026-11-20T07:00:00Z",
        "spec": {"component": "douyin", "authorizers": "all", "template_id": 1, "version": "2", "description": "", "concurrency": 1},
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_holds_the_components_against_the_store_unless_a_service_has_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let douyin = |name: &str, app_id: &str| {
        let sample = yizhan::platform::named("douyin").unwrap().sample_settings("http://127.0.0.1:1");
        let sample = sample.replace("tt0123456789abcdef", app_id);
        format!("{}[[components]]\nname = \"{name}\"\nplatform = \"douyin\"\n{sample}", under(folder.path(), &[1]))
    };
    let write = |text: String| std::fs::write(folder.path().join("yizhan.toml"), text).unwrap();
    let app = built(&douyin("dy", "tt0123456789abcde1")).await;
    let now = app.clock.now();
    app.vault.keep("dy", &Ticket { value: Secret::new("a-ticket"), created_at: now }, now).await.unwrap();
    write(douyin("dy", "tt0123456789abcde2"));
    let ran = run(folder.path(), &["check"]);
    assert!(ran.code == 0 && ran.err.contains("warning: `store.url` is in use"), "{} {}", ran.code, ran.err);
    drop(app);
    released(folder.path()).await;

    let ran = run(folder.path(), &["check"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    for words in ["`components.dy` is", "tt0123456789abcde1", "tt0123456789abcde2", "give the other application a name of its own"] {
        assert!(ran.err.contains(words), "{}", ran.err);
    }
    assert_eq!(run(folder.path(), &["check", "--json"]).json()["problems"][0]["at"], "components.dy");
    let served = run(folder.path(), &["serve"]);
    assert!(served.code == 1 && served.err.contains("component `dy` is `tt0123456789abcde2` of douyin"), "{}", served.err);
    for mended in [douyin("dy", "tt0123456789abcde1"), douyin("other", "tt0123456789abcde2")] {
        write(mended);
        let ran = run(folder.path(), &["check"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let left =
        std::fs::read_dir(folder.path()).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0, "no copy is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_given_by_api_is_refused_to_the_configuration_until_that_one_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let plain = under(folder.path(), &[1]);
    let made = json!({"name": "later", "url": "https://a.example.com/", "events": ["*"]});
    built(&plain).await.fanout.create(serde_json::from_value(made).unwrap()).await.unwrap();
    released(folder.path()).await;
    let sample = yizhan::platform::named("douyin").unwrap().sample_settings("http://127.0.0.1:1");
    let component = format!("[[components]]\nname = \"dy\"\nplatform = \"douyin\"\n{sample}");
    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let subscription =
        format!("[[subscriptions]]\nname = \"later\"\nurl = \"https://b.example.com/\"\nsecret = \"{secret}\"\nevents = [\"*\"]\n");
    let playbook = format!("{component}[[playbooks]]\nname = \"later\"\non = \"audit.*\"\nsteps = [{{ operation = \"package.list\" }}]\n");
    let write = |more: &str| std::fs::write(folder.path().join("yizhan.toml"), format!("{plain}{more}")).unwrap();
    for (more, place) in [(&subscription, "subscriptions.later"), (&playbook, "playbooks.later")] {
        write(more);
        let ran = run(folder.path(), &["check"]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        let served = run(folder.path(), &["serve"]);
        assert_eq!(served.code, 1, "{}", served.err);
        for told in [&ran.err, &served.err] {
            let words = [&format!("`{place}` has the name of a subscription that was made by API"), "hint: give this one another name; or"];
            assert!(words.iter().all(|words| told.contains(*words)), "{told}");
        }
        assert_eq!(run(folder.path(), &["check", "--json"]).json()["problems"][0]["at"], place);
        released(folder.path()).await;
    }

    // A log that was put back may have a playbook of that name, which nobody could take out of any configuration: it stands back.
    {
        let at_rest = AtRest::new(&Secret::new(key_of(1)), &[]).unwrap();
        let options = LogOptions::default();
        let log = FjallLog::open(&folder.path().join("store/log"), at_rest.into(), options, Arc::new(SystemClock)).unwrap();
        let written = json!({"name": "later", "on": ["audit.*"], "steps": [{"operation": "package.list"}]});
        log.put_playbook("later", &Stored { written, updated_at: "2026-11-20T07:00:00Z".parse().unwrap() }).await.unwrap();
    }
    released(folder.path()).await;
    write(&component);
    assert_eq!(run(folder.path(), &["check"]).code, 0);
    let app = built(&format!("{plain}{component}")).await;
    let stands = app.fanout.subscription("later").unwrap();
    assert_eq!((stands.url.as_str(), app.playbooks.all().len()), ("https://a.example.com/", 0));
    app.fanout.delete("later").await.unwrap();
    drop((app, stands));
    released(folder.path()).await;
    for more in [&subscription, &playbook] {
        write(more);
        let ran = run(folder.path(), &["check"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        drop(built(&format!("{plain}{more}")).await);
        released(folder.path()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_where_a_start_would_cancel_what_waits_for_another_of_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let plain = under(folder.path(), &[1]);
    let sample = yizhan::platform::named("douyin").unwrap().sample_settings("http://127.0.0.1:1");
    let component = format!("[[components]]\nname = \"dy\"\nplatform = \"douyin\"\n{sample}");
    let subscription = "[[subscriptions]]\nname = \"tell\"\nurl = \"https://b.example.com/\"\nsecret = \"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\"\n\
        events = [\"*\"]\n";
    let playbook = "[[playbooks]]\nname = \"tell\"\non = \"audit.*\"\nsteps = [{ operation = \"package.list\" }]\n";
    for (before, after, told) in [
        (playbook, subscription, "`subscriptions.tell` has the name of a playbook: the start cancels what waits for that one"),
        (subscription, playbook, "`playbooks.tell` has the name that a subscription of the configuration had: the start cancels"),
    ] {
        let texts = [before, after].map(|more| format!("{plain}{component}{more}"));
        drop(built(&texts[0]).await);
        released(folder.path()).await;
        std::fs::write(folder.path().join("yizhan.toml"), &texts[1]).unwrap();
        let ran = run(folder.path(), &["check"]);
        assert!(ran.code == 0 && ran.err.contains(told), "{} {}", ran.code, ran.err);
        drop(built(&texts[1]).await);
        released(folder.path()).await;
        let ran = run(folder.path(), &["check"]);
        assert!(ran.code == 0 && !ran.err.contains("has the name"), "{}", ran.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_backed_up_as_far_as_it_can_be_read_and_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let text = under(folder.path(), &[1]);
    std::fs::write(folder.path().join("yizhan.toml"), &text).unwrap();
    let app = built(&text).await;
    let noted = Attributes { tags: ["gold".into()].into(), ..Attributes::default() };
    let app_id = |number: u32| format!("tt{number:04}");
    for number in 0..300 {
        app.attributes.put("douyin", &app_id(number), &noted).await.unwrap();
    }
    let busy = run(folder.path(), &["backup", "--offline", "busy.yz"]);
    assert!(busy.code == 1 && busy.err.contains("in use"), "{}", busy.err);
    drop(app);
    released(folder.path()).await;
    let whole = run(folder.path(), &["backup", "--offline", "whole.yz", "--json"]);
    assert_eq!(whole.code, 0, "{}", whole.err);
    assert_eq!((whole.code, &whole.json()["left_out"]), (0, &json!({})), "{}", whole.err);
    // The block of the first attributes, of which the service looks at one when it starts, and one in their midst.
    for place in [60, 9000] {
        rot_in(&folder.path().join("store/log"), "records", place);
    }
    drop(built(&text).await);
    released(folder.path()).await;

    let made = run(folder.path(), &["backup", "--offline", "rest.yz"]);
    assert!(made.code == 1 && made.out.contains("as far as the store can be read"), "{}{}", made.out, made.err);
    assert!(
        made.err.contains("stretches that cannot be read are not in this backup (") && made.err.contains(" of `records`)"),
        "{}",
        made.err
    );
    let restored = run(folder.path(), &["restore", "rest.yz", "--replace"]);
    assert_eq!(restored.code, 0, "{}", restored.err);
    assert!(restored.err.contains(" of `records`)"), "{}", restored.err);
    let checked = run(folder.path(), &["check", "--store"]);
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    let app = built(&text).await;
    let mut kept = 0;
    for number in 0..300 {
        kept += usize::from(app.attributes.get("douyin", &app_id(number)).await.unwrap() == noted);
    }
    assert!((100..300).contains(&kept), "{kept} of 300");
}
