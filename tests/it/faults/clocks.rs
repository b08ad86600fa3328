//! Clocks that jump: the service's own, both ways, and the vendors'.

use std::collections::HashSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use yizhan::platform::twin::Verdict;

use super::station::{MERCHANTS, PLATFORMS, token_address};
use crate::world::World;

async fn audits(world: &World) -> HashSet<String> {
    let (status, page) = world.get("/v1/events?type=audit.*&limit=500").await;
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// One push on every platform, and its copy.
async fn pushes(world: &World, version: &str) {
    for platform in PLATFORMS {
        let (push, answered) =
            world.simulator.audit(platform, "1000001", version, &Verdict::Failed(format!("mark-{version}-"))).await.unwrap();
        assert!(answered.acknowledged, "{platform} at {version}");
        assert!(world.simulator.repeat(platform, &push).await.unwrap().acknowledged);
    }
}

async fn delivered(world: &World, events: usize) {
    world
        .until("every event at the handler", async || {
            let ids: HashSet<_> =
                world.handler.received().into_iter().filter(|one| one.event["type"] == "audit.failed").map(|one| one.id).collect();
            // A try that the jump came into failed its signature, and is made again: time must go on for that.
            world.advance(Duration::from_secs(30));
            (ids.len() >= events).then_some(())
        })
        .await;
}

async fn valid_tokens(world: &World) {
    for (platform, app) in MERCHANTS {
        world
            .until("a token that the vendor accepts", async || {
                let (status, token) = world.get(&token_address(platform, app)).await;
                if status != 200 {
                    return None;
                }
                if world.simulator.accepts(platform, Some(app), token["access_token"].as_str().unwrap()).unwrap() {
                    return Some(());
                }
                // Only the vendor knows that its clock is ahead: whoever was refused says so.
                world.post(&format!("{}/report-invalid", token_address(platform, app)), json!({"generation": token["generation"]})).await;
                None
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_both_ways_loses_and_doubles_nothing() {
    let mut world = World::new().await;
    for (platform, app) in MERCHANTS {
        world.granted(platform, app).await;
    }
    let mut expected = 0;
    // Hours back, as after a wrong time server; far ahead, as after a dead battery; and home again.
    for (number, hours) in [-3, 2, 30, -29, -200, 200, 400, -400].into_iter().enumerate() {
        pushes(&world, &format!("{number}.0")).await;
        world.clock.advance(SignedDuration::from_hours(hours));
        pushes(&world, &format!("{number}.1")).await;
        expected += 8;
        assert_eq!(audits(&world).await.len(), expected, "after {hours} h");
        delivered(&world, expected).await;
        for platform in PLATFORMS {
            world.simulator.ticket(platform).await.unwrap();
        }
        valid_tokens(&world).await;
        if number % 3 == 2 {
            world.restart().await;
            assert_eq!(audits(&world).await.len(), expected, "after a restart");
        }
    }
}

/// What waits for its next try when the clock goes back waits no longer than the step; nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_outlives_a_clock_that_goes_back() {
    let world = World::new().await;
    for platform in PLATFORMS {
        world.handler.fail(platform, 1);
    }
    pushes(&world, "1.0").await;
    world.until("the failed tries", async || (world.handler.received().len() >= 4).then_some(())).await;
    world.clock.advance(SignedDuration::from_hours(-1));
    world.clock.advance(SignedDuration::from_hours(1));
    world
        .until("the second tries", async || {
            world.advance(Duration::from_secs(30));
            let done: HashSet<_> =
                world.handler.received().into_iter().filter(|one| (200..300).contains(&one.status)).map(|one| one.id).collect();
            (done.len() == 4).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_whose_clock_is_wrong_is_served_all_the_same() {
    let world = World::new().await;
    for (platform, app) in MERCHANTS {
        world.granted(platform, app).await;
    }
    for (number, hours) in [1, -2, 3, -2].into_iter().enumerate() {
        world.simulator.jump(SignedDuration::from_hours(hours));
        pushes(&world, &format!("{number}.0")).await;
        // A forced renewal is taken every half a minute at most.
        world.advance(Duration::from_secs(31));
        for platform in PLATFORMS {
            world.simulator.ticket(platform).await.unwrap();
        }
        valid_tokens(&world).await;
    }
    assert_eq!(audits(&world).await.len(), 16);
    delivered(&world, 16).await;
}
