//! `yizhan events export`.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;

use super::Which;
use super::list::{LARGEST, page};
use crate::cli::client::Remote;
use crate::cli::failure::Failure;
use crate::cli::terminal::Terminal;
use crate::cli::whole_file::WholeFile;

/// Write events as JSON lines, newest first.
#[derive(Debug, clap::Args)]
pub struct Export {
    #[command(flatten)]
    which: Which,
    /// File to write, complete or not at all; without it standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

impl Export {
    /// Writes them page by page.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let query = self.which.query()?;
        let client = self.remote.client()?;
        let create = |place| WholeFile::create(place, "leave -o out to write to standard output, or name a file");
        let mut file = self.output.as_deref().map(create).transpose()?;
        let mut progress = terminal.progress();
        let mut count = 0_usize;
        let mut cursor = None;
        loop {
            let list = page(&client, &["v1", "events"], &query, cursor.as_deref(), LARGEST).await?;
            count += list.items.len();
            for event in &list.items {
                match &mut file {
                    Some(file) => writeln!(file, "{event}").context("the file cannot be written")?,
                    None => terminal.json(event)?,
                }
            }
            if file.is_some() {
                progress.at(&format!("{count} events"));
            }
            cursor = list.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        drop(progress);
        if let Some(file) = file {
            file.keep()?;
        }
        terminal.say(format!("{count} events"));
        Ok(())
    }
}
