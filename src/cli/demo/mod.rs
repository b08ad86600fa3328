//! `yizhan demo`: service, simulator of all platforms and a verifying handler in one process, on free ports and a temporary store.
//! Tells the whole story and checks every step; exits 0 only if everything held.

mod api;
mod story;
mod tell;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use serde_json::json;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::downstream::Handler;
use crate::platform;
use crate::secret::Secret;
use crate::settings::Surroundings;
use crate::simulator::{Manners, Simulator};

use super::failure::Failure;
use super::running::{on_every_core, stop_asked};
use super::serve::Service;
use super::terminal::Terminal;
use api::Api;
use story::{Counted, SUBSCRIPTION, Stage};
use tell::Tell;

/// Run service, simulator and a verifying handler in this process, and tell their story.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 0: every step held. With --json the last line on standard output is the result.")]
pub struct Demo {
    /// Leave everything running at the end, and print the addresses and a key to play with.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    /// Runs the command.
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        on_every_core(async { if self.tell(terminal).await? { Ok(()) } else { Err(Failure::Told(1)) } })
    }

    /// Tells the story; whether everything held.
    async fn tell(&self, terminal: &Terminal) -> anyhow::Result<bool> {
        let tell = Tell::new(terminal);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let folder = tempfile::Builder::new().prefix("yizhan-demo-").tempdir().context("cannot make a temporary folder")?;
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = Simulator::start(free, Arc::clone(&clock), Manners::default()).await?;
        let secret = Secret::new(format!("whsec_{}", random_base64()?));
        let handler = Handler::start(secret.clone(), Arc::clone(&clock)).context("cannot start the handler")?;
        let listener = TcpListener::bind(free).context("cannot listen on the loopback address")?;
        let base = format!("http://{}", listener.local_addr()?);
        let key = format!("yzk_{}", hex::encode(random()?));
        let text = configuration(&base, &folder, &key, &handler, &secret, &simulator)?;
        let config = Config::parse(&text, Surroundings::default()).map_err(|problems| {
            let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the demo's own configuration is refused: {}", list.join("; "))
        })?;
        let service = Service::start(config, Arc::clone(&clock), listener).await?;
        simulator.connect(&base);

        tell.chapter("驿站 Yizhan");
        tell.note(&format!("service {base} · vendors http://{} · handler {}", simulator.address(), handler.url()));
        let api = Api::new(&base, &key)?;
        let stage = Stage { api: &api, simulator: &simulator, handler: &handler, tell: &tell };
        let (told, ok) = tell_all(&stage).await;
        tell.chapter(if ok { "Everything held." } else { "Not everything held." });
        tell.note(&format!("{:.1} s in all", tell.seconds()));
        if !terminal.json {
            terminal.data(format!("\n{}", table(&told)))?;
        }
        if self.keep {
            terminal.data(format!("\nservice  {base}\nkey      {key}\nvendors  http://{}/_sim", simulator.address()))?;
            tell.note("running until Ctrl-C; in another terminal, for example:");
            tell.note(&format!("  YIZHAN_URL={base} YIZHAN_API_KEY={key} yizhan events list"));
            stop_asked().await?;
        }
        handler.stop();
        service.stop().await;
        simulator.stop();
        if terminal.json {
            terminal.json(&json!({"ok": ok, "platforms": told}))?;
        }
        Ok(ok)
    }
}

async fn tell_all(stage: &Stage<'_>) -> (Vec<Counted>, bool) {
    let (mut told, mut ok) = (Vec::new(), true);
    for platform in platform::ALL {
        match story::tell(stage, *platform).await {
            Ok(counted) => told.push(counted),
            Err(error) => {
                ok = false;
                stage.tell.broke(&format!("{}: {error:#}", platform.name()));
                told.push(Counted { platform: platform.name().to_owned(), ..Counted::default() });
            }
        }
    }
    (told, ok)
}

/// The service's configuration, as a provider would write it.
fn configuration(
    base: &str,
    folder: &tempfile::TempDir,
    key: &str,
    handler: &Handler,
    secret: &Secret,
    simulator: &Simulator,
) -> anyhow::Result<String> {
    let hash = hex::encode(crate::envelope::digest::sha256(&[key.as_bytes()]));
    let store = serde_json::to_string(&format!("file:{}", folder.path().display()))?;
    let master_key = random_base64()?;
    Ok(format!(
        r#"
[server]
listen = "127.0.0.1:0"
public_url = "{base}"

[store]
url = {store}
master_key = "{master_key}"

[fanout]
retry = ["200ms", "400ms", "1s", "2s", "5s"]
allow_private = ["127.0.0.0/8"]

[[api_keys]]
name = "demo"
hash = "sha256:{hash}"
scopes = ["*"]

[[subscriptions]]
name = "{SUBSCRIPTION}"
url = "{url}"
secret = "{secret}"
events = ["audit.*", "authorization.*"]

{components}"#,
        url = handler.url(),
        secret = secret.expose(),
        components = simulator.components_toml(),
    ))
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gave no randomness"))?;
    Ok(bytes)
}

fn random_base64() -> anyhow::Result<String> {
    Ok(base64::engine::general_purpose::STANDARD.encode(random()?))
}

/// The counts as an aligned table.
fn table(told: &[Counted]) -> String {
    let head = ["platform", "pushes", "duplicates", "refused", "events", "delivered", "retried", "replayed", "tokens", "refreshes"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(told.iter().map(|c| {
        let numbers = [c.pushes, c.duplicates, c.refused, c.events, c.delivered, c.retried, c.replayed, c.tokens_served, c.refreshes];
        std::iter::once(c.platform.clone()).chain(numbers.iter().map(ToString::to_string)).collect()
    }));
    let widths: Vec<usize> =
        (0..head.len()).map(|at| rows.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        cells
            .map(|(at, (cell, width))| if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
            .collect::<Vec<_>>()
            .join("  ")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
