//! `[[api_keys]]`: names, hashes and scopes.

use std::collections::BTreeSet;

use crate::access::{ApiKey, Permit, Scope};
use crate::settings::Settings;

/// Reads all of them. `components` are the names that a scope may be narrowed to.
pub(super) fn read(root: &mut Settings, components: &BTreeSet<String>) -> Vec<ApiKey> {
    let mut keys: Vec<ApiKey> = Vec::new();
    for mut table in root.tables("api_keys") {
        let name = table.text("name");
        if let Some(name) = &name {
            table.rename(&format!("api_keys.{name}"));
            if keys.iter().any(|key| key.name == *name) {
                table.problem(
                    "name",
                    "is the name of another key too",
                    "give each key a name of its own: logs and audit tell keys apart by it",
                );
            }
        }
        let hash = table.text("hash").and_then(|text| hash(&mut table, &text));
        if let Some(twin) = keys.iter().find(|key| Some(key.hash) == hash) {
            let message = format!("is the hash of `{}` too", twin.name);
            table.problem("hash", message, "make a key for each caller: `yizhan keys new`");
        }
        let permits = permits(&mut table, components);
        root.problems(table.finish());
        // What was refused is still remembered, so that a second one with the same name or hash is noticed.
        keys.push(ApiKey { name: name.unwrap_or_default(), hash: hash.unwrap_or_default(), permits });
    }
    keys
}

fn hash(table: &mut Settings, text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let read = text.strip_prefix("sha256:").is_some_and(|digits| hex::decode_to_slice(digits, &mut hash).is_ok());
    if !read {
        let hint = if text.starts_with("yzk_") {
            "this is a key, not its hash: make a new one with `yizhan keys new` and write only the lines that it prints"
        } else {
            "write sha256: and the 64 hex digits that `yizhan keys new` prints"
        };
        table.problem("hash", "is not `sha256:` and 64 hex digits", hint);
    }
    read.then_some(hash)
}

fn permits(table: &mut Settings, components: &BTreeSet<String>) -> Vec<Permit> {
    let texts = table.texts("scopes");
    if texts.is_empty() {
        table.problem("scopes", "is missing or empty", "write what the key may do: [\"tokens:read\"]");
    }
    let mut permits = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse::<Permit>() {
            Ok(Permit { component: Some(component), .. }) if !components.contains(&component) => {
                table.problem("scopes", format!("`{text}` names no component"), known(components));
            }
            Ok(permit) => permits.push(permit),
            Err(unknown) => {
                let names = Scope::ALL.iter().map(|scope| scope.as_str());
                table.problem("scopes", unknown.to_string(), format!("known: {}, *", names.collect::<Vec<_>>().join(", ")));
            }
        }
    }
    permits
}

/// The hint for a name that is no component's.
pub(super) fn known(components: &BTreeSet<String>) -> String {
    if components.is_empty() {
        String::from("there are no [[components]] yet")
    } else {
        format!("components: {}", components.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    }
}
