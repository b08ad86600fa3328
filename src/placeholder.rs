//! Values with gaps: `${path.to.value}` in the texts of a JSON value, found when it is loaded and filled when it is used.
//!
//! Playbooks and rollouts write the parameters of operations so. Where the values come from is the caller's business: this room knows paths,
//! not what they mean. It never sends, stores or guesses: a name that has no value is said by name, all of them at once.
//!
//! A text that is exactly one placeholder takes over the value with its type; inside other text a value becomes text, objects and lists as JSON.
//! `$${` stands for a literal `${`. Names of members are never read as placeholders.
//!
//! A name costs a few characters and may stand for a whole text, as often as somebody writes it: what is filled in has a bound
//! ([`MOST_FILLED_BYTES`]), and is given up where it would be passed.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Bytes that are filled in at most, over all gaps of what is filled together. Far more than vendors take.
pub const MOST_FILLED_BYTES: usize = 1024 * 1024;

/// Names without a value, and mistakes, that are said of one value; and characters of such a name. A text of 64 KiB has room for thousands of them, and a
/// rollout says them of each of its merchants.
const MOST_SAID: usize = 10;
const MOST_SAID_CHARACTERS: usize = 64;

/// A value with gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Plain(Value),
    /// Exactly one placeholder.
    Whole(String),
    Text(Vec<Piece>),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Name(String),
}

/// A placeholder that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where in the value: members and list places joined with dots; empty: the value itself.
    pub at: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Why gaps were not filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// These names have no value, each once.
    #[error("there is no value for {}", said(.0))]
    Missing(Vec<String>),
    /// Their values are more than [`MOST_FILLED_BYTES`].
    #[error("its placeholders stand for more than {MOST_FILLED_BYTES} bytes")]
    TooLong,
}

/// Names in a message: the first of them, and how many more there are.
#[must_use]
pub fn said(names: &[String]) -> String {
    let shortened = |name: &String| name.chars().take(MOST_SAID_CHARACTERS).collect::<String>();
    let first = names.iter().take(MOST_SAID).map(shortened).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_SAID) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

impl Template {
    /// Finds the placeholders of a value.
    ///
    /// # Errors
    /// What cannot be read, the first of it where it is much: without an end, empty, with characters that no name has.
    pub fn parse(value: &Value) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let node = parse(value, "", &mut mistakes);
        if mistakes.is_empty() { Ok(Self(node)) } else { Err(mistakes) }
    }

    /// Every name in it, once.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        gather(&self.0, &mut names);
        names
    }

    /// The name, where the whole value is one placeholder.
    #[must_use]
    pub fn whole(&self) -> Option<&str> {
        match &self.0 {
            Node::Whole(name) => Some(name),
            _ => None,
        }
    }

    /// The value, where nothing is to be filled in.
    #[must_use]
    pub fn constant(&self) -> Option<Value> {
        if self.names().is_empty() { self.fill(&|_| None).ok() } else { None }
    }

    /// As it was written.
    #[must_use]
    pub fn written(&self) -> Value {
        written(&self.0)
    }

    /// The value with every gap filled.
    ///
    /// # Errors
    /// The names for which `value_of` has nothing, or their values are too long.
    pub fn fill(&self, value_of: &dyn Fn(&str) -> Option<Value>) -> Result<Value, Unfilled> {
        let mut filler = Filler::new(value_of);
        let filled = filler.fill(self);
        filler.finish().map(|()| filled)
    }
}

/// Fills templates that belong together: what is missing is said of all of them at once, and all share one bound.
pub struct Filler<'a> {
    value_of: &'a dyn Fn(&str) -> Option<Value>,
    missing: BTreeSet<String>,
    /// Bytes that may still be filled in; `None`: there were more.
    left: Option<usize>,
}

impl<'a> Filler<'a> {
    /// With the values of names.
    #[must_use]
    pub fn new(value_of: &'a dyn Fn(&str) -> Option<Value>) -> Self {
        Self { value_of, missing: BTreeSet::new(), left: Some(MOST_FILLED_BYTES) }
    }

    /// The value with every gap filled, if [`Filler::finish`] says afterwards that it is; else with `null` and nothing in them.
    pub fn fill(&mut self, template: &Template) -> Value {
        self.node(&template.0)
    }

    /// Whether everything was filled.
    ///
    /// # Errors
    /// It was not.
    pub fn finish(self) -> Result<(), Unfilled> {
        match self.left {
            None => Err(Unfilled::TooLong),
            Some(_) if self.missing.is_empty() => Ok(()),
            Some(_) => Err(Unfilled::Missing(self.missing.into_iter().collect())),
        }
    }

    fn node(&mut self, node: &Node) -> Value {
        match node {
            _ if self.left.is_none() => Value::Null,
            Node::Plain(value) => value.clone(),
            Node::Whole(name) => self.value(name).filter(|value| self.takes(size(value))).unwrap_or_default(),
            Node::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(plain) => text.push_str(plain),
                        Piece::Name(name) => {
                            let value = self.value(name).map(as_text).filter(|value| self.takes(value.len()));
                            text.push_str(&value.unwrap_or_default());
                        }
                    }
                }
                Value::String(text)
            }
            Node::List(items) => items.iter().map(|item| self.node(item)).collect(),
            Node::Object(members) => {
                let filled = members.iter().map(|(name, member)| (name.clone(), self.node(member)));
                Value::Object(filled.collect::<Map<_, _>>())
            }
        }
    }

    /// The value of a name; `None`: it has none, or it does not matter any more.
    fn value(&mut self, name: &str) -> Option<Value> {
        self.left?;
        let value = (self.value_of)(name);
        if value.is_none() {
            self.missing.insert(name.to_owned());
        }
        value
    }

    /// Takes room for so much, if there is as much.
    fn takes(&mut self, bytes: usize) -> bool {
        self.left = self.left.and_then(|left| left.checked_sub(bytes));
        self.left.is_some()
    }
}

/// The value at a dotted path; list places are numbers from 0. `null` counts as nothing.
#[must_use]
pub fn at(root: &Value, path: &str) -> Option<Value> {
    let found = path.split('.').try_fold(root, |value, part| match value {
        Value::Object(members) => members.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })?;
    if found.is_null() { None } else { Some(found.clone()) }
}

/// The root of a name and what follows it: `variables.shop.name` is `variables` and `shop.name`.
#[must_use]
pub fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or((name, ""))
}

/// Whether a name may be used between `${` and `}`, or as one part of it.
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')))
}

fn parse(value: &Value, at: &str, mistakes: &mut Vec<Mistake>) -> Node {
    let inner = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match value {
        Value::String(text) => match pieces(text) {
            Ok(pieces) => joined(pieces),
            Err(reasons) => {
                let left = MOST_SAID.saturating_sub(mistakes.len());
                mistakes.extend(reasons.into_iter().take(left).map(|reason| Mistake { at: at.to_owned(), reason }));
                Node::Plain(Value::Null)
            }
        },
        Value::Array(items) => {
            Node::List(items.iter().enumerate().map(|(index, item)| parse(item, &inner(&index.to_string()), mistakes)).collect())
        }
        Value::Object(members) => {
            Node::Object(members.iter().map(|(name, member)| (name.clone(), parse(member, &inner(name), mistakes))).collect())
        }
        other => Node::Plain(other.clone()),
    }
}

fn joined(mut pieces: Vec<Piece>) -> Node {
    match pieces.as_slice() {
        [] => Node::Plain(Value::String(String::new())),
        [_] => match pieces.remove(0) {
            Piece::Name(name) => Node::Whole(name),
            Piece::Text(text) => Node::Plain(Value::String(text)),
        },
        _ => Node::Text(pieces),
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, Vec<String>> {
    let (mut pieces, mut reasons) = (Vec::new(), Vec::new());
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            plain.push_str(before);
            plain.push_str("${");
            rest = after;
            continue;
        }
        plain.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            reasons.push(String::from("a placeholder `${` has no `}`; a literal `${` is written `$${`"));
            rest = "";
            break;
        };
        rest = behind;
        if is_name(name) {
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Name(name.to_owned()));
        } else if reasons.len() < MOST_SAID {
            let name: String = name.chars().take(MOST_SAID_CHARACTERS).collect();
            reasons.push(format!("`${{{name}}}` is no placeholder: a name is letters, digits, `_` and `-`, its parts joined with dots"));
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    if reasons.is_empty() { Ok(pieces) } else { Err(reasons) }
}

fn written(node: &Node) -> Value {
    let literal = |text: &str| text.replace("${", "$${");
    match node {
        Node::Plain(Value::String(text)) => Value::String(literal(text)),
        Node::Plain(value) => value.clone(),
        Node::Whole(name) => Value::String(format!("${{{name}}}")),
        Node::Text(pieces) => Value::String(
            pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => literal(text),
                    Piece::Name(name) => format!("${{{name}}}"),
                })
                .collect(),
        ),
        Node::List(items) => items.iter().map(written).collect(),
        Node::Object(members) => Value::Object(members.iter().map(|(name, member)| (name.clone(), written(member))).collect()),
    }
}

fn gather<'a>(node: &'a Node, names: &mut BTreeSet<&'a str>) {
    match node {
        Node::Plain(_) => {}
        Node::Whole(name) => {
            names.insert(name);
        }
        Node::Text(pieces) => names.extend(pieces.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })),
        Node::List(items) => items.iter().for_each(|item| gather(item, names)),
        Node::Object(members) => members.iter().for_each(|(_, member)| gather(member, names)),
    }
}

fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}

/// Bytes of a value, about as it is written as JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum(),
        Value::Object(members) => members.iter().map(|(name, member)| name.len() + size(member) + 1).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}
