//! The vault's store on sled: what is on the disk after a kill, damage, a changed master key; and the subscription book.

use std::fs;
use std::path::Path;

use yizhan::fanout::subscription::{Ordering, Origin, SigningKey, State, Subscription, SubscriptionBook};
use yizhan::store::archive::{ArchiveReader, ArchiveWriter, Record};
use yizhan::store::at_rest::AtRest;
use yizhan::store::sled::{OpenError, SledVault, VaultMoment, VaultRestore};
use yizhan::vault::Want;
use yizhan::vault::shelf::{Change, Kind, ShelfError, TokenShelf};

use super::shelf::{at_rest, body, key, sled};
use super::*;

/// The folder as a kill at this moment leaves it.
fn killed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_all(folder, copy.path());
    copy
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn records(shelf: &SledVault) -> Vec<Record> {
    written(std::thread::scope(|scope| scope.spawn(|| shelf.moment().unwrap()).join().unwrap()))
}

fn written(moment: VaultMoment) -> Vec<Record> {
    let mut bytes = Vec::new();
    let mut archive = ArchiveWriter::new(&mut bytes).unwrap();
    moment.write(&mut archive).unwrap();
    archive.finish().unwrap();
    let mut archive = ArchiveReader::new(bytes.as_slice()).unwrap();
    std::iter::from_fn(|| archive.next().unwrap()).collect()
}

fn master(byte: u8) -> Secret {
    use base64::Engine;
    Secret::new(base64::engine::general_purpose::STANDARD.encode([byte; 32]))
}

#[tokio::test]
async fn what_was_committed_survives_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = sled(folder.path()).await;
    for index in 0..20_u64 {
        let pair = ["a", "b"].map(|name| Change::put_if(key(Kind::Token, NAME, name), index, body(&format!("{index}"))));
        shelf.commit(pair.to_vec()).await.unwrap();
        let copy = killed(folder.path());
        let reopened = sled(copy.path()).await;
        for name in ["a", "b"] {
            let record = reopened.get(&key(Kind::Token, NAME, name)).await.unwrap().unwrap();
            assert_eq!((record.version, record.body.unwrap().to_vec()), (index + 1, index.to_string().into_bytes()));
        }
    }
}

#[tokio::test]
async fn a_whole_vault_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::starting_at(start()));
    let vendor = Arc::new(FakeVendor::new(Habits::default(), Arc::clone(&clock)));
    let vault = open(sled(folder.path()).await, &vendor, &clock).await;
    let newest = vendor.ticket();
    vault.keep(NAME, &newest, clock.now()).await.unwrap();
    let grant = Grant { code: Some(vendor.grant("app1")), tokens: None, permissions: Vec::new(), granted_at: clock.now() };
    vault.granted(NAME, Some("app1"), &grant).await.unwrap();
    vault.refresh(NAME, &token_of("app1")).await.unwrap();
    vault.remember_high_water(42).await.unwrap();
    let copy = killed(folder.path());
    let again = open(sled(copy.path()).await, &vendor, &clock).await;
    let served = again.fresh(NAME, &token_of("app1"), Want::default()).await.unwrap();
    assert_eq!(served.generation, 2);
    assert!(vendor.accepts("app1", &served.token));
    assert_eq!(again.ticket(NAME).unwrap().value, newest.value);
    assert_eq!(again.high_water().unwrap().sequence, 42);
    assert_eq!(vendor.deeds("recover"), 0);
}

#[tokio::test]
async fn no_secret_is_readable_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = sled(folder.path()).await;
    shelf.commit(vec![Change::put(key(Kind::Ticket, NAME, ""), body("a very secret ticket"))]).await.unwrap();
    SubscriptionBook::put(&*shelf, &subscription("one")).await.unwrap();
    let bytes = fs::read(folder.path().join("db")).unwrap();
    for secret in ["a very secret ticket", "whsec_abc"] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[tokio::test]
async fn a_second_process_is_kept_out_and_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let _first = sled(folder.path()).await;
    let Err(error) = SledVault::open(folder.path(), at_rest()).await else { panic!("opened twice") };
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.hint().contains("stop the other process"));
}

#[tokio::test]
async fn another_master_key_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    drop(SledVault::open(folder.path(), Arc::new(AtRest::new(&master(1), &[]).unwrap())).await.unwrap());
    let Err(error) = SledVault::open(folder.path(), Arc::new(AtRest::new(&master(2), &[]).unwrap())).await else { panic!("opened") };
    assert!(matches!(error, OpenError::OtherKey { .. }), "{error}");
    assert!(error.hint().contains("previous_master_keys"));
}

#[tokio::test]
async fn after_a_key_change_everything_is_sealed_anew_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let former = SledVault::open(folder.path(), Arc::new(AtRest::new(&master(1), &[]).unwrap())).await.unwrap();
    for index in 0..700 {
        former.commit(vec![Change::put(key(Kind::Token, NAME, &format!("{index}")), body("secret"))]).await.unwrap();
    }
    SubscriptionBook::put(&*former, &subscription("one")).await.unwrap();
    drop(former);
    let both = SledVault::open(folder.path(), Arc::new(AtRest::new(&master(2), &[master(1)]).unwrap())).await.unwrap();
    assert!(both.get(&key(Kind::Token, NAME, "13")).await.unwrap().unwrap().body.is_some());
    let new = AtRest::new(&master(2), &[]).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while records(&both).iter().any(|record| new.is_outdated(&record.value[8..])) {
        assert!(std::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    // A commit of a record that was sealed anew still knows its version.
    both.commit(vec![Change::put_if(key(Kind::Token, NAME, "13"), 1, body("newer"))]).await.unwrap();
    drop(both);
    let new = Arc::new(new);
    // The task that sealed may hold the store for a moment yet.
    let only_new = loop {
        match SledVault::open(folder.path(), Arc::clone(&new)).await {
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    let record = only_new.get(&key(Kind::Token, NAME, "699")).await.unwrap().unwrap();
    assert_eq!((record.version, record.body.unwrap().as_slice()), (1, b"secret".as_slice()));
    assert_eq!(SubscriptionBook::load(&*only_new).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_record_moved_under_another_name_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = sled(folder.path()).await;
    shelf.commit(vec![Change::put(key(Kind::Token, NAME, "a"), body("token of a"))]).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut restore = VaultRestore::begin(other.path()).unwrap();
    for Record { section, mut key, value } in records(&shelf) {
        if key.ends_with(b"\0a") {
            *key.last_mut().unwrap() = b'b';
        }
        assert!(restore.put(&section, &key, &value).unwrap());
    }
    restore.finish().unwrap();
    let shelf = sled(other.path()).await;
    let moved = shelf.get(&key(Kind::Token, NAME, "b")).await.unwrap().unwrap();
    assert!(moved.body.is_none());
}

#[tokio::test]
async fn a_backup_taken_at_work_is_restored_into_an_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = sled(folder.path()).await;
    let many = (0..2500).map(|index| Change::put(key(Kind::Token, NAME, &format!("{index}")), body("one")));
    shelf.commit(many.collect()).await.unwrap();
    shelf.commit(vec![Change::put(key(Kind::Note, "", "n"), body("two"))]).await.unwrap();
    let found = records(&shelf);
    let other = tempfile::tempdir().unwrap();
    let mut restore = VaultRestore::begin(other.path()).unwrap();
    assert!(!restore.put("log/meta", b"k", b"v").unwrap(), "not the vault's");
    for Record { section, key, value } in found {
        assert!(restore.put(&section, &key, &value).unwrap());
    }
    restore.finish().unwrap();
    let restored = sled(other.path()).await;
    let record = restored.get(&key(Kind::Token, NAME, "2499")).await.unwrap().unwrap();
    assert_eq!(record.body.unwrap().as_slice(), b"one");
    restored.commit(vec![Change::put_if(key(Kind::Note, "", "n"), 1, body("three"))]).await.unwrap();
    drop(restored);
    assert!(sled(other.path()).await.get(&key(Kind::Note, "", "n")).await.unwrap().is_some());
    assert!(matches!(VaultRestore::begin(other.path()), Err(OpenError::NotEmpty { .. })));
}

/// A reader for whom the vault is changed while it reads: behind it, before it, and where it stands.
struct Changing<'a> {
    shelf: &'a SledVault,
    runtime: tokio::runtime::Handle,
    rounds: u32,
    bytes: Vec<u8>,
}

impl std::io::Write for Changing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.rounds += 1;
        let (round, mut changes) = (self.rounds, Vec::new());
        for number in (round..2500).step_by(41) {
            let key = key(Kind::Token, NAME, &format!("{number:04}"));
            changes.push(if number % 2 == 0 { Change::remove(key) } else { Change::put(key, body("newer")) });
        }
        for place in ["0", "1234", "9"] {
            changes.push(Change::put(key(Kind::Token, NAME, &format!("{place}-{round}")), body("new")));
        }
        changes.push(Change::put(key(Kind::Authorizer, NAME, &format!("{round}")), body("new")));
        changes.push(Change::put(key(Kind::Used, NAME, &format!("{round}")), body("new")));
        self.runtime.block_on(self.shelf.commit(changes)).unwrap();
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_one_moment_whatever_is_written_while_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = sled(folder.path()).await;
    let many = (0..2500).map(|number| Change::put(key(Kind::Token, NAME, &format!("{number:04}")), body(&"one".repeat(100))));
    shelf.commit(many.collect()).await.unwrap();
    let before = records(&shelf);
    let moment = tokio::task::block_in_place(|| shelf.moment().unwrap());
    let mut to = Changing { shelf: &shelf, runtime: tokio::runtime::Handle::current(), rounds: 0, bytes: Vec::new() };
    tokio::task::block_in_place(|| {
        let mut archive = ArchiveWriter::new(&mut to).unwrap();
        moment.write(&mut archive).unwrap();
        archive.finish().unwrap();
    });
    assert!(to.rounds > 40, "{} rounds", to.rounds);
    let mut archive = ArchiveReader::new(to.bytes.as_slice()).unwrap();
    let read: Vec<_> = std::iter::from_fn(|| archive.next().unwrap()).collect();
    assert!(read == before, "{} records were read, {} there were", read.len(), before.len());
    assert!(records(&shelf) != before, "and now there are others");
}

/// The log in the backup is a little older than its vault, and so it may lack what the mark counts.
#[tokio::test]
async fn a_vault_that_is_put_back_has_forgotten_how_far_another_log_had_come() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::starting_at(start()));
    let vendor = Arc::new(FakeVendor::new(Habits::default(), Arc::clone(&clock)));
    let shelf = sled(folder.path()).await;
    open(shelf.clone(), &vendor, &clock).await.remember_high_water(42).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut restore = VaultRestore::begin(other.path()).unwrap();
    for Record { section, key, value } in records(&shelf) {
        assert!(restore.put(&section, &key, &value).unwrap());
    }
    restore.finish().unwrap();
    let again = open(sled(other.path()).await, &vendor, &clock).await;
    assert_eq!(again.high_water(), None);
    again.remember_high_water(7).await.unwrap();
    assert_eq!(again.high_water().unwrap().sequence, 7);
}

#[tokio::test]
async fn a_backup_without_a_vault_is_not_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(VaultRestore::begin(folder.path()).unwrap().finish(), Err(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn a_store_whose_file_is_lost_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    drop(sled(folder.path()).await);
    let copy = killed(folder.path());
    for entry in fs::read_dir(copy.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == "db" || entry.file_name().to_string_lossy().starts_with("snap") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let Err(error) = SledVault::open(copy.path(), at_rest()).await else { panic!("opened") };
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.hint().contains("yizhan restore"));
}

/// Damage anywhere is an error with a hint, or at worst records that do not open; never a panic, never another content.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_told_and_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = sled(folder.path()).await;
    for index in 0..50 {
        shelf.commit(vec![Change::put(key(Kind::Token, NAME, &format!("{index:02}")), body(&format!("value {index:02}")))]).await.unwrap();
    }
    drop(shelf);
    // Where something is written; the rest of sled's segments is empty.
    let whole = fs::read(folder.path().join("db")).unwrap();
    let written: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let (mut refused, mut opened) = (0, 0);
    for step in 0..25 {
        let copy = killed(folder.path());
        let mut bytes = whole.clone();
        let at = written[step * 977 % written.len()];
        match step % 3 {
            // What is sealed is written in another place each time, so that the others may all hit what is not read any more.
            _ if step == 24 => bytes[..written[written.len() / 2]].fill(0),
            0 => bytes[at] ^= 0x10,
            1 => bytes[at..at + 64].fill(0),
            _ => bytes.truncate(at + 1),
        }
        fs::write(copy.path().join("db"), bytes).unwrap();
        match SledVault::open(copy.path(), at_rest()).await {
            Err(error) => {
                refused += 1;
                assert!(!error.hint().is_empty());
            }
            Ok(shelf) => {
                opened += 1;
                match shelf.page(Kind::Token, NAME, None, 100).await {
                    Err(error) => assert!(matches!(error, ShelfError::Damaged(_))),
                    Ok(records) => {
                        for record in records {
                            let whole = record.body.is_none_or(|body| body.as_slice() == format!("value {}", record.name).as_bytes());
                            assert!(whole, "another content under {}", record.name);
                        }
                    }
                }
            }
        }
    }
    assert!(refused + opened == 25 && refused > 0, "{refused} refused, {opened} opened; {} bytes are written", written.len());
}

#[tokio::test]
async fn a_snapshot_that_a_kill_left_half_written_does_not_keep_the_vault_shut() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = sled(folder.path()).await;
    shelf.commit(vec![Change::put(key(Kind::Token, NAME, "01"), body("value 01"))]).await.unwrap();
    drop(shelf);
    for content in ["", "half", "longer than a snapshot's end, and still not one"] {
        fs::write(folder.path().join("snap.00000000000FFFFF.generating"), content).unwrap();
        let copy = killed(folder.path());
        let shelf = SledVault::open(copy.path(), at_rest()).await.unwrap();
        assert_eq!(shelf.page(Kind::Token, NAME, None, 100).await.unwrap().len(), 1, "{content:?}");
    }
}

#[tokio::test]
async fn an_unusable_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let Err(error) = SledVault::open(&file, at_rest()).await else { panic!("opened") };
    assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("file"));
}

fn subscription(name: &str) -> Subscription {
    Subscription {
        name: name.to_owned(),
        origin: Origin::Api,
        url: String::from("https://example.com/hook"),
        keys: vec![SigningKey { secret: Secret::new("whsec_abc"), until: None }],
        events: vec![yizhan::event_type::Glob::new("audit.*")],
        components: Vec::new(),
        ordering: Ordering::None,
        concurrency: 4,
        rate: None,
        retry: Some(vec![Duration::from_secs(5)]),
        timeout: None,
        state: State::Active,
        created_at: start(),
    }
}

#[tokio::test]
async fn subscriptions_are_kept_changed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = sled(folder.path()).await;
    assert!(SubscriptionBook::load(&*shelf).await.unwrap().is_empty());
    for name in ["one", "two"] {
        SubscriptionBook::put(&*shelf, &subscription(name)).await.unwrap();
    }
    let changed = Subscription { state: State::Paused, ..subscription("two") };
    SubscriptionBook::put(&*shelf, &changed).await.unwrap();
    SubscriptionBook::remove(&*shelf, "one").await.unwrap();
    SubscriptionBook::remove(&*shelf, "never").await.unwrap();
    drop(shelf);
    assert_eq!(SubscriptionBook::load(&*sled(folder.path()).await).await.unwrap(), [changed]);
}

/// Prints what a vault of 100,000 authorizers costs, and holds its memory to a bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_authorizers_fit_into_memory() {
    let resident = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::starting_at(start()));
    let vendor = Arc::new(FakeVendor::new(Habits { has_tickets: false, ..Habits::default() }, Arc::clone(&clock)));
    {
        let shelf = sled(folder.path()).await;
        let long = "x".repeat(190);
        for chunk in 0..1000 {
            let changes = (0..100).flat_map(|index| {
                let app = format!("tt{:018}", chunk * 100 + index);
                let token = format!(
                    r#"{{"generation":1,"access":{{"value":"{long}","expires_at":"2026-11-20T04:00:00Z"}},"refresh":{{"value":"{long}","expires_at":null}},"obtained_at":"2026-11-20T02:00:00Z"}}"#
                );
                let standing = r#"{"name":"a shop","state":"granted","permissions":[{"id":"1","name":"all of it"}],"granted_at":null,"revoked_at":null,"updated_at":"2026-11-20T02:00:00Z"}"#;
                [
                    Change::put(key(Kind::Token, NAME, &format!("current/{app}")), body(&token)),
                    Change::put(key(Kind::Authorizer, NAME, &app), body(standing)),
                ]
            });
            shelf.commit(changes.collect()).await.unwrap();
        }
    }
    let before = resident();
    let began = std::time::Instant::now();
    let vault = open(sled(folder.path()).await, &vendor, &clock).await;
    println!("opened in {:?}; {before} MiB before, {} MiB after", began.elapsed(), resident());
    let began = std::time::Instant::now();
    for index in 0..1_000_000_u64 {
        let app = format!("tt{:018}", index * 7919 % 100_000);
        vault.fresh(NAME, &token_of(&app), Want::default()).await.unwrap();
    }
    println!("a million held tokens served in {:?}; {} MiB", began.elapsed(), resident());
    assert!(resident() <= 256, "{} MiB resident", resident());
}
