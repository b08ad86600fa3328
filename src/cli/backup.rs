//! `yizhan backup`: the whole store of a running service as one file, checked before it is kept.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::client::{Query, Remote};
use super::failure::{Failure, hinted};
use super::terminal::Terminal;
use super::whole_file::WholeFile;
use crate::store::archive::ArchiveReader;

/// Write the whole store of a running service into a file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The key needs the scope `store:backup` (or `*`). Secrets stay sealed: a backup is of use only with the master key of its store."
)]
pub struct Backup {
    /// File to write; one that is there is replaced once the new one is whole.
    file: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

impl Backup {
    /// Fetches, checks, keeps.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let mut file = WholeFile::create(&self.file)?;
        let mut response = client.open(&["v1", "backup"], &Query::new(), &[]).await?;
        let mut progress = terminal.progress();
        let mut bytes = 0_u64;
        while let Some(piece) =
            response.chunk().await.map_err(reqwest::Error::without_url).context("the backup broke off; nothing was kept")?
        {
            file.write_all(&piece).with_context(|| format!("{} cannot be written", self.file.display()))?;
            bytes += u64::try_from(piece.len()).unwrap_or_default();
            progress.at(&format!("{} MiB", bytes >> 20));
        }
        drop(progress);
        let records = records(file.flushed()?)?;
        file.keep()?;
        if terminal.json {
            terminal.json(&serde_json::json!({ "file": self.file.display().to_string(), "bytes": bytes, "records": records }))?;
        } else {
            terminal.data(format!("{}: {records} records, {bytes} bytes, whole", self.file.display()))?;
        }
        Ok(())
    }
}

/// Reads an archive to its end: the number of its records, if it is whole.
fn records(file: &Path) -> anyhow::Result<u64> {
    let whole = || {
        let mut archive = ArchiveReader::new(BufReader::new(File::open(file)?))?;
        let mut records = 0;
        while archive.next()?.is_some() {
            records += 1;
        }
        Ok::<u64, crate::store::archive::ArchiveError>(records)
    };
    whole().map_err(|error| hinted(error.to_string(), "take the backup again; `yizhan backup` keeps only whole ones").into())
}
