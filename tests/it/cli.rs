//! The commands: exit code, stdout, stderr.

mod bench;
mod demo;
#[cfg(target_os = "linux")]
mod first_steps;
mod operations;
mod playbooks;
#[cfg(target_os = "linux")]
mod questions;
mod rollout;
mod rollout_live;
mod service;
mod serving;
mod unanswered;
mod words;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a command did.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ran {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}", self.out))
    }
}

/// The program in a folder, with an environment of its own.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yizhan"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Ran {
    command(folder, arguments).output().unwrap().into()
}
