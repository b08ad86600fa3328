//! A whole deployment in one process: service on a free port, store in a temporary folder, simulator, handler, one movable clock.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use yizhan::app::{App, Work};
use yizhan::clock::{Clock, ManualClock, Timestamp};
use yizhan::config::Config;
use yizhan::downstream::Handler;
use yizhan::envelope::digest;
use yizhan::outbound::Vendors;
use yizhan::secret::Secret;
use yizhan::settings::Surroundings;
use yizhan::simulator::{Manners, Simulator};

/// A key that may do everything.
pub const KEY: &str = "yzk_0000000000000000000000000000000000000000000000000000000000000001";
/// The handler's secret.
pub const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
/// 32 bytes.
pub const MASTER_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// Everything that one story needs.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub simulator: Arc<Simulator>,
    pub handler: Arc<Handler>,
    pub base: String,
    pub client: reqwest::Client,
    folder: tempfile::TempDir,
    extra: String,
    vendors: Option<Arc<dyn Vendors>>,
    server: String,
    running: Option<Running>,
}

type Running = (yizhan::http::Server, Work, Arc<App>);

/// How a world differs from the usual one.
#[derive(Default)]
pub struct Setting {
    /// More configuration, appended.
    pub extra: String,
    /// Replaces the handler's subscription.
    pub subscriptions: Option<String>,
    /// Stands between the service and the vendors.
    pub vendors: Option<Arc<dyn Vendors>>,
    /// More lines of `[server]`.
    pub server: String,
    /// A store that is there already, of which a copy is taken, and the moment at which it was left.
    pub left: Option<(PathBuf, Timestamp)>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Setting::default()).await
    }

    pub async fn with(setting: Setting) -> Self {
        if let Ok(level) = std::env::var("RUST_LOG") {
            // Lines are written at once: nobody waits for the end of a test's.
            let _ = yizhan::telemetry::log(yizhan::telemetry::Format::Text, "info", Some(&level), true);
        }
        let folder = tempfile::tempdir().unwrap();
        let begins = match &setting.left {
            Some((store, at)) => {
                copy_all(store, folder.path());
                *at
            }
            None => "2026-11-20T07:00:00Z".parse().unwrap(),
        };
        let clock = Arc::new(ManualClock::starting_at(begins));
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let manners = Manners { retries: 0, ..Manners::default() };
        let simulator = Simulator::start(free, clock.clone() as Arc<dyn Clock>, manners).await.unwrap();
        let handler = Handler::start(Secret::new(SECRET), clock.clone()).unwrap();
        let subscriptions = setting.subscriptions.unwrap_or_else(|| {
            format!("[[subscriptions]]\nname = \"handler\"\nurl = \"{}\"\nsecret = \"{SECRET}\"\nevents = [\"*\"]\n", handler.url())
        });
        let extra = format!("{subscriptions}\n{}\n{}", setting.extra, simulator.components_toml());
        let (server, vendors) = (setting.server, setting.vendors);
        let (base, running) = start(&folder, &server, &extra, clock.clone(), vendors.clone(), &simulator).await;
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { clock, simulator, handler, base, client, folder, extra, server, vendors, running: Some(running) }
    }

    /// Stops the service in good order and starts it again on the same store.
    pub async fn restart(&mut self) {
        self.down().await;
        self.up().await;
    }

    /// Where the store is.
    pub fn store(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the service again on the same store.
    pub async fn up(&mut self) {
        let (vendors, clock) = (self.vendors.clone(), self.clock.clone());
        let (base, running) = start(&self.folder, &self.server, &self.extra, clock, vendors, &self.simulator).await;
        (self.base, self.running) = (base, Some(running));
    }

    /// Restarts with one piece of the extra configuration replaced.
    pub async fn mend(&mut self, wrong: &str, right: &str) {
        assert!(self.extra.contains(wrong));
        self.extra = self.extra.replace(wrong, right);
        self.restart().await;
    }

    /// Stops the service in good order.
    pub async fn down(&mut self) {
        if let Some((server, work, app)) = self.running.take() {
            server.stop().await;
            app.shutdown.request();
            // Who waits for a moment on the clock is let go when that comes.
            let ticking = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    self.advance(Duration::from_secs(5));
                }
            };
            let cause = tokio::select! {
                cause = work.finished() => cause,
                () = ticking => unreachable!("time does not end"),
            };
            assert_eq!(cause, None);
            // The server's threads let go of the store a moment after the server has stopped.
            while Arc::strong_count(&app) > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Stops the server alone, as a stop does first of all, and starts another one once `meanwhile` has happened.
    pub async fn without_server(&mut self, meanwhile: impl AsyncFnOnce(&Arc<App>)) {
        let (server, work, app) = self.running.take().unwrap();
        server.stop().await;
        meanwhile(&app).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        self.base = format!("http://{}", listener.local_addr().unwrap());
        let server = yizhan::http::start(app.clone(), listener).unwrap();
        self.running = Some((server, work, app));
    }

    /// The service.
    pub fn app(&self) -> &Arc<App> {
        &self.running.as_ref().unwrap().2
    }

    /// Moves the clock; whoever sleeps on it wakes.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by.try_into().unwrap());
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(format!("{}{path}", self.base)).bearer_auth(KEY)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, path, body).await
    }

    pub async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(KEY);
        answer(request.header("content-type", "application/json").body(body.to_string())).await
    }

    /// Waits, in real time and for at most 20 s, until something holds.
    pub async fn until<T>(&self, what: &str, mut holds: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = holds().await {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "waited too long: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A ticket (where there are any), a grant, and the merchant's token.
    pub async fn granted(&self, platform: &str, app_id: &str) -> Value {
        self.simulator.ticket(platform).await.unwrap();
        self.simulator.grant(platform, app_id).await.unwrap();
        let address = format!("/v1/components/{platform}/authorizers/{app_id}/token");
        self.until("a token after the grant", async || {
            let (status, body) = self.get(&address).await;
            (status == 200).then_some(body)
        })
        .await
    }
}

async fn start(
    folder: &tempfile::TempDir,
    server: &str,
    extra: &str,
    clock: Arc<ManualClock>,
    vendors: Option<Arc<dyn Vendors>>,
    simulator: &Simulator,
) -> (String, Running) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    // Before anything works: the service asks for its first ticket at once, and that is pushed here.
    simulator.connect(&base);
    let text = format!("{}\n{extra}", configuration(folder.path(), &base)).replacen("[server]\n", &format!("[server]\n{server}\n"), 1);
    let config = Config::parse(&text, Surroundings::default()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let app = match vendors {
        Some(vendors) => App::build_over(config, clock, vendors).await.unwrap(),
        None => App::build(config, clock).await.unwrap(),
    };
    let work = app.work();
    let server = yizhan::http::start(app.clone(), listener).unwrap();
    (base, (server, work, app))
}

/// `[server]`, `[store]`, `[fanout]` and the key of a test deployment.
pub fn configuration(folder: &Path, base: &str) -> String {
    let listen = base.strip_prefix("http://").unwrap();
    let hash = hex::encode(digest::sha256(&[KEY.as_bytes()]));
    format!(
        "[server]\nlisten = \"{listen}\"\npublic_url = \"{base}\"\n[store]\nurl = {}\nmaster_key = \"{MASTER_KEY}\"\n\
         [fanout]\nallow_private = [\"127.0.0.0/8\"]\n[[api_keys]]\nname = \"test\"\nhash = \"sha256:{hash}\"\nscopes = [\"*\"]\n",
        json!(format!("file:{}", folder.display()))
    )
}

/// Copies a folder with everything in it.
pub fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Sends a request. An answer that all is well must be one that the description of the service knows.
pub async fn send(request: reqwest::RequestBuilder) -> reqwest::Response {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    crate::http::openapi::assert_described(&method, &path, response.status());
    response
}

pub async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = send(request).await;
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}
