//! *page*: fifty events of one authorizer, out of the whole store, newest first.

use std::sync::Arc;

use serde_json::{Value, json};

use super::figures::Figures;
use super::load::{self, Errand};
use super::pushes::busiest;
use super::world::World;

/// Requests at a time.
const CONNECTIONS: [usize; 2] = [1, 8];

/// Measures.
pub async fn measure(world: &World) -> anyhow::Result<Value> {
    let bearer = format!("Bearer {}", world.key);
    let headers = [("authorization", bearer.as_str())];
    // Those with the most events come first.
    let busiest = busiest(world.plan.authorizers / 3) * 3;
    let path = |app_id: String| format!("/v1/events?authorizer={app_id}&limit=50");
    let requests: Arc<[_]> =
        world.authorizers().take(busiest).map(|(_, app_id)| load::request("GET", &path(app_id), &headers, b"")).collect();
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let mut figures = Figures::default();
        for _ in 0..world.plan.rounds {
            let errand = Errand { address: world.service.address, requests: Arc::clone(&requests), count: world.plan.pages, connections };
            figures.add(load::run(errand).await?);
        }
        let mut row = figures.json();
        if let Some(row) = row.as_object_mut() {
            row.insert(String::from("connections"), json!(connections));
        }
        rows.push(row);
    }
    Ok(json!({ "events": world.stored, "concurrent": rows }))
}
