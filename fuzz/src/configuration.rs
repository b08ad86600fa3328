//! The configuration: judged by its values, not by how they are spelt, and never with a panic.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use yizhan::config::Config;
use yizhan::settings::{self, Surroundings};

/// A file, and after a line `---` the environment, one variable a line.
pub fn configuration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // A secret may be `{ file = … }`: an input that names a device would wait for it for ever.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") {
        return;
    }
    let (file, environment) = text.split_once("\n---\n").unwrap_or((text, ""));
    let variables: BTreeMap<String, String> =
        environment.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let surroundings = Surroundings { folder: PathBuf::from("/nonexistent"), variables: Arc::new(variables) };
    let verdict = judged(file, &surroundings);
    assert_eq!(verdict, judged(file, &surroundings), "judged in two ways");
    if let Err(problems) = &verdict {
        assert!(!problems.is_empty(), "refused without a word");
    }
    // The same values in another spelling.
    if let Ok(table) = toml::from_str::<toml::Table>(file)
        && let Ok(printed) = toml::to_string(&table)
    {
        assert_eq!(verdict, judged(&printed, &surroundings), "{printed}");
    }
    for word in file.split_whitespace() {
        if let Some(span) = settings::duration(word.trim_matches('"')) {
            assert_eq!(
                settings::duration(&format!("{}ms", span.as_millis())).map(|again| again.as_millis()),
                u64::try_from(span.as_millis()).ok().map(u128::from)
            );
        }
    }
}

/// What is wrong with it, sorted; what it comes to where nothing is.
fn judged(text: &str, surroundings: &Surroundings) -> Result<String, Vec<(String, String)>> {
    match Config::parse(text, surroundings.clone()) {
        Ok(config) => {
            let components: Vec<_> =
                config.components.iter().map(|component| (component.name().to_owned(), component.app_id().to_owned())).collect();
            let names: Vec<_> = config.subscriptions.iter().map(|subscription| subscription.name.clone()).collect();
            Ok(format!("{:?} {:?} {:?} {components:?} {names:?} {:?}", config.server, config.fanout, config.api_keys, config.store.path))
        }
        Err(problems) => {
            let mut told: Vec<(String, String)> = problems.into_iter().map(|problem| (problem.at, problem.message)).collect();
            told.sort();
            Err(told)
        }
    }
}
