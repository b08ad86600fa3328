//! *token*: a held token, asked for with an API key, against a bare handler at the same addresses that answers the same bytes.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::figures::Pair;
use super::load::{self, Connection, Errand};
use super::world::World;

/// Authorizers that are asked for in turn, at most.
const MOST: usize = 1000;

/// Headers of an answer that the server puts in by itself.
const BY_ITSELF: [&str; 2] = ["content-length", "date"];

/// Measures. The ratio is the worst of all concurrencies.
pub async fn measure(world: &World) -> anyhow::Result<(Value, Option<f64>)> {
    let bearer = format!("Bearer {}", world.key);
    let headers = [("authorization", bearer.as_str())];
    let path = |(platform, app_id): (&str, String)| format!("/v1/components/{platform}/authorizers/{app_id}/token");
    let requests = world.authorizers().take(MOST).map(|whose| load::request("GET", &path(whose), &headers, b""));
    let requests: Arc<[_]> = requests.collect();
    teach(world, requests.first().context("nobody granted")?).await?;
    let mut rows = Vec::new();
    let mut worst: Option<f64> = None;
    for connections in world.plan.connections.iter().copied() {
        let mut pair = Pair::default();
        for round in 0..world.plan.rounds {
            world.say(&format!("token, {connections} connections, {} of {}", round + 1, world.plan.rounds));
            let ceiling = Errand { address: world.bare.address, requests: Arc::clone(&requests), count: world.plan.tokens, connections };
            let service = Errand { address: world.service.address, ..ceiling.clone() };
            pair.ceiling.add(load::run(ceiling).await?);
            pair.service.add(load::run(service).await?);
        }
        let ratio = pair.ratio();
        worst = Some(worst.map_or(ratio, |worst| worst.min(ratio)));
        let mut row = pair.json();
        if let Some(row) = row.as_object_mut() {
            row.insert(String::from("connections"), json!(connections));
        }
        rows.push(row);
    }
    Ok((json!({ "concurrent": rows }), worst))
}

/// Teaches the bare server the service's answer, its headers too.
async fn teach(world: &World, request: &[u8]) -> anyhow::Result<()> {
    let mut service = Connection::open(world.service.address).await?;
    let (status, begins) = service.exchange(request).await?;
    ensure!(status == 200, "the token was answered: {}", service.text());
    let head = String::from_utf8_lossy(service.head(begins)).into_owned();
    let headers = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    let headers: Vec<(String, &str)> = headers
        .filter(|(name, _)| !BY_ITSELF.contains(&name.to_ascii_lowercase().as_str()))
        .map(|(name, value)| (format!("answer-{name}"), value))
        .collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let lesson = load::request("PUT", "/answer", &headers, service.body(begins));
    let mut bare = Connection::open(world.bare.address).await?;
    let (status, _) = bare.exchange(&lesson).await?;
    ensure!(status == 204, "the bare server does not learn: {}", bare.text());
    Ok(())
}
