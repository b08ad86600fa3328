//! Versions are brought to the merchants of a platform; people pause, resume, cancel, try again, take back; merchants withdraw and return. In the end every
//! merchant of every rollout stands where the vendor has it, and nothing was done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use yizhan::simulator::auditors::Auditors;
use yizhan::simulator::fault::PushFaults;

use super::{Lot, calls_fail, numbers, pass, pushes_suffer};
use crate::deployed::PLATFORMS;
use crate::rollout::stories::Deployment;

/// What happens in one life.
const STEPS: usize = 40;

/// How long an audit takes.
const AUDIT: Duration = Duration::from_secs(1200);

/// Looks for the end, minutes apart.
const LOOKS: usize = 150;

/// How often a person tries again those that failed.
const TRIES: usize = 8;

/// What becomes of one version, in this order.
const DEEDS: [&str; 3] = ["package.upload", "audit.submit", "package.release"];

struct Begun {
    id: String,
    version: String,
    /// In the end.
    tries: usize,
}

struct Life {
    lot: Lot,
    town: Deployment,
    rollouts: Vec<Begun>,
    /// Whether each merchant's grant stands.
    granted: BTreeMap<&'static str, bool>,
    story: String,
}

impl Life {
    async fn begin(number: u64) -> Self {
        let platform = PLATFORMS[number as usize % PLATFORMS.len()];
        let town = Deployment::of(platform).await;
        let auditors = Auditors { after_ms: AUDIT.as_millis() as u64, reject_percent: 20, delay_percent: 10, ..Auditors::default() };
        town.world.simulator.employ(platform, Some(auditors)).unwrap();
        let granted = town.shops.iter().map(|shop| (*shop, true)).collect();
        Self { lot: Lot(number), town, rollouts: Vec::new(), granted, story: String::new() }
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        let now = self.town.world.simulator.now();
        writeln!(self.story, "{now} {what}").unwrap();
    }

    async fn pass(&self, seconds: u64) {
        pass(&self.town.world, self.town.platform, seconds).await;
    }

    async fn step(&mut self) {
        let pause = 20 + self.lot.below(1200);
        self.pass(pause).await;
        match self.lot.below(16) {
            0 | 1 => self.calls_fail(),
            2 | 3 => self.pushes_suffer(),
            4 | 5 => {
                self.tell(format_args!("restart"));
                self.town.world.restart().await;
            }
            6 | 7 => self.begins().await,
            8..=12 => self.is_steered().await,
            13 | 14 => self.comes_or_goes().await,
            _ => {}
        }
    }

    fn calls_fail(&mut self) {
        let fault = calls_fail(&mut self.lot, 3);
        self.tell(format_args!("calls will go wrong: {fault:?}"));
        self.town.world.simulator.fail_calls(self.town.platform, fault).unwrap();
    }

    fn pushes_suffer(&mut self) {
        let faults = pushes_suffer(&mut self.lot);
        self.tell(format_args!("pushes suffer: {faults:?}"));
        self.town.world.simulator.fail_pushes(self.town.platform, faults).unwrap();
    }

    /// A rollout; whoever is in another one takes no part.
    async fn begins(&mut self) {
        let version = format!("2.0.{}", self.rollouts.len() + 1);
        let goal = *self.lot.of(&["released", "released", "released", "in_audit", "uploaded"]);
        let more = json!({
            "version": version, "until": goal, "canary": self.lot.below(2), "concurrency": 1 + self.lot.below(3),
            "stop_above_failed_percent": *self.lot.of(&[json!(30), json!(100)]),
        });
        let (status, answer) = self.town.world.post("/v1/rollouts", self.town.body(more)).await;
        self.tell(format_args!("version {version} is to be {goal}: {status} {} {}", answer["id"], answer["skips"]));
        if status == 202 {
            let id = answer["id"].as_str().unwrap().to_owned();
            self.rollouts.push(Begun { id, version, tries: 0 });
        }
    }

    async fn is_steered(&mut self) {
        if self.rollouts.is_empty() {
            return;
        }
        let at = self.lot.below(self.rollouts.len() as u64) as usize;
        let how = *self.lot.of(&["pause", "resume", "resume", "retry", "retry", "rollback", "cancel"]);
        let (id, version) = (self.rollouts[at].id.clone(), self.rollouts[at].version.clone());
        let (status, answer) = self.town.world.post(&format!("/v1/rollouts/{id}/{how}"), json!({})).await;
        self.tell(format_args!("{how} of {version}: {status} {} {}", answer["state"], answer["detail"]));
        assert!(matches!(status, 200 | 409), "{how}: {answer}\n{}", self.story);
    }

    async fn comes_or_goes(&mut self) {
        let shop = *self.lot.of(&self.town.shops);
        let (platform, simulator) = (self.town.platform, &self.town.world.simulator);
        let stands = !self.granted[shop];
        match stands {
            true => drop(simulator.grant(platform, shop).await.unwrap()),
            false => drop(simulator.revoke(platform, shop).await.unwrap()),
        }
        self.granted.insert(shop, stands);
        self.tell(format_args!("{shop} {}", if stands { "grants" } else { "withdraws" }));
    }

    /// What of one rollout is not at its end; a person sees to it.
    async fn left_of(&mut self, at: usize) -> Option<String> {
        let (id, version) = (self.rollouts[at].id.clone(), self.rollouts[at].version.clone());
        let shown = self.town.show(&id).await;
        let state = shown["state"].as_str().unwrap();
        if shown["rolling_back"] == true {
            return Some(format!("{version} is being taken back: {shown}"));
        }
        let again = match state {
            "paused" | "stopped" => "resume",
            "done" if shown["counts"]["failed"] != 0 && self.rollouts[at].tries < TRIES => {
                self.rollouts[at].tries += 1;
                "retry"
            }
            "done" | "cancelled" => return None,
            _ => return Some(format!("{version} is {state}: {shown}")),
        };
        let (status, answer) = self.town.world.post(&format!("/v1/rollouts/{id}/{again}"), json!({})).await;
        self.tell(format_args!("{again} of {version}: {status} {} {}", answer["state"], answer["detail"]));
        Some(format!("{version} was {state}: {again} was answered with {status}"))
    }

    async fn settle(mut self, number: u64) {
        let platform = self.town.platform;
        self.town.world.simulator.fail_pushes(platform, PushFaults::default()).unwrap();
        // Vendors cut times to seconds: who withdraws and grants within one may have done it the other way round.
        self.pass(60).await;
        // Whoever withdrew comes back, and so does whose last grant nobody heard of: Kuaishou has no list of them.
        for shop in self.town.shops {
            self.comes_back(shop).await;
        }
        let mut left = Vec::new();
        for _ in 0..LOOKS {
            self.pass(600).await;
            left.clear();
            for at in 0..self.rollouts.len() {
                left.extend(self.left_of(at).await);
            }
            if left.is_empty() {
                break;
            }
        }
        assert!(left.is_empty(), "life {number}: {left:#?}\n{}", self.story);
        let wrong = self.wrong().await;
        println!("life {number}:\n{}", self.story);
        assert!(wrong.is_empty(), "life {number}: {wrong:#?}\n{}", self.story);
    }

    async fn comes_back(&mut self, shop: &'static str) {
        self.town.world.simulator.grant(self.town.platform, shop).await.unwrap();
        self.granted.insert(shop, true);
        self.tell(format_args!("{shop} grants"));
    }

    /// What is not as the vendor has it.
    async fn wrong(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        let ledger = self.town.world.simulator.ledger(self.town.platform).unwrap();
        // What was taken back counts for the version that came back, which may come back again.
        let (back, ledger): (Vec<_>, Vec<_>) = ledger.into_iter().partition(|deed| deed.operation == "package.rollback");
        wrong.extend(ledger.iter().filter(|deed| deed.times != 1).map(|deed| format!("done more than once: {deed:?}")));
        let mut taken_back: BTreeMap<&str, u32> = BTreeMap::new();
        let mut online: BTreeMap<&str, Vec<String>> = self.town.shops.iter().map(|shop| (*shop, Vec::new())).collect();
        for begun in &self.rollouts {
            for item in self.town.items(&begun.id).await {
                let (stage, shop) = (item["stage"].as_str().unwrap(), item["authorizer"].as_str().unwrap());
                writeln!(self.story, "{shop} {}: {stage}, {} {}", begun.version, item["rollback"], item["reason"]).unwrap();
                let mine = ledger.iter().filter(|deed| deed.authorizer == shop && deed.version.as_ref() == Some(&begun.version));
                let done: BTreeSet<&str> = mine.map(|deed| deed.operation).collect();
                let deeds = |count: usize| done == DEEDS.into_iter().take(count).collect();
                let is_so = match (stage, item["rollback"].as_str()) {
                    ("skipped", _) => deeds(0),
                    ("uploaded", _) => deeds(1),
                    ("in_audit" | "approved" | "rejected", _) => deeds(2),
                    ("released", _) => deeds(3),
                    // Wherever it was when it ended.
                    ("cancelled" | "failed", _) => (0..DEEDS.len()).any(deeds),
                    _ => false,
                };
                if !is_so {
                    wrong.push(format!("{shop} is {stage} with version {}, and the vendor did {done:?}", begun.version));
                }
                let shop = *self.town.shops.iter().find(|one| **one == shop).unwrap();
                match item["rollback"] == "done" {
                    true => *taken_back.entry(shop).or_default() += 1,
                    false if stage == "released" => online.get_mut(shop).unwrap().push(begun.version.clone()),
                    false => {}
                }
            }
        }
        for (shop, told) in online {
            let counted: u32 = back.iter().filter(|deed| deed.authorizer == shop).map(|deed| deed.times).sum();
            if taken_back.get(shop).copied().unwrap_or_default() != counted {
                wrong.push(format!("{shop}: {taken_back:?} were taken back, and the vendor counts {counted}"));
            }
            let (told, shown) = (told.last(), self.town.online(shop).await);
            if told != shown.first() {
                wrong.push(format!("{shop}: {told:?} was released last, and {shown:?} is what users see"));
            }
        }
        wrong
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_each_merchant_stands_where_its_rollout_says() {
    for number in numbers() {
        let mut life = Life::begin(number).await;
        for _ in 0..STEPS {
            life.step().await;
        }
        life.settle(number).await;
    }
}
