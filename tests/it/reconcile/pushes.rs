//! The vendor's list of missed pushes, and tickets that stay away.

use std::time::Duration;

use serde_json::{Value, json};
use yizhan::app::App;
use yizhan::clock::Clock;
use yizhan::config::Config;
use yizhan::fanout::Subscription;
use yizhan::platform::Door;
use yizhan::platform::twin::Verdict;
use yizhan::settings::Surroundings;
use yizhan::simulator::fault::{CallFault, CallTrouble};

use super::{app_id, delivered, events, lose_pushes, reconcile};
use crate::world::{World, configuration};

async fn has_token(world: &World, platform: &str) -> Option<()> {
    let address = format!("/v1/components/{platform}/authorizers/{}/token", app_id(platform));
    (world.get(&address).await.0 == 200).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_while_the_service_was_down_for_an_hour_is_told_once_and_in_full() {
    let mut world = World::new().await;
    world.simulator.ticket("baidu").await.unwrap();
    world.down().await;
    let app = app_id("baidu");
    world.simulator.grant("baidu", app).await.unwrap();
    world.advance(Duration::from_secs(1800));
    world.simulator.audit("baidu", app, "1.0.0", &Verdict::Passed).await.unwrap();
    world.advance(Duration::from_secs(1800));
    world.up().await;
    // By itself: the list is read at every start.
    let passed = world
        .until("the missed pushes", async || {
            world.advance(Duration::from_secs(1));
            events(&world, "baidu", "audit.passed").await.pop()
        })
        .await;
    assert_eq!((&passed["data"]["version"], &passed["data"]["derived"]), (&json!("1.0.0"), &Value::Null), "a push like any other");
    // The code of the grant died long ago: another one is asked for.
    world
        .until("a token", async || {
            world.advance(Duration::from_secs(1));
            has_token(&world, "baidu").await
        })
        .await;
    let again = reconcile(&world, "baidu").await;
    assert_eq!((&again["missed_pushes"]["found"], &again["missed_pushes"]["error"]), (&json!(0), &Value::Null), "{again}");
    for kind in ["audit.passed", "authorization.granted"] {
        assert_eq!(delivered(&world, "baidu", kind).await.len(), 1, "{kind}");
    }
    let (_, state) = world.get("/v1/components/baidu").await;
    assert!(state["reconcile"]["missed_pushes"]["found_in_all"].as_u64().unwrap() >= 2, "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_read_to_its_end_and_what_arrived_after_all_is_known() {
    let world = World::new().await;
    world.granted("baidu", app_id("baidu")).await;
    lose_pushes(&world, "baidu", true);
    let mut one = None;
    for number in 0..120 {
        let message = json!({
            "ToUserName": app_id("baidu"), "FromUserName": "user", "CreateTime": 1_795_158_000 + number, "MsgType": "text",
            "Content": format!("letter {number}"), "MsgId": 9_000_000 + number,
        });
        one = Some(world.simulator.say("baidu", Door::Message, &message.to_string()).await.unwrap().0);
    }
    lose_pushes(&world, "baidu", false);
    assert!(world.simulator.repeat("baidu", &one.unwrap()).await.unwrap().acknowledged);
    world.advance(Duration::from_secs(1));
    let looks = reconcile(&world, "baidu").await;
    assert_eq!((&looks["missed_pushes"]["found"], &looks["missed_pushes"]["error"]), (&json!(119), &Value::Null), "{looks}");
    assert!(looks["missed_pushes"]["asked"].as_u64().unwrap() >= 2, "two pages");
    assert_eq!(events(&world, "baidu", "message.received").await.len(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_of_the_log_acknowledged_pushes_are_asked_for_again() {
    let mut world = World::new().await;
    let app = app_id("baidu");
    world.granted("baidu", app).await;
    let (_, answered) = world.simulator.audit("baidu", app, "1.0.0", &Verdict::Passed).await.unwrap();
    assert!(answered.acknowledged);
    assert_eq!(events(&world, "baidu", "audit.passed").await.len(), 1);
    // The mark of acknowledged events is remembered every second.
    world.advance(Duration::from_secs(5));
    world.down().await;
    std::fs::remove_dir_all(world.store().join("log")).unwrap();
    world.up().await;
    world
        .until("what was acknowledged", async || {
            world.advance(Duration::from_secs(1));
            (events(&world, "baidu", "audit.passed").await.len() == 1).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_after_a_loss_leaves_the_loss_to_be_found_by_the_next() {
    let mut world = World::new().await;
    let app = app_id("baidu");
    world.granted("baidu", app).await;
    let (_, answered) = world.simulator.audit("baidu", app, "1.0.0", &Verdict::Passed).await.unwrap();
    assert!(answered.acknowledged);
    world.advance(Duration::from_secs(5));
    world.down().await;
    std::fs::remove_dir_all(world.store().join("log")).unwrap();
    let text = format!("{}\n{}", configuration(world.store(), &world.base), world.simulator.components_toml());
    let mut config = Config::parse(&text, Surroundings::default()).unwrap();
    let wrong = Subscription { name: String::from("no/name"), ..Subscription::vault(world.clock.now()) };
    config.subscriptions.push(wrong);
    assert!(App::build(config, world.clock.clone()).await.is_err());

    world.up().await;
    let remarks = world.app().health.remarks();
    assert!(remarks.get("log").is_some_and(|remark| remark.contains("were lost")), "{remarks:?}");
    world
        .until("what was acknowledged", async || {
            world.advance(Duration::from_secs(1));
            (events(&world, "baidu", "audit.passed").await.len() == 1).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_that_stay_away_are_remarked_and_asked_for_where_that_exists() {
    let world = World::new().await;
    world.simulator.ticket("baidu").await.unwrap();
    world.simulator.ticket("kuaishou").await.unwrap();
    // The vault asks at the start too, before the first ticket.
    let asked = || world.simulator.counts("kuaishou").unwrap().deed("start_tickets");
    let before = asked();
    let ask = CallFault { matching: String::from("start_push_ticket"), trouble: CallTrouble::NotHeard, times: 1 };
    world.simulator.fail_calls("kuaishou", ask).unwrap();
    world.advance(Duration::from_secs(26 * 60));
    let ready = world
        .until("a remark", async || {
            world.advance(Duration::from_secs(1));
            let (_, ready) = world.get("/readyz").await;
            let detail = ready["reconcile"]["detail"].as_str().unwrap_or_default().to_owned();
            (detail.contains("baidu: no new ticket for 26 minutes") && detail.contains("kuaishou")).then_some(ready)
        })
        .await;
    assert_eq!(ready["reconcile"]["ok"], true, "the service itself is well");
    let (_, baidu) = world.get("/v1/components/baidu").await;
    assert!(baidu["warnings"][0].as_str().unwrap().starts_with("no new ticket for 26 minutes"), "{baidu}");
    assert!(baidu["reconcile"]["tickets"]["error"].is_string());

    // Kuaishou is asked again, not before another interval is over, and pushes one.
    world
        .until("an asked ticket", async || {
            world.advance(Duration::from_secs(10));
            let (_, kuaishou) = world.get("/v1/components/kuaishou").await;
            (kuaishou["ticket"]["age_seconds"].as_i64()? < 600).then_some(())
        })
        .await;
    assert_eq!(asked() - before, 1, "the vendor was asked once and heard it");
    world.simulator.ticket("baidu").await.unwrap();
    world.simulator.ticket("kuaishou").await.unwrap();
    world
        .until("no remark", async || {
            world.advance(Duration::from_secs(10));
            let (_, ready) = world.get("/readyz").await;
            let detail = ready["reconcile"]["detail"].as_str().unwrap_or_default().to_owned();
            (!detail.contains("baidu") && !detail.contains("kuaishou")).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reconciling_is_only_for_keys_that_may_call_operations_and_for_components_there_are() {
    let world = World::new().await;
    let (status, _) = world.post("/v1/components/nobody/reconcile", json!({})).await;
    assert_eq!(status, 404);
    let (status, problem) = world.post("/v1/components/baidu/reconcile", json!({"what": 1})).await;
    assert_eq!(status, 422, "{problem}");
    let request = world.client.post(format!("{}/v1/components/baidu/reconcile", world.base));
    assert_eq!(crate::world::answer(request).await.0, 401);
    // Without a ticket nothing is asked, and that is said.
    let looks = reconcile(&world, "baidu").await;
    assert_eq!((&looks["missed_pushes"]["asked"], &looks["missed_pushes"]["error"]), (&json!(0), &json!("waits for the first ticket")));
}
