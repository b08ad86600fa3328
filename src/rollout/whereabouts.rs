//! What a platform's list of versions says of one version: where it stands, under which number, and why it was refused.

use serde_json::Value;

/// Where a version stands at the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The platform does not list it.
    Nowhere,
    /// It is being made.
    Making,
    /// It could not be made.
    NotMade,
    /// It is there and nobody audits it.
    Made,
    /// Somebody withdrew it from its audit.
    Withdrawn,
    /// In audit.
    InAudit,
    /// Its audit said no.
    Rejected,
    /// Its audit said yes.
    Approved,
    /// Online, or it was.
    Released,
    /// It was online and was taken back or down.
    Offline,
    /// A word that nobody knows.
    Strange,
}

/// The platforms' words of `status` in normal names, and what they mean here.
const WORDS: &[(&str, Place)] = &[
    ("uploading", Place::Making),
    ("queued", Place::Making),
    ("building", Place::Making),
    ("upload_failed", Place::NotMade),
    ("timed_out", Place::NotMade),
    ("development", Place::Made),
    ("developing", Place::Made),
    ("uploaded", Place::Made),
    ("created", Place::Made),
    ("withdrawn", Place::Withdrawn),
    ("in_audit", Place::InAudit),
    ("failed", Place::Rejected),
    ("rejected", Place::Rejected),
    ("passed", Place::Approved),
    ("approved", Place::Approved),
    // A share of the users has it already; a release gives it to all (Alipay 5.5).
    ("gray", Place::Approved),
    ("online", Place::Released),
    ("released", Place::Released),
    ("offline", Place::Offline),
    ("rolling_back", Place::Offline),
    ("suspended", Place::Offline),
];

/// Of several entries of one version (Douyin and Kuaishou list it once for each part that it plays) the one furthest in its life counts.
const FURTHEST: [Place; 11] = [
    Place::Nowhere,
    Place::NotMade,
    Place::Making,
    Place::Made,
    Place::Withdrawn,
    Place::Strange,
    Place::InAudit,
    Place::Rejected,
    Place::Approved,
    Place::Offline,
    Place::Released,
];

/// What is known of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Where it stands.
    pub place: Place,
    /// The vendor's number of it.
    pub package_id: Option<String>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// The platform's own word for where it stands.
    pub word: String,
}

impl Whereabouts {
    /// It is not listed.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { place: Place::Nowhere, package_id: None, reason: None, word: String::from("absent") }
    }
}

/// What a word means; a build that failed calls itself as an audit does, so its answer is read with [`built`].
#[must_use]
pub fn place(word: &str) -> Place {
    WORDS.iter().find(|(known, _)| *known == word).map_or(Place::Strange, |(_, place)| *place)
}

/// Finds a version in the `items` of `package.list`: by its number where that is known, else by its text.
#[must_use]
pub fn find(list: &Value, version: &str, package_id: Option<&str>) -> Whereabouts {
    let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |item: &Value, name: &str| item.get(name).and_then(as_text);
    let is_it = |item: &&Value| match (package_id, text(item, "package_id")) {
        (Some(wanted), Some(listed)) => wanted == listed,
        // Builds in development may carry a `d` before their version (Baidu 5.2.2).
        _ => text(item, "version").is_some_and(|listed| listed == version || listed.strip_prefix('d') == Some(version)),
    };
    let read = |item: &Value| {
        let word = text(item, "status").unwrap_or_else(|| String::from("unknown"));
        // As in the push: one rejected host makes the whole a failure, so that nothing is released by mistake (Douyin 5.6).
        let failed_hosts = item.get("hosts_failed").and_then(Value::as_array).is_some_and(|hosts| !hosts.is_empty());
        let place = match place(&word) {
            Place::Approved if failed_hosts => Place::Rejected,
            place => place,
        };
        Whereabouts { place, package_id: text(item, "package_id"), reason: text(item, "reason"), word }
    };
    let rank = |found: &Whereabouts| FURTHEST.iter().position(|place| *place == found.place);
    items.iter().filter(is_it).map(read).max_by_key(rank).unwrap_or_else(Whereabouts::nowhere)
}

/// Reads the answer to a question about a build.
#[must_use]
pub fn built(result: &Value) -> Whereabouts {
    let word = result.get("status").and_then(as_text).unwrap_or_default();
    let place = if word == "failed" { Place::NotMade } else { place(&word) };
    Whereabouts { place, package_id: None, reason: None, word }
}

/// A text, or a number's digits; nothing of an empty one.
#[must_use]
pub fn as_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}
