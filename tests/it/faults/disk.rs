//! A full disk, and a disk that says of a sync that it failed.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use yizhan::clock::Timestamp;

use super::cuts::Disk;
use super::station::{Start, Station};
use super::steps::Meddler;
use super::times;

/// Exit code of a service that cannot write its store.
const STORE_FAILED: Option<i32> = Some(3);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts a file system: run by tests/faults"]
async fn a_full_disk_acknowledges_nothing_and_loses_nothing_once_there_is_room() {
    let disk = Disk::of(192);
    let mut station = Station::at(Some(&disk.mounted().join("store"))).await;
    station.start().await;
    station.granted().await;
    let ballast = disk.mounted().join("ballast");
    let free = || {
        let output = Command::new("df").args(["--output=avail", "-B1024"]).arg(disk.mounted()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().last().unwrap().trim().parse::<u64>().unwrap()
    };
    let taken = free() - 1024;
    assert!(Command::new("fallocate").args(["-l", &format!("{taken}KiB")]).arg(&ballast).status().unwrap().success());
    let load = station.load(8);
    let code = station.end_within(Duration::from_secs(120)).await;
    load.stop().await;
    assert_eq!(code, STORE_FAILED, "{}", station.talk());
    let full = station.ledger.count();
    assert!(full > 0);

    // Still full: it comes up and takes what fits, or says why not and ends. Either way nothing is acknowledged that is not kept.
    match station.try_start(&[]).await {
        Start::Ready => {
            let load = station.load(4);
            let code = station.end_within(Duration::from_secs(60)).await;
            load.stop().await;
            assert_eq!(code, STORE_FAILED, "{}", station.talk());
        }
        Start::Ended(code) => {
            assert!(code == Some(1) || code == STORE_FAILED, "{code:?}");
            assert!(station.talk().contains("No space left on device"), "{}", station.talk());
        }
    }

    std::fs::remove_file(&ballast).unwrap();
    station.start().await;
    assert_eq!(station.tokens_lost().await, 0);
    let load = station.load(4);
    tokio::time::sleep(Duration::from_millis(300)).await;
    load.stop().await;
    let account = station.account().await;
    println!("disk full after {full} pushes, and back: {account}");
    account.settle("after a full disk");
    assert!(account.acknowledged > full, "it goes on");
    station.all_delivered().await;
}

/// A sync that fails is final: the kernel may have dropped the pages, and nobody can say what is on the disk. Here it has: what was not synced is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_of_the_log_ends_the_process_and_nothing_after_it_is_acknowledged() {
    refused(".jnl", "fdatasync", "error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_of_the_vault_ends_the_process_and_nothing_after_it_is_acknowledged() {
    refused("vault/db", "fdatasync", "error").await;
}

/// So is a write that fails, of which a part may have been done.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_ends_the_process_and_nothing_after_it_is_acknowledged() {
    let cases = [(".jnl", "error"), ("vault/db", "full"), (".jnl", "full"), ("vault/db", "error")];
    for (files, deed) in cases.into_iter().take(times(2, 4) as usize) {
        refused(files, "write", deed).await;
    }
}

/// The step from which on such calls fail: pushes and tickets are on their way by then.
const FAILING: u64 = 40;

/// From that step on, each such call on such a file fails.
async fn refused(files: &str, call: &str, deed: &str) {
    let meddler = Meddler::new();
    let mut station = Station::at(None).await;
    station.start().await;
    station.granted().await;
    station.stop().await;
    let store = station.store.to_str().unwrap().to_owned();
    let environment = meddler.environment(&store, files, call, deed, FAILING);
    assert!(matches!(station.try_start(&environment.each()).await, Start::Ready), "{}", station.talk());
    // Many, so that the group that fails has pushes in it.
    let load = station.load(16);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut kept_since = None;
    let code = loop {
        if let Some(code) = station.ended() {
            break code;
        }
        // A ticket is what the vault must write while nobody renews anything.
        let begun = Timestamp::now();
        if files == ".jnl" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        } else if station.simulator.ticket("douyin").await.unwrap().is_some_and(|answered| answered.acknowledged) {
            kept_since = Some(begun);
        }
        assert!(Instant::now() < deadline, "it goes on although {call} of {files} fails: {}", station.talk());
    };
    load.stop().await;
    assert_eq!(code, STORE_FAILED, "{call} of {files}: {}", station.talk());
    let said = if deed == "full" { "No space left on device" } else { "Input/output error" };
    assert!(station.talk().contains(said), "{}", station.talk());
    station.start().await;
    let account = station.account().await;
    println!("{call} of {files}: {account}");
    account.settle("after a failed call");
    assert_eq!(station.tokens_lost().await, 0);
    if let Some(since) = kept_since {
        let (_, component) = station.get("/v1/components/douyin").await;
        let received_at: Timestamp = component["ticket"]["received_at"].as_str().unwrap().parse().unwrap();
        assert!(
            received_at.as_millisecond() >= since.as_millisecond(),
            "a ticket was acknowledged after {since}, and the newest is: {component}"
        );
    }
    let (_, ready) = station.get("/readyz").await;
    assert_eq!(ready["log"]["ok"], json!(true), "{ready}");
}
