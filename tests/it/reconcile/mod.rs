//! What a lost push would have told: found on every platform, told once, delivered once.

mod audits;
mod facts;
mod grants;
mod learnt;
mod overheard;
mod profiles;
mod pushes;

use std::time::Duration;

use serde_json::{Value, json};
use yizhan::platform::twin::{Outgoing, Verdict};
use yizhan::simulator::fault::{CallFault, CallTrouble, PushFaults};

use crate::world::World;

pub const PLATFORMS: [&str; 4] = ["baidu", "douyin", "kuaishou", "alipay"];

pub fn app_id(platform: &str) -> &'static str {
    match platform {
        "baidu" => "1452365",
        "douyin" => "tt0123456789abcdef",
        "kuaishou" => "ks700000000000000001",
        _ => "2021000000000003",
    }
}

/// Waits for an answer; time passes while the service waits for the vendor.
pub async fn patiently<T>(world: &World, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    loop {
        tokio::select! {
            answered = &mut answer => return answered,
            () = tokio::time::sleep(Duration::from_millis(20)) => world.advance(Duration::from_secs(1)),
        }
    }
}

/// An operation that is done.
pub async fn done(world: &World, platform: &str, operation: &str, parameters: Value) -> Value {
    let path = format!("/v1/components/{platform}/authorizers/{}/operations/{operation}", app_id(platform));
    let (status, body) = patiently(world, world.post(&path, parameters)).await;
    assert_eq!(status, 200, "{platform} {operation}: {body}");
    body
}

/// Version 1.0.0 uploaded and submitted, or submitted again after it was refused.
pub async fn submit(world: &World, platform: &str, again: bool) {
    // Douyin wants ten seconds between submissions, and a vendor's times are of seconds.
    world.advance(Duration::from_secs(90));
    let upload = match platform {
        "alipay" => json!({"template_id": "2021000000000002", "version": "1.0.0"}),
        "douyin" => json!({"template_id": "9133504853504530001", "version": "1.0.0", "description": "spring"}),
        _ => json!({"template_id": 12, "version": "1.0.0", "description": "spring"}),
    };
    match (platform, again) {
        ("alipay", true) => drop(done(world, platform, "package.back_to_development", json!({"version": "1.0.0"})).await),
        _ => drop(done(world, platform, "package.upload", upload).await),
    }
    let submission = match platform {
        "baidu" => json!({}),
        "douyin" => json!({"hosts": ["douyin"]}),
        "kuaishou" => json!({}),
        _ => json!({"version": "1.0.0", "region": "CHINA", "description": "Letters, horses, a lamp at night, and a warm soup."}),
    };
    done(world, platform, "audit.submit", submission).await;
    world.advance(Duration::from_secs(60));
}

/// From now on pushes are lost for good, or arrive again.
pub fn lose_pushes(world: &World, platform: &str, lose: bool) {
    world.simulator.fail_pushes(platform, PushFaults { lose_every: u32::from(lose), ..PushFaults::default() }).unwrap();
}

/// The package is refused, and the push of that is lost: not even Baidu's list of missed pushes can be had.
pub async fn refuse_unheard(world: &World, platform: &str, reason: &str) -> Outgoing {
    let no_list = CallFault { matching: String::from("pushmsg/getmsg"), trouble: CallTrouble::RateLimited, times: 10_000 };
    world.simulator.fail_calls(platform, no_list).unwrap();
    lose_pushes(world, platform, true);
    let verdict = Verdict::Failed(reason.to_owned());
    let (push, _) = world.simulator.audit(platform, app_id(platform), "1.0.0", &verdict).await.unwrap();
    lose_pushes(world, platform, false);
    push
}

/// Every look at a component now: what each came to.
pub async fn reconcile(world: &World, platform: &str) -> Value {
    let (status, body) = patiently(world, world.post(&format!("/v1/components/{platform}/reconcile"), json!({}))).await;
    assert_eq!(status, 200, "{platform}: {body}");
    body["looks"].clone()
}

/// Events of that type at a component, oldest first.
pub async fn events(world: &World, platform: &str, kind: &str) -> Vec<Value> {
    let (status, page) = world.get(&format!("/v1/events?component={platform}&type={kind}&limit=500")).await;
    assert_eq!(status, 200, "{page}");
    let mut items = page["items"].as_array().unwrap().clone();
    items.reverse();
    items
}

/// Waits until the handler has got every stored event of that type, and shows their ids in the order of arrival.
pub async fn delivered(world: &World, platform: &str, kind: &str) -> Vec<String> {
    let ids: Vec<String> = events(world, platform, kind).await.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    world
        .until("every delivery", async || {
            let got: Vec<String> = world.handler.received().into_iter().map(|received| received.id).filter(|id| ids.contains(id)).collect();
            (got.len() >= ids.len()).then_some(got)
        })
        .await
}
