//! An operation: one row of a vendor's API, and how one is carried out.
//!
//! HTTP API, command line, OpenAPI, documents, the twins and the tests are all read from the rows. A new call is a new row.
//! Names of operations and parameters are the normal vocabulary (contract 7); a row maps them to the vendor's names and shapes.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::Title;
use super::call::{ApiError, Call, Method, Reply};
pub use super::lost::{Earlier, LookedUp};
use super::token::Family;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// Whose token a row carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// The authorizer's.
    Authorizer(Family),
    /// The component's own.
    Component(Family),
}

/// What a repetition does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes something; doing it again gives the same state.
    Repeatable,
    /// Must not be done twice: after a lost answer its outcome is looked up first.
    Once,
}

/// What a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text of at most so many characters.
    Text(u32),
    /// An id of up to 64 bits: a whole number, or its digits as text. All digits are kept in both directions.
    Digits,
    /// A whole number in this range.
    Number(i64, i64),
    /// True or false.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of texts, at most so many.
    Texts(u32),
    /// An object, as the vendor's reference describes it.
    Object,
    /// A list of objects, at most so many.
    Objects(u32),
    /// A file of at most so many bytes.
    File(u32),
    /// A picture: a file of at most so many bytes, or the URL (id) that `media.upload` gave for one.
    Picture(u32),
}

/// Where a parameter goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Query parameter of that name.
    Query(Cow<'static, str>),
    /// Form field of that name; lists and objects as JSON text.
    Form(Cow<'static, str>),
    /// Form field of that name; a list joined with commas.
    Joined(Cow<'static, str>),
    /// Member of the JSON body (or of Alipay's `biz_content`), a dotted path.
    Json(Cow<'static, str>),
    /// The same, as text: numbers as digits, lists and objects as JSON text.
    JsonText(Cow<'static, str>),
    /// Text part or file part of a multipart body.
    Part(Cow<'static, str>),
    /// The platform's own code places it; its `README.md` or the row's reference says how.
    Own,
}

/// One parameter of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Normal name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it must be given.
    pub required: bool,
    /// Where it goes.
    pub place: Place,
    /// What it is, for people; with its unit where it has one.
    pub title: Title,
    /// An example, as JSON text. Files: a file name.
    pub example: &'static str,
}

/// What a row answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// JSON.
    Json,
    /// Bytes of a file: a QR code, a check file.
    File,
}

/// One row of a vendor's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Normal name: `package.upload`.
    pub name: &'static str,
    /// What it does, for people.
    pub title: Title,
    /// Whose token.
    pub bearer: Bearer,
    /// Method of its main call.
    pub method: Method,
    /// Path (Alipay: method name) of its main call.
    pub path: Cow<'static, str>,
    /// Parameters, in the order in which people are shown them.
    pub params: Vec<Param>,
    /// What a repetition does.
    pub effect: Effect,
    /// What it answers with.
    pub answers: Answers,
    /// Section of the vendor's reference.
    pub reference: &'static str,
    /// `None`: ready. Otherwise it is switched off, and this says which settings to write so that it is not.
    pub disabled: Option<String>,
}

impl Operation {
    /// Whether a caller may send a file with it.
    #[must_use]
    pub fn takes_files(&self) -> bool {
        self.params.iter().any(|param| matches!(param.kind, Kind::File(_) | Kind::Picture(_)))
    }

    /// The parameter of that name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }

    /// JSON Schema of its parameters, for `/v1/operations` and OpenAPI.
    #[must_use]
    pub fn schema(&self) -> Json {
        let properties: Map<_, _> = self.params.iter().map(|param| (param.name.to_owned(), param.schema())).collect();
        let required: Vec<_> = self.params.iter().filter(|param| param.required).map(|param| param.name).collect();
        json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
    }

    /// The example parameters, all of them.
    #[must_use]
    pub fn example(&self) -> Map<String, Json> {
        self.params.iter().map(|param| (param.name.to_owned(), param.example())).collect()
    }
}

impl Param {
    /// JSON Schema of its values.
    #[must_use]
    pub fn schema(&self) -> Json {
        let mut schema = match self.kind {
            Kind::Text(most) => json!({"type": "string", "maxLength": most}),
            Kind::Digits => json!({"type": ["string", "integer"], "pattern": "^[0-9]{1,20}$"}),
            Kind::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Word(words) => json!({"type": "string", "enum": words}),
            Kind::Texts(most) => json!({"type": "array", "items": {"type": "string"}, "maxItems": most}),
            Kind::Object => json!({"type": "object"}),
            Kind::Objects(most) => json!({"type": "array", "items": {"type": "object"}, "maxItems": most}),
            Kind::File(_) => file_schema(),
            Kind::Picture(_) => json!({"oneOf": [{"type": "string", "maxLength": LONGEST_PICTURE_ID}, file_schema()]}),
        };
        if let Some(schema) = schema.as_object_mut() {
            schema.insert(String::from("description"), Json::from(format!("{} / {}", self.title.zh, self.title.en)));
            schema.insert(String::from("examples"), json!([self.example()]));
        }
        schema
    }

    /// The example as a value.
    #[must_use]
    pub fn example(&self) -> Json {
        match self.kind {
            Kind::File(_) => json!({"file_name": self.example, "content_base64": "iVBORw0KGgo="}),
            _ => serde_json::from_str(self.example).unwrap_or_else(|_| Json::from(self.example)),
        }
    }
}

/// Characters of an address or id of a picture that was uploaded before.
const LONGEST_PICTURE_ID: u32 = 2048;

fn file_schema() -> Json {
    json!({
        "type": "object", "required": ["file_name", "content_base64"], "additionalProperties": false,
        "properties": {"file_name": {"type": "string"}, "content_base64": {"type": "string", "contentEncoding": "base64"}},
    })
}

/// Who calls: the tokens that a row may need, and the time.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The component's token of the row's family, where the platform has one.
    pub component_token: Option<&'a Secret>,
    /// The authorizer's app id and token, for rows with [`Bearer::Authorizer`].
    pub authorizer: Option<(&'a str, &'a Secret)>,
    /// Now: for signatures that hold the time.
    pub now: Timestamp,
}

/// A file that an operation answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAnswer {
    /// Its name, where the vendor gives one.
    pub name: Option<String>,
    /// Its content type.
    pub content_type: String,
    /// Its bytes.
    pub content: Bytes,
}

/// What an operation gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The result in normal names.
    pub result: Json,
    /// The vendor's answer, complete and unchanged.
    pub vendor: Json,
    /// The file, for [`Answers::File`].
    pub file: Option<FileAnswer>,
}

/// What to do next for an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Send this; ask again with its reply appended. For a row with [`Effect::Once`] a `POST` is taken for the deed itself: after a lost
    /// answer it is looked up. A `GET` never is.
    Call(Box<Call>),
    /// The same for a call that changes nothing (or may be repeated freely), also where the vendor wants a `POST` for it.
    Ask(Box<Call>),
    /// Wait, then [`Next::Ask`]. For polling; the platform bounds how often.
    After(Duration, Box<Call>),
    /// Done.
    Done(Box<Outcome>),
    /// The vendor said no to the last call.
    Refused(ApiError),
}

/// How a component's operations are carried out. Pure: same input, same answer.
pub trait Operations: Send + Sync {
    /// Its rows, with the corrections of its settings.
    fn operations(&self) -> &[Operation];

    /// What is wrong with parameters that each fit their kind: limits that a kind cannot say, members of objects, parameters that exclude or need
    /// each other. Asked before anything is sent.
    fn misfits(&self, _operation: &Operation, _params: &Params) -> Vec<BadParam> {
        Vec::new()
    }

    /// The next step, given the replies so far. `params` were validated against the row. Asked again with the same replies it gives the same call
    /// with the caller's present tokens.
    fn next(&self, operation: &Operation, params: &Params, replies: &[Reply], caller: Caller<'_>) -> Next;

    /// What must still be configured for a request whose row is on: settings to write. A row for several things may have only some of them.
    fn unready(&self, _operation: &Operation, _params: &Params) -> Option<String> {
        None
    }

    /// Which of the replies a refusal of [`Operations::next`] is about: the last, unless calls that only served to understand it followed.
    /// Those behind it are asked for again.
    fn refused(&self, replies: &[Reply], _now: Timestamp) -> usize {
        replies.len().saturating_sub(1)
    }

    /// For [`Effect::Once`]: whether a no that may pass ([`Class::Retry`](super::Class::Retry)) says for certain that the call was not taken up.
    /// Otherwise a vendor in trouble may have done what it said no to.
    fn declines(&self, _operation: &Operation, _error: &ApiError) -> bool {
        false
    }

    /// For [`Effect::Once`]: the call that tells whether an operation whose answer was lost took place. `replies` are those before the lost one.
    fn look_up(&self, operation: &Operation, params: &Params, replies: &[Reply], caller: Caller<'_>) -> Option<Call>;

    /// Reads the answer to [`Operations::look_up`].
    fn looked_up(&self, operation: &Operation, params: &Params, replies: &[Reply], found: &Reply, earlier: Earlier) -> LookedUp;
}

/// No operations at all.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Operations for Nothing {
    fn operations(&self) -> &[Operation] {
        &[]
    }

    fn next(&self, operation: &Operation, _: &Params, _: &[Reply], _: Caller<'_>) -> Next {
        Next::Refused(ApiError::new(super::Class::Refuse, "not-applicable", format!("no operation `{}` here", operation.name)))
    }

    fn look_up(&self, _: &Operation, _: &Params, _: &[Reply], _: Caller<'_>) -> Option<Call> {
        None
    }

    fn looked_up(&self, _: &Operation, _: &Params, _: &[Reply], _: &Reply, _: Earlier) -> LookedUp {
        LookedUp::Unknown
    }
}

/// Parameters that fit their row.
#[derive(Debug, Clone, PartialEq)]
pub struct Params(Map<String, Json>);

/// What is wrong with one parameter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BadParam {
    /// Its normal name.
    pub name: String,
    /// Why, and what would be right.
    pub reason: String,
}

impl Params {
    /// Holds a caller's parameters against the row.
    ///
    /// # Errors
    /// Everything that is wrong, at once: unknown names, missing ones, wrong types, limits exceeded.
    pub fn check(operation: &Operation, given: Map<String, Json>) -> Result<Self, Vec<BadParam>> {
        let mut bad = Vec::new();
        for name in given.keys().filter(|name| operation.param(name).is_none()) {
            let known: Vec<_> = operation.params.iter().map(|param| param.name).collect();
            bad.push(BadParam {
                name: name.clone(),
                reason: match known.is_empty() {
                    true => String::from("unknown here; this operation takes no parameters"),
                    false => format!("unknown here; known: {}", known.join(", ")),
                },
            });
        }
        for param in &operation.params {
            match given.get(param.name) {
                None | Some(Json::Null) if param.required => {
                    bad.push(BadParam { name: param.name.to_owned(), reason: format!("is required: {}", param.title.en) });
                }
                None | Some(Json::Null) => {}
                Some(Json::String(text)) if text.is_empty() && param.required => {
                    bad.push(BadParam { name: param.name.to_owned(), reason: format!("must not be empty: {}", param.title.en) });
                }
                Some(value) => {
                    if let Err(reason) = param.check(value) {
                        bad.push(BadParam { name: param.name.to_owned(), reason });
                    }
                }
            }
        }
        if bad.is_empty() { Ok(Self(given.into_iter().filter(|(_, value)| !value.is_null()).collect())) } else { Err(bad) }
    }

    /// Whether nothing was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// The value of that name as text: texts as they are, ids and numbers as digits, flags as words, the rest as JSON text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(as_text)
    }

    /// The list of texts of that name; empty when absent.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.0.get(name).and_then(Json::as_array).map(|items| items.iter().map(as_text).collect()).unwrap_or_default()
    }

    /// The file of that name: its name and content.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<(String, Bytes)> {
        self.0.get(name).and_then(file)
    }

    /// Every file in them, those inside lists and objects too, in the order in which [`Params::with_uploaded`] replaces them.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Bytes)> {
        fn gather(value: &Json, into: &mut Vec<(String, Bytes)>) {
            match value {
                Json::Object(map) => match file(value) {
                    Some(file) => into.push(file),
                    None => map.values().for_each(|inner| gather(inner, into)),
                },
                Json::Array(items) => items.iter().for_each(|inner| gather(inner, into)),
                _ => {}
            }
        }
        let mut files = Vec::new();
        self.0.values().for_each(|value| gather(value, &mut files));
        files
    }

    /// The same with every file replaced by the URL (id) under which it was uploaded.
    #[must_use]
    pub fn with_uploaded(&self, urls: &[String]) -> Self {
        fn put(value: &mut Json, urls: &mut std::slice::Iter<'_, String>) {
            if file(value).is_some() {
                *value = urls.next().map_or(Json::Null, |url| Json::from(url.as_str()));
                return;
            }
            match value {
                Json::Object(map) => map.values_mut().for_each(|inner| put(inner, urls)),
                Json::Array(items) => items.iter_mut().for_each(|inner| put(inner, urls)),
                _ => {}
            }
        }
        let mut params = self.0.clone();
        let mut urls = urls.iter();
        params.values_mut().for_each(|value| put(value, &mut urls));
        Self(params)
    }
}

/// A file as parameters give it.
fn file(value: &Json) -> Option<(String, Bytes)> {
    use base64::Engine;
    let map = value.as_object().filter(|map| map.len() == 2)?;
    let content = base64::engine::general_purpose::STANDARD.decode(map.get("content_base64")?.as_str()?).ok()?;
    Some((map.get("file_name")?.as_str()?.to_owned(), content.into()))
}

fn as_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Param {
    /// Holds one value against the kind and its limits.
    ///
    /// # Errors
    /// Why it does not fit.
    pub fn check(&self, value: &Json) -> Result<(), String> {
        use base64::Engine;
        let most = |count: usize, most: u32, what: &str| {
            if u32::try_from(count).is_ok_and(|count| count <= most) {
                Ok(())
            } else {
                Err(format!("has {count} {what}, at most {most} are possible"))
            }
        };
        match (self.kind, value) {
            (Kind::Text(limit), Json::String(text)) => most(text.chars().count(), limit, "characters"),
            (Kind::Digits, Json::Number(number)) if number.is_u64() => Ok(()),
            (Kind::Digits, Json::String(text)) if (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
            (Kind::Number(least, highest), Json::Number(number)) => match number.as_i64() {
                Some(number) if (least..=highest).contains(&number) => Ok(()),
                _ => Err(format!("must be from {least} to {highest}")),
            },
            (Kind::Flag, Json::Bool(_)) | (Kind::Object, Json::Object(_)) => Ok(()),
            (Kind::Word(words), Json::String(text)) if words.contains(&text.as_str()) => Ok(()),
            (Kind::Word(words), _) => Err(format!("must be one of: {}", words.join(", "))),
            (Kind::Texts(limit), Json::Array(items)) if items.iter().all(Json::is_string) => most(items.len(), limit, "items"),
            (Kind::Objects(limit), Json::Array(items)) if items.iter().all(Json::is_object) => most(items.len(), limit, "items"),
            (Kind::Picture(_), Json::String(text)) => most(text.chars().count(), LONGEST_PICTURE_ID, "characters"),
            (Kind::File(limit) | Kind::Picture(limit), Json::Object(file)) => {
                let content = file.get("content_base64").and_then(Json::as_str);
                let content = content.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
                match (file.get("file_name").and_then(Json::as_str), content) {
                    (Some(name), Some(content)) if !name.is_empty() && file.len() == 2 => most(content.len(), limit, "bytes"),
                    _ => Err(String::from("must be {\"file_name\": …, \"content_base64\": …}")),
                }
            }
            _ => Err(format!("must be {}", self.kind.words())),
        }
    }
}

impl Kind {
    /// What it is, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Digits => "a whole number or its digits",
            Self::Number(..) => "a whole number",
            Self::Flag => "true or false",
            Self::Word(_) => "one of a few words",
            Self::Texts(_) => "a list of strings",
            Self::Object => "an object",
            Self::Objects(_) => "a list of objects",
            Self::File(_) => "a file",
            Self::Picture(_) => "a file, or the text that `media.upload` gave for one",
        }
    }
}

/// Parameters of a row sorted by where they go, ready for a platform to add tokens and to sign.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placed {
    /// Query parameters.
    pub query: Vec<(String, String)>,
    /// Form fields.
    pub form: Vec<(String, String)>,
    /// JSON body.
    pub json: Map<String, Json>,
    /// Text parts.
    pub parts: Vec<(String, String)>,
    /// File parts: field, file name, content.
    pub files: Vec<(String, String, Bytes)>,
}

impl Placed {
    /// Places every given parameter of a row but those with [`Place::Own`].
    #[must_use]
    pub fn of(operation: &Operation, params: &Params) -> Self {
        let mut placed = Self::default();
        for param in &operation.params {
            let Some(value) = params.get(param.name) else { continue };
            match &param.place {
                Place::Query(name) => placed.query.push((name.to_string(), as_text(value))),
                Place::Form(name) => placed.form.push((name.to_string(), as_text(value))),
                Place::Joined(name) => placed.form.push((name.to_string(), params.texts(param.name).join(","))),
                Place::Json(path) => insert(&mut placed.json, path, value.clone()),
                Place::JsonText(path) => insert(&mut placed.json, path, Json::String(as_text(value))),
                Place::Part(name) => match params.file(param.name) {
                    Some((file, content)) if matches!(param.kind, Kind::File(_)) => placed.files.push((name.to_string(), file, content)),
                    _ => placed.parts.push((name.to_string(), as_text(value))),
                },
                Place::Own => {}
            }
        }
        placed
    }
}

/// Puts a value at a dotted path, making objects on the way.
fn insert(into: &mut Map<String, Json>, path: &str, value: Json) {
    match path.split_once('.') {
        None => {
            into.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = into.entry(first.to_owned()).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
