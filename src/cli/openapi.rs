//! `yizhan openapi`: the description of the service API, or of the operations for people. Needs no service.

use super::failure::Failure;
use super::terminal::Terminal;
use crate::http::openapi;
use crate::operations::{page, sheet};

/// Print the OpenAPI document of the service.
#[derive(Debug, clap::Args)]
pub struct OpenApi {
    /// Print the page about operations (docs/operations.md) instead.
    #[arg(long)]
    markdown: bool,
}

impl OpenApi {
    /// Prints it.
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        if self.markdown {
            terminal.data(page::markdown(&sheet::all()).trim_end())?;
        } else {
            terminal.document(&openapi::document())?;
        }
        Ok(())
    }
}
