//! A vendor call passed through piece by piece: neither side's body is held whole, and both are bounded in time and size.
//!
//! Called by `operations::proxy`. Never repeats, follows no redirect, never logs more than host and path.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};

use super::vendors::{self, HttpVendors};
use super::{SendError, words};
use crate::platform::call::Fields;
use crate::platform::{Body, Value};

/// Pieces of a body.
pub type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Time until the head of the answer is there, the request's body sent before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest silence between two pieces of the answer.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest answer that is passed through.
const MOST_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// What a request carries.
pub enum Load {
    /// These bytes, perhaps none.
    Whole(Bytes),
    /// What comes, of that length where it is known.
    Streamed {
        /// `Content-Length`.
        length: Option<u64>,
        /// The pieces.
        pieces: Pieces,
    },
    /// A body of our own making.
    Made(Body),
}

/// A request on its way through.
pub struct Passing {
    /// HTTP method.
    pub method: String,
    /// Scheme, host and path.
    pub url: String,
    /// Query, unencoded.
    pub query: Fields,
    /// Headers, names in lower case.
    pub headers: Fields,
    /// Body.
    pub load: Load,
}

/// An answer on its way back.
pub struct Passed {
    /// HTTP status.
    pub status: u16,
    /// Headers as they came, names in lower case.
    pub headers: Vec<(String, Bytes)>,
    /// The body; an error item ends it early.
    pub pieces: Pieces,
}

impl Passed {
    /// First header of that name, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

/// Passes requests on to vendors.
#[async_trait::async_trait]
pub trait Relay: Send + Sync {
    /// One exchange; returns as soon as the head of the answer is there.
    ///
    /// # Errors
    /// As [`super::Vendors::send`].
    async fn pass(&self, passing: Passing) -> Result<Passed, SendError>;
}

#[async_trait::async_trait]
impl Relay for HttpVendors {
    async fn pass(&self, passing: Passing) -> Result<Passed, SendError> {
        let target = passing.url.split_once("://").map_or(passing.url.as_str(), |(_, rest)| rest).to_owned();
        let not_sent = |cause: String| SendError::NotSent { target: target.clone(), cause };
        let no_answer = |cause: String| SendError::NoAnswer { target: target.clone(), cause };
        let request = request(passing).map_err(not_sent)?;
        let begun = std::time::Instant::now();
        let answered = tokio::time::timeout(HEAD_TIMEOUT, self.client().execute(request)).await;
        let status = answered.as_ref().ok().and_then(|answer| answer.as_ref().ok()).map(|response| response.status().as_u16());
        tracing::debug!(call = target, status, duration_ms = begun.elapsed().as_millis(), "vendor call passed on");
        let response = answered.map_err(|_| no_answer(format!("no answer within {} s", HEAD_TIMEOUT.as_secs())))?;
        let response = response.map_err(|error| match error.is_connect() || error.is_builder() {
            true => not_sent(words(error)),
            false => no_answer(words(error)),
        })?;
        if response.content_length().is_some_and(|length| usize::try_from(length).map_or(true, |length| length > MOST_ANSWER_BYTES)) {
            return Err(no_answer(format!("the answer is longer than {MOST_ANSWER_BYTES} bytes")));
        }
        let status = response.status().as_u16();
        let header = |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()));
        let headers = response.headers().iter().map(header).collect();
        Ok(Passed { status, headers, pieces: pieces(response) })
    }
}

fn request(passing: Passing) -> Result<reqwest::Request, String> {
    let url = vendors::address(&passing.url, &passing.query)?;
    let method = reqwest::Method::from_bytes(passing.method.as_bytes()).map_err(|_| String::from("no HTTP method"))?;
    let wants_length = matches!(passing.method.as_str(), "POST" | "PUT" | "PATCH");
    let mut request = reqwest::Request::new(method, url);
    vendors::headers(&passing.headers, request.headers_mut())?;
    let length = |request: &mut reqwest::Request, length: u64| {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    };
    match passing.load {
        Load::Whole(bytes) if bytes.is_empty() => {
            if wants_length {
                length(&mut request, 0);
            }
        }
        Load::Whole(bytes) => *request.body_mut() = Some(bytes.into()),
        Load::Streamed { length: known, pieces } => {
            if let Some(known) = known {
                length(&mut request, known);
            }
            *request.body_mut() = Some(reqwest::Body::wrap_stream(pieces));
        }
        Load::Made(body) => {
            let (kind, bytes) = vendors::body(&body)?;
            if let Some(kind) = kind {
                vendors::headers(&vec![(CONTENT_TYPE.as_str().to_owned(), Value::from(kind))], request.headers_mut())?;
            }
            *request.body_mut() = Some(bytes.into());
        }
    }
    Ok(request)
}

/// The answer's body: ends with an error after too long a silence or too many bytes.
fn pieces(response: reqwest::Response) -> Pieces {
    Box::pin(stream::unfold(Some((response, 0usize)), |state| async move {
        let (mut response, read) = state?;
        let stop = |cause: &str| Some((Err(io::Error::other(cause.to_owned())), None));
        match tokio::time::timeout(SILENCE, response.chunk()).await {
            Err(_) => stop("the vendor fell silent"),
            Ok(Err(error)) => stop(&words(error)),
            Ok(Ok(None)) => None,
            Ok(Ok(Some(piece))) => {
                let read = read.saturating_add(piece.len());
                if read > MOST_ANSWER_BYTES { stop("the answer is too long") } else { Some((Ok(piece), Some((response, read)))) }
            }
        }
    }))
}

/// Reads up to `most` bytes. `Ok`: that was all of it. `Err`: there is more; what was read stands before the rest again.
///
/// # Errors
/// The body with its beginning put back, when it is longer or ends with an error.
pub async fn whole(mut pieces: Pieces, most: usize) -> Result<Bytes, Pieces> {
    let mut read = Vec::new();
    let mut length = 0usize;
    loop {
        match pieces.next().await {
            None => return Ok(Bytes::from(read.concat())),
            Some(Ok(piece)) => {
                length = length.saturating_add(piece.len());
                read.push(piece);
                if length > most {
                    return Err(Box::pin(stream::iter(read.into_iter().map(Ok)).chain(pieces)));
                }
            }
            Some(Err(error)) => {
                let broken = stream::iter(read.into_iter().map(Ok)).chain(stream::iter([Err(error)]));
                return Err(Box::pin(broken));
            }
        }
    }
}

/// A body of one piece.
#[must_use]
pub fn one_piece(bytes: Bytes) -> Pieces {
    Box::pin(stream::iter([Ok(bytes)]))
}
