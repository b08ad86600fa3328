//! The configuration: defaults, overrides, and every way of getting it wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use yizhan::access::Scope;
use yizhan::config::{Config, DEFAULTS};
use yizhan::fanout::subscription::{Ordering, Origin};
use yizhan::settings::{Problem, Surroundings};
use yizhan::telemetry::Format;

const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    let mut all = BTreeMap::from([(String::from("YIZHAN_MASTER_KEY"), MASTER_KEY.to_owned())]);
    all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Config::parse(text, Surroundings { folder: "/etc/yizhan".into(), variables: Arc::new(all) })
}

fn read(text: &str) -> Result<Config, Vec<Problem>> {
    read_with(text, &[])
}

#[track_caller]
fn problems(text: &str) -> Vec<Problem> {
    match read(text) {
        Ok(_) => panic!("was accepted: {text}"),
        Err(problems) => problems,
    }
}

/// The only problem with `text`: its setting, line, message and hint in one.
#[track_caller]
fn problem(text: &str) -> String {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    format!("{} | {}", problems[0], problems[0].hint)
}

#[track_caller]
fn is_refused(text: &str, with: &[&str]) {
    let problem = problem(text);
    for part in with {
        assert!(problem.contains(part), "`{part}` is not in: {problem}");
    }
}

#[test]
fn a_secret_in_a_file_that_never_ends_is_too_long() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("long"), "a".repeat(1024 * 1024 + 1)).unwrap();
    for name in ["long", "/dev/zero"] {
        let surroundings = Surroundings { folder: folder.path().to_owned(), ..Surroundings::default() };
        let text = format!("[store]\nmaster_key = {{ file = \"{name}\" }}\n");
        let problems = Config::parse(&text, surroundings).err().unwrap();
        assert!(problems.iter().any(|problem| problem.message.contains("longer than 1 MiB")), "{name}: {problems:?}");
    }
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let config = read("").unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.server.max_push_bytes, 256 * 1024);
    assert_eq!(config.store.path, Path::new("/etc/yizhan/./yizhan-data"));
    assert_eq!(config.store.retention, Duration::from_secs(30 * 86400));
    let seconds: Vec<u64> = config.fanout.retry.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200, 86400]);
    assert_eq!(config.fanout.timeout, Duration::from_secs(15));
    assert!(config.fanout.allow_private.is_empty());
    assert_eq!((config.log.format, config.log.level.as_str()), (Format::Text, "info"));
    assert!(config.api_keys.is_empty() && config.subscriptions.is_empty());
}

#[test]
fn each_default_is_written_on_one_line_so_that_init_can_comment_it_out() {
    for line in DEFAULTS.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
        let (key, value) = line.split_once(" = ").unwrap();
        toml::from_str::<toml::Table>(line).unwrap_or_else(|error| panic!("{key} = {value}: {error}"));
    }
}

#[test]
fn a_file_needs_only_what_differs() {
    let config = read("[server]\npublic_url = \"https://post.example.com/\"\n[log]\nformat = \"json\"\n").unwrap();
    assert_eq!(config.server.public_url, "https://post.example.com");
    assert_eq!(config.server.max_connections, read("").unwrap().server.max_connections);
    assert_eq!(config.log.format, Format::Json);
}

#[test]
fn the_environment_overrides_file_and_defaults() {
    let variables = [
        ("YIZHAN__SERVER__LISTEN", "0.0.0.0:9000"),
        ("YIZHAN__FANOUT__RETRY", "1s, 2s"),
        ("YIZHAN__FANOUT__ALLOW_PRIVATE", "10.0.0.0/8"),
        ("YIZHAN__SERVER__REJECTED_KEEP", "7"),
        ("YIZHAN_URL", "not a setting"),
    ];
    let config = read_with("[server]\nlisten = \"127.0.0.1:1\"\n", &variables).unwrap();
    assert_eq!(config.server.listen, "0.0.0.0:9000".parse().unwrap());
    assert_eq!(config.fanout.retry, [Duration::from_secs(1), Duration::from_secs(2)]);
    assert_eq!(config.fanout.allow_private, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(config.server.rejected_keep, 7);
}

#[test]
fn a_list_in_the_environment_is_written_with_commas_or_as_the_file_has_it() {
    for (networks, waits) in [("10.0.0.0/8, 127.0.0.0/8", "1s,2s"), (r#" ["10.0.0.0/8", "127.0.0.0/8"] "#, r#"["1s", "2s"]"#)] {
        let config = read_with("", &[("YIZHAN__SERVER__TRUSTED_PROXIES", networks), ("YIZHAN__FANOUT__RETRY", waits)]).unwrap();
        assert_eq!(config.server.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "127.0.0.0/8".parse().unwrap()], "{networks}");
        assert_eq!(config.fanout.retry, [Duration::from_secs(1), Duration::from_secs(2)], "{waits}");
    }
    let wrong = read_with("", &[("YIZHAN__SERVER__TRUSTED_PROXIES", "[10.0.0.0/8]")]).err().unwrap();
    assert!(wrong[0].message.starts_with("`[10.0.0.0/8]` is not a network"), "{wrong:?}");
}

#[test]
fn the_environment_reaches_into_named_tables() {
    let file = format!("[[api_keys]]\nname = \"order-service\"\nhash = \"sha256:{}\"\nscopes = [\"read\"]\n", "ab".repeat(32));
    let config = read_with(&file, &[("YIZHAN__API_KEYS__ORDER_SERVICE__SCOPES", "tokens:read")]).unwrap();
    assert!(config.api_keys[0].may(Scope::TokensRead, None) && !config.api_keys[0].may(Scope::Read, None));
}

#[test]
fn a_variable_that_names_nothing_is_refused() {
    let refused = |name: &str| read_with("", &[(name, "x")]).err().unwrap()[0].clone();
    let unknown = refused("YIZHAN__SERVER__LISTN");
    assert_eq!((unknown.at.as_str(), unknown.hint.as_str()), ("server.listn", "did you mean `listen`?"));
    assert!(unknown.message.ends_with("(set by YIZHAN__SERVER__LISTN)"), "{unknown:?}");
    assert_eq!(refused("YIZHAN__API_KEYS__NOBODY__HASH").at, "YIZHAN__API_KEYS__NOBODY__HASH");
    assert_eq!(refused("YIZHAN__").at, "YIZHAN__");
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
    is_refused("[server]\n\npublic_ulr = \"https://a.example\"\n", &["line 3", "`server.public_ulr`", "did you mean `public_url`?"]);
    is_refused("[sever]\nlisten = \"127.0.0.1:1\"\n", &["line 1", "`sever`", "did you mean `server`?"]);
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = "
[server]
listen = \"localhost\"
[store]
url = \"postgres://a:b@c/d\"
master_key = \"short\"
[fanout]
timeout = \"1 minute\"
[log]
level = \"loud\"
[[subscriptions]]
name = \"a b\"
";
    let problems = problems(text);
    let at: Vec<&str> = problems.iter().map(|problem| problem.at.as_str()).collect();
    for wanted in
        ["server.listen", "store.url", "store.master_key", "fanout.timeout", "log.level", "subscriptions.a b.name", "subscriptions.a b.url"]
    {
        assert!(at.contains(&wanted), "{wanted} is not in {at:?}");
    }
    assert!(problems.iter().all(|problem| !problem.hint.is_empty()), "{problems:#?}");
    assert!(problems.iter().all(|problem| !problem.message.contains("a:b@c") && !problem.message.contains("short")), "{problems:#?}");
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    is_refused("[server]\nlisten = \n", &["line 2", "not TOML"]);
}

#[test]
fn a_store_is_a_folder_relative_to_the_file() {
    let path = |url: &str| read(&format!("[store]\nurl = \"{url}\"\n")).unwrap().store.path;
    assert_eq!(path("file:data"), Path::new("/etc/yizhan/data"));
    assert_eq!(path("file:/var/lib/yizhan"), Path::new("/var/lib/yizhan"));
    assert_eq!(path("file:///var/lib/yizhan"), Path::new("/var/lib/yizhan"));
    is_refused("[store]\nurl = \"postgres://h/db\"\n", &["PostgreSQL", "yet", "file:./yizhan-data"]);
    is_refused("[store]\nurl = \"file:\"\n", &["names no folder"]);
    is_refused("[store]\nurl = \"file://host/share\"\n", &["names no folder"]);
    is_refused("[store]\nurl = \"./data\"\n", &["not a store", "file:./yizhan-data"]);
}

#[test]
fn a_missing_or_wrong_master_key_says_how_to_make_one() {
    let missing = Config::parse("", Surroundings::default()).err().unwrap();
    assert_eq!(missing.len(), 1);
    assert!(missing[0].message.contains("YIZHAN_MASTER_KEY") && missing[0].hint.contains("yizhan init"), "{missing:?}");
    for wrong in ["short", "AAECAwQFBgcICQoLDA0ODw==", "%%%"] {
        is_refused(&format!("[store]\nmaster_key = \"{wrong}\"\n"), &["store.master_key", "32 bytes", "yizhan init"]);
    }
}

#[test]
fn a_master_key_is_read_from_a_file_and_former_ones_are_checked_too() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), format!("{MASTER_KEY}\n")).unwrap();
    let file = folder.path().join("yizhan.toml");
    std::fs::write(&file, "[store]\nmaster_key = { file = \"key\" }\nprevious_master_keys = [{ file = \"key\" }]\n").unwrap();
    let config = Config::load(Some(&file), BTreeMap::new()).unwrap();
    assert_eq!(config.store.master_key.expose(), MASTER_KEY);
    assert_eq!(config.store.previous_master_keys.len(), 1);
    is_refused("[store]\nprevious_master_keys = [\"x\"]\n", &["previous_master_keys", "32 bytes"]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let problems = Config::load(Some(Path::new("/nowhere/yizhan.toml")), BTreeMap::new()).err().unwrap();
    assert_eq!(problems[0].at, "/nowhere/yizhan.toml");
    assert!(problems[0].hint.contains("yizhan init"));
}

fn api_key(lines: &str) -> String {
    let hash = "0123456789abcdef".repeat(4);
    format!("[[api_keys]]\nname = \"a\"\nhash = \"sha256:{hash}\"\nscopes = [\"*\"]\n{lines}")
}

#[test]
fn api_keys_have_names_hashes_and_scopes() {
    assert_eq!(read(&api_key("")).unwrap().api_keys.len(), 1);
    let second =
        |name: &str, hash: &str, scopes: &str| api_key(&format!("[[api_keys]]\nname = \"{name}\"\nhash = \"{hash}\"\nscopes = {scopes}\n"));
    let good = format!("sha256:{}", "f".repeat(64));
    is_refused(&second("a", &good, "[\"read\"]"), &["api_keys.a.name", "another key"]);
    is_refused(
        &second("b", &format!("sha256:{}", "0123456789abcdef".repeat(4)), "[\"read\"]"),
        &["api_keys.b.hash", "hash of `a`", "yizhan keys new"],
    );
    is_refused(&second("b", "sha256:12", "[\"read\"]"), &["api_keys.b.hash", "64 hex digits"]);
    is_refused(&second("b", "yzk_0123", "[\"read\"]"), &["api_keys.b.hash", "a key, not its hash"]);
    is_refused(&second("b", &good, "[]"), &["api_keys.b.scopes", "empty"]);
    is_refused(&second("b", &good, "[\"token:read\"]"), &["api_keys.b.scopes", "`token:read`", "tokens:read"]);
    is_refused(&second("b", &good, "[\"read@nowhere\"]"), &["api_keys.b.scopes", "`read@nowhere` names no component"]);
}

fn subscription(lines: &str) -> String {
    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    format!("[[subscriptions]]\nname = \"bot\"\nurl = \"https://bot.example.com/hook/\"\nsecret = \"{secret}\"\n{lines}")
}

#[test]
fn a_subscription_of_the_file_is_complete() {
    let lines = "events = [\"audit.*\", \"ticket.received\"]\nordering = \"authorizer\"\nrate = 5\nretry = [\"1s\"]\ntimeout = \"2s\"\n";
    let config = read(&subscription(lines)).unwrap();
    let bot = &config.subscriptions[0];
    assert_eq!(
        (bot.origin, bot.ordering, bot.rate, bot.concurrency),
        (Origin::File, Ordering::Authorizer, Some(5), config.fanout.concurrency)
    );
    assert_eq!((bot.retry.as_deref(), bot.timeout), (Some([Duration::from_secs(1)].as_slice()), Some(Duration::from_secs(2))));
    assert_eq!(bot.url, "https://bot.example.com/hook/", "an address is sent to as it was written");
    assert_eq!(bot.keys.len(), 1);
}

#[test]
fn subscriptions_are_checked_member_by_member() {
    let with = |lines: &str| subscription(&format!("events = [\"*\"]\n{lines}\n"));
    assert!(read(&with("")).is_ok());
    is_refused(&subscription(""), &["subscriptions.bot.events", "[\"*\"]"]);
    is_refused(&subscription("events = [\"audit.pased\"]\n"), &["\"audit.pased\" matches no event type", "did you mean `audit.passed`?"]);
    is_refused(&subscription("events = [\"tickets.*\"]\n"), &["matches no event type", "audit.*"]);
    is_refused(&with("components = [\"baido\"]"), &["subscriptions.bot.components", "no component \"baido\""]);
    is_refused(&with("ordering = \"strict\""), &["subscriptions.bot.ordering", "none, authorizer"]);
    is_refused(&with("concurrency = 0"), &["subscriptions.bot.concurrency", "between 1 and 256"]);
    is_refused(&with("rate = -1"), &["subscriptions.bot.rate"]);
    is_refused(&with("retry = [\"soon\"]"), &["subscriptions.bot.retry"]);
    is_refused(&with("timeout = \"1h\""), &["subscriptions.bot.timeout", "120s"]);
    is_refused(&with("urls = 1"), &["subscriptions.bot.urls", "did you mean `url`?"]);
    let renamed = |name: &str| with("").replace("\"bot\"", &format!("\"{name}\""));
    is_refused(&renamed("yizhan-vault"), &["yizhan-"]);
    is_refused(&renamed("a/b"), &["letters, digits"]);
    is_refused(&renamed(&"x".repeat(65)), &["1 to 64"]);
    is_refused(&format!("{}{}", with(""), with("")), &["another subscription"]);
    for url in ["ftp://bot.example.com", "bot.example.com", "http://"] {
        is_refused(&with("").replace("https://bot.example.com/hook/", url), &["subscriptions.bot.url", "http"]);
    }
    for secret in ["whsec_", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "whsec_%%%"] {
        is_refused(&with("").replace("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", secret), &["subscriptions.bot.secret", "whsec_$("]);
    }
}

#[test]
fn networks_are_cidrs_or_single_addresses() {
    let config = read("[fanout]\nallow_private = [\"10.0.0.0/8\", \"127.0.0.1\"]\n").unwrap();
    assert_eq!(config.fanout.allow_private[1].to_string(), "127.0.0.1/32");
    assert!(config.server.trusted_proxies.contains(&"127.0.0.0/8".parse().unwrap()), "a proxy on the same machine");
    is_refused("[server]\ntrusted_proxies = [\"proxy.internal\"]\n", &["server.trusted_proxies", "`proxy.internal`", "CIDR"]);
    is_refused("[fanout]\nallow_private = [\"10.0.0.0/40\"]\n", &["fanout.allow_private", "`10.0.0.0/40`", "CIDR"]);
}

#[test]
fn numbers_and_spans_have_bounds() {
    is_refused("[server]\nmax_push_bytes = 10\n", &["server.max_push_bytes", "1024"]);
    is_refused("[server]\nmax_connections = 99999999999999\n", &["server.max_connections"]);
    is_refused("[store]\nretention = \"1m\"\n", &["store.retention", "out of range"]);
    is_refused("[server]\npublic_url = \"post.example.com\"\n", &["server.public_url", "https://example.com"]);
    is_refused("[server]\npublic_url = \"https://a.example/?x\"\n", &["server.public_url", "query"]);
}

#[test]
fn what_is_valid_and_probably_not_meant_is_a_warning() {
    let at = |text: &str| -> Vec<String> { read(text).unwrap().warnings().into_iter().map(|warning| warning.at).collect() };
    assert_eq!(at(""), ["components", "api_keys"]);
}

#[test]
fn a_handler_in_a_private_network_needs_leave() {
    let local = subscription("events = [\"*\"]\n").replace("bot.example.com", "127.0.0.1:3000");
    is_refused(&local, &["subscriptions.bot.url", "allow_private"]);
    assert!(read(&format!("{local}[fanout]\nallow_private = [\"127.0.0.0/8\"]\n")).is_ok());
}

#[test]
fn a_component_needs_a_name_for_addresses_and_a_known_platform() {
    is_refused(
        "[[components]]\nname = \"a\"\nplatform = \"wexin\"\nclient_id = \"x\"\n",
        &["components.a.platform", "baidu, douyin, kuaishou, alipay"],
    );
    let problems = problems("[[components]]\nname = \"A b\"\nplatform = \"nowhere\"\n[[components]]\n");
    let at: Vec<&str> = problems.iter().map(|problem| problem.at.as_str()).collect();
    assert_eq!(at, ["components.A b.name", "components.A b.platform", "components[1].name", "components[1].platform"]);
}

#[test]
fn every_scope_is_in_the_documented_defaults() {
    for scope in Scope::ALL {
        assert!(DEFAULTS.contains(scope.as_str()), "{scope}");
    }
}

/// The lines of a platform's example in the documented defaults, every comment sign before a setting taken off.
fn example(platform: &str) -> String {
    let begin = DEFAULTS.find(&format!("# platform = \"{platform}\"\n")).unwrap();
    let block = DEFAULTS[begin..].split("\n\n").next().unwrap();
    let bare = block.lines().map(|line| line.trim_start_matches(['#', ' ']));
    let is_setting = |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    bare.filter(is_setting).fold(String::new(), |text, line| text + line + "\n")
}

/// Unknown keys, and what is said to be known beside them.
fn unknown(text: &str) -> Vec<(String, Vec<String>)> {
    let problems = read(text).err().unwrap_or_default();
    let unknown = problems.into_iter().filter(|problem| problem.message == "is not a known key");
    unknown.map(|problem| (problem.at, problem.hint.trim_start_matches("known here: ").split(", ").map(str::to_owned).collect())).collect()
}

#[test]
fn every_setting_of_every_platform_is_in_the_documented_defaults_and_no_other() {
    const STRANGE: &str = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";
    for platform in yizhan::platform::ALL.iter().map(|platform| platform.name()) {
        let example = example(platform);
        let with = |line: &str| format!("[[components]]\nname = \"a\"\n{example}{line}\n");
        assert_eq!(unknown(&with("")), [], "{platform}");
        let keys: Vec<&str> = example.lines().map(|line| line.split_once(" = ").unwrap().0).collect();
        // Names with dots in them are quoted.
        let keys: Vec<String> = keys.into_iter().map(|key| key.replace('"', "")).collect();
        let tables: std::collections::BTreeSet<&str> = keys.iter().filter_map(|key| Some(key.split_once('.')?.0)).collect();
        for prefix in std::iter::once(String::new()).chain(tables.iter().map(|table| format!("{table}."))) {
            let found = unknown(&with(&format!("{prefix}{STRANGE} = 1")));
            assert_eq!(found.len(), 1, "{platform} {prefix}: {found:?}");
            for known in found[0].1.iter().filter(|known| !["name", "twin_private_key"].contains(&known.as_str())) {
                let written = format!("{prefix}{known}");
                assert!(
                    keys.iter().any(|key| *key == written || key.starts_with(&format!("{written}."))),
                    "{platform}: {written} is not documented"
                );
            }
        }
    }
}

#[test]
fn every_line_of_the_documented_examples_may_be_switched_on_as_it_stands() {
    // Alipay's shows two modes that exclude each other.
    for platform in yizhan::platform::ALL.iter().map(|platform| platform.name()).filter(|name| *name != "alipay") {
        let text = format!("[[components]]\nname = \"a\"\n{}\n", example(platform));
        // Secrets come from the operator's environment, and the examples name it.
        let is_secret = |problem: &&yizhan::settings::Problem| problem.message.contains("environment variable");
        let problems = read(&text).err().unwrap_or_default();
        let refused: Vec<_> = problems.iter().filter(|problem| !is_secret(problem)).collect();
        assert!(refused.is_empty(), "{platform}: {refused:#?}");
    }
}

#[test]
fn the_samples_of_all_platforms_make_components() {
    let mut text = String::new();
    for platform in yizhan::platform::ALL {
        let (name, sample) = (platform.name(), platform.sample_settings("http://127.0.0.1:9000/x"));
        text += &format!("[[components]]\nname = \"my-{name}\"\nplatform = \"{name}\"\n{sample}\n");
    }
    let config = read(&text).unwrap();
    let names: Vec<&str> = config.components.iter().map(|component| component.name()).collect();
    assert_eq!(names, ["my-baidu", "my-douyin", "my-kuaishou", "my-alipay"]);
    let wrong = read(&text.replace("my-douyin", "my-baidu")).err().unwrap();
    assert_eq!((wrong.len(), wrong[0].at.as_str()), (1, "components.my-baidu.name"), "{wrong:#?}");
    let narrowed = api_key("").replace("\"*\"", "\"read@my-alipay\"");
    let chosen = subscription("events = [\"*\"]\ncomponents = [\"my-baidu\"]\n");
    assert!(read(&format!("{text}{narrowed}{chosen}")).is_ok());
    assert_eq!(read(&text).unwrap().warnings()[0].at, "server.public_url");
}
