//! Killed at every step of the write path and of renewals, and of the very first start: a step is one call that changes a file of the store or
//! makes it durable. The steps are those of the real process on its way to the kernel, seen by a small library that the tests load before the C
//! library (`meddle.c`): the product has no place where a test could stop it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::station::{MERCHANTS, Start, Station};
use super::{scattered, times};

/// The library, compiled.
pub struct Meddler {
    folder: tempfile::TempDir,
}

impl Meddler {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/meddle.c");
        let mut command = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        let output = command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.path().join("meddle.so")).arg(source).arg("-ldl").output();
        let output = output.expect("a C compiler is needed, as for building the service");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { folder }
    }

    pub fn environment(&self, store: &str, files: &str, calls: &str, deed: &str, step: u64) -> Environment {
        let library = self.folder.path().join("meddle.so");
        let log = self.steps();
        let _ = std::fs::remove_file(&log);
        Environment(vec![
            ("LD_PRELOAD", library.to_str().unwrap().to_owned()),
            ("MEDDLE_FOLDER", store.to_owned()),
            ("MEDDLE_FILES", files.to_owned()),
            ("MEDDLE_CALLS", calls.to_owned()),
            ("MEDDLE_DEED", deed.to_owned()),
            ("MEDDLE_STEP", step.to_string()),
            ("MEDDLE_LOG", log.to_str().unwrap().to_owned()),
        ])
    }

    fn steps(&self) -> PathBuf {
        self.folder.path().join("steps")
    }

    /// The steps of the last process: number and name.
    fn taken(&self) -> Vec<String> {
        std::fs::read_to_string(self.steps()).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

pub struct Environment(Vec<(&'static str, String)>);

impl Environment {
    pub fn each(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// What a life consists of: tickets, grants and their exchange, pushes, renewals. Ends when it is through or the process is gone; whether it came to a
/// renewal.
async fn live(station: &mut Station) -> bool {
    for (platform, app) in MERCHANTS {
        let _ = station.simulator.ticket(platform).await;
        let _ = station.simulator.grant(platform, app).await;
    }
    for platform in super::station::PLATFORMS {
        station.ledger.push(&station.simulator, platform).await;
    }
    let mut renewing = false;
    for (platform, app) in MERCHANTS {
        if station.ended().is_some() {
            return renewing;
        }
        if let Some(generation) = held(station, platform, app).await {
            renewing = true;
            station.renewal(platform, app, generation).await.unwrap();
        }
        station.ledger.push(&station.simulator, platform).await;
    }
    renewing
}

/// The token's generation if there is one soon and the process lives.
async fn held(station: &mut Station, platform: &str, app: &str) -> Option<u64> {
    for _ in 0..100 {
        if station.ended().is_some() {
            return None;
        }
        let address = format!("{}{}", station.base, super::station::token_address(platform, app));
        let sent = station.client.get(address).bearer_auth(crate::world::KEY).send().await.ok()?;
        if sent.status() == 200 {
            let body: serde_json::Value = serde_json::from_slice(&sent.bytes().await.ok()?).ok()?;
            return body["generation"].as_u64();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_a_life_nothing_acknowledged_or_handed_out_is_lost() {
    let meddler = Meddler::new();
    let mut station = Station::new().await;
    let store = station.store.to_str().unwrap().to_owned();
    station.granted().await;
    station.stop().await;
    // How many steps a life has.
    let counting = meddler.environment(&store, "", "", "count", 0);
    assert!(matches!(station.try_start(&counting.each()).await, Start::Ready));
    live(&mut station).await;
    station.kill();
    let steps = meddler.taken();
    assert!(steps.len() > 40, "{steps:?}");

    let deeds = ["kill-before", "kill-after", "torn"];
    let kills = times(10, steps.len() as u64 * 2);
    let (mut died, mut renewing, mut at): (u64, u64, BTreeMap<String, u64>) = (0, 0, BTreeMap::new());
    for round in 0..kills {
        // Short: one in each part of a life. Long: each of them, twice.
        let part = steps.len() as u64 / kills.min(steps.len() as u64);
        let step = 1 + times(round * part + scattered(round + 3, part), round % steps.len() as u64);
        let environment = meddler.environment(&store, "", "", deeds[(round % 3) as usize], step);
        let mut came_to_renewals = false;
        if matches!(station.try_start(&environment.each()).await, Start::Ready) {
            came_to_renewals = live(&mut station).await;
            let _ = station.renewal(MERCHANTS[0].0, MERCHANTS[0].1, 0).await;
        }
        match station.ended() {
            Some(_) => {
                died += 1;
                renewing += u64::from(came_to_renewals);
                let last = meddler.taken().into_iter().next_back().unwrap_or_default();
                *at.entry(last.split_once(' ').map_or_else(String::new, |(_, name)| name.to_owned())).or_default() += 1;
            }
            None => station.kill(),
        }
        station.start().await;
        assert_eq!(station.tokens_lost().await, 0, "killed at step {step}");
        station.account().await.settle(&format!("killed at step {step}"));
        station.kill();
    }
    println!("{kills} lives of {} steps, {died} of them ended early, {renewing} of those in a renewal, at {at:?}", steps.len());
    assert!(died * 5 > kills && renewing > 0, "{died} of {kills}, {renewing} of them in a renewal");
    let mut station = station;
    station.start().await;
    let account = station.account().await;
    println!("killed at every step: {account}");
    station.all_delivered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_its_first_start_it_starts_again() {
    let meddler = Meddler::new();
    let mut station = Station::at(None).await;
    let store = station.store.to_str().unwrap().to_owned();
    let counting = meddler.environment(&store, "", "", "count", 0);
    assert!(matches!(station.try_start(&counting.each()).await, Start::Ready));
    station.kill();
    let steps = meddler.taken().len() as u64;
    assert!(steps > 10);
    let mut trouble = Vec::new();
    for round in 0..times(10, steps * 2) {
        let step = 1 + times(scattered(round + 11, steps), round / 2);
        let deed = if round % 2 == 0 { "kill-before" } else { "kill-after" };
        let _ = std::fs::remove_dir_all(&station.store);
        let environment = meddler.environment(&store, "", "", deed, step);
        let _ = station.try_start(&environment.each()).await;
        station.kill();
        let last = meddler.taken().into_iter().next_back().unwrap_or_default();
        match station.try_start(&[]).await {
            Start::Ready => station.kill(),
            Start::Ended(code) => trouble.push(format!("{deed} {last}: {code:?} {}", station.talk().lines().last().unwrap_or_default())),
        }
    }
    assert!(trouble.is_empty(), "{trouble:#?}");
}
