//! How long-running commands run: on every core, until somebody asks them to stop.

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
