//! `yizhan init`: a commented configuration file with fresh keys.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine;

use super::failure::{Failure, hinted};
use super::keys::{ApiKey, random};
use super::surroundings::Place;
use super::terminal::Terminal;
use super::whole_file::WholeFile;
use crate::config::DEFAULTS;

/// Write a commented configuration file with fresh keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "The file is the one of --config, else yizhan.toml in this folder. Only its owner may read it.")]
pub struct Init {
    /// Overwrite a file that is there. Its master key is lost: what it sealed cannot be opened any more.
    #[arg(long)]
    force: bool,
    /// What platforms and browsers see, as in https://post.example.com.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

impl Init {
    /// Writes the file and shows the API key once.
    pub fn run(self, terminal: &Terminal, place: &Place) -> Result<(), Failure> {
        let file = place.file_to_write();
        let master_key = base64::engine::general_purpose::STANDARD.encode(random()?);
        let api_key = ApiKey::fresh("admin", vec![String::from("*")])?;
        let mut lines = vec![("store", "master_key", master_key)];
        lines.extend(self.public_url.map(|url| ("server", "public_url", url)));
        write(file, &filled(&lines, &api_key), self.force)?;

        if terminal.json {
            terminal.json(&serde_json::json!({ "config": file.display().to_string(), "api_key": api_key.text.expose() }))?;
        } else {
            terminal.say(format!("Wrote {} with a fresh master key: keep a copy of it in a safe place.", file.display()));
            terminal.say("An API key that may do everything, shown only now (export YIZHAN_API_KEY=…):");
            terminal.data(api_key.text.expose())?;
            terminal.say("Next: add your applications as [[components]], then `yizhan check` and `yizhan serve`.");
        }
        Ok(())
    }
}

/// The documented defaults, commented out so that later versions may better them, with `lines` and the API key in force.
fn filled(lines: &[(&str, &str, String)], api_key: &ApiKey) -> String {
    let mut text =
        String::from("# Written by `yizhan init`. What is commented out is the default; `yizhan check` says everything that is wrong.\n");
    let mut section = "";
    // The first paragraph speaks of the file as the built-in defaults.
    for line in DEFAULTS.lines().skip_while(|line| *line != "#") {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        }
        let key = line.split_once(" = ").map(|(key, _)| key);
        if let Some((_, key, value)) = lines.iter().find(|(of, wanted, _)| *of == section && Some(*wanted) == key) {
            text.push_str(&format!("{key} = {}\n", toml::Value::String(value.clone())));
        } else if line.is_empty() || line.starts_with(['#', '[']) {
            text.push_str(&format!("{line}\n"));
        } else {
            text.push_str(&format!("# {line}\n"));
        }
        if line.starts_with("# scopes = ") {
            text.push_str(&format!("\n{}", api_key.config_lines()));
        }
    }
    text
}

fn write(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut whole = WholeFile::create(file, "name another one with --config")?;
    whole.write_all(text.as_bytes()).with_context(|| format!("{} cannot be written", file.display()))?;
    if force {
        return Ok(whole.keep()?);
    }
    if !whole.keep_new()? {
        let hint = "name another file with --config, or say --force to lose the keys in this one";
        return Err(anyhow::Error::from(hinted(format!("{} is there already", file.display()), hint)).into());
    }
    Ok(())
}
