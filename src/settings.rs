//! A strict reader of one table of the configuration: it records every problem instead of stopping at the first,
//! and knows which keys were asked for, so that the others can be refused with the nearest known key.
//!
//! `config` reads its sections with it and hands one to each platform for its components. It never prints a value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::secret::Secret;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The setting: `components.baidu.token`.
    pub at: String,
    /// Line in the file, from 1, where it came from one.
    pub line: Option<usize>,
    /// What is wrong; lower case, no full stop, no value of a secret.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "`{}`: {}", self.at, self.message)
    }
}

/// Where a problem is that a text has as a whole. Whoever read it from a file puts the file's name there.
pub const WHOLE: &str = "yizhan.toml";

/// What the parser says of a key or table that is there already; it has no kinds of errors to tell it by.
const DUPLICATE: &str = "duplicate key";

/// A value and where it stands.
#[derive(Clone)]
pub struct Spot {
    /// The value.
    pub node: Node,
    /// Line in the file, from 1.
    pub line: Option<usize>,
}

impl Spot {
    fn table(&mut self) -> Option<&mut BTreeMap<String, Self>> {
        match &mut self.node {
            Node::Table(entries) => Some(entries),
            _ => None,
        }
    }
}

/// A value of the configuration.
#[derive(Clone)]
pub enum Node {
    /// Text.
    Text(String),
    /// Whole number.
    Number(i64),
    /// Truth value.
    Flag(bool),
    /// List.
    List(Vec<Spot>),
    /// Table.
    Table(BTreeMap<String, Spot>),
    /// A float or a date: nothing here takes one.
    Other,
}

/// What values may refer to.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// Folder of the configuration file; relative paths start there.
    pub folder: PathBuf,
    /// Environment variables.
    pub variables: Arc<BTreeMap<String, String>>,
}

/// One table, being read.
pub struct Settings {
    path: String,
    line: Option<usize>,
    entries: BTreeMap<String, Spot>,
    asked: BTreeSet<String>,
    problems: Vec<Problem>,
    surroundings: Surroundings,
}

impl Settings {
    /// Parses TOML text into the root table.
    ///
    /// # Errors
    /// The syntax error, with its line, at [`WHOLE`].
    pub fn parse(text: &str, surroundings: Surroundings) -> Result<Self, Problem> {
        let line_of = |at: usize| text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1;
        match toml::de::DeTable::parse(text) {
            Ok(table) => Ok(Self::new("", None, entries(table.get_ref(), &line_of), surroundings)),
            Err(error) => {
                // Only of this error the parser says a name; anything else that it points to may be a secret.
                let twice = error.span().and_then(|span| text.get(span)).filter(|_| error.message() == DUPLICATE);
                let (message, hint) = match twice {
                    Some(key) => {
                        (format!("not TOML: {DUPLICATE} `{key}`"), "it may stand in the file once: write what belongs to it in one place")
                    }
                    None => (format!("not TOML: {}", error.message()), "mend the syntax on that line"),
                };
                let line = error.span().map(|span| line_of(span.start));
                Err(Problem { at: String::from(WHOLE), line, message, hint: hint.to_owned() })
            }
        }
    }

    /// A table that was read elsewhere.
    #[must_use]
    pub fn new(path: &str, line: Option<usize>, entries: BTreeMap<String, Spot>, surroundings: Surroundings) -> Self {
        Self { path: path.to_owned(), line, entries, asked: BTreeSet::new(), problems: Vec::new(), surroundings }
    }

    /// Gives the table another name in problems (`components.baidu` instead of `components[0]`).
    pub fn rename(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    /// Sets or replaces a value, creating tables on the way: `["server", "listen"]`. For environment overrides.
    /// A member of a list of tables is found by its `name` (any case, `_` for `-`). False when the path leads nowhere.
    pub fn set(&mut self, path: &[String], node: Node) -> bool {
        fn into(entries: &mut BTreeMap<String, Spot>, path: &[String], node: Node) -> bool {
            match path {
                [] => false,
                [last] => {
                    entries.insert(last.clone(), Spot { node, line: None });
                    true
                }
                [first, rest @ ..] => {
                    let spot = entries.entry(first.clone()).or_insert(Spot { node: Node::Table(BTreeMap::new()), line: None });
                    if let (Node::List(items), [name, rest @ ..]) = (&mut spot.node, rest) {
                        return items
                            .iter_mut()
                            .filter_map(Spot::table)
                            .find(|item| is_called(item, name))
                            .is_some_and(|item| into(item, rest, node));
                    }
                    if !matches!(spot.node, Node::Table(_)) {
                        spot.node = Node::Table(BTreeMap::new());
                    }
                    spot.table().is_some_and(|inner| into(inner, rest, node))
                }
            }
        }
        into(&mut self.entries, path, node)
    }

    /// Fills in what this table and the tables directly in it lack. A value is taken whole, so that the form of a secret here
    /// is never mixed with the default's. What was filled in has no line.
    pub fn fill_from(&mut self, defaults: Self) {
        for (key, mut default) in defaults.entries {
            default.line = None;
            match (self.entries.get_mut(&key).map(|spot| &mut spot.node), default.node) {
                (Some(Node::Table(own)), Node::Table(inner)) => {
                    for (key, mut spot) in inner {
                        spot.line = None;
                        own.entry(key).or_insert(spot);
                    }
                }
                (Some(_), _) => {}
                (None, Node::Table(mut inner)) => {
                    inner.values_mut().for_each(|spot| spot.line = None);
                    self.entries.insert(key, Spot { node: Node::Table(inner), line: None });
                }
                (None, node) => {
                    self.entries.insert(key, Spot { node, line: None });
                }
            }
        }
    }

    /// Full name of a key.
    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Records a problem with a key of this table.
    pub fn problem(&mut self, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        let line = self.entries.get(key).map_or(self.line, |spot| spot.line);
        self.problems.push(Problem { at: self.at(key), line, message: message.into(), hint: hint.into() });
    }

    /// Records a problem with a place inside this table, on that line.
    pub fn problem_at(&mut self, place: &str, line: Option<usize>, message: impl Into<String>, hint: impl Into<String>) {
        let line = line.or_else(|| self.entries.get(place).and_then(|spot| spot.line)).or(self.line);
        self.problems.push(Problem { at: self.at(place), line, message: message.into(), hint: hint.into() });
    }

    /// Line of the file where this table begins, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// Whether a problem with a key of this table was recorded already.
    #[must_use]
    pub fn is_faulty(&self, key: &str) -> bool {
        let at = self.at(key);
        self.problems.iter().any(|problem| problem.at == at)
    }

    /// Takes over problems found elsewhere.
    pub fn problems(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.extend(problems);
    }

    fn take(&mut self, key: &str) -> Option<Node> {
        self.asked.insert(key.to_owned());
        self.entries.get(key).map(|spot| spot.node.clone())
    }

    fn wrong_type(&mut self, key: &str, wanted: &str) {
        self.problem(key, format!("must be {wanted}"), format!("write {wanted} here"));
    }

    /// Whether the key was given. Counts as asking for it.
    pub fn has(&mut self, key: &str) -> bool {
        self.take(key).is_some()
    }

    /// A text, if given.
    pub fn optional_text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Node::Text(text) => Some(text),
            // Ids are digits; a number is meant as its text.
            Node::Number(number) => Some(number.to_string()),
            _ => {
                self.wrong_type(key, "a string");
                None
            }
        }
    }

    /// A text that must be there and not be empty.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.optional_text(key) {
            Some(text) if !text.trim().is_empty() => Some(text),
            Some(_) => {
                self.problem(key, "is empty", "write the value from the vendor's console");
                None
            }
            None => {
                if !self.entries.contains_key(key) {
                    self.problem(key, "is missing", "add this key");
                }
                None
            }
        }
    }

    /// A text, or `default`.
    pub fn text_or(&mut self, key: &str, default: &str) -> String {
        self.optional_text(key).unwrap_or_else(|| default.to_owned())
    }

    /// An `http(s)` address without a trailing slash, or `default`.
    pub fn url_or(&mut self, key: &str, default: &str) -> String {
        let text = self.text_or(key, default);
        match url::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => text.trim_end_matches('/').to_owned(),
            _ => {
                self.problem(key, "is not an http or https address", "write it in full, as in https://example.com");
                default.to_owned()
            }
        }
    }

    /// One of a few words, or `default`.
    pub fn choice_or<'a>(&mut self, key: &str, default: &'a str, words: &[&'a str]) -> &'a str {
        let Some(text) = self.optional_text(key) else { return default };
        match words.iter().find(|word| **word == text) {
            Some(word) => word,
            None => {
                self.problem(key, "is none of the words known here", format!("write one of: {}", words.join(", ")));
                default
            }
        }
    }

    /// A whole number in a range, or `default`.
    pub fn number_or(&mut self, key: &str, default: i64, range: std::ops::RangeInclusive<i64>) -> i64 {
        let number = match self.take(key) {
            None => return default,
            Some(Node::Number(number)) => Some(number),
            Some(Node::Text(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        match number {
            Some(number) if range.contains(&number) => number,
            _ => {
                self.problem(key, "is not a whole number in range", format!("write a number from {} to {}", range.start(), range.end()));
                default
            }
        }
    }

    /// A truth value, or `default`.
    pub fn flag_or(&mut self, key: &str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Node::Flag(flag)) => flag,
            Some(Node::Text(text)) if text == "true" => true,
            Some(Node::Text(text)) if text == "false" => false,
            Some(_) => {
                self.wrong_type(key, "true or false");
                default
            }
        }
    }

    /// A span of time as text (`15s`, `2m`, `1h`, `30d`), or `default`.
    pub fn duration_or(&mut self, key: &str, default: Duration) -> Duration {
        let Some(text) = self.optional_text(key) else { return default };
        duration(&text).unwrap_or_else(|| {
            self.problem(key, "is not a span of time", "write a number with a unit: 500ms, 15s, 2m, 1h, 30d");
            default
        })
    }

    /// Any value as JSON, if given; for what is passed on to a vendor as it stands.
    pub fn json(&mut self, key: &str) -> Option<serde_json::Value> {
        fn json(node: Node) -> Option<serde_json::Value> {
            Some(match node {
                Node::Text(text) => text.into(),
                Node::Number(number) => number.into(),
                Node::Flag(flag) => flag.into(),
                Node::List(items) => items.into_iter().map(|item| json(item.node)).collect::<Option<Vec<_>>>()?.into(),
                Node::Table(entries) => {
                    let members = entries.into_iter().map(|(name, spot)| Some((name, json(spot.node)?)));
                    members.collect::<Option<serde_json::Map<_, _>>>()?.into()
                }
                Node::Other => return None,
            })
        }
        let read = json(self.take(key)?);
        if read.is_none() {
            self.wrong_type(key, "text, a whole number, true, false, or lists and tables of them");
        }
        read
    }

    /// A list of texts; empty when absent. One that is given as text, as from the environment, is written with commas or as the file would have it.
    pub fn texts(&mut self, key: &str) -> Vec<String> {
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Node::List(items)) => items,
            Some(Node::Text(text)) => match list(&text) {
                Some(items) => items,
                None => return text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect(),
            },
            Some(_) => {
                self.wrong_type(key, "a list of strings");
                return Vec::new();
            }
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item.node {
                Node::Text(text) => texts.push(text),
                Node::Number(number) => texts.push(number.to_string()),
                _ => self.wrong_type(key, "a list of strings"),
            }
        }
        texts
    }

    /// A secret that must be there: a string, `{ env = "NAME" }` or `{ file = "path" }`.
    pub fn secret(&mut self, key: &str) -> Option<Secret> {
        if !self.has(key) {
            self.problem(key, "is missing", "add this key: a string, { env = \"NAME\" } or { file = \"path\" }");
            return None;
        }
        self.optional_secret(key)
    }

    /// A secret, if given. White space around it is dropped.
    pub fn optional_secret(&mut self, key: &str) -> Option<Secret> {
        let node = self.take(key)?;
        self.secret_in(key, node)
    }

    /// A list of secrets, each in one of the three forms; empty when absent.
    pub fn secrets(&mut self, key: &str) -> Vec<Secret> {
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Node::List(items)) => items.into_iter().map(|item| item.node).collect(),
            Some(Node::Text(text)) => text.split(',').map(|item| Node::Text(item.to_owned())).collect(),
            Some(_) => {
                self.wrong_type(key, "a list of secrets");
                Vec::new()
            }
        };
        items.into_iter().filter_map(|node| self.secret_in(key, node)).collect()
    }

    fn secret_in(&mut self, key: &str, node: Node) -> Option<Secret> {
        let text = match node {
            Node::Text(text) => text,
            Node::Table(table) => self.referred(key, &table)?,
            _ => {
                self.wrong_type(key, "a string, { env = \"NAME\" } or { file = \"path\" }");
                return None;
            }
        };
        let text = text.trim();
        if text.is_empty() {
            self.problem(key, "is empty", "write the value, or take the key out");
            return None;
        }
        Some(Secret::new(text))
    }

    fn referred(&mut self, key: &str, table: &BTreeMap<String, Spot>) -> Option<String> {
        let mut entries = table.iter();
        match (entries.next(), entries.next()) {
            (Some((kind, Spot { node: Node::Text(name), .. })), None) if kind == "env" => {
                let value = self.surroundings.variables.get(name).cloned();
                if value.is_none() {
                    self.problem(key, format!("the environment variable {name} is not set"), "set it before the service starts");
                }
                value
            }
            (Some((kind, Spot { node: Node::Text(name), .. })), None) if kind == "file" => {
                let path = self.surroundings.folder.join(name);
                match read_secret(&path) {
                    Ok(text) => Some(text),
                    Err(error) => {
                        self.problem(
                            key,
                            format!("cannot read the file {}: {error}", path.display()),
                            "check the path and who may read it",
                        );
                        None
                    }
                }
            }
            _ => {
                self.problem(key, "is not a secret's form", "write a string, { env = \"NAME\" } or { file = \"path\" }");
                None
            }
        }
    }

    /// A table inside this one, to be read on its own; its problems come back with [`Settings::problems`] and [`Settings::finish`].
    /// Absent: an empty one.
    pub fn table(&mut self, key: &str) -> Self {
        let line = self.entries.get(key).and_then(|spot| spot.line);
        let entries = match self.take(key) {
            None => BTreeMap::new(),
            Some(Node::Table(entries)) => entries,
            Some(_) => {
                self.wrong_type(key, "a table");
                BTreeMap::new()
            }
        };
        Self::new(&self.at(key), line, entries, self.surroundings.clone())
    }

    /// A list of tables (`[[key]]`); empty when absent.
    pub fn tables(&mut self, key: &str) -> Vec<Self> {
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Node::List(items)) => items,
            Some(_) => {
                self.wrong_type(key, "a list of tables");
                return Vec::new();
            }
        };
        let mut tables = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match item.node {
                Node::Table(entries) => {
                    tables.push(Self::new(&format!("{}[{index}]", self.at(key)), item.line, entries, self.surroundings.clone()));
                }
                _ => self.wrong_type(key, "a list of tables"),
            }
        }
        tables
    }

    /// The keys given, sorted; for tables whose keys are free (`[components.events]`). Counts as asking for all of them.
    pub fn keys(&mut self) -> Vec<String> {
        let keys: Vec<String> = self.entries.keys().cloned().collect();
        self.asked.extend(keys.iter().cloned());
        keys
    }

    /// The folder relative paths start from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.surroundings.folder
    }

    /// Ends reading: every problem, those for keys that nobody asked for among them.
    #[must_use]
    pub fn finish(mut self) -> Vec<Problem> {
        let unknown: Vec<String> = self.entries.keys().filter(|key| !self.asked.contains(*key)).cloned().collect();
        for key in unknown {
            let nearest = self.asked.iter().map(|known| (strsim::damerau_levenshtein(known, &key), known)).min();
            let hint = match nearest {
                Some((distance, known)) if distance <= 3.max(key.len() / 3) => format!("did you mean `{known}`?"),
                _ if self.asked.is_empty() => String::from("take it out"),
                _ => format!("known here: {}", self.asked.iter().cloned().collect::<Vec<_>>().join(", ")),
            };
            self.problem(&key, "is not a known key", hint);
        }
        self.problems
    }
}

/// Longest file that holds a secret: the largest is a chain of certificates.
const LONGEST_SECRET: u64 = 1024 * 1024;

/// A file with a secret. One that never ends, a device for example, is too long like any other.
fn read_secret(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LONGEST_SECRET + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).map_or(true, |length| length > LONGEST_SECRET) {
        Err(std::io::Error::other("it is longer than 1 MiB"))
    } else {
        Ok(text)
    }
}

/// Whether a table's `name` is this segment of an environment variable, which has no case and no hyphen.
fn is_called(table: &BTreeMap<String, Spot>, segment: &str) -> bool {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    matches!(table.get("name"), Some(Spot { node: Node::Text(name), .. }) if plain(name) == plain(segment))
}

fn entries(table: &toml::de::DeTable<'_>, line_of: &impl Fn(usize) -> usize) -> BTreeMap<String, Spot> {
    table
        .iter()
        .map(|(key, value)| {
            let mut spot = spot(value, line_of);
            spot.line = Some(line_of(key.span().start));
            (key.get_ref().to_string(), spot)
        })
        .collect()
}

/// A list in the file's own writing.
fn list(text: &str) -> Option<Vec<Spot>> {
    let read = toml::de::DeValue::parse(text.trim()).ok()?;
    match spot(&read, &|_| 0).node {
        Node::List(items) => Some(items),
        _ => None,
    }
}

fn spot(value: &toml::Spanned<toml::de::DeValue<'_>>, line_of: &impl Fn(usize) -> usize) -> Spot {
    use toml::de::DeValue;
    let node = match value.get_ref() {
        DeValue::String(text) => Node::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
            Ok(number) => Node::Number(number),
            Err(_) => Node::Other,
        },
        DeValue::Boolean(flag) => Node::Flag(*flag),
        DeValue::Array(items) => Node::List(items.iter().map(|item| spot(item, line_of)).collect()),
        DeValue::Table(table) => Node::Table(entries(table, line_of)),
        DeValue::Float(_) | DeValue::Datetime(_) => Node::Other,
    };
    Spot { node, line: Some(line_of(value.span().start)) }
}

/// Reads `500ms`, `15s`, `2m`, `1h`, `30d`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}
