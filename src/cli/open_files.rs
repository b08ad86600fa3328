//! How many files the process may have open at a time, connections among them.
//!
//! Whoever can reach the service can open connections and say nothing, until the limit is reached. A store that gets no file when it must write one has failed,
//! and the process ends. So the limit is raised as far as the system lets us, and callers get no more connections than leave the store its files.

use crate::config::Server;

/// Files beside the callers' connections: the store keeps 256 open (`store::fjall`), the rest are connections to handlers and vendors, the journals, the
/// runtime's own.
const OWN: u64 = 512;

/// Raises the limit, and bounds the connections by it. Tells whom it leaves fewer than are configured.
pub fn shared_out(server: &mut Server) {
    let Some(limit) = raised() else { return };
    let most = connections(limit);
    if server.max_connections <= most {
        return;
    }
    tracing::warn!(
        setting = "server.max_connections",
        hint = "raise the limit of open files (`ulimit -n`, LimitNOFILE= of systemd, --ulimit nofile= of Docker), or lower the setting",
        "the process may have {limit} files open, so it takes {most} connections at a time in place of {}",
        server.max_connections
    );
    server.max_connections = most;
}

/// Connections that callers may have where so many files may be open. Each may take one more: passed on, to a vendor; while nothing has come over it, so that it
/// can be closed. Where there are next to no files, a quarter.
fn connections(limit: u64) -> usize {
    let most = (limit.saturating_sub(OWN) / 2).max(limit / 4).max(1);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// The limit, raised to what the system allows; `None` where there is none.
#[cfg(unix)]
fn raised() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let at_most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, at_most) {
        Ok(()) => limit.maximum,
        // macOS says that there is no end and takes no such number.
        Err(_) => limit.current,
    }
}

#[cfg(not(unix))]
fn raised() -> Option<u64> {
    None
}
