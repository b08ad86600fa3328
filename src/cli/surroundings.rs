//! Where a command runs: its configuration file and its environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::config::Config;

/// The file that is used when none is named.
pub const DEFAULT_FILE: &str = "yizhan.toml";

/// Where a command runs.
#[derive(Debug)]
pub struct Place {
    named: Option<PathBuf>,
}

impl Place {
    /// `named` is what `--config` or `YIZHAN_CONFIG` says.
    pub fn new(named: Option<PathBuf>) -> Self {
        Self { named: named.filter(|path| !path.as_os_str().is_empty()) }
    }

    /// The file to read: the one named, else `yizhan.toml` where there is one, else none.
    pub fn file(&self) -> Option<PathBuf> {
        self.named.clone().or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()))
    }

    /// The file to write.
    pub fn file_to_write(&self) -> &Path {
        self.named.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    /// Reads the configuration.
    pub fn config(&self) -> Result<Config, Failure> {
        let file = self.file();
        Config::load(file.as_deref(), variables()).map_err(|problems| Failure::Configuration { file, problems })
    }
}

/// The environment; variables that are not UTF-8 cannot be meant for us.
pub fn variables() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}
