//! `yizhan deliveries`: what is on its way, what failed, and trying it again.

use serde_json::{Value, json};

use super::client::{Client, Query, Remote};
use super::events::list::{all_pages, text};
use super::events::moment;
use super::failure::{Failure, hinted, is_of_one};
use super::table::Table;
use super::terminal::Terminal;

/// Events on their way to subscriptions.
#[derive(Debug, clap::Subcommand)]
pub enum Deliveries {
    /// List deliveries, newest first.
    List(List),
    /// Print one delivery with its attempts.
    Show(Show),
    /// Try deliveries again now: those named, or all that fit a filter.
    Retry(Retry),
}

/// Which deliveries.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Status: pending, held, delivered, dead, cancelled.
    #[arg(long)]
    status: Option<String>,
    /// Subscription name.
    #[arg(long)]
    subscription: Option<String>,
    /// Event (`evt_…`).
    #[arg(long)]
    event: Option<String>,
    /// Enqueued since: RFC 3339, or how long ago (2h).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Enqueued before.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Which {
    fn query(self) -> Result<Query, Failure> {
        let mut query = Query::new();
        query.extend(self.status.map(|value| ("status", value)));
        query.extend(self.subscription.map(|value| ("subscription", value)));
        query.extend(self.event.map(|value| ("event", value)));
        query.extend(self.since.map(|value| moment("since", &value)).transpose()?.map(|at| ("since", at)));
        query.extend(self.until.map(|value| moment("until", &value)).transpose()?.map(|at| ("until", at)));
        Ok(query)
    }
}

/// List deliveries, newest first.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    which: Which,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

/// Print one delivery with its attempts.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The delivery (`dlv_…`).
    id: String,
    #[command(flatten)]
    remote: Remote,
}

/// Try deliveries again now.
#[derive(Debug, clap::Args)]
pub struct Retry {
    /// Deliveries (`dlv_…`).
    ids: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    remote: Remote,
}

const PATH: [&str; 2] = ["v1", "deliveries"];

impl Deliveries {
    /// Carries it out.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::List(List { which, limit, remote }) => {
                let list = all_pages(&remote.client()?, &PATH, which.query()?, limit).await?;
                if terminal.json {
                    terminal.json(&list)?;
                    return Ok(());
                }
                let mut table = Table::new(&["ID", "STATUS", "SUBSCRIPTION", "ATTEMPTS", "NEXT ATTEMPT", "EVENT"]);
                for item in &list.items {
                    table.row(["id", "status", "subscription", "attempts", "next_attempt_at", "event_id"].map(|member| text(item, member)));
                }
                table.print(terminal)?;
                list.say_if_more(terminal);
                Ok(())
            }
            Self::Show(Show { id, remote }) => {
                let delivery = remote.client()?.get(&["v1", "deliveries", &id], &Query::new()).await?;
                Ok(terminal.document(&delivery)?)
            }
            Self::Retry(retry) => retry.run(terminal).await,
        }
    }
}

impl Retry {
    async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let filter = self.which.query()?;
        let ids = match (self.ids.is_empty(), filter.is_empty()) {
            (false, true) => self.ids,
            (true, false) => {
                let found = all_pages(&client, &PATH, filter, usize::MAX).await?;
                terminal.confirm(&format!("try {} deliveries again?", found.items.len()), self.yes).await?;
                found.items.iter().map(|item| text(item, "id")).collect()
            }
            (true, true) => {
                return Err(Failure::usage(
                    "no delivery named",
                    "name deliveries (dlv_…), or say which: --status dead --subscription NAME",
                ));
            }
            (false, false) => return Err(Failure::usage("deliveries and a filter", "name deliveries, or say which fit")),
        };
        let mut progress = terminal.progress();
        let (mut retried, mut refused, mut ended) = (Vec::with_capacity(ids.len()), Vec::new(), None);
        for id in &ids {
            progress.at(&format!("{} of {} deliveries", retried.len() + refused.len(), ids.len()));
            match retry(&client, id).await {
                Ok(delivery) => retried.push(delivery),
                // The others may well be tried again.
                Err(error) if is_of_one(&error) => refused.push((id, error)),
                Err(error) => {
                    ended = Some(error);
                    break;
                }
            }
        }
        drop(progress);
        for (id, error) in &refused {
            terminal.say(format!("{id}: {error:#}"));
        }
        if ended.is_some() && retried.is_empty() && refused.is_empty() {
            // Nothing was done that could be told.
        } else if terminal.json {
            let refused: Vec<Value> = refused.iter().map(|(id, error)| json!({ "id": id, "error": format!("{error:#}") })).collect();
            terminal.json(&json!({ "items": retried, "refused": refused }))?;
        } else {
            terminal.data(format!("{} deliveries are on their way again", retried.len()))?;
        }
        let told = format!("{} of {} deliveries were not tried again", ids.len() - retried.len(), ids.len());
        match ended {
            Some(error) => Err(error.context(told).into()),
            None if refused.is_empty() => Ok(()),
            None => Err(Failure::Failed(hinted(told, "each is named above with the reason").into())),
        }
    }
}

async fn retry(client: &Client, id: &str) -> anyhow::Result<Value> {
    client.post(&["v1", "deliveries", id, "retry"], &json!({})).await
}
