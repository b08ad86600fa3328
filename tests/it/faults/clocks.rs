//! Clocks that jump: the service's own, both ways, and the vendors'.

use std::collections::HashSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use yizhan::clock::{Clock, Timestamp};
use yizhan::operations::idempotency::{Answer, Begun, Slot};
use yizhan::platform::twin::{Outgoing, Verdict};

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

/// Waits until the handler has so many events, and until that is noted.
async fn delivered(world: &World, events: usize) {
    world
        .until("every event at the handler", async || {
            let ids: HashSet<_> =
                world.handler.received().into_iter().filter(|one| one.event["type"] == "audit.failed").map(|one| one.id).collect();
            let (_, page) = world.get("/v1/deliveries?status=pending&limit=500").await;
            let waiting = page["items"].as_array().unwrap();
            // A try that the jump came into failed its signature, and is made again: time must go on for that, once nothing is under way.
            let now = world.clock.now();
            if waiting.iter().all(|one| one["next_attempt_at"].as_str().is_some_and(|at| at.parse::<Timestamp>().unwrap() > now)) {
                world.advance(Duration::from_secs(30));
            }
            (ids.len() >= events && waiting.is_empty()).then_some(())
        })
        .await;
}

/// What a handler may do that is refused.
#[derive(Clone, Copy, PartialEq)]
enum Refused {
    /// It tells us: only the vendor knows that its clock is ahead.
    Reports,
    /// It only asks again.
    Asks,
}

async fn valid_tokens(world: &World, refused: Refused) {
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
                if refused == Refused::Reports {
                    let report = json!({"generation": token["generation"]});
                    world.post(&format!("{}/report-invalid", token_address(platform, app)), report).await;
                }
                None
            })
            .await;
    }
}

/// Somebody sets the service's clock; the vendors' are right.
fn set(world: &World, by: SignedDuration) {
    world.clock.step(by);
    world.simulator.jump(-by);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_both_ways_loses_and_doubles_nothing() {
    let mut world = World::new().await;
    for (platform, app) in MERCHANTS {
        world.granted(platform, app).await;
    }
    let mut expected = 0;
    // Hours back, as after a wrong time server; far ahead, as after a dead battery; and home again. At last beyond what is kept.
    for (number, hours) in [-3, 2, 30, -29, -200, 200, 400, -400, 960, -960].into_iter().enumerate() {
        pushes(&world, &format!("{number}.0")).await;
        set(&world, SignedDuration::from_hours(hours));
        pushes(&world, &format!("{number}.1")).await;
        expected += 8;
        assert_eq!(audits(&world).await.len(), expected, "after {hours} h");
        delivered(&world, expected).await;
        for platform in PLATFORMS {
            world.simulator.ticket(platform).await.unwrap();
        }
        valid_tokens(&world, Refused::Asks).await;
        if number % 3 == 2 {
            world.restart().await;
            assert_eq!(audits(&world).await.len(), expected, "after a restart");
        }
    }
    // What came while the clock was ahead is dead by now, whatever was noted of it.
    for _ in 0..18 {
        world.advance(Duration::from_secs(600));
        for platform in PLATFORMS {
            world.simulator.ticket(platform).await.unwrap();
        }
    }
    valid_tokens(&world, Refused::Asks).await;
}

/// Makes a request under a key. Whether it was carried out, or remembered.
async fn is_carried_out(world: &World) -> bool {
    let idempotency = &world.app().idempotency;
    match idempotency.begin(Slot::of("test", "spring"), String::from("release it")).await.unwrap() {
        Begun::Go(ticket) => {
            let body = Some(b"{}".to_vec());
            let answer = Answer { status: 200, content_type: String::from("application/json"), file_name: None, body };
            idempotency.answered(ticket, answer).await.unwrap();
            true
        }
        Begun::Answered(_) => false,
        other => panic!("{other:?}"),
    }
}

/// Waits until a round of retention that began at the present time has ended.
async fn retention_looked(world: &World) {
    world
        .until("a look of retention", async || {
            let metrics = world.client.get(format!("{}/metrics", world.base)).send().await.unwrap().text().await.unwrap();
            let began = metrics.lines().find_map(|line| line.strip_prefix("yizhan_retention_timestamp_seconds "))?;
            let is_present = began.parse::<f64>().unwrap() >= world.clock.now().as_duration().as_secs_f64();
            // Before it sleeps until its next round, to move the clock does not wake it.
            (is_present && world.clock.is_awaited(world.clock.now() + SignedDuration::from_hours(1))).then_some(())
        })
        .await;
}

/// What ops see of it.
async fn retention_remark(world: &World) -> Option<String> {
    world.get("/readyz").await.1["retention"]["detail"].as_str().map(str::to_owned)
}

async fn refused(world: &World) -> usize {
    world.get("/v1/rejected").await.1["items"].as_array().unwrap().len()
}

/// With four events that their handler has, a refused push and a request that was carried out.
async fn with_a_past() -> (World, Vec<(&'static str, Outgoing)>) {
    let world = World::new().await;
    let mut sent = Vec::new();
    for platform in PLATFORMS {
        let failed = Verdict::Failed(String::from("mark-1.0-"));
        sent.push((platform, world.simulator.audit(platform, "1000001", "1.0", &failed).await.unwrap().0));
    }
    delivered(&world, 4).await;
    world.client.post(format!("{}/callback/douyin/authorization", world.base)).body("nonsense").send().await.unwrap();
    world.until("a refused push", async || (refused(&world).await == 1).then_some(())).await;
    assert!(is_carried_out(&world).await);
    world.advance(Duration::from_secs(3600));
    retention_looked(&world).await;
    (world, sent)
}

/// Longer ahead than anything is kept.
const AHEAD: SignedDuration = SignedDuration::from_hours(40 * 24);

async fn nothing_is_lost(world: &World, sent: &[(&'static str, Outgoing)]) {
    assert_eq!(audits(world).await.len(), 4);
    assert_eq!(refused(world).await, 1);
    assert!(!is_carried_out(world).await, "a request that was carried out is not carried out again");
    for (platform, push) in sent {
        assert!(world.simulator.repeat(platform, push).await.unwrap().acknowledged);
    }
    assert_eq!(audits(world).await.len(), 4, "a repeated push is still known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_for_seconds_takes_nothing_away() {
    let (world, sent) = with_a_past().await;
    set(&world, AHEAD);
    retention_looked(&world).await;
    let remark = retention_remark(&world).await.unwrap();
    assert!(remark.starts_with("the clock went forward by"), "{remark}");
    nothing_is_lost(&world, &sent).await;
    world.advance(Duration::from_secs(10));
    set(&world, -AHEAD);
    world.advance(Duration::from_secs(3600));
    retention_looked(&world).await;
    nothing_is_lost(&world, &sent).await;
    assert_eq!(retention_remark(&world).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_has_stood_for_an_hour_is_believed_and_time_that_passes_is_at_once() {
    for is_set in [true, false] {
        let (world, _) = with_a_past().await;
        if is_set {
            set(&world, AHEAD);
            retention_looked(&world).await;
            assert_eq!(audits(&world).await.len(), 4);
            world.advance(Duration::from_secs(3600));
        } else {
            world.advance(Duration::try_from(AHEAD).unwrap());
        }
        world.until("what is old goes", async || (audits(&world).await.is_empty() && refused(&world).await == 0).then_some(())).await;
        assert!(is_carried_out(&world).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_starts_with_a_clock_that_is_ahead_takes_nothing_away() {
    let (mut world, sent) = with_a_past().await;
    world.down().await;
    set(&world, AHEAD);
    for _ in 0..2 {
        world.up().await;
        retention_looked(&world).await;
        nothing_is_lost(&world, &sent).await;
        world.down().await;
    }
    set(&world, -AHEAD);
    world.up().await;
    retention_looked(&world).await;
    nothing_is_lost(&world, &sent).await;
    assert_eq!(retention_remark(&world).await, None);
}

/// What waits for its next try when the clock goes back waits no longer than the step; nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_outlives_a_clock_that_goes_back() {
    let world = World::new().await;
    for platform in PLATFORMS {
        world.handler.fail(platform, 1);
    }
    pushes(&world, "1.0").await;
    // Noted with their next time, not only made: that time is by the clock as it was.
    world
        .until("the failed tries", async || {
            let (_, page) = world.get("/v1/deliveries?status=pending").await;
            (page["items"].as_array().unwrap().iter().filter(|one| one["attempts"] == 1).count() == 4).then_some(())
        })
        .await;
    world.clock.step(SignedDuration::from_hours(-1));
    let done = async || {
        let done: HashSet<_> =
            world.handler.received().into_iter().filter(|one| (200..300).contains(&one.status)).map(|one| one.id).collect();
        (done.len() == 4).then_some(())
    };
    // Not before the hour is over, and no later than after it and the wait of the retry.
    for _ in 0..122 {
        world.advance(Duration::from_secs(30));
    }
    world.until("the second tries", done).await;
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
        valid_tokens(&world, Refused::Reports).await;
    }
    assert_eq!(audits(&world).await.len(), 16);
    delivered(&world, 16).await;
}
