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

/// Begins the process again, as the same one, with an allocator that gives free memory back at once: by itself mimalloc keeps it for a second, and what
/// a second of pushes frees is a quarter of all that the service holds. It reads its options from the environment before `main`, so that this is the
/// only way to set one without unsafe code. Whoever sets the option decides: then nothing happens here.
#[cfg(unix)]
pub fn with_lean_memory() {
    use std::os::unix::process::CommandExt as _;
    const OPTION: &str = "MIMALLOC_PURGE_DELAY";
    let (Ok(program), None) = (std::env::current_exe(), std::env::var_os(OPTION)) else { return };
    let mut words = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    // Returns only when it fails: then the service runs with more memory.
    drop(command.args(words).env(OPTION, "0").exec());
}

/// Nothing: here no process can begin again.
#[cfg(not(unix))]
pub fn with_lean_memory() {}

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
