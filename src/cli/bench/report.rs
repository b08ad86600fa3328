//! What a run says: the machine, the settings, and the figures as a table for people.

use std::path::Path;

use serde_json::{Value, json};

use super::{Plan, push, scale};

/// Processor, memory, system and disk, as far as this system tells.
pub fn machine(folder: &Path) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let cpu = read("/proc/cpuinfo");
    let flags = after(&cpu, "flags").unwrap_or_default();
    let has = |flag: &str| flags.split(' ').any(|word| word == flag);
    json!({
        "cpu": after(&cpu, "model name"),
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "aes": has("aes"),
        "sha": has("sha_ni"),
        "memory": after(&read("/proc/meminfo"), "MemTotal"),
        "system": read("/proc/sys/kernel/osrelease").trim(),
        "disk": file_system(folder),
        "version": env!("CARGO_PKG_VERSION"),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}

/// Device and kind of the file system that holds a folder. On one that keeps everything in memory the figures of the disk mean nothing.
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    });
    let holds = mounts.filter(|(_, at, _)| folder.starts_with(at)).max_by_key(|(_, at, _)| at.len());
    holds.map(|(device, _, kind)| format!("{kind} on {device}"))
}

/// How much was measured.
pub fn settings(plan: &Plan) -> Value {
    json!({
        "rounds": plan.rounds,
        "pushes_per_slice": plan.pushes,
        "tokens_per_slice": plan.tokens,
        "deliveries_per_slice": plan.deliveries,
        "pages_per_slice": plan.pages,
        "events": plan.events,
        "authorizers": plan.authorizers,
        "service": "every default; durable before each acknowledgement",
    })
}

/// Everything for people.
pub fn text(found: &Value) -> String {
    let mut lines = Vec::new();
    if let Some(machine) = found.get("machine").and_then(Value::as_object) {
        let words: Vec<String> =
            machine.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| format!("{name} {}", plain(value))).collect();
        lines.push(words.join(", "));
    }
    lines.push(format!(
        "{:<10} {:>5} {:>12} {:>12} {:>7} {:>9} {:>9} {:>9}",
        "", "at", "service/s", "ceiling/s", "ratio", "p50 ms", "p99 ms", "p99.9 ms"
    ));
    if let Some(alone) = found.pointer("/push/alone") {
        lines.push(row("push", "1", alone, "/fdatasync"));
        lines.push(format!(
            "           p50 {:.2} x one fdatasync of an append-only file, {:.2} x one after as long a rest as between two pushes",
            number(alone, "/times_p50"),
            number(alone, "/times_rested_p50"),
        ));
    }
    for kind in ["push", "token", "deliver"] {
        for concurrent in members(found, kind) {
            let at = concurrent.get("connections").or(concurrent.get("concurrency")).map(plain).unwrap_or_default();
            lines.push(row(kind, &at, concurrent, "/ceiling"));
            if kind == "push" {
                lines.push(format!("           {}", push::line(concurrent)));
            }
        }
    }
    if let Some(unloaded) = found.pointer("/deliver/unloaded") {
        let (p50, p99) = (number(unloaded, "/p50_ms"), number(unloaded, "/p99_ms"));
        lines.push(format!("deliver    one event, from sending its push until the handler has it: p50 {p50:.2} ms, p99 {p99:.2} ms"));
    }
    for page in members(found, "page") {
        lines.push(row("page", &page.get("connections").map(plain).unwrap_or_default(), &json!({ "service": page }), "/ceiling"));
    }
    if let Some(found) = found.get("scale") {
        lines.extend(scale::lines(found));
    }
    lines.push(format!("ratios: {}", found.get("ratios").map(plain).unwrap_or_default()));
    lines.join("\n")
}

fn members<'a>(found: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> {
    found.pointer(&format!("/{kind}/concurrent")).and_then(Value::as_array).into_iter().flatten()
}

fn row(kind: &str, at: &str, row: &Value, ceiling: &str) -> String {
    let figure = |path: String, decimals: usize| match row.pointer(&path).and_then(Value::as_f64) {
        Some(number) => format!("{number:.decimals$}"),
        None => String::from("-"),
    };
    format!(
        "{kind:<10} {at:>5} {:>12} {:>12} {:>7} {:>9} {:>9} {:>9}",
        figure(String::from("/service/per_second"), 0),
        figure(format!("{ceiling}/per_second"), 0),
        figure(String::from("/ratio"), 3),
        figure(String::from("/service/p50_ms"), 2),
        figure(String::from("/service/p99_ms"), 2),
        figure(String::from("/service/p999_ms"), 2),
    )
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
