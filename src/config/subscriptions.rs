//! `[[subscriptions]]` of the file.

use std::collections::BTreeSet;

use base64::Engine;

use super::api_keys::known;
use super::sections::{ATTEMPT, CONCURRENCY, count, span, spans};
use crate::clock::Timestamp;
use crate::event_type::{EventType, Glob};
use crate::fanout::Subscription;
use crate::fanout::subscription::{Ordering, Origin, SigningKey, State};
use crate::secret::Secret;
use crate::settings::Settings;

/// Reads all of them. `components` are the names that may be chosen, `concurrency` is that of `[fanout]`.
pub(super) fn read(root: &mut Settings, components: &BTreeSet<String>, concurrency: u32) -> Vec<Subscription> {
    let mut subscriptions: Vec<Subscription> = Vec::new();
    for mut table in root.tables("subscriptions") {
        let name = name(&mut table, &subscriptions).unwrap_or_default();
        let subscription = Subscription {
            name,
            origin: Origin::File,
            url: url(&mut table).unwrap_or_default(),
            keys: signing_key(&mut table).into_iter().collect(),
            events: events(&mut table),
            components: chosen(&mut table, components),
            ordering: match table.choice_or("ordering", "none", &["none", "authorizer"]) {
                "authorizer" => Ordering::Authorizer,
                _ => Ordering::None,
            },
            concurrency: if table.has("concurrency") { count(&mut table, "concurrency", CONCURRENCY) } else { concurrency },
            rate: table.has("rate").then(|| count(&mut table, "rate", 1..=100_000)),
            retry: table.has("retry").then(|| spans(&mut table, "retry")),
            timeout: table.has("timeout").then(|| span(&mut table, "timeout", ATTEMPT)),
            state: State::Active,
            created_at: Timestamp::UNIX_EPOCH,
        };
        root.problems(table.finish());
        subscriptions.push(subscription);
    }
    subscriptions
}

fn name(table: &mut Settings, earlier: &[Subscription]) -> Option<String> {
    let name = table.text("name")?;
    table.rename(&format!("subscriptions.{name}"));
    let fits = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !fits {
        table.problem("name", "is not a subscription's name", "write 1 to 64 letters, digits, -, _ or .");
    } else if name.starts_with("yizhan-") {
        table.problem("name", "begins with yizhan-, as only our own do", "choose another name");
    } else if earlier.iter().any(|subscription| subscription.name == name) {
        table.problem("name", "is the name of another subscription too", "give each subscription a name of its own");
    }
    Some(name)
}

fn url(table: &mut Settings) -> Option<String> {
    let text = table.text("url")?;
    match url::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(text),
        _ => {
            table.problem("url", "is not an http or https address", "write it in full, as in https://bot.example.com/hooks/yizhan");
            None
        }
    }
}

fn signing_key(table: &mut Settings) -> Option<SigningKey> {
    let secret = table.secret("secret")?;
    let bytes = secret.expose().strip_prefix("whsec_").map(|text| base64::engine::general_purpose::STANDARD.decode(text));
    if !matches!(bytes, Some(Ok(bytes)) if (24..=64).contains(&bytes.len())) {
        let hint = "make one with: echo whsec_$(openssl rand -base64 32)";
        table.problem("secret", "is not `whsec_` and 24 to 64 bytes in base64", hint);
    }
    Some(SigningKey { secret: Secret::new(secret.expose()), until: None })
}

fn events(table: &mut Settings) -> Vec<Glob> {
    let globs: Vec<Glob> = table.texts("events").into_iter().map(Glob::new).collect();
    if globs.is_empty() {
        table.problem("events", "is missing or empty", "write which events are wanted: [\"audit.*\"], or [\"*\"] for all");
    }
    for glob in &globs {
        if !glob.wants_any() {
            let nearest = EventType::ALL.iter().min_by_key(|kind| strsim::damerau_levenshtein(kind.as_str(), glob.as_str()));
            let hint = match nearest {
                Some(kind) if !glob.as_str().contains('*') => format!("did you mean `{kind}`?"),
                _ => String::from("types look like audit.passed; * stands for anything"),
            };
            table.problem("events", format!("`{}` fits no event type", glob.as_str()), hint);
        }
    }
    globs
}

fn chosen(table: &mut Settings, components: &BTreeSet<String>) -> Vec<String> {
    let names = table.texts("components");
    for name in &names {
        if !components.contains(name) {
            table.problem("components", format!("`{name}` is no component"), known(components));
        }
    }
    names
}
