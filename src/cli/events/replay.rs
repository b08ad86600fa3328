//! `yizhan events replay`: one event, or all that fit a filter as a job that is watched from here.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Which;
use super::list::text;
use crate::cli::client::{Client, Query, Remote};
use crate::cli::failure::Failure;
use crate::cli::terminal::Terminal;

/// Send events again: one, or all that fit a filter.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without an id, a filter says which events; what it finds is counted and asked about first.\n\
    A --subscription is sent only what its events and components want; --q needs a key that may read events, too.\n\
    --status goes by the own deliveries of whom the events are sent to; a --subscription that has none of an event stands in for one that is gone.\n\
    The job goes on in the service when this command is interrupted: name its id (`rpl_…`) to watch it again.")]
pub struct Replay {
    /// An event (`evt_…`) to send again, or a job (`rpl_…`) to watch.
    id: Option<String>,
    #[command(flatten)]
    which: Which,
    /// Only to this subscription, and only what it wants; without it to all that match.
    #[arg(long)]
    subscription: Option<String>,
    /// Events per second at most.
    #[arg(long, default_value_t = 100, conflicts_with = "id")]
    rate: u32,
    /// Only count.
    // One event is not counted and a job was: beside an id it would be taken for a promise that nothing is sent.
    #[arg(long, conflicts_with = "id")]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Cancel the job, pause it, or let it go on.
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["dry_run", "subscription"])]
    job: Option<Change>,
    #[command(flatten)]
    remote: Remote,
}

/// What becomes of a job.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Change {
    /// For good.
    Cancel,
    /// Until it is resumed.
    Pause,
    /// Go on.
    Resume,
}

impl Change {
    const fn address(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

impl Replay {
    /// Sends, counts, watches or cancels.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let filter = self.which.query()?;
        match self.id {
            Some(_) if !filter.is_empty() => Err(Failure::usage("an id and a filter", "name one event, or say which events fit")),
            Some(id) if id.starts_with("rpl_") && self.subscription.is_some() => {
                Err(Failure::usage(format!("{id} is a job: whom it sends to was said when it began"), "leave --subscription out"))
            }
            Some(id) if id.starts_with("rpl_") => match self.job {
                Some(change) => done(terminal, &client.post(&["v1", "replays", &id, change.address()], &json!({})).await?),
                None => watch(terminal, &client, &id).await,
            },
            _ if self.job.is_some() => Err(Failure::usage("--job without a job", "name it: rpl_…")),
            Some(id) => {
                let body = self.subscription.map_or_else(|| json!({}), |subscription| json!({ "subscription": subscription }));
                let answer = client.post(&["v1", "events", &id, "replay"], &body).await?;
                let wanted = answer.get("deliveries").and_then(Value::as_array).is_none_or(|deliveries| !deliveries.is_empty());
                terminal.say(format!("{id} {}", if wanted { "is on its way again" } else { "was not sent: no subscription wants it" }));
                if terminal.json { Ok(terminal.json(&answer)?) } else { Ok(()) }
            }
            None if filter.is_empty() => Err(Failure::usage(
                "neither an id nor a filter",
                "name an event, or say which: --type 'audit.*' --since 2h; everything: --type '*'",
            )),
            None => {
                let mut job = job(filter, self.subscription, self.rate);
                job.insert(String::from("dry_run"), true.into());
                let preview = client.preview(&["v1", "replays"], &Value::Object(job.clone())).await?;
                if self.dry_run {
                    return if terminal.json {
                        Ok(terminal.json(&preview)?)
                    } else {
                        Ok(terminal.data(format!("{} events", text(&preview, "matched")))?)
                    };
                }
                terminal.confirm(&format!("send {} events again?", text(&preview, "matched")), self.yes).await?;
                job.insert(String::from("dry_run"), false.into());
                let started = client.post(&["v1", "replays"], &Value::Object(job)).await?;
                watch(terminal, &client, &text(&started, "id")).await
            }
        }
    }
}

fn job(filter: Query, subscription: Option<String>, rate: u32) -> Map<String, Value> {
    let filter: Map<String, Value> = filter.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let mut job = Map::from_iter([(String::from("filter"), Value::Object(filter)), (String::from("rate"), rate.into())]);
    job.extend(subscription.map(|subscription| (String::from("subscription"), subscription.into())));
    job
}

/// Shows how far a job is until it is over.
async fn watch(terminal: &Terminal, client: &Client, id: &str) -> Result<(), Failure> {
    let mut progress = terminal.progress();
    loop {
        let state = client.get(&["v1", "replays", id], &Query::new()).await?;
        if !matches!(text(&state, "state").as_str(), "running" | "paused") {
            drop(progress);
            return done(terminal, &state);
        }
        progress.at(&line(&state));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn done(terminal: &Terminal, state: &Value) -> Result<(), Failure> {
    Ok(if terminal.json { terminal.json(state) } else { terminal.data(line(state)) }?)
}

/// Events that matched, and deliveries made of them so far: one for each subscription that wants an event.
fn line(job: &Value) -> String {
    let [id, state, matched, enqueued, delivered, dead] =
        ["id", "state", "matched", "enqueued", "delivered", "dead"].map(|member| text(job, member));
    let damaged = match job.get("unreadable").and_then(Value::as_u64) {
        None | Some(0) => String::new(),
        Some(events) => format!(", {events} passed over because they are damaged"),
    };
    format!("{id} {state}: {matched} events, {enqueued} deliveries enqueued, {delivered} delivered, {dead} dead{damaged}")
}
