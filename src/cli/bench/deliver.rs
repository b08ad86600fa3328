//! *deliver*: from stored to answered by the handler. Throughput: events held by a paused subscription, which is then resumed, against a bare HTTP
//! client with the settings of the fan-out's that posts as many bodies of that size to the same handler. Latency: one event at a time, from the
//! moment its push is sent until the handler has it, which is a little more than what is promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use super::figures::{Pair, Timed, milliseconds};
use super::load::{self, Connection};
use super::world::World;
use crate::outbound::{Guard, Webhooks};

const SUBSCRIPTION: &str = "bench-deliver";

/// Measures. The ratio is the worst of all concurrencies.
pub async fn measure(world: &mut World) -> anyhow::Result<(Value, Option<f64>)> {
    let mut rows = Vec::new();
    let mut worst: Option<f64> = None;
    for concurrency in world.plan.concurrencies {
        world.subscribe(SUBSCRIPTION, *concurrency).await?;
        let mut pair = Pair::default();
        for round in 0..world.plan.rounds {
            world.say(&format!("deliver, {concurrency} at a time, {} of {}", round + 1, world.plan.rounds));
            let (count, took) = bare(world, *concurrency).await?;
            pair.ceiling.add_count(count, took);
            let (count, took) = held(world).await?;
            pair.service.add_count(count, took);
        }
        let ratio = pair.ratio();
        worst = Some(worst.map_or(ratio, |worst| worst.min(ratio)));
        let mut row = pair.json();
        if let Some(row) = row.as_object_mut() {
            row.insert(String::from("concurrency"), json!(concurrency));
        }
        rows.push(row);
        if world.plan.concurrencies.last() != Some(concurrency) {
            world.api.delete(&format!("/v1/subscriptions/{SUBSCRIPTION}")).await?;
        }
    }
    let mut latency = Pair::default();
    world.say("deliver, one event at a time");
    latency.service.add(one_by_one(world).await?);
    world.api.delete(&format!("/v1/subscriptions/{SUBSCRIPTION}")).await?;
    let unloaded = json!({
        "p50_ms": milliseconds(latency.service.within(500)),
        "p99_ms": milliseconds(latency.service.within(990)),
    });
    Ok((json!({ "concurrent": rows, "unloaded": unloaded }), worst))
}

/// What the bare server's handler counted, once it is at least `count`.
#[derive(Debug, Clone, Copy)]
struct Taken {
    count: u64,
    last: Duration,
    now: Duration,
}

async fn taken(world: &World, count: u64) -> anyhow::Result<Taken> {
    let answer = world.bare_api.get(&format!("/taken/{count}")).await?;
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).context("the bare server's count is not there");
    Ok(Taken { count: number("taken")?, last: Duration::from_nanos(number("last_ns")?), now: Duration::from_nanos(number("now_ns")?) })
}

/// Resumes a subscription that holds a slice's events.
async fn held(world: &mut World) -> anyhow::Result<(usize, Duration)> {
    let count = world.plan.deliveries;
    world.api.post(&format!("/v1/subscriptions/{SUBSCRIPTION}/pause"), &json!({})).await?;
    let requests = world.pushes.requests(count);
    world.push(requests, 64).await?;
    let before = taken(world, 0).await?;
    world.api.post(&format!("/v1/subscriptions/{SUBSCRIPTION}/resume"), &json!({})).await?;
    let wanted = before.count + u64::try_from(count)?;
    let after = taken(world, wanted).await?;
    ensure!(after.count >= wanted, "{} of {count} events came", after.count - before.count);
    world
        .api
        .until("every delivery is settled", Duration::from_secs(30), async || {
            let subscription = world.api.get(&format!("/v1/subscriptions/{SUBSCRIPTION}")).await?;
            Ok(subscription.get("held").and_then(Value::as_u64) == Some(0))
        })
        .await?;
    Ok((count, after.last.saturating_sub(before.now)))
}

/// Posts as many bodies as a slice has events.
async fn bare(world: &World, concurrency: usize) -> anyhow::Result<(usize, Duration)> {
    let client = Webhooks::bare(Guard::allowing(&["127.0.0.0/8".parse()?]))?;
    let url = format!("http://{}/handler", world.bare.address);
    let body = Bytes::from(vec![b'x'; world.event_bytes().await?]);
    let (count, next) = (world.plan.deliveries, Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let tasks: Vec<_> = (0..concurrency)
        .map(|_| {
            let (client, url, body, next) = (client.clone(), url.clone(), body.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let request = client.post(&url).header("content-type", "application/cloudevents+json").body(body.clone());
                    request.send().await?.error_for_status()?.bytes().await?;
                }
                Ok::<_, reqwest::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok((count, began.elapsed()))
}

async fn one_by_one(world: &mut World) -> anyhow::Result<Timed> {
    let mut pushing = Connection::open(world.service.address).await?;
    let mut waiting = Connection::open(world.bare.address).await?;
    let began = Instant::now();
    let mut latencies = Vec::new();
    let requests = world.pushes.requests(world.plan.alone);
    let mut count = taken(world, 0).await?.count;
    for request in requests.iter() {
        count += 1;
        let wait = load::request("GET", &format!("/taken/{count}"), &[], b"");
        let sent = Instant::now();
        let (pushed, came) = tokio::join!(pushing.exchange(request), waiting.exchange(&wait));
        latencies.push(sent.elapsed());
        ensure!(pushed?.0 == 200 && came?.0 == 200, "an event was not pushed or not delivered");
    }
    world.stored += requests.len();
    Ok(Timed { took: began.elapsed(), latencies })
}
