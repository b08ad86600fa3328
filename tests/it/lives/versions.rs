//! A mini program goes through its versions: uploaded, submitted, judged, released. Whatever happens meanwhile, each deed is done once, each verdict is told
//! once, and the service knows which version stands where.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use yizhan::simulator::auditors::Auditors;
use yizhan::simulator::fault::PushFaults;

use super::{Lot, calls_fail, numbers};
use crate::deployed::{PLATFORMS, Shop};

/// What happens in one life.
const STEPS: usize = 40;

/// How long an audit takes.
const AUDIT: Duration = Duration::from_secs(1200);

/// Tries of one operation, minutes apart.
const TRIES: usize = 40;

/// Looks for a verdict, minutes apart.
const LOOKS: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The version before it was released, or refused, or there is none.
    Done,
    Uploaded,
    InAudit,
    Passed,
}

struct Life {
    lot: Lot,
    shop: Shop,
    stage: Stage,
    /// The last part of the version's name.
    version: u32,
    released: Option<String>,
    /// Verdicts that were heard.
    verdicts: usize,
    story: String,
}

impl Life {
    async fn begin(number: u64) -> Self {
        let platform = PLATFORMS[number as usize % PLATFORMS.len()];
        let shop = Shop::open(platform).await;
        let auditors = Auditors { after_ms: AUDIT.as_millis() as u64, reject_percent: 40, ..Auditors::default() };
        shop.world.simulator.employ(platform, Some(auditors)).unwrap();
        Self { lot: Lot(number), shop, stage: Stage::Done, version: 0, released: None, verdicts: 0, story: String::new() }
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        let now = self.shop.world.simulator.now();
        writeln!(self.story, "{now} {what}").unwrap();
    }

    fn name(&self) -> String {
        format!("1.0.{}", self.version)
    }

    /// Time passes, and with it tickets come.
    async fn pass(&mut self, seconds: u64) {
        self.shop.world.advance(Duration::from_secs(seconds));
        self.shop.world.simulator.ticket(self.shop.platform).await.unwrap();
    }

    async fn step(&mut self) {
        let pause = 20 + self.lot.below(600);
        self.pass(pause).await;
        match self.lot.below(8) {
            0 | 1 => self.calls_fail(),
            2 => self.pushes_suffer(),
            3 => {
                self.tell(format_args!("restart"));
                self.shop.world.restart().await;
            }
            _ => self.go_on().await,
        }
    }

    fn calls_fail(&mut self) {
        let fault = calls_fail(&mut self.lot, 2);
        self.tell(format_args!("calls will go wrong: {fault:?}"));
        self.shop.world.simulator.fail_calls(self.shop.platform, fault).unwrap();
    }

    fn pushes_suffer(&mut self) {
        let has_tickets = self.shop.platform != "alipay";
        let faults = match self.lot.below(4) {
            0 => PushFaults { duplicates: 2, forged: true, ..PushFaults::default() },
            // The next ticket lets go of what is held back.
            1 if has_tickets => PushFaults { reorder: 2, ..PushFaults::default() },
            1 | 2 => PushFaults { lose_percent: 60, ..PushFaults::default() },
            _ => PushFaults::default(),
        };
        self.tell(format_args!("pushes suffer: {faults:?}"));
        self.shop.world.simulator.fail_pushes(self.shop.platform, faults).unwrap();
    }

    /// What comes next in the life of a version.
    async fn go_on(&mut self) {
        match self.stage {
            Stage::Done => {
                self.version += 1;
                let params = self.shop.goods.uploading(&self.name());
                self.insist("package.upload", params).await;
                self.stage = Stage::Uploaded;
            }
            Stage::Uploaded => {
                let params = self.shop.goods.submitting(&self.name());
                self.insist("audit.submit", params).await;
                self.stage = Stage::InAudit;
            }
            Stage::InAudit => self.hear().await,
            Stage::Passed => {
                let params = self.shop.named(&self.name());
                self.insist("package.release", params).await;
                (self.stage, self.released) = (Stage::Done, Some(self.name()));
            }
        }
    }

    /// Asks under one key until it is done, as a caller would. Where nobody knows whether it is, the vendor's list says so, and a new key asks again.
    async fn insist(&mut self, operation: &str, params: Value) {
        let mut asked = 0;
        for _ in 0..TRIES {
            let key = format!("{operation} {} {asked}", self.name());
            let (status, _, body) = self.shop.keyed(&key, operation, &params).await;
            self.tell(format_args!("{operation} of {}: {status} {} {}", self.name(), body["type"], body["detail"]));
            match status {
                200 => return,
                504 if body["type"] == "/problems/outcome-unknown" => {
                    if self.was_done(operation).await {
                        return;
                    }
                    asked += 1;
                }
                409 | 429 | 502 | 503 | 504 => {}
                _ => panic!("{operation}: {body}\n{}", self.story),
            }
            self.pass(120).await;
        }
        panic!("{operation} was never done\n{}", self.story);
    }

    /// Whether the version stands at the vendor where that leads.
    async fn was_done(&mut self, operation: &str) -> bool {
        for _ in 0..TRIES {
            let (status, body) = self.shop.call("package.list", json!({})).await;
            if status == 200 {
                let items = body["result"]["items"].as_array().unwrap().iter();
                let stands: Vec<_> =
                    items.filter(|item| item["version"] == self.name()).filter_map(|item| item["status"].as_str()).collect();
                self.tell(format_args!("looked at {}: {stands:?}", self.name()));
                let is_new = |stand: &&str| ["development", "developing", "uploaded"].contains(stand);
                return match operation {
                    "package.upload" => !stands.is_empty(),
                    "package.back_to_development" => stands.iter().any(is_new),
                    "audit.submit" => stands.iter().any(|stand| !is_new(stand)),
                    _ => stands.iter().any(|stand| ["online", "released"].contains(stand)),
                };
            }
            self.pass(60).await;
        }
        panic!("the vendor never lists its versions\n{}", self.story);
    }

    /// What was told of audits so far, oldest first.
    async fn told(&self) -> Vec<String> {
        let (_, page) = self.shop.world.get(&format!("/v1/events?component={}&type=audit.*&limit=500", self.shop.platform)).await;
        let items = page["items"].as_array().unwrap().iter().rev();
        items.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// The verdict, if it is told by now.
    async fn hear(&mut self) {
        let told = self.told().await;
        assert!(told.len() <= self.verdicts + 1, "a verdict was told again: {told:?}\n{}", self.story);
        if let Some(verdict) = told.get(self.verdicts) {
            self.tell(format_args!("{verdict} of {}", self.name()));
            self.verdicts += 1;
            self.stage = if verdict == "audit.passed" { Stage::Passed } else { Stage::Done };
            if self.stage == Stage::Done && self.shop.platform == "alipay" {
                // One that was refused stands in the way of the next.
                self.insist("package.back_to_development", self.shop.named(&self.name())).await;
            }
        }
    }

    async fn end(mut self) {
        self.shop.world.simulator.fail_pushes(self.shop.platform, PushFaults::default()).unwrap();
        for _ in 0..LOOKS {
            if self.stage == Stage::Done {
                break;
            }
            self.pass(300).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.go_on().await;
        }
        assert_eq!(self.stage, Stage::Done, "{} is waited for in vain\n{}", self.name(), self.story);
        // A push that was held back until now is of a verdict that was found.
        for _ in 0..5 {
            self.pass(600).await;
        }
        let told = self.told().await;
        assert_eq!(told.len(), self.verdicts, "a verdict was told again: {told:?}\n{}", self.story);
        let twice: Vec<_> = self.shop.world.simulator.ledger(self.shop.platform).unwrap();
        let twice: Vec<_> = twice.iter().filter(|deed| deed.times != 1).collect();
        assert!(twice.is_empty(), "done more than once: {twice:#?}\n{}", self.story);
        if let Some(released) = &self.released {
            let found = self.shop.places(["released", "in_audit", "approved"], released).await;
            assert_eq!(found, [Some(released.clone()), None, None], "{}", self.story);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_each_deed_is_done_once_and_each_verdict_told_once() {
    for number in numbers() {
        let mut life = Life::begin(number).await;
        for _ in 0..STEPS {
            life.step().await;
        }
        life.end().await;
        println!("life {number}");
    }
}
