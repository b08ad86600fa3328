//! The demo's client of the service: what another service would write.

use std::time::Duration;

use serde_json::Value;

/// A client with a key.
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Api {
    pub(super) fn new(base: &str, key: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(40)).build()?;
        Ok(Self { client, base: base.to_owned(), key: key.to_owned() })
    }

    /// Status and JSON of a `GET`.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<(u16, Value)> {
        answer(self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.key)).await
    }

    /// Status and JSON of a `POST`.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.key);
        answer(request.header("content-type", "application/json").body(body.to_string())).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<(u16, Value)> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    Ok((status, serde_json::from_slice(&response.bytes().await?).unwrap_or_default()))
}
