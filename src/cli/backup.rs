//! `yizhan backup`: the whole store as one file, checked before it is kept; of a running service, or of a store on which none runs.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::client::{Client, OPENING, Query, Remote};
use super::failure::{Failure, hinted};
use super::running::{Stop, stoppable};
use super::surroundings::Place;
use super::terminal::{Terminal, plain};
use super::whole_file::WholeFile;
use crate::app;
use crate::store::archive::ArchiveReader;

/// Write the whole store of a running service (or, with --offline, of this configuration) into a file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The key needs the scope `store:backup` (or `*`). Secrets stay sealed: a backup is of use only with the master key of its store.\nExit code 1 also where a damaged log was written as far as it can be read: the file is kept then, and says what it lacks."
)]
pub struct Backup {
    /// File to write; one that is there is replaced once the new one is whole.
    file: PathBuf,
    /// Read the store of this configuration itself, while no service runs on it: for one that is damaged so that the service does not keep running.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Backup {
    /// Writes, checks, keeps.
    pub fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        stoppable(|stop| self.written(terminal, place, stop))
    }

    fn written(self, terminal: &Terminal, place: &Place, stop: &Stop) -> Result<(), Failure> {
        let mut file = WholeFile::create(&self.file, "name a file: what was written is read again before it is kept")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let written = if self.offline {
            let config = place.config()?;
            terminal.say(format!("reading the whole store in {}", config.store.path.display()));
            let written = runtime.block_on(app::backup_offline(&config, stop.over(&mut file)));
            written.map(drop).map_err(|error| anyhow::Error::from(hinted(error.to_string(), error.hint())).into())
        } else {
            let client = self.remote.client()?;
            runtime.block_on(async {
                tokio::select! {
                    fetched = fetch(client, terminal, &mut file, &self.file) => fetched,
                    // A service that says nothing is not waited for.
                    () = stop.asked() => Err(Failure::Interrupted),
                }
            })
        };
        runtime.shutdown_background();
        written?;
        let written = file.flushed()?;
        let (records, left_out) = contents(written, stop)?;
        let bytes = std::fs::metadata(written).context("the backup cannot be looked at")?.len();
        file.keep()?;
        if terminal.json {
            let left_out: serde_json::Map<_, _> = left_out.iter().map(|(part, stretches)| (part.clone(), (*stretches).into())).collect();
            let told = json!({ "file": self.file.display().to_string(), "bytes": bytes, "records": records, "left_out": left_out });
            terminal.json(&told)?;
        } else {
            let whole = if left_out.is_empty() { "whole" } else { "as far as the store can be read" };
            terminal.data(format!("{}: {records} records, {bytes} bytes, {whole}", self.file.display()))?;
        }
        if left_out.is_empty() {
            return Ok(());
        }
        say_left_out(terminal, &left_out);
        Err(Failure::Told(1))
    }
}

/// Fetches it from a running service.
async fn fetch(client: Client, terminal: &Terminal, file: &mut WholeFile, place: &Path) -> Result<(), Failure> {
    let mut response = client.open(&["v1", "backup"], &Query::new(), &[], OPENING).await?;
    let mut progress = terminal.progress();
    let mut bytes = 0_u64;
    while let Some(piece) = response.chunk().await.map_err(reqwest::Error::without_url).context("the backup broke off; nothing was kept")? {
        file.write_all(&piece).with_context(|| format!("{} cannot be written", place.display()))?;
        bytes += u64::try_from(piece.len()).unwrap_or_default();
        progress.at(&format!("{} MiB", bytes >> 20));
    }
    Ok(())
}

/// Says what a backup lacks.
pub fn say_left_out(terminal: &Terminal, left_out: &[(String, u64)]) {
    let parts: Vec<String> = left_out.iter().map(|(part, stretches)| format!("{stretches} of `{part}`")).collect();
    terminal.say(plain(&format!(
        "the log is damaged: stretches that cannot be read are not in this backup ({}). Keep the backup before it; `yizhan check --store` names what is damaged",
        parts.join(", ")
    )));
}

/// Reads an archive to its end: the number of its records, if it is whole, and what it lacks.
fn contents(file: &Path, stop: &Stop) -> anyhow::Result<(u64, Vec<(String, u64)>)> {
    let whole = || {
        let mut archive = ArchiveReader::new(BufReader::new(stop.over(File::open(file)?)))?;
        let (mut records, mut left_out) = (0, Vec::new());
        while let Some(record) = archive.next()? {
            match app::left_out(&record) {
                Some(stretches) => left_out.push(stretches),
                None => records += 1,
            }
        }
        Ok::<_, crate::store::archive::ArchiveError>((records, left_out))
    };
    whole().map_err(|error| hinted(error.to_string(), "take the backup again; `yizhan backup` keeps only whole ones").into())
}
