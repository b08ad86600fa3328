//! `yizhan token`: an access token, for scripts and for trying calls out.

use super::client::{Query, Remote};
use super::failure::Failure;
use super::terminal::Terminal;

/// Print a component's or an authorizer's access token.
#[derive(Debug, clap::Args)]
pub struct TokenOf {
    /// Component name.
    component: String,
    /// App id of an authorizer; without it the component's own token.
    authorizer: Option<String>,
    /// At least that many seconds left; renewed first if needed.
    #[arg(long, value_name = "SECONDS")]
    min_ttl: Option<u32>,
    /// Which family, where a platform has two (Douyin: v1).
    #[arg(long)]
    family: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl TokenOf {
    /// Fetches it.
    pub async fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let mut query = Query::new();
        query.extend(self.min_ttl.map(|seconds| ("min_ttl", seconds.to_string())));
        query.extend(self.family.map(|family| ("family", family)));
        let path: Vec<&str> = match &self.authorizer {
            Some(authorizer) => vec!["v1", "components", &self.component, "authorizers", authorizer, "token"],
            None => vec!["v1", "components", &self.component, "token"],
        };
        let body = client.get(&path, &query).await?;
        if terminal.json {
            terminal.json(&body)?;
            return Ok(());
        }
        let token = body.get("access_token").and_then(serde_json::Value::as_str);
        terminal.data(token.ok_or_else(|| anyhow::anyhow!("the answer has no access_token"))?)?;
        if let Some(at) = body.get("expires_at").and_then(serde_json::Value::as_str) {
            terminal.say(format!("valid until {at}"));
        }
        Ok(())
    }
}
