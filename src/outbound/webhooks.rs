//! Posts to subscribers: guarded, bounded in time and in what is read, over connections that are used again.
//!
//! Called by `fanout`'s webhook sink. One try per call; it knows neither signatures nor schedules.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderValue, RETRY_AFTER};
use reqwest::{Method, Request};
use url::Url;

use super::guard::{Forbidden, Guard};
use super::names::{Lookup, Resolver, System};
use super::{ClientError, client, words};

/// What is read of an answer at most. People see the first bytes; the rest would only keep us busy.
const MOST_ANSWER_BYTES: usize = 16 * 1024;

/// Idle connections are closed before the usual servers close them (5 s with Node and many others), so that a post seldom meets a
/// connection that is being closed at the other end.
const IDLE: Duration = Duration::from_secs(4);

/// Headers for which a post has room at once: ours, and what the client and HTTP put beside them.
const USUAL_HEADERS: usize = 12;

/// A subscriber's address that the guard let through ([`Webhooks::destination`]). Reading it once spares every post to it the same work.
#[derive(Debug, Clone)]
pub struct Destination(Url);

/// One post.
#[derive(Debug)]
pub struct Post<'a> {
    /// Where to.
    pub to: &'a Destination,
    /// Content type of the body.
    pub content_type: &'static str,
    /// Further headers, names in lower case.
    pub headers: &'a [(&'static str, Bytes)],
    /// The exact bytes.
    pub body: Bytes,
    /// Total time: connecting, sending, and reading the answer to its end.
    pub timeout: Duration,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, as sent.
    pub retry_after: Option<String>,
    /// First bytes of the body, at most 16 KiB.
    pub head: Bytes,
}

/// Why a post has no answer. Texts hold no query.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum PostError {
    /// We may not go there.
    #[error("address refused: {0}")]
    Forbidden(#[from] Forbidden),
    /// No connection: name not found, refused, TLS.
    #[error("no connection: {0}")]
    NoConnection(String),
    /// The deadline passed; the status is known where only the body was missing.
    #[error("no whole answer within {0:?}")]
    TimedOut(Duration, Option<u16>),
    /// The connection broke before a status came.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// The client for subscribers.
pub struct Webhooks {
    client: reqwest::Client,
    guard: Guard,
}

impl Webhooks {
    /// A client that goes only where `guard` allows.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(guard: Guard) -> Result<Self, ClientError> {
        Self::looking_up(guard, Arc::new(System::new()))
    }

    /// The same with somebody else to ask for the addresses of names.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn looking_up(guard: Guard, lookup: Arc<dyn Lookup>) -> Result<Self, ClientError> {
        let client = Self::built(guard.clone(), lookup)?;
        Ok(Self { client, guard })
    }

    /// The HTTP client alone, with all its settings: what `yizhan bench` holds the fan-out against.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn bare(guard: Guard) -> Result<reqwest::Client, ClientError> {
        Self::built(guard, Arc::new(System::new()))
    }

    fn built(guard: Guard, lookup: Arc<dyn Lookup>) -> Result<reqwest::Client, ClientError> {
        Ok(client().dns_resolver(Arc::new(Resolver { guard: Some(guard), lookup })).pool_idle_timeout(IDLE).build()?)
    }

    /// Reads a subscriber's address. What a literal address may be is decided here for good; what a name means is asked, and judged, whenever
    /// a connection is made.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn destination(&self, url: &str) -> Result<Destination, Forbidden> {
        self.guard.url(url).map(Destination)
    }

    /// One post. Any status is an answer. A body that is longer than 16 KiB, or breaks off, does not change what the status said;
    /// one that does not end before the deadline does.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(&self, post: Post<'_>) -> Result<Answer, PostError> {
        let request = request(&post).map_err(|error| PostError::Broken(error.to_string()))?;
        let mut status = None;
        let exchange = async {
            let mut response = self.client.execute(request).await.map_err(told)?;
            status = Some(response.status().as_u16());
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let mut head = BytesMut::new();
            while let Ok(Some(piece)) = response.chunk().await {
                let room = MOST_ANSWER_BYTES.saturating_sub(head.len());
                head.put(piece.slice(..room.min(piece.len())));
                if piece.len() >= room {
                    // Dropping the response closes its connection: nobody reads on.
                    break;
                }
            }
            Ok(Answer { status: response.status().as_u16(), retry_after, head: head.freeze() })
        };
        match tokio::time::timeout(post.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(PostError::TimedOut(post.timeout, status)),
        }
    }
}

/// The request that a post becomes. It is cloned on its way through the client, so its values are shared bytes.
fn request(post: &Post<'_>) -> Result<Request, InvalidHeaderValue> {
    let mut request = Request::new(Method::POST, post.to.0.clone());
    let headers = request.headers_mut();
    headers.reserve(USUAL_HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(post.content_type));
    for (name, value) in post.headers {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_maybe_shared(value.clone())?);
    }
    *request.body_mut() = Some(post.body.clone().into());
    Ok(request)
}

fn told(error: reqwest::Error) -> PostError {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(why) = cause.downcast_ref::<Forbidden>() {
            return why.clone().into();
        }
        source = cause.source();
    }
    if error.is_connect() { PostError::NoConnection(words(error)) } else { PostError::Broken(words(error)) }
}
