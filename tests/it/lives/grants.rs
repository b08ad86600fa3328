//! Merchants grant and withdraw, by push and by browser; their tokens die before their time. Once all is quiet, the service must know what the vendors know.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use yizhan::clock::Timestamp;
use yizhan::platform::twin::Verdict;
use yizhan::simulator::fault::PushFaults;

use super::{Lot, calls_fail, numbers};
use crate::world::World;

/// Platforms with two merchants each.
const MERCHANTS: [(&str, [&str; 2]); 4] = [
    ("baidu", ["1452365", "1452366"]),
    ("douyin", ["tt0123456789abcdef", "tt0123456789abcde0"]),
    ("kuaishou", ["ks700000000000000001", "ks700000000000000002"]),
    ("alipay", ["2021000000000003", "2021000000000004"]),
];

/// What happens in one life.
const STEPS: usize = 30;

/// The vendors' clock is up to as many seconds ahead of ours, or behind. With the shortest pause, less than would make a withdrawal end the grant after it.
const APART: i64 = 9;

/// How often is looked again, minutes later at first and then hours, until the service knows what the vendors know.
const PATIENCE: usize = 300;

/// What the vendor knows of a merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    /// It never granted.
    Stranger,
    Granted,
    /// It granted, and nothing that could tell the service of it arrived.
    GrantedUnheard,
    Withdrawn,
}

struct Life {
    lot: Lot,
    world: World,
    truth: BTreeMap<(&'static str, &'static str), Truth>,
    /// Merchants whose last grant no push and no browser told: if they withdraw before it is found, they were never here, as far as anybody heard.
    unheard: BTreeSet<(&'static str, &'static str)>,
    /// The story, for whoever must find out what went wrong.
    story: String,
}

impl Life {
    async fn begin(number: u64) -> Self {
        let strangers = MERCHANTS.iter().flat_map(|(platform, apps)| apps.map(|app| ((*platform, app), Truth::Stranger)));
        let life = Self {
            lot: Lot(number),
            world: World::new().await,
            truth: strangers.collect(),
            unheard: BTreeSet::new(),
            story: String::new(),
        };
        // No two clocks agree.
        life.world.simulator.jump(SignedDuration::from_secs(number as i64 % (2 * APART + 1) - APART));
        life.tickets().await;
        life
    }

    async fn tickets(&self) {
        for (platform, _) in MERCHANTS {
            self.world.simulator.ticket(platform).await.unwrap();
        }
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        let now = self.world.simulator.now();
        writeln!(self.story, "{now} {what}").unwrap();
    }

    /// Time passes, and with it tickets come.
    async fn pass(&mut self, time: Duration) {
        self.world.advance(time);
        self.tickets().await;
    }

    async fn step(&mut self) {
        // Longer than a withdrawal may be dated before a browser's return that it still ends.
        let pause = match self.lot.below(12) {
            0 => 3 * 3600 + self.lot.below(7200),
            1 | 2 => 600 + self.lot.below(1800),
            _ => 40 + self.lot.below(200),
        };
        self.pass(Duration::from_secs(pause)).await;
        let (platform, apps) = *self.lot.of(&MERCHANTS);
        let app = *self.lot.of(&apps);
        match self.lot.below(16) {
            0..=2 => self.grants_by_push(platform, app).await,
            3 | 4 => self.grants_by_both(platform, app).await,
            5 => self.grants_by_browser(platform, app).await,
            6..=8 => self.withdraws(platform, app).await,
            9 => self.tokens_die(platform, app).await,
            10 => self.is_renewed(platform, app).await,
            11 => self.calls_fail(platform),
            12 => self.pushes_suffer(platform),
            13 => self.push_is_lost(platform, app).await,
            14 if self.truth[&(platform, app)] == Truth::Granted => self.push_is_lost(platform, app).await,
            14 => self.calls_fail(platform),
            _ => {
                self.tell(format_args!("restart"));
                self.world.restart().await;
            }
        }
    }

    async fn grants_by_push(&mut self, platform: &'static str, app: &'static str) {
        self.tell(format_args!("{platform} {app} grants, told by push"));
        self.world.simulator.grant(platform, app).await.unwrap();
        self.is_now(platform, app, Truth::Granted);
    }

    async fn grants_by_both(&mut self, platform: &'static str, app: &'static str) {
        let back = self.way_back(platform).await;
        let (query, _) = self.world.simulator.grant(platform, app).await.unwrap();
        let status = self.returns(back, &query).await;
        self.tell(format_args!("{platform} {app} grants, told by push and by browser: {status}"));
        self.is_now(platform, app, Truth::Granted);
    }

    async fn grants_by_browser(&mut self, platform: &'static str, app: &'static str) {
        let back = self.way_back(platform).await;
        let query = self.world.simulator.grant_unpushed(platform, app).unwrap();
        let status = self.returns(back, &query).await;
        self.tell(format_args!("{platform} {app} grants, told by browser alone: {status}"));
        let heard = if status == 200 { Truth::Granted } else { Truth::GrantedUnheard };
        self.is_now(platform, app, heard);
    }

    async fn withdraws(&mut self, platform: &'static str, app: &'static str) {
        if self.truth[&(platform, app)] == Truth::Stranger {
            return;
        }
        self.tell(format_args!("{platform} {app} withdraws"));
        self.world.simulator.revoke(platform, app).await.unwrap();
        self.is_now(platform, app, Truth::Withdrawn);
    }

    fn is_now(&mut self, platform: &'static str, app: &'static str, truth: Truth) {
        self.truth.insert((platform, app), truth);
        if truth == Truth::Granted {
            self.unheard.remove(&(platform, app));
        }
    }

    async fn tokens_die(&mut self, platform: &'static str, app: &'static str) {
        self.world.simulator.expire_tokens(platform, Some(app)).unwrap();
        let (status, body) = self.world.get(&token(platform, app)).await;
        self.tell(format_args!("{platform} {app}: its token dies; asked for it: {status}"));
        if status == 200 {
            let invalid = format!("{}/report-invalid", token(platform, app));
            let (status, _) = self.world.post(&invalid, json!({ "generation": body["generation"] })).await;
            self.tell(format_args!("… reported: {status}"));
        }
    }

    async fn is_renewed(&mut self, platform: &'static str, app: &'static str) {
        let (status, _) = self.world.post(&format!("{}/refresh", token(platform, app)), json!({})).await;
        self.tell(format_args!("{platform} {app} is renewed on demand: {status}"));
    }

    fn calls_fail(&mut self, platform: &'static str) {
        let fault = calls_fail(&mut self.lot, 3);
        self.tell(format_args!("{platform}: calls will go wrong: {fault:?}"));
        self.world.simulator.fail_calls(platform, fault).unwrap();
    }

    fn pushes_suffer(&mut self, platform: &'static str) {
        let faults = match self.lot.below(3) {
            0 => PushFaults { duplicates: 2, ..PushFaults::default() },
            1 => PushFaults { reorder: 2, forged: true, ..PushFaults::default() },
            _ => PushFaults { reorder: 3, ..PushFaults::default() },
        };
        self.tell(format_args!("{platform}: pushes suffer: {faults:?}"));
        self.world.simulator.fail_pushes(platform, faults).unwrap();
    }

    /// A merchant comes or goes, and the push that tells of it never arrives.
    async fn push_is_lost(&mut self, platform: &'static str, app: &'static str) {
        let simulator = &self.world.simulator;
        simulator.fail_pushes(platform, PushFaults { lose_every: 1, ..PushFaults::default() }).unwrap();
        let truth = if self.truth[&(platform, app)] == Truth::Granted {
            simulator.revoke(platform, app).await.unwrap();
            Truth::Withdrawn
        } else {
            simulator.grant(platform, app).await.unwrap();
            self.unheard.insert((platform, app));
            // Kuaishou has no list that tells of it.
            if platform == "kuaishou" { Truth::GrantedUnheard } else { Truth::Granted }
        };
        simulator.fail_pushes(platform, PushFaults::default()).unwrap();
        self.tell(format_args!("{platform} {app}, unheard: {truth:?}"));
        self.truth.insert((platform, app), truth);
    }

    /// Where the vendor's page would send a browser that came by ours; `None` when ours has no way to the vendor now.
    async fn way_back(&mut self, platform: &str) -> Option<String> {
        let page = self.world.client.get(format!("{}/authorize/{platform}", self.world.base)).send().await.unwrap();
        let text = page.text().await.unwrap();
        let link = text.split("class=\"button\" href=\"").nth(1)?.split('"').next()?.replace("&#38;", "&");
        Some(crate::http::merchants::way_back(&link))
    }

    async fn returns(&self, back: Option<String>, query: &str) -> u16 {
        let Some(back) = back else { return 0 };
        let separator = if back.contains('?') { '&' } else { '?' };
        self.world.client.get(format!("{back}{separator}{query}")).send().await.unwrap().status().as_u16()
    }

    /// Lets go what is held back, and ends all trouble that has not come yet by letting it come.
    async fn quiet(&mut self) {
        for (platform, apps) in MERCHANTS {
            for number in 0..3 {
                let failed = Verdict::Failed(String::from("the category does not fit"));
                self.world.simulator.audit(platform, apps[0], &format!("9.0.{number}"), &failed).await.unwrap();
            }
            self.world.simulator.fail_pushes(platform, PushFaults::default()).unwrap();
        }
    }

    /// What of a merchant is not as the vendor knows it.
    async fn wrong(&self, (platform, app): (&'static str, &'static str), truth: Truth) -> Option<String> {
        let (status, body) = self.world.get(&token(platform, app)).await;
        let accepts = || self.world.simulator.accepts(platform, Some(app), body["access_token"].as_str().unwrap()).unwrap();
        match (truth, status) {
            (Truth::Granted | Truth::GrantedUnheard, 200) if !accepts() => {
                // Whoever uses it says so.
                let invalid = format!("{}/report-invalid", token(platform, app));
                let (status, told) = self.world.post(&invalid, json!({ "generation": body["generation"] })).await;
                // Where its refresh token was lost, Alipay's list goes on naming the dead token: nothing but the merchant brings another one.
                let is_all = platform == "alipay" && told["vendor"]["code"] == "unchanged";
                (!is_all).then(|| format!("a token is served that the vendor refuses; reported: {status} {told}"))
            }
            (Truth::Granted, 200) | (Truth::GrantedUnheard, _) | (Truth::Withdrawn, 410) | (Truth::Stranger, 409) => None,
            (Truth::Withdrawn, 409) if self.unheard.contains(&(platform, app)) => None,
            _ => Some(format!("the token is answered with {status} {body}")),
        }
    }

    /// What the events about a merchant's grant say against the vendor: of what comes in disorder, what happened last holds.
    async fn last_word(&self, (platform, app): (&'static str, &'static str), truth: Truth) -> Option<String> {
        let (_, page) = self.world.get(&format!("/v1/events?component={platform}&authorizer={app}&type=authorization.*&limit=500")).await;
        let all = page["items"].as_array().unwrap();
        let time = |event: &Value| event["time"].as_str().unwrap().parse::<Timestamp>().unwrap();
        let newest = all.iter().map(time).max();
        // Some vendors' times are whole seconds.
        let last: Vec<&str> = all.iter().filter(|event| Some(time(event)) == newest).filter_map(|event| event["type"].as_str()).collect();
        let is_right = match truth {
            Truth::Granted => last.iter().any(|last| *last != "authorization.revoked"),
            Truth::Withdrawn if last.is_empty() => self.unheard.contains(&(platform, app)),
            Truth::Withdrawn => last.contains(&"authorization.revoked"),
            Truth::Stranger => last.is_empty(),
            Truth::GrantedUnheard => true,
        };
        let told = || all.iter().map(|event| format!("{} {}", event["time"], event["type"])).collect::<Vec<_>>();
        (!is_right).then(|| format!("the last word is {last:?}, newest first: {:?}", told()))
    }

    async fn settle(mut self, number: u64) {
        self.quiet().await;
        let mut left = Vec::new();
        for look in 0..PATIENCE {
            // What a vendor never tells shows when a token is renewed.
            self.pass(Duration::from_secs(if look < 20 { 300 } else { 3600 })).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            left.clear();
            for (whose, truth) in &self.truth {
                let (wrong, word) = (self.wrong(*whose, *truth).await, self.last_word(*whose, *truth).await);
                left.extend(wrong.into_iter().chain(word).map(|what| format!("{whose:?}, {truth:?}: {what}")));
            }
            if left.is_empty() {
                return;
            }
        }
        for (platform, _) in MERCHANTS {
            self.tell(format_args!("{platform} in the end: {}", self.world.get(&format!("/v1/components/{platform}")).await.1));
        }
        panic!("life {number}: {left:#?}\n{}", self.story);
    }
}

fn token(platform: &str, app: &str) -> String {
    format!("/v1/components/{platform}/authorizers/{app}/token")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_the_service_comes_to_know_what_the_vendors_know() {
    for number in numbers() {
        let mut life = Life::begin(number).await;
        for _ in 0..STEPS {
            life.step().await;
        }
        life.settle(number).await;
    }
}
