//! `yizhan restore`: a backup put back into an empty store.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::Context as _;

use super::failure::{Failure, hinted};
use super::surroundings::Place;
use super::terminal::Terminal;
use crate::app;

/// Put a backup back into an empty store.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The service must not run. The master key must be the one the backup was made under, or that one must be among `store.previous_master_keys`."
)]
pub struct Restore {
    /// File that `yizhan backup` wrote.
    file: PathBuf,
}

impl Restore {
    /// Checks the whole file, then puts it back.
    pub fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let config = place.config()?;
        let folder = config.store.path;
        // A damaged archive must not leave half a store behind.
        super::backup::records(&self.file)?;
        let file = File::open(&self.file).with_context(|| format!("{} cannot be read", self.file.display()))?;
        let records = app::restore(BufReader::new(file), &folder).map_err(|error| {
            let hint = format!("move {} away, or name an empty folder in `store.url`, and try again", folder.display());
            anyhow::Error::from(hinted(error.to_string(), hint))
        })?;
        if terminal.json {
            terminal.json(&serde_json::json!({"folder": folder.display().to_string(), "records": records}))?;
        } else {
            terminal.data(format!("{records} records restored into {}", folder.display()))?;
        }
        Ok(())
    }
}
