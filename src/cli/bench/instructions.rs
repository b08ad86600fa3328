//! Instructions of a push, counted by valgrind over the service alone: they are repeatable where the processor's time is not. The kernel's part is not
//! among them, and valgrind has no SHA instructions, so hashes count for more than they cost.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::parts::{Process, outside};
use super::world::World;
use crate::clock::Timestamp;
use crate::platform;

/// Pushes that are not counted: each address, cache and pool is used once before.
const WARM: usize = 500;
/// Slices of pushes that are counted: as many as the engine writes out what it holds in memory for several times, which would else be counted by chance.
const COUNTED: usize = 3;
const CONNECTIONS: usize = 64;

/// Longest wait for what the service does after a start, and for what it does by itself to come to an end.
const PATIENCE: Duration = Duration::from_secs(180);

/// A service that uses less than this share of a core for so long merges no tables, which takes a whole one. What it always does is much under valgrind.
const AT_REST: (f64, Duration) = (0.5, Duration::from_secs(4));

/// Whether there is what is needed, before anything else is done.
///
/// # Errors
/// What is missing.
pub fn look_for_valgrind() -> anyhow::Result<()> {
    for program in ["valgrind", "vgdb"] {
        let ran = outside(program).arg("--help").output();
        ensure!(ran.is_ok(), "--instructions needs `{program}`, which is not found: install valgrind, or leave the option out");
    }
    Ok(())
}

/// Instructions of all threads for one push, without what the service does by itself in as long a time. The service starts anew before and after.
///
/// # Errors
/// Valgrind does not start the service, or does not count.
pub async fn of_a_push(world: &mut World) -> anyhow::Result<u64> {
    world.say("counting the instructions of a push");
    let folder = tempfile::tempdir_in(world.folder())?;
    let counts = folder.path().join("instructions");
    world.service.ask_to_stop().await?;
    world.replace(Process::under_valgrind(&world.config, &counts).await?)?;
    let service = world.service.id();
    looked_around(world).await?;
    let warm = world.pushes.requests(WARM);
    world.push(warm, CONNECTIONS).await?;
    at_rest(world).await?;
    tell(service, "instrumentation on")?;

    let count = world.plan.pushes * COUNTED;
    let (requests, began) = (world.pushes.requests(count), Instant::now());
    world.push(requests, CONNECTIONS).await?;
    // What the pushes leave to be written out and merged is theirs.
    at_rest(world).await?;
    tell(service, "dump")?;
    tokio::time::sleep(began.elapsed()).await;
    tell(service, "dump")?;
    let [busy, rest] = [counted(&counts, 1)?, counted(&counts, 2)?];

    world.service.ask_to_stop().await?;
    world.replace(Process::service(&world.config).await?)?;
    Ok(busy.saturating_sub(rest) / u64::try_from(count)?)
}

/// Waits until the service has asked the vendors what it asks after each start: a list of many merchants is no part of a push.
async fn looked_around(world: &World) -> anyhow::Result<()> {
    for platform in platform::ALL {
        let address = format!("/v1/components/{}", platform.name());
        let has_looked = async || {
            let component = world.api.get(&address).await?;
            let now = world.simulator.now();
            let is_due = |look: &Value| {
                let next_at = look.get("next_at").and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
                next_at.is_some_and(|at| at <= now)
            };
            let looks = component.get("reconcile").and_then(Value::as_object).context("the component tells of no looks")?;
            Ok(!looks.values().any(is_due))
        };
        world.api.until("the service has looked around", PATIENCE, has_looked).await?;
    }
    Ok(())
}

/// Waits until the service has nothing to do: large tables that are merged just then are no part of a push either.
async fn at_rest(world: &World) -> anyhow::Result<()> {
    let (share, long) = AT_REST;
    let began = Instant::now();
    loop {
        let before = world.service.busy();
        tokio::time::sleep(long).await;
        let worked = world.service.busy().zip(before).map(|(after, before)| after.saturating_sub(before));
        // Where the system does not tell, nobody knows.
        if worked.is_none_or(|worked| worked < long.mul_f64(share)) {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "the service does not come to rest");
    }
}

/// Tells valgrind something.
fn tell(service: u32, what: &str) -> anyhow::Result<()> {
    let told = outside("vgdb").arg(format!("--pid={service}")).args(what.split(' ')).output().context("cannot run vgdb")?;
    ensure!(told.status.success(), "valgrind was not told `{what}`: {}", String::from_utf8_lossy(&told.stderr).trim());
    Ok(())
}

/// What was counted up to that dump, since the one before it.
fn counted(counts: &Path, dump: u32) -> anyhow::Result<u64> {
    let path = counts.with_extension(dump.to_string());
    let text = std::fs::read_to_string(&path).context("valgrind wrote no counts")?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).context("valgrind's counts have no total")
}
