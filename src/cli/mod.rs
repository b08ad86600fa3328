//! The command line: one file per command, each with its arguments and what it does.
//!
//! Called by `main`. Commands that need a running service speak to it by HTTP like any other caller ([`client`]); they never open its store.
//! Data goes to standard output, talk to standard error.

mod authorizers;
mod backup;
mod bench;
mod call;
mod check;
pub mod client;
mod deliveries;
mod demo;
mod diagnose;
mod events;
mod failure;
mod init;
mod keys;
mod listen;
mod one;
mod open_files;
mod openapi;
mod playbooks;
mod reconcile;
mod restore;
pub mod rollout;
mod running;
mod runs;
mod serve;
mod simulate;
pub mod stream;
mod surroundings;
mod table;
pub mod terminal;
mod token;
mod whole_file;

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Parser, Subcommand};

pub use failure::Failure;
use surroundings::Place;
use terminal::Terminal;

/// Receives the pushes of mini program platforms, keeps their tickets and tokens fresh, and brings their events to your handlers.
#[derive(Debug, Parser)]
#[command(name = "yizhan", version, arg_required_else_help = true, infer_subcommands = false)]
pub struct Cli {
    /// Configuration file [default: yizhan.toml, where there is one].
    // A variable that is set to nothing names no file, as `Place` has it; clap's own parser of paths would refuse it for every command.
    #[arg(long, global = true, env = "YIZHAN_CONFIG", value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    config: Option<PathBuf>,

    /// Print data as JSON.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run service, simulator and a verifying handler in this process, and tell their story.
    Demo(demo::Demo),
    /// Run the service.
    Serve(serve::Serve),
    /// Write a commented configuration file with fresh keys.
    Init(init::Init),
    /// Say everything that is wrong with the configuration.
    Check(check::Check),
    /// Say which key, token and variant open a captured push, or which step fails.
    Diagnose(diagnose::Diagnose),
    /// Pretend to be the platforms, for your own tests.
    Simulate(simulate::Simulate),
    /// API keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Print a component's or an authorizer's access token.
    Token(token::TokenOf),
    /// Carry out an operation of a platform.
    Call(call::Call),
    /// List the authorizers of a component.
    Authorizers(authorizers::Authorizers),
    /// Ask a component's platform now for what lost pushes would have told.
    Reconcile(reconcile::Reconcile),
    /// Stored events.
    #[command(subcommand)]
    Events(events::Events),
    /// Events on their way to subscriptions.
    #[command(subcommand)]
    Deliveries(deliveries::Deliveries),
    /// Bring one template version to many merchants.
    #[command(subcommand)]
    Rollout(rollout::Rollout),
    /// Operations that are carried out when an event comes.
    #[command(subcommand)]
    Playbooks(playbooks::Playbooks),
    /// How far playbooks have come, step by step.
    #[command(subcommand)]
    Runs(runs::Runs),
    /// Bring live events to a handler on this machine.
    Listen(listen::Listen),
    /// Print the description of the service API, or of the operations.
    Openapi(openapi::OpenApi),
    /// Write the whole store of a running service into a file.
    Backup(backup::Backup),
    /// Put a backup back into an empty store.
    Restore(restore::Restore),
    /// Measure this machine's disk and HTTP, and the service against them.
    Bench(bench::Bench),
}

impl Cli {
    /// Carries the command out.
    ///
    /// # Errors
    /// Why it was not done; [`Failure::exit_code`] tells wrong use from failure.
    pub fn run(self) -> Result<(), Failure> {
        let terminal = Terminal::new(self.json);
        let place = Place::new(self.config);
        match self.command {
            Command::Demo(command) => command.run(&terminal),
            Command::Serve(command) => command.run(&terminal, &place),
            Command::Restore(command) => command.run(&terminal, &place),
            Command::Init(command) => command.run(&terminal, &place),
            Command::Check(command) => command.run(&terminal, &place),
            Command::Diagnose(command) => command.run(&terminal, &place),
            Command::Simulate(command) => command.run(&terminal),
            Command::Keys(command) => command.run(&terminal),
            Command::Token(command) => wait(command.run(&terminal)),
            Command::Call(command) => wait(command.run(&terminal)),
            Command::Authorizers(command) => wait(command.run(&terminal)),
            Command::Reconcile(command) => wait(command.run(&terminal)),
            Command::Events(command) => wait(command.run(&terminal)),
            Command::Deliveries(command) => wait(command.run(&terminal)),
            Command::Rollout(command) => wait(command.run(&terminal)),
            Command::Playbooks(command) => wait(command.run(&terminal, &place)),
            Command::Runs(command) => wait(command.run(&terminal)),
            Command::Openapi(command) => command.run(&terminal),
            Command::Listen(command) => wait(command.run(&terminal)),
            Command::Backup(command) => command.run(&terminal, &place),
            Command::Bench(command) => command.run(&terminal),
        }
    }
}

/// Runs a command that talks to others, until it is done or somebody asks it to stop: it is dropped then, and with it what it has half made.
fn wait(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::from)?;
    let done = runtime.block_on(async {
        // The listener for signals stands before the command begins: there is no question that it could come too early at.
        let command = async {
            tokio::task::yield_now().await;
            command.await
        };
        tokio::select! {
            // A command that has its own way to end on Ctrl-C is asked first.
            biased;
            done = command => done,
            _ = running::stop_asked() => Err(Failure::Interrupted),
        }
    });
    // A thread may still wait for the answer to a question, and nobody is going to give it.
    runtime.shutdown_background();
    done
}
