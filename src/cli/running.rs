//! How long-running commands run, until somebody asks them to stop.

use std::io::{self, Read, Write};
use std::sync::mpsc;

use tokio::sync::watch;

use super::failure::Failure;

/// Runs a command on a runtime with a thread per core. What it left running is not waited for: it has stopped in good order by itself,
/// or was told to give up.
pub fn on_every_core(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(command);
    runtime.shutdown_background();
    done
}

/// Returns when somebody asks the process to stop, with the signal's name: Ctrl-C, or SIGTERM as supervisors send it.
pub async fn stop_asked() -> std::io::Result<&'static str> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.map(|()| "SIGINT"),
            _ = terminate.recv() => Ok("SIGTERM"),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map(|()| "Ctrl-C")
}

/// Whether somebody asked a command that blocks to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Fails where somebody did.
    pub fn check(&self) -> io::Result<()> {
        if *self.0.borrow() { Err(io::Error::other("asked to stop")) } else { Ok(()) }
    }

    /// Returns when somebody does.
    pub async fn asked(&self) {
        if self.0.clone().wait_for(|asked| *asked).await.is_err() {
            // Nobody listens, so nobody asks.
            std::future::pending::<()>().await;
        }
    }

    /// A reader or writer that fails from then on: whatever works with it ends as it does when a disk fails, and leaves nothing half made.
    pub fn over<T>(&self, inner: T) -> Stoppable<T> {
        Stoppable { inner, stop: self.clone() }
    }
}

/// See [`Stop::over`].
#[derive(Debug)]
pub struct Stoppable<T> {
    inner: T,
    stop: Stop,
}

impl<T: Read> Read for Stoppable<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.inner.read(bytes)
    }
}

impl<T: Write> Write for Stoppable<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Carries out what blocks, to its end also where somebody asks the process to stop: `work` is told by its [`Stop`], and clears away what it has begun.
/// Whoever asks twice does not wait for that.
pub fn stoppable<T>(work: impl FnOnce(&Stop) -> Result<T, Failure>) -> Result<T, Failure> {
    let (asked, heard) = watch::channel(false);
    let stop = Stop(heard);
    let (tell, stands) = mpsc::channel();
    std::thread::spawn(move || hear(&asked, &tell));
    // Where signals cannot be listened for they end the process, as they do where nobody listens.
    let _ = stands.recv();
    match work(&stop) {
        Err(_) if stop.check().is_err() => Err(Failure::Interrupted),
        done => done,
    }
}

/// Tells when the listener stands, then listens for as long as the process lives.
fn hear(asked: &watch::Sender<bool>, stands: &mpsc::Sender<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let standing = async {
            // Asked first and ready second: the listener was asked in between, and stands.
            tokio::task::yield_now().await;
            let _ = stands.send(());
            std::future::pending::<()>().await;
        };
        let first = tokio::select! {
            biased;
            () = standing => return,
            first = stop_asked() => first,
        };
        if first.is_ok() {
            asked.send_replace(true);
            if stop_asked().await.is_ok() {
                Failure::Interrupted.tell();
                std::process::exit(Failure::Interrupted.exit_code().into());
            }
        }
    });
}
