//! `yizhan bench`: it runs, holds service and ceiling against each other, and says so in one line.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{command, run};

#[test]
fn a_short_bench_ends_with_one_line_of_ratios() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["bench", "--json", "--short", "--store", "disk"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let last = ran.out.lines().last().unwrap();
    let found: Value = serde_json::from_str(last).unwrap();
    for kind in ["push", "token", "deliver"] {
        let ratio = found.pointer(&format!("/ratios/{kind}")).and_then(Value::as_f64);
        assert!(ratio.is_some_and(|ratio| ratio > 0.0), "{kind}: {found}");
        for figure in ["service", "ceiling"] {
            let rate = found.pointer(&format!("/{kind}/concurrent/0/{figure}/per_second")).and_then(Value::as_f64);
            assert!(rate.is_some_and(|rate| rate > 0.0), "{kind}, {figure}: {found}");
        }
    }
    for path in [
        "/push/alone/times_p50",
        "/push/alone/times_rested_p50",
        "/push/concurrent/0/times_p99",
        "/deliver/unloaded/p50_ms",
        "/page/concurrent/0/p99_ms",
    ] {
        assert!(found.pointer(path).and_then(Value::as_f64).is_some_and(|figure| figure > 0.0), "{path}: {found}");
    }
    assert!(found.pointer("/machine/cores").is_some() && found.pointer("/settings/rounds").is_some(), "{found}");
    assert_eq!(std::fs::read_dir(folder.path().join("disk")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn only_what_was_asked_for_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["bench", "--short", "--only", "token,page"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("token") && ran.out.contains("page") && !ran.out.contains("deliver "), "{}", ran.out);
    let ratios = ran.out.lines().last().unwrap();
    assert!(ratios.starts_with("ratios: {\"token\":"), "{ratios}");
}

/// A program in that folder which stands in for valgrind, as far as the bench knows it.
#[cfg(unix)]
fn stand_in(folder: &std::path::Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(unix)]
#[test]
fn the_instructions_of_a_push_are_those_counted_without_those_at_rest() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    stand_in(
        &bin,
        "valgrind",
        r#"[ "$1" = --help ] && exit
echo "${3#--callgrind-out-file=}" > "${0%/*}/counts"
shift 3
exec "$@"
"#,
    );
    // 600 pushes of 10,000, and 1,000,000 at rest.
    stand_in(
        &bin,
        "vgdb",
        r#"[ "$2" = dump ] || exit 0
read -r counts < "${0%/*}/counts"
if [ -e "$counts.1" ]; then echo "totals: 1000000" > "$counts.2"; else echo "totals: 7000000" > "$counts.1"; fi
"#,
    );
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let ran =
        command(folder.path(), &["bench", "--json", "--short", "--instructions", "--only", "page"]).env("PATH", path).output().unwrap();
    let (out, err) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
    assert_eq!(ran.status.code(), Some(0), "{err}");
    let found: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(found.pointer("/scale/push_instructions_small"), Some(&Value::from(10_000)), "{found}");
    assert_eq!(found.pointer("/scale/push_instructions_large"), Some(&Value::from(10_000)), "{found}");
}

#[test]
fn without_valgrind_nothing_is_begun_that_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let ran = command(folder.path(), &["bench", "--short", "--instructions"]).env("PATH", folder.path()).output().unwrap();
    let err = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{err}");
    assert!(err.contains("needs `valgrind`") && !err.contains("merchants grant"), "{err}");
}

#[test]
fn an_unknown_kind_is_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["bench", "--only", "pull"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

/// Whether some process has that text in its command line.
#[cfg(target_os = "linux")]
fn is_mentioned(text: &str) -> bool {
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| String::from_utf8_lossy(&line).contains(text))
}

#[cfg(target_os = "linux")]
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_bench_that_is_interrupted_leaves_neither_process_nor_folder() {
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk-of-this-test");
        let mut bench =
            command(folder.path(), &["bench", "--store", "disk-of-this-test"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The service is given its configuration by that path.
        let text = "disk-of-this-test/yizhan-bench-";
        until("the service runs", || is_mentioned(text));
        assert!(Command::new("kill").args([signal, &bench.id().to_string()]).status().unwrap().success());
        assert_eq!(bench.wait().unwrap().code(), Some(1));
        assert!(!is_mentioned(text), "{signal}: a process is left");
        assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 0, "{signal}: the folder is left");
    }
}
