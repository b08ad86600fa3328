//! A thousand merchants of four platforms and one version, in real processes: the service is killed five times in the middle of the work, one
//! push in ten never comes, auditors reject some, quotas run out, merchants withdraw. Everybody is accounted for, and the vendors, who
//! count, saw nothing twice.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stories::DESCRIPTION;
use crate::world::{KEY, answer, configuration};

/// Platform and the template that its twin has.
const PLATFORMS: [(&str, &str); 4] =
    [("baidu", "12"), ("douyin", "9133504853504530001"), ("kuaishou", "12"), ("alipay", "2021000000000002")];
const VERSION: &str = "2.0.1";
/// Merchants of each platform.
const MERCHANTS: usize = 250;
/// Of those, the ones who withdrew before the rollout and are in its list all the same.
const GONE: usize = 2;
/// Shares of the whole work at which the service is killed, in percent.
const KILLS: [usize; 5] = [8, 25, 42, 60, 78];
/// Share of the whole work at which merchants withdraw.
const WITHDRAWAL: usize = 35;
/// What must not be done twice, in the order of a life.
const DEEDS: [&str; 3] = ["package.upload", "audit.submit", "package.release"];
const STAGES: [&str; 7] = ["queued", "uploading", "uploaded", "submitting", "in_audit", "approved", "releasing"];

/// A process that ends with the test.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str], file: Option<&Path>, out: Stdio, log: &Path) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_yizhan"));
        command.args(arguments).stdout(out).stderr(log);
        if let Some(file) = file {
            command.arg("--config").arg(file);
        }
        Self(command.spawn().unwrap())
    }
}

impl Drop for Running {
    /// SIGKILL.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Vendors and service, each a process.
struct Town {
    service: Option<Running>,
    _vendors: Running,
    stage_door: String,
    base: String,
    file: PathBuf,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Town {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let base = format!("http://{}", TcpListener::bind(free).unwrap().local_addr().unwrap());
        let arguments = ["simulate", "--json", "--listen", "127.0.0.1:0", "--ticket-every", "0s", "--provider", &base];
        let mut vendors = Running::start(&arguments, None, Stdio::piped(), &folder.path().join("vendors.log"));
        let mut line = String::new();
        std::io::BufReader::new(vendors.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let text = format!(
            "{}\n[rollout]\npoll = \"1s\"\nquota_pause = \"1s\"\nlongest_pause = \"1s\"\nmost = 64\n[log]\nlevel = \"warn\"\n{}",
            configuration(&folder.path().join("store"), &base),
            told["components"].as_str().unwrap()
        );
        let file = folder.path().join("yizhan.toml");
        std::fs::write(&file, text).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let stage_door = told["stage_door"].as_str().unwrap().to_owned();
        let mut town = Self { service: None, _vendors: vendors, stage_door, base, file, client, _folder: folder };
        town.start().await;
        town
    }

    async fn start(&mut self) {
        self.service = Some(Running::start(&["serve"], Some(&self.file), Stdio::null(), &self.file.with_extension("log")));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.client.get(format!("{}/readyz", self.base)).send().await.is_ok_and(|response| response.status() == 200) {
            assert!(Instant::now() < deadline, "not ready: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.file.with_extension("log")).unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = answer(self.client.get(format!("{}{path}", self.base)).bearer_auth(KEY)).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn direct(&self, path: &str, body: Value) -> Value {
        let request = self.client.post(format!("{}/{path}", self.stage_door)).header("content-type", "application/json");
        let (status, told) = answer(request.body(body.to_string())).await;
        assert_eq!(status, 200, "{path}: {told}");
        told
    }

    /// Merchants of a platform by state.
    async fn in_state(&self, platform: &str, state: &str) -> usize {
        let page = self.get(&format!("/v1/components/{platform}/authorizers?limit=500")).await;
        page["items"].as_array().unwrap().iter().filter(|one| one["state"] == state).count()
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds().await {
            assert!(Instant::now() < deadline, "{what}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Merchants grant, and the service holds a token of each. Then some withdraw.
    async fn settled(&self, platform: &str) -> Vec<String> {
        self.direct(&format!("{platform}/ticket"), json!({})).await;
        let told = self.direct(&format!("{platform}/crowd"), json!({"count": MERCHANTS})).await;
        assert_eq!(told["acknowledged"], MERCHANTS, "{platform}");
        self.until("tokens of all", async || self.in_state(platform, "granted").await == MERCHANTS).await;
        let merchants: Vec<String> = serde_json::from_value(told["app_ids"].clone()).unwrap();
        for merchant in &merchants[..GONE] {
            self.direct(&format!("{platform}/revoke"), json!({"app_id": merchant})).await;
        }
        self.until("withdrawals", async || self.in_state(platform, "revoked").await == GONE).await;
        merchants
    }

    /// From here on the vendors are what they are.
    async fn trouble(&self, platform: &str) {
        self.direct(&format!("{platform}/push-faults"), json!({"lose_percent": 10})).await;
        self.direct(&format!("{platform}/auditors"), json!({"after_ms": 1000, "reject_percent": 5, "delay_percent": 10})).await;
        self.direct(&format!("{platform}/quota"), json!({"audits": 40, "every_ms": 2000})).await;
    }

    async fn begin(&self, platform: &str, template: &str, merchants: &[String]) -> String {
        let body = json!({
            "component": platform, "authorizers": merchants, "template_id": template, "version": VERSION, "description": DESCRIPTION,
            "variables": {"region": "CHINA", "hosts": ["douyin"]}, "until": "released", "concurrency": 64,
        });
        let request = self.client.post(format!("{}/v1/rollouts", self.base)).bearer_auth(KEY).header("content-type", "application/json");
        let (status, answer) = answer(request.body(body.to_string())).await;
        assert_eq!(status, 202, "{platform}: {answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    async fn items(&self, id: &str, more: &str) -> Vec<Value> {
        self.get(&format!("/v1/rollouts/{id}/items?limit=500{more}")).await["items"].as_array().unwrap().clone()
    }
}

/// How much of a rollout's work is done: steps, of as many as there are stages for each merchant.
fn done(shown: &Value) -> usize {
    let steps = |stage: &str| STAGES.iter().position(|known| *known == stage).unwrap_or(STAGES.len());
    shown["counts"].as_object().unwrap().iter().map(|(stage, count)| usize::try_from(count.as_u64().unwrap()).unwrap() * steps(stage)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_merchants_are_all_accounted_for_although_the_service_was_killed_five_times() {
    let began = Instant::now();
    let mut town = Town::new().await;
    let mut rollouts = Vec::new();
    for (platform, template) in PLATFORMS {
        let merchants = town.settled(platform).await;
        rollouts.push((platform, template, merchants, String::new()));
    }
    let settled = began.elapsed();
    for (platform, template, merchants, id) in &mut rollouts {
        town.trouble(platform).await;
        *id = town.begin(platform, template, merchants).await;
    }

    let whole = PLATFORMS.len() * MERCHANTS * STAGES.len();
    let (mut kills, mut withdrawn) = (0, Vec::new());
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        let mut shown = Vec::new();
        for (.., id) in &rollouts {
            shown.push(town.get(&format!("/v1/rollouts/{id}")).await);
        }
        assert!(Instant::now() < deadline, "it takes too long: {shown:#?} {}", town.log());
        let percent = shown.iter().map(done).sum::<usize>() * 100 / whole;
        if shown.iter().all(|rollout| rollout["state"] != "running") {
            break;
        }
        if withdrawn.is_empty() && percent >= WITHDRAWAL {
            for (platform, .., id) in &rollouts {
                let waiting = [town.items(id, "&stage=queued").await, town.items(id, "&stage=uploaded").await].concat();
                let Some(merchant) = waiting.last().and_then(|item| item["authorizer"].as_str()) else { continue };
                town.direct(&format!("{platform}/revoke"), json!({"app_id": merchant})).await;
                withdrawn.push(merchant.to_owned());
            }
        }
        if KILLS.get(kills).is_some_and(|at| percent >= *at) {
            town.service = None;
            kills += 1;
            town.start().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let mut sum = BTreeMap::<String, usize>::new();
    let (mut lost, mut pushes) = (0, 0);
    let vendors = answer(town.client.get(&town.stage_door)).await.1;
    for (platform, _, merchants, id) in &rollouts {
        let shown = town.get(&format!("/v1/rollouts/{id}")).await;
        assert_eq!((&shown["state"], &shown["total"]), (&json!("done"), &json!(MERCHANTS)), "{platform}: {shown}");
        let (_, ledger) = answer(town.client.get(format!("{}/{platform}/ledger", town.stage_door))).await;
        let mut deeds = BTreeMap::<&str, Vec<&str>>::new();
        for deed in ledger.as_array().unwrap() {
            assert_eq!((&deed["times"], &deed["version"]), (&json!(1), &json!(VERSION)), "{platform}: {deed}");
            deeds.entry(deed["authorizer"].as_str().unwrap()).or_default().push(deed["operation"].as_str().unwrap());
        }
        let items = town.items(id, "").await;
        let known: Vec<&str> = items.iter().map(|item| item["authorizer"].as_str().unwrap()).collect();
        assert_eq!(known, *merchants, "{platform}");
        for item in &items {
            let (stage, merchant) = (item["stage"].as_str().unwrap(), item["authorizer"].as_str().unwrap());
            let mut seen = deeds.remove(merchant).unwrap_or_default();
            seen.sort_by_key(|deed| DEEDS.iter().position(|known| known == deed));
            match stage {
                "released" => assert_eq!(seen, DEEDS, "{platform}: {item}"),
                "rejected" => assert_eq!(seen, DEEDS[..2], "{platform}: {item}"),
                "skipped" => assert!(seen.is_empty() && merchants[..GONE].iter().any(|gone| gone == merchant), "{platform}: {item}"),
                "failed" => {
                    assert!(withdrawn.iter().any(|one| one == merchant), "nobody fails but those who withdrew: {platform}: {item}");
                    assert_eq!(item["reason"], "the merchant withdrew the grant", "{platform}: {item}");
                    assert!(seen == DEEDS[..seen.len()] && seen.len() < DEEDS.len(), "{platform}: {item} {seen:?}");
                }
                _ => panic!("{platform}: not at an end: {item}"),
            }
            assert_eq!(item["reason"].is_string(), stage != "released", "everybody who did not arrive has a reason: {platform}: {item}");
            *sum.entry(stage.to_owned()).or_default() += 1;
        }
        assert!(deeds.is_empty(), "{platform}: the vendor saw deeds for others: {deeds:?}");
        let counts = &vendors["vendors"][platform]["counts"];
        lost += counts["lost"].as_u64().unwrap();
        pushes += counts["pushes"].as_u64().unwrap();
    }
    assert_eq!(sum.values().sum::<usize>(), 1000);
    assert_eq!((kills, sum["skipped"]), (KILLS.len(), GONE * PLATFORMS.len()));
    assert!(sum["rejected"] > 10 && sum["released"] > 900 && (1..=4).contains(&sum["failed"]), "{sum:?}");
    assert!(lost > 50, "only {lost} pushes were lost");
    println!(
        "{sum:?}; {kills} kills, {lost} pushes lost, {pushes} sent, no deed twice; {:.0} s, {:.0} s of that for grants",
        began.elapsed().as_secs_f64(),
        settled.as_secs_f64()
    );
}
