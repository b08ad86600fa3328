//! The real process with a simulator, a handler and a ledger of what it has promised, which outlives it.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use yizhan::clock::SystemClock;
use yizhan::downstream::Handler;
use yizhan::platform::twin::{Outgoing, Verdict};
use yizhan::secret::Secret;
use yizhan::simulator::{Answered, Manners, Simulator};

use crate::world::{KEY, SECRET, answer, configuration};

pub const PLATFORMS: [&str; 4] = ["baidu", "douyin", "kuaishou", "alipay"];
pub const MERCHANTS: [(&str, &str); 4] =
    [("baidu", "1452365"), ("douyin", "tt0123456789abcdef"), ("kuaishou", "ks700000000000000001"), ("alipay", "2021000000000003")];

/// The program: the one built with these tests, or another build of it.
pub fn program() -> PathBuf {
    std::env::var_os("YIZHAN_FAULTS_PROGRAM").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_yizhan")), PathBuf::from)
}

/// How a process came up.
#[derive(Debug)]
pub enum Start {
    Ready,
    /// It ended by itself, with that exit code (none after a signal).
    Ended(Option<i32>),
}

pub struct Station {
    child: Option<Child>,
    pub file: PathBuf,
    pub store: PathBuf,
    pub base: String,
    pub client: reqwest::Client,
    pub simulator: Arc<Simulator>,
    pub handler: Arc<Handler>,
    pub ledger: Arc<Ledger>,
    /// What `ulimit` is told before the process starts.
    pub limits: Option<&'static str>,
    folder: tempfile::TempDir,
}

impl Station {
    /// A running one with its store in a temporary folder.
    pub async fn new() -> Self {
        let mut station = Self::at(None).await;
        station.start().await;
        station
    }

    /// One that does not run yet, its store in that folder.
    pub async fn at(store: Option<&Path>) -> Self {
        let clock = Arc::new(SystemClock);
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = Simulator::start(free, clock.clone(), Manners { retries: 0, ..Manners::default() }).await.unwrap();
        let handler = Handler::start(Secret::new(SECRET), clock).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = store.map_or_else(|| folder.path().join("store"), Path::to_path_buf);
        let base = format!("http://{}", TcpListener::bind(free).unwrap().local_addr().unwrap());
        let text = format!(
            "{}\n[[subscriptions]]\nname = \"handler\"\nurl = \"{}\"\nsecret = \"{SECRET}\"\nevents = [\"*\"]\nretry = [\"200ms\", \"500ms\", \"1s\", \"1s\", \"2s\", \"5s\"]\n{}",
            configuration(&store, &base),
            handler.url(),
            simulator.components_toml()
        );
        let file = folder.path().join("yizhan.toml");
        std::fs::write(&file, text).unwrap();
        simulator.connect(&base);
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        Self { child: None, file, store, base, client, simulator, handler, ledger: Arc::default(), limits: None, folder }
    }

    pub async fn start(&mut self) {
        let start = self.try_start(&[]).await;
        assert!(matches!(start, Start::Ready), "{start:?}: {}", self.talk());
    }

    /// Starts it with more environment, and waits until it is ready or has ended.
    pub async fn try_start(&mut self, environment: &[(&str, &str)]) -> Start {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.file.with_extension("log")).unwrap();
        let mut command = match self.limits {
            None => Command::new(program()),
            Some(limits) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit {limits} && exec \"$0\" \"$@\"")]).arg(program());
                shell
            }
        };
        command.args(["serve", "--config"]).arg(&self.file).envs(environment.iter().copied());
        self.child = Some(command.env("NO_COLOR", "1").stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(code) = self.ended() {
                return Start::Ended(code);
            }
            match self.client.get(format!("{}/readyz", self.base)).send().await {
                Ok(response) if response.status() == 200 => return Start::Ready,
                _ => assert!(Instant::now() < deadline, "not ready: {}", self.talk()),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What all processes so far have said.
    pub fn talk(&self) -> String {
        std::fs::read_to_string(self.file.with_extension("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap().success());
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Stops it in good order.
    pub async fn stop(&mut self) {
        self.signal("-TERM");
        assert_eq!(self.end_within(Duration::from_secs(60)).await, Some(0), "{}", self.talk());
    }

    /// The exit code, once it has ended: none after a signal.
    pub fn ended(&mut self) -> Option<Option<i32>> {
        Some(self.child.as_mut()?.try_wait().unwrap()?.code())
    }

    pub async fn end_within(&mut self, time: Duration) -> Option<i32> {
        let deadline = Instant::now() + time;
        loop {
            if let Some(code) = self.ended() {
                return code;
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.talk());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Memory that the process holds, in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Runs a command of the program with this station's configuration and key.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.args(arguments).env("YIZHAN_CONFIG", &self.file).env("YIZHAN_URL", &self.base).env("YIZHAN_API_KEY", KEY);
        command.env("NO_COLOR", "1").output().unwrap()
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(format!("{}{path}", self.base)).bearer_auth(KEY)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(KEY).header("content-type", "application/json");
        answer(request.body(body.to_string())).await
    }

    /// Tickets and grants of a merchant on every platform, exchanged.
    pub async fn granted(&self) {
        for (platform, app) in MERCHANTS {
            self.simulator.ticket(platform).await.unwrap();
            self.simulator.grant(platform, app).await.unwrap();
        }
        for (platform, app) in MERCHANTS {
            self.served(platform, app).await;
        }
    }

    /// The token of a merchant, as soon as there is one; noted as handed out.
    pub async fn served(&self, platform: &str, app: &str) -> Value {
        let address = token_address(platform, app);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let (status, body) = self.get(&address).await;
            if status == 200 {
                self.ledger.handed_out(app, &body);
                return body;
            }
            assert!(Instant::now() < deadline, "{address}: {status} {body}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Asks for a new token in the background; what comes is noted as handed out.
    pub fn renewal(&self, platform: &str, app: &str, generation: u64) -> tokio::task::JoinHandle<()> {
        let request = self.client.post(format!("{}{}/report-invalid", self.base, token_address(platform, app))).bearer_auth(KEY);
        let request = request.header("content-type", "application/json").body(json!({ "generation": generation }).to_string());
        let (ledger, app) = (self.ledger.clone(), app.to_owned());
        tokio::spawn(async move {
            if let Ok(response) = request.send().await
                && response.status() == 200
                && let Ok(bytes) = response.bytes().await
                && let Ok(body) = serde_json::from_slice(&bytes)
            {
                ledger.handed_out(&app, &body);
            }
        })
    }

    /// Every merchant is served a token that the vendor accepts, without a new authorization and with no generation lost. A token that was
    /// replaced at the vendor while the process died may have to be reported once. Tells how many could not be had.
    pub async fn tokens_lost(&self) -> u64 {
        let mut lost = 0;
        for (platform, app) in MERCHANTS {
            lost += self.tokens_lost_of(platform, app).await;
        }
        lost
    }

    /// The same of one merchant.
    pub async fn tokens_lost_of(&self, platform: &str, app: &str) -> u64 {
        let mut lost = 0;
        let before = self.ledger.generation(app);
        let held = self.served(platform, app).await;
        if held["generation"].as_u64().unwrap() < before {
            println!("{platform}: generation {before} had been handed out: {held}");
            lost += 1;
        }
        let deadline = Instant::now() + Duration::from_secs(45);
        let mut token = held;
        while !self.simulator.accepts(platform, Some(app), token["access_token"].as_str().unwrap_or_default()).unwrap() {
            if Instant::now() > deadline {
                println!("{platform}: no token that the vendor accepts: {token}");
                lost += 1;
                break;
            }
            let report = json!({"generation": token["generation"]});
            let (status, _) = self.post(&format!("{}/report-invalid", token_address(platform, app)), &report).await;
            if status != 200 {
                // Reports are taken now and then only; recovery works by itself.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            token = self.served(platform, app).await;
        }
        lost
    }

    /// Pushes from that many senders at a time, until it is told to stop.
    pub fn load(&self, senders: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let senders = (0..senders).map(|sender| {
            let (simulator, ledger, stop) = (self.simulator.clone(), self.ledger.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if !ledger.push(&simulator, PLATFORMS[sender % 4]).await {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            })
        });
        Load { senders: senders.collect(), stop }
    }

    /// Waits until that many more pushes are acknowledged.
    pub async fn acknowledged(&self, more: usize) {
        let (wanted, deadline) = (self.ledger.count() + more, Instant::now() + Duration::from_secs(60));
        while self.ledger.count() < wanted {
            assert!(Instant::now() < deadline, "the load makes no progress: {}", self.talk());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Every event of the audits, by its mark: how often it is stored.
    pub async fn stored(&self) -> HashMap<String, u64> {
        self.readable().await.unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// The same where events may be damaged: else the answer that refuses them.
    pub async fn readable(&self) -> Result<HashMap<String, u64>, Value> {
        let (mut stored, mut cursor) = (HashMap::new(), String::new());
        loop {
            let (status, page) = self.get(&format!("/v1/events?type=audit.*&limit=500{cursor}")).await;
            if status != 200 {
                return Err(page);
            }
            for event in page["items"].as_array().unwrap() {
                *stored.entry(mark(event)).or_default() += 1;
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(stored),
            }
        }
    }

    /// Looks for everything that ever was acknowledged, then sends again what was last. Not the other way round: what is lost would be stored anew.
    pub async fn account(&self) -> Account {
        let before = self.stored().await;
        let again: Vec<_> = self.ledger.newest.lock().unwrap().clone();
        for (platform, push) in &again {
            assert!(self.simulator.repeat(platform, push).await.unwrap().acknowledged, "a repeated push is acknowledged again");
        }
        let stored = self.stored().await;
        let acknowledged = self.ledger.acknowledged.lock().unwrap();
        let lost: Vec<_> = acknowledged.iter().filter(|mark| !before.contains_key(*mark)).cloned().collect();
        let twice: Vec<_> = stored.iter().filter(|(_, times)| **times > 1).map(|(mark, _)| mark.clone()).collect();
        let (acknowledged, repeated) = (acknowledged.len(), again.len());
        Account { acknowledged, stored: stored.len(), lost, twice, repeated }
    }

    /// Waits until the handler has every acknowledged event.
    pub async fn all_delivered(&self) {
        let acknowledged = self.ledger.acknowledged.lock().unwrap().clone();
        let missing = || {
            let received: HashSet<String> =
                self.handler.received().iter().filter(|one| is_audit(&one.event)).map(|one| mark(&one.event)).collect();
            acknowledged.iter().filter(|mark| !received.contains(*mark)).count()
        };
        let deadline = Instant::now() + Duration::from_secs(90);
        while missing() > 0 {
            assert!(Instant::now() < deadline, "{} were not delivered", missing());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A file beside the configuration.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.kill();
        self.handler.stop();
        self.simulator.stop();
    }
}

pub fn token_address(platform: &str, app: &str) -> String {
    format!("/v1/components/{platform}/authorizers/{app}/token")
}

/// What was promised, kept outside the process.
#[derive(Default)]
pub struct Ledger {
    pub acknowledged: Mutex<HashSet<String>>,
    newest: Mutex<Vec<(&'static str, Outgoing)>>,
    next: AtomicU64,
    generations: Mutex<HashMap<String, u64>>,
}

/// Pushes kept to be sent again.
const NEWEST: usize = 24;

impl Ledger {
    /// Sends one push that nobody sent before; whether it was acknowledged.
    pub async fn push(&self, simulator: &Simulator, platform: &'static str) -> bool {
        self.answered(simulator, platform).await.acknowledged
    }

    /// The same, with the whole answer.
    pub async fn answered(&self, simulator: &Simulator, platform: &'static str) -> Answered {
        self.answered_at_length(simulator, platform, 0).await
    }

    /// The same, for a verdict of so many bytes more.
    pub async fn answered_at_length(&self, simulator: &Simulator, platform: &'static str, bytes: usize) -> Answered {
        let mark = format!("mark-{}-", self.next.fetch_add(1, Ordering::Relaxed));
        let verdict = Verdict::Failed(format!("{mark} {}", "x".repeat(bytes)));
        let (push, answered) = simulator.audit(platform, "1000001", "1.0.0", &verdict).await.unwrap();
        if answered.acknowledged {
            self.acknowledged.lock().unwrap().insert(mark);
            let mut newest = self.newest.lock().unwrap();
            newest.push((platform, push));
            let surplus = newest.len().saturating_sub(NEWEST);
            newest.drain(..surplus);
        } else {
            assert_ne!(answered.status, 200, "nothing that is not stored is answered well");
        }
        answered
    }

    fn handed_out(&self, app: &str, token: &Value) {
        let mut generations = self.generations.lock().unwrap();
        let newest = generations.entry(app.to_owned()).or_default();
        *newest = (*newest).max(token["generation"].as_u64().unwrap());
    }

    fn generation(&self, app: &str) -> u64 {
        self.generations.lock().unwrap().get(app).copied().unwrap_or_default()
    }

    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}

/// Senders at work.
pub struct Load {
    senders: Vec<tokio::task::JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.await.unwrap();
        }
    }
}

/// What was promised against what is there.
pub struct Account {
    pub acknowledged: usize,
    pub stored: usize,
    pub lost: Vec<String>,
    /// Stored as two events.
    pub twice: Vec<String>,
    /// Sent again and acknowledged again.
    pub repeated: usize,
}

impl std::fmt::Display for Account {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { acknowledged, stored, lost, twice, repeated } = self;
        write!(to, "{acknowledged} acknowledged, {stored} stored, {} lost, {} doubled ({repeated} sent again)", lost.len(), twice.len())
    }
}

impl Account {
    pub fn settle(&self, what: &str) {
        assert!(
            self.lost.is_empty(),
            "{what}: {} of {} acknowledged pushes are lost: {:?}",
            self.lost.len(),
            self.acknowledged,
            self.lost.first()
        );
        assert!(self.twice.is_empty(), "{what}: {} pushes are two events: {:?}", self.twice.len(), self.twice.first());
    }
}

fn is_audit(event: &Value) -> bool {
    event["type"].as_str().is_some_and(|kind| kind.starts_with("audit."))
}

/// The auditor's words tell the events apart: not every vendor's results carry a version.
pub fn mark(event: &Value) -> String {
    let text = event.to_string();
    let from = text.find("mark-").unwrap();
    text[from..].chars().take_while(|c| *c == '-' || c.is_ascii_alphanumeric()).collect()
}
