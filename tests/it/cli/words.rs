//! Commands that need no service.

use std::fs;

use yizhan::access::{ApiKey, Scope};

use super::{command, run};

#[test]
fn wrong_use_is_exit_code_2_and_says_nothing_on_stdout() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["no-such-command"][..], &["keys"], &["events", "list", "--limit", "x"], &["token"]] {
        let ran = run(folder.path(), arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn help_and_version_are_exit_code_0() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["--version"]);
    assert_eq!((ran.code, ran.out.trim()), (0, concat!("yizhan ", env!("CARGO_PKG_VERSION"))));
    let ran = run(folder.path(), &["--help"]);
    assert_eq!(ran.code, 0);
    for command in ["init", "check", "keys", "token", "events", "deliveries", "listen"] {
        assert!(ran.out.contains(command), "{command}");
    }
}

#[test]
fn init_writes_a_file_that_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let init = run(folder.path(), &["init", "--public-url", "https://post.example.com"]);
    assert_eq!(init.code, 0, "{}", init.err);
    let key = init.out.trim();
    assert!(key.starts_with("yzk_") && key.len() == 68, "{key}");
    let text = fs::read_to_string(folder.path().join("yizhan.toml")).unwrap();
    assert!(!text.contains(key), "the file holds the hash only");
    assert!(text.contains("# listen = \"127.0.0.1:8080\"") && text.contains("\npublic_url = \"https://post.example.com\""), "{text}");

    let check = run(folder.path(), &["check"]);
    assert_eq!(check.code, 0, "{}", check.err);
    assert_eq!(check.out, "ok yizhan.toml: 0 components\n");
    assert!(check.err.contains("warning: `components` there are none"), "{}", check.err);
    assert!(!folder.path().join("yizhan-data").exists(), "check makes no store");
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_what_init_wrote() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("yizhan.toml");
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    run(folder.path(), &["init"]);
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    run(folder.path(), &["init", "--force"]);
    assert_eq!(mode(), 0o600, "whoever was let in before does not read the new keys");
}

#[test]
fn init_does_not_overwrite_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("yizhan.toml");
    fs::write(&file, "# mine\n").unwrap();
    let ran = run(folder.path(), &["init"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("yizhan.toml is there already") && ran.err.contains("hint: ") && ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), "# mine\n");
    let ran = run(folder.path(), &["init", "--force", "--json"]);
    assert_eq!((ran.code, ran.json()["config"].as_str()), (0, Some("yizhan.toml")));
    assert_ne!(fs::read_to_string(&file).unwrap(), "# mine\n");
}

#[test]
fn a_variable_that_is_set_to_nothing_names_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["init"][..], &["check"], &["keys", "new"]] {
        let ran: super::Ran = command(folder.path(), arguments).env("YIZHAN_CONFIG", "").output().unwrap().into();
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
    }
    assert!(folder.path().join("yizhan.toml").is_file());
}

#[test]
fn every_init_makes_other_keys() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [run(folder.path(), &["init", "--config", "a.toml"]).out, run(folder.path(), &["init", "--config", "b.toml"]).out];
    assert_ne!(keys[0], keys[1]);
    assert_ne!(fs::read(folder.path().join("a.toml")).unwrap(), fs::read(folder.path().join("b.toml")).unwrap());
}

#[test]
fn check_reports_every_problem_with_file_line_and_hint() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("my.toml"), "[server]\npublic_ulr = \"x\"\n[fanout]\ntimeout = 5\n").unwrap();
    let ran = run(folder.path(), &["check", "--config", "my.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    for part in [
        "my.toml:2: `server.public_ulr` is not a known key\n  hint: did you mean `public_url`?\n",
        "my.toml:4: `fanout.timeout` is not a span of time\n",
        "`store.master_key` the environment variable YIZHAN_MASTER_KEY is not set\n",
        "error: the configuration has 3 problems\n",
    ] {
        assert!(ran.err.contains(part), "{part} is not in:\n{}", ran.err);
    }

    let ran = run(folder.path(), &["check", "--config", "my.toml", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (2, ""));
    let report = ran.json();
    assert_eq!((report["ok"].as_bool(), report["problems"].as_array().unwrap().len()), (Some(false), 3));
    assert_eq!((report["problems"][0]["at"].as_str(), report["problems"][0]["line"].as_u64()), (Some("server.public_ulr"), Some(2)));
}

#[test]
fn what_stands_twice_is_named_with_the_file_that_it_stands_in() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("my.toml"), "[server]\n[store]\nmaster_key = \"secret\"\n[server]\npublic_url = \"x\"\n").unwrap();
    let ran = run(folder.path(), &["check", "--config", "my.toml"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.starts_with("my.toml:4: `my.toml` not TOML: duplicate key `server`\n  hint: it may stand in the file once"),
        "{}",
        ran.err
    );
    fs::write(folder.path().join("my.toml"), "[store]\nmaster_key = \"a\"\nmaster_key = \"secret\"\n").unwrap();
    let ran = run(folder.path(), &["check", "--config", "my.toml"]);
    assert!(ran.err.starts_with("my.toml:3: `my.toml` not TOML: duplicate key `master_key`\n"), "{}", ran.err);
    // What else is wrong may be in the middle of a secret.
    fs::write(folder.path().join("my.toml"), "[store]\nmaster_key = secret\n").unwrap();
    let ran = run(folder.path(), &["check", "--config", "my.toml"]);
    assert!(ran.err.starts_with("my.toml:2: `my.toml` not TOML: ") && !ran.err.contains("secret"), "{}", ran.err);

    fs::write(folder.path().join("my.toml"), "include = [\"more.toml\"]\n").unwrap();
    fs::write(folder.path().join("more.toml"), "[a]\n[a]\n").unwrap();
    let ran = run(folder.path(), &["check", "--config", "my.toml"]);
    assert!(ran.err.contains("`more.toml` not TOML: duplicate key `a` (more.toml, line 2)"), "{}", ran.err);
}

#[test]
fn a_file_in_another_encoding_is_told_from_one_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    // 小店 as an editor in China may save it.
    let gbk = b"[server]\n# \xd0\xa1\xb5\xea\n";
    fs::write(folder.path().join("my.toml"), gbk).unwrap();
    let ran = run(folder.path(), &["check", "--config", "my.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.starts_with("my.toml:2: `my.toml` is not UTF-8\n  hint: save it as UTF-8; `iconv -f GBK"), "{}", ran.err);

    fs::write(folder.path().join("my.toml"), "include = [\"more.toml\"]\n").unwrap();
    fs::write(folder.path().join("more.toml"), gbk).unwrap();
    let ran = run(folder.path(), &["check", "--config", "my.toml"]);
    assert!(ran.err.contains("`more.toml` is not UTF-8 (more.toml, line 2)\n  hint: save it as UTF-8"), "{}", ran.err);
}

#[test]
fn check_says_when_a_named_file_is_missing_and_that_the_store_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["check", "--config", "none.toml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("`none.toml` cannot be read"), "{}", ran.err);

    let key = [("YIZHAN_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")];
    fs::write(folder.path().join("file"), "").unwrap();
    let ran: super::Ran = command(folder.path(), &["check"]).envs(key).env("YIZHAN__STORE__URL", "file:file/data").output().unwrap().into();
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("`store.url` cannot be written"), "{}", ran.err);
    let ran: super::Ran = command(folder.path(), &["check"]).envs(key).output().unwrap().into();
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok the built-in defaults and the environment: 0 components\n"), "{}", ran.err);
}

#[test]
fn check_says_that_the_store_cannot_be_written_beside_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let text = "[server]\npublic_ulr = \"x\"\n[store]\nurl = \"file:file/data\"\n";
    fs::write(folder.path().join("my.toml"), text).unwrap();
    let ran = run(folder.path(), &["check", "--config", "my.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    for part in [
        "my.toml:2: `server.public_ulr` is not a known key\n",
        "`store.master_key` the environment variable YIZHAN_MASTER_KEY is not set\n",
        "`store.url` cannot be written: ",
        "error: the configuration has 3 problems\n",
    ] {
        assert!(ran.err.contains(part), "{part} is not in:\n{}", ran.err);
    }
    let ran = run(folder.path(), &["check", "--config", "my.toml", "--json"]);
    let problems = ran.json()["problems"].clone();
    let places: Vec<&str> = problems.as_array().unwrap().iter().filter_map(|problem| problem["at"].as_str()).collect();
    assert_eq!((ran.code, places.as_slice()), (2, &["server.public_ulr", "store.master_key", "store.url"][..]));

    // A folder that is not said cannot be tried: what is wrong with its name is all there is to say.
    fs::write(folder.path().join("my.toml"), text.replace("file:file", "ftp:file")).unwrap();
    let ran = run(folder.path(), &["check", "--config", "my.toml"]);
    assert!(ran.err.contains("`store.url` is not a store") && !ran.err.contains("cannot be written"), "{}", ran.err);
}

#[test]
fn a_new_key_is_shown_once_and_its_lines_let_it_in() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["keys", "new", "--name", "order \"x\"", "--scopes", "tokens:read@a,events:read", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let made = ran.json();
    let text = made["key"].as_str().unwrap();
    let lines: toml::Table = made["config"].as_str().unwrap().parse().unwrap();
    let entry = &lines["api_keys"][0];
    assert_eq!(entry["name"].as_str(), Some("order \"x\""));
    let mut hash = [0; 32];
    hex::decode_to_slice(entry["hash"].as_str().unwrap().strip_prefix("sha256:").unwrap(), &mut hash).unwrap();
    let permits = entry["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap().parse().unwrap()).collect();
    let key = ApiKey { name: String::new(), hash, permits };
    assert!(key.is(text) && key.may(Scope::TokensRead, Some("a")) && !key.may(Scope::TokensRead, Some("b")));

    let ran = run(folder.path(), &["keys", "new"]);
    let mut lines = ran.out.lines();
    assert!(lines.next().unwrap().starts_with("yzk_"));
    assert_eq!(lines.next(), Some("[[api_keys]]"));
}

#[test]
fn a_key_with_an_unknown_scope_is_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["keys", "new", "--scopes", "token:read"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("`token:read` is not a scope") && ran.err.contains("hint: known: read, tokens:read"), "{}", ran.err);
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path(), &["keys", "new"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = child.stdout(writer).stderr(std::process::Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// A configuration with one component of that platform, as the simulator has it, and a push of its twin as a capture.
fn with_component(folder: &std::path::Path, platform: &str) -> serde_json::Value {
    use yizhan::settings::{Settings, Surroundings};
    let platform = yizhan::platform::named(platform).unwrap();
    let sample = platform.sample_settings("http://127.0.0.1:1");
    let master_key = "[store]\nmaster_key = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n";
    let name = platform.name();
    fs::write(folder.join("yizhan.toml"), format!("{master_key}[[components]]\nname = \"mine\"\nplatform = \"{name}\"\n{sample}")).unwrap();
    let mut twin = platform.twin(Settings::parse(&sample, Surroundings::default()).unwrap()).unwrap();
    let push = twin.ticket("2026-11-20T07:04:05Z".parse().unwrap()).unwrap();
    let headers: serde_json::Map<_, _> = push.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
    serde_json::json!({"door": "authorization", "headers": headers, "body": String::from_utf8(push.body.to_vec()).unwrap()})
}

#[test]
fn a_captured_push_is_diagnosed_with_the_keys_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let mut capture = with_component(folder.path(), "kuaishou");
    fs::write(folder.path().join("push.json"), capture.to_string()).unwrap();
    let ran = run(folder.path(), &["diagnose", "push.json"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with("mine (Kuaishou)\n") && ran.out.contains("It opens with the present settings."), "{}", ran.out);
    assert_eq!(run(folder.path(), &["diagnose", "push.json", "--json"]).json()["components"][0]["component"], "mine");

    let body = capture["body"].as_str().unwrap().replacen(':', ": ", 1);
    capture["body"] = body.into();
    fs::write(folder.path().join("push.json"), capture.to_string()).unwrap();
    let ran = run(folder.path(), &["diagnose", "push.json", "--component", "mine", "--json"]);
    assert_eq!((ran.code, ran.json()["opens"].as_bool()), (1, Some(false)), "{}", ran.out);
}

#[test]
fn a_capture_that_is_none_and_a_component_that_is_none_are_told() {
    let folder = tempfile::tempdir().unwrap();
    with_component(folder.path(), "kuaishou");
    fs::write(folder.path().join("push.json"), "").unwrap();
    for (arguments, code, words) in [
        (&["diagnose", "push.json"][..], 1, "the file is empty"),
        (&["diagnose", "none.json"], 1, "none.json cannot be read"),
        (&["diagnose", "push.json", "--component", "yours"], 2, "components: mine"),
        (&["diagnose", "push.json", "--header", "nonsense"], 2, "Name: value"),
    ] {
        let ran = run(folder.path(), arguments);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{arguments:?}");
        assert!(ran.err.contains(words), "{}", ran.err);
    }
}

#[test]
fn check_prints_what_to_type_into_the_consoles() {
    let folder = tempfile::tempdir().unwrap();
    with_component(folder.path(), "kuaishou");
    let ran = run(folder.path(), &["check"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("mine (kuaishou)") && ran.out.contains("http://127.0.0.1:8080/callback/mine/authorization\n"), "{}", ran.out);
    assert!(ran.err.contains("where platforms cannot reach it"), "{}", ran.err);
    let report = run(folder.path(), &["check", "--json"]).json();
    assert_eq!(report["components"][0]["message"], "http://127.0.0.1:8080/callback/mine/message");
}

#[cfg(unix)]
#[test]
fn the_simulated_platforms_tell_where_they_are_and_end_when_asked() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let options =
        ["simulate", "--listen", "127.0.0.1:0", "--ticket-every", "0s", "--audit-after", "1h", "--reject", "10", "--lose", "5", "--json"];
    let mut child = command(folder.path(), &options);
    let mut child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let master_key = "[store]\nmaster_key = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n";
    fs::write(folder.path().join("yizhan.toml"), format!("{master_key}{}", told["components"].as_str().unwrap())).unwrap();
    assert!(run(folder.path(), &["check"]).out.contains("4 components"), "the printed components are a configuration");
    let address = told["address"].as_str().unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    let taken = run(folder.path(), &["simulate", "--listen", address]);
    assert_eq!((taken.code, taken.err.contains("cannot listen")), (1, true), "{}", taken.err);
    for wrong in [&["simulate", "--audit-after", "soon"][..], &["simulate", "--reject", "10"], &["simulate", "--lose", "101"]] {
        assert_eq!(run(folder.path(), wrong).code, 2, "{wrong:?}");
    }
    assert!(std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
