//! Subscriptions from file and API: what is valid, who hears of what, rotation, restarts.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::json;
use tracing::instrument::WithSubscriber as _;
use yizhan::clock::Clock as _;
use yizhan::event_type::{EventType, Glob};
use yizhan::fanout::delivery::Status;
use yizhan::fanout::sink::Sink;
use yizhan::fanout::subscription::{Origin, SigningKey, State, VAULT};
use yizhan::fanout::{
    Fanout, NewSubscription, OpenError, Outbox as _, RetryError, Sinks, Subscriber, Subscription, SubscriptionChange, SubscriptionError,
};
use yizhan::inbox::log::Audience;
use yizhan::secret::Secret;

use super::world::{Deed, Memory, SECRET, World, options, soon, subscription};
use crate::hostile::lines::Written;

const DAY: Duration = Duration::from_secs(86_400);

fn new(value: serde_json::Value) -> NewSubscription {
    serde_json::from_value(value).unwrap()
}

fn plain(name: &str) -> NewSubscription {
    new(json!({"name": name, "url": "https://a.example.com/hook", "events": ["audit.*"]}))
}

async fn world(file: Vec<Subscription>) -> World {
    World::still(Arc::default(), file, |_, _| Deed::Take).await
}

fn members(error: SubscriptionError) -> Vec<String> {
    match error {
        SubscriptionError::Invalid(problems) => problems.into_iter().map(|(member, _)| member).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let world = world(Vec::new()).await;
    let bad = new(json!({
        "name": "yizhan-mine", "url": "http://10.0.0.1/", "secret": "whsec_AAAA", "events": ["audit.*", "no.such", "TICKET.*"],
        "components": ["weibo", "douyin"], "concurrency": 0, "rate": 99999, "retry": ["5s", "soon", "99d"], "timeout": "1h",
    }));
    let found = members(world.fanout.create(bad).await.unwrap_err());
    for member in ["name", "url", "secret", "events", "components", "concurrency", "rate", "retry", "timeout"] {
        assert!(found.iter().any(|one| one == member), "{member} is missing in {found:?}");
    }
    assert_eq!(found.iter().filter(|member| *member == "events").count(), 2);
    assert!(world.fanout.subscriptions().is_empty());
}

#[tokio::test]
async fn names_are_plain_and_not_ours() {
    let world = world(Vec::new()).await;
    for name in ["", "a b", "a/b", "机器人", "yizhan-vault", "yizhan-", &"a".repeat(65)] {
        let error = world.fanout.create(plain(name)).await.unwrap_err();
        match error {
            SubscriptionError::Taken if name == VAULT => {}
            error => assert_eq!(members(error), ["name"], "{name}"),
        }
    }
    for name in ["a", "Bot.v2_x-1", &"a".repeat(64)] {
        world.fanout.create(plain(name)).await.unwrap();
    }
    assert!(matches!(world.fanout.create(plain("a")).await, Err(SubscriptionError::Taken)));
}

#[test]
fn members_that_are_not_known_are_refused() {
    let error = serde_json::from_value::<NewSubscription>(json!({"name": "a", "url": "u", "events": [], "colour": "red"})).unwrap_err();
    assert!(error.to_string().contains("colour"));
    assert!(serde_json::from_value::<SubscriptionChange>(json!({"name": "b"})).is_err());
}

#[tokio::test]
async fn a_made_subscription_is_stored_before_it_is_seen_and_survives_a_restart() {
    let memory: Arc<Memory> = Arc::default();
    let before = World::still(Arc::clone(&memory), Vec::new(), |_, _| Deed::Take).await;
    let (made, secret) = before.fanout.create(plain("bot")).await.unwrap();
    assert_eq!(made.keys, [SigningKey { secret, until: None }]);
    before.fanout.set_state("bot", State::Paused).await.unwrap();
    let after = World::still(memory, Vec::new(), |_, _| Deed::Take).await;
    let kept = after.fanout.subscription("bot").unwrap();
    assert_eq!(*kept, Subscription { state: State::Paused, ..Subscription::clone(&made) });
    after.fanout.delete("bot").await.unwrap();
    assert!(after.fanout.subscription("bot").is_none());
    assert!(after.memory.book.lock().unwrap().is_empty());
    assert!(matches!(after.fanout.delete("bot").await, Err(SubscriptionError::Unknown)));
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name_and_is_held_against_the_rules() {
    let world = world(Vec::new()).await;
    let (made, _) =
        world.fanout.create(new(json!({"name": "a", "url": "https://a.example.com/", "events": ["*"], "rate": 5}))).await.unwrap();
    let change = |value| serde_json::from_value::<SubscriptionChange>(value).unwrap();
    let changed = world.fanout.change("a", change(json!({"rate": 0, "retry": ["1s"], "ordering": "authorizer"}))).await.unwrap();
    assert_eq!((changed.rate, changed.retry.clone()), (None, Some(vec![Duration::from_secs(1)])));
    assert_eq!((&changed.url, &changed.events, &changed.keys), (&made.url, &made.events, &made.keys));
    let cleared = world.fanout.change("a", change(json!({"retry": null, "timeout": "2s"}))).await.unwrap();
    assert_eq!((cleared.retry.clone(), cleared.timeout), (None, Some(Duration::from_secs(2))));
    let changed = world.fanout.change("a", change(json!({"retry": ["1s"], "timeout": null}))).await.unwrap();
    assert_eq!((changed.retry.clone(), changed.timeout), (Some(vec![Duration::from_secs(1)]), None));
    let error = world.fanout.change("a", change(json!({"url": "http://[::1]/", "retry": []}))).await.unwrap_err();
    assert_eq!(members(error), ["url", "retry"]);
    assert_eq!(*world.fanout.subscription("a").unwrap(), *changed);
}

#[tokio::test]
async fn the_files_subscriptions_can_be_stopped_but_not_changed() {
    let world = world(vec![subscription("bot")]).await;
    assert!(matches!(world.fanout.change("bot", SubscriptionChange::default()).await, Err(SubscriptionError::ReadOnly)));
    assert!(matches!(world.fanout.delete("bot").await, Err(SubscriptionError::ReadOnly)));
    assert!(matches!(world.fanout.create(plain("bot")).await, Err(SubscriptionError::Taken)));
    assert_eq!(world.fanout.set_state("bot", State::Paused).await.unwrap().state, State::Paused);
    assert!(matches!(world.fanout.set_state("other", State::Paused).await, Err(SubscriptionError::Unknown)));
}

#[tokio::test]
async fn ours_hears_of_grants_and_is_shown_to_nobody() {
    let world = world(vec![subscription("bot")]).await;
    assert_eq!(world.fanout.subscribers("douyin", EventType::AuthorizationGranted), ["bot", VAULT]);
    assert_eq!(world.fanout.subscribers("douyin", EventType::AuditPassed), ["bot"]);
    assert!(world.fanout.subscription(VAULT).is_none());
    assert_eq!(world.fanout.subscriptions().len(), 1);
    assert!(matches!(world.fanout.set_state(VAULT, State::Paused).await, Err(SubscriptionError::Unknown)));
    assert!(matches!(world.fanout.test(VAULT).await, Err(SubscriptionError::Unknown)));
    assert!(world.memory.book.lock().unwrap().keys().all(|name| name != VAULT));
}

#[tokio::test]
async fn who_hears_of_what_follows_patterns_components_and_not_states() {
    let audits = Subscription { events: vec![Glob::new("audit.*"), Glob::new("*.failed")], ..subscription("audits") };
    let tickets = Subscription { events: vec![Glob::new("ticket.received")], ..subscription("tickets") };
    let baidu = Subscription { components: vec![String::from("baidu")], ..subscription("baidu-only") };
    let world = world(vec![audits, tickets, baidu]).await;
    world.fanout.set_state("audits", State::Paused).await.unwrap();
    let names = |component, kind| world.fanout.subscribers(component, kind);
    assert_eq!(names("baidu", EventType::AuditPassed), ["audits", "baidu-only"]);
    assert_eq!(names("douyin", EventType::ProfileFailed), ["audits"]);
    // `*` does not name tickets.
    assert_eq!(names("baidu", EventType::TicketReceived), ["tickets"]);
    assert!(names("douyin", EventType::VendorOther).is_empty());
    // A component that the list does not know is answered all the same.
    assert_eq!(names("elsewhere", EventType::AuditPassed), ["audits"]);
}

#[tokio::test]
async fn while_a_rotation_lasts_both_secrets_sign_and_never_more_than_four() {
    let world = world(vec![subscription("bot")]).await;
    let signing = || {
        let now = yizhan::clock::Clock::now(&*world.clock);
        world.fanout.subscription("bot").unwrap().signing(now).cloned().collect::<Vec<_>>()
    };
    let first = world.fanout.rotate_secret("bot", DAY).await.unwrap();
    assert_eq!(signing(), [first.clone(), Secret::new(SECRET)]);
    world.advance(Duration::from_secs(3600));
    let mut newest = first.clone();
    for _ in 0..4 {
        newest = world.fanout.rotate_secret("bot", DAY).await.unwrap();
    }
    assert_eq!((signing().len(), &signing()[0]), (4, &newest));
    world.advance(DAY);
    assert_eq!(signing(), [newest]);
    // Compromised: the old ones stop at once.
    let last = world.fanout.rotate_secret("bot", Duration::ZERO).await.unwrap();
    assert_eq!(signing(), [last]);
    assert_eq!(members(world.fanout.rotate_secret("bot", DAY * 8).await.unwrap_err()), ["overlap"]);
    assert!(matches!(world.fanout.rotate_secret("other", DAY).await, Err(SubscriptionError::Unknown)));
}

#[tokio::test]
async fn a_rotated_secret_of_the_file_stands_until_the_file_names_another() {
    let memory: Arc<Memory> = Arc::default();
    let written = Written::default();
    let before = World::still(Arc::clone(&memory), vec![subscription("bot")], |_, _| Deed::Take);
    let before = before.with_subscriber(written.subscriber("info")).await;
    assert!(!written.text().contains("signs nothing any more"), "{}", written.text());
    let rotated = before.fanout.rotate_secret("bot", Duration::ZERO).await.unwrap();
    let signing = |world: &World| {
        let now = yizhan::clock::Clock::now(&*world.clock);
        world.fanout.subscription("bot").unwrap().signing(now).cloned().collect::<Vec<_>>()
    };
    // The file still holds the compromised secret: it must not come back.
    let after = World::still(Arc::clone(&memory), vec![subscription("bot")], |_, _| Deed::Take);
    let after = after.with_subscriber(written.subscriber("info")).await;
    assert_eq!(signing(&after), [rotated]);
    assert!(written.text().contains("the one in the file signs nothing any more"), "{}", written.text());
    let chosen = Secret::new("whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=");
    let mended = Subscription { keys: vec![SigningKey { secret: chosen.clone(), until: None }], ..subscription("bot") };
    let mended = World::still(memory, vec![mended], |_, _| Deed::Take).await;
    assert_eq!(signing(&mended), [chosen]);
}

#[tokio::test]
async fn the_files_settings_win_over_stored_ones() {
    let memory: Arc<Memory> = Arc::default();
    let before = World::still(Arc::clone(&memory), vec![subscription("bot")], |_, _| Deed::Take).await;
    before.fanout.set_state("bot", State::Paused).await.unwrap();
    let moved = Subscription { url: String::from("https://b.example.com/"), concurrency: 9, ..subscription("bot") };
    let after = World::still(memory, vec![moved], |_, _| Deed::Take).await;
    let one = after.fanout.subscription("bot").unwrap();
    assert_eq!((one.url.as_str(), one.concurrency, one.state), ("https://b.example.com/", 9, State::Paused));
}

#[tokio::test]
async fn what_the_file_no_longer_has_is_forgotten_and_cancelled() {
    let memory: Arc<Memory> = Arc::default();
    let before = World::still(Arc::clone(&memory), vec![subscription("bot"), subscription("other")], |_, _| Deed::Take).await;
    before.push("bot", "tt1");
    let written = Written::default();
    let starting = World::still(Arc::clone(&memory), vec![subscription("other")], |_, _| Deed::Take);
    let after = starting.with_subscriber(written.subscriber("info")).await;
    assert!(after.fanout.subscription("bot").is_none());
    assert_eq!(memory.count(Status::Cancelled), 1);
    assert_eq!(memory.book.lock().unwrap().len(), 1);
    let told = written.text();
    assert!(told.contains("yizhan events replay --status cancelled --subscription NAME") && told.contains("cancelled=1"), "{told}");

    let written = Written::default();
    World::still(memory, Vec::new(), |_, _| Deed::Take).with_subscriber(written.subscriber("info")).await;
    let told = written.text();
    assert!(told.contains("forgotten") && !told.contains("replay"), "{told}");
}

#[tokio::test]
async fn a_bad_subscription_of_the_file_stops_the_start_with_its_name() {
    let bad = [Subscription { events: Vec::new(), ..subscription("one") }, Subscription { keys: Vec::new(), ..subscription("two") }];
    let memory: Arc<Memory> = Arc::default();
    let world = world(Vec::new()).await;
    let webhook: Arc<dyn Sink> = Arc::new(super::webhook::nowhere(&world.clock));
    let sinks = Sinks { webhook, internal: Vec::new(), held: Vec::new() };
    let opened = Fanout::open(memory.clone(), memory, Vec::new(), bad.into(), sinks, options(), world.clock.clone()).await;
    let Err(error) = opened else { panic!("it started") };
    assert!(matches!(&error, OpenError::Invalid(problems) if problems.len() == 2));
    assert_eq!(
        error.to_string(),
        "subscription `one`: `events` names no pattern; write [\"*\"] for all; subscription `two`: `secret` is missing"
    );
}

#[tokio::test]
async fn the_name_of_one_made_by_api_is_taken_over_by_nobody() {
    let memory: Arc<Memory> = Arc::default();
    let before = World::still(Arc::clone(&memory), Vec::new(), |_, _| Deed::Take).await;
    before.fanout.create(plain("later")).await.unwrap();
    before.push("later", "tt1");
    let stored = memory.book.lock().unwrap().clone();
    let webhook: Arc<dyn Sink> = Arc::new(super::webhook::nowhere(&before.clock));
    let open = async |file: Vec<Subscription>, playbooks: Vec<Subscriber>| {
        let sinks = Sinks { webhook: webhook.clone(), internal: playbooks, held: Vec::new() };
        Fanout::open(memory.clone(), memory.clone(), memory.stored(), file, sinks, options(), before.clock.clone()).await
    };
    let playbook = || vec![ours(&before, "later", Origin::Playbook)];
    for (file, playbooks, place) in
        [(vec![subscription("bot"), subscription("later")], Vec::new(), "subscriptions"), (Vec::new(), playbook(), "playbooks")]
    {
        let Err(error) = open(file, playbooks).await else { panic!("{place}: it was taken over") };
        assert_eq!(error.to_string(), format!("`{place}.later` has the name of a subscription that was made by API"));
        assert!(matches!(error, OpenError::Claimed(claimed) if claimed.len() == 1));
        assert_eq!((&*memory.book.lock().unwrap(), memory.count(Status::Pending)), (&stored, 1), "nothing is changed");
    }

    // Out of the configuration it is deleted, and then its name is free for each of them, one after the other.
    open(Vec::new(), Vec::new()).await.unwrap().delete("later").await.unwrap();
    assert_eq!(memory.count(Status::Cancelled), 1);
    for (file, playbooks, origin) in [
        (vec![subscription("later")], Vec::new(), Origin::File),
        (Vec::new(), playbook(), Origin::Playbook),
        (vec![subscription("later")], Vec::new(), Origin::File),
        (vec![subscription("later")], Vec::new(), Origin::File),
    ] {
        let fanout = open(file, playbooks).await.unwrap();
        assert_eq!(fanout.subscription("later").unwrap().origin, origin);
    }
}

#[tokio::test]
async fn what_waits_under_a_name_ends_where_a_playbook_becomes_a_subscription_or_the_other_way_round() {
    let memory: Arc<Memory> = Arc::default();
    let world = World::still(Arc::clone(&memory), Vec::new(), |_, _| Deed::Take).await;
    let webhook: Arc<dyn Sink> = Arc::new(super::webhook::nowhere(&world.clock));
    let open = async |file: Vec<Subscription>, playbooks: Vec<Subscriber>| {
        let sinks = Sinks { webhook: webhook.clone(), internal: playbooks, held: Vec::new() };
        Fanout::open(memory.clone(), memory.clone(), memory.stored(), file, sinks, options(), world.clock.clone()).await.unwrap()
    };
    let playbook = || vec![ours(&world, "tell", Origin::Playbook)];
    open(Vec::new(), playbook()).await;
    for (turn, (file, playbooks, origin)) in
        [(vec![subscription("tell")], Vec::new(), Origin::File), (Vec::new(), playbook(), Origin::Playbook)].into_iter().enumerate()
    {
        let former =
            if origin == Origin::File { open(Vec::new(), playbook()).await } else { open(vec![subscription("tell")], Vec::new()).await };
        former.set_state("tell", State::Paused).await.unwrap();
        world.push("tell", "tt1");
        world.advance(Duration::from_secs(60));
        let fanout = open(file.clone(), playbooks.clone()).await;
        let stands = fanout.subscription("tell").unwrap();
        assert_eq!((stands.origin, stands.state, memory.count(Status::Pending)), (origin, State::Active, 0), "nothing of the former one");
        assert_eq!(memory.count(Status::Cancelled), turn + 1);
        // What comes for this one waits for it, also over a restart.
        world.push("tell", "tt2");
        let fanout = open(file, playbooks).await;
        assert_eq!((fanout.subscription("tell").unwrap(), memory.count(Status::Pending)), (stands, 1));
        fanout.set_state("tell", State::Active).await.unwrap();
        memory.rows.lock().unwrap().retain(|row| row.delivery.status != Status::Pending);
    }
}

#[tokio::test]
async fn a_test_event_is_sent_once_and_changes_nothing() {
    let mut world = World::still(Arc::default(), vec![subscription("bot")], |_, claimed| {
        let event: serde_json::Value = serde_json::from_slice(&claimed.event.body).unwrap();
        assert_eq!((event["type"].as_str(), event["vendortype"].as_str()), (Some("vendor.other"), Some("yizhan.test")));
        assert_eq!(event["id"].as_str(), Some(claimed.event.id.to_string().as_str()));
        Deed::Gone
    })
    .await;
    let attempt = world.fanout.test("bot").await.unwrap();
    assert_eq!(attempt.status, Some(200));
    assert_eq!(world.next_try().await.attempt, 1);
    assert_eq!(world.fanout.subscription("bot").unwrap().state, State::Active);
    assert!(world.memory.rows.lock().unwrap().is_empty());
}

/// One of ours, with a sink that is never asked.
fn ours(world: &World, name: &str, origin: Origin) -> Subscriber {
    let sink: Arc<dyn Sink> = Arc::new(super::webhook::nowhere(&world.clock));
    let subscription = Subscription::internal(name, [Glob::new("audit.*")], super::world::start_of_time());
    Subscriber { subscription: Subscription { origin, ..subscription }, sink }
}

#[tokio::test]
async fn ours_hear_of_events_and_only_playbooks_are_shown() {
    let world = world(vec![subscription("bot")]).await;
    world.fanout.enlist(ours(&world, "yizhan-rollouts", Origin::Internal)).await.unwrap();
    world.fanout.enlist(ours(&world, "release when approved", Origin::Playbook)).await.unwrap();
    let heard = world.fanout.subscribers("douyin", EventType::AuditPassed);
    assert_eq!(heard, ["bot", "release when approved", "yizhan-rollouts"]);
    let shown: Vec<String> = world.fanout.subscriptions().iter().map(|one| one.name.clone()).collect();
    assert_eq!(shown, ["bot", "release when approved"]);
    assert!(world.fanout.subscription("yizhan-rollouts").is_none());
    assert!(matches!(world.fanout.set_state("yizhan-rollouts", State::Paused).await, Err(SubscriptionError::Unknown)));
    assert!(matches!(world.fanout.enlist(ours(&world, "bot", Origin::Playbook)).await, Err(SubscriptionError::Taken)));

    let name = "release when approved";
    assert_eq!(world.fanout.set_state(name, State::Paused).await.unwrap().state, State::Paused);
    let changed = world.fanout.enlist(ours(&world, name, Origin::Playbook)).await.unwrap();
    assert_eq!(changed.state, State::Paused, "a changed one keeps its state");
    assert!(matches!(world.fanout.delete(name).await, Err(SubscriptionError::Playbook)));
    assert!(matches!(world.fanout.test(name).await, Err(SubscriptionError::Playbook)));
    assert!(matches!(world.fanout.rotate_secret(name, DAY).await, Err(SubscriptionError::Playbook)));
    let taken = NewSubscription { name: String::from("yizhan-rollouts"), ..plain("x") };
    assert!(matches!(world.fanout.create(taken).await, Err(SubscriptionError::Taken)));

    world.push(name, "tt1");
    assert_eq!(world.fanout.dismiss(name).await.unwrap(), 1);
    assert!(matches!(world.fanout.dismiss("bot").await, Err(SubscriptionError::Unknown)));
    assert_eq!(world.fanout.subscribers("douyin", EventType::AuditPassed), ["bot", "yizhan-rollouts"]);
    assert_eq!(world.memory.count(Status::Cancelled), 1);
}

#[tokio::test]
async fn a_paused_playbook_is_paused_after_a_restart_and_one_that_is_gone_is_forgotten() {
    let memory: Arc<Memory> = Arc::default();
    let world = World::still(Arc::clone(&memory), Vec::new(), |_, _| Deed::Take).await;
    for name in ["onboard", "tell"] {
        world.fanout.enlist(ours(&world, name, Origin::Playbook)).await.unwrap();
        world.push(name, "tt1");
    }
    world.fanout.set_state("onboard", State::Paused).await.unwrap();
    let webhook: Arc<dyn Sink> = Arc::new(super::webhook::nowhere(&world.clock));
    let open = async |file: Vec<Subscription>| {
        let sinks = Sinks { webhook: webhook.clone(), internal: vec![ours(&world, "onboard", Origin::Playbook)], held: Vec::new() };
        Fanout::open(memory.clone(), memory.clone(), memory.stored(), file, sinks, options(), world.clock.clone()).await
    };
    let fanout = open(Vec::new()).await.unwrap();
    let names: Vec<_> = fanout.subscriptions().iter().map(|one| (one.name.clone(), one.state)).collect();
    assert_eq!(names, [(String::from("onboard"), State::Paused)]);
    assert_eq!(memory.count(Status::Cancelled), 1);
    let Err(error) = open(vec![subscription("onboard")]).await else { panic!("two of one name") };
    assert!(error.to_string().contains("is the name of a subscription and of a playbook"), "{error}");
}

#[tokio::test]
async fn what_a_subscription_does_not_want_any_more_is_not_tried_again_and_a_playbook_asks_itself() {
    let world = world(vec![Subscription { components: vec![String::from("douyin")], ..subscription("bot") }]).await;
    world.fanout.enlist(ours(&world, "ask", Origin::Playbook)).await.unwrap();
    let retry = async |name: &str, component: &str, kind: EventType| {
        let now = world.clock.now();
        let event = world.memory.event(component, "tt1", kind, now);
        let id = world.memory.put(&event, name, now, 1);
        let delivery = world.memory.delivery(id).await.unwrap().unwrap();
        world.fanout.retry(&delivery, &event).await
    };
    retry("bot", "douyin", EventType::AuditPassed).await.unwrap();
    for (component, kind) in [("baidu", EventType::AuditPassed), ("douyin", EventType::TicketReceived)] {
        let Err(error) = retry("bot", component, kind).await else { panic!("{component}: it is sent") };
        assert_eq!(error.to_string(), format!("the subscription `bot` wants no `{}` of component `{component}`", kind.as_str()));
    }
    retry("ask", "douyin", EventType::ReleaseChanged).await.unwrap();
    assert!(matches!(retry("gone", "douyin", EventType::AuditPassed).await, Err(RetryError::NoSubscription(_))));
}

#[tokio::test]
async fn nobody_looks_for_the_oldest_that_waits_for_a_playbook_or_where_nothing_waits() {
    let world = World::still(Arc::default(), vec![subscription("bot"), subscription("idle")], |_, _| Deed::Hang).await;
    world.fanout.enlist(ours(&world, "ask", Origin::Playbook)).await.unwrap();
    for name in ["ask", "bot"] {
        world.push(name, "tt1");
    }
    let running = world.run();
    for rounds in 1..3 {
        // They are looked at by name: before it came to this one it was done with the playbook.
        world.memory.until(|_| world.memory.aged.lock().unwrap().len() >= rounds).await;
        world.advance(Duration::from_secs(15));
    }
    assert!(world.memory.aged.lock().unwrap().iter().all(|name| name == "bot"), "{:?}", world.memory.aged);
    world.shutdown.request();
    world.let_go();
    soon(running).await.unwrap();
}

#[tokio::test]
async fn a_deletion_that_was_interrupted_is_completed_and_nobody_of_the_name_hears_of_what_was_left() {
    let memory: Arc<Memory> = Arc::default();
    let before = World::still(Arc::clone(&memory), vec![subscription("other")], |_, _| Deed::Take).await;
    before.fanout.create(plain("bot")).await.unwrap();
    before.push("bot", "tt1");
    memory.broken_off.store(true, Relaxed);
    let deleting = tokio::spawn({
        let fanout = Arc::clone(&before.fanout);
        async move { fanout.delete("bot").await }
    });
    while before.fanout.subscription("bot").is_some() {
        tokio::task::yield_now().await;
    }
    deleting.abort();
    assert_eq!(memory.count(Status::Pending), 1, "the process ended here");

    memory.broken_off.store(false, Relaxed);
    let mut after = World::still(Arc::clone(&memory), vec![subscription("other")], |_, _| Deed::Take).await;
    assert!(after.fanout.subscription("bot").is_none());
    assert_eq!((memory.count(Status::Cancelled), memory.book.lock().unwrap().contains_key("bot")), (1, false));
    after.run();
    after.fanout.create(plain("bot")).await.unwrap();
    after.nothing_is_tried().await;
    after.push("bot", "tt2");
    assert_eq!(after.next_try().await.authorizer, "tt2");
}

#[tokio::test]
async fn a_deletion_goes_on_though_whoever_asked_for_it_went_away() {
    let world = world(Vec::new()).await;
    world.fanout.create(plain("bot")).await.unwrap();
    world.push("bot", "tt1");
    world.memory.broken_off.store(true, Relaxed);
    {
        let deleting = std::pin::pin!(world.fanout.delete("bot"));
        let asked = tokio::time::timeout(Duration::from_millis(50), deleting).await;
        assert!(asked.is_err(), "it hangs in the middle, and the caller goes away");
    }
    world.memory.broken_off.store(false, Relaxed);
    world.memory.until(|rows| rows.iter().all(|row| row.delivery.status == Status::Cancelled)).await;
    super::world::soon(async {
        while !world.memory.book.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_start_is_not_held_up_by_what_cannot_be_cancelled() {
    let memory: Arc<Memory> = Arc::default();
    let before = World::still(Arc::clone(&memory), vec![subscription("bot")], |_, _| Deed::Take).await;
    before.push("bot", "tt1");
    for round in 0..2 {
        memory.uncancellable.store(round == 0, Relaxed);
        let after = World::still(Arc::clone(&memory), Vec::new(), |_, _| Deed::Take).await;
        assert!(after.fanout.subscription("bot").is_none());
        assert_eq!(memory.count(Status::Cancelled), round, "tried again at the next start");
    }
}

#[tokio::test]
async fn what_waits_after_a_lost_vault_goes_to_whoever_is_registered_again_or_is_cancelled_by_name() {
    let memory: Arc<Memory> = Arc::default();
    let before = World::still(Arc::clone(&memory), Vec::new(), |_, _| Deed::Take).await;
    for name in ["bot", "former"] {
        before.fanout.create(plain(name)).await.unwrap();
        before.push(name, "tt1");
    }
    memory.book.lock().unwrap().clear();
    let mut after = World::still(Arc::clone(&memory), Vec::new(), |_, _| Deed::Take).await;
    assert_eq!(memory.count(Status::Pending), 2, "a start cancels nothing that a person may want");
    after.run();
    after.fanout.delete("former").await.unwrap();
    assert_eq!((memory.count(Status::Pending), memory.count(Status::Cancelled)), (1, 1));
    assert!(matches!(after.fanout.delete("former").await, Err(SubscriptionError::Unknown)));
    after.fanout.create(plain("bot")).await.unwrap();
    assert_eq!(after.next_try().await.subscription, "bot");
}

#[tokio::test]
async fn a_subscription_made_after_its_name_was_retired_stands_when_an_older_log_comes_back() {
    let memory: Arc<Memory> = Arc::default();
    let before = World::still(Arc::clone(&memory), Vec::new(), |_, _| Deed::Take).await;
    before.fanout.create(plain("bot")).await.unwrap();
    memory.retired.lock().unwrap().insert(String::from("bot"), super::world::start_of_time() - jiff::SignedDuration::from_secs(1));
    let after = World::still(Arc::clone(&memory), Vec::new(), |_, _| Deed::Take).await;
    assert!(after.fanout.subscription("bot").is_some());
    assert!(memory.retired.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_deletion_holds_though_the_clock_was_set_back() {
    let memory: Arc<Memory> = Arc::default();
    let world = World::still(Arc::clone(&memory), Vec::new(), |_, _| Deed::Take).await;
    world.fanout.create(plain("bot")).await.unwrap();
    let made_at = world.fanout.subscription("bot").unwrap().created_at;
    world.clock.advance(jiff::SignedDuration::from_hours(-1));
    world.fanout.delete("bot").await.unwrap();
    assert_eq!(memory.retired.lock().unwrap()["bot"], made_at, "a crash behind this leaves none that seems to be made later");
}
