//! The `yizhan` command: parses the command line, runs it, tells what went wrong, and says so in the exit code.

use std::process::ExitCode;

use clap::Parser;
use yizhan::cli::Cli;

/// A push allocates on one thread what another frees: glibc's allocator took a fifth of a push for that (docs/bench.md). `.cargo/config.toml` sets
/// its options.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Wrong use ends here, with clap's words and exit code 2.
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.exit_code())
        }
    }
}
