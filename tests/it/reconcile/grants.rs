//! Our merchants held against the vendors' lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::outbound::vendors::HttpVendors;
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::{Call, Reply};
use yizhan::simulator::fault::{CallFault, CallTrouble, PushFaults};
use yizhan::vault::LAG;

use super::{app_id, delivered, events, lose_pushes, patiently, reconcile};
use crate::world::{Setting, World};

async fn token_status(world: &World, platform: &str, app_id: &str) -> u16 {
    world.get(&format!("/v1/components/{platform}/authorizers/{app_id}/token")).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_that_nobody_told_us_of_is_found_and_its_tokens_are_won_back() {
    let world = World::new().await;
    for platform in ["douyin", "alipay"] {
        let app = app_id(platform);
        world.simulator.ticket(platform).await.unwrap();
        lose_pushes(&world, platform, true);
        world.simulator.grant(platform, app).await.unwrap();
        lose_pushes(&world, platform, false);
        world.advance(Duration::from_secs(60));
        let looks = reconcile(&world, platform).await;
        // By this look, or by the worker's own a moment before.
        assert_eq!((&looks["grants"]["found_in_all"], &looks["grants"]["error"]), (&json!(1), &Value::Null), "{platform}: {looks}");
        let told = events(&world, platform, "authorization.granted").await;
        assert_eq!((told.len(), &told[0]["subject"], &told[0]["data"]["derived"]), (1, &json!(app), &json!(true)), "{platform}");
        world
            .until("a token", async || {
                world.advance(Duration::from_secs(1));
                (token_status(&world, platform, app).await == 200).then_some(())
            })
            .await;
        assert_eq!(reconcile(&world, platform).await["grants"]["found"], 0, "{platform}");
        assert_eq!(delivered(&world, platform, "authorization.granted").await.len(), 1, "{platform}");
        assert!(!events(&world, platform, "*").await.iter().any(|event| event.to_string().contains("app_auth_token\":\"2")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grants_push_that_comes_late_makes_no_second_event_once_its_tokens_are_held() {
    let world = World::new().await;
    let app = app_id("douyin");
    world.simulator.ticket("douyin").await.unwrap();
    // What the vendor would have pushed at the time of the grant.
    let at = yizhan::clock::china_text(yizhan::clock::Clock::now(&*world.clock));
    lose_pushes(&world, "douyin", true);
    world.simulator.grant("douyin", app).await.unwrap();
    lose_pushes(&world, "douyin", false);
    world.advance(Duration::from_secs(60));
    assert_eq!(reconcile(&world, "douyin").await["grants"]["found_in_all"], 1);
    world.until("a token", async || (token_status(&world, "douyin", app).await == 200).then_some(())).await;
    let sample = yizhan::platform::named("douyin").unwrap().sample_settings("http://127.0.0.1:9");
    let component = sample.lines().find_map(|line| line.strip_prefix("component_appid = \"")).unwrap().trim_end_matches('"').to_owned();
    let push = json!({
        "AppId": app, "TpAppId": component, "Event": "AUTHORIZED", "EventTime": at,
        "AuthorizationCode": "0123456789abcdef0123456789abcdef", "AuthorizationCodeExpiresIn": 3600,
    });
    let (_, answered) = world.simulator.say("douyin", yizhan::platform::Door::Authorization, &push.to_string()).await.unwrap();
    assert!(answered.acknowledged);
    assert_eq!(events(&world, "douyin", "authorization.granted").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_that_two_whole_lists_lack_is_gone_and_one_list_revokes_nobody() {
    let world = World::new().await;
    for platform in ["douyin", "alipay"] {
        let (app, other) = (app_id(platform), if platform == "douyin" { "ttffffffffffffffff" } else { "2021000000000009" });
        world.granted(platform, app).await;
        world.granted(platform, other).await;
        world.advance(Duration::from_secs(900));
        assert_eq!(reconcile(&world, platform).await["grants"]["found"], 0, "{platform}");
        lose_pushes(&world, platform, true);
        world.simulator.revoke(platform, app).await.unwrap();
        lose_pushes(&world, platform, false);
        let looks = reconcile(&world, platform).await;
        assert_eq!((&looks["grants"]["found"], &looks["grants"]["error"]), (&json!(0), &Value::Null), "{platform}: one list: {looks}");
        assert_eq!(reconcile(&world, platform).await["grants"]["found"], 0, "{platform}: too soon for a second one");
        world.advance(Duration::from_secs(400));
        let looked = reconcile(&world, platform).await;
        // The worker may have looked by itself meanwhile.
        assert!(looked["grants"]["error"].is_null(), "{platform}: {looked}");
        let told = events(&world, platform, "authorization.revoked").await;
        assert_eq!((told.len(), &told[0]["subject"], &told[0]["data"]["derived"]), (1, &json!(app), &json!(true)), "{platform}");
        world.until("the end of the grant", async || (token_status(&world, platform, app).await == 410).then_some(())).await;
        assert_eq!(token_status(&world, platform, other).await, 200, "{platform}");
        // A clock that leaps while a delivery is under way ends its claim, and it is made once more.
        let pending = "/v1/deliveries?status=pending";
        world.until("the end of all deliveries", async || (world.get(pending).await.1["items"] == json!([])).then_some(())).await;
        world.advance(Duration::from_secs(400));
        reconcile(&world, platform).await;
        assert_eq!(delivered(&world, platform, "authorization.revoked").await.len(), 1, "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_several_pages_is_read_to_its_end() {
    let world = World::new().await;
    for platform in ["douyin", "alipay"] {
        world.simulator.ticket(platform).await.unwrap();
        let merchants = world.simulator.crowd(platform, 52, None).await.unwrap().app_ids;
        for merchant in &merchants {
            world.until("a token", async || (token_status(&world, platform, merchant).await == 200).then_some(())).await;
        }
        world.advance(Duration::from_secs(900));
        let looks = reconcile(&world, platform).await;
        let (asked, error) = (&looks["grants"]["asked"], &looks["grants"]["error"]);
        assert_eq!((asked, error), (&json!(2), &Value::Null), "{platform}: {looks}");
        assert_eq!(events(&world, platform, "authorization.revoked").await, Vec::<Value>::new(), "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_cut_in_the_middle_revokes_nobody() {
    let world = World::new().await;
    world.simulator.ticket("douyin").await.unwrap();
    let request = world.client.post(format!("http://{}/_sim/douyin/crowd", world.simulator.address()));
    let (status, told) = crate::world::answer(request.header("content-type", "application/json").body(r#"{"count":52}"#)).await;
    assert_eq!(status, 200, "{told}");
    let merchants: Vec<String> = serde_json::from_value(told["app_ids"].clone()).unwrap();
    for merchant in &merchants {
        world.until("a token", async || (token_status(&world, "douyin", merchant).await == 200).then_some(())).await;
    }
    world.advance(Duration::from_secs(900));
    let gone = merchants.first().unwrap();
    lose_pushes(&world, "douyin", true);
    world.simulator.revoke("douyin", gone).await.unwrap();
    lose_pushes(&world, "douyin", false);
    for _ in 0..3 {
        let cut = CallFault { matching: String::from("page=2"), trouble: CallTrouble::Garbage, times: 10 };
        world.simulator.fail_calls("douyin", cut).unwrap();
        let looks = reconcile(&world, "douyin").await;
        assert!(looks["grants"]["error"].is_string(), "{looks}");
        world.advance(Duration::from_secs(600));
    }
    assert_eq!(events(&world, "douyin", "authorization.revoked").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_mini_programs_revokes_nobody_where_merchants_may_grant_other_applications() {
    let mut world = World::new().await;
    let platform = "platform = \"alipay\"\n";
    world.mend(platform, &format!("{platform}application_types = [\"TINYAPP\", \"WEBAPP\"]\n")).await;
    let (web, program) = (app_id("alipay"), "2021000000000009");
    world.granted("alipay", web).await;
    world.advance(Duration::from_secs(900));
    // To the twin everything is a mini program: what is not listed is what was withdrawn.
    lose_pushes(&world, "alipay", true);
    world.simulator.revoke("alipay", web).await.unwrap();
    world.simulator.grant("alipay", program).await.unwrap();
    lose_pushes(&world, "alipay", false);
    for _ in 0..3 {
        let looks = reconcile(&world, "alipay").await;
        assert!(looks["grants"]["error"].is_null(), "{looks}");
        world.advance(Duration::from_secs(600));
    }
    assert_eq!(events(&world, "alipay", "authorization.revoked").await, Vec::<Value>::new());
    assert_eq!(token_status(&world, "alipay", web).await, 200, "its tokens are kept");
    world.until("a token", async || (token_status(&world, "alipay", program).await == 200).then_some(())).await;
}

/// Nobody looks by itself.
async fn looked_at_by_hand(vendors: Option<Arc<dyn Vendors>>) -> World {
    World::with(Setting { vendors, extra: String::from("[reconcile]\nenabled = false\n"), ..Setting::default() }).await
}

/// Douyin, which gives no code back for as long as it refuses to.
struct Refusing {
    vendors: HttpVendors,
    refuses: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Vendors for Refusing {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        if !call.target().contains("retrieve_auth_code") {
            return self.vendors.send(call).await;
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !self.refuses.load(Ordering::SeqCst) {
            return self.vendors.send(call).await;
        }
        let body = r#"{"err_no":40004,"err_msg":"no such authorizer"}"#;
        Ok(Reply { status: 200, content_type: String::from("application/json"), body: body.into() })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_whose_code_was_given_up_is_asked_for_again_while_the_list_holds_it() {
    let refusing = Arc::new(Refusing { vendors: HttpVendors::new().unwrap(), refuses: true.into(), asked: AtomicUsize::new(0) });
    let asked = || refusing.asked.load(Ordering::SeqCst);
    let world = looked_at_by_hand(Some(refusing.clone())).await;
    let app = app_id("douyin");
    world.simulator.ticket("douyin").await.unwrap();
    lose_pushes(&world, "douyin", true);
    world.simulator.grant("douyin", app).await.unwrap();
    lose_pushes(&world, "douyin", false);
    world.advance(Duration::from_secs(60));
    assert_eq!(reconcile(&world, "douyin").await["grants"]["found"], 1);
    // What was found is handed to the vault, refused for good, and not tried again.
    let dead = "/v1/deliveries?status=dead";
    world.until("the end of the delivery", async || (world.get(dead).await.1["items"] != json!([])).then_some(())).await;
    let (status, answer) = world.get(&format!("/v1/components/douyin/authorizers/{app}/token")).await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("renew its token once by force"), "{answer}");
    assert_eq!(asked(), 1);
    reconcile(&world, "douyin").await;
    assert_eq!(asked(), 1, "a grant of these minutes may be under way");
    world.advance(LAG);
    world.simulator.ticket("douyin").await.unwrap();
    for _ in 0..2 {
        reconcile(&world, "douyin").await;
        assert_eq!(asked(), 2, "once in a while");
    }
    refusing.refuses.store(false, Ordering::SeqCst);
    world.advance(Duration::from_secs(3600));
    world.simulator.ticket("douyin").await.unwrap();
    reconcile(&world, "douyin").await;
    assert_eq!((asked(), token_status(&world, "douyin", app).await), (3, 200));
    assert_eq!(events(&world, "douyin", "authorization.granted").await.len(), 1, "told once");
    world.advance(Duration::from_secs(7200));
    world.simulator.ticket("douyin").await.unwrap();
    reconcile(&world, "douyin").await;
    assert_eq!(asked(), 3, "nothing is given up any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_push_with_the_refresh_token_of_a_grant_that_was_found_is_stored_once_and_reaches_the_vault() {
    // To the twin a list and a recovery are one deed: only the looks made here read the list.
    let world = looked_at_by_hand(None).await;
    let app = app_id("alipay");
    let deeds = |deed: &str| world.simulator.counts("alipay").unwrap().deeds.get(deed).copied().unwrap_or(0);
    // The push of the grant is held back until another one comes, and each is sent twice.
    let faults = PushFaults { reorder: 2, duplicates: 1, ..PushFaults::default() };
    world.simulator.fail_pushes("alipay", faults).unwrap();
    world.simulator.grant("alipay", app).await.unwrap();
    world.advance(Duration::from_secs(60));
    assert_eq!(reconcile(&world, "alipay").await["grants"]["found"], 1);
    world.until("a token", async || (token_status(&world, "alipay", app).await == 200).then_some(())).await;
    let other = json!({"msg_method": "alipay.open.mini.other", "msg_app_id": app, "biz_content": {"a": "b"}});
    world.simulator.say("alipay", yizhan::platform::Door::Message, &other.to_string()).await.unwrap();
    let derived: Vec<bool> =
        events(&world, "alipay", "authorization.granted").await.iter().map(|event| event["data"]["derived"] == true).collect();
    assert_eq!(derived, [true, false], "the push is an event of its own, and its copy is none");
    delivered(&world, "alipay", "authorization.granted").await;
    let pending = "/v1/deliveries?status=pending";
    world.until("the end of all deliveries", async || (world.get(pending).await.1["items"] == json!([])).then_some(())).await;
    let recovered = deeds("recover");
    let refresh = format!("/v1/components/alipay/authorizers/{app}/token/refresh");
    let (status, answer) = patiently(&world, world.post(&refresh, json!({}))).await;
    assert_eq!((status, deeds("recover"), deeds("refresh")), (200, recovered, 1), "its refresh token is spent: {answer}");
}
