//! The rooms keep their places: who may import whom, which library lives where, and how a file begins.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms, lowest first. A room may import those of its own row and of every row above it here.
const LAYERS: &[&[&str]] = &[
    &["envelope", "clock", "secret", "settings", "event_type", "telemetry", "shutdown", "access", "placeholder"],
    &["platform"],
    &["inbox", "outbound"],
    &["vault", "fanout", "operations", "versions", "attributes"],
    &["robot"],
    &["playbook", "rollout", "reconcile"],
    &["config", "store"],
    &["app"],
    &["http", "simulator", "downstream"],
    &["cli"],
];

/// Imports upwards that have a reason: a filter by the status of deliveries.
const EXCEPTIONS: &[(&str, &str)] = &[("inbox/event.rs", "fanout")];

/// The simulator reaches the service by HTTP, as a vendor would.
const SIMULATOR: &[&str] = &["simulator", "platform", "clock", "settings", "shutdown"];

/// Words that may stand in code only in these rooms, with the reason.
const HOMES: &[(&str, &[&str], &str)] = &[
    ("sled::", &["store", "app"], "stores are behind ports; `app` names concrete parts"),
    ("fjall::", &["store", "app"], "stores are behind ports; `app` names concrete parts"),
    (
        "reqwest::",
        &["outbound", "cli", "simulator"],
        "one place speaks HTTP to others; `cli` is a caller and the simulator a vendor, each with a client of its own",
    ),
    ("actix_web::", &["http", "simulator", "downstream"], "one place serves HTTP; the vendors and the sample handler pretend to be others"),
    ("actix_http::", &["http", "telemetry"], "what stands before the site is part of it; telemetry names it to quiet it"),
    ("actix_service::", &["http"], "what stands before the site is part of it"),
    ("Timestamp::now", &["clock"], "time is an argument"),
    ("Zoned::now", &["clock"], "time is an argument"),
    ("SystemTime", &["clock"], "time is an argument"),
    ("anyhow::", &["cli", "app"], "rooms have errors of their own"),
    ("std::env::", &["cli"], "the environment is an argument"),
    ("include_str!(\"../../deploy", &["config"], "the defaults are read in one place"),
];

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The top-level room.
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// The code without comments; lines keep their places.
    fn code(&self) -> String {
        let without = |line: &str| match line.trim_start().starts_with("//") {
            true => String::new(),
            false => line.split(" // ").next().unwrap_or(line).to_owned(),
        };
        self.text.lines().map(without).collect::<Vec<_>>().join("\n")
    }
}

fn sources() -> Vec<Source> {
    fn gather(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    gather(&root, &mut found);
    found.sort();
    assert!(found.len() > 20, "the sources are where this test looks for them");
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
    found.iter().map(|path| Source { path: name(path), text: fs::read_to_string(path).unwrap() }).collect()
}

/// Rooms named by `crate::…` with the line, inside braces too: `use crate::{clock, secret::Secret}`, over several lines as well.
fn imported(code: &str) -> Vec<(usize, String)> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            rooms.push((line, word(rest)));
            continue;
        };
        let mut depth = 1;
        let end = list.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        let mut inner = 0;
        for part in list[..end.unwrap_or(list.len())].split(|c| {
            inner += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && inner == 0
        }) {
            rooms.push((line, word(part.trim())));
        }
    }
    rooms.retain(|(_, room)| !room.is_empty());
    rooms
}

fn row(room: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&room))
}

#[test]
fn a_room_imports_only_what_lies_below_it() {
    let mut wrong = Vec::new();
    for source in sources() {
        if matches!(source.path.as_str(), "lib.rs" | "main.rs") {
            continue;
        }
        let Some(own) = row(source.room()) else { panic!("{} is in no row of the table of layers", source.path) };
        for (line, target) in imported(&source.code()) {
            let allowed = EXCEPTIONS.contains(&(source.path.as_str(), target.as_str()))
                || match (source.room(), row(&target)) {
                    // An item of the crate's root: a macro.
                    (_, None) => true,
                    ("simulator", Some(_)) => SIMULATOR.contains(&target.as_str()),
                    (_, Some(row)) => row <= own,
                };
            if !allowed {
                wrong.push(format!("{}:{line}: {} imports {target}", source.path, source.room()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_and_the_clock_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (index, line) in source.code().lines().enumerate() {
            for (word, homes, reason) in HOMES {
                if line.contains(word) && !homes.contains(&source.room()) {
                    wrong.push(format!("{}:{}: `{word}` ({reason})", source.path, index + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_what_it_is_and_fits_in_one_reading() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            wrong.push(format!("{}: does not begin with //!", source.path));
        }
        if source.text.lines().count() > 600 {
            wrong.push(format!("{}: {} lines", source.path, source.text.lines().count()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_metric_in_the_code_is_in_the_table() {
    let known: Vec<&str> = yizhan::telemetry::METRICS.iter().map(|metric| metric.name).collect();
    for source in sources() {
        let code = source.code();
        for (at, _) in code.match_indices("\"yizhan_") {
            let name: String = code[at + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(known.contains(&name.as_str()), "{}: {name} is not in telemetry::METRICS", source.path);
        }
    }
}

#[test]
fn the_layers_test_sees_what_it_must() {
    let rooms = |code: &str| imported(code).into_iter().map(|(_, room)| room).collect::<Vec<_>>();
    assert_eq!(rooms("use crate::fanout::delivery::Status;"), ["fanout"]);
    assert_eq!(
        rooms("use crate::{\n    clock::{Clock, Timestamp},\n    secret::Secret,\n};\nuse crate::vault;"),
        ["clock", "secret", "vault"]
    );
    assert_eq!(rooms("fn f(x: &crate::inbox::Event) -> crate::vault::Served {"), ["inbox", "vault"]);
    assert_eq!(rooms("use mycrate::inbox;"), Vec::<String>::new());
    assert_eq!(imported("\n\nuse crate::inbox;"), [(3, String::from("inbox"))]);
}

/// The deployment files name only metrics that exist.
#[test]
fn alerts_and_dashboards_name_only_metrics_that_exist() {
    let known: BTreeMap<&str, yizhan::telemetry::Kind> =
        yizhan::telemetry::METRICS.iter().map(|metric| (metric.name, metric.kind)).collect();
    for file in ["prometheus-rules.yml", "grafana-dashboard.json"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)).unwrap();
        let mut seen = 0;
        for (at, _) in text.match_indices("yizhan_") {
            let name: String = text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let is_histogram = |name: &str| matches!(known.get(name), Some(yizhan::telemetry::Kind::Histogram(_)));
            let of_histogram = ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end).is_some_and(is_histogram));
            assert!(of_histogram || (known.contains_key(name.as_str()) && !is_histogram(&name)), "{file}: {name}");
            seen += 1;
        }
        assert!(seen > 5, "{file}");
    }
}
