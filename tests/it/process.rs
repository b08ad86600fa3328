//! The real process: killed with SIGKILL under load and in the middle of renewals, it loses nothing that it acknowledged.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use yizhan::clock::SystemClock;
use yizhan::downstream::Handler;
use yizhan::platform::twin::Verdict;
use yizhan::secret::Secret;
use yizhan::simulator::fault::{CallFault, CallTrouble};
use yizhan::simulator::{Manners, Simulator};

use crate::world::{KEY, SECRET, answer, configuration};

struct Process {
    child: Option<Child>,
    file: std::path::PathBuf,
    base: String,
    client: reqwest::Client,
    simulator: Arc<Simulator>,
    handler: Arc<Handler>,
    _folder: tempfile::TempDir,
}

impl Process {
    async fn new() -> Self {
        let clock = Arc::new(SystemClock);
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = Simulator::start(free, clock.clone(), Manners { retries: 0, ..Manners::default() }).await.unwrap();
        let handler = Handler::start(Secret::new(SECRET), clock).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let base = format!("http://{}", TcpListener::bind(free).unwrap().local_addr().unwrap());
        let text = format!(
            "{}\n[[subscriptions]]\nname = \"handler\"\nurl = \"{}\"\nsecret = \"{SECRET}\"\nevents = [\"*\"]\nretry = [\"200ms\", \"500ms\", \"1s\", \"1s\", \"2s\", \"5s\"]\n{}",
            configuration(&folder.path().join("store"), &base),
            handler.url(),
            simulator.components_toml()
        );
        let file = folder.path().join("yizhan.toml");
        std::fs::write(&file, text).unwrap();
        simulator.connect(&base);
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        let mut process = Self { child: None, file, base, client, simulator, handler, _folder: folder };
        process.start().await;
        process
    }

    async fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.file.with_extension("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_yizhan"))
            .args(["serve", "--config"])
            .arg(&self.file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match self.client.get(format!("{}/readyz", self.base)).send().await {
                Ok(response) if response.status() == 200 => return,
                _ => assert!(Instant::now() < deadline, "not ready: {}", std::fs::read_to_string(self.file.with_extension("log")).unwrap()),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(format!("{}{path}", self.base)).bearer_auth(KEY)).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.handler.stop();
        self.simulator.stop();
    }
}

/// The auditor's words tell the events apart: not every vendor's results carry a version.
fn mark(event: &Value) -> String {
    let text = event.to_string();
    let from = text.find("mark-").unwrap();
    text[from..].chars().take_while(|c| *c == '-' || c.is_ascii_alphanumeric()).collect()
}

/// A cheap scatter of numbers; the moment of a kill needs no better randomness, and a failure can be repeated.
fn scattered(round: u64, below: u64) -> u64 {
    (round.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % below
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twenty_times_under_load_every_acknowledged_push_is_stored_and_delivered() {
    let mut process = Process::new().await;
    let acknowledged = Arc::new(Mutex::new(HashSet::<String>::new()));
    let next = Arc::new(AtomicU64::new(0));
    for round in 0..20 {
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let (simulator, stop, next, acknowledged) = (process.simulator.clone(), stop.clone(), next.clone(), acknowledged.clone());
                let platform = ["baidu", "douyin", "kuaishou", "alipay"][sender % 4];
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let mark = format!("mark-{}-", next.fetch_add(1, Ordering::Relaxed));
                        let (_, answered) = simulator.audit(platform, "1000001", "1.0.0", &Verdict::Failed(mark.clone())).await.unwrap();
                        if answered.acknowledged {
                            acknowledged.lock().unwrap().insert(mark);
                        } else {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(60 + scattered(round, 240))).await;
        process.kill();
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.await.unwrap();
        }
        process.start().await;
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() > 500, "only {} pushes were acknowledged", acknowledged.len());

    let mut stored = HashSet::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = process.get(&format!("/v1/events?type=audit.*&limit=500{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        stored.extend(page["items"].as_array().unwrap().iter().map(mark));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged pushes are not stored", lost.len(), acknowledged.len());

    let handler = process.handler.clone();
    let delivered = || -> HashSet<String> { handler.received().iter().map(|received| mark(&received.event)).collect() };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !acknowledged.is_subset(&delivered()) {
        assert!(Instant::now() < deadline, "{} were not delivered", acknowledged.difference(&delivered()).count());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{} acknowledged, {} stored, all delivered, 20 kills", acknowledged.len(), stored.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_renewals_a_valid_token_is_served_without_a_new_authorization() {
    let mut process = Process::new().await;
    let merchants =
        [("baidu", "1452365"), ("douyin", "tt0123456789abcdef"), ("kuaishou", "ks700000000000000001"), ("alipay", "2021000000000003")];
    for (platform, app) in merchants {
        process.simulator.ticket(platform).await.unwrap();
        process.simulator.grant(platform, app).await.unwrap();
    }
    let spending = |platform: &str| match platform {
        "kuaishou" => "authorization_code=",
        "alipay" => "refresh_token",
        _ => "app_to_tp_refresh_token",
    };
    for round in 0..5 {
        for (platform, app) in merchants {
            let address = format!("/v1/components/{platform}/authorizers/{app}/token");
            let held = served(&process, &address).await;
            // Even rounds die while the vendor, which has acted, still holds its answer back; odd ones at any moment.
            if round % 2 == 0 {
                let fault = CallFault { matching: spending(platform).into(), trouble: CallTrouble::SlowMs(400), times: 1 };
                process.simulator.fail_calls(platform, fault).unwrap();
            }
            let request = process.client.post(format!("{}{address}/report-invalid", process.base)).bearer_auth(KEY);
            let body = json!({"generation": held["generation"]}).to_string();
            let report = tokio::spawn(request.header("content-type", "application/json").body(body).send());
            let wait = if round % 2 == 0 { 150 } else { scattered(round * 7 + app.len() as u64, 25) };
            tokio::time::sleep(Duration::from_millis(wait)).await;
            process.kill();
            let _ = report.await;
            process.start().await;
            let token = served(&process, &address).await;
            let text = token["access_token"].as_str().unwrap();
            // The vendor may have replaced the token that was held: then the service must have noticed, or notice when told.
            if !process.simulator.accepts(platform, Some(app), text).unwrap() {
                let (status, again) = answer(
                    process
                        .client
                        .post(format!("{}{address}/report-invalid", process.base))
                        .bearer_auth(KEY)
                        .header("content-type", "application/json")
                        .body(json!({"generation": token["generation"]}).to_string()),
                )
                .await;
                assert_eq!(status, 200, "{platform} round {round}: {again}");
                assert!(
                    process.simulator.accepts(platform, Some(app), again["access_token"].as_str().unwrap()).unwrap(),
                    "{platform} round {round}"
                );
            }
        }
    }
}

async fn served(process: &Process, address: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (status, body) = process.get(address).await;
        if status == 200 {
            return body;
        }
        assert!(Instant::now() < deadline, "{address}: {status} {body}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_is_restored_into_a_service_that_knows_everything() {
    let mut process = Process::new().await;
    process.simulator.ticket("douyin").await.unwrap();
    process.simulator.grant("douyin", "tt0123456789abcdef").await.unwrap();
    let address = "/v1/components/douyin/authorizers/tt0123456789abcdef/token";
    let token = served(&process, address).await;
    for number in 0..200 {
        process.simulator.audit("baidu", "1000001", &format!("1.0.{number}"), &Verdict::Passed).await.unwrap();
    }
    let archive = process.file.with_extension("backup");
    let base = process.base.clone();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_yizhan"))
            .args(arguments)
            .env("YIZHAN_URL", &base)
            .env("YIZHAN_API_KEY", KEY)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let (archive, file) = (archive.to_str().unwrap().to_owned(), process.file.to_str().unwrap().to_owned());
    run(&["backup", &archive]);
    process.kill();
    std::fs::remove_dir_all(process.file.with_file_name("store")).unwrap();
    run(&["restore", "--config", &file, &archive]);
    process.start().await;
    assert_eq!(served(&process, address).await["access_token"], token["access_token"]);
    let (_, page) = process.get("/v1/events?component=baidu&type=audit.*&limit=500").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 200);
}
