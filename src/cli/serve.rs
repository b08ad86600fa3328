//! `yizhan serve`: the service.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::failure::{Failure, hinted};
use super::open_files;
use super::running::{on_every_core, stop_asked};
use super::surroundings::Place;
use super::terminal::Terminal;
use crate::app::{App, Work};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::{http, telemetry};

/// Exit code when the store could not be written any more: the supervisor restarts, and start-up verifies.
const STORE_FAILED: u8 = 3;

/// Run the service.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Stops in good order on SIGTERM and Ctrl-C, at once when asked again. Exit code 3: the disk refused a write; start again once it is mended."
)]
pub struct Serve {}

impl Serve {
    /// Runs until it is asked to stop, or the store fails.
    pub fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let mut config = place.config()?;
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let _lines = telemetry::log(config.log.format, &config.log.level, std::env::var("RUST_LOG").ok().as_deref(), no_color);
        for warning in config.warnings() {
            tracing::warn!(setting = warning.at, hint = warning.hint, "{}", warning.message);
        }
        open_files::shared_out(&mut config.server);
        on_every_core(async {
            let listen = config.server.listen;
            let listener = TcpListener::bind(listen)
                .map_err(|error| {
                    hinted(format!("cannot listen on {listen}: {error}"), "is another service there? `server.listen` names the address")
                })
                .map_err(anyhow::Error::from)?;
            let service = Service::start(config, Arc::new(SystemClock), listener).await?;
            terminal.say(format!("listening on http://{}", service.address));
            let ended = tokio::select! {
                biased;
                ended = service.run_until_asked() => ended?,
                () = twice() => return Err(Failure::Interrupted),
            };
            match ended {
                None => Ok(()),
                Some(cause) => {
                    last_words(*terminal, format!("error: the store cannot be written any more: {cause}"));
                    Err(Failure::Told(STORE_FAILED))
                }
            }
        })
    }
}

/// Says it, and goes on where nobody takes it: the process has to end, so that it is started again.
fn last_words(terminal: Terminal, words: String) {
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        terminal.say(words);
        said.send(())
    });
    let _ = heard.recv_timeout(Duration::from_secs(1));
}

/// Returns when somebody asked twice: whoever presses Ctrl-C again does not want to wait for what is under way.
async fn twice() {
    for _ in 0..2 {
        if stop_asked().await.is_err() {
            // Without signals nobody can ask.
            std::future::pending::<()>().await;
        }
    }
}

/// A running service: rooms, workers and face.
pub struct Service {
    /// Where it listens.
    pub address: std::net::SocketAddr,
    app: Arc<App>,
    work: Work,
    server: http::Server,
}

impl Service {
    /// Opens the store, starts the workers, and serves on the listener.
    ///
    /// # Errors
    /// The store cannot be opened, with what to do.
    pub async fn start(config: Config, clock: Arc<dyn Clock>, listener: TcpListener) -> anyhow::Result<Self> {
        let app = App::build(config, clock).await.map_err(|error| {
            let hint = error.hint();
            hinted(error.to_string(), hint)
        })?;
        let work = app.work();
        let server = http::start(Arc::clone(&app), listener).context("cannot serve on the listener")?;
        tokio::spawn(telemetry::upkeep(app.metrics.clone(), app.shutdown.clone()));
        let address = server.address;
        tracing::info!(%address, components = app.config.components.iter().count(), "the service is up");
        Ok(Self { address, app, work, server })
    }

    /// Runs until somebody asks it to stop, or the store fails: then with the cause.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub async fn run_until_asked(self) -> std::io::Result<Option<String>> {
        tokio::select! {
            asked = stop_asked() => tracing::info!(signal = asked?, "asked to stop"),
            () = self.app.shutdown.requested() => {}
        }
        Ok(self.stop().await)
    }

    /// Stops in good order: requests first, while everything else still works; then deliveries under way finish and everything is flushed. The cause, if the store failed.
    pub async fn stop(self) -> Option<String> {
        let begun = Instant::now();
        self.server.stop().await;
        self.app.shutdown.request();
        // What requests began and nobody waits for any more has what is left of the time.
        let left = self.app.config.server.shutdown_grace.saturating_sub(begun.elapsed());
        let (cause, ended) = tokio::join!(self.work.finished(), tokio::time::timeout(left, self.app.tasks.finished()));
        if ended.is_err() {
            tracing::warn!(
                "what requests began did not end within `server.shutdown_grace`; the outcome of calls is looked up when they are asked for again"
            );
        }
        if cause.is_none() {
            self.app.write_out().await;
        }
        tracing::info!("stopped");
        cause
    }

    /// The same, and lets go of the store, so that another process can open it.
    pub async fn close(self) -> Option<String> {
        let app = Arc::clone(&self.app);
        let cause = self.stop().await;
        // The server's threads let go a moment after it has stopped.
        while Arc::strong_count(&app) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cause
    }
}
