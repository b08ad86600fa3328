//! What the service says of itself: log lines on standard error, and metrics for Prometheus.
//!
//! Set up once by the command that serves. The rooms log with `tracing` and count with `metrics`; the names they may use are [`METRICS`].
//! Never holds content: no body, key, ticket, token or query string.

mod lines;
mod words;

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

pub use lines::{End, Lines};

use crate::shutdown::Shutdown;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The HTTP server calls every request that is no HTTP an error. Anybody can send one, and nobody has to act on it: it is answered 400 and closed.
const STRANGERS: &str = "actix_http::h1::dispatcher=off";

/// Whether a text is a level, or levels per module, as `RUST_LOG` has them.
#[must_use]
pub fn is_level(text: &str) -> bool {
    // A bare word that is no level would be taken for a module's name.
    let is_target = |part: &str| part.contains(['=', ':', '[']);
    let is_word = |part: &str| part.parse::<tracing::Level>().is_ok() || part.eq_ignore_ascii_case("off");
    !text.trim().is_empty() && text.split(',').all(|part| is_target(part) || is_word(part.trim())) && EnvFilter::try_new(text).is_ok()
}

/// Sends log lines to standard error from now on. `level` is that of the configuration; `RUST_LOG`, where set and valid, comes first.
/// Colour only on a terminal, and not where `NO_COLOR` is set. A second call in one process changes nothing.
/// The end is to be held for as long as the command runs: dropped, it writes what still waits.
pub fn log(format: Format, level: &str, rust_log: Option<&str>, no_color: bool) -> End {
    let level = rust_log.filter(|text| is_level(text)).unwrap_or(level);
    let filter = filter(level);
    let (lines, end) = Lines::to(std::io::stderr());
    // A subscriber that stands already is the caller's own (a test's): leave it.
    let _ = match format {
        Format::Text => text(filter, !no_color && std::io::stderr().is_terminal(), lines).try_init(),
        Format::Json => {
            let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()
        }
    };
    end
}

/// What of all lines is let through at that level. Whoever names the module of [`STRANGERS`] himself comes behind it and is heard.
#[must_use]
pub fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(format!("{STRANGERS},{level}")).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Lines for people. What vendors, handlers and callers say reaches some of them as it is (an error's words, a name), so every character
/// that commands a terminal, or that would begin a line of its own, is written out: one event is one line, whoever spoke.
pub fn text<W>(filter: EnvFilter, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).fmt_fields(words::Words).with_writer(writer).finish()
}

/// What kind of figure a metric is, with a histogram's upper bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counted by size.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind.
    pub kind: Kind,
    /// What it says, with its labels' values.
    pub help: &'static str,
}

/// From a fifth of a millisecond, a quick disk's fdatasync, to ten seconds.
const QUICK: &[f64] = &[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// A handler's time to answer, up to the longest attempt.
const ATTEMPT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Members of a group.
const GROUP: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help }
}

const fn histogram(name: &'static str, buckets: &'static [f64], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram(buckets), help }
}

/// Every metric of the service.
pub const METRICS: &[Metric] = &[
    counter("yizhan_pushes_total", "Pushes by outcome: fresh, duplicate, check, refused, unavailable"),
    histogram("yizhan_push_seconds", QUICK, "Time of a push by phase: open, store, total"),
    counter("yizhan_events_total", "Events stored, by normal type"),
    gauge("yizhan_ticket_age_seconds", "Age of the newest ticket"),
    gauge("yizhan_token_expires_seconds", "Time until the soonest token dies, by kind: component, authorizer"),
    counter("yizhan_refreshes_total", "Renewals of tokens by kind and outcome: ok, refused, unreachable, unknown, recovered"),
    counter("yizhan_tokens_served_total", "Tokens handed out"),
    gauge("yizhan_codes_waiting", "Authorization codes not exchanged yet"),
    gauge("yizhan_code_expires_seconds", "Time until the first unexchanged code dies"),
    counter("yizhan_deliveries_total", "Attempts of deliveries by outcome: delivered, failed, dead, gone"),
    histogram("yizhan_delivery_seconds", ATTEMPT, "Time of one attempt"),
    histogram("yizhan_delivery_lag_seconds", ATTEMPT, "Time from stored to answered by the handler, first attempts"),
    gauge("yizhan_oldest_undelivered_seconds", "Age of the oldest delivery that waits"),
    gauge("yizhan_undelivered", "Deliveries that wait"),
    gauge("yizhan_past_due_deliveries", "Deliveries that should have been tried by now"),
    gauge("yizhan_queue_depth", "Writes that wait, by queue: log, vault"),
    histogram("yizhan_commit_seconds", QUICK, "Time of one durable commit, by store: log, vault"),
    gauge("yizhan_commit_running_seconds", "How long the present commit takes already, by store: log, vault"),
    histogram("yizhan_commit_group", GROUP, "Writes in one durable commit, by store: log, vault"),
    counter("yizhan_reconcile_looks_total", "Looks for what lost pushes would have told, by look and outcome: ok, incomplete"),
    counter("yizhan_reconcile_found_total", "What those looks found that no push had told, by look"),
    gauge("process_start_time_seconds", "When this process started, in seconds since 1970"),
    gauge("yizhan_retention_timestamp_seconds", "When the last round of retention that has ended began, in seconds since 1970"),
    counter("yizhan_log_lines_lost_total", "Log lines that nobody took and for which there was no more room"),
    gauge("yizhan_events_lost", "Acknowledged events that damage of the disk took"),
    gauge("yizhan_rollout_items", "Authorizers of rollouts at work, by stage"),
    counter("yizhan_http_requests_total", "Requests by route and status"),
    histogram("yizhan_http_seconds", ATTEMPT, "Time of a request by route"),
];

/// Where the metrics of this process are read. The first call installs the recorder, which a process can have only one of;
/// later calls answer the same handle.
pub fn metrics() -> PrometheusHandle {
    // The recorder of the `metrics` crate is the process's own by that crate's design; its handle has to be as lasting.
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = recorder();
            let handle = recorder.handle();
            // Fails only where a host program brought its own recorder: then it, not we, is asked for the figures.
            let _ = metrics::set_global_recorder(recorder);
            handle
        })
        .clone()
}

/// A recorder of its own, with every metric described; for tests, with [`metrics::with_local_recorder`].
#[must_use]
pub fn recorder() -> metrics_exporter_prometheus::PrometheusRecorder {
    let builder = METRICS.iter().fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(buckets) => builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets).unwrap_or_default(),
        _ => builder,
    });
    let recorder = builder.build_recorder();
    metrics::with_local_recorder(&recorder, || {
        for Metric { name, kind, help } in METRICS.iter().copied() {
            match kind {
                Kind::Counter => describe_counter!(name, help),
                Kind::Gauge => describe_gauge!(name, help),
                Kind::Histogram(_) => describe_histogram!(name, help),
            }
        }
    });
    recorder
}

/// Keeps the figures of histograms small while nobody reads them, until shutdown.
pub async fn upkeep(handle: PrometheusHandle, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            _ = ticks.tick() => handle.run_upkeep(),
            () = shutdown.requested() => return,
        }
    }
}
