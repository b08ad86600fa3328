//! The service as a process of its own: the same program, `serve`, so that it can be killed in the middle of its work.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::api::Api;

/// Longest wait until it is ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of its log that tell why it is not.
const LAST_LINES: usize = 5;

/// A service in a process. Killed when it is dropped.
pub(super) struct Process {
    child: Child,
    file: PathBuf,
}

impl Process {
    /// Starts it with that configuration, and waits until it is ready.
    pub(super) async fn start(file: &Path, api: &Api) -> anyhow::Result<Self> {
        let mut process = Self { child: spawned(file)?, file: file.to_owned() };
        process.ready(api).await?;
        Ok(process)
    }

    /// SIGKILL: it gets no chance to finish anything.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("the service cannot be killed")?;
        self.child.wait().context("the service does not end")?;
        Ok(())
    }

    /// Starts it again on what the killed one left.
    pub(super) async fn start_again(&mut self, api: &Api) -> anyhow::Result<()> {
        self.child = spawned(&self.file)?;
        self.ready(api).await
    }

    async fn ready(&mut self, api: &Api) -> anyhow::Result<()> {
        let ready = async {
            while !matches!(api.get("/readyz").await, Ok((200, _))) {
                if let Some(status) = self.child.try_wait()? {
                    bail!("the service ended at once, {status}");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        let ready = tokio::time::timeout(PATIENCE, ready).await.unwrap_or_else(|_| bail!("the service does not become ready"));
        ready.with_context(|| last_lines(&log(&self.file)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawned(file: &Path) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let log = File::options().create(true).append(true).open(log(file)).context("cannot write the service's log")?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // Settings of a service that somebody runs here are none of the demo's.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("YIZHAN") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.spawn().context("cannot start the service as a process of its own")
}

fn log(file: &Path) -> PathBuf {
    file.with_extension("log")
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LAST_LINES)).copied().collect::<Vec<_>>().join(" | ")
}
