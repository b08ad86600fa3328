//! What the documents tell somebody to do first, done as it is written.

use std::fs;
use std::path::Path;
use std::process::Command;

use yizhan::config::Config;

use super::{Ran, command, run};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What stands between the first of these lines and the second.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("{from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("{to}")).0
}

#[test]
fn the_readmes_first_steps_give_a_configuration_and_what_the_console_wants() {
    for (readme, heading) in [("README.md", "## Run it for one platform\n"), ("README.zh-CN.md", "## 接入一个平台\n")] {
        let text = read(readme);
        let section = between(&text, heading, "\n## ");
        let folder = tempfile::tempdir().unwrap();
        let init: Vec<&str> = between(section, "`yizhan ", "`").split(' ').collect();
        assert_eq!(run(folder.path(), &init).code, 0, "{readme}: {init:?}");
        let file = folder.path().join("yizhan.toml");
        let configuration = format!("{}\n{}", fs::read_to_string(&file).unwrap(), between(section, "```toml\n", "```"));
        fs::write(&file, configuration).unwrap();
        let mut check = command(folder.path(), &["check"]);
        check.env("DOUYIN_SECRET", "s").env("DOUYIN_TOKEN", "t").env("DOUYIN_AES_KEY", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG");
        let check: Ran = check.output().unwrap().into();
        assert_eq!(check.code, 0, "{readme}: {}", check.err);

        let told: Vec<(&str, &str)> = check.out.lines().filter_map(|line| line.strip_prefix("  ")?.split_once("  ")).collect();
        let told: Vec<(&str, &str)> = told.into_iter().map(|(what, value)| (what, value.trim())).collect();
        let rows = section.lines().filter_map(|row| row.strip_prefix("| ")?.strip_suffix("` |")).map(|row| {
            let (what, value) = row.split_once(" | ").zip(row.rsplit_once('`')).map(|((what, _), (_, value))| (what, value)).unwrap();
            (what, value)
        });
        assert_eq!(rows.collect::<Vec<_>>(), told, "{readme}");
    }
}

/// The proxies of `deploy/` answer 404 there.
#[test]
fn no_document_sends_callers_of_the_api_to_the_public_address() {
    for document in ["README.md", "README.zh-CN.md", "docs/operations.md", "docs/playbooks.md", "docs/rollouts.md"] {
        assert!(!read(document).contains("post.example.com/v1"), "{document}");
    }
}

#[test]
fn the_units_first_steps_make_a_configuration_that_every_command_finds_the_store_with() {
    let unit = read("deploy/yizhan.service");
    assert!(!unit.contains("YIZHAN__"), "what stands in the unit alone, a shell beside it does not know");
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc").display().to_string();
    // Those that need root are left out.
    let steps = unit.lines().filter_map(|line| line.strip_prefix("#   "));
    let steps = steps.filter(|step| ["install ", "yizhan ", "sed "].iter().any(|command| step.starts_with(command)));
    let script = steps.map(|step| step.replace("/etc/yizhan", &etc)).collect::<Vec<_>>();
    assert_eq!(script.len(), 3, "{script:?}");
    let program = Path::new(env!("CARGO_BIN_EXE_yizhan")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let done = Command::new("sh").args(["-ec", &script.join("\n")]).env_clear().env("PATH", path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let config = Config::load(Some(Path::new(&etc).join("yizhan.toml").as_path()), Default::default());
    let config = config.unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(config.store.path, Path::new("/var/lib/yizhan/data"));
}
