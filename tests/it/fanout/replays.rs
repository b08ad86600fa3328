//! Bulk replays as durable jobs.

use std::sync::Arc;
use std::sync::atomic::Ordering as Atomic;
use std::time::Duration;

use yizhan::clock::Clock;
use yizhan::event_type::{EventType, Glob};
use yizhan::fanout::delivery::Status;
use yizhan::fanout::replays::{MOST_LIVE, MOST_OF_ONE, ReplayError, Replays};
use yizhan::fanout::{NewSubscription, Subscription};
use yizhan::inbox::EventFilter;
use yizhan::inbox::replay::{Replay, ReplayState};
use yizhan::shutdown::Shutdown;

use super::world::{Deed, Memory, World, soon, start_of_time, subscription};

/// A world whose workers stand still, with 100 events of which every second one is an audit.
async fn world() -> (World, Arc<Replays>) {
    let audits = Subscription { events: vec![Glob::new("audit.*")], ..subscription("audits") };
    let world = World::still(Arc::default(), vec![subscription("bot"), audits], |_, _| Deed::Take).await;
    for number in 0..100 {
        let kind = if number % 2 == 0 { EventType::AuditPassed } else { EventType::AuthorizationGranted };
        let at = start_of_time() - jiff::SignedDuration::from_secs(1000 - number);
        world.memory.event("douyin", if number < 50 { "tt1" } else { "tt2" }, kind, at);
    }
    let replays = replays(&world, &world.memory);
    (world, replays)
}

fn replays(world: &World, memory: &Arc<Memory>) -> Arc<Replays> {
    Arc::new(Replays::new(memory.clone(), memory.clone(), memory.clone(), world.fanout.clone(), world.clock.clone()))
}

fn run(replays: &Arc<Replays>) -> (Shutdown, tokio::task::JoinHandle<()>) {
    let shutdown = Shutdown::default();
    let running = tokio::spawn(Arc::clone(replays).run(shutdown.clone()));
    (shutdown, running)
}

async fn start(replays: &Replays, filter: EventFilter, to: Option<String>, rate: u32) -> Result<Replay, ReplayError> {
    replays.begin(replays.plan(filter, to, rate).await?).await
}

fn audits() -> EventFilter {
    EventFilter { kind: Some(Glob::new("audit.*")), ..EventFilter::default() }
}

fn enqueued(memory: &Memory, subscription: &str) -> Vec<u64> {
    let rows = memory.rows.lock().unwrap();
    rows.iter().filter(|row| row.delivery.subscription == subscription).map(|row| row.event.sequence).collect()
}

/// Lets time pass until the job is done.
async fn until_done(world: &World) {
    for _ in 0..1000 {
        if world.memory.jobs.lock().unwrap().iter().all(|job| job.state == ReplayState::Done) {
            return;
        }
        world.advance(Duration::from_millis(100));
        settle_down().await;
    }
    panic!("never done: {:?}", world.memory.jobs.lock().unwrap());
}

async fn settle_down() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_preview_counts_and_makes_nothing() {
    let (world, replays) = world().await;
    assert_eq!(replays.preview(&audits(), Some("bot")).await.unwrap(), 50);
    assert!(world.memory.jobs.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_replay_enqueues_what_fits_in_the_order_of_the_events_at_its_rate() {
    let (world, replays) = world().await;
    let _running = run(&replays);
    let job = start(&replays, audits(), Some("bot".into()), 10).await.unwrap();
    assert_eq!((job.matched, job.state, job.filter.until), (50, ReplayState::Running, Some(start_of_time())));
    settle_down().await;
    assert_eq!(enqueued(&world.memory, "bot"), [1]);
    world.advance(Duration::from_millis(100));
    settle_down().await;
    assert_eq!(enqueued(&world.memory, "bot"), [1, 3]);
    for _ in 0..50 {
        world.advance(Duration::from_millis(100));
        settle_down().await;
    }
    until_done(&world).await;
    let expected: Vec<u64> = (0..50).map(|number| number * 2 + 1).collect();
    assert_eq!(enqueued(&world.memory, "bot"), expected);
    let (job, delivered, dead) = replays.replay(&job.id).await.unwrap().unwrap();
    assert_eq!((job.enqueued, delivered, dead), (50, 0, 0));
    assert!(job.ended_at.is_some_and(|at| job.created_at < at && at <= world.clock.now()), "{:?}", job.ended_at);
}

#[tokio::test]
async fn what_is_enqueued_is_delivered_as_part_of_the_job() {
    let (world, replays) = world().await;
    world.run();
    let _running = run(&replays);
    let job = start(&replays, audits(), Some("bot".into()), 10_000).await.unwrap();
    world.memory.until(|rows| rows.iter().filter(|row| row.delivery.status == Status::Delivered).count() == 50).await;
    assert_eq!(replays.replay(&job.id).await.unwrap().unwrap().1, 50);
}

#[tokio::test]
async fn without_a_target_every_subscription_that_matches_hears_but_not_the_vault() {
    let (world, replays) = world().await;
    let _running = run(&replays);
    start(&replays, EventFilter::default(), None, 10_000).await.unwrap();
    until_done(&world).await;
    assert_eq!((enqueued(&world.memory, "bot").len(), enqueued(&world.memory, "audits").len()), (100, 50));
    assert!(enqueued(&world.memory, "yizhan-vault").is_empty());
}

#[tokio::test]
async fn events_received_after_the_start_are_left_alone() {
    let (world, replays) = world().await;
    for later in [0, 61, 100] {
        let at = start_of_time() + jiff::SignedDuration::from_secs(later);
        world.memory.event("douyin", "tt9", EventType::AuditPassed, at);
    }
    let _running = run(&replays);
    start(&replays, EventFilter::default(), Some("bot".into()), 10_000).await.unwrap();
    until_done(&world).await;
    assert_eq!(enqueued(&world.memory, "bot").len(), 100);
}

#[tokio::test]
async fn a_status_is_looked_up_per_event() {
    let (world, replays) = world().await;
    let events = world.memory.events.lock().unwrap().clone();
    for (event, status) in events.iter().zip([Status::Dead, Status::Delivered, Status::Dead, Status::Pending]) {
        world.memory.put(event, "other", start_of_time(), 0);
        world.memory.rows.lock().unwrap().last_mut().unwrap().delivery.status = status;
    }
    let _running = run(&replays);
    let dead = EventFilter { status: Some(Status::Dead), ..EventFilter::default() };
    start(&replays, dead, Some("bot".into()), 10_000).await.unwrap();
    until_done(&world).await;
    assert_eq!(enqueued(&world.memory, "bot"), [1, 3]);
}

/// A world in which the first events have these deliveries: of which subscription, and in which status.
async fn world_with(deliveries: &[&[(&str, Status)]]) -> (World, Arc<Replays>) {
    let (world, replays) = world().await;
    let events = world.memory.events.lock().unwrap().clone();
    for (event, deliveries) in events.iter().zip(deliveries) {
        for (name, status) in *deliveries {
            world.memory.put(event, name, start_of_time(), 0);
            world.memory.rows.lock().unwrap().last_mut().unwrap().delivery.status = *status;
        }
    }
    (world, replays)
}

/// What the preview counts, and the events that are then enqueued, by subscription.
async fn replayed(world: &World, replays: &Arc<Replays>, status: Status, to: Option<&str>) -> (u64, [Vec<u64>; 3]) {
    let filter = EventFilter { status: Some(status), ..EventFilter::default() };
    let (shutdown, running) = run(replays);
    let before = world.memory.rows.lock().unwrap().len();
    let counted = replays.preview(&filter, to).await.unwrap();
    let job = start(replays, filter, to.map(str::to_owned), 10_000).await.unwrap();
    assert_eq!(job.matched, counted);
    until_done(world).await;
    shutdown.request();
    soon(running).await.unwrap();
    let rows = world.memory.rows.lock().unwrap();
    let of = |name: &str| rows.iter().skip(before).filter(|row| row.delivery.subscription == name).map(|row| row.event.sequence).collect();
    (counted, [of("bot"), of("audits"), of("yizhan-vault")])
}

#[tokio::test]
async fn a_status_is_that_of_the_subscriptions_own_deliveries() {
    use Status::{Dead, Delivered};
    let deliveries: &[&[_]] =
        &[&[("bot", Delivered), ("audits", Dead)], &[("bot", Delivered), ("yizhan-vault", Dead)], &[("bot", Dead), ("audits", Dead)]];
    for (to, counted, enqueued) in [
        (Some("bot"), 1, [vec![3], vec![], vec![]]),
        (Some("audits"), 2, [vec![], vec![1, 3], vec![]]),
        (None, 2, [vec![3], vec![1, 3], vec![]]),
    ] {
        let (world, replays) = world_with(deliveries).await;
        assert_eq!(replayed(&world, &replays, Dead, to).await, (counted, enqueued), "{to:?}");
    }
}

#[tokio::test]
async fn deliveries_of_a_name_that_nobody_bears_count_for_the_one_named_that_has_none() {
    use Status::{Cancelled, Delivered};
    let deliveries: &[&[_]] = &[&[("former", Cancelled)], &[("former", Cancelled), ("bot", Delivered)], &[("audits", Cancelled)]];
    for (to, counted, enqueued) in [(Some("bot"), 1, [vec![1], vec![], vec![]]), (None, 1, [vec![], vec![3], vec![]])] {
        let (world, replays) = world_with(deliveries).await;
        assert_eq!(replayed(&world, &replays, Cancelled, to).await, (counted, enqueued), "{to:?}");
    }
}

#[tokio::test]
async fn the_one_named_is_sent_only_what_it_wants() {
    let (world, replays) = world().await;
    let everything = EventFilter::default();
    assert_eq!(replays.preview(&everything, Some("audits")).await.unwrap(), 50, "every second event is an audit");
    let _running = run(&replays);
    let job = start(&replays, everything, Some(String::from("audits")), 10_000).await.unwrap();
    until_done(&world).await;
    let (done, ..) = replays.replay(&job.id).await.unwrap().unwrap();
    assert_eq!((done.matched, done.enqueued), (50, 50));
    assert!(enqueued(&world.memory, "audits").iter().all(|sequence| sequence % 2 == 1));
}

#[tokio::test]
async fn a_paused_job_goes_on_where_it_stopped_and_a_cancelled_one_never() {
    let (world, replays) = world().await;
    let _running = run(&replays);
    let job = start(&replays, audits(), Some("bot".into()), 10).await.unwrap();
    settle_down().await;
    assert_eq!(replays.set_state(&job.id, ReplayState::Paused).await.unwrap().unwrap().state, ReplayState::Paused);
    let step = async || {
        world.advance(Duration::from_secs(1));
        settle_down().await;
        enqueued(&world.memory, "bot").len()
    };
    assert_eq!((step().await, step().await), (1, 1));
    replays.set_state(&job.id, ReplayState::Running).await.unwrap();
    settle_down().await;
    assert!(step().await >= 2);
    let cancelled = replays.set_state(&job.id, ReplayState::Cancelled).await.unwrap().unwrap();
    assert_eq!((cancelled.state, cancelled.ended_at), (ReplayState::Cancelled, Some(world.clock.now())));
    let so_far = step().await;
    // Neither a person nor the worker moves it any more.
    assert_eq!(replays.set_state(&job.id, ReplayState::Running).await.unwrap().unwrap().state, ReplayState::Cancelled);
    assert_eq!(step().await, so_far);
    let sequences = enqueued(&world.memory, "bot");
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 2), "{sequences:?}");
    assert!(replays.set_state("rpl_none", ReplayState::Paused).await.unwrap().is_none());
}

#[tokio::test]
async fn after_a_restart_a_job_goes_on_from_its_cursor() {
    let (world, before) = world().await;
    let (shutdown, running) = run(&before);
    start(&before, audits(), Some("bot".into()), 10).await.unwrap();
    for _ in 0..10 {
        settle_down().await;
        world.advance(Duration::from_millis(100));
    }
    shutdown.request();
    soon(running).await.unwrap();
    let so_far = enqueued(&world.memory, "bot").len();
    assert!((5..50).contains(&so_far));
    let after = replays(&world, &world.memory);
    let _running = run(&after);
    for _ in 0..50 {
        settle_down().await;
        world.advance(Duration::from_millis(100));
    }
    world.memory.until_job(|job| job.state == ReplayState::Done && job.enqueued == 50).await;
    let expected: Vec<u64> = (0..50).map(|number| number * 2 + 1).collect();
    assert_eq!(enqueued(&world.memory, "bot"), expected);
}

#[tokio::test]
async fn trouble_in_the_store_delays_a_job_and_loses_nothing() {
    let (world, replays) = world().await;
    world.memory.trouble.store(true, Atomic::SeqCst);
    let _running = run(&replays);
    start(&replays, audits(), Some("bot".into()), 10_000).await.unwrap();
    settle_down().await;
    assert!(enqueued(&world.memory, "bot").is_empty());
    world.advance(Duration::from_secs(1));
    until_done(&world).await;
    assert_eq!(enqueued(&world.memory, "bot").len(), 50);
}

#[tokio::test]
async fn a_job_whose_subscription_goes_is_cancelled() {
    let (world, replays) = world().await;
    let new = serde_json::json!({"name": "brief", "url": "https://a.example.com/", "events": ["*"]});
    world.fanout.create(serde_json::from_value(new).unwrap()).await.unwrap();
    let job = start(&replays, audits(), Some("brief".into()), 10).await.unwrap();
    world.fanout.delete("brief").await.unwrap();
    let _running = run(&replays);
    world.memory.until_job(|job| job.state == ReplayState::Cancelled).await;
    assert_eq!(job.created_at, world.clock.now());
}

#[tokio::test]
async fn bad_wishes_are_refused() {
    let (world, replays) = world().await;
    let unknown = start(&replays, audits(), Some("nobody".into()), 10).await;
    assert!(matches!(unknown, Err(ReplayError::UnknownSubscription(name)) if name == "nobody"));
    for rate in [0, 10_001] {
        assert!(matches!(start(&replays, audits(), None, rate).await, Err(ReplayError::Rate)));
    }
    assert!(world.memory.jobs.lock().unwrap().is_empty());
    assert!(replays.replay("rpl_none").await.unwrap().is_none());
}

#[tokio::test]
async fn what_came_while_the_clock_was_ahead_ends_no_replay() {
    let (world, replays) = world().await;
    let at = |seconds: i64| start_of_time() + jiff::SignedDuration::from_secs(seconds);
    let before = world.memory.event("douyin", "late", EventType::AuditPassed, at(-3));
    let ahead = world.memory.event("douyin", "late", EventType::AuditPassed, at(3600));
    let behind = world.memory.event("douyin", "late", EventType::AuditPassed, at(-2));
    let filter = EventFilter { authorizer: Some(Glob::new("late")), ..EventFilter::default() };
    let job = start(&replays, filter, Some("bot".into()), 100).await.unwrap();
    assert_eq!(job.matched, 2);
    let _running = run(&replays);
    until_done(&world).await;
    assert_eq!(enqueued(&world.memory, "bot"), [before.sequence, behind.sequence]);
    assert!(ahead.sequence < behind.sequence);
}

#[tokio::test]
async fn a_damaged_event_is_counted_and_the_rest_of_a_replay_goes_on() {
    let (world, replays) = world().await;
    world.memory.damaged.lock().unwrap().extend([3, 4, 77]);
    let (shutdown, running) = run(&replays);
    let job = start(&replays, audits(), Some(String::from("bot")), 1000).await.unwrap();
    until_done(&world).await;
    let done = replays.replay(&job.id).await.unwrap().unwrap().0;
    assert_eq!((done.enqueued, done.unreadable), (48, 3));
    assert_eq!(enqueued(&world.memory, "bot").len(), 48);
    shutdown.request();
    soon(running).await.unwrap();
}

#[tokio::test]
async fn a_replay_does_not_go_on_into_another_subscription_of_the_same_name() {
    let (world, replays) = world().await;
    let made = |name: &str| -> NewSubscription {
        serde_json::from_value(serde_json::json!({"name": name, "url": "https://bot.example/hook", "events": ["audit.*"]})).unwrap()
    };
    world.fanout.create(made("mine")).await.unwrap();
    let job = start(&replays, audits(), Some(String::from("mine")), 1).await.unwrap();
    replays.set_state(&job.id, ReplayState::Paused).await.unwrap();
    world.fanout.delete("mine").await.unwrap();
    world.advance(Duration::from_secs(1));
    world.fanout.create(made("mine")).await.unwrap();
    replays.set_state(&job.id, ReplayState::Running).await.unwrap();
    let (shutdown, running) = run(&replays);
    world.memory.until_job(|job| job.state == ReplayState::Cancelled).await;
    assert!(enqueued(&world.memory, "mine").is_empty());
    shutdown.request();
    soon(running).await.unwrap();
}

#[tokio::test]
async fn a_replay_to_a_subscription_that_was_made_while_the_clock_was_ahead_is_carried_out() {
    let (world, replays) = world().await;
    let hour = jiff::SignedDuration::from_hours(1);
    world.clock.advance(hour);
    let made = serde_json::json!({"name": "mine", "url": "https://bot.example/hook", "events": ["audit.*"]});
    world.fanout.create(serde_json::from_value::<NewSubscription>(made).unwrap()).await.unwrap();
    world.clock.advance(-hour);
    start(&replays, audits(), Some(String::from("mine")), 1000).await.unwrap();
    let (shutdown, running) = run(&replays);
    until_done(&world).await;
    assert_eq!(enqueued(&world.memory, "mine").len(), 50);
    shutdown.request();
    soon(running).await.unwrap();
}

#[tokio::test]
async fn every_job_that_ran_is_taken_up_again_however_many_came_after_it() {
    let (world, replays) = world().await;
    let oldest = start(&replays, audits(), Some(String::from("bot")), 1000).await.unwrap();
    for number in 0..300 {
        let done = Replay { id: format!("rpl_{number}"), state: ReplayState::Done, ..oldest.clone() };
        world.memory.jobs.lock().unwrap().push(done);
    }
    let (shutdown, running) = run(&replays);
    until_done(&world).await;
    assert_eq!(enqueued(&world.memory, "bot").len(), 50);
    shutdown.request();
    soon(running).await.unwrap();
}

#[tokio::test]
async fn no_more_jobs_than_may_wait_and_a_component_fills_its_share_alone() {
    let (world, replays) = world().await;
    let of = |component: &str| EventFilter { component: Some(Glob::new(component)), ..EventFilter::default() };
    let paused = |number: usize, component: &str| Replay {
        id: format!("rpl_{component}_{number}"),
        filter: of(component),
        subscription: None,
        rate: 1,
        state: if number.is_multiple_of(2) { ReplayState::Paused } else { ReplayState::Running },
        matched: 0,
        enqueued: 0,
        unreadable: 0,
        cursor: 0,
        created_at: world.clock.now(),
        ended_at: None,
    };
    let crowd = async |filter: EventFilter| match start(&replays, filter, None, 1).await {
        Err(ReplayError::Crowded(live)) => live.len(),
        other => panic!("{other:?}"),
    };
    world.memory.jobs.lock().unwrap().extend((0..MOST_OF_ONE).map(|number| paused(number, "douyin")));
    assert_eq!(crowd(of("douyin")).await, MOST_OF_ONE);
    start(&replays, of("baidu"), None, 1).await.unwrap();
    start(&replays, EventFilter::default(), None, 1).await.unwrap();
    let left = MOST_LIVE - world.memory.jobs.lock().unwrap().len();
    world.memory.jobs.lock().unwrap().extend((0..left).map(|number| paused(number, &format!("other{number}"))));
    assert_eq!((crowd(of("baidu")).await, crowd(EventFilter::default()).await), (MOST_LIVE, MOST_LIVE));
    replays.set_state("rpl_douyin_0", ReplayState::Cancelled).await.unwrap();
    start(&replays, of("douyin"), None, 1).await.unwrap();
}
