//! `yizhan events tail`: events as they come.

use serde_json::Value;

use super::Kinds;
use super::list::{component, text};
use crate::cli::client::{OPENING, Remote};
use crate::cli::failure::Failure;
use crate::cli::running::stop_asked;
use crate::cli::stream::Live;
use crate::cli::terminal::{Look, Terminal, plain};

/// Print events as they come.
#[derive(Debug, clap::Args)]
pub struct Tail {
    #[command(flatten)]
    kinds: Kinds,
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    remote: Remote,
}

/// Where a live stream begins and ends.
#[derive(Debug, clap::Args)]
pub struct From {
    /// Begin after this event (`evt_…`) instead of now.
    #[arg(long, value_name = "EVENT")]
    pub after: Option<String>,
    /// Stop after that many events.
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<u64>,
}

impl Tail {
    /// Prints them, one on a line, until Ctrl-C.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let mut live = Live::open(&client, terminal, self.kinds.query(), self.from.after, OPENING).await?;
        terminal.say(terminal.paint_talk(Look::Faint, "waiting for events; Ctrl-C ends"));
        let mut left = self.from.count.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(frame) = until_asked(live.next()).await.transpose()? else { return Ok(()) };
            if terminal.json {
                terminal.data(&frame.data)?;
            } else {
                terminal.data(summary(&serde_json::from_str(&frame.data).unwrap_or_default()))?;
            }
            left -= 1;
        }
        Ok(())
    }
}

/// One line about an event.
pub fn summary(event: &Value) -> String {
    let [received, kind, authorizer, id] = ["receivedat", "type", "subject", "id"].map(|member| text(event, member));
    let authorizer = if authorizer.is_empty() { String::from("-") } else { authorizer };
    plain(&format!("{received}  {kind:<22}  {}  {authorizer}  {id}", component(event)))
}

/// What comes next, or `None` when somebody asks the command to stop first, the ordinary end of watching.
pub async fn until_asked<T>(next: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        _ = stop_asked() => None,
        next = next => Some(next),
    }
}
