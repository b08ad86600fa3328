//! Sends a [`Call`] to a vendor with `reqwest`: encodes it, bounds it in time and size, and says honestly whether it may have arrived.
//!
//! Used by `vault`. Never repeats a call, never logs more than host and path.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::names::{Resolver, System};
use super::{ClientError, SendError, Vendors, client, words};
use crate::platform::call::{Fields, Part};
use crate::platform::{Body, Call, Method, Reply, Value};

/// Longest answer that is read.
const MOST_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// The vendors, over HTTP.
pub struct HttpVendors {
    client: reqwest::Client,
}

impl HttpVendors {
    /// A client with its own pool of connections.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new() -> Result<Self, ClientError> {
        let resolver = Resolver { guard: None, lookup: Arc::new(System::new()) };
        Ok(Self { client: client().dns_resolver(Arc::new(resolver)).build()? })
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    async fn exchange(&self, request: reqwest::Request, target: &str) -> Result<Reply, SendError> {
        let no_answer = |cause: String| SendError::NoAnswer { target: target.to_owned(), cause };
        let mut response = self.client.execute(request).await.map_err(|error| match error.is_connect() || error.is_builder() {
            true => SendError::NotSent { target: target.to_owned(), cause: words(error) },
            false => no_answer(words(error)),
        })?;
        let status = response.status().as_u16();
        let content_type = content_type(response.headers());
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| no_answer(words(error)))? {
            if body.len() + piece.len() > MOST_ANSWER_BYTES {
                return Err(no_answer(String::from("the answer is longer than 8 MiB")));
            }
            body.put(piece);
        }
        Ok(Reply { status, content_type, body: body.freeze() })
    }
}

#[async_trait::async_trait]
impl Vendors for HttpVendors {
    async fn send(&self, call: &Call) -> Result<Reply, SendError> {
        let target = call.target().split(['?', '#']).next().unwrap_or_default().to_owned();
        let request = request(call).map_err(|cause| SendError::NotSent { target: target.clone(), cause })?;
        let begun = std::time::Instant::now();
        let answer = match tokio::time::timeout(call.timeout, self.exchange(request, &target)).await {
            Ok(answer) => answer,
            Err(_) => Err(SendError::NoAnswer { target: target.clone(), cause: format!("no whole answer within {:?}", call.timeout) }),
        };
        let status = answer.as_ref().ok().map(|reply| reply.status);
        tracing::debug!(call = target, status, duration_ms = begun.elapsed().as_millis(), "vendor called");
        answer
    }
}

/// Media type in lower case, without parameters.
fn content_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The request as bytes. Errors name what is wrong and hold no value.
fn request(call: &Call) -> Result<reqwest::Request, String> {
    let url = address(&call.url, &call.query)?;
    let method = match call.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
    };
    let mut request = reqwest::Request::new(method, url);
    let (kind, body) = body(&call.body)?;
    if let Some(kind) = kind {
        let kind = HeaderValue::from_str(&kind).map_err(|_| String::from("the content type cannot be sent"))?;
        request.headers_mut().insert(CONTENT_TYPE, kind);
    }
    if !body.is_empty() {
        *request.body_mut() = Some(body.into());
    } else if call.method == Method::Post {
        // Some gateways answer 411 to a POST that does not say so.
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    headers(&call.headers, request.headers_mut())?;
    Ok(request)
}

/// Puts headers in, those with secrets marked as such.
pub(super) fn headers(fields: &Fields, into: &mut HeaderMap) -> Result<(), String> {
    for (name, value) in fields {
        let unsendable = || format!("the header {name:?} cannot be sent");
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable())?;
        let mut text = HeaderValue::from_str(value.expose()).map_err(|_| unsendable())?;
        text.set_sensitive(matches!(value, Value::Secret(_)));
        into.insert(key, text);
    }
    Ok(())
}

pub(super) fn address(url: &str, query: &Fields) -> Result<Url, String> {
    let mut text = url.to_owned();
    if !query.is_empty() {
        text.push(if text.contains('?') { '&' } else { '?' });
        encode(query, &mut text);
    }
    let url = Url::parse(&text).map_err(|error| format!("not an address: {error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(String::from("not an http or https address")),
    }
}

/// Content type, where the body has one, and its bytes.
pub(super) fn body(body: &Body) -> Result<(Option<String>, Bytes), String> {
    Ok(match body {
        Body::Empty => (None, Bytes::new()),
        Body::Form(fields) => {
            let mut text = String::new();
            encode(fields, &mut text);
            (Some(String::from("application/x-www-form-urlencoded; charset=utf-8")), Bytes::from(text))
        }
        // Without a charset: Douyin may insist on exactly this (Douyin 5.0).
        Body::Json(text) => (Some(String::from("application/json")), Bytes::copy_from_slice(text.expose().as_bytes())),
        Body::Multipart(parts) => multipart(parts)?,
    })
}

/// `name=value&…` with every byte but RFC 3986's unreserved ones as `%XX`: a space is `%20`, which queries and forms both understand.
fn encode(fields: &Fields, text: &mut String) {
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            text.push('&');
        }
        escape(name, text);
        text.push('=');
        escape(value.expose(), text);
    }
}

fn escape(plain: &str, text: &mut String) {
    for byte in plain.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => {
                text.push('%');
                text.push_str(&hex::encode_upper([byte]));
            }
        }
    }
}

/// `multipart/form-data` as browsers write it: names in UTF-8, quotes and line ends escaped with `%`. (`reqwest` would write
/// `name*=utf-8''…` for names that are not ASCII, which vendors' gateways do not read.)
fn multipart(parts: &[Part]) -> Result<(Option<String>, Bytes), String> {
    let mut random = [0u8; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| String::from("the system gave no randomness"))?;
    let boundary = format!("yizhan-{}", hex::encode(random));
    let quoted = |text: &str| text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let mut body = BytesMut::new();
    for part in parts {
        body.put_slice(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", quoted(&part.name)).as_bytes());
        if let Some(file_name) = &part.file_name {
            body.put_slice(format!("; filename=\"{}\"", quoted(file_name)).as_bytes());
        }
        if let Some(kind) = &part.content_type {
            HeaderValue::from_str(kind).map_err(|_| format!("the content type of {:?} cannot be sent", part.name))?;
            body.put_slice(format!("\r\nContent-Type: {kind}").as_bytes());
        }
        body.put_slice(b"\r\n\r\n");
        body.put_slice(&part.content);
        body.put_slice(b"\r\n");
    }
    body.put_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((Some(format!("multipart/form-data; boundary={boundary}")), body.freeze()))
}
