//! `yizhan keys new`: an API key, shown once, and the lines of the configuration that let it in.

use super::failure::Failure;
use super::terminal::Terminal;
use crate::access::{Permit, Scope};
use crate::envelope::digest;
use crate::secret::Secret;

/// API keys.
#[derive(Debug, clap::Subcommand)]
pub enum Keys {
    /// Make a key. It is shown once; the configuration only gets its hash.
    New(New),
}

/// Make a key.
#[derive(Debug, clap::Args)]
pub struct New {
    /// Whose key it is; logs and the audit call it so.
    #[arg(long, default_value = "service")]
    name: String,
    /// What it may do: `tokens:read,events:read@douyin`, `*` for everything.
    #[arg(long, value_delimiter = ',', default_value = "read,tokens:read")]
    scopes: Vec<String>,
}

impl Keys {
    /// Makes a key.
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let Self::New(New { name, scopes }) = self;
        for scope in &scopes {
            scope.parse::<Permit>().map_err(|unknown| {
                let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
                Failure::usage(unknown.to_string(), format!("known: {}, *; each may be narrowed with @component", known.join(", ")))
            })?;
        }
        let key = ApiKey::fresh(&name, scopes)?;
        if terminal.json {
            terminal.json(&serde_json::json!({
                "key": key.text.expose(), "name": key.name, "hash": key.hash, "scopes": key.scopes, "config": key.config_lines(),
            }))?;
        } else {
            terminal.say("The key, shown only now:");
            terminal.data(key.text.expose())?;
            terminal.say("\nThe lines for the configuration of the service:");
            terminal.data(key.config_lines().trim_end())?;
        }
        Ok(())
    }
}

/// A key that was just made.
pub struct ApiKey {
    /// `yzk_` and 64 hex digits.
    pub text: Secret,
    name: String,
    hash: String,
    scopes: Vec<String>,
}

impl ApiKey {
    /// Makes one from 32 random bytes.
    pub fn fresh(name: &str, scopes: Vec<String>) -> anyhow::Result<Self> {
        let text = Secret::new(format!("yzk_{}", hex::encode(random()?)));
        let hash = format!("sha256:{}", hex::encode(digest::sha256(&[text.expose().as_bytes()])));
        Ok(Self { text, name: name.to_owned(), hash, scopes })
    }

    /// The table that lets it in.
    pub fn config_lines(&self) -> String {
        let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let scopes: Vec<String> = self.scopes.iter().map(|scope| text(scope)).collect();
        format!("[[api_keys]]\nname = {}\nhash = {}\nscopes = [{}]\n", text(&self.name), text(&self.hash), scopes.join(", "))
    }
}

/// Random bytes for a key.
pub fn random() -> anyhow::Result<zeroize::Zeroizing<[u8; 32]>> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| anyhow::anyhow!("the system gave no randomness"))?;
    Ok(bytes)
}
