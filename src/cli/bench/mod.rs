//! `yizhan bench`: how fast the service is on this machine, held against what the machine can do at all.
//!
//! Runs the service as `serve` does, a bare server and the vendors' twins, all on the loopback address, and measures service and ceiling in turn in
//! short slices, so that whatever else the machine does hits both. Bounded in count and time. It speaks to the service by HTTP only.

mod api;
mod deliver;
mod figures;
mod instructions;
mod load;
mod page;
mod parts;
mod push;
mod pushes;
mod report;
mod scale;
mod token;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::running::{on_every_core, stop_asked};
use super::terminal::Terminal;
use parts::Part;
use world::World;

/// Measure this machine's disk and HTTP, and the service against them.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Everything stays on the loopback address and in a folder that is removed. With --json the last line on standard output is the result; \
                  `ratios` holds for each kind the worst of its concurrencies. Figures hold for this machine and this moment; the ratios travel."
)]
pub struct Bench {
    #[command(subcommand)]
    part: Option<Part>,
    /// A quick look: few requests, a small store.
    #[arg(long)]
    short: bool,
    /// A million events of a hundred thousand authorizers, and everything that --scale measures. Takes five to ten minutes and some GB of disk.
    #[arg(long, conflicts_with = "short")]
    full: bool,
    /// Measure starts, memory, disk and retention too.
    #[arg(long)]
    scale: bool,
    /// Measure what --scale does, and count the instructions of a push in a small store and in the full one, which do not depend on what else the
    /// machine does. Needs valgrind, and some minutes more.
    #[arg(long)]
    instructions: bool,
    /// Events in the store before anything is measured.
    #[arg(long, value_name = "NUMBER")]
    events: Option<usize>,
    /// Authorizers whose tokens are held.
    #[arg(long, value_name = "NUMBER")]
    authorizers: Option<usize>,
    /// Measure these only.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    only: Vec<Kind>,
    /// Where the store is made; what matters is on which disk it is [default: the system's folder for temporary files].
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Real envelopes of the four platforms: verified, decrypted, durable, acknowledged.
    Push,
    /// A held token, with an API key.
    Token,
    /// From stored to answered by the handler.
    Deliver,
    /// A page of an authorizer's events.
    Page,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Slices of service and ceiling each.
    pub rounds: usize,
    /// Pushes in a slice.
    pub pushes: usize,
    /// Pushes in a slice, one at a time.
    pub alone: usize,
    /// Requests for tokens in a slice.
    pub tokens: usize,
    /// Deliveries in a slice.
    pub deliveries: usize,
    /// Pages in a slice.
    pub pages: usize,
    /// Connections, for pushes and tokens.
    pub connections: &'static [usize],
    /// Attempts under way at a time.
    pub concurrencies: &'static [usize],
    /// Events in the store.
    pub events: usize,
    /// Authorizers.
    pub authorizers: usize,
    /// How long the service is left alone while its rest is looked at.
    pub rest: Duration,
    /// Retention must have given its space back after this.
    pub back_within: Duration,
}

impl Plan {
    fn of(bench: &Bench) -> Self {
        let plan = match (bench.short, bench.full) {
            (true, _) => Self {
                rounds: 1,
                pushes: 200,
                alone: 20,
                tokens: 400,
                deliveries: 100,
                pages: 50,
                connections: &[16],
                concurrencies: &[16],
                events: 400,
                authorizers: 12,
                rest: Duration::from_secs(1),
                back_within: Duration::from_secs(2),
            },
            (_, full) => Self {
                rounds: 7,
                pushes: 6000,
                alone: 300,
                tokens: 20_000,
                deliveries: 3000,
                pages: 500,
                connections: &[64, 256],
                concurrencies: &[16, 64],
                events: if full { 1_000_000 } else { 20_000 },
                authorizers: if full { 100_000 } else { 300 },
                rest: Duration::from_secs(10),
                back_within: Duration::from_secs(60),
            },
        };
        Self { events: bench.events.unwrap_or(plan.events), authorizers: bench.authorizers.unwrap_or(plan.authorizers).max(3), ..plan }
    }
}

impl Bench {
    /// Runs the command.
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self.part {
            Some(part) => part.play(terminal),
            None => on_every_core(async {
                tokio::select! {
                    measured = self.measure(terminal) => Ok(measured?),
                    // What was begun is dropped: its processes are killed and its folder goes.
                    asked = stop_asked() => {
                        asked?;
                        Err(Failure::Interrupted)
                    }
                }
            }),
        }
    }

    async fn measure(&self, terminal: &Terminal) -> anyhow::Result<()> {
        if self.instructions {
            instructions::look_for_valgrind()?;
        }
        let plan = Plan::of(self);
        let asked = |kind: Kind| self.only.is_empty() || self.only.contains(&kind);
        let mut world = World::make(self.store.as_deref(), plan, terminal).await?;
        let mut found =
            Map::from_iter([(String::from("machine"), world.machine.clone()), (String::from("settings"), report::settings(&world.plan))]);
        let mut small = None;
        if self.scale || self.full || self.instructions {
            small = Some(scale::cost_in_a_small_store(&mut world, self.instructions).await?);
        }
        world.fill().await?;
        let mut ratios = Map::new();
        let mut note = |name: &str, (value, ratio): (Value, Option<f64>)| {
            if let Some(ratio) = ratio {
                ratios.insert(name.to_owned(), json!(figures::rounded(ratio, 3)));
            }
            found.insert(name.to_owned(), value);
        };
        if asked(Kind::Push) {
            note("push", push::measure(&mut world).await?);
        }
        if asked(Kind::Token) {
            note("token", token::measure(&world).await?);
        }
        if asked(Kind::Deliver) {
            note("deliver", deliver::measure(&mut world).await?);
        }
        if asked(Kind::Page) {
            note("page", (page::measure(&world).await?, None));
        }
        if let Some(small) = small {
            note("scale", (scale::measure(&mut world, small).await?, None));
        }
        found.insert(String::from("ratios"), Value::Object(ratios));
        world.end();
        let found = Value::Object(found);
        if terminal.json {
            terminal.json(&found)?
        } else {
            terminal.data(report::text(&found))?
        }
        Ok(())
    }
}
