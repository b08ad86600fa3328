//! `yizhan demo`: service, simulator of all platforms and a verifying handler in one process, on free ports and a temporary store.
//! Tells the whole story and checks every step; exits 0 only if everything held. For its last part, a rollout in the middle of which the
//! service is killed, the service is a process of its own.

mod account;
mod api;
mod process;
mod rollout;
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
use account::Account;
use api::Api;
use process::Process;
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
        let (told, stories_held) = tell_all(&stage).await;

        tell.chapter("一次上线 One rollout, two hundred merchants");
        service.close().await;
        let file = folder.path().join("yizhan.toml");
        std::fs::write(&file, text).context("cannot write the service's configuration")?;
        let mut process = Process::start(&file, &api).await?;
        tell.note("from here the service is a process of its own, on the same store, so that it can be killed");
        let accounts = rollout::tell(&stage, &mut process).await.unwrap_or_else(|error| {
            tell.broke(&format!("rollout: {error:#}"));
            Vec::new()
        });
        let rolled = Account::sum(accounts.iter().map(|(_, account)| account));

        let ok = stories_held && !accounts.is_empty() && rolled.holds();
        tell.chapter(if ok { "Everything held." } else { "Not everything held." });
        tell.note(&format!("{:.1} s in all", tell.seconds()));
        if !terminal.json {
            terminal.data(format!("\n{}\n\n{}", pushes_table(&told), rollout_table(&accounts, &rolled)))?;
        }
        if self.keep {
            terminal.data(format!("\nservice  {base}\nkey      {key}\nvendors  http://{}/_sim", simulator.address()))?;
            tell.note("running until Ctrl-C; in another terminal, for example:");
            tell.note(&format!("  YIZHAN_URL={base} YIZHAN_API_KEY={key} yizhan rollout status"));
            stop_asked().await?;
        }
        handler.stop();
        drop(process);
        simulator.stop();
        if terminal.json {
            let counts: serde_json::Map<_, _> = rolled.counts().map(|(name, count)| (name.to_owned(), count.into())).into_iter().collect();
            terminal.json(&json!({"ok": ok, "platforms": told, "rollout": counts}))?;
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
listen = "{listen}"
public_url = "{base}"

[store]
url = {store}
master_key = "{master_key}"

[fanout]
retry = ["200ms", "400ms", "1s", "2s", "5s"]
allow_private = ["127.0.0.0/8"]

# The pretended vendors audit within a second, and their quotas come back as fast.
[rollout]
poll = "1s"
quota_pause = "1s"
longest_pause = "1s"
most = 48

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
        listen = base.trim_start_matches("http://"),
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

/// What was counted in the stories.
fn pushes_table(told: &[Counted]) -> String {
    let head = ["platform", "pushes", "duplicates", "refused", "events", "delivered", "retried", "replayed", "tokens", "refreshes"];
    let row = |c: &Counted| {
        let numbers = [c.pushes, c.duplicates, c.refused, c.events, c.delivered, c.retried, c.replayed, c.tokens_served, c.refreshes];
        std::iter::once(c.platform.clone()).chain(numbers.iter().map(ToString::to_string)).collect()
    };
    aligned(std::iter::once(head.map(str::to_owned).to_vec()).chain(told.iter().map(row)).collect())
}

/// What became of every merchant of the rollouts.
fn rollout_table(accounts: &[(&str, Account)], sum: &Account) -> String {
    let head = std::iter::once("rollout").chain(sum.counts().map(|(name, _)| name)).map(str::to_owned).collect();
    let row = |name: &str, account: &Account| {
        std::iter::once(name.to_owned()).chain(account.counts().map(|(_, count)| count.to_string())).collect::<Vec<_>>()
    };
    let rows = accounts.iter().map(|(platform, account)| row(platform, account)).chain([row("all", sum)]);
    aligned(std::iter::once(head).chain(rows).collect())
}

/// Rows as an aligned table: the first column to the left, numbers to the right.
fn aligned(rows: Vec<Vec<String>>) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns).map(|at| rows.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        cells
            .map(|(at, (cell, width))| if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
            .collect::<Vec<_>>()
            .join("  ")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
