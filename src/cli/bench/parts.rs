//! The processes of a run: the service as `yizhan serve` runs it, and the bare server that it is held against. Both are this program again.

use std::ffi::OsString;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::super::running::on_every_core;
use super::super::serve::Service;
use super::super::terminal::Terminal;
use crate::cli::Failure;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::settings::Surroundings;
use crate::simulator::clock::JumpingClock;
use crate::{http, telemetry};

/// What a process says once it listens; `serve` says the same.
const LISTENING: &str = "listening on http://";

/// Longest time to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// What this program plays in a run of another one of its kind.
#[derive(Debug, clap::Subcommand)]
pub enum Part {
    /// The bare server.
    #[command(hide = true)]
    Bare,
    /// The service with a clock that is ahead.
    #[command(hide = true)]
    Later {
        /// Its configuration.
        config: PathBuf,
        /// Days ahead.
        days: u64,
    },
}

impl Part {
    /// Plays until it is killed or asked to stop.
    pub fn play(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::Bare => on_every_core(async {
                let config = parse("[store]\nmaster_key = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\n", Path::new("."))?;
                let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
                let (address, server) = http::bare::server(&config.server, listener)?;
                terminal.say(format!("{LISTENING}{address}"));
                Ok(server.await?)
            }),
            Self::Later { config, days } => on_every_core(async {
                let folder = config.parent().unwrap_or(Path::new("."));
                let config = parse(&std::fs::read_to_string(&config)?, folder)?;
                let _lines = telemetry::log(config.log.format, &config.log.level, None, true);
                let leaps = Arc::new(JumpingClock::over(Arc::new(SystemClock)));
                let clock: Arc<dyn Clock> = leaps.clone();
                let listener = TcpListener::bind(config.server.listen)?;
                let service = Service::start(config, clock, listener).await?;
                // A clock that is days ahead at a start is not believed at once; and retention, once it has looked, looks again as soon as its hour is over.
                until_retention_has_looked().await?;
                leaps.pass(Duration::from_secs(days.saturating_mul(24 * 3600)));
                terminal.say(format!("{LISTENING}{}", service.address));
                service.run_until_asked().await?;
                Ok(())
            }),
        }
    }
}

async fn until_retention_has_looked() -> anyhow::Result<()> {
    let began = Instant::now();
    let looked_at = || {
        let told = telemetry::metrics().render();
        let line = told.lines().find_map(|line| line.strip_prefix("yizhan_retention_timestamp_seconds "));
        line.and_then(|at| at.parse::<f64>().ok()).unwrap_or_default()
    };
    while looked_at() <= 0.0 {
        ensure!(began.elapsed() < PATIENCE, "retention does not look at a service that has started");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn parse(text: &str, folder: &Path) -> anyhow::Result<Config> {
    Config::parse(text, Surroundings { folder: folder.to_owned(), ..Surroundings::default() }).map_err(|problems| {
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the configuration of the run is refused: {}", list.join("; "))
    })
}

fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program does not find itself")
}

/// A program of the system's, found where we find ours; of the environment it has that path alone.
pub fn outside(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    command
}

/// A process of the run. It is killed when dropped.
pub struct Process {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start until it listened.
    pub started_in: Duration,
}

impl Process {
    /// The service with that configuration.
    pub async fn service(config: &Path) -> anyhow::Result<Self> {
        Self::start(config, |command| command.arg("--config").arg(config).arg("serve")).await
    }

    /// The service, so many days after it started.
    pub async fn later(config: &Path, days: u64) -> anyhow::Result<Self> {
        Self::start(config, |command| command.args(["bench", "later"]).arg(config).arg(days.to_string())).await
    }

    /// The bare server, which logs beside that file.
    pub async fn bare(beside: &Path) -> anyhow::Result<Self> {
        Self::start(beside, |command| command.args(["bench", "bare"])).await
    }

    /// The service with that configuration under valgrind, which counts nothing until it is told to and puts its counts beside that path.
    pub async fn under_valgrind(config: &Path, counts: &Path) -> anyhow::Result<Self> {
        let mut out = OsString::from("--callgrind-out-file=");
        out.push(counts);
        let mut command = outside("valgrind");
        command.args(["--tool=callgrind", "--instr-atstart=no"]).arg(out).arg(this_program()?);
        command.arg("--config").arg(config).arg("serve");
        Self::spawn(config, command).await
    }

    async fn start(beside: &Path, arguments: impl FnOnce(&mut Command) -> &mut Command) -> anyhow::Result<Self> {
        let mut command = Command::new(this_program()?);
        // Nothing of our own environment: neither the measurements nor the service may depend on it.
        arguments(command.env_clear());
        Self::spawn(beside, command).await
    }

    async fn spawn(beside: &Path, mut command: Command) -> anyhow::Result<Self> {
        let log = tempfile::Builder::new().prefix("log-").tempfile_in(beside.parent().unwrap_or(Path::new(".")))?;
        let (talk, path) = log.keep()?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(talk);
        let began = Instant::now();
        let child = command.spawn().context("cannot start a process")?;
        // From here on it is killed whatever becomes of its start.
        let mut process = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), started_in: Duration::ZERO };
        loop {
            let (told, took) = (std::fs::read_to_string(&path)?, began.elapsed());
            let address = told.lines().find_map(|line| line.strip_prefix(LISTENING));
            if let Some(address) = address.filter(|_| told.ends_with('\n')).and_then(|address| address.parse().ok()) {
                (process.address, process.started_in) = (address, took);
                return Ok(process);
            }
            if process.child.try_wait()?.is_some() || took > PATIENCE {
                bail!("a process of the run did not start: {told}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in bytes, where the system tells.
    pub fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// Processor time that it has used, where the system tells. A tick is a hundredth of a second on every Linux we know.
    pub fn busy(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace().skip(11);
        let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 10))
    }

    /// Asks it to stop, and waits until it has stopped in good order.
    pub async fn ask_to_stop(&mut self) -> anyhow::Result<()> {
        let asked = Command::new("kill").arg(self.id().to_string()).status().context("cannot ask the service to stop")?;
        ensure!(asked.success(), "the service cannot be asked to stop");
        let began = Instant::now();
        loop {
            if let Some(ended) = self.child.try_wait()? {
                ensure!(ended.success(), "the service did not stop in good order");
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "the service does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it as SIGKILL does, and waits.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An append-only file, which shows how fast the disk makes things durable.
pub struct Disk {
    file: File,
}

impl Disk {
    /// In that folder.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(folder)? })
    }

    /// Appends so many bytes and makes them durable, so many times, with a rest before each; the time of each without its rest.
    pub fn append(&mut self, bytes: usize, times: usize, rest: Duration) -> anyhow::Result<Vec<Duration>> {
        use std::io::Write as _;
        let block = vec![0x5a; bytes];
        (0..times)
            .map(|_| {
                if !rest.is_zero() {
                    std::thread::sleep(rest);
                }
                let began = Instant::now();
                self.file.write_all(&block)?;
                self.file.sync_data()?;
                Ok(began.elapsed())
            })
            .collect()
    }
}
