//! What a large store costs: starts, memory, disk, the processor's time of a push, rest, and what retention gives back.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::figures::{rounded, whole};
use super::instructions;
use super::parts::Process;
use super::world::World;

/// Events of a small store, with which a push in a large one is compared.
const SMALL: usize = 10_000;

/// What a push costs.
pub struct Cost {
    /// Microseconds of the processor.
    time: f64,
    /// Instructions, where they are counted.
    instructions: Option<u64>,
}

/// The cost of a push while the store is small.
pub async fn cost_in_a_small_store(world: &mut World, with_instructions: bool) -> anyhow::Result<Cost> {
    world.store(SMALL.min(world.plan.events / 2)).await?;
    let time = time_of_a_push(world).await?;
    let instructions = if with_instructions { Some(instructions::of_a_push(world).await?) } else { None };
    Ok(Cost { time, instructions })
}

/// Microseconds of the processor for a push, as the system counts them: hundredths of a second over many pushes.
async fn time_of_a_push(world: &mut World) -> anyhow::Result<f64> {
    let count = world.plan.pushes * 3;
    let requests = world.pushes.requests(count);
    let before = world.service.busy().unwrap_or_default();
    world.push(requests, 64).await?;
    let busy = world.service.busy().unwrap_or_default().saturating_sub(before);
    Ok(rounded(busy.as_secs_f64() * 1_000_000.0 / f64::from(u32::try_from(count)?), 1))
}

/// Measures; `small` is the cost of a push in a small store.
pub async fn measure(world: &mut World, small: Cost) -> anyhow::Result<Value> {
    world.say("a push in the full store");
    let large = time_of_a_push(world).await?;
    let loaded = world.service.resident();
    let event_bytes = world.event_bytes().await?;

    world.say("rest");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = world.service.busy().unwrap_or_default();
    tokio::time::sleep(world.plan.rest).await;
    let idle = world.service.busy().unwrap_or_default().saturating_sub(before).as_secs_f64() / world.plan.rest.as_secs_f64();

    world.say("a start after a clean stop");
    let clean = restart(world, Ending::Clean).await?;
    let started = world.service.resident();
    let store = world.folder().join("store");
    let (disk, vault) = (bytes_in(&store), bytes_in(&store.join("vault")));

    world.say("a start after SIGKILL under load");
    let count = world.plan.pushes;
    let requests = world.pushes.requests(count);
    world.push(requests, 64).await?;
    let killed = restart(world, Ending::Killed).await?;

    // After everything that a start in between would change.
    let instructions = if small.instructions.is_some() { Some(instructions::of_a_push(world).await?) } else { None };

    world.say("retention");
    let retention = retention(world, &store.join("log")).await?;
    let stored_bytes = world.stored * event_bytes;
    Ok(json!({
        "events": world.stored,
        "authorizers": world.plan.authorizers,
        "start_clean_s": rounded(clean.0.as_secs_f64(), 2),
        "start_killed_s": rounded(killed.0.as_secs_f64(), 2),
        "start_clean_cpu_s": clean.1.map(|busy| rounded(busy.as_secs_f64(), 2)),
        "start_killed_cpu_s": killed.1.map(|busy| rounded(busy.as_secs_f64(), 2)),
        "resident_loaded_mib": loaded.map(mebibytes),
        "resident_started_mib": started.map(mebibytes),
        "idle_cpu": rounded(idle, 4),
        "event_bytes": event_bytes,
        "disk_mib": mebibytes(disk),
        "vault_mib": mebibytes(vault),
        "disk_times_events": rounded(ratio(disk, u64::try_from(stored_bytes)?), 2),
        "push_cpu_us_small": small.time,
        "push_cpu_us_large": large,
        "push_instructions_small": small.instructions,
        "push_instructions_large": instructions,
        "retention_gave_back": rounded(1.0 - ratio(retention.left.tables, retention.before.tables), 3),
        "retention_took_s": retention.back_in.map(|time| rounded(time.as_secs_f64(), 1)),
        "log_tables_mib": [mebibytes(retention.before.tables), mebibytes(retention.left.tables)],
        "log_journals_mib": [mebibytes(retention.before.journals), mebibytes(retention.left.journals)],
    }))
}

enum Ending {
    Clean,
    Killed,
}

/// Ends the service and starts it again; how long the start took, and how much of the processor's time, which tells more where a machine does much else.
async fn restart(world: &mut World, ending: Ending) -> anyhow::Result<(Duration, Option<Duration>)> {
    end(world, ending).await?;
    let service = Process::service(&world.config).await?;
    let took = (service.started_in, service.busy());
    world.replace(service)?;
    Ok(took)
}

async fn end(world: &mut World, ending: Ending) -> anyhow::Result<()> {
    match ending {
        Ending::Clean => world.service.ask_to_stop().await,
        Ending::Killed => world.service.kill(),
    }
}

/// What the log takes on the disk. Its journals are room for the newest writes, which is used again and again: it is bounded, does not grow with the
/// events, and is not what retention gives back.
struct Taken {
    tables: u64,
    journals: u64,
}

impl Taken {
    fn by(log: &Path) -> Self {
        let entries = std::fs::read_dir(log).into_iter().flatten().flatten();
        let journals = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "jnl"));
        let journals = journals.filter_map(|journal| journal.metadata().ok()).map(|metadata| taken(&metadata)).sum();
        Self { tables: bytes_in(log).saturating_sub(journals), journals }
    }
}

struct Retention {
    before: Taken,
    left: Taken,
    /// When nine tenths of the tables were back.
    back_in: Option<Duration>,
}

/// Starts the service and lets two days pass at once, so that everything stored is older than the retention. Only the log is looked at: what the vault
/// holds of the authorizers is theirs as long as they are, and just then all of their tokens are renewed.
async fn retention(world: &mut World, log: &Path) -> anyhow::Result<Retention> {
    end(world, Ending::Clean).await?;
    let before = Taken::by(log);
    let began = Instant::now();
    world.replace(Process::later(&world.config, 2).await?)?;
    let mut back_in = None;
    while began.elapsed() < world.plan.back_within && back_in.is_none() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if Taken::by(log).tables < before.tables / 10 {
            back_in = Some(began.elapsed());
        }
    }
    Ok(Retention { before, left: Taken::by(log), back_in })
}

/// Bytes that a folder takes on the disk; holes in its files take none.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => taken(&metadata),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(unix)]
fn taken(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata) * 512
}

#[cfg(not(unix))]
fn taken(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}

fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}

fn ratio(part: u64, whole_bytes: u64) -> f64 {
    let kibibytes = |bytes: u64| f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX));
    kibibytes(part) / kibibytes(whole_bytes).max(1.0)
}

/// Shown by the report.
pub fn lines(scale: &Value) -> Vec<String> {
    let number = |name: &str| scale.get(name).and_then(Value::as_f64).unwrap_or_default();
    let count = |name: &str| whole(number(name));
    let mut lines = vec![
        format!("start: {:.2} s after a clean stop, {:.2} s after SIGKILL", number("start_clean_s"), number("start_killed_s")),
        format!("resident: {} MiB under load, {} MiB after a start", count("resident_loaded_mib"), count("resident_started_mib")),
        format!(
            "disk: {} MiB, {} of them the vault's, = {:.2} x the events ({} bytes each)",
            count("disk_mib"),
            count("vault_mib"),
            number("disk_times_events"),
            count("event_bytes")
        ),
        format!(
            "processor: {:.1} µs for a push in a small store, {:.1} µs in this one; at rest {:.2} %",
            number("push_cpu_us_small"),
            number("push_cpu_us_large"),
            number("idle_cpu") * 100.0
        ),
        format!(
            "retention: {:.1} % of the log's tables back{}",
            number("retention_gave_back") * 100.0,
            match scale.get("retention_took_s").and_then(Value::as_f64) {
                Some(seconds) => format!(", nine tenths of it within {seconds:.1} s"),
                None => String::from(" in the end"),
            }
        ),
    ];
    if scale.get("push_instructions_small").is_some_and(Value::is_u64) {
        let (small, large) = (count("push_instructions_small"), count("push_instructions_large"));
        lines.push(format!("instructions: {small} for a push in a small store, {large} in this one"));
    }
    lines
}
