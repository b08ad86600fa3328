//! `[server]`, `[store]`, `[fanout]`, `[rollout]` and `[log]`. Their defaults are laid beneath before they get here (`load`), so the fallbacks that the
//! readers of [`Settings`] want stand only for values that are refused, and never reach a [`super::Config`].

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{Fanout, Log, Rollout, Server, Store};
use crate::envelope::cbc;
use crate::reconcile;
use crate::secret::Secret;
use crate::settings::{Problem, Settings, duration};
use crate::telemetry::{self, Format};

const KIB: i64 = 1024;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86400);

/// `[server]`.
pub(super) fn server(root: &mut Settings) -> Option<Server> {
    let mut table = root.table("server");
    let listen = table.text("listen").and_then(|text| match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            table.problem("listen", "is not an address with a port", "write it as 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080");
            None
        }
    });
    let public_url = table.url_or("public_url", "");
    if public_url.contains(['?', '#']) {
        table.problem("public_url", "has a query or a fragment", "write scheme, host and perhaps a path: https://post.example.com");
    }
    let server = Server {
        listen: listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into()),
        public_url,
        max_push_bytes: size(&mut table, "max_push_bytes", KIB..=16 * KIB * KIB),
        max_body_bytes: size(&mut table, "max_body_bytes", KIB..=64 * KIB * KIB),
        max_connections: size(&mut table, "max_connections", 1..=1_000_000),
        client_timeout: span(&mut table, "client_timeout", SECOND..=10 * MINUTE),
        shutdown_grace: span(&mut table, "shutdown_grace", Duration::ZERO..=10 * MINUTE),
        rejected_keep: size(&mut table, "rejected_keep", 0..=1_000_000),
        rejected_retention: span(&mut table, "rejected_retention", MINUTE..=3650 * DAY),
        trusted_proxies: networks(&mut table, "trusted_proxies"),
    };
    root.problems(table.finish());
    listen.map(|_| server)
}

/// `[store]`.
pub(super) fn store(root: &mut Settings) -> Option<Store> {
    let mut table = root.table("store");
    let path = store_path(&mut table);
    let master_key = master_key(&mut table);
    let previous_master_keys = table.secrets("previous_master_keys");
    if !previous_master_keys.iter().all(is_master_key) {
        table.problem("previous_master_keys", "has a key that is not 32 bytes in base64", "write the keys as they were in master_key");
    }
    let retention = span(&mut table, "retention", HOUR..=3650 * DAY);
    let dedupe_retention = span(&mut table, "dedupe_retention", HOUR..=3650 * DAY);
    let cache_bytes = table.number_or("cache_bytes", KIB, KIB * KIB..=1024 * KIB * KIB * KIB);
    root.problems(table.finish().into_iter().map(how_to_make_a_master_key));
    Some(Store {
        path: path?,
        master_key: master_key?,
        previous_master_keys,
        retention,
        dedupe_retention,
        cache_bytes: u64::try_from(cache_bytes).unwrap_or_default(),
    })
}

/// Its folder.
pub(super) fn store_path(table: &mut Settings) -> Option<PathBuf> {
    let url = table.text("url")?;
    if let Some(path) = url.strip_prefix("file:") {
        // Both `file:./folder` and the three slashes of a full file URL.
        let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
        if !path.is_empty() && !path.starts_with("//") {
            return Some(table.folder().join(path));
        }
        table.problem("url", "names no folder", "write file: and a folder, as in file:./yizhan-data or file:///var/lib/yizhan");
    } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        table.problem("url", "names PostgreSQL, which this version cannot use yet", "write file: and a folder, as in file:./yizhan-data");
    } else {
        table.problem("url", "is not a store that this version knows", "write file: and a folder, as in file:./yizhan-data");
    }
    None
}

fn master_key(table: &mut Settings) -> Option<Secret> {
    let key = table.secret("master_key")?;
    if !is_master_key(&key) {
        table.problem("master_key", "is not 32 bytes in base64", "take the right key");
        return None;
    }
    Some(key)
}

/// Whoever meets the master key for the first time needs to be told how one is made, whatever the cause.
fn how_to_make_a_master_key(mut problem: Problem) -> Problem {
    if problem.at == "store.master_key" {
        problem.hint = format!("{}; `yizhan init` makes one, and so does `openssl rand -base64 32`: keep it safe", problem.hint);
    }
    problem
}

fn is_master_key(key: &Secret) -> bool {
    cbc::key(key.expose()).is_ok_and(|bytes| bytes.len() == 32)
}

/// `[fanout]`.
pub(super) fn fanout(root: &mut Settings) -> Fanout {
    let mut table = root.table("fanout");
    let fanout = Fanout {
        retry: spans(&mut table, "retry"),
        timeout: span(&mut table, "timeout", Duration::from_millis(50)..=2 * MINUTE),
        concurrency: u32::try_from(table.number_or("concurrency", 1, 1..=256)).unwrap_or_default(),
        allow_private: networks(&mut table, "allow_private"),
    };
    root.problems(table.finish());
    fanout
}

/// `[rollout]`.
pub(super) fn rollout(root: &mut Settings) -> Rollout {
    let mut table = root.table("rollout");
    let number = |table: &mut Settings, key: &str| u32::try_from(table.number_or(key, 1, 1..=256)).unwrap_or_default();
    let rollout = Rollout {
        poll: span(&mut table, "poll", Duration::from_millis(100)..=DAY),
        quota_pause: span(&mut table, "quota_pause", SECOND..=7 * DAY),
        longest_pause: span(&mut table, "longest_pause", SECOND..=DAY),
        concurrency: number(&mut table, "concurrency"),
        most: number(&mut table, "most"),
        rate: u32::try_from(table.number_or("rate", 0, 0..=1000)).unwrap_or_default(),
        retention: span(&mut table, "retention", HOUR..=3650 * DAY),
    };
    root.problems(table.finish());
    rollout
}

fn networks(table: &mut Settings, key: &str) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in table.texts(key) {
        match text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| IpNet::from(address))) {
            Ok(network) => networks.push(network),
            Err(_) => table.problem(key, format!("`{text}` is not a network"), "write CIDRs, as in [\"10.0.0.0/8\", \"fd00::/8\"]"),
        }
    }
    networks
}

/// `[reconcile]`. What the log forgets of messages bounds what is asked of vendors' lists of pushes.
pub(super) fn reconcile(root: &mut Settings, store: Option<&Store>) -> reconcile::Options {
    let mut table = root.table("reconcile");
    let options = reconcile::Options {
        enabled: table.flag_or("enabled", true),
        missed_every: span(&mut table, "missed_every", MINUTE..=DAY),
        grants_every: span(&mut table, "grants_every", 10 * MINUTE..=7 * DAY),
        audit_after: span(&mut table, "audit_after", MINUTE..=7 * DAY),
        audit_longest_pause: span(&mut table, "audit_longest_pause", MINUTE..=7 * DAY),
        audit_give_up: span(&mut table, "audit_give_up", DAY..=365 * DAY),
        remembered: store.map_or(DAY, |store| store.dedupe_retention),
    };
    root.problems(table.finish());
    options
}

/// `[log]`.
pub(super) fn log(root: &mut Settings) -> Option<Log> {
    let mut table = root.table("log");
    let format = match table.choice_or("format", "text", &["text", "json"]) {
        "json" => Format::Json,
        _ => Format::Text,
    };
    let level = table.text("level");
    if level.as_deref().is_some_and(|level| !telemetry::is_level(level)) {
        table.problem("level", "is not a level", "write error, warn, info, debug or trace, or per module: info,yizhan::fanout=debug");
    }
    root.problems(table.finish());
    Some(Log { format, level: level? })
}

fn size(table: &mut Settings, key: &str, range: RangeInclusive<i64>) -> usize {
    usize::try_from(table.number_or(key, *range.start(), range)).unwrap_or_default()
}

/// A number; whether it is in range is for others to say.
pub(super) fn count(table: &mut Settings, key: &str) -> u32 {
    u32::try_from(table.number_or(key, 1, 0..=i64::from(u32::MAX))).unwrap_or_default()
}

/// A span of time within bounds.
fn span(table: &mut Settings, key: &str, range: RangeInclusive<Duration>) -> Duration {
    let span = table.duration_or(key, *range.start());
    if !range.contains(&span) {
        table.problem(key, "is out of range", format!("write a span of time from {:?} to {:?}", range.start(), range.end()));
    }
    span
}

/// A retry table: at most 32 waits of at most a week.
pub(super) fn spans(table: &mut Settings, key: &str) -> Vec<Duration> {
    let texts = table.texts(key);
    let spans: Vec<Duration> = texts.iter().filter_map(|text| duration(text)).filter(|span| *span <= 7 * DAY).collect();
    if spans.len() != texts.len() || spans.len() > 32 {
        table.problem(key, "is not a list of waits", "write at most 32 spans of time of at most 7d: [\"5s\", \"2m\", \"1h\"]");
    }
    spans
}
