//! Rot: bits flipped, pages zeroed, files cut short, in both stores. Damage is named by `check --store` and by the service, what is lost is
//! counted, and a backup mends it. Never is anything dropped without a word.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use yizhan::clock::SystemClock;
use yizhan::event_type::EventType;
use yizhan::inbox::{Accepted, EventLog};
use yizhan::secret::Secret;
use yizhan::store::at_rest::AtRest;
use yizhan::store::fjall::{FjallLog, LogOptions};

use super::station::{MERCHANTS, Start, Station, token_address};
use super::times;
use crate::world::{MASTER_KEY, copy_all};

/// How a file is harmed, at a place given in hundredths of what it holds.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip(usize),
    Zero(usize),
    Cut(usize),
}

impl Harm {
    fn to(self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let at = |hundredths: usize| (used * hundredths / 100).min(used.saturating_sub(1));
        match self {
            Self::Flip(place) => bytes[at(place)] ^= 0x24,
            Self::Zero(place) => {
                let from = at(place);
                let to = (from + 4096).min(bytes.len());
                bytes[from..to].fill(0);
            }
            Self::Cut(place) => bytes.truncate(at(place)),
        }
        fs::write(file, bytes).unwrap();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    files
}

fn check(station: &Station) -> (i32, Value) {
    let output = station.run(&["check", "--store", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{error}")))
}

async fn generations(station: &Station) -> Vec<u64> {
    let mut generations = Vec::new();
    for (platform, app) in MERCHANTS {
        generations.push(station.get(&token_address(platform, app)).await.1["generation"].as_u64().unwrap_or_default());
    }
    generations
}

/// A store with something in every kind of file: events in the journal, with enough large ones in tables too, tokens, subscriptions. With a
/// backup of an earlier moment, before the large ones.
async fn filled(large: usize) -> (Station, PathBuf, Vec<u64>) {
    let mut station = Station::new().await;
    station.granted().await;
    for number in 0..60 {
        station.ledger.push(&station.simulator, super::station::PLATFORMS[number % 4]).await;
    }
    let archive = station.beside("backup");
    let backup = station.run(&["backup", archive.to_str().unwrap()]);
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    station.stop().await;
    {
        // Bodies that fill tables.
        let at_rest = Arc::new(AtRest::new(&Secret::new(MASTER_KEY), &[]).unwrap());
        let log = FjallLog::open(&station.store.join("log"), at_rest, LogOptions::default(), Arc::new(SystemClock)).unwrap();
        let mut noise = 1_u64;
        let mut body = || {
            let next = || {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (noise >> 33).to_string().into_bytes()
            };
            std::iter::repeat_with(next).flatten().take(100_000).collect::<Vec<u8>>()
        };
        for number in 0..large {
            let mut arrival = crate::log::world::arrival(&format!("noise {number}"), None, crate::log::world::start(), &[]);
            arrival.event.body = body().into();
            arrival.event.kind = EventType::VendorOther;
            assert!(matches!(log.accept(arrival).await.unwrap(), Accepted::Fresh(_)));
        }
    }
    station.start().await;
    for number in 0..60 {
        station.ledger.push(&station.simulator, super::station::PLATFORMS[number % 4]).await;
    }
    station.all_delivered().await;
    let generations = generations(&station).await;
    station.stop().await;
    (station, archive, generations)
}

/// Every harm to one half of the store: what is gone afterwards was named before, and the service says it or does not start.
async fn harmed(half: &str) {
    let (mut station, _, before) = filled(400).await;
    let whole = station.beside("whole");
    fs::rename(&station.store, &whole).unwrap();
    copy_all(&whole, &station.store);
    let (code, found) = check(&station);
    assert_eq!(code, 0, "{found}");
    let events = found["found"]["events"].as_u64().unwrap();
    assert!(events > 400, "{found}");
    let audits = station.ledger.count();

    let short = [Harm::Flip(50), Harm::Zero(50), Harm::Cut(60), Harm::Flip(99), Harm::Cut(97)];
    let long = (1..20).flat_map(|part| [Harm::Flip(part * 5 + 1), Harm::Zero(part * 5 + 2), Harm::Cut(part * 5 + 3)]);
    let harms: Vec<_> = if times(0, 1) == 0 { short.to_vec() } else { long.collect() };
    let targets: Vec<_> = files(&whole.join(half))
        .into_iter()
        .filter(|file| {
            let name = file.file_name().unwrap().to_str().unwrap();
            let length = fs::metadata(file).unwrap().len();
            let more = times(0, 1) == 1 && (length > 2_000_000 || (half == "vault" && length > 0));
            name.ends_with(".jnl") || name == "db" || name == "current" || more
        })
        .chain(files(&whole.join(half)).into_iter().filter(|file| file.to_str().unwrap().contains("/tables/")).take(1))
        .collect();
    assert!(!targets.is_empty());
    let (mut named, mut harmless, mut wrong) = (0, 0, Vec::new());
    for target in targets {
        for harm in &harms {
            let name = target.strip_prefix(&whole).unwrap().display().to_string();
            if name.ends_with("current") && !matches!(harm, Harm::Flip(50)) {
                continue;
            }
            fs::remove_dir_all(&station.store).unwrap();
            copy_all(&whole, &station.store);
            harm.to(&station.store.join(&name));
            let said = station.talk().len();
            let (code, found) = check(&station);
            let (lost, started) = match station.try_start(&[]).await {
                Start::Ended(_) => (true, false),
                Start::Ready => {
                    let (stored, after) = (station.readable().await.ok(), generations(&station).await);
                    let regress = after.iter().zip(&before).any(|(after, before)| after < before);
                    station.kill();
                    let fewer = found["found"]["events"].as_u64() != Some(events) || stored.is_none_or(|stored| stored.len() < audits);
                    (fewer || regress, true)
                }
            };
            let said = station.talk()[said..].to_owned();
            // One that runs says it as an error; one that does not start says why.
            let told = match started {
                true => said
                    .lines()
                    .any(|line| line.contains("ERROR") && ["missing", "damaged", " damage: "].iter().any(|word| line.contains(word))),
                false => ["damaged", "cannot be read", "lost"].iter().any(|word| said.contains(word)),
            };
            match (code, lost) {
                (0, false) => harmless += 1,
                (1, _) => named += 1,
                _ => wrong.push(format!("{name} {harm:?}: check {code}, started {started}: {found} {said}")),
            }
            if lost && !told {
                wrong.push(format!("{name} {harm:?}: the service said nothing: {said}"));
            }
        }
    }
    println!("{half}: {named} harms named, {harmless} harmed nothing that is read");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(named > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_the_log_is_named_and_never_dropped_without_a_word() {
    harmed("log").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_the_vault_is_named_and_never_dropped_without_a_word() {
    harmed("vault").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_mends_a_damaged_log_and_what_is_missing_is_counted() {
    let (mut station, archive, before) = filled(20).await;
    let archive = archive.to_str().unwrap();
    let journal = files(&station.store.join("log")).into_iter().rfind(|file| file.extension().is_some_and(|it| it == "jnl")).unwrap();
    Harm::Flip(30).to(&journal);
    assert_eq!(check(&station).0, 1);
    let refused = station.run(&["restore", "--only", "log", archive]);
    assert_eq!(refused.status.code(), Some(1), "nothing is replaced unasked");
    let restored = station.run(&["restore", "--only", "log", "--replace", archive]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    station.start().await;
    assert_eq!(generations(&station).await, before, "the vault is as it was");
    let stored = station.stored().await;
    // What the backup holds, and by now perhaps what asking the vendors has found again.
    assert!((60..=120).contains(&stored.len()), "{}", stored.len());
    let metrics = station.client.get(format!("{}/metrics", station.base)).send().await.unwrap();
    let metrics = String::from_utf8(metrics.bytes().await.unwrap().to_vec()).unwrap();
    let lost: f64 = metrics.lines().find_map(|line| line.strip_prefix("yizhan_events_lost ")).unwrap().parse().unwrap();
    assert!(lost >= 80.0, "{lost}");
    assert!(station.get("/readyz").await.1["log"]["detail"].as_str().unwrap().contains("lost to damage"));
    station.stop().await;
    let (code, found) = check(&station);
    assert_eq!(code, 0, "what was counted is no news: {found}");
    assert!(found["found"]["remarks"][0].as_str().unwrap().contains("counted as lost"), "{found}");

    // The whole store, replaced by the same backup: it still knows how far it had come.
    let restored = station.run(&["restore", "--replace", archive]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    station.start().await;
    assert!(station.get("/readyz").await.1["log"]["detail"].as_str().unwrap().contains("lost to damage"));
    assert_eq!(station.tokens_lost().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_mends_a_lost_vault_beside_a_whole_log() {
    let (mut station, archive, _) = filled(20).await;
    fs::remove_dir_all(station.store.join("vault")).unwrap();
    let (code, found) = check(&station);
    assert_eq!(code, 1);
    assert_eq!(found["found"]["damage"][0]["part"], "vault", "{found}");
    let restored = station.run(&["restore", "--only", "vault", archive.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    station.start().await;
    assert!(station.get("/readyz").await.1["vault"]["detail"].as_str().unwrap().contains("changes"), "an older vault is said to be one");
    assert_eq!(station.tokens_lost().await, 0);
    station.account().await.settle("after a vault was put back");
    for command in [&["check", "--store"][..], &["restore", "--replace", archive.to_str().unwrap()]] {
        let refused = station.run(command);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && error.contains("in use by another process"), "{error}");
    }
}
