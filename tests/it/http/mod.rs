//! The service API and the callback addresses.

mod access;
mod addresses;
mod audit;
mod callbacks;
mod events;
mod keys;
mod lists;
pub mod merchants;
mod meter;
pub mod openapi;
mod operations;
mod parameters;
mod places;
mod problems;
mod replays;
mod stream;
mod subscriptions;
mod tokens;

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use yizhan::envelope::digest;
use yizhan::platform::twin::Verdict;

use crate::world::{KEY, Setting, World};

/// An answer as a caller sees it.
pub struct Answer {
    pub status: u16,
    headers: HeaderMap,
    pub text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The last part of a problem's type, with what every problem must have.
    fn problem(&self) -> String {
        let body = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!(body["status"], self.status, "{body}");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{body}");
        for member in ["title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {body}");
        }
        body["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
    }

    /// The names in an `invalid-parameter`.
    fn bad(&self) -> Vec<String> {
        assert_eq!((self.status, self.problem().as_str()), (422, "invalid-parameter"), "{}", self.text);
        self.json()["parameters"].as_array().unwrap().iter().map(|bad| bad["name"].as_str().unwrap().to_owned()).collect()
    }
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = crate::world::send(request.timeout(Duration::from_secs(30))).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

async fn ask(world: &World, method: Method, path: &str) -> Answer {
    send(world.client.request(method, format!("{}{path}", world.base)).bearer_auth(KEY)).await
}

async fn get(world: &World, path: &str) -> Answer {
    ask(world, Method::GET, path).await
}

async fn get_as(world: &World, key: &str, path: &str) -> Answer {
    send(world.client.get(format!("{}{path}", world.base)).bearer_auth(key)).await
}

async fn post(world: &World, path: &str, body: Value) -> Answer {
    post_as(world, KEY, path, body).await
}

async fn post_as(world: &World, key: &str, path: &str, body: Value) -> Answer {
    send(world.client.post(format!("{}{path}", world.base)).bearer_auth(key).body(body.to_string())).await
}

/// A world with further keys: name (which is their text too, behind `yzk_`) and scopes.
async fn world_with_keys(keys: &[(&str, &[&str])]) -> World {
    let extra = keys.iter().map(|(name, scopes)| {
        let hash = hex::encode(digest::sha256(&[format!("yzk_{name}").as_bytes()]));
        format!("[[api_keys]]\nname = \"{name}\"\nhash = \"sha256:{hash}\"\nscopes = {scopes:?}\n")
    });
    World::with(Setting { extra: extra.collect(), ..Setting::default() }).await
}

/// An audit of a merchant's package fails for a reason by which the stories tell such events apart; Douyin's pushes name no version, so that
/// two without would be one event.
async fn failed_audit(world: &World, platform: &str, reason: &str) {
    world.simulator.audit(platform, "tt0123456789abcdef", "1.0.0", &Verdict::Failed(reason.to_owned())).await.unwrap();
}

/// The items of a list.
fn items(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["items"].as_array().unwrap().clone()
}

/// Waits until as many deliveries to the handler are settled: a replay of what is still under way is one with it.
async fn delivered(world: &World, count: usize) {
    let settled = async || items(&get(world, "/v1/deliveries?subscription=handler&status=delivered").await).len();
    world.until("delivered", async || (settled().await == count).then_some(())).await;
}
