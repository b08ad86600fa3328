//! One thing that the service knows by its id: which one, and the question before it is ended for good. For commands that steer runs and rollouts.

use serde_json::{Value, json};

use super::client::Remote;
use super::failure::Failure;
use super::terminal::{Terminal, plain};

/// Which one.
#[derive(Debug, clap::Args)]
pub struct One {
    /// Its id, as `list` shows it.
    pub id: String,
    #[command(flatten)]
    pub remote: Remote,
}

/// End it for good.
#[derive(Debug, clap::Args)]
pub struct Cancel {
    #[command(flatten)]
    one: One,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl One {
    /// Has the service do that to it; its answer.
    pub async fn ask(self, collection: &'static str, verb: &'static str) -> Result<Value, Failure> {
        Ok(self.remote.client()?.post(&["v1", collection, &self.id, verb], &json!({})).await?)
    }
}

impl Cancel {
    /// The one to end, if the person means it.
    pub async fn confirmed(self, terminal: &Terminal) -> Result<One, Failure> {
        terminal.confirm(&format!("cancel {} for good? What it did stays done.", plain(&self.one.id)), self.yes).await?;
        Ok(self.one)
    }
}
