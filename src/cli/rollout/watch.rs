//! `yizhan rollout watch`: how far a rollout is, again and again, until it ends.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::board::{self, Pace};
use super::progress::Progress;
use super::status;
use crate::cli::client::{Client, Query, Remote};
use crate::cli::events::list::{all_pages, text};
use crate::cli::events::tail::until_asked;
use crate::cli::failure::{Failure, is_temporary};
use crate::cli::terminal::{Look, Terminal, plain};

/// Watch a rollout until it ends.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0: it is done and nobody failed; 1: somebody failed, or it was stopped, cancelled or not seen to its end.\n\
    Ctrl-C ends the watching, not the rollout. With --json, a line for each change."
)]
pub struct Watch {
    /// Its id (`rol_…`).
    id: String,
    #[command(flatten)]
    remote: Remote,
}

/// How often the service is asked.
const EVERY: Duration = Duration::from_secs(1);
/// Newest failures shown.
const FAILURES: usize = 3;

impl Watch {
    /// Watches.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        watch(terminal, &self.remote.client()?, &self.id).await
    }
}

/// Watches until the rollout ends or the person has seen enough.
pub async fn watch(terminal: &Terminal, client: &Client, id: &str) -> Result<(), Failure> {
    let Some((progress, answer)) = seen(terminal, client, id, Progress::is_over).await? else { return Err(Failure::Told(1)) };
    if !terminal.json {
        status::tell(terminal, &progress, &answer)?;
    }
    if progress.state == "stopped" {
        let id = plain(&progress.id);
        terminal.say(format!("it stopped itself; look at the reasons, then: yizhan rollout resume {id}, retry {id} or cancel {id}"));
    }
    if progress.went_well() { Ok(()) } else { Err(Failure::Told(1)) }
}

/// Shows how far it is until that holds of it; nothing when the person has seen enough before.
pub async fn seen(
    terminal: &Terminal,
    client: &Client,
    id: &str,
    is_enough: fn(&Progress) -> bool,
) -> anyhow::Result<Option<(Progress, Value)>> {
    match until_asked(follow(terminal, client, id, is_enough)).await {
        Some(seen) => seen.map(Some),
        None => {
            terminal.say(format!("the rollout goes on in the service; come back with: yizhan rollout watch {}", plain(id)));
            Ok(None)
        }
    }
}

/// A service that does not answer, as while it is restarted, is asked again.
async fn follow(terminal: &Terminal, client: &Client, id: &str, is_enough: fn(&Progress) -> bool) -> anyhow::Result<(Progress, Value)> {
    let (mut board, mut pace) = (terminal.board(), Pace::default());
    let (mut shown, mut failures, mut silent) = (None, Vec::new(), false);
    loop {
        let answer = match client.get(&["v1", "rollouts", id], &Query::new()).await {
            Ok(answer) => answer,
            Err(error) if shown.is_some() && is_temporary(&error) => {
                if !std::mem::replace(&mut silent, true) {
                    board.aside(&terminal.paint_talk(Look::Warning, "the service does not answer; asking again"));
                }
                tokio::time::sleep(EVERY).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        silent = false;
        let progress = Progress::read(&answer)?;
        pace.note(Instant::now(), progress.gone_through());
        let is_news = shown.as_ref() != Some(&progress);
        if is_news && shown.as_ref().map_or(0, Progress::unwell) != progress.unwell() {
            failures = newest_failures(client, id).await.unwrap_or(failures);
        }
        match terminal.json {
            true if is_news => terminal.json(&answer)?,
            true => {}
            false => {
                let lines: Vec<String> = board::lines(&progress, &pace, &answer, &failures).iter().map(|line| plain(line)).collect();
                board.show(&lines, &plain(&board::line(&progress, &pace)));
            }
        }
        if is_enough(&progress) {
            return Ok((progress, answer));
        }
        shown = Some(progress);
        tokio::time::sleep(EVERY).await;
    }
}

/// Merchants where it did not work, the latest first.
async fn newest_failures(client: &Client, id: &str) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for stage in ["failed", "rejected"] {
        let query = vec![("stage", stage.to_owned())];
        found.extend(all_pages(client, &["v1", "rollouts", id, "items"], query, usize::MAX).await?.items);
    }
    found.sort_by_key(|item| std::cmp::Reverse(text(item, "updated_at")));
    found.truncate(FAILURES);
    Ok(found)
}
