//! *push*: real envelopes of the four platforms, verified, decrypted, durable and acknowledged, against a bare handler that reads the same bodies
//! and answers the same, and against the disk. One subscription, paused, is to hear of every event, so that deliveries are stored too.

use std::time::Duration;

use serde_json::{Value, json};

use super::figures::{Figures, Pair, Timed, rounded, whole};
use super::load::{self, Errand};
use super::world::World;

/// The subscription that holds what is pushed.
const HELD: &str = "bench-held";

/// Measures. The ratio is the worst of those with many connections.
pub async fn measure(world: &mut World) -> anyhow::Result<(Value, Option<f64>)> {
    world.subscribe(HELD, 1).await?;
    world.api.post(&format!("/v1/subscriptions/{HELD}/pause"), &json!({})).await?;
    let mut rows = Vec::new();
    let mut worst: Option<f64> = None;
    // Buffers, pools and caches are filled before anything counts.
    let warm = world.pushes.requests(world.plan.pushes);
    world.push(warm, 64).await?;
    let alone = alone(world).await?;
    for connections in world.plan.connections {
        let (row, ratio) = at_once(world, *connections).await?;
        worst = Some(worst.map_or(ratio, |worst| worst.min(ratio)));
        rows.push(row);
    }
    world.api.delete(&format!("/v1/subscriptions/{HELD}")).await?;
    Ok((json!({ "alone": alone, "concurrent": rows }), worst))
}

/// One push at a time against one fdatasync at a time. The disk is asked without a pause, which is the target, and once more with a rest as long as it
/// has between two pushes: disks, and processors that wait for them, are slower after a rest.
async fn alone(world: &mut World) -> anyhow::Result<Value> {
    let (mut service, mut disk, mut rested) = (Figures::default(), Figures::default(), Figures::default());
    let bytes = world.event_bytes().await?;
    for round in 0..world.plan.rounds {
        world.say(&format!("push, one at a time, {} of {}", round + 1, world.plan.rounds));
        let requests = world.pushes.requests(world.plan.alone);
        service.add(world.push(requests, 1).await?);
        disk.add(synced(world, bytes, world.plan.alone, Duration::ZERO)?);
        let rest = service.within(500).saturating_sub(disk.within(500));
        rested.add(synced(world, bytes, world.plan.alone, rest)?);
    }
    let mut times =
        |disk: &mut Figures| rounded(service.within(500).as_secs_f64() / disk.within(500).as_secs_f64().max(f64::MIN_POSITIVE), 2);
    let (times_p50, times_rested_p50) = (times(&mut disk), times(&mut rested));
    Ok(json!({
        "service": service.json(),
        "fdatasync": disk.json(),
        "times_p50": times_p50,
        "fdatasync_rested": rested.json(),
        "times_rested_p50": times_rested_p50,
    }))
}

async fn at_once(world: &mut World, connections: usize) -> anyhow::Result<(Value, f64)> {
    let mut pair = Pair::default();
    let (mut groups, mut busy, mut pushed) = (Grouping::default(), Duration::ZERO, 0);
    let mut disk = Figures::default();
    for round in 0..world.plan.rounds {
        world.say(&format!("push, {connections} connections, {} of {}", round + 1, world.plan.rounds));
        let requests = world.pushes.requests(world.plan.pushes);
        let errand = Errand { address: world.bare.address, count: requests.len(), requests, connections };
        pair.ceiling.add(load::run(errand.clone()).await?);
        let (before, worked) = (Grouping::read(world).await?, world.service.busy());
        pair.service.add(world.push(errand.requests, connections).await?);
        groups = groups.plus(Grouping::read(world).await?, before);
        if let (Some(before), Some(after)) = (worked, world.service.busy()) {
            busy += after.saturating_sub(before);
            pushed += errand.count;
        }
        // The same events in the same groups, by an append-only file.
        let bytes = world.event_bytes().await?;
        let members = whole(groups.average()).max(1);
        let times = (errand.count / members).clamp(1, 2000);
        let slice = synced(world, bytes * members, times, Duration::ZERO)?;
        disk.add_count(members * times, slice.took);
    }
    let ratio = pair.ratio();
    let p99 = pair.times(990);
    let mut row = pair.json();
    let cpu = busy.as_secs_f64() * 1_000_000.0 / f64::from(u32::try_from(pushed.max(1))?);
    let more = [
        ("connections", json!(connections)),
        ("times_p99", json!(rounded(p99, 2))),
        ("group", json!(rounded(groups.average(), 1))),
        ("fdatasync_per_second", json!(rounded(disk.rate(), 0))),
        ("cpu_us", json!(rounded(cpu, 1))),
    ];
    if let Some(row) = row.as_object_mut() {
        row.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    Ok((row, ratio))
}

fn synced(world: &mut World, bytes: usize, times: usize, rest: Duration) -> anyhow::Result<Timed> {
    let latencies = world.disk.append(bytes, times, rest)?;
    Ok(Timed { took: latencies.iter().sum(), latencies })
}

/// How many writes were made durable together, as the service counts them.
#[derive(Debug, Clone, Copy, Default)]
struct Grouping {
    writes: f64,
    commits: f64,
}

impl Grouping {
    async fn read(world: &World) -> anyhow::Result<Self> {
        let (writes, commits) = world.api.histogram("yizhan_commit_group", "store=\"log\"").await?;
        Ok(Self { writes, commits })
    }

    fn plus(self, after: Self, before: Self) -> Self {
        Self { writes: self.writes + after.writes - before.writes, commits: self.commits + after.commits - before.commits }
    }

    fn average(self) -> f64 {
        self.writes / self.commits.max(1.0)
    }
}

/// Shown by the report.
pub fn line(row: &Value) -> String {
    let number = |path: &str| row.pointer(path).and_then(Value::as_f64).unwrap_or_default();
    format!(
        "p99 {:.2} ms = {:.2} x ceiling's, {:.0} per commit, disk alone {:.0}/s, {:.1} µs of processor each",
        number("/service/p99_ms"),
        number("/times_p99"),
        number("/group"),
        number("/fdatasync_per_second"),
        number("/cpu_us"),
    )
}
