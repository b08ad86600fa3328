//! What a caller may say, read strictly: every bad or unknown parameter of a query string, and every bad or unknown member of a JSON body,
//! is named in one 422, not only the first.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::{Kind, Problem};
use super::strict::Strict;
use super::{Face, body};
use crate::clock::Timestamp;
use crate::event_type::Glob;

/// Parameters that no query of ours exceeds.
const MOST_PARAMETERS: usize = 64;

/// A query string, being read.
#[derive(Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
    bad: Vec<(String, String)>,
}

impl Query {
    /// Of that text, without the question mark.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = url::form_urlencoded::parse(text.as_bytes()).take(MOST_PARAMETERS);
        Self { pairs: pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect(), bad: Vec::new() }
    }

    /// A text. One that is given empty counts as not given.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let mut values = self.pairs.extract_if(.., |(given, _)| given == name).map(|(_, value)| value);
        let value = values.next();
        if values.next().is_some() {
            drop(values);
            self.refuse(name, "is given twice");
            return None;
        }
        drop(values);
        value.filter(|value| !value.is_empty())
    }

    /// A value of that form; `form` says in words what it should have been.
    pub fn value<T: FromStr>(&mut self, name: &str, form: &str) -> Option<T> {
        let given = self.pairs.iter().any(|(given, value)| given == name && value.is_empty());
        let text = self.text(name);
        if given && text.is_none() {
            self.refuse(name, form);
        }
        let parsed = text.as_ref().map(|text| text.parse().ok());
        if let Some(None) = parsed {
            self.refuse(name, form);
        }
        parsed.flatten()
    }

    /// A whole number.
    pub fn number(&mut self, name: &str) -> Option<u64> {
        self.value(name, "is no whole number")
    }

    /// A moment (RFC 3339). A plus sign that was not escaped arrives as a space; no such time has one.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        for (given, value) in &mut self.pairs {
            if given == name {
                *value = value.replace(' ', "+");
            }
        }
        self.value(name, "is no time (RFC 3339, as in 2026-11-20T08:00:00Z)")
    }

    /// A pattern.
    pub fn glob(&mut self, name: &str) -> Option<Glob> {
        self.text(name).map(Glob::new)
    }

    /// One of the words that `T` knows.
    pub fn word<T: DeserializeOwned>(&mut self, name: &str, known: &str) -> Option<T> {
        let text = self.text(name)?;
        let word = serde_json::from_value(Value::String(text)).ok();
        if word.is_none() {
            self.refuse(name, format!("is none of {known}"));
        }
        word
    }

    /// Notes that a parameter is not valid.
    pub fn refuse(&mut self, name: &str, why: impl Into<String>) {
        self.bad.push((name.to_owned(), why.into()));
    }

    /// Ends reading.
    ///
    /// # Errors
    /// `invalid-parameter` with all that were refused and all that nobody asked for.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            self.refuse(&name, "is not a parameter of this address");
        }
        verdict(&self.bad)
    }
}

impl FromRequest for Query {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::parse(request.query_string())))
    }
}

/// A JSON object of these bytes; none at all are an empty one.
///
/// # Errors
/// `bad-request` when it is no JSON object, or names a member twice.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(bytes) {
        Ok(Strict(Value::Object(map))) => Ok(map),
        Ok(_) => Err(Problem::new(Kind::BadRequest, "the body is JSON, but no object")),
        // The only thing that is wrong with what is JSON.
        Err(error) if error.is_data() => Err(Problem::new(Kind::BadRequest, format!("the body {error}"))),
        Err(error) => {
            let detail = format!("the body is no JSON: see line {}, column {}", error.line(), error.column());
            Err(Problem::new(Kind::BadRequest, detail))
        }
    }
}

/// A JSON object, being read. A member that is `null` counts as not given, unless it is asked for with [`Members::take_or_null`].
#[derive(Debug, Default)]
pub struct Members {
    /// What stands before the names: empty, or `filter.`.
    within: String,
    map: Map<String, Value>,
    bad: Vec<(String, String)>,
}

impl Members {
    /// Of these bytes; none at all are an empty object.
    ///
    /// # Errors
    /// `bad-request` when it is no JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        Ok(Self { map: object(bytes)?, ..Self::default() })
    }

    /// A member.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        match self.map.shift_remove(name) {
            None | Some(Value::Null) => None,
            Some(value) => match serde_json::from_value(value) {
                Ok(value) => Some(value),
                Err(error) => {
                    self.refuse(name, format!("is not right: {error}"));
                    None
                }
            },
        }
    }

    /// A member for which `null` says something: that it is to be nothing from now on.
    pub fn take_or_null<T: DeserializeOwned>(&mut self, name: &str) -> Option<Option<T>> {
        if self.map.get(name).is_some_and(Value::is_null) {
            self.map.shift_remove(name);
            return Some(None);
        }
        self.take(name).map(Some)
    }

    /// What was not taken yet, as JSON: to tell one request from another.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        serde_json::to_vec(&self.map).unwrap_or_default()
    }

    /// All that was not taken yet, for somebody else to read: whoever does so names what is not known.
    #[must_use]
    pub fn all(self) -> Map<String, Value> {
        self.map
    }

    /// A member that must be there.
    pub fn need<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        if self.map.get(name).is_none_or(Value::is_null) {
            self.map.shift_remove(name);
            self.refuse(name, "is missing");
            return None;
        }
        self.take(name)
    }

    /// A member that is an object and must be there; give it back with [`Members::absorb`].
    pub fn need_object(&mut self, name: &str) -> Self {
        let map = self.need(name).unwrap_or_default();
        Self { within: format!("{}{name}.", self.within), map, bad: Vec::new() }
    }

    /// An object inside this one that was taken already, under that name; give it back with [`Members::absorb`].
    #[must_use]
    pub fn within(&self, name: &str, map: Map<String, Value>) -> Self {
        Self { within: format!("{}{name}.", self.within), map, bad: Vec::new() }
    }

    /// Takes over what an inner object's reading found wrong, unknown members among it.
    pub fn absorb(&mut self, mut inner: Self) {
        inner.refuse_the_rest();
        self.bad.append(&mut inner.bad);
    }

    /// Notes that a member is not valid.
    pub fn refuse(&mut self, name: &str, why: impl Into<String>) {
        self.bad.push((format!("{}{name}", self.within), why.into()));
    }

    fn refuse_the_rest(&mut self) {
        for (name, _) in std::mem::take(&mut self.map) {
            self.refuse(&name, "is not a member of this body");
        }
    }

    /// Ends reading.
    ///
    /// # Errors
    /// `invalid-parameter` with all that were refused and all that nobody asked for.
    pub fn finish(mut self) -> Result<(), Problem> {
        self.refuse_the_rest();
        verdict(&self.bad)
    }
}

/// A request that says nothing beyond its address: no parameter, and no body or an empty object.
#[derive(Debug)]
pub struct Nothing;

impl FromRequest for Nothing {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let query = Query::parse(request.query_string());
        let members = Members::from_request(request, payload);
        Box::pin(async move {
            let members = members.await?;
            query.finish()?;
            members.finish()?;
            Ok(Self)
        })
    }
}

fn verdict(bad: &[(String, String)]) -> Result<(), Problem> {
    if bad.is_empty() { Ok(()) } else { Err(Problem::invalid(bad)) }
}

impl FromRequest for Members {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let face = request.app_data::<web::Data<Face>>().cloned();
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let face = face.ok_or_else(|| Problem::internal("the face is not registered"))?;
            let server = &face.app.config.server;
            let limit = server.max_body_bytes;
            let read = body::read(&request, &mut payload, limit, server.client_timeout, &face.callers).await;
            let (bytes, _share) = read.map_err(|why| why.problem(limit))?;
            Self::parse(&bytes)
        })
    }
}
