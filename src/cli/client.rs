//! Speaking to a running service as any caller does: with an API key, by HTTP. Turns its problem bodies into errors with a hint.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use url::Url;

use super::failure::{Failure, hinted};
use super::terminal::plain;
use crate::secret::Secret;

/// Which service, and who asks.
#[derive(Debug, clap::Args)]
pub struct Remote {
    /// Address of the service.
    #[arg(long, env = "YIZHAN_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// API key; better given in the environment, where other users of the machine do not see it.
    #[arg(long, env = "YIZHAN_API_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
}

impl Remote {
    /// A client where a key is given; commands that can do without a service ask so.
    pub fn optional(self) -> Result<Option<Client>, Failure> {
        if self.key.as_deref().is_some_and(|key| !key.trim().is_empty()) { self.client().map(Some) } else { Ok(None) }
    }

    /// A client.
    pub fn client(self) -> Result<Client, Failure> {
        let base = Url::parse(&self.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base = base.ok_or_else(|| {
            Failure::usage(
                format!("`{}` is not an http or https address", self.url),
                "write --url http://127.0.0.1:8080, or set YIZHAN_URL",
            )
        })?;
        // Read from a file, as a mounted secret is, it ends with a line break.
        let key = self.key.as_deref().map(str::trim).unwrap_or_default();
        if key.is_empty() {
            return Err(Failure::usage("no API key", "set YIZHAN_API_KEY or say --key; `yizhan keys new` makes one"));
        }
        if !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            let hint = "set YIZHAN_API_KEY to the key alone: the line that begins with yzk_";
            return Err(Failure::usage("the API key has a line break or another character that no header takes", hint));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("yizhan-cli/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("the HTTP client cannot be made")?;
        Ok(Client { http, base, key: Secret::new(key) })
    }
}

/// A service.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Secret,
}

/// What to do where somebody else answers.
pub const ANOTHER_SERVICE: &str = "does --url name a Yizhan service, without a path of its own?";

/// What to do where a request that changes something was sent and not answered.
const LOOK_UP: &str = "look whether it was carried out before you repeat it";

/// The same of a command that takes a key, and was given none: one that comes with the repetition says nothing of what was sent before.
const LOOK_UP_WITHOUT_KEY: &str =
    "look whether it was carried out before you repeat it; what is sent with `--idempotency-key` can be repeated safely";

/// The same where a key was sent.
const REPEAT: &str = "repeat it with the same `--idempotency-key`: the service carries it out only once";

/// Query parameters, those that were given.
pub type Query = Vec<(&'static str, String)>;

/// Time for an ordinary exchange; longer than any long poll that the service allows.
const ORDINARY: Duration = Duration::from_secs(90);

/// Time until something long begins; the service begins at once.
pub const OPENING: Duration = Duration::from_secs(30);

/// Time for an operation; a little longer than the service gives it.
const OPERATION: Duration = Duration::from_secs(330);

impl Client {
    /// `GET`, answered with JSON. `path` is given in segments, which are escaped here.
    pub async fn get(&self, path: &[&str], query: &Query) -> anyhow::Result<Value> {
        let response = self.send(self.request(Method::GET, path, query)?.timeout(ORDINARY), None).await?;
        Self::json(response, None).await
    }

    /// `POST` of JSON, answered with JSON.
    pub async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, body).await
    }

    /// The same where it changes nothing: a check, or what something would do.
    pub async fn preview(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.exchange(Method::POST, path, body, None).await
    }

    /// Any method that changes something, with JSON, answered with JSON.
    pub async fn ask(&self, method: Method, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.exchange(method, path, body, Some(LOOK_UP)).await
    }

    async fn exchange(&self, method: Method, path: &[&str], body: &Value, doubt: Option<&str>) -> anyhow::Result<Value> {
        let request = self.request(method, path, &Query::new())?.timeout(ORDINARY);
        let response = self.send(request.header(header::CONTENT_TYPE, "application/json").body(body.to_string()), doubt).await?;
        Self::json(response, doubt).await
    }

    /// `DELETE`, answered with nothing.
    pub async fn delete(&self, path: &[&str]) -> anyhow::Result<()> {
        self.send(self.request(Method::DELETE, path, &Query::new())?.timeout(ORDINARY), Some(LOOK_UP)).await.map(drop)
    }

    /// `POST` of JSON, answered with anything: its content type and its bytes. Operations may take minutes, polls included. For commands that take an
    /// `--idempotency-key`.
    pub async fn post_any(&self, path: &[&str], body: &Value, headers: &[(&'static str, &str)]) -> anyhow::Result<(String, Vec<u8>)> {
        let mut request = self.request(Method::POST, path, &Query::new())?.timeout(OPERATION);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let doubt = Some(if headers.iter().any(|(name, _)| *name == "idempotency-key") { REPEAT } else { LOOK_UP_WITHOUT_KEY });
        let response = self.send(request.header(header::CONTENT_TYPE, "application/json").body(body.to_string()), doubt).await?;
        let content_type =
            response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let bytes = Self::whole(response, doubt).await?;
        Ok((content_type, bytes.to_vec()))
    }

    /// `GET` of something long. It must begin within `opening`, and a refusal be whole; how long it may be silent later is for the caller to say.
    pub async fn open(
        &self,
        path: &[&str],
        query: &Query,
        headers: &[(&'static str, &str)],
        opening: Duration,
    ) -> anyhow::Result<reqwest::Response> {
        let mut request = self.request(Method::GET, path, query)?;
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let opened = tokio::time::timeout(opening, self.send(request, None)).await;
        opened.unwrap_or_else(|_| Err(self.unreachable("did not answer in time", &format!("nothing came within {} s", opening.as_secs()))))
    }

    fn request(&self, method: Method, path: &[&str], query: &Query) -> anyhow::Result<reqwest::RequestBuilder> {
        // A URL leaves such segments out, and another address would be asked than the one that was meant.
        if let Some(segment) = path.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(hinted(format!("`{segment}` is no name and no id"), "write it as the lists show it").into());
        }
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.http.request(method, url).bearer_auth(self.key.expose()))
    }

    /// `doubt` is what to do where nobody knows whether it was carried out; nothing for what changes nothing.
    async fn send(&self, request: reqwest::RequestBuilder, doubt: Option<&str>) -> anyhow::Result<reqwest::Response> {
        let response = request.send().await.map_err(|error| self.unanswered(error, doubt))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    fn unanswered(&self, error: reqwest::Error, doubt: Option<&str>) -> anyhow::Error {
        // The address may carry a query with names of merchants: say only where we tried.
        let error = error.without_url();
        let was_sent = !error.is_connect() && !error.is_builder();
        let what = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
        let cause = anyhow::Error::from(error).chain().last().map(ToString::to_string).unwrap_or_default();
        match doubt.filter(|_| was_sent) {
            // The service goes on with much of what it has begun, and whoever takes that for undone does it twice.
            Some(hint) => {
                let address = self.base.origin().ascii_serialization();
                hinted(format!("it was sent to {address}, and no answer came: it may have been carried out ({cause})"), hint).into()
            }
            None => self.unreachable(what, &cause),
        }
    }

    fn unreachable(&self, what: &str, cause: &str) -> anyhow::Error {
        let address = self.base.origin().ascii_serialization();
        let hint = "is the service running (`yizhan serve`)? another address: --url or YIZHAN_URL";
        hinted(format!("{address} {what}: {cause}"), hint).temporary(true).into()
    }

    /// All of an answer.
    async fn whole(response: reqwest::Response, doubt: Option<&str>) -> anyhow::Result<Bytes> {
        let read = response.bytes().await.map_err(reqwest::Error::without_url);
        match doubt {
            Some(hint) => Ok(read.map_err(|error| hinted(format!("the answer broke off: it may have been carried out ({error})"), hint))?),
            None => read.context("the answer broke off"),
        }
    }

    /// The answer to everything that has one is an object; anything else is told by somebody else.
    async fn json(response: reqwest::Response, doubt: Option<&str>) -> anyhow::Result<Value> {
        let body = Self::whole(response, doubt).await?;
        let read = serde_json::from_slice(&body).ok().filter(Value::is_object);
        read.ok_or_else(|| hinted("the answer is not a JSON object", ANOTHER_SERVICE).into())
    }
}

/// The members of a problem body that have a place of their own in the message; `parameters` repeats the detail for programs.
const KNOWN: [&str; 8] = ["type", "title", "status", "detail", "hint", "request_id", "instance", "parameters"];

async fn refused(response: reqwest::Response) -> anyhow::Error {
    let status = response.status();
    let body: Value = response.bytes().await.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    // What vendors and handlers say may be among it.
    let text = |member: &str| plain(body.get(member).and_then(Value::as_str).unwrap_or_default());
    let mut message = match (text("title"), text("detail")) {
        (title, detail) if title.is_empty() && detail.is_empty() => format!("the service answered {status}"),
        (title, detail) if title.is_empty() || detail.is_empty() => title + &detail,
        (title, detail) => format!("{title}: {detail}"),
    };
    for (name, value) in body.as_object().into_iter().flatten().filter(|(name, _)| !KNOWN.contains(&name.as_str())) {
        message.push_str(&format!("\n  {}: {}", plain(name), plain(&value.to_string())));
    }
    match text("request_id").as_str() {
        "" => {}
        id => message.push_str(&format!(" (status {}, request {id})", status.as_u16())),
    }
    let hint = text("hint");
    let hint = match (hint.as_str(), status) {
        ("", StatusCode::UNAUTHORIZED) => "check YIZHAN_API_KEY or --key against the [[api_keys]] of the service",
        ("", StatusCode::FORBIDDEN) => "add the scope to this key's `scopes` in the configuration of the service",
        (hint, _) => hint,
    };
    hinted(message, hint).answered(status.as_u16()).temporary(status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS).into()
}
