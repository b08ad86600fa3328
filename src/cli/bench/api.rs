//! The service's API, as the run needs it: one connection, with the key of the run.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// A caller of one service.
pub struct Api {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Api {
    /// Of the service at that address.
    pub fn new(address: SocketAddr, key: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { client, base: format!("http://{address}"), key: key.to_owned() })
    }

    /// `GET`, answered with JSON.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(self.client.get(format!("{}{path}", self.base))).await
    }

    /// `POST` of JSON, answered with JSON.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}{path}", self.base));
        self.ask(request.header("content-type", "application/json").body(body.to_string())).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(self.client.delete(format!("{}{path}", self.base))).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let response = request.bearer_auth(&self.key).send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The sum of all series of a metric whose labels hold that text.
    pub async fn metric(&self, name: &str, label: &str) -> anyhow::Result<f64> {
        let text = self.client.get(format!("{}/metrics", self.base)).send().await?.text().await?;
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            let fits = (labels.is_empty() || labels.starts_with('{')) && labels.contains(label);
            fits.then(|| value.parse::<f64>().ok()).flatten()
        };
        Ok(text.lines().filter_map(value).sum())
    }

    /// Sum and count of all series of a histogram whose labels hold that text.
    pub async fn histogram(&self, name: &str, label: &str) -> anyhow::Result<(f64, f64)> {
        Ok((self.metric(&format!("{name}_sum"), label).await?, self.metric(&format!("{name}_count"), label).await?))
    }

    /// Waits until that holds.
    pub async fn until(&self, what: &str, patience: Duration, holds: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let waiting = async {
            while !holds().await? {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        };
        tokio::time::timeout(patience, waiting).await.with_context(|| format!("waited in vain until {what}"))?
    }
}
