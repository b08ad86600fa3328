//! `yizhan listen`: live events to a handler on this machine, as the service would deliver them.

use std::time::{Duration, Instant};

use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use super::client::{OPENING, Remote};
use super::events::Kinds;
use super::events::list::text;
use super::events::tail::{From, summary, until_asked};
use super::failure::Failure;
use super::stream::Live;
use super::terminal::{Look, Terminal};
use crate::clock::{Clock, SystemClock};
use crate::fanout::signature::Signer;
use crate::secret::Secret;

/// Bring live events to a handler on this machine.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each event is posted once, in order, with the body that a subscription would get. A handler that fails is shown, not retried."
)]
pub struct Listen {
    /// Where to post events, as in http://127.0.0.1:3000/hooks.
    #[arg(long, value_name = "URL")]
    forward_to: String,
    /// Sign as this secret's subscription would (whsec_…), for handlers that verify.
    #[arg(long, env = "YIZHAN_LISTEN_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
    /// Time that the handler has to answer, in seconds.
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    kinds: Kinds,
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    remote: Remote,
}

impl Listen {
    /// Forwards until Ctrl-C.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let target = Url::parse(&self.forward_to).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let target = target.ok_or_else(|| {
            Failure::usage(
                format!("--forward-to: `{}` is not an http or https address", self.forward_to),
                "write http://127.0.0.1:3000/hooks",
            )
        })?;
        let signer = self.secret.filter(|secret| !secret.is_empty()).map(|secret| Signer::new(&Secret::new(secret))).transpose();
        let signer = signer.map_err(|error| Failure::usage(format!("--secret {error}"), "write the subscription's secret: whsec_…"))?;
        let client = self.remote.client()?;
        let handler = Handler::new(target, signer, Duration::from_secs(self.timeout.max(1)))?;
        let mut live = Live::open(&client, terminal, self.kinds.query(), self.from.after, OPENING).await?;
        terminal.say(terminal.paint_talk(Look::Faint, &format!("forwarding events to {}; Ctrl-C ends", self.forward_to)));

        let mut left = self.from.count.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(frame) = until_asked(live.next()).await.transpose()? else { return Ok(()) };
            let event: Value = serde_json::from_str(&frame.data).unwrap_or_default();
            let begun = Instant::now();
            let Some(answer) = until_asked(handler.post(&text(&event, "id"), frame.data)).await else { return Ok(()) };
            let took = begun.elapsed().as_millis();
            if terminal.json {
                let (status, error) = (answer.as_ref().ok().map(StatusCode::as_u16), answer.as_ref().err());
                terminal.json(
                    &json!({ "event": event.get("id"), "type": event.get("type"), "status": status, "error": error, "duration_ms": took }),
                )?;
            } else {
                let answer = match answer {
                    Ok(status) if status.is_success() => terminal.paint(Look::Good, status.as_str()),
                    Ok(status) => terminal.paint(Look::Bad, status.as_str()),
                    Err(error) => terminal.paint(Look::Bad, &error),
                };
                terminal.data(format!("{}  -> {answer} ({took} ms)", summary(&event)))?;
            }
            left -= 1;
        }
        Ok(())
    }
}

/// The person's handler.
struct Handler {
    http: reqwest::Client,
    url: Url,
    /// Signs what is posted, where the person gave a secret.
    signer: Option<Signer>,
}

impl Handler {
    fn new(url: Url, signer: Option<Signer>, timeout: Duration) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { http, url, signer })
    }

    /// One try: the status, or what went wrong in words.
    async fn post(&self, event: &str, body: String) -> Result<StatusCode, String> {
        let request = self.http.post(self.url.clone()).header(header::CONTENT_TYPE, "application/cloudevents+json");
        let mut request = request.header("webhook-id", event).header("yizhan-attempt", "1").header("yizhan-subscription", "listen");
        if let Some(signer) = &self.signer {
            let timestamp = SystemClock.now().as_second().to_string();
            let signature = signer.sign(event, &timestamp, body.as_bytes());
            request = request.header("webhook-timestamp", timestamp).header("webhook-signature", signature);
        }
        match request.body(body).send().await {
            Ok(answer) => Ok(answer.status()),
            Err(error) if error.is_timeout() => Err(String::from("no answer in time")),
            Err(error) if error.is_connect() => Err(String::from("no connection")),
            Err(error) => Err(error.without_url().to_string()),
        }
    }
}
