//! A vendor that is away for an hour, in the middle of everything: what was on its way arrives, once, and the vendor is not hammered.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use yizhan::clock::Clock;
use yizhan::event_type::EventType;
use yizhan::inbox::Finding;
use yizhan::outbound::vendors::HttpVendors;
use yizhan::outbound::{SendError, Vendors};
use yizhan::platform::twin::Verdict;
use yizhan::platform::{Call, Reply};
use yizhan::simulator::fault::PushFaults;

use super::stories::Deployment;
use crate::world::Setting;

/// Between the service and the vendors. While it storms, calls fail in turn: no connection, an error of the gateway, no answer in time; and of
/// the last two every other one reached the vendor all the same.
pub struct Weather {
    vendors: HttpVendors,
    /// The platform that is away.
    platform: String,
    storms: AtomicBool,
    /// Calls that pass before the storm.
    passes: AtomicUsize,
    /// The vendor does everything, and no answer comes back.
    swallows: AtomicBool,
    /// What was tried in the storm: host and path.
    tried: Mutex<Vec<String>>,
}

impl Weather {
    pub fn over(platform: &str) -> Arc<Self> {
        let (vendors, platform) = (HttpVendors::new().unwrap(), platform.to_owned());
        let (storms, passes, swallows, tried) = Default::default();
        Arc::new(Self { vendors, platform, storms, passes, swallows, tried })
    }

    pub fn storm(&self) {
        self.storms.store(true, Ordering::SeqCst);
    }

    pub fn clear(&self) {
        self.storms.store(false, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Vendors for Weather {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        if !self.storms.load(Ordering::SeqCst) || !call.target().contains(&format!("/{}", self.platform)) {
            return self.vendors.send(call).await;
        }
        let passing = self.passes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if passing.is_ok() {
            return self.vendors.send(call).await;
        }
        let target = call.target().split('?').next().unwrap_or_default().to_owned();
        let turn = {
            let mut tried = self.tried.lock().unwrap();
            tried.push(target.clone());
            if self.swallows.load(Ordering::SeqCst) { 4 } else { tried.len() % 5 }
        };
        if matches!(turn, 3 | 4) {
            let _ = self.vendors.send(call).await;
        }
        match turn {
            0 => Err(SendError::NotSent { target, cause: String::from("connection refused") }),
            1 | 3 => Ok(Reply { status: 503, content_type: String::from("text/html"), body: Bytes::from("<h1>away</h1>") }),
            _ => Err(SendError::NoAnswer { target, cause: String::from("no whole answer in time") }),
        }
    }
}

/// An hour of storm: pushes are lost too. What was tried meanwhile.
async fn storm(deployment: &Deployment, weather: &Weather) -> Vec<String> {
    let simulator = &deployment.world.simulator;
    simulator.fail_pushes(deployment.platform, PushFaults { lose_every: 1, ..PushFaults::default() }).unwrap();
    weather.tried.lock().unwrap().clear();
    weather.storms.store(true, Ordering::SeqCst);
    for _ in 0..360 {
        deployment.world.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    weather.storms.store(false, Ordering::SeqCst);
    simulator.fail_pushes(deployment.platform, PushFaults::default()).unwrap();
    simulator.ticket(deployment.platform).await.unwrap();
    weather.tried.lock().unwrap().clone()
}

/// Calls to a vendor in an hour without it: of a rollout, its tokens, and what is reconciled.
const BOUND: usize = 250;

fn not_hammered(platform: &str, when: &str, tried: &[String]) {
    let mut paths: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for target in tried {
        *paths.entry(target.rsplit_once('/').map_or(target.as_str(), |(_, name)| name)).or_default() += 1;
    }
    eprintln!("{platform}, {when}: {} calls in the hour: {paths:?}", tried.len());
    assert!(tried.len() <= BOUND, "{platform}, {when}: {} calls in the hour: {paths:?}", tried.len());
}

async fn an_hour_away_twice(platform: &str) {
    let weather = Weather::over(platform);
    let setting = Setting { vendors: Some(weather.clone()), ..Setting::default() };
    let deployment = Deployment::with(platform, "", setting).await;
    let [passes, fails, withdraws] = deployment.shops;

    // Away just as the first packages are made.
    let id = deployment.begin(json!({})).await;
    deployment.world.until("the first call", async || (!deployment.deeds("package.upload").is_empty()).then_some(())).await;
    not_hammered(platform, "uploading", &storm(&deployment, &weather).await);
    let shown = deployment.show(&id).await;
    assert_eq!((&shown["state"], &shown["counts"]["failed"]), (&json!("running"), &json!(0)), "{platform}: {shown}");
    deployment.until_count(&id, "in_audit", 3).await;

    // Away while audits end, with the pushes that would have told.
    let simulator = &deployment.world.simulator;
    simulator.fail_pushes(platform, PushFaults { lose_every: 1, ..PushFaults::default() }).unwrap();
    deployment.judge(passes, Verdict::Passed).await;
    deployment.judge(fails, Verdict::Failed(String::from("图标不清"))).await;
    not_hammered(platform, "in audit", &storm(&deployment, &weather).await);
    deployment.until_count(&id, "released", 1).await;
    deployment.until_count(&id, "rejected", 1).await;

    // Away at the release.
    deployment.judge(withdraws, Verdict::Passed).await;
    let releases = deployment.deeds("package.release").len();
    weather.storms.store(true, Ordering::SeqCst);
    not_hammered(platform, "releasing", &storm(&deployment, &weather).await);
    assert!(deployment.deeds("package.release").len() >= releases);
    let done = deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!((&done["counts"]["released"], &done["counts"]["rejected"]), (&json!(2), &json!(1)), "{platform}: {done}");

    for operation in ["package.upload", "audit.submit"] {
        assert_eq!(deployment.deeds(operation), [1, 1, 1], "{platform}: {operation}");
    }
    assert_eq!(deployment.deeds("package.release"), [1, 1], "{platform}");
    // Nobody's token was lost on the way, and every audit's end is one event.
    for shop in deployment.shops {
        let address = format!("/v1/components/{platform}/authorizers/{shop}/token");
        deployment
            .world
            .until("a token", async || {
                deployment.world.advance(Duration::from_secs(5));
                (deployment.world.get(&address).await.0 == 200).then_some(())
            })
            .await;
    }
    let (_, ends) = deployment.world.get(&format!("/v1/events?component={platform}&type=audit.*")).await;
    let mut told: Vec<(&str, &str)> = ends["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["subject"].as_str().unwrap(), event["type"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(passes, "audit.passed"), (fails, "audit.failed"), (withdraws, "audit.passed")], "{platform}: {ends}");
}

#[tokio::test(flavor = "multi_thread")]
async fn baidu_away_for_an_hour_stops_nothing_for_good() {
    an_hour_away_twice("baidu").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn douyin_away_for_an_hour_stops_nothing_for_good() {
    an_hour_away_twice("douyin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kuaishou_away_for_an_hour_stops_nothing_for_good() {
    an_hour_away_twice("kuaishou").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alipay_away_for_an_hour_stops_nothing_for_good() {
    an_hour_away_twice("alipay").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_merchants_wait_for_a_vendor_that_is_away_with_one_question_at_a_time() {
    let weather = Weather::over("kuaishou");
    let setting = Setting { vendors: Some(weather.clone()), ..Setting::default() };
    let deployment = Deployment::with("kuaishou", "", setting).await;
    for number in 0..37 {
        deployment.world.granted("kuaishou", &format!("ks8{number:02}")).await;
    }
    let id = deployment.begin(json!({"until": "uploaded", "concurrency": 16})).await;
    deployment.world.until("the first call", async || (!deployment.deeds("package.upload").is_empty()).then_some(())).await;
    not_hammered("kuaishou", "forty merchants", &storm(&deployment, &weather).await);
    let done = deployment.until(&id, "done", |shown| shown["state"] == "done").await;
    assert_eq!(done["counts"]["uploaded"], 40, "{done}");
    assert_eq!(deployment.deeds("package.upload"), [1; 40]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_about_its_build_hurries_a_merchant_that_waits_for_it() {
    let weather = Weather::over("alipay");
    let setting = Setting { vendors: Some(weather.clone()), ..Setting::default() };
    let deployment = Deployment::with("alipay", "", setting).await;
    let shop = deployment.shops[0];
    // The list is answered, the upload is done, and nothing is heard of it.
    weather.passes.store(1, Ordering::SeqCst);
    weather.swallows.store(true, Ordering::SeqCst);
    weather.storms.store(true, Ordering::SeqCst);
    let id = deployment.begin(json!({"authorizers": [shop], "until": "uploaded"})).await;
    deployment.until(&id, "doubt", |shown| shown["waits"].to_string().contains("not answered for certain")).await;
    weather.storms.store(false, Ordering::SeqCst);
    // Time stands still from here: it waits.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(deployment.show(&id).await["counts"]["uploading"], 1);
    let app = deployment.world.app();
    let component = app.config.components.named("alipay").unwrap();
    let finding = |version: &str| Finding {
        authorizer: shop,
        kind: EventType::BuildSucceeded,
        data: json!({"version": version}).as_object().unwrap().clone(),
        asked: "package.build_status",
        vendor: json!({}),
        at: deployment.world.clock.now(),
        since: None,
    };
    app.inbox.derive(component.as_ref(), finding("1.9.0")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(deployment.show(&id).await["counts"]["uploading"], 1, "another version");
    app.inbox.derive(component.as_ref(), finding("2.0.1")).await.unwrap();
    let done = async || (deployment.show(&id).await["counts"]["uploaded"] == 1).then_some(());
    deployment.world.until("the upload is known", done).await;
    assert_eq!(deployment.deeds("package.upload"), [1]);
}
