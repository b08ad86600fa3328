//! `yizhan simulate`: only the platforms, for one's own tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::failure::{Failure, hinted};
use super::running::{on_every_core, stop_asked};
use super::terminal::{Look, Terminal};
use crate::clock::SystemClock;
use crate::platform;
use crate::settings::duration;
use crate::simulator::auditors::Auditors;
use crate::simulator::fault::PushFaults;
use crate::simulator::{Manners, Simulator};

/// Pretend to be the platforms, for your own tests.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prints the [[components]] of a service that uses it: append them to its configuration. Merchants, audits, faults, quotas \
    and the clock are directed at /_sim, for example:\n  \
    curl -X POST http://127.0.0.1:9000/_sim/douyin/grant -H 'content-type: application/json' -d '{\"app_id\":\"tt0123456789abcdef\"}'\n  \
    curl -X POST http://127.0.0.1:9000/_sim/baidu/crowd -H 'content-type: application/json' -d '{\"count\":50}'\n  \
    curl http://127.0.0.1:9000/_sim/baidu/ledger"
)]
pub struct Simulate {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The service that pushes go to.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    provider: String,
    /// How often tickets are pushed; 0s: only when asked.
    #[arg(long, default_value = "10m", value_name = "SPAN")]
    ticket_every: String,
    /// How often a push that was not acknowledged is repeated.
    #[arg(long, default_value_t = Manners::default().retries)]
    retries: u32,
    /// Auditors end audits by themselves after so long; without it, each is ended at /_sim.
    #[arg(long, value_name = "SPAN")]
    audit_after: Option<String>,
    /// Audits among a hundred that those auditors reject.
    #[arg(long, value_name = "PERCENT", requires = "audit_after", value_parser = clap::value_parser!(u8).range(0..=100), default_value_t = 0)]
    reject: u8,
    /// Pushes among a hundred that get lost for good.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), default_value_t = 0)]
    lose: u8,
}

fn span(option: &str, text: &str) -> Result<Duration, Failure> {
    duration(text).ok_or_else(|| Failure::usage(format!("{option}: `{text}` is not a span of time"), "write 30s, 10m or 0s"))
}

impl Simulate {
    /// Runs until it is asked to stop.
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let ticket_every = span("--ticket-every", &self.ticket_every)?;
        let audit_after = self.audit_after.as_deref().map(|text| span("--audit-after", text)).transpose()?;
        let manners = Manners {
            retries: self.retries,
            ticket_every: Some(ticket_every).filter(|every| *every > Duration::ZERO),
            ..Manners::default()
        };
        on_every_core(async {
            let simulator = Simulator::start(self.listen, Arc::new(SystemClock), manners).await.map_err(|error| {
                anyhow::Error::from(hinted(error.to_string(), "another address: --listen 127.0.0.1:0 takes a free one"))
            })?;
            self.direct(&simulator, audit_after)?;
            simulator.connect(&self.provider);
            self.tell(terminal, &simulator)?;
            stop_asked().await?;
            simulator.stop();
            Ok(())
        })
    }

    /// What the vendors do by themselves.
    fn direct(&self, simulator: &Simulator, audit_after: Option<Duration>) -> anyhow::Result<()> {
        for platform in platform::ALL {
            if let Some(after) = audit_after {
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                let auditors = Auditors { after_ms, reject_percent: self.reject, ..Auditors::default() };
                simulator.employ(platform.name(), Some(auditors))?;
            }
            simulator.fail_pushes(platform.name(), PushFaults { lose_percent: self.lose, ..PushFaults::default() })?;
        }
        Ok(())
    }

    fn tell(&self, terminal: &Terminal, simulator: &Simulator) -> std::io::Result<()> {
        let stage_door = format!("http://{}/_sim", simulator.address());
        if terminal.json {
            let vendors: serde_json::Map<_, _> =
                platform::ALL.iter().map(|one| (one.name().to_owned(), simulator.vendor_url(one.name()).into())).collect();
            return terminal.json(&serde_json::json!({
                "address": simulator.address(), "stage_door": stage_door, "provider": self.provider,
                "vendors": vendors, "components": simulator.components_toml(),
            }));
        }
        terminal.say(format!("vendors at http://{}, pushes to {}, stories at {stage_door}", simulator.address(), self.provider));
        terminal.say(terminal.paint_talk(Look::Faint, "the components of a service that uses them follow; Ctrl-C ends"));
        terminal.data(simulator.components_toml().trim_end())
    }
}
