//! Playbooks bring merchants from their grant to their release: uploaded, submitted, released once the auditors agree. Whatever happens meanwhile, each
//! of it is done once, for each merchant who granted.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::simulator::auditors::Auditors;
use yizhan::simulator::fault::PushFaults;

use super::{Lot, calls_fail, numbers, pass, pushes_suffer};
use crate::deployed::{Goods, PLATFORMS};
use crate::world::{Setting, World};

const STEPS: usize = 40;

/// How long an audit takes.
const AUDIT: Duration = Duration::from_secs(1200);

/// Looks for the end, minutes apart.
const LOOKS: usize = 200;

const VERSION: &str = "1.0.3";

struct Life {
    lot: Lot,
    world: World,
    platform: &'static str,
    /// Merchants who have not granted yet, and those who have.
    strangers: Vec<String>,
    merchants: Vec<String>,
    story: String,
}

impl Life {
    async fn begin(number: u64) -> Self {
        let platform = PLATFORMS[number as usize % PLATFORMS.len()];
        let goods = Goods::of(platform);
        let playbooks = json!({"playbooks": [
            {"name": "onboard", "on": "authorization.granted", "components": [platform], "steps": [
                {"operation": "package.upload", "with": goods.uploading(VERSION)}, {"operation": "audit.submit", "with": goods.submitting(VERSION)},
            ]},
            {"name": "release", "on": "audit.passed", "components": [platform], "steps": [{"operation": "package.release"}]},
        ]});
        let world = World::with(Setting { extra: toml::to_string(&playbooks).unwrap(), ..Setting::default() }).await;
        let auditors = Auditors { after_ms: AUDIT.as_millis() as u64, reject_percent: 30, ..Auditors::default() };
        world.simulator.employ(platform, Some(auditors)).unwrap();
        world.simulator.ticket(platform).await.unwrap();
        // Lower ones are our own application's at Alipay, and its template's.
        let strangers = (3..=8).map(|last| format!("{}{last}", &goods.app[..goods.app.len() - 1])).collect();
        Self { lot: Lot(number), world, platform, strangers, merchants: Vec::new(), story: String::new() }
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        let now = self.world.simulator.now();
        writeln!(self.story, "{now} {what}").unwrap();
    }

    async fn pass(&self, seconds: u64) {
        pass(&self.world, self.platform, seconds).await;
    }

    async fn step(&mut self) {
        let pause = 20 + self.lot.below(300);
        self.pass(pause).await;
        match self.lot.below(8) {
            0 | 1 => self.somebody_grants().await,
            2 | 3 => self.calls_fail(),
            4 => self.pushes_suffer(),
            5 => {
                self.tell(format_args!("restart"));
                self.world.restart().await;
            }
            6 => drop(self.dead().await),
            _ => {}
        }
    }

    async fn somebody_grants(&mut self) {
        let Some(merchant) = self.strangers.pop() else { return };
        // A grant that nobody hears of is another story.
        self.world.simulator.fail_pushes(self.platform, PushFaults::default()).unwrap();
        self.world.simulator.grant(self.platform, &merchant).await.unwrap();
        self.tell(format_args!("{merchant} grants"));
        self.merchants.push(merchant);
    }

    fn calls_fail(&mut self) {
        let fault = calls_fail(&mut self.lot, 3);
        self.tell(format_args!("calls will go wrong: {fault:?}"));
        self.world.simulator.fail_calls(self.platform, fault).unwrap();
    }

    fn pushes_suffer(&mut self) {
        let faults = pushes_suffer(&mut self.lot);
        self.tell(format_args!("pushes suffer: {faults:?}"));
        self.world.simulator.fail_pushes(self.platform, faults).unwrap();
    }

    /// Dead letters; a person tries them again.
    async fn dead(&mut self) -> Vec<Value> {
        let (_, page) = self.world.get("/v1/deliveries?status=dead&limit=500").await;
        let dead = page["items"].as_array().unwrap().clone();
        for delivery in &dead {
            let (_, whole) = self.world.get(&format!("/v1/deliveries/{}", delivery["id"].as_str().unwrap())).await;
            let (status, _) = self.world.post(&format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap()), json!({})).await;
            self.tell(format_args!("a dead letter of {} is tried again: {status}; {}", whole["subscription"], whole["attempts"]));
        }
        dead
    }

    /// What is not as it should be in the end.
    async fn left(&mut self) -> Vec<String> {
        let mut left: Vec<String> = self.dead().await.iter().map(Value::to_string).collect();
        let ledger = self.world.simulator.ledger(self.platform).unwrap();
        for merchant in self.merchants.clone() {
            let done = |operation: &str| -> u32 {
                ledger.iter().filter(|deed| deed.authorizer == merchant && deed.operation == operation).map(|deed| deed.times).sum()
            };
            let done = ["package.upload", "audit.submit", "package.release"].map(done);
            assert!(done.iter().all(|times| *times <= 1), "{merchant}: {done:?}: done more than once\n{}", self.story);
            let (_, page) = self.world.get(&format!("/v1/events?component={}&authorizer={merchant}&type=audit.*", self.platform)).await;
            let verdicts: Vec<&str> = page["items"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
            if !matches!((verdicts.as_slice(), done), (["audit.passed"], [1, 1, 1]) | (["audit.failed"], [1, 1, 0])) {
                left.push(format!("{merchant}: {done:?}, {verdicts:?}"));
            }
        }
        left
    }

    async fn settle(mut self, number: u64) {
        self.world.simulator.fail_pushes(self.platform, PushFaults::default()).unwrap();
        let mut left = Vec::new();
        for _ in 0..LOOKS {
            self.pass(600).await;
            left = self.left().await;
            if left.is_empty() {
                break;
            }
        }
        println!("life {number}:\n{}", self.story);
        assert!(left.is_empty(), "life {number}: {left:#?}\n{}", self.story);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_playbooks_bring_each_merchant_as_far_as_the_auditors_let_them() {
    for number in numbers() {
        let mut life = Life::begin(number).await;
        for _ in 0..STEPS {
            life.step().await;
        }
        life.settle(number).await;
    }
}
