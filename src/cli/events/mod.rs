//! `yizhan events`: look at stored events, watch new ones, send them again, take them out.

mod export;
pub mod list;
pub mod replay;
mod show;
pub mod tail;

use super::client::Query;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::settings::duration;

/// Stored events.
#[derive(Debug, clap::Subcommand)]
pub enum Events {
    /// List events, newest first.
    List(list::List),
    /// Print one event in full.
    Show(show::Show),
    /// Print events as they come.
    Tail(tail::Tail),
    /// Send events again: one, or all that fit a filter.
    Replay(replay::Replay),
    /// Write events as JSON lines, newest first.
    Export(export::Export),
}

impl Events {
    /// Carries it out.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(terminal).await,
            Self::Show(command) => command.run(terminal).await,
            Self::Tail(command) => command.run(terminal).await,
            Self::Replay(command) => command.run(terminal).await,
            Self::Export(command) => command.run(terminal).await,
        }
    }
}

/// From whom, and of which type.
#[derive(Debug, clap::Args)]
pub struct Kinds {
    /// Component name, `*` stands for anything.
    #[arg(long)]
    component: Option<String>,
    /// Platform name.
    #[arg(long)]
    platform: Option<String>,
    /// App id of the authorizer.
    #[arg(long)]
    authorizer: Option<String>,
    /// Event type, as in `audit.*`.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

/// Which stored events.
#[derive(Debug, clap::Args)]
pub struct Which {
    #[command(flatten)]
    kinds: Kinds,
    /// Received since: RFC 3339, or how long ago (2h).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Received before: RFC 3339, or how long ago (30m).
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// With a delivery in that status: pending, held, delivered, dead, cancelled.
    #[arg(long)]
    status: Option<String>,
    /// Text that the event contains.
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
}

impl Kinds {
    /// As query parameters; the names are those of the service API.
    pub fn query(self) -> Query {
        let members = [("component", self.component), ("platform", self.platform), ("authorizer", self.authorizer), ("type", self.kind)];
        members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Which {
    /// As query parameters; the names are those of the service API.
    ///
    /// # Errors
    /// A time that is none.
    pub fn query(self) -> Result<Query, Failure> {
        let mut query = self.kinds.query();
        query.extend(self.since.map(|value| moment("since", &value)).transpose()?.map(|at| ("since", at)));
        query.extend(self.until.map(|value| moment("until", &value)).transpose()?.map(|at| ("until", at)));
        query.extend(self.status.map(|value| ("status", value)));
        query.extend(self.q.map(|value| ("q", value)));
        Ok(query)
    }
}

/// A moment, given as such or as how long ago.
pub fn moment(option: &str, text: &str) -> Result<String, Failure> {
    let ago = || duration(text).and_then(|ago| SystemClock.now().checked_sub(ago).ok());
    text.parse::<Timestamp>().ok().or_else(ago).map(|at| at.to_string()).ok_or_else(|| {
        Failure::usage(format!("--{option}: `{text}` is not a time"), "write 2026-11-20T08:00:00Z, or how long ago: 30m, 2h, 7d")
    })
}
