//! `[[components]]`: name and platform here, everything else by the platform itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::platform::{self, Component};
use crate::settings::Settings;

/// The components that are valid, and the names of all that have one: others refer to them even while their settings are wrong.
pub(super) fn read(root: &mut Settings) -> (Vec<Arc<dyn Component>>, BTreeSet<String>) {
    let mut components = Vec::new();
    let mut names = BTreeSet::new();
    for mut table in root.tables("components") {
        let name = table.text("name");
        if let Some(name) = &name {
            table.rename(&format!("components.{name}"));
            if !is_name(name) {
                table.problem(
                    "name",
                    "is not a component's name",
                    "write 1 to 64 lower case letters, digits, - or _: it is part of addresses",
                );
            } else if !names.insert(name.clone()) {
                table.problem("name", "is the name of another component too", "give each component a name of its own");
            }
        }
        let platform = table.text("platform").and_then(|text| {
            let platform = platform::named(&text);
            if platform.is_none() {
                let known: Vec<&str> = platform::ALL.iter().map(|platform| platform.name()).collect();
                table.problem(
                    "platform",
                    format!("`{text}` is no platform of this version"),
                    format!("write one of: {}", known.join(", ")),
                );
            }
            platform
        });
        let Some(platform) = platform else {
            // Which keys are known depends on the platform: blame none of them.
            table.keys();
            root.problems(table.finish());
            continue;
        };
        // The platform finds what is wrong with its own keys even while the name is missing.
        match platform.component(&name.unwrap_or_default(), table) {
            Ok(component) => components.push(component),
            Err(problems) => root.problems(problems),
        }
    }
    (components, names)
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}
