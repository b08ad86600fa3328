//! `[[subscriptions]]` of the file. What a subscription must be is `fanout`'s to say ([`Rules`]); the hints for people who write files are ours.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Fanout;
use super::api_keys::known;
use super::sections::{count, spans};
use crate::clock::Timestamp;
use crate::event_type::{EventType, Glob};
use crate::fanout::Subscription;
use crate::fanout::rules::Rules;
use crate::fanout::subscription::{Ordering, Origin, SigningKey, State};
use crate::outbound::Guard;
use crate::settings::Settings;

/// Reads all of them. `components` are the names that may be chosen.
pub(super) fn read(root: &mut Settings, components: &BTreeSet<String>, fanout: &Fanout) -> Vec<Subscription> {
    let names: Vec<String> = components.iter().cloned().collect();
    let guard = Guard::allowing(&fanout.allow_private);
    let rules = Rules { components: &names, guard: &guard };
    let mut subscriptions: Vec<Subscription> = Vec::new();
    for mut table in root.tables("subscriptions") {
        let subscription = one(&mut table, fanout.concurrency);
        if subscriptions.iter().any(|earlier| !earlier.name.is_empty() && earlier.name == subscription.name) {
            table.problem("name", "is the name of another subscription too", "give each subscription a name of its own");
        }
        for (member, why) in rules.problems(&subscription) {
            // What was missing, or could not be read at all, is told already.
            if !table.is_faulty(&member) {
                table.problem(&member, why, hint(&member, &subscription, components));
            }
        }
        root.problems(table.finish());
        subscriptions.push(subscription);
    }
    subscriptions
}

/// What the table says; members that cannot be read get a stand-in beside their problem.
fn one(table: &mut Settings, concurrency: u32) -> Subscription {
    let name = table.text("name");
    if let Some(name) = &name {
        table.rename(&format!("subscriptions.{name}"));
    }
    Subscription {
        name: name.unwrap_or_default(),
        origin: Origin::File,
        url: table.text("url").unwrap_or_default(),
        keys: table.secret("secret").map(|secret| SigningKey { secret, until: None }).into_iter().collect(),
        events: table.texts("events").into_iter().map(Glob::new).collect(),
        components: table.texts("components"),
        ordering: match table.choice_or("ordering", "none", &["none", "authorizer"]) {
            "authorizer" => Ordering::Authorizer,
            _ => Ordering::None,
        },
        concurrency: if table.has("concurrency") { count(table, "concurrency") } else { concurrency },
        rate: table.has("rate").then(|| count(table, "rate")),
        retry: table.has("retry").then(|| spans(table, "retry")),
        timeout: table.has("timeout").then(|| table.duration_or("timeout", Duration::from_secs(1))),
        state: State::Active,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

/// What to do about a member that the rules refuse.
fn hint(member: &str, subscription: &Subscription, components: &BTreeSet<String>) -> String {
    match member {
        "name" => String::from("write 1 to 64 letters, digits, -, _ or ."),
        "url" => {
            String::from("write it in full, as in https://bot.example.com/hooks; private networks must be named in [fanout] allow_private")
        }
        "secret" => String::from("make one with: echo whsec_$(openssl rand -base64 32)"),
        "components" => known(components),
        "events" => {
            let misspelt = subscription.events.iter().find(|glob| !glob.wants_any() && !glob.as_str().contains('*'));
            let nearest = misspelt
                .and_then(|glob| EventType::ALL.iter().min_by_key(|kind| strsim::damerau_levenshtein(kind.as_str(), glob.as_str())));
            nearest.map_or_else(
                || String::from("types look like audit.passed; * stands for anything: [\"audit.*\"], or [\"*\"] for all"),
                |kind| format!("did you mean `{kind}`?"),
            )
        }
        _ => String::from("write a value in that range, or take the key out to use that of [fanout]"),
    }
}
