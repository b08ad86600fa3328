//! Nothing that is printed on the way shows a key, a ticket, a token or a code.

use super::*;

/// Shorter texts occur by chance.
const TELLING: usize = 8;

/// Values of a sample that only the vendor and we may know: everything under a name that says so.
pub fn secrets_of(sample: &str) -> Vec<String> {
    let table: toml::Table = toml::from_str(sample).unwrap();
    let hidden = |name: &str| ["secret", "key", "token"].iter().any(|word| name.contains(word));
    let values = table.iter().filter(|(name, _)| hidden(name)).filter_map(|(_, value)| value.as_str());
    // Of a PEM each line is telling.
    let lines = values.flat_map(str::lines).map(str::trim).filter(|line| line.len() >= TELLING && !line.starts_with("-----"));
    lines.map(str::to_owned).collect()
}

impl Stage {
    pub fn assert_nothing_shown(&self) {
        for secret in self.secrets.iter().filter(|secret| secret.len() >= TELLING) {
            for shown in &self.shown {
                assert!(!shown.contains(secret.as_str()), "{}: a secret of {} characters shows in {shown}", self.name, secret.len());
            }
        }
    }
}

#[test]
fn every_sample_has_secrets_to_keep() {
    for stage in stages() {
        assert!(!stage.secrets.is_empty(), "{}", stage.name);
    }
}

#[test]
fn problems_with_settings_show_no_value() {
    for stage in stages() {
        let sample = stage.sample();
        for secret in &stage.secrets {
            // Cutting it makes most of them wrong.
            let cut: String = secret.chars().skip(3).collect();
            if let Err(problems) = stage.platform.component("shop", settings(&sample.replace(secret.as_str(), &cut))) {
                assert!(!format!("{problems:?}").contains(&cut), "{}: {problems:?}", stage.name);
            }
        }
    }
}
